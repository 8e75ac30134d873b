/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every feature divided by its largest magnitude, so that zeros stay zeros.
 *
 * Transform   z_j = x_j / scale_j          back: x_j = z_j scale_j
 * Estimates   scale_j = max_abs_j = max_i |x_ij| over the rows of positive weight where feature j is not missing
 *
 * Symbols     d features; tensors [d]; zero is what is subtracted
 * Degenerate  a feature that is 0 everywhere, or has no value, is divided by 1
 * Missing     NaN is left out of the estimates and kept by the transform
 */
#include "learn/extremes.h"
#include "learn/features.h"
#include "learn/learn.h"
#include "learn/scaling.h"

static const ml__param PARAMS[] = {ML__PARAMS_END};

static const ml__tensor_rule TENSORS[] = {
    {"scale", ML_FLOAT64, "d", ML__FINITE | ML__POSITIVE},
    {"max_abs", ML_FLOAT64, "d", ML__FINITE | ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

static ml_status fit(ml__fit *f)
{
    double *scale, *max_abs, *least;
    ml_status st;

    ML__PUBLISH(f, scale, "scale", ML_FLOAT64, f->d);
    ML__PUBLISH(f, max_abs, "max_abs", ML_FLOAT64, f->d);
    ML__NEW(f->scratch, least, f->d);
    ML__TRY(ml__find_extremes(f, least, max_abs));
    for (size_t j = 0; j < f->d; j++) {
        max_abs[j] = fmax(fabs(least[j]), fabs(max_abs[j]));
        scale[j] = ml__usable_scale(max_abs[j]);
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    ml__scaling *s;
    double *zero;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    ML__NEW(&learned->arena, zero, learned->schema.n_features);
    *s = (ml__scaling){zero, ml__tensor_data(learned, "scale")};
    learned->state = s;
done:
    return st;
}

const ml__kind ml__max_abs_scaler = {
    .name = "max_abs_scaler",
    .doc = "Divide every feature by its largest magnitude",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = ml__scaling_transform,
    .inverse = ml__scaling_inverse,
    .name_features = ml__keep_features,
};
