/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks and arenas. The only file of the library that knows malloc and free.
 *
 * A block from the host is raw bytes of any alignment. In it, aligned to ML__ALIGNMENT, lies the caller's block, and right
 * before that a header, so that freeing needs the pointer only:
 *
 *     raw ... padding ... | header | caller's n_bytes ... padding
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/context.h"

typedef struct {
    void *raw;
    size_t n_bytes;      /* of raw */
    ml_context *context; /* that counts them; NULL: nobody does */
} block_header;

enum { OVERHEAD = sizeof(block_header) + ML__ALIGNMENT - 1 };

bool ml__size_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

/* ---- blocks ---- */

static const ml_allocator standard = {0}; /* malloc and free */

static block_header *header_of(void *block)
{
    return (block_header *)block - 1;
}

void *ml__host_alloc(const ml_allocator *allocator, size_t n_bytes)
{
    void *raw = NULL;
    size_t n_raw;

    if (ml__size_add(n_bytes, OVERHEAD, &n_raw))
        raw = allocator->allocate ? allocator->allocate(allocator->user, n_raw) : malloc(n_raw);
    if (!raw) {
        ml__fail(ML_E_MEMORY, "out of memory: %zu bytes", n_bytes);
        return NULL;
    }
    const uintptr_t behind_header = (uintptr_t)raw + sizeof(block_header);
    const uintptr_t padding = (ML__ALIGNMENT - behind_header % ML__ALIGNMENT) % ML__ALIGNMENT;
    void *block = (char *)raw + sizeof(block_header) + padding;
    *header_of(block) = (block_header){raw, n_raw, NULL};
    return block;
}

void ml__host_free(const ml_allocator *allocator, void *block)
{
    if (!block)
        return;
    void *raw = header_of(block)->raw;
    if (allocator->release)
        allocator->release(allocator->user, raw);
    else
        free(raw);
}

/* Count n_bytes that are about to be allocated, unless they exceed the limit. */
static bool reserve(ml_context *context, size_t n_bytes)
{
    const uint64_t limit = context->options.memory_limit;
    uint_fast64_t used = atomic_load(&context->n_bytes);
    uint_fast64_t peak = atomic_load(&context->n_bytes_peak);

    do {
        if (limit && (used > limit || n_bytes > limit - used)) {
            atomic_fetch_add(&context->n_refused, 1);
            ml__fail(ML_E_MEMORY, "memory limit of %llu bytes: %llu are in use, %zu more were asked for",
                     (unsigned long long)limit, (unsigned long long)used, n_bytes);
            return false;
        }
    } while (!atomic_compare_exchange_weak(&context->n_bytes, &used, used + n_bytes));
    while (peak < used + n_bytes && !atomic_compare_exchange_weak(&context->n_bytes_peak, &peak, used + n_bytes))
        ;
    return true;
}

void *ml__alloc(ml_context *context, size_t n_bytes)
{
    size_t n_raw;
    void *block;

    if (!context)
        return ml__host_alloc(&standard, n_bytes);
    if (!ml__size_add(n_bytes, OVERHEAD, &n_raw)) {
        ml__fail(ML_E_MEMORY, "out of memory: %zu bytes", n_bytes);
        return NULL;
    }
    if (!reserve(context, n_raw))
        return NULL;
    block = ml__host_alloc(&context->options.allocator, n_bytes);
    if (block)
        header_of(block)->context = context;
    else
        atomic_fetch_sub(&context->n_bytes, n_raw);
    return block;
}

void *ml__alloc_array(ml_context *context, size_t count, size_t size)
{
    size_t n_bytes;
    void *block;

    if (!ml__size_mul(count, size, &n_bytes)) {
        ml__fail(ML_E_MEMORY, "out of memory: %zu times %zu bytes", count, size);
        return NULL;
    }
    block = ml__alloc(context, n_bytes);
    if (block)
        memset(block, 0, n_bytes);
    return block;
}

void ml__free(void *block)
{
    if (!block)
        return;
    ml_context *context = header_of(block)->context;
    const size_t n_raw = header_of(block)->n_bytes;
    ml__host_free(context ? &context->options.allocator : &standard, block);
    if (context)
        atomic_fetch_sub(&context->n_bytes, n_raw);
}

/* ---- arenas: the first block of the list is the one that pieces are cut from ---- */

struct ml__arena_block {
    ml__arena_block *next;
    size_t n_bytes; /* behind the header */
};

enum {
    BLOCK_HEADER = ML__ALIGNMENT, /* keeps what follows aligned */
    BLOCK_SMALLEST = 4 << 10,     /* most arenas hold a few parameters and names */
    BLOCK_LARGEST = 1 << 20,      /* what is left of the last block is lost */
    PIECE_ALIGNMENT = 16
};

void ml__arena_init(ml__arena *arena, ml_context *context)
{
    *arena = (ml__arena){.context = context};
}

void ml__arena_free(ml__arena *arena)
{
    for (ml__arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        ml__free(block);
    }
    ml__arena_init(arena, arena->context);
}

static ml__arena_block *block_create(ml_context *context, size_t n_bytes)
{
    ml__arena_block *block = NULL;
    size_t n_total;

    if (ml__size_add(n_bytes, BLOCK_HEADER, &n_total))
        block = ml__alloc(context, n_total);
    else
        ml__fail(ML_E_MEMORY, "out of memory: %zu bytes", n_bytes);
    if (block)
        block->n_bytes = n_bytes;
    return block;
}

/* A piece with a block of its own, put behind the first, which may have room left. */
static void *take_alone(ml__arena *arena, size_t n_bytes)
{
    ml__arena_block *block = block_create(arena->context, n_bytes);

    if (!block)
        return NULL;
    ml__arena_block **place = arena->blocks ? &arena->blocks->next : &arena->blocks;
    block->next = *place;
    *place = block;
    return (char *)block + BLOCK_HEADER;
}

static bool grow(ml__arena *arena, size_t n_bytes)
{
    ml__arena_block *block = block_create(arena->context, n_bytes);

    if (!block)
        return false;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->next = (char *)block + BLOCK_HEADER;
    arena->left = arena->n_block = n_bytes;
    return true;
}

static size_t next_block_size(const ml__arena *arena)
{
    const size_t last = arena->n_block;
    return last < BLOCK_SMALLEST / 2 ? BLOCK_SMALLEST : last < BLOCK_LARGEST / 2 ? 2 * last : BLOCK_LARGEST;
}

/* Bytes to skip so that a piece of n_bytes lies as it should. */
static size_t padding_before(const ml__arena *arena, size_t n_bytes)
{
    const size_t alignment = n_bytes >= ML__ALIGNMENT ? ML__ALIGNMENT : PIECE_ALIGNMENT;
    return (alignment - (uintptr_t)arena->next % alignment) % alignment;
}

static void *take(ml__arena *arena, size_t count, size_t size, bool is_cleared)
{
    size_t n_bytes, padding;
    void *piece;

    if (!ml__size_mul(count, size, &n_bytes)) {
        ml__fail(ML_E_MEMORY, "out of memory: %zu times %zu bytes", count, size);
        return NULL;
    }
    n_bytes += !n_bytes; /* a piece of nothing has an address too */
    padding = padding_before(arena, n_bytes);
    if (padding > arena->left || n_bytes > arena->left - padding) {
        if (n_bytes > next_block_size(arena) / 4) {
            piece = take_alone(arena, n_bytes);
            return piece && is_cleared ? memset(piece, 0, n_bytes) : piece;
        }
        if (!grow(arena, next_block_size(arena)))
            return NULL;
        padding = 0;
    }
    piece = arena->next + padding;
    arena->next += padding + n_bytes;
    arena->left -= padding + n_bytes;
    return is_cleared ? memset(piece, 0, n_bytes) : piece;
}

void *ml__arena_take(ml__arena *arena, size_t count, size_t size)
{
    return take(arena, count, size, true);
}

void *ml__arena_room(ml__arena *arena, size_t count, size_t size)
{
    return take(arena, count, size, false);
}

char *ml__arena_text_n(ml__arena *arena, const char *text, size_t n_bytes)
{
    char *copy = NULL;

    if (n_bytes < SIZE_MAX)
        copy = ml__arena_take(arena, n_bytes + 1, 1);
    if (copy && n_bytes)
        memcpy(copy, text, n_bytes);
    return copy;
}

char *ml__joined_text(ml__arena *arena, const char *a, const char *between, const char *b)
{
    char *text = ml__arena_take(arena, strlen(a) + strlen(between) + strlen(b) + 1, 1);

    return text ? strcat(strcat(strcat(text, a), between), b) : NULL;
}

char *ml__arena_text(ml__arena *arena, const char *text)
{
    return ml__arena_text_n(arena, text, strlen(text));
}
