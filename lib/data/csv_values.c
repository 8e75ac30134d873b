/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets from CSV: what the cells mean. All rows are gone through twice at most, as one block in memory or block by
 * block from a file.
 *
 *   1  cells are read as numbers; a column where one is neither number nor missing is a column of texts
 *   2  columns of texts get codes in the order of their coming, then ranks in byte order, or the schema's
 *   3  outputs become labels or reals
 *
 * Labels of whole numbers are ordered as numbers and named by their digits (1, 1.0 and 1e0 are one class); all others
 * are ordered and named as texts.
 */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "data/csv_import.h"

typedef ml__csv_importer importer;
typedef ml__csv_column column;
typedef ml__csv_coding coding;

/* ---- rows ---- */

/* Cells of rows [first, first + n), which are in `csv`. */
typedef ml_status (*visitor)(importer *im, const ml__csv *csv, const ml__cell *cells, size_t first, size_t n);

static ml_status visit_file(importer *im, visitor visit)
{
    ml__csv_block block = {0};
    size_t row = 0, n_skipped = im->has_header;
    ml_status st = ML_OK;

    for (size_t k = 0; k < im->file->n_blocks; k++) {
        ML__TRY(ml__csv_file_read(im->file, k, &block));
        ML__TRY(
            visit(im, &block.csv, block.csv.cells + n_skipped * im->n_columns, row, block.csv.n_records - n_skipped));
        row += block.csv.n_records - n_skipped;
        n_skipped = 0;
    }
done:
    ml__csv_block_free(&block);
    return st;
}

static ml_status visit_rows(importer *im, visitor visit)
{
    return im->file ? visit_file(im, visit)
                    : visit(im, &im->csv, im->csv.cells + (im->has_header ? im->n_columns : 0), 0, im->n_rows);
}

/* ---- numbers ---- */

static ml_status place_values(importer *im)
{
    size_t n_cells, j = 0;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(im->n_rows, im->features.n_features, &n_cells), ML_E_MEMORY, "%s has too many cells",
              im->csv.name);
    if (!im->file)
        ML__TRY((im->x = ml__alloc_array(im->context, n_cells, sizeof *im->x)) ? ML_OK : ML_E_MEMORY);
    for (column *c = im->columns; c < im->columns + im->n_columns; c++) {
        c->stride = c->role == ML__CSV_FEATURE ? im->features.n_features : 1;
        if (c->role == ML__CSV_FEATURE)
            c->values = im->x ? im->x + j++ : NULL;
        else if (c->role != ML__CSV_IGNORED)
            ML__NEW(&im->scratch, c->values, im->n_rows);
    }
done:
    return st;
}

static void keep(column *c, size_t row, double value)
{
    if (isnan(value))
        c->may_miss = true;
    if (c->values)
        c->values[row * c->stride] = value;
}

/* In a column of numbers so far. */
static ml_status read_number(importer *im, column *c, const ml__csv *csv, const ml__cell *cell, size_t row)
{
    double value = NAN;
    ml_status st = ML_OK;

    if (!ml__csv_is_missing(im, cell))
        switch (ml__parse_real(cell->text, cell->length, &value)) {
        case ML__NUMBER_OK:
            c->n_numbers++;
            break;
        case ML__NUMBER_RANGE:
            if (!c->beyond)
                ML__TRY(ml__csv_mark_cell(im, csv, cell, &c->beyond));
            break;
        case ML__NUMBER_NONE:
            ML__TRY(ml__csv_mark_cell(im, csv, cell, &c->text));
            c->is_text = true;
            return ML_OK;
        }
    if (c == im->weight && !c->unfit && !(value >= 0))
        ML__TRY(ml__csv_mark_cell(im, csv, cell, &c->unfit));
    keep(c, row, value);
done:
    return st;
}

static ml_status read_numbers(importer *im, const ml__csv *csv, const ml__cell *cell, size_t first, size_t n)
{
    ml_status st = ML_OK;

    for (size_t row = first; row < first + n; row++)
        for (column *c = im->columns; c < im->columns + im->n_columns; c++, cell++)
            if (c->role != ML__CSV_IGNORED && !c->is_text)
                ML__TRY(read_number(im, c, csv, cell, row));
done:
    return st;
}

static ml_status check_range(const importer *im)
{
    for (const column *c = im->columns; c < im->columns + im->n_columns; c++)
        if (c->beyond && !c->is_text)
            return ml__csv_fail_cell(im, c, c->beyond, ML_E_DATA, "is beyond the range of numbers");
    return ML_OK;
}

/* ---- which outputs are labels ---- */

static bool wants_labels(const importer *im, const column *c, const ml__output *expected)
{
    if (expected)
        return expected->n_classes > 0;
    if (im->options.task != ML_TASK_DETECT)
        return im->options.task == ML_TASK_CLASSIFY;
    return c->is_text || (ml__are_whole(c->values, im->n_rows) && ml__are_few(c->values, im->n_rows));
}

/* ---- texts ---- */

/* Codes are the positions of names in a list; the first of equals. */
static ml_status give_codes(coding *made, char *const *names, size_t n)
{
    size_t word, n_before = 0;
    ml_status st = ML_OK;

    made->is_given = true;
    ML__NEW(made->words.arena, made->codes, n);
    for (size_t k = 0; k < n; k++) {
        ML__TRY(ml__words_add(&made->words, names[k], strlen(names[k]), &word));
        if (made->words.n > n_before)
            made->codes[n_before++] = (int32_t)k;
    }
done:
    return st;
}

/* `names` NULL: of the texts in the file, of which there may be so many. */
static ml_status begin_coding(importer *im, column *c, char *const *names, size_t n)
{
    ml_status st = ML_OK;

    ML__NEW(&im->arena, c->coding, 1);
    c->coding->words.arena = &im->arena;
    c->coding->most = n;
    c->may_miss = false;
    if (names)
        ML__TRY(give_codes(c->coding, names, n));
done:
    return st;
}

/* Columns of texts are those whose codes somebody wants; others are refused later. */
static ml_status begin_codings(importer *im, bool *any)
{
    size_t j = 0;
    ml_status st = ML_OK;

    for (column *c = im->columns; c < im->columns + im->n_columns; c++) {
        const ml__feature *expected = im->expected && c->role == ML__CSV_FEATURE ? &im->expected->features[j] : NULL;
        j += c->role == ML__CSV_FEATURE;
        if (c->role != ML__CSV_FEATURE || !c->is_text || (expected && !expected->n_categories))
            continue;
        ML__TRY(expected ? begin_coding(im, c, expected->categories, expected->n_categories)
                         : begin_coding(im, c, NULL, im->options.max_categories));
        *any = true;
    }
    for (size_t o = 0; o < im->n_outputs; o++) {
        column *c = &im->columns[im->outputs[o]];
        const ml__output *expected = ml__csv_expected_output(im, o);
        if (!wants_labels(im, c, expected) || (!expected && !c->is_text && ml__are_whole(c->values, im->n_rows)))
            continue;
        ML__TRY(expected ? begin_coding(im, c, expected->classes, expected->n_classes)
                         : begin_coding(im, c, NULL, ML_MAX_CLASSES));
        *any = true;
    }
done:
    return st;
}

static double code_of(const coding *of, const char *text, size_t length)
{
    const size_t word = ml__words_find(&of->words, text, length);
    return word < of->words.n ? of->codes[word] : NAN;
}

/* A label is looked for as it is written, then, when it is a whole number, by its digits. */
static double class_of(const coding *of, const ml__cell *cell)
{
    double code = code_of(of, cell->text, cell->length), value;
    char digits[ML__NUMBER_BYTES];

    if (isnan(code) && ml__parse_real(cell->text, cell->length, &value) == ML__NUMBER_OK && ml__is_whole(value))
        code = code_of(of, digits, ml__print_int((int64_t)value, digits));
    return code;
}

/* The word's number, which becomes a code when all words are known; NaN above the limit. */
static ml_status add_word(coding *to, const ml__cell *cell, double *number)
{
    size_t word = ml__words_find(&to->words, cell->text, cell->length);
    ml_status st = ML_OK;

    *number = NAN;
    if (word == to->words.n) {
        to->is_exceeded |= word == to->most;
        if (to->is_exceeded)
            return ML_OK;
        ML__TRY(ml__words_add(&to->words, cell->text, cell->length, &word));
    }
    *number = (double)word;
done:
    return st;
}

static ml_status read_text(importer *im, column *c, const ml__csv *csv, const ml__cell *cell, size_t row)
{
    double value = NAN;
    ml_status st = ML_OK;

    if (!ml__csv_is_missing(im, cell)) {
        if (!c->coding->is_given)
            ML__TRY(add_word(c->coding, cell, &value));
        else if (c->role == ML__CSV_OUTPUT)
            value = class_of(c->coding, cell);
        else
            value = code_of(c->coding, cell->text, cell->length);
        if (isnan(value) && c->n_unseen++ == 0)
            ML__TRY(ml__csv_mark_cell(im, csv, cell, &c->unfit));
    }
    keep(c, row, value);
done:
    return st;
}

static ml_status read_texts(importer *im, const ml__csv *csv, const ml__cell *cell, size_t first, size_t n)
{
    ml_status st = ML_OK;

    for (size_t row = first; row < first + n; row++)
        for (column *c = im->columns; c < im->columns + im->n_columns; c++, cell++)
            if (c->coding)
                ML__TRY(read_text(im, c, csv, cell, row));
done:
    return st;
}

static int compare_words(const void *source, size_t a, size_t b)
{
    const ml__cell *texts = source;
    return ml__cell_compare(&texts[a], &texts[b]);
}

/* Codes are ranks in byte order; the values that are kept get them in place of the words' numbers. */
static ml_status rank_words(importer *im, column *c)
{
    coding *to = c->coding;
    size_t *order, *scratch;
    ml_status st = ML_OK;

    ML__NEW(&im->arena, to->names, to->words.n);
    ML__NEW(&im->arena, to->codes, to->words.n);
    ML__NEW(&im->scratch, order, to->words.n);
    ML__NEW(&im->scratch, scratch, to->words.n);
    for (size_t k = 0; k < to->words.n; k++)
        order[k] = k;
    ml__distinct(to->words.texts, compare_words, order, to->words.n, scratch);
    for (size_t k = 0; k < to->words.n; k++) {
        to->codes[order[k]] = (int32_t)k;
        to->names[k] = (char *)to->words.texts[order[k]].text;
    }
    for (size_t i = 0; c->values && i < im->n_rows; i++) {
        double *value = &c->values[i * c->stride];
        if (!isnan(*value))
            *value = to->codes[(size_t)*value];
    }
done:
    return st;
}

static ml_status check_words(const coding *of)
{
    ml_status st = ML_OK;

    ML__CHECK(!of->is_exceeded, ML_E_LIMIT, "at least %zu distinct values, at most %zu are allowed", of->most + 1,
              of->most);
done:
    return st;
}

/* Numbers and then a text: more often a slip of the pen than a category. */
static void warn_of_mixture(const importer *im, const column *c)
{
    ml__log(im->context, ML_LOG_WARNING, "%s, column '%s' is categorical because of '%.*s' in line %zu, after %zu %s",
            im->csv.name, c->name, (int)c->text->shown.length, c->text->shown.text,
            ml__csv_line(&im->csv, c->text->place), c->n_numbers, c->n_numbers == 1 ? "number" : "numbers");
}

static ml_status finish_feature(importer *im, column *c, ml__feature *feature, const ml__feature *expected)
{
    ml_status st = ML_OK;

    if (c->n_numbers && c->text)
        warn_of_mixture(im, c);
    if (!c->is_text)
        return ML_OK;
    if (!c->coding)
        return ml__csv_fail_cell(im, c, c->text, ML_E_DATA, "is not a number, which the schema expects");
    if (expected) {
        feature->n_categories = expected->n_categories;
        feature->categories = expected->categories;
        if (c->n_unseen)
            ml__log(im->context, ML_LOG_WARNING,
                    "%s, column '%s': %zu cells have categories that the schema lacks; they are taken as missing",
                    im->csv.name, c->name, c->n_unseen);
        return ML_OK;
    }
    st = check_words(c->coding);
    if (st != ML_OK)
        return ml__csv_blame_column(im, c, st);
    ML__TRY(rank_words(im, c));
    feature->n_categories = c->coding->words.n;
    feature->categories = c->coding->names;
done:
    return st;
}

ml_status ml__csv_read_values(importer *im)
{
    bool any_text = false;
    size_t j = 0;
    ml_status st;

    ML__TRY(place_values(im));
    ML__TRY(visit_rows(im, read_numbers));
    ML__TRY(check_range(im));
    ML__TRY(begin_codings(im, &any_text));
    if (any_text)
        ML__TRY(visit_rows(im, read_texts));
    for (column *c = im->columns; c < im->columns + im->n_columns; c++)
        if (c->role == ML__CSV_FEATURE) {
            ML__TRY(finish_feature(im, c, &im->features.features[j], im->expected ? &im->expected->features[j] : NULL));
            j++;
        }
done:
    return st;
}

/* ---- one row again ---- */

static ml_status fail_changed(const importer *im, const ml__csv *csv, const ml__cell *cells, size_t c)
{
    return ml__fail(ML_E_IO, "%s, line %zu, column %zu ('%s'): the file has changed since it was opened", csv->name,
                    ml__csv_line(csv, ml__csv_place(csv, cells[c].text)), c + 1, im->columns[c].name);
}

ml_status ml__csv_read_features(const importer *im, const ml__csv *csv, const ml__cell *cells, double *out)
{
    for (size_t k = 0; k < im->n_columns; k++) {
        const column *c = &im->columns[k];
        bool may_miss = c->may_miss;
        double value = NAN;
        if (c->role != ML__CSV_FEATURE)
            continue;
        if (!ml__csv_is_missing(im, &cells[k])) {
            if (c->coding)
                value = code_of(c->coding, cells[k].text, cells[k].length);
            else if (ml__parse_real(cells[k].text, cells[k].length, &value) != ML__NUMBER_OK)
                value = NAN;
            may_miss &= c->coding && c->coding->is_given; /* only a schema may lack a text */
        }
        if (isnan(value) && !may_miss)
            return fail_changed(im, csv, cells, k);
        *out++ = value;
    }
    return ML_OK;
}

/* ---- outputs ---- */

static ml_status take_codes(const importer *im, const column *c, const ml__output *expected, ml__column *out)
{
    const ml__output *classes = expected;
    ml__output own = {0};
    ml_status st;

    if (expected && c->unfit)
        return ml__csv_fail_cell(im, c, c->unfit, ML_E_DATA, "is not a class of the schema");
    if (!expected) {
        own.n_classes = c->coding->words.n;
        own.classes = c->coding->names;
        classes = &own;
    }
    ML__TRY(ml__column_copy_classes(out, classes));
    for (size_t i = 0; i < im->n_rows; i++)
        out->codes[i] = isnan(c->values[i]) ? -1 : (int32_t)c->values[i];
done:
    return st;
}

static ml_status check_classes(const coding *of, const char *name)
{
    ml_status st = check_words(of);

    if (st != ML_OK)
        return ml__blame(st, "output '%s': ", name);
    ML__CHECK(of->words.n, ML_E_DATA, "output '%s' has no label at all", name);
done:
    return st;
}

static ml_status read_labels(importer *im, column *c, const ml__output *expected, ml__column *out)
{
    ml_status st;

    if (!c->coding) {
        st = ml__column_encode_wholes(out, c->values, im->n_rows);
        return st == ML_OK ? st : ml__csv_blame_column(im, c, st);
    }
    if (!expected) {
        st = check_classes(c->coding, c->name);
        if (st != ML_OK)
            return ml__csv_blame_column(im, c, st);
        ML__TRY(rank_words(im, c));
    }
    ML__TRY(take_codes(im, c, expected, out));
done:
    return st;
}

static ml_status read_reals(importer *im, const column *c, const ml__output *expected, ml__column *out)
{
    size_t n_missing = 0;
    ml_status st = ML_OK;

    if (c->is_text)
        return ml__csv_fail_cell(im, c, c->text, ML_E_DATA,
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

static ml_status add_output(importer *im, size_t o, ml_dataset *dataset)
{
    column *c = &im->columns[im->outputs[o]];
    const ml__output *expected = ml__csv_expected_output(im, o);
    const bool is_label = wants_labels(im, c, expected);
    ml__column made;
    ml_status st;

    ML__TRY(ml__column_init(&made, im->context, c->name, im->n_rows, is_label));
    if (is_label)
        ML__TRY(read_labels(im, c, expected, &made));
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
    ml_status st;

    if (c->is_text)
        return ml__csv_fail_cell(im, c, c->text, ML_E_DATA, "is not a number, but a weight");
    if (c->unfit)
        return ml__csv_fail_cell(im, c, c->unfit, ML_E_DATA,
                                 c->unfit->is_missing ? "is missing, but a weight" : "is negative, but a weight");
    st = ml_dataset_set_weights(dataset, c->values, im->n_rows);
    return st == ML_OK ? st : ml__csv_blame_column(im, c, st);
}

ml_status ml__csv_add_outputs(importer *im, ml_dataset *dataset)
{
    ml_status st = ML_OK;

    for (size_t o = 0; o < im->n_outputs; o++)
        ML__TRY(add_output(im, o, dataset));
    if (im->weight)
        ML__TRY(add_weights(im, dataset));
done:
    return st;
}
