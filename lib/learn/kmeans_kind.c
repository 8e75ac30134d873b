/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k-means clustering: the kind.
 *
 * Fit         n_init starts, each followed by Lloyd's iteration (lloyd.c); the least inertia Σ w |x - c|² stays
 * Start       k-means++, random rows, the centres of another kmeans or mini_batch_kmeans, or else centers_init
 * Stop        no label changed, or Σ_k |c_k - c_k old|² <= tol · mean variance of the features, or max_iter. In the latter two
 *             cases labels and inertia are those of the final centres
 * Predict     centres.c: the clusters of training rows are those of the fit
 * Streamed    rows that are not in memory are read anew in each pass, in windows (window.h), with the same bits as result. Of a
 *             row its label and three distances are kept, 20 bytes, from 16 clusters on four, and 8 for its weight, 8 for its
 *             place when others have weight 0
 * Weights     rows of weight 0 do not exist; a row of weight 2 is two rows, but for what is drawn
 *
 * Symbols     n rows, d features, k clusters
 */
#include <string.h>

#include "learn/centres.h"
#include "learn/learn.h"
#include "learn/lloyd.h"
#include "learn/weights.h"

typedef struct {
    int64_t n_clusters, init;
    ml__size n_init;
    int64_t max_iter;
    double tol;
    int64_t random_state;
    ml__reals centers_init;
} params;

enum { INIT_PLUS_PLUS, INIT_RANDOM };
enum { STARTS_OF_RANDOM = 10 };

static const ml__param PARAMS[] = {
    ML__INT(params, n_clusters, "8", ML__RANGE(1, 65536), "number of clusters"),
    ML__CHOICE(params, init, "k-means++", "k-means++|random",
               "how starting centres are chosen, unless ml_model_start_from() or centers_init gives them"),
    ML__SIZE(params, n_init, "auto", ML__RANGE(1, 100000), "auto",
             "number of starts, of which the best is kept; auto: 10 for random, else 1; given centres are one start"),
    ML__INT(params, max_iter, "300", ML__RANGE(1, 1000000), "most iterations of one start"),
    ML__REAL(params, tol, "1e-4", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "stop when the centres move by less than this share of the mean variance of the features"),
    ML__RANDOM_STATE(params),
    ML__REALS(params, centers_init, "", ML__RANGE_OPEN(-INFINITY, INFINITY), ML__CENTRES_INIT_DOC),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"cluster_centers", ML_FLOAT64, "kd", ML__FINITE},
    {"inertia", ML_FLOAT64, "1", ML__FINITE | ML__NON_NEGATIVE},
    {"n_iter", ML_INT64, "1", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* ---- fit ---- */

typedef struct {
    const params *p;
    ml__cloud cloud;
    ml__lloyd run;
    ml__stream stream;  /* the rows with positive weight, where they are not in memory */
    bool is_even;       /* these are all: */
    double weight;      /* of every row; else what weights were divided by */
    const double *from; /* k x d: given centres, or NULL */
    size_t n_init, *rows;
    size_t n_iter;
    bool converged, is_cut;
    double *best, inertia, best_inertia; /* over unit² and the weight */
    size_t best_iter;
    bool best_converged;
} fitting;

/* Weights of all rows, or NULL when there are none, and how many are positive. */
static ml_status find_weights(ml__fit *f, fitting *g, double **w, size_t *n)
{
    double *weights = NULL;
    ml_status st = ML_OK;

    *w = NULL;
    *n = f->n;
    g->weight = 1;
    g->is_even = true;
    if (!ml__dataset_has_weights(f->data))
        return ML_OK;
    ML__NEW(f->scratch, weights, f->n);
    ml__dataset_read_weights(f->data, weights);
    *n = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!(weights[i] > 0))
            continue;
        g->is_even = g->is_even && (*n == 0 || weights[i] == g->weight);
        g->weight = weights[i];
        ++*n;
    }
    g->weight = g->is_even ? g->weight : ml__weights_scale(weights, f->n, NULL, 0);
    *w = weights;
done:
    return st;
}

/* Which rows have positive weight; their weights come to stand at the beginning. */
static ml_status find_rows(ml__fit *f, double *w, size_t n, const size_t **out)
{
    size_t *rows;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, rows, n);
    for (size_t i = 0, to = 0; i < f->n; i++) {
        if (!(w[i] > 0))
            continue;
        rows[to] = i;
        w[to++] = w[i];
    }
    *out = rows;
done:
    return st;
}

/* The rows with positive weight. */
static ml_status gather_rows(ml__fit *f, fitting *g)
{
    const float *f32 = ml__dataset_dense(f->data, ML_FLOAT32);
    const double *f64 = NULL;
    double *w, *X;
    size_t n, count;
    ml_status st;

    ML__TRY(find_weights(f, g, &w, &n));
    g->stream = (ml__stream){.data = f->data, .d = f->d};
    if (n < f->n)
        ML__TRY(find_rows(f, w, n, &g->stream.rows));
    if (g->is_even)
        w = NULL;
    if (ml__dataset_is_streamed(f->data))
        return ml__cloud_create_streamed(f->scratch, &g->stream, w, n, &g->cloud);
    if (n == f->n) {
        if (!f32)
            ML__TRY(ml__fit_matrix_f64(f, &f64));
        return ml__cloud_create(f->scratch, f64, f32, w, n, f->d, &g->cloud);
    }
    ML__CHECK(ml__size_mul(n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, f->d);
    ML__NEW(f->scratch, X, count);
    ML__TRY(ml__stream_read(&g->stream, 0, n, X));
    ML__TRY(ml__cloud_create(f->scratch, X, NULL, w, n, f->d, &g->cloud));
done:
    return st;
}

static ml_status prepare_fit(ml__fit *f, fitting *g)
{
    const size_t k = (size_t)g->p->n_clusters;
    ml_status st;

    st = gather_rows(f, g);
    ML__TRY(st == ML_E_NUMERIC ? ml__centres_blame_spread(f, &g->cloud) : st);
    ML__CHECK(k <= g->cloud.n, ML_E_DATA, "kmeans: n_clusters is %zu, the data has %zu rows%s", k, g->cloud.n,
              g->cloud.n < f->n ? " with positive weight" : "");
    ML__TRY(ml__lloyd_create(f->scratch, &g->cloud, k, &g->run));
    ML__NEW(f->scratch, g->rows, k);
    ML__NEW(f->scratch, g->best, k * f->d);
    g->best_inertia = INFINITY;
    g->n_init = g->p->n_init.form == ML__SIZE_COUNT ? (size_t)g->p->n_init.count
                : g->p->init == INIT_RANDOM         ? STARTS_OF_RANDOM
                                                    : 1;
    ML__TRY(ml__centres_start(f, &g->p->centers_init, k, &g->from));
    g->n_init = g->from ? 1 : g->n_init;
done:
    return st;
}

static ml_status start(ml__fit *f, fitting *g, uint64_t t)
{
    const size_t k = g->run.k;
    ml__rng rng = ml__rng_make(f->seed, t);
    ml_status st = ML_OK;

    ml__lloyd_reset(&g->run);
    if (g->from) {
        memcpy(g->run.centres, g->from, k * f->d * sizeof *g->from);
        return ML_OK;
    }
    if (g->p->init == INIT_RANDOM)
        ml__cloud_draw(&g->cloud, k, &rng, g->rows);
    else
        ML__TRY(ml__cloud_seed(f->context, &g->cloud, k, &rng, g->rows));
    for (size_t c = 0; c < k; c++)
        ML__TRY(ml__cloud_row(&g->cloud, g->rows[c], g->run.centres + c * f->d));
done:
    return st;
}

static ml_status iterate(ml__fit *f, fitting *g, uint64_t t)
{
    const size_t max_iter = (size_t)g->p->max_iter;
    ml__lloyd *run = &g->run;
    bool same = false;
    ml_status st = ML_OK;

    g->converged = false;
    for (g->n_iter = 0; g->n_iter < max_iter && !g->converged && !g->is_cut;) {
        ML__TRY(ml__lloyd_assign(f->context, run));
        ML__TRY(ml__lloyd_update(run));
        g->n_iter++;
        same = run->n_changed == 0 && run->n_moved == 0;
        g->converged = same || run->movement <= g->p->tol * g->cloud.variance;
        ML__TRY(ml__fit_step(f, t * max_iter + g->n_iter, g->n_init * max_iter, "", NAN));
        g->is_cut = ml__fit_late(f) && (t + 1 < g->n_init || (g->n_iter < max_iter && !g->converged));
    }
    if (!same) /* labels that go with the centres */
        ML__TRY(ml__lloyd_assign(f->context, run));
    ML__TRY(ml__lloyd_inertia(f->context, run, &g->inertia));
done:
    return st;
}

static void keep_best(fitting *g, uint64_t t)
{
    if (t > 0 && !(g->inertia < g->best_inertia))
        return;
    g->best_inertia = g->inertia;
    g->best_iter = g->n_iter;
    g->best_converged = g->converged;
    memcpy(g->best, g->run.centres, g->run.k * g->cloud.d * sizeof *g->best);
}

static ml_status publish(ml__fit *f, const fitting *g)
{
    const ml__cloud *cloud = &g->cloud;
    double *centres, *inertia;
    int64_t *n_iter;
    ml_status st = ML_OK;

    ML__PUBLISH(f, centres, "cluster_centers", ML_FLOAT64, g->run.k, f->d);
    ML__PUBLISH(f, inertia, "inertia", ML_FLOAT64, 1);
    ML__PUBLISH(f, n_iter, "n_iter", ML_INT64, 1);
    memcpy(centres, g->best, g->run.k * f->d * sizeof *centres);
    ML__TRY(ml__centres_inertia("kmeans", g->best_inertia * g->weight, cloud->unit, cloud->n, cloud->W * g->weight,
                                inertia));
    *n_iter = (int64_t)g->best_iter;
    f->learned->stop_reason = g->is_cut ? ML_STOP_DEADLINE : g->best_converged ? ML_STOP_CONVERGED : ML_STOP_MAX_ITER;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    fitting g = {.p = f->params};
    ml_status st;

    ML__TRY(prepare_fit(f, &g));
    for (uint64_t t = 0; t < g.n_init && !g.is_cut; t++) {
        ML__TRY(start(f, &g, t));
        ML__TRY(iterate(f, &g, t));
        keep_best(&g, t);
    }
    ML__TRY(publish(f, &g));
done:
    return st;
}

static ml_status starts_from(const ml_model *model, const ml_model *from)
{
    return ml__centres_starts_from(model, from, ((const params *)model->params)->n_clusters);
}

static ml_status check(const ml_model *model)
{
    const params *p = model->params;

    return p->n_init.form == ML__SIZE_FRACTION
               ? ml__fail(ML_E_PARAMETER, "kmeans: n_init is a fraction, expected a number")
               : ML_OK;
}

const ml__kind ml__kmeans_kind = {
    .name = "kmeans",
    .doc = "k-means clustering by Lloyd's iteration",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .starts_from = starts_from,
    .check = check,
    .prepare = ml__centres_prepare,
    .values = ml__centres_labels,
    .transform = ml__centres_distances,
    .score_samples = ml__centres_scores,
    .scratch = ml__centres_scratch,
    .width = ml__centres_width,
};
