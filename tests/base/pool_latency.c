/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By hand: what it costs to hand out a job. Microseconds from the call of ml__parallel_for() to its return, least and
 * median of many repeats, for as many tasks as threads:
 *
 *     empty       tasks do nothing, so that the owner may well have done them all before anybody came
 *     together    every task waits until all have begun: the time until all threads work, and back
 *     awake       calls follow each other at once
 *     asleep      between calls is a pause in which workers fall asleep
 *
 * Numbers of threads are the arguments; without, 1, 2 and 3.
 */
#include <invar/context.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/parallel.h"

enum { N_AWAKE = 20001, N_ASLEEP = 301, ASLEEP_NANOSECONDS = 2000000 };

static double microseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

typedef struct {
    atomic_size_t n_begun;
    size_t n_tasks;
} meeting;

static ml_status do_nothing(void *argument, size_t index)
{
    (void)argument;
    (void)index;
    return ML_OK;
}

static ml_status meet(void *argument, size_t index)
{
    meeting *m = argument;

    (void)index;
    atomic_fetch_add(&m->n_begun, 1);
    for (int i = 0; atomic_load(&m->n_begun) < m->n_tasks; i++)
        if (i > 1000)
            sched_yield();
    return ML_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(ml_context *context, size_t n_tasks, ml__task task, int n_repeats, long pause)
{
    static double times[N_AWAKE];

    for (int r = 0; r < n_repeats; r++) {
        meeting m = {.n_tasks = n_tasks};
        if (pause)
            nanosleep(&(struct timespec){0, pause}, NULL);
        const double start = microseconds();
        if (ml__parallel_for(context, n_tasks, task, &m) != ML_OK)
            exit(1);
        times[r] = microseconds() - start;
    }
    qsort(times, (size_t)n_repeats, sizeof *times, ascending);
    printf(" %8.2f %8.2f", times[0], times[n_repeats / 2]);
}

static void measure_all(uint32_t n_threads)
{
    const ml_context_options options = {.struct_size = sizeof options, .n_threads = n_threads};
    ml_context *context;

    if (ml_context_create(&options, &context) != ML_OK)
        exit(1);
    printf("%7u", n_threads);
    measure(context, n_threads, do_nothing, N_AWAKE, 0);
    measure(context, n_threads, do_nothing, N_ASLEEP, ASLEEP_NANOSECONDS);
    measure(context, n_threads, meet, N_AWAKE, 0);
    measure(context, n_threads, meet, N_ASLEEP, ASLEEP_NANOSECONDS);
    putchar('\n');
    ml_context_free(context);
}

int main(int argc, char **argv)
{
    puts("           empty, awake     empty, asleep   together, awake  together, asleep");
    puts("threads    least   median    least   median    least   median    least   median");
    for (uint32_t n_threads = 1; argc < 2 && n_threads <= 3; n_threads++)
        measure_all(n_threads);
    for (int a = 1; a < argc; a++)
        measure_all((uint32_t)atoi(argv[a]));
    return 0;
}
