/* SPDX-License-Identifier: Apache-2.0 */
/* Networks: what the weights of rows count, and what several calls on different rows have in common. */
#include "mlp_toys.h"

static ml_dataset *subset(const ml_dataset *data, size_t first, size_t n)
{
    size_t rows[N];
    ml_dataset *part;

    for (size_t i = 0; i < n; i++)
        rows[i] = first + i;
    CHECK_OK(ml_dataset_subset(data, rows, n, &part));
    return part;
}

static ml_fit_options with_held(const ml_dataset *held)
{
    return (ml_fit_options){.struct_size = sizeof(ml_fit_options), .validation = held};
}

/* ---- weights of rows ---- */

TEST(mlp_calls, rows_of_weight_zero_are_absent)
{
    static const char *const SETTINGS[][3] = {
        {"learning_rate=cosine", "batch_size=7", "alpha=0.1"},
        {"early_stopping=true", "class_weight=balanced", "validation_fraction=0.3"},
        {"shuffle=false", "batch_size=10", "warmup_epochs=2"},
        {"solver=lbfgs", "class_weight=balanced", "alpha=1"},
    };
    double w[N];
    size_t rows[N], n = 0;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *part;

    for (size_t i = 0; i < N; i++) {
        w[i] = i < 20 || i % 5 == 2 ? 0 : 0.25 + (double)(i % 4);
        if (w[i] > 0)
            rows[n++] = i;
    }
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_dataset_subset(data, rows, n, &part));
    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++) {
        ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=8", SETTINGS[s][0], SETTINGS[s][1],
                                               SETTINGS[s][2])),
                 *want;

        CHECK_OK(ml_model_clone(model, &want));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_fit(want, part, NULL));
        check_same_weights(model, want);
        ml_model_free(model);
        ml_model_free(want);
    }
    ml_dataset_free(part);
    ml_dataset_free(data);
    close_context(&c);
}

/* A fit with all weights times `factor`, its penalties too. */
static ml_model *fit_times(ml_context *context, ml_dataset *data, const double *w, double factor, double alpha)
{
    ml_model *model = make(context, WITH("hidden_layer_sizes=6", "max_iter=8", "batch_size=7", "l1=0"));
    double scaled[N];

    for (size_t i = 0; i < N && w; i++)
        scaled[i] = w[i] * factor;
    CHECK_OK(ml_dataset_set_weights(data, w ? scaled : NULL, w ? N : 0));
    CHECK_OK(ml_model_set_real(model, "alpha", alpha * factor));
    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

TEST(mlp_calls, a_common_factor_of_the_weights_changes_penalties_only)
{
    double w[2][N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);

    for (size_t i = 0; i < N; i++) {
        w[0][i] = 1;
        w[1][i] = 0.1 + (double)(i % 7);
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t penalised = 0; penalised < 2; penalised++) {
            const double alpha = penalised ? 0.5 : 0;
            ml_model *one = fit_times(c.context, data, w[k], 1, alpha);
            ml_model *four = fit_times(c.context, data, w[k], 4, alpha);

            check_same_weights(one, four);
            if (!k) {
                ml_model *none = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=8", "batch_size=7"));
                ml_dataset *plain = toy_classes(c.context);

                CHECK_OK(ml_model_set_real(none, "alpha", alpha));
                CHECK_OK(ml_model_fit(none, plain, NULL));
                check_same_weights(one, none);
                ml_model_free(none);
                ml_dataset_free(plain);
            }
            ml_model_free(one);
            ml_model_free(four);
        }
    ml_dataset_free(data);
    close_context(&c);
}

/* Least squares without hidden layers, one row at a time: each step is eta w_i / w (t - z) x, w the mean weight. */
TEST(mlp_calls, weights_count_in_batches_of_one_row)
{
    static const size_t WIDTHS[] = {D, 1};
    static const int32_t LINK = ML__MLP_LINEAR;
    double theta[D + 1] = {0}, X[N * D], w[N], mean = 0;
    float got[ROOM];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *start = model_of(c.context, data, WIDTHS, 1, ML__MLP_RELU, &LINK, theta);
    ml_model *model =
        make(c.context, WITH("hidden_layer_sizes=", "solver=sgd", "momentum=0", "batch_size=1", "shuffle=false",
                             "alpha=0", "learning_rate_init=0.01", "max_iter=1", "transfer_layers=all"));

    toy_matrix(X);
    for (size_t i = 0; i < N; i++) {
        w[i] = i % 3 ? 0.5 : 4;
        mean += w[i] / N;
    }
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    for (size_t i = 0; i < N; i++) {
        double e = X[i * D] * X[i * D + 1] - X[i * D + 2] - theta[D];

        for (size_t j = 0; j < D; j++)
            e -= theta[j] * X[i * D + j];
        for (size_t j = 0; j < D; j++)
            theta[j] += 0.01 * w[i] / mean * e * X[i * D + j];
        theta[D] += 0.01 * w[i] / mean * e;
    }
    CHECK_OK(ml_model_start_from(model, start));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(weights_of(model, got, ROOM) == D + 1);
    for (size_t j = 0; j <= D; j++)
        CHECK_CLOSE((double)got[j], theta[j], 1e-5);
    ml_model_free(start);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- calls on different rows ---- */

/* Six steps make an epoch of all rows, one step an epoch of ten: the rate falls after two epochs, not earlier. */
TEST(mlp_calls, schedules_count_epochs_of_any_size)
{
    static float before[ROOM], after[ROOM];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *few = subset(data, 0, 10);
    ml_model *model =
        make(c.context, WITH("hidden_layer_sizes=6", "batch_size=10", "solver=sgd", "momentum=0", "alpha=0",
                             "learning_rate=step", "decay_epochs=2", "decay_rate=1e-30", "learning_rate_init=0.1"));

    for (size_t call = 0; call < 4; call++) {
        size_t n;

        CHECK_OK(ml_model_partial_fit(model, call ? few : data, NULL));
        n = weights_of(model, after, ROOM);

        if (call)
            CHECK((memcmp(before, after, n * sizeof *after) == 0) == (call > 1));
        memcpy(before, after, n * sizeof *after);
        CHECK(tensor_f64(model, "optimiser.progress", &(size_t){0})[3] == (double)(call + 1));
    }
    ml_model_free(model);
    ml_dataset_free(few);
    ml_dataset_free(data);
    close_context(&c);
}

static void check_curve(const ml_model *model, const char *name, const char *known)
{
    size_t n;
    const double *curve = tensor_f64(model, name, &n);

    CHECK(n == strlen(known));
    for (size_t e = 0; e < n; e++)
        CHECK_MSG(isnan(curve[e]) == (known[e] == '-'), "%s of epoch %zu is %g", name, e, curve[e]);
}

TEST(mlp_calls, curves_of_held_out_rows_invent_nothing)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *held = subset(data, 0, 15);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=2", "warm_start=true")), *loaded;
    const ml_fit_options options = with_held(held);
    ml_tensor tensor = {.struct_size = sizeof tensor};
    double first;
    void *bytes;
    size_t n;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_tensor(model, "validation_loss", &tensor), ML_E_ARGUMENT, "validation_loss");
    CHECK_OK(ml_model_fit(model, data, &options));
    check_curve(model, "validation_loss", "--xx");
    first = tensor_f64(model, "validation_loss", &n)[2];
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_curve(model, "validation_scores", "--xx--");
    CHECK_OK(ml_model_partial_fit(model, data, &options));
    CHECK_OK(ml_model_set_text(model, "solver", "lbfgs"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_curve(model, "validation_loss", "--xx--x--");
    CHECK(tensor_f64(model, "validation_loss", &n)[2] == first);
    check_curve(model, "loss_curve", "xxxxxxxxx");
    bytes = test_saved(model, &n);
    CHECK_OK(ml_model_load_memory(c.context, bytes, n, NULL, &loaded));
    check_curve(loaded, "validation_loss", "--xx--x--");
    free(bytes);
    ml_model_free(loaded);
    ml_model_free(model);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_calls, going_on_never_ends_with_a_worse_score)
{
    double before, after;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *held = subset(data, 0, 15);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=60", "learning_rate_init=0.03")), *best;
    const ml_fit_options options = with_held(held);

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK_OK(ml_model_score(model, held, NULL, &before));
    CHECK_OK(ml_model_clone(model, &best));
    CHECK_OK(ml_model_set_text(model, "solver", "sgd"));
    CHECK_OK(ml_model_set_text(model, "learning_rate_init", "30"));
    CHECK_OK(ml_model_set_text(model, "max_iter", "3"));
    CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
    for (size_t k = 0; k < 2; k++) {
        size_t n;
        const double *scores;

        CHECK_OK((k ? ml_model_partial_fit : ml_model_fit)(model, data, &options));
        CHECK_OK(ml_model_score(model, held, NULL, &after));
        CHECK(after == before);
        scores = tensor_f64(model, "validation_scores", &n);
        CHECK(scores[n - 1] < before); /* what the epoch reached, not what is kept */
        check_same_weights(model, best);
    }
    ml_model_free(best);
    ml_model_free(model);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

/* With steps of length nearly 0 the loss depends on the masks alone. */
TEST(mlp_calls, each_fit_draws_its_own_masks)
{
    size_t n;
    const double *curve;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=1", "learning_rate_init=1e-30",
                                           "shuffle=false", "dropout=0.5", "warm_start=true"));

    for (size_t k = 0; k < 3; k++)
        CHECK_OK(k == 2 ? ml_model_partial_fit(model, data, NULL) : ml_model_fit(model, data, NULL));
    curve = tensor_f64(model, "loss_curve", &n);
    CHECK(n == 3 && curve[0] != curve[1] && curve[1] != curve[2] && curve[0] != curve[2]);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

static void count(void *user, int32_t level, const char *message)
{
    *(size_t *)user += level == ML_LOG_WARNING && strstr(message, "cosine") != NULL;
}

TEST(mlp_calls, a_rate_that_fell_to_zero_is_told)
{
    size_t n_warnings = 0;
    const ml_context_options options = {.struct_size = sizeof options, .log = count, .log_user = &n_warnings};
    ml_context *context;
    ml_dataset *data;
    ml_model *model;

    CHECK_OK(ml_context_create(&options, &context));
    data = toy_classes(context);
    model = make(context, WITH("hidden_layer_sizes=6", "max_iter=2", "learning_rate=cosine"));
    for (size_t k = 0; k < 4; k++) {
        CHECK_OK(ml_model_partial_fit(model, data, NULL));
        CHECK(n_warnings == (k < 2 ? 0 : k - 1));
    }
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}

/* ---- derivatives far out ---- */

TEST(mlp_calls, gelu_has_its_limits_far_out)
{
    const float z[] = {1e20F, -1e20F, 3e38F, -3e38F, 2e19F, 6, 1e10F}, h[7] = {0};
    const double z64[] = {1e155, -1e155}, h64[2] = {0};
    float d[] = {1, 1, 1, 1, 1, 1, 1};
    double d64[] = {1, 1};

    ml__mlp_derive(&ml__kernels_best()->f32, ML__MLP_GELU, 7, z, h, d);
    for (size_t i = 0; i < 7; i++)
        CHECK_CLOSE((double)d[i], z[i] > 0, 1e-6);
    ml__mlp64_derive(&ml__kernels_best()->f64, ML__MLP_GELU, 2, z64, h64, d64);
    CHECK(d64[0] == 1 && d64[1] == 0);
}
