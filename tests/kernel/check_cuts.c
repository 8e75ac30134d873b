/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The searches for a cut against the formulas of kernel/trees.h, sums in integers and the gain in the precision that is
 * promised: the same gain to the last bit, whatever the way of a table for a number of rows, codes, classes and a weight.
 */
#include "check.h"

#include <math.h>
#include <string.h>

enum { BEHIND = ML__COLUMN_PADDING - 1, UNTOUCHED = 777 };

typedef enum { TWO, CLASSES, TARGETS, SMALL_TARGETS } cut_op;
static const char *const OPS[] = {"tree_cut_two", "tree_cut_classes", "tree_cut_targets",
                                  "tree_cut_targets of products"};

/* Weights: all 1; mostly 1 as in a bag; 1 to 255; 1 and more up to a sum of each class or of all. */
typedef enum { ONES, BAG, ANY, SUM, CLASS_SUMS, N_WEIGHTS } weighing;
static const char *const WEIGHTS[] = {"ones", "a bag", "any", "a sum", "sums of classes"};

/* Codes: drawn; each with its mirror image in the same class, for ties; in the order of the rows; the ends only; two
 * neighbours; all the same. */
typedef enum { DRAWN, MIRRORED, ORDERED, ENDS, NEIGHBOURS, CONSTANT, N_CODINGS } coding;
static const char *const CODINGS[] = {"drawn", "mirrored", "ordered", "the ends", "neighbours", "constant"};

typedef struct {
    cut_op op;
    size_t n, n_codes, K;
    weighing weighing;
    uint32_t sums[2]; /* of the weights: of all, or of the first class and of the others */
    coding coding;
} cut_case;

typedef struct {
    ml__tree_rows rows;
    uint8_t *weight, *label, *code;
    int64_t *product; /* [n] weight times target */
    size_t n_codes, K;
} node;

static uint8_t *new_column(size_t fence, size_t n, uint64_t *state)
{
    uint8_t *column = check_fenced(fence, n + BEHIND, 1);

    for (size_t i = n; i < n + BEHIND; i++)
        column[i] = (uint8_t)check_random(state);
    return column;
}

/* ---- rows ---- */

/* 1 and more, until the sum is reached or all are 255. */
static void weigh_to_sum(uint8_t *weight, size_t n, uint32_t sum, uint64_t *state)
{
    const size_t start = check_random(state) % n;
    size_t more = sum > n ? sum - n : 0;

    memset(weight, 1, n);
    for (size_t i = 0; i < n && more; i++) {
        const size_t even = more / (n - i), most = even + check_random(state) % 3, room = most < 254 ? most : 254;
        const size_t here = i + 1 == n ? (more < 254 ? more : 254) : room < more ? room : more;

        weight[(start + i) % n] = (uint8_t)(1 + here);
        more -= here;
    }
}

static void weigh(const cut_case *c, node *a, uint64_t *state)
{
    const size_t n = c->n, n_first = a->rows.n_first;

    a->weight = new_column(0, n, state);
    for (size_t i = 0; i < n; i++) {
        const uint64_t draw = check_random(state);
        a->weight[i] = (uint8_t)(c->weighing == ONES  ? 1
                                 : c->weighing == BAG ? 1 + (draw % 8) / 4 + (draw % 64) / 60
                                                      : 1 + draw % 255);
    }
    if (c->weighing == SUM)
        weigh_to_sum(a->weight, n, c->sums[0], state);
    if (c->weighing == CLASS_SUMS && n_first && n_first < n) {
        weigh_to_sum(a->weight, n_first, c->sums[0], state);
        weigh_to_sum(a->weight + n_first, n - n_first, c->sums[1], state);
    }
}

/* Labels in ascending order, of up to K classes: often all that there is room for, or a few, or one but for the last row. */
static void label_rows(const cut_case *c, node *a, uint64_t *state)
{
    size_t count[256] = {0};
    const size_t kind = check_random(state) % 4, most = kind < 2 ? c->K : 1 + check_random(state) % 4;

    a->label = new_column(1, c->n, state);
    for (size_t i = 0; i < c->n; i++)
        count[check_random(state) % most * 7919 % c->K]++;
    for (size_t k = 0, i = 0; k < c->K; k++)
        for (size_t p = 0; p < count[k]; p++)
            a->label[i++] = (uint8_t)k;
    if (kind == 3) {
        memset(a->label, (int)(c->n % (c->K - 1)), c->n);
        a->label[c->n - 1] += check_random(state) % 2;
    }
}

static bool first_of_class(const node *a, size_t i)
{
    return i == 0 || (a->label ? a->label[i] != a->label[i - 1] : i == a->rows.n_first);
}

static uint8_t draw_code(const cut_case *c, size_t i, uint64_t *state)
{
    const size_t last = c->n_codes - 1, draw = (size_t)check_random(state);

    switch (c->coding) {
    case ORDERED:
        return (uint8_t)(draw % 8 ? i * c->n_codes / c->n : draw / 8 % c->n_codes);
    case ENDS:
        return (uint8_t)(draw % 2 ? last : 0);
    case NEIGHBOURS:
        return (uint8_t)(c->n / 2 % last + draw % 2);
    case CONSTANT:
        return (uint8_t)(c->n % c->n_codes);
    default:
        return (uint8_t)(draw % c->n_codes);
    }
}

/* The second of a pair of rows of a class mirrors the first, so that the gain of a cut is that of its image. */
static void draw_codes(const cut_case *c, node *a, uint64_t *state)
{
    a->code = new_column(2, c->n, state);
    for (size_t i = 0; i < c->n; i++) {
        const bool paired = c->coding == MIRRORED && i % 2 && !first_of_class(a, i);

        a->code[i] = paired ? (uint8_t)(c->n_codes - 1 - a->code[i - 1]) : draw_code(c, i, state);
        if (paired)
            a->weight[i] = a->weight[i - 1];
    }
}

/* ---- what the rows have in common ---- */

static void describe_classes(const cut_case *c, node *a, uint64_t *state)
{
    uint32_t *class_weight = check_fenced(3, c->K, sizeof *class_weight), *class_end;
    size_t here = 0;

    for (size_t i = 0; i < c->n; i++)
        a->rows.n_classes_here += first_of_class(a, i);
    class_end = check_fenced(9, a->rows.n_classes_here, sizeof *class_end);
    for (size_t k = 0; k < c->K; k++)
        class_weight[k] = (uint32_t)check_random(state); /* of classes that are not here */
    for (size_t i = 0; i < c->n; i++) {
        uint32_t *weight = &class_weight[a->label[i]];

        *weight = (first_of_class(a, i) ? 0 : *weight) + a->weight[i];
        if (i + 1 < c->n && !first_of_class(a, i + 1))
            continue;
        class_end[here++] = (uint32_t)(i + 1);
        a->rows.sum_squares += (uint64_t)*weight * *weight;
        a->rows.heaviest_class = *weight > a->rows.heaviest_class ? *weight : a->rows.heaviest_class;
    }
    a->rows.label = a->label;
    a->rows.class_weight = class_weight;
    a->rows.class_end = class_end;
    a->rows.order = check_fenced(4, c->n + ML__TREE_ORDER_MORE, sizeof *a->rows.order);
    a->rows.class_left = check_fenced(5, c->K, sizeof *a->rows.class_left);
}

/* Targets of as many bits as fit; in one case of four they are the extreme ones only, in another all are equal. */
static void make_products(const cut_case *c, node *a, uint64_t *state)
{
    int32_t *products = NULL, *weights = NULL;
    int64_t *packed = NULL, limit;
    const uint64_t kind = check_random(state) % 4;
    int bits;

    for (uint32_t W = a->rows.W; W; W >>= 1)
        a->rows.shift++;
    bits = c->op == SMALL_TARGETS ? 30 - (int)a->rows.shift : 61 - 2 * (int)a->rows.shift;
    limit = (int64_t)1 << (bits < 40 ? bits : 40);
    if (c->op == SMALL_TARGETS) {
        a->rows.products = products = check_fenced(6, c->n, sizeof *products);
        a->rows.weights = weights = check_fenced(7, c->n, sizeof *weights);
    } else
        a->rows.packed = packed = check_fenced(6, c->n, sizeof *packed);
    a->product = check_fenced(8, c->n, sizeof *a->product);
    for (size_t i = 0; i < c->n; i++) {
        const int64_t draw = (int64_t)(check_random(state) % (uint64_t)(2 * limit + 1)) - limit;
        const int64_t target = kind == 0 ? (draw < 0 ? -limit : limit) : kind == 1 ? limit / 3 : draw;

        a->product[i] = target * a->weight[i];
        a->rows.S += a->product[i];
        if (products) {
            products[i] = (int32_t)a->product[i];
            weights[i] = a->weight[i];
        } else
            packed[i] = a->product[i] * ((int64_t)1 << a->rows.shift) + a->weight[i];
    }
}

static node make_node(const cut_case *c, uint64_t *state)
{
    node a = {.rows.n = c->n, .n_codes = c->n_codes, .K = c->K};

    if (c->op == TWO)
        a.rows.n_first = 1 + check_random(state) % (c->n - 1);
    weigh(c, &a, state);
    if (c->op == CLASSES)
        label_rows(c, &a, state);
    draw_codes(c, &a, state);
    a.rows.weight = a.weight;
    for (size_t i = 0; i < c->n; i++) {
        a.rows.W += a.weight[i];
        a.rows.W_first += i < a.rows.n_first ? a.weight[i] : 0;
    }
    if (c->op == CLASSES)
        describe_classes(c, &a, state);
    else if (c->op != TWO)
        make_products(c, &a, state);
    return a;
}

/* ---- gains ---- */

static double quotient(bool light, uint64_t a, uint64_t b)
{
    return light ? (double)((float)a / (float)b) : (double)a / (double)b;
}

static double gain_two(const node *a, int64_t l_0, int64_t l)
{
    const int64_t W = a->rows.W, d = l_0 * W - a->rows.W_first * l;
    const float single = (float)d;

    if (W < ML__LIGHT_NODE)
        return (double)(single * single / (float)(l * (W - l)));
    return (double)d * (double)d / ((double)l * (double)(W - l));
}

static double gain_classes(const node *a, const uint64_t *l_k, uint64_t l)
{
    const bool light = a->rows.W < ML__LIGHT_NODE;
    uint64_t left = 0, right = 0;
    double two[2];

    for (size_t k = 0; k < a->K; k++)
        if (l_k[k] || l_k[k + a->K]) {
            left += l_k[k] * l_k[k];
            right += (l_k[k + a->K] - l_k[k]) * (l_k[k + a->K] - l_k[k]);
        }
    two[0] = quotient(light, left, l);
    two[1] = quotient(light, right, a->rows.W - l);
    return light ? (double)((float)two[0] + (float)two[1]) : two[0] + two[1];
}

static double gain_targets(const node *a, int64_t S_l, uint32_t l)
{
    const double W = a->rows.W, left = (double)S_l * W, all = (double)l * (double)a->rows.S, d = left - all;

    return d * d / (l * (W - l));
}

/* gain[n_codes]: NaN where a side is empty. */
static void find_gains(const node *a, cut_op op, double *gain)
{
    static uint64_t by_code[ML__MAX_CODES][256];
    static int64_t product_by_code[ML__MAX_CODES];
    uint64_t l_k[2 * 256] = {0}, l = 0; /* of the left side, then K of the node */
    int64_t S_l = 0;

    for (size_t c = 0; c < a->n_codes; c++) {
        memset(by_code[c], 0, a->K * sizeof(uint64_t));
        product_by_code[c] = 0;
    }
    for (size_t i = 0; i < a->rows.n; i++) {
        const size_t k = op == TWO ? i >= a->rows.n_first : op == CLASSES ? a->label[i] : 0;

        by_code[a->code[i]][k] += a->weight[i];
        l_k[a->K + k] += a->weight[i];
        product_by_code[a->code[i]] += a->product ? a->product[i] : 0;
    }
    for (size_t c = 0; c < a->n_codes; c++) {
        for (size_t k = 0; k < a->K; k++) {
            l_k[k] += by_code[c][k];
            l += by_code[c][k];
        }
        S_l += product_by_code[c];
        gain[c] = !l || l == a->rows.W ? NAN
                  : op == TWO          ? gain_two(a, (int64_t)l_k[0], (int64_t)l)
                  : op == CLASSES      ? gain_classes(a, l_k, l)
                                       : gain_targets(a, S_l, (uint32_t)l);
    }
}

/* ---- searches ---- */

static bool search_features(const ml__tree_kernels *t, cut_op op, const node *a, size_t n_features,
                            const uint8_t *const *code, const uint32_t *n_codes, ml__tree_cut *best)
{
    if (op == TWO)
        return t->tree_cut_two(&a->rows, n_features, code, n_codes, best);
    if (op == CLASSES)
        return t->tree_cut_classes(&a->rows, n_features, code, n_codes, best);
    return t->tree_cut_targets(&a->rows, n_features, code, n_codes, best);
}

static bool search(const ml__tree_kernels *t, cut_op op, const node *a, ml__tree_cut *best)
{
    const uint8_t *const code = a->code;
    const uint32_t n_codes = (uint32_t)a->n_codes;

    return search_features(t, op, a, 1, &code, &n_codes, best);
}

/* From this best cut the search comes to that one. */
static void check_search(const ml__kernels *table, cut_op op, const node *a, double before, ml__tree_cut want,
                         bool varies)
{
    ml__tree_cut best = {before, UNTOUCHED, 0};
    const bool found = search(&table->tree, op, a, &best);

    check_that(found == varies, "it says that codes %s", found ? "differ" : "are the same");
    check_that(best.code == want.code && best.gain == want.gain, "from %.17g to gain %.17g at %u, not %.17g at %u",
               before, best.gain, best.code, want.gain, want.code);
}

/* The neighbour of a gain in the precision of the node. */
static double next_gain(const node *a, cut_op op, double gain, double towards)
{
    if (op != TARGETS && op != SMALL_TARGETS && a->rows.W < ML__LIGHT_NODE)
        return (double)nextafterf((float)gain, (float)towards);
    return nextafter(gain, towards);
}

/* Several features at once: as one after the other, the first of those that are equally good. The columns are the node's in
 * other orders, so that gains differ; some are the same as one before, some constant, some said to have more codes. */
static void check_together(const ml__kernels *table, cut_op op, const node *a, size_t n_features, uint64_t *state)
{
    enum { FENCE = 10, MOST = 6 };
    const uint8_t *code[MOST];
    uint32_t n_codes[MOST];
    ml__tree_cut want = {-1, UNTOUCHED, UNTOUCHED}, best = want;
    bool varies = false;

    for (size_t f = 0; f < n_features; f++) {
        const size_t step = check_random(state) % 5, shift = f ? check_random(state) % a->rows.n : 0;
        uint8_t *column = new_column(FENCE + f, a->rows.n, state);
        ml__tree_cut alone = {-1, UNTOUCHED, 0};

        for (size_t i = 0; i < a->rows.n; i++)
            column[i] = a->code[(i * step + shift) % a->rows.n]; /* step 0: constant */
        code[f] = column;
        n_codes[f] = (uint32_t)(check_random(state) % 3 ? a->n_codes : ML__MAX_CODES);
        varies |= search_features(&table->tree, op, a, 1, &code[f], &n_codes[f], &alone);
        if (alone.gain > want.gain)
            want = (ml__tree_cut){alone.gain, alone.code, (uint32_t)f};
    }
    check_that(search_features(&table->tree, op, a, n_features, code, n_codes, &best) == varies,
               "%zu features together vary otherwise than alone", n_features);
    check_that(best.gain == want.gain && best.code == want.code && best.column == want.column,
               "%zu features together: gain %.17g at %u of %u, not %.17g at %u of %u", n_features, best.gain, best.code,
               best.column, want.gain, want.code, want.column);
}

/* Nothing was found before, something a little worse, as good, and a little better. */
static void check_case(const ml__kernels *const *tables, size_t n_tables, const cut_case *c, uint64_t *state)
{
    const node a = make_node(c, state);
    ml__tree_cut top = {-1, UNTOUCHED, 0};
    double gain[ML__MAX_CODES];

    find_gains(&a, c->op, gain);
    for (uint32_t code = 0; code < c->n_codes; code++)
        if (gain[code] > top.gain)
            top = (ml__tree_cut){gain[code], code, 0};
    for (size_t t = 0; t < n_tables; t++) {
        const bool varies = top.code != UNTOUCHED;

        check_begin("%s %s of %zu rows, %zu codes (%s), K %zu, weight %u (%s)", tables[t]->name, OPS[c->op], c->n,
                    c->n_codes, CODINGS[c->coding], c->K, a.rows.W, WEIGHTS[c->weighing]);
        check_search(tables[t], c->op, &a, -1, top, varies);
        if (varies) {
            const double above = next_gain(&a, c->op, top.gain, INFINITY);

            check_search(tables[t], c->op, &a, next_gain(&a, c->op, top.gain, -1), top, true);
            check_search(tables[t], c->op, &a, top.gain, (ml__tree_cut){top.gain, UNTOUCHED, 0}, true);
            check_search(tables[t], c->op, &a, above, (ml__tree_cut){above, UNTOUCHED, 0}, true);
        }
        check_together(tables[t], c->op, &a, 2 + c->n % 5, state);
        check_fences();
        check_end();
    }
}

/* ---- cases ---- */

/* Where the way of some table changes. */
static const uint32_t SUMS[] = {253, 254, 255, 256, 257, 509, 510, 511, 2045, 2046, 2047, 2048, 2049, 2050};
static const uint32_t CLASS_SUMS_OF[] = {64, 254, 255, 256, 257, 1023, 1024, 1025};
static const size_t CODES[] = {2, 3, 4, 8, 15, 16, 17, 18, 31, 32, 33, 64, 100, 200, 254, 255, 256};
static const size_t FEW_CODES[] = {2, 3, 8, 15, 16};
static const size_t LABELS[] = {2, 3, 4, 8, 26, 64, 200, 256};
#define PICK(list, state) ((list)[check_random(state) % (sizeof(list) / sizeof *(list))])

/* Is there such a sum of n weights? */
static uint32_t pick_sum(size_t n, uint64_t *state)
{
    for (int attempt = 0; attempt < 20; attempt++) {
        const uint32_t sum = PICK(SUMS, state);
        if (n <= sum && sum <= 255 * n)
            return sum;
    }
    return (uint32_t)(n + check_random(state) % n);
}

static void check_rows(const ml__kernels *const *tables, size_t n_tables, cut_op op, size_t n, uint64_t *state)
{
    for (int w = 0; w < N_WEIGHTS; w++) {
        cut_case c = {.op = op, .n = n, .K = 1, .weighing = (weighing)w};

        if (w == CLASS_SUMS && op != TWO)
            continue;
        c.n_codes = PICK(CODES, state);
        c.K = op == TWO ? 2 : op == CLASSES ? PICK(LABELS, state) : 1;
        c.sums[0] = w == SUM ? pick_sum(n, state) : PICK(CLASS_SUMS_OF, state);
        c.sums[1] = PICK(CLASS_SUMS_OF, state);
        c.coding = (coding)(check_random(state) % 12);
        if (c.coding >= N_CODINGS)
            c.coding = c.coding % 2 ? DRAWN : MIRRORED;
        check_case(tables, n_tables, &c, state);
    }
}

/* ---- tables of weights ---- */

/* Weights up to 2^46: of 65536 cells at most, their sum stays below 2^62. Some cells are empty. */
static void fill_weights(size_t K, size_t stride, uint64_t *weights, uint64_t *class_weight, uint64_t *state)
{
    for (size_t k = 0; k < K; k++) {
        class_weight[k] = 0;
        for (size_t c = 0; c < stride; c++) {
            const uint64_t random = check_random(state);
            weights[k * stride + c] = random % 3 ? (random >> 8) >> (random >> 2) % 56 >> 10 : 0;
            class_weight[k] += weights[k * stride + c];
        }
    }
}

static void best_of_table(size_t K, size_t stride, const uint64_t *weights, const uint64_t *class_weight,
                          ml__tree_cut *best)
{
    uint64_t l_k[ML__MAX_CODES] = {0}, l = 0, W = 0;

    for (size_t k = 0; k < K; k++)
        W += class_weight[k];
    for (size_t c = 0; c < stride; c++) {
        double sum = 0, gain;

        for (size_t k = 0; k < K; k++) {
            l_k[k] += weights[k * stride + c];
            l += weights[k * stride + c];
        }
        for (size_t k = 0; k < K; k++) {
            const double left = (double)(int64_t)l_k[k], right = (double)(int64_t)(class_weight[k] - l_k[k]);
            const double difference = left * (double)(int64_t)(W - l) - right * (double)(int64_t)l;
            sum += difference * difference;
        }
        gain = sum / ((double)(int64_t)l * (double)(int64_t)(W - l));
        if (gain > best->gain)
            *best = (ml__tree_cut){gain, (uint32_t)c, 0};
    }
}

static void check_weights(const ml__kernels *const *tables, size_t n_tables, size_t K, size_t stride, uint64_t *state)
{
    uint64_t *weights = check_fenced(0, K * stride, sizeof *weights);
    uint64_t *class_weight = check_fenced(1, K, sizeof *class_weight);

    fill_weights(K, stride, weights, class_weight, state);
    for (size_t t = 0; t < n_tables; t++) {
        ml__tree_cut best = {.gain = -1}, want = {.gain = -1};

        check_begin("%s tree_cut_table of %zu classes, %zu codes", tables[t]->name, K, stride);
        best_of_table(K, stride, weights, class_weight, &want);
        tables[t]->tree.tree_cut_table(K, stride, weights, class_weight, &best);
        check_that(best.gain == want.gain && best.code == want.code, "gain %.17g at %u, not %.17g at %u", best.gain,
                   best.code, want.gain, want.code);
        want.code = best.code = UNTOUCHED;
        tables[t]->tree.tree_cut_table(K, stride, weights, class_weight, &best);
        check_that(best.code == UNTOUCHED, "an equal gain took the place of the best");
        check_fences();
        check_end();
    }
}

void check_cuts(const ml__kernels *const *tables, size_t n_tables)
{
    static const size_t LARGE[] = {511, 512, 1000, 2047, 2048, 2049, 4096, 8191, 20000, 60000};
    uint64_t state = 41;

    for (size_t n = 2; n <= 300; n++)
        for (int round = 0; round < 4; round++)
            for (cut_op op = TWO; op <= SMALL_TARGETS; op++)
                if (op != SMALL_TARGETS || n <= ML__SMALL_TARGETS)
                    check_rows(tables, n_tables, op, n, &state);
    for (size_t n = 2; n <= 64; n++)
        for (uint32_t sum = 254; sum <= 258; sum++)
            check_case(tables, n_tables,
                       &(cut_case){CLASSES, n, PICK(FEW_CODES, &state), PICK(LABELS, &state), SUM, {sum}, DRAWN},
                       &state);
    for (size_t i = 0; i < sizeof LARGE / sizeof LARGE[0]; i++)
        for (int round = 0; round < 3; round++)
            for (cut_op op = TWO; op <= TARGETS; op++)
                check_rows(tables, n_tables, op, LARGE[i], &state);
    for (size_t i = 0; i < sizeof LABELS / sizeof LABELS[0]; i++)
        for (size_t stride = 8; stride <= ML__MAX_CODES; stride += 8)
            check_weights(tables, n_tables, LABELS[i], stride, &state);
}
