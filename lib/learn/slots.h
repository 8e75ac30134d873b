/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a pass over rows is divided: rows into blocks of fixed size, runs of blocks into slots. Each slot is one task with
 * partial sums of its own; they are added along a fixed tree. All of it follows from sizes, so that the bits of a result
 * do not depend on threads.
 */
#ifndef ML__LEARN_SLOTS_H
#define ML__LEARN_SLOTS_H

#include <stddef.h>

enum {
    ML__SLOT_BLOCK = 256,      /* rows: a block of 16 features is 32 KiB */
    ML__SLOTS_MAX = 64,        /* more than threads by enough to share evenly */
    ML__SLOTS_MIN = 4,         /* however large the partial sums are */
    ML__SLOTS_VALUES = 1 << 22 /* what all slots together may take, 32 MiB of doubles */
};

typedef struct ml__slots {
    size_t n_rows, n_blocks, n;
} ml__slots;

/* For partial sums and workspace of n_values doubles per slot. */
static inline ml__slots ml__slots_make(size_t n_rows, size_t n_values)
{
    const size_t n_blocks = n_rows / ML__SLOT_BLOCK + (n_rows % ML__SLOT_BLOCK != 0);
    size_t n = ML__SLOTS_VALUES / (n_values ? n_values : 1);

    n = n < ML__SLOTS_MIN ? ML__SLOTS_MIN : n > ML__SLOTS_MAX ? ML__SLOTS_MAX : n;
    return (ml__slots){n_rows, n_blocks, n < n_blocks ? n : n_blocks};
}

/* First row of slot s; that of slot n is n_rows. */
static inline size_t ml__slots_begin(const ml__slots *slots, size_t s)
{
    const size_t share = slots->n_blocks / slots->n, rest = slots->n_blocks % slots->n;
    const size_t block = s * share + (s < rest ? s : rest);

    return block < slots->n_blocks ? block * ML__SLOT_BLOCK : slots->n_rows;
}

/* Rows of a slot, on average: for what a task costs. */
static inline double ml__slots_rows(const ml__slots *slots)
{
    return (double)slots->n_rows / (double)slots->n;
}

/* partial [n x stride]: the sums of the first n_values numbers of all slots come to stand in slot 0. */
static inline void ml__slots_add(const ml__slots *slots, double *partial, size_t stride, size_t n_values)
{
    for (size_t step = 1; step < slots->n; step *= 2)
        for (size_t s = 0; s + step < slots->n; s += 2 * step)
            for (size_t v = 0; v < n_values; v++)
                partial[s * stride + v] += partial[(s + step) * stride + v];
}

#endif
