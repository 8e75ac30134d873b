/* SPDX-License-Identifier: Apache-2.0 */
/* Scalers, simple_imputer and pca on rows that are not in memory, and what copies them: the bytes of a fit in memory, failing
 * reads, bounded memory, predictions, views. */
#include "model/model.h"
#include "streamed_toys.h"

/* Kind, then settings. */
static const char *const CASES[][5] = {
    {"standard_scaler"},
    {"min_max_scaler"},
    {"max_abs_scaler"},
    {"robust_scaler"},
    {"robust_scaler", "unit_variance=true", "quantile_range=10,80"},
    {"quantile_transformer"},
    {"quantile_transformer", "n_quantiles=30", "subsample=200", "random_state=4"},
    {"simple_imputer"},
    {"simple_imputer", "strategy=median"},
    {"simple_imputer", "strategy=most_frequent", "add_indicator=true"},
    {"simple_imputer", "strategy=constant", "add_indicator=true"},
    {"pca"},
    {"pca", "n_components=2", "incremental=true"},
};
enum { N_CASES = sizeof CASES / sizeof *CASES, PCA = N_CASES - 2 };

static void check_cases(const toy *t, size_t n_cases)
{
    for (size_t c = 0; c < n_cases; c++)
        toy_check(CASES[c][0], CASES[c] + 1, t, 1);
}

static void lose(toy *t)
{
    uint64_t state = 5;

    for (size_t v = 0; v < t->n * t->d; v++)
        if (v % t->d != 1 && toy_uniform(&state) < 0.1)
            t->x[v] = NAN;
}

/* One block, some blocks, more blocks than slots, fewer rows than features (pca takes the other way then). */
TEST(streamed_scalers, same_bytes_whatever_the_size)
{
    static const size_t ROWS[] = {30, 1500, 20000, 17}, WIDTHS[] = {3, 9, 4, 40};

    for (size_t i = 0; i < 4; i++) {
        toy t = toy_blobs(ROWS[i], WIDTHS[i], 3, i);

        check_cases(&t, N_CASES);
        toy_free(&t);
    }
}

TEST(streamed_scalers, same_bytes_with_weights_and_missing_entries)
{
    for (size_t skip = 0; skip <= 3; skip += 3) {
        toy t = toy_blobs(3001, 6, 3, 9);

        toy_weigh(&t, true, skip);
        check_cases(&t, N_CASES);
        lose(&t);
        check_cases(&t, PCA);
        toy_free(&t);
    }
}

/* Columns are gathered some at a time: more rows than all of them have room for. */
TEST(streamed_scalers, columns_come_in_groups)
{
    toy t = toy_blobs(100000, 17, 3, 2);
    size_t n_want, n_got;
    const char *const *settings = SETTINGS("with_scaling=true");
    void *want = test_made(2, toy_fit_bytes, &(toy_fit){"robust_scaler", settings, &t, false, 1}, &n_want);
    void *got = test_made(2, toy_fit_bytes, &(toy_fit){"robust_scaler", settings, &t, true, 1}, &n_got);

    CHECK_SAME_BYTES(got, n_got, want, n_want);
    free(want);
    free(got);
    toy_free(&t);
}

TEST(streamed_scalers, failing_reads_fail_the_fit)
{
    toy t = toy_blobs(6000, 3, 3, 3);

    for (size_t c = 0; c < N_CASES; c++)
        toy_check_failures(CASES[c][0], CASES[c] + 1, &t, 1 + c % 3);
    toy_free(&t);
}

/* 12.8 MB of rows. */
TEST(streamed_scalers, memory_is_bounded)
{
    static const char *const KINDS[] = {"standard_scaler", "min_max_scaler", "max_abs_scaler", "simple_imputer", "pca"};
    toy t = toy_blobs(100000, 16, 3, 3);

    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        const char *const defaults[] = {NULL};
        const size_t peak = toy_peak(KINDS[k], defaults, &t, true);

        CHECK_MSG(peak < 5000000, "%s takes %zu bytes", KINDS[k], peak);
    }
    toy_free(&t);
}

/* Rows without weights learn what weights of 1 do, and nothing is kept for them: 8 bytes per row are 3.2 MB. */
TEST(streamed_scalers, no_weights_take_no_memory)
{
    static const char *const KINDS[] = {"standard_scaler", "min_max_scaler", "max_abs_scaler", "simple_imputer",
                                        "robust_scaler"};
    const char *const defaults[] = {NULL};
    toy none = toy_blobs(400000, 2, 3, 3), ones = none;

    ones.w = malloc(ones.n * sizeof *ones.w);
    for (size_t i = 0; i < ones.n; i++)
        ones.w[i] = 1;
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        const size_t without = toy_peak(KINDS[k], defaults, &none, true);

        CHECK_MSG(without + 3000000 < toy_peak(KINDS[k], defaults, &ones, true), "%s takes %zu bytes", KINDS[k],
                  without);
        for (int streamed = 0; streamed < 2; streamed++) {
            size_t n_want, n_got;
            void *want = test_made(2, toy_fit_bytes, &(toy_fit){KINDS[k], defaults, &ones, streamed, 1}, &n_want);
            void *got = test_made(2, toy_fit_bytes, &(toy_fit){KINDS[k], defaults, &none, streamed, 1}, &n_got);

            CHECK_SAME_BYTES(got, n_got, want, n_want);
            free(want);
            free(got);
        }
    }
    toy_free(&ones); /* the rows are those of both */
}

/* ---- kinds that copy the rows, predictions, views ---- */

static void set_labels(ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    int64_t *labels = malloc(n * sizeof *labels);

    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)(i * 7 % 3);
    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, n, -1));
    free(labels);
}

static ml_model *pipeline_of(const char *kind)
{
    ml_model *pipeline = new_model(NULL, "pipeline");

    add_member(pipeline, "scale", "standard_scaler");
    add_member(pipeline, "last", kind);
    return pipeline;
}

/* What a model of the one says of the other. */
static void check_predictions(const ml_model *model, const ml_dataset *memory, const ml_dataset *streamed)
{
    const size_t n = ml_dataset_n_rows(memory);

    for (int32_t what = ML_PREDICT; what <= ML_SCORE_SAMPLES; what++) {
        const size_t n_out = n * ml_model_width(model, what);
        double *a = malloc((n_out + 1) * sizeof *a), *b = malloc((n_out + 1) * sizeof *b);

        if (n_out) {
            CHECK_OK(ml__model_apply(model, what, memory, a, n_out));
            CHECK_OK(ml__model_apply(model, what, streamed, b, n_out));
            CHECK_SAME_BYTES(a, n_out * sizeof *a, b, n_out * sizeof *b);
        }
        free(a);
        free(b);
    }
}

static void check_pair(ml_model *model, const ml_dataset *memory, const ml_dataset *streamed)
{
    size_t n_want, n_got;
    void *want, *got;

    CHECK_OK(ml_model_fit(model, memory, NULL));
    want = test_saved(model, &n_want);
    CHECK_OK(ml_model_fit(model, streamed, NULL));
    got = test_saved(model, &n_got);
    CHECK_SAME_BYTES(got, n_got, want, n_want);
    check_predictions(model, memory, streamed);
    free(want);
    free(got);
}

TEST(streamed_scalers, every_kind_learns_and_predicts_the_same)
{
    static const char *const KINDS[] = {
        "standard_scaler",     "pca",           "kmeans",        "gmm",      "gmm_classifier",
        "logistic_regression", "random_forest", "decision_tree", "adaboost", "mlp"};
    toy t = toy_blobs(900, 4, 3, 6);
    ml_dataset *memory = toy_in_memory(NULL, &t), *streamed = toy_streamed(NULL, &t, NULL, 0);

    set_labels(memory);
    set_labels(streamed);
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (int in_pipeline = 0; in_pipeline < 2; in_pipeline++) {
            ml_model *model = in_pipeline ? pipeline_of(KINDS[k]) : new_model(NULL, KINDS[k]);

            (void)ml_model_set_int(model, in_pipeline ? "last__max_iter" : "max_iter", 5);
            (void)ml_model_set_int(model, in_pipeline ? "last__n_estimators" : "n_estimators", 5);
            check_pair(model, memory, streamed);
            ml_model_free(model);
        }
    ml_dataset_free(memory);
    ml_dataset_free(streamed);
    toy_free(&t);
}

/* Folds shuffle, so that rows are read one by one and in short runs. */
TEST(streamed_scalers, folds_and_splits_are_the_same)
{
    static const char *const KINDS[] = {"standard_scaler", "robust_scaler", "pca", "logistic_regression"};
    toy t = toy_blobs(1200, 4, 3, 6);
    ml_dataset *memory = toy_in_memory(NULL, &t), *streamed = toy_streamed(NULL, &t, NULL, 0);
    ml_dataset *parts[2][2];

    set_labels(memory);
    set_labels(streamed);
    for (size_t fold = 0; fold < 3; fold++) {
        const uint32_t flags = fold == 2 ? ML_ORDERED : ML_STRATIFY;

        CHECK_OK(ml_dataset_fold(memory, 3, fold, 1, flags, &parts[0][0], &parts[0][1]));
        CHECK_OK(ml_dataset_fold(streamed, 3, fold, 1, flags, &parts[1][0], &parts[1][1]));
        for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
            for (size_t part = 0; part < 2; part++) {
                ml_model *model = new_model(NULL, KINDS[k]);

                CHECK(ml__dataset_is_streamed(parts[1][part]));
                check_pair(model, parts[0][part], parts[1][part]);
                ml_model_free(model);
            }
        for (size_t part = 0; part < 4; part++)
            ml_dataset_free(parts[part / 2][part % 2]);
    }
    ml_dataset_free(memory);
    ml_dataset_free(streamed);
    toy_free(&t);
}

/* ---- pipelines: rows are transformed when they are read ---- */

static ml_model *three_steps(ml_context *context)
{
    static const char *const KINDS[] = {"polynomial_features", "standard_scaler", "pca"};
    ml_model *pipeline = new_model(context, "pipeline");

    for (size_t k = 0; k < 3; k++)
        CHECK_OK(ml_model_add_member(pipeline, KINDS[k], new_model(context, KINDS[k])));
    return pipeline;
}

typedef struct {
    const toy *rows;
    bool streamed;
} pipeline_fit;

static void *fit_three_steps(ml_context *context, const void *argument, size_t *n_bytes)
{
    const pipeline_fit *f = argument;
    ml_dataset *data = toy_rows(context, f->rows, f->streamed);

    return test_fitted_bytes(three_steps(context), data, n_bytes);
}

TEST(streamed_scalers, pipelines_learn_the_same)
{
    toy t = toy_blobs(9001, 4, 3, 6);
    void *want;
    size_t n;

    toy_weigh(&t, true, 5);
    want = test_made(1, fit_three_steps, &(pipeline_fit){&t, false}, &n);
    test_any_threads_as("in memory", want, n, fit_three_steps, &(pipeline_fit){&t, false});
    test_any_threads_as("streamed", want, n, fit_three_steps, &(pipeline_fit){&t, true});
    free(want);
    toy_free(&t);
}

/* Members see their columns only, which are picked when rows are read. */
TEST(streamed_scalers, members_on_some_columns_learn_the_same)
{
    toy t = toy_blobs(2000, 5, 3, 6);
    ml_dataset *memory = toy_in_memory(NULL, &t), *streamed = toy_streamed(NULL, &t, NULL, 0);
    ml_dataset *folds[2][2];
    ml_model *both = new_model(NULL, "column_transformer");

    add_member(both, "a", "robust_scaler");
    add_member(both, "b", "pca");
    CHECK_OK(ml_model_set_text(both, "columns", "a=#0,#3;b=#4,#1,#2"));
    check_pair(both, memory, streamed);
    CHECK_OK(ml_dataset_fold(memory, 3, 1, 1, 0, &folds[0][0], &folds[0][1]));
    CHECK_OK(ml_dataset_fold(streamed, 3, 1, 1, 0, &folds[1][0], &folds[1][1]));
    check_pair(both, folds[0][0], folds[1][0]);
    check_pair(both, folds[0][1], folds[1][1]);
    ml_model_free(both);
    for (size_t part = 0; part < 4; part++)
        ml_dataset_free(folds[part / 2][part % 2]);
    ml_dataset_free(memory);
    ml_dataset_free(streamed);
    toy_free(&t);
}

/* The rows are 12.8 MB, those that pca sees 122 MB. */
TEST(streamed_scalers, pipelines_are_bounded)
{
    toy t = toy_blobs(100000, 16, 3, 3);
    toy_allocator allocator = {0};
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = 2, .allocator = {toy_allocate, toy_release, &allocator}};
    ml_context *context;
    ml_dataset *data;
    ml_model *model;

    CHECK_OK(ml_context_create(&options, &context));
    data = toy_streamed(context, &t, NULL, 0);
    model = new_model(context, "pipeline");
    CHECK_OK(ml_model_add_member(model, "a", new_model(context, "polynomial_features")));
    CHECK_OK(ml_model_add_member(model, "b", new_model(context, "standard_scaler")));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_MSG(atomic_load(&allocator.peak) < 6000000, "%zu bytes", atomic_load(&allocator.peak));
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    toy_free(&t);
}

/* Whatever read fails, and an overflow on the way, as in memory. */
TEST(streamed_scalers, pipelines_fail_as_a_whole)
{
    toy t = toy_blobs(3000, 3, 3, 6);
    atomic_size_t n_reads = 0;
    ml_dataset *data = toy_streamed(NULL, &t, &n_reads, 0);
    ml_model *model = three_steps(NULL);
    size_t n_all;

    CHECK_OK(ml_model_fit(model, data, NULL));
    n_all = atomic_load(&n_reads);
    ml_dataset_free(data);
    for (size_t fail_at = 1; fail_at < n_all; fail_at += 1 + n_all / 60) {
        atomic_store(&n_reads, 0);
        data = toy_streamed(NULL, &t, &n_reads, fail_at);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_IO, "cannot be read");
        ml_dataset_free(data);
    }
    t.x[2000 * 3 + 1] = 1e200;
    for (int streamed = 0; streamed < 2; streamed++) {
        data = streamed ? toy_streamed(NULL, &t, NULL, 0) : toy_in_memory(NULL, &t);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA,
                    "after step 'polynomial_features': the value in row 2000, column 7 is infinite");
        ml_dataset_free(data);
    }
    ml_model_free(model);
    toy_free(&t);
}

/* ---- allocations ---- */

typedef struct {
    const toy *rows;
    const char *kind;
} attempt;

static ml_status try_fit(ml_context *context, void *argument)
{
    const attempt *a = argument;
    const ml__schema features = {.n_features = a->rows->d};
    toy_source *source = malloc(sizeof *source);
    ml_model *model = NULL, *member;
    ml_dataset *data = NULL;
    ml_status st;

    *source = (toy_source){{.read = toy_read, .close = toy_close}, a->rows, NULL, 0};
    st = ml__dataset_of_source(context, &source->source, a->rows->n, ML_FLOAT64, true, &features, &data);
    if (st == ML_OK)
        st = ml_model_create(context, a->kind, &model);
    for (int step = 0; st == ML_OK && step < 2 && !strcmp(a->kind, "pipeline"); step++) {
        st = ml_model_create(context, step ? "pca" : "standard_scaler", &member);
        if (st == ML_OK) {
            st = ml_model_add_member(model, step ? "b" : "a", member);
            if (st != ML_OK)
                ml_model_free(member);
        }
    }
    if (st == ML_OK)
        st = ml_model_fit(model, data, NULL);
    ml_model_free(model);
    ml_dataset_free(data);
    return st;
}

TEST(streamed_scalers, failing_allocations_leak_nothing)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 2);
    toy t = toy_blobs(600, 3, 3, 6);

    for (size_t c = 0; c <= N_CASES; c++) {
        attempt a = {&t, c < N_CASES ? CASES[c][0] : "pipeline"};
        CHECK(test_failing_allocations(&allocator, context, a.kind, try_fit, &a) > 5);
    }
    toy_free(&t);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
