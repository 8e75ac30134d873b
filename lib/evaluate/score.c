/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One number for a model on a dataset, by the name of a metric.
 *
 * A table says for each name which predictions it needs and where the number stands in the result struct. Classes are
 * matched by name: those that the model never saw come after its own, so that rows of them count as wrong. Missing
 * labels and values are left out, each output's for itself; sample weights are those of the dataset. Where outputs are mixed,
 * metrics of classes see the labels only, metrics of reals the reals.
 */
#include <invar/metrics.h>

#include <float.h>
#include <string.h>

#include "evaluate/input.h"
#include "evaluate/score.h"

/* What a metric is computed from. */
typedef struct subject {
    const ml_model *model;
    const ml_dataset *data;
    size_t n;              /* rows */
    const double *weights; /* n, or NULL */
    ml__arena *arena;
} subject;

typedef struct metric {
    const char *name;
    ml_status (*score)(const subject *s, size_t field, double *out);
    size_t field; /* offset of the number in the metrics struct */
    bool less_is_better;
} metric;

/* ---- what model and data say ---- */

static const ml__schema *model_schema(const subject *s)
{
    return &s->model->learned->schema;
}

static ml_status check_outputs(const subject *s, int32_t task, const char *what)
{
    const ml__schema *model = model_schema(s), *data = ml__dataset_schema(s->data);
    ml_status st = ML_OK;

    ML__CHECK(s->model->learned->task == task || s->model->learned->task == ML__MIXED, ML_E_UNSUPPORTED,
              "the metric needs a model that predicts %s, this %s was fitted to %s", what, s->model->kind->name,
              s->model->learned->task == ML__CLASSIFY  ? "labels"
              : s->model->learned->task == ML__REGRESS ? "reals"
                                                       : "no output");
    ML__CHECK(data->n_outputs, ML_E_DATA, "the data has no output to score against");
    ML__CHECK(data->n_outputs == model->n_outputs, ML_E_SHAPE, "the data has %zu outputs, the model %zu",
              data->n_outputs, model->n_outputs);
    for (size_t o = 0; o < data->n_outputs; o++)
        ML__CHECK(!data->outputs[o].n_classes == !model->outputs[o].n_classes, ML_E_DATA,
                  "output '%s' of the data has %s, the model predicts %s", data->outputs[o].name,
                  data->outputs[o].n_classes ? "labels" : "reals", model->outputs[o].n_classes ? "classes" : "reals");
done:
    return st;
}

static ml_status predictions(const subject *s, int32_t what, size_t *width, double **out)
{
    size_t count;
    ml_status st = ML_OK;

    *width = ml_model_width(s->model, what);
    ML__CHECK(ml__size_mul(s->n, *width, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", s->n, *width);
    ML__NEW(s->arena, *out, count);
    ML__TRY(ml__model_apply(s->model, what, s->data, *out, count));
done:
    return st;
}

/* Position of each class of the data among those of the model; unknown ones are numbered on. Classes mostly come in the
 * same order, so each search goes on where the last one ended. */
static void map_classes(const ml__output *known, const ml__output *seen, double *map, size_t *n_classes)
{
    size_t at = 0, n = known->n_classes;

    for (size_t c = 0; c < seen->n_classes; c++) {
        size_t left = known->n_classes;
        while (left && strcmp(known->classes[at], seen->classes[c]) != 0) {
            at = at + 1 == known->n_classes ? 0 : at + 1;
            left--;
        }
        map[c] = (double)(left ? at : n++);
    }
    *n_classes = n;
}

ml_status ml__true_classes(ml__arena *arena, const ml_model *model, const ml_dataset *data, size_t o, double *out,
                           size_t step, size_t *n_classes)
{
    const ml__output *seen = &ml__dataset_schema(data)->outputs[o];
    const size_t n = ml_dataset_n_rows(data);
    int32_t *codes;
    double *map;
    ml_status st = ML_OK;

    ML__NEW(arena, codes, n);
    ML__NEW(arena, map, seen->n_classes);
    ml__dataset_read_labels(data, o, codes);
    map_classes(&model->learned->schema.outputs[o], seen, map, n_classes);
    for (size_t i = 0; i < n; i++)
        out[i * step] = codes[i] < 0 ? NAN : map[codes[i]];
done:
    return st;
}

/* Number of rows where y is known; these rows of y, of the width columns of p from `first` on and of the weights come to
 * lie at the front of y, values and weights. */
static size_t keep_known(const subject *s, double *y, const double *p, size_t p_step, size_t width, double *values,
                         double *weights)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (isnan(y[i]))
            continue;
        y[n] = y[i];
        memcpy(values + n * width, p + i * p_step, width * sizeof *values);
        weights[n++] = ml__row_weight(s->weights, i);
    }
    return n;
}

/* ---- the metrics ---- */

/* Predictions of the label outputs come to lie side by side; returns how many there are. */
static size_t keep_labels(const subject *s, size_t n_outputs, double *y_pred)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n * n_outputs; i++)
        if (model_schema(s)->outputs[i % n_outputs].n_classes)
            y_pred[n++] = y_pred[i];
    return n / s->n;
}

static ml_status score_labels(const subject *s, size_t field, double *out)
{
    ml_classification_metrics m = {.struct_size = sizeof m};
    double *y_true, *y_pred;
    size_t *n_classes, n_outputs, n_labels, k = 0;
    ml_status st;

    ML__TRY(check_outputs(s, ML__CLASSIFY, "classes"));
    ML__TRY(predictions(s, ML_PREDICT, &n_outputs, &y_pred));
    n_labels = keep_labels(s, n_outputs, y_pred);
    ML__NEW(s->arena, y_true, s->n * n_labels);
    ML__NEW(s->arena, n_classes, n_labels);
    for (size_t o = 0; o < n_outputs; o++) {
        if (!model_schema(s)->outputs[o].n_classes)
            continue;
        ML__TRY(ml__true_classes(s->arena, s->model, s->data, o, y_true + k, n_labels, &n_classes[k]));
        k++;
    }
    const ml_classification_options options = {.struct_size = sizeof options, .weights = s->weights};
    ML__TRY(ml_metrics_multioutput(s->model->context, y_true, y_pred, s->n, n_labels, n_classes, &options, &m));
    memcpy(out, (const char *)&m + field, sizeof *out);
done:
    return st;
}

static ml_status check_known(const subject *s, size_t o, const double *y, size_t n)
{
    const ml__output *known = &model_schema(s)->outputs[o];

    for (size_t i = 0; i < n; i++)
        if (y[i] >= (double)known->n_classes)
            return ml__fail(ML_E_DATA,
                            "output '%s' of the data has a class that the model never saw: it has no log-loss",
                            known->name);
    return ML_OK;
}

/* Mean over the outputs that have labels. */
static ml_status score_log_loss(const subject *s, size_t field, double *out)
{
    double *y, *proba, *p, *values, *weights, loss, sum = 0;
    size_t width, n_classes, n_scored = 0;
    ml_status st;

    (void)field;
    ML__TRY(check_outputs(s, ML__CLASSIFY, "classes"));
    ML__TRY(predictions(s, ML_PREDICT_PROBA, &width, &proba));
    for (size_t i = 0; i < s->n * width; i++)
        if (proba[i] > 1) /* sums of shares may exceed it by a rounding */
            proba[i] = 1;
    ML__NEW(s->arena, y, s->n);
    ML__NEW(s->arena, weights, s->n);
    ML__NEW(s->arena, values, s->n * width);
    p = proba;
    for (size_t o = 0; o < model_schema(s)->n_outputs; o++) {
        const size_t K = model_schema(s)->outputs[o].n_classes;
        if (!K)
            continue;
        ML__TRY(ml__true_classes(s->arena, s->model, s->data, o, y, 1, &n_classes));
        const size_t n = keep_known(s, y, p, width, K, values, weights);
        p += K;
        if (!n)
            continue;
        ML__TRY(check_known(s, o, y, n));
        ML__TRY(ml_metrics_log_loss(y, values, weights, n, K, &loss));
        sum += loss;
        n_scored++;
    }
    ML__CHECK(n_scored, ML_E_DATA, "the data has no label to score against");
    *out = sum / (double)n_scored;
done:
    return st;
}

/* Mean over the outputs that have values. */
static ml_status score_reals(const subject *s, size_t field, double *out)
{
    double *y, *y_pred, *values, *weights, sum = 0;
    size_t n_outputs, n_scored = 0;
    ml_status st;

    ML__TRY(check_outputs(s, ML__REGRESS, "reals"));
    ML__TRY(predictions(s, ML_PREDICT, &n_outputs, &y_pred));
    ML__NEW(s->arena, y, s->n);
    ML__NEW(s->arena, weights, s->n);
    ML__NEW(s->arena, values, s->n);
    for (size_t o = 0; o < n_outputs; o++) {
        ml_regression_metrics m = {.struct_size = sizeof m};
        double number;
        if (model_schema(s)->outputs[o].n_classes)
            continue;
        ml__dataset_read_targets(s->data, o, y);
        const size_t n = keep_known(s, y, y_pred + o, n_outputs, 1, values, weights);
        if (!n)
            continue;
        ML__TRY(ml_metrics_regression(y, values, weights, n, 1, &m));
        memcpy(&number, (const char *)&m + field, sizeof number);
        sum += number;
        n_scored++;
    }
    ML__CHECK(n_scored, ML_E_DATA, "the data has no value to score against");
    *out = sum / (double)n_scored;
done:
    return st;
}

/* In halves, so that the mean of densities near -DBL_MAX is one too. */
static ml_status score_density(const subject *s, size_t field, double *out)
{
    ml__sum sum = {0, 0};
    double *log_density, total, half;
    size_t width;
    ml_status st;

    (void)field;
    ML__TRY(predictions(s, ML_SCORE_SAMPLES, &width, &log_density));
    ML__TRY(ml__metric_weights(s->weights, s->n, &total));
    for (size_t i = 0; i < s->n; i++)
        ml__sum_add(&sum, ml__row_weight(s->weights, i) / total * (0.5 * log_density[i]));
    half = ml__sum_total(sum);
    ML__CHECK(isfinite(half), ML_E_NUMERIC, "%s: the mean of what score_samples gives for %zu rows is not finite",
              s->model->kind->name, s->n);
    *out = 2 * fmax(fmin(half, DBL_MAX / 2), -DBL_MAX / 2);
done:
    return st;
}

/* ---- the table ---- */

#define LABELS(name, field)                                                   \
    {                                                                         \
        name, score_labels, offsetof(ml_classification_metrics, field), false \
    }
#define REALS(name, field, less_is_better)                                        \
    {                                                                             \
        name, score_reals, offsetof(ml_regression_metrics, field), less_is_better \
    }

static const metric METRICS[] = {
    LABELS("accuracy", accuracy),
    {"log_loss", score_log_loss, 0, true},
    LABELS("precision_micro", micro.precision),
    LABELS("precision_macro", macro.precision),
    LABELS("precision_weighted", weighted.precision),
    LABELS("recall_micro", micro.recall),
    LABELS("recall_macro", macro.recall),
    LABELS("recall_weighted", weighted.recall),
    LABELS("f1_micro", micro.f_score),
    LABELS("f1_macro", macro.f_score),
    LABELS("f1_weighted", weighted.f_score),
    REALS("mse", mse, true),
    REALS("rmse", rmse, true),
    REALS("mae", mae, true),
    REALS("r2", r2, false),
    {"log_likelihood", score_density, 0, false},
};
enum { N_METRICS = sizeof METRICS / sizeof *METRICS };

static const char *default_metric(const ml_model *model)
{
    const int32_t task = model->learned->task;

    return task == ML__REGRESS ? "r2" : task == ML__UNSUPERVISED ? "log_likelihood" : "accuracy";
}

static ml_status find_metric(const char *name, const metric **out)
{
    char names[256] = "";
    size_t length = 0;

    for (size_t i = 0; i < N_METRICS; i++) {
        *out = &METRICS[i];
        if (!strcmp(METRICS[i].name, name))
            return ML_OK;
    }
    for (size_t i = 0; i < N_METRICS && length < sizeof names; i++)
        length += ml__format(names + length, sizeof names - length, "%s%s", i ? ", " : "", METRICS[i].name);
    return ml__fail(ML_E_ARGUMENT, "there is no metric '%s'; there are: %s", name, names);
}

ml_status ml__metric_direction(const ml_model *model, const char *name, bool *less_is_better)
{
    const metric *m;
    const ml_status st = find_metric(name ? name : default_metric(model), &m);

    *less_is_better = m->less_is_better;
    return st;
}

ml_status ml_model_score(const ml_model *model, const ml_dataset *data, const char *metric_name, double *out)
{
    const ml__float_state host = ml__float_begin();
    subject s = {.model = model, .data = data, .n = ml_dataset_n_rows(data)};
    const metric *m;
    ml__arena arena;
    double *weights, number;
    ml_status st;

    ml__arena_init(&arena, model ? model->context : NULL);
    s.arena = &arena;
    ML__CHECK(model && data && out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !data ? "data" : "out");
    ML__CHECK(model->learned, ML_E_STATE, "%s is not fitted", model->kind->name);
    ML__TRY(find_metric(metric_name ? metric_name : default_metric(model), &m));
    if (ml__dataset_has_weights(data)) {
        ML__NEW(&arena, weights, s.n);
        ml__dataset_read_weights(data, weights);
        s.weights = weights;
    }
    ML__TRY(m->score(&s, m->field, &number));
    *out = number;
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}
