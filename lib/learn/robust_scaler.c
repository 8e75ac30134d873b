/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scaling by quantiles, which outliers do not move.
 *
 * Transform   z_j = (x_j - center_j) / scale_j          back: x_j = z_j scale_j + center_j
 * Estimates   center_j the median, scale_j = Q_j(high) - Q_j(low) with quantile_range = low, high in percent (the distance of the
 *             quartiles), over the rows of positive weight where feature j is not missing; see weighted.h for what weights mean
 *             unit_variance: scale_j / (Phi^-1(high) - Phi^-1(low)), so that a Gaussian gets variance 1
 *
 * Symbols     d features; center, scale [d]
 * Options     without with_centering center is 0, without with_scaling scale is 1
 * Degenerate  a scale too small to divide by is 1; a feature with no value at all gets center 0 and scale 1
 * Missing     NaN is left out of the estimates and kept by the transform
 * Cost        O(d n log n)
 */
#include "learn/features.h"
#include "learn/learn.h"
#include "learn/normal.h"
#include "learn/scaling.h"
#include "learn/weighted.h"

typedef struct {
    int64_t with_centering, with_scaling;
    ml__reals quantile_range;
    int64_t unit_variance;
} params;

static const ml__param PARAMS[] = {
    ML__BOOL(params, with_centering, "true", "subtract the median"),
    ML__BOOL(params, with_scaling, "true", "divide by the distance of two quantiles"),
    ML__REALS(params, quantile_range, "25,75", ML__RANGE(0, 100), "these two, in percent"),
    ML__BOOL(params, unit_variance, "false", "scale so that normally distributed features get variance 1"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"center", ML_FLOAT64, "d", ML__FINITE},
    {"scale", ML_FLOAT64, "d", ML__FINITE | ML__POSITIVE},
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    const double *range = p->quantile_range.values;
    ml_status st = ML_OK;

    ML__CHECK(p->quantile_range.n == 2, ML_E_PARAMETER, "quantile_range takes low,high, got %zu numbers",
              p->quantile_range.n);
    ML__CHECK(range[0] <= range[1], ML_E_PARAMETER, "quantile_range: %g is larger than %g", range[0], range[1]);
    ML__CHECK(!p->unit_variance || (range[0] > 0 && range[0] < range[1] && range[1] < 100), ML_E_PARAMETER,
              "unit_variance needs a quantile_range between 0 and 100, got %g,%g", range[0], range[1]);
done:
    return st;
}

typedef struct {
    const params *p;
    double adjust; /* the range's width for a Gaussian of variance 1 */
    double *center, *scale;
} estimates;

static ml_status estimate(void *argument, size_t j, ml__weighted *values, size_t n_values)
{
    const estimates *e = argument;
    const double *range = e->p->quantile_range.values;

    e->center[j] = e->p->with_centering && n_values ? ml__weighted_median(values, n_values) : 0;
    e->scale[j] = 1;
    if (e->p->with_scaling && n_values) {
        ml__weighted_place(values, n_values);
        e->scale[j] = ml__usable_scale(ml__placed_quantile(values, n_values, range[1] / 100) -
                                       ml__placed_quantile(values, n_values, range[0] / 100)) /
                      e->adjust;
    }
    return ML_OK;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const double *w, *range = p->quantile_range.values;
    estimates e = {.p = p, .adjust = 1};
    ml__rows rows;
    ml_status st;

    ML__TRY(ml__fit_rows_weights(f, &w));
    ML__TRY(ml__fit_rows(f, &rows));
    if (p->unit_variance)
        e.adjust = ml__normal_quantile(range[1] / 100) - ml__normal_quantile(range[0] / 100);
    ML__PUBLISH(f, e.center, "center", ML_FLOAT64, f->d);
    ML__PUBLISH(f, e.scale, "scale", ML_FLOAT64, f->d);
    ML__TRY(ml__visit_columns(f->context, &rows, w, NULL, estimate, &e));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    (void)model;
    return ml__scaling_prepare(learned, "center", "scale");
}

const ml__kind ml__robust_scaler = {
    .name = "robust_scaler",
    .doc = "Subtract the median of every feature and divide by the distance of two quantiles",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .transform = ml__scaling_transform,
    .inverse = ml__scaling_inverse,
    .name_features = ml__keep_features,
};
