/* SPDX-License-Identifier: Apache-2.0 */
/* Vector maths and reductions with AVX-512: the primitives of kernel/vector_tmpl.h. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#include "kernel/vector.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#include "kernel/transpose_avx512.h"

enum { LANES_f32 = 16, LANES_f64 = 8, GROUP_f32 = 4, GROUP_f64 = 2 };

/* ---- 16 floats ---- */

typedef __m512 vec_f32;
typedef __mmask16 mask_f32;

INLINE __mmask16 first_f32(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

INLINE vec_f32 set_f32(float a)
{
    return _mm512_set1_ps(a);
}

INLINE vec_f32 load_f32(const float *x)
{
    return _mm512_loadu_ps(x);
}

INLINE vec_f32 load_first_f32(const float *x, size_t n)
{
    return _mm512_maskz_loadu_ps(first_f32(n), x);
}

INLINE vec_f32 load_first_or_f32(const float *x, size_t n, float other)
{
    return _mm512_mask_loadu_ps(set_f32(other), first_f32(n), x);
}

INLINE void store_f32(float *y, vec_f32 v)
{
    _mm512_storeu_ps(y, v);
}

INLINE void store_first_f32(float *y, size_t n, vec_f32 v)
{
    _mm512_mask_storeu_ps(y, first_f32(n), v);
}

INLINE vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b)
{
    return _mm512_min_ps(a, b);
}

INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return _mm512_max_ps(a, b);
}

INLINE mask_f32 less_f32(vec_f32 a, vec_f32 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

INLINE vec_f32 select_f32(mask_f32 which, vec_f32 yes, vec_f32 no)
{
    return _mm512_mask_blend_ps(which, no, yes);
}

INLINE vec_f32 zero_where_f32(mask_f32 which, vec_f32 v)
{
    return _mm512_maskz_mov_ps((mask_f32)~which, v);
}

INLINE bool all_within_f32(vec_f32 x, vec_f32 low, vec_f32 high)
{
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(x, low, _CMP_GE_OQ), x, high, _CMP_LT_OQ) == 0xffff;
}

INLINE vec_f32 abs_f32(vec_f32 x)
{
    return _mm512_abs_ps(x);
}

INLINE vec_f32 copy_sign_f32(vec_f32 magnitude, vec_f32 sign)
{
    return _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

INLINE vec_f32 scale_f32(vec_f32 x, vec_f32 n)
{
    return _mm512_scalef_ps(x, n);
}

INLINE vec_f32 split_f32(vec_f32 x, vec_f32 *k)
{
    const vec_f32 m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src), e = _mm512_getexp_ps(x);

    *k = _mm512_mask_add_ps(e, less_f32(m, set_f32(1)), e, set_f32(1));
    return m;
}

INLINE float largest_lane_f32(vec_f32 v)
{
    return _mm512_reduce_max_ps(v);
}

/* ---- 8 doubles ---- */

typedef __m512d vec_f64;
typedef __mmask8 mask_f64;

INLINE __mmask8 first_f64(size_t n)
{
    return (__mmask8)((1u << n) - 1);
}

INLINE vec_f64 set_f64(double a)
{
    return _mm512_set1_pd(a);
}

INLINE vec_f64 load_f64(const double *x)
{
    return _mm512_loadu_pd(x);
}

INLINE vec_f64 load_first_f64(const double *x, size_t n)
{
    return _mm512_maskz_loadu_pd(first_f64(n), x);
}

INLINE vec_f64 load_first_or_f64(const double *x, size_t n, double other)
{
    return _mm512_mask_loadu_pd(set_f64(other), first_f64(n), x);
}

INLINE void store_f64(double *y, vec_f64 v)
{
    _mm512_storeu_pd(y, v);
}

INLINE void store_first_f64(double *y, size_t n, vec_f64 v)
{
    _mm512_mask_storeu_pd(y, first_f64(n), v);
}

INLINE vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return _mm512_fmadd_pd(a, b, c);
}

INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_min_pd(a, b);
}

INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_max_pd(a, b);
}

INLINE mask_f64 less_f64(vec_f64 a, vec_f64 b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}

INLINE vec_f64 select_f64(mask_f64 which, vec_f64 yes, vec_f64 no)
{
    return _mm512_mask_blend_pd(which, no, yes);
}

INLINE vec_f64 zero_where_f64(mask_f64 which, vec_f64 v)
{
    return _mm512_maskz_mov_pd((mask_f64)~which, v);
}

INLINE bool all_within_f64(vec_f64 x, vec_f64 low, vec_f64 high)
{
    return _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(x, low, _CMP_GE_OQ), x, high, _CMP_LT_OQ) == 0xff;
}

INLINE vec_f64 abs_f64(vec_f64 x)
{
    return _mm512_abs_pd(x);
}

INLINE vec_f64 copy_sign_f64(vec_f64 magnitude, vec_f64 sign)
{
    return _mm512_or_pd(magnitude, _mm512_and_pd(sign, _mm512_set1_pd(-0.0)));
}

INLINE vec_f64 scale_f64(vec_f64 x, vec_f64 n)
{
    return _mm512_scalef_pd(x, n);
}

INLINE vec_f64 split_f64(vec_f64 x, vec_f64 *k)
{
    const vec_f64 m = _mm512_getmant_pd(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src), e = _mm512_getexp_pd(x);

    *k = _mm512_mask_add_pd(e, less_f64(m, set_f64(1)), e, set_f64(1));
    return m;
}

/* 2^n of n + ROUND_16 */
INLINE vec_f64 sixteenths_f64(vec_f64 rounded)
{
    const __m512i n = _mm512_castpd_si512(rounded);
    const __m512i roots = _mm512_permutex2var_epi64(_mm512_load_si512(ROOTS), n, _mm512_load_si512(ROOTS + 8));

    return _mm512_castsi512_pd(_mm512_add_epi64(roots, _mm512_slli_epi64(n, 48)));
}

INLINE double largest_lane_f64(vec_f64 v)
{
    return _mm512_reduce_max_pd(v);
}

/* ---- sums in double ---- */

INLINE vec_f64 load_wide_f32(const float *x)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(x));
}

INLINE vec_f64 load_wide_first_f32(const float *x, size_t n)
{
    return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(first_f64(n), x));
}

INLINE vec_f64 load_wide_f64(const double *x)
{
    return load_f64(x);
}

INLINE vec_f64 load_wide_first_f64(const double *x, size_t n)
{
    return load_first_f64(x, n);
}

INLINE void store_narrow_f32(float *y, vec_f64 v)
{
    _mm256_storeu_ps(y, _mm512_cvtpd_ps(v));
}

INLINE void store_narrow_f64(double *y, vec_f64 v)
{
    store_f64(y, v);
}

/* the first LANES_f64 lanes */
INLINE vec_f64 widen_f32(vec_f32 v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

INLINE vec_f64 widen_f64(vec_f64 v)
{
    return v;
}

/* s + all lanes of v in their order, lane j to lane j mod LANES_f64 */
INLINE vec_f64 add_wide_f32(vec_f64 s, vec_f32 v)
{
    return s + widen_f32(v) + _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

INLINE vec_f64 add_wide_f64(vec_f64 s, vec_f64 v)
{
    return s + v;
}

INLINE double add_lanes(vec_f64 v)
{
    const __m256d four = _mm512_castpd512_pd256(v) + _mm512_extractf64x4_pd(v, 1);
    const __m128d two = _mm256_castpd256_pd128(four) + _mm256_extractf128_pd(four, 1);

    return two[0] + two[1];
}

#define LOG_F64 ML__AVX512_F64(vlog)
#define SOFTMAX_F64 ML__AVX512_F64(softmax)

#define R double
#define NAME(name) name##_f64
#define PUBLIC(name) ML__AVX512_F64(name)
#include "kernel/vector_tmpl.h"
#undef R
#undef NAME
#undef PUBLIC

#define MIXTURE(name) ML__AVX512_F64(name)
#define MIXTURE_KEEP(v) __asm__("" : "+v"(v))
#define MIXTURE_TALL 8
#include "kernel/mixture_tmpl.h"

#define R float
#define NAME(name) name##_f32
#define PUBLIC(name) ML__AVX512_F32(name)
#include "kernel/vector_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
