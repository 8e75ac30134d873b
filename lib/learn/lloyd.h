/* SPDX-License-Identifier: Apache-2.0 */
/* k-means of large tables: single precision finds the nearest centres, double precision decides what is close. */
#ifndef ML__LEARN_LLOYD_H
#define ML__LEARN_LLOYD_H

#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "learn/slots.h"

enum { ML__LLOYD_BLOCK = 96 }; /* rows at a time: two tiles of the kernels */

/* Rows, all with positive weight, in the precision they came in; and a copy near 0 and of size 1 for the kernels. */
typedef struct ml__cloud {
    size_t n, d;
    const double *f64; /* n x d, or */
    const float *f32;
    const double *w; /* n, or NULL: all 1 */
    double W;        /* Σ w */
    double *shift;   /* d: mean of the rows */
    double unit;     /* a power of two: no |x - shift| is larger, unless it is beyond 2^900 */
    double largest;  /* max |x_j - shift_j| / unit */
    double variance; /* mean over the features of their variances, over unit² */
    float *X;        /* n x d: (x - shift) / unit */
    float *norm;     /* n: at least the length of a row of X */
    double *row;     /* n_slots x d: workspace */
    ml__slots slots;
} ml__cloud;

/* Centres, and the rows that belong to them. */
typedef struct ml__lloyd {
    const ml__cloud *cloud;
    ml__slots slots; /* no more than the cloud's */
    size_t k;
    double *centres;   /* k x d, the caller's to set before the first pass */
    uint32_t *labels;  /* n */
    size_t n_changed;  /* labels, in the last pass and by filling empty clusters before it */
    double movement;   /* Σ |c - c old|² of the last update, over unit² */
    double *S, *W, *n; /* Σ w (x - shift) / unit [k x d], Σ w and rows of each cluster [k] */
    int64_t *total;    /* k (d + 1): S and n as whole numbers; without weights only */
    double step;       /* of these S */
    double *C;         /* d x k: the centres side by side */
    float *CT, *half;  /* d x k, k: the same near 0 for the kernel, and |c|²/2 */
    float *gap;        /* n: how much farther than its centre a row's second nearest is, at least, over unit */
    float *drift;      /* k: by how much the last update may have lowered that */
    float *survivors;  /* n_slots x ML__LLOYD_BLOCK x d: workspace */
    double longest;    /* max |c| there */
    void *partial;     /* n_slots x stride numbers of 8 bytes, and */
    double *distance;  /* n_slots x k */
    size_t *changed;   /* n_slots */
    double *D2;        /* n */
    size_t stride;
    size_t n_moved; /* rows that filled empty clusters in the last update */
} ml__lloyd;

/* One of f64 and f32 is n x d; w [n], or NULL. ML_E_NUMERIC when the spread of the rows is beyond double. */
ml_status ml__cloud_create(ml__arena *arena, const double *f64, const float *f32, const double *w, size_t n, size_t d,
                           ml__cloud *out);
/* k starting rows by greedy k-means++, 2 + ln k trials each; repeats only when all distinct points are taken. */
ml_status ml__cloud_seed(ml_context *context, const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows);
/* k <= n distinct rows in ascending order, each set as likely. */
void ml__cloud_draw(const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows);
/* Row i in double. */
static inline void ml__cloud_row(const ml__cloud *cloud, size_t i, double *restrict x)
{
    const size_t d = cloud->d;

    if (cloud->f64)
        memcpy(x, cloud->f64 + i * d, d * sizeof *x);
    else
        for (size_t j = 0; j < d; j++)
            x[j] = cloud->f32[i * d + j];
}

ml_status ml__lloyd_create(ml__arena *arena, const ml__cloud *cloud, size_t k, ml__lloyd *out);
/* A new run: no labels, no sums. */
void ml__lloyd_reset(ml__lloyd *lloyd);
/* Each row to its nearest centre. */
ml_status ml__lloyd_assign(ml_context *context, ml__lloyd *lloyd);
/* Fill empty clusters; then centres become means. */
void ml__lloyd_update(ml__lloyd *lloyd);
/* Σ w |x - centre|² over unit², for the labels there are. */
ml_status ml__lloyd_inertia(ml_context *context, ml__lloyd *lloyd, double *out);

/* Squared distances of x from k centres, C [d x k], over *scale²; *scale is 1 unless the squares leave the range. Returns the
 * nearest, ties to the lowest. */
size_t ml__nearest_exactly(size_t k, size_t d, const double *C, const double *x, double *distance, double *scale);

#endif
