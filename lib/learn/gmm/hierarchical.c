/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model-based hierarchical clustering, as a start of EM (Fraley 1998, "Algorithms for model-based Gaussian hierarchical
 * clustering", SIAM J. Sci. Comput. 20; R's mclust starts like this).
 *
 * Criterion   at first each row is a cluster; then again and again those two become one that raise Σ_c E_c the least:
 *                 E_c  = N_c ln( |W_c / N_c| + (tr W_c + a) / N_c )        a = Σ_i w_i |z_i|² / (n p)
 *                 W_ab = W_a + W_b + N_a N_b / N_ab (z_a - z_b)(z_a - z_b)',   tr likewise
 *             N_c ln |W_c / N_c| is the log-likelihood of a Gaussian of its own for each cluster, where there are rows enough;
 *             the other term keeps E finite where they are not, and tells small clusters apart.
 * Coordinates with X the rows in units of their standard deviations and X'X = V D² V': Z = X V D^-1/2, so that units do not
 *             matter, and correlated features count about as much as their principal components
 * Rows        equal ones are a cluster from the beginning, and clusters are looked at in the order of their least row, so that
 *             neither the order of the rows matters nor whether a row comes w times or has weight w. Weights count in units of
 *             their median. Of more than MOST_ROWS rows one is drawn from each of as many equal parts; the others take part from
 *             the first E-step on. Entries that are missing lie at the centre.
 * Determinant no more than (tr W / N p)^p: below the rounding of the other term it is not computed, so never for many features
 *
 * Symbols     n distinct rows, p <= d coordinates; a, b clusters; z means [n x p], N weights, W scatter matrices
 * Search      costs of all pairs are kept, and of each cluster the least with one before it, or no more than that: where the
 *             nearest is gone its cost stays as a bound, and the row of costs is searched only when this bound is the least of
 *             all. A merge computes the costs of the new cluster, in tasks of TASK_PAIRS that write to pairs and clusters of
 *             their own: the same for any number of threads.
 * Cost        O(n² p) time, n² p³ / 6 where determinants count, and min(n, d)³ for the coordinates; n² / 2 costs, n p² of W
 *             and three copies of the rows: 16 MB, up to 4 MB, and the copies for 2000 rows
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "learn/gmm/mixture.h"
#include "learn/weighted.h"

enum {
    MOST_ROWS = 2000,
    WIDE = 512,        /* features: rows of more are no more than that, and with them the side of the eigenproblem */
    MOST_VOLUMES = 16, /* coordinates up to which determinants may count */
    TASK_PAIRS = 64
};

size_t ml__hierarchical_rows(size_t n, size_t d)
{
    const size_t most = d > WIDE ? WIDE : MOST_ROWS;

    return n < most ? n : most;
}

/* ---- rows ---- */

/* Rows that are looked at, and which of them are equal. */
typedef struct sample {
    size_t n, d, n_distinct;
    size_t *rows;  /* of the points [n] */
    double *X;     /* n x d */
    double *w;     /* n */
    size_t *order; /* by their values [n] */
    size_t *group; /* number of the distinct row [n] */
} sample;

static ml_status draw_sample(ml__arena *arena, const ml__points *points, ml__rng *rng, sample *s)
{
    const size_t n = ml__hierarchical_rows(points->n, points->d), part = points->n / n, rest = points->n % n;
    size_t count, at = 0;
    ml_status st = ML_OK;

    *s = (sample){.n = n, .d = points->d};
    ML__CHECK(ml__size_mul(n, s->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, s->d);
    ML__NEW(arena, s->rows, n);
    ML__NEW(arena, s->X, count);
    ML__NEW(arena, s->w, n);
    ML__NEW(arena, s->order, n);
    ML__NEW(arena, s->group, n);
    for (size_t i = 0; i < n; i++) {
        const size_t length = part + (i < rest);
        s->rows[i] = at + (length > 1 ? (size_t)ml__rng_below(rng, length) : 0);
        s->w[i] = points->w[s->rows[i]];
        ML__TRY(ml__points_row(points, s->rows[i], s->X + i * s->d));
        at += length;
    }
done:
    return st;
}

/* Negative, 0 or positive, as row a comes before row b. */
static int compare_rows(const sample *s, size_t a, size_t b)
{
    const double *x = s->X + a * s->d, *y = s->X + b * s->d;

    for (size_t j = 0; j < s->d; j++)
        if (x[j] != y[j])
            return x[j] < y[j] ? -1 : 1;
    return 0;
}

/* By values, equal rows by weight: each is inserted among those before it. */
static void sort_rows(sample *s)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t low = 0, high = i;

        while (low < high) {
            const size_t middle = low + (high - low) / 2, other = s->order[middle];
            const int order = compare_rows(s, i, other);
            if (order < 0 || (order == 0 && s->w[i] < s->w[other]))
                high = middle;
            else
                low = middle + 1;
        }
        memmove(s->order + low + 1, s->order + low, (i - low) * sizeof *s->order);
        s->order[low] = i;
    }
    for (size_t i = 0; i < s->n; i++) {
        const size_t row = s->order[i];
        s->n_distinct += i == 0 || compare_rows(s, s->order[i - 1], row) != 0;
        s->group[row] = s->n_distinct - 1;
    }
}

/* Of the largest weight: the unit is no less. */
static const double LEAST_UNIT = 1e-200;

/* The distinct rows X [n x d] in order, and their weights N, the median of which is 1 unless some are out of all proportion. */
static ml_status collect(ml__arena *arena, const sample *s, double **X, double **N)
{
    const size_t n = s->n_distinct, d = s->d;
    ml__weighted *values;
    double unit;
    ml_status st = ML_OK;

    ML__NEW(arena, *X, n * d);
    ML__NEW(arena, *N, n);
    ML__NEW(arena, values, n);
    for (size_t i = 0; i < s->n; i++) {
        const size_t row = s->order[i], g = s->group[row];
        memcpy(*X + g * d, s->X + row * d, d * sizeof **X);
        (*N)[g] += s->w[row];
    }
    for (size_t g = 0; g < n; g++)
        values[g] = (ml__weighted){(*N)[g], 1};
    ml__weighted_sort(values, n);
    unit = fmax(values[(n - 1) / 2].value, values[n - 1].value * LEAST_UNIT);
    for (size_t g = 0; g < n; g++)
        (*N)[g] /= unit;
done:
    return st;
}

/* ---- coordinates ---- */

static double sum_of(size_t n, const double *x)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* Columns get mean 0 and variance 1, constant ones become 0. */
static ml_status standardise(size_t n, size_t d, const double *N, double *X)
{
    const double total = sum_of(n, N);
    ml_status st = ML_OK;

    for (size_t j = 0; j < d; j++) {
        double largest = 0, mean = 0, variance = 0;
        int exponent;

        for (size_t i = 0; i < n; i++)
            largest = fmax(largest, fabs(X[i * d + j]));
        ML__CHECK(isfinite(largest), ML_E_NUMERIC, "hierarchical start: distances are not finite; scale the features");
        (void)frexp(largest, &exponent);
        for (size_t i = 0; i < n; i++) {
            X[i * d + j] = ldexp(X[i * d + j], -exponent);
            mean += N[i] * X[i * d + j] / total;
        }
        for (size_t i = 0; i < n; i++) {
            X[i * d + j] -= mean;
            variance += N[i] * X[i * d + j] * X[i * d + j] / (total - 1);
        }
        for (size_t i = 0; i < n; i++)
            X[i * d + j] = variance > 0 ? X[i * d + j] / sqrt(variance) : 0;
    }
done:
    return st;
}

/* Eigenpairs of X'X or, where that is smaller, X X': A [m x m] becomes the vectors, in rows. */
static ml_status decompose(ml__arena *arena, size_t n, size_t d, const double *X, size_t *m, double **A,
                           double **values)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    const bool of_rows = d > n;
    double *e;
    ml_status st = ML_OK;

    *m = of_rows ? n : d;
    ML__NEW(arena, *A, *m * *m);
    ML__NEW(arena, *values, *m);
    ML__NEW(arena, e, *m);
    if (of_rows)
        kernels->gemm_nt(n, n, d, X, d, X, d, 0, *A, n);
    else
        kernels->syrk_tn(d, n, X, d, 0, *A, d);
    ML__CHECK(ml__symmetric_eigen(*m, *A, *m, *values, e), ML_E_NUMERIC,
              "hierarchical start: the principal axes did not converge");
done:
    return st;
}

/* Z [n x p] of the rows X, which are overwritten. */
static ml_status transform(ml__arena *arena, size_t n, size_t d, const double *N, double *X, size_t *p, double **Z)
{
    const ml__kernels_f64 *kernels = &ml__kernels_best()->f64;
    double *V, *values, least;
    size_t m, first = 0;
    ml_status st;

    ML__TRY(standardise(n, d, N, X));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            X[i * d + j] *= sqrt(N[i]);
    ML__TRY(decompose(arena, n, d, X, &m, &V, &values));
    least = (double)(n > d ? n : d) * DBL_EPSILON * values[m - 1];
    while (first < m && !(values[first] > least)) /* ascending; below is rounding */
        first++;
    *p = m - first;
    ML__NEW(arena, *Z, n * *p);
    if (d > n)
        for (size_t i = 0; i < n; i++)
            for (size_t q = 0; q < *p; q++)
                (*Z)[i * *p + q] = V[(first + q) * n + i] * sqrt(values[first + q]);
    else
        kernels->gemm_nt(n, *p, d, X, d, V + first * d, d, 0, *Z, *p);
    for (size_t i = 0; i < n; i++)
        for (size_t q = 0; q < *p; q++)
            (*Z)[i * *p + q] /= sqrt(N[i]) * sqrt(sqrt(values[first + q]));
done:
    return st;
}

/* ---- clusters ---- */

#define NONE SIZE_MAX

typedef struct cluster {
    double N, trace, E;
    size_t n_rows; /* distinct ones */
} cluster;

typedef struct hierarchy {
    size_t n, p;
    double a;
    cluster *clusters; /* n: number c is there as long as into[c] is c */
    double *Z;         /* means */
    double *W;         /* lower triangles [n x p x p], for up to MOST_VOLUMES coordinates */
    double *costs;     /* of a pair (a, b), b < a, at a (a - 1) / 2 + b */
    double *least;     /* of the costs of a, b < a */
    size_t *nearest;   /* b < a of this cost, or NONE: the least is a bound */
    size_t *alive, n_alive;
    size_t *into;
    size_t merged, gone; /* of the last merge */
} hierarchy;

static double *cost_at(const hierarchy *h, size_t a, size_t b)
{
    return a > b ? &h->costs[a * (a - 1) / 2 + b] : &h->costs[b * (b - 1) / 2 + a];
}

/* May |W / N| change E? */
static bool has_volume(const hierarchy *h, const cluster *c)
{
    double side, bound = 1;

    if (h->p > MOST_VOLUMES || c->n_rows <= h->p)
        return false;
    side = c->trace / (c->N * (double)h->p);
    for (size_t q = 0; q < h->p; q++)
        bound *= side;
    return bound > 0.25 * DBL_EPSILON * (c->trace + h->a) / c->N;
}

/* W of two clusters together [p x p], the lower triangle. */
static void add_scatter(const hierarchy *h, size_t a, size_t b, double *W)
{
    const size_t p = h->p;
    const double *z_a = h->Z + a * p, *z_b = h->Z + b * p, *W_a = h->W + a * p * p, *W_b = h->W + b * p * p;
    const double share = h->clusters[a].N * h->clusters[b].N / (h->clusters[a].N + h->clusters[b].N);

    for (size_t i = 0; i < p; i++) {
        const double pull = share * (z_a[i] - z_b[i]);
        for (size_t j = 0; j <= i; j++)
            W[i * p + j] = W_a[i * p + j] + W_b[i * p + j] + pull * (z_a[j] - z_b[j]);
    }
}

/* What clusters a and b would be together. */
static cluster join(const hierarchy *h, size_t a, size_t b)
{
    const size_t p = h->p;
    const cluster *A = &h->clusters[a], *B = &h->clusters[b];
    const double *z_a = h->Z + a * p, *z_b = h->Z + b * p;
    cluster c = {.N = A->N + B->N, .n_rows = A->n_rows + B->n_rows};
    double L[MOST_VOLUMES * MOST_VOLUMES], square = 0, determinant = 0;

    for (size_t q = 0; q < p; q++)
        square += (z_a[q] - z_b[q]) * (z_a[q] - z_b[q]);
    c.trace = A->trace + B->trace + A->N * B->N / c.N * square;
    if (has_volume(h, &c)) {
        add_scatter(h, a, b, L);
        determinant = ml__cholesky(p, L, p) == 0;
        for (size_t q = 0; q < p && determinant > 0; q++)
            determinant *= L[q * p + q] * L[q * p + q] / c.N;
    }
    c.E = c.N * log(determinant + (c.trace + h->a) / c.N);
    return c;
}

static void find_cost(const hierarchy *h, size_t a, size_t b)
{
    *cost_at(h, a, b) = join(h, a, b).E - h->clusters[a].E - h->clusters[b].E;
}

/* The nearest of the clusters before a, of which there are some. */
static void seek(const hierarchy *h, size_t a)
{
    const double *costs = cost_at(h, a, 0);
    size_t best = h->alive[0];

    for (size_t i = 1; h->alive[i] < a; i++)
        if (costs[h->alive[i]] < costs[best])
            best = h->alive[i];
    h->nearest[a] = best;
    h->least[a] = costs[best];
}

/* ---- merging ---- */

static ml_status find_costs_of_row(void *argument, size_t task)
{
    const hierarchy *h = argument;
    const size_t a = task + 1;

    for (size_t b = 0; b < a; b++)
        find_cost(h, a, b);
    seek(h, a);
    return ML_OK;
}

/* Costs with the cluster that was merged last, and the least of those behind it. */
static ml_status renew(void *argument, size_t task)
{
    const hierarchy *h = argument;
    const size_t c = h->merged, end = (task + 1) * TASK_PAIRS;

    for (size_t i = task * TASK_PAIRS; i < end && i < h->n_alive; i++) {
        const size_t a = h->alive[i];

        if (a == c)
            continue;
        find_cost(h, a, c);
        if (a < c)
            continue;
        if (*cost_at(h, a, c) < h->least[a]) {
            h->least[a] = *cost_at(h, a, c);
            h->nearest[a] = c;
        } else if (h->nearest[a] == c || h->nearest[a] == h->gone) {
            h->nearest[a] = NONE;
        }
    }
    return ML_OK;
}

/* Cluster b goes into a, a < b. */
static void merge(hierarchy *h, size_t a, size_t b)
{
    const size_t p = h->p;
    const cluster both = join(h, a, b);
    size_t i = 0;

    if (p <= MOST_VOLUMES)
        add_scatter(h, a, b, h->W + a * p * p);
    for (size_t q = 0; q < p; q++)
        h->Z[a * p + q] += h->clusters[b].N / both.N * (h->Z[b * p + q] - h->Z[a * p + q]);
    h->clusters[a] = both;
    h->into[b] = a;
    while (h->alive[i] != b)
        i++;
    h->n_alive--;
    memmove(h->alive + i, h->alive + i + 1, (h->n_alive - i) * sizeof *h->alive);
    h->merged = a;
    h->gone = b;
}

/* The second cluster of the pair of least cost; the first one is the nearest before it. */
static size_t least_cost(const hierarchy *h)
{
    for (;;) {
        size_t best = h->alive[1];

        for (size_t i = 2; i < h->n_alive; i++)
            if (h->least[h->alive[i]] < h->least[best])
                best = h->alive[i];
        if (h->nearest[best] != NONE)
            return best;
        seek(h, best);
    }
}

static ml_status create(ml__arena *arena, size_t n, size_t p, const double *N, double *Z, hierarchy *h)
{
    double squares = 0;
    ml_status st = ML_OK;

    *h = (hierarchy){.n = n, .p = p, .Z = Z, .n_alive = n};
    ML__NEW(arena, h->clusters, n);
    ML__NEW(arena, h->W, p <= MOST_VOLUMES ? n * p * p : 0);
    ML__NEW(arena, h->costs, n * (n - 1) / 2);
    ML__NEW(arena, h->least, n);
    ML__NEW(arena, h->nearest, n);
    ML__NEW(arena, h->alive, n);
    ML__NEW(arena, h->into, n);
    for (size_t v = 0; v < n * p; v++)
        squares += N[v / p] * Z[v] * Z[v];
    h->a = squares > 0 ? squares / (sum_of(n, N) * (double)p) : 1;
    for (size_t c = 0; c < n; c++) {
        h->clusters[c] = (cluster){.N = N[c], .E = N[c] * log(h->a / N[c]), .n_rows = 1};
        h->alive[c] = h->into[c] = c;
    }
done:
    return st;
}

/* Clusters become one another until k are left. */
static ml_status agglomerate(ml__fit *f, hierarchy *h, size_t k, uint64_t done, uint64_t total)
{
    const double p = (double)h->p, pair = 50 + 2 * p + (h->p <= MOST_VOLUMES ? 0.2 * p * p * p : 0);
    ml_status st;

    ML__TRY(ml__parallel_for_cost(f->context, h->n - 1, (double)h->n * (20 + p), find_costs_of_row, h));
    while (h->n_alive > k) {
        const size_t b = least_cost(h);

        merge(h, h->nearest[b], b);
        ML__TRY(
            ml__parallel_for_cost(f->context, (h->n_alive + TASK_PAIRS - 1) / TASK_PAIRS, TASK_PAIRS * pair, renew, h));
        if (h->merged != h->alive[0])
            seek(h, h->merged);
        ML__TRY(ml__fit_poll(f, done, total));
    }
done:
    return st;
}

/* Distinct rows get numbers of clusters, which count in the order of their first rows. */
static void number(const hierarchy *h, uint32_t *of)
{
    uint32_t next = 0;

    for (size_t c = 0; c < h->n; c++)
        of[c] = h->into[c] == c ? next++ : of[h->into[c]];
}

ml_status ml__hierarchical_labels(ml__fit *f, const ml__points *points, size_t k, ml__rng *rng, uint64_t done,
                                  uint64_t total, uint32_t *labels)
{
    double *X, *N, *Z;
    size_t p;
    uint32_t *of;
    sample s;
    hierarchy h;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, f->context);
    ML__TRY(draw_sample(&arena, points, rng, &s));
    sort_rows(&s);
    ML__NEW(&arena, of, s.n_distinct);
    for (size_t g = 0; g < s.n_distinct; g++)
        of[g] = (uint32_t)g;
    if (s.n_distinct > k) {
        ML__TRY(collect(&arena, &s, &X, &N));
        ML__TRY(transform(&arena, s.n_distinct, s.d, N, X, &p, &Z));
        ML__TRY(create(&arena, s.n_distinct, p, N, Z, &h));
        ML__TRY(agglomerate(f, &h, k, done, total));
        number(&h, of);
    }
    for (size_t i = 0; i < points->n; i++)
        labels[i] = UINT32_MAX;
    for (size_t i = 0; i < s.n; i++)
        labels[s.rows[i]] = of[s.group[i]];
done:
    ml__arena_free(&arena);
    return st;
}
