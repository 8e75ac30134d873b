/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of trees, once per instruction set. The vectors are the compilers' own, of VECTOR_BYTES. The unit that includes this defines
 *
 *     PUBLIC(name)                  the name of a public function
 *     ADD_WHERE_AT_LEAST_ALL(sum, lanes, code, weight)   sum += weight in the lanes that are >= code, of bytes
 *     WIDEN(bytes, v), WIDEN_i32(bytes, v)              LANES_32 bytes to floats, to numbers of 32 bits
 *     LANES_ABOVE_f32(v, x), LANES_ABOVE_f64(v, x)   bits of the lanes that are above x; NaN is not
 *     LANES_FROM_f32(v, x), LANES_FROM_f64(v, x)     bits of the lanes that are x or above
 *     COUNT_BELOW_16(v, x)          how many of 16 ascending floats are below x
 *     COMPARE_64(code, cut)         bits of the 64 bytes at `code` that are <= cut
 *     CHOOSE_64(from, bits, to)     write the chosen ones of 64 bytes, and anything up to 64; `to` may be `from` or before
 *     CHOOSE_16_IDS(from, bits, here, to) the same for 16 numbers of four bytes, of which those in `here` may be read
 *     COPY(to, from, n)             memcpy(), where 63 bytes behind `from` may be read
 *     MOVE_SMALL, MOVE_MEDIUM       1: move_small() exists, for n <= 64; move_medium(), for 64 < n <= 128
 *     COMPACT                       1: compact_i64() and bit_at() exist
 *
 * Symbols   l, r weight of the sides; l_k, r_k of class k; S_l sum of products on the left; W, W_k, S of the node
 *           A = sum_k l_k W_k, so that sum_k r_k^2 = sum_k W_k^2 - 2 A + sum_k l_k^2
 *
 * A cut that leaves nothing on a side has gain 0 / 0, a NaN, which is above nothing.
 */

static inline void put_cut(ml__tree_cut *best, double gain, uint32_t code)
{
    best->gain = gain;
    best->code = code;
}

enum { PAIRS_LIMIT = 128 }; /* up to here every row is compared with every other one: no table to clear and to read */

/* ---- several gains ---- */

/* The best of n lanes that are rows: the largest gain, of equals the lowest code. What is behind the last row may be a gain of
 * a cut between its codes, so it is never more than the largest. */
static inline void keep_f32(const v_f32 *gain, const uint8_t *code, size_t n, ml__tree_cut *best)
{
    const float before = (float)best->gain;
    v_f32 most = before - (v_f32){0};
    uint32_t least = UINT32_MAX;
    float top;

    for (size_t v = 0; v * LANES_32 < n; v++)
        most = LARGER_f32(gain[v], most);
    top = LARGEST_f32(most);
    if (!(top > before))
        return;
    for (size_t first = 0; first < n; first += LANES_32) {
        const uint32_t here = n - first < LANES_32 ? ((uint32_t)1 << (n - first)) - 1 : (1u << LANES_32) - 1;

        for (uint32_t lanes = LANES_FROM_f32(gain[first / LANES_32], top) & here; lanes; lanes &= lanes - 1) {
            const uint32_t here_code = code[first + (size_t)__builtin_ctz(lanes)];
            least = here_code < least ? here_code : least;
        }
    }
    put_cut(best, (double)top, least);
}

/* Gains of cuts at codes first, first + 1, …: of equals the first. */
#define DEFINE_KEEP_BLOCK(P, REAL, V)                                                    \
    static inline void keep_block_##P(const V *gain, uint32_t first, ml__tree_cut *best) \
    {                                                                                    \
        REAL top = (REAL)best->gain;                                                     \
        uint32_t at = ML__MAX_CODES;                                                     \
                                                                                         \
        for (uint32_t lanes = LANES_ABOVE_##P(*gain, top); lanes; lanes &= lanes - 1) {  \
            const uint32_t i = (uint32_t)__builtin_ctz(lanes);                           \
            if ((*gain)[i] > top) {                                                      \
                top = (*gain)[i];                                                        \
                at = first + i;                                                          \
            }                                                                            \
        }                                                                                \
        if (at < ML__MAX_CODES)                                                          \
            put_cut(best, (double)top, at);                                              \
    }
DEFINE_KEEP_BLOCK(f32, float, v_f32)
DEFINE_KEEP_BLOCK(f64, double, v_f64)

/* Do the codes differ? They mostly do, and soon. */
static inline bool varies(const uint8_t *code, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (code[i] != code[0])
            return true;
    return false;
}

#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* v[i] += v[i - 1] + v[i - 2] + … + *carry; *carry = the last in all lanes */
static inline void prefix_u32(v_u32 *v, v_u32 *carry)
{
    const v_u32 zero = {0};

#if VECTOR_BYTES == 64
    *v += SHUFFLE(zero, *v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
    *v += SHUFFLE(zero, *v, 0, 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
    *v += SHUFFLE(zero, *v, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
    *v += SHUFFLE(zero, *v, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
#elif VECTOR_BYTES == 32
    *v += SHUFFLE(zero, *v, 0, 8, 9, 10, 11, 12, 13, 14);
    *v += SHUFFLE(zero, *v, 0, 1, 8, 9, 10, 11, 12, 13);
    *v += SHUFFLE(zero, *v, 0, 1, 2, 3, 8, 9, 10, 11);
#else
    *v += SHUFFLE(zero, *v, 0, 4, 5, 6);
    *v += SHUFFLE(zero, *v, 0, 1, 4, 5);
#endif
    *v += *carry;
    *carry = (*v)[LANES_32 - 1] - zero;
}

static inline void prefix_i64(v_i64 *v, v_i64 *carry)
{
    const v_i64 zero = {0};

#if VECTOR_BYTES == 64
    *v += SHUFFLE(zero, *v, 0, 8, 9, 10, 11, 12, 13, 14);
    *v += SHUFFLE(zero, *v, 0, 1, 8, 9, 10, 11, 12, 13);
    *v += SHUFFLE(zero, *v, 0, 1, 2, 3, 8, 9, 10, 11);
#elif VECTOR_BYTES == 32
    *v += SHUFFLE(zero, *v, 0, 4, 5, 6);
    *v += SHUFFLE(zero, *v, 0, 1, 4, 5);
#else
    *v += SHUFFLE(zero, *v, 0, 2);
#endif
    *v += *carry;
    *carry = (*v)[LANES_64 - 1] - zero;
}

/* Numbers below 2^31. */
static inline void to_f32(const v_u32 *v, v_f32 *to)
{
    *to = __builtin_convertvector((v_i32)*v, v_f32);
}

static inline void halves_f64(const v_i32 *v, v_f64 *low, v_f64 *high)
{
    half_i32 a, b;

    memcpy(&a, v, sizeof a);
    memcpy(&b, (const char *)v + sizeof a, sizeof b);
    *low = __builtin_convertvector(a, v_f64);
    *high = __builtin_convertvector(b, v_f64);
}

/* ---- two classes ---- */

/* Sums of the weights whose codes are at most the lane's: of rows begin to end, the lanes being the first `width` rows at
 * `lanes`, to sum[width]. */
#define DEFINE_SUM_PAIRS(name, V, ADD)                                                            \
    static inline void name(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, \
                            const uint8_t *lanes, uint8_t *sum)                                   \
    {                                                                                             \
        V l, s = {0};                                                                             \
                                                                                                  \
        memcpy(&l, lanes, sizeof l);                                                              \
        for (size_t j = begin; j < end; j++)                                                      \
            ADD(s, l, code[j], weight[j]);                                                        \
        memcpy(sum, &s, sizeof s);                                                                \
    }
DEFINE_SUM_PAIRS(sum_pairs_all, v_u8, ADD_WHERE_AT_LEAST_ALL)
#if VECTOR_BYTES > 16
#define ADD_16(sum, lanes, code, weight) ADD_WHERE_AT_LEAST(u8x16, sum, lanes, code, weight)
DEFINE_SUM_PAIRS(sum_pairs_16, u8x16, ADD_16)
#endif
#if VECTOR_BYTES > 32
#define ADD_32(sum, lanes, code, weight) ADD_WHERE_AT_LEAST(u8x32, sum, lanes, code, weight)
DEFINE_SUM_PAIRS(sum_pairs_32, u8x32, ADD_32)
#endif

static inline void sum_pairs(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, const uint8_t *lanes,
                             size_t n_lanes, uint8_t *sum)
{
#if VECTOR_BYTES > 16
    if (n_lanes <= 16) {
        sum_pairs_16(code, weight, begin, end, lanes, sum);
        return;
    }
#endif
#if VECTOR_BYTES > 32
    if (n_lanes <= 32) {
        sum_pairs_32(code, weight, begin, end, lanes, sum);
        return;
    }
#endif
    for (size_t lane = 0; lane < n_lanes; lane += LANES_8)
        sum_pairs_all(code, weight, begin, end, lanes + lane, sum + lane);
}

/* The gain is squares / l_r. */
#define DEFINE_PARTS_TWO(P, REAL, V, MARGIN)                                                         \
    static inline void parts_two_##P(const V *l_0, const V *l, REAL W_0, REAL W, V *squares, V *l_r) \
    {                                                                                                \
        const V difference = *l_0 * W - *l * W_0;                                                    \
                                                                                                     \
        *squares = difference * difference;                                                          \
        *l_r = *l * (W - *l);                                                                        \
    }                                                                                                \
                                                                                                     \
    /* Is any gain likely to be above? By products alone: a division for each would cost more. */    \
    static inline bool may_be_above_##P(const V *squares, const V *l_r, REAL gain)                   \
    {                                                                                                \
        const V excess = *squares - *l_r * (gain * (1 - MARGIN));                                    \
                                                                                                     \
        return ANY_ABOVE_##P(excess, 0);                                                             \
    }
DEFINE_PARTS_TWO(f32, float, v_f32, 0x1p-16f)
DEFINE_PARTS_TWO(f64, double, v_f64, 0x1p-40)

/* The weights of the two classes, each with zeros in place of the other's rows and behind the last, so that rows can be taken
 * PAIR_ROWS at a time. */
enum { PAIR_ROWS = 4 };

typedef struct {
    uint8_t weight[2][PAIRS_LIMIT];
} pair_weights;

static inline void part_weights(const ml__tree_rows *rows, pair_weights *to)
{
    memset(to, 0, sizeof *to);
    memcpy(to->weight[0], rows->weight, rows->n_first);
    memcpy(to->weight[1] + rows->n_first, rows->weight + rows->n_first, rows->n - rows->n_first);
}

/* Sums of the weights whose codes are at most the lane's; the lanes are rows, of two vectors at a time. */
static inline void sum_long_pairs(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, size_t n_lanes,
                                  uint8_t *sum)
{
    for (size_t lane = 0; lane < n_lanes; lane += 2 * LANES_8) {
        v_u8 l_a, l_b, a = {0}, b = {0};

        memcpy(&l_a, code + lane, sizeof l_a);
        memcpy(&l_b, code + lane + LANES_8, sizeof l_b);
        for (size_t j = begin; j < end; j += PAIR_ROWS)
            for (size_t i = j; i < j + PAIR_ROWS; i++) {
                ADD_WHERE_AT_LEAST_ALL(a, l_a, code[i], weight[i]);
                ADD_WHERE_AT_LEAST_ALL(b, l_b, code[i], weight[i]);
            }
        memcpy(sum + lane, &a, sizeof a);
        memcpy(sum + lane + LANES_8, &b, sizeof b);
    }
}

static inline void sum_class(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, size_t n_lanes,
                             uint8_t *sum)
{
    begin = begin / PAIR_ROWS * PAIR_ROWS;
    end = (end + PAIR_ROWS - 1) / PAIR_ROWS * PAIR_ROWS;
    if (n_lanes <= 64)
        sum_pairs(code, weight, begin, end, code, n_lanes, sum);
    else
        sum_long_pairs(code, weight, begin, end, n_lanes, sum);
}

static void pairs_two(const ml__tree_rows *rows, const pair_weights *weights, const uint8_t *code, ml__tree_cut *best)
{
    uint8_t l_0[PAIRS_LIMIT], l_1[PAIRS_LIMIT];
    v_f32 squares[PAIRS_LIMIT / LANES_32], products[PAIRS_LIMIT / LANES_32];
    bool above = false;

    sum_class(code, weights->weight[0], 0, rows->n_first, rows->n, l_0);
    sum_class(code, weights->weight[1], rows->n_first, rows->n, rows->n, l_1);
    for (size_t v = 0; v * LANES_32 < rows->n; v++) {
        v_f32 a, l;

        WIDEN(l_0 + v * LANES_32, a);
        WIDEN(l_1 + v * LANES_32, l);
        l += a;
        parts_two_f32(&a, &l, (float)rows->W_first, (float)rows->W, &squares[v], &products[v]);
        above |= may_be_above_f32(&squares[v], &products[v], (float)best->gain);
    }
    if (!above)
        return;
    for (size_t v = 0; v * LANES_32 < rows->n; v++)
        squares[v] /= products[v];
    keep_f32(squares, code, rows->n, best);
}

/* Weights to a table by code, shifted. */
static inline __attribute__((always_inline)) void count_codes(const uint8_t *code, const uint8_t *weight, size_t begin,
                                                              size_t end, int shift, uint32_t *table)
{
    size_t i = begin;

    for (; i + 8 <= end; i += 8) {
        uint64_t w;
        memcpy(&w, weight + i, sizeof w);
        for (int b = 0; b < 8; b++)
            table[code[i + (size_t)b]] += ((uint32_t)(w >> 8 * b) & 255) << shift;
    }
    for (; i < end; i++)
        table[code[i]] += (uint32_t)weight[i] << shift;
}

/* The gains of cuts first, first + 1, … from l_0 and l. */
static inline void keep_two(const ml__tree_rows *rows, const v_u32 *l_0, const v_u32 *l, uint32_t first,
                            ml__tree_cut *best)
{
    if (rows->W < ML__LIGHT_NODE) {
        v_f32 a, b, squares, l_r;

        to_f32(l_0, &a);
        to_f32(l, &b);
        parts_two_f32(&a, &b, (float)rows->W_first, (float)rows->W, &squares, &l_r);
        if (may_be_above_f32(&squares, &l_r, (float)best->gain)) {
            squares /= l_r;
            keep_block_f32(&squares, first, best);
        }
    } else {
        v_f64 a[2], b[2], squares, l_r;

        halves_f64((const v_i32 *)l_0, &a[0], &a[1]);
        halves_f64((const v_i32 *)l, &b[0], &b[1]);
        for (uint32_t h = 0; h < 2; h++) {
            parts_two_f64(&a[h], &b[h], rows->W_first, rows->W, &squares, &l_r);
            if (may_be_above_f64(&squares, &l_r, best->gain)) {
                squares /= l_r;
                keep_block_f64(&squares, first + LANES_64 * h, best);
            }
        }
    }
}

/* As long as the weights of both classes fit into a word, one table has them, of the first class above. */
static void one_table_two(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    uint32_t table[ML__MAX_CODES];
    const size_t n = (n_codes + 15) / 16 * 16;
    v_u32 carry = {0};
    ml__tree_cut top = *best;

    memset(table, 0, n * sizeof *table);
    count_codes(code, rows->weight, 0, rows->n_first, 16, table);
    count_codes(code, rows->weight, rows->n_first, rows->n, 0, table);
    for (uint32_t c = 0; c < n; c += LANES_32) {
        v_u32 l_0, l;

        memcpy(&l, table + c, sizeof l);
        prefix_u32(&l, &carry);
        l_0 = l >> 16;
        l = (l & 0xffff) + l_0;
        keep_two(rows, &l_0, &l, c, &top);
    }
    *best = top;
}

static void table_two(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    uint32_t table_0[ML__MAX_CODES], table_1[ML__MAX_CODES];
    const size_t n = (n_codes + 15) / 16 * 16;
    v_u32 carry_0 = {0}, carry_1 = {0};

    memset(table_0, 0, n * sizeof *table_0);
    memset(table_1, 0, n * sizeof *table_1);
    count_codes(code, rows->weight, 0, rows->n_first, 0, table_0);
    count_codes(code, rows->weight, rows->n_first, rows->n, 0, table_1);
    for (uint32_t c = 0; c < n; c += LANES_32) {
        v_u32 l_0, l;

        memcpy(&l_0, table_0 + c, sizeof l_0);
        memcpy(&l, table_1 + c, sizeof l);
        prefix_u32(&l_0, &carry_0);
        prefix_u32(&l, &carry_1);
        l += l_0;
        keep_two(rows, &l_0, &l, c, best);
    }
}

bool PUBLIC(tree_cut_two)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,
                          const uint32_t *n_codes, ml__tree_cut *best)
{
    const uint32_t W_second = rows->W - rows->W_first;
    const bool in_pairs = rows->n <= PAIRS_LIMIT && rows->W_first <= 255 && W_second <= 255;
    const bool in_words = rows->W_first <= UINT16_MAX && W_second <= UINT16_MAX;
    pair_weights weights;
    bool found = false;

    if (in_pairs)
        part_weights(rows, &weights);
    for (size_t f = 0; f < n_features; f++) {
        const double before = best->gain;

        if (in_pairs)
            pairs_two(rows, &weights, code[f], best);
        else
            (in_words ? one_table_two : table_two)(rows, code[f], n_codes[f], best);
        if (best->gain > before)
            best->column = (uint32_t)f;
        found |= best->gain > before || (!found && varies(code[f], rows->n));
    }
    return found;
}

/* ---- several classes ---- */

/* Of neighbouring cuts: sums over the classes that are done. */
typedef struct {
    v_f32 squares, A, l;
} sums_f32;

typedef struct {
    v_f64 squares, A, l;
} sums_f64;

static inline void gain_classes_f32(const sums_f32 *s, float sum_squares, float W, v_f32 *gain)
{
    *gain = s->squares / s->l + (sum_squares - 2 * s->A + s->squares) / (W - s->l);
}

static inline void gain_classes_f64(const sums_f64 *s, double sum_squares, double W, v_f64 *gain)
{
    *gain = s->squares / s->l + (sum_squares - 2 * s->A + s->squares) / (W - s->l);
}

static inline void add_class_f32(sums_f32 *s, const v_f32 *l_k, float W_k)
{
    s->squares += *l_k * *l_k;
    s->A += *l_k * W_k;
    s->l += *l_k;
}

static inline void add_class_f64(sums_f64 *s, const v_f64 *l_k, double W_k)
{
    s->squares += *l_k * *l_k;
    s->A += *l_k * W_k;
    s->l += *l_k;
}

static const uint16_t FROM[31] = {0,      0,      0,      0,      0,      0,      0,      0,
                                  0,      0,      0,      0,      0,      0,      0,      0xffff,
                                  0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff,
                                  0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff};

/* The cuts of a feature with few codes. */
enum { FEW = 16, FEW_VECTORS = FEW / FEW_LANES };

typedef struct {
    few_u16 v[FEW_VECTORS];
} few;

/* w from cut `code` on, else 0 */
static inline void from_code(uint8_t code, uint16_t w, few *lanes)
{
    for (int i = 0; i < FEW_VECTORS; i++) {
        few_u16 v;
        memcpy(&v, FROM + 15 - code + i * FEW_LANES, sizeof v);
        lanes->v[i] = v & w;
    }
}

#include "kernel/trees_quads_tmpl.h"

/* Weights from every cut on of rows begin to end; in pieces, so that 16 bits do. */
static inline void sum_few(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, uint32_t *sum)
{
    enum { PIECE = 256 };
    uint16_t numbers[FEW];

    memset(sum, 0, FEW * sizeof *sum);
    while (begin < end) {
        const size_t stop = end - begin < PIECE ? end : begin + PIECE;
        few piece = {0}, lanes;

        for (; begin < stop; begin++) {
            from_code(code[begin], weight[begin], &lanes);
            for (int v = 0; v < FEW_VECTORS; v++)
                piece.v[v] += lanes.v[v];
        }
        memcpy(numbers, &piece, sizeof numbers);
        for (int i = 0; i < FEW; i++)
            sum[i] += numbers[i];
    }
}

static inline void add_halves(sums_f64 *s, const v_u32 *sum, double W_k)
{
    v_f64 low, high;

    halves_f64((const v_i32 *)sum, &low, &high);
    add_class_f64(&s[0], &low, W_k);
    add_class_f64(&s[1], &high, W_k);
}

static void few_codes_heavy(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    sums_f64 s[FEW / LANES_64];
    uint32_t sum[FEW];

    memset(s, 0, sizeof s);
    for (size_t c = 0, begin = 0, end; c < rows->n_classes_here; c++, begin = end) {
        end = rows->class_end[c];
        sum_few(code, rows->weight, begin, end, sum);
        for (int i = 0; i < FEW; i += LANES_32) {
            v_u32 v;
            memcpy(&v, sum + i, sizeof v);
            add_halves(&s[i / LANES_64], &v, rows->class_weight[rows->label[begin]]);
        }
    }
    for (uint32_t c = 0; c < FEW; c += LANES_64) {
        v_f64 gain;
        gain_classes_f64(&s[c / LANES_64], (double)rows->sum_squares, rows->W, &gain);
        keep_block_f64(&gain, c, best);
    }
}

/* The lanes are rows, 64 at a time; classes of weight at most 255. */
static void pairs_classes(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    uint8_t l_k[64];
    v_f32 gain[PAIRS_LIMIT / LANES_32];
    bool above = false;

    for (size_t first = 0; first < rows->n; first += 64) {
        const size_t n = rows->n - first < 64 ? rows->n - first : 64, n_vectors = (n + LANES_32 - 1) / LANES_32;
        sums_f32 s[64 / LANES_32];

        for (size_t v = 0; v < n_vectors; v++)
            s[v].squares = s[v].A = s[v].l = (v_f32){0};
        for (size_t c = 0, begin = 0, end; c < rows->n_classes_here; c++, begin = end) {
            const float W_k = (float)rows->class_weight[rows->label[begin]];

            end = rows->class_end[c];
            sum_pairs(code, rows->weight, begin, end, code + first, n, l_k);
            for (size_t v = 0; v < n_vectors; v++) {
                v_f32 wide;
                WIDEN(l_k + LANES_32 * v, wide);
                add_class_f32(&s[v], &wide, W_k);
            }
        }
        for (size_t v = 0; v < n_vectors; v++) {
            v_f32 *g = &gain[first / LANES_32 + v];
            gain_classes_f32(&s[v], (float)rows->sum_squares, (float)rows->W, g);
            above |= ANY_ABOVE_f32(*g, (float)best->gain);
        }
    }
    if (above)
        keep_f32(gain, code, rows->n, best);
}

/* Tables of one class after the other; for many rows per class. */
static void table_classes_light(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    sums_f32 s[ML__MAX_CODES / LANES_32];
    uint32_t table[ML__MAX_CODES];
    const size_t n_cuts = (n_codes + 15) / 16 * 16;

    memset(s, 0, n_cuts / LANES_32 * sizeof *s);
    for (size_t here = 0, begin = 0, end; here < rows->n_classes_here; here++, begin = end) {
        const float W_k = (float)rows->class_weight[rows->label[begin]];
        v_u32 carry = {0}, l_k;
        v_f32 l;

        end = rows->class_end[here];
        memset(table, 0, n_cuts * sizeof *table);
        count_codes(code, rows->weight, begin, end, 0, table);
        for (size_t c = 0; c < n_cuts; c += LANES_32) {
            memcpy(&l_k, table + c, sizeof l_k);
            prefix_u32(&l_k, &carry);
            to_f32(&l_k, &l);
            add_class_f32(&s[c / LANES_32], &l, W_k);
        }
    }
    for (uint32_t c = 0; c < n_cuts; c += LANES_32) {
        v_f32 gain;
        gain_classes_f32(&s[c / LANES_32], (float)rows->sum_squares, (float)rows->W, &gain);
        keep_block_f32(&gain, c, best);
    }
}

static void table_classes_heavy(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    sums_f64 s[ML__MAX_CODES / LANES_64];
    uint32_t table[ML__MAX_CODES];
    const size_t n_cuts = (n_codes + 15) / 16 * 16;

    memset(s, 0, n_cuts / LANES_64 * sizeof *s);
    for (size_t here = 0, begin = 0, end; here < rows->n_classes_here; here++, begin = end) {
        const double W_k = rows->class_weight[rows->label[begin]];
        v_u32 carry = {0}, l_k;

        end = rows->class_end[here];
        memset(table, 0, n_cuts * sizeof *table);
        count_codes(code, rows->weight, begin, end, 0, table);
        for (size_t c = 0; c < n_cuts; c += LANES_32) {
            memcpy(&l_k, table + c, sizeof l_k);
            prefix_u32(&l_k, &carry);
            add_halves(&s[c / LANES_64], &l_k, W_k);
        }
    }
    for (uint32_t c = 0; c < n_cuts; c += LANES_64) {
        v_f64 gain;
        gain_classes_f64(&s[c / LANES_64], (double)rows->sum_squares, rows->W, &gain);
        keep_block_f64(&gain, c, best);
    }
}

/* Row numbers by code. */
static void order_by_code(const uint8_t *code, size_t n, uint32_t *order)
{
    uint32_t place[ML__MAX_CODES] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        place[code[i]]++;
    for (size_t c = 0; c < ML__MAX_CODES; c++) {
        const uint32_t count = place[c];
        place[c] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        order[place[code[i]]++] = (uint32_t)i;
}

static void keep_scanned(const ml__tree_rows *rows, uint64_t squares, uint64_t A, uint64_t l, uint32_t code,
                         ml__tree_cut *best)
{
    const uint64_t r = rows->W - l, squares_right = rows->sum_squares - 2 * A + squares;

    if (rows->W < ML__LIGHT_NODE) {
        const float gain = (float)squares / (float)l + (float)squares_right / (float)r;
        if (gain > (float)best->gain)
            put_cut(best, (double)gain, code);
    } else {
        const double gain = (double)squares / (double)l + (double)squares_right / (double)r;
        if (gain > best->gain)
            put_cut(best, gain, code);
    }
}

/* Row by row in the order of codes; for few rows per class. */
static void scan_classes(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    uint64_t squares = 0, A = 0, l = 0;

    order_by_code(code, rows->n, rows->order);
    for (size_t i = 0; i < rows->n; i++)
        rows->class_left[rows->label[i]] = 0;
    for (size_t p = 0; p < rows->n; p++) {
        const uint32_t i = rows->order[p];
        const uint64_t w = rows->weight[i], before = rows->class_left[rows->label[i]];

        squares += w * (2 * before + w);
        A += w * rows->class_weight[rows->label[i]];
        l += w;
        rows->class_left[rows->label[i]] = (uint32_t)(before + w);
        if (p + 1 < rows->n && code[rows->order[p + 1]] != code[i])
            keep_scanned(rows, squares, A, l, code[i], best);
    }
}

enum { TABLE_COST = 32 }; /* rows that a scan does while a table of a class is cleared and read */

static bool cut_classes(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (n_codes <= FEW)
        few_codes_heavy(rows, code, best);
    else if (rows->n <= PAIRS_LIMIT && rows->heaviest_class <= 255 && rows->W < ML__LIGHT_NODE)
        pairs_classes(rows, code, best);
    else if (rows->n / TABLE_COST < rows->n_classes_here)
        scan_classes(rows, code, best);
    else if (rows->W < ML__LIGHT_NODE)
        table_classes_light(rows, code, n_codes, best);
    else
        table_classes_heavy(rows, code, n_codes, best);
    return true;
}

/* Neighbouring features with few codes together. */
bool PUBLIC(tree_cut_classes)(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code,
                              const uint32_t *n_codes, ml__tree_cut *best)
{
    bool found = false;

    for (size_t f = 0, next; f < n_features; f = next) {
        const double before = best->gain;
        uint32_t column = 0;

        for (next = f; next < n_features && n_codes[next] <= FEW && rows->W < QUAD_WEIGHT;)
            next++;
        if (next > f) {
            found |= quads_classes(rows, next - f, code + f, best);
            column = best->column;
        } else
            found |= cut_classes(rows, code[next++], n_codes[f], best);
        if (best->gain > before)
            best->column = (uint32_t)f + column;
    }
    return found;
}

#include "kernel/trees_targets_tmpl.h"

/* ---- weights of any size ---- */

/* What each side has of a class: sum over the classes of (l_k r - r_k l)^2. */
static inline void add_class(const v_i64 *l_k, int64_t W_k, const v_f64 *l, const v_f64 *r, v_f64 *sum)
{
    const v_i64 r_k = W_k - *l_k;
    const v_f64 difference = __builtin_convertvector(*l_k, v_f64) * *r - __builtin_convertvector(r_k, v_f64) * *l;

    *sum += difference * difference;
}

void PUBLIC(tree_cut_table)(size_t K, size_t stride, const uint64_t *table, const uint64_t *class_weight,
                            ml__tree_cut *best)
{
    int64_t before[ML__MAX_CODES], W = 0; /* weight of each class at lower codes */
    v_i64 carry = {0};

    for (size_t k = 0; k < K; k++) {
        W += (int64_t)class_weight[k];
        before[k] = 0;
    }
    for (size_t first = 0; first < stride; first += LANES_64) {
        v_i64 left = {0}, l_k, last;
        v_f64 l, r, gain = {0};

        for (size_t k = 0; k < K; k++) {
            memcpy(&l_k, table + k * stride + first, sizeof l_k);
            left += l_k;
        }
        prefix_i64(&left, &carry);
        l = __builtin_convertvector(left, v_f64);
        r = __builtin_convertvector(W - left, v_f64);
        last = left;
        for (size_t k = 0; k + 1 < K; k++) {
            v_i64 sum = before[k] - (v_i64){0};
            memcpy(&l_k, table + k * stride + first, sizeof l_k);
            prefix_i64(&l_k, &sum);
            before[k] = sum[0];
            last -= l_k;
            add_class(&l_k, (int64_t)class_weight[k], &l, &r, &gain);
        }
        add_class(&last, (int64_t)class_weight[K - 1], &l, &r, &gain);
        gain = gain / (l * r);
        keep_block_f64(&gain, (uint32_t)first, best);
    }
}
