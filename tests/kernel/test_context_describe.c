/* SPDX-License-Identifier: Apache-2.0 */
/* ml_context_describe(). */
#include "test.h"

#include "base/memory.h"
#include "base/processor.h"
#include "kernel/kernel.h"

static int32_t run_nothing(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument)
{
    (void)user;
    for (size_t i = 0; i < n_tasks; i++)
        task(argument, i);
    return 0;
}

/* The text is what is expected, whatever the size of the buffer. */
static void check_text(const ml_context *context, const char *threads, const char *memory)
{
    char expected[1000], text[1000];
    size_t needed;

    snprintf(expected, sizeof expected,
             "%s\nthreads: %s; processors: %u\nkernels: %s for training, %s row by row\nmemory: %s\n", ml_build_info(),
             threads, ml__n_processors(), ml__kernels_best()->name, ml__kernels_rowwise()->name, memory);
    CHECK_OK(ml_context_describe(context, NULL, 0, &needed));
    CHECK_MSG(needed == strlen(expected) + 1, "%zu bytes are needed, expected %zu", needed, strlen(expected) + 1);
    CHECK_OK(ml_context_describe(context, text, needed, NULL));
    CHECK_MSG(!strcmp(text, expected), "'%s', expected '%s'", text, expected);
    text[0] = '?';
    CHECK_FAILS(ml_context_describe(context, text, needed - 1, NULL), ML_E_SHAPE, "bytes, ");
    CHECK(text[0] == '?');
    CHECK_FAILS(ml_context_describe(context, NULL, 1, NULL), ML_E_ARGUMENT, "buffer is NULL");
}

TEST(context_describe, threads_executor_and_memory)
{
    ml_context_options options = {.struct_size = sizeof options, .n_threads = 4};
    ml_context *context;

    check_text(NULL, "the caller's", "the C allocator, 0 bytes now, 0 at most, no limit");
    CHECK_OK(ml_context_create(&options, &context));
    check_text(context, "the caller's and up to 3 of our own", "the C allocator, 0 bytes now, 0 at most, no limit");
    ml_context_free(context);

    options.executor.run = run_nothing;
    options.memory_limit = 100000;
    CHECK_OK(ml_context_create(&options, &context));
    check_text(context, "the host's executor, 4 at a time", "the C allocator, 0 bytes now, 0 at most, limit 100000");
    ml_context_free(context);
}

TEST(context_describe, tells_memory_and_takes_none)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    void *block = ml__alloc(context, 1000);
    char memory[200];

    ml__free(ml__alloc(context, 500));
    snprintf(memory, sizeof memory, "the host's allocator, %llu bytes now, %llu at most, no limit",
             (unsigned long long)ml_context_memory(context), (unsigned long long)ml_context_memory_peak(context));
    allocator.fail_at = allocator.n_allocations + 1;
    allocator.fail_all_later = true;
    check_text(context, "the caller's", memory);
    ml__free(block);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
