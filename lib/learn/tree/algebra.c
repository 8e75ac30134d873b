/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forests from the trees of others: merged, or some of one.
 *
 * A forest is a mean over its trees, so any trees that were grown for the same features and outputs make one. Trees come
 * apart as they were put together, and publishing numbers the rows of values anew in the order in which the trees bring
 * them: the parts of a forest, merged in order, are its bytes again.
 *
 * Leaf targets  are numbers of rows of one table of targets, so forests that keep them are merged only when they keep the
 *               same table.
 * Importances   of a merged forest the mean over the trees of those that have a split, as far as is known: each counts as
 *               its forest does. Those of single trees are not kept, so some trees of a forest have the forest's.
 */
#include <invar/tree.h>
#include <string.h>

#include "learn/tree/tree.h"

enum { MOST_TREES = 1000000 }; /* as n_estimators */

/* ---- apart ---- */

ml_status ml__tree_own_sets(ml__arena *arena, const ml__trees *trees, const uint32_t *sets, ml__tree *tree)
{
    size_t first = SIZE_MAX, end = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < tree->n_nodes; i++) {
        const ml__tree_node *node = &tree->nodes[i];

        if (!node->is_set)
            continue;
        first = node->set < first ? node->set : first;
        if (node->set + ml__set_words(trees->features[node->feature].n_categories) > end)
            end = node->set + ml__set_words(trees->features[node->feature].n_categories);
    }
    if (!end)
        return ML_OK;
    tree->n_set_words = end - first;
    ML__NEW(arena, tree->sets, tree->n_set_words);
    memcpy(tree->sets, sets + first, tree->n_set_words * sizeof *sets);
    for (size_t i = 0; i < tree->n_nodes; i++)
        if (tree->nodes[i].is_set)
            tree->nodes[i].set -= (uint32_t)first;
done:
    return st;
}

ml_status ml__tree_own_values(ml__arena *arena, const ml__trees *trees, size_t t, ml__tree *tree)
{
    const size_t n_leaves = (tree->n_nodes + 1) / 2, K = trees->K;
    const double *value = trees->value + (size_t)trees->first_value[t] * K;
    size_t n_keys = 0, n_values = 0;
    uint64_t *keys, *other;
    uint32_t *from;
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, arena->context);
    ML__NEW(&scratch, keys, n_leaves);
    ML__NEW(&scratch, other, n_leaves);
    for (size_t i = 0; i < tree->n_nodes; i++)
        if (tree->nodes[i].feature < 0)
            keys[n_keys++] = (uint64_t)tree->nodes[i].next << 32 | i;
    ml__sort_keys(keys, other, n_leaves, 32);
    for (size_t k = 0; k < n_leaves; k++)
        n_values += !k || keys[k] >> 32 != keys[k - 1] >> 32;
    ML__NEW(arena, tree->value, n_values * K);
    ML__NEW(&scratch, from, n_values);
    tree->n_values = 0;
    for (size_t k = 0; k < n_leaves; k++) {
        if (!k || keys[k] >> 32 != keys[k - 1] >> 32) {
            from[tree->n_values] = (uint32_t)(keys[k] >> 32);
            memcpy(tree->value + tree->n_values++ * K, value + (keys[k] >> 32) * K, K * sizeof *value);
        }
        tree->nodes[(uint32_t)keys[k]].next = (uint32_t)(tree->n_values - 1);
    }
    if (trees->leaf_targets)
        ML__TRY(
            ml__leaf_rows_copy(arena, trees->leaf_targets, (size_t)trees->first_value[t], from, n_values, &tree->rows));
done:
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__tree_extract(ml__arena *arena, const ml__trees *trees, size_t t, ml__tree *out)
{
    ml_status st = ML_OK;

    *out = (ml__tree){.n_nodes = ml__tree_size(trees, t)};
    ML__NEW(arena, out->nodes, out->n_nodes);
    for (size_t i = 0; i < out->n_nodes; i++)
        out->nodes[i] = ml__tree_node_at(trees, t, i);
    ML__TRY(ml__tree_own_values(arena, trees, t, out));
    ML__TRY(ml__tree_own_sets(arena, trees, trees->sets, out));
done:
    return st;
}

/* ---- together ---- */

static ml_status learn(const ml_model *like, ml__fit *f, size_t n_trees, ml__tree *trees, ml__arena *arenas,
                       const double *importances)
{
    const size_t K = ml__trees_of(like)->K;
    double *copy;
    ml_status st;

    f->learned->task = f->task;
    ML__TRY(ml__schema_copy(&f->learned->arena, &like->learned->schema, &f->learned->schema));
    ML__PUBLISH(f, copy, "feature_importances", ML_FLOAT64, f->d);
    memcpy(copy, importances, f->d * sizeof *copy);
    ML__TRY(ml__leaf_targets_publish_again(f, like->learned));
    ML__TRY(ml__trees_publish(f, K, n_trees, trees, arenas));
done:
    return st;
}

ml_status ml__forest_make(const ml_model *like, size_t n_trees, ml__tree *trees, ml__arena *arenas,
                          const double *importances, ml_model **out)
{
    ml__arena scratch;
    ml__fit f = {.scratch = &scratch, .d = like->learned->schema.n_features, .task = like->learned->task};
    ml_model *model = NULL;
    ml_status st;

    ml__arena_init(&scratch, like->context);
    ML__TRY(ml__model_blank_copy(like, &model));
    ML__TRY(ml_model_set_int(model, "n_estimators", (int64_t)n_trees));
    ML__TRY(ml__learned_create(like->context, &f.learned));
    ML__TRY(learn(like, &f, n_trees, trees, arenas, importances));
    ML__TRY(ml__learned_validate(model, f.learned, false));
    model->learned = f.learned;
    f.learned = NULL;
    *out = model;
    model = NULL;
done:
    ml__learned_free(f.learned);
    ml_model_free(model);
    ml__arena_free(&scratch);
    return st;
}

/* Where a tree comes from. */
typedef struct {
    const ml__trees *trees;
    size_t t;
} origin;

static ml_status make_from(const ml_model *like, const origin *origins, size_t n, const double *importances,
                           ml_model **out)
{
    ml__tree *trees;
    ml__arena scratch, *arenas = NULL;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, like->context);
    ML__NEW(&scratch, trees, n);
    ML__NEW(&scratch, arenas, n);
    for (size_t i = 0; i < n; i++)
        ml__arena_init(&arenas[i], like->context);
    for (size_t i = 0; i < n; i++)
        ML__TRY(ml__tree_extract(&arenas[i], origins[i].trees, origins[i].t, &trees[i]));
    ML__TRY(ml__forest_make(like, n, trees, arenas, importances, out));
done:
    for (size_t i = 0; i < n && arenas; i++)
        ml__arena_free(&arenas[i]);
    ml__arena_free(&scratch);
    return st;
}

/* ---- the public operations ---- */

ml_status ml__forest_check(const ml_model *model)
{
    ml_status st = ML_OK;

    ML__CHECK(model, ML_E_ARGUMENT, "the forest is NULL");
    ML__CHECK(model->kind->tensors == ml__forest_tensors, ML_E_UNSUPPORTED, "%s is not a forest", model->kind->name);
    ML__CHECK(model->learned, ML_E_STATE, "%s is not fitted", model->kind->name);
done:
    return st;
}

/* Can trees of `other` stand beside those of `first`? */
static ml_status check_like(const ml_model *first, const ml_model *other)
{
    ml_status st = ML_OK;

    if (first->kind != other->kind)
        return ml__fail(ML_E_UNSUPPORTED, "it is a %s, the first one a %s", other->kind->name, first->kind->name);
    ML__TRY(ml__schema_match(&first->learned->schema, &other->learned->schema));
    ML__TRY(ml__schema_match_outputs(&first->learned->schema, &other->learned->schema));
    if (!ml__leaf_targets_equal(ml__trees_of(first)->leaf_targets, ml__trees_of(other)->leaf_targets))
        return ml__fail(ML_E_UNSUPPORTED,
                        "keep_leaf_targets: its leaves keep rows of other training data than the first one's");
done:
    return st == ML_OK ? st : ML_E_SHAPE;
}

/* *n_trees is 0 before. */
static ml_status check_forests(const ml_model *const *forests, size_t n, size_t *n_trees)
{
    ml_status st = ML_OK;

    ML__CHECK(forests && n, ML_E_ARGUMENT, "forests is %s", forests ? "empty" : "NULL");
    for (size_t i = 0; i < n; i++) {
        st = ml__forest_check(forests[i]);
        if (st == ML_OK)
            st = check_like(forests[0], forests[i]);
        if (st != ML_OK)
            return ml__blame(st, "forest %zu: ", i);
        *n_trees += ml_model_tree_count(forests[i]);
        ML__CHECK(*n_trees <= MOST_TREES, ML_E_LIMIT, "more than %d trees", (int)MOST_TREES);
    }
done:
    return st;
}

/* Running mean of the importances, where forests without a split say nothing; equal ones stay what they are. */
static void average_importances(const ml_model *const *forests, size_t n, size_t d, double *mean)
{
    double n_seen = 0;

    for (size_t i = 0; i < n; i++) {
        const double *importances = ml__tensor_data(forests[i]->learned, "feature_importances");
        double sum = 0;

        for (size_t j = 0; j < d; j++)
            sum += importances[j];
        if (!(sum > 0))
            continue;
        n_seen += (double)ml_model_tree_count(forests[i]);
        for (size_t j = 0; j < d; j++)
            mean[j] += (importances[j] - mean[j]) * ((double)ml_model_tree_count(forests[i]) / n_seen);
    }
}

ml_status ml_forest_merge(const ml_model *const *forests, size_t n, ml_model **out)
{
    const ml__float_state host = ml__float_begin();
    size_t n_trees = 0, at = 0;
    double *importances;
    ml__arena scratch;
    origin *origins;
    ml_status st;

    if (out)
        *out = NULL;
    ml__arena_init(&scratch, NULL);
    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(check_forests(forests, n, &n_trees));
    scratch.context = forests[0]->context;
    ML__NEW(&scratch, origins, n_trees);
    ML__NEW(&scratch, importances, forests[0]->learned->schema.n_features);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < ml_model_tree_count(forests[i]); t++)
            origins[at++] = (origin){ml__trees_of(forests[i]), t};
    average_importances(forests, n, forests[0]->learned->schema.n_features, importances);
    ML__TRY(make_from(forests[0], origins, n_trees, importances, out));
done:
    ml__arena_free(&scratch);
    return ml__float_end(host, st);
}

ml_status ml_forest_select(const ml_model *forest, const size_t *trees, size_t n, ml_model **out)
{
    const ml__float_state host = ml__float_begin();
    const ml__trees *all;
    ml__arena scratch;
    origin *origins;
    ml_status st;

    if (out)
        *out = NULL;
    ml__arena_init(&scratch, forest ? forest->context : NULL);
    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(ml__forest_check(forest));
    ML__CHECK(trees && n, ML_E_ARGUMENT, "trees is %s", trees ? "empty" : "NULL");
    ML__CHECK(n <= MOST_TREES, ML_E_LIMIT, "more than %d trees", (int)MOST_TREES);
    all = ml__trees_of(forest);
    ML__NEW(&scratch, origins, n);
    for (size_t i = 0; i < n; i++) {
        ML__CHECK(trees[i] < all->n_trees, ML_E_ARGUMENT, "tree %zu of %zu", trees[i], all->n_trees);
        origins[i] = (origin){all, trees[i]};
    }
    ML__TRY(make_from(forest, origins, n, ml__tensor_data(forest->learned, "feature_importances"), out));
done:
    ml__arena_free(&scratch);
    return ml__float_end(host, st);
}
