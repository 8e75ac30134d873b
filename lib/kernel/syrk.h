/* SPDX-License-Identifier: Apache-2.0 */
/* The tiles of kernel/syrk_tmpl.h, made by the lists of kernel/gemm.h. */
#ifndef ML__KERNEL_SYRK_H
#define ML__KERNEL_SYRK_H

#include "kernel/gemm.h"

enum {
    SYRK_DEPTH = 64, /* rows of A at a time: they, the next ones and the stack share the first cache */
    SYRK_LINE = 64   /* bytes that are fetched ahead at once */
};

#define ML__SYRK_LOAD(i, v, V) \
    const VECTOR b##v = v == V - 1 ? WIDE_LOAD_PART(B + v * LANES, last) : WIDE_LOAD(B + v * LANES);
#define ML__SYRK_TERM_ROW(i, V)             \
    {                                       \
        const VECTOR x = BROADCAST(X + i);  \
        ML__VECTORS_##V(ML__ADD_TERM, i, V) \
    }
#define ML__SYRK_ADD(i, v, V)                                                             \
    {                                                                                     \
        const PART part = PART_OF(lanes_within(s->from + i + 1, s->n, v * LANES, LANES)); \
        STORE_PART(C + v * LANES, part, LOAD_PART(C + v * LANES, part) + c##i##_##v);     \
    }
#define ML__SYRK_ADD_ROW(i, V)                           \
    if (i < s->m) {                                      \
        ML__VECTORS_##V(ML__SYRK_ADD, i, V) C += s->ldc; \
    }

/* M rows and V vectors of columns */
#define ML__SYRK_TILE(M, V)                                                                                       \
    static void SYRK_NAME(syrk_##M##_##V)(const SYRK_NAME(syrk_tile) * s, const double *X, const R *B, double *C) \
    {                                                                                                             \
        const WIDE_PART last = WIDE_PART_OF(s->n - (V - 1) * LANES);                                              \
        const char *ahead = s->ahead;                                                                             \
        ML__ROWS_##M(ML__DECLARE_ROW, V) for (size_t p = s->k; p > 0; p--)                                        \
        {                                                                                                         \
            ML__VECTORS_##V(ML__SYRK_LOAD, 0, V) ML__ROWS_##M(ML__SYRK_TERM_ROW, V) __builtin_prefetch(ahead);    \
            ahead += s->ahead_step;                                                                               \
            X += SYRK_TALL;                                                                                       \
            B += s->ldb;                                                                                          \
        }                                                                                                         \
        ML__ROWS_##M(ML__SYRK_ADD_ROW, V)                                                                         \
    }

/* How many of `lanes` elements from `first` on are among the first a and the first b. */
static inline size_t lanes_within(size_t a, size_t b, size_t first, size_t lanes)
{
    const size_t end = min(a, b);

    return end > first ? min(end - first, lanes) : 0;
}

#endif
