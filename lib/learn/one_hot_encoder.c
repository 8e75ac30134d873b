/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-hot encoding: a categorical feature with c categories becomes c features that are 1 where the row has that
 * category and 0 elsewhere; numeric features pass through in their place.
 *
 * Layout      feature j becomes the new features offsets[j] .. offsets[j+1] - 1, named "feature=category"
 * Symbols     d features; offsets [d + 1], offsets[0] = 0, offsets[d] the new width
 * Degenerate  a missing category, or a code that is none of the feature's, gives all zeros; a missing number stays
 *             missing
 */
#include <string.h>

#include "learn/learn.h"

static const ml__param PARAMS[] = {ML__PARAMS_END};

static const ml__tensor_rule TENSORS[] = {
    {"offsets", ML_INT64, "*", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

static size_t width_of(const ml__feature *feature)
{
    return feature->n_categories ? feature->n_categories : 1;
}

static ml_status fit(ml__fit *f)
{
    int64_t *offsets;
    size_t total = 0;
    ml_status st = ML_OK;

    ML__PUBLISH(f, offsets, "offsets", ML_INT64, f->d + 1);
    for (size_t j = 0; j < f->d; j++) {
        total += width_of(&f->schema->features[j]);
        ML__CHECK(total <= ML_MAX_FEATURES, ML_E_LIMIT, "the categories up to feature '%s' make more than %zu features",
                  f->schema->features[j].name, ML_MAX_FEATURES);
        offsets[j + 1] = (int64_t)total;
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* The layout follows from the schema, so a file can only repeat it. */
static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__schema *schema = &learned->schema;
    const ml__named_tensor *t = ml__learned_find(learned, "offsets");
    const int64_t *offsets = t->data;
    ml_status st = ML_OK;

    (void)model;
    ML__CHECK(t->shape[0] == (uint64_t)schema->n_features + 1, ML_E_FORMAT,
              "tensor 'offsets' has %llu elements for %zu features", (unsigned long long)t->shape[0],
              schema->n_features);
    ML__CHECK(offsets[0] == 0, ML_E_FORMAT, "tensor 'offsets' does not start at 0");
    for (size_t j = 0; j < schema->n_features; j++)
        ML__CHECK(offsets[j] <= (int64_t)ML_MAX_FEATURES &&
                      offsets[j + 1] - offsets[j] == (int64_t)width_of(&schema->features[j]),
                  ML_E_FORMAT, "tensor 'offsets': feature '%s' has the wrong number of places",
                  schema->features[j].name);
    ML__CHECK(offsets[schema->n_features] <= (int64_t)ML_MAX_FEATURES, ML_E_FORMAT,
              "tensor 'offsets' makes more than %zu features", ML_MAX_FEATURES);
    learned->state = t->data;
done:
    return st;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__feature *features = model->learned->schema.features;
    const int64_t *offsets = model->learned->state;
    const size_t new_width = (size_t)offsets[x->d];

    (void)scratch;
    memset(out, 0, x->n * new_width * sizeof *out);
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < x->d; j++) {
            const double value = x->f64[i * x->d + j];
            double *places = out + i * new_width + offsets[j];

            if (!features[j].n_categories)
                places[0] = value;
            else if (value >= 0 && value < (double)features[j].n_categories && value == floor(value))
                places[(size_t)value] = 1;
        }
    return ML_OK;
}

static size_t width(const ml_model *model, int32_t what)
{
    const int64_t *offsets = model->learned->state;
    return what == ML_TRANSFORM ? (size_t)offsets[model->learned->schema.n_features] : 0;
}

static char *joined_name(ml__arena *arena, const ml__feature *feature, size_t category)
{
    const size_t n_bytes = strlen(feature->name) + strlen(feature->categories[category]) + 2;
    char *name = ml__arena_take(arena, n_bytes, 1);

    if (name) {
        strcpy(name, feature->name);
        strcat(name, "=");
        strcat(name, feature->categories[category]);
    }
    return name;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__schema *old = &model->learned->schema;
    size_t next = 0;
    ml_status st = ML_OK;

    features->n_features = width(model, ML_TRANSFORM);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < old->n_features; j++)
        for (size_t k = 0; k < width_of(&old->features[j]); k++) {
            char *name = old->features[j].n_categories ? joined_name(arena, &old->features[j], k)
                                                       : ml__arena_text(arena, old->features[j].name);
            if (!name)
                return ML_E_MEMORY;
            features->features[next++].name = name;
        }
done:
    return st;
}

const ml__kind ml__one_hot_encoder = {
    .name = "one_hot_encoder",
    .doc = "Turn every categorical feature into one 0/1 feature per category",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = transform,
    .width = width,
    .name_features = name_features,
};
