/* SPDX-License-Identifier: Apache-2.0 */
/* Networks at the edges: numbers that leave the range, allocations that fail, random settings. */
#include "mlp_toys.h"

/* ---- numbers ---- */

TEST(mlp_limits, a_failed_fit_leaves_what_was_learned_before)
{
    double y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=3", "solver=sgd", "batch_size=20")),
             *before;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_clone(model, &before));
    for (size_t i = 0; i < N; i++)
        y[i] = i < 50 ? 0 : 1e60; /* in the last of three batches, without shuffling */
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_OK(ml_model_set_text(model, "shuffle", "false"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "the loss is inf in epoch 1, batch 3;");
    check_same_weights(model, before);
    CHECK_FAILS(ml_model_partial_fit(model, data, NULL), ML_E_NUMERIC, "the loss is inf in epoch 4, batch 3;");
    check_same_weights(model, before);
    CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "the loss is inf in epoch 4, batch 3;");
    CHECK_OK(ml_model_set_text(model, "solver", "lbfgs"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "");
    check_same_weights(model, before);
    ml_model_free(model);
    ml_model_free(before);
    ml_dataset_free(data);
    close_context(&c);
}

/* A linear model whose logits are +-1e4: losses in closed form, probabilities 0 and 1. */
TEST(mlp_limits, extreme_logits_have_finite_losses)
{
    static const double THETA[] = {1e4, -1e4, 0, 0, 0, 0, 0, 0}; /* 3 x 2, 2 */
    static const double THETA_1[] = {1e4, 0, 0, 0};
    static const int32_t SOFT = ML__MLP_SOFTMAX, LOGISTIC = ML__MLP_LOGISTIC_OUTPUT;
    static const size_t TWO[] = {D, 2}, ONE[] = {D, 1};
    double X[N * D] = {0}, p[2 * N];
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data;

    for (size_t i = 0; i < N; i++) {
        X[i * D] = i % 2 ? 1 : -1;
        y[i] = i % 4 < 2; /* right, wrong, ... */
    }
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    for (size_t binary = 0; binary < 2; binary++)
        for (size_t s = 0; s < 3; s++) {
            const char *const SOLVERS[] = {"solver=adam", "solver=sgd", "solver=lbfgs"};
            ml_model *from = model_of(c.context, data, binary ? ONE : TWO, 1, ML__MLP_RELU, binary ? &LOGISTIC : &SOFT,
                                      binary ? THETA_1 : THETA);
            ml_model *model = make(c.context, WITH("hidden_layer_sizes=", "transfer_layers=all", "alpha=0",
                                                   "max_iter=1", "learning_rate_init=1e-9", SOLVERS[s]));
            size_t n;

            CHECK_OK(ml_model_set_text(model, "loss", binary ? "auto" : "cross_entropy"));
            CHECK_OK(ml_model_start_from(model, from));
            CHECK_OK(ml_model_fit(model, data, NULL));
            if (s < 2) /* wrong for half the rows, by 2e4 or 1e4 */
                CHECK_CLOSE(tensor_f64(model, "loss_curve", &n)[0], binary ? 5e3 : 1e4, 1e-6);
            CHECK_OK(ml_model_predict_proba(from, data, p, 2 * N));
            for (size_t i = 0; i < 2 * N; i++)
                CHECK(p[i] == 0 || p[i] == 1);
            ml_model_free(model);
            ml_model_free(from);
        }
    ml_dataset_free(data);
    close_context(&c);
}

/* Losses that are linear far away take targets that squares do not. */
TEST(mlp_limits, linear_losses_take_huge_targets)
{
    double y[N], got[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("max_iter=20"));

    for (size_t i = 0; i < N; i++)
        y[i] = i % 2 ? 1e37 : -1e37;
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "in epoch 1");
    for (size_t s = 0; s < 2; s++) {
        CHECK_OK(ml_model_set_text(model, "loss", s ? "huber" : "absolute_error"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_predict(model, data, got, N));
    }
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp_limits, only_shares_of_huge_weights_matter)
{
    double w[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *plain = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=5", "alpha=0")), *model;

    CHECK_OK(ml_model_clone(plain, &model));
    CHECK_OK(ml_model_fit(plain, data, NULL));
    for (size_t i = 0; i < N; i++)
        w[i] = 0x1p1000;
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_same_weights(plain, model);
    ml_model_free(plain);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* Nothing to tell rows apart by: all are predicted alike, near the shares of the classes. */
TEST(mlp_limits, equal_features_give_the_shares_of_the_classes)
{
    double X[N * D] = {0}, p[3 * N];
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data;
    ml_model *model = make(c.context, WITH("solver=lbfgs", "alpha=0", "tol=1e-7", "max_iter=1000"));

    for (size_t i = 0; i < N; i++)
        y[i] = i % 6 < 3 ? 0 : i % 6 < 5 ? 1 : 2;
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, p, 3 * N));
    for (size_t i = 0; i < N; i++) {
        CHECK_CLOSE(p[3 * i], 1.0 / 2, 1e-5);
        CHECK_CLOSE(p[3 * i + 1], 1.0 / 3, 1e-5);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- allocations ---- */

typedef struct attempt {
    ml_model *model;
    const ml_dataset *data;
    ml_status (*fit)(ml_model *model, const ml_dataset *data, const ml_fit_options *options);
} attempt;

static ml_status try_fit(ml_context *context, void *argument)
{
    static float before[ROOM], after[ROOM];
    const attempt *a = argument;
    const size_t n = weights_of(a->model, before, ROOM);
    const ml_fit_options options = {.struct_size = sizeof options, .validation = a->data};
    const ml_status st = a->fit(a->model, a->data, &options);

    (void)context;
    if (st != ML_OK) {
        CHECK(weights_of(a->model, after, ROOM) == n);
        CHECK_SAME_BYTES(before, n * sizeof *before, after, n * sizeof *after);
    }
    return st;
}

/* Two classes, a real in [0, 1] that every third row lacks. */
static ml_dataset *with_holes(ml_context *context)
{
    double y[N];
    int64_t label[N];
    ml_dataset *data = toy_classes(context);

    for (size_t i = 0; i < N; i++) {
        label[i] = i % 5 ? (int64_t)(i % 2) : -1;
        y[i] = i % 3 ? (double)(i % 7) / 7 : NAN;
    }
    CHECK_OK(ml_dataset_set_labels(data, "sign", label, N, -1));
    CHECK_OK(ml_dataset_add_targets(data, "share", y, N));
    return data;
}

TEST(mlp_limits, every_allocation_may_fail)
{
    static const char *const SETTINGS[][3] = {
        {"dropout=0.3", "clip_norm=1", "activation=gelu"},
        {"loss=binary_cross_entropy", "class_weight=balanced", "solver=sgd"},
        {"solver=lbfgs", "class_weight=sign=1:2", "max_iter=3"},
        {"freeze_layers=1", "l1=0.1", "warm_start=true"},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = with_holes(c.context);
    ml_model *from = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=1"));

    CHECK_OK(ml_model_fit(from, data, NULL));
    for (size_t s = 0; s < sizeof SETTINGS / sizeof *SETTINGS; s++) {
        attempt a = {
            make(c.context, WITH("hidden_layer_sizes=6", "max_iter=2", SETTINGS[s][0], SETTINGS[s][1], SETTINGS[s][2])),
            data, ml_model_fit};

        if (strcmp(SETTINGS[s][2], "activation=gelu") != 0)
            CHECK_OK(ml_model_start_from(a.model, from));
        CHECK_OK(ml_model_fit(a.model, data, NULL));
        CHECK_OK(try_fit(c.context, &a)); /* so that each has as many blocks of tensors as the one before */
        CHECK(test_failing_allocations(&c.allocator, c.context, SETTINGS[s][0], try_fit, &a) > 10);
        if (!strcmp(SETTINGS[s][0], "solver=lbfgs")) {
            ml_model_free(a.model);
            continue;
        }
        a.fit = ml_model_partial_fit;
        CHECK_OK(try_fit(c.context, &a));
        CHECK(test_failing_allocations(&c.allocator, c.context, SETTINGS[s][0], try_fit, &a) > 10);
        ml_model_free(a.model);
    }
    ml_model_free(from);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- random settings ---- */

static const char *pick(ml__rng *rng, const char *choices, char *buffer)
{
    size_t n = 1, at, length;

    for (const char *p = choices; *p; p++)
        n += *p == '|';
    for (at = (size_t)ml__rng_below(rng, n); at; choices++)
        at -= *choices == '|';
    length = strcspn(choices, "|");
    memcpy(buffer, choices, length);
    buffer[length] = 0;
    return buffer;
}

/* What each parameter is drawn from; a third of them are left as they are. */
static const char *const VALUES[][2] = {
    {"hidden_layer_sizes", "|1|3|7,5|4,4,4|17"},
    {"activation", ML__MLP_ACTIVATIONS},
    {"output_activation", ML__MLP_OUTPUT_ACTIVATIONS},
    {"loss", ML__MLP_LOSSES "|auto|auto|auto|auto"},
    {"huber_delta", "0.01|1|1e30"},
    {"loss_weights", "1|0|0.1,5|1,2,3|1e6"},
    {"class_weight", "none|balanced|0:2|a=1:0.5"},
    {"dropout", "0|0.5|0.999|0.1,0.9|0,0,0.3"},
    {"solver", ML__MLP_OPTIMISERS},
    {"alpha", "0|0.1|1e6"},
    {"l1", "0|0.01|1e3"},
    {"batch_size", "1|7|1000|auto"},
    {"learning_rate_init", "1e-12|0.001|0.3|1e6"},
    {"learning_rate", ML__MLP_RATES},
    {"decay_epochs", "1|3"},
    {"warmup_epochs", "0|0.01|2.5|100"},
    {"max_iter", "1|2|6"},
    {"max_fun", "1|10|100"},
    {"shuffle", "true|false"},
    {"warm_start", "true|false"},
    {"tol", "0|0.1|1e9"},
    {"momentum", "0|0.9|1"},
    {"early_stopping", "true|false"},
    {"validation_fraction", "0.01|0.3|0.9"},
    {"n_iter_no_change", "1|3"},
    {"beta_1", "0|0.9|0.999999"},
    {"beta_2", "0|0.999|0.999999"},
    {"epsilon", "1e-30|1e-8|10"},
    {"weight_decay", "0|0.01|1"},
    {"clip_norm", "0|1e-9|1|1e9"},
    {"transfer_layers", "auto|1|2|all|encoder"},
    {"freeze_layers", "0|0|0|1|2"},
    {"transfer_rate", "0|1|10"},
};

/* 1 to 3 outputs of any sort with holes; features of any size. */
static ml_dataset *random_data(ml_context *context, ml__rng *rng)
{
    enum { MOST = 40 };
    static const double SIZES[] = {0, 1e-30, 1, 1, 1, 1e3, 1e30};
    double X[MOST * D], y[MOST], w[MOST];
    int64_t label[MOST];
    const size_t n = 5 + (size_t)ml__rng_below(rng, MOST - 5), n_outputs = 1 + (size_t)ml__rng_below(rng, 3);
    const double size = SIZES[ml__rng_below(rng, 7)], target = SIZES[ml__rng_below(rng, 7)];
    ml_dataset *data;

    for (size_t i = 0; i < n * D; i++)
        X[i] = size * ml__rng_normal(rng);
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, n, D, 0, 0, ML_COPY, &data));
    for (size_t o = 0; o < n_outputs; o++) {
        const char name[] = {(char)('a' + o), 0};
        const uint64_t sort = ml__rng_below(rng, 4), n_classes = 1 + ml__rng_below(rng, 3);

        for (size_t i = 0; i < n; i++) {
            const bool missing = i && ml__rng_uniform(rng) < 0.3;

            label[i] = missing ? -1 : (int64_t)ml__rng_below(rng, n_classes);
            y[i] = missing ? NAN : sort == 2 ? ml__rng_uniform(rng) : target * ml__rng_normal(rng);
            w[i] = i && ml__rng_below(rng, 4) == 0 ? 0 : ml__rng_uniform(rng) + 0.01;
        }
        if (sort < 2)
            CHECK_OK(ml_dataset_add_labels(data, name, label, n, -1));
        else
            CHECK_OK(ml_dataset_add_targets(data, name, y, n));
    }
    if (ml__rng_below(rng, 2))
        CHECK_OK(ml_dataset_set_weights(data, w, n));
    return data;
}

/* It fits or says why not; what it learned predicts finite numbers, and is the same once more and from a file. */
static bool check_random(ml_context *context, ml_model *model, const ml_dataset *data, bool partial)
{
    const size_t n = ml_dataset_n_rows(data), room = n * 3;
    ml_status (*fit)(ml_model *, const ml_dataset *, const ml_fit_options *) =
        partial ? ml_model_partial_fit : ml_model_fit;
    ml_model *again, *loaded;
    double got[3 * 40], other[3 * 40];
    ml_status st;
    size_t n_bytes, n_again;
    void *bytes, *bytes_again;

    CHECK_OK(ml_model_clone(model, &again));
    st = fit(model, data, NULL);
    CHECK_MSG(st == ML_OK || st == ML_E_PARAMETER || st == ML_E_DATA || st == ML_E_NUMERIC || st == ML_E_SHAPE,
              "%s: %s", ml_status_text(st), ml_last_error());
    CHECK(fit(again, data, NULL) == st);
    if (st != ML_OK) {
        CHECK(strlen(ml_last_error()) > 20 && !ml_model_is_fitted(model));
        ml_model_free(again);
        return false;
    }
    CHECK_OK(ml_model_save_memory(model, NULL, 0, &n_bytes));
    bytes = malloc(n_bytes);
    if (ml_model_save_memory(model, bytes, n_bytes, &n_bytes) != ML_OK) { /* a loader would not take it either */
        CHECK(strstr(ml_last_error(), "a prediction is not finite"));
        free(bytes);
        ml_model_free(again);
        return true;
    }
    bytes_again = test_saved(again, &n_again);
    CHECK_SAME_BYTES(bytes, n_bytes, bytes_again, n_again);
    CHECK_OK(ml_model_load_memory(context, bytes, n_bytes, NULL, &loaded));
    CHECK(room >= n * ml_model_width(model, ML_PREDICT));
    st = ml_model_predict(model, data, got, n * ml_model_width(model, ML_PREDICT));
    CHECK(st == ML_OK || st == ML_E_NUMERIC);
    CHECK(ml_model_predict(loaded, data, other, n * ml_model_width(model, ML_PREDICT)) == st);
    for (size_t i = 0; st == ML_OK && i < n * ml_model_width(model, ML_PREDICT); i++)
        CHECK(isfinite(got[i]) && got[i] == other[i]);
    free(bytes);
    free(bytes_again);
    ml_model_free(again);
    ml_model_free(loaded);
    return true;
}

TEST(mlp_limits, random_settings_fit_or_are_refused)
{
    enum { N_RUNS = 300 };
    size_t n_fitted = 0, n_told = 0;
    bench c;

    open_context(&c, 1);
    for (uint64_t i = 0; i < N_RUNS; i++) {
        ml__rng rng = ml__rng_make(77, i);
        ml_dataset *data = random_data(c.context, &rng);
        ml_model *model = make(c.context, NULL), *from = make(c.context, WITH("hidden_layer_sizes=7,5", "max_iter=1"));
        const size_t wild = 2 + (size_t)ml__rng_below(&rng, 9); /* of how many parameters one is drawn */
        char value[64];

        for (size_t k = 0; k < sizeof VALUES / sizeof *VALUES; k++)
            if (ml__rng_below(&rng, wild) == 0)
                CHECK_OK(ml_model_set_text(model, VALUES[k][0], pick(&rng, VALUES[k][1], value)));
        if (ml__rng_below(&rng, 4) == 0 && ml_model_fit(from, data, NULL) == ML_OK)
            CHECK_OK(ml_model_start_from(model, from));
        n_fitted += check_random(c.context, model, data, ml__rng_below(&rng, 4) == 0);
        n_told++;
        ml_model_free(from);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    if (getenv("INVAR_VERBOSE"))
        printf("    %zu of %zu fitted\n", n_fitted, n_told);
    CHECK(n_fitted > N_RUNS / 3 && n_fitted < N_RUNS);
    close_context(&c);
}
