/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From grown trees to the tensors that files hold and predictions read; see tree.h for a node's words.
 *
 * Rows of values   of reals each leaf has its own, counted from the tree's first. Of labels, equal rows are kept once in the
 *                  whole forest: most leaves hold one class only. They are in the order in which the trees bring them, so
 *                  a forest put together from parts of another is that one again.
 * Importance       of a feature: what the splits on it gained, as shares of the tree's total; the mean over the trees that
 *                  have a split, as shares again (Breiman 2001; scikit-learn's feature_importances_). All 0 when no tree
 *                  has a split.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum { MAX_COMPACT_VALUES = ML__VALUE_MASK + 1 };
static const double NODE_NANOSECONDS = 5; /* to write one */
static const uint32_t LEAF_NAN = 0x7fc00000u;

uint32_t ml__link_shift(size_t d)
{
    uint32_t n_bits = 0;

    for (size_t largest = d - 1; largest; largest >>= 1)
        n_bits++;
    return n_bits + ML__FLAG_BITS;
}

/* ---- rows of values ---- */

/* Rows of shares by their bits: open addressing, at most half full. */
typedef struct {
    ml__arena *arena;
    size_t K, n, capacity; /* rows */
    double *rows;          /* [capacity x K] */
    size_t n_slots;        /* a power of two */
    uint32_t *slots;       /* [n_slots] row + 1; 0: free */
} shares;

static size_t hash_row(const double *row, size_t K)
{
    uint64_t hash = K;

    for (size_t k = 0; k < K; k++) {
        uint64_t bits;
        memcpy(&bits, &row[k], sizeof bits);
        hash = (hash ^ bits) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    return (size_t)hash;
}

/* The slot that holds the row, or the free one where it belongs. */
static size_t slot_of(const shares *s, const double *row)
{
    size_t at = hash_row(row, s->K) & (s->n_slots - 1);

    while (s->slots[at] && memcmp(s->rows + (s->slots[at] - 1) * s->K, row, s->K * sizeof *row) != 0)
        at = (at + 1) & (s->n_slots - 1);
    return at;
}

static ml_status grow_shares(shares *s)
{
    const size_t capacity = s->capacity ? 2 * s->capacity : 64;
    double *rows;
    ml_status st = ML_OK;

    ML__NEW(s->arena, rows, capacity * s->K);
    ML__NEW(s->arena, s->slots, 2 * capacity);
    if (s->n)
        memcpy(rows, s->rows, s->n * s->K * sizeof *rows);
    s->rows = rows;
    s->capacity = capacity;
    s->n_slots = 2 * capacity;
    for (size_t i = 0; i < s->n; i++)
        s->slots[slot_of(s, rows + i * s->K)] = (uint32_t)i + 1;
done:
    return st;
}

static ml_status find_shares(shares *s, const double *row, uint32_t *number)
{
    size_t at;
    ml_status st = ML_OK;

    if (s->n == s->capacity)
        ML__TRY(grow_shares(s));
    at = slot_of(s, row);
    if (!s->slots[at]) {
        memcpy(s->rows + s->n * s->K, row, s->K * sizeof *row);
        s->slots[at] = (uint32_t)++s->n;
    }
    *number = s->slots[at] - 1;
done:
    return st;
}

/* Numbers of the tree's rows of values in `s`. */
static ml_status share_values(shares *s, const ml__tree *tree, uint32_t *number)
{
    ml_status st = ML_OK;

    for (size_t v = 0; v < tree->n_values; v++)
        ML__TRY(find_shares(s, tree->value + v * s->K, &number[v]));
done:
    return st;
}

/* ---- nodes ---- */

static void write_node(uint32_t *w, size_t n_words, uint32_t shift, size_t i, const ml__tree_node *node, uint32_t left)
{
    const bool leaf = node->feature < 0;
    const uint32_t flags = (node->is_set ? ML__IS_SET : 0) | (node->missing_left ? ML__MISSING_LEFT : 0);
    const uint32_t column = leaf ? 0 : (uint32_t)node->feature << ML__FLAG_BITS | flags;

    if (leaf)
        left = (uint32_t)i;
    w[0] = leaf ? LEAF_NAN : node->is_set ? node->set : ml__bits_of(node->threshold);
    if (n_words == ML__COMPACT_WORDS) {
        w[0] |= leaf ? node->next : 0;
        w[1] = left << shift | column;
    } else {
        w[1] = column;
        w[2] = left;
        w[3] = leaf ? node->next : 0;
    }
}

bool ml__tree_words_are_plain(const ml__trees *trees, size_t t, size_t i)
{
    const uint32_t *w = trees->words + ((size_t)trees->offset[t] + i) * trees->n_words;
    uint32_t plain[ML__WIDE_WORDS];
    ml__tree_node node;

    if (trees->n_words == ML__COMPACT_WORDS && w[1] >> trees->shift != i)
        return true; /* a split, every bit is a part of something */
    node = ml__tree_node_at(trees, t, i);
    write_node(plain, trees->n_words, trees->shift, i, &node, node.next);
    for (size_t k = 0; k < trees->n_words; k++)
        if (plain[k] != w[k])
            return false;
    return true;
}

/* Breadth first: `order` [n_nodes] is the queue, which also says where each node goes. `number`: of the rows of values, or
 * NULL when they stay as they are. */
static void write_tree(const ml__tree *tree, const uint32_t *number, size_t n_words, uint32_t shift, uint32_t *order,
                       uint32_t *words)
{
    uint32_t n = 1;

    order[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        ml__tree_node node = tree->nodes[order[i]];

        if (node.feature < 0 && number)
            node.next = number[node.next];
        write_node(words + (size_t)i * n_words, n_words, shift, i, &node, n);
        if (node.feature >= 0) {
            order[n++] = node.next;
            order[n++] = node.next + 1;
        }
    }
}

/* ---- all trees ---- */

static size_t words_of_node(size_t d, size_t most_nodes, size_t most_values)
{
    const uint32_t shift = ml__link_shift(d);

    return shift < 32 && most_nodes <= (size_t)1 << (32 - shift) && most_values <= MAX_COMPACT_VALUES
               ? ML__COMPACT_WORDS
               : ML__WIDE_WORDS;
}

size_t ml__node_bytes(size_t d, size_t n_nodes)
{
    return words_of_node(d, n_nodes, n_nodes) * sizeof(uint32_t) + ML__CODED_NODE;
}

typedef struct {
    size_t n_nodes, most_nodes, n_values, most_values, n_set_words, n_rows;
} totals;

static totals count(const ml__tree *trees, size_t n_trees)
{
    totals all = {0};

    for (size_t t = 0; t < n_trees; t++) {
        all.n_nodes += trees[t].n_nodes;
        all.n_values += trees[t].n_values;
        all.n_set_words += trees[t].n_set_words;
        all.n_rows += trees[t].rows.n;
        all.most_nodes = trees[t].n_nodes > all.most_nodes ? trees[t].n_nodes : all.most_nodes;
        all.most_values = trees[t].n_values > all.most_values ? trees[t].n_values : all.most_values;
    }
    return all;
}

/* The sets of all trees in one table; their nodes follow. */
static ml_status publish_sets(ml__fit *f, size_t n_words, size_t n_trees, ml__tree *trees)
{
    int32_t *sets;
    size_t at = 0;
    ml_status st = ML_OK;

    if (!n_words)
        return ML_OK;
    ML__CHECK(n_words <= UINT32_MAX, ML_E_LIMIT, "sets of categories take %zu words, nodes can number 2^32", n_words);
    ML__PUBLISH(f, sets, "trees.sets", ML_INT32, n_words);
    for (size_t t = 0; t < n_trees; t++) {
        for (size_t i = 0; i < trees[t].n_nodes; i++)
            if (trees[t].nodes[i].is_set)
                trees[t].nodes[i].set += (uint32_t)at;
        if (trees[t].n_set_words)
            memcpy(sets + at, trees[t].sets, trees[t].n_set_words * sizeof *sets);
        at += trees[t].n_set_words;
    }
done:
    return st;
}

static double sum_of(const double *v, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

ml_status ml__importances_publish(ml__fit *f, const ml__tree *trees, size_t n_trees)
{
    double *importances, sum;
    ml_status st = ML_OK;

    ML__PUBLISH(f, importances, "feature_importances", ML_FLOAT64, f->d);
    for (size_t t = 0; t < n_trees; t++) {
        sum = sum_of(trees[t].importance, f->d);
        for (size_t j = 0; j < f->d && sum > 0; j++)
            importances[j] += trees[t].importance[j] / sum;
    }
    sum = sum_of(importances, f->d);
    for (size_t j = 0; j < f->d && sum > 0; j++)
        importances[j] /= sum;
done:
    return st;
}

/* What is written, tree by tree. */
typedef struct {
    ml__tree *trees;
    ml__arena *arenas;
    size_t K, n_words;
    uint32_t shift;
    uint32_t **number; /* [n_trees] of labels: numbers of the rows of values; else NULL */
    uint32_t *words;
    const int64_t *offset, *first_value;
    double *value;                  /* of reals */
    int32_t *leaf_size, *leaf_rows; /* NULL: not kept */
    size_t *first_row;              /* [n_trees] of leaf_rows */
} writing;

/* Frees the tree. */
static ml_status write_one(void *argument, size_t t)
{
    const writing *w = argument;
    const ml__tree *tree = &w->trees[t];
    uint32_t *order;
    ml_status st = ML_OK;

    ML__NEW(&w->arenas[t], order, tree->n_nodes);
    write_tree(tree, w->number ? w->number[t] : NULL, w->n_words, w->shift, order,
               w->words + (size_t)w->offset[t] * w->n_words);
    if (!w->number)
        memcpy(w->value + (size_t)w->first_value[t] * w->K, tree->value, tree->n_values * w->K * sizeof *w->value);
    if (w->leaf_size) {
        memcpy(w->leaf_size + w->first_value[t], tree->rows.size, tree->n_values * sizeof *w->leaf_size);
        memcpy(w->leaf_rows + w->first_row[t], tree->rows.row, tree->rows.n * sizeof *w->leaf_rows);
    }
    ml__arena_free(&w->arenas[t]);
done:
    return st;
}

/* The rows of values of labels, each once. */
static ml_status share_all(ml__fit *f, size_t n_trees, shares *s, writing *w)
{
    ml_status st = ML_OK;

    ML__NEW(f->scratch, w->number, n_trees);
    for (size_t t = 0; t < n_trees; t++) {
        ML__NEW(f->scratch, w->number[t], w->trees[t].n_values);
        ML__TRY(share_values(s, &w->trees[t], w->number[t]));
    }
done:
    return st;
}

/* Places for the rows of leaves, where those are kept: all trees keep them or none does. */
static ml_status publish_leaf_rows(ml__fit *f, size_t n_trees, const totals *all, writing *w)
{
    ml_status st = ML_OK;

    if (!w->trees[0].rows.size)
        return ML_OK;
    ML__PUBLISH(f, w->leaf_size, "trees.leaf_size", ML_INT32, all->n_values);
    ML__PUBLISH(f, w->leaf_rows, "trees.leaf_rows", ML_INT32, all->n_rows);
    ML__NEW(f->scratch, w->first_row, n_trees);
    for (size_t t = 1; t < n_trees; t++)
        w->first_row[t] = w->first_row[t - 1] + w->trees[t - 1].rows.n;
done:
    return st;
}

ml_status ml__trees_publish(ml__fit *f, size_t K, size_t n_trees, ml__tree *trees, ml__arena *arenas)
{
    const totals all = count(trees, n_trees);
    shares s = {.arena = f->scratch, .K = K};
    writing w = {.trees = trees, .arenas = arenas, .K = K, .shift = ml__link_shift(f->d)};
    size_t n_values = all.n_values, most_values = all.most_values;
    int32_t *words;
    int64_t *offset, *first_value;
    ml_status st;

    if (f->task == ML__CLASSIFY) {
        ML__TRY(share_all(f, n_trees, &s, &w));
        n_values = most_values = s.n;
    }
    w.n_words = words_of_node(f->d, all.most_nodes, most_values);
    ML__TRY(publish_sets(f, all.n_set_words, n_trees, trees));
    ML__PUBLISH(f, words, "trees.nodes", ML_INT32, all.n_nodes, w.n_words);
    ML__PUBLISH(f, offset, "trees.offset", ML_INT64, n_trees + 1);
    ML__PUBLISH(f, first_value, "trees.first_value", ML_INT64, n_trees);
    ML__PUBLISH(f, w.value, "trees.value", ML_FLOAT64, n_values, K);
    if (f->task == ML__CLASSIFY)
        memcpy(w.value, s.rows, n_values * K * sizeof *w.value);
    ML__TRY(publish_leaf_rows(f, n_trees, &all, &w));
    w.words = (uint32_t *)words;
    w.offset = offset;
    w.first_value = first_value;
    for (size_t t = 0; t < n_trees; t++) {
        offset[t + 1] = offset[t] + (int64_t)trees[t].n_nodes;
        if (f->task != ML__CLASSIFY && t + 1 < n_trees)
            first_value[t + 1] = first_value[t] + (int64_t)trees[t].n_values;
    }
    ML__TRY(ml__parallel_for_cost(f->context, n_trees, NODE_NANOSECONDS * (double)all.n_nodes / (double)n_trees,
                                  write_one, &w));
done:
    return st;
}
