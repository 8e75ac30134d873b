/* SPDX-License-Identifier: Apache-2.0 */
/* Small things that the tests of the linear models, the transformers and the composites share. */
#ifndef INVAR_TEST_LEARN_HELPERS_H
#define INVAR_TEST_LEARN_HELPERS_H

#include "models.h"

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
    return test_model(context, kind, NULL);
}

static inline void set(ml_model *model, const char *name, const char *value)
{
    CHECK_OK(ml_model_set_text(model, name, value));
}

/* Set a list parameter to n numbers. */
static inline void give_reals(ml_model *model, const char *name, const double *values, size_t n)
{
    char *text = malloc(32 * n + 1), *end = text;

    for (size_t v = 0; v < n; v++)
        end += snprintf(end, 32, v ? ",%.17g" : "%.17g", values[v]);
    CHECK_OK(ml_model_set_text(model, name, text));
    free(text);
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

/* Every `step`th row alone gets the bits that it has among all. */
static inline void check_rows_alone(const ml_model *model, const ml_dataset *data, int32_t what, size_t step)
{
    const size_t n = ml_dataset_n_rows(data), width = ml_model_width(model, what);
    double *x = rows_of(data), *all, *one = malloc(width * sizeof *one);
    size_t n_all;

    all = outputs_of(model, data, what, &n_all);
    for (size_t i = 0; i < n; i += step) {
        const size_t d = ml_dataset_n_features(data);

        CHECK_OK(ml_model_predict_row(model, what, x + i * d, d, one, width, NULL, 0));
        CHECK_SAME_BYTES(all + i * width, width * sizeof *one, one, width * sizeof *one);
    }
    free(x);
    free(all);
    free(one);
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

typedef struct {
    const char *kind, *table;
    const char *const *settings;
} table_fit;

static inline void *fit_table(ml_context *context, const void *argument, size_t *n_bytes)
{
    const table_fit *f = argument;

    return test_fitted_bytes(test_model(context, f->kind, f->settings), test_table(context, f->table), n_bytes);
}

/* A model of `kind` fitted on a shipped table has the same bytes for any number of threads. */
static inline void check_threads(const char *kind, const char *table, const char *const *settings)
{
    test_any_threads(kind, fit_table, &(table_fit){kind, table, settings});
}

#endif
