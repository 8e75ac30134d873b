/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loss curves beside scikit-learn's (make_mlp.py): means over ten seeds, epoch by epoch. Initial weights and the order of
 * rows are other draws, so the means differ by as much as their standard errors allow.
 */
#include "mlp_toys.h"

enum { N_SEEDS = 10, MOST_EPOCHS = 40 };

static const struct {
    const char *table;
    size_t n_epochs;
    const char *settings[6];
} CURVES[] = {
    {"digits", 15, {"hidden_layer_sizes=64,32", "batch_size=32", "max_iter=15"}},
    {"digits",
     15,
     {"hidden_layer_sizes=50", "activation=tanh", "solver=sgd", "batch_size=64", "learning_rate_init=0.05",
      "max_iter=15"}},
    {"boston", 30, {"hidden_layer_sizes=64,64", "batch_size=32", "learning_rate_init=0.003", "max_iter=30"}},
    {"diabetes",
     30,
     {"hidden_layer_sizes=30", "activation=logistic", "batch_size=16", "learning_rate_init=0.01", "alpha=1",
      "max_iter=30"}},
};
enum { N_CURVES = sizeof CURVES / sizeof *CURVES };

static ml_model *network(ml_context *context, size_t c, int64_t seed)
{
    ml_model *model = make(context, WITH("tol=0", "n_iter_no_change=1000"));

    for (size_t s = 0; s < 6 && CURVES[c].settings[s]; s++) {
        char name[64];
        const char *value = strchr(CURVES[c].settings[s], '=');

        snprintf(name, sizeof name, "%.*s", (int)(value - CURVES[c].settings[s]), CURVES[c].settings[s]);
        CHECK_OK(ml_model_set_text(model, name, value + 1));
    }
    CHECK_OK(ml_model_set_int(model, "random_state", seed));
    return model;
}

/* Mean over the seeds of each epoch's loss, and its standard error. */
static void curve_of(ml_context *context, size_t c, double *mean, double *error)
{
    double squares[MOST_EPOCHS] = {0};
    const size_t n_epochs = CURVES[c].n_epochs;
    ml_dataset *train, *test;

    memset(mean, 0, n_epochs * sizeof *mean);
    standardised_parts(context, CURVES[c].table, &train, &test);
    for (int64_t seed = 0; seed < N_SEEDS; seed++) {
        ml_model *model = network(context, c, seed);
        const double *loss;
        size_t n;

        CHECK_OK(ml_model_fit(model, train, NULL));
        loss = tensor_f64(model, "loss_curve", &n);
        CHECK(n == n_epochs);
        for (size_t e = 0; e < n; e++) { /* Welford's way */
            const double delta = loss[e] - mean[e];

            mean[e] += delta / (double)(seed + 1);
            squares[e] += delta * (loss[e] - mean[e]);
        }
        ml_model_free(model);
    }
    for (size_t e = 0; e < n_epochs; e++)
        error[e] = sqrt(squares[e] / (N_SEEDS - 1) / N_SEEDS);
    ml_dataset_free(train);
    ml_dataset_free(test);
}

TEST(mlp_curves, fall_as_those_of_scikit_learn)
{
    size_t n_numbers, at = 0;
    double *want = test_read_numbers(test_expected_path("mlp_curves.txt"), &n_numbers);
    bench b;

    open_context(&b, 1);
    for (size_t c = 0; c < N_CURVES; c++) {
        const size_t n = CURVES[c].n_epochs;
        const double *theirs = want + at, *their_error = theirs + n;
        double mean[MOST_EPOCHS], error[MOST_EPOCHS], worst = 0, sum = 0;

        curve_of(b.context, c, mean, error);
        for (size_t e = 0; e < n; e++) {
            const double z = (mean[e] - theirs[e]) / sqrt(error[e] * error[e] + their_error[e] * their_error[e]);

            worst = fmax(worst, fabs(z));
            sum += z / (double)n;
        }
        if (getenv("INVAR_VERBOSE"))
            printf(
                "    %s, setting %zu: last loss %.5g, scikit-learn %.5g; worst epoch %.2f standard errors, mean %.2f\n",
                CURVES[c].table, c, mean[n - 1], theirs[n - 1], worst, sum);
        CHECK_MSG(worst < 4, "%s, setting %zu: an epoch's mean is %g standard errors away", CURVES[c].table, c, worst);
        at += 2 * n;
    }
    CHECK(at == n_numbers);
    free(want);
    close_context(&b);
}
