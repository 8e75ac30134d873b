/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that the tests of the linear models, the transformers and the composites share. */
#ifndef INVAR_TEST_LEARN_HELPERS_H
#define INVAR_TEST_LEARN_HELPERS_H

#include "test.h"

static inline const void *tensor_data(const ml_model *model, const char *name)
{
    ml_tensor tensor = {.struct_size = sizeof tensor};

    CHECK_OK(ml_model_tensor(model, name, &tensor));
    return tensor.data;
}

static inline const double *reals_of(const ml_model *model, const char *name)
{
    return tensor_data(model, name);
}

static inline ml_model *new_model(ml_context *context, const char *kind)
{
    ml_model *model;

    CHECK_OK(ml_model_create(context, kind, &model));
    return model;
}

static inline ml_model *fitted_model(ml_context *context, const char *kind, const ml_dataset *data)
{
    ml_model *model = new_model(context, kind);

    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

/* A member of a new kind, which belongs to `parent`. */
static inline ml_model *add_member(ml_model *parent, const char *name, const char *kind)
{
    ml_model *member = new_model(NULL, kind);

    CHECK_OK(ml_model_add_member(parent, name, member));
    return member;
}

static inline ml_dataset *matrix(ml_context *context, const double *x, size_t n, size_t d)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, d, 0, 0, ML_COPY, &data));
    return data;
}

/* All rows of a dataset, n x d; malloc'ed. */
static inline double *rows_of(const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    double *x = malloc(n * d * sizeof *x);

    for (size_t i = 0; i < n; i++)
        CHECK_OK(ml_dataset_row(data, i, x + i * d, d));
    return x;
}

/* What a call gives for all rows; malloc'ed. */
static inline double *outputs_of(const ml_model *model, const ml_dataset *data, int32_t what, size_t *n)
{
    double *out;

    *n = ml_dataset_n_rows(data) * ml_model_width(model, what);
    out = malloc(*n * sizeof *out);
    if (what == ML_PREDICT)
        CHECK_OK(ml_model_predict(model, data, out, *n));
    else if (what == ML_PREDICT_PROBA)
        CHECK_OK(ml_model_predict_proba(model, data, out, *n));
    else if (what == ML_DECISION)
        CHECK_OK(ml_model_decision(model, data, out, *n));
    else
        CHECK_OK(ml_model_transform(model, data, out, *n));
    return out;
}

/* The weights that make_linear.py uses: i % 4 * 0.5 + offset. */
static inline void set_weights(ml_dataset *data, double offset)
{
    const size_t n = ml_dataset_n_rows(data);
    double *w = malloc(n * sizeof *w);

    for (size_t i = 0; i < n; i++)
        w[i] = (double)(i % 4) * 0.5 + offset;
    CHECK_OK(ml_dataset_set_weights(data, w, n));
    free(w);
}

/* The features of a table with the holes that make_linear.py makes. */
static inline ml_dataset *with_holes(const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    double *x = rows_of(data);
    ml_dataset *made;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            if ((i * 7 + j * 3) % 11 == 0)
                x[i * d + j] = NAN;
    made = matrix(NULL, x, n, d);
    free(x);
    return made;
}

/* A model of `kind` fitted on a shipped table has the same bytes for any number of threads. */
static inline void check_threads_text(const char *kind, const char *table, const char *parameter, const char *value)
{
    static const uint32_t N_THREADS[] = {1, 2, 3, 7};
    void *first = NULL, *bytes;
    size_t n_first = 0, n;

    for (int t = 0; t < 4; t++) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, N_THREADS[t]);
        ml_dataset *data = test_table(context, table);
        ml_model *model = new_model(context, kind);

        if (parameter)
            CHECK_OK(ml_model_set_text(model, parameter, value));
        CHECK_OK(ml_model_fit(model, data, NULL));
        bytes = test_saved(model, &n);
        if (t)
            CHECK_SAME_BYTES(bytes, n, first, n_first);
        free(first);
        first = bytes;
        n_first = n;
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
    free(first);
}

static inline void check_threads(const char *kind, const char *table, const char *parameter, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%lld", (long long)value);
    check_threads_text(kind, table, parameter, text);
}

/* A monitor that stops at its step number *(int *)user. */
static inline int32_t stop_at(void *user, const ml_progress *progress)
{
    (void)progress;
    return --*(int *)user == 0;
}

/* Cancelled at every step in turn, a fitted model keeps what it had, and fits as before when left alone. */
static inline void check_cancelling(ml_model *model, const ml_dataset *data, int n_steps_at_least)
{
    size_t n, n_now;
    void *before = test_saved(model, &n), *now;
    ml_status st = ML_E_CANCELLED;
    int step = 0;

    while (st != ML_OK) {
        int left = ++step;
        const ml_fit_options options = {.struct_size = sizeof options, .monitor = stop_at, .monitor_user = &left};

        st = ml_model_fit(model, data, &options);
        CHECK_MSG(st == ML_OK || st == ML_E_CANCELLED, "step %d: %s", step, ml_last_error());
        now = test_saved(model, &n_now);
        CHECK_SAME_BYTES(before, n, now, n_now);
        free(now);
    }
    CHECK_MSG(step > n_steps_at_least, "%d steps, expected more than %d", step, n_steps_at_least);
    free(before);
}

#endif
