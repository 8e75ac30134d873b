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
 * Blocks    limits depend on n only, and blocks are merged in order: the bits do not depend on threads
 * Cost      2 passes, 3 d doubles for each of at most MAX_BLOCKS blocks
 */
#include "learn/moments.h"

#include <math.h>

#include "base/parallel.h"

enum {
    MIN_BLOCK_ROWS = 1024, /* below this a task costs more than its work */
    MAX_BLOCKS = 64
};

typedef struct {
    const double *X, *w, *c;
    size_t n, d, block_rows;
    ml__moments *blocks;
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

static ml_status sum_block(void *argument, size_t index)
{
    const pass *p = argument;
    const size_t first = index * p->block_rows;
    const size_t end = p->n - first < p->block_rows ? p->n : first + p->block_rows;

    for (size_t i = first; i < end; i++)
        if (p->w[i] > 0)
            add_row(&p->blocks[index], p->X + i * p->d, p->w[i], p->c);
    return ML_OK;
}

static ml_status create(ml__arena *arena, size_t d, ml__moments *m)
{
    ml_status st = ML_OK;

    m->d = d;
    ML__NEW(arena, m->W, d);
    ML__NEW(arena, m->mean, d);
    ML__NEW(arena, m->M2, d);
done:
    return st;
}

/* Moments of x - c; c may be out->mean itself, since it is written only after the last block was read. */
static ml_status shifted_moments(ml_context *context, pass *p, size_t n_blocks, const double *c, ml__moments *out)
{
    ml__arena scratch;
    ml_status st = ML_OK;

    ml__arena_init(&scratch, context);
    p->c = c;
    ML__NEW(&scratch, p->blocks, n_blocks);
    for (size_t b = 0; b < n_blocks; b++)
        ML__TRY(create(&scratch, p->d, &p->blocks[b]));
    ML__TRY(ml__parallel_for(context, n_blocks, sum_block, p));
    for (size_t b = 1; b < n_blocks; b++)
        merge(&p->blocks[0], &p->blocks[b]);
    for (size_t j = 0; j < p->d; j++) {
        out->W[j] = p->blocks[0].W[j];
        out->mean[j] = c[j] + p->blocks[0].mean[j];
        out->M2[j] = p->blocks[0].M2[j];
    }
done:
    ml__arena_free(&scratch);
    return st;
}

ml_status ml__moments_of(ml__arena *arena, const double *X, size_t n, size_t d, const double *w, ml__moments *out)
{
    const size_t share = (n + MAX_BLOCKS - 1) / MAX_BLOCKS;
    pass p = {.X = X, .w = w, .n = n, .d = d, .block_rows = share > MIN_BLOCK_ROWS ? share : MIN_BLOCK_ROWS};
    const size_t n_blocks = n ? (n - 1) / p.block_rows + 1 : 1;
    ml_status st;

    ML__TRY(create(arena, d, out));
    ML__TRY(shifted_moments(arena->context, &p, n_blocks, out->mean, out));
    ML__TRY(shifted_moments(arena->context, &p, n_blocks, out->mean, out));
done:
    return st;
}
