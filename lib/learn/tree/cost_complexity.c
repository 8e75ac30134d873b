/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minimal cost-complexity pruning (Breiman, Friedman, Olshen & Stone 1984, chapter 3), by weakest links.
 *
 *     R(t)     impurity of node t times its share of the tree's weight
 *     R(T_t)   sum of R over the leaves below t
 *     g(t)     (R(t) - R(T_t)) / (leaves below t - 1): what each leaf of the branch is worth
 *
 * The node with the least g becomes a leaf; this repeats while that g is at most ccp_alpha. Ties go to the lowest node. The
 * pruning path is the sequence of these g down to the root with the impurity of what is left, beginning with 0 and the whole
 * tree. A g that rounding made smaller than the one before it counts as equal.
 *
 * The least g is found by a knockout tournament over the nodes: a change of one costs log2(nodes).
 */
#include <string.h>

#include "learn/tree/tree.h"

typedef struct {
    ml__tree *tree;
    size_t n, n_slots; /* nodes; a power of two not below */
    double *R, *R_branch, *g;
    uint32_t *parent, *n_leaves, *winner, *stack;
    bool *is_gone; /* below a pruned node */
} pruner;

static bool is_leaf(const pruner *p, size_t i)
{
    return p->tree->nodes[i].feature < 0;
}

/* ---- the tournament ---- */

static uint32_t better(const pruner *p, uint32_t a, uint32_t b)
{
    return b < p->n && p->g[b] < p->g[a] ? b : a;
}

static void update(pruner *p, size_t i, double g)
{
    p->g[i] = g;
    for (size_t at = (p->n_slots + i) / 2; at; at /= 2)
        p->winner[at] = better(p, p->winner[2 * at], p->winner[2 * at + 1]);
}

static double link_strength(const pruner *p, size_t i)
{
    return (p->R[i] - p->R_branch[i]) / (double)(p->n_leaves[i] - 1);
}

/* ---- pruning ---- */

static ml_status make_pruner(ml__arena *arena, ml__tree *tree, pruner *p)
{
    ml_status st = ML_OK;

    *p = (pruner){.tree = tree, .n = tree->n_nodes, .n_slots = 1};
    while (p->n_slots < p->n)
        p->n_slots *= 2;
    ML__NEW(arena, p->R, p->n);
    ML__NEW(arena, p->R_branch, p->n);
    ML__NEW(arena, p->g, p->n);
    ML__NEW(arena, p->parent, p->n);
    ML__NEW(arena, p->n_leaves, p->n);
    ML__NEW(arena, p->stack, p->n);
    ML__NEW(arena, p->is_gone, p->n);
    ML__NEW(arena, p->winner, 2 * p->n_slots);
done:
    return st;
}

/* Children come after their parents. */
static void fill(pruner *p)
{
    for (size_t i = p->n; i-- > 0;) {
        const ml__tree_node *node = &p->tree->nodes[i];

        p->R[i] = p->tree->worth[i].risk;
        p->R_branch[i] = p->R[i];
        p->n_leaves[i] = 1;
        p->g[i] = INFINITY;
        if (is_leaf(p, i))
            continue;
        p->parent[node->next] = p->parent[node->next + 1] = (uint32_t)i;
        p->R_branch[i] = p->R_branch[node->next] + p->R_branch[node->next + 1];
        p->n_leaves[i] = p->n_leaves[node->next] + p->n_leaves[node->next + 1];
        p->g[i] = link_strength(p, i);
    }
    for (size_t i = 0; i < p->n_slots; i++)
        p->winner[p->n_slots + i] = (uint32_t)i;
    for (size_t at = p->n_slots; at-- > 1;)
        p->winner[at] = better(p, p->winner[2 * at], p->winner[2 * at + 1]);
}

static void drop_below(pruner *p, uint32_t top)
{
    size_t n = 0;

    p->stack[n++] = top;
    while (n) {
        const uint32_t i = p->stack[--n];

        if (p->is_gone[i])
            continue;
        p->is_gone[i] = i != top;
        update(p, i, INFINITY);
        if (is_leaf(p, i))
            continue;
        p->stack[n++] = p->tree->nodes[i].next;
        p->stack[n++] = p->tree->nodes[i].next + 1;
    }
}

/* Node t is a leaf from now on: its ancestors learn of it. */
static void collapse(pruner *p, uint32_t t)
{
    const uint32_t n_fewer = p->n_leaves[t] - 1;
    const double more = p->R[t] - p->R_branch[t];

    drop_below(p, t);
    p->n_leaves[t] = 1;
    p->R_branch[t] = p->R[t];
    for (uint32_t i = t; i;) {
        i = p->parent[i];
        p->n_leaves[i] -= n_fewer;
        p->R_branch[i] += more;
        update(p, i, link_strength(p, i));
    }
}

static void add_step(ml__pruning_path *path, int unit, double alpha, double impurity)
{
    const double before = path->n ? path->ccp_alpha[path->n - 1] : 0;

    path->ccp_alpha[path->n] = fmax(ldexp(alpha, unit), before);
    path->impurity[path->n++] = ldexp(impurity, unit);
}

ml_status ml__tree_prune(ml__arena *scratch, ml__tree *tree, double ccp_alpha, int unit, ml__pruning_path *path)
{
    const double most = ldexp(ccp_alpha, -unit);
    bool cuts = ccp_alpha > 0;
    pruner p;
    ml_status st;

    ML__TRY(make_pruner(scratch, tree, &p));
    fill(&p);
    if (path)
        add_step(path, unit, 0, p.R_branch[0]);
    while (p.n_leaves[0] > 1 && (cuts || path)) {
        const uint32_t t = p.winner[1];
        const double alpha = p.g[t];

        cuts = cuts && alpha <= most;
        if (!cuts && !path)
            break;
        collapse(&p, t);
        if (cuts)
            tree->nodes[t] = (ml__tree_node){.feature = -1, .next = tree->worth[t].value};
        if (path)
            add_step(path, unit, alpha, p.R_branch[0]);
    }
done:
    return st;
}

/* ---- what is left ---- */

static ml_status make_tree(ml__arena *scratch, ml__arena *arena, const ml__tree *from, const ml__tree_data *data,
                           ml__tree *to)
{
    bool *is_reached;
    size_t n = 0;
    ml_status st = ML_OK;

    ML__NEW(scratch, is_reached, from->n_nodes);
    is_reached[0] = true;
    for (size_t i = 0; i < from->n_nodes; i++) {
        n += is_reached[i];
        if (is_reached[i] && from->nodes[i].feature >= 0)
            is_reached[from->nodes[i].next] = is_reached[from->nodes[i].next + 1] = true;
    }
    ML__NEW(arena, to->nodes, n);
    ML__NEW(arena, to->value, (n + 1) / 2 * data->K);
    ML__NEW(arena, to->importance, data->d);
    ML__NEW(arena, to->sets, from->n_set_words);
    to->n_nodes = 1;
    to->n_values = to->n_set_words = 0;
done:
    return st;
}

static void copy_set(const ml__tree *from, const ml__tree_data *data, ml__tree_node *node, ml__tree *to)
{
    const size_t n_words = ml__set_words(data->n_categories[node->feature]);

    memcpy(to->sets + to->n_set_words, from->sets + node->set, n_words * sizeof *to->sets);
    node->set = (uint32_t)to->n_set_words;
    to->n_set_words += n_words;
}

ml_status ml__tree_compact(ml__arena *scratch, ml__arena *arena, const ml__tree *from, const ml__tree_data *data,
                           ml__tree *to)
{
    struct place {
        uint32_t from, to;
    } * stack;
    const size_t K = data->K;
    size_t n_open = 1;
    ml_status st;

    ML__TRY(make_tree(scratch, arena, from, data, to));
    ML__NEW(scratch, stack, from->n_nodes);
    while (n_open) {
        const struct place at = stack[--n_open];
        const ml__tree_node *node = &from->nodes[at.from];
        const uint32_t left = (uint32_t)to->n_nodes;

        to->nodes[at.to] = *node;
        if (node->feature < 0) {
            memcpy(to->value + to->n_values * K, from->value + node->next * K, K * sizeof *to->value);
            to->nodes[at.to].next = (uint32_t)to->n_values++;
            continue;
        }
        to->nodes[at.to].next = left;
        if (node->is_set)
            copy_set(from, data, &to->nodes[at.to], to);
        to->n_nodes += 2;
        to->importance[node->feature] += from->gain[at.from];
        stack[n_open++] = (struct place){node->next + 1, left + 1};
        stack[n_open++] = (struct place){node->next, left};
    }
done:
    return st;
}
