/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal axes: three ways to the leading eigenpairs of X'X, and how many of them are likeliest.
 *
 * Full        all eigenpairs of X'X or X X', Householder and QL (kernel/factor.c)
 * Leading     a few of them by subspace iteration (kernel/subspace.c)
 * Sketch      of X itself (Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithms 4.4 and 5.1, as
 *             scikit-learn's randomized_svd). S the shorter side of X, b = k + n_oversamples normal rows on S; then
 *                 n_iter times: to the longer side, made orthonormal, and back, made orthonormal;
 *                 once more to the longer side, made orthonormal: Q;  B = Q X (or Q X');
 *                 B B' = R' Θ R;  values Θ, vectors R B where B is of features, R Q where Q is; where Θ spans many digits rows
 *                 R B are rotated once more (graded.c)
 *             Every power iteration takes the share of a direction beyond b down by (σ_{b+1} / σ_i)².
 * Likeliest   the evidence of k components under Minka's prior (2000, "Automatic choice of dimensionality for PCA", eq. 30
 *             and 31, as scikit-learn's): with λ the variances and v the mean of those beyond k, m = d k - k (k + 1) / 2
 *                 ln p(k) = ln p(U) - n/2 Σ_{i<=k} ln λ_i - n (d-k)/2 ln v + (m+k)/2 ln 2π - 1/2 ln|A_Z| - k/2 ln n
 *                 ln p(U) = -k ln 2 + Σ_{i<=k} [ln Γ((d-i+1)/2) - (d-i+1)/2 ln π]
 *                 ln|A_Z| = Σ_{i<=k} Σ_{j>i} ln[(λ_i - λ_j) (1/λ'_j - 1/λ'_i) n],  λ' = λ but v beyond k
 *             The sum over pairs grows by a row and a column from k to k + 1, so that all k together take d² logarithms.
 *
 * Symbols     X [n x d]; U [b x n], V [b x d] directions as rows, of rows and of features
 * Bits        products are shared among threads by tiles (kernel/product.h); rows are drawn from a stream of their own each
 * Basis       orthonormal by Cholesky QR (kernel/subspace.c); row by row where one nearly depends on those before it
 * Degenerate  b beyond the rank of X: further rows are rounding beside the span, or axes; their values are rounding. X is scaled
 *             by a power of 2 first, so that no square is lost. Of variances, their ratio to the first counts; equal ones differ
 *             by EPS of it
 */
#include "learn/principal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/product.h"
#include "learn/graded.h"

/* ---- eigenpairs of a matrix ---- */

enum { LEADING_ITER = 200 };
static const double LEADING_TOL = 1e-9;

static ml_status full_eigen(ml__arena *scratch, size_t m, size_t count, double *A, double *values, double *vectors)
{
    double *all, *e;
    ml_status st = ML_OK;

    ML__NEW(scratch, all, m);
    ML__NEW(scratch, e, m);
    ML__CHECK(ml__symmetric_eigen(m, A, m, all, e), ML_E_NUMERIC, "pca: the eigenvectors did not converge");
    for (size_t i = 0; i < count; i++) {
        values[i] = all[m - 1 - i];
        memcpy(vectors + i * m, A + (m - 1 - i) * m, m * sizeof *vectors);
    }
done:
    return st;
}

ml_status ml__principal_eigen(ml__arena *scratch, size_t m, size_t count, bool *leading, double *A, double *values,
                              double *vectors)
{
    double *work;
    ml_status st = ML_OK;

    if (*leading) {
        ML__NEW(scratch, work, ml__leading_eigen_work(m, count));
        ML__TRY(ml__leading_eigen(scratch->context, m, count, A, m, NULL, LEADING_TOL, LEADING_ITER, values, vectors,
                                  work, leading));
    }
    if (!*leading)
        ML__TRY(full_eigen(scratch, m, count, A, values, vectors));
done:
    return st;
}

/* ---- orthonormal rows ---- */

static void subtract_projections(size_t d, size_t i, double *V)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;

    for (int twice = 0; twice < 2; twice++)
        for (size_t q = 0; q < i; q++) {
            const double share = kernels->dot(d, V + q * d, V + i * d);
            for (size_t j = 0; j < d; j++)
                V[i * d + j] -= share * V[q * d + j];
        }
}

static void normalise(size_t d, double *v)
{
    const double norm = sqrt(ml__kernels_best()->f64.dot(d, v, v));

    for (size_t j = 0; j < d; j++)
        v[j] /= norm;
}

/* The axis of which the rows before row i hold least; i < d, so that something of it is left. */
static void set_free_axis(size_t d, size_t i, double *V)
{
    double least = INFINITY;
    size_t axis = 0;

    for (size_t j = 0; j < d; j++) {
        double held = 0;
        for (size_t q = 0; q < i; q++)
            held += V[q * d + j] * V[q * d + j];
        if (held < least) {
            least = held;
            axis = j;
        }
    }
    memset(V + i * d, 0, d * sizeof *V);
    V[i * d + axis] = 1;
}

/* Row i, made orthonormal to those before it. */
static void orthonormalise_row(size_t d, size_t i, double *V)
{
    subtract_projections(d, i, V);
    normalise(d, V + i * d);
}

void ml__principal_orthonormalise(size_t d, size_t k, const double *values, double *V)
{
    for (size_t i = 0; i < k; i++) {
        if (!(values[i] > 0))
            set_free_axis(d, i, V);
        else
            normalise(d, V + i * d);
        orthonormalise_row(d, i, V);
    }
}

/* ---- sketch ---- */

static const double CLEAR_REST = 1e-20, LEAST_REST = 0.25; /* of the squared length of a unit vector after projection */

/* Row i becomes a unit vector less its projections on the rows before it: the squared length of that. */
static double leave_rest(size_t d, size_t i, double *V)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    double *v = V + i * d;

    if (!(kernels->dot(d, v, v) >= DBL_MIN))
        return 0;
    normalise(d, v);
    subtract_projections(d, i, V);
    return kernels->dot(d, v, v);
}

/* Row by row. Where variances fall by many digits all rows are nearly parallel:
 * what is left of a row then has few digits, but the right direction. Of a row that depends on those before it rounding is
 * left, much of it within their span: a tiny rest that shrinks once more when it is projected again is that. */
static void make_basis_by_rows(size_t d, size_t b, double *V)
{
    for (size_t i = 0; i < b; i++) {
        if (leave_rest(d, i, V) < CLEAR_REST && leave_rest(d, i, V) < LEAST_REST)
            set_free_axis(d, i, V);
        orthonormalise_row(d, i, V);
    }
}

/* Rows V[b x d] become an orthonormal basis of what they span, at once where they are not near dependence; L[b x b] is workspace. */
static ml_status make_basis(ml_context *context, size_t d, size_t b, double *V, double *L)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    bool all_new = true;
    size_t dependent = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < b && all_new; i++) {
        all_new = kernels->dot(d, V + i * d, V + i * d) >= DBL_MIN;
        if (all_new)
            normalise(d, V + i * d);
    }
    if (all_new)
        ML__TRY(ml__orthonormalise(context, b, d, V, L, &dependent));
    if (dependent < b)
        make_basis_by_rows(d, b, V);
done:
    return st;
}

typedef struct {
    ml__fit *f;
    size_t n, d, b;
    const double *X;
    double *U, *V, *T; /* b x n, b x d, n x b */
    double *L;         /* b x b */
} range;

/* U := V X', by way of its transpose, so that it is V, not X, which the product copies */
static ml_status to_rows(range *s)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, s->f->context};
    const ml_status st = ml__product_gemm_nt_f64(&crew, s->n, s->b, s->d, s->X, s->d, s->V, s->d, 0, s->T, s->b);

    for (size_t i = 0; st == ML_OK && i < s->n; i++)
        for (size_t j = 0; j < s->b; j++)
            s->U[j * s->n + i] = s->T[i * s->b + j];
    return st;
}

/* V := U X */
static ml_status to_features(range *s)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, s->f->context};

    return ml__product_gemm_nn_f64(&crew, s->b, s->d, s->n, s->U, s->n, s->X, s->d, 0, s->V, s->d);
}

/* From the shorter side to an orthonormal basis of the longer one, then back. */
static ml_status there_and_back(range *s)
{
    const bool is_tall = s->n >= s->d;
    ml_status st;

    ML__TRY(is_tall ? to_rows(s) : to_features(s));
    ML__TRY(make_basis(s->f->context, is_tall ? s->n : s->d, s->b, is_tall ? s->U : s->V, s->L));
    ML__TRY(is_tall ? to_features(s) : to_rows(s));
done:
    return st;
}

static ml_status create(ml__fit *f, const ml__sketch *sketch, size_t n, size_t d, const double *X, size_t k, range *s)
{
    const size_t shorter = n < d ? n : d, b = k + sketch->n_oversamples;
    size_t n_rows, n_features;
    double *start;
    ml_status st = ML_OK;

    *s = (range){.f = f, .n = n, .d = d, .b = b < shorter ? b : shorter, .X = X};
    ML__CHECK(ml__size_mul(s->b, n, &n_rows) && ml__size_mul(s->b, d, &n_features), ML_E_MEMORY,
              "%zu directions of %zu rows and %zu features do not fit in memory", s->b, n, d);
    ML__NEW(f->scratch, s->U, n_rows);
    ML__NEW(f->scratch, s->V, n_features);
    ML__NEW(f->scratch, s->T, n_rows);
    ML__NEW(f->scratch, s->L, s->b * s->b);
    start = n < d ? s->U : s->V;
    for (size_t i = 0; i < s->b; i++) {
        ml__rng rng = ml__rng_make(sketch->seed, i);
        for (size_t j = 0; j < shorter; j++)
            start[i * shorter + j] = ml__rng_normal(&rng);
    }
done:
    return st;
}

/* Rows A = R B are what B is along its left singular vectors, nearly orthogonal: these are found from A itself, whose squares
 * have lost the small ones. values [b] and vectors [k x d] anew. */
static ml_status refine(range *s, size_t k, double *R, double *values, double *vectors)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, s->f->context};
    const bool is_tall = s->n >= s->d;
    const size_t side = is_tall ? s->d : s->n, d_along = is_tall ? 0 : s->d;
    double *A, *along;
    ml_status st = ML_OK;

    ML__NEW(s->f->scratch, A, s->b * side);
    ML__NEW(s->f->scratch, along, s->b * s->d);
    ML__TRY(ml__product_gemm_nn_f64(&crew, s->b, side, s->b, R, s->b, is_tall ? s->V : s->U, side, 0, A, side));
    if (!is_tall)
        ML__TRY(ml__product_gemm_nn_f64(&crew, s->b, s->d, s->b, R, s->b, s->V, s->d, 0, along, s->d));
    ml__graded_rows(s->b, side, A, d_along, along, values);
    memcpy(vectors, is_tall ? A : along, k * s->d * sizeof *vectors);
done:
    return st;
}

ml_status ml__principal_sketch(ml__fit *f, const ml__sketch *sketch, size_t n, size_t d, double *X, size_t k,
                               double *values, double *vectors)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    const int exponent = ml__scale_down(n * d, X);
    const size_t side = n < d ? n : d;
    double *all, *G, *R, *B;
    range s;
    ml_status st;

    ML__TRY(create(f, sketch, n, d, X, k, &s));
    ML__NEW(f->scratch, all, s.b);
    ML__NEW(f->scratch, G, s.b * s.b);
    ML__NEW(f->scratch, R, s.b * s.b);
    B = n < d ? s.U : s.V;
    for (size_t t = 0; t < sketch->n_iter; t++) {
        ML__TRY(there_and_back(&s));
        ML__TRY(make_basis(f->context, side, s.b, B, s.L));
        ML__TRY(ml__fit_poll(f, t, sketch->n_iter));
    }
    ML__TRY(there_and_back(&s));
    ML__TRY(ml__product_gemm_nt_f64(&crew, s.b, s.b, side, B, side, B, side, 0, G, s.b));
    ML__TRY(full_eigen(f->scratch, s.b, s.b, G, all, R));
    if (ml__is_spread(all[0], all[k - 1]))
        ML__TRY(refine(&s, k, R, all, vectors));
    else
        ML__TRY(ml__product_gemm_nn_f64(&crew, k, d, s.b, R, s.b, s.V, d, 0, vectors, d));
    for (size_t i = 0; i < k; i++)
        values[i] = ldexp(all[i], 2 * exponent);
done:
    return st;
}

ml_status ml__principal_rest(ml__fit *f, size_t n, size_t d, double *X, size_t k, const double *V, double *share)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    double *Z, squares[2] = {0};
    ml_status st = ML_OK;

    ML__NEW(f->scratch, Z, n * k);
    ML__TRY(ml__product_gemm_nt_f64(&crew, n, k, d, X, d, V, d, 0, Z, k));
    for (int after = 0; after < 2; after++) {
        for (size_t i = 0; i < n; i++)
            squares[after] += crew.k->dot(d, X + i * d, X + i * d);
        if (!after)
            ML__TRY(ml__product_gemm_nn_f64(&crew, n, d, k, Z, k, V, d, -1, X, d));
    }
    *share = squares[0] > 0 ? squares[1] / squares[0] : 0;
done:
    return st;
}

/* ---- the likeliest number ---- */

static const double EPS = 1e-15;

static double log_above(double x)
{
    return log(fmax(x, EPS));
}

/* ln Γ(i / 2) - i / 2 ln π for i = 1 .. d */
static void find_log_volumes(size_t d, double *out)
{
    const double log_pi = log(acos(-1));

    for (size_t i = 1; i <= d; i++)
        out[i] = i == 1 ? 0 : i == 2 ? -log_pi : out[i - 2] + log((double)(i - 2) / 2) - log_pi;
}

/* Sums over the components so far. */
typedef struct {
    double volumes, logs;  /* of ln p(U); Σ ln λ_i */
    double gaps, inverses; /* Σ_{j>i} ln(λ_i - λ_j);  Σ_{i<j<=k} ln(1/λ_j - 1/λ_i) */
} sums;

static void add_component(size_t d, const double *variances, double n, const double *volumes, size_t k, sums *s)
{
    s->volumes += volumes[d - k + 1] - log(2);
    s->logs += log(variances[k - 1]);
    for (size_t j = k; j < d; j++)
        s->gaps += log_above(variances[k - 1] - variances[j]) + log(n);
    for (size_t i = 0; i + 1 < k; i++)
        s->inverses += log_above(1 / variances[k - 1] - 1 / variances[i]);
}

/* `rest` is the sum of the variances beyond k. */
static double log_evidence(size_t d, const double *variances, double rest, double n, size_t k, const sums *s)
{
    const double beyond = (double)(d - k), m = (double)d * (double)k - (double)k * ((double)k + 1) / 2;
    const double v = fmax(rest / beyond, EPS);
    double with_rest = 0;

    for (size_t i = 0; i < k; i++)
        with_rest += beyond * log_above(1 / v - 1 / variances[i]);
    return s->volumes - n / 2 * (s->logs + beyond * log(v)) + (m + (double)k) / 2 * log(2 * acos(-1)) -
           (s->gaps + s->inverses + with_rest) / 2 - (double)k / 2 * log(n);
}

ml_status ml__principal_likeliest(ml__arena *scratch, size_t d, const double *variances, double n, size_t *k)
{
    double *shares, *volumes, *rest, best = -INFINITY;
    sums s = {0};
    ml_status st = ML_OK;

    ML__NEW(scratch, shares, d);
    ML__NEW(scratch, volumes, d + 1);
    ML__NEW(scratch, rest, d + 1);
    find_log_volumes(d, volumes);
    for (size_t i = d; i-- > 0;) {
        shares[i] = variances[i] / variances[0];
        rest[i] = rest[i + 1] + shares[i];
    }
    *k = 1;
    for (size_t i = 1; i < d && shares[i - 1] >= EPS; i++) {
        add_component(d, shares, n, volumes, i, &s);
        const double evidence = log_evidence(d, shares, rest[i], n, i, &s);

        if (evidence > best) {
            best = evidence;
            *k = i;
        }
    }
done:
    return st;
}
