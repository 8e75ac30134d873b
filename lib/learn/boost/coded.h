/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boosting of trees on byte codes that are made once: see coded.c.
 *
 * Symbols   n rows of positive weight, in the order of their classes; d features, K classes;  i row, j feature, k class
 *           w weight of a row, an integer; W sums of them
 */
#ifndef ML__LEARN_BOOST_CODED_H
#define ML__LEARN_BOOST_CODED_H

#include "learn/tree/tree.h"

/* Rows of one class that are reweighted together. */
typedef struct ml__piece {
    size_t begin, n;
    uint32_t k;       /* their class */
    uint64_t *chosen; /* bits: the rows that the last tree gets wrong */
    size_t n_changed; /* rows with a new weight, all or the chosen ones: */
    uint64_t *delta;  /* [n_changed] what their weights gained */
    uint64_t gained;  /* sum of that */
} ml__piece;

/* A node whose best cut is looked for. */
typedef struct ml__coded_node {
    uint32_t node, feature;
    size_t begin, middle, end; /* its rows; from middle on they go right */
    ml__tree_cut cut;
    uint32_t next; /* the lowest code beyond the cut */
} ml__coded_node;

typedef struct ml__coded_leaf {
    size_t begin, end;
    uint64_t wrong;   /* weight of the rows that are not of its class */
    double sum_ahead; /* see ml__coded */
} ml__coded_leaf;

typedef struct ml__coded_levels ml__coded_levels;

typedef struct ml__coded {
    ml_context *context;
    const ml__tree_kernels *kernels;
    size_t n, d, K, max_depth;
    ml__bins bins;
    uint64_t *w; /* [n] */
    ml__piece *pieces;
    size_t n_pieces;
    uint64_t *class_weight, W; /* [K] and their sum */
    uint64_t wrong;            /* weight of the rows that the last tree gets wrong */
    bool all_changed;          /* weights, since the tables were made */
    double factor, scale;      /* of the weights that change */
    double power;              /* of SAMME.R: learning_rate (K - 1) / K; else 0 */
    double *row_factor;        /* of SAMME.R: [n] of each weight by the last tree */
    double sum_ahead;          /* and the sum of the weights then */
    uint64_t *tables;          /* weight of each class at each code, of all rows: for feature j [K x stride[j]] */
    size_t *table_at, *stride; /* [d] */
    ml__tree_cut *cuts;        /* [d] the best ones of all rows */
    ml__coded_levels *levels;  /* workspace below the root; NULL for stumps */
} ml__coded;

/* Are trees with the parameters of this one grown this way, on such data? */
ml_status ml__coded_serves(const ml__fit *f, const ml_model *tree, size_t max_bins, bool *serves);
/* Everything is in f->scratch. `w` [n] are the sample weights; `power` is 0 but for SAMME.R. */
ml_status ml__coded_create(ml__fit *f, const ml__tree_params *base, size_t max_bins, const double *w, double power,
                           ml__coded **out);
/* The tree of the weights as they are, in `arena`; *error is its share of wrong weight. */
ml_status ml__coded_grow(ml__coded *c, ml__arena *arena, ml__tree *out, double *error);
/* Multiply the weights of the rows that the last tree got wrong by factor > 1, or of SAMME.R all of them by what the tree
 * says, unless that goes beyond all numbers. */
ml_status ml__coded_reweight(ml__coded *c, double factor, bool *are_finite);

/* levels.c */
ml_status ml__coded_levels_create(ml__coded *c, ml__arena *arena);
/* A tree whose root is split by `cut` of `feature`; marks the wrong rows. */
ml_status ml__coded_grow_levels(ml__coded *c, ml__arena *arena, size_t feature, ml__tree_cut cut, ml__tree *out);
/* Of a table of so many codes: the kernel takes eight at a time. */
static inline size_t ml__coded_stride(size_t n_codes)
{
    return (n_codes + 7) / 8 * 8;
}
/* Class shares of a leaf from its class weights; returns its class. */
size_t ml__coded_shares(size_t K, const uint64_t *class_weight, double *share);
/* Of SAMME.R: what the weights of each class are multiplied by in a leaf; returns what they sum to then. */
double ml__coded_factors(const ml__coded *c, const uint64_t *class_weight, const double *share, double *factor);

#endif
