/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do at most, measured: the constants behind "fraction of the limit". */
#ifndef INVAR_BENCH_MACHINE_H
#define INVAR_BENCH_MACHINE_H

typedef struct {
    const char *level;               /* instruction set of the FMA loops */
    double clock;                    /* Hz: one dependent add per cycle */
    double flops32, flops64;         /* multiply-adds count twice; all threads together */
    double one_flops32, one_flops64; /* the same of one thread */
    double bandwidth;                /* bytes/s of streaming reads, all threads together */
} machine;

double seconds(void);
machine machine_measure(unsigned n_threads);

#endif
