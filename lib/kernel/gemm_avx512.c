/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with AVX-512 (F, DQ, VL): kernel/gemm_tmpl.h compiled for float and for double. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#include "kernel/nearest.h"
#include "kernel/syrk.h"

#ifdef __clang__
/* With both sanitizers' checks in every unrolled tile this file takes minutes to compile; GCC's build has them all. */
#pragma clang attribute push(__attribute__((no_sanitize("undefined"))), apply_to = function)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC push_options
/* Tuned so that the compiler keeps integers out of vector registers: moved back, they wait behind multiply-adds. */
#pragma GCC target("avx512f,avx512dq,avx512vl,fma,tune=haswell")
#endif

#include "kernel/transpose_avx512.h"

#define TALL_1 14
#define TALL_2 14
#define SYRK_TALL 8
#define ADAM_ROWS 12
#define NEAREST_COLUMNS 8

#define REAL float
#define NAME(f) f##_f32
#define PUBLIC(f) ml__##f##_f32_avx512
#define VECTOR __m512
#define LANES 16
#define PART __mmask16
#define PART_OF(n) ((__mmask16)(0xffffu >> (LANES - (n))))
#define KEEP_PART(part) __asm__ volatile("" : : "Yk"(part))
#define ZERO() _mm512_setzero_ps()
#define BROADCAST(x) _mm512_set1_ps(*(x))
#define LOAD(x) _mm512_loadu_ps(x)
#define LOAD_PART(x, part) _mm512_maskz_loadu_ps(part, x)
#define STORE(x, v) _mm512_storeu_ps(x, v)
#define STORE_PART(x, part, v) _mm512_mask_storeu_ps(x, part, v)
#define MULTIPLY(a, b) _mm512_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SUBTRACT_PRODUCT(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define MIN(a, b) _mm512_min_ps(a, b)
#define MAX(a, b) _mm512_max_ps(a, b)
#define CHOOSE_LESS(a, b, yes, no) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes)
#define NUMBER uint32_t
#define SQRT(a) _mm512_sqrt_ps(a)
#define WHERE_POSITIVE(h, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(h, _mm512_setzero_ps(), _CMP_GT_OQ), v)
#define FOUR(x) _mm512_broadcast_f32x4(_mm_loadu_ps(x))
#define ONE_OF(four, i) _mm512_permute_ps(four, (i)*0x55)
#define ROWS_AT_ONCE 8
#define GROUP 4

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

#include "kernel/gemm_undef.h"

#define REAL double
#define NAME(f) f##_f64
#define PUBLIC(f) ml__##f##_f64_avx512
#define VECTOR __m512d
#define LANES 8
#define PART __mmask8
#define PART_OF(n) ((__mmask8)(0xffu >> (LANES - (n))))
#define KEEP_PART(part) __asm__ volatile("" : : "Yk"(part))
#define ZERO() _mm512_setzero_pd()
#define BROADCAST(x) _mm512_set1_pd(*(x))
#define LOAD(x) _mm512_loadu_pd(x)
#define LOAD_PART(x, part) _mm512_maskz_loadu_pd(part, x)
#define STORE(x, v) _mm512_storeu_pd(x, v)
#define STORE_PART(x, part, v) _mm512_mask_storeu_pd(x, part, v)
#define MULTIPLY(a, b) _mm512_mul_pd(a, b)
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_pd(a, b, c)
#define SUBTRACT_PRODUCT(a, b, c) _mm512_fnmadd_pd(a, b, c)
#define MIN(a, b) _mm512_min_pd(a, b)
#define MAX(a, b) _mm512_max_pd(a, b)
#define CHOOSE_LESS(a, b, yes, no) _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), no, yes)
#define NUMBER uint64_t
#define SQRT(a) _mm512_sqrt_pd(a)
#define WHERE_POSITIVE(h, v) _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(h, _mm512_setzero_pd(), _CMP_GT_OQ), v)
#define ROWS_AT_ONCE 8
#define GROUP 2

#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

/* Weighted sums are in double for both. */

#define R double
#define SYRK_NAME(f) f##_f64
#define SYRK_PUBLIC ML__AVX512_F64(syrk_weighted)
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
#define SYRK_PUBLIC ML__AVX512_F32(syrk_weighted)
#define WIDE_PART __mmask8
#define WIDE_PART_OF(n) PART_OF(n)
#define WIDE_LOAD(x) _mm512_cvtps_pd(_mm256_loadu_ps(x))
#define WIDE_LOAD_PART(x, part) _mm512_cvtps_pd(_mm256_maskz_loadu_ps(part, x))

#include "kernel/syrk_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
