/* SPDX-License-Identifier: Apache-2.0 */
/* The identity: features as they are, for a place in a union or a column transformer. */
#include <string.h>

#include "learn/features.h"
#include "learn/learn.h"

static const ml__param PARAMS[] = {ML__PARAMS_END};
static const ml__tensor_rule TENSORS[] = {{NULL, 0, NULL, 0}};

static ml_status fit(ml__fit *f)
{
    return ml__fit_step(f, 1, 1, "", NAN);
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    (void)model;
    (void)scratch;
    memcpy(out, x->f64, x->n * x->d * sizeof *out);
    return ML_OK;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    (void)scratch;
    memcpy(out, z, n * model->learned->schema.n_features * sizeof *out);
    return ML_OK;
}

const ml__kind ml__passthrough = {
    .name = "passthrough",
    .doc = "Keep the features as they are",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MISSING | ML__CATEGORIES,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .tensors = TENSORS,
    .fit = fit,
    .transform = transform,
    .inverse = inverse,
    .name_features = ml__keep_features,
};
