/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitted trees: checking their tensors and walking them.
 *
 * Of a tree are required: children have higher numbers than their parent and are in the tree; every node but the root
 * has exactly one parent (so all are reached and none twice); a split's feature exists; a leaf has no child; no path is
 * longer than ML__TREE_MAX_DEPTH; shares of classes are not negative and sum to 1. A walk is bounded by the depth found
 * here, so it ends whatever it reads.
 *
 * Prediction   mean over the trees, in their order, of the value of the leaf that the row falls into
 */
#include "learn/tree/tree.h"

enum { MAX_TREES = 1000000 };
static const double SHARE_TOLERANCE = 1e-6;

typedef struct {
    float threshold;
    int32_t feature; /* -1: a leaf */
    int32_t left;
} node;

typedef struct {
    size_t n_trees, K;
    const node *nodes;     /* of all trees */
    const double *value;   /* [nodes x K] */
    const int64_t *offset; /* [n_trees + 1] */
    const uint32_t *depth; /* [n_trees] */
} state;

/* ---- validation ---- */

static ml_status check_offsets(const int64_t *offset, size_t n_trees, uint64_t n_nodes)
{
    ml_status st = ML_OK;

    ML__CHECK(n_trees >= 1 && n_trees <= MAX_TREES, ML_E_FORMAT, "%zu trees, expected 1 to %d", n_trees,
              (int)MAX_TREES);
    ML__CHECK(offset[0] == 0, ML_E_FORMAT, "tensor 'trees.offset': element 0 is %lld, expected 0",
              (long long)offset[0]);
    for (size_t t = 0; t < n_trees; t++)
        ML__CHECK(offset[t + 1] > offset[t] && offset[t + 1] - offset[t] <= INT32_MAX, ML_E_FORMAT,
                  "tensor 'trees.offset': element %zu is %lld after %lld", t + 1, (long long)offset[t + 1],
                  (long long)offset[t]);
    ML__CHECK((uint64_t)offset[n_trees] == n_nodes, ML_E_FORMAT,
              "tensor 'trees.offset': the last element is %lld, there are %llu nodes", (long long)offset[n_trees],
              (unsigned long long)n_nodes);
done:
    return st;
}

/* A split of tree `t`: give its children their depth, which until then is 0. */
static ml_status check_split(const node *tree, size_t i, size_t n_nodes, size_t t, uint32_t *depth)
{
    const int64_t left = tree[i].left;
    ml_status st = ML_OK;

    ML__CHECK(left > (int64_t)i && left + 1 < (int64_t)n_nodes, ML_E_FORMAT,
              "tree %zu, node %zu: its children are %lld and %lld, of %zu nodes", t, i, (long long)left,
              (long long)left + 1, n_nodes);
    ML__CHECK(depth[i] < ML__TREE_MAX_DEPTH, ML_E_FORMAT, "tree %zu, node %zu is deeper than %d", t, (size_t)left,
              (int)ML__TREE_MAX_DEPTH);
    for (int64_t child = left; child <= left + 1; child++) {
        ML__CHECK(!depth[child], ML_E_FORMAT, "tree %zu, node %lld has two parents", t, (long long)child);
        depth[child] = depth[i] + 1;
    }
done:
    return st;
}

/* Parents come before their children, so when a node's turn comes its depth is known. `depth` is [n_nodes], cleared. */
static ml_status check_tree(const node *tree, size_t n_nodes, size_t d, size_t t, uint32_t *depth, uint32_t *deepest)
{
    ml_status st = ML_OK;

    *deepest = 0;
    for (size_t i = 0; i < n_nodes; i++) {
        ML__CHECK(!i || depth[i], ML_E_FORMAT, "tree %zu, node %zu has no parent", t, i);
        if (depth[i] > *deepest)
            *deepest = depth[i];
        ML__CHECK(tree[i].feature >= -1 && tree[i].feature < (int64_t)d, ML_E_FORMAT,
                  "tree %zu, node %zu: its feature is %d, of %zu", t, i, (int)tree[i].feature, d);
        if (tree[i].feature >= 0)
            ML__TRY(check_split(tree, i, n_nodes, t, depth));
        else
            ML__CHECK(tree[i].left == -1, ML_E_FORMAT, "tree %zu, node %zu is a leaf with child %d", t, i,
                      (int)tree[i].left);
    }
done:
    return st;
}

static ml_status check_shares(const double *share, size_t n_nodes, size_t K, size_t t)
{
    for (size_t i = 0; i < n_nodes; i++) {
        double sum = 0;

        for (size_t k = 0; k < K; k++) {
            if (!(share[i * K + k] >= 0))
                return ml__fail(ML_E_FORMAT, "tree %zu, node %zu: the share of class %zu is %g, negative", t, i, k,
                                share[i * K + k]);
            sum += share[i * K + k];
        }
        if (!(fabs(sum - 1) <= SHARE_TOLERANCE))
            return ml__fail(ML_E_FORMAT, "tree %zu, node %zu: its shares of the classes sum to %g", t, i, sum);
    }
    return ML_OK;
}

static ml_status check_trees(const ml__learned *learned, const state *s, uint32_t *depth)
{
    const size_t d = learned->schema.n_features;
    ml__arena arena;
    uint32_t *of_node;
    ml_status st = ML_OK;

    ml__arena_init(&arena, learned->context);
    ML__NEW(&arena, of_node, (size_t)s->offset[s->n_trees]);
    for (size_t t = 0; t < s->n_trees; t++) {
        const size_t first = (size_t)s->offset[t], n_nodes = (size_t)s->offset[t + 1] - first;

        ML__TRY(check_tree(s->nodes + first, n_nodes, d, t, of_node + first, &depth[t]));
        if (learned->task == ML__CLASSIFY)
            ML__TRY(check_shares(s->value + first * s->K, n_nodes, s->K, t));
    }
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml__trees_prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *offset = ml__learned_find(learned, "trees.offset");
    const ml__named_tensor *value = ml__learned_find(learned, "nodes.value");
    const int32_t *feature = ml__tensor_data(learned, "nodes.feature"), *left = ml__tensor_data(learned, "nodes.left");
    const float *threshold = ml__tensor_data(learned, "nodes.threshold");
    const size_t n_nodes = (size_t)value->shape[0];
    node *nodes;
    uint32_t *depth;
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    s->n_trees = offset->shape[0] ? (size_t)offset->shape[0] - 1 : 0;
    s->K = (size_t)value->shape[1];
    s->value = value->data;
    s->offset = offset->data;
    ML__TRY(check_offsets(s->offset, s->n_trees, n_nodes));
    ML__NEW(&learned->arena, nodes, n_nodes);
    ML__NEW(&learned->arena, depth, s->n_trees);
    for (size_t i = 0; i < n_nodes; i++)
        nodes[i] = (node){threshold[i], feature[i], left[i]};
    s->nodes = nodes;
    s->depth = depth;
    ML__TRY(check_trees(learned, s, depth));
    learned->state = s;
done:
    return st;
}

/* ---- prediction ---- */

static size_t walk(const node *tree, uint32_t depth, const float *x)
{
    size_t i = 0;

    for (; depth && tree[i].feature >= 0; depth--)
        i = (size_t)tree[i].left + !(x[tree[i].feature] <= tree[i].threshold);
    return i;
}

ml_status ml__trees_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    const size_t K = s->K;

    (void)scratch;
    for (size_t at = 0; at < x->n * K; at++)
        out[at] = 0;
    for (size_t t = 0; t < s->n_trees; t++) {
        const size_t first = (size_t)s->offset[t];

        for (size_t i = 0; i < x->n; i++) {
            const double *value = s->value + (first + walk(s->nodes + first, s->depth[t], x->f32 + i * x->d)) * K;
            for (size_t k = 0; k < K; k++)
                out[i * K + k] += value[k];
        }
    }
    for (size_t at = 0; at < x->n * K; at++)
        out[at] /= (double)s->n_trees;
    return ML_OK;
}
