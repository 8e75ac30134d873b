/* SPDX-License-Identifier: Apache-2.0 */
/* FANN, speaking the language of bench/driver.c: a network with one soft target per class, trained by RPROP or row by row
 * (FANN has neither Adam nor mini-batches). */
#include <fann.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    char words[4096];
    unsigned n, n_test, d, classes, epochs;
    struct fann_train_data *train, *test;
    struct fann *net;
} job;

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const char *word(const job *j, const char *key, char *out, size_t size)
{
    char wanted[64];
    const char *at;

    snprintf(wanted, sizeof wanted, " %s=", key);
    at = strstr(j->words, wanted);
    snprintf(out, size, "%.*s", at ? (int)strcspn(at + strlen(wanted), " \n") : 0, at ? at + strlen(wanted) : "");
    return out;
}

static unsigned number(const job *j, const char *key)
{
    char text[256];

    return (unsigned)strtoul(word(j, key, text, sizeof text), NULL, 10);
}

static struct fann_train_data *read_table(const job *j, const char *x, const char *y, unsigned n)
{
    struct fann_train_data *data = fann_create_train(n, j->d, j->classes);
    char path[512];
    FILE *xs = fopen(word(j, x, path, sizeof path), "rb"), *ys = fopen(word(j, y, path, sizeof path), "rb");

    for (unsigned i = 0; xs && ys && i < n; i++) {
        double label = 0;
        if (fread(data->input[i], sizeof(float), j->d, xs) != j->d || fread(&label, sizeof label, 1, ys) != 1)
            break;
        for (unsigned k = 0; k < j->classes; k++)
            data->output[i][k] = k == (unsigned)label;
    }
    if (xs)
        fclose(xs);
    if (ys)
        fclose(ys);
    return data;
}

static void train(job *j)
{
    char hidden[256], algorithm[32];
    unsigned widths[16] = {j->d}, n = 1;

    word(j, "hidden", hidden, sizeof hidden);
    for (char *h = strtok(hidden, ","); h && n < 15; h = strtok(NULL, ","))
        widths[n++] = (unsigned)strtoul(h, NULL, 10);
    widths[n++] = j->classes;
    if (j->net)
        fann_destroy(j->net);
    j->net = fann_create_standard_array(n, widths);
    fann_set_activation_function_hidden(j->net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(j->net, FANN_SIGMOID);
    if (!strcmp(word(j, "algorithm", algorithm, sizeof algorithm), "incremental")) {
        fann_set_training_algorithm(j->net, FANN_TRAIN_INCREMENTAL);
        fann_set_learning_rate(j->net, 0.05f);
    }
    for (unsigned e = 0; e < j->epochs; e++)
        fann_train_epoch(j->net, j->train);
}

static double score(const job *j)
{
    unsigned right = 0;

    for (unsigned i = 0; i < j->n_test; i++) {
        const fann_type *out = fann_run(j->net, j->test->input[i]);
        unsigned best = 0, truth = 0;
        for (unsigned k = 1; k < j->classes; k++) {
            best = out[k] > out[best] ? k : best;
            truth = j->test->output[i][k] > 0.5f ? k : truth;
        }
        right += best == truth;
    }
    return (double)right / j->n_test;
}

int main(void)
{
    static job j;
    char line[4096], verb[32];

    while (fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4)) {
        if (!strncmp(line, "prepare", 7)) {
            memcpy(j.words, line, sizeof line);
            j.n = number(&j, "n");
            j.n_test = number(&j, "nt");
            j.d = number(&j, "d");
            j.classes = number(&j, "classes");
            j.epochs = number(&j, "epochs");
            j.train = read_table(&j, "x", "y", j.n);
            j.test = read_table(&j, "xt", "yt", j.n_test);
            word(&j, "verb", verb, sizeof verb);
            if (!strcmp(verb, "row"))
                train(&j);
            printf("ok=1 version=%s\n", PEER_VERSION);
        } else if (!strncmp(line, "run", 3)) {
            const char *at = strstr(line, "loops=");
            const unsigned long loops = at ? strtoul(at + 6, NULL, 10) : 1;
            const double start = seconds();
            for (unsigned long i = 0; i < loops; i++)
                if (!strcmp(verb, "row"))
                    fann_run(j.net, j.test->input[i % j.n_test]);
                else
                    train(&j);
            printf("seconds=%.9g\n", (seconds() - start) / (double)loops);
        } else {
            printf("score=%.12g\n", score(&j));
        }
        fflush(stdout);
    }
    return 0;
}
