/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cluster centres, and which of them is nearest.
 *
 * Nearest     arg min_k |c_k|²/2 - x'c_k about the mean of the centres, by the kernels; a row whose two least differ by no more than
 *             rounding could do (lloyd.c explains the bound) is decided by the distances in double, ties to the lowest
 * Predict     the cluster, as a class index; transform: the distances from all centres; score_samples: minus the squared
 *             distance from the nearest one, whose sum is minus the inertia
 *
 * Symbols     n rows, d features, k clusters
 */
#include "learn/centres.h"

#include <float.h>

#include "learn/learn.h"
#include "learn/lloyd.h"

/* ---- centres ---- */

ml_status ml__centres_create(ml__arena *arena, size_t k, size_t d, ml__centres *out)
{
    size_t count;
    ml_status st = ML_OK;

    *out = (ml__centres){.k = k, .d = d};
    ML__CHECK(ml__size_mul(k, d, &count), ML_E_MEMORY, "%zu centres of %zu features do not fit in memory", k, d);
    ML__NEW(arena, out->C, count);
    ML__NEW(arena, out->CT, count);
    ML__NEW(arena, out->half, k);
    ML__NEW(arena, out->mean, d);
done:
    return st;
}

void ml__centres_set(ml__centres *s, const double *centres)
{
    const size_t k = s->k, d = s->d;
    double largest = 0;

    memset(s->mean, 0, d * sizeof *s->mean);
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            s->mean[j] += centres[c * d + j] / (double)k;
    for (size_t c = 0; c < k; c++) {
        s->half[c] = 0;
        for (size_t j = 0; j < d; j++) {
            s->C[j * k + c] = centres[c * d + j];
            s->CT[j * k + c] = centres[c * d + j] - s->mean[j];
            s->half[c] += 0.5 * s->CT[j * k + c] * s->CT[j * k + c];
        }
        largest = fmax(largest, 2 * s->half[c]);
    }
    s->longest = sqrt(largest);
}

/* ---- the nearest ---- */

size_t ml__centres_nearest_scratch(size_t k, size_t d, size_t n)
{
    return ml__scratch_bytes(n * d, sizeof(double)) + 2 * ml__scratch_bytes(n, sizeof(double)) +
           ml__scratch_bytes(k, sizeof(double));
}

/* The length of a row by which rounding is bounded: |x| about the mean. */
static double length(size_t d, const double *x)
{
    double sum = 0;

    for (size_t j = 0; j < d; j++)
        sum += x[j] * x[j];
    return sqrt(sum);
}

ml_status ml__centres_nearest(const ml__centres *s, size_t n, const double *X, uint32_t *labels, ml__scratch scratch)
{
    const size_t d = s->d, k = s->k;
    const double of_norm = 2 * (double)(d + 6) * (0.5 * DBL_EPSILON) * s->longest * 1.001;
    double *Z = ml__scratch_take(&scratch, n * d, sizeof *Z); /* rows about the mean */
    double *value = ml__scratch_take(&scratch, n, sizeof *value);
    double *second = ml__scratch_take(&scratch, n, sizeof *second);
    double *distance = ml__scratch_take(&scratch, k, sizeof *distance);

    if (!Z || !value || !second || !distance)
        return ML_E_MEMORY;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            Z[i * d + j] = X[i * d + j] - s->mean[j];
    ml__kernels_rowwise()->f64.nearest(n, k, d, Z, d, s->CT, k, s->half, labels, value, second);
    for (size_t i = 0; i < n; i++) {
        const double bound = of_norm * (length(d, Z + i * d) + s->longest) + DBL_MIN * (double)(d + 6);
        if (!(second[i] - value[i] > bound))
            labels[i] = (uint32_t)ml__nearest_exactly(k, d, s->C, X + i * d, distance);
    }
    return ML_OK;
}

/* ---- inertia ---- */

ml_status ml__centres_inertia(const char *kind, double inertia, double unit, size_t n, double W, double *out)
{
    const double apart = sqrt(inertia / W) * unit; /* root mean square */

    *out = inertia * unit * unit;
    if (isfinite(*out))
        return ML_OK;
    if (!isfinite(apart))
        return ml__fail(
            ML_E_NUMERIC,
            "%s: 'inertia' is beyond double: %zu rows are too far from their centres or weigh too much; scale "
            "the features and the weights",
            kind, n);
    return ml__fail(ML_E_NUMERIC,
                    "%s: 'inertia' is beyond double: %zu rows are %g from their centres (root mean square); scale the "
                    "features%s",
                    kind, n, apart, W > (double)n ? " or the weights" : "");
}

/* ---- kinds ---- */

ml_status ml__centres_prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *t = ml__learned_find(learned, "cluster_centers");
    const size_t k = (size_t)t->shape[0];
    ml__centres *s;
    ml_status st;

    (void)model;
    ML__CHECK(k >= 1 && k < UINT32_MAX, ML_E_FORMAT, "tensor 'cluster_centers' has %zu rows", k);
    ML__NEW(&learned->arena, s, 1);
    ML__TRY(ml__centres_create(&learned->arena, k, learned->schema.n_features, s));
    ml__centres_set(s, t->data);
    learned->state = s;
done:
    return st;
}

size_t ml__centres_width(const ml_model *model, int32_t what)
{
    return what == ML_TRANSFORM ? ((const ml__centres *)model->learned->state)->k : 1;
}

size_t ml__centres_scratch(const ml_model *model, size_t n)
{
    const ml__centres *s = model->learned->state;

    return ml__scratch_bytes(n, sizeof(uint32_t)) + ml__centres_nearest_scratch(s->k, s->d, n);
}

/* Labels of a block, in scratch memory; NULL: ML_E_MEMORY. */
static uint32_t *find_labels(const ml__centres *s, const ml__block *x, ml__scratch scratch)
{
    uint32_t *labels = ml__scratch_take(&scratch, x->n, sizeof *labels);

    return labels && ml__centres_nearest(s, x->n, x->f64, labels, scratch) == ML_OK ? labels : NULL;
}

ml_status ml__centres_labels(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const uint32_t *labels = find_labels(model->learned->state, x, scratch);

    for (size_t i = 0; labels && i < x->n; i++)
        out[i] = labels[i];
    return labels ? ML_OK : ML_E_MEMORY;
}

ml_status ml__centres_scores(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__centres *s = model->learned->state;
    const uint32_t *labels = find_labels(s, x, scratch);

    for (size_t i = 0; labels && i < x->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < s->d; j++) {
            const double e = x->f64[i * s->d + j] - s->C[j * s->k + labels[i]];
            sum += e * e;
        }
        out[i] = -fmin(sum, DBL_MAX);
    }
    return labels ? ML_OK : ML_E_MEMORY;
}

ml_status ml__centres_distances(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__centres *s = model->learned->state;

    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        ml__distances_exactly(s->k, s->d, s->C, x->f64 + i * s->d, out + i * s->k);
    return ML_OK;
}

/* ---- what fits begin with ---- */

ml_status ml__centres_blame_spread(const ml__fit *f, const ml__cloud *cloud)
{
    return ml__fail(ML_E_NUMERIC, "%s: the spread of feature '%s' is beyond double; scale the features",
                    f->model->kind->name, f->schema->features[cloud->measured].name);
}

ml_status ml__centres_starts_from(const ml_model *model, const ml_model *from, int64_t n_clusters)
{
    const ml__named_tensor *centres;
    ml_status st = ML_OK;

    ML__CHECK(from->kind == &ml__kmeans_kind || from->kind == &ml__mini_batch_kmeans, ML_E_UNSUPPORTED,
              "%s cannot begin with what %s has learned", model->kind->name, from->kind->name);
    centres = ml__learned_find(from->learned, "cluster_centers");
    ML__CHECK(centres->shape[0] == (uint64_t)n_clusters, ML_E_PARAMETER,
              "%s: n_clusters is %lld, the model to begin with has %llu", model->kind->name, (long long)n_clusters,
              (unsigned long long)centres->shape[0]);
done:
    return st;
}

ml_status ml__centres_start(const ml__fit *f, const ml__reals *given, size_t k, const double **out)
{
    const ml_model *start = f->model->start;
    ml_status st = ML_OK;

    *out = !start && given->n ? given->values : NULL;
    ML__CHECK(!*out || given->n == k * f->d, ML_E_PARAMETER,
              "%s: parameter 'centers_init' has %zu numbers, %zu clusters of %zu features take %zu",
              f->model->kind->name, given->n, k, f->d, k * f->d);
    if (!start)
        return ML_OK;
    ML__CHECK(start->learned->schema.n_features == f->d, ML_E_SHAPE,
              "%s: the data has %zu features, the model to begin with %zu", f->model->kind->name, f->d,
              start->learned->schema.n_features);
    *out = ml__tensor_data(start->learned, "cluster_centers");
done:
    return st;
}
