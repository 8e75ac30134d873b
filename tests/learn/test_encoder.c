/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"
#include "model/model.h"

static const char CSV[] = "colour,number,size\nred,1.5,S\ngreen,2.5,L\nblue,,M\n,4,S\nred,5,\nblue,6,M\n";

static ml_dataset *table(void)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_csv_memory(NULL, CSV, sizeof CSV - 1, NULL, NULL, &data));
    return data;
}

TEST(encoder, agrees_with_scikit_learn)
{
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("encoder.txt"), &n_expected), *out;
    ml_dataset *data = table();
    ml_model *encoder = fitted_model(NULL, "one_hot_encoder", data);
    const int64_t *offsets = tensor_data(encoder, "offsets");

    out = outputs_of(encoder, data, ML_TRANSFORM, &n);
    CHECK(n == n_expected && n == 6 * 7);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(out[i], expected[i], 0);
    CHECK(offsets[0] == 0 && offsets[1] == 3 && offsets[2] == 4 && offsets[3] == 7);
    free(out);
    free(expected);
    ml_model_free(encoder);
    ml_dataset_free(data);
}

TEST(encoder, unseen_codes_give_zeros)
{
    const double rows[] = {3, 0, 0, -1, 0, 1, 0.5, 0, 2};
    ml_dataset *data = table(), *codes = matrix(NULL, rows, 3, 3);
    ml_model *encoder = fitted_model(NULL, "one_hot_encoder", data);
    double out[21];

    CHECK_OK(ml_model_transform(encoder, codes, out, 21));
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++)
            CHECK(out[i * 7 + j] == 0);
        for (int j = 0; j < 3; j++)
            CHECK(out[i * 7 + 4 + j] == (i == j));
    }
    ml_model_free(encoder);
    ml_dataset_free(data);
    ml_dataset_free(codes);
}

TEST(encoder, names_join_feature_and_category)
{
    static const char *const NAMES[] = {"colour=blue", "colour=green", "colour=red", "number",
                                        "size=L",      "size=M",       "size=S"};
    ml_dataset *data = table();
    ml_model *pipe = new_model(NULL, "pipeline");

    add_member(pipe, "encode", "one_hot_encoder");
    add_member(pipe, "impute", "simple_imputer");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    for (size_t j = 0; j < 7; j++)
        CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), j), NAMES[j]));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

TEST(encoder, numbers_alone_pass_through)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *encoder = fitted_model(NULL, "one_hot_encoder", iris);
    double *x = rows_of(iris), *out;
    size_t n;

    out = outputs_of(encoder, iris, ML_TRANSFORM, &n);
    CHECK_SAME_BYTES(x, 600 * sizeof *x, out, n * sizeof *out);
    free(x);
    free(out);
    ml_model_free(encoder);
    ml_dataset_free(iris);
}

/* ---- infrequent and dropped categories ---- */

/* Two columns of categories, none missing. */
static ml_dataset *people(void)
{
    static const int64_t COLUMNS[] = {1, 3};
    ml_dataset *all, *present, *data;
    size_t rows[120], n = 0;
    double row[6];

    CHECK_OK(ml_dataset_from_csv(NULL, test_expected_path("people.csv"), NULL, &all));
    for (size_t i = 0; i < 120; i++) {
        CHECK_OK(ml_dataset_row(all, i, row, 6));
        if (!isnan(row[1]) && !isnan(row[3]))
            rows[n++] = i;
    }
    CHECK_OK(ml_dataset_subset(all, rows, n, &present));
    CHECK_OK(ml__dataset_select(present, COLUMNS, 2, &data));
    ml_dataset_free(all);
    ml_dataset_free(present);
    return data;
}

TEST(encoder, options_agree_with_scikit_learn)
{
    static const char *const OPTIONS[][4] = {{"drop", "first"},
                                             {"drop", "if_binary", "max_categories", "2"},
                                             {"min_frequency", "30"},
                                             {"min_frequency", "0.25"},
                                             {"max_categories", "3"},
                                             {"max_categories", "2", "min_frequency", "20"},
                                             {"max_categories", "3", "drop", "first"}};
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("encoders.txt"), &n_expected), *e = expected;
    ml_dataset *data = people();

    for (size_t c = 0; c <= 7; c++) {
        ml_model *encoder = new_model(NULL, c < 7 ? "one_hot_encoder" : "ordinal_encoder");
        double *out;

        for (int s = 0; c < 7 && s < 4 && OPTIONS[c][s]; s += 2)
            CHECK_OK(ml_model_set_text(encoder, OPTIONS[c][s], OPTIONS[c][s + 1]));
        CHECK_OK(ml_model_fit(encoder, data, NULL));
        if (c < 7)
            CHECK_MSG((double)ml_model_width(encoder, ML_TRANSFORM) == *e++, "case %zu: width %zu", c,
                      ml_model_width(encoder, ML_TRANSFORM));
        out = outputs_of(encoder, data, ML_TRANSFORM, &n);
        for (size_t i = 0; i < 20 * ml_model_width(encoder, ML_TRANSFORM); i++)
            CHECK_MSG(out[i] == *e++, "case %zu, value %zu is %g", c, i, out[i]);
        free(out);
        ml_model_free(encoder);
    }
    CHECK(e == expected + n_expected);
    free(expected);
    ml_dataset_free(data);
}

TEST(encoder, goes_back_to_categories)
{
    static const char *const DROPS[] = {"none", "first"};
    ml_dataset *data = people();
    const size_t n_rows = ml_dataset_n_rows(data);
    double *x = rows_of(data), *back = malloc(n_rows * 2 * sizeof *back);

    for (int k = 0; k < 3; k++) {
        ml_model *encoder = new_model(NULL, k < 2 ? "one_hot_encoder" : "ordinal_encoder");
        double *z;
        size_t n;

        if (k < 2)
            CHECK_OK(ml_model_set_text(encoder, "drop", DROPS[k]));
        CHECK_OK(ml_model_fit(encoder, data, NULL));
        z = outputs_of(encoder, data, ML_TRANSFORM, &n);
        CHECK_OK(ml_model_inverse_transform(encoder, z, n_rows, n / n_rows, back, n_rows * 2));
        CHECK_SAME_BYTES(back, n_rows * 2 * sizeof *back, x, n_rows * 2 * sizeof *x);
        free(z);
        ml_model_free(encoder);
    }
    free(x);
    free(back);
    ml_dataset_free(data);
}

TEST(encoder, infrequent_categories_share_a_place)
{
    const double odd[] = {7, NAN};
    ml_dataset *data = people(), *codes = matrix(NULL, odd, 1, 2);
    ml_model *pipe = new_model(NULL, "pipeline"), *encoder = add_member(pipe, "code", "one_hot_encoder");
    double out[4], back[2], zeros[4] = {0};

    CHECK_OK(ml_model_set_text(encoder, "max_categories", "2"));
    CHECK_OK(ml_model_set_text(encoder, "handle_unknown", "infrequent_if_exist"));
    add_member(pipe, "keep", "passthrough");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_width(pipe, ML_TRANSFORM) == 4);
    for (size_t j = 0; j < 4; j++) {
        const char *name = ml_model_feature_name(ml_model_member(pipe, 1), j);

        CHECK_MSG((j % 2 == 0) == !strstr(name, "=infrequent"), "feature %zu is '%s'", j, name);
    }
    CHECK_OK(ml_model_transform(pipe, codes, out, 4));
    CHECK(out[0] == 0 && out[1] == 1 && out[2] == 0 && out[3] == 0); /* unknown, and missing */
    CHECK_OK(ml_model_inverse_transform(pipe, out, 1, 4, back, 2));
    CHECK(isnan(back[0]) && isnan(back[1]));
    CHECK_OK(ml_model_inverse_transform(pipe, zeros, 1, 4, back, 2));
    CHECK(isnan(back[0]) && isnan(back[1]));
    ml_model_free(pipe);
    ml_dataset_free(codes);
    ml_dataset_free(data);
}

TEST(encoder, unknown_codes_are_refused_or_encoded)
{
    const double odd[] = {7, 1, 0, NAN};
    ml_dataset *data = people(), *codes = matrix(NULL, odd, 2, 2);
    ml_model *one_hot = new_model(NULL, "one_hot_encoder"), *ordinal = new_model(NULL, "ordinal_encoder");
    double out[14];

    CHECK_OK(ml_model_set_text(one_hot, "handle_unknown", "error"));
    CHECK_OK(ml_model_fit(one_hot, data, NULL));
    CHECK_OK(ml_model_fit(ordinal, data, NULL));
    CHECK_FAILS(ml_model_transform(one_hot, codes, out, 14), ML_E_DATA,
                "7 is none of the 3 categories of feature 'work'");
    CHECK_FAILS(ml_model_transform(ordinal, codes, out, 4), ML_E_DATA,
                "7 is none of the 3 categories of feature 'work'");
    CHECK_OK(ml_model_set_text(ordinal, "handle_unknown", "use_encoded_value"));
    CHECK_OK(ml_model_set_real(ordinal, "unknown_value", 3));
    CHECK_FAILS(ml_model_fit(ordinal, data, NULL), ML_E_PARAMETER,
                "unknown_value is 3, which is the code of a category of feature 'education'");
    CHECK_OK(ml_model_set_real(ordinal, "unknown_value", -0.5));
    CHECK_OK(ml_model_fit(ordinal, data, NULL));
    CHECK_OK(ml_model_transform(ordinal, codes, out, 4));
    CHECK(out[0] == -0.5 && out[1] == 1 && out[2] == 0 && isnan(out[3]));
    CHECK_OK(ml_model_inverse_transform(ordinal, out, 2, 2, out + 4, 4));
    CHECK(isnan(out[4]) && out[5] == 1 && out[6] == 0 && isnan(out[7]));
    ml_model_free(one_hot);
    ml_model_free(ordinal);
    ml_dataset_free(codes);
    ml_dataset_free(data);
}

/* Categories are gone behind it, so that kinds that take numbers only can follow. */
TEST(encoder, ordinal_codes_are_numbers)
{
    ml_dataset *data = table();
    ml_model *pipe = new_model(NULL, "pipeline");

    add_member(pipe, "code", "ordinal_encoder");
    add_member(pipe, "scale", "standard_scaler");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_width(pipe, ML_TRANSFORM) == 3);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 2), "size"));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

TEST(encoder, places_that_do_not_exist_are_refused)
{
    ml_dataset *data = people();
    ml_model *encoder = new_model(NULL, "one_hot_encoder");

    CHECK_OK(ml_model_set_text(encoder, "drop", "first"));
    CHECK_OK(ml_model_set_text(encoder, "handle_unknown", "error"));
    CHECK_OK(ml_model_fit(encoder, data, NULL));
    CHECK_REFUSED_VALUE(encoder, "places", 1, 2, "'places': 2 is no place of feature 'work'");
    CHECK_REFUSED_VALUE(encoder, "unknown", 0, -3, "'unknown': -3 is no place");
    CHECK_REFUSED_VALUE(encoder, "offsets", 1, 4, "'work' has the wrong number of places");
    ml_model_free(encoder);
    ml_dataset_free(data);
}
