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

#include "kernel/transpose_avx2.h"

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
#define FOUR(x) _mm256_broadcast_ps((const __m128 *)(const void *)(x))
#define ONE_OF(four, i) _mm256_permute_ps(four, (i)*0x55)
#define ROWS_AT_ONCE 8
#define GROUP 4

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

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

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

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
