/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with AVX2 and FMA: kernel/gemm_tmpl.h compiled for float and for double. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#include "kernel/nearest.h"
#include "kernel/syrk.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define TALL_1 12
#define TALL_2 6
#define SYRK_TALL 4
#define NEAREST_COLUMNS 4

/* The first n lanes: the sign bits of a load that ends n elements after the ones. */
static const int32_t ONES_THEN_ZEROS[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

#define REAL float
#define NAME(f) f##_f32
#define PUBLIC(f) ml__##f##_f32_avx2
#define VECTOR __m256
#define LANES 8
#define PART __m256i
#define PART_OF(n) _mm256_loadu_si256((const __m256i *)(const void *)(ONES_THEN_ZEROS + LANES - (n)))
#define KEEP_PART(part) __asm__ volatile("" : : "x"(part))
#define ZERO() _mm256_setzero_ps()
#define BROADCAST(x) _mm256_broadcast_ss(x)
#define LOAD(x) _mm256_loadu_ps(x)
#define LOAD_PART(x, part) _mm256_maskload_ps(x, part)
#define STORE(x, v) _mm256_storeu_ps(x, v)
#define STORE_PART(x, part, v) _mm256_maskstore_ps(x, part, v)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SUBTRACT_PRODUCT(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define MIN(a, b) _mm256_min_ps(a, b)
#define MAX(a, b) _mm256_max_ps(a, b)
#define CHOOSE_LESS(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ))
#define NUMBER uint32_t
#define SQRT(a) _mm256_sqrt_ps(a)
#define WHERE_POSITIVE(h, v) _mm256_and_ps(_mm256_cmp_ps(h, _mm256_setzero_ps(), _CMP_GT_OQ), v)
#define ROWS_AT_ONCE 8
#define GROUP 4

/* Rows r and r + 4 of four columns, one in each half. */
static inline __m256 halves_f32(const float *b, size_t ld)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(b)), _mm_loadu_ps(b + 4 * ld), 1);
}

/* T[p, j] = b[j, p] for 8 j and 4 p: 4 x 4 blocks are transposed within the halves. */
static inline void transpose_group_f32(const float *b, size_t ld, float *T, size_t ldt)
{
    const __m256 r0 = halves_f32(b, ld), r1 = halves_f32(b + ld, ld);
    const __m256 r2 = halves_f32(b + 2 * ld, ld), r3 = halves_f32(b + 3 * ld, ld);
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));

    _mm256_storeu_ps(T, _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23)));
    _mm256_storeu_ps(T + ldt, _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23)));
    _mm256_storeu_ps(T + 2 * ldt, _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23)));
    _mm256_storeu_ps(T + 3 * ldt, _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23)));
}

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"

#include "kernel/gemm_undef.h"

#define REAL double
#define NAME(f) f##_f64
#define PUBLIC(f) ml__##f##_f64_avx2
#define VECTOR __m256d
#define LANES 4
#define PART __m256i
#define PART_OF(n) _mm256_loadu_si256((const __m256i *)(const void *)(ONES_THEN_ZEROS + 2 * (LANES - (n))))
#define KEEP_PART(part) __asm__ volatile("" : : "x"(part))
#define ZERO() _mm256_setzero_pd()
#define BROADCAST(x) _mm256_broadcast_sd(x)
#define LOAD(x) _mm256_loadu_pd(x)
#define LOAD_PART(x, part) _mm256_maskload_pd(x, part)
#define STORE(x, v) _mm256_storeu_pd(x, v)
#define STORE_PART(x, part, v) _mm256_maskstore_pd(x, part, v)
#define MULTIPLY(a, b) _mm256_mul_pd(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_pd(a, b, c)
#define SUBTRACT_PRODUCT(a, b, c) _mm256_fnmadd_pd(a, b, c)
#define MIN(a, b) _mm256_min_pd(a, b)
#define MAX(a, b) _mm256_max_pd(a, b)
#define CHOOSE_LESS(a, b, yes, no) _mm256_blendv_pd(no, yes, _mm256_cmp_pd(a, b, _CMP_LT_OQ))
#define NUMBER uint64_t
#define SQRT(a) _mm256_sqrt_pd(a)
#define WHERE_POSITIVE(h, v) _mm256_and_pd(_mm256_cmp_pd(h, _mm256_setzero_pd(), _CMP_GT_OQ), v)
#define ROWS_AT_ONCE 4
#define GROUP 2

/* Rows r and r + 2 of two columns, one in each half. */
static inline __m256d halves_f64(const double *b, size_t ld)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(b)), _mm_loadu_pd(b + 2 * ld), 1);
}

/* T[p, j] = b[j, p] for 4 j and 2 p. */
static inline void transpose_group_f64(const double *b, size_t ld, double *T, size_t ldt)
{
    const __m256d r0 = halves_f64(b, ld), r1 = halves_f64(b + ld, ld);

    _mm256_storeu_pd(T, _mm256_unpacklo_pd(r0, r1));
    _mm256_storeu_pd(T + ldt, _mm256_unpackhi_pd(r0, r1));
}

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"

/* Weighted sums are in double for both. */

#define R double
#define SYRK_NAME(f) f##_f64
#define SYRK_PUBLIC ML__AVX2_F64(syrk_weighted)
#define WIDE_PART PART
#define WIDE_PART_OF(n) PART_OF(n)
#define WIDE_LOAD(x) LOAD(x)
#define WIDE_LOAD_PART(x, part) LOAD_PART(x, part)

#include "kernel/syrk_tmpl.h"

#undef R
#undef SYRK_NAME
#undef SYRK_PUBLIC
#undef WIDE_PART
#undef WIDE_PART_OF
#undef WIDE_LOAD
#undef WIDE_LOAD_PART

#define R float
#define SYRK_NAME(f) f##_f32
#define SYRK_PUBLIC ML__AVX2_F32(syrk_weighted)
#define WIDE_PART __m128i
#define WIDE_PART_OF(n) _mm_loadu_si128((const __m128i *)(const void *)(ONES_THEN_ZEROS + 8 - (n)))
#define WIDE_LOAD(x) _mm256_cvtps_pd(_mm_loadu_ps(x))
#define WIDE_LOAD_PART(x, part) _mm256_cvtps_pd(_mm_maskload_ps(x, part))

#include "kernel/syrk_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
