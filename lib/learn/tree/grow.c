/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tree, depth first from the root with a stack of its own (Breiman, Friedman, Olshen & Stone 1984).
 *
 * Rows        a tree sees the rows of positive weight, each once; a bootstrap sample (Breiman 2001) is a count per row that
 *             multiplies its weight. A node is a run of `rows`, in ascending order; a split partitions it in place.
 * Weights     W_i = w_i 2^e rounded, e such that their sum is in [2^51, 2^52]
 * Targets     in each node q_i = W_i u_i 2^9 rounded, where u_i = (t_i - centre) / 2^exponent is in [-1, 1] and centre is
 *             halfway between the node's least and largest target: their size, offset and outliers in other nodes cost
 *             no digits. All sums of W and q are exact.
 * Leaves      depth, rows too few, rows all of one class or target, no feature varies, or the gain, times the node's
 *             share of the weight, is below min_impurity_decrease
 * Randomness  each node has a key made from the tree's key and its path, so what a node draws depends on nothing else
 * Cost        O(depth max_features m) for m rows, with a factor for the digits of the codes
 */
#include <float.h>
#include <string.h>

#include "learn/tree/tree.h"

enum {
    WEIGHT_BITS = 52, /* doubles hold every sum of weights */
    TARGET_BITS = 9,  /* sums of q stay within 2^61 */
    FIRST_CAPACITY = 64
};

typedef struct {
    uint32_t node;
    size_t begin, end, depth; /* rows of the node */
    uint64_t key;
} visit;

typedef struct {
    const ml__tree_data *data;
    ml__arena arena;
    int64_t *W, *q;         /* [n] */
    uint32_t *rows, *spare; /* [m] */
    size_t m;
    ml__node_sums all; /* of the node being visited */
    double centre;     /* of its targets */
    int exponent, root_exponent;
    int64_t W_tree;
    ml__splitter splitter;
    ml__tree tree;
    size_t capacity, value_capacity; /* nodes, rows of values */
    visit *stack;
    size_t n_open;
} grower;

/* ---- the rows of the tree ---- */

/* How often each row is in the sample: n_rows draws from the rows of positive weight. */
static void count_draws(const ml__tree_data *data, uint64_t key, uint32_t *count)
{
    ml__rng rng = ml__rng_make(key, 0);

    for (size_t i = 0; i < data->n_rows; i++)
        if (data->bootstrap)
            count[data->rows[ml__rng_below(&rng, data->n_rows)]]++;
        else
            count[data->rows[i]] = 1;
}

static void weigh_rows(grower *g, const uint32_t *count)
{
    const ml__tree_data *data = g->data;
    double sum = 0;
    int exponent;

    for (size_t i = 0; i < data->n; i++)
        sum += count[i] * data->w[i];
    (void)frexp(sum, &exponent);
    for (size_t i = 0; i < data->n; i++) {
        g->W[i] = llrint(ldexp(count[i] * data->w[i], WEIGHT_BITS - exponent));
        if (g->W[i])
            g->rows[g->m++] = (uint32_t)i;
        g->W_tree += g->W[i];
    }
}

static ml_status sample_rows(grower *g, uint64_t key)
{
    const ml__tree_data *data = g->data;
    uint32_t *count;
    ml_status st = ML_OK;

    ML__NEW(&g->arena, count, data->n);
    ML__NEW(&g->arena, g->W, data->n);
    if (!data->classify)
        ML__NEW(&g->arena, g->q, data->n);
    ML__NEW(&g->arena, g->rows, data->n);
    count_draws(data, key, count);
    weigh_rows(g, count);
done:
    return st;
}

static ml_status make_workspace(grower *g)
{
    const ml__tree_data *data = g->data;
    ml__splitter *s = &g->splitter;
    const size_t longest = data->max_depth < g->m ? data->max_depth : g->m;
    ml_status st = ML_OK;

    *s = (ml__splitter){.data = data, .W = g->W, .q = g->q};
    ML__NEW(&g->arena, g->spare, g->m);
    ML__NEW(&g->arena, g->all.c, data->K);
    ML__NEW(&g->arena, g->tree.importance, data->d);
    ML__NEW(&g->arena, g->stack, longest + 2); /* at most one brother waits on each level */
    ML__NEW(&g->arena, s->keys, g->m);
    ML__NEW(&g->arena, s->other, g->m);
    ML__NEW(&g->arena, s->features, data->d);
    ML__NEW(&g->arena, s->swapped, data->d);
    ML__NEW(&g->arena, s->left.c, data->K);
    for (size_t j = 0; j < data->d; j++)
        s->features[j] = (uint32_t)j;
done:
    return st;
}

/* ---- nodes ---- */

static ml_status copy_nodes(ml__arena *arena, size_t capacity, const ml__tree *from, ml__tree *to)
{
    ml_status st = ML_OK;

    ML__NEW(arena, to->nodes, capacity);
    to->n_nodes = from->n_nodes;
    if (from->n_nodes)
        memcpy(to->nodes, from->nodes, from->n_nodes * sizeof *to->nodes);
done:
    return st;
}

static ml_status copy_values(ml__arena *arena, size_t K, size_t capacity, const ml__tree *from, ml__tree *to)
{
    ml_status st = ML_OK;

    ML__NEW(arena, to->value, capacity * K);
    to->n_values = from->n_values;
    if (from->n_values)
        memcpy(to->value, from->value, from->n_values * K * sizeof *to->value);
done:
    return st;
}

/* New nodes; the outgrown tables stay in the arena, which at doubling costs as much again. */
static ml_status add_nodes(grower *g, size_t count)
{
    ml__tree larger = g->tree;
    ml_status st = ML_OK;

    if (g->tree.n_nodes + count > g->capacity) {
        g->capacity = g->capacity ? 2 * g->capacity : FIRST_CAPACITY;
        ML__TRY(copy_nodes(&g->arena, g->capacity, &g->tree, &larger));
        g->tree = larger;
    }
    g->tree.n_nodes += count;
done:
    return st;
}

static void push(grower *g, uint32_t node, size_t begin, size_t end, size_t depth, uint64_t key)
{
    g->stack[g->n_open++] = (visit){node, begin, end, depth, key};
}

/* ---- one node ---- */

/* Sums over its rows; true when they all have the same output. */
static bool sum_classes(grower *g, const uint32_t *rows, size_t m)
{
    ml__node_sums *all = &g->all;

    all->W = 0;
    memset(all->c, 0, g->data->K * sizeof *all->c);
    for (size_t p = 0; p < m; p++) {
        all->W += g->W[rows[p]];
        all->c[g->data->y[rows[p]]] += g->W[rows[p]];
    }
    return all->c[g->data->y[rows[0]]] == all->W;
}

static bool sum_targets(grower *g, const uint32_t *rows, size_t m)
{
    const double *t = g->data->t;
    ml__node_sums *all = &g->all;
    double least = t[rows[0]], largest = least;

    for (size_t p = 1; p < m; p++) {
        least = fmin(least, t[rows[p]]);
        largest = fmax(largest, t[rows[p]]);
    }
    g->centre = least / 2 + largest / 2;
    (void)frexp(largest / 2 - least / 2, &g->exponent);
    all->W = all->q = 0;
    for (size_t p = 0; p < m; p++) {
        const uint32_t i = rows[p];
        const double u = ldexp(t[i] - g->centre, -g->exponent);
        g->q[i] = llrint((double)g->W[i] * u * (1 << TARGET_BITS));
        all->W += g->W[i];
        all->q += g->q[i];
    }
    return least == largest;
}

static ml_status make_leaf(grower *g, const visit *v, bool same)
{
    const ml__tree_data *data = g->data;
    const ml__node_sums *all = &g->all;
    ml__tree larger = g->tree;
    double *value;
    ml_status st = ML_OK;

    if (g->tree.n_values == g->value_capacity) {
        g->value_capacity = g->value_capacity ? 2 * g->value_capacity : FIRST_CAPACITY;
        ML__TRY(copy_values(&g->arena, data->K, g->value_capacity, &g->tree, &larger));
        g->tree = larger;
    }
    g->tree.nodes[v->node] = (ml__tree_node){.feature = -1, .next = (uint32_t)g->tree.n_values};
    value = g->tree.value + g->tree.n_values++ * data->K;
    if (data->classify)
        for (size_t k = 0; k < data->K; k++)
            value[k] = (double)all->c[k] / (double)all->W;
    else if (same)
        *value = data->t[g->rows[v->begin]];
    else
        *value = g->centre + ldexp((double)all->q / (double)all->W, g->exponent - TARGET_BITS);
done:
    return st;
}

/* What the split removes of the impurity, weighted by the node's share of all rows, in the units of the data. */
static double decrease(const grower *g, double gain)
{
    const double share = gain / (double)g->W_tree;

    return g->data->classify ? share : ldexp(share, 2 * (g->exponent - TARGET_BITS));
}

/* Rows that go left come first, both parts in ascending order; returns where the right part begins. */
static size_t partition(grower *g, const visit *v, const ml__split *split)
{
    const uint32_t *code = g->data->codes.code + (size_t)split->feature * g->data->n;
    size_t n_left = 0, n_right = 0;

    for (size_t p = v->begin; p < v->end; p++)
        if (code[g->rows[p]] <= split->code)
            g->rows[v->begin + n_left++] = g->rows[p];
        else
            g->spare[n_right++] = g->rows[p];
    memcpy(g->rows + v->begin + n_left, g->spare, n_right * sizeof *g->rows);
    return v->begin + n_left;
}

static ml_status split_node(grower *g, const visit *v, const ml__split *split)
{
    const size_t middle = partition(g, v, split);
    const uint32_t left = (uint32_t)g->tree.n_nodes;
    ml_status st;

    ML__TRY(add_nodes(g, 2));
    g->tree.nodes[v->node] =
        (ml__tree_node){.feature = (int32_t)split->feature, .next = left, .threshold = split->threshold};
    /* gains of all nodes in the units of the root, whose range is the largest */
    g->tree.importance[split->feature] += ldexp(split->gain, 2 * (g->exponent - g->root_exponent));
    push(g, left + 1, middle, v->end, v->depth + 1, ml__seed_mix(v->key, 1));
    push(g, left, v->begin, middle, v->depth + 1, ml__seed_mix(v->key, 0));
done:
    return st;
}

static ml_status visit_node(grower *g, const visit *v)
{
    const ml__tree_data *data = g->data;
    const uint32_t *rows = g->rows + v->begin;
    const size_t m = v->end - v->begin;
    const bool same = data->classify ? sum_classes(g, rows, m) : sum_targets(g, rows, m);
    ml__split split;

    if (!v->node)
        g->root_exponent = g->exponent;
    if (same || v->depth >= data->max_depth || m < data->min_samples_split || m / 2 < data->min_samples_leaf)
        return make_leaf(g, v, same);
    split = ml__best_split(&g->splitter, rows, m, &g->all, v->key);
    if (split.gain < 0 || decrease(g, split.gain) + DBL_EPSILON < data->min_impurity_decrease)
        return make_leaf(g, v, false);
    return split_node(g, v, &split);
}

/* ---- the tree ---- */

ml_status ml__tree_grow(ml__arena *arena, const ml__tree_data *data, uint64_t key, ml__tree *out)
{
    grower g = {.data = data};
    ml_status st;

    ml__arena_init(&g.arena, arena->context);
    ML__TRY(sample_rows(&g, key));
    ML__TRY(make_workspace(&g));
    ML__TRY(add_nodes(&g, 1));
    push(&g, 0, 0, g.m, 0, ml__seed_mix(key, 1));
    while (g.n_open) {
        const visit v = g.stack[--g.n_open];
        ML__TRY(visit_node(&g, &v));
    }
    ML__TRY(copy_nodes(arena, g.tree.n_nodes, &g.tree, out));
    ML__TRY(copy_values(arena, data->K, g.tree.n_values, &g.tree, out));
    ML__NEW(arena, out->importance, data->d);
    memcpy(out->importance, g.tree.importance, data->d * sizeof *out->importance);
done:
    ml__arena_free(&g.arena);
    return st;
}
