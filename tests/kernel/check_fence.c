/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that ends where an unreadable page begins. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { N_FENCES = 16, FENCE_BYTES = 1 << 22, FRONT = 64, MARK = 0xc5 };

static struct {
    unsigned char *base, *begin; /* of the readable memory, and of what was asked for last */
} fences[N_FENCES];

static unsigned char *make_fence(void)
{
    const long page = sysconf(_SC_PAGESIZE);
    unsigned char *base =
        mmap(NULL, FENCE_BYTES + (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED || mprotect(base + FENCE_BYTES, (size_t)page, PROT_NONE) != 0) {
        fprintf(stderr, "check: no memory with a fence\n");
        exit(2);
    }
    return base;
}

void *check_fenced(size_t fence, size_t count, size_t size)
{
    if (fence >= N_FENCES || count * size > FENCE_BYTES - FRONT) {
        fprintf(stderr, "check: fence %zu of %zu bytes is beyond the limits\n", fence, count * size);
        exit(2);
    }
    if (!fences[fence].base)
        fences[fence].base = make_fence();
    fences[fence].begin = fences[fence].base + FENCE_BYTES - count * size;
    memset(fences[fence].begin - FRONT, MARK, FRONT + count * size);
    return fences[fence].begin;
}

void check_fences(void)
{
    for (size_t f = 0; f < N_FENCES; f++)
        for (size_t i = 0; i < FRONT && fences[f].base; i++)
            check_that(fences[f].begin[(ptrdiff_t)i - FRONT] == MARK, "fence %zu: %zu bytes before it were written", f,
                       FRONT - i);
}
