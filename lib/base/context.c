/* SPDX-License-Identifier: Apache-2.0 */
/* The context's life, and the rule by which option structs of other versions are read. */
#include "base/context.h"

#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"

enum { STRUCT_SIZE_LARGEST = 4096, N_THREADS_LARGEST = 256 };

/* ---- versioned structs ---- */

static ml_status check_struct_size(size_t struct_size, const char *name)
{
    if (struct_size < sizeof struct_size || struct_size > STRUCT_SIZE_LARGEST)
        return ml__fail(ML_E_ARGUMENT, "%s: struct_size is %zu, expected the size of the struct (%zu to %d)", name,
                        struct_size, sizeof struct_size, STRUCT_SIZE_LARGEST);
    return ML_OK;
}

ml_status ml__read_options(void *target, size_t target_size, const void *source, const char *name)
{
    size_t n_bytes;
    ml_status st = ML_OK;

    if (!source)
        goto done;
    memcpy(&n_bytes, source, sizeof n_bytes);
    ML__TRY(check_struct_size(n_bytes, name));
    for (size_t i = target_size; i < n_bytes; i++)
        ML__CHECK(!((const char *)source)[i], ML_E_ARGUMENT,
                  "%s: struct_size is %zu, this version knows %zu bytes, and byte %zu is set", name, n_bytes,
                  target_size, i);
    memcpy(target, source, n_bytes < target_size ? n_bytes : target_size);
    memcpy(target, &target_size, sizeof target_size);
done:
    return st;
}

ml_status ml__write_result(void *target, const void *source, size_t source_size, const char *name)
{
    size_t n_bytes;
    ml_status st;

    ML__CHECK(target, ML_E_ARGUMENT, "%s is NULL", name);
    memcpy(&n_bytes, target, sizeof n_bytes);
    ML__TRY(check_struct_size(n_bytes, name));
    n_bytes = n_bytes < source_size ? n_bytes : source_size;
    memcpy((char *)target + sizeof n_bytes, (const char *)source + sizeof n_bytes, n_bytes - sizeof n_bytes);
done:
    return st;
}

/* ---- create and free ---- */

static ml_status check_options(const ml_context_options *o)
{
    if (o->n_threads > N_THREADS_LARGEST)
        return ml__fail(ML_E_ARGUMENT, "options: n_threads is %u, at most %d are allowed", o->n_threads,
                        N_THREADS_LARGEST);
    if (!o->allocator.allocate != !o->allocator.release)
        return ml__fail(ML_E_ARGUMENT, "options: the allocator has no '%s' function",
                        o->allocator.allocate ? "release" : "allocate");
    return ML_OK;
}

static void context_destroy(ml_context *context)
{
    const ml_allocator allocator = context->options.allocator;

    ml__pool_free(context->pool);
    ml__host_free(&allocator, context);
}

ml_status ml_context_create(const ml_context_options *options, ml_context **out)
{
    ml_context_options o = {.struct_size = sizeof o};
    ml_context *context = NULL;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__TRY(ml__read_options(&o, sizeof o, options, "options"));
    ML__TRY(check_options(&o));
    context = ml__host_alloc(&o.allocator, sizeof *context);
    if (!context) {
        st = ML_E_MEMORY;
        goto done;
    }
    memset(context, 0, sizeof *context);
    context->options = o;
    atomic_init(&context->n_references, 1);
    atomic_init(&context->n_bytes, 0);
    atomic_init(&context->n_bytes_peak, 0);
    if (o.n_threads > 1 && !o.executor.run) {
        context->pool = ml__pool_create(context, o.n_threads);
        if (!context->pool) {
            st = ML_E_MEMORY;
            goto done;
        }
    }
    *out = context;
    context = NULL;
done:
    if (context)
        context_destroy(context);
    return st;
}

void ml_context_free(ml_context *context)
{
    ml__context_release(context);
}

void ml__context_retain(ml_context *context)
{
    if (context)
        atomic_fetch_add(&context->n_references, 1);
}

void ml__context_release(ml_context *context)
{
    if (context && atomic_fetch_sub(&context->n_references, 1) == 1)
        context_destroy(context);
}

/* ---- what it is asked ---- */

uint64_t ml_context_memory(const ml_context *context)
{
    return context ? atomic_load(&context->n_bytes) : 0;
}

uint64_t ml_context_memory_peak(const ml_context *context)
{
    return context ? atomic_load(&context->n_bytes_peak) : 0;
}

uint32_t ml__n_threads(const ml_context *context)
{
    return context && context->options.n_threads > 1 ? context->options.n_threads : 1;
}

void ml__log(ml_context *context, int32_t level, const char *format, ...)
{
    char message[ML__MESSAGE_BYTES];
    va_list arguments;

    if (!context || !context->options.log)
        return;
    va_start(arguments, format);
    ml__message_list(message, format, arguments);
    va_end(arguments);
    context->options.log(context->options.log_user, level, message);
}
