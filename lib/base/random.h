/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as
 * 1, 2, 3"). A stream is (seed, stream number); every task has its own, so that order and threads do not matter.
 */
#ifndef ML__BASE_RANDOM_H
#define ML__BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct ml__rng {
    uint32_t key[2], counter[4], output[4];
    uint32_t n_left; /* of output */
} ml__rng;

ml__rng ml__rng_make(uint64_t seed, uint64_t stream);
uint32_t ml__rng_u32(ml__rng *rng);
uint64_t ml__rng_u64(ml__rng *rng);
uint64_t ml__rng_below(ml__rng *rng, uint64_t bound); /* uniform in [0, bound), unbiased; bound >= 1 */
double ml__rng_uniform(ml__rng *rng);                 /* [0, 1), 53 bits */
double ml__rng_normal(ml__rng *rng);
void ml__rng_shuffle(ml__rng *rng, size_t *items, size_t n);
/* Number `counter` of a stream of its own kind, for where a draw must cost little: SplitMix64 (Steele, Lea & Flood 2014,
 * "Fast splittable pseudorandom number generators"). */
static inline uint64_t ml__random_at(uint64_t key, uint64_t counter)
{
    uint64_t z = key + (counter + 1) * 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}
/* A seed derived from a seed and a label: for members, folds, trees. */
uint64_t ml__seed_mix(uint64_t seed, uint64_t label);

#endif
