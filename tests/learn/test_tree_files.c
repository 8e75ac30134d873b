/* SPDX-License-Identifier: Apache-2.0 */
/* Trees in files: whatever words a file holds, it is refused or safe to walk. */
#include "learn/tree/tree.h"

#include "tree_toys.h"

static ml__named_tensor *find(ml__learned *learned, const char *name)
{
    return (ml__named_tensor *)ml__learned_find(learned, name);
}

static void check_refused(const ml_model *model, ml__learned *learned, const char *text)
{
    CHECK_FAILS(ml__learned_validate(model, learned, false), ML_E_FORMAT, text);
}

/* A fitted model whose tensors are changed one by one. */
typedef struct {
    ml_dataset *data;
    ml_model *model;
    ml__learned *learned;          /* the model's, or one of its own */
    size_t n_words, root, n_nodes; /* of tree 1 */
    uint32_t *words;               /* of its nodes */
} patient;

static void choose_tree(patient *p)
{
    const ml__named_tensor *nodes = find(p->learned, "trees.nodes");
    const int64_t *offset = find(p->learned, "trees.offset")->data;

    p->n_words = (size_t)nodes->shape[1];
    p->root = (size_t)offset[1];
    p->n_nodes = (size_t)offset[2] - p->root;
    p->words = (uint32_t *)nodes->data + p->root * p->n_words;
    CHECK_OK(ml__learned_validate(p->model, p->learned, false));
}

/* Three trees of three levels below the root, with compact nodes. */
static patient compact_patient(bool labels)
{
    patient p = {.data = toy_data(NULL, labels)};

    p.model = toy_fitted(NULL, "random_forest", p.data, TOY_SETTINGS("n_estimators", "3", "max_depth", "3"));
    p.learned = p.model->learned;
    choose_tree(&p);
    CHECK(p.n_words == ML__COMPACT_WORDS);
    return p;
}

static void copy_tensor(const ml__learned *from, const char *name, ml__learned *to)
{
    const ml__named_tensor *t = ml__learned_find(from, name);
    void *data = ml__learned_add(to, name, t->dtype, t->rank, t->shape);

    CHECK(data);
    memcpy(data, t->data, (size_t)(t->shape[0] * (t->rank == 2 ? t->shape[1] : 1)) * ml__dtype_size(t->dtype));
}

/* The same trees with nodes of four words: bits of the threshold (of a leaf: NaN), feature << 2 | missing goes left, left
 * child (of a leaf: itself), row of values. */
static patient wide_patient(bool labels)
{
    patient p = compact_patient(labels);
    const ml__trees *trees = ml__trees_of(p.model);
    const ml__named_tensor *nodes = find(p.learned, "trees.nodes");
    ml__learned *wide;
    uint32_t *w;

    CHECK_OK(ml__learned_create(NULL, &wide));
    CHECK_OK(ml__schema_copy(&wide->arena, &p.learned->schema, &wide->schema));
    wide->task = p.learned->task;
    copy_tensor(p.learned, "feature_importances", wide);
    w = ml__learned_add(wide, "trees.nodes", ML_INT32, 2, (uint64_t[]){nodes->shape[0], ML__WIDE_WORDS});
    CHECK(w);
    copy_tensor(p.learned, "trees.offset", wide);
    copy_tensor(p.learned, "trees.first_value", wide);
    copy_tensor(p.learned, "trees.value", wide);
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < ml_model_tree_size(p.model, t); i++, w += ML__WIDE_WORDS) {
            const ml__tree_node node = ml__tree_node_at(trees, t, i);

            w[0] = 0x7fc00000;
            if (node.feature >= 0)
                memcpy(w, &node.threshold, sizeof *w);
            w[1] = node.feature >= 0 ? (uint32_t)node.feature << 2 | node.missing_left : 0;
            w[2] = node.feature >= 0 ? node.next : (uint32_t)i;
            w[3] = node.feature >= 0 ? 0 : node.next;
        }
    p.learned = wide;
    choose_tree(&p);
    CHECK(p.n_words == ML__WIDE_WORDS);
    return p;
}

static void patient_free(patient *p)
{
    CHECK_OK(ml__learned_validate(p->model, p->learned, false));
    if (p->learned != p->model->learned)
        ml__learned_free(p->learned);
    ml_model_free(p->model);
    ml_dataset_free(p->data);
}

static uint32_t *word(const patient *p, size_t node, size_t i)
{
    return p->words + node * p->n_words + i;
}

static void with_word(const patient *p, size_t node, size_t i, uint32_t wrong, const char *text)
{
    uint32_t *place = word(p, node, i);
    const uint32_t kept = *place;

    *place = wrong;
    check_refused(p->model, p->learned, text);
    *place = kept;
}

static size_t first_leaf(const patient *p)
{
    const uint32_t shift = ml__link_shift(TOY_FEATURES);

    for (size_t i = 0;; i++)
        if ((p->n_words == ML__WIDE_WORDS ? *word(p, i, 2) : *word(p, i, 1) >> shift) == i)
            return i;
}

static uint32_t bits(float x)
{
    uint32_t out;

    memcpy(&out, &x, sizeof out);
    return out;
}

TEST(tree_files, damaged_compact_nodes_are_refused)
{
    patient p = compact_patient(true);
    const uint32_t shift = ml__link_shift(TOY_FEATURES), column = *word(&p, 0, 1) & ((1u << shift) - 1);
    const size_t leaf = first_leaf(&p);

    CHECK(shift == 4 && *word(&p, 0, 1) == (1 << shift | column) && p.n_nodes > 7);
    with_word(&p, 0, 0, bits(NAN), "tree 1, node 0: its threshold is not finite");
    with_word(&p, 0, 0, bits(INFINITY), "tree 1, node 0: its threshold is not finite");
    with_word(&p, 0, 1, 1 << shift | 3 << 2, "tree 1, node 0: its feature is 3, of 3");
    with_word(&p, 0, 1, *word(&p, 0, 1) | 2, "tree 1, node 0: its feature 0 has no categories");
    with_word(&p, 0, 1, column, "tree 1, node 0: unknown bits are set"); /* a leaf with a threshold */
    with_word(&p, 0, 1, 2 << shift | column, "node 0: its left child is 2, in breadth-first order it would be 1");
    with_word(&p, 0, 1, UINT32_MAX << shift | column, "node 0: its left child is 268435455");
    with_word(&p, 1, 1, 1 << shift | column, "tree 1, node 1: unknown bits are set");
    with_word(&p, 2, 1, *word(&p, 1, 1), "tree 1, node 2: its left child is 3, in breadth-first order it would be 5");
    with_word(&p, leaf, 0, *word(&p, leaf, 0) | 1u << 31, "unknown bits are set");
    with_word(&p, leaf, 0, bits(0.5F), "unknown bits are set");
    with_word(&p, leaf, 1, *word(&p, leaf, 1) | ML__MISSING_LEFT, "unknown bits are set");
    with_word(&p, leaf, 1, *word(&p, leaf, 1) | 1 << 2, "unknown bits are set");
    with_word(&p, leaf, 0, 0x7fc00000 | ML__VALUE_MASK, "its values are row 0 + 4194303, of");
    patient_free(&p);
}

TEST(tree_files, damaged_wide_nodes_are_refused)
{
    patient p = wide_patient(true);
    const size_t leaf = first_leaf(&p);

    with_word(&p, 0, 0, bits(NAN), "tree 1, node 0: its threshold is not finite");
    with_word(&p, 0, 0, bits(-INFINITY), "tree 1, node 0: its threshold is not finite");
    with_word(&p, 0, 1, 3 << 2, "tree 1, node 0: its feature is 3, of 3");
    with_word(&p, 0, 1, INT32_MAX & ~3, "tree 1, node 0: its feature is 536870911, of 3");
    with_word(&p, 0, 1, UINT32_MAX & ~3u, "tree 1, node 0: unknown bits are set"); /* more than a node has room for */
    with_word(&p, 0, 1, *word(&p, 0, 1) | 2, "tree 1, node 0: its feature 0 has no categories");
    with_word(&p, 0, 2, 0, "tree 1, node 0: unknown bits are set");
    with_word(&p, 0, 2, 3, "node 0: its left child is 3, in breadth-first order it would be 1");
    with_word(&p, 0, 2, UINT32_MAX, "node 0: its left child is 4294967295");
    with_word(&p, 0, 3, 1, "tree 1, node 0: unknown bits are set");
    with_word(&p, 2, 2, 3, "tree 1, node 2: its left child is 3, in breadth-first order it would be 5");
    with_word(&p, leaf, 0, 0x7fc00001, "unknown bits are set");
    with_word(&p, leaf, 1, 1 << 2, "unknown bits are set");
    with_word(&p, leaf, 3, UINT32_MAX, "its values are row 0 + 4294967295, of");
    patient_free(&p);
}

/* Too few nodes for the splits, and too few splits for the nodes. */
TEST(tree_files, every_node_has_one_parent)
{
    for (int wide = 0; wide < 2; wide++) {
        patient p = wide ? wide_patient(true) : compact_patient(true);
        const uint32_t shift = ml__link_shift(TOY_FEATURES);
        const size_t last = p.n_nodes - 1, leaf = first_leaf(&p);
        uint32_t kept[ML__WIDE_WORDS];

        CHECK(leaf < last);
        memcpy(kept, word(&p, last, 0), p.n_words * sizeof *kept);
        memcpy(word(&p, last, 0), word(&p, 0, 0), p.n_words * sizeof *kept);
        *word(&p, last, wide ? 2 : 1) = wide ? (uint32_t)p.n_nodes : (uint32_t)p.n_nodes << shift;
        check_refused(p.model, p.learned, "its children are");
        memcpy(word(&p, last, 0), kept, p.n_words * sizeof *kept);

        memcpy(kept, word(&p, 0, 0), p.n_words * sizeof *kept);
        memcpy(word(&p, 0, 0), word(&p, leaf, 0), p.n_words * sizeof *kept);
        *word(&p, 0, wide ? 2 : 1) = 0;
        check_refused(p.model, p.learned, "tree 1, node 1 has no parent");
        memcpy(word(&p, 0, 0), kept, p.n_words * sizeof *kept);
        patient_free(&p);
    }
}

#define REFUSED(place, wrong, text)                \
    do {                                           \
        const double kept = (double)(place);       \
        (place) = (wrong);                         \
        check_refused(p.model, p.learned, (text)); \
        (place) = kept;                            \
    } while (0)

TEST(tree_files, damaged_offsets_and_values_are_refused)
{
    patient p = compact_patient(true);
    double *value = find(p.learned, "trees.value")->data;
    ml__named_tensor *offsets = find(p.learned, "trees.offset"), *nodes = find(p.learned, "trees.nodes"),
                     *firsts = find(p.learned, "trees.first_value");
    int64_t *offset = offsets->data, *first_value = firsts->data;

    REFUSED(offset[0], 1, "element 0 is 1, expected 0");
    REFUSED(offset[1], 0, "element 1 is 0 after 0");
    REFUSED(offset[1], -4, "element 1 is -4 after 0");
    REFUSED(offset[3], offset[3] + 1, "the last element is");
    REFUSED(offset[3], INT64_MAX, "element 3 is 9223372036854775807 after");
    REFUSED(offset[2], offset[2] + 1, "tree ");
    REFUSED(offsets->shape[0], 1, "0 trees, expected 1 to 1000000");
    REFUSED(offsets->shape[0], 0, "0 trees, expected 1 to 1000000");
    REFUSED(nodes->shape[1], 3, "tensor 'trees.nodes' has 3 words per node, expected 2 or 4");
    REFUSED(nodes->shape[1], 0, "tensor 'trees.nodes' has 0 words per node");
    REFUSED(firsts->shape[0], 2, "tensor 'trees.first_value' has 2 elements for 3 trees");
    REFUSED(first_value[1], -1, "its values are row -1 + ");
    REFUSED(first_value[1], 1000, "its values are row 1000 + ");
    REFUSED(first_value[1], INT64_MIN, "its values are row -9223372036854775808 + ");
    REFUSED(value[3], -0.125,
            "tensor 'trees.value', row 1: the share of class 0 of output 'class' is -0.125, negative");
    REFUSED(value[0], NAN, "tensor 'trees.value'");
    REFUSED(value[0], value[0] + 0.5,
            "tensor 'trees.value', row 0: the shares of the classes of output 'class' sum to 1.5");
    patient_free(&p);
}
#undef REFUSED

TEST(tree_files, wide_nodes_predict_the_same_bits)
{
    for (int labels = 0; labels < 2; labels++) {
        patient p = wide_patient(labels);
        const size_t n = TOY_ROWS * (labels ? 3 : 1);
        ml__learned *compact = p.model->learned;
        double a[3 * TOY_ROWS], b[3 * TOY_ROWS];

        CHECK_OK((labels ? ml_model_predict_proba : ml_model_predict)(p.model, p.data, a, n));
        p.model->learned = p.learned;
        CHECK_OK((labels ? ml_model_predict_proba : ml_model_predict)(p.model, p.data, b, n));
        CHECK_SAME_BYTES(a, n * sizeof *a, b, n * sizeof *b);
        for (size_t i = 0; i < p.n_nodes; i++) {
            const ml_tree_node wide = toy_node(p.model, 1, i);
            ml_tree_node narrow;

            p.model->learned = compact;
            narrow = toy_node(p.model, 1, i);
            p.model->learned = p.learned;
            CHECK(wide.left == narrow.left && wide.right == narrow.right && wide.feature == narrow.feature &&
                  wide.threshold == narrow.threshold && wide.depth == narrow.depth &&
                  wide.n_values == narrow.n_values &&
                  (!wide.n_values || !memcmp(wide.value, narrow.value, wide.n_values * sizeof *wide.value)));
        }
        p.model->learned = compact;
        patient_free(&p);
    }
}

TEST(tree_files, a_tree_file_has_one_tree)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "2")),
             *tree = toy_model(NULL, "decision_tree");

    check_refused(tree, forest->learned, "tensor 'trees.offset' has 3 elements, a decision_tree has 2");
    ml_model_free(forest);
    ml_model_free(tree);
    ml_dataset_free(data);
}

/* A chain, deeper than the limit as no fit makes it: each level is a split and a leaf, the last one two leaves. */
static void write_chain(uint32_t *w, size_t n_words, uint32_t n_nodes, uint32_t shift)
{
    for (uint32_t i = 0; i < n_nodes; i++) {
        const bool splits = i + 2 < n_nodes && (i == 0 || i % 2);
        const uint32_t left = !splits ? i : i ? i + 2 : 1;

        *w++ = splits ? bits(0.5F) : 0x7fc00000;
        *w++ = n_words == ML__WIDE_WORDS ? 0 : left << shift;
        if (n_words == ML__WIDE_WORDS) {
            *w++ = left;
            *w++ = 0;
        }
    }
}

TEST(tree_files, too_deep_a_tree_is_refused)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);

    for (int c = 0; c < 4; c++) {
        const uint64_t n_words = c % 2 ? ML__WIDE_WORDS : ML__COMPACT_WORDS, n_levels = ML__TREE_MAX_DEPTH + c / 2,
                       n_nodes = 2 * n_levels + 1;
        ml__learned *learned;
        int64_t *offset;
        uint32_t *w;

        CHECK_OK(ml__learned_create(NULL, &learned));
        CHECK_OK(ml__schema_copy(&learned->arena, &model->learned->schema, &learned->schema));
        learned->task = ML__REGRESS;
        CHECK(ml__learned_add(learned, "feature_importances", ML_FLOAT64, 1, (uint64_t[]){TOY_FEATURES}));
        CHECK((w = ml__learned_add(learned, "trees.nodes", ML_INT32, 2, (uint64_t[]){n_nodes, n_words})));
        CHECK((offset = ml__learned_add(learned, "trees.offset", ML_INT64, 1, (uint64_t[]){2})));
        CHECK(ml__learned_add(learned, "trees.first_value", ML_INT64, 1, (uint64_t[]){1}));
        CHECK(ml__learned_add(learned, "trees.value", ML_FLOAT64, 2, (uint64_t[]){1, 1}));
        offset[1] = (int64_t)n_nodes;
        write_chain(w, (size_t)n_words, (uint32_t)n_nodes, ml__link_shift(TOY_FEATURES));
        if (c / 2)
            check_refused(model, learned, "tree 0, node 8193 is deeper than 4096");
        else
            CHECK_OK(ml__learned_validate(model, learned, false));
        ml__learned_free(learned);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree_files, a_tree_without_a_task_is_refused)
{
    for (int labels = 0; labels < 2; labels++) {
        patient p = compact_patient(labels);
        const int32_t task = p.learned->task;

        p.learned->task = ML__UNSUPERVISED;
        check_refused(p.model, p.learned, "its task is none that it can learn");
        p.learned->task = task;
        patient_free(&p);
    }
}

TEST(tree_files, saved_and_loaded_it_predicts_the_same_bits)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL), *loaded;
    double a[3 * TOY_ROWS], b[3 * TOY_ROWS];
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_predict_proba(model, data, a, 3 * TOY_ROWS));
    CHECK_OK(ml_model_predict_proba(loaded, data, b, 3 * TOY_ROWS));
    CHECK_SAME_BYTES(a, sizeof a, b, sizeof b);
    free(bytes);
    ml_model_free(model);
    ml_model_free(loaded);
    ml_dataset_free(data);
}
