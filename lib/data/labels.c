/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Class tables: from labels to the ascending list of distinct ones, and the position of each label in it.
 *
 * Distinct values come from a merge sort that drops equals while merging: n items of k kinds take O(n log k) comparisons,
 * memory does not depend on how large a label is, and there is no hash that a hostile table could collide.
 */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "data/table.h"

/* Merge the distinct items a and b into `out`; returns how many there are. */
static size_t merge(const void *source, ml__compare compare, const size_t *a, size_t n_a, const size_t *b, size_t n_b,
                    size_t *out)
{
    size_t i = 0, k = 0, n = 0;

    while (i < n_a && k < n_b) {
        const int order = compare(source, a[i], b[k]);
        out[n++] = order <= 0 ? a[i] : b[k];
        i += order <= 0;
        k += order >= 0;
    }
    while (i < n_a)
        out[n++] = a[i++];
    while (k < n_b)
        out[n++] = b[k++];
    return n;
}

/* Recursion as deep as log2(n). */
size_t ml__distinct(const void *source, ml__compare compare, size_t *items, size_t n, size_t *scratch)
{
    const size_t half = n / 2;
    size_t n_left, n_right;

    if (n < 2)
        return n;
    n_left = ml__distinct(source, compare, items, half, scratch);
    n_right = ml__distinct(source, compare, items + half, n - half, scratch);
    n = merge(source, compare, items, n_left, items + half, n_right, scratch);
    memcpy(items, scratch, n * sizeof *items);
    return n;
}

size_t ml__rank(const void *source, ml__compare compare, const size_t *items, size_t n, size_t item)
{
    size_t low = 0, high = n;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(source, item, items[middle]);
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return n;
}

/* ---- class tables ---- */

/* Items are looked through in parts of at least so many. */
enum { FEWEST_ITEMS = 4096 };

/* Distinct items, ascending: the first n of `list`, which has room for `capacity` and as many again for merging. */
typedef struct distinct {
    size_t *list, n, capacity;
} distinct;

static ml_status make_room(ml_context *context, distinct *d, size_t capacity)
{
    size_t *larger = ml__alloc_array(context, capacity, 2 * sizeof *larger);

    if (!larger)
        return ML_E_MEMORY;
    if (d->n)
        memcpy(larger, d->list, d->n * sizeof *larger);
    ml__free(d->list);
    d->list = larger;
    d->capacity = capacity;
    return ML_OK;
}

/* Part after part, each at least as long as what is known already: memory goes with the number of distinct items. */
static ml_status find_distinct(ml_context *context, const ml__labels *labels, size_t n, distinct *d)
{
    const void *source = labels->source;
    ml_status st;

    ML__TRY(make_room(context, d, n < FEWEST_ITEMS ? n : FEWEST_ITEMS));
    for (size_t i = 0; i < n;) {
        size_t *part, *scratch, n_part = 0;
        if (d->n > d->capacity / 2)
            ML__TRY(make_room(context, d, 2 * d->capacity));
        part = d->list + d->n;
        scratch = d->list + d->capacity;
        for (; i < n && d->n + n_part < d->capacity; i++)
            if (!labels->is_missing(source, i))
                part[n_part++] = i;
        n_part = ml__distinct(source, labels->compare, part, n_part, scratch);
        d->n = merge(source, labels->compare, d->list, d->n, part, n_part, scratch);
        memcpy(d->list, scratch, d->n * sizeof *scratch);
    }
done:
    return st;
}

ml_status ml__encode(ml__arena *arena, const ml__labels *labels, size_t n, size_t max, int32_t *codes, char ***names,
                     size_t *n_names)
{
    const void *source = labels->source;
    distinct d = {0};
    ml_status st;

    ML__TRY(find_distinct(arena->context, labels, n, &d));
    ML__CHECK(d.n <= max, ML_E_LIMIT, "%zu distinct values, at most %zu are allowed", d.n, max);
    *n_names = d.n;
    ML__NEW(arena, *names, d.n);
    for (size_t k = 0; k < d.n; k++) {
        (*names)[k] = labels->name(arena, source, d.list[k]);
        ML__TRY((*names)[k] ? ML_OK : ML_E_MEMORY);
    }
    for (size_t i = 0; i < n; i++)
        codes[i] = labels->is_missing(source, i) ? -1 : (int32_t)ml__rank(source, labels->compare, d.list, d.n, i);
done:
    ml__free(d.list);
    return st;
}

ml_status ml__column_encode(ml__column *column, const ml__labels *labels, size_t n_rows)
{
    ml__output *output = &column->output;
    ml_status st;

    st =
        ml__encode(&column->arena, labels, n_rows, ML_MAX_CLASSES, column->codes, &output->classes, &output->n_classes);
    if (st != ML_OK)
        return ml__blame(st, "output '%s': ", output->name);
    ML__CHECK(output->n_classes, ML_E_DATA, "output '%s' has no label at all", output->name);
done:
    return st;
}

static ml_status check_labels(const ml_dataset *dataset, const void *labels, size_t n_rows)
{
    ml_status st;

    ML__TRY(ml__dataset_check_writable(dataset));
    ML__CHECK(labels, ML_E_ARGUMENT, "labels is NULL");
    ML__CHECK(n_rows == ml_dataset_n_rows(dataset), ML_E_SHAPE, "%zu labels for %zu rows", n_rows,
              ml_dataset_n_rows(dataset));
done:
    return st;
}

static ml_status put(ml_dataset *dataset, const char *name, const ml__labels *labels, size_t n_rows, bool append)
{
    ml__column column;
    ml_status st;

    ML__TRY(ml__column_init(&column, ml__dataset_context(dataset), name ? name : "y", n_rows, true));
    ML__TRY(ml__column_encode(&column, labels, n_rows));
    return ml__dataset_put(dataset, &column, append);
done:
    ml__column_free(&column);
    return st;
}

/* ---- reals that may be labels ---- */

/* A target of more distinct whole numbers than these is a quantity, not a label. */
enum { MAX_DETECTED_CLASSES = 20 };

/* 2^53: beyond it every double is whole, and several texts stand for one. */
static const double MAX_WHOLE = 9007199254740992.0;

bool ml__is_whole(double value)
{
    return fabs(value) <= MAX_WHOLE && value == floor(value);
}

bool ml__are_whole(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i]) && !ml__is_whole(values[i]))
            return false;
    return true;
}

bool ml__are_few(const double *values, size_t n)
{
    double seen[MAX_DETECTED_CLASSES];
    size_t n_seen = 0;

    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < n_seen && seen[k] != values[i])
            k++;
        if (isnan(values[i]) || k < n_seen)
            continue;
        if (n_seen == MAX_DETECTED_CLASSES)
            return false;
        seen[n_seen++] = values[i];
    }
    return true;
}

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

ml_status ml__column_encode_wholes(ml__column *column, const double *values, size_t n_rows)
{
    const ml__labels wholes = {values, compare_wholes, is_missing_whole, whole_digits};

    return ml__column_encode(column, &wholes, n_rows);
}

/* ---- whole numbers ---- */

typedef struct integers {
    const int64_t *values;
    int64_t missing;
} integers;

static int compare_integers(const void *source, size_t a, size_t b)
{
    const int64_t *v = ((const integers *)source)->values;
    return (v[a] > v[b]) - (v[a] < v[b]);
}

static bool is_missing_integer(const void *source, size_t i)
{
    const integers *s = source;
    return s->values[i] == s->missing;
}

static char *digits(ml__arena *arena, const void *source, size_t i)
{
    char text[ML__NUMBER_BYTES];
    const size_t n = ml__print_int(((const integers *)source)->values[i], text);

    return ml__arena_text_n(arena, text, n);
}

static ml_status put_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                            int64_t missing, bool append)
{
    const integers source = {labels, missing};
    const ml__labels made = {&source, compare_integers, is_missing_integer, digits};
    ml_status st;

    ML__TRY(check_labels(dataset, labels, n_rows));
    ML__TRY(put(dataset, name, &made, n_rows, append));
done:
    return st;
}

ml_status ml_dataset_set_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                int64_t missing)
{
    return put_labels(dataset, name, labels, n_rows, missing, false);
}

ml_status ml_dataset_add_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                int64_t missing)
{
    return put_labels(dataset, name, labels, n_rows, missing, true);
}

/* ---- texts ---- */

static int compare_texts(const void *source, size_t a, size_t b)
{
    const char *const *texts = source;
    return strcmp(texts[a], texts[b]);
}

static bool is_missing_text(const void *source, size_t i)
{
    return !((const char *const *)source)[i];
}

static char *copy_text(ml__arena *arena, const void *source, size_t i)
{
    return ml__arena_text(arena, ((const char *const *)source)[i]);
}

static ml_status put_label_names(ml_dataset *dataset, const char *name, const char *const *labels, size_t n_rows,
                                 bool append)
{
    const ml__labels made = {labels, compare_texts, is_missing_text, copy_text};
    ml_status st;

    ML__TRY(check_labels(dataset, labels, n_rows));
    for (size_t i = 0; i < n_rows; i++) {
        if (!labels[i])
            continue;
        ML__CHECK(labels[i][0], ML_E_DATA, "the label of row %zu is empty: NULL means missing", i);
        ML__CHECK(ml__utf8_valid(labels[i], strlen(labels[i])), ML_E_DATA,
                  "the label '%s' of row %zu is not valid UTF-8", labels[i], i);
    }
    ML__TRY(put(dataset, name, &made, n_rows, append));
done:
    return st;
}

ml_status ml_dataset_set_label_names(ml_dataset *dataset, const char *name, const char *const *labels, size_t n_rows)
{
    return put_label_names(dataset, name, labels, n_rows, false);
}

ml_status ml_dataset_add_label_names(ml_dataset *dataset, const char *name, const char *const *labels, size_t n_rows)
{
    return put_label_names(dataset, name, labels, n_rows, true);
}
