/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal component analysis.
 *
 * Model       x ≈ mean + Σ_i z_i v_i,  z_i = v_i'(x - mean),  v_i the orthonormal eigenvectors of
 *                 S = Σ w (x - mean)(x - mean)'  for its eigenvalues λ_1 >= … >= λ_k
 * Variances   explained_variance_i = λ_i / (n - 1), their shares of tr S, singular_values_i = sqrt λ_i
 * Noise       σ² = (tr S / (n - 1) - Σ explained_variance) / (r - k), r = min(n, d); 0 for k = r
 * Density     x ~ N(mean, C),  C = V' diag(max(explained_variance - σ², 0)) V + σ² I   (Tipping & Bishop 1999), so that
 *                 -2 ln p(x) = d ln 2π + Σ_i [ln a_i + z_i² / a_i] + (d - k) ln σ² + |x - mean - Σ_i z_i v_i|² / σ²,
 *                 a_i = max(explained_variance_i, σ²); whitened or not (scikit-learn 1.2 has another C for whitened components)
 * Signs       the element of v_i of largest magnitude is positive (scikit-learn's svd_flip, u_based_decision=False), which
 *             depends on no row
 * Axes        from S, from the rows, or approximately: pca_axes.c
 * Parts       partial_fit merges count, mean and S, and decomposes what it has then: the parts do not matter but for rounding.
 *             The rows are gone: what is spread comes from S alone, which keeps small variances of features on other scales,
 *             not those of directions across large features
 *
 * Symbols     n rows, d features, k components; w weights, divided by their mean
 * Degenerate  sqrt λ_i up to r eps sqrt λ_1, which rounding makes, are 0; their v_i complete the basis, their whitened coordinate
 *             is 0. Parts may be of one row, of variance 0
 */
#include <float.h>
#include <string.h>

#include "kernel/kernel.h"
#include "learn/learn.h"
#include "learn/pca.h"
#include "learn/scatter.h"

static const ml__param PARAMS[] = {
    ML__SIZE(
        ml__pca_params, n_components, "all", ML__RANGE(1, 16777216), "all|mle",
        "number of components; a fraction: as many as explain more than this share of the variance; all: the number of "
        "rows or features, whichever is less; mle: the likeliest number (Minka), of at least as many rows as features"),
    ML__BOOL(ml__pca_params, whiten, "false", "divide new features by their standard deviations"),
    ML__CHOICE(
        ml__pca_params, svd_solver, "auto", "auto|full|randomized",
        "full: all eigenvectors; randomized: approximately, from products with random directions, slower than full "
        "where rows are many times the features; auto: a few of at least 256 by subspace iteration; randomized for at "
        "least 1000 rows and more features where n_components + n_oversamples are at most a 32nd of the rows; else "
        "full"),
    ML__SIZE_COUNTS(
        ml__pca_params, iterated_power, "auto", ML__RANGE(0, 1000), "auto",
        "power iterations of svd_solver randomized; auto: 7 for less than a tenth of all components, else 4"),
    ML__INT(ml__pca_params, n_oversamples, "10", ML__RANGE(1, 1e6),
            "directions that svd_solver randomized looks at beside n_components"),
    ML__BOOL(ml__pca_params, incremental, "false", "keep the scatter matrix, so that ml_model_partial_fit() can go on"),
    ML__RANDOM_STATE(ml__pca_params),
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
    {"mean_tail", ML_FLOAT64, "d", ML__FINITE | ML__OPTIONAL},  /* beside the scatter matrix; absent: 0 */
    {"whiten", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL}, /* absent: 0 */
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const ml__pca_params *p = model->params;
    ml_status st = ML_OK;

    if (p->svd_solver != ML__PCA_RANDOMIZED)
        return ML_OK;
    ML__CHECK(p->n_components.form == ML__SIZE_COUNT ||
                  (p->n_components.form == ML__SIZE_CHOICE && p->n_components.count == ML__PCA_ALL_COMPONENTS),
              ML_E_PARAMETER,
              "pca: svd_solver randomized needs the number of components, a fraction or mle needs all variances");
    ML__CHECK(!p->incremental, ML_E_PARAMETER,
              "pca: svd_solver randomized makes no scatter matrix, which incremental keeps");
done:
    return st;
}

/* ---- fit ---- */

/* Rows with weight, weights of them, which are divided by 2^unit: sums over them then neither overflow nor vanish. */
typedef struct {
    size_t n;
    double *w; /* f->n */
    int unit;
} weights;

static ml_status read_weights(ml__fit *f, weights *out)
{
    double largest = 0;
    ml_status st = ML_OK;

    *out = (weights){0};
    ML__NEW(f->scratch, out->w, f->n);
    ml__dataset_read_weights(f->data, out->w);
    for (size_t i = 0; i < f->n; i++) {
        out->n += out->w[i] > 0;
        largest = fmax(largest, out->w[i]);
    }
    out->unit = largest > 0 ? ilogb(largest) : 0;
    for (size_t i = 0; i < f->n && out->unit; i++)
        out->w[i] = ldexp(out->w[i], -out->unit);
done:
    return st;
}

/* The number of components that is asked for, and of eigenpairs to find. There may be fewer than asked for while more rows may
 * come. */
static ml_status count_components(ml__fit *f, bool in_parts, ml__pca_axes *c)
{
    const ml__size *wanted = &((const ml__pca_params *)f->params)->n_components;
    ml_status st = ML_OK;

    ML__CHECK(c->n >= 2 || in_parts, ML_E_DATA, "pca: the variance of one row%s is not defined",
              f->n > 1 ? " with positive weight" : "");
    c->r = c->n < (double)c->d ? (size_t)c->n : c->d;
    c->k = wanted->form == ML__SIZE_COUNT ? (size_t)wanted->count : c->r;
    if (in_parts && c->k <= c->d && c->k > c->r)
        c->k = c->r;
    ML__CHECK(c->k <= c->r, ML_E_DATA, "pca: n_components is %zu, %g rows of %zu features have at most %zu", c->k, c->n,
              c->d, c->r);
    ML__CHECK(!ml__pca_is_mle(wanted) || c->n >= (double)c->d, ML_E_DATA,
              "pca: n_components mle needs at least as many rows as features, there are %g and %zu", c->n, c->d);
    c->count = c->k;
    ML__NEW(f->scratch, c->values, c->count);
    ML__NEW(f->scratch, c->vectors, c->count * c->d);
done:
    return st;
}

/* Mean squares below have few digits or none: 30 bits above the least number. */
static const double LEAST_SQUARE = 0x1p-1044;

/* Of the trace: can it be had from squares? It may be 0 of rows that are equal. */
static ml_status check_squares(ml__fit *f, const double *w, const ml__pca_axes *c)
{
    double *x;
    ml_status st = ML_OK;

    ML__CHECK(isfinite(c->trace), ML_E_NUMERIC,
              "pca: the squares of the features add up to more than double holds; scale the features");
    if (c->trace >= LEAST_SQUARE * c->W)
        return ML_OK;
    ML__NEW(f->scratch, x, c->d);
    for (size_t i = 0; i < f->n; i++) {
        if (!(w[i] > 0))
            continue;
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, x));
        for (size_t j = 0; j < c->d; j++)
            ML__CHECK(x[j] == c->mean[j], ML_E_NUMERIC,
                      "pca: the squares of the features are below double, the first that is not its mean is %g from it "
                      "(row %zu of feature '%s'); scale the features",
                      fabs(x[j] - c->mean[j]), i, f->schema->features[j].name);
    }
done:
    return st;
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

static ml_status publish(ml__fit *f, const ml__pca_axes *c)
{
    const double scale = c->n > 1 ? c->n / c->W / (c->n - 1) : 0; /* weights of mean 1 */
    const double rest = ml__pca_rest(c), eps = (double)c->r * DBL_EPSILON;
    double *components, *mean, *variance, *ratio, *singular, *noise, *n, *W;
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
    }
    /* what is left of the trace by rounding is no variance */
    *noise = c->k < c->r && rest > c->trace * eps * (c->is_spread ? eps : 1) ? rest * scale / (double)(c->r - c->k) : 0;
    *n = c->n;
    *W = ldexp(c->W, c->unit);
    ML__CHECK(isfinite(*W), ML_E_NUMERIC, "pca: the sum of the weights is beyond double");
    if (((const ml__pca_params *)f->params)->whiten) {
        ML__PUBLISH(f, whiten, "whiten", ML_INT64, 1);
        *whiten = 1;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* What ml_model_partial_fit() needs again, in the unit of the weights. */
static ml_status keep(ml__fit *f, const ml__scatter *s, const ml__pca_axes *c, const double **S)
{
    const double trace = ldexp(c->trace, c->unit);
    double *kept, *tail;
    ml_status st = ML_OK;

    ML__CHECK(
        isfinite(trace) && (c->trace == 0 || trace >= LEAST_SQUARE), ML_E_NUMERIC,
        "pca: sums of squares with weights of about %g are %g, beyond double's range, which incremental keeps; scale "
        "the weights",
        ldexp(c->W / c->n, c->unit), trace);
    ML__PUBLISH(f, kept, "scatter", ML_FLOAT64, c->d, c->d);
    ML__PUBLISH(f, tail, "mean_tail", ML_FLOAT64, c->d);
    for (size_t v = 0; v < c->d * c->d; v++)
        kept[v] = ldexp(s->S[v], c->unit);
    memcpy(tail, s->tail, c->d * sizeof *tail);
    *S = kept;
done:
    return st;
}

/* From the scatter of all rows, of which those with weights w are the last part, or with `all_rows` all. It is kept when it may be
 * needed again. */
static ml_status fit_scatter(ml__fit *f, ml__scatter *s, const weights *w, bool all_rows, bool in_parts)
{
    ml__pca_axes c = {.d = s->d, .n = s->n, .W = s->W, .unit = w->unit, .mean = s->mean};
    const double *S = NULL;
    ml_status st = ML_OK;

    ML__TRY(count_components(f, in_parts, &c));
    for (size_t j = 0; j < c.d; j++) {
        c.trace += s->S[j * c.d + j];
        c.rank += s->S[j * c.d + j] > 0;
    }
    c.rank = (double)c.rank < c.n ? c.rank : (size_t)c.n - 1;
    ML__TRY(check_squares(f, w->w, &c));
    if (in_parts || ((const ml__pca_params *)f->params)->incremental)
        ML__TRY(keep(f, s, &c, &S));
    ML__TRY(ml__pca_of_scatter(f, all_rows ? w->w : NULL, S, s->S, &c));
    ML__TRY(publish(f, &c));
done:
    return st;
}

/* What rounding left of the mean in rows X[n x d], which are times `roots` of weights. */
static void subtract_rest(size_t n, size_t d, const double *roots, double W, double *rest, double *X)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            rest[j] += roots[i] / W * X[i * d + j];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            X[i * d + j] -= roots[i] * rest[j];
}

/* sqrt(w) (x - mean) for the n rows with weight. */
static ml_status centred_rows(ml__fit *f, const double *w, size_t n, double W, const double *mean, double **out)
{
    size_t count, at = 0;
    double *X, *roots, *rest;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, f->d);
    ML__NEW(f->scratch, X, count);
    ML__NEW(f->scratch, roots, n);
    ML__NEW(f->scratch, rest, f->d);
    for (size_t i = 0; i < f->n; i++) {
        double *x = X + at * f->d;
        if (!(w[i] > 0))
            continue;
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, x));
        roots[at] = sqrt(w[i]);
        for (size_t j = 0; j < f->d; j++)
            x[j] = roots[at] * (x[j] - mean[j]);
        at++;
    }
    subtract_rest(n, f->d, roots, W, rest, X);
    *out = X;
done:
    return st;
}

/* The trace, and how many eigenvalues can be more than 0. */
static void measure_rows(const double *X, size_t n, ml__pca_axes *c)
{
    for (size_t i = 0; i < n; i++)
        c->trace += ml__kernels_best()->f64.dot(c->d, X + i * c->d, X + i * c->d);
    for (size_t j = 0; j < c->d && c->rank + 1 < n; j++) {
        size_t i = 0;

        while (i < n && X[i * c->d + j] == 0)
            i++;
        c->rank += i < n;
    }
}

/* From the rows with weight. */
static ml_status fit_rows(ml__fit *f, const weights *w)
{
    ml__pca_axes c = {.d = f->d, .n = (double)w->n, .unit = w->unit};
    double *mean, *x, *X = NULL;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, mean, f->d);
    ML__NEW(f->scratch, x, f->d);
    for (size_t i = 0; i < f->n; i++) {
        if (!(w->w[i] > 0))
            continue;
        c.W += w->w[i];
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, x));
        for (size_t j = 0; j < f->d; j++) /* a constant feature stays exact: x - mean is 0 after the first row */
            mean[j] += w->w[i] / c.W * (x[j] - mean[j]);
    }
    c.mean = mean;
    ML__TRY(count_components(f, false, &c));
    ML__TRY(centred_rows(f, w->w, w->n, c.W, c.mean, &X));
    measure_rows(X, w->n, &c);
    ML__TRY(check_squares(f, w->w, &c));
    if (ml__pca_wants_sketch(f->params, w->n, f->d))
        ML__TRY(ml__pca_of_sketch(f, X, &c));
    else
        ML__TRY(ml__pca_of_gram(f, X, &c));
    ML__TRY(publish(f, &c));
done:
    return st;
}

static ml_status scatter_of(ml__fit *f, const weights *w, ml__scatter *out)
{
    const ml_status st = ml__scatter_of(f->scratch, f->data, w->w, out);

    return st == ML_E_NUMERIC ? ml__blame(st, "pca: ") : st;
}

static ml_status fit(ml__fit *f)
{
    const ml__pca_params *p = f->params;
    ml__scatter s;
    weights w;
    ml_status st;

    ML__TRY(read_weights(f, &w));
    if (ml__pca_wants_sketch(p, w.n, f->d) || (w.n < f->d && !p->incremental))
        return fit_rows(f, &w);
    ML__TRY(scatter_of(f, &w, &s));
    ML__TRY(fit_scatter(f, &s, &w, true, false));
done:
    return st;
}

/* ---- rows that come in parts ---- */

/* A copy of what was learned before. */
static ml_status recall(ml__fit *f, ml__scatter *out)
{
    const ml__learned *before = f->model->learned;
    const double *S = ml__tensor_data(before, "scatter"), *tail = ml__tensor_data(before, "mean_tail");
    ml_status st = ML_OK;

    ML__CHECK(S, ML_E_STATE,
              "pca: the scatter matrix was not kept, so it cannot learn on (set incremental before the fit)");
    *out = (ml__scatter){.d = f->d,
                         .n = *(const double *)ml__tensor_data(before, "n_samples"),
                         .W = *(const double *)ml__tensor_data(before, "sum_of_weights")};
    ML__NEW(f->scratch, out->mean, f->d);
    ML__NEW(f->scratch, out->tail, f->d);
    ML__NEW(f->scratch, out->S, f->d * f->d);
    memcpy(out->mean, ml__tensor_data(before, "mean"), f->d * sizeof *out->mean);
    if (tail)
        memcpy(out->tail, tail, f->d * sizeof *tail);
    memcpy(out->S, S, f->d * f->d * sizeof *out->S);
done:
    return st;
}

/* Weights become those in another unit. */
static void scale_weights(ml__scatter *s, int exponent)
{
    s->W = ldexp(s->W, exponent);
    for (size_t v = 0; v < s->d * s->d && exponent; v++)
        s->S[v] = ldexp(s->S[v], exponent);
}

static ml_status partial_fit(ml__fit *f)
{
    const bool is_first = !f->model->learned;
    ml__scatter part, all;
    weights w;
    ml_status st = ML_OK;

    ML__CHECK(((const ml__pca_params *)f->params)->svd_solver != ML__PCA_RANDOMIZED, ML_E_PARAMETER,
              "pca: svd_solver randomized looks at all rows again and again, it cannot learn from parts");
    ML__TRY(read_weights(f, &w));
    ML__TRY(scatter_of(f, &w, &part));
    if (!is_first) {
        ML__TRY(recall(f, &all));
        scale_weights(&all, -w.unit);
        ml__scatter_merge(&all, &part);
        part = all;
    }
    ML__TRY(fit_scatter(f, &part, &w, is_first, true));
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

static const char *why_not(const ml_model *model, int32_t what)
{
    (void)model;
    return what == ML_SCORE_SAMPLES
               ? "the covariance of the rows learned is singular, it has no density; fewer components may have one"
               : NULL;
}

static size_t scratch_size(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;

    return ml__scratch_bytes(n * s->d, sizeof(double)) + ml__scratch_bytes(n * s->k, sizeof(double));
}

/* Z[n x k] = (X - 1 mean') V', the centred rows in *centred. */
static ml_status project(const state *s, const ml__block *x, double *Z, ml__scratch *scratch, double **centred)
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
    double *centred;
    ml_status st = project(s, x, out, &scratch, &centred);

    for (size_t i = 0; st == ML_OK && i < x->n; i++)
        for (size_t c = 0; st == ML_OK && c < s->k; c++) {
            out[i * s->k + c] *= s->whiten[c];
            if (!isfinite(out[i * s->k + c]))
                st = ml__fail(ML_E_NUMERIC, "pca: component %zu of a row is beyond double, its features are too large",
                              c);
        }
    return st;
}

static double squared(double x)
{
    return x * x;
}

/* x is the centred row, less its components where there are fewer than features. */
static double log_density(const state *s, const double *x, const double *z)
{
    double q = 0, rest = 0;

    for (size_t c = 0; c < s->k; c++)
        q += squared(z[c] * s->scale[c]);
    if (s->k < s->d) {
        for (size_t j = 0; j < s->d; j++)
            rest += squared(x[j] * s->noise_scale);
        q += isnan(rest) ? DBL_MAX : rest; /* differences beyond double */
    }
    q = q < DBL_MAX ? q : DBL_MAX; /* finite, as the densities of mixtures */
    return -0.5 * (q + s->log_det + (double)s->d * log(2 * acos(-1)));
}

static ml_status score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *Z = ml__scratch_take(&scratch, x->n * s->k, sizeof *Z), *centred;
    ml_status st = Z ? project(s, x, Z, &scratch, &centred) : ML_E_MEMORY;

    if (st == ML_OK && s->k < s->d) /* Z V - X: a difference of squares would lose what is small beside |x| */
        ml__kernels_rowwise()->f64.gemm_nn(x->n, s->d, s->k, Z, s->k, s->V, s->d, -1, centred, s->d);
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
        for (size_t j = 0; j < s->d; j++) {
            out[i * s->d + j] += s->mean[j];
            if (!isfinite(out[i * s->d + j]))
                return ml__fail(ML_E_NUMERIC,
                                "pca: feature '%s' of a row is beyond double, its components are too large",
                                model->learned->schema.features[j].name);
        }
    return ML_OK;
}

const ml__kind ml__pca = {
    .name = "pca",
    .doc = "Principal component analysis: orthogonal directions of largest variance",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(ml__pca_params),
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
    .why_not = why_not,
};
