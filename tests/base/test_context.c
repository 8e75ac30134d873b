/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts, option structs of other versions, log. */
#include "test.h"

#include <stddef.h>
#include <stdint.h>

#include "base/context.h"
#include "base/memory.h"

/* ---- versioned structs ---- */

typedef struct {
    size_t struct_size;
    int32_t a, b;
    double c;
} settings;

/* What a newer caller has. */
typedef struct {
    settings known;
    double d, e;
} newer_settings;

TEST(context, options_of_any_version_are_read)
{
    const settings defaults = {sizeof defaults, 1, 2, 3};
    newer_settings caller = {{0, 10, 20, 30}, 0, 0};
    settings s = defaults;

    CHECK_OK(ml__read_options(&s, sizeof s, NULL, "settings"));
    CHECK(s.struct_size == sizeof s && s.a == 1 && s.b == 2 && s.c == 3);

    caller.known.struct_size = sizeof(settings);
    CHECK_OK(ml__read_options(&s, sizeof s, &caller, "settings"));
    CHECK(s.struct_size == sizeof s && s.a == 10 && s.b == 20 && s.c == 30);

    s = defaults;
    caller.known.struct_size = offsetof(settings, c); /* older: had no c */
    CHECK_OK(ml__read_options(&s, sizeof s, &caller, "settings"));
    CHECK(s.struct_size == sizeof s && s.a == 10 && s.b == 20 && s.c == 3);

    s = defaults;
    caller.known.struct_size = sizeof(size_t); /* the oldest possible */
    CHECK_OK(ml__read_options(&s, sizeof s, &caller, "settings"));
    CHECK(s.struct_size == sizeof s && s.a == 1 && s.b == 2 && s.c == 3);

    caller.known.struct_size = sizeof caller; /* newer, uses nothing new */
    CHECK_OK(ml__read_options(&s, sizeof s, &caller, "settings"));
    CHECK(s.struct_size == sizeof s && s.a == 10 && s.b == 20 && s.c == 30);
}

TEST(context, options_that_cannot_be_read_are_refused_and_change_nothing)
{
    static const size_t wrong[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
    const settings defaults = {sizeof defaults, 1, 2, 3};
    newer_settings caller = {{0, 10, 20, 30}, 0, 0};
    settings s = defaults;
    char message[128];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        caller.known.struct_size = wrong[i];
        snprintf(message, sizeof message, "settings: struct_size is %zu, expected", wrong[i]);
        CHECK_FAILS(ml__read_options(&s, sizeof s, &caller, "settings"), ML_E_ARGUMENT, message);
    }
    caller.known.struct_size = sizeof caller;
    caller.e = -0.0; /* the last byte */
    snprintf(message, sizeof message, "settings: struct_size is %zu, this version knows %zu bytes, and byte %zu is set",
             sizeof caller, sizeof s, sizeof caller - 1);
    CHECK_FAILS(ml__read_options(&s, sizeof s, &caller, "settings"), ML_E_ARGUMENT, message);
    CHECK_SAME_BYTES(&s, sizeof s, &defaults, sizeof defaults);
}

TEST(context, results_are_written_as_far_as_the_caller_has_room)
{
    const settings result = {sizeof result, 10, 20, 30};
    newer_settings caller = {{sizeof caller, 1, 2, 3}, 4, 5};

    CHECK_OK(ml__write_result(&caller, &result, sizeof result, "result"));
    CHECK(caller.known.struct_size == sizeof caller && caller.known.a == 10 && caller.known.c == 30);
    CHECK(caller.d == 4 && caller.e == 5);

    caller = (newer_settings){{offsetof(settings, c), 1, 2, 3}, 4, 5};
    CHECK_OK(ml__write_result(&caller, &result, sizeof result, "result"));
    CHECK(caller.known.struct_size == offsetof(settings, c) && caller.known.b == 20 && caller.known.c == 3);

    caller.known = (settings){0, 1, 2, 3};
    CHECK_FAILS(ml__write_result(&caller, &result, sizeof result, "result"), ML_E_ARGUMENT, "result: struct_size is 0");
    CHECK(caller.known.a == 1 && caller.known.struct_size == 0);
    CHECK_FAILS(ml__write_result(NULL, &result, sizeof result, "result"), ML_E_ARGUMENT, "result is NULL");
}

/* ---- create and free ---- */

typedef struct {
    size_t n_calls, n_live, fail_at;
} host;

static void *allocate(void *user, size_t n_bytes)
{
    host *h = user;
    void *block = ++h->n_calls == h->fail_at ? NULL : malloc(n_bytes);

    h->n_live += block != NULL;
    return block;
}

static void release(void *user, void *block)
{
    host *h = user;

    h->n_live--;
    free(block);
}

TEST(context, defaults)
{
    ml_context *context;

    CHECK_OK(ml_context_create(NULL, &context));
    CHECK(ml__n_threads(context) == 1 && ml_context_memory(context) == 0 && ml_context_memory_peak(context) == 0);
    ml__log(context, ML_LOG_INFO, "nobody listens");
    ml_context_free(context);
    ml_context_free(NULL);
    CHECK(ml__n_threads(NULL) == 1);
    ml__log(NULL, ML_LOG_INFO, "nobody listens");
    ml__context_retain(NULL);
    ml__context_release(NULL);
}

static void check_refused(ml_context_options options, const char *message)
{
    ml_context *context = (ml_context *)&options;

    CHECK_FAILS(ml_context_create(&options, &context), ML_E_ARGUMENT, message);
    CHECK(context == NULL);
}

TEST(context, wrong_options_are_refused)
{
    const size_t n = sizeof(ml_context_options);

    CHECK_FAILS(ml_context_create(NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    check_refused((ml_context_options){.struct_size = 0}, "options: struct_size is 0");
    check_refused((ml_context_options){.struct_size = n, .n_threads = 257},
                  "n_threads is 257, at most 256 are allowed");
    check_refused((ml_context_options){.struct_size = n, .n_threads = UINT32_MAX},
                  "n_threads is 4294967295, at most 256");
    check_refused((ml_context_options){.struct_size = n, .allocator = {allocate, NULL, NULL}}, "no 'release' function");
    check_refused((ml_context_options){.struct_size = n, .allocator = {NULL, release, NULL}}, "no 'allocate' function");
}

TEST(context, older_and_newer_callers)
{
    struct {
        ml_context_options known;
        uint64_t more[2];
    } newer = {.known = {.struct_size = sizeof newer, .n_threads = 5}};
    ml_context_options older = {.struct_size = offsetof(ml_context_options, allocator),
                                .n_threads = 3,
                                .allocator = {allocate, NULL, NULL}, /* is not there for an older caller */
                                .memory_limit = 1};
    ml_context *context;

    CHECK_OK(ml_context_create(&older, &context));
    CHECK(ml__n_threads(context) == 3 && context->options.memory_limit == 0 && !context->options.allocator.allocate);
    ml_context_free(context);
    CHECK_OK(ml_context_create(&newer.known, &context));
    CHECK(ml__n_threads(context) == 5);
    ml_context_free(context);
    newer.more[1] = 1;
    CHECK_FAILS(ml_context_create(&newer.known, &context), ML_E_ARGUMENT, "options: struct_size is ");
    CHECK(context == NULL);
}

TEST(context, every_allocation_of_its_own_may_fail)
{
    ml_context_options options = {.struct_size = sizeof options, .n_threads = 256};
    host h = {0};
    ml_context *context;

    options.allocator = (ml_allocator){allocate, release, &h};
    for (h.fail_at = 1; h.fail_at <= 2; h.fail_at++) { /* the context, its threads' places */
        h.n_calls = 0;
        context = (ml_context *)&options;
        CHECK_FAILS(ml_context_create(&options, &context), ML_E_MEMORY, "out of memory: ");
        CHECK(context == NULL && h.n_live == 0);
    }
    h.n_calls = 0;
    CHECK_OK(ml_context_create(&options, &context));
    CHECK(h.n_calls == 2 && h.n_live == 2 && ml_context_memory(context) == 0);
    ml_context_free(context);
    CHECK(h.n_live == 0);
}

TEST(context, lives_until_the_last_reference_is_given_back)
{
    ml_context_options options = {.struct_size = sizeof options};
    host h = {0};
    ml_context *context;
    void *block;

    options.allocator = (ml_allocator){allocate, release, &h};
    CHECK_OK(ml_context_create(&options, &context));
    ml__context_retain(context); /* as a dataset does */
    ml__context_retain(context); /* as a model does */
    ml_context_free(context);
    CHECK(h.n_live == 1);
    block = ml__alloc(context, 100);
    CHECK(block && h.n_live == 2);
    ml__context_release(context);
    ml__free(block);
    CHECK(h.n_live == 1);
    ml__context_release(context);
    CHECK(h.n_live == 0);
}

/* ---- log ---- */

typedef struct {
    int32_t level;
    char message[600];
    int n_calls;
} heard;

static void listen(void *user, int32_t level, const char *message)
{
    heard *h = user;

    h->level = level;
    h->n_calls++;
    snprintf(h->message, sizeof h->message, "%s", message);
}

TEST(context, log_is_formatted_escaped_and_cut)
{
    heard h = {0};
    const ml_context_options options = {.struct_size = sizeof options, .log = listen, .log_user = &h};
    char large[2000];
    ml_context *context;

    CHECK_OK(ml_context_create(&options, &context));
    ml__log(context, ML_LOG_WARNING, "'%s' stopped after %zu iterations at %g", "gmm\n", (size_t)100, 0.25);
    CHECK(h.level == ML_LOG_WARNING && !strcmp(h.message, "'gmm\\x0A' stopped after 100 iterations at 0.25"));
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = 0;
    ml__log(context, ML_LOG_INFO, "%s", large);
    CHECK(h.level == ML_LOG_INFO && strlen(h.message) == 511 && h.n_calls == 2);
    ml_context_free(context);
}
