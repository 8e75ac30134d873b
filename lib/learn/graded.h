/* SPDX-License-Identifier: Apache-2.0 */
/* Eigenpairs whose values span more digits than squares keep: by one-sided Jacobi rotations. */
#ifndef ML__LEARN_GRADED_H
#define ML__LEARN_GRADED_H

#include "base/memory.h"
#include "data/dataset.h"

/* Has a value lost half of its digits, or more, in a matrix of squares whose largest is this? */
static inline bool ml__is_spread(double largest, double value)
{
    return value < 1e-8 * largest;
}

/* A / 2^s with the largest element in [1/2, 1), or zeros; returns s. */
int ml__scale_down(size_t count, double *A);

/* Rows of A[m x n] are rotated among themselves until they are orthogonal, longest first: values [m] are their squared
 * lengths, which stand to the first as exactly as A lets them. Rows of C[m x p] are rotated alike; p = 0: none. */
void ml__graded_rows(size_t m, size_t n, double *A, size_t p, double *C, double *values);
/* All eigenpairs of the positive semi-definite S[d x d], which is overwritten: values [d] descending, orthonormal rows
 * vectors [d x d]. S_ij has an error of about eps sqrt(S_ii S_jj); doubt [d] is what that makes of each value. One that is
 * nothing else is 0. */
ml_status ml__graded_eigen(ml__arena *scratch, size_t d, double *S, double *values, double *vectors, double *doubt);
/* The same of the scatter matrix of the rows with positive w [n] about `mean`, from passes over them: V [d x d], orthonormal
 * rows near the eigenvectors, become these. Same bits for any number of threads. */
ml_status ml__graded_scatter(ml__arena *scratch, const ml_dataset *data, const double *w, const double *mean, double *V,
                             double *values);

#endif
