/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of kernel/mixture.h of a vector instruction set, written once. No include guard: a unit includes this after
 * kernel/vector_tmpl.h for double, with
 *     MIXTURE(f)       the cross-file name of operation f
 *     MIXTURE_TALL     components of the largest tile: 4 with 16 registers, 8 with 32
 *     MIXTURE_KEEP(v)  v has to be in a register: the compiler would load it again for each multiply-add
 *
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

/* t = x y */
static inline void multiply_columns(size_t n, const double *x, const double *y, double *t)
{
    for (size_t i = 0; i < n; i += LANES_f64)
        store_f64(t + i, load_f64(x + i) * load_f64(y + i));
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
        for (size_t j = squares == ML__PAIRS ? 0 : i; j <= i; j++, t += ldt)
            multiply_columns(n_columns, x + i * ldt, x + j * ldt, t);
}

/* ---- shares ---- */

/* Of the LANES columns at L, with weights w; returns their lse. */
static inline vec_f64 share_columns_of(size_t k, double *L, size_t ldl, vec_f64 w)
{
    const vec_f64 one = set_f64(1);
    vec_f64 shift = set_f64(-INFINITY), total = set_f64(0), lse;

    for (size_t c = 0; c < k; c++)
        shift = max_f64(load_f64(L + c * ldl), shift);
    shift = select_f64(less_f64(set_f64(-INFINITY), shift), shift, set_f64(0));
    for (size_t c = 0; c < k; c++) {
        const vec_f64 e = exp_f64(load_f64(L + c * ldl) - shift);

        store_f64(L + c * ldl, e);
        total += e;
    }
    lse = shift + log_f64(total);
    if (!all_within_f64(total, one,
                        set_f64(INFINITY))) { /* the largest of a column is 1, unless all are 0 or one is NaN */
        const mask_f64 is_empty = less_f64(total, one);

        for (size_t c = 0; c < k; c++)
            store_f64(L + c * ldl, select_f64(is_empty, one, load_f64(L + c * ldl)));
        total = select_f64(is_empty, set_f64((double)k), total);
    }
    w = w / total;
    for (size_t c = 0; c < k; c++)
        store_f64(L + c * ldl, load_f64(L + c * ldl) * w);
    return lse;
}

/* The same of two components, whose difference is finite: the larger exponential is 1. */
static inline vec_f64 share_two_columns_of(double *L, double *L1, vec_f64 difference, vec_f64 w)
{
    const vec_f64 one = set_f64(1), zero = set_f64(0), e = exp_f64(-abs_f64(difference)), total = one + e;
    const mask_f64 is_second = less_f64(zero, difference);
    const vec_f64 lse = select_f64(is_second, load_f64(L1), load_f64(L)) + log_f64(total);

    w = w / total;
    store_f64(L, select_f64(is_second, e, one) * w);
    store_f64(L1, select_f64(is_second, one, e) * w);
    return lse;
}

static inline vec_f64 share_vector(size_t k, double *L, size_t ldl, vec_f64 w)
{
    if (k == 2) {
        const vec_f64 difference = load_f64(L + ldl) - load_f64(L);

        if (all_within_f64(difference, set_f64(-DBL_MAX), set_f64(INFINITY)))
            return share_two_columns_of(L, L + ldl, difference, w);
    }
    return share_columns_of(k, L, ldl, w);
}

void MIXTURE(mixture_shares)(size_t k, size_t n, double *L, size_t ldl, const double *w, double *lse)
{
    size_t i = 0;

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
#define ML__MIX_LOAD(i, v, V) const vec_f64 t##v = load_f64(T + v * ldt + j);
#define ML__MIX_TERM(i, v, V) c##i##_##v = fma_f64(r, t##v, c##i##_##v);
#define ML__MIX_TERM_ROW(i, V)                 \
    {                                          \
        vec_f64 r = load_f64(R + i * ldr + j); \
        MIXTURE_KEEP(r);                       \
        ML__VECTORS_##V(ML__MIX_TERM, i, V)    \
    }
#define ML__MIX_ADD(i, v, V) store_f64(P + v * LANES_f64, load_f64(P + v * LANES_f64) + c##i##_##v);
#define ML__MIX_ADD_ROW(i, V) ML__VECTORS_##V(ML__MIX_ADD, i, V) P += ldp;

/* M components times V statistics, over n columns */
#define ML__MIX_TILE(M, V)                                                                                          \
    static void mix_##M##_##V(size_t n, const double *R, size_t ldr, const double *T, size_t ldt, double *P,        \
                              size_t ldp)                                                                           \
    {                                                                                                               \
        ML__ROWS_##M(ML__MIX_DECLARE_ROW, V) for (size_t j = 0; j < n; j += LANES_f64){                             \
            ML__VECTORS_##V(ML__MIX_LOAD, 0, V) ML__ROWS_##M(ML__MIX_TERM_ROW, V)} ML__ROWS_##M(ML__MIX_ADD_ROW, V) \
    }

ML__MIX_TILE(1, 1)
ML__MIX_TILE(1, 2)
ML__MIX_TILE(1, 4)
ML__MIX_TILE(2, 1)
ML__MIX_TILE(2, 2)
ML__MIX_TILE(2, 4)
ML__MIX_TILE(3, 1)
ML__MIX_TILE(3, 2)
ML__MIX_TILE(3, 3)
ML__MIX_TILE(4, 1)
ML__MIX_TILE(4, 2)
#if MIXTURE_TALL > 4
ML__MIX_TILE(1, 8)
ML__MIX_TILE(2, 8)
ML__MIX_TILE(3, 6)
ML__MIX_TILE(4, 3)
ML__MIX_TILE(4, 6)
ML__MIX_TILE(5, 1)
ML__MIX_TILE(5, 2)
ML__MIX_TILE(5, 4)
ML__MIX_TILE(6, 1)
ML__MIX_TILE(6, 2)
ML__MIX_TILE(6, 4)
ML__MIX_TILE(7, 1)
ML__MIX_TILE(7, 2)
ML__MIX_TILE(7, 3)
ML__MIX_TILE(8, 1)
ML__MIX_TILE(8, 2)
ML__MIX_TILE(8, 3)
#endif

typedef void mix_tile(size_t n, const double *R, size_t ldr, const double *T, size_t ldt, double *P, size_t ldp);

enum { MIX_WIDE = 8 };

/* by components - 1, then statistics - 1 */
static mix_tile *const MIX_TILES[MIXTURE_TALL][MIX_WIDE] = {
#if MIXTURE_TALL > 4
    {mix_1_1, mix_1_2, NULL, mix_1_4, NULL, NULL, NULL, mix_1_8},
    {mix_2_1, mix_2_2, NULL, mix_2_4, NULL, NULL, NULL, mix_2_8},
    {mix_3_1, mix_3_2, mix_3_3, NULL, NULL, mix_3_6},
    {mix_4_1, mix_4_2, mix_4_3, NULL, NULL, mix_4_6},
    {mix_5_1, mix_5_2, NULL, mix_5_4},
    {mix_6_1, mix_6_2, NULL, mix_6_4},
    {mix_7_1, mix_7_2, mix_7_3},
    {mix_8_1, mix_8_2, mix_8_3},
#else
    {mix_1_1, mix_1_2, NULL, mix_1_4},
    {mix_2_1, mix_2_2, NULL, mix_2_4},
    {mix_3_1, mix_3_2, mix_3_3},
    {mix_4_1, mix_4_2},
#endif
};

void MIXTURE(mixture_add)(size_t k, size_t p, size_t n, const double *R, size_t ldr, const double *T, size_t ldt,
                          double *P)
{
    const size_t step = even_blocks(k, MIXTURE_TALL, 1);

    for (size_t c = 0, m; c < k; c += m) {
        m = min(step, k - c);
        for (size_t s = 0, wide; s < p; s += wide) {
            for (wide = min(MIX_WIDE, p - s); !MIX_TILES[m - 1][wide - 1];)
                wide--;
            MIX_TILES[m - 1][wide - 1](n, R + c * ldr, ldr, T + s * ldt, ldt, P + (c * p + s) * LANES_f64,
                                       p * LANES_f64);
        }
    }
}

void MIXTURE(mixture_sum)(size_t n, const double *P, double *S)
{
    for (size_t v = 0; v < n; v++)
        S[v] = add_lanes(load_f64(P + v * LANES_f64));
}
