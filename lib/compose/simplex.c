/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Convex minimisation on the simplex: sequential quadratic programming with an exact active-set solver.
 *
 * Problem     min F(w),  w >= 0, sum_m w_m = 1
 *             log-loss  F = -(1/W) sum_i omega_i log s_i,  s = P w      g_m = -(1/W) sum_i omega_i P_im / s_i
 *                                                                       H_ml = (1/W) sum_i omega_i P_im P_il / s_i^2
 *             squares   F = 1/2 w'H w,  H_ml = (1/W) sum_i omega_i R_im R_il,  g = H w
 * Optimal     Karush-Kuhn-Tucker: g_m = theta where w_m > 0, g_m >= theta elsewhere. Since F is convex,
 *             gap = g'w - min_m g_m  >=  F(w) - min F,  which is 0 exactly there: the certificate.
 * Iteration   w+ = argmin over the simplex of the quadratic model  g'(v - w) + 1/2 (v - w)'(H + eps I)(v - w); a step
 *             of length t towards it by the slope of F along the way. For squares the model is F itself, and t = 1.
 *             eps, tiny against H, makes the model strictly convex when members are collinear; as w is its centre, that
 *             does not move the limit (proximal point, Rockafellar 1976).
 * Model       primal active set (Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 16.3): minimise with
 *             sum v = 1 over the free variables; if one gets negative go as far as the boundary and fix it, else free
 *             the one with the most negative multiplier. A = H + eps I + kappa 11' has the same minimiser on sum v = 1
 *             (the last term is constant there) and is well-conditioned along 1.
 *
 * Symbols     n observations i, m members; W = sum omega; free set f, n_f variables; theta multiplier of sum v = 1
 * Degenerate  members with equal columns share their weight evenly
 * Cost        per iteration n m^2 for H (log-loss; once for squares) and a few m^3; about 10 iterations
 */
#include "compose/simplex.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

enum { MAX_ITERATIONS = 200 };
static const double GAP = 1e-9; /* relative; see each loss */
static const double RIDGE =
    1e-12; /* of the largest diagonal: far below any curvature that matters, far above rounding */

typedef struct {
    size_t n, m;
    double W;
    const double *P, *omega; /* P are the errors R in the case of squares */
    double *w, *g, *H;       /* [m], [m], [m x m] lower triangle filled to both */
    double *v, *d;           /* [m] minimiser of the model, d = v - w */
    double *s, *s_v, *q;     /* [n] P w, P v, P d; q also the weights of H */
    /* active set */
    double *A, *b, *L, *solution; /* model 1/2 v'A v + b'v; [m x m], [m], [m x m], [m x 2] */
    size_t *free_set;
    bool *is_free;
} state;

static ml_status create(ml__arena *scratch, size_t n, size_t m, const double *P, const double *omega, double *w,
                        state *s)
{
    ml_status st = ML_OK;

    *s = (state){.n = n, .m = m, .P = P, .omega = omega, .w = w};
    ML__NEW(scratch, s->g, m);
    ML__NEW(scratch, s->H, m * m);
    ML__NEW(scratch, s->v, m);
    ML__NEW(scratch, s->d, m);
    ML__NEW(scratch, s->s, n);
    ML__NEW(scratch, s->s_v, n);
    ML__NEW(scratch, s->q, n);
    ML__NEW(scratch, s->A, m * m);
    ML__NEW(scratch, s->b, m);
    ML__NEW(scratch, s->L, m * m);
    ML__NEW(scratch, s->solution, 2 * m);
    ML__NEW(scratch, s->free_set, m);
    ML__NEW(scratch, s->is_free, m);
    s->W = ml__kernels_best()->f64.sum(n, omega);
    for (size_t k = 0; k < m; k++)
        w[k] = 1 / (double)m;
done:
    return st;
}

/* ---- matrices and vectors of the problem ---- */

/* out = M x, M [m x m] symmetric */
static void multiply(const state *s, const double *M, const double *x, double *out)
{
    for (size_t k = 0; k < s->m; k++) {
        out[k] = 0;
        for (size_t l = 0; l < s->m; l++)
            out[k] += M[k * s->m + l] * x[l];
    }
}

/* out [n] = P x */
static void combine(const state *s, const double *x, double *out)
{
    for (size_t i = 0; i < s->n; i++) {
        out[i] = 0;
        for (size_t k = 0; k < s->m; k++)
            out[i] += s->P[i * s->m + k] * x[k];
    }
}

/* H = (1/W) sum_i omega_i P_i P_i' / divisor_i^2; NULL stands for 1. */
static void fill_hessian(state *s, const double *divisor)
{
    const size_t m = s->m;

    for (size_t i = 0; i < s->n; i++)
        s->q[i] = s->omega[i] / s->W / (divisor ? divisor[i] * divisor[i] : 1);
    memset(s->H, 0, m * m * sizeof *s->H);
    ml__kernels_best()->f64.syrk_weighted(m, s->n, s->P, m, s->q, s->H, m);
    for (size_t k = 0; k < m; k++)
        for (size_t l = 0; l < k; l++)
            s->H[l * m + k] = s->H[k * m + l];
}

static double largest_diagonal(const state *s)
{
    double most = 0;

    for (size_t k = 0; k < s->m; k++)
        most = fmax(most, s->H[k * s->m + k]);
    return most;
}

static double dot(size_t n, const double *a, const double *b)
{
    return ml__kernels_best()->f64.dot(n, a, b);
}

static double gap_of(const state *s)
{
    double least = s->g[0];

    for (size_t k = 1; k < s->m; k++)
        least = fmin(least, s->g[k]);
    return dot(s->m, s->g, s->w) - least;
}

/* ---- the quadratic model ---- */

static void build_model(state *s)
{
    const double most = largest_diagonal(s), ridge = RIDGE * most;

    multiply(s, s->H, s->w, s->b);
    for (size_t k = 0; k < s->m; k++) {
        s->b[k] = s->g[k] - s->b[k] - ridge * s->w[k];
        for (size_t l = 0; l < s->m; l++)
            s->A[k * s->m + l] = s->H[k * s->m + l] + most + (k == l ? ridge : 0);
    }
}

/* Minimiser over the free variables with sum 1, the others 0, into `target`; *theta is the multiplier of the sum. With
 * A_f u = 1 and A_f y = -b_f it is y + theta u. False when A_f is not positive definite. */
static bool minimise_free(state *s, double *target, double *theta)
{
    const size_t m = s->m;
    size_t n_f = 0;
    double sum_u = 0, sum_y = 0;

    for (size_t k = 0; k < m; k++)
        if (s->is_free[k])
            s->free_set[n_f++] = k;
    for (size_t a = 0; a < n_f; a++) {
        for (size_t c = 0; c <= a; c++)
            s->L[a * m + c] = s->A[s->free_set[a] * m + s->free_set[c]];
        s->solution[2 * a] = 1;
        s->solution[2 * a + 1] = -s->b[s->free_set[a]];
    }
    if (ml__cholesky(n_f, s->L, m) != 0)
        return false;
    ml__solve_lower(n_f, 2, s->L, m, s->solution, 2);
    ml__solve_lower_transposed(n_f, 2, s->L, m, s->solution, 2);
    for (size_t a = 0; a < n_f; a++) {
        sum_u += s->solution[2 * a];
        sum_y += s->solution[2 * a + 1];
    }
    *theta = (1 - sum_y) / sum_u;
    memset(target, 0, m * sizeof *target);
    for (size_t a = 0; a < n_f; a++)
        target[s->free_set[a]] = s->solution[2 * a + 1] + *theta * s->solution[2 * a];
    return true;
}

/* Move v towards `target` as far as no variable gets negative; the one that stops it is fixed at 0. True when it is
 * reached. */
static bool move_to_boundary(state *s, const double *target)
{
    double t = 1;
    size_t blocking = s->m;

    for (size_t k = 0; k < s->m; k++)
        if (s->is_free[k] && target[k] < 0 && s->v[k] / (s->v[k] - target[k]) < t) {
            t = s->v[k] / (s->v[k] - target[k]);
            blocking = k;
        }
    for (size_t k = 0; k < s->m; k++)
        s->v[k] = fmax(0, s->v[k] + t * (target[k] - s->v[k]));
    if (blocking == s->m)
        return true;
    s->v[blocking] = 0;
    s->is_free[blocking] = false;
    return false;
}

/* Free the variable whose multiplier A v + b - theta is the most negative; false when there is none. */
static bool free_one(state *s, double theta)
{
    const size_t m = s->m;
    size_t best = m;
    double least = -1e-14 * (fabs(theta) + s->A[0]);

    for (size_t k = 0; k < m; k++) {
        const double multiplier = s->is_free[k] ? 0 : dot(m, s->A + k * m, s->v) + s->b[k] - theta;
        if (multiplier < least) {
            least = multiplier;
            best = k;
        }
    }
    if (best < m)
        s->is_free[best] = true;
    return best < m;
}

/* v = argmin of the model, from w. `target` is d, which is set afterwards. */
static void minimise_model(state *s)
{
    double sum = 0, theta;

    build_model(s);
    memcpy(s->v, s->w, s->m * sizeof *s->v);
    for (size_t k = 0; k < s->m; k++)
        s->is_free[k] = s->w[k] > 0;
    for (size_t i = 0; i < 10 * (s->m + 10); i++) {
        if (!minimise_free(s, s->d, &theta))
            break;
        if (move_to_boundary(s, s->d) && !free_one(s, theta))
            break;
    }
    for (size_t k = 0; k < s->m; k++)
        sum += s->v[k];
    for (size_t k = 0; k < s->m; k++) {
        s->v[k] /= sum;
        s->d[k] = s->v[k] - s->w[k];
    }
}

/* ---- log-loss ---- */

static void differentiate_log_loss(state *s)
{
    combine(s, s->w, s->s);
    memset(s->g, 0, s->m * sizeof *s->g);
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->m; k++)
            s->g[k] -= s->omega[i] / s->W * (s->P[i * s->m + k] / s->s[i]);
}

/* F(w + t d) - F(w) and its slope in t. P > 0, so that s at both ends and between them is > 0; differences of it are
 * taken from q, which has the digits that s_v - s has lost. */
static double change_at(const state *s, double t, double *slope)
{
    double change = 0;

    *slope = 0;
    for (size_t i = 0; i < s->n; i++) {
        const double share = s->omega[i] / s->W, s_t = (1 - t) * s->s[i] + t * s->s_v[i];
        change -= share * log(s_t / s->s[i]);
        *slope -= share * (s->q[i] / s_t);
    }
    return change;
}

/* F / (least share) is self-concordant, so that the whole step is safe, and from there on converges quadratically, when
 * d'H d <= (least share) / 16 (Boyd & Vandenberghe, Convex Optimization, section 9.6.4). Unlike values and slopes of F
 * this does not drown in rounding near the minimum. */
static bool is_near(const state *s)
{
    double decrement = 0, least = 1;

    for (size_t i = 0; i < s->n; i++) {
        const double share = s->omega[i] / s->W, r = s->q[i] / s->s[i];
        decrement += share * r * r;
        if (share > 0)
            least = fmin(least, share);
    }
    return decrement <= least / 16;
}

/* t in (0, 1] where F has descended and its slope is at most half of that at 0: 1 if it will do, otherwise by
 * bisection, which ends since the slope grows with t. 0 when F does not descend. */
static double choose_step(const state *s)
{
    double lo = 0, hi = 1, t = 1, slope0, slope, change;

    if (is_near(s))
        return 1;
    (void)change_at(s, 0, &slope0);
    change = change_at(s, 1, &slope);
    if (!(slope0 < 0))
        return 0;
    if (slope <= 0 || (slope <= -0.1 * slope0 && change <= 0))
        return 1;
    for (int i = 0; i < 60; i++) {
        t = (lo + hi) / 2;
        (void)change_at(s, t, &slope);
        if (slope > 0)
            hi = t;
        else if (slope < 0.5 * slope0)
            lo = t;
        else
            break;
    }
    return slope > 0 ? lo : t;
}

static void take_step(state *s, double t)
{
    for (size_t k = 0; k < s->m; k++)
        s->w[k] = t < 1 ? s->w[k] + t * s->d[k] : s->v[k];
}

/* ---- equal members ---- */

static bool equal_columns(const state *s, size_t a, size_t b)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->P[i * s->m + a] != s->P[i * s->m + b])
            return false;
    return true;
}

/* F sees only the sum of their weights. is_free marks those that are done. */
static void share_among_equals(state *s)
{
    for (size_t k = 0; k < s->m; k++)
        s->is_free[k] = false;
    for (size_t k = 0; k < s->m; k++) {
        double sum = 0;
        size_t n_equal = 0;

        if (s->is_free[k])
            continue;
        for (size_t l = k; l < s->m; l++)
            if (!s->is_free[l] && (l == k || equal_columns(s, k, l))) {
                s->free_set[n_equal++] = l;
                s->is_free[l] = true;
                sum += s->w[l];
            }
        for (size_t e = 0; e < n_equal; e++)
            s->w[s->free_set[e]] = sum / (double)n_equal;
    }
}

/* ---- the two problems ---- */

/* At the minimum g'w = -1, so that the gap is relative by itself. */
ml_status ml__simplex_log_loss(ml__arena *scratch, size_t n, size_t m, const double *P, const double *omega, double *w,
                               double *gap)
{
    state s;
    ml_status st;

    ML__TRY(create(scratch, n, m, P, omega, w, &s));
    for (int i = 0; i < MAX_ITERATIONS; i++) {
        double t;

        differentiate_log_loss(&s);
        if (gap_of(&s) <= GAP)
            break;
        fill_hessian(&s, s.s);
        minimise_model(&s);
        combine(&s, s.v, s.s_v);
        combine(&s, s.d, s.q);
        t = choose_step(&s);
        if (t == 0)
            break;
        take_step(&s, t);
    }
    share_among_equals(&s);
    differentiate_log_loss(&s);
    *gap = gap_of(&s);
done:
    return st;
}

/* The gap is relative to w'Hw = 2 F, down to the rounding of H. The second round repeats the model around the
 * minimiser of the first, which takes the ridge off. */
ml_status ml__simplex_squares(ml__arena *scratch, size_t n, size_t m, const double *R, const double *omega, double *w,
                              double *gap)
{
    state s;
    double rounding;
    ml_status st;

    ML__TRY(create(scratch, n, m, R, omega, w, &s));
    fill_hessian(&s, NULL);
    rounding = 16 * DBL_EPSILON * largest_diagonal(&s);
    for (int i = 0; i < MAX_ITERATIONS && largest_diagonal(&s) > 0; i++) {
        multiply(&s, s.H, w, s.g);
        if (i >= 2 && gap_of(&s) <= GAP * dot(m, s.g, w) + rounding)
            break;
        minimise_model(&s);
        take_step(&s, 1);
    }
    share_among_equals(&s);
    multiply(&s, s.H, w, s.g);
    *gap = gap_of(&s);
done:
    return st;
}
