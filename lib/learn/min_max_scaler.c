/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every feature into a range: its least value becomes low, its largest high.
 *
 * Transform   z_j = x_j scale_j + min_j                        back: x_j = (z_j - min_j) / scale_j
 * Estimates   scale_j = (high - low) / (data_max_j - data_min_j)      min_j = low - data_min_j scale_j
 *             over the rows of positive weight where feature j is not missing
 *
 * Symbols     d features; all tensors [d], clip_range [2] = low, high, where values beyond are cut off
 * Degenerate  a constant feature is divided by 1; one without any value is taken for 0
 * Missing     NaN is left out of the estimates and kept by the transform
 * Cost        one pass
 */
#include "learn/extremes.h"
#include "learn/features.h"
#include "learn/learn.h"
#include "learn/scaling.h"

typedef struct {
    ml__reals feature_range;
    int64_t clip;
} params;

static const ml__param PARAMS[] = {
    ML__REALS(params, feature_range, "0,1", ML__RANGE_OPEN(-INFINITY, INFINITY), "low,high: where features go"),
    ML__BOOL(params, clip, "false", "values beyond those that were learned from become low or high"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"scale", ML_FLOAT64, "d", ML__FINITE | ML__POSITIVE},
    {"min", ML_FLOAT64, "d", ML__FINITE},
    {"data_min", ML_FLOAT64, "d", ML__FINITE},
    {"data_max", ML_FLOAT64, "d", ML__FINITE},
    {"clip_range", ML_FLOAT64, "*", ML__FINITE | ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const ml__reals *range = &((const params *)model->params)->feature_range;
    ml_status st = ML_OK;

    ML__CHECK(range->n == 2, ML_E_PARAMETER, "feature_range takes low,high, got %zu numbers", range->n);
    ML__CHECK(range->values[0] < range->values[1], ML_E_PARAMETER, "feature_range: %g is not less than %g",
              range->values[0], range->values[1]);
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const double low = p->feature_range.values[0], high = p->feature_range.values[1];
    double *scale, *min, *data_min, *data_max, *clip_range;
    ml_status st;

    ML__PUBLISH(f, scale, "scale", ML_FLOAT64, f->d);
    ML__PUBLISH(f, min, "min", ML_FLOAT64, f->d);
    ML__PUBLISH(f, data_min, "data_min", ML_FLOAT64, f->d);
    ML__PUBLISH(f, data_max, "data_max", ML_FLOAT64, f->d);
    ML__TRY(ml__find_extremes(f, data_min, data_max));
    for (size_t j = 0; j < f->d; j++) {
        scale[j] = (high - low) / ml__usable_scale(data_max[j] - data_min[j]);
        min[j] = low - data_min[j] * scale[j];
    }
    if (p->clip) {
        ML__PUBLISH(f, clip_range, "clip_range", ML_FLOAT64, 2);
        clip_range[0] = low;
        clip_range[1] = high;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

typedef struct {
    ml__scaling scaling;
    double low, high; /* of clip_range, or infinite */
} state;

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *clip = ml__learned_find(learned, "clip_range");
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    *s = (state){{ml__tensor_data(learned, "min"), ml__tensor_data(learned, "scale")}, -INFINITY, INFINITY};
    if (clip) {
        ML__CHECK(clip->shape[0] == 2, ML_E_FORMAT, "tensor 'clip_range' has %llu elements, expected 2",
                  (unsigned long long)clip->shape[0]);
        s->low = ((const double *)clip->data)[0];
        s->high = ((const double *)clip->data)[1];
        ML__CHECK(s->low < s->high, ML_E_FORMAT, "tensor 'clip_range': %g is not less than %g", s->low, s->high);
    }
    learned->state = s;
done:
    return st;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;

    (void)scratch;
    ml__scaling_multiply(&s->scaling, x->n, x->d, x->f64, out);
    for (size_t i = 0; i < x->n * x->d; i++)
        out[i] = out[i] < s->low ? s->low : out[i] > s->high ? s->high : out[i];
    return ML_OK;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;

    (void)scratch;
    ml__scaling_divide(&s->scaling, n, model->learned->schema.n_features, z, out);
    return ML_OK;
}

const ml__kind ml__min_max_scaler = {
    .name = "min_max_scaler",
    .doc = "Scale every feature into a range, by its least and its largest value",
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
