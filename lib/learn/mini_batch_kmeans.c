/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mini-batch k-means (Sculley 2010, "Web-scale k-means clustering"), with scikit-learn's rules.
 *
 * Step        of a batch, each row to its nearest centre; then c_k += Σ w (x - c_k) / N_k over the rows of cluster k, N_k the
 *             weight of all rows it has had, these included: c_k is the mean of all of them
 * Batches     rows drawn with replacement, by counter; ml_model_partial_fit(): a step with all rows of the call
 * Reassign    every 10 k rows, and while a cluster is empty: clusters with N_k < reassignment_ratio · max N, of these at most
 *             half as many as the batch has rows, move to random rows of it; their N becomes the least of the others
 * Start       of n_init starts, each from init_size drawn rows, the one with the least inertia of init_size other rows
 * Stop        max_no_improvement batches in a row do not lower the moving average of the inertia of a batch before its step;
 *             or Σ_k |c_k - c_k old|² <= tol · mean variance of the features; or max_iter passes
 * Predict     centres.c
 * Weights     rows of weight 0 do not exist; others are drawn alike and count by weight, as in scikit-learn
 *
 * Symbols     n rows, d features, k clusters
 * Memory      a batch's row numbers and partial sums; rows are read by runs of neighbours and none is kept
 * Slots       see slots.h: the same bits for any number of threads
 */
#include <string.h>

#include "learn/centres.h"
#include "learn/learn.h"
#include "learn/lloyd.h"
#include "learn/weighted.h"
#include "learn/weights.h"

typedef struct {
    int64_t n_clusters, init, max_iter, batch_size;
    double tol;
    ml__size max_no_improvement, init_size, n_init;
    double reassignment_ratio;
    int64_t random_state;
    ml__reals centers_init;
} params;

enum { INIT_PLUS_PLUS, INIT_RANDOM };
enum { STARTS_OF_RANDOM = 3, BLOCK = 64 }; /* rows that are read at a time */

static const ml__param PARAMS[] = {
    ML__INT(params, n_clusters, "8", ML__RANGE(1, 65536), "number of clusters"),
    ML__CHOICE(params, init, "k-means++", "k-means++|random",
               "how starting centres are chosen, unless ml_model_start_from() or centers_init gives them"),
    ML__INT(params, max_iter, "100", ML__RANGE(1, 1000000), "most passes over the rows, in batches"),
    ML__INT(params, batch_size, "1024", ML__RANGE(1, 1e9), "rows of a batch, at most all"),
    ML__REAL(params, tol, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "stop when the centres move by less than this share of the mean variance of the features; 0: never"),
    ML__SIZE_COUNTS(params, max_no_improvement, "10", ML__RANGE(1, 1e9), "none",
                    "stop after so many batches that do not lower the moving average of the inertia"),
    ML__SIZE_COUNTS(
        params, init_size, "auto", ML__RANGE(1, 1e9), "auto",
        "rows that a start is chosen from, at most all; auto: 3 batches; 3 n_clusters where that is less than "
        "n_clusters"),
    ML__SIZE_COUNTS(
        params, n_init, "auto", ML__RANGE(1, 100000), "auto",
        "number of starts, of which the best begins; auto: 3 for random, else 1; given centres are one start"),
    ML__REAL(params, reassignment_ratio, "0.01", ML__RANGE(0, 1),
             "clusters with less than this share of the largest one's weight move to random rows"),
    ML__RANDOM_STATE(params),
    ML__REALS(params, centers_init, "", ML__RANGE_OPEN(-INFINITY, INFINITY), ML__CENTRES_INIT_DOC),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"cluster_centers", ML_FLOAT64, "kd", ML__FINITE},
    {"counts", ML_FLOAT64, "k", ML__FINITE | ML__NON_NEGATIVE},  /* N: weight of the rows a cluster has had */
    {"inertia", ML_FLOAT64, "1", ML__FINITE | ML__NON_NEGATIVE}, /* of all rows; of the last batch, after its step */
    {"n_iter", ML_INT64, "1", ML__NON_NEGATIVE | ML__OPTIONAL},  /* passes of a fit, the last one rounded up */
    {"n_steps", ML_INT64, "1", ML__NON_NEGATIVE},
    {"n_since_reassign", ML_INT64, "1", ML__NON_NEGATIVE}, /* rows */
    {NULL, 0, NULL, 0},
};

/* Streams of random numbers. */
enum { OF_STARTS, OF_SAMPLES, OF_BATCHES, OF_VALIDATION, OF_REASSIGNMENT };

typedef struct {
    const params *p;
    size_t n;             /* rows with positive weight */
    const size_t *number; /* n: theirs in the dataset, or NULL: all rows have */
    double *w, weight;    /* of the dataset's rows over `weight`, or NULL: all 1 */
    ml__centres near;
    double *centres, *before; /* k x d */
    double *counts, unit;     /* k: N over `weight`; squares are taken over unit² */
    int64_t n_steps, n_since;
    ml__weighted *low; /* k: clusters to reassign */
    bool *is_low;      /* k */
    bool converged, is_cut;
} fitting;

/* Rows of the dataset, by number. */
typedef struct {
    size_t n, *rows;       /* n, in ascending order */
    size_t *begin, *spare; /* n + 1, n: workspace */
} sample;

/* ---- rows ---- */

static ml_status gather_rows(ml__fit *f, fitting *g)
{
    double *w = NULL;
    size_t *number;
    ml_status st = ML_OK;

    g->n = f->n;
    g->weight = 1;
    if (!ml__dataset_has_weights(f->data))
        return ML_OK;
    ML__NEW(f->scratch, w, f->n);
    ml__dataset_read_weights(f->data, w);
    g->w = w;
    g->n = 0;
    for (size_t i = 0; i < f->n; i++)
        g->n += w[i] > 0;
    if (g->n == f->n)
        return ML_OK;
    ML__NEW(f->scratch, number, g->n);
    for (size_t i = 0, to = 0; i < f->n; i++)
        if (w[i] > 0)
            number[to++] = i;
    g->number = number;
done:
    return st;
}

/* Ascending; the numbers, below n_rows, lie evenly. */
static void sort_rows(const sample *b, size_t n_rows)
{
    const double per_row = (double)b->n / (double)n_rows;
    size_t *rows = b->rows, *begin = b->begin;

    memset(begin, 0, (b->n + 1) * sizeof *begin);
    for (size_t i = 0; i < b->n; i++)
        begin[(size_t)((double)rows[i] * per_row) + 1]++;
    for (size_t bucket = 0; bucket < b->n; bucket++)
        begin[bucket + 1] += begin[bucket];
    memcpy(b->spare, rows, b->n * sizeof *rows);
    for (size_t i = 0; i < b->n; i++)
        rows[begin[(size_t)((double)b->spare[i] * per_row)]++] = b->spare[i];
    for (size_t i = 1; i < b->n; i++) {
        const size_t row = rows[i];
        size_t to = i;

        for (; to > 0 && rows[to - 1] > row; to--)
            rows[to] = rows[to - 1];
        rows[to] = row;
    }
}

/* n <= g->n */
static ml_status sample_create(ml__arena *arena, size_t n, sample *out)
{
    ml_status st = ML_OK;

    out->n = n;
    ML__NEW(arena, out->rows, n);
    ML__NEW(arena, out->begin, n + 1);
    ML__NEW(arena, out->spare, n);
done:
    return st;
}

/* With replacement: draws number first .. first + n - 1 of the stream `key`. */
static void draw_rows(const fitting *g, uint64_t key, uint64_t first, const sample *b)
{
    for (size_t i = 0; i < b->n; i++)
        b->rows[i] = (size_t)((double)(ml__random_at(key, first + i) >> 11) * 0x1p-53 * (double)g->n);
    sort_rows(b, g->n);
    for (size_t i = 0; i < b->n && g->number; i++)
        b->rows[i] = g->number[b->rows[i]];
}

/* The same, but every row once where the sample is as large as the data. */
static void sample_rows(const fitting *g, uint64_t key, uint64_t first, const sample *b)
{
    if (b->n < g->n)
        draw_rows(g, key, first, b);
    for (size_t i = 0; i < b->n && b->n == g->n; i++)
        b->rows[i] = g->number ? g->number[i] : i;
}

/* n rows by number, or from row `first` on, into X [n x d]; neighbours at once. */
static ml_status read_rows(const ml_dataset *data, const size_t *rows, size_t first, size_t n, size_t d, double *X)
{
    ml_status st = ML_OK;

    if (!rows)
        return ml__dataset_read(data, first, n, ML_FLOAT64, X);
    for (size_t i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && rows[i + run] == rows[i] + run;)
            run++;
        ML__TRY(ml__dataset_read(data, rows[i], run, ML_FLOAT64, X + i * d));
    }
done:
    return st;
}

/* ---- a pass over rows ---- */

typedef struct {
    const ml_dataset *data;
    const size_t *rows; /* n numbers; NULL: the first n */
    size_t n;
    const double *w; /* of the dataset's rows, or NULL */
    const ml__centres *near;
    const double *centres; /* those of `near`, k x d */
    double unit;
    bool has_sums;
    ml__slots slots;
    size_t stride;   /* n_slots x */
    double *partial; /* Σ w |x - c|² / unit², Σ w; with sums also W [k] and Σ w (x - c) [k x d] of each cluster */
    size_t n_bytes;
    char *work; /* n_slots x */
} pass;

static void add_row(const pass *p, const double *x, double w, uint32_t label, double *total)
{
    const size_t k = p->near->k, d = p->near->d;
    const double *centre = p->centres + label * d, scale = 1 / p->unit;
    double *S = total + 2 + k + label * d, sum = 0;

    for (size_t j = 0; j < d; j++) {
        const double e = (x[j] - centre[j]) * scale;
        sum += e * e;
    }
    total[0] += w * sum;
    total[1] += w;
    if (!p->has_sums)
        return;
    total[2 + label] += w;
    for (size_t j = 0; j < d; j++)
        S[j] += w * (x[j] - centre[j]);
}

static ml_status pass_slot(void *argument, size_t s)
{
    const pass *p = argument;
    const size_t end = ml__slots_begin(&p->slots, s + 1), d = p->near->d;
    double *total = p->partial + s * p->stride;
    ml__scratch scratch = {p->work + s * p->n_bytes, p->n_bytes};
    double *X = ml__scratch_take(&scratch, BLOCK * d, sizeof *X);
    uint32_t *labels = ml__scratch_take(&scratch, BLOCK, sizeof *labels);
    ml_status st = X && labels ? ML_OK : ML_E_MEMORY;

    memset(total, 0, p->stride * sizeof *total);
    for (size_t i = ml__slots_begin(&p->slots, s); i < end && st == ML_OK; i += BLOCK) {
        const size_t n = end - i < BLOCK ? end - i : BLOCK;

        ML__TRY(read_rows(p->data, p->rows ? p->rows + i : NULL, i, n, d, X));
        ML__TRY(ml__centres_nearest(p->near, n, X, labels, scratch));
        for (size_t r = 0; r < n; r++)
            add_row(p, X + r * d, p->w ? p->w[p->rows ? p->rows[i + r] : i + r] : 1, labels[r], total);
    }
done:
    return st;
}

/* Over n of the fit's rows, for centres that are set later. */
static ml_status pass_create(ml__fit *f, const fitting *g, const ml__centres *near, const double *centres, size_t n,
                             bool has_sums, pass *out)
{
    const size_t k = near->k, d = near->d;
    size_t n_partial, n_work;
    ml_status st = ML_OK;

    *out = (pass){.data = f->data,
                  .rows = g->number,
                  .n = n,
                  .w = g->w,
                  .near = near,
                  .centres = centres,
                  .unit = g->unit,
                  .has_sums = has_sums,
                  .stride = has_sums ? 2 + k * (d + 1) : 2};
    out->n_bytes = ml__scratch_bytes(BLOCK * d, sizeof(double)) + ml__scratch_bytes(BLOCK, sizeof(uint32_t)) +
                   ml__centres_nearest_scratch(k, d, BLOCK) + 64;
    out->slots = ml__slots_make(n, out->stride + out->n_bytes / sizeof(double));
    ML__CHECK(ml__size_mul(out->slots.n, out->stride, &n_partial) && ml__size_mul(out->slots.n, out->n_bytes, &n_work),
              ML_E_MEMORY, "%zu centres of %zu features do not fit in memory", k, d);
    ML__NEW(f->scratch, out->partial, n_partial);
    ML__NEW(f->scratch, out->work, n_work);
done:
    return st;
}

/* The totals come to stand in p->partial. */
static ml_status pass_run(ml_context *context, pass *p)
{
    const double row_ns = 20 + 0.1 * (double)p->near->k * (double)p->near->d;
    const ml_status st = ml__parallel_for_cost(context, p->slots.n, ml__slots_rows(&p->slots) * row_ns, pass_slot, p);

    if (st == ML_OK)
        ml__slots_add(&p->slots, p->partial, p->stride, p->stride);
    return st;
}

/* ---- start ---- */

static size_t init_size(const fitting *g)
{
    const size_t k = g->near.k, batch = (size_t)g->p->batch_size;
    size_t size = g->p->init_size.form == ML__SIZE_COUNT ? (size_t)g->p->init_size.count : 3 * batch;

    size = size < k ? 3 * k : size;
    return size < g->n ? size : g->n;
}

/* Starting centres from rows of a sample; sets g->unit too. */
static ml_status draw_centres(ml__fit *f, fitting *g, const sample *b, uint64_t t)
{
    const size_t d = f->d, k = g->near.k;
    ml__rng rng = ml__rng_make(ml__seed_mix(f->seed, OF_STARTS), t);
    double *X, *w = NULL;
    size_t count, *rows;
    ml__cloud cloud;
    ml__arena work;
    ml_status st = ML_OK;

    ml__arena_init(&work, f->context);
    ML__CHECK(ml__size_mul(b->n, d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", b->n, d);
    ML__NEW(&work, X, count);
    ML__NEW(&work, rows, k);
    ML__TRY(read_rows(f->data, b->rows, 0, b->n, d, X));
    if (g->w) {
        ML__NEW(&work, w, b->n);
        for (size_t i = 0; i < b->n; i++)
            w[i] = g->w[b->rows[i]];
    }
    st = ml__cloud_create(&work, X, NULL, w, b->n, d, &cloud);
    ML__TRY(st == ML_E_NUMERIC ? ml__centres_blame_spread(f, &cloud) : st);
    g->unit = cloud.unit;
    if (g->p->init == INIT_RANDOM)
        ml__cloud_draw(&cloud, k, &rng, rows);
    else
        ML__TRY(ml__cloud_seed(f->context, &cloud, k, &rng, rows));
    for (size_t c = 0; c < k; c++)
        ML__TRY(ml__cloud_row(&cloud, rows[c], g->centres + c * d));
done:
    ml__arena_free(&work);
    return st;
}

static size_t n_starts(const params *p)
{
    return p->n_init.form == ML__SIZE_COUNT ? (size_t)p->n_init.count : p->init == INIT_RANDOM ? STARTS_OF_RANDOM : 1;
}

/* Of several starts the one with the least inertia of other rows; they are compared in the unit of the first. */
static ml_status best_start(ml__fit *f, fitting *g, const sample *b)
{
    const size_t n_values = g->near.k * f->d;
    const uint64_t key = ml__seed_mix(f->seed, OF_SAMPLES);
    double least = INFINITY, *best, unit;
    sample validation;
    pass judge;
    ml_status st;

    sample_rows(g, key, 0, b);
    ML__TRY(draw_centres(f, g, b, 0));
    if (n_starts(g->p) == 1)
        return ML_OK;
    unit = g->unit;
    ML__NEW(f->scratch, best, n_values);
    ML__TRY(sample_create(f->scratch, b->n, &validation));
    sample_rows(g, ml__seed_mix(f->seed, OF_VALIDATION), 0, &validation);
    ML__TRY(pass_create(f, g, &g->near, g->centres, b->n, false, &judge));
    judge.rows = validation.rows;
    for (uint64_t t = 0; t < n_starts(g->p); t++) {
        if (t > 0) {
            sample_rows(g, key, t * b->n, b);
            ML__TRY(draw_centres(f, g, b, t));
        }
        ml__centres_set(&g->near, g->centres);
        ML__TRY(pass_run(f->context, &judge));
        if (t == 0 || judge.partial[0] < least) {
            least = judge.partial[0];
            memcpy(best, g->centres, n_values * sizeof *best);
        }
    }
    memcpy(g->centres, best, n_values * sizeof *best);
    g->unit = unit;
done:
    return st;
}

static ml_status start(ml__fit *f, fitting *g)
{
    const double *from;
    sample b;
    ml_status st;

    ML__CHECK(g->near.k <= g->n, ML_E_DATA, "mini_batch_kmeans: n_clusters is %zu, the data has %zu rows%s", g->near.k,
              g->n, g->n < f->n ? " with positive weight" : "");
    ML__TRY(ml__centres_start(f, &g->p->centers_init, g->near.k, &from));
    ML__TRY(sample_create(f->scratch, init_size(g), &b));
    if (!from)
        return best_start(f, g, &b);
    sample_rows(g, ml__seed_mix(f->seed, OF_SAMPLES), 0, &b);
    ML__TRY(draw_centres(f, g, &b, 0)); /* for the unit */
    memcpy(g->centres, from, g->near.k * f->d * sizeof *from);
done:
    return st;
}

/* ---- a step ---- */

/* Is it time to reassign? Asked once before every step. */
static bool reassigns(fitting *g, size_t n)
{
    const size_t k = g->near.k;
    bool is_time;

    g->n_since += (int64_t)n;
    is_time = g->n_since >= 10 * (int64_t)k;
    for (size_t c = 0; c < k; c++)
        is_time = is_time || g->counts[c] == 0;
    g->n_since = is_time ? 0 : g->n_since;
    return is_time;
}

static void move_centres(fitting *g, const pass *p)
{
    const size_t k = g->near.k, d = g->near.d;
    const double *W = p->partial + 2, *S = W + k;

    for (size_t c = 0; c < k; c++) {
        if (!(W[c] > 0))
            continue;
        g->counts[c] += W[c];
        for (size_t j = 0; j < d; j++)
            g->centres[c * d + j] += S[c * d + j] / g->counts[c];
    }
}

/* Clusters of little weight, the lightest first, into g->low; returns how many may move when a batch has n rows. */
static size_t find_low(const fitting *g, size_t n)
{
    const size_t k = g->near.k;
    double most = 0;
    size_t n_low = 0;

    for (size_t c = 0; c < k; c++)
        most = fmax(most, g->counts[c]);
    for (size_t c = 0; c < k; c++)
        if (g->counts[c] < g->p->reassignment_ratio * most)
            g->low[n_low++] = (ml__weighted){g->counts[c], (double)c};
    ml__weighted_sort(g->low, n_low);
    return n_low < n / 2 ? n_low : n / 2;
}

static ml_status reassign(ml__fit *f, fitting *g, const pass *p)
{
    ml__rng rng = ml__rng_make(ml__seed_mix(f->seed, OF_REASSIGNMENT), (uint64_t)g->n_steps);
    const size_t k = g->near.k, n_low = find_low(g, p->n);
    double least = INFINITY;
    size_t taken = 0;
    ml_status st = ML_OK;

    memset(g->is_low, 0, k * sizeof *g->is_low);
    for (size_t q = 0; q < n_low; q++)
        g->is_low[(size_t)g->low[q].weight] = true;
    for (size_t c = 0; c < k; c++)
        least = g->is_low[c] ? least : fmin(least, g->counts[c]);
    for (size_t i = 0; i < p->n && taken < n_low; i++) { /* distinct rows of the batch, each set as likely */
        const size_t c = (size_t)g->low[taken].weight;

        if (ml__rng_below(&rng, p->n - i) >= n_low - taken)
            continue;
        ML__TRY(read_rows(p->data, p->rows ? p->rows + i : NULL, i, 1, f->d, g->centres + c * f->d));
        g->counts[c] = least;
        taken++;
    }
done:
    return st;
}

/* With the rows of p; p->partial[0] is the inertia before. */
static ml_status step(ml__fit *f, fitting *g, pass *p)
{
    const bool is_time = reassigns(g, p->n);
    ml_status st;

    ml__centres_set(&g->near, g->centres);
    ML__TRY(pass_run(f->context, p));
    move_centres(g, p);
    if (is_time)
        ML__TRY(reassign(f, g, p));
    g->n_steps++;
done:
    return st;
}

/* ---- fit ---- */

/* tol times the mean variance of the features, over unit²; 0 without tol. */
static ml_status least_movement(ml__fit *f, const fitting *g, double *out)
{
    ml__centres one;
    pass p;
    double *centre, norm2 = 0;
    ml_status st = ML_OK;

    *out = 0;
    if (g->p->tol == 0)
        return ML_OK;
    ML__NEW(f->scratch, centre, f->d);
    ML__TRY(ml__centres_create(f->scratch, 1, f->d, &one));
    memcpy(centre, g->centres, f->d * sizeof *centre); /* near the rows, so that no digits are lost */
    ml__centres_set(&one, centre);
    ML__TRY(pass_create(f, g, &one, centre, g->n, true, &p));
    ML__TRY(pass_run(f->context, &p));
    for (size_t j = 0; j < f->d; j++) {
        const double mean = p.partial[3 + j] / p.partial[1] / g->unit;
        norm2 += mean * mean;
    }
    *out = g->p->tol * fmax(p.partial[0] / p.partial[1] - norm2, 0) / (double)f->d;
done:
    return st;
}

static double movement(const fitting *g)
{
    double sum = 0;

    for (size_t v = 0; v < g->near.k * g->near.d; v++) {
        const double e = (g->centres[v] - g->before[v]) / g->unit;
        sum += e * e;
    }
    return sum;
}

/* The moving average of the inertia of batches. */
typedef struct {
    double alpha, mean, least;
    size_t n, n_worse; /* batches that count; in a row without a new least */
} average;

/* Has the average stopped falling? The first batch does not count: its inertia is that of the start. */
static bool has_stalled(const fitting *g, average *a, double inertia)
{
    const ml__size *most = &g->p->max_no_improvement;

    a->mean = a->n++ == 0 ? inertia : a->mean * (1 - a->alpha) + inertia * a->alpha;
    a->n_worse = a->mean < a->least ? 0 : a->n_worse + 1;
    a->least = fmin(a->least, a->mean);
    return most->form == ML__SIZE_COUNT && a->n_worse >= (size_t)most->count;
}

static ml_status iterate(ml__fit *f, fitting *g)
{
    const size_t n_batch = (size_t)g->p->batch_size < g->n ? (size_t)g->p->batch_size : g->n;
    const uint64_t key = ml__seed_mix(f->seed, OF_BATCHES);
    average a = {.alpha = fmin(1, 2.0 * (double)n_batch / ((double)g->n + 1)), .least = INFINITY};
    uint64_t n_steps = (uint64_t)g->p->max_iter * g->n / n_batch;
    double least;
    sample b;
    pass p;
    ml_status st;

    ML__TRY(least_movement(f, g, &least));
    ML__TRY(sample_create(f->scratch, n_batch, &b));
    ML__TRY(pass_create(f, g, &g->near, g->centres, n_batch, true, &p));
    p.rows = b.rows;
    for (uint64_t t = 0; t < n_steps && !g->converged && !g->is_cut; t++) {
        draw_rows(g, key, t * n_batch, &b);
        if (least > 0)
            memcpy(g->before, g->centres, g->near.k * f->d * sizeof *g->before);
        ML__TRY(step(f, g, &p));
        if (t > 0)
            g->converged = (least > 0 && movement(g) <= least) || has_stalled(g, &a, p.partial[0] / (double)n_batch);
        ML__TRY(ml__fit_step(f, t + 1, n_steps, "", NAN));
        g->is_cut = ml__fit_late(f) && !g->converged && t + 1 < n_steps;
    }
done:
    return st;
}

static ml_status prepare_fit(ml__fit *f, fitting *g)
{
    const size_t k = (size_t)g->p->n_clusters;
    ml_status st;

    g->unit = 1;
    ML__TRY(gather_rows(f, g));
    ML__TRY(ml__centres_create(f->scratch, k, f->d, &g->near));
    ML__NEW(f->scratch, g->centres, k * f->d);
    ML__NEW(f->scratch, g->before, k * f->d);
    ML__NEW(f->scratch, g->counts, k);
    ML__NEW(f->scratch, g->low, k);
    ML__NEW(f->scratch, g->is_low, k);
done:
    return st;
}

/* A power of two near the largest of some numbers. */
static double unit_of(double largest)
{
    int exponent;

    frexp(largest, &exponent);
    return largest > 0 ? ldexp(1, exponent > 900 ? 900 : exponent < -900 ? -900 : exponent) : 1;
}

/* For rows that lie far beyond those that the unit was taken from. */
static ml_status widen_unit(ml__fit *f, fitting *g)
{
    double *X, largest = 0;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, X, BLOCK * f->d);
    for (size_t i = 0; i < g->n; i += BLOCK) {
        const size_t n = g->n - i < BLOCK ? g->n - i : BLOCK;

        ML__TRY(read_rows(f->data, g->number ? g->number + i : NULL, i, n, f->d, X));
        for (size_t v = 0; v < n * f->d; v++)
            largest = fmax(largest, fabs(X[v]));
    }
    g->unit = fmax(g->unit, unit_of(largest));
done:
    return st;
}

/* The inertia is that of all rows, for the final centres. */
static ml_status publish(ml__fit *f, fitting *g)
{
    const size_t k = g->near.k;
    double *centres, *counts, *inertia;
    int64_t *n_steps, *n_since;
    pass all;
    ml_status st;

    ml__centres_set(&g->near, g->centres);
    ML__TRY(pass_create(f, g, &g->near, g->centres, g->n, false, &all));
    ML__TRY(pass_run(f->context, &all));
    if (!isfinite(all.partial[0])) {
        ML__TRY(widen_unit(f, g));
        all.unit = g->unit;
        ML__TRY(pass_run(f->context, &all));
    }
    ML__PUBLISH(f, centres, "cluster_centers", ML_FLOAT64, k, f->d);
    ML__PUBLISH(f, counts, "counts", ML_FLOAT64, k);
    ML__PUBLISH(f, inertia, "inertia", ML_FLOAT64, 1);
    ML__PUBLISH(f, n_steps, "n_steps", ML_INT64, 1);
    ML__PUBLISH(f, n_since, "n_since_reassign", ML_INT64, 1);
    ML__TRY(ml__centres_inertia("mini_batch_kmeans", all.partial[0] * g->weight, g->unit, g->n,
                                all.partial[1] * g->weight, inertia));
    memcpy(centres, g->centres, k * f->d * sizeof *centres);
    for (size_t c = 0; c < k; c++)
        counts[c] = g->counts[c] * g->weight;
    *n_steps = g->n_steps;
    *n_since = g->n_since;
done:
    return st;
}

/* Of the rows, and what is recalled of rows before. */
static void scale_weights(const ml__fit *f, fitting *g)
{
    if (g->w)
        g->weight = ml__weights_scale(g->w, f->n, g->counts, g->near.k);
}

static ml_status fit(ml__fit *f)
{
    fitting g = {.p = f->params};
    size_t n_batch;
    int64_t *n_iter;
    ml_status st;

    ML__TRY(prepare_fit(f, &g));
    scale_weights(f, &g);
    ML__TRY(start(f, &g));
    ML__TRY(iterate(f, &g));
    ML__TRY(publish(f, &g));
    ML__PUBLISH(f, n_iter, "n_iter", ML_INT64, 1);
    n_batch = (size_t)g.p->batch_size < g.n ? (size_t)g.p->batch_size : g.n;
    *n_iter = (int64_t)ceil((double)g.n_steps * (double)n_batch / (double)g.n);
    f->learned->stop_reason = g.is_cut ? ML_STOP_DEADLINE : g.converged ? ML_STOP_CONVERGED : ML_STOP_MAX_ITER;
done:
    return st;
}

/* What the calls before have learned. Squares of distances are in the range of squares of centres. */
static ml_status recall(const ml__fit *f, fitting *g)
{
    const ml__learned *learned = f->model->learned;
    const size_t k = g->near.k;
    double largest = 0;
    ml_status st = ML_OK;

    ML__CHECK(ml__learned_find(learned, "cluster_centers")->shape[0] == k, ML_E_PARAMETER,
              "mini_batch_kmeans: n_clusters is %zu, what was learned has %llu", k,
              (unsigned long long)ml__learned_find(learned, "cluster_centers")->shape[0]);
    memcpy(g->centres, ml__tensor_data(learned, "cluster_centers"), k * f->d * sizeof *g->centres);
    memcpy(g->counts, ml__tensor_data(learned, "counts"), k * sizeof *g->counts);
    g->n_steps = *(const int64_t *)ml__tensor_data(learned, "n_steps");
    ML__CHECK(g->n_steps < INT64_MAX, ML_E_STATE, "mini_batch_kmeans: n_steps is %lld, there is no number after it",
              (long long)g->n_steps);
    g->n_since = *(const int64_t *)ml__tensor_data(learned, "n_since_reassign");
    g->n_since = g->n_since < 10 * (int64_t)k ? g->n_since : 10 * (int64_t)k; /* more says no more */
    for (size_t v = 0; v < k * f->d; v++)
        largest = fmax(largest, fabs(g->centres[v]));
    g->unit = unit_of(largest);
done:
    return st;
}

static ml_status partial_fit(ml__fit *f)
{
    fitting g = {.p = f->params};
    pass p;
    ml_status st;

    ML__TRY(prepare_fit(f, &g));
    if (f->model->learned)
        ML__TRY(recall(f, &g));
    scale_weights(f, &g);
    if (!f->model->learned)
        ML__TRY(start(f, &g));
    ML__TRY(pass_create(f, &g, &g.near, g.centres, g.n, true, &p));
    ML__TRY(step(f, &g, &p));
    ML__TRY(publish(f, &g));
done:
    return st;
}

static ml_status starts_from(const ml_model *model, const ml_model *from)
{
    return ml__centres_starts_from(model, from, ((const params *)model->params)->n_clusters);
}

const ml__kind ml__mini_batch_kmeans = {
    .name = "mini_batch_kmeans",
    .doc =
        "k-means clustering from small batches of drawn rows; ml_model_partial_fit() is one step with all of its rows",
    .tasks = ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .partial_fit = partial_fit,
    .starts_from = starts_from,
    .prepare = ml__centres_prepare,
    .values = ml__centres_labels,
    .transform = ml__centres_distances,
    .score_samples = ml__centres_scores,
    .scratch = ml__centres_scratch,
    .width = ml__centres_width,
};
