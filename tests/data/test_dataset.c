/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <float.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/dataset.h"
#include "test.h"

static const double SMALL[] = {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32}; /* 4 x 3, value = 10 row + column */

static ml_dataset *small(ml_context *context)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, SMALL, ML_FLOAT64, 4, 3, 0, 0, ML_COPY, &data));
    return data;
}

/* Every cell is 10 row + column, read as doubles and as floats. */
static void check_small(const ml_dataset *data)
{
    double row[3], all[12];
    float floats[12];

    CHECK(ml_dataset_n_rows(data) == 4 && ml_dataset_n_features(data) == 3);
    CHECK_OK(ml__dataset_read(data, 0, 4, ML_FLOAT64, all));
    CHECK_OK(ml__dataset_read(data, 0, 4, ML_FLOAT32, floats));
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, 3));
        for (size_t j = 0; j < 3; j++) {
            CHECK(row[j] == SMALL[3 * i + j] && all[3 * i + j] == row[j] && floats[3 * i + j] == (float)row[j]);
        }
    }
    CHECK_OK(ml__dataset_read(data, 2, 1, ML_FLOAT64, row));
    CHECK(row[0] == 20 && row[2] == 22);
}

/* ---- matrices ---- */

TEST(dataset, strides_and_types_read_the_same)
{
    double wide[4 * 5], tall[3 * 7];
    float narrow[12];
    ml_dataset *data;

    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
            wide[5 * i + j] = tall[7 * j + i] = SMALL[3 * i + j];
            narrow[3 * i + j] = (float)SMALL[3 * i + j];
        }
    for (uint32_t flags = ML_COPY; flags <= ML_BORROW; flags++) {
        const struct {
            const void *x;
            ml_dtype dtype;
            ptrdiff_t row_stride, col_stride;
            bool is_dense;
        } cases[] = {
            {SMALL, ML_FLOAT64, 0, 0, true},  {SMALL, ML_FLOAT64, 3, 1, true},  {wide, ML_FLOAT64, 5, 1, !flags},
            {tall, ML_FLOAT64, 1, 7, !flags}, {narrow, ML_FLOAT32, 0, 0, true},
        };
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            const ml_dtype dtype = cases[c].dtype;
            CHECK_OK(ml_dataset_from_matrix(NULL, cases[c].x, dtype, 4, 3, cases[c].row_stride, cases[c].col_stride,
                                            flags, &data));
            check_small(data);
            CHECK((ml__dataset_dense(data, dtype) != NULL) == cases[c].is_dense);
            CHECK(ml__dataset_dense(data, dtype == ML_FLOAT64 ? ML_FLOAT32 : ML_FLOAT64) == NULL);
            CHECK((ml__dataset_dense(data, dtype) == cases[c].x) == (flags == ML_BORROW && cases[c].is_dense));
            ml_dataset_free(data);
        }
    }
}

TEST(dataset, borrow_sees_changes_and_copy_does_not)
{
    double x[] = {1, 2}, row[1];
    ml_dataset *borrowed, *copied;

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 2, 1, 0, 0, ML_BORROW, &borrowed));
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 2, 1, 0, 0, ML_COPY, &copied));
    x[1] = 7;
    CHECK_OK(ml_dataset_row(borrowed, 1, row, 1));
    CHECK(row[0] == 7);
    CHECK_OK(ml_dataset_row(copied, 1, row, 1));
    CHECK(row[0] == 2);
    ml_dataset_free(borrowed);
    ml_dataset_free(copied);
}

TEST(dataset, stride_zero_repeats_rows)
{
    double row[3];
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 5, 3, 0, 1, ML_COPY, &data));
    CHECK_OK(ml_dataset_row(data, 4, row, 3));
    CHECK(row[0] == 0 && row[1] == 1 && row[2] == 2);
    ml_dataset_free(data);
}

TEST(dataset, misaligned_matrix_is_copied_or_refused)
{
    char bytes[sizeof SMALL + 3];
    ml_dataset *data;

    memcpy(bytes + 3, SMALL, sizeof SMALL);
    CHECK_OK(ml_dataset_from_matrix(NULL, bytes + 3, ML_FLOAT64, 4, 3, 0, 0, ML_COPY, &data));
    check_small(data);
    ml_dataset_free(data);
    CHECK_FAILS(ml_dataset_from_matrix(NULL, bytes + 3, ML_FLOAT64, 4, 3, 0, 0, ML_BORROW, &data), ML_E_ARGUMENT,
                "x is not aligned to its elements of 8 bytes: copy it instead of borrowing");
    CHECK(data == NULL);
}

/* The matrix ends where the next page may not be read. */
TEST(dataset, nothing_behind_the_matrix_is_read)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(pages != MAP_FAILED && mprotect(pages + page, page, PROT_NONE) == 0);
    for (size_t n_cols = 1; n_cols <= 9; n_cols++) {
        const size_t n_rows = 13, n = n_rows * n_cols;
        double *row_major = (double *)(pages + page) - n, *out = malloc(n * sizeof *out);
        ml_dataset *data;
        for (size_t i = 0; i < n; i++)
            row_major[i] = (double)i;
        for (uint32_t flags = ML_COPY; flags <= ML_BORROW; flags++) {
            CHECK_OK(ml_dataset_from_matrix(NULL, row_major, ML_FLOAT64, n_rows, n_cols, 0, 0, flags, &data));
            CHECK_OK(ml__dataset_read(data, 0, n_rows, ML_FLOAT64, out));
            CHECK_SAME_BYTES(out, n * sizeof *out, row_major, n * sizeof *out);
            ml_dataset_free(data);
            /* by columns, the row stride longer than needed: the last row is short */
            CHECK_OK(ml_dataset_from_matrix(NULL, row_major, ML_FLOAT64, n_cols, n_rows, 1, (ptrdiff_t)n_cols, flags,
                                            &data));
            CHECK_OK(ml_dataset_row(data, n_cols - 1, out, n_rows));
            CHECK(out[n_rows - 1] == (double)(n - 1));
            ml_dataset_free(data);
        }
        free(out);
    }
    munmap(pages, 2 * page);
}

TEST(dataset, from_matrix_refuses_bad_arguments)
{
    const double bad[] = {1, NAN, 3, 4, -INFINITY, 6};
    const float bad_float[] = {1, INFINITY};
    ml_dataset *data = (ml_dataset *)&data;

    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 4, 3, 0, 0, 0, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, NULL, ML_FLOAT64, 4, 3, 0, 0, 0, &data), ML_E_ARGUMENT, "x is NULL");
    CHECK(data == NULL);
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_INT32, 4, 3, 0, 0, 0, &data), ML_E_ARGUMENT,
                "dtype is 3, expected ML_FLOAT32 or ML_FLOAT64");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 4, 3, 0, 0, 2, &data), ML_E_ARGUMENT,
                "flags is 2, expected ML_COPY or ML_BORROW");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 4, 3, -3, 1, 0, &data), ML_E_ARGUMENT,
                "row_stride -3 and col_stride 1 must be >= 0");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 0, 3, 0, 0, 0, &data), ML_E_DATA,
                "the matrix has 0 rows and 3 columns, at least 1 of each needed");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 4, 0, 0, 0, 0, &data), ML_E_DATA, "0 columns");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, 1, ML_MAX_FEATURES + 1, 0, 0, 0, &data), ML_E_LIMIT,
                "16777217 columns, at most 16777216 are allowed");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, bad, ML_FLOAT64, 2, 3, 0, 0, 0, &data), ML_E_DATA,
                "the value in row 1, column 1 is infinite");
    CHECK_FAILS(ml_dataset_from_matrix(NULL, bad_float, ML_FLOAT32, 1, 2, 0, 0, 1, &data), ML_E_DATA,
                "the value in row 0, column 1 is infinite");
    CHECK(data == NULL);
}

TEST(dataset, every_cell_of_a_large_matrix_is_checked)
{
    enum { N = 3001, D = 7, STEP = 431 };
    double *x = calloc(N * D, sizeof *x);
    float *f = calloc(N * D, sizeof *f);
    char message[80];
    ml_dataset *data;

    x[0] = NAN; /* missing is not infinite */
    for (size_t v = N * D - 1; v >= STEP; v -= STEP) {
        snprintf(message, sizeof message, "the value in row %zu, column %zu is infinite", v / D, v % D);
        x[v] = f[v] = v % 2 ? INFINITY : -INFINITY;
        CHECK_FAILS(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, N, D, 0, 0, ML_BORROW, &data), ML_E_DATA, message);
        CHECK_FAILS(ml_dataset_from_matrix(NULL, f, ML_FLOAT32, N, D, 0, 0, ML_COPY, &data), ML_E_DATA, message);
    }
    free(x);
    free(f);
}

TEST(dataset, extents_that_overflow_are_refused_before_reading)
{
    const struct {
        size_t n_rows, n_cols;
        ptrdiff_t row_stride, col_stride;
    } cases[] = {
        {SIZE_MAX, 2, 0, 0},
        {SIZE_MAX / 8, 2, 0, 0},
        {3, 1, PTRDIFF_MAX, 1},
        {1, 3, 1, PTRDIFF_MAX},
        {SIZE_MAX / 16, 3, 0, 0},
        {2, 1, PTRDIFF_MAX / 8 + 1, 1},
        {2, 2, PTRDIFF_MAX / 8, PTRDIFF_MAX / 8},
    };
    ml_dataset *data;

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        CHECK_FAILS(ml_dataset_from_matrix(NULL, SMALL, ML_FLOAT64, cases[c].n_rows, cases[c].n_cols,
                                           cases[c].row_stride, cases[c].col_stride, ML_BORROW, &data),
                    ML_E_ARGUMENT, "exceed the address space");
}

TEST(dataset, doubles_beyond_floats_stay_finite)
{
    const double x[] = {1e300, -1e300, 1e-300, NAN};
    float out[4];
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 1, 4, 0, 0, ML_COPY, &data));
    CHECK_OK(ml__dataset_read(data, 0, 1, ML_FLOAT32, out));
    CHECK(out[0] == FLT_MAX && out[1] == -FLT_MAX && out[2] == 0 && isnan(out[3]));
    ml_dataset_free(data);
}

TEST(dataset, missing_cells_are_found_in_view_order)
{
    const double x[] = {1, 2, 3, NAN, 5, 6};
    const size_t rows[] = {2, 0, 1}, without[] = {2, 0};
    ml_dataset *data, *view;
    size_t row = 9, feature = 9;
    bool found;

    for (uint32_t flags = ML_COPY; flags <= ML_BORROW; flags++) {
        CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 3, 2, 0, 0, flags, &data));
        CHECK_OK(ml__dataset_find_missing(data, &found, &row, &feature));
        CHECK(found && row == 1 && feature == 1);
        CHECK_OK(ml_dataset_subset(data, rows, 3, &view));
        CHECK_OK(ml__dataset_find_missing(view, &found, &row, &feature));
        CHECK(found && row == 2 && feature == 1);
        ml_dataset_free(view);
        CHECK_OK(ml_dataset_subset(data, without, 2, &view));
        CHECK_OK(ml__dataset_find_missing(view, &found, &row, &feature));
        CHECK(!found);
        ml_dataset_free(view);
        ml_dataset_free(data);
    }
    data = small(NULL);
    CHECK_OK(ml__dataset_find_missing(data, &found, &row, &feature));
    CHECK(!found);
    ml_dataset_free(data);
}

/* ---- labels ---- */

TEST(dataset, integer_labels_become_ascending_classes)
{
    const int64_t labels[] = {INT64_MAX, -5, 7, -5};
    int32_t codes[4];
    double values[4];
    ml_dataset *data = small(NULL);

    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, 4, 7));
    CHECK(ml_dataset_n_outputs(data) == 1 && ml_dataset_n_classes(data, 0) == 2);
    CHECK(!strcmp(ml_dataset_output_name(data, 0), "y"));
    CHECK(!strcmp(ml_dataset_class_name(data, 0, 0), "-5"));
    CHECK(!strcmp(ml_dataset_class_name(data, 0, 1), "9223372036854775807"));
    CHECK(ml_dataset_class_name(data, 0, 2) == NULL && ml_dataset_class_name(data, 1, 0) == NULL);
    ml__dataset_read_labels(data, 0, codes);
    CHECK(codes[0] == 1 && codes[1] == 0 && codes[2] == -1 && codes[3] == 0);
    CHECK_OK(ml_dataset_output(data, 0, values, 4));
    CHECK(values[0] == 1 && values[1] == 0 && isnan(values[2]) && values[3] == 0);
    ml_dataset_free(data);
}

TEST(dataset, text_labels_are_in_byte_order)
{
    const char *labels[] = {"b", NULL, "\xC3\xA9", "B"}; /* é is behind z */
    double values[4];
    ml_dataset *data = small(NULL);

    CHECK_OK(ml_dataset_set_label_names(data, "kind", labels, 4));
    CHECK(ml_dataset_n_classes(data, 0) == 3);
    CHECK(!strcmp(ml_dataset_class_name(data, 0, 0), "B") && !strcmp(ml_dataset_class_name(data, 0, 1), "b"));
    CHECK(!strcmp(ml_dataset_class_name(data, 0, 2), "\xC3\xA9"));
    CHECK_OK(ml_dataset_output(data, 0, values, 4));
    CHECK(values[0] == 1 && isnan(values[1]) && values[2] == 2 && values[3] == 0);
    ml_dataset_free(data);
}

TEST(dataset, many_random_labels_match_a_direct_count)
{
    enum { N = 5000 };
    static int64_t labels[N];
    static double x[N], codes[N];
    ml_dataset *data;
    uint64_t state = 1;

    for (size_t i = 0; i < N; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        labels[i] = (int64_t)(state >> 33) % 37 - 18;
        x[i] = (double)labels[i];
    }
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, N, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, N, 100));
    CHECK(ml_dataset_n_classes(data, 0) == 37);
    CHECK_OK(ml_dataset_output(data, 0, codes, N));
    for (size_t i = 0; i < N; i++)
        CHECK(codes[i] == x[i] + 18);
    ml_dataset_free(data);
}

TEST(dataset, one_class_too_many_is_refused)
{
    const size_t n = ML_MAX_CLASSES + 1;
    int64_t *labels = malloc(n * sizeof *labels);
    double *x = calloc(n, sizeof *x);
    ml_dataset *data;

    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)(i * 1000003 % 65537);
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, n, 1, 0, 0, ML_BORROW, &data));
    CHECK_FAILS(ml_dataset_set_labels(data, "id", labels, n, -1), ML_E_LIMIT,
                "output 'id': 65537 distinct values, at most 65536 are allowed");
    CHECK(ml_dataset_n_outputs(data) == 0);
    CHECK_OK(ml_dataset_set_labels(data, "id", labels, n, 0));
    CHECK(ml_dataset_n_classes(data, 0) == ML_MAX_CLASSES);
    ml_dataset_free(data);
    free(labels);
    free(x);
}

TEST(dataset, several_outputs_are_kept_and_replaced)
{
    const int64_t labels[] = {1, 2, 1, 2};
    const double reals[] = {0.5, NAN, 2, -3};
    const char *names[] = {"a", "b", "c", NULL};
    double values[4];
    ml_dataset *data = small(NULL);

    CHECK_OK(ml_dataset_set_labels(data, "first", labels, 4, 0));
    CHECK_OK(ml_dataset_add_targets(data, "second", reals, 4));
    CHECK_OK(ml_dataset_add_label_names(data, "third", names, 4));
    CHECK(ml_dataset_n_outputs(data) == 3 && ml_dataset_n_classes(data, 1) == 0 && ml_dataset_n_classes(data, 2) == 3);
    CHECK(ml__schema_width(ml__dataset_schema(data)) == 5);
    ml__dataset_read_targets(data, 1, values);
    CHECK_SAME_BYTES(values, sizeof values, reals, sizeof reals);
    CHECK_OK(ml_dataset_output(data, 2, values, 4));
    CHECK(values[2] == 2 && isnan(values[3]));
    CHECK_FAILS(ml_dataset_add_targets(data, "first", reals, 4), ML_E_DATA, "there is an output 'first' already");
    CHECK(ml_dataset_n_outputs(data) == 3);
    CHECK_OK(ml_dataset_set_targets(data, "first", reals, 4));
    CHECK(ml_dataset_n_outputs(data) == 1 && ml_dataset_n_classes(data, 0) == 0);
    ml_dataset_free(data);
}

TEST(dataset, outputs_refuse_bad_values)
{
    const int64_t labels[] = {3, 3, 3, 3};
    const double infinite[] = {0, 1, INFINITY, 2}, missing[] = {NAN, NAN, NAN, NAN};
    const char *empty[] = {"a", "", NULL, "b"}, *invalid[] = {"a", "b", "\xFF", "c"},
               *none[] = {NULL, NULL, NULL, NULL};
    char long_name[257] = {0};
    ml_dataset *data = small(NULL);

    CHECK_FAILS(ml_dataset_set_labels(NULL, NULL, labels, 4, 0), ML_E_ARGUMENT, "dataset is NULL");
    CHECK_FAILS(ml_dataset_set_labels(data, NULL, NULL, 4, 0), ML_E_ARGUMENT, "labels is NULL");
    CHECK_FAILS(ml_dataset_set_labels(data, NULL, labels, 5, 0), ML_E_SHAPE, "5 labels for 4 rows");
    CHECK_FAILS(ml_dataset_set_labels(data, NULL, labels, 4, 3), ML_E_DATA, "output 'y' has no label at all");
    CHECK_FAILS(ml_dataset_set_label_names(data, "k", none, 4), ML_E_DATA, "output 'k' has no label at all");
    CHECK_FAILS(ml_dataset_set_label_names(data, "k", empty, 4), ML_E_DATA,
                "the label of row 1 is empty: NULL means missing");
    CHECK_FAILS(ml_dataset_set_label_names(data, "k", invalid, 4), ML_E_DATA,
                "the label '\\xFF' of row 2 is not valid UTF-8");
    CHECK_FAILS(ml_dataset_set_targets(data, NULL, NULL, 4), ML_E_ARGUMENT, "values is NULL");
    CHECK_FAILS(ml_dataset_set_targets(data, NULL, infinite, 3), ML_E_SHAPE, "3 values for 4 rows");
    CHECK_FAILS(ml_dataset_set_targets(data, NULL, infinite, 4), ML_E_DATA, "the value of row 2 is infinite");
    CHECK_FAILS(ml_dataset_set_targets(data, "z", missing, 4), ML_E_DATA, "output 'z' has no value at all");
    CHECK_FAILS(ml_dataset_set_labels(data, "", labels, 4, 0), ML_E_DATA, "the name of the output is empty");
    CHECK_FAILS(ml_dataset_set_labels(data, "\xC3", labels, 4, 0), ML_E_DATA, "is not valid UTF-8");
    memset(long_name, 'n', 256);
    CHECK_FAILS(ml_dataset_set_labels(data, long_name, labels, 4, 0), ML_E_DATA,
                "the name of the output has 256 bytes, at most 255 are allowed");
    CHECK(ml_dataset_n_outputs(data) == 0);
    ml_dataset_free(data);
}

/* ---- weights and names ---- */

TEST(dataset, weights_are_checked_copied_and_removed)
{
    double weights[] = {1, 0, 2.5, 3}, out[4];
    ml_dataset *data = small(NULL);

    CHECK(!ml__dataset_has_weights(data));
    CHECK_OK(ml_dataset_weights(data, out, 4));
    CHECK(out[0] == 1 && out[3] == 1);
    CHECK_OK(ml_dataset_set_weights(data, weights, 4));
    weights[0] = -1;
    CHECK_OK(ml_dataset_weights(data, out, 4));
    CHECK(ml__dataset_has_weights(data) && out[0] == 1 && out[1] == 0 && out[2] == 2.5);
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 4), ML_E_DATA, "the weight of row 0 is -1, expected >= 0");
    weights[0] = NAN;
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 4), ML_E_DATA, "the weight of row 0 is nan, expected >= 0");
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 3), ML_E_SHAPE, "3 weights for 4 rows");
    memset(weights, 0, sizeof weights);
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 4), ML_E_DATA, "all weights are 0");
    weights[0] = weights[1] = DBL_MAX;
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 4), ML_E_DATA, "the sum of the weights is infinite");
    CHECK_OK(ml_dataset_weights(data, out, 4));
    CHECK(out[2] == 2.5);
    CHECK_OK(ml_dataset_set_weights(data, NULL, 0));
    CHECK(!ml__dataset_has_weights(data));
    ml_dataset_free(data);
}

TEST(dataset, feature_names_are_checked_and_replaced)
{
    const char *names[] = {"height", "width", "depth"}, *equal[] = {"a", "b", "a"}, *empty[] = {"a", "", "b"};
    const char *missing[] = {"a", NULL, "b"};
    ml_dataset *data = small(NULL);

    CHECK(!strcmp(ml_dataset_feature_name(data, 0), "x0") && !strcmp(ml_dataset_feature_name(data, 2), "x2"));
    CHECK(ml_dataset_feature_name(data, 3) == NULL);
    CHECK_OK(ml_dataset_set_feature_names(data, names, 3));
    CHECK(!strcmp(ml_dataset_feature_name(data, 1), "width"));
    CHECK_FAILS(ml_dataset_set_feature_names(data, equal, 3), ML_E_DATA, "features 0 and 2 are both named 'a'");
    CHECK_FAILS(ml_dataset_set_feature_names(data, empty, 3), ML_E_DATA, "the name of feature 1 is empty");
    CHECK_FAILS(ml_dataset_set_feature_names(data, missing, 3), ML_E_ARGUMENT, "names[1] is NULL");
    CHECK_FAILS(ml_dataset_set_feature_names(data, NULL, 3), ML_E_ARGUMENT, "names is NULL");
    CHECK_FAILS(ml_dataset_set_feature_names(data, names, 2), ML_E_SHAPE, "2 names for 3 features");
    CHECK(!strcmp(ml_dataset_feature_name(data, 1), "width"));
    ml_dataset_free(data);
}

TEST(dataset, shared_tables_do_not_change)
{
    const int64_t labels[] = {1, 2, 1, 2};
    const double weights[] = {1, 1, 1, 1};
    const char *names[] = {"a", "b", "c"};
    const size_t rows[] = {1, 2};
    ml_dataset *data = small(NULL), *view;

    CHECK_OK(ml_dataset_subset(data, rows, 2, &view));
    CHECK_FAILS(ml_dataset_set_labels(view, NULL, labels, 2, 0), ML_E_STATE, "the dataset is a view");
    CHECK_FAILS(ml_dataset_set_targets(view, NULL, weights, 2), ML_E_STATE, "the dataset is a view");
    CHECK_FAILS(ml_dataset_set_weights(data, weights, 4), ML_E_STATE, "the dataset has views");
    CHECK_FAILS(ml_dataset_set_feature_names(data, names, 3), ML_E_STATE, "the dataset has views");
    ml_dataset_free(view);
    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, 4, 0));
    CHECK_OK(ml_dataset_subset(data, rows, 2, &view));
    ml_dataset_free(data);
    CHECK_FAILS(ml_dataset_set_weights(view, weights, 2), ML_E_STATE, "the dataset is a view");
    CHECK(ml_dataset_n_classes(view, 0) == 2);
    ml_dataset_free(view);
}

/* ---- looking inside ---- */

TEST(dataset, null_and_wrong_sizes_are_answered)
{
    double out[4];
    ml_dataset *data = small(NULL);

    CHECK(ml_dataset_n_rows(NULL) == 0 && ml_dataset_n_features(NULL) == 0 && ml_dataset_n_outputs(NULL) == 0);
    CHECK(ml_dataset_feature_name(NULL, 0) == NULL && ml_dataset_n_categories(NULL, 0) == 0);
    CHECK(ml_dataset_category_name(data, 0, 0) == NULL && ml_dataset_output_name(data, 0) == NULL);
    CHECK_FAILS(ml_dataset_row(data, 4, out, 3), ML_E_ARGUMENT, "row is 4, the dataset has 4 rows");
    CHECK_FAILS(ml_dataset_row(data, 0, out, 4), ML_E_SHAPE, "n is 4, expected 3");
    CHECK_FAILS(ml_dataset_row(data, 0, NULL, 3), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_dataset_row(NULL, 0, out, 3), ML_E_ARGUMENT, "dataset is NULL");
    CHECK_FAILS(ml_dataset_output(data, 0, out, 4), ML_E_ARGUMENT, "output is 0, the dataset has 0 outputs");
    CHECK_FAILS(ml_dataset_weights(data, out, 3), ML_E_SHAPE, "n is 3, expected 4");
    ml_dataset_free(data);
    ml_dataset_free(NULL);
}

TEST(dataset, the_context_may_be_freed_first)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data = small(context), *view;
    const size_t rows[] = {3};

    ml_context_free(context);
    CHECK_OK(ml_dataset_subset(data, rows, 1, &view));
    ml_dataset_free(data);
    CHECK(allocator.n_live > 0 && ml_dataset_n_rows(view) == 1);
    ml_dataset_free(view);
    CHECK(allocator.n_live == 0);
}

/* ---- failing allocations ---- */

static ml_status make(ml_context *context, void *argument)
{
    ml_dataset *data;
    const ml_status st = ml_dataset_from_matrix(context, SMALL, ML_FLOAT64, 4, 3, 0, 0, *(uint32_t *)argument, &data);

    CHECK((st == ML_OK) == (data != NULL));
    ml_dataset_free(data);
    return st;
}

static ml_status try_sets(ml_context *context, void *argument)
{
    const int64_t labels[] = {1, 2, 1, 2};
    const double reals[] = {0.5, NAN, 2, -3}, weights[] = {1, 2, 3, 4};
    const char *texts[] = {"a", "b", "a", NULL}, *names[] = {"p", "q", "r"};
    test_allocator *allocator = argument;
    const size_t fail_at = allocator->fail_at, n_allocations = allocator->n_allocations;
    ml_dataset *data;
    ml_status st[5];

    allocator->fail_at = 0;
    data = small(context);
    allocator->fail_at = fail_at + allocator->n_allocations - n_allocations;
    st[0] = ml_dataset_set_labels(data, "first", labels, 4, 0);
    CHECK(ml_dataset_n_outputs(data) == (st[0] == ML_OK));
    st[1] = ml_dataset_add_targets(data, "second", reals, 4);
    st[2] = ml_dataset_add_label_names(data, "third", texts, 4);
    CHECK(ml_dataset_n_outputs(data) == (size_t)((st[0] == ML_OK) + (st[1] == ML_OK) + (st[2] == ML_OK)));
    st[3] = ml_dataset_set_weights(data, weights, 4);
    CHECK(ml__dataset_has_weights(data) == (st[3] == ML_OK));
    st[4] = ml_dataset_set_feature_names(data, names, 3);
    CHECK(!strcmp(ml_dataset_feature_name(data, 1), st[4] == ML_OK ? "q" : "x1"));
    check_small(data);
    ml_dataset_free(data);
    for (size_t i = 0; i < 5; i++)
        if (st[i] != ML_OK)
            return st[i];
    return ML_OK;
}

TEST(dataset, every_failing_allocation_is_survived)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    for (uint32_t flags = ML_COPY; flags <= ML_BORROW; flags++)
        CHECK(test_failing_allocations(&allocator, context, "from_matrix", make, &flags) > 0);
    CHECK(test_failing_allocations(&allocator, context, "setters", try_sets, &allocator) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
