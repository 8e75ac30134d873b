/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole fits from given weights against float64 (make_mlp.py): every loss, activation, optimiser, schedule, penalty, weight
 * and missing output in a hundred steps; and the objectives that scikit-learn's lbfgs reaches.
 */
#include "mlp_toys.h"

enum { ROWS = 41, FEATURES = 4, WITHOUT_OUTPUTS = 7, N_COLUMNS = 5 };

/* The outputs of a run by their letters: c three classes, b two, r and s reals, u reals in [0, 1]. */
typedef struct run {
    const char *outputs;
    int activation;
    bool is_missing, is_weighted;
    const char *settings[10];
} run;

/* EVERYTHING in make_mlp.py */
static const run RUNS[] = {
    {"c",
     ML__MLP_GELU,
     false,
     true,
     {"activation=gelu", "solver=adamw", "weight_decay=0.1", "learning_rate=cosine", "warmup_epochs=2.5",
      "class_weight=0:2,2:0.5"}},
    {"r",
     ML__MLP_ELU,
     false,
     false,
     {"activation=elu", "solver=sgd", "nesterovs_momentum=false", "loss=huber", "huber_delta=0.5", "l1=0.02",
      "learning_rate=step", "decay_rate=0.3", "decay_epochs=10"}},
    {"r",
     ML__MLP_LEAKY_RELU,
     false,
     false,
     {"activation=leaky_relu", "solver=sgd", "loss=absolute_error", "clip_norm=0.3"}},
    {"b",
     ML__MLP_SOFTPLUS,
     false,
     false,
     {"activation=softplus", "loss=binary_cross_entropy", "class_weight=balanced", "l1=0.05"}},
    {"u", ML__MLP_TANH, false, true, {"activation=tanh", "loss=binary_cross_entropy"}},
    {"crsb",
     ML__MLP_LOGISTIC,
     true,
     true,
     {"activation=logistic", "solver=adamw", "clip_norm=0.5", "loss=cross_entropy", "loss_weights=1,0.5,2,0.7"}},
    {"rsu", ML__MLP_RELU, true, false, {"solver=sgd", "output_activation=logistic", "learning_rate=invscaling"}},
    {"bu", ML__MLP_ELU, true, false, {"activation=elu", "loss=binary_cross_entropy"}},
    {"c",
     ML__MLP_TANH,
     false,
     false,
     {"activation=tanh", "solver=sgd", "nesterovs_momentum=false", "freeze_layers=1", "transfer_rate=0.5"}},
};

/* Without missing outputs the row that has none is left out of the data. */
static ml_dataset *data_of(ml_context *context, const run *r, const double *X, const double *w, const double *columns)
{
    static double x[ROWS * FEATURES], weight[ROWS], value[ROWS];
    static int64_t label[ROWS];
    ml_dataset *data;
    size_t n = 0;

    for (size_t i = 0; i < ROWS; i++)
        if (r->is_missing || i != WITHOUT_OUTPUTS) {
            memcpy(x + n * FEATURES, X + i * FEATURES, FEATURES * sizeof *x);
            weight[n++] = w[i];
        }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, FEATURES, 0, 0, ML_COPY, &data));
    for (const char *o = r->outputs; *o; o++) {
        const double *column = columns + (size_t)(strchr("cbrsu", *o) - "cbrsu") * ROWS;
        const char name[] = {*o, 0};

        n = 0;
        for (size_t i = 0; i < ROWS; i++)
            if (r->is_missing || i != WITHOUT_OUTPUTS) {
                value[n] = column[i] < -1e8 ? NAN : column[i];
                label[n] = column[i] < -1e8 ? -1 : (int64_t)column[i];
                n++;
            }
        if (strchr("cb", *o))
            CHECK_OK(ml_dataset_add_labels(data, name, label, n, -1));
        else
            CHECK_OK(ml_dataset_add_targets(data, name, value, n));
    }
    if (r->is_weighted)
        CHECK_OK(ml_dataset_set_weights(data, weight, n));
    return data;
}

static size_t heads_of(const run *r, int32_t *links)
{
    bool logistic = false, binary = false;
    size_t n = 0;

    for (size_t i = 0; r->settings[i]; i++) {
        binary = binary || !strcmp(r->settings[i], "loss=binary_cross_entropy");
        logistic = logistic || !strcmp(r->settings[i], "output_activation=logistic");
    }
    for (const char *o = r->outputs; *o; o++) {
        const bool is_label = *o == 'c' || *o == 'b';

        n += !is_label || binary ? 1 : *o == 'c' ? 3 : 2;
        *links++ = binary || (logistic && !is_label) ? ML__MLP_LOGISTIC_OUTPUT
                   : is_label                        ? ML__MLP_SOFTMAX
                                                     : ML__MLP_LINEAR;
    }
    return n;
}

/* One run; returns how many numbers its weights are. */
static size_t check_run(ml_context *context, const run *r, const double *file, const double *theta, double *worst)
{
    static float got[ROOM];
    const double *X = file + 4, *w = X + ROWS * FEATURES, *full = w + ROWS;
    const double *columns = r->is_missing ? full + (size_t)N_COLUMNS * ROWS : full;
    int32_t links[8];
    const size_t widths[] = {FEATURES, 6, 5, heads_of(r, links)};
    ml_dataset *data = data_of(context, r, X, w, columns);
    ml_model *start = model_of(context, data, widths, 3, r->activation, links, theta),
             *model = make(context, r->settings);
    const bool is_sgd = !strcmp(r->settings[1], "solver=sgd") || !strcmp(r->settings[0], "solver=sgd");
    size_t n;

    CHECK_OK(ml_model_set_text(model, "hidden_layer_sizes", "6,5"));
    CHECK_OK(ml_model_set_text(model, "transfer_layers", "all"));
    CHECK_OK(ml_model_set_text(model, "shuffle", "false"));
    CHECK_OK(ml_model_set_real(model, "alpha", 0.01));
    CHECK_OK(ml_model_set_real(model, "learning_rate_init", is_sgd ? 0.05 : 0.01));
    CHECK_OK(ml_model_set_int(model, "batch_size", 10));
    CHECK_OK(ml_model_set_int(model, "max_iter", 25));
    CHECK_OK(ml_model_set_int(model, "n_iter_no_change", 100));
    CHECK_OK(ml_model_start_from(model, start));
    ml_model_free(start);
    CHECK_OK(ml_model_fit(model, data, NULL));
    n = weights_of(model, got, ROOM);
    for (size_t i = 0; i < n; i++) {
        const double want = theta[n + i];

        *worst = fmax(*worst, fabs((double)got[i] - want) / fmax(1, fabs(want)));
    }
    ml_model_free(model);
    ml_dataset_free(data);
    return n;
}

TEST(mlp_runs, a_hundred_steps_of_everything_equal_float64)
{
    size_t n_numbers;
    double *file = test_read_numbers(test_expected_path("mlp_runs.txt"), &n_numbers);
    const double *theta = file + 4 + ROWS * FEATURES + ROWS + 2 * (size_t)N_COLUMNS * ROWS;
    bench c;

    open_context(&c, 1);
    for (size_t i = 0; i < sizeof RUNS / sizeof *RUNS; i++) {
        double worst = 0;

        theta += 2 * check_run(c.context, &RUNS[i], file, theta, &worst);
        if (getenv("INVAR_VERBOSE"))
            printf("    run %zu, outputs %s: worst difference %g\n", i, RUNS[i].outputs, worst);
        CHECK_MSG(worst < 1e-5, "run %zu, outputs %s: worst difference %g", i, RUNS[i].outputs, worst);
    }
    CHECK(theta == file + n_numbers);
    free(file);
    close_context(&c);
}

/* ---- lbfgs ---- */

enum { N_ROWS = 60 };

static ml_dataset *lbfgs_data(ml_context *context, const double *file, size_t task)
{
    const double *y = file + 2 + N_ROWS * FEATURES + task * N_ROWS;
    int64_t label[N_ROWS];
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, file + 2, ML_FLOAT64, N_ROWS, FEATURES, 0, 0, ML_COPY, &data));
    for (size_t i = 0; i < N_ROWS; i++)
        label[i] = (int64_t)y[i];
    if (task < 2)
        CHECK_OK(ml_dataset_set_labels(data, NULL, label, N_ROWS, -1));
    else
        CHECK_OK(ml_dataset_set_targets(data, NULL, y, N_ROWS));
    return data;
}

TEST(mlp_runs, lbfgs_reaches_the_objective_of_scikit_learn)
{
    static const int32_t LINKS[] = {ML__MLP_SOFTMAX, ML__MLP_LOGISTIC_OUTPUT, ML__MLP_LINEAR};
    size_t n_numbers, n_iter, n;
    double *file = test_read_numbers(test_expected_path("mlp_lbfgs.txt"), &n_numbers);
    const double *theta = file + 2 + N_ROWS * FEATURES + 3 * N_ROWS;
    static float got[ROOM];
    bench c;

    open_context(&c, 1);
    for (size_t i = 0; i < 6; i++) {
        const size_t n_out = i % 3 ? 1 : 3, widths[] = {FEATURES, i < 3 ? 4 : n_out, n_out};
        ml_dataset *data = lbfgs_data(c.context, file, i % 3);
        ml_model *start = model_of(c.context, data, widths, i < 3 ? 2 : 1, ML__MLP_TANH, &LINKS[i % 3], theta);
        ml_model *model = make(
            c.context, WITH(i < 3 ? "hidden_layer_sizes=4" : "hidden_layer_sizes=", "activation=tanh", "solver=lbfgs",
                            "alpha=2", "tol=1e-9", "max_iter=10000", "max_fun=100000", "transfer_layers=all"));
        double objective;

        if (i % 3 == 1)
            CHECK_OK(ml_model_set_text(model, "loss", "binary_cross_entropy"));
        CHECK_OK(ml_model_start_from(model, start));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        n = weights_of(model, got, ROOM);
        objective = tensor_f64(model, "loss_curve", &n_iter)[0];
        CHECK(n_iter > 3);
        objective = tensor_f64(model, "loss_curve", &n_iter)[n_iter - 1];
        if (getenv("INVAR_VERBOSE"))
            printf("    %zu: %.12g, scikit-learn %.12g\n", i, objective, theta[n]);
        CHECK_CLOSE(objective, theta[n], 1e-8);
        theta += n + 1;
        ml_model_free(start);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(theta == file + n_numbers);
    free(file);
    close_context(&c);
}
