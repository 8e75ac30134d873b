/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdaBoost of any base model: SAMME or SAMME.R for labels, R2 for reals.
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
 * SAMME.R     (the same, algorithm 4)  members have class probabilities p_t, at least DBL_EPSILON;  a_t = 1
 *                 h_tk   = (K - 1) (log p_tk - 1/K sum_l log p_tl)
 *                 v_i   := v_i exp(-learning_rate (K - 1)/K (log p_ty(x_i) - 1/(K - 1) sum_{k != y} log p_tk(x_i))),
 *                          then divided by their sum;  a round no better than chance is as good as any other
 *             decision   s_k(x) = sum_t h_tk(x) / sum_t a_t, and shares as above
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
 *
 * Trees       whose parameters but max_depth and random_state are the defaults are grown, for labels, from codes that are
 *             made once; weights are whole numbers there, the least of them 2^-52 to 2^-60 of their sum (coded.c)
 * Cost        T fits of the base and T predictions of all rows; of such trees T n d depth additions
 */
#include <float.h>
#include <string.h>

#include "learn/boost/boost.h"
#include "learn/boost/coded.h"

enum { LINEAR, SQUARE, EXPONENTIAL };
enum { SAMME, SAMME_R };

typedef struct {
    int64_t n_estimators, algorithm, loss, max_bins, random_state;
    double learning_rate;
} params;

static const ml__param PARAMS[] = {
    ML__INT(params, n_estimators, "50", ML__RANGE(1, 1e6), "most rounds"),
    ML__REAL(params, learning_rate, "1", ML__RANGE_OPEN_LOW(0, 1e6), "factor of each round's weight"),
    ML__CHOICE(params, algorithm, "samme", "samme|samme_r",
               "of labels: members vote for a class, or by the logarithms of their class probabilities"),
    ML__CHOICE(params, loss, "linear", "linear|square|exponential", "of R2: how a row's error enters its new weight"),
    ML__INT(
        params, max_bins, "255", ML__RANGE(0, 255),
        "of labels by plain trees: features with more values are cut, once, into so many parts of about equally many "
        "rows; 0: never"),
    ML__RANDOM_STATE(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"estimator_errors", ML_FLOAT64, "t", ML__FINITE | ML__NON_NEGATIVE},
    {"estimator_weights", ML_FLOAT64, "t", ML__FINITE | ML__POSITIVE},
    {"votes_by_probability", ML_INT32, "1", ML__ANY | ML__OPTIONAL}, /* of SAMME.R */
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
    double *P;           /* [n x K] its class probabilities, of SAMME.R; else NULL */
    double *L;           /* [n] losses: of labels 0 or 1 */
    double *running;     /* [n] sums of v */
    size_t *rows;        /* [n] drawn */
    size_t *first_row;   /* [n + 1] that a number of each part of [0, 1) can draw */
    double *err, *alpha; /* [n_estimators] */
    size_t t;            /* rounds kept */
    bool is_over;
    bool by_probability; /* SAMME.R */
    ml__coded *coded;    /* the trees and the weights, or NULL: then they are `base` and v */
} boosting;

static ml_status choose_base(boosting *b)
{
    ml_status st = ML_OK;

    if (!b->f->model->members.n)
        ML__TRY(default_base(b->f, &b->own_base));
    b->base = b->own_base ? b->own_base : b->f->model->members.items[0].model;
done:
    return st;
}

static ml_status start_coded(boosting *b, const double *w)
{
    const double K = (double)b->K, power = b->by_probability ? b->p->learning_rate * (K - 1) / K : 0;
    ml_status st;

    ML__TRY(ml__fit_check_member(b->f, b->base, "round 0"));
    ML__TRY(ml__coded_create(b->f, b->base->params, (size_t)b->p->max_bins, w, power, &b->coded));
done:
    return st;
}

static ml_status start_general(boosting *b, const double *w)
{
    ml__fit *f = b->f;
    size_t n_values;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, b->v, b->n);
    ML__NEW(f->scratch, b->is_used, b->n);
    ML__NEW(f->scratch, b->h, b->n);
    ML__NEW(f->scratch, b->L, b->n);
    ML__NEW(f->scratch, b->running, b->n);
    ML__NEW(f->scratch, b->rows, b->n);
    ML__NEW(f->scratch, b->first_row, b->n + 1);
    if (b->by_probability) {
        ML__CHECK(ml__size_mul(b->n, b->K, &n_values), ML_E_MEMORY, "%zu x %zu values do not fit in memory", b->n,
                  b->K);
        ML__NEW(f->scratch, b->P, n_values);
    }
    if (b->K)
        b->y = ml__fit_labels(f, 0);
    else
        b->z = ml__fit_targets(f);
    ML__TRY(b->y || b->z ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < b->n; i++) {
        b->v[i] = w[i];
        b->is_used[i] = w[i] > 0;
    }
done:
    return st;
}

static ml_status start(boosting *b)
{
    const double *w = ml__fit_weights(b->f);
    bool coded = false;
    ml_status st = w ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__NEW(b->f->scratch, b->err, (size_t)b->p->n_estimators);
    ML__NEW(b->f->scratch, b->alpha, (size_t)b->p->n_estimators);
    ML__TRY(choose_base(b));
    b->by_probability = b->K && b->p->algorithm == SAMME_R;
    if (b->base->kind == &ml__decision_tree)
        ML__TRY(ml__coded_serves(b->f, b->base, (size_t)b->p->max_bins, &coded));
    ML__TRY(coded ? start_coded(b, w) : start_general(b, w));
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

/* The weights of the next round; *possible: there are some. */
static ml_status renew_weights(boosting *b, bool *possible)
{
    *possible = true;
    if (!b->coded)
        *possible = normalise(b);
    else if (b->t)
        return ml__coded_reweight(b->coded, exp(b->alpha[b->t - 1]), possible);
    return ML_OK;
}

/* The first row whose running sum exceeds the target, looked for from `row` on, which is not behind it. */
static size_t find_row(const boosting *b, size_t row, double target)
{
    while (row + 1 < b->n && !(b->running[row] > target))
        row++;
    return row;
}

/* Draws fall into n equal parts of the sum; where the search for one begins depends on its part. */
static void draw_rows(boosting *b)
{
    ml__rng rng = ml__rng_make(ml__seed_mix(b->f->seed, b->t), 0);
    double sum = 0;
    size_t row = 0;

    for (size_t i = 0; i < b->n; i++)
        b->running[i] = sum += b->v[i];
    for (size_t part = 0; part <= b->n; part++) /* u n may be rounded to n */
        b->first_row[part] = row = find_row(b, row, (double)part / (double)b->n * sum * (1 - 4 * DBL_EPSILON));
    for (size_t i = 0; i < b->n; i++) {
        const double u = ml__rng_uniform(&rng);
        b->rows[i] = find_row(b, b->first_row[(size_t)(u * (double)b->n)], u * sum);
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

static ml_status publish_tree(ml__fit *f, void *tree)
{
    ml__arena nothing;
    ml_status st;

    ml__arena_init(&nothing, f->context);
    ML__TRY(ml__importances_publish(f, tree, 1));
    ML__TRY(ml__trees_publish(f, f->K, 1, tree, &nothing));
done:
    return st;
}

static ml_status grow_tree(boosting *b, ml_model **fitted, double *err)
{
    ml__arena arena;
    ml__tree tree = {0};
    ml_status st;

    ml__arena_init(&arena, b->f->context);
    ML__TRY(ml__coded_grow(b->coded, &arena, &tree, err));
    ML__TRY(ml__fit_member_by(b->f, b->base, publish_tree, &tree, fitted));
done:
    ml__arena_free(&arena);
    return st;
}

static ml_status predict_rows(boosting *b, const ml_model *fitted)
{
    ml_status st;

    if (!b->by_probability)
        return ml__model_apply(fitted, ML_PREDICT, b->f->data, b->h, b->n);
    ML__TRY(ml__model_apply(fitted, ML_PREDICT_PROBA, b->f->data, b->P, b->n * b->K));
    for (size_t i = 0; i < b->n; i++)
        b->h[i] = (double)ml__arg_max(b->P + i * b->K, b->K);
done:
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
    ML__TRY(predict_rows(b, *fitted));
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

static void samme_update(boosting *b, double alpha)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->L[i] != 0 && b->v[i] > 0)
            b->v[i] = exp(log(b->v[i]) + alpha);
}

/* SAMME.R */
static void samme_r_update(boosting *b)
{
    const double K = (double)b->K, scale = b->p->learning_rate * (K - 1) / K;

    for (size_t i = 0; i < b->n; i++) {
        const double *p = b->P + i * b->K;
        double own = 0, others = 0;

        for (size_t k = 0; k < b->K; k++)
            *((int32_t)k == b->y[i] ? &own : &others) += log(fmax(p[k], DBL_EPSILON));
        b->v[i] *= exp(-scale * (own - others / (K - 1)));
    }
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

static void r2_update(boosting *b, double err)
{
    const double beta = err / (1 - err);

    for (size_t i = 0; i < b->n; i++)
        b->v[i] *= pow(beta, (1 - b->L[i]) * b->p->learning_rate);
}

static double weight_of_round(const boosting *b, double err)
{
    const double odds = b->K ? log((1 - err) / err) + log((double)b->K - 1) : -log(err / (1 - err));

    return b->p->learning_rate * odds;
}

/* Weight of a round with this error; *keep: the round helps. */
static ml_status judge(boosting *b, double err, bool *keep)
{
    const double chance = b->K ? 1 - 1 / (double)b->K : 0.5;
    double *alpha = &b->alpha[b->t];

    if (!isfinite(err))
        return ml__fail(ML_E_NUMERIC, "adaboost: the error of round %zu is not finite", b->t);
    b->err[b->t] = err;
    *alpha = err <= 0 || b->by_probability ? 1 : err < chance ? weight_of_round(b, err) : 0;
    *keep = *alpha > 0;
    b->is_over = err <= 0 || !*keep;
    if (b->is_over)
        b->f->learned->stop_reason = *keep ? ML_STOP_CONVERGED : ML_STOP_EARLY;
    if (!*keep && !b->t)
        return ml__fail(ML_E_NUMERIC, "adaboost: the first %s is no better than chance: error %g, to be below %g",
                        b->base->kind->name, err, chance);
    return ML_OK;
}

/* The round's error by the predictions h, and what follows from it for the weights. */
static ml_status judge_predictions(boosting *b, bool *keep)
{
    const double err = b->K ? samme_losses(b) : r2_losses(b);
    const ml_status st = judge(b, err, keep);

    if (st != ML_OK || b->is_over)
        return st;
    if (b->by_probability)
        samme_r_update(b);
    else if (b->K)
        samme_update(b, b->alpha[b->t]);
    else
        r2_update(b, err);
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

/* Fit the round's base and judge it; *fitted stays NULL when the loop is over instead. */
static ml_status fit_round(boosting *b, ml_model **fitted, bool *keep)
{
    double err;
    ml_status st;

    if (b->coded) {
        ML__TRY(grow_tree(b, fitted, &err));
        return judge(b, err, keep);
    }
    st = fit_base(b, fitted);
    if (breaks_down(b, st))
        return ML_OK;
    ML__TRY(st);
    if (ml__was_cut((*fitted)->learned)) /* the last round's base may be what was cut short */
        b->f->learned->stop_reason = ML_STOP_DEADLINE;
    ML__TRY(judge_predictions(b, keep));
done:
    return st;
}

static ml_status boost_once(boosting *b)
{
    ml_model *fitted = NULL, *adopted;
    char name[32];
    bool keep = false;
    ml_status st;

    ML__TRY(fit_round(b, &fitted, &keep));
    if (keep) {
        adopted = fitted;
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
    bool possible;
    ml_status st = ML_OK;

    while (!b->is_over && b->t < T) {
        ML__TRY(renew_weights(b, &possible));
        if (!possible) {
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
    int32_t *by_probability;
    ml_status st;

    ML__TRY(start(&b));
    ML__TRY(boost(&b));
    ML__PUBLISH(f, errors, "estimator_errors", ML_FLOAT64, b.t);
    ML__PUBLISH(f, weights, "estimator_weights", ML_FLOAT64, b.t);
    if (b.by_probability) {
        ML__PUBLISH(f, by_probability, "votes_by_probability", ML_INT32, 1);
        *by_probability = 1;
    }
    memcpy(errors, b.err, b.t * sizeof *errors);
    memcpy(weights, b.alpha, b.t * sizeof *weights);
done:
    ml_model_free(b.own_base);
    return st;
}

const ml__kind ml__adaboost = {
    .name = "adaboost",
    .doc = "AdaBoost of any model: SAMME or SAMME.R for labels, R2 for reals; base: a tree of depth 1 or 3",
    .tasks = ML__CLASSIFY | ML__REGRESS,
    .accepts = ML__WEIGHTS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .min_members = 0,
    .max_members = 1,
    .fit = fit,
    .prepare = ml__boost_prepare,
    .proba = ml__boost_proba,
    .values = ml__boost_values,
    .decision = ml__boost_decision,
    .scratch = ml__boost_scratch,
    .n_stages = ml__boost_n_stages,
    .staged = ml__boost_staged,
    .tasks_of = tasks_of,
    .accepts_of = accepts_of,
};
