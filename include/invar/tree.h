/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Fitted trees: their nodes, the ways of rows through them, and forests made from the trees of others.
 *
 * A "decision_tree" is one tree, "random_forest" and "extra_trees" are several; the trees of "adaboost" are its members.
 * Node 0 is the root. Nodes are numbered level by level and within a level from left to right, so siblings are adjacent, children have higher
 * numbers than their parent, and a tree has an odd number of nodes. (scikit-learn numbers depth first.)
 *
 * Threads: any number at once, on one fitted model.
 */
#ifndef INVAR_TREE_H
#define INVAR_TREE_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_tree_node {
    size_t struct_size;   /**< sizeof(ml_tree_node), set by the caller */
    int64_t left, right;  /**< node numbers of the children; -1: a leaf */
    int32_t feature;      /**< that is compared; -1: a leaf */
    int32_t missing_left; /**< 1: a missing value goes left; 0: right, or a leaf */
    double threshold;     /**< rows go left when (float)x <= threshold; 0 of a leaf and of a set */
    const double
        *value;      /**< of a leaf: shares of the classes, or the value; NULL of a split. Borrowed until the next fit
                               or free */
    size_t n_values; /**< number of classes, 1 for reals; 0 of a split */
    size_t depth;    /**< splits on the way from the root: 0 for the root */
    const uint32_t
        *categories;     /**< of a split by categories, bit c % 32 of word c / 32: rows of category c go left; else
                                     NULL. Borrowed until the next fit or free */
    size_t n_categories; /**< of the feature; 0 where `categories` is NULL */
} ml_tree_node;

/** Number of trees; 0 when not fitted and for kinds that are not made of trees. @since 0.1 */
ML_API size_t ml_model_tree_count(const ml_model *model);

/** Number of nodes of a tree; 0 when there is no such tree. @since 0.1 */
ML_API size_t ml_model_tree_size(const ml_model *model, size_t tree);

/**
 * One node of one tree.
 *
 * @param tree  below ml_model_tree_count()
 * @param node  below ml_model_tree_size()
 * @param out   filled; as much as out->struct_size says
 * @return ML_OK; ML_E_ARGUMENT (NULL; tree or node out of range: both numbers are named; unknown struct_size);
 *         ML_E_UNSUPPORTED (this kind is not made of trees); ML_E_STATE (not fitted).
 * Cost: O(depth) for the usual tree, of which `depth` is all. @since 0.1
 */
ML_API ml_status ml_model_tree_node(const ml_model *model, size_t tree, size_t node, ml_tree_node *out);

/* ---- ways of rows ---- */

/**
 * The leaf of every row in every tree, as scikit-learn's apply().
 *
 * @param data  as for ml_model_predict()
 * @param out   row-major n_rows x trees: node numbers
 * @param n     size of `out` in elements: n_rows * ml_model_tree_count()
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_UNSUPPORTED (this kind is not made of trees); ML_E_STATE (not fitted);
 *         ML_E_SHAPE (features, or n: both numbers are named; `out` is untouched); ML_E_DATA (as ml_model_predict());
 *         ML_E_MEMORY; ML_E_EXECUTOR. @since 0.1
 */
ML_API ml_status ml_model_tree_leaves(const ml_model *model, const ml_dataset *data, int32_t *out, size_t n);

/**
 * The nodes that one row passes in one tree, from the root (0) to its leaf: scikit-learn's decision_path().
 *
 * @param x       n_features values; NaN = missing
 * @param nodes   n_nodes node numbers; NULL with n_nodes 0 to learn the length only
 * @param length  NULL, or receives the number of nodes of the path, which is at most 4097
 * @return ML_OK; ML_E_ARGUMENT (NULL; tree out of range); ML_E_UNSUPPORTED; ML_E_STATE; ML_E_DATA (a value that the kind
 *         does not take); ML_E_SHAPE (n_features; n_nodes too small: `nodes` is untouched and *length set); ML_E_MEMORY.
 * @since 0.1
 */
ML_API ml_status ml_model_tree_path(const ml_model *model, size_t tree, const double *x, size_t n_features,
                                    int32_t *nodes, size_t n_nodes, size_t *length);

/* ---- distributions ---- */

/**
 * Quantiles of the target for every row: a quantile regression forest (Meinshausen 2006). q = 0.05 and 0.95 are the ends of a
 * 90 % prediction interval.
 *
 * The weight of a training row is the mean over the trees of its share of the leaf that the row of `data` falls into: how
 * often it was drawn, times its sample weight. A quantile is the least target y of a training row with weight for which the
 * weights of the targets up to y sum to at least q: no interpolation, q = 0 gives the least target with weight, q = 1 the
 * largest. For 0 < q < 1 a sum to which at most (T + 4) 2^-52 is missing counts as q, T the number of trees: so much rounding may
 * have cost. Of several outputs each has a distribution of its own; a training row that lacks it says nothing, and when that
 * is so of all rows of the leaves, the quantiles are NaN.
 *
 * @param model        a "random_forest", "extra_trees" or "decision_tree" of reals, fitted with keep_leaf_targets; also what
 *                     ml_forest_select(), ml_forest_prune() (a new leaf has the rows of those that became it) and
 *                     ml_forest_merge() (of forests of the same training data) make of such
 * @param data         as for ml_model_predict()
 * @param quantiles    n_quantiles numbers in [0, 1], in any order
 * @param out          row-major n_rows x n_outputs x n_quantiles
 * @param n            size of `out` in elements
 * @return ML_OK; ML_E_ARGUMENT (NULL, n_quantiles = 0, a quantile outside [0, 1]: its place is named); ML_E_UNSUPPORTED (not made
 *         of trees); ML_E_STATE (not fitted, or without keep_leaf_targets); ML_E_SHAPE (features, or n: the numbers are
 *         named; `out` is untouched); ML_E_DATA (as ml_model_predict()); ML_E_MEMORY; ML_E_EXECUTOR.
 * Same bits for any number of threads. Cost per row: each tree once, the rows of its leaves, training rows / 64; memory per
 * thread: 8 bytes per training row. @since 0.1
 */
ML_API ml_status ml_forest_quantiles(const ml_model *model, const ml_dataset *data, const double *quantiles,
                                     size_t n_quantiles, double *out, size_t n);

/* ---- forests from forests ---- */

/*
 * The results are ordinary fitted forests: they predict, save and load. Their parameters are those of the (first) forest,
 * with n_estimators set to their number of trees; so is their context. The forests given are only read.
 */

/**
 * One forest of all the trees of several, in order.
 *
 * Importances are the mean over the forests, weighted by their numbers of trees; those without any split say nothing.
 *
 * @param forests  n fitted models of the same forest kind, for the same features and outputs with the same classes
 * @param out      the new model, to be freed with ml_model_free(); NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL, n = 0); ML_E_UNSUPPORTED (not a forest, or not all of one kind; leaves keep targets of
 *         different training data, or only those of some forests do); ML_E_STATE (not fitted); ML_E_SHAPE (features,
 *         outputs or classes differ: the message says which); ML_E_LIMIT (more than 1 000 000 trees); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_forest_merge(const ml_model *const *forests, size_t n, ml_model **out);

/**
 * A forest of some trees of another, in the order given; a tree may be given more than once and then counts as often.
 *
 * Importances are those of the whole forest: what single trees contributed to them is not kept.
 *
 * @param trees  n numbers below ml_model_tree_count()
 * @param out    as ml_forest_merge()
 * @return ML_OK; ML_E_ARGUMENT (NULL, n = 0, no such tree); ML_E_UNSUPPORTED; ML_E_STATE; ML_E_LIMIT; ML_E_MEMORY.
 * @since 0.1
 */
ML_API ml_status ml_forest_select(const ml_model *forest, const size_t *trees, size_t n, ml_model **out);

typedef struct ml_prune_report {
    size_t struct_size; /**< sizeof(ml_prune_report), set by the caller */
    size_t nodes_before, nodes_after;
    double score_before, score_after; /**< on the data: accuracy for labels, r2 for reals, as ml_model_score() */
} ml_prune_report;

/**
 * The forest cut back to at most `max_nodes` nodes in all its trees together, weakest split first.
 *
 * Again and again the split is removed, of those in all trees whose children are leaves, that the squared error (labels:
 * Brier score) of its tree on `data` grows least by when its children become one leaf; it may also fall. The new leaf has
 * the mean of their values, weighted by the rows that they get. A tree keeps at least its root. Within the budget already,
 * the forest stays what it is. Importances are those of the forest.
 *
 * @param max_nodes  at least the number of trees
 * @param data       rows with outputs: those that the forest was trained on, or others. Weights count; rows without
 *                  label count for nothing.
 * @param report     NULL, or filled; as much as report->struct_size says
 * @param out        as ml_forest_merge()
 * @return ML_OK; ML_E_ARGUMENT (NULL, max_nodes, unknown struct_size); ML_E_UNSUPPORTED (not a forest, or
 *         one of several outputs); ML_E_STATE; as ml_model_score(); ML_E_MEMORY.
 * Same bits for any number of threads. Cost: two scores, each row through each tree once, O(nodes log nodes). @since 0.1
 */
ML_API ml_status ml_forest_prune(const ml_model *forest, size_t max_nodes, const ml_dataset *data,
                                 ml_prune_report *report, ml_model **out);

#ifdef __cplusplus
}
#endif
#endif
