/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks every operation of every kernel table of this build against plain loops in long double, those of trees against
 * plain loops that give the same bits, and the factorisations by their residuals. One line per failed instance, a count at the end; -v adds the largest errors and a digest of
 * outputs; -l lists the tables instead.
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    size_t n_passed, n_failed;
    bool failed;    /* the instance under way */
    char name[200]; /* its name */
    uint64_t digest;
} run = {.digest = 0xcbf29ce484222325};

enum { MAX_MEASURES = 64 };
static struct {
    const char *what;
    double largest;
} measures[MAX_MEASURES];

void check_begin(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(run.name, sizeof run.name, format, arguments);
    va_end(arguments);
    run.failed = false;
}

void check_that(bool ok, const char *format, ...)
{
    va_list arguments;

    if (ok || run.failed)
        return;
    run.failed = true;
    printf("FAIL %s: ", run.name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

void check_end(void)
{
    if (run.failed)
        run.n_failed++;
    else
        run.n_passed++;
}

void check_measure(const char *what, double error)
{
    size_t i = 0;

    while (i < MAX_MEASURES - 1 && measures[i].what && strcmp(measures[i].what, what) != 0)
        i++;
    measures[i].what = what;
    if (error > measures[i].largest)
        measures[i].largest = error;
}

void check_digest(const void *bytes, size_t n_bytes)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < n_bytes; i++)
        run.digest = (run.digest ^ byte[i]) * 0x100000001b3; /* FNV-1a */
}

void *check_alloc(size_t count, size_t size)
{
    void *block = malloc(count * size + 1);

    if (!block) {
        fprintf(stderr, "check: out of memory\n");
        exit(2);
    }
    return block;
}

uint64_t check_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

double check_uniform(uint64_t *state)
{
    return (double)(check_random(state) >> 11) * 0x1p-52 - 1;
}

static void print_measures(void)
{
    for (size_t i = 0; i < MAX_MEASURES && measures[i].what; i++)
        printf("largest %-40s %.3g\n", measures[i].what, measures[i].largest);
    printf("digest %016llx\n", (unsigned long long)run.digest);
}

/* One with the same dense linear algebra as the table before is not checked for that again. */
static bool is_repeated(const ml__kernels *const *tables, size_t t)
{
    return t && !memcmp(&tables[t]->f32, &tables[t - 1]->f32, sizeof tables[t]->f32) &&
           !memcmp(&tables[t]->f64, &tables[t - 1]->f64, sizeof tables[t]->f64);
}

int main(int argc, char **argv)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    if (argc > 1 && strcmp(argv[1], "-l") == 0) {
        for (size_t t = 0; t < n_tables; t++)
            puts(tables[t]->name);
        return 0;
    }
    for (size_t t = 0; t < n_tables; t++) {
        if (!is_repeated(tables, t)) {
            check_table_f32(tables[t]);
            check_table_f64(tables[t]);
            check_mixture(tables[t]);
        }
        check_trees(tables[t]);
    }
    check_cuts(tables, n_tables);
    check_factor();
    check_subspace();
    if (argc > 1 && strcmp(argv[1], "-v") == 0)
        print_measures();
    printf("%zu passed, %zu failed\n", run.n_passed, run.n_failed);
    return run.n_failed != 0;
}
