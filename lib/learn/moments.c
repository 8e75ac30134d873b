/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weighted moments of columns.
 *
 * Row       W += w,  mean += (w / W) delta,  M2 += w delta (x - mean)       with delta = x - mean before (West 1979)
 * Merge     W = Wa + Wb,  delta = mean_b - mean_a                           (Chan, Golub & LeVeque 1983, eq. 2.1)
 *           mean = mean_a + (Wb / W) delta,  M2 = M2a + M2b + (Wa Wb / W) delta^2
 *
 * Two passes: the first finds the means; the second takes the moments of x - mean, so that an offset that is huge
 * next to the spread (1e9 with noise of 1e-3) costs no digits of M2, and what is left of the mean is added to it.
 *
 * Symbols   n rows, d columns; i row, j column; c [d] shift
 * Constant  the mean of a constant column is exact and its M2 exactly 0, as every delta is 0
 * Slots     see slots.h; merged in order, so that the bits do not depend on threads
 * Cost      2 passes, 3 d doubles for each slot; a window for each thread when rows are read from a file
 */
#include "learn/moments.h"

#include <math.h>

#include "base/parallel.h"
#include "learn/slots.h"

typedef struct {
    const ml__points *points;
    const double *c;
    size_t d;
    ml__slots slots;
    ml__moments *partial; /* one per slot */
} pass;

static void add_row(ml__moments *m, const double *x, double w, const double *c)
{
    for (size_t j = 0; j < m->d; j++) {
        const double value = x[j] - c[j], delta = value - m->mean[j];

        if (isnan(x[j]))
            continue;
        m->W[j] += w;
        m->mean[j] += w / m->W[j] * delta;
        m->M2[j] += w * delta * (value - m->mean[j]);
    }
}

static void merge(ml__moments *a, const ml__moments *b)
{
    for (size_t j = 0; j < a->d; j++) {
        const double W = a->W[j] + b->W[j], delta = b->mean[j] - a->mean[j];

        if (!(b->W[j] > 0))
            continue;
        a->mean[j] += b->W[j] / W * delta;
        a->M2[j] += b->M2[j] + a->W[j] * (b->W[j] / W) * delta * delta;
        a->W[j] = W;
    }
}

/* About, from what was measured. */
static double slot_nanoseconds(const pass *p)
{
    return 2 * (double)p->d * ml__slots_rows(&p->slots);
}

static ml_status sum_slot(void *argument, size_t slot)
{
    const pass *p = argument;
    const double *w = p->points->w, *X;
    const size_t end = ml__slots_begin(&p->slots, slot + 1);
    ml__window window;
    ml_status st;

    ML__TRY(ml__window_open(&window, p->points, 1, end));
    for (size_t i = ml__slots_begin(&p->slots, slot); i < end;) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end; i++, X += p->d)
            if (ml__weight_at(w, i) > 0)
                add_row(&p->partial[slot], X, ml__weight_at(w, i), p->c);
    }
done:
    ml__window_close(&window);
    return st;
}

static ml_status create(ml__arena *arena, size_t d, ml__moments *m)
{
    ml_status st = ML_OK;

    m->d = d;
    ML__NEW(arena, m->W, d);
    ML__NEW(arena, m->mean, d);
    ML__NEW(arena, m->M2, d);
    ML__NEW(arena, m->tail, d);
done:
    return st;
}

/* Moments of x - c; c may be out->mean itself, which is written only after the last row was read. */
static ml_status shifted_moments(ml_context *context, pass *p, const double *c, ml__moments *out)
{
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, context);
    p->c = c;
    ML__NEW(&scratch, p->partial, p->slots.n);
    for (size_t s = 0; s < p->slots.n; s++)
        ML__TRY(create(&scratch, p->d, &p->partial[s]));
    ML__TRY(ml__parallel_for_cost(context, p->slots.n, slot_nanoseconds(p), sum_slot, p));
    for (size_t s = 1; s < p->slots.n; s++)
        merge(&p->partial[0], &p->partial[s]);
    for (size_t j = 0; j < p->d; j++) {
        const double shift = c[j], rest = p->partial[0].mean[j];

        out->W[j] = p->partial[0].W[j];
        out->mean[j] = shift + rest;
        out->tail[j] = (shift - out->mean[j]) + rest;
        out->M2[j] = p->partial[0].M2[j];
    }
done:
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__moments_of_points(ml__arena *arena, const ml__points *points, ml__moments *out)
{
    pass p = {.points = points, .d = points->d, .slots = ml__slots_make(points->n, 3 * points->d)};
    ml_status st;

    ML__TRY(create(arena, points->d, out));
    ML__TRY(shifted_moments(arena->context, &p, out->mean, out));
    ML__TRY(shifted_moments(arena->context, &p, out->mean, out));
done:
    return st;
}

ml_status ml__moments_of_rows(ml__arena *arena, const ml__rows *rows, const double *w, ml__moments *out)
{
    const ml__stream stream = {.data = rows->data, .d = rows->d};

    return ml__moments_of_points(
        arena, &(ml__points){.X = rows->X, .n = rows->n, .d = rows->d, .w = w, .stream = &stream}, out);
}

ml_status ml__moments_of(ml__arena *arena, const double *X, size_t n, size_t d, const double *w, ml__moments *out)
{
    return ml__moments_of_points(arena, &(ml__points){.X = X, .n = n, .d = d, .w = w}, out);
}
