/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdaBoost: what the files of this folder share.
 *
 *     adaboost.c   the kind: parameters and the loop over rounds
 *     coded.c      trees from byte codes that are made once, with weights that stay from round to round
 *     levels.c     such trees below the root
 *     votes.c      fitted models: validation and prediction
 *     steps.c      votes of stumps as step functions of the features
 */
#ifndef ML__LEARN_BOOST_BOOST_H
#define ML__LEARN_BOOST_BOOST_H

#include "learn/learn.h"

/* ---- steps.c ---- */

/*
 * Stumps on the same feature, together: their thresholds in ascending order, and between any two neighbours the sum of
 * the votes of all of them.
 */
typedef struct ml__steps {
    size_t d, K, n_used;
    const size_t *feature; /* [n_used] ascending */
    const size_t *begin;   /* [n_used + 1] thresholds of each feature */
    const float *threshold;
    const double
        *votes; /* [n_used features x (thresholds + 2) x K]: below the first, …, beyond the last, of a missing value */
    const double *always; /* [K] of stumps without a split */
} ml__steps;

/* votes [K]: what a leaf of member t with these shares of the classes says; sums of them are exact */
typedef void (*ml__leaf_votes)(const void *argument, size_t t, const double *share, double *votes);

/* *out stays NULL when not all members are trees of at most one split. */
ml_status ml__steps_make(ml__arena *arena, const ml__members *members, size_t d, size_t K, ml__leaf_votes leaf_votes,
                         const void *argument, ml__steps **out);
/* Votes of n rows. */
void ml__steps_votes(const ml__steps *steps, const float *x, size_t n, double *out);

/* ---- votes.c: of the kind ---- */

ml_status ml__boost_prepare(const ml_model *model, ml__learned *learned);
ml_status ml__boost_decision(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__boost_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
ml_status ml__boost_values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__boost_scratch(const ml_model *model, size_t n);
size_t ml__boost_n_stages(const ml_model *model);
ml_status ml__boost_staged(const ml_model *model, int32_t what, const ml__block *x, double *out, size_t stride,
                           ml__scratch scratch);

#endif
