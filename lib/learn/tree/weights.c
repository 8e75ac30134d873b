/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row counts for: its sample weight times the weight of its class.
 *
 * Balanced     n / (K' n_k) for the n_k rows of class k and the K' classes that have rows (King & Zeng 2001; scikit-learn's
 *              rule: rows are counted whatever they weigh). "balanced_subsample" counts the draws of each tree instead,
 *              which grow.c does; without bootstrap it is "balanced"
 * Table        classes by name, or by index where no class has that name; the others count 1. With several outputs "output=class"
 * Outputs      the weights of a row's classes are multiplied, those of the outputs that it has (scikit-learn's rule)
 */
#include "learn/class_weights.h"
#include "learn/tree/tree.h"

ml_status ml__balance(ml__arena *scratch, const ml__tree_data *data, const uint32_t *count, double *weight)
{
    size_t *n_k;
    ml_status st = ML_OK;

    ML__NEW(scratch, n_k, data->K);
    for (size_t o = 0; o < data->n_outputs; o++)
        for (size_t i = 0; i < data->n; i++)
            if (ml__has_output(data, o, i))
                n_k[data->y[o * data->n + i]] += count ? count[i] : 1;
    for (size_t o = 0; o < data->n_outputs; o++)
        ml__balance_classes(data->first[o + 1] - data->first[o], n_k + data->first[o], weight + data->first[o]);
done:
    return st;
}

double ml__class_factor(const ml__tree_data *data, const double *weight, size_t i)
{
    double factor = 1;

    for (size_t o = 0; o < data->n_outputs; o++)
        if (ml__has_output(data, o, i))
            factor *= weight[data->y[o * data->n + i]];
    return factor;
}

/* Multiply the rows' weights by those of their classes. */
static ml_status weigh_classes(ml__fit *f, const ml__weights *p, const ml__tree_data *data, double *w)
{
    double *weight, sum = 0;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, weight, data->K);
    if (p->form == ML__WEIGHTS_TABLE)
        ML__TRY(ml__class_table(f, data->first, p->table, weight));
    else
        ML__TRY(ml__balance(f->scratch, data, NULL, weight));
    for (size_t i = 0; i < data->n; i++) {
        w[i] *= ml__class_factor(data, weight, i);
        sum += w[i];
    }
    ML__CHECK(sum > 0 && isfinite(sum), ML_E_PARAMETER, "%s: with parameter 'class_weight' the rows' weights sum to %g",
              f->model->kind->name, sum);
done:
    return st;
}

/* Is any output of row i known? */
static bool has_any(const ml__tree_data *data, size_t i)
{
    bool any = false;

    for (size_t o = 0; o < data->n_outputs && !any; o++)
        any = ml__has_output(data, o, i);
    return any;
}

ml_status ml__tree_weights(ml__fit *f, const ml__weights *classes, ml__tree_data *data)
{
    const bool weighs = classes->form != ML__CLASS_WEIGHT_NONE;
    double *w, largest = 0;
    uint32_t *rows;
    int exponent;
    ml_status st = ML_OK;

    ML__CHECK(data->classify || !weighs, ML_E_PARAMETER,
              "%s: parameter 'class_weight' is for labels, output '%s' is real", f->model->kind->name,
              f->schema->outputs[0].name);
    ML__NEW(f->scratch, w, f->n);
    ML__NEW(f->scratch, rows, f->n);
    ml__dataset_read_weights(f->data, w);
    data->balance_draws = classes->form == ML__CLASS_WEIGHT_SUBSAMPLE && data->bootstrap;
    if (weighs && !data->balance_draws)
        ML__TRY(weigh_classes(f, classes, data, w));
    for (size_t i = 0; i < f->n; i++)
        largest = fmax(largest, w[i]);
    (void)frexp(largest, &exponent);
    for (size_t i = 0; i < f->n; i++) {
        w[i] = ldexp(w[i], -exponent);
        if (w[i] > 0 && has_any(data, i))
            rows[data->n_rows++] = (uint32_t)i;
    }
    data->w = w;
    data->rows = rows;
    ML__CHECK(data->n_rows, ML_E_DATA, "no row has a label and a positive weight");
done:
    return st;
}
