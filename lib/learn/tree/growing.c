/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree while it grows, by either builder, and its subtrees, which threads may grow apart.
 *
 * Order       nodes with many rows come first, depth first; those with fewer are put aside, and then grown one after the
 *             other. Where the line is depends on the data only, so that order does too: several threads grow subtrees into
 *             tables of their own, and attached in the order in which they were put aside they number nodes, rows of values
 *             and sets as one thread does
 * Importances are summed when the tree is complete, for the same reason
 * Memory      tables double, and what is outgrown stays in the arena, which at doubling costs as much again
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    SUBTREES = 64,         /* into which a tree falls, about: enough for several threads, few enough to be large */
    LEAST_CELLS = 1 << 14, /* rows times features of a subtree that is worth a task */
    FIRST_CAPACITY = 256
};

size_t ml__subtree_rows(const ml__tree_data *data, size_t m)
{
    const size_t share = m / SUBTREES, least = LEAST_CELLS / data->max_features;

    return share > least ? share : least;
}

/* ---- tables ---- */

/* Room for n + count elements of a table that keeps the n it has. */
static ml_status enlarge(ml__arena *arena, void *table, size_t n, size_t capacity, size_t size)
{
    void *larger = ml__arena_take(arena, capacity, size);
    void *smaller;

    if (!larger)
        return ML_E_MEMORY;
    memcpy(&smaller, table, sizeof smaller);
    if (n)
        memcpy(larger, smaller, n * size);
    memcpy(table, &larger, sizeof larger);
    return ML_OK;
}

static size_t larger_capacity(size_t capacity, size_t wanted)
{
    capacity = capacity ? 2 * capacity : FIRST_CAPACITY;
    return capacity > wanted ? capacity : wanted;
}

ml_status ml__make_room(ml__arena *arena, void *table, size_t n, size_t count, size_t size, size_t *capacity)
{
    const size_t larger = larger_capacity(*capacity, n + count);
    ml_status st = ML_OK;

    if (n + count <= *capacity)
        return ML_OK;
    ML__TRY(enlarge(arena, table, n, larger, size));
    *capacity = larger;
done:
    return st;
}

ml_status ml__enlarge_nodes(ml__growing *g, size_t count)
{
    ml__tree *tree = &g->tree;
    const size_t n = tree->n_nodes, capacity = larger_capacity(g->node_capacity, n + count);
    ml_status st = ML_OK;

    ML__TRY(enlarge(&g->arena, &tree->nodes, n, capacity, sizeof *tree->nodes));
    ML__TRY(enlarge(&g->arena, &tree->gain, n, capacity, sizeof *tree->gain));
    if (g->keeps_worth)
        ML__TRY(enlarge(&g->arena, &tree->worth, n, capacity, sizeof *tree->worth));
    g->node_capacity = capacity;
done:
    return st;
}

ml_status ml__add_values(ml__growing *g, size_t count, double **value)
{
    const size_t n = g->tree.n_values;
    ml_status st;

    ML__TRY(ml__make_room(&g->arena, &g->tree.value, n, count, g->K * sizeof(double), &g->value_capacity));
    *value = g->tree.value + n * g->K;
    g->tree.n_values += count;
done:
    return st;
}

ml_status ml__add_set(ml__growing *g, size_t n_words, const uint32_t *set, uint32_t *first)
{
    const size_t n = g->tree.n_set_words;
    ml_status st = ML_OK;

    ML__CHECK(n <= UINT32_MAX - n_words, ML_E_LIMIT, "sets of categories take more than 2^32 words");
    ML__TRY(ml__make_room(&g->arena, &g->tree.sets, n, n_words, sizeof *set, &g->set_capacity));
    if (n_words)
        memcpy(g->tree.sets + n, set, n_words * sizeof *set);
    *first = (uint32_t)n;
    g->tree.n_set_words += n_words;
done:
    return st;
}

/* ---- the tree ---- */

void ml__growing_init(ml__growing *g, const ml__tree_data *data, ml_context *context)
{
    *g = (ml__growing){.K = data->K, .keeps_worth = ml__keeps_worth(data)};
    ml__arena_init(&g->arena, context);
}

void ml__growing_clear(ml__growing *g)
{
    g->tree.n_nodes = g->tree.n_values = g->tree.n_set_words = 0;
}

void ml__growing_free(ml__growing *g)
{
    ml__arena_free(&g->arena);
}

/* Depth first, whatever the nodes' numbers: at most one brother waits on each level. */
static void sum_gains(const ml__tree *tree, uint32_t *stack, double *importance)
{
    size_t n_open = 1;

    stack[0] = 0;
    while (n_open) {
        const uint32_t i = stack[--n_open];
        const ml__tree_node *node = &tree->nodes[i];

        if (node->feature < 0)
            continue;
        importance[node->feature] += tree->gain[i];
        stack[n_open++] = node->next + 1;
        stack[n_open++] = node->next;
    }
}

ml_status ml__growing_copy(ml__growing *g, ml__arena *arena, size_t d, ml__tree *out)
{
    const ml__tree *tree = &g->tree;
    ml_status st = ML_OK;

    out->n_nodes = tree->n_nodes;
    out->n_values = tree->n_values;
    out->n_set_words = tree->n_set_words;
    ML__NEW(arena, out->importance, d); /* what is small comes first, and may share a block */
    ML__NEW(arena, out->sets, tree->n_set_words);
    ML__NEW(arena, out->value, tree->n_values * g->K);
    ML__NEW(arena, out->nodes, tree->n_nodes);
    memcpy(out->nodes, tree->nodes, tree->n_nodes * sizeof *out->nodes);
    memcpy(out->value, tree->value, tree->n_values * g->K * sizeof *out->value);
    if (tree->n_set_words)
        memcpy(out->sets, tree->sets, tree->n_set_words * sizeof *out->sets);
    if (!g->stack)
        ML__NEW(&g->arena, g->stack, ML__TREE_MAX_DEPTH + 2);
    sum_gains(tree, g->stack, out->importance);
done:
    return st;
}

/* ---- subtrees ---- */

ml_status ml__subtree_begin(ml__growing *in, ml__subtree *s)
{
    *s = (ml__subtree){in, in->tree.n_nodes, 0, in->tree.n_values, 0, in->tree.n_set_words, 0};
    return ml__add_nodes(in, 1);
}

void ml__subtree_end(ml__subtree *s)
{
    s->n_nodes = s->in->tree.n_nodes - s->node;
    s->n_values = s->in->tree.n_values - s->value;
    s->n_set_words = s->in->tree.n_set_words - s->set_word;
}

/* Node i of s becomes node `at`; `below` is where its second node goes. */
static void attach_node(ml__tree *to, const ml__subtree *s, size_t i, size_t at, size_t below, size_t value,
                        uint32_t set)
{
    const ml__tree *from = &s->in->tree;
    ml__tree_node *node = &to->nodes[at];

    *node = from->nodes[i];
    if (node->feature < 0)
        node->next = (uint32_t)(node->next - s->value + value);
    else
        node->next = (uint32_t)(node->next - s->node - 1 + below);
    if (node->is_set)
        node->set = (uint32_t)(node->set - s->set_word + set);
    to->gain[at] = from->gain[i];
    if (!to->worth)
        return;
    to->worth[at] = from->worth[i];
    to->worth[at].value = (uint32_t)(to->worth[at].value - s->value + value);
}

ml_status ml__subtree_attach(ml__growing *to, uint32_t node, const ml__subtree *s)
{
    const ml__tree *from = &s->in->tree;
    const size_t below = to->tree.n_nodes, first_value = to->tree.n_values;
    double *value;
    uint32_t set;
    ml_status st;

    ML__TRY(ml__add_nodes(to, s->n_nodes - 1));
    ML__TRY(ml__add_values(to, s->n_values, &value));
    ML__TRY(ml__add_set(to, s->n_set_words, s->n_set_words ? from->sets + s->set_word : NULL, &set));
    memcpy(value, from->value + s->value * to->K, s->n_values * to->K * sizeof *value);
    attach_node(&to->tree, s, s->node, node, below, first_value, set);
    for (size_t i = 1; i < s->n_nodes; i++)
        attach_node(&to->tree, s, s->node + i, below + i - 1, below, first_value, set);
done:
    return st;
}
