/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The factorisations by their residuals, as LAPACK's tests do: a ratio such as |A - L L'| / (n eps |A|) in the 1-norm,
 * computed in long double, stays below 16 for a backward stable algorithm whatever the matrix.
 */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double THRESHOLD = 16;
static const size_t SIZES[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 32, 33, 64, 65, 100};
enum { N_SIZES = sizeof SIZES / sizeof SIZES[0] };

/* ---- square matrices: n x n used, rows n + 2 apart, one element offset; unused parts are NaN ---- */

typedef struct {
    size_t n, m, ld;
    double *all, *at;
} matrix;

static matrix make(size_t n, size_t m)
{
    matrix M = {n, m, m + 2, NULL, NULL};

    M.all = check_alloc(1 + n * M.ld, sizeof(double));
    M.at = M.all + 1;
    for (size_t i = 0; i < 1 + n * M.ld; i++)
        M.all[i] = NAN;
    return M;
}

static matrix copy(const matrix *M)
{
    matrix C = make(M->n, M->m);

    memcpy(C.all, M->all, (1 + M->n * M->ld) * sizeof(double));
    return C;
}

static double *at(const matrix *M, size_t i, size_t j)
{
    return M->at + i * M->ld + j;
}

static double symmetric_at(const matrix *A, size_t i, size_t j)
{
    return i >= j ? *at(A, i, j) : *at(A, j, i);
}

/* Elements outside the n x m block are still NaN, and with `lower` those above the diagonal. */
static void check_unused(const matrix *M, const char *name, bool lower)
{
    check_that(isnan(M->all[0]), "%s was written in front", name);
    for (size_t i = 0; i < M->n; i++)
        for (size_t j = lower ? i + 1 : M->m; j < M->ld; j++)
            check_that(isnan(*at(M, i, j)), "element (%zu, %zu) of %s was written", i, j, name);
}

/* ---- matrices to factor: only the lower triangle is set ---- */

typedef enum {
    ZERO,
    IDENTITY,
    DIAGONAL,
    RANDOM,
    ONES,
    HILBERT,
    SECOND_DIFFERENCES,
    WILKINSON,
    GRADED_DOWN,
    GRADED_UP,
    REPEATED,
    RANK_ONE,
    CLUSTERED,
    ARROW,
    BLOCKS_APART,
    N_KINDS
} kind;
static const char *const KIND_NAMES[] = {"zero",
                                         "identity",
                                         "diagonal",
                                         "random",
                                         "ones",
                                         "hilbert",
                                         "second differences",
                                         "wilkinson",
                                         "graded down",
                                         "graded up",
                                         "repeated eigenvalues",
                                         "rank one",
                                         "clustered",
                                         "arrow",
                                         "two blocks, 1e-200 apart"};

/* Σ_k λ_k h_k h_k' over the rows of I - 2 v v'/v'v: eigenvalues 1, 1, 2, 2, ... or 1, 1 + eps, ... up to rounding. */
static double with_eigenvalues(size_t n, size_t i, size_t j, bool repeated)
{
    double sum = 0, v2 = 0;

    for (size_t k = 0; k < n; k++)
        v2 += 1.0 / (double)((k + 1) * (k + 1));
    for (size_t k = 0; k < n; k++) {
        const double lambda = repeated ? 1 + (double)(k * 3 / (n + 1)) : 1 + (double)k * DBL_EPSILON;
        const double h_i = (k == i) - 2 / (v2 * (double)((k + 1) * (i + 1)));
        const double h_j = (k == j) - 2 / (v2 * (double)((k + 1) * (j + 1)));
        sum += lambda * h_i * h_j;
    }
    return sum;
}

static double element(kind what, size_t n, size_t i, size_t j, uint64_t *state)
{
    const double u = check_uniform(state), p = (double)i, q = (double)j, half = ((double)n - 1) / 2;

    switch (what) {
    case IDENTITY:
        return i == j;
    case DIAGONAL:
        return i == j ? u : 0;
    case RANDOM:
        return u;
    case ONES:
        return 1;
    case HILBERT:
        return 1 / (p + q + 1);
    case SECOND_DIFFERENCES:
        return i == j ? 2 : i == j + 1 ? -1 : 0;
    case WILKINSON:
        return i == j ? fabs(p - half) : i == j + 1 ? 1 : 0;
    case GRADED_DOWN:
        return u * pow(10, -(p + q));
    case GRADED_UP:
        return u * pow(10, (p + q) - 2 * (double)n);
    case REPEATED:
        return with_eigenvalues(n, i, j, true);
    case RANK_ONE:
        return (p + 1) * (q - half);
    case CLUSTERED:
        return with_eigenvalues(n, i, j, false);
    case ARROW:
        return i == j ? u : i == n - 1 ? 1 : 0;
    case BLOCKS_APART:
        return (i < n / 2) == (j < n / 2) ? u : 1e-200 * u;
    default:
        return 0;
    }
}

static matrix make_symmetric(kind what, size_t n, double scale)
{
    matrix A = make(n, n);
    uint64_t state = 17 * n + what;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            *at(&A, i, j) = scale * element(what, n, i, j, &state);
    return A;
}

/* A random matrix times its transpose, plus `shift` on the diagonal. */
static matrix make_positive(size_t n, double shift, double scale)
{
    matrix A = make(n, n), G = make(n, n);
    uint64_t state = n;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            *at(&G, i, j) = check_uniform(&state);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = i == j ? shift : 0;
            for (size_t p = 0; p < n; p++)
                sum += *at(&G, i, p) * *at(&G, j, p);
            *at(&A, i, j) = scale * sum;
        }
    free(G.all);
    return A;
}

static matrix make_lower(size_t n)
{
    matrix L = make(n, n);
    uint64_t state = n + 3;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            *at(&L, i, j) = check_uniform(&state) + (i == j ? 2 : 0);
    return L;
}

/* ---- norms ---- */

static double norm_lower(const matrix *L)
{
    double norm = 0;

    for (size_t j = 0; j < L->n; j++) {
        double sum = 0;
        for (size_t i = j; i < L->n; i++)
            sum += fabs(*at(L, i, j));
        norm = fmax(norm, sum);
    }
    return norm;
}

static double norm_symmetric(const matrix *A)
{
    double norm = 0;

    for (size_t i = 0; i < A->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < A->n; j++)
            sum += fabs(symmetric_at(A, i, j));
        norm = fmax(norm, sum);
    }
    return norm;
}

static double norm_column(const matrix *B, size_t j)
{
    double norm = 0;

    for (size_t i = 0; i < B->n; i++)
        norm += fabs(*at(B, i, j));
    return norm;
}

/* error / (n eps scale) below the threshold; 0 / 0 counts as 0. */
static void check_ratio(const char *what, long double error, size_t n, double scale)
{
    const long double ratio = error == 0 ? 0 : error / scale / (n * DBL_EPSILON);

    check_that(ratio < THRESHOLD, "%s: ratio %Lg", what, ratio);
    check_measure(what, (double)ratio);
}

/* ---- Cholesky and triangular systems ---- */

static void check_cholesky(const char *name, matrix A)
{
    matrix L = copy(&A);
    long double error = 0;

    check_begin("cholesky of %zu x %zu, %s", A.n, A.n, name);
    const size_t failed = ml__cholesky(A.n, L.at, L.ld);
    check_that(failed == 0, "pivot %zu of a positive definite matrix failed", failed);
    for (size_t i = 0; i < A.n && !failed; i++) {
        long double row = 0;
        for (size_t j = 0; j < A.n; j++) {
            long double difference = symmetric_at(&A, i, j);
            for (size_t p = 0; p <= (i < j ? i : j); p++)
                difference -= (long double)*at(&L, i, p) * *at(&L, j, p);
            row += fabsl(difference);
        }
        error = fmaxl(error, row);
    }
    check_unused(&L, "A", true);
    check_ratio("cholesky: |A - LL'| / (n eps |A|)", error, A.n, norm_symmetric(&A));
    check_end();
    free(L.all);
    free(A.all);
}

/* The identity, or a positive definite matrix, whose pivot j is made 0, negative, NaN or infinite. */
static void check_failing_pivot(size_t n, size_t j)
{
    const double bad[] = {0, -1, -1e-300, NAN, INFINITY};

    for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
        matrix A = make_symmetric(IDENTITY, n, 1), P = make_positive(n, 1, 1);

        check_begin("cholesky of %zu x %zu, pivot %zu is %g", n, n, j, bad[b]);
        *at(&A, j, j) = bad[b];
        check_that(ml__cholesky(n, A.at, A.ld) == j + 1, "of a diagonal matrix: not found");
        *at(&P, j, j) = bad[b];
        check_that(ml__cholesky(n, P.at, P.ld) == j + 1, "of a full matrix: not found");
        check_unused(&A, "A", true);
        check_end();
        free(A.all);
        free(P.all);
    }
}

static void check_positive_matrices(size_t n)
{
    static const double SCALES[] = {1, 1e-150, 1e150, 1e-290, 1e290};

    for (size_t s = 0; s < sizeof SCALES / sizeof SCALES[0]; s++) {
        check_cholesky("well conditioned", make_positive(n, (double)n, SCALES[s]));
        check_cholesky("ill conditioned", make_positive(n, 1e-9, SCALES[s]));
        check_cholesky("second differences", make_symmetric(SECOND_DIFFERENCES, n, SCALES[s]));
        check_cholesky("identity", make_symmetric(IDENTITY, n, SCALES[s]));
        if (n <= 9)
            check_cholesky("hilbert", make_symmetric(HILBERT, n, SCALES[s]));
    }
    for (size_t j = 0; j < n; j++)
        check_failing_pivot(n, j);
}

typedef void (*solver)(size_t n, size_t m, const double *L, size_t ldl, double *B, size_t ldb);

static long double solve_residual(const matrix *L, const matrix *X, const matrix *B, size_t j, bool transposed)
{
    long double error = 0;

    for (size_t i = 0; i < L->n; i++) {
        long double difference = *at(B, i, j);
        for (size_t p = transposed ? i : 0; p < (transposed ? L->n : i + 1); p++)
            difference -= (long double)(transposed ? *at(L, p, i) : *at(L, i, p)) * *at(X, p, j);
        error += fabsl(difference);
    }
    return error;
}

static void check_solve(const char *name, solver solve, bool transposed, size_t n, size_t m)
{
    matrix L = make_lower(n), L_copy = copy(&L), B = make(n, m), alone = make(n, 1);
    uint64_t state = n * 31 + m;

    check_begin("%s with %zu x %zu, %zu right-hand sides", name, n, n, m);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            *at(&B, i, j) = check_uniform(&state);
    matrix X = copy(&B);
    solve(n, m, L.at, L.ld, X.at, X.ld);
    for (size_t j = 0; j < m; j++) {
        check_ratio("solves: |B - LX| / (n eps |L| |X|)", solve_residual(&L, &X, &B, j, transposed), n,
                    norm_lower(&L) * norm_column(&X, j));
        for (size_t i = 0; i < n; i++)
            *at(&alone, i, 0) = *at(&B, i, j);
        solve(n, 1, L.at, L.ld, alone.at, alone.ld);
        for (size_t i = 0; i < n; i++)
            check_that(*at(&alone, i, 0) == *at(&X, i, j), "column %zu alone differs", j);
    }
    check_unused(&X, "B", false);
    check_that(memcmp(L.all, L_copy.all, (1 + n * L.ld) * sizeof(double)) == 0, "L was written");
    check_end();
    free(L.all);
    free(L_copy.all);
    free(B.all);
    free(X.all);
    free(alone.all);
}

static void check_inverse(size_t n)
{
    matrix L = make_lower(n), X = make(n, n);
    long double error = 0;
    double norm_x = 0;

    check_begin("inverse of lower triangular %zu x %zu", n, n);
    ml__invert_lower(n, L.at, L.ld, X.at, X.ld);
    for (size_t j = 0; j < n; j++) {
        long double column = 0;
        norm_x = fmax(norm_x, norm_column(&X, j));
        for (size_t i = 0; i < n; i++) {
            long double difference = i == j;
            for (size_t p = 0; p <= i; p++)
                difference -= (long double)*at(&L, i, p) * *at(&X, p, j);
            column += fabsl(difference);
            check_that(i >= j || *at(&X, i, j) == 0, "element (%zu, %zu) is not 0", i, j);
        }
        error = fmaxl(error, column);
    }
    check_unused(&L, "L", true);
    check_unused(&X, "X", false);
    check_ratio("inverse: |I - LX| / (n eps |L| |X|)", error, n, norm_lower(&L) * norm_x);
    check_end();
    free(L.all);
    free(X.all);
}

/* ---- triangular product ---- */

static void check_multiply_upper(const ml__kernels *table, size_t m, size_t n)
{
    matrix A = make(m, n), U = make(n, n), C = make(m, n), row = make(1, n);
    uint64_t state = m * 7 + n;

    check_begin("%s product of %zu x %zu with an upper triangle", table->name, m, n);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            *at(&A, i, j) = check_uniform(&state);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            *at(&U, i, j) = i <= j ? check_uniform(&state) : 0;
    ml__multiply_upper(&table->f64, m, n, A.at, A.ld, U.at, U.ld, C.at, C.ld);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            long double want = 0, size = 0;
            for (size_t p = 0; p <= j; p++) {
                want += (long double)*at(&A, i, p) * *at(&U, p, j);
                size += fabsl((long double)*at(&A, i, p) * *at(&U, p, j));
            }
            check_that(fabsl(*at(&C, i, j) - want) <= (n + 1) * DBL_EPSILON * size, "element (%zu, %zu) is %g", i, j,
                       *at(&C, i, j));
        }
    for (size_t i = 0; i < m && table->chain != ML__CHAIN_NONE; i++) {
        ml__multiply_upper(&table->f64, 1, n, at(&A, i, 0), A.ld, U.at, U.ld, row.at, row.ld);
        check_that(memcmp(row.at, at(&C, i, 0), n * sizeof(double)) == 0, "row %zu alone differs", i);
    }
    check_unused(&C, "C", false);
    check_end();
    free(A.all);
    free(U.all);
    free(C.all);
    free(row.all);
}

/* ---- symmetric eigenproblem ---- */

/* max_k |A v_k - λ_k v_k|_1 and max_i |(V V' - I)_i|_1, eigenvectors in the rows of V. */
static long double eigen_residual(const matrix *A, const matrix *V, const double *values)
{
    long double error = 0;

    for (size_t k = 0; k < A->n; k++) {
        long double column = 0;
        for (size_t i = 0; i < A->n; i++) {
            long double difference = -(long double)values[k] * *at(V, k, i);
            for (size_t j = 0; j < A->n; j++)
                difference += (long double)symmetric_at(A, i, j) * *at(V, k, j);
            column += fabsl(difference);
        }
        error = fmaxl(error, column);
    }
    return error;
}

static long double orthogonality(const matrix *V)
{
    long double error = 0;

    for (size_t k = 0; k < V->n; k++) {
        long double row = 0;
        for (size_t i = 0; i < V->n; i++) {
            long double difference = -(long double)(i == k);
            for (size_t j = 0; j < V->n; j++)
                difference += (long double)*at(V, i, j) * *at(V, k, j);
            row += fabsl(difference);
        }
        error = fmaxl(error, row);
    }
    return error;
}

/* Eigenvalues known in closed form: the second differences have 2 - 2 cos(k π / (n + 1)), ones have 0 .. 0, n. */
static void check_known_values(kind what, size_t n, double scale, const double *values)
{
    for (size_t k = 0; k < n; k++) {
        double want = values[k];

        if (what == IDENTITY)
            want = scale;
        if (what == SECOND_DIFFERENCES)
            want = scale * (2 - 2 * cos((double)(k + 1) * 3.14159265358979323846 / (double)(n + 1)));
        if (what == ONES)
            want = k + 1 == n ? scale * (double)n : 0;
        if (what == REPEATED)
            want = scale * (1 + (double)(k * 3 / (n + 1)));
        check_that(fabs(values[k] - want) <= 8 * (double)n * DBL_EPSILON * scale * 4,
                   "eigenvalue %zu is %.17g, not %.17g", k, values[k], want);
    }
}

static void check_eigen(kind what, size_t n, double scale)
{
    matrix A = make_symmetric(what, n, scale), V = copy(&A);
    double *values = check_alloc(n, sizeof(double)), *e = check_alloc(n, sizeof(double));

    check_begin("eigen of %zu x %zu, %s, scale %g", n, n, KIND_NAMES[what], scale);
    check_that(ml__symmetric_eigen(n, V.at, V.ld, values, e), "no convergence");
    for (size_t k = 1; k < n; k++)
        check_that(values[k - 1] <= values[k], "eigenvalues %zu and %zu are not in order", k - 1, k);
    check_ratio("eigen: |AV - VD| / (n eps |A|)", eigen_residual(&A, &V, values), n, norm_symmetric(&A));
    check_ratio("eigen: |VV' - I| / (n eps)", orthogonality(&V), n, 1);
    check_known_values(what, n, scale, values);
    check_unused(&V, "A", false);
    check_digest(V.all, (1 + n * V.ld) * sizeof(double));
    check_end();
    free(A.all);
    free(V.all);
    free(values);
    free(e);
}

static void check_eigen_refuses(size_t n, double bad)
{
    matrix A = make_symmetric(RANDOM, n, 1);
    double *values = check_alloc(n, sizeof(double)), *e = check_alloc(n, sizeof(double));

    check_begin("eigen of %zu x %zu with %g", n, n, bad);
    *at(&A, n - 1, n / 2) = bad;
    check_that(!ml__symmetric_eigen(n, A.at, A.ld, values, e), "was not refused");
    check_end();
    free(A.all);
    free(values);
    free(e);
}

void check_factor(void)
{
    static const double SCALES[] = {1, 1e-150, 1e150, 1e-300, 1e300};
    static const size_t SIDES[] = {0, 1, 2, 5, 17};
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    for (size_t s = 0; s < N_SIZES; s++) {
        const size_t n = SIZES[s];

        check_positive_matrices(n);
        check_inverse(n);
        for (size_t t = 0; t < n_tables; t++)
            check_multiply_upper(tables[t], SIZES[N_SIZES - 1 - s], n);
        for (size_t r = 0; r < sizeof SIDES / sizeof SIDES[0]; r++) {
            check_solve("solve", ml__solve_lower, false, n, SIDES[r]);
            check_solve("transposed solve", ml__solve_lower_transposed, true, n, SIDES[r]);
        }
        for (size_t what = 0; what < N_KINDS; what++)
            for (size_t c = 0; c < sizeof SCALES / sizeof SCALES[0]; c++)
                check_eigen((kind)what, n, SCALES[c]);
        if (n > 0) {
            check_eigen_refuses(n, NAN);
            check_eigen_refuses(n, -INFINITY);
        }
    }
}
