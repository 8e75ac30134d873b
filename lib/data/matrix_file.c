/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix files: rows of elements in a .npy file, or in one of nothing else, as a source of rows.
 *
 * Opening looks at every element once. From then on nothing of the features is kept; reads are pread() of the rows that are
 * wanted, without a position that threads would share and without a mapping of the file. Values that opening would have
 * refused, or that it found no instance of (NaN), can only come from a file that was changed meanwhile.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/io.h"
#include "base/number.h"
#include "base/processor.h"
#include "base/text.h"
#include "data/npy.h"
#include "data/table.h"

/* Elements converted at a time, on the stack. */
enum { PIECE = 1024 };

static const double BEYOND_WHOLE = 9007199254740992.0;

/* What a column is: the number of a feature, of a kept column behind them, or IGNORED. */
static const size_t IGNORED = SIZE_MAX;

typedef struct matrix_file {
    ml__source source;
    ml__input input;
    ml__arena arena; /* what the pointers in here lead to */
    ml_dtype stored;
    size_t element_bytes;
    uint64_t offset;
    size_t n_rows, n_cols, n_features;
    size_t *place; /* n_cols, or NULL: all columns are features */
    bool may_miss;
} matrix_file;

/* What opening needs besides. */
typedef struct opening {
    ml_context *context;
    ml_matrix_options options;
    matrix_file *file;
    bool is_given; /* to a table, which closes it */
    ml__arena arena;
    size_t *outputs, n_outputs; /* columns */
    size_t *weight, n_weights;
    double **kept; /* values of outputs, then of weights [n_rows each] */
} opening;

/* ---- reading ---- */

/* Elements as they are stored. */
typedef union piece {
    float f32[PIECE];
    double f64[PIECE];
    int32_t i32[PIECE];
    int64_t i64[PIECE];
    uint8_t u8[PIECE];
} piece;

static void convert(ml_dtype stored, const piece *from, size_t n, double *to)
{
    switch (stored) {
    case ML_FLOAT32:
        for (size_t v = 0; v < n; v++)
            to[v] = from->f32[v];
        break;
    case ML_INT32:
        for (size_t v = 0; v < n; v++)
            to[v] = from->i32[v];
        break;
    case ML_INT64:
        for (size_t v = 0; v < n; v++)
            to[v] = (double)from->i64[v];
        break;
    case ML_UINT8:
        for (size_t v = 0; v < n; v++)
            to[v] = from->u8[v];
        break;
    default:
        memcpy(to, from->f64, n * sizeof *to);
    }
}

/* n <= PIECE elements from element `first` on. */
static ml_status read_piece(const matrix_file *file, uint64_t first, size_t n, double *values)
{
    piece raw;
    const size_t size = file->element_bytes;
    ml_status st;

    ML__TRY(ml__input_read(&file->input, file->offset + first * size, &raw, n * size));
    ml__copy_little_endian(&raw, &raw, n * size, size);
    convert(file->stored, &raw, n, values);
done:
    return st;
}

static ml_status blame_rows(ml_status st, size_t first, size_t n)
{
    return ml__blame(st, "rows %zu to %zu: ", first, first + n - 1);
}

/* Values that opening has not seen. */
static bool is_changed(const matrix_file *file, double value)
{
    return file->may_miss ? isinf(value) : !isfinite(value);
}

static ml_status fail_changed(const matrix_file *file, size_t row)
{
    return ml__fail(ML_E_IO, "row %zu of '%.*s' has changed since it was opened", row, ML__SHOWN_PATH,
                    file->input.path);
}

/* Append values to the features at out[*at]. They are looked at before they become floats, which are all finite. */
static ml_status place_piece(const matrix_file *file, uint64_t first, size_t n, const double *values, ml_dtype dtype,
                             void *out, size_t *at)
{
    size_t column = (size_t)(first % file->n_cols);

    for (size_t v = 0; v < n; v++, column = column + 1 < file->n_cols ? column + 1 : 0) {
        if (file->place && file->place[column] >= file->n_features)
            continue;
        if (is_changed(file, values[v]))
            return fail_changed(file, (size_t)((first + v) / file->n_cols));
        if (dtype == ML_FLOAT64)
            ((double *)out)[(*at)++] = values[v];
        else
            ((float *)out)[(*at)++] = ml__to_float(values[v]);
    }
    return ML_OK;
}

static ml_status read_pieces(const matrix_file *file, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const uint64_t begin = (uint64_t)first * file->n_cols, end = begin + (uint64_t)n * file->n_cols;
    double values[PIECE];
    size_t at = 0;
    ml_status st = ML_OK;

    for (uint64_t i = begin; i < end; i += PIECE) {
        const size_t n_values = end - i < PIECE ? (size_t)(end - i) : PIECE;

        st = read_piece(file, i, n_values, values);
        if (st != ML_OK)
            return blame_rows(st, first, n);
        ML__TRY(place_piece(file, i, n_values, values, dtype, out, &at));
    }
done:
    return st;
}

/* All columns, as they are stored. */
static ml_status read_as_stored(const matrix_file *file, size_t first, size_t n, void *out)
{
    const size_t row_bytes = file->n_cols * file->element_bytes, n_values = n * file->n_cols;
    ml_status st = ml__input_read(&file->input, file->offset + (uint64_t)first * row_bytes, out, n * row_bytes);

    if (st != ML_OK)
        return blame_rows(st, first, n);
    ml__copy_little_endian(out, out, n * row_bytes, file->element_bytes);
    for (size_t v = 0; v < n_values; v++)
        if (is_changed(file, file->stored == ML_FLOAT64 ? ((const double *)out)[v] : (double)((const float *)out)[v]))
            return fail_changed(file, first + v / file->n_cols);
    return ML_OK;
}

static ml_status read_rows(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const matrix_file *file = (const matrix_file *)source;

    return file->stored == dtype && !file->place ? read_as_stored(file, first, n, out)
                                                 : read_pieces(file, first, n, dtype, out);
}

static ml_status check_unchanged(ml__source *source)
{
    return ml__input_unchanged(&((const matrix_file *)source)->input);
}

static void close_file(ml__source *source)
{
    matrix_file *file = (matrix_file *)source;

    ml__input_close(&file->input);
    ml__arena_free(&file->arena);
    ml__free(file);
}

/* ---- opening: what the file is ---- */

static ml_status read_options(opening *o, const ml_matrix_options *options)
{
    ml_matrix_options *given = &o->options;
    ml_status st = ML_OK;

    given->struct_size = sizeof *given;
    if (options)
        ML__TRY(ml__read_options(given, sizeof *given, options, "ml_matrix_options"));
    ML__CHECK(given->task <= ML_TASK_REGRESS, ML_E_ARGUMENT,
              "option task is %u, expected ML_TASK_DETECT, _CLASSIFY or _REGRESS", (unsigned)given->task);
    ML__CHECK(!given->dtype || ml__dtype_size(given->dtype), ML_E_ARGUMENT,
              "option dtype is %d, expected 0 for a .npy file, or ML_FLOAT32 to ML_UINT8", (int)given->dtype);
    ML__CHECK(!given->dtype == !given->n_cols, ML_E_ARGUMENT, "option %s is set, but not %s",
              given->dtype ? "dtype" : "n_cols", given->dtype ? "n_cols" : "dtype");
    ML__CHECK(given->dtype || !given->offset, ML_E_ARGUMENT, "option offset is set, but not dtype");
done:
    return st;
}

static ml_status create_file(opening *o, const char *path)
{
    matrix_file *file = ml__alloc_array(o->context, 1, sizeof *file);
    char *copy;
    ml_status st;

    if (!file)
        return ML_E_MEMORY;
    o->file = file;
    file->source = (ml__source){read_rows, close_file, check_unchanged};
    file->input.descriptor = -1;
    ml__arena_init(&file->arena, o->context);
    ML__TRY((copy = ml__arena_text(&file->arena, path)) ? ML_OK : ML_E_MEMORY);
    ML__TRY(ml__input_open(copy, o->options.max_bytes ? o->options.max_bytes : UINT64_MAX, &file->input));
done:
    return st;
}

/* Rows of a file without header. */
static ml_status measure(const opening *o, ml__npy *shape)
{
    const ml_matrix_options *options = &o->options;
    const uint64_t n_bytes = o->file->input.n_bytes;
    const size_t size = ml__dtype_size(options->dtype);
    ml_status st = ML_OK;

    ML__CHECK(options->n_cols <= ML_MAX_FEATURES, ML_E_LIMIT, "%zu columns, at most %zu are allowed", options->n_cols,
              ML_MAX_FEATURES);
    *shape = (ml__npy){.dtype = options->dtype, .n_cols = options->n_cols, .offset = options->offset};
    ML__CHECK(options->offset <= n_bytes && (n_bytes - options->offset) % (shape->n_cols * size) == 0, ML_E_FORMAT,
              "'%.*s' has %llu bytes, which are not %llu and whole rows of %zu x %zu", ML__SHOWN_PATH,
              o->file->input.path, (unsigned long long)n_bytes, (unsigned long long)options->offset, options->n_cols,
              size);
    shape->n_rows = (n_bytes - options->offset) / (shape->n_cols * size);
done:
    return st;
}

/* The numbers of a header are anyone's until they agree with the size of the file. */
static ml_status set_shape(opening *o)
{
    matrix_file *file = o->file;
    ml__npy shape;
    uint64_t n_data, row_bytes;
    ml_status st;

    ML__TRY(o->options.dtype ? measure(o, &shape) : ml__npy_read_header(&file->input, &shape));
    ML__CHECK(shape.n_rows && shape.n_cols, ML_E_DATA,
              "'%.*s' has %llu rows and %llu columns, at least 1 of each needed", ML__SHOWN_PATH, file->input.path,
              (unsigned long long)shape.n_rows, (unsigned long long)shape.n_cols);
    ML__CHECK(shape.n_cols <= ML_MAX_FEATURES, ML_E_LIMIT, "'%.*s' has %llu columns, at most %zu are allowed",
              ML__SHOWN_PATH, file->input.path, (unsigned long long)shape.n_cols, ML_MAX_FEATURES);
    n_data = file->input.n_bytes - shape.offset;
    row_bytes = shape.n_cols * ml__dtype_size(shape.dtype);
    ML__CHECK(n_data % row_bytes == 0 && n_data / row_bytes == shape.n_rows && shape.n_rows <= SIZE_MAX, ML_E_FORMAT,
              "'%.*s' has %llu bytes behind its header, which are not %llu rows of %llu", ML__SHOWN_PATH,
              file->input.path, (unsigned long long)n_data, (unsigned long long)shape.n_rows,
              (unsigned long long)row_bytes);
    file->stored = shape.dtype;
    file->element_bytes = ml__dtype_size(shape.dtype);
    file->offset = shape.offset;
    file->n_rows = (size_t)shape.n_rows;
    file->n_cols = file->n_features = (size_t)shape.n_cols;
done:
    return st;
}

/* ---- opening: what the columns are ---- */

/* "#0" or "#-1", with spaces around it. */
static bool read_number(const opening *o, const char *text, size_t n, size_t *column)
{
    int64_t k;

    while (n && text[n - 1] == ' ')
        n--;
    for (; n && *text == ' '; n--)
        text++;
    if (!n || *text != '#' || ml__parse_int(text + 1, n - 1, &k) != ML__NUMBER_OK)
        return false;
    if (k < 0)
        k += (int64_t)o->file->n_cols;
    *column = (size_t)k;
    return k >= 0 && (uint64_t)k < o->file->n_cols;
}

static ml_status read_list(opening *o, const char *option, const char *list, size_t **columns, size_t *n_columns)
{
    enum { SHOWN_BYTES = 40 };
    matrix_file *file = o->file;
    size_t n = list != NULL, column;
    ml_status st = ML_OK;

    *n_columns = 0;
    for (const char *c = list; c && *c; c++)
        n += *c == ',';
    ML__NEW(&o->arena, *columns, n);
    if (n && !file->place)
        ML__NEW(&file->arena, file->place, file->n_cols);
    for (const char *next; n--; list = next) {
        const char *comma = strchr(list, ','), *end = comma ? comma : list + strlen(list);
        const size_t length = (size_t)(end - list);

        next = end + 1;
        ML__CHECK(read_number(o, list, length, &column), ML_E_DATA,
                  "'%.*s': option %s: no column '%.*s', expected \"#0\" to \"#%zu\", or \"#-1\" for the last",
                  ML__SHOWN_PATH, file->input.path, option, (int)(length < SHOWN_BYTES ? length : SHOWN_BYTES), list,
                  file->n_cols - 1);
        ML__CHECK(file->place[column] != IGNORED, ML_E_DATA,
                  "'%.*s': option %s: column %zu has been named by an option already", ML__SHOWN_PATH, file->input.path,
                  option, column);
        file->place[column] = IGNORED;
        (*columns)[(*n_columns)++] = column;
    }
done:
    return st;
}

/* Features are numbered in order; outputs and weights follow them. */
static ml_status give_places(opening *o)
{
    matrix_file *file = o->file;
    size_t *ignored, n_ignored;
    ml_status st;

    ML__TRY(read_list(o, "target", o->options.target, &o->outputs, &o->n_outputs));
    ML__TRY(read_list(o, "ignore", o->options.ignore, &ignored, &n_ignored));
    ML__TRY(read_list(o, "weight", o->options.weight, &o->weight, &o->n_weights));
    ML__CHECK(o->n_weights <= 1, ML_E_ARGUMENT, "option weight names %zu columns", o->n_weights);
    file->n_features = file->n_cols - o->n_outputs - n_ignored - o->n_weights;
    ML__CHECK(file->n_features, ML_E_DATA, "'%.*s': no column is left for features", ML__SHOWN_PATH, file->input.path);
    for (size_t c = 0, j = 0; file->place && c < file->n_cols; c++)
        if (file->place[c] != IGNORED)
            file->place[c] = j++;
    for (size_t k = 0; k < o->n_outputs; k++)
        file->place[o->outputs[k]] = file->n_features + k;
    if (o->n_weights)
        file->place[*o->weight] = file->n_features + o->n_outputs;
    ML__NEW(&o->arena, o->kept, o->n_outputs + o->n_weights);
    for (size_t k = 0; k < o->n_outputs + o->n_weights; k++)
        ML__NEW(&o->arena, o->kept[k], file->n_rows);
done:
    return st;
}

/* ---- opening: the pass over all elements ---- */

static ml_status check_piece(opening *o, uint64_t first, size_t n, const double *values)
{
    matrix_file *file = o->file;
    const bool is_whole = file->stored == ML_INT64;
    size_t row = (size_t)(first / file->n_cols), column = (size_t)(first % file->n_cols);
    ml_status st = ML_OK;

    for (size_t v = 0; v < n; v++) {
        const size_t place = file->place ? file->place[column] : 0;

        if (place != IGNORED) {
            ML__CHECK(!isinf(values[v]), ML_E_DATA, "'%.*s': the value in row %zu, column %zu is infinite",
                      ML__SHOWN_PATH, file->input.path, row, column);
            ML__CHECK(!is_whole || fabs(values[v]) < BEYOND_WHOLE, ML_E_DATA,
                      "'%.*s': the number in row %zu, column %zu is 2^53 or beyond, where doubles are not exact",
                      ML__SHOWN_PATH, file->input.path, row, column);
        }
        if (place < file->n_features)
            file->may_miss |= isnan(values[v]);
        else if (place != IGNORED)
            o->kept[place - file->n_features][row] = values[v];
        if (++column == file->n_cols) {
            column = 0;
            row++;
        }
    }
done:
    return st;
}

static ml_status check_elements(opening *o)
{
    const uint64_t end = (uint64_t)o->file->n_rows * o->file->n_cols;
    double values[PIECE];
    ml_status st = ML_OK;

    for (uint64_t i = 0; i < end; i += PIECE) {
        const size_t n = end - i < PIECE ? (size_t)(end - i) : PIECE;

        ML__TRY(read_piece(o->file, i, n, values));
        ML__TRY(check_piece(o, i, n, values));
    }
    ML__TRY(ml__input_unchanged(&o->file->input));
done:
    return st;
}

/* ---- opening: the dataset ---- */

/* Named by their columns; nothing to do when these are all features. */
static ml_status name_features(opening *o, ml__schema *features)
{
    const matrix_file *file = o->file;
    ml__schema all;
    int64_t *columns;
    ml_status st = ML_OK;

    *features = (ml__schema){.n_features = file->n_features};
    if (!file->place)
        return ML_OK;
    ML__NEW(&o->arena, columns, file->n_features);
    for (size_t c = 0; c < file->n_cols; c++)
        if (file->place[c] < file->n_features)
            columns[file->place[c]] = (int64_t)c;
    ML__TRY(ml__schema_default_features(&o->arena, file->n_cols, &all));
    ML__TRY(ml__schema_select(&o->arena, &all, columns, file->n_features, features));
done:
    return st;
}

static ml_status add_labels(const opening *o, ml_dataset *dataset, const char *name, const double *values)
{
    const size_t n = ml_dataset_n_rows(dataset);
    ml__column column;
    ml_status st;

    ML__TRY(ml__column_init(&column, o->context, name, n, true));
    for (size_t i = 0; i < n; i++)
        ML__CHECK(isnan(values[i]) || ml__is_whole(values[i]), ML_E_DATA,
                  "%g in row %zu is no whole number, but to be a label", values[i], i);
    ML__TRY(ml__column_encode_wholes(&column, values, n));
    return ml__dataset_put(dataset, &column, true);
done:
    ml__column_free(&column);
    return st;
}

static ml_status add_output(opening *o, ml_dataset *dataset, size_t k)
{
    const size_t n = ml_dataset_n_rows(dataset);
    const double *values = o->kept[k];
    const uint32_t task = o->options.task;
    char name[ML__NUMBER_BYTES + 1];
    ml_status st;

    ml__format(name, sizeof name, "x%zu", o->outputs[k]);
    if (task == ML_TASK_CLASSIFY || (task == ML_TASK_DETECT && ml__are_whole(values, n) && ml__are_few(values, n)))
        st = add_labels(o, dataset, name, values);
    else
        st = ml_dataset_add_targets(dataset, name, values, n);
    return st == ML_OK ? st : ml__blame(st, "'%.*s', column %zu: ", ML__SHOWN_PATH, o->file->input.path, o->outputs[k]);
}

static ml_status assemble(opening *o, ml_dataset **out)
{
    matrix_file *file = o->file;
    const bool is_single = file->stored == ML_FLOAT32 || file->stored == ML_UINT8;
    ml__schema features;
    ml_status st;

    ML__TRY(name_features(o, &features));
    o->is_given = true;
    ML__TRY(ml__dataset_of_source(o->context, &file->source, file->n_rows, is_single ? ML_FLOAT32 : ML_FLOAT64,
                                  file->may_miss, &features, out));
    for (size_t k = 0; k < o->n_outputs; k++)
        ML__TRY(add_output(o, *out, k));
    if (o->n_weights) {
        st = ml_dataset_set_weights(*out, o->kept[o->n_outputs], file->n_rows);
        if (st != ML_OK)
            (void)ml__blame(st, "'%.*s', column %zu: ", ML__SHOWN_PATH, file->input.path, *o->weight);
    }
done:
    return st;
}

static ml_status open_file(opening *o, const char *path, const ml_matrix_options *options, ml_dataset **out)
{
    ml_status st;

    ML__TRY(read_options(o, options));
    ML__TRY(create_file(o, path));
    ML__TRY(set_shape(o));
    ML__TRY(give_places(o));
    ML__TRY(check_elements(o));
    ML__TRY(assemble(o, out));
done:
    if (st != ML_OK) {
        ml_dataset_free(*out);
        *out = NULL;
    }
    if (o->file && !o->is_given)
        close_file(&o->file->source);
    return st;
}

ml_status ml_dataset_open_matrix(ml_context *context, const char *path, const ml_matrix_options *options,
                                 ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    opening o = {.context = context};
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(path, ML_E_ARGUMENT, "path is NULL");
    ml__arena_init(&o.arena, context);
    st = open_file(&o, path, options, out);
    ml__arena_free(&o.arena);
done:
    return ml__float_end(host, st);
}
