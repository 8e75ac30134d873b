/* SPDX-License-Identifier: Apache-2.0 */
/* Vector maths and reductions with AVX2 and FMA: the primitives of kernel/vector_tmpl.h. */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <immintrin.h>

#include "kernel/vector.h"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#include "kernel/transpose_avx2.h"

enum { LANES_f32 = 8, LANES_f64 = 4, GROUP_f32 = 4, GROUP_f64 = 2 };

/* ---- 8 floats ---- */

typedef __m256 vec_f32;
typedef __m256 mask_f32;

/* All bits set in the first n lanes, for n up to 8. */
INLINE __m256i first_f32(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vec_f32 set_f32(float a)
{
    return _mm256_set1_ps(a);
}

INLINE vec_f32 load_f32(const float *x)
{
    return _mm256_loadu_ps(x);
}

INLINE vec_f32 load_first_f32(const float *x, size_t n)
{
    return _mm256_maskload_ps(x, first_f32(n));
}

INLINE vec_f32 load_first_or_f32(const float *x, size_t n, float other)
{
    return _mm256_blendv_ps(set_f32(other), load_first_f32(x, n), _mm256_castsi256_ps(first_f32(n)));
}

INLINE void store_f32(float *y, vec_f32 v)
{
    _mm256_storeu_ps(y, v);
}

INLINE void store_first_f32(float *y, size_t n, vec_f32 v)
{
    _mm256_maskstore_ps(y, first_f32(n), v);
}

INLINE vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b)
{
    return _mm256_min_ps(a, b);
}

INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return _mm256_max_ps(a, b);
}

INLINE mask_f32 less_f32(vec_f32 a, vec_f32 b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

INLINE vec_f32 select_f32(mask_f32 which, vec_f32 yes, vec_f32 no)
{
    return _mm256_blendv_ps(no, yes, which);
}

INLINE vec_f32 zero_where_f32(mask_f32 which, vec_f32 v)
{
    return _mm256_andnot_ps(which, v);
}

INLINE bool all_within_f32(vec_f32 x, vec_f32 low, vec_f32 high)
{
    const vec_f32 above = _mm256_cmp_ps(x, low, _CMP_GE_OQ);

    return _mm256_movemask_ps(_mm256_and_ps(above, less_f32(x, high))) == 0xff;
}

INLINE vec_f32 abs_f32(vec_f32 x)
{
    return _mm256_andnot_ps(set_f32(-0.0f), x);
}

INLINE vec_f32 copy_sign_f32(vec_f32 magnitude, vec_f32 sign)
{
    return _mm256_or_ps(magnitude, _mm256_and_ps(sign, set_f32(-0.0f)));
}

/* 2^(n - bias) from the low bits of n + ROUND */
INLINE vec_f32 power_f32(vec_f32 rounded)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(rounded), 23));
}

/* In two halves: 2^n alone may be out of range. Only the second product can round. */
INLINE vec_f32 scale_f32(vec_f32 x, vec_f32 n)
{
    const vec_f32 magic = set_f32(ROUND_f32), rounded = fma_f32(n, set_f32(0.5f), magic);

    return x * power_f32(rounded) * power_f32(n - (rounded - magic) + magic);
}

/* By the bits: half a mantissa more carries into the exponent from 3/2 on. */
INLINE vec_f32 split_f32(vec_f32 x, vec_f32 *k)
{
    const __m256i one = _mm256_castps_si256(set_f32(1)), bits = _mm256_castps_si256(x);
    const __m256i half = _mm256_set1_epi32(1 << 22), integer = _mm256_castps_si256(set_f32(0x1p23f));
    const __m256i exponent = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 23);

    *k = _mm256_castsi256_ps(_mm256_or_si256(exponent, integer)) - set_f32(0x1p23f + 127);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_sub_epi32(bits, _mm256_slli_epi32(exponent, 23)), one));
}

INLINE float largest_lane_f32(vec_f32 v)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* ---- 4 doubles ---- */

typedef __m256d vec_f64;
typedef __m256d mask_f64;

/* All bits set in the first n lanes, for n up to 4. */
INLINE __m256i first_f64(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_set_epi64x(3, 2, 1, 0));
}

INLINE vec_f64 set_f64(double a)
{
    return _mm256_set1_pd(a);
}

INLINE vec_f64 load_f64(const double *x)
{
    return _mm256_loadu_pd(x);
}

INLINE vec_f64 load_first_f64(const double *x, size_t n)
{
    return _mm256_maskload_pd(x, first_f64(n));
}

INLINE vec_f64 load_first_or_f64(const double *x, size_t n, double other)
{
    return _mm256_blendv_pd(set_f64(other), load_first_f64(x, n), _mm256_castsi256_pd(first_f64(n)));
}

INLINE void store_f64(double *y, vec_f64 v)
{
    _mm256_storeu_pd(y, v);
}

INLINE void store_first_f64(double *y, size_t n, vec_f64 v)
{
    _mm256_maskstore_pd(y, first_f64(n), v);
}

INLINE vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return _mm256_fmadd_pd(a, b, c);
}

INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_min_pd(a, b);
}

INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_max_pd(a, b);
}

INLINE mask_f64 less_f64(vec_f64 a, vec_f64 b)
{
    return _mm256_cmp_pd(a, b, _CMP_LT_OQ);
}

INLINE vec_f64 select_f64(mask_f64 which, vec_f64 yes, vec_f64 no)
{
    return _mm256_blendv_pd(no, yes, which);
}

INLINE vec_f64 zero_where_f64(mask_f64 which, vec_f64 v)
{
    return _mm256_andnot_pd(which, v);
}

INLINE bool all_within_f64(vec_f64 x, vec_f64 low, vec_f64 high)
{
    const vec_f64 above = _mm256_cmp_pd(x, low, _CMP_GE_OQ);

    return _mm256_movemask_pd(_mm256_and_pd(above, less_f64(x, high))) == 0xf;
}

INLINE vec_f64 abs_f64(vec_f64 x)
{
    return _mm256_andnot_pd(set_f64(-0.0), x);
}

INLINE vec_f64 copy_sign_f64(vec_f64 magnitude, vec_f64 sign)
{
    return _mm256_or_pd(magnitude, _mm256_and_pd(sign, set_f64(-0.0)));
}

/* 2^(n - bias) from the low bits of n + ROUND */
INLINE vec_f64 power_f64(vec_f64 rounded)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(rounded), 52));
}

/* In two halves: 2^n alone may be out of range. Only the second product can round. */
INLINE vec_f64 scale_f64(vec_f64 x, vec_f64 n)
{
    const vec_f64 magic = set_f64(ROUND_f64), rounded = fma_f64(n, set_f64(0.5), magic);

    return x * power_f64(rounded) * power_f64(n - (rounded - magic) + magic);
}

/* By the bits: half a mantissa more carries into the exponent from 3/2 on. */
INLINE vec_f64 split_f64(vec_f64 x, vec_f64 *k)
{
    const __m256i one = _mm256_castpd_si256(set_f64(1)), bits = _mm256_castpd_si256(x);
    const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 51), integer = _mm256_castpd_si256(set_f64(0x1p52));
    const __m256i exponent = _mm256_srli_epi64(_mm256_add_epi64(bits, half), 52);

    *k = _mm256_castsi256_pd(_mm256_or_si256(exponent, integer)) - set_f64(0x1p52 + 1023);
    return _mm256_castsi256_pd(_mm256_add_epi64(_mm256_sub_epi64(bits, _mm256_slli_epi64(exponent, 52)), one));
}

/* 2^n of n + ROUND_16 */
INLINE vec_f64 sixteenths_f64(vec_f64 rounded)
{
    const __m256i n = _mm256_castpd_si256(rounded), which = _mm256_and_si256(n, _mm256_set1_epi64x(15));
    const __m256i roots = _mm256_i64gather_epi64((const long long *)ROOTS, which, 8);

    return _mm256_castsi256_pd(_mm256_add_epi64(roots, _mm256_slli_epi64(n, 48)));
}

INLINE double largest_lane_f64(vec_f64 v)
{
    const __m128d two = _mm_max_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));

    return _mm_cvtsd_f64(_mm_max_sd(two, _mm_unpackhi_pd(two, two)));
}

/* ---- sums in double ---- */

INLINE vec_f64 load_wide_f32(const float *x)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(x));
}

INLINE vec_f64 load_wide_first_f32(const float *x, size_t n)
{
    return _mm256_cvtps_pd(_mm_maskload_ps(x, _mm256_castsi256_si128(first_f32(n))));
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
    _mm_storeu_ps(y, _mm256_cvtpd_ps(v));
}

INLINE void store_narrow_f64(double *y, vec_f64 v)
{
    store_f64(y, v);
}

/* the first LANES_f64 lanes */
INLINE vec_f64 widen_f32(vec_f32 v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

INLINE vec_f64 widen_f64(vec_f64 v)
{
    return v;
}

/* s + all lanes of v in their order, lane j to lane j mod LANES_f64 */
INLINE vec_f64 add_wide_f32(vec_f64 s, vec_f32 v)
{
    return s + widen_f32(v) + _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

INLINE vec_f64 add_wide_f64(vec_f64 s, vec_f64 v)
{
    return s + v;
}

INLINE double add_lanes(vec_f64 v)
{
    const __m128d two = _mm256_castpd256_pd128(v) + _mm256_extractf128_pd(v, 1);

    return two[0] + two[1];
}

#define LOG_F64 ML__AVX2_F64(vlog)
#define SOFTMAX_F64 ML__AVX2_F64(softmax)

#define R double
#define NAME(name) name##_f64
#define PUBLIC(name) ML__AVX2_F64(name)
#include "kernel/vector_tmpl.h"
#undef R
#undef NAME
#undef PUBLIC

#define MIXTURE(name) ML__AVX2_F64(name)
#define MIXTURE_KEEP(v) __asm__("" : "+x"(v))
#define MIXTURE_TALL 4
#include "kernel/mixture_tmpl.h"

#define R float
#define NAME(name) name##_f32
#define PUBLIC(name) ML__AVX2_F32(name)
#include "kernel/vector_tmpl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
