/* SPDX-License-Identifier: Apache-2.0 */
#include "numbers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

static uint64_t g_random = 1;

/* In [0, 1). */
static double uniform(void)
{
    g_random = g_random * 6364136223846793005u + 1442695040888963407u;
    return (double)(g_random >> 11) * 0x1p-53;
}

void *allocate(size_t count, size_t size)
{
    void *block = aligned_alloc(ALIGNMENT, (count * size / ALIGNMENT + 1) * ALIGNMENT);

    if (!block) {
        fprintf(stderr, "bench: out of memory\n");
        exit(1);
    }
    return block;
}

void *numbers(size_t count, bool in_double, double least)
{
    void *block = allocate(count, in_double ? sizeof(double) : sizeof(float));

    for (size_t i = 0; i < count; i++) {
        const double u = least + (1 - least) * uniform();

        if (in_double)
            ((double *)block)[i] = u;
        else
            ((float *)block)[i] = (float)u;
    }
    return block;
}
