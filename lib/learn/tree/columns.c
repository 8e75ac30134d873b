/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree from byte codes: the way that most forests are grown.
 *
 * Rows        the bag of a tree, in the order of classes or targets: how often each was drawn is its weight. The codes of
 *             these rows are copied, column by column, and a split moves the rows of its node in every column, so that all
 *             searches below read neighbouring bytes. Where a node looks at few of many features that would move more
 *             than is read: then only the rows' numbers are moved, and the codes of a feature are gathered
 * Sums        of whole numbers: weights are counts, targets become numbers of the node's own scale. So neither order nor
 *             instruction set shows in a tree
 * Ties        to the feature that was drawn first, then to the lowest code
 * Randomness  the bag comes from the tree's key, the features of a node from the node's key, which is made of the path
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    GATHER_FACTOR = 8,     /* gathering a code costs as much as moving so many bytes */
    SMALL_WEIGHT = 14,     /* bits of a node's weight, for sums in 32 bits */
    SMALL_SUM_BITS = 30,   /* of the sums of products of a small node */
    MOST_BITS = 40,        /* of a target */
    LEAST_EXPONENT = -900, /* a node whose targets differ less is split as if they were equal */
    LONG_CLASSES = 16,     /* rows of a class, on average, from which on they are long */
    FIRST_CAPACITY = 256
};

typedef struct {
    uint32_t node, depth;
    size_t begin, n, n_first; /* rows; of the first class when there are two */
    uint64_t key;
} open_node;

struct ml__column_grower {
    const ml__tree_data *data;
    const ml__bins *bins;
    const ml__tree_kernels *kernels;
    ml__arena arena;
    size_t capacity; /* rows that there is room for, at least those of any bag */
    bool gathers;
    /* the bag, node after node */
    size_t m, stride, n_columns;
    uint8_t *columns; /* [n_columns x stride] codes of the features, unless they are gathered; then the next two */
    uint8_t *weight, *label; /* columns too; label NULL for two classes and for reals */
    uint32_t *ids;           /* [m] numbers of the rows, for reals and for gathering; else NULL */
    /* workspace */
    uint8_t *count; /* [n] */
    uint64_t *mask; /* bits of rows */
    uint8_t *spare, *gathered;
    uint32_t *spare_ids, *order, *class_left, *class_weight, *class_end, *features, *swapped;
    int32_t *products, *weights;
    int64_t *packed;
    double *importance; /* [d] */
    ml__tree_rows rows; /* of the node that is searched; set anew are the fields that differ from node to node */
    open_node *open;
    size_t n_open, most_open;
    float threshold; /* drawn, of the best cut of a node */
    /* the tree */
    ml__tree_node *nodes;
    size_t n_nodes, node_capacity;
    double *value;
    size_t n_values, value_capacity;
    uint32_t *row_of_class; /* [K] row of values + 1 of leaves that have this class only; 0: none yet */
};

/* ---- workspace ---- */

bool ml__columns_gather(size_t d, size_t max_features)
{
    return d / GATHER_FACTOR > max_features;
}

static ml_status make_columns(ml__column_grower *g)
{
    const ml__tree_data *data = g->data;
    const bool labels = data->classify && data->K > 2;
    const size_t n_codes = g->gathers ? 0 : data->d;
    ml_status st = ML_OK;

    g->stride = data->n + 2 * ML__COLUMN_PADDING;
    g->n_columns = n_codes + 1 + labels;
    ML__NEW(&g->arena, g->columns, g->n_columns * g->stride);
    g->weight = g->columns + n_codes * g->stride;
    g->label = labels ? g->weight + g->stride : NULL;
    if (!data->classify || g->gathers) {
        ML__NEW(&g->arena, g->ids, data->n);
        ML__NEW(&g->arena, g->spare_ids, data->n + ML__COLUMN_PADDING);
    }
    if (g->gathers)
        ML__NEW(&g->arena, g->gathered, g->stride);
done:
    return st;
}

ml_status ml__column_grower_create(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins,
                                   ml__column_grower **out)
{
    const size_t n = data->n;
    ml__column_grower *g;
    ml_status st = ML_OK;

    ML__NEW(arena, g, 1);
    *out = g;
    g->data = data;
    g->bins = bins;
    g->kernels = bins->kernels;
    g->gathers = ml__columns_gather(data->d, data->max_features);
    ml__arena_init(&g->arena, arena->context);
    ML__TRY(make_columns(g));
    ML__NEW(&g->arena, g->count, n + ML__COLUMN_PADDING);
    ML__NEW(&g->arena, g->mask, n / 64 + 2);
    ML__NEW(&g->arena, g->spare, n + 2 * ML__COLUMN_PADDING);
    ML__NEW(&g->arena, g->features, data->d);
    ML__NEW(&g->arena, g->swapped, data->d);
    ML__NEW(&g->arena, g->importance, data->d);
    for (size_t j = 0; j < data->d; j++)
        g->features[j] = (uint32_t)j;
    if (!data->classify) {
        ML__NEW(&g->arena, g->products, ML__SMALL_TARGETS);
        ML__NEW(&g->arena, g->weights, ML__SMALL_TARGETS);
        ML__NEW(&g->arena, g->packed, n);
        g->rows.weights = g->weights;
        g->rows.packed = g->packed;
    } else
        ML__NEW(&g->arena, g->row_of_class, data->K);
    if (g->label) {
        ML__NEW(&g->arena, g->order, n);
        ML__NEW(&g->arena, g->class_left, data->K);
        ML__NEW(&g->arena, g->class_weight, data->K);
        ML__NEW(&g->arena, g->class_end, data->K);
        g->rows.class_weight = g->class_weight;
        g->rows.class_end = g->class_end;
        g->rows.order = g->order;
        g->rows.class_left = g->class_left;
    }
done:
    return st;
}

void ml__column_grower_free(ml__column_grower *g)
{
    if (g)
        ml__arena_free(&g->arena);
}

/* Room for one more element of a table that keeps its content; what is outgrown stays in the arena. */
static ml_status make_room(ml__arena *arena, void **table, size_t n, size_t *capacity, size_t size)
{
    size_t larger;
    void *new_table;
    ml_status st = ML_OK;

    if (n + 2 <= *capacity)
        return ML_OK;
    larger = *capacity ? 2 * *capacity : FIRST_CAPACITY;
    new_table = ml__arena_take(arena, larger, size);
    ML__TRY(new_table ? ML_OK : ML_E_MEMORY);
    if (n)
        memcpy(new_table, *table, n * size);
    *table = new_table;
    *capacity = larger;
done:
    return st;
}

/* ---- the bag ---- */

/* Two draws from each random number; more than 255 of one row are 255. */
void ml__columns_draw(const ml__tree_data *data, uint64_t key, uint8_t *count)
{
    const size_t n = data->n;
    uint64_t pair = 0;

    if (!data->bootstrap) {
        memset(count, 1, n);
        return;
    }
    memset(count, 0, n);
    for (size_t i = 0; i < data->n_draws; i++) {
        size_t row;

        pair = i % 2 ? pair >> 32 : ml__random_at(key, i / 2);
        row = (size_t)((pair & UINT32_MAX) * (uint64_t)n >> 32);
        count[row] += count[row] < 255;
    }
}

static void choose_column(ml__column_grower *g, const uint8_t *from, uint8_t *to)
{
    (void)g->kernels->tree_choose(g->data->n, from, g->mask, to);
}

static void fill_bag(ml__column_grower *g)
{
    const size_t n = g->data->n;

    (void)g->kernels->tree_compare(n, g->count, 0, g->mask);
    for (size_t i = 0; i < (n + 63) / 64; i++)
        g->mask[i] = ~g->mask[i];
    if (n % 64)
        g->mask[n / 64] &= ((uint64_t)1 << n % 64) - 1;
    g->m = g->kernels->tree_choose(n, g->count, g->mask, g->weight);
    if (g->label)
        choose_column(g, g->bins->label, g->label);
    for (size_t j = 0; j < g->data->d && !g->gathers; j++)
        choose_column(g, g->bins->code + j * g->bins->stride, g->columns + j * g->stride);
    if (g->ids)
        for (size_t i = 0, at = 0; i < n; i++)
            if (g->count[i])
                g->ids[at++] = (uint32_t)i;
}

/* ---- what the features of a node have in common ---- */

/* In large nodes a class has many rows: look for its end only. */
static void describe_long_classes(ml__column_grower *g, const open_node *node, ml__tree_rows *rows)
{
    const uint8_t *label = g->label + node->begin;

    rows->label = label;
    rows->W = rows->heaviest_class = 0;
    rows->sum_squares = 0;
    rows->n_classes_here = 0;
    for (size_t i = 0, end; i < node->n; i = end) {
        uint32_t weight;

        for (end = i + 1; end < node->n && label[end] == label[i];)
            end++;
        weight = (uint32_t)g->kernels->tree_sum(end - i, rows->weight + i);
        g->class_weight[label[i]] = weight;
        g->class_end[rows->n_classes_here++] = (uint32_t)end;
        rows->W += weight;
        rows->heaviest_class = weight > rows->heaviest_class ? weight : rows->heaviest_class;
        rows->sum_squares += (uint64_t)weight * weight;
    }
}

/* Without a branch: in small nodes a new class comes with every other row. */
static void describe_classes(ml__column_grower *g, const open_node *node, ml__tree_rows *rows)
{
    const uint8_t *label = g->label + node->begin;
    uint32_t here = 0, before = 0, heaviest = 0;
    uint64_t W = 0, sum_squares = 0;
    uint8_t last = label[0];

    for (size_t i = 0; i < node->n; i++) {
        const uint32_t weight = rows->weight[i], same = label[i] == last;

        before &= 0 - same;
        here += !same;
        sum_squares += (uint64_t)weight * (2 * (uint64_t)before + weight);
        before += weight;
        heaviest = before > heaviest ? before : heaviest;
        W += weight;
        last = label[i];
        g->class_weight[last] = before;
        g->class_end[here] = (uint32_t)i + 1;
    }
    rows->label = label;
    rows->W = (uint32_t)W;
    rows->heaviest_class = heaviest;
    rows->sum_squares = sum_squares;
    rows->n_classes_here = here + 1;
}

static uint32_t bits_of_number(uint64_t x)
{
    uint32_t n = 0;

    for (; x; x >>= 1)
        n++;
    return n;
}

/* Targets of the node as whole numbers: halfway between the least and the largest is 0. */
static void describe_targets(ml__column_grower *g, const open_node *node, ml__tree_rows *rows, double *scale)
{
    const uint32_t *ids = g->ids + node->begin;
    const double least = g->bins->t[ids[0]], largest = g->bins->t[ids[node->n - 1]];
    const double centre = least / 2 + largest / 2;
    const uint32_t n_bits = bits_of_number(rows->W);
    int exponent, target_bits;

    (void)frexp(largest / 2 - least / 2, &exponent);
    exponent = exponent < LEAST_EXPONENT ? LEAST_EXPONENT : exponent;
    if (node->n <= ML__SMALL_TARGETS && n_bits <= SMALL_WEIGHT) {
        *scale = ldexp(1, SMALL_SUM_BITS - (int)n_bits - exponent);
        rows->products = g->products;
        rows->S =
            g->kernels->tree_products(node->n, ids, g->bins->t, rows->weight, centre, *scale, g->products, g->weights);
    } else {
        target_bits = 61 - 2 * (int)n_bits;
        *scale = ldexp(1, (target_bits < MOST_BITS ? target_bits : MOST_BITS) - exponent);
        rows->products = NULL;
        rows->shift = n_bits;
        rows->S = g->kernels->tree_pack(node->n, ids, g->bins->t, rows->weight, centre, *scale, n_bits, g->packed);
    }
}

static void describe(ml__column_grower *g, const open_node *node, ml__tree_rows *rows, double *scale)
{
    rows->n = node->n;
    rows->weight = g->weight + node->begin;
    *scale = 1;
    if (g->label) {
        (node->n < LONG_CLASSES * g->data->K ? describe_classes : describe_long_classes)(g, node, rows);
        return;
    }
    rows->W = (uint32_t)g->kernels->tree_sum(node->n, rows->weight);
    if (g->data->classify) {
        rows->n_first = node->n_first;
        rows->W_first = (uint32_t)g->kernels->tree_sum(node->n_first, rows->weight);
    } else
        describe_targets(g, node, rows, scale);
}

/* ---- the search ---- */

static const uint8_t *codes_of(ml__column_grower *g, const open_node *node, size_t j)
{
    const uint8_t *column;

    if (!g->gathers)
        return g->columns + j * g->stride + node->begin;
    column = g->bins->code + j * g->bins->stride;
    for (size_t i = 0; i < node->n; i++)
        g->gathered[i] = column[g->ids[node->begin + i]];
    return g->gathered;
}

/* One cut of feature j; its threshold is kept when it is the best so far. */
static bool cut_at_random(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, size_t j,
                          ml__tree_cut *best)
{
    const uint64_t random = ml__random_at(node->key, g->data->d + j);
    ml__tree_cut cut;
    float threshold;

    if (!ml__random_cut(rows, g->data->classify, g->bins, j, codes_of(g, node, j), random, &cut, &threshold))
        return false;
    if (cut.gain > best->gain) {
        *best = cut;
        g->threshold = threshold;
    }
    return true;
}

static bool cut_feature(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, size_t j,
                        ml__tree_cut *best)
{
    const ml__tree_kernels *k = g->kernels;
    const size_t n_codes = g->bins->n_codes[j];
    const uint8_t *code;

    if (n_codes < 2)
        return false;
    if (g->data->random_thresholds)
        return cut_at_random(g, node, rows, j, best);
    code = codes_of(g, node, j);
    if (g->label)
        return k->tree_cut_classes(rows, code, n_codes, best);
    return g->data->classify ? k->tree_cut_two(rows, code, n_codes, best)
                             : k->tree_cut_targets(rows, code, n_codes, best);
}

/* The best cut of the features that are looked at, in *best; returns the feature, or d when none varies. */
static size_t search(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, ml__tree_cut *best)
{
    const size_t d = g->data->d, wanted = g->data->max_features;
    size_t n_seen, n_useful = 0, feature = d;

    *best = (ml__tree_cut){.gain = -1};
    for (n_seen = 0; n_seen < d && (n_seen < wanted || !n_useful); n_seen++) {
        const double before = best->gain;
        size_t j = n_seen;

        if (g->data->draw_features)
            j = ml__draw_feature(g->features, g->swapped, d, n_seen, node->key);
        n_useful += cut_feature(g, node, rows, j, best);
        if (best->gain > before)
            feature = j;
    }
    if (g->data->draw_features)
        ml__undo_draws(g->features, g->swapped, n_seen);
    return feature;
}

/* Two rows of different outputs: whatever parts them is the best split. */
static size_t search_pair(ml__column_grower *g, const open_node *node, uint32_t *cut)
{
    const size_t d = g->data->d;
    size_t n_seen = 0, feature = d;

    while (n_seen < d && feature == d) {
        const size_t j =
            g->data->draw_features ? ml__draw_feature(g->features, g->swapped, d, n_seen, node->key) : n_seen;
        const uint8_t *code = codes_of(g, node, j);

        n_seen++;
        if (code[0] != code[1]) {
            feature = j;
            *cut = code[0] < code[1] ? code[0] : code[1];
        }
    }
    if (g->data->draw_features)
        ml__undo_draws(g->features, g->swapped, n_seen);
    return feature;
}

static double decrease_of_pair(const ml__column_grower *g, const open_node *node)
{
    const double a = g->weight[node->begin], b = g->weight[node->begin + 1];
    double square = 2; /* of two classes: (1 - 0)^2 + (0 - 1)^2 */

    if (!g->data->classify) {
        const double difference = g->bins->t[g->ids[node->begin + 1]] - g->bins->t[g->ids[node->begin]];
        square = difference * difference;
    }
    return a * b / (a + b) * square;
}

/* What the split removes of the impurity, times the node's weight; rounding does not make it negative. */
static double decrease(const ml__column_grower *g, const ml__tree_rows *rows, double gain, double scale)
{
    if (g->label)
        return fmax(gain - (double)rows->sum_squares / rows->W, 0);
    return g->data->classify ? 2 * gain / rows->W : gain / rows->W / scale / scale;
}

/* ---- leaves ---- */

/* Are all outputs of the node the same? */
static bool is_pure(const ml__column_grower *g, const open_node *node)
{
    const size_t last = node->begin + node->n - 1;

    if (g->label)
        return g->label[node->begin] == g->label[last];
    if (g->data->classify)
        return node->n_first == 0 || node->n_first == node->n;
    return g->bins->t[g->ids[node->begin]] == g->bins->t[g->ids[last]];
}

static double mean_target(const ml__column_grower *g, const open_node *node)
{
    const double *t = g->bins->t;
    const uint32_t *ids = g->ids + node->begin;
    const uint8_t *weight = g->weight + node->begin;
    const double least = t[ids[0]];
    double sum = 0, W = 0;

    if (least == t[ids[node->n - 1]])
        return g->data->t[g->bins->row[ids[0]]];
    for (size_t i = 0; i < node->n; i++) {
        sum += (t[ids[i]] - least) * weight[i];
        W += weight[i];
    }
    return ldexp(least + sum / W, g->bins->exponent);
}

static void class_shares(const ml__column_grower *g, const open_node *node, double *share)
{
    const uint8_t *weight = g->weight + node->begin;
    double W = 0;

    for (size_t i = 0; i < node->n; i++) {
        share[g->label ? g->label[node->begin + i] : (g->data->K == 2 && i >= node->n_first)] += weight[i];
        W += weight[i];
    }
    for (size_t k = 0; k < g->data->K; k++)
        share[k] /= W;
}

/* The class of a pure node. */
static size_t class_of(const ml__column_grower *g, const open_node *node)
{
    return g->label ? g->label[node->begin] : g->data->K == 2 && !node->n_first;
}

static ml_status make_leaf(ml__column_grower *g, const open_node *node)
{
    const size_t K = g->data->K;
    const bool sole = g->data->classify && is_pure(g, node);
    uint32_t *known = sole ? &g->row_of_class[class_of(g, node)] : NULL;
    double *value;
    ml_status st = ML_OK;

    if (known && *known) {
        g->nodes[node->node] = (ml__tree_node){.feature = -1, .next = *known - 1};
        return ML_OK;
    }
    ML__TRY(make_room(&g->arena, (void **)&g->value, g->n_values, &g->value_capacity, K * sizeof *value));
    value = g->value + g->n_values * K;
    memset(value, 0, K * sizeof *value);
    if (g->data->classify)
        class_shares(g, node, value);
    else
        *value = mean_target(g, node);
    g->nodes[node->node] = (ml__tree_node){.feature = -1, .next = (uint32_t)g->n_values++};
    if (known)
        *known = (uint32_t)g->n_values;
done:
    return st;
}

/* ---- splits ---- */

static size_t count_bits(const uint64_t *mask, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n / 64; i++)
        count += (size_t)__builtin_popcountll(mask[i]);
    if (n % 64)
        count += (size_t)__builtin_popcountll(mask[n / 64] & (((uint64_t)1 << n % 64) - 1));
    return count;
}

static void move_rows(ml__column_grower *g, const open_node *node)
{
    g->kernels->tree_move(node->n, g->n_columns, g->columns + node->begin, g->stride, g->mask, g->spare);
    if (g->ids)
        g->kernels->tree_move_ids(node->n, g->ids + node->begin, g->mask, g->spare_ids);
}

/* A child becomes a leaf at once, or is put aside. */
static ml_status add_child(ml__column_grower *g, const open_node *child)
{
    const ml__tree_data *data = g->data;
    ml_status st = ML_OK;

    if (child->depth >= data->max_depth || child->n < data->min_samples_split || is_pure(g, child))
        return make_leaf(g, child);
    ML__TRY(make_room(&g->arena, (void **)&g->open, g->n_open, &g->most_open, sizeof *g->open));
    g->open[g->n_open++] = *child;
done:
    return st;
}

static ml_status split(ml__column_grower *g, const open_node *node, size_t feature, uint32_t cut)
{
    const uint8_t *code = codes_of(g, node, feature);
    const uint32_t next = g->kernels->tree_next(node->n, code, cut), left_node = (uint32_t)g->n_nodes;
    const size_t n_left = g->kernels->tree_compare(node->n, code, cut, g->mask);
    const size_t n_first_left = count_bits(g->mask, node->n_first);
    const open_node left = {left_node, node->depth + 1, node->begin, n_left, n_first_left, ml__seed_mix(node->key, 0)};
    const open_node right = {left_node + 1,
                             node->depth + 1,
                             node->begin + n_left,
                             node->n - n_left,
                             node->n_first - n_first_left,
                             ml__seed_mix(node->key, 1)};
    ml_status st;

    move_rows(g, node);
    ML__TRY(make_room(&g->arena, (void **)&g->nodes, g->n_nodes, &g->node_capacity, sizeof *g->nodes));
    g->n_nodes += 2;
    g->nodes[node->node] = (ml__tree_node){
        .feature = (int32_t)feature,
        .next = left_node,
        .threshold = g->data->random_thresholds ? g->threshold : ml__bins_threshold(g->bins, feature, cut, next),
        .missing_left = n_left > node->n - n_left};
    ML__TRY(add_child(g, &right));
    ML__TRY(add_child(g, &left));
done:
    return st;
}

static ml_status visit(ml__column_grower *g, const open_node *node)
{
    ml__tree_rows *rows = &g->rows;
    ml__tree_cut best;
    double scale, decreased;
    size_t feature;

    if (node->n == 2 && !g->data->random_thresholds) {
        feature = search_pair(g, node, &best.code);
        decreased = decrease_of_pair(g, node);
    } else {
        describe(g, node, rows, &scale);
        feature = search(g, node, rows, &best);
        decreased = decrease(g, rows, best.gain, scale);
    }
    if (feature == g->data->d)
        return make_leaf(g, node);
    g->importance[feature] += decreased;
    return split(g, node, feature, best.code);
}

/* ---- the tree ---- */

static ml_status copy_tree(const ml__column_grower *g, ml__arena *arena, ml__tree *out)
{
    ml_status st = ML_OK;

    out->n_nodes = g->n_nodes;
    out->n_values = g->n_values;
    ML__NEW(arena, out->nodes, g->n_nodes);
    ML__NEW(arena, out->value, g->n_values * g->data->K);
    ML__NEW(arena, out->importance, g->data->d);
    memcpy(out->nodes, g->nodes, g->n_nodes * sizeof *out->nodes);
    memcpy(out->value, g->value, g->n_values * g->data->K * sizeof *out->value);
    memcpy(out->importance, g->importance, g->data->d * sizeof *out->importance);
done:
    return st;
}

ml_status ml__columns_grow(ml__column_grower *g, ml__arena *arena, uint64_t key, ml__tree *out)
{
    open_node root = {.key = ml__seed_mix(key, 1)};
    ml_status st;

    *out = (ml__tree){0};
    g->n_nodes = g->n_values = g->n_open = 0;
    memset(g->importance, 0, g->data->d * sizeof *g->importance);
    if (g->row_of_class)
        memset(g->row_of_class, 0, g->data->K * sizeof *g->row_of_class);
    ml__columns_draw(g->data, key, g->count);
    fill_bag(g);
    root.n = g->m;
    root.n_first = g->data->K == 2 ? count_bits(g->mask, g->bins->n_first) : 0;
    ML__TRY(make_room(&g->arena, (void **)&g->nodes, 0, &g->node_capacity, sizeof *g->nodes));
    g->n_nodes = 1;
    ML__TRY(add_child(g, &root));
    while (g->n_open) {
        const open_node node = g->open[--g->n_open];
        ML__TRY(visit(g, &node));
    }
    ML__TRY(copy_tree(g, arena, out));
done:
    return st;
}
