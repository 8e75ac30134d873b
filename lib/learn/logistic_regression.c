/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multinomial logistic regression with an L2 penalty.
 *
 * Model       p(y = k | x) = exp(z_k) / sum_l exp(z_l),  z_k = b_k + coef_k . x
 * Objective   C sum_i w_i loss_i + 1/2 ||coef||_F^2,  loss_i = -log p(y_i | x_i); the intercept b is not penalised
 *             (scikit-learn's multinomial LogisticRegression, also for K = 2)
 * Scaling     the search runs on v_kj = t_j coef_kj and standardised u_ij = (x_ij - m_j) / t_j, m the mean (0 without
 *             intercept), t_j^2 = var_j (about m) + 4 / (C W): the diagonal of the Hessian is then about the same for
 *             all variables, so neither the units of features nor C slow it down. The minimum is the same: coef = v /
 *             t, b = b_v - coef m.
 * Minimised   F(v, b) = (1/W) sum_i w_i loss_i + 1 / (2 C W) sum_kj (v_kj / t_j)^2
 *             dF/dv_k = (1/W) sum_i w_i (p_ik - [y_i = k]) u_i + v_k / (C W t^2)     dF/db_k: the same with u = 1
 *             by L-BFGS from 0 (lbfgs.c) until max |dF/dv|, |dF/db| <= tol: the gradient per row of standardised
 *             features
 *
 * Symbols     n rows, d features, K classes;  i row, j feature, k class;  w row weights, W their sum
 *             U [n x d] standardised rows, V [K x d], b [K], both in the vector of variables one after the other; Z [n
 *             x K] scores, then probabilities, then gradients by scores
 * Degenerate  separable classes: the penalty keeps coef finite; so does the iteration limit the intercept of a class
 *             without rows, whose probability only tends to 0. K = 1: coef = 0.
 * Slots       of rows, see slots.h; each with its gradient and, last, its loss
 * Cost        4 n d K per evaluation; a copy of X, n K scores, and K (d + 1) + 1 sums per slot
 */
#include "learn/affine.h"
#include "learn/lbfgs.h"
#include "learn/learn.h"
#include "learn/moments.h"
#include "learn/slots.h"

typedef struct {
    double C, tol;
    int64_t fit_intercept, max_iter;
} params;

static const ml__param PARAMS[] = {
    ML__REAL(params, C, "1", ML__RANGE_OPEN(0, INFINITY), "inverse of the strength of the L2 penalty"),
    ML__BOOL(params, fit_intercept, "true", "learn an intercept for every class"),
    ML__REAL(params, tol, "1e-4", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "stop when no element of the gradient (per row, of standardised features) is larger"),
    ML__INT(params, max_iter, "100", ML__RANGE(1, 1e9), "most iterations of L-BFGS"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"coef", ML_FLOAT64, "Kd", ML__FINITE},
    {"intercept", ML_FLOAT64, "K", ML__FINITE},
    {"n_iter", ML_INT64, "1", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* ---- the loss ---- */

enum { BLOCK = 256 }; /* rows whose scores are held apart */

typedef struct {
    ml__fit *f;
    size_t n, d, K;
    bool with_intercept;
    const double *w;
    const int32_t *y;
    double *U, *mean, *t, *Z;
    double W, C;
    ml__slots slots;
    double *partial; /* [slots x K (d + 1) + 1] */
    const double *V; /* variables of the evaluation that is running */
} problem;

static size_t n_variables(const problem *p)
{
    return p->K * (p->d + p->with_intercept);
}

/* Scores of n rows: Z = U V' + b. */
static void score_rows(const problem *p, size_t n, const double *U, double *Z)
{
    const double *b = p->V + p->K * p->d;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < p->K; k++)
            Z[i * p->K + k] = p->with_intercept ? b[k] : 0;
    ml__kernels_best()->f64.gemm_nt(n, p->K, p->d, U, p->d, p->V, p->d, 1, Z, p->K);
}

/* Scores of at most BLOCK rows become w (p - [y]), the derivative of the loss; returns the loss. */
static double differentiate_block(const problem *p, size_t first, size_t n, double *Z)
{
    double score[BLOCK], lse[BLOCK], loss = 0;

    for (size_t i = 0; i < n; i++)
        score[i] = Z[i * p->K + (size_t)p->y[first + i]];
    ml__kernels_best()->f64.softmax(n, p->K, Z, p->K, lse);
    for (size_t i = 0; i < n; i++) {
        double *z = Z + i * p->K;
        const double w = p->w[first + i];

        loss += w * (lse[i] - score[i]);
        z[p->y[first + i]] -= 1;
        for (size_t k = 0; k < p->K; k++)
            z[k] *= w;
    }
    return loss;
}

static double differentiate_rows(const problem *p, size_t first, size_t n, double *Z)
{
    double loss = 0;

    for (size_t i = 0; i < n; i += BLOCK)
        loss += differentiate_block(p, first + i, n - i < BLOCK ? n - i : BLOCK, Z + i * p->K);
    return loss;
}

static ml_status evaluate_slot(void *argument, size_t slot)
{
    const problem *p = argument;
    const size_t first = ml__slots_begin(&p->slots, slot), n = ml__slots_begin(&p->slots, slot + 1) - first;
    const size_t n_all = n_variables(p);
    const double *U = p->U + first * p->d;
    double *Z = p->Z + first * p->K, *partial = p->partial + slot * (n_all + 1);

    score_rows(p, n, U, Z);
    partial[n_all] = differentiate_rows(p, first, n, Z);
    ml__kernels_best()->f64.gemm_tn(p->K, p->d, n, Z, p->K, U, p->d, 0, partial, p->d);
    for (size_t k = 0; p->with_intercept && k < p->K; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += Z[i * p->K + k];
        partial[p->K * p->d + k] = sum;
    }
    return ML_OK;
}

/* About, from what was measured: a soft-max and two products. */
static double slot_nanoseconds(const problem *p)
{
    return ml__slots_rows(&p->slots) * (150 + 0.5 * (double)p->K * (double)p->d);
}

static ml_status evaluate(void *argument, const double *x, double *value, double *gradient)
{
    problem *p = argument;
    const size_t n_all = n_variables(p);
    double penalty = 0;
    ml_status st;

    p->V = x;
    ML__TRY(ml__parallel_for_cost(p->f->context, p->slots.n, slot_nanoseconds(p), evaluate_slot, p));
    ml__slots_add(&p->slots, p->partial, n_all + 1, n_all + 1);
    for (size_t v = 0; v < n_all; v++)
        gradient[v] = p->partial[v] / p->W;
    for (size_t v = 0; v < p->K * p->d; v++) {
        const double t = p->t[v % p->d], coef = x[v] / t;
        penalty += coef * coef;
        gradient[v] += coef / t / p->C / p->W;
    }
    *value = (p->partial[n_all] + penalty / (2 * p->C)) / p->W;
done:
    return st;
}

/* ---- fit ---- */

static ml_status create_problem(ml__fit *f, const params *options, problem *p)
{
    size_t n_values, n_sums;
    ml_status st = ML_OK;

    *p = (problem){.f = f, .n = f->n, .d = f->d, .K = f->K, .C = options->C, .with_intercept = options->fit_intercept};
    p->w = ml__fit_weights(f);
    p->y = ml__fit_labels(f, 0);
    if (!p->w || !p->y)
        return ML_E_MEMORY;
    ML__CHECK(ml__size_mul(f->n, f->d > f->K ? f->d : f->K, &n_values) && ml__size_mul(f->K, f->d + 1, &n_sums),
              ML_E_MEMORY, "%zu rows, %zu features and %zu classes do not fit in memory", f->n, f->d, f->K);
    p->slots = ml__slots_make(f->n, n_sums + 1);
    ML__CHECK(ml__size_mul(n_sums + 1, p->slots.n, &n_values), ML_E_MEMORY,
              "%zu classes of %zu features do not fit in memory", f->K, f->d);
    ML__NEW(f->scratch, p->partial, n_values);
    p->U = ml__arena_take(f->scratch, f->n * f->d, sizeof *p->U);
    ML__TRY(p->U ? ML_OK : ml__fit_blame_copy(f, ML_E_MEMORY));
    ML__NEW(f->scratch, p->Z, f->n * f->K);
    ML__NEW(f->scratch, p->mean, f->d);
    ML__NEW(f->scratch, p->t, f->d);
done:
    return st;
}

static ml_status standardise(problem *p)
{
    const double *X;
    ml__moments m;
    ml_status st;

    ML__TRY(ml__fit_matrix_f64(p->f, &X));
    ML__TRY(ml__moments_of(p->f->scratch, X, p->n, p->d, p->w, &m));
    p->W = m.W[0];
    for (size_t j = 0; j < p->d; j++) {
        const double offset = p->with_intercept ? 0 : m.mean[j];
        const double t2 = m.M2[j] / p->W + offset * offset + 4 / (p->C * p->W);

        p->mean[j] = p->with_intercept ? m.mean[j] : 0;
        p->t[j] = t2 > 0 ? sqrt(t2) : 1;
        ML__CHECK(isfinite(p->t[j]), ML_E_NUMERIC, "the variance of feature '%s' overflows",
                  p->f->schema->features[j].name);
    }
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->d; j++)
            p->U[i * p->d + j] = (X[i * p->d + j] - p->mean[j]) / p->t[j];
done:
    return st;
}

static ml_status report(void *argument, size_t iteration, double value, bool *stop)
{
    const problem *p = argument;
    const params *options = p->f->params;

    *stop = ml__fit_late(p->f);
    return ml__fit_step(p->f, iteration, (uint64_t)options->max_iter, "loss", value);
}

static ml_status publish(const problem *p, const double *x, size_t n_iter)
{
    double *coef, *intercept;
    int64_t *iterations;
    ml_status st = ML_OK;

    ML__PUBLISH(p->f, coef, "coef", ML_FLOAT64, p->K, p->d);
    ML__PUBLISH(p->f, intercept, "intercept", ML_FLOAT64, p->K);
    ML__PUBLISH(p->f, iterations, "n_iter", ML_INT64, 1);
    for (size_t k = 0; k < p->K; k++) {
        intercept[k] = p->with_intercept ? x[p->K * p->d + k] : 0;
        for (size_t j = 0; j < p->d; j++) {
            coef[k * p->d + j] = x[k * p->d + j] / p->t[j];
            intercept[k] -= coef[k * p->d + j] * p->mean[j];
        }
    }
    *iterations = (int64_t)n_iter;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const params *options = f->params;
    ml__lbfgs search = {
        .tol = options->tol, .max_iter = (size_t)options->max_iter, .objective = evaluate, .step = report};
    problem p;
    double *x;
    ml_status st;

    ML__TRY(create_problem(f, options, &p));
    ML__TRY(standardise(&p));
    search.n = n_variables(&p);
    search.argument = &p;
    ML__NEW(f->scratch, x, search.n);
    ML__TRY(ml__lbfgs_minimise(f->scratch, &search, x));
    ML__TRY(publish(&p, x, search.n_iter));
    f->learned->stop_reason = search.stop_reason;
    if (search.stop_reason == ML_STOP_MAX_ITER)
        ml__log(f->context, ML_LOG_WARNING, "logistic_regression: not converged after %zu iterations", search.n_iter);
done:
    return st;
}

/* ---- predict ---- */

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t K = model->learned->schema.outputs[0].n_classes;
    const ml_status st = ml__affine_predict(model, x, out, scratch);

    if (st == ML_OK)
        ml__kernels_rowwise()->f64.softmax(x->n, K, out, K, NULL);
    return st;
}

const ml__kind ml__logistic_regression = {
    .name = "logistic_regression",
    .doc = "Multinomial logistic regression with an L2 penalty",
    .tasks = ML__CLASSIFY,
    .accepts = ML__WEIGHTS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = ml__affine_prepare,
    .proba = proba,
    .decision = ml__affine_predict,
};
