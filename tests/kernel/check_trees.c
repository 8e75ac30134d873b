/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trees that make, compare and move columns of codes, against plain loops: every result to the last bit. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_CUTS = 256, BEHIND = ML__COLUMN_PADDING - 1 /* bytes behind a column that may be read */ };

/* Beyond the lengths that are all tried. */
static const size_t LARGE[] = {383, 384, 511, 512, 513, 1000, 4095, 4096, 4097, 20001};
enum { N_LARGE = sizeof LARGE / sizeof LARGE[0], N_SMALL = 301, N_LENGTHS = N_SMALL + N_LARGE };

static size_t length(size_t i)
{
    return i < N_SMALL ? i : LARGE[i - N_SMALL];
}

/* Columns of bytes with a fence behind what may be read. */
static uint8_t *random_bytes(size_t fence, size_t n, size_t n_values, uint64_t *state)
{
    uint8_t *bytes = check_fenced(fence, n + BEHIND, 1);

    for (size_t i = 0; i < n + BEHIND; i++)
        bytes[i] = (uint8_t)(check_random(state) % (i < n ? n_values : 256));
    return bytes;
}

/* ---- masks ---- */

typedef enum { HALF, FEW, MOST, NONE, ALL, ALTERNATING, FIRST_HALF, N_MASKS } mask_kind;

static uint64_t *random_mask(size_t fence, size_t n, mask_kind kind, uint64_t *state)
{
    uint64_t *mask = check_fenced(fence, (n + 63) / 64, sizeof *mask);

    memset(mask, 0, (n + 63) / 64 * sizeof *mask);
    for (size_t i = 0; i < n; i++) {
        const uint64_t draw = check_random(state) % 16;
        const bool bits[N_MASKS] = {draw < 8, draw == 0, draw != 0, false, true, i % 2, i < n / 2};

        mask[i / 64] |= (uint64_t)bits[kind] << (i % 64);
    }
    return mask;
}

static bool bit_of(const uint64_t *mask, size_t i)
{
    return mask[i / 64] >> (i % 64) & 1;
}

/* ---- encode ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

/* Ascending cuts without equal ones; returns how many. Zero is among them in one sign or the other. */
static size_t make_cuts(size_t n_cuts, float *cuts, uint64_t *state)
{
    const bool integers = check_random(state) % 2;
    size_t n = 0;

    for (size_t i = 0; i < n_cuts; i++)
        cuts[i] = integers ? (float)i - (float)(n_cuts / 2) : (float)check_uniform(state) * 100;
    if (n_cuts > 4)
        cuts[3] = check_random(state) % 2 ? 0.0f : -0.0f;
    qsort(cuts, n_cuts, sizeof *cuts, by_value);
    for (size_t i = 0; i < n_cuts; i++)
        if (!n || cuts[i] > cuts[n - 1])
            cuts[n++] = cuts[i];
    for (size_t i = n; i < N_CUTS; i++)
        cuts[i] = INFINITY;
    return n;
}

static float value_near_cuts(const float *cuts, size_t n_cuts, uint64_t *state)
{
    static const float SPECIAL[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 3.4e38f, -3.4e38f, 1e-45f, -1e-45f};
    const float cut = n_cuts ? cuts[check_random(state) % n_cuts] : 1;

    switch (check_random(state) % 5) {
    case 0:
        return SPECIAL[check_random(state) % (sizeof SPECIAL / sizeof SPECIAL[0])];
    case 1:
        return cut;
    case 2:
        return nextafterf(cut, INFINITY);
    case 3:
        return nextafterf(cut, -INFINITY);
    default:
        return (float)check_uniform(state) * 120;
    }
}

static void check_encode(const ml__kernels *table)
{
    static const size_t CUTS[] = {0, 1, 2, 3, 7, 8, 9, 16, 64, 127, 128, 254, 255};
    uint64_t state = 31;

    for (size_t i = 0; i < N_LENGTHS; i++) {
        const size_t n = length(i);
        float *x = check_fenced(0, n, sizeof *x), *cuts = check_fenced(1, N_CUTS, sizeof *cuts);
        const size_t n_cuts = make_cuts(CUTS[i % (sizeof CUTS / sizeof CUTS[0])], cuts, &state);
        uint8_t *code = check_fenced(2, n, 1);

        check_begin("%s tree_encode of %zu by %zu cuts", table->name, n, n_cuts);
        for (size_t p = 0; p < n; p++)
            x[p] = value_near_cuts(cuts, n_cuts, &state);
        table->tree.tree_encode(n, x, cuts, code);
        for (size_t p = 0; p < n; p++) {
            size_t below = 0;

            for (size_t c = 0; c < N_CUTS; c++)
                below += cuts[c] < x[p];
            check_that(code[p] == below, "code %zu of %.9g is %u, not %zu", p, (double)x[p], code[p], below);
        }
        check_fences();
        check_end();
    }
}

/* ---- compare, next, choose, sum ---- */

/* Cuts as ml__tree_coding has them: every 16th, then all. */
static void spread_cuts(size_t n_cuts, float *cuts, float *coding, uint64_t *state)
{
    (void)make_cuts(n_cuts, cuts, state);
    for (size_t c = 0; c < ML__CUT_STEP; c++)
        coding[c] = cuts[ML__CUT_STEP * c + ML__CUT_STEP - 1];
    memcpy(coding + ML__CUT_STEP, cuts, N_CUTS * sizeof *cuts);
}

static void check_encode_rows(const ml__kernels *table)
{
    static const size_t CUTS[] = {0, 1, 5, 16, 100, 254, 255};
    enum { D = 9, N_CODED = 7, STRIDE = 32, N_ROWS = 40 };
    static const uint32_t FEATURE[N_CODED] = {0, 1, 3, 4, 5, 7, 8};
    static const uint8_t RIGHT[N_CODED] = {0, 1, 3, 5, 6, 8, 10}, LEFT[N_CODED] = {12, 2, 4, 12, 7, 9, 11};
    uint64_t state = 37;

    for (size_t n = 0; n < N_ROWS; n++) {
        float *x = check_fenced(0, n * D, sizeof *x), *coding = check_fenced(1, N_CODED * ML__CODING_CUTS, sizeof *x);
        float cuts[N_CODED][N_CUTS];
        uint8_t *codes = check_fenced(2, n * STRIDE, 1);

        check_begin("%s tree_encode_rows of %zu", table->name, n);
        memset(codes, 200, n * STRIDE);
        for (size_t j = 0; j < N_CODED; j++)
            spread_cuts(CUTS[(n + j) % N_CODED], cuts[j], coding + j * ML__CODING_CUTS, &state);
        for (size_t p = 0; p < n * D; p++)
            x[p] = value_near_cuts(cuts[p % N_CODED], CUTS[(n + p) % N_CODED], &state);
        table->tree.tree_encode_rows(n, D, x, &(ml__tree_coding){N_CODED, FEATURE, coding, RIGHT, LEFT}, codes, STRIDE);
        for (size_t p = 0; p < n * N_CODED; p++) {
            const size_t j = p % N_CODED;
            const float value = x[p / N_CODED * D + FEATURE[j]];
            const uint8_t *row = codes + p / N_CODED * STRIDE;
            size_t below = 0;

            for (size_t c = 0; c < N_CUTS; c++)
                below += cuts[j][c] < value;
            check_that(row[RIGHT[j]] == (isnan(value) ? 255 : below) && (LEFT[j] == 12 || row[LEFT[j]] == below),
                       "codes of %.9g are %u and %u, not %zu", (double)value, row[RIGHT[j]], row[LEFT[j]], below);
        }
        for (size_t p = 0; p < n * (STRIDE - 13); p++)
            check_that(codes[p / (STRIDE - 13) * STRIDE + 13 + p % (STRIDE - 13)] == 200,
                       "a byte behind a row is changed");
        check_fences();
        check_end();
    }
}

static void check_compare(const ml__kernels *table)
{
    uint64_t state = 32;

    for (size_t i = 0; i < N_LENGTHS; i++) {
        const size_t n = length(i), n_codes = i % 3 ? 256 : 1 + i % 20;
        const uint32_t cuts[] = {0, (uint32_t)(check_random(&state) % n_codes), 127, 128, 254, 255};
        const uint8_t *code = random_bytes(0, n, n_codes, &state);

        for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
            uint64_t *left = check_fenced(1, (n + 63) / 64, sizeof *left);
            size_t n_left = 0, got;

            check_begin("%s tree_compare of %zu to %u", table->name, n, cuts[c]);
            got = table->tree.tree_compare(n, code, cuts[c], left);
            for (size_t p = 0; p < (n + 63) / 64 * 64; p++) {
                const bool want = p < n && code[p] <= cuts[c];

                n_left += want;
                check_that(bit_of(left, p) == want, "bit %zu is %d", p, !want);
            }
            check_that(got == n_left, "%zu bits, not %zu", got, n_left);
            check_fences();
            check_end();
        }
    }
}

static void check_next(const ml__kernels *table)
{
    uint64_t state = 39;

    for (size_t i = 0; i < 6 * N_LENGTHS; i++) {
        const size_t n = length(i / 6), n_codes = i % 3 ? 256 : 1 + i % 20;
        const uint32_t cut = i % 7 ? (uint32_t)(check_random(&state) % n_codes) : (uint32_t)(250 + i % 6);
        const uint8_t *code = random_bytes(0, n, n_codes, &state);
        uint32_t want = 255, got;

        check_begin("%s tree_next of %zu to %u", table->name, n, cut);
        for (size_t p = 0; p < n; p++)
            want = code[p] > cut && code[p] < want ? code[p] : want;
        got = table->tree.tree_next(n, code, cut);
        check_that(got == want, "%u, not %u", got, want);
        check_end();
    }
}

static void check_choose(const ml__kernels *table)
{
    uint64_t state = 33;

    for (size_t i = 0; i < N_LENGTHS; i++) {
        const size_t n = length(i);
        const mask_kind kind = (mask_kind)(i % N_MASKS);
        const uint8_t *from = random_bytes(0, n, 256, &state);
        const uint64_t *chosen = random_mask(1, n, kind, &state);
        size_t n_chosen = 0, got, at = 0;
        uint8_t *to;

        check_begin("%s tree_choose of %zu, mask %d", table->name, n, kind);
        for (size_t p = 0; p < n; p++)
            n_chosen += bit_of(chosen, p);
        to = check_fenced(2, n_chosen + 64, 1);
        got = table->tree.tree_choose(n, from, chosen, to);
        check_that(got == n_chosen, "%zu, not %zu", got, n_chosen);
        for (size_t p = 0; p < n; p++)
            if (bit_of(chosen, p)) {
                check_that(to[at] == from[p], "row %zu is %u, not %u", at, to[at], from[p]);
                at++;
            }
        check_fences();
        check_end();
    }
}

static void check_sum(const ml__kernels *table)
{
    uint64_t state = 34;

    for (size_t i = 0; i <= N_LENGTHS; i++) {
        const size_t n = i < N_LENGTHS ? length(i) : 1000003;
        uint8_t *weight = random_bytes(0, n, 256, &state);
        uint64_t want = 0, got;

        check_begin("%s tree_sum of %zu", table->name, n);
        if (i % 4 == 1 || n > 1000000)
            memset(weight, 255, n + BEHIND);
        for (size_t p = 0; p < n; p++)
            want += weight[p];
        got = table->tree.tree_sum(n, weight);
        check_that(got == want, "%llu, not %llu", (unsigned long long)got, (unsigned long long)want);
        check_end();
    }
}

/* ---- move ---- */

/* n rows of `size` bytes, those with a bit first. */
static void moved(size_t n, size_t size, const uint8_t *from, const uint64_t *left, uint8_t *to)
{
    for (int right = 0; right < 2; right++)
        for (size_t i = 0; i < n; i++)
            if (bit_of(left, i) != right) {
                memcpy(to, from + i * size, size);
                to += size;
            }
}

/* A node of n rows between those of others, in each of the columns. */
static void check_move_shape(const ml__kernels *table, size_t n, size_t n_columns, mask_kind kind, uint64_t *state)
{
    const size_t before = check_random(state) % 70, after = check_random(state) % 70, stride = before + n + after;
    const size_t n_bytes = (n_columns - 1) * stride + before + n;
    uint8_t *all = random_bytes(0, n_bytes, 256, state), *want = check_alloc(n_bytes + BEHIND, 1);
    const uint64_t *left = random_mask(1, n, kind, state);
    uint8_t *spare = check_fenced(2, n + ML__COLUMN_PADDING, 1);

    check_begin("%s tree_move of %zu in %zu columns, mask %d, %zu and %zu neighbours", table->name, n, n_columns, kind,
                before, after);
    memcpy(want, all, n_bytes + BEHIND);
    for (size_t j = 0; j < n_columns; j++)
        moved(n, 1, all + j * stride + before, left, want + j * stride + before);
    table->tree.tree_move(n, n_columns, all + before, stride, left, spare);
    for (size_t i = 0; i < n_bytes + BEHIND; i++)
        check_that(all[i] == want[i], "column %zu, row %lld is %u, not %u", i / stride,
                   (long long)(i % stride) - (long long)before, all[i], want[i]);
    check_fences();
    check_end();
    free(want);
}

static void check_move(const ml__kernels *table)
{
    uint64_t state = 35;

    for (size_t i = 1; i < N_LENGTHS; i++) {
        check_move_shape(table, length(i), 1, (mask_kind)(i % N_MASKS), &state);
        check_move_shape(table, length(i), 2 + i % 39, HALF, &state);
        check_move_shape(table, length(i), 1 + check_random(&state) % 40, (mask_kind)(check_random(&state) % N_MASKS),
                         &state);
    }
    for (size_t n_columns = 1; n_columns <= 40; n_columns++)
        for (int kind = 0; kind < N_MASKS; kind++)
            check_move_shape(table, 64, n_columns, (mask_kind)kind, &state);
}

static void check_move_ids(const ml__kernels *table)
{
    uint64_t state = 36;

    for (size_t i = 0; i < N_MASKS * N_LENGTHS; i++) {
        const size_t n = length(i / N_MASKS);
        const mask_kind kind = (mask_kind)(i % N_MASKS);
        uint32_t *ids = check_fenced(0, n, sizeof *ids), *spare = check_fenced(1, n + 16, sizeof *spare);
        uint32_t *want = check_alloc(n, sizeof *want);
        const uint64_t *left = random_mask(2, n, kind, &state);

        check_begin("%s tree_move_ids of %zu, mask %d", table->name, n, kind);
        for (size_t p = 0; p < n; p++)
            ids[p] = (uint32_t)check_random(&state);
        moved(n, sizeof *ids, (const uint8_t *)ids, left, (uint8_t *)want);
        table->tree.tree_move_ids(n, ids, left, spare);
        for (size_t p = 0; p < n; p++)
            check_that(ids[p] == want[p], "row %zu is %u, not %u", p, ids[p], want[p]);
        check_fences();
        check_end();
        free(want);
    }
}

/* ---- targets ---- */

/* Targets and some rows' numbers, weights from 1 to 255. Targets are multiples of half a unit in every other case: ties,
 * which go to even numbers. */
typedef struct {
    size_t n;
    const uint32_t *ids;
    const double *t;
    const uint8_t *weight;
    double centre, scale;
} targets;

static targets make_targets(size_t n, int scale_bits, bool halves, uint64_t *state)
{
    const size_t n_targets = 2 * n + 1;
    uint32_t *ids = check_fenced(0, n, sizeof *ids);
    double *t = check_fenced(1, n_targets, sizeof *t);
    uint8_t *weight = random_bytes(2, n, 255, state);

    for (size_t i = 0; i < n_targets; i++)
        t[i] = check_uniform(state);
    for (size_t i = 0; i < n_targets && halves; i++)
        t[i] = ldexp(rint(ldexp(t[i], 6)), -7);
    for (size_t i = 0; i < n; i++) {
        ids[i] = (uint32_t)(check_random(state) % n_targets);
        weight[i]++;
    }
    return (targets){n, ids, t, weight, halves ? 0 : check_uniform(state), halves ? 64 : ldexp(1, scale_bits)};
}

static int64_t product_of(const targets *a, size_t i)
{
    return (int64_t)rint((a->t[a->ids[i]] - a->centre) * a->scale) * a->weight[i];
}

static void check_products(const ml__kernels *table)
{
    uint64_t state = 37;

    for (size_t i = 0; i < 6 * (ML__SMALL_TARGETS + 1); i++) {
        const size_t n = i / 6;
        const targets a = make_targets(n, (int)(check_random(&state) % 17), i % 2, &state);
        int32_t *products = check_fenced(3, n, sizeof *products), *weights = check_fenced(4, n, sizeof *weights);
        int64_t want = 0, got;

        check_begin("%s tree_products of %zu, scale %g", table->name, n, a.scale);
        got = table->tree.tree_products(n, a.ids, a.t, a.weight, a.centre, a.scale, products, weights);
        for (size_t p = 0; p < n; p++) {
            want += product_of(&a, p);
            check_that(products[p] == product_of(&a, p), "product %zu is %d, not %lld", p, products[p],
                       (long long)product_of(&a, p));
            check_that(weights[p] == a.weight[p], "weight %zu is %d, not %u", p, weights[p], a.weight[p]);
        }
        check_that(got == want, "the sum is %lld, not %lld", (long long)got, (long long)want);
        check_fences();
        check_end();
    }
}

static void check_pack(const ml__kernels *table)
{
    uint64_t state = 38;

    for (size_t i = 0; i < 2 * N_LENGTHS; i++) {
        const size_t n = length(i / 2);
        const uint32_t shift = 8 + (uint32_t)(check_random(&state) % 17);
        const int bits = 61 - 2 * (int)shift;
        const targets a = make_targets(n, bits < 40 ? bits : 40, i % 2, &state);
        int64_t *packed = check_fenced(3, n, sizeof *packed), want = 0, got;

        check_begin("%s tree_pack of %zu, scale %g, shift %u", table->name, n, a.scale, shift);
        got = table->tree.tree_pack(n, a.ids, a.t, a.weight, a.centre, a.scale, shift, packed);
        for (size_t p = 0; p < n; p++) {
            const int64_t number = product_of(&a, p) * ((int64_t)1 << shift) + a.weight[p];

            want += product_of(&a, p);
            check_that(packed[p] == number, "number %zu is %lld, not %lld", p, (long long)packed[p], (long long)number);
        }
        check_that(got == want, "the sum is %lld, not %lld", (long long)got, (long long)want);
        check_fences();
        check_end();
    }
}

void check_trees(const ml__kernels *table)
{
    check_encode(table);
    check_encode_rows(table);
    check_compare(table);
    check_next(table);
    check_choose(table);
    check_sum(table);
    check_move(table);
    check_move_ids(table);
    check_products(table);
    check_pack(table);
}
