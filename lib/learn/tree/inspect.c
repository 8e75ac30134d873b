/* SPDX-License-Identifier: Apache-2.0 */
/* Fitted trees as their owner sees them: sizes, nodes, and the ways of rows. */
#include <invar/tree.h>

#include "learn/tree/tree.h"

/* ---- which trees ---- */

/* NULL when the model has none. */
static const ml__trees *trees_of(const ml_model *model)
{
    return ml_model_is_fitted(model) && ml__has_trees(model->kind) ? ml__trees_of(model) : NULL;
}

ml_status ml__find_trees(const ml_model *model, const ml__trees **out)
{
    ml_status st = ML_OK;

    ML__CHECK(model, ML_E_ARGUMENT, "model is NULL");
    ML__CHECK(ml__has_trees(model->kind), ML_E_UNSUPPORTED,
              "%s is not made of trees; decision_tree, random_forest and extra_trees are", model->kind->name);
    ML__CHECK(model->learned, ML_E_STATE, "%s is not fitted", model->kind->name);
    *out = ml__trees_of(model);
done:
    return st;
}

size_t ml_model_tree_count(const ml_model *model)
{
    const ml__trees *trees = trees_of(model);

    return trees ? trees->n_trees : 0;
}

size_t ml_model_tree_size(const ml_model *model, size_t tree)
{
    return tree < ml_model_tree_count(model) ? ml__tree_size(trees_of(model), tree) : 0;
}

/* ---- nodes ---- */

/* A level begins with the left child of the first split of the level above. */
static size_t depth_of(const ml__trees *trees, size_t t, size_t i)
{
    size_t depth = 0;

    for (size_t j = 0; j < i; j++) {
        const ml__tree_node node = ml__tree_node_at(trees, t, j);

        if (node.feature < 0)
            continue;
        if (node.next > i)
            break;
        depth++;
        j = node.next - 1;
    }
    return depth;
}

ml_status ml_model_tree_node(const ml_model *model, size_t tree, size_t node, ml_tree_node *out)
{
    ml_tree_node result = {.left = -1, .right = -1, .feature = -1};
    const ml__trees *trees = NULL;
    ml__tree_node plain;
    ml_status st;

    ML__TRY(ml__find_trees(model, &trees));
    ML__CHECK(tree < trees->n_trees, ML_E_ARGUMENT, "tree %zu of %zu", tree, trees->n_trees);
    ML__CHECK(node < ml__tree_size(trees, tree), ML_E_ARGUMENT, "node %zu of %zu in tree %zu", node,
              ml__tree_size(trees, tree), tree);
    plain = ml__tree_node_at(trees, tree, node);
    result.depth = depth_of(trees, tree, node);
    if (plain.feature >= 0) {
        result.left = plain.next;
        result.right = result.left + 1;
        result.feature = plain.feature;
        result.missing_left = plain.missing_left;
        if (!plain.is_set)
            result.threshold = plain.threshold;
        else {
            result.categories = trees->sets + plain.set;
            result.n_categories = trees->features[plain.feature].n_categories;
        }
    } else {
        result.value = trees->value + ((size_t)trees->first_value[tree] + plain.next) * trees->K;
        result.n_values = trees->K;
    }
    ML__TRY(ml__write_result(out, &result, sizeof result, "ml_tree_node"));
done:
    return st;
}

/* ---- ways of rows ---- */

int32_t ml__tree_walk(const ml__trees *trees, size_t t, const float *x, int32_t *path, size_t *length)
{
    ml__tree_node node = {.feature = 0};
    uint32_t i = 0;

    for (*length = 0;; i = ml__tree_child(trees, &node, x)) {
        if (path)
            path[*length] = (int32_t)i;
        ++*length;
        node = ml__tree_node_at(trees, t, i);
        if (node.feature < 0)
            return (int32_t)i;
    }
}

enum { BLOCK_VALUES = 32768 };

/* Parts of neighbouring rows, each read block by block. */
typedef struct {
    const ml_model *model;
    const ml_dataset *data;
    ml__row_visitor visit;
    void *argument;
    size_t n_rows, part_rows, block_rows;
    double *x;     /* [parts x block_rows x d] */
    float *single; /* the same */
} visits;

static ml_status visit_part(void *argument, size_t part)
{
    const visits *v = argument;
    const size_t d = ml__trees_of(v->model)->d, first = part * v->part_rows;
    const size_t end = v->n_rows - first < v->part_rows ? v->n_rows : first + v->part_rows;
    double *x = v->x + part * v->block_rows * d;
    float *single = v->single + part * v->block_rows * d;
    ml_status st = ML_OK;

    for (size_t begin = first; begin < end; begin += v->block_rows) {
        const size_t n = end - begin < v->block_rows ? end - begin : v->block_rows;

        ML__TRY(ml__dataset_read(v->data, begin, n, ML_FLOAT64, x));
        ML__TRY(ml__rows_to_single(v->model, x, n, begin, single));
        ML__TRY(v->visit(v->argument, part, begin, n, single));
    }
done:
    return st;
}

/* A part per thread, of whole blocks. */
ml_status ml__visit_rows(const ml_model *model, const ml_dataset *data, size_t most_rows, ml__arena *scratch,
                         ml__row_visitor visit, void *argument)
{
    const size_t d = ml__trees_of(model)->d, n_threads = ml__n_threads(model->context);
    visits v = {.model = model, .data = data, .visit = visit, .argument = argument};
    size_t n_parts, n_blocks;
    ml_status st = ML_OK;

    v.n_rows = ml_dataset_n_rows(data);
    v.block_rows = d < BLOCK_VALUES / most_rows ? most_rows : d < BLOCK_VALUES ? BLOCK_VALUES / d : 1;
    n_blocks = (v.n_rows + v.block_rows - 1) / v.block_rows;
    n_parts = n_threads < n_blocks ? n_threads : n_blocks;
    if (!n_parts)
        return ML_OK;
    v.part_rows = (n_blocks + n_parts - 1) / n_parts * v.block_rows;
    n_parts = (v.n_rows + v.part_rows - 1) / v.part_rows;
    ML__NEW(scratch, v.x, n_parts * v.block_rows * d);
    ML__NEW(scratch, v.single, n_parts * v.block_rows * d);
    ML__TRY(ml__parallel_for(model->context, n_parts, visit_part, &v));
done:
    return st;
}

enum { LEAF_BLOCK_ROWS = 256 };

typedef struct {
    const ml__trees *trees;
    int32_t *out;
} leaves;

static ml_status find_leaves(void *argument, size_t part, size_t first, size_t n, const float *x)
{
    const leaves *l = argument;
    const size_t d = l->trees->d, n_trees = l->trees->n_trees;
    size_t length;

    (void)part;
    for (size_t t = 0; t < n_trees; t++)
        for (size_t i = 0; i < n; i++)
            l->out[(first + i) * n_trees + t] = ml__tree_walk(l->trees, t, x + i * d, NULL, &length);
    return ML_OK;
}

ml_status ml_model_tree_leaves(const ml_model *model, const ml_dataset *data, int32_t *out, size_t n)
{
    const ml__float_state host = ml__float_begin();
    leaves l = {.out = out};
    ml__arena scratch;
    size_t n_rows, wanted = SIZE_MAX;
    ml_status st;

    ml__arena_init(&scratch, model ? model->context : NULL);
    ML__TRY(ml__find_trees(model, &l.trees));
    ML__CHECK(data && out, ML_E_ARGUMENT, "%s is NULL", data ? "out" : "data");
    ML__TRY(ml__schema_match(&model->learned->schema, ml__dataset_schema(data)));
    n_rows = ml_dataset_n_rows(data);
    ML__CHECK(ml__size_mul(n_rows, l.trees->n_trees, &wanted) && wanted == n, ML_E_SHAPE,
              "out has %zu elements, %zu rows in %zu trees have %zu leaves", n, n_rows, l.trees->n_trees, wanted);
    ML__TRY(ml__visit_rows(model, data, LEAF_BLOCK_ROWS, &scratch, find_leaves, &l));
done:
    ml__arena_free(&scratch);
    return ml__float_end(host, st);
}

ml_status ml_model_tree_path(const ml_model *model, size_t tree, const double *x, size_t n_features, int32_t *nodes,
                             size_t n_nodes, size_t *length)
{
    const ml__float_state host = ml__float_begin();
    const ml__trees *trees = NULL;
    ml__arena scratch;
    float *single;
    size_t n;
    ml_status st;

    ml__arena_init(&scratch, model ? model->context : NULL);
    ML__TRY(ml__find_trees(model, &trees));
    ML__CHECK(x, ML_E_ARGUMENT, "x is NULL");
    ML__CHECK(nodes || !n_nodes, ML_E_ARGUMENT, "nodes is NULL, n_nodes %zu", n_nodes);
    ML__CHECK(tree < trees->n_trees, ML_E_ARGUMENT, "tree %zu of %zu", tree, trees->n_trees);
    ML__TRY(ml__check_row(model, x, n_features));
    ML__NEW(&scratch, single, n_features);
    ML__TRY(ml__rows_to_single(model, x, 1, 0, single));
    (void)ml__tree_walk(trees, tree, single, NULL, &n);
    if (length)
        *length = n;
    if (nodes) {
        ML__CHECK(n_nodes >= n, ML_E_SHAPE, "the path has %zu nodes, there is room for %zu", n, n_nodes);
        (void)ml__tree_walk(trees, tree, single, nodes, &n);
    }
done:
    ml__arena_free(&scratch);
    return ml__float_end(host, st);
}
