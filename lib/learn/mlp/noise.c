/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random disturbances of training: masks of dropout, and noise on the features of a denoising autoencoder (Vincent et al.
 * 2008). Each number depends on seed, step, layer and place only.
 */
#include "learn/mlp/mlp.h"

enum { DROPPED_UNITS = 4, NOISE_OF_FEATURES = 5 };

/* 0 with probability `rate`, else 1 / (1 - rate); two values from each draw */
void ml__mlp_draw_mask(uint64_t seed, uint64_t step, size_t layer, double rate, size_t n, float *mask)
{
    const uint64_t key = ml__seed_mix(ml__seed_mix(ml__seed_mix(seed, DROPPED_UNITS), step), layer);
    const uint32_t limit = (uint32_t)(rate * 4294967296.0);
    const float kept = (float)(1 / (1 - rate));

    for (size_t i = 0; i < n; i++) {
        const uint32_t u = (uint32_t)(ml__random_at(key, i / 2) >> (i & 1 ? 32 : 0));

        mask[i] = u < limit ? 0 : kept;
    }
}

void ml__mlp_add_noise(uint64_t seed, uint64_t step, double deviation, size_t n, float *x)
{
    ml__rng rng = ml__rng_make(ml__seed_mix(seed, NOISE_OF_FEATURES), step);

    for (size_t i = 0; i < n; i++)
        x[i] += (float)(deviation * ml__rng_normal(&rng));
}
