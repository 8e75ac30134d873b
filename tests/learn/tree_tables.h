/* SPDX-License-Identifier: Apache-2.0 */
/* Small tables and what their splits are worth by the definitions, for the tests of trees. */
#ifndef INVAR_TREE_TABLES_H
#define INVAR_TREE_TABLES_H

#include <float.h>

#include "learn/tree/tree.h"
#include "tree_toys.h"

static inline ml__trees trees_of(const ml_model *model)
{
    const ml_tensor nodes = toy_tensor(model, "trees.nodes"), value = toy_tensor(model, "trees.value");
    const size_t d = ml_model_n_features(model);

    return (ml__trees){.n_trees = (size_t)toy_tensor(model, "trees.first_value").shape[0],
                       .d = d,
                       .K = (size_t)value.shape[1],
                       .n_words = (size_t)nodes.shape[1],
                       .shift = ml__link_shift(d),
                       .words = nodes.data,
                       .offset = toy_tensor(model, "trees.offset").data,
                       .first_value = toy_tensor(model, "trees.first_value").data,
                       .value = value.data};
}

/* Shares of labels or predicted values of all rows; malloc'ed. */
static inline double *values_of(const ml_model *model, const ml_dataset *data, bool labels)
{
    const size_t count = ml_dataset_n_rows(data) * ml_model_width(model, labels ? ML_PREDICT_PROBA : ML_PREDICT);
    double *out = malloc(count * sizeof *out);

    CHECK_OK(labels ? ml_model_predict_proba(model, data, out, count) : ml_model_predict(model, data, out, count));
    return out;
}

enum { MAX_ROWS = 16, MAX_FEATURES = 3, MAX_OUTPUTS = 2 };
static const char *const CRITERIA[] = {"auto",          "gini",         "entropy",        "log_loss",
                                       "squared_error", "friedman_mse", "absolute_error", "poisson"};

typedef struct {
    size_t n, d, n_outputs;
    int criterion; /* of CRITERIA */
    bool labels;
    double x[MAX_ROWS * MAX_FEATURES];
    double y[MAX_OUTPUTS][MAX_ROWS]; /* NaN: missing */
    double w[MAX_ROWS];
} table;

static inline double least_distance(const table *t, const double *y, const bool *in)
{
    double least = INFINITY;

    for (size_t k = 0; k < t->n; k++) {
        double sum = 0;
        for (size_t i = 0; i < t->n && in[k]; i++)
            sum += in[i] ? t->w[i] * fabs(y[i] - y[k]) : 0;
        least = in[k] ? fmin(least, sum) : least;
    }
    return least;
}

/* Impurity times weight of the rows that are in; `y` is known for all of them. */
static inline double loss(const table *t, const double *y, const bool *in)
{
    double W = 0, S = 0, mean, share[8] = {0}, sum = 0;

    for (size_t i = 0; i < t->n; i++)
        if (in[i]) {
            W += t->w[i];
            S += t->w[i] * y[i];
            if (t->labels)
                share[(int)y[i]] += t->w[i];
        }
    mean = S / W;
    for (int k = 0; k < 8; k++)
        if (t->labels && share[k] > 0)
            sum += t->criterion == 1 ? share[k] * (1 - share[k] / W) : share[k] * log2(W / share[k]);
    if (t->criterion == 6)
        return least_distance(t, y, in);
    for (size_t i = 0; i < t->n && !t->labels; i++)
        if (in[i] && t->criterion == 7)
            sum += y[i] > 0 ? t->w[i] * y[i] * log(y[i] / mean) : 0;
        else if (in[i])
            sum += t->w[i] * (y[i] - mean) * (y[i] - mean);
    return sum;
}

/* Rows that have output o, of all and of both sides; false when a side has none. */
static inline bool sides(const table *t, size_t o, const bool *left, bool in[3][MAX_ROWS])
{
    bool any_left = false, any_right = false;

    for (size_t i = 0; i < t->n; i++) {
        in[0][i] = !isnan(t->y[o][i]);
        in[1][i] = in[0][i] && left[i];
        in[2][i] = in[0][i] && !left[i];
        any_left |= in[1][i];
        any_right |= in[2][i];
    }
    return any_left && any_right;
}

/* Sum and weight. */
static inline void sums(const table *t, size_t o, const bool *in, double *S, double *W)
{
    *S = *W = 0;
    for (size_t i = 0; i < t->n; i++)
        if (in[i]) {
            *S += t->w[i] * t->y[o][i];
            *W += t->w[i];
        }
}

/* Mean over the outputs; -1: not allowed. */
static inline double gain_of(const table *t, const bool *left)
{
    double mean = 0;

    for (size_t o = 0; o < t->n_outputs; o++) {
        bool in[3][MAX_ROWS];
        double S_l, S_r, l, r;

        if (!sides(t, o, left, in))
            continue;
        sums(t, o, in[1], &S_l, &l);
        sums(t, o, in[2], &S_r, &r);
        if (t->criterion == 7 && S_l + S_r > 0 && (S_l == 0 || S_r == 0))
            return -1;
        if (t->criterion == 5)
            mean += (S_l / l - S_r / r) * sqrt(l * r / (l + r)) / (double)t->n_outputs;
        else
            mean +=
                (loss(t, t->y[o], in[0]) - loss(t, t->y[o], in[1]) - loss(t, t->y[o], in[2])) / (double)t->n_outputs;
    }
    return t->criterion == 5 ? mean * mean : mean;
}

#endif
