/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of kernel/mixture.h of a vector instruction set, written once. No include guard: a unit includes this after
 * kernel/vector_tmpl.h for double, with
 *     MIXTURE(f)       the cross-file name of operation f
 *     MIXTURE_TALL     components of the largest tile of sums: 4 with 16 registers, 8 with 32
 *     MIXTURE_KEEP(v)  v has to be in a register: the compiler would load it again for each multiply-add
 *
 * Pairs    of features are multiplied where their products are used: with weights as sum over a of t_a sum over b of
 *          W_ab t_b, which takes no more multiply-adds than products that were stored; in sums once for each tile.
 * Sums     of a tile of components times statistics stay in registers over all columns of a block, then are added to the
 *          partial sums lane by lane: lanes are not added up before the last block.
 */
#include "kernel/gemm.h"

enum { LINE = 64 }; /* bytes that are fetched at once */

/* ---- statistics ---- */

/* T[d x ldt] = X[n x d]', 0 behind column n. */
static void transpose_rows(size_t n, size_t d, const double *X, double *T, size_t ldt)
{
    const size_t whole = d >= GROUP_f64 ? n / LANES_f64 * LANES_f64 : 0;
    const char *ahead = (const char *)(X + n * d); /* the next block, a line for each group of features */

    for (size_t i = 0; i < whole; i += LANES_f64)
        for (size_t j = 0; j < d; j += GROUP_f64) {
            const size_t from = group_start_f64(j, d);

            for (size_t line = 0; line < LANES_f64 * GROUP_f64 * sizeof *X; line += LINE) {
                __builtin_prefetch(ahead, 0, 2);
                ahead += LINE;
            }
            transpose_group_f64(X + i * d + from, d, T + from * ldt + i, ldt);
        }
    for (size_t j = 0; j < d; j++) {
        for (size_t i = whole; i < n; i++)
            T[j * ldt + i] = X[i * d + j];
        for (size_t i = n; i < ml__whole_groups(n); i++)
            T[j * ldt + i] = 0;
    }
}

static void fill_columns(size_t n, double value, double *t)
{
    for (size_t i = 0; i < n; i += LANES_f64)
        store_f64(t + i, set_f64(value));
}

static void square_columns(size_t n, const double *x, double *t)
{
    for (size_t i = 0; i < n; i += LANES_f64)
        store_f64(t + i, load_f64(x + i) * load_f64(x + i));
}

static void norms_of_columns(size_t n, size_t d, const double *X, size_t ldx, double *t)
{
    for (size_t i = 0; i < n; i += LANES_f64) {
        vec_f64 sum = set_f64(0);

        for (size_t j = 0; j < d; j++)
            sum = fma_f64(load_f64(X + j * ldx + i), load_f64(X + j * ldx + i), sum);
        store_f64(t + i, sum);
    }
}

/* Where x is a number, and x with 0 for NaN. */
static void observe_columns(size_t n, double *x, double *seen)
{
    for (size_t i = 0; i < n; i += LANES_f64) {
        const vec_f64 value = load_f64(x + i), zero = set_f64(0);
        const mask_f64 is_seen = less_f64(value, set_f64(INFINITY));

        store_f64(seen + i, select_f64(is_seen, set_f64(1), zero));
        store_f64(x + i, select_f64(is_seen, value, zero));
    }
}

void MIXTURE(mixture_statistics)(ml__squares squares, size_t n, size_t d, const double *X, double *T, size_t ldt)
{
    const size_t n_columns = ml__whole_groups(n);
    double *x = T + (squares == ML__OBSERVED ? 1 + d : 1) * ldt, *t = x + d * ldt;

    fill_columns(n_columns, 1, T);
    transpose_rows(n, d, X, x, ldt);
    for (size_t j = 0; j < d && squares == ML__OBSERVED; j++)
        observe_columns(n_columns, x + j * ldt, T + (1 + j) * ldt);
    if (squares == ML__NORM)
        norms_of_columns(n_columns, d, x, ldt, t);
    for (size_t i = 0; i < d && squares >= ML__SQUARES; i++)
        square_columns(n_columns, x + i * ldt, t + i * ldt);
}

/* ---- products of pairs, times weights ---- */

#define ML__QUAD_BEGIN(i, v, V) vec_f64 q##i##_##v = set_f64(W[i * p]);
#define ML__QUAD_BEGIN_ROW(i, V) ML__VECTORS_##V(ML__QUAD_BEGIN, i, V)
#define ML__QUAD_START(i, v, V) vec_f64 c##i##_##v = set_f64(W[i * p]);
#define ML__QUAD_START_ROW(i, V) ML__VECTORS_##V(ML__QUAD_START, i, V)
#define ML__QUAD_LOAD(i, v, V)                  \
    vec_f64 t##v = load_f64(t + v * LANES_f64); \
    MIXTURE_KEEP(t##v);
#define ML__QUAD_TERM_ROW(i, V)             \
    {                                       \
        vec_f64 r = set_f64(W[i * p]);      \
        MIXTURE_KEEP(r);                    \
        ML__VECTORS_##V(ML__MIX_TERM, i, V) \
    }
#define ML__QUAD_CLOSE(i, v, V) q##i##_##v = fma_f64(t##v, c##i##_##v, q##i##_##v);
#define ML__QUAD_CLOSE_ROW(i, V) ML__VECTORS_##V(ML__QUAD_CLOSE, i, V)
#define ML__QUAD_STORE(i, v, V) store_f64(L + i * ldl + v * LANES_f64, q##i##_##v);
#define ML__QUAD_STORE_ROW(i, V) ML__VECTORS_##V(ML__QUAD_STORE, i, V)
#define ML__MIX_TERM(i, v, V) c##i##_##v = fma_f64(r, t##v, c##i##_##v);

/* M components, V vectors of columns: sum over a of t_a times the sum over b <= a of W_ab t_b */
#define ML__QUAD_TILE(M, V)                                                                                 \
    static void quad_##M##_##V(size_t d, const double *W, size_t p, const double *T, size_t ldt, double *L, \
                               size_t ldl)                                                                  \
    {                                                                                                       \
        ML__ROWS_##M(ML__QUAD_BEGIN_ROW, V) W++;                                                            \
        for (size_t a = 1; a <= d; a++) {                                                                   \
            const double *t = T;                                                                            \
            ML__ROWS_##M(ML__QUAD_START_ROW, V) W++;                                                        \
            for (size_t b = 1; b < a; b++, W++) {                                                           \
                t += ldt;                                                                                   \
                ML__VECTORS_##V(ML__QUAD_LOAD, 0, V) ML__ROWS_##M(ML__QUAD_TERM_ROW, V)                     \
            }                                                                                               \
            t += ldt;                                                                                       \
            ML__VECTORS_##V(ML__QUAD_LOAD, 0, V) ML__ROWS_##M(ML__QUAD_TERM_ROW, V) W++;                    \
            ML__ROWS_##M(ML__QUAD_CLOSE_ROW, V)                                                             \
        }                                                                                                   \
        ML__ROWS_##M(ML__QUAD_STORE_ROW, V)                                                                 \
    }

/* Sums and their parts fill the registers. */
#if MIXTURE_TALL > 4
#define QUAD_WIDE 4
ML__QUAD_TILE(1, 4)
ML__QUAD_TILE(2, 4)
ML__QUAD_TILE(3, 4)
#else
#define QUAD_WIDE 2
ML__QUAD_TILE(1, 2)
ML__QUAD_TILE(2, 2)
ML__QUAD_TILE(3, 2)
#endif
ML__QUAD_TILE(1, 1)
ML__QUAD_TILE(2, 1)
ML__QUAD_TILE(3, 1)

enum { QUAD_TALL = 3 };

void MIXTURE(mixture_quadratics)(size_t k, size_t d, size_t n, const double *W, const double *T, size_t ldt, double *L,
                                 size_t ldl)
{
    typedef void quad_tile(size_t d, const double *W, size_t p, const double *T, size_t ldt, double *L, size_t ldl);
#if QUAD_WIDE == 4
    static quad_tile *const TILES[QUAD_TALL][2] = {{quad_1_1, quad_1_4}, {quad_2_1, quad_2_4}, {quad_3_1, quad_3_4}};
#else
    static quad_tile *const TILES[QUAD_TALL][2] = {{quad_1_1, quad_1_2}, {quad_2_1, quad_2_2}, {quad_3_1, quad_3_2}};
#endif
    const size_t p = (1 + d) * (2 + d) / 2, step = even_blocks(k, QUAD_TALL, 1), end = ml__whole_groups(n);

    for (size_t i = 0, wide; i < end; i += wide) {
        wide = end - i >= QUAD_WIDE * LANES_f64 ? QUAD_WIDE * LANES_f64 : LANES_f64;
        for (size_t c = 0; c < k; c += step)
            TILES[min(step, k - c) - 1][wide > LANES_f64](d, W + c * p, p, T + i, ldt, L + c * ldl + i, ldl);
    }
}

/* ---- shares ---- */

static const double LOWEST = -708;       /* whose exp is normal */
static const double ROUND_16 = 0x1.8p48; /* added, it rounds to sixteenths, whose number is then in the low bits */

/* exp(x) for x <= 0 and NaN, 0 where it would be below 2^-1021: 2^n (1 + r + r^2 Q(r)), n = round(16 x log2(e)) / 16. */
static inline vec_f64 falling_exp(vec_f64 x)
{
    const vec_f64 lowest = set_f64(LOWEST), magic = set_f64(ROUND_16);
    const mask_f64 is_low = less_f64(x, lowest);

    x = max_f64(lowest, x);
    const vec_f64 rounded = fma_f64(x, set_f64(LOG2_E_f64), magic), n = rounded - magic;
    const vec_f64 r = fma_f64(n, set_f64(-LN2_16_LOW_f64), fma_f64(n, set_f64(-LN2_16_HIGH_f64), x));
    const double *c = EXP_16_f64;
    const vec_f64 r2 = r * r, low = fma_f64(set_f64(c[1]), r, set_f64(c[0])),
                  high = fma_f64(set_f64(c[4]), r2, fma_f64(set_f64(c[3]), r, set_f64(c[2])));
    const vec_f64 p = fma_f64(r2, fma_f64(r2, high, low), r), power = sixteenths_f64(rounded);

    return zero_where_f64(is_low, fma_f64(power, p, power));
}

/* Of `sets` vectors of columns at L: their exponentials less the largest, which is `shift`, and the sums of these. */
INLINE void raise_columns(int sets, size_t k, double *L, size_t ldl, vec_f64 *shift, vec_f64 *total)
{
#pragma GCC unroll 2
    for (int v = 0; v < sets; v++) {
        shift[v] = set_f64(-INFINITY);
        total[v] = set_f64(0);
    }
    for (size_t c = 0; c < k; c++)
#pragma GCC unroll 2
        for (int v = 0; v < sets; v++)
            shift[v] = max_f64(load_f64(L + c * ldl + v * LANES_f64), shift[v]);
#pragma GCC unroll 2
    for (int v = 0; v < sets; v++)
        shift[v] = select_f64(less_f64(set_f64(-INFINITY), shift[v]), shift[v], set_f64(0));
    for (size_t c = 0; c < k; c++)
#pragma GCC unroll 2
        for (int v = 0; v < sets; v++) {
            const vec_f64 e = falling_exp(load_f64(L + c * ldl + v * LANES_f64) - shift[v]);

            store_f64(L + c * ldl + v * LANES_f64, e);
            total[v] += e;
        }
}

/* Equal exponentials where all are 0; returns the sums. The largest of a column is 1, unless all are 0 or one is NaN. */
static inline vec_f64 fill_empty_columns(size_t k, double *L, size_t ldl, vec_f64 total)
{
    const vec_f64 one = set_f64(1);
    const mask_f64 is_empty = less_f64(total, one);

    if (all_within_f64(total, one, set_f64(INFINITY)))
        return total;
    for (size_t c = 0; c < k; c++)
        store_f64(L + c * ldl, select_f64(is_empty, one, load_f64(L + c * ldl)));
    return select_f64(is_empty, set_f64((double)k), total);
}

/* Of `sets` vectors of columns at L, a literal, with weights w: two wait less for each other's steps. */
INLINE void share_columns_of(int sets, size_t k, double *L, size_t ldl, const vec_f64 *w, vec_f64 *lse)
{
    vec_f64 shift[2], total[2];

    raise_columns(sets, k, L, ldl, shift, total);
#pragma GCC unroll 2
    for (int v = 0; v < sets; v++) {
        lse[v] = shift[v] + log_f64(total[v]);
        total[v] = w[v] / fill_empty_columns(k, L + v * LANES_f64, ldl, total[v]);
    }
    for (size_t c = 0; c < k; c++)
#pragma GCC unroll 2
        for (int v = 0; v < sets; v++)
            store_f64(L + c * ldl + v * LANES_f64, load_f64(L + c * ldl + v * LANES_f64) * total[v]);
}

/* The same of two components, whose difference is finite: the larger exponential is 1. */
static inline vec_f64 share_two_columns_of(double *L, double *L1, vec_f64 difference, vec_f64 w)
{
    const vec_f64 one = set_f64(1), zero = set_f64(0), e = falling_exp(-abs_f64(difference)), total = one + e;
    const mask_f64 is_second = less_f64(zero, difference);
    const vec_f64 lse = select_f64(is_second, load_f64(L1), load_f64(L)) + log_f64(total);

    w = w / total;
    store_f64(L, select_f64(is_second, e, one) * w);
    store_f64(L1, select_f64(is_second, one, e) * w);
    return lse;
}

static inline vec_f64 share_vector(size_t k, double *L, size_t ldl, vec_f64 w)
{
    vec_f64 lse;

    if (k == 2) {
        const vec_f64 difference = load_f64(L + ldl) - load_f64(L);

        if (all_within_f64(difference, set_f64(-DBL_MAX), set_f64(INFINITY)))
            return share_two_columns_of(L, L + ldl, difference, w);
    }
    share_columns_of(1, k, L, ldl, &w, &lse);
    return lse;
}

static inline void share_vectors(size_t k, double *L, size_t ldl, const double *w, double *lse)
{
    const vec_f64 weights[2] = {load_f64(w), load_f64(w + LANES_f64)};
    vec_f64 sums[2];

    share_columns_of(2, k, L, ldl, weights, sums);
    store_f64(lse, sums[0]);
    store_f64(lse + LANES_f64, sums[1]);
}

void MIXTURE(mixture_shares)(size_t k, size_t n, double *L, size_t ldl, const double *w, double *lse)
{
    size_t i = 0;

    for (; k > 2 && i + 2 * LANES_f64 <= n; i += 2 * LANES_f64)
        share_vectors(k, L + i, ldl, w + i, lse + i);
    for (; i + LANES_f64 <= n; i += LANES_f64)
        store_f64(lse + i, share_vector(k, L + i, ldl, load_f64(w + i)));
    if (i < n)
        store_first_f64(lse + i, n - i, share_vector(k, L + i, ldl, load_first_f64(w + i, n - i)));
    for (size_t c = 0; c < k; c++)
        for (size_t j = n; j < ml__whole_groups(n); j++)
            L[c * ldl + j] = 0;
}

/* ---- sums ---- */

#define ML__MIX_DECLARE(i, v, V) vec_f64 c##i##_##v = set_f64(0);
#define ML__MIX_DECLARE_ROW(i, V) ML__VECTORS_##V(ML__MIX_DECLARE, i, V)
#define ML__MIX_LOAD(i, v, V) const vec_f64 t##v = load_f64(s->T + v * s->ldt + j);
#define ML__MIX_LOAD_PAIR(i, v, V) const vec_f64 t##v = load_f64(s->pairs[v][0] + j) * load_f64(s->pairs[v][1] + j);
#define ML__MIX_TERM_ROW(i, V)                 \
    {                                          \
        vec_f64 r = load_f64(R + i * ldr + j); \
        MIXTURE_KEEP(r);                       \
        ML__VECTORS_##V(ML__MIX_TERM, i, V)    \
    }
#define ML__MIX_ADD(i, v, V) store_f64(P + v * LANES_f64, load_f64(P + v * LANES_f64) + c##i##_##v);
#define ML__MIX_ADD_ROW(i, V) ML__VECTORS_##V(ML__MIX_ADD, i, V) P += ldp;

enum { MIX_WIDE = 8 };

/* Statistics of a tile: rows of T, or the products of two rows each. */
typedef struct mix_statistics {
    const double *T;
    size_t ldt;
    const double *pairs[MIX_WIDE][2];
} mix_statistics;

typedef void mix_tile(size_t n, const double *R, size_t ldr, const mix_statistics *s, double *P, size_t ldp);

/* M components times V statistics, over n columns */
#define ML__MIX_TILE(name, LOAD, M, V)                                                                      \
    static void name##_##M##_##V(size_t n, const double *R, size_t ldr, const mix_statistics *s, double *P, \
                                 size_t ldp)                                                                \
    {                                                                                                       \
        ML__ROWS_##M(ML__MIX_DECLARE_ROW, V) for (size_t j = 0; j < n; j += LANES_f64){                     \
            ML__VECTORS_##V(LOAD, 0, V) ML__ROWS_##M(ML__MIX_TERM_ROW, V)} ML__ROWS_##M(ML__MIX_ADD_ROW, V) \
    }

/* All tiles of one kind, and the table of them by components - 1, then statistics - 1 */
#define ML__MIX_1(X, k, L) X(k, L, 1, 1) X(k, L, 1, 2) X(k, L, 1, 4)
#define ML__MIX_2(X, k, L) X(k, L, 2, 1) X(k, L, 2, 2) X(k, L, 2, 4)
#define ML__MIX_3(X, k, L) X(k, L, 3, 1) X(k, L, 3, 2) X(k, L, 3, 3)
#define ML__MIX_4(X, k, L) X(k, L, 4, 1) X(k, L, 4, 2)
#define ML__MIX_FOUR(X, k, L) ML__MIX_1(X, k, L) ML__MIX_2(X, k, L) ML__MIX_3(X, k, L) ML__MIX_4(X, k, L)
#if MIXTURE_TALL > 4
#define ML__MIX_MORE(X, k, L) X(k, L, 1, 8) X(k, L, 2, 8) X(k, L, 3, 6) X(k, L, 4, 3) X(k, L, 4, 6)
#define ML__MIX_5(X, k, L) X(k, L, 5, 1) X(k, L, 5, 2) X(k, L, 5, 4)
#define ML__MIX_6(X, k, L) X(k, L, 6, 1) X(k, L, 6, 2) X(k, L, 6, 4)
#define ML__MIX_7(X, k, L) X(k, L, 7, 1) X(k, L, 7, 2) X(k, L, 7, 3)
#define ML__MIX_8(X, k, L) X(k, L, 8, 1) X(k, L, 8, 2) X(k, L, 8, 3)
#define ML__MIX_TALL(X, k, L) ML__MIX_5(X, k, L) ML__MIX_6(X, k, L) ML__MIX_7(X, k, L) ML__MIX_8(X, k, L)
#define ML__MIX_TILES(X, k, L) ML__MIX_FOUR(X, k, L) ML__MIX_MORE(X, k, L) ML__MIX_TALL(X, k, L)
#else
#define ML__MIX_TILES(X, k, L) ML__MIX_FOUR(X, k, L)
#endif
#define ML__MIX_PLACE(name, LOAD, M, V) [M - 1][V - 1] = name##_##M##_##V,
#define ML__MIX_KIND(name, TABLE, LOAD)     \
    ML__MIX_TILES(ML__MIX_TILE, name, LOAD) \
    static mix_tile *const TABLE[MIXTURE_TALL][MIX_WIDE] = {ML__MIX_TILES(ML__MIX_PLACE, name, LOAD)};

ML__MIX_KIND(mix, MIX_TILES, ML__MIX_LOAD)
ML__MIX_KIND(mix_pairs, MIX_PAIRS_TILES, ML__MIX_LOAD_PAIR)

/* Statistics of the widest tile of these that takes no more than n. */
static inline size_t mix_width(mix_tile *const *tiles, size_t n)
{
    size_t wide = min(MIX_WIDE, n);

    while (!tiles[wide - 1])
        wide--;
    return wide;
}

void MIXTURE(mixture_add)(size_t k, size_t p, size_t n, const double *R, size_t ldr, const double *T, size_t ldt,
                          double *P)
{
    const size_t step = even_blocks(k, MIXTURE_TALL, 1);

    for (size_t c = 0; c < k; c += step) {
        mix_tile *const *tiles = MIX_TILES[min(step, k - c) - 1];

        for (size_t s = 0, wide; s < p; s += wide) {
            const mix_statistics of = {.T = T + s * ldt, .ldt = ldt};

            wide = mix_width(tiles, p - s);
            tiles[wide - 1](n, R + c * ldr, ldr, &of, P + (c * p + s) * LANES_f64, p * LANES_f64);
        }
    }
}

void MIXTURE(mixture_add_pairs)(size_t k, size_t d, size_t n, const double *R, size_t ldr, const double *T, size_t ldt,
                                double *P)
{
    const size_t p = (1 + d) * (2 + d) / 2, step = even_blocks(k, MIXTURE_TALL, 1);

    for (size_t c = 0; c < k; c += step) {
        mix_tile *const *tiles = MIX_PAIRS_TILES[min(step, k - c) - 1];

        for (size_t s = 0, a = 0, b = 0, wide; s < p; s += wide) {
            mix_statistics of;

            wide = mix_width(tiles, p - s);
            for (size_t v = 0; v < wide; v++) {
                of.pairs[v][0] = T + a * ldt;
                of.pairs[v][1] = T + b * ldt;
                b = b < a ? b + 1 : 0;
                a += b == 0;
            }
            tiles[wide - 1](n, R + c * ldr, ldr, &of, P + (c * p + s) * LANES_f64, p * LANES_f64);
        }
    }
}

void MIXTURE(mixture_sum)(size_t n, const double *P, double *S)
{
    for (size_t v = 0; v < n; v++)
        S[v] = add_lanes(load_f64(P + v * LANES_f64));
}
