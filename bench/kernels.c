/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the matrix products of every kernel table, on shapes of tabular learning: GFLOP/s, and the share of what this
 * core's multipliers can do, measured in the same run by a loop over registers only.
 *
 *     bench-kernels [table]
 *
 * Times are the least of many repetitions by the wall clock: neighbours can only make them longer. (Processor time of the
 * thread looks better suited, but virtual machines have been seen to count too little of it.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/tables.h"

enum { N_REPEATS = 30, ALIGNMENT = 64 };
static const double SECONDS_PER_REPEAT = 3e-4;

typedef enum { NN, NT, TN, SYRK } product_op;
static const char *const OP_NAMES[] = {"nn", "nt", "tn", "syrk"};

/* C is m x n, with k terms for each element. */
typedef struct {
    product_op op;
    size_t m, n, k;
} shape;

static const shape SHAPES[] = {
    {NN, 32, 64, 20},      {NN, 128, 512, 784}, {NN, 4096, 64, 16}, {NN, 512, 512, 512},  {NN, 32, 32, 64},
    {NN, 4096, 16, 20},    {NN, 100, 10, 512},  {NN, 1, 64, 20},    {NN, 1, 512, 784},    {NN, 4096, 1, 64},
    {NT, 32, 64, 20},      {NT, 128, 784, 512}, {NT, 4096, 64, 16}, {NT, 512, 512, 512},  {NT, 32, 20, 64},
    {NT, 1, 512, 784},     {NT, 4096, 1, 64},   {TN, 20, 64, 32},   {TN, 784, 512, 128},  {TN, 512, 10, 128},
    {TN, 64, 16, 4096},    {TN, 512, 512, 512}, {TN, 28, 1, 4096},  {SYRK, 28, 28, 4096}, {SYRK, 64, 64, 4096},
    {SYRK, 512, 512, 512},
};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- what the multipliers can do ---- */

#ifdef ML__X86_KERNELS

/* Twelve chains: more than latency times multipliers. Values stay 0. */
#define CHAIN(r, i) "vfmadd231ps %%" r "0, %%" r "1, %%" r #i "\n"
#define CHAINS(r) \
    CHAIN(r, 2)   \
    CHAIN(r, 3)   \
    CHAIN(r, 4)   \
    CHAIN(r, 5) CHAIN(r, 6) CHAIN(r, 7) CHAIN(r, 8) CHAIN(r, 9) CHAIN(r, 10) CHAIN(r, 11) CHAIN(r, 12) CHAIN(r, 13)
#define CLOBBERED \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"
enum { N_CHAINS = 12, N_ROUNDS = 20000 };

/* Single-precision operations in N_ROUNDS rounds of vectors as long as the level has. */
static double fma_rounds(ml__level level)
{
    __asm__ volatile("vzeroall" ::: CLOBBERED);
    for (int i = 0; i < N_ROUNDS; i++)
        if (level == ML__AVX512)
            __asm__ volatile(CHAINS("zmm")::: CLOBBERED);
        else
            __asm__ volatile(CHAINS("ymm")::: CLOBBERED);
    __asm__ volatile("vzeroupper");
    return 2.0 * N_CHAINS * N_ROUNDS * (level == ML__AVX512 ? 16 : 8);
}

/* GFLOP/s in single precision, or 0 when nothing is known about the level. */
static double peak(ml__level level)
{
    double best = 0;

    for (int r = 0; r < N_REPEATS && level > ML__PORTABLE; r++) {
        const double start = seconds(), operations = fma_rounds(level), rate = operations / (seconds() - start) * 1e-9;

        best = rate > best ? rate : best;
    }
    return best;
}

#else

static double peak(ml__level level)
{
    (void)level;
    return 0;
}

#endif

/* The level a table is compared with: its own, or all that the processor has. */
static ml__level level_of(const char *table)
{
    return strcmp(table, "avx2") == 0 ? ML__AVX2 : ml__cpu_level();
}

/* ---- products ---- */

static void *zeros(size_t n_bytes)
{
    const size_t size = (n_bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *block = aligned_alloc(ALIGNMENT, size);

    if (!block) {
        fprintf(stderr, "bench-kernels: out of memory\n");
        exit(1);
    }
    return memset(block, 0, size);
}

static void run_f32(const ml__kernels_f32 *t, const shape *s, const float *A, const float *B, float *C)
{
    switch (s->op) {
    case NN:
        t->gemm_nn(s->m, s->n, s->k, A, s->k, B, s->n, 0, C, s->n);
        break;
    case NT:
        t->gemm_nt(s->m, s->n, s->k, A, s->k, B, s->k, 0, C, s->n);
        break;
    case TN:
        t->gemm_tn(s->m, s->n, s->k, A, s->m, B, s->n, 0, C, s->n);
        break;
    case SYRK:
        t->syrk_tn(s->n, s->k, A, s->n, 0, C, s->n);
        break;
    }
}

static void run_f64(const ml__kernels_f64 *t, const shape *s, const double *A, const double *B, double *C)
{
    switch (s->op) {
    case NN:
        t->gemm_nn(s->m, s->n, s->k, A, s->k, B, s->n, 0, C, s->n);
        break;
    case NT:
        t->gemm_nt(s->m, s->n, s->k, A, s->k, B, s->k, 0, C, s->n);
        break;
    case TN:
        t->gemm_tn(s->m, s->n, s->k, A, s->m, B, s->n, 0, C, s->n);
        break;
    case SYRK:
        t->syrk_tn(s->n, s->k, A, s->n, 0, C, s->n);
        break;
    }
}

static void run(const ml__kernels *table, bool in_double, const shape *s, void *const matrices[3])
{
    if (in_double)
        run_f64(&table->f64, s, matrices[0], matrices[1], matrices[2]);
    else
        run_f32(&table->f32, s, matrices[0], matrices[1], matrices[2]);
}

static double gflops(const ml__kernels *table, bool in_double, const shape *s, void *const matrices[3])
{
    const double operations = (double)s->k * (double)s->n * (s->op == SYRK ? (double)s->n + 1 : 2 * (double)s->m);
    double best = 0, start = seconds();
    int n_calls = 1;

    run(table, in_double, s, matrices);
    start = seconds() - start;
    if (start < SECONDS_PER_REPEAT)
        n_calls = (int)(SECONDS_PER_REPEAT / (start + 1e-8)) + 1;
    for (int r = 0; r < N_REPEATS; r++) {
        double rate;

        start = seconds();
        for (int i = 0; i < n_calls; i++)
            run(table, in_double, s, matrices);
        rate = operations * n_calls / (seconds() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

static void print_shape(const ml__kernels *table, bool in_double, const shape *s)
{
    const size_t size = in_double ? sizeof(double) : sizeof(float);
    void *matrices[3] = {zeros(s->m * s->k * size), zeros(s->k * s->n * size), zeros(s->m * s->n * size)};
    const double before = peak(level_of(table->name)), rate = gflops(table, in_double, s, matrices);
    const double after = peak(level_of(table->name));
    const double limit = (before > after ? before : after) / (in_double ? 2 : 1);

    printf("%-9s %s %-4s %5zu x %4zu x %4zu  %7.1f GFLOP/s", table->name, in_double ? "f64" : "f32", OP_NAMES[s->op],
           s->m, s->n, s->k, rate);
    if (limit > 0)
        printf("  %3.0f %% of %.0f", 100 * rate / limit, limit);
    putchar('\n');
    for (int i = 0; i < 3; i++)
        free(matrices[i]);
}

int main(int argc, char **argv)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    for (size_t t = 0; t < n_tables; t++)
        for (int in_double = 0; in_double < 2 && (argc < 2 || strcmp(argv[1], tables[t]->name) == 0); in_double++)
            for (size_t i = 0; i < N_SHAPES; i++)
                print_shape(tables[t], in_double, &SHAPES[i]);
    return 0;
}
