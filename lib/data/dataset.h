/* SPDX-License-Identifier: Apache-2.0 */
/* Datasets as the rest of the library reads them: a schema, rows in the wanted precision, outputs, weights. */
#ifndef ML__DATA_DATASET_H
#define ML__DATA_DATASET_H

#include <float.h>
#include <invar/dataset.h>

#include "base/memory.h"

typedef struct ml__feature {
    char *name;
    size_t n_categories; /* 0: numeric */
    char **categories;   /* ascending in byte order unless given otherwise */
} ml__feature;

typedef struct ml__output {
    char *name;
    size_t n_classes; /* 0: reals */
    char **classes;
} ml__output;

/* What the columns mean; shared shape of datasets and fitted models. */
typedef struct ml__schema {
    size_t n_features, n_outputs;
    ml__feature *features; /* n_features */
    ml__output *outputs;   /* n_outputs */
} ml__schema;

/* Deep copy into an arena. */
ml_status ml__schema_copy(ml__arena *arena, const ml__schema *from, ml__schema *to);
/* Features columns[0], ..., columns[n - 1] of another schema, in this order and without outputs; names and categories stay
 * those of `from`. */
ml_status ml__schema_select(ml__arena *arena, const ml__schema *from, const int64_t *columns, size_t n, ml__schema *to);
size_t ml__schema_width(const ml__schema *schema);  /* sum of n_classes over the outputs */
bool ml__schema_is_mixed(const ml__schema *schema); /* some outputs are labels, others reals */
/* Features of `data` can be used where `expected` was learned: same number (ML_E_SHAPE), names and categories
 * (ML_E_DATA); default names "x0", "x1", … on either side match anything. */
ml_status ml__schema_match(const ml__schema *expected, const ml__schema *data);

/* The same outputs: number and classes in order (ML_E_SHAPE), names of the classes (ML_E_DATA). */
ml_status ml__schema_match_outputs(const ml__schema *expected, const ml__schema *data);

const ml__schema *ml__dataset_schema(const ml_dataset *dataset);
ml_context *ml__dataset_context(const ml_dataset *dataset);

/* Nearest float; what lies beyond its range becomes the largest one, so that no finite value turns infinite. */
static inline float ml__to_float(double value)
{
    return value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : (float)value;
}

/* Bytes of an element; 0 for what is no dtype. */
static inline size_t ml__dtype_size(ml_dtype dtype)
{
    switch (dtype) {
    case ML_FLOAT32:
    case ML_INT32:
        return 4;
    case ML_FLOAT64:
    case ML_INT64:
        return 8;
    case ML_UINT8:
        return 1;
    default:
        return 0;
    }
}

/* The rows are not in memory but are read from a file, in blocks. */
bool ml__dataset_is_streamed(const ml_dataset *dataset);
/* The dtype that holds all features exactly. */
ml_dtype ml__dataset_dtype(const ml_dataset *dataset);
/* Rows [first, first + n) as dense row-major n x d of `dtype` (ML_FLOAT32 or ML_FLOAT64, through ml__to_float). ML_E_IO from
 * streamed rows only. */
ml_status ml__dataset_read(const ml_dataset *dataset, size_t first, size_t n, ml_dtype dtype, void *out);
/* ML_E_IO when the file that rows are read from has another size or was written to since it was opened: asked before and after
 * all of them are gone over, as reading alone may not tell. */
ml_status ml__dataset_unchanged(const ml_dataset *dataset);
/* The whole matrix when it is in memory, already dense row-major of that dtype, and the rows are in order; else NULL. */
const void *ml__dataset_dense(const ml_dataset *dataset, ml_dtype dtype);
/* Is a cell missing, and which is the first? */
ml_status ml__dataset_find_missing(const ml_dataset *dataset, bool *found, size_t *row, size_t *feature);

/* All n_rows class indices (-1 missing) of a label output, or values (NaN missing) of a real one. */
void ml__dataset_read_labels(const ml_dataset *dataset, size_t output, int32_t *out);
void ml__dataset_read_targets(const ml_dataset *dataset, size_t output, double *out);
bool ml__dataset_has_weights(const ml_dataset *dataset);
void ml__dataset_read_weights(const ml_dataset *dataset, double *out); /* 1 when there are none */

/* Called before rows are read from a file, on the thread that reads; what is not ML_OK is what the reading ends with. */
typedef struct ml__watch {
    ml_status (*look)(void *argument);
    void *argument;
} ml__watch;

/* A view of streamed rows that is watched, as are views of it and what reads through them; NULL where rows are in memory or
 * watched already. `dataset` and `watch` outlive it. */
ml_status ml__dataset_watched(const ml_dataset *dataset, const ml__watch *watch, ml_dataset **out);
/* A view of the same rows, for what must keep them. */
ml_status ml__dataset_share(const ml_dataset *dataset, ml_dataset **out);
/* A view of the same rows with other weights (n_rows, copied; NULL: none). */
ml_status ml__dataset_reweight(const ml_dataset *dataset, const double *weights, ml_dataset **out);
/* The same rows, outputs and weights with other features: x is n_rows x schema->n_features doubles, copied; outputs of
 * `features` are ignored. */
ml_status ml__dataset_with_features(const ml_dataset *dataset, const double *x, const ml__schema *features,
                                    ml_dataset **out);
/* The same rows, outputs and weights with these features of the dataset alone, in this order, which keep their names and
 * categories. The columns are copied, unless they are streamed: then they still are. */
ml_status ml__dataset_select(const ml_dataset *dataset, const int64_t *columns, size_t n, ml_dataset **out);
/* The fold of each row, 0 .. n_folds-1: what ml_dataset_fold() is made of, with its checks. */
ml_status ml__dataset_assign_folds(const ml_dataset *dataset, size_t n_folds, uint64_t seed, uint32_t flags,
                                   uint32_t *fold_of_row);
/* The rows that have every output; `dataset` itself is not changed. *out is a view, or NULL when no row lacks one. */
ml_status ml__dataset_labelled(const ml_dataset *dataset, ml_dataset **out);
/* The same for the rows that have at least one output; all of them where there are no outputs. */
ml_status ml__dataset_with_some_output(const ml_dataset *dataset, ml_dataset **out);

#endif
