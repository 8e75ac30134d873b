/* SPDX-License-Identifier: Apache-2.0 */
/* Cluster centres, and which of them is nearest: what kmeans and mini_batch_kmeans learn, and predict with. */
#ifndef ML__LEARN_CENTRES_H
#define ML__LEARN_CENTRES_H

#include "learn/lloyd.h"
#include "model/model.h"

typedef struct ml__centres {
    size_t k, d;
    double *C;         /* d x k: the centres side by side */
    double *mean;      /* d: of the centres */
    double *CT, *half; /* d x k, k: centres about their mean, half their squares */
    double longest;    /* of these */
} ml__centres;

/* Room for k centres of d features, which are set any number of times. */
ml_status ml__centres_create(ml__arena *arena, size_t k, size_t d, ml__centres *out);
void ml__centres_set(ml__centres *c, const double *centres); /* k x d */
/* The nearest centre of each of n rows, X [n x d]: that of the distances in double, ties to the lowest. */
ml_status ml__centres_nearest(const ml__centres *c, size_t n, const double *X, uint32_t *labels, ml__scratch scratch);
size_t ml__centres_nearest_scratch(size_t k, size_t d, size_t n);

/* ML_E_NUMERIC when `inertia` times unit² is no double; W is the weight of the n rows. */
ml_status ml__centres_inertia(const char *kind, double inertia, double unit, size_t n, double W, double *out);

/* For kinds with a tensor "cluster_centers": `prepare`, predictors, sizes; and what they may begin with. */
ml_status ml__centres_prepare(const ml_model *model, ml__learned *learned);
ml_status ml__centres_labels(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__centres_distances(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__centres_scores(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__centres_scratch(const ml_model *model, size_t n);
size_t ml__centres_width(const ml_model *model, int32_t what);
/* `from` is one of these kinds and has n_clusters centres. */
ml_status ml__centres_starts_from(const ml_model *model, const ml_model *from, int64_t n_clusters);
/* The centres a fit begins with, k x d, of another model or else `given` by the parameter centers_init; *out is NULL when there
 * are none. */
ml_status ml__centres_start(const ml__fit *f, const ml__reals *given, size_t k, const double **out);
#define ML__CENTRES_INIT_DOC                                                                                          \
    "starting centres, one after the other: n_clusters times as many numbers as features; empty: as init says. What " \
    "ml_model_start_from() gives goes before this, and has no limit of 1024 numbers"
/* ML_E_NUMERIC of a cloud whose rows are spread too widely: in which feature. */
ml_status ml__centres_blame_spread(const ml__fit *f, const ml__cloud *cloud);

#endif
