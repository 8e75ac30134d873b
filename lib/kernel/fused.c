/* SPDX-License-Identifier: Apache-2.0 */
/* Layers for the tables of vector instruction sets: their own products and vector maths (kernel/fused_tmpl.h). */
#include <math.h>
#include <string.h>

#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#define DEFINE(name) void MATRIX(name)
#define MATHS(name) MATRIX(name)

#define R float
#define SQRT sqrtf
#define NAME(name) name##_f32_avx2
#define MATRIX(name) ML__AVX2_F32(name)
#include "kernel/fused_tmpl.h"
#undef NAME
#undef MATRIX
#define NAME(name) name##_f32_avx512
#define MATRIX(name) ML__AVX512_F32(name)
#include "kernel/fused_tmpl.h"
#undef NAME
#undef MATRIX
#undef R
#undef SQRT

#define R double
#define SQRT sqrt
#define NAME(name) name##_f64_avx2
#define MATRIX(name) ML__AVX2_F64(name)
#include "kernel/fused_tmpl.h"
#undef NAME
#undef MATRIX
#define NAME(name) name##_f64_avx512
#define MATRIX(name) ML__AVX512_F64(name)
#include "kernel/fused_tmpl.h"

#endif
