/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

static const char *const STRATEGIES[] = {"mean", "median", "most_frequent"};

TEST(imputer, agrees_with_scikit_learn)
{
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("imputer.txt"), &n_expected);
    ml_dataset *boston = test_table(NULL, "boston"), *holes = with_holes(boston);
    double *x = rows_of(holes);

    CHECK(n_expected == 39);
    for (int s = 0; s < 3; s++) {
        ml_model *imputer = new_model(NULL, "simple_imputer");
        double *out;

        CHECK_OK(ml_model_set_text(imputer, "strategy", STRATEGIES[s]));
        CHECK_OK(ml_model_fit(imputer, holes, NULL));
        for (int j = 0; j < 13; j++)
            CHECK_CLOSE(reals_of(imputer, "statistics")[j], expected[s * 13 + j], 1e-14);
        out = outputs_of(imputer, holes, ML_TRANSFORM, &n);
        for (size_t i = 0; i < n; i++)
            CHECK(out[i] == (isnan(x[i]) ? reals_of(imputer, "statistics")[i % 13] : x[i]));
        free(out);
        ml_model_free(imputer);
    }
    ml_dataset_free(holes);
    ml_dataset_free(boston);
    free(expected);
    free(x);
}

/* A row of weight w counts as w rows. */
TEST(imputer, weights_are_repetitions)
{
    const double x[] = {5, 1, 3, 9, 7}, weights[] = {2, 1, 0, 1, 2}, repeated[] = {5, 5, 1, 9, 7, 7};
    ml_dataset *a = matrix(NULL, x, 5, 1), *b = matrix(NULL, repeated, 6, 1);

    CHECK_OK(ml_dataset_set_weights(a, weights, 5));
    for (int s = 0; s < 3; s++) {
        ml_model *imputer = new_model(NULL, "simple_imputer");
        double with_weights;

        CHECK_OK(ml_model_set_text(imputer, "strategy", STRATEGIES[s]));
        CHECK_OK(ml_model_fit(imputer, a, NULL));
        with_weights = *reals_of(imputer, "statistics");
        CHECK_OK(ml_model_fit(imputer, b, NULL));
        CHECK_CLOSE(with_weights, *reals_of(imputer, "statistics"), 1e-15);
        ml_model_free(imputer);
    }
    ml_dataset_free(a);
    ml_dataset_free(b);
}

TEST(imputer, medians_of_all_lengths)
{
    for (size_t n = 1; n <= 40; n++) {
        double x[40];
        ml_dataset *data;
        ml_model *imputer = new_model(NULL, "simple_imputer");

        for (size_t i = 0; i < n; i++)
            x[i] = (double)((i * 17) % n) * 2; /* 17 is prime to all n but 17 and 34 */
        data = matrix(NULL, x, n, 1);
        CHECK_OK(ml_model_set_text(imputer, "strategy", "median"));
        CHECK_OK(ml_model_fit(imputer, data, NULL));
        if (n % 17)
            CHECK_CLOSE(*reals_of(imputer, "statistics"), (double)n - 1, 0);
        ml_model_free(imputer);
        ml_dataset_free(data);
    }
}

static const char CSV[] = "colour,size,number\nred,,1\nblue,L,\n,M,4\nblue,M,2\nred,S,\n";

TEST(imputer, categories_take_the_most_frequent_and_are_kept)
{
    ml_dataset *data;
    ml_model *imputer = new_model(NULL, "simple_imputer"), *pipe = new_model(NULL, "pipeline");
    double out[15];

    CHECK_OK(ml_dataset_from_csv_memory(NULL, CSV, sizeof CSV - 1, NULL, NULL, &data));
    CHECK_OK(ml_model_fit(imputer, data, NULL));
    CHECK_OK(ml_model_transform(imputer, data, out, 15));
    CHECK(out[2 * 3] == 0);              /* blue and red are equally frequent: the first */
    CHECK(out[1] == 1);                  /* M, of L, M, S */
    CHECK_CLOSE(out[5], 7.0 / 3, 1e-15); /* mean of 1, 4, 2 */
    ml_model_free(imputer);
    /* names and categories reach the next step */
    CHECK_OK(ml_model_set_text(add_member(pipe, "impute", "simple_imputer"), "strategy", "median"));
    add_member(pipe, "encode", "one_hot_encoder");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_width(pipe, ML_TRANSFORM) == 6);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 0), "colour"));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

TEST(imputer, a_feature_without_values_is_named)
{
    const double x[] = {1, NAN, 2, NAN};
    ml_dataset *data = matrix(NULL, x, 2, 2);
    ml_model *imputer = new_model(NULL, "simple_imputer");
    double out[4];

    CHECK_FAILS(ml_model_fit(imputer, data, NULL), ML_E_DATA, "feature 'x1' has no value to take the mean of");
    CHECK(!ml_model_is_fitted(imputer));
    CHECK_OK(ml_model_set_text(imputer, "strategy", "median"));
    CHECK_FAILS(ml_model_fit(imputer, data, NULL), ML_E_DATA, "feature 'x1' has no value to take the median of");
    CHECK_OK(ml_model_set_text(imputer, "strategy", "constant"));
    CHECK_OK(ml_model_set_real(imputer, "fill_value", -7));
    CHECK_OK(ml_model_fit(imputer, data, NULL));
    CHECK_OK(ml_model_transform(imputer, data, out, 4));
    CHECK(out[0] == 1 && out[1] == -7 && out[2] == 2 && out[3] == -7);
    ml_model_free(imputer);
    ml_dataset_free(data);
}

TEST(imputer, indicators_agree_with_scikit_learn)
{
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("imputer_indicator.txt"), &n_expected), *x, *out, *back;
    ml_dataset *boston = test_table(NULL, "boston"), *data;
    ml_model *pipe = new_model(NULL, "pipeline");

    x = rows_of(boston);
    for (size_t i = 0; i < 50; i++) {
        memmove(x + i * 6, x + i * 13, 6 * sizeof *x);
        x[i * 6 + 1] = i % 7 == 2 ? NAN : x[i * 6 + 1];
        x[i * 6 + 4] = i % 5 == 3 ? NAN : x[i * 6 + 4];
    }
    data = matrix(NULL, x, 50, 6);
    CHECK_OK(ml_model_set_text(add_member(pipe, "fill", "simple_imputer"), "strategy", "median"));
    CHECK_OK(ml_model_set_text(pipe, "fill__add_indicator", "true"));
    add_member(pipe, "keep", "passthrough");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(n_expected == 80 && ml_model_width(pipe, ML_TRANSFORM) == 8);
    out = outputs_of(pipe, data, ML_TRANSFORM, &n);
    for (size_t i = 0; i < 80; i++)
        CHECK_CLOSE(out[i], expected[i], 0);
    back = malloc(300 * sizeof *back);
    CHECK_OK(ml_model_inverse_transform(pipe, out, 50, 8, back, 300));
    for (size_t i = 0; i < 300; i++)
        CHECK_CLOSE(back[i], x[i], 0);
    free(back);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 5), "x5"));
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 7), "missingindicator_x4"));
    free(out);
    free(x);
    free(expected);
    ml_model_free(pipe);
    ml_dataset_free(data);
    ml_dataset_free(boston);
}

TEST(imputer, rows_of_weight_0_make_no_indicator)
{
    const double x[] = {1, 5, NAN, 6, 4, NAN}, w[] = {1, 0, 1};
    ml_dataset *data = matrix(NULL, x, 3, 2);
    ml_model *imputer = new_model(NULL, "simple_imputer");

    CHECK_OK(ml_dataset_set_weights(data, w, 3));
    CHECK_OK(ml_model_set_text(imputer, "add_indicator", "true"));
    CHECK_OK(ml_model_fit(imputer, data, NULL));
    CHECK(ml_model_width(imputer, ML_TRANSFORM) == 3);
    ml_model_free(imputer);
    ml_dataset_free(data);
}

TEST(imputer, empty_features_are_kept_when_wanted)
{
    const double x[] = {1, NAN, 2, NAN};
    ml_dataset *data = matrix(NULL, x, 2, 2);

    for (int s = 0; s < 3; s++) {
        ml_model *imputer = new_model(NULL, "simple_imputer");
        double out[6];

        CHECK_OK(ml_model_set_text(imputer, "strategy", STRATEGIES[s]));
        CHECK_OK(ml_model_set_text(imputer, "keep_empty_features", "true"));
        CHECK_OK(ml_model_set_text(imputer, "add_indicator", "true"));
        CHECK_OK(ml_model_fit(imputer, data, NULL));
        CHECK_OK(ml_model_transform(imputer, data, out, 6));
        CHECK(out[0] == 1 && out[1] == 0 && out[2] == 1 && out[3] == 2 && out[4] == 0 && out[5] == 1);
        ml_model_free(imputer);
    }
    ml_dataset_free(data);
}
