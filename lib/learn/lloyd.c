/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lloyd's iteration for large tables (Lloyd 1982; kmeans.c says what it computes).
 *
 * Nearest   arg min_k |c_k|²/2 - x'c_k in single precision, with the second least. With u = 2^-24 and C = max |c|, each of the two
 *           is wrong by less than (d + 6) u C (|x| + C/2): d + 1 roundings of the chain, of x, c and |c|²/2. A row whose
 *           two differ by less than twice that is decided by the distances in double, from the rows as they came: labels
 *           are those of these distances, ties to the lowest cluster, whatever the kernels
 * Sums      without weights in whole numbers of a fixed step, by changes only: a row that moves is taken off one cluster and put to
 *           another. They are exact, so neither order nor threads show. The step is the largest |x - mean| over 2^b,
 *           b = min(50, 61 - log2 n) bits, so that n rows fit. With weights: all rows anew, in double, slot by slot
 * Bounds    a row's gap: its distance from the second nearest centre less that from its own, at least. Centres that move by m take
 *           the own step and the longest other one off it (Hamerly 2010); rows whose gap stays positive are not looked at
 *           Where few centres move far and gaps close for their sake: these are farther from a row than they are from its centre less
 *           the row's own distance (Elkan 2003), so that its gap loses no more than by slower ones, or is what this leaves
 * Empty     a cluster without rows takes the row that lies farthest from its centre, out of clusters with several rows
 *           (scikit-learn's rule); if none is off its centre (more clusters than distinct points) it keeps its centre
 *
 * Symbols   n rows, d features, k clusters; S [k x d], W [k] sums of a cluster; D² squared distance to the own centre
 * Memory    of a row its label, its gap, its norm, of 16 and more clusters how far its centre is at most, and, once a cluster was
 *           empty, D²: 24 bytes; rows of a stream are read window by window
 * Cost      n d k multiply-adds per pass, less what the bounds save
 */
#include "learn/lloyd.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/context.h"
#include "base/parallel.h"
#include "kernel/kernel.h"

static const uint32_t NO_LABEL = UINT32_MAX;
enum { N_FAST = 4, MOST_FAST = 1 << (N_FAST - 1) }; /* 1, 2, 4, 8 centres */
/* Over unit. */
static const float LEAST_GAP = 1e-6F;   /* far above the rounding of distances in double */
static const double MOST_LENGTH = 1e18; /* squares are floats */
static const double MOST_STEP = 1e30;   /* beyond any gap */

/* ---- distances ---- */

static void squared_distances(size_t k, size_t d, const double *C, const double *x, double *distance)
{
    memset(distance, 0, k * sizeof *distance);
    for (size_t j = 0; j < d; j++)
        for (size_t c = 0; c < k; c++) {
            const double e = x[j] - C[j * k + c];
            distance[c] += e * e;
        }
}

static size_t arg_min(size_t k, const double *values)
{
    size_t best = 0;

    for (size_t c = 1; c < k; c++)
        if (values[c] < values[best])
            best = c;
    return best;
}

/* Squares that are outside have lost digits, or all of them. */
static const double LEAST_SQUARE = 1e-280, MOST_SQUARE = 1e300;

/* The largest difference of x from centre c. */
static double reach(size_t k, size_t d, const double *C, const double *x, size_t c)
{
    double largest = 0;

    for (size_t j = 0; j < d; j++)
        largest = fmax(largest, fabs(x[j] - C[j * k + c]));
    return largest;
}

/* A power of two near the largest of differences, for scaled_square(). */
static int exponent_of(double largest)
{
    static const int MOST = 1000;
    int exponent;

    if (largest == 0)
        return -MOST;
    frexp(fmin(largest, DBL_MAX), &exponent);
    return exponent > MOST ? MOST : exponent < -MOST ? -MOST : exponent;
}

/* |x - c|² over 4^exponent. Neither large numbers nor small differences leave the range on the way. */
static double scaled_square(size_t k, size_t d, const double *C, const double *x, size_t c, int exponent)
{
    const double of_terms = exponent > 0 ? ldexp(1, -exponent) : 1, of_rest = exponent > 0 ? 1 : ldexp(1, -exponent);
    double sum = 0;

    for (size_t j = 0; j < d; j++) {
        const double e = (of_terms * x[j] - of_terms * C[j * k + c]) * of_rest;
        sum += e * e;
    }
    return sum;
}

size_t ml__nearest_exactly(size_t k, size_t d, const double *C, const double *x, double *distance)
{
    double least, nearest = INFINITY;
    size_t best;
    int exponent;

    squared_distances(k, d, C, x, distance);
    best = arg_min(k, distance);
    least = distance[best];
    if (least >= LEAST_SQUARE && least <= MOST_SQUARE)
        return best;
    for (size_t c = 0; c < k; c++) /* only those whose squares are outside can be the nearest */
        if (least > MOST_SQUARE || distance[c] < LEAST_SQUARE)
            nearest = fmin(nearest, reach(k, d, C, x, c));
    exponent = exponent_of(nearest);
    for (size_t c = 0; c < k; c++)
        distance[c] =
            least > MOST_SQUARE || distance[c] < LEAST_SQUARE ? scaled_square(k, d, C, x, c, exponent) : INFINITY;
    return arg_min(k, distance);
}

void ml__distances_exactly(size_t k, size_t d, const double *C, const double *x, double *distance)
{
    squared_distances(k, d, C, x, distance);
    for (size_t c = 0; c < k; c++)
        if (distance[c] >= LEAST_SQUARE && distance[c] <= MOST_SQUARE) {
            distance[c] = sqrt(distance[c]);
        } else {
            const int exponent = exponent_of(reach(k, d, C, x, c));
            distance[c] = fmin(ldexp(sqrt(scaled_square(k, d, C, x, c, exponent)), exponent), DBL_MAX);
        }
}

/* ---- where the sums of a slot lie: k d of S, k of rows, and with weights k of W ---- */

static bool has_weights(const ml__lloyd *l)
{
    return l->cloud->w != NULL;
}

static int64_t *changes_of(const ml__lloyd *l, size_t s)
{
    return (int64_t *)l->partial + s * l->stride;
}

static double *sums_of(const ml__lloyd *l, size_t s)
{
    return (double *)l->partial + s * l->stride;
}

/* The whole number nearest to x, |x| <= 2^51: adding 1.5 * 2^52 leaves it in the low bits. */
static inline int64_t to_whole(double x)
{
    const double shifted = x + 0x1.8p52, origin = 0x1.8p52;
    int64_t bits, zero;

    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&zero, &origin, sizeof zero);
    return bits - zero;
}

/* Row x leaves cluster `from` (or none) for cluster `to`. */
static void change_row(const ml__lloyd *l, int64_t *sums, const double *x, uint32_t from, uint32_t to)
{
    const ml__cloud *cloud = l->cloud;
    const size_t d = cloud->d;
    const double of_unit = 1 / cloud->unit, of_step = 1 / l->step; /* their product may be beyond double */
    int64_t *gains = sums + to * d, *loses = from == NO_LABEL ? NULL : sums + from * d;

    for (size_t j = 0; j < d; j++) {
        const int64_t whole = to_whole((x[j] - cloud->shift[j]) * of_unit * of_step);
        gains[j] += whole;
        if (loses)
            loses[j] -= whole;
    }
    sums[l->k * d + to]++;
    if (loses)
        sums[l->k * d + from]--;
}

static void add_row(const ml__lloyd *l, double *sums, const double *x, size_t i, uint32_t to)
{
    const ml__cloud *cloud = l->cloud;
    const size_t d = cloud->d;
    const double w = cloud->w[i], scale = 1 / cloud->unit;

    for (size_t j = 0; j < d; j++)
        sums[to * d + j] += w * ((x[j] - cloud->shift[j]) * scale);
    sums[l->k * d + to] += 1;
    sums[l->k * d + l->k + to] += w;
}

/* ---- a pass ---- */

/* slope |x| + offset bounds the error of the difference of two values that the kernel finds. */
typedef struct {
    float slope, offset;
} rounding;

typedef struct {
    size_t row;
    uint32_t from, to;
} change;

/* What slot s is at. */
typedef struct {
    const ml__lloyd *l;
    size_t s;
    ml__cloud_view view;
    rounding bound;
    /* Rows that may have another nearest centre than before, until there are enough for the kernels, and as many again that
     * come from memory meanwhile. */
    size_t n_waiting, row[3 * ML__LLOYD_BLOCK];
    uint32_t label[ML__LLOYD_BLOCK]; /* of the first of these */
    float value[ML__LLOYD_BLOCK], second[ML__LLOYD_BLOCK], norm[ML__LLOYD_BLOCK];
    float gap[ML__LLOYD_BLOCK], own[ML__LLOYD_BLOCK];
    size_t n_changes;
    change changes[ML__LLOYD_BLOCK]; /* of labels, for the sums */
} pass;

static rounding rounding_of(const ml__lloyd *l)
{
    const double u = ldexp(1.001, -24), terms = (double)(l->cloud->d + 6), of_norm = 2 * terms * u * l->longest;

    return (rounding){(float)(of_norm * 1.001), (float)(of_norm * l->longest) + FLT_MIN * (float)terms};
}

enum { CACHE_LINE = 64, MOST_LINES = 16 };

/* A row that is needed soon. */
static inline void prefetch(const void *row, size_t n_bytes)
{
    const char *at = row;

    for (size_t b = 0; b < n_bytes && b < MOST_LINES * CACHE_LINE; b += CACHE_LINE)
        __builtin_prefetch(at + b);
    __builtin_prefetch(at + n_bytes - 1);
}

static const float *row_of(const pass *p, size_t i)
{
    return p->view.X + (i - p->view.first) * p->l->cloud->d;
}

/* In pieces whose size the compiler knows: a call takes longer than they do. */
static inline void copy_row(size_t d, const float *restrict from, float *restrict to)
{
    enum { PIECE = 16 };

    for (; d >= PIECE; d -= PIECE, from += PIECE, to += PIECE)
        memcpy(to, from, PIECE * sizeof *to);
    if (d > 0)
        memcpy(to, from, d * sizeof *to);
}

/* The first n rows that wait: in place where they are neighbours. */
static const float *rows_of(const pass *p, size_t n)
{
    const size_t d = p->l->cloud->d;
    float *X = p->l->survivors + p->s * ML__LLOYD_BLOCK * d;

    if (p->row[n - 1] - p->row[0] == n - 1)
        return row_of(p, p->row[0]);
    for (size_t r = 0; r < n; r++)
        copy_row(d, row_of(p, p->row[r]), X + r * d);
    return X;
}

/* 0 of what is below 0; without a condition, for the sake of vectors. */
static inline float root(float square)
{
    return sqrtf(0.5F * (square + fabsf(square)));
}

/* The gaps that follow from value and second, and how far the nearest centre is at most. */
static void find_gaps(size_t n, rounding bound, const float *restrict value, const float *restrict second_value,
                      const float *restrict norms, float *restrict gap, float *restrict own)
{
    for (size_t r = 0; r < n; r++) {
        const float norm = norms[r], error = bound.slope * norm + bound.offset, norm2 = norm * norm + error;
        const float first = root(2 * value[r] + norm2), second = root(2 * second_value[r] + norm2);

        gap[r] = 1.999F * (second_value[r] - value[r] - error) / (first + second);
        own[r] = first * 1.0001F;
    }
}

/* Another label than before. Sums follow it when the row has come from memory. */
static void change_label(pass *p, size_t i, uint32_t label)
{
    const ml__lloyd *l = p->l;
    const ml__cloud_view *view = &p->view;
    const size_t d = l->cloud->d, at = (i - view->first) * d;

    l->changed[p->s]++;
    p->changes[p->n_changes++] = (change){i, l->labels[i], label};
    l->labels[i] = label;
    if (view->f64)
        prefetch(view->f64 + at, d * sizeof *view->f64);
    else
        prefetch(view->f32 + at, d * sizeof *view->f32);
}

static void apply_changes(pass *p)
{
    const ml__lloyd *l = p->l;
    double *x = l->cloud->row + p->s * l->cloud->d;

    for (const change *c = p->changes; c < p->changes + p->n_changes && !has_weights(l); c++) {
        ml__view_row(&p->view, c->row, x);
        change_row(l, changes_of(l, p->s), x, c->from, c->to);
    }
    p->n_changes = 0;
}

/* label, gap and own of the first n rows that wait, by the kernels. */
static void find_nearest(pass *p, size_t n)
{
    const ml__lloyd *l = p->l;
    const size_t d = l->cloud->d;

    ml__kernels_rowwise()->f32.nearest(n, l->k, d, rows_of(p, n), d, l->CT, l->k, l->half, p->label, p->value,
                                       p->second);
    for (size_t r = 0; r < n; r++)
        p->norm[r] = p->view.norm[p->row[r] - p->view.first];
    find_gaps(n, p->bound, p->value, p->second, p->norm, p->gap, p->own);
}

/* The nearest centre of row i by the distances in double. */
static uint32_t decide(pass *p, size_t i)
{
    const ml__lloyd *l = p->l;
    double *x = l->cloud->row + p->s * l->cloud->d;

    ml__view_row(&p->view, i, x);
    return (uint32_t)ml__nearest_exactly(l->k, l->cloud->d, l->C, x, l->distance + p->s * l->k);
}

/* The first n rows go to their nearest centres and wait no longer. */
static ml_status assign_rows(pass *p, size_t n)
{
    const ml__lloyd *l = p->l;
    const size_t n_bytes = l->cloud->d * sizeof(float);
    const uint32_t *labels = l->labels;
    float *gap = l->gap, *own = l->own;
    ml_status st;

    ML__TRY(ml__view_near(&p->view));
    find_nearest(p, n);
    apply_changes(p);
    for (size_t r = 0; r < n; r++) {
        const size_t i = p->row[r];

        if (!(p->gap[r] > 0))
            p->label[r] = decide(p, i);
        gap[i] = p->gap[r];
        if (own)
            own[i] = p->own[r] - l->way[p->label[r]];
        if (p->label[r] != labels[i])
            change_label(p, i, p->label[r]);
        if (n + r < p->n_waiting)
            prefetch(row_of(p, p->row[n + r]), n_bytes);
    }
    p->n_waiting -= n;
    memmove(p->row, p->row + n, p->n_waiting * sizeof *p->row);
done:
    return st;
}

/* ---- what the bounds leave over ---- */

/* What row i of a cluster has left of a gap, seen with 0, 1, 2, 4, 8 centres set apart as fast: the largest of these. */
static inline float widest_gap(const ml__lloyd *l, size_t i, uint32_t label, float gap)
{
    const float *regain = l->fast + 2 * N_FAST * label, *near = regain + N_FAST;
    const float apart = 2 * (l->own[i] + l->way[label] * 1.000001F);
    float widest = gap, left[N_FAST];

    for (size_t j = 0; j < N_FAST; j++) {
        const float slow = gap + regain[j], fast = near[j] - apart;

        left[j] = slow < fast ? slow : fast;
    }
    for (size_t j = 0; j < N_FAST; j++)
        widest = left[j] > widest ? left[j] : widest;
    return widest;
}

/* Gaps of n rows from i on follow the centres: how many rows[] may have another nearest one than before. */
static size_t follow(const ml__lloyd *l, size_t i, size_t n, size_t *restrict rows)
{
    const uint32_t *restrict labels = l->labels;
    const float *restrict drift = l->drift;
    float *restrict gaps = l->gap;
    size_t n_closed = 0, n_rows = 0;

    for (size_t r = i; r < i + n; r++) {
        const float gap = gaps[r] - drift[labels[r]];

        gaps[r] = gap;
        rows[n_closed] = r;
        n_closed += !(gap > LEAST_GAP);
    }
    if (!l->has_fast)
        return n_closed;
    for (size_t at = 0; at < n_closed; at++) {
        const size_t r = rows[at];
        const float gap = widest_gap(l, r, labels[r], gaps[r]);

        gaps[r] = gap;
        rows[n_rows] = r;
        n_rows += !(gap > LEAST_GAP);
    }
    return n_rows;
}

/* The same where rows have no labels yet. */
static size_t take_all(size_t i, size_t n, size_t *rows)
{
    for (size_t r = 0; r < n; r++)
        rows[r] = i + r;
    return n;
}

/* Rows of a stream are read only where some wait. */
static ml_status assign_view(pass *p, size_t begin)
{
    const ml__lloyd *l = p->l;
    ml_status st = ML_OK;

    for (size_t i = begin, n; i < p->view.end; i += n) {
        size_t *rows = p->row + p->n_waiting;

        n = p->view.end - i < ML__LLOYD_BLOCK ? p->view.end - i : ML__LLOYD_BLOCK;
        p->n_waiting += l->has_labels ? follow(l, i, n, rows) : take_all(i, n, rows);
        if (p->n_waiting >= 2 * ML__LLOYD_BLOCK)
            ML__TRY(assign_rows(p, ML__LLOYD_BLOCK));
    }
    while (p->n_waiting > 0)
        ML__TRY(assign_rows(p, p->n_waiting < ML__LLOYD_BLOCK ? p->n_waiting : ML__LLOYD_BLOCK));
    apply_changes(p);
done:
    return st;
}

static ml_status add_view(const ml__lloyd *l, size_t s, ml__cloud_view *view, size_t begin)
{
    double *x = l->cloud->row + s * l->cloud->d;
    ml_status st;

    ML__TRY(ml__view_read(view));
    for (size_t i = begin; i < view->end; i++) {
        ml__view_row(view, i, x);
        add_row(l, sums_of(l, s), x, i, l->labels[i]);
    }
done:
    return st;
}

static ml_status assign_slot(void *argument, size_t s)
{
    const ml__lloyd *l = argument;
    const size_t begin = ml__slots_begin(&l->slots, s), end = ml__slots_begin(&l->slots, s + 1);
    pass p;
    ml_status st;

    p.l = l;
    p.s = s;
    p.bound = rounding_of(l);
    p.n_waiting = p.n_changes = 0;
    memset(changes_of(l, s), 0, l->stride * sizeof(int64_t));
    l->changed[s] = 0;
    ML__TRY(ml__view_open(&p.view, l->cloud, end));
    for (size_t i = begin; i < end; i = p.view.end) {
        ml__view_at(&p.view, i);
        ML__TRY(assign_view(&p, i));
        if (has_weights(l))
            ML__TRY(add_view(l, s, &p.view, i));
    }
done:
    ml__view_close(&p.view);
    return st;
}

/* C, CT, half and longest from the centres. */
static void lay_out_centres(ml__lloyd *l)
{
    const ml__cloud *cloud = l->cloud;
    const size_t k = l->k, d = cloud->d;
    double largest = 0;

    for (size_t c = 0; c < k; c++) {
        double norm2 = 0;

        for (size_t j = 0; j < d; j++) {
            const double centre = l->centres[c * d + j], near = (centre - cloud->shift[j]) / cloud->unit;
            l->C[j * k + c] = centre;
            l->CT[j * k + c] = (float)near;
            norm2 += near * near;
        }
        l->half[c] = (float)(norm2 / 2);
        largest = fmax(largest, norm2);
    }
    l->longest = sqrt(largest) * 1.001;
}

/* ---- fast centres ---- */

/* The centres that moved farthest, in descending order. */
static void find_farthest(const ml__lloyd *l, uint32_t order[MOST_FAST + 1])
{
    size_t n = 0;

    for (size_t c = 0; c < l->k; c++) {
        size_t at = n;

        if (n <= MOST_FAST)
            n++;
        else if (l->moved[c] > l->moved[order[MOST_FAST]])
            at = MOST_FAST;
        else
            continue;
        for (; at > 0 && l->moved[order[at - 1]] < l->moved[c]; at--)
            order[at] = order[at - 1];
        order[at] = (uint32_t)c;
    }
}

/* Squared distances of all centres from one of them, from itself none. */
static void distances_from(const ml__lloyd *l, size_t from, float *restrict D2)
{
    const size_t k = l->k;

    memset(D2, 0, k * sizeof *D2);
    for (size_t j = 0; j < l->cloud->d; j++) {
        const float *restrict C_j = l->CT + j * k;
        const float x = C_j[from];

        for (size_t c = 0; c < k; c++)
            D2[c] += (C_j[c] - x) * (C_j[c] - x);
    }
    D2[from] = INFINITY;
}

/* With 1, 2, 4, 8 centres as fast ones. */
static void find_fast(ml__lloyd *l)
{
    const size_t k = l->k;
    const float u = 6e-8F, factor = 1 - 2 * u * (float)(l->cloud->d + 8), less = 4 * u * (float)l->longest;
    uint32_t order[MOST_FAST + 1];
    float *D2 = l->D2_fast, *nearest = D2 + k;

    find_farthest(l, order);
    for (size_t c = 0; c < k; c++)
        nearest[c] = INFINITY;
    for (size_t j = 0, f = 0; j < N_FAST; j++) {
        for (; f < (size_t)1 << j; f++) {
            distances_from(l, order[f], D2);
            for (size_t c = 0; c < k; c++)
                nearest[c] = nearest[c] < D2[c] ? nearest[c] : D2[c];
        }
        for (size_t c = 0; c < k; c++) {
            float *regain = l->fast + 2 * N_FAST * c, *near = regain + N_FAST;

            regain[j] = l->drift[c] - l->moved[c] - l->moved[order[f]];
            near[j] = root(nearest[c]) * factor - less;
        }
    }
}

static void add_whole(size_t n, const int64_t *restrict x, int64_t *restrict sum)
{
    for (size_t v = 0; v < n; v++)
        sum[v] += x[v];
}

/* S, n and W of the clusters from those of the slots. */
static void gather(ml__lloyd *l)
{
    const size_t k = l->k, n_sums = l->k * l->cloud->d, n_slots = l->slots.n;

    l->n_changed = l->n_moved;
    for (size_t s = 0; s < n_slots; s++)
        l->n_changed += l->changed[s];
    if (has_weights(l)) {
        ml__slots_add(&l->slots, l->partial, l->stride, l->stride);
        memcpy(l->S, sums_of(l, 0), n_sums * sizeof *l->S);
        memcpy(l->n, sums_of(l, 0) + n_sums, k * sizeof *l->n);
        memcpy(l->W, sums_of(l, 0) + n_sums + k, k * sizeof *l->W);
        return;
    }
    for (size_t s = 0; s < n_slots; s++)
        if (l->changed[s] > 0)
            add_whole(n_sums + k, changes_of(l, s), l->total);
    for (size_t v = 0; v < n_sums; v++)
        l->S[v] = (double)l->total[v] * l->step;
    for (size_t c = 0; c < k; c++)
        l->n[c] = l->W[c] = (double)l->total[n_sums + c];
}

ml_status ml__lloyd_assign(ml_context *context, ml__lloyd *l)
{
    const ml__slots *slots = &l->slots;
    const double row_ns = 5 + 0.05 * (double)l->k * (double)l->cloud->d;
    ml_status st;

    lay_out_centres(l);
    ML__CHECK(isfinite(l->longest), ML_E_NUMERIC,
              "kmeans: the centres are beyond the range of the rows by 1e150 or more");
    l->has_fast = l->own && l->has_labels && l->longest < MOST_LENGTH;
    if (l->has_fast)
        find_fast(l);
    ML__TRY(ml__parallel_for_cost(context, slots->n, ml__slots_rows(slots) * row_ns, assign_slot, l));
    l->has_labels = true;
    gather(l);
done:
    return st;
}

/* ---- empty clusters ---- */

static double distance2(const ml__lloyd *l, const ml__cloud_view *view, size_t i, double *x)
{
    const ml__cloud *cloud = l->cloud;
    const double *centre = l->centres + l->labels[i] * cloud->d, scale = 1 / cloud->unit;
    double sum = 0;

    ml__view_row(view, i, x);
    for (size_t j = 0; j < cloud->d; j++)
        sum += (x[j] - centre[j]) * scale * ((x[j] - centre[j]) * scale);
    return sum;
}

/* n when every row that can be spared lies on its centre. */
static size_t farthest_row(const ml__lloyd *l)
{
    size_t farthest = l->cloud->n;
    double most = 0;

    for (size_t i = 0; i < l->cloud->n; i++)
        if (l->n[l->labels[i]] > 1 && l->D2[i] > most) {
            most = l->D2[i];
            farthest = i;
        }
    return farthest;
}

static ml_status move_row(ml__lloyd *l, size_t i, uint32_t to)
{
    const ml__cloud *cloud = l->cloud;
    const size_t d = cloud->d;
    const uint32_t from = l->labels[i];
    const double w = cloud->w ? cloud->w[i] : 1;
    double *x = cloud->row;
    ml_status st;

    ML__TRY(ml__cloud_row(cloud, i, x));
    if (!has_weights(l))
        change_row(l, l->total, x, from, to);
    for (size_t j = 0; j < d; j++) {
        const double term = w * ((x[j] - cloud->shift[j]) / cloud->unit);
        l->S[from * d + j] -= term;
        l->S[to * d + j] = term;
    }
    l->W[from] -= w;
    l->W[to] = w;
    l->n[from] -= 1;
    l->n[to] = 1;
    l->D2[i] = 0;
    l->labels[i] = to;
    l->gap[i] = 0;
    l->n_moved++;
done:
    return st;
}

/* D² of all rows. */
static ml_status measure_distances(ml__lloyd *l)
{
    ml__cloud_view view = {.cloud = NULL};
    ml_status st = ML_OK;

    if (!l->D2)
        ML__NEW(l->arena, l->D2, l->cloud->n);
    ML__TRY(ml__view_open(&view, l->cloud, l->cloud->n));
    for (size_t i = 0; i < l->cloud->n;) {
        ml__view_at(&view, i);
        ML__TRY(ml__view_read(&view));
        for (; i < view.end; i++)
            l->D2[i] = distance2(l, &view, i, l->cloud->row);
    }
done:
    ml__view_close(&view);
    return st;
}

static ml_status fill_empty_clusters(ml__lloyd *l)
{
    bool is_ready = false;
    ml_status st = ML_OK;

    l->n_moved = 0;
    for (size_t c = 0; c < l->k; c++) {
        size_t i;

        if (l->n[c] > 0)
            continue;
        if (!is_ready)
            ML__TRY(measure_distances(l));
        is_ready = true;
        i = farthest_row(l);
        if (i == l->cloud->n)
            break;
        ML__TRY(move_row(l, i, (uint32_t)c));
    }
done:
    return st;
}

/* Cluster c's centre becomes the mean; returns the square of how far it moves, over unit². */
static double move_centre(ml__lloyd *l, size_t c)
{
    const ml__cloud *cloud = l->cloud;
    double moved2 = 0;

    for (size_t j = 0; j < cloud->d && l->n[c] > 0; j++) {
        double *centre = l->centres + c * cloud->d + j;
        const double mean = cloud->shift[j] + l->S[c * cloud->d + j] / l->W[c] * cloud->unit;
        const double moved = (mean - *centre) / cloud->unit;

        moved2 += moved * moved;
        *centre = mean;
    }
    return moved2;
}

/* drift of a cluster: its own step and the longest of all others. */
static void find_drifts(ml__lloyd *l)
{
    size_t longest = 0;
    float next = 0;

    for (size_t c = 1; c < l->k; c++) {
        next = fmaxf(next, fminf(l->moved[c], l->moved[longest]));
        longest = l->moved[c] > l->moved[longest] ? c : longest;
    }
    for (size_t c = 0; c < l->k; c++)
        l->drift[c] = l->moved[c] + (c == longest ? next : l->moved[longest]);
}

ml_status ml__lloyd_update(ml__lloyd *l)
{
    ml_status st;

    ML__TRY(fill_empty_clusters(l));
    l->movement = 0;
    for (size_t c = 0; c < l->k; c++) {
        const double moved2 = move_centre(l, c);

        l->movement += moved2;
        l->moved[c] = (float)fmin(sqrt(moved2), MOST_STEP) * 1.00001F + FLT_MIN;
        l->way[c] = (l->way[c] + l->moved[c]) * (1 + 2 * FLT_EPSILON); /* so that a difference is never too small */
    }
    find_drifts(l);
done:
    return st;
}

/* ---- inertia ---- */

static ml_status inertia_slot(void *argument, size_t s)
{
    const ml__lloyd *l = argument;
    const ml__cloud *cloud = l->cloud;
    const size_t end = ml__slots_begin(&l->slots, s + 1);
    double sum = 0;
    ml__cloud_view view;
    ml_status st;

    ML__TRY(ml__view_open(&view, cloud, end));
    for (size_t i = ml__slots_begin(&l->slots, s); i < end;) {
        ml__view_at(&view, i);
        ML__TRY(ml__view_read(&view));
        for (; i < view.end; i++)
            sum += (cloud->w ? cloud->w[i] : 1) * distance2(l, &view, i, cloud->row + s * cloud->d);
    }
    l->distance[s] = sum;
done:
    ml__view_close(&view);
    return st;
}

ml_status ml__lloyd_inertia(ml_context *context, ml__lloyd *l, double *out)
{
    const ml__slots *slots = &l->slots;
    const ml_status st =
        ml__parallel_for_cost(context, slots->n, ml__slots_rows(slots) * 2 * (double)l->cloud->d, inertia_slot, l);

    if (st != ML_OK)
        return st;
    ml__slots_add(slots, l->distance, 1, 1);
    *out = l->distance[0];
    return ML_OK;
}

/* ---- life ---- */

enum { LEAST_ROWS = 1024 }; /* for fewer, fast centres are not worth what they take */

/* So that n rows of the largest |x - mean| stay below 2^61. */
static double fixed_step(const ml__cloud *cloud)
{
    int of_n, of_largest;

    frexp((double)cloud->n, &of_n);
    frexp(cloud->largest, &of_largest);
    return ldexp(1, of_largest - (of_n <= 11 ? 50 : 61 - of_n));
}

ml_status ml__lloyd_create(ml__arena *arena, const ml__cloud *cloud, size_t k, ml__lloyd *l)
{
    const size_t d = cloud->d;
    size_t n_partial;
    ml_status st = ML_OK;

    *l = (ml__lloyd){.cloud = cloud, .arena = arena, .k = k, .step = fixed_step(cloud)};
    ML__CHECK(ml__size_mul(k, d + 1 + (cloud->w ? 1 : 0), &l->stride), ML_E_MEMORY,
              "%zu centres of %zu features do not fit in memory", k, d);
    l->slots = ml__slots_make(cloud->n, l->stride + k + ML__LLOYD_BLOCK / 2 * d);
    ML__CHECK(ml__size_mul(l->slots.n, l->stride, &n_partial), ML_E_MEMORY,
              "%zu centres of %zu features do not fit in memory", k, d);
    ML__NEW(arena, l->centres, k * d);
    ML__NEW(arena, l->labels, cloud->n);
    ML__NEW(arena, l->S, k * d);
    ML__NEW(arena, l->W, k);
    ML__NEW(arena, l->n, k);
    ML__NEW(arena, l->total, k * (d + 1));
    ML__NEW(arena, l->C, k * d);
    ML__NEW(arena, l->CT, k * d);
    ML__NEW(arena, l->half, k);
    ML__NEW(arena, l->distance, l->slots.n * k);
    ML__NEW(arena, l->changed, l->slots.n);
    ML__NEW(arena, l->gap, cloud->n);
    ML__NEW(arena, l->moved, k);
    ML__NEW(arena, l->way, k);
    ML__NEW(arena, l->drift, k);
    if (k >= 2 * MOST_FAST && cloud->n >= LEAST_ROWS) {
        ML__NEW(arena, l->own, cloud->n);
        ML__NEW(arena, l->fast, 2 * N_FAST * k);
        ML__NEW(arena, l->D2_fast, 2 * k);
    }
    ML__NEW(arena, l->survivors, l->slots.n * ML__LLOYD_BLOCK * d);
    l->partial = ml__arena_take(arena, n_partial, sizeof(double));
    st = l->partial ? ML_OK : ML_E_MEMORY;
done:
    return st;
}

void ml__lloyd_reset(ml__lloyd *l)
{
    l->n_moved = 0;
    l->has_labels = false;
    memset(l->way, 0, l->k * sizeof *l->way);
    memset(l->total, 0, l->k * (l->cloud->d + 1) * sizeof *l->total);
    for (size_t i = 0; i < l->cloud->n; i++)
        l->labels[i] = NO_LABEL;
}
