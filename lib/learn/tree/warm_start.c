/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing on: the trees of a fitted forest become trees as growth leaves them, in front of those to be grown.
 *
 * A tree depends on the data, the rules, the seed and its number only, so with the same data and parameters the result is
 * what a fresh fit with as many trees gives, byte for byte. For that the importances of single trees are kept
 * (trees.importance); and what samples were drawn from (trees.draws: rows, draws, builder, seed; all 0 when that has changed
 * from tree to tree), so that out-of-bag rows are never guessed.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum { N_DRAWS_FACTS = 4 };

typedef struct {
    int64_t facts[N_DRAWS_FACTS];
} draws;

static draws describe_draws(const ml__fit *f, const ml__tree_data *data, bool by_columns)
{
    return (draws){{(int64_t)data->n, (int64_t)data->n_draws, by_columns, (int64_t)f->seed}};
}

/* NULL when there are none. */
static const void *draws_before(const ml__learned *before)
{
    const ml__named_tensor *tensor = ml__learned_find(before, "trees.draws");

    return tensor && tensor->shape[0] == N_DRAWS_FACTS ? tensor->data : NULL;
}

static bool same_draws(const ml__learned *before, const draws *now)
{
    const void *facts = draws_before(before);

    return facts && !memcmp(facts, now, sizeof *now);
}

/* ---- what there is ---- */

size_t ml__kept_trees(const ml__fit *f)
{
    const ml__named_tensor *first = f->model->learned ? ml__learned_find(f->model->learned, "trees.first_value") : NULL;

    return first ? (size_t)first->shape[0] : 0;
}

static ml_status check_kept(const ml__fit *f, const ml__forest_plan *plan, const draws *now)
{
    const ml__learned *before = f->model->learned;
    const char *kind = f->model->kind->name;
    const size_t n_kept = ml__kept_trees(f);
    ml_status st;

    ML__CHECK(n_kept <= plan->n_trees, ML_E_PARAMETER,
              "%s: with warm_start parameter 'n_estimators' cannot become smaller: it is %zu, there are %zu trees",
              kind, plan->n_trees, n_kept);
    ML__CHECK(ml__learned_find(before, "trees.importance"), ML_E_PARAMETER,
              "%s: the %zu trees that there are were grown without warm_start and cannot be added to", kind, n_kept);
    ML__TRY(ml__schema_match(&before->schema, f->schema));
    ML__TRY(ml__schema_match_outputs(&before->schema, f->schema));
    ML__CHECK(!plan->oob_score || same_draws(before, now), ML_E_PARAMETER,
              "%s: with warm_start parameter 'oob_score' needs the %zu trees that there are to be of the same rows, "
              "random_state and rules of growth",
              kind, n_kept);
done:
    return st;
}

/* ---- a tree as growth leaves it ---- */

/* Numbered depth first, as both builders do. `from` [n_nodes]: where in the packed tree a node is. */
static void unpack_nodes(const ml__trees *trees, size_t t, ml__tree *tree, uint32_t *from, uint32_t *stack)
{
    size_t n_open = 0, n = 1;

    from[0] = 0;
    stack[n_open++] = 0;
    while (n_open) {
        const uint32_t i = stack[--n_open];
        ml__tree_node *node = &tree->nodes[i];

        *node = ml__tree_node_at(trees, t, from[i]);
        if (node->feature < 0) {
            if (node->next >= tree->n_values)
                tree->n_values = (size_t)node->next + 1;
            continue;
        }
        from[n] = node->next;
        from[n + 1] = node->next + 1;
        node->next = (uint32_t)n;
        stack[n_open++] = (uint32_t)n + 1;
        stack[n_open++] = (uint32_t)n;
        n += 2;
    }
}

ml_status ml__keep_trees(ml__fit *f, const ml__forest_plan *plan, const ml__tree_data *data, bool by_columns,
                         ml__tree *out, ml__arena *arenas)
{
    const draws now = describe_draws(f, data, by_columns);
    const size_t n_kept = ml__kept_trees(f);
    const ml__trees *trees;
    double *importance, *value;
    uint32_t *from, *stack;
    size_t most_nodes = 0;
    ml_status st;

    ML__TRY(check_kept(f, plan, &now));
    trees = ml__trees_of(f->model);
    importance = ml__learned_find(f->model->learned, "trees.importance")->data;
    value = ml__learned_find(f->model->learned, "trees.value")->data;
    for (size_t t = 0; t < n_kept; t++) {
        out[t] = (ml__tree){.n_nodes = (size_t)(trees->offset[t + 1] - trees->offset[t]),
                            .value = value + (size_t)trees->first_value[t] * data->K,
                            .importance = importance + t * data->d};
        most_nodes = out[t].n_nodes > most_nodes ? out[t].n_nodes : most_nodes;
    }
    ML__NEW(f->scratch, from, most_nodes);
    ML__NEW(f->scratch, stack, most_nodes);
    for (size_t t = 0; t < n_kept; t++) {
        ML__NEW(&arenas[t], out[t].nodes, out[t].n_nodes);
        unpack_nodes(trees, t, &out[t], from, stack);
        ML__TRY(ml__tree_own_sets(&arenas[t], trees, trees->sets, &out[t]));
    }
done:
    return st;
}

ml_status ml__publish_for_growing_on(ml__fit *f, const ml__tree_data *data, bool by_columns, size_t n_trees,
                                     const ml__tree *trees)
{
    const draws now = describe_draws(f, data, by_columns);
    const ml__learned *before = ml__kept_trees(f) ? f->model->learned : NULL;
    double *importance;
    int64_t *facts;
    ml_status st = ML_OK;

    ML__PUBLISH(f, importance, "trees.importance", ML_FLOAT64, n_trees, data->d);
    ML__PUBLISH(f, facts, "trees.draws", ML_INT64, N_DRAWS_FACTS);
    for (size_t t = 0; t < n_trees; t++)
        memcpy(importance + t * data->d, trees[t].importance, data->d * sizeof *importance);
    if (!before || same_draws(before, &now))
        memcpy(facts, &now, sizeof now);
done:
    return st;
}
