/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of trees with AVX2 and BMI2. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt")
#endif

#include "kernel/trees_generic.h"
#include "kernel/trees_plain.h"

#include "kernel/trees_bmi2.h"

#undef ANY_ABOVE_f32
#undef ANY_ABOVE_f64
#undef WIDEN
#undef COMPARE_64

#define ANY_ABOVE_f32(v, x) above_f32(&(v), x)
#define ANY_ABOVE_f64(v, x) above_f64(&(v), x)
#define COMPARE_64(code, cut) compare_64(code, cut)
#define WIDEN(bytes, floats)                                                                        \
    do {                                                                                            \
        const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(bytes)))); \
        const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)((bytes) + 8)))); \
        memcpy(&(floats), &low, sizeof low);                                                        \
        memcpy((char *)&(floats) + sizeof low, &high, sizeof high);                                 \
    } while (0)

static inline bool above_f32(const f32x16 *v, float x)
{
    __m256 low, high;
    const __m256 limit = _mm256_set1_ps(x);

    memcpy(&low, v, sizeof low);
    memcpy(&high, (const char *)v + sizeof low, sizeof high);
    low = _mm256_cmp_ps(low, limit, _CMP_GT_OQ);
    high = _mm256_cmp_ps(high, limit, _CMP_GT_OQ);
    return _mm256_movemask_ps(_mm256_or_ps(low, high)) != 0;
}

static inline bool above_f64(const f64x8 *v, double x)
{
    __m256d low, high;
    const __m256d limit = _mm256_set1_pd(x);

    memcpy(&low, v, sizeof low);
    memcpy(&high, (const char *)v + sizeof low, sizeof high);
    low = _mm256_cmp_pd(low, limit, _CMP_GT_OQ);
    high = _mm256_cmp_pd(high, limit, _CMP_GT_OQ);
    return _mm256_movemask_pd(_mm256_or_pd(low, high)) != 0;
}

static inline uint64_t compare_64(const uint8_t *code, uint8_t cut)
{
    const __m256i limit = _mm256_set1_epi8((char)cut);
    const __m256i a = _mm256_loadu_si256((const void *)code), b = _mm256_loadu_si256((const void *)(code + 32));
    const uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(a, limit), a));
    const uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(b, limit), b));

    return low | (uint64_t)high << 32;
}

#define PUBLIC(name) ML__AVX2_TREE(name)
#include "kernel/trees_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
