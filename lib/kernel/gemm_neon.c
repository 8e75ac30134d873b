/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products with NEON (Advanced SIMD of AArch64): kernel/gemm_tmpl.h compiled for float and for double. */
#include "kernel/tables.h"

#ifdef ML__NEON_KERNELS

#include "kernel/nearest.h"
#include "kernel/syrk.h"
#include "kernel/transpose_neon.h"

/* Of 32 registers, up to 24 for C, two for B; the rest for elements of A that are on their way. */
#define TALL_1 14
#define TALL_2 12
#define SYRK_TALL 4
#define NEAREST_COLUMNS 8

/*
 * A PART is a number of lanes: there are no masks. Lanes beyond it load as 0.
 *
 * BROADCAST loads a scalar where the compiler cannot see it, which makes every multiply-add name the lane to take. A load
 * that fills all lanes would take its turn at the multipliers.
 */

/* ---- 4 floats ---- */

static inline float32x4_t broadcast_f32(const float *x)
{
    float scalar;

    __asm__("ldr %s0, %1" : "=w"(scalar) : "m"(*x));
    return vdupq_n_f32(scalar);
}

static inline float32x4_t load_part_f32(const float *x, size_t n)
{
    switch (n) {
    case 0:
        return vdupq_n_f32(0);
    case 1:
        return vld1q_lane_f32(x, vdupq_n_f32(0), 0);
    case 2:
        return vcombine_f32(vld1_f32(x), vdup_n_f32(0));
    case 3:
        return vld1q_lane_f32(x + 2, vcombine_f32(vld1_f32(x), vdup_n_f32(0)), 2);
    default:
        return vld1q_f32(x);
    }
}

static inline void store_part_f32(float *x, size_t n, float32x4_t v)
{
    switch (n) {
    case 0:
        break;
    case 1:
        vst1q_lane_f32(x, v, 0);
        break;
    case 2:
        vst1_f32(x, vget_low_f32(v));
        break;
    case 3:
        vst1_f32(x, vget_low_f32(v));
        vst1q_lane_f32(x + 2, v, 2);
        break;
    default:
        vst1q_f32(x, v);
    }
}

#define REAL float
#define NAME(f) f##_f32
#define PUBLIC(f) ml__##f##_f32_neon
#define VECTOR float32x4_t
#define LANES 4
#define PART size_t
#define PART_OF(n) (n)
#define KEEP_PART(part) __asm__ volatile("" : : "r"(part))
#define ZERO() vdupq_n_f32(0)
#define BROADCAST(x) broadcast_f32(x)
#define LOAD(x) vld1q_f32(x)
#define LOAD_PART(x, part) load_part_f32(x, part)
#define STORE(x, v) vst1q_f32(x, v)
#define STORE_PART(x, part, v) store_part_f32(x, part, v)
#define MULTIPLY(a, b) vmulq_f32(a, b)
#define MULTIPLY_ADD(a, b, c) vfmaq_f32(c, a, b)
#define SUBTRACT_PRODUCT(a, b, c) vfmsq_f32(c, a, b)
/* MIN and MAX are b where either is NaN, as on x86: not what the instructions for them do. */
#define MIN(a, b) vbslq_f32(vcltq_f32(a, b), a, b)
#define MAX(a, b) vbslq_f32(vcgtq_f32(a, b), a, b)
#define CHOOSE_LESS(a, b, yes, no) vbslq_f32(vcltq_f32(a, b), yes, no)
#define NUMBER uint32_t
#define SQRT(a) vsqrtq_f32(a)
#define WHERE_POSITIVE(h, v) vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(h), vreinterpretq_u32_f32(v)))
#define ROWS_AT_ONCE 4
#define GROUP 4
#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

#include "kernel/gemm_undef.h"

/* ---- 2 doubles ---- */

static inline float64x2_t broadcast_f64(const double *x)
{
    double scalar;

    __asm__("ldr %d0, %1" : "=w"(scalar) : "m"(*x));
    return vdupq_n_f64(scalar);
}

static inline float64x2_t load_part_f64(const double *x, size_t n)
{
    if (n == 2)
        return vld1q_f64(x);
    return n == 1 ? vld1q_lane_f64(x, vdupq_n_f64(0), 0) : vdupq_n_f64(0);
}

static inline void store_part_f64(double *x, size_t n, float64x2_t v)
{
    if (n == 2)
        vst1q_f64(x, v);
    else if (n == 1)
        vst1q_lane_f64(x, v, 0);
}

#define REAL double
#define NAME(f) f##_f64
#define PUBLIC(f) ml__##f##_f64_neon
#define VECTOR float64x2_t
#define LANES 2
#define PART size_t
#define PART_OF(n) (n)
#define KEEP_PART(part) __asm__ volatile("" : : "r"(part))
#define ZERO() vdupq_n_f64(0)
#define BROADCAST(x) broadcast_f64(x)
#define LOAD(x) vld1q_f64(x)
#define LOAD_PART(x, part) load_part_f64(x, part)
#define STORE(x, v) vst1q_f64(x, v)
#define STORE_PART(x, part, v) store_part_f64(x, part, v)
#define MULTIPLY(a, b) vmulq_f64(a, b)
#define MULTIPLY_ADD(a, b, c) vfmaq_f64(c, a, b)
#define SUBTRACT_PRODUCT(a, b, c) vfmsq_f64(c, a, b)
#define MIN(a, b) vbslq_f64(vcltq_f64(a, b), a, b)
#define MAX(a, b) vbslq_f64(vcgtq_f64(a, b), a, b)
#define CHOOSE_LESS(a, b, yes, no) vbslq_f64(vcltq_f64(a, b), yes, no)
#define NUMBER uint64_t
#define SQRT(a) vsqrtq_f64(a)
#define WHERE_POSITIVE(h, v) vreinterpretq_f64_u64(vandq_u64(vcgtzq_f64(h), vreinterpretq_u64_f64(v)))
#define ROWS_AT_ONCE 2
#define GROUP 2
#include "kernel/gemm_tmpl.h"
#include "kernel/nearest_tmpl.h"
#include "kernel/networks_tmpl.h"

/* Weighted sums are in double for both. */

#define R double
#define SYRK_NAME(f) f##_f64
#define SYRK_PUBLIC ML__NEON_F64(syrk_weighted)
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

static inline float64x2_t wide_part(const float *x, size_t n)
{
    return n == 2 ? vcvt_f64_f32(vld1_f32(x)) : vcvt_f64_f32(n ? vld1_lane_f32(x, vdup_n_f32(0), 0) : vdup_n_f32(0));
}

#define R float
#define SYRK_NAME(f) f##_f32
#define SYRK_PUBLIC ML__NEON_F32(syrk_weighted)
#define WIDE_PART size_t
#define WIDE_PART_OF(n) (n)
#define WIDE_LOAD(x) vcvt_f64_f32(vld1_f32(x))
#define WIDE_LOAD_PART(x, part) wide_part(x, part)

#include "kernel/syrk_tmpl.h"

#endif
