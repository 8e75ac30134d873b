/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What EM starts from: rows less their centre, and shares of them: k-means clusters (one component each), single rows (drawn
 * by k-means++ or at random), clusters by agglomeration (hierarchical.c), or random shares. An M-step makes the first mixture of
 * them. The starts are scikit-learn's, but for agglomeration.
 *
 * Centre      the mean of the middle half of each feature, in a sample of rows. The mean of all would be far from nearly all
 *             rows where a few are huge, and what is subtracted costs them digits then.
 * Rows without weight are left out. Of rows with missing entries k-means sees the centre there; for full covariances rows with
 * the same missing entries are brought together. All is read through a stream; only at the end are rows held in memory, unless
 * the dataset is not there itself.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "learn/gmm/mixture.h"
#include "learn/weighted.h"

enum {
    START_ITER = 300,      /* of k-means, as scikit-learn's KMeans */
    SAMPLE_ROWS = 256,     /* whose middle half the centre is taken from */
    FILL_VALUES = 1 << 12, /* of rows that are read at a time: 32 KiB */
    DRAW_ROWS = 256        /* whose weights are summed up where rows are drawn */
};
static const double START_TOL = 1e-4;

/* ---- rows ---- */

/* Which rows have positive weight (NULL: all), and their weights. */
static ml_status find_rows(ml__fit *f, size_t **rows, double **w, size_t *n)
{
    double *weights;
    ml_status st = ML_OK;

    *n = 0;
    *rows = NULL;
    *w = weights = ml__arena_take(f->scratch, f->n, sizeof *weights);
    if (!weights)
        return ML_E_MEMORY;
    ml__dataset_read_weights(f->data, weights);
    if (!ml__dataset_has_weights(f->data)) {
        *n = f->n;
        return ML_OK;
    }
    for (size_t i = 0; i < f->n; i++)
        *n += weights[i] > 0;
    if (*n == f->n)
        return ML_OK;
    ML__NEW(f->scratch, *rows, *n);
    for (size_t i = 0, to = 0; i < f->n; i++) {
        if (!(weights[i] > 0))
            continue;
        (*rows)[to] = i;
        weights[to++] = weights[i];
    }
done:
    return st;
}

/* ---- patterns of missing entries ---- */

enum { WORD = 64 };

/* Bits of features j to j + WORD - 1 of each row: 1 where the entry is missing, the first feature's the highest. */
static ml_status mark_missing(const ml__points *p, size_t j, uint64_t *bits)
{
    const size_t n_bits = p->d - j < WORD ? p->d - j : WORD;
    const double *X;
    ml__window window;
    ml_status st;

    ML__TRY(ml__window_open(&window, p, 1, p->n));
    for (size_t i = 0; i < p->n;) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end; i++, X += p->d) {
            bits[i] = 0;
            for (size_t b = 0; b < n_bits; b++)
                bits[i] |= (uint64_t)(isnan(X[j + b]) != 0) << (WORD - 1 - b);
        }
    }
done:
    ml__window_close(&window);
    return st;
}

static ml_status find_missing(const ml__points *p, bool *found)
{
    const double *X;
    ml__window window;
    ml_status st;

    *found = false;
    ML__TRY(ml__window_open(&window, p, 1, p->n));
    for (size_t i = 0; i < p->n && !*found; i = window.end) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        *found = ml__has_missing(X, (window.end - i) * p->d);
    }
done:
    ml__window_close(&window);
    return st;
}

/* Sort `order` by bits, merging: rows of equal bits stay in their order. `other` has room for n; the result is where *sorted
 * says. */
static void sort_by_bits(const uint64_t *bits, size_t n, size_t *order, size_t *other, size_t **sorted)
{
    size_t *from = order, *to = other;

    for (size_t width = 1; width < n; width *= 2) {
        size_t *kept = from;
        for (size_t begin = 0; begin < n; begin += 2 * width) {
            const size_t middle = begin + width < n ? begin + width : n, end = middle + width < n ? middle + width : n;
            for (size_t a = begin, b = middle, i = begin; i < end; i++) {
                const bool second = b < end && (a == middle || bits[from[a]] > bits[from[b]]);
                to[i] = second ? from[b++] : from[a++];
            }
        }
        from = to;
        to = kept;
    }
    *sorted = from;
}

/* Rows of the same missing entries come together, complete ones first; otherwise in their old order. The last features are
 * sorted by first, so that no more than a word of each row is kept. */
static ml_status sort_patterns(ml_context *context, const ml__points *p, size_t *order)
{
    const size_t n = p->n;
    uint64_t *bits;
    size_t *other, *sorted;
    ml__arena work;
    ml_status st = ML_OK;

    ml__arena_init(&work, context);
    ML__NEW(&work, other, n);
    ML__NEW(&work, bits, n);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t word = (p->d - 1) / WORD + 1; word-- > 0;) {
        ML__TRY(mark_missing(p, word * WORD, bits));
        sort_by_bits(bits, n, order, other, &sorted);
        if (sorted != order)
            memcpy(order, sorted, n * sizeof *order);
    }
done:
    ml__arena_free(&work);
    return st;
}

/* Rows and weights in the order of patterns. */
static ml_status bring_together(ml__fit *f, const ml__points *p, size_t **rows, double *w)
{
    size_t *order;
    double *weights = NULL;
    ml_status st = ML_OK;

    ML__NEW(f->scratch, order, p->n);
    ML__TRY(sort_patterns(f->context, p, order));
    weights = ml__alloc_array(f->context, p->n, sizeof *weights);
    ML__TRY(weights ? ML_OK : ML_E_MEMORY);
    memcpy(weights, w, p->n * sizeof *w);
    for (size_t i = 0; i < p->n; i++) {
        w[i] = weights[order[i]];
        order[i] = *rows ? (*rows)[order[i]] : order[i];
    }
    *rows = order;
done:
    ml__free(weights);
    return st;
}

/* ---- rows for EM ---- */

/* Weights get mean 1; *unit is what it was. */
static ml_status scale_weights(double *w, size_t n, double *unit)
{
    double mean = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < n; i++)
        mean += w[i];
    mean /= (double)n;
    ML__CHECK(mean >= DBL_MIN, ML_E_NUMERIC, "the mean weight is %g, too small to divide by", mean);
    for (size_t i = 0; i < n; i++)
        w[i] /= mean;
    *unit = mean;
done:
    return st;
}

/* The first value of feature j in any row; NaN: there is none. */
static ml_status first_value(const ml__points *p, size_t j, double *out)
{
    const double *X;
    ml__window window;
    ml_status st;

    *out = NAN;
    ML__TRY(ml__window_open(&window, p, 1, p->n));
    for (size_t i = 0; i < p->n && isnan(*out);) {
        ML__TRY(ml__window_at(&window, i, 1, &X));
        for (; i < window.end && isnan(*out); i++, X += p->d)
            *out = X[j];
    }
done:
    ml__window_close(&window);
    return st;
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

/* Of each feature, in n_rows rows spread over all; where none has a value, of all rows the first. */
static ml_status find_centre(ml__fit *f, const ml__points *p, double *centre)
{
    const size_t n = p->n, d = p->d, n_rows = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
    ml__weighted *values;
    double *sample;
    ml__arena work;
    ml_status st = ML_OK;

    ml__arena_init(&work, f->context);
    ML__NEW(&work, values, n_rows);
    ML__NEW(&work, sample, n_rows * d);
    for (size_t i = 0; i < n_rows; i++)
        ML__TRY(ml__points_row(p, i * (n / n_rows) + i * (n % n_rows) / n_rows, sample + i * d));
    for (size_t j = 0; j < d; j++) {
        size_t n_values = 0;

        for (size_t i = 0; i < n_rows; i++)
            if (!isnan(sample[i * d + j]))
                values[n_values++] = (ml__weighted){sample[i * d + j], 1};
        if (!n_values) {
            values[0] = (ml__weighted){NAN, 1};
            ML__TRY(first_value(p, j, &values[n_values++].value));
        }
        ML__CHECK(!isnan(values[0].value), ML_E_DATA, "%s: feature '%s' has no value in any row", f->model->kind->name,
                  f->schema->features[j].name);
        centre[j] = centre_of(values, n_values);
    }
done:
    ml__arena_free(&work);
    return st;
}

/* Rows of a stream on their way into memory. */
typedef struct filling {
    const ml__stream *stream;
    double *X;
    ml__slots slots;
    bool may_miss[ML__SLOTS_MAX]; /* an entry of the slot is NaN */
} filling;

static ml_status fill_slot(void *argument, size_t slot)
{
    filling *g = argument;
    const size_t d = g->stream->d, end = ml__slots_begin(&g->slots, slot + 1), at_once = FILL_VALUES / d + 1;
    ml_status st = ML_OK;

    for (size_t i = ml__slots_begin(&g->slots, slot); i < end; i += at_once) {
        const size_t n = end - i < at_once ? end - i : at_once;

        ML__TRY(ml__stream_read(g->stream, i, n, g->X + i * d));
        g->may_miss[slot] = g->may_miss[slot] || ml__has_missing(g->X + i * d, n * d);
    }
done:
    return st;
}

/* X[n x d]: the rows of a stream, and whether entries are missing. */
static ml_status fill(ml_context *context, const ml__stream *stream, size_t n, double *X, bool *may_miss)
{
    filling g = {.stream = stream, .X = X, .slots = ml__slots_make(n, 1)};
    ml_status st;

    ML__TRY(ml__parallel_for_cost(context, g.slots.n, ml__slots_rows(&g.slots) * (double)stream->d, fill_slot, &g));
    *may_miss = false;
    for (size_t s = 0; s < g.slots.n; s++)
        *may_miss = *may_miss || g.may_miss[s];
done:
    return st;
}

/* The rows of a stream as points: in memory, unless the dataset is not. */
static ml_status hold_rows(ml__fit *f, ml__stream *stream, ml__points *out)
{
    const size_t n = out->n;
    size_t count;
    double *X;
    ml_status st = ML_OK;

    out->X = NULL;
    out->stream = stream;
    if (ml__dataset_is_streamed(f->data))
        return ML_OK;
    ML__CHECK(ml__size_mul(n, f->d, &count), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, f->d);
    X = ml__arena_room(f->scratch, count, sizeof *X);
    ML__TRY(X ? ML_OK : ML_E_MEMORY);
    ML__TRY(fill(f->context, stream, n, X, &stream->may_miss));
    out->X = X;
done:
    return st;
}

/* Rows of one pattern of missing entries come together. */
static ml_status order_rows(ml__fit *f, size_t **rows, double *w, ml__gmm_rows *out)
{
    bool may_miss;
    ml_status st;

    ML__TRY(bring_together(f, &out->points, rows, w));
    out->stream.rows = *rows;
    if (out->points.X)
        ML__TRY(fill(f->context, &out->stream, out->points.n, (double *)out->points.X, &may_miss));
done:
    return st;
}

ml_status ml__gmm_gather(ml__fit *f, ml__covariance type, ml__gmm_rows *out)
{
    ml__stream *stream = &out->stream;
    size_t n, *rows = NULL;
    double *w = NULL;
    ml__points raw;
    ml_status st;

    ML__TRY(find_rows(f, &rows, &w, &n));
    *stream = (ml__stream){.data = f->data, .d = f->d, .rows = rows};
    raw = (ml__points){.X = rows ? NULL : ml__dataset_dense(f->data, ML_FLOAT64), n, f->d, w, stream};
    ML__NEW(f->scratch, out->shift, f->d);
    ML__TRY(find_centre(f, &raw, out->shift));
    out->unit = 1;
    if (ml__dataset_has_weights(f->data))
        ML__TRY(scale_weights(w, n, &out->unit));
    stream->shift = out->shift;
    out->points = (ml__points){.n = n, .d = f->d, .w = w};
    ML__TRY(hold_rows(f, stream, &out->points));
    if (!out->points.X && (type == ML__FULL || type == ML__DIAG))
        ML__TRY(find_missing(&out->points, &stream->may_miss));
    if (stream->may_miss && type == ML__FULL)
        ML__TRY(order_rows(f, &rows, w, out));
    out->complete = out->points;
    out->filled = *stream;
    out->filled.fills = true;
    if (stream->may_miss)
        ML__TRY(hold_rows(f, &out->filled, &out->complete));
done:
    return st;
}

/* ---- shares ---- */

ml_status ml__gmm_start_create(ml__fit *f, int64_t init_params, const ml__points *points, size_t k, ml__gmm_start *out)
{
    const bool is_hierarchical = init_params == ML__GMM_HIERARCHICAL;
    const size_t n_looked_at = is_hierarchical ? ml__hierarchical_rows(points->n, points->d) : points->n;
    ml_status st = ML_OK;

    *out = (ml__gmm_start){.init_params = init_params,
                           .is_fixed = is_hierarchical && (n_looked_at == points->n || k == 1)};
    ML__CHECK(k <= n_looked_at, ML_E_PARAMETER,
              "%s: parameter 'init_params' is hierarchical, which looks at %zu of these rows, n_components is %zu",
              f->model->kind->name, n_looked_at, k);
    ML__NEW(f->scratch, out->rows, k);
    ML__NEW(f->scratch, out->centres, k * points->d);
    ML__NEW(f->scratch, out->labels, init_params == ML__GMM_RANDOM ? 0 : points->n);
    ML__NEW(f->scratch, out->mass, init_params == ML__GMM_RANDOM_FROM_DATA ? points->n / DRAW_ROWS + 1 : 0);
done:
    return st;
}

/* Weight of the rows of block b that are not taken. */
static double mass_of(const ml__gmm_start *s, const ml__points *points, size_t b)
{
    const size_t first = b * DRAW_ROWS, end = points->n - first < DRAW_ROWS ? points->n : first + DRAW_ROWS;
    double mass = 0;

    for (size_t i = first; i < end; i++)
        mass += s->labels[i] == UINT32_MAX ? points->w[i] : 0;
    return mass;
}

/* One that is not taken, with probability ∝ w; `left` is that of all before it. */
static size_t draw_row(const ml__gmm_start *s, const ml__points *points, double left)
{
    const size_t n_blocks = (points->n - 1) / DRAW_ROWS + 1;
    size_t block = 0, last = 0;

    for (size_t b = 0; b < n_blocks; b++) {
        if (!(s->mass[b] > 0))
            continue;
        block = b;
        if (left < s->mass[b])
            break;
        left -= s->mass[b];
    }
    for (size_t i = block * DRAW_ROWS; i < points->n && i < (block + 1) * DRAW_ROWS; i++) {
        if (s->labels[i] != UINT32_MAX)
            continue;
        left -= points->w[i];
        last = i;
        if (left < 0)
            break;
    }
    return last;
}

/* Distinct rows: they are labelled. */
static void draw_rows(ml__gmm_start *s, const ml__em *em, ml__rng *rng)
{
    const ml__points *points = &em->points;
    double left = em->total;

    for (size_t b = 0; b < (points->n - 1) / DRAW_ROWS + 1; b++)
        s->mass[b] = mass_of(s, points, b);
    for (size_t c = 0; c < em->next.k; c++) {
        const size_t row = draw_row(s, points, ml__rng_uniform(rng) * left);

        s->labels[row] = (uint32_t)c;
        s->mass[row / DRAW_ROWS] = mass_of(s, points, row / DRAW_ROWS);
        left -= points->w[row];
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
        ML__TRY(ml__points_row(points, s->rows[c], s->centres + c * d));
    ML__TRY(ml__kmeans_lloyd(em->context, points, &clusters));
done:
    return st;
}

/* Of one component all rows are, whatever is looked at. */
static ml_status agglomerate_rows(ml__fit *f, ml__gmm_start *s, ml__em *em, const ml__points *complete, ml__rng *rng,
                                  uint64_t done, uint64_t total)
{
    em->of_sample = !s->is_fixed;
    if (em->next.k > 1)
        return ml__hierarchical_labels(f, complete, em->next.k, rng, done, total, s->labels);
    memset(s->labels, 0, complete->n * sizeof *s->labels);
    return ML_OK;
}

ml_status ml__gmm_start_draw(ml__fit *f, ml__gmm_start *s, ml__em *em, const ml__points *complete, uint64_t t,
                             uint64_t done, uint64_t total)
{
    ml__rng rng = ml__rng_make(f->seed, t);
    ml_status st = ML_OK;

    em->of = s->labels;
    for (size_t i = 0; i < em->points.n && s->init_params != ML__GMM_RANDOM; i++)
        s->labels[i] = UINT32_MAX;
    switch (s->init_params) {
    case ML__GMM_KMEANS:
        return cluster_rows(s, em, complete, &rng);
    case ML__GMM_RANDOM:
        em->of = NULL;
        em->key = ml__seed_mix(f->seed, t);
        return ML_OK;
    case ML__GMM_HIERARCHICAL:
        return agglomerate_rows(f, s, em, complete, &rng, done, total);
    case ML__GMM_RANDOM_FROM_DATA:
        draw_rows(s, em, &rng);
        return ML_OK;
    default:
        ML__TRY(ml__kmeans_plus_plus(em->context, complete, em->next.k, &rng, s->rows));
    }
    for (size_t c = 0; c < em->next.k; c++)
        s->labels[s->rows[c]] = (uint32_t)c;
done:
    return st;
}
