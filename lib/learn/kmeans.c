/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k-means.
 *
 * Objective   J = Σ_i w_i min_k |x_i - c_k|²
 * Start       k-means++ (Arthur & Vassilvitskii 2007): rows drawn with probability ∝ w_i D_i², D_i the distance to the
 *             nearest centre so far; of 2 + ln k candidates per centre the one with the smallest J stays (section 5)
 * Iterate     (Lloyd 1982)  l_i = arg min_k |x_i - c_k|²,  ties to the lowest k
 *                           c_k = Σ_{l_i = k} w_i x_i / W_k,  W_k = Σ_{l_i = k} w_i
 * Stop        no label changed, or Σ_k |c_k - c_k old|² <= tol · mean variance of the features, or max_iter; labels and
 *             J are then those of the final centres
 *
 * Nearest     arg min_k |c_k|²/2 - x'c_k, a product and a running least. The products lose digits where centres are far
 *             from 0 and near each other: a row whose second best is within what rounding can do is decided by the
 *             distances themselves, so that labels are always those of the distances.
 *
 * Symbols     n rows, d features, k clusters; D2 [n] squared distances to the nearest centre; CT [d x k] centres with the
 *             clusters side by side; half [k] |c_k|²/2
 * Degenerate  a cluster without rows takes the row that lies farthest from its centre, out of clusters with several rows;
 *             if there is none off its centre (more clusters than distinct points) it keeps its centre and stays empty
 * Cost        O(n d k) per iteration and per start (times the trials); partial sums of k (d + 2) doubles per slot; 8 bytes per
 *             row for D2. Rows may be streamed (window.h): one pass per iteration, two per centre of a start
 */
#include "learn/kmeans.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "kernel/kernel.h"
#include "learn/moments.h"
#include "learn/slots.h"

static double distance2(size_t d, const double *x, const double *y)
{
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += (x[j] - y[j]) * (x[j] - y[j]);
    return sum;
}

static ml_status check_finite(double J)
{
    if (isfinite(J))
        return ML_OK;
    return ml__fail(ML_E_NUMERIC,
                    "squared distances between rows, for a start by k-means, are not finite; scale the features");
}

/* ---- k-means++ ---- */

enum { GROUP = 4, MAX_TRIALS = 16 }; /* k < 2^20: 2 + ln k < 16 */

typedef struct seeding {
    const ml__points *points;
    ml__slots slots;
    size_t n_trials;
    size_t rows[MAX_TRIALS]; /* candidates */
    double *C;               /* d x MAX_TRIALS: the candidates side by side */
    double *x;               /* d */
    double *D2;              /* n: so far */
    double *J;               /* n_slots x MAX_TRIALS: with each candidate */
} seeding;

/* Squared distances of x from GROUP candidates. */
static inline void distances(size_t d, const double *x, const double *C, double *out)
{
    double sum[GROUP] = {0};

    for (size_t j = 0; j < d; j++)
        for (size_t t = 0; t < GROUP; t++) {
            const double e = x[j] - C[j * MAX_TRIALS + t];
            sum[t] += e * e;
        }
    memcpy(out, sum, sizeof sum);
}

static ml_status try_slot(void *argument, size_t s)
{
    const seeding *q = argument;
    const ml__points *p = q->points;
    const size_t end = ml__slots_begin(&q->slots, s + 1);
    double *J = q->J + s * MAX_TRIALS;
    const double *X;
    ml__window window;
    ml_status st;

    memset(J, 0, MAX_TRIALS * sizeof *J);
    ML__TRY(ml__window_open(&window, p, 1, end));
    for (size_t i = ml__slots_begin(&q->slots, s); i < end;) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end; i++, X += p->d)
            for (size_t t0 = 0; t0 < q->n_trials; t0 += GROUP) {
                double D2[GROUP];

                distances(p->d, X, q->C + t0, D2);
                for (size_t t = 0; t < GROUP; t++)
                    J[t0 + t] += p->w[i] * (D2[t] < q->D2[i] ? D2[t] : q->D2[i]);
            }
    }
done:
    ml__window_close(&window);
    return st;
}

/* The first candidate is taken. */
static ml_status take_slot(void *argument, size_t s)
{
    const seeding *q = argument;
    const ml__points *p = q->points;
    const size_t end = ml__slots_begin(&q->slots, s + 1);
    double J = 0;
    const double *X;
    ml__window window;
    ml_status st;

    ML__TRY(ml__window_open(&window, p, 1, end));
    for (size_t i = ml__slots_begin(&q->slots, s); i < end;) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end; i++, X += p->d) {
            q->D2[i] = fmin(q->D2[i], distance2(p->d, X, q->x));
            J += p->w[i] * q->D2[i];
        }
    }
    q->J[s * MAX_TRIALS] = J;
done:
    ml__window_close(&window);
    return st;
}

size_t ml__points_draw(const ml__points *p, const double *mass, double total, ml__rng *rng)
{
    double left = ml__rng_uniform(rng) * total;
    size_t last = 0;

    for (size_t i = 0; i < p->n; i++) {
        const double m = p->w[i] * (mass ? mass[i] : 1);
        if (!(m > 0))
            continue;
        left -= m;
        last = i;
        if (left < 0)
            break;
    }
    return last;
}

static ml_status set_candidate(seeding *q, size_t t, size_t row)
{
    const ml_status st = ml__points_row(q->points, row, q->x);

    q->rows[t] = row;
    for (size_t j = 0; j < q->points->d; j++)
        q->C[j * MAX_TRIALS + t] = q->x[j];
    return st;
}

/* Of the candidates the one that leaves the least J comes first. */
static ml_status choose(ml_context *context, seeding *q)
{
    const double task_ns = ml__slots_rows(&q->slots) * 0.2 * (double)q->n_trials * (double)q->points->d;
    size_t best = 0;
    ml_status st;

    ML__TRY(ml__parallel_for_cost(context, q->slots.n, task_ns, try_slot, q));
    ml__slots_add(&q->slots, q->J, MAX_TRIALS, q->n_trials);
    for (size_t t = 1; t < q->n_trials; t++)
        if (q->J[t] < q->J[best])
            best = t;
    ML__TRY(set_candidate(q, 0, q->rows[best]));
done:
    return st;
}

/* One more centre: the best of the candidates. D2 becomes its distances, *J its objective. */
static ml_status add_centre(ml_context *context, seeding *q, double total_weight, ml__rng *rng, double *J)
{
    const double *mass = *J > 0 ? q->D2 : NULL;
    const double total = mass ? *J : total_weight;
    ml_status st;

    for (size_t t = 0; t < q->n_trials; t++)
        ML__TRY(set_candidate(q, t, ml__points_draw(q->points, mass, total, rng)));
    if (q->n_trials > 1)
        ML__TRY(choose(context, q));
    ML__TRY(ml__parallel_for_cost(context, q->slots.n, ml__slots_rows(&q->slots) * 0.5 * (double)q->points->d,
                                  take_slot, q));
    ml__slots_add(&q->slots, q->J, MAX_TRIALS, 1);
    *J = q->J[0];
    ML__TRY(check_finite(*J));
done:
    return st;
}

ml_status ml__kmeans_plus_plus(ml_context *context, const ml__points *points, size_t k, ml__rng *rng, size_t *rows)
{
    const size_t n_trials = 2 + (size_t)log((double)k);
    seeding q = {.points = points, .slots = ml__slots_make(points->n, 1), .n_trials = 1};
    double J = 0, total_weight = 0;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__NEW(&arena, q.C, points->d * MAX_TRIALS);
    ML__NEW(&arena, q.x, points->d);
    ML__NEW(&arena, q.D2, points->n);
    ML__NEW(&arena, q.J, q.slots.n * MAX_TRIALS);
    for (size_t i = 0; i < points->n; i++) {
        q.D2[i] = INFINITY;
        total_weight += points->w[i];
    }
    for (size_t c = 0; c < k; c++) { /* the first centre has J = 0 before it: it is drawn by weight alone */
        ML__TRY(add_centre(context, &q, total_weight, rng, &J));
        rows[c] = q.rows[0];
        q.n_trials = n_trials < MAX_TRIALS ? n_trials : MAX_TRIALS;
    }
done:
    ml__arena_free(&arena);
    return st;
}

/* ---- Lloyd ---- */

typedef struct lloyd {
    const ml__points *points;
    ml__kmeans *model;
    ml__slots slots;
    double *CT;       /* d x k */
    double *half;     /* k */
    double largest2;  /* max |c|² */
    double *D2;       /* n */
    double *partial;  /* n_slots x stride */
    double *distance; /* n_slots x k: of the row at hand */
    double *x;        /* d */
    size_t stride;
} lloyd;

/* Partial sums of a slot, and at the end of the pass those of all rows in slot 0. */
static double *sums_of(const lloyd *l, size_t s) /* k x d: Σ w x */
{
    return l->partial + s * l->stride;
}
static double *weights_of(const lloyd *l, size_t s) /* k: W */
{
    return sums_of(l, s) + l->model->k * l->points->d;
}
static double *counts_of(const lloyd *l, size_t s) /* k: number of rows */
{
    return weights_of(l, s) + l->model->k;
}
static double *totals_of(const lloyd *l, size_t s) /* J, number of labels that changed */
{
    return counts_of(l, s) + l->model->k;
}

static uint32_t nearest_by_distance(const lloyd *l, const double *x, double *distance)
{
    const size_t k = l->model->k;
    uint32_t best = 0;

    for (size_t c = 0; c < k; c++)
        distance[c] = 0;
    for (size_t j = 0; j < l->points->d; j++) {
        const double *c_j = l->CT + j * k;
        for (size_t c = 0; c < k; c++)
            distance[c] += (x[j] - c_j[c]) * (x[j] - c_j[c]);
    }
    for (size_t c = 1; c < k; c++)
        if (distance[c] < distance[best])
            best = (uint32_t)c;
    return best;
}

/* What the rounding of both, |c|²/2 - x'c and half the squared distance, can do to the difference of two clusters: four
 * terms of at most (d + 3) eps/2 (|x| + |c|)², and |x| <= sqrt(D2) + C with C the largest |c|. */
static double rounding(const lloyd *l, double D2)
{
    return 4 * (double)(l->points->d + 3) * DBL_EPSILON * (D2 + 4 * l->largest2) + DBL_MIN;
}

/* Labels and D2 of rows from..from + n, n <= ML__SLOT_BLOCK, which are X. `distance` is workspace for one row. */
static void label_block(const lloyd *l, const double *X, size_t from, size_t n, double *distance, uint32_t *labels)
{
    const size_t k = l->model->k, d = l->points->d;
    double value[ML__SLOT_BLOCK], second[ML__SLOT_BLOCK];

    ml__kernels_rowwise()->f64.nearest(n, k, d, X, d, l->CT, k, l->half, labels, value, second);
    for (size_t i = 0; i < n; i++) {
        const double *x = X + i * d;
        double *D2 = &l->D2[from + i];

        *D2 = distance2(d, x, l->model->centres + labels[i] * d);
        if (!(second[i] - value[i] > rounding(l, *D2))) {
            labels[i] = nearest_by_distance(l, x, distance);
            *D2 = distance2(d, x, l->model->centres + labels[i] * d);
        }
    }
}

static void add_row(const lloyd *l, size_t s, const double *x, size_t i, uint32_t c)
{
    const size_t d = l->points->d;
    const double w = l->points->w[i];
    double *S = sums_of(l, s) + c * d, *totals = totals_of(l, s);

    for (size_t j = 0; j < d; j++)
        S[j] += w * x[j];
    weights_of(l, s)[c] += w;
    counts_of(l, s)[c] += 1;
    totals[0] += w * l->D2[i];
    totals[1] += l->model->labels[i] != c;
    l->model->labels[i] = c;
}

static ml_status assign_slot(void *argument, size_t s)
{
    const lloyd *l = argument;
    const size_t d = l->points->d, end = ml__slots_begin(&l->slots, s + 1);
    uint32_t labels[ML__SLOT_BLOCK];
    const double *X;
    ml__window window;
    ml_status st;

    for (size_t v = 0; v < l->stride; v++)
        l->partial[s * l->stride + v] = 0;
    ML__TRY(ml__window_open(&window, l->points, ML__SLOT_BLOCK, end));
    for (size_t i = ml__slots_begin(&l->slots, s); i < end; i += ML__SLOT_BLOCK) {
        const size_t n = end - i < ML__SLOT_BLOCK ? end - i : ML__SLOT_BLOCK;

        ML__TRY(ml__window_at(&window, i, n, &X));
        label_block(l, X, i, n, l->distance + s * l->model->k, labels);
        for (size_t r = 0; r < n; r++)
            add_row(l, s, X + r * d, i + r, labels[r]);
    }
done:
    ml__window_close(&window);
    return st;
}

/* CT, half and largest2 from the centres. */
static void lay_out_centres(lloyd *l)
{
    const size_t k = l->model->k, d = l->points->d;

    l->largest2 = 0;
    for (size_t c = 0; c < k; c++) {
        const double *centre = l->model->centres + c * d;
        double sum = 0;

        for (size_t j = 0; j < d; j++) {
            l->CT[j * k + c] = centre[j];
            sum += centre[j] * centre[j];
        }
        l->half[c] = sum / 2;
        l->largest2 = fmax(l->largest2, sum);
    }
}

/* One pass: labels, D2 and the sums of slot 0. */
static ml_status assign(ml_context *context, lloyd *l)
{
    const double row_ns = 5 + 0.1 * (double)l->model->k * (double)l->points->d;
    ml_status st;

    lay_out_centres(l);
    ML__TRY(ml__parallel_for_cost(context, l->slots.n, ml__slots_rows(&l->slots) * row_ns, assign_slot, l));
    ml__slots_add(&l->slots, l->partial, l->stride, l->stride);
    l->model->inertia = totals_of(l, 0)[0];
    ML__TRY(check_finite(l->model->inertia));
done:
    return st;
}

/* The row farthest from its centre, in a cluster that can spare it; n when every such row lies on its centre. */
static size_t farthest_row(const lloyd *l)
{
    const double *counts = counts_of(l, 0);
    size_t farthest = l->points->n;

    for (size_t i = 0; i < l->points->n; i++)
        if (counts[l->model->labels[i]] > 1 && l->D2[i] > (farthest < l->points->n ? l->D2[farthest] : 0))
            farthest = i;
    return farthest;
}

static ml_status move_row(lloyd *l, size_t i, size_t to)
{
    const size_t d = l->points->d, from = l->model->labels[i];
    const double *x = l->x, w = l->points->w[i];
    const ml_status st = ml__points_row(l->points, i, l->x);

    for (size_t j = 0; j < d; j++) {
        sums_of(l, 0)[from * d + j] -= w * x[j];
        sums_of(l, 0)[to * d + j] = w * x[j];
    }
    weights_of(l, 0)[from] -= w;
    weights_of(l, 0)[to] = w;
    counts_of(l, 0)[from]--;
    counts_of(l, 0)[to] = 1;
    totals_of(l, 0)[1]++;
    l->model->labels[i] = (uint32_t)to;
    l->D2[i] = 0;
    return st;
}

static ml_status fill_empty_clusters(lloyd *l)
{
    ml_status st = ML_OK;

    for (size_t c = 0; c < l->model->k; c++) {
        if (counts_of(l, 0)[c] > 0)
            continue;
        const size_t i = farthest_row(l);
        if (i == l->points->n)
            break;
        ML__TRY(move_row(l, i, c));
    }
done:
    return st;
}

/* Centres become means; returns Σ |c - c old|². */
static double move_centres(lloyd *l)
{
    const size_t d = l->points->d;
    double moved = 0;

    for (size_t c = 0; c < l->model->k; c++) {
        const double W = weights_of(l, 0)[c];
        double *centre = l->model->centres + c * d;
        for (size_t j = 0; j < d && counts_of(l, 0)[c] > 0; j++) {
            const double mean = sums_of(l, 0)[c * d + j] / W;
            moved += (mean - centre[j]) * (mean - centre[j]);
            centre[j] = mean;
        }
    }
    return moved;
}

/* The movement below which centres count as still: tol times the mean variance of the features. */
static ml_status least_movement(ml__arena *arena, const ml__points *p, double tol, double *out)
{
    ml__moments m;
    ml_status st;

    *out = 0;
    ML__TRY(ml__moments_of_points(arena, p, &m));
    for (size_t j = 0; j < p->d; j++)
        *out += tol * (m.M2[j] / m.W[j] / (double)p->d);
done:
    return st;
}

static ml_status lloyd_create(lloyd *l, ml__arena *arena)
{
    const size_t k = l->model->k, d = l->points->d;
    size_t per_cluster, n_partial;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(k, d + 3, &per_cluster), ML_E_MEMORY, "%zu centres of %zu features do not fit in memory", k,
              d);
    l->stride = k * (d + 2) + 2;
    l->slots = ml__slots_make(l->points->n, per_cluster);
    ML__CHECK(ml__size_mul(l->slots.n, l->stride, &n_partial), ML_E_MEMORY,
              "%zu centres of %zu features do not fit in memory", k, d);
    ML__NEW(arena, l->CT, k * d);
    ML__NEW(arena, l->half, k);
    ML__NEW(arena, l->D2, l->points->n);
    ML__NEW(arena, l->partial, n_partial);
    ML__NEW(arena, l->distance, l->slots.n * k);
    ML__NEW(arena, l->x, d);
done:
    return st;
}

ml_status ml__kmeans_lloyd(ml_context *context, const ml__points *points, ml__kmeans *model)
{
    lloyd l = {.points = points, .model = model};
    double least;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__TRY(least_movement(&arena, points, model->tol, &least));
    ML__TRY(lloyd_create(&l, &arena));
    for (size_t i = 0; i < points->n; i++)
        model->labels[i] = UINT32_MAX;
    model->converged = false;
    for (model->n_iter = 0; model->n_iter < model->max_iter && !model->converged; model->n_iter++) {
        ML__TRY(assign(context, &l));
        ML__TRY(fill_empty_clusters(&l));
        const bool same = totals_of(&l, 0)[1] == 0;
        model->converged = move_centres(&l) <= least || same;
    }
    ML__TRY(assign(context, &l));
done:
    ml__arena_free(&arena);
    return st;
}
