/* SPDX-License-Identifier: Apache-2.0 */
/* The perceptron's bits: for any number of threads, from any executor, for a row alone (but for its last bits) and among others. */
#include "mlp_toys.h"

static void *fit_classes(ml_context *context, const void *settings, size_t *n_bytes)
{
    return test_fitted_bytes(make(context, settings), toy_classes(context), n_bytes);
}

TEST(mlp, any_number_of_threads_and_any_repetition_gives_the_same_bytes)
{
    test_any_threads("mlp", fit_classes, WITH("hidden_layer_sizes=33,17", "max_iter=20", "early_stopping=true"));
}

/* Products of 60 x 300 x 128 multiply-adds and more are shared (kernel/product.h). */
static ml_dataset *wide_classes(ml_context *context)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_make(context, "classification", "n_samples=600,n_features=300,n_informative=5", &data));
    return data;
}

static const char *const LARGE_NETWORK[] = {"hidden_layer_sizes=128,256", "max_iter=3", "early_stopping=true", NULL};

static void *fit_wide(ml_context *context, const void *solver, size_t *n_bytes)
{
    ml_model *model = make(context, LARGE_NETWORK);

    CHECK_OK(ml_model_set_text(model, "solver", solver));
    return test_fitted_bytes(model, wide_classes(context), n_bytes);
}

TEST(mlp, threads_that_share_products_give_the_same_bytes)
{
    test_any_threads("adam", fit_wide, "adam");
    test_any_threads("sgd", fit_wide, "sgd");
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

/* Row by row: within what float's roundings add up to, the same in every call, from any place; and a batch of that row
 * alone gives the bytes of the large batch. `all` is what that has. */
static void check_rows_alone(const ml_model *model, const ml_dataset *data, int32_t what, const double *all)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data), width = ml_model_width(model, what);
    const size_t n_scratch = ml_model_scratch_size(model);
    double *x = malloc(d * sizeof *x), *one = malloc(3 * width * sizeof *one);
    double *again = one + width, *batch = one + 2 * width;
    char *scratch = malloc(n_scratch + 1);

    for (size_t i = 0; i < n; i += 1 + n / 200) {
        ml_dataset *row;

        CHECK_OK(ml_dataset_row(data, i, x, d));
        CHECK_OK(ml_model_predict_row(model, what, x, d, one, width, scratch, n_scratch));
        CHECK_OK(ml_model_predict_row(model, what, x, d, again, width, scratch + 1, n_scratch));
        CHECK_SAME_BYTES(one, width * sizeof *one, again, width * sizeof *one);
        for (size_t j = 0; j < width; j++)
            CHECK_CLOSE(one[j], all[i * width + j], 1e-5);
        CHECK_OK(ml_dataset_subset(data, &i, 1, &row));
        CHECK_OK(what == ML_DECISION        ? ml_model_decision(model, row, batch, width)
                 : what == ML_PREDICT_PROBA ? ml_model_predict_proba(model, row, batch, width)
                                            : ml_model_predict(model, row, batch, width));
        CHECK_SAME_BYTES(all + i * width, width * sizeof *all, batch, width * sizeof *all);
        ml_dataset_free(row);
    }
    free(x);
    free(one);
    free(scratch);
}

TEST(mlp, a_row_alone_is_predicted_as_in_a_batch_but_for_its_last_bits)
{
    double all[N * 3];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t a = 0; a < ML__MLP_N_ACTIVATIONS; a++) {
        static const char *const NAMES[] = {"relu", "tanh",       "logistic", "identity",
                                            "elu",  "leaky_relu", "gelu",     "softplus"};
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=19,5,70", "max_iter=5"));

        CHECK_OK(ml_model_set_text(model, "activation", NAMES[a]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_decision(model, data, all, N * 3));
        check_rows_alone(model, data, ML_DECISION, all);
        CHECK_OK(ml_model_predict(model, data, all, N));
        check_rows_alone(model, data, ML_PREDICT, all);
        CHECK_OK(ml_model_predict_proba(model, data, all, N * 3));
        check_rows_alone(model, data, ML_PREDICT_PROBA, all);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}

/* Sizes whose products are shared in blocks of rows and not for a row; widths of whole tiles and one column more. */
TEST(mlp, a_row_of_a_large_network_is_predicted_as_in_a_batch_but_for_its_last_bits)
{
    static const char *const LAYERS[] = {"hidden_layer_sizes=128,65", "hidden_layer_sizes=256,129"};
    double *all = malloc(2 * 600 * sizeof *all);
    bench c;
    open_context(&c, 2);
    ml_dataset *data = wide_classes(c.context);

    for (size_t l = 0; l < 2; l++) {
        ml_model *model = make(c.context, WITH(LAYERS[l], "max_iter=1"));

        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_decision(model, data, all, 2 * 600));
        check_rows_alone(model, data, ML_DECISION, all);
        ml_model_free(model);
    }
    free(all);
    ml_dataset_free(data);
    close_context(&c);
}

/* Composites ask their members as they do for a batch, so what they say keeps its bytes. */
TEST(mlp, a_row_alone_keeps_its_bytes_in_composites)
{
    static const char *const COMPOSITES[] = {"pipeline", "weighted_average"};
    double all[N * 3], x[D], one[3];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t k = 0; k < 2; k++) {
        ml_model *model, *member;

        CHECK_OK(ml_model_create(c.context, COMPOSITES[k], &model));
        CHECK_OK(ml_model_create(c.context, "mlp", &member));
        CHECK_OK(ml_model_set_text(member, "hidden_layer_sizes", "64,32"));
        CHECK_OK(ml_model_set_int(member, "max_iter", 5));
        CHECK_OK(ml_model_add_member(model, "net", member));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_predict_proba(model, data, all, N * 3));
        for (size_t i = 0; i < N; i++) {
            CHECK_OK(ml_dataset_row(data, i, x, D));
            CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, x, D, one, 3, NULL, 0));
            CHECK_SAME_BYTES(all + 3 * i, sizeof one, one, sizeof one);
        }
        ml_model_free(model);
    }
    ml_dataset_free(data);
    close_context(&c);
}
