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
 *
 * Symbols  theta, g, u, m, v [n]; t steps made; eta learning rate, eta_0 learning_rate_init; mu momentum; b1, b2
 *          beta_1, beta_2. Constants are computed in double, vectors are float.
 */
#include "learn/mlp/mlp.h"

/* Below this "adaptive" gives up; scikit-learn's value. */
static const double SMALLEST_RATE = 1e-6;

static void sgd_step(ml__mlp_solver *s, const float *g, float *theta)
{
    const float mu = (float)s->p->momentum, eta = (float)s->rate;
    float *u = s->vectors[0];

    for (size_t i = 0; i < s->n; i++)
        u[i] = mu * u[i] - eta * g[i];
    if (s->p->nesterovs_momentum)
        for (size_t i = 0; i < s->n; i++)
            theta[i] += mu * u[i] - eta * g[i];
    else
        for (size_t i = 0; i < s->n; i++)
            theta[i] += u[i];
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

static void adam_step(ml__mlp_solver *s, const float *g, float *theta)
{
    const double t = (double)++s->t;
    const float b1 = (float)s->p->beta_1, c1 = (float)(1 - s->p->beta_1);
    const float b2 = (float)s->p->beta_2, c2 = (float)(1 - s->p->beta_2);
    const float epsilon = (float)s->p->epsilon;
    float *m = s->vectors[0], *v = s->vectors[1], eta;

    s->rate = s->p->learning_rate_init * sqrt(1 - pow(s->p->beta_2, t)) / (1 - pow(s->p->beta_1, t));
    eta = (float)s->rate;
    for (size_t i = 0; i < s->n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * (g[i] * g[i]);
        theta[i] -= eta * m[i] / (sqrtf(v[i]) + epsilon);
    }
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
    [ML__MLP_ADAM] = {2, adam_step, adam_epoch_ends, adam_stalled},
    [ML__MLP_SGD] = {1, sgd_step, sgd_epoch_ends, sgd_stalled},
};

ml_status ml__mlp_solver_init(ml__mlp_solver *s, const ml__mlp_params *p, size_t n, ml__arena *arena)
{
    ml_status st = ML_OK;

    *s = (ml__mlp_solver){.kind = &ml__mlp_optimisers[p->solver], .p = p, .rate = p->learning_rate_init, .n = n};
    for (size_t i = 0; i < s->kind->n_vectors; i++)
        ML__NEW(arena, s->vectors[i], n);
done:
    return st;
}
