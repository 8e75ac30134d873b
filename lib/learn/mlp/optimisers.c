/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps: stochastic gradient descent with momentum, Adam, AdamW; and the learning rate that they go by.
 *
 * SGD      u := mu u - eta g;   theta := theta + u,  or with Nesterov's momentum  theta + mu u - eta g
 *                                                                  (Sutskever et al. 2013, and scikit-learn's rules)
 * Adam     m := b1 m + (1 - b1) g;   v := b2 v + (1 - b2) g²
 *          theta := theta - eta_t m / (sqrt(v) + epsilon),  eta_t = eta sqrt(1 - b2^t) / (1 - b1^t)
 *                                        (Kingma & Ba 2015, the ordering at the end of section 2)
 * AdamW    the same after W := (1 - eta weight_decay) W, biases excepted                 (Loshchilov & Hutter 2019)
 *          Without a penalty of magnitudes, clipping or tied weights the gradient is never stored: adam_tn of the kernels
 *          makes and uses it tile by tile. Biases are the weights of an input that is always 1.
 * Clipping g := g clip_norm / ||g|| when ||g|| is larger, the norm over all trained layers (Pascanu, Mikolov & Bengio 2013)
 * Rate     eta_0; sgd only: eta_0 / (n_seen + 1)^power_t after each epoch ("invscaling"), or divided by 5 whenever
 *          progress stalls, until it is 1e-6 ("adaptive"); all: eta_0 (1 + cos(pi e / max_iter)) / 2 ("cosine",
 *          Loshchilov & Hutter 2017, eq. 5) or eta_0 decay_rate^floor(e / decay_epochs) ("step"), e epochs so far, whole or
 *          in parts: each is counted by its own number of steps, as that of calls with other rows differs; and during the
 *          first warmup_epochs a share that grows to 1 step by step
 *
 * Symbols  theta, g, u, m, v [n]; t steps made; eta learning rate, eta_0 learning_rate_init; mu momentum; b1, b2
 *          beta_1, beta_2. Constants are computed in double, vectors are float.
 */
#include <string.h>

#include "learn/mlp/mlp.h"

/* Below this "adaptive" gives up; scikit-learn's value. */
static const double SMALLEST_RATE = 1e-6;
static const double PI = 3.14159265358979323846;

/* ---- sgd ---- */

static double sgd_correct(const ml__mlp_params *p, double t)
{
    (void)p;
    (void)t;
    return 1;
}

static void sgd_move(const ml__mlp_solver *s, size_t n, const float *g, double factor, bool decays, float *theta,
                     float *const *state)
{
    const float mu = (float)s->p->momentum, eta = (float)(s->corrected * factor);
    float *u = state[0];

    (void)decays;
    for (size_t i = 0; i < n; i++)
        u[i] = mu * u[i] - eta * g[i];
    if (s->p->nesterovs_momentum)
        for (size_t i = 0; i < n; i++)
            theta[i] += mu * u[i] - eta * g[i];
    else
        for (size_t i = 0; i < n; i++)
            theta[i] += u[i];
}

/* ---- adam ---- */

static double adam_correct(const ml__mlp_params *p, double t)
{
    return sqrt(1 - pow(p->beta_2, t)) / (1 - pow(p->beta_1, t));
}

static ml__adam adam_step(const ml__mlp_solver *s, double factor, double penalty)
{
    return (ml__adam){s->corrected * factor, s->p->beta_1, s->p->beta_2, s->p->epsilon, penalty};
}

/* Returns what is kept of each weight. */
static double decay(const ml__mlp_solver *s, size_t n, double factor, float *W)
{
    const float keep = (float)(1 - s->now * factor * s->p->weight_decay);

    for (size_t i = 0; i < n; i++)
        W[i] *= keep;
    return (double)keep;
}

static void adam_move(const ml__mlp_solver *s, size_t n, const float *g, double factor, bool decays, float *theta,
                      float *const *state)
{
    const ml__adam step = adam_step(s, factor, 0);
    const float one = 1;

    if (decays && s->p->solver == ML__MLP_ADAMW)
        (void)decay(s, n, factor, theta);
    s->crew.k->adam_tn(1, n, 1, &one, 1, g, n, &step, theta, state[0], state[1], n);
}

static ml_status adam_move_layer(const ml__mlp_solver *s, const ml__mlp_factors *x, double factor)
{
    const size_t n_W = x->n_in * x->n_out;
    float *m = s->vectors[0] + (x->W - s->theta), *v = s->vectors[1] + (x->W - s->theta);
    ml__adam step = adam_step(s, factor, x->penalty);
    ml_status st;

    if (s->p->solver == ML__MLP_ADAMW) {
        const double keep = decay(s, n_W, factor, x->W);

        step.penalty /= keep > 0 ? keep : 1; /* of the weights before */
    }
    ML__TRY(ml__product_adam_tn_f32(&s->crew, x->n_in, x->n_out, x->m, x->A, x->n_in, x->D, x->n_out, &step, x->W, m, v,
                                    x->n_out));
    step.penalty = 0;
    ML__TRY(ml__product_adam_tn_f32(&s->crew, 1, x->n_out, x->m, x->ones, 1, x->D, x->n_out, &step, x->b, m + n_W,
                                    v + n_W, x->n_out));
done:
    return st;
}

const ml__mlp_optimiser ml__mlp_optimisers[ML__MLP_N_OPTIMISERS] = {
    [ML__MLP_ADAM] = {2, adam_correct, adam_move, adam_move_layer},
    [ML__MLP_SGD] = {1, sgd_correct, sgd_move, NULL},
    [ML__MLP_ADAMW] = {2, adam_correct, adam_move, adam_move_layer},
};

/* ---- the learning rate ---- */

double ml__mlp_rate(const ml__mlp_solver *s)
{
    const ml__mlp_params *p = s->p;
    const double epoch = s->epochs + s->part, warm = p->warmup_epochs;
    double rate = s->rate;

    if (p->learning_rate == ML__MLP_COSINE)
        rate *= 0.5 * (1 + cos(PI * fmin(1, epoch / (double)p->max_iter)));
    else if (p->learning_rate == ML__MLP_STEP)
        rate *= pow(p->decay_rate, floor(epoch / (double)p->decay_epochs));
    return warm > 0 ? rate * fmin(1, (epoch + 1 / s->steps_per_epoch) / warm) : rate;
}

void ml__mlp_epoch_ends(ml__mlp_solver *s, size_t n)
{
    s->n_seen += (double)n;
    s->epochs += s->part;
    s->part = 0;
    if (s->p->solver == ML__MLP_SGD && s->p->learning_rate == ML__MLP_INVSCALING)
        s->rate = s->p->learning_rate_init / pow(s->n_seen + 1, s->p->power_t);
}

bool ml__mlp_stalled(ml__mlp_solver *s)
{
    if (s->p->solver != ML__MLP_SGD || s->p->learning_rate != ML__MLP_ADAPTIVE || s->rate <= SMALLEST_RATE)
        return true;
    s->rate /= 5;
    return false;
}

/* ---- a step ---- */

static bool has_tied_layers(const ml__mlp_shape *shape)
{
    for (size_t l = 0; l < shape->L; l++)
        if (shape->tied_to[l] != ML__MLP_NOT_TIED)
            return true;
    return false;
}

ml_status ml__mlp_solver_init(ml__mlp_solver *s, const ml__mlp_params *p, const ml__crew_f32 *crew,
                              const ml__mlp_net *net, size_t n, float *theta, ml__arena *arena)
{
    ml_status st = ML_OK;

    *s = (ml__mlp_solver){.kind = &ml__mlp_optimisers[p->solver],
                          .p = p,
                          .crew = *crew,
                          .net = net,
                          .rate = p->learning_rate_init,
                          .steps_per_epoch = 1,
                          .theta = theta,
                          .n = n};
    for (size_t l = 0; l < net->shape.L; l++)
        s->layer_rates[l] = 1;
    for (size_t i = 0; i < s->kind->n_vectors; i++)
        ML__NEW(arena, s->vectors[i], n);
    if (!s->kind->move_layer || p->clip_norm > 0 || p->l1 > 0 || has_tied_layers(&net->shape))
        ML__NEW(arena, s->g, n);
done:
    return st;
}

static ml_status move_layer(void *solver, const ml__mlp_factors *layer)
{
    const ml__mlp_solver *s = solver;

    return s->kind->move_layer(s, layer, s->layer_rates[layer->l]);
}

static ml_status keep_gradient(void *solver, const ml__mlp_factors *layer)
{
    const ml__mlp_solver *s = solver;

    return ml__mlp_add_gradient(&s->crew, layer, s->g + (layer->W - s->theta), s->g + (layer->b - s->theta));
}

/* Where the weights of layer l begin in theta. */
static size_t begin_of(const ml__mlp_solver *s, size_t l)
{
    return (size_t)((s->net->W[l] ? s->net->W[l] : s->net->b[l]) - s->theta);
}

static void clip(const ml__mlp_solver *s, size_t begin)
{
    const double norm = sqrt(s->crew.k->dot(s->n - begin, s->g + begin, s->g + begin));
    const float factor = (float)(s->p->clip_norm / norm);

    if (norm > s->p->clip_norm)
        for (size_t i = begin; i < s->n; i++)
            s->g[i] *= factor;
}

static void move_piece(const ml__mlp_solver *s, size_t l, size_t begin, size_t end, bool decays)
{
    float *state[ML__MLP_MAX_VECTORS] = {NULL};

    for (size_t i = 0; i < s->kind->n_vectors; i++)
        state[i] = s->vectors[i] + begin;
    s->kind->move(s, end - begin, s->g + begin, s->layer_rates[l], decays, s->theta + begin, state);
}

static ml_status step_by_gradient(ml__mlp_solver *s, const ml__mlp_objective *o, const ml__mlp_batch *x,
                                  const ml__mlp_work *work, double *J)
{
    const size_t L = s->net->shape.L, first = begin_of(s, o->first_trained);
    ml_status st;

    memset(s->g + first, 0, (s->n - first) * sizeof *s->g);
    ML__TRY(ml__mlp_backpropagate(&s->crew, s->net, o, x, work, keep_gradient, s, J));
    if (s->p->clip_norm > 0)
        clip(s, first);
    for (size_t l = o->first_trained; l < L; l++) {
        const size_t begin = begin_of(s, l), b = (size_t)(s->net->b[l] - s->theta);

        move_piece(s, l, begin, b, true);
        move_piece(s, l, b, b + s->net->shape.n[l + 1], false);
    }
done:
    return st;
}

ml_status ml__mlp_step(ml__mlp_solver *s, const ml__mlp_objective *o, const ml__mlp_batch *x, const ml__mlp_work *work,
                       double *J)
{
    s->now = ml__mlp_rate(s);
    s->t++;
    s->corrected = s->now * s->kind->correct(s->p, (double)s->t);
    if (s->g)
        return step_by_gradient(s, o, x, work, J);
    return ml__mlp_backpropagate(&s->crew, s->net, o, x, work, move_layer, s, J);
}
