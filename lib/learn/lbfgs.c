/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limited-memory BFGS (Liu & Nocedal 1989; Nocedal & Wright, Numerical Optimization, 2nd ed., algorithms 7.4 and 7.5).
 *
 * Direction   p = -H g, H from the last HISTORY pairs s = x+ - x, y = g+ - g by the two-loop recursion, with
 *             H0 = (s'y / y'y) I; the first direction is -g, scaled to a step of length at most 1
 * Line        phi(t) = F(x + t p). A step is accepted when it descends enough and the slope is nearly level:
 *                 phi(t) <= phi(0) + C1 t phi'(0) and |phi'(t)| <= C2 |phi'(0)|                         (strong Wolfe)
 *             or, where differences of F drown in its rounding, when
 *                 phi(t) <= phi(0) + NOISE |F| and C2 phi'(0) <= phi'(t) <= (2 C1 - 1) phi'(0)  (Hager & Zhang 2005,
 *                 eq. 4.1)
 *             [lo, hi] brackets such a step: lo descends with phi'(lo) < 0, hi rises or is too high. Trial steps are
 *             the minimum of the cubic through both ends, kept away from them, or EXPANSION lo while there is no hi.
 * Stop        max_j |g_j| <= tol: converged. Level to rounding is converged as well: no step descends, not even along
 *             -g with the history dropped, or neither F nor max |g| has reached a new low for MAX_STALLED iterations.
 *             max_iter; or the caller says so, after an iteration or within an evaluation: then x is the last one accepted.
 *
 * Symbols     n variables; x, g, p [n]; S, Y [HISTORY x n], rho = 1 / s'y; t step
 * Cost        per iteration one evaluation of F, rarely more, and 4 HISTORY n
 */
#include "learn/lbfgs.h"

#include <float.h>
#include <invar/model.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

enum {
    HISTORY = 10,    /* scikit-learn's choice; more rarely pays */
    MAX_TRIALS = 40, /* of a line search; bisection alone resolves 2^-40 */
    MAX_STALLED = 20
};
static const double C1 = 1e-4, C2 = 0.9; /* the usual ones for quasi-Newton directions */
static const double EXPANSION = 4;
static const double NOISE = 1e-13; /* relative rounding of F, a sum over many rows */

typedef struct {
    double t, value, slope;
} trial;

typedef struct {
    ml__lbfgs *search;
    double *x, *g, *p;
    double *x_next, *g_next;
    double F;
    double *S, *Y, rho[HISTORY];
    size_t n_pairs, newest;
    double lowest_F, lowest_g;
    size_t n_stalled;
} state;

static double dot(size_t n, const double *a, const double *b)
{
    return ml__kernels_best()->f64.dot(n, a, b);
}

static double largest(size_t n, const double *g)
{
    double most = 0;

    for (size_t j = 0; j < n; j++)
        if (!(fabs(g[j]) <= most))
            most = fabs(g[j]);
    return most;
}

/* ---- direction ---- */

static void add_scaled(size_t n, double a, const double *x, double *y)
{
    for (size_t j = 0; j < n; j++)
        y[j] += a * x[j];
}

static void scale(size_t n, double a, double *x)
{
    for (size_t j = 0; j < n; j++)
        x[j] *= a;
}

/* Algorithm 7.4 */
static void find_direction(state *s)
{
    const size_t n = s->search->n;
    double alpha[HISTORY];

    for (size_t j = 0; j < n; j++)
        s->p[j] = -s->g[j];
    if (!s->n_pairs) {
        scale(n, 1 / fmax(1, sqrt(dot(n, s->g, s->g))), s->p);
        return;
    }
    for (size_t i = 0; i < s->n_pairs; i++) {
        const size_t at = (s->newest + HISTORY - i) % HISTORY;
        alpha[at] = s->rho[at] * dot(n, s->S + at * n, s->p);
        add_scaled(n, -alpha[at], s->Y + at * n, s->p);
    }
    scale(n, 1 / (s->rho[s->newest] * dot(n, s->Y + s->newest * n, s->Y + s->newest * n)), s->p);
    for (size_t i = s->n_pairs; i-- > 0;) {
        const size_t at = (s->newest + HISTORY - i) % HISTORY;
        add_scaled(n, alpha[at] - s->rho[at] * dot(n, s->Y + at * n, s->p), s->S + at * n, s->p);
    }
}

/* Keep the pair of an accepted step, unless its curvature is lost in rounding. */
static void remember(state *s)
{
    const size_t n = s->search->n, at = s->n_pairs ? (s->newest + 1) % HISTORY : 0;
    double *S = s->S + at * n, *Y = s->Y + at * n, curvature;

    for (size_t j = 0; j < n; j++) {
        S[j] = s->x_next[j] - s->x[j];
        Y[j] = s->g_next[j] - s->g[j];
    }
    curvature = dot(n, S, Y);
    if (!(curvature > DBL_EPSILON * dot(n, Y, Y)) || !isfinite(1 / curvature))
        return;
    s->rho[at] = 1 / curvature;
    s->newest = at;
    if (s->n_pairs < HISTORY)
        s->n_pairs++;
}

/* ---- line search ---- */

static ml_status try_step(state *s, double t, trial *out)
{
    const size_t n = s->search->n;
    ml_status st;

    for (size_t j = 0; j < n; j++)
        s->x_next[j] = s->x[j] + t * s->p[j];
    ML__TRY(s->search->objective(s->search->argument, s->x_next, &out->value, s->g_next));
    out->t = t;
    out->slope = dot(n, s->g_next, s->p);
done:
    return st;
}

/* Minimum of the cubic with these values and slopes (Nocedal & Wright, eq. 3.59), at least a tenth away from the
 * ends. */
static double interpolate(const trial *lo, const trial *hi)
{
    const double span = hi->t - lo->t;
    const double d1 = lo->slope + hi->slope - 3 * (lo->value - hi->value) / (lo->t - hi->t);
    const double root = d1 * d1 - lo->slope * hi->slope;
    const double d2 = sqrt(fmax(root, 0));
    double t = hi->t - span * (hi->slope + d2 - d1) / (hi->slope - lo->slope + 2 * d2);

    if (!isfinite(t) || !isfinite(hi->value))
        t = lo->t + span / 2;
    return fmin(fmax(t, lo->t + span / 10), hi->t - span / 10);
}

/* x_next, g_next become an acceptable step; *found false when there is none, or the objective stops the search. */
static ml_status search_line(state *s, double slope, bool *found, double *value)
{
    const double noise = NOISE * fabs(s->F);
    trial lo = {0, s->F, slope}, hi = {INFINITY, 0, 0}, now = lo;
    double t = 1;
    ml_status st = ML_OK;

    *found = false;
    for (int i = 0; i < MAX_TRIALS && !*found; i++) {
        ML__TRY(try_step(s, t, &now));
        if (s->search->stop)
            break;
        const bool descends = now.value <= s->F + C1 * t * slope;
        const bool level = fabs(now.slope) <= -C2 * slope;
        const bool near = now.value <= s->F + noise && now.slope <= (2 * C1 - 1) * slope;

        if (level && (descends || near)) {
            *found = true;
            *value = now.value;
        } else if (!(descends || near) || !(now.slope < 0)) {
            hi = now;
        } else {
            lo = now;
        }
        t = isinf(hi.t) ? EXPANSION * t : interpolate(&lo, &hi);
    }
done:
    return st;
}

/* ---- the loop ---- */

static ml_status create(ml__arena *scratch, ml__lbfgs *search, double *x, state *s)
{
    const size_t n = search->n;
    ml_status st = ML_OK;

    *s = (state){.search = search, .x = x, .lowest_F = INFINITY, .lowest_g = INFINITY};
    ML__NEW(scratch, s->g, n);
    ML__NEW(scratch, s->p, n);
    ML__NEW(scratch, s->x_next, n);
    ML__NEW(scratch, s->g_next, n);
    ML__NEW(scratch, s->S, HISTORY * n);
    ML__NEW(scratch, s->Y, HISTORY * n);
done:
    return st;
}

static void accept(state *s, double value)
{
    const size_t n = s->search->n;

    remember(s);
    memcpy(s->x, s->x_next, n * sizeof *s->x);
    memcpy(s->g, s->g_next, n * sizeof *s->g);
    s->F = value;
}

/* One iteration; *level when no direction descends any more. */
static ml_status iterate(state *s, bool *level)
{
    double slope, value = s->F;
    bool found = false;
    ml_status st = ML_OK;

    *level = false;
    while (!found) {
        find_direction(s);
        slope = dot(s->search->n, s->g, s->p);
        if (slope < 0)
            ML__TRY(search_line(s, slope, &found, &value));
        if (s->search->stop)
            break;
        if (found)
            accept(s, value);
        else if (s->n_pairs)
            s->n_pairs = 0;
        else {
            *level = true;
            break;
        }
    }
done:
    return st;
}

/* The largest |gradient|; keeps count of iterations without progress. */
static double look_around(state *s)
{
    const double g = largest(s->search->n, s->g);

    s->n_stalled = s->F < s->lowest_F || g < s->lowest_g ? 0 : s->n_stalled + 1;
    s->lowest_F = fmin(s->F, s->lowest_F);
    s->lowest_g = fmin(g, s->lowest_g);
    return g;
}

ml_status ml__lbfgs_minimise(ml__arena *scratch, ml__lbfgs *search, double *x)
{
    bool level = false, stop = false;
    state s;
    ml_status st;

    search->n_iter = 0;
    search->stop = false;
    ML__TRY(create(scratch, search, x, &s));
    search->stop_reason = ML_STOP_DEADLINE;
    ML__TRY(search->objective(search->argument, x, &s.F, s.g));
    if (search->stop)
        return ML_OK;
    ML__CHECK(isfinite(s.F) && isfinite(largest(search->n, s.g)), ML_E_NUMERIC, "the loss is not finite at the start");
    for (;;) {
        if (look_around(&s) <= search->tol || level || s.n_stalled > MAX_STALLED) {
            search->stop_reason = ML_STOP_CONVERGED;
            break;
        }
        if (stop || search->n_iter == search->max_iter) {
            search->stop_reason = stop ? ML_STOP_DEADLINE : ML_STOP_MAX_ITER;
            break;
        }
        ML__TRY(iterate(&s, &level));
        if (search->stop)
            break;
        search->n_iter++;
        ML__TRY(search->step(search->argument, search->n_iter, s.F, &stop));
    }
done:
    return st;
}
