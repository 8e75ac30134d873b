/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imputation: every missing value becomes one statistic of its feature.
 *
 * Estimates   over the rows where the feature is not missing, a row of weight w counting as w rows:
 *             mean           sum_i w_i x_ij / W_j
 *             median         the middle of the sorted values: the smallest v with W(x <= v) > W_j / 2; where one has
 *                            exactly W_j / 2, the mean of it and the next
 *             most_frequent  the value of the largest weight, the smallest one on ties
 *             constant       fill_value
 *             Categorical features take most_frequent, whatever the strategy: other statistics of codes mean nothing.
 *
 * Symbols     n rows, d features; statistics [d]; values: those of one feature with their weights, in order
 * Indicators  with add_indicator, behind the d features one more for each that missed values in the fit (indicator [m]: their
 *             numbers): 1 where the value is missing, else 0. They are also the way back, which there is not without them.
 * Degenerate  a feature without any value of positive weight is an error, unless fill_value is used, or keep_empty_features,
 *             which fills it with 0
 * Cost        mean two passes; otherwise O(d n log n)
 */
#include <string.h>

#include "learn/features.h"
#include "learn/learn.h"
#include "learn/moments.h"
#include "learn/weighted.h"

typedef struct {
    int64_t strategy;
    double fill_value;
    int64_t add_indicator, keep_empty_features;
} params;

enum { MEAN, MEDIAN, MOST_FREQUENT, CONSTANT };

static const ml__param PARAMS[] = {
    ML__CHOICE(params, strategy, "mean", "mean|median|most_frequent|constant",
               "statistic that stands for missing numbers; categories take the most frequent one"),
    ML__REAL(params, fill_value, "0", ML__RANGE_OPEN(-INFINITY, INFINITY), "value of strategy constant"),
    ML__BOOL(params, add_indicator, "false",
             "add a feature for each that misses values in the fit: 1 where it is missing, else 0"),
    ML__BOOL(params, keep_empty_features, "false", "a feature without any value becomes 0; otherwise it is an error"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"statistics", ML_FLOAT64, "d", ML__FINITE},
    {"indicator", ML_INT64, "*", ML__NON_NEGATIVE | ML__OPTIONAL},
    {NULL, 0, NULL, 0},
};

/* ---- statistics ---- */

static double most_frequent(const ml__weighted *values, size_t n)
{
    double best = values[0].value, best_weight = 0;

    for (size_t i = 0; i < n;) {
        const double v = values[i].value;
        double weight = 0;

        for (; i < n && values[i].value == v; i++)
            weight += values[i].weight;
        if (weight > best_weight) {
            best_weight = weight;
            best = v;
        }
    }
    return best;
}

static int64_t strategy_of(const ml__fit *f, size_t j)
{
    const params *p = f->params;
    return f->schema->features[j].n_categories ? MOST_FREQUENT : p->strategy;
}

static ml_status set_statistic(const ml__fit *f, size_t j, bool has_values, double value, double *statistics)
{
    static const char *const NAMES[] = {"mean", "median", "most frequent"};
    const params *p = f->params;

    if (!has_values && !p->keep_empty_features)
        return ml__fail(ML_E_DATA, "feature '%s' has no value to take the %s of", f->schema->features[j].name,
                        NAMES[strategy_of(f, j)]);
    statistics[j] = has_values ? value : 0;
    return ML_OK;
}

typedef struct {
    const ml__fit *f;
    double *statistics;
} estimates;

static ml_status estimate_in_order(void *argument, size_t j, ml__weighted *values, size_t n_values)
{
    const estimates *e = argument;
    const double value = !n_values                        ? 0
                         : strategy_of(e->f, j) == MEDIAN ? ml__weighted_median(values, n_values)
                                                          : most_frequent(values, n_values);

    return set_statistic(e->f, j, n_values, value, e->statistics);
}

static ml_status estimate(ml__fit *f, const ml__rows *rows, const double *w, double *statistics)
{
    const params *p = f->params;
    estimates e = {f, statistics};
    ml__moments m = {0};
    bool *in_order;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, in_order, f->d);
    if (p->strategy == MEAN)
        ML__TRY(ml__moments_of_rows(f->scratch, rows, w, &m));
    for (size_t j = 0; j < f->d; j++) {
        const int64_t strategy = strategy_of(f, j);

        in_order[j] = strategy == MEDIAN || strategy == MOST_FREQUENT;
        if (strategy == CONSTANT)
            statistics[j] = p->fill_value;
        else if (strategy == MEAN)
            ML__TRY(set_statistic(f, j, m.W[j] > 0, m.mean[j], statistics));
    }
    ML__TRY(ml__visit_columns(f->context, rows, w, in_order, estimate_in_order, &e));
done:
    return st;
}

/* Which columns miss values, rows of weight 0 aside? */
static ml_status find_missing(ml_context *context, const ml__rows *rows, const double *w, bool *misses)
{
    enum { BLOCK_ROWS = 64 };
    const size_t d = rows->d;
    const double *X;
    double *block;
    ml_status st;

    ML__TRY(ml__rows_room(rows, context, BLOCK_ROWS, &block));
    for (size_t i = 0; i < rows->n; i += BLOCK_ROWS) {
        const size_t n = rows->n - i < BLOCK_ROWS ? rows->n - i : BLOCK_ROWS;

        ML__TRY(ml__rows_take(rows, i, n, block, &X));
        for (size_t r = 0; r < n; r++)
            for (size_t j = 0; j < d && !(w && w[i + r] == 0); j++)
                misses[j] = misses[j] || isnan(X[r * d + j]);
    }
done:
    ml__free(block);
    return st;
}

/* Numbers of the features that miss values. */
static ml_status add_indicator(ml__fit *f, const ml__rows *rows, const double *w)
{
    int64_t *indicator;
    bool *misses;
    size_t n = 0;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, misses, f->d);
    ML__TRY(find_missing(f->context, rows, w, misses));
    for (size_t j = 0; j < f->d; j++)
        n += misses[j];
    ML__CHECK(f->d + n <= ML_MAX_FEATURES, ML_E_LIMIT, "%zu features and %zu indicators, at most %zu are allowed", f->d,
              n, ML_MAX_FEATURES);
    if (!n)
        return ML_OK;
    ML__PUBLISH(f, indicator, "indicator", ML_INT64, n);
    n = 0;
    for (size_t j = 0; j < f->d; j++)
        if (misses[j])
            indicator[n++] = (int64_t)j;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const double *w;
    double *statistics;
    ml__rows rows;
    ml_status st;

    ML__TRY(ml__fit_rows_weights(f, &w));
    ML__TRY(ml__fit_rows(f, &rows));
    ML__PUBLISH(f, statistics, "statistics", ML_FLOAT64, f->d);
    ML__TRY(estimate(f, &rows, w, statistics));
    if (p->add_indicator)
        ML__TRY(add_indicator(f, &rows, w));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* ---- transform ---- */

typedef struct {
    const double *statistics;
    const int64_t *indicator; /* [n_indicators], ascending */
    size_t n_indicators;
} state;

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const size_t d = learned->schema.n_features;
    const ml__named_tensor *indicator = ml__learned_find(learned, "indicator");
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    s->statistics = ml__tensor_data(learned, "statistics");
    if (indicator) {
        s->indicator = indicator->data;
        s->n_indicators = (size_t)indicator->shape[0];
        for (size_t k = 0; k < s->n_indicators; k++)
            ML__CHECK((uint64_t)s->indicator[k] < d && (!k || s->indicator[k] > s->indicator[k - 1]), ML_E_FORMAT,
                      "tensor 'indicator': element %zu is %lld, expected ascending numbers of %zu features", k,
                      (long long)s->indicator[k], d);
        ML__CHECK(d + s->n_indicators <= ML_MAX_FEATURES, ML_E_FORMAT,
                  "tensor 'indicator' makes more than %zu features", ML_MAX_FEATURES);
    }
    learned->state = s;
done:
    return st;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    const double *row = x->f64;

    (void)scratch;
    for (size_t i = 0; i < x->n; i++, row += x->d) {
        for (size_t j = 0; j < x->d; j++)
            *out++ = isnan(row[j]) ? s->statistics[j] : row[j];
        for (size_t k = 0; k < s->n_indicators; k++)
            *out++ = isnan(row[s->indicator[k]]);
    }
    return ML_OK;
}

/* Missing again where an indicator is not 0. */
static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const size_t d = model->learned->schema.n_features;
    const state *s = model->learned->state;

    (void)scratch;
    for (size_t i = 0; i < n; i++, z += d + s->n_indicators, out += d) {
        memcpy(out, z, d * sizeof *out);
        for (size_t k = 0; k < s->n_indicators; k++)
            if (z[d + k] != 0)
                out[s->indicator[k]] = NAN;
    }
    return ML_OK;
}

static size_t inverse_width(const ml_model *model)
{
    const state *s = model->learned->state;
    return s->n_indicators ? model->learned->schema.n_features + s->n_indicators : 0;
}

static size_t width(const ml_model *model, int32_t what)
{
    const state *s = model->learned->state;
    return what == ML_TRANSFORM ? model->learned->schema.n_features + s->n_indicators : 0;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    const ml__schema *old = &model->learned->schema;
    const state *s = model->learned->state;
    ml_status st = ML_OK;

    features->n_features = old->n_features + s->n_indicators;
    ML__NEW(arena, features->features, features->n_features);
    for (size_t j = 0; j < old->n_features; j++)
        features->features[j] = old->features[j];
    for (size_t k = 0; k < s->n_indicators; k++) {
        char **name = &features->features[old->n_features + k].name;

        *name = ml__joined_text(arena, "missingindicator", "_", old->features[s->indicator[k]].name);
        ML__TRY(*name ? ML_OK : ML_E_MEMORY);
    }
done:
    return st;
}

const ml__kind ml__simple_imputer = {
    .name = "simple_imputer",
    .doc = "Replace missing values by a statistic of their feature",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES | ML__FILLS_MISSING,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .transform = transform,
    .inverse = inverse,
    .inverse_width = inverse_width,
    .width = width,
    .name_features = name_features,
};
