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
 * Empty     a cluster without rows takes the row that lies farthest from its centre, out of clusters with several rows
 *           (scikit-learn's rule); if none is off its centre (more clusters than distinct points) it keeps its centre
 *
 * Symbols   n rows, d features, k clusters; S [k x d], W [k] sums of a cluster; D² squared distance to the own centre
 * Memory    of a row its label, its gap, its norm and, once a cluster was empty, D²: 20 bytes; rows of a stream are read window
 *           by window
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

/* Rows of a slot whose nearest centre has to be found. */
typedef struct {
    size_t n, row[ML__LLOYD_BLOCK];
    uint32_t label[ML__LLOYD_BLOCK];
    float value[ML__LLOYD_BLOCK], second[ML__LLOYD_BLOCK], norm[ML__LLOYD_BLOCK];
} block;

/* Rows of X: in place where they are neighbours. */
static const float *rows_of(const ml__lloyd *l, size_t s, const ml__cloud_view *view, const block *b)
{
    const size_t d = l->cloud->d;
    float *X = l->survivors + s * ML__LLOYD_BLOCK * d;

    if (b->row[b->n - 1] - b->row[0] == b->n - 1)
        return view->X + (b->row[0] - view->first) * d;
    for (size_t r = 0; r < b->n; r++)
        memcpy(X + r * d, view->X + (b->row[r] - view->first) * d, d * sizeof *X);
    return X;
}

static inline float root(float square)
{
    return sqrtf(square > 0 ? square : 0);
}

/* The gaps that follow from value and second; `slope` |x| + `offset` bounds the error of their difference. */
static void find_gaps(block *b, float slope, float offset, float *gap)
{
    for (size_t r = 0; r < b->n; r++) {
        const float norm = b->norm[r], error = slope * norm + offset, norm2 = norm * norm + error;
        const float first = root(2 * b->value[r] + norm2), second = root(2 * b->second[r] + norm2);

        gap[r] = 1.999F * (b->second[r] - b->value[r] - error) / (first + second);
    }
}

static void set_label(const ml__lloyd *l, size_t s, const ml__cloud_view *view, size_t i, uint32_t label)
{
    const uint32_t old = l->labels[i];
    double *x = l->cloud->row + s * l->cloud->d;

    if (label == old)
        return;
    l->changed[s]++;
    l->labels[i] = label;
    if (has_weights(l))
        return;
    ml__view_row(view, i, x);
    change_row(l, changes_of(l, s), x, old, label);
}

static ml_status assign_block(const ml__lloyd *l, size_t s, ml__cloud_view *view, block *b)
{
    const ml__cloud *cloud = l->cloud;
    const size_t k = l->k, d = cloud->d;
    const double u = ldexp(1.001, -24), of_norm = 2 * (double)(d + 6) * u * l->longest;
    const float slope = (float)(of_norm * 1.001), offset = (float)(of_norm * l->longest) + FLT_MIN * (float)(d + 6);
    double *x = cloud->row + s * d;
    float gap[ML__LLOYD_BLOCK];
    ml_status st = ML_OK;

    if (!b->n)
        return ML_OK;
    ML__TRY(ml__view_near(view));
    ml__kernels_rowwise()->f32.nearest(b->n, k, d, rows_of(l, s, view, b), d, l->CT, k, l->half, b->label, b->value,
                                       b->second);
    for (size_t r = 0; r < b->n; r++)
        b->norm[r] = view->norm[b->row[r] - view->first];
    find_gaps(b, slope, offset, gap);
    for (size_t r = 0; r < b->n; r++) {
        const size_t i = b->row[r];

        if (!(gap[r] > 0)) {
            ml__view_row(view, i, x);
            b->label[r] = (uint32_t)ml__nearest_exactly(k, d, l->C, x, l->distance + s * k);
        }
        l->gap[i] = gap[r];
        set_label(l, s, view, i, b->label[r]);
    }
    b->n = 0;
done:
    return st;
}

/* May row i have another nearest centre than before? Its gap, and so the next answer, follows the centres. */
static inline bool survives(const ml__lloyd *l, size_t i)
{
    static const float LEAST_GAP = 1e-6F; /* over unit: far above the rounding of distances in double */

    if (l->labels[i] == NO_LABEL)
        return true;
    l->gap[i] -= l->drift[l->labels[i]];
    return !(l->gap[i] > LEAST_GAP);
}

/* Rows of a stream are read only where one of them survives. */
static ml_status assign_view(const ml__lloyd *l, size_t s, ml__cloud_view *view, size_t begin)
{
    block b = {.n = 0};
    ml_status st = ML_OK;

    for (size_t i = begin; i < view->end; i++) {
        b.row[b.n] = i;
        b.n += survives(l, i);
        if (b.n == ML__LLOYD_BLOCK)
            ML__TRY(assign_block(l, s, view, &b));
    }
    ML__TRY(assign_block(l, s, view, &b));
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
    ml__cloud_view view;
    ml_status st;

    memset(changes_of(l, s), 0, l->stride * sizeof(int64_t));
    l->changed[s] = 0;
    ML__TRY(ml__view_open(&view, l->cloud, end));
    for (size_t i = begin; i < end; i = view.end) {
        ml__view_at(&view, i);
        ML__TRY(assign_view(l, s, &view, i));
        if (has_weights(l))
            ML__TRY(add_view(l, s, &view, i));
    }
done:
    ml__view_close(&view);
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
        for (size_t v = 0; v < n_sums + k; v++)
            l->total[v] += changes_of(l, s)[v];
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
              "k-means: the centres are beyond the range of the rows by 1e150 or more");
    ML__TRY(ml__parallel_for_cost(context, slots->n, ml__slots_rows(slots) * row_ns, assign_slot, l));
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

/* drift of a cluster: its own step and the longest of all others; it holds the own steps on entry. */
static void find_drifts(ml__lloyd *l)
{
    size_t longest = 0;
    float next = 0;

    for (size_t c = 1; c < l->k; c++) {
        next = fmaxf(next, fminf(l->drift[c], l->drift[longest]));
        longest = l->drift[c] > l->drift[longest] ? c : longest;
    }
    const float most = l->drift[longest];
    for (size_t c = 0; c < l->k; c++)
        l->drift[c] = (l->drift[c] + (c == longest ? next : most)) * 1.00001F + FLT_MIN;
}

ml_status ml__lloyd_update(ml__lloyd *l)
{
    ml_status st;

    ML__TRY(fill_empty_clusters(l));
    l->movement = 0;
    for (size_t c = 0; c < l->k; c++) {
        const double moved2 = move_centre(l, c);

        l->movement += moved2;
        l->drift[c] = (float)sqrt(moved2);
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
    ML__NEW(arena, l->drift, k);
    ML__NEW(arena, l->survivors, l->slots.n * ML__LLOYD_BLOCK * d);
    l->partial = ml__arena_take(arena, n_partial, sizeof(double));
    st = l->partial ? ML_OK : ML_E_MEMORY;
done:
    return st;
}

void ml__lloyd_reset(ml__lloyd *l)
{
    l->n_moved = 0;
    memset(l->total, 0, l->k * (l->cloud->d + 1) * sizeof *l->total);
    for (size_t i = 0; i < l->cloud->n; i++)
        l->labels[i] = NO_LABEL;
}
