/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growing on: the trees of a fitted forest become trees as growth leaves them, in front of those to be grown.
 *
 * A tree depends on the data, the rules, the seed and its number only, so with the same data and parameters the result is
 * what a fresh fit with as many trees gives, byte for byte. For that the importances of single trees are kept
 * (trees.importance); and what samples were drawn from (trees.draws: rows, draws, builder, seed, a hash of the rows that can be
 * drawn, their outputs and features; all 0 when that has changed from tree to tree), so that out-of-bag rows are never
 * guessed.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum { N_DRAWS_FACTS = 5, BLOCK_ROWS = 256 };

typedef struct {
    int64_t facts[N_DRAWS_FACTS];
} draws;

static uint64_t hash_words(uint64_t hash, const void *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word;
        memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
        hash = ml__seed_mix(hash, word);
    }
    return hash;
}

static ml_status describe_draws(const ml__fit *f, const ml__tree_data *data, bool by_columns, draws *out)
{
    const size_t n_outputs = data->n * data->n_outputs, per_target = sizeof *data->t / sizeof(uint32_t);
    uint64_t hash = hash_words(0, data->rows, data->n_rows);
    float *x;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, x, BLOCK_ROWS * data->d);
    hash = data->classify ? hash_words(hash, data->y, n_outputs) : hash_words(hash, data->t, n_outputs * per_target);
    for (size_t i = 0; i < data->n; i += BLOCK_ROWS) {
        const size_t n = data->n - i < BLOCK_ROWS ? data->n - i : BLOCK_ROWS;
        ml__dataset_read(f->data, i, n, ML_FLOAT32, x);
        hash = hash_words(hash, x, n * data->d);
    }
    *out = (draws){
        {(int64_t)data->n, data->bootstrap ? (int64_t)data->n_draws : 0, by_columns, (int64_t)f->seed, (int64_t)hash}};
done:
    return st;
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
    for (size_t j = 0; j < f->d; j++) /* a plain matrix may predict with the codes of categories, not teach */
        ML__CHECK(before->schema.features[j].n_categories == f->schema->features[j].n_categories, ML_E_DATA,
                  "%s: feature '%s' has %zu categories, the trees that there are know %zu", kind,
                  f->schema->features[j].name, f->schema->features[j].n_categories,
                  before->schema.features[j].n_categories);
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

ml_status ml__keep_trees(ml__fit *f, const ml__forest_plan *plan, const ml__tree_data *data, bool by_columns,
                         ml__tree *out, ml__arena *arenas)
{
    const size_t n_kept = ml__kept_trees(f);
    const ml__trees *trees;
    double *importance;
    uint32_t *from, *stack;
    size_t most_nodes = 0;
    draws now;
    ml_status st;

    ML__TRY(describe_draws(f, data, by_columns, &now));
    ML__TRY(check_kept(f, plan, &now));
    trees = ml__trees_of(f->model);
    importance = ml__learned_find(f->model->learned, "trees.importance")->data;
    for (size_t t = 0; t < n_kept; t++) {
        out[t] = (ml__tree){.n_nodes = (size_t)(trees->offset[t + 1] - trees->offset[t]),
                            .importance = importance + t * data->d};
        most_nodes = out[t].n_nodes > most_nodes ? out[t].n_nodes : most_nodes;
    }
    ML__NEW(f->scratch, from, most_nodes);
    ML__NEW(f->scratch, stack, most_nodes);
    for (size_t t = 0; t < n_kept; t++) {
        ML__NEW(&arenas[t], out[t].nodes, out[t].n_nodes);
        unpack_nodes(trees, t, &out[t], from, stack);
        ML__TRY(ml__tree_own_values(&arenas[t], trees, t, &out[t]));
        ML__TRY(ml__tree_own_sets(&arenas[t], trees, trees->sets, &out[t]));
    }
done:
    return st;
}

ml_status ml__publish_for_growing_on(ml__fit *f, const ml__tree_data *data, bool by_columns, size_t n_trees,
                                     const ml__tree *trees)
{
    const ml__learned *before = ml__kept_trees(f) ? f->model->learned : NULL;
    double *importance;
    int64_t *facts;
    draws now;
    ml_status st;

    ML__TRY(describe_draws(f, data, by_columns, &now));
    ML__PUBLISH(f, importance, "trees.importance", ML_FLOAT64, n_trees, data->d);
    ML__PUBLISH(f, facts, "trees.draws", ML_INT64, N_DRAWS_FACTS);
    for (size_t t = 0; t < n_trees; t++)
        memcpy(importance + t * data->d, trees[t].importance, data->d * sizeof *importance);
    if (!before || same_draws(before, &now))
        memcpy(facts, &now, sizeof now);
done:
    return st;
}
