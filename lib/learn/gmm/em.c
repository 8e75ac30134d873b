/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expectation maximisation for mixtures of Gaussians: both steps in one pass over the rows.
 *
 * Model       p(x) = Σ_c pi_c N(x | mu_c, Sigma_c)
 * E-step      r_ic = pi_c N(x_i | mu_c, Sigma_c) / Σ_l pi_l N(x_i | mu_l, Sigma_l),  by log-sum-exp over c
 *             L    = Σ_i w_i ln p(x_i) / Σ_i w_i             (the lower bound that EM raises)
 * M-step      N_c  = Σ_i w_i r_ic + 10 eps                   pi_c = N_c / Σ_l N_l
 *             mu_c = Σ_i w_i r_ic x_i / N_c                  Sigma_c = Σ_i w_i r_ic (x_i - mu_c)(x_i - mu_c)' / N_c + a I
 *             tied: Σ_c N_c Sigma_c / Σ_c N_c;  diagonal: its diagonal;  spherical: the mean of that
 *             (Dempster, Laird & Rubin 1977; Bishop, Pattern Recognition and Machine Learning, 2006, section 9.2.2. The order
 *             of steps and 10 eps are scikit-learn's.)
 *
 * Symbols     n rows, d features, k components, p statistics; i row, j feature, c component; a = reg_covar
 *             X [n x d] rows less their centre (start.c), so that a large common offset costs no digits; w [n] weights of mean 1
 * Blocks      of rows, a column for each: statistics T [p x rows], log-densities W'T, soft-max, sums R T'; of full covariances
 *             only 1 and x are kept, products are made where they are used. Nothing of n x k
 *             is kept, and T of few rows only (lib/kernel/mixture.h).
 * Moments     about an origin o_c: with z = x - o_c, S1 = Σ w r z, S2 = Σ w r z z', e = mu_c - o_c:
 *                 N_c Sigma_c = S2 - S1 e' - e S1' + N e e'
 *             Those of T(x) have origin 0 and lose digits when a component is far from it (statistics.c): then, and for full
 *             covariances of many features, z is formed for each component, with the old mean as origin, and with the new
 *             one in a second pass when it moved too far. Densities are computed from x - mu where a component is far, but
 *             not where one component leads by so much that statistics tell which.
 * Streams     each pass reads the rows block by block (window.h); random shares are made from a key and the row's number
 * Missing     the expected values of x and x x' given what was observed, under the mixture before, stand in their place.
 *             Diagonal: mu_cj and mu_cj² + sigma_cj² for a missing x_j. Full: missing.c.
 * Prior       with one, the M-step's N, means and covariances become those of the posterior, which weighs the next E-step, and L
 *             is the lower bound of variational inference (posterior.c). The pass over the rows is the same.
 * Degenerate  a component that collapses onto a point, lies in a subspace, or gets no row at all keeps Sigma >= a I; where a
 *             is 0 and Sigma only rounding, or a so far below Sigma that there is no factor: ML_E_NUMERIC.
 * Cost        per iteration 4 n k p flops, p about d²/2 for full covariances; memory: for each slot k p doubles, for each thread
 *             (p + 2 k) times the rows of a block and 8 k p
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "learn/gmm/mixture.h"

/* |T|'|W| up to which statistics are used: eps times it is 2e-11. */
static const double LARGEST_ERROR = 1e5;
/* A component this much less dense than another has no share: exp underflows. */
static const double LARGEST_LEAD = 800;

/* Up to which shares are left out of moments about origins. N_c has 10 eps more than its shares: next to that 2^40 of these
 * move a mean by 2^-61 of the distance of their rows at most. */
static const double LEAST_SHARE = 0x1p-150;

enum {
    BLOCK_VALUES = 1 << 14, /* of statistics and shares in a block: 128 KiB */
    BLOCK_UNIT = 32,        /* rows of a block are a multiple of it */
    BLOCK_LEAST = 64,       /* rows */
    HELD_VALUES = 1 << 16,  /* of statistics that are made once. More would be read no faster than they are made */
    MOST_SLOTS = 32,
    WIDE_SUMS = 1 << 13, /* sums from which on fewer slots are enough */
    WIDE_SLOTS = 24,
    ADD_VALUES = 1024 /* of partial sums: one task */
};

typedef struct pass {
    ml__em *em;
    const ml__mixture *m; /* NULL: shares are given */
    bool statistics_in_E, statistics_in_M;
    bool is_first; /* the first step: components may be so tight that statistics are not exact enough, but decide */
} pass;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- workspace of a task ---- */

/* Each begins with a line of a cache: no vector of a block is in two of them. */
typedef struct workspace {
    size_t number;    /* of em->rooms; n_rooms: allocated for this task */
    double *room;     /* all that follows */
    double *T;        /* n_kept x ld: a column for each row; or what is held of them */
    double *R;        /* k x ld: log-densities, then shares */
    double *lse;      /* rows */
    double *P;        /* k x p partial sums of R T' */
    double *Z, *Y;    /* d x ld, or rows x d */
    double *patterns; /* of all components, and a row; full with missing entries */
    size_t *order;    /* d, with patterns */
} workspace;

static bool has_patterns(const ml__em *em)
{
    return em->has_missing && em->next.type == ML__FULL;
}

static size_t n_partial_sums(const ml__em *em)
{
    return em->is_summed ? em->next.k * em->p * ML__MIXTURE_GROUP : 0;
}

/* One that no other task has. Only an executor of the host may run more tasks than there are rooms. */
static ml_status take_workspace(const ml__em *em, workspace *s)
{
    const size_t ld = em->ld, d = em->points.d, k = em->next.k;

    for (s->number = 0; s->number < em->n_rooms; s->number++)
        if (!atomic_exchange(&em->is_taken[s->number], true))
            break;
    s->room = s->number < em->n_rooms ? em->rooms + s->number * em->room
                                      : ml__alloc_array(em->context, em->room, sizeof *s->room);
    if (!s->room)
        return ML_E_MEMORY;
    s->T = s->room;
    s->R = s->T + ld * em->n_kept;
    s->lse = s->R + ld * k;
    s->P = s->lse + ld;
    s->Z = s->P + n_partial_sums(em);
    s->Y = s->Z + ld * d;
    s->patterns = s->Y + ld * d;
    s->order = (size_t *)(s->patterns + k * (ml__pattern_doubles(d) + 1) + d);
    return ML_OK;
}

static void leave_workspace(const ml__em *em, const workspace *s)
{
    if (s->number < em->n_rooms)
        atomic_store(&em->is_taken[s->number], false);
    else
        ml__free(s->room);
}

/* Doubles of a room: whole lines of a cache. */
static bool count_work(const ml__em *em, size_t k, size_t d, size_t *out)
{
    size_t n, m, pattern = 0;

    /* log-densities of rows stand behind Z and Y before they are turned */
    if (!ml__size_mul(2 * d + em->n_kept + 1, em->ld, &n) || !ml__size_mul(k, 2 * em->ld, &m) ||
        !ml__size_add(n, m, &n) || !ml__size_add(n, n_partial_sums(em), &n))
        return false;
    if (has_patterns(em) &&
        (!ml__size_mul(k, ml__pattern_doubles(d) + 1, &pattern) || !ml__size_add(pattern, 2 * d, &pattern)))
        return false;
    if (!ml__size_add(n, pattern, &n) || !ml__size_add(n, ML__MIXTURE_GROUP - 1, &n))
        return false;
    *out = n / ML__MIXTURE_GROUP * ML__MIXTURE_GROUP;
    return true;
}

/* ---- shares of a block ---- */

/* R[k x ld] = L[n x k]' */
static void turn(size_t n, size_t k, const double *L, double *R, size_t ld)
{
    for (size_t c = 0; c < k; c++)
        for (size_t i = 0; i < n; i++)
            R[c * ld + i] = L[i * k + c];
}

/* Of row i, r[0], r[ld], …: by themselves, they need not be kept. */
static void draw_shares(const ml__em *em, size_t i, double *r)
{
    const size_t k = em->next.k, ld = em->ld;
    double total = 0;

    for (size_t c = 0; c < k; c++)
        total += r[c * ld] = (double)((ml__random_at(em->key, i * k + c) >> 11) + 1) * 0x1p-53; /* not 0 */
    for (size_t c = 0; c < k; c++)
        r[c * ld] *= em->points.w[i] / total;
}

static void given_shares(const ml__em *em, size_t first, size_t n, double *R)
{
    const size_t k = em->next.k;
    const double *w = em->points.w + first;

    memset(R, 0, k * em->ld * sizeof *R);
    for (size_t i = 0; i < n && !em->of; i++)
        draw_shares(em, first + i, R + i);
    if (!em->of)
        return;
    for (size_t i = 0; i < n; i++)
        if (em->of[first + i] != UINT32_MAX)
            R[em->of[first + i] * em->ld + i] = w[i];
}

/* ln pi + log-densities become w r; returns Σ w ln p(x). */
static double shares(const ml__em *em, size_t first, size_t n, double *R, double *lse)
{
    const ml__kernels *kernels = ml__kernels_best();
    const double *w = em->points.w + first;

    kernels->mixture.mixture_shares(em->next.k, n, R, em->ld, w, lse);
    return kernels->f64.dot(n, w, lse);
}

/* ln pi + log-densities of the columns of T */
static void densities_of_statistics(const ml__em *em, size_t n, const workspace *s)
{
    const ml__kernels *kernels = ml__kernels_best();
    const size_t k = em->next.k, ld = em->ld;

    if (em->next.type == ML__FULL)
        kernels->mixture.mixture_quadratics(k, em->points.d, n, em->W, s->T, ld, s->R, ld);
    else
        kernels->f64.gemm_nn(k, ml__whole_groups(n), em->p, em->W, em->p, s->T, ld, 0, s->R, ld);
}

/* R T' comes to P. */
static void add_statistics(const ml__em *em, size_t n, const workspace *s)
{
    const ml__mixture_kernels *kernels = &ml__kernels_best()->mixture;
    const size_t k = em->next.k, ld = em->ld;

    if (em->next.type == ML__FULL)
        kernels->mixture_add_pairs(k, em->points.d, n, s->R, ld, s->T, ld, s->P);
    else
        kernels->mixture_add(k, em->p, n, s->R, ld, s->T, ld, s->P);
}

/* Do log-densities of statistics give the shares, and the sum of all to as many digits as others? In every row one
 * component has to lead by more than rounding, and to be far away. */
static bool are_decided(const pass *p, size_t n, const workspace *s)
{
    const ml__em *em = p->em;
    const double size = ml__statistics_bound(p->m, n, s->T + em->ld, em->ld);

    return ml__one_leads(n, p->m->k, s->R, em->ld, LARGEST_LEAD + 8 * (double)em->p * DBL_EPSILON * size,
                         size / LARGEST_ERROR);
}

static void densities(const pass *p, const double *X, size_t n, const workspace *s)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const ml__mixture *m = p->m;
    double *L = s->patterns; /* which full covariances with missing entries have, and nothing else */

    if (p->statistics_in_E || p->is_first)
        densities_of_statistics(p->em, n, s);
    if (p->statistics_in_E || (p->is_first && are_decided(p, n, s)))
        return;
    if (p->em->p && p->em->is_summed && !p->em->has_missing) {
        if (!p->statistics_in_M && !p->em->held)
            ml__kernels_best()->mixture.mixture_statistics(ML__NO_SQUARES, n, m->d, X, s->T, p->em->ld);
        ml__log_densities_of_columns(m, s->T + p->em->ld, ml__whole_groups(n), p->em->ld, s->Z, s->R);
        return;
    }
    if (p->em->has_missing)
        ml__log_densities_of_rows(m, kernels, X, n, s->Z, NULL, L); /* diagonal: without workspace for patterns */
    else
        ml__log_densities(m, kernels, X, n, s->Z, L);
    ml__add_log_weights(m, n, L);
    turn(n, m->k, L, s->R, p->em->ld);
}

/* ---- moments of a block about the origins: N [k], S1 [k x d], S2 as covariances ---- */

/* Rows with a share in component c that counts; a missing entry (diagonal) is the old mean. */
static size_t gather(const pass *p, const double *X, size_t n, size_t c, const workspace *s, double *share)
{
    const size_t d = p->em->points.d;
    const double *o = p->em->origin + c * d, *R = s->R + c * p->em->ld;
    size_t n_shared = 0;

    for (size_t i = 0; i < n; i++, X += d) {
        double *z = s->Z + n_shared * d;
        if (!(R[i] > LEAST_SHARE))
            continue;
        for (size_t j = 0; j < d; j++)
            z[j] = X[j] - o[j];
        for (size_t j = 0; j < d && p->em->has_missing; j++)
            if (isnan(X[j]))
                z[j] = p->m->means[c * d + j] - o[j];
        share[n_shared++] = R[i];
    }
    return n_shared;
}

/* What missing entries add to squares: the variance. */
static void add_variances(const pass *p, const double *X, size_t n, size_t c, const workspace *s, double *S2)
{
    const size_t d = p->em->points.d;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            if (isnan(X[i * d + j]))
                S2[j] += s->R[c * p->em->ld + i] * p->m->covariances[c * d + j];
}

static void add_moments(const pass *p, const double *X, size_t n, const workspace *s, double *sums)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const ml__mixture *next = &p->em->next;
    const size_t k = next->k, d = next->d;

    for (size_t c = 0; c < k; c++) {
        double *share = s->lse, *S1 = sums + k + c * d, *S2 = sums + k + k * d + ml__covariance_at(next, c);
        const size_t n_shared = gather(p, X, n, c, s, share);

        for (size_t i = 0; i < n_shared; i++)
            sums[c] += share[i];
        kernels->gemm_tn(1, d, n_shared, share, 1, s->Z, d, 1, S1, d);
        if (next->type == ML__FULL || next->type == ML__TIED) {
            kernels->syrk_weighted(d, n_shared, s->Z, d, share, S2, d);
            continue;
        }
        for (size_t i = 0; i < n_shared; i++)
            for (size_t j = 0; j < d; j++)
                S2[next->type == ML__DIAG ? j : 0] += share[i] * s->Z[i * d + j] * s->Z[i * d + j];
        if (p->em->has_missing)
            add_variances(p, X, n, c, s, S2);
    }
}

/* ---- moments of rows of one pattern of missing entries, full covariances ---- */

static ml__pattern pattern_of(const workspace *s, size_t d, size_t c)
{
    double *L = s->patterns + c * ml__pattern_doubles(d);

    return (ml__pattern){.d = d, .order = s->order, .L = L, .B = L + d * d, .C = L + 2 * d * d};
}

/* Expected z of a row: observed entries less the mean, for the others the regression on these. */
static void complete_row(const ml__pattern *t, const double *x, const double *mu, double *z)
{
    const size_t d = t->d;

    for (size_t a = 0; a < t->n_seen; a++)
        z[t->order[a]] = x[t->order[a]] - mu[t->order[a]];
    for (size_t b = t->n_seen; b < d; b++) {
        double sum = 0;
        for (size_t a = 0; a < t->n_seen; a++)
            sum += t->B[(b - t->n_seen) * d + a] * z[t->order[a]];
        z[t->order[b]] = sum;
    }
}

static void add_completed(const pass *p, const ml__pattern *t, const double *X, size_t n, size_t c, const workspace *s,
                          double *sums)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const size_t k = p->m->k, d = p->m->d, n_gone = d - t->n_seen;
    double *S1 = sums + k + c * d, *S2 = sums + k + k * d + c * d * d, N = 0;

    for (size_t i = 0; i < n; i++) {
        complete_row(t, X + i * d, p->m->means + c * d, s->Z + i * d);
        s->lse[i] = s->R[c * p->em->ld + i];
        N += s->lse[i];
    }
    sums[c] += N;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            const double shift = p->m->means[c * d + j] - p->em->origin[c * d + j];
            s->Z[i * d + j] += shift;
        }
    kernels->gemm_tn(1, d, n, s->lse, 1, s->Z, d, 1, S1, d);
    kernels->syrk_weighted(d, n, s->Z, d, s->lse, S2, d);
    for (size_t a = 0; a < n_gone; a++)
        for (size_t b = 0; b <= a; b++) {
            const size_t i = t->order[t->n_seen + a], j = t->order[t->n_seen + b];
            S2[most(i, j) * d + least(i, j)] += N * t->C[a * d + b];
        }
}

static bool same_pattern(const double *x, const double *y, size_t d)
{
    for (size_t j = 0; j < d; j++)
        if (isnan(x[j]) != isnan(y[j]))
            return false;
    return true;
}

/* n rows X with the same missing entries. Returns Σ w ln p(x). */
static double add_pattern(const pass *p, const double *X, size_t first, size_t n, const workspace *s, double *sums)
{
    const ml__mixture *m = p->m;
    const size_t k = m->k, d = m->d;
    double *y = s->patterns + k * ml__pattern_doubles(d), sum = 0;
    double *log_norms = y + d;
    ml__pattern t = pattern_of(s, d, 0);

    ml__pattern_of_row(X, d, &t);
    for (size_t c = 0; c < k; c++) {
        ml__pattern of_c = pattern_of(s, d, c);
        of_c.n_seen = t.n_seen;
        ml__pattern_factor(m, c, true, &of_c);
        log_norms[c] = of_c.log_norm + m->log_weights[c];
        for (size_t i = 0; i < n && p->em->is_started; i++)
            s->R[c * p->em->ld + i] =
                log_norms[c] - 0.5 * fmin(ml__pattern_distance(&of_c, X + i * d, m->means + c * d, y), DBL_MAX);
    }
    if (p->em->is_started)
        sum = shares(p->em, first, n, s->R, s->lse);
    else
        given_shares(p->em, first, n, s->R);
    for (size_t c = 0; c < k; c++) {
        ml__pattern of_c = pattern_of(s, d, c);
        of_c.n_seen = t.n_seen;
        add_completed(p, &of_c, X, n, c, s, sums);
    }
    return sum;
}

/* ---- a pass ---- */

/* Only a start, which needs few rows, begins blocks where none of the held ones does. */
static bool has_statistics(const ml__em *em)
{
    return em->held && em->is_started;
}

static void add_block(const pass *p, const double *X, size_t first, size_t n, const workspace *s, double *sums)
{
    const ml__em *em = p->em;
    const ml__mixture_kernels *kernels = &ml__kernels_best()->mixture;
    const size_t d = em->points.d;

    if ((p->statistics_in_E || p->statistics_in_M) && !has_statistics(em))
        kernels->mixture_statistics(ml__statistics_squares(em->next.type, em->has_missing), n, d, X, s->T, em->ld);
    if (em->is_started) {
        densities(p, X, n, s);
        sums[0] += shares(em, first, n, s->R, s->lse);
    } else {
        given_shares(em, first, n, s->R);
    }
    if (p->statistics_in_M)
        add_statistics(em, n, s);
    else
        add_moments(p, X, n, s, sums + 1);
}

/* Where shares are given few rows may have one: the next of these, or up to a group before it. */
static size_t next_shared(const ml__em *em, size_t first, size_t end)
{
    size_t i = first;

    if (em->is_started || !em->of)
        return first;
    while (i < end && em->of[i] == UINT32_MAX)
        i++;
    return i < end ? i - (i - first) % ML__MIXTURE_GROUP : end;
}

static ml_status add_rows(const pass *p, size_t first, size_t end, workspace *s, double *sums)
{
    const ml__em *em = p->em;
    const size_t d = em->points.d;
    const double *X;
    ml__window window;
    ml_status st;

    ML__TRY(ml__window_open(&window, &em->points, em->rows, end));
    for (size_t i = next_shared(em, first, end), n; i < end; i = next_shared(em, i + n, end)) {
        n = least(end - i, em->rows);
        ML__TRY(ml__window_at(&window, i, n, &X));
        if (has_statistics(em))
            s->T = em->held + i / ML__SLOT_BLOCK * em->n_kept * em->ld;
        if (!has_patterns(em)) {
            add_block(p, X, i, n, s, sums);
            continue;
        }
        for (size_t r = 1; r < n; r++)
            if (!same_pattern(X, X + r * d, d))
                n = r;
        sums[0] += add_pattern(p, X, i, n, s, sums + 1);
    }
done:
    ml__window_close(&window);
    return st;
}

/* Partial sums that a pass makes. */
static size_t n_used(const pass *p)
{
    const ml__mixture *m = &p->em->next;

    return 1 + m->k * (p->statistics_in_M ? p->em->p : 1 + m->d) + (p->statistics_in_M ? 0 : ml__covariance_numbers(m));
}

static ml_status pass_slot(void *argument, size_t slot)
{
    const pass *p = argument;
    const ml__em *em = p->em;
    const size_t n_partial = p->statistics_in_M ? n_partial_sums(em) : 0;
    double *sums = em->partial + slot * em->stride;
    workspace s;
    ml_status st;

    memset(sums, 0, n_used(p) * sizeof *sums);
    ML__TRY(take_workspace(em, &s));
    memset(s.P, 0, n_partial * sizeof *s.P);
    st = add_rows(p, ml__slots_begin(&em->slots, slot), ml__slots_begin(&em->slots, slot + 1), &s, sums);
    ml__kernels_best()->mixture.mixture_sum(n_partial / ML__MIXTURE_GROUP, s.P, sums + 1);
    leave_workspace(em, &s);
done:
    return st;
}

/* Values [chunk ADD_VALUES, …) of all slots come to stand in slot 0; each along the same tree. */
static ml_status add_slots(void *argument, size_t chunk)
{
    const pass *p = argument;
    const ml__em *em = p->em;
    const size_t first = chunk * ADD_VALUES;

    ml__slots_add(&em->slots, em->partial + first, em->stride, least(n_used(p) - first, ADD_VALUES));
    return ML_OK;
}

/* About. */
static double slot_nanoseconds(const ml__em *em)
{
    const double d = (double)em->points.d, size = (double)ml__covariance_size(em->next.type, em->points.d);

    return ml__slots_rows(&em->slots) * (double)em->next.k * (3 + 0.3 * d + 0.05 * size);
}

/* The sums of all rows come to stand at em->partial. */
static ml_status run_pass(const pass *p)
{
    ml__em *em = p->em;
    const size_t n_chunks = (n_used(p) + ADD_VALUES - 1) / ADD_VALUES;
    pass copy = *p;
    ml_status st;

    ML__TRY(ml__parallel_for_cost(em->context, em->slots.n, slot_nanoseconds(em), pass_slot, &copy));
    ML__TRY(ml__parallel_for_cost(em->context, n_chunks, 0.3 * ADD_VALUES * (double)em->slots.n, add_slots, &copy));
done:
    return st;
}

/* ---- how exact the next mixture is ---- */

static ml_status weigh_component(void *argument, size_t c)
{
    ml__em *em = argument;
    double *P = em->work + (em->next.type == ML__FULL ? c * em->points.d * em->points.d : 0);

    em->errors[c] = ml__statistics_weights(&em->next, c, em->has_missing, LARGEST_ERROR, em->W + c * em->p, P);
    return ML_OK;
}

/* W of the next mixture, and whether it is exact enough. */
static ml_status weigh(ml__em *em)
{
    const double d = (double)em->points.d;
    const ml__mixture *m = &em->next;
    ml_status st = ML_OK;

    em->is_near = em->p > 0;
    if (!em->p)
        return ML_OK;
    if (m->type == ML__FULL)
        ML__TRY(ml__parallel_for_cost(em->context, m->k, d * d * (2 + 0.05 * d), weigh_component, em));
    for (size_t c = 0; c < m->k; c++) {
        if (m->type != ML__FULL)
            (void)weigh_component(em, c);
        em->is_near = em->is_near && em->errors[c] <= LARGEST_ERROR;
    }
done:
    return st;
}

/* Did means stay near enough to the origins for moments about these? */
static bool stayed(const ml__em *em)
{
    const ml__mixture *m = &em->next;
    const size_t d = m->d, step = m->type == ML__DIAG;

    for (size_t c = 0; c < m->k; c++) {
        const double *U = m->factors + ml__covariance_at(m, c), *mu = m->means + c * d, *o = em->origin + c * d;
        double squares = 0;

        for (size_t j = 0; j < d; j++) {
            double sum = 0;
            for (size_t i = 0; i <= j && m->type < ML__DIAG; i++)
                sum += fabs(U[i * d + j]) * fabs(mu[i] - o[i]);
            if (m->type >= ML__DIAG)
                sum = U[j * step] * (mu[j] - o[j]);
            squares += sum * sum;
        }
        if (!(squares <= LARGEST_ERROR))
            return false;
    }
    return true;
}

/* ---- a step ---- */

/* Σ w x'P x / 2, which log-densities of statistics lack where covariances are tied. */
static double shared_part(const ml__em *em, const ml__mixture *m)
{
    const size_t d = m->d;

    ml__kernels_best()->f64.gemm_nt(d, d, d, m->factors, d, m->factors, d, 0, em->work, d);
    return 0.5 * ml__kernels_best()->f64.dot(d * d, em->work, em->second);
}

/* em->next from the mixture before, or from the shares that are given; its factors, W and the way to go on. */
static ml_status advance(ml__em *em, const ml__mixture *old, double *bound)
{
    const size_t n_means = em->next.k * em->points.d;
    pass p = {.em = em, .m = old, .statistics_in_E = em->is_near && em->is_started};
    bool is_last = false;
    ml_status st;

    p.is_first = em->is_started && !em->is_near && !em->is_far && em->p && em->is_summed && !em->has_missing &&
                 old->type != ML__TIED;
    memcpy(em->origin, old->means, n_means * sizeof *em->origin);
    for (p.statistics_in_M = em->p && em->is_summed && !em->is_far && (em->is_started || !em->of_sample);;
         p.statistics_in_M = false) {
        bool is_exact;

        ML__TRY(run_pass(&p));
        *bound = em->partial[0];
        if (p.statistics_in_E && old->type == ML__TIED)
            *bound -= shared_part(em, old);
        *bound /= em->total;
        ml__em_update(em, old, p.statistics_in_M);
        st = ml__mixture_factor(em->context, &em->next, em->reg_covar, em->prior != NULL, em->work);
        if (st == ML_OK && em->is_started && em->reg_covar == 0 && !em->prior) /* a start may be single rows */
            st = ml__mixture_check_rounding(&em->next);
        if (st != ML_OK && st != ML_E_NUMERIC)
            return st;
        if (st == ML_OK && em->prior)
            *bound = ml__posterior_weigh(em->prior, em->is_started ? *bound * em->total - em->explained : 0, &em->next);
        is_exact = st == ML_OK && isfinite(*bound);
        if (is_exact) {
            ML__TRY(weigh(em));
            is_exact = p.statistics_in_M ? em->is_near : stayed(em);
        }
        if (is_exact || is_last)
            break;
        /* again, exactly: about the new means where these are known */
        em->is_far = em->is_far || (em->is_started && p.statistics_in_M);
        p.statistics_in_E = p.is_first = false; /* W is of the next mixture by now */
        is_last = !p.statistics_in_M;
        if (ml__all_finite(em->next.means, n_means)) {
            is_last = true;
            memcpy(em->origin, em->next.means, n_means * sizeof *em->origin);
        }
    }
done:
    return st;
}

/* Features as one Gaussian: what stands for missing entries before there is a mixture. */
static ml_status one_gaussian(const ml__em *em, ml__mixture *m)
{
    const size_t d = em->points.d, step = m->type < ML__DIAG ? d + 1 : 1;
    double *W, *squares;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, em->context);
    memset(m->means, 0, m->k * d * sizeof *m->means);
    memset(m->covariances, 0, ml__covariance_numbers(m) * sizeof *m->covariances);
    memset(m->log_weights, 0, m->k * sizeof *m->log_weights);
    if (!em->has_missing)
        goto done;
    ML__NEW(&arena, W, d);
    ML__NEW(&arena, squares, d);
    ML__TRY(ml__sum_observed(&em->points, W, squares));
    for (size_t c = 0; c < m->k; c++)
        for (size_t j = 0; j < d; j++)
            m->covariances[ml__covariance_at(m, c) + j * step] = fmax(W[j] > 0 ? squares[j] / W[j] : 0, DBL_MIN);
done:
    ml__arena_free(&arena);
    return st;
}

static void swap(ml__mixture *a, ml__mixture *b)
{
    const ml__mixture kept = *a;

    *a = *b;
    *b = kept;
}

ml_status ml__em_begin(ml__em *em, ml__mixture *m)
{
    double nothing;
    ml_status st;

    em->is_started = em->is_far = em->is_near = false;
    ML__TRY(one_gaussian(em, m));
    ML__TRY(advance(em, m, &nothing));
    em->is_started = true;
    swap(m, &em->next);
done:
    return st;
}

ml_status ml__em_begin_from(ml__em *em, const ml__mixture *m)
{
    em->is_started = true;
    em->is_far = false;
    ml__mixture_copy(m, &em->next);
    return weigh(em);
}

ml_status ml__em_step(ml__em *em, ml__mixture *m, double *bound)
{
    ml_status st;

    ML__TRY(advance(em, m, bound));
    ML__CHECK(isfinite(*bound), ML_E_NUMERIC, "the %s is %g; scaled features%s would help",
              em->prior ? "lower bound" : "log-likelihood", *bound,
              em->prior ? ", weights near 1 or priors of their scale" : "");
    swap(m, &em->next);
done:
    return st;
}

/* ---- workspace ---- */

static ml_status sum_squares(void *argument, size_t slot)
{
    const ml__em *em = argument;
    const size_t d = em->points.d, first = ml__slots_begin(&em->slots, slot),
                 end = ml__slots_begin(&em->slots, slot + 1);
    double *sums = em->partial + slot * em->stride;
    const double *X;
    ml__window window;
    ml_status st;

    memset(sums, 0, d * d * sizeof *sums);
    ML__TRY(ml__window_open(&window, &em->points, ML__SLOT_BLOCK, end));
    for (size_t i = first; i < end; i += ML__SLOT_BLOCK) {
        const size_t n = least(end - i, ML__SLOT_BLOCK);
        ML__TRY(ml__window_at(&window, i, n, &X));
        ml__kernels_best()->f64.syrk_weighted(d, n, X, d, em->points.w + i, sums, d);
    }
done:
    ml__window_close(&window);
    return st;
}

/* Σ w x x', where all components share it. */
static ml_status sum_all_squares(ml__arena *arena, ml__em *em)
{
    const size_t d = em->points.d;
    ml_status st;

    ML__NEW(arena, em->second, d * d);
    ML__TRY(ml__parallel_for_cost(em->context, em->slots.n, ml__slots_rows(&em->slots) * 0.05 * (double)(d * d),
                                  sum_squares, em));
    ml__slots_add(&em->slots, em->partial, em->stride, d * d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++)
            em->second[i * d + j] = em->second[j * d + i] = em->partial[i * d + j];
done:
    return st;
}

/* T of rows in memory, where it is little. */
static ml_status hold_statistics(ml__arena *arena, ml__em *em)
{
    const ml__points *points = &em->points;
    const size_t n_values = em->n_kept * em->ld;
    ml_status st = ML_OK;

    if (!points->X || !em->n_kept || points->n > HELD_VALUES / em->n_kept || em->rows != ML__SLOT_BLOCK)
        return ML_OK;
    em->held = ml__arena_room(arena, em->slots.n_blocks * n_values, sizeof *em->held);
    ML__TRY(em->held ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < points->n; i += ML__SLOT_BLOCK)
        ml__kernels_best()->mixture.mixture_statistics(
            ml__statistics_squares(em->next.type, em->has_missing), least(points->n - i, ML__SLOT_BLOCK), points->d,
            points->X + i * points->d, em->held + i / ML__SLOT_BLOCK * n_values, em->ld);
done:
    return st;
}

static ml_status measure(ml__em *em, size_t k, size_t n_numbers)
{
    const size_t n = em->points.n, d = em->points.d,
                 per_block = em->n_kept ? BLOCK_VALUES / (em->n_kept + k) : ML__SLOT_BLOCK;
    size_t n_sums, n_statistics, n_work, n_partial;
    ml_status st = ML_OK;

    em->rows = least(ML__SLOT_BLOCK, most(BLOCK_LEAST, per_block / BLOCK_UNIT * BLOCK_UNIT));
    em->ld = em->rows + ML__MIXTURE_GROUP; /* an odd number of groups: columns spread over the sets of a cache */
    ML__CHECK(ml__size_mul(k, d + 1, &n_sums) && ml__size_add(n_sums, most(n_numbers, d * d), &n_sums) &&
                  ml__size_mul(k, em->is_summed ? em->p : 0, &n_statistics) && count_work(em, k, d, &em->room),
              ML_E_MEMORY, "%zu components of %zu features do not fit in memory", k, d);
    em->stride = 1 + most(n_sums, n_statistics);
    em->slots = ml__slots_make(n, em->stride);
    em->slots.n = least(em->slots.n, em->stride > WIDE_SUMS ? WIDE_SLOTS : MOST_SLOTS);
    em->n_rooms = ml__is_little(em->slots.n, slot_nanoseconds(em)) ? 1 : least(em->slots.n, ml__n_threads(em->context));
    ML__CHECK(ml__size_mul(em->slots.n, em->stride, &n_partial) && ml__size_mul(em->n_rooms, em->room, &n_work),
              ML_E_MEMORY, "%zu components of %zu features do not fit in memory", k, d);
done:
    return st;
}

ml_status ml__em_create(ml__arena *arena, ml_context *context, const ml__points *points, ml__covariance type, size_t k,
                        double reg_covar, ml__em *out)
{
    const size_t d = points->d;
    size_t n_numbers;
    ml_status st;

    *out = (ml__em){.context = context, .points = *points, .reg_covar = reg_covar};
    ML__TRY(ml__mixture_create(arena, type, k, d, &out->next));
    n_numbers = ml__covariance_numbers(&out->next);
    out->has_missing = points->stream ? points->stream->may_miss : ml__has_missing(points->X, points->n * d);
    out->p = ml__statistics_size(type, d, out->has_missing);
    out->is_summed = ml__statistics_are_summed(type, d);
    out->n_kept = ml__statistics_rows(type, d, out->has_missing);
    ML__TRY(measure(out, k, n_numbers));
    ML__NEW(arena, out->partial, out->slots.n * out->stride);
    ML__NEW(arena, out->rooms, out->n_rooms * out->room);
    ML__NEW(arena, out->is_taken, out->n_rooms);
    ML__NEW(arena, out->W, out->p * k);
    ML__NEW(arena, out->origin, k * d);
    ML__NEW(arena, out->work, most(n_numbers, d));
    ML__NEW(arena, out->errors, k);
    for (size_t i = 0; i < points->n; i++)
        out->total += points->w[i];
    ML__TRY(hold_statistics(arena, out));
    if (type == ML__TIED)
        ML__TRY(sum_all_squares(arena, out));
done:
    return st;
}
