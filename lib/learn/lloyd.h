/* SPDX-License-Identifier: Apache-2.0 */
/* k-means of large tables: single precision finds the nearest centres, double precision decides what is close. */
#ifndef ML__LEARN_LLOYD_H
#define ML__LEARN_LLOYD_H

#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "learn/window.h"

enum { ML__LLOYD_BLOCK = 96 }; /* rows at a time: two tiles of the kernels */

/* Rows, all with positive weight, in the precision they came in; and a copy near 0 and of size 1 for the kernels. Neither is
 * kept of a stream. */
typedef struct ml__cloud {
    size_t n, d;
    const double *f64; /* n x d, or */
    const float *f32;  /* or */
    const ml__stream *stream;
    const double *w; /* n, or NULL: all 1 */
    double W;        /* Σ w */
    double *shift;   /* d: mean of the rows */
    double unit;     /* a power of two: no |x - shift| is larger, unless it is beyond 2^900 */
    double largest;  /* max |x_j - shift_j| / unit */
    double variance; /* mean over the features of their variances, over unit² */
    size_t measured; /* features whose spread is known: the next one's is beyond double */
    float *X;        /* n x d: (x - shift) / unit; not of a stream */
    float *norm;     /* n: at least the length of a row of X */
    double *row;     /* n_slots x d: workspace */
    ml__slots slots;
} ml__cloud;

/* Rows of a cloud that are at hand: in memory all, of a stream those of a window. */
typedef struct ml__cloud_view {
    const ml__cloud *cloud;
    ml__window window; /* of a stream */
    size_t first, end; /* rows that the view is of */
    const double *f64; /* row `first`, or */
    const float *f32;
    const float *X, *norm; /* of row `first`; X after ml__view_near() */
    float *buffer;         /* for X, of a stream */
    bool is_read, is_near;
} ml__cloud_view;

/* Centres, and the rows that belong to them. */
typedef struct ml__lloyd {
    const ml__cloud *cloud;
    ml__slots slots; /* no more than the cloud's */
    ml__arena *arena;
    size_t k;
    double *centres;    /* k x d, the caller's to set before the first pass */
    uint32_t *labels;   /* n */
    size_t n_changed;   /* labels, in the last pass and by filling empty clusters before it */
    double movement;    /* Σ |c - c old|² of the last update, over unit² */
    double *S, *W, *n;  /* Σ w (x - shift) / unit [k x d], Σ w and rows of each cluster [k] */
    int64_t *total;     /* k (d + 1): S and n as whole numbers; without weights only */
    double step;        /* of these S */
    double *C;          /* d x k: the centres side by side */
    float *CT, *half;   /* d x k, k: the same near 0 for the kernel, and |c|²/2 */
    float *gap;         /* n: how much farther than its centre a row's second nearest is, at least, over unit */
    float *moved, *way; /* k: steps of the last update and Σ of all so far, over unit, at least */
    float *drift;       /* k: by how much the last update may have lowered gaps */
    float *own;         /* n: how far a row's centre is at most, less the way of that before; NULL where none is fast */
    float *fast;        /* k x 2 x 4: how much of drift is by fast centres; how far the nearest of them is, at least */
    float *D2_fast;     /* 2 k: workspace */
    bool has_labels, has_fast;
    float *survivors; /* n_slots x ML__LLOYD_BLOCK x d: workspace */
    double longest;   /* max |c| there */
    void *partial;    /* n_slots x stride numbers of 8 bytes, and */
    double *distance; /* n_slots x k */
    size_t *changed;  /* n_slots */
    double *D2;       /* n, or NULL before a cluster was empty */
    size_t stride;
    size_t n_moved; /* rows that filled empty clusters in the last update */
} ml__lloyd;

/* One of f64 and f32 is n x d; w [n], or NULL. ML_E_NUMERIC when the spread of the rows is beyond double. */
ml_status ml__cloud_create(ml__arena *arena, const double *f64, const float *f32, const double *w, size_t n, size_t d,
                           ml__cloud *out);
/* The same of n rows of a stream, which must outlive the cloud. ML_E_IO, here and whenever rows are read. */
ml_status ml__cloud_create_streamed(ml__arena *arena, const ml__stream *stream, const double *w, size_t n,
                                    ml__cloud *out);
/* k starting rows by greedy k-means++, 2 + ln k trials each; repeats only when all distinct points are taken. */
ml_status ml__cloud_seed(ml_context *context, const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows);
/* k <= n distinct rows in ascending order, each set as likely. */
void ml__cloud_draw(const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows);
/* Any row in double. */
ml_status ml__cloud_row(const ml__cloud *cloud, size_t i, double *x);

/* For rows below `limit`; one for each task. The caller closes it, also after a failure. */
ml_status ml__view_open(ml__cloud_view *view, const ml__cloud *cloud, size_t limit);
void ml__view_close(ml__cloud_view *view);
/* The next rows begin with `first`, which never falls. None is read yet. */
void ml__view_at(ml__cloud_view *view, size_t first);
/* Rows as they came; and near 0. */
ml_status ml__view_read(ml__cloud_view *view);
ml_status ml__view_near(ml__cloud_view *view);
/* Row i in double. */
static inline void ml__view_row(const ml__cloud_view *view, size_t i, double *restrict x)
{
    const size_t d = view->cloud->d, at = (i - view->first) * d;

    if (view->f64)
        memcpy(x, view->f64 + at, d * sizeof *x);
    else
        for (size_t j = 0; j < d; j++)
            x[j] = view->f32[at + j];
}

ml_status ml__lloyd_create(ml__arena *arena, const ml__cloud *cloud, size_t k, ml__lloyd *out);
/* A new run: no labels, no sums. */
void ml__lloyd_reset(ml__lloyd *lloyd);
/* Each row to its nearest centre. */
ml_status ml__lloyd_assign(ml_context *context, ml__lloyd *lloyd);
/* Fill empty clusters; then centres become means. */
ml_status ml__lloyd_update(ml__lloyd *lloyd);
/* Σ w |x - centre|² over unit², for the labels there are. */
ml_status ml__lloyd_inertia(ml_context *context, ml__lloyd *lloyd, double *out);

/* The nearest of k centres, C [d x k], ties to the lowest, also where squares leave the range; distance [k] is workspace. */
size_t ml__nearest_exactly(size_t k, size_t d, const double *C, const double *x, double *distance);
/* Distances of x from all of them; DBL_MAX where they are beyond double. */
void ml__distances_exactly(size_t k, size_t d, const double *C, const double *x, double *distance);

#endif
