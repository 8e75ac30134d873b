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

/* ---- weighted sums of products ---- */

/* c[j] += sum_r (weight_r a_r,n-1) a_rj for j < n, r < rows <= 4 */
static void NAME(add_products)(size_t n, size_t rows, const R *A, size_t lda, const double weights[4],
                               double *restrict c)
{
    const R *a[4];
    double x[4];

    for (size_t r = 0; r < 4; r++) {
        a[r] = A + (r < rows ? r : 0) * lda;
        x[r] = r < rows ? weights[r] * a[r][n - 1] : 0;
    }
    if (rows == 4)
        for (size_t j = 0; j < n; j++)
            c[j] = (((c[j] + x[0] * a[0][j]) + x[1] * a[1][j]) + x[2] * a[2][j]) + x[3] * a[3][j];
    else
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < n; j++)
                c[j] += x[r] * a[r][j];
}

/* Four rows per pass over C, each term (w_p a_pi) a_pj in the order of p. */
void PUBLIC(syrk_weighted)(size_t n, size_t k, const R *A, size_t lda, const R *w, double *C, size_t ldc)
{
    for (size_t p = 0; p < k; p += 4, A += 4 * lda) {
        const size_t rows = k - p < 4 ? k - p : 4;
        double weights[4] = {0};

        for (size_t r = 0; r < rows; r++)
            weights[r] = w ? w[p + r] : 1;
        for (size_t i = 0; i < n; i++)
            NAME(add_products)(i + 1, rows, A, lda, weights, C + i * ldc);
    }
}

/* ---- nearest columns ---- */

/* The least of n values half_j - p_j, the first of which is number j0, and of those before. */
static void NAME(keep_least)(size_t n, const R *half, const R *product, size_t j0, uint32_t *index, R *value, R *second)
{
    for (size_t j = 0; j < n; j++) {
        const R v = half[j] - product[j];

        if (v < *value) {
            *second = *value;
            *value = v;
            *index = (uint32_t)(j0 + j);
        } else if (v < *second) {
            *second = v;
        }
    }
}

/* For m <= NEAREST_ROWS rows: blocks of A B come to the stack. */
static void NAME(nearest_rows)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb,
                               const R *half, uint32_t *index, R *value, R *second)
{
    R P[NEAREST_ROWS * NEAREST_COLUMNS];

    for (size_t i = 0; i < m; i++) {
        index[i] = 0;
        value[i] = second[i] = INFINITY;
    }
    for (size_t j = 0; j < n; j += NEAREST_COLUMNS) {
        const size_t width = n - j < NEAREST_COLUMNS ? n - j : NEAREST_COLUMNS;

        PUBLIC(gemm_nn)(m, width, k, A, lda, B + j, ldb, 0, P, NEAREST_COLUMNS);
        for (size_t i = 0; i < m; i++)
            NAME(keep_least)(width, half + j, P + i * NEAREST_COLUMNS, j, index + i, value + i, second + i);
    }
    for (size_t i = 0; i < m; i++)
        value[i] = value[i] < (R)INFINITY ? value[i] : (R)NAN;
}

void PUBLIC(nearest)(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, const R *half,
                     uint32_t *index, R *value, R *second)
{
    R unused[NEAREST_ROWS];

    for (size_t i = 0; i < m; i += NEAREST_ROWS) {
        const size_t rows = m - i < NEAREST_ROWS ? m - i : NEAREST_ROWS;

        NAME(nearest_rows)
        (rows, n, k, A + i * lda, lda, B, ldb, half, index + i, value + i, second ? second + i : unused);
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
        const R e = MATH(exp)(-MATH(fabs)(x[i])), q = e / (1 + e); /* in [0, 1]: cannot overflow */

        y[i] = x[i] < 0 ? e - e * q : 1 - q; /* q is spoiled by the rounding of 1 + e, but the smaller part */
    }
}

/* The sum of exp(x - shift), which go to e unless that is NULL; shift is the largest x. */
static double NAME(exp_row)(size_t n, const R *x, R *e, R *shift)
{
    R largest = -INFINITY;
    double s[LANES] = {0};

    for (size_t j = 0; j < n; j++)
        largest = x[j] > largest ? x[j] : largest;
    *shift = largest == -INFINITY ? 0 : largest; /* -inf and NaN only: nothing to shift by */
    for (size_t j = 0; j < n; j++) {
        const R value = MATH(exp)(x[j] - *shift);

        s[j % LANES] += value;
        if (e)
            e[j] = value;
    }
    return add_lanes(s);
}

void PUBLIC(softmax)(size_t m, size_t n, R *X, size_t ldx, R *lse)
{
    for (size_t i = 0; i < m && n > 0; i++) {
        R *x = X + i * ldx, shift;
        const double total = NAME(exp_row)(n, x, x, &shift);

        for (size_t j = 0; j < n; j++)
            x[j] = total == 0 ? (R)(1.0 / (double)n) : (R)(x[j] / total);
        if (lse)
            lse[i] = (R)(shift + log(total));
    }
}

void PUBLIC(shares)(size_t n, const R *x, double *p)
{
    for (size_t j = 0; j < n; j++)
        p[j] = (double)x[j];
    ML__PORTABLE_F64(softmax)(1, n, p, n, NULL);
}

void PUBLIC(logsumexp)(size_t m, size_t n, const R *X, size_t ldx, R *lse)
{
    for (size_t i = 0; i < m && n > 0; i++) {
        R shift;
        const double total = NAME(exp_row)(n, X + i * ldx, NULL, &shift);

        lse[i] = (R)(shift + log(total));
    }
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
