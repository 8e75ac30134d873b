/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to codes of one byte, once per fit.
 *
 * Order       rows are put in the order of their classes, or targets, and stay in it within every node: a node knows the
 *             classes it has by their borders
 * Codes       a feature with at most max_bins different values has a code for each: nothing is lost. Otherwise
 *             neighbouring values share a code such that the codes have about equally many rows; a value that fills more
 *             than its share has a code of its own. Cuts lie halfway between two values of the data
 * Thresholds  where a node's rows leave a gap of several codes, the cut nearest to its middle is taken
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    RADIX_BITS = 11,
    N_RADIX = 1 << RADIX_BITS,
    BLOCK_ROWS = 256 /* of a transposition */
};

/* ---- order of rows ---- */

static ml_status order_by_class(ml__arena *scratch, const int32_t *y, size_t n, size_t K, ml__bins *bins)
{
    size_t *place, sum = 0;
    ml_status st = ML_OK;

    ML__NEW(scratch, place, K + 1);
    for (size_t i = 0; i < n; i++)
        place[y[i]]++;
    bins->n_first = place[0];
    for (size_t k = 0; k < K; k++) {
        const size_t count = place[k];
        place[k] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        bins->row[place[y[i]]++] = (uint32_t)i;
    ML__NEW(scratch, bins->label, n + ML__COLUMN_PADDING);
    for (size_t i = 0; i < n; i++)
        bins->label[i] = (uint8_t)y[bins->row[i]];
done:
    return st;
}

/* Targets become numbers in [-1, 1], t / 2^exponent: exactly, but for those that sink below the least number. */
static ml_status order_by_target(ml__arena *scratch, const double *t, size_t n, ml__bins *bins)
{
    uint64_t *keys, *other;
    ml_status st = ML_OK;

    ML__NEW(scratch, keys, n);
    ML__NEW(scratch, other, n);
    ML__NEW(scratch, bins->t, n);
    ml__order_reals(t, n, bins->row, keys, other);
    (void)frexp(fmax(fabs(t[bins->row[0]]), fabs(t[bins->row[n - 1]])), &bins->exponent);
    for (size_t i = 0; i < n; i++)
        bins->t[i] = ldexp(t[bins->row[i]], -bins->exponent);
done:
    return st;
}

/* ---- columns of values ---- */

typedef struct {
    const ml_dataset *dataset;
    ml__bins *bins;
    ml_context *context;
    float *columns; /* [d x n] in the order of the data */
    size_t max_bins;
} binning;

static ml_status transpose_block(void *argument, size_t block)
{
    const binning *b = argument;
    const size_t n = b->bins->n, d = b->bins->d, begin = block * BLOCK_ROWS;
    const size_t n_rows = n - begin < BLOCK_ROWS ? n - begin : BLOCK_ROWS;
    float *x;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, b->context);
    ML__NEW(&arena, x, n_rows * d);
    ML__TRY(ml__dataset_read(b->dataset, begin, n_rows, ML_FLOAT32, x));
    for (size_t j = 0; j < d; j++)
        for (size_t i = 0; i < n_rows; i++)
            b->columns[j * n + begin + i] = x[i * d + j];
done:
    ml__arena_free(&arena);
    return st;
}

/* ---- cuts of a feature ---- */

static float value_of(uint32_t bits)
{
    const uint32_t plain = bits >> 31 ? bits & 0x7fffffffu : ~bits;
    float x;

    memcpy(&x, &plain, sizeof x);
    return x;
}

/* Radix sort of numbers alone; the result is in `keys`. */
static void sort_numbers(uint32_t *keys, uint32_t *other, size_t n)
{
    uint32_t *from = keys, *to = other;

    for (uint32_t shift = 0; shift < 32; shift += RADIX_BITS) {
        uint32_t place[N_RADIX] = {0}, sum = 0, *swap;

        for (size_t i = 0; i < n; i++)
            place[(from[i] >> shift) & (N_RADIX - 1)]++;
        for (size_t digit = 0; digit < N_RADIX; digit++) {
            const uint32_t count = place[digit];
            place[digit] = sum;
            sum += count;
        }
        for (size_t i = 0; i < n; i++)
            to[place[(from[i] >> shift) & (N_RADIX - 1)]++] = from[i];
        swap = from;
        from = to;
        to = swap;
    }
    memcpy(keys, from, n * sizeof *keys);
}

/* Neighbouring values that share a code. */
typedef struct {
    uint32_t *lowest, *highest; /* [max_bins], as ordered bits */
    size_t n;
} groups;

/* One group per value; false when there are more than max_bins. */
static bool group_equal(const uint32_t *keys, size_t n, size_t max_bins, groups *g)
{
    g->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && keys[i] == keys[i - 1])
            continue;
        if (g->n == max_bins)
            return false;
        g->lowest[g->n] = g->highest[g->n] = keys[i];
        g->n++;
    }
    return true;
}

/* A group ends when it has its share of the rows that are left, or when the next value would fill one by itself. */
static void group_quantiles(const uint32_t *keys, size_t n, size_t max_bins, groups *g)
{
    size_t begin = 0;

    g->n = 0;
    for (size_t i = 0, next; i < n; i = next) {
        const size_t share = (n - begin) / (max_bins - g->n);

        for (next = i + 1; next < n && keys[next] == keys[i];)
            next++;
        if (begin < i && next - i > share && g->n + 2 < max_bins) { /* a large value begins a group of its own */
            g->lowest[g->n] = keys[begin];
            g->highest[g->n++] = keys[i - 1];
            begin = i;
        }
        if (next == n || (next - begin >= share && g->n + 1 < max_bins)) {
            g->lowest[g->n] = keys[begin];
            g->highest[g->n++] = keys[i];
            begin = next;
        }
    }
}

static ml_status bin_feature(void *argument, size_t j)
{
    const binning *b = argument;
    ml__bins *bins = b->bins;
    const size_t n = bins->n;
    const float *x = b->columns + j * n;
    float *cuts = bins->cuts + j * ML__MAX_CODES;
    uint32_t *keys, *other;
    uint8_t *code, *ordered = bins->code + j * bins->stride;
    groups g;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, b->context);
    ML__NEW(&arena, keys, n);
    ML__NEW(&arena, other, n);
    ML__NEW(&arena, code, n);
    ML__NEW(&arena, g.lowest, b->max_bins);
    ML__NEW(&arena, g.highest, b->max_bins);
    for (size_t i = 0; i < n; i++)
        keys[i] = ml__ordered_bits(x[i]);
    sort_numbers(keys, other, n);
    if (!group_equal(keys, n, b->max_bins, &g))
        group_quantiles(keys, n, b->max_bins, &g);
    bins->n_codes[j] = (uint32_t)g.n;
    for (size_t c = 0; c < g.n; c++) {
        bins->lowest[j * ML__MAX_CODES + c] = value_of(g.lowest[c]);
        bins->highest[j * ML__MAX_CODES + c] = value_of(g.highest[c]);
        cuts[c] = c + 1 < g.n ? ml__threshold_between(value_of(g.highest[c]), value_of(g.lowest[c + 1])) : INFINITY;
    }
    for (size_t c = g.n; c < ML__MAX_CODES; c++)
        cuts[c] = INFINITY;
    bins->kernels->tree_encode(n, x, cuts, code);
    for (size_t i = 0; i < n; i++)
        ordered[i] = code[bins->row[i]];
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml__bins_make(ml__arena *scratch, const ml_dataset *dataset, const ml__tree_data *data, size_t max_bins,
                        ml__bins *bins)
{
    const size_t n = data->n, d = data->d;
    binning b = {.dataset = dataset, .bins = bins, .context = scratch->context, .max_bins = max_bins};
    ml__arena columns;
    ml_status st = ML_OK;

    *bins = (ml__bins){.kernels = &ml__kernels_rowwise()->tree, .n = n, .d = d, .stride = n + ML__COLUMN_PADDING};
    ml__arena_init(&columns, scratch->context);
    ML__NEW(scratch, bins->row, n);
    ML__NEW(scratch, bins->code, d * bins->stride);
    ML__NEW(scratch, bins->n_codes, d);
    ML__NEW(scratch, bins->cuts, d * ML__MAX_CODES);
    ML__NEW(scratch, bins->lowest, d * ML__MAX_CODES);
    ML__NEW(scratch, bins->highest, d * ML__MAX_CODES);
    if (data->classify)
        ML__TRY(order_by_class(scratch, data->y, n, data->K, bins));
    else
        ML__TRY(order_by_target(scratch, data->t, n, bins));
    ML__NEW(&columns, b.columns, n * d);
    ML__TRY(ml__parallel_for_cost(scratch->context, (n + BLOCK_ROWS - 1) / BLOCK_ROWS, 0.5 * BLOCK_ROWS * (double)d,
                                  transpose_block, &b));
    ML__TRY(ml__parallel_for_cost(scratch->context, d, 10 * (double)n, bin_feature, &b));
done:
    ml__arena_free(&columns);
    return st;
}

float ml__bins_threshold(const ml__bins *bins, size_t j, uint32_t code, uint32_t next)
{
    const float *highest = bins->highest + j * ML__MAX_CODES;
    const float middle = ml__threshold_between(highest[code], bins->lowest[j * ML__MAX_CODES + next]);

    while (code + 1 < next && highest[code + 1] <= middle)
        code++;
    return bins->cuts[j * ML__MAX_CODES + code];
}
