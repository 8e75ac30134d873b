/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tree, depth first from the root with a stack of its own (Breiman, Friedman, Olshen & Stone 1984).
 *
 * Rows        a tree sees the rows of positive weight, each once; a bootstrap sample (Breiman 2001) is a count per row that
 *             multiplies its weight. A node is a run of `rows`, in ascending order; a split partitions it in place.
 * Weights     W_i = w_i 2^e rounded, e such that their sum is in [2^51, 2^52]
 * Labels      that some rows lack: a leaf where no row has an output takes that output's values of the node above
 * Monotone    what is predicted left and right of a split on such a feature is bounded by the middle of what its sides
 *             would predict, so that no split below can bring them out of order (scikit-learn's rule)
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
    FIRST_CAPACITY = 64
};

typedef struct {
    uint32_t node;
    size_t begin, end, depth; /* rows of the node */
    uint64_t key;
    double lower, upper;     /* of what may be predicted */
    const double *inherited; /* [K] values of the node above; NULL: no label is missing */
} visit;

typedef struct {
    const ml__tree_data *data;
    ml__arena arena;
    int64_t *W;             /* [n] */
    uint32_t *rows, *spare; /* [m] */
    size_t m;
    int64_t W_tree;
    int root_unit;           /* of gains */
    ml__criterion criterion; /* at the node being visited */
    ml__splitter splitter;
    ml__tree tree;
    size_t capacity, value_capacity, set_capacity; /* nodes, rows of values, words of sets */
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
    ML__NEW(&g->arena, g->rows, data->n);
    count_draws(data, key, count);
    weigh_rows(g, count);
done:
    return st;
}

static ml_status make_workspace(grower *g)
{
    const ml__tree_data *data = g->data;
    const size_t longest = data->max_depth < g->m ? data->max_depth : g->m;
    ml_status st;

    ML__TRY(ml__criterion_create(&g->arena, data, g->W, g->m, &g->criterion));
    ML__TRY(ml__splitter_create(&g->arena, data, &g->criterion, g->m, &g->splitter));
    ML__NEW(&g->arena, g->spare, g->m);
    ML__NEW(&g->arena, g->tree.importance, data->d);
    ML__NEW(&g->arena, g->stack, longest + 2); /* at most one brother waits on each level */
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

static void push(grower *g, visit v)
{
    g->stack[g->n_open++] = v;
}

/* ---- one node ---- */

/* Within the bounds of a monotone tree: of reals the value, of two classes the share of the second. */
static void clip(const ml__tree_data *data, const visit *v, double *value)
{
    double *bounded = value + data->K - 1;

    *bounded = fmin(fmax(*bounded, v->lower), v->upper);
    if (data->classify)
        value[0] = 1 - *bounded;
}

static ml_status make_leaf(grower *g, const visit *v)
{
    const ml__tree_data *data = g->data;
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
    ml__criterion_value(&g->criterion, v->inherited, value);
    if (data->monotonic)
        clip(data, v, value);
done:
    return st;
}

/* What the split removes of the impurity, weighted by the node's share of all rows, in the units of the data. */
static double decrease(const grower *g, double gain)
{
    return ldexp(gain / (double)g->W_tree, ml__criterion_unit(&g->criterion));
}

/* The set of a split behind those there are. */
static ml_status add_set(grower *g, const ml__split *split)
{
    const size_t n_words = ml__set_words(g->data->n_categories[split->feature]);
    uint32_t *sets;
    ml_status st = ML_OK;

    if (g->tree.n_set_words + n_words > g->set_capacity) {
        g->set_capacity = 2 * g->set_capacity + n_words + FIRST_CAPACITY;
        ML__NEW(&g->arena, sets, g->set_capacity);
        if (g->tree.n_set_words)
            memcpy(sets, g->tree.sets, g->tree.n_set_words * sizeof *sets);
        g->tree.sets = sets;
    }
    memcpy(g->tree.sets + g->tree.n_set_words, g->splitter.set, n_words * sizeof *g->tree.sets);
    g->tree.n_set_words += n_words;
done:
    return st;
}

static bool goes_left(const grower *g, const ml__split *split, uint32_t row)
{
    const ml__tree_data *data = g->data;
    const uint32_t code = data->codes.code[(size_t)split->feature * data->n + row];

    if (code == data->codes.missing[split->feature])
        return split->missing_left;
    if (split->is_set)
        return ml__in_set(g->splitter.set, (uint32_t)data->X[(size_t)row * data->d + split->feature]);
    return code <= split->code;
}

/* Rows that go left come first, both parts in ascending order; returns where the right part begins. */
static size_t partition(grower *g, const visit *v, const ml__split *split)
{
    size_t n_left = 0, n_right = 0;

    for (size_t p = v->begin; p < v->end; p++)
        if (goes_left(g, split, g->rows[p]))
            g->rows[v->begin + n_left++] = g->rows[p];
        else
            g->spare[n_right++] = g->rows[p];
    memcpy(g->rows + v->begin + n_left, g->spare, n_right * sizeof *g->rows);
    return v->begin + n_left;
}

/* Bounds below a split on a feature that predictions have to follow. */
static void bound(const ml__tree_data *data, const ml__split *split, visit *left, visit *right)
{
    const int direction = data->monotonic[split->feature];

    if (direction > 0)
        left->upper = right->lower = split->middle;
    else if (direction < 0)
        left->lower = right->upper = split->middle;
}

static ml_status split_node(grower *g, const visit *v, const ml__split *split)
{
    const size_t middle = partition(g, v, split);
    visit left = *v, right = *v;
    double *value = NULL;
    ml_status st;

    left.node = (uint32_t)g->tree.n_nodes;
    right.node = left.node + 1;
    left.end = right.begin = middle;
    left.depth = right.depth = v->depth + 1;
    left.key = ml__seed_mix(v->key, 0);
    right.key = ml__seed_mix(v->key, 1);
    if (g->data->monotonic)
        bound(g->data, split, &left, &right);
    if (g->data->has) {
        ML__NEW(&g->arena, value, g->data->K);
        ml__criterion_value(&g->criterion, v->inherited, value);
        left.inherited = right.inherited = value;
    }
    ML__TRY(add_nodes(g, 2));
    g->tree.nodes[v->node] = (ml__tree_node){.feature = (int32_t)split->feature,
                                             .next = left.node,
                                             .threshold = split->threshold,
                                             .is_set = split->is_set,
                                             .set = split->is_set ? (uint32_t)g->tree.n_set_words : 0,
                                             .missing_left = split->missing_left};
    if (split->is_set)
        ML__TRY(add_set(g, split));
    /* gains of all nodes in the units of the root, whose range is the largest */
    g->tree.importance[split->feature] += ldexp(split->gain, ml__criterion_unit(&g->criterion) - g->root_unit);
    push(g, right);
    push(g, left);
done:
    return st;
}

static ml_status visit_node(grower *g, const visit *v)
{
    const ml__tree_data *data = g->data;
    const uint32_t *rows = g->rows + v->begin;
    const size_t m = v->end - v->begin;
    const bool same = ml__criterion_set(&g->criterion, rows, m);
    ml__split split;

    if (!v->node)
        g->root_unit = ml__criterion_unit(&g->criterion);
    if (same || v->depth >= data->max_depth || m < data->min_samples_split || m / 2 < data->min_samples_leaf)
        return make_leaf(g, v);
    g->splitter.lower = v->lower;
    g->splitter.upper = v->upper;
    split = ml__best_split(&g->splitter, rows, m, v->key);
    if (split.gain < 0 || decrease(g, split.gain) + DBL_EPSILON < data->min_impurity_decrease)
        return make_leaf(g, v);
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
    push(&g,
         (visit){
             .end = g.m, .key = ml__seed_mix(key, 1), .lower = -INFINITY, .upper = INFINITY, .inherited = data->prior});
    while (g.n_open) {
        const visit v = g.stack[--g.n_open];
        ML__TRY(visit_node(&g, &v));
    }
    ML__TRY(copy_nodes(arena, g.tree.n_nodes, &g.tree, out));
    ML__TRY(copy_values(arena, data->K, g.tree.n_values, &g.tree, out));
    out->n_set_words = g.tree.n_set_words;
    ML__NEW(arena, out->sets, g.tree.n_set_words);
    if (g.tree.n_set_words)
        memcpy(out->sets, g.tree.sets, g.tree.n_set_words * sizeof *out->sets);
    ML__NEW(arena, out->importance, data->d);
    memcpy(out->importance, g.tree.importance, data->d * sizeof *out->importance);
done:
    ml__arena_free(&g.arena);
    return st;
}
