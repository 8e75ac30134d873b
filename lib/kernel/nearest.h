/* SPDX-License-Identifier: Apache-2.0 */
/* The tiles of kernel/nearest_tmpl.h, made by the lists of kernel/gemm.h: rows there are columns of B here. */
#ifndef ML__KERNEL_NEAREST_H
#define ML__KERNEL_NEAREST_H

#include <math.h>
#include <string.h>

#include "kernel/gemm.h"

enum {
    ROW_VECTORS = 3,
    NEAREST_DEPTH = 32, /* terms, and */
    NEAREST_WIDTH = 40  /* columns at a time: with ROW_VECTORS vectors of 64 bytes, 14 KiB of stack */
};

/* Column i of a tile holds the values ci_0, ci_1, ... of the vectors of rows. */
#define ML__FIRST_VALUE(i, v, V) VECTOR c##i##_##v = pass->first ? BROADCAST(half + i) : LOAD(S + (i * V + v) * LANES);
#define ML__FIRST_VALUES(i, V) ML__VECTORS_##V(ML__FIRST_VALUE, i, V)
#define ML__LOAD_ROWS(i, v, V) const VECTOR a##v = LOAD(T + v * LANES);
#define ML__SUBTRACT_TERM(i, v, V) c##i##_##v = SUBTRACT_PRODUCT(a##v, b, c##i##_##v);
#define ML__SUBTRACT_TERMS(i, V)                 \
    {                                            \
        const VECTOR b = BROADCAST(B + i);       \
        ML__VECTORS_##V(ML__SUBTRACT_TERM, i, V) \
    }
#define ML__STORE_VALUE(i, v, V) STORE(S + (i * V + v) * LANES, c##i##_##v);
#define ML__STORE_VALUES(i, V) ML__VECTORS_##V(ML__STORE_VALUE, i, V)
#define ML__LOAD_LEAST(i, v, V)                                                                    \
    VECTOR value##v = LOAD(least->value + v * LANES), second##v = LOAD(least->second + v * LANES); \
    VECTOR number##v = LOAD(least->number + v * LANES);
#define ML__KEEP_LEAST(i, v, V)                                            \
    number##v = CHOOSE_LESS(c##i##_##v, value##v, column, number##v);      \
    second##v = MIN(MAX(value##v, c##i##_##v), second##v); /* the loser */ \
    value##v = MIN(c##i##_##v, value##v);
#define ML__KEEP_LEAST_COLUMN(i, V)                   \
    {                                                 \
        const REAL number = NAME(from_number)(j + i); \
        const VECTOR column = BROADCAST(&number);     \
        ML__VECTORS_##V(ML__KEEP_LEAST, i, V)         \
    }
#define ML__STORE_LEAST(i, v, V)                 \
    STORE(least->value + v * LANES, value##v);   \
    STORE(least->second + v * LANES, second##v); \
    STORE(least->number + v * LANES, number##v);

/* N columns, V vectors of rows */
#define ML__NEAREST_TILE(N, V)                                                                                       \
    static void NAME(nearest_##N##_##V)(const NAME(pass) * pass, const REAL *B, const REAL *half, REAL *S, size_t j, \
                                        NAME(least) * least)                                                         \
    {                                                                                                                \
        const REAL *T = pass->T;                                                                                     \
        const size_t ldb = pass->ldb;                                                                                \
        ML__ROWS_##N(ML__FIRST_VALUES, V) for (size_t q = pass->k; q > 0; q--)                                       \
        {                                                                                                            \
            ML__VECTORS_##V(ML__LOAD_ROWS, 0, V) ML__ROWS_##N(ML__SUBTRACT_TERMS, V) T += V * LANES;                 \
            B += ldb;                                                                                                \
        }                                                                                                            \
        if (pass->last) {                                                                                            \
            ML__VECTORS_##V(ML__LOAD_LEAST, 0, V) ML__ROWS_##N(ML__KEEP_LEAST_COLUMN, V)                             \
                ML__VECTORS_##V(ML__STORE_LEAST, 0, V)                                                               \
        } else {                                                                                                     \
            ML__ROWS_##N(ML__STORE_VALUES, V)                                                                        \
        }                                                                                                            \
    }

#endif
