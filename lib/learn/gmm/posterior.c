/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variational inference for mixtures of Gaussians: the M-step with priors, the weights of the next E-step, the lower bound.
 *
 * Prior       weights: Dirichlet(gamma, …), or sticks Beta(1, gamma);  mu_c | P_c ~ N(m0, (beta0 P_c)^-1),  P_c ~ Wishart(W0, nu0)
 * M-step      N_c, xbar_c, S_c as in em.c, then
 *                 alpha_c = gamma + N_c;  of sticks a_c = 1 + N_c, b_c = gamma + Σ_{l > c} N_l
 *                 beta_c  = beta0 + N_c          m_c = (beta0 m0 + N_c xbar_c) / beta_c          nu_c = nu0 + N_c
 *                 Sigma_c = (W0^-1 + N_c S_c + N_c beta0 / beta_c (xbar_c - m0)(xbar_c - m0)') / nu_c
 *             tied: the means of N_c and of these sums over c;  diagonal: its diagonal;  spherical: the mean of that
 * E-step      ln rho_c = E[ln pi_c] + ln det U_c - d/2 ln 2 pi - |U_c'(x - m_c)|² / 2
 *                        + (Σ_{i < d} psi((nu_c - i) / 2) - d ln(nu_c / 2) - d / beta_c) / 2
 * Bound       entropy of r - Σ ln B(W_c, nu_c) - ln C(alpha) - d/2 Σ ln beta_c, without constants: it is that after an M-step.
 *             Σ w r ln r is Σ w (Σ r ln rho - ln Σ rho), where the first sum follows from N, xbar and S
 *             (Bishop, Pattern Recognition and Machine Learning, 2006, section 10.2; Blei & Jordan 2006, "Variational inference for
 *             Dirichlet process mixtures"; Attias 2000. Tied, diagonal and spherical ones, and the constants left out, are
 *             scikit-learn's.)
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/gamma.h"
#include "learn/gmm/mixture.h"

static const double LN_2 = 0.6931471805599453094;

ml_status ml__posterior_create(ml__arena *arena, ml__covariance type, size_t k, bool is_process, ml__posterior *out)
{
    ml_status st = ML_OK;

    out->is_process = is_process;
    ML__NEW(arena, out->concentration, is_process ? 2 * k : k);
    ML__NEW(arena, out->mean_precision, k);
    ML__NEW(arena, out->freedom, ml__covariance_count(type, k));
done:
    return st;
}

void ml__posterior_count(const ml__prior *prior, const ml__mixture *m)
{
    const ml__posterior *p = &prior->posterior;
    const size_t k = m->k;
    double behind = 0;

    for (size_t c = k; c-- > 0;) {
        const double N = prior->unit * m->counts[c];
        p->concentration[c] = p->is_process ? 1 + N : prior->concentration + N;
        if (p->is_process)
            p->concentration[k + c] = prior->concentration + behind;
        p->mean_precision[c] = prior->mean_precision + N;
        if (m->type != ML__TIED)
            p->freedom[c] = prior->freedom + N;
        behind += N;
    }
    if (m->type == ML__TIED)
        *p->freedom = prior->freedom + behind / (double)k;
}

/* ---- what the E-step before explained ---- */

/* tr(P (Sigma - a I)), P = U U'; work: d x d. */
static double trace(const ml__mixture *m, const double *U, const double *Sigma, double a, double *work)
{
    const size_t d = m->d, n = ml__covariance_size(m->type, d);
    double sum = 0, of_P = 0;

    for (size_t v = 0; v < n; v++)
        of_P += U[v] * U[v];
    if (m->type == ML__SPHERICAL)
        return (double)d * of_P * (*Sigma - a);
    if (m->type == ML__DIAG) {
        for (size_t j = 0; j < d; j++)
            sum += U[j] * U[j] * (Sigma[j] - a);
        return sum;
    }
    ml__kernels_best()->f64.gemm_nt(d, d, d, U, d, U, d, 0, work, d);
    return ml__kernels_best()->f64.dot(d * d, work, Sigma) - a * of_P;
}

/* |U'(x - y)|² */
static double distance(const ml__mixture *m, const double *U, const double *x, const double *y)
{
    const size_t d = m->d, step = m->type == ML__DIAG;
    double sum = 0;

    for (size_t j = 0; j < d; j++) {
        double z = 0;
        if (m->type >= ML__DIAG)
            z = U[j * step] * (x[j] - y[j]);
        for (size_t i = 0; i <= j && m->type < ML__DIAG; i++)
            z += U[i * d + j] * (x[i] - y[i]);
        sum += z * z;
    }
    return sum;
}

/* Σ w r ln(pi N(x)) under `old`, by N, means and covariances of the M-step, which stand in m. */
static double explain(const ml__mixture *old, double reg_covar, const ml__mixture *m, double *work)
{
    double sum = 0, total = 0;

    for (size_t c = 0; c < m->k; c++) {
        const size_t at = ml__covariance_at(m, c), first = c * m->d;
        const double N = m->counts[c], *U = old->factors + at;

        total += N;
        if (!(N > 10 * DBL_EPSILON)) /* no row has a share */
            continue;
        sum +=
            N * (old->log_weights[c] + old->log_norms[c] - 0.5 * distance(m, U, m->means + first, old->means + first));
        if (m->type != ML__TIED)
            sum -= 0.5 * N * trace(m, U, m->covariances + at, reg_covar, work);
    }
    if (m->type == ML__TIED)
        sum -= 0.5 * total * trace(m, old->factors, m->covariances, reg_covar, work);
    return sum;
}

/* ---- the M-step ---- */

/* Add f z z' as the type has it. */
static void add_square(const ml__mixture *m, double f, const double *z, double *Sigma)
{
    const size_t d = m->d;
    double squares = 0;

    for (size_t i = 0; i < d; i++) {
        squares += z[i] * z[i];
        if (m->type == ML__DIAG)
            Sigma[i] += f * z[i] * z[i];
        for (size_t j = 0; j < d && m->type < ML__DIAG; j++)
            Sigma[i * d + j] += f * (z[i] * z[j]);
    }
    if (m->type == ML__SPHERICAL)
        *Sigma += f * squares / (double)d;
}

/* Sigma of all components that share it, S: N_c and sums are means over c where they are tied. */
static void update_covariance(const ml__prior *prior, ml__mixture *m, size_t first, size_t end, double *z)
{
    const size_t d = m->d, n = ml__covariance_size(m->type, d);
    const double share = 1 / (double)(end - first), nu = prior->posterior.freedom[m->type == ML__TIED ? 0 : first];
    double *Sigma = m->covariances + ml__covariance_at(m, first), N = 0;

    for (size_t c = first; c < end; c++)
        N += prior->unit * m->counts[c];
    for (size_t v = 0; v < n; v++)
        Sigma[v] = prior->covariance[v] + N * share * Sigma[v];
    for (size_t c = first; c < end; c++) {
        const double N_c = prior->unit * m->counts[c];
        for (size_t j = 0; j < d; j++)
            z[j] = m->means[c * d + j] - prior->mean[j];
        add_square(m, share * N_c * prior->mean_precision / prior->posterior.mean_precision[c], z, Sigma);
    }
    for (size_t v = 0; v < n; v++)
        Sigma[v] /= nu;
}

/* Expected weights. */
static void update_weights(const ml__posterior *p, ml__mixture *m)
{
    const double *a = p->concentration, *b = a + m->k;
    double left = 1, total = 0;

    for (size_t c = 0; c < m->k; c++) {
        m->weights[c] = p->is_process ? left * (a[c] / (a[c] + b[c])) : a[c];
        if (p->is_process)
            left *= b[c] / (a[c] + b[c]);
        total += m->weights[c];
    }
    for (size_t c = 0; c < m->k; c++)
        m->weights[c] /= total;
}

double ml__posterior_update(const ml__prior *prior, const ml__mixture *old, double reg_covar, ml__mixture *m,
                            double *work)
{
    const size_t k = m->k, d = m->d;
    const double explained = old ? explain(old, reg_covar, m, work) : 0;

    ml__posterior_count(prior, m);
    for (size_t c = 0; c < k && m->type != ML__TIED; c++)
        update_covariance(prior, m, c, c + 1, work);
    if (m->type == ML__TIED)
        update_covariance(prior, m, 0, k, work);
    for (size_t c = 0; c < k; c++) {
        const double share = prior->unit * m->counts[c] / prior->posterior.mean_precision[c];
        for (size_t j = 0; j < d; j++)
            m->means[c * d + j] = prior->mean[j] + share * (m->means[c * d + j] - prior->mean[j]);
    }
    update_weights(&prior->posterior, m);
    return explained;
}

/* ---- the next E-step ---- */

/* Numbers that stay finite when they are added to each other, and to the least log-density. */
static double bounded(double x)
{
    return fmax(fmin(x, DBL_MAX / 8), -DBL_MAX / 8);
}

static double nu_of(const ml__posterior *p, const ml__mixture *m, size_t c)
{
    return p->freedom[m->type == ML__TIED ? 0 : c];
}

static void expect_weights(const ml__posterior *p, ml__mixture *m)
{
    const double *a = p->concentration, *b = a + m->k;
    double behind = 0, total = 0;

    for (size_t c = 0; c < m->k; c++)
        total += a[c];
    for (size_t c = 0; c < m->k; c++) {
        const double of_all = ml__digamma(p->is_process ? a[c] + b[c] : total);
        m->log_weights[c] = bounded(ml__digamma(a[c]) - of_all + behind);
        if (p->is_process)
            behind += ml__digamma(b[c]) - of_all;
    }
}

void ml__posterior_expect(const ml__posterior *p, ml__mixture *m)
{
    const double d = (double)m->d;
    double of_freedom = 0;

    expect_weights(p, m);
    for (size_t c = 0; c < m->k; c++) {
        const double nu = nu_of(p, m, c);
        if (!c || m->type != ML__TIED) {
            of_freedom = -d * log(0.5 * nu);
            for (size_t i = 0; i < m->d; i++)
                of_freedom += ml__digamma(0.5 * (nu - (double)i));
        }
        m->log_norms[c] = bounded(m->log_norms[c] + 0.5 * (of_freedom - d / p->mean_precision[c]));
    }
}

/* ---- the lower bound ---- */

/* -ln B(W_c, nu_c) without its powers of pi */
static double log_wishart_sum(const ml__mixture *m, size_t c, double nu)
{
    static const double HALF_LN_2PI = 0.9189385332046727418;
    const double d = (double)m->d, log_det = m->log_norms[c] + d * HALF_LN_2PI;
    double sum = nu * (log_det - 0.5 * d * log(nu)) + 0.5 * nu * d * LN_2;

    for (size_t i = 0; i < m->d; i++)
        sum += ml__log_gamma(0.5 * (nu - (double)i));
    return sum;
}

/* -ln C(alpha) */
static double log_concentration_sum(const ml__posterior *p, size_t k)
{
    const double *a = p->concentration, *b = a + k;
    double sum = 0, total = 0;

    for (size_t c = 0; c < k; c++) {
        total += a[c];
        sum += ml__log_gamma(a[c]);
        if (p->is_process)
            sum += ml__log_gamma(b[c]) - ml__log_gamma(a[c] + b[c]);
    }
    return p->is_process ? sum : sum - ml__log_gamma(total);
}

double ml__posterior_weigh(const ml__prior *prior, double entropy, ml__mixture *m)
{
    const ml__posterior *p = &prior->posterior;
    double bound = prior->unit * entropy + log_concentration_sum(p, m->k), of_tied = 0;

    for (size_t c = 0; c < m->k; c++) {
        const double of_component = c && m->type == ML__TIED ? of_tied : log_wishart_sum(m, c, nu_of(p, m, c));
        of_tied = of_component;
        bound += of_component - 0.5 * (double)m->d * log(p->mean_precision[c]);
    }
    ml__posterior_expect(p, m);
    return bound;
}
