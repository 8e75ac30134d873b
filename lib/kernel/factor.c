/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dense factorisations in double: Cholesky, triangular systems, the symmetric eigenproblem. Row-major.
 *
 * Cholesky    A = L L' (Golub & Van Loan, Matrix Computations, 4th ed., section 4.2):
 *             l_ij = (a_ij - Σ_{p<j} l_ip l_jp) / l_jj for j < i,   l_ii = sqrt(a_ii - Σ_{p<i} l_ip²)
 * Solves      forward and back substitution by rows of the right-hand side (ibid., section 3.1)
 * Inverse     x_ij = -(Σ_{p=j..i-1} l_ip x_pj) / l_ii for j < i,   x_ii = 1 / l_ii
 * Blocks      the same formulas hold for BLOCK x BLOCK blocks in the place of elements: what comes out of the sums over p
 *             is a matrix product, only the blocks on the diagonal are treated as above.
 *
 * Eigenproblem   A = V' diag(λ) V, eigenvectors in the rows of V.
 *   1. scale    A / 2^s with the largest element in [1/2, 1): squares neither overflow nor, where they matter, underflow
 *   2. reduce   A = Q T Q', T tridiagonal with diagonal d and subdiagonal e (e_i couples i-1 and i). For i = n-1 .. 1 the
 *               row x = a_i,0..i-1 is mapped to (0 .. 0, g) by P_i = I - u u' / H:
 *                   g = -sign(x_{i-1}) |x|,   u = x - g (0 .. 0, 1)',   H = u'u / 2 = |x|² - x_{i-1} g
 *               and the leading i x i block by  A - u q' - q u'  with  p = A u / H,  κ = u'p / 2H,  q = p - κ u.
 *               (tred2: Martin, Reinsch & Wilkinson 1968; contribution II/2 of Wilkinson & Reinsch, Linear Algebra, 1971.)
 *               u stays in row i, H in d_i. When |x|² <= TINY the row counts as zero: H = 0 and P_i = I.
 *   3. form Q'  W = P_1 .. P_{n-1} = Q', each P_i applied from the right, row by row:  w -= (w'u / H) u
 *   4. iterate  implicit QL with Wilkinson's shift on (d, e), here e_i couples i and i+1. A sweep chases the bulge from the
 *               bottom m of an unreduced block up to its top l by rotations of rows i and i+1 of W.
 *               (imtql2: Dubrulle, Martin & Wilkinson 1968; contribution II/4, ibid.)
 *               e_m is taken for zero when |e_m| <= eps (|d_m| + |d_{m+1}|), or when it is below TINY.
 *   5. sort     ascending by selection, rows along; scale back by 2^s.
 *
 * Degenerate  zero and diagonal matrices pass through without a rotation; n = 0 is fine; NaN and inf are refused.
 * Cost        n³/3 Cholesky, n²m per solve, n³/3 inverse, about 9 n³ with eigenvectors
 */
#include <float.h>
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/rows.h"

enum {
    BLOCK = 32,         /* of the triangular routines; squares of it on the stack are 8 KiB */
    PANEL = 16,         /* columns of a triangular product at a time: enough for a product, few zeros */
    SWEEPS_PER_ROW = 50 /* 2 is usual, 30 the classical limit */
};
static const double TINY = DBL_MIN / DBL_EPSILON; /* squares below may be subnormal, with few digits left */

static double dot(size_t n, const double *x, const double *y)
{
    return ml__kernels_rowwise()->f64.dot(n, x, y);
}

/* y += a x */
static void axpy(size_t n, double a, const double *x, double *restrict y)
{
    for (size_t j = 0; j < n; j++)
        y[j] += a * x[j];
}

static const ml__kernels_f64 *products(void)
{
    return &ml__kernels_rowwise()->f64;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void negate(size_t m, size_t n, double *C, size_t ldc)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            C[i * ldc + j] = -C[i * ldc + j];
}

/* T[n x m] = A[m x n]' */
static void transpose(size_t m, size_t n, const double *A, size_t lda, double *T, size_t ldt)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            T[j * ldt + i] = A[i * lda + j];
}

/* ---- triangular products and systems ---- */

void ml__multiply_upper(const ml__kernels_f64 *kernels, size_t m, size_t n, const double *A, size_t lda,
                        const double *U, size_t ldu, double *C, size_t ldc)
{
    for (size_t j = 0; j < n; j += PANEL) {
        const size_t width = min(n - j, PANEL);
        kernels->gemm_nn(m, width, j + width, A, lda, U + j, ldu, 0, C + j, ldc);
    }
}

static void divide(size_t m, double *b, double pivot)
{
    for (size_t j = 0; j < m; j++)
        b[j] /= pivot;
}

/* B := L^-1 B for a block on the diagonal. */
static void substitute(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t p = 0; p < i; p++)
            axpy(m, -L[i * ldl + p], B + p * ldb, B + i * ldb);
        divide(m, B + i * ldb, L[i * ldl + i]);
    }
}

static void substitute_transposed(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb)
{
    for (size_t i = n; i-- > 0;) {
        divide(m, B + i * ldb, L[i * ldl + i]);
        for (size_t p = 0; p < i; p++)
            axpy(m, -L[i * ldl + p], B + i * ldb, B + p * ldb);
    }
}

/* c := A b - c. A column alone has an order of its own in gemm_nn (kernel.h), so it goes there twice. */
static void multiply_column(size_t rows, size_t k, const double *A, size_t lda, const double *b, size_t ldb, double *c)
{
    double b2[2 * BLOCK], c2[2 * BLOCK];

    for (size_t i = 0; i < rows; i++)
        c2[2 * i] = c2[2 * i + 1] = -c[i * ldb];
    for (size_t p = 0; p < k; p += BLOCK) {
        const size_t terms = min(k - p, BLOCK);

        for (size_t q = 0; q < terms; q++)
            b2[2 * q] = b2[2 * q + 1] = b[(p + q) * ldb];
        products()->gemm_nn(rows, 2, terms, A + p, lda, b2, 2, 1, c2, 2);
    }
    for (size_t i = 0; i < rows; i++)
        c[i * ldb] = c2[2 * i];
}

void ml__solve_lower(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb)
{
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t rows = min(n - i, BLOCK);
        double *B_i = B + i * ldb;

        if (i > 0) {
            if (m == 1)
                multiply_column(rows, i, L + i * ldl, ldl, B, ldb, B_i);
            else
                products()->gemm_nn(rows, m, i, L + i * ldl, ldl, B, ldb, -1, B_i, ldb);
            negate(rows, m, B_i, ldb);
        }
        substitute(rows, m, L + i * ldl + i, ldl, B_i, ldb);
    }
}

void ml__solve_lower_transposed(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb)
{
    for (size_t end = n; end > 0;) {
        const size_t rows = (end - 1) % BLOCK + 1, i = end - rows;
        double *B_i = B + i * ldb;

        if (end < n) {
            products()->gemm_tn(rows, m, n - end, L + end * ldl + i, ldl, B + end * ldb, ldb, -1, B_i, ldb);
            negate(rows, m, B_i, ldb);
        }
        substitute_transposed(rows, m, L + i * ldl + i, ldl, B_i, ldb);
        end = i;
    }
}

/* A block on the diagonal of the inverse. */
static void invert_block(size_t n, const double *L, size_t ldl, double *X, size_t ldx)
{
    for (size_t i = 0; i < n; i++) {
        double *x_i = X + i * ldx;

        for (size_t j = 0; j < n; j++)
            x_i[j] = 0;
        for (size_t p = 0; p < i; p++)
            axpy(p + 1, -L[i * ldl + p], X + p * ldx, x_i);
        divide(i, x_i, L[i * ldl + i]);
        x_i[i] = 1 / L[i * ldl + i];
    }
}

void ml__invert_lower(size_t n, const double *L, size_t ldl, double *X, size_t ldx)
{
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t rows = min(n - i, BLOCK);
        double *X_i = X + i * ldx;

        for (size_t j = 0; j < i; j += BLOCK) /* X is 0 above block j */
            products()->gemm_nn(rows, BLOCK, i - j, L + i * ldl + j, ldl, X + j * ldx + j, ldx, 0, X_i + j, ldx);
        negate(rows, i, X_i, ldx);
        substitute(rows, i, L + i * ldl + i, ldl, X_i, ldx);
        invert_block(rows, L + i * ldl + i, ldl, X_i + i, ldx);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = i + rows; j < n; j++)
                X_i[r * ldx + j] = 0;
    }
}

/* ---- Cholesky ---- */

/* A block on the diagonal, as U'U with U = L' on the stack: there each step runs along rows. The same return value. */
static size_t factor_block(size_t n, double *A, size_t lda)
{
    double U[BLOCK * BLOCK];
    size_t failed = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            U[j * BLOCK + i] = A[i * lda + j];
    for (size_t p = 0; p < n && !failed; p++) {
        double *u_p = U + p * BLOCK;

        if (!(u_p[p] > 0 && u_p[p] <= DBL_MAX))
            failed = p + 1;
        u_p[p] = sqrt(u_p[p]);
        divide(n - p - 1, u_p + p + 1, u_p[p]);
        for (size_t i = p + 1; i < n; i++)
            axpy(n - i, -u_p[i], u_p + i, U + i * BLOCK + i);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            A[i * lda + j] = U[j * BLOCK + i];
    return failed;
}

/* A -= L L' for rows L of n elements: the lower triangle of A[m x m], m <= BLOCK. */
static void subtract_square(size_t m, size_t n, const double *L, size_t ldl, double *A, size_t lda)
{
    double S[BLOCK * BLOCK];

    products()->gemm_nt(m, m, n, L, ldl, L, ldl, 0, S, BLOCK);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++)
            A[i * lda + j] -= S[i * BLOCK + j];
}

/* B := B L'^-1 for m rows, L a block on the diagonal: through transposed tiles, so that what is inside runs along rows. */
static void solve_rows(size_t m, size_t n, const double *L, size_t ldl, double *B, size_t ldb)
{
    double T[BLOCK * BLOCK];

    for (size_t i = 0; i < m; i += BLOCK) {
        const size_t rows = min(m - i, BLOCK);

        transpose(rows, n, B + i * ldb, ldb, T, BLOCK);
        substitute(n, rows, L, ldl, T, BLOCK);
        transpose(n, rows, T, BLOCK, B + i * ldb, ldb);
    }
}

size_t ml__cholesky(size_t n, double *A, size_t lda)
{
    for (size_t j = 0; j < n; j += BLOCK) {
        const size_t columns = min(n - j, BLOCK), below = j + columns;
        double *L_j = A + j * lda, *B = A + below * lda;

        if (j > 0)
            subtract_square(columns, j, L_j, lda, L_j + j, lda);
        const size_t failed = factor_block(columns, L_j + j, lda);
        if (failed)
            return j + failed;
        if (j > 0 && below < n) {
            products()->gemm_nt(n - below, columns, j, B, lda, L_j, lda, -1, B + j, lda);
            negate(n - below, columns, B + j, lda);
        }
        solve_rows(n - below, columns, L_j + j, lda, B + j, lda);
    }
    return 0;
}

/* ---- symmetric eigenproblem ---- */

static void scale_lower(size_t n, double *A, size_t lda, int exponent)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            A[i * lda + j] = ldexp(A[i * lda + j], exponent);
}

/* p = A u for the symmetric A[n x n] whose lower triangle is given. */
static void symmetric_times_vector(size_t n, const double *A, size_t lda, const double *u, double *p)
{
    for (size_t j = 0; j < n; j++) {
        const double *a_j = A + j * lda;

        p[j] = dot(j + 1, a_j, u);
        axpy(j, u[j], a_j, p);
    }
}

/* Step 2 for one row: x = row i becomes u, the leading block A[i x i] is transformed; *e = g. Returns H. */
static double householder(size_t i, double *A, size_t lda, double *e)
{
    double *u = A + i * lda, *p = e; /* p, then q, in e[0..i-1], which is not in use yet */
    const double x_last = u[i - 1], norm2 = dot(i, u, u);

    if (norm2 <= TINY) {
        e[i] = 0;
        return 0;
    }
    const double g = -copysign(sqrt(norm2), x_last), H = norm2 - x_last * g;
    u[i - 1] = x_last - g;
    symmetric_times_vector(i, A, lda, u, p);
    for (size_t j = 0; j < i; j++)
        p[j] /= H;
    axpy(i, -dot(i, u, p) / (2 * H), u, p);
    for (size_t j = 0; j < i; j++) {
        axpy(j + 1, -u[j], p, A + j * lda);
        axpy(j + 1, -p[j], u, A + j * lda);
    }
    e[i] = g;
    return H;
}

/* Step 3: the rows u of A and the H in d are used up while W = Q' grows in their place; d becomes the diagonal of T. */
static void form_q(size_t n, double *A, size_t lda, double *d)
{
    for (size_t i = 0; i < n; i++) {
        double *u = A + i * lda;
        const double H = d[i];

        for (size_t r = 0; r < i; r++) {
            double *w = A + r * lda;
            if (H > 0)
                axpy(i, -dot(i, w, u) / H, u, w);
            w[i] = 0;
        }
        d[i] = u[i];
        for (size_t j = 0; j < i; j++)
            u[j] = 0;
        u[i] = 1;
    }
}

static void tridiagonalise(size_t n, double *A, size_t lda, double *d, double *e)
{
    for (size_t i = n - 1; i > 0; i--)
        d[i] = householder(i, A, lda, e);
    d[0] = 0;
    form_q(n, A, lda, d);
    for (size_t i = 1; i < n; i++) /* from here on e_i couples i and i+1 */
        e[i - 1] = e[i];
    e[n - 1] = 0;
}

/* Rows x and y of W become c x - s y and s x + c y. */
static void rotate(size_t n, double c, double s, double *restrict x, double *restrict y)
{
    for (size_t j = 0; j < n; j++) {
        const double x_j = x[j];
        x[j] = c * x_j - s * y[j];
        y[j] = s * x_j + c * y[j];
    }
}

static bool negligible(const double *d, const double *e, size_t m)
{
    return fabs(e[m]) <= DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1])) || fabs(e[m]) <= TINY;
}

/* One implicit QL sweep over the unreduced block l..m. */
static void ql_sweep(size_t n, size_t l, size_t m, double *d, double *e, double *W, size_t ldw)
{
    const double half = (d[l + 1] - d[l]) / (2 * e[l]);
    double g = d[m] - d[l] + e[l] / (half + copysign(hypot(half, 1), half)); /* d_m - shift */
    double s = 1, c = 1, p = 0;

    for (size_t i = m; i-- > l;) {
        const double f = s * e[i], b = c * e[i], r = hypot(f, g);

        e[i + 1] = r;
        if (r == 0) { /* the block splits here */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotate(n, c, s, W + i * ldw, W + (i + 1) * ldw);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static bool diagonalise(size_t n, double *d, double *e, double *W, size_t ldw)
{
    size_t n_sweeps = 0;

    for (size_t l = 0; l < n; l++)
        for (;;) {
            size_t m = l;

            while (m + 1 < n && !negligible(d, e, m))
                m++;
            if (m == l)
                break;
            if (n_sweeps++ == SWEEPS_PER_ROW * n)
                return false;
            ql_sweep(n, l, m, d, e, W, ldw);
        }
    return true;
}

static bool is_less(double x, double y)
{
    return x < y;
}

bool ml__symmetric_eigen(size_t n, double *A, size_t lda, double *values, double *e)
{
    int s;

    if (n == 0)
        return true;
    if (!ml__find_exponent(n, A, lda, &s))
        return false;
    scale_lower(n, A, lda, -s);
    tridiagonalise(n, A, lda, values, e);
    if (!diagonalise(n, values, e, A, lda))
        return false;
    ml__sort_pairs(n, is_less, values, A, lda);
    for (size_t i = 0; i < n; i++)
        values[i] = ldexp(values[i], s);
    return true;
}
