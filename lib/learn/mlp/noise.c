/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random disturbances of training: masks of dropout, and noise on the features of a denoising autoencoder (Vincent et al.
 * 2008). Each number depends on seed, step, layer and place only.
 *
 * Uniform     two numbers of 32 bits from each draw; normal ones use 31 of them
 * Normal      by Box & Muller (1958), both numbers of a pair: sqrt(-2 ln u) cos(2 pi a) and the same with sin, u = (i + 1/2) / 2^31,
 *             a = j / 2^31 - 1/2. So |x| < 6.7, which normal numbers exceed once in 5e10; the sine is a polynomial, to 1e-7,
 *             the logarithm the kernels'
 */
#include "learn/mlp/mlp.h"

enum { DROPPED_UNITS = 4, NOISE_OF_FEATURES = 5 };
enum { PAIRS = 256, BLOCK = 2 * PAIRS }; /* numbers at a time, on the stack */

/* Block i of a stream, its first n numbers: the lower halves of PAIRS draws, then the upper ones. */
static void draw_block(uint64_t key, size_t i, size_t n, uint32_t u[BLOCK])
{
    const size_t n_pairs = n < PAIRS ? n : PAIRS;

    for (size_t j = 0; j < n_pairs; j++) {
        const uint64_t z = ml__random_at(key, i * PAIRS + j);

        u[j] = (uint32_t)z;
        u[PAIRS + j] = (uint32_t)(z >> 32);
    }
}

/* Each of n values becomes 0 with probability `rate`. */
static void blank(uint64_t key, double rate, size_t n, float *x)
{
    const uint32_t limit = (uint32_t)(rate * 4294967296.0);
    uint32_t u[BLOCK];

    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t c = n - i < BLOCK ? n - i : BLOCK;

        draw_block(key, i / BLOCK, c, u);
        for (size_t j = 0; j < c; j++)
            x[i + j] = u[j] < limit ? 0 : x[i + j];
    }
}

void ml__mlp_draw_mask(uint64_t seed, uint64_t step, size_t layer, double rate, size_t n, float *mask)
{
    const float kept = (float)(1 / (1 - rate));

    for (size_t i = 0; i < n; i++)
        mask[i] = kept;
    blank(ml__seed_mix(ml__seed_mix(ml__seed_mix(seed, DROPPED_UNITS), step), layer), rate, n, mask);
}

void ml__mlp_blank(uint64_t seed, uint64_t step, double rate, size_t n, float *x)
{
    blank(ml__seed_mix(ml__seed_mix(seed, NOISE_OF_FEATURES), step), rate, n, x);
}

/* sin(2 pi q) for |q| <= 1/4: its series up to q^11 */
static float sine(float q)
{
    const float z = q * 6.28318530717958648f, z2 = z * z;

    return z * (1 + z2 * (-1.0f / 6 +
                          z2 * (1.0f / 120 + z2 * (-1.0f / 5040 + z2 * (1.0f / 362880 + z2 * (-1.0f / 39916800))))));
}

/* A block has the cosines of its pairs, then the sines. */
static void add_block(const ml__kernels_f32 *k, const uint32_t *u, float deviation, size_t n, float *x)
{
    const size_t c = n < PAIRS ? n : PAIRS;
    float r[PAIRS], a[PAIRS];

    for (size_t j = 0; j < c; j++) {
        r[j] = ((float)(int32_t)(u[j] >> 1) + 0.5f) * 0x1p-31f;
        a[j] = (float)(int32_t)(u[PAIRS + j] >> 1) * 0x1p-31f - 0.5f;
    }
    k->vlog(c, r, r);
    for (size_t j = 0; j < c; j++) {
        r[j] = deviation * sqrtf(-2 * r[j]);
        x[j] += r[j] * sine(0.25f - fabsf(a[j]));
    }
    for (size_t j = 0; j < n - c; j++)
        x[c + j] += copysignf(r[j] * sine(0.25f - fabsf(fabsf(a[j]) - 0.25f)), a[j]);
}

void ml__mlp_add_noise(const ml__kernels_f32 *k, uint64_t seed, uint64_t step, double deviation, size_t n, float *x)
{
    const uint64_t key = ml__seed_mix(ml__seed_mix(seed, NOISE_OF_FEATURES), step);
    uint32_t u[BLOCK];

    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t c = n - i < BLOCK ? n - i : BLOCK;

        draw_block(key, i / BLOCK, c, u);
        add_block(k, u, (float)deviation, c, x + i);
    }
}
