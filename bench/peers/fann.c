/* SPDX-License-Identifier: Apache-2.0 */
/* FANN, speaking the language of bench/driver.c: a network with one soft target per class, trained by RPROP or row by row
 * (FANN has neither Adam nor mini-batches). */
#include "protocol.h"

#include <fann.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 16 };

typedef struct {
    words words;
    unsigned n_test, d, classes, epochs;
    int by_row; /* time one row after the other, not training */
    struct fann_train_data *train, *test;
    struct fann *net;
} job;

static void job_clear(job *j)
{
    if (j->train)
        fann_destroy_train(j->train);
    if (j->test)
        fann_destroy_train(j->test);
    if (j->net)
        fann_destroy(j->net);
    memset(j, 0, sizeof *j);
}

/* NULL when the files are not there or too short. */
static struct fann_train_data *read_table(const job *j, const char *x, const char *y, unsigned n)
{
    struct fann_train_data *data = fann_create_train(n, j->d, j->classes);
    FILE *xs = fopen(text_of(&j->words, x, ""), "rb"), *ys = fopen(text_of(&j->words, y, ""), "rb");
    unsigned i = 0;

    for (; xs && ys && i < n; i++) {
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
    if (i < n) {
        fann_destroy_train(data);
        return NULL;
    }
    return data;
}

static void train(job *j)
{
    const char *hidden = text_of(&j->words, "hidden", "");
    unsigned widths[MAX_LAYERS] = {j->d}, n = 1;

    for (char *end; *hidden && n < MAX_LAYERS - 1; hidden = *end ? end + 1 : end)
        widths[n++] = (unsigned)strtoul(hidden, &end, 10);
    widths[n++] = j->classes;
    if (j->net)
        fann_destroy(j->net);
    j->net = fann_create_standard_array(n, widths);
    fann_set_activation_function_hidden(j->net, FANN_SIGMOID_SYMMETRIC);
    fann_set_activation_function_output(j->net, FANN_SIGMOID);
    if (!strcmp(text_of(&j->words, "algorithm", "rprop"), "incremental")) {
        fann_set_training_algorithm(j->net, FANN_TRAIN_INCREMENTAL);
        fann_set_learning_rate(j->net, 0.05f);
    }
    for (unsigned e = 0; e < j->epochs; e++)
        fann_train_epoch(j->net, j->train);
}

static void do_prepare(job *j, const char *line)
{
    job_clear(j);
    words_parse(&j->words, line);
    j->n_test = (unsigned)number_of(&j->words, "nt", 0);
    j->d = (unsigned)number_of(&j->words, "d", 0);
    j->classes = (unsigned)number_of(&j->words, "classes", 0);
    j->epochs = (unsigned)number_of(&j->words, "epochs", 0);
    j->by_row = !strcmp(text_of(&j->words, "verb", ""), "row");
    if (strcmp(text_of(&j->words, "dtype", ""), "f4")) {
        printf("error=wants dtype=f4\n");
        return;
    }
    j->train = read_table(j, "x", "y", (unsigned)number_of(&j->words, "n", 0));
    j->test = read_table(j, "xt", "yt", j->n_test);
    if (!j->train || !j->test) {
        printf("error=cannot read the tables\n");
        return;
    }
    if (j->by_row)
        train(j);
    printf("ok=1 version=%s\n", PEER_VERSION);
}

static void do_run(job *j, size_t loops)
{
    const double start = seconds();

    if (j->by_row)
        for (size_t i = 0, row = 0; i < loops; i++) {
            fann_run(j->net, j->test->input[row]);
            row = row + 1 < j->n_test ? row + 1 : 0;
        }
    else
        for (size_t i = 0; i < loops; i++)
            train(j);
    printf("seconds=%.9g\n", (seconds() - start) / (double)loops);
}

static unsigned largest(const fann_type *values, unsigned n)
{
    unsigned best = 0;

    for (unsigned k = 1; k < n; k++)
        best = values[k] > values[best] ? k : best;
    return best;
}

static double accuracy(const job *j)
{
    unsigned right = 0;

    for (unsigned i = 0; i < j->n_test; i++)
        right += largest(fann_run(j->net, j->test->input[i]), j->classes) == largest(j->test->output[i], j->classes);
    return (double)right / j->n_test;
}

int main(void)
{
    static job j;
    char line[MAX_LINE];

    while (fgets(line, sizeof line, stdin) && strncmp(line, "quit", 4)) {
        words o;
        words_parse(&o, line);
        if (!strncmp(line, "prepare", 7))
            do_prepare(&j, line);
        else if (!strncmp(line, "run", 3))
            do_run(&j, number_of(&o, "loops", 1));
        else
            printf("score=%.12g\n", accuracy(&j));
        fflush(stdout);
    }
    job_clear(&j);
    return 0;
}
