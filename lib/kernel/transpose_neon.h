/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of LANES rows to vectors and back, a group at a time, with NEON: square blocks, the same either way. */
#ifndef ML__KERNEL_TRANSPOSE_NEON_H
#define ML__KERNEL_TRANSPOSE_NEON_H

#include <arm_neon.h>
#include <stddef.h>

/* T[p, j] = x[j, p] for 4 j and 4 p */
static inline void transpose_group_f32(const float *x, size_t ld, float *T, size_t ldt)
{
    const float32x4_t r0 = vld1q_f32(x), r1 = vld1q_f32(x + ld), r2 = vld1q_f32(x + 2 * ld);
    const float32x4_t r3 = vld1q_f32(x + 3 * ld);
    const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(r0, r1));
    const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(r2, r3));
    const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(r0, r1));
    const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(r2, r3));

    vst1q_f32(T, vreinterpretq_f32_f64(vtrn1q_f64(even01, even23)));
    vst1q_f32(T + ldt, vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23)));
    vst1q_f32(T + 2 * ldt, vreinterpretq_f32_f64(vtrn2q_f64(even01, even23)));
    vst1q_f32(T + 3 * ldt, vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23)));
}

/* T[p, j] = x[j, p] for 2 j and 2 p */
static inline void transpose_group_f64(const double *x, size_t ld, double *T, size_t ldt)
{
    const float64x2_t r0 = vld1q_f64(x), r1 = vld1q_f64(x + ld);

    vst1q_f64(T, vtrn1q_f64(r0, r1));
    vst1q_f64(T + ldt, vtrn2q_f64(r0, r1));
}

#define transpose_back_f32 transpose_group_f32
#define transpose_back_f64 transpose_group_f64

#endif
