/* SPDX-License-Identifier: Apache-2.0 */
/* Heapsort (Williams 1964): no memory, no recursion, no bad case that a hostile file could aim at. */
#include "store/order.h"

static void swap(uint32_t *a, uint32_t *b)
{
    const uint32_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Let indices[root] sink until no child in [0, n) is larger. */
static void sift_down(uint32_t *indices, size_t root, size_t n, ml__index_order order, const void *items)
{
    while (root < n / 2) {
        size_t child = 2 * root + 1;

        if (child + 1 < n && order(items, indices[child], indices[child + 1]) < 0)
            child++;
        if (order(items, indices[root], indices[child]) >= 0)
            return;
        swap(&indices[root], &indices[child]);
        root = child;
    }
}

void ml__sort_indices(uint32_t *indices, size_t n, ml__index_order order, const void *items)
{
    for (size_t root = n / 2; root-- > 0;)
        sift_down(indices, root, n, order, items);
    for (size_t last = n; last-- > 1;) {
        swap(&indices[0], &indices[last]);
        sift_down(indices, 0, last, order, items);
    }
}
