/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leading eigenpairs of a large symmetric matrix by subspace iteration.
 *
 * Problem     A v_i = λ_i v_i for the k eigenvalues of largest |λ|, A[n x n] symmetric, k << n
 * Iteration   b = min(n, k + max(k, EXTRA)) orthonormal rows V span a subspace;
 *                 W = V A,   W V' = S' Θ S by its eigenvectors, |θ| descending (Rayleigh-Ritz)
 *                 Z = S V the Ritz vectors, S W = Z A their images;   V := an orthonormal basis of T_3(A / |θ_b|) Z,
 *             T_3 x = 4 x³ - 3 x of Chebyshev, at most 1 where |λ| <= |θ_b| and growing fast beyond, by way of
 *             T_i+1 x = 2 x T_i x - T_i-1 x from the images; of the images where |θ_b| is too small to divide by
 *             (Rutishauser 1970, contribution II/9 of Wilkinson & Reinsch, Linear Algebra, 1971; Parlett, The Symmetric
 *             Eigenvalue Problem, 1998, chapter 14; the filter: Zhou, Saad, Tiago & Chelikowsky 2006.) Pair i gains a factor
 *             T_3(λ_i / θ_b) per iteration: the rows beyond k make that large where λ_k and λ_{k+1} are near each other.
 * Basis       V V' = L L', V := L^-1 V, twice (Cholesky QR: the second time removes what the first left, Yamamoto,
 *             Nakatsukasa, Yanagisawa & Fukaya 2015). Images are orthogonal up to convergence, so L is near the identity
 * Stop        |z_i A - θ_i z_i| <= tol |θ_1| for all i < k, a bound on the error of θ_i as well
 * Start       the caller's rows, or random ones from a fixed stream
 * Degenerate  a row that lies in the span of those before it, as when b exceeds the rank of A, is drawn anew. W is
 *             scaled by 2^-s, max |a_ij| in [2^(s-1), 2^s), so that squares neither overflow nor underflow: one half of s
 *             before the product, which may overflow, the other after it, as 2^-s itself may
 *
 * Symbols     vectors are rows: V, W, Z [b x n];  S, L [b x b];  θ_i Ritz values
 * Cost        per iteration 6 n² b + 12 n b² + 9 b³; threads share the products with A (product.h)
 *             and the solves for the basis
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "kernel/product.h"
#include "kernel/rows.h"

enum { EXTRA = 8, PANEL = 512 };
static const uint64_t SEED = 0x5eed;
static const double LEAST_SINE = 1e-5; /* of the angle between a row and those before it */
static const double WIDEST = 1e4;      /* |θ_1| over |θ_b| up to which rounding leaves the filter most digits */

typedef struct {
    const ml__kernels_f64 *kernels;
    ml_context *context;
    size_t n, b;
    double *V, *W, *Z;     /* b x n */
    double *S, *theta, *e; /* b x b, b, b; S also holds L */
    ml__rng rng;
} state;

static size_t n_rows(size_t n, size_t k)
{
    const size_t b = k + (k > EXTRA ? k : EXTRA);

    return b < n ? b : n;
}

size_t ml__leading_eigen_work(size_t n, size_t k)
{
    const size_t b = n_rows(n, k);

    return 3 * b * n + b * b + 2 * b;
}

static void scale(size_t n, double factor, double *x)
{
    for (size_t j = 0; j < n; j++)
        x[j] *= factor;
}

static void draw_row(state *s, double *v)
{
    for (size_t j = 0; j < s->n; j++)
        v[j] = ml__rng_normal(&s->rng);
}

/* ---- basis ---- */

static void normalise_rows(state *s)
{
    for (size_t i = 0; i < s->b; i++) {
        double *v = s->V + i * s->n, norm2 = s->kernels->dot(s->n, v, v);

        if (!(norm2 >= DBL_MIN)) {
            draw_row(s, v);
            norm2 = s->kernels->dot(s->n, v, v);
        }
        scale(s->n, 1 / sqrt(norm2), v);
    }
}

/* Index of the first row that depends on those before it, or b; L of V V'. */
static size_t factor_rows(size_t b, size_t n, const double *V, double *L)
{
    size_t failed;

    ml__kernels_best()->f64.gemm_nt(b, b, n, V, n, V, n, 0, L, b);
    failed = ml__cholesky(b, L, b);
    for (size_t i = 0; i < (failed ? failed - 1 : b); i++)
        if (L[i * b + i] < LEAST_SINE)
            return i;
    return failed ? failed - 1 : b;
}

typedef struct {
    size_t b, n;
    const double *L;
    double *V;
} solving;

static ml_status solve_panel(void *argument, size_t panel)
{
    const solving *q = argument;
    const size_t j = panel * PANEL, width = q->n - j < PANEL ? q->n - j : PANEL;

    ml__solve_lower(q->b, width, q->L, q->b, q->V + j, q->n);
    return ML_OK;
}

/* V := L^-1 V, a panel of columns in the second cache at a time. */
static ml_status solve(ml_context *context, size_t b, size_t n, const double *L, double *V)
{
    const size_t n_panels = (n + PANEL - 1) / PANEL;

    return ml__parallel_for_cost(context, n_panels, 0.2 * PANEL * (double)b * (double)b, solve_panel,
                                 &(solving){b, n, L, V});
}

ml_status ml__orthonormalise(ml_context *context, size_t b, size_t n, double *V, double *L, size_t *dependent)
{
    ml_status st = ML_OK;

    *dependent = factor_rows(b, n, V, L);
    if (*dependent < b)
        return ML_OK;
    ML__TRY(solve(context, b, n, L, V));
    (void)factor_rows(b, n, V, L);
    ML__TRY(solve(context, b, n, L, V));
done:
    return st;
}

static ml_status make_basis(state *s)
{
    size_t dependent;
    ml_status st;

    normalise_rows(s);
    ML__TRY(ml__orthonormalise(s->context, s->b, s->n, s->V, s->S, &dependent));
    while (dependent < s->b) {
        draw_row(s, s->V + dependent * s->n);
        normalise_rows(s);
        ML__TRY(ml__orthonormalise(s->context, s->b, s->n, s->V, s->S, &dependent));
    }
done:
    return st;
}

/* ---- iteration ---- */

static bool is_larger(double x, double y)
{
    return fabs(x) > fabs(y);
}

/* W = V A / 2^exponent */
static ml_status apply(state *s, const double *A, size_t lda, int exponent)
{
    const ml__crew_f64 crew = {s->kernels, s->context};
    const size_t n = s->n, b = s->b;
    const int half = exponent / 2;
    ml_status st;

    scale(b * n, ldexp(1, -half), s->V);
    ML__TRY(ml__product_gemm_nn_f64(&crew, b, n, n, s->V, n, A, lda, 0, s->W, n));
    scale(b * n, ldexp(1, half), s->V);
    scale(b * n, ldexp(1, half - exponent), s->W);
done:
    return st;
}

/* From the basis V and its images W: Z, θ, and in V the images of Z. */
static bool rayleigh_ritz(state *s)
{
    const ml__kernels_f64 *kernels = s->kernels;
    const size_t n = s->n, b = s->b;

    kernels->gemm_nt(b, b, n, s->W, n, s->V, n, 0, s->S, b);
    if (!ml__symmetric_eigen(b, s->S, b, s->theta, s->e))
        return false;
    ml__sort_pairs(b, is_larger, s->theta, s->S, b);
    kernels->gemm_nn(b, n, b, s->S, b, s->V, n, 0, s->Z, n);
    kernels->gemm_nn(b, n, b, s->S, b, s->W, n, 0, s->V, n);
    return true;
}

/* c X - Y, into Y */
static void subtract_from(size_t count, double c, const double *X, double *Y)
{
    for (size_t j = 0; j < count; j++)
        Y[j] = c * X[j] - Y[j];
}

/* V := T_3(A / a) Z from the images in V; Z and W are overwritten. */
static ml_status filter(state *s, const double *A, size_t lda, int exponent)
{
    const double a = fabs(s->theta[s->b - 1]);
    double *const image = s->V;
    ml_status st;

    if (!(a * WIDEST > fabs(s->theta[0])))
        return ML_OK;
    scale(s->b * s->n, 1 / a, image);
    ML__TRY(apply(s, A, lda, exponent));
    subtract_from(s->b * s->n, 2 / a, s->W, s->Z);
    s->V = s->Z;
    s->Z = image;
    ML__TRY(apply(s, A, lda, exponent));
    subtract_from(s->b * s->n, 2 / a, s->W, image);
    s->Z = s->V;
    s->V = image;
done:
    return st;
}

static bool have_converged(const state *s, size_t k, double tol)
{
    for (size_t i = 0; i < k; i++) {
        double sum = 0;

        for (size_t j = 0; j < s->n; j++) {
            const double r = s->V[i * s->n + j] - s->theta[i] * s->Z[i * s->n + j];
            sum += r * r;
        }
        if (!(sqrt(sum) <= tol * fabs(s->theta[0])))
            return false;
    }
    return true;
}

static void set_start(state *s, size_t k, const double *start)
{
    for (size_t i = 0; i < s->b; i++)
        if (start && i < k)
            memcpy(s->V + i * s->n, start + i * s->n, s->n * sizeof *start);
        else
            draw_row(s, s->V + i * s->n);
}

ml_status ml__leading_eigen(ml_context *context, size_t n, size_t k, const double *A, size_t lda, const double *start,
                            double tol, size_t max_iter, double *values, double *vectors, double *work, bool *converged)
{
    const size_t b = n_rows(n, k);
    const double least_tol = (double)n * DBL_EPSILON;
    state s = {.kernels = &ml__kernels_best()->f64, .context = context, .n = n, .b = b, .rng = ml__rng_make(SEED, 0)};
    int exponent;
    ml_status st = ML_OK;

    *converged = k == 0;
    for (size_t i = 0; i < k; i++)
        values[i] = NAN;
    if (!ml__find_exponent(n, A, lda, &exponent))
        return ML_OK;
    s.V = work;
    s.W = s.V + b * n;
    s.Z = s.W + b * n;
    s.S = s.Z + b * n;
    s.theta = s.S + b * b;
    s.e = s.theta + b;
    set_start(&s, k, start);
    for (size_t i = 0; i < max_iter && !*converged; i++) {
        if (i > 0)
            ML__TRY(filter(&s, A, lda, exponent));
        ML__TRY(make_basis(&s));
        ML__TRY(apply(&s, A, lda, exponent));
        if (!rayleigh_ritz(&s))
            return ML_OK;
        *converged = have_converged(&s, k, fmax(tol, least_tol));
    }
    for (size_t i = 0; i < k && max_iter > 0; i++) {
        values[i] = ldexp(s.theta[i], exponent);
        memcpy(vectors + i * n, s.Z + i * n, n * sizeof *vectors);
    }
done:
    return st;
}
