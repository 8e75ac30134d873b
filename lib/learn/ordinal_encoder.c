/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ordinal encoding: a categorical feature becomes a numeric one, the code of its category: 0, 1, ... in their order.
 *
 * Symbols     d features; n_categories [d], 0 for numeric ones, which pass through; unknown_value [1], with
 *             handle_unknown = use_encoded_value
 * Unknown     a code that is none of the feature's is refused, or becomes unknown_value, which goes back to missing
 * Missing     stays missing
 */
#include "learn/learn.h"

typedef struct {
    int64_t handle_unknown;
    double unknown_value;
} params;

enum { REFUSE = 0, ENCODE = 1 };

static const ml__param PARAMS[] = {
    ML__CHOICE(params, handle_unknown, "error", "error|use_encoded_value", "what a code that is no category becomes"),
    ML__REAL(params, unknown_value, "-1", ML__RANGE_OPEN(-INFINITY, INFINITY),
             "its value with use_encoded_value; no code of a category"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"n_categories", ML_INT64, "d", ML__NON_NEGATIVE},
    {"unknown_value", ML_FLOAT64, "1", ML__FINITE | ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

static bool is_code(double value, size_t n_categories)
{
    return value >= 0 && value < (double)n_categories && value == floor(value);
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    int64_t *n_categories;
    double *unknown_value;
    ml_status st = ML_OK;

    ML__PUBLISH(f, n_categories, "n_categories", ML_INT64, f->d);
    for (size_t j = 0; j < f->d; j++) {
        const ml__feature *feature = &f->schema->features[j];

        ML__CHECK(p->handle_unknown == REFUSE || !is_code(p->unknown_value, feature->n_categories), ML_E_PARAMETER,
                  "unknown_value is %g, which is the code of a category of feature '%s'", p->unknown_value,
                  feature->name);
        n_categories[j] = (int64_t)feature->n_categories;
    }
    if (p->handle_unknown == ENCODE) {
        ML__PUBLISH(f, unknown_value, "unknown_value", ML_FLOAT64, 1);
        *unknown_value = p->unknown_value;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const int64_t *n_categories = ml__tensor_data(learned, "n_categories");
    ml_status st = ML_OK;

    (void)model;
    for (size_t j = 0; j < learned->schema.n_features; j++)
        ML__CHECK((uint64_t)n_categories[j] == learned->schema.features[j].n_categories, ML_E_FORMAT,
                  "tensor 'n_categories': element %zu is %lld, the feature has %zu", j, (long long)n_categories[j],
                  learned->schema.features[j].n_categories);
    learned->state = (void *)ml__tensor_data(learned, "unknown_value");
done:
    return st;
}

/* `to_unknown` is what an unknown code becomes; NULL: it is refused. */
static ml_status convert(const ml__feature *feature, double value, const double *to_unknown, double *out)
{
    *out = value;
    if (!feature->n_categories || isnan(value) || is_code(value, feature->n_categories))
        return ML_OK;
    if (!to_unknown)
        return ml__fail(ML_E_DATA, "ordinal_encoder: %g is none of the %zu categories of feature '%s'", value,
                        feature->n_categories, feature->name);
    *out = *to_unknown;
    return ML_OK;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__feature *features = model->learned->schema.features;
    ml_status st = ML_OK;

    (void)scratch;
    for (size_t i = 0; i < x->n * x->d && st == ML_OK; i++)
        st = convert(&features[i % x->d], x->f64[i], model->learned->state, &out[i]);
    return st;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const size_t d = model->learned->schema.n_features;
    const ml__feature *features = model->learned->schema.features;
    const double *unknown = model->learned->state, missing = NAN;
    ml_status st = ML_OK;

    (void)scratch;
    for (size_t i = 0; i < n * d && st == ML_OK; i++)
        st = convert(&features[i % d], z[i], unknown && z[i] == *unknown ? &missing : NULL, &out[i]);
    return st;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__schema *old = &model->learned->schema;
    ml_status st = ML_OK;

    features->n_features = old->n_features;
    ML__NEW(arena, features->features, old->n_features);
    for (size_t j = 0; j < old->n_features; j++)
        features->features[j].name = old->features[j].name;
done:
    return st;
}

const ml__kind ml__ordinal_encoder = {
    .name = "ordinal_encoder",
    .doc = "Turn every categorical feature into a number, the code of its category",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = transform,
    .inverse = inverse,
    .name_features = name_features,
};
