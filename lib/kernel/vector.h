/* SPDX-License-Identifier: Apache-2.0 */
/* What the vector units have in common besides vector_tmpl.h. */
#ifndef ML__KERNEL_VECTOR_H
#define ML__KERNEL_VECTOR_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernel/coefficients.h"
#include "kernel/tables.h"

#define INLINE static inline __attribute__((always_inline))

/* Softmax and log-sum-exp. by_columns: up to MAX_COLUMNS, in up to MAX_SETS sets of rows that fill up to ALL_COLUMNS
 * vectors. by_rows: up to MAX_ROWS (at most MAX_SETS vectors) rows together, of up to MAX_SIZE values in all. */
enum { MAX_COLUMNS = 32, ALL_COLUMNS = 64, MAX_SETS = 8, MAX_ROWS = 16, MAX_SIZE = 4096 };

/* exp is 0 below LOWEST_EXP and inf from HIGHEST_EXP on. */
static const float LOWEST_EXP_f32 = -104, HIGHEST_EXP_f32 = 89;
static const double LOWEST_EXP_f64 = -746, HIGHEST_EXP_f64 = 710;

/* Added to a number of small size it rounds that to an integer, which plus the bias of exponents is then in the low bits. */
static const float ROUND_f32 = 0x1.8p23f + 127;
static const double ROUND_f64 = 0x1.8p52 + 1023;

/* Subnormal numbers times 2^SHIFT are normal. */
static const float SMALLEST_NORMAL_f32 = FLT_MIN, SHIFT_f32 = 23, SHIFTED_f32 = 0x1p23f;
static const double SMALLEST_NORMAL_f64 = DBL_MIN, SHIFT_f64 = 52, SHIFTED_f64 = 0x1p52;

#endif
