/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A readable description of a context: what was built, who runs tasks, which kernels, whose memory.
 *
 *     invar 0.1.0, gcc 12.2.0, portable avx2 avx512, openblas
 *     threads: the caller's and up to 3 of our own; processors: 8
 *     kernels: avx512 for training, avx512 row by row
 *     memory: the C allocator, 10240 bytes now, 73728 at most, no limit
 */
#include <invar/version.h>

#include "base/context.h"
#include "base/processor.h"
#include "base/text.h"
#include "kernel/kernel.h"

enum { ROOM = 1024 }; /* several times what the longest takes: nothing is allocated, so memory is told as it is */

static void describe_threads(const ml_context *context, char *out, size_t n_bytes)
{
    const unsigned n = ml__n_threads(context);

    if (context && context->options.executor.run)
        ml__format(out, n_bytes, "the host's executor, %u at a time", n);
    else if (n > 1)
        ml__format(out, n_bytes, "the caller's and up to %u of our own", n - 1);
    else
        ml__format(out, n_bytes, "the caller's");
}

static void describe_memory(const ml_context *context, char *out, size_t n_bytes)
{
    const bool is_hosts = context && context->options.allocator.allocate;
    const uint64_t limit = context ? context->options.memory_limit : 0;
    const size_t n =
        ml__format(out, n_bytes, "%s allocator, %llu bytes now, %llu at most, ", is_hosts ? "the host's" : "the C",
                   (unsigned long long)ml_context_memory(context), (unsigned long long)ml_context_memory_peak(context));

    if (n < n_bytes && limit)
        ml__format(out + n, n_bytes - n, "limit %llu", (unsigned long long)limit);
    else if (n < n_bytes)
        ml__format(out + n, n_bytes - n, "no limit");
}

ml_status ml_context_describe(const ml_context *context, char *buffer, size_t n_bytes, size_t *needed)
{
    char threads[ROOM / 8], memory[ROOM / 4], all[ROOM];
    size_t n;

    describe_threads(context, threads, sizeof threads);
    describe_memory(context, memory, sizeof memory);
    n = ml__format(all, sizeof all,
                   "%s\nthreads: %s; processors: %u\nkernels: %s for training, %s row by row\nmemory: %s\n",
                   ml_build_info(), threads, (unsigned)ml__n_processors(), ml__kernels_best()->name,
                   ml__kernels_rowwise()->name, memory);
    return ml__text_deliver(&(ml__text){.data = all, .n_bytes = n < sizeof all ? n : sizeof all - 1}, buffer, n_bytes,
                            needed);
}
