/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The weights before the first step, and what else a fit that goes on takes over.
 *
 * Drawn       uniform in +-sqrt(init / (n_in + n_out)), biases too (Glorot & Bengio 2010, eq. 16); one stream per layer
 * Continued   with warm_start, and in ml_model_partial_fit(): what the model has learned
 * Transferred the first layers are those of another model, ml_model_start_from(); the others are drawn. Layers must agree in
 *             widths and activation. "auto" takes the hidden layers, or those up to the code of an autoencoder, as far as
 *             they agree; "encoder" and "all" are what they say. A fit that goes on does not look at that model; which layers
 *             came from one is remembered for transfer_rate
 */
#include <string.h>

#include "learn/mlp/layered.h"

enum { INITIAL_WEIGHTS = 1 };

static void draw_layer(const ml__fit *f, const ml__mlp_net *net, size_t l)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
    const double init = ml__mlp_activations[((const ml__mlp_params *)f->params)->activation].init;
    const double bound = sqrt(init / ((double)n_in + (double)n_out));
    ml__rng rng = ml__rng_make(ml__seed_mix(f->seed, INITIAL_WEIGHTS), l);

    for (size_t i = 0; i < n_in * n_out && net->W[l]; i++)
        net->W[l][i] = (float)((2 * ml__rng_uniform(&rng) - 1) * bound);
    for (size_t j = 0; j < n_out; j++)
        net->b[l][j] = (float)((2 * ml__rng_uniform(&rng) - 1) * bound);
}

static void copy_layer(const ml__mlp_net *net, const ml__mlp_net *from, size_t l)
{
    const size_t n_out = net->shape.n[l + 1];

    if (net->W[l])
        memcpy(net->W[l], from->W[l], net->shape.n[l] * n_out * sizeof(float));
    memcpy(net->b[l], from->b[l], n_out * sizeof(float));
}

static bool agrees(const ml__mlp_net *net, const ml__mlp_net *from, size_t l)
{
    return l < net->shape.L && l < from->shape.L && net->shape.n[l] == from->shape.n[l] &&
           net->shape.n[l + 1] == from->shape.n[l + 1] && net->f[l] == from->f[l];
}

/* ---- go on ---- */

/* Are the weights of layer l those of an earlier one transposed? */
static bool is_tied(const ml__mlp_net *from, size_t l, size_t earlier)
{
    const size_t n_in = from->shape.n[l], n_out = from->shape.n[l + 1];

    for (size_t i = 0; i < n_in; i++)
        for (size_t j = 0; j < n_out; j++)
            if (from->W[l][i * n_out + j] != from->W[earlier][j * n_in + i])
                return false;
    return true;
}

static bool has_two_classes(const ml__fit *f)
{
    for (size_t o = 0; f->task != ML__UNSUPERVISED && o < f->schema->n_outputs; o++)
        if (f->schema->outputs[o].n_classes == 2)
            return true;
    return false;
}

static ml_status go_on(const ml__fit *f, const ml__mlp_net *net)
{
    const ml__learned *learned = f->model->learned;
    const ml__mlp_net *from = &((const ml__mlp_fitted *)learned->state)->net;
    const char *kind = f->model->kind->name;
    ml_status st = ML_OK;

    st = ml__schema_match(&learned->schema, f->schema);
    if (st == ML_OK && f->task != ML__UNSUPERVISED)
        st = ml__schema_match_outputs(&learned->schema, f->schema);
    if (st != ML_OK)
        return ml__blame(st, "%s: to learn on from, the data must be as before: ", kind);
    ML__CHECK(net->shape.L == from->shape.L, ML_E_PARAMETER,
              "%s: training goes on with %zu layers, the parameters say %zu", kind, from->shape.L, net->shape.L);
    for (size_t l = 0; l < net->shape.L; l++) {
        ML__CHECK(agrees(net, from, l), ML_E_PARAMETER,
                  "%s: training goes on with a layer %zu of %zu x %zu and its activation, parameters and data ask for "
                  "%zu x %zu or another activation%s",
                  kind, l, from->shape.n[l], from->shape.n[l + 1], net->shape.n[l], net->shape.n[l + 1],
                  l + 1 == net->shape.L && has_two_classes(f)
                      ? " (two classes have one column unless 'loss' is cross_entropy)"
                      : "");
        ML__CHECK(net->W[l] || is_tied(from, l, net->shape.tied_to[l]), ML_E_PARAMETER,
                  "%s: training goes on with weights of layer %zu that are not those of layer %zu transposed, as "
                  "tied_weights asks for",
                  kind, l, net->shape.tied_to[l]);
        copy_layer(net, from, l);
    }
done:
    return st;
}

const ml__named_tensor *ml__mlp_earlier(const ml__fit *f, const ml__mlp_plan *plan, const char *name)
{
    return plan->continues ? ml__learned_find(f->model->learned, name) : NULL;
}

size_t ml__mlp_epochs_before(const ml__fit *f, const ml__mlp_plan *plan)
{
    const ml__named_tensor *losses = ml__mlp_earlier(f, plan, "loss_curve");

    return losses ? (size_t)losses->shape[0] : 0;
}

ml_status ml__mlp_plan_curve(const ml__fit *f, const ml__mlp_plan *plan, const char *name, size_t n, bool goes_on,
                             double **curve)
{
    const ml__named_tensor *old = ml__mlp_earlier(f, plan, name);
    const size_t n_old = old ? (size_t)old->shape[0] : 0;
    ml_status st = ML_OK;

    if (!old && !goes_on)
        return ML_OK;
    ML__NEW(f->scratch, *curve, n);
    for (size_t i = 0; i < n; i++)
        (*curve)[i] = i < n_old ? ((const double *)old->data)[i] : NAN;
done:
    return st;
}

/* ---- transfer ---- */

/* Layers that "auto" may take at most: the hidden ones of both, and of an autoencoder those up to its code. */
static size_t most_layers(const ml__mlp_net *net, const ml__mlp_fitted *from)
{
    const size_t theirs = from->is_autoencoder ? from->code + 1 : from->net.shape.L - 1;

    return theirs < net->shape.L - 1 ? theirs : net->shape.L - 1;
}

static ml_status count_layers(const ml__fit *f, const ml__mlp_net *net, const ml__mlp_fitted *from, size_t *n)
{
    const ml__size *wanted = &((const ml__mlp_params *)f->params)->transfer_layers;
    const char *kind = f->model->kind->name;
    ml_status st = ML_OK;

    *n = 0;
    if (wanted->form == ML__SIZE_COUNT) {
        *n = (size_t)wanted->count;
    } else if (wanted->count == ML__MLP_TRANSFER_ALL) {
        *n = from->net.shape.L;
    } else if (wanted->count == ML__MLP_TRANSFER_ENCODER) {
        ML__CHECK(from->is_autoencoder, ML_E_PARAMETER,
                  "%s: parameter 'transfer_layers' is encoder, the model to start from is no autoencoder", kind);
        *n = from->code + 1;
    } else {
        const size_t most = most_layers(net, from);

        while (*n < most && agrees(net, &from->net, *n))
            ++*n;
        ML__CHECK(*n > 0, ML_E_SHAPE,
                  "%s: no layer of the model to start from fits: its first is %zu x %zu, here it is %zu x %zu (or the "
                  "activations differ)",
                  kind, from->net.shape.n[0], from->net.shape.n[1], net->shape.n[0], net->shape.n[1]);
    }
    ML__CHECK(*n <= from->net.shape.L && *n <= net->shape.L, ML_E_SHAPE,
              "%s: %zu layers are to be transferred, the model to start from has %zu, this one %zu", kind, *n,
              from->net.shape.L, net->shape.L);
done:
    return st;
}

static ml_status transfer(const ml__fit *f, const ml__mlp_net *net, size_t *n_transferred)
{
    const ml__mlp_fitted *from = f->model->start->learned->state;
    ml_status st;

    ML__TRY(count_layers(f, net, from, n_transferred));
    for (size_t l = 0; l < *n_transferred; l++) {
        ML__CHECK(agrees(net, &from->net, l), ML_E_SHAPE,
                  "%s: layer %zu of the model to start from is %zu x %zu, here it is %zu x %zu (or the activations "
                  "differ)",
                  f->model->kind->name, l, from->net.shape.n[l], from->net.shape.n[l + 1], net->shape.n[l],
                  net->shape.n[l + 1]);
        copy_layer(net, &from->net, l);
    }
done:
    return st;
}

ml_status ml__mlp_start(const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_net *net, size_t *n_transferred)
{
    *n_transferred = 0;
    if (plan->continues) {
        *n_transferred = ((const ml__mlp_fitted *)f->model->learned->state)->n_transferred;
        return go_on(f, net);
    }
    for (size_t l = 0; l < net->shape.L; l++)
        draw_layer(f, net, l);
    return f->model->start ? transfer(f, net, n_transferred) : ML_OK;
}

ml_status ml__mlp_starts_from(const ml_model *model, const ml_model *from)
{
    if (from->kind->starts_from != ml__mlp_starts_from)
        return ml__fail(ML_E_UNSUPPORTED, "%s starts from networks only, not from a model of kind %s",
                        model->kind->name, from->kind->name);
    return ML_OK;
}
