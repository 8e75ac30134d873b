/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks, counts and limits, arenas, and every allocation failing in turn. */
#include "test.h"

#include <stdint.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"

static bool is_aligned(const void *p, size_t alignment)
{
    return (uintptr_t)p % alignment == 0;
}

/* ---- sizes ---- */

TEST(memory, sizes_are_checked)
{
    const size_t half = (size_t)1 << (8 * sizeof(size_t) / 2);
    size_t n = 7;

    CHECK(ml__size_mul(3, 4, &n) && n == 12);
    CHECK(ml__size_mul(0, SIZE_MAX, &n) && n == 0);
    CHECK(ml__size_mul(SIZE_MAX, 1, &n) && n == SIZE_MAX);
    CHECK(ml__size_mul(half, half - 1, &n) && n == SIZE_MAX - half + 1);
    CHECK(ml__size_add(SIZE_MAX, 0, &n) && n == SIZE_MAX);
    n = 7;
    CHECK(!ml__size_mul(half, half, &n) && n == 7);
    CHECK(!ml__size_mul(SIZE_MAX, 2, &n) && n == 7);
    CHECK(!ml__size_mul(2, SIZE_MAX / 2 + 1, &n) && n == 7);
    CHECK(!ml__size_add(SIZE_MAX, 1, &n) && n == 7);
    CHECK(!ml__size_add(SIZE_MAX - 5, 6, &n) && n == 7);
}

/* ---- blocks ---- */

TEST(memory, blocks_without_a_context)
{
    for (size_t n = 0; n < 300; n++) {
        unsigned char *block = ml__alloc(NULL, n);
        CHECK(block && is_aligned(block, ML__ALIGNMENT));
        memset(block, 0xA5, n);
        ml__free(block);
    }
    ml__free(NULL);
}

TEST(memory, arrays_are_cleared)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    for (int round = 0; round < 2; round++) {
        double *array = ml__alloc_array(context, 1000, sizeof *array);
        CHECK(array);
        for (int i = 0; i < 1000; i++)
            CHECK(array[i] == 0);
        memset(array, 0xFF, 1000 * sizeof *array);
        ml__free(array);
    }
    ml__free(ml__alloc_array(context, 0, 8));
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

/* A host whose blocks have no alignment at all. */
static void *allocate_odd(void *user, size_t n_bytes)
{
    size_t *n_calls = user;
    const size_t shift = sizeof(void *) + ++*n_calls % 61;
    char *raw = malloc(n_bytes + shift);

    memcpy(raw + shift - sizeof raw, &raw, sizeof raw);
    return raw + shift;
}

static void release_odd(void *user, void *block)
{
    void *raw;

    (void)user;
    memcpy(&raw, (char *)block - sizeof raw, sizeof raw);
    free(raw);
}

TEST(memory, blocks_are_aligned_whatever_the_host_gives)
{
    size_t n_calls = 0;
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = 3, .allocator = {allocate_odd, release_odd, &n_calls}};
    ml_context *context;

    CHECK_OK(ml_context_create(&options, &context));
    CHECK(is_aligned(context, ML__ALIGNMENT));
    for (size_t n = 0; n < 200; n++) {
        unsigned char *block = ml__alloc(context, n);
        CHECK(is_aligned(block, ML__ALIGNMENT));
        memset(block, 0xA5, n);
        ml__free(block);
    }
    CHECK(ml_context_memory(context) == 0);
    ml_context_free(context);
}

TEST(memory, the_context_counts_its_bytes_and_their_peak)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    void *a, *b;
    uint64_t with_a, with_both;

    CHECK(ml_context_memory(context) == 0 && ml_context_memory_peak(context) == 0);
    a = ml__alloc(context, 1000);
    with_a = ml_context_memory(context);
    CHECK(with_a >= 1000 && with_a <= 1000 + 2 * ML__ALIGNMENT);
    b = ml__alloc(context, 5000);
    with_both = ml_context_memory(context);
    CHECK(with_both >= with_a + 5000 && ml_context_memory_peak(context) == with_both);
    ml__free(b);
    CHECK(ml_context_memory(context) == with_a && ml_context_memory_peak(context) == with_both);
    ml__free(a);
    CHECK(ml_context_memory(context) == 0 && ml_context_memory_peak(context) == with_both);
    CHECK(ml_context_memory(NULL) == 0 && ml_context_memory_peak(NULL) == 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

static ml_status allocate_in_task(void *context, size_t index)
{
    void *small = ml__alloc(context, 1 + index), *large = ml__alloc_array(context, index, 100);

    ml__free(small);
    ml__free(large);
    return small && large ? ML_OK : ML_E_MEMORY;
}

TEST(memory, threads_may_allocate_at_the_same_time)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 4);
    const size_t n_before = allocator.n_live;

    CHECK_OK(ml__parallel_for(context, 2000, allocate_in_task, context));
    CHECK(ml_context_memory(context) == 0 && ml_context_memory_peak(context) >= 1999 * 100 + 1);
    CHECK(allocator.n_live == n_before);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

static ml_status status_of(const void *block)
{
    return block ? ML_OK : ML_E_MEMORY;
}

TEST(memory, the_limit_is_kept_and_named)
{
    const ml_context_options options = {.struct_size = sizeof options, .memory_limit = 10000};
    ml_context *context;
    void *block;
    char used[64];

    CHECK_OK(ml_context_create(&options, &context));
    CHECK_FAILS(status_of(ml__alloc(context, 10001)), ML_E_MEMORY, "memory limit of 10000 bytes: 0 are in use, ");
    CHECK_OK(status_of(block = ml__alloc(context, 6000)));
    snprintf(used, sizeof used, "memory limit of 10000 bytes: %llu are in use, ",
             (unsigned long long)ml_context_memory(context));
    CHECK_FAILS(status_of(ml__alloc(context, 4000)), ML_E_MEMORY, used);
    CHECK_FAILS(status_of(ml__alloc(context, SIZE_MAX / 2)), ML_E_MEMORY, used);
    CHECK(ml_context_memory_peak(context) <= 10000);
    ml__free(block);
    CHECK_OK(status_of(block = ml__alloc(context, 9900)));
    ml__free(block);
    CHECK(ml_context_memory(context) == 0);
    ml_context_free(context);
}

TEST(memory, sizes_that_overflow_fail)
{
    test_allocator allocator = {0};
    ml_context *contexts[] = {NULL, test_context(&allocator, 1)};
    const size_t n_before = allocator.n_allocations;
    char message[100];
    ml__arena arena;

    for (size_t c = 0; c < 2; c++) {
        ml__arena_init(&arena, contexts[c]);
        for (size_t less = 0; less < 80; less += 9) {
            snprintf(message, sizeof message, "out of memory: %zu bytes", SIZE_MAX - less);
            CHECK_FAILS(status_of(ml__alloc(contexts[c], SIZE_MAX - less)), ML_E_MEMORY, message);
        }
        snprintf(message, sizeof message, "out of memory: %zu times 3 bytes", SIZE_MAX / 2);
        CHECK_FAILS(status_of(ml__alloc_array(contexts[c], SIZE_MAX / 2, 3)), ML_E_MEMORY, message);
        snprintf(message, sizeof message, "out of memory: %zu times 8 bytes", SIZE_MAX / 8 + 1);
        CHECK_FAILS(status_of(ml__arena_take(&arena, SIZE_MAX / 8 + 1, 8)), ML_E_MEMORY, message);
        CHECK_FAILS(status_of(ml__arena_take(&arena, SIZE_MAX, 1)), ML_E_MEMORY, "out of memory: ");
        CHECK_FAILS(status_of(ml__arena_take(&arena, SIZE_MAX - 70, 1)), ML_E_MEMORY, "out of memory: ");
        CHECK_FAILS(status_of(ml__arena_text_n(&arena, "", SIZE_MAX)), ML_E_MEMORY, "out of memory: ");
        CHECK(ml_context_memory(contexts[c]) == 0);
        ml__arena_free(&arena);
    }
    CHECK(allocator.n_allocations == n_before);
    ml_context_free(contexts[1]);
    CHECK(allocator.n_live == 0);
}

TEST(memory, a_failed_allocation_is_reported_and_not_counted)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    allocator.fail_at = allocator.n_allocations + 1;
    CHECK_FAILS(status_of(ml__alloc(context, 1234)), ML_E_MEMORY, "out of memory: 1234 bytes");
    CHECK(ml_context_memory(context) == 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

/* ---- arenas ---- */

enum { N_PIECES = 3000 };

typedef struct {
    unsigned char *start;
    size_t n_bytes;
} piece;

static size_t random_size(ml__rng *rng)
{
    const uint64_t kind = ml__rng_below(rng, 100);
    return (size_t)ml__rng_below(rng, kind < 80 ? 100 : kind < 98 ? 3000 : 100000);
}

TEST(memory, arena_pieces_are_cleared_aligned_and_apart)
{
    static piece pieces[N_PIECES];
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml__rng rng = ml__rng_make(1, 0);
    ml__arena arena;

    ml__arena_init(&arena, context);
    for (size_t i = 0; i < N_PIECES; i++) {
        const size_t n = random_size(&rng);
        const bool is_cleared = i % 4 != 3;
        unsigned char *start = is_cleared ? ml__arena_take(&arena, n, 1) : ml__arena_room(&arena, n, 1);
        CHECK(start && is_aligned(start, n >= 64 ? 64 : 16));
        for (size_t j = 0; j < n && is_cleared; j++)
            CHECK(start[j] == 0);
        memset(start, (int)(i % 255 + 1), n);
        pieces[i] = (piece){start, n};
    }
    for (size_t i = 0; i < N_PIECES; i++)
        for (size_t j = 0; j < pieces[i].n_bytes; j++)
            CHECK(pieces[i].start[j] == i % 255 + 1);
    ml__arena_free(&arena);
    CHECK(ml_context_memory(context) == 0);
    ml__arena_free(&arena); /* free twice is free once */
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(memory, an_arena_takes_few_blocks_and_wastes_little)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    const size_t n_before = allocator.n_allocations;
    ml__arena arena;

    ml__arena_init(&arena, context);
    CHECK(ml_context_memory(context) == 0); /* nothing before the first piece */
    CHECK(ml__arena_take(&arena, 1, 1));
    CHECK(ml_context_memory(context) < 8192);
    for (int i = 0; i < 100000; i++)
        CHECK(ml__arena_take(&arena, 4, 8));
    CHECK(allocator.n_allocations - n_before < 20);
    CHECK(ml_context_memory(context) < 100000 * 32 + (1 << 20) + 8192);
    ml__arena_free(&arena);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(memory, a_large_piece_does_not_end_the_current_block)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml__arena arena;
    char *first, *second;

    ml__arena_init(&arena, context);
    first = ml__arena_take(&arena, 1, 16);
    CHECK(ml__arena_take(&arena, 1 << 22, 1));
    second = ml__arena_take(&arena, 1, 16);
    CHECK(second == first + 16);
    CHECK(ml_context_memory(context) < (1 << 22) + 8192);
    ml__arena_free(&arena);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(memory, pieces_of_nothing_have_an_address)
{
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK(ml__arena_take(&arena, 0, 8) && ml__arena_take(&arena, 8, 0));
    ml__arena_free(&arena);
}

/* What is small gets a small block, however large the piece before it is. */
TEST(memory, a_large_piece_does_not_make_the_next_block_large)
{
    enum { LARGE = 1 << 22 };
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml__arena arena;

    ml__arena_init(&arena, context);
    CHECK(ml__arena_take(&arena, LARGE, 1));
    CHECK(ml__arena_take(&arena, 1, 1));
    CHECK(ml_context_memory(context) < LARGE + 8192);
    ml__arena_free(&arena);
    ml_context_free(context);
}

TEST(memory, arena_texts_are_copies)
{
    char text[] = "sepal length";
    ml__arena arena;
    char *copy, *part, *empty;

    ml__arena_init(&arena, NULL);
    copy = ml__arena_text(&arena, text);
    part = ml__arena_text_n(&arena, text, 5);
    empty = ml__arena_text_n(&arena, NULL, 0);
    memset(text, '#', sizeof text - 1);
    CHECK(!strcmp(copy, "sepal length") && !strcmp(part, "sepal") && !strcmp(empty, ""));
    ml__arena_free(&arena);
}

static ml_status fill(ml__arena *arena)
{
    double *small, *medium, *large;
    char *text;
    ml_status st = ML_OK;

    ML__NEW(arena, small, 3);
    ML__NEW(arena, large, 100000);
    ML__NEW(arena, medium, 400);
    ML__NEW(arena, medium, 500);
    ML__NEW(arena, large, 200000);
    for (int i = 0; i < 2000; i++)
        ML__NEW(arena, small, 2);
    text = ml__arena_text(arena, "the end");
    st = status_of(text);
done:
    return st;
}

static ml_status try_fill(ml_context *context, void *allocator)
{
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    st = fill(&arena);
    if (st != ML_OK) {
        CHECK_FAILS(st, ML_E_MEMORY, "out of memory: ");
        ((test_allocator *)allocator)->fail_at = 0;
        CHECK(ml__arena_take(&arena, 5, 1)); /* what is there stays usable */
    }
    ml__arena_free(&arena);
    CHECK(ml_context_memory(context) == 0);
    return st;
}

TEST(memory, every_allocation_of_an_arena_may_fail)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    CHECK(test_failing_allocations(&allocator, context, "arena", try_fill, &allocator) >= 10);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
