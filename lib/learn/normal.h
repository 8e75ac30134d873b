/* SPDX-License-Identifier: Apache-2.0 */
/* The normal distribution. */
#ifndef ML__LEARN_NORMAL_H
#define ML__LEARN_NORMAL_H

#include <math.h>

/* Phi(x), also far out in the tails. */
static inline double ml__normal_probability(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}
/* Phi^-1(p) for p in (0, 1), to about 1e-16 of its value; infinite at 0 and 1. */
double ml__normal_quantile(double p);

#endif
