/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the kernels that statistics are made of: nearest columns, weighted sums of products, factorisations.
 *
 *     bench-statistics [table]
 *
 * Limits are those of one core, measured in the same run: the multiply-add peak of the table's own instruction set, and the
 * time it takes to read what lies in memory. Times are the least of many short calls, since neighbours can only make them
 * longer; a million rows are timed in slices for the same reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/tables.h"
#include "machine.h"
#include "numbers.h"
#include "protocol.h"

enum { N_REPEATS = 200, N_LARGE_REPEATS = 5, N_SLICES = 100 };
static const size_t ORDERS[] = {28, 64, 200, 784};

/* Flop/s of one core with the instruction set of a table: the best of many short runs. */
static double peak(const ml__kernels *table, bool in_double)
{
    double best = 0;

    for (int r = 0; r < N_REPEATS; r++) {
        const double once = machine_peak(table->name, in_double);

        best = once > best ? once : best;
    }
    return best;
}

/* ---- nearest ---- */

static void print_nearest(const ml__kernels *t, bool in_double, size_t n, size_t k)
{
    const size_t m = 2000; /* of any number: rows are independent */
    void *A = numbers(m * k, in_double, -1), *B = numbers(k * n, in_double, -1), *half = numbers(n, in_double, -1);
    void *value = numbers(m, in_double, -1), *second = numbers(m, in_double, -1);
    uint32_t *index = allocate(m, sizeof *index);
    double least = 1e9, rate;

    for (int r = 0; r < N_REPEATS; r++) {
        const double start = seconds();

        if (in_double)
            t->f64.nearest(m, n, k, A, k, B, n, half, index, value, second);
        else
            t->f32.nearest(m, n, k, A, k, B, n, half, index, value, second);
        least = seconds() - start < least ? seconds() - start : least;
    }
    rate = 2.0 * (double)m * (double)n * (double)k / least;
    printf("%-9s %s nearest, %zu columns, %zu terms: %.2f ns a row, %.0f GFLOP/s, %.0f %% of peak\n", t->name,
           in_double ? "f64" : "f32", n, k, 1e9 * least / (double)m, 1e-9 * rate, 100 * rate / peak(t, in_double));
    free(A);
    free(B);
    free(half);
    free(value);
    free(second);
    free(index);
}

/* ---- weighted sums of products ---- */

/* Rows [rows x n] of A and their weights: summed as they are, which is what reading them takes at least. */
static double read_slice(bool in_double, size_t rows, size_t n, const void *A, const void *w)
{
    const ml__kernels *best = ml__kernels_best();

    return in_double ? best->f64.sum(rows * n, A) + best->f64.sum(rows, w)
                     : best->f32.sum(rows * n, A) + best->f32.sum(rows, w);
}

static void add_slice(const ml__kernels *t, bool in_double, size_t rows, size_t n, const void *A, const void *w,
                      double *C)
{
    if (in_double)
        t->f64.syrk_weighted(n, rows, A, n, w, C, n);
    else
        t->f32.syrk_weighted(n, rows, A, n, w, C, n);
}

/* All m rows of n columns, in slices: the sum of each slice's least time, to work on it and to read it. */
static void print_syrk_weighted(const ml__kernels *t, bool in_double, size_t m, size_t n)
{
    const size_t rows = m / N_SLICES, size = in_double ? sizeof(double) : sizeof(float);
    char *A = numbers(m * n, in_double, -1), *w = numbers(m, in_double, -1);
    double *C = numbers(n * n, true, -1), least[N_SLICES][2], work = 0, read = 0;
    const double flops = (double)m * (double)n * (double)(n + 1), bytes = (double)(m * (n + 1) * size);

    for (int r = 0; r < 20; r++)
        for (size_t s = 0; s < 2 * N_SLICES; s++) { /* all slices one way, then all the other way: none stays cached */
            const void *A_s = A + s % N_SLICES * rows * n * size, *w_s = w + s % N_SLICES * rows * size;
            double *best = &least[s % N_SLICES][s / N_SLICES];
            const double start = seconds();

            if (s < N_SLICES)
                add_slice(t, in_double, rows, n, A_s, w_s, C);
            else
                C[0] += read_slice(in_double, rows, n, A_s, w_s);
            *best = r == 0 || seconds() - start < *best ? seconds() - start : *best;
        }
    for (size_t s = 0; s < N_SLICES; s++) {
        work += least[s][0];
        read += least[s][1];
    }
    const double multiply = flops / peak(t, true);
    printf(
        "%-9s %s syrk_weighted, %zu rows x %zu: %.1f ms, %.1f GFLOP/s, %.1f GB/s; limits: read %.1f ms, multiply-add "
        "%.1f ms: %.2f times the larger\n",
        t->name, in_double ? "f64" : "f32", m, n, 1e3 * work, 1e-9 * flops / work, 1e-9 * bytes / work, 1e3 * read,
        1e3 * multiply, work / (read > multiply ? read : multiply));
    free(A);
    free(w);
    free(C);
}

/* ---- factorisations ---- */

typedef struct {
    size_t n, n_leading;
    double *A, *P;                 /* symmetric; positive definite, with eigenvalues that fall off like those of data */
    double *X, *L, *values, *work; /* outputs and workspace */
} matrices;

static matrices make_matrices(size_t n)
{
    matrices s = {n,
                  n / 16 + 1,
                  numbers(n * n, true, -1),
                  numbers(n * n, true, -1),
                  numbers(n * n, true, -1),
                  numbers(n * n, true, -1),
                  numbers(2 * n, true, -1),
                  NULL};

    s.work = numbers(ml__leading_eigen_work(n, s.n_leading), true, -1);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            s.A[j * n + i] = s.A[i * n + j];
    ml__kernels_best()->f64.gemm_tn(n, n, n, s.A, n, s.A, n, 0, s.P, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s.P[i * n + j] = s.P[i * n + j] / (double)((i + 1) * (j + 1)) + (i == j ? 0.01 : 0);
    return s;
}

static void run_cholesky(matrices *s)
{
    memcpy(s->L, s->P, s->n * s->n * sizeof *s->L);
    (void)ml__cholesky(s->n, s->L, s->n);
}

static void run_inverse(matrices *s)
{
    ml__invert_lower(s->n, s->L, s->n, s->X, s->n);
}

static void run_solve(matrices *s)
{
    memcpy(s->X, s->A, s->n * s->n * sizeof *s->X);
    ml__solve_lower(s->n, s->n, s->L, s->n, s->X, s->n);
}

static void run_eigen(matrices *s)
{
    memcpy(s->X, s->A, s->n * s->n * sizeof *s->X);
    (void)ml__symmetric_eigen(s->n, s->X, s->n, s->values, s->values + s->n);
}

static void run_leading(matrices *s)
{
    bool converged;

    (void)ml__leading_eigen(NULL, s->n, s->n_leading, s->P, s->n, NULL, 1e-6, 1000, s->values, s->X, s->work,
                            &converged);
}

static double least_time(matrices *s, void (*run)(matrices *s))
{
    const int n_repeats = s->n < 100 ? N_REPEATS : N_LARGE_REPEATS;
    double least = 1e9;

    for (int r = 0; r < n_repeats; r++) {
        const double start = seconds();

        run(s);
        least = seconds() - start < least ? seconds() - start : least;
    }
    return 1e6 * least;
}

static void print_factorisations(size_t n)
{
    matrices s = make_matrices(n);
    const double cholesky = least_time(&s, run_cholesky), inverse = least_time(&s, run_inverse);
    const double solve = least_time(&s, run_solve), eigen = least_time(&s, run_eigen);

    printf(
        "n = %3zu: cholesky %.1f us, inverse %.1f us, %zu solves %.1f us, eigen %.0f us, %zu leading pairs %.0f us\n",
        n, cholesky, inverse, n, solve, eigen, s.n_leading, least_time(&s, run_leading));
    free(s.A);
    free(s.P);
    free(s.X);
    free(s.L);
    free(s.values);
    free(s.work);
}

static bool is_wanted(const ml__kernels *const *tables, size_t t, int argc, char **argv)
{
    if (t && tables[t]->f32.nearest == tables[t - 1]->f32.nearest) /* differs in the kernels of trees only */
        return false;
    return argc < 2 || strcmp(argv[1], tables[t]->name) == 0;
}

int main(int argc, char **argv)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    const machine limits = machine_measure(1);

    printf("one core: %.2f GHz, %s, %.0f GFLOP/s f32, %.0f f64\n", 1e-9 * limits.clock, limits.level,
           1e-9 * limits.one_flops32, 1e-9 * limits.one_flops64);
    for (size_t t = 0; t < n_tables; t++)
        for (int in_double = 0; in_double < 2 && is_wanted(tables, t, argc, argv); in_double++) {
            print_nearest(tables[t], in_double, 64, 16);
            print_nearest(tables[t], in_double, 10, 20);
            print_nearest(tables[t], in_double, 256, 64);
            print_syrk_weighted(tables[t], in_double, 1000000, 28);
        }
    for (size_t i = 0; i < sizeof ORDERS / sizeof ORDERS[0]; i++)
        print_factorisations(ORDERS[i]);
    return 0;
}
