/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of fitted mixtures: information criteria, and rows drawn from them.
 *
 *     BIC = p ln n - 2 ln L,   AIC = 2 p - 2 ln L        (Schwarz 1978, Akaike 1974)
 *     x   = mu_c + U_c'^-1 e,  e standard normal, c drawn with probability pi_c: its covariance is U'^-1 U^-1 = Sigma
 */
#include <invar/mixture.h>
#include <math.h>

#include "learn/gmm/mixture.h"
#include "learn/learn.h"

/* Of a gmm; where `bayesian` of a bayesian_gmm too. */
static ml_status find_mixture(const ml_model *model, bool bayesian, const ml__mixture **out)
{
    ml_status st = ML_OK;

    ML__CHECK(model, ML_E_ARGUMENT, "model is NULL");
    ML__CHECK(model->kind == &ml__gmm || (bayesian && model->kind == &ml__bayesian_gmm), ML_E_UNSUPPORTED,
              "a %s is not a gmm", model->kind->name);
    ML__CHECK(model->learned, ML_E_STATE, "the %s is not fitted", model->kind->name);
    *out = ml__gmm_mixture(model);
done:
    return st;
}

/* ln L = Σ w ln p(x), and Σ w. */
static ml_status likelihood(const ml_model *model, const ml_dataset *data, double *log_likelihood, double *total)
{
    const size_t n = ml_dataset_n_rows(data);
    double *log_density, *w;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, model->context);
    ML__NEW(&arena, log_density, n);
    ML__NEW(&arena, w, n);
    ML__TRY(ml_model_score_samples(model, data, log_density, n));
    ml__dataset_read_weights(data, w);
    *log_likelihood = ml__kernels_rowwise()->f64.dot(n, w, log_density);
    *total = ml__kernels_rowwise()->f64.sum(n, w);
done:
    ml__arena_free(&arena);
    return st;
}

static ml_status criterion(const ml_model *model, const ml_dataset *data, bool is_bic, double *out)
{
    const ml__float_state host = ml__float_begin();
    const ml__mixture *m = NULL;
    double log_likelihood, total, p, value;
    ml_status st;

    ML__TRY(find_mixture(model, false, &m));
    ML__CHECK(data && out, ML_E_ARGUMENT, "%s is NULL", data ? "out" : "data");
    ML__TRY(likelihood(model, data, &log_likelihood, &total));
    p = ml__mixture_n_parameters(m);
    value = (is_bic ? p * log(total) : 2 * p) - 2 * log_likelihood;
    ML__CHECK(
        isfinite(value), ML_E_NUMERIC,
        "%s: the criterion is %g: %zu rows, which weigh %g, have the log-likelihood %g; scale the features or the "
        "weights",
        model->kind->name, value, ml_dataset_n_rows(data), total, log_likelihood);
    *out = value;
done:
    return ml__float_end(host, st);
}

ml_status ml_mixture_bic(const ml_model *model, const ml_dataset *data, double *out)
{
    return criterion(model, data, true, out);
}

ml_status ml_mixture_aic(const ml_model *model, const ml_dataset *data, double *out)
{
    return criterion(model, data, false, out);
}

static size_t draw_component(const ml__mixture *m, ml__rng *rng)
{
    double left = ml__rng_uniform(rng);
    size_t c = 0;

    while (c + 1 < m->k && left >= m->weights[c])
        left -= m->weights[c++];
    return c;
}

static void draw_row(const ml__mixture *m, size_t c, ml__rng *rng, double *x)
{
    const size_t d = m->d, step = m->type == ML__DIAG;
    const double *U = m->factors + ml__covariance_at(m, c);

    for (size_t j = 0; j < d; j++) {
        x[j] = ml__rng_normal(rng);
        if (m->type >= ML__DIAG) {
            x[j] /= U[j * step];
            continue;
        }
        for (size_t i = 0; i < j; i++)
            x[j] -= U[i * d + j] * x[i];
        x[j] /= U[j * d + j];
    }
    for (size_t j = 0; j < d; j++)
        x[j] += m->means[c * d + j];
}

ml_status ml_mixture_sample(const ml_model *model, size_t n_rows, uint64_t seed, double *out, size_t n,
                            int32_t *components)
{
    const ml__float_state host = ml__float_begin();
    const ml__mixture *m = NULL;
    size_t wanted = SIZE_MAX;
    ml_status st;

    ML__TRY(find_mixture(model, true, &m));
    ML__CHECK(out || !n_rows, ML_E_ARGUMENT, "out is NULL");
    ML__CHECK(ml__size_mul(n_rows, m->d, &wanted) && wanted == n, ML_E_SHAPE,
              "out has %zu elements, %zu rows of %zu features are %zu", n, n_rows, m->d, wanted);
    for (size_t i = 0; i < n_rows; i++) {
        ml__rng rng = ml__rng_make(seed, i);
        const size_t c = draw_component(m, &rng);
        draw_row(m, c, &rng, out + i * m->d);
        if (components)
            components[i] = (int32_t)c;
    }
done:
    return ml__float_end(host, st);
}
