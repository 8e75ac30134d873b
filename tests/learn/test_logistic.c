/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

static ml_model *logistic(double C, double tol, int64_t max_iter)
{
    ml_model *model = new_model(NULL, "logistic_regression");

    CHECK_OK(ml_model_set_real(model, "C", C));
    CHECK_OK(ml_model_set_real(model, "tol", tol));
    CHECK_OK(ml_model_set_int(model, "max_iter", max_iter));
    return model;
}

static ml_dataset *scaled(const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    ml_model *scaler = fitted_model(NULL, "standard_scaler", data);
    double *out = outputs_of(scaler, data, ML_TRANSFORM, &(size_t){0}), *y = malloc(n * sizeof *y);
    int64_t *labels = malloc(n * sizeof *labels);
    ml_dataset *made = matrix(NULL, out, n, d);

    CHECK_OK(ml_dataset_output(data, 0, y, n));
    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    CHECK_OK(ml_dataset_set_labels(made, NULL, labels, n, -1));
    free(out);
    free(y);
    free(labels);
    ml_model_free(scaler);
    return made;
}

TEST(logistic, agrees_with_scikit_learn)
{
    static const struct {
        const char *table;
        double C;
        bool scaled, with_intercept, weighted;
    } CASES[] = {{"iris", 1, true, true, false},          {"wine", 1, true, true, false},
                 {"breast_cancer", 1, true, true, false}, {"iris", 1, false, true, false},
                 {"iris", 100, true, false, false},       {"wine", 0.01, true, true, true}};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("logistic.txt"), &n_expected), *e = expected;

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_dataset *table = test_table(NULL, CASES[c].table), *data = CASES[c].scaled ? scaled(table) : table;
        const size_t d = ml_dataset_n_features(data), K = ml_dataset_n_classes(data, 0);
        ml_model *model = logistic(CASES[c].C, 1e-11, 10000);
        double row[30], proba[3];

        if (CASES[c].weighted)
            set_weights(data, 0.25);
        CHECK_OK(ml_model_set_int(model, "fit_intercept", CASES[c].with_intercept));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        for (size_t v = 0; v < K * d; v++)
            CHECK_CLOSE(reals_of(model, "coef")[v], e[v], 1e-8);
        for (size_t k = 0; k < K; k++)
            CHECK_CLOSE(reals_of(model, "intercept")[k], e[K * d + k], 1e-8);
        CHECK_OK(ml_dataset_row(data, 60, row, d));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, row, d, proba, K, NULL, 0));
        for (size_t k = 0; k < K; k++)
            CHECK_CLOSE(proba[k], e[K * (d + 1) + k], 1e-9);
        e += K * (d + 2);
        ml_model_free(model);
        ml_dataset_free(data);
        if (CASES[c].scaled)
            ml_dataset_free(table);
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

/* The search runs on standardised features, so raw tables converge within the default 100 iterations as well. */
TEST(logistic, defaults_converge_on_the_shipped_tables)
{
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer"};
    static const double ACCURACY[] = {0.97, 0.99, 0.95};

    for (int t = 0; t < 3; t++) {
        ml_dataset *data = test_table(NULL, TABLES[t]);
        ml_model *model = fitted_model(NULL, "logistic_regression", data);
        double accuracy;

        CHECK_MSG(ml_model_stop_reason(model) == ML_STOP_CONVERGED, "%s: %lld iterations", TABLES[t],
                  (long long)*(const int64_t *)tensor_data(model, "n_iter"));
        CHECK_OK(ml_model_score(model, data, "accuracy", &accuracy));
        CHECK_MSG(accuracy >= ACCURACY[t], "%s: accuracy %g", TABLES[t], accuracy);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

static ml_dataset *labelled(const double *x, const int64_t *labels, size_t n, size_t d)
{
    ml_dataset *data = matrix(NULL, x, n, d);

    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, n, -1));
    return data;
}

TEST(logistic, separable_classes_stay_finite)
{
    const double x[] = {-3, -2, -1, 1, 2, 3};
    const int64_t y[] = {0, 0, 0, 1, 1, 1};
    ml_dataset *data = labelled(x, y, 6, 1);

    for (int e = -12; e <= 12; e += 3) {
        ml_model *model = logistic(pow(10, e), 1e-6, 500);

        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(isfinite(reals_of(model, "coef")[1]) && reals_of(model, "coef")[1] > 0);
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

TEST(logistic, the_iteration_limit_is_a_readable_stop_reason)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *model = logistic(1e6, 1e-12, 3);

    CHECK_OK(ml_model_fit(model, wine, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER);
    CHECK(*(const int64_t *)tensor_data(model, "n_iter") == 3);
    ml_model_free(model);
    ml_dataset_free(wine);
}

TEST(logistic, one_class_and_a_class_without_rows)
{
    const double x[] = {1, 2, 3, 4};
    const int64_t one[] = {7, 7, 7, 7}, three[] = {0, 1, 0, 2};
    const size_t kept[] = {0, 1, 2};
    ml_dataset *a = labelled(x, one, 4, 1), *b = labelled(x, three, 4, 1), *without;
    ml_model *model = fitted_model(NULL, "logistic_regression", a);
    double proba[12], out[4];

    CHECK_OK(ml_model_predict_proba(model, a, proba, 4));
    CHECK(proba[0] == 1 && proba[3] == 1 && *reals_of(model, "coef") == 0);
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    CHECK_OK(ml_dataset_subset(b, kept, 3, &without));
    CHECK_OK(ml_model_fit(model, without, NULL));
    CHECK_OK(ml_model_predict_proba(model, b, proba, 12));
    for (int i = 0; i < 4; i++) {
        CHECK_CLOSE(proba[3 * i] + proba[3 * i + 1] + proba[3 * i + 2], 1, 1e-15);
        CHECK(proba[3 * i + 2] < 0.02);
    }
    CHECK_OK(ml_model_predict(model, b, out, 4));
    ml_model_free(model);
    ml_dataset_free(a);
    ml_dataset_free(b);
    ml_dataset_free(without);
}

TEST(logistic, a_weight_of_2_is_a_row_twice_and_0_is_none)
{
    ml_dataset *iris = test_table(NULL, "iris"), *same = test_table(NULL, "iris"), *repeated;
    ml_model *with_weights = logistic(1, 1e-11, 1000), *with_rows = logistic(1, 1e-11, 1000);
    double weights[150];
    size_t rows[300], n = 0;

    for (size_t i = 0; i < 150; i++) {
        weights[i] = (double)(i % 3);
        for (size_t r = 0; r < i % 3; r++)
            rows[n++] = i;
    }
    CHECK_OK(ml_dataset_subset(same, rows, n, &repeated));
    CHECK_OK(ml_model_fit(with_rows, repeated, NULL));
    CHECK_OK(ml_dataset_set_weights(iris, weights, 150));
    CHECK_OK(ml_model_fit(with_weights, iris, NULL));
    for (int v = 0; v < 12; v++)
        CHECK_CLOSE(reals_of(with_weights, "coef")[v], reals_of(with_rows, "coef")[v], 1e-9);
    ml_model_free(with_weights);
    ml_model_free(with_rows);
    ml_dataset_free(iris);
    ml_dataset_free(same);
    ml_dataset_free(repeated);
}

TEST(logistic, offsets_and_units_do_not_matter_to_the_fit)
{
    ml_dataset *iris = test_table(NULL, "iris"), *moved;
    double *x = rows_of(iris), *y = malloc(150 * sizeof *y), a_proba[450], b_proba[450];
    int64_t labels[150];
    ml_model *a = logistic(1e8, 1e-9, 5000), *b = logistic(1e8, 1e-9, 5000);

    CHECK_OK(ml_dataset_output(iris, 0, y, 150));
    for (int i = 0; i < 150; i++) {
        labels[i] = (int64_t)y[i];
        for (int j = 0; j < 4; j++)
            x[i * 4 + j] = ldexp(x[i * 4 + j], 4 * j - 4) + 1024 * (j == 0);
    }
    moved = labelled(x, labels, 150, 4);
    CHECK_OK(ml_model_fit(a, iris, NULL));
    CHECK_OK(ml_model_fit(b, moved, NULL));
    CHECK_OK(ml_model_predict_proba(a, iris, a_proba, 450));
    CHECK_OK(ml_model_predict_proba(b, moved, b_proba, 450));
    for (int v = 0; v < 450; v++)
        CHECK_CLOSE(b_proba[v], a_proba[v], 0.02);
    free(x);
    free(y);
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(iris);
    ml_dataset_free(moved);
}

TEST(logistic, extreme_magnitudes_work_or_say_so)
{
    const double x[] = {-1e150, 1e-150, 2e150, 3e-150, -3e150, 2e-150, 4e150, 1e-150},
                 too_large[] = {1e200, -1e200, 1, 2};
    const int64_t y[] = {0, 1, 0, 1};
    ml_dataset *a = labelled(x, y, 4, 2), *b = labelled(too_large, y, 4, 1);
    ml_model *model = fitted_model(NULL, "logistic_regression", a);
    double proba[8];

    CHECK_OK(ml_model_predict_proba(model, a, proba, 8));
    for (int v = 0; v < 8; v++)
        CHECK(proba[v] >= 0 && proba[v] <= 1);
    CHECK(proba[0] > 0.5 && proba[3] > 0.5);
    CHECK_FAILS(ml_model_fit(model, b, NULL), ML_E_NUMERIC, "the variance of feature 'x0' overflows");
    ml_model_free(model);
    ml_dataset_free(a);
    ml_dataset_free(b);
}

TEST(logistic, decision_is_what_proba_is_the_softmax_of)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = fitted_model(NULL, "logistic_regression", iris);
    double decision[450], proba[450];

    CHECK_OK(ml_model_decision(model, iris, decision, 450));
    CHECK_OK(ml_model_predict_proba(model, iris, proba, 450));
    for (int i = 0; i < 150; i++) {
        double sum = 0;

        for (int k = 0; k < 3; k++)
            sum += exp(decision[3 * i + k]);
        for (int k = 0; k < 3; k++)
            CHECK_CLOSE(proba[3 * i + k], exp(decision[3 * i + k]) / sum, 1e-14);
    }
    ml_model_free(model);
    ml_dataset_free(iris);
}

TEST(logistic, cancelling_any_iteration_keeps_the_model)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = fitted_model(NULL, "logistic_regression", iris);

    CHECK(test_cancelled_fits("logistic_regression", model, iris) >= 10);
    ml_model_free(model);
    ml_dataset_free(iris);
}

TEST(logistic, any_number_of_threads_gives_the_same_bytes)
{
    check_threads("logistic_regression", "digits", SETTINGS("max_iter=20"));
}

TEST(logistic, a_deadline_ends_after_the_iteration_in_which_it_passes)
{
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *model = new_model(NULL, "logistic_regression");

    CHECK_OK(ml_model_fit(model, wine, &options));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE);
    CHECK(*(const int64_t *)tensor_data(model, "n_iter") == 1);
    ml_model_free(model);
    ml_dataset_free(wine);
}

/* tol 0 ends where the loss is level to rounding, long before the limit; by then the gradient has led all the way. */
TEST(logistic, the_last_digits_are_reached_and_left)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *model = logistic(1, 0, 100000);
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("logistic_optimum.txt"), &n_expected);

    CHECK(n_expected == 39);
    CHECK_OK(ml_model_fit(model, wine, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
    CHECK_MSG(*(const int64_t *)tensor_data(model, "n_iter") < 1000, "%lld iterations",
              (long long)*(const int64_t *)tensor_data(model, "n_iter"));
    for (int v = 0; v < 39; v++)
        CHECK_CLOSE(reals_of(model, "coef")[v], expected[v], 1e-11);
    free(expected);
    ml_model_free(model);
    ml_dataset_free(wine);
}
