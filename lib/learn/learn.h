/* SPDX-License-Identifier: Apache-2.0 */
/* The learners: one ml__kind each. */
#ifndef ML__LEARN_LEARN_H
#define ML__LEARN_LEARN_H

#include "model/model.h"

extern const ml__kind ml__min_max_scaler, ml__max_abs_scaler, ml__robust_scaler, ml__quantile_transformer;
extern const ml__kind ml__ordinal_encoder, ml__polynomial_features;
extern const ml__kind ml__standard_scaler, ml__simple_imputer, ml__one_hot_encoder, ml__passthrough;
extern const ml__kind ml__decision_tree, ml__random_forest, ml__extra_trees, ml__adaboost;
extern const ml__kind ml__mlp, ml__autoencoder;
extern const ml__kind ml__gmm, ml__bayesian_gmm, ml__gmm_classifier, ml__kmeans_kind, ml__mini_batch_kmeans;
extern const ml__kind ml__pca;
extern const ml__kind ml__linear_regression, ml__logistic_regression;

#endif
