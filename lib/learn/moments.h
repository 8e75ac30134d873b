/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted means and sums of squared deviations of the columns of a matrix. */
#ifndef ML__LEARN_MOMENTS_H
#define ML__LEARN_MOMENTS_H

#include "base/context.h"
#include "base/memory.h"
#include "learn/rows.h"
#include "learn/window.h"

typedef struct ml__moments {
    size_t d;
    double *W, *mean, *M2; /* [d] each: sum of weights, mean, sum of weighted squared deviations from it */
    double *tail;          /* [d] what the mean lost when it was rounded to a double */
} ml__moments;

/* Moments of X [n x d], n >= 1, with row weights w [n], or NULL where all are 1. A NaN is left out of its column; a column
 * without any value of positive weight has W = mean = M2 = 0. The arrays are taken from `arena`. Same bits for any number
 * of threads. */
ml_status ml__moments_of(ml__arena *arena, const double *X, size_t n, size_t d, const double *w, ml__moments *out);
/* The same of rows that may be streamed. */
ml_status ml__moments_of_rows(ml__arena *arena, const ml__rows *rows, const double *w, ml__moments *out);
ml_status ml__moments_of_points(ml__arena *arena, const ml__points *points, ml__moments *out);

#endif
