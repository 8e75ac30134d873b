/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decision tree: a forest of one tree that sees every row (see grow.c and split.c). Values are compared in single
 * precision, as scikit-learn does.
 */
#include "learn/tree/tree.h"

typedef struct {
    ml__tree_params tree;
    int64_t splitter, pruning_path;
} params;

static const ml__param PARAMS[] = {
    ML__CHOICE(params, splitter, "best", "best|random",
               "the best threshold of each feature, or one drawn between its least and largest value in the node"),
    ML__BOOL(params, pruning_path, "false",
             "tell which ccp_alpha prunes how much: tensors pruning_path.ccp_alphas and pruning_path.impurities"),
    ML__TREE_PARAMS("all", "all|sqrt|log2", "none|balanced", "0"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    ML__TREES_TENSORS,
    {"pruning_path.ccp_alphas", ML_FLOAT64, "p", ML__FINITE | ML__NON_NEGATIVE | ML__OPTIONAL},
    {"pruning_path.impurities", ML_FLOAT64, "p", ML__FINITE | ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const ml__forest_plan plan = {.rules = &p->tree,
                                  .n_trees = 1,
                                  .random_thresholds = p->splitter == ML__RANDOM,
                                  .pruning_path = p->pruning_path,
                                  .keep_leaf_targets = p->tree.keep_leaf_targets};

    return ml__trees_fit(f, &plan);
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
    .doc = "Decision tree for labels or reals, split exactly; a fit is one step, which no deadline interrupts",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT32,
    .params = PARAMS,
    .params_size = sizeof(params),
    .block_rows = ML__TREE_BLOCK_ROWS,
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .proba = ml__trees_predict,
    .values = ml__trees_predict,
    .scratch = ml__trees_scratch,
};
