/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Silhouettes (Rousseeuw 1987): all distances, block by block; no n x n matrix exists.
 *
 * Distance    |x - y|² = |x|² + |y|² - 2 x'y, the products by the kernels, about the mean of all rows. Where the sum is less
 *             than CLOSE of its terms, or close to the end of the range, it has lost digits and is taken anew from the
 *             differences of the rows as they came
 * Sums        rows lie by cluster, so that the distances of a row from one cluster stand side by side
 *
 * Symbols     n rows, K clusters; a, b mean distances from the own and from the nearest other cluster
 * Slots       see slots.h: the same bits for any number of threads
 */
#include <invar/metrics.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "evaluate/clusters.h"
#include "evaluate/input.h"
#include "kernel/kernel.h"
#include "learn/slots.h"

enum { ROWS = 32, COLUMNS = 512 };
static const double CLOSE = 1e-5, LEAST = 1e-270;

typedef struct {
    const ml__clusters *c;
    ml__slots slots;
    double *X;     /* n x d: the rows by cluster, about their mean, scaled */
    double *norm2; /* n */
    double *work;  /* n_slots x stride: products [ROWS x COLUMNS], sums of distances [ROWS x K], differences [d] */
    double *s;     /* n: in the caller's order */
    size_t stride;
} pass;

static double distance_by_differences(const ml__clusters *c, size_t a, size_t b, double *e)
{
    for (size_t j = 0; j < c->d; j++)
        e[j] = ml__clusters_difference(c, a, b, j);
    return ml__clusters_length(e, c->d);
}

/* P[n_columns] of row i with the rows from `first` on become distances; e [d] is workspace. */
static void make_distances(const pass *p, size_t i, size_t first, size_t n_columns, double *P, double *e)
{
    const double *norm2 = p->norm2 + first, own = p->norm2[i];
    size_t n_close = 0;

    for (size_t j = 0; j < n_columns; j++) {
        const double terms = own + norm2[j], square = terms - 2 * P[j];
        P[j] = square >= CLOSE * terms + LEAST ? square : -1;
    }
    for (size_t j = 0; j < n_columns; j++)
        n_close += P[j] < 0;
    for (size_t j = 0; j < n_columns; j++)
        P[j] = P[j] < 0 ? -1 : sqrt(P[j]);
    for (size_t j = 0; j < n_columns && n_close; j++)
        if (P[j] < 0) {
            P[j] = distance_by_differences(p->c, i, first + j, e);
            n_close--;
        }
}

/* Adds the distances P from the rows first .. first + n_columns - 1 to the clusters' sums. */
static void add_to_clusters(const ml__clusters *c, size_t first, size_t n_columns, const double *P, double *sums)
{
    size_t low = 0, high = c->K, end = first + n_columns;

    while (high - low > 1) { /* the cluster of row `first` */
        const size_t middle = low + (high - low) / 2;
        if (c->begin[middle] <= first)
            low = middle;
        else
            high = middle;
    }
    for (size_t j = first; j < end; low++) {
        const size_t stop = c->begin[low + 1] < end ? c->begin[low + 1] : end;
        double sum = 0;

        for (; j < stop; j++)
            sum += P[j - first];
        sums[low] += sum;
    }
}

static double silhouette_of(const ml__clusters *c, size_t own, const double *sums)
{
    const size_t n_own = c->begin[own + 1] - c->begin[own];
    double a, b = INFINITY;

    if (n_own == 1)
        return 0;
    a = sums[own] / (double)(n_own - 1);
    for (size_t k = 0; k < c->K; k++)
        if (k != own)
            b = fmin(b, sums[k] / (double)(c->begin[k + 1] - c->begin[k]));
    return fmax(a, b) > 0 ? (b - a) / fmax(a, b) : 0;
}

/* Rows i0 .. i0 + n - 1; `own` is the cluster of the first of them, and of the next one on return. */
static void judge_block(const pass *p, size_t i0, size_t n, double *P, size_t *own)
{
    const ml__clusters *c = p->c;
    double *sums = P + ROWS * COLUMNS, *e = sums + ROWS * c->K;

    memset(sums, 0, n * c->K * sizeof *sums);
    for (size_t j0 = 0; j0 < c->n; j0 += COLUMNS) {
        const size_t n_columns = c->n - j0 < COLUMNS ? c->n - j0 : COLUMNS;

        ml__kernels_best()->f64.gemm_nt(n, n_columns, c->d, p->X + i0 * c->d, c->d, p->X + j0 * c->d, c->d, 0, P,
                                        COLUMNS);
        for (size_t r = 0; r < n; r++) {
            make_distances(p, i0 + r, j0, n_columns, P + r * COLUMNS, e);
            add_to_clusters(c, j0, n_columns, P + r * COLUMNS, sums + r * c->K);
        }
    }
    for (size_t r = 0; r < n; r++) {
        while (i0 + r >= c->begin[*own + 1])
            ++*own;
        p->s[c->row[i0 + r]] = silhouette_of(c, *own, sums + r * c->K);
    }
}

static ml_status judge_slot(void *argument, size_t s)
{
    const pass *p = argument;
    const size_t end = ml__slots_begin(&p->slots, s + 1);
    size_t own = 0;

    for (size_t i = ml__slots_begin(&p->slots, s); i < end; i += ROWS)
        judge_block(p, i, end - i < ROWS ? end - i : ROWS, p->work + s * p->stride, &own);
    return ML_OK;
}

static ml_status judge(ml__arena *arena, pass *p)
{
    const ml__clusters *c = p->c;
    const double row_ns = (double)c->n * (1.5 + 0.1 * (double)c->d);
    size_t n_work;
    ml_status st = ML_OK;

    ML__CHECK(ml__size_mul(ROWS, c->K, &p->stride) && ml__size_add(p->stride, ROWS * COLUMNS, &p->stride) &&
                  ml__size_add(p->stride, c->d, &p->stride),
              ML_E_MEMORY, "distances of %zu clusters do not fit in memory", c->K);
    p->slots = ml__slots_make(c->n, p->stride);
    ML__CHECK(ml__size_mul(p->slots.n, p->stride, &n_work), ML_E_MEMORY,
              "distances of %zu clusters do not fit in memory", c->K);
    ML__NEW(arena, p->X, c->n * c->d);
    ML__NEW(arena, p->norm2, c->n);
    ML__NEW(arena, p->s, c->n);
    ML__NEW(arena, p->work, n_work);
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = 0; j < c->d; j++) {
            const double e = (0.5 * c->x[c->row[i] * c->d + j] - c->mean[j]) * c->scale;
            p->X[i * c->d + j] = e;
            p->norm2[i] += e * e;
        }
    ML__TRY(ml__parallel_for_cost(arena->context, p->slots.n, ml__slots_rows(&p->slots) * row_ns, judge_slot, p));
done:
    return st;
}

ml_status ml_metrics_silhouette(ml_context *context, const double *x, size_t n, size_t d, const double *labels,
                                size_t n_clusters, double *mean, double *samples)
{
    const ml__float_state host = ml__float_begin();
    ml__clusters c;
    pass p = {.c = &c};
    ml__sum sum = {0, 0};
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__CHECK(mean, ML_E_ARGUMENT, "mean is NULL");
    ML__TRY(ml__clusters_create(&arena, x, n, d, labels, n_clusters, &c));
    ML__TRY(judge(&arena, &p));
    for (size_t i = 0; i < n; i++)
        ml__sum_add(&sum, p.s[i]);
    *mean = ml__sum_total(sum) / (double)n;
    if (samples)
        memcpy(samples, p.s, n * sizeof *samples);
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}
