/* SPDX-License-Identifier: Apache-2.0 */
/* k-means over rows: k-means++ starts and Lloyd's iteration. Distances lose no digits when columns have means near 0. */
#ifndef ML__LEARN_KMEANS_H
#define ML__LEARN_KMEANS_H

#include "base/context.h"
#include "base/random.h"
#include "learn/window.h"

typedef struct ml__kmeans {
    size_t k;
    size_t max_iter;
    double tol; /* of the squared movement of all centres, times the mean variance of the features */
    /* out */
    double *centres;  /* k x d; on entry the start */
    uint32_t *labels; /* n */
    double inertia;   /* Σ w |x - centre|² */
    size_t n_iter;
    bool converged;
} ml__kmeans;

/* A row drawn with probability ∝ w_i mass_i (mass NULL: ∝ w_i), whose sum is `total` up to rounding; some of it is > 0. */
size_t ml__points_draw(const ml__points *points, const double *mass, double total, ml__rng *rng);

/* Rows of k starting centres by k-means++ with 2 + ln k trials per centre; n >= 1, repeats only when all distinct points
 * are taken. ML_E_MEMORY; ML_E_NUMERIC when a distance is not finite; ML_E_IO of
 * streamed rows. */
ml_status ml__kmeans_plus_plus(ml_context *context, const ml__points *points, size_t k, ml__rng *rng, size_t *rows);

/* Lloyd's iteration from model->centres. The same failures. */
ml_status ml__kmeans_lloyd(ml_context *context, const ml__points *points, ml__kmeans *model);

#endif
