/* SPDX-License-Identifier: Apache-2.0 */
/* Forests of drawn shapes, coded or not: predictions are, to the last bit, those of their nodes walked one by one. */
#include <float.h>
#include <stdlib.h>

#include "learn/tree/tree.h"

#include "tree_toys.h"

enum { MOST_TESTED = 61, POOL = 300, USUAL_POOL = 200 };

typedef enum { LABELS, TWO_LABELS, REALS, TWO_REALS } outputs;

/* What is drawn. */
typedef struct {
    outputs outputs;
    size_t d, n_classes, n_trees;
    size_t most_nodes;   /* of a tree */
    size_t n_thresholds; /* of feature 0, all of which occur; 0: chance decides */
    bool is_coded;
} plan;

typedef struct {
    const plan *plan;
    ml_context *context; /* of three threads: thresholds are put together from those of parts */
    toy_random random;
    ml_model *model; /* whose schema is right */
    ml__learned *fitted, *learned;
    float pool[POOL];
} forest;

static size_t draw(forest *f, size_t n)
{
    return (size_t)(toy_uniform(&f->random) * (double)n);
}

static ml_model *model_of(const plan *p)
{
    const size_t n = p->n_classes > 4 ? p->n_classes : 4;
    const bool labels = p->outputs == LABELS || p->outputs == TWO_LABELS;
    double *x = calloc(n * p->d, sizeof *x), *t = calloc(n, sizeof *t);
    int64_t *y = calloc(n, sizeof *y);
    ml_dataset *data = toy_matrix(NULL, x, n, p->d);
    ml_model *model;

    for (size_t i = 0; i < n; i++) {
        y[i] = (int64_t)(i % p->n_classes);
        t[i] = (double)i;
    }
    CHECK_OK(labels ? ml_dataset_set_labels(data, "a", y, n, -1) : ml_dataset_set_targets(data, "a", t, n));
    if (p->outputs == TWO_LABELS || p->outputs == TWO_REALS)
        CHECK_OK(labels ? ml_dataset_add_labels(data, "b", y, n, -1) : ml_dataset_add_targets(data, "b", t, n));
    model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "1"));
    ml_dataset_free(data);
    free(x);
    free(t);
    free(y);
    return model;
}

/* Ascending, with both zeros, the least and the largest numbers there are. */
static void draw_pool(forest *f)
{
    static const float SPECIAL[] = {-FLT_MAX, -1e-45F, -0.0F, 0.0F, 1e-45F, FLT_MIN, FLT_MAX};
    enum { N_SPECIAL = sizeof SPECIAL / sizeof SPECIAL[0] };

    for (size_t i = 0; i < POOL; i++)
        f->pool[i] = i < N_SPECIAL ? SPECIAL[i] : (float)(i + 1) / 8 * (i % 2 ? 1 : -1);
}

/* Breadth first; the first tree has every threshold that is asked for. */
static size_t write_tree(forest *f, size_t t, uint32_t *w, size_t n_rows)
{
    const plan *p = f->plan;
    const uint32_t shift = ml__link_shift(p->d);
    size_t n = 1;

    for (size_t i = 0; i < n; i++) {
        const bool all = t == 0 && i < p->n_thresholds;
        const bool splits = n + 2 <= p->most_nodes && (all || i + 1 == n || t == 1 || draw(f, 3));
        const size_t feature = all ? 0 : t == 1 ? i % p->d : draw(f, p->d);
        const float threshold = f->pool[all ? i : draw(f, p->n_thresholds && !feature ? p->n_thresholds : USUAL_POOL)];

        memcpy(w, &threshold, sizeof *w);
        if (!splits)
            *w = 0x7fc00000 | (uint32_t)draw(f, n_rows);
        w[1] = splits ? (uint32_t)n << shift | (uint32_t)feature << ML__FLAG_BITS |
                            (t == 1 ? (uint32_t)(i / p->d % 2) : (uint32_t)draw(f, 2))
                      : (uint32_t)i << shift;
        w += ML__COMPACT_WORDS;
        n += splits ? 2 : 0;
    }
    return n;
}

/* Every third row of shares is of several classes. */
static void draw_values(forest *f, size_t n, size_t K, double *value)
{
    const size_t n_outputs = f->plan->outputs == TWO_LABELS ? 2 : 1, n_classes = f->plan->n_classes;

    for (size_t at = 0; at < n * K && f->learned->task == ML__REGRESS; at++)
        value[at] = toy_uniform(&f->random) - 0.5;
    for (size_t i = 0; i < n * n_outputs && f->learned->task == ML__CLASSIFY; i++) {
        const double share = i % 3 ? 1 : 0.1 + 0.8 * toy_uniform(&f->random);

        value[i * n_classes + i % n_classes] += share;
        value[i * n_classes + (i + 1) % n_classes] += 1 - share;
    }
}

static void *add(forest *f, const char *name, ml_dtype dtype, uint32_t rank, uint64_t rows, uint64_t columns)
{
    void *data = ml__learned_add(f->learned, name, dtype, rank, (uint64_t[]){rows, columns});

    CHECK(data);
    return data;
}

static forest drawn(const plan *p)
{
    forest f = {.plan = p, .random = {p->d + p->most_nodes}, .model = model_of(p)};
    const bool labels = p->outputs == LABELS || p->outputs == TWO_LABELS;
    const size_t n_outputs = p->outputs == TWO_LABELS || p->outputs == TWO_REALS ? 2 : 1;
    const size_t K = labels ? n_outputs * p->n_classes : n_outputs, n_rows = 2 * p->n_classes + 7;
    uint32_t *words = calloc(p->n_trees * p->most_nodes * ML__COMPACT_WORDS, sizeof *words), *nodes;
    int64_t *offset, *first;

    CHECK_OK(ml_context_create(&(ml_context_options){.struct_size = sizeof(ml_context_options), .n_threads = 3},
                               &f.context));
    CHECK_OK(ml__learned_create(f.context, &f.learned));
    CHECK_OK(ml__schema_copy(&f.learned->arena, &f.model->learned->schema, &f.learned->schema));
    f.learned->task = labels ? ML__CLASSIFY : ML__REGRESS;
    draw_pool(&f);
    (void)add(&f, "feature_importances", ML_FLOAT64, 1, p->d, 1);
    offset = add(&f, "trees.offset", ML_INT64, 1, p->n_trees + 1, 1);
    first = add(&f, "trees.first_value", ML_INT64, 1, p->n_trees, 1);
    draw_values(&f, n_rows + p->n_trees, K, add(&f, "trees.value", ML_FLOAT64, 2, n_rows + p->n_trees, K));
    for (size_t t = 0; t < p->n_trees; t++) {
        first[t] = (int64_t)t;
        offset[t + 1] = offset[t] + (int64_t)write_tree(&f, t, words + ML__COMPACT_WORDS * offset[t], n_rows);
    }
    nodes = add(&f, "trees.nodes", ML_INT32, 2, (uint64_t)offset[p->n_trees], ML__COMPACT_WORDS);
    memcpy(nodes, words, ML__COMPACT_WORDS * sizeof *nodes * (size_t)offset[p->n_trees]);
    free(words);
    CHECK_OK(ml__learned_validate(f.model, f.learned, false));
    f.fitted = f.model->learned;
    f.model->learned = f.learned;
    return f;
}

static void forest_free(forest *f)
{
    f->model->learned = f->fitted;
    ml__learned_free(f->learned);
    ml_model_free(f->model);
    ml_context_free(f->context);
}

/* At thresholds, next to them, and in between; a row in four has missing values. */
static void draw_row(forest *f, bool missing, float *x)
{
    for (size_t j = 0; j < f->plan->d; j++) {
        const float cut = f->pool[draw(f, POOL)];

        switch (draw(f, missing ? 5 : 4)) {
        case 0:
            x[j] = nextafterf(cut, 1);
            break;
        case 1:
            x[j] = nextafterf(cut, -1);
            break;
        case 2:
            x[j] = (float)(toy_uniform(&f->random) - 0.5) * POOL / 8;
            break;
        case 3:
            x[j] = cut;
            break;
        default:
            x[j] = NAN;
        }
    }
}

/* Tree by tree in their order. */
static void predict_plainly(const ml__trees *trees, const float *x, double *out)
{
    for (size_t k = 0; k < trees->K; k++)
        out[k] = 0;
    for (size_t t = 0; t < trees->n_trees; t++) {
        size_t length;
        const size_t leaf = (size_t)ml__tree_walk(trees, t, x, NULL, &length);
        const size_t row = (size_t)trees->first_value[t] + ml__tree_node_at(trees, t, leaf).next;

        for (size_t k = 0; k < trees->K; k++)
            out[k] += trees->value[row * trees->K + k];
    }
    for (size_t k = 0; k < trees->K; k++)
        out[k] /= (double)trees->n_trees;
}

static void check_rows(forest *f, const float *x, const double *wanted, size_t n)
{
    const ml__trees *trees = ml__trees_of(f->model);
    const ml__block block = {.n = n, .d = trees->d, .f32 = x};
    const size_t n_bytes = ml__trees_scratch(f->model, n), n_out = n * trees->K * sizeof *wanted;
    char *workspace = malloc(n_bytes);
    double *out = malloc(n_out);

    memset(workspace, 0x5a, n_bytes);
    CHECK_OK(ml__trees_predict(f->model, &block, out, (ml__scratch){workspace, n_bytes}));
    CHECK_SAME_BYTES(out, n_out, wanted, n_out);
    free(workspace);
    free(out);
}

static void check_forest(const plan *p)
{
    static const size_t BATCHES[] = {1, 5, 11, 12, 13, 16, 17, MOST_TESTED};
    forest f = drawn(p);
    const ml__trees *trees = ml__trees_of(f.model);
    const size_t n_values = (size_t)ml__learned_find(f.learned, "trees.value")->shape[0];
    const ml__coded_trees *coded = NULL;
    float *x = malloc(MOST_TESTED * p->d * sizeof *x);
    double *wanted = malloc(MOST_TESTED * trees->K * sizeof *wanted);

    CHECK_OK(ml__coded_trees_make(f.learned, trees, n_values, &coded));
    CHECK((coded != NULL) == p->is_coded);
    for (size_t i = 0; i < MOST_TESTED; i++) {
        draw_row(&f, i % 4 == 3, x + i * p->d);
        predict_plainly(trees, x + i * p->d, wanted + i * trees->K);
    }
    for (size_t b = 0; b < sizeof BATCHES / sizeof BATCHES[0]; b++)
        for (size_t at = 0; at + BATCHES[b] <= MOST_TESTED; at += BATCHES[b])
            check_rows(&f, x + at * p->d, wanted + at * trees->K, BATCHES[b]);
    free(x);
    free(wanted);
    forest_free(&f);
}

TEST(coded_trees, predict_what_their_nodes_say)
{
    static const plan PLANS[] = {
        {LABELS, 3, 3, 40, 250, 200, true}, {LABELS, 3, 2, 7, 31, 0, true},
        {LABELS, 20, 26, 30, 101, 0, true}, {LABELS, 40, 3, 30, 400, 0, true},
        {LABELS, 2, 300, 11, 61, 0, true},  {TWO_LABELS, 5, 3, 13, 91, 0, true},
        {REALS, 9, 2, 24, 301, 0, true},    {TWO_REALS, 9, 2, 24, 301, 0, true},
        {REALS, 3, 2, 16, 3, 0, true},      {LABELS, 3, 3, 17, 1, 0, true}, /* trees of one node */
        {REALS, 3, 2, 5, 1, 0, true},       {REALS, 1, 2, 12, 200, 0, true},
        {LABELS, 300, 3, 4, 3, 0, true}, /* of many features few are split */
    };

    for (size_t i = 0; i < sizeof PLANS / sizeof PLANS[0]; i++)
        check_forest(&PLANS[i]);
}

TEST(coded_trees, what_does_not_fit_is_predicted_without_codes)
{
    static const plan PLANS[] = {
        {LABELS, 2, 3, 20, 1001, 256, true}, /* both zeros are one threshold */
        {LABELS, 2, 3, 20, 1001, 257, false}, {REALS, 2, 3, 20, 1001, 257, false},
        {LABELS, 127, 3, 64, 1001, 0, true}, /* both columns of each feature */
        {LABELS, 128, 3, 64, 1001, 0, false}, {REALS, 256, 3, 128, 1001, 0, false},
        {LABELS, 2, 3, 3, 101, 0, false}, /* few trees */
        {LABELS, 40, 3, 9, 101, 0, false},    {TWO_REALS, 2, 2, 4, 65535, 0, true},
        {REALS, 2, 2, 4, 65537, 0, false},
    };

    for (size_t i = 0; i < sizeof PLANS / sizeof PLANS[0]; i++)
        check_forest(&PLANS[i]);
}
