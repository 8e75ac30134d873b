/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader accepts its closed grammar and nothing else; the writer's texts read back. */
#include "base/random.h"
#include "store/json.h"
#include "store/order.h"
#include "test.h"

static const ml__json_source SOURCE = {
    .name = "text", .offset = 100, .max_depth = ML__JSON_MAX_DEPTH, .max_nodes = 10000000};

static ml_status read_n(ml__arena *arena, const char *text, size_t n, const ml__json_node **root)
{
    char *exact = malloc(n ? n : 1); /* so that a sanitizer sees any byte read beyond the end */
    ml_status st;

    memcpy(exact, text, n);
    st = ml__json_read(arena, &SOURCE, exact, n, root);
    free(exact);
    return st;
}

static ml_status read_text(ml__arena *arena, const char *text, const ml__json_node **root)
{
    return read_n(arena, text, strlen(text), root);
}

/* The document as text again, without white space and escapes. */
static const ml__json_node *print(const ml__json_node *node, ml__json_writer *w)
{
    const ml__json_node *item = ml__json_first(node);

    switch (node->type) {
    case ML__JSON_STRING:
        ml__json_text(w, node->value.text);
        break;
    case ML__JSON_NUMBER:
        ml__json_number(w, node->value.number);
        break;
    case ML__JSON_ARRAY:
        ml__json_open(w, '[');
        for (uint32_t i = 0; i < node->n; i++)
            item = print(item, w);
        ml__json_close(w, ']');
        break;
    default:
        ml__json_open(w, '{');
        for (uint32_t i = 0; i < node->n; i++) {
            ml__json_key(w, item->value.text);
            item = print(ml__json_next(item), w);
        }
        ml__json_close(w, '}');
    }
    return ml__json_next(node);
}

static void check_accepted(const char *text, const char *normal)
{
    const ml__json_node *root;
    ml__text out;
    ml__json_writer w = {.out = &out};
    ml__arena arena;

    ml__text_init(&out, NULL);
    ml__arena_init(&arena, NULL);
    CHECK_OK(read_text(&arena, text, &root));
    print(root, &w);
    CHECK_MSG(!strcmp(out.data, normal), "%s became %s, expected %s", text, out.data, normal);
    ml__arena_free(&arena);
    ml__text_free(&out);
}

TEST(json, accepts_the_grammar)
{
    static const char *const VECTORS[][2] = {
        {"{}", "{}"},
        {"[]", "[]"},
        {"0", "0"},
        {"7", "7"},
        {"\"\"", "\"\""},
        {"\"a\"", "\"a\""},
        {"18446744073709551615", "18446744073709551615"},
        {"[0]", "[0]"},
        {"[10,200]", "[10,200]"},
        {"[ 1 , 2 ]", "[1,2]"},
        {"[\t1\n,\r2]", "[1,2]"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"[[],{},[[]]]", "[[],{},[[]]]"},
        {"{\"a\":1}", "{\"a\":1}"},
        {"{ \"a\" : { \"b\" : [ ] } }", "{\"a\":{\"b\":[]}}"},
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}"},
        {"{\"a\":{\"a\":{\"a\":0}}}", "{\"a\":{\"a\":{\"a\":0}}}"},
        {"[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]"},
        {"{\"\":0}", "{\"\":0}"},
        {"\"\\\"\\\\\\/\"", "\"\\\"\\\\/\""},
        {"\"\\b\\f\\n\\r\\t\"", "\"\\u0008\\u000c\\u000a\\u000d\\u0009\""},
        {"\"\\u0041\\u00e9\"", "\"A\xC3\xA9\""},
        {"\"\\u20AC\"", "\"\xE2\x82\xAC\""},
        {"\"\\ud83d\\ude00\"", "\"\xF0\x9F\x98\x80\""},
        {"\"\\uD800\\uDC00\"", "\"\xF0\x90\x80\x80\""},
        {"\"\\uDBFF\\uDFFF\"", "\"\xF4\x8F\xBF\xBF\""},
        {"\"\\u0001\\u001f\"", "\"\\u0001\\u001f\""},
        {"\"\\u007f\"", "\"\x7F\""},
        {"\"\\u07ff\\u0800\"", "\"\xDF\xBF\xE0\xA0\x80\""},
        {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\"/\"", "\"/\""},
        {"[\"a\",1,{\"k\":[\"v\"]}]", "[\"a\",1,{\"k\":[\"v\"]}]"},
        {"{\"ab\":0,\"a\":0,\"b\":0,\"A\":0}", "{\"ab\":0,\"a\":0,\"b\":0,\"A\":0}"},
    };

    for (size_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++)
        check_accepted(VECTORS[i][0], VECTORS[i][1]);
}

TEST(json, refuses_everything_else)
{
    static const struct {
        const char *text, *message;
    } VECTORS[] = {
        {"", "byte 100: expected an object"},
        {" ", "expected an object"},
        {" {}", "byte 100: expected an object"},
        {"{} ", "byte 102: bytes after the end"},
        {"{}x", "bytes after the end"},
        {"{}{}", "bytes after the end"},
        {"[]]", "bytes after the end"},
        {"1 2", "bytes after the end"},
        {"{", "expected a key in quotes"},
        {"[", "expected an object"},
        {"]", "expected an object"},
        {"}", "expected an object"},
        {"[}", "expected an object"},
        {"{]", "expected a key in quotes"},
        {"[1}", "expected ',' or the end"},
        {"{\"a\":1]", "expected ',' or the end"},
        {"[1,]", "byte 103: expected an object"},
        {"[,1]", "expected an object"},
        {"[1,,2]", "expected an object"},
        {"[1 2]", "expected ',' or the end"},
        {"{\"a\":1,}", "expected a key in quotes"},
        {"{,}", "expected a key in quotes"},
        {"{\"a\"}", "expected ':'"},
        {"{\"a\" 1}", "expected ':'"},
        {"{\"a\":}", "expected an object"},
        {"{\"a\":1 \"b\":2}", "expected ',' or the end"},
        {"{1:2}", "expected a key in quotes"},
        {"{a:1}", "expected a key in quotes"},
        {"{'a':1}", "expected a key in quotes"},
        {"{null:1}", "expected a key in quotes"},
        {"true", "expected an object"},
        {"false", "expected an object"},
        {"null", "expected an object"},
        {"[null]", "expected an object"},
        {"NaN", "expected an object"},
        {"Infinity", "expected an object"},
        {"-1", "expected an object"},
        {"-0", "expected an object"},
        {"+1", "expected an object"},
        {"01", "leading zero"},
        {"00", "leading zero"},
        {"1.0", "bytes after the end"},
        {"[1.5]", "expected ',' or the end"},
        {"[1.]", "expected ',' or the end"},
        {"[.5]", "expected an object"},
        {"[1e3]", "expected ',' or the end"},
        {"[1E3]", "expected ',' or the end"},
        {"[0x10]", "expected ',' or the end"},
        {"[1_0]", "expected ',' or the end"},
        {"18446744073709551616", "above 2^64"},
        {"99999999999999999999", "above 2^64"},
        {"184467440737095516150", "above 2^64"},
        {"\"", "the text has no end"},
        {"\"a", "the text has no end"},
        {"\"a\\\"", "the text has no end"},
        {"[\"a]", "the text has no end"},
        {"'a'", "expected an object"},
        {"\"\\\"", "the text has no end"},
        {"\"\\", "unknown escape"},
        {"\"\\a\"", "unknown escape"},
        {"\"\\'\"", "unknown escape"},
        {"\"\\U0041\"", "unknown escape"},
        {"\"\\x41\"", "unknown escape"},
        {"\"\\0\"", "unknown escape"},
        {"\"\\u\"", "four hexadecimal digits"},
        {"\"\\u004\"", "four hexadecimal digits"},
        {"\"\\u00g0\"", "four hexadecimal digits"},
        {"\"\\u+041\"", "four hexadecimal digits"},
        {"\"\\u 041\"", "four hexadecimal digits"},
        {"\"\\u00", "four hexadecimal digits"},
        {"\"\\u0000\"", "NUL in a text"},
        {"{\"a\\u0000\":1}", "NUL in a text"},
        {"\"\\ud800\"", "first half of a surrogate pair"},
        {"\"\\ud800x\"", "first half of a surrogate pair"},
        {"\"\\ud800\\n\"", "first half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "first half of a surrogate pair"},
        {"\"\\ud800\\ud800\"", "first half of a surrogate pair"},
        {"\"\\udc00\"", "second half of a surrogate pair"},
        {"\"\\ude00\\ud83d\"", "second half of a surrogate pair"},
        {"\"\\ud83d\\u", "four hexadecimal digits"},
        {"\"\n\"", "control byte"},
        {"\"\t\"", "control byte"},
        {"\"\x1f\"", "control byte"},
        {"\"\x80\"", "invalid UTF-8"},
        {"\"\xC3\"", "invalid UTF-8"},
        {"\"\xC0\x80\"", "invalid UTF-8"},
        {"\"\xC1\xBF\"", "invalid UTF-8"},
        {"\"\xE0\x80\x80\"", "invalid UTF-8"},
        {"\"\xED\xA0\x80\"", "invalid UTF-8"},
        {"\"\xF0\x80\x80\x80\"", "invalid UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "invalid UTF-8"},
        {"\"\xF8\x88\x80\x80\x80\"", "invalid UTF-8"},
        {"\"\xFF\"", "invalid UTF-8"},
        {"\xEF\xBB\xBF{}", "expected an object"},
        {"/**/{}", "expected an object"},
        {"[1/**/]", "expected ',' or the end"},
        {"[1//\n]", "expected ',' or the end"},
        {"[\v1]", "expected an object"},
        {"[\f1]", "expected an object"},
        {"[\xC2\xA0]", "expected an object"},
        {"{\"a\":1,\"a\":1}", "byte 107: key 'a' occurs twice"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "key 'a' occurs twice"},
        {"{\"a\":1,\"\\u0061\":2}", "key 'a' occurs twice"},
        {"{\"\\/\":1,\"/\":2}", "key '/' occurs twice"},
        {"{\"\":1,\"\":2}", "key '' occurs twice"},
        {"[{\"x\":{\"a\":1,\"a\":1}}]", "key 'a' occurs twice"},
        {"{\"\\ud83d\\ude00\":1,\"\xF0\x9F\x98\x80\":2}", "occurs twice"},
    };
    const ml__json_node *root;
    ml__arena arena;

    for (size_t i = 0; i < sizeof VECTORS / sizeof *VECTORS; i++) {
        ml__arena_init(&arena, NULL);
        CHECK_FAILS(read_text(&arena, VECTORS[i].text, &root), ML_E_FORMAT, VECTORS[i].message);
        CHECK(root == NULL);
        ml__arena_free(&arena);
    }
}

TEST(json, refuses_nul_bytes)
{
    const ml__json_node *root;
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK_FAILS(read_n(&arena, "\"a\0b\"", 5, &root), ML_E_FORMAT, "byte 102: control byte");
    CHECK_FAILS(read_n(&arena, "[\0]", 3, &root), ML_E_FORMAT, "byte 101: expected");
    CHECK_FAILS(read_n(&arena, "\"\\\0\"", 4, &root), ML_E_FORMAT, "unknown escape");
    CHECK_FAILS(read_n(&arena, "{}\0", 3, &root), ML_E_FORMAT, "bytes after the end");
    ml__arena_free(&arena);
}

TEST(json, depth_is_bounded_without_recursion)
{
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP);
    const ml__json_node *root;
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    CHECK_FAILS(read_n(&arena, text, 2 * DEEP, &root), ML_E_FORMAT, "byte 164: nested deeper than 64");
    CHECK_FAILS(read_n(&arena, text, DEEP, &root), ML_E_FORMAT, "nested deeper than 64");
    CHECK_OK(read_n(&arena, text + DEEP - 64, 128, &root));
    CHECK(root->type == ML__JSON_ARRAY && root->span == 64);
    CHECK_FAILS(read_n(&arena, "{\"a\":{\"a\":{\"a\":", 15, &root), ML_E_FORMAT, "expected an object");
    free(text);
    ml__arena_free(&arena);
}

TEST(json, number_of_items_is_bounded)
{
    const ml__json_source five = {.name = "text", .max_depth = 4, .max_nodes = 5};
    const ml__json_node *root;
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__json_read(&arena, &five, "[1,2,3,4]", 9, &root));
    CHECK_FAILS(ml__json_read(&arena, &five, "[1,2,3,4,5]", 11, &root), ML_E_LIMIT, "text: more than 5 items");
    CHECK_OK(ml__json_read(&arena, &five, "{\"a\":{\"b\":1}}", 13, &root));
    CHECK_FAILS(ml__json_read(&arena, &five, "{\"a\":{\"b\":[1]}}", 15, &root), ML_E_LIMIT, "more than 5 items");
    ml__arena_free(&arena);
}

TEST(json, memory_is_in_proportion_to_the_text)
{
    enum { N = 4000000, SLACK = 2 << 20 /* of the arena's blocks */ };
    static const char *const PIECES[] = {"0,", "\"\",", "[],", "\"a\",", "{},"};
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char *text = malloc(N + 16);

    for (size_t p = 0; p < 5; p++) {
        const size_t n = strlen(PIECES[p]);
        const ml__json_node *root;
        ml__arena arena;
        size_t length = 1;

        text[0] = '[';
        for (; length < N; length += n)
            memcpy(text + length, PIECES[p], n);
        text[length - 1] = ']';
        ml__arena_init(&arena, context);
        CHECK_OK(ml__json_read(&arena, &SOURCE, text, length, &root));
        CHECK_MSG(ml_context_memory(context) <= 13 * length + SLACK, "%llu bytes for a text of %zu",
                  (unsigned long long)ml_context_memory(context), length);
        ml__arena_free(&arena);
    }
    free(text);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(json, duplicate_among_many_keys_is_found)
{
    enum { N = 20000 };
    ml__text text;
    ml__json_writer w = {.out = &text};
    const ml__json_node *root;
    ml__arena arena;
    char key[32];

    ml__text_init(&text, NULL);
    ml__json_open(&w, '{');
    for (size_t i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key%zu", i * 7919 % N);
        ml__json_key(&w, key);
        ml__json_number(&w, i);
    }
    ml__arena_init(&arena, NULL);
    ml__text_add_bytes(&text, "}", 1);
    CHECK_OK(read_n(&arena, text.data, text.n_bytes, &root));
    CHECK(root->n == N && root->span == 2 * N + 1);
    text.n_bytes--;
    ml__json_key(&w, "key123");
    ml__json_number(&w, 0);
    ml__json_close(&w, '}');
    CHECK_FAILS(read_n(&arena, text.data, text.n_bytes, &root), ML_E_FORMAT, "key 'key123' occurs twice");
    ml__arena_free(&arena);
    ml__text_free(&text);
}

TEST(json, fields_are_a_closed_set)
{
    static const ml__json_field FIELDS[] = {{"a", ML__JSON_NUMBER, false}, {"b", ML__JSON_STRING, true}};
    const ml__json_node *root, *values[2];
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK_OK(read_text(&arena, "{\"b\":\"x\",\"a\":5}", &root));
    CHECK_OK(ml__json_fields(&SOURCE, root, FIELDS, 2, values));
    CHECK(values[0]->value.number == 5 && !strcmp(values[1]->value.text, "x"));
    CHECK_OK(read_text(&arena, "{\"a\":5}", &root));
    CHECK_OK(ml__json_fields(&SOURCE, root, FIELDS, 2, values));
    CHECK(values[1] == NULL);
    CHECK_OK(read_text(&arena, "{\"b\":\"x\"}", &root));
    CHECK_FAILS(ml__json_fields(&SOURCE, root, FIELDS, 2, values), ML_E_FORMAT, "byte 100: key 'a' is missing");
    CHECK_OK(read_text(&arena, "{\"a\":5,\"c\":6}", &root));
    CHECK_FAILS(ml__json_fields(&SOURCE, root, FIELDS, 2, values), ML_E_FORMAT, "byte 107: unknown key 'c'");
    CHECK_OK(read_text(&arena, "{\"a\":[]}", &root));
    CHECK_FAILS(ml__json_fields(&SOURCE, root, FIELDS, 2, values), ML_E_FORMAT,
                "byte 105: expected a whole number, not an array");
    CHECK_OK(read_text(&arena, "[]", &root));
    CHECK_FAILS(ml__json_fields(&SOURCE, root, FIELDS, 2, values), ML_E_FORMAT, "expected an object, not an array");
    ml__arena_free(&arena);
}

TEST(json, random_damage_never_breaks_the_reader)
{
    static const char TEXT[] =
        "{\"a\":[1,2,{\"b\":\"\\u00e9\\ud83d\\ude00x\"}],\"c\":{\"d\":\"\xC3\xA9\",\"e\":[[],[0]]}}";
    ml__rng rng = ml__rng_make(1, 0);
    char text[sizeof TEXT];
    const ml__json_node *root;
    size_t n_accepted = 0;

    for (size_t round = 0; round < 50000; round++) {
        const size_t n = 1 + (size_t)ml__rng_below(&rng, sizeof TEXT - 1);
        ml__arena arena;

        memcpy(text, TEXT, sizeof TEXT);
        for (uint64_t flips = 1 + ml__rng_below(&rng, 3); flips > 0; flips--)
            text[ml__rng_below(&rng, n)] = "{}[]\",:\\u09aA \x80\xC3\x01"[ml__rng_below(&rng, 17)];
        ml__arena_init(&arena, NULL);
        if (read_n(&arena, text, round % 2 ? n : sizeof TEXT - 1, &root) == ML_OK) {
            CHECK(root->span >= 1);
            n_accepted++;
        }
        ml__arena_free(&arena);
    }
    CHECK(n_accepted > 0 && n_accepted < 50000);
}

static ml_status try_read(ml_context *context, void *text)
{
    const ml__json_node *root;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    st = ml__json_read(&arena, &SOURCE, text, strlen(text), &root);
    ml__arena_free(&arena);
    return st;
}

TEST(json, every_allocation_may_fail)
{
    char text[] = "{\"a\":[1,2,{\"b\":\"x\"}],\"c\":\"d\"}";
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    CHECK(test_failing_allocations(&allocator, context, "json", try_read, text) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

static int by_value(const void *items, uint32_t a, uint32_t b)
{
    const uint32_t *values = items;
    return values[a] < values[b] ? -1 : values[a] > values[b];
}

TEST(json, sorting_is_right_for_every_size)
{
    enum { N = 300 };
    uint32_t values[N], order[N];
    ml__rng rng = ml__rng_make(2, 0);

    for (size_t n = 0; n < N; n++) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < n; i++) {
            values[i] = (uint32_t)ml__rng_below(&rng, n);
            order[i] = i;
        }
        ml__sort_indices(order, n, by_value, values);
        for (size_t i = 0; i < n; i++) {
            CHECK(i == 0 || values[order[i - 1]] <= values[order[i]]);
            sum += order[i];
        }
        CHECK(sum == (n ? n * (n - 1) / 2 : 0));
    }
}
