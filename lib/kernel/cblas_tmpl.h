/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of cblas.c, written once. No include guard: cblas.c includes this for each precision with
 *     R              the element type
 *     NAME(f)        the file-local name of f in this precision
 *     PORTABLE(f)    the portable operation f in this precision
 *     GEMM           the BLAS's function
 */

/* One tile of C: all its terms, in pieces of TILE_K. */
static void NAME(tile)(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                       size_t ldb, R beta, R *C, size_t ldc)
{
    const size_t step_a = trans_a ? lda : 1, step_b = trans_b ? 1 : ldb;

    for (size_t p = 0; p < k; p += TILE_K)
        GEMM(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
             (int)min(k - p, TILE_K), 1, A + p * step_a, (int)lda, B + p * step_b, (int)ldb, p == 0 ? beta : 1, C,
             (int)ldc);
}

static void NAME(product)(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B,
                          size_t ldb, R beta, R *C, size_t ldc)
{
    const size_t row_a = trans_a ? 1 : lda, column_b = trans_b ? ldb : 1;
    const size_t tile_m = MAX_WORK / (min(n, TILE_N) * min(k, TILE_K));

    for (size_t j = 0; j < n; j += TILE_N)
        for (size_t i = 0; i < m; i += tile_m) {
            const size_t rows = min(m - i, tile_m), columns = min(n - j, TILE_N);
            const R *A_i = A + i * row_a, *B_j = B + j * column_b;

            NAME(tile)(trans_a, trans_b, rows, columns, k, A_i, lda, B_j, ldb, beta, C + i * ldc + j, ldc);
        }
}

static void NAME(gemm_nn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (for_blas(m, n, k, lda, k, ldb, n, ldc))
        NAME(product)(false, false, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_nn)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

static void NAME(gemm_nt)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (for_blas(m, n, k, lda, k, ldb, k, ldc))
        NAME(product)(false, true, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_nt)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

static void NAME(gemm_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (for_blas(m, n, k, lda, m, ldb, n, ldc))
        NAME(product)(true, false, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_tn)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

/* C = A' A + beta C, lower triangle, n <= TILE_SYRK. */
static void NAME(diagonal_block)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc)
{
    R S[TILE_SYRK * TILE_SYRK];

    NAME(tile)(true, false, n, n, k, A, lda, A, lda, 0, S, TILE_SYRK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            C[i * ldc + j] = S[i * TILE_SYRK + j] + (beta == 0 ? 0 : beta * C[i * ldc + j]);
}

static void NAME(syrk_tn)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc)
{
    if (!for_blas(n, n, k, lda, n, lda, n, ldc)) {
        PORTABLE(syrk_tn)(n, k, A, lda, beta, C, ldc);
        return;
    }
    for (size_t i = 0; i < n; i += TILE_SYRK) {
        const size_t rows = min(n - i, TILE_SYRK);

        if (i > 0)
            NAME(product)(true, false, rows, i, k, A + i, lda, A, lda, beta, C + i * ldc, ldc);
        NAME(diagonal_block)(rows, k, A + i, lda, beta, C + i * ldc + i, ldc);
    }
}
