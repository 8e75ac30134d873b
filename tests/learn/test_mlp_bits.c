/* SPDX-License-Identifier: Apache-2.0 */
/* The perceptron's bits: for any number of threads, from any executor, for a row alone and among others. */
#include "mlp_toys.h"

TEST(mlp, any_number_of_threads_and_any_repetition_gives_the_same_bytes)
{
    static const uint32_t N_THREADS[] = {1, 1, 2, 3, 7};
    static float theta[2][ROOM];
    size_t n = 0;

    for (size_t i = 0; i < sizeof N_THREADS / sizeof *N_THREADS; i++) {
        bench c;
        open_context(&c, N_THREADS[i]);
        ml_dataset *data = toy_classes(c.context);
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=33,17", "max_iter=20", "early_stopping=true"));

        CHECK_OK(ml_model_fit(model, data, NULL));
        n = weights_of(model, theta[i > 0], ROOM - 1) * sizeof(float);
        CHECK_SAME_BYTES(theta[0], n, theta[i > 0], n);
        ml_model_free(model);
        ml_dataset_free(data);
        close_context(&c);
    }
}

/* Products of 60 x 300 x 128 multiply-adds and more are shared (kernel/product.h). */
static ml_dataset *wide_classes(ml_context *context)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_make(context, "classification", "n_samples=600,n_features=300,n_informative=5", &data));
    return data;
}

static const char *const LARGE_NETWORK[] = {"hidden_layer_sizes=128,256", "max_iter=3", "early_stopping=true", NULL};

TEST(mlp, threads_that_share_products_give_the_same_bytes)
{
    static const uint32_t N_THREADS[] = {1, 2, 3, 7};
    static const char *const SOLVERS[] = {"adam", "sgd"};

    for (size_t s = 0; s < 2; s++) {
        void *bytes[4];
        size_t n[4];

        for (size_t i = 0; i < 4; i++) {
            bench c;
            open_context(&c, N_THREADS[i]);
            ml_dataset *data = wide_classes(c.context);
            ml_model *model = make(c.context, LARGE_NETWORK);

            CHECK_OK(ml_model_set_text(model, "solver", SOLVERS[s]));
            CHECK_OK(ml_model_fit(model, data, NULL));
            bytes[i] = test_saved(model, &n[i]);
            CHECK_SAME_BYTES(bytes[0], n[0], bytes[i], n[i]);
            ml_model_free(model);
            ml_dataset_free(data);
            close_context(&c);
        }
        for (size_t i = 0; i < 4; i++)
            free(bytes[i]);
    }
}

/* Runs all tasks and counts the calls; fails from call fail_from on, when that is not 0. */
typedef struct host {
    size_t n_runs, fail_from;
} host;

static int32_t run_all(void *user, size_t n_tasks, void (*task)(void *, size_t), void *argument)
{
    host *h = user;

    for (size_t i = 0; i < n_tasks; i++)
        task(argument, i);
    return ++h->n_runs == h->fail_from;
}

TEST(mlp, an_executor_that_fails_in_any_product_fails_the_fit)
{
    static const char *const SOLVERS[] = {"adam", "sgd"};
    host h = {0};
    const ml_context_options options = {.struct_size = sizeof options, .executor = {run_all, &h}};
    ml_context *context;
    ml_dataset *data;
    ml_model *model;

    CHECK_OK(ml_context_create(&options, &context));
    data = wide_classes(context);
    model = make(context, LARGE_NETWORK);
    CHECK_OK(ml_model_set_int(model, "max_iter", 1));
    for (size_t s = 0; s < 2; s++) {
        size_t n_runs;

        CHECK_OK(ml_model_set_text(model, "solver", SOLVERS[s]));
        h = (host){0};
        CHECK_OK(ml_model_fit(model, data, NULL));
        n_runs = h.n_runs;
        CHECK(n_runs == 16); /* three batches, five products each; then the held-out rows */
        for (size_t at = 1; at <= n_runs; at++) {
            h = (host){0, at};
            CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_EXECUTOR, "the executor returned 1");
        }
    }
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}

TEST(mlp, another_seed_gives_another_network)
{
    float a[ROOM], b[ROOM];
    size_t n;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=4", "max_iter=1"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    n = weights_of(model, a, ROOM);
    CHECK_OK(ml_model_set_int(model, "random_state", 1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    (void)weights_of(model, b, ROOM);
    CHECK(memcmp(a, b, n * sizeof *a));
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, a_row_alone_is_predicted_as_in_a_batch)
{
    static const char *const ACTIVATIONS[] = {"activation=relu", "activation=tanh", "activation=logistic"};
    double X[N * D], all[N * 3], one[3];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    toy_matrix(X);
    for (size_t a = 0; a < 3; a++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=19,5", "max_iter=5", ACTIVATIONS[a]));
        size_t n_scratch;
        void *scratch;

        CHECK_OK(ml_model_fit(model, data, NULL));
        n_scratch = ml_model_scratch_size(model);
        scratch = aligned_alloc(64, (n_scratch + 63) / 64 * 64);
        for (int32_t what = ML_PREDICT_PROBA; what <= ML_DECISION; what++) {
            CHECK_OK(what == ML_DECISION ? ml_model_decision(model, data, all, N * 3)
                                         : ml_model_predict_proba(model, data, all, N * 3));
            for (size_t i = 0; i < N; i++) {
                CHECK_OK(ml_model_predict_row(model, what, X + i * D, D, one, 3, scratch, n_scratch));
                CHECK_SAME_BYTES(all + 3 * i, sizeof one, one, sizeof one);
            }
        }
        free(scratch);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* Sizes whose products are shared in blocks of rows and not for a row; widths of whole tiles and one column more. */
TEST(mlp, a_row_of_a_large_network_is_predicted_as_in_a_batch)
{
    static const char *const LAYERS[] = {"hidden_layer_sizes=128,65", "hidden_layer_sizes=256,129"};
    enum { N_ROWS = 600, N_FEATURES = 300 };
    bench c;
    open_context(&c, 2);
    ml_dataset *data = wide_classes(c.context);
    double *X = malloc((size_t)N_ROWS * N_FEATURES * sizeof *X), *all = malloc(2 * N_ROWS * sizeof *all), one[2];

    ml__dataset_read(data, 0, N_ROWS, ML_FLOAT64, X);
    for (size_t l = 0; l < 2; l++) {
        ml_model *model = make(c.context, WITH(LAYERS[l], "max_iter=1"));
        size_t n_scratch;
        void *scratch;

        CHECK_OK(ml_model_fit(model, data, NULL));
        n_scratch = ml_model_scratch_size(model);
        scratch = aligned_alloc(64, (n_scratch + 63) / 64 * 64);
        CHECK_OK(ml_model_decision(model, data, all, 2 * N_ROWS));
        for (size_t i = 0; i < N_ROWS; i++) {
            CHECK_OK(
                ml_model_predict_row(model, ML_DECISION, X + i * N_FEATURES, N_FEATURES, one, 2, scratch, n_scratch));
            CHECK_SAME_BYTES(all + 2 * i, sizeof one, one, sizeof one);
        }
        free(scratch);
        ml_model_free(model);
    }
    free(X);
    free(all);
    ml_dataset_free(data);
    close_context(&c);
}
