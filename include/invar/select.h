/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Model selection: k-fold cross-validation of any model.
 */
#ifndef INVAR_SELECT_H
#define INVAR_SELECT_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_cv_options {
    size_t struct_size; /**< sizeof(ml_cv_options) */
    size_t n_folds;     /**< 2 or more; 0: 5 */
    uint64_t seed;      /**< of the shuffle */
    uint32_t flags;     /**< ML_STRATIFY | ML_ORDERED; labels are stratified by default when flags is 0 */
    ml_monitor monitor; /**< or NULL */
    void *monitor_user;
} ml_cv_options;

/**
 * Score of a model on each of k folds, fitted anew on the others.
 *
 * @param model    only its kind, parameters and members are used; it is not changed
 * @param metric   as ml_model_score()
 * @param scores   n_folds values, in fold order
 * @return as ml_model_fit() and ml_model_score(); ML_E_SHAPE (n is not n_folds). Cost: n_folds fits. @since 0.1
 */
ML_API ml_status ml_cross_validate(const ml_model *model, const ml_dataset *data, const char *metric,
                                   const ml_cv_options *options, double *scores, size_t n);

/**
 * Out-of-fold predictions: row i is predicted by the model fitted without i's fold.
 * @param what  ML_PREDICT or ML_PREDICT_PROBA; out is n_rows x width, n its number of elements. @since 0.1
 */
ML_API ml_status ml_cross_val_predict(const ml_model *model, const ml_dataset *data, int32_t what,
                                      const ml_cv_options *options, double *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
