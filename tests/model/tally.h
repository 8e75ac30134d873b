/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind of the tests that offers what few kinds do: mixed outputs, learning on, beginning with another model, an inverse.
 *
 * It sums the targets of each real output and counts the labels of each class, over all rows that have them, n_passes
 * times; values are the means and the most frequent classes. Features are moved by the number of rows that were seen.
 */
#ifndef INVAR_TEST_TALLY_H
#define INVAR_TEST_TALLY_H

#include "model/model.h"
#include "test.h"

typedef struct {
    int64_t n_passes;
} tally_params;

static const ml__param TALLY_PARAMS[] = {
    ML__INT(tally_params, n_passes, "1", ML__RANGE(1, 1e9), "passes over the rows"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TALLY_TENSORS[] = {
    {"sums", ML_FLOAT64, "s", ML__FINITE}, /* of each class and each real output */
    {"counts", ML_FLOAT64, "o", ML__FINITE},
    {"n_seen", ML_FLOAT64, "1", ML__FINITE},
    {NULL, 0, NULL, 0},
};

static size_t tally_width(const ml__output *output)
{
    return output->n_classes ? output->n_classes : 1;
}

static void tally_add_tensor(const ml__learned *from, const char *name, double *to, size_t n)
{
    const double *values = ml__tensor_data(from, name);

    for (size_t i = 0; i < n; i++)
        to[i] += values[i];
}

static ml_status tally_pass(ml__fit *f, double *sums, double *counts, double *n_seen)
{
    const double *y = f->n_outputs ? ml__fit_targets(f) : NULL;

    if (f->n_outputs && !y)
        return ML_E_MEMORY;
    for (size_t o = 0; o < f->n_outputs; sums += tally_width(&f->schema->outputs[o++]))
        for (size_t i = 0; i < f->n; i++) {
            const double value = y[i * f->n_outputs + o];
            if (isnan(value))
                continue;
            if (f->schema->outputs[o].n_classes)
                sums[(size_t)value]++;
            else
                *sums += value;
            counts[o]++;
        }
    *n_seen += (double)f->n;
    return ML_OK;
}

static ml_status tally_from(ml__fit *f, const ml__learned *before)
{
    const uint64_t n_passes = (uint64_t) * (const int64_t *)f->params;
    double *sums, *counts, *n_seen;
    size_t width = 0;
    ml_status st = ML_OK;

    for (size_t o = 0; o < f->n_outputs; o++)
        width += tally_width(&f->schema->outputs[o]);
    ML__PUBLISH(f, sums, "sums", ML_FLOAT64, width);
    ML__PUBLISH(f, counts, "counts", ML_FLOAT64, f->n_outputs);
    ML__PUBLISH(f, n_seen, "n_seen", ML_FLOAT64, 1);
    if (before) {
        tally_add_tensor(before, "sums", sums, width);
        tally_add_tensor(before, "counts", counts, f->n_outputs);
        tally_add_tensor(before, "n_seen", n_seen, 1);
    }
    for (uint64_t pass = 0; pass < n_passes; pass++) {
        ML__TRY(tally_pass(f, sums, counts, n_seen));
        ML__TRY(ml__fit_poll(f, pass, n_passes));
        ML__TRY(ml__fit_step(f, pass + 1, n_passes, "rows", n_seen[0]));
        if (pass + 1 < n_passes && ml__fit_late(f)) {
            f->learned->stop_reason = ML_STOP_DEADLINE;
            break;
        }
    }
done:
    return st;
}

static ml_status tally_fit(ml__fit *f)
{
    return tally_from(f, f->model->start ? f->model->start->learned : NULL);
}

static ml_status tally_partial_fit(ml__fit *f)
{
    return f->model->learned ? tally_from(f, f->model->learned) : tally_fit(f);
}

static ml_status tally_starts_from(const ml_model *model, const ml_model *from)
{
    if (from->kind == model->kind)
        return ML_OK;
    return ml__fail(ML_E_UNSUPPORTED, "a tally begins with a tally, not with a %s", from->kind->name);
}

static ml_status tally_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__schema *schema = &model->learned->schema;
    const double *counts = ml__tensor_data(model->learned, "counts");

    (void)scratch;
    for (size_t i = 0; i < x->n; i++) {
        const double *sums = ml__tensor_data(model->learned, "sums");
        for (size_t o = 0; o < schema->n_outputs; sums += tally_width(&schema->outputs[o++]))
            for (size_t k = 0; k < schema->outputs[o].n_classes; k++)
                *out++ = sums[k] / counts[o];
    }
    return ML_OK;
}

static ml_status tally_values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__schema *schema = &model->learned->schema;
    const double *counts = ml__tensor_data(model->learned, "counts");

    (void)scratch;
    for (size_t i = 0; i < x->n; i++) {
        const double *sums = ml__tensor_data(model->learned, "sums");
        for (size_t o = 0; o < schema->n_outputs; sums += tally_width(&schema->outputs[o++])) {
            const size_t K = schema->outputs[o].n_classes;
            *out++ = K ? (double)ml__arg_max(sums, K) : *sums / counts[o];
        }
    }
    return ML_OK;
}

static ml_status tally_transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const double *n_seen = ml__tensor_data(model->learned, "n_seen");

    (void)scratch;
    for (size_t i = 0; i < x->n * x->d; i++)
        out[i] = x->f64[i] + *n_seen;
    return ML_OK;
}

static const ml__kind TALLY = {
    .name = "tally",
    .doc = "sums and counts",
    .tasks = ML__CLASSIFY | ML__REGRESS | ML__UNSUPERVISED | ML__MIXED,
    .accepts = ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = TALLY_PARAMS,
    .params_size = sizeof(tally_params),
    .tensors = TALLY_TENSORS,
    .fit = tally_fit,
    .partial_fit = tally_partial_fit,
    .starts_from = tally_starts_from,
    .proba = tally_proba,
    .values = tally_values,
    .decision = tally_proba,
    .transform = tally_transform,
};

static inline ml_model *new_tally(ml_context *context)
{
    ml_model *model;

    CHECK_OK(ml__model_new(context, &TALLY, &model));
    return model;
}

/* x0 = i; an output of n_classes labels i mod n_classes (the class 0 twice as often), named "kind", and one of reals i,
 * named "size"; of each some are missing. `reals_first` turns their order round. */
static inline ml_dataset *mixed_rows(ml_context *context, size_t n, size_t n_classes, bool reals_first)
{
    double x[64], y[64];
    int64_t labels[64];
    ml_dataset *data;

    CHECK(n <= 64);
    for (size_t i = 0; i < n; i++) {
        x[i] = (double)i;
        y[i] = i % 9 == 3 ? NAN : (double)i;
        labels[i] = i % 7 == 2 ? -1 : (int64_t)(i % (n_classes + 1) % n_classes);
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, 1, 0, 0, ML_COPY, &data));
    if (reals_first)
        CHECK_OK(ml_dataset_add_targets(data, "size", y, n));
    CHECK_OK(ml_dataset_add_labels(data, "kind", labels, n, -1));
    if (!reals_first)
        CHECK_OK(ml_dataset_add_targets(data, "size", y, n));
    return data;
}

#endif
