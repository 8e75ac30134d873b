/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decision tree: a forest of one tree that sees every row (see grow.c and split.c). Values are compared in single
 * precision, as scikit-learn does.
 */
#include "learn/tree/tree.h"

static const ml__param PARAMS[] = {
    ML__TREE_PARAMS("all", "all|sqrt|log2", "0"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    return ml__trees_fit(f, f->params, 1, false, false);
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const uint64_t n_offsets = ml__learned_find(learned, "trees.offset")->shape[0];

    if (n_offsets != 2)
        return ml__fail(ML_E_FORMAT, "tensor 'trees.offset' has %llu elements, a decision_tree has 2",
                        (unsigned long long)n_offsets);
    return ml__trees_prepare(model, learned);
}

const ml__kind ml__decision_tree = {
    .name = "decision_tree",
    .doc = "Decision tree for labels or reals, split exactly",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(ml__tree_params),
    .block_rows = ML__TREE_BLOCK_ROWS,
    .tensors = ml__trees_tensors,
    .fit = fit,
    .prepare = prepare,
    .proba = ml__trees_predict,
    .values = ml__trees_predict,
};
