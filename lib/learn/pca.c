/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal component analysis.
 *
 * Model       x ≈ mean + Σ_i z_i v_i,  z_i = v_i'(x - mean),  v_i the orthonormal eigenvectors of
 *                 S = Σ w (x - mean)(x - mean)'  for its eigenvalues λ_1 >= … >= λ_k
 * Variances   explained_variance_i = λ_i / (n - 1), their shares of tr S, singular_values_i = sqrt λ_i
 * Noise       σ² = (tr S / (n - 1) - Σ explained_variance) / (r - k), r = min(n, d); 0 for k = r
 * Density     x ~ N(mean, C),  C = V' diag(max(explained_variance - σ², 0)) V + σ² I   (Tipping & Bishop 1999), so that
 *                 -2 ln p(x) = d ln 2π + Σ_i [ln a_i + z_i² / a_i] + (d - k) ln σ² + (|x - mean|² - |z|²) / σ²,
 *                 a_i = max(explained_variance_i, σ²); whitened or not (scikit-learn 1.2 has another C for whitened components)
 * Signs       the element of v_i of largest magnitude is positive (scikit-learn's svd_flip, u_based_decision=False), which
 *             depends on no row
 *
 * Route       n >= d: eigenvectors of S [d x d]; of a few out of many by subspace iteration.
 *             n < d: of the Gram matrix of the centred rows [n x n], X X' u = λ u, v = X'u / sqrt λ, made orthonormal again.
 *             randomized: from products of the centred rows with k + n_oversamples directions (principal.c)
 * Parts       partial_fit merges count, mean and S, and decomposes what it has then: the parts do not matter but for rounding
 *
 * Symbols     n rows, d features, k components; w weights, divided by their mean
 * Degenerate  λ_i up to r eps λ_1, which rounding makes, are 0; their v_i complete the basis, their whitened coordinate is 0
 * Cost        n d² / 2 multiply-adds and 9 d³ for the eigenvectors, or n² d / 2 and 9 n³; randomized
 *             2 (n_iter + 1) n d (k + n_oversamples)
 */
#include <float.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/product.h"
#include "learn/learn.h"
#include "learn/principal.h"
#include "learn/scatter.h"

typedef struct {
    ml__size n_components, iterated_power;
    int64_t whiten, svd_solver, n_oversamples, incremental, random_state;
} params;

enum { SOLVER_AUTO, SOLVER_FULL, SOLVER_RANDOMIZED };
enum { COMPONENTS_ALL, COMPONENTS_MLE };

static const ml__param PARAMS[] = {
    ML__SIZE(
        params, n_components, "all", ML__RANGE(1, 16777216), "all|mle",
        "number of components; a fraction: as many as explain more than this share of the variance; all: the number of "
        "rows or features, whichever is less; mle: the likeliest number (Minka), of at least as many rows as features"),
    ML__BOOL(params, whiten, "false", "divide new features by their standard deviations"),
    ML__CHOICE(
        params, svd_solver, "auto", "auto|full|randomized",
        "full: all eigenvectors; randomized: approximately, from products with random directions, slower than full "
        "where rows are many times the features; auto: a few of at least 256 by subspace iteration; randomized for at "
        "least 1000 rows and more features where n_components + n_oversamples are at most a 32nd of the rows; else "
        "full"),
    ML__SIZE_COUNTS(
        params, iterated_power, "auto", ML__RANGE(0, 1000), "auto",
        "power iterations of svd_solver randomized; auto: 7 for less than a tenth of all components, else 4"),
    ML__INT(params, n_oversamples, "10", ML__RANGE(1, 1e6),
            "directions that svd_solver randomized looks at beside n_components"),
    ML__BOOL(params, incremental, "false", "keep the scatter matrix, so that ml_model_partial_fit() can go on"),
    ML__RANDOM_STATE(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"components", ML_FLOAT64, "kd", ML__FINITE},
    {"mean", ML_FLOAT64, "d", ML__FINITE},
    {"explained_variance", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},
    {"explained_variance_ratio", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},
    {"singular_values", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},
    {"noise_variance", ML_FLOAT64, "1", ML__FINITE | ML__NON_NEGATIVE},
    {"n_samples", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
    {"sum_of_weights", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
    {"scatter", ML_FLOAT64, "dd", ML__FINITE | ML__OPTIONAL},
    {"whiten", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL}, /* absent: 0 */
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    ml_status st = ML_OK;

    if (p->svd_solver != SOLVER_RANDOMIZED)
        return ML_OK;
    ML__CHECK(p->n_components.form == ML__SIZE_COUNT ||
                  (p->n_components.form == ML__SIZE_CHOICE && p->n_components.count == COMPONENTS_ALL),
              ML_E_PARAMETER,
              "svd_solver randomized needs the number of components, a fraction or mle needs all variances");
    ML__CHECK(!p->incremental, ML_E_PARAMETER,
              "svd_solver randomized makes no scatter matrix, which incremental keeps");
done:
    return st;
}

/* What is known of the rows, and what comes of it. */
typedef struct {
    size_t d, r, k;     /* features; min(n, d); components */
    double n, W;        /* rows with weight, sum of weights */
    const double *mean; /* d */
    double trace;       /* of S */
    double *values;     /* descending; k, or all r when a fraction is asked for */
    double *vectors;    /* in rows, as many as values */
} decomposition;

/* ---- which solver ---- */

enum { LEADING_FEATURES = 256, LEADING_SHARE = 8, SKETCH_ROWS = 1000, SKETCH_SHARE = 32 };

/* Does subspace iteration pay for k of m eigenvectors? */
static bool wants_leading(const params *p, size_t m, size_t k)
{
    return p->svd_solver == SOLVER_AUTO && p->n_components.form == ML__SIZE_COUNT && m >= LEADING_FEATURES &&
           k <= m / LEADING_SHARE;
}

/* Is what is asked for found from products with a few random directions? They take a copy of the rows, as the Gram matrix
 * does and the scatter matrix does not. */
static bool wants_sketch(const params *p, size_t n, size_t d)
{
    if (p->svd_solver != SOLVER_AUTO || p->incremental || p->n_components.form != ML__SIZE_COUNT)
        return p->svd_solver == SOLVER_RANDOMIZED;
    return n < d && n >= SKETCH_ROWS && (size_t)(p->n_components.count + p->n_oversamples) <= n / SKETCH_SHARE;
}

/* A few components need more iterations, as scikit-learn has it. */
static ml__sketch sketch_of(const ml__fit *f, size_t r, size_t k)
{
    const params *p = f->params;
    const size_t by_share = 10 * k < r ? 7 : 4;

    return (ml__sketch){.n_oversamples = (size_t)p->n_oversamples,
                        .n_iter = p->iterated_power.form == ML__SIZE_COUNT ? (size_t)p->iterated_power.count : by_share,
                        .seed = f->seed};
}

/* ---- routes ---- */

/* Variances that are nothing but rounding. */
static void drop_rounding(const decomposition *c, size_t count)
{
    const double least = c->values[0] * ((double)c->r * DBL_EPSILON); /* this order does not overflow */

    for (size_t i = 0; i < count; i++)
        if (!(c->values[i] > least))
            c->values[i] = 0;
}

/* `A` is overwritten. */
static ml_status decompose_scatter(ml__fit *f, double *A, size_t count, decomposition *c)
{
    ml_status st;

    ML__TRY(
        ml__principal_eigen(f->scratch, c->d, count, wants_leading(f->params, c->d, count), A, c->values, c->vectors));
    drop_rounding(c, count);
done:
    return st;
}

enum { GRAM_ROWS = 256 };

/* sqrt(w) (x - mean) for the n rows with weight. */
static ml_status centred_rows(ml__fit *f, const double *w, size_t n, const double *mean, double **out)
{
    size_t count, at = 0;
    double *X;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, f->d);
    ML__NEW(f->scratch, X, count);
    for (size_t i = 0; i < f->n; i++) {
        double *x = X + at * f->d;
        if (!(w[i] > 0))
            continue;
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, x));
        for (size_t j = 0; j < f->d; j++)
            x[j] = sqrt(w[i]) * (x[j] - mean[j]);
        at++;
    }
    *out = X;
done:
    return st;
}

/* G = X X', half of it as products of blocks of rows with those up to them. */
static ml_status find_gram(ml__fit *f, size_t n, size_t d, const double *X, double *G)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    ml_status st = ML_OK;

    for (size_t i = 0; i < n; i += GRAM_ROWS) {
        const size_t rows = n - i < GRAM_ROWS ? n - i : GRAM_ROWS;
        ML__TRY(ml__product_gemm_nt_f64(&crew, rows, i + rows, d, X + i * d, d, X, d, 0, G + i * n, n));
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            G[j * n + i] = G[i * n + j];
done:
    return st;
}

static ml_status decompose_gram(ml__fit *f, const double *X, size_t count, decomposition *c)
{
    const ml__crew_f64 crew = {&ml__kernels_best()->f64, f->context};
    const size_t n = (size_t)c->n, d = c->d;
    double *G, *U;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, G, n * n);
    ML__NEW(f->scratch, U, count * n);
    ML__TRY(find_gram(f, n, d, X, G));
    ML__TRY(ml__principal_eigen(f->scratch, n, count, wants_leading(f->params, n, count), G, c->values, U));
    drop_rounding(c, count);
    ML__TRY(ml__product_gemm_nn_f64(&crew, count, d, n, U, n, X, d, 0, c->vectors, d));
    ml__principal_orthonormalise(d, count, c->values, c->vectors);
done:
    return st;
}

/* `X` is overwritten. */
static ml_status decompose_sketch(ml__fit *f, double *X, size_t count, decomposition *c)
{
    const ml__sketch sketch = sketch_of(f, c->r, count);
    ml_status st;

    ML__TRY(ml__principal_sketch(f, &sketch, (size_t)c->n, c->d, X, count, c->values, c->vectors));
    drop_rounding(c, count);
    ml__principal_orthonormalise(c->d, count, c->values, c->vectors);
done:
    return st;
}

/* ---- fit ---- */

static bool is_mle(const ml__size *n_components)
{
    return n_components->form == ML__SIZE_CHOICE && n_components->count == COMPONENTS_MLE;
}

/* The number of components that is asked for, and of eigenpairs to find. */
static ml_status count_components(ml__fit *f, decomposition *c, size_t *count)
{
    const ml__size *wanted = &((const params *)f->params)->n_components;
    ml_status st = ML_OK;

    ML__CHECK(c->n >= 2, ML_E_DATA, "pca: the variance of one row%s is not defined",
              f->n > 1 ? " with positive weight" : "");
    c->r = c->n < (double)c->d ? (size_t)c->n : c->d;
    c->k = wanted->form == ML__SIZE_COUNT ? (size_t)wanted->count : c->r;
    ML__CHECK(c->k <= c->r, ML_E_DATA, "pca: n_components is %zu, %g rows of %zu features have at most %zu", c->k, c->n,
              c->d, c->r);
    ML__CHECK(!is_mle(wanted) || c->n >= (double)c->d, ML_E_DATA,
              "pca: n_components mle needs at least as many rows as features, there are %g and %zu", c->n, c->d);
    *count = c->k;
    ML__NEW(f->scratch, c->values, *count);
    ML__NEW(f->scratch, c->vectors, *count * c->d);
done:
    return st;
}

/* As many components as explain more than the fraction: scikit-learn's rule. */
static void cut_to_fraction(double fraction, decomposition *c)
{
    double sum = 0;

    for (size_t i = 0; i < c->k; i++) {
        sum += c->values[i] / c->trace;
        if (sum > fraction) {
            c->k = i + 1;
            return;
        }
    }
}

static void fix_sign(size_t d, double *v)
{
    size_t largest = 0;

    for (size_t j = 1; j < d; j++)
        if (fabs(v[j]) > fabs(v[largest]))
            largest = j;
    if (v[largest] < 0)
        for (size_t j = 0; j < d; j++)
            v[j] = -v[j];
}

static ml_status publish(ml__fit *f, const decomposition *c)
{
    const double scale = c->n / c->W / (c->n - 1); /* weights of mean 1 */
    double *components, *mean, *variance, *ratio, *singular, *noise, *n, *W, rest = c->trace;
    int64_t *whiten;
    ml_status st = ML_OK;

    ML__PUBLISH(f, components, "components", ML_FLOAT64, c->k, c->d);
    ML__PUBLISH(f, mean, "mean", ML_FLOAT64, c->d);
    ML__PUBLISH(f, variance, "explained_variance", ML_FLOAT64, c->k);
    ML__PUBLISH(f, ratio, "explained_variance_ratio", ML_FLOAT64, c->k);
    ML__PUBLISH(f, singular, "singular_values", ML_FLOAT64, c->k);
    ML__PUBLISH(f, noise, "noise_variance", ML_FLOAT64, 1);
    ML__PUBLISH(f, n, "n_samples", ML_FLOAT64, 1);
    ML__PUBLISH(f, W, "sum_of_weights", ML_FLOAT64, 1);
    memcpy(mean, c->mean, c->d * sizeof *mean);
    memcpy(components, c->vectors, c->k * c->d * sizeof *components);
    for (size_t i = 0; i < c->k; i++) {
        fix_sign(c->d, components + i * c->d);
        variance[i] = c->values[i] * scale;
        ratio[i] = c->trace > 0 ? c->values[i] / c->trace : 0;
        singular[i] = sqrt(variance[i] * (c->n - 1));
        rest -= c->values[i];
    }
    /* what is left of the trace by rounding is no variance */
    *noise = c->k < c->r && rest > c->trace * ((double)c->r * DBL_EPSILON) ? rest * scale / (double)(c->r - c->k) : 0;
    *n = c->n;
    *W = c->W;
    if (((const params *)f->params)->whiten) {
        ML__PUBLISH(f, whiten, "whiten", ML_INT64, 1);
        *whiten = 1;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static ml_status finish(ml__fit *f, decomposition *c)
{
    const params *p = f->params;
    ml_status st = ML_OK;

    if (p->n_components.form == ML__SIZE_FRACTION)
        cut_to_fraction(p->n_components.fraction, c);
    if (is_mle(&p->n_components) && c->trace > 0)
        ML__TRY(ml__principal_likeliest(f->scratch, c->d, c->values, c->n, &c->k));
    ML__TRY(publish(f, c));
done:
    return st;
}

/* From the scatter of all rows; it is kept when it may be needed again. */
static ml_status fit_scatter(ml__fit *f, ml__scatter *s, bool keep)
{
    decomposition c = {.d = s->d, .n = s->n, .W = s->W, .mean = s->mean};
    double *kept;
    size_t count;
    ml_status st = ML_OK;

    ML__TRY(count_components(f, &c, &count));
    for (size_t j = 0; j < c.d; j++)
        c.trace += s->S[j * c.d + j];
    ML__CHECK(isfinite(c.trace), ML_E_NUMERIC,
              "pca: sums of squares of the features are not finite; scale the features");
    if (keep) {
        ML__PUBLISH(f, kept, "scatter", ML_FLOAT64, c.d, c.d);
        memcpy(kept, s->S, c.d * c.d * sizeof *kept);
    }
    ML__TRY(decompose_scatter(f, s->S, count, &c));
    ML__TRY(finish(f, &c));
done:
    return st;
}

/* From the n rows with weight. */
static ml_status fit_rows(ml__fit *f, const double *w, size_t n)
{
    decomposition c = {.d = f->d, .n = (double)n};
    double *mean, *x, *X = NULL;
    size_t count;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, mean, f->d);
    ML__NEW(f->scratch, x, f->d);
    for (size_t i = 0; i < f->n; i++) {
        if (!(w[i] > 0))
            continue;
        c.W += w[i];
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, x));
        for (size_t j = 0; j < f->d; j++) /* a constant feature stays exact: x - mean is 0 after the first row */
            mean[j] += w[i] / c.W * (x[j] - mean[j]);
    }
    c.mean = mean;
    ML__TRY(count_components(f, &c, &count));
    ML__TRY(centred_rows(f, w, n, c.mean, &X));
    for (size_t i = 0; i < n; i++)
        c.trace += ml__kernels_best()->f64.dot(f->d, X + i * f->d, X + i * f->d);
    ML__CHECK(isfinite(c.trace), ML_E_NUMERIC, "pca: sums of squares of the rows are not finite; scale the features");
    if (wants_sketch(f->params, n, f->d))
        ML__TRY(decompose_sketch(f, X, count, &c));
    else
        ML__TRY(decompose_gram(f, X, count, &c));
    ML__TRY(finish(f, &c));
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const double *w = ml__fit_weights(f);
    size_t n = 0;
    ml__scatter s;
    ml_status st = ML_OK;

    if (!w)
        return ML_E_MEMORY;
    for (size_t i = 0; i < f->n; i++)
        n += w[i] > 0;
    if (wants_sketch(p, n, f->d) || (n < f->d && !p->incremental))
        return fit_rows(f, w, n);
    ML__TRY(ml__scatter_of(f->scratch, f->data, w, &s));
    ML__TRY(fit_scatter(f, &s, p->incremental));
done:
    return st;
}

/* ---- rows that come in parts ---- */

/* A copy of what was learned before. */
static ml_status recall(ml__fit *f, ml__scatter *out)
{
    const ml__learned *before = f->model->learned;
    const double *S = ml__tensor_data(before, "scatter");
    ml_status st = ML_OK;

    ML__CHECK(S, ML_E_STATE,
              "pca: the scatter matrix was not kept, so it cannot learn on (set incremental before the fit)");
    *out = (ml__scatter){.d = f->d,
                         .n = *(const double *)ml__tensor_data(before, "n_samples"),
                         .W = *(const double *)ml__tensor_data(before, "sum_of_weights")};
    ML__NEW(f->scratch, out->mean, f->d);
    ML__NEW(f->scratch, out->S, f->d * f->d);
    memcpy(out->mean, ml__tensor_data(before, "mean"), f->d * sizeof *out->mean);
    memcpy(out->S, S, f->d * f->d * sizeof *out->S);
done:
    return st;
}

static ml_status partial_fit(ml__fit *f)
{
    const double *w = ml__fit_weights(f);
    ml__scatter part, all;
    ml_status st = ML_OK;

    if (!w)
        return ML_E_MEMORY;
    ML__CHECK(((const params *)f->params)->svd_solver != SOLVER_RANDOMIZED, ML_E_PARAMETER,
              "pca: svd_solver randomized looks at all rows again and again, it cannot learn from parts");
    ML__TRY(ml__scatter_of(f->scratch, f->data, w, &part));
    if (f->model->learned) {
        ML__TRY(recall(f, &all));
        ml__scatter_merge(&all, &part);
        part = all;
    }
    ML__TRY(fit_scatter(f, &part, true));
done:
    return st;
}

/* ---- what predictors read ---- */

typedef struct {
    size_t k, d;
    const double *V, *mean;
    const double *deviation; /* [k] of the new features; 1 without whitening */
    const double *whiten;    /* [k] 1 / deviation, 0 for a component without variance */
    const double *scale;     /* [k] 1 / sqrt a_i: 1 / a_i itself may be infinite */
    double noise_scale;      /* 1 / σ */
    double log_det;          /* ln det C, -inf when C is singular */
} state;

static ml_status check_tensors(const ml__learned *learned, size_t k, size_t d)
{
    const double *variance = ml__tensor_data(learned, "explained_variance");
    const double *V = ml__tensor_data(learned, "components"), *n = ml__tensor_data(learned, "n_samples");
    ml_status st = ML_OK;

    ML__CHECK(*n == floor(*n) && *n <= 0x1p53, ML_E_FORMAT, "tensor 'n_samples' is %g, expected a whole number", *n);

    ML__CHECK(k >= 1 && k <= d, ML_E_FORMAT, "tensor 'components' has %zu rows, expected 1 to %zu", k, d);
    for (size_t i = 1; i < k; i++)
        ML__CHECK(variance[i] <= variance[i - 1] * (1 + 1e-6), ML_E_FORMAT,
                  "tensor 'explained_variance': element %zu is larger than the one before it", i);
    for (size_t i = 0; i < k * d; i++)
        ML__CHECK(fabs(V[i]) <= 1 + 1e-6, ML_E_FORMAT, "tensor 'components': element %zu is %g, beyond a unit vector's",
                  i, V[i]);
done:
    return st;
}

/* Whitening and the density. */
static ml_status derive(ml__learned *learned, const double *variance, double noise, bool whiten, state *s)
{
    double *deviation, *inverse, *scale;
    ml_status st = ML_OK;

    ML__NEW(&learned->arena, deviation, s->k);
    ML__NEW(&learned->arena, inverse, s->k);
    ML__NEW(&learned->arena, scale, s->k);
    s->log_det = (double)(s->d - s->k) * (s->k < s->d ? log(noise) : 0);
    for (size_t i = 0; i < s->k; i++) {
        const double a = fmax(variance[i], noise);
        deviation[i] = whiten ? sqrt(variance[i]) : 1;
        inverse[i] = deviation[i] > 0 ? 1 / deviation[i] : 0;
        scale[i] = 1 / sqrt(a);
        s->log_det += log(a);
    }
    s->deviation = deviation;
    s->whiten = inverse;
    s->scale = scale;
    s->noise_scale = 1 / sqrt(noise);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *components = ml__learned_find(learned, "components");
    const int64_t *whiten = ml__tensor_data(learned, "whiten");
    const double *variance = ml__tensor_data(learned, "explained_variance");
    const size_t k = (size_t)components->shape[0], d = learned->schema.n_features;
    state *s;
    ml_status st;

    (void)model;
    ML__TRY(check_tensors(learned, k, d));
    ML__CHECK(!whiten || *whiten <= 1, ML_E_FORMAT, "tensor 'whiten' is %lld, expected 0 or 1", (long long)*whiten);
    ML__NEW(&learned->arena, s, 1);
    *s = (state){.k = k, .d = d, .V = components->data, .mean = ml__tensor_data(learned, "mean")};
    ML__TRY(
        derive(learned, variance, *(const double *)ml__tensor_data(learned, "noise_variance"), whiten && *whiten, s));
    learned->state = s;
done:
    return st;
}

/* ---- predict ---- */

/* A singular covariance has no density. */
static size_t width(const ml_model *model, int32_t what)
{
    const state *s = model->learned->state;

    if (what == ML_SCORE_SAMPLES)
        return isfinite(s->log_det) ? 1 : 0;
    return what == ML_TRANSFORM ? s->k : 1;
}

static size_t scratch_size(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;

    return ml__scratch_bytes(n * s->d, sizeof(double)) + ml__scratch_bytes(n * s->k, sizeof(double));
}

/* Z[n x k] = (X - 1 mean') V', the centred rows in *centred. */
static ml_status project(const state *s, const ml__block *x, double *Z, ml__scratch *scratch, const double **centred)
{
    double *X = ml__scratch_take(scratch, x->n * s->d, sizeof *X);

    if (!X)
        return ML_E_MEMORY;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < s->d; j++)
            X[i * s->d + j] = x->f64[i * s->d + j] - s->mean[j];
    ml__kernels_rowwise()->f64.gemm_nt(x->n, s->k, s->d, X, s->d, s->V, s->d, 0, Z, s->k);
    *centred = X;
    return ML_OK;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    const double *centred;
    const ml_status st = project(s, x, out, &scratch, &centred);

    for (size_t i = 0; st == ML_OK && i < x->n; i++)
        for (size_t c = 0; c < s->k; c++)
            out[i * s->k + c] *= s->whiten[c];
    return st;
}

static double squared(double x)
{
    return x * x;
}

static double log_density(const state *s, const double *x, const double *z)
{
    double q = 0, rest = 0;

    for (size_t c = 0; c < s->k; c++)
        q += squared(z[c] * s->scale[c]);
    if (s->k < s->d) {
        for (size_t j = 0; j < s->d; j++)
            rest += squared(x[j] * s->noise_scale);
        for (size_t c = 0; c < s->k; c++)
            rest -= squared(z[c] * s->noise_scale);
        q += isnan(rest) ? DBL_MAX : fmax(rest, 0); /* squares beyond double */
    }
    q = q < DBL_MAX ? q : DBL_MAX; /* finite, as the densities of mixtures */
    return -0.5 * (q + s->log_det + (double)s->d * log(2 * acos(-1)));
}

static ml_status score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *Z = ml__scratch_take(&scratch, x->n * s->k, sizeof *Z);
    const double *centred;
    ml_status st = Z ? project(s, x, Z, &scratch, &centred) : ML_E_MEMORY;

    for (size_t i = 0; st == ML_OK && i < x->n; i++)
        out[i] = log_density(s, centred + i * s->d, Z + i * s->k);
    return st;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *Z = ml__scratch_take(&scratch, n * s->k, sizeof *Z);

    if (!Z)
        return ML_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < s->k; c++)
            Z[i * s->k + c] = z[i * s->k + c] * s->deviation[c];
    ml__kernels_rowwise()->f64.gemm_nn(n, s->d, s->k, Z, s->k, s->V, s->d, 0, out, s->d);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < s->d; j++)
            out[i * s->d + j] += s->mean[j];
    return ML_OK;
}

const ml__kind ml__pca = {
    .name = "pca",
    .doc = "Principal component analysis: orthogonal directions of largest variance",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .partial_fit = partial_fit,
    .check = check,
    .prepare = prepare,
    .transform = transform,
    .score_samples = score_samples,
    .inverse = inverse,
    .scratch = scratch_size,
    .width = width,
};
