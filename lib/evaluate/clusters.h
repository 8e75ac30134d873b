/* SPDX-License-Identifier: Apache-2.0 */
/* Rows and their clusters, as the metrics of clusters read them. */
#ifndef ML__EVALUATE_CLUSTERS_H
#define ML__EVALUATE_CLUSTERS_H

#include "base/memory.h"

typedef struct ml__clusters {
    size_t n, d, K;  /* K: clusters with rows */
    const double *x; /* n x d: the rows as they came */
    double *mean;    /* d: half of their mean */
    double scale;    /* of halves of differences: a power of two that makes the largest from the mean about 2^480 */
    size_t *row;     /* n: rows by cluster */
    size_t *begin;   /* K + 1: first of a cluster in `row`; n */
} ml__clusters;

/* Feature j of row row[a] less that of row row[b], scaled: the difference of what came, whatever the other rows are. */
static inline double ml__clusters_difference(const ml__clusters *c, size_t a, size_t b, size_t j)
{
    return (0.5 * c->x[c->row[a] * c->d + j] - 0.5 * c->x[c->row[b] * c->d + j]) * c->scale;
}

/* The length of d such differences: those whose squares leave the range are scaled once more. */
double ml__clusters_length(const double *e, size_t d);

/* With the checks that all of these metrics make. */
ml_status ml__clusters_create(ml__arena *arena, const double *x, size_t n, size_t d, const double *labels,
                              size_t n_clusters, ml__clusters *out);

#endif
