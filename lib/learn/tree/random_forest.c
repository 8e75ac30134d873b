/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random forest (Breiman 2001, "Random forests"): trees on bootstrap samples that look at a random part of the features
 * in each node; the prediction is the mean of the trees' class shares or values (see forest.c, grow.c and split.c).
 */
#include "learn/tree/tree.h"

static const ml__param PARAMS[] = {
    ML__FOREST_PARAMS("true", "255"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    return ml__forest_fit(f, false);
}

const ml__kind ml__random_forest = {
    .name = "random_forest",
    .doc = "Random forest for labels or reals",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(ml__forest_params),
    .block_rows = ML__TREE_BLOCK_ROWS,
    .tensors = ml__forest_tensors,
    .fit = fit,
    .check = ml__forest_check_params,
    .prepare = ml__trees_prepare,
    .proba = ml__trees_predict,
    .values = ml__trees_predict,
};
