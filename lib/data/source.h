/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that are not in memory: a table reads them from where they are, in blocks, by any number of threads at once. */
#ifndef ML__DATA_SOURCE_H
#define ML__DATA_SOURCE_H

#include "data/dataset.h"

typedef struct ml__source ml__source;

/* The first member of what a kind of source needs. No value that it gives is infinite. */
struct ml__source {
    /* Rows [first, first + n) of the table as dense row-major n x n_features of `dtype` (ML_FLOAT32 or ML_FLOAT64, through
     * ml__to_float). Thread-safe. ML_E_IO names file and row, also when the file has become shorter or has changed so
     * that it can no longer be understood. */
    ml_status (*read)(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out);
    void (*close)(ml__source *source); /* frees itself */
    /* ML_E_IO when what is read from has been written to since it was opened; NULL: that never happens. */
    ml_status (*unchanged)(ml__source *source);
};

/* A dataset of n_rows >= 1 rows that are read from a source, which it takes over, also on failure. `dtype` is the one
 * that holds the values exactly; may_miss is false when no cell is NaN. Features are copied; features->features NULL:
 * default names. */
ml_status ml__dataset_of_source(ml_context *context, ml__source *source, size_t n_rows, ml_dtype dtype, bool may_miss,
                                const ml__schema *features, ml_dataset **out);
/* The same rows, outputs and weights as `dataset` has, with features that are read from a source, which keeps the rows of
 * `dataset` alive. */
ml_status ml__dataset_with_source(const ml_dataset *dataset, ml__source *source, ml_dtype dtype, bool may_miss,
                                  const ml__schema *features, ml_dataset **out);

#endif
