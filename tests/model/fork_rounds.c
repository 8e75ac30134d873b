/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By hand: `fork-rounds [rounds]`, 10 000 without argument. In each round a context of three threads fits a small forest,
 * the process forks, and parent and child both fit again at the same time, the child with a grandchild in every fourth
 * round. In every second round the fork happens while another thread of the process is inside a fit. Every fit must give
 * the same bytes, and a child that has not ended after ten seconds is a failure.
 */
#include <invar/ml.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_SECONDS = 10 };

static struct {
    ml_context *context;
    ml_dataset *data;
    char *bytes; /* of the model; NULL until the first fit */
    size_t n_bytes;
} shared;

static int differs(const ml_model *model)
{
    size_t n_bytes = 0;
    char *bytes;
    int code;

    if (ml_model_save_memory(model, NULL, 0, &n_bytes) != ML_OK || !(bytes = malloc(n_bytes)))
        return 2;
    if (ml_model_save_memory(model, bytes, n_bytes, NULL) != ML_OK)
        return 2;
    if (!shared.bytes) {
        shared.bytes = bytes;
        shared.n_bytes = n_bytes;
        return 0;
    }
    code = n_bytes != shared.n_bytes || memcmp(bytes, shared.bytes, n_bytes) ? 4 : 0;
    free(bytes);
    return code;
}

/* 0 when all is well. */
static int fit(void)
{
    ml_model *model;
    int code = 1;

    if (ml_model_create(shared.context, "random_forest", &model) == ML_OK &&
        ml_model_set_int(model, "n_estimators", 8) == ML_OK && ml_model_fit(model, shared.data, NULL) == ML_OK)
        code = differs(model);
    ml_model_free(model);
    return code;
}

/* What a child returned; 8 when it was killed. */
static int wait_for(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return 8;
    return WEXITSTATUS(status);
}

static int child_round(bool has_child)
{
    int code = fit();

    if (has_child) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(WATCHDOG_SECONDS);
            _exit(fit());
        }
        code |= wait_for(child);
        code |= fit();
    }
    return code;
}

static atomic_bool is_over;
static atomic_int background_code;

static void *fit_on_and_on(void *unused)
{
    while (!atomic_load(&is_over))
        atomic_fetch_or(&background_code, fit());
    return unused;
}

static int one_round(int round)
{
    const bool is_busy = round % 2;
    pthread_t thread;
    int code = 0;

    atomic_store(&is_over, false);
    if (is_busy && pthread_create(&thread, NULL, fit_on_and_on, NULL) != 0)
        return 16;
    const pid_t child = fork();
    if (child == 0) {
        alarm(WATCHDOG_SECONDS);
        _exit(child_round(round % 4 == 0));
    }
    code |= fit();
    code |= wait_for(child);
    atomic_store(&is_over, true);
    if (is_busy)
        pthread_join(thread, NULL);
    return code | atomic_load(&background_code);
}

int main(int argc, char **argv)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = 3};
    const int n_rounds = argc > 1 ? atoi(argv[1]) : 10000;
    int n_failed = 0;

    for (int round = 0; round < n_rounds; round++) {
        int code = 1;
        if (round % 100 == 0 && ml_context_create(&options, &shared.context) == ML_OK) /* each serves 100 rounds */
            code = ml_dataset_make(shared.context, "classification", "n_samples=100,n_features=5,n_informative=3",
                                   &shared.data) != ML_OK;
        code = (round % 100 ? 0 : code) | fit() | one_round(round);
        if (code) {
            printf("round %d: code %d\n", round, code);
            n_failed++;
        }
        if (round % 100 == 99 || round == n_rounds - 1) {
            ml_dataset_free(shared.data);
            ml_context_free(shared.context);
        }
    }
    free(shared.bytes);
    printf("%d rounds, %d failed\n", n_rounds, n_failed);
    return n_failed != 0;
}
