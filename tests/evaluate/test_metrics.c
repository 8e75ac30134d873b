/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics against scikit-learn on random inputs, against closed forms, and their refusals. */
#include "draws.h"
#include "test.h"

#include <float.h>
#include <stdint.h>

/* ---- inputs of tests/reference/make_metrics.py ---- */

enum { N_SETS = 200, MAX_ROWS = 64, MAX_WIDTH = 8 };

static const double *draw_weights(lcg *g, size_t n, double *w)
{
    for (size_t i = 0; i < n; i++)
        w[i] = below(g, 8) / 4.0;
    w[0] = 1.25;
    return w;
}

static ml_classification_options draw_options(lcg *g, size_t n, double *w)
{
    static const double BETAS[] = {0.5, 1, 2};
    ml_classification_options options = {.struct_size = sizeof options};

    options.beta = BETAS[below(g, 3)];
    options.zero_division = below(g, 2);
    if (below(g, 2))
        options.weights = draw_weights(g, n, w);
    return options;
}

typedef struct expected {
    double *numbers;
    size_t n, next;
} expected;

static expected open_expected(const char *name)
{
    expected e = {0};

    e.numbers = test_read_numbers(test_expected_path(name), &e.n);
    return e;
}

static void expect(expected *e, double got)
{
    CHECK(e->next < e->n);
    CHECK_CLOSE(got, e->numbers[e->next++], 1e-12);
}

static void expect_prf(expected *e, ml_prf r)
{
    expect(e, r.precision);
    expect(e, r.recall);
    expect(e, r.f_score);
}

static void close_expected(expected *e)
{
    CHECK(e->next == e->n);
    free(e->numbers);
}

TEST(metrics, single_label_equals_scikit_learn)
{
    static double y[MAX_ROWS], p[MAX_ROWS], w[MAX_ROWS], proba[MAX_ROWS * MAX_WIDTH], confusion[MAX_WIDTH * MAX_WIDTH];
    expected e = open_expected("metrics_single.txt");

    for (uint64_t seed = 0; seed < N_SETS; seed++) {
        lcg g = {seed};
        const uint32_t n = 1 + below(&g, 60), K = 2 + below(&g, 6);
        const uint32_t K_true = 1 + below(&g, K), K_pred = 1 + below(&g, K);
        const ml_classification_options options = draw_options(&g, n, w);
        ml_classification_metrics m = {.struct_size = sizeof m};
        ml_prf per_class[MAX_WIDTH];
        double loss;

        for (size_t i = 0; i < n; i++)
            y[i] = below(&g, K_true);
        for (size_t i = 0; i < n; i++)
            p[i] = below(&g, 3) ? y[i] : below(&g, K_pred);
        for (size_t i = 0; i < n * K; i++)
            proba[i] = below(&g, 1001) / 1000.0;
        CHECK_OK(ml_metrics_classification(NULL, y, p, n, K, &options, &m, per_class));
        expect(&e, m.accuracy);
        expect(&e, m.hamming_loss);
        expect_prf(&e, m.micro);
        expect_prf(&e, m.macro);
        expect_prf(&e, m.weighted);
        for (size_t c = 0; c < K; c++) {
            expect_prf(&e, per_class[c]);
            expect(&e, per_class[c].support);
        }
        CHECK_OK(ml_metrics_confusion(y, p, options.weights, n, K, confusion));
        expect(&e, confusion[K - 1]);
        CHECK_OK(ml_metrics_log_loss(y, proba, options.weights, n, K, &loss));
        expect(&e, loss);
    }
    close_expected(&e);
}

TEST(metrics, multilabel_equals_scikit_learn)
{
    static double y[MAX_ROWS * MAX_WIDTH], p[MAX_ROWS * MAX_WIDTH], w[MAX_ROWS];
    expected e = open_expected("metrics_multilabel.txt");

    for (uint64_t seed = 0; seed < N_SETS; seed++) {
        lcg g = {seed};
        const uint32_t n = 2 + below(&g, 40), L = 2 + below(&g, 5);
        const ml_classification_options options = draw_options(&g, n, w);
        ml_classification_metrics m = {.struct_size = sizeof m};
        ml_prf samples;
        uint32_t share[MAX_WIDTH];

        for (size_t l = 0; l < L; l++)
            share[l] = below(&g, 3);
        for (size_t i = 0; i < n * L; i++)
            y[i] = below(&g, 3) < share[i % L];
        for (size_t i = 0; i < n * L; i++)
            p[i] = below(&g, 2) ? y[i] : below(&g, 3) < share[L - 1 - i % L];
        CHECK_OK(ml_metrics_multilabel(NULL, y, p, n, L, &options, &m, NULL, &samples));
        expect(&e, m.accuracy);
        expect(&e, m.hamming_loss);
        expect_prf(&e, m.micro);
        expect_prf(&e, m.macro);
        expect_prf(&e, m.weighted);
        expect_prf(&e, samples);
    }
    close_expected(&e);
}

TEST(metrics, several_outputs_equal_scikit_learn_on_one_hot_decisions)
{
    static double y[MAX_ROWS * MAX_WIDTH], p[MAX_ROWS * MAX_WIDTH], w[MAX_ROWS];
    expected e = open_expected("metrics_multioutput.txt");

    for (uint64_t seed = 0; seed < N_SETS; seed++) {
        lcg g = {seed};
        const uint32_t n = 2 + below(&g, 40), n_outputs = 1 + below(&g, 3);
        size_t K[MAX_WIDTH];
        for (size_t o = 0; o < n_outputs; o++)
            K[o] = 2 + below(&g, 4);
        const ml_classification_options options = draw_options(&g, n, w);
        ml_classification_metrics m = {.struct_size = sizeof m};

        for (size_t i = 0; i < n * n_outputs; i++)
            y[i] = below(&g, (uint32_t)K[i % n_outputs]);
        for (size_t i = 0; i < n * n_outputs; i++)
            p[i] = below(&g, 2) ? y[i] : below(&g, (uint32_t)K[i % n_outputs]);
        CHECK_OK(ml_metrics_multioutput(NULL, y, p, n, n_outputs, K, &options, &m));
        expect_prf(&e, m.micro);
        expect_prf(&e, m.macro);
        expect_prf(&e, m.weighted);
        CHECK_CLOSE(m.accuracy + m.hamming_loss, 1, 1e-15);
        CHECK_CLOSE(m.accuracy, m.micro.recall, 0);
    }
    close_expected(&e);
}

TEST(metrics, regression_equals_scikit_learn)
{
    static double y[MAX_ROWS * MAX_WIDTH], p[MAX_ROWS * MAX_WIDTH], w[MAX_ROWS];
    expected e = open_expected("metrics_regression.txt");

    for (uint64_t seed = 0; seed < N_SETS; seed++) {
        lcg g = {seed};
        const uint32_t n = 2 + below(&g, 50), n_outputs = 1 + below(&g, 3);
        const double *weights = below(&g, 2) ? draw_weights(&g, n, w) : NULL;
        const bool constant = below(&g, 4) == 0;
        ml_regression_metrics m = {.struct_size = sizeof m};

        for (size_t i = 0; i < n * n_outputs; i++)
            y[i] = constant ? 0.25 : ((double)below(&g, 2001) - 1000) / 100;
        for (size_t i = 0; i < n * n_outputs; i++)
            p[i] = y[i] + ((double)below(&g, 201) - 100) / 100;
        CHECK_OK(ml_metrics_regression(y, p, weights, n, n_outputs, &m));
        expect(&e, m.mse);
        expect(&e, m.rmse);
        expect(&e, m.mae);
        expect(&e, m.r2);
    }
    close_expected(&e);
}

/* ---- classes ---- */

TEST(metrics, confusion_counts_every_row_once)
{
    const double y[] = {0, 0, 1, 2, 2, 2}, p[] = {0, 1, 1, 2, 0, 2}, w[] = {1, 2, 3, 4, 5, 6};
    const double want[] = {1, 2, 0, 0, 3, 0, 5, 0, 10};
    double got[9];

    CHECK_OK(ml_metrics_confusion(y, p, w, 6, 3, got));
    CHECK_SAME_BYTES(got, sizeof got, want, sizeof want);
}

TEST(metrics, weight_two_is_the_row_twice)
{
    const double y[] = {0, 1, 1, 2}, p[] = {0, 1, 2, 1}, w[] = {1, 2, 1, 2};
    const double y2[] = {0, 1, 1, 1, 2, 2}, p2[] = {0, 1, 1, 2, 1, 1};
    const ml_classification_options options = {.struct_size = sizeof options, .weights = w};
    ml_classification_metrics a = {.struct_size = sizeof a}, b = {.struct_size = sizeof b};
    ml_prf per_a[3], per_b[3];

    CHECK_OK(ml_metrics_classification(NULL, y, p, 4, 3, &options, &a, per_a));
    CHECK_OK(ml_metrics_classification(NULL, y2, p2, 6, 3, NULL, &b, per_b));
    CHECK_SAME_BYTES(&a, sizeof a, &b, sizeof b);
    CHECK_SAME_BYTES(per_a, sizeof per_a, per_b, sizeof per_b);
}

TEST(metrics, zero_division_decides_classes_that_never_occur)
{
    const double y[] = {0, 0}, p[] = {0, 0};
    ml_classification_options options = {.struct_size = sizeof options};
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml_prf per_class[3];

    for (int zero = 0; zero <= 1; zero++) {
        options.zero_division = zero;
        CHECK_OK(ml_metrics_classification(NULL, y, p, 2, 3, &options, &m, per_class));
        CHECK(m.macro.f_score == 1); /* only class 0 occurs */
        CHECK(per_class[2].precision == zero && per_class[2].recall == zero && per_class[2].f_score == zero);
        CHECK(per_class[2].support == 0);
    }
}

TEST(metrics, a_class_only_predicted_counts_in_the_macro_average)
{
    const double y[] = {0, 0}, p[] = {0, 1};
    ml_classification_metrics m = {.struct_size = sizeof m};

    CHECK_OK(ml_metrics_classification(NULL, y, p, 2, 4, NULL, &m, NULL));
    CHECK_CLOSE(m.macro.precision, 0.5, 0);
    CHECK_CLOSE(m.macro.recall, 0.25, 0);
    CHECK_CLOSE(m.weighted.recall, 0.5, 0);
}

TEST(metrics, multilabel_without_any_positive)
{
    const double none[] = {0, 0, 0, 0}, some[] = {0, 1, 0, 0};
    ml_classification_options options = {.struct_size = sizeof options, .zero_division = 1};
    ml_classification_metrics m = {.struct_size = sizeof m};

    CHECK_OK(ml_metrics_multilabel(NULL, none, none, 2, 2, &options, &m, NULL, NULL));
    CHECK(m.weighted.precision == 1 && m.weighted.recall == 1 && m.weighted.f_score == 1);
    CHECK(m.micro.f_score == 1 && m.accuracy == 1 && m.hamming_loss == 0);
    CHECK_OK(ml_metrics_multilabel(NULL, none, some, 2, 2, &options, &m, NULL, NULL));
    CHECK(m.weighted.precision == 0 && m.weighted.recall == 1 && m.weighted.f_score == 0);
    CHECK(m.accuracy == 0.5 && m.hamming_loss == 0.25);
}

TEST(metrics, missing_decisions_are_left_out)
{
    const double y[] = {1, NAN, 0, NAN, NAN, NAN, 0, 1, 1}, p[] = {1, 1, 1, 0, 1, 0, 0, 1, 0};
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml_prf per_label[3], samples;

    CHECK_OK(ml_metrics_multilabel(NULL, y, p, 3, 3, NULL, &m, per_label, &samples));
    CHECK_CLOSE(m.hamming_loss, 2.0 / 5, 1e-15);
    CHECK_CLOSE(m.accuracy, 0, 0);
    CHECK_CLOSE(m.micro.precision, 2.0 / 3, 1e-15);
    CHECK_CLOSE(m.micro.recall, 2.0 / 3, 1e-15);
    CHECK(per_label[1].support == 1 && per_label[1].precision == 1);
    CHECK_CLOSE(samples.precision, (0.5 + 1) / 2, 1e-15);
}

TEST(metrics, missing_labels_and_outputs_are_left_out)
{
    const double y[] = {0, NAN, 1, NAN, 1, NAN}, p[] = {0, 1, 0, 1, 1, 0};
    const double y1[] = {0, 1, 1}, p1[] = {0, 0, 1};
    const size_t K[] = {2, 3};
    ml_classification_metrics m = {.struct_size = sizeof m}, one = {.struct_size = sizeof one};

    CHECK_OK(ml_metrics_multioutput(NULL, y, p, 3, 2, K, NULL, &m));
    CHECK_OK(ml_metrics_classification(NULL, y1, p1, 3, 2, NULL, &one, NULL));
    CHECK_SAME_BYTES(&m, sizeof m, &one, sizeof one);
}

TEST(metrics, unweighted_counts_are_exact)
{
    enum { N = 100003 };
    static double y[N], p[N];
    ml_classification_metrics m = {.struct_size = sizeof m};

    for (size_t i = 0; i < N; i++) {
        y[i] = (double)(i % 3);
        p[i] = i % 7 ? y[i] : 2;
    }
    CHECK_OK(ml_metrics_classification(NULL, y, p, N, 3, NULL, &m, NULL));
    const double wrong = 14287 - 4762; /* multiples of 7 below N whose class is not 2 */
    CHECK(m.accuracy == (N - wrong) / N);
    CHECK(m.hamming_loss == wrong / N);
    CHECK(m.micro.support == N);
}

/* ---- log-loss ---- */

TEST(metrics, log_loss_of_known_probabilities)
{
    const double y[] = {0, 1, 1}, proba[] = {0.5, 0.5, 0.25, 0.75, 0, 1}, wrong[] = {1, 0};
    const double one[] = {1};
    double loss;

    CHECK_OK(ml_metrics_log_loss(y, proba, NULL, 3, 2, &loss));
    CHECK_CLOSE(loss, (log(2) - log(0.75)) / 3, 1e-15);
    CHECK_OK(ml_metrics_log_loss(one, wrong, NULL, 1, 2, &loss));
    CHECK_CLOSE(loss, -log(DBL_EPSILON), 1e-15);
    CHECK_FAILS(ml_metrics_log_loss(one, (const double[]){0.5, 1.5}, NULL, 1, 2, &loss), ML_E_DATA,
                "proba: row 0, class 1 has 1.5, expected a number in [0, 1]");
    CHECK_FAILS(ml_metrics_log_loss(one, (const double[]){NAN, 0.5}, NULL, 1, 2, &loss), ML_E_DATA, "row 0, class 0");
}

/* ---- regression ---- */

TEST(metrics, r2_of_a_constant)
{
    const double y[] = {0.1, 0.1, 0.1}, off[] = {0.1, 0.1, 0.2};
    const double w[] = {0.3, 0.7, 1.1};
    ml_regression_metrics m = {.struct_size = sizeof m};

    CHECK_OK(ml_metrics_regression(y, y, w, 3, 1, &m));
    CHECK(m.r2 == 1 && m.mse == 0 && m.rmse == 0 && m.mae == 0);
    CHECK_OK(ml_metrics_regression(y, off, w, 3, 1, &m));
    CHECK(m.r2 == 0);
    CHECK_OK(ml_metrics_regression(y, y, NULL, 1, 1, &m));
    CHECK(m.r2 == 1);
}

TEST(metrics, regression_keeps_its_digits_at_any_scale)
{
    const double scales[] = {1, 0x1p900, 0x1p-900, 0x1p1020, 0x1p-1040};
    double y[4], p[4];
    ml_regression_metrics m = {.struct_size = sizeof m};

    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        const double r = scales[s];
        for (size_t i = 0; i < 4; i++) {
            y[i] = r * (double)(2 * i);
            p[i] = y[i] + r * (i % 2 ? 4 : -4);
        }
        CHECK_OK(ml_metrics_regression(y, p, NULL, 4, 1, &m));
        CHECK_CLOSE(m.rmse / r, 4, 1e-15);
        CHECK_CLOSE(m.mae / r, 4, 1e-15);
        CHECK_CLOSE(m.r2, 1 - 64.0 / 20, 1e-15);
    }
    y[0] = -DBL_MAX;
    p[0] = DBL_MAX;
    CHECK_OK(ml_metrics_regression(y, p, NULL, 1, 1, &m));
    CHECK(m.mse == INFINITY && m.mae == INFINITY && m.r2 == 0);
}

TEST(metrics, long_sums_do_not_drift)
{
    enum { N = 100000 };
    static double y[N], p[N], w[N];
    ml_regression_metrics m = {.struct_size = sizeof m};

    for (size_t i = 0; i < N; i++) {
        p[i] = 0.1;
        w[i] = 0.1;
    }
    CHECK_OK(ml_metrics_regression(y, p, w, N, 1, &m));
    CHECK_CLOSE(m.mae / 0.1, 1, 4e-16);
}

/* ---- refusals ---- */

TEST(metrics, rows_with_bad_labels_are_named)
{
    const double good[] = {0, 1, 2};
    const struct {
        double bad[3];
        const char *text;
    } cases[] = {
        {{0, 1, 3}, "y_true: row 2 has 3, expected a class index from 0 to 2"},
        {{0, -1, 2}, "y_true: row 1 has -1"},
        {{0.5, 1, 2}, "y_true: row 0 has 0.5"},
        {{0, NAN, 2}, "y_true: row 1 has nan"},
        {{0, INFINITY, 2}, "y_true: row 1 has inf"},
    };
    const size_t K[] = {3};
    ml_classification_metrics m = {.struct_size = sizeof m};
    double matrix[9] = {7};

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CHECK_FAILS(ml_metrics_classification(NULL, cases[c].bad, good, 3, 3, NULL, &m, NULL), ML_E_DATA,
                    cases[c].text);
        CHECK_FAILS(ml_metrics_confusion(cases[c].bad, good, NULL, 3, 3, matrix), ML_E_DATA, cases[c].text);
    }
    CHECK(matrix[0] == 7); /* untouched */
    CHECK_FAILS(ml_metrics_classification(NULL, good, cases[0].bad, 3, 3, NULL, &m, NULL), ML_E_DATA,
                "y_pred: row 2 has 3");
    CHECK_FAILS(ml_metrics_multioutput(NULL, good, cases[3].bad, 3, 1, K, NULL, &m), ML_E_DATA,
                "y_pred: row 1 has nan");
    CHECK_FAILS(ml_metrics_multioutput(NULL, (const double[]){0, 0, 0, 2}, (const double[]){0, 0, 0, 0}, 2, 2,
                                       (const size_t[]){2, 2}, NULL, &m),
                ML_E_DATA, "y_true: row 1, output 1 has 2, expected a class index from 0 to 1");
    CHECK_FAILS(ml_metrics_multioutput(NULL, (const double[]){NAN, NAN}, good, 2, 1, K, NULL, &m), ML_E_DATA,
                "y_true: no row with positive weight has a label");
    CHECK_FAILS(ml_metrics_multilabel(NULL, (const double[]){0, 1, 2}, good, 1, 3, NULL, &m, NULL, NULL), ML_E_DATA,
                "y_true: row 0, label 2 has 2, expected 0 or 1");
    CHECK_FAILS(ml_metrics_multilabel(NULL, (const double[]){0}, (const double[]){NAN}, 1, 1, NULL, &m, NULL, NULL),
                ML_E_DATA, "y_pred: row 0, label 0 has nan");
    CHECK_FAILS(ml_metrics_multilabel(NULL, (const double[]){NAN}, (const double[]){0}, 1, 1, NULL, &m, NULL, NULL),
                ML_E_DATA, "no row with positive weight has a decision");
}

TEST(metrics, options_and_weights_are_checked)
{
    const double y[] = {0, 1}, negative[] = {1, -1}, zero[] = {0, 0}, infinite[] = {1, INFINITY};
    const double huge[] = {DBL_MAX, DBL_MAX};
    ml_classification_options options = {.struct_size = sizeof options};
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml_regression_metrics r = {.struct_size = sizeof r};
    double loss;

    options.beta = -1;
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, &options, &m, NULL), ML_E_ARGUMENT,
                "beta is -1, expected a finite number > 0");
    options.beta = 1;
    options.zero_division = 0.5;
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, &options, &m, NULL), ML_E_ARGUMENT,
                "zero_division is 0.5, expected 0 or 1");
    options.zero_division = 0;
    options.weights = negative;
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, &options, &m, NULL), ML_E_DATA,
                "weights: row 1 has -1, expected a finite number >= 0");
    CHECK_FAILS(ml_metrics_log_loss(y, (const double[]){1, 0, 0, 1}, zero, 2, 2, &loss), ML_E_DATA,
                "weights: the sum over 2 rows is 0");
    CHECK_FAILS(ml_metrics_regression(y, y, infinite, 2, 1, &r), ML_E_DATA, "weights: row 1 has inf");
    CHECK_FAILS(ml_metrics_regression(y, y, huge, 2, 1, &r), ML_E_DATA, "weights: the sum over 2 rows is inf");
    CHECK_FAILS(ml_metrics_regression(infinite, y, NULL, 2, 1, &r), ML_E_DATA,
                "y_true: row 1 has inf, expected a finite number");
    CHECK_FAILS(ml_metrics_regression(y, infinite, NULL, 1, 2, &r), ML_E_DATA, "y_pred: row 0, output 1 has inf");
    options.struct_size = 3;
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, &options, &m, NULL), ML_E_ARGUMENT,
                "ml_classification_options");
}

TEST(metrics, arguments_are_named)
{
    const double y[] = {0, 1};
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml_regression_metrics r = {.struct_size = sizeof r};
    double loss;

    CHECK_FAILS(ml_metrics_classification(NULL, NULL, y, 2, 2, NULL, &m, NULL), ML_E_ARGUMENT, "y_true is NULL");
    CHECK_FAILS(ml_metrics_classification(NULL, y, NULL, 2, 2, NULL, &m, NULL), ML_E_ARGUMENT, "y_pred is NULL");
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, NULL, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 0, 2, NULL, &m, NULL), ML_E_ARGUMENT, "n is 0");
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 0, NULL, &m, NULL), ML_E_ARGUMENT, "n_classes is 0");
    CHECK_FAILS(ml_metrics_multioutput(NULL, y, y, 2, 0, NULL, NULL, &m), ML_E_ARGUMENT, "n_classes is NULL");
    CHECK_FAILS(ml_metrics_multioutput(NULL, y, y, 2, 0, (const size_t[]){2}, NULL, &m), ML_E_ARGUMENT,
                "n_outputs is 0");
    CHECK_FAILS(ml_metrics_multilabel(NULL, y, y, 2, SIZE_MAX, NULL, &m, NULL, NULL), ML_E_ARGUMENT,
                "more than a size can say");
    CHECK_FAILS(ml_metrics_multilabel(NULL, y, y, 2, 1, NULL, NULL, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_metrics_confusion(y, y, NULL, 2, 2, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_metrics_log_loss(y, NULL, NULL, 2, 2, &loss), ML_E_ARGUMENT, "proba is NULL");
    CHECK_FAILS(ml_metrics_regression(y, y, NULL, 2, 0, &r), ML_E_ARGUMENT, "n_outputs is 0");
    CHECK_FAILS(ml_metrics_regression(y, y, NULL, 2, 1, NULL), ML_E_ARGUMENT, "out is NULL");
    m.struct_size = 1;
    CHECK_FAILS(ml_metrics_classification(NULL, y, y, 2, 2, NULL, &m, NULL), ML_E_ARGUMENT,
                "ml_classification_metrics");
}

TEST(metrics, older_callers_get_the_fields_they_know)
{
    const double y[] = {0, 1}, p[] = {0, 0};
    ml_classification_metrics m;
    unsigned char after[sizeof m - offsetof(ml_classification_metrics, micro)];

    memset(&m, 0x55, sizeof m);
    memset(after, 0x55, sizeof after);
    m.struct_size = offsetof(ml_classification_metrics, micro);
    CHECK_OK(ml_metrics_classification(NULL, y, p, 2, 2, NULL, &m, NULL));
    CHECK(m.accuracy == 0.5 && m.hamming_loss == 0.5);
    CHECK_SAME_BYTES((const char *)&m + offsetof(ml_classification_metrics, micro), sizeof after, after, sizeof after);
}

static ml_status classification_again(ml_context *context, void *argument)
{
    const double y[] = {0, 1, 1}, p[] = {0, 1, 0};
    ml_classification_metrics m = {.struct_size = sizeof m, .accuracy = -1};
    const bool multilabel = *(const bool *)argument;
    const ml_status st = multilabel ? ml_metrics_multilabel(context, y, y, 1, 3, NULL, &m, NULL, NULL)
                                    : ml_metrics_classification(context, y, p, 3, 2, NULL, &m, NULL);

    CHECK(st == ML_OK || m.accuracy == -1);
    return st;
}

TEST(metrics, failing_allocations_leave_the_result_alone)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);

    for (int multilabel = 0; multilabel < 2; multilabel++) {
        bool which = multilabel;

        CHECK(test_failing_allocations(&a, context, "metrics", classification_again, &which) >= 2);
    }
    ml_context_free(context);
    CHECK(a.n_live == 0);
}
