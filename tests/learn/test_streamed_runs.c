/* SPDX-License-Identifier: Apache-2.0 */
/* Fits on rows that are not in memory, whatever the kind: monitors within passes, what composites keep, messages. */
#include <time.h>

#include "streamed_toys.h"

static void set_labels(ml_dataset *data, size_t n)
{
    int64_t *y = malloc(n * sizeof *y);

    for (size_t i = 0; i < n; i++)
        y[i] = (int64_t)(i % 3);
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, n, -1));
    free(y);
}

static ml_model *after_scaler(ml_context *context, const char *kind)
{
    ml_model *pipe = new_model(context, "pipeline");

    CHECK_OK(ml_model_add_member(pipe, "scale", new_model(context, "standard_scaler")));
    CHECK_OK(ml_model_add_member(pipe, "last", new_model(context, kind)));
    return pipe;
}

/* ---- monitors ---- */

/* Rows that count how often they are read, and take a while once. */
typedef struct slow_source {
    ml__source source;
    const toy *rows;
    atomic_size_t n_reads;
    size_t slow_read; /* this one (1-based) takes longer than a monitor waits; 0: none */
} slow_source;

static ml_status read_slowly(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    static const struct timespec WHILE = {.tv_nsec = 60000000};
    slow_source *s = (slow_source *)source;
    toy_source plain = {.rows = s->rows};

    if (atomic_fetch_add(&s->n_reads, 1) + 1 == s->slow_read)
        nanosleep(&WHILE, NULL);
    return toy_read(&plain.source, first, n, dtype, out);
}

static void keep_open(ml__source *source)
{
    (void)source;
}

static ml_dataset *open_slow(ml_context *context, slow_source *s)
{
    const ml__schema features = {.n_features = s->rows->d};
    ml_dataset *data;

    s->source = (ml__source){.read = read_slowly, .close = keep_open};
    atomic_init(&s->n_reads, 0);
    CHECK_OK(ml__dataset_of_source(context, &s->source, s->rows->n, ML_FLOAT64, false, &features, &data));
    set_labels(data, s->rows->n);
    return data;
}

typedef struct watcher {
    const slow_source *source;
    size_t n_calls, cancel_at; /* call number, 1-based */
    size_t n_reads;            /* before that call */
    bool is_divisible;         /* `total` was never 0 */
} watcher;

static int32_t cancel_in_time(void *user, const ml_progress *progress)
{
    watcher *w = user;

    w->is_divisible = w->is_divisible && progress->total > 0 && progress->done <= progress->total;
    if (++w->n_calls < w->cancel_at)
        return ML_MONITOR_CONTINUE;
    w->n_reads = atomic_load(&w->source->n_reads);
    return ML_MONITOR_CANCEL;
}

/* The fit ends with the call that cancels, and threads read no more than what they had begun with. */
static void check_cancelled(ml_model *model, const ml_dataset *data, slow_source *source, watcher *w,
                            uint32_t n_threads, const char *what)
{
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = cancel_in_time, .monitor_user = w};
    ml_status st;

    *w = (watcher){.source = source, .cancel_at = w->cancel_at, .is_divisible = true};
    atomic_store(&source->n_reads, 0);
    st = ml_model_fit(model, data, &options);
    CHECK_MSG(st == ML_E_CANCELLED, "%s: %s", what, ml_status_text(st));
    CHECK_MSG(w->n_calls == w->cancel_at && w->is_divisible, "%s: %zu calls", what, w->n_calls);
    CHECK_MSG(atomic_load(&source->n_reads) <= w->n_reads + n_threads, "%s: %zu reads before, %zu in all", what,
              w->n_reads, atomic_load(&source->n_reads));
    CHECK(!ml_model_is_fitted(model));
}

static const char *const KINDS[] = {"standard_scaler",
                                    "min_max_scaler",
                                    "max_abs_scaler",
                                    "robust_scaler",
                                    "quantile_transformer",
                                    "simple_imputer",
                                    "pca",
                                    "kmeans",
                                    "mini_batch_kmeans",
                                    "gmm",
                                    "bayesian_gmm",
                                    "gmm_classifier",
                                    "logistic_regression",
                                    "random_forest",
                                    "adaboost",
                                    "mlp"};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS, N_WITHOUT_LOOP = 7 };

TEST(streamed_runs, every_fit_can_be_cancelled_before_its_first_read)
{
    toy t = toy_blobs(20000, 4, 3, 6);
    slow_source source = {.rows = &t};

    for (uint32_t n_threads = 1; n_threads <= 2; n_threads++) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, n_threads);
        ml_dataset *data = open_slow(context, &source);

        for (size_t k = 0; k < N_KINDS; k++)
            for (int in_pipeline = 0; in_pipeline < 2; in_pipeline++) {
                ml_model *model = in_pipeline ? after_scaler(context, KINDS[k]) : new_model(context, KINDS[k]);
                watcher w = {.cancel_at = 1};

                check_cancelled(model, data, &source, &w, n_threads, KINDS[k]);
                CHECK_MSG(w.n_reads == 0, "%s: %zu reads before the monitor was asked", KINDS[k], w.n_reads);
                ml_model_free(model);
            }
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
    toy_free(&t);
}

/* A pass that takes long asks again: here at the read behind the slow one, whichever that is of those before the first step. */
TEST(streamed_runs, passes_can_be_cancelled_in_their_midst)
{
    toy t = toy_blobs(20000, 4, 3, 6);

    for (size_t k = 0; k < N_KINDS; k++)
        for (size_t slow_read = 1; slow_read <= 3; slow_read++) {
            slow_source source = {.rows = &t, .slow_read = slow_read};
            ml_dataset *data = open_slow(NULL, &source);
            ml_model *model = after_scaler(NULL, KINDS[k]);
            watcher w = {.cancel_at = 2};

            check_cancelled(model, data, &source, &w, 1, KINDS[k]);
            CHECK_MSG(w.n_reads == slow_read, "%s: %zu reads before the second call", KINDS[k], w.n_reads);
            ml_model_free(model);
            ml_dataset_free(data);
        }
    toy_free(&t);
}

/* Views are watched as well, and leave nothing behind. */
TEST(streamed_runs, fits_on_views_and_folds_can_be_cancelled)
{
    toy t = toy_blobs(6000, 4, 3, 6);
    slow_source source = {.rows = &t};
    ml_dataset *data = open_slow(NULL, &source), *train, *test;
    ml_model *model = after_scaler(NULL, "kmeans");
    watcher w = {.cancel_at = 1};
    ml_cv_options options = {.struct_size = sizeof options, .monitor = cancel_in_time, .monitor_user = &w};
    double scores[5];

    CHECK_OK(ml_dataset_split(data, 0.5, 1, ML_STRATIFY, &train, &test));
    check_cancelled(model, train, &source, &w, 1, "view");
    CHECK(w.n_reads == 0);
    ml_model_free(model);
    model = after_scaler(NULL, "logistic_regression");
    w = (watcher){.source = &source, .cancel_at = 1, .is_divisible = true};
    atomic_store(&source.n_reads, 0);
    CHECK_FAILS(ml_cross_validate(model, data, "f1_micro", &options, scores, 5), ML_E_CANCELLED,
                "the monitor stopped the fit at cross_validate/fold 1");
    CHECK(w.n_calls == 1 && atomic_load(&source.n_reads) == 0);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(data);
    toy_free(&t);
}

/* ML_MONITOR_STOP within a pass: what has to be finished is, with the same bytes where nothing can be left out. */
static int32_t stop(void *user, const ml_progress *progress)
{
    (void)user;
    (void)progress;
    return ML_MONITOR_STOP;
}

TEST(streamed_runs, stopping_within_a_pass_leaves_a_whole_model)
{
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = stop};
    toy t = toy_blobs(3000, 4, 3, 6);
    ml_dataset *data = toy_streamed(NULL, &t, NULL, 0);

    set_labels(data, t.n);
    for (size_t k = 0; k < N_KINDS; k++) {
        ml_model *model = new_model(NULL, KINDS[k]);
        size_t n_stopped, n_whole;
        void *stopped, *whole;

        CHECK_OK(ml_model_fit(model, data, &options));
        stopped = test_saved(model, &n_stopped);
        CHECK_OK(ml_model_fit(model, data, NULL));
        whole = test_saved(model, &n_whole);
        if (k < N_WITHOUT_LOOP)
            CHECK_SAME_BYTES(stopped, n_stopped, whole, n_whole);
        free(stopped);
        free(whole);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    toy_free(&t);
}

/* ---- memory ---- */

/* Bytes that a fit takes beyond the dataset, which has labels and weights; of a pipeline of scalers, or of one for each column. */
static size_t peak_of_scalers(const toy *t, const char *kind, size_t n_members, bool is_view)
{
    toy_allocator allocator = {0};
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = 1, .allocator = {toy_allocate, toy_release, &allocator}};
    size_t before, peak, *rows = malloc(t->n * sizeof *rows);
    ml_context *context;
    ml_dataset *data, *view = NULL;
    ml_model *model;
    char name[32], columns[256] = "";

    CHECK_OK(ml_context_create(&options, &context));
    model = new_model(context, kind);
    for (size_t m = 0; m < n_members; m++) {
        snprintf(name, sizeof name, "m%zu", m);
        CHECK_OK(ml_model_add_member(model, name, new_model(context, "standard_scaler")));
        snprintf(columns + strlen(columns), sizeof columns - strlen(columns), "%sm%zu=#%zu", m ? ";" : "", m, m % t->d);
    }
    if (!strcmp(kind, "column_transformer"))
        CHECK_OK(ml_model_set_text(model, "columns", columns));
    data = toy_streamed(context, t, NULL, 0);
    set_labels(data, t->n);
    for (size_t i = 0; i < t->n; i++)
        rows[i] = t->n - 1 - i;
    if (is_view)
        CHECK_OK(ml_dataset_subset(data, rows, t->n, &view));
    before = atomic_load(&allocator.now);
    atomic_store(&allocator.peak, before);
    CHECK_OK(ml_model_fit(model, is_view ? view : data, NULL));
    peak = atomic_load(&allocator.peak) - before;
    ml_model_free(model);
    ml_dataset_free(view);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(atomic_load(&allocator.now) == 0);
    free(rows);
    return peak;
}

/* Outputs and weights are there once, however many steps there are. */
TEST(streamed_runs, steps_keep_no_outputs_and_weights_of_their_own)
{
    enum { N = 100000 };
    toy t = toy_blobs(N, 4, 3, 6);

    toy_weigh(&t, true, 0);
    for (int is_view = 0; is_view < 2; is_view++) {
        const size_t few = peak_of_scalers(&t, "pipeline", 2, is_view),
                     many = peak_of_scalers(&t, "pipeline", 5, is_view);
        const size_t columns = peak_of_scalers(&t, "column_transformer", 4, is_view);

        CHECK_MSG(many < few + N, "%s: %zu bytes for two steps, %zu for five", is_view ? "view" : "table", few, many);
        /* of a table the weights of one fit, of a view its rows, outputs and weights besides */
        CHECK_MSG(few < (is_view ? 40 : 10) * (size_t)N, "%s: %zu bytes", is_view ? "view" : "table", few);
        CHECK_MSG(columns < (is_view ? 40 : 10) * (size_t)N, "%s: %zu bytes", is_view ? "view" : "table", columns);
    }
    toy_free(&t);
}

/* What is shared is what was there: supervised steps see it, and a table outlives none of it. */
TEST(streamed_runs, steps_see_the_outputs_and_weights_of_the_table)
{
    toy t = toy_blobs(900, 4, 3, 6);
    ml_dataset *data[2];
    void *bytes[2];
    size_t n[2];

    toy_weigh(&t, true, 0);
    for (int streamed = 0; streamed < 2; streamed++) {
        ml_model *pipe = new_model(NULL, "pipeline");
        data[streamed] = streamed ? toy_streamed(NULL, &t, NULL, 0) : toy_in_memory(NULL, &t);
        set_labels(data[streamed], t.n);
        for (int step = 0; step < 3; step++)
            add_member(pipe, (const char *[]){"a", "b", "c"}[step],
                       step < 2 ? "standard_scaler" : "logistic_regression");
        CHECK_OK(ml_model_fit(pipe, data[streamed], NULL));
        bytes[streamed] = test_saved(pipe, &n[streamed]);
        ml_model_free(pipe);
        CHECK_OK(ml_dataset_set_weights(data[streamed], NULL, 0)); /* nothing holds it any more */
        ml_dataset_free(data[streamed]);
    }
    CHECK_SAME_BYTES(bytes[0], n[0], bytes[1], n[1]);
    free(bytes[0]);
    free(bytes[1]);
    toy_free(&t);
}

/* ---- messages ---- */

TEST(streamed_runs, a_copy_beyond_the_memory_limit_is_named)
{
    static const char *const COPYING[] = {"random_forest", "mlp", "logistic_regression", "adaboost"};
    toy t = toy_blobs(60000, 32, 3, 6);
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = 1, .memory_limit = 4 << 20};
    ml_context *context;
    ml_dataset *data;

    CHECK_OK(ml_context_create(&options, &context));
    data = toy_streamed(context, &t, NULL, 0);
    set_labels(data, t.n);
    for (size_t k = 0; k < 4; k++) {
        ml_model *model = new_model(context, COPYING[k]);
        char expected[128];

        snprintf(expected, sizeof expected, "%s keeps 60000 x 32 features in memory: memory limit of ", COPYING[k]);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_MEMORY, expected);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    ml_context_free(context);
    toy_free(&t);
}
