/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of trees, once per instruction set. The vectors are the compilers' own, of 64 bytes whatever the registers
 * are. The unit that includes this defines
 *
 *     PUBLIC(name)                  the name of a public function
 *     ADD_WHERE_AT_LEAST(sum, lanes, code, weight)   sum += weight in the lanes that are >= code (bytes)
 *     WIDEN(bytes, floats)          16 bytes to floats
 *     ANY_ABOVE_f32(v, x), ANY_ABOVE_f64(v, x)       is any lane above x? NaN is not
 *     COMPARE_64(code, cut)         bits of the 64 bytes at `code` that are <= cut
 *     CHOOSE_64(from, bits, to)     write the chosen ones of 64 bytes, and anything up to 64; `to` may be `from` or before
 *     CHOOSE_16_IDS(from, bits, to) the same for 16 numbers of four bytes
 *     MOVE_SMALL                    1: move_small() exists, for n <= 64
 *
 * Symbols   l, r weight of the sides; l_k, r_k of class k; S_l sum of products on the left; W, W_k, S of the node
 *           A = sum_k l_k W_k, so that sum_k r_k^2 = sum_k W_k^2 - 2 A + sum_k l_k^2
 *
 * A cut that leaves nothing on a side has gain 0 / 0, a NaN, which is above nothing.
 */

/* ---- several gains ---- */

/* The best of n lanes: the largest gain, of equals the lowest code. */
#define DEFINE_KEEP(P, REAL)                                                                                      \
    static inline void keep_##P(const REAL *gain, const uint8_t *code, size_t n, ml__tree_cut *best)                \
    {                                                                                                               \
        REAL top = (REAL)best->gain;                                                                                \
        uint32_t at = 0;                                                                                            \
        bool found = false;                                                                                         \
                                                                                                                    \
        for (size_t i = 0; i < n; i++) {                                                                            \
            if (gain[i] > top || (found && gain[i] == top && code[i] < at)) {                                       \
                top = gain[i];                                                                                      \
                at = code[i];                                                                                       \
                found = true;                                                                                       \
            }                                                                                                       \
        }                                                                                                           \
        if (found)                                                                                                  \
            *best = (ml__tree_cut){(double)top, at};                                                                \
    }
DEFINE_KEEP(f32, float)
DEFINE_KEEP(f64, double)

/* 16 gains of cuts at codes first, first + 1, … */
static inline void keep_block_f32(const f32x16 *gain, uint32_t first, ml__tree_cut *best)
{
    if (!ANY_ABOVE_f32(*gain, (float)best->gain))
        return;
    for (uint32_t i = 0; i < 16; i++)
        if ((*gain)[i] > (float)best->gain)
            *best = (ml__tree_cut){(double)(*gain)[i], first + i};
}

static inline void keep_block_f64(const f64x8 *gain, uint32_t first, ml__tree_cut *best)
{
    if (!ANY_ABOVE_f64(*gain, best->gain))
        return;
    for (uint32_t i = 0; i < 8; i++)
        if ((*gain)[i] > best->gain)
            *best = (ml__tree_cut){(*gain)[i], first + i};
}

/* Do the codes differ? */
static bool varies(const uint8_t *code, size_t n)
{
    uint8_t differs = 0;

    for (size_t i = 0; i < n; i++)
        differs |= code[i] ^ code[0];
    return differs;
}

/* v[i] += v[i - 1] + v[i - 2] + … + *carry; *carry = the last */
static inline void prefix_u32(u32x16 *v, u32x16 *carry)
{
    const u32x16 zero = {0};

    *v += __builtin_shufflevector(zero, *v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
    *v += __builtin_shufflevector(zero, *v, 0, 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29);
    *v += __builtin_shufflevector(zero, *v, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27);
    *v += __builtin_shufflevector(zero, *v, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
    *v += *carry;
    *carry = __builtin_shufflevector(*v, *v, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15);
}

static inline void prefix_i64(i64x8 *v, i64x8 *carry)
{
    const i64x8 zero = {0};

    *v += __builtin_shufflevector(zero, *v, 0, 8, 9, 10, 11, 12, 13, 14);
    *v += __builtin_shufflevector(zero, *v, 0, 1, 8, 9, 10, 11, 12, 13);
    *v += __builtin_shufflevector(zero, *v, 0, 1, 2, 3, 8, 9, 10, 11);
    *v += *carry;
    *carry = __builtin_shufflevector(*v, *v, 7, 7, 7, 7, 7, 7, 7, 7);
}

static inline void halves_f64(const u32x16 *v, f64x8 *low, f64x8 *high)
{
    const u32x8 a = __builtin_shufflevector(*v, *v, 0, 1, 2, 3, 4, 5, 6, 7);
    const u32x8 b = __builtin_shufflevector(*v, *v, 8, 9, 10, 11, 12, 13, 14, 15);

    *low = __builtin_convertvector(a, f64x8);
    *high = __builtin_convertvector(b, f64x8);
}

static inline void to_f32(const u32x16 *v, f32x16 *to)
{
    *to = __builtin_convertvector((i32x16)*v, f32x16);
}

/* ---- two classes ---- */

enum { PAIRS_LIMIT = 128 }; /* up to here every row is compared with every other one: no table to clear and to read */

/* Sums of the weights whose codes are at most the lane's. */
static inline void sum_pairs(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, const u8x64 *lanes,
                             u8x64 *sum)
{
    u8x64 s = *sum;

    for (size_t j = begin; j < end; j++)
        ADD_WHERE_AT_LEAST(s, *lanes, code[j], weight[j]);
    *sum = s;
}

static inline void gain_two_f32(const f32x16 *l_0, const f32x16 *l, float W_0, float W, f32x16 *gain)
{
    const f32x16 difference = *l_0 * W - *l * W_0;

    *gain = difference * difference / (*l * (W - *l));
}

static inline void gain_two_f64(const f64x8 *l_0, const f64x8 *l, double W_0, double W, f64x8 *gain)
{
    const f64x8 difference = *l_0 * W - *l * W_0;

    *gain = difference * difference / (*l * (W - *l));
}

/* The lanes are rows first to first + 63. */
static inline void pairs_two(const ml__tree_rows *rows, const uint8_t *code, size_t first, ml__tree_cut *best)
{
    const size_t n = rows->n - first < 64 ? rows->n - first : 64;
    u8x64 lanes, sum_0 = {0}, sum_1 = {0};
    uint8_t l_0[64], l_1[64];
    float gain[64];
    bool above = false;

    memcpy(&lanes, code + first, sizeof lanes);
    sum_pairs(code, rows->weight, 0, rows->n_first, &lanes, &sum_0);
    sum_pairs(code, rows->weight, rows->n_first, rows->n, &lanes, &sum_1);
    memcpy(l_0, &sum_0, sizeof l_0);
    memcpy(l_1, &sum_1, sizeof l_1);
    for (size_t i = 0; i < n; i += 16) {
        f32x16 a, l, g;

        WIDEN(l_0 + i, a);
        WIDEN(l_1 + i, l);
        l += a;
        gain_two_f32(&a, &l, (float)rows->W_first, (float)rows->W, &g);
        memcpy(gain + i, &g, sizeof g);
        above |= ANY_ABOVE_f32(g, (float)best->gain);
    }
    if (above)
        keep_f32(gain, code + first, n, best);
}

static void count_codes(const uint8_t *code, const uint8_t *weight, size_t begin, size_t end, uint32_t *table)
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

static void table_two(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    uint32_t table_0[ML__MAX_CODES], table_1[ML__MAX_CODES];
    const size_t n = (n_codes + 15) / 16 * 16;
    u32x16 carry_0 = {0}, carry_1 = {0};

    memset(table_0, 0, n * sizeof *table_0);
    memset(table_1, 0, n * sizeof *table_1);
    count_codes(code, rows->weight, 0, rows->n_first, table_0);
    count_codes(code, rows->weight, rows->n_first, rows->n, table_1);
    for (uint32_t c = 0; c < n; c += 16) {
        u32x16 l_0, l;

        memcpy(&l_0, table_0 + c, sizeof l_0);
        memcpy(&l, table_1 + c, sizeof l);
        prefix_u32(&l_0, &carry_0);
        prefix_u32(&l, &carry_1);
        l += l_0;
        if (rows->W < ML__LIGHT_NODE) {
            f32x16 a, b, gain;
            to_f32(&l_0, &a);
            to_f32(&l, &b);
            gain_two_f32(&a, &b, (float)rows->W_first, (float)rows->W, &gain);
            keep_block_f32(&gain, c, best);
        } else {
            f64x8 a[2], b[2], gain;
            halves_f64(&l_0, &a[0], &a[1]);
            halves_f64(&l, &b[0], &b[1]);
            for (uint32_t h = 0; h < 2; h++) {
                gain_two_f64(&a[h], &b[h], rows->W_first, rows->W, &gain);
                keep_block_f64(&gain, c + 8 * h, best);
            }
        }
    }
}

bool PUBLIC(tree_cut_two)(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (rows->n <= PAIRS_LIMIT && rows->W_first <= 255 && rows->W - rows->W_first <= 255)
        for (size_t first = 0; first < rows->n; first += 64)
            pairs_two(rows, code, first, best);
    else
        table_two(rows, code, n_codes, best);
    return true;
}

/* ---- several classes ---- */

/* Of 16 cuts: sums over the classes that are done. */
typedef struct {
    f32x16 squares, A, l;
} sums_f32;

typedef struct {
    f64x8 squares, A, l;
} sums_f64;

static inline void gain_classes_f32(const sums_f32 *s, float sum_squares, float W, f32x16 *gain)
{
    *gain = s->squares / s->l + (sum_squares - 2 * s->A + s->squares) / (W - s->l);
}

static inline void gain_classes_f64(const sums_f64 *s, double sum_squares, double W, f64x8 *gain)
{
    *gain = s->squares / s->l + (sum_squares - 2 * s->A + s->squares) / (W - s->l);
}

static inline void add_class_f32(sums_f32 *s, const f32x16 *l_k, float W_k)
{
    s->squares += *l_k * *l_k;
    s->A += *l_k * W_k;
    s->l += *l_k;
}

static inline void add_class_f64(sums_f64 *s, const f64x8 *l_k, double W_k)
{
    s->squares += *l_k * *l_k;
    s->A += *l_k * W_k;
    s->l += *l_k;
}

static const uint32_t FROM[31] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u,
                                  ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};

/* Lanes from `code` on are set. */
static inline void lanes_from(uint8_t code, u32x16 *lanes)
{
    memcpy(lanes, FROM + 15 - code, sizeof *lanes);
}

/* At most 16 codes: the lanes are the cuts. */
static void few_codes_light(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    sums_f32 s = {{0}, {0}, {0}};
    u32x16 sum = {0};
    f32x16 gain, l_k;
    const uint8_t *label = rows->label;

    for (size_t i = 0; i < rows->n; i++) {
        u32x16 lanes;

        if (i && label[i] != label[i - 1]) {
            to_f32(&sum, &l_k);
            add_class_f32(&s, &l_k, (float)rows->class_weight[label[i - 1]]);
            sum = (u32x16){0};
        }
        lanes_from(code[i], &lanes);
        sum += lanes & (uint32_t)rows->weight[i];
    }
    to_f32(&sum, &l_k);
    add_class_f32(&s, &l_k, (float)rows->class_weight[label[rows->n - 1]]);
    gain_classes_f32(&s, (float)rows->sum_squares, (float)rows->W, &gain);
    keep_block_f32(&gain, 0, best);
}

static void add_halves(sums_f64 *s, const u32x16 *sum, double W_k)
{
    f64x8 low, high;

    halves_f64(sum, &low, &high);
    add_class_f64(&s[0], &low, W_k);
    add_class_f64(&s[1], &high, W_k);
}

static void few_codes_heavy(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    sums_f64 s[2] = {{{0}, {0}, {0}}, {{0}, {0}, {0}}};
    u32x16 sum = {0};
    f64x8 gain;
    const uint8_t *label = rows->label;

    for (size_t i = 0; i < rows->n; i++) {
        u32x16 lanes;

        if (i && label[i] != label[i - 1]) {
            add_halves(s, &sum, rows->class_weight[label[i - 1]]);
            sum = (u32x16){0};
        }
        lanes_from(code[i], &lanes);
        sum += lanes & (uint32_t)rows->weight[i];
    }
    add_halves(s, &sum, rows->class_weight[label[rows->n - 1]]);
    for (uint32_t h = 0; h < 2; h++) {
        gain_classes_f64(&s[h], (double)rows->sum_squares, rows->W, &gain);
        keep_block_f64(&gain, 8 * h, best);
    }
}

/* At most 64 rows of weight at most 255: the lanes are the rows. */
static void pairs_classes(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    const size_t n = rows->n, n_vectors = (n + 15) / 16;
    sums_f32 s[4] = {{{0}, {0}, {0}}, {{0}, {0}, {0}}, {{0}, {0}, {0}}, {{0}, {0}, {0}}};
    u8x64 lanes, sum;
    uint8_t l_k[64];
    float gain[64];
    bool above = false;

    memcpy(&lanes, code, sizeof lanes);
    for (size_t begin = 0, end; begin < n; begin = end) {
        const uint8_t k = rows->label[begin];

        for (end = begin + 1; end < n && rows->label[end] == k;)
            end++;
        sum = (u8x64){0};
        sum_pairs(code, rows->weight, begin, end, &lanes, &sum);
        memcpy(l_k, &sum, sizeof l_k);
        for (size_t v = 0; v < n_vectors; v++) {
            f32x16 wide;
            WIDEN(l_k + 16 * v, wide);
            add_class_f32(&s[v], &wide, (float)rows->class_weight[k]);
        }
    }
    for (size_t v = 0; v < n_vectors; v++) {
        f32x16 g;
        gain_classes_f32(&s[v], (float)rows->sum_squares, (float)rows->W, &g);
        memcpy(gain + 16 * v, &g, sizeof g);
        above |= ANY_ABOVE_f32(g, (float)best->gain);
    }
    if (above)
        keep_f32(gain, code, n, best);
}

/* Tables of one class after the other; for many rows per class. */
static void table_classes(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    sums_f64 s[ML__MAX_CODES / 8];
    uint32_t table[ML__MAX_CODES];
    const size_t n_cuts = (n_codes + 15) / 16 * 16;
    f64x8 gain;

    memset(s, 0, n_cuts / 8 * sizeof *s);
    for (size_t begin = 0, end; begin < rows->n; begin = end) {
        const uint8_t k = rows->label[begin];
        u32x16 carry = {0}, l_k;

        for (end = begin + 1; end < rows->n && rows->label[end] == k;)
            end++;
        memset(table, 0, n_cuts * sizeof *table);
        count_codes(code, rows->weight, begin, end, table);
        for (size_t c = 0; c < n_cuts; c += 16) {
            memcpy(&l_k, table + c, sizeof l_k);
            prefix_u32(&l_k, &carry);
            add_halves(&s[c / 8], &l_k, rows->class_weight[k]);
        }
    }
    for (uint32_t c = 0; c < n_cuts; c += 8)
        if (rows->W < ML__LIGHT_NODE) {
            for (uint32_t i = 0; i < 8; i++) {
                const float l = (float)s[c / 8].l[i], squares = (float)s[c / 8].squares[i];
                const float g = squares / l + ((float)rows->sum_squares - 2 * (float)s[c / 8].A[i] + squares) /
                                                  ((float)rows->W - l);
                if (g > (float)best->gain)
                    *best = (ml__tree_cut){(double)g, c + i};
            }
        } else {
            gain_classes_f64(&s[c / 8], (double)rows->sum_squares, rows->W, &gain);
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

enum { TABLE_COST = 64 }; /* rows that a scan does while a table of a class is cleared and read */

bool PUBLIC(tree_cut_classes)(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    if (!varies(code, rows->n))
        return false;
    if (n_codes <= 16 && rows->W < ML__LIGHT_NODE)
        few_codes_light(rows, code, best);
    else if (n_codes <= 16)
        few_codes_heavy(rows, code, best);
    else if (rows->n <= 64 && rows->W <= 255)
        pairs_classes(rows, code, best);
    else if (rows->n / TABLE_COST >= rows->n_classes_here)
        table_classes(rows, code, n_codes, best);
    else
        scan_classes(rows, code, best);
    return true;
}

/* ---- targets ---- */

/* Added to an integer of less than 51 bits, as an integer, it is the bits of that number plus 1.5 2^52. */
static const double ROUND = 0x1.8p52;

static inline void convert_i64(const i64x8 *v, f64x8 *to)
{
    const f64x8 round = ROUND - (f64x8){0};

    *to = (f64x8)(*v + (i64x8)round) - round;
}

static inline void gain_targets(const f64x8 *S_l, const f64x8 *l, double S, double W, f64x8 *gain)
{
    const f64x8 difference = *S_l * W - *l * S;

    *gain = difference * difference / (*l * (W - *l));
}

/* The lanes are rows. */
static void pairs_targets(const ml__tree_rows *rows, const uint8_t *code, ml__tree_cut *best)
{
    const size_t n = rows->n;
    int32_t wide[ML__SMALL_TARGETS + 16];
    double gain[ML__SMALL_TARGETS];
    bool above = false;

    for (size_t i = 0; i < (n + 15) / 16 * 16; i++)
        wide[i] = i < n ? code[i] : 255;
    for (size_t first = 0; first < n; first += 16) {
        i32x16 lanes, S_l = {0}, l = {0};

        memcpy(&lanes, wide + first, sizeof lanes);
        for (size_t j = 0; j < n; j++) {
            const i32x16 here = lanes >= wide[j];
            S_l += here & rows->products[j];
            l += here & rows->weights[j];
        }
        for (int h = 0; h < 2; h++) {
            f64x8 a, b, g;
            i32x8 s = h ? __builtin_shufflevector(S_l, S_l, 8, 9, 10, 11, 12, 13, 14, 15)
                        : __builtin_shufflevector(S_l, S_l, 0, 1, 2, 3, 4, 5, 6, 7);
            i32x8 w = h ? __builtin_shufflevector(l, l, 8, 9, 10, 11, 12, 13, 14, 15)
                        : __builtin_shufflevector(l, l, 0, 1, 2, 3, 4, 5, 6, 7);
            a = __builtin_convertvector(s, f64x8);
            b = __builtin_convertvector(w, f64x8);
            gain_targets(&a, &b, (double)rows->S, rows->W, &g);
            memcpy(gain + first + 8 * h, &g, sizeof g);
            above |= ANY_ABOVE_f64(g, best->gain);
        }
    }
    if (above)
        keep_f64(gain, code, n, best);
}

static void table_targets(const ml__tree_rows *rows, const uint8_t *code, size_t n_codes, ml__tree_cut *best)
{
    int64_t table[ML__MAX_CODES];
    const size_t n = (n_codes + 7) / 8 * 8;
    const int64_t mask = ((int64_t)1 << rows->shift) - 1;
    i64x8 carry = {0};

    memset(table, 0, n * sizeof *table);
    for (size_t i = 0; i < rows->n; i++)
        table[code[i]] += rows->packed[i];
    for (uint32_t c = 0; c < n; c += 8) {
        i64x8 v, w, s;
        f64x8 S_l, l, gain;

        memcpy(&v, table + c, sizeof v);
        prefix_i64(&v, &carry);
        w = v & mask;
        s = v >> (int64_t)rows->shift;
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

static inline int64_t rounded(double x)
{
    const double shifted = x + ROUND;
    int64_t bits, offset;

    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&offset, &ROUND, sizeof offset);
    return bits - offset;
}

int64_t PUBLIC(tree_products)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,
                              double scale, int32_t *products, int32_t *weights)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const int64_t product = rounded((t[ids[i]] - centre) * scale) * weight[i];
        products[i] = (int32_t)product;
        weights[i] = weight[i];
        sum += product;
    }
    return sum;
}

int64_t PUBLIC(tree_pack)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,
                          double scale, uint32_t shift, int64_t *packed)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const int64_t product = rounded((t[ids[i]] - centre) * scale) * weight[i];
        packed[i] = product * ((int64_t)1 << shift) + weight[i];
        sum += product;
    }
    return sum;
}

/* ---- columns ---- */

void PUBLIC(tree_encode)(size_t n, const float *x, const float *cuts, uint8_t *code)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t at = 0;

        for (uint32_t step = 128; step; step >>= 1)
            at += step & -(uint32_t)(cuts[at + step - 1] < x[i]);
        code[i] = (uint8_t)at;
    }
}

size_t PUBLIC(tree_compare)(size_t n, const uint8_t *code, uint32_t cut, uint64_t *left)
{
    size_t n_left = 0;

    for (size_t i = 0; i < n; i += 64) {
        uint64_t bits = COMPARE_64(code + i, (uint8_t)cut);

        if (n - i < 64)
            bits &= ((uint64_t)1 << (n - i)) - 1;
        left[i / 64] = bits;
        n_left += (size_t)__builtin_popcountll(bits);
    }
    return n_left;
}

static inline uint64_t first_bits(size_t n)
{
    return n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
}

static void move_large(size_t n, uint8_t *column, const uint64_t *left, uint8_t *spare)
{
    uint8_t last[128], *to = column;
    size_t n_right = 0, i = 0;

    for (; i + 64 <= n; i += 64) {
        const uint64_t bits = left[i / 64];

        CHOOSE_64(column + i, ~bits, spare + n_right);
        n_right += (size_t)__builtin_popcountll(~bits);
        CHOOSE_64(column + i, bits, to);
        to += __builtin_popcountll(bits);
    }
    if (i < n) {
        const uint64_t bits = left[i / 64], right = ~bits & first_bits(n - i);

        CHOOSE_64(column + i, right, spare + n_right);
        n_right += (size_t)__builtin_popcountll(right);
        CHOOSE_64(column + i, bits, last);
        memcpy(to, last, (size_t)__builtin_popcountll(bits));
        to += __builtin_popcountll(bits);
    }
    memcpy(to, spare, n_right);
}

void PUBLIC(tree_move)(size_t n, size_t n_columns, uint8_t *columns, size_t stride, const uint64_t *left,
                       uint8_t *spare)
{
#if MOVE_SMALL
    if (n <= 64) {
        move_small(n, n_columns, columns, stride, left[0]);
        return;
    }
#endif
    for (size_t j = 0; j < n_columns; j++)
        move_large(n, columns + j * stride, left, spare);
}

void PUBLIC(tree_move_ids)(size_t n, uint32_t *ids, const uint64_t *left, uint32_t *spare)
{
    uint32_t last[32], *to = ids;
    size_t n_right = 0, i = 0;

    for (; i < n; i += 16) {
        const uint32_t here = n - i < 16 ? ((uint32_t)1 << (n - i)) - 1 : 0xffff;
        const uint32_t bits = (uint32_t)(left[i / 64] >> (i % 64)) & 0xffff, right = ~bits & here;
        const size_t n_left = (size_t)__builtin_popcount(bits);

        CHOOSE_16_IDS(ids + i, right, here, spare + n_right);
        n_right += (size_t)__builtin_popcount(right);
        CHOOSE_16_IDS(ids + i, bits, here, last);
        memcpy(to, last, n_left * sizeof *to);
        to += n_left;
    }
    memcpy(to, spare, n_right * sizeof *to);
}

size_t PUBLIC(tree_choose)(size_t n, const uint8_t *from, const uint64_t *chosen, uint8_t *to)
{
    size_t n_chosen = 0;

    for (size_t i = 0; i < n; i += 64) {
        const uint64_t bits = chosen[i / 64] & first_bits(n - i);

        CHOOSE_64(from + i, bits, to + n_chosen);
        n_chosen += (size_t)__builtin_popcountll(bits);
    }
    return n_chosen;
}

uint64_t PUBLIC(tree_sum)(size_t n, const uint8_t *weight)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += weight[i];
    return sum;
}
