/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training by L-BFGS: the objective over all rows and its gradient, in double, block by block of rows.
 *
 *     F(theta) = Σ_blocks J_block,  the rows' shares being w_i / W with W of all rows, the penalties counted once
 *
 * Converged when no |dF/dtheta| exceeds tol, as scikit-learn's. Clock and monitor are looked at between blocks; an evaluation
 * that they end counts for nothing, theta is then that of the last iteration.
 * Memory: the rows and 27 vectors of theta in double.
 */
#include <string.h>

#include "learn/lbfgs.h"
#include "learn/mlp/layered.h"

enum { BLOCK = 512 }; /* rows at a time: outputs of usual layers stay in the cache */

typedef struct searcher {
    ml__fit *f;
    ml__lbfgs *search;
    const ml__mlp_params *p;
    const ml__mlp_rows *rows;
    ml__crew_f64 crew;
    ml__mlp64_net net;
    ml__mlp64_objective objective;
    ml__mlp64_work work;
    double *X, *target, *share;                   /* a block of rows */
    double *theta, *g;                            /* where the net's weights are; the gradient */
    size_t n_theta, n_evaluations, n_before_step; /* evaluations; n_before_step: up to the last iteration */
    size_t n_before;                              /* iterations of fits before */
    double *curve;                                /* n_before + max_iter */
} searcher;

/* ---- the objective ---- */

static ml_status add_gradient(void *user, const ml__mlp64_factors *layer)
{
    const searcher *s = user;

    return ml__mlp64_add_gradient(&s->crew, layer, s->g + (layer->W - s->theta), s->g + (layer->b - s->theta));
}

static ml__mlp64_batch read_block(const searcher *s, size_t first, size_t m)
{
    const ml__mlp_rows *r = s->rows;
    const double W = first ? INFINITY : r->W; /* penalties with the first block only */

    for (size_t i = 0; i < m * r->d; i++)
        s->X[i] = (double)r->X[first * r->d + i];
    for (size_t i = 0; i < m * r->n_targets; i++)
        s->target[i] = (double)r->target[first * r->n_targets + i];
    for (size_t i = 0; i < m; i++)
        s->share[i] = r->w[first + i] / r->W;
    return (ml__mlp64_batch){.m = m,
                             .X = s->X,
                             .label = r->n_labels ? r->label + first * r->n_labels : NULL,
                             .target = s->target,
                             .share = s->share,
                             .penalty = s->p->alpha / W,
                             .penalty_1 = s->p->l1 / W};
}

/* Whether an evaluation shall end before the block at `first`. The first one of an iteration has at least a block: its time
 * was looked at after the iteration before. */
static bool is_late(const searcher *s, size_t first)
{
    return (first || s->n_evaluations > s->n_before_step + 1) && ml__fit_late(s->f);
}

static ml_status evaluate(void *argument, const double *x, double *value, double *gradient)
{
    searcher *s = argument;
    ml_status st = ML_OK;

    s->search->stop = s->n_evaluations == (size_t)s->p->max_fun;
    if (s->search->stop)
        return ML_OK;
    s->n_evaluations++;
    s->g = gradient;
    memcpy(s->theta, x, s->n_theta * sizeof *x);
    memset(gradient, 0, s->n_theta * sizeof *gradient);
    *value = 0;
    for (size_t first = 0; first < s->rows->n; first += BLOCK) {
        const size_t m = s->rows->n - first < BLOCK ? s->rows->n - first : BLOCK;
        const ml__mlp64_batch block = read_block(s, first, m);
        double J;

        s->search->stop = is_late(s, first);
        if (s->search->stop)
            return ML_OK;
        ML__TRY(ml__mlp64_backpropagate(&s->crew, &s->net, &s->objective, &block, &s->work, add_gradient, s, &J));
        *value += J;
        ML__TRY(ml__fit_poll(s->f, s->search->n_iter, (uint64_t)s->p->max_iter));
    }
done:
    return st;
}

static ml_status step(void *argument, size_t iteration, double value, bool *stop)
{
    searcher *s = argument;
    const ml_status st = ml__fit_step(s->f, iteration, (uint64_t)s->p->max_iter, "loss", value);

    s->curve[s->n_before + iteration - 1] = value;
    s->n_before_step = s->n_evaluations;
    *stop = ml__fit_late(s->f);
    return st;
}

/* ---- preparation ---- */

static ml_status copy_heads(searcher *s, const ml__mlp_objective *from)
{
    ml__mlp64_head *heads;
    double *scale;
    ml_status st = ML_OK;

    ML__NEW(s->f->scratch, heads, from->n_heads);
    for (size_t i = 0; i < from->n_heads; i++) {
        const ml__mlp_head *h = from->heads + i;
        /* a binary head has one column and two classes */
        const size_t n_scale = h->is_label && h->n == 1 ? s->f->schema->outputs[h->output].n_classes : h->n;

        ML__NEW(s->f->scratch, scale, n_scale);
        for (size_t k = 0; k < n_scale; k++)
            scale[k] = (double)h->scale[k];
        heads[i] = (ml__mlp64_head){.loss = h->loss,
                                    .is_label = h->is_label,
                                    .is_logistic = h->is_logistic,
                                    .is_uniform = h->is_uniform,
                                    .output = h->output,
                                    .first = h->first,
                                    .n = h->n,
                                    .column = h->column,
                                    .scale = scale,
                                    .huber_delta = (double)h->huber_delta};
    }
    s->objective = (ml__mlp64_objective){.n_heads = from->n_heads,
                                         .n_labels = from->n_labels,
                                         .n_targets = from->n_targets,
                                         .heads = heads,
                                         .code = from->code,
                                         .complexity = from->complexity,
                                         .first_trained = from->first_trained};
done:
    return st;
}

static ml_status plan_block(searcher *s)
{
    ml__arena *arena = s->f->scratch;
    const size_t m = s->rows->n < BLOCK ? s->rows->n : BLOCK;
    ml_status st;

    ML__TRY(ml__mlp64_work_init(&s->net, m, arena, &s->work));
    ML__NEW_MATRIX(arena, s->X, m, s->rows->d);
    ML__NEW_MATRIX(arena, s->target, m, s->rows->n_targets);
    ML__NEW(arena, s->share, m);
done:
    return st;
}

/* What it does without, said aloud. */
static void warn(const ml__fit *f)
{
    const ml__mlp_params *p = f->params;
    const struct {
        bool is_set;
        const char *name;
    } ignored[] = {{f->validation != NULL, "the validation data"},
                   {p->early_stopping, "early_stopping"},
                   {p->learning_rate != ML__MLP_CONSTANT, "learning_rate"},
                   {p->warmup_epochs > 0, "warmup_epochs"}};

    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (ignored[i].is_set)
            ml__log(f->context, ML_LOG_WARNING, "%s: solver lbfgs does not use %s", f->model->kind->name,
                    ignored[i].name);
}

/* Why it ended: a deadline, the monitor, or max_fun all stop it in the same way. */
static int32_t reason_of(const searcher *s)
{
    const bool is_exhausted = s->n_evaluations >= (size_t)s->p->max_fun && !ml__fit_late(s->f);
    const int32_t reason = s->search->stop_reason;

    if (reason == ML_STOP_MAX_ITER || (reason == ML_STOP_DEADLINE && is_exhausted)) {
        ml__log(s->f->context, ML_LOG_WARNING,
                "%s: max_%s = %lld were not enough to converge: %zu iterations, %zu evaluations",
                s->f->model->kind->name, reason == ML_STOP_MAX_ITER ? "iter" : "fun",
                (long long)(reason == ML_STOP_MAX_ITER ? s->p->max_iter : s->p->max_fun), s->search->n_iter,
                s->n_evaluations);
        return ML_STOP_MAX_ITER;
    }
    return reason;
}

ml_status ml__mlp_search(ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *rows,
                         const ml__mlp_objective *objective, ml__mlp_trained *out)
{
    searcher s = {.f = f,
                  .p = f->params,
                  .rows = rows,
                  .n_before_step = 1, /* the start */
                  .n_before = ml__mlp_epochs_before(f, plan),
                  .crew = {&ml__kernels_best()->f64, f->context},
                  .net = {.shape = out->net.shape}};
    ml__lbfgs search = {
        .tol = s.p->tol, .max_iter = (size_t)s.p->max_iter, .objective = evaluate, .step = step, .argument = &s};
    float *theta = out->net.W[0];
    double *x;
    ml_status st;

    ML__CHECK(!plan->is_partial, ML_E_PARAMETER,
              "%s: solver lbfgs needs all rows at once and cannot learn on with more", f->model->kind->name);
    warn(f);
    s.search = &search;
    memcpy(s.net.f, out->net.f, sizeof s.net.f);
    ML__TRY(copy_heads(&s, objective));
    ML__TRY(plan_block(&s));
    ML__TRY(ml__mlp_plan_curve(f, plan, "loss_curve", s.n_before + (size_t)s.p->max_iter, true, &s.curve));
    ML__TRY(ml__mlp_theta_length(&s.net.shape, &s.n_theta));
    ML__NEW(f->scratch, s.theta, s.n_theta);
    ML__NEW(f->scratch, x, s.n_theta);
    ml__mlp64_net_bind(&s.net, s.theta);
    for (size_t i = 0; i < s.n_theta; i++)
        x[i] = (double)theta[i];
    search.n = s.n_theta;
    st = ml__lbfgs_minimise(f->scratch, &search, x);
    if (st == ML_E_NUMERIC)
        (void)ml__blame(st, "%s: solver lbfgs: ", f->model->kind->name);
    ML__TRY(st);
    for (size_t i = 0; i < s.n_theta; i++)
        theta[i] = (float)x[i];
    f->learned->stop_reason = reason_of(&s);
    out->n_epochs = s.n_before + search.n_iter;
    out->loss_curve = s.curve;
done:
    return st;
}
