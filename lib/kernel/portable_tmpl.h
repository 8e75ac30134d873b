/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The portable kernels, written once. No include guard: portable.c includes this for each precision with
 *     R            the element type
 *     NAME(f)      the file-local name of f in this precision
 *     PUBLIC(f)    the cross-file name of operation f in this precision
 *     MATH(f)      the C library's f in this precision
 *
 * Products    Each element of C is beta C (0 when beta is 0), then + a b for every term in index order, each product and
 *             each sum rounded to R. Blocking and vectorisation run across elements, never along a chain: an element's
 *             bits depend on its own row of A and column of B only. (The build forbids contraction to fused operations.)
 * Vector maths the C library, element by element: the same value in every position.
 * Sums        LANES accumulators in double, element i in lane i mod LANES, lanes added as a balanced tree.
 */

/* ---- products ---- */

static void NAME(scale)(size_t n, R beta, R *C)
{
    if (beta == 0)
        for (size_t j = 0; j < n; j++)
            C[j] = 0;
    else if (beta != 1)
        for (size_t j = 0; j < n; j++)
            C[j] *= beta;
}

/* C[j] += sum_p a[p step] B[p, j] for j < n, terms in the order of p: four terms per pass over C. */
static void NAME(add_terms)(size_t n, size_t k, const R *a, size_t step, const R *B, size_t ldb, R *restrict C)
{
    size_t p = 0;

    for (; p + 4 <= k; p += 4) {
        const R a0 = a[p * step], a1 = a[(p + 1) * step], a2 = a[(p + 2) * step], a3 = a[(p + 3) * step];
        const R *b0 = B + p * ldb, *b1 = b0 + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;

        for (size_t j = 0; j < n; j++)
            C[j] = (((C[j] + a0 * b0[j]) + a1 * b1[j]) + a2 * b2[j]) + a3 * b3[j];
    }
    for (; p < k; p++)
        for (size_t j = 0; j < n; j++)
            C[j] += a[p * step] * B[p * ldb + j];
}

/* C = op(A) B + beta C with op(A)[i, p] = A[i row_step + p column_step]; for `lower`, the lower triangle of C only. A panel
 * of B (BLOCK_K x BLOCK_N) stays in cache while all rows pass over it. */
static void NAME(product)(size_t m, size_t n, size_t k, const R *A, size_t row_step, size_t column_step, const R *B,
                          size_t ldb, R beta, R *C, size_t ldc, bool lower)
{
    for (size_t i = 0; i < m && n > 0; i++)
        NAME(scale)(lower ? i + 1 : n, beta, C + i * ldc);
    for (size_t j = 0; j < n; j += BLOCK_N)
        for (size_t p = 0; p < k; p += BLOCK_K)
            for (size_t i = lower ? j : 0; i < m; i++) {
                const size_t end = lower ? i + 1 : n;
                const size_t width = end - j < BLOCK_N ? end - j : BLOCK_N;
                const size_t depth = k - p < BLOCK_K ? k - p : BLOCK_K;
                const R *a = A + i * row_step + p * column_step;

                NAME(add_terms)(width, depth, a, column_step, B + p * ldb + j, ldb, C + i * ldc + j);
            }
}

void PUBLIC(gemm_nn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                     size_t ldc)
{
    NAME(product)(m, n, k, A, lda, 1, B, ldb, beta, C, ldc, false);
}

void PUBLIC(gemm_tn)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                     size_t ldc)
{
    NAME(product)(m, n, k, A, 1, lda, B, ldb, beta, C, ldc, false);
}

void PUBLIC(syrk_tn)(size_t n, size_t k, const R *A, size_t lda, R beta, R *C, size_t ldc)
{
    NAME(product)(n, n, k, A, 1, lda, A, lda, beta, C, ldc, true);
}

/* T[p, j] = B[j, p] for j < n, p < k, rows TILE apart. */
static void NAME(transpose)(size_t n, size_t k, const R *B, size_t ldb, R *restrict T)
{
    for (size_t j = 0; j < n; j++)
        for (size_t p = 0; p < k; p++)
            T[p * TILE + j] = B[j * ldb + p];
}

/* Tiles of B are transposed on the stack, so that the loop over columns of C is contiguous here too. */
void PUBLIC(gemm_nt)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, R beta, R *C,
                     size_t ldc)
{
    R T[TILE * TILE];

    for (size_t i = 0; i < m && n > 0; i++)
        NAME(scale)(n, beta, C + i * ldc);
    for (size_t j = 0; j < n; j += TILE)
        for (size_t p = 0; p < k; p += TILE) {
            const size_t width = n - j < TILE ? n - j : TILE, depth = k - p < TILE ? k - p : TILE;

            NAME(transpose)(width, depth, B + j * ldb + p, ldb, T);
            for (size_t i = 0; i < m; i++)
                NAME(add_terms)(width, depth, A + i * lda + p, 1, T, TILE, C + i * ldc + j);
        }
}

/* ---- vector maths ---- */

void PUBLIC(vexp)(size_t n, const R *x, R *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = MATH(exp)(x[i]);
}

void PUBLIC(vlog)(size_t n, const R *x, R *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = MATH(log)(x[i]);
}

void PUBLIC(vtanh)(size_t n, const R *x, R *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = MATH(tanh)(x[i]);
}

void PUBLIC(vlogistic)(size_t n, const R *x, R *y)
{
    for (size_t i = 0; i < n; i++) {
        const R e = MATH(exp)(-MATH(fabs)(x[i])); /* in (0, 1]: cannot overflow */

        y[i] = (x[i] < 0 ? e : 1) / (1 + e);
    }
}

static void NAME(softmax_row)(size_t n, R *x, R *lse)
{
    R shift = -INFINITY;
    double total = 0;

    for (size_t j = 0; j < n; j++)
        shift = x[j] > shift ? x[j] : shift;
    if (shift == -INFINITY) /* -inf and NaN only: nothing to shift by */
        shift = 0;
    for (size_t j = 0; j < n; j++)
        total += x[j] = MATH(exp)(x[j] - shift);
    for (size_t j = 0; j < n; j++)
        x[j] = total == 0 ? (R)(1.0 / (double)n) : (R)(x[j] / total);
    if (lse)
        *lse = (R)(shift + log(total));
}

void PUBLIC(softmax)(size_t m, size_t n, R *X, size_t ldx, R *lse)
{
    for (size_t i = 0; i < m && n > 0; i++)
        NAME(softmax_row)(n, X + i * ldx, lse ? lse + i : NULL);
}

/* ---- reductions ---- */

double PUBLIC(sum)(size_t n, const R *x)
{
    double s[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            s[lane] += x[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        s[lane] += x[i + lane];
    return add_lanes(s);
}

double PUBLIC(dot)(size_t n, const R *x, const R *y)
{
    double s[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            s[lane] += (double)x[i + lane] * y[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        s[lane] += (double)x[i + lane] * y[i + lane];
    return add_lanes(s);
}
