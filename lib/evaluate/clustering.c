/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of clusters. Definitions and edge cases are scikit-learn's.
 *
 * Of rows     n rows, K clusters c with n_c rows, centroid m_c; m the mean of all
 *             Davies & Bouldin 1979      mean_c max_{e != c} (s_c + s_e) / |m_c - m_e|,  s_c = mean |x - m_c|
 *             Calinski & Harabasz 1974   (Σ n_c |m_c - m|² / (K - 1)) / (Σ |x - m_c|² / (n - K))
 *             None of them depends on the unit of the rows: differences are scaled so that no square is too large, those of
 *             short ones once more. All is computed from differences of rows, so that an entry far off does not take the digits
 *             of others
 * Of labels   N_ab rows of cluster a in one clustering and b in the other, N_a and N_b their sums
 *             Rand, adjusted             2 (tp tn - fn fp) / ((tp + fn) (fn + tn) + (tp + fp) (fp + tn)) of ordered pairs
 *             mutual information         Σ N_ab / n ln(n N_ab / (N_a N_b)) over the mean of -Σ N_a / n ln(N_a / n) and that of b
 */
#include <invar/metrics.h>

#include <float.h>

#include "base/context.h"
#include "base/processor.h"
#include "evaluate/clusters.h"
#include "evaluate/input.h"

/* ---- rows by cluster ---- */

static ml_status check_rows(const double *x, size_t n, size_t d)
{
    for (size_t i = 0; i < n * d; i++)
        if (!isfinite(x[i]))
            return ml__fail(ML_E_DATA, "x: row %zu, column %zu has %g, expected a finite number", i / d, i % d, x[i]);
    return ML_OK;
}

/* begin, K and row: the order of a counting sort, empty clusters left out. */
static ml_status sort_rows(ml__arena *arena, const double *labels, size_t n_clusters, ml__clusters *c)
{
    size_t *count, at = 0;
    ml_status st = ML_OK;

    ML__NEW(arena, count, n_clusters);
    for (size_t i = 0; i < c->n; i++)
        count[(size_t)labels[i]]++;
    for (size_t k = 0; k < n_clusters; k++)
        c->K += count[k] > 0;
    ML__CHECK(c->K >= 2 && c->K < c->n, ML_E_DATA,
              "labels: %zu rows in %zu cluster%s, expected at least 2 clusters and fewer than rows", c->n, c->K,
              c->K == 1 ? "" : "s");
    ML__NEW(arena, c->begin, c->K + 1);
    for (size_t k = 0, used = 0; k < n_clusters; k++) {
        const size_t n_rows = count[k];
        if (!n_rows)
            continue;
        c->begin[used++] = count[k] = at;
        at += n_rows;
    }
    c->begin[c->K] = c->n;
    for (size_t i = 0; i < c->n; i++)
        c->row[count[(size_t)labels[i]]++] = i;
done:
    return st;
}

/* mean and scale: halves of everything on the way, so that no difference overflows. The largest square comes near the top of the
 * range, so that those of the others have most room below it. */
static void find_scale(ml__clusters *c)
{
    enum { TOP = 480 };
    const size_t n = c->n, d = c->d;
    const double *x = c->x;
    double largest = 0;
    int exponent;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            c->mean[j] += (0.5 * x[i * d + j] - 0.5 * x[j]) / (double)n;
    for (size_t j = 0; j < d; j++)
        c->mean[j] += 0.5 * x[j];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            largest = fmax(largest, fabs(0.5 * x[i * d + j] - c->mean[j]));
    frexp(largest, &exponent);
    c->scale = ldexp(1, exponent < TOP - 1000 ? 1000 : TOP - exponent);
}

double ml__clusters_length(const double *e, size_t d)
{
    static const double LEAST = 1e-280;
    double sum = 0, largest = 0;
    int exponent;

    for (size_t j = 0; j < d; j++)
        sum += e[j] * e[j];
    if (sum >= LEAST)
        return sqrt(sum);
    for (size_t j = 0; j < d; j++)
        largest = fmax(largest, fabs(e[j]));
    frexp(largest, &exponent);
    sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += ldexp(e[j], -exponent) * ldexp(e[j], -exponent);
    return ldexp(sqrt(sum), exponent);
}

ml_status ml__clusters_create(ml__arena *arena, const double *x, size_t n, size_t d, const double *labels,
                              size_t n_clusters, ml__clusters *out)
{
    ml_status st;

    *out = (ml__clusters){.n = n, .d = d, .x = x};
    ML__CHECK(x && labels, ML_E_ARGUMENT, "%s is NULL", x ? "labels" : "x");
    ML__TRY(ml__metric_extent(n, d, "d"));
    ML__CHECK(n_clusters >= 1, ML_E_ARGUMENT, "n_clusters is 0, expected at least 1");
    ML__TRY(ml__metric_classes("labels", labels, n, 1, &n_clusters, false));
    ML__TRY(check_rows(x, n, d));
    ML__NEW(arena, out->row, n);
    ML__TRY(sort_rows(arena, labels, n_clusters, out));
    ML__NEW(arena, out->mean, d);
    find_scale(out);
done:
    return st;
}

/* ---- of rows ---- */

/* Centroids, as what they are off their cluster's first row: a row far off is felt in its own cluster only. */
typedef struct {
    double *off;   /* K x d */
    double *reach; /* K x d: the largest difference from the first row */
    double *e;     /* d: workspace */
} centroids;

/* To the last digits, so that centroids that are the same can be seen to be. */
static ml_status find_centroids(ml__arena *arena, const ml__clusters *c, centroids *m)
{
    ml_status st = ML_OK;

    ML__NEW(arena, m->off, c->K * c->d);
    ML__NEW(arena, m->reach, c->K * c->d);
    ML__NEW(arena, m->e, c->d);
    for (size_t k = 0; k < c->K; k++)
        for (size_t j = 0; j < c->d; j++) {
            ml__sum sum = {0, 0};

            for (size_t i = c->begin[k]; i < c->begin[k + 1]; i++) {
                const double e = ml__clusters_difference(c, i, c->begin[k], j);
                ml__sum_add(&sum, e);
                m->reach[k * c->d + j] = fmax(m->reach[k * c->d + j], fabs(e));
            }
            m->off[k * c->d + j] = ml__sum_total(sum) / (double)(c->begin[k + 1] - c->begin[k]);
        }
done:
    return st;
}

/* |x - m_k| of row row[i] of cluster k. */
static double distance_from_centroid(const ml__clusters *c, const centroids *m, size_t i, size_t k)
{
    for (size_t j = 0; j < c->d; j++)
        m->e[j] = ml__clusters_difference(c, i, c->begin[k], j) - m->off[k * c->d + j];
    return ml__clusters_length(m->e, c->d);
}

/* Feature j of m_k - m_e. */
static double centroid_difference(const ml__clusters *c, const centroids *m, size_t k, size_t e, size_t j)
{
    return ml__clusters_difference(c, c->begin[k], c->begin[e], j) + (m->off[k * c->d + j] - m->off[e * c->d + j]);
}

/* |m_k - m_e|; 0 when it is no more than rounding. */
static double centroid_distance(const ml__clusters *c, const centroids *m, size_t k, size_t e)
{
    double apart, terms;

    for (size_t j = 0; j < c->d; j++)
        m->e[j] = centroid_difference(c, m, k, e, j);
    apart = ml__clusters_length(m->e, c->d);
    for (size_t j = 0; j < c->d; j++)
        m->e[j] = fabs(ml__clusters_difference(c, c->begin[k], c->begin[e], j)) + m->reach[k * c->d + j] +
                  m->reach[e * c->d + j];
    terms = ml__clusters_length(m->e, c->d);
    return apart > 4 * DBL_EPSILON * terms ? apart : 0;
}

/* (s_k + s_e) / |m_k - m_e| at most, over e whose centroid is another one. */
static double worst_ratio(const ml__clusters *c, const centroids *m, const double *spread, size_t k)
{
    double worst = 0;

    for (size_t e = 0; e < c->K; e++) {
        const double apart = e == k ? 0 : centroid_distance(c, m, k, e);
        if (apart > 0)
            worst = fmax(worst, (spread[k] + spread[e]) / apart);
    }
    return worst;
}

static ml_status davies_bouldin(ml__arena *arena, const ml__clusters *c, double *out)
{
    centroids m;
    double *spread, sum = 0;
    ml_status st;

    ML__TRY(find_centroids(arena, c, &m));
    ML__NEW(arena, spread, c->K);
    for (size_t k = 0; k < c->K; k++)
        for (size_t i = c->begin[k]; i < c->begin[k + 1]; i++)
            spread[k] += distance_from_centroid(c, &m, i, k) / (double)(c->begin[k + 1] - c->begin[k]);
    for (size_t k = 0; k < c->K; k++)
        sum += worst_ratio(c, &m, spread, k);
    *out = sum / (double)c->K;
done:
    return st;
}

static ml_status calinski_harabasz(ml__arena *arena, const ml__clusters *c, double *out)
{
    centroids m;
    double *mean; /* less the first cluster's centroid */
    double widest = 0;
    ml__sum between = {0, 0}, within = {0, 0};
    ml_status st;

    ML__TRY(find_centroids(arena, c, &m));
    ML__NEW(arena, mean, c->d);
    for (size_t k = 1; k < c->K; k++)
        for (size_t j = 0; j < c->d; j++)
            mean[j] += centroid_difference(c, &m, k, 0, j) * ((double)(c->begin[k + 1] - c->begin[k]) / (double)c->n);
    for (size_t k = 0; k < c->K; k++) {
        double apart;

        for (size_t j = 0; j < c->d; j++)
            m.e[j] = centroid_difference(c, &m, k, 0, j) - mean[j];
        apart = ml__clusters_length(m.e, c->d);
        ml__sum_add(&between, (double)(c->begin[k + 1] - c->begin[k]) * apart * apart);
        for (size_t i = c->begin[k]; i < c->begin[k + 1]; i++) {
            const double spread = distance_from_centroid(c, &m, i, k);

            ml__sum_add(&within, spread * spread);
            widest = fmax(widest, spread);
        }
    }
    *out = 1;
    if (widest > 0) /* whose squares may be 0: then the ratio is beyond double */
        *out =
            fmin(ml__sum_total(between) / ml__sum_total(within) * (double)(c->n - c->K) / (double)(c->K - 1), DBL_MAX);
done:
    return st;
}

typedef ml_status (*index_of_rows)(ml__arena *arena, const ml__clusters *c, double *out);

static ml_status judge_rows(ml_context *context, const double *x, size_t n, size_t d, const double *labels,
                            size_t n_clusters, index_of_rows index, double *out)
{
    const ml__float_state host = ml__float_begin();
    ml__clusters c;
    ml__arena arena;
    double value;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(ml__clusters_create(&arena, x, n, d, labels, n_clusters, &c));
    ML__TRY(index(&arena, &c, &value));
    *out = value;
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

ml_status ml_metrics_davies_bouldin(ml_context *context, const double *x, size_t n, size_t d, const double *labels,
                                    size_t n_clusters, double *out)
{
    return judge_rows(context, x, n, d, labels, n_clusters, davies_bouldin, out);
}

ml_status ml_metrics_calinski_harabasz(ml_context *context, const double *x, size_t n, size_t d, const double *labels,
                                       size_t n_clusters, double *out)
{
    return judge_rows(context, x, n, d, labels, n_clusters, calinski_harabasz, out);
}

/* ---- of labels ---- */

typedef struct contingency {
    size_t n_a, n_b, n_ab;       /* n_ab: pairs that occur, in ascending order */
    size_t *a, *b;               /* [n_ab] */
    double n, *N_ab, *N_a, *N_b; /* counts */
} contingency;

/* `to` becomes the rows `from` in ascending order of their labels; rows of the same label stay in theirs. */
static ml_status sort_by_label(ml__arena *arena, const double *labels, size_t n, const double *counts, size_t n_labels,
                               const size_t *from, size_t *to)
{
    size_t *next;
    ml_status st = ML_OK;

    ML__NEW(arena, next, n_labels);
    for (size_t l = 1; l < n_labels; l++)
        next[l] = next[l - 1] + (size_t)counts[l - 1];
    for (size_t i = 0; i < n; i++) {
        const size_t row = from ? from[i] : i;
        to[next[(size_t)labels[row]]++] = row;
    }
done:
    return st;
}

/* The pairs that occur, from N_a and N_b. */
static ml_status list_pairs(ml__arena *arena, const double *a, const double *b, size_t n, contingency *t)
{
    size_t *by_b, *rows;
    ml_status st = ML_OK;

    ML__NEW(arena, by_b, n);
    ML__NEW(arena, rows, n);
    ML__NEW(arena, t->a, n);
    ML__NEW(arena, t->b, n);
    ML__NEW(arena, t->N_ab, n);
    ML__TRY(sort_by_label(arena, b, n, t->N_b, t->n_b, NULL, by_b));
    ML__TRY(sort_by_label(arena, a, n, t->N_a, t->n_a, by_b, rows));
    for (size_t i = 0; i < n; i++) {
        const size_t of_a = (size_t)a[rows[i]], of_b = (size_t)b[rows[i]];
        if (i == 0 || t->a[t->n_ab - 1] != of_a || t->b[t->n_ab - 1] != of_b) {
            t->a[t->n_ab] = of_a;
            t->b[t->n_ab++] = of_b;
        }
        t->N_ab[t->n_ab - 1]++;
    }
done:
    return st;
}

static ml_status count_pairs(ml__arena *arena, const double *a, const double *b, size_t n, size_t n_a, size_t n_b,
                             contingency *t)
{
    ml_status st;

    ML__CHECK(a && b, ML_E_ARGUMENT, "%s is NULL", a ? "labels_pred" : "labels_true");
    ML__TRY(ml__metric_extent(n, n_a, "n_true"));
    ML__TRY(ml__metric_extent(n, n_b, "n_pred"));
    ML__TRY(ml__metric_classes("labels_true", a, n, 1, &n_a, false));
    ML__TRY(ml__metric_classes("labels_pred", b, n, 1, &n_b, false));
    *t = (contingency){.n_a = n_a, .n_b = n_b, .n = (double)n};
    ML__NEW(arena, t->N_a, n_a);
    ML__NEW(arena, t->N_b, n_b);
    for (size_t i = 0; i < n; i++) {
        t->N_a[(size_t)a[i]]++;
        t->N_b[(size_t)b[i]]++;
    }
    ML__TRY(list_pairs(arena, a, b, n, t));
done:
    return st;
}

static double sum_of_squares(const double *counts, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += counts[i] * counts[i];
    return sum;
}

static double adjusted_rand(const contingency *t)
{
    const double both = sum_of_squares(t->N_ab, t->n_ab), tp = both - t->n;
    const double fp = sum_of_squares(t->N_b, t->n_b) - both, fn = sum_of_squares(t->N_a, t->n_a) - both;
    const double tn = t->n * t->n - fp - fn - both;

    return fp == 0 && fn == 0 ? 1 : 2 * (tp * tn - fn * fp) / ((tp + fn) * (fn + tn) + (tp + fp) * (fp + tn));
}

static double entropy(const double *counts, size_t n_counts, double n)
{
    double sum = 0;

    for (size_t i = 0; i < n_counts; i++)
        if (counts[i] > 0)
            sum -= counts[i] / n * log(counts[i] / n);
    return sum;
}

static double mutual_information(const contingency *t)
{
    double sum = 0;

    for (size_t p = 0; p < t->n_ab; p++)
        sum += t->N_ab[p] / t->n * log(t->n * t->N_ab[p] / (t->N_a[t->a[p]] * t->N_b[t->b[p]]));
    return sum;
}

static double normalized_mutual_info(const contingency *t)
{
    const double information = mutual_information(t);
    const double of_a = entropy(t->N_a, t->n_a, t->n), of_b = entropy(t->N_b, t->n_b, t->n);

    if (of_a <= 0 && of_b <= 0)
        return 1;
    return information <= DBL_EPSILON ? 0 : information / (0.5 * (of_a + of_b));
}

static ml_status compare_labels(ml_context *context, const double *a, const double *b, size_t n, size_t n_a, size_t n_b,
                                double (*index)(const contingency *t), double *out)
{
    const ml__float_state host = ml__float_begin();
    contingency t = {0};
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    ML__TRY(count_pairs(&arena, a, b, n, n_a, n_b, &t));
    *out = index(&t);
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}

ml_status ml_metrics_adjusted_rand(ml_context *context, const double *labels_true, const double *labels_pred, size_t n,
                                   size_t n_true, size_t n_pred, double *out)
{
    return compare_labels(context, labels_true, labels_pred, n, n_true, n_pred, adjusted_rand, out);
}

ml_status ml_metrics_normalized_mutual_info(ml_context *context, const double *labels_true, const double *labels_pred,
                                            size_t n, size_t n_true, size_t n_pred, double *out)
{
    return compare_labels(context, labels_true, labels_pred, n, n_true, n_pred, normalized_mutual_info, out);
}
