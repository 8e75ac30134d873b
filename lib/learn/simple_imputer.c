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
 * Symbols     n rows, d features; statistics [d]; values: (v, w) pairs of one feature, sorted by v
 * Degenerate  a feature without any value of positive weight is an error, unless fill_value is used
 * Cost        mean two passes; otherwise O(d n log n)
 */
#include "learn/learn.h"
#include "learn/moments.h"

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

typedef struct {
    double v, w;
} pair;

static void sift_down(pair *a, size_t root, size_t n)
{
    const pair moved = a[root];
    size_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && a[child].v < a[child + 1].v)
            child++;
        if (!(moved.v < a[child].v))
            break;
        a[root] = a[child];
        root = child;
    }
    a[root] = moved;
}

/* Heapsort: in place, n log n in the worst case. */
static void sort_pairs(pair *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_down(a, i, n);
    for (size_t end = n; end-- > 1;) {
        const pair largest = a[0];
        a[0] = a[end];
        a[end] = largest;
        sift_down(a, 0, end);
    }
}

static size_t gather_values(const double *X, const double *w, size_t n, size_t d, size_t j, pair *values)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        if (!isnan(X[i * d + j]) && w[i] > 0)
            values[count++] = (pair){X[i * d + j], w[i]};
    sort_pairs(values, count);
    return count;
}

/* ---- statistics ---- */

static double median(const pair *values, size_t n)
{
    double W = 0, below = 0;
    size_t i = 0;

    for (size_t r = 0; r < n; r++)
        W += values[r].w;
    while (i + 1 < n && below + values[i].w < W / 2)
        below += values[i++].w;
    if (i + 1 < n && below + values[i].w == W / 2)
        return values[i].v / 2 + values[i + 1].v / 2;
    return values[i].v;
}

static double most_frequent(const pair *values, size_t n)
{
    double best = values[0].v, best_weight = 0;

    for (size_t i = 0; i < n;) {
        const double v = values[i].v;
        double weight = 0;

        for (; i < n && values[i].v == v; i++)
            weight += values[i].w;
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
    pair *values;
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

static size_t width(const ml_model *model, int32_t what)
{
    return what == ML_TRANSFORM ? model->learned->schema.n_features : 0;
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    return ml__schema_copy(arena, &model->learned->schema, features);
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
    .width = width,
    .name_features = name_features,
};
