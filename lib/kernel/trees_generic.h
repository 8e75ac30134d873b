/* SPDX-License-Identifier: Apache-2.0 */
/* For kernel/trees_tmpl.h: its vectors, and its primitives in plain C. A unit undefines what it does better. */
#include <string.h>

#include "kernel/tables.h"
#include "kernel/trees.h"

typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef uint8_t u8x64 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef int64_t i64x8 __attribute__((vector_size(64)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef double f64x8 __attribute__((vector_size(64)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

#define ADD_WHERE_AT_LEAST(V, sum, lanes, code, weight) ((sum) += (V)((lanes) >= (code)) & (weight))
#define ADD_WHERE_AT_LEAST_64(sum, lanes, code, weight) ADD_WHERE_AT_LEAST(u8x64, sum, lanes, code, weight)

#define WIDEN(bytes, floats)                         \
    do {                                             \
        for (int widened = 0; widened < 16; widened++) \
            (floats)[widened] = (bytes)[widened];    \
    } while (0)

#define WIDEN_i32(bytes, numbers)                         \
    do {                                                  \
        u8x16 narrow;                                     \
        memcpy(&narrow, bytes, sizeof narrow);            \
        (numbers) = __builtin_convertvector(narrow, i32x16); \
    } while (0)

#define ANY_ABOVE_f32(v, x) any_above_f32(&(v), x)
#define ANY_ABOVE_f64(v, x) any_above_f64(&(v), x)
#define LANES_FROM_f32(v, x) lanes_from_f32(&(v), x)
#define LANES_FROM_f64(v, x) lanes_from_f64(&(v), x)
#define CHOOSE_64(from, bits, to) choose_bytes(from, bits, to)
#define CHOOSE_16_IDS(from, bits, here, to) choose_ids(from, bits, here, to)
#define COMPARE_64(code, cut) compare_bytes(code, cut)
#define MOVE_SMALL 0
