/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of trees: the search for a split, and moving rows, on codes of one byte.
 *
 * A feature's values are numbers 0 to n_codes - 1 <= 255 here, a column of one byte per row; rows come with a whole weight
 * from 1 to 255 (how often a bootstrap drew them). All sums are of whole numbers, and a gain is computed from them by the
 * same operations everywhere: in single precision in nodes of less weight than ML__LIGHT_NODE, where that makes no sum
 * inexact, else in double. So every table gives the same result, to the bit, by whatever way.
 *
 * Columns may be read, and be written with what they hold, up to 63 bytes beyond their last row (ML__COLUMN_PADDING).
 */
#ifndef ML__KERNEL_TREES_H
#define ML__KERNEL_TREES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ML__LIGHT_NODE = 2048,
    ML__COLUMN_PADDING = 64,
    ML__MAX_CODES = 256,
    ML__CUT_STEP = 16,
    ML__CODING_CUTS = ML__MAX_CODES + ML__CUT_STEP, /* of a feature in ml__tree_coding */
    ML__TREE_ORDER_MORE = 16,                       /* room behind the order of the rows */
    ML__SMALL_TARGETS = 48 /* rows of a node, of weight below 2^14, for which `products` is used instead of `packed` */
};

/* The rows of a node: what all its features have in common. */
typedef struct ml__tree_rows {
    size_t n;
    const uint8_t *weight; /* [n] */
    uint32_t W;            /* their sum */
    /* two classes: rows of the first come first */
    size_t n_first;
    uint32_t W_first;
    /* several classes: rows of a class are neighbours, in ascending order of classes */
    const uint8_t *label;         /* [n] */
    const uint32_t *class_weight; /* [K] of the classes that are here */
    uint64_t sum_squares;         /* of these */
    size_t n_classes_here;
    uint32_t heaviest_class;      /* its weight */
    const uint32_t *class_end;    /* [n_classes_here] behind the last row of each */
    uint32_t *order, *class_left; /* workspace [n + ML__TREE_ORDER_MORE], [K] */
    /* targets */
    const int32_t *products, *weights; /* [n] weight times target, and weight, or NULL; the sums stay below 2^30 */
    const int64_t *packed;             /* [n] (weight times target << shift) + weight otherwise */
    uint32_t shift;                    /* W < 2^shift */
    int64_t S;                         /* sum of the products, below 2^(62 - shift) and 2^51 */
} ml__tree_rows;

/* The best cut of a node so far: codes up to `code` go left. `column` is that of the features given to a search which found
 * it. */
typedef struct ml__tree_cut {
    double gain; /* -1: none yet */
    uint32_t code, column;
} ml__tree_cut;

/*
 * How rows are coded for trees that compare codes. A code is how many of at most 255 ascending cuts are below the value; each
 * feature's stand in two columns, one in which a missing value is 255, and so is right of every cut, and one in which it is 0.
 * Of a feature `cuts` has first the 16th, 32nd … 240th and +inf, then all 256, the unused ones and the last +inf.
 */
typedef struct ml__tree_coding {
    size_t n_features;           /* that are coded */
    const uint32_t *feature;     /* [n_features] */
    const float *cuts;           /* [n_features x ML__CODING_CUTS] */
    const uint8_t *right, *left; /* [n_features] the two columns; unused ones may be the same everywhere */
} ml__tree_coding;

/* One prototype per operation; OP(name) the declarator. */
#define ML__TREE_OPS(OP)                                                                                                  \
    /* code[i] = how many of 256 ascending cuts (the unused ones and the last +inf) are below x[i]; NaN gives 0 */        \
    void OP(tree_encode)(size_t n, const float *x, const float *cuts, uint8_t *code);                                     \
    /* the same of n rows of d values; codes of a row are `stride` bytes from those of the next */                        \
    void OP(tree_encode_rows)(size_t n, size_t d, const float *x, const ml__tree_coding *coding, uint8_t *codes,          \
                              size_t stride);                                                                             \
    /* bit i % 64 of word i / 64 of `left`: code[i] <= cut, 0 from n on; returns how many */                              \
    size_t OP(tree_compare)(size_t n, const uint8_t *code, uint32_t cut, uint64_t *left);                                 \
    /* the least code above cut, 255 without any */                                                                       \
    uint32_t OP(tree_next)(size_t n, const uint8_t *code, uint32_t cut);                                                  \
    /* in each of n_columns columns of n rows, `stride` apart, those with a bit in `left` first, both parts in order; */  \
    /* spare[n + ML__COLUMN_PADDING] is workspace */                                                                      \
    void OP(tree_move)(size_t n, size_t n_columns, uint8_t * columns, size_t stride, const uint64_t *left,                \
                       uint8_t *spare);                                                                                   \
    /* the same for one column of four bytes; spare[n + 16] */                                                            \
    void OP(tree_move_ids)(size_t n, uint32_t * ids, const uint64_t *left, uint32_t *spare);                              \
    /* the rows with a bit in `chosen`, in order; `to` has room for 64 more; returns how many */                          \
    size_t OP(tree_choose)(size_t n, const uint8_t *from, const uint64_t *chosen, uint8_t *to);                           \
    /* sum of n weights */                                                                                                \
    uint64_t OP(tree_sum)(size_t n, const uint8_t *weight);                                                               \
    /* products and packed of ml__tree_rows: target number ids[i] becomes (t - centre) scale, rounded; returns the sum */ \
    int64_t OP(tree_products)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,       \
                              double scale, int32_t *products, int32_t *weights);                                         \
    int64_t OP(tree_pack)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,           \
                          double scale, uint32_t shift, int64_t *packed);                                                 \
    /* Better cuts of these features than *best; ties to *best, then to the first feature, then to the lowest code; */    \
    /* false when all rows have one code in each. A cut leaves weight l and r on its sides, of class k l_k and r_k, */    \
    /* of the products S_l. Gain of two classes: (l_0 W - W_0 l)^2 / (l r) */                                             \
    bool OP(tree_cut_two)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,                       \
                          const uint32_t *n_codes, ml__tree_cut *best);                                                   \
    /* several classes: sum l_k^2 / l + sum r_k^2 / r */                                                                  \
    bool OP(tree_cut_classes)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,                   \
                              const uint32_t *n_codes, ml__tree_cut *best);                                               \
    /* targets: (S_l W - S l)^2 / (l r), always in double */                                                              \
    bool OP(tree_cut_targets)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,                   \
                              const uint32_t *n_codes, ml__tree_cut *best);                                               \
    /* Better cuts, ties as above, by a table of weights [K x stride], whose rows sum to class_weight[K] and all */       \
    /* together to less than 2^62; stride is a multiple of 8, K <= ML__MAX_CODES. Gain, always in double: */              \
    /* sum_k (l_k r - r_k l)^2 / (l r) */                                                                                 \
    void OP(tree_cut_table)(size_t K, size_t stride, const uint64_t *table, const uint64_t *class_weight,                 \
                            ml__tree_cut *best);

#endif
