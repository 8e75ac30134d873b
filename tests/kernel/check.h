/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel checker's counting and small helpers. An instance is one operation of one table on one shape: begin it with
 * its name, state what must hold, end it. The first thing that does not hold is printed, once per instance.
 */
#ifndef INVAR_KERNEL_CHECK_H
#define INVAR_KERNEL_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/kernel.h"

void check_begin(const char *format, ...) __attribute__((format(printf, 1, 2)));
void check_that(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_end(void);

/* The largest value seen of a measured error, by name, for the listing of `check -v`. */
void check_measure(const char *what, double error);
/* Fold output bytes into the digest that `check -v` prints: runs with other thread settings must give the same one. */
void check_digest(const void *bytes, size_t n_bytes);

/* malloc that ends the program when there is no memory; never NULL */
void *check_alloc(size_t count, size_t size);

/* Memory number `fence` (below 16), until it is asked for again: behind its last byte nothing can be read or written, which
 * ends the program; check_fences() says whether something was written right before any of them. */
void *check_fenced(size_t fence, size_t count, size_t size);
void check_fences(void);

/* splitmix64: uniform 64 bits, and uniform in [-1, 1) */
uint64_t check_random(uint64_t *state);
double check_uniform(uint64_t *state);

void check_table_f32(const ml__kernels *table);
void check_table_f64(const ml__kernels *table);
void check_mixture(const ml__kernels *table);
void check_trees(const ml__kernels *table);
void check_cuts(const ml__kernels *const *tables, size_t n_tables);
void check_factor(void);
void check_subspace(void);

#endif
