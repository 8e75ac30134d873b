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
    ml_monitor monitor; /**< or NULL; whatever is not ML_MONITOR_CONTINUE cancels */
    void *monitor_user;
} ml_cv_options;

/**
 * Score of a model on each of k folds, fitted anew on the others.
 *
 * @param model    only its kind, parameters, members and what it starts from are used; it is not changed
 * @param metric   as ml_model_score()
 * @param options  NULL: 5 folds, stratified for labels, seed 0, no monitor
 * @param scores   n values, in fold order; untouched on failure
 * @param n        the number of folds
 * @return as ml_model_fit() and ml_model_score(); ML_E_SHAPE (n is not n_folds). Cost: n_folds fits. @since 0.1
 */
ML_API ml_status ml_cross_validate(const ml_model *model, const ml_dataset *data, const char *metric,
                                   const ml_cv_options *options, double *scores, size_t n);

/**
 * Out-of-fold predictions: row i is predicted by the model fitted without i's fold.
 * @param what  ML_PREDICT (width n_outputs) or ML_PREDICT_PROBA (width the sum of n_classes)
 * @param out   n_rows x width, row-major; untouched on failure
 * @param n     n_rows * width
 * @return as ml_cross_validate(). Cost: n_folds fits. @since 0.1
 */
ML_API ml_status ml_cross_val_predict(const ml_model *model, const ml_dataset *data, int32_t what,
                                      const ml_cv_options *options, double *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
