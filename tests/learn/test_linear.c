/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

static ml_dataset *problem(const double *x, const double *y, size_t n, size_t d)
{
    ml_dataset *data = matrix(NULL, x, n, d);

    CHECK_OK(ml_dataset_set_targets(data, NULL, y, n));
    return data;
}

static ml_model *linear(double alpha, bool with_intercept)
{
    ml_model *model = new_model(NULL, "linear_regression");

    CHECK_OK(ml_model_set_real(model, "alpha", alpha));
    CHECK_OK(ml_model_set_int(model, "fit_intercept", with_intercept));
    return model;
}

TEST(linear, agrees_with_scikit_learn)
{
    static const struct {
        double alpha;
        bool with_intercept, weighted;
    } CASES[] = {{0, true, false}, {0, false, false}, {0, true, true},
                 {1, true, false}, {100, true, true}, {0.5, false, false}};
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("linear.txt"), &n_expected), *e = expected;

    for (int t = 0; t < 2; t++) {
        const char *name = t ? "diabetes" : "boston";
        for (int c = 0; c < 6; c++) {
            ml_dataset *data = test_table(NULL, name);
            const size_t d = ml_dataset_n_features(data);
            ml_model *model = linear(CASES[c].alpha, CASES[c].with_intercept);

            if (CASES[c].weighted)
                set_weights(data, 0.25);
            CHECK_OK(ml_model_fit(model, data, NULL));
            for (size_t j = 0; j < d; j++)
                CHECK_CLOSE(reals_of(model, "coef")[j], e[j], 1e-9);
            CHECK_CLOSE(*reals_of(model, "intercept"), e[d], 1e-9);
            CHECK(*(const int64_t *)tensor_data(model, "rank") == (int64_t)d);
            e += d + 1;
            ml_model_free(model);
            ml_dataset_free(data);
        }
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

/* Collinear, badly scaled, rank-deficient, wide and offset problems, whose exact solutions are known. */
TEST(linear, hard_problems_agree_with_rational_arithmetic)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("least_squares.txt"), &n_expected), *e = expected;
    const int n_problems = (int)*e++;

    CHECK(n_problems == 10);
    for (int p = 0; p < n_problems; p++) {
        const size_t n = (size_t)e[0], d = (size_t)e[1];
        const double alpha = e[2], tolerance = e[3], rank = e[4];
        const double *x = e + 5, *y = x + n * d, *coef = y + n;
        ml_dataset *data = problem(x, y, n, d);
        ml_model *model = linear(alpha, true);

        CHECK_OK(ml_model_fit(model, data, NULL));
        for (size_t j = 0; j < d; j++)
            CHECK_MSG(fabs(reals_of(model, "coef")[j] - coef[j]) <= tolerance * fabs(coef[j]) + 1e-300,
                      "problem %d: coef[%zu] is %.17g, expected %.17g within %g", p, j, reals_of(model, "coef")[j],
                      coef[j], tolerance);
        CHECK_CLOSE(*reals_of(model, "intercept"), coef[d], 10 * tolerance);
        CHECK_MSG((double)*(const int64_t *)tensor_data(model, "rank") == (alpha > 0 ? (double)d : rank), "problem %d",
                  p);
        e = (double *)coef + d + 1;
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

TEST(linear, every_output_is_learned_as_if_alone)
{
    ml_dataset *boston = test_table(NULL, "boston"), *both = test_table(NULL, "boston");
    double *x = rows_of(boston), second[506];
    ml_model *alone, *together;
    double one[506], two[1012];

    for (int i = 0; i < 506; i++)
        second[i] = x[i * 13 + 5] * x[i * 13 + 12];
    CHECK_OK(ml_dataset_add_targets(both, "second", second, 506));
    together = fitted_model(NULL, "linear_regression", both);
    CHECK_OK(ml_model_predict(together, both, two, 1012));
    for (int o = 0; o < 2; o++) {
        if (o)
            CHECK_OK(ml_dataset_set_targets(boston, NULL, second, 506));
        alone = fitted_model(NULL, "linear_regression", boston);
        CHECK_OK(ml_model_predict(alone, boston, one, 506));
        for (int i = 0; i < 506; i++)
            CHECK_CLOSE(two[2 * i + o], one[i], 1e-12);
        ml_model_free(alone);
    }
    free(x);
    ml_model_free(together);
    ml_dataset_free(boston);
    ml_dataset_free(both);
}

TEST(linear, a_weight_of_2_is_a_row_twice_and_0_is_none)
{
    const double x[] = {1, 2, 4, 7, 1e9}, y[] = {1, 3, 2, 9, -1e9}, weights[] = {1, 2, 3, 1, 0};
    const double x_rows[] = {1, 2, 2, 4, 4, 4, 7}, y_rows[] = {1, 3, 3, 2, 2, 2, 9};

    for (int alpha = 0; alpha <= 1; alpha++) {
        ml_dataset *a = problem(x, y, 5, 1), *b = problem(x_rows, y_rows, 7, 1);
        ml_model *with_weights = linear(alpha, true), *with_rows = linear(alpha, true);

        CHECK_OK(ml_dataset_set_weights(a, weights, 5));
        CHECK_OK(ml_model_fit(with_weights, a, NULL));
        CHECK_OK(ml_model_fit(with_rows, b, NULL));
        CHECK_CLOSE(*reals_of(with_weights, "coef"), *reals_of(with_rows, "coef"), 1e-14);
        CHECK_CLOSE(*reals_of(with_weights, "intercept"), *reals_of(with_rows, "intercept"), 1e-14);
        ml_model_free(with_weights);
        ml_model_free(with_rows);
        ml_dataset_free(a);
        ml_dataset_free(b);
    }
}

TEST(linear, one_row_and_constant_targets_give_a_constant)
{
    const double x[] = {3, -4, 5, 6, 0, 1}, y[] = {0.1, 0.1, 0.1};

    for (size_t n = 1; n <= 3; n++) {
        ml_dataset *data = problem(x, y, n, 2);
        ml_model *model = fitted_model(NULL, "linear_regression", data);

        CHECK_CLOSE(reals_of(model, "coef")[0], 0, 1e-16);
        CHECK_CLOSE(reals_of(model, "coef")[1], 0, 1e-16);
        CHECK_CLOSE(*reals_of(model, "intercept"), 0.1, 1e-16);
        CHECK(*(const int64_t *)tensor_data(model, "rank") == (int64_t)n - 1);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(linear, extreme_magnitudes_work_or_say_so)
{
    const double x[] = {1e150, 2e-150, 2e150, 1e-150, 4e150, 5e-150, 5e150, 1e-150}, y[] = {1, 2, 3, 5};
    const double plain[] = {1, 2, 2, 1, 4, 5, 5, 1};
    const double opposite[] = {1.5e308, -1.5e308, 1e308, -1e308};
    ml_dataset *a = problem(x, y, 4, 2), *b = problem(plain, y, 4, 2), *c = problem(opposite, y, 4, 1);
    ml_model *scaled = fitted_model(NULL, "linear_regression", a), *model = fitted_model(NULL, "linear_regression", b);

    CHECK_CLOSE(reals_of(scaled, "coef")[0] * 1e150, reals_of(model, "coef")[0], 1e-12);
    CHECK_CLOSE(reals_of(scaled, "coef")[1] / 1e150, reals_of(model, "coef")[1], 1e-12);
    CHECK_FAILS(ml_model_fit(model, c, NULL), ML_E_NUMERIC, "feature 'x0' overflows");
    CHECK(ml_model_is_fitted(model));
    ml_model_free(scaled);
    ml_model_free(model);
    ml_dataset_free(a);
    ml_dataset_free(b);
    ml_dataset_free(c);
}

TEST(linear, units_of_features_do_not_matter)
{
    ml_dataset *diabetes = test_table(NULL, "diabetes"), *scaled;
    double *x = rows_of(diabetes), y[442];
    ml_model *a, *b;

    CHECK_OK(ml_dataset_output(diabetes, 0, y, 442));
    for (int i = 0; i < 442; i++)
        for (int j = 0; j < 10; j++)
            x[i * 10 + j] = ldexp(x[i * 10 + j], 40 * j - 200);
    scaled = problem(x, y, 442, 10);
    a = fitted_model(NULL, "linear_regression", diabetes);
    b = fitted_model(NULL, "linear_regression", scaled);
    for (int j = 0; j < 10; j++)
        CHECK_CLOSE(ldexp(reals_of(b, "coef")[j], 40 * j - 200), reals_of(a, "coef")[j], 1e-13);
    free(x);
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(diabetes);
    ml_dataset_free(scaled);
}

/* Where features are collinear and their units differ by 2^100, the shortest solution predicts as well as in like
 * units. */
TEST(linear, units_of_collinear_features_do_not_matter_to_predictions)
{
    ml_dataset *diabetes = test_table(NULL, "diabetes"), *collinear;
    double *x = rows_of(diabetes), y[442], wide[442 * 11], a[442], b[442];
    ml_model *model;

    CHECK_OK(ml_dataset_output(diabetes, 0, y, 442));
    for (int i = 0; i < 442; i++) {
        for (int j = 0; j < 10; j++)
            wide[i * 11 + j] = ldexp(x[i * 10 + j], 10 * j - 50);
        wide[i * 11 + 10] = x[i * 10 + 2] + x[i * 10 + 3];
    }
    collinear = problem(wide, y, 442, 11);
    model = fitted_model(NULL, "linear_regression", diabetes);
    CHECK_OK(ml_model_predict(model, diabetes, a, 442));
    CHECK_OK(ml_model_fit(model, collinear, NULL));
    CHECK(*(const int64_t *)tensor_data(model, "rank") == 10);
    CHECK_OK(ml_model_predict(model, collinear, b, 442));
    for (int i = 0; i < 442; i++)
        CHECK_CLOSE(b[i], a[i], 1e-9);
    free(x);
    ml_model_free(model);
    ml_dataset_free(diabetes);
    ml_dataset_free(collinear);
}
