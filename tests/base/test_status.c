/* SPDX-License-Identifier: Apache-2.0 */
/* Status texts, the formatter, and the thread's message. */
#include "test.h"

#include <limits.h>
#include <pthread.h>
#include <stdint.h>

#include "base/status.h"

static void check_format(const char *got, size_t length, const char *want)
{
    CHECK_MSG(!strcmp(got, want), "got '%s', expected '%s'", got, want);
    CHECK(length == strlen(want));
}

#define CHECK_FORMAT(want, ...)                                               \
    do {                                                                      \
        char buffer[256];                                                     \
        const size_t length = ml__format(buffer, sizeof buffer, __VA_ARGS__); \
        check_format(buffer, length, want);                                   \
    } while (0)

TEST(status, every_code_has_a_text_that_begins_with_its_name)
{
    static const char *const names[] = {
        "ML_OK",        "ML_E_ARGUMENT",  "ML_E_PARAMETER",   "ML_E_DATA",
        "ML_E_SHAPE",   "ML_E_STATE",     "ML_E_UNSUPPORTED", "ML_E_MEMORY",
        "ML_E_NUMERIC", "ML_E_CANCELLED", "ML_E_IO",          "ML_E_FORMAT",
        "ML_E_VERSION", "ML_E_LIMIT",     "ML_E_BUSY",        "ML_E_EXECUTOR",
    };
    const int n_names = sizeof names / sizeof names[0];

    CHECK(ML_E_EXECUTOR == -(n_names - 1));
    for (int i = 0; i < n_names; i++) {
        const char *text = ml_status_text(-i);
        CHECK_MSG(!strncmp(text, names[i], strlen(names[i])) && text[strlen(names[i])] == ':', "%d: '%s'", -i, text);
    }
}

TEST(status, numbers_that_are_no_code_have_a_text_too)
{
    static const ml_status others[] = {1, 2, 1000, INT32_MAX, ML_E_EXECUTOR - 1, -1000, INT32_MIN};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(!strcmp(ml_status_text(others[i]), "not a status code of this library"));
}

TEST(status, formats)
{
    char *volatile no_text = NULL; /* volatile: the compiler would warn about what is tested here */

    CHECK_FORMAT("", "%s", "");
    CHECK_FORMAT("a|b|(null)|c", "a|%s|%s|%c", "b", no_text, 'c');
    CHECK_FORMAT("-2147483648 2147483647 4294967295", "%d %d %u", INT_MIN, INT_MAX, UINT_MAX);
    CHECK_FORMAT("-9223372036854775808 18446744073709551615", "%lld %llu", LLONG_MIN, ULLONG_MAX);
    CHECK_FORMAT("-7 7 0 4294967295", "%ld %lu %zu %zu", -7L, 7UL, (size_t)0, (size_t)UINT32_MAX);
    CHECK_FORMAT("-3", "%zd", (ptrdiff_t)-3);
    CHECK_FORMAT("0.1 -0 1e-5 100% nan inf", "%g %g %g 100%% %g %g", 0.1, -0.0, 1e-5, (double)NAN, (double)INFINITY);
    CHECK_FORMAT("[abc] [ab] [] [abc]", "[%.*s] [%.*s] [%.*s] [%.*s]", 9, "abc", 2, "abc", 0, "abc", -1, "abc");
    CHECK_FORMAT("(nu", "%.*s", 3, no_text);
}

TEST(status, precision_reads_no_further_than_it_says)
{
    static const char no_end[3] = {'x', 'y', 'z'};
    CHECK_FORMAT("xyz", "%.*s", 3, no_end);
}

TEST(status, a_conversion_of_others_is_shown_with_all_that_follows)
{
    const char *volatile formats[] = {"a %d %x %s", "%", "%d %l"};
    char buffer[64];

    ml__format(buffer, sizeof buffer, formats[0], 5, 6, "not read");
    CHECK(!strcmp(buffer, "a 5 %x %s"));
    ml__format(buffer, sizeof buffer, formats[1], 0);
    CHECK(!strcmp(buffer, "%"));
    ml__format(buffer, sizeof buffer, formats[2], 5, 6);
    CHECK(!strcmp(buffer, "5 %l"));
}

TEST(status, a_short_buffer_gets_the_beginning_and_the_wanted_length)
{
    for (size_t n = 0; n <= 12; n++) {
        char buffer[16];
        memset(buffer, '#', sizeof buffer);
        CHECK(ml__format(buffer, n, "%s-%d", "hello", 123) == 9);
        if (n)
            CHECK(!strncmp(buffer, "hello-123", n - 1) && buffer[n < 10 ? n - 1 : 9] == 0);
        CHECK(buffer[n > 10 ? 10 : n] == '#');
    }
}

TEST(status, fail_sets_the_message_and_returns_the_code)
{
    CHECK_FAILS(ml__fail(ML_E_DATA, "row %zu, column '%s': %g", (size_t)3, "age", 0.5), ML_E_DATA,
                "row 3, column 'age': 0.5");
    CHECK(!strcmp(ml_last_error(), "row 3, column 'age': 0.5"));
}

TEST(status, a_message_may_contain_the_last_one)
{
    ml__fail(ML_E_DATA, "inner");
    CHECK(ml__fail(ML_E_DATA, "outer: %s, %s", ml_last_error(), ml_last_error()) == ML_E_DATA);
    CHECK(!strcmp(ml_last_error(), "outer: inner, inner"));
}

TEST(status, control_bytes_and_invalid_utf8_are_escaped)
{
    ml__fail(ML_E_DATA, "%s", "a\nb\x1B[2J\x7F");
    CHECK(!strcmp(ml_last_error(), "a\\x0Ab\\x1B[2J\\x7F"));
    ml__fail(ML_E_DATA, "%s", "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"); /* e acute, euro, a face: valid */
    CHECK(!strcmp(ml_last_error(), "\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"));
    ml__fail(ML_E_DATA, "%s", "\xC0\x80|\xED\xA0\x80|\xE2\x82|\xFF");
    CHECK(!strcmp(ml_last_error(), "\\xC0\\x80|\\xED\\xA0\\x80|\\xE2\\x82|\\xFF"));
    CHECK(ml__blame(ML_E_DATA, "\t%s: ", "\xFE") == ML_E_DATA);
    CHECK(!strcmp(ml_last_error(), "\\x09\\xFE: \\xC0\\x80|\\xED\\xA0\\x80|\\xE2\\x82|\\xFF"));
}

TEST(status, blame_goes_in_front)
{
    ml__fail(ML_E_NUMERIC, "covariance 2 is singular");
    CHECK(ml__blame(ML_E_NUMERIC, "member '%s': ", "mixture") == ML_E_NUMERIC);
    CHECK(ml__blame(ML_E_NUMERIC, "fold %d: ", 4) == ML_E_NUMERIC);
    CHECK(!strcmp(ml_last_error(), "fold 4: member 'mixture': covariance 2 is singular"));
    ml__blame(ML_E_NUMERIC, "%s -> ", ml_last_error());
    CHECK(!strncmp(ml_last_error(), "fold 4: member 'mixture': covariance 2 is singular -> fold 4", 60));
}

TEST(status, long_messages_are_cut_between_characters)
{
    static const char *const characters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\x01"};
    static const size_t written[] = {1, 2, 3, 4, 4};
    char text[4096];

    for (size_t kind = 0; kind < 5; kind++) {
        for (size_t shift = 0; shift < 5; shift++) {
            const size_t n = strlen(characters[kind]);
            memset(text, 'a', shift);
            for (size_t i = shift; i + n < sizeof text; i += n)
                memcpy(text + i, characters[kind], n + 1);
            ml__fail(ML_E_DATA, "%s", text);
            CHECK(strlen(ml_last_error()) == shift + (511 - shift) / written[kind] * written[kind]);
            CHECK(!memcmp(ml_last_error(), text, shift));
        }
    }
    ml__blame(ML_E_DATA, "%s", "front: ");
    CHECK(strlen(ml_last_error()) <= 511 && !strncmp(ml_last_error(), "front: aaaa\\x01", 15));
}

TEST(status, set_error_takes_any_text_and_its_own)
{
    ml__set_error("made elsewhere\n");
    CHECK(!strcmp(ml_last_error(), "made elsewhere\\x0A"));
    ml__set_error(ml_last_error());
    CHECK(!strcmp(ml_last_error(), "made elsewhere\\x0A"));
    ml__set_error("");
    CHECK(!strcmp(ml_last_error(), ""));
}

static void *fail_on_this_thread(void *was_empty)
{
    *(bool *)was_empty = !strcmp(ml_last_error(), "");
    ml__fail(ML_E_DATA, "of the other thread");
    return NULL;
}

TEST(status, the_message_belongs_to_the_thread)
{
    pthread_t thread;
    bool was_empty = false;

    ml__fail(ML_E_DATA, "of this thread");
    CHECK(pthread_create(&thread, NULL, fail_on_this_thread, &was_empty) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(was_empty);
    CHECK(!strcmp(ml_last_error(), "of this thread"));
}

static ml_status try_and_check(int n, int *n_done)
{
    ml_status st;

    ML__CHECK(n < 3, ML_E_LIMIT, "n is %d", n);
    ML__TRY(n < 2 ? ML_OK : ml__fail(ML_E_DATA, "two"));
    st = ML_OK;
done:
    ++*n_done;
    return st;
}

TEST(status, try_and_check_leave_through_done)
{
    int n_done = 0;

    CHECK_OK(try_and_check(1, &n_done));
    CHECK_FAILS(try_and_check(2, &n_done), ML_E_DATA, "two");
    CHECK_FAILS(try_and_check(3, &n_done), ML_E_LIMIT, "n is 3");
    CHECK(n_done == 3);
}
