/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantile transformation: every feature becomes its rank, uniform in [0, 1], or normally distributed.
 *
 * Transform   z = (F(x) + 1 - G(-x)) / 2, F linear from the quantiles to the references, G the same from the negated ones: the
 *             middle of the references where quantiles are equal. normal: Phi^-1 of that, cut off at +-5.2
 *             back: linear from the references to the quantiles
 * Estimates   quantile r_k of feature j, r_k = k / (q - 1), over the rows of positive weight where it is not missing, see
 *             weighted.h; q is n_quantiles, or the number of rows where that is less
 *
 * Symbols     d features; references [q]; quantiles [q x d], each column ascending; output_distribution [1]: 0 uniform, 1 normal
 * Sampling    of more rows than `subsample`, so many drawn rows are used, the same for all features
 * Degenerate  a feature without any value has quantiles 0
 * Missing     NaN is left out of the estimates and kept by the transform
 * Cost        fit O(d n log n), transform O(log q) for each value
 */
#include <float.h>
#include <string.h>

#include "learn/features.h"
#include "learn/learn.h"
#include "learn/normal.h"
#include "learn/weighted.h"

typedef struct {
    int64_t n_quantiles, output_distribution, subsample, random_state;
} params;

enum { UNIFORM = 0, NORMAL = 1 };

static const ml__param PARAMS[] = {
    ML__INT(params, n_quantiles, "1000", ML__RANGE(1, 1e6), "quantiles that are learned, at most as many as rows"),
    ML__CHOICE(params, output_distribution, "uniform", "uniform|normal", "how the new features are distributed"),
    ML__INT(params, subsample, "10000", ML__RANGE(1, 1e9), "rows that are used; of more, so many are drawn"),
    ML__RANDOM_STATE(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"references", ML_FLOAT64, "q", ML__FINITE | ML__NON_NEGATIVE},
    {"quantiles", ML_FLOAT64, "qd", ML__FINITE},
    {"output_distribution", ML_INT64, "1", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    ml_status st = ML_OK;

    ML__CHECK(p->n_quantiles <= p->subsample, ML_E_PARAMETER, "n_quantiles is %lld, subsample only %lld",
              (long long)p->n_quantiles, (long long)p->subsample);
done:
    return st;
}

/* ---- fit ---- */

/* Weights of the rows that are used, 0 for the others; *n_used of them. */
static ml_status draw_rows(ml__fit *f, size_t most, double **weights, size_t *n_used)
{
    const double *w = ml__fit_weights(f);
    size_t *rows, n = 0;
    ml__rng rng = ml__rng_make(f->seed, 0);
    ml_status st = w ? ML_OK : ML_E_MEMORY;

    if (!w)
        goto done;
    ML__NEW(f->scratch, *weights, f->n);
    ML__NEW(f->scratch, rows, f->n);
    for (size_t i = 0; i < f->n; i++)
        if (w[i] > 0)
            rows[n++] = i;
    if (n > most)
        ml__rng_shuffle(&rng, rows, n);
    *n_used = n > most ? most : n;
    for (size_t i = 0; i < *n_used; i++)
        (*weights)[rows[i]] = w[rows[i]];
done:
    return st;
}

typedef struct {
    size_t q, d;
    const double *references;
    double *quantiles;
} estimates;

static ml_status estimate(void *argument, size_t j, ml__weighted *values, size_t n_values)
{
    const estimates *e = argument;
    double last = -DBL_MAX;

    if (!n_values) /* the tensor is cleared */
        return ML_OK;
    ml__weighted_place(values, n_values);
    for (size_t k = 0; k < e->q; k++) {
        const double quantile = ml__placed_quantile(values, n_values, e->references[k]);

        last = e->quantiles[k * e->d + j] = quantile > last ? quantile : last; /* ascending in spite of rounding */
    }
    return ML_OK;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    ml__rows rows;
    double *weights, *references;
    int64_t *distribution;
    size_t n_used;
    estimates e = {.d = f->d};
    ml_status st;

    ML__TRY(ml__fit_rows(f, &rows));
    ML__TRY(draw_rows(f, (size_t)p->subsample, &weights, &n_used));
    e.q = (size_t)p->n_quantiles < n_used ? (size_t)p->n_quantiles : n_used;
    ML__PUBLISH(f, references, "references", ML_FLOAT64, e.q);
    ML__PUBLISH(f, e.quantiles, "quantiles", ML_FLOAT64, e.q, f->d);
    ML__PUBLISH(f, distribution, "output_distribution", ML_INT64, 1);
    for (size_t k = 1; k < e.q; k++)
        references[k] = k + 1 == e.q ? 1 : (double)k * (1 / (double)(e.q - 1));
    e.references = references;
    *distribution = p->output_distribution;
    ML__TRY(ml__visit_columns(f->context, &rows, weights, NULL, estimate, &e));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* ---- transform ---- */

typedef struct {
    size_t q;
    bool is_normal;
    const double *references;
    double *quantiles;     /* [d x q] */
    double least, largest; /* normal outputs */
} state;

/* Nearer to the ends than this is the end (scikit-learn's number). */
static const double MARGIN = 1e-7;

static ml_status check_tensors(const ml__learned *learned, size_t q, const double *references, const double *quantiles)
{
    const size_t d = learned->schema.n_features;
    ml_status st = ML_OK;

    ML__CHECK(q, ML_E_FORMAT, "tensor 'references' is empty");
    ML__CHECK(*(const int64_t *)ml__tensor_data(learned, "output_distribution") <= NORMAL, ML_E_FORMAT,
              "tensor 'output_distribution' is neither 0 nor 1");
    for (size_t k = 1; k < q; k++) {
        ML__CHECK(references[k] > references[k - 1] && references[k] <= 1, ML_E_FORMAT,
                  "tensor 'references': element %zu is %g after %g", k, references[k], references[k - 1]);
        for (size_t j = 0; j < d; j++)
            ML__CHECK(quantiles[k * d + j] >= quantiles[(k - 1) * d + j], ML_E_FORMAT,
                      "tensor 'quantiles': row %zu of feature %zu is %g after %g", k, j, quantiles[k * d + j],
                      quantiles[(k - 1) * d + j]);
    }
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *references = ml__learned_find(learned, "references");
    const size_t q = (size_t)references->shape[0], d = learned->schema.n_features;
    const double *quantiles = ml__tensor_data(learned, "quantiles");
    state *s;
    ml_status st;

    (void)model;
    ML__TRY(check_tensors(learned, q, references->data, quantiles));
    ML__NEW(&learned->arena, s, 1);
    *s = (state){.q = q,
                 .is_normal = *(const int64_t *)ml__tensor_data(learned, "output_distribution") == NORMAL,
                 .references = references->data,
                 .least = ml__normal_quantile(MARGIN - DBL_EPSILON),
                 .largest = ml__normal_quantile(1 - (MARGIN - DBL_EPSILON))};
    ML__NEW(&learned->arena, s->quantiles, q * d);
    for (size_t k = 0; k < q; k++)
        for (size_t j = 0; j < d; j++)
            s->quantiles[j * q + k] = quantiles[k * d + j];
    learned->state = s;
done:
    return st;
}

/* Between the knots high - 1 and high: from the lower one up, or from the upper one down; by shares where the slope is beyond double. */
static double on_line(double x, const double *from, const double *to, size_t high, bool is_upward)
{
    const double x0 = from[high - 1], x1 = from[high], y0 = to[high - 1], y1 = to[high];
    const double slope = (y1 - y0) / (x1 - x0);

    if (isfinite(x1 - x0) && isfinite(slope))
        return is_upward ? slope * (x - x0) + y0 : y1 - slope * (x1 - x);

    const double t = isfinite(x1 - x0) ? (x - x0) / (x1 - x0) : (x / 2 - x0 / 2) / (x1 / 2 - x0 / 2);
    return y0 * (1 - t) + y1 * t;
}

/* Linear between (from[k], to[k]), constant beyond; of equal ones in `from`, the last. */
static double interpolate_up(double x, const double *from, const double *to, size_t n)
{
    size_t low = 0, high = n;

    if (x < from[0])
        return to[0];
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (from[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    if (high == n || from[low] == x)
        return to[low];
    return on_line(x, from, to, high, true);
}

/* The same from the other end: of equal ones, the first. */
static double interpolate_down(double x, const double *from, const double *to, size_t n)
{
    size_t low = 0, high = n; /* the first that is not less than x */

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (from[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == n)
        return to[n - 1];
    if (!low || from[low] == x)
        return to[low];
    return on_line(x, from, to, low, false);
}

static double forward(const state *s, const double *quantiles, double x)
{
    const double first = quantiles[0], last = quantiles[s->q - 1];
    double z =
        0.5 * (interpolate_up(x, quantiles, s->references, s->q) + interpolate_down(x, quantiles, s->references, s->q));

    if (s->is_normal ? x + MARGIN > last : x == last)
        z = 1;
    if (s->is_normal ? x - MARGIN < first : x == first)
        z = 0;
    if (!s->is_normal)
        return z;
    z = ml__normal_quantile(z);
    return z < s->least ? s->least : z > s->largest ? s->largest : z;
}

static double backward(const state *s, const double *quantiles, double z)
{
    const double p = s->is_normal ? ml__normal_probability(z) : z;

    if (s->is_normal ? p - MARGIN < 0 : p == 0)
        return quantiles[0];
    if (s->is_normal ? p + MARGIN > 1 : p == 1)
        return quantiles[s->q - 1];
    return interpolate_up(p, s->references, quantiles, s->q);
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;

    (void)scratch;
    for (size_t j = 0; j < x->d; j++)
        for (size_t i = j; i < x->n * x->d; i += x->d)
            out[i] = isnan(x->f64[i]) ? NAN : forward(s, s->quantiles + j * s->q, x->f64[i]);
    return ML_OK;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const size_t d = model->learned->schema.n_features;
    const state *s = model->learned->state;

    (void)scratch;
    for (size_t j = 0; j < d; j++)
        for (size_t i = j; i < n * d; i += d)
            out[i] = isnan(z[i]) ? NAN : backward(s, s->quantiles + j * s->q, z[i]);
    return ML_OK;
}

const ml__kind ml__quantile_transformer = {
    .name = "quantile_transformer",
    .doc = "Turn every feature into its rank, uniform or normally distributed",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .transform = transform,
    .inverse = inverse,
    .name_features = ml__keep_features,
};
