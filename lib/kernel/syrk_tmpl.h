/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted sums of squares and products of a vector instruction set, written once. No include guard: a unit of an
 * instruction set includes this for each precision where kernel/gemm_tmpl.h is defined for double, with
 *     R                            the element type of A
 *     SYRK_NAME(f), SYRK_PUBLIC    the file-local name of f, and the operation's
 *     SYRK_TALL                    rows of the tallest tile: 4 or 8, at most 2 LANES
 *     WIDE_PART, WIDE_PART_OF(n)   which of LANES elements of type R are there; the first n
 *     WIDE_LOAD, WIDE_LOAD_PART    LANES elements of type R as doubles
 *
 * SYRK_DEPTH rows of A at a time stay in the first cache while all tiles of C pass: element (i, j) gets the sum of
 * (w_p a_pi) a_pj over these rows, added by fused multiply-add in their order from 0. The left factors of a tile's rows go
 * to the stack, the right ones are read where they lie. Meanwhile each term has a line of the next rows fetched: few
 * columns need more memory than multipliers.
 */

typedef struct {
    size_t m, n, k, from, ldb, ldc; /* m x n of C, of which row i has no more than from + i + 1 columns */
    const char *ahead;              /* where the lines to be fetched begin */
    size_t ahead_step;              /* from one to the next, or 0 */
} SYRK_NAME(syrk_tile);

ML__SYRK_TILE(4, 1)
ML__SYRK_TILE(4, 2)
#if SYRK_TALL > 4
ML__SYRK_TILE(8, 1)
ML__SYRK_TILE(8, 2)
#endif

/* by rows / 4 - 1, then vectors - 1 */
static void (*const SYRK_NAME(SYRK)[][2])(const SYRK_NAME(syrk_tile) * s, const double *X, const R *B, double *C) = {
    {SYRK_NAME(syrk_4_1), SYRK_NAME(syrk_4_2)},
#if SYRK_TALL > 4
    {SYRK_NAME(syrk_8_1), SYRK_NAME(syrk_8_2)},
#endif
};

/* X[p, i] = w_p A[p, i] for i < m, 0 for the other rows of a tile; p < k. */
static void SYRK_NAME(weigh)(size_t m, size_t k, const R *A, size_t lda, const R *w, double *X)
{
    for (size_t i = 0; i < SYRK_TALL; i += LANES) {
        const WIDE_PART part = WIDE_PART_OF(lanes_within(m, m, i, LANES));

        for (size_t p = 0; p < k; p++) {
            const double weight = w ? w[p] : 1;
            STORE(X + p * SYRK_TALL + i, MULTIPLY(BROADCAST(&weight), WIDE_LOAD_PART(A + p * lda + i, part)));
        }
    }
}

/* For k <= SYRK_DEPTH rows of A; each term of a tile fetches what lies `step` further behind them. */
static void SYRK_NAME(add_rows)(size_t n, size_t k, const R *A, size_t lda, const R *w, size_t step, double *C,
                                size_t ldc)
{
    _Alignas(64) double X[SYRK_DEPTH * SYRK_TALL];
    SYRK_NAME(syrk_tile) s = {.k = k, .ldb = lda, .ldc = ldc, .ahead = (const char *)(A + k * lda), .ahead_step = step};

    for (size_t i = 0; i < n; i += SYRK_TALL) {
        s.m = min(n - i, SYRK_TALL);
        SYRK_NAME(weigh)(s.m, k, A + i, lda, w, X);
        for (size_t j = 0; j < i + s.m; j += 2 * LANES) {
            s.from = i - j;
            s.n = min(i + s.m - j, 2 * LANES);
            SYRK_NAME(SYRK)[s.m > 4][s.n > LANES](&s, X, A + j, C + i * ldc + j);
            s.ahead += k * step;
        }
    }
}

/* Bytes per term that have fetched a whole row when all tiles are done; none when that would leave lines out. */
static size_t SYRK_NAME(fetch_step)(size_t n, size_t lda)
{
    size_t n_tiles = 0;

    for (size_t i = 0; i < n; i += SYRK_TALL)
        n_tiles += (min(i + SYRK_TALL, n) + 2 * LANES - 1) / (2 * LANES);
    return lda * sizeof(R) <= n_tiles * SYRK_LINE ? (lda * sizeof(R) + n_tiles - 1) / n_tiles : 0;
}

void SYRK_PUBLIC(size_t n, size_t k, const R *A, size_t lda, const R *w, double *C, size_t ldc)
{
    const size_t step = n > 0 ? SYRK_NAME(fetch_step)(n, lda) : 0;

    for (size_t p = 0; p < k; p += SYRK_DEPTH)
        SYRK_NAME(add_rows)
    (n, min(k - p, SYRK_DEPTH), A + p * lda, lda, w ? w + p : NULL, k - p >= 2 * SYRK_DEPTH ? step : 0, C, ldc);
}
