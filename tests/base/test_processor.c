/* SPDX-License-Identifier: Apache-2.0 */
/* Number of processors, floating-point state. What every public call makes of the latter: tests/model/test_host.c. */
#ifdef __linux__
#define _GNU_SOURCE
#endif
#include "test.h"

#include <fenv.h>
#include <float.h>
#include <sched.h>

#include "base/processor.h"

TEST(processor, floating_point_state_comes_and_goes)
{
    volatile double one = 1, tiny = DBL_MIN, three = 3, up, nearest, subnormal, up_again;

    fesetround(FE_UPWARD);
    feclearexcept(FE_ALL_EXCEPT);
    up = one / three;
    const ml__float_state host = ml__float_begin(), inner = ml__float_begin();
    nearest = one / three;
    subnormal = tiny / three;
    const ml_status passed = ml__float_end(host, ml__float_end(inner, ML_E_DATA));
    up_again = one / three;
    const int underflow = fetestexcept(FE_UNDERFLOW), rounding_again = fegetround();
    fesetround(FE_TONEAREST);
    CHECK(up == up_again && up > nearest && nearest == 1.0 / 3 && subnormal > 0);
    CHECK(rounding_again == FE_UPWARD && !underflow && passed == ML_E_DATA);
}

TEST(processor, only_processors_that_the_process_may_use_count)
{
    CHECK(ml__n_processors() >= 1);
#ifdef __linux__
    cpu_set_t all, one;
    int first = 0;

    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    CHECK(ml__n_processors() == (uint32_t)CPU_COUNT(&all));
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    const uint32_t n = ml__n_processors();
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    CHECK(n == 1);
#endif
}
