/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-hot encoding: a categorical feature with c categories becomes c features that are 1 where the row has that
 * category and 0 elsewhere; numeric features pass through in their place.
 *
 * Layout      feature j becomes the new features offsets[j] .. offsets[j+1] - 1, named "feature=category"
 * Infrequent  categories of less weight than min_frequency, and all but the max_categories - 1 most frequent, share one new
 *             feature, the last of theirs, named "feature=infrequent"
 * Dropped     with drop = first the first new feature of each categorical one is left out; if_binary: where there are two
 *
 * Symbols     d features; offsets [d + 1], offsets[0] = 0, offsets[d] the new width; places: for every category of every
 *             categorical feature its new feature, counted from offsets[j], or -1 when it is dropped; unknown [d]: the same
 *             for codes that are no category, -2 when they are refused
 *             Only what is not the plain layout has places, only what is not all zeros has unknown.
 * Degenerate  a missing category gives all zeros, and so does a code that is none of the feature's unless handle_unknown says
 *             otherwise; a missing number stays missing
 * Back        the category whose place has the largest value; all zeros are the dropped category, or missing; so is a shared place
 */
#include <string.h>

#include "learn/learn.h"
#include "learn/weighted.h"

typedef struct {
    int64_t handle_unknown, drop;
    ml__size min_frequency;
    int64_t max_categories;
} params;

enum { IGNORE_UNKNOWN, REFUSE_UNKNOWN, UNKNOWN_IS_INFREQUENT };
enum { DROP_NONE, DROP_FIRST, DROP_IF_BINARY };
enum { NOWHERE = -1, REFUSED = -2, SHARED = -1 };

static const ml__param PARAMS[] = {
    ML__CHOICE(params, handle_unknown, "ignore", "ignore|error|infrequent_if_exist",
               "what a code that is no category becomes: zeros, an error, or an infrequent category"),
    ML__CHOICE(params, drop, "none", "none|first|if_binary",
               "leave out the first category of each feature, or of each with two"),
    ML__SIZE(params, min_frequency, "none", ML__RANGE(1, 1e9), "none",
             "categories of fewer rows (less weight) are infrequent; a fraction is of all rows"),
    ML__INT(params, max_categories, "0", ML__RANGE(0, 1e9),
            "most new features of one feature: its most frequent categories, and the infrequent ones as the last; 0: "
            "no limit"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"offsets", ML_INT64, "*", ML__NON_NEGATIVE},
    {"places", ML_INT64, "*", ML__OPTIONAL},
    {"unknown", ML_INT64, "d", ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

/* ---- which categories are infrequent ---- */

static double least_weight(const params *p, double W)
{
    return p->min_frequency.form == ML__SIZE_COUNT      ? (double)p->min_frequency.count
           : p->min_frequency.form == ML__SIZE_FRACTION ? p->min_frequency.fraction * W
                                                        : -INFINITY;
}

/* Of n categories with these weights; ties in their order. `order` has room for n. */
static void find_infrequent(const params *p, const double *weights, size_t n, double W, ml__weighted *order,
                            bool *is_infrequent)
{
    const size_t most = p->max_categories ? (size_t)p->max_categories - 1 : n;
    size_t n_frequent = 0;

    for (size_t k = 0; k < n; k++) {
        is_infrequent[k] = weights[k] < least_weight(p, W);
        n_frequent += !is_infrequent[k];
        order[k] = (ml__weighted){weights[k], (double)k};
    }
    if (n_frequent <= most)
        return;
    ml__weighted_sort(order, n);
    for (size_t k = 0; k < n - most; k++)
        is_infrequent[(size_t)order[k].weight] = true;
}

static bool is_category(double value, size_t n)
{
    return value >= 0 && value < (double)n && value == floor(value);
}

/* ---- the layout of one feature ---- */

typedef struct {
    size_t width;   /* new features */
    int64_t shared; /* the place of infrequent categories, or NOWHERE */
    bool has_dropped;
} layout;

/* Places of n categories. */
static layout lay_out(const params *p, const bool *is_infrequent, size_t n, int64_t *places)
{
    layout l = {.shared = NOWHERE};
    size_t n_frequent = 0;

    for (size_t k = 0; k < n; k++)
        if (!is_infrequent[k])
            places[k] = (int64_t)n_frequent++;
    l.width = n_frequent + (n_frequent < n);
    l.has_dropped = p->drop == DROP_FIRST || (p->drop == DROP_IF_BINARY && l.width == 2);
    if (n_frequent < n)
        l.shared = (int64_t)n_frequent - l.has_dropped; /* NOWHERE when it is the first, and dropped */
    for (size_t k = 0; k < n; k++)
        places[k] = is_infrequent[k] ? l.shared : places[k] - l.has_dropped;
    l.width -= l.has_dropped;
    return l;
}

static int64_t place_of_unknown(const params *p, const layout *l)
{
    return p->handle_unknown == REFUSE_UNKNOWN          ? REFUSED
           : p->handle_unknown == UNKNOWN_IS_INFREQUENT ? l->shared
                                                        : NOWHERE;
}

/* ---- fit ---- */

typedef struct {
    size_t widest, n_categories; /* most of one feature; of all */
} sizes;

static sizes measure(const ml__schema *schema)
{
    sizes s = {0};

    for (size_t j = 0; j < schema->n_features; j++) {
        const size_t n = schema->features[j].n_categories;

        s.n_categories += n;
        s.widest = n > s.widest ? n : s.widest;
    }
    return s;
}

typedef struct {
    ml__fit *f;
    const double *X, *w; /* NULL: nothing depends on how frequent a category is */
    double W, *weights;
    ml__weighted *order;
    bool *is_infrequent;
} counts;

static ml_status create_counts(ml__fit *f, size_t widest, counts *c)
{
    const params *p = f->params;
    ml_status st = ML_OK;

    *c = (counts){.f = f};
    ML__NEW(f->scratch, c->is_infrequent, widest);
    if (!p->max_categories && p->min_frequency.form == ML__SIZE_CHOICE)
        return ML_OK;
    ML__NEW(f->scratch, c->weights, widest);
    ML__NEW(f->scratch, c->order, widest);
    ML__TRY(ml__fit_matrix_f64(f, &c->X));
    c->w = ml__fit_weights(f);
    ML__TRY(c->w ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < f->n; i++)
        c->W += c->w[i];
done:
    return st;
}

static layout lay_out_feature(counts *c, size_t j, int64_t *places)
{
    const params *p = c->f->params;
    const size_t n = c->f->schema->features[j].n_categories, d = c->f->d;

    if (c->X) {
        memset(c->weights, 0, n * sizeof *c->weights);
        for (size_t i = 0; i < c->f->n; i++)
            if (is_category(c->X[i * d + j], n))
                c->weights[(size_t)c->X[i * d + j]] += c->w[i];
        find_infrequent(p, c->weights, n, c->W, c->order, c->is_infrequent);
    }
    return lay_out(p, c->is_infrequent, n, places);
}

/* Everything, whether it will be published or not. */
static ml_status make_layout(ml__fit *f, size_t widest, int64_t *offsets, int64_t *places, int64_t *unknown)
{
    counts c;
    ml_status st;

    ML__TRY(create_counts(f, widest, &c));
    for (size_t j = 0; j < f->d; j++) {
        const ml__feature *feature = &f->schema->features[j];
        layout l = {.width = 1, .shared = NOWHERE};

        if (feature->n_categories)
            l = lay_out_feature(&c, j, places);
        unknown[j] = feature->n_categories ? place_of_unknown(f->params, &l) : NOWHERE;
        places += feature->n_categories;
        offsets[j + 1] = offsets[j] + (int64_t)l.width;
        ML__CHECK(offsets[j + 1] <= (int64_t)ML_MAX_FEATURES, ML_E_LIMIT,
                  "the categories up to feature '%s' make more than %zu features", feature->name, ML_MAX_FEATURES);
    }
    ML__CHECK(offsets[f->d], ML_E_DATA, "one_hot_encoder: drop leaves no feature");
done:
    return st;
}

static ml_status publish(ml__fit *f, const int64_t *places, size_t n_categories, const int64_t *unknown)
{
    const params *p = f->params;
    int64_t *out;
    ml_status st = ML_OK;

    if (n_categories && (p->drop || p->max_categories || p->min_frequency.form != ML__SIZE_CHOICE)) {
        ML__PUBLISH(f, out, "places", ML_INT64, n_categories);
        memcpy(out, places, n_categories * sizeof *out);
    }
    if (p->handle_unknown != IGNORE_UNKNOWN) {
        ML__PUBLISH(f, out, "unknown", ML_INT64, f->d);
        memcpy(out, unknown, f->d * sizeof *out);
    }
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const sizes s = measure(f->schema);
    int64_t *offsets, *places, *unknown;
    ml_status st;

    ML__PUBLISH(f, offsets, "offsets", ML_INT64, f->d + 1);
    ML__NEW(f->scratch, places, s.n_categories);
    ML__NEW(f->scratch, unknown, f->d);
    ML__TRY(make_layout(f, s.widest, offsets, places, unknown));
    ML__TRY(publish(f, places, s.n_categories, unknown));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* ---- what predictors read ---- */

typedef struct {
    const int64_t *offsets, *unknown; /* unknown NULL: NOWHERE */
    const int64_t **places;           /* [d], [c] of each feature; NULL: the category is the place */
    int64_t *categories;              /* of each new feature; SHARED when there are several */
    int64_t *dropped;                 /* [d] the category without a place; SHARED when there are several, or none */
} state;

static ml_status check_offsets(const ml__schema *schema, const ml__named_tensor *t, bool is_plain)
{
    const int64_t *offsets = t->data;
    ml_status st = ML_OK;

    ML__CHECK(t->shape[0] == (uint64_t)schema->n_features + 1, ML_E_FORMAT,
              "tensor 'offsets' has %llu elements for %zu features", (unsigned long long)t->shape[0],
              schema->n_features);
    ML__CHECK(offsets[0] == 0, ML_E_FORMAT, "tensor 'offsets' does not start at 0");
    for (size_t j = 0; j < schema->n_features; j++) {
        const int64_t n = (int64_t)schema->features[j].n_categories, width = offsets[j + 1] - offsets[j];

        ML__CHECK(offsets[j] <= (int64_t)ML_MAX_FEATURES && offsets[j + 1] <= (int64_t)ML_MAX_FEATURES && width >= 0 &&
                      (is_plain || !n ? width == (n ? n : 1) : width <= n),
                  ML_E_FORMAT, "tensor 'offsets': feature '%s' has the wrong number of places",
                  schema->features[j].name);
    }
    ML__CHECK(offsets[schema->n_features], ML_E_FORMAT, "tensor 'offsets' leaves no feature");
done:
    return st;
}

static ml_status check_place(const char *name, int64_t place, int64_t least, int64_t width, const ml__feature *feature)
{
    ml_status st = ML_OK;

    ML__CHECK(place >= least && place < width, ML_E_FORMAT,
              "tensor '%s': %lld is no place of feature '%s', which has %lld", name, (long long)place, feature->name,
              (long long)width);
done:
    return st;
}

static ml_status find_places(const ml__schema *schema, const ml__named_tensor *t, state *s)
{
    const int64_t *places = t->data;
    ml_status st = ML_OK;

    ML__CHECK(t->shape[0] == measure(schema).n_categories, ML_E_FORMAT,
              "tensor 'places' has %llu elements for %zu categories", (unsigned long long)t->shape[0],
              measure(schema).n_categories);
    for (size_t j = 0; j < schema->n_features; j++) {
        const ml__feature *feature = &schema->features[j];

        s->places[j] = places;
        for (size_t k = 0; k < feature->n_categories; k++)
            ML__TRY(check_place("places", *places++, NOWHERE, s->offsets[j + 1] - s->offsets[j], feature));
    }
done:
    return st;
}

/* The way back: which category has which place. */
static void find_categories(const ml__schema *schema, bool *is_met, state *s)
{
    for (size_t j = 0; j < schema->n_features; j++) {
        bool drops = false;

        s->dropped[j] = SHARED;
        for (size_t k = 0; k < schema->features[j].n_categories; k++) {
            const int64_t place = s->places[j] ? s->places[j][k] : (int64_t)k;
            bool *met = place == NOWHERE ? &drops : &is_met[s->offsets[j] + place];

            *(place == NOWHERE ? &s->dropped[j] : &s->categories[s->offsets[j] + place]) = *met ? SHARED : (int64_t)k;
            *met = true;
        }
    }
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__schema *schema = &learned->schema;
    const ml__named_tensor *offsets = ml__learned_find(learned, "offsets"),
                           *places = ml__learned_find(learned, "places");
    state *s;
    bool *is_met;
    size_t n_new;
    ml_status st;

    (void)model;
    ML__TRY(check_offsets(schema, offsets, !places));
    ML__NEW(&learned->arena, s, 1);
    ML__NEW(&learned->arena, s->places, schema->n_features);
    s->offsets = offsets->data;
    s->unknown = ml__tensor_data(learned, "unknown");
    if (places)
        ML__TRY(find_places(schema, places, s));
    for (size_t j = 0; j < schema->n_features && s->unknown; j++)
        ML__TRY(
            check_place("unknown", s->unknown[j], REFUSED, s->offsets[j + 1] - s->offsets[j], &schema->features[j]));
    n_new = (size_t)s->offsets[schema->n_features];
    ML__NEW(&learned->arena, s->categories, n_new);
    ML__NEW(&learned->arena, s->dropped, schema->n_features);
    ML__NEW(&learned->arena, is_met, n_new);
    find_categories(schema, is_met, s);
    learned->state = s;
done:
    return st;
}

static size_t width(const ml_model *model, int32_t what)
{
    const state *s = model->learned->state;
    return what == ML_TRANSFORM ? (size_t)s->offsets[model->learned->schema.n_features] : 0;
}

/* ---- transform ---- */

static ml_status encode(const state *s, const ml__feature *feature, size_t j, double value, double *out)
{
    int64_t place = NOWHERE;

    if (is_category(value, feature->n_categories))
        place = s->places[j] ? s->places[j][(size_t)value] : (int64_t)value;
    else if (!isnan(value) && s->unknown)
        place = s->unknown[j];
    if (place == REFUSED)
        return ml__fail(ML_E_DATA, "one_hot_encoder: %g is none of the %zu categories of feature '%s'", value,
                        feature->n_categories, feature->name);
    if (place != NOWHERE)
        out[place] = 1;
    return ML_OK;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__feature *features = model->learned->schema.features;
    const state *s = model->learned->state;
    const size_t new_width = (size_t)s->offsets[x->d];
    ml_status st = ML_OK;

    (void)scratch;
    memset(out, 0, x->n * new_width * sizeof *out);
    for (size_t i = 0; i < x->n; i++, out += new_width)
        for (size_t j = 0; j < x->d; j++) {
            const double value = x->f64[i * x->d + j];

            if (!features[j].n_categories)
                out[s->offsets[j]] = value;
            else
                ML__TRY(encode(s, &features[j], j, value, out + s->offsets[j]));
        }
done:
    return st;
}

static double decode(const state *s, size_t j, const double *z)
{
    const size_t n = (size_t)(s->offsets[j + 1] - s->offsets[j]);
    int64_t category = s->dropped[j];
    double largest = 0;

    for (size_t k = 0; k < n; k++)
        if (z[k] > largest) {
            largest = z[k];
            category = s->categories[s->offsets[j] + (int64_t)k];
        }
    return category == SHARED ? NAN : (double)category;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const ml__schema *schema = &model->learned->schema;
    const state *s = model->learned->state;

    (void)scratch;
    for (size_t i = 0; i < n; i++, z += s->offsets[schema->n_features])
        for (size_t j = 0; j < schema->n_features; j++) {
            const double *places = z + s->offsets[j];

            *out++ = schema->features[j].n_categories ? decode(s, j, places) : places[0];
        }
    return ML_OK;
}

/* ---- names ---- */

/* "feature=category", or "feature=infrequent" where several share the place. */
static ml_status name_places(const state *s, const ml__feature *feature, size_t j, ml__arena *arena,
                             ml__feature *features)
{
    const size_t n = (size_t)(s->offsets[j + 1] - s->offsets[j]);

    for (size_t k = 0; k < n; k++) {
        const int64_t category = s->categories[s->offsets[j] + (int64_t)k];

        features[k].name = ml__joined_text(arena, feature->name, "=",
                                           category == SHARED ? "infrequent" : feature->categories[category]);
        if (!features[k].name)
            return ML_E_MEMORY;
    }
    return ML_OK;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__schema *old = &model->learned->schema;
    const state *s = model->learned->state;
    ml_status st = ML_OK;

    features->n_features = width(model, ML_TRANSFORM);
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < old->n_features; j++) {
        ml__feature *first = features->features + s->offsets[j];

        if (old->features[j].n_categories)
            ML__TRY(name_places(s, &old->features[j], j, arena, first));
        else
            first->name = old->features[j].name;
    }
done:
    return st;
}

const ml__kind ml__one_hot_encoder = {
    .name = "one_hot_encoder",
    .doc = "Turn every categorical feature into one 0/1 feature per category",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__MAY_FILL,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = transform,
    .inverse = inverse,
    .width = width,
    .name_features = name_features,
};
