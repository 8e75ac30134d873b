/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Philox4x32-10 and what is drawn from it.
 *
 * Block       output = ten rounds over a 128-bit counter with a 64-bit key (Salmon et al. 2011, section 3.3)
 *             round: (c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)),
 *             then k0 += W0, k1 += W1
 * Streams     key = seed; counter words 2 and 3 = stream, words 0 and 1 count blocks: 2^66 numbers per stream
 */
#include "base/random.h"

#include <math.h>

enum { N_ROUNDS = 10 };

static const uint32_t M0 = 0xD2511F53, M1 = 0xCD9E8D57; /* multipliers */
static const uint32_t W0 = 0x9E3779B9, W1 = 0xBB67AE85; /* Weyl increments of the key */

static void next_block(ml__rng *rng)
{
    uint32_t c0 = rng->counter[0], c1 = rng->counter[1], c2 = rng->counter[2], c3 = rng->counter[3];
    uint32_t k0 = rng->key[0], k1 = rng->key[1];

    for (int round = 0; round < N_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += W0;
        k1 += W1;
    }
    rng->output[0] = c0;
    rng->output[1] = c1;
    rng->output[2] = c2;
    rng->output[3] = c3;
    rng->n_left = 4;
    if (++rng->counter[0] == 0)
        rng->counter[1]++;
}

ml__rng ml__rng_make(uint64_t seed, uint64_t stream)
{
    return (ml__rng){
        .key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
        .counter = {0, 0, (uint32_t)stream, (uint32_t)(stream >> 32)},
    };
}

uint32_t ml__rng_u32(ml__rng *rng)
{
    if (!rng->n_left)
        next_block(rng);
    return rng->output[4 - rng->n_left--];
}

uint64_t ml__rng_u64(ml__rng *rng)
{
    const uint64_t low = ml__rng_u32(rng);
    return low | (uint64_t)ml__rng_u32(rng) << 32;
}

/* Lemire 2019, "Fast random integer generation in an interval", algorithm 5 with 32-bit words: of x * bound the high word
 * is the number; the 2^32 mod bound lowest low words are rejected, so that every number has equally many x. */
static uint32_t below_u32(ml__rng *rng, uint32_t bound)
{
    uint64_t product = (uint64_t)ml__rng_u32(rng) * bound;

    if ((uint32_t)product < bound) {
        const uint32_t n_rejected = (0u - bound) % bound;
        while ((uint32_t)product < n_rejected)
            product = (uint64_t)ml__rng_u32(rng) * bound;
    }
    return (uint32_t)(product >> 32);
}

uint64_t ml__rng_below(ml__rng *rng, uint64_t bound)
{
    uint64_t mask = bound - 1, number;

    if (bound <= UINT32_MAX)
        return below_u32(rng, (uint32_t)bound);
    for (unsigned shift = 1; shift < 64; shift *= 2)
        mask |= mask >> shift;
    do /* as many bits as the largest number has: more than half of all tries hit */
        number = ml__rng_u64(rng) & mask;
    while (number >= bound);
    return number;
}

double ml__rng_uniform(ml__rng *rng)
{
    return (double)(ml__rng_u64(rng) >> 11) * 0x1p-53;
}

/* Box & Muller 1958; the second number is dropped, so that a draw depends on nothing but its place in the stream. */
double ml__rng_normal(ml__rng *rng)
{
    const double two_pi = 6.283185307179586476925;
    const double radius = sqrt(-2 * log(1 - ml__rng_uniform(rng))); /* 1 - u is never 0 */
    return radius * cos(two_pi * ml__rng_uniform(rng));
}

void ml__rng_shuffle(ml__rng *rng, size_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        const size_t j = (size_t)ml__rng_below(rng, i), item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

/* Finaliser of SplitMix64 (Steele, Lea & Flood 2014): one to one, every input bit reaches every output bit. */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

uint64_t ml__seed_mix(uint64_t seed, uint64_t label)
{
    const uint64_t golden = 0x9E3779B97F4A7C15u;
    return scramble(scramble(seed + golden) + label + golden);
}
