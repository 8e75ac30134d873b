/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What threads gain on single-precision products: those of a 784-512-512-10 network with batches of 128, and square ones.
 *
 *     bench-threads [n_threads [repeats]]
 *
 * For each: GFLOP/s of one call of the table, of the shared product by one thread and by n threads (2), and the speedup of the
 * last over the better of the others. Times are the least of many rounds in which all three take turns, each with
 * CALLS_PER_ROUND calls one after the other, as training has them: neighbours can only make them longer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/product.h"
#include "numbers.h"
#include "protocol.h"

enum { CALLS_PER_ROUND = 4, N_VARIANTS = 3, N_MATRICES = 5 };

typedef enum { GEMM, LAYER, LAYER_BACK, ADAM_TN } operation;
static const char *const OPERATIONS[] = {"gemm_nn", "layer", "layer_back", "adam_tn"};

/* C is m x n, with k terms for each element. */
typedef struct {
    operation op;
    size_t m, n, k;
} shape;

static const shape SHAPES[] = {
    {LAYER, 128, 512, 784},     {LAYER, 128, 512, 512},   {LAYER, 128, 10, 512},    {LAYER_BACK, 128, 512, 512},
    {LAYER_BACK, 128, 512, 10}, {ADAM_TN, 784, 512, 128}, {ADAM_TN, 512, 512, 128}, {GEMM, 128, 512, 784},
    {GEMM, 512, 512, 512},      {GEMM, 1024, 1024, 1024},
};
enum { N_SHAPES = sizeof SHAPES / sizeof SHAPES[0] };

static const ml__adam STEP = {0.001, 0.9, 0.999, 1e-8, 0.0001};

static void call_table(const ml__kernels_f32 *t, const shape *s, float *const x[N_MATRICES])
{
    const size_t m = s->m, n = s->n, k = s->k;

    switch (s->op) {
    case GEMM:
        t->gemm_nn(m, n, k, x[0], k, x[1], n, 0, x[2], n);
        break;
    case LAYER:
        t->layer(m, n, k, x[0], k, x[1], n, x[3], ML__RELU, x[2], n);
        break;
    case LAYER_BACK:
        t->layer_back(m, n, k, x[0], k, x[1], k, ML__RELU, x[3], n, x[2], n);
        break;
    case ADAM_TN:
        t->adam_tn(m, n, k, x[0], m, x[1], n, &STEP, x[2], x[3], x[4], n);
        break;
    }
}

static ml_status share(const ml__crew_f32 *crew, const shape *s, float *const x[N_MATRICES])
{
    const size_t m = s->m, n = s->n, k = s->k;

    switch (s->op) {
    case GEMM:
        return ml__product_gemm_nn_f32(crew, m, n, k, x[0], k, x[1], n, 0, x[2], n);
    case LAYER:
        return ml__product_layer_f32(crew, m, n, k, x[0], k, x[1], n, x[3], ML__RELU, x[2], n);
    case LAYER_BACK:
        return ml__product_layer_back_f32(crew, m, n, k, x[0], k, x[1], k, ML__RELU, x[3], n, x[2], n);
    default:
        return ml__product_adam_tn_f32(crew, m, n, k, x[0], m, x[1], n, &STEP, x[2], x[3], x[4], n);
    }
}

/* Seconds of one call: by the table, by one thread, by the context's. */
static void measure(const shape *s, ml_context *context, int n_rounds, double best[N_VARIANTS])
{
    const ml__kernels_f32 *table = &ml__kernels_best()->f32;
    const ml__crew_f32 crews[] = {{table, NULL}, {table, NULL}, {table, context}};
    float *x[N_MATRICES] = {numbers(s->m * s->k, false, 0), numbers(s->k * s->n, false, 0),
                            numbers(s->m * s->n, false, 0), numbers(s->m * s->n, false, 0),
                            numbers(s->m * s->n, false, 0)};

    for (int round = -1; round < n_rounds; round++) /* the first one warms up */
        for (int v = 0; v < N_VARIANTS; v++) {
            double start = seconds(), time;

            for (int i = 0; i < CALLS_PER_ROUND; i++)
                if (v == 0)
                    call_table(table, s, x);
                else if (share(&crews[v], s, x) != ML_OK)
                    exit(1);
            time = (seconds() - start) / CALLS_PER_ROUND;
            best[v] = round <= 0 || time < best[v] ? time : best[v];
        }
    for (int i = 0; i < N_MATRICES; i++)
        free(x[i]);
}

int main(int argc, char **argv)
{
    const ml_context_options options = {.struct_size = sizeof options,
                                        .n_threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2};
    const int n_rounds = argc > 2 ? atoi(argv[2]) : 200;
    ml_context *context;

    if (ml_context_create(&options, &context) != ML_OK) {
        fprintf(stderr, "bench-threads: %s\n", ml_last_error());
        return 1;
    }
    printf("%s, GFLOP/s             one call  1 thread %2u threads  speedup\n", ml__kernels_best()->name,
           options.n_threads);
    for (size_t i = 0; i < N_SHAPES; i++) {
        const shape *s = &SHAPES[i];
        const double work = 2e-9 * (double)s->m * (double)s->n * (double)s->k;
        double time[N_VARIANTS];

        measure(s, context, n_rounds, time);
        printf("%-10s %4zu x %4zu x %4zu %8.1f  %8.1f %10.1f  %7.2f\n", OPERATIONS[s->op], s->m, s->n, s->k,
               work / time[0], work / time[1], work / time[2], (time[0] < time[1] ? time[0] : time[1]) / time[2]);
    }
    ml_context_free(context);
    return 0;
}
