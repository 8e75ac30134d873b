/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree on byte codes with weights of any size, level by level below its root: see coded.c for the rest.
 *
 * Rows        the numbers of a node's rows are neighbours in `ids`, in the order of classes
 * Search      a task is a node and some features. For each of these the weights of the node's rows are summed by class and
 *             code: only classes that the node has, and in small nodes only codes that it has, take part
 * Leaves      depth, one row, rows all of one class, or no feature varies
 */
#include <stdatomic.h>
#include <string.h>

#include "learn/boost/coded.h"

enum {
    GROUP_FEATURES = 8, /* of a task, for which the node's rows are described once */
    BATCH_NODES = 1024  /* searched at a time: their tasks' results are kept until they are compared */
};

/* What one thread works with. */
typedef struct {
    uint64_t *w;                 /* [n] */
    uint8_t *class_here, *codes; /* [n]; class among those of the node */
    uint64_t *table;             /* [K x ML__MAX_CODES] */
    uint64_t *class_weight;      /* [K] of the node's classes */
    size_t n_classes;
} worker;

struct ml__coded_levels {
    uint32_t *ids, *spare; /* [n] */
    uint8_t *is_right;     /* [n] of all rows, by the tree */
    ml__tree_node *nodes;  /* [most_nodes] */
    ml__coded_node *open, *next_open;
    ml__coded_leaf *leaves;
    size_t n_nodes, n_open, n_next, n_leaves;
    ml__coded_node *found; /* [batch x groups] what the tasks found */
    size_t n_groups, first_of_batch, n_batch;
    worker *workers;
    size_t n_workers;
    atomic_size_t next_task;
    double *value; /* of the leaves */
    double *importance;
};

/* ---- workspace ---- */

static ml_status make_worker(const ml__coded *c, ml__arena *arena, worker *w)
{
    ml_status st = ML_OK;

    ML__NEW(arena, w->w, c->n);
    ML__NEW(arena, w->class_here, c->n);
    ML__NEW(arena, w->codes, c->n);
    ML__NEW(arena, w->table, c->K * ML__MAX_CODES);
    ML__NEW(arena, w->class_weight, c->K);
done:
    return st;
}

ml_status ml__coded_levels_create(ml__coded *c, ml__arena *arena)
{
    const size_t most_leaves = c->max_depth < 26 && (size_t)1 << c->max_depth < c->n ? (size_t)1 << c->max_depth : c->n;
    const size_t most_open = most_leaves / 2 + 1;
    ml__coded_levels *g;
    ml_status st = ML_OK;

    ML__NEW(arena, g, 1);
    c->levels = g;
    g->n_groups = (c->d + GROUP_FEATURES - 1) / GROUP_FEATURES;
    g->n_workers = ml__n_threads(c->context);
    ML__NEW(arena, g->ids, c->n);
    ML__NEW(arena, g->spare, c->n);
    ML__NEW(arena, g->is_right, c->n + ML__COLUMN_PADDING);
    ML__NEW(arena, g->nodes, 2 * most_leaves);
    ML__NEW(arena, g->leaves, most_leaves);
    ML__NEW(arena, g->open, most_open);
    ML__NEW(arena, g->next_open, most_open);
    ML__NEW(arena, g->found, (most_open < BATCH_NODES ? most_open : BATCH_NODES) * g->n_groups);
    ML__NEW(arena, g->workers, g->n_workers);
    for (size_t i = 0; i < g->n_workers; i++)
        ML__TRY(make_worker(c, arena, &g->workers[i]));
done:
    return st;
}

/* ---- search ---- */

/* Weights and classes of the node's rows. */
static void describe(const ml__coded *c, const ml__coded_node *node, worker *w)
{
    const uint32_t *ids = c->levels->ids + node->begin;
    const uint8_t *label = c->bins.label;
    size_t k = 0;

    w->class_weight[0] = 0;
    for (size_t i = 0; i < node->end - node->begin; i++) {
        if (i && label[ids[i]] != label[ids[i - 1]])
            w->class_weight[++k] = 0;
        w->w[i] = c->w[ids[i]];
        w->class_here[i] = (uint8_t)k;
        w->class_weight[k] += w->w[i];
    }
    w->n_classes = k + 1;
}

/* Number the codes that occur from 0 on, in ascending order; code_of says what they were. Returns how many. */
static size_t number_codes(uint8_t *codes, size_t n, uint8_t *code_of)
{
    uint64_t occurs[ML__MAX_CODES / 64] = {0};
    uint8_t number[ML__MAX_CODES];
    size_t n_codes = 0;

    for (size_t i = 0; i < n; i++)
        occurs[codes[i] / 64] |= (uint64_t)1 << codes[i] % 64;
    for (size_t word = 0; word < ML__MAX_CODES / 64; word++)
        for (uint64_t bits = occurs[word]; bits; bits &= bits - 1) {
            code_of[n_codes] = (uint8_t)(64 * word + (size_t)__builtin_ctzll(bits));
            number[code_of[n_codes]] = (uint8_t)n_codes;
            n_codes++;
        }
    for (size_t i = 0; i < n; i++)
        codes[i] = number[codes[i]];
    return n_codes;
}

/* Sum the weights of the node's rows by class and code. Nodes with fewer rows than the feature has codes use numbers of
 * codes instead. Returns how many codes or numbers there are. */
static size_t fill_table(const ml__coded *c, worker *w, size_t j, const ml__coded_node *node, bool is_small,
                         uint8_t *code_of)
{
    const uint32_t *ids = c->levels->ids + node->begin;
    const uint8_t *column = c->bins.code + j * c->bins.stride;
    const size_t n = node->end - node->begin;
    size_t n_codes = c->bins.n_codes[j], stride;

    if (is_small) {
        for (size_t i = 0; i < n; i++)
            w->codes[i] = column[ids[i]];
        n_codes = number_codes(w->codes, n, code_of);
    }
    stride = ml__coded_stride(n_codes);
    memset(w->table, 0, w->n_classes * stride * sizeof *w->table);
    if (is_small)
        for (size_t i = 0; i < n; i++)
            w->table[w->class_here[i] * stride + w->codes[i]] += w->w[i];
    else
        for (size_t i = 0; i < n; i++)
            w->table[w->class_here[i] * stride + column[ids[i]]] += w->w[i];
    return n_codes;
}

static void search_feature(const ml__coded *c, worker *w, size_t j, ml__coded_node *node)
{
    const bool is_small = node->end - node->begin < c->bins.n_codes[j];
    uint8_t code_of[ML__MAX_CODES];
    const size_t n_codes = c->bins.n_codes[j] > 1 ? fill_table(c, w, j, node, is_small, code_of) : 1;
    ml__tree_cut cut = node->cut;

    if (n_codes == 1)
        return;
    c->kernels->tree_cut_table(w->n_classes, ml__coded_stride(n_codes), w->table, w->class_weight, &cut);
    if (cut.gain > node->cut.gain) {
        node->cut = (ml__tree_cut){cut.gain, is_small ? code_of[cut.code] : cut.code, 0};
        node->feature = (uint32_t)j;
    }
}

static void search_task(const ml__coded *c, worker *w, size_t task)
{
    ml__coded_levels *g = c->levels;
    const size_t group = task % g->n_groups, first = group * GROUP_FEATURES;
    const size_t end = c->d - first < GROUP_FEATURES ? c->d : first + GROUP_FEATURES;
    ml__coded_node *node = &g->found[task];

    *node = g->open[g->first_of_batch + task / g->n_groups];
    node->cut = (ml__tree_cut){.gain = -1};
    describe(c, node, w);
    for (size_t j = first; j < end; j++)
        search_feature(c, w, j, node);
}

/* Tasks, one after the other, as long as there are any that nobody has taken. */
static ml_status search_with(void *argument, size_t i)
{
    const ml__coded *c = argument;
    ml__coded_levels *g = c->levels;

    for (size_t task; (task = atomic_fetch_add(&g->next_task, 1)) < g->n_batch * g->n_groups;)
        search_task(c, &g->workers[i], task);
    return ML_OK;
}

static ml_status search_batch(ml__coded *c)
{
    ml__coded_levels *g = c->levels;
    ml__coded_node *open = g->open + g->first_of_batch;
    double n_rows = 0;
    ml_status st;

    for (size_t o = 0; o < g->n_batch; o++)
        n_rows += (double)(open[o].end - open[o].begin);
    atomic_store(&g->next_task, 0);
    ML__TRY(
        ml__parallel_for_cost(c->context, g->n_workers, n_rows * (double)c->d / (double)g->n_workers, search_with, c));
    for (size_t o = 0; o < g->n_batch; o++) {
        const ml__coded_node *found = g->found + o * g->n_groups;

        open[o] = found[0];
        for (size_t group = 1; group < g->n_groups; group++)
            if (found[group].cut.gain > open[o].cut.gain)
                open[o] = found[group];
    }
done:
    return st;
}

static ml_status search_level(ml__coded *c)
{
    ml__coded_levels *g = c->levels;
    ml_status st = ML_OK;

    for (g->first_of_batch = 0; g->first_of_batch < g->n_open; g->first_of_batch += BATCH_NODES) {
        const size_t left = g->n_open - g->first_of_batch;

        g->n_batch = left < BATCH_NODES ? left : BATCH_NODES;
        ML__TRY(search_batch(c));
    }
done:
    return st;
}

/* ---- splits ---- */

/* Rows that go left come first, both parts in order. */
static ml_status partition(void *argument, size_t o)
{
    const ml__coded *c = argument;
    ml__coded_levels *g = c->levels;
    ml__coded_node *node = &g->open[o];
    const uint8_t *column = c->bins.code + node->feature * c->bins.stride;
    uint32_t *left = g->ids + node->begin, *right = g->spare + node->begin;
    uint32_t next = ML__MAX_CODES;

    if (node->cut.gain < 0)
        return ML_OK;
    for (size_t i = node->begin; i < node->end; i++) {
        const uint32_t id = g->ids[i], code = column[id];
        const bool goes_right = code > node->cut.code;

        *left = *right = id;
        left += !goes_right;
        right += goes_right;
        next = goes_right && code < next ? code : next;
    }
    node->middle = (size_t)(left - g->ids);
    node->next = next;
    memcpy(left, g->spare + node->begin, (node->end - node->middle) * sizeof *left);
    return ML_OK;
}

static void add_leaf(ml__coded_levels *g, uint32_t node, size_t begin, size_t end)
{
    g->nodes[node] = (ml__tree_node){.feature = -1, .next = (uint32_t)g->n_leaves};
    g->leaves[g->n_leaves++] = (ml__coded_leaf){.begin = begin, .end = end};
}

static void add_child(const ml__coded *c, uint32_t node, size_t begin, size_t end, bool is_deepest)
{
    ml__coded_levels *g = c->levels;
    const uint8_t *label = c->bins.label;

    if (is_deepest || label[g->ids[begin]] == label[g->ids[end - 1]])
        add_leaf(g, node, begin, end);
    else
        g->next_open[g->n_next++] = (ml__coded_node){.node = node, .begin = begin, .end = end};
}

/* Halfway between the values on either side, as without codes. */
static float threshold_of(const ml__bins *bins, const ml__coded_node *node)
{
    const size_t first = node->feature * (size_t)ML__MAX_CODES;

    return ml__threshold_between(bins->highest[first + node->cut.code], bins->lowest[first + node->next]);
}

static void add_children(const ml__coded *c, const ml__coded_node *node, bool is_deepest)
{
    ml__coded_levels *g = c->levels;
    const uint32_t left = (uint32_t)g->n_nodes;
    uint64_t W = 0;

    g->n_nodes += 2;
    g->nodes[node->node] = (ml__tree_node){.feature = (int32_t)node->feature,
                                           .next = left,
                                           .threshold = threshold_of(&c->bins, node),
                                           .missing_left = node->middle - node->begin > node->end - node->middle};
    for (size_t i = node->begin; i < node->end; i++)
        W += c->w[g->ids[i]];
    g->importance[node->feature] += node->cut.gain / (double)(int64_t)W;
    add_child(c, left, node->begin, node->middle, is_deepest);
    add_child(c, left + 1, node->middle, node->end, is_deepest);
}

static ml_status split_level(ml__coded *c, bool is_deepest)
{
    ml__coded_levels *g = c->levels;
    ml__coded_node *open = g->open;
    ml_status st;

    ML__TRY(ml__parallel_for_cost(c->context, g->n_open, 2 * (double)c->n / (double)g->n_open, partition, c));
    g->n_next = 0;
    for (size_t o = 0; o < g->n_open; o++)
        if (open[o].cut.gain < 0)
            add_leaf(g, open[o].node, open[o].begin, open[o].end);
        else
            add_children(c, &open[o], is_deepest);
    g->open = g->next_open;
    g->next_open = open;
    g->n_open = g->n_next;
done:
    return st;
}

/* ---- leaves ---- */

static ml_status finish_leaf(void *argument, size_t l)
{
    const ml__coded *c = argument;
    ml__coded_levels *g = c->levels;
    ml__coded_leaf *leaf = &g->leaves[l];
    const uint32_t *ids = g->ids + leaf->begin;
    const size_t n = leaf->end - leaf->begin;
    uint64_t class_weight[ML__MAX_CODES] = {0};
    double factor[ML__MAX_CODES];
    size_t k;

    for (size_t i = 0; i < n; i++)
        class_weight[c->bins.label[ids[i]]] += c->w[ids[i]];
    k = ml__coded_shares(c->K, class_weight, g->value + l * c->K);
    leaf->wrong = 0;
    for (size_t other = 0; other < c->K; other++)
        leaf->wrong += other != k ? class_weight[other] : 0;
    for (size_t i = 0; i < n; i++)
        g->is_right[ids[i]] = c->bins.label[ids[i]] == k;
    if (!c->row_factor)
        return ML_OK;
    leaf->sum_ahead = ml__coded_factors(c, class_weight, g->value + l * c->K, factor);
    for (size_t i = 0; i < n; i++)
        c->row_factor[ids[i]] = factor[c->bins.label[ids[i]]];
    return ML_OK;
}

static ml_status finish_leaves(ml__coded *c)
{
    ml__coded_levels *g = c->levels;
    ml_status st;

    ML__TRY(ml__parallel_for_cost(c->context, g->n_leaves, 2 * (double)c->n / (double)g->n_leaves, finish_leaf, c));
    c->wrong = 0;
    c->sum_ahead = 0;
    for (size_t l = 0; l < g->n_leaves; l++) {
        c->wrong += g->leaves[l].wrong;
        c->sum_ahead += g->leaves[l].sum_ahead;
    }
    for (size_t p = 0; p < c->n_pieces; p++)
        (void)c->kernels->tree_compare(c->pieces[p].n, g->is_right + c->pieces[p].begin, 0, c->pieces[p].chosen);
done:
    return st;
}

/* ---- the tree ---- */

ml_status ml__coded_grow_levels(ml__coded *c, ml__arena *arena, size_t feature, ml__tree_cut cut, ml__tree *out)
{
    ml__coded_levels *g = c->levels;
    ml_status st = ML_OK;

    for (size_t i = 0; i < c->n; i++)
        g->ids[i] = (uint32_t)i;
    ML__NEW(arena, out->importance, c->d);
    g->importance = out->importance;
    g->open[0] = (ml__coded_node){.feature = (uint32_t)feature, .end = c->n, .cut = cut};
    g->n_open = g->n_nodes = 1;
    g->n_leaves = 0;
    for (size_t depth = 0; g->n_open; depth++) {
        if (depth)
            ML__TRY(search_level(c));
        ML__TRY(split_level(c, depth + 1 == c->max_depth));
    }
    out->n_nodes = g->n_nodes;
    out->nodes = g->nodes;
    out->n_values = g->n_leaves;
    ML__NEW(arena, out->value, g->n_leaves * c->K);
    g->value = out->value;
    ML__TRY(finish_leaves(c));
done:
    return st;
}
