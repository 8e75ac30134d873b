/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernel/kernel.h"

typedef struct test_case {
    const char *suite, *name;
    test_function function;
} test_case;

static test_case *cases;
static size_t n_cases, capacity;
static jmp_buf leave_test;

void test_register(const char *suite, const char *name, test_function function)
{
    if (n_cases == capacity) {
        capacity = capacity ? 2 * capacity : 256;
        cases = realloc(cases, capacity * sizeof *cases);
        if (!cases)
            abort();
    }
    cases[n_cases++] = (test_case){suite, name, function};
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    printf("    %s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    longjmp(leave_test, 1);
}

void test_close(const char *file, int line, const char *what, double got, double want, double tolerance)
{
    if (isnan(want) ? isnan(got) : got == want)
        return;
    if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want))))
        test_fail(file, line, "%s is %.17g, expected %.17g within %g", what, got, want, tolerance);
}

void test_fails(const char *file, int line, const char *what, ml_status got, ml_status want, const char *text)
{
    if (got != want)
        test_fail(file, line, "%s: %s (%s), expected %s", what, ml_status_text(got), got ? ml_last_error() : "",
                  ml_status_text(want));
    if (!strstr(ml_last_error(), text))
        test_fail(file, line, "%s: message '%s' lacks '%s'", what, ml_last_error(), text);
}

/* ---- allocations ---- */

static atomic_flag allocator_lock = ATOMIC_FLAG_INIT;

static void *count_allocate(void *user, size_t n_bytes)
{
    test_allocator *a = user;
    void *block = NULL;

    while (atomic_flag_test_and_set(&allocator_lock))
        ;
    a->n_allocations++;
    if (!(a->fail_at && (a->n_allocations == a->fail_at || (a->fail_all_later && a->n_allocations > a->fail_at))))
        block = malloc(n_bytes);
    if (block)
        a->n_live++;
    atomic_flag_clear(&allocator_lock);
    return block;
}

static void count_release(void *user, void *block)
{
    test_allocator *a = user;

    while (atomic_flag_test_and_set(&allocator_lock))
        ;
    a->n_live--;
    atomic_flag_clear(&allocator_lock);
    free(block);
}

ml_context *test_context(test_allocator *allocator, uint32_t n_threads)
{
    const ml_context_options options = {
        .struct_size = sizeof options,
        .n_threads = n_threads,
        .allocator = {count_allocate, count_release, allocator},
    };
    ml_context *context;

    CHECK_OK(ml_context_create(&options, &context));
    return context;
}

size_t test_failing_allocations(test_allocator *allocator, ml_context *context, const char *what, test_attempt attempt,
                                void *argument)
{
    size_t n_failures = 0;

    for (int all_later = 0; all_later < 2; all_later++) {
        ml_status st = ML_E_MEMORY;

        for (size_t k = 1; st != ML_OK; k++) {
            const size_t n_live = allocator->n_live;

            allocator->fail_all_later = all_later;
            allocator->fail_at = allocator->n_allocations + k;
            st = attempt(context, argument);
            allocator->fail_at = 0;
            CHECK_MSG(st == ML_OK || st == ML_E_MEMORY, "%s, allocation %zu: %s: %s", what, k, ml_status_text(st),
                      ml_last_error());
            CHECK_MSG(st == ML_OK || ml_last_error()[0], "%s, allocation %zu: no message", what, k);
            CHECK_MSG(allocator->n_live == n_live, "%s, allocation %zu: %lld blocks leaked", what, k,
                      (long long)allocator->n_live - (long long)n_live);
            n_failures += st != ML_OK;
        }
    }
    return n_failures;
}

/* ---- threads ---- */

void *test_made(uint32_t n_threads, test_making make, const void *argument, size_t *n_bytes)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, n_threads);
    void *bytes = make(context, argument, n_bytes);

    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    return bytes;
}

void test_any_threads_as(const char *what, const void *want, size_t n_want, test_making make, const void *argument)
{
    static const uint32_t N_THREADS[] = {1, 2, 3, 7};

    for (size_t t = 0; t < sizeof N_THREADS / sizeof *N_THREADS; t++) {
        size_t n;
        void *bytes = test_made(N_THREADS[t], make, argument, &n);

        CHECK_MSG(n == n_want && !memcmp(bytes, want, n), "%s: other bytes with %u threads", what,
                  (unsigned)N_THREADS[t]);
        free(bytes);
    }
}

void test_any_threads(const char *what, test_making make, const void *argument)
{
    size_t n;
    void *bytes = test_made(1, make, argument, &n);

    test_any_threads_as(what, bytes, n, make, argument);
    free(bytes);
}

/* ---- files ---- */

enum { PATH_BYTES = 512, N_PATHS = 8 };

/* One of a few buffers in turn, so that some paths can be in use at a time. */
static char *next_path(void)
{
    static char paths[N_PATHS][PATH_BYTES];
    static int next;

    return paths[next = (next + 1) % N_PATHS];
}

static const char *in_source(const char *directory, const char *file_name)
{
    const char *source = getenv("INVAR_SOURCE");
    char *path = next_path();

    snprintf(path, PATH_BYTES, "%s/%s/%s", source ? source : ".", directory, file_name);
    return path;
}

const char *test_data_path(const char *file_name)
{
    return in_source("examples/data", file_name);
}

const char *test_expected_path(const char *file_name)
{
    return in_source("tests/expected", file_name);
}

const char *test_temporary_path(const char *file_name)
{
    static char directory[64];
    char *path;

    if (!directory[0]) {
        strcpy(directory, "/tmp/invar-test-XXXXXX");
        if (!mkdtemp(directory))
            test_fail(__FILE__, __LINE__, "no temporary directory");
    }
    path = next_path();
    snprintf(path, PATH_BYTES, "%s/%s", directory, file_name);
    return path;
}

const char *test_temporary_directory(const char *name)
{
    const char *path = test_temporary_path(name);

    CHECK(mkdir(path, 0700) == 0);
    return path;
}

size_t test_count_entries(const char *directory)
{
    DIR *d = opendir(directory);
    size_t n = 0;

    CHECK(d != NULL);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

const char *test_written(const char *file_name, const char *text)
{
    const char *path = test_temporary_path(file_name);
    FILE *file = fopen(path, "wb");

    CHECK(file && fwrite(text, 1, strlen(text), file) == strlen(text) && fclose(file) == 0);
    return path;
}

ml_dataset *test_table(ml_context *context, const char *name)
{
    const bool real = !strcmp(name, "boston") || !strcmp(name, "diabetes");
    const ml_csv_options options = {
        .struct_size = sizeof options,
        .target = "target",
        .task = real ? ML_TASK_REGRESS : ML_TASK_CLASSIFY,
    };
    char file_name[64];
    ml_dataset *table;

    snprintf(file_name, sizeof file_name, "%s.csv", name);
    CHECK_OK(ml_dataset_from_csv(context, test_data_path(file_name), &options, &table));
    return table;
}

void *test_saved(const ml_model *model, size_t *n_bytes)
{
    void *bytes;

    CHECK_OK(ml_model_save_memory(model, NULL, 0, n_bytes));
    bytes = malloc(*n_bytes);
    CHECK_OK(ml_model_save_memory(model, bytes, *n_bytes, n_bytes));
    return bytes;
}

double *test_read_numbers(const char *path, size_t *n)
{
    FILE *file = fopen(path, "r");
    double *numbers = NULL;
    size_t room = 0;
    char word[64];
    int c, length = 0;

    if (!file)
        test_fail(__FILE__, __LINE__, "cannot open %s", path);
    *n = 0;
    do {
        c = fgetc(file);
        if (c == '#')
            while (c != '\n' && c != EOF)
                c = fgetc(file);
        if (c != EOF && !strchr(", \t\r\n", c)) {
            if (length < (int)sizeof word - 1)
                word[length++] = (char)c;
            continue;
        }
        if (!length)
            continue;
        word[length] = 0;
        length = 0;
        if (*n == room)
            numbers = realloc(numbers, (room = room ? 2 * room : 1024) * sizeof *numbers);
        numbers[(*n)++] = strtod(word, NULL);
    } while (c != EOF);
    fclose(file);
    return numbers;
}

/* ---- running ---- */

static bool selected(const test_case *t, int argc, char **argv)
{
    char full[256];

    if (argc < 2)
        return true;
    snprintf(full, sizeof full, "%s.%s", t->suite, t->name);
    for (int a = 1; a < argc; a++)
        if (!strncmp(full, argv[a], strlen(argv[a])))
            return true;
    return false;
}

static int in_order(const void *a, const void *b)
{
    const test_case *s = a, *t = b;
    const int by_suite = strcmp(s->suite, t->suite);
    return by_suite ? by_suite : strcmp(s->name, t->name);
}

/* "2/3": every third test from the second on; NULL: all. */
static bool in_part(size_t i, const char *part)
{
    size_t k, n;

    return !part || sscanf(part, "%zu/%zu", &k, &n) != 2 || n == 0 || i % n + 1 == k;
}

/* Arguments: prefixes of suite.name to run; none: all. In the environment INVAR_KERNELS: the table of kernels to use;
 * INVAR_TEST_PART: see in_part; INVAR_TEST_TIMES: a line for each test with the processor's seconds, all threads together. */
int main(int argc, char **argv)
{
    static volatile size_t n_passed, n_failed;
    const char *kernels = getenv("INVAR_KERNELS"), *times = getenv("INVAR_TEST_TIMES");
    const char *part = getenv("INVAR_TEST_PART");

    if (kernels && !ml__kernels_limit(kernels)) {
        fprintf(stderr, "no kernels '%s' here\n", kernels);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    qsort(cases, n_cases, sizeof *cases, in_order);
    for (volatile size_t i = 0; i < n_cases; i++) {
        if (!in_part(i, part) || !selected(&cases[i], argc, argv))
            continue;
        const volatile clock_t start = clock();
        if (setjmp(leave_test) == 0) {
            cases[i].function();
            n_passed++;
        } else {
            printf("FAILED %s.%s\n", cases[i].suite, cases[i].name);
            n_failed++;
        }
        if (times)
            printf("%8.2f s %s.%s\n", (double)(clock() - start) / CLOCKS_PER_SEC, cases[i].suite, cases[i].name);
    }
    printf("%zu passed, %zu failed\n", n_passed, n_failed);
    free(cases);
    return n_failed || !n_passed;
}
