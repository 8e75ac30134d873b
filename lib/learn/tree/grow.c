/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tree (Breiman, Friedman, Olshen & Stone 1984), depth first from the root with a stack of its own; or, where leaves are
 * limited, best first: the open node whose split removes most impurity is next, of equal ones the oldest (Shi 2007).
 *
 * Rows        a tree sees the rows of positive weight, each once; a bootstrap sample (Breiman 2001) is a count per row that
 *             multiplies its weight. A node is a run of `rows`, in ascending order; a split partitions it in place.
 * Weights     W_i = w_i 2^e rounded, e such that their sum is in [2^51, 2^52]
 * Labels      that some rows lack: a leaf where no row has an output takes that output's values of the node above
 * Monotone    what is predicted left and right of a split on such a feature is bounded by the middle of what its sides
 *             would predict, so that no split below can bring them out of order (scikit-learn's rule)
 * Leaves      depth, rows too few, rows all of one class or target, no feature varies, or the gain, times the node's
 *             share of the weight, is below min_impurity_decrease
 * Values      only leaves have them, except where a leaf may turn into a split or a split into a leaf later on (best first,
 *             pruning): then all nodes have, with their impurity, and at the end what is not reached is left out
 *             (cost_complexity.c)
 * Randomness  each node has a key made from the tree's key and its path, so what a node draws depends on nothing else
 * Threads     search the features of large nodes together, then each grows subtrees (growing.c); best first they search only
 * Cost        O(depth max_features m) for m rows, with a factor for the digits of the codes
 */
#include <float.h>
#include <stdatomic.h>
#include <string.h>

#include "learn/tree/tree.h"

enum { WEIGHT_BITS = 52 }; /* doubles hold every sum of weights */

typedef struct {
    uint32_t node;
    size_t begin, end, depth; /* rows of the node */
    uint64_t key;
    double lower, upper;     /* of what may be predicted */
    const double *inherited; /* [K] values of the node above; NULL: no label is missing */
} visit;

/* A node with the split that it gets, if any. */
typedef struct {
    visit visit;
    ml__split split;     /* gain < 0: none */
    double decrease;     /* of impurity, times the node's share of the weight, in units of the data */
    double gain;         /* for the importances: in units of the root, whose range is the largest */
    uint32_t set;        /* first word, if the split has a set */
    const double *value; /* [K] what is inherited below it; NULL as there */
} candidate;

typedef struct grower grower;
struct grower {
    const ml__tree_data *data;
    ml__arena arena;
    int64_t *W;             /* [n] */
    uint32_t *rows, *spare; /* [m] */
    size_t m;
    int64_t W_tree;
    int root_unit;           /* of gains */
    ml__criterion criterion; /* at the node that is studied */
    ml__splitter splitter;
    ml__growing growing;
    visit *stack;
    candidate *heap; /* best first: the best in front, children of i are 2 i + 1 and 2 i + 2 */
    size_t n_open;   /* of either */
    visit *aside;    /* roots of subtrees for later */
    size_t n_aside, aside_capacity;
    grower **helpers; /* [n_helpers] they search large nodes together and grow subtrees */
    size_t n_helpers;
    ml__criterion follower; /* of a helper, while it searches a node of the tree's grower */
    ml__splitter searcher;
};

/* ---- the rows of the tree ---- */

/* Draws from the rows of positive weight. */
void ml__tree_draw(const ml__tree_data *data, uint64_t key, uint32_t *count)
{
    ml__rng rng = ml__rng_make(key, 0);

    if (data->bootstrap)
        for (size_t i = 0; i < data->n_draws; i++)
            count[data->rows[ml__rng_below(&rng, data->n_rows)]]++;
    else
        for (size_t i = 0; i < data->n_rows; i++)
            count[data->rows[i]] = 1;
}

/* factor: NULL, or of the classes */
static double weight_of(const ml__tree_data *data, const uint32_t *count, const double *factor, size_t i)
{
    return count[i] * data->w[i] * (factor ? ml__class_factor(data, factor, i) : 1);
}

static void weigh_rows(grower *g, const uint32_t *count, const double *factor)
{
    const ml__tree_data *data = g->data;
    double sum = 0;
    int exponent;

    for (size_t i = 0; i < data->n; i++)
        sum += weight_of(data, count, factor, i);
    (void)frexp(sum, &exponent);
    for (size_t i = 0; i < data->n; i++) {
        g->W[i] = llrint(ldexp(weight_of(data, count, factor, i), WEIGHT_BITS - exponent));
        if (g->W[i])
            g->rows[g->m++] = (uint32_t)i;
        g->W_tree += g->W[i];
    }
}

static ml_status sample_rows(grower *g, uint64_t key)
{
    const ml__tree_data *data = g->data;
    uint32_t *count;
    double *factor = NULL;
    ml_status st = ML_OK;

    ML__NEW(&g->arena, count, data->n);
    ML__NEW(&g->arena, g->W, data->n);
    ML__NEW(&g->arena, g->rows, data->n);
    ml__tree_draw(data, key, count);
    if (data->balance_draws) {
        ML__NEW(&g->arena, factor, data->K);
        ML__TRY(ml__balance(&g->arena, data, count, factor));
    }
    weigh_rows(g, count, factor);
done:
    return st;
}

/* For subtrees of at most m rows, beside the grower of the tree, or for that: beside NULL. */
static ml_status make_workspace(grower *g, size_t m, const grower *beside)
{
    const ml__tree_data *data = g->data;
    const size_t longest = data->max_depth < m ? data->max_depth : m;
    const size_t most_leaves = data->max_leaf_nodes < m ? data->max_leaf_nodes : m;
    ml_status st;

    ML__TRY(ml__criterion_create(&g->arena, data, g->W, m, beside ? &beside->criterion : NULL, &g->criterion));
    ML__TRY(ml__splitter_create(&g->arena, data, &g->criterion, g->W, g->m, &g->splitter));
    g->splitter.least_weight = data->min_weight_fraction_leaf * (double)g->W_tree;
    ML__NEW(&g->arena, g->spare, m);
    if (data->max_leaf_nodes)
        ML__NEW(&g->arena, g->heap, most_leaves + 2);
    else
        ML__NEW(&g->arena, g->stack, longest + 2); /* at most one brother waits on each level */
done:
    return st;
}

static void free_grower(grower *g)
{
    for (size_t w = 0; w < g->n_helpers; w++)
        if (g->helpers[w])
            free_grower(g->helpers[w]);
    ml__growing_free(&g->growing);
    ml__arena_free(&g->arena);
}

static ml_status make_helper(grower *g, size_t m, grower **out)
{
    grower *h;
    ml_status st = ML_OK;

    ML__NEW(&g->arena, h, 1);
    *out = h;
    *h = (grower){.data = g->data, .W = g->W, .rows = g->rows, .m = g->m, .W_tree = g->W_tree};
    ml__arena_init(&h->arena, g->arena.context);
    ml__growing_init(&h->growing, g->data, g->arena.context);
    ML__TRY(make_workspace(h, m, g));
    ML__TRY(ml__criterion_create_follower(&h->arena, g->data, g->m, &h->follower));
    h->searcher = h->splitter;
    h->searcher.criterion = &h->follower;
done:
    return st;
}

/* For subtrees of at most m rows. */
static ml_status make_helpers(grower *g, size_t n_helpers, size_t m)
{
    ml_status st = ML_OK;

    ML__NEW(&g->arena, g->helpers, n_helpers);
    ML__NEW(&g->arena, g->splitter.helpers, n_helpers);
    g->n_helpers = n_helpers;
    for (size_t w = 0; w < n_helpers; w++) {
        ML__TRY(make_helper(g, m, &g->helpers[w]));
        g->splitter.helpers[w] = &g->helpers[w]->searcher;
    }
    g->splitter.n_helpers = n_helpers;
    g->splitter.context = g->arena.context;
done:
    return st;
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

/* Of the node where the criterion stands. */
static ml_status make_leaf(grower *g, const visit *v)
{
    const ml__tree_data *data = g->data;
    const uint32_t row = (uint32_t)g->growing.tree.n_values;
    double *value;
    ml_status st;

    ML__TRY(ml__add_values(&g->growing, 1, &value));
    g->growing.tree.nodes[v->node] = (ml__tree_node){.feature = -1, .next = row};
    if (g->growing.keeps_worth)
        g->growing.tree.worth[v->node] = (ml__node_worth){
            .risk = ml__criterion_risk(&g->criterion, g->rows + v->begin, v->end - v->begin, (double)g->W_tree),
            .value = row};
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

static bool goes_left(const grower *g, const candidate *c, uint32_t row)
{
    const ml__tree_data *data = g->data;
    const ml__split *split = &c->split;
    const uint32_t code = data->codes.code[(size_t)split->feature * data->n + row];

    if (code == data->codes.missing[split->feature])
        return split->missing_left;
    if (split->is_set)
        return ml__in_set(g->growing.tree.sets + c->set, (uint32_t)data->X[(size_t)row * data->d + split->feature]);
    return code <= split->code;
}

/* Rows that go left come first, both parts in ascending order; returns where the right part begins. */
static size_t partition(grower *g, const candidate *c)
{
    const visit *v = &c->visit;
    size_t n_left = 0, n_right = 0;

    for (size_t p = v->begin; p < v->end; p++)
        if (goes_left(g, c, g->rows[p]))
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

/* Make a split of the node; children[0] is the left one. */
static ml_status split_node(grower *g, const candidate *c, visit children[2])
{
    const visit *v = &c->visit;
    const ml__split *split = &c->split;
    const size_t middle = partition(g, c);
    ml__tree *tree = &g->growing.tree;
    const uint32_t left = (uint32_t)tree->n_nodes;
    ml__tree_node node = {.feature = (int32_t)split->feature,
                          .is_set = split->is_set,
                          .missing_left = split->missing_left,
                          .next = left,
                          .threshold = split->threshold};
    ml_status st;

    if (split->is_set)
        node.set = c->set;
    ML__TRY(ml__add_nodes(&g->growing, 2));
    tree->nodes[v->node] = node;
    tree->gain[v->node] = c->gain;
    for (uint32_t side = 0; side < 2; side++) {
        children[side] = *v;
        children[side].node = left + side;
        children[side].depth++;
        children[side].key = ml__seed_mix(v->key, side);
        children[side].inherited = c->value;
    }
    children[0].end = children[1].begin = middle;
    if (g->data->monotonic)
        bound(g->data, split, &children[0], &children[1]);
done:
    return st;
}

static bool may_split(const grower *g, const visit *v)
{
    const ml__tree_data *data = g->data;
    const size_t m = v->end - v->begin;

    return v->depth < data->max_depth && m >= data->min_samples_split && m / 2 >= data->min_samples_leaf &&
           (double)g->splitter.W_node >= 2 * g->splitter.least_weight;
}

static ml_status find_split(grower *g, const visit *v, ml__split *split)
{
    g->splitter.lower = v->lower;
    g->splitter.upper = v->upper;
    g->splitter.W_node = 0;
    for (size_t p = v->begin; p < v->end && g->splitter.least_weight > 0; p++)
        g->splitter.W_node += g->W[g->rows[p]];
    if (!may_split(g, v))
        return ML_OK;
    return ml__best_split(&g->splitter, g->rows + v->begin, v->end - v->begin, v->key, split);
}

/* What a split needs of the splitter and the criterion, which will stand at other nodes when it is made. */
static ml_status keep_split(grower *g, candidate *c)
{
    double *value = NULL;
    ml_status st = ML_OK;

    if (c->split.is_set)
        ML__TRY(
            ml__add_set(&g->growing, ml__set_words(g->data->n_categories[c->split.feature]), g->splitter.set, &c->set));
    if (g->data->has) {
        ML__NEW(&g->arena, value, g->data->K);
        ml__criterion_value(&g->criterion, c->visit.inherited, value);
        c->value = value;
    }
done:
    return st;
}

/* Look for the split of a node; without one it is a leaf, which it also is for the time being where nodes keep values. */
static ml_status study_node(grower *g, const visit *v, candidate *c)
{
    const bool same = ml__criterion_set(&g->criterion, g->rows + v->begin, v->end - v->begin);
    ml_status st = ML_OK;

    if (!v->depth)
        g->root_unit = ml__criterion_unit(&g->criterion);
    *c = (candidate){.visit = *v, .split.gain = -1};
    if (!same)
        ML__TRY(find_split(g, v, &c->split));
    c->decrease = decrease(g, c->split.gain);
    c->gain = ldexp(c->split.gain, ml__criterion_unit(&g->criterion) - g->root_unit);
    if (c->split.gain >= 0 && c->decrease + DBL_EPSILON < g->data->min_impurity_decrease)
        c->split.gain = -1;
    if (c->split.gain >= 0)
        ML__TRY(keep_split(g, c));
    if (g->growing.keeps_worth || c->split.gain < 0)
        ML__TRY(make_leaf(g, v));
done:
    return st;
}

/* ---- orders of growth ---- */

/* Below this node; nodes of at most `limit` rows are put aside. */
static ml_status grow_depth_first(grower *g, const visit *root, size_t limit)
{
    visit children[2];
    candidate c;
    ml_status st = ML_OK;

    g->stack[g->n_open++] = *root;
    while (g->n_open) {
        const visit v = g->stack[--g->n_open];

        if (v.end - v.begin <= limit) {
            ML__TRY(ml__make_room(&g->arena, &g->aside, g->n_aside, 1, sizeof v, &g->aside_capacity));
            g->aside[g->n_aside++] = v;
            continue;
        }
        ML__TRY(study_node(g, &v, &c));
        if (c.split.gain < 0)
            continue;
        ML__TRY(split_node(g, &c, children));
        g->stack[g->n_open++] = children[1];
        g->stack[g->n_open++] = children[0];
    }
done:
    return st;
}

typedef struct {
    grower *g;
    ml__subtree *subtrees; /* [n_aside] */
    atomic_size_t next;
} subtree_job;

/* Subtrees, one after the other, as long as there are any that nobody has taken. */
static ml_status grow_subtrees(void *argument, size_t worker)
{
    subtree_job *job = argument;
    grower *g = job->g, *h = g->helpers[worker];
    ml_status st = ML_OK;

    h->root_unit = g->root_unit;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < g->n_aside;) {
        visit v = g->aside[i];

        v.node = (uint32_t)h->growing.tree.n_nodes;
        ML__TRY(ml__subtree_begin(&h->growing, &job->subtrees[i]));
        ML__TRY(grow_depth_first(h, &v, 0));
        ml__subtree_end(&job->subtrees[i]);
    }
done:
    return st;
}

static ml_status grow_subtrees_together(grower *g)
{
    subtree_job job = {.g = g};
    ml_status st = ML_OK;

    atomic_init(&job.next, 0);
    ML__NEW(&g->arena, job.subtrees, g->n_aside);
    ML__TRY(ml__parallel_for(g->arena.context, g->n_helpers, grow_subtrees, &job));
    for (size_t i = 0; i < g->n_aside; i++)
        ML__TRY(ml__subtree_attach(&g->growing, g->aside[i].node, &job.subtrees[i]));
done:
    return st;
}

/* Large nodes, then the subtrees below them. */
static ml_status grow_in_parts(grower *g, const visit *root)
{
    const size_t limit = ml__subtree_rows(g->data, g->m);
    ml_status st;

    if (limit >= g->m)
        return grow_depth_first(g, root, 0);
    ML__TRY(grow_depth_first(g, root, limit));
    if (g->n_helpers)
        return grow_subtrees_together(g);
    for (size_t i = 0; i < g->n_aside; i++)
        ML__TRY(grow_depth_first(g, &g->aside[i], 0));
done:
    return st;
}

static bool comes_before(const candidate *a, const candidate *b)
{
    return a->gain > b->gain || (a->gain == b->gain && a->visit.node < b->visit.node);
}

static void push(grower *g, const candidate *c)
{
    size_t at = g->n_open++;

    for (; at && comes_before(c, &g->heap[(at - 1) / 2]); at = (at - 1) / 2)
        g->heap[at] = g->heap[(at - 1) / 2];
    g->heap[at] = *c;
}

static candidate pop(grower *g)
{
    const candidate best = g->heap[0], *moved = &g->heap[--g->n_open];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < g->n_open) {
        child += child + 1 < g->n_open && comes_before(&g->heap[child + 1], &g->heap[child]);
        if (!comes_before(&g->heap[child], moved))
            break;
        g->heap[at] = g->heap[child];
        at = child;
    }
    g->heap[at] = *moved;
    return best;
}

static ml_status open_node(grower *g, const visit *v)
{
    candidate c;
    const ml_status st = study_node(g, v, &c);

    if (st == ML_OK && c.split.gain >= 0)
        push(g, &c);
    return st;
}

static ml_status grow_best_first(grower *g, const visit *root)
{
    visit children[2];
    ml_status st;

    ML__TRY(open_node(g, root));
    for (size_t n_leaves = 1; g->n_open && n_leaves < g->data->max_leaf_nodes; n_leaves++) {
        const candidate best = pop(g);

        ML__TRY(split_node(g, &best, children));
        ML__TRY(open_node(g, &children[0]));
        ML__TRY(open_node(g, &children[1]));
    }
done:
    return st;
}

/* ---- the tree ---- */

/* The tree that is left of one whose nodes all have values, or of one in parts; the order of growth does not show. */
static ml_status finish_tree(grower *g, ml__arena *arena, ml__tree *out)
{
    const ml__tree_data *data = g->data;
    ml__tree *tree = &g->growing.tree;
    ml__pruning_path *path = data->pruning_path ? &out->path : NULL;
    ml_status st = ML_OK;

    if (path) {
        ML__NEW(arena, path->ccp_alpha, tree->n_nodes);
        ML__NEW(arena, path->impurity, tree->n_nodes);
    }
    if (path || data->ccp_alpha > 0)
        ML__TRY(ml__tree_prune(&g->arena, tree, data->ccp_alpha, ml__risk_unit(data), path));
    ML__TRY(ml__tree_compact(&g->arena, arena, tree, data, out));
done:
    return st;
}

ml_status ml__tree_grow(ml__arena *arena, const ml__tree_data *data, uint64_t key, size_t n_workers, ml__tree *out)
{
    grower g = {.data = data};
    visit root = {.key = ml__seed_mix(key, 1), .lower = -INFINITY, .upper = INFINITY, .inherited = data->prior};
    size_t limit;
    ml_status st;

    *out = (ml__tree){0};
    ml__arena_init(&g.arena, arena->context);
    ml__growing_init(&g.growing, data, arena->context);
    ML__TRY(sample_rows(&g, key));
    ML__TRY(make_workspace(&g, g.m, NULL));
    limit = ml__subtree_rows(data, g.m);
    if (n_workers > 1 && limit < g.m)
        ML__TRY(make_helpers(&g, n_workers, limit));
    ML__TRY(ml__add_nodes(&g.growing, 1));
    root.end = g.m;
    ML__TRY(data->max_leaf_nodes ? grow_best_first(&g, &root) : grow_in_parts(&g, &root));
    ML__TRY(g.growing.keeps_worth || g.n_aside ? finish_tree(&g, arena, out)
                                               : ml__growing_copy(&g.growing, arena, data->d, out));
done:
    free_grower(&g);
    return st;
}
