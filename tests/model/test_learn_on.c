/* SPDX-License-Identifier: Apache-2.0 */
/* Fits that begin with what was learned before: ml_model_start_from() and ml_model_partial_fit(). */
#include "tally.h"

enum { N = 20, K = 3 };

static double n_seen(const ml_model *model)
{
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_tensor(model, "n_seen", &t));
    return *(const double *)t.data;
}

static ml_model *fitted_tally(ml_context *context, const ml_dataset *data)
{
    ml_model *model = new_tally(context);

    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

/* ---- start ---- */

TEST(start, fits_begin_with_a_copy_of_the_model)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *from = fitted_tally(NULL, data), *model = new_tally(NULL), *copy;

    CHECK_OK(ml_model_start_from(model, from));
    CHECK_OK(ml_model_set_int(from, "n_passes", 7));
    CHECK_OK(ml_model_fit(from, data, NULL));
    ml_model_free(from);
    for (int again = 0; again < 2; again++) {
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(n_seen(model) == 2 * N);
    }
    CHECK_OK(ml_model_clone(model, &copy));
    CHECK(n_seen(copy) == 2 * N);
    CHECK_OK(ml_model_start_from(model, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(n_seen(model) == N);
    CHECK_OK(ml_model_fit(copy, data, NULL));
    CHECK(n_seen(copy) == 2 * N);
    ml_model_free(model);
    ml_model_free(copy);
    ml_dataset_free(data);
}

TEST(start, members_of_composites_begin_so_in_every_fit)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *from = fitted_tally(NULL, data), *tally = new_tally(NULL), *inner, *pipe, *copy;
    double values[2 * N];

    CHECK_OK(ml_model_create(NULL, "pipeline", &inner));
    CHECK_OK(ml_model_create(NULL, "pipeline", &pipe));
    CHECK_OK(ml_model_add_member(inner, "tally", tally));
    CHECK_OK(ml_model_add_member(pipe, "inner", inner));
    CHECK_OK(ml_model_start_from(tally, from));
    CHECK_OK(ml_model_clone(pipe, &copy));
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(n_seen(ml_model_member(ml_model_member(pipe, 0), 0)) == 2 * N);
    CHECK(ml_model_member(ml_model_member(pipe, 0), 0)->start == NULL); /* which would double its memory */
    CHECK_OK(ml_model_fit(copy, data, NULL));
    CHECK(n_seen(ml_model_member(ml_model_member(copy, 0), 0)) == 2 * N);
    CHECK_OK(ml_cross_val_predict(pipe, data, ML_PREDICT, NULL, values, 2 * N));
    CHECK_OK(ml_model_start_from(tally, NULL));
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(n_seen(ml_model_member(ml_model_member(pipe, 0), 0)) == N);
    ml_model_free(from);
    ml_model_free(pipe);
    ml_model_free(copy);
    ml_dataset_free(data);
}

/* The mean of the reals in the fold's training rows and in all rows, which the start has seen. */
TEST(start, cross_validation_begins_so_too)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false), *train, *test;
    ml_model *from = fitted_tally(NULL, data), *model = new_tally(NULL), *by_hand = new_tally(NULL);
    double scores[4], expected;

    CHECK_OK(ml_model_start_from(model, from));
    CHECK_OK(ml_model_start_from(by_hand, from));
    const ml_cv_options options = {.struct_size = sizeof options, .n_folds = 4, .flags = ML_ORDERED};
    CHECK_OK(ml_cross_validate(model, data, "mae", &options, scores, 4));
    CHECK_OK(ml_dataset_fold(data, 4, 1, 0, ML_ORDERED, &train, &test));
    CHECK_OK(ml_model_fit(by_hand, train, NULL));
    CHECK(n_seen(by_hand) == N + 15);
    CHECK_OK(ml_model_score(by_hand, test, "mae", &expected));
    CHECK(scores[1] == expected);
    ml_model_free(from);
    ml_model_free(model);
    ml_model_free(by_hand);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(data);
}

static int32_t start_while_fitting(void *user, const ml_progress *p)
{
    (void)p;
    CHECK_FAILS(ml_model_start_from(user, NULL), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_partial_fit(user, NULL, NULL), ML_E_ARGUMENT, "data is NULL");
    return 0;
}

TEST(start, refusals_change_nothing)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *from = fitted_tally(NULL, data), *model = new_tally(NULL), *unfitted = new_tally(NULL), *scaler;
    const ml_fit_options options = {
        .struct_size = sizeof options, .monitor = start_while_fitting, .monitor_user = model};

    CHECK_OK(ml_model_create(NULL, "standard_scaler", &scaler));
    CHECK_OK(ml_model_fit(scaler, data, NULL));
    CHECK_OK(ml_model_start_from(model, from));
    CHECK_FAILS(ml_model_start_from(NULL, from), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_start_from(model, model), ML_E_ARGUMENT, "begin with itself");
    CHECK_FAILS(ml_model_start_from(model, unfitted), ML_E_STATE, "not fitted");
    CHECK_FAILS(ml_model_start_from(model, scaler), ML_E_UNSUPPORTED, "not with a standard_scaler");
    CHECK_FAILS(ml_model_start_from(scaler, model), ML_E_UNSUPPORTED, "standard_scaler cannot begin");
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(n_seen(model) == 2 * N);
    ml_model_free(from);
    ml_model_free(model);
    ml_model_free(unfitted);
    ml_model_free(scaler);
    ml_dataset_free(data);
}

/* ---- partial_fit ---- */

static ml_dataset *part(const ml_dataset *data, size_t begin, size_t end)
{
    size_t rows[64];
    ml_dataset *view;

    for (size_t i = begin; i < end; i++)
        rows[i - begin] = i;
    CHECK_OK(ml_dataset_subset(data, rows, end - begin, &view));
    return view;
}

TEST(partial_fit, parts_make_the_whole)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *whole = fitted_tally(NULL, data), *model = new_tally(NULL);
    ml_tensor s = {.struct_size = sizeof s}, t = {.struct_size = sizeof t};

    for (size_t begin = 0; begin < N; begin += 5) {
        ml_dataset *view = part(data, begin, begin + 5);
        CHECK_OK(ml_model_partial_fit(model, view, NULL));
        CHECK(n_seen(model) == (double)begin + 5);
        ml_dataset_free(view);
    }
    CHECK_OK(ml_model_tensor(whole, "sums", &s));
    CHECK_OK(ml_model_tensor(model, "sums", &t));
    CHECK(s.shape[0] == K + 1 && t.shape[0] == K + 1);
    CHECK_SAME_BYTES(s.data, (K + 1) * sizeof(double), t.data, (K + 1) * sizeof(double));
    CHECK_OK(ml_model_fit(model, data, NULL)); /* forgets */
    CHECK(n_seen(model) == N);
    ml_model_free(whole);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(partial_fit, other_features_outputs_and_classes_are_refused)
{
    const char *const names[1] = {"length"}, *const others[1] = {"width"};
    ml_dataset *data = mixed_rows(NULL, N, K, false), *more_classes = mixed_rows(NULL, N, K + 1, false),
               *turned = mixed_rows(NULL, N, K, true), *named = mixed_rows(NULL, N, K, false),
               *plain = mixed_rows(NULL, N, K, false), *iris = test_table(NULL, "iris");
    ml_model *model = new_tally(NULL), *without = new_tally(NULL);
    const double x[2] = {1, 2};
    ml_dataset *bare;

    CHECK_OK(ml_dataset_set_feature_names(data, names, 1));
    CHECK_OK(ml_dataset_set_feature_names(named, others, 1));
    CHECK_OK(ml_model_partial_fit(model, data, NULL));
    CHECK_FAILS(ml_model_partial_fit(model, iris, NULL), ML_E_SHAPE, "as before: the data has 4 features, expected 1");
    CHECK_FAILS(ml_model_partial_fit(model, named, NULL), ML_E_DATA, "feature 0 is 'width', expected 'length'");
    CHECK_FAILS(ml_model_partial_fit(model, more_classes, NULL), ML_E_SHAPE, "'kind' has 4 classes, expected 3");
    CHECK_FAILS(ml_model_partial_fit(model, turned, NULL), ML_E_SHAPE, "'size' has 0 classes, expected 3");
    CHECK(n_seen(model) == N);
    CHECK_OK(ml_model_partial_fit(model, plain, NULL));
    CHECK(n_seen(model) == 2 * N && !strcmp(ml_model_feature_name(model, 0), "length"));
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 2, 1, 0, 0, ML_COPY, &bare));
    CHECK_OK(ml_model_partial_fit(without, bare, NULL));
    CHECK_FAILS(ml_model_partial_fit(without, plain, NULL), ML_E_SHAPE, "2 outputs, it has learned without any");
    CHECK_FAILS(ml_model_partial_fit(model, bare, NULL), ML_E_SHAPE, "0 outputs, expected 2");
    ml_model_free(model);
    ml_model_free(without);
    ml_dataset_free(data);
    ml_dataset_free(more_classes);
    ml_dataset_free(turned);
    ml_dataset_free(named);
    ml_dataset_free(plain);
    ml_dataset_free(iris);
    ml_dataset_free(bare);
}

static int32_t answer(void *user, const ml_progress *p)
{
    return p->metric[0] ? *(const int32_t *)user : ML_MONITOR_CONTINUE;
}

TEST(partial_fit, a_cancel_changes_nothing_and_a_stop_keeps_the_part)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = fitted_tally(NULL, data);
    int32_t says = ML_MONITOR_CANCEL;
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = answer, .monitor_user = &says};

    CHECK_OK(ml_model_set_int(model, "n_passes", 5));
    CHECK_FAILS(ml_model_partial_fit(model, data, &options), ML_E_CANCELLED, "monitor");
    CHECK(n_seen(model) == N && ml_model_stop_reason(model) == ML_STOP_COMPLETE);
    says = ML_MONITOR_STOP;
    CHECK_OK(ml_model_partial_fit(model, data, &options));
    CHECK(n_seen(model) == 2 * N && ml_model_stop_reason(model) == ML_STOP_MONITOR);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(partial_fit, kinds_without_it_say_so)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *tree;

    CHECK_OK(ml_model_create(NULL, "decision_tree", &tree));
    CHECK_FAILS(ml_model_partial_fit(tree, iris, NULL), ML_E_UNSUPPORTED, "decision_tree cannot learn on");
    CHECK_FAILS(ml_model_partial_fit(NULL, iris, NULL), ML_E_ARGUMENT, "model is NULL");
    CHECK(!ml_model_is_fitted(tree));
    ml_model_free(tree);
    ml_dataset_free(iris);
}

/* ---- the monitor ---- */

typedef struct {
    size_t n_steps, n_polls;
    int32_t at_step, at_poll;
} listener;

static int32_t listen(void *user, const ml_progress *p)
{
    listener *l = user;

    CHECK(isnan(p->value) == !p->metric[0] && !strcmp(p->stage, "tally") && p->done <= p->total);
    if (p->metric[0])
        l->n_steps++;
    else
        l->n_polls++;
    return p->metric[0] ? l->at_step : l->at_poll;
}

TEST(monitor, is_polled_within_steps_but_not_at_every_chance)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL);
    listener l = {.at_step = ML_MONITOR_CONTINUE};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = listen, .monitor_user = &l};

    CHECK_OK(ml_model_set_int(model, "n_passes", 2000));
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK_MSG(l.n_steps == 2000 && l.n_polls >= 1 && l.n_polls < 2000, "%zu steps, %zu polls", l.n_steps, l.n_polls);
    CHECK(ml_model_stop_reason(model) == ML_STOP_COMPLETE);
    l = (listener){.at_poll = ML_MONITOR_STOP};
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(l.n_steps == 1 && n_seen(model) == N && ml_model_stop_reason(model) == ML_STOP_MONITOR);
    l = (listener){.at_poll = ML_MONITOR_CANCEL};
    CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_CANCELLED, "stopped the fit at tally, step 0 of 2000");
    CHECK(l.n_steps == 0 && n_seen(model) == N);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(monitor, any_other_answer_cancels)
{
    static const int32_t ANSWERS[] = {ML_MONITOR_CANCEL, 3, -1, -2, INT32_MAX, INT32_MIN};
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL);

    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        listener l = {.at_step = ANSWERS[i]};
        const ml_fit_options options = {.struct_size = sizeof options, .monitor = listen, .monitor_user = &l};

        CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_CANCELLED, "monitor");
        CHECK(l.n_steps == 1 && !ml_model_is_fitted(model));
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

static int32_t stop_at_once(void *user, const ml_progress *p)
{
    (void)user;
    (void)p;
    return ML_MONITOR_STOP;
}

/* Scores of models that were cut short would look like scores of the model. */
TEST(monitor, cross_validation_cannot_be_ended_but_cancelled)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL);
    const ml_cv_options options = {.struct_size = sizeof options, .monitor = stop_at_once};
    double scores[5], out[2 * N];

    CHECK_FAILS(ml_cross_validate(model, data, NULL, &options, scores, 5), ML_E_CANCELLED, "monitor");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_PREDICT, &options, out, 2 * N), ML_E_CANCELLED, "monitor");
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- memory ---- */

typedef struct {
    ml_model *model, *from;
    const ml_dataset *data;
} growth;

static ml_status grow(ml_context *context, void *user)
{
    const growth *g = user;
    ml_model *copy = NULL;
    ml_status st;

    (void)context;
    ML__TRY(ml_model_start_from(g->model, g->from));
    ML__TRY(ml_model_clone(g->model, &copy));
    ML__TRY(ml_model_fit(copy, g->data, NULL));
    ML__TRY(ml_model_partial_fit(copy, g->data, NULL));
    CHECK(n_seen(copy) == 3 * N);
done:
    ml_model_free(copy);
    CHECK_OK(ml_model_start_from(g->model, NULL));
    return st;
}

TEST(start, every_allocation_may_fail)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);
    ml_dataset *data = mixed_rows(context, N, K, false);
    growth g = {.model = new_tally(context), .from = fitted_tally(context, data), .data = data};

    CHECK(test_failing_allocations(&a, context, "start", grow, &g) > 0);
    ml_model_free(g.model);
    ml_model_free(g.from);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(a.n_live == 0);
}
