/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimisers: stochastic gradient descent with momentum, and Adam.
 *
 * SGD      u := mu u - eta g;   theta := theta + u,  or with Nesterov's momentum  theta + mu u - eta g
 *          eta is constant; or eta_0 / (n_seen + 1)^power_t after each epoch ("invscaling"); or divided by 5 whenever
 *          progress stalls, until it is 1e-6 ("adaptive")           (Sutskever et al. 2013, and scikit-learn's rules)
 * Adam     m := b1 m + (1 - b1) g;   v := b2 v + (1 - b2) g²
 *          theta := theta - eta_t m / (sqrt(v) + epsilon),  eta_t = eta_0 sqrt(1 - b2^t) / (1 - b1^t)
 *                                        (Kingma & Ba 2015, the ordering at the end of section 2)
 *          The gradient is never stored: adam_tn of the kernels makes and uses it tile by tile. Biases are the weights of
 *          an input that is always 1.
 *
 * Symbols  theta, g, u, m, v [n]; t steps made; eta learning rate, eta_0 learning_rate_init; mu momentum; b1, b2
 *          beta_1, beta_2. Constants are computed in double, vectors are float.
 */
#include "learn/mlp/mlp.h"

/* Below this "adaptive" gives up; scikit-learn's value. */
static const double SMALLEST_RATE = 1e-6;

static void sgd_begin_step(ml__mlp_solver *s)
{
    (void)s;
}

/* W and b of a layer lie side by side in theta. */
static ml_status sgd_move(void *solver, const ml__mlp_factors *layer)
{
    const ml__mlp_solver *s = solver;
    const float mu = (float)s->p->momentum, eta = (float)s->rate, *g = s->g;
    const size_t n_W = layer->n_in * layer->n_out, n = n_W + layer->n_out;
    float *theta = layer->W, *u = s->vectors[0] + (theta - s->theta);
    ml_status st;

    ML__TRY(ml__mlp_multiply_out(&s->crew, layer, s->g, s->g + n_W));
    for (size_t i = 0; i < n; i++)
        u[i] = mu * u[i] - eta * g[i];
    if (s->p->nesterovs_momentum)
        for (size_t i = 0; i < n; i++)
            theta[i] += mu * u[i] - eta * g[i];
    else
        for (size_t i = 0; i < n; i++)
            theta[i] += u[i];
done:
    return st;
}

static void sgd_epoch_ends(ml__mlp_solver *s, double n_seen)
{
    if (s->p->learning_rate == ML__MLP_INVSCALING)
        s->rate = s->p->learning_rate_init / pow(n_seen + 1, s->p->power_t);
}

static bool sgd_stalled(ml__mlp_solver *s)
{
    if (s->p->learning_rate != ML__MLP_ADAPTIVE || s->rate <= SMALLEST_RATE)
        return true;
    s->rate /= 5;
    return false;
}

static void adam_begin_step(ml__mlp_solver *s)
{
    const double t = (double)++s->t;

    s->rate = s->p->learning_rate_init * sqrt(1 - pow(s->p->beta_2, t)) / (1 - pow(s->p->beta_1, t));
}

static ml_status adam_move(void *solver, const ml__mlp_factors *x)
{
    const ml__mlp_solver *s = solver;
    ml__adam step = {s->rate, s->p->beta_1, s->p->beta_2, s->p->epsilon, x->penalty};
    float *m = s->vectors[0] + (x->W - s->theta), *v = s->vectors[1] + (x->W - s->theta);
    const size_t n_W = x->n_in * x->n_out;
    ml_status st;

    ML__TRY(ml__product_adam_tn_f32(&s->crew, x->n_in, x->n_out, x->m, x->A, x->n_in, x->D, x->n_out, &step, x->W, m, v,
                                    x->n_out));
    step.penalty = 0;
    ML__TRY(ml__product_adam_tn_f32(&s->crew, 1, x->n_out, x->m, x->ones, 1, x->D, x->n_out, &step, x->b, m + n_W,
                                    v + n_W, x->n_out));
done:
    return st;
}

static void adam_epoch_ends(ml__mlp_solver *s, double n_seen)
{
    (void)s;
    (void)n_seen;
}

static bool adam_stalled(ml__mlp_solver *s)
{
    (void)s;
    return true;
}

const ml__mlp_optimiser ml__mlp_optimisers[ML__MLP_N_OPTIMISERS] = {
    [ML__MLP_ADAM] = {2, false, adam_begin_step, adam_move, adam_epoch_ends, adam_stalled},
    [ML__MLP_SGD] = {1, true, sgd_begin_step, sgd_move, sgd_epoch_ends, sgd_stalled},
};

ml_status ml__mlp_solver_init(ml__mlp_solver *s, const ml__mlp_params *p, const ml__crew_f32 *crew,
                              const ml__mlp_shape *shape, float *theta, ml__arena *arena)
{
    size_t largest = 0;
    ml_status st = ML_OK;

    *s = (ml__mlp_solver){
        .kind = &ml__mlp_optimisers[p->solver], .p = p, .crew = *crew, .rate = p->learning_rate_init, .theta = theta};
    for (size_t l = 0; l < shape->L; l++) {
        const size_t n_layer = (shape->n[l] + 1) * shape->n[l + 1];

        largest = n_layer > largest ? n_layer : largest;
        s->n += n_layer;
    }
    for (size_t i = 0; i < s->kind->n_vectors; i++)
        ML__NEW(arena, s->vectors[i], s->n);
    if (s->kind->stores_gradient)
        ML__NEW(arena, s->g, largest);
done:
    return st;
}

ml_status ml__mlp_step(ml__mlp_solver *s, const ml__mlp_net *net, const ml__mlp_loss *loss, const ml__mlp_batch *x,
                       const ml__mlp_work *work, double *J)
{
    s->kind->begin_step(s);
    return ml__mlp_backpropagate(&s->crew, net, loss, x, work, s->kind->move, s, J);
}
