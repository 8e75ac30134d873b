/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers as tensors: weights.l [n_in x n_out], biases.l [n_out]; "activations" has the function of each layer, as numbered
 * by ML__MLP_ACTIVATIONS, that of the last is the identity; "links" says how each output follows from the last layer.
 * "transferred" says how many of the first layers came from another model, where any did.
 * A layer that was tied to another has its own weights here. The optimiser's state is kept after ml_model_partial_fit()
 * only: "optimiser.progress" has the steps made, the rows seen, the solver, as numbered by ML__MLP_OPTIMISERS, and the epochs
 * made, of which the last may be in part; "optimiser.vectors.i" the moments, in the order of the weights and biases layer by
 * layer. "validation_loss" and "validation_scores" are as long as "loss_curve", NaN for epochs that looked at no held-out rows,
 * and absent when none did.
 */
#include "learn/mlp/layered.h"

#include <string.h>

enum { NAME_BYTES = 40 };

ml_status ml__mlp_check(const ml_model *model)
{
    const ml__mlp_params *p = model->params;
    const char *kind = model->kind->name;
    ml_status st = ML_OK;

    if (p->solver != ML__MLP_LBFGS)
        return ML_OK;
    for (size_t i = 0; i < p->dropout.n; i++)
        ML__CHECK(p->dropout.values[i] == 0, ML_E_PARAMETER,
                  "%s: solver lbfgs takes no dropout, which changes the objective at every step", kind);
    ML__CHECK(p->noise == 0, ML_E_PARAMETER,
              "%s: solver lbfgs takes no noise, which changes the objective at every step", kind);
    ML__CHECK(p->clip_norm == 0, ML_E_PARAMETER, "%s: clip_norm is %g, solver lbfgs has no steps to shorten", kind,
              p->clip_norm);
    ML__CHECK(p->transfer_rate == 1, ML_E_PARAMETER,
              "%s: transfer_rate is %g, solver lbfgs has one rate for all layers (freeze_layers is for any solver)",
              kind, p->transfer_rate);
done:
    return st;
}

/* ---- to tensors ---- */

/* W = the weights of layer e transposed */
static void untie(const ml__mlp_net *net, size_t l, float *W)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
    const float *theirs = net->W[net->shape.tied_to[l]];

    for (size_t i = 0; i < n_in; i++)
        for (size_t j = 0; j < n_out; j++)
            W[i * n_out + j] = theirs[j * n_in + i];
}

static ml_status publish_layer(ml__fit *f, const ml__mlp_net *net, size_t l)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
    char name[NAME_BYTES];
    float *W, *b;
    ml_status st = ML_OK;

    ml__format(name, sizeof name, "weights.%zu", l);
    ML__PUBLISH(f, W, name, ML_FLOAT32, n_in, n_out);
    ml__format(name, sizeof name, "biases.%zu", l);
    ML__PUBLISH(f, b, name, ML_FLOAT32, n_out);
    if (net->W[l])
        memcpy(W, net->W[l], n_in * n_out * sizeof *W);
    else
        untie(net, l, W);
    memcpy(b, net->b[l], n_out * sizeof *b);
done:
    return st;
}

static ml_status publish_curve(ml__fit *f, const char *name, const double *values, size_t n)
{
    double *curve;
    ml_status st = ML_OK;

    if (!values)
        return ML_OK;
    ML__PUBLISH(f, curve, name, ML_FLOAT64, n);
    memcpy(curve, values, n * sizeof *curve);
done:
    return st;
}

static ml_status publish_optimiser(ml__fit *f, const ml__mlp_solver *s)
{
    const double progress[ML__MLP_PROGRESS] = {(double)s->t, s->n_seen, (double)s->p->solver, s->epochs};
    char name[NAME_BYTES];
    float *vector;
    ml_status st;

    ML__TRY(publish_curve(f, "optimiser.progress", progress, ML__MLP_PROGRESS));
    for (size_t i = 0; i < s->kind->n_vectors; i++) {
        ml__format(name, sizeof name, "optimiser.vectors.%zu", i);
        ML__PUBLISH(f, vector, name, ML_FLOAT32, s->n);
        memcpy(vector, s->vectors[i], s->n * sizeof *vector);
    }
done:
    return st;
}

ml_status ml__mlp_publish(ml__fit *f, const ml__mlp_trained *trained, const int32_t *links, size_t n_links, bool keeps)
{
    const size_t L = trained->net.shape.L;
    int32_t *activations, *out;
    ml_status st = ML_OK;

    for (size_t l = 0; l < L; l++)
        ML__TRY(publish_layer(f, &trained->net, l));
    ML__PUBLISH(f, activations, "activations", ML_INT32, L);
    for (size_t l = 0; l < L; l++)
        activations[l] = trained->net.f[l]->id;
    ML__PUBLISH(f, out, "links", ML_INT32, n_links);
    memcpy(out, links, n_links * sizeof *out);
    ML__TRY(publish_curve(f, "loss_curve", trained->loss_curve, trained->n_epochs));
    ML__TRY(publish_curve(f, "validation_loss", trained->validation_loss, trained->n_epochs));
    ML__TRY(publish_curve(f, "validation_scores", trained->validation_scores, trained->n_epochs));
    if (trained->n_transferred) {
        ML__PUBLISH(f, out, "transferred", ML_INT32, 1);
        *out = (int32_t)trained->n_transferred;
    }
    if (keeps && trained->solver)
        ML__TRY(publish_optimiser(f, trained->solver));
done:
    return st;
}

/* ---- and back ---- */

/* Layer l of the net from its tensors; *found is false when there is none. */
static ml_status link_layer(const char *kind, const ml__learned *learned, size_t l, ml__mlp_net *net, bool *found)
{
    char name_W[NAME_BYTES], name_b[NAME_BYTES];
    const ml__named_tensor *W, *b;
    ml_status st = ML_OK;

    ml__format(name_W, sizeof name_W, "weights.%zu", l);
    ml__format(name_b, sizeof name_b, "biases.%zu", l);
    W = ml__learned_find(learned, name_W);
    b = ml__learned_find(learned, name_b);
    *found = W || b;
    if (!*found)
        return ML_OK;
    ML__CHECK(W && b, ML_E_FORMAT, "%s: tensor '%s' is missing", kind, W ? name_b : name_W);
    ML__CHECK(l < ML__MLP_MAX_LAYERS, ML_E_FORMAT, "%s: tensor '%s': at most %d layers are supported", kind, name_W,
              (int)ML__MLP_MAX_LAYERS);
    ML__CHECK(W->shape[0] == net->shape.n[l], ML_E_FORMAT, "%s: tensor '%s' takes %llu inputs, expected %zu", kind,
              name_W, (unsigned long long)W->shape[0], net->shape.n[l]);
    ML__CHECK(W->shape[1] >= 1, ML_E_FORMAT, "%s: tensor '%s' has no outputs", kind, name_W);
    ML__CHECK(b->shape[0] == W->shape[1], ML_E_FORMAT, "%s: tensor '%s' has %llu elements, expected %llu", kind, name_b,
              (unsigned long long)b->shape[0], (unsigned long long)W->shape[1]);
    net->shape.n[l + 1] = (size_t)W->shape[1];
    net->shape.tied_to[l] = ML__MLP_NOT_TIED;
    net->W[l] = W->data;
    net->b[l] = b->data;
done:
    return st;
}

static ml_status link_activations(const char *kind, const ml__learned *learned, ml__mlp_net *net)
{
    const ml__named_tensor *t = ml__learned_find(learned, "activations");
    const size_t L = net->shape.L;
    const int32_t *id = t->data;
    ml_status st = ML_OK;

    ML__CHECK(t->shape[0] == L, ML_E_FORMAT, "%s: tensor 'activations' has %llu elements for %zu layers", kind,
              (unsigned long long)t->shape[0], L);
    for (size_t l = 0; l < L; l++) {
        ML__CHECK(id[l] < ML__MLP_N_ACTIVATIONS, ML_E_FORMAT, "%s: tensor 'activations': element %zu is %d, unknown",
                  kind, l, id[l]);
        net->f[l] = &ml__mlp_activations[id[l]];
    }
    ML__CHECK(id[L - 1] == ML__MLP_IDENTITY, ML_E_FORMAT, "%s: tensor 'activations': the last one is %d, expected %d",
              kind, id[L - 1], (int)ML__MLP_IDENTITY);
done:
    return st;
}

static ml_status link_outputs(const char *kind, const ml__learned *learned, size_t n_links, ml__mlp_fitted *fitted)
{
    const ml__named_tensor *t = ml__learned_find(learned, "links");
    ml_status st = ML_OK;

    ML__CHECK(t->shape[0] == n_links, ML_E_FORMAT, "%s: tensor 'links' has %llu elements, expected %zu", kind,
              (unsigned long long)t->shape[0], n_links);
    fitted->links = t->data;
    fitted->n_outputs = n_links;
    for (size_t o = 0; o < n_links; o++)
        ML__CHECK(fitted->links[o] < ML__MLP_N_LINKS, ML_E_FORMAT, "%s: tensor 'links': element %zu is %d, unknown",
                  kind, o, fitted->links[o]);
done:
    return st;
}

/* A whole number that a double holds without loss. */
static bool is_count(double x)
{
    return x == floor(x) && x <= 9007199254740992.0;
}

static ml_status link_transferred(const char *kind, const ml__learned *learned, ml__mlp_fitted *fitted)
{
    const ml__named_tensor *t = ml__learned_find(learned, "transferred");
    const size_t L = fitted->net.shape.L, n = t ? (size_t) * (const int32_t *)t->data : 0;

    if (n > L)
        return ml__fail(ML_E_FORMAT, "%s: tensor 'transferred': element 0 is %zu, there are %zu layers", kind, n, L);
    fitted->n_transferred = n;
    return ML_OK;
}

/* Weights that the decoder of an autoencoder has in common with its encoder when these are tied; 0 when they cannot be. */
static size_t tied_weights(const ml__mlp_fitted *fitted)
{
    const ml__mlp_shape *shape = &fitted->net.shape;
    size_t n = 0;

    if (!fitted->is_autoencoder || shape->L != 2 * (fitted->code + 1))
        return 0;
    for (size_t l = fitted->code + 1; l < shape->L; l++) {
        if (shape->n[l + 1] != shape->n[shape->L - l - 1])
            return 0;
        n += shape->n[l] * shape->n[l + 1];
    }
    return n;
}

/* Vectors are as long as the weights and biases, tied ones counted once: all of them in the same way. */
static ml_status link_optimiser(const char *kind, const ml__learned *learned, const ml__mlp_fitted *fitted)
{
    const ml__named_tensor *progress = ml__learned_find(learned, "optimiser.progress");
    const double *x = progress ? progress->data : NULL;
    size_t n;
    ml_status st;

    if (!progress)
        return ML_OK;
    ML__TRY(ml__mlp_theta_length(&fitted->net.shape, &n));
    ML__CHECK(progress->shape[0] == ML__MLP_PROGRESS, ML_E_FORMAT,
              "%s: tensor 'optimiser.progress' has %llu elements, expected %d", kind,
              (unsigned long long)progress->shape[0], (int)ML__MLP_PROGRESS);
    ML__CHECK(is_count(x[0]) && is_count(x[2]) && x[2] < ML__MLP_LBFGS, ML_E_FORMAT,
              "%s: tensor 'optimiser.progress' tells of %g steps of solver %g", kind, x[0], x[2]);
    for (size_t i = 0; i < ml__mlp_optimisers[(size_t)x[2]].n_vectors; i++) {
        char name[NAME_BYTES];
        const ml__named_tensor *vector;

        ml__format(name, sizeof name, "optimiser.vectors.%zu", i);
        vector = ml__learned_find(learned, name);
        ML__CHECK(vector, ML_E_FORMAT, "%s: tensor '%s' is missing", kind, name);
        if (!i && vector->shape[0] == n - tied_weights(fitted))
            n -= tied_weights(fitted);
        ML__CHECK(vector->shape[0] == n, ML_E_FORMAT, "%s: tensor '%s' has %llu elements for %zu weights", kind, name,
                  (unsigned long long)vector->shape[0], n);
    }
done:
    return st;
}

ml_status ml__mlp_link(const ml_model *model, const ml__learned *learned, size_t n_in, size_t n_links,
                       ml__mlp_fitted *fitted)
{
    const char *kind = model->kind->name;
    ml__mlp_net *net = &fitted->net;
    bool found = true;
    ml_status st = ML_OK;

    net->shape.n[0] = n_in;
    for (size_t l = 0; found; l++) {
        ML__TRY(link_layer(kind, learned, l, net, &found));
        net->shape.L = found ? l + 1 : l;
    }
    ML__CHECK(net->shape.L > 0, ML_E_FORMAT, "%s: tensor 'weights.0' is missing", kind);
    ML__TRY(link_activations(kind, learned, net));
    ML__TRY(link_outputs(kind, learned, n_links, fitted));
    ML__TRY(link_transferred(kind, learned, fitted));
    ML__TRY(link_optimiser(kind, learned, fitted));
done:
    return st;
}

/* ---- outputs ---- */

static size_t widest_layer(const ml__mlp_net *net)
{
    size_t widest = 0;

    for (size_t l = 0; l < net->shape.L; l++)
        widest = net->shape.n[l + 1] > widest ? net->shape.n[l + 1] : widest;
    return widest;
}

/* A row's outputs of any layer, with the room that layer_row() wants. */
static size_t row_room(const ml__mlp_net *net)
{
    return (widest_layer(net) + 15) / 16 * 16;
}

/* Two layers' outputs at a time. */
size_t ml__mlp_scratch(const ml_model *model, size_t n)
{
    const ml__mlp_fitted *fitted = model->learned->state;

    return ml__scratch_bytes(n, 2 * row_room(&fitted->net) * sizeof(float));
}

static ml_status refuse_outputs(const ml_model *model)
{
    return ml__fail(ML_E_NUMERIC, "%s: a prediction is not finite, its features are too large", model->kind->name);
}

/* Layers [first, end) as a net of their own. */
static void part_of(const ml__mlp_net *net, size_t first, size_t end, ml__mlp_net *part)
{
    part->shape.L = end - first;
    part->shape.n[0] = net->shape.n[first];
    for (size_t l = first; l < end; l++) {
        part->shape.n[l - first + 1] = net->shape.n[l + 1];
        part->shape.tied_to[l - first] = ML__MLP_NOT_TIED;
        part->W[l - first] = net->W[l];
        part->b[l - first] = net->b[l];
        part->f[l - first] = net->f[l];
    }
}

ml_status ml__mlp_outputs(const ml_model *model, size_t first, size_t end, size_t n, const float *x, double *out,
                          ml__scratch scratch)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const ml__mlp_net *net = &fitted->net;
    const size_t L = end - first, n_values = n * net->shape.n[end], half = n * widest_layer(net);
    const ml__crew_f32 alone = {.k = &ml__kernels_rowwise()->f32};
    float *buffer = ml__scratch_take(&scratch, 2 * half, sizeof *buffer);
    ml__mlp_work work = {.row = NULL};
    ml__mlp_net part;
    ml_status st = ML_OK;

    if (!buffer)
        return ML_E_MEMORY;
    if (L < net->shape.L) {
        part_of(net, first, end, &part);
        net = &part;
    }
    for (size_t l = 0; l < L; l++)
        work.H[l] = buffer + (l & 1 ? half : 0);
    ML__TRY(ml__mlp_forward(&alone, net, n, x, &work));
    for (size_t i = 0; i < n_values; i++) {
        if (!isfinite(work.H[L - 1][i]))
            return refuse_outputs(model);
        out[i] = (double)work.H[L - 1][i];
    }
done:
    return st;
}

ml_status ml__mlp_row_outputs(const ml_model *model, size_t first, size_t end, const float *x, ml__scratch *scratch,
                              const float **out)
{
    const ml__mlp_fitted *fitted = model->learned->state;
    const ml__mlp_net *net = &fitted->net;
    const ml__kernels_f32 *k = &ml__kernels_rowwise()->f32;
    const size_t room = row_room(net);
    float *buffer = ml__scratch_take(scratch, 2 * room, sizeof *buffer);

    if (!buffer)
        return ML_E_MEMORY;
    for (size_t l = first; l < end; l++) {
        const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
        const ml__mlp_activation *f = net->f[l];
        float *H = buffer + (l & 1 ? room : 0);

        k->layer_row(n_out, n_in, x, net->W[l], n_out, net->b[l], f->fused, H);
        if (f->fused == ML__IDENTITY)
            ml__mlp_activate(k, f->id, n_out, H, H);
        x = H;
    }
    for (size_t j = 0; j < net->shape.n[end]; j++)
        if (!isfinite(x[j]))
            return refuse_outputs(model);
    *out = x;
    return ML_OK;
}
