/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extremely randomised trees (Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees"): as a random forest, but of each
 * feature that a node looks at one threshold is tried, drawn between its least and largest value in the node, or one cut of
 * its categories in a drawn order, and trees see all rows unless bootstrap is set (see forest.c, grow.c and split.c).
 */
#include "learn/tree/tree.h"

static const ml__param PARAMS[] = {
    ML__FOREST_PARAMS("false", "255"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    return ml__forest_fit(f, true);
}

const ml__kind ml__extra_trees = {
    .name = "extra_trees",
    .doc = "Extremely randomised trees for labels or reals",
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
