/* SPDX-License-Identifier: Apache-2.0 */
/* How principal axes are found: eigenpairs of a scatter or Gram matrix, or from products with random directions. */
#ifndef ML__LEARN_PRINCIPAL_H
#define ML__LEARN_PRINCIPAL_H

#include "model/model.h"

/* Eigenpairs 0 .. count - 1 of the symmetric A[m x m], both triangles set: values descending,
 * vectors [count x m]. With `*leading` by subspace iteration, which pays for a few out of many, and A is left as it is where it
 * finds them; else *leading is false then, and all eigenvectors are the rows of A, values ascending. */
ml_status ml__principal_eigen(ml__arena *scratch, size_t m, size_t count, bool *leading, double *A, double *values,
                              double *vectors);
/* Rows V[k x d], k <= d, that are nearly orthogonal become orthonormal; those whose value is 0 are replaced. */
void ml__principal_orthonormalise(size_t d, size_t k, const double *values, double *V);

typedef struct ml__sketch {
    size_t n_oversamples, n_iter;
    uint64_t seed;
} ml__sketch;

/* The k <= min(n, d) largest of the eigenpairs of X'X, approximately: values descending, vectors [k x d], of some length.
 * X[n x d] is overwritten. The monitor may cancel. */
ml_status ml__principal_sketch(ml__fit *f, const ml__sketch *sketch, size_t n, size_t d, double *X, size_t k,
                               double *values, double *vectors);
/* The share of the squares of X[n x d] that orthonormal rows V[k x d] leave. X is overwritten. */
ml_status ml__principal_rest(ml__fit *f, size_t n, size_t d, double *X, size_t k, const double *V, double *share);

/* The likeliest number of components of n >= d rows with these variances [d], descending, the first positive. */
ml_status ml__principal_likeliest(ml__arena *scratch, size_t d, const double *variances, double n, size_t *k);

#endif
