/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

TEST(scaler, agrees_with_scikit_learn)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("scaler.txt"), &n_expected), *e = expected;
    ml_dataset *boston = test_table(NULL, "boston"), *holes = with_holes(boston);

    CHECK(n_expected == 3 * 4 * 13);
    for (int c = 0; c < 3; c++, e += 4 * 13) {
        const ml_dataset *data = c == 2 ? holes : boston;
        ml_model *scaler;
        double row[13], out[13];

        if (c == 1)
            set_weights(boston, 0);
        scaler = fitted_model(NULL, "standard_scaler", data);
        CHECK_OK(ml_dataset_row(data, 5, row, 13));
        CHECK_OK(ml_model_predict_row(scaler, ML_TRANSFORM, row, 13, out, 13, NULL, 0));
        for (int j = 0; j < 13; j++) {
            CHECK_CLOSE(reals_of(scaler, "mean")[j] / e[j], 1, 1e-13);
            CHECK_CLOSE(reals_of(scaler, "var")[j] / e[13 + j], 1, 1e-12);
            CHECK_CLOSE(reals_of(scaler, "scale")[j] / e[26 + j], 1, 1e-12);
            CHECK_CLOSE(out[j], e[39 + j], 1e-12);
        }
        ml_model_free(scaler);
    }
    ml_dataset_free(holes);
    ml_dataset_free(boston);
    free(expected);
}

TEST(scaler, options_leave_out_the_mean_or_the_scale)
{
    ml_dataset *boston = test_table(NULL, "boston");
    ml_model *scaler = new_model(NULL, "standard_scaler");
    double row[13], out[13], full[13];

    CHECK_OK(ml_dataset_row(boston, 7, row, 13));
    CHECK_OK(ml_model_fit(scaler, boston, NULL));
    memcpy(full, reals_of(scaler, "var"), sizeof full);
    CHECK_OK(ml_model_set_text(scaler, "with_mean", "false"));
    CHECK_OK(ml_model_fit(scaler, boston, NULL));
    CHECK_OK(ml_model_predict_row(scaler, ML_TRANSFORM, row, 13, out, 13, NULL, 0));
    for (int j = 0; j < 13; j++) {
        CHECK(out[j] == row[j] / sqrt(full[j]));
        CHECK(reals_of(scaler, "mean")[j] == 0);
    }
    CHECK_OK(ml_model_set_text(scaler, "with_std", "false"));
    CHECK_OK(ml_model_fit(scaler, boston, NULL));
    CHECK_OK(ml_model_predict_row(scaler, ML_TRANSFORM, row, 13, out, 13, NULL, 0));
    CHECK_SAME_BYTES(row, sizeof row, out, sizeof out);
    CHECK_SAME_BYTES(full, sizeof full, reals_of(scaler, "var"), sizeof full);
    ml_model_free(scaler);
    ml_dataset_free(boston);
}

/* Deterministic noise in (-1, 1) with 20 bits, so that 1e9 + noise * 1e-3 is not exact but known. */
static double noise(size_t i)
{
    return (double)((i * 2654435761u) % 1048576) / 524288 - 1;
}

TEST(scaler, a_huge_offset_costs_no_digits)
{
    enum { N = 3000 };
    static double x[2 * N], w[N];
    long double W = 0, sum = 0, squares = 0;
    ml_dataset *data;
    ml_model *scaler;

    for (size_t i = 0; i < N; i++) {
        w[i] = 1 + (double)(i % 3);
        x[2 * i] = 1e9 + 1e-3 * noise(i);
        x[2 * i + 1] = i ? 1e9 + 1e-3 * noise(i) : 0; /* the first row says nothing about the offset */
        W += w[i];
        sum += w[i] * ((long double)x[2 * i] - 1e9L);
    }
    for (size_t i = 0; i < N; i++) {
        const long double deviation = (long double)x[2 * i] - 1e9L - sum / W;
        squares += w[i] * deviation * deviation;
    }
    data = matrix(NULL, x, N, 2);
    CHECK_OK(ml_dataset_set_weights(data, w, N));
    scaler = fitted_model(NULL, "standard_scaler", data);
    CHECK_CLOSE(reals_of(scaler, "var")[0] / (double)(squares / W), 1, 1e-9);
    CHECK_CLOSE(reals_of(scaler, "mean")[0], (double)(1e9L + sum / W), 1e-16);
    CHECK_CLOSE(reals_of(scaler, "var")[1] / (1e18 * (double)(w[0] / W * (1 - w[0] / W))), 1, 1e-9);
    ml_model_free(scaler);
    ml_dataset_free(data);
}

TEST(scaler, constant_and_empty_features_keep_scale_1)
{
    double x[] = {0.1, 5, NAN, -0.0, 0.1, 6, NAN, 0.0, 0.1, 7, NAN, 0.0}, out[12];
    ml_dataset *data = matrix(NULL, x, 3, 4);
    ml_model *scaler = fitted_model(NULL, "standard_scaler", data);

    CHECK(reals_of(scaler, "scale")[0] == 1 && reals_of(scaler, "scale")[3] == 1);
    CHECK(reals_of(scaler, "scale")[2] == 1 && reals_of(scaler, "mean")[2] == 0);
    CHECK_CLOSE(reals_of(scaler, "scale")[1], sqrt(2.0 / 3), 1e-15);
    CHECK_OK(ml_model_transform(scaler, data, out, 12));
    CHECK_CLOSE(out[0], 0, 1e-16);
    CHECK(isnan(out[2]) && out[3] == 0);
    ml_model_free(scaler);
    ml_dataset_free(data);
}

TEST(scaler, a_weight_of_2_is_a_row_twice_and_0_is_none)
{
    const double once[] = {1, 10, 4, 20, 9, 90, 1e6, 1e6}, weights[] = {1, 2, 3, 0};
    const double repeated[] = {1, 10, 4, 20, 4, 20, 9, 90, 9, 90, 9, 90};
    ml_dataset *a = matrix(NULL, once, 4, 2), *b = matrix(NULL, repeated, 6, 2);
    ml_model *with_weights, *with_rows;

    CHECK_OK(ml_dataset_set_weights(a, weights, 4));
    with_weights = fitted_model(NULL, "standard_scaler", a);
    with_rows = fitted_model(NULL, "standard_scaler", b);
    for (int j = 0; j < 2; j++) {
        CHECK_CLOSE(reals_of(with_weights, "mean")[j], reals_of(with_rows, "mean")[j], 1e-15);
        CHECK_CLOSE(reals_of(with_weights, "scale")[j], reals_of(with_rows, "scale")[j], 1e-15);
    }
    ml_model_free(with_weights);
    ml_model_free(with_rows);
    ml_dataset_free(a);
    ml_dataset_free(b);
}

TEST(scaler, extreme_magnitudes_work_or_say_so)
{
    const double x[] = {1e150, 1e-150, -1e150, 3e-150, 3e150, 2e-150}, y[] = {1e200, -1e200, 3e200};
    ml_dataset *fine = matrix(NULL, x, 3, 2), *too_large = matrix(NULL, y, 3, 1);
    ml_model *scaler = fitted_model(NULL, "standard_scaler", fine);

    CHECK_CLOSE(reals_of(scaler, "mean")[0], 1e150, 1e-15);
    CHECK_CLOSE(reals_of(scaler, "scale")[1] * 1e150, sqrt(2.0 / 3), 1e-12);
    CHECK_FAILS(ml_model_fit(scaler, too_large, NULL), ML_E_NUMERIC, "'var': element 0 is inf");
    ml_model_free(scaler);
    ml_dataset_free(fine);
    ml_dataset_free(too_large);
}

TEST(scaler, any_number_of_threads_gives_the_same_bytes)
{
    check_threads("standard_scaler", "digits", NULL);
}

/* ---- the way back ---- */

TEST(scaler, inverse_agrees_with_scikit_learn)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path("scaler_inverse.txt"), &n_expected), *e = expected;
    double z[3 * 13], x[3 * 13];
    ml_dataset *boston = test_table(NULL, "boston");
    ml_model *scaler = new_model(NULL, "standard_scaler");

    CHECK(n_expected == 4 * 3 * 13);
    for (int i = 0; i < 39; i++)
        z[i] = 0.25 * (i % 13) - 1.5 * (i / 13);
    for (int c = 0; c < 4; c++, e += 39) {
        CHECK_OK(ml_model_set_int(scaler, "with_mean", c < 2));
        CHECK_OK(ml_model_set_int(scaler, "with_std", c % 2 == 0));
        CHECK_OK(ml_model_fit(scaler, boston, NULL));
        CHECK_OK(ml_model_inverse_transform(scaler, z, 3, 13, x, 39));
        for (int i = 0; i < 39; i++)
            CHECK_CLOSE(x[i], e[i], 1e-12);
    }
    free(expected);
    ml_model_free(scaler);
    ml_dataset_free(boston);
}

static void *there_and_back(ml_context *context, const void *rows, size_t *n_bytes)
{
    const ml_dataset *data = rows;
    const size_t d = ml_dataset_n_features(data), n = ml_dataset_n_rows(data) * d;
    double *x = rows_of(data), *z = malloc(n * sizeof *z), *back = malloc(n * sizeof *back);
    ml_model *scaler = fitted_model(context, "standard_scaler", data);

    CHECK_OK(ml_model_transform(scaler, data, z, n));
    CHECK_OK(ml_model_inverse_transform(scaler, z, n / d, d, back, n));
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(back[i], x[i], 1e-14);
    free(x);
    free(z);
    ml_model_free(scaler);
    *n_bytes = n * sizeof *back;
    return back;
}

TEST(scaler, inverse_leads_back_on_any_number_of_threads)
{
    ml_dataset *digits = test_table(NULL, "digits"), *holes = with_holes(digits);

    test_any_threads("inverse", there_and_back, holes);
    ml_dataset_free(holes);
    ml_dataset_free(digits);
}

TEST(scaler, inverse_refuses_misuse)
{
    const double x[] = {1, 2, 3, 5};
    double z[] = {0, 1, 2, INFINITY}, out[4] = {7, 7, 7, 7};
    ml_dataset *data = matrix(NULL, x, 2, 2);
    ml_model *scaler = new_model(NULL, "standard_scaler"), *tree = new_model(NULL, "decision_tree");

    CHECK_FAILS(ml_model_inverse_transform(scaler, z, 2, 2, out, 4), ML_E_STATE, "not fitted");
    CHECK_OK(ml_model_fit(scaler, data, NULL));
    CHECK_FAILS(ml_model_inverse_transform(NULL, z, 2, 2, out, 4), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_inverse_transform(scaler, NULL, 2, 2, out, 4), ML_E_ARGUMENT, "z is NULL");
    CHECK_FAILS(ml_model_inverse_transform(scaler, z, 2, 2, NULL, 4), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_inverse_transform(scaler, z, 2, 1, out, 4), ML_E_SHAPE,
                "rows of 1 new features, standard_scaler has 2");
    CHECK_FAILS(ml_model_inverse_transform(scaler, z, 2, 2, out, 3), ML_E_SHAPE,
                "out has 3 elements, 2 rows give 2 each");
    CHECK(out[0] == 7);
    CHECK_FAILS(ml_model_inverse_transform(scaler, z, 2, 2, out, 4), ML_E_DATA, "row 1, column 1 of the new features");
    CHECK_OK(ml_model_inverse_transform(scaler, z, 0, 2, out, 0));
    CHECK_OK(ml_dataset_set_targets(data, NULL, x, 2));
    CHECK_OK(ml_model_fit(tree, data, NULL));
    CHECK_FAILS(ml_model_inverse_transform(tree, z, 2, 2, out, 4), ML_E_UNSUPPORTED,
                "decision_tree has no inverse_transform");
    ml_model_free(scaler);
    ml_model_free(tree);
    ml_dataset_free(data);
}
