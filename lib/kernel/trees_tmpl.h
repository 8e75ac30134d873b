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
 *     MOVE_SMALL                    1: move_small() exists, for n <= 64
 *
 * Symbols   l, r weight of the sides; l_k, r_k of class k; S_l sum of products on the left; W, W_k, S of the node
 *           A = sum_k l_k W_k, so that sum_k r_k^2 = sum_k W_k^2 - 2 A + sum_k l_k^2
 *
 * A cut that leaves nothing on a side has gain 0 / 0, a NaN, which is above nothing.
 */

/* ---- several gains ---- */

/* The best of n lanes that are rows: the largest gain, of equals the lowest code. */
#define DEFINE_KEEP(P, REAL, V, LANES)                                                                      \
    static inline void keep_##P(const REAL *gain, const uint8_t *code, size_t n, ml__tree_cut *best)        \
    {                                                                                                       \
        REAL top = (REAL)best->gain;                                                                        \
        uint32_t at = ML__MAX_CODES;                                                                        \
                                                                                                            \
        for (size_t first = 0; first < n; first += LANES) {                                                 \
            const uint32_t here = n - first < LANES ? ((uint32_t)1 << (n - first)) - 1 : (1u << LANES) - 1; \
            V g;                                                                                            \
                                                                                                            \
            memcpy(&g, gain + first, sizeof g);                                                             \
            for (uint32_t lanes = LANES_FROM_##P(g, top) & here; lanes; lanes &= lanes - 1) {               \
                const size_t i = first + (size_t)__builtin_ctz(lanes);                                      \
                if (gain[i] > top || (gain[i] == top && code[i] < at && at < ML__MAX_CODES)) {              \
                    top = gain[i];                                                                          \
                    at = code[i];                                                                           \
                }                                                                                           \
            }                                                                                               \
        }                                                                                                   \
        if (at < ML__MAX_CODES)                                                                             \
            *best = (ml__tree_cut){(double)top, at};                                                        \
    }
DEFINE_KEEP(f32, float, v_f32, LANES_32)
DEFINE_KEEP(f64, double, v_f64, LANES_64)

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
            *best = (ml__tree_cut){(double)top, at};                                     \
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

enum { PAIRS_LIMIT = 128 }; /* up to here every row is compared with every other one: no table to clear and to read */

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

static inline void gain_two_f32(const v_f32 *l_0, const v_f32 *l, float W_0, float W, v_f32 *gain)
{
    const v_f32 difference = *l_0 * W - *l * W_0;

    *gain = difference * difference / (*l * (W - *l));
}

static inline void gain_two_f64(const v_f64 *l_0, const v_f64 *l, double W_0, double W, v_f64 *gain)
{
    const v_f64 difference = *l_0 * W - *l * W_0;

    *gain = difference * difference / (*l * (W - *l));
}

/* The lanes are rows, 64 at a time. */
static void pairs_two(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    uint8_t l_0[64], l_1[64];
    float gain[PAIRS_LIMIT];
    bool above = false;

    for (size_t first = 0; first < rows->n; first += 64) {
        const size_t n = rows->n - first < 64 ? rows->n - first : 64;

        sum_pairs(code, rows->weight, 0, rows->n_first, code + first, n, l_0);
        sum_pairs(code, rows->weight, rows->n_first, rows->n, code + first, n, l_1);
        for (size_t i = 0; i < n; i += LANES_32) {
            v_f32 a, l, g;

            WIDEN(l_0 + i, a);
            WIDEN(l_1 + i, l);
            l += a;
            gain_two_f32(&a, &l, (float)rows->W_first, (float)rows->W, &g);
            memcpy(gain + first + i, &g, sizeof g);
            above |= ANY_ABOVE_f32(g, (float)best->gain);
        }
    }
    if (above)
        keep_f32(gain, code, rows->n, best);
}

static inline void count_codes(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, uint32_t *table)
{
    size_t i = begin;

    for (; i + 8 <= end; i += 8) {
        uint64_t c, w;
        memcpy(&c, code + i, sizeof c);
        memcpy(&w, weight + i, sizeof w);
        for (int b = 0; b < 64; b += 8)
            table[(c >> b) & 255] += (uint32_t)(w >> b) & 255;
    }
    for (; i < end; i++)
        table[code[i]] += weight[i];
}

/* The gains of cuts first, first + 1, … from l_0 and l. */
static inline void keep_two(const ml__tree_rows *rows, const v_u32 *l_0, const v_u32 *l, uint32_t first,
                            ml__tree_cut *best)
{
    if (rows->W < ML__LIGHT_NODE) {
        v_f32 a, b, gain;

        to_f32(l_0, &a);
        to_f32(l, &b);
        gain_two_f32(&a, &b, (float)rows->W_first, (float)rows->W, &gain);
        keep_block_f32(&gain, first, best);
    } else {
        v_f64 a[2], b[2], gain;

        halves_f64((const v_i32 *)l_0, &a[0], &a[1]);
        halves_f64((const v_i32 *)l, &b[0], &b[1]);
        for (uint32_t h = 0; h < 2; h++) {
            gain_two_f64(&a[h], &b[h], rows->W_first, rows->W, &gain);
            keep_block_f64(&gain, first + LANES_64 * h, best);
        }
    }
}

static void table_two(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    uint32_t table_0[ML__MAX_CODES], table_1[ML__MAX_CODES];
    const size_t n = (n_codes + 15) / 16 * 16;
    v_u32 carry_0 = {0}, carry_1 = {0};

    memset(table_0, 0, n * sizeof *table_0);
    memset(table_1, 0, n * sizeof *table_1);
    count_codes(code, rows->weight, 0, rows->n_first, table_0);
    count_codes(code, rows->weight, rows->n_first, rows->n, table_1);
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

bool PUBLIC(tree_cut_two)(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (rows->n <= PAIRS_LIMIT && rows->W_first <= 255 && rows->W - rows->W_first <= 255)
        pairs_two(rows, code, best);
    else
        table_two(rows, code, n_codes, best);
    return true;
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
enum { FEW = 16, FEW_VECTORS = FEW / FEW_LANES, FEW_32 = FEW / LANES_32 };

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

static inline void widen_few(const few *v, float *to)
{
    uint16_t numbers[FEW];

    memcpy(numbers, v, sizeof numbers);
    for (int i = 0; i < FEW; i++)
        to[i] = numbers[i];
}

/* The gains of all cuts from the sums over all classes. */
static inline void keep_few_light(const ml__tree_rows *rows, const float *squares, const float *A, const float *l,
                                  ml__tree_cut *best)
{
    for (uint32_t c = 0; c < FEW; c += LANES_32) {
        sums_f32 s;
        v_f32 gain;

        memcpy(&s.squares, squares + c, sizeof s.squares);
        memcpy(&s.A, A + c, sizeof s.A);
        memcpy(&s.l, l + c, sizeof s.l);
        gain_classes_f32(&s, (float)rows->sum_squares, (float)rows->W, &gain);
        keep_block_f32(&gain, c, best);
    }
}

/* Weight at most 255: all sums have 16 bits, and a new class costs no branch: with a row of weight w the square of l_k
 * grows by w (2 l_k + w). */
static void few_codes_small(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    few squares = {0}, A = {0}, l_k = {0}, done = {0}, lanes;
    float sums[3][FEW];
    uint8_t before = rows->label[0];

    for (size_t i = 0; i < rows->n; i++) {
        const uint8_t k = rows->label[i];
        const uint16_t keep = k == before ? 0xffff : 0, W_k = (uint16_t)rows->class_weight[k];

        from_code(code[i], rows->weight[i], &lanes);
        for (int v = 0; v < FEW_VECTORS; v++) {
            done.v[v] += l_k.v[v] & (uint16_t)~keep;
            l_k.v[v] &= keep;
            squares.v[v] += lanes.v[v] * (l_k.v[v] + l_k.v[v] + lanes.v[v]);
            A.v[v] += lanes.v[v] * W_k;
            l_k.v[v] += lanes.v[v];
        }
        before = k;
    }
    for (int v = 0; v < FEW_VECTORS; v++)
        done.v[v] += l_k.v[v];
    widen_few(&squares, sums[0]);
    widen_few(&A, sums[1]);
    widen_few(&done, sums[2]);
    keep_few_light(rows, sums[0], sums[1], sums[2], best);
}

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

static void few_codes_light(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    float squares[FEW] = {0}, A[FEW] = {0}, l[FEW] = {0};
    uint32_t sum[FEW];

    for (size_t c = 0, begin = 0, end; c < rows->n_classes_here; c++, begin = end) {
        const float W_k = (float)rows->class_weight[rows->label[begin]];

        end = rows->class_end[c];
        sum_few(code, rows->weight, begin, end, sum);
        for (int i = 0; i < FEW; i++) {
            const float l_k = (float)(int32_t)sum[i];
            squares[i] += l_k * l_k;
            A[i] += l_k * W_k;
            l[i] += l_k;
        }
    }
    keep_few_light(rows, squares, A, l, best);
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
    float gain[PAIRS_LIMIT];
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
            v_f32 g;
            gain_classes_f32(&s[v], (float)rows->sum_squares, (float)rows->W, &g);
            memcpy(gain + first + LANES_32 * v, &g, sizeof g);
            above |= ANY_ABOVE_f32(g, (float)best->gain);
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
        count_codes(code, rows->weight, begin, end, table);
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
        count_codes(code, rows->weight, begin, end, table);
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
            *best = (ml__tree_cut){(double)gain, code};
    } else {
        const double gain = (double)squares / (double)l + (double)squares_right / (double)r;
        if (gain > best->gain)
            *best = (ml__tree_cut){gain, code};
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

enum {
    SMALL_CLASSES = 64, /* up to here a new class comes too often for a branch */
    TABLE_COST = 32     /* rows that a scan does while a table of a class is cleared and read */
};

bool PUBLIC(tree_cut_classes)(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (n_codes <= 16 && rows->W <= 255 && rows->n <= SMALL_CLASSES)
        few_codes_small(rows, code, best);
    else if (n_codes <= 16 && rows->W < ML__LIGHT_NODE)
        few_codes_light(rows, code, best);
    else if (n_codes <= 16)
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

/* ---- targets ---- */

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

/* The lanes are rows first, first + 1, …: sums of the rows whose codes are at most theirs. */
#define DEFINE_SUM_PRODUCTS(name, V)                                                                                \
    static inline void name(const ml__tree_rows *rows, const int32_t *wide, size_t first, int32_t *S_l, int32_t *l) \
    {                                                                                                               \
        V lanes, products = {0}, weights = {0};                                                                     \
                                                                                                                    \
        memcpy(&lanes, wide + first, sizeof lanes);                                                                 \
        for (size_t j = 0; j < rows->n; j++) {                                                                      \
            const V here = lanes >= wide[j];                                                                        \
            products += here & rows->products[j];                                                                   \
            weights += here & rows->weights[j];                                                                     \
        }                                                                                                           \
        memcpy(S_l + first, &products, sizeof products);                                                            \
        memcpy(l + first, &weights, sizeof weights);                                                                \
    }
DEFINE_SUM_PRODUCTS(sum_products_all, v_i32)
#if VECTOR_BYTES == 64
DEFINE_SUM_PRODUCTS(sum_products_half, half_i32)
#endif

static inline void sum_products(const ml__tree_rows *rows, const int32_t *wide, int32_t *S_l, int32_t *l)
{
#if VECTOR_BYTES == 64
    if (rows->n <= LANES_64) {
        sum_products_half(rows, wide, 0, S_l, l);
        return;
    }
#endif
    for (size_t first = 0; first < rows->n; first += LANES_32)
        sum_products_all(rows, wide, first, S_l, l);
}

static void pairs_targets(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    const size_t n = rows->n;
    int32_t wide[ML__SMALL_TARGETS], S_l[ML__SMALL_TARGETS], l[ML__SMALL_TARGETS];
    double gain[ML__SMALL_TARGETS];
    bool above = false;

    for (size_t first = 0; first < n; first += LANES_32) {
        v_i32 codes;
        WIDEN_i32(code + first, codes);
        memcpy(wide + first, &codes, sizeof codes);
    }
    sum_products(rows, wide, S_l, l);
    for (size_t first = 0; first < n; first += LANES_64) {
        half_i32 products, weights;
        v_f64 a, b, g;

        memcpy(&products, S_l + first, sizeof products);
        memcpy(&weights, l + first, sizeof weights);
        a = __builtin_convertvector(products, v_f64);
        b = __builtin_convertvector(weights, v_f64);
        gain_targets(&a, &b, (double)rows->S, rows->W, &g);
        memcpy(gain + first, &g, sizeof g);
        above |= ANY_ABOVE_f64(g, best->gain);
    }
    if (above)
        keep_f64(gain, code, n, best);
}

static void table_targets(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    int64_t table[ML__MAX_CODES];
    const size_t n = (n_codes + LANES_64 - 1) / LANES_64 * LANES_64;
    const int64_t mask = ((int64_t)1 << rows->shift) - 1;
    const uint64_t sign = (uint64_t)1 << 63;
    v_i64 carry = {0};

    memset(table, 0, n * sizeof *table);
    for (size_t i = 0; i < rows->n; i++)
        table[code[i]] += rows->packed[i];
    for (uint32_t c = 0; c < n; c += LANES_64) {
        v_i64 v, w, s;
        v_f64 S_l, l, gain;

        memcpy(&v, table + c, sizeof v);
        prefix_i64(&v, &carry);
        w = v & mask;
        /* v >> shift of signed numbers, which AVX2 has not */
        s = (v_i64)(((v_u64)v ^ sign) >> rows->shift) - (int64_t)(sign >> rows->shift);
        convert_i64(&s, &S_l);
        convert_i64(&w, &l);
        gain_targets(&S_l, &l, (double)rows->S, rows->W, &gain);
        keep_block_f64(&gain, c, best);
    }
}

bool PUBLIC(tree_cut_targets)(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (rows->products)
        pairs_targets(rows, code, best);
    else
        table_targets(rows, code, n_codes, best);
    return true;
}

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
