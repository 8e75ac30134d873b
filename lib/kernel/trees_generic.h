/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For kernel/trees_tmpl.h: its vectors, and its primitives in plain C, of which a unit undefines what it does better. The
 * unit defines VECTOR_BYTES: the compilers' own vectors are good when a register holds them, and only then.
 */
#include <math.h>
#include <string.h>

#include "kernel/tables.h"
#include "kernel/trees.h"

#define VECTOR(type, name) typedef type name __attribute__((vector_size(VECTOR_BYTES)))

VECTOR(uint8_t, v_u8);
VECTOR(uint16_t, v_u16);
VECTOR(uint32_t, v_u32);
VECTOR(int32_t, v_i32);
VECTOR(uint64_t, v_u64);
VECTOR(int64_t, v_i64);
VECTOR(float, v_f32);
VECTOR(double, v_f64);
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef uint16_t half_u16 __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef int32_t half_i32 __attribute__((vector_size(VECTOR_BYTES / 2)));
#if VECTOR_BYTES >= 32
typedef uint8_t u8x32 __attribute__((vector_size(32)));
typedef uint16_t few_u16 __attribute__((vector_size(32)));
#else
typedef uint16_t few_u16 __attribute__((vector_size(16)));
#endif

enum {
    LANES_8 = VECTOR_BYTES,
    LANES_32 = VECTOR_BYTES / 4,
    LANES_64 = VECTOR_BYTES / 8,
    FEW_LANES = sizeof(few_u16) / 2
};

#define ADD_WHERE_AT_LEAST(V, sum, lanes, code, weight) ((sum) += (V)((lanes) >= (code)) & (weight))
#define ADD_WHERE_AT_LEAST_ALL(sum, lanes, code, weight) ADD_WHERE_AT_LEAST(v_u8, sum, lanes, code, weight)

/* The same with vectors of codes and weights. */
#define ADD_WHERE_FROM_ALL(sum, lanes, codes, weights) ((sum) += (v_u8)((lanes) >= (codes)) & (weights))

#define MASK_16 v_u16
#define AT_LEAST_16(lanes, codes) ((v_u16)((lanes) >= (codes)))
#define ADD_WHERE_16(sum, mask, x) ((sum) + ((mask) & (x)))

#define MASK_32 v_i32
#define AT_LEAST_32(lanes, x) ((lanes) >= (x))
#define ADD_WHERE_32(sum, mask, x) ((sum) + ((mask) & (x)))

/* The larger one in each lane, y where x is NaN; the largest lane. */
#define LARGER_f32(x, y) larger_f32(&(x), &(y))
#define LARGER_f64(x, y) larger_f64(&(x), &(y))
#define LARGEST_f32(v) largest_f32(&(v))
#define LARGEST_f64(v) largest_f64(&(v))

#define WIDEN(bytes, v)                             \
    do {                                            \
        for (int lane = 0; lane < LANES_32; lane++) \
            (v)[lane] = (bytes)[lane];              \
    } while (0)
#define WIDEN_i32(bytes, v) WIDEN(bytes, v)

#define ANY_ABOVE_f32(v, x) (LANES_ABOVE_f32(v, x) != 0)
#define ANY_ABOVE_f64(v, x) (LANES_ABOVE_f64(v, x) != 0)
#define LANES_ABOVE_f32(v, x) lanes_above_f32(&(v), x)
#define LANES_ABOVE_f64(v, x) lanes_above_f64(&(v), x)
#define LANES_FROM_f32(v, x) lanes_from_f32(&(v), x)
#define LANES_FROM_f64(v, x) lanes_from_f64(&(v), x)
#define COUNT_BELOW_16(v, x) count_below(v, x)
#define CHOOSE_64(from, bits, to) choose_bytes(from, bits, to)
#define CHOOSE_16_IDS(from, bits, here, to) choose_ids(from, bits, here, to)
#define COMPARE_64(code, cut) compare_bytes(code, cut)
#define COPY(to, from, n) memcpy(to, from, n)
#define MOVE_SMALL 0
#define MOVE_MEDIUM 0
#define COMPACT 0
