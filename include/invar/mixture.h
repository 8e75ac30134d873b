/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Mixtures of Gaussians (kinds "gmm" and "bayesian_gmm"): information criteria, samples, and the best number of components.
 *
 * Threads: a fitted model may be used by any number of threads at once.
 *
 * Far rows: squared distances beyond double count as the largest number. A row about 1e154 standard deviations or more away from
 * all components has the same log-density under each, so that its posteriors are 1 / n_components and its component is 0. A
 * "gmm_classifier" gives such a row the same probability of all classes that have rows, and predicts the first of these.
 */
#ifndef INVAR_MIXTURE_H
#define INVAR_MIXTURE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Bayesian information criterion of a fitted gmm on `data`: p ln n - 2 ln L, with p free parameters and, where rows have
 * weights, the sum of these for n. Less is better.
 *
 * @param out  the criterion; untouched on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_STATE (not fitted); ML_E_UNSUPPORTED (not a gmm); ML_E_NUMERIC (no finite number:
 *         rows too far away or too heavy); as ml_model_score_samples().
 * @since 0.1
 */
ML_API ml_status ml_mixture_bic(const ml_model *model, const ml_dataset *data, double *out);
/** The same for Akaike's information criterion, 2 p - 2 ln L. @since 0.1 */
ML_API ml_status ml_mixture_aic(const ml_model *model, const ml_dataset *data, double *out);

/**
 * Rows drawn from a fitted gmm or bayesian_gmm.
 *
 * @param seed        the same seed gives the same rows; row i does not depend on n_rows
 * @param out         n_rows x n_features, row-major
 * @param n           n_rows * n_features
 * @param components  NULL, or n_rows values: the component that each row is from
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_STATE (not fitted); ML_E_UNSUPPORTED (neither of them); ML_E_SHAPE (n: both numbers
 *         are named); ML_E_MEMORY. Nothing is written on failure. @since 0.1
 */
ML_API ml_status ml_mixture_sample(const ml_model *model, size_t n_rows, uint64_t seed, double *out, size_t n,
                                   int32_t *components);

/** Covariance types to choose from, added up. */
enum { ML_MIXTURE_FULL = 1, ML_MIXTURE_TIED = 2, ML_MIXTURE_DIAG = 4, ML_MIXTURE_SPHERICAL = 8 };
/** What is least for the best. */
enum { ML_MIXTURE_BIC = 0, ML_MIXTURE_AIC = 1 };

typedef struct ml_mixture_options {
    size_t struct_size;    /**< sizeof(ml_mixture_options) */
    size_t min_components; /**< 0: 1 */
    size_t max_components; /**< 0: 9 */
    uint32_t types;        /**< ML_MIXTURE_FULL | …; 0: all four */
    int32_t criterion;     /**< ML_MIXTURE_BIC or ML_MIXTURE_AIC */
    ml_monitor monitor;    /**< or NULL; sees the steps of every fit; whatever is not ML_MONITOR_CONTINUE cancels */
    void *monitor_user;
} ml_mixture_options;

/**
 * Number of components and covariance type with the best criterion, as mclust chooses them: a mixture is fitted for each.
 *
 * @param model    an unfitted or fitted gmm, which is not changed: its other parameters are used
 * @param options  NULL: 1 to 9 components, all four types, BIC
 * @param scores   NULL, or the table: a row of max_components - min_components + 1 criteria for each type asked for, in the
 *                 order of the constants; NaN where the data cannot train that mixture (fewer rows of positive weight than
 *                 components, missing entries with tied or spherical covariances, a covariance that is singular or, without
 *                 reg_covar, only rounding, a criterion that is no finite number)
 * @param n        size of `scores` in elements; 0 for NULL
 * @param best     the best mixture, fitted, in the context of `model`; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL; unknown type or criterion; max_components below min_components); ML_E_UNSUPPORTED (not
 *         a gmm); ML_E_SHAPE (n: both numbers are named); ML_E_NUMERIC (no mixture could be fitted); ML_E_PARAMETER (more
 *         components, of no more than there are rows, than parameter n_components may be; weights_init, means_init or
 *         precisions_init of another number of components or type); as ml_model_fit().
 *         Cost: a fit for each element of the table, up to as many components as there are rows. @since 0.1
 */
ML_API ml_status ml_mixture_select(const ml_model *model, const ml_dataset *data, const ml_mixture_options *options,
                                   double *scores, size_t n, ml_model **best);

#ifdef __cplusplus
}
#endif
#endif
