/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets from CSV: what the columns are.
 *
 *   1  the first record is a header or not; columns get names
 *   2  target, weight and ignore give columns their roles; the others are features, in the order of the file
 *
 * A schema decides by itself which features are categorical and which outputs labels.
 */
#include <string.h>

#include "base/number.h"
#include "data/csv_import.h"

typedef ml__csv_importer importer;
typedef ml__csv_column column;

enum { DEFAULT_MAX_CATEGORIES = 65536 };
static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)16 << 30;
/* Messages show the end of longer file names, the beginning of longer cells. */
enum { SHOWN_PATH_BYTES = 160, SHOWN_CELL_BYTES = 60, SHOWN_NAMES = 8 };

/* ---- messages ---- */

const char *ml__csv_shown_name(const char *name)
{
    const size_t n = strlen(name);
    return n > SHOWN_PATH_BYTES ? name + n - SHOWN_PATH_BYTES : name;
}

ml_status ml__csv_mark_cell(importer *im, const ml__csv *csv, const ml__cell *cell, const ml__csv_mark **mark)
{
    ml__csv_mark *made;
    ml_status st = ML_OK;

    ML__NEW(&im->scratch, made, 1);
    made->place = ml__csv_place(csv, cell->text);
    made->is_missing = ml__csv_is_missing(im, cell);
    made->shown.length = cell->length < SHOWN_CELL_BYTES ? cell->length : SHOWN_CELL_BYTES;
    made->shown.text = ml__arena_text_n(&im->scratch, cell->text, made->shown.length);
    ML__TRY(made->shown.text ? ML_OK : ML_E_MEMORY);
    *mark = made;
done:
    return st;
}

ml_status ml__csv_fail_cell(const importer *im, const column *c, const ml__csv_mark *mark, ml_status code,
                            const char *reason)
{
    return ml__fail(code, "%s, line %zu, column %zu ('%s'): '%.*s' %s", im->csv.name,
                    ml__csv_line(&im->csv, mark->place), (size_t)(c - im->columns) + 1, c->name,
                    (int)mark->shown.length, mark->shown.text, reason);
}

ml_status ml__csv_blame_column(const importer *im, const column *c, ml_status code)
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

ml_status ml__csv_read_options(importer *im, const ml_csv_options *options)
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
    const char *list = im->options.missing;
    ml_status st;

    if (list) /* which outlives the caller's */
        ML__TRY((list = ml__arena_text(&im->arena, list)) ? ML_OK : ML_E_MEMORY);
    ML__TRY(split_list(im, list, n_always, &im->missing, &im->n_missing));
    for (size_t i = 0; i < n_always; i++)
        im->missing[i] = (ml__cell){ALWAYS[i], strlen(ALWAYS[i])};
done:
    return st;
}

bool ml__csv_is_missing(const importer *im, const ml__cell *cell)
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

static size_t line_of(const ml__csv *csv, size_t cell)
{
    return ml__csv_line(csv, ml__csv_place(csv, csv->cells[cell].text));
}

static ml_status name_columns(importer *im, const ml__csv *csv)
{
    const ml__cell *first = csv->cells;
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
    ML__CHECK(im->n_rows, ML_E_DATA, "%s, line %zu: a header without rows", im->csv.name, line_of(csv, 0));
done:
    return st;
}

/* "#0" or "#-1" */
static bool find_by_number(const importer *im, const ml__cell *name, size_t *found)
{
    int64_t k;

    if (!name->length || name->text[0] != '#' || ml__parse_int(name->text + 1, name->length - 1, &k) != ML__NUMBER_OK)
        return false;
    if (k < 0)
        k += (int64_t)im->n_columns;
    *found = (size_t)k;
    return k >= 0 && (uint64_t)k < im->n_columns;
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
static ml_status give_role(importer *im, const char *option, const char *list, ml__csv_role r, size_t **found,
                           size_t *n_found)
{
    ml__cell *names;
    size_t *numbers, n;
    ml_status st;

    ML__TRY(split_list(im, list, 0, &names, &n));
    ML__NEW(&im->arena, numbers, n);
    for (size_t i = 0; i < n; i++) {
        ML__TRY(find_column(im, option, &names[i], &numbers[i]));
        ML__CHECK(im->columns[numbers[i]].role == ML__CSV_FEATURE, ML_E_DATA,
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

    ML__TRY(give_role(im, "target", im->options.target, ML__CSV_OUTPUT, &im->outputs, &im->n_outputs));
    ML__TRY(give_role(im, "ignore", im->options.ignore, ML__CSV_IGNORED, &found, &n_found));
    ML__TRY(give_role(im, "weight", im->options.weight, ML__CSV_WEIGHT, &found, &n_found));
    ML__CHECK(n_found <= 1, ML_E_ARGUMENT, "option weight names %zu columns", n_found);
    if (n_found)
        im->weight = &im->columns[found[0]];
done:
    return st;
}

/* Ignored columns may have any name, also none. */
static ml_status check_names(importer *im, const ml__csv *csv)
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
        if (im->columns[c].role == ML__CSV_IGNORED)
            continue;
        used[n++] = c;
        ml__format(what, sizeof what, "column %zu", c + 1);
        st = ml__check_name(what, names[c]);
        if (st != ML_OK)
            return ml__blame(st, "%s, line %zu: ", im->csv.name, line_of(csv, c));
    }
    ML__CHECK(!ml__find_equal(names, used, n, scratch, &first, &second), ML_E_DATA,
              "%s, line %zu: columns %zu and %zu are both named '%s'", im->csv.name, line_of(csv, first), first + 1,
              second + 1, names[first]);
done:
    return st;
}

static ml_status list_features(importer *im)
{
    ml__schema *features = &im->features;
    ml_status st = ML_OK;

    ML__NEW(&im->arena, features->features, im->n_columns);
    for (size_t c = 0; c < im->n_columns; c++)
        if (im->columns[c].role == ML__CSV_FEATURE)
            features->features[features->n_features++].name = im->columns[c].name;
    ML__CHECK(features->n_features, ML_E_DATA, "%s: no column is left for features", im->csv.name);
done:
    return st;
}

/* ---- the schema ---- */

const ml__output *ml__csv_expected_output(const importer *im, size_t o)
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
        if (im->columns[c].role == ML__CSV_FEATURE)
            im->columns[c].is_text = im->expected->features[j++].n_categories > 0;
    for (size_t o = 0; o < im->n_outputs && im->expected->n_outputs; o++)
        im->columns[im->outputs[o]].is_text = im->expected->outputs[o].n_classes > 0;
done:
    return st;
}

/* ---- all of it ---- */

ml_status ml__csv_read_columns(importer *im, const ml__csv *first)
{
    ml_status st;

    ML__TRY(read_missing(im));
    ML__TRY(name_columns(im, first));
    ML__TRY(give_roles(im));
    ML__TRY(check_names(im, first));
    ML__TRY(list_features(im));
    ML__TRY(apply_schema(im));
done:
    return st;
}
