/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies behind a dataset; for the files of this folder only.
 *
 * A table holds the matrix, the schema, outputs and weights. It is counted: an ml_dataset is a list of rows of a table,
 * and any number of them share one. Only a dataset that is alone with its table, and not a view, may change it.
 */
#ifndef ML__DATA_TABLE_H
#define ML__DATA_TABLE_H

#include <stdatomic.h>

#include "base/context.h"
#include "data/dataset.h"
#include "data/source.h"

enum { ML__MAX_NAME_BYTES = 255 };

/* One output: its meaning, and its values for all rows of the table. The arena owns everything else in here. */
typedef struct ml__column {
    ml__arena arena;
    ml__output output;
    int32_t *codes; /* labels, -1 missing; NULL for reals */
    double *values; /* reals, NaN missing; NULL for labels */
} ml__column;

typedef struct ml__table ml__table;

struct ml__table {
    ml_context *context;
    atomic_size_t n_references;
    size_t n_rows;
    ml__source *source; /* where rows are read from when they are not in memory: then x is NULL */
    const void *x;      /* row i, feature j is element i * row_stride + j * col_stride */
    ml_dtype dtype;
    size_t row_stride, col_stride;
    void *owned;       /* the matrix, unless it is borrowed */
    bool may_miss;     /* false: no cell is NaN */
    ml__arena arena;   /* schema.features and what they point to */
    ml__schema schema; /* outputs[o] is a copy of columns[o].output */
    ml__column *columns;
    double *weights;   /* n_rows, or NULL */
    ml__table *lender; /* whose columns and weights these are, held by a reference; NULL: the table's own */
};

struct ml_dataset {
    ml__table *table;
    bool is_view;
    bool has_own_weights; /* `weights` stands for those of the table, also when it is NULL: then there are none */
    bool is_borrowing;    /* `rows` and `weights` are another dataset's, which outlives this one */
    size_t n_rows;
    size_t *rows; /* of the table; NULL: all, in order */
    double *weights;
    const ml__watch *watch; /* of those who read it, or NULL */
};

/* The table's row behind row i of the dataset. */
static inline size_t ml__dataset_row_of(const ml_dataset *dataset, size_t i)
{
    return dataset->rows ? dataset->rows[i] : i;
}

/* ---- making datasets (dataset.c) ---- */

/* A dataset that takes over x, n_rows x features->n_features dense doubles from ml__alloc, also on failure. No cell is
 * infinite. Features are copied; features->features NULL: default names. */
ml_status ml__dataset_own(ml_context *context, double *x, size_t n_rows, const ml__schema *features, ml_dataset **out);
/* A view of `rows` (counted in rows of `dataset`, valid), which it takes over, also on failure. */
ml_status ml__dataset_view(const ml_dataset *dataset, size_t *rows, size_t n_rows, ml_dataset **out);
/* ml__dataset_select() for a dataset that is streamed (selection.c): so is the new one. `features` are those selected. */
ml_status ml__dataset_select_streamed(const ml_dataset *dataset, const int64_t *columns, const ml__schema *features,
                                      ml_dataset **out);
/* Outputs and weights of `from`, a table of as many rows, for one that has none yet: they are shared, not copied. */
ml_status ml__dataset_borrow_outputs(ml_dataset *dataset, ml__table *from);
/* ML_E_ARGUMENT, ML_E_STATE unless outputs, weights and names of this dataset may be set. */
ml_status ml__dataset_check_writable(const ml_dataset *dataset);
/* Weights of all rows: finite, >= 0, with a positive and finite sum. */
ml_status ml__check_weights(const double *weights, size_t n_rows);
/* Non-empty UTF-8 of at most ML__MAX_NAME_BYTES; `what` is for the message. */
ml_status ml__check_name(const char *what, const char *name);
/* Are two of the listed names equal? Sorts items; scratch has room for n. */
bool ml__find_equal(const char *const *names, size_t *items, size_t n, size_t *scratch, size_t *first, size_t *second);

/* A column with an arena of its own, cleared values and a copy of the name. */
ml_status ml__column_init(ml__column *column, ml_context *context, const char *name, size_t n_rows, bool is_label);
/* The class table of another output; the caller fills in the codes. */
ml_status ml__column_copy_classes(ml__column *column, const ml__output *from);
void ml__column_free(ml__column *column);
/* Append a column of n_rows values, or put it in place of all outputs; it is taken over, also on failure. */
ml_status ml__dataset_put(ml_dataset *dataset, ml__column *column, bool append);

/* ---- names (schema.c) ---- */

/* "x0", "x1", …: n names in the arena. */
ml_status ml__schema_default_features(ml__arena *arena, size_t n_features, ml__schema *schema);
/* All features have default names, ascending but perhaps with gaps. */
bool ml__schema_is_unnamed(const ml__schema *schema);
/* The part of ml__schema_match() that looks at number and names only. */
ml_status ml__schema_match_names(const ml__schema *expected, const ml__schema *data);

/* ---- distinct values (labels.c) ---- */

/* Order of items a and b of a source: negative, 0, positive. */
typedef int (*ml__compare)(const void *source, size_t a, size_t b);
/* Sort items and keep the first of equal ones; returns how many are left. scratch has room for n. */
size_t ml__distinct(const void *source, ml__compare compare, size_t *items, size_t n, size_t *scratch);
/* Position of the equal of `item` among n distinct items; n when there is none. */
size_t ml__rank(const void *source, ml__compare compare, const size_t *items, size_t n, size_t item);

/* Items that stand for classes: their order, which are missing, and the name of a class, from any of its items. */
typedef struct ml__labels {
    const void *source;
    ml__compare compare;
    bool (*is_missing)(const void *source, size_t i);
    char *(*name)(ml__arena *arena, const void *source, size_t i);
} ml__labels;

/* The class table of n items, into the arena: names in ascending order, and the code of each item (-1 missing). More than
 * `max` classes are ML_E_LIMIT. */
ml_status ml__encode(ml__arena *arena, const ml__labels *labels, size_t n, size_t max, int32_t *codes, char ***names,
                     size_t *n_names);
/* The same into a column that ml__column_init() made. */
ml_status ml__column_encode(ml__column *column, const ml__labels *labels, size_t n_rows);
/* The same of whole numbers (NaN missing), which are named by their digits. */
ml_status ml__column_encode_wholes(ml__column *column, const double *values, size_t n_rows);
/* Whole, and no larger than doubles count; all of them, NaN aside; and few enough distinct ones to be classes rather than a
 * quantity. */
bool ml__is_whole(double value);
bool ml__are_whole(const double *values, size_t n);
bool ml__are_few(const double *values, size_t n);

#endif
