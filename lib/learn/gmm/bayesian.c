/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind bayesian_gmm: a mixture of Gaussians, fitted by variational inference (posterior.c). Components that the rows do
 * not ask for get weights near 0. Starts, stop and predictions are gmm's.
 *
 * Priors      those of the parameters; where they say nothing, of the rows: m0 their mean, W0^-1 their covariance with divisor
 *             W - 1, its diagonal, or the mean of that (scikit-learn's)
 * Weights     a row of weight 2 is two rows: W is the sum of weights, and it is what priors are weighed against
 * Tensors     scikit-learn's. weight_concentration is [2 x k] for sticks: a and b of Beta distributions
 * Stop        |L - L of the step before| < tol, where L, the lower bound, is of all rows together
 * Degenerate  where the covariance of the rows is singular, reg_covar is added to its diagonal: components without rows, which
 *             have that of the prior, would have no factor. For the rest see em.c
 * Missing     refused
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"
#include "learn/moments.h"
#include "learn/scatter.h"

enum { DIRICHLET_PROCESS, DIRICHLET_DISTRIBUTION };

/* Squared pivots, relative to the diagonal, up to which a covariance of rows counts as singular. */
static const double LEAST_PIVOT = 1e-12;

typedef struct params {
    ml__gmm_model_params of_gmm;
    int64_t weight_concentration_prior_type;
    double weight_concentration_prior, mean_precision_prior, degrees_of_freedom_prior;
    ml__reals mean_prior, covariance_prior;
} params;

static const ml__param PARAMS[] = {
    ML__GMM_PARAMS("lower bound"),
    ML__CHOICE(params, weight_concentration_prior_type, "dirichlet_process", "dirichlet_process|dirichlet_distribution",
               "prior of the weights: sticks broken off one after the other, or a Dirichlet distribution"),
    ML__REAL(params, weight_concentration_prior, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "gamma of that prior, the less the fewer components are used; 0: 1 / n_components"),
    ML__REAL(params, mean_precision_prior, "1", ML__RANGE_OPEN(0, INFINITY),
             "how many rows the prior of a mean counts for"),
    ML__REALS(params, mean_prior, "", ML__RANGE_OPEN(-INFINITY, INFINITY),
              "where means are expected, a number for each feature; empty: the mean of the rows"),
    ML__REAL(params, degrees_of_freedom_prior, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "how many rows the prior of a covariance counts for, more than n_features - 1; 0: n_features"),
    ML__REALS(
        params, covariance_prior, "", ML__RANGE_OPEN(-INFINITY, INFINITY),
        "degrees_of_freedom_prior times the covariance that is expected: a matrix row by row, its diagonal, or one "
        "number for all of that; empty: the covariance of the rows, whose weights must sum to more than 1"),
    ML__GMM_MODEL_PARAMS,
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    ML__GMM_TENSORS,
    {"weight_concentration", ML_FLOAT64, "sk|k", ML__FINITE | ML__POSITIVE},
    {"mean_precision", ML_FLOAT64, "k", ML__FINITE | ML__POSITIVE},
    {"degrees_of_freedom", ML_FLOAT64, "*", ML__FINITE | ML__POSITIVE},
    {"weight_concentration_prior", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
    {"mean_precision_prior", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
    {"mean_prior", ML_FLOAT64, "d", ML__FINITE},
    {"degrees_of_freedom_prior", ML_FLOAT64, "1", ML__FINITE | ML__POSITIVE},
    {"covariance_prior", ML_FLOAT64, "dd|d|1", ML__FINITE},
    {NULL, 0, NULL, 0},
};

/* ---- priors ---- */

/* The mean of the rows, and W0^-1 of diagonals and spheres in `variances`. */
static ml_status measure_rows(ml__fit *f, const ml__gmm_rows *rows, double *mean, double *variances, double *W)
{
    const ml__points *points = &rows->points;
    ml__moments moments;
    ml_status st;

    ML__TRY(ml__moments_of_points(f->scratch, points, &moments));
    *W = rows->unit * moments.W[0];
    for (size_t j = 0; j < f->d; j++) {
        mean[j] = moments.mean[j];
        variances[j] = rows->unit * moments.M2[j] / (*W - 1);
    }
done:
    return st;
}

/* Add reg_covar to the diagonal of a covariance [d x d] that is singular, up to rounding. */
static ml_status regularise(ml__fit *f, double reg_covar, double *covariance)
{
    const size_t d = f->d;
    bool is_singular;
    double *L;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, L, d * d);
    memcpy(L, covariance, d * d * sizeof *L);
    is_singular = ml__cholesky(d, L, d) != 0;
    for (size_t j = 0; j < d && !is_singular; j++)
        is_singular = L[j * d + j] * L[j * d + j] <= LEAST_PIVOT * covariance[j * d + j];
    for (size_t j = 0; j < d && is_singular; j++)
        covariance[j * d + j] += reg_covar;
done:
    return st;
}

static ml_status covariance_of_rows(ml__fit *f, ml__covariance type, double reg_covar, const double *variances,
                                    double W, double *out)
{
    const size_t d = f->d;
    const double *weights;
    ml__scatter scatter;
    double sum = 0;
    ml_status st = ML_OK;

    ML__CHECK(W > 1, ML_E_DATA,
              "bayesian_gmm: the weights sum to %g, no more than one row: parameter 'covariance_prior' is needed", W);
    for (size_t j = 0; j < d; j++)
        sum += variances[j] / (double)d;
    if (type == ML__SPHERICAL || type == ML__DIAG) {
        memcpy(out, type == ML__DIAG ? variances : &sum, ml__covariance_size(type, d) * sizeof *out);
        for (size_t v = 0; v < ml__covariance_size(type, d); v++)
            out[v] += out[v] > 0 ? 0 : reg_covar;
        return ML_OK;
    }
    weights = ml__fit_weights(f);
    if (!weights)
        return ML_E_MEMORY;
    ML__TRY(ml__scatter_of(f->scratch, f->data, weights, &scatter));
    for (size_t v = 0; v < d * d; v++)
        out[v] = scatter.S[v] / (W - 1);
    ML__TRY(regularise(f, reg_covar, out));
done:
    return st;
}

/* W0^-1 from the parameter: a matrix, a diagonal, or a number. */
static ml_status covariance_given(ml__fit *f, ml__covariance type, const ml__reals *given, double *out)
{
    const size_t d = f->d, n = ml__covariance_size(type, d), step = type < ML__DIAG ? d + 1 : 1;
    ml_status st = ML_OK;

    ML__CHECK(given->n == n || given->n == 1 || (given->n == d && type != ML__SPHERICAL), ML_E_PARAMETER,
              "bayesian_gmm: parameter 'covariance_prior' has %zu numbers, for %zu features it takes %zu%s", given->n,
              d, n, type == ML__SPHERICAL ? "" : ", or fewer of a diagonal");
    if (given->n == n)
        memcpy(out, given->values, n * sizeof *out);
    for (size_t v = 0; v < n && given->n < n; v += step)
        out[v] = given->values[given->n == 1 ? 0 : v / step];
    ML__TRY(ml__gmm_check_definite(f, "covariance_prior", "", type, out));
done:
    return st;
}

static ml_status make_prior(ml__fit *f, const ml__gmm_rows *rows, ml__prior *out)
{
    const params *p = f->params;
    const ml__gmm_params *fit = &p->of_gmm.fit;
    const ml__covariance type = (ml__covariance)fit->covariance_type;
    const size_t d = f->d, k = (size_t)fit->n_components;
    double *variances, W;
    ml_status st;

    *out =
        (ml__prior){.concentration = p->weight_concentration_prior > 0 ? p->weight_concentration_prior : 1 / (double)k,
                    .mean_precision = p->mean_precision_prior,
                    .freedom = p->degrees_of_freedom_prior > 0 ? p->degrees_of_freedom_prior : (double)d,
                    .unit = rows->unit};
    ML__CHECK(out->freedom > (double)d - 1, ML_E_PARAMETER,
              "bayesian_gmm: parameter 'degrees_of_freedom_prior' is %g, for %zu features it must be above %zu",
              out->freedom, d, d - 1);
    ML__CHECK(!p->mean_prior.n || p->mean_prior.n == d, ML_E_PARAMETER,
              "bayesian_gmm: parameter 'mean_prior' has %zu numbers, the data has %zu features", p->mean_prior.n, d);
    ML__NEW(f->scratch, out->mean, d);
    ML__NEW(f->scratch, variances, d);
    ML__NEW(f->scratch, out->covariance, ml__covariance_size(type, d));
    ML__TRY(ml__posterior_create(f->scratch, type, k, p->weight_concentration_prior_type == DIRICHLET_PROCESS,
                                 &out->posterior));
    ML__TRY(measure_rows(f, rows, out->mean, variances, &W));
    for (size_t j = 0; j < p->mean_prior.n; j++)
        out->mean[j] = p->mean_prior.values[j] - rows->shift[j];
    if (p->covariance_prior.n)
        ML__TRY(covariance_given(f, type, &p->covariance_prior, out->covariance));
    else
        ML__TRY(covariance_of_rows(f, type, fit->reg_covar, variances, W, out->covariance));
done:
    return st;
}

/* ---- tensors ---- */

static ml_status publish_prior(ml__fit *f, const ml__prior *prior, ml__covariance type, const double *shift)
{
    const size_t d = f->d;
    double *number, *mean, *covariance;
    ml_status st = ML_OK;

    ML__PUBLISH(f, number, "weight_concentration_prior", ML_FLOAT64, 1);
    *number = prior->concentration;
    ML__PUBLISH(f, number, "mean_precision_prior", ML_FLOAT64, 1);
    *number = prior->mean_precision;
    ML__PUBLISH(f, number, "degrees_of_freedom_prior", ML_FLOAT64, 1);
    *number = prior->freedom;
    ML__PUBLISH(f, mean, "mean_prior", ML_FLOAT64, d);
    for (size_t j = 0; j < d; j++)
        mean[j] = prior->mean[j] + shift[j];
    if (type < ML__DIAG)
        ML__PUBLISH(f, covariance, "covariance_prior", ML_FLOAT64, d, d);
    else
        ML__PUBLISH(f, covariance, "covariance_prior", ML_FLOAT64, type == ML__DIAG ? d : 1);
    memcpy(covariance, prior->covariance, ml__covariance_size(type, d) * sizeof *covariance);
done:
    return st;
}

static ml_status publish(ml__fit *f, const ml__prior *prior, const ml__mixture *m, const double *shift)
{
    const ml__posterior *p = &prior->posterior;
    const size_t k = m->k, n_freedoms = ml__covariance_count(m->type, k);
    double *concentration, *mean_precision, *freedom;
    ml_status st;

    if (p->is_process)
        ML__PUBLISH(f, concentration, "weight_concentration", ML_FLOAT64, 2, k);
    else
        ML__PUBLISH(f, concentration, "weight_concentration", ML_FLOAT64, k);
    ML__PUBLISH(f, mean_precision, "mean_precision", ML_FLOAT64, k);
    ML__PUBLISH(f, freedom, "degrees_of_freedom", ML_FLOAT64, n_freedoms);
    ml__posterior_count(prior, m);
    memcpy(concentration, p->concentration, (p->is_process ? 2 : 1) * k * sizeof *concentration);
    memcpy(mean_precision, p->mean_precision, k * sizeof *mean_precision);
    memcpy(freedom, p->freedom, n_freedoms * sizeof *freedom);
    ML__TRY(publish_prior(f, prior, m->type, shift));
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *concentration = ml__learned_find(learned, "weight_concentration");
    static const uint32_t RANKS[] = {2, 2, 1, 1};
    ml__posterior p = {.is_process = concentration->rank == 2, .concentration = concentration->data};
    uint64_t freedoms, sizes[2];
    double *unused;
    ml__mixture *m;
    ml_status st;

    ML__TRY(ml__gmm_prepare(model, learned));
    m = &((ml__gmm_state *)learned->state)->mixture;
    ML__CHECK(!p.is_process || concentration->shape[0] == 2, ML_E_FORMAT,
              "tensor 'weight_concentration': dimension 0 is %llu, expected 2",
              (unsigned long long)concentration->shape[0]);
    freedoms = ml__covariance_count(m->type, m->k);
    sizes[0] = m->type == ML__SPHERICAL ? 1 : m->d;
    sizes[1] = m->d;
    ML__TRY(ml__mixture_tensor(learned, "covariance_prior", "", RANKS[m->type], sizes, &unused));
    ML__TRY(ml__mixture_tensor(learned, "mean_precision", "", 1, (const uint64_t[]){m->k}, &p.mean_precision));
    ML__TRY(ml__mixture_tensor(learned, "degrees_of_freedom", "", 1, &freedoms, &p.freedom));
    for (size_t c = 0; c < freedoms; c++)
        ML__CHECK(p.freedom[c] > (double)m->d - 1, ML_E_FORMAT,
                  "tensor 'degrees_of_freedom': element %zu is %g, for %zu features it must be above %zu", c,
                  p.freedom[c], m->d, m->d - 1);
    ml__posterior_expect(&p, m);
done:
    return st;
}

/* ---- the kind ---- */

static ml_status fit(ml__fit *f)
{
    return ml__gmm_fit(f, &(ml__gmm_inference){.make_prior = make_prior, .publish = publish});
}

const ml__kind ml__bayesian_gmm = {
    .name = "bayesian_gmm",
    .doc = "Gaussian mixture model with priors, fitted by variational inference, which leaves superfluous components "
           "empty",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .starts_from = ml__gmm_starts_from,
    .prepare = prepare,
    .proba = ml__gmm_proba,
    .transform = ml__gmm_transform,
    .score_samples = ml__gmm_score_samples,
    .scratch = ml__gmm_scratch,
    .width = ml__gmm_width,
    .name_features = ml__gmm_name_features,
};
