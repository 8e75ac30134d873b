/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a row counts for: its sample weight times the weight of its class.
 *
 * Balanced     n / (K' n_k) for the n_k rows of class k and the K' classes that have rows (King & Zeng 2001; scikit-learn's
 *              rule: rows are counted whatever they weigh). "balanced_subsample" counts the draws of each tree instead,
 *              which grow.c does; without bootstrap it is "balanced"
 * Table        classes by name, or by index where no class has that name; the others count 1
 */
#include <string.h>

#include "base/number.h"
#include "learn/tree/tree.h"

void ml__balance(size_t K, const size_t *n_k, double *weight)
{
    double n = 0, n_classes = 0;

    for (size_t k = 0; k < K; k++) {
        n += (double)n_k[k];
        n_classes += n_k[k] > 0;
    }
    for (size_t k = 0; k < K; k++)
        weight[k] = n_k[k] ? n / (n_classes * (double)n_k[k]) : 0;
}

/* K when there is none. */
static size_t find_class(const ml__fit *f, const char *name, size_t length)
{
    char *const *classes = f->schema->outputs[0].classes;
    int64_t index;

    for (size_t k = 0; k < f->K; k++)
        if (strlen(classes[k]) == length && !memcmp(classes[k], name, length))
            return k;
    if (ml__parse_int(name, length, &index) == ML__NUMBER_OK && index >= 0 && (uint64_t)index < f->K)
        return (size_t)index;
    return f->K;
}

static ml_status read_table(const ml__fit *f, const char *table, double *weight)
{
    const char *name;
    size_t length, k;
    double value;
    ml_status st = ML_OK;

    for (k = 0; k < f->K; k++)
        weight[k] = 1;
    while (ml__weights_next(&table, &name, &length, &value)) {
        k = find_class(f, name, length);
        ML__CHECK(k < f->K, ML_E_PARAMETER,
                  "%s: parameter 'class_weight' names class '%.*s', output '%s' has %zu classes, without it",
                  f->model->kind->name, (int)length, name, f->schema->outputs[0].name, f->K);
        weight[k] = value;
    }
done:
    return st;
}

static ml_status count_balance(ml__fit *f, const ml__tree_data *data, double *weight)
{
    size_t *n_k;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, n_k, data->K);
    for (size_t i = 0; i < data->n; i++)
        n_k[data->y[i]]++;
    ml__balance(data->K, n_k, weight);
done:
    return st;
}

/* Multiply the rows' weights by those of their classes. */
static ml_status weigh_classes(ml__fit *f, const ml__weights *p, const ml__tree_data *data, double *w)
{
    double *weight, sum = 0;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, weight, data->K);
    if (p->form == ML__WEIGHTS_TABLE)
        ML__TRY(read_table(f, p->table, weight));
    else
        ML__TRY(count_balance(f, data, weight));
    for (size_t i = 0; i < data->n; i++) {
        w[i] *= weight[data->y[i]];
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
    bool any = !data->has;

    for (size_t o = 0; o < data->n_outputs && !any; o++)
        any = data->has[o * data->n + i];
    return any;
}

ml_status ml__tree_weights(ml__fit *f, const ml__weights *classes, ml__tree_data *data)
{
    const double *given = ml__fit_weights(f);
    const bool weighs = classes->form != ML__CLASS_WEIGHT_NONE;
    double *w, largest = 0;
    uint32_t *rows;
    int exponent;
    ml_status st = given ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__CHECK(data->classify || !weighs, ML_E_PARAMETER,
              "%s: parameter 'class_weight' is for labels, output '%s' is real", f->model->kind->name,
              f->schema->outputs[0].name);
    ML__NEW(f->scratch, w, f->n);
    ML__NEW(f->scratch, rows, f->n);
    memcpy(w, given, f->n * sizeof *w);
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
