/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Gaussian as an exponential family: its log-density is linear in statistics T(x) of the row, and the moments of a
 * component are sums of T(x). One matrix product gives the log-densities of a block of rows under all components, another
 * the sums of all.
 *
 *     full       T = [1, then x_i, x_i x_j for j <= i, by i], which the kernels make of 1 and x
 *                                                   W = [c, then (P mu)_i, -P_ij for j < i, -P_ii / 2]
 *     tied       T = [1, x]                         W = [c, P mu]; x'P x / 2 is the same for all components
 *     diagonal   T = [1, x, x²]                     W = [c, mu / sigma², -1 / (2 sigma²)]
 *     spherical  T = [1, x, |x|²]                   W = [c, mu / sigma², -1 / (2 sigma²)]
 *     c = ln pi + ln det U - d/2 ln 2 pi - mu'P mu / 2,   P = Sigma^-1 = U U'
 *
 * Diagonal with missing entries, o_j = 1 where x_j is observed, else 0:
 *                T = [1, o, o x, o x²]              W = [ln pi, ln N(0 | mu_j, sigma_j) for each j, …]
 *
 * Terms cancel: where a component lies s standard deviations away from 0, s² eps is lost, more where features are strongly
 * correlated. ml__statistics_weights() tells how much that may be.
 */
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"

enum {                     /* of full covariances */
       MOST_SUMMED = 32,   /* 561 statistics. With more it pays to leave rows without share out */
       MOST_FEATURES = 128 /* whose rows of a tile are in the first cache */
};

size_t ml__statistics_size(ml__covariance type, size_t d, bool has_missing)
{
    switch (type) {
    case ML__FULL:
        return has_missing || d > MOST_FEATURES ? 0 : 1 + d + d * (d + 1) / 2;
    case ML__TIED:
        return 1 + d;
    case ML__DIAG:
        return 1 + (has_missing ? 3 : 2) * d;
    default:
        return 2 + d;
    }
}

bool ml__statistics_are_summed(ml__covariance type, size_t d)
{
    return type != ML__FULL || d <= MOST_SUMMED;
}

size_t ml__statistics_rows(ml__covariance type, size_t d, bool has_missing)
{
    const size_t p = ml__statistics_size(type, d, has_missing);

    return type == ML__FULL && p > 0 ? 1 + d : p;
}

ml__squares ml__statistics_squares(ml__covariance type, bool has_missing)
{
    static const ml__squares OF[] = {ML__NO_SQUARES, ML__NO_SQUARES, ML__SQUARES, ML__NORM};

    return has_missing ? ML__OBSERVED : OF[type];
}

/* Distance from 0 within which a row of the component lies, in feature j. */
static double reach(const ml__mixture *m, size_t c, size_t j)
{
    const double *Sigma = m->covariances + ml__covariance_at(m, c);
    const double variance = m->type == ML__SPHERICAL ? *Sigma : m->type == ML__DIAG ? Sigma[j] : Sigma[j * (m->d + 1)];

    return fabs(m->means[c * m->d + j]) + sqrt(variance);
}

/* W of full and tied ones. P: d x d, of the component. */
static double weights_of_matrix(const ml__mixture *m, size_t c, const double *P, double *W)
{
    const size_t d = m->d;
    const double *mu = m->means + c * d;
    double *next = W + 1, *reaches = W + ml__statistics_size(m->type, d, false) - d, q = 0, error = 0;

    for (size_t i = 0; i < d; i++) /* where W comes to stand later */
        reaches[i] = reach(m, c, i);
    for (size_t i = 0; i < d; i++) {
        const double *row = P + i * d, reach_i = reaches[i];
        double sum = 0, size = 0;

        for (size_t j = 0; j < d; j++)
            sum += row[j] * mu[j];
        for (size_t j = i; j < d; j++)
            size += (j > i ? 2 : 1) * fabs(row[j]) * reaches[j];
        *next++ = sum;
        q += sum * mu[i];
        error += size * reach_i;
        for (size_t j = 0; j <= i && m->type == ML__FULL; j++)
            *next++ = j < i ? -row[j] : -0.5 * row[j];
    }
    W[0] = m->log_weights[c] + m->log_norms[c] - 0.5 * q;
    return error;
}

static double weights_of_diagonal(const ml__mixture *m, size_t c, bool has_missing, double *W)
{
    static const double HALF_LN_2PI = 0.9189385332046727418;
    const size_t d = m->d, step = m->type == ML__DIAG;
    const double *mu = m->means + c * d, *U = m->factors + ml__covariance_at(m, c);
    double *seen = W + 1, *linear = has_missing ? seen + d : seen, *square = linear + d, q = 0, error = 0;

    for (size_t j = 0; j < d; j++) {
        const double u = U[j * step], p = u * u, from_0 = reach(m, c, j);
        linear[j] = p * mu[j];
        square[j * step] = -0.5 * p;
        if (has_missing)
            seen[j] = log(u) - HALF_LN_2PI - 0.5 * p * mu[j] * mu[j];
        q += p * mu[j] * mu[j];
        error += p * from_0 * from_0;
    }
    W[0] = m->log_weights[c] + (has_missing ? 0 : m->log_norms[c] - 0.5 * q);
    return error;
}

/* What is in the error of a matrix at least: the squares. U: its factor. */
static double error_of_squares(const ml__mixture *m, size_t c, const double *U)
{
    const size_t d = m->d;
    double error = 0;

    for (size_t i = 0; i < d; i++) {
        const double from_0 = reach(m, c, i);
        double p = 0;

        for (size_t j = i; j < d; j++)
            p += U[i * d + j] * U[i * d + j];
        error += p * from_0 * from_0;
    }
    return error;
}

double ml__statistics_weights(const ml__mixture *m, size_t c, bool has_missing, double most, double *W, double *work)
{
    const size_t d = m->d;
    const double *U = m->factors + ml__covariance_at(m, c);

    if (m->type == ML__DIAG || m->type == ML__SPHERICAL)
        return weights_of_diagonal(m, c, has_missing, W);
    if (!ml__statistics_are_summed(m->type, d)) { /* P takes as long as many rows */
        const double error = error_of_squares(m, c, U);

        for (size_t v = 0; v < ml__statistics_size(m->type, d, false) && !(error <= most); v++)
            W[v] = NAN;
        if (!(error <= most))
            return error;
    }
    if (c == 0 || m->type == ML__FULL)
        ml__kernels_best()->f64.gemm_nt(d, d, d, U, d, U, d, 0, work, d);
    return weights_of_matrix(m, c, work, W);
}

/* The largest |x| of n columns of d numbers. */
static double farthest(size_t n, size_t d, const double *x, size_t ld)
{
    double most[ML__MIXTURE_GROUP] = {0}, largest = 0;

    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n; i += ML__MIXTURE_GROUP)
            for (size_t r = 0; r < ML__MIXTURE_GROUP; r++) {
                const double from_0 = fabs(x[j * ld + i + r]);
                most[r] = from_0 > most[r] ? from_0 : most[r];
            }
    for (size_t r = 0; r < ML__MIXTURE_GROUP; r++)
        largest = fmax(largest, most[r]);
    return largest;
}

double ml__statistics_bound(const ml__mixture *m, size_t n, const double *x, size_t ld)
{
    const size_t d = m->d, n_factor = ml__covariance_size(m->type, d);
    const double r = farthest(n, d, x, ld);
    double largest = 0;

    for (size_t c = 0; c < m->k; c++) {
        const double *mu = m->means + c * d, *U = m->factors + ml__covariance_at(m, c);
        double trace = 0, reach = 0;

        for (size_t v = 0; v < n_factor; v++)
            trace += U[v] * U[v];
        for (size_t j = 0; j < d; j++)
            reach = fmax(reach, fabs(mu[j]));
        trace *= m->type == ML__SPHERICAL ? (double)d : 1;
        largest = fmax(largest, (double)d * trace * (r + reach) * (r + reach));
    }
    return largest;
}
