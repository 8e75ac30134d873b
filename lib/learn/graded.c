/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eigenpairs of graded matrices.
 *
 * A solver that works on a matrix as a whole leaves an error of eps λ_1 in each eigenvalue: those below that are lost, and where
 * the matrix is made of squares that is a ratio of 1e-8 of singular values. Here errors are relative to the rows, or to the
 * diagonal (Demmel & Veselić 1992, "Jacobi's method is more accurate than QR").
 *
 * Rows        one-sided Jacobi (Hestenes): rows p < q with squared lengths a, b and product c are rotated by
 *                 ζ = (b - a) / 2c,  t = sign ζ / (|ζ| + sqrt(1 + ζ²)),  x_p := (x_p - t x_q) / sqrt(1 + t²),
 *                                                                     x_q := (t x_p + x_q) / sqrt(1 + t²)
 *             unless |c| <= sqrt(n) eps sqrt(a b); longer rows first, which the rotations keep in order
 * Matrix      S = U'U by Cholesky with the largest pivot first, rotated rows of U are sqrt(λ_i) v_i (Veselić & Hari 1989). A pivot
 *             that is rounding beside S_jj counts as 0; the v_i of values 0 complete the basis.
 * Doubt       an error of eps sqrt(S_ii S_jj) in S_ij moves λ_i by up to  eps (Σ_j |v_ij| sqrt S_jj)²
 * Scatter     rows turned by V, y = V (x - mean), have a scatter matrix with small elements where variances are small, so
 *             that its eigenpairs are known to the rounding of y, eps |x|: what a singular value decomposition of the rows
 *             gives. V becomes R V, R its eigenvectors. Repeated while values above that rounding are in doubt.
 *
 * Symbols     m rows of length n; d features
 * Degenerate  rows below 2^-500 of the longest count as 0
 * Cost        m² / 2 rotations of n numbers a sweep, some 3 to 8 sweeps; of a scatter matrix 3 n d² / 2 multiply-adds a pass
 */
#include "learn/graded.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/product.h"
#include "learn/principal.h"
#include "learn/scatter.h"

/* ---- rows ---- */

enum { MAX_SWEEPS = 40 };
static const double LEAST_LENGTH = 0x1p-1000; /* squared */

/* One half of s first, as 2^-s itself may be infinite. */
int ml__scale_down(size_t count, double *A)
{
    double largest = 0, half, other;
    int s;

    for (size_t i = 0; i < count; i++)
        largest = fabs(A[i]) > largest ? fabs(A[i]) : largest;
    frexp(largest, &s);
    half = ldexp(1, -(s / 2));
    other = ldexp(1, s / 2 - s);
    for (size_t i = 0; i < count; i++)
        A[i] = A[i] * half * other;
    return s;
}

static void swap_rows(size_t n, double *x, double *y)
{
    for (size_t j = 0; j < n; j++) {
        const double x_j = x[j];
        x[j] = y[j];
        y[j] = x_j;
    }
}

static void sort_rows(size_t m, size_t n, double *A, size_t p, double *C, double *values)
{
    for (size_t i = 0; i < m; i++) {
        size_t longest = i;

        for (size_t j = i + 1; j < m; j++)
            if (values[j] > values[longest])
                longest = j;
        if (longest == i)
            continue;
        swap_rows(1, values + i, values + longest);
        swap_rows(n, A + i * n, A + longest * n);
        swap_rows(p, C + i * p, C + longest * p);
    }
}

static void rotate(size_t n, double c, double s, double *restrict x, double *restrict y)
{
    for (size_t j = 0; j < n; j++) {
        const double x_j = x[j];
        x[j] = c * x_j - s * y[j];
        y[j] = s * x_j + c * y[j];
    }
}

/* The squared length of a row, `moved` from what it was; of what nearly vanished, from the row. */
static double moved_length(size_t n, const double *x, double length, double moved)
{
    return length + moved > 0.1 * length ? length + moved : ml__kernels_best()->f64.dot(n, x, x);
}

/* Each pair of rows once: was any turned? */
static bool sweep(size_t m, size_t n, double *A, size_t p, double *C, double *values)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const double tol = sqrt((double)n) * DBL_EPSILON;
    bool any = false;

    for (size_t i = 0; i < m; i++)
        for (size_t j = i + 1; j < m && values[i] >= LEAST_LENGTH; j++) {
            double *x = A + i * n, *y = A + j * n;
            const double product = values[j] >= LEAST_LENGTH ? kernels->dot(n, x, y) : 0;

            if (fabs(product) <= tol * sqrt(values[i]) * sqrt(values[j]))
                continue;
            const double zeta = (values[j] - values[i]) / (2 * product);
            const double t = copysign(1 / (fabs(zeta) + hypot(1, zeta)), zeta), c = 1 / sqrt(1 + t * t);
            rotate(n, c, c * t, x, y);
            rotate(p, c, c * t, C + i * p, C + j * p);
            values[i] = moved_length(n, x, values[i], -t * product);
            values[j] = moved_length(n, y, values[j], t * product);
            any = true;
        }
    return any;
}

static void measure_and_sort(size_t m, size_t n, double *A, size_t p, double *C, double *values)
{
    for (size_t i = 0; i < m; i++)
        values[i] = ml__kernels_best()->f64.dot(n, A + i * n, A + i * n);
    sort_rows(m, n, A, p, C, values);
}

void ml__graded_rows(size_t m, size_t n, double *A, size_t p, double *C, double *values)
{
    const int exponent = ml__scale_down(m * n, A);

    measure_and_sort(m, n, A, p, C, values);
    for (int sweeps = 0; sweeps < MAX_SWEEPS && sweep(m, n, A, p, C, values); sweeps++)
        measure_and_sort(m, n, A, p, C, values);
    for (size_t i = 0; i < m; i++)
        values[i] = values[i] >= LEAST_LENGTH ? ldexp(values[i], 2 * exponent) : 0;
}

/* ---- a matrix ---- */

/* The largest pivot left that is more than rounding, or d. */
static size_t next_pivot(size_t d, const double *S, const double *diagonal, const bool *is_done)
{
    size_t next = d;

    for (size_t j = 0; j < d; j++)
        if (!is_done[j] && S[j * d + j] > (double)d * DBL_EPSILON * diagonal[j] &&
            (next == d || S[j * d + j] > S[next * d + next]))
            next = j;
    return next;
}

/* S = U'U: the rows of U, which come to stand in U[d x d]; returns how many there are. S is used up. */
static size_t factor(size_t d, double *S, const double *diagonal, bool *is_done, double *U)
{
    size_t rank = 0;

    for (size_t p; (p = next_pivot(d, S, diagonal, is_done)) < d; rank++) {
        double *u = U + rank * d;
        const double pivot = sqrt(S[p * d + p]);

        is_done[p] = true;
        for (size_t j = 0; j < d; j++)
            u[j] = j == p ? pivot : is_done[j] ? 0 : S[p * d + j] / pivot;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d && !is_done[i]; j++)
                S[i * d + j] -= u[i] * u[j];
    }
    return rank;
}

/* `lengths` are sqrt S_jj. */
static void find_doubt(size_t d, const double *lengths, const double *vectors, double *doubt)
{
    for (size_t i = 0; i < d; i++) {
        double sum = 0;

        for (size_t j = 0; j < d; j++)
            sum += fabs(vectors[i * d + j]) * lengths[j];
        doubt[i] = DBL_EPSILON * sum * sum;
    }
}

ml_status ml__graded_eigen(ml__arena *scratch, size_t d, double *S, double *values, double *vectors, double *doubt)
{
    double *diagonal;
    bool *is_done;
    size_t rank;
    ml_status st = ML_OK;

    ML__NEW(scratch, diagonal, d);
    ML__NEW(scratch, is_done, d);
    for (size_t j = 0; j < d; j++)
        diagonal[j] = S[j * d + j];
    rank = factor(d, S, diagonal, is_done, vectors);
    memset(values, 0, d * sizeof *values);
    ml__graded_rows(rank, d, vectors, 0, vectors, values);
    ml__principal_orthonormalise(d, d, values, vectors);
    for (size_t j = 0; j < d; j++)
        diagonal[j] = sqrt(diagonal[j]);
    find_doubt(d, diagonal, vectors, doubt);
done:
    return st;
}

/* ---- a scatter matrix ---- */

enum { MAX_PASSES = 3 };
static const double TOL = 1e-9;

/* Is a value that is more than the rounding of rows not known to TOL? A value of 0 may be one that was lost. */
static bool is_doubtful(size_t d, const double *values, const double *doubt)
{
    const double least = values[0] * ((double)d * DBL_EPSILON) * ((double)d * DBL_EPSILON);

    for (size_t i = 0; i < d; i++)
        if (fmax(values[i], least) * TOL < doubt[i] && doubt[i] > least)
            return true;
    return false;
}

ml_status ml__graded_scatter(ml__arena *scratch, const ml_dataset *data, const double *w, const double *mean, double *V,
                             double *values)
{
    const size_t d = ml_dataset_n_features(data);
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, scratch->context};
    double *S, *R, *turned, *doubt;
    ml_status st = ML_OK;

    ML__NEW(scratch, S, d * d);
    ML__NEW(scratch, R, d * d);
    ML__NEW(scratch, turned, d * d);
    ML__NEW(scratch, doubt, d);
    for (int pass = 0; pass < MAX_PASSES; pass++) {
        ML__TRY(ml__scatter_along(scratch->context, data, w, mean, V, S));
        ML__TRY(ml__graded_eigen(scratch, d, S, values, R, doubt));
        ML__TRY(ml__product_gemm_nn_f64(&crew, d, d, d, R, d, V, d, 0, turned, d));
        memcpy(V, turned, d * d * sizeof *V);
        if (!is_doubtful(d, values, doubt))
            break;
    }
done:
    return st;
}
