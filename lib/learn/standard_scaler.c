/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standardisation: every feature to mean 0 and variance 1.
 *
 * Transform   z_j = (x_j - mean_j) / scale_j      back: x_j = z_j scale_j + mean_j
 * Estimates   mean_j = sum_i w_i x_ij / W_j      var_j = sum_i w_i (x_ij - mean_j)^2 / W_j      scale_j = sqrt(var_j)
 *             over the rows where feature j is not missing (see moments.c)
 *
 * Symbols     d features; mean, scale, var [d]
 * Options     without with_mean the published mean is 0, without with_std the scale is 1; var is always the variance
 * Degenerate  scale is 1 where var_j <= W_j eps var_j + (W_j eps mean_j)^2: a constant feature, up to rounding
 *             (scikit-learn's rule); a feature with no value at all gets mean 0 and scale 1
 * Missing     NaN is left out of the estimates and kept by the transform
 * Cost        two passes; transform O(n d)
 */
#include "learn/features.h"
#include "learn/learn.h"
#include "learn/moments.h"
#include "learn/scaling.h"

typedef struct {
    int64_t with_mean, with_std;
} params;

static const ml__param PARAMS[] = {
    ML__BOOL(params, with_mean, "true", "subtract the mean"),
    ML__BOOL(params, with_std, "true", "divide by the standard deviation"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"mean", ML_FLOAT64, "d", ML__FINITE},
    {"scale", ML_FLOAT64, "d", ML__FINITE | ML__POSITIVE},
    {"var", ML_FLOAT64, "d", ML__FINITE | ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

static bool is_constant(double W, double mean, double var)
{
    const double rounding = W * DBL_EPSILON * mean;
    return var <= W * DBL_EPSILON * var + rounding * rounding;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const double *w;
    ml__rows rows;
    double *mean, *scale, *var;
    ml__moments m;
    ml_status st;

    ML__TRY(ml__fit_rows_weights(f, &w));
    ML__TRY(ml__fit_rows(f, &rows));
    ML__TRY(ml__moments_of_rows(f->scratch, &rows, w, &m));
    ML__PUBLISH(f, mean, "mean", ML_FLOAT64, f->d);
    ML__PUBLISH(f, scale, "scale", ML_FLOAT64, f->d);
    ML__PUBLISH(f, var, "var", ML_FLOAT64, f->d);
    for (size_t j = 0; j < f->d; j++) {
        var[j] = m.W[j] > 0 ? m.M2[j] / m.W[j] : 0;
        mean[j] = p->with_mean ? m.mean[j] : 0;
        scale[j] = p->with_std && !is_constant(m.W[j], m.mean[j], var[j]) ? sqrt(var[j]) : 1;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    (void)model;
    return ml__scaling_prepare(learned, "mean", "scale");
}

const ml__kind ml__standard_scaler = {
    .name = "standard_scaler",
    .doc = "Standardise features to mean 0 and variance 1",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = ml__scaling_transform,
    .inverse = ml__scaling_inverse,
    .name_features = ml__keep_features,
};
