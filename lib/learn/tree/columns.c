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
 * Threads     where several grow one tree, they fill the bag, search large nodes and move their rows together, feature by
 *             feature and column by column; then each copies subtrees, one after the other, and grows them (growing.c)
 */
#include <stdatomic.h>
#include <string.h>

#include "learn/tree/tree.h"

enum {
    GATHER_FACTOR = 8,     /* gathering a code costs as much as moving so many bytes */
    SMALL_WEIGHT = 14,     /* bits of a node's weight, for sums in 32 bits */
    SMALL_SUM_BITS = 30,   /* of the sums of products of a small node */
    MOST_BITS = 40,        /* of a target */
    LEAST_EXPONENT = -900, /* a node whose targets differ less is split as if they were equal */
};

/* About, for those who share work. */
static const double CHOOSE_NANOSECONDS = 0.3, SEARCH_NANOSECONDS = 0.7, MOVE_NANOSECONDS = 0.15;

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
    size_t capacity; /* rows that there is room for, at least those of any bag; of a helper, those of any subtree */
    bool gathers;
    /* the bag, node after node */
    size_t m, stride, n_columns;
    uint8_t *columns; /* [n_columns x stride] codes of the features, unless they are gathered; then the next two */
    uint8_t *weight, *label; /* columns too; label NULL for two classes and for reals */
    uint32_t *ids;           /* [m] numbers of the rows, for reals and for gathering; else NULL */
    uint8_t *own_columns;    /* of a helper, who has those of the tree's grower before him in between */
    uint32_t *own_ids;
    /* workspace */
    uint8_t *count; /* [n] */
    uint64_t *mask; /* bits of rows */
    uint8_t *spare, *gathered;
    uint32_t *spare_ids, *order, *class_left, *class_weight, *class_end, *features, *swapped;
    uint32_t *looked_at, *n_codes; /* [d] that are searched together */
    const uint8_t **code;          /* [d] of these */
    int32_t *products, *weights;
    int64_t *packed;
    ml__tree_rows rows;      /* of the node that is searched; set anew are the fields that differ from node to node */
    open_node *open, *aside; /* roots of subtrees for later */
    size_t n_open, most_open, n_aside, most_aside;
    float threshold; /* drawn, of the best cut of a node */
    ml__growing growing;
    uint32_t *row_of_class; /* [K] row of values + 1 of leaves that have this class only; 0: none yet */
    /* who grow a tree together, besides its grower; */
    ml__column_grower **helpers; /* [n_helpers] */
    size_t n_helpers;
    bool is_large; /* the node at hand: worth sharing */
    /* of them, what one of them found: */
    ml__tree_cut cut;
    size_t place; /* of the feature, in the order drawn */
    bool found;   /* a feature that varies */
};

/* ---- workspace ---- */

bool ml__columns_gather(size_t d, size_t max_features)
{
    return d / GATHER_FACTOR > max_features;
}

static size_t stride_of(const ml__column_grower *g)
{
    return g->capacity + 2 * ML__COLUMN_PADDING;
}

static void use_columns(ml__column_grower *g, uint8_t *columns, size_t stride)
{
    g->columns = columns;
    g->stride = stride;
    g->weight = columns + (g->gathers ? 0 : g->data->d) * stride;
    g->label = g->data->classify && g->data->K > 2 ? g->weight + stride : NULL;
}

static ml_status make_columns(ml__column_grower *g)
{
    const ml__tree_data *data = g->data;
    const bool labels = data->classify && data->K > 2;
    const size_t n_codes = g->gathers ? 0 : data->d;
    ml_status st = ML_OK;

    g->n_columns = n_codes + 1 + labels;
    ML__NEW(&g->arena, g->own_columns, g->n_columns * stride_of(g));
    use_columns(g, g->own_columns, stride_of(g));
    if (!data->classify || g->gathers) {
        ML__NEW(&g->arena, g->own_ids, g->capacity);
        ML__NEW(&g->arena, g->spare_ids, data->n + ML__COLUMN_PADDING);
        g->ids = g->own_ids;
    }
    if (g->gathers)
        ML__NEW(&g->arena, g->gathered, data->n + 2 * ML__COLUMN_PADDING);
done:
    return st;
}

static ml__tree_rows workspace_of(const ml__column_grower *g)
{
    return (ml__tree_rows){.weights = g->weights,
                           .packed = g->packed,
                           .class_weight = g->class_weight,
                           .class_end = g->class_end,
                           .order = g->order,
                           .class_left = g->class_left};
}

/* Of workspaces those for a single column have room for all rows, so that large nodes can be searched in any of them. */
static ml_status make_grower(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins, size_t capacity,
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
    g->capacity = capacity;
    g->gathers = ml__columns_gather(data->d, data->max_features);
    ml__arena_init(&g->arena, arena->context);
    ml__growing_init(&g->growing, data, arena->context);
    ML__TRY(make_columns(g));
    ML__NEW(&g->arena, g->mask, capacity / 64 + 2);
    ML__NEW(&g->arena, g->spare, n + 2 * ML__COLUMN_PADDING);
    ML__NEW(&g->arena, g->features, data->d);
    ML__NEW(&g->arena, g->swapped, data->d);
    ML__NEW(&g->arena, g->looked_at, data->d);
    ML__NEW(&g->arena, g->n_codes, data->d);
    ML__NEW(&g->arena, g->code, data->d);
    for (size_t j = 0; j < data->d; j++)
        g->features[j] = (uint32_t)j;
    if (!data->classify) {
        ML__NEW(&g->arena, g->products, ML__SMALL_TARGETS);
        ML__NEW(&g->arena, g->weights, ML__SMALL_TARGETS);
        ML__NEW(&g->arena, g->packed, capacity);
    } else
        ML__NEW(&g->arena, g->row_of_class, data->K);
    if (g->label) {
        ML__NEW(&g->arena, g->order, n + ML__TREE_ORDER_MORE);
        ML__NEW(&g->arena, g->class_left, data->K);
        ML__NEW(&g->arena, g->class_weight, data->K);
        ML__NEW(&g->arena, g->class_end, data->K);
    }
    g->rows = workspace_of(g);
done:
    return st;
}

ml_status ml__column_grower_create(ml__arena *arena, const ml__tree_data *data, const ml__bins *bins, size_t n_workers,
                                   ml__column_grower **out)
{
    const size_t limit = ml__subtree_rows(data, data->n);
    ml_status st;

    ML__TRY(make_grower(arena, data, bins, data->n, out));
    ML__NEW(&(*out)->arena, (*out)->count, data->n + ML__COLUMN_PADDING);
    if (n_workers < 2 || limit >= data->n)
        return ML_OK;
    ML__NEW(arena, (*out)->helpers, n_workers);
    (*out)->n_helpers = n_workers;
    for (size_t w = 0; w < n_workers; w++)
        ML__TRY(make_grower(arena, data, bins, limit, &(*out)->helpers[w]));
done:
    return st;
}

void ml__column_grower_free(ml__column_grower *g)
{
    if (!g)
        return;
    for (size_t w = 0; w < g->n_helpers; w++)
        ml__column_grower_free(g->helpers[w]);
    ml__growing_free(&g->growing);
    ml__arena_free(&g->arena);
}

/* ---- sharing ---- */

/* Work on the tree of g, a piece at a time for whoever comes first. */
typedef struct {
    ml__column_grower *g;
    const open_node *node;
    size_t n_pieces;
    atomic_size_t next;
    ml__subtree *subtrees;
} sharing;

static bool next_piece(sharing *job, size_t *piece)
{
    *piece = atomic_fetch_add(&job->next, 1);
    return *piece < job->n_pieces;
}

static ml_status share(sharing *job, double piece_nanoseconds, ml__task task)
{
    const size_t n_tasks = job->g->n_helpers ? job->g->n_helpers : 1;
    const double each = piece_nanoseconds * (double)job->n_pieces / (double)n_tasks;

    atomic_init(&job->next, 0);
    return ml__parallel_for_cost(job->g->arena.context, n_tasks, each, task, job);
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

static ml_status choose_columns(void *argument, size_t worker)
{
    sharing *job = argument;
    ml__column_grower *g = job->g;

    (void)worker;
    for (size_t j; next_piece(job, &j);)
        choose_column(g, g->bins->code + j * g->bins->stride, g->columns + j * g->stride);
    return ML_OK;
}

static ml_status fill_bag(ml__column_grower *g)
{
    sharing job = {.g = g, .n_pieces = g->gathers ? 0 : g->data->d};
    ml_status st = ML_OK;
    const size_t n = g->data->n;

    (void)g->kernels->tree_compare(n, g->count, 0, g->mask);
    for (size_t i = 0; i < (n + 63) / 64; i++)
        g->mask[i] = ~g->mask[i];
    if (n % 64)
        g->mask[n / 64] &= ((uint64_t)1 << n % 64) - 1;
    g->m = g->kernels->tree_choose(n, g->count, g->mask, g->weight);
    if (g->label)
        choose_column(g, g->bins->label, g->label);
    ML__TRY(share(&job, CHOOSE_NANOSECONDS * (double)n, choose_columns));
    if (g->ids)
        for (size_t i = 0, at = 0; i < n; i++)
            if (g->count[i])
                g->ids[at++] = (uint32_t)i;
done:
    return st;
}

/* ---- what the features of a node have in common ---- */

/* Ends of classes and sums of weights without a branch: in small nodes a new class comes with every other row. */
static void describe_classes(ml__column_grower *g, const open_node *node, ml__tree_rows *rows)
{
    const uint8_t *label = g->label + node->begin, *weight = rows->weight;
    const size_t n = node->n;
    uint32_t *class_end = g->class_end, *before = g->order; /* weight of the rows before each */
    uint32_t here = 0, sum = weight[0], heaviest = 0;
    uint64_t sum_squares = 0;

    before[0] = 0;
    for (size_t i = 1; i < n; i++) {
        before[i] = sum;
        class_end[here] = (uint32_t)i;
        here += label[i] != label[i - 1];
        sum += weight[i];
    }
    class_end[here] = (uint32_t)n;
    before[n] = sum;
    for (size_t c = 0, begin = 0; c <= here; begin = class_end[c++]) {
        const uint32_t W_k = before[class_end[c]] - before[begin];

        g->class_weight[label[begin]] = W_k;
        sum_squares += (uint64_t)W_k * W_k;
        heaviest = W_k > heaviest ? W_k : heaviest;
    }
    rows->label = label;
    rows->W = sum;
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
        describe_classes(g, node, rows);
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

/* The n_features in g->looked_at, in this order. */
static bool cut_features(ml__column_grower *g, const ml__tree_rows *rows, size_t n_features, ml__tree_cut *best)
{
    const ml__tree_kernels *k = g->kernels;

    if (g->label)
        return k->tree_cut_classes(rows, n_features, g->code, g->n_codes, best);
    return g->data->classify ? k->tree_cut_two(rows, n_features, g->code, g->n_codes, best)
                             : k->tree_cut_targets(rows, n_features, g->code, g->n_codes, best);
}

static bool cut_feature(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, size_t j,
                        ml__tree_cut *best)
{
    if (g->bins->n_codes[j] < 2)
        return false;
    if (g->data->random_thresholds)
        return cut_at_random(g, node, rows, j, best);
    g->n_codes[0] = g->bins->n_codes[j];
    g->code[0] = codes_of(g, node, j);
    return cut_features(g, rows, 1, best);
}

/* Search features number `from` to `to` of the node's order: together, unless each needs the codes' workspace. Constant ones
 * are left out. True when one varies in the node; *feature is the best one's, if that is a better one. */
static bool search_range(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, size_t from, size_t to,
                         ml__tree_cut *best, size_t *feature)
{
    const size_t most = g->gathers || g->data->random_thresholds ? 1 : to - from;
    bool found = false;

    while (from < to) {
        const double before = best->gain;
        size_t n = 0;

        for (; from < to && n < most; from++) {
            const size_t j =
                g->data->draw_features ? ml__draw_feature(g->features, g->swapped, g->data->d, from, node->key) : from;
            if (g->bins->n_codes[j] < 2)
                continue;
            g->looked_at[n] = (uint32_t)j;
            g->n_codes[n] = g->bins->n_codes[j];
            if (!g->data->random_thresholds)
                g->code[n] = codes_of(g, node, j);
            n++;
        }
        if (!n)
            break;
        best->column = 0;
        found |= g->data->random_thresholds ? cut_at_random(g, node, rows, g->looked_at[0], best)
                                            : cut_features(g, rows, n, best);
        if (best->gain > before)
            *feature = g->looked_at[best->column];
    }
    return found;
}

/* Before the rows that the grower of the tree has. */
static void look_at_rows(ml__column_grower *h, const ml__column_grower *g)
{
    use_columns(h, g->columns, g->stride);
    h->ids = g->ids;
    h->rows = g->rows;
    h->rows.order = h->order;
    h->rows.class_left = h->class_left;
}

static ml_status search_share(void *argument, size_t worker)
{
    sharing *job = argument;
    const ml__column_grower *g = job->g;
    ml__column_grower *h = g->helpers[worker];

    look_at_rows(h, g);
    h->cut = (ml__tree_cut){.gain = -1};
    h->found = false;
    for (size_t i; next_piece(job, &i);) {
        const double before = h->cut.gain;

        h->found |= cut_feature(h, job->node, &h->rows, g->features[i], &h->cut);
        if (h->cut.gain > before)
            h->place = i;
    }
    return ML_OK;
}

/* The first n_features in the order that was drawn, as one would find it: of equal gains that of the first feature. */
static ml_status search_together(ml__column_grower *g, const open_node *node, size_t n_features, bool *found,
                                 size_t *feature, ml__tree_cut *best)
{
    sharing job = {.g = g, .node = node, .n_pieces = n_features};
    const ml__column_grower *winner = NULL;
    ml_status st;

    ML__TRY(share(&job, SEARCH_NANOSECONDS * (double)node->n, search_share));
    for (size_t w = 0; w < g->n_helpers; w++) {
        const ml__column_grower *h = g->helpers[w];

        *found |= h->found;
        if (h->cut.gain >= 0 && (!winner || h->cut.gain > winner->cut.gain ||
                                 (h->cut.gain == winner->cut.gain && h->place < winner->place)))
            winner = h;
    }
    if (!winner)
        return ML_OK;
    *best = winner->cut;
    *feature = g->features[winner->place];
    g->threshold = winner->threshold;
done:
    return st;
}

/* The best cut of the features that are looked at, in *best; *feature is the best one's, or d when none varies. */
static ml_status search(ml__column_grower *g, const open_node *node, const ml__tree_rows *rows, size_t *feature,
                        ml__tree_cut *best)
{
    const size_t d = g->data->d, wanted = g->data->max_features;
    size_t n_seen = wanted < d ? wanted : d;
    bool found = false;
    ml_status st = ML_OK;

    *feature = d;
    *best = (ml__tree_cut){.gain = -1};
    if (g->is_large) {
        for (size_t i = 0; i < n_seen && g->data->draw_features; i++)
            (void)ml__draw_feature(g->features, g->swapped, d, i, node->key);
        st = search_together(g, node, n_seen, &found, feature, best);
    } else {
        found = search_range(g, node, rows, 0, n_seen, best, feature);
    }
    for (; !found && n_seen < d; n_seen++)
        found = search_range(g, node, rows, n_seen, n_seen + 1, best, feature);
    if (g->data->draw_features)
        ml__undo_draws(g->features, g->swapped, n_seen);
    return st;
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
        g->growing.tree.nodes[node->node] = (ml__tree_node){.feature = -1, .next = *known - 1};
        return ML_OK;
    }
    ML__TRY(ml__add_values(&g->growing, 1, &value));
    memset(value, 0, K * sizeof *value);
    if (g->data->classify)
        class_shares(g, node, value);
    else
        *value = mean_target(g, node);
    g->growing.tree.nodes[node->node] =
        (ml__tree_node){.feature = -1, .next = (uint32_t)(g->growing.tree.n_values - 1)};
    if (known)
        *known = (uint32_t)g->growing.tree.n_values;
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

static void move_ids(ml__column_grower *g, const open_node *node)
{
    if (g->ids)
        g->kernels->tree_move_ids(node->n, g->ids + node->begin, g->mask, g->spare_ids);
}

static ml_status move_share(void *argument, size_t worker)
{
    sharing *job = argument;
    ml__column_grower *g = job->g;
    const open_node *node = job->node;

    for (size_t j; next_piece(job, &j);)
        if (j)
            g->kernels->tree_move(node->n, 1, g->columns + (j - 1) * g->stride + node->begin, g->stride, g->mask,
                                  g->helpers[worker]->spare);
        else
            move_ids(g, node);
    return ML_OK;
}

static ml_status move_rows(ml__column_grower *g, const open_node *node)
{
    sharing job = {.g = g, .node = node, .n_pieces = 1 + g->n_columns};
    /* of two rows each becomes a leaf, which needs no codes */
    const size_t first = node->n == 2 ? (size_t)(g->weight - g->columns) / g->stride : 0;

    if (g->is_large)
        return share(&job, MOVE_NANOSECONDS * (double)node->n, move_share);
    g->kernels->tree_move(node->n, g->n_columns - first, g->columns + first * g->stride + node->begin, g->stride,
                          g->mask, g->spare);
    move_ids(g, node);
    return ML_OK;
}

/* A child becomes a leaf at once, or is put aside. */
static ml_status add_child(ml__column_grower *g, const open_node *child)
{
    const ml__tree_data *data = g->data;
    ml_status st = ML_OK;

    if (child->depth >= data->max_depth || child->n < data->min_samples_split || is_pure(g, child))
        return make_leaf(g, child);
    ML__TRY(ml__make_room(&g->arena, &g->open, g->n_open, 1, sizeof *g->open, &g->most_open));
    g->open[g->n_open++] = *child;
done:
    return st;
}

static ml_status split(ml__column_grower *g, const open_node *node, size_t feature, uint32_t cut)
{
    const uint8_t *code = codes_of(g, node, feature);
    const uint32_t next = g->kernels->tree_next(node->n, code, cut), left_node = (uint32_t)g->growing.tree.n_nodes;
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

    ML__TRY(move_rows(g, node));
    ML__TRY(ml__add_nodes(&g->growing, 2));
    g->growing.tree.nodes[node->node] = (ml__tree_node){
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
    ml_status st;

    if (node->n == 2 && !g->data->random_thresholds) {
        feature = search_pair(g, node, &best.code);
        decreased = decrease_of_pair(g, node);
    } else {
        describe(g, node, rows, &scale);
        ML__TRY(search(g, node, rows, &feature, &best));
        decreased = decrease(g, rows, best.gain, scale);
    }
    if (feature == g->data->d)
        return make_leaf(g, node);
    g->growing.tree.gain[node->node] = decreased;
    return split(g, node, feature, best.code);
done:
    return st;
}

/* ---- the tree ---- */

/* Open nodes, and what comes below them; those of at most `limit` rows are put aside. */
static ml_status grow_open(ml__column_grower *g, size_t limit)
{
    ml_status st = ML_OK;

    while (g->n_open) {
        const open_node node = g->open[--g->n_open];

        if (node.n > limit)
            ML__TRY(visit(g, &node));
        else {
            ML__TRY(ml__make_room(&g->arena, &g->aside, g->n_aside, 1, sizeof node, &g->most_aside));
            g->aside[g->n_aside++] = node;
        }
    }
done:
    return st;
}

static void clear_tree(ml__column_grower *g)
{
    ml__growing_clear(&g->growing);
    g->n_open = g->n_aside = 0;
    if (g->row_of_class)
        memset(g->row_of_class, 0, g->data->K * sizeof *g->row_of_class);
}

/* A subtree's rows in columns of one's own. */
static void copy_rows(ml__column_grower *h, const ml__column_grower *g, const open_node *node)
{
    use_columns(h, h->own_columns, stride_of(h));
    h->rows = workspace_of(h);
    for (size_t j = 0; j < g->n_columns; j++)
        memcpy(h->columns + j * h->stride, g->columns + j * g->stride + node->begin, node->n);
    h->ids = h->own_ids;
    if (h->ids)
        memcpy(h->ids, g->ids + node->begin, node->n * sizeof *h->ids);
}

static ml_status grow_subtrees(void *argument, size_t worker)
{
    sharing *job = argument;
    const ml__column_grower *g = job->g;
    ml__column_grower *h = g->helpers[worker];
    ml_status st = ML_OK;

    clear_tree(h);
    for (size_t i; next_piece(job, &i);) {
        ml__subtree *subtree = &job->subtrees[i];
        open_node node = g->aside[i];

        copy_rows(h, g, &node);
        node.node = (uint32_t)h->growing.tree.n_nodes;
        node.begin = 0;
        if (h->row_of_class)
            memset(h->row_of_class, 0, h->data->K * sizeof *h->row_of_class);
        ML__TRY(ml__subtree_begin(&h->growing, subtree));
        ML__TRY(visit(h, &node));
        ML__TRY(grow_open(h, 0));
        ml__subtree_end(subtree);
    }
done:
    return st;
}

static ml_status grow_subtrees_together(ml__column_grower *g, ml__arena *arena)
{
    sharing job = {.g = g, .n_pieces = g->n_aside};
    ml_status st = ML_OK;

    atomic_init(&job.next, 0);
    ML__NEW(arena, job.subtrees, g->n_aside);
    ML__TRY(ml__parallel_for(arena->context, g->n_helpers, grow_subtrees, &job));
    for (size_t i = 0; i < g->n_aside; i++)
        ML__TRY(ml__subtree_attach(&g->growing, g->aside[i].node, &job.subtrees[i]));
done:
    return st;
}

static ml_status grow_in_parts(ml__column_grower *g, ml__arena *arena)
{
    const size_t limit = ml__subtree_rows(g->data, g->m);
    ml_status st;

    g->is_large = g->n_helpers && limit < g->m;
    ML__TRY(grow_open(g, limit < g->m ? limit : 0));
    if (g->is_large)
        return grow_subtrees_together(g, arena);
    for (size_t i = 0; i < g->n_aside; i++) {
        ML__TRY(visit(g, &g->aside[i]));
        ML__TRY(grow_open(g, 0));
    }
done:
    return st;
}

ml_status ml__columns_grow(ml__column_grower *g, ml__arena *arena, uint64_t key, ml__tree *out)
{
    open_node root = {.key = ml__seed_mix(key, 1)};
    ml_status st;

    *out = (ml__tree){0};
    clear_tree(g);
    ml__columns_draw(g->data, key, g->count);
    ML__TRY(fill_bag(g));
    root.n = g->m;
    root.n_first = g->data->K == 2 ? count_bits(g->mask, g->bins->n_first) : 0;
    ML__TRY(ml__add_nodes(&g->growing, 1));
    ML__TRY(add_child(g, &root));
    ML__TRY(grow_in_parts(g, arena));
    ML__TRY(ml__growing_copy(&g->growing, arena, g->data->d, out));
done:
    return st;
}
