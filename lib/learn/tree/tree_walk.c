/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitted trees: checking their tensors and walking them.
 *
 * Of a tree are required: nodes are in breadth-first order, so the children of a split are the next two that no split has
 * claimed, and every node but the root is claimed (all are reached and none twice); a split's feature exists and its
 * threshold is finite, or its set of categories exists; a leaf's words are as layout.c writes them and its row of values
 * exists; no path is longer than ML__TREE_MAX_DEPTH; shares of classes are not negative and those of an output sum to 1. A
 * walk is bounded by the depth found here, so it ends whatever it reads.
 *
 * Prediction   mean over the trees, in their order, of the value of the leaf that the row falls into
 *
 * A walk waits for memory at every level, so LANES of them go on at once: of rows through one tree, or of one row through
 * LANES trees. Their step has no branch: a leaf's threshold is NaN, which no value exceeds, and its left child is itself.
 * Most forests are predicted from by another form of their nodes (coded_trees.c), with the same results.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    MAX_TREES = 1000000,
    LANES = 16,
    FIRST_LEVELS = 8, /* that are walked before it is asked whether all lanes have arrived, */
    NEXT_LEVELS = 4   /* and between two such questions */
};
static const double SHARE_TOLERANCE = 1e-6;
static const double NODE_NANOSECONDS = 5; /* to check one */

typedef struct {
    ml__trees trees;
    const ml__coded_trees *coded; /* the same, or NULL */
} state;

/* ---- validation ---- */

static ml_status check_offsets(const ml__trees *trees, uint64_t n_nodes)
{
    const int64_t *offset = trees->offset;
    const size_t n_trees = trees->n_trees;
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

/* A set of a categorical feature: it exists, and no bit stands for a category that does not. */
static ml_status check_set(const ml__trees *trees, const ml__tree_node *node, size_t i, size_t t)
{
    const size_t n_categories = trees->features[node->feature].n_categories, n_words = ml__set_words(n_categories);
    ml_status st = ML_OK;

    ML__CHECK(n_categories, ML_E_FORMAT, "tree %zu, node %zu: its feature %d has no categories", t, i,
              (int)node->feature);
    ML__CHECK(node->set < trees->n_set_words && trees->n_set_words - node->set >= n_words, ML_E_FORMAT,
              "tree %zu, node %zu: its set is words %u to %llu, of %zu", t, i, (unsigned)node->set,
              (unsigned long long)node->set + n_words - 1, trees->n_set_words);
    ML__CHECK(n_categories % 32 == 0 || !(trees->sets[node->set + n_words - 1] >> n_categories % 32), ML_E_FORMAT,
              "tree %zu, node %zu: its set has more than the %zu categories of feature %d", t, i, n_categories,
              (int)node->feature);
done:
    return st;
}

/* A split of tree `t`, of whose nodes the first *n_claimed are the root or children of earlier splits. */
static ml_status check_split(const ml__trees *trees, const ml__tree_node *node, size_t i, size_t n_nodes, size_t t,
                             size_t *n_claimed)
{
    ml_status st = ML_OK;

    ML__CHECK((size_t)node->feature < trees->d, ML_E_FORMAT, "tree %zu, node %zu: its feature is %d, of %zu", t, i,
              (int)node->feature, trees->d);
    if (node->is_set)
        ML__TRY(check_set(trees, node, i, t));
    ML__CHECK(node->is_set || isfinite(node->threshold), ML_E_FORMAT, "tree %zu, node %zu: its threshold is not finite",
              t, i);
    ML__CHECK(node->next == *n_claimed, ML_E_FORMAT,
              "tree %zu, node %zu: its left child is %u, in breadth-first order it would be %zu", t, i,
              (unsigned)node->next, *n_claimed);
    ML__CHECK(n_nodes - *n_claimed >= 2, ML_E_FORMAT, "tree %zu, node %zu: its children are %zu and %zu, of %zu nodes",
              t, i, *n_claimed, *n_claimed + 1, n_nodes);
    *n_claimed += 2;
done:
    return st;
}

/* A level ends where the children of the level before it end. */
static ml_status check_tree(const ml__trees *trees, size_t t, size_t n_values, uint32_t *depth)
{
    const size_t n_nodes = (size_t)(trees->offset[t + 1] - trees->offset[t]);
    size_t n_claimed = 1, level_end = 1;
    ml_status st = ML_OK;

    for (size_t i = 0; i < n_nodes; i++) {
        const ml__tree_node node = ml__tree_node_at(trees, t, i);

        ML__CHECK(i < n_claimed, ML_E_FORMAT, "tree %zu, node %zu has no parent", t, i);
        if (i == level_end) {
            level_end = n_claimed;
            ML__CHECK(++*depth <= ML__TREE_MAX_DEPTH, ML_E_FORMAT, "tree %zu, node %zu is deeper than %d", t, i,
                      (int)ML__TREE_MAX_DEPTH);
        }
        ML__CHECK(ml__tree_words_are_plain(trees, t, i), ML_E_FORMAT, "tree %zu, node %zu: unknown bits are set", t, i);
        if (node.feature >= 0)
            ML__TRY(check_split(trees, &node, i, n_nodes, t, &n_claimed));
        else
            ML__CHECK(trees->first_value[t] >= 0 && (uint64_t)trees->first_value[t] < n_values &&
                          node.next < n_values - (uint64_t)trees->first_value[t],
                      ML_E_FORMAT, "tree %zu, leaf %zu: its values are row %lld + %u, of %zu", t, i,
                      (long long)trees->first_value[t], (unsigned)node.next, n_values);
    }
done:
    return st;
}

typedef struct {
    const ml__trees *trees;
    size_t n_values;
    uint32_t *depth; /* [n_trees] */
} checking;

static ml_status check_one(void *argument, size_t t)
{
    const checking *c = argument;

    return check_tree(c->trees, t, c->n_values, &c->depth[t]);
}

/* Rows of shares: of each output not negative, sum 1. Which rows are of one class only is written down. */
static ml_status check_shares(const double *share, size_t n_values, const ml__schema *schema, int32_t *sole)
{
    for (size_t i = 0; i < n_values; i++) {
        size_t n_shares = 0;

        sole[i] = -1;
        for (size_t o = 0; o < schema->n_outputs; o++) {
            const size_t K = schema->outputs[o].n_classes;
            double sum = 0;

            for (size_t k = 0; k < K; k++) {
                if (!(share[k] >= 0))
                    return ml__fail(
                        ML_E_FORMAT,
                        "tensor 'trees.value', row %zu: the share of class %zu of output '%s' is %g, negative", i, k,
                        schema->outputs[o].name, share[k]);
                sum += share[k];
                n_shares += share[k] > 0;
                if (share[k] == 1)
                    sole[i] = (int32_t)k;
            }
            if (!(fabs(sum - 1) <= SHARE_TOLERANCE))
                return ml__fail(ML_E_FORMAT,
                                "tensor 'trees.value', row %zu: the shares of the classes of output '%s' sum to %g", i,
                                schema->outputs[o].name, sum);
            share += K;
        }
        if (n_shares > 1)
            sole[i] = -1;
    }
    return ML_OK;
}

ml_status ml__trees_prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *offset = ml__learned_find(learned, "trees.offset");
    const ml__named_tensor *first_value = ml__learned_find(learned, "trees.first_value");
    const ml__named_tensor *value = ml__learned_find(learned, "trees.value");
    const ml__named_tensor *nodes = ml__learned_find(learned, "trees.nodes");
    const ml__named_tensor *sets = ml__learned_find(learned, "trees.sets");
    const size_t n_values = (size_t)value->shape[0], d = learned->schema.n_features;
    const size_t K = learned->task == ML__CLASSIFY ? ml__schema_width(&learned->schema) : learned->schema.n_outputs;
    uint32_t *depth;
    int32_t *sole;
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    s->trees = (ml__trees){.n_trees = offset->shape[0] ? (size_t)offset->shape[0] - 1 : 0,
                           .d = d,
                           .K = K,
                           .n_words = (size_t)nodes->shape[1],
                           .shift = ml__link_shift(d),
                           .words = nodes->data,
                           .offset = offset->data,
                           .first_value = first_value->data,
                           .value = value->data,
                           .sets = sets ? sets->data : NULL,
                           .n_set_words = sets ? (size_t)sets->shape[0] : 0,
                           .features = learned->schema.features};
    ML__CHECK((s->trees.n_words == ML__COMPACT_WORDS && s->trees.shift < 32) || s->trees.n_words == ML__WIDE_WORDS,
              ML_E_FORMAT, "tensor 'trees.nodes' has %zu words per node, expected %d or %d", s->trees.n_words,
              (int)ML__COMPACT_WORDS, (int)ML__WIDE_WORDS);
    ML__CHECK(value->shape[1] == K, ML_E_FORMAT, "tensor 'trees.value' has %llu columns, expected %zu",
              (unsigned long long)value->shape[1], K);
    ML__TRY(check_offsets(&s->trees, nodes->shape[0]));
    ML__CHECK(first_value->shape[0] == s->trees.n_trees, ML_E_FORMAT,
              "tensor 'trees.first_value' has %llu elements for %zu trees", (unsigned long long)first_value->shape[0],
              s->trees.n_trees);
    ML__NEW(&learned->arena, depth, s->trees.n_trees);
    s->trees.depth = depth;
    ML__TRY(ml__parallel_for_cost(learned->context, s->trees.n_trees,
                                  NODE_NANOSECONDS * (double)nodes->shape[0] / (double)s->trees.n_trees, check_one,
                                  &(checking){&s->trees, n_values, depth}));
    if (learned->task == ML__CLASSIFY) {
        ML__NEW(&learned->arena, sole, n_values);
        ML__TRY(check_shares(s->trees.value, n_values, &learned->schema, sole));
        s->trees.sole = sole;
    }
    ML__TRY(ml__leaf_targets_prepare(learned, &s->trees, n_values, &s->trees.leaf_targets));
    ML__TRY(ml__coded_trees_make(learned, &s->trees, n_values, &s->coded));
    learned->state = s;
done:
    return st;
}

const ml__trees *ml__trees_of(const ml_model *model)
{
    return &((const state *)model->learned->state)->trees;
}

/* ---- walks ---- */

/* A number that is no category is as good as missing. */
static bool goes_right(const ml__trees *trees, const ml__tree_node *node, float x)
{
    if (node->is_set && x >= 0 && x < (float)trees->features[node->feature].n_categories && x == floorf(x))
        return !ml__in_set(trees->sets + node->set, (uint32_t)x);
    return isnan(x) || node->is_set ? !node->missing_left : x > node->threshold;
}

uint32_t ml__tree_child(const ml__trees *trees, const ml__tree_node *node, const float *x)
{
    return node->next + goes_right(trees, node, x[node->feature]);
}

/* Any nodes, any values. */
static uint32_t walk_one(const ml__trees *trees, size_t t, const float *x)
{
    size_t i = 0;

    for (uint32_t level = 0; level < trees->depth[t]; level++) {
        const ml__tree_node node = ml__tree_node_at(trees, t, i);

        if (node.feature < 0)
            break;
        i = ml__tree_child(trees, &node, x);
    }
    return ml__tree_node_at(trees, t, i).next;
}

/* Walks through compact nodes. */
typedef struct {
    const uint32_t *tree[LANES];
    const float *x[LANES];
    uint32_t at[LANES];
} lanes;

/* One level further. The bits of the feature are at the place of its offset in bytes. */
static inline uint32_t step(const uint32_t *tree, const float *x, uint32_t at, uint32_t shift, uint32_t feature_mask)
{
    const uint32_t link = tree[2 * (size_t)at + 1];
    float threshold, value;

    memcpy(&threshold, tree + 2 * (size_t)at, sizeof threshold);
    memcpy(&value, (const char *)x + (link & feature_mask), sizeof value);
    return (link >> shift) + (value > threshold);
}

/* Walk over at most `depth` levels. The lanes are variables of their own: an array would not stay in registers. TREE(k)
 * is the tree of lane k. */
#define STEP(k, TREE) a##k = step(TREE(k), l->x[k], a##k, shift, mask)
#define DEFINE_WALK(name, TREE)                                                                                   \
    static void name(lanes *l, uint32_t depth, uint32_t shift)                                                    \
    {                                                                                                             \
        const uint32_t mask = (((uint32_t)1 << shift) - 1) & ~(uint32_t)((1 << ML__FLAG_BITS) - 1);               \
        uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;                                  \
        uint32_t a8 = 0, a9 = 0, a10 = 0, a11 = 0, a12 = 0, a13 = 0, a14 = 0, a15 = 0;                            \
        uint32_t level = 0, until = FIRST_LEVELS, before = 0;                                                     \
        const uint32_t *tree = l->tree[0];                                                                        \
                                                                                                                  \
        (void)tree;                                                                                               \
        do {                                                                                                      \
            until = until < depth ? until : depth;                                                                \
            for (; level < until; level++) {                                                                      \
                before = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11 + a12 + a13 + a14 + a15;     \
                STEP(0, TREE);                                                                                    \
                STEP(1, TREE);                                                                                    \
                STEP(2, TREE);                                                                                    \
                STEP(3, TREE);                                                                                    \
                STEP(4, TREE);                                                                                    \
                STEP(5, TREE);                                                                                    \
                STEP(6, TREE);                                                                                    \
                STEP(7, TREE);                                                                                    \
                STEP(8, TREE);                                                                                    \
                STEP(9, TREE);                                                                                    \
                STEP(10, TREE);                                                                                   \
                STEP(11, TREE);                                                                                   \
                STEP(12, TREE);                                                                                   \
                STEP(13, TREE);                                                                                   \
                STEP(14, TREE);                                                                                   \
                STEP(15, TREE);                                                                                   \
            }                                                                                                     \
            until += NEXT_LEVELS;                                                                                 \
        } while (before != a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11 + a12 + a13 + a14 + a15 && \
                 level < depth);                                                                                  \
        l->at[0] = a0;                                                                                            \
        l->at[1] = a1;                                                                                            \
        l->at[2] = a2;                                                                                            \
        l->at[3] = a3;                                                                                            \
        l->at[4] = a4;                                                                                            \
        l->at[5] = a5;                                                                                            \
        l->at[6] = a6;                                                                                            \
        l->at[7] = a7;                                                                                            \
        l->at[8] = a8;                                                                                            \
        l->at[9] = a9;                                                                                            \
        l->at[10] = a10;                                                                                          \
        l->at[11] = a11;                                                                                          \
        l->at[12] = a12;                                                                                          \
        l->at[13] = a13;                                                                                          \
        l->at[14] = a14;                                                                                          \
        l->at[15] = a15;                                                                                          \
    }

#define SAME_TREE(k) tree
#define OWN_TREE(k) l->tree[k]
DEFINE_WALK(walk_rows, SAME_TREE)
DEFINE_WALK(walk_trees, OWN_TREE)

static uint32_t row_of_values(const uint32_t *tree, uint32_t leaf)
{
    return tree[2 * (size_t)leaf] & ML__VALUE_MASK;
}

/* ---- prediction ---- */

static bool any_missing(const float *x, size_t n)
{
    bool missing = false;

    for (size_t at = 0; at < n; at++)
        missing |= x[at] != x[at];
    return missing;
}

/* Tree t for each row, whatever its values are. */
static void add_any(const state *s, size_t t, const float *x, size_t n, double *out)
{
    const ml__trees *trees = &s->trees;

    for (size_t i = 0; i < n; i++)
        ml__add_value(trees, (size_t)trees->first_value[t] + walk_one(trees, t, x + i * trees->d), out + i * trees->K);
}

/* `any` tells of which LANES rows that follow each other there are any that walks through compact nodes cannot take. */
static void add_rows(const state *s, size_t t, const ml__block *x, const bool *any, double *out)
{
    const ml__trees *trees = &s->trees;
    const uint32_t *tree = trees->words + 2 * (size_t)trees->offset[t];
    const size_t first_value = (size_t)trees->first_value[t];

    for (size_t i = 0; i < x->n; i += LANES) {
        const size_t n = x->n - i < LANES ? x->n - i : LANES;
        lanes l = {.tree = {tree}};

        if (any[i / LANES]) {
            add_any(s, t, x->f32 + i * x->d, n, out + i * trees->K);
            continue;
        }
        for (size_t k = 0; k < LANES; k++)
            l.x[k] = x->f32 + (i + (k < n ? k : 0)) * x->d;
        walk_rows(&l, trees->depth[t], trees->shift);
        for (size_t k = 0; k < n; k++)
            ml__add_value(trees, first_value + row_of_values(tree, l.at[k]), out + (i + k) * trees->K);
    }
}

/* Trees t to t + LANES - 1, as far as there are; their values in order. */
static void add_trees(const state *s, size_t t, const float *x, double *out)
{
    const ml__trees *trees = &s->trees;
    const size_t n = trees->n_trees - t < LANES ? trees->n_trees - t : LANES;
    lanes l;
    uint32_t depth = 0;

    for (size_t k = 0; k < LANES; k++) {
        const size_t of = t + (k < n ? k : 0);
        l.tree[k] = trees->words + 2 * (size_t)trees->offset[of];
        l.x[k] = x;
        depth = trees->depth[of] > depth ? trees->depth[of] : depth;
    }
    walk_trees(&l, depth, trees->shift);
    for (size_t k = 0; k < n; k++)
        ml__add_value(trees, (size_t)trees->first_value[t + k] + row_of_values(l.tree[k], l.at[k]), out);
}

static void add_row(const state *s, const float *x, bool any, double *out)
{
    const size_t n_trees = s->trees.n_trees;

    for (size_t t = 0; any && t < n_trees; t++)
        add_any(s, t, x, 1, out);
    for (size_t t = 0; !any && t < n_trees; t += LANES)
        add_trees(s, t, x, out);
}

static size_t n_groups(size_t n)
{
    return (n + LANES - 1) / LANES;
}

/* By the nodes of the file. */
static ml_status add_plain(const state *s, const ml__block *x, double *out, ml__scratch scratch)
{
    const bool all_any = s->trees.n_words != ML__COMPACT_WORDS || s->trees.n_set_words;
    const size_t rows = x->n < LANES ? 1 : LANES; /* that are asked together */
    bool *any = ml__scratch_take(&scratch, n_groups(x->n) + LANES, sizeof *any);

    if (!any)
        return ML_E_MEMORY;
    for (size_t i = 0; i < x->n; i += rows)
        any[i / rows] = all_any || any_missing(x->f32 + i * x->d, (x->n - i < rows ? x->n - i : rows) * x->d);
    for (size_t t = 0; rows > 1 && t < s->trees.n_trees; t++)
        add_rows(s, t, x, any, out);
    for (size_t i = 0; rows == 1 && i < x->n; i++)
        add_row(s, x->f32 + i * x->d, any[i], out + i * s->trees.K);
    return ML_OK;
}

/* Means whose sums were larger than any double, once more, from values that are made small enough. */
static void repeat_overflown(const ml__trees *trees, const float *x, double *out)
{
    const double n_trees = (double)trees->n_trees;

    for (size_t k = 0; k < trees->K; k++) {
        int exponent;
        double sum = 0;

        if (isfinite(out[k]))
            continue;
        (void)frexp(n_trees, &exponent);
        for (size_t t = 0; t < trees->n_trees; t++) {
            const size_t row = (size_t)trees->first_value[t] + walk_one(trees, t, x);

            sum += ldexp(trees->value[row * trees->K + k], -exponent);
        }
        out[k] = ml__mean_of_scaled(sum, n_trees, exponent);
    }
}

ml_status ml__trees_predict(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    const size_t n_values = x->n * s->trees.K;
    bool finite = true;
    ml_status st;

    for (size_t at = 0; at < n_values; at++)
        out[at] = 0;
    st = s->coded ? ml__coded_add(s->coded, x, out, scratch) : add_plain(s, x, out, scratch);
    for (size_t at = 0; at < n_values; at++) {
        out[at] /= (double)s->trees.n_trees;
        finite &= isfinite(out[at]) != 0;
    }
    for (size_t i = 0; i < x->n && !finite; i++)
        repeat_overflown(&s->trees, x->f32 + i * x->d, out + i * s->trees.K);
    return st;
}

size_t ml__trees_scratch(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;

    return s->coded ? ml__coded_scratch(s->coded, n) : ml__scratch_bytes(n_groups(n) + LANES, sizeof(bool));
}
