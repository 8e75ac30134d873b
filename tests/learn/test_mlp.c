/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The perceptron as a kind: quality, stopping, numeric limits, weights, faults. Its gradients, its steps and its bits have
 * files of their own.
 */
#include "learn/mlp/layered.h"
#include "mlp_toys.h"

/* ---- quality on the shipped tables ---- */

/* Accuracy or R2, by hand. */
static double score_of(const ml_model *model, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    const bool real = !ml_dataset_n_classes(data, 0);
    double *got = malloc(n * sizeof *got), *want = malloc(n * sizeof *want), right = 0, mean = 0, e = 0, total = 0;
    int32_t *label = malloc(n * sizeof *label);

    CHECK_OK(ml_model_predict(model, data, got, n));
    if (real)
        ml__dataset_read_targets(data, 0, want);
    else
        ml__dataset_read_labels(data, 0, label);
    for (size_t i = 0; i < n; i++) {
        right += !real && got[i] == label[i];
        mean += real ? want[i] / (double)n : 0;
    }
    for (size_t i = 0; i < n && real; i++) {
        e += (got[i] - want[i]) * (got[i] - want[i]);
        total += (want[i] - mean) * (want[i] - mean);
    }
    free(got);
    free(want);
    free(label);
    return real ? 1 - e / total : right / (double)n;
}

TEST(mlp, scores_as_scikit_learn_does_on_the_shipped_tables)
{
    static const struct {
        const char *name;
        double slack; /* about the spread of scikit-learn's own scores over seeds */
    } TABLES[] = {{"iris", 0.03},    {"wine", 0.03},   {"breast_cancer", 0.02},
                  {"digits", 0.015}, {"boston", 0.03}, {"diabetes", 0.05}};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("mlp_scores.txt"), &n_numbers);
    bench c;

    open_context(&c, 1);
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++) {
        const bool real = i >= 4;
        ml_dataset *train, *test;
        double mean = 0;

        standardised_parts(c.context, TABLES[i].name, &train, &test);
        for (int64_t seed = 0; seed < 3; seed++) {
            ml_model *model = make(c.context, real ? WITH("learning_rate_init=0.01", "max_iter=100")
                                                   : WITH("learning_rate_init=0.005", "max_iter=40"));
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, train, NULL));
            mean += score_of(model, test) / 3;
            ml_model_free(model);
        }
        if (getenv("INVAR_VERBOSE"))
            printf("    %s: %.4f, scikit-learn %.4f\n", TABLES[i].name, mean, want[i]);
        CHECK_MSG(mean >= want[i] - TABLES[i].slack, "%s: %g, scikit-learn %g", TABLES[i].name, mean, want[i]);
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
    CHECK(n_numbers == sizeof TABLES / sizeof *TABLES);
    free(want);
    close_context(&c);
}

/* ---- stopping ---- */

static int32_t count_log(const char *message, size_t *n)
{
    return strstr(message, "max_iter = 5 epochs") ? (int32_t)++ * n : 0;
}

static void log_callback(void *user, int32_t level, const char *message)
{
    if (level == ML_LOG_WARNING)
        (void)count_log(message, user);
}

TEST(mlp, iteration_limit_is_a_reason_and_a_warning)
{
    size_t n_warnings = 0, n_epochs;
    const ml_context_options options = {.struct_size = sizeof options, .log = log_callback, .log_user = &n_warnings};
    ml_context *context;
    ml_dataset *data;
    ml_model *model;

    CHECK_OK(ml_context_create(&options, &context));
    data = toy_classes(context);
    model = make(context, WITH("max_iter=5"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER);
    CHECK(n_warnings == 1);
    (void)tensor_f64(model, "loss_curve", &n_epochs);
    CHECK(n_epochs == 5);
    CHECK_FAILS(ml_model_tensor(model, "validation_scores", &(ml_tensor){.struct_size = sizeof(ml_tensor)}),
                ML_E_ARGUMENT, "validation_scores");
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}

/* Replays scikit-learn's rule on the recorded curve. */
TEST(mlp, stops_when_the_loss_no_longer_improves_by_tol)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("tol=0.01", "n_iter_no_change=4", "max_iter=1000"));
    double best = INFINITY;
    size_t n_epochs, n_stalled = 0;
    const double *loss;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    loss = tensor_f64(model, "loss_curve", &n_epochs);
    CHECK(n_epochs > 5 && n_epochs < 1000);
    for (size_t e = 0; e < n_epochs; e++) {
        CHECK(n_stalled <= 4);
        n_stalled = loss[e] > best - 0.01 ? n_stalled + 1 : 0;
        best = fmin(best, loss[e]);
    }
    CHECK(n_stalled == 5);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

static void check_best_kept(ml_model *model, const ml_dataset *data, const ml_dataset *held)
{
    const ml_fit_options options = {.struct_size = sizeof options, .validation = held};
    const double *scores;
    double best = -INFINITY;
    size_t n_epochs;

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    scores = tensor_f64(model, "validation_scores", &n_epochs);
    for (size_t e = 0; e < n_epochs; e++)
        best = fmax(best, scores[e]);
    CHECK(scores[n_epochs - 1] < best); /* or else restoring would not show */
    CHECK_CLOSE(score_of(model, held), best, 1e-6);
}

TEST(mlp, early_stopping_restores_the_best_weights)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *classes = toy_classes(c.context), *reals = toy_reals(c.context, 1), *train, *held;
    ml_model *model = make(c.context, WITH("learning_rate_init=0.02", "n_iter_no_change=20", "max_iter=2000"));

    CHECK_OK(ml_dataset_split(classes, 0.3, 4, ML_STRATIFY, &train, &held));
    check_best_kept(model, train, held);
    ml_dataset_free(train);
    ml_dataset_free(held);
    CHECK_OK(ml_dataset_split(reals, 0.3, 2, 0, &train, &held));
    check_best_kept(model, train, held);
    ml_dataset_free(train);
    ml_dataset_free(held);

    CHECK_OK(ml_model_set_text(model, "early_stopping", "true"));
    CHECK_OK(ml_model_set_text(model, "validation_fraction", "0.2"));
    CHECK_OK(ml_model_fit(model, classes, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_EARLY);
    ml_model_free(model);
    ml_dataset_free(classes);
    ml_dataset_free(reals);
    close_context(&c);
}

static ml_status fit_with(ml_model *model, const ml_dataset *data, const ml_dataset *held)
{
    const ml_fit_options options = {.struct_size = sizeof options, .validation = held};

    return ml_model_fit(model, data, &options);
}

TEST(mlp, validation_data_must_go_with_the_training_data)
{
    double X[N * D], w[N] = {0};
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *held, *one_missing;
    ml_model *model = make(c.context, WITH("max_iter=2"));
    size_t n_epochs;

    toy_matrix(X);
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 3);
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &held));
    CHECK_FAILS(fit_with(model, data, held), ML_E_SHAPE, "mlp: validation data: 0 outputs");
    y[0] = 7;
    CHECK_OK(ml_dataset_set_labels(held, NULL, y, N, -1));
    CHECK_FAILS(fit_with(model, data, held), ML_E_SHAPE, "has 4 classes, expected 3");
    for (size_t i = 2; i < N; i += 3)
        y[i] = 7;
    CHECK_OK(ml_dataset_set_labels(held, NULL, y, N, -1));
    CHECK_FAILS(fit_with(model, data, held), ML_E_DATA, "class 2 is '7', expected '2'");
    for (size_t i = 0; i < N; i++)
        y[i] = i < 3 ? (int64_t)i : -1; /* three labels: scores are thirds */
    CHECK_OK(ml_dataset_set_labels(held, NULL, y, N, -1));
    CHECK_OK(fit_with(model, data, held));
    CHECK_CLOSE(remainder(3 * tensor_f64(model, "validation_scores", &n_epochs)[0], 1), 0, 1e-12);
    w[N - 1] = 1;
    CHECK_OK(ml_dataset_set_weights(held, w, N));
    CHECK_FAILS(fit_with(model, data, held), ML_E_DATA, "none of the 3 rows for validation has a positive weight");
    X[4] = NAN;
    CHECK_OK(ml_dataset_from_matrix(c.context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &one_missing));
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 3);
    CHECK_OK(ml_dataset_set_labels(one_missing, NULL, y, N, -1));
    CHECK_FAILS(fit_with(model, data, one_missing), ML_E_DATA, "validation data: mlp takes no missing values, row 1");
    ml_model_free(model);
    ml_dataset_free(one_missing);
    ml_dataset_free(held);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, adaptive_rate_goes_on_where_a_constant_one_stops)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("solver=sgd", "learning_rate_init=0.05", "max_iter=3000"));
    size_t n_constant, n_adaptive;
    double loss;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    loss = tensor_f64(model, "loss_curve", &n_constant)[n_constant - 1];
    CHECK_OK(ml_model_set_text(model, "learning_rate", "adaptive"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    CHECK(tensor_f64(model, "loss_curve", &n_adaptive)[n_adaptive - 1] <= loss);
    CHECK(n_adaptive >= n_constant + 7 * 11); /* 0.05 / 5^7 < 1e-6: at least 7 more waits of 11 epochs */
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, deadline_leaves_a_usable_model)
{
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("batch_size=10", "max_iter=100000"));
    size_t n_epochs;

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE);
    (void)tensor_f64(model, "loss_curve", &n_epochs);
    CHECK(n_epochs == 1);
    CHECK(score_of(model, data) >= 0);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

typedef struct canceller {
    uint64_t at, n_ticks;
    double last;
} canceller;

static int32_t cancel_at(void *user, const ml_progress *progress)
{
    canceller *c = user;

    if (!*progress->metric) /* a poll within an epoch */
        return 0;
    CHECK(progress->done == ++c->n_ticks && progress->total == 8);
    CHECK(!strcmp(progress->metric, "loss") && isfinite(progress->value));
    CHECK(!strcmp(progress->stage, "mlp"));
    c->last = progress->value;
    return progress->done == c->at;
}

TEST(mlp, cancel_at_every_tick_leaves_the_model_as_it_was)
{
    canceller tick = {0};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = cancel_at, .monitor_user = &tick};
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *fresh = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=8"));
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=8", "random_state=1"));
    float before[ROOM], after[ROOM];
    size_t n;

    CHECK_OK(ml_model_fit(fresh, data, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    n = weights_of(model, before, ROOM);
    CHECK_OK(ml_model_set_int(model, "random_state", 0));
    for (tick.at = 1; tick.at <= 8; tick.at++) {
        tick.n_ticks = 0;
        CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_CANCELLED, "");
        CHECK(weights_of(model, after, ROOM) == n);
        CHECK_SAME_BYTES(before, n * sizeof(float), after, n * sizeof(float));
    }
    tick = (canceller){0};
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(tick.n_ticks == 8);
    check_same_weights(model, fresh);
    ml_model_free(fresh);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- numbers that leave the range ---- */

TEST(mlp, divergence_is_an_error_with_its_epoch)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model =
        make(c.context, WITH("solver=sgd", "learning_rate_init=1000000", "activation=identity", "batch_size=30"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "in epoch 2, batch 1;");
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "learning_rate_init (now 1000000)");
    CHECK(!ml_model_is_fitted(model));
    CHECK_OK(ml_model_set_text(model, "early_stopping", "true")); /* a NaN score must not hide it */
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "epoch");
    CHECK_OK(ml_model_set_text(model, "activation", "relu"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "epoch");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, targets_too_large_for_the_steps_are_an_error)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, NULL);
    double y[N];

    for (size_t i = 0; i < N; i++)
        y[i] = i % 2 ? 1e30 : -1e30; /* Adam's second moment overflows */
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "in epoch 1");
    y[0] = 1e60;
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "in epoch 1, batch 1;");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, features_too_large_to_predict_are_an_error)
{
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("learning_rate_init=0.1", "max_iter=50"));
    const double x[D] = {3e38, -3e38, 3e38};
    double p[3];

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_predict_row(model, ML_DECISION, x, D, p, 3, NULL, 0), ML_E_NUMERIC, "not finite");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- what it learns ---- */

TEST(mlp, one_class_has_probability_one)
{
    const int64_t y[N] = {0};
    double p[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("max_iter=3"));

    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, p, N));
    for (size_t i = 0; i < N; i++)
        CHECK(p[i] == 1);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, without_hidden_layer_it_is_linear)
{
    double X[N * D], y[N];
    size_t n;
    const float *W, *b;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=", "alpha=0", "learning_rate_init=0.05", "max_iter=2000",
                                           "tol=0", "n_iter_no_change=2000"));

    toy_matrix(X);
    for (size_t i = 0; i < N; i++)
        y[i] = 2 * X[i * D] - 3 * X[i * D + 2] + 0.5;
    CHECK_OK(ml_dataset_set_targets(data, NULL, y, N));
    CHECK_OK(ml_model_fit(model, data, NULL));
    W = tensor_f32(model, "weights.0", &n);
    b = tensor_f32(model, "biases.0", &n);
    CHECK(n == 1);
    CHECK_CLOSE((double)W[0], 2, 1e-3);
    CHECK_CLOSE((double)W[1], 0, 1e-3);
    CHECK_CLOSE((double)W[2], -3, 1e-3);
    CHECK_CLOSE((double)b[0], 0.5, 1e-3);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, several_reals_are_learned_together)
{
    double got[2 * N], a[N], b[N], error = 0, size = 0;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_reals(c.context, 2);
    ml_model *model = make(c.context, WITH("learning_rate_init=0.01", "max_iter=1000"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_width(model, ML_PREDICT) == 2);
    CHECK(ml_model_width(model, ML_PREDICT_PROBA) == 0 && ml_model_width(model, ML_DECISION) == 0);
    CHECK_OK(ml_model_predict(model, data, got, 2 * N));
    ml__dataset_read_targets(data, 0, a);
    ml__dataset_read_targets(data, 1, b);
    for (size_t i = 0; i < N; i++) {
        error += pow(got[2 * i] - a[i], 2) + pow(got[2 * i + 1] - b[i], 2);
        size += a[i] * a[i] + b[i] * b[i];
    }
    CHECK(error < 0.02 * size);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, what_it_does_not_learn_is_refused)
{
    int64_t y[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, NULL);

    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 2);
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_FAILS(ml_model_set_text(model, "batch_size", "0.5"), ML_E_PARAMETER,
                "'batch_size' takes a whole number in [1, 1000000000] or auto, got '0.5'");
    CHECK_OK(ml_model_set_text(model, "batch_size", "7"));
    CHECK_FAILS(ml_model_set_text(model, "activation", "swish"), ML_E_PARAMETER, "relu");
    CHECK_FAILS(ml_model_set_text(model, "hidden_layer_sizes", "5,0"), ML_E_PARAMETER, "hidden_layer_sizes");
    CHECK_FAILS(ml_model_set_real(model, "momentum", 1.5), ML_E_PARAMETER, "momentum");
    y[0] = 7; /* a class of one row cannot be held out */
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    CHECK_OK(ml_model_set_text(model, "early_stopping", "true"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "early_stopping");
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, changing_the_activation_does_not_change_a_fitted_model)
{
    double before[N * 3], after[N * 3];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("activation=tanh", "max_iter=10")), *copy;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, before, N * 3));
    CHECK_OK(ml_model_set_text(model, "activation", "relu"));
    CHECK_OK(ml_model_clone(model, &copy));
    CHECK_OK(ml_model_predict_proba(copy, data, after, N * 3));
    CHECK_SAME_BYTES(before, sizeof before, after, sizeof after);
    ml_model_free(copy);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, a_saved_model_comes_back_with_the_same_bits)
{
    double before[N * 3], after[N * 3];
    size_t n_bytes, n_again;
    void *bytes, *again;
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=7,5", "activation=logistic", "early_stopping=true")),
             *copy;

    CHECK_OK(ml_model_fit(model, data, NULL));
    bytes = test_saved(model, &n_bytes);
    CHECK_OK(ml_model_load_memory(c.context, bytes, n_bytes, NULL, &copy));
    again = test_saved(copy, &n_again);
    CHECK_SAME_BYTES(bytes, n_bytes, again, n_again);
    CHECK_OK(ml_model_predict_proba(model, data, before, N * 3));
    CHECK_OK(ml_model_predict_proba(copy, data, after, N * 3));
    CHECK_SAME_BYTES(before, sizeof before, after, sizeof after);
    free(bytes);
    free(again);
    ml_model_free(copy);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, probabilities_sum_to_one_and_follow_the_decision)
{
    double p[N * 3], z[N * 3], k[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, WITH("max_iter=20"));

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, p, N * 3));
    CHECK_OK(ml_model_decision(model, data, z, N * 3));
    CHECK_OK(ml_model_predict(model, data, k, N));
    for (size_t i = 0; i < N; i++) {
        const double *pi = p + 3 * i, *zi = z + 3 * i, best = fmax(zi[0], fmax(zi[1], zi[2]));
        CHECK_CLOSE(pi[0] + pi[1] + pi[2], 1, 1e-15);
        CHECK_CLOSE(log(pi[0] / pi[1]), zi[0] - zi[1], 1e-12);
        CHECK(zi[(size_t)k[i]] == best);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- sample weights ---- */

static void check_close_weights(const ml_model *a, const ml_model *b, double tolerance)
{
    static float theta_a[ROOM], theta_b[ROOM];
    const size_t n = weights_of(a, theta_a, ROOM);

    CHECK(weights_of(b, theta_b, ROOM) == n);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE((double)theta_a[i], (double)theta_b[i], tolerance);
}

TEST(mlp, weights_are_repetitions_of_rows)
{
    size_t rows[2 * N], n_rows = 0;
    double w[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *source = toy_classes(c.context), *repeated;
    ml_model *weighted = make(c.context, WITH("hidden_layer_sizes=6", "solver=sgd", "max_iter=5", "batch_size=1000",
                                              "shuffle=false", "alpha=0.5", "learning_rate_init=0.1"));
    ml_model *plain;

    for (size_t i = 0; i < N; i++) { /* 0, 1, 2, 0, … times; N is a multiple of 3, classes stay three */
        w[i] = (double)((i / 3) % 3);
        for (size_t r = 0; r < (i / 3) % 3; r++)
            rows[n_rows++] = i;
    }
    CHECK_OK(ml_model_clone(weighted, &plain));
    CHECK_OK(ml_dataset_subset(source, rows, n_rows, &repeated));
    CHECK_OK(ml_model_fit(plain, repeated, NULL));
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_fit(weighted, data, NULL));
    check_close_weights(weighted, plain, 2e-6);
    for (size_t i = 0; i < N; i++)
        w[i] = w[i] > 0 ? 1e-200 * w[i] : 0; /* far below float32: only shares matter, but for the penalty */
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_set_real(weighted, "alpha", 0));
    CHECK_OK(ml_model_set_real(plain, "alpha", 0));
    CHECK_OK(ml_model_fit(plain, repeated, NULL));
    CHECK_OK(ml_model_fit(weighted, data, NULL));
    check_close_weights(weighted, plain, 2e-6);
    ml_dataset_free(repeated);
    ml_dataset_free(source);
    ml_model_free(plain);
    ml_model_free(weighted);
    ml_dataset_free(data);
    close_context(&c);
}

TEST(mlp, a_batch_without_weight_makes_no_step)
{
    size_t rows[N];
    double w[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context), *source = toy_classes(c.context), *first_half;
    ml_model *half = make(c.context, WITH("hidden_layer_sizes=6", "max_iter=5", "batch_size=10", "shuffle=false"));
    ml_model *all;

    for (size_t i = 0; i < N; i++) {
        rows[i] = i;
        w[i] = i < N / 2;
    }
    CHECK_OK(ml_model_clone(half, &all));
    CHECK_OK(ml_dataset_subset(source, rows, N / 2, &first_half));
    CHECK_OK(ml_model_fit(half, first_half, NULL));
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    CHECK_OK(ml_model_fit(all, data, NULL));
    check_same_weights(half, all);
    ml_dataset_free(first_half);
    ml_dataset_free(source);
    ml_model_free(half);
    ml_model_free(all);
    ml_dataset_free(data);
    close_context(&c);
}

/* ---- faults ---- */

TEST(mlp, every_allocation_may_fail)
{
    double p[N * 3];
    bench c;
    open_context(&c, 1);
    ml_dataset *classes = toy_classes(c.context), *reals = toy_reals(c.context, 1);
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=70,5", "max_iter=2", "early_stopping=true"));

    CHECK_OK(ml_model_fit(model, classes, NULL));
    CHECK(test_failing_refits(&c.allocator, c.context, "classes, then reals", model, reals) > 6);
    CHECK_OK(ml_model_fit(model, reals, NULL));
    CHECK(test_failing_refits(&c.allocator, c.context, "reals, then classes", model, classes) > 6);
    CHECK_OK(ml_model_fit(model, classes, NULL));
    c.allocator.fail_at = c.allocator.n_allocations + 1;
    CHECK_FAILS(ml_model_predict_proba(model, classes, p, N * 3), ML_E_MEMORY, "");
    c.allocator.fail_at = 0;
    CHECK_OK(ml_model_predict_proba(model, classes, p, N * 3));
    ml_model_free(model);
    ml_dataset_free(classes);
    ml_dataset_free(reals);
    close_context(&c);
}

/* Tensors of a classifier 3 -> 2 -> 3 of which each case spoils one thing. */
typedef struct broken {
    const char *message;
    uint64_t W0[2], b0, W1[2], b1, n_activations;
    int32_t last_activation;
    float value;
    uint64_t n_links;
    int32_t link;
} broken;

static void add_tensors(ml__learned *learned, const void *argument)
{
    const broken *b = argument;
    float *W0 = ml__learned_add(learned, "weights.0", ML_FLOAT32, 2, b->W0);
    int32_t *id;

    W0[0] = b->value;
    (void)ml__learned_add(learned, "biases.0", ML_FLOAT32, 1, &b->b0);
    (void)ml__learned_add(learned, "weights.1", ML_FLOAT32, 2, b->W1);
    if (b->b1)
        (void)ml__learned_add(learned, "biases.1", ML_FLOAT32, 1, &b->b1);
    id = ml__learned_add(learned, "activations", ML_INT32, 1, &b->n_activations);
    id[b->n_activations - 1] = b->last_activation;
    (void)ml__learned_add(learned, "loss_curve", ML_FLOAT64, 1, &b->b0);
    if (b->n_links) {
        id = ml__learned_add(learned, "links", ML_INT32, 1, &b->n_links);
        id[0] = b->link;
    }
}

TEST(mlp, broken_tensors_are_refused)
{
    enum { I = ML__MLP_IDENTITY, S = ML__MLP_SOFTMAX };
    static const broken CASES[] = {
        {NULL, {3, 2}, 2, {2, 3}, 3, 2, I, 1, 1, S},
        {"'weights.0' takes 4 inputs, expected 3", {4, 2}, 2, {2, 3}, 3, 2, I, 1, 1, S},
        {"'weights.1' takes 5 inputs, expected 2", {3, 2}, 2, {5, 3}, 3, 2, I, 1, 1, S},
        {"the last layer has 4 outputs, expected 3", {3, 2}, 2, {2, 4}, 4, 2, I, 1, 1, S},
        {"'biases.0' has 3 elements, expected 2", {3, 2}, 3, {2, 3}, 3, 2, I, 1, 1, S},
        {"'biases.1' is missing", {3, 2}, 2, {2, 3}, 0, 2, I, 1, 1, S},
        {"'activations' has 3 elements for 2 layers", {3, 2}, 2, {2, 3}, 3, 3, I, 1, 1, S},
        {"element 1 is 8, unknown", {3, 2}, 2, {2, 3}, 3, 2, ML__MLP_N_ACTIVATIONS, 1, 1, S},
        {"the last one is 0, expected 3", {3, 2}, 2, {2, 3}, 3, 2, 0, 1, 1, S},
        {"element 1 is -1", {3, 2}, 2, {2, 3}, 3, 2, -1, 1, 1, S},
        {"'weights.0': element 0 is nan", {3, 2}, 2, {2, 3}, 3, 2, I, NAN, 1, S},
        {"'weights.0': element 0 is inf", {3, 2}, 2, {2, 3}, 3, 2, I, INFINITY, 1, S},
        {"'links' is missing", {3, 2}, 2, {2, 3}, 3, 2, I, 1, 0, S},
        {"'links' has 2 elements, expected 1", {3, 2}, 2, {2, 3}, 3, 2, I, 1, 2, S},
        {"'links': element 0 is 3, unknown", {3, 2}, 2, {2, 3}, 3, 2, I, 1, 1, ML__MLP_N_LINKS},
        {"'links': element 0 is 2, output 'y' has 3 classes", {3, 2}, 2, {2, 3}, 3, 2, I, 1, 1, ML__MLP_LINEAR},
    };
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *model = make(c.context, NULL);

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        check_tensors(model, data, ML__CLASSIFY, add_tensors, &CASES[i], CASES[i].message);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}
