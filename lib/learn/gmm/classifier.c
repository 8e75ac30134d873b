/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind gmm_classifier: a mixture of Gaussians for each class, and Bayes' rule (Hastie & Tibshirani 1996, "Discriminant
 * analysis by Gaussian mixtures"). With one component per class it is quadratic discriminant analysis.
 *
 *     decision_K(x) = ln P(K) + ln p(x | K)        P(K | x) = exp(decision_K) / Σ_L exp(decision_L)
 *
 * Priors      P(K): shares of the rows' weights, or the same for all
 * Tensors     of a gmm, numbered by the classes that have rows. A class without rows has prior 0 and no mixture.
 * Missing     as gmm
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"

enum { PRIORS_DATA, PRIORS_UNIFORM };
enum { PREDICT_ROWS = 32, NAME_BYTES = 24 };

typedef struct params {
    ml__gmm_params fit;
    int64_t priors;
} params;

static const ml__param PARAMS[] = {
    ML__GMM_PARAMS("mean log-likelihood"),
    ML__CHOICE(params, priors, "data", "data|uniform",
               "probabilities of the classes: their shares of the data, or equal"),
    ML__RANDOM_STATE(ml__gmm_params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"class_prior", ML_FLOAT64, "K", ML__FINITE | ML__NON_NEGATIVE},
    {"weights.*", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},
    {"means.*", ML_FLOAT64, "kd", ML__FINITE},
    {"covariances.*", ML_FLOAT64, "kdd|dd|kd|k", ML__FINITE},
    {"precisions_cholesky.*", ML_FLOAT64, "kdd|dd|kd|k", ML__FINITE},
    {"lower_bounds.*", ML_FLOAT64, "t", ML__FINITE},
    {"covariance_type", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL}, /* absent: full */
    {NULL, 0, NULL, 0},
};

/* ---- fit ---- */

static void count_priors(const int32_t *labels, const double *weights, size_t n, size_t K, bool is_uniform,
                         double *prior)
{
    double total = 0;

    for (size_t i = 0; i < n; i++)
        prior[labels[i]] += weights[i];
    for (size_t k = 0; k < K; k++) {
        if (is_uniform)
            prior[k] = prior[k] > 0;
        total += prior[k];
    }
    for (size_t k = 0; k < K; k++)
        prior[k] /= total;
}

/* Copy the mixture and the lower bounds of a fitted gmm. */
static ml_status publish_class(ml__fit *f, const ml_model *fitted, size_t number, const double *no_shift)
{
    const ml__named_tensor *bounds = ml__learned_find(fitted->learned, "lower_bounds");
    char suffix[NAME_BYTES], name[2 * NAME_BYTES];
    double *to;
    ml_status st;

    ml__format(suffix, sizeof suffix, ".%zu", number);
    ml__format(name, sizeof name, "lower_bounds%s", suffix);
    ML__TRY(ml__mixture_publish(f->learned, suffix, ml__gmm_mixture(fitted), no_shift));
    ML__PUBLISH(f, to, name, ML_FLOAT64, bounds->shape[0]);
    memcpy(to, bounds->data, (size_t)bounds->shape[0] * sizeof *to);
done:
    return st;
}

/* The rows of one class, and a mixture of them. */
static ml_status fit_class(ml__fit *f, const ml_model *template, const int32_t *labels, size_t k, size_t *rows,
                           ml_model **fitted)
{
    const char *name = f->schema->outputs[0].classes[k];
    ml_dataset *of_class = NULL;
    size_t n = 0;
    ml_status st;

    for (size_t i = 0; i < f->n; i++)
        if (labels[i] == (int32_t)k)
            rows[n++] = i;
    ML__TRY(ml_dataset_subset(f->data, rows, n, &of_class));
    st = ml__fit_member(f, template, name, k, of_class, fitted);
    if (st != ML_OK && st != ML_E_CANCELLED)
        (void)ml__blame(st, "%s: ", f->model->kind->name);
done:
    ml_dataset_free(of_class);
    return st;
}

/* The worst of the reasons of all classes. */
static void note_reason(ml__learned *learned, int32_t reason)
{
    const int32_t now = learned->stop_reason;

    if (now == ML_STOP_COMPLETE || reason == ML_STOP_DEADLINE || reason == ML_STOP_MONITOR ||
        (reason == ML_STOP_MAX_ITER && now == ML_STOP_CONVERGED))
        learned->stop_reason = reason == ML_STOP_MONITOR ? ML_STOP_DEADLINE : reason;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    const int32_t *labels = ml__fit_labels(f, 0);
    const double *weights = ml__fit_weights(f);
    ml_model *template = NULL, *fitted = NULL;
    double *prior, *no_shift;
    size_t *rows, number = 0;
    int64_t *type;
    ml_status st;

    if (!labels || !weights)
        return ML_E_MEMORY;
    ML__NEW(f->scratch, rows, f->n);
    ML__NEW(f->scratch, no_shift, f->d);
    ML__PUBLISH(f, prior, "class_prior", ML_FLOAT64, f->K);
    count_priors(labels, weights, f->n, f->K, p->priors == PRIORS_UNIFORM, prior);
    ML__TRY(ml__model_new(f->context, &ml__gmm, &template));
    memcpy(template->params, &p->fit, sizeof p->fit);
    for (size_t k = 0; k < f->K; k++) {
        if (!(prior[k] > 0))
            continue;
        ML__TRY(fit_class(f, template, labels, k, rows, &fitted));
        ML__TRY(publish_class(f, fitted, number++, no_shift));
        note_reason(f->learned, ml_model_stop_reason(fitted));
        ml_model_free(fitted);
        fitted = NULL;
    }
    if (p->fit.covariance_type != ML__FULL) {
        ML__PUBLISH(f, type, "covariance_type", ML_INT64, 1);
        *type = p->fit.covariance_type;
    }
done:
    ml_model_free(fitted);
    ml_model_free(template);
    return st;
}

/* ---- what predictors read ---- */

typedef struct state {
    size_t K, most_components;
    ml__covariance type;
    double *log_prior;     /* -DBL_MAX of a class without rows */
    ml__mixture *mixtures; /* [K], k = 0 of such a class */
} state;

static ml_status read_classes(ml__learned *learned, const double *prior, state *s, size_t *number)
{
    char suffix[NAME_BYTES];
    double total = 0;
    ml_status st = ML_OK;

    for (size_t k = 0; k < s->K; k++) {
        s->log_prior[k] = prior[k] > 0 ? log(prior[k]) : -DBL_MAX;
        total += prior[k];
        if (!(prior[k] > 0))
            continue;
        ml__format(suffix, sizeof suffix, ".%zu", (*number)++);
        ML__TRY(ml__mixture_read(learned, suffix, &learned->arena, &s->mixtures[k]));
        s->type = s->mixtures[k].type;
        if (s->mixtures[k].k > s->most_components)
            s->most_components = s->mixtures[k].k;
    }
    ML__CHECK(fabs(total - 1) <= 1e-9 * (double)s->K, ML_E_FORMAT, "tensor 'class_prior': the sum is %g, expected 1",
              total);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    char name[2 * NAME_BYTES];
    size_t number = 0;
    state *s;
    ml_status st;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    s->K = learned->schema.outputs[0].n_classes;
    ML__NEW(&learned->arena, s->log_prior, s->K);
    ML__NEW(&learned->arena, s->mixtures, s->K);
    ML__TRY(read_classes(learned, ml__tensor_data(learned, "class_prior"), s, &number));
    ml__format(name, sizeof name, "weights.%zu", number);
    ML__CHECK(!ml__learned_find(learned, name), ML_E_FORMAT, "tensor '%s': there are %zu classes with a prior", name,
              number);
    learned->state = s;
done:
    return st;
}

static uint32_t accepts_of(const ml_model *model)
{
    const state *s = model->learned ? model->learned->state : NULL;
    const int64_t type = s ? (int64_t)s->type : ((const params *)model->params)->fit.covariance_type;

    return model->kind->accepts | (type == ML__FULL || type == ML__DIAG ? ML__MISSING : 0);
}

/* ---- predict ---- */

static size_t scratch_size(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;
    const size_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS, d = model->learned->schema.n_features;

    return ml__scratch_bytes(2 * rows * d, sizeof(double)) +
           ml__scratch_bytes(ml__pattern_work(s->type, d), sizeof(double)) +
           ml__scratch_bytes(rows * s->most_components, sizeof(double)) + ml__scratch_bytes(rows, sizeof(double));
}

static ml_status decide(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__kernels_f64 *kernels = &ml__kernels_rowwise()->f64;
    const state *s = model->learned->state;
    const size_t rows = x->n < PREDICT_ROWS ? x->n : PREDICT_ROWS;
    double *work = ml__scratch_take(&scratch, 2 * rows * x->d, sizeof *work);
    double *seen = ml__scratch_take(&scratch, ml__pattern_work(s->type, x->d), sizeof *seen);
    double *L = ml__scratch_take(&scratch, rows * s->most_components, sizeof *L);
    double *lse = ml__scratch_take(&scratch, rows, sizeof *lse);

    if (!work || !seen || !L || !lse)
        return ML_E_MEMORY;
    for (size_t i = 0; i < x->n; i += rows) {
        const size_t n = x->n - i < rows ? x->n - i : rows;
        for (size_t k = 0; k < s->K; k++) {
            const ml__mixture *m = &s->mixtures[k];
            memset(lse, 0, n * sizeof *lse);
            if (m->k) {
                ml__log_densities_of_rows(m, kernels, x->f64 + i * x->d, n, work, seen, L);
                ml__add_log_weights(m, n, L);
                kernels->logsumexp(n, m->k, L, m->k, lse);
            }
            for (size_t r = 0; r < n; r++)
                out[(i + r) * s->K + k] = s->log_prior[k] + lse[r];
        }
    }
    return ML_OK;
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t K = ((const state *)model->learned->state)->K;
    const ml_status st = decide(model, x, out, scratch);

    if (st == ML_OK)
        ml__kernels_rowwise()->f64.softmax(x->n, K, out, K, NULL);
    return st;
}

const ml__kind ml__gmm_classifier = {
    .name = "gmm_classifier",
    .doc = "Bayes classifier with a Gaussian mixture for each class",
    .tasks = ML__CLASSIFY,
    .accepts = ML__WEIGHTS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = prepare,
    .proba = proba,
    .decision = decide,
    .scratch = scratch_size,
    .accepts_of = accepts_of,
};
