/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of cblas.c, written once. No include guard: cblas.c includes this for each precision with
 *     R              the element type
 *     NAME(f)        the file-local name of f in this precision
 *     PORTABLE(f)    the portable operation f in this precision
 *     GEMM           the BLAS's function
 */

/* One row of tiles of C, or one tile of it: all terms, in pieces of TILE_K. */
static void NAME(tile)(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, size_t m, size_t n, size_t k, const R *A,
                       size_t lda, const R *B, size_t ldb, R beta, R *C, size_t ldc)
{
    const size_t step_a = trans_a == CblasTrans ? lda : 1, step_b = trans_b == CblasTrans ? 1 : ldb;

    for (size_t p = 0; p < k; p += TILE_K)
        GEMM(CblasRowMajor, trans_a, trans_b, (int)m, (int)n, (int)min(k - p, TILE_K), 1, A + p * step_a, (int)lda,
             B + p * step_b, (int)ldb, p == 0 ? beta : 1, C, (int)ldc);
}

static void NAME(product)(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, size_t m, size_t n, size_t k, const R *A,
                          size_t lda, const R *B, size_t ldb, R beta, R *C, size_t ldc)
{
    const size_t row_a = trans_a == CblasTrans ? 1 : lda, column_b = trans_b == CblasTrans ? ldb : 1;
    const size_t tile_m = MAX_WORK / (min(n, TILE_N) * min(k, TILE_K));

    for (size_t j = 0; j < n; j += TILE_N)
        for (size_t i = 0; i < m; i += tile_m)
            NAME(tile)(trans_a, trans_b, min(m - i, tile_m), min(n - j, TILE_N), k, A + i * row_a, lda,
                       B + j * column_b, ldb, beta, C + i * ldc + j, ldc);
}

static bool NAME(for_blas)(size_t m, size_t n, size_t k, size_t lda, size_t width_a, size_t ldb, size_t width_b,
                           size_t ldc)
{
    return m > 1 && n > 1 && k > 0 && fits(lda, width_a) && fits(ldb, width_b) && fits(ldc, n);
}

static void NAME(gemm_nn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (NAME(for_blas)(m, n, k, lda, k, ldb, n, ldc))
        NAME(product)(CblasNoTrans, CblasNoTrans, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_nn)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

static void NAME(gemm_nt)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (NAME(for_blas)(m, n, k, lda, k, ldb, k, ldc))
        NAME(product)(CblasNoTrans, CblasTrans, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_nt)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

static void NAME(gemm_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                          size_t ldc)
{
    if (NAME(for_blas)(m, n, k, lda, m, ldb, n, ldc))
        NAME(product)(CblasTrans, CblasNoTrans, m, n, k, A, lda, B, ldb, beta, C, ldc);
    else
        PORTABLE(gemm_tn)(m, n, k, A, lda, B, ldb, beta, C, ldc);
}

/* C = A' A + beta C, lower triangle, n <= TILE_SYRK. */
static void NAME(diagonal_block)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc)
{
    R S[TILE_SYRK * TILE_SYRK];

    NAME(tile)(CblasTrans, CblasNoTrans, n, n, k, A, lda, A, lda, 0, S, TILE_SYRK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            C[i * ldc + j] = S[i * TILE_SYRK + j] + (beta == 0 ? 0 : beta * C[i * ldc + j]);
}

static void NAME(syrk_tn)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc)
{
    if (!NAME(for_blas)(n, n, k, lda, n, lda, n, ldc)) {
        PORTABLE(syrk_tn)(n, k, A, lda, beta, C, ldc);
        return;
    }
    for (size_t i = 0; i < n; i += TILE_SYRK) {
        const size_t rows = min(n - i, TILE_SYRK);

        if (i > 0)
            NAME(product)(CblasTrans, CblasNoTrans, rows, i, k, A + i, lda, A, lda, beta, C + i * ldc, ldc);
        NAME(diagonal_block)(rows, k, A + i, lda, beta, C + i * ldc + i, ldc);
    }
}
