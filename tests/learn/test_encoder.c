/* SPDX-License-Identifier: Apache-2.0 */
#include "helpers.h"

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
