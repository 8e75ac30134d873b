/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers as the scripts in tests/reference draw them for metrics. */
#ifndef INVAR_TEST_DRAWS_H
#define INVAR_TEST_DRAWS_H

#include <stdint.h>

typedef struct lcg {
    uint64_t state;
} lcg;

static inline uint32_t below(lcg *g, uint32_t bound)
{
    g->state = g->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(g->state >> 32) % bound;
}

#endif
