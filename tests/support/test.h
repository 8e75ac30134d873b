/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test harness: TEST(suite, name) { … } registers itself; checks report and end the test. The context of a test
 * counts its allocations, and every test ends with a check that nothing allocated through it is left.
 */
#ifndef INVAR_TEST_H
#define INVAR_TEST_H

#include <invar/ml.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*test_function)(void);
void test_register(const char *suite, const char *name, test_function function);
/* Prints the failure and leaves the current test. */
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 3, 4)))
#endif
void test_fail(const char *file, int line, const char *format, ...);
void test_close(const char *file, int line, const char *what, double got, double want, double tolerance);
void test_fails(const char *file, int line, const char *what, ml_status got, ml_status want, const char *text);

/*
 * Fault injection: an allocator that counts, and fails allocation number `fail_at` (1-based; 0: never), once or from then
 * on. `n_live` blocks must be 0 at the end.
 */
typedef struct test_allocator {
    size_t n_allocations, n_live, fail_at;
    bool fail_all_later;
} test_allocator;
/* A context with n_threads on the counting allocator. */
ml_context *test_context(test_allocator *allocator, uint32_t n_threads);

/* Does something once; it leaves as many blocks behind as there were before, whether it fails or not. */
typedef ml_status (*test_attempt)(ml_context *context, void *argument);
/* Attempts with allocation 1, 2, … failing (once; then that one and all later) fail with ML_E_MEMORY and leak nothing,
 * until one succeeds. Returns how many failed; `what` is for messages. */
size_t test_failing_allocations(test_allocator *allocator, ml_context *context, const char *what, test_attempt attempt,
                                void *argument);

/* Makes something in a context, of which nothing stays there; its bytes, malloc'ed. */
typedef void *(*test_making)(ml_context *context, const void *argument, size_t *n_bytes);
/* What it makes with n_threads, in a context of its own in which nothing is left. */
void *test_made(uint32_t n_threads, test_making make, const void *argument, size_t *n_bytes);
/* It makes these bytes with 1, 2, 3 and 7 threads; and the same ones with any of them, and with 1 twice. `what` is for
 * messages. */
void test_any_threads_as(const char *what, const void *want, size_t n_want, test_making make, const void *argument);
void test_any_threads(const char *what, test_making make, const void *argument);

/* Directory of the shipped tables ("examples/data"), of expected files ("tests/expected"), and a temporary one. */
const char *test_data_path(const char *file_name);
const char *test_expected_path(const char *file_name);
const char *test_temporary_path(const char *file_name);
/* A new directory in there, for a test that counts what is left in it; and the number of files in one. */
const char *test_temporary_directory(const char *name);
size_t test_count_entries(const char *directory);
/* A file in there with this text. */
const char *test_written(const char *file_name, const char *text);
/* A shipped table: "iris", "wine", "breast_cancer", "digits" (labels), "boston", "diabetes" (reals). */
ml_dataset *test_table(ml_context *context, const char *name);
/* Model bytes, malloc'ed. */
void *test_saved(const ml_model *model, size_t *n_bytes);
/* Numbers of an expected file: whitespace or comma separated, '#' starts a comment line; malloc'ed. */
double *test_read_numbers(const char *path, size_t *n);

#define TEST(suite, name)                                                    \
    static void test_##suite##_##name(void);                                 \
    __attribute__((constructor)) static void register_##suite##_##name(void) \
    {                                                                        \
        test_register(#suite, #name, test_##suite##_##name);                 \
    }                                                                        \
    static void test_##suite##_##name(void)

#define CHECK(condition)                                     \
    do {                                                     \
        if (!(condition))                                    \
            test_fail(__FILE__, __LINE__, "%s", #condition); \
    } while (0)

#define CHECK_MSG(condition, ...)                       \
    do {                                                \
        if (!(condition))                               \
            test_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)

/* The call succeeds. */
#define CHECK_OK(call)                                                                                        \
    do {                                                                                                      \
        const ml_status test_status = (call);                                                                 \
        if (test_status != ML_OK)                                                                             \
            test_fail(__FILE__, __LINE__, "%s: %s: %s", #call, ml_status_text(test_status), ml_last_error()); \
    } while (0)

/* The call fails with this code, and its message contains this text. */
#define CHECK_FAILS(call, code, text) test_fails(__FILE__, __LINE__, #call, (call), (code), (text))

/* |got - want| <= tolerance * max(1, |want|); NaN equals NaN. */
#define CHECK_CLOSE(got, want, tolerance) test_close(__FILE__, __LINE__, #got, (got), (want), (tolerance))

#define CHECK_SAME_BYTES(a, n_a, b, n_b)                                                                 \
    do {                                                                                                 \
        if ((n_a) != (n_b) || memcmp((a), (b), (n_a)) != 0)                                              \
            test_fail(__FILE__, __LINE__, "%s and %s differ (%zu and %zu bytes)", #a, #b, (size_t)(n_a), \
                      (size_t)(n_b));                                                                    \
    } while (0)

#endif
