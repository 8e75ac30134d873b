/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets: storage, outputs, weights, names, and reading. See table.h for how they are built.
 *
 * Matrices are copied into dense rows of their own element type, or borrowed with their strides. Infinite values are
 * refused at the door, so that everything above sees finite numbers and NaN (missing) only; a borrowed matrix that its
 * owner changes later can spoil results, never memory. A table may also have a source instead of a matrix (source.h).
 */
#include "data/dataset.h"

#include <math.h>
#include <string.h>

#include "base/processor.h"
#include "base/text.h"
#include "data/table.h"

enum {
    READ_VALUES = 4096, /* of a block in which all rows are looked through, about */
    SUMS = 8            /* that are added to side by side */
};

/* ---- tables ---- */

static ml__table *table_create(ml_context *context, size_t n_rows)
{
    ml__table *table = ml__alloc_array(context, 1, sizeof *table);

    if (!table)
        return NULL;
    ml__context_retain(context);
    table->context = context;
    table->n_rows = n_rows;
    atomic_init(&table->n_references, 1);
    ml__arena_init(&table->arena, context);
    return table;
}

static void free_outputs(ml__column *columns, ml__output *outputs, size_t n)
{
    for (size_t o = 0; o < n; o++)
        ml__column_free(&columns[o]);
    ml__free(columns);
    ml__free(outputs);
}

static void table_release(ml__table *table)
{
    ml_context *context;
    ml__table *lender;

    if (!table || atomic_fetch_sub(&table->n_references, 1) != 1)
        return;
    context = table->context;
    lender = table->lender;
    if (lender)
        ml__free(table->schema.outputs);
    else
        free_outputs(table->columns, table->schema.outputs, table->schema.n_outputs);
    ml__arena_free(&table->arena);
    ml__free(lender ? NULL : table->weights);
    ml__free(table->owned);
    if (table->source)
        table->source->close(table->source);
    ml__free(table);
    table_release(lender);
    ml__context_release(context);
}

static void set_dense(ml__table *table, void *x, ml_dtype dtype)
{
    table->x = table->owned = x;
    table->dtype = dtype;
    table->row_stride = table->schema.n_features;
    table->col_stride = 1;
}

/* A dataset of all rows; takes over one reference of the table, also on failure. */
static ml_status whole_table(ml__table *table, ml_dataset **out)
{
    ml_dataset *dataset = ml__alloc_array(table->context, 1, sizeof *dataset);

    if (!dataset) {
        table_release(table);
        return ML_E_MEMORY;
    }
    dataset->table = table;
    dataset->n_rows = table->n_rows;
    *out = dataset;
    return ML_OK;
}

void ml_dataset_free(ml_dataset *dataset)
{
    ml__table *table;

    if (!dataset)
        return;
    table = dataset->table;
    if (!dataset->is_borrowing) {
        ml__free(dataset->rows);
        ml__free(dataset->weights);
    }
    ml__free(dataset);
    table_release(table);
}

/* ---- from memory ---- */

typedef struct matrix {
    const char *x;
    ml_dtype dtype;
    size_t size; /* of an element */
    size_t n_rows, n_cols, row_stride, col_stride;
} matrix;

/* Bytes from the first element to the end of the last one; all of them have addresses. */
static ml_status check_extent(const matrix *m)
{
    ml_status st = ML_OK;
    size_t down, across, n_elements, n_bytes;

    ML__CHECK(ml__size_mul(m->n_rows - 1, m->row_stride, &down) &&
                  ml__size_mul(m->n_cols - 1, m->col_stride, &across) && ml__size_add(down, across, &n_elements) &&
                  ml__size_add(n_elements, 1, &n_elements) && ml__size_mul(n_elements, m->size, &n_bytes) &&
                  n_bytes <= PTRDIFF_MAX && n_bytes <= UINTPTR_MAX - (uintptr_t)m->x,
              ML_E_ARGUMENT, "%zu rows of stride %zu and %zu columns of stride %zu exceed the address space", m->n_rows,
              m->row_stride, m->n_cols, m->col_stride);
done:
    return st;
}

static ml_status check_matrix(matrix *m, ptrdiff_t row_stride, ptrdiff_t col_stride, uint32_t flags)
{
    ml_status st = ML_OK;

    ML__CHECK(m->x, ML_E_ARGUMENT, "x is NULL");
    ML__CHECK(m->dtype == ML_FLOAT32 || m->dtype == ML_FLOAT64, ML_E_ARGUMENT,
              "dtype is %d, expected ML_FLOAT32 or ML_FLOAT64", (int)m->dtype);
    ML__CHECK(flags == ML_COPY || flags == ML_BORROW, ML_E_ARGUMENT, "flags is %u, expected ML_COPY or ML_BORROW",
              (unsigned)flags);
    ML__CHECK(row_stride >= 0 && col_stride >= 0, ML_E_ARGUMENT, "row_stride %lld and col_stride %lld must be >= 0",
              (long long)row_stride, (long long)col_stride);
    ML__CHECK(m->n_rows && m->n_cols, ML_E_DATA, "the matrix has %zu rows and %zu columns, at least 1 of each needed",
              m->n_rows, m->n_cols);
    ML__CHECK(m->n_cols <= ML_MAX_FEATURES, ML_E_LIMIT, "%zu columns, at most %zu are allowed", m->n_cols,
              ML_MAX_FEATURES);
    m->size = ml__dtype_size(m->dtype);
    m->row_stride = row_stride || col_stride ? (size_t)row_stride : m->n_cols;
    m->col_stride = row_stride || col_stride ? (size_t)col_stride : 1;
    ML__TRY(check_extent(m));
    ML__CHECK(flags == ML_COPY || (uintptr_t)m->x % m->size == 0, ML_E_ARGUMENT,
              "x is not aligned to its elements of %zu bytes: copy it instead of borrowing", m->size);
done:
    return st;
}

/* Element by element through memcpy, as the source need not be aligned. */
static void copy_row(const matrix *m, size_t row, char *to)
{
    const char *from = m->x + row * m->row_stride * m->size;

    if (m->col_stride == 1) {
        memcpy(to, from, m->n_cols * m->size);
        return;
    }
    for (size_t j = 0; j < m->n_cols; j++)
        memcpy(to + j * m->size, from + j * m->col_stride * m->size, m->size);
}

static ml_status copy_matrix(ml__table *table, const matrix *m)
{
    ml_status st = ML_OK;
    size_t n_cells, n_bytes;
    char *copy;

    ML__CHECK(ml__size_mul(m->n_rows, m->n_cols, &n_cells) && ml__size_mul(n_cells, m->size, &n_bytes), ML_E_MEMORY,
              "a copy of %zu x %zu elements exceeds the address space", m->n_rows, m->n_cols);
    copy = ml__alloc(table->context, n_bytes);
    if (!copy)
        return ML_E_MEMORY;
    for (size_t i = 0; i < m->n_rows; i++)
        copy_row(m, i, copy + i * m->n_cols * m->size);
    set_dense(table, copy, m->dtype);
done:
    return st;
}

static void borrow_matrix(ml__table *table, const matrix *m)
{
    table->x = m->x;
    table->dtype = m->dtype;
    table->row_stride = m->row_stride;
    table->col_stride = m->col_stride;
}

static double cell_at(const ml__table *t, size_t row, size_t feature)
{
    const size_t at = row * t->row_stride + feature * t->col_stride;
    return t->dtype == ML_FLOAT64 ? ((const double *)t->x)[at] : (double)((const float *)t->x)[at];
}

static bool is_dense(const ml__table *t)
{
    return (t->col_stride == 1 || t->schema.n_features == 1) &&
           (t->row_stride == t->schema.n_features || t->n_rows == 1);
}

/* 0 times what is not finite is NaN: no branch for each value. */
#define ML__ALL_FINITE(real)                               \
    static bool all_finite_##real(const real *x, size_t n) \
    {                                                      \
        real sums[SUMS] = {0}, sum = 0;                    \
        const size_t whole = n / SUMS * SUMS;              \
                                                           \
        for (size_t v = 0; v < whole; v += SUMS)           \
            for (size_t s = 0; s < SUMS; s++)              \
                sums[s] += 0 * x[v + s];                   \
        for (size_t v = whole; v < n; v++)                 \
            sum += 0 * x[v];                               \
        for (size_t s = 0; s < SUMS; s++)                  \
            sum += sums[s];                                \
        return sum == 0;                                   \
    }
ML__ALL_FINITE(double)
ML__ALL_FINITE(float)

/* True: they are, in the table's rows [first, first + n), which follow each other in memory. */
static bool are_finite(const ml__table *t, size_t first, size_t n)
{
    const size_t d = t->schema.n_features;

    if (t->source || !is_dense(t))
        return false;
    return t->dtype == ML_FLOAT64 ? all_finite_double((const double *)t->x + first * d, n * d)
                                  : all_finite_float((const float *)t->x + first * d, n * d);
}

static ml_status check_rows(const ml__table *table, size_t first, size_t n, bool *any_missing)
{
    ml_status st = ML_OK;

    for (size_t i = first; i < first + n; i++)
        for (size_t j = 0; j < table->schema.n_features; j++) {
            const double value = cell_at(table, i, j);
            ML__CHECK(!isinf(value), ML_E_DATA, "the value in row %zu, column %zu is infinite", i, j);
            *any_missing |= isnan(value);
        }
done:
    return st;
}

static ml_status check_cells(ml__table *table)
{
    const ml__float_state host = ml__float_begin();
    const size_t block = READ_VALUES / table->schema.n_features + 1;
    ml_status st = ML_OK;
    bool any_missing = false;

    for (size_t i = 0, n; i < table->n_rows; i += n) {
        n = table->n_rows - i < block ? table->n_rows - i : block;
        if (!are_finite(table, i, n))
            ML__TRY(check_rows(table, i, n, &any_missing));
    }
    table->may_miss = any_missing || !table->owned;
done:
    return ml__float_end(host, st);
}

ml_status ml_dataset_from_matrix(ml_context *context, const void *x, ml_dtype dtype, size_t n_rows, size_t n_cols,
                                 ptrdiff_t row_stride, ptrdiff_t col_stride, uint32_t flags, ml_dataset **out)
{
    matrix m = {.x = x, .dtype = dtype, .n_rows = n_rows, .n_cols = n_cols};
    ml__table *table = NULL;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__TRY(check_matrix(&m, row_stride, col_stride, flags));
    table = table_create(context, n_rows);
    if (!table)
        return ML_E_MEMORY;
    ML__TRY(ml__schema_default_features(&table->arena, n_cols, &table->schema));
    if (flags == ML_COPY)
        ML__TRY(copy_matrix(table, &m));
    else
        borrow_matrix(table, &m);
    ML__TRY(check_cells(table));
done:
    if (st != ML_OK) {
        table_release(table);
        return st;
    }
    return whole_table(table, out);
}

/* Names and categories of the features. */
static ml_status set_features(ml__table *table, const ml__schema *features)
{
    const ml__schema source = {.n_features = features->n_features, .features = features->features};
    ml_status st = source.features ? ml__schema_copy(&table->arena, &source, &table->schema)
                                   : ml__schema_default_features(&table->arena, source.n_features, &table->schema);

    table->schema.outputs = NULL; /* a block of its own, not of the arena */
    return st;
}

ml_status ml__dataset_own(ml_context *context, double *x, size_t n_rows, const ml__schema *features, ml_dataset **out)
{
    ml__table *table = table_create(context, n_rows);
    ml_status st;

    *out = NULL;
    if (!table) {
        ml__free(x);
        return ML_E_MEMORY;
    }
    table->owned = x;
    ML__TRY(set_features(table, features));
    set_dense(table, x, ML_FLOAT64);
    ML__TRY(check_cells(table));
done:
    if (st != ML_OK) {
        table_release(table);
        return st;
    }
    return whole_table(table, out);
}

ml_status ml__dataset_of_source(ml_context *context, ml__source *source, size_t n_rows, ml_dtype dtype, bool may_miss,
                                const ml__schema *features, ml_dataset **out)
{
    ml__table *table = table_create(context, n_rows);
    ml_status st;

    *out = NULL;
    if (!table) {
        source->close(source);
        return ML_E_MEMORY;
    }
    table->source = source;
    table->dtype = dtype;
    table->may_miss = may_miss;
    st = set_features(table, features);
    if (st != ML_OK) {
        table_release(table);
        return st;
    }
    return whole_table(table, out);
}

/* ---- outputs ---- */

ml_status ml__column_init(ml__column *column, ml_context *context, const char *name, size_t n_rows, bool is_label)
{
    ml_status st;

    memset(column, 0, sizeof *column);
    ml__arena_init(&column->arena, context);
    ML__TRY(ml__check_name("the output", name));
    ML__TRY((column->output.name = ml__arena_text(&column->arena, name)) ? ML_OK : ML_E_MEMORY);
    if (is_label)
        ML__NEW(&column->arena, column->codes, n_rows);
    else
        ML__NEW(&column->arena, column->values, n_rows);
done:
    return st;
}

ml_status ml__column_copy_classes(ml__column *column, const ml__output *from)
{
    ml_status st = ML_OK;

    ML__NEW(&column->arena, column->output.classes, from->n_classes);
    column->output.n_classes = from->n_classes;
    for (size_t k = 0; k < from->n_classes; k++) {
        column->output.classes[k] = ml__arena_text(&column->arena, from->classes[k]);
        ML__TRY(column->output.classes[k] ? ML_OK : ML_E_MEMORY);
    }
done:
    return st;
}

void ml__column_free(ml__column *column)
{
    ml__arena_free(&column->arena);
}

static ml_status check_new_output(const ml__schema *schema, size_t n_kept, const char *name)
{
    ml_status st = ML_OK;

    ML__CHECK(n_kept < ML_MAX_OUTPUTS, ML_E_LIMIT, "a dataset has at most %zu outputs", ML_MAX_OUTPUTS);
    for (size_t o = 0; o < n_kept; o++)
        ML__CHECK(strcmp(schema->outputs[o].name, name), ML_E_DATA, "there is an output '%s' already", name);
done:
    return st;
}

ml_status ml__dataset_put(ml_dataset *dataset, ml__column *column, bool append)
{
    ml__table *table = dataset->table;
    ml__schema *schema = &table->schema;
    const size_t n_kept = append ? schema->n_outputs : 0;
    ml__column *columns = NULL;
    ml__output *outputs = NULL;
    ml_status st;

    ML__TRY(check_new_output(schema, n_kept, column->output.name));
    columns = ml__alloc_array(table->context, n_kept + 1, sizeof *columns);
    outputs = columns ? ml__alloc_array(table->context, n_kept + 1, sizeof *outputs) : NULL;
    ML__TRY(outputs ? ML_OK : ML_E_MEMORY);
    for (size_t o = 0; o < n_kept; o++) {
        columns[o] = table->columns[o];
        outputs[o] = schema->outputs[o];
    }
    columns[n_kept] = *column;
    outputs[n_kept] = column->output;
    /* the columns that stay have moved: only the arrays of the old ones go */
    free_outputs(table->columns, schema->outputs, append ? 0 : schema->n_outputs);
    table->columns = columns;
    schema->outputs = outputs;
    schema->n_outputs = n_kept + 1;
done:
    if (st != ML_OK) {
        ml__free(columns);
        ml__column_free(column);
    }
    return st;
}

ml_status ml__dataset_borrow_outputs(ml_dataset *dataset, ml__table *from)
{
    ml__table *table = dataset->table;
    const size_t n = from->schema.n_outputs;
    ml_status st = ML_OK;

    if (n)
        ML__TRY((table->schema.outputs = ml__alloc_array(table->context, n, sizeof(ml__output))) ? ML_OK : ML_E_MEMORY);
    for (size_t o = 0; o < n; o++)
        table->schema.outputs[o] = from->schema.outputs[o];
    table->schema.n_outputs = n;
    table->columns = from->columns;
    table->weights = from->weights;
    table->lender = from->lender ? from->lender : from;
    atomic_fetch_add(&table->lender->n_references, 1);
done:
    return st;
}

static ml_status check_targets(const double *values, size_t n_rows, const char *name)
{
    const ml__float_state host = ml__float_begin();
    size_t n_missing = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < n_rows; i++) {
        ML__CHECK(!isinf(values[i]), ML_E_DATA, "the value of row %zu is infinite", i);
        n_missing += isnan(values[i]);
    }
    ML__CHECK(n_missing < n_rows, ML_E_DATA, "output '%s' has no value at all", name);
done:
    return ml__float_end(host, st);
}

static ml_status put_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows, bool append)
{
    ml__column column = {0};
    ml_status st;

    name = name ? name : "y";
    ML__TRY(ml__dataset_check_writable(dataset));
    ML__CHECK(values, ML_E_ARGUMENT, "values is NULL");
    ML__CHECK(n_rows == dataset->n_rows, ML_E_SHAPE, "%zu values for %zu rows", n_rows, dataset->n_rows);
    ML__TRY(check_targets(values, n_rows, name));
    ML__TRY(ml__column_init(&column, dataset->table->context, name, n_rows, false));
    memcpy(column.values, values, n_rows * sizeof *values);
    return ml__dataset_put(dataset, &column, append);
done:
    ml__column_free(&column);
    return st;
}

ml_status ml_dataset_set_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows)
{
    return put_targets(dataset, name, values, n_rows, false);
}

ml_status ml_dataset_add_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows)
{
    return put_targets(dataset, name, values, n_rows, true);
}

/* ---- weights and names ---- */

ml_status ml__dataset_check_writable(const ml_dataset *dataset)
{
    ml_status st = ML_OK;

    ML__CHECK(dataset, ML_E_ARGUMENT, "dataset is NULL");
    ML__CHECK(!dataset->is_view, ML_E_STATE,
              "the dataset is a view: set outputs, weights and names of the dataset before splitting it");
    ML__CHECK(atomic_load(&dataset->table->n_references) == 1, ML_E_STATE,
              "the dataset has views: set outputs, weights and names before splitting it");
done:
    return st;
}

ml_status ml__check_weights(const double *weights, size_t n_rows)
{
    const ml__float_state host = ml__float_begin();
    ml_status st = ML_OK;
    double sum = 0;

    for (size_t i = 0; i < n_rows; i++) {
        ML__CHECK(isfinite(weights[i]) && weights[i] >= 0, ML_E_DATA, "the weight of row %zu is %g, expected >= 0", i,
                  weights[i]);
        sum += weights[i];
    }
    ML__CHECK(sum > 0, ML_E_DATA, "all weights are 0");
    ML__CHECK(isfinite(sum), ML_E_DATA, "the sum of the weights is infinite");
done:
    return ml__float_end(host, st);
}

ml_status ml_dataset_set_weights(ml_dataset *dataset, const double *weights, size_t n_rows)
{
    double *copy = NULL;
    ml_status st;

    ML__TRY(ml__dataset_check_writable(dataset));
    if (weights) {
        ML__CHECK(n_rows == dataset->n_rows, ML_E_SHAPE, "%zu weights for %zu rows", n_rows, dataset->n_rows);
        ML__TRY(ml__check_weights(weights, n_rows));
        ML__TRY((copy = ml__alloc_array(dataset->table->context, n_rows, sizeof *copy)) ? ML_OK : ML_E_MEMORY);
        memcpy(copy, weights, n_rows * sizeof *copy);
    }
    ml__free(dataset->table->weights);
    dataset->table->weights = copy;
done:
    return st;
}

ml_status ml__check_name(const char *what, const char *name)
{
    const size_t n = strlen(name);
    ml_status st = ML_OK;

    ML__CHECK(n > 0, ML_E_DATA, "the name of %s is empty", what);
    ML__CHECK(n <= ML__MAX_NAME_BYTES, ML_E_DATA, "the name of %s has %zu bytes, at most %d are allowed", what, n,
              (int)ML__MAX_NAME_BYTES);
    ML__CHECK(ml__utf8_valid(name, n), ML_E_DATA, "the name '%s' of %s is not valid UTF-8", name, what);
done:
    return st;
}

static int compare_names(const void *source, size_t a, size_t b)
{
    const char *const *names = source;
    const int order = strcmp(names[a], names[b]);

    return order ? order : (a > b) - (a < b);
}

bool ml__find_equal(const char *const *names, size_t *items, size_t n, size_t *scratch, size_t *first, size_t *second)
{
    ml__distinct(names, compare_names, items, n, scratch);
    for (size_t i = 1; i < n; i++)
        if (!strcmp(names[items[i - 1]], names[items[i]])) {
            *first = items[i - 1];
            *second = items[i];
            return true;
        }
    return false;
}

static ml_status check_feature_names(const ml_dataset *dataset, const char *const *names, size_t n)
{
    size_t *items = NULL, first, second;
    char what[64];
    ml_status st;

    for (size_t j = 0; j < n; j++) {
        ML__CHECK(names[j], ML_E_ARGUMENT, "names[%zu] is NULL", j);
        ml__format(what, sizeof what, "feature %zu", j);
        ML__TRY(ml__check_name(what, names[j]));
    }
    items = ml__alloc_array(dataset->table->context, n, 2 * sizeof *items);
    ML__TRY(items ? ML_OK : ML_E_MEMORY);
    for (size_t j = 0; j < n; j++)
        items[j] = j;
    ML__CHECK(!ml__find_equal(names, items, n, items + n, &first, &second), ML_E_DATA,
              "features %zu and %zu are both named '%s'", first, second, names[first]);
done:
    ml__free(items);
    return st;
}

/* The whole feature table is built anew beside the old one, so that a failure leaves that as it was. */
ml_status ml_dataset_set_feature_names(ml_dataset *dataset, const char *const *names, size_t n_features)
{
    ml__arena arena = {0};
    ml__schema *schema, renamed = {0};
    ml_status st;

    ML__TRY(ml__dataset_check_writable(dataset));
    schema = &dataset->table->schema;
    ML__CHECK(names, ML_E_ARGUMENT, "names is NULL");
    ML__CHECK(n_features == schema->n_features, ML_E_SHAPE, "%zu names for %zu features", n_features,
              schema->n_features);
    ML__TRY(check_feature_names(dataset, names, n_features));

    ml__arena_init(&arena, dataset->table->context);
    renamed.n_features = n_features;
    renamed.features = schema->features;
    ML__TRY(ml__schema_copy(&arena, &renamed, &renamed));
    for (size_t j = 0; j < n_features; j++) {
        char *name = ml__arena_text(&arena, names[j]);
        ML__TRY(name ? ML_OK : ML_E_MEMORY);
        renamed.features[j].name = name;
    }
    ml__arena_free(&dataset->table->arena);
    dataset->table->arena = arena;
    schema->features = renamed.features;
done:
    if (st != ML_OK)
        ml__arena_free(&arena);
    return st;
}

/* ---- reading ---- */

const ml__schema *ml__dataset_schema(const ml_dataset *dataset)
{
    return &dataset->table->schema;
}

ml_context *ml__dataset_context(const ml_dataset *dataset)
{
    return dataset->table->context;
}

static void read_row(const ml__table *t, size_t row, ml_dtype dtype, void *out)
{
    const size_t d = t->schema.n_features, step = t->col_stride;
    float *f32 = out;
    double *f64 = out;

    if (t->dtype == ML_FLOAT64) {
        const double *x = (const double *)t->x + row * t->row_stride;
        for (size_t j = 0; dtype == ML_FLOAT64 && j < d; j++)
            f64[j] = x[j * step];
        for (size_t j = 0; dtype == ML_FLOAT32 && j < d; j++)
            f32[j] = ml__to_float(x[j * step]);
    } else {
        const float *x = (const float *)t->x + row * t->row_stride;
        for (size_t j = 0; dtype == ML_FLOAT64 && j < d; j++)
            f64[j] = x[j * step];
        for (size_t j = 0; dtype == ML_FLOAT32 && j < d; j++)
            f32[j] = x[j * step];
    }
}

bool ml__dataset_is_streamed(const ml_dataset *dataset)
{
    return dataset->table->source != NULL;
}

ml_dtype ml__dataset_dtype(const ml_dataset *dataset)
{
    return dataset->table->dtype;
}

/* Rows [first, first + n) of the dataset, of which those that follow each other in the source are read together. */
static ml_status read_source(const ml_dataset *dataset, size_t first, size_t n, ml_dtype dtype, char *out)
{
    const size_t row_size = dataset->table->schema.n_features * ml__dtype_size(dtype), end = first + n;
    ml__source *source = dataset->table->source;
    ml_status st = dataset->watch ? dataset->watch->look(dataset->watch->argument) : ML_OK;

    ML__TRY(st);
    for (size_t next; first < end; first = next) {
        const size_t row = ml__dataset_row_of(dataset, first);

        for (next = first + 1; next < end && ml__dataset_row_of(dataset, next) == row + (next - first);)
            next++;
        ML__TRY(source->read(source, row, next - first, dtype, out));
        out += (next - first) * row_size;
    }
done:
    return st;
}

ml_status ml__dataset_read(const ml_dataset *dataset, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const size_t row_size = dataset->table->schema.n_features * ml__dtype_size(dtype);
    const char *dense = ml__dataset_dense(dataset, dtype);

    if (dataset->table->source)
        return read_source(dataset, first, n, dtype, out);
    if (dense) {
        memcpy(out, dense + first * row_size, n * row_size);
        return ML_OK;
    }
    for (size_t i = 0; i < n; i++)
        read_row(dataset->table, ml__dataset_row_of(dataset, first + i), dtype, (char *)out + i * row_size);
    return ML_OK;
}

ml_status ml__dataset_unchanged(const ml_dataset *dataset)
{
    ml__source *source = dataset->table->source;

    return source && source->unchanged ? source->unchanged(source) : ML_OK;
}

const void *ml__dataset_dense(const ml_dataset *dataset, ml_dtype dtype)
{
    const ml__table *t = dataset->table;

    return is_dense(t) && t->dtype == dtype && !dataset->rows ? t->x : NULL;
}

ml_status ml__dataset_find_missing(const ml_dataset *dataset, bool *found, size_t *row, size_t *feature)
{
    const size_t d = dataset->table->schema.n_features, block = READ_VALUES / d + 1;
    double *x = NULL;
    ml__arena arena;
    ml_status st = ML_OK;

    *found = false;
    ml__arena_init(&arena, dataset->table->context);
    if (dataset->table->may_miss)
        ML__NEW(&arena, x, block * d);
    for (size_t i = 0; dataset->table->may_miss && i < dataset->n_rows; i += block) {
        const size_t n = dataset->n_rows - i < block ? dataset->n_rows - i : block;

        if (!dataset->rows && are_finite(dataset->table, i, n))
            continue;
        ML__TRY(ml__dataset_read(dataset, i, n, ML_FLOAT64, x));
        for (size_t v = 0; v < n * d && !*found; v++)
            if (isnan(x[v])) {
                *found = true;
                *row = i + v / d;
                *feature = v % d;
            }
        if (*found)
            break;
    }
done:
    ml__arena_free(&arena);
    return st;
}

void ml__dataset_read_labels(const ml_dataset *dataset, size_t output, int32_t *out)
{
    const int32_t *codes = dataset->table->columns[output].codes;

    for (size_t i = 0; i < dataset->n_rows; i++)
        out[i] = codes[ml__dataset_row_of(dataset, i)];
}

void ml__dataset_read_targets(const ml_dataset *dataset, size_t output, double *out)
{
    const double *values = dataset->table->columns[output].values;

    for (size_t i = 0; i < dataset->n_rows; i++)
        out[i] = values[ml__dataset_row_of(dataset, i)];
}

bool ml__dataset_has_weights(const ml_dataset *dataset)
{
    return dataset->has_own_weights ? dataset->weights != NULL : dataset->table->weights != NULL;
}

void ml__dataset_read_weights(const ml_dataset *dataset, double *out)
{
    const double *of_table = dataset->has_own_weights ? NULL : dataset->table->weights;

    for (size_t i = 0; i < dataset->n_rows; i++)
        out[i] = dataset->weights ? dataset->weights[i] : of_table ? of_table[ml__dataset_row_of(dataset, i)] : 1;
}

/* ---- looking inside ---- */

size_t ml_dataset_n_rows(const ml_dataset *dataset)
{
    return dataset ? dataset->n_rows : 0;
}

size_t ml_dataset_n_features(const ml_dataset *dataset)
{
    return dataset ? dataset->table->schema.n_features : 0;
}

size_t ml_dataset_n_outputs(const ml_dataset *dataset)
{
    return dataset ? dataset->table->schema.n_outputs : 0;
}

static const ml__feature *feature_at(const ml_dataset *dataset, size_t feature)
{
    return feature < ml_dataset_n_features(dataset) ? &dataset->table->schema.features[feature] : NULL;
}

static const ml__output *output_at(const ml_dataset *dataset, size_t output)
{
    return output < ml_dataset_n_outputs(dataset) ? &dataset->table->schema.outputs[output] : NULL;
}

const char *ml_dataset_feature_name(const ml_dataset *dataset, size_t feature)
{
    const ml__feature *f = feature_at(dataset, feature);
    return f ? f->name : NULL;
}

size_t ml_dataset_n_categories(const ml_dataset *dataset, size_t feature)
{
    const ml__feature *f = feature_at(dataset, feature);
    return f ? f->n_categories : 0;
}

const char *ml_dataset_category_name(const ml_dataset *dataset, size_t feature, size_t category)
{
    return category < ml_dataset_n_categories(dataset, feature) ? feature_at(dataset, feature)->categories[category]
                                                                : NULL;
}

const char *ml_dataset_output_name(const ml_dataset *dataset, size_t output)
{
    const ml__output *o = output_at(dataset, output);
    return o ? o->name : NULL;
}

size_t ml_dataset_n_classes(const ml_dataset *dataset, size_t output)
{
    const ml__output *o = output_at(dataset, output);
    return o ? o->n_classes : 0;
}

const char *ml_dataset_class_name(const ml_dataset *dataset, size_t output, size_t class_index)
{
    return class_index < ml_dataset_n_classes(dataset, output) ? output_at(dataset, output)->classes[class_index]
                                                               : NULL;
}

static ml_status check_room(const ml_dataset *dataset, const double *out, size_t n, size_t needed)
{
    ml_status st = ML_OK;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__CHECK(dataset, ML_E_ARGUMENT, "dataset is NULL");
    ML__CHECK(n == needed, ML_E_SHAPE, "n is %zu, expected %zu", n, needed);
done:
    return st;
}

ml_status ml_dataset_row(const ml_dataset *dataset, size_t row, double *out, size_t n)
{
    ml_status st;

    ML__TRY(check_room(dataset, out, n, ml_dataset_n_features(dataset)));
    ML__CHECK(row < dataset->n_rows, ML_E_ARGUMENT, "row is %zu, the dataset has %zu rows", row, dataset->n_rows);
    ML__TRY(ml__dataset_read(dataset, row, 1, ML_FLOAT64, out));
done:
    return st;
}

ml_status ml_dataset_output(const ml_dataset *dataset, size_t output, double *out, size_t n)
{
    const ml__column *column;
    ml_status st;

    ML__TRY(check_room(dataset, out, n, ml_dataset_n_rows(dataset)));
    ML__CHECK(output < ml_dataset_n_outputs(dataset), ML_E_ARGUMENT, "output is %zu, the dataset has %zu outputs",
              output, ml_dataset_n_outputs(dataset));
    column = &dataset->table->columns[output];
    for (size_t i = 0; i < n; i++) {
        const size_t row = ml__dataset_row_of(dataset, i);
        if (column->values)
            out[i] = column->values[row];
        else
            out[i] = column->codes[row] < 0 ? NAN : column->codes[row];
    }
done:
    return st;
}

ml_status ml_dataset_weights(const ml_dataset *dataset, double *out, size_t n)
{
    ml_status st;

    ML__TRY(check_room(dataset, out, n, ml_dataset_n_rows(dataset)));
    ml__dataset_read_weights(dataset, out);
done:
    return st;
}
