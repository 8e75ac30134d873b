/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and their clusters, as the metrics of clusters read them. */
#ifndef ML__EVALUATE_CLUSTERS_H
#define ML__EVALUATE_CLUSTERS_H

#include "base/memory.h"

typedef struct ml__clusters {
    size_t n, d, K; /* K: clusters with rows */
    double *X;   /* n x d: the rows by cluster, about their mean, over a power of two that makes the largest about 1 */
    size_t *row; /* n: which row of the caller's it is */
    size_t *begin;  /* K + 1: first row of a cluster; n */
    double *centre; /* K x d */
} ml__clusters;

/* With the checks that all of these metrics make. */
ml_status ml__clusters_create(ml__arena *arena, const double *x, size_t n, size_t d, const double *labels,
                              size_t n_clusters, ml__clusters *out);

#endif
