/* SPDX-License-Identifier: Apache-2.0 */
/* Principal component analysis: what the kind (pca.c) and the ways to its axes (pca_axes.c) share. */
#ifndef ML__LEARN_PCA_H
#define ML__LEARN_PCA_H

#include "model/model.h"

typedef struct {
    ml__size n_components, iterated_power;
    int64_t whiten, svd_solver, n_oversamples, incremental, random_state;
} ml__pca_params;

enum { ML__PCA_AUTO, ML__PCA_FULL, ML__PCA_RANDOMIZED }; /* svd_solver */
enum { ML__PCA_ALL_COMPONENTS, ML__PCA_MLE_COMPONENTS }; /* choices of n_components */

/* What is known of the rows, and what comes of it. */
typedef struct {
    size_t d, r, k;     /* features; min(n, d); components */
    double n, W;        /* rows with weight, sum of weights */
    int unit;           /* of W and of S: 2^unit */
    const double *mean; /* d */
    double trace;       /* of S */
    size_t rank;        /* eigenvalues beyond are 0 */
    size_t count;       /* eigenpairs to find: k, or all r when a fraction is asked for */
    double *values;     /* descending; count of them, or all r when they are spread */
    double *vectors;    /* in rows, as many as values */
    bool is_spread;     /* they were found once more */
    bool is_sketch;     /* but no more than count of them, and what they leave */
    double beyond;
} ml__pca_axes;

static inline bool ml__pca_is_mle(const ml__size *n_components)
{
    return n_components->form == ML__SIZE_CHOICE && n_components->count == ML__PCA_MLE_COMPONENTS;
}

/* Is what is asked for found from products with a few random directions? They take a copy of the rows, as the Gram matrix
 * does and the scatter matrix does not. */
bool ml__pca_wants_sketch(const ml__pca_params *p, size_t n, size_t d);

/* k, values and vectors, from the rest, for which values and vectors have room for `count`. The monitor may cancel. */

/* From A = S, which is overwritten; where that has lost too much, from all rows of the fit with weights w, or when w is NULL from
 * S once more, here in the unit of the weights. */
ml_status ml__pca_of_scatter(ml__fit *f, const double *w, const double *S, double *A, ml__pca_axes *c);
/* From centred rows X[n x d]: by their Gram matrix, or approximately; X is overwritten then. */
ml_status ml__pca_of_gram(ml__fit *f, const double *X, ml__pca_axes *c);
ml_status ml__pca_of_sketch(ml__fit *f, double *X, ml__pca_axes *c);

/* What the values of the components leave of the trace. */
double ml__pca_rest(const ml__pca_axes *c);

#endif
