/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of a network and their training, put together from a table's own products and vector maths: for tables that have
 * no kernels with these built in. No include guard: included for each precision with
 *     R            the element type
 *     NAME(f)      the file-local name of f in this precision
 *     DEFINE(f)    how the definition of operation f begins: linkage, type and name
 *     MATRIX(f)    the table's product f
 *     MATHS(f)     the table's vector function f
 *     OWN(f)       the name of operation f as defined here
 *     SQRT         of R
 * after <math.h> and <string.h>.
 *
 * An element is a chain of its product (from b or penalty W on), then functions of that element alone: its bits depend on
 * its neighbours only where those of the table's products do.
 */

static void NAME(apply)(ml__activation f, size_t n, R *x)
{
    switch (f) {
    case ML__RELU:
        for (size_t i = 0; i < n; i++)
            x[i] = x[i] < 0 ? 0 : x[i];
        break;
    case ML__LOGISTIC:
        MATHS(vlogistic)(n, x, x);
        break;
    case ML__TANH:
        MATHS(vtanh)(n, x, x);
        break;
    case ML__IDENTITY:
        break;
    }
}

DEFINE(layer)
(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, const R *b, ml__activation f, R *C,
 size_t ldc)
{
    /* rows without gaps are one long row */
    const size_t rows = ldc == n ? 1 : m, width = ldc == n ? m * n : n;

    for (size_t i = 0; i < m && b && n > 0; i++)
        memcpy(C + i * ldc, b, n * sizeof(R));
    MATRIX(gemm_nn)(m, n, k, A, lda, B, ldb, b ? 1 : 0, C, ldc);
    for (size_t i = 0; i < rows && width > 0; i++)
        NAME(apply)(f, width, C + i * ldc);
}

/* Column by column there are as many chains as columns already: those of the product. */
DEFINE(layer_row)
(size_t n, size_t k, const R *a, const R *B, size_t ldb, const R *b, ml__activation f, R *c)
{
    OWN(layer)(1, n, k, a, k, B, ldb, b, f, c, n);
}

/* c[i] *= f'(z[i]) by way of h[i] = f(z[i]) */
static void NAME(chain)(ml__activation f, size_t n, const R *restrict h, R *restrict c)
{
    switch (f) {
    case ML__RELU:
        for (size_t i = 0; i < n; i++)
            c[i] = h[i] > 0 ? c[i] : 0;
        break;
    case ML__LOGISTIC:
        for (size_t i = 0; i < n; i++)
            c[i] *= h[i] * (1 - h[i]);
        break;
    case ML__TANH:
        for (size_t i = 0; i < n; i++)
            c[i] *= 1 - h[i] * h[i];
        break;
    case ML__IDENTITY:
        break;
    }
}

DEFINE(layer_back)
(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, ml__activation f, const R *H, size_t ldh,
 R *C, size_t ldc)
{
    const bool is_dense = ldc == n && ldh == n;
    const size_t rows = is_dense ? 1 : m, width = is_dense ? m * n : n;

    MATRIX(gemm_nt)(m, n, k, A, lda, B, ldb, 0, C, ldc);
    for (size_t i = 0; i < rows && width > 0; i++)
        NAME(chain)(f, width, H + i * ldh, C + i * ldc);
}

/* One row of weights against its gradient; the factors are those of a step in R. */
static void NAME(adam)(size_t n, const ml__adam *step, const R *restrict g, R *restrict W, R *restrict M, R *restrict V)
{
    const R b1 = (R)step->beta_1, c1 = (R)(1 - step->beta_1), b2 = (R)step->beta_2, c2 = (R)(1 - step->beta_2);
    const R rate = (R)step->rate, epsilon = (R)step->epsilon;

    for (size_t j = 0; j < n; j++) {
        M[j] = b1 * M[j] + c1 * g[j];
        V[j] = b2 * V[j] + c2 * (g[j] * g[j]);
        W[j] -= rate * M[j] / (SQRT(V[j]) + epsilon);
    }
}

/* The gradient appears tile by tile on the stack. */
DEFINE(adam_tn)
(size_t m, size_t n, size_t k, const R *A, size_t lda, const R *B, size_t ldb, const ml__adam *step, R *W, R *M, R *V,
 size_t ldw)
{
    enum { ROOM = 14336 / sizeof(R), WIDEST = 64 }; /* of the tile: 14 KiB */
    R G[ROOM];
    const size_t width = n < WIDEST ? n : WIDEST, height = n == 0 ? 0 : ROOM / width;

    for (size_t j = 0; j < n; j += width)
        for (size_t i = 0; i < m; i += height) {
            const size_t rows = m - i < height ? m - i : height, columns = n - j < width ? n - j : width;
            const size_t at = i * ldw + j;

            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < columns; c++)
                    G[r * width + c] = (R)step->penalty * W[at + r * ldw + c];
            MATRIX(gemm_tn)(rows, columns, k, A + i, lda, B + j, ldb, 1, G, width);
            for (size_t r = 0; r < rows; r++) {
                const size_t row = at + r * ldw;

                NAME(adam)(columns, step, G + r * width, W + row, M + row, V + row);
            }
        }
}
