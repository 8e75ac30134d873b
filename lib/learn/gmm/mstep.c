/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The M-step for mixtures of Gaussians, once the sums of all rows are there: weights, means and covariances. Symbols and
 * formulas are those of em.c.
 *
 *     of statistics     sums of w r T(x) for each component: N, and S1 and S2 about 0
 *     about origins     N [k], then S1 [k x d], then S2 as covariances, about em->origin
 *
 * With e = S1 / N, the way of the mean from its origin, N Sigma = S2 - S1 e' - e S1' + N e e'.
 */
#include <float.h>
#include <string.h>

#include "learn/gmm/mixture.h"

/* Sums of statistics, k x p at S, in the place of N, S1 and S2. */
static void unpack_statistics(const ml__em *em, const ml__mixture *old, const double *S, double *N, double *S1,
                              double *S2)
{
    const ml__mixture *next = &em->next;
    const size_t d = next->d;

    for (size_t c = 0; c < next->k; c++, S += em->p) {
        const double *linear = S + 1 + (em->has_missing ? d : 0), *square = linear + d, *pairs = S + 1;
        double *to = S2 + ml__covariance_at(next, c);

        N[c] = S[0];
        if (next->type != ML__FULL)
            memcpy(S1 + c * d, linear, d * sizeof *S1);
        for (size_t i = 0; i < d && next->type == ML__FULL; i++, pairs += i) {
            S1[c * d + i] = *pairs++;
            memcpy(to + i * d, pairs, (i + 1) * sizeof *to);
        }
        if (next->type == ML__DIAG || next->type == ML__SPHERICAL)
            memcpy(to, square, ml__covariance_size(next->type, d) * sizeof *to);
        for (size_t j = 0; j < d && em->has_missing; j++) { /* diagonal */
            const double missing = S[0] - S[1 + j], mu = old->means[c * d + j];
            S1[c * d + j] += missing * mu;
            to[j] += missing * (mu * mu + old->covariances[c * d + j]);
        }
    }
    if (next->type == ML__TIED)
        memcpy(S2, em->second, d * d * sizeof *S2);
}

/* Take N_c times the spread of the mean about the origin off S2, with S1 = Σ r z and e = mu - o. */
static void centre_moments(const ml__mixture *m, double N, const double *S1, const double *e, double *S2)
{
    const size_t d = m->d;

    for (size_t i = 0; i < d; i++) {
        const double rest = N * e[i] - S1[i];
        if (m->type == ML__DIAG)
            S2[i] += (rest - S1[i]) * e[i];
        else if (m->type == ML__SPHERICAL)
            *S2 += (rest - S1[i]) * e[i];
        for (size_t j = 0; j <= i && m->type < ML__DIAG; j++)
            S2[i * d + j] += rest * e[j] - e[i] * S1[j];
    }
}

static void scale_covariance(const ml__mixture *m, double N, double reg_covar, double *Sigma)
{
    const size_t d = m->d, n = ml__covariance_size(m->type, d), step = m->type < ML__DIAG ? d + 1 : 1;

    for (size_t i = 0; i < d && m->type < ML__DIAG; i++)
        for (size_t j = 0; j <= i; j++)
            Sigma[j * d + i] = Sigma[i * d + j];
    for (size_t v = 0; v < n; v++)
        Sigma[v] /= m->type == ML__SPHERICAL ? N * (double)d : N;
    for (size_t v = 0; v < n; v += step)
        Sigma[v] += reg_covar;
}

void ml__em_update(ml__em *em, const ml__mixture *old, bool of_statistics)
{
    ml__mixture *m = &em->next;
    const size_t k = m->k, d = m->d;
    double *S1 = m->means, total = 0;
    const double *sums = em->partial + 1;

    if (of_statistics) {
        unpack_statistics(em, old, sums, m->weights, S1, m->covariances);
    } else {
        memcpy(m->weights, sums, k * sizeof *sums);
        memcpy(S1, sums + k, k * d * sizeof *sums);
        memcpy(m->covariances, sums + k + k * d, ml__covariance_numbers(m) * sizeof *sums);
    }
    for (size_t c = 0; c < k; c++) {
        const double N = m->weights[c], more = 10 * DBL_EPSILON;
        double *e = em->work;

        for (size_t j = 0; j < d; j++)
            e[j] = (S1[c * d + j] - (of_statistics ? 0 : more * em->origin[c * d + j])) / (N + more);
        centre_moments(m, N, S1 + c * d, e, m->covariances + ml__covariance_at(m, c));
        for (size_t j = 0; j < d; j++)
            m->means[c * d + j] = (of_statistics ? 0 : em->origin[c * d + j]) + e[j];
        m->weights[c] = N + more;
        total += m->weights[c];
        if (m->type != ML__TIED)
            scale_covariance(m, m->weights[c], em->reg_covar, m->covariances + ml__covariance_at(m, c));
    }
    if (m->type == ML__TIED)
        scale_covariance(m, total, em->reg_covar, m->covariances);
    for (size_t c = 0; c < k; c++) {
        m->counts[c] = m->weights[c];
        m->weights[c] /= total;
    }
    if (em->prior)
        em->explained = ml__posterior_update(em->prior, em->is_started ? old : NULL, em->reg_covar, m, em->work);
}
