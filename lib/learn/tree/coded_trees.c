/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitted forests once more, in half the memory, for predicting: each value of a row is coded first, to the number of the
 * forest's thresholds of its feature that are below it, and the walks compare these bytes. Nothing is rounded: a row goes
 * where its values would take it.
 *
 * Node     four bytes: how far ahead the left child is (the right one follows it), which column of codes to look at, and
 *          the threshold's number. "at += step + (code > number)" is a level. A leaf has step 0 and number 255, which no
 *          code exceeds; in place of the column, its only class
 * Columns  of a feature: one for nodes that send what is missing to the right, where that is coded 255, and one for those
 *          that send it to the left, where that is 0
 * Order    as many generations of a node's offspring as there is room for are in one cache line
 * Which    forests without sets of categories, of trees of at most 65535 nodes, with at most 255 thresholds of a feature (as
 *          those have that are grown from codes) and 255 columns; and enough trees to make up for the coding
 *
 * Walks wait for memory at every level, so LANES go on at once: of rows through one tree, or of one row through LANES trees.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    MAX_THRESHOLDS = 255, /* of a feature */
    MAX_FEATURES = 255,
    MAX_COLUMNS = 255,
    MAX_NODES = UINT16_MAX, /* of a tree */
    LEAST_TREES = 4,
    FEATURES_PER_TREE = 4, /* whose coding takes as long as a walk saves */
    SLOT_BITS = 9,         /* a table of thresholds is at most half full */
    N_SLOTS = 1 << SLOT_BITS,
    LEAF = 255,      /* the number of its threshold */
    SEVERAL = 255,   /* in place of its class */
    LINE_NODES = 16, /* 64 bytes */
    LEAST_STRIDE = 32,
    READ_BEYOND = 256, /* leaves make a walk read codes behind those of its row */
    LANES = 12,
    FIRST_LEVELS = 8, /* that are walked before it is asked whether all lanes have arrived, */
    NEXT_LEVELS = 2   /* and between two such questions */
};
static const double NODE_NANOSECONDS = 5;          /* to look at one */
static const uint32_t NEGATIVE_ZERO = 0x80000000u; /* the same threshold as 0 */
static const uint32_t FREE = 0x7fc00000u;          /* bits of a NaN, which no threshold is */

typedef struct {
    uint16_t step;
    uint8_t column, number;
} coded_node;

struct ml__coded_trees {
    const ml__trees *trees;
    const coded_node *nodes; /* numbered through all trees */
    const size_t *root;      /* [n_trees] */
    /* of leaves, by node */
    const double *value; /* of a single real, or NULL */
    const uint32_t
        *row; /* of values counted from the tree's first, where nodes do not have the class; NULL: they all do */
    ml__tree_coding coding;
    size_t stride; /* of the codes of rows */
};

/* ---- thresholds ---- */

/* Of one feature: open addressing. */
typedef struct {
    uint32_t bits[N_SLOTS];
    uint8_t number[N_SLOTS]; /* once they are in order */
    size_t n;
    bool to_right, to_left; /* does a node send what is missing there? */
    uint8_t right, left;    /* columns for these */
} thresholds;

/* The slot that holds them, or the free one where they belong. */
static size_t slot_of(const thresholds *of, uint32_t bits)
{
    size_t at = bits * 0x9E3779B1u >> (32 - SLOT_BITS);

    while (of->bits[at] != bits && of->bits[at] != FREE)
        at = (at + 1) % N_SLOTS;
    return at;
}

/* False when there are too many. */
static bool add_threshold(thresholds *to, uint32_t bits)
{
    const size_t slot = slot_of(to, bits);

    if (to->bits[slot] == bits)
        return true;
    if (to->n == MAX_THRESHOLDS)
        return false;
    to->bits[slot] = bits;
    to->n++;
    return true;
}

/* Those of all features that some trees split. */
typedef struct {
    size_t n;
    thresholds *of[MAX_FEATURES];
    uint8_t *place; /* [d] in `of`, + 1 */
    bool fits;
} collection;

/* NULL, without a message, when there are too many features. */
static ml_status thresholds_of(ml__arena *arena, collection *c, size_t most, size_t feature, thresholds **out)
{
    ml_status st = ML_OK;

    *out = c->place[feature] ? c->of[c->place[feature] - 1] : NULL;
    if (*out || c->n == most)
        return ML_OK;
    ML__NEW(arena, *out, 1);
    for (size_t slot = 0; slot < N_SLOTS; slot++)
        (*out)->bits[slot] = FREE;
    c->of[c->n++] = *out;
    c->place[feature] = (uint8_t)c->n;
done:
    return st;
}

size_t ml__coded_workspace(size_t d, size_t n_threads)
{
    const size_t n = d < MAX_FEATURES ? d : MAX_FEATURES;

    return n * ((n_threads + 1) * sizeof(thresholds) + ML__CODING_CUTS * sizeof(float)) +
           (n_threads + 1) * (d + sizeof(collection));
}

/* What is made, by parts of neighbouring trees. */
typedef struct {
    const ml__trees *trees;
    size_t n_parts, most_features;
    ml__arena *arenas; /* [n_parts] */
    collection *parts; /* [n_parts] */
    collection all;
    size_t n_values;
    coded_node *nodes;
    size_t *root;
    double *value;
    uint32_t *row;
} making;

static double part_nanoseconds(const making *m)
{
    return NODE_NANOSECONDS * (double)m->trees->offset[m->trees->n_trees] / (double)m->n_parts;
}

static size_t first_tree(const making *m, size_t part)
{
    return part * m->trees->n_trees / m->n_parts;
}

/* A compact node. */
typedef struct {
    uint32_t what, step, feature;
    bool missing_left;
} plain_node;

static plain_node node_at(const ml__trees *trees, const uint32_t *tree, size_t i)
{
    const uint32_t what = tree[2 * i], link = tree[2 * i + 1];

    return (plain_node){.what = what == NEGATIVE_ZERO ? 0 : what,
                        .step = (link >> trees->shift) - (uint32_t)i,
                        .feature = (link & (((uint32_t)1 << trees->shift) - 1)) >> ML__FLAG_BITS,
                        .missing_left = link & ML__MISSING_LEFT};
}

static const uint32_t *words_of(const ml__trees *trees, size_t t)
{
    return trees->words + ML__COMPACT_WORDS * (size_t)trees->offset[t];
}

static ml_status collect_tree(const making *m, size_t t, ml__arena *arena, collection *c)
{
    const uint32_t *tree = words_of(m->trees, t);
    const size_t n_nodes = ml__tree_size(m->trees, t);
    ml_status st = ML_OK;

    for (size_t i = 0; i < n_nodes && c->fits; i++) {
        const plain_node node = node_at(m->trees, tree, i);
        thresholds *to;

        if (!node.step)
            continue;
        ML__TRY(thresholds_of(arena, c, m->most_features, node.feature, &to));
        c->fits = to && add_threshold(to, node.what);
        if (to)
            *(node.missing_left ? &to->to_left : &to->to_right) = true;
    }
done:
    return st;
}

static ml_status collect_part(void *argument, size_t part)
{
    const making *m = argument;
    collection *c = &m->parts[part];
    ml_status st = ML_OK;

    c->fits = true;
    ML__NEW(&m->arenas[part], c->place, m->trees->d);
    for (size_t t = first_tree(m, part); t < first_tree(m, part + 1) && c->fits; t++) {
        c->fits = ml__tree_size(m->trees, t) <= MAX_NODES;
        ML__TRY(collect_tree(m, t, &m->arenas[part], c));
    }
done:
    return st;
}

static ml_status merge_part(ml__arena *arena, making *m, const collection *part)
{
    collection *all = &m->all;
    ml_status st = ML_OK;

    all->fits = all->fits && part->fits;
    for (size_t j = 0; j < m->trees->d && all->fits; j++) {
        const thresholds *from;
        thresholds *to;

        if (!part->place[j])
            continue;
        from = part->of[part->place[j] - 1];
        ML__TRY(thresholds_of(arena, all, m->most_features, j, &to));
        all->fits = to != NULL;
        for (size_t slot = 0; slot < N_SLOTS && all->fits; slot++)
            if (from->bits[slot] != FREE)
                all->fits = add_threshold(to, from->bits[slot]);
        if (to) {
            to->to_left |= from->to_left;
            to->to_right |= from->to_right;
        }
    }
done:
    return st;
}

static ml_status collect(ml__arena *scratch, making *m)
{
    ml_status st = ML_OK;

    ML__TRY(ml__parallel_for_cost(scratch->context, m->n_parts, part_nanoseconds(m), collect_part, m));
    m->all = m->parts[0];
    for (size_t part = 1; part < m->n_parts; part++)
        ML__TRY(merge_part(scratch, m, &m->parts[part]));
done:
    return st;
}

/* ---- the coding ---- */

/* Cuts as ml__tree_coding has them, and each threshold's number among them. */
static void order(thresholds *of, float *cuts)
{
    float *sorted = cuts + ML__CUT_STEP, value[MAX_THRESHOLDS];
    size_t n = 0;

    for (size_t slot = 0; slot < N_SLOTS; slot++)
        if (of->bits[slot] != FREE)
            memcpy(&value[n++], &of->bits[slot], sizeof *value);
    for (size_t i = n; i < ML__MAX_CODES; i++)
        sorted[i] = INFINITY;
    for (size_t i = 0; i < n; i++) {
        uint32_t number = 0;

        for (size_t k = 0; k < n; k++)
            number += value[k] < value[i];
        sorted[number] = value[i];
        of->number[slot_of(of, ml__bits_of(value[i]))] = (uint8_t)number;
    }
    for (size_t i = 0; i < ML__CUT_STEP; i++)
        cuts[i] = sorted[ML__CUT_STEP * i + ML__CUT_STEP - 1];
}

/* Columns in the order of the features; *n_columns is beyond MAX_COLUMNS when they are too many. */
static ml_status make_coding(ml__arena *arena, making *m, ml__tree_coding *coding, size_t *n_columns)
{
    const size_t n = m->all.n;
    uint32_t *feature;
    uint8_t *right, *left;
    float *cuts;
    ml_status st = ML_OK;

    *n_columns = 0;
    for (size_t i = 0; i < n; i++)
        *n_columns += m->all.of[i]->to_right + m->all.of[i]->to_left;
    if (*n_columns > MAX_COLUMNS)
        return ML_OK;
    ML__NEW(arena, feature, n);
    ML__NEW(arena, right, n);
    ML__NEW(arena, left, n);
    ML__NEW(arena, cuts, n * ML__CODING_CUTS);
    for (size_t j = 0, i = 0, column = 0; j < m->trees->d; j++) {
        thresholds *of = m->all.place[j] ? m->all.of[m->all.place[j] - 1] : NULL;

        if (!of)
            continue;
        feature[i] = (uint32_t)j;
        right[i] = (uint8_t)(of->to_right ? column++ : *n_columns);
        left[i] = (uint8_t)(of->to_left ? column++ : *n_columns);
        order(of, cuts + i * ML__CODING_CUTS);
        of->right = right[i];
        of->left = left[i];
        i++;
    }
    *coding = (ml__tree_coding){.n_features = n, .feature = feature, .cuts = cuts, .right = right, .left = left};
done:
    return st;
}

/* ---- nodes ---- */

/* Is there a leaf whose class would not stand in its node? */
static bool any_several(const ml__trees *trees, size_t n_values)
{
    bool any = !trees->sole;

    for (size_t i = 0; i < n_values && !any; i++)
        any = trees->sole[i] < 0 || trees->sole[i] >= SEVERAL;
    return any;
}

/* A split whose children have no place yet. */
typedef struct {
    uint32_t from, place; /* in the tree's words and among its coded nodes */
} waiting;

/* Node `from` of tree t, at `place`; true when it is a split, whose step is still to come. */
static bool write_node(const making *m, size_t t, uint32_t from, uint32_t place)
{
    const plain_node node = node_at(m->trees, words_of(m->trees, t), from);
    const size_t at = m->root[t] - 1 + place;
    size_t row;
    int32_t sole;

    if (node.step) {
        const thresholds *of = m->all.of[m->all.place[node.feature] - 1];

        m->nodes[at].column = node.missing_left ? of->left : of->right;
        m->nodes[at].number = of->number[slot_of(of, node.what)];
        return true;
    }
    row = (size_t)m->trees->first_value[t] + (node.what & ML__VALUE_MASK);
    sole = m->trees->sole ? m->trees->sole[row] : -1;
    m->nodes[at].column = (uint8_t)(sole >= 0 && sole < SEVERAL ? sole : SEVERAL);
    m->nodes[at].number = LEAF;
    if (m->value)
        m->value[at] = m->trees->value[row];
    if (m->row)
        m->row[at] = node.what & ML__VALUE_MASK;
    return false;
}

/* The root goes to place 1, children to neighbouring places behind their parent's, as many generations to a cache line as
 * there is room for. `stack` has room for the splits of the tree. */
static void write_tree(const making *m, size_t t, waiting *stack)
{
    const uint32_t *tree = words_of(m->trees, t);
    coded_node *nodes = m->nodes + m->root[t] - 1;
    uint32_t next = 2;
    size_t n_stack = 0;

    if (write_node(m, t, 0, 1))
        stack[n_stack++] = (waiting){0, 1};
    while (n_stack) {
        const uint32_t line_end = (next / LINE_NODES + 1) * LINE_NODES;
        waiting queue[LINE_NODES + 1];
        size_t first = 0, n = 0;

        queue[n++] = stack[--n_stack];
        while (first < n && next < line_end) {
            const waiting split = queue[first++];
            const uint32_t left = tree[2 * (size_t)split.from + 1] >> m->trees->shift;

            nodes[split.place].step = (uint16_t)(next - split.place);
            for (uint32_t child = left; child < left + 2; child++, next++)
                if (write_node(m, t, child, next))
                    queue[n++] = (waiting){child, next};
        }
        while (n > first)
            stack[n_stack++] = queue[--n];
    }
}

static ml_status write_part(void *argument, size_t part)
{
    const making *m = argument;
    waiting *stack;
    size_t most_nodes = 0;
    ml_status st = ML_OK;

    for (size_t t = first_tree(m, part); t < first_tree(m, part + 1); t++)
        most_nodes = ml__tree_size(m->trees, t) > most_nodes ? ml__tree_size(m->trees, t) : most_nodes;
    ML__NEW(&m->arenas[part], stack, most_nodes / 2 + 1);
    for (size_t t = first_tree(m, part); t < first_tree(m, part + 1); t++)
        write_tree(m, t, stack);
done:
    return st;
}

/* Every tree begins a cache line. */
static ml_status make_nodes(ml__arena *arena, making *m, ml__coded_trees *c)
{
    size_t n = 0;
    ml_status st = ML_OK;

    ML__NEW(arena, m->root, m->trees->n_trees);
    for (size_t t = 0; t < m->trees->n_trees; t++) {
        m->root[t] = n + 1;
        n += (ml__tree_size(m->trees, t) + LINE_NODES) / LINE_NODES * LINE_NODES;
    }
    ML__NEW(arena, m->nodes, n);
    if (!m->trees->sole && m->trees->K == 1)
        ML__NEW(arena, m->value, n);
    else if (any_several(m->trees, m->n_values))
        ML__NEW(arena, m->row, n);
    ML__TRY(ml__parallel_for_cost(arena->context, m->n_parts, part_nanoseconds(m), write_part, m));
    c->nodes = m->nodes;
    c->root = m->root;
    c->value = m->value;
    c->row = m->row;
done:
    return st;
}

static ml_status make(ml__arena *arena, ml__arena *scratch, making *m, ml__coded_trees **out)
{
    ml__coded_trees *c;
    size_t n_columns;
    ml_status st = ML_OK;

    ML__TRY(collect(scratch, m));
    if (!m->all.fits)
        return ML_OK;
    ML__NEW(arena, c, 1);
    ML__TRY(make_coding(arena, m, &c->coding, &n_columns));
    if (n_columns > MAX_COLUMNS)
        return ML_OK;
    for (c->stride = LEAST_STRIDE; c->stride < n_columns + 1;)
        c->stride *= 2;
    ML__TRY(make_nodes(arena, m, c));
    c->trees = m->trees;
    *out = c;
done:
    return st;
}

ml_status ml__coded_trees_make(ml__learned *learned, const ml__trees *trees, size_t n_values,
                               const ml__coded_trees **out)
{
    const size_t n_trees = trees->n_trees, n_threads = ml__n_threads(learned->context);
    making m = {.trees = trees, .n_values = n_values, .n_parts = n_threads < n_trees ? n_threads : n_trees};
    ml__coded_trees *made = NULL;
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, learned->context);
    if (trees->n_words != ML__COMPACT_WORDS || trees->n_set_words || n_trees < LEAST_TREES)
        return ML_OK;
    m.most_features = FEATURES_PER_TREE * n_trees < MAX_FEATURES ? FEATURES_PER_TREE * n_trees : MAX_FEATURES;
    ML__NEW(&scratch, m.parts, m.n_parts);
    ML__NEW(&scratch, m.arenas, m.n_parts);
    for (size_t part = 0; part < m.n_parts; part++)
        ml__arena_init(&m.arenas[part], learned->context);
    st = make(&learned->arena, &scratch, &m, &made);
    for (size_t part = 0; part < m.n_parts; part++)
        ml__arena_free(&m.arenas[part]);
    *out = made;
done:
    ml__arena_free(&scratch);
    return st;
}

/* ---- prediction ---- */

static inline size_t level(const coded_node *nodes, size_t at, const uint8_t *codes)
{
    return at + nodes[at].step + (codes[nodes[at].column] > nodes[at].number);
}

/* LANES walks on from at[k], with the codes k * stride further, over at most `depth` levels. Lanes are variables of their
 * own: an array would not stay in registers. */
#define LEVEL(k, stride) a##k = level(nodes, a##k, codes + (k) * (stride))
#define DEFINE_WALK(name, stride)                                                                                \
    static void name(const coded_node *nodes, const uint8_t *codes, uint32_t depth, size_t at[LANES])            \
    {                                                                                                            \
        size_t a0 = at[0], a1 = at[1], a2 = at[2], a3 = at[3], a4 = at[4], a5 = at[5], a6 = at[6], a7 = at[7],   \
               a8 = at[8], a9 = at[9], a10 = at[10], a11 = at[11];                                               \
        uint32_t walked = 0, until = FIRST_LEVELS;                                                               \
        do {                                                                                                     \
            until = until < depth ? until : depth;                                                               \
            for (; walked < until; walked++) {                                                                   \
                LEVEL(0, stride);                                                                                \
                LEVEL(1, stride);                                                                                \
                LEVEL(2, stride);                                                                                \
                LEVEL(3, stride);                                                                                \
                LEVEL(4, stride);                                                                                \
                LEVEL(5, stride);                                                                                \
                LEVEL(6, stride);                                                                                \
                LEVEL(7, stride);                                                                                \
                LEVEL(8, stride);                                                                                \
                LEVEL(9, stride);                                                                                \
                LEVEL(10, stride);                                                                               \
                LEVEL(11, stride);                                                                               \
            }                                                                                                    \
            until += NEXT_LEVELS;                                                                                \
        } while (walked < depth &&                                                                               \
                 (nodes[a0].number & nodes[a1].number & nodes[a2].number & nodes[a3].number & nodes[a4].number & \
                  nodes[a5].number & nodes[a6].number & nodes[a7].number & nodes[a8].number & nodes[a9].number & \
                  nodes[a10].number & nodes[a11].number) != LEAF);                                               \
        at[0] = a0;                                                                                              \
        at[1] = a1;                                                                                              \
        at[2] = a2;                                                                                              \
        at[3] = a3;                                                                                              \
        at[4] = a4;                                                                                              \
        at[5] = a5;                                                                                              \
        at[6] = a6;                                                                                              \
        at[7] = a7;                                                                                              \
        at[8] = a8;                                                                                              \
        at[9] = a9;                                                                                              \
        at[10] = a10;                                                                                            \
        at[11] = a11;                                                                                            \
    }
DEFINE_WALK(walk_0, 0) /* one row */
DEFINE_WALK(walk_32, 32)
DEFINE_WALK(walk_64, 64)
DEFINE_WALK(walk_128, 128)
DEFINE_WALK(walk_256, 256)

typedef void (*walk)(const coded_node *nodes, const uint8_t *codes, uint32_t depth, size_t at[LANES]);

static walk walk_of(size_t stride)
{
    return stride <= 32 ? walk_32 : stride == 64 ? walk_64 : stride == 128 ? walk_128 : walk_256;
}

static void add_leaf(const ml__coded_trees *c, size_t t, size_t leaf, double *out)
{
    const size_t column = c->nodes[leaf].column;

    if (column != SEVERAL)
        out[column] += 1; /* the others would get 0 */
    else if (c->value)
        *out += c->value[leaf];
    else
        ml__add_value(c->trees, (size_t)c->trees->first_value[t] + c->row[leaf], out);
}

static void add_rows(const ml__coded_trees *c, size_t t, const uint8_t *codes, size_t n, double *out)
{
    const size_t K = c->trees->K;
    const walk walk_rows = walk_of(c->stride);
    size_t at[LANES];

    for (size_t i = 0; i < n; i += LANES) {
        const size_t n_lanes = n - i < LANES ? n - i : LANES;

        for (size_t k = 0; k < LANES; k++)
            at[k] = c->root[t];
        walk_rows(c->nodes, codes + i * c->stride, c->trees->depth[t], at);
        if (c->value)
            for (size_t k = 0; k < n_lanes; k++)
                out[i + k] += c->value[at[k]];
        else
            for (size_t k = 0; k < n_lanes; k++)
                add_leaf(c, t, at[k], out + (i + k) * K);
    }
}

/* Trees t to t + LANES - 1, as far as there are; their values in order. */
static void add_trees(const ml__coded_trees *c, size_t t, const uint8_t *codes, double *out)
{
    const size_t n = c->trees->n_trees - t < LANES ? c->trees->n_trees - t : LANES;
    size_t at[LANES];
    uint32_t depth = 0;

    for (size_t k = 0; k < LANES; k++) {
        const size_t of = t + (k < n ? k : 0);
        at[k] = c->root[of];
        depth = c->trees->depth[of] > depth ? c->trees->depth[of] : depth;
    }
    walk_0(c->nodes, codes, depth, at);
    for (size_t k = 0; k < n; k++)
        add_leaf(c, t + k, at[k], out);
}

/* Of codes of n rows; what is walked by rows is read by whole lanes. */
static size_t code_bytes(const ml__coded_trees *c, size_t n)
{
    const size_t n_read = n < LANES ? n : (n + LANES - 1) / LANES * LANES;

    return n_read * c->stride + READ_BEYOND;
}

size_t ml__coded_scratch(const ml__coded_trees *c, size_t n)
{
    return ml__scratch_bytes(code_bytes(c, n), 1);
}

ml_status ml__coded_add(const ml__coded_trees *c, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t n_trees = c->trees->n_trees, K = c->trees->K;
    uint8_t *codes = ml__scratch_take(&scratch, code_bytes(c, x->n), 1);

    if (!codes)
        return ML_E_MEMORY;
    memset(codes, 0, code_bytes(c, x->n));
    ml__kernels_rowwise()->tree.tree_encode_rows(x->n, x->d, x->f32, &c->coding, codes, c->stride);
    if (x->n >= LANES)
        for (size_t t = 0; t < n_trees; t++)
            add_rows(c, t, codes, x->n, out);
    else
        for (size_t i = 0; i < x->n; i++)
            for (size_t t = 0; t < n_trees; t += LANES)
                add_trees(c, t, codes + i * c->stride, out + i * K);
    return ML_OK;
}
