/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decision trees and forests of them: what the files of this folder share.
 *
 *     codes.c          feature values to ranks, once per fit; sorting by rank
 *     split.c          the best split of a node
 *     grow.c           one tree, from its rows to its nodes
 *     forest.c         many trees in parallel, their parameters and their tensors
 *     tree_walk.c      validation and prediction
 *     decision_tree.c, random_forest.c   the kinds
 *
 * Symbols   n rows, d features, K classes, T trees, m rows of a node;  i row, j feature, k class
 *           W weight as an integer, in units that depend on the tree: sums are exact and their order does not matter
 *           q weight times centred target, an integer for the same reason, in units that depend on the node
 */
#ifndef ML__LEARN_TREE_TREE_H
#define ML__LEARN_TREE_TREE_H

#include "learn/learn.h"

/* No path from the root is longer, whatever max_depth says: files are refused beyond it, walks are bounded by it. */
enum { ML__TREE_MAX_DEPTH = 4096 };

/* ---- parameters ---- */

enum { ML__CRITERION_AUTO, ML__GINI, ML__ENTROPY, ML__LOG_LOSS, ML__SQUARED_ERROR };
enum { ML__FEATURES_ALL, ML__FEATURES_SQRT, ML__FEATURES_LOG2, ML__FEATURES_AUTO };

/* The first member of the parameters of both kinds, so that the rows below serve both tables. */
typedef struct ml__tree_params {
    int64_t criterion, max_depth;
    ml__size min_samples_split, min_samples_leaf, max_features;
    double min_impurity_decrease;
    int64_t random_state;
} ml__tree_params;

#define ML__TREE_PARAMS(max_features_default, max_features_choices)                                                 \
    ML__CHOICE(ml__tree_params, criterion, "auto", "auto|gini|entropy|log_loss|squared_error",                      \
               "what a split reduces; auto: gini for labels, squared_error for reals; log_loss is entropy"),        \
        ML__INT(ml__tree_params, max_depth, "0", ML__RANGE(0, ML__TREE_MAX_DEPTH), "longest path; 0: no limit"),    \
        ML__SIZE(ml__tree_params, min_samples_split, "2", ML__RANGE(2, 1e9), "",                                    \
                 "a node with fewer rows is a leaf; a fraction is of all rows, rounded up"),                        \
        ML__SIZE(ml__tree_params, min_samples_leaf, "1", ML__RANGE(1, 1e9), "",                                     \
                 "a split that leaves fewer rows on a side is not made; a fraction is of all rows, rounded up"),    \
        ML__SIZE(ml__tree_params, max_features, max_features_default, ML__RANGE(1, 16777216), max_features_choices, \
                 "features looked at per node, drawn anew for each; more until one is not constant"),               \
        ML__REAL(ml__tree_params, min_impurity_decrease, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),                     \
                 "a split that gains less, weighted by the node's share of all rows, is not made"),                 \
        ML__RANDOM_STATE(ml__tree_params)

/* ---- codes.c ---- */

/* Ranks of the values of each feature among its distinct values; -0 equals 0. */
typedef struct ml__codes {
    size_t n, d;
    uint32_t *code;   /* [d x n], feature by feature */
    uint32_t *n_bits; /* [d], that the largest code of the feature has; 0: a constant feature */
} ml__codes;

ml_status ml__codes_of(ml__arena *arena, const float *X, size_t n, size_t d, ml__codes *out);

/* Sort keys[n] by bits 32 to 32 + n_bits - 1; equal ones keep their order. `other` is workspace [n]. The lower halves
 * must ascend in the beginning. */
void ml__sort_keys(uint64_t *keys, uint64_t *other, size_t n, uint32_t n_bits);

/* ---- what a tree is grown from ---- */

/* The same for all trees of a fit. */
typedef struct ml__tree_data {
    size_t n, d, K; /* K = 1 for reals */
    bool classify;
    const float *X; /* [n x d] */
    ml__codes codes;
    const int32_t *y;     /* [n] classes */
    const double *t;      /* [n] targets */
    const double *w;      /* [n] weights in [0, 1] */
    const uint32_t *rows; /* [n_rows] with positive weight */
    size_t n_rows;
    /* rules */
    int64_t criterion; /* ML__GINI, ML__ENTROPY or ML__SQUARED_ERROR */
    size_t max_depth, min_samples_split, min_samples_leaf, max_features;
    double min_impurity_decrease;
    bool bootstrap;
    bool draw_features; /* search them in an order drawn for each node */
} ml__tree_data;

/* One tree; node 0 is the root, children have higher numbers than their parent. */
typedef struct ml__tree {
    size_t n_nodes;
    int32_t *feature;   /* [n_nodes] -1: a leaf */
    int32_t *left;      /* [n_nodes] the right child is left + 1; -1: a leaf */
    float *threshold;   /* [n_nodes] x <= threshold goes left */
    double *value;      /* [n_nodes x K] shares of the classes, or the mean */
    double *importance; /* [d] what the splits on each feature gained */
} ml__tree;

/* Grow the tree of this key; the result is in `arena`. */
ml_status ml__tree_grow(ml__arena *arena, const ml__tree_data *data, uint64_t key, ml__tree *out);

/* ---- split.c ---- */

/* Sums over the rows of a node, or of one side of it. */
typedef struct ml__node_sums {
    int64_t W;
    int64_t q;  /* reals */
    int64_t *c; /* [K] labels: weight of each class */
} ml__node_sums;

/* A tree under construction, as far as the search for a split needs it. */
typedef struct ml__splitter {
    const ml__tree_data *data;
    const int64_t *W, *q;         /* [n] of this tree; q of the rows of the node */
    uint64_t *keys, *other;       /* [n] code << 32 | row */
    uint32_t *features, *swapped; /* [d] the identity between calls; see draw_feature() */
    ml__node_sums left;           /* workspace */
} ml__splitter;

typedef struct ml__split {
    double gain;            /* times the node's weight, in the tree's units; -1: none found */
    uint32_t feature, code; /* rows up to this code go left */
    float threshold;
} ml__split;

/* The split of rows[m] with the largest gain, ties to the feature searched first, then the lowest threshold. `all` are
 * the sums of the node, `key` the node's. */
ml__split ml__best_split(ml__splitter *s, const uint32_t *rows, size_t m, const ml__node_sums *all, uint64_t key);
/* The largest float that is not above the mean of a and b: a <= t < b for a < b. */
float ml__threshold_between(float a, float b);

/* ---- forest.c, tree_walk.c ---- */

/* Learn n_trees trees and publish them; `in_drawn_order`: search features in a drawn order even when all are. */
ml_status ml__trees_fit(ml__fit *f, const ml__tree_params *params, size_t n_trees, bool in_drawn_order, bool bootstrap);

extern const ml__tensor_rule ml__trees_tensors[];
ml_status ml__trees_prepare(const ml_model *model, ml__learned *learned);
ml_status ml__trees_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);

#endif
