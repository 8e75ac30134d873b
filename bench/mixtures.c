/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of EM for a mixture of Gaussians by one thread, by features, components and type of covariance: nanoseconds for each
 * row, and the share of the limit.
 *
 *     bench-mixtures [seconds_per_cell [type features components]]
 *
 * The limit is the time of the multiply-adds alone at the rate of one core (machine_peak): 2 k d² flops of a row for full
 * covariances, 8 k d for diagonal ones, 4 k d for tied and spherical ones. Exponentials, statistics and rows of statistics
 * that are not squares (1 and x) are not in it: with few features they are most of the work. The peak and the steps take
 * turns; times are the least of all rounds, by the clock of the thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/context.h"
#include "learn/gmm/mixture.h"
#include "machine.h"
#include "numbers.h"
#include "protocol.h"

enum { N_ROWS = 2048, LEAST_ROUNDS = 5 };
static const size_t FEATURES[] = {1, 2, 3, 4, 7, 8, 16, 21, 32, 64, 100};
static const size_t COMPONENTS[] = {1, 2, 3, 4, 5, 8, 13, 16, 32};
static const char *const TYPES[] = {"full", "tied", "diag", "spherical"};

/* Rows of k clusters, one after the other, about centres of their own. */
static double *rows_of_clusters(size_t d, size_t k, uint32_t *of)
{
    double *X = numbers(N_ROWS * d, true, -1), *centres = numbers(k * d, true, -1);

    for (size_t i = 0; i < N_ROWS; i++) {
        of[i] = (uint32_t)(i % k);
        for (size_t j = 0; j < d; j++)
            X[i * d + j] += 2 * centres[of[i] * d + j];
    }
    free(centres);
    return X;
}

static double flops(ml__covariance type, double d, double k)
{
    return k * d * (type == ML__FULL ? 2 * d : type == ML__DIAG ? 8 : 4);
}

/* Of this thread alone: steps of large mixtures are too long to find the processor free. */
static double processor_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of a step: of some half a millisecond of them. */
static double time_steps(ml__em *em, ml__mixture *m, double work)
{
    const int n_steps = (int)(2e7 / work) + 1;
    const double start = processor_seconds();
    double log_likelihood;

    for (int i = 0; i < n_steps; i++)
        if (ml__em_step(em, m, &log_likelihood) != ML_OK) {
            fprintf(stderr, "bench-mixtures: %s\n", ml_last_error());
            exit(1);
        }
    return (processor_seconds() - start) / n_steps;
}

static void measure(ml_context *context, ml__covariance type, size_t d, size_t k, double budget)
{
    const double work = N_ROWS * flops(type, (double)d, (double)k), end = seconds() + budget;
    uint32_t *of = allocate(N_ROWS, sizeof *of);
    double *w = allocate(N_ROWS, sizeof *w), *X = rows_of_clusters(d, k, of), peak = 0, best = 1e9;
    ml__arena arena;
    ml__mixture m;
    ml__em em;

    for (size_t i = 0; i < N_ROWS; i++)
        w[i] = 1;
    ml__arena_init(&arena, context);
    if (ml__mixture_create(&arena, type, k, d, &m) != ML_OK ||
        ml__em_create(&arena, context, &(ml__points){.X = X, .n = N_ROWS, .d = d, .w = w}, type, k, 1e-6, &em) != ML_OK)
        exit(1);
    em.of = of;
    if (ml__em_begin(&em, &m) != ML_OK)
        exit(1);
    for (int round = 0; round < LEAST_ROUNDS || seconds() < end; round++) {
        const double rate = machine_peak(ml__kernels_best()->name, true), time = time_steps(&em, &m, work + 1e5);

        peak = rate > peak ? rate : peak;
        best = time < best ? time : best;
    }
    printf(best / N_ROWS * 1e9 < 999.5 ? " %.3g / %.0f |" : " %.0f / %.0f |", best / N_ROWS * 1e9,
           100 * work / best / peak);
    fflush(stdout);
    ml__arena_free(&arena);
    free(of);
    free(w);
    free(X);
}

int main(int argc, char **argv)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = 1};
    const double budget = argc > 1 ? atof(argv[1]) : 0.05;
    ml_context *context;

    if (ml_context_create(&options, &context) != ML_OK) {
        fprintf(stderr, "bench-mixtures: %s\n", ml_last_error());
        return 1;
    }
    if (argc > 4) {
        for (ml__covariance type = ML__FULL; type <= ML__SPHERICAL; type++)
            if (strcmp(argv[2], TYPES[type]) == 0)
                measure(context, type, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), budget);
        putchar('\n');
        ml_context_free(context);
        return 0;
    }
    for (ml__covariance type = ML__FULL; type <= ML__SPHERICAL; type++) {
        printf("\n%s, %s: ns of a row / %% of the limit\n\n| d \\ k |", TYPES[type], ml__kernels_best()->name);
        for (size_t c = 0; c < sizeof COMPONENTS / sizeof *COMPONENTS; c++)
            printf(" %zu |", COMPONENTS[c]);
        printf("\n|---|---|---|---|---|---|---|---|---|---|\n");
        for (size_t f = 0; f < sizeof FEATURES / sizeof *FEATURES; f++) {
            printf("| %zu |", FEATURES[f]);
            for (size_t c = 0; c < sizeof COMPONENTS / sizeof *COMPONENTS; c++)
                measure(context, type, FEATURES[f], COMPONENTS[c], budget);
            putchar('\n');
        }
    }
    ml_context_free(context);
    return 0;
}
