/* SPDX-License-Identifier: Apache-2.0 */
/* Leading eigenpairs: residuals, orthonormal vectors, and values against known spectra and ml__symmetric_eigen(). */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef double spectrum(size_t n, size_t i);

static double decaying(size_t n, size_t i)
{
    (void)n;
    return pow(0.8, (double)i);
}

static double of_both_signs(size_t n, size_t i)
{
    (void)n;
    return (i % 2 ? -1 : 1) * pow(0.85, (double)i);
}

static double linear(size_t n, size_t i)
{
    return (double)(n - i);
}

/* five, five, ... equal ones */
static double clustered(size_t n, size_t i)
{
    (void)n;
    return pow(0.5, (double)(i / 5));
}

static double rank_three(size_t n, size_t i)
{
    (void)n;
    return i < 3 ? (double)(3 - i) : 0;
}

static double constant(size_t n, size_t i)
{
    (void)n;
    (void)i;
    return 7;
}

static double zero(size_t n, size_t i)
{
    (void)n;
    (void)i;
    return 0;
}

static const struct {
    const char *name;
    spectrum *of;
} SPECTRA[] = {
    {"decaying", decaying},     {"of both signs", of_both_signs}, {"linear", linear}, {"clustered", clustered},
    {"rank three", rank_three}, {"constant", constant},           {"zero", zero}};

/* A = scale Q diag(λ) Q' for the product Q of three random reflections, rows n + 1 apart. */
static double *make_matrix(size_t n, spectrum *of, double scale)
{
    const size_t ld = n + 1;
    double *A = check_alloc(n * ld, sizeof *A), *u = check_alloc(n, sizeof *u), *p = check_alloc(n, sizeof *p);
    uint64_t state = n;

    for (size_t i = 0; i < n * ld; i++)
        A[i] = i % ld == n ? NAN : 0;
    for (size_t i = 0; i < n; i++)
        A[i * ld + i] = scale * of(n, i);
    for (int r = 0; r < 3; r++) { /* A := H A H, H = I - 2 u u' / u'u */
        double u2 = 0, up = 0;

        for (size_t i = 0; i < n; i++) {
            u[i] = check_uniform(&state);
            u2 += u[i] * u[i];
        }
        for (size_t i = 0; i < n; i++) {
            p[i] = 0;
            for (size_t j = 0; j < n; j++)
                p[i] += 2 / u2 * A[i * ld + j] * u[j];
            up += u[i] * p[i];
        }
        for (size_t i = 0; i < n; i++)
            p[i] -= up / u2 * u[i];
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                A[i * ld + j] -= p[i] * u[j] + u[i] * p[j];
    }
    free(u);
    free(p);
    return A;
}

/* 1 - |i - j| / n: the largest eigenvalue is about 0.7 n times the largest element. Rows n + 1 apart. */
static double *make_triangular_kernel(size_t n)
{
    double *A = check_alloc(n * (n + 1), sizeof *A);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            A[i * (n + 1) + j] = 1 - fabs((double)i - (double)j) / (double)n;
        A[i * (n + 1) + n] = NAN;
    }
    return A;
}

static void check_vectors(size_t n, size_t k, const double *A, const double *values, const double *V, double tol)
{
    for (size_t i = 0; i < k; i++) {
        double residual = 0;

        for (size_t r = 0; r < n; r++) {
            double sum = -values[i] * V[i * n + r];
            for (size_t j = 0; j < n; j++)
                sum += A[r * (n + 1) + j] * V[i * n + j];
            residual += sum / fmax(fabs(values[0]), DBL_MIN) * (sum / fmax(fabs(values[0]), DBL_MIN));
        }
        check_that(sqrt(residual) <= 1.1 * tol + 4 * (double)n * DBL_EPSILON, "residual %zu is %g", i, sqrt(residual));
        for (size_t l = 0; l <= i; l++) {
            double dot = 0;
            for (size_t j = 0; j < n; j++)
                dot += V[i * n + j] * V[l * n + j];
            check_that(fabs(dot - (i == l)) <= 1e-13, "vectors %zu and %zu have product %g", i, l, dot);
        }
    }
}

/* Without a context nothing fails: whether it converged. */
static bool find_leading(size_t n, size_t k, const double *A, size_t lda, const double *start, double tol,
                         size_t max_iter, double *values, double *vectors, double *work)
{
    bool converged;

    check_that(ml__leading_eigen(NULL, n, k, A, lda, start, tol, max_iter, values, vectors, work, &converged) == ML_OK,
               "an error without an executor");
    return converged;
}

/* What ml__symmetric_eigen() finds, by magnitude. */
static void check_against_all(size_t n, size_t k, const double *A, const double *values, double tol)
{
    double *all = check_alloc(n * (n + 1), sizeof *all), *of_all = check_alloc(2 * n, sizeof *of_all);

    memcpy(all, A, n * (n + 1) * sizeof *all);
    check_that(ml__symmetric_eigen(n, all, n + 1, of_all, of_all + n), "no convergence of all");
    for (size_t i = 0, low = 0, high = n; i < k; i++) { /* ascending: the largest magnitude is at one end */
        const double want = fabs(of_all[low]) > fabs(of_all[high - 1]) ? of_all[low++] : of_all[--high];
        check_that(fabs(fabs(values[i]) - fabs(want)) <= (tol + 1e-13) * fabs(values[0]),
                   "value %zu is %.17g, not %.17g", i, values[i], want);
    }
    free(all);
    free(of_all);
}

static void check_leading(size_t n, size_t k, size_t which, double scale, double tol)
{
    spectrum *of = SPECTRA[which].of;
    double *A = make_matrix(n, of, scale), *V = check_alloc(k * n, sizeof *V), *values = check_alloc(k, sizeof *values);
    double *work = check_alloc(ml__leading_eigen_work(n, k), sizeof *work), *again = check_alloc(k * n, sizeof *again);

    check_begin("%zu leading eigenpairs of %zu x %zu, %s, scale %g, tol %g", k, n, n, SPECTRA[which].name, scale, tol);
    check_that(find_leading(n, k, A, n + 1, NULL, tol, 2000, values, V, work), "no convergence");
    for (size_t i = 0; i < k; i++) {
        check_that(i == 0 || fabs(values[i - 1]) >= fabs(values[i]), "values %zu and %zu are not in order", i - 1, i);
        check_that(fabs(fabs(values[i]) - scale * fabs(of(n, i))) <= (tol + 1e-13) * scale * fabs(of(n, 0)),
                   "value %zu is %.17g, not %.17g", i, values[i], scale * of(n, i));
    }
    check_vectors(n, k, A, values, V, fmax(tol, (double)n * DBL_EPSILON));
    if (n <= 120)
        check_against_all(n, k, A, values, tol);
    check_digest(V, k * n * sizeof *V);
    memcpy(again, V, k * n * sizeof *V); /* a good start is as good after one iteration */
    check_that(find_leading(n, k, A, n + 1, again, 4 * tol + 1e-13, 1, values, V, work), "not from its own result");
    check_end();
    free(A);
    free(V);
    free(values);
    free(work);
    free(again);
}

/* A' = 2^(exponent - s) A for elements cut to 20 bits, exact down to the smallest exponent: vectors keep their bits.
 * Frees A. */
static void check_extreme(size_t n, size_t k, double *A, const char *name, int exponent)
{
    const size_t ld = n + 1;
    double *V = check_alloc(2 * k * n, sizeof *V), *values = check_alloc(2 * k, sizeof *values), largest = 0;
    double *work = check_alloc(ml__leading_eigen_work(n, k), sizeof *work);
    int s;

    for (size_t i = 0; i < n * ld; i++)
        largest = fmax(largest, fabs(A[i])); /* not the NaN between rows */
    frexp(largest, &s);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            A[i * ld + j] = A[j * ld + i] = ldexp(trunc(ldexp(A[i * ld + j], 20 - s)), s - 20);
    check_begin("%zu leading eigenpairs of %zu x %zu, %s, elements up to %g", k, n, n, name,
                ldexp(largest, exponent - s));
    check_that(find_leading(n, k, A, ld, NULL, 1e-9, 2000, values, V, work), "no convergence of A");
    for (size_t i = 0; i < n * ld; i++)
        A[i] = ldexp(A[i], exponent - s);
    check_that(find_leading(n, k, A, ld, NULL, 1e-9, 2000, values + k, V + k * n, work), "no convergence");
    for (size_t i = 0; i < k; i++)
        check_that(values[k + i] == ldexp(values[i], exponent - s), "value %zu is %g, not %g", i, values[k + i],
                   ldexp(values[i], exponent - s));
    check_that(memcmp(V, V + k * n, k * n * sizeof *V) == 0, "the vectors differ from those of A");
    check_end();
    free(A);
    free(V);
    free(values);
    free(work);
}

static void check_refusals(void)
{
    double A[] = {1, 2, 2, NAN}, values[2], V[4], work[64];

    check_begin("leading eigenpairs that are not there");
    check_that(ml__leading_eigen_work(2, 2) <= 64, "the workspace is too small for this test");
    check_that(!find_leading(2, 1, A, 2, NULL, 0, 100, values, V, work), "NaN was not refused");
    check_that(isnan(values[0]), "the value of a matrix with NaN is %g", values[0]);
    A[3] = -INFINITY;
    check_that(!find_leading(2, 1, A, 2, NULL, 0, 100, values, V, work), "inf was not refused");
    A[1] = NAN; /* above the diagonal it is found by the eigenproblem inside */
    A[3] = values[0] = values[1] = 1;
    check_that(!find_leading(2, 2, A, 2, NULL, 0, 100, values, V, work), "an eigenproblem with NaN was solved");
    check_that(isnan(values[0]) && isnan(values[1]), "its values are %g and %g", values[0], values[1]);
    check_that(find_leading(0, 0, NULL, 0, NULL, 0, 100, NULL, NULL, work), "nothing was refused");
    check_end();
}

/* Too few iterations say so, and give what they have. */
static void check_too_few(void)
{
    enum { N = 200, K = 5 };
    double *A = make_matrix(N, linear, 1), values[K], *V = check_alloc(K * N, sizeof *V);
    double *work = check_alloc(ml__leading_eigen_work(N, K), sizeof *work);

    check_begin("two iterations for leading eigenpairs");
    check_that(!find_leading(N, K, A, N + 1, NULL, 1e-10, 2, values, V, work), "were enough");
    check_that(values[0] > 100 && values[0] <= 200.001, "the largest value is %g", values[0]);
    check_end();
    free(A);
    free(V);
    free(work);
}

void check_subspace(void)
{
    static const size_t SHAPES[][2] = {{1, 1}, {2, 1}, {5, 5}, {30, 3}, {64, 10}, {100, 100}, {120, 1}, {400, 12}};
    static const int EXPONENTS[] = {-1029, 1024}; /* 1e-310, 1e308 */

    for (size_t which = 0; which < sizeof SPECTRA / sizeof SPECTRA[0]; which++)
        for (size_t s = 0; s < sizeof SHAPES / sizeof SHAPES[0]; s++) {
            check_leading(SHAPES[s][0], SHAPES[s][1], which, 1, 1e-6);
            if (SHAPES[s][0] < 400)
                check_leading(SHAPES[s][0], SHAPES[s][1], which, s % 2 ? 1e200 : 1e-200, 1e-9);
        }
    for (size_t e = 0; e < sizeof EXPONENTS / sizeof EXPONENTS[0]; e++) {
        for (size_t which = 0; which < sizeof SPECTRA / sizeof SPECTRA[0]; which++)
            check_extreme(64, 10, make_matrix(64, SPECTRA[which].of, 1), SPECTRA[which].name, EXPONENTS[e]);
        check_extreme(64, 10, make_triangular_kernel(64), "triangular kernel", EXPONENTS[e]);
    }
    check_refusals();
    check_too_few();
}
