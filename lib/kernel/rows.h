/* SPDX-License-Identifier: Apache-2.0 */
/* What the eigensolvers, factor.c and subspace.c, have in common: the scale of a matrix and the order of its eigenpairs. */
#ifndef ML__KERNEL_ROWS_H
#define ML__KERNEL_ROWS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* s with max |a_ij| in [2^(s-1), 2^s), 0 for a zero matrix; false when an element is not finite. Reads the lower triangle. */
static inline bool ml__find_exponent(size_t n, const double *A, size_t lda, int *s)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            if (!isfinite(A[i * lda + j]))
                return false;
            largest = fmax(largest, fabs(A[i * lda + j]));
        }
    frexp(largest, s);
    return true;
}

static inline void ml__swap_rows(size_t n, double *x, double *y)
{
    for (size_t j = 0; j < n; j++) {
        const double x_j = x[j];
        x[j] = y[j];
        y[j] = x_j;
    }
}

/* Eigenvalues and the rows of W[n x n] that belong to them, by selection: n exchanges of rows at most. */
static inline void ml__sort_pairs(size_t n, bool (*is_before)(double, double), double *values, double *W, size_t ldw)
{
    for (size_t i = 0; i < n; i++) {
        size_t first = i;

        for (size_t j = i + 1; j < n; j++)
            if (is_before(values[j], values[first]))
                first = j;
        if (first != i) {
            ml__swap_rows(1, values + i, values + first);
            ml__swap_rows(n, W + i * ldw, W + first * ldw);
        }
    }
}

#endif
