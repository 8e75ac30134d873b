/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * The context: threads, allocator, log, memory limit.
 *
 * A context is optional: wherever one is asked for, NULL means one thread, the C allocator, no log and no limit.
 * Datasets and models keep their context alive, so it may be freed at any time. Results never depend on the context.
 *
 * Nor do they depend on the calling thread's floating-point state: calls that compute do so in the default one (rounding
 * to nearest, no traps, subnormals kept), and the host's comes back exactly as it was, its exception flags included.
 * Callbacks of a fit see the default state.
 */
#ifndef INVAR_CONTEXT_H
#define INVAR_CONTEXT_H

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_context ml_context;

/**
 * A host's allocator. Both functions are called from any thread that works for the library.
 * `allocate` returns NULL on failure; `release` gets every block back exactly once and never NULL.
 */
typedef struct ml_allocator {
    void *(*allocate)(void *user, size_t n_bytes); /**< n_bytes >= 1; alignment as malloc gives it */
    void (*release)(void *user, void *block);
    void *user;
} ml_allocator;

/**
 * A host's thread pool. `run` calls task(argument, i) exactly once for each i < n_tasks, in any order, on any
 * threads, and returns 0 when all have returned; any other value is reported as ML_E_EXECUTOR. Several threads may call
 * `run` at the same time when they share the context; it is never called from inside a task.
 */
typedef struct ml_executor {
    int32_t (*run)(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument);
    void *user;
} ml_executor;

enum { ML_LOG_INFO = 1, ML_LOG_WARNING = 2 };

/** Called on the thread that made the library call; `message` lives for the duration of the callback. */
typedef void (*ml_log_callback)(void *user, int32_t level, const char *message);

typedef struct ml_context_options {
    size_t struct_size;     /**< sizeof(ml_context_options) */
    uint32_t n_threads;     /**< 0 or 1: the library starts no thread; at most 256 */
    ml_executor executor;   /**< run != NULL: used instead of threads of our own; n_threads says how many it has */
    ml_allocator allocator; /**< both functions or none */
    ml_log_callback log;    /**< NULL: no log */
    void *log_user;
    uint64_t memory_limit; /**< bytes allocated at one time through this context, ML_E_MEMORY beyond; 0: no limit */
} ml_context_options;

/**
 * Create a context.
 *
 * @param options  NULL for the defaults; copied. Members after the caller's struct_size take their defaults.
 * @param out      the new context; NULL on failure. Owned by the caller, see ml_context_free().
 * @return ML_OK; ML_E_ARGUMENT (out is NULL; struct_size below 8, above 4096, or with members set that this version
 *         does not know; half an allocator; n_threads above 256); ML_E_MEMORY.
 * Threads are started by the first call that needs them, and end with the context. They block all signals. Between jobs
 * they wait some tens of microseconds for the next one, then sleep; where n_threads is more than the processors that the
 * process may use they sleep at once, and gain nothing. After fork() the child may go on using the context, and starts
 * threads of its own. Any thread. @since 0.1
 */
ML_API ml_status ml_context_create(const ml_context_options *options, ml_context **out);

/**
 * Give the context back. It ends, with its threads, when the last object made with it is freed; the allocator must live
 * as long. NULL is allowed. Any thread, but not from a task or callback of a call that uses the context. @since 0.1
 */
ML_API void ml_context_free(ml_context *context);

/**
 * A readable text about the context: version and build as ml_build_info() has them, threads or the host's executor and
 * the processors that the process may use, the kernels in use for training and for predictions, whose allocator, memory.
 *
 * @param context  NULL: the defaults
 * @param buffer   n_bytes bytes; NULL with n_bytes 0 to learn the size only
 * @param needed   NULL, or receives the bytes needed including the NUL
 * @return ML_OK; ML_E_ARGUMENT (buffer is NULL, but n_bytes is not 0); ML_E_SHAPE (buffer too small and untouched;
 *         *needed is set). Nothing is allocated. Any thread. @since 0.1
 */
ML_API ml_status ml_context_describe(const ml_context *context, char *buffer, size_t n_bytes, size_t *needed);

/** Bytes now allocated through the context, headers and alignment included; 0 for NULL. Any thread. @since 0.1 */
ML_API uint64_t ml_context_memory(const ml_context *context);

/** The most bytes that were allocated through the context at one time; 0 for NULL. Any thread. @since 0.1 */
ML_API uint64_t ml_context_memory_peak(const ml_context *context);

#ifdef __cplusplus
}
#endif
#endif
