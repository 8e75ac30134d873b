/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EM starts from: rows less their centre, and shares of them: k-means clusters (one component each), single rows (drawn
 * by k-means++ or at random), or random shares. An M-step makes the first mixture of them. The starts are scikit-learn's.
 *
 * Centre      the mean of the middle half of each feature, in a sample of rows. The mean of all would be far from nearly all
 *             rows where a few are huge, and what is subtracted costs them digits then.
 * Rows without weight are left out. Of rows with missing entries k-means sees the centre there; for full covariances rows with
 * the same missing entries are brought together.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "learn/gmm/mixture.h"
#include "learn/weighted.h"

enum {
    START_ITER = 300,  /* of k-means, as scikit-learn's KMeans */
    SAMPLE_ROWS = 1024 /* whose middle half the centre is taken from */
};
static const double START_TOL = 1e-4;

/* ---- rows ---- */

/* Rows with positive weight, and their weights. */
static ml_status gather_rows(ml__fit *f, double **X, double **w, size_t *n)
{
    const double *weights = ml__fit_weights(f);
    size_t count;
    ml_status st = ML_OK;

    *n = 0;
    if (!weights)
        return ML_E_MEMORY;
    for (size_t i = 0; i < f->n; i++)
        *n += weights[i] > 0;
    ML__CHECK(ml__size_mul(*n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", *n, f->d);
    ML__NEW(f->scratch, *X, count);
    ML__NEW(f->scratch, *w, *n);
    for (size_t i = 0, to = 0; i < f->n; i++) {
        if (!(weights[i] > 0))
            continue;
        ML__TRY(ml__dataset_read(f->data, i, 1, ML_FLOAT64, *X + to * f->d));
        (*w)[to++] = weights[i];
    }
done:
    return st;
}

/* Does pattern x come after pattern y? Complete rows come first. */
static bool comes_after(const double *x, const double *y, size_t d)
{
    for (size_t j = 0; j < d; j++)
        if (isnan(x[j]) != isnan(y[j]))
            return isnan(x[j]);
    return false;
}

/* Bring rows of the same missing entries together, by merging; otherwise in their old order. */
static ml_status sort_patterns(ml__fit *f, size_t n, double **X, double **w)
{
    const size_t d = f->d;
    double *sorted, *weights;
    size_t *from, *to;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, from, n);
    ML__NEW(f->scratch, to, n);
    ML__NEW(f->scratch, sorted, n * d);
    ML__NEW(f->scratch, weights, n);
    for (size_t i = 0; i < n; i++)
        from[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        size_t *kept = from;
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            const size_t middle = begin + width < n ? begin + width : n, end = middle + width < n ? middle + width : n;
            for (size_t a = begin, b = middle, i = begin; i < end; i++) {
                const bool second = b < end && (a == middle || comes_after(*X + from[a] * d, *X + from[b] * d, d));
                to[i] = second ? from[b++] : from[a++];
            }
        }
        from = to;
        to = kept;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(sorted + i * d, *X + from[i] * d, d * sizeof *sorted);
        weights[i] = (*w)[from[i]];
    }
    *X = sorted;
    *w = weights;
done:
    return st;
}

/* Values of feature j in n_rows rows spread over all; where none has one, of all rows the first. */
static size_t sample_column(const double *X, size_t n, size_t d, size_t j, size_t n_rows, ml__weighted *values)
{
    size_t n_values = 0;

    for (size_t i = 0; i < n_rows; i++) {
        const double x = X[(i * (n / n_rows) + i * (n % n_rows) / n_rows) * d + j];
        if (!isnan(x))
            values[n_values++] = (ml__weighted){x, 1};
    }
    for (size_t i = 0; i < n && !n_values; i++)
        if (!isnan(X[i * d + j]))
            values[n_values++] = (ml__weighted){X[i * d + j], 1};
    return n_values;
}

/* Mean of the middle half, about the middle value: exact where they are the same. */
static double centre_of(ml__weighted *values, size_t n)
{
    const size_t first = n / 4, n_middle = n - 2 * first;
    double middle, more = 0;

    ml__weighted_sort(values, n);
    middle = values[n / 2].value;
    for (size_t i = first; i < first + n_middle; i++)
        more += (values[i].value - middle) / (double)n_middle;
    return isfinite(middle + more) ? middle + more : middle;
}

static ml_status centre_rows(ml__fit *f, double *X, double *w, size_t n, ml__gmm_rows *out)
{
    const size_t d = f->d, n_rows = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
    double unit = 0;
    ml__weighted *values;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, values, n_rows);
    ML__NEW(f->scratch, out->shift, d);
    for (size_t j = 0; j < d; j++) {
        const size_t n_values = sample_column(X, n, d, j, n_rows, values);
        ML__CHECK(n_values, ML_E_DATA, "gmm: feature '%s' has no value in any row", f->schema->features[j].name);
        out->shift[j] = centre_of(values, n_values);
    }
    for (size_t i = 0; i < n; i++)
        unit += w[i];
    unit /= (double)n;
    ML__CHECK(unit >= DBL_MIN, ML_E_NUMERIC, "gmm: the mean weight is %g, too small to divide by", unit);
    for (size_t i = 0; i < n; i++) {
        w[i] /= unit;
        for (size_t j = 0; j < d; j++)
            X[i * d + j] -= out->shift[j];
    }
    out->unit = unit;
done:
    return st;
}

ml_status ml__gmm_gather(ml__fit *f, ml__covariance type, ml__gmm_rows *out)
{
    double *X = NULL, *w = NULL, *complete;
    size_t n;
    ml_status st;

    ML__TRY(gather_rows(f, &X, &w, &n));
    ML__TRY(centre_rows(f, X, w, n, out));
    complete = X;
    if (ml__has_missing(X, n * f->d)) {
        if (type == ML__FULL)
            ML__TRY(sort_patterns(f, n, &X, &w));
        ML__NEW(f->scratch, complete, n * f->d);
        for (size_t v = 0; v < n * f->d; v++)
            complete[v] = isnan(X[v]) ? 0 : X[v];
    }
    out->points = (ml__points){X, n, f->d, w};
    out->complete = (ml__points){complete, n, f->d, w};
done:
    return st;
}

/* ---- shares ---- */

ml_status ml__gmm_start_create(ml__arena *arena, int64_t init_params, const ml__points *points, size_t k,
                               ml__gmm_start *out)
{
    size_t n_shares = 0;
    ml_status st = ML_OK;

    *out = (ml__gmm_start){.init_params = init_params};
    ML__CHECK(init_params != ML__GMM_RANDOM || ml__size_mul(points->n, k, &n_shares), ML_E_MEMORY,
              "shares of %zu rows in %zu components do not fit in memory", points->n, k);
    ML__NEW(arena, out->rows, k);
    ML__NEW(arena, out->centres, k * points->d);
    ML__NEW(arena, out->labels, points->n);
    ML__NEW(arena, out->mass, points->n);
    ML__NEW(arena, out->R, n_shares);
done:
    return st;
}

static void draw_rows(ml__gmm_start *s, const ml__em *em, ml__rng *rng)
{
    const ml__points *points = &em->points;
    double left = em->total;

    for (size_t i = 0; i < points->n; i++)
        s->mass[i] = 1;
    for (size_t c = 0; c < em->next.k; c++) {
        s->rows[c] = ml__points_draw(points, s->mass, left, rng);
        s->mass[s->rows[c]] = 0;
        left -= points->w[s->rows[c]];
    }
}

static ml_status cluster_rows(ml__gmm_start *s, const ml__em *em, const ml__points *points, ml__rng *rng)
{
    const size_t k = em->next.k, d = points->d;
    ml__kmeans clusters = {
        .k = k, .max_iter = START_ITER, .tol = START_TOL, .centres = s->centres, .labels = s->labels};
    ml_status st;

    ML__TRY(ml__kmeans_plus_plus(em->context, points, k, rng, s->rows));
    for (size_t c = 0; c < k; c++)
        memcpy(s->centres + c * d, points->X + s->rows[c] * d, d * sizeof *s->centres);
    ML__TRY(ml__kmeans_lloyd(em->context, points, &clusters));
done:
    return st;
}

static void draw_shares(double *R, const ml__em *em, ml__rng *rng)
{
    const size_t k = em->next.k;

    for (size_t i = 0; i < em->points.n; i++) {
        double *r = R + i * k, total = 0;
        for (size_t c = 0; c < k; c++)
            total += r[c] = 1 - ml__rng_uniform(rng); /* not 0 */
        for (size_t c = 0; c < k; c++)
            r[c] *= em->points.w[i] / total;
    }
}

ml_status ml__gmm_start_draw(ml__gmm_start *s, ml__em *em, const ml__points *complete, uint64_t seed, uint64_t t)
{
    ml__rng rng = ml__rng_make(seed, t);
    ml_status st = ML_OK;

    em->R = NULL;
    em->of = s->labels;
    switch (s->init_params) {
    case ML__GMM_KMEANS:
        return cluster_rows(s, em, complete, &rng);
    case ML__GMM_RANDOM:
        draw_shares(s->R, em, &rng);
        em->R = s->R;
        return ML_OK;
    case ML__GMM_RANDOM_FROM_DATA:
        draw_rows(s, em, &rng);
        break;
    default:
        ML__TRY(ml__kmeans_plus_plus(em->context, complete, em->next.k, &rng, s->rows));
    }
    for (size_t i = 0; i < em->points.n; i++)
        s->labels[i] = UINT32_MAX;
    for (size_t c = 0; c < em->next.k; c++)
        s->labels[s->rows[c]] = (uint32_t)c;
done:
    return st;
}
