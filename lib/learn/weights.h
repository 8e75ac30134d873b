/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of rows near the ends of double. */
#ifndef ML__LEARN_WEIGHTS_H
#define ML__LEARN_WEIGHTS_H

#include <stddef.h>

/* Divides w [n], and `counts` [k] of weights that came before (or NULL), by a power of two that leaves room for sums and products
 * on both sides, and returns it: 1 for numbers that are all 0. Results that do not depend on the unit of weights keep their bits.
 * What is less than 2^-1000 of the largest becomes that; 0 stays 0. */
double ml__weights_scale(double *w, size_t n, double *counts, size_t k);

#endif
