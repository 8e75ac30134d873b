/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdaBoost of any base model: SAMME for labels, R2 for reals.
 *
 * Weights     v_i >= 0 of the rows, sum 1; they start as the sample weights
 *
 * SAMME       (Zhu, Zou, Rosset & Hastie 2009, algorithm 2)  for t = 0 .. T-1
 *                 h_t    the base fitted with weights v, or on n rows drawn with probabilities v if it takes no weights
 *                 err_t  = sum_i v_i [h_t(x_i) != y_i] / sum_i v_i
 *                 a_t    = learning_rate (log((1 - err_t) / err_t) + log(K - 1))
 *                 v_i   := v_i exp(a_t [h_t(x_i) != y_i]), then divided by their sum
 *             votes      s_k(x) = sum_t a_t [h_t(x) = k] / sum_t a_t      (the decision)
 *             shares     p(x) = softmax(s(x) / (K - 1))
 *
 * R2          (Drucker 1997, "Improving regressors using boosting techniques")
 *                 h_t    the base fitted on n rows drawn with repetition with probabilities v
 *                 L_i    = |h_t(x_i) - y_i| / D, D the largest of them; its square; or 1 - exp(-it), by `loss`
 *                 err_t  = sum_i v_i L_i,   b_t = err_t / (1 - err_t),   a_t = learning_rate log(1 / b_t)
 *                 v_i   := v_i b_t^((1 - L_i) learning_rate), then divided by their sum
 *             value      the median of the h_t(x) weighted by a_t
 *
 * Draws       row i where the running sum of v first exceeds u sum_i v_i, u uniform in [0, 1)
 * Ends        err_t = 0: kept with a_t = 1, and the loop is over (ML_STOP_CONVERGED); err_t no better than chance, which
 *             is 1 - 1/K or 1/2: the round is dropped and the loop is over (ML_STOP_EARLY), in the first round an error;
 *             sum of weights 0 or infinite, or a base that breaks down on the new weights (ML_E_NUMERIC): the rounds so
 *             far are kept (ML_STOP_EARLY)
 * As in scikit-learn weights are kept >= DBL_EPSILON, so that a row that was right for long can come back.
 * Cost        T fits of the base and T predictions of all rows
 */
#include <float.h>
#include <string.h>

#include "learn/learn.h"
#include "learn/weighted.h"

enum { LINEAR, SQUARE, EXPONENTIAL };

typedef struct {
    int64_t n_estimators, loss, random_state;
    double learning_rate;
} params;

static const ml__param PARAMS[] = {
    ML__INT(params, n_estimators, "50", ML__RANGE(1, 1e6), "most rounds"),
    ML__REAL(params, learning_rate, "1", ML__RANGE_OPEN_LOW(0, 1e6), "factor of each round's weight"),
    ML__CHOICE(params, loss, "linear", "linear|square|exponential", "of R2: how a row's error enters its new weight"),
    ML__RANDOM_STATE(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"estimator_errors", ML_FLOAT64, "t", ML__FINITE | ML__NON_NEGATIVE},
    {"estimator_weights", ML_FLOAT64, "t", ML__FINITE | ML__POSITIVE},
    {NULL, 0, NULL, 0},
};

/* ---- the base: a member, or a shallow tree ---- */

static const ml__kind *base_kind(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    return members->n ? members->items[0].model->kind : &ml__decision_tree;
}

static uint32_t base_accepts(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    return members->n ? ml__model_accepts(members->items[0].model) : base_kind(model)->accepts;
}

static uint32_t tasks_of(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    return (members->n ? ml__model_tasks(members->items[0].model) : base_kind(model)->tasks) &
           (ML__CLASSIFY | ML__REGRESS);
}

static uint32_t accepts_of(const ml_model *model)
{
    return ML__WEIGHTS | (base_accepts(model) & (ML__MISSING | ML__CATEGORIES));
}

/* scikit-learn's defaults: depth 1 for labels, 3 for reals. */
static ml_status default_base(const ml__fit *f, ml_model **out)
{
    ml_status st;

    ML__TRY(ml__model_new(f->context, &ml__decision_tree, out));
    ML__TRY(ml_model_set_int(*out, "max_depth", f->K ? 1 : 3));
done:
    return st;
}

/* ---- state of the loop ---- */

typedef struct {
    ml__fit *f;
    const params *p;
    const ml_model *base;
    ml_model *own_base; /* the default base, ours to free */
    size_t n, K;
    double *v;           /* [n] */
    bool *is_used;       /* [n] the sample weight is not 0 */
    const int32_t *y;    /* [n] labels */
    const double *z;     /* [n] targets */
    double *h;           /* [n] the round's predictions */
    double *L;           /* [n] losses: of labels 0 or 1 */
    double *running;     /* [n] sums of v */
    size_t *rows;        /* [n] drawn */
    double *err, *alpha; /* [n_estimators] */
    size_t t;            /* rounds kept */
    bool is_over;
} boosting;

static ml_status start(boosting *b)
{
    ml__fit *f = b->f;
    const double *w = ml__fit_weights(f);
    ml_status st = w ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__NEW(f->scratch, b->v, b->n);
    ML__NEW(f->scratch, b->is_used, b->n);
    ML__NEW(f->scratch, b->h, b->n);
    ML__NEW(f->scratch, b->L, b->n);
    ML__NEW(f->scratch, b->running, b->n);
    ML__NEW(f->scratch, b->rows, b->n);
    ML__NEW(f->scratch, b->err, (size_t)b->p->n_estimators);
    ML__NEW(f->scratch, b->alpha, (size_t)b->p->n_estimators);
    if (b->K)
        b->y = ml__fit_labels(f, 0);
    else
        b->z = ml__fit_targets(f);
    ML__TRY(b->y || b->z ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < b->n; i++) {
        b->v[i] = w[i];
        b->is_used[i] = w[i] > 0;
    }
    if (!f->model->members.n)
        ML__TRY(default_base(f, &b->own_base));
    b->base = b->own_base ? b->own_base : f->model->members.items[0].model;
done:
    return st;
}

/* ---- weights ---- */

/* Divide the weights by their sum and keep them above rounding; false when that is not possible. */
static bool normalise(boosting *b)
{
    double sum = 0;

    for (size_t i = 0; i < b->n; i++)
        sum += b->v[i];
    if (!isfinite(sum) || !(sum > 0))
        return false;
    for (size_t i = 0; i < b->n; i++)
        b->v[i] = b->is_used[i] ? fmax(b->v[i] / sum, DBL_EPSILON) : 0;
    return true;
}

static void draw_rows(boosting *b)
{
    ml__rng rng = ml__rng_make(ml__seed_mix(b->f->seed, b->t), 0);
    double sum = 0;

    for (size_t i = 0; i < b->n; i++)
        b->running[i] = sum += b->v[i];
    for (size_t i = 0; i < b->n; i++) {
        const double target = ml__rng_uniform(&rng) * sum;
        size_t low = 0, high = b->n - 1; /* the first row whose running sum exceeds the target */
        while (low < high) {
            const size_t middle = low + (high - low) / 2;
            if (b->running[middle] > target)
                high = middle;
            else
                low = middle + 1;
        }
        b->rows[i] = low;
    }
}

/* ---- one round ---- */

/* What the base is fitted on: the rows with weights v, or a sample drawn by them. */
static ml_status round_data(boosting *b, ml_dataset **out)
{
    ml_dataset *drawn = NULL;
    ml_status st;

    if (b->K && (ml__model_accepts(b->base) & ML__WEIGHTS))
        return ml__dataset_reweight(b->f->data, b->v, out);
    draw_rows(b);
    ML__TRY(ml_dataset_subset(b->f->data, b->rows, b->n, &drawn));
    ML__TRY(ml__dataset_reweight(drawn, NULL, out));
done:
    ml_dataset_free(drawn);
    return st;
}

static ml_status fit_base(boosting *b, ml_model **fitted)
{
    ml_dataset *data = NULL;
    char name[32];
    ml_status st;

    (void)ml__format(name, sizeof name, "round %zu", b->t);
    ML__TRY(round_data(b, &data));
    ML__TRY(ml__fit_member(b->f, b->base, name, b->t, data, fitted));
    ML__TRY(ml__model_apply(*fitted, ML_PREDICT, b->f->data, b->h, b->n));
done:
    ml_dataset_free(data);
    return st;
}

static double mean_loss(const boosting *b)
{
    double sum = 0, v = 0;

    for (size_t i = 0; i < b->n; i++) {
        sum += b->v[i] * b->L[i];
        v += b->v[i];
    }
    return sum / v;
}

/* SAMME */
static double samme_losses(boosting *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->L[i] = b->h[i] != b->y[i];
    return mean_loss(b);
}

static void samme_update(boosting *b, double err, double *alpha)
{
    *alpha = b->p->learning_rate * (log((1 - err) / err) + log((double)b->K - 1));
    for (size_t i = 0; i < b->n; i++)
        if (b->L[i] != 0 && b->v[i] > 0)
            b->v[i] = exp(log(b->v[i]) + *alpha);
}

/* R2; rows of no weight have no say in the largest error either */
static double r2_losses(boosting *b)
{
    double largest = 0;

    for (size_t i = 0; i < b->n; i++) {
        b->L[i] = b->is_used[i] ? fabs(b->h[i] - b->z[i]) : 0;
        largest = fmax(largest, b->L[i]);
    }
    for (size_t i = 0; i < b->n && largest > 0; i++) {
        b->L[i] /= largest;
        if (b->p->loss == SQUARE)
            b->L[i] *= b->L[i];
        else if (b->p->loss == EXPONENTIAL)
            b->L[i] = 1 - exp(-b->L[i]);
    }
    return mean_loss(b);
}

static void r2_update(boosting *b, double err, double *alpha)
{
    const double beta = err / (1 - err);

    *alpha = b->p->learning_rate * log(1 / beta);
    for (size_t i = 0; i < b->n; i++)
        b->v[i] *= pow(beta, (1 - b->L[i]) * b->p->learning_rate);
}

/* Error of the predictions, weight of the round, new row weights; *keep: the round helps. */
static ml_status judge(boosting *b, bool *keep)
{
    const double err = b->K ? samme_losses(b) : r2_losses(b);
    const double chance = b->K ? 1 - 1 / (double)b->K : 0.5;
    double *alpha = &b->alpha[b->t];

    if (!isfinite(err))
        return ml__fail(ML_E_NUMERIC, "adaboost: the error of round %zu is not finite", b->t);
    *keep = true;
    b->err[b->t] = err;
    if (err <= 0) {
        *alpha = 1;
        b->is_over = true;
        b->f->learned->stop_reason = ML_STOP_CONVERGED;
        return ML_OK;
    }
    *alpha = 0;
    if (err < chance)
        (b->K ? samme_update : r2_update)(b, err, alpha);
    if (*alpha > 0)
        return ML_OK;
    *keep = false;
    b->is_over = true;
    b->f->learned->stop_reason = ML_STOP_EARLY;
    if (!b->t)
        return ml__fail(ML_E_NUMERIC, "adaboost: the first %s is no better than chance: error %g, to be below %g",
                        b->base->kind->name, err, chance);
    return ML_OK;
}

/* Did the base break down after rounds that are worth keeping? Then the loop is over. */
static bool breaks_down(boosting *b, ml_status st)
{
    if (st != ML_E_NUMERIC || !b->t)
        return false;
    ml__log(b->f->context, ML_LOG_WARNING, "adaboost: ended after %zu rounds: %s", b->t, ml_last_error());
    b->is_over = true;
    b->f->learned->stop_reason = ML_STOP_EARLY;
    return true;
}

static ml_status boost_once(boosting *b)
{
    ml_model *fitted = NULL;
    char name[32];
    bool keep;
    ml_status st;

    st = fit_base(b, &fitted);
    if (breaks_down(b, st)) {
        st = ML_OK;
        goto done;
    }
    ML__TRY(st);
    if (fitted->learned->stop_reason == ML_STOP_DEADLINE) /* the last round's base may be what was cut short */
        b->f->learned->stop_reason = ML_STOP_DEADLINE;
    ML__TRY(judge(b, &keep));
    if (keep) {
        ml_model *adopted = fitted;
        fitted = NULL;
        (void)ml__format(name, sizeof name, "%zu", b->t);
        ML__TRY(ml__fit_adopt(b->f, name, adopted, ML_AUTO_WEIGHT));
        b->t++;
    }
done:
    ml_model_free(fitted);
    return st;
}

/* ---- fit ---- */

static ml_status boost(boosting *b)
{
    const size_t T = (size_t)b->p->n_estimators;
    ml_status st = ML_OK;

    while (!b->is_over && b->t < T) {
        if (!normalise(b)) {
            b->f->learned->stop_reason = ML_STOP_EARLY;
            break;
        }
        ML__TRY(boost_once(b));
        ML__TRY(ml__fit_step(b->f, b->t, T, "error", b->t ? b->err[b->t - 1] : NAN));
        if (!b->is_over && b->t < T && ml__fit_late(b->f)) {
            b->f->learned->stop_reason = ML_STOP_DEADLINE;
            break;
        }
    }
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    boosting b = {.f = f, .p = f->params, .n = f->n, .K = f->K};
    double *weights, *errors;
    ml_status st;

    ML__TRY(start(&b));
    ML__TRY(boost(&b));
    ML__PUBLISH(f, errors, "estimator_errors", ML_FLOAT64, b.t);
    ML__PUBLISH(f, weights, "estimator_weights", ML_FLOAT64, b.t);
    memcpy(errors, b.err, b.t * sizeof *errors);
    memcpy(weights, b.alpha, b.t * sizeof *weights);
done:
    ml_model_free(b.own_base);
    return st;
}

/* ---- fitted ---- */

typedef struct {
    size_t T, K;
    const double *alpha; /* [T] */
    double alpha_sum;
} state;

static ml_status check_member(const ml__learned *learned, const ml__member *member, size_t t)
{
    const ml__learned *theirs = member->model->learned;
    ml_status st = ML_OK;

    ML__CHECK(theirs, ML_E_FORMAT, "adaboost: member %zu is not fitted", t);
    ML__CHECK(theirs->task == learned->task, ML_E_FORMAT, "adaboost: member %zu has learned another task", t);
    ML__CHECK(theirs->schema.n_features == learned->schema.n_features, ML_E_FORMAT,
              "adaboost: member %zu has %zu features, expected %zu", t, theirs->schema.n_features,
              learned->schema.n_features);
    ML__CHECK(theirs->schema.n_outputs == 1 &&
                  theirs->schema.outputs[0].n_classes == learned->schema.outputs[0].n_classes,
              ML_E_FORMAT, "adaboost: member %zu has other classes", t);
    ML__CHECK(ml_model_width(member->model, ML_PREDICT) == 1, ML_E_FORMAT, "adaboost: member %zu does not predict", t);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *weights = ml__learned_find(learned, "estimator_weights");
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    s->T = (size_t)weights->shape[0];
    s->K = learned->schema.outputs[0].n_classes;
    s->alpha = weights->data;
    ML__CHECK(s->T >= 1 && s->T == learned->members.n, ML_E_FORMAT,
              "tensor 'estimator_weights' has %zu elements for %zu members", s->T, learned->members.n);
    ML__CHECK(learned->schema.n_outputs == 1, ML_E_FORMAT, "adaboost: %zu outputs, expected 1",
              learned->schema.n_outputs);
    for (size_t t = 0; t < s->T; t++) {
        ML__TRY(check_member(learned, &learned->members.items[t], t));
        s->alpha_sum += s->alpha[t];
    }
    ML__CHECK(isfinite(s->alpha_sum), ML_E_FORMAT, "tensor 'estimator_weights': the sum is not finite");
    learned->state = s;
done:
    return st;
}

static ml_status decision(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *h = ml__scratch_take(&scratch, x->n, sizeof *h);
    ml_status st = h ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    for (size_t at = 0; at < x->n * s->K; at++)
        out[at] = 0;
    for (size_t t = 0; t < s->T; t++) {
        ML__TRY(ml__evaluate(model->learned->members.items[t].model, ML_PREDICT, x->f64, x->n, h, scratch));
        for (size_t i = 0; i < x->n; i++)
            out[i * s->K + (size_t)h[i]] += s->alpha[t];
    }
    for (size_t at = 0; at < x->n * s->K; at++)
        out[at] /= s->alpha_sum;
done:
    return st;
}

/* Votes to shares, in place. The winner of the votes stays the first of the largest even where exp rounds two to one. */
static void votes_to_shares(double *p, size_t K)
{
    const size_t winner = ml__arg_max(p, K);
    const double most = p[winner], scale = K > 1 ? 1 / (double)(K - 1) : 1;
    double sum = 0;

    for (size_t k = 0; k < K; k++)
        sum += p[k] = exp((p[k] - most) * scale);
    for (size_t k = 0; k < K; k++)
        p[k] /= sum;
    if (ml__arg_max(p, K) != winner)
        p[winner] = nextafter(p[winner], INFINITY);
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t K = ((const state *)model->learned->state)->K;
    ml_status st;

    ML__TRY(decision(model, x, out, scratch));
    for (size_t i = 0; i < x->n; i++)
        votes_to_shares(out + i * K, K);
done:
    return st;
}

/* The smallest value at which the weights reach half of their sum. */
static double weighted_median(ml__weighted *items, size_t n)
{
    double sum = 0, running = 0;

    ml__weighted_sort(items, n);
    for (size_t t = 0; t < n; t++)
        sum += items[t].weight;
    for (size_t t = 0; t < n; t++)
        if ((running += items[t].weight) >= 0.5 * sum)
            return items[t].value;
    return items[n - 1].value;
}

static ml_status values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *h = ml__scratch_take(&scratch, x->n * s->T, sizeof *h); /* [T x n] */
    ml__weighted *items = ml__scratch_take(&scratch, s->T, sizeof *items);
    ml_status st = h && items ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    for (size_t t = 0; t < s->T; t++)
        ML__TRY(ml__evaluate(model->learned->members.items[t].model, ML_PREDICT, x->f64, x->n, h + t * x->n, scratch));
    for (size_t i = 0; i < x->n; i++) {
        for (size_t t = 0; t < s->T; t++)
            items[t] = (ml__weighted){h[t * x->n + i], s->alpha[t]};
        out[i] = weighted_median(items, s->T);
    }
done:
    return st;
}

static size_t scratch(const ml_model *model, size_t n)
{
    const ml__members *members = &model->learned->members;

    return ml__members_scratch(members, n) + ml__scratch_bytes(n * members->n, sizeof(double)) +
           ml__scratch_bytes(members->n, sizeof(ml__weighted));
}

const ml__kind ml__adaboost = {
    .name = "adaboost",
    .doc = "AdaBoost of any model: SAMME for labels, R2 for reals; base: a tree of depth 1 or 3",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .min_members = 0,
    .max_members = 1,
    .fit = fit,
    .prepare = prepare,
    .proba = proba,
    .values = values,
    .decision = decision,
    .scratch = scratch,
    .tasks_of = tasks_of,
    .accepts_of = accepts_of,
};
