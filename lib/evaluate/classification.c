/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of class predictions: single-label, multilabel and several outputs. Definitions are scikit-learn's.
 *
 * Counts      per class, as weights:  tp = Σ w [y = c, ŷ = c],  predicted = Σ w [ŷ = c],  actual = Σ w [y = c]
 * Precision   P = tp / predicted          Recall  R = tp / actual          F = (1 + β²) P R / (β² P + R)
 * Undefined   P or R that is 0/0 takes the value `zero_division`, F is 0 when its denominator is 0: so F is
 *             `zero_division` for a class that neither occurs nor is predicted
 * Averages    micro      P, R, F of the summed counts
 *             macro      means over the classes that occur in y or ŷ (multilabel: over all labels)
 *             weighted   means weighted by `actual`; when all of these are 0, P and F are `zero_division` if nothing is
 *                        predicted and 0 otherwise, R is `zero_division`
 *
 * The three forms share one tally: several outputs are one long list of classes, a label of a multilabel problem is a
 * class of its own of which only the decision 1 is counted. Counts without weights are whole numbers, hence exact.
 */
#include <invar/metrics.h>

#include <float.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/processor.h"
#include "evaluate/input.h"

typedef struct tally {
    double tp, predicted, actual;
    bool occurs; /* in y or ŷ, with whatever weight */
} tally;

/* ---- options and input ---- */

static ml_status read_options(const ml_classification_options *given, size_t n, ml_classification_options *options)
{
    ml_status st = ML_OK;

    *options = (ml_classification_options){.struct_size = sizeof *options};
    if (given)
        ML__TRY(ml__read_options(options, sizeof *options, given, "ml_classification_options"));
    if (options->beta == 0)
        options->beta = 1;
    ML__CHECK(options->beta > 0 && isfinite(options->beta), ML_E_ARGUMENT, "beta is %g, expected a finite number > 0",
              options->beta);
    ML__CHECK(options->zero_division == 0 || options->zero_division == 1, ML_E_ARGUMENT,
              "zero_division is %g, expected 0 or 1", options->zero_division);
    ML__TRY(ml__metric_weights(options->weights, n, NULL));
done:
    return st;
}

static ml_status check_decisions(const char *name, const double *y, size_t n, size_t n_labels, bool may_miss)
{
    for (size_t i = 0; i < n; i++)
        for (size_t l = 0; l < n_labels; l++, y++)
            if (*y != 0 && *y != 1 && !(may_miss && isnan(*y)))
                return ml__fail(ML_E_DATA, "%s: row %zu, label %zu has %g, expected 0 or 1", name, i, l, *y);
    return ML_OK;
}

/* ---- precision, recall, F and their averages ---- */

static ml_prf prf_of(double tp, double predicted, double actual, const ml_classification_options *options)
{
    const double b2 = options->beta * options->beta;
    ml_prf r = {.support = actual};
    double denominator;

    r.precision = predicted > 0 ? tp / predicted : options->zero_division;
    r.recall = actual > 0 ? tp / actual : options->zero_division;
    denominator = b2 * r.precision + r.recall;
    r.f_score = denominator > 0 ? (1 + b2) * r.precision * r.recall / denominator : 0;
    return r;
}

static ml_prf prf_of_class(const tally *c, const ml_classification_options *options)
{
    return prf_of(c->tp, c->predicted, c->actual, options);
}

/* A weighted mean of several ml_prf. */
typedef struct prf_mean {
    ml__sum precision, recall, f_score, weight;
} prf_mean;

static void mean_add(prf_mean *mean, ml_prf r, double w)
{
    ml__sum_add(&mean->precision, w * r.precision);
    ml__sum_add(&mean->recall, w * r.recall);
    ml__sum_add(&mean->f_score, w * r.f_score);
    ml__sum_add(&mean->weight, w);
}

static ml_prf mean_of(const prf_mean *mean, double support)
{
    const double w = ml__sum_total(mean->weight);

    return (ml_prf){.precision = ml__sum_total(mean->precision) / w,
                    .recall = ml__sum_total(mean->recall) / w,
                    .f_score = ml__sum_total(mean->f_score) / w,
                    .support = support};
}

static tally sum_of(const tally *classes, size_t n_classes)
{
    ml__sum tp = {0, 0}, predicted = {0, 0}, actual = {0, 0};

    for (size_t c = 0; c < n_classes; c++) {
        ml__sum_add(&tp, classes[c].tp);
        ml__sum_add(&predicted, classes[c].predicted);
        ml__sum_add(&actual, classes[c].actual);
    }
    return (tally){ml__sum_total(tp), ml__sum_total(predicted), ml__sum_total(actual), true};
}

static ml_prf macro_of(const tally *classes, size_t n_classes, double support, const ml_classification_options *options)
{
    prf_mean mean = {0};

    for (size_t c = 0; c < n_classes; c++)
        if (classes[c].occurs)
            mean_add(&mean, prf_of_class(&classes[c], options), 1);
    return mean_of(&mean, support);
}

static ml_prf weighted_of(const tally *classes, size_t n_classes, const tally *sum,
                          const ml_classification_options *options)
{
    prf_mean mean = {0};

    if (!(sum->actual > 0)) {
        const double share = sum->predicted > 0 ? 0 : options->zero_division;
        return (ml_prf){share, options->zero_division, share, 0};
    }
    for (size_t c = 0; c < n_classes; c++)
        mean_add(&mean, prf_of_class(&classes[c], options), classes[c].actual);
    return mean_of(&mean, sum->actual);
}

/* ---- class indices: one output or several ---- */

static void tally_classes(tally *classes, const double *y_true, const double *y_pred, size_t n, size_t n_outputs,
                          const size_t *n_classes, const double *weights)
{
    for (size_t i = 0; i < n; i++) {
        const double w = ml__row_weight(weights, i);
        tally *first = classes;
        for (size_t o = 0; o < n_outputs; first += n_classes[o++], y_true++, y_pred++) {
            if (isnan(*y_true))
                continue;
            tally *t = first + (size_t)*y_true, *p = first + (size_t)*y_pred;
            t->occurs = p->occurs = true;
            t->actual += w;
            p->predicted += w;
            if (t == p)
                t->tp += w;
        }
    }
}

/* Mean of the outputs' macro averages; outputs without any label are left out. */
static ml_prf macro_of_outputs(const tally *classes, size_t n_outputs, const size_t *n_classes, double support,
                               const ml_classification_options *options)
{
    prf_mean mean = {0};

    for (size_t o = 0; o < n_outputs; classes += n_classes[o++]) {
        bool occurs = false;
        for (size_t c = 0; c < n_classes[o]; c++)
            occurs |= classes[c].occurs;
        if (occurs)
            mean_add(&mean, macro_of(classes, n_classes[o], support, options), 1);
    }
    return mean_of(&mean, support);
}

static ml_status check_class_input(const double *y_true, const double *y_pred, size_t n, size_t n_outputs,
                                   const size_t *n_classes, bool may_miss, size_t *n_all)
{
    ml_status st = ML_OK;

    ML__CHECK(y_true && y_pred && n_classes, ML_E_ARGUMENT, "%s is NULL",
              !y_true   ? "y_true"
              : !y_pred ? "y_pred"
                        : "n_classes");
    ML__TRY(ml__metric_extent(n, n_outputs, "n_outputs"));
    *n_all = 0;
    for (size_t o = 0; o < n_outputs; o++) {
        ML__CHECK(n_classes[o] >= 1, ML_E_ARGUMENT, "n_classes is 0, expected at least 1");
        ML__CHECK(ml__size_add(*n_all, n_classes[o], n_all), ML_E_ARGUMENT, "n_classes of output %zu is %zu", o,
                  n_classes[o]);
    }
    ML__TRY(ml__metric_classes("y_true", y_true, n, n_outputs, n_classes, may_miss));
    ML__TRY(ml__metric_classes("y_pred", y_pred, n, n_outputs, n_classes, false));
done:
    return st;
}

/* What both public forms over class indices are: `per_class` only with one output. */
static ml_status score_classes(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                               size_t n_outputs, const size_t *n_classes, bool may_miss,
                               const ml_classification_options *given, ml_classification_metrics *out,
                               ml_prf *per_class)
{
    const ml__float_state host = ml__float_begin();
    ml_classification_options options;
    ml_classification_metrics m = {.struct_size = sizeof m};
    ml__arena arena;
    tally *classes, sum;
    size_t n_all;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(check_class_input(y_true, y_pred, n, n_outputs, n_classes, may_miss, &n_all));
    ML__TRY(read_options(given, n, &options));
    ML__NEW(&arena, classes, n_all);
    tally_classes(classes, y_true, y_pred, n, n_outputs, n_classes, options.weights);
    sum = sum_of(classes, n_all);
    ML__CHECK(sum.actual > 0, ML_E_DATA, "y_true: no row with positive weight has a label");

    m.accuracy = sum.tp / sum.actual;
    m.hamming_loss = (sum.actual - sum.tp) / sum.actual;
    m.micro = prf_of_class(&sum, &options);
    m.macro = macro_of_outputs(classes, n_outputs, n_classes, sum.actual, &options);
    m.weighted = weighted_of(classes, n_all, &sum, &options);
    ML__TRY(ml__write_result(out, &m, sizeof m, "ml_classification_metrics"));
    for (size_t c = 0; per_class && c < n_all; c++)
        per_class[c] = prf_of_class(&classes[c], &options);
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

ml_status ml_metrics_classification(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                    size_t n_classes, const ml_classification_options *options,
                                    ml_classification_metrics *out, ml_prf *per_class)
{
    return score_classes(context, y_true, y_pred, n, 1, &n_classes, false, options, out, per_class);
}

ml_status ml_metrics_multioutput(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                 size_t n_outputs, const size_t *n_classes, const ml_classification_options *options,
                                 ml_classification_metrics *out)
{
    return score_classes(context, y_true, y_pred, n, n_outputs, n_classes, true, options, out, NULL);
}

ml_status ml_metrics_confusion(const double *y_true, const double *y_pred, const double *weights, size_t n,
                               size_t n_classes, double *out)
{
    const ml__float_state host = ml__float_begin();
    size_t n_all, n_cells;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(check_class_input(y_true, y_pred, n, 1, &n_classes, false, &n_all));
    ML__TRY(ml__metric_weights(weights, n, NULL));
    ML__CHECK(ml__size_mul(n_classes, n_classes, &n_cells), ML_E_ARGUMENT,
              "a matrix of %zu x %zu is more than a size can say", n_classes, n_classes);
    for (size_t c = 0; c < n_cells; c++)
        out[c] = 0;
    for (size_t i = 0; i < n; i++)
        out[(size_t)y_true[i] * n_classes + (size_t)y_pred[i]] += ml__row_weight(weights, i);
done:
    return ml__float_end(host, st);
}

/* ---- multilabel: n x n_labels decisions ---- */

typedef struct decisions {
    const double *y_true, *y_pred, *weights;
    size_t n, n_labels;
    const ml_classification_options *options;
    /* out */
    tally *labels;            /* n_labels */
    ml__sum wrong, all;       /* weight of decisions */
    ml__sum right_rows, rows; /* weight of rows with every decision right, with any decision */
    prf_mean samples;
} decisions;

static void tally_row(decisions *m, size_t i)
{
    const double *y = m->y_true + i * m->n_labels, *p = m->y_pred + i * m->n_labels;
    const double w = ml__row_weight(m->weights, i);
    tally row = {0};
    size_t n_known = 0, n_wrong = 0;

    for (size_t l = 0; l < m->n_labels; l++) {
        if (isnan(y[l]))
            continue;
        n_known++;
        n_wrong += y[l] != p[l];
        row.tp += y[l] * p[l];
        row.predicted += p[l];
        row.actual += y[l];
        m->labels[l].tp += w * y[l] * p[l];
        m->labels[l].predicted += w * p[l];
        m->labels[l].actual += w * y[l];
    }
    if (!n_known)
        return;
    ml__sum_add(&m->all, w * (double)n_known);
    ml__sum_add(&m->wrong, w * (double)n_wrong);
    ml__sum_add(&m->rows, w);
    ml__sum_add(&m->right_rows, n_wrong ? 0 : w);
    mean_add(&m->samples, prf_of_class(&row, m->options), w);
}

static ml_status check_multilabel(const double *y_true, const double *y_pred, size_t n, size_t n_labels,
                                  const ml_classification_metrics *out)
{
    ml_status st = ML_OK;

    ML__CHECK(y_true && y_pred && out, ML_E_ARGUMENT, "%s is NULL", !y_true ? "y_true" : !y_pred ? "y_pred" : "out");
    ML__TRY(ml__metric_extent(n, n_labels, "n_labels"));
    ML__TRY(check_decisions("y_true", y_true, n, n_labels, true));
    ML__TRY(check_decisions("y_pred", y_pred, n, n_labels, false));
done:
    return st;
}

ml_status ml_metrics_multilabel(ml_context *context, const double *y_true, const double *y_pred, size_t n,
                                size_t n_labels, const ml_classification_options *given, ml_classification_metrics *out,
                                ml_prf *per_label, ml_prf *samples)
{
    const ml__float_state host = ml__float_begin();
    ml_classification_options options;
    ml_classification_metrics metrics = {.struct_size = sizeof metrics};
    decisions m = {.y_true = y_true, .y_pred = y_pred, .n = n, .n_labels = n_labels, .options = &options};
    ml__arena arena;
    tally sum;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__TRY(check_multilabel(y_true, y_pred, n, n_labels, out));
    ML__TRY(read_options(given, n, &options));
    m.weights = options.weights;
    ML__NEW(&arena, m.labels, n_labels);
    for (size_t l = 0; l < n_labels; l++)
        m.labels[l].occurs = true;
    for (size_t i = 0; i < n; i++)
        tally_row(&m, i);
    ML__CHECK(ml__sum_total(m.all) > 0, ML_E_DATA, "y_true: no row with positive weight has a decision");

    sum = sum_of(m.labels, n_labels);
    metrics.accuracy = ml__sum_total(m.right_rows) / ml__sum_total(m.rows);
    metrics.hamming_loss = ml__sum_total(m.wrong) / ml__sum_total(m.all);
    metrics.micro = prf_of_class(&sum, &options);
    metrics.macro = macro_of(m.labels, n_labels, sum.actual, &options);
    metrics.weighted = weighted_of(m.labels, n_labels, &sum, &options);
    ML__TRY(ml__write_result(out, &metrics, sizeof metrics, "ml_classification_metrics"));
    for (size_t l = 0; per_label && l < n_labels; l++)
        per_label[l] = prf_of_class(&m.labels[l], &options);
    if (samples)
        *samples = mean_of(&m.samples, sum.actual);
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

/* ---- log-loss ---- */

/* −ln of the normalised probability of class c: every entry is clipped first, then divided by the sum. */
static double row_loss(const double *p, size_t n_classes, size_t c)
{
    ml__sum sum = {0, 0};

    for (size_t k = 0; k < n_classes; k++)
        ml__sum_add(&sum, fmin(fmax(p[k], DBL_EPSILON), 1 - DBL_EPSILON));
    return -log(fmin(fmax(p[c], DBL_EPSILON), 1 - DBL_EPSILON) / ml__sum_total(sum));
}

ml_status ml_metrics_log_loss(const double *y_true, const double *proba, const double *weights, size_t n,
                              size_t n_classes, double *out)
{
    const ml__float_state host = ml__float_begin();
    ml__sum loss = {0, 0};
    double total;
    ml_status st;

    ML__CHECK(y_true && proba && out, ML_E_ARGUMENT, "%s is NULL", !y_true ? "y_true" : !proba ? "proba" : "out");
    ML__TRY(ml__metric_extent(n, n_classes, "n_classes"));
    ML__TRY(ml__metric_classes("y_true", y_true, n, 1, &n_classes, false));
    ML__TRY(ml__metric_weights(weights, n, &total));
    for (size_t i = 0; i < n; i++) {
        const double *p = proba + i * n_classes;
        for (size_t c = 0; c < n_classes; c++)
            ML__CHECK(p[c] >= 0 && p[c] <= 1, ML_E_DATA,
                      "proba: row %zu, class %zu has %g, expected a number in [0, 1]", i, c, p[c]);
        ml__sum_add(&loss, ml__row_weight(weights, i) * row_loss(p, n_classes, (size_t)y_true[i]));
    }
    *out = ml__sum_total(loss) / total;
done:
    return ml__float_end(host, st);
}
