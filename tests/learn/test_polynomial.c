/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"
#include "model/model.h"

static ml_model *polynomial(int64_t degree, bool interaction_only, bool include_bias)
{
    ml_model *model = new_model(NULL, "polynomial_features");

    CHECK_OK(ml_model_set_int(model, "degree", degree));
    CHECK_OK(ml_model_set_int(model, "interaction_only", interaction_only));
    CHECK_OK(ml_model_set_int(model, "include_bias", include_bias));
    return model;
}

TEST(polynomial, agrees_with_scikit_learn)
{
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("polynomial.txt"), &n_expected), *out, x[9];
    const double *e = expected;
    ml_dataset *data;

    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            x[i * 3 + j] = 0.25 * j - 1.5 * i + (double[]){0.1, 0.2, 0.3}[j];
    data = matrix(NULL, x, 3, 3);
    for (int c = 0; c < 16; c++) {
        ml_model *model = polynomial(1 + c / 4, c / 2 % 2, !(c % 2));

        CHECK_OK(ml_model_fit(model, data, NULL));
        out = outputs_of(model, data, ML_TRANSFORM, &n);
        CHECK_MSG((double)n == 3 * *e, "case %d: %zu values, expected %g", c, n, 3 * *e);
        e++;
        for (size_t i = 0; i < n; i++)
            CHECK_CLOSE(out[i], *e++, 1e-15);
        free(out);
        ml_model_free(model);
    }
    CHECK(e == expected + n_expected);
    free(expected);
    ml_dataset_free(data);
}

TEST(polynomial, names_are_products_and_powers)
{
    static const char *const NAMES[] = {"1", "a", "b", "a^2", "a b", "b^2", "a^3", "a^2 b", "a b^2", "b^3"};
    static const char CSV[] = "a,b\n1,2\n3,4\n";
    ml_dataset *data;
    ml_model *pipe = new_model(NULL, "pipeline");

    CHECK_OK(ml_dataset_from_csv_memory(NULL, CSV, sizeof CSV - 1, NULL, NULL, &data));
    CHECK_OK(ml_model_set_int(add_member(pipe, "p", "polynomial_features"), "degree", 3));
    add_member(pipe, "s", "standard_scaler");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_n_features(ml_model_member(pipe, 1)) == 10);
    for (size_t j = 0; j < 10; j++)
        CHECK_MSG(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), j), NAMES[j]), "feature %zu is '%s'", j,
                  ml_model_feature_name(ml_model_member(pipe, 1), j));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

/* C(d + degree, degree), or the number of sets of at most so many features. */
TEST(polynomial, widths_are_binomial)
{
    static const double X[20] = {0};
    ml_dataset *data = matrix(NULL, X, 1, 20);

    for (int64_t degree = 0; degree <= 5; degree++) {
        static const size_t MULTISETS[] = {1, 21, 231, 1771, 10626, 53130}, SETS[] = {1, 21, 211, 1351, 6196, 21700};
        ml_model *all = polynomial(degree, false, true), *sets = polynomial(degree, true, true);

        CHECK_OK(ml_model_fit(all, data, NULL));
        CHECK_OK(ml_model_fit(sets, data, NULL));
        CHECK(ml_model_width(all, ML_TRANSFORM) == MULTISETS[degree]);
        CHECK(ml_model_width(sets, ML_TRANSFORM) == SETS[degree]);
        ml_model_free(all);
        ml_model_free(sets);
    }
    ml_dataset_free(data);
}

TEST(polynomial, more_sets_than_features_add_none)
{
    static const double X[2] = {3, 5};
    ml_dataset *data = matrix(NULL, X, 1, 2);
    ml_model *model = polynomial(7, true, false);
    double out[3];

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_transform(model, data, out, 3));
    CHECK(out[0] == 3 && out[1] == 5 && out[2] == 15);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(polynomial, too_many_features_are_refused_with_numbers)
{
    ml_dataset *digits = test_table(NULL, "digits");
    ml_model *model = polynomial(64, false, true);

    CHECK_FAILS(ml_model_fit(model, digits, NULL), ML_E_LIMIT,
                "degree 64 of 64 features makes more than 16777216 new features");
    CHECK_OK(ml_model_set_int(model, "degree", 0));
    CHECK_OK(ml_model_set_text(model, "include_bias", "false"));
    CHECK_FAILS(ml_model_fit(model, digits, NULL), ML_E_PARAMETER, "degree 0 without include_bias leaves no feature");
    ml_model_free(model);
    ml_dataset_free(digits);
}

TEST(polynomial, terms_that_do_not_exist_are_refused)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = fitted_model(NULL, "polynomial_features", iris);

    CHECK_REFUSED_VALUE(model, "terms", 2 * 7, 7, "tensor 'terms': row 7 is 7, "); /* of itself */
    CHECK_REFUSED_VALUE(model, "terms", 2 * 7 + 1, 4, "tensor 'terms': row 7 is 3, 4");
    ml_model_free(model);
    ml_dataset_free(iris);
}
