/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: one row per kind. The only file that knows them all. */
#include "kinds.h"

#include <string.h>

#include "compose/compose.h"
#include "learn/learn.h"

static const ml__kind *const KINDS[] = {
    &ml__standard_scaler,
    &ml__min_max_scaler,
    &ml__max_abs_scaler,
    &ml__robust_scaler,
    &ml__quantile_transformer,
    &ml__simple_imputer,
    &ml__one_hot_encoder,
    &ml__ordinal_encoder,
    &ml__polynomial_features,
    &ml__passthrough,
    &ml__gmm,
    &ml__bayesian_gmm,
    &ml__gmm_classifier,
    &ml__decision_tree,
    &ml__random_forest,
    &ml__extra_trees,
    &ml__adaboost,
    &ml__mlp,
    &ml__autoencoder,
    &ml__linear_regression,
    &ml__logistic_regression,
    &ml__kmeans_kind,
    &ml__mini_batch_kmeans,
    &ml__pca,
    &ml__pipeline,
    &ml__column_transformer,
    &ml__feature_union,
    &ml__weighted_average,
};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS };

const ml__kind *ml__kind_find(const char *name)
{
    for (size_t i = 0; i < N_KINDS; i++)
        if (!strcmp(KINDS[i]->name, name))
            return KINDS[i];
    return NULL;
}

static ml_status unknown_kind(const char *name)
{
    char names[640] = "";
    size_t n = 0;

    for (size_t i = 0; i < N_KINDS && n < sizeof names; i++)
        n += ml__format(names + n, sizeof names - n, "%s%s", i ? ", " : "", KINDS[i]->name);
    return ml__fail(ML_E_ARGUMENT, "there is no kind '%s'; there are: %s", name, names);
}

size_t ml_kind_count(void)
{
    return N_KINDS;
}

const char *ml_kind_name(size_t kind)
{
    return kind < N_KINDS ? KINDS[kind]->name : NULL;
}

const char *ml_kind_doc(const char *kind)
{
    const ml__kind *k = kind ? ml__kind_find(kind) : NULL;

    return k ? k->doc : NULL;
}

size_t ml_kind_param_count(const char *kind)
{
    const ml__kind *k = kind ? ml__kind_find(kind) : NULL;
    size_t n = 0;

    while (k && k->params[n].name)
        n++;
    return n;
}

ml_status ml_kind_param(const char *kind, size_t i, ml_param_info *info)
{
    const ml__param *p;
    ml_param_info full;

    if (!kind || !info)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", kind ? "info" : "kind");
    if (!ml__kind_find(kind))
        return unknown_kind(kind);
    if (i >= ml_kind_param_count(kind))
        return ml__fail(ML_E_ARGUMENT, "parameter %zu of %zu", i, ml_kind_param_count(kind));
    p = &ml__kind_find(kind)->params[i];
    full = (ml_param_info){.name = p->name,
                           .type = p->type,
                           .default_value = p->default_value,
                           .min = p->min,
                           .max = p->max,
                           .is_count = p->is_count,
                           .min_open = p->min_open,
                           .max_open = p->max_open,
                           .choices = p->choices,
                           .doc = p->doc,
                           .since = "0.1"};
    return ml__write_result(info, &full, sizeof full, "ml_param_info");
}

ml_status ml_model_create(ml_context *context, const char *kind, ml_model **out)
{
    const ml__kind *k;

    if (out)
        *out = NULL;
    if (!kind || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", kind ? "out" : "kind");
    k = ml__kind_find(kind);
    return k ? ml__model_new(context, k, out) : unknown_kind(kind);
}
