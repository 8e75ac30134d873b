/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets from CSV: what the columns mean.
 *
 *   1  the first record is a header or not; columns get names
 *   2  target, weight and ignore give columns their roles; the others are features, in the order of the file
 *   3  all cells are read as numbers; a column where one is neither number nor missing is a column of texts
 *   4  texts of features become categories: ranks in byte order, or the schema's
 *   5  outputs become labels or reals
 *
 * Labels of whole numbers are ordered as numbers and named by their digits (1, 1.0 and 1e0 are one class); all others
 * are ordered and named as texts. A schema decides by itself which features are categorical and which outputs labels.
 */
#include <math.h>
#include <string.h>

#include "base/io.h"
#include "base/number.h"
#include "base/processor.h"
#include "base/text.h"
#include "data/csv.h"
#include "data/table.h"

enum { DEFAULT_MAX_CATEGORIES = 65536 };
static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)16 << 30;
/* Messages show the end of longer file names, the beginning of longer cells. */
enum { SHOWN_PATH_BYTES = 160, SHOWN_CELL_BYTES = 60, SHOWN_NAMES = 8 };

typedef enum role { FEATURE, OUTPUT, WEIGHT, IGNORED } role;

typedef struct column {
    char *name;
    role role;
    bool is_text;
    const ml__cell *text;   /* the first cell that is no number */
    const ml__cell *beyond; /* the first number that is too large */
    size_t n_numbers;       /* before the first text */
    double *values;         /* of row i: values[i * stride] */
    size_t stride;
} column;

typedef struct importer {
    ml_context *context;
    ml_csv_options options;
    const ml__schema *expected; /* of options.schema, or NULL */
    ml__arena arena;
    ml__csv csv;
    bool has_header;
    const ml__cell *cells; /* of the first row */
    size_t n_rows, n_columns;
    ml__cell *missing; /* texts that mean it */
    size_t n_missing;
    column *columns;
    size_t *outputs; /* their columns, in the order of options.target */
    size_t n_outputs;
    column *weight;
    double *x; /* of ml__alloc, until a dataset takes it over */
    ml__schema features;
    int32_t *codes; /* n_rows, of one column after the other */
} importer;

/* ---- messages ---- */

static ml_status fail_cell(const importer *im, const ml__cell *cell, ml_status code, const char *reason)
{
    const size_t at = (size_t)(cell - im->csv.cells) % im->n_columns;
    const int shown = cell->length < SHOWN_CELL_BYTES ? (int)cell->length : SHOWN_CELL_BYTES;

    return ml__fail(code, "%s, line %zu, column %zu ('%s'): '%.*s' %s", im->csv.name,
                    ml__csv_line(&im->csv, cell->text), at + 1, im->columns[at].name, shown, cell->text, reason);
}

static ml_status blame_column(const importer *im, const column *c, ml_status code)
{
    return ml__blame(code, "%s, column %zu ('%s'): ", im->csv.name, (size_t)(c - im->columns) + 1, c->name);
}

static ml_status unknown_column(const importer *im, const char *option, const ml__cell *name)
{
    char list[256];
    size_t length = 0;

    list[0] = 0;
    for (size_t c = 0; c < im->n_columns && c < SHOWN_NAMES && length < sizeof list; c++)
        length += ml__format(list + length, sizeof list - length, "%s%s", c ? ", " : "", im->columns[c].name);
    return ml__fail(ML_E_DATA, "%s: option %s: no column '%.*s'; there are %zu: %s%s", im->csv.name, option,
                    (int)(name->length < SHOWN_CELL_BYTES ? name->length : SHOWN_CELL_BYTES), name->text, im->n_columns,
                    list, im->n_columns > SHOWN_NAMES || length >= sizeof list ? ", ..." : "");
}

/* ---- options ---- */

static bool is_delimiter(char c)
{
    return c && (unsigned char)c < 0x80 && !strchr("\"\r\n+-.", c) && !(c >= '0' && c <= '9') &&
           !((c | 32) >= 'a' && (c | 32) <= 'z');
}

static ml_status read_options(importer *im, const ml_csv_options *options)
{
    ml_csv_options *o = &im->options;
    ml_status st = ML_OK;

    o->struct_size = sizeof *o;
    if (options)
        ML__TRY(ml__read_options(o, sizeof *o, options, "ml_csv_options"));
    ML__CHECK(o->header <= ML_HEADER_NO, ML_E_ARGUMENT, "option header is %u, expected ML_HEADER_DETECT, _YES or _NO",
              (unsigned)o->header);
    ML__CHECK(o->task <= ML_TASK_REGRESS, ML_E_ARGUMENT,
              "option task is %u, expected ML_TASK_DETECT, _CLASSIFY or _REGRESS", (unsigned)o->task);
    ML__CHECK(!o->delimiter || is_delimiter(o->delimiter), ML_E_ARGUMENT,
              "option delimiter is '%c', which can be part of a number, name, quote or line end", o->delimiter);
    if (!o->max_bytes)
        o->max_bytes = DEFAULT_MAX_BYTES;
    if (!o->max_categories)
        o->max_categories = DEFAULT_MAX_CATEGORIES;
    if (o->schema)
        im->expected = ml__dataset_schema(o->schema);
    im->csv.delimiter = o->delimiter;
done:
    return st;
}

/* The items of a comma-separated list, trimmed; behind room for n_before others. */
static ml_status split_list(importer *im, const char *list, size_t n_before, ml__cell **items, size_t *n_items)
{
    size_t n = list ? 1 : 0;
    ml_status st = ML_OK;

    for (const char *c = list; c && *c; c++)
        n += *c == ',';
    ML__NEW(&im->arena, *items, n_before + n);
    *n_items = n_before + n;
    for (size_t i = 0; i < n; i++) {
        const char *comma = strchr(list, ','), *end = comma ? comma : list + strlen(list), *next = end + 1;
        while (list < end && *list == ' ')
            list++;
        while (end > list && end[-1] == ' ')
            end--;
        (*items)[n_before + i] = (ml__cell){list, (size_t)(end - list)};
        list = next;
    }
done:
    return st;
}

static ml_status read_missing(importer *im)
{
    static const char *const ALWAYS[] = {"", "?", "NA", "N/A", "NaN", "nan", "null", "NULL"};
    const size_t n_always = sizeof ALWAYS / sizeof *ALWAYS;
    ml_status st;

    ML__TRY(split_list(im, im->options.missing, n_always, &im->missing, &im->n_missing));
    for (size_t i = 0; i < n_always; i++)
        im->missing[i] = (ml__cell){ALWAYS[i], strlen(ALWAYS[i])};
done:
    return st;
}

static bool is_missing(const importer *im, const ml__cell *cell)
{
    for (size_t i = 0; i < im->n_missing; i++)
        if (cell->length == im->missing[i].length && !memcmp(cell->text, im->missing[i].text, cell->length))
            return true;
    return false;
}

/* ---- names and roles of columns ---- */

static bool has_number(const ml__cell *cells, size_t n)
{
    double value;

    for (size_t c = 0; c < n; c++)
        if (ml__parse_real(cells[c].text, cells[c].length, &value) != ML__NUMBER_NONE)
            return true;
    return false;
}

static ml_status name_columns(importer *im)
{
    const ml__cell *first = im->csv.cells;
    ml__schema unnamed = {0};
    ml_status st = ML_OK;

    im->n_columns = im->csv.n_columns;
    im->has_header = im->options.header == ML_HEADER_YES ||
                     (im->options.header == ML_HEADER_DETECT && !has_number(first, im->n_columns));
    ML__NEW(&im->arena, im->columns, im->n_columns);
    if (!im->has_header)
        ML__TRY(ml__schema_default_features(&im->arena, im->n_columns, &unnamed));
    for (size_t c = 0; c < im->n_columns; c++) {
        im->columns[c].name =
            im->has_header ? ml__arena_text_n(&im->arena, first[c].text, first[c].length) : unnamed.features[c].name;
        ML__TRY(im->columns[c].name ? ML_OK : ML_E_MEMORY);
    }
    im->n_rows = im->csv.n_records - im->has_header;
    im->cells = first + (im->has_header ? im->n_columns : 0);
    ML__CHECK(im->n_rows, ML_E_DATA, "%s, line %zu: a header without rows", im->csv.name,
              ml__csv_line(&im->csv, first->text));
done:
    return st;
}

/* "#3" or "#-1" */
static bool find_by_number(const importer *im, const ml__cell *name, size_t *found)
{
    int64_t k;

    if (!name->length || name->text[0] != '#' || ml__parse_int(name->text + 1, name->length - 1, &k) != ML__NUMBER_OK)
        return false;
    if (k < 0)
        k += (int64_t)im->n_columns + 1;
    *found = (size_t)(k - 1);
    return k >= 1 && (uint64_t)k <= im->n_columns;
}

static bool is_named(const column *c, const ml__cell *name)
{
    return strlen(c->name) == name->length && !memcmp(c->name, name->text, name->length);
}

static ml_status find_column(const importer *im, const char *option, const ml__cell *name, size_t *found)
{
    size_t n_found = 0;
    ml_status st = ML_OK;

    ML__CHECK(name->length, ML_E_ARGUMENT, "option %s has an empty name", option);
    if (find_by_number(im, name, found))
        return ML_OK;
    for (size_t c = 0; c < im->n_columns; c++)
        if (is_named(&im->columns[c], name)) {
            ML__CHECK(!n_found++, ML_E_DATA, "%s: option %s: columns %zu and %zu are both named '%s'", im->csv.name,
                      option, *found + 1, c + 1, im->columns[c].name);
            *found = c;
        }
    if (!n_found)
        return unknown_column(im, option, name);
done:
    return st;
}

/* Give the columns that an option lists a role; `found` (or NULL) gets their numbers. */
static ml_status give_role(importer *im, const char *option, const char *list, role r, size_t **found, size_t *n_found)
{
    ml__cell *names;
    size_t *numbers, n;
    ml_status st;

    ML__TRY(split_list(im, list, 0, &names, &n));
    ML__NEW(&im->arena, numbers, n);
    for (size_t i = 0; i < n; i++) {
        ML__TRY(find_column(im, option, &names[i], &numbers[i]));
        ML__CHECK(im->columns[numbers[i]].role == FEATURE, ML_E_DATA,
                  "%s: option %s: column '%s' has been named by an option already", im->csv.name, option,
                  im->columns[numbers[i]].name);
        im->columns[numbers[i]].role = r;
    }
    *found = numbers;
    *n_found = n;
done:
    return st;
}

static ml_status give_roles(importer *im)
{
    size_t *found, n_found;
    ml_status st;

    ML__TRY(give_role(im, "target", im->options.target, OUTPUT, &im->outputs, &im->n_outputs));
    ML__TRY(give_role(im, "ignore", im->options.ignore, IGNORED, &found, &n_found));
    ML__TRY(give_role(im, "weight", im->options.weight, WEIGHT, &found, &n_found));
    ML__CHECK(n_found <= 1, ML_E_ARGUMENT, "option weight names %zu columns", n_found);
    if (n_found)
        im->weight = &im->columns[found[0]];
done:
    return st;
}

/* Ignored columns may have any name, also none. */
static ml_status check_names(importer *im)
{
    const char **names;
    size_t *used, *scratch, n = 0, first, second;
    char what[64];
    ml_status st = ML_OK;

    ML__NEW(&im->arena, names, im->n_columns);
    ML__NEW(&im->arena, used, im->n_columns);
    ML__NEW(&im->arena, scratch, im->n_columns);
    for (size_t c = 0; c < im->n_columns; c++) {
        names[c] = im->columns[c].name;
        if (im->columns[c].role == IGNORED)
            continue;
        used[n++] = c;
        ml__format(what, sizeof what, "column %zu", c + 1);
        st = ml__check_name(what, names[c]);
        if (st != ML_OK)
            return ml__blame(st, "%s, line %zu: ", im->csv.name, ml__csv_line(&im->csv, im->csv.cells[c].text));
    }
    ML__CHECK(!ml__find_equal(names, used, n, scratch, &first, &second), ML_E_DATA,
              "%s, line %zu: columns %zu and %zu are both named '%s'", im->csv.name,
              ml__csv_line(&im->csv, im->csv.cells[first].text), first + 1, second + 1, names[first]);
done:
    return st;
}

static ml_status list_features(importer *im)
{
    ml__schema *features = &im->features;
    ml_status st = ML_OK;

    ML__NEW(&im->arena, features->features, im->n_columns);
    for (size_t c = 0; c < im->n_columns; c++)
        if (im->columns[c].role == FEATURE)
            features->features[features->n_features++].name = im->columns[c].name;
    ML__CHECK(features->n_features, ML_E_DATA, "%s: no column is left for features", im->csv.name);
done:
    return st;
}

/* ---- the schema ---- */

static const ml__output *expected_output(const importer *im, size_t o)
{
    return im->expected && im->expected->n_outputs ? &im->expected->outputs[o] : NULL;
}

static ml_status check_outputs(const importer *im)
{
    const bool any_name = ml__schema_is_unnamed(&im->features) || ml__schema_is_unnamed(im->expected);
    ml_status st = ML_OK;

    if (!im->n_outputs || !im->expected->n_outputs)
        return ML_OK;
    ML__CHECK(im->n_outputs == im->expected->n_outputs, ML_E_SHAPE, "%s: %zu outputs, the schema has %zu", im->csv.name,
              im->n_outputs, im->expected->n_outputs);
    for (size_t o = 0; o < im->n_outputs && !any_name; o++)
        ML__CHECK(!strcmp(im->columns[im->outputs[o]].name, im->expected->outputs[o].name), ML_E_DATA,
                  "%s: output %zu is '%s', expected '%s'", im->csv.name, o, im->columns[im->outputs[o]].name,
                  im->expected->outputs[o].name);
done:
    return st;
}

/* Columns that the schema knows as categories or labels are texts whatever they look like. */
static ml_status apply_schema(importer *im)
{
    ml_status st;

    if (!im->expected)
        return ML_OK;
    st = ml__schema_match_names(im->expected, &im->features);
    if (st != ML_OK)
        return ml__blame(st, "%s: ", im->csv.name);
    ML__TRY(check_outputs(im));
    for (size_t c = 0, j = 0; c < im->n_columns; c++)
        if (im->columns[c].role == FEATURE)
            im->columns[c].is_text = im->expected->features[j++].n_categories > 0;
    for (size_t o = 0; o < im->n_outputs && im->expected->n_outputs; o++)
        im->columns[im->outputs[o]].is_text = im->expected->outputs[o].n_classes > 0;
done:
    return st;
}

/* Names in the order given, and their ranks; the last text is the one looked for. */
typedef struct lookup {
    ml__cell *texts;
    size_t *order, n, n_distinct;
} lookup;

static int compare_texts(const void *source, size_t a, size_t b)
{
    const ml__cell *texts = source;
    return ml__cell_compare(&texts[a], &texts[b]);
}

static ml_status lookup_make(ml__arena *arena, char *const *names, size_t n, lookup *l)
{
    size_t *scratch;
    ml_status st = ML_OK;

    ML__NEW(arena, l->texts, n + 1);
    ML__NEW(arena, l->order, n);
    ML__NEW(arena, scratch, n);
    for (size_t k = 0; k < n; k++) {
        l->texts[k] = (ml__cell){names[k], strlen(names[k])};
        l->order[k] = k;
    }
    l->n = n;
    l->n_distinct = ml__distinct(l->texts, compare_texts, l->order, n, scratch);
done:
    return st;
}

/* The position of a name, -1 when there is none. */
static int32_t lookup_find(lookup *l, const char *text, size_t length)
{
    size_t rank;

    l->texts[l->n] = (ml__cell){text, length};
    rank = ml__rank(l->texts, compare_texts, l->order, l->n_distinct, l->n);
    return rank < l->n_distinct ? (int32_t)l->order[rank] : -1;
}

/* ---- numbers ---- */

static void read_number(const importer *im, column *c, const ml__cell *cell, size_t i)
{
    double *value = &c->values[i * c->stride];

    if (is_missing(im, cell)) {
        *value = NAN;
        return;
    }
    switch (ml__parse_real(cell->text, cell->length, value)) {
    case ML__NUMBER_OK:
        c->n_numbers++;
        break;
    case ML__NUMBER_RANGE:
        if (!c->beyond)
            c->beyond = cell;
        break;
    case ML__NUMBER_NONE:
        c->text = cell;
        c->is_text = true;
        break;
    }
}

static ml_status place_values(importer *im)
{
    size_t n_cells, j = 0;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(im->n_rows, im->features.n_features, &n_cells), ML_E_MEMORY, "%s has too many cells",
              im->csv.name);
    im->x = ml__alloc_array(im->context, n_cells, sizeof *im->x);
    ML__TRY(im->x ? ML_OK : ML_E_MEMORY);
    for (column *c = im->columns; c < im->columns + im->n_columns; c++) {
        c->stride = c->role == FEATURE ? im->features.n_features : 1;
        if (c->role == FEATURE)
            c->values = im->x + j++;
        else if (c->role != IGNORED)
            ML__NEW(&im->arena, c->values, im->n_rows);
    }
done:
    return st;
}

static ml_status read_numbers(importer *im)
{
    const ml__cell *cell = im->cells;
    ml_status st;

    ML__TRY(place_values(im));
    for (size_t i = 0; i < im->n_rows; i++)
        for (column *c = im->columns; c < im->columns + im->n_columns; c++, cell++)
            if (c->role != IGNORED && !c->is_text)
                read_number(im, c, cell, i);
    for (column *c = im->columns; c < im->columns + im->n_columns; c++)
        if (c->beyond && !c->is_text)
            return fail_cell(im, c->beyond, ML_E_DATA, "is beyond the range of numbers");
done:
    return st;
}

/* ---- texts ---- */

/* The cells of one column as items of ml__encode(). */
typedef struct text_source {
    const importer *im;
    const ml__cell *first;
} text_source;

static text_source cells_of(const importer *im, const column *c)
{
    return (text_source){im, im->cells + (c - im->columns)};
}

static const ml__cell *cell_of(const void *source, size_t i)
{
    const text_source *s = source;
    return s->first + i * s->im->n_columns;
}

static int compare_cells(const void *source, size_t a, size_t b)
{
    return ml__cell_compare(cell_of(source, a), cell_of(source, b));
}

static bool is_missing_cell(const void *source, size_t i)
{
    return is_missing(((const text_source *)source)->im, cell_of(source, i));
}

static char *copy_cell(ml__arena *arena, const void *source, size_t i)
{
    return ml__arena_text_n(arena, cell_of(source, i)->text, cell_of(source, i)->length);
}

/* Codes by the schema's categories; others are missing, which the log tells. */
static ml_status code_by_schema(importer *im, const column *c, const ml__feature *expected)
{
    const text_source cells = cells_of(im, c);
    size_t n_unseen = 0;
    lookup l;
    ml_status st;

    ML__TRY(lookup_make(&im->arena, expected->categories, expected->n_categories, &l));
    for (size_t i = 0; i < im->n_rows; i++) {
        const ml__cell *cell = cell_of(&cells, i);
        im->codes[i] = is_missing(im, cell) ? -1 : lookup_find(&l, cell->text, cell->length);
        n_unseen += im->codes[i] < 0 && !is_missing(im, cell);
    }
    if (n_unseen)
        ml__log(im->context, ML_LOG_WARNING,
                "%s, column '%s': %zu cells have categories that the schema lacks; they are taken as missing",
                im->csv.name, c->name, n_unseen);
done:
    return st;
}

static ml_status read_categories(importer *im, const column *c, ml__feature *feature, const ml__feature *expected)
{
    const text_source cells = cells_of(im, c);
    const ml__labels labels = {&cells, compare_cells, is_missing_cell, copy_cell};
    ml_status st;

    if (!expected) {
        st = ml__encode(&im->arena, &labels, im->n_rows, im->options.max_categories, im->codes, &feature->categories,
                        &feature->n_categories);
        if (st != ML_OK)
            return blame_column(im, c, st);
    } else {
        if (!expected->n_categories)
            return fail_cell(im, c->text, ML_E_DATA, "is not a number, which the schema expects");
        feature->n_categories = expected->n_categories;
        feature->categories = expected->categories;
        ML__TRY(code_by_schema(im, c, expected));
    }
    for (size_t i = 0; i < im->n_rows; i++)
        c->values[i * c->stride] = im->codes[i] < 0 ? NAN : im->codes[i];
    st = ML_OK;
done:
    return st;
}

/* Numbers and then a text: more often a slip of the pen than a category. */
static void warn_of_mixture(const importer *im, const column *c)
{
    const int shown = c->text->length < SHOWN_CELL_BYTES ? (int)c->text->length : SHOWN_CELL_BYTES;

    ml__log(im->context, ML_LOG_WARNING, "%s, column '%s' is categorical because of '%.*s' in line %zu, after %zu %s",
            im->csv.name, c->name, shown, c->text->text, ml__csv_line(&im->csv, c->text->text), c->n_numbers,
            c->n_numbers == 1 ? "number" : "numbers");
}

static ml_status read_texts(importer *im)
{
    size_t j = 0;
    ml_status st = ML_OK;

    ML__NEW(&im->arena, im->codes, im->n_rows);
    for (const column *c = im->columns; c < im->columns + im->n_columns; c++) {
        if (c->role != FEATURE)
            continue;
        if (c->n_numbers && c->text)
            warn_of_mixture(im, c);
        if (c->is_text)
            ML__TRY(
                read_categories(im, c, &im->features.features[j], im->expected ? &im->expected->features[j] : NULL));
        j++;
    }
done:
    return st;
}

/* ---- outputs ---- */

static int compare_wholes(const void *source, size_t a, size_t b)
{
    const double *v = source;
    return (v[a] > v[b]) - (v[a] < v[b]);
}

static bool is_missing_whole(const void *source, size_t i)
{
    return isnan(((const double *)source)[i]);
}

static char *whole_digits(ml__arena *arena, const void *source, size_t i)
{
    char text[ML__NUMBER_BYTES];
    const size_t n = ml__print_int((int64_t)((const double *)source)[i], text);

    return ml__arena_text_n(arena, text, n);
}

/* A label is looked for as it is written, then, when it is a whole number, by its digits. */
static int32_t find_class(lookup *l, const ml__cell *cell)
{
    int32_t code = lookup_find(l, cell->text, cell->length);
    char digits[ML__NUMBER_BYTES];
    double value;

    if (code < 0 && ml__parse_real(cell->text, cell->length, &value) == ML__NUMBER_OK && ml__is_whole(value))
        code = lookup_find(l, digits, ml__print_int((int64_t)value, digits));
    return code;
}

static ml_status read_known_labels(importer *im, const column *c, const ml__output *expected, ml__column *out)
{
    const text_source cells = cells_of(im, c);
    lookup l;
    ml_status st;

    ML__TRY(ml__column_copy_classes(out, expected));
    ML__TRY(lookup_make(&im->arena, expected->classes, expected->n_classes, &l));
    for (size_t i = 0; i < im->n_rows; i++) {
        const ml__cell *cell = cell_of(&cells, i);
        out->codes[i] = is_missing(im, cell) ? -1 : find_class(&l, cell);
        if (out->codes[i] < 0 && !is_missing(im, cell))
            return fail_cell(im, cell, ML_E_DATA, "is not a class of the schema");
    }
done:
    return st;
}

static ml_status read_labels(importer *im, const column *c, ml__column *out)
{
    const text_source cells = cells_of(im, c);
    const ml__labels texts = {&cells, compare_cells, is_missing_cell, copy_cell};
    const ml__labels wholes = {c->values, compare_wholes, is_missing_whole, whole_digits};
    const bool as_text = c->is_text || !ml__are_whole(c->values, im->n_rows);
    const ml_status st = ml__column_encode(out, as_text ? &texts : &wholes, im->n_rows);

    return st == ML_OK ? st : blame_column(im, c, st);
}

static ml_status read_reals(importer *im, const column *c, const ml__output *expected, ml__column *out)
{
    size_t n_missing = 0;
    ml_status st = ML_OK;

    if (c->is_text)
        return fail_cell(im, c->text, ML_E_DATA,
                         expected ? "is not a number, which the schema expects"
                                  : "is not a number, to be regressed on");
    for (size_t i = 0; i < im->n_rows; i++)
        n_missing += isnan(c->values[i]);
    ML__CHECK(n_missing < im->n_rows || expected, ML_E_DATA, "%s, column %zu ('%s'): an output without any value",
              im->csv.name, (size_t)(c - im->columns) + 1, c->name);
    memcpy(out->values, c->values, im->n_rows * sizeof *out->values);
done:
    return st;
}

static bool wants_labels(const importer *im, const column *c, const ml__output *expected)
{
    if (expected)
        return expected->n_classes > 0;
    if (im->options.task != ML_TASK_DETECT)
        return im->options.task == ML_TASK_CLASSIFY;
    return c->is_text || (ml__are_whole(c->values, im->n_rows) && ml__are_few(c->values, im->n_rows));
}

static ml_status add_output(importer *im, size_t o, ml_dataset *dataset)
{
    const column *c = &im->columns[im->outputs[o]];
    const ml__output *expected = expected_output(im, o);
    const bool is_label = wants_labels(im, c, expected);
    ml__column made;
    ml_status st;

    ML__TRY(ml__column_init(&made, im->context, c->name, im->n_rows, is_label));
    if (is_label && expected)
        ML__TRY(read_known_labels(im, c, expected, &made));
    else if (is_label)
        ML__TRY(read_labels(im, c, &made));
    else
        ML__TRY(read_reals(im, c, expected, &made));
    return ml__dataset_put(dataset, &made, true);
done:
    ml__column_free(&made);
    return st;
}

static ml_status add_weights(importer *im, ml_dataset *dataset)
{
    const column *c = im->weight;
    const text_source cells = cells_of(im, c);
    ml_status st;

    if (c->is_text)
        return fail_cell(im, c->text, ML_E_DATA, "is not a number, but a weight");
    for (size_t i = 0; i < im->n_rows; i++)
        if (!(c->values[i] >= 0))
            return fail_cell(im, cell_of(&cells, i), ML_E_DATA,
                             isnan(c->values[i]) ? "is missing, but a weight" : "is negative, but a weight");
    st = ml_dataset_set_weights(dataset, c->values, im->n_rows);
    return st == ML_OK ? st : blame_column(im, c, st);
}

/* ---- the whole ---- */

static ml_status assemble(importer *im, ml_dataset **out)
{
    double *x = im->x;
    ml_status st;

    im->x = NULL;
    ML__TRY(ml__dataset_own(im->context, x, im->n_rows, &im->features, out));
    for (size_t o = 0; o < im->n_outputs; o++)
        ML__TRY(add_output(im, o, *out));
    if (im->weight)
        ML__TRY(add_weights(im, *out));
done:
    return st;
}

static ml_status import(importer *im, ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    ml_status st;

    ML__TRY(ml__csv_parse(&im->csv, im->context));
    ML__TRY(read_missing(im));
    ML__TRY(name_columns(im));
    ML__TRY(give_roles(im));
    ML__TRY(check_names(im));
    ML__TRY(list_features(im));
    ML__TRY(apply_schema(im));
    ML__TRY(read_numbers(im));
    ML__TRY(read_texts(im));
    ML__TRY(assemble(im, out));
done:
    return ml__float_end(host, st);
}

/* The end of a long name, so that the message has room for what went wrong. */
static const char *shown_name(const char *name)
{
    const size_t n = strlen(name);
    return n > SHOWN_PATH_BYTES ? name + n - SHOWN_PATH_BYTES : name;
}

/* The last step of both functions below, whatever came before. */
static ml_status finish(importer *im, ml_status st, ml_dataset **out)
{
    ml__arena_free(&im->arena);
    ml__free(im->csv.cells);
    ml__free(im->csv.text);
    ml__free(im->x);
    if (st != ML_OK && out) {
        ml_dataset_free(*out);
        *out = NULL;
    }
    return st;
}

ml_status ml_dataset_from_csv(ml_context *context, const char *path, const ml_csv_options *options, ml_dataset **out)
{
    importer im = {.context = context};
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(path, ML_E_ARGUMENT, "path is NULL");
    ml__arena_init(&im.arena, context);
    im.csv.name = shown_name(path);
    ML__TRY(read_options(&im, options));
    ML__TRY(ml__read_file(context, path, im.options.max_bytes, &im.csv.text, &im.csv.n_bytes));
    ML__TRY(import(&im, out));
done:
    return finish(&im, st, out);
}

ml_status ml_dataset_from_csv_memory(ml_context *context, const char *text, size_t n_bytes, const char *name,
                                     const ml_csv_options *options, ml_dataset **out)
{
    importer im = {.context = context};
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(text || !n_bytes, ML_E_ARGUMENT, "text is NULL");
    ml__arena_init(&im.arena, context);
    im.csv.name = shown_name(name ? name : "memory");
    ML__TRY(read_options(&im, options));
    ML__CHECK(n_bytes <= im.options.max_bytes && n_bytes < SIZE_MAX, ML_E_LIMIT,
              "'%s' has %zu bytes, more than max_bytes = %llu", im.csv.name, n_bytes,
              (unsigned long long)im.options.max_bytes);
    im.csv.text = ml__alloc_array(context, n_bytes + 1, 1);
    ML__TRY(im.csv.text ? ML_OK : ML_E_MEMORY);
    if (n_bytes)
        memcpy(im.csv.text, text, n_bytes);
    im.csv.n_bytes = n_bytes;
    ML__TRY(import(&im, out));
done:
    return finish(&im, st, out);
}
