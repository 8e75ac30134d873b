/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most, measured: the constants behind "fraction of the limit". */
#ifndef INVAR_BENCH_MACHINE_H
#define INVAR_BENCH_MACHINE_H

#include <stdbool.h>

typedef struct {
    const char *level;               /* instruction set of the multiply-add loops */
    double clock;                    /* Hz: one dependent add per cycle */
    double flops32, flops64;         /* multiply-adds count twice; all threads together */
    double one_flops32, one_flops64; /* the same of one thread */
    double bandwidth;                /* bytes/s of streaming reads, all threads together */
} machine;

machine machine_measure(unsigned n_threads);

/*
 * Flop/s of one thread in one run of some 50 us by the wall's clock, with the instruction set of a kernel table: portable
 * multiplies, then adds, the others do both at once; tables of a BLAS may have all that the processor has. Neighbours
 * make it less: take the best of many.
 */
double machine_peak(const char *table, bool in_double);

/*
 * Hz that the slowest of n_threads gets over a tenth of a second of the wall's clock, all running at once. On a machine
 * of our own it is `clock`; neighbours, and a processor that slows down, take from it.
 */
double machine_probe(unsigned n_threads);

#endif
