/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random forest (Breiman 2001, "Random forests"): trees on bootstrap samples that look at a random part of the features
 * in each node; the prediction is the mean of the trees' class shares or values (see forest.c, grow.c and split.c).
 */
#include "learn/tree/tree.h"

typedef struct {
    ml__tree_params tree;
    int64_t n_estimators, bootstrap;
} params;

static const ml__param PARAMS[] = {
    ML__INT(params, n_estimators, "100", ML__RANGE(1, 1e6), "number of trees"),
    ML__BOOL(params, bootstrap, "true", "each tree sees a sample of as many rows, drawn with repetition; else all"),
    ML__TREE_PARAMS("auto", "all|sqrt|log2|auto", "255"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;

    return ml__trees_fit(f, &p->tree, (size_t)p->n_estimators, true, p->bootstrap);
}

const ml__kind ml__random_forest = {
    .name = "random_forest",
    .doc = "Random forest for labels or reals",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(params),
    .block_rows = ML__TREE_BLOCK_ROWS,
    .tensors = ml__trees_tensors,
    .fit = fit,
    .prepare = ml__trees_prepare,
    .proba = ml__trees_predict,
    .values = ml__trees_predict,
};
