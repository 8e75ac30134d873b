/* SPDX-License-Identifier: Apache-2.0 */
/* What holds for every kind: failures change nothing, threads do not show, rows are independent, copies are equal. */
#include "fixtures.h"
#include "models.h"

#define EACH_FIXTURE(f)                    \
    const test_fixture *f = TEST_FIXTURES; \
    f < TEST_FIXTURES + N_TEST_FIXTURES;   \
    f++

static ml_model *fitted(ml_context *context, const test_fixture *f, const ml_dataset *data)
{
    ml_model *model = test_fixture_model(context, f);

    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

static void check_saved(const ml_model *model, const void *bytes, size_t n_bytes, const char *when)
{
    size_t n;
    void *now = test_saved(model, &n);

    CHECK_MSG(n == n_bytes && !memcmp(now, bytes, n), "%s: the model has changed", when);
    free(now);
}

TEST(contract, every_kind_has_a_fixture)
{
    for (size_t k = 0; k < ml_kind_count(); k++) {
        bool found = false;

        for (EACH_FIXTURE(f))
            found = found || !strcmp(f->kind, ml_kind_name(k));
        CHECK_MSG(found, "no fixture for %s", ml_kind_name(k));
    }
}

/* ---- allocation failures ---- */

TEST(contract, a_fit_that_runs_out_of_memory_changes_nothing)
{
    for (EACH_FIXTURE(f)) {
        test_allocator a = {0};
        ml_context *context = test_context(&a, 1);
        ml_dataset *first = test_fixture_data(context, f, 0), *second = test_fixture_data(context, f, 1);
        ml_model *model = fitted(context, f, first);

        CHECK_MSG(test_failing_refits(&a, context, f->name, model, second) > 0, "%s: no allocation", f->name);
        ml_model_free(model);
        ml_dataset_free(first);
        ml_dataset_free(second);
        ml_context_free(context);
        CHECK_MSG(a.n_live == 0, "%s: %zu blocks live at the end", f->name, a.n_live);
    }
}

typedef struct use_case {
    const ml_model *model;
    const ml_dataset *data;
    void *bytes;
    size_t n_bytes;
    double *out;
    size_t n_out;
    int32_t what;
} use_case;

static ml_status predict_again(ml_context *context, void *user)
{
    use_case *c = user;

    (void)context;
    switch (c->what) {
    case ML_PREDICT:
        return ml_model_predict(c->model, c->data, c->out, c->n_out);
    case ML_PREDICT_PROBA:
        return ml_model_predict_proba(c->model, c->data, c->out, c->n_out);
    case ML_DECISION:
        return ml_model_decision(c->model, c->data, c->out, c->n_out);
    case ML_TRANSFORM:
        return ml_model_transform(c->model, c->data, c->out, c->n_out);
    default:
        return ml_model_score_samples(c->model, c->data, c->out, c->n_out);
    }
}

static ml_status save_again(ml_context *context, void *user)
{
    use_case *c = user;

    (void)context;
    return ml_model_save_memory(c->model, c->bytes, c->n_bytes, NULL);
}

static ml_status load_again(ml_context *context, void *user)
{
    use_case *c = user;
    ml_model *loaded;
    const ml_status st = ml_model_load_memory(context, c->bytes, c->n_bytes, NULL, &loaded);

    if (st != ML_OK && loaded)
        return ML_E_STATE;
    ml_model_free(loaded);
    return st;
}

static ml_status clone_again(ml_context *context, void *user)
{
    use_case *c = user;
    ml_model *copy;
    const ml_status st = ml_model_clone(c->model, &copy);

    (void)context;
    ml_model_free(copy);
    return st;
}

TEST(contract, predict_save_load_and_clone_survive_every_allocation_failure)
{
    for (EACH_FIXTURE(f)) {
        test_allocator a = {0};
        ml_context *context = test_context(&a, 1);
        ml_dataset *data = test_fixture_data(context, f, 0);
        ml_model *model = fitted(context, f, data);
        use_case c = {.model = model, .data = data};

        for (c.what = ML_PREDICT; c.what <= ML_SCORE_SAMPLES; c.what++) {
            c.n_out = ml_dataset_n_rows(data) * ml_model_width(model, c.what);
            if (!c.n_out)
                continue;
            c.out = malloc(c.n_out * sizeof *c.out);
            test_failing_allocations(&a, context, f->name, predict_again, &c);
            free(c.out);
        }
        c.bytes = test_saved(model, &c.n_bytes);
        CHECK(test_failing_allocations(&a, context, f->name, save_again, &c) > 0);
        CHECK(test_failing_allocations(&a, context, f->name, load_again, &c) > 0);
        CHECK(test_failing_allocations(&a, context, f->name, clone_again, &c) > 0);
        free(c.bytes);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(a.n_live == 0);
    }
}

/* ---- determinism ---- */

static void *fit_fixture(ml_context *context, const void *fixture, size_t *n_bytes)
{
    return test_fitted_bytes(test_fixture_model(context, fixture), test_fixture_data(context, fixture, 0), n_bytes);
}

TEST(contract, any_number_of_threads_gives_the_same_bytes)
{
    for (EACH_FIXTURE(f))
        test_any_threads(f->name, fit_fixture, f);
}

static void *fit_large(ml_context *context, const void *argument, size_t *n_bytes)
{
    const char *kind = argument;
    ml_model *model = test_model(context, kind, NULL);
    ml_dataset *data;

    CHECK_OK(ml_dataset_make(context, "classification", "n_samples=3000,n_features=8,n_informative=4", &data));
    if (strstr(kind, "gmm"))
        CHECK_OK(ml_model_set_int(model, "n_components", 3));
    if (!strcmp(kind, "mlp"))
        CHECK_OK(ml_model_set_int(model, "max_iter", 3));
    if (!strcmp(kind, "random_forest"))
        CHECK_OK(ml_model_set_int(model, "n_estimators", 40));
    return test_fitted_bytes(model, data, n_bytes);
}

TEST(contract, a_model_larger_than_one_block_is_deterministic_too)
{
    static const char *const KINDS[] = {"gmm",    "bayesian_gmm",        "random_forest",
                                        "mlp",    "logistic_regression", "standard_scaler",
                                        "kmeans", "mini_batch_kmeans",   "pca"};

    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        test_any_threads(KINDS[k], fit_large, KINDS[k]);
}

/* The same bytes, or within a tolerance relative to what is at least 1; classes are whole numbers. */
static bool agrees(const double *one, const double *of_batch, size_t n, double tolerance)
{
    bool all = true;

    if (tolerance == 0)
        return !memcmp(one, of_batch, n * sizeof *one);
    for (size_t j = 0; j < n; j++)
        all &= fabs(one[j] - of_batch[j]) <= tolerance * fmax(1, fabs(of_batch[j]));
    return all;
}

TEST(contract, a_rows_prediction_does_not_depend_on_its_neighbours)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0);
        ml_model *model = fitted(NULL, f, data);
        const size_t n_rows = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
        double *row = malloc(d * sizeof *row);

        for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
            const size_t width = ml_model_width(model, what);
            use_case c = {.model = model, .data = data, .what = what, .n_out = n_rows * width};
            double *one;

            if (!width)
                continue;
            c.out = malloc(c.n_out * sizeof *c.out);
            one = malloc(width * sizeof *one);
            CHECK_OK(predict_again(NULL, &c));
            for (size_t i = 0; i < n_rows; i++) {
                CHECK_OK(ml_dataset_row(data, i, row, d));
                CHECK_OK(ml_model_predict_row(model, what, row, d, one, width, NULL, 0));
                CHECK_MSG(agrees(one, c.out + i * width, width, test_fixture_row_tolerance(f)), "%s: call %d, row %zu",
                          f->name, what, i);
            }
            free(c.out);
            free(one);
        }
        free(row);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- cancel, deadline ---- */

TEST(contract, a_cancelled_fit_changes_nothing)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *first = test_fixture_data(NULL, f, 0), *second = test_fixture_data(NULL, f, 1);
        ml_model *model = fitted(NULL, f, first), *fresh = fitted(NULL, f, second);
        size_t n;
        void *want = test_saved(fresh, &n);

        (void)test_cancelled_fits(f->name, model, second);
        CHECK_OK(ml_model_fit(model, second, NULL));
        check_saved(model, want, n, "fitted again");
        free(want);
        ml_model_free(model);
        ml_model_free(fresh);
        ml_dataset_free(first);
        ml_dataset_free(second);
    }
}

TEST(contract, a_fit_past_its_deadline_is_usable)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0);
        ml_model *model = test_fixture_model(NULL, f);
        const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
        size_t n;

        CHECK_OK(ml_model_fit(model, data, &options));
        free(test_all_predictions(model, data, &n));
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Wherever the monitor ends a fit, there is a model that predicts and can be saved. */
TEST(contract, a_fit_that_the_monitor_ends_is_usable)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0);
        ml_model *model = fitted(NULL, f, data);
        const int32_t reason = ml_model_stop_reason(model);
        test_watch watch = {0};
        const ml_fit_options options = {
            .struct_size = sizeof options, .monitor = test_watching, .monitor_user = &watch};
        size_t n, n_bytes;

        CHECK_OK(ml_model_fit(model, data, &options));
        for (size_t t = 1, total = watch.n_seen; t <= total; t++) {
            watch = (test_watch){.stop_at = t, .answer = ML_MONITOR_STOP};
            CHECK_OK(ml_model_fit(model, data, &options));
            CHECK_MSG(ml_model_stop_reason(model) == ML_STOP_MONITOR || ml_model_stop_reason(model) == reason,
                      "%s, ended at call %zu: stop reason %d", f->name, t, (int)ml_model_stop_reason(model));
            CHECK_MSG(watch.n_seen <= total, "%s, ended at call %zu: %zu calls, without an end %zu", f->name, t,
                      watch.n_seen, total);
            free(test_all_predictions(model, data, &n));
            free(test_saved(model, &n_bytes));
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(contract, kinds_that_learn_in_steps_end_at_the_step)
{
    static const char *const KINDS[] = {"mlp",      "logistic_regression", "gmm",    "bayesian_gmm",
                                        "adaboost", "random_forest",       "kmeans", "mini_batch_kmeans"};

    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (int inside = 0; inside < 2; inside++) {
            ml_dataset *data;
            ml_model *model, *last, *pipe;
            test_watch watch = {.stop_at = 1, .answer = ML_MONITOR_STOP};
            const ml_fit_options options = {
                .struct_size = sizeof options, .monitor = test_watching, .monitor_user = &watch};

            CHECK_OK(ml_dataset_make(NULL, "classification", "n_samples=200,n_features=8,flip_y=0.2", &data));
            CHECK_OK(ml_model_create(NULL, KINDS[k], &last));
            if (strstr(KINDS[k], "gmm"))
                CHECK_OK(ml_model_set_int(last, "n_components", 3));
            CHECK_OK(ml_model_create(NULL, "pipeline", &pipe));
            if (inside)
                CHECK_OK(ml_model_add_member(pipe, "last", last));
            model = inside ? pipe : last;
            CHECK_OK(ml_model_fit(model, data, &options));
            CHECK_MSG(ml_model_stop_reason(model) == ML_STOP_MONITOR, "%s: stop reason %d", KINDS[k],
                      (int)ml_model_stop_reason(model));
            if (inside)
                CHECK(ml_model_stop_reason(ml_model_member(pipe, 0)) == ML_STOP_MONITOR);
            ml_model_free(model);
            ml_model_free(inside ? NULL : pipe);
            ml_dataset_free(data);
        }
}

/* ---- copies ---- */

TEST(contract, copies_and_loaded_models_predict_the_same_bits)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0);
        ml_model *model = fitted(NULL, f, data), *copies[2];
        size_t n_bytes, n, n_copy;
        void *bytes = test_saved(model, &n_bytes);
        double *expected = test_all_predictions(model, data, &n);

        CHECK_OK(ml_model_clone(model, &copies[0]));
        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &copies[1]));
        ml_model_free(model);
        for (int c = 0; c < 2; c++) {
            double *got = test_all_predictions(copies[c], data, &n_copy);

            CHECK_SAME_BYTES(got, n_copy * sizeof *got, expected, n * sizeof *expected);
            check_saved(copies[c], bytes, n_bytes, c ? "loaded" : "cloned");
            free(got);
            CHECK_OK(ml_model_fit(copies[c], data, NULL));
            check_saved(copies[c], bytes, n_bytes, c ? "loaded and fitted again" : "cloned and fitted again");
            ml_model_free(copies[c]);
        }
        free(bytes);
        free(expected);
        ml_dataset_free(data);
    }
}

/* ---- misuse ---- */

TEST(contract, misuse_is_refused_with_a_reason)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0), *narrow;
        ml_model *model = test_fixture_model(NULL, f);
        const double one[2] = {1, 2};
        double out[4];
        size_t n_bytes;

        CHECK_FAILS(ml_model_predict(model, data, out, 4), ML_E_STATE, "not fitted");
        CHECK_FAILS(ml_model_save_memory(model, NULL, 0, &n_bytes), ML_E_STATE, "not fitted");
        CHECK(ml_model_width(model, ML_PREDICT) == 0 && ml_model_tensor_count(model) == 0);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_dataset_from_matrix(NULL, one, ML_FLOAT64, 1, 2, 0, 0, ML_COPY, &narrow));
        for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
            use_case c = {.model = model, .data = narrow, .what = what, .out = out, .n_out = 1};
            const ml_status expected = ml_model_width(model, what) ? ML_E_SHAPE : ML_E_UNSUPPORTED;

            CHECK_FAILS(predict_again(NULL, &c), expected, expected == ML_E_SHAPE ? "2" : "does not offer");
        }
        CHECK_FAILS(ml_model_predict_row(model, ML_PREDICT, one, 2, out, 1, NULL, 0),
                    ml_model_width(model, ML_PREDICT) ? ML_E_SHAPE : ML_E_UNSUPPORTED, "");
        ml_dataset_free(narrow);
        ml_dataset_free(data);
        ml_model_free(model);
    }
}

TEST(contract, a_failed_fit_on_bad_data_changes_nothing)
{
    for (EACH_FIXTURE(f)) {
        ml_dataset *data = test_fixture_data(NULL, f, 0), *bad;
        ml_model *model = fitted(NULL, f, data);
        const double x[6] = {1, 2, NAN, 3, 4, 5};
        size_t n;
        void *before = test_saved(model, &n);

        CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 2, 3, 0, 0, ML_COPY, &bad));
        if (ml_model_fit(model, bad, NULL) != ML_OK)
            check_saved(model, before, n, "after a refused fit");
        free(before);
        ml_dataset_free(bad);
        ml_dataset_free(data);
        ml_model_free(model);
    }
}

/* One row, constant features, one class: an answer or a clean refusal, never NaN. */
TEST(contract, degenerate_data_is_learned_or_refused)
{
    static const double X[6] = {1, 2, 3, 1, 2, 3};
    static const int64_t SAME[2] = {5, 5};
    static const double Y[2] = {3, 3};

    for (EACH_FIXTURE(f))
        for (size_t n_rows = 1; n_rows <= 2; n_rows++) {
            ml_model *model = test_fixture_model(NULL, f);
            ml_dataset *data;
            ml_status st;

            CHECK_OK(ml_dataset_from_matrix(NULL, X, ML_FLOAT64, n_rows, 3, 0, 0, ML_COPY, &data));
            if (f->data == WITH_REALS)
                CHECK_OK(ml_dataset_set_targets(data, NULL, Y, n_rows));
            else
                CHECK_OK(ml_dataset_set_labels(data, NULL, SAME, n_rows, -1));
            st = ml_model_fit(model, data, NULL);
            CHECK_MSG(st == ML_OK || ml_last_error()[0], "%s: no reason", f->name);
            if (st == ML_OK) {
                size_t n;
                double *out = test_all_predictions(model, data, &n);

                for (size_t i = 0; i < n; i++)
                    CHECK_MSG(isfinite(out[i]), "%s on %zu rows: value %zu is %g", f->name, n_rows, i, out[i]);
                free(out);
            }
            ml_dataset_free(data);
            ml_model_free(model);
        }
}
