/* SPDX-License-Identifier: Apache-2.0 */
/* The matrices that the kernels are timed on. */
#ifndef INVAR_BENCH_NUMBERS_H
#define INVAR_BENCH_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>

/* Aligned as the widest vectors want it, to be freed by free(). Without memory the program ends. */
void *allocate(size_t count, size_t size);

/* Uniform numbers in [least, 1), as doubles or rounded to floats: the same in every run. */
void *numbers(size_t count, bool in_double, double least);

#endif
