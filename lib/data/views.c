/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: lists of rows of a table. A view of a view lists rows of the table again, so reading never goes through chains.
 *
 * Strata are the classes of the first output, and its missing labels as one more. Each is shuffled with a random stream
 * of its own, so one class does not move the rows of another.
 *   split  stratum k gives floor(n_test n_k / n) rows to the test part; the rows still lacking go to the strata with
 *          the largest remainders, ties to the lowest class (largest remainder method)
 *   fold   strata are dealt one after the other, row by row, to folds 0, 1, …: every class, and every fold's size, is
 *          even to within one row
 */
#include <math.h>
#include <string.h>

#include "base/processor.h"
#include "base/random.h"
#include "data/table.h"

/* ---- views of given rows ---- */

/* What the view needs of its own is gathered before it takes over `rows`. */
static ml_status fill_view(const ml_dataset *from, ml_dataset *view)
{
    ml_status st = ML_OK;

    view->is_view = true;
    view->watch = from->watch;
    view->has_own_weights = from->has_own_weights;
    if (from->weights) {
        view->weights = ml__alloc_array(from->table->context, view->n_rows, sizeof *view->weights);
        ML__TRY(view->weights ? ML_OK : ML_E_MEMORY);
        for (size_t i = 0; i < view->n_rows; i++)
            view->weights[i] = from->weights[view->rows[i]];
    }
    for (size_t i = 0; i < view->n_rows; i++)
        view->rows[i] = ml__dataset_row_of(from, view->rows[i]);
done:
    return st;
}

ml_status ml__dataset_view(const ml_dataset *dataset, size_t *rows, size_t n_rows, ml_dataset **out)
{
    ml_dataset *view = ml__alloc_array(dataset->table->context, 1, sizeof *view);
    ml_status st = view ? ML_OK : ML_E_MEMORY;

    *out = NULL;
    if (!view) {
        ml__free(rows);
        return st;
    }
    atomic_fetch_add(&dataset->table->n_references, 1);
    view->table = dataset->table;
    view->rows = rows;
    view->n_rows = n_rows;
    ML__TRY(fill_view(dataset, view));
    *out = view;
done:
    if (st != ML_OK)
        ml_dataset_free(view);
    return st;
}

ml_status ml_dataset_subset(const ml_dataset *dataset, const size_t *rows, size_t n_rows, ml_dataset **out)
{
    size_t *copy = NULL;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(dataset, ML_E_ARGUMENT, "dataset is NULL");
    ML__CHECK(rows, ML_E_ARGUMENT, "rows is NULL");
    ML__CHECK(n_rows, ML_E_DATA, "a subset needs at least 1 row");
    for (size_t i = 0; i < n_rows; i++)
        ML__CHECK(rows[i] < dataset->n_rows, ML_E_ARGUMENT, "rows[%zu] is %zu, the dataset has %zu rows", i, rows[i],
                  dataset->n_rows);
    copy = ml__alloc_array(dataset->table->context, n_rows, sizeof *copy);
    ML__TRY(copy ? ML_OK : ML_E_MEMORY);
    memcpy(copy, rows, n_rows * sizeof *copy);
    return ml__dataset_view(dataset, copy, n_rows, out);
done:
    return st;
}

/* A view of all rows, in order. */
static ml_status view_all(const ml_dataset *dataset, ml_dataset **out)
{
    size_t *rows = ml__alloc_array(dataset->table->context, dataset->n_rows, sizeof *rows);

    if (!rows)
        return ML_E_MEMORY;
    for (size_t i = 0; i < dataset->n_rows; i++)
        rows[i] = i;
    return ml__dataset_view(dataset, rows, dataset->n_rows, out);
}

ml_status ml__dataset_share(const ml_dataset *dataset, ml_dataset **out)
{
    ml_dataset *view;

    if (dataset->rows || dataset->has_own_weights)
        return view_all(dataset, out);
    view = ml__alloc_array(dataset->table->context, 1, sizeof *view);
    *out = view;
    if (!view)
        return ML_E_MEMORY;
    atomic_fetch_add(&dataset->table->n_references, 1);
    view->table = dataset->table;
    view->n_rows = dataset->n_rows;
    view->is_view = true;
    view->watch = dataset->watch;
    return ML_OK;
}

ml_status ml__dataset_watched(const ml_dataset *dataset, const ml__watch *watch, ml_dataset **out)
{
    ml_dataset *view;

    *out = NULL;
    if (!dataset->table->source || dataset->watch)
        return ML_OK;
    view = ml__alloc_array(dataset->table->context, 1, sizeof *view);
    if (!view)
        return ML_E_MEMORY;
    *view = *dataset;
    atomic_fetch_add(&view->table->n_references, 1);
    view->is_view = view->is_borrowing = true;
    view->watch = watch;
    *out = view;
    return ML_OK;
}

ml_status ml__dataset_reweight(const ml_dataset *dataset, const double *weights, ml_dataset **out)
{
    ml_dataset *view = NULL;
    double *copy = NULL;
    ml_status st;

    *out = NULL;
    if (weights) {
        copy = ml__alloc_array(dataset->table->context, dataset->n_rows, sizeof *copy);
        ML__TRY(copy ? ML_OK : ML_E_MEMORY);
        memcpy(copy, weights, dataset->n_rows * sizeof *copy);
    }
    ML__TRY(view_all(dataset, &view));
    ml__free(view->weights);
    view->weights = copy;
    view->has_own_weights = true;
    *out = view;
done:
    if (st != ML_OK)
        ml__free(copy);
    return st;
}

static bool has_output(const ml__column *column, size_t row)
{
    return column->codes ? column->codes[row] >= 0 : !isnan(column->values[row]);
}

/* Outputs that a row of the table has. */
static size_t count_outputs(const ml__table *table, size_t row)
{
    size_t n = 0;

    for (size_t o = 0; o < table->schema.n_outputs; o++)
        n += has_output(&table->columns[o], row);
    return n;
}

/* Rows with at least `least` outputs: a view, or NULL when these are all. `wanted` is for the message. */
static ml_status view_with_outputs(const ml_dataset *dataset, size_t least, const char *wanted, ml_dataset **out)
{
    size_t *rows = NULL, n = 0;
    ml_status st = ML_OK;

    *out = NULL;
    for (size_t i = 0; i < dataset->n_rows; i++)
        n += count_outputs(dataset->table, ml__dataset_row_of(dataset, i)) >= least;
    if (n == dataset->n_rows)
        return ML_OK;
    ML__CHECK(n, ML_E_DATA, "none of the %zu rows has a value for %s output", dataset->n_rows, wanted);
    rows = ml__alloc_array(dataset->table->context, n, sizeof *rows);
    ML__TRY(rows ? ML_OK : ML_E_MEMORY);
    n = 0;
    for (size_t i = 0; i < dataset->n_rows; i++)
        if (count_outputs(dataset->table, ml__dataset_row_of(dataset, i)) >= least)
            rows[n++] = i;
    return ml__dataset_view(dataset, rows, n, out);
done:
    return st;
}

ml_status ml__dataset_labelled(const ml_dataset *dataset, ml_dataset **out)
{
    return view_with_outputs(dataset, dataset->table->schema.n_outputs, "every", out);
}

ml_status ml__dataset_with_some_output(const ml_dataset *dataset, ml_dataset **out)
{
    return view_with_outputs(dataset, dataset->table->schema.n_outputs > 0, "any", out);
}

/* ---- the same rows with other features ---- */

/* Read at a time. */
enum { GATHERED_ROWS = 16 };

static ml_status gather_output(const ml_dataset *from, size_t o, ml_dataset *to)
{
    const ml__column *source = &from->table->columns[o];
    const size_t n_classes = source->output.n_classes;
    ml__column column;
    ml_status st;

    ML__TRY(ml__column_init(&column, from->table->context, source->output.name, from->n_rows, n_classes > 0));
    if (n_classes) {
        ML__TRY(ml__column_copy_classes(&column, &source->output));
        ml__dataset_read_labels(from, o, column.codes);
    } else {
        ml__dataset_read_targets(from, o, column.values);
    }
    return ml__dataset_put(to, &column, true);
done:
    ml__column_free(&column);
    return st;
}

/* Outputs and weights for a new dataset of as many rows, which is freed on failure. */
static ml_status complete(const ml_dataset *dataset, ml_dataset *made, ml_dataset **out)
{
    const size_t n = dataset->n_rows;
    ml_status st = ML_OK;

    for (size_t o = 0; o < ml_dataset_n_outputs(dataset); o++)
        ML__TRY(gather_output(dataset, o, made));
    if (ml__dataset_has_weights(dataset)) {
        made->table->weights = ml__alloc_array(dataset->table->context, n, sizeof *made->table->weights);
        ML__TRY(made->table->weights ? ML_OK : ML_E_MEMORY);
        ml__dataset_read_weights(dataset, made->table->weights);
    }
    *out = made;
done:
    if (st != ML_OK)
        ml_dataset_free(made);
    return st;
}

/* The same for rows that are read from a source: what a table has for all of its rows in order is shared, so that it is there
 * once however many datasets follow from each other. */
static ml_status complete_streamed(const ml_dataset *dataset, ml_dataset *made, ml_dataset **out)
{
    ml_status st;

    if (dataset->rows || dataset->has_own_weights)
        return complete(dataset, made, out);
    st = ml__dataset_borrow_outputs(made, dataset->table);
    if (st == ML_OK)
        *out = made;
    else
        ml_dataset_free(made);
    return st;
}

/* Takes over x, also on failure. */
static ml_status own_features(const ml_dataset *dataset, double *x, const ml__schema *features, ml_dataset **out)
{
    ml_dataset *made;
    const ml_status st = ml__dataset_own(dataset->table->context, x, dataset->n_rows, features, &made);

    return st == ML_OK ? complete(dataset, made, out) : st;
}

ml_status ml__dataset_with_source(const ml_dataset *dataset, ml__source *source, ml_dtype dtype, bool may_miss,
                                  const ml__schema *features, ml_dataset **out)
{
    ml_dataset *made;
    const ml_status st =
        ml__dataset_of_source(dataset->table->context, source, dataset->n_rows, dtype, may_miss, features, &made);

    *out = NULL;
    return st == ML_OK ? complete_streamed(dataset, made, out) : st;
}

/* Room for d features of all rows. */
static ml_status new_cells(const ml_dataset *dataset, size_t d, double **x)
{
    const size_t n = dataset->n_rows;
    size_t n_cells;
    ml_status st;

    ML__CHECK(ml__size_mul(n, d, &n_cells), ML_E_MEMORY, "%zu x %zu cells exceed the address space", n, d);
    *x = ml__alloc_array(dataset->table->context, n_cells, sizeof **x);
    st = *x ? ML_OK : ML_E_MEMORY;
done:
    return st;
}

ml_status ml__dataset_with_features(const ml_dataset *dataset, const double *x, const ml__schema *features,
                                    ml_dataset **out)
{
    double *copy = NULL;
    ml_status st;

    *out = NULL;
    ML__TRY(new_cells(dataset, features->n_features, &copy));
    memcpy(copy, x, dataset->n_rows * features->n_features * sizeof *copy);
    st = own_features(dataset, copy, features, out);
done:
    return st;
}

/* Columns of all rows, dense. */
static ml_status gather_columns(const ml_dataset *dataset, const int64_t *columns, size_t n, double *out)
{
    const size_t d = dataset->table->schema.n_features;
    double *rows = ml__alloc_array(dataset->table->context, d, GATHERED_ROWS * sizeof *rows);
    ml_status st = rows ? ML_OK : ML_E_MEMORY;

    for (size_t i = 0; i < dataset->n_rows && st == ML_OK; i += GATHERED_ROWS) {
        const size_t n_rows = dataset->n_rows - i < GATHERED_ROWS ? dataset->n_rows - i : GATHERED_ROWS;

        st = ml__dataset_read(dataset, i, n_rows, ML_FLOAT64, rows);
        for (size_t r = 0; r < n_rows && st == ML_OK; r++)
            for (size_t c = 0; c < n; c++)
                out[(i + r) * n + c] = rows[r * d + (size_t)columns[c]];
    }
    ml__free(rows);
    return st;
}

ml_status ml__dataset_select(const ml_dataset *dataset, const int64_t *columns, size_t n, ml_dataset **out)
{
    ml__arena arena;
    ml__schema features;
    double *x = NULL;
    ml_status st;

    *out = NULL;
    ml__arena_init(&arena, dataset->table->context);
    ML__TRY(ml__schema_select(&arena, &dataset->table->schema, columns, n, &features));
    if (dataset->table->source) {
        ML__TRY(ml__dataset_select_streamed(dataset, columns, &features, out));
        goto done;
    }
    ML__TRY(new_cells(dataset, n, &x));
    ML__TRY(gather_columns(dataset, columns, n, x));
    st = own_features(dataset, x, &features, out);
    x = NULL;
done:
    ml__free(x);
    ml__arena_free(&arena);
    return st;
}

/* ---- strata ---- */

/* All rows, stratum after stratum; stratum k is order[start[k]] … order[start[k + 1] - 1]. */
typedef struct strata {
    size_t n_strata;
    size_t *start, *order;
} strata;

static size_t stratum_of(const ml_dataset *dataset, size_t i, size_t n_strata)
{
    int32_t code;

    if (n_strata == 1)
        return 0;
    code = dataset->table->columns[0].codes[ml__dataset_row_of(dataset, i)];
    return code < 0 ? n_strata - 1 : (size_t)code;
}

/* n_strata is 1, or the number of classes and one more. */
static ml_status make_strata(ml__arena *arena, const ml_dataset *dataset, size_t n_strata, uint64_t seed, strata *s)
{
    size_t *next;
    ml_status st = ML_OK;

    s->n_strata = n_strata;
    ML__NEW(arena, s->order, dataset->n_rows);
    ML__NEW(arena, s->start, n_strata + 1);
    ML__NEW(arena, next, n_strata);
    for (size_t i = 0; i < dataset->n_rows; i++)
        s->start[stratum_of(dataset, i, n_strata) + 1]++;
    for (size_t k = 0; k < n_strata; k++) {
        next[k] = s->start[k];
        s->start[k + 1] += s->start[k];
    }
    for (size_t i = 0; i < dataset->n_rows; i++)
        s->order[next[stratum_of(dataset, i, n_strata)]++] = i;
    for (size_t k = 0; k < n_strata; k++) {
        ml__rng rng = ml__rng_make(seed, k);
        ml__rng_shuffle(&rng, s->order + s->start[k], s->start[k + 1] - s->start[k]);
    }
done:
    return st;
}

/* How many strata the flags ask for. */
static ml_status count_strata(const ml_dataset *dataset, uint32_t flags, size_t *n_strata)
{
    ml_status st = ML_OK;

    ML__CHECK(flags <= 3, ML_E_ARGUMENT, "flags is %u, expected ML_STRATIFY or ML_ORDERED", (unsigned)flags);
    ML__CHECK(flags != (ML_STRATIFY | ML_ORDERED), ML_E_ARGUMENT, "ML_STRATIFY and ML_ORDERED exclude each other");
    *n_strata = 1;
    if (!(flags & ML_STRATIFY))
        return ML_OK;
    ML__CHECK(ml_dataset_n_outputs(dataset), ML_E_DATA, "ML_STRATIFY needs labels, the dataset has no output");
    ML__CHECK(ml_dataset_n_classes(dataset, 0), ML_E_DATA, "ML_STRATIFY needs labels, output '%s' is real",
              ml_dataset_output_name(dataset, 0));
    *n_strata = ml_dataset_n_classes(dataset, 0) + 1;
done:
    return st;
}

/* ---- split and fold: mark the rows of the test part, then list both parts ---- */

static ml_status make_part(const ml_dataset *dataset, const bool *in_test, bool which, ml_dataset **out)
{
    size_t *rows, n = 0;

    for (size_t i = 0; i < dataset->n_rows; i++)
        n += in_test[i] == which;
    rows = ml__alloc_array(dataset->table->context, n, sizeof *rows);
    if (!rows)
        return ML_E_MEMORY;
    n = 0;
    for (size_t i = 0; i < dataset->n_rows; i++)
        if (in_test[i] == which)
            rows[n++] = i;
    return ml__dataset_view(dataset, rows, n, out);
}

static ml_status make_parts(const ml_dataset *dataset, const bool *in_test, ml_dataset **train, ml_dataset **test)
{
    ml_status st;

    ML__TRY(make_part(dataset, in_test, false, train));
    ML__TRY(make_part(dataset, in_test, true, test));
done:
    if (st != ML_OK) {
        ml_dataset_free(*train);
        *train = NULL;
    }
    return st;
}

static ml_status check_parts(const ml_dataset *dataset, ml_dataset **train, ml_dataset **test)
{
    ml_status st = ML_OK;

    if (train)
        *train = NULL;
    if (test)
        *test = NULL;
    ML__CHECK(train, ML_E_ARGUMENT, "train is NULL");
    ML__CHECK(test, ML_E_ARGUMENT, "test is NULL");
    ML__CHECK(train != test, ML_E_ARGUMENT, "train and test are the same pointer");
    ML__CHECK(dataset, ML_E_ARGUMENT, "dataset is NULL");
    ML__CHECK(dataset->n_rows >= 2, ML_E_DATA, "1 row cannot be divided in two parts");
done:
    return st;
}

/* Largest remainder first, then lowest class. */
static int compare_remainders(const void *remainders, size_t a, size_t b)
{
    const double *r = remainders;

    if (r[a] != r[b])
        return r[a] > r[b] ? -1 : 1;
    return (a > b) - (a < b);
}

/* Rows that each stratum gives to the test part. */
static ml_status allocate(ml__arena *arena, const strata *s, size_t n_rows, size_t n_test, size_t *quota)
{
    size_t *ranking, *scratch, n_left = n_test;
    double *remainder;
    ml_status st = ML_OK;

    ML__NEW(arena, ranking, s->n_strata);
    ML__NEW(arena, scratch, s->n_strata);
    ML__NEW(arena, remainder, s->n_strata);
    for (size_t k = 0; k < s->n_strata; k++) {
        const double share = (double)n_test / (double)n_rows * (double)(s->start[k + 1] - s->start[k]);
        quota[k] = (size_t)share;
        remainder[k] = share - (double)quota[k];
        n_left -= quota[k];
        ranking[k] = k;
    }
    ml__distinct(remainder, compare_remainders, ranking, s->n_strata, scratch);
    for (size_t k = 0; k < n_left; k++)
        quota[ranking[k]]++;
done:
    return st;
}

static ml_status check_strata(const ml_dataset *dataset, const strata *s)
{
    ml_status st = ML_OK;

    for (size_t k = 0; k + 1 < s->n_strata; k++)
        ML__CHECK(s->start[k + 1] - s->start[k] != 1, ML_E_DATA,
                  "class '%s' has 1 row, ML_STRATIFY needs 2 for two parts", ml_dataset_class_name(dataset, 0, k));
done:
    return st;
}

static ml_status mark_split(ml__arena *arena, const ml_dataset *dataset, size_t n_test, size_t n_strata, uint64_t seed,
                            bool *in_test)
{
    size_t *quota;
    strata s;
    ml_status st;

    ML__TRY(make_strata(arena, dataset, n_strata, seed, &s));
    ML__TRY(check_strata(dataset, &s));
    ML__NEW(arena, quota, n_strata);
    ML__TRY(allocate(arena, &s, dataset->n_rows, n_test, quota));
    for (size_t k = 0; k < n_strata; k++)
        for (size_t i = 0; i < quota[k]; i++)
            in_test[s.order[s.start[k] + i]] = true;
done:
    return st;
}

static size_t size_of_test(double test_size, size_t n_rows)
{
    const double wanted = round(test_size * (double)n_rows);

    if (wanted < 1)
        return 1;
    return wanted < (double)(n_rows - 1) ? (size_t)wanted : n_rows - 1;
}

ml_status ml_dataset_split(const ml_dataset *dataset, double test_size, uint64_t seed, uint32_t flags,
                           ml_dataset **train, ml_dataset **test)
{
    const ml__float_state host = ml__float_begin();
    ml__arena arena = {0};
    size_t n_strata, n_test;
    bool *in_test;
    ml_status st;

    ML__TRY(check_parts(dataset, train, test));
    ML__CHECK(test_size > 0 && test_size < 1, ML_E_ARGUMENT, "test_size is %g, expected a number between 0 and 1",
              test_size);
    ML__TRY(count_strata(dataset, flags, &n_strata));
    n_test = size_of_test(test_size, dataset->n_rows);

    ml__arena_init(&arena, dataset->table->context);
    ML__NEW(&arena, in_test, dataset->n_rows);
    if (flags & ML_ORDERED)
        memset(in_test + dataset->n_rows - n_test, true, n_test);
    else
        ML__TRY(mark_split(&arena, dataset, n_test, n_strata, seed, in_test));
    ML__TRY(make_parts(dataset, in_test, train, test));
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

/* Runs of rows; the first n mod n_folds of them have one row more. */
static void deal_in_order(size_t n_rows, size_t n_folds, uint32_t *fold_of_row)
{
    const size_t size = n_rows / n_folds, n_longer = n_rows % n_folds;
    size_t i = 0;

    for (size_t fold = 0; fold < n_folds; fold++)
        for (const size_t end = i + size + (fold < n_longer); i < end; i++)
            fold_of_row[i] = (uint32_t)fold;
}

ml_status ml__dataset_assign_folds(const ml_dataset *dataset, size_t n_folds, uint64_t seed, uint32_t flags,
                                   uint32_t *fold_of_row)
{
    ml__arena arena = {0};
    size_t n_strata;
    strata s;
    ml_status st;

    ML__CHECK(n_folds >= 2 && n_folds <= dataset->n_rows && n_folds <= UINT32_MAX, ML_E_ARGUMENT,
              "n_folds is %zu, expected 2 to %zu (the rows)", n_folds, dataset->n_rows);
    ML__TRY(count_strata(dataset, flags, &n_strata));
    if (flags & ML_ORDERED) {
        deal_in_order(dataset->n_rows, n_folds, fold_of_row);
        goto done;
    }
    ml__arena_init(&arena, dataset->table->context);
    ML__TRY(make_strata(&arena, dataset, n_strata, seed, &s));
    for (size_t i = 0; i < dataset->n_rows; i++)
        fold_of_row[s.order[i]] = (uint32_t)(i % n_folds);
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml_dataset_fold(const ml_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed, uint32_t flags,
                          ml_dataset **train, ml_dataset **test)
{
    ml__arena arena = {0};
    uint32_t *fold_of_row;
    bool *in_test;
    ml_status st;

    ML__TRY(check_parts(dataset, train, test));
    ml__arena_init(&arena, dataset->table->context);
    ML__NEW(&arena, fold_of_row, dataset->n_rows);
    ML__NEW(&arena, in_test, dataset->n_rows);
    ML__TRY(ml__dataset_assign_folds(dataset, n_folds, seed, flags, fold_of_row));
    ML__CHECK(fold < n_folds, ML_E_ARGUMENT, "fold is %zu, expected 0 to %zu", fold, n_folds - 1);
    for (size_t i = 0; i < dataset->n_rows; i++)
        in_test[i] = fold_of_row[i] == fold;
    ML__TRY(make_parts(dataset, in_test, train, test));
done:
    ml__arena_free(&arena);
    return st;
}
