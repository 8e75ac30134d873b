/* SPDX-License-Identifier: Apache-2.0 */
/* The context as the library sees it. A NULL context is one thread, malloc, no log, no limit. */
#ifndef ML__BASE_CONTEXT_H
#define ML__BASE_CONTEXT_H

#include <invar/context.h>
#include <stdatomic.h>

#include "base/status.h"

typedef struct ml__pool ml__pool; /* parallel.c */

struct ml_context {
    ml_context_options options;
    atomic_size_t n_references;
    atomic_uint_fast64_t n_bytes, n_bytes_peak;
    atomic_uint_fast64_t n_refused; /* blocks, for the memory limit */
    ml__pool *pool;                 /* threads of our own, started on demand; NULL for serial or a host executor */
};

void ml__context_retain(ml_context *context);
void ml__context_release(ml_context *context);
uint32_t ml__n_threads(const ml_context *context);
void ml__log(ml_context *context, int32_t level, const char *format, ...) ML__PRINTF(3, 4);

/* Options structs grow at the end. Copy what the caller has into `target` (which holds the defaults); a larger caller
 * must have zeros where we know nothing. `name` is for the message. */
ml_status ml__read_options(void *target, size_t target_size, const void *source, const char *name);
/* The other direction: fill as much of the caller's result struct as it has; its struct_size stays. */
ml_status ml__write_result(void *target, const void *source, size_t source_size, const char *name);

#endif
