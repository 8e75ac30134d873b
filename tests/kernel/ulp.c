/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The errors and speeds of vector maths that docs/kernels.md records, by hand: kernel-ulp [-s] [exp|log|tanh|logistic...]
 *
 * fp32: all 2^32 inputs against the C library in double. fp64: N_F64 inputs against long double, one third of them uniform
 * where the function changes, one third uniform by bits (all magnitudes and special values), one third around 0 and 1.
 * An error is the distance to the exact value in units in the last place of the exact value; at most 0.5 is perfect and
 * not measured closer. Every table of this build is measured; tables of vector instructions must agree in every bit.
 * Speed is that of arrays in the first-level cache, in core cycles: a chain of dependent additions tells their length.
 * With -s, for an emulator, one of SPARSE inputs and no speeds.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernel/kernel.h"

enum { BLOCK = 4096, N_F64 = 60000000, MAX_TABLES = 8, SPARSE = 1021 };

static long double logistic_wide(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

static double logistic(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static const struct {
    const char *name;
    double (*reference)(double x);
    long double (*wide)(long double x);
    size_t f32, f64;  /* offsets of the table's slots */
    double low, high; /* where it changes */
} FUNCTIONS[] = {
    {"exp", exp, expl, offsetof(ml__kernels_f32, vexp), offsetof(ml__kernels_f64, vexp), -746, 710},
    {"log", log, logl, offsetof(ml__kernels_f32, vlog), offsetof(ml__kernels_f64, vlog), 0, 16},
    {"tanh", tanh, tanhl, offsetof(ml__kernels_f32, vtanh), offsetof(ml__kernels_f64, vtanh), -20, 20},
    {"logistic", logistic, logistic_wide, offsetof(ml__kernels_f32, vlogistic), offsetof(ml__kernels_f64, vlogistic),
     -746, 40},
};
enum { N_FUNCTIONS = sizeof FUNCTIONS / sizeof FUNCTIONS[0] };

typedef struct {
    double largest, at; /* error in ulps, and the input */
} worst;

static void (*f32_slot(const ml__kernels *table, size_t function))(size_t n, const float *x, float *y)
{
    void (*slot)(size_t n, const float *x, float *y);

    memcpy(&slot, (const char *)&table->f32 + FUNCTIONS[function].f32, sizeof slot);
    return slot;
}

static void (*f64_slot(const ml__kernels *table, size_t function))(size_t n, const double *x, double *y)
{
    void (*slot)(size_t n, const double *x, double *y);

    memcpy(&slot, (const char *)&table->f64 + FUNCTIONS[function].f64, sizeof slot);
    return slot;
}

/* One value of `digits` binary digits, exponents from least_exponent on; inf counts as the power of two above all. */
static void measure(worst *w, double x, double got, long double want, int digits, int least_exponent, double infinite)
{
    int exponent;
    double error = INFINITY;

    if (!isnan(got) && !isnan(want) && !isinf(want)) {
        frexpl(want, &exponent);
        exponent = exponent < least_exponent ? least_exponent : exponent;
        error = (double)(fabsl((isinf(got) ? copysign(infinite, got) : got) - want) / ldexpl(1, exponent - digits));
    }
    if (error > w->largest)
        *w = (worst){error, x};
}

static void report(const char *precision, const char *name, const worst *w, size_t n_differences)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    for (size_t t = 0; t < n_tables; t++)
        printf("%s %-8s %-8s %.4f ulp at %.17g (%a)\n", precision, name, tables[t]->name, w[t].largest, w[t].at,
               w[t].at);
    if (n_differences)
        printf("%s %-8s %zu values differ between vector tables\n", precision, name, n_differences);
    fflush(stdout);
}

/* Is table t of vector instructions, as the one before? */
static bool follows_vector_table(size_t t)
{
    const ml__kernels *const *tables;

    (void)ml__kernels_all(&tables);
    return t && tables[t - 1]->chain == ML__CHAIN_FUSED && tables[t]->chain == ML__CHAIN_FUSED;
}

/* Every step-th number by bits. */
static void all_f32(size_t function, uint64_t step)
{
    static float x[BLOCK], y[MAX_TABLES][BLOCK];
    static double want[BLOCK];
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    worst w[MAX_TABLES] = {{0, 0}};
    size_t n_differences = 0;

    for (uint64_t block = 0; block < (UINT64_C(1) << 32) / step; block += BLOCK) {
        for (uint32_t i = 0; i < BLOCK; i++) {
            const uint32_t bits = (uint32_t)((block + i) * step);
            memcpy(&x[i], &bits, sizeof bits);
            want[i] = FUNCTIONS[function].reference(x[i]);
        }
        for (size_t t = 0; t < n_tables; t++) {
            f32_slot(tables[t], function)(BLOCK, x, y[t]);
            for (size_t i = 0; i < BLOCK; i++)
                if (y[t][i] != (float)want[i] && !(isnan(y[t][i]) && isnan(want[i])))
                    measure(&w[t], x[i], y[t][i], want[i], FLT_MANT_DIG, FLT_MIN_EXP, 0x1p128);
            for (size_t i = 0; i < BLOCK && follows_vector_table(t); i++)
                n_differences += memcmp(&y[t - 1][i], &y[t][i], sizeof(float)) != 0 && !isnan(want[i]);
        }
    }
    report("f32", FUNCTIONS[function].name, w, n_differences);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double sample(size_t function, size_t i, uint64_t *state)
{
    const uint64_t z = next_random(state);
    const double u = (double)(z >> 11) * 0x1p-53;
    double x;

    switch (i % 3) {
    case 0:
        return FUNCTIONS[function].low + (FUNCTIONS[function].high - FUNCTIONS[function].low) * u;
    case 1:
        memcpy(&x, &z, sizeof x);
        return x;
    default:
        return (i % 2 ? 1 : 0) + ldexp(2 * u - 1, -(int)(z % 16));
    }
}

static void many_f64(size_t function, size_t n_values)
{
    static double x[BLOCK], y[MAX_TABLES][BLOCK];
    static long double want[BLOCK];
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    worst w[MAX_TABLES] = {{0, 0}};
    size_t n_differences = 0;
    uint64_t state = function;

    for (size_t block = 0; block < n_values; block += BLOCK) {
        for (size_t i = 0; i < BLOCK; i++) {
            x[i] = sample(function, block + i, &state);
            want[i] = FUNCTIONS[function].wide(x[i]);
        }
        for (size_t t = 0; t < n_tables; t++) {
            f64_slot(tables[t], function)(BLOCK, x, y[t]);
            for (size_t i = 0; i < BLOCK; i++)
                if (y[t][i] != (double)want[i] && !(isnan(y[t][i]) && isnan(want[i])))
                    measure(&w[t], x[i], y[t][i], want[i], DBL_MANT_DIG, DBL_MIN_EXP, INFINITY);
            for (size_t i = 0; i < BLOCK && follows_vector_table(t); i++)
                n_differences += memcmp(&y[t - 1][i], &y[t][i], sizeof(double)) != 0 && !isnan(want[i]);
        }
    }
    report("f64", FUNCTIONS[function].name, w, n_differences);
}

/* ---- speed ---- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds per core cycle, the least of several tries. */
static double cycle_time(void)
{
    enum { N = 2000000 };
    double least = INFINITY;

    for (int attempt = 0; attempt < 20; attempt++) {
        const double start = now();
        uint64_t sum = 0;

        for (int i = 0; i < N; i++) {
            sum += (uint64_t)i;
            __asm__ volatile("" : "+r"(sum)); /* one addition after the other */
        }
        least = fmin(least, (now() - start) / N);
    }
    return least;
}

#define LEAST_TIME(least, call)                                   \
    do {                                                          \
        for (int attempt = 0; attempt < 400; attempt++) {         \
            const double start = now();                           \
            for (int repeat = 0; repeat < 10; repeat++)           \
                call;                                             \
            least = fmin(least, (now() - start) / (10 * LENGTH)); \
        }                                                         \
    } while (0)

enum { LENGTH = 2000 };
static volatile double used; /* or calls might go away */

static double cycle; /* seconds */

static void print_speed(const char *table, const char *what, double f32, double f64)
{
    printf("speed %-8s %-14s f32 %6.2f, f64 %6.2f cycles per value\n", table, what, f32 / cycle, f64 / cycle);
}

static float x32[LENGTH], y32[LENGTH];
static double x64[LENGTH], y64[LENGTH];

static void print_row_speeds(const ml__kernels *table, size_t n)
{
    double f32 = INFINITY, f64 = INFINITY;
    char what[32];

    LEAST_TIME(f32, table->f32.softmax(LENGTH / n, n, y32, n, NULL));
    LEAST_TIME(f64, table->f64.softmax(LENGTH / n, n, y64, n, NULL));
    snprintf(what, sizeof what, "softmax %zu", n);
    print_speed(table->name, what, f32, f64);
    f32 = f64 = INFINITY;
    LEAST_TIME(f32, table->f32.logsumexp(LENGTH / n, n, x32, n, y32));
    LEAST_TIME(f64, table->f64.logsumexp(LENGTH / n, n, x64, n, y64));
    snprintf(what, sizeof what, "logsumexp %zu", n);
    print_speed(table->name, what, f32, f64);
}

static void print_speeds(void)
{
    static const size_t COLUMNS[] = {2, 3, 10, 26, 100};
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    for (size_t i = 0; i < LENGTH; i++)
        x32[i] = (float)(x64[i] = 0.01 + 8.0 * (double)((i * 7919) % LENGTH) / LENGTH);
    for (size_t t = 0; t < n_tables; t++) {
        double f32, f64;

        for (size_t f = 0; f < N_FUNCTIONS; f++) {
            f32 = f64 = INFINITY;
            LEAST_TIME(f32, f32_slot(tables[t], f)(LENGTH, x32, y32));
            LEAST_TIME(f64, f64_slot(tables[t], f)(LENGTH, x64, y64));
            print_speed(tables[t]->name, FUNCTIONS[f].name, f32, f64);
        }
        for (size_t c = 0; c < sizeof COLUMNS / sizeof COLUMNS[0]; c++)
            print_row_speeds(tables[t], COLUMNS[c]);
        f32 = f64 = INFINITY;
        LEAST_TIME(f32, used += tables[t]->f32.sum(LENGTH, x32));
        LEAST_TIME(f64, used += tables[t]->f64.sum(LENGTH, x64));
        print_speed(tables[t]->name, "sum", f32, f64);
        f32 = f64 = INFINITY;
        LEAST_TIME(f32, used += tables[t]->f32.dot(LENGTH, x32, y32));
        LEAST_TIME(f64, used += tables[t]->f64.dot(LENGTH, x64, y64));
        print_speed(tables[t]->name, "dot", f32, f64);
    }
}

int main(int argc, char **argv)
{
    const bool sparse = argc > 1 && strcmp(argv[1], "-s") == 0;
    const int first = sparse ? 2 : 1;

    if (!sparse) {
        cycle = cycle_time();
        printf("%.2f GHz\n", 1e-9 / cycle);
        print_speeds();
    }
    for (size_t f = 0; f < N_FUNCTIONS; f++) {
        bool wanted = argc <= first;

        for (int a = first; a < argc; a++)
            wanted = wanted || strcmp(argv[a], FUNCTIONS[f].name) == 0;
        if (!wanted)
            continue;
        many_f64(f, sparse ? N_F64 / SPARSE : N_F64);
        all_f32(f, sparse ? SPARSE : 1);
    }
    return 0;
}
