/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values to ranks. Trees compare values of one feature only, so each is replaced by its rank among the distinct values of
 * its feature: whole numbers that are sorted fast, and equal exactly when the values are.
 *
 * Sorting is by digits from the lowest (LSD radix sort) over keys "number << 32 | row": floats become numbers of the
 * same order by flipping the sign bit of positive and all bits of negative ones.
 */
#include <string.h>

#include "learn/tree/tree.h"

enum {
    DIGIT_BITS = 8, /* counters of one digit fit in 2 KiB */
    N_DIGITS = 1 << DIGIT_BITS,
    INSERTION_LIMIT = 32 /* below, clearing the counters costs more than moving the keys */
};

static void insertion_sort(uint64_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        size_t at = i;
        for (; at && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* One pass; false when all keys have the same digit and nothing was moved. */
static bool sort_by_digit(const uint64_t *from, uint64_t *to, size_t n, uint32_t shift)
{
    size_t place[N_DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        place[(from[i] >> shift) & (N_DIGITS - 1)]++;
    if (place[(from[0] >> shift) & (N_DIGITS - 1)] == n)
        return false;
    for (size_t digit = 0; digit < N_DIGITS; digit++) {
        const size_t count = place[digit];
        place[digit] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[place[(from[i] >> shift) & (N_DIGITS - 1)]++] = from[i];
    return true;
}

void ml__sort_keys(uint64_t *keys, uint64_t *other, size_t n, uint32_t n_bits)
{
    uint64_t *from = keys, *to = other;

    if (n <= INSERTION_LIMIT) {
        insertion_sort(keys, n);
        return;
    }
    for (uint32_t bit = 0; bit < n_bits; bit += DIGIT_BITS)
        if (sort_by_digit(from, to, n, 32 + bit)) {
            uint64_t *swap = from;
            from = to;
            to = swap;
        }
    if (from != keys)
        memcpy(keys, from, n * sizeof *keys);
}

uint32_t ml__ordered_bits(float x)
{
    const float value = x == 0 ? 0 : x; /* -0 too */
    uint32_t bits;

    if (isnan(x))
        return UINT32_MAX;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* Bits of a double in the order of the numbers. */
static uint64_t ordered_double(double x)
{
    const double value = x == 0 ? 0 : x; /* -0 too */
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

/* By the lower half of the bits, then by the upper one. */
void ml__order_reals(const double *t, size_t n, uint32_t *row, uint64_t *keys, uint64_t *other)
{
    for (size_t i = 0; i < n; i++)
        keys[i] = ordered_double(t[i]) << 32 | i;
    ml__sort_keys(keys, other, n, 32);
    for (size_t i = 0; i < n; i++) {
        row[i] = (uint32_t)keys[i];
        other[i] = (ordered_double(t[row[i]]) >> 32) << 32 | i;
    }
    ml__sort_keys(other, keys, n, 32);
    for (size_t i = 0; i < n; i++)
        keys[i] = row[(uint32_t)other[i]];
    for (size_t i = 0; i < n; i++)
        row[i] = (uint32_t)keys[i];
}

typedef struct {
    const float *X;
    ml_context *context;
    ml__codes *codes;
} coding;

/* Some 13 ns per row. */
static ml_status code_feature(void *argument, size_t j)
{
    const coding *c = argument;
    const size_t n = c->codes->n, d = c->codes->d;
    uint32_t *code = c->codes->code + j * n, rank = 0;
    uint64_t *keys, *other;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, c->context);
    ML__NEW(&arena, keys, n);
    ML__NEW(&arena, other, n);
    for (size_t i = 0; i < n; i++)
        keys[i] = (uint64_t)ml__ordered_bits(c->X[i * d + j]) << 32 | i;
    ml__sort_keys(keys, other, n, 32);
    for (size_t i = 0; i < n; i++) {
        if (i && keys[i] >> 32 != keys[i - 1] >> 32)
            rank++;
        code[(uint32_t)keys[i]] = rank;
    }
    c->codes->missing[j] = keys[n - 1] >> 32 == UINT32_MAX ? rank : UINT32_MAX;
    for (c->codes->n_bits[j] = 0; rank; rank >>= 1)
        c->codes->n_bits[j]++;
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml__codes_of(ml__arena *arena, const float *X, size_t n, size_t d, ml__codes *out)
{
    coding c = {X, arena->context, out};
    ml_status st;

    *out = (ml__codes){.n = n, .d = d};
    ML__CHECK(n <= (size_t)1 << 30, ML_E_LIMIT, "%zu rows, trees take at most 2^30", n);
    ML__NEW(arena, out->code, n * d);
    ML__NEW(arena, out->n_bits, d);
    ML__NEW(arena, out->missing, d);
    ML__TRY(ml__parallel_for_cost(arena->context, d, 13 * (double)n, code_feature, &c));
done:
    return st;
}
