/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with AVX2 and FMA: kernel/gemm_tmpl.h compiled for float and for double. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#include "kernel/gemm.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define TALL_1 12
#define TALL_2 6

/* The first n lanes: the sign bits of a load that ends n elements after the ones. */
static const int32_t ONES_THEN_ZEROS[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

#define REAL float
#define NAME(f) f##_f32
#define PUBLIC(f) ml__##f##_f32_avx2
#define VECTOR __m256
#define LANES 8
#define PART __m256i
#define PART_OF(n) _mm256_loadu_si256((const __m256i *)(const void *)(ONES_THEN_ZEROS + LANES - (n)))
#define KEEP_PART(part) __asm__("" : "+x"(part))
#define ZERO() _mm256_setzero_ps()
#define BROADCAST(x) _mm256_broadcast_ss(x)
#define LOAD(x) _mm256_loadu_ps(x)
#define LOAD_PART(x, part) _mm256_maskload_ps(x, part)
#define STORE(x, v) _mm256_storeu_ps(x, v)
#define STORE_PART(x, part, v) _mm256_maskstore_ps(x, part, v)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
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
#include "kernel/gemm_undef.h"

#define REAL double
#define NAME(f) f##_f64
#define PUBLIC(f) ml__##f##_f64_avx2
#define VECTOR __m256d
#define LANES 4
#define PART __m256i
#define PART_OF(n) _mm256_loadu_si256((const __m256i *)(const void *)(ONES_THEN_ZEROS + 2 * (LANES - (n))))
#define KEEP_PART(part) __asm__("" : "+x"(part))
#define ZERO() _mm256_setzero_pd()
#define BROADCAST(x) _mm256_broadcast_sd(x)
#define LOAD(x) _mm256_loadu_pd(x)
#define LOAD_PART(x, part) _mm256_maskload_pd(x, part)
#define STORE(x, v) _mm256_storeu_pd(x, v)
#define STORE_PART(x, part, v) _mm256_maskstore_pd(x, part, v)
#define MULTIPLY(a, b) _mm256_mul_pd(a, b)
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_pd(a, b, c)
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

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
