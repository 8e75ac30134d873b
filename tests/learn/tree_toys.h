/* SPDX-License-Identifier: Apache-2.0 */
/* Data and comparisons for the tests of trees, forests and boosting. */
#ifndef INVAR_TREE_TOYS_H
#define INVAR_TREE_TOYS_H

#include "models.h"

typedef struct toy_random {
    uint64_t state;
} toy_random;

/* [0, 1); a 64-bit linear congruence. */
static inline double toy_uniform(toy_random *r)
{
    r->state = r->state * 6364136223846793005u + 1442695040888963407u;
    return (double)(r->state >> 11) * 0x1p-53;
}

static inline ml_dataset *toy_matrix(ml_context *context, const double *x, size_t n, size_t d)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, d, 0, 0, ML_COPY, &data));
    return data;
}

static inline ml_dataset *toy_labels(ml_context *context, const double *x, size_t n, size_t d, const int64_t *y)
{
    ml_dataset *data = toy_matrix(context, x, n, d);

    CHECK_OK(ml_dataset_set_labels(data, "class", y, n, -1));
    return data;
}

static inline ml_dataset *toy_reals(ml_context *context, const double *x, size_t n, size_t d, const double *t)
{
    ml_dataset *data = toy_matrix(context, x, n, d);

    CHECK_OK(ml_dataset_set_targets(data, "t", t, n));
    return data;
}

/* Noisy rows, two features that matter and one that does not: three classes, or reals. */
enum { TOY_ROWS = 90, TOY_FEATURES = 3 };

static inline ml_dataset *toy_data(ml_context *context, bool labels)
{
    double x[TOY_ROWS * TOY_FEATURES], t[TOY_ROWS];
    int64_t y[TOY_ROWS];
    toy_random r = {4};

    for (size_t i = 0; i < TOY_ROWS; i++) {
        for (size_t j = 0; j < TOY_FEATURES; j++)
            x[i * TOY_FEATURES + j] = toy_uniform(&r);
        t[i] = x[i * TOY_FEATURES] + 2 * x[i * TOY_FEATURES + 1] + 0.5 * toy_uniform(&r);
        y[i] = t[i] > 1.4 ? t[i] > 2 ? 2 : 1 : 0;
    }
    return labels ? toy_labels(context, x, TOY_ROWS, TOY_FEATURES, y)
                  : toy_reals(context, x, TOY_ROWS, TOY_FEATURES, t);
}

static inline ml_model *toy_model(ml_context *context, const char *kind)
{
    return test_model(context, kind, NULL);
}

/* "max_depth", "3", …, NULL */
static inline ml_model *toy_fitted(ml_context *context, const char *kind, const ml_dataset *data,
                                   const char *const *settings)
{
    ml_model *model = test_model(context, kind, settings);

    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}
#define TOY_SETTINGS SETTINGS

static inline double toy_score(const ml_model *model, const ml_dataset *data)
{
    double score;

    CHECK_OK(ml_model_score(model, data, NULL, &score));
    return score;
}

static inline double *toy_predictions(const ml_model *model, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    double *out = malloc(n * sizeof *out);

    CHECK_OK(ml_model_predict(model, data, out, n));
    return out;
}

static inline ml_tensor toy_tensor(const ml_model *model, const char *name)
{
    ml_tensor tensor = {.struct_size = sizeof tensor};

    CHECK_OK(ml_model_tensor(model, name, &tensor));
    return tensor;
}

static inline ml_tree_node toy_node(const ml_model *model, size_t tree, size_t node)
{
    ml_tree_node out = {.struct_size = sizeof out};

    CHECK_OK(ml_model_tree_node(model, tree, node, &out));
    return out;
}

/* Tree s of a and tree t of b split alike, values as close as `tolerance`; `feature_of` says where the features of
 * a are in b (NULL: where they were). */
static inline bool toy_close_trees(const ml_model *a, size_t s, const ml_model *b, size_t t, double tolerance,
                                   const int32_t *feature_of)
{
    const size_t n = ml_model_tree_size(a, s);

    if (!n || n != ml_model_tree_size(b, t))
        return false;
    for (size_t i = 0; i < n; i++) {
        const ml_tree_node p = toy_node(a, s, i), q = toy_node(b, t, i);

        if (p.left != q.left || p.threshold != q.threshold || p.n_values != q.n_values ||
            q.feature != (p.feature >= 0 && feature_of ? feature_of[p.feature] : p.feature))
            return false;
        for (size_t k = 0; k < p.n_values; k++)
            if (!(fabs(p.value[k] - q.value[k]) <= tolerance * fmax(1, fabs(q.value[k]))))
                return false;
    }
    return true;
}

static inline bool toy_equal_trees(const ml_model *a, size_t s, const ml_model *b, size_t t)
{
    return toy_close_trees(a, s, b, t, 0, NULL);
}

/* The reference's rule: a quarter of the rows, by a hash of their number. */
static inline void toy_split(const ml_dataset *all, ml_dataset **train, ml_dataset **test)
{
    const size_t n = ml_dataset_n_rows(all);
    size_t *rows = malloc(2 * n * sizeof *rows), n_train = 0, n_test = 0;

    for (size_t i = 0; i < n; i++)
        if ((uint32_t)(2654435761u * i) < 1u << 30)
            rows[n + n_test++] = i;
        else
            rows[n_train++] = i;
    CHECK_OK(ml_dataset_subset(all, rows, n_train, train));
    CHECK_OK(ml_dataset_subset(all, rows + n, n_test, test));
    free(rows);
}

static inline void toy_same_models(const ml_model *a, const ml_model *b)
{
    size_t n_a, n_b;
    void *bytes_a = test_saved(a, &n_a), *bytes_b = test_saved(b, &n_b);

    CHECK_SAME_BYTES(bytes_a, n_a, bytes_b, n_b);
    free(bytes_a);
    free(bytes_b);
}

/* An order of growth without limit, and a pruning that prunes nothing, leave the tree as it is. */
static inline void toy_check_order(const ml_dataset *data)
{
    ml_model *plain = toy_fitted(NULL, "decision_tree", data, NULL),
             *best_first = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_leaf_nodes", "100000")),
             *pruned = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("ccp_alpha", "1e-300"));

    CHECK_OK(ml_model_set_int(best_first, "max_leaf_nodes", 0));
    CHECK_OK(ml_model_set_int(pruned, "ccp_alpha", 0));
    toy_same_models(best_first, plain);
    toy_same_models(pruned, plain);
    ml_model_free(plain);
    ml_model_free(best_first);
    ml_model_free(pruned);
}

typedef struct {
    const char *kind;
    bool labels;
    const char *const *settings;
} toy_fit;

static inline void *toy_fit_bytes(ml_context *context, const void *argument, size_t *n_bytes)
{
    const toy_fit *f = argument;

    return test_fitted_bytes(test_model(context, f->kind, f->settings), toy_data(context, f->labels), n_bytes);
}

/* Same bytes for any number of threads. */
static inline void toy_check_threads(const char *kind, bool labels, const char *const *settings)
{
    test_any_threads(kind, toy_fit_bytes, &(toy_fit){kind, labels, settings});
}

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
} toy_prediction;

static inline ml_status toy_try_predict(ml_context *context, void *argument)
{
    const toy_prediction *p = argument;
    double out[TOY_ROWS];

    (void)context;
    return ml_model_predict(p->model, p->data, out, TOY_ROWS);
}

/* Every allocation of a fit and of a prediction fails once, and from then on: a clean ML_E_MEMORY, nothing leaks, and the
 * model stays what it was. Returns the number of allocations of a fit. */
static inline size_t toy_check_memory(uint32_t n_threads, const char *kind, bool labels, const char *const *settings)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, n_threads);
    ml_dataset *data = toy_data(context, labels);
    ml_model *model = toy_fitted(context, kind, data, settings);
    size_t n_failures;

    CHECK_OK(ml_model_set_int(model, "random_state", 1));
    n_failures = test_failing_refits(&allocator, context, kind, model, data);
    (void)test_failing_allocations(&allocator, context, kind, toy_try_predict, &(toy_prediction){model, data});
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    return n_failures / 2;
}

/* Cancelled at every tick, each of which tells of something done, the model stays what it was, and fits as before afterwards.
 * Returns the number of ticks. */
static inline size_t toy_check_cancel(const char *kind, bool labels, const char *const *settings)
{
    ml_dataset *data = toy_data(NULL, labels);
    ml_model *model = toy_fitted(NULL, kind, data, settings);
    test_watch watch = {0};
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = test_watching, .monitor_user = &watch};

    CHECK_OK(ml_model_set_int(model, "random_state", 5));
    CHECK(test_cancelled_fits(kind, model, data) > 0);
    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(watch.least_done >= 1);
    ml_model_free(model);
    ml_dataset_free(data);
    return watch.n_seen;
}

#endif
