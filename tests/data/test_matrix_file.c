/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix files: .npy and raw, hostile ones, and files that change while they are open. Headers are written byte for byte. */
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/dataset.h"
#include "test.h"

enum { N = 7, D = 5 };

/* The same numbers in every element type; column 3 has few whole ones, column 4 is a weight. */
static double value_at(size_t i, size_t j)
{
    return j == 3 ? (double)(i % 3) : j == 4 ? 1 + (double)(i % 2) : (double)((37 * i + 11 * j) % 101);
}

static size_t write_element(ml_dtype dtype, double value, char *to)
{
    const float f32 = (float)value;
    const int32_t i32 = (int32_t)value;
    const int64_t i64 = (int64_t)value;
    const uint8_t u8 = (uint8_t)value;

    switch (dtype) {
    case ML_FLOAT32:
        memcpy(to, &f32, 4);
        return 4;
    case ML_FLOAT64:
        memcpy(to, &value, 8);
        return 8;
    case ML_INT32:
        memcpy(to, &i32, 4);
        return 4;
    case ML_INT64:
        memcpy(to, &i64, 8);
        return 8;
    default:
        memcpy(to, &u8, 1);
        return 1;
    }
}

/* N x D elements; returns their bytes. */
static size_t write_matrix(ml_dtype dtype, char *to)
{
    size_t at = 0;

    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++)
            at += write_element(dtype, value_at(i, j), to + at);
    return at;
}

/* A header of this version around a text, as it is. */
static size_t write_header(int version, const char *text, char *to)
{
    const size_t n = strlen(text);
    size_t at = 8;

    memcpy(to, "\x93NUMPY", 6);
    to[6] = (char)version;
    to[7] = 0;
    for (size_t b = 0; b < (version == 1 ? 2u : 4u); b++)
        to[at++] = (char)(n >> 8 * b);
    memcpy(to + at, text, n);
    return at + n;
}

static const char *write_bytes(const char *name, const char *bytes, size_t n)
{
    const char *path = test_temporary_path(name);
    FILE *file = fopen(path, "wb");

    CHECK(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0);
    return path;
}

static void check_values(const ml_dataset *data)
{
    double row[D], out[N * D];
    float single[N * D];

    CHECK(ml_dataset_n_rows(data) == N && ml_dataset_n_features(data) == D && ml_dataset_n_outputs(data) == 0);
    CHECK(ml__dataset_is_streamed(data) && !ml__dataset_dense(data, ML_FLOAT64) &&
          !ml__dataset_dense(data, ML_FLOAT32));
    CHECK_OK(ml__dataset_read(data, 0, N, ML_FLOAT64, out));
    CHECK_OK(ml__dataset_read(data, 0, N, ML_FLOAT32, single));
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, D));
        for (size_t j = 0; j < D; j++) {
            CHECK(row[j] == value_at(i, j) && out[i * D + j] == row[j]);
            CHECK(single[i * D + j] == (float)row[j]);
        }
    }
    CHECK(!strcmp(ml_dataset_feature_name(data, 4), "x4"));
}

TEST(matrix_file, npy_of_every_version_and_type)
{
    static const struct {
        const char *descr;
        ml_dtype dtype;
    } TYPES[] = {{"<f4", ML_FLOAT32}, {"<f8", ML_FLOAT64}, {"<i4", ML_INT32},
                 {"<i8", ML_INT64},   {"|u1", ML_UINT8},   {"<u1", ML_UINT8}};
    static const char *const TEXTS[] = {
        "{'descr': '%s', 'fortran_order': False, 'shape': (7, 5), }            \n",
        "{\"shape\":(7,5,),'fortran_order':False,'descr':'%s'}\n",
    };
    char bytes[1024], text[128];
    ml_dataset *data;

    for (size_t t = 0; t < sizeof TYPES / sizeof *TYPES; t++)
        for (int version = 1; version <= 3; version++)
            for (size_t h = 0; h < 2; h++) {
                const char *path;
                size_t n;

                snprintf(text, sizeof text, TEXTS[h], TYPES[t].descr);
                n = write_header(version, text, bytes);
                n += write_matrix(TYPES[t].dtype, bytes + n);
                path = write_bytes("a.npy", bytes, n);
                CHECK_OK(ml_dataset_open_matrix(NULL, path, NULL, &data));
                unlink(path); /* opened once, never again by name */
                check_values(data);
                ml_dataset_free(data);
            }
}

/* One row or one column has no order of its own. */
TEST(matrix_file, npy_by_columns_where_that_is_the_same)
{
    static const struct {
        const char *shape;
        size_t n_rows, n_cols;
    } SHAPES[] = {{"(35, 1)", N * D, 1}, {"(1, 35)", 1, N * D}};
    char bytes[1024], text[128];
    double row[N * D];
    ml_dataset *data;

    for (size_t s = 0; s < 2; s++)
        for (int is_first = 0; is_first < 2; is_first++) {
            size_t n;

            snprintf(text, sizeof text,
                     is_first ? "{'fortran_order': True, 'shape': %s, 'descr': '<f8'}"
                              : "{'descr': '<f8', 'shape': %s, 'fortran_order': True, }",
                     SHAPES[s].shape);
            n = write_header(1, text, bytes);
            n += write_matrix(ML_FLOAT64, bytes + n);
            CHECK_OK(ml_dataset_open_matrix(NULL, write_bytes("a.npy", bytes, n), NULL, &data));
            CHECK(ml_dataset_n_rows(data) == SHAPES[s].n_rows && ml_dataset_n_features(data) == SHAPES[s].n_cols);
            for (size_t i = 0; i < N * D; i += SHAPES[s].n_cols) {
                CHECK_OK(ml_dataset_row(data, i / SHAPES[s].n_cols, row, SHAPES[s].n_cols));
                for (size_t j = 0; j < SHAPES[s].n_cols; j++)
                    CHECK(row[j] == value_at((i + j) / D, (i + j) % D));
            }
            ml_dataset_free(data);
        }
    unlink(test_temporary_path("a.npy"));
}

TEST(matrix_file, elements_alone_with_options)
{
    static const ml_dtype DTYPES[] = {ML_FLOAT32, ML_FLOAT64, ML_INT32, ML_INT64, ML_UINT8};
    char bytes[1024];
    ml_dataset *data;

    for (size_t t = 0; t < sizeof DTYPES / sizeof *DTYPES; t++)
        for (size_t offset = 0; offset < 12; offset += 11) {
            const ml_matrix_options options = {
                .struct_size = sizeof options, .dtype = DTYPES[t], .n_cols = D, .offset = offset};
            const char *path;

            memset(bytes, 'x', offset);
            path = write_bytes("a.bin", bytes, offset + write_matrix(DTYPES[t], bytes + offset));
            CHECK_OK(ml_dataset_open_matrix(NULL, path, &options, &data));
            check_values(data);
            ml_dataset_free(data);
            unlink(path);
        }
}

/* Columns that are outputs and weights are kept; the others keep their names. */
TEST(matrix_file, columns_get_roles)
{
    ml_matrix_options options = {.struct_size = sizeof options,
                                 .dtype = ML_FLOAT32,
                                 .n_cols = D,
                                 .target = "#-2, #0",
                                 .weight = " #-1 ",
                                 .ignore = "#1"};
    char bytes[1024];
    const char *path = write_bytes("a.bin", bytes, write_matrix(ML_FLOAT32, bytes));
    double values[N], x;
    ml_dataset *data, *view;
    size_t rows[] = {5, 6, 0, 6, 1, 2};

    CHECK_OK(ml_dataset_open_matrix(NULL, path, &options, &data));
    CHECK(ml_dataset_n_features(data) == 1 && !strcmp(ml_dataset_feature_name(data, 0), "x2"));
    CHECK(ml_dataset_n_outputs(data) == 2 && ml_dataset_n_classes(data, 0) == 3 && ml_dataset_n_classes(data, 1) == 7);
    CHECK(!strcmp(ml_dataset_output_name(data, 0), "x3") && !strcmp(ml_dataset_output_name(data, 1), "x0"));
    CHECK(!strcmp(ml_dataset_class_name(data, 0, 2), "2"));
    CHECK_OK(ml_dataset_output(data, 0, values, N));
    for (size_t i = 0; i < N; i++) {
        CHECK_OK(ml_dataset_row(data, i, &x, 1));
        CHECK(x == value_at(i, 2) && values[i] == (double)(i % 3));
    }
    CHECK_OK(ml_dataset_weights(data, values, N));
    CHECK(values[0] == 1 && values[1] == 2);
    CHECK_OK(ml_dataset_subset(data, rows, 6, &view)); /* runs of 2, 1, 1 and 2 rows */
    for (size_t i = 0; i < 6; i++) {
        CHECK_OK(ml__dataset_read(view, i, 1, ML_FLOAT64, values));
        CHECK(values[0] == value_at(rows[i], 2));
    }
    CHECK_OK(ml__dataset_read(view, 1, 5, ML_FLOAT64, values));
    for (size_t i = 0; i < 5; i++)
        CHECK(values[i] == value_at(rows[i + 1], 2));
    ml_dataset_free(data);
    ml_dataset_free(view);
    options.task = ML_TASK_REGRESS;
    CHECK_OK(ml_dataset_open_matrix(NULL, path, &options, &data));
    CHECK(ml_dataset_n_classes(data, 0) == 0);
    ml_dataset_free(data);
    unlink(path);
}

TEST(matrix_file, hostile_headers_are_refused)
{
    static const struct {
        const char *text;
        ml_status status;
        const char *message;
    } CASES[] = {
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (7, 5)}", ML_E_UNSUPPORTED, "column by column"},
        {"{'descr': '>f8', 'fortran_order': False, 'shape': (7, 5)}", ML_E_UNSUPPORTED, "big-endian elements"},
        {"{'descr': '<f2', 'fortran_order': False, 'shape': (7, 5)}", ML_E_UNSUPPORTED, "descr '<f2', expected"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (7, 5)}", ML_E_UNSUPPORTED, "descr '|O'"},
        {"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (7, 5)}", ML_E_UNSUPPORTED, "several fields"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': ()}", ML_E_UNSUPPORTED, "0 dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (35,)}", ML_E_UNSUPPORTED, "1 dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 5, 1)}", ML_E_UNSUPPORTED, "3 dimensions"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (35)}", ML_E_FORMAT, "no comma"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (-7, 5)}", ML_E_FORMAT, "no length"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7 5)}", ML_E_FORMAT, "no comma"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551617, 5)}", ML_E_FORMAT, "below 2^64"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (3689348814741910324, 5)}", ML_E_FORMAT, "280 bytes"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 18446744073709551615)}", ML_E_LIMIT, "at most"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (8, 5)}", ML_E_FORMAT, "not 8 rows of 40"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (6, 5)}", ML_E_FORMAT, "not 6 rows of 40"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 4)}", ML_E_FORMAT, "not 7 rows of 32"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (0, 5)}", ML_E_DATA, "0 rows and 5 columns"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 0)}", ML_E_DATA, "7 rows and 0 columns"},
        {"{'descr': '<f8', 'fortran_order': 0, 'shape': (7, 5)}", ML_E_FORMAT, "no True or False"},
        {"{'descr': '<f8', 'shape': (7, 5)}", ML_E_FORMAT, "has no 'fortran_order'"},
        {"{'fortran_order': False, 'shape': (7, 5)}", ML_E_FORMAT, "has no 'descr'"},
        {"{'descr': '<f8', 'fortran_order': False}", ML_E_FORMAT, "has no 'shape'"},
        {"{'descr': '<f8', 'descr': '<f8', 'shape': (7, 5)}", ML_E_FORMAT, "the key 'descr' twice"},
        {"{'descr': '<f8', 'more': 1, 'shape': (7, 5)}", ML_E_FORMAT, "the key 'more'"},
        {"{'descr': '<f8", ML_E_FORMAT, "no closing quote"},
        {"{'descr' '<f8'}", ML_E_FORMAT, "no colon"},
        {"{'descr': '<f8' 'shape': (7, 5)}", ML_E_FORMAT, "no comma"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 5)", ML_E_FORMAT, "no comma"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (7, 5)} x", ML_E_FORMAT, "no end"},
        {"{descr: '<f8'}", ML_E_FORMAT, "no text in quotes"},
        {"[]", ML_E_FORMAT, "no dictionary"},
        {"", ML_E_FORMAT, "no dictionary"},
    };
    char bytes[1024];
    ml_dataset *data;

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const size_t n = write_header(1, CASES[c].text, bytes);
        const char *path = write_bytes("a.npy", bytes, n + write_matrix(ML_FLOAT64, bytes + n));

        CHECK_FAILS(ml_dataset_open_matrix(NULL, path, NULL, &data), CASES[c].status, CASES[c].message);
        CHECK(!data);
        unlink(path);
    }
}

/* Every prefix of a good file is refused, and so is every file with one byte of the header broken, or it is the same matrix. */
TEST(matrix_file, broken_bytes_are_refused)
{
    char bytes[1024];
    const size_t n_header = write_header(2, "{'descr': '<f8', 'fortran_order': False, 'shape': (7, 5), }   \n", bytes);
    const size_t n = n_header + write_matrix(ML_FLOAT64, bytes + n_header);
    ml_dataset *data;

    for (size_t length = 0; length < n; length++) {
        CHECK(ml_dataset_open_matrix(NULL, write_bytes("a.npy", bytes, length), NULL, &data) == ML_E_FORMAT);
        CHECK(!data && ml_last_error()[0]);
    }
    for (size_t at = 0; at < n_header; at++)
        for (int flip = 1; flip < 256; flip *= 2) {
            ml_status st;

            bytes[at] = (char)(bytes[at] ^ flip);
            st = ml_dataset_open_matrix(NULL, write_bytes("a.npy", bytes, n), NULL, &data);
            CHECK_MSG(st == ML_OK || st == ML_E_FORMAT || st == ML_E_UNSUPPORTED || st == ML_E_DATA || st == ML_E_LIMIT,
                      "byte %zu, bit %d: %s", at, flip, ml_status_text(st));
            CHECK((st == ML_OK) == (data != NULL));
            ml_dataset_free(data);
            bytes[at] = (char)(bytes[at] ^ flip);
        }
    bytes[6] = 4;
    CHECK_FAILS(ml_dataset_open_matrix(NULL, write_bytes("a.npy", bytes, n), NULL, &data), ML_E_UNSUPPORTED,
                "version 4.0");
    bytes[0] = 'x';
    CHECK_FAILS(ml_dataset_open_matrix(NULL, write_bytes("a.npy", bytes, n), NULL, &data), ML_E_FORMAT,
                "set options dtype and n_cols");
    unlink(test_temporary_path("a.npy"));
}

TEST(matrix_file, options_are_checked)
{
    static const struct {
        ml_matrix_options options;
        ml_status status;
        const char *message;
    } CASES[] = {
        {{.dtype = ML_FLOAT64}, ML_E_ARGUMENT, "option dtype is set, but not n_cols"},
        {{.n_cols = 5}, ML_E_ARGUMENT, "option n_cols is set, but not dtype"},
        {{.offset = 5}, ML_E_ARGUMENT, "option offset is set, but not dtype"},
        {{.dtype = 9, .n_cols = 5}, ML_E_ARGUMENT, "option dtype is 9"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .task = 3}, ML_E_ARGUMENT, "option task is 3"},
        {{.dtype = ML_FLOAT64, .n_cols = 6}, ML_E_FORMAT, "280 bytes, which are not 0 and whole rows of 6 x 8"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .offset = 281}, ML_E_FORMAT, "not 281 and whole rows"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .offset = 280}, ML_E_DATA, "0 rows"},
        {{.dtype = ML_FLOAT64, .n_cols = (size_t)1 << 25}, ML_E_LIMIT, "at most"},
        {{.dtype = ML_FLOAT64, .n_cols = SIZE_MAX}, ML_E_LIMIT, "at most"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "#6"}, ML_E_DATA, "option target: no column '#6'"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "#5"}, ML_E_DATA, "no column '#5'"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "#-6"}, ML_E_DATA, "no column '#-6'"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "y"}, ML_E_DATA, "no column 'y'"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = ""}, ML_E_DATA, "no column ''"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "#0,#0"}, ML_E_DATA, "column 0 has been named"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .target = "#0", .weight = "#-5"}, ML_E_DATA, "option weight: column 0"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .weight = "#0,#1"}, ML_E_ARGUMENT, "option weight names 2"},
        {{.dtype = ML_FLOAT64, .n_cols = 5, .ignore = "#0,#1,#2,#3,#4"}, ML_E_DATA, "no column is left"},
    };
    char bytes[1024];
    const char *path = write_bytes("a.bin", bytes, write_matrix(ML_FLOAT64, bytes));
    ml_dataset *data;

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        ml_matrix_options options = CASES[c].options;

        options.struct_size = sizeof options;
        CHECK_FAILS(ml_dataset_open_matrix(NULL, path, &options, &data), CASES[c].status, CASES[c].message);
        CHECK(!data);
    }
    CHECK_FAILS(ml_dataset_open_matrix(NULL, path, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_dataset_open_matrix(NULL, NULL, NULL, &data), ML_E_ARGUMENT, "path is NULL");
    CHECK_FAILS(ml_dataset_open_matrix(NULL, "/none", NULL, &data), ML_E_IO, "cannot open '/none'");
    CHECK_FAILS(ml_dataset_open_matrix(NULL, "/tmp", NULL, &data), ML_E_IO, "is a directory");
    unlink(path);
}

TEST(matrix_file, bad_values_are_named)
{
    static const struct {
        size_t at;
        double value;
        ml_status status;
        const char *message;
    } CASES[] = {
        {3 * D + 1, INFINITY, ML_E_DATA, "the value in row 3, column 1 is infinite"},
        {3 * D + 3, -INFINITY, ML_E_DATA, "the value in row 3, column 3 is infinite"},
        {2 * D + 4, -1, ML_E_DATA, "column 4: the weight of row 2 is -1"},
        {2 * D + 4, NAN, ML_E_DATA, "column 4: the weight of row 2"},
        {4 * D + 3, 0.5, ML_E_DATA, "column 3: 0.5 in row 4 is no whole number"},
        {3 * D + 0, INFINITY, ML_OK, ""}, /* an ignored column */
    };
    const ml_matrix_options options = {.struct_size = sizeof options,
                                       .dtype = ML_FLOAT64,
                                       .n_cols = D,
                                       .target = "#3",
                                       .weight = "#4",
                                       .ignore = "#0",
                                       .task = ML_TASK_CLASSIFY};
    const ml_matrix_options whole = {.struct_size = sizeof whole, .dtype = ML_INT64, .n_cols = D};
    const int64_t large = -((int64_t)1 << 53);
    char bytes[1024];
    ml_dataset *data;

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        const size_t n = write_matrix(ML_FLOAT64, bytes);
        ml_status st;

        memcpy(bytes + CASES[c].at * 8, &CASES[c].value, 8);
        st = ml_dataset_open_matrix(NULL, write_bytes("a.bin", bytes, n), &options, &data);
        CHECK_MSG(st == CASES[c].status && (st == ML_OK || strstr(ml_last_error(), CASES[c].message)), "%zu: %s", c,
                  ml_last_error());
        ml_dataset_free(data);
    }
    write_matrix(ML_INT64, bytes);
    memcpy(bytes + (D + 2) * 8, &large, 8);
    CHECK_FAILS(ml_dataset_open_matrix(NULL, write_bytes("a.bin", bytes, N * D * 8), &whole, &data), ML_E_DATA,
                "row 1, column 2 is 2^53 or beyond");
    unlink(test_temporary_path("a.bin"));
}

/* Missing cells are found, and only where there are any. */
TEST(matrix_file, missing_cells)
{
    const ml_matrix_options options = {.struct_size = sizeof options, .dtype = ML_FLOAT64, .n_cols = D};
    const double nan_value = NAN;
    char bytes[1024];
    const size_t n = write_matrix(ML_FLOAT64, bytes);
    ml_dataset *data;
    size_t row, feature;
    bool found;

    CHECK_OK(ml_dataset_open_matrix(NULL, write_bytes("a.bin", bytes, n), &options, &data));
    CHECK_OK(ml__dataset_find_missing(data, &found, &row, &feature));
    CHECK(!found);
    ml_dataset_free(data);
    memcpy(bytes + (5 * D + 2) * 8, &nan_value, 8);
    CHECK_OK(ml_dataset_open_matrix(NULL, write_bytes("a.bin", bytes, n), &options, &data));
    CHECK_OK(ml__dataset_find_missing(data, &found, &row, &feature));
    CHECK(found && row == 5 && feature == 2);
    ml_dataset_free(data);
    unlink(test_temporary_path("a.bin"));
}

static ml_dataset *open_raw(ml_context *context, const char *path)
{
    const ml_matrix_options options = {.struct_size = sizeof options, .dtype = ML_FLOAT64, .n_cols = D};
    ml_dataset *data;

    CHECK_OK(ml_dataset_open_matrix(context, path, &options, &data));
    return data;
}

/* A file that ends early, or has other values, fails what reads it and leaves the model as it was. */
TEST(matrix_file, changes_after_opening_are_errors)
{
    static const char *const KINDS[] = {"standard_scaler",
                                        "min_max_scaler",
                                        "max_abs_scaler",
                                        "robust_scaler",
                                        "quantile_transformer",
                                        "simple_imputer",
                                        "pca",
                                        "kmeans",
                                        "gmm"};
    static const double NEW[] = {INFINITY, NAN};
    char bytes[1024];
    const size_t n = write_matrix(ML_FLOAT64, bytes);
    double out[N * D];
    ml_dataset *data, *memory;

    CHECK_OK(ml_dataset_make(NULL, "blobs", "n_samples=40,n_features=5", &memory));
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        const char *path = write_bytes("a.bin", bytes, n);
        size_t n_before, n_after;
        void *before, *after;
        ml_model *model;

        CHECK_OK(ml_model_create(NULL, KINDS[k], &model));
        if (ml_model_set_int(model, "n_components", 2) != ML_OK)
            (void)ml_model_set_int(model, "n_clusters", 2);
        CHECK_OK(ml_model_fit(model, memory, NULL));
        before = test_saved(model, &n_before);
        data = open_raw(NULL, path);
        CHECK(truncate(path, (off_t)n - 1) == 0);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_IO, "a.bin");
        CHECK_FAILS(ml_dataset_row(data, N - 1, out, D), ML_E_IO, "rows 6 to 6: cannot read");
        CHECK_OK(ml_dataset_row(data, N - 2, out, D));
        after = test_saved(model, &n_after);
        CHECK_SAME_BYTES(before, n_before, after, n_after);
        ml_dataset_free(data);
        ml_model_free(model);
        free(before);
        free(after);
    }
    for (size_t v = 0; v < 2; v++) {
        data = open_raw(NULL, write_bytes("a.bin", bytes, n));
        memcpy(bytes + (2 * D + 1) * 8, &NEW[v], 8);
        write_bytes("a.bin", bytes, n);
        write_matrix(ML_FLOAT64, bytes);
        CHECK_FAILS(ml__dataset_read(data, 1, 2, ML_FLOAT64, out), ML_E_IO, "row 2 of '");
        CHECK_FAILS(ml__dataset_read(data, 1, 2, ML_FLOAT32, out), ML_E_IO, "row 2 of '");
        CHECK_OK(ml__dataset_read(data, 3, N - 3, ML_FLOAT32, out));
        ml_dataset_free(data);
    }
    ml_dataset_free(memory);
    unlink(test_temporary_path("a.bin"));
}

/* Another time of writing, whatever the clock of the file system can tell apart. */
static void write_later(const char *path, const char *bytes, size_t n)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    struct stat about;

    CHECK(stat(path, &about) == 0);
    write_bytes("a.bin", bytes, n);
    times[1] = about.st_mtim;
    times[1].tv_sec += 2;
    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

/* What only grows, or has other values that are as good: fits and predictions notice, and so do steps of pipelines. */
TEST(matrix_file, files_that_are_written_to_are_noticed)
{
    static const char *const KINDS[] = {"standard_scaler", "kmeans", "random_forest", "pipeline", "column_transformer"};
    char bytes[1024] = {0}, other[1024];
    const size_t n = write_matrix(ML_FLOAT64, bytes);
    double out[N * D * 8];

    memcpy(other, bytes + 8, n);
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++)
        for (int grows = 0; grows < 2; grows++) {
            const char *path = write_bytes("a.bin", bytes, n);
            ml_dataset *data = open_raw(NULL, path), *view;
            size_t n_before, n_after, rows[] = {4, 1, 6, 2, 5};
            void *before, *after;
            ml_model *model, *member;
            int32_t what;

            CHECK_OK(ml_dataset_set_targets(data, NULL, (const double[]){1, 2, 3, 4, 5, 6, 7}, N));
            CHECK_OK(ml_dataset_subset(data, rows, 5, &view));
            CHECK_OK(ml_model_create(NULL, KINDS[k], &model));
            (void)ml_model_set_int(model, "n_clusters", 2);
            if (k >= 3) {
                CHECK_OK(ml_model_create(NULL, "standard_scaler", &member));
                CHECK_OK(ml_model_add_member(model, "a", member));
            }
            if (k == 4)
                CHECK_OK(ml_model_set_text(model, "columns", "a=#0,#2"));
            CHECK_OK(ml_model_fit(model, data, NULL));
            what = ml_model_width(model, ML_TRANSFORM) ? ML_TRANSFORM : ML_PREDICT;
            before = test_saved(model, &n_before);
            write_later(path, grows ? bytes : other, grows ? n + 24 : n);
            CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_IO,
                        grows ? "a.bin' has changed from 280 to 304 bytes since it was opened"
                              : "a.bin' has been written to since it was opened");
            CHECK_FAILS(ml_model_fit(model, view, NULL), ML_E_IO, "since it was opened");
            if (what == ML_TRANSFORM)
                CHECK_FAILS(ml_model_transform(model, data, out, N * ml_model_width(model, what)), ML_E_IO,
                            "since it was opened");
            else
                CHECK_FAILS(ml_model_predict(model, data, out, N), ML_E_IO, "since it was opened");
            after = test_saved(model, &n_after);
            CHECK_SAME_BYTES(before, n_before, after, n_after);
            ml_model_free(model);
            ml_dataset_free(view);
            ml_dataset_free(data);
            free(before);
            free(after);
        }
    unlink(test_temporary_path("a.bin"));
}

/* Another file's values come between two passes. */
typedef struct rewriting {
    const char *path, *bytes;
    size_t n;
} rewriting;

static int32_t rewrite(void *user, const ml_progress *progress)
{
    const rewriting *r = user;

    (void)progress;
    write_later(r->path, r->bytes, r->n);
    return ML_MONITOR_CONTINUE;
}

TEST(matrix_file, files_that_are_written_to_during_a_fit_are_noticed)
{
    static const char *const KINDS[] = {"standard_scaler", "pca", "kmeans", "gmm", "simple_imputer"};
    char bytes[1024] = {0}, other[1024];
    const size_t n = write_matrix(ML_FLOAT64, bytes);

    memcpy(other, bytes + 8, n);
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        rewriting r = {write_bytes("a.bin", bytes, n), other, n};
        const ml_fit_options options = {.struct_size = sizeof options, .monitor = rewrite, .monitor_user = &r};
        ml_dataset *data = open_raw(NULL, r.path);
        ml_model *model;

        CHECK_OK(ml_model_create(NULL, KINDS[k], &model));
        (void)ml_model_set_int(model, "n_clusters", 2);
        CHECK_FAILS(ml_model_fit(model, data, &options), ML_E_IO, "a.bin' has been written to since it was opened");
        CHECK(!ml_model_is_fitted(model));
        ml_model_free(model);
        ml_dataset_free(data);
    }
    unlink(test_temporary_path("a.bin"));
}

TEST(matrix_file, files_beyond_max_bytes_are_refused)
{
    ml_matrix_options options = {.struct_size = sizeof options, .dtype = ML_FLOAT64, .n_cols = D};
    char bytes[1024];
    const size_t n = write_matrix(ML_FLOAT64, bytes);
    const char *path = write_bytes("a.bin", bytes, n);
    ml_dataset *data;

    options.max_bytes = n;
    CHECK_OK(ml_dataset_open_matrix(NULL, path, &options, &data));
    ml_dataset_free(data);
    options.max_bytes = n - 1;
    CHECK_FAILS(ml_dataset_open_matrix(NULL, path, &options, &data), ML_E_LIMIT,
                "a.bin' has 280 bytes, more than max_bytes = 279");
    CHECK(!data);
    options.struct_size = offsetof(ml_matrix_options, max_bytes); /* a caller that does not know the option */
    CHECK_OK(ml_dataset_open_matrix(NULL, path, &options, &data));
    ml_dataset_free(data);
    CHECK(truncate(path, (off_t)1 << 40) == 0); /* no blocks on disk: refused by its size, not read */
    options.struct_size = sizeof options;
    CHECK_FAILS(ml_dataset_open_matrix(NULL, path, &options, &data), ML_E_LIMIT, "1099511627776 bytes");
    unlink(path);
}

/* Outputs: 4 bytes per row for labels, 8 for reals, and 8 more while opening. */
TEST(matrix_file, memory_of_an_output)
{
    enum { N_ROWS = 200000 };
    ml_matrix_options options = {.struct_size = sizeof options, .dtype = ML_UINT8, .n_cols = 2, .target = "#1"};
    char *bytes = malloc((size_t)2 * N_ROWS);
    const char *path;

    for (size_t i = 0; i < 2 * N_ROWS; i++)
        bytes[i] = (char)(i % 5);
    path = write_bytes("a.bin", bytes, (size_t)2 * N_ROWS);
    for (int is_label = 0; is_label < 2; is_label++) {
        const uint64_t kept = is_label ? 4 : 8;
        ml_context *context;
        ml_dataset *data;

        options.task = is_label ? ML_TASK_CLASSIFY : ML_TASK_REGRESS;
        CHECK_OK(ml_context_create(NULL, &context));
        CHECK_OK(ml_dataset_open_matrix(context, path, &options, &data));
        CHECK(ml_context_memory(context) < (kept + 1) * N_ROWS);
        CHECK(ml_context_memory_peak(context) < (kept + 9) * N_ROWS);
        ml_dataset_free(data);
        ml_context_free(context);
    }
    unlink(path);
    free(bytes);
}

static ml_status try_open(ml_context *context, void *argument)
{
    const ml_matrix_options options = {.struct_size = sizeof options,
                                       .dtype = ML_FLOAT64,
                                       .n_cols = D,
                                       .target = "#3",
                                       .weight = "#4",
                                       .ignore = "#0"};
    ml_dataset *data;
    const ml_status st = ml_dataset_open_matrix(context, argument, &options, &data);

    ml_dataset_free(data);
    return st;
}

TEST(matrix_file, failing_allocations_leak_nothing)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char bytes[1024], path[512];

    snprintf(path, sizeof path, "%s", write_bytes("b.bin", bytes, write_matrix(ML_FLOAT64, bytes)));
    CHECK(test_failing_allocations(&allocator, context, "open", try_open, path) > 5);
    unlink(path);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
