/* SPDX-License-Identifier: Apache-2.0 */
/* Values with weights, in order: what medians and modes are taken from. */
#ifndef ML__LEARN_WEIGHTED_H
#define ML__LEARN_WEIGHTED_H

#include <stddef.h>

typedef struct ml__weighted {
    double value, weight;
} ml__weighted;

/* By value, equal ones by weight, so that sums along the order do not depend on how the items came. In place (heapsort): no
 * workspace, n log n at worst. No NaN. */
void ml__weighted_sort(ml__weighted *items, size_t n);

#endif
