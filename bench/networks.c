/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps of training (forward, loss, backward, Adam) of a network w-w-w-16 in single precision, by width and rows of a batch:
 * the share of the multipliers' peak, and the gain by threads.
 *
 *     bench-networks [n_threads [seconds_per_cell]]
 *
 * The multiply-adds of a step over its time, over n_threads times the rate of one core (machine_peak). The peak and the steps
 * of one and of n threads take turns; times are the least of all rounds: neighbours can only make them longer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/product.h"
#include "machine.h"
#include "numbers.h"
#include "protocol.h"

enum { N_LAYERS = 3, N_CLASSES = 16, LEAST_ROUNDS = 3 };
static const size_t BATCHES[] = {8, 16, 32, 64, 128, 256, 512, 1024};
static const size_t WIDTHS[] = {16, 17, 50, 64, 100, 256, 300, 512, 1024, 2048};
enum { N_BATCHES = sizeof BATCHES / sizeof *BATCHES, N_WIDTHS = sizeof WIDTHS / sizeof *WIDTHS };

static const ml__adam STEP = {1e-5, 0.9, 0.999, 1e-8, 1e-4};

typedef struct {
    size_t n[N_LAYERS + 1]; /* widths of the input and of the layers */
    float *W[N_LAYERS][3];  /* weights and moments, in the last row those of the biases */
    float *H[N_LAYERS + 1]; /* input and outputs of the layers */
    float *D[N_LAYERS];     /* derivatives */
    float *ones;
} network;

static network make(size_t w, size_t batch)
{
    network net = {.n = {w, w, w, N_CLASSES}};

    for (size_t l = 0; l <= N_LAYERS; l++) {
        net.H[l] = numbers(batch * net.n[l], false, -1);
        if (l == N_LAYERS)
            break;
        net.D[l] = numbers(batch * net.n[l + 1], false, -1);
        for (int v = 0; v < 3; v++)
            net.W[l][v] = numbers((net.n[l] + 1) * net.n[l + 1], false, v == 2 ? 0 : -1);
        for (size_t i = 0; i < (net.n[l] + 1) * net.n[l + 1]; i++)
            net.W[l][0][i] /= (float)net.n[l];
    }
    net.ones = allocate(batch, sizeof(float));
    for (size_t i = 0; i < batch; i++)
        net.ones[i] = 1;
    return net;
}

static void dispose(network *net)
{
    for (size_t l = 0; l <= N_LAYERS; l++)
        free(net->H[l]);
    for (size_t l = 0; l < N_LAYERS; l++) {
        free(net->D[l]);
        for (int v = 0; v < 3; v++)
            free(net->W[l][v]);
    }
    free(net->ones);
}

/* As training has them; the derivative of the loss is that of shares against the first class. */
static ml_status step(const ml__crew_f32 *crew, const network *net, size_t batch)
{
    float *Z = net->H[N_LAYERS];
    ml_status st = ML_OK;

    for (size_t l = 0; l < N_LAYERS; l++) {
        const size_t n = net->n[l + 1], k = net->n[l];

        ML__TRY(ml__product_layer_f32(crew, batch, n, k, net->H[l], k, net->W[l][0], n, net->W[l][0] + k * n,
                                      l + 1 < N_LAYERS ? ML__RELU : ML__IDENTITY, net->H[l + 1], n));
    }
    crew->k->softmax(batch, N_CLASSES, Z, N_CLASSES, net->D[N_LAYERS - 1]);
    for (size_t i = 0; i < batch * N_CLASSES; i++)
        net->D[N_LAYERS - 1][i] = (Z[i] - (i % N_CLASSES == 0)) / (float)batch;
    for (size_t l = N_LAYERS; l-- > 0;) {
        const size_t n = net->n[l + 1], k = net->n[l];
        float *const *W = net->W[l];

        if (l)
            ML__TRY(ml__product_layer_back_f32(crew, batch, k, n, net->D[l], n, W[0], n, ML__RELU, net->H[l], k,
                                               net->D[l - 1], k));
        ML__TRY(ml__product_adam_tn_f32(crew, k, n, batch, net->H[l], k, net->D[l], n, &STEP, W[0], W[1], W[2], n));
        ML__TRY(ml__product_adam_tn_f32(crew, 1, n, batch, net->ones, 1, net->D[l], n,
                                        &(ml__adam){STEP.rate, STEP.beta_1, STEP.beta_2, STEP.epsilon, 0}, W[0] + k * n,
                                        W[1] + k * n, W[2] + k * n, n));
    }
done:
    return st;
}

/* Seconds of a step, mean of some half a millisecond of them. */
static double time_steps(const ml__crew_f32 *crew, const network *net, size_t batch, double work)
{
    const int n_steps = (int)(5e7 / work) + 1;
    const double start = seconds();

    for (int i = 0; i < n_steps; i++)
        if (step(crew, net, batch) != ML_OK)
            exit(1);
    return (seconds() - start) / n_steps;
}

static void measure(ml_context *context, size_t w, size_t batch, double budget, double share[2])
{
    const ml__kernels *table = ml__kernels_best();
    const ml__crew_f32 crews[] = {{&table->f32, NULL}, {&table->f32, context}};
    const double weights = 2.0 * (double)w * (double)w + (double)w * N_CLASSES;
    const double work = 2 * (double)batch * (3 * weights - (double)w * (double)w);
    const double end = seconds() + budget;
    network net = make(w, batch);
    double peak = 0, best[2] = {1e9, 1e9};

    for (int round = 0; round < LEAST_ROUNDS || seconds() < end; round++) {
        const double rate = machine_peak(table->name, false);

        peak = rate > peak ? rate : peak;
        for (int v = 0; v < 2; v++) {
            const double time = time_steps(&crews[v], &net, batch, work);
            best[v] = time < best[v] ? time : best[v];
        }
    }
    for (int v = 0; v < 2; v++)
        share[v] = work / best[v] / (v ? peak * ml__n_threads(context) : peak);
    dispose(&net);
}

int main(int argc, char **argv)
{
    const ml_context_options options = {.struct_size = sizeof options,
                                        .n_threads = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2};
    const double budget = argc > 2 ? atof(argv[2]) : 0.3;
    ml_context *context;

    if (ml_context_create(&options, &context) != ML_OK) {
        fprintf(stderr, "bench-networks: %s\n", ml_last_error());
        return 1;
    }
    printf("%% of the peak (%s): one thread / %u threads\n| w \\ batch |", ml__kernels_best()->name, options.n_threads);
    for (size_t b = 0; b < N_BATCHES; b++)
        printf(" %zu |", BATCHES[b]);
    printf("\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < N_WIDTHS; i++) {
        printf("| %zu |", WIDTHS[i]);
        for (size_t b = 0; b < N_BATCHES; b++) {
            double share[2];

            measure(context, WIDTHS[i], BATCHES[b], budget, share);
            printf(" %.0f / %.0f |", 100 * share[0], 100 * share[1]);
            fflush(stdout);
        }
        putchar('\n');
    }
    ml_context_free(context);
    return 0;
}
