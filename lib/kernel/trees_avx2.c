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

#define VECTOR_BYTES 32
#include "kernel/trees_generic.h"
#include "kernel/trees_plain.h"

#include "kernel/trees_bmi2.h"

#undef LANES_ABOVE_f32
#undef LANES_ABOVE_f64
#undef LANES_FROM_f32
#undef LANES_FROM_f64
#undef WIDEN
#undef WIDEN_i32
#undef COMPARE_64
#undef COUNT_BELOW_16

#define LANES_ABOVE_f32(v, x) ((uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_set1_ps(x), _CMP_GT_OQ)))
#define LANES_ABOVE_f64(v, x) ((uint32_t)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)(v), _mm256_set1_pd(x), _CMP_GT_OQ)))
#define LANES_FROM_f32(v, x) ((uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_set1_ps(x), _CMP_GE_OQ)))
#define LANES_FROM_f64(v, x) ((uint32_t)_mm256_movemask_pd(_mm256_cmp_pd((__m256d)(v), _mm256_set1_pd(x), _CMP_GE_OQ)))
#define WIDEN(bytes, v) ((v) = (v_f32)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(bytes)))))
#define WIDEN_i32(bytes, v) ((v) = (v_i32)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(bytes))))
#define COMPARE_64(code, cut) compare_64(code, cut)
#define COUNT_BELOW_16(v, x) count_below_16(v, x)

static inline uint32_t count_below_16(const float *v, float x)
{
    const __m256 limit = _mm256_set1_ps(x);
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(v), limit, _CMP_LT_OQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(v + 8), limit, _CMP_LT_OQ));

    return (uint32_t)_mm_popcnt_u32((uint32_t)(low | high << 8));
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
#include "kernel/trees_columns_tmpl.h"
#include "kernel/trees_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
