/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/class_weights.h"

#include <string.h>

#include "base/number.h"

void ml__balance_classes(size_t K, const size_t *n_k, double *weight)
{
    double n = 0, n_classes = 0;

    for (size_t k = 0; k < K; k++) {
        n += (double)n_k[k];
        n_classes += n_k[k] > 0;
    }
    for (size_t k = 0; k < K; k++)
        weight[k] = n_k[k] ? n / (n_classes * (double)n_k[k]) : 0;
}

/* Its number; n_classes when there is none. */
static size_t find_class(const ml__output *output, const char *name, size_t length)
{
    int64_t index;

    for (size_t k = 0; k < output->n_classes; k++)
        if (strlen(output->classes[k]) == length && !memcmp(output->classes[k], name, length))
            return k;
    if (ml__parse_int(name, length, &index) == ML__NUMBER_OK && index >= 0 && (uint64_t)index < output->n_classes)
        return (size_t)index;
    return output->n_classes;
}

/* The place of "class", or with several outputs of "output=class"; that behind the last when there is none. */
static size_t find_place(const ml__fit *f, const size_t *first, const char *name, size_t length)
{
    for (size_t o = 0; o < f->n_outputs; o++) {
        const ml__output *output = &f->schema->outputs[o];
        const size_t before = f->n_outputs > 1 ? strlen(output->name) + 1 : 0;
        size_t k;

        if (before && (length < before || memcmp(name, output->name, before - 1) != 0 || name[before - 1] != '='))
            continue;
        k = find_class(output, name + before, length - before);
        if (k < output->n_classes)
            return first[o] + k;
    }
    return first[f->n_outputs];
}

ml_status ml__class_table(const ml__fit *f, const size_t *first, const char *table, double *weight)
{
    const char *name, *kind = f->model->kind->name;
    const size_t n = first[f->n_outputs];
    size_t length, k;
    double value;
    ml_status st = ML_OK;

    for (k = 0; k < n; k++)
        weight[k] = 1;
    while (ml__weights_next(&table, &name, &length, &value)) {
        k = find_place(f, first, name, length);
        ML__CHECK(k < n || f->n_outputs > 1, ML_E_PARAMETER,
                  "%s: parameter 'class_weight' names class '%.*s', output '%s' has %zu classes, without it", kind,
                  (int)length, name, f->schema->outputs[0].name, f->K);
        ML__CHECK(k < n, ML_E_PARAMETER,
                  "%s: parameter 'class_weight' names '%.*s', which is not output=class of any of the %zu outputs",
                  kind, (int)length, name, f->n_outputs);
        weight[k] = value;
    }
done:
    return st;
}
