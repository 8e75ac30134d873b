/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decision trees and forests of them: what the files of this folder share.
 *
 *     bins.c           feature values to codes of a byte, once per fit
 *     random_cut.c     cuts of such codes at drawn thresholds
 *     columns.c        one tree from such codes: what most forests are grown by
 *     codes.c          values to ranks, once per fit; sorting by rank
 *     weights.c        what a row counts for
 *     criterion.c      what a split is worth and what a node predicts
 *     split.c          the best split of a node among ranks
 *     grow.c           one tree from ranks, with every rule there is
 *     growing.c        a tree while it grows, and its subtrees, which threads share
 *     cost_complexity.c  a tree without its weakest links
 *     forest.c         many trees in parallel, and their parameters
 *     out_of_bag.c     what a forest predicts for rows it has not seen
 *     warm_start.c     growing on from a fitted forest
 *     leaf_rows.c      leaves that keep the rows they were grown from
 *     quantiles.c      what such leaves say of the distribution of a target
 *     reserve.c        memory for what comes after growth
 *     layout.c         trees in memory and in files
 *     tree_walk.c      validation and prediction
 *     coded_trees.c    prediction by codes of a byte
 *     inspect.c        nodes and the ways of rows for who asks
 *     algebra.c        forests from the trees of others
 *     prune.c          forests cut back
 *     decision_tree.c, random_forest.c, extra_trees.c   the kinds
 *
 * Symbols   n rows, d features, O outputs, T trees, m rows of a node;  i row, j feature, o output, k class
 *           K values of a leaf: classes of all outputs, or one per real output
 *           W weight as an integer, in units that depend on the tree: sums are exact and their order does not matter
 *           q weight times centred target, an integer for the same reason, in units that depend on the node
 *
 * Rounding  equal weights are exact. Others are whole numbers of 2^-52 to 2^-51 of their sum in the tree: rows of 10^-k of it
 *           have some 15 - k digits, and below half a unit they are not in the tree. Beside a row of weight 1, means and
 *           shares of a leaf of ten rows of 1e-10 were off by 4e-8 at most, of 1e-12 by 2e-6, of 1e-14 by 4e-4. Weights times
 *           targets are whole numbers of a 512th of that unit and the node's range of targets
 */
#ifndef ML__LEARN_TREE_TREE_H
#define ML__LEARN_TREE_TREE_H

#include <float.h>
#include <string.h>

#include "learn/learn.h"

/* No path from the root is longer, whatever max_depth says: files are refused beyond it, walks are bounded by it. */
enum { ML__TREE_MAX_DEPTH = 4096 };

/* ---- parameters ---- */

enum {
    ML__CRITERION_AUTO,
    ML__GINI,
    ML__ENTROPY,
    ML__LOG_LOSS,
    ML__SQUARED_ERROR,
    ML__FRIEDMAN_MSE,
    ML__ABSOLUTE_ERROR,
    ML__POISSON
};
enum { ML__FEATURES_ALL, ML__FEATURES_SQRT, ML__FEATURES_LOG2, ML__FEATURES_AUTO };

enum { ML__BEST, ML__RANDOM }; /* splitter */
enum { ML__CLASS_WEIGHT_NONE, ML__CLASS_WEIGHT_BALANCED, ML__CLASS_WEIGHT_SUBSAMPLE };

/* The first member of the parameters of all kinds, so that the rows below serve all tables. */
typedef struct ml__tree_params {
    int64_t criterion, max_depth;
    ml__size min_samples_split, min_samples_leaf, max_features;
    double min_weight_fraction_leaf, min_impurity_decrease, ccp_alpha;
    int64_t max_leaf_nodes, keep_leaf_targets;
    ml__weights class_weight;
    ml__ints monotonic_cst;
    int64_t max_bins, random_state;
} ml__tree_params;

#define ML__TREE_PARAMS(max_features_default, max_features_choices, class_weights, max_bins_default)                  \
    ML__CHOICE(ml__tree_params, criterion, "auto",                                                                    \
               "auto|gini|entropy|log_loss|squared_error|friedman_mse|absolute_error|poisson",                        \
               "what a split reduces; auto: gini for labels, squared_error for reals; log_loss is entropy"),          \
        ML__INT(ml__tree_params, max_depth, "0", ML__RANGE(0, ML__TREE_MAX_DEPTH), "longest path; 0: no limit"),      \
        ML__SIZE(ml__tree_params, min_samples_split, "2", ML__RANGE(2, 1e9), "",                                      \
                 "a node with fewer rows is a leaf; a fraction is of all rows, rounded up"),                          \
        ML__SIZE(ml__tree_params, min_samples_leaf, "1", ML__RANGE(1, 1e9), "",                                       \
                 "a split that leaves fewer rows on a side is not made; a fraction is of all rows, rounded up"),      \
        ML__REAL(ml__tree_params, min_weight_fraction_leaf, "0", ML__RANGE(0, 0.5),                                   \
                 "a split that leaves less of the tree's weight on a side is not made"),                              \
        ML__SIZE(ml__tree_params, max_features, max_features_default, ML__RANGE(1, 16777216), max_features_choices,   \
                 "features looked at per node, drawn anew for each; more until one is not constant"),                 \
        ML__REAL(ml__tree_params, min_impurity_decrease, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),                       \
                 "a split that gains less, weighted by the node's share of all rows, is not made"),                   \
        ML__INT(ml__tree_params, max_leaf_nodes, "0", ML__RANGE(0, 1e9),                                              \
                "most leaves; nodes that gain most are split first; 0: no limit"),                                    \
        ML__REAL(ml__tree_params, ccp_alpha, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),                                   \
                 "branches that gain less impurity per leaf are pruned after growth (cost-complexity)"),              \
        ML__WEIGHTS_OF_CLASSES(ml__tree_params, class_weight, "none", class_weights,                                  \
                               "factors of the rows' weights; balanced: each class counts the same; of several "      \
                               "outputs they are multiplied, a table names output=class:weight"),                     \
        ML__INTS(ml__tree_params, monotonic_cst, "", ML__RANGE(-1, 1),                                                \
                 "per feature 1: predictions (of the second class) ascend with it, -1: descend, 0 or none: free"),    \
        ML__INT(ml__tree_params, max_bins, max_bins_default, ML__RANGE(0, 255),                                       \
                "cut features with more values into so many parts of about equally many rows, and grow faster, "      \
                "where these do: criterion gini or squared_error, one output of at most 256 classes, rows of equal "  \
                "weight, numbers with none missing, no rule of growth but max_depth, min_samples_split and "          \
                "max_features; elsewhere, and for 0 and 1, splits are exact"),                                        \
        ML__BOOL(ml__tree_params, keep_leaf_targets, "false",                                                         \
                 "leaves of reals keep their training rows, for ml_forest_quantiles(); four bytes per row and tree"), \
        ML__RANDOM_STATE(ml__tree_params)

/* Of the forests. */
typedef struct ml__forest_params {
    ml__tree_params tree;
    int64_t n_estimators, bootstrap, oob_score, warm_start;
    ml__size max_samples;
} ml__forest_params;

#define ML__FOREST_PARAMS(bootstrap_default, max_bins_default)                                                        \
    ML__INT(ml__forest_params, n_estimators, "100", ML__RANGE(1, 1e6),                                                \
            "number of trees; a deadline ends a fit between two of them, none is interrupted"),                       \
        ML__BOOL(ml__forest_params, bootstrap, bootstrap_default,                                                     \
                 "each tree sees rows drawn with repetition; else all"),                                              \
        ML__SIZE(                                                                                                     \
            ml__forest_params, max_samples, "all", ML__RANGE(1, 1e9), "all",                                          \
            "rows drawn for each tree, all: as many as there are; rows are those of positive weight, and a fraction " \
            "of them is rounded; needs bootstrap"),                                                                   \
        ML__BOOL(ml__forest_params, oob_score, "false",                                                               \
                 "estimate the error from the rows that trees have not seen; needs bootstrap"),                       \
        ML__BOOL(ml__forest_params, warm_start, "false",                                                              \
                 "a fit of a fitted forest keeps its trees and grows those that are missing"),                        \
        ML__TREE_PARAMS("auto", "all|sqrt|log2|auto", "none|balanced|balanced_subsample", max_bins_default)

/* ---- codes.c ---- */

/* Ranks of the values of each feature among its distinct values; -0 equals 0, what is missing comes last. */
typedef struct ml__codes {
    size_t n, d;
    uint32_t *code;    /* [d x n], feature by feature */
    uint32_t *n_bits;  /* [d], that the largest code of the feature has; 0: a constant feature */
    uint32_t *missing; /* [d] the code of a missing value; UINT32_MAX: none is missing */
} ml__codes;

ml_status ml__codes_of(ml__arena *arena, const float *X, size_t n, size_t d, ml__codes *out);

/* A number that is ordered as the floats are; -0 equals 0, NaN comes last. */
uint32_t ml__ordered_bits(float x);
/* Sort keys[n] by bits 32 to 32 + n_bits - 1; equal ones keep their order. `other` is workspace [n]. The lower halves
 * must ascend in the beginning. */
void ml__sort_keys(uint64_t *keys, uint64_t *other, size_t n, uint32_t n_bits);
/* row [n]: the rows by ascending t[i], equal ones by number; `keys` and `other` are workspace [n]. */
void ml__order_reals(const double *t, size_t n, uint32_t *row, uint64_t *keys, uint64_t *other);

/* ---- what a tree is grown from ---- */

/* The same for all trees of a fit. */
typedef struct ml__tree_data {
    size_t n, d, K, n_outputs;
    bool classify;
    bool missing;   /* is any value of the features? */
    const float *X; /* [n x d]; NULL where byte codes do */
    ml__codes codes;
    const uint32_t *n_categories; /* [d], 0: numbers; NULL: all are */
    const int32_t *y;             /* [O x n] columns of a leaf's values that the classes stand in */
    const double *t;              /* [O x n] targets */
    double largest_target;        /* the largest |t|; 0 of labels */
    const uint8_t *has;           /* [O x n] is there a label or target? NULL: all are */
    const double *prior;          /* [K] shares or means of all rows; NULL as `has` */
    const size_t *first;          /* [O + 1] column of the first class of an output */
    const uint32_t *rank;         /* [O x n] of the targets among all of their output; absolute_error only */
    const double *w;              /* [n] weights in [0, 1] */
    const uint32_t *rows;         /* [n_rows] with positive weight and a label */
    size_t n_rows;
    /* rules */
    int64_t criterion; /* neither ML__CRITERION_AUTO nor ML__LOG_LOSS */
    size_t max_depth, min_samples_split, min_samples_leaf, max_features;
    double min_weight_fraction_leaf, min_impurity_decrease, ccp_alpha;
    size_t max_leaf_nodes;   /* 0: no limit, grown depth first */
    const int8_t *monotonic; /* [d] 1: predictions ascend with the feature, -1: they descend, 0: free; NULL: all are */
    bool pruning_path;
    bool random_thresholds; /* one per feature that is looked at */
    bool bootstrap;
    size_t n_draws;     /* of a bootstrap */
    bool balance_draws; /* each class that was drawn counts the same */
    bool draw_features; /* search them in an order drawn for each node */
} ml__tree_data;

static inline bool ml__has_output(const ml__tree_data *data, size_t o, size_t i)
{
    return !data->has || data->has[o * data->n + i];
}

/* Are nodes not final until the tree is grown? */
static inline bool ml__keeps_worth(const ml__tree_data *data)
{
    return data->max_leaf_nodes || data->ccp_alpha > 0 || data->pruning_path;
}

/* A node on its own. Growing forests are made of them: 12 bytes. */
typedef struct ml__tree_node {
    int32_t feature : 30;  /* -1: a leaf */
    bool is_set : 1;       /* what is in a set of categories goes left, else x <= threshold */
    bool missing_left : 1; /* a missing value goes left, else right */
    uint32_t next;         /* the left child, the right one is next + 1; of a leaf: its row of values */
    union {
        float threshold;
        uint32_t set; /* its first word */
    };
} ml__tree_node;

/* Sets of categories: bit k % 32 of word k / 32 tells whether category k goes left. */
static inline size_t ml__set_words(size_t n_categories)
{
    return (n_categories + 31) / 32;
}

static inline bool ml__in_set(const uint32_t *set, uint32_t category)
{
    return set[category / 32] >> category % 32 & 1;
}

/* What pruning knows of a node. */
typedef struct ml__node_worth {
    double risk;    /* see ml__criterion_risk() */
    uint32_t value; /* its row of values */
} ml__node_worth;

typedef struct ml__pruning_path {
    size_t n;
    double *ccp_alpha, *impurity; /* [n] */
} ml__pruning_path;

/* Rows of the sample in each leaf, ascending, a row as often as it was drawn. */
typedef struct ml__leaf_rows {
    size_t n;       /* draws */
    uint32_t *size; /* [n_values] of the leaf with this row of values; NULL: not kept */
    uint32_t *row;  /* [n] leaf after leaf, in the order of their rows of values */
} ml__leaf_rows;

/* One tree as it is grown; node 0 is the root, children have higher numbers than their parent. */
typedef struct ml__tree {
    size_t n_nodes, n_values;
    ml__tree_node *nodes; /* [n_nodes] */
    double *value;        /* [n_values x K] of the leaves: shares of the classes, or the mean or median */
    double *gain;         /* [n_nodes] in growth: what the splits gained, for the importances */
    double *importance;   /* [d] what the splits on each feature gained */
    size_t n_set_words;
    uint32_t *sets;        /* [n_set_words] */
    ml__node_worth *worth; /* [n_nodes] in growth, when pruning or a best-first order needs it; else NULL */
    ml__pruning_path path;
    ml__leaf_rows rows;
} ml__tree;

/* ---- weights.c ---- */

/* Weights scaled to [0, 1] by a power of two, and the rows where they are positive. */
ml_status ml__tree_weights(ml__fit *f, const ml__weights *classes, ml__tree_data *data);
/* weight [K] that makes the classes of each output count the same; `count`: how often a row counts, NULL: once. */
ml_status ml__balance(ml__arena *scratch, const ml__tree_data *data, const uint32_t *count, double *weight);
/* Product of the weights of the row's classes. */
double ml__class_factor(const ml__tree_data *data, const double *weight, size_t i);

/* ---- grow.c ---- */

/* How often each row is in the sample of this key; count [n] is cleared. */
void ml__tree_draw(const ml__tree_data *data, uint64_t key, uint32_t *count);
/* Grow the tree of this key by n_workers threads; the result is in `arena`. */
ml_status ml__tree_grow(ml__arena *arena, const ml__tree_data *data, uint64_t key, size_t n_workers, ml__tree *out);

/* ---- growing.c ---- */

/* A tree with tables that grow; `tree` has no importances. */
typedef struct ml__growing {
    ml__arena arena;
    size_t K;
    bool keeps_worth;
    ml__tree tree;
    size_t node_capacity, value_capacity, set_capacity;
    uint32_t *stack; /* workspace */
} ml__growing;

void ml__growing_init(ml__growing *g, const ml__tree_data *data, ml_context *context);
/* An empty tree again, in the same tables. */
void ml__growing_clear(ml__growing *g);
void ml__growing_free(ml__growing *g);
/* Room for `count` more elements of `size` bytes in *table, a pointer to n; what is outgrown stays in the arena. */
ml_status ml__make_room(ml__arena *arena, void *table, size_t n, size_t count, size_t size, size_t *capacity);
ml_status ml__enlarge_nodes(ml__growing *g, size_t count);
static inline ml_status ml__add_nodes(ml__growing *g, size_t count)
{
    const ml_status st = g->tree.n_nodes + count > g->node_capacity ? ml__enlarge_nodes(g, count) : ML_OK;

    g->tree.n_nodes += st == ML_OK ? count : 0;
    return st;
}
/* `count` more rows of values, which are not cleared. */
ml_status ml__add_values(ml__growing *g, size_t count, double **value);
ml_status ml__add_set(ml__growing *g, size_t n_words, const uint32_t *set, uint32_t *first);
/* The tree in tables that fit, with its importances. */
ml_status ml__growing_copy(ml__growing *g, ml__arena *arena, size_t d, ml__tree *out);

/* Nodes of a tree of m rows with at most so many are grown after the others, each a task for one thread. */
size_t ml__subtree_rows(const ml__tree_data *data, size_t m);

/* What one subtree added to a tree, whose `node` is its root. */
typedef struct ml__subtree {
    const ml__growing *in;
    size_t node, n_nodes, value, n_values, set_word, n_set_words;
} ml__subtree;

/* Begin with its root, a node that is not written yet. */
ml_status ml__subtree_begin(ml__growing *in, ml__subtree *s);
void ml__subtree_end(ml__subtree *s);
/* Copy it into another tree, where `node` becomes its root. */
ml_status ml__subtree_attach(ml__growing *to, uint32_t node, const ml__subtree *s);

/* ---- cost_complexity.c ---- */

/* Make leaves of the nodes that are worth no more than ccp_alpha per leaf; nothing for 0. Risks are in units of 2^unit. `path`:
 * NULL, or with room for n_nodes steps; numbers that are larger than any double are infinite there. */
ml_status ml__tree_prune(ml__arena *scratch, ml__tree *tree, double ccp_alpha, int unit, ml__pruning_path *path);
/* What can be reached from the root, with its sets and the rows of values of the leaves, numbered as depth-first growth
 * does. */
ml_status ml__tree_compact(ml__arena *scratch, ml__arena *arena, const ml__tree *from, const ml__tree_data *data,
                           ml__tree *to);

/* ---- bins.c ---- */

/* Codes of all features, rows in the order of their classes or targets. */
typedef struct ml__bins {
    const ml__tree_kernels *kernels;
    size_t n, d, stride; /* bytes from column to column */
    uint32_t *row;       /* [n] of the data */
    uint8_t *label;      /* [n] or NULL */
    size_t n_first;      /* rows of class 0 */
    double *t;           /* [n] ascending targets in [-1, 1]: target / 2^exponent; or NULL */
    int exponent;
    uint8_t *code;           /* [d x stride] */
    uint32_t *n_codes;       /* [d] */
    float *cuts;             /* [d x 256] between code c and c + 1; +inf behind the last */
    float *lowest, *highest; /* [d x 256] values of a code */
} ml__bins;

/* At most max_bins <= 256 codes per feature of all rows of `dataset`; at most 256 classes. */
ml_status ml__bins_make(ml__arena *scratch, const ml_dataset *dataset, const ml__tree_data *data, size_t max_bins,
                        ml__bins *bins);
/* Of a split after `code` in a node whose next code is `next`. */
float ml__bins_threshold(const ml__bins *bins, size_t j, uint32_t code, uint32_t next);

/* ---- random_cut.c ---- */

/* The cut of a node's rows at a threshold drawn for feature j; false when all have one code. */
bool ml__random_cut(const ml__tree_rows *rows, bool classify, const ml__bins *bins, size_t j, const uint8_t *code,
                    uint64_t random, ml__tree_cut *cut, float *threshold);

/* ---- columns.c ---- */

/* Workspace in which one tree after the other is grown. */
typedef struct ml__column_grower ml__column_grower;

/* How often each row is in the sample of this key: count [n], rows in the order of the codes. */
void ml__columns_draw(const ml__tree_data *data, uint64_t key, uint8_t *count);
/* Are codes gathered by row numbers, instead of moved? */
bool ml__columns_gather(size_t d, size_t max_features);
/* For trees that n_workers threads grow together. The grower is in `arena`; its workspace is to be freed also when this
 * fails. */
ml_status ml__column_grower_create(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins, size_t n_workers,
                                   ml__column_grower **out);
void ml__column_grower_free(ml__column_grower *grower);
/* Grow the tree of this key; the result is in `arena`. */
ml_status ml__columns_grow(ml__column_grower *grower, ml__arena *arena, uint64_t key, ml__tree *out);

/* ---- criterion.c ---- */

/* Sums over the rows of a node, or of one side of it. */
typedef struct ml__sums {
    int64_t *W; /* [O] of the rows that have this output */
    int64_t *q; /* [O] reals */
    int64_t *c; /* [K] labels: weight of each class */
} ml__sums;

typedef struct ml__ranks ml__ranks;

/* The rows of a node, and of them those that a split would send left. */
typedef struct ml__criterion {
    const ml__tree_data *data;
    const int64_t *W; /* [O x n], or [n] for all outputs */
    size_t W_stride;  /* from output to output of W */
    int64_t *q;       /* [O x n] reals: of the rows of the node */
    ml__sums all, left;
    double *centre, *least, *largest; /* [O] of the node's targets */
    int *exponent;                    /* [O] */
    int common_exponent;              /* of gains */
    ml__ranks *ranks;                 /* [O] for absolute_error */
} ml__criterion;

/* For a tree of m rows with these weights. `beside`: NULL, or a criterion that stands at other rows of the tree and may do
 * so at the same time. */
ml_status ml__criterion_create(ml__arena *arena, const ml__tree_data *data, const int64_t *W, size_t m,
                               const ml__criterion *beside, ml__criterion *c);
/* A criterion for ml__criterion_follow(), in a tree of m rows. */
ml_status ml__criterion_create_follower(ml__arena *arena, const ml__tree_data *data, size_t m, ml__criterion *c);
/* Stand where `leader` stands, as long as it stays there, with a left side of its own. */
void ml__criterion_follow(ml__criterion *c, const ml__criterion *leader);
/* Go to a node; nothing is left yet. True when no output varies in it. */
bool ml__criterion_set(ml__criterion *c, const uint32_t *rows, size_t m);
void ml__criterion_clear_left(ml__criterion *c);
void ml__criterion_rank_left(ml__criterion *c, uint32_t row);
/* What the split removes of the impurity, times weights, in units of 2^ml__criterion_unit(); -1: it is not allowed. */
double ml__criterion_gain(const ml__criterion *c);
int ml__criterion_unit(const ml__criterion *c);
/* Impurity of the node, where these rows are, times its share of W_tree: the mean of the outputs. In units of 2^ml__risk_unit(),
 * the same for all trees: squares of targets may be larger or smaller than any double. */
int ml__risk_unit(const ml__tree_data *data);
double ml__criterion_risk(const ml__criterion *c, const uint32_t *rows, size_t m, double W_tree);

static inline double ml__gini_gain(size_t K, const int64_t *c, const int64_t *l_k, double W, double l, double r)
{
    double sum = 0;

    for (size_t k = 0; k < K; k++) {
        const double difference = (double)l_k[k] * r - (double)(c[k] - l_k[k]) * l;
        sum += difference * difference;
    }
    return sum / (l * r * W);
}

static inline double ml__squared_error_gain(int64_t S, int64_t S_l, double W, double l, double r)
{
    const double difference = (double)S_l * r - (double)(S - S_l) * l;

    return difference * difference / (l * r * W);
}
/* The node's row of values; `inherited` [K] gives those of outputs that no row has. */
void ml__criterion_value(const ml__criterion *c, const double *inherited, double *value);
/* What a side predicts: its mean or median, or the share of the last class. */
double ml__criterion_side_value(const ml__criterion *c, bool left);
/* Of the n rows in the lower halves of the keys, what categories are ordered by: the mean of output o, or the share of the
 * second of two classes, or of the node's largest class. */
double ml__criterion_score(const ml__criterion *c, size_t o, const uint64_t *keys, size_t n);

static inline void ml__criterion_move_left(ml__criterion *c, uint32_t row)
{
    const size_t n = c->data->n, n_outputs = c->data->n_outputs;

    for (size_t o = 0; o < n_outputs; o++) {
        const int64_t W = c->W[o * c->W_stride + row];

        c->left.W[o] += W;
        if (c->data->classify)
            c->left.c[c->data->y[o * n + row]] += W;
        else
            c->left.q[o] += c->q[o * n + row];
    }
    if (c->ranks)
        ml__criterion_rank_left(c, row);
}

/* ---- split.c ---- */

/* Feature number i of the order that `key` gives a node, by Fisher & Yates; `features` [d] is the identity before the first
 * draw and again after ml__undo_draws(). */
uint32_t ml__draw_feature(uint32_t *features, uint32_t *swapped, size_t d, size_t i, uint64_t key);
void ml__undo_draws(uint32_t *features, const uint32_t *swapped, size_t n_drawn);

typedef struct ml__split {
    double gain;            /* as ml__criterion_gain(); -1: none found */
    uint32_t feature, code; /* rows up to this code go left, */
    bool missing_left;      /* and those without a value if this is set */
    float threshold;
    bool is_set;   /* instead, the categories in the splitter's set go left */
    double middle; /* between what the sides predict; monotone trees only */
} ml__split;

/* A tree under construction, as far as the search for a split needs it. */
typedef struct ml__splitter {
    const ml__tree_data *data;
    ml__criterion *criterion; /* at the node */
    double lower, upper;      /* of what may be predicted below it */
    const int64_t *W;         /* [n] of this tree */
    int64_t W_node;           /* of the node */
    double least_weight;      /* of a side, in units of W */
    /* categorical features only */
    uint64_t *by_code;                  /* [m] keys by code */
    uint32_t *begin, *order;            /* [m + 1] first key of each category; [m] the categories by score */
    double *score;                      /* [m] */
    uint64_t *order_keys, *order_other; /* [m] workspace */
    uint32_t *set;                      /* of the best split, if it has one */
    uint64_t *keys, *other;             /* [n] code << 32 | row */
    uint32_t *features, *swapped;       /* [d] the identity between calls; see draw_feature() */
    /* large nodes are searched together with these, who follow the criterion */
    ml_context *context;
    struct ml__splitter **helpers; /* [n_helpers] */
    size_t n_helpers;
    ml__split found; /* by a helper, the best of its features; */
    size_t place;    /* which of them in the order of all */
    size_t n_useful; /* of them that are not constant */
} ml__splitter;

/* For trees of m rows. */
ml_status ml__splitter_create(ml__arena *arena, const ml__tree_data *data, ml__criterion *criterion, const int64_t *W,
                              size_t m, ml__splitter *s);
/* The split of rows[m], where the criterion stands, with the largest gain; `key` is the node's. */
ml_status ml__best_split(ml__splitter *s, const uint32_t *rows, size_t m, uint64_t key, ml__split *best);
/* In [a, b) for a < b, uniform. */
float ml__draw_threshold(float a, float b, uint64_t random);
/* The largest float that is not above the mean of a and b: a <= t < b for a < b. */
float ml__threshold_between(float a, float b);

/* ---- layout.c ---- */

/*
 * Fitted trees, as files hold them and predictions read them. A node is two words:
 *
 *     what    bits of the threshold; of a leaf a NaN whose lower 22 bits are its row of values
 *     link    left child << shift | feature << 2 | is a set << 1 | missing goes left; of a leaf its own number << shift
 *
 * so that "left + (x > threshold)" leads from node to node and leaves a leaf where it is. A split by categories has a flag
 * in its link, and in place of the threshold the number of the first word of its set. Trees for which 22 or
 * 32 - shift bits are too few have nodes of four words: what, the link without the child, left, row of values. The
 * nodes of a tree are in breadth-first order, so that the upper levels share cache lines, and so is every file.
 */
typedef struct ml__leaf_targets ml__leaf_targets;
typedef struct ml__trees {
    size_t n_trees, d, K;
    size_t n_words; /* of a node: ML__COMPACT_WORDS or ML__WIDE_WORDS */
    uint32_t shift;
    const uint32_t *words;      /* [nodes x n_words] of all trees */
    const int64_t *offset;      /* [n_trees + 1] first node of each tree */
    const int64_t *first_value; /* [n_trees] rows of values are counted from here */
    const double *value;        /* [values x K] */
    const uint32_t *sets;       /* [n_set_words] */
    size_t n_set_words;
    const ml__feature *features;          /* [d] */
    const uint32_t *depth;                /* [n_trees] */
    const int32_t *sole;                  /* [values] the only class of the row, or -1; NULL for reals */
    const ml__leaf_targets *leaf_targets; /* NULL: not kept */
} ml__trees;

enum {
    ML__COMPACT_WORDS = 2,
    ML__WIDE_WORDS = 4,
    ML__VALUE_MASK = (1 << 22) - 1,
    ML__MISSING_LEFT = 1,
    ML__IS_SET = 2,
    ML__FLAG_BITS = 2 /* below a feature's number: its bits are the offset of a float */
};

uint32_t ml__link_shift(size_t d);
/* Are the words of node i of tree t those that its parts have? */
bool ml__tree_words_are_plain(const ml__trees *trees, size_t t, size_t i);
static inline float ml__float_of(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t ml__bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Node i of tree t. */
static inline ml__tree_node ml__tree_node_at(const ml__trees *trees, size_t t, size_t i)
{
    const uint32_t *w = trees->words + ((size_t)trees->offset[t] + i) * trees->n_words;
    const bool compact = trees->n_words == ML__COMPACT_WORDS;
    const uint32_t left = compact ? w[1] >> trees->shift : w[2];
    const uint32_t column = compact ? w[1] & (((uint32_t)1 << trees->shift) - 1) : w[1];
    ml__tree_node node = {.feature = -1, .next = compact ? w[0] & ML__VALUE_MASK : w[3]};

    if (left == i)
        return node;
    node = (ml__tree_node){.feature = (int32_t)(column >> ML__FLAG_BITS),
                           .is_set = column & ML__IS_SET,
                           .missing_left = column & ML__MISSING_LEFT,
                           .next = left};
    if (node.is_set)
        node.set = w[0];
    else
        node.threshold = ml__float_of(w[0]);
    return node;
}

/* Where a row goes from a split. */
uint32_t ml__tree_child(const ml__trees *trees, const ml__tree_node *node, const float *x);
/* Put the importances of the features into f->learned. */
ml_status ml__importances_publish(ml__fit *f, const ml__tree *trees, size_t n_trees);
/* Of a node of a tree with n_nodes, with what predictions read besides. */
size_t ml__node_bytes(size_t d, size_t n_nodes);
/* Put the trees into f->learned and free them one by one. */
ml_status ml__trees_publish(ml__fit *f, size_t K, size_t n_trees, ml__tree *trees, ml__arena *arenas);

/* ---- forest.c, tree_walk.c ---- */

/* A tree is read once per block: many rows, so that it is not the trees' way to the processor that counts. */
enum { ML__TREE_BLOCK_ROWS = 2048 };

/* What to grow. */
typedef struct ml__forest_plan {
    const ml__tree_params *rules;
    size_t n_trees;
    bool in_drawn_order; /* search features in a drawn order even when all are */
    bool random_thresholds, bootstrap, pruning_path, oob_score, warm_start, keep_leaf_targets;
    ml__size max_samples;
} ml__forest_plan;

/* Learn trees and publish them. */
ml_status ml__trees_fit(ml__fit *f, const ml__forest_plan *plan);
/* What the kinds random_forest and extra_trees have in common. */
#define ML__FOREST_KIND(kind_name, kind_doc, parameters, fit_function)                                 \
    {                                                                                                  \
        .name = kind_name, .doc = kind_doc, .tasks = ML__CLASSIFY | ML__REGRESS,                       \
        .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MULTI_OUTPUT | ML__MISSING_LABELS, \
        .real = ML_FLOAT32, .params = parameters, .params_size = sizeof(ml__forest_params),            \
        .block_rows = ML__TREE_BLOCK_ROWS, .tensors = ml__forest_tensors, .fit = fit_function,         \
        .check = ml__forest_check_params, .prepare = ml__trees_prepare, .proba = ml__trees_predict,    \
        .values = ml__trees_predict, .scratch = ml__trees_scratch                                      \
    }
ml_status ml__forest_fit(ml__fit *f, bool random_thresholds);
ml_status ml__forest_check_params(const ml_model *model);

extern const ml__tensor_rule ml__forest_tensors[];
ml_status ml__trees_prepare(const ml_model *model, ml__learned *learned);
/* Of a fitted model. */
const ml__trees *ml__trees_of(const ml_model *model);
ml_status ml__trees_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__trees_scratch(const ml_model *model, size_t n);

static inline bool ml__has_trees(const ml__kind *kind)
{
    return kind->proba == ml__trees_predict;
}

/* What a leaf with this row of values predicts, to out [K]. */
static inline void ml__add_value(const ml__trees *trees, size_t row, double *out)
{
    if (trees->sole && trees->sole[row] >= 0) {
        out[trees->sole[row]] += 1; /* the others would get 0 */
        return;
    }
    for (size_t k = 0; k < trees->K; k++)
        out[k] += trees->value[row * trees->K + k];
}

/* Mean of n numbers that sum to `sum` in units of 2^exponent; rounding does not make it infinite. */
static inline double ml__mean_of_scaled(double sum, double n, int exponent)
{
    return fmin(fmax(ldexp(sum / n, exponent), -DBL_MAX), DBL_MAX);
}

/* ---- coded_trees.c ---- */

typedef struct ml__coded_trees ml__coded_trees;
enum { ML__CODED_NODE = 12 /* bytes: four, and a real's value */ };

/* Bytes to make them from trees that split d features, besides those of the nodes. */
size_t ml__coded_workspace(size_t d, size_t n_threads);
/* Of checked trees; *out stays NULL when they do not fit or it would not pay. */
ml_status ml__coded_trees_make(ml__learned *learned, const ml__trees *trees, size_t n_values,
                               const ml__coded_trees **out);
/* Add what the trees predict to out, tree by tree. */
ml_status ml__coded_add(const ml__coded_trees *coded, const ml__block *x, double *out, ml__scratch scratch);
size_t ml__coded_scratch(const ml__coded_trees *coded, size_t n);

/* Tensors that all kinds have. */
#define ML__TREES_TENSORS                                                                                              \
    {"feature_importances", ML_FLOAT64, "d", ML__FINITE | ML__NON_NEGATIVE}, {"trees.nodes", ML_INT32, "t*", ML__ANY}, \
        {"trees.offset", ML_INT64, "s", ML__ANY}, {"trees.first_value", ML_INT64, "u", ML__ANY},                       \
        {"trees.value", ML_FLOAT64, "v*", ML__FINITE},                                                                 \
        {"trees.leaf_size", ML_INT32, "v", ML__POSITIVE | ML__OPTIONAL},                                               \
        {"trees.leaf_rows", ML_INT32, "*", ML__OPTIONAL}, {"trees.targets", ML_FLOAT64, "on", ML__OPTIONAL},           \
        {"trees.weights", ML_FLOAT64, "n", ML__FINITE | ML__NON_NEGATIVE | ML__OPTIONAL},                              \
    {                                                                                                                  \
        "trees.sets", ML_INT32, "*", ML__OPTIONAL                                                                      \
    }

static inline uint64_t ml__tree_key(const ml__fit *f, size_t t)
{
    return ml__seed_mix(f->seed, t);
}

/* ---- leaf_rows.c ---- */

/* What the leaves of fitted trees keep: for each row of values, of which every leaf has its own, rows of the fit. */
struct ml__leaf_targets {
    size_t n, n_outputs;    /* rows of the fit that had an output */
    const int32_t *row;     /* [first[n_values]] ascending in each leaf, as often as drawn */
    const size_t *first;    /* [n_values + 1] into row */
    const double *t;        /* [O x n], NaN: missing */
    const double *w;        /* [n]; NULL: all are equal */
    const uint32_t *sorted; /* [O x n] rows by ascending target */
    const uint32_t *place;  /* [O x n] of a row among them */
};

/* How often each row of the data is in the sample of this key; count [n] is cleared. */
ml_status ml__tree_sample(const ml__tree_data *data, const ml__bins *bins, uint64_t key, ml__arena *scratch,
                          uint32_t *count);
/* Fill tree->rows from the sample of this key; data->X is needed. */
ml_status ml__leaf_rows_collect(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins, uint64_t key,
                                ml__tree *tree);
/* Of the leaves with rows of values first_value + from[v], v < n_values. */
ml_status ml__leaf_rows_copy(ml__arena *arena, const ml__leaf_targets *kept, size_t first_value, const uint32_t *from,
                             size_t n_values, ml__leaf_rows *out);
/* Leaves become others, to [n_from] of n_to: each gets the rows of all that become it. */
ml_status ml__leaf_rows_regroup(ml__arena *arena, const ml__leaf_rows *from, size_t n_from, const uint32_t *to,
                                size_t n_to, ml__leaf_rows *out);
/* What publishing the rows of a tree, or the targets of n rows, takes at most. */
size_t ml__leaf_rows_bytes(const ml__tree *tree);
size_t ml__leaf_targets_bytes(size_t n, size_t n_outputs);
/* Publish the targets of a fit, or those of fitted trees, if they have any. */
ml_status ml__leaf_targets_publish(ml__fit *f, const ml__tree_data *data);
ml_status ml__leaf_targets_publish_again(ml__fit *f, const ml__learned *from);
/* Do both keep the same targets, or neither any? */
bool ml__leaf_targets_equal(const ml__leaf_targets *a, const ml__leaf_targets *b);
/* Check the tensors and build what reads them; *out is NULL where nothing is kept. Nodes have been checked. */
ml_status ml__leaf_targets_prepare(ml__learned *learned, const ml__trees *trees, size_t n_values,
                                   const ml__leaf_targets **out);

/* ---- out_of_bag.c ---- */

/* The leaf of a row of the fit. */
static inline const ml__tree_node *ml__tree_leaf(const ml__tree *tree, const float *x)
{
    const ml__tree_node *node = tree->nodes;

    while (node->feature >= 0) {
        const float value = x[node->feature];
        const bool right = isnan(value)   ? !node->missing_left
                           : node->is_set ? !ml__in_set(tree->sets + node->set, (uint32_t)value) /* as in the fit */
                                          : value > node->threshold;
        node = tree->nodes + node->next + right;
    }
    return node;
}

/* Publish the estimates; `bins`: what the trees were grown from, NULL when it was ranks. */
ml_status ml__out_of_bag(ml__fit *f, const ml__tree_data *data, const ml__bins *bins, size_t n_trees,
                         const ml__tree *trees);

/* ---- reserve.c ---- */

typedef struct ml__held ml__held;
typedef struct ml__reserve {
    ml_context *context;
    bool is_on;
    ml__held *held;
    uint64_t n_refused; /* when it was opened */
} ml__reserve;

void ml__reserve_open(ml__reserve *r, ml_context *context, size_t n_bytes);
/* Hold back n_bytes more; false when the limit does not allow it. */
bool ml__reserve_add(ml__reserve *r, size_t n_bytes);
/* Has the limit been reached since? */
bool ml__reserve_was_needed(const ml__reserve *r);
/* Give all back; nothing is held back from then on. */
void ml__reserve_free(ml__reserve *r);

/* ---- warm_start.c ---- */

/* What samples are drawn from: rows, draws, builder, seed, a hash of the data; and a hash of the rows' weights. */
enum { ML__DRAWS_OF_SAMPLES = 5, ML__DRAWS_FACTS = 6 };
typedef struct ml__draws {
    int64_t facts[ML__DRAWS_FACTS];
} ml__draws;
ml_status ml__describe_draws(const ml__fit *f, const ml__tree_data *data, bool by_columns, ml__draws *out);
/* Trees of the model that is fitted again. */
size_t ml__kept_trees(const ml__fit *f);
/* Put them into out and arenas. */
ml_status ml__keep_trees(ml__fit *f, const ml__forest_plan *plan, const ml__draws *now, ml__tree *out,
                         ml__arena *arenas);
/* What the next fit needs to go on from these trees. */
ml_status ml__publish_for_growing_on(ml__fit *f, const ml__draws *now, size_t n_trees, const ml__tree *trees);

/* ---- inspect.c, algebra.c, prune.c ---- */

/* Fitted trees, or ML_E_ARGUMENT, ML_E_UNSUPPORTED, ML_E_STATE. */
ml_status ml__find_trees(const ml_model *model, const ml__trees **out);
/* Gets n rows from `first` on; parts are below the number of threads, and one runs after itself only. */
typedef ml_status (*ml__row_visitor)(void *argument, size_t part, size_t first, size_t n, const float *x);
/* Blocks of at most most_rows of all rows in single precision, parts in parallel. */
ml_status ml__visit_rows(const ml_model *model, const ml_dataset *data, size_t most_rows, ml__arena *scratch,
                         ml__row_visitor visit, void *argument);
/* From the root to a leaf, which is returned; the nodes into `path`, unless it is NULL. */
int32_t ml__tree_walk(const ml__trees *trees, size_t t, const float *x, int32_t *path, size_t *length);
static inline size_t ml__tree_size(const ml__trees *trees, size_t t)
{
    return (size_t)(trees->offset[t + 1] - trees->offset[t]);
}

/* A fitted model of several trees, or ML_E_ARGUMENT, ML_E_UNSUPPORTED, ML_E_STATE. */
ml_status ml__forest_check(const ml_model *model);
/* Give the tree, whose leaves number rows of values of tree t, a table of its own for these, with the rows of the fit that
 * leaves keep; their order stays. */
ml_status ml__tree_own_values(ml__arena *arena, const ml__trees *trees, size_t t, ml__tree *tree);
/* Give the tree a table of its own for the sets of its nodes, which are somewhere in `sets`; their order stays. */
ml_status ml__tree_own_sets(ml__arena *arena, const ml__trees *trees, const uint32_t *sets, ml__tree *tree);
/* Tree t as it might have been grown: same nodes, and of the rows of values those that its leaves have. */
ml_status ml__tree_extract(ml__arena *arena, const ml__trees *trees, size_t t, ml__tree *out);
/* A fitted forest of these trees, with the parameters and schema of `like`. Frees the arenas as ml__trees_publish(). */
ml_status ml__forest_make(const ml_model *like, size_t n_trees, ml__tree *trees, ml__arena *arenas,
                          const double *importances, ml_model **out);

/* Rows that say what a split is worth: classes of the model (what is none of them is wrong) or values; NaN is left out. */
typedef struct ml__prune_data {
    const ml_dataset *data;
    const double *y, *w; /* [n_rows] */
} ml__prune_data;

/* The forest with its weakest splits removed until it has at most max_nodes nodes. */
ml_status ml__forest_cut(const ml_model *forest, size_t max_nodes, const ml__prune_data *rows, ml_model **out);

#endif
