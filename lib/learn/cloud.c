/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows for k-means, and where it starts.
 *
 * Copy      X = (x - mean) / unit in single precision, unit the power of two above the largest |x - mean|: products neither
 *           overflow nor lose digits to an offset. Half the bytes, twice the lanes; what it rounds, lloyd.c accounts for
 * Streams   of a row its norm is kept: each pass reads the rows again and makes the copy window by window, the same bits
 * k-means++ (Arthur & Vassilvitskii 2007) rows drawn with probability ∝ w_i D_i², D_i the distance to the nearest row so far;
 *           of 2 + ln k candidates the one that leaves the least Σ w D² stays (section 5). No candidate takes a row whose centre is
 *           twice as far from it as from the row (Elkan 2003): its distance from candidates is not computed
 *
 * Symbols   n rows, d features, k centres; t candidate
 * Slots     see slots.h: the same bits for any number of threads
 * Cost      two passes; k-means++ O(n d k ln k) in two passes for each centre; 8 bytes per row for its distance and whose it is
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "learn/lloyd.h"

enum { MAX_EXPONENT = 900 };

static double weight_of(const ml__cloud *cloud, size_t i)
{
    return cloud->w ? cloud->w[i] : 1;
}

/* ---- rows at hand ---- */

ml_status ml__cloud_row(const ml__cloud *cloud, size_t i, double *x)
{
    if (cloud->stream)
        return ml__stream_read(cloud->stream, i, 1, x);
    ml__view_row(&(ml__cloud_view){.cloud = cloud, .f64 = cloud->f64, .f32 = cloud->f32}, i, x);
    return ML_OK;
}

/* X = (x - shift) / unit */
static inline void bring_near(const ml__cloud *cloud, const double *x, float *X)
{
    const double scale = 1 / cloud->unit;

    for (size_t j = 0; j < cloud->d; j++)
        X[j] = (float)((x[j] - cloud->shift[j]) * scale);
}

ml_status ml__view_open(ml__cloud_view *v, const ml__cloud *cloud, size_t limit)
{
    const ml__points points = {.n = cloud->n, .d = cloud->d, .stream = cloud->stream};
    ml_status st;

    *v = (ml__cloud_view){.cloud = cloud,
                          .end = limit,
                          .f64 = cloud->f64,
                          .f32 = cloud->f32,
                          .X = cloud->X,
                          .norm = cloud->norm,
                          .is_read = true,
                          .is_near = true};
    if (!cloud->stream)
        return ML_OK;
    ML__TRY(ml__window_open(&v->window, &points, 1, limit));
    v->buffer =
        ml__alloc_array(ml__dataset_context(cloud->stream->data), v->window.capacity, cloud->d * sizeof *v->buffer);
    st = v->buffer ? ML_OK : ML_E_MEMORY;
done:
    return st;
}

void ml__view_close(ml__cloud_view *v)
{
    ml__window_close(&v->window);
    ml__free(v->buffer);
}

void ml__view_at(ml__cloud_view *v, size_t first)
{
    const size_t left = v->window.limit - first;

    if (!v->cloud->stream)
        return;
    v->first = first;
    v->end = first + (left < v->window.capacity ? left : v->window.capacity);
    v->norm = v->cloud->norm + first;
    v->is_read = v->is_near = false;
}

ml_status ml__view_read(ml__cloud_view *v)
{
    ml_status st = ML_OK;

    if (!v->is_read)
        st = ml__window_at(&v->window, v->first, v->end - v->first, &v->f64);
    v->is_read = st == ML_OK;
    return st;
}

ml_status ml__view_near(ml__cloud_view *v)
{
    const size_t n = v->end - v->first, d = v->cloud->d;
    ml_status st = ML_OK;

    if (v->is_near)
        return ML_OK;
    ML__TRY(ml__view_read(v));
    for (size_t i = 0; i < n; i++)
        bring_near(v->cloud, v->f64 + i * d, v->buffer + i * d);
    v->X = v->buffer;
    v->is_near = true;
done:
    return st;
}

/* Rows [first, view->end) are at hand: what a pass over slot s does with them. */
typedef void (*visitor)(void *argument, size_t s, const ml__cloud_view *view, size_t first);

/* The rows of a slot, as many at a time as are at hand; `bring` is ml__view_read or ml__view_near. */
static ml_status visit_slot(const ml__cloud *cloud, size_t s, ml_status (*bring)(ml__cloud_view *), visitor visit,
                            void *argument)
{
    const size_t end = ml__slots_begin(&cloud->slots, s + 1);
    ml__cloud_view view;
    ml_status st;

    ML__TRY(ml__view_open(&view, cloud, end));
    for (size_t i = ml__slots_begin(&cloud->slots, s); i < end; i = view.end) {
        ml__view_at(&view, i);
        ML__TRY(bring(&view));
        visit(argument, s, &view, i);
    }
done:
    ml__view_close(&view);
    return st;
}

/* ---- mean, range, copy ---- */

typedef struct {
    ml__cloud *cloud;
    const double *first; /* d: the first row */
    double *partial;     /* n_slots x (3 d + 1): Σ w (x - first), least and largest x - first; Σ w */
    size_t stride;
} measuring;

static void measure_rows(void *argument, size_t s, const ml__cloud_view *view, size_t first)
{
    const measuring *m = argument;
    const size_t d = m->cloud->d;
    double *sum = m->partial + s * m->stride, *least = sum + d, *largest = least + d, *x = m->cloud->row + s * d;

    for (size_t i = first; i < view->end; i++) {
        const double w = weight_of(m->cloud, i);

        ml__view_row(view, i, x);
        for (size_t j = 0; j < d; j++) {
            const double e = x[j] - m->first[j];
            sum[j] += w * e;
            least[j] = e < least[j] ? e : least[j];
            largest[j] = e > largest[j] ? e : largest[j];
        }
        largest[d] += w;
    }
}

static ml_status measure_slot(void *argument, size_t s)
{
    return visit_slot(((const measuring *)argument)->cloud, s, ml__view_read, measure_rows, argument);
}

/* shift, W, unit and largest. */
static ml_status measure(ml__arena *work, ml__cloud *cloud)
{
    const size_t d = cloud->d;
    measuring m = {.cloud = cloud, .stride = 3 * d + 1};
    double most = 0, *first;
    int exponent;
    ml_status st = ML_OK;

    ML__NEW(work, m.partial, cloud->slots.n * m.stride);
    ML__NEW(work, first, d);
    ML__TRY(ml__cloud_row(cloud, 0, first));
    m.first = first;
    ML__TRY(ml__parallel_for_cost(work->context, cloud->slots.n, ml__slots_rows(&cloud->slots) * (double)d,
                                  measure_slot, &m));
    for (size_t s = 1; s < cloud->slots.n; s++)
        for (size_t j = 0; j < d; j++) {
            const double *of_slot = m.partial + s * m.stride;
            m.partial[d + j] = fmin(m.partial[d + j], of_slot[d + j]);
            m.partial[2 * d + j] = fmax(m.partial[2 * d + j], of_slot[2 * d + j]);
        }
    for (size_t s = 0; s < cloud->slots.n; s++)
        cloud->W += m.partial[s * m.stride + 3 * d];
    ml__slots_add(&cloud->slots, m.partial, m.stride, d);
    for (size_t j = 0; j < d; j++) {
        const double mean = m.partial[j] / cloud->W;
        cloud->shift[j] = first[j] + mean;
        cloud->measured = j;
        most = fmax(most, fmax(m.partial[2 * d + j] - mean, mean - m.partial[d + j]));
        ML__CHECK(isfinite(cloud->shift[j]) && isfinite(most), ML_E_NUMERIC,
                  "the spread of feature %zu is beyond double; scale the features", j);
    }
    frexp(most, &exponent);
    exponent = most > 0 ? exponent : 0;
    exponent = exponent > MAX_EXPONENT ? MAX_EXPONENT : exponent < -MAX_EXPONENT ? -MAX_EXPONENT : exponent;
    cloud->unit = ldexp(1, exponent);
    cloud->largest = most / cloud->unit * (1 + 1e-9); /* the mean above is rounded */
done:
    return st;
}

typedef struct {
    ml__cloud *cloud;
    double *variance; /* n_slots */
} copying;

static void copy_rows(void *argument, size_t s, const ml__cloud_view *view, size_t first)
{
    const copying *c = argument;
    const ml__cloud *cloud = c->cloud;
    const size_t d = cloud->d;
    const double scale = 1 / cloud->unit;
    double *x = cloud->row + s * d;

    for (size_t i = first; i < view->end; i++) {
        float *X = cloud->X ? cloud->X + i * d : view->buffer;
        double norm2 = 0;

        ml__view_row(view, i, x);
        for (size_t j = 0; j < d; j++) {
            x[j] = (x[j] - cloud->shift[j]) * scale;
            X[j] = (float)x[j];
        }
        for (size_t j = 0; j < d; j++)
            norm2 += x[j] * x[j];
        cloud->norm[i] = (float)(sqrt(norm2) * (1 + 1e-6));
        c->variance[s] += weight_of(cloud, i) * norm2;
    }
}

static ml_status copy_slot(void *argument, size_t s)
{
    return visit_slot(((const copying *)argument)->cloud, s, ml__view_read, copy_rows, argument);
}

/* What follows from the rows that the cloud is given. */
static ml_status look_at(ml__arena *arena, ml__cloud *cloud)
{
    const size_t n = cloud->n, d = cloud->d;
    copying c = {.cloud = cloud};
    size_t count = 0;
    ml__arena work;
    ml_status st = ML_OK;

    ml__arena_init(&work, arena->context);
    cloud->slots = ml__slots_make(n, 4 * d);
    ML__CHECK(ml__size_mul(n, d, &count) || cloud->stream, ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, d);
    ML__NEW(arena, cloud->shift, d);
    if (!cloud->stream)
        ML__NEW(arena, cloud->X, count);
    ML__NEW(arena, cloud->norm, n);
    ML__NEW(arena, cloud->row, cloud->slots.n * d);
    ML__NEW(&work, c.variance, cloud->slots.n);
    ML__TRY(measure(&work, cloud));
    ML__TRY(ml__parallel_for_cost(arena->context, cloud->slots.n, ml__slots_rows(&cloud->slots) * (double)d, copy_slot,
                                  &c));
    for (size_t s = 0; s < cloud->slots.n; s++)
        cloud->variance += c.variance[s] / cloud->W / (double)d;
done:
    ml__arena_free(&work);
    return st;
}

ml_status ml__cloud_create(ml__arena *arena, const double *f64, const float *f32, const double *w, size_t n, size_t d,
                           ml__cloud *out)
{
    *out = (ml__cloud){.n = n, .d = d, .f64 = f64, .f32 = f32, .w = w};
    return look_at(arena, out);
}

ml_status ml__cloud_create_streamed(ml__arena *arena, const ml__stream *stream, const double *w, size_t n,
                                    ml__cloud *out)
{
    *out = (ml__cloud){.n = n, .d = stream->d, .stream = stream, .w = w};
    return look_at(arena, out);
}

/* ---- random rows ---- */

/* Selection sampling (Knuth, The Art of Computer Programming 2, algorithm 3.4.2 S). */
void ml__cloud_draw(const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows)
{
    size_t taken = 0;

    for (size_t i = 0; i < cloud->n && taken < k; i++)
        if (ml__rng_below(rng, cloud->n - i) < k - taken)
            rows[taken++] = i;
}

/* ---- k-means++ ---- */

enum { GROUP = 8, MAX_TRIALS = 16 }; /* k < 2^20: 2 + ln k < 16 */
/* Spelled out because compilers miss what a loop over candidates could be. */
typedef float lanes __attribute__((vector_size(GROUP / 2 * sizeof(float))));

typedef struct {
    const ml__cloud *cloud;
    size_t n_trials;
    uint32_t taking;         /* which centre comes next */
    size_t rows[MAX_TRIALS]; /* candidates */
    float *C;                /* d x MAX_TRIALS: the candidates side by side */
    double *x;               /* d: a row */
    float *X;                /* d: the same near 0 */
    float *D2;               /* n */
    uint32_t *owner;         /* n: the row's nearest centre */
    float *C_taken;          /* k x d: the centres */
    float *near2;            /* k: squared distance of a centre from the nearest candidate */
    double *J;               /* n_slots x MAX_TRIALS: Σ w D² with each candidate */
    double *mass;            /* n_slots: Σ w D² so far */
} seeding;

/* Squared distances of x from GROUP candidates: 0 from its own copy. */
static inline void distances(size_t d, const float *x, const float *C, float *out)
{
    lanes low = {0}, high = {0}, c, e;

    for (size_t j = 0; j < d; j++) {
        memcpy(&c, C + j * MAX_TRIALS, sizeof c);
        memcpy(&e, C + j * MAX_TRIALS + GROUP / 2, sizeof e);
        c = x[j] - c;
        e = x[j] - e;
        low += c * c;
        high += e * e;
    }
    memcpy(out, &low, sizeof low);
    memcpy(out + GROUP / 2, &high, sizeof high);
}

/* near2 of the first n_centres, to the first n_trials candidates. */
static void find_near(const seeding *q, size_t n_centres, size_t n_trials)
{
    for (size_t c = 0; c < n_centres; c++) {
        float least = INFINITY;

        for (size_t t0 = 0; t0 < n_trials; t0 += GROUP) {
            float D2[GROUP];

            distances(q->cloud->d, q->C_taken + c * q->cloud->d, q->C + t0, D2);
            for (size_t t = t0; t < n_trials && t < t0 + GROUP; t++)
                least = D2[t - t0] < least ? D2[t - t0] : least;
        }
        q->near2[c] = least;
    }
}

/* Is row i's centre so far from all candidates that D² stays, however the squares were rounded? */
static inline bool stays(const seeding *q, size_t i)
{
    static const float UNDERFLOW = 1e-30F;
    const float slack = 1 + 1e-6F * (float)(q->cloud->d + 4);

    return q->near2[q->owner[i]] > 4 * slack * q->D2[i] + UNDERFLOW;
}

/* Row i, which is x near 0, adds to J of each candidate. */
static inline void try_row(const seeding *q, const float *x, size_t i, double *J)
{
    const double w = weight_of(q->cloud, i);

    if (stays(q, i)) {
        const double mass = w * (double)q->D2[i];
        for (size_t t = 0; t < q->n_trials; t++)
            J[t] += mass;
        return;
    }
    for (size_t t0 = 0; t0 < q->n_trials; t0 += GROUP) {
        float D2[GROUP];

        distances(q->cloud->d, x, q->C + t0, D2);
        for (size_t t = 0; t < GROUP; t++)
            J[t0 + t] += w * (double)(D2[t] < q->D2[i] ? D2[t] : q->D2[i]);
    }
}

static void try_rows(void *argument, size_t s, const ml__cloud_view *view, size_t first)
{
    const seeding *q = argument;

    for (size_t i = first; i < view->end; i++)
        try_row(q, view->X + (i - view->first) * q->cloud->d, i, q->J + s * MAX_TRIALS);
}

static ml_status try_slot(void *argument, size_t s)
{
    const seeding *q = argument;

    memset(q->J + s * MAX_TRIALS, 0, MAX_TRIALS * sizeof *q->J);
    return visit_slot(q->cloud, s, ml__view_near, try_rows, argument);
}

/* The first candidate is taken. */
static void take_rows(void *argument, size_t s, const ml__cloud_view *view, size_t first)
{
    const seeding *q = argument;
    const ml__cloud *cloud = q->cloud;
    double mass = q->mass[s];

    for (size_t i = first; i < view->end; i++) {
        float D2[GROUP];

        if (!stays(q, i)) {
            distances(cloud->d, view->X + (i - view->first) * cloud->d, q->C, D2);
            q->owner[i] = D2[0] < q->D2[i] ? q->taking : q->owner[i];
            q->D2[i] = D2[0] < q->D2[i] ? D2[0] : q->D2[i];
        }
        mass += weight_of(cloud, i) * (double)q->D2[i];
    }
    q->mass[s] = mass;
}

static ml_status take_slot(void *argument, size_t s)
{
    const seeding *q = argument;

    q->mass[s] = 0;
    return visit_slot(q->cloud, s, ml__view_near, take_rows, argument);
}

static double mass_of(const seeding *q, bool by_distance, size_t i)
{
    return weight_of(q->cloud, i) * (by_distance ? (double)q->D2[i] : 1);
}

/* A row with probability ∝ w D²; ∝ w before the first, and when every row lies on a centre. */
static size_t draw_row(const seeding *q, bool by_distance, double total, ml__rng *rng)
{
    const ml__cloud *cloud = q->cloud;
    double left = ml__rng_uniform(rng) * total;
    size_t s = 0, last = cloud->n - 1;

    while (by_distance && s + 1 < cloud->slots.n && left >= q->mass[s])
        left -= q->mass[s++];
    for (size_t i = by_distance ? ml__slots_begin(&cloud->slots, s) : 0; i < cloud->n; i++) {
        left -= mass_of(q, by_distance, i);
        if (left < 0)
            return i;
    }
    while (last > 0 && !(mass_of(q, by_distance, last) > 0)) /* rounding led beyond the last one */
        last--;
    return last;
}

static ml_status set_candidate(seeding *q, size_t t, size_t row)
{
    const ml_status st = ml__cloud_row(q->cloud, row, q->x);

    bring_near(q->cloud, q->x, q->X);
    q->rows[t] = row;
    for (size_t j = 0; j < q->cloud->d; j++)
        q->C[j * MAX_TRIALS + t] = q->X[j];
    return st;
}

/* Of the candidates the one that leaves least comes first. */
static ml_status choose(ml_context *context, seeding *q)
{
    const ml__slots *slots = &q->cloud->slots;
    size_t best = 0;
    ml_status st = ML_OK;

    if (q->n_trials == 1)
        return ML_OK;
    ML__TRY(ml__parallel_for_cost(context, slots->n, ml__slots_rows(slots) * (double)q->cloud->d * (double)q->n_trials,
                                  try_slot, q));
    ml__slots_add(slots, q->J, MAX_TRIALS, q->n_trials);
    for (size_t t = 1; t < q->n_trials; t++)
        if (q->J[t] < q->J[best])
            best = t;
    ML__TRY(set_candidate(q, 0, q->rows[best]));
done:
    return st;
}

ml_status ml__cloud_seed(ml_context *context, const ml__cloud *cloud, size_t k, ml__rng *rng, size_t *rows)
{
    const size_t n_trials = 2 + (size_t)log((double)k);
    seeding q = {.cloud = cloud, .n_trials = 1};
    double total = 0;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    ML__NEW(&arena, q.C, cloud->d * MAX_TRIALS);
    ML__NEW(&arena, q.x, cloud->d);
    ML__NEW(&arena, q.X, cloud->d);
    ML__NEW(&arena, q.D2, cloud->n);
    ML__NEW(&arena, q.owner, cloud->n);
    ML__NEW(&arena, q.C_taken, k * cloud->d);
    ML__NEW(&arena, q.near2, k);
    ML__NEW(&arena, q.J, cloud->slots.n * MAX_TRIALS);
    ML__NEW(&arena, q.mass, cloud->slots.n);
    for (size_t i = 0; i < cloud->n; i++)
        q.D2[i] = INFINITY;
    for (size_t c = 0; c < k; c++) {
        for (size_t t = 0; t < q.n_trials; t++)
            ML__TRY(set_candidate(&q, t, draw_row(&q, total > 0, total > 0 ? total : cloud->W, rng)));
        find_near(&q, c, q.n_trials);
        ML__TRY(choose(context, &q));
        find_near(&q, c, 1);
        q.taking = (uint32_t)c;
        ML__TRY(ml__parallel_for_cost(context, cloud->slots.n, ml__slots_rows(&cloud->slots) * (double)cloud->d,
                                      take_slot, &q));
        rows[c] = q.rows[0];
        memcpy(q.C_taken + c * cloud->d, q.X, cloud->d * sizeof *q.C_taken); /* of the last candidate that was set */
        q.n_trials = n_trials < MAX_TRIALS ? n_trials : MAX_TRIALS;
        total = 0;
        for (size_t s = 0; s < cloud->slots.n; s++)
            total += q.mass[s];
    }
done:
    ml__arena_free(&arena);
    return st;
}
