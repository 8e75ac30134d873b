/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted mean and scatter matrix of the rows of a dataset, which may come in parts. */
#ifndef ML__LEARN_SCATTER_H
#define ML__LEARN_SCATTER_H

#include "base/memory.h"
#include "data/dataset.h"

typedef struct ml__scatter {
    size_t d;
    double n;     /* rows with positive weight */
    double W;     /* sum of weights */
    double *mean; /* [d] */
    double *tail; /* [d] what the mean lost when it was rounded to a double */
    double *S;    /* [d x d] sum of w (x - mean)(x - mean)', both triangles */
} ml__scatter;

/* Of all rows of `data`, n >= 1, with weights w [n], whose sum is positive. The arrays are taken from `arena`. Same bits for
 * any number of threads. ML_E_NUMERIC when a sum is not finite; ML_E_MEMORY. */
ml_status ml__scatter_of(ml__arena *arena, const ml_dataset *data, const double *w, ml__scatter *out);
/* S[d x d], both triangles, of rows y = V (x - mean), V [d x d]; `mean` is theirs. */
ml_status ml__scatter_along(ml_context *context, const ml_dataset *data, const double *w, const double *mean,
                            const double *V, double *S);
/* `a` becomes the scatter of the rows of both; b->tail is used up. */
void ml__scatter_merge(ml__scatter *a, ml__scatter *b);

#endif
