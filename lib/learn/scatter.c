/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mean and scatter matrix.
 *
 * Pass      r = Σ w (x - c),  C = Σ w (x - c)(x - c)'   about a shift c near the mean
 *           mean = c + r / W,  S = C - r r' / W
 * Shift     the mean of rows spread over the table. Subtracting r r' / W costs digits where W (mean_j - c_j)² exceeds S_jj: where
 *           it does so by a factor of FAR (two digits) the pass is repeated about the mean it found
 * Tail      what the mean c + r / W loses when it is rounded
 * Along     the same of y = V (x - mean): one pass, as the shift is the mean
 * Merge     S = Sa + Sb + (Wa Wb / W) δ δ',  δ = mean_b - mean_a     (Chan, Golub & LeVeque 1983, eq. 2.1); δ with the tails,
 *           as an offset that is huge next to the spread leaves the difference of means to them
 *
 * Symbols   n rows, d features; i row, j feature
 * Constant  a constant feature has c_j = x_j, so its mean is exact and its row of S exactly 0
 * Slots     see slots.h; rows are read in blocks, so that the table is never copied as a whole
 * Cost      n d² / 2 multiply-adds a pass; d² + 257 d doubles per slot. Along: 3 n d² / 2; d² + 513 d
 */
#include "learn/scatter.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "kernel/kernel.h"
#include "learn/slots.h"

/* SLOT_COST: fewer slots than their size would allow, as clearing and adding them costs too */
enum { N_SAMPLED = 256, MAX_PASSES = 3, SLOT_COST = 8 };
static const double FAR = 100;

typedef struct {
    const ml_dataset *data;
    const double *rows; /* n x d where the data lies so, or NULL */
    const double *w;
    size_t d;
    ml__slots slots;
    double *c;       /* d */
    const double *V; /* d x d, or NULL */
    double *partial; /* n_slots x stride: C [d x d], r [d], a block of rows, with V one of turned rows */
    size_t stride;
} pass;

static double *residuals_of(const pass *p, size_t s)
{
    return p->partial + s * p->stride + p->d * p->d;
}

/* Turned rows of a block X [n x d] behind it. */
static double *turn(const pass *p, size_t s, size_t first, size_t n, const double *X)
{
    const size_t d = p->d;
    double *r = residuals_of(p, s), *Y = r + d + d * ML__SLOT_BLOCK;

    ml__kernels_best()->f64.gemm_nt(n, d, d, X, d, p->V, d, 0, Y, d);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            r[j] += p->w[first + i] * Y[i * d + j];
    return Y;
}

static ml_status add_block(const pass *p, size_t s, size_t first, size_t n)
{
    const size_t d = p->d;
    double *r = residuals_of(p, s), *X = r + d;

    const double *rows = p->rows ? p->rows + first * d : X;
    ml_status st = ML_OK;

    if (!p->rows)
        ML__TRY(ml__dataset_read(p->data, first, n, ML_FLOAT64, X));
    for (size_t i = 0; i < n; i++) {
        const double w = p->w[first + i];

        for (size_t j = 0; j < d; j++) {
            X[i * d + j] = w > 0 ? rows[i * d + j] - p->c[j] : 0;
            r[j] += p->V ? 0 : w * X[i * d + j];
        }
    }
    if (p->V)
        X = turn(p, s, first, n, X);
    ml__kernels_best()->f64.syrk_weighted(d, n, X, d, p->w + first, p->partial + s * p->stride, d);
done:
    return st;
}

static ml_status sum_slot(void *argument, size_t s)
{
    const pass *p = argument;
    const size_t end = ml__slots_begin(&p->slots, s + 1);
    ml_status st = ML_OK;

    for (size_t i = ml__slots_begin(&p->slots, s); i < end && st == ML_OK; i += ML__SLOT_BLOCK)
        st = add_block(p, s, i, end - i < ML__SLOT_BLOCK ? end - i : ML__SLOT_BLOCK);
    return st;
}

static ml_status create(ml__arena *arena, pass *p)
{
    const size_t n = ml_dataset_n_rows(p->data), d = p->d;
    size_t n_values;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(d, d + 1 + ML__SLOT_BLOCK * (p->V ? 2 : 1), &p->stride), ML_E_MEMORY,
              "the scatter matrix of %zu features does not fit in memory", d);
    p->slots = ml__slots_make(n, ml__size_mul(SLOT_COST, p->stride, &n_values) ? n_values : p->stride);
    ML__CHECK(ml__size_mul(p->slots.n, p->stride, &n_values), ML_E_MEMORY,
              "the scatter matrix of %zu features does not fit in memory", d);
    ML__NEW(arena, p->c, d);
    ML__NEW(arena, p->partial, n_values);
done:
    return st;
}

/* The mean of some rows that have weight; x has room for one. A mean of equal values is that value. */
static ml_status sample_shift(const pass *p, double *x)
{
    const size_t n = ml_dataset_n_rows(p->data), step = n / N_SAMPLED + 1;
    double *sum = residuals_of(p, 0);
    size_t first = 0, n_sampled = 0;
    ml_status st;

    while (!(p->w[first] > 0))
        first++;
    ML__TRY(ml__dataset_read(p->data, first, 1, ML_FLOAT64, p->c));
    for (size_t i = first; i < n; i += step) {
        if (!(p->w[i] > 0))
            continue;
        ML__TRY(ml__dataset_read(p->data, i, 1, ML_FLOAT64, x));
        for (size_t j = 0; j < p->d; j++)
            sum[j] += x[j] - p->c[j];
        n_sampled++;
    }
    for (size_t j = 0; j < p->d; j++)
        p->c[j] += sum[j] / (double)n_sampled;
    memset(sum, 0, p->d * sizeof *sum);
done:
    return st;
}

/* Is the mean of a feature so far from the shift that S loses digits? */
static bool is_far(const pass *p, double W)
{
    const double *C = p->partial, *r = residuals_of(p, 0);

    for (size_t j = 0; j < p->d; j++) {
        const double between = r[j] / W * r[j];
        if (between > FAR * (C[j * p->d + j] - between))
            return true;
    }
    return false;
}

/* As a + b, and what that lost (Knuth's TwoSum). */
static double sum_and_tail(double a, double b, double *tail)
{
    const double sum = a + b, of_b = sum - a;

    *tail = (a - (sum - of_b)) + (b - of_b);
    return sum;
}

/* Products are finite where squares are. */
static ml_status check_squares(const pass *p, double W)
{
    for (size_t j = 0; j < p->d; j++) {
        const double r = residuals_of(p, 0)[j], S = p->partial[j * p->d + j] - r / W * r;

        if (!isfinite(S))
            return ml__fail(ML_E_NUMERIC,
                            "the squares of feature '%s', which has values of about %g, are beyond double; scale the "
                            "features",
                            ml__dataset_schema(p->data)->features[j].name, p->c[j]);
    }
    return ML_OK;
}

/* S[d x d], both triangles. */
static void find_scatter(const pass *p, double W, double *out)
{
    const size_t d = p->d;
    const double *C = p->partial, *r = residuals_of(p, 0);

    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            const double S = C[i * d + j] - r[i] / W * r[j];
            out[i * d + j] = out[j * d + i] = i == j && S < 0 ? 0 : S;
        }
}

static void find_mean(const pass *p, ml__scatter *out)
{
    for (size_t j = 0; j < p->d; j++)
        out->mean[j] = sum_and_tail(p->c[j], residuals_of(p, 0)[j] / out->W, &out->tail[j]);
}

ml_status ml__scatter_of(ml__arena *arena, const ml_dataset *data, const double *w, ml__scatter *out)
{
    pass p = {.data = data, .rows = ml__dataset_dense(data, ML_FLOAT64), .w = w, .d = ml_dataset_n_features(data)};
    double row_ns = (double)p.d * (1 + 0.1 * (double)p.d);
    ml__arena work;
    ml_status st;

    ml__arena_init(&work, arena->context);
    ML__TRY(create(&work, &p));
    *out = (ml__scatter){.d = p.d};
    ML__NEW(arena, out->mean, p.d);
    ML__NEW(arena, out->tail, p.d);
    ML__NEW(arena, out->S, p.d * p.d);
    for (size_t i = 0; i < ml_dataset_n_rows(data); i++) {
        out->n += w[i] > 0;
        out->W += w[i];
    }
    ML__TRY(sample_shift(&p, out->mean));
    for (int passes = 1;; passes++) {
        ML__TRY(ml__parallel_for_cost(arena->context, p.slots.n, ml__slots_rows(&p.slots) * row_ns, sum_slot, &p));
        ml__slots_add(&p.slots, p.partial, p.stride, p.d * p.d + p.d);
        if (passes == MAX_PASSES || !is_far(&p, out->W))
            break;
        for (size_t j = 0; j < p.d; j++)
            p.c[j] += residuals_of(&p, 0)[j] / out->W;
        memset(p.partial, 0, p.slots.n * p.stride * sizeof *p.partial);
    }
    ML__TRY(check_squares(&p, out->W));
    find_mean(&p, out);
    find_scatter(&p, out->W, out->S);
done:
    ml__arena_free(&work);
    return st;
}

ml_status ml__scatter_along(ml_context *context, const ml_dataset *data, const double *w, const double *mean,
                            const double *V, double *S)
{
    pass p = {
        .data = data, .rows = ml__dataset_dense(data, ML_FLOAT64), .w = w, .d = ml_dataset_n_features(data), .V = V};
    const double row_ns = (double)p.d * (1 + 0.3 * (double)p.d);
    double W = 0;
    ml__arena work;
    ml_status st;

    ml__arena_init(&work, context);
    ML__TRY(create(&work, &p));
    memcpy(p.c, mean, p.d * sizeof *mean);
    for (size_t i = 0; i < ml_dataset_n_rows(data); i++)
        W += w[i];
    ML__TRY(ml__parallel_for_cost(context, p.slots.n, ml__slots_rows(&p.slots) * row_ns, sum_slot, &p));
    ml__slots_add(&p.slots, p.partial, p.stride, p.d * p.d + p.d);
    find_scatter(&p, W, S);
done:
    ml__arena_free(&work);
    return st;
}

void ml__scatter_merge(ml__scatter *a, ml__scatter *b)
{
    const size_t d = a->d;
    const double W = a->W + b->W, between = a->W * (b->W / W);
    double *delta = b->tail; /* in its place */

    for (size_t j = 0; j < d; j++)
        delta[j] = (b->mean[j] - a->mean[j]) + (b->tail[j] - a->tail[j]);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            a->S[i * d + j] += b->S[i * d + j] + between * delta[i] * delta[j];
    for (size_t j = 0; j < d; j++)
        a->mean[j] = sum_and_tail(a->mean[j], a->tail[j] + b->W / W * delta[j], &a->tail[j]);
    a->W = W;
    a->n += b->n;
}
