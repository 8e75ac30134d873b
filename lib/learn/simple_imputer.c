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
 * Degenerate  a feature without any value of positive weight is an error, unless fill_value is used
 * Cost        mean two passes; otherwise O(d n log n)
 */
#include "learn/features.h"
#include "learn/learn.h"
#include "learn/moments.h"
#include "learn/weighted.h"

typedef struct {
    int64_t strategy;
    double fill_value;
} params;

enum { MEAN, MEDIAN, MOST_FREQUENT, CONSTANT };

static const ml__param PARAMS[] = {
    ML__CHOICE(params, strategy, "mean", "mean|median|most_frequent|constant",
               "statistic that stands for missing numbers; categories take the most frequent one"),
    ML__REAL(params, fill_value, "0", ML__RANGE_OPEN(-INFINITY, INFINITY), "value of strategy constant"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"statistics", ML_FLOAT64, "d", ML__FINITE},
    {NULL, 0, NULL, 0},
};

/* ---- the values of one feature, sorted ---- */

static size_t gather_values(const double *X, const double *w, size_t n, size_t d, size_t j, ml__weighted *values)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(X[i * d + j]) && w[i] > 0)
            values[count++] = (ml__weighted){X[i * d + j], w[i]};
    ml__weighted_sort(values, count);
    return count;
}

/* ---- statistics ---- */

static double median(const ml__weighted *values, size_t n)
{
    double W = 0, below = 0;
    size_t i = 0;

    for (size_t r = 0; r < n; r++)
        W += values[r].weight;
    while (i + 1 < n && below + values[i].weight < W / 2)
        below += values[i++].weight;
    if (i + 1 < n && below + values[i].weight == W / 2)
        return values[i].value / 2 + values[i + 1].value / 2;
    return values[i].value;
}

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

static ml_status estimate(ml__fit *f, const double *X, const double *w, double *statistics)
{
    const params *p = f->params;
    ml__weighted *values;
    ml__moments m = {0};
    ml_status st = ML_OK;

    ML__NEW(f->scratch, values, f->n);
    if (p->strategy == MEAN)
        ML__TRY(ml__moments_of(f->scratch, X, f->n, f->d, w, &m));
    for (size_t j = 0; j < f->d; j++) {
        const int64_t strategy = strategy_of(f, j);
        size_t count = 1;

        if (strategy == MEAN)
            count = m.W[j] > 0;
        else if (strategy != CONSTANT)
            count = gather_values(X, w, f->n, f->d, j, values);
        ML__CHECK(count, ML_E_DATA, "feature '%s' has no value to take the %s of", f->schema->features[j].name,
                  strategy == MEAN     ? "mean"
                  : strategy == MEDIAN ? "median"
                                       : "most frequent");
        statistics[j] = strategy == MEAN       ? m.mean[j]
                        : strategy == MEDIAN   ? median(values, count)
                        : strategy == CONSTANT ? p->fill_value
                                               : most_frequent(values, count);
    }
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const double *X = ml__fit_matrix_f64(f), *w = ml__fit_weights(f);
    double *statistics;
    ml_status st = ML_E_MEMORY;

    if (!X || !w)
        goto done;
    ML__PUBLISH(f, statistics, "statistics", ML_FLOAT64, f->d);
    ML__TRY(estimate(f, X, w, statistics));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

/* ---- transform ---- */

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    (void)model;
    learned->state = (void *)ml__tensor_data(learned, "statistics");
    return ML_OK;
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const double *statistics = model->learned->state;

    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        for (size_t j = 0; j < x->d; j++) {
            const double value = x->f64[i * x->d + j];
            out[i * x->d + j] = isnan(value) ? statistics[j] : value;
        }
    return ML_OK;
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
    .name_features = ml__keep_features,
};
