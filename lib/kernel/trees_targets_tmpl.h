/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a cut by targets. Included by kernel/trees_tmpl.h. */

static inline void convert_i64(const v_i64 *v, v_f64 *to)
{
    const v_f64 round = ROUND - (v_f64){0};

    *to = (v_f64)(*v + (v_i64)round) - round;
}

static inline void gain_targets(const v_f64 *S_l, const v_f64 *l, double S, double W, v_f64 *gain)
{
    const v_f64 difference = *S_l * W - *l * S;

    *gain = difference * difference / (*l * (W - *l));
}

/* Products and weights with zeros behind the last row, so that rows can be taken several at a time; and of each lane the
 * best gain and the feature that has it, the first of equal ones. The lanes are rows. */
enum { TARGET_ROWS = ML__SMALL_TARGETS + 16 - ML__SMALL_TARGETS % 16, TARGET_VECTORS = TARGET_ROWS / LANES_64 };

typedef struct {
    int32_t products[TARGET_ROWS], weights[TARGET_ROWS];
    v_f64 top[TARGET_VECTORS];
    v_i64 column[TARGET_VECTORS];
} target_search;

/* Sums of the rows whose codes are at most the lanes', over n_rows of them. */
#define DEFINE_SUM_PRODUCTS(name, V, ADD, AT_LEAST, MASK)                                                           \
    static inline void name(const target_search *t, const int32_t *wide, size_t first, size_t n_rows, int32_t *S_l, \
                            int32_t *l)                                                                             \
    {                                                                                                               \
        V lanes, products = {0}, weights = {0};                                                                     \
                                                                                                                    \
        memcpy(&lanes, wide + first, sizeof lanes);                                                                 \
        for (size_t j = 0; j < n_rows; j += 4)                                                                      \
            for (size_t i = j; i < j + 4; i++) {                                                                    \
                const MASK here = AT_LEAST(lanes, wide[i]);                                                         \
                products = ADD(products, here, t->products[i]);                                                     \
                weights = ADD(weights, here, t->weights[i]);                                                        \
            }                                                                                                       \
        memcpy(S_l + first, &products, sizeof products);                                                            \
        memcpy(l + first, &weights, sizeof weights);                                                                \
    }
DEFINE_SUM_PRODUCTS(sum_products_all, v_i32, ADD_WHERE_32, AT_LEAST_32, MASK_32)
#if VECTOR_BYTES == 64
DEFINE_SUM_PRODUCTS(sum_products_half, half_i32, ADD_WHERE_HALF, AT_LEAST_HALF, MASK_HALF)
#endif

static inline void sum_products(const target_search *t, const int32_t *wide, size_t n, int32_t *S_l, int32_t *l)
{
#if VECTOR_BYTES == 64
    if (n <= 4) {
        sum_products_half(t, wide, 0, 4, S_l, l);
        return;
    }
    if (n <= LANES_64) {
        sum_products_half(t, wide, 0, LANES_64, S_l, l);
        return;
    }
#endif
    if (n <= LANES_32) {
        sum_products_all(t, wide, 0, LANES_32, S_l, l);
        return;
    }
    for (size_t first = 0; first < n; first += LANES_32)
        sum_products_all(t, wide, first, n, S_l, l);
}

static inline void search_pairs(const ml__tree_rows *rows, const uint8_t *code, size_t column, target_search *t)
{
    int32_t wide[TARGET_ROWS], S_l[TARGET_ROWS], l[TARGET_ROWS];

    for (size_t first = 0; first < rows->n; first += LANES_32) {
        v_i32 codes;
        WIDEN_i32(code + first, codes);
        memcpy(wide + first, &codes, sizeof codes);
    }
    sum_products(t, wide, rows->n, S_l, l);
    for (size_t v = 0; v * LANES_64 < rows->n; v++) {
        half_i32 products, weights;
        v_f64 a, b, g;
        v_i64 above;

        memcpy(&products, S_l + v * LANES_64, sizeof products);
        memcpy(&weights, l + v * LANES_64, sizeof weights);
        a = __builtin_convertvector(products, v_f64);
        b = __builtin_convertvector(weights, v_f64);
        gain_targets(&a, &b, (double)rows->S, rows->W, &g);
        above = (v_i64)(g > t->top[v]);
        t->top[v] = (v_f64)(((v_i64)g & above) | ((v_i64)t->top[v] & ~above));
        t->column[v] = ((int64_t)column & above) | (t->column[v] & ~above);
    }
}

/* The first column's lowest code among the lanes that have this gain. */
static inline void keep_target(const target_search *t, size_t n, double gain, const uint8_t *const *code,
                               ml__tree_cut *best)
{
    uint32_t least = UINT32_MAX;

    for (size_t first = 0; first < n; first += LANES_64) {
        const uint32_t here = n - first < LANES_64 ? ((uint32_t)1 << (n - first)) - 1 : ((uint32_t)1 << LANES_64) - 1;

        for (uint32_t lanes = LANES_FROM_f64(t->top[first / LANES_64], gain) & here; lanes; lanes &= lanes - 1) {
            const size_t lane = (size_t)__builtin_ctz(lanes);
            const uint32_t column = (uint32_t)t->column[first / LANES_64][lane];
            const uint32_t place = column << 8 | code[column][first + lane];

            least = place < least ? place : least;
        }
    }
    *best = (ml__tree_cut){gain, least & 255, least >> 8};
}

/* All features of a small node. */
static bool pairs_targets(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code, ml__tree_cut *best)
{
    target_search t;
    v_f64 most;
    double top;

    memset(t.products, 0, sizeof t.products);
    memset(t.weights, 0, sizeof t.weights);
    memcpy(t.products, rows->products, rows->n * sizeof *t.products);
    memcpy(t.weights, rows->weights, rows->n * sizeof *t.weights);
    for (size_t v = 0; v < TARGET_VECTORS; v++) {
        t.top[v] = -1 - (v_f64){0};
        t.column[v] = (v_i64){0};
    }
    for (size_t f = 0; f < n_features; f++)
        search_pairs(rows, code[f], f, &t);
    most = t.top[0];
    for (size_t v = 1; v * LANES_64 < rows->n; v++)
        most = LARGER_f64(t.top[v], most);
    top = LARGEST_f64(most);
    if (top > best->gain)
        keep_target(&t, rows->n, top, code, best);
    return top >= 0;
}

/* Sums by code, n of them, of which those that are empty may be left out. */
static inline void scan_targets(const ml__tree_rows *rows, const int64_t *table, size_t n, ml__tree_cut *best)
{
    const int64_t mask = ((int64_t)1 << rows->shift) - 1;
    const uint64_t sign = (uint64_t)1 << 63;
    v_i64 carry = {0};

    for (uint32_t c = 0; c < n; c += LANES_64) {
        v_i64 v, w, s;
        v_f64 S_l, l, l_r, squares, gain;

        memcpy(&v, table + c, sizeof v);
        prefix_i64(&v, &carry);
        w = v & mask;
        /* v >> shift of signed numbers, which AVX2 has not */
        s = (v_i64)(((v_u64)v ^ sign) >> rows->shift) - (int64_t)(sign >> rows->shift);
        convert_i64(&s, &S_l);
        convert_i64(&w, &l);
        squares = S_l * (double)rows->W - l * (double)rows->S;
        squares *= squares;
        l_r = l * ((double)rows->W - l);
        if (may_be_above_f64(&squares, &l_r, best->gain)) {
            gain = squares / l_r;
            keep_block_f64(&gain, c, best);
        }
    }
}

static inline void sum_codes(const uint8_t *code, const int64_t *packed, size_t n, int64_t *restrict table)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint64_t c;
        memcpy(&c, code + i, sizeof c);
        for (int b = 0; b < 8; b++)
            table[(c >> 8 * b) & 255] += packed[i + (size_t)b];
    }
    for (; i < n; i++)
        table[code[i]] += packed[i];
}

static void table_targets(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    int64_t table[ML__MAX_CODES + LANES_64];
    const size_t n = (n_codes + LANES_64 - 1) / LANES_64 * LANES_64;

    memset(table, 0, n * sizeof *table);
    sum_codes(code, rows->packed, rows->n, table);
#if COMPACT
    if (rows->n <= SPARSE_ROWS) {
        const double before = best->gain;
        uint32_t occupied[ML__MAX_CODES / 32];
        const size_t n_occupied = compact_i64(table, n, occupied);

        scan_targets(rows, table, n_occupied, best);
        if (best->gain > before)
            best->code = bit_at(occupied, best->code);
        return;
    }
#endif
    scan_targets(rows, table, n, best);
}

bool PUBLIC(tree_cut_targets)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,
                              const uint32_t *n_codes, ml__tree_cut *best)
{
    bool found = false;

    if (rows->products)
        return pairs_targets(rows, n_features, code, best);
    for (size_t f = 0; f < n_features; f++) {
        const double before = best->gain;

        table_targets(rows, code[f], n_codes[f], best);
        if (best->gain > before)
            best->column = (uint32_t)f;
        found |= best->gain > before || (!found && varies(code[f], rows->n));
    }
    return found;
}
