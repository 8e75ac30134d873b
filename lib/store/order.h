/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting without memory of its own: qsort() may allocate behind the context's back. */
#ifndef ML__STORE_ORDER_H
#define ML__STORE_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* < 0, 0, > 0 as item a comes before, with or after item b */
typedef int (*ml__index_order)(const void *items, uint32_t a, uint32_t b);

/* Sort n indices into `items` in O(n log n) always. Not stable: make the order total where that matters. */
void ml__sort_indices(uint32_t *indices, size_t n, ml__index_order order, const void *items);

#endif
