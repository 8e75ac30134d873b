/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers to and from text, correctly rounded, whatever the host's locale; and sums. */
#ifndef ML__BASE_NUMBER_H
#define ML__BASE_NUMBER_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { ML__NUMBER_OK, ML__NUMBER_NONE, ML__NUMBER_RANGE } ml__number_status;

/* The whole of text[0, n) as a decimal number: [+-] digits [. digits] [(e|E) [+-] digits], at least one digit in the
 * mantissa. Nearest double, ties to even; underflow gives 0 or a subnormal, overflow is ML__NUMBER_RANGE. */
ml__number_status ml__parse_real(const char *text, size_t n, double *out);
ml__number_status ml__parse_int(const char *text, size_t n, int64_t *out); /* [+-] digits */

enum { ML__NUMBER_BYTES = 32 };
/* Shortest text that reads back to the same bits ("0.1", "1e-300", "3", "inf", "nan"); returns the length. */
size_t ml__print_real(double value, char out[ML__NUMBER_BYTES]);
size_t ml__print_int(int64_t value, char out[ML__NUMBER_BYTES]);
size_t ml__print_uint(uint64_t value, char out[ML__NUMBER_BYTES]);

/* A compensated sum (Neumaier 1974): whole numbers stay exact, and the error does not grow with the number of terms. */
typedef struct ml__sum {
    double value, lost;
} ml__sum;

static inline void ml__sum_add(ml__sum *sum, double x)
{
    const double next = sum->value + x;

    sum->lost += fabs(sum->value) >= fabs(x) ? (sum->value - next) + x : (x - next) + sum->value;
    sum->value = next;
}

static inline double ml__sum_total(ml__sum sum)
{
    return sum.value + sum.lost;
}

#endif
