/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the matrix products of every kernel table, on shapes of tabular learning: GFLOP/s, and the share of what this
 * core can do with the table's own instruction set, measured in turn by a loop over registers only. With a BLAS in the build, its rate for
 * the product alone and the ratio of the two, by calls in turn.
 *
 *     bench-kernels [word..]       only the lines that contain each word: a table, f32, an operation, a job
 *
 * Times are the least of many repetitions by the wall clock: neighbours can only make them longer. (Processor time of the
 * thread looks better suited, but virtual machines have been seen to count too little of it.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/tables.h"
#include "machine.h"
#include "numbers.h"
#include "protocol.h"

#ifdef ML__CBLAS
#include <cblas.h>
#endif

enum { N_REPEATS = 40, N_MATRICES = 5, LINE = 160 };
static const double SECONDS_PER_REPEAT = 3e-4;

typedef enum { NN, NT, TN, SYRK, LAYER, BACK, ADAM } product_op;
static const char *const OP_NAMES[] = {"nn", "nt", "tn", "syrk", "layer", "back", "adam"};

/* C is m x n, with k terms for each element. */
typedef struct {
    product_op op;
    size_t m, n, k;
    const char *job;
} shape;

/* Networks are a-b-c with a batch; all others work on blocks of 256 rows. */
static const shape SHAPES[] = {
    {NN, 32, 64, 20, "size"},
    {NN, 128, 512, 784, "size"},
    {NN, 4096, 64, 16, "size"},
    {NN, 512, 512, 512, "size"},
    {NT, 512, 512, 512, "size"},
    {TN, 512, 512, 512, "size"},
    {NN, 1024, 1024, 1024, "size"},
    {LAYER, 32, 64, 20, "20-64-32-3"},
    {LAYER, 32, 32, 64, "20-64-32-3"},
    {LAYER, 32, 3, 32, "20-64-32-3"},
    {BACK, 32, 32, 3, "20-64-32-3"},
    {BACK, 32, 64, 32, "20-64-32-3"},
    {TN, 20, 64, 32, "20-64-32-3"},
    {TN, 64, 32, 32, "20-64-32-3"},
    {TN, 32, 3, 32, "20-64-32-3"},
    {ADAM, 20, 64, 32, "20-64-32-3"},
    {ADAM, 64, 32, 32, "20-64-32-3"},
    {ADAM, 32, 3, 32, "20-64-32-3"},
    {LAYER, 1, 64, 20, "20-64-32-3 one row"},
    {LAYER, 1, 32, 64, "20-64-32-3 one row"},
    {LAYER, 1, 3, 32, "20-64-32-3 one row"},
    {LAYER, 32, 64, 13, "13-64-64-1"},
    {LAYER, 32, 64, 64, "13-64-64-1"},
    {LAYER, 32, 1, 64, "13-64-64-1"},
    {BACK, 32, 64, 1, "13-64-64-1"},
    {BACK, 32, 64, 64, "13-64-64-1"},
    {TN, 13, 64, 32, "13-64-64-1"},
    {TN, 64, 64, 32, "13-64-64-1"},
    {TN, 64, 1, 32, "13-64-64-1"},
    {LAYER, 128, 512, 784, "784-512-512-10"},
    {LAYER, 128, 512, 512, "784-512-512-10"},
    {LAYER, 128, 10, 512, "784-512-512-10"},
    {BACK, 128, 512, 10, "784-512-512-10"},
    {BACK, 128, 512, 512, "784-512-512-10"},
    {TN, 784, 512, 128, "784-512-512-10"},
    {TN, 512, 512, 128, "784-512-512-10"},
    {TN, 512, 10, 128, "784-512-512-10"},
    {ADAM, 784, 512, 128, "784-512-512-10"},
    {ADAM, 512, 512, 128, "784-512-512-10"},
    {ADAM, 512, 10, 128, "784-512-512-10"},
    {LAYER, 128, 64, 784, "784-64-784"},
    {LAYER, 128, 784, 64, "784-64-784"},
    {BACK, 128, 64, 784, "784-64-784"},
    {TN, 784, 64, 128, "784-64-784"},
    {TN, 64, 784, 128, "784-64-784"},
    {NN, 256, 64, 16, "k-means 16, 64 clusters"},
    {NN, 256, 16, 16, "mixture 16"},
    {TN, 8, 16, 256, "mixture 16"},
    {SYRK, 16, 16, 256, "mixture 16"},
    {SYRK, 28, 28, 256, "least squares 28"},
    {NN, 256, 1, 28, "least squares 28"},
    {TN, 28, 1, 256, "least squares 28"},
    {SYRK, 64, 64, 256, "PCA 64"},
    {SYRK, 784, 784, 256, "PCA 784"},
    {NT, 256, 26, 16, "logistic 16, 26 classes"},
    {TN, 26, 16, 256, "logistic 16, 26 classes"},
    {NT, 4096, 1, 64, "binary 64"},
    {TN, 64, 1, 4096, "binary 64"},
};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

/* ---- products ---- */

static double larger(double a, double b)
{
    return a > b ? a : b;
}

#define R float
#define NAME(f) f##_f32
#define MEMBER f32
#define BLAS(f) cblas_s##f
#include "products_tmpl.h"
#undef R
#undef NAME
#undef MEMBER
#undef BLAS

#define R double
#define NAME(f) f##_f64
#define MEMBER f64
#define BLAS(f) cblas_d##f
#include "products_tmpl.h"

/* One call, by the BLAS when table is NULL. */
static void run(const ml__kernels *table, bool in_double, const shape *s, void *const *matrices)
{
    if (table)
        (in_double ? run_f64 : run_f32)(table, s, matrices);
#ifdef ML__CBLAS
    else
        (in_double ? run_blas_f64 : run_blas_f32)(s, matrices);
#endif
}

static double seconds_of_calls(const ml__kernels *table, bool in_double, const shape *s, void *const *matrices, int n)
{
    const double start = seconds();

    for (int i = 0; i < n; i++)
        run(table, in_double, s, matrices);
    return seconds() - start;
}

/* GFLOP/s of the table, of the BLAS and of the multipliers, each the best of as many tries, in turn. */
typedef struct {
    double ours, blas, limit;
} rates;

static rates measure(const ml__kernels *table, bool in_double, const shape *s, void *const *matrices)
{
    const double operations = (double)s->k * (double)s->n * (s->op == SYRK ? (double)s->n + 1 : 2 * (double)s->m);
    const double first = seconds_of_calls(table, in_double, s, matrices, 1);
    const int n_calls = first < SECONDS_PER_REPEAT ? (int)(SECONDS_PER_REPEAT / (first + 1e-8)) + 1 : 1;
    const double work = operations * n_calls * 1e-9;
    rates best = {0, 0, 0};

    for (int r = 0; r < N_REPEATS; r++) {
        best.ours = larger(best.ours, work / seconds_of_calls(table, in_double, s, matrices, n_calls));
#ifdef ML__CBLAS
        best.blas = larger(best.blas, work / seconds_of_calls(NULL, in_double, s, matrices, n_calls));
#endif
        best.limit = larger(best.limit, 1e-9 * machine_peak(table->name, in_double));
    }
    return best;
}

static void print_rates(const ml__kernels *table, bool in_double, const shape *s, const char *line)
{
    const size_t sizes[N_MATRICES] = {s->m * s->k, s->k * s->n, s->m * s->n, s->m * s->n, s->m * s->n};
    void *matrices[N_MATRICES];
    rates best;

    for (int i = 0; i < N_MATRICES; i++)
        matrices[i] = numbers(sizes[i], in_double, 0);
    best = measure(table, in_double, s, matrices);
    printf("%s  %6.1f GFLOP/s  %3.0f %% of %.0f", line, best.ours, 100 * best.ours / best.limit, best.limit);
    if (best.blas > 0)
        printf("  BLAS %6.1f  x %.2f", best.blas, best.ours / best.blas);
    putchar('\n');
    for (int i = 0; i < N_MATRICES; i++)
        free(matrices[i]);
}

/* A table that differs from the one before in the kernels of trees only. */
static bool has_same_products(const ml__kernels *const *tables, size_t t)
{
    return t && tables[t]->f32.gemm_nn == tables[t - 1]->f32.gemm_nn;
}

int main(int argc, char **argv)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    char line[LINE];

    (void)argc;
#ifdef ML__OPENBLAS
    openblas_set_num_threads(1);
    printf("OpenBLAS runs its %s kernels, one thread\n", openblas_get_corename());
#endif
    for (size_t t = 0; t < n_tables; t++)
        for (int in_double = 0; in_double < 2; in_double++)
            for (size_t i = 0; i < N_SHAPES; i++) {
                const shape *s = &SHAPES[i];

                snprintf(line, sizeof line, "%-9s %s %-5s %4zu x %4zu x %4zu  %-23s", tables[t]->name,
                         in_double ? "f64" : "f32", OP_NAMES[s->op], s->m, s->n, s->k, s->job);
                if (has_words(line, argv + 1) && !has_same_products(tables, t))
                    print_rates(tables[t], in_double, s, line);
            }
    return 0;
}
