/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library needs of the processor below the kernels: a pause for waiting loops, the number of processors, and a
 * floating-point state that does not depend on the host.
 *
 * A host thread may round upwards, flush subnormals to zero or trap on a division by zero. Every public function that
 * computes with reals, and every thread that takes part, does so in the default state: to nearest, subnormals kept, no
 * traps. The host's state, exception flags included, comes back exactly as it was.
 *
 *     const ml__float_state host = ml__float_begin();
 *     return ml__float_end(host, score(model, data, metric, out));
 *
 * Compilers do not know that arithmetic depends on the state and may move it past a call; they cannot where operands are
 * read from memory and results are written to it in between, as all public functions do.
 */
#ifndef ML__BASE_PROCESSOR_H
#define ML__BASE_PROCESSOR_H

#include <stdint.h>

#include "base/status.h"

#if defined(__x86_64__)
typedef uint32_t ml__float_state; /* MXCSR: nothing in here uses the x87 unit */
#else
#include <fenv.h>
typedef fenv_t ml__float_state;
#endif

/* From here on the default state, on this thread; returns the host's. */
ml__float_state ml__float_begin(void);
/* The host's again; returns `status`. Calls may be nested. */
ml_status ml__float_end(ml__float_state host, ml_status status);

/* Processors that this process may run on, at least 1. */
uint32_t ml__n_processors(void);

/* Some ten nanoseconds in which the other thread of a core gets on. */
static inline void ml__pause(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("isb");
#endif
}

#endif
