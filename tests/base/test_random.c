/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers: Philox4x32-10 against the known answers published with Random123, and the distributions of what is drawn
 * from it. All seeds are fixed; limits are five standard deviations of the statistic.
 */
#include "test.h"

#include <stdint.h>

#include "base/random.h"

static double chi_square(const size_t *counts, size_t n_cells, size_t n_draws)
{
    const double expected = (double)n_draws / (double)n_cells;
    double sum = 0;

    for (size_t i = 0; i < n_cells; i++)
        sum += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
    return sum;
}

static void check_uniform(const size_t *counts, size_t n_cells, size_t n_draws)
{
    const double freedom = (double)n_cells - 1, statistic = chi_square(counts, n_cells, n_draws);
    CHECK_MSG(fabs(statistic - freedom) < 5 * sqrt(2 * freedom) + 5, "chi-square %g with %g degrees of freedom",
              statistic, freedom);
}

TEST(random, philox_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], output[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ml__rng rng = {.n_left = 0};
        memcpy(rng.counter, known[i].counter, sizeof rng.counter);
        memcpy(rng.key, known[i].key, sizeof rng.key);
        for (size_t j = 0; j < 4; j++)
            CHECK(ml__rng_u32(&rng) == known[i].output[j]);
    }
}

TEST(random, blocks_are_counted_with_carry)
{
    ml__rng rng = ml__rng_make(1, 2), next = ml__rng_make(1, 2);

    rng.counter[0] = UINT32_MAX;
    next.counter[1] = 1;
    for (int i = 0; i < 4; i++)
        ml__rng_u32(&rng);
    for (int i = 0; i < 8; i++)
        CHECK(ml__rng_u32(&rng) == ml__rng_u32(&next));
}

/* Models that were trained with a seed must come out the same from the next version: these never change. The numbers were
 * computed by a program of its own from the definitions in random.c. */
TEST(random, streams_are_pinned)
{
    static const uint32_t words[] = {1743679276, 3847491788, 1820248629, 1433639123, 3856525632, 1611620758};
    static const uint64_t numbers[] = {423, 333, 897, 375, 561};
    static const size_t order[] = {6, 2, 1, 0, 4, 5, 7, 3};
    size_t items[] = {0, 1, 2, 3, 4, 5, 6, 7};
    ml__rng rng = ml__rng_make(42, 7);

    for (size_t i = 0; i < 6; i++)
        CHECK(ml__rng_u32(&rng) == words[i]);
    rng = ml__rng_make(0x123456789abcdef0, 0xfedcba9876543210);
    CHECK(ml__rng_u32(&rng) == 2427125188 && ml__rng_u32(&rng) == 759827859);
    rng = ml__rng_make(42, 7);
    CHECK(ml__rng_u64(&rng) == UINT64_C(16524851402832244524));
    for (size_t i = 0; i < 5; i++)
        CHECK(ml__rng_below(&rng, 1000) == numbers[i]);
    CHECK(ml__rng_uniform(&rng) == 0.14424112024112945);
    CHECK_CLOSE(ml__rng_normal(&rng), -0.8005119108886629, 1e-15);
    ml__rng_shuffle(&rng, items, 8);
    CHECK_SAME_BYTES(items, sizeof items, order, sizeof order);
    CHECK(ml__seed_mix(0, 0) == 0xa706dd2f4d197e6f && ml__seed_mix(42, 7) == 0xfe2f108189f83df6);
}

TEST(random, words_are_uniform_in_every_byte)
{
    static size_t counts[8][256];
    ml__rng rng = ml__rng_make(1, 1);

    memset(counts, 0, sizeof counts);
    for (int i = 0; i < 256000; i++) {
        const uint64_t word = ml__rng_u64(&rng);
        for (int byte = 0; byte < 8; byte++)
            counts[byte][word >> 8 * byte & 255]++;
    }
    for (int byte = 0; byte < 8; byte++)
        check_uniform(counts[byte], 256, 256000);
}

TEST(random, below_is_uniform)
{
    static const uint64_t bounds[] = {2, 3, 7, 10, 1000, 1023, 1024, 1025};
    size_t counts[1025];

    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
        ml__rng rng = ml__rng_make(2, b);
        memset(counts, 0, sizeof counts);
        for (int i = 0; i < 200000; i++) {
            const uint64_t number = ml__rng_below(&rng, bounds[b]);
            CHECK(number < bounds[b]);
            counts[number]++;
        }
        check_uniform(counts, bounds[b], 200000);
    }
}

/* Bounds of three quarters of the words: taking the remainder would give one half of the numbers twice as often. */
TEST(random, below_is_unbiased_for_large_bounds)
{
    static const uint64_t thirds[] = {1u << 30, UINT64_C(1) << 62, UINT64_C(1) << 31, UINT64_C(1) << 40};

    for (size_t t = 0; t < 4; t++) {
        ml__rng rng = ml__rng_make(3, t);
        size_t counts[3] = {0};
        for (int i = 0; i < 60000; i++)
            counts[ml__rng_below(&rng, 3 * thirds[t]) / thirds[t]]++;
        check_uniform(counts, 3, 60000);
    }
}

TEST(random, below_takes_every_bound)
{
    static const uint64_t bounds[] = {UINT32_MAX, (uint64_t)UINT32_MAX + 1, (uint64_t)UINT32_MAX + 2, UINT64_MAX};
    ml__rng rng = ml__rng_make(4, 0);

    for (int i = 0; i < 10; i++)
        CHECK(ml__rng_below(&rng, 1) == 0);
    for (size_t b = 0; b < 4; b++) {
        uint64_t largest = 0;
        for (int i = 0; i < 1000; i++) {
            const uint64_t number = ml__rng_below(&rng, bounds[b]);
            CHECK(number < bounds[b]);
            largest = number > largest ? number : largest;
        }
        CHECK(largest > bounds[b] / 100 * 97);
    }
}

TEST(random, uniform_has_its_range_moments_and_resolution)
{
    enum { N = 200000 };
    ml__rng rng = ml__rng_make(5, 0);
    double sum = 0, squares = 0;
    bool has_last_bit = false;

    for (int i = 0; i < N; i++) {
        const double u = ml__rng_uniform(&rng);
        CHECK(u >= 0 && u < 1);
        sum += u;
        squares += (u - 0.5) * (u - 0.5);
        has_last_bit |= fmod(u, 0x1p-52) != 0;
    }
    CHECK_CLOSE(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    CHECK_CLOSE(squares / N, 1.0 / 12, 5 * sqrt(1.0 / 180 / N));
    CHECK(has_last_bit);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

TEST(random, normal_has_its_moments_and_distribution)
{
    enum { N = 200000 };
    double *x = malloc(N * sizeof *x), m[5] = {0}, distance = 0;
    ml__rng rng = ml__rng_make(6, 0);

    for (int i = 0; i < N; i++) {
        x[i] = ml__rng_normal(&rng);
        CHECK(isfinite(x[i]));
        for (int k = 1; k < 5; k++)
            m[k] += pow(x[i], k) / N;
    }
    qsort(x, N, sizeof *x, by_value);
    for (int i = 0; i < N; i++) /* Kolmogorov-Smirnov */
        distance = fmax(distance, fabs(0.5 * erfc(-x[i] / sqrt(2)) - (i + 0.5) / N));
    free(x);
    CHECK_CLOSE(m[1], 0, 5 * sqrt(1.0 / N));
    CHECK_CLOSE(m[2], 1, 5 * sqrt(2.0 / N));
    CHECK_CLOSE(m[3], 0, 5 * sqrt(15.0 / N));
    CHECK_CLOSE(m[4], 3, 5 * sqrt(96.0 / N) / 3);
    CHECK(distance < 1.63 / sqrt(N)); /* 1 % */
}

TEST(random, streams_repeat_and_do_not_depend_on_each_other)
{
    enum { N = 20000 };
    double correlation[3] = {0};
    ml__rng a = ml__rng_make(7, 0), again = ml__rng_make(7, 0);
    ml__rng others[] = {ml__rng_make(7, 1), ml__rng_make(8, 0), ml__rng_make(7, UINT64_C(1) << 32)};

    for (int i = 0; i < N; i++) {
        const double u = ml__rng_uniform(&a);
        CHECK(u == ml__rng_uniform(&again));
        for (int o = 0; o < 3; o++)
            correlation[o] += 12 * (u - 0.5) * (ml__rng_uniform(&others[o]) - 0.5) / N;
    }
    for (int o = 0; o < 3; o++)
        CHECK_CLOSE(correlation[o], 0, 5 / sqrt(N));
}

static int by_word(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

TEST(random, neighbouring_streams_share_nothing)
{
    enum { N_STREAMS = 300, N_WORDS = 100 };
    static uint64_t words[N_STREAMS * N_WORDS];

    for (size_t s = 0; s < N_STREAMS; s++) {
        ml__rng rng = ml__rng_make(9, s);
        for (size_t i = 0; i < N_WORDS; i++)
            words[s * N_WORDS + i] = ml__rng_u64(&rng);
    }
    qsort(words, N_STREAMS * N_WORDS, sizeof words[0], by_word);
    for (size_t i = 1; i < N_STREAMS * N_WORDS; i++)
        CHECK(words[i] != words[i - 1]);
}

TEST(random, shuffle_gives_a_permutation)
{
    enum { N = 1000 };
    size_t items[N], n_seen[N] = {0}, n_at_home = 0;
    ml__rng rng = ml__rng_make(10, 0);

    for (size_t i = 0; i < N; i++)
        items[i] = i;
    ml__rng_shuffle(&rng, items, N);
    for (size_t i = 0; i < N; i++) {
        n_seen[items[i]]++;
        n_at_home += items[i] == i;
    }
    for (size_t i = 0; i < N; i++)
        CHECK(n_seen[i] == 1);
    CHECK(n_at_home < 10);
}

TEST(random, shuffle_gives_all_permutations_equally_often)
{
    size_t counts[120] = {0};
    ml__rng rng = ml__rng_make(11, 0);

    for (int draw = 0; draw < 60000; draw++) {
        size_t items[5] = {0, 1, 2, 3, 4}, rank = 0;
        ml__rng_shuffle(&rng, items, 5);
        for (size_t i = 0; i < 5; i++) { /* Lehmer code */
            size_t n_smaller = 0;
            for (size_t j = i + 1; j < 5; j++)
                n_smaller += items[j] < items[i];
            rank = rank * (5 - i) + n_smaller;
        }
        counts[rank]++;
    }
    check_uniform(counts, 120, 60000);
}

TEST(random, shuffle_of_nothing_or_one_draws_nothing)
{
    size_t items[] = {5};
    ml__rng rng = ml__rng_make(12, 0), same = rng;

    ml__rng_shuffle(&rng, items, 0);
    ml__rng_shuffle(&rng, items, 1);
    CHECK(items[0] == 5 && ml__rng_u64(&rng) == ml__rng_u64(&same));
}

TEST(random, mixed_seeds_are_distinct_and_unlike)
{
    enum { N_SIDE = 100 };
    static uint64_t seeds[N_SIDE * N_SIDE];
    double n_flipped = 0;

    for (size_t s = 0; s < N_SIDE; s++)
        for (size_t l = 0; l < N_SIDE; l++)
            seeds[s * N_SIDE + l] = ml__seed_mix(s, l);
    for (size_t i = 1; i < N_SIDE * N_SIDE; i++)
        for (uint64_t changed = seeds[i] ^ seeds[i - 1]; changed; changed &= changed - 1)
            n_flipped++;
    CHECK_CLOSE(n_flipped / (N_SIDE * N_SIDE - 1), 32, 0.02); /* of 64 bits half */
    qsort(seeds, N_SIDE * N_SIDE, sizeof seeds[0], by_word);
    for (size_t i = 1; i < N_SIDE * N_SIDE; i++)
        CHECK(seeds[i] != seeds[i - 1]);
    CHECK(ml__seed_mix(ml__seed_mix(1, 2), 3) != ml__seed_mix(ml__seed_mix(1, 3), 2));
}
