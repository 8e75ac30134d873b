/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/weights.h"

#include <math.h>

enum { ROOM = 500, LARGEST_EXPONENT = 1023 };

typedef struct range {
    double least, largest; /* that are positive */
} range;

static void widen(range *r, const double *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->least = w[i] > 0 && w[i] < r->least ? w[i] : r->least;
        r->largest = w[i] > r->largest ? w[i] : r->largest;
    }
}

/* In two steps, as 2^-exponent itself may be beyond double. */
static void divide(double *w, size_t n, int exponent)
{
    const double half = ldexp(1, -(exponent / 2)), rest = ldexp(1, exponent / 2 - exponent), least = ldexp(1, -ROOM);

    for (size_t i = 0; i < n; i++) {
        const double scaled = w[i] * half * rest;
        w[i] = w[i] > 0 && scaled < least ? least : scaled;
    }
}

double ml__weights_scale(double *w, size_t n, double *counts, size_t k)
{
    range r = {INFINITY, 0};
    int low, high, middle;

    widen(&r, w, n);
    widen(&r, counts, counts ? k : 0);
    if (!(r.largest > 0))
        return 1;
    (void)frexp(r.least, &low);
    (void)frexp(r.largest, &high);
    middle = (low + high) / 2;
    middle = high - middle > ROOM ? high - ROOM : middle;
    middle = middle > LARGEST_EXPONENT ? LARGEST_EXPONENT : middle;
    divide(w, n, middle);
    divide(counts, counts ? k : 0, middle);
    return ldexp(1, middle);
}
