/* SPDX-License-Identifier: Apache-2.0 */
/* All memory of the library: blocks from the context's allocator, arenas of blocks, checked sizes. */
#ifndef ML__BASE_MEMORY_H
#define ML__BASE_MEMORY_H

#include <invar/context.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { ML__ALIGNMENT = 64 };

/* false on overflow, *out untouched */
static inline bool ml__size_mul(size_t a, size_t b, size_t *out)
{
    const size_t half = SIZE_MAX >> (sizeof half * 4); /* of the bits: no division is needed for factors within it */

    if ((a | b) > half && b && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}
bool ml__size_add(size_t a, size_t b, size_t *out);

/* Below the counting, for the context's own memory: aligned blocks straight from an allocator (allocate NULL: malloc).
 * NULL sets the message (ML_E_MEMORY). */
void *ml__host_alloc(const ml_allocator *allocator, size_t n_bytes);
void ml__host_free(const ml_allocator *allocator, void *block); /* NULL allowed */

/* A block of n_bytes, aligned to ML__ALIGNMENT, not cleared; NULL sets the message (ML_E_MEMORY). Thread-safe. */
void *ml__alloc(ml_context *context, size_t n_bytes);
/* count * size bytes, overflow-checked, cleared. */
void *ml__alloc_array(ml_context *context, size_t count, size_t size);
void ml__free(void *block); /* NULL allowed */

/* An arena: many pieces, freed at once. Not for use by two threads at a time. */
typedef struct ml__arena_block ml__arena_block;
typedef struct ml__arena {
    ml_context *context;
    ml__arena_block *blocks;
    char *next;
    size_t left, n_block; /* of the block that pieces are cut from */
} ml__arena;

void ml__arena_init(ml__arena *arena, ml_context *context);
void ml__arena_free(ml__arena *arena);
/* count * size bytes, cleared, aligned to ML__ALIGNMENT when >= 64 bytes and to 16 otherwise; never NULL for count 0;
 * NULL sets the message (ML_E_MEMORY). */
void *ml__arena_take(ml__arena *arena, size_t count, size_t size);
/* The same, not cleared: for what is large, and written as a whole. */
void *ml__arena_room(ml__arena *arena, size_t count, size_t size);
char *ml__arena_text(ml__arena *arena, const char *text);                   /* copy */
char *ml__arena_text_n(ml__arena *arena, const char *text, size_t n_bytes); /* copy, NUL added */
char *ml__joined_text(ml__arena *arena, const char *a, const char *between, const char *b);

/* pointer = count elements of its type, or leave through `done:` with ML_E_MEMORY */
#define ML__NEW(arena, pointer, count)                                   \
    do {                                                                 \
        (pointer) = ml__arena_take((arena), (count), sizeof *(pointer)); \
        if (!(pointer)) {                                                \
            st = ML_E_MEMORY;                                            \
            goto done;                                                   \
        }                                                                \
    } while (0)

#endif
