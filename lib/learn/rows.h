/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows for learners that go over them in blocks: in memory, or read from a file, where no more than a block of them is in
 * memory at a time.
 */
#ifndef ML__LEARN_ROWS_H
#define ML__LEARN_ROWS_H

#include "model/model.h"

typedef struct ml__rows {
    size_t n, d;
    const double *X; /* n x d, or NULL: they are read from */
    const ml_dataset *data;
} ml__rows;

/* All rows of a fit: read when the dataset is streamed, else a matrix as ml__fit_matrix_f64() gives it. */
static inline ml_status ml__fit_rows(ml__fit *f, ml__rows *out)
{
    *out = (ml__rows){.n = f->n, .d = f->d, .data = f->data};
    return ml__dataset_is_streamed(f->data) ? ML_OK : ml__fit_matrix_f64(f, &out->X);
}

/* Weights of a fit, or NULL where all rows have 1: none are kept then. */
static inline ml_status ml__fit_rows_weights(ml__fit *f, const double **w)
{
    *w = NULL;
    if (!ml__dataset_has_weights(f->data))
        return ML_OK;
    *w = ml__fit_weights(f);
    return *w ? ML_OK : ML_E_MEMORY;
}

static inline double ml__weight_at(const double *w, size_t i)
{
    return w ? w[i] : 1;
}

/* Room for n rows at a time, of ml__alloc; none is needed, and *block NULL, where they are in memory. */
static inline ml_status ml__rows_room(const ml__rows *rows, ml_context *context, size_t n, double **block)
{
    *block = rows->X ? NULL : ml__alloc_array(context, rows->d, n * sizeof **block);
    return rows->X || *block ? ML_OK : ML_E_MEMORY;
}

/* Rows [first, first + n): where they lie, or read into the block. Any thread. */
static inline ml_status ml__rows_take(const ml__rows *rows, size_t first, size_t n, double *block, const double **out)
{
    *out = rows->X ? rows->X + first * rows->d : block;
    return rows->X ? ML_OK : ml__dataset_read(rows->data, first, n, ML_FLOAT64, block);
}

#endif
