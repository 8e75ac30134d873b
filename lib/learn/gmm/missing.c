/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gaussians of which some entries are not observed (Ghahramani & Jordan 1994, "Supervised learning from incomplete data via an
 * EM approach"; Little & Rubin, Statistical Analysis with Missing Data, 2nd ed., section 11.2).
 *
 *     density     of the observed entries o: N(x_o | mu_o, Sigma_oo)
 *     expected    missing entries m:  x_m = mu_m + B (x_o - mu_o),   B = Sigma_mo Sigma_oo^-1
 *     spread      of these:           C = Sigma_mm - B Sigma_om
 *
 * A row without any observed entry has density 1 and is expected at the mean.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"

enum { LANES = 4 };
static const double LN_2PI = 1.8378770664093454836;

size_t ml__pattern_doubles(size_t d)
{
    return 3 * d * d;
}

size_t ml__pattern_work(ml__covariance type, size_t d)
{
    return type == ML__FULL ? 2 * d + d * d : 0;
}

bool ml__has_missing(const double *x, size_t d)
{
    double found[LANES] = {0}; /* no branch for each number, and several at a time */
    const size_t whole = d / LANES * LANES;

    for (size_t j = 0; j < whole; j += LANES)
        for (size_t v = 0; v < LANES; v++)
            found[v] += x[j + v] != x[j + v] ? 1 : 0;
    for (size_t j = whole; j < d; j++)
        found[0] += isnan(x[j]) ? 1 : 0;
    for (size_t v = 1; v < LANES; v++)
        found[0] += found[v];
    return found[0] > 0;
}

void ml__pattern_of_row(const double *x, size_t d, ml__pattern *pattern)
{
    size_t n = 0;

    for (size_t j = 0; j < d; j++)
        if (!isnan(x[j]))
            pattern->order[n++] = j;
    pattern->n_seen = n;
    for (size_t j = 0; j < d; j++)
        if (isnan(x[j]))
            pattern->order[n++] = j;
}

/* Sigma of component c, whatever the type. */
static double covariance(const ml__mixture *m, size_t c, size_t i, size_t j)
{
    const double *Sigma = m->covariances + ml__covariance_at(m, c);

    if (m->type == ML__FULL || m->type == ML__TIED)
        return Sigma[i * m->d + j];
    return i != j ? 0 : m->type == ML__DIAG ? Sigma[i] : *Sigma;
}

/* B and C. Sigma_oo^-1 Sigma_om is made where C comes to stand, and turned into B. */
static void regress_missing(const ml__mixture *m, size_t c, ml__pattern *t)
{
    const size_t d = t->d, n = t->n_seen, n_gone = d - n;
    double *V = t->C; /* n x n_gone */

    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n_gone; b++)
            V[a * d + b] = covariance(m, c, t->order[a], t->order[n + b]);
    ml__solve_lower(n, n_gone, t->L, d, V, d);
    ml__solve_lower_transposed(n, n_gone, t->L, d, V, d);
    for (size_t b = 0; b < n_gone; b++)
        for (size_t a = 0; a < n; a++)
            t->B[b * d + a] = V[a * d + b];
    for (size_t a = 0; a < n_gone; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = covariance(m, c, t->order[n + a], t->order[n + b]);
            for (size_t o = 0; o < n; o++)
                sum -= t->B[a * d + o] * covariance(m, c, t->order[o], t->order[n + b]);
            t->C[a * d + b] = sum;
        }
}

void ml__pattern_factor(const ml__mixture *m, size_t c, bool regress, ml__pattern *t)
{
    const size_t d = t->d, n = t->n_seen;
    double log_det = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            t->L[i * d + j] = covariance(m, c, t->order[i], t->order[j]);
    t->is_degenerate = ml__cholesky(n, t->L, d) != 0;
    for (size_t i = 0; i < n && !t->is_degenerate; i++)
        log_det += log(t->L[i * d + i]);
    t->log_norm = t->is_degenerate ? -DBL_MAX / 4 : -log_det - 0.5 * (double)n * LN_2PI;
    if (regress)
        regress_missing(m, c, t);
}

double ml__pattern_distance(const ml__pattern *t, const double *x, const double *mu, double *y)
{
    double q = 0;

    if (t->is_degenerate)
        return 0;
    for (size_t a = 0; a < t->n_seen; a++)
        y[a] = x[t->order[a]] - mu[t->order[a]];
    ml__solve_lower(t->n_seen, 1, t->L, t->d, y, 1);
    for (size_t a = 0; a < t->n_seen; a++)
        q += y[a] * y[a];
    return q;
}

/* ln N(x_o | mu_o, Sigma_oo) where Sigma is diagonal */
static double log_density_seen(const ml__mixture *m, size_t c, const double *x)
{
    const double *mu = m->means + c * m->d, *U = m->factors + ml__covariance_at(m, c);
    const size_t step = m->type == ML__DIAG;
    double sum = 0, q = 0;

    for (size_t j = 0; j < m->d; j++)
        if (!isnan(x[j])) {
            const double y = (x[j] - mu[j]) * U[j * step];
            sum += log(U[j * step]) - 0.5 * LN_2PI;
            q += y * y;
        }
    return sum - 0.5 * fmin(q, DBL_MAX);
}

void ml__log_densities_seen(const ml__mixture *m, const double *x, double *work, double *out)
{
    const size_t d = m->d;
    ml__pattern t = {.d = d};

    for (size_t c = 0; c < m->k && m->type >= ML__DIAG; c++)
        out[c] = log_density_seen(m, c, x);
    if (m->type >= ML__DIAG)
        return;
    t.order = (size_t *)(void *)work;
    t.L = work + 2 * d;
    ml__pattern_of_row(x, d, &t);
    for (size_t c = 0; c < m->k; c++) {
        ml__pattern_factor(m, c, false, &t);
        out[c] = t.log_norm - 0.5 * fmin(ml__pattern_distance(&t, x, m->means + c * d, work + d), DBL_MAX);
    }
}

ml_status ml__sum_observed(const ml__points *points, double *W, double *squares)
{
    const double *X;
    ml__window window;
    ml_status st;

    ML__TRY(ml__window_open(&window, points, 1, points->n));
    for (size_t i = 0; i < points->n;) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end; i++, X += points->d)
            for (size_t j = 0; j < points->d; j++) {
                W[j] += isnan(X[j]) ? 0 : points->w[i];
                squares[j] += isnan(X[j]) ? 0 : points->w[i] * X[j] * X[j];
            }
    }
done:
    ml__window_close(&window);
    return st;
}
