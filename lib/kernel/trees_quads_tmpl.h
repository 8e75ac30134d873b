/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Features with few codes, four at a time, for several classes. Included by kernel/trees_tmpl.h.
 *
 * Lane 4 c + f is the cut at code c of feature f. Codes are interleaved first, so that the four codes of a row are one word,
 * and a row is one comparison with all 64 lanes.
 */

enum {
    QUAD = 4, /* features at a time */
    QUAD_LANES = QUAD * FEW,
    QUAD_ROWS = 64,      /* up to here a new class comes too often for a branch */
    QUAD_WEIGHT = 32768, /* below, squares fit in 31 bits */
    QUAD_VECTORS_8 = QUAD_LANES / LANES_8,
    QUAD_VECTORS_32 = QUAD_LANES / LANES_32,
    QUAD_VECTORS_64 = QUAD_LANES / LANES_64,
    LANES_16 = VECTOR_BYTES / 2,
    QUAD_PIECE = 32 /* rows whose weights mostly sum to no more than a byte */
};

#define CUTS_4(c) c, c, c, c, c + 1, c + 1, c + 1, c + 1, c + 2, c + 2, c + 2, c + 2, c + 3, c + 3, c + 3, c + 3
static const uint8_t CUTS_8[QUAD_LANES] = {CUTS_4(0), CUTS_4(4), CUTS_4(8), CUTS_4(12)};
static const uint16_t CUTS_16[QUAD_LANES] = {CUTS_4(0), CUTS_4(4), CUTS_4(8), CUTS_4(12)};

/* The codes of four features for eight rows, from two interleaved pairs. */
static inline void put_quads(u8x16 ab, u8x16 cd, uint8_t *to)
{
    const u16x8 low = SHUFFLE((u16x8)ab, (u16x8)cd, 0, 8, 1, 9, 2, 10, 3, 11);
    const u16x8 high = SHUFFLE((u16x8)ab, (u16x8)cd, 4, 12, 5, 13, 6, 14, 7, 15);

    memcpy(to, &low, sizeof low);
    memcpy(to + sizeof low, &high, sizeof high);
}

/* quads[4 i + f] = code[f][i]; 16 rows at a time. */
static inline void interleave(const uint8_t *const *code, size_t n, uint8_t *quads)
{
    for (size_t i = 0; i < n; i += 16) {
        u8x16 a, b, c, d;

        memcpy(&a, code[0] + i, sizeof a);
        memcpy(&b, code[1] + i, sizeof b);
        memcpy(&c, code[2] + i, sizeof c);
        memcpy(&d, code[3] + i, sizeof d);
        put_quads(SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                  SHUFFLE(c, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), quads + QUAD * i);
        put_quads(SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                  SHUFFLE(c, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), quads + QUAD * (i + 8));
    }
}

/* Of the lanes with this gain, the first feature's lowest cut. */
static inline void keep_lane(uint64_t lanes, double gain, ml__tree_cut *best)
{
    for (uint32_t f = 0; f < QUAD; f++) {
        const uint64_t here = lanes & 0x1111111111111111u << f;

        if (here) {
            *best = (ml__tree_cut){gain, (uint32_t)__builtin_ctzll(here) / QUAD, f};
            return;
        }
    }
}

#define DEFINE_KEEP_QUAD(P, REAL, V, LANES, VECTORS)                      \
    static inline void keep_quad_##P(const V *gain, ml__tree_cut *best)   \
    {                                                                     \
        const REAL before = (REAL)best->gain;                             \
        V most = before - (V){0};                                         \
        uint64_t lanes = 0;                                               \
        REAL top;                                                         \
                                                                          \
        for (int v = 0; v < VECTORS; v++)                                 \
            most = LARGER_##P(gain[v], most);                             \
        top = LARGEST_##P(most);                                          \
        if (!(top > before))                                              \
            return;                                                       \
        for (int v = 0; v < VECTORS; v++)                                 \
            lanes |= (uint64_t)LANES_FROM_##P(gain[v], top) << LANES * v; \
        keep_lane(lanes, (double)top, best);                              \
    }
DEFINE_KEEP_QUAD(f32, float, v_f32, LANES_32, QUAD_VECTORS_32)
DEFINE_KEEP_QUAD(f64, double, v_f64, LANES_64, QUAD_VECTORS_64)

/* Sums of all classes in each lane, below 2^31, to the best cut. */
static inline void keep_quad(const ml__tree_rows *rows, const v_u32 *squares, const v_u32 *A, const v_u32 *l,
                             ml__tree_cut *best)
{
    if (rows->W < ML__LIGHT_NODE) {
        v_f32 gain[QUAD_VECTORS_32];

        for (int v = 0; v < QUAD_VECTORS_32; v++) {
            sums_f32 s;

            to_f32(&squares[v], &s.squares);
            to_f32(&A[v], &s.A);
            to_f32(&l[v], &s.l);
            gain_classes_f32(&s, (float)rows->sum_squares, (float)rows->W, &gain[v]);
        }
        keep_quad_f32(gain, best);
    } else {
        v_f64 gain[QUAD_VECTORS_64];

        for (int v = 0; v < QUAD_VECTORS_32; v++) {
            sums_f64 s[2];

            halves_f64((const v_i32 *)&squares[v], &s[0].squares, &s[1].squares);
            halves_f64((const v_i32 *)&A[v], &s[0].A, &s[1].A);
            halves_f64((const v_i32 *)&l[v], &s[0].l, &s[1].l);
            for (int h = 0; h < 2; h++)
                gain_classes_f64(&s[h], (double)rows->sum_squares, rows->W, &gain[2 * v + h]);
        }
        keep_quad_f64(gain, best);
    }
}

/* What a row has for all features, each number twice in a word, as 16 bits are: its weight; weight times that of its class;
 * is it of the same class as the row before? */
typedef struct {
    uint32_t w[QUAD_ROWS], A[QUAD_ROWS], same[QUAD_ROWS];
} quad_rows;

static inline void prepare_quads(const ml__tree_rows *rows, quad_rows *to)
{
    uint8_t before = rows->label[0];

    for (size_t i = 0; i < rows->n; i++) {
        const uint32_t w = rows->weight[i];

        to->w[i] = w * 0x10001u;
        to->A[i] = (w * rows->class_weight[rows->label[i]] & 0xffff) * 0x10001u;
        to->same[i] = 0 - (uint32_t)(rows->label[i] == before);
        before = rows->label[i];
    }
}

/* Sums over the classes for LANES_16 lanes, as the compiler keeps them in registers. */
typedef struct {
    v_u16 twice, squares, A, l;
} quad_sums;

static inline void add_quad(quad_sums *s, const v_u16 *cut, const v_u16 *codes, const v_u16 *w, const v_u16 *w_A,
                            const v_u16 *same)
{
    const MASK_16 left = AT_LEAST_16(*cut, *codes);

    s->twice &= *same;
    s->squares = ADD_WHERE_16(s->squares, left, (s->twice + *w) * *w);
    s->twice = ADD_WHERE_16(s->twice, left, *w + *w);
    s->A = ADD_WHERE_16(s->A, left, *w_A);
    s->l = ADD_WHERE_16(s->l, left, *w);
}

static inline void widen_quad(const v_u16 *v, v_u32 *low, v_u32 *high)
{
    half_u16 half[2];

    memcpy(half, v, sizeof half);
    *low = __builtin_convertvector(half[0], v_u32);
    *high = __builtin_convertvector(half[1], v_u32);
}

/* Weight at most 255: all sums have 16 bits, and a new class costs no branch. With a row of weight w the square of l_k
 * grows by w (2 l_k + w). */
static inline void quads_small(const ml__tree_rows *rows, const quad_rows *shared, const uint8_t *const *code,
                               ml__tree_cut *best)
{
    uint8_t quads[QUAD * (QUAD_ROWS + 16)];
    uint64_t wide[QUAD_ROWS + 16];
    v_u32 squares[QUAD_VECTORS_32], A[QUAD_VECTORS_32], l[QUAD_VECTORS_32];

    interleave(code, rows->n, quads);
    for (size_t i = 0; i < rows->n; i += 4) {
        u8x16 bytes;
        u16x16 words;

        memcpy(&bytes, quads + QUAD * i, sizeof bytes);
        words = __builtin_convertvector(bytes, u16x16);
        memcpy(wide + i, &words, sizeof words);
    }
    for (int v = 0; v < QUAD_VECTORS_32; v += 4) {
        quad_sums a = {{0}, {0}, {0}, {0}}, b = {{0}, {0}, {0}, {0}};
        v_u16 cut_a, cut_b;

        memcpy(&cut_a, CUTS_16 + v * LANES_32, sizeof cut_a);
        memcpy(&cut_b, CUTS_16 + v * LANES_32 + LANES_16, sizeof cut_b);
        for (size_t i = 0; i < rows->n; i++) {
            const v_u16 codes = (v_u16)(wide[i] - (v_u64){0}), w = (v_u16)(shared->w[i] - (v_u32){0});
            const v_u16 w_A = (v_u16)(shared->A[i] - (v_u32){0}), same = (v_u16)(shared->same[i] - (v_u32){0});

            add_quad(&a, &cut_a, &codes, &w, &w_A, &same);
            add_quad(&b, &cut_b, &codes, &w, &w_A, &same);
        }
        widen_quad(&a.squares, &squares[v], &squares[v + 1]);
        widen_quad(&b.squares, &squares[v + 2], &squares[v + 3]);
        widen_quad(&a.A, &A[v], &A[v + 1]);
        widen_quad(&b.A, &A[v + 2], &A[v + 3]);
        widen_quad(&a.l, &l[v], &l[v + 1]);
        widen_quad(&b.l, &l[v + 2], &l[v + 3]);
    }
    keep_quad(rows, squares, A, l, best);
}

/* Of rows from `begin` on, how many to add up in bytes: all up to `end` or a piece. */
static inline size_t piece_of(const uint8_t *weight, size_t begin, size_t end)
{
    uint32_t sum = 0;

    if (end - begin > QUAD_PIECE)
        end = begin + QUAD_PIECE;
    for (size_t i = begin; i < end; i++)
        sum += weight[i];
    return sum <= 255 ? end : begin + 1;
}

/* Class after class. */
static inline void quads_large(const ml__tree_rows *rows, const uint8_t *const *code, ml__tree_cut *best)
{
    v_u32 squares[QUAD_VECTORS_32] = {{0}}, A[QUAD_VECTORS_32] = {{0}}, l[QUAD_VECTORS_32] = {{0}};
    v_u8 cut[QUAD_VECTORS_8];
    const uint32_t *quads = rows->order;

    interleave(code, rows->n, (uint8_t *)rows->order);
    memcpy(cut, CUTS_8, sizeof cut);
    for (size_t c = 0, begin = 0; c < rows->n_classes_here; c++) {
        const uint32_t W_k = rows->class_weight[rows->label[begin]];
        const size_t end = rows->class_end[c];
        v_u32 l_k[QUAD_VECTORS_32] = {{0}};

        while (begin < end) {
            const size_t stop = W_k <= 255 ? end : piece_of(rows->weight, begin, end);
            v_u8 piece[QUAD_VECTORS_8] = {{0}};
            uint8_t bytes[QUAD_LANES];

            for (; begin < stop; begin++) {
                const v_u8 codes = (v_u8)(quads[begin] - (v_u32){0}), w = rows->weight[begin] - (v_u8){0};

                for (int v = 0; v < QUAD_VECTORS_8; v++)
                    ADD_WHERE_FROM_ALL(piece[v], cut[v], codes, w);
            }
            memcpy(bytes, piece, sizeof bytes);
            for (int v = 0; v < QUAD_VECTORS_32; v++) {
                v_i32 numbers;
                WIDEN_i32(bytes + v * LANES_32, numbers);
                l_k[v] += (v_u32)numbers;
            }
        }
        for (int v = 0; v < QUAD_VECTORS_32; v++) {
            squares[v] += l_k[v] * l_k[v];
            A[v] += l_k[v] * W_k;
            l[v] += l_k[v];
        }
    }
    keep_quad(rows, squares, A, l, best);
}

/* Features that all have few codes; not for the heaviest nodes. */
static bool quads_classes(const ml__tree_rows *rows, size_t n_features, const uint8_t *const *code, ml__tree_cut *best)
{
    const bool is_small = rows->n <= QUAD_ROWS && rows->W <= 255;
    quad_rows shared;
    ml__tree_cut top = {-1, 0, 0};

    if (is_small)
        prepare_quads(rows, &shared);
    for (size_t first = 0; first < n_features; first += QUAD) {
        const uint8_t *four[QUAD];
        const double before = top.gain;

        for (size_t f = 0; f < QUAD; f++)
            four[f] = code[first + f < n_features ? first + f : n_features - 1];
        if (is_small)
            quads_small(rows, &shared, four, &top);
        else
            quads_large(rows, four, &top);
        if (top.gain > before)
            top.column += (uint32_t)first;
    }
    if (top.gain > best->gain)
        *best = top;
    return top.gain >= 0;
}
