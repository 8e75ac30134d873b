/* SPDX-License-Identifier: Apache-2.0 */
/* Processors and the floating-point state. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/processor.h"

#include <sched.h>
#include <unistd.h>

/* ---- floating-point state ---- */

#if defined(__x86_64__)

#include <xmmintrin.h>

enum {
    MXCSR_FLAGS = 0x003f,  /* sticky; they change nothing */
    MXCSR_DEFAULT = 0x1f80 /* all exceptions masked, to nearest, neither FTZ nor DAZ */
};

/* Reading costs next to nothing, writing some ten nanoseconds: a host in the default state hardly ever pays. */
ml__float_state ml__float_begin(void)
{
    const uint32_t host = _mm_getcsr();

    if ((host & ~(uint32_t)MXCSR_FLAGS) != MXCSR_DEFAULT)
        _mm_setcsr(MXCSR_DEFAULT);
    return host;
}

ml_status ml__float_end(ml__float_state host, ml_status status)
{
    if (_mm_getcsr() != host)
        _mm_setcsr(host);
    return status;
}

#else

ml__float_state ml__float_begin(void)
{
    fenv_t host;

    fegetenv(&host);
    fesetenv(FE_DFL_ENV);
    return host;
}

ml_status ml__float_end(ml__float_state host, ml_status status)
{
    fesetenv(&host);
    return status;
}

#endif

/* ---- processors ---- */

uint32_t ml__n_processors(void)
{
    long n = 0;

#ifdef __linux__
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        n = CPU_COUNT(&allowed);
#endif
    if (n < 1)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (uint32_t)n;
}
