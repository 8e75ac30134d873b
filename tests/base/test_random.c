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
    CHECK_MSG(fabs(statistic - freedom) < 5 * sqrt(2 * freedom) + 5, "chi-square %g with %g degrees of freedom", statistic,
              freedom);
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

/* Models that were trained with a seed must come out the same from the next version: these never change. */
TEST(random, streams_are_pinned)
{
    ml__rng rng = ml__rng_make(42, 7);

    CHECK_MSG(ml__rng_u32(&rng) == PIN_U32, "%u", (ml__rng_make(42, 7), ml__rng_u32(&(ml__rng){0})));
}
