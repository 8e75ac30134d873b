/* SPDX-License-Identifier: Apache-2.0 */
/* Growing texts, the delivery of texts to the host, UTF-8. */
#include "test.h"

#include <stdint.h>

#include "base/text.h"

TEST(text, grows)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char want[16];
    ml__text text;

    ml__text_init(&text, context);
    CHECK(ml_context_memory(context) == 0);
    for (int i = 0; i < 20000; i++)
        ml__text_add(&text, "%c%d", 'a' + i % 26, 10000 + i);
    CHECK_OK(text.status);
    CHECK(text.n_bytes == 20000 * 6 && strlen(text.data) == text.n_bytes);
    for (int i = 0; i < 20000; i++) {
        snprintf(want, sizeof want, "%c%d", 'a' + i % 26, 10000 + i);
        CHECK(!memcmp(text.data + 6 * i, want, 6));
    }
    ml__text_free(&text);
    CHECK(text.data == NULL && text.n_bytes == 0 && ml_context_memory(context) == 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(text, every_length_has_room_for_its_end)
{
    for (size_t n = 0; n < 1100; n++) {
        char bytes[1100];
        ml__text text;
        memset(bytes, 'x', sizeof bytes);
        ml__text_init(&text, NULL);
        ml__text_add_bytes(&text, bytes, n);
        ml__text_add(&text, "%s", "");
        CHECK(text.status == ML_OK && text.n_bytes == n && text.data[n] == 0 && strlen(text.data) == n);
        ml__text_add(&text, "%.*s", (int)n, bytes);
        CHECK(text.status == ML_OK && text.n_bytes == 2 * n && text.data[2 * n] == 0);
        ml__text_free(&text);
    }
}

TEST(text, bytes_are_not_escaped)
{
    ml__text text;

    ml__text_init(&text, NULL);
    ml__text_add_bytes(&text, "a\0b\n", 4);
    ml__text_add(&text, "%s", "\xFF\t");
    ml__text_add_bytes(&text, NULL, 0);
    CHECK_SAME_BYTES(text.data, text.n_bytes, "a\0b\n\xFF\t", 6);
    ml__text_free(&text);
}

TEST(text, deliver_keeps_to_the_buffer)
{
    char buffer[8] = "#######";
    size_t needed = 0;
    ml__text text;

    ml__text_init(&text, NULL);
    ml__text_add(&text, "forest");
    CHECK_OK(ml__text_deliver(&text, NULL, 0, &needed));
    CHECK(needed == 7);
    CHECK_OK(ml__text_deliver(&text, NULL, 0, NULL));
    needed = 0;
    CHECK_FAILS(ml__text_deliver(&text, buffer, 6, &needed), ML_E_SHAPE, "the buffer has 6 bytes, 7 are needed");
    CHECK(needed == 7 && !strcmp(buffer, "#######"));
    CHECK_FAILS(ml__text_deliver(&text, buffer, 0, &needed), ML_E_SHAPE, "the buffer has 0 bytes, 7 are needed");
    CHECK_FAILS(ml__text_deliver(&text, NULL, 9, &needed), ML_E_ARGUMENT, "buffer is NULL");
    CHECK(!strcmp(buffer, "#######"));
    CHECK_OK(ml__text_deliver(&text, buffer, 7, NULL));
    CHECK(!strcmp(buffer, "forest") && buffer[7] == 0);
    ml__text_free(&text);
}

TEST(text, an_empty_text_is_delivered_too)
{
    char buffer[4] = "###";
    size_t needed;
    ml__text text;

    ml__text_init(&text, NULL);
    CHECK_FAILS(ml__text_deliver(&text, buffer, 0, &needed), ML_E_SHAPE, "the buffer has 0 bytes, 1 are needed");
    CHECK(needed == 1);
    CHECK_OK(ml__text_deliver(&text, buffer, 4, &needed));
    CHECK(!strcmp(buffer, "") && buffer[1] == '#');
    ml__text_free(&text);
}

TEST(text, the_first_failure_stays)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char buffer[64] = "untouched";
    size_t n_failures = 0;
    ml__text text;

    do {
        allocator.n_allocations = 0;
        allocator.fail_at = n_failures + 1;
        ml__text_init(&text, context);
        for (int i = 0; i < 1000; i++)
            ml__text_add(&text, "%d, ", i);
        n_failures += text.status != ML_OK;
        if (text.status != ML_OK) {
            CHECK_FAILS(text.status, ML_E_MEMORY, "out of memory: ");
            const size_t n = text.n_bytes;
            ml__text_add_bytes(&text, "x", 1);
            CHECK(text.n_bytes == n && (!text.data || strlen(text.data) == n));
            CHECK(ml__text_deliver(&text, buffer, sizeof buffer, NULL) == ML_E_MEMORY);
            CHECK(!strcmp(buffer, "untouched"));
        }
        const bool has_failed = text.status != ML_OK;
        ml__text_free(&text);
        CHECK(ml_context_memory(context) == 0);
        if (!has_failed)
            break;
    } while (true);
    CHECK(n_failures >= 4);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

TEST(text, absurd_sizes_fail)
{
    char message[100];
    ml__text text;

    ml__text_init(&text, NULL);
    ml__text_add(&text, "x");
    ml__text_add_bytes(&text, "x", SIZE_MAX);
    snprintf(message, sizeof message, "out of memory: a text of 1 and %zu more bytes", SIZE_MAX);
    CHECK_FAILS(text.status, ML_E_MEMORY, message);
    ml__text_free(&text);
    ml__text_init(&text, NULL);
    ml__text_add_bytes(&text, "x", SIZE_MAX / 2);
    CHECK_FAILS(text.status, ML_E_MEMORY, "out of memory: ");
    ml__text_free(&text);
}

/* ---- UTF-8 ---- */

static size_t encode(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(0xFFu << (8 - n) | code);
    return n;
}

TEST(text, every_character_and_no_surrogate_is_utf8)
{
    char bytes[4];

    for (uint32_t code = 0; code < 0x120000; code++) {
        const size_t n = encode(code, bytes);
        const bool is_character = code < 0xD800 || (code > 0xDFFF && code <= 0x10FFFF);
        CHECK_MSG(ml__utf8_length(bytes, n) == (is_character ? n : 0), "U+%X", code);
        for (size_t shorter = 0; shorter < n; shorter++)
            CHECK_MSG(ml__utf8_length(bytes, shorter) == 0, "U+%X cut to %zu", code, shorter);
    }
}

/* Counting what is accepted leaves no room for anything overlong: each character has one encoding. */
TEST(text, nothing_else_is_utf8)
{
    char bytes[4];
    size_t n_two = 0, n_three = 0, n_four = 0;

    for (uint32_t word = 0; word < 1u << 24; word++) {
        bytes[0] = (char)(0x80 | word >> 17);
        bytes[1] = (char)(word >> 9);
        bytes[2] = (char)(word >> 1);
        bytes[3] = (char)(word & 1 ? 0x80 : 0xBF);
        const size_t n = ml__utf8_length(bytes, 4);
        n_two += n == 2;
        n_three += n == 3;
        n_four += n == 4;
    }
    CHECK(n_two == (0x800 - 0x80) * 512);
    CHECK(n_three == (0x10000 - 0x800 - 0x800) * 2);
    CHECK(n_four == 0x100000 / 64 * 2);
}

TEST(text, valid_texts)
{
    CHECK(ml__utf8_valid("", 0) && ml__utf8_valid(NULL, 0));
    CHECK(ml__utf8_valid("na\xC3\xAFve \xE2\x82\xAC", 10));
    CHECK(!ml__utf8_valid("na\xC3\xAFve \xE2\x82\xAC", 9));
    CHECK(!ml__utf8_valid("na\xEFve", 5));
    CHECK(ml__utf8_valid("a\0b", 3));
}
