/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing on: the trees of a fitted forest become trees as growth leaves them, in front of those to be grown.
 *
 * A tree depends on the data, the rules, the seed and its number only, so with the same data and parameters the result is
 * what a fresh fit with as many trees gives, byte for byte. For that the importances of single trees are kept
 * (trees.importance); and what samples were drawn from (trees.draws: rows, draws, builder, seed, a hash of the rows that can be
 * drawn, their outputs and features; and a hash of their weights; 0 where that has changed from tree to tree), so that neither
 * out-of-bag rows nor those of leaves are ever guessed.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum { BLOCK_ROWS = 256 };

static uint64_t hash_words(uint64_t hash, const void *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
        hash = ml__seed_mix(hash, word);
    }
    return hash;
}

ml_status ml__describe_draws(const ml__fit *f, const ml__tree_data *data, bool by_columns, ml__draws *out)
{
    const size_t n_outputs = data->n * data->n_outputs, per_target = sizeof *data->t / sizeof(uint32_t);
    uint64_t hash = hash_words(0, data->rows, data->n_rows);
    float *x;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, x, BLOCK_ROWS * data->d);
    hash = data->classify ? hash_words(hash, data->y, n_outputs) : hash_words(hash, data->t, n_outputs * per_target);
    for (size_t i = 0; i < data->n; i += BLOCK_ROWS) {
        const size_t n = data->n - i < BLOCK_ROWS ? data->n - i : BLOCK_ROWS;
        ML__TRY(ml__dataset_read(f->data, i, n, ML_FLOAT32, x));
        hash = hash_words(hash, x, n * data->d);
    }
    *out =
        (ml__draws){{(int64_t)data->n, data->bootstrap ? (int64_t)data->n_draws : 0, by_columns, (int64_t)f->seed,
                     (int64_t)hash, (int64_t)hash_words(0, data->w, data->n * (sizeof *data->w / sizeof(uint32_t)))}};
done:
    return st;
}

/* NULL when there are none. */
static const void *draws_before(const ml__learned *before)
{
    const ml__named_tensor *tensor = ml__learned_find(before, "trees.draws");

    return tensor && tensor->shape[0] == ML__DRAWS_FACTS ? tensor->data : NULL;
}

/* How many facts, in their order, are the same: all, those that say what samples were, or none. */
static size_t count_same(const ml__learned *before, const ml__draws *now)
{
    const char *facts = draws_before(before);
    const size_t n_bytes = ML__DRAWS_OF_SAMPLES * sizeof *now->facts;

    if (!facts || memcmp(facts, now, n_bytes) != 0)
        return 0;
    return memcmp(facts, now, sizeof *now) != 0 ? ML__DRAWS_OF_SAMPLES : ML__DRAWS_FACTS;
}

/* ---- what there is ---- */

size_t ml__kept_trees(const ml__fit *f)
{
    const ml__named_tensor *first = f->model->learned ? ml__learned_find(f->model->learned, "trees.first_value") : NULL;

    return first ? (size_t)first->shape[0] : 0;
}

static ml_status check_kept(const ml__fit *f, const ml__forest_plan *plan, const ml__draws *now)
{
    const ml__learned *before = f->model->learned;
    const char *kind = f->model->kind->name;
    const size_t n_kept = ml__kept_trees(f);
    const size_t n_needed = plan->keep_leaf_targets ? ML__DRAWS_FACTS : plan->oob_score ? ML__DRAWS_OF_SAMPLES : 0;
    ml_status st;

    ML__CHECK(n_kept <= plan->n_trees, ML_E_PARAMETER,
              "%s: with warm_start parameter 'n_estimators' cannot become smaller: it is %zu, there are %zu trees",
              kind, plan->n_trees, n_kept);
    ML__CHECK(
        ml__learned_find(before, "trees.importance"), ML_E_PARAMETER,
        "%s: the %zu trees that there are cannot be added to: they were grown without warm_start, or merged, selected "
        "or pruned",
        kind, n_kept);
    ML__TRY(ml__schema_match(&before->schema, f->schema));
    ML__TRY(ml__schema_match_outputs(&before->schema, f->schema));
    for (size_t j = 0; j < f->d; j++) /* a plain matrix may predict with the codes of categories, not teach */
        ML__CHECK(before->schema.features[j].n_categories == f->schema->features[j].n_categories, ML_E_DATA,
                  "%s: feature '%s' has %zu categories, the trees that there are know %zu", kind,
                  f->schema->features[j].name, f->schema->features[j].n_categories,
                  before->schema.features[j].n_categories);
    ML__CHECK(count_same(before, now) >= n_needed, ML_E_PARAMETER,
              "%s: with warm_start parameter '%s' needs the %zu trees that there are to be of the same rows%s, "
              "random_state and rules of growth",
              kind, plan->keep_leaf_targets ? "keep_leaf_targets" : "oob_score", n_kept,
              plan->keep_leaf_targets ? ", weights" : "");
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
        if (node->feature < 0)
            continue;
        from[n] = node->next;
        from[n + 1] = node->next + 1;
        node->next = (uint32_t)n;
        stack[n_open++] = (uint32_t)n + 1;
        stack[n_open++] = (uint32_t)n;
        n += 2;
    }
}

ml_status ml__keep_trees(ml__fit *f, const ml__forest_plan *plan, const ml__draws *now, ml__tree *out,
                         ml__arena *arenas)
{
    const size_t n_kept = ml__kept_trees(f);
    const ml__trees *trees;
    double *importance;
    uint32_t *from, *stack;
    size_t most_nodes = 0;
    ml_status st;

    ML__TRY(check_kept(f, plan, now));
    trees = ml__trees_of(f->model);
    importance = ml__learned_find(f->model->learned, "trees.importance")->data;
    for (size_t t = 0; t < n_kept; t++) {
        out[t] = (ml__tree){.n_nodes = (size_t)(trees->offset[t + 1] - trees->offset[t]),
                            .importance = importance + t * f->d};
        most_nodes = out[t].n_nodes > most_nodes ? out[t].n_nodes : most_nodes;
    }
    ML__NEW(f->scratch, from, most_nodes);
    ML__NEW(f->scratch, stack, most_nodes);
    for (size_t t = 0; t < n_kept; t++) {
        ML__NEW(&arenas[t], out[t].nodes, out[t].n_nodes);
        unpack_nodes(trees, t, &out[t], from, stack);
        ML__TRY(ml__tree_own_values(&arenas[t], trees, t, &out[t]));
        ML__TRY(ml__tree_own_sets(&arenas[t], trees, trees->sets, &out[t]));
        if (!plan->keep_leaf_targets)
            out[t].rows = (ml__leaf_rows){0};
    }
done:
    return st;
}

ml_status ml__publish_for_growing_on(ml__fit *f, const ml__draws *now, size_t n_trees, const ml__tree *trees)
{
    const ml__learned *before = ml__kept_trees(f) ? f->model->learned : NULL;
    double *importance;
    int64_t *facts;
    ml_status st = ML_OK;

    ML__PUBLISH(f, importance, "trees.importance", ML_FLOAT64, n_trees, f->d);
    ML__PUBLISH(f, facts, "trees.draws", ML_INT64, ML__DRAWS_FACTS);
    for (size_t t = 0; t < n_trees; t++)
        memcpy(importance + t * f->d, trees[t].importance, f->d * sizeof *importance);
    memcpy(facts, now, (before ? count_same(before, now) : ML__DRAWS_FACTS) * sizeof *facts);
done:
    return st;
}
