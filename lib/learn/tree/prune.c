/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forests cut back to a number of nodes, weakest link first (after Breiman, Friedman, Olshen & Stone 1984, chapter 3, with
 * single splits for links and one queue for all trees).
 *
 * Of a tree, with rows i of weight w_i that fall into node a:
 *     W_a = Σ w_i      v_a = value of a leaf; of a split the mean of its children's, weighted by W (equally when both are 0)
 *     R_a = Σ w_i (y_i − v_a)       for labels a vector over the classes, y_i the unit vector of the class
 *     c_a = Σ_b [W_b (v_a − v_b)² − 2 (v_a − v_b) R_b]      over the children b of a
 * c_a is what the loss Σ w_i |y_i − v|² of the tree grows by when children that are leaves are merged; it may be negative
 * on rows that the tree was not grown from. As a merged node keeps v_a and R_a = R_l + R_r, no c depends on what was
 * merged before: all are computed at once, and then the split with the least c of those whose children are leaves is
 * removed, again and again; ties go to the first tree, then the lowest node.
 *
 * Values and targets are scaled by a power of two, so that no square overflows.
 */
#include <string.h>

#include "learn/tree/tree.h"

/* What is known of one tree: arrays over its nodes. */
typedef struct {
    ml__tree tree;
    double *W, *cost;
    uint32_t *parent;
    bool *cut; /* a split that has become a leaf */
} limb;

/* A split whose children are leaves. */
typedef struct {
    double cost;
    uint32_t tree, node;
} candidate;

typedef struct {
    const ml_model *forest;
    const ml__trees *trees;
    const ml__prune_data *rows;
    size_t n, K;
    int exponent;
    float *X; /* [n x d] */
    limb *limbs;
    ml__arena *arenas; /* [n_trees] what each limb is in */
    size_t n_nodes;    /* that are left */
    size_t n_candidates;
    candidate *candidates; /* a heap, the least cost first */
} pruning;

/* ---- what splits are worth ---- */

/* v [n_nodes x K], scaled; W must be known of all nodes. */
static void fill_values(const pruning *p, const limb *l, double *v)
{
    const size_t K = p->K;

    for (size_t i = l->tree.n_nodes; i-- > 0;) {
        const ml__tree_node *node = &l->tree.nodes[i];
        const double *left = v + node->next * K, *right = left + K;
        double share;

        if (node->feature < 0) {
            for (size_t k = 0; k < K; k++)
                v[i * K + k] = ldexp(l->tree.value[node->next * K + k], -p->exponent);
            continue;
        }
        share = l->W[i] > 0 ? l->W[node->next + 1] / l->W[i] : 0.5;
        for (size_t k = 0; k < K; k++)
            v[i * K + k] = left[k] + (right[k] - left[k]) * share;
    }
}

/* The weights of all nodes; R [n_nodes x K] gets the sums w y of the leaves, scaled. */
static void drop_rows(const pruning *p, size_t t, limb *l, double *R)
{
    const size_t K = p->K, d = p->trees->d;
    size_t length;

    for (size_t i = 0; i < p->n; i++) {
        const double y = p->rows->y[i], w = p->rows->w[i];
        size_t leaf;

        if (isnan(y))
            continue;
        leaf = (size_t)ml__tree_walk(p->trees, t, p->X + i * d, NULL, &length);
        l->W[leaf] += w;
        if (p->forest->learned->task == ML__REGRESS)
            R[leaf] += w * ldexp(y, -p->exponent);
        else if (y < (double)K)
            R[leaf * K + (size_t)y] += ldexp(w, -p->exponent);
    }
    for (size_t i = l->tree.n_nodes; i-- > 0;)
        if (l->tree.nodes[i].feature >= 0)
            l->W[i] = l->W[l->tree.nodes[i].next] + l->W[l->tree.nodes[i].next + 1];
}

static double change_of(const limb *l, const double *v, const double *R, size_t K, size_t from, size_t to)
{
    double change = 0;

    for (size_t k = 0; k < K; k++) {
        const double delta = v[to * K + k] - v[from * K + k];
        change += delta * (l->W[from] * delta - 2 * R[from * K + k]);
    }
    return change;
}

/* From sums w y of the leaves to residuals of all nodes, and to costs of the splits. */
static void weigh_splits(limb *l, const double *v, double *R, size_t K)
{
    for (size_t i = l->tree.n_nodes; i-- > 0;) {
        const ml__tree_node *node = &l->tree.nodes[i];
        const size_t left = node->next, right = left + 1;

        if (node->feature < 0) {
            for (size_t k = 0; k < K; k++)
                R[i * K + k] -= l->W[i] * v[i * K + k];
            continue;
        }
        l->parent[left] = l->parent[right] = (uint32_t)i;
        l->cost[i] = change_of(l, v, R, K, left, i) + change_of(l, v, R, K, right, i);
        for (size_t k = 0; k < K; k++)
            R[i * K + k] = R[left * K + k] + R[right * K + k];
    }
}

static ml_status weigh_tree(void *argument, size_t t)
{
    pruning *p = argument;
    limb *l = &p->limbs[t];
    double *v, *R;
    ml__arena scratch;
    ml_status st;

    ml__arena_init(&scratch, p->forest->context);
    ML__TRY(ml__tree_extract(&p->arenas[t], p->trees, t, &l->tree));
    ML__NEW(&p->arenas[t], l->W, l->tree.n_nodes);
    ML__NEW(&p->arenas[t], l->cost, l->tree.n_nodes);
    ML__NEW(&p->arenas[t], l->parent, l->tree.n_nodes);
    ML__NEW(&p->arenas[t], l->cut, l->tree.n_nodes);
    ML__NEW(&scratch, v, l->tree.n_nodes * p->K);
    ML__NEW(&scratch, R, l->tree.n_nodes * p->K);
    drop_rows(p, t, l, R);
    fill_values(p, l, v);
    weigh_splits(l, v, R, p->K);
done:
    ml__arena_free(&scratch);
    return st;
}

/* ---- the queue ---- */

static bool is_leaf(const limb *l, size_t i)
{
    return l->tree.nodes[i].feature < 0 || l->cut[i];
}

static bool is_candidate(const limb *l, size_t i)
{
    return !is_leaf(l, i) && is_leaf(l, l->tree.nodes[i].next) && is_leaf(l, l->tree.nodes[i].next + 1);
}

static bool before(const candidate *a, const candidate *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    return a->tree != b->tree ? a->tree < b->tree : a->node < b->node;
}

static void sift_down(candidate *candidates, size_t n, size_t at)
{
    const candidate moved = candidates[at];

    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(&candidates[child + 1], &candidates[child]))
            child++;
        if (!before(&candidates[child], &moved))
            break;
        candidates[at] = candidates[child];
    }
    candidates[at] = moved;
}

static candidate candidate_at(const pruning *p, size_t t, size_t i)
{
    return (candidate){p->limbs[t].cost[i], (uint32_t)t, (uint32_t)i};
}

static ml_status find_candidates(pruning *p, ml__arena *scratch)
{
    size_t most = 0;
    ml_status st = ML_OK;

    for (size_t t = 0; t < p->trees->n_trees; t++)
        most += p->limbs[t].tree.n_nodes / 4 + 1; /* of L leaves, at most half are left children of candidates */
    ML__NEW(scratch, p->candidates, most);
    for (size_t t = 0; t < p->trees->n_trees; t++)
        for (size_t i = 0; i < p->limbs[t].tree.n_nodes; i++)
            if (is_candidate(&p->limbs[t], i))
                p->candidates[p->n_candidates++] = candidate_at(p, t, i);
    for (size_t at = p->n_candidates / 2; at-- > 0;)
        sift_down(p->candidates, p->n_candidates, at);
done:
    return st;
}

/* The first candidate goes; its parent may become one and takes its place. */
static void cut_weakest(pruning *p)
{
    const candidate weakest = p->candidates[0];
    limb *l = &p->limbs[weakest.tree];
    const uint32_t parent = l->parent[weakest.node];

    l->cut[weakest.node] = true;
    p->n_nodes -= 2;
    if (weakest.node && is_candidate(l, parent))
        p->candidates[0] = candidate_at(p, weakest.tree, parent);
    else
        p->candidates[0] = p->candidates[--p->n_candidates];
    if (p->n_candidates)
        sift_down(p->candidates, p->n_candidates, 0);
}

/* ---- what is left ---- */

/* Nodes that are reached, in order; `kept` [values] says which rows of values they still have. */
static size_t collect(const limb *l, uint32_t *order, bool *kept)
{
    size_t n = 1;

    order[0] = 0;
    for (size_t at = 0; at < n; at++) {
        const ml__tree_node *node = &l->tree.nodes[order[at]];

        if (node->feature < 0)
            kept[node->next] = true;
        else if (!l->cut[order[at]]) {
            order[n++] = node->next;
            order[n++] = node->next + 1;
        }
    }
    return n;
}

/* Leaves that are gone get the row of values of the node that was cut above them: `top` [n_nodes] has it + 1 at cut nodes. */
static void pass_down(const limb *l, uint32_t *top, uint32_t *number)
{
    for (size_t i = 0; i < l->tree.n_nodes; i++) {
        const ml__tree_node *node = &l->tree.nodes[i];

        if (!top[i])
            continue;
        if (node->feature < 0)
            number[node->next] = top[i] - 1;
        else
            top[node->next] = top[node->next + 1] = top[i];
    }
}

/* Nodes in breadth-first order; rows of values that are still used, then those of the cut nodes, from v [n_nodes x K]. */
static ml_status copy_rest(const pruning *p, const limb *l, const double *v, ml__arena *scratch, ml__arena *arena,
                           ml__tree *out)
{
    const size_t K = p->K;
    uint32_t *order, *number, *top, next = 1;
    bool *kept;
    ml_status st = ML_OK;

    ML__NEW(scratch, order, l->tree.n_nodes);
    ML__NEW(scratch, number, l->tree.n_values);
    ML__NEW(scratch, kept, l->tree.n_values);
    ML__NEW(scratch, top, l->tree.n_nodes);
    *out = (ml__tree){.n_nodes = collect(l, order, kept)};
    ML__NEW(arena, out->nodes, out->n_nodes);
    ML__NEW(arena, out->value, (out->n_nodes + 1) / 2 * K);
    for (size_t row = 0; row < l->tree.n_values; row++)
        if (kept[row]) {
            number[row] = (uint32_t)out->n_values;
            memcpy(out->value + out->n_values++ * K, l->tree.value + row * K, K * sizeof *v);
        }
    for (size_t i = 0; i < out->n_nodes; i++) {
        ml__tree_node *node = &out->nodes[i];

        *node = l->tree.nodes[order[i]];
        if (node->feature < 0) {
            node->next = number[node->next];
        } else if (l->cut[order[i]]) {
            *node = (ml__tree_node){.feature = -1, .next = (uint32_t)out->n_values};
            for (size_t k = 0; k < K; k++)
                out->value[out->n_values * K + k] = ldexp(v[order[i] * K + k], p->exponent);
            top[order[i]] = (uint32_t)++out->n_values;
        } else {
            node->next = next;
            next += 2;
        }
    }
    ML__TRY(ml__tree_own_sets(arena, p->trees, l->tree.sets, out));
    if (l->tree.rows.size) {
        pass_down(l, top, number);
        ML__TRY(ml__leaf_rows_regroup(arena, &l->tree.rows, l->tree.n_values, number, out->n_values, &out->rows));
    }
done:
    return st;
}

static ml_status rebuild(const pruning *p, size_t t, ml__arena *arena, ml__tree *out)
{
    const limb *l = &p->limbs[t];
    ml__arena scratch;
    double *v;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, p->forest->context);
    ML__NEW(&scratch, v, l->tree.n_nodes * p->K);
    fill_values(p, l, v);
    ML__TRY(copy_rest(p, l, v, &scratch, arena, out));
done:
    ml__arena_free(&scratch);
    return st;
}

/* Frees the limbs one by one. */
static ml_status make_rest(pruning *p, ml__arena *scratch, ml_model **out)
{
    const size_t n_trees = p->trees->n_trees;
    ml__arena *arenas = NULL;
    ml__tree *trees;
    ml_status st = ML_OK;

    ML__NEW(scratch, trees, n_trees);
    ML__NEW(scratch, arenas, n_trees);
    for (size_t t = 0; t < n_trees; t++)
        ml__arena_init(&arenas[t], p->forest->context);
    for (size_t t = 0; t < n_trees; t++) {
        ML__TRY(rebuild(p, t, &arenas[t], &trees[t]));
        ml__arena_free(&p->arenas[t]);
    }
    ML__TRY(ml__forest_make(p->forest, n_trees, trees, arenas,
                            ml__tensor_data(p->forest->learned, "feature_importances"), out));
done:
    for (size_t t = 0; t < n_trees && arenas; t++)
        ml__arena_free(&arenas[t]);
    return st;
}

/* ---- all of it ---- */

static ml_status read_rows(pruning *p, ml__arena *scratch)
{
    enum { BLOCK_ROWS = 16 };
    const size_t d = p->trees->d;
    double *x;
    ml_status st = ML_OK;

    ML__NEW(scratch, p->X, p->n * d);
    ML__NEW(scratch, x, BLOCK_ROWS * d);
    for (size_t i = 0; i < p->n; i += BLOCK_ROWS) {
        const size_t n = p->n - i < BLOCK_ROWS ? p->n - i : BLOCK_ROWS;

        ML__TRY(ml__dataset_read(p->rows->data, i, n, ML_FLOAT64, x));
        ML__TRY(ml__rows_to_single(p->forest, x, n, i, p->X + i * d));
    }
done:
    return st;
}

/* Of the largest number that values and targets have. */
static int find_exponent(const pruning *p)
{
    const ml__named_tensor *value = ml__learned_find(p->forest->learned, "trees.value");
    const double *v = value->data;
    double largest = 0;
    int exponent;

    for (size_t i = 0; i < (size_t)(value->shape[0] * value->shape[1]); i++)
        largest = fmax(largest, fabs(v[i]));
    for (size_t i = 0; i < p->n && p->forest->learned->task == ML__REGRESS; i++)
        largest = fmax(largest, fabs(p->rows->y[i])); /* which leaves NaN aside */
    (void)frexp(largest, &exponent);
    return exponent;
}

ml_status ml__forest_cut(const ml_model *forest, size_t max_nodes, const ml__prune_data *rows, ml_model **out)
{
    pruning p = {.forest = forest, .trees = ml__trees_of(forest), .rows = rows, .n = ml_dataset_n_rows(rows->data)};
    const size_t n_trees = p.trees->n_trees;
    ml__arena scratch;
    ml_status st;

    ml__arena_init(&scratch, forest->context);
    ML__CHECK(max_nodes >= n_trees, ML_E_ARGUMENT, "max_nodes is %zu, %zu trees have at least a root each", max_nodes,
              n_trees);
    p.K = p.trees->K;
    p.n_nodes = (size_t)p.trees->offset[n_trees];
    p.exponent = find_exponent(&p);
    ML__TRY(read_rows(&p, &scratch));
    ML__NEW(&scratch, p.limbs, n_trees);
    ML__NEW(&scratch, p.arenas, n_trees);
    for (size_t t = 0; t < n_trees; t++)
        ml__arena_init(&p.arenas[t], forest->context);
    ML__TRY(ml__parallel_for(forest->context, n_trees, weigh_tree, &p));
    ML__TRY(find_candidates(&p, &scratch));
    while (p.n_nodes > max_nodes)
        cut_weakest(&p);
    ML__TRY(make_rest(&p, &scratch, out));
done:
    for (size_t t = 0; t < n_trees && p.arenas; t++)
        ml__arena_free(&p.arenas[t]);
    ml__arena_free(&scratch);
    return st;
}
