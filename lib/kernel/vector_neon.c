/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector maths and reductions with NEON (Advanced SIMD of AArch64, which every processor of that kind has): the primitives
 * of kernel/vector_tmpl.h. Vectors have no masks: the first n lanes are loaded and stored one by one.
 */
#include "kernel/tables.h"

#ifdef ML__NEON_KERNELS

#include "kernel/transpose_neon.h"
#include "kernel/vector.h"

enum { LANES_f32 = 4, LANES_f64 = 2, GROUP_f32 = 4, GROUP_f64 = 2 };

/* ---- 4 floats ---- */

typedef float32x4_t vec_f32;
typedef uint32x4_t mask_f32;

INLINE vec_f32 set_f32(float a)
{
    return vdupq_n_f32(a);
}

INLINE vec_f32 load_f32(const float *x)
{
    return vld1q_f32(x);
}

INLINE vec_f32 load_first_or_f32(const float *x, size_t n, float other)
{
    vec_f32 v = set_f32(other);

    if (n >= 4)
        return load_f32(x);
    if (n > 0)
        v = vld1q_lane_f32(x, v, 0);
    if (n > 1)
        v = vld1q_lane_f32(x + 1, v, 1);
    if (n > 2)
        v = vld1q_lane_f32(x + 2, v, 2);
    return v;
}

INLINE vec_f32 load_first_f32(const float *x, size_t n)
{
    return load_first_or_f32(x, n, 0);
}

INLINE void store_f32(float *y, vec_f32 v)
{
    vst1q_f32(y, v);
}

INLINE void store_first_f32(float *y, size_t n, vec_f32 v)
{
    if (n >= 4) {
        store_f32(y, v);
        return;
    }
    if (n > 0)
        vst1q_lane_f32(y, v, 0);
    if (n > 1)
        vst1q_lane_f32(y + 1, v, 1);
    if (n > 2)
        vst1q_lane_f32(y + 2, v, 2);
}

INLINE vec_f32 fma_f32(vec_f32 a, vec_f32 b, vec_f32 c)
{
    return vfmaq_f32(c, a, b);
}

INLINE mask_f32 less_f32(vec_f32 a, vec_f32 b)
{
    return vcltq_f32(a, b);
}

INLINE vec_f32 select_f32(mask_f32 which, vec_f32 yes, vec_f32 no)
{
    return vbslq_f32(which, yes, no);
}

/* b where either is NaN, as on x86: not what the instructions for it do. */
INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b)
{
    return select_f32(less_f32(a, b), a, b);
}

INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b)
{
    return select_f32(less_f32(b, a), a, b);
}

INLINE vec_f32 zero_where_f32(mask_f32 which, vec_f32 v)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v), which));
}

INLINE bool all_within_f32(vec_f32 x, vec_f32 low, vec_f32 high)
{
    return vminvq_u32(vandq_u32(vcgeq_f32(x, low), vcltq_f32(x, high))) != 0;
}

INLINE vec_f32 abs_f32(vec_f32 x)
{
    return vabsq_f32(x);
}

INLINE vec_f32 copy_sign_f32(vec_f32 magnitude, vec_f32 sign)
{
    return vbslq_f32(vdupq_n_u32(UINT32_C(1) << 31), sign, magnitude);
}

/* 2^(n - bias) from the low bits of n + ROUND */
INLINE vec_f32 power_f32(vec_f32 rounded)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(rounded), 23));
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
    const uint32x4_t one = vreinterpretq_u32_f32(set_f32(1)), bits = vreinterpretq_u32_f32(x);
    const uint32x4_t exponent = vshrq_n_u32(vaddq_u32(bits, vdupq_n_u32(1 << 22)), 23);

    *k = vcvtq_f32_u32(exponent) - set_f32(127);
    return vreinterpretq_f32_u32(vaddq_u32(vsubq_u32(bits, vshlq_n_u32(exponent, 23)), one));
}

INLINE float largest_lane_f32(vec_f32 v)
{
    return vmaxvq_f32(v);
}

/* ---- 2 doubles ---- */

typedef float64x2_t vec_f64;
typedef uint64x2_t mask_f64;

INLINE vec_f64 set_f64(double a)
{
    return vdupq_n_f64(a);
}

INLINE vec_f64 load_f64(const double *x)
{
    return vld1q_f64(x);
}

INLINE vec_f64 load_first_or_f64(const double *x, size_t n, double other)
{
    if (n >= 2)
        return load_f64(x);
    return n > 0 ? vld1q_lane_f64(x, set_f64(other), 0) : set_f64(other);
}

INLINE vec_f64 load_first_f64(const double *x, size_t n)
{
    return load_first_or_f64(x, n, 0);
}

INLINE void store_f64(double *y, vec_f64 v)
{
    vst1q_f64(y, v);
}

INLINE void store_first_f64(double *y, size_t n, vec_f64 v)
{
    if (n >= 2)
        store_f64(y, v);
    else if (n > 0)
        vst1q_lane_f64(y, v, 0);
}

INLINE vec_f64 fma_f64(vec_f64 a, vec_f64 b, vec_f64 c)
{
    return vfmaq_f64(c, a, b);
}

INLINE mask_f64 less_f64(vec_f64 a, vec_f64 b)
{
    return vcltq_f64(a, b);
}

INLINE vec_f64 select_f64(mask_f64 which, vec_f64 yes, vec_f64 no)
{
    return vbslq_f64(which, yes, no);
}

/* b where either is NaN, as above */
INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b)
{
    return select_f64(less_f64(a, b), a, b);
}

INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b)
{
    return select_f64(less_f64(b, a), a, b);
}

INLINE vec_f64 zero_where_f64(mask_f64 which, vec_f64 v)
{
    return vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(v), which));
}

INLINE bool all_within_f64(vec_f64 x, vec_f64 low, vec_f64 high)
{
    return vminvq_u32(vreinterpretq_u32_u64(vandq_u64(vcgeq_f64(x, low), vcltq_f64(x, high)))) != 0;
}

INLINE vec_f64 abs_f64(vec_f64 x)
{
    return vabsq_f64(x);
}

INLINE vec_f64 copy_sign_f64(vec_f64 magnitude, vec_f64 sign)
{
    return vbslq_f64(vdupq_n_u64(UINT64_C(1) << 63), sign, magnitude);
}

/* 2^(n - bias) from the low bits of n + ROUND */
INLINE vec_f64 power_f64(vec_f64 rounded)
{
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(rounded), 52));
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
    const uint64x2_t one = vreinterpretq_u64_f64(set_f64(1)), bits = vreinterpretq_u64_f64(x);
    const uint64x2_t exponent = vshrq_n_u64(vaddq_u64(bits, vdupq_n_u64(UINT64_C(1) << 51)), 52);

    *k = vcvtq_f64_u64(exponent) - set_f64(1023);
    return vreinterpretq_f64_u64(vaddq_u64(vsubq_u64(bits, vshlq_n_u64(exponent, 52)), one));
}

/* 2^n of n + ROUND_16 */
INLINE vec_f64 sixteenths_f64(vec_f64 rounded)
{
    const uint64x2_t n = vreinterpretq_u64_f64(rounded);
    const uint64x2_t roots = {ROOTS[n[0] & 15], ROOTS[n[1] & 15]};

    return vreinterpretq_f64_u64(vaddq_u64(roots, vshlq_n_u64(n, 48)));
}

INLINE double largest_lane_f64(vec_f64 v)
{
    return vmaxvq_f64(v);
}

/* ---- sums in double ---- */

INLINE vec_f64 load_wide_f32(const float *x)
{
    return vcvt_f64_f32(vld1_f32(x));
}

INLINE vec_f64 load_wide_first_f32(const float *x, size_t n)
{
    return n >= 2 ? load_wide_f32(x) : vcvt_f64_f32(n > 0 ? vld1_lane_f32(x, vdup_n_f32(0), 0) : vdup_n_f32(0));
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
    vst1_f32(y, vcvt_f32_f64(v));
}

INLINE void store_narrow_f64(double *y, vec_f64 v)
{
    store_f64(y, v);
}

/* the first LANES_f64 lanes */
INLINE vec_f64 widen_f32(vec_f32 v)
{
    return vcvt_f64_f32(vget_low_f32(v));
}

INLINE vec_f64 widen_f64(vec_f64 v)
{
    return v;
}

/* s + all lanes of v in their order, lane j to lane j mod LANES_f64 */
INLINE vec_f64 add_wide_f32(vec_f64 s, vec_f32 v)
{
    return s + widen_f32(v) + vcvt_high_f64_f32(v);
}

INLINE vec_f64 add_wide_f64(vec_f64 s, vec_f64 v)
{
    return s + v;
}

INLINE double add_lanes(vec_f64 v)
{
    return vaddvq_f64(v);
}

#define LOG_F64 ML__NEON_F64(vlog)
#define SOFTMAX_F64 ML__NEON_F64(softmax)

#define R double
#define NAME(name) name##_f64
#define PUBLIC(name) ML__NEON_F64(name)
#include "kernel/vector_tmpl.h"
#undef R
#undef NAME
#undef PUBLIC

#define MIXTURE(name) ML__NEON_F64(name)
#define MIXTURE_KEEP(v) __asm__("" : "+w"(v))
#define MIXTURE_TALL 8
#include "kernel/mixture_tmpl.h"

#define R float
#define NAME(name) name##_f32
#define PUBLIC(name) ML__NEON_F32(name)
#include "kernel/vector_tmpl.h"

#endif
