/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three loops, each the best of several runs:
 *
 *   clock      a chain of adds, each waiting for the one before: one per cycle on every core in use today
 *   FMA peak   registers only: 12 chains of multiply-adds cover the latency of both ports
 *   bandwidth  reads of a block far larger than the caches, each thread its own part
 */
#include "machine.h"

#include "protocol.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_RUNS = 20, MAX_THREADS = 64, N_CHAINS = 12 };
static const size_t BLOCK = (size_t)512 << 20; /* bytes read by the bandwidth loop */
static const long N_ADDS = 16000000, N_FMA = 4000000, N_FMA_SHORT = 20000;

static volatile uint64_t g_sink; /* keeps results in use */

/* ---- one thread's work: returns adds, flops or bytes done ---- */

typedef struct {
    const uint64_t *block;
    size_t n_words;
    long n_fma; /* rounds of the multiply-add loops */
} part;

#if defined(__x86_64__)
#define ADD(sum, one) __asm__ volatile("add %1, %0" : "+r"(sum) : "r"(one))
#elif defined(__aarch64__)
#define ADD(sum, one) __asm__ volatile("add %0, %0, %1" : "+r"(sum) : "r"(one))
#else
#define ADD(sum, one) ((sum) += (one))
#endif

static double do_adds(const part *p)
{
    uint64_t sum = 0, one = 1 + p->n_words;

    for (long i = 0; i < N_ADDS; i += 8) {
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
        ADD(sum, one);
    }
    g_sink = sum;
    return (double)N_ADDS;
}

static double do_reads(const part *p)
{
    uint64_t sum[8] = {0};

    for (size_t i = 0; i + 8 <= p->n_words; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += p->block[i + j];
    g_sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    return (double)(p->n_words * sizeof *p->block);
}

/* Operations of p->n_fma rounds of N_CHAINS multiply-adds on vectors of `lanes` numbers. */
#define FMA_LOOP(name, target, vector, lanes, set1, fmadd)                                    \
    target static double name(const part *p)                                                  \
    {                                                                                         \
        const vector a = set1(0.5f), b = set1(1.0f + (float)(p->n_words & 1));                \
        vector x[N_CHAINS];                                                                   \
        for (int c = 0; c < N_CHAINS; c++)                                                    \
            x[c] = set1((float)c);                                                            \
        for (long i = 0; i < p->n_fma; i++) {                                                 \
            x[0] = fmadd(x[0], a, b), x[1] = fmadd(x[1], a, b), x[2] = fmadd(x[2], a, b);     \
            x[3] = fmadd(x[3], a, b), x[4] = fmadd(x[4], a, b), x[5] = fmadd(x[5], a, b);     \
            x[6] = fmadd(x[6], a, b), x[7] = fmadd(x[7], a, b), x[8] = fmadd(x[8], a, b);     \
            x[9] = fmadd(x[9], a, b), x[10] = fmadd(x[10], a, b), x[11] = fmadd(x[11], a, b); \
        }                                                                                     \
        for (int c = 1; c < N_CHAINS; c++)                                                    \
            x[0] = fmadd(x[0], a, x[c]);                                                      \
        g_sink = *(const unsigned char *)&x[0];                                               \
        return 2.0 * (lanes)*N_CHAINS * (double)p->n_fma;                                     \
    }

/* The portable table has what every compiler may use: vectors of 16 bytes, a multiplication, then an addition. */
typedef float vector32 __attribute__((vector_size(16)));
typedef double vector64 __attribute__((vector_size(16)));
#define SET32(v) ((vector32){(v), (v), (v), (v)})
#define SET64(v) ((vector64){(v), (v)})
#define MULTIPLY_THEN_ADD(x, a, b) ((x) * (a) + (b))
FMA_LOOP(fma32_portable, , vector32, 4, SET32, MULTIPLY_THEN_ADD)
FMA_LOOP(fma64_portable, , vector64, 2, SET64, MULTIPLY_THEN_ADD)
#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))
FMA_LOOP(fma32_avx2, AVX2, __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
FMA_LOOP(fma64_avx2, AVX2, __m256d, 4, _mm256_set1_pd, _mm256_fmadd_pd)
FMA_LOOP(fma32_avx512, AVX512, __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
FMA_LOOP(fma64_avx512, AVX512, __m512d, 8, _mm512_set1_pd, _mm512_fmadd_pd)
#elif defined(__aarch64__)
#include <arm_neon.h>
#define NEON_FMA32(x, a, b) vfmaq_f32(b, x, a)
#define NEON_FMA64(x, a, b) vfmaq_f64(b, x, a)
FMA_LOOP(fma32_neon, , float32x4_t, 4, vdupq_n_f32, NEON_FMA32)
FMA_LOOP(fma64_neon, , float64x2_t, 2, vdupq_n_f64, NEON_FMA64)
#endif

/* ---- instruction sets ---- */

typedef struct {
    const char *name; /* of the kernel table, too */
    double (*fma32)(const part *), (*fma64)(const part *);
} level;

/* In ascending order; each implies those before it. */
static const level LEVELS[] = {
    {"portable", fma32_portable, fma64_portable},
#if defined(__x86_64__)
    {"avx2", fma32_avx2, fma64_avx2},
    {"avx512", fma32_avx512, fma64_avx512},
#elif defined(__aarch64__)
    {"neon", fma32_neon, fma64_neon},
#endif
};

/* How many of LEVELS this processor has. */
static size_t count_levels(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 1;
    return __builtin_cpu_supports("avx512f") ? 3 : 2;
#else
    return sizeof LEVELS / sizeof LEVELS[0];
#endif
}

/* A table's own level; the highest for tables of a BLAS. */
static const level *level_of(const char *table)
{
    const size_t n = count_levels();

    for (size_t i = 0; i < n; i++)
        if (!strcmp(LEVELS[i].name, table))
            return &LEVELS[i];
    return &LEVELS[n - 1];
}

/* ---- all threads at once ---- */

typedef struct {
    double (*work)(const part *);
    part part;
    double best, lasting; /* of the work per second: of the best run by the thread's clock, of all runs by the wall's */
} worker;

/* Leaves out the time that the processor gave to others. */
static double thread_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void *run_worker(void *argument)
{
    worker *w = argument;
    const double begin = seconds();
    double done = 0;

    for (int run = 0; run < N_RUNS; run++) {
        const double start = thread_seconds(), amount = w->work(&w->part), passed = thread_seconds() - start;
        if (amount / passed > w->best)
            w->best = amount / passed;
        done += amount;
    }
    w->lasting = done / (seconds() - begin);
    return NULL;
}

static unsigned between_1_and_max(unsigned n_threads)
{
    return n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
}

/* The caller is the last of the threads. */
static void run_all(worker workers[MAX_THREADS], unsigned n_threads, double (*work)(const part *),
                    const uint64_t *block, size_t n_words)
{
    pthread_t threads[MAX_THREADS];
    unsigned n_started = 0;

    for (unsigned t = 0; t < n_threads; t++) {
        const size_t share = n_words / n_threads;
        workers[t] = (worker){work, {block ? block + t * share : NULL, share, N_FMA}, 0, 0};
        if (t + 1 == n_threads || pthread_create(&threads[n_started], NULL, run_worker, &workers[t]))
            run_worker(&workers[t]);
        else
            n_started++;
    }
    for (unsigned t = 0; t < n_started; t++)
        pthread_join(threads[t], NULL);
}

/* Work per second of n_threads threads that run together, each at its best. */
static double rate(double (*work)(const part *), unsigned n_threads, const uint64_t *block, size_t n_words)
{
    worker workers[MAX_THREADS];
    double sum = 0;

    run_all(workers, n_threads, work, block, n_words);
    for (unsigned t = 0; t < n_threads; t++)
        sum += workers[t].best;
    return sum;
}

static double measure_bandwidth(unsigned n_threads)
{
    uint64_t *block = malloc(BLOCK);
    double result = 0;

    if (block) {
        for (size_t i = 0; i < BLOCK / sizeof *block; i++)
            block[i] = i;
        result = rate(do_reads, n_threads, block, BLOCK / sizeof *block);
    }
    free(block);
    return result;
}

machine machine_measure(unsigned n_threads)
{
    const level *highest = &LEVELS[count_levels() - 1];
    machine m = {.level = highest->name};

    n_threads = between_1_and_max(n_threads);
    m.clock = rate(do_adds, n_threads, NULL, 0) / n_threads;
    m.one_flops32 = rate(highest->fma32, 1, NULL, 0);
    m.one_flops64 = rate(highest->fma64, 1, NULL, 0);
    m.flops32 = rate(highest->fma32, n_threads, NULL, 0);
    m.flops64 = rate(highest->fma64, n_threads, NULL, 0);
    m.bandwidth = measure_bandwidth(n_threads);
    return m;
}

double machine_peak(const char *table, bool in_double)
{
    const level *l = level_of(table);
    const part p = {.n_fma = N_FMA_SHORT};
    const double start = seconds(), amount = (in_double ? l->fma64 : l->fma32)(&p);

    return amount / (seconds() - start);
}

double machine_probe(unsigned n_threads)
{
    worker workers[MAX_THREADS];
    double least;

    n_threads = between_1_and_max(n_threads);
    run_all(workers, n_threads, do_adds, NULL, 0);
    least = workers[0].lasting;
    for (unsigned t = 1; t < n_threads; t++)
        least = workers[t].lasting < least ? workers[t].lasting : least;
    return least;
}
