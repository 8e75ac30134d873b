/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/weighted.h"

#include <stdbool.h>

static bool comes_before(const ml__weighted *a, const ml__weighted *b)
{
    return a->value < b->value || (a->value == b->value && a->weight < b->weight);
}

static void sift_down(ml__weighted *heap, size_t root, size_t n)
{
    const ml__weighted moved = heap[root];
    size_t child;

    while ((child = 2 * root + 1) < n) {
        if (child + 1 < n && comes_before(&heap[child], &heap[child + 1]))
            child++;
        if (!comes_before(&moved, &heap[child]))
            break;
        heap[root] = heap[child];
        root = child;
    }
    heap[root] = moved;
}

void ml__weighted_sort(ml__weighted *items, size_t n)
{
    for (size_t root = n / 2; root-- > 0;)
        sift_down(items, root, n);
    for (size_t end = n; end-- > 1;) {
        const ml__weighted largest = items[0];
        items[0] = items[end];
        items[end] = largest;
        sift_down(items, 0, end);
    }
}
