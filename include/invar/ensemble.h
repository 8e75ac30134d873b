/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Fusion by weighted averaging: ŷ = Σ w_m ŷ_m / Σ w_m over class probabilities or values.
 *
 * An ml_ensemble is an ml_model of kind "weighted_average" under a name of its own: ml_ensemble_model() gives the same
 * object, so everything a model can do (fit, predict, save, be a member) holds for it, and either free function ends it.
 */
#ifndef INVAR_ENSEMBLE_H
#define INVAR_ENSEMBLE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_ensemble ml_ensemble;

/**
 * An ensemble without members. Members whose weight is ML_AUTO_WEIGHT get it by cross-validation.
 * @param out  the new ensemble, see ml_ensemble_free(); NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (out is NULL); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_ensemble_create(ml_context *context, ml_ensemble **out);

/** Free it with its members, as ml_model_free(). NULL is allowed. @since 0.1 */
ML_API void ml_ensemble_free(ml_ensemble *ensemble);

/**
 * Add a member, which from then on belongs to the ensemble.
 *
 * @param weight  >= 0 and finite: fixed; ML_AUTO_WEIGHT: found by cross-validation. All members the same way.
 * @return as ml_model_add_member(); ML_E_ARGUMENT for any other weight. @since 0.1
 */
ML_API ml_status ml_ensemble_add(ml_ensemble *ensemble, const char *name, ml_model *member, double weight);

/** The same object seen as a model; NULL for NULL. @since 0.1 */
ML_API ml_model *ml_ensemble_model(ml_ensemble *ensemble);
/** And back: NULL when the model is not of kind "weighted_average". @since 0.1 */
ML_API ml_ensemble *ml_model_ensemble(ml_model *model);

/**
 * Weights of a fitted ensemble in member order: >= 0, sum 1.
 * @param n  number of members
 * @return ML_OK; ML_E_ARGUMENT; ML_E_STATE (not fitted); ML_E_SHAPE. @since 0.1
 */
ML_API ml_status ml_ensemble_weights(const ml_ensemble *ensemble, double *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
