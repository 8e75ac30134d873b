/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of features up to a degree.
 *
 * Transform   one new feature for each multiset of at most `degree` features, their product; interaction_only: for each set.
 *             In the order of their degree, then of their numbers: 1, a, b, a^2, a b, b^2, ... The 1 is left out without
 *             include_bias.
 *
 * Terms       terms [t x 2]: new feature k is terms[k][0], an earlier new feature, times terms[k][1], a feature; -1 stands for 1.
 *             A term of degree g that begins with feature i is feature i times a term of degree g - 1 that begins with i or a
 *             later feature: these are the last of their degree.
 * Symbols     d features, t new features: C(d + degree, degree), or sum_g C(d, g) for sets; first [d + 1] of a degree: its
 *             first term that begins with feature i or a later one, first[d] its end
 * Cost        one product for each new feature
 */
#include <string.h>

#include "learn/learn.h"

typedef struct {
    int64_t degree, interaction_only, include_bias;
} params;

enum { MAX_DEGREE = 64 };

static const ml__param PARAMS[] = {
    ML__INT(params, degree, "2", ML__RANGE(0, MAX_DEGREE), "most factors of a product"),
    ML__BOOL(params, interaction_only, "false", "no feature is a factor twice"),
    ML__BOOL(params, include_bias, "true", "the first new feature is 1"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"terms", ML_INT64, "**", ML__ANY},
    {NULL, 0, NULL, 0},
};

static ml_status check(const ml_model *model)
{
    const params *p = model->params;
    ml_status st = ML_OK;

    ML__CHECK(p->degree || p->include_bias, ML_E_PARAMETER, "degree 0 without include_bias leaves no feature");
done:
    return st;
}

/* ---- fit ---- */

/* From the terms of one degree to the next: n[i] begin with feature i. */
static size_t count_next(size_t *n, size_t d, bool sets)
{
    size_t later = 0, total = 0;

    for (size_t i = d; i-- > 0;) {
        const size_t own = n[i];

        n[i] = later + (sets ? 0 : own);
        later += own;
        total += n[i];
        if (total > ML_MAX_FEATURES)
            break;
    }
    return total;
}

static ml_status count_terms(ml__fit *f, size_t *n_terms)
{
    const params *p = f->params;
    size_t *n, n_of_degree = f->d;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, n, f->d);
    for (size_t i = 0; i < f->d; i++)
        n[i] = 1;
    *n_terms = p->include_bias ? 1 : 0;
    for (int64_t degree = 1; degree <= p->degree; degree++) {
        if (degree > 1)
            n_of_degree = count_next(n, f->d, p->interaction_only);
        *n_terms += n_of_degree;
        ML__CHECK(*n_terms <= ML_MAX_FEATURES, ML_E_LIMIT,
                  "polynomial_features: degree %lld of %zu features makes more than %zu new features",
                  (long long)p->degree, f->d, ML_MAX_FEATURES);
    }
done:
    return st;
}

/* The terms of one degree behind those there are; `first` is of the degree before and becomes that of this one. */
static size_t add_degree(int64_t (*terms)[2], size_t n, size_t *first, size_t d, bool sets)
{
    const size_t end = first[d];

    for (size_t i = 0; i < d; i++) {
        const size_t begin = first[sets ? i + 1 : i];

        first[i] = n;
        for (size_t t = begin; t < end; t++, n++) {
            terms[n][0] = (int64_t)t;
            terms[n][1] = (int64_t)i;
        }
    }
    first[d] = n;
    return n;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    int64_t(*terms)[2];
    size_t n_terms, n = 0, *first;
    ml_status st;

    ML__TRY(count_terms(f, &n_terms));
    ML__PUBLISH(f, terms, "terms", ML_INT64, n_terms, 2);
    ML__NEW(f->scratch, first, f->d + 1);
    if (p->include_bias)
        terms[n][0] = terms[n][1] = -1, n++;
    for (size_t i = 0; i < f->d && p->degree; i++, n++) {
        first[i] = n;
        terms[n][0] = -1;
        terms[n][1] = (int64_t)i;
    }
    first[f->d] = n;
    for (int64_t degree = 2; degree <= p->degree; degree++)
        n = add_degree(terms, n, first, f->d, p->interaction_only);
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* ---- transform ---- */

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *t = ml__learned_find(learned, "terms");
    const int64_t(*terms)[2] = t->data;
    ml_status st = ML_OK;

    (void)model;
    ML__CHECK(t->shape[1] == 2 && t->shape[0] >= 1 && t->shape[0] <= ML_MAX_FEATURES, ML_E_FORMAT,
              "tensor 'terms' is %llu x %llu", (unsigned long long)t->shape[0], (unsigned long long)t->shape[1]);
    for (size_t k = 0; k < t->shape[0]; k++)
        ML__CHECK(terms[k][0] >= -1 && terms[k][0] < (int64_t)k && terms[k][1] >= -1 &&
                      terms[k][1] < (int64_t)learned->schema.n_features,
                  ML_E_FORMAT, "tensor 'terms': row %zu is %lld, %lld", k, (long long)terms[k][0],
                  (long long)terms[k][1]);
    learned->state = (void *)t;
done:
    return st;
}

static size_t width(const ml_model *model, int32_t what)
{
    const ml__named_tensor *t = model->learned->state;
    return what == ML_TRANSFORM ? (size_t)t->shape[0] : 0;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__named_tensor *t = model->learned->state;
    const int64_t(*terms)[2] = t->data;
    const size_t n_terms = (size_t)t->shape[0];

    (void)scratch;
    for (size_t i = 0; i < x->n; i++, out += n_terms)
        for (size_t k = 0; k < n_terms; k++)
            out[k] = (terms[k][0] < 0 ? 1 : out[terms[k][0]]) *
                     (terms[k][1] < 0 ? 1 : x->f64[i * x->d + (size_t)terms[k][1]]);
    return ML_OK;
}

/* ---- names ---- */

/* "a^2 b": factors of one feature follow each other. */
static void write_name(const int64_t (*terms)[2], int64_t k, const ml__feature *features, ml__text *name)
{
    const char *separator = "";

    while (k >= 0) {
        const int64_t feature = terms[k][1];
        size_t power = 1;

        for (k = terms[k][0]; k >= 0 && terms[k][1] == feature; k = terms[k][0])
            power++;
        if (feature >= 0)
            ml__text_add(name, "%s%s", separator, features[feature].name);
        if (feature >= 0 && power > 1)
            ml__text_add(name, "^%zu", power);
        separator = " ";
    }
    if (!name->n_bytes)
        ml__text_add(name, "1");
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__named_tensor *t = model->learned->state;
    ml__text name;
    ml_status st = ML_OK;

    features->n_features = (size_t)t->shape[0];
    ML__NEW(arena, features->features, features->n_features);
    for (size_t k = 0; k < features->n_features; k++) {
        ml__text_init(&name, model->context);
        write_name(t->data, (int64_t)k, model->learned->schema.features, &name);
        st = name.status;
        if (st == ML_OK)
            features->features[k].name = ml__arena_text(arena, name.data);
        ml__text_free(&name);
        ML__TRY(features->features[k].name ? st : ML_E_MEMORY);
    }
done:
    return st;
}

const ml__kind ml__polynomial_features = {
    .name = "polynomial_features",
    .doc = "Products of features up to a degree",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .transform = transform,
    .width = width,
    .name_features = name_features,
};
