/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of CSV files, how they are read, and what is said about bad ones. */
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csv_stream.h"
#include "data/csv.h"

#include "test.h"

enum { MOST_CELLS = 64 };

/* Parses; cells joined with '|', records ended with '/', go into `out`. */
static ml_status parse(const char *text, size_t n, char delimiter, char *out)
{
    ml__csv csv = {.name = "t.csv", .text = malloc(n + 1), .n_bytes = n, .delimiter = delimiter};
    ml_status st;

    test_csv_stream(text, n, &(ml_csv_options){.delimiter = delimiter});
    memcpy(csv.text, text, n);
    csv.text[n] = 0;
    st = ml__csv_parse(&csv, NULL);
    for (size_t i = 0; st == ML_OK && i < csv.n_records * csv.n_columns; i++) {
        memcpy(out, csv.cells[i].text, csv.cells[i].length);
        out += csv.cells[i].length;
        *out++ = (i + 1) % csv.n_columns ? '|' : '/';
    }
    *out = 0;
    ml__free(csv.cells);
    free(csv.text);
    return st;
}

static void check_cells(const char *text, const char *want)
{
    char got[1024];

    CHECK_OK(parse(text, strlen(text), 0, got));
    CHECK_MSG(!strcmp(got, want), "'%s' gives '%s', expected '%s'", text, got, want);
}

static void check_bad(const char *text, size_t n, ml_status code, const char *message)
{
    char got[1024];

    CHECK_FAILS(parse(text, n, 0, got), code, message);
}

/* ---- grammar ---- */

TEST(csv, line_ends_may_be_mixed_and_the_last_be_missing)
{
    check_cells("a,b\n1,2\r\n3,4\r5,6", "a|b/1|2/3|4/5|6/");
    check_cells("a,b\n1,2\n", "a|b/1|2/");
    check_cells("a,b\r\r\n\n1,2\r\n\r\n", "a|b/1|2/");
    check_cells("\n \n\t\n\na,b\n  \n1,2\n   ", "a|b/1|2/");
    check_cells("a,b\n1,\n,2\n,", "a|b/1|/|2/|/");
    check_cells("a", "a/");
}

TEST(csv, quotes_hold_delimiters_line_ends_and_quotes)
{
    check_cells("\"a,b\",c\n1,2", "a,b|c/1|2/");
    check_cells("a,b\n\"x\ny\",2\n", "a|b/x\ny|2/");
    check_cells("a,b\n\"x\r\ny\",2\n", "a|b/x\r\ny|2/");
    check_cells("a,b\n\"say \"\"hi\"\"\",2\n", "a|b/say \"hi\"|2/");
    check_cells("a,b\n\"\"\"\",\"\"\n", "a|b/\"|/");
    check_cells("a,b\n  \" x \"  ,2\n", "a|b/ x |2/");
    check_cells("a,b\n5\" pipe,\"\"\"\"\"\"\n", "a|b/5\" pipe|\"\"/");
    check_cells("\"a\"\n\"\"\nb\n", "a//b/"); /* a quoted empty cell is no blank line */
}

TEST(csv, blanks_around_cells_are_trimmed)
{
    check_cells(" a ,\tb, c\n 1 2 , 3,\t4\t", "a|b|c/1 2|3|4/");
    check_cells("a\tb\n 1\t2 \n\t\n", "a|b/1|2/|/"); /* the tab is the delimiter: the last line has two empty cells */
}

TEST(csv, the_delimiter_is_what_the_first_line_has_most_of)
{
    check_cells("a;b;c,d\n1;2;3\n", "a|b|c,d/1|2|3/");
    check_cells("a\tb\tc\n1,5\t2\t3\n", "a|b|c/1,5|2|3/");
    check_cells("\"a,b,c\";d\n1;2\n", "a,b,c|d/1|2/");
    check_cells("\"a\"\"\n,,,\";d\n1;2\n", "a\"\n,,,|d/1|2/");
    check_cells("a;b,c\n1,2\n", "a;b|c/1|2/"); /* as many of both: the comma */
    check_cells("abc\nd e\n", "abc/d e/");
    CHECK_OK(parse("a|b\n1|2", 7, '|', (char[64]){0}));
}

TEST(csv, a_byte_order_mark_is_skipped)
{
    check_cells("\xEF\xBB\xBF\"a\",b\n1,2\n", "a|b/1|2/");
    check_bad("\xEF\xBB\xBF", 3, ML_E_DATA, "t.csv, line 1: the file is empty");
}

TEST(csv, valid_utf8_is_kept)
{
    check_cells("\xC3\xA9,\xE2\x82\xAC\n\xF0\x9F\x98\x80,2\n", "\xC3\xA9|\xE2\x82\xAC/\xF0\x9F\x98\x80|2/");
}

TEST(csv, bad_bytes_are_named_by_line_and_column)
{
    check_bad("", 0, ML_E_DATA, "t.csv, line 1: the file is empty");
    check_bad("\n\n  \n", 5, ML_E_DATA, "the file is empty");
    check_bad("\xFF\xFE"
              "a\0",
              4, ML_E_FORMAT, "t.csv, line 1, column 1: UTF-16, expected UTF-8");
    check_bad("\xFE\xFF\0a", 4, ML_E_FORMAT, "UTF-16");
    check_bad("a,b\r\n1,x\0y\n", 11, ML_E_FORMAT, "t.csv, line 2, column 2: NUL byte");
    check_bad("a\0,\0b\0", 6, ML_E_FORMAT, "t.csv, line 1, column 1: NUL byte: not a text file, or UTF-16");
    check_bad("a,b\n\n1,\xC3(\n", 9, ML_E_FORMAT, "t.csv, line 3, column 2: invalid UTF-8");
    check_bad("a,b\n\"\xED\xA0\x80\",1\n", 11, ML_E_FORMAT, "t.csv, line 2, column 1: invalid UTF-8");
}

TEST(csv, broken_structure_is_named_by_line)
{
    check_bad("a,b\n1,2\n3\n", 10, ML_E_DATA, "t.csv, line 3: 1 columns, the first line has 2");
    check_bad("a,b\r\n\r\n1,2,3,4\r\n", 16, ML_E_DATA, "t.csv, line 3: 4 columns, the first line has 2");
    check_bad("a,b\n\"1\n2\",3\n4\n", 14, ML_E_DATA, "t.csv, line 4: 1 columns, the first line has 2");
    check_bad("a,b\n1,\"2\n3,4\n", 13, ML_E_FORMAT,
              "t.csv, line 2, column 2: the quote that opens here is never closed");
    check_bad("a,b\n1,\"", 7, ML_E_FORMAT, "line 2, column 2: the quote that opens here is never closed");
    check_bad("a,b\n1,\"\"\"", 9, ML_E_FORMAT, "line 2, column 2: the quote that opens here is never closed");
    check_bad("a,b\n\"1\"2,3\n", 11, ML_E_FORMAT, "t.csv, line 2, column 1: text after the closing quote");
}

TEST(csv, long_cells_are_refused_with_bounded_memory)
{
    const size_t limit = (size_t)1 << 20;
    char *text = malloc(limit + 8), *out = malloc(limit + 8);

    memset(text, 'x', limit + 8);
    CHECK_OK(parse(text, limit, 0, out));
    CHECK_FAILS(parse(text, limit + 1, 0, out), ML_E_LIMIT, "t.csv, line 1, column 1: the cell is longer than 1 MiB");
    text[0] = text[limit + 7] = '"';
    CHECK_FAILS(parse(text, limit + 8, 0, out), ML_E_LIMIT, "the cell is longer than 1 MiB");
    free(text);
    free(out);
}

TEST(csv, too_many_columns_are_refused_before_anything_is_allocated)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    const size_t n = ML_MAX_FEATURES, n_before = allocator.n_allocations;
    ml__csv csv = {.name = "wide", .text = malloc(n + 1), .n_bytes = n};

    memset(csv.text, ',', n);
    csv.text[n] = 0;
    CHECK_FAILS(ml__csv_parse(&csv, context), ML_E_LIMIT,
                "wide, line 1: 16777217 columns, at most 16777216 are allowed");
    CHECK(allocator.n_allocations == n_before);
    free(csv.text);
    ml_context_free(context);
}

TEST(csv, lines_are_counted_whatever_ends_them)
{
    char text[] = "1\r\n2\n3\r4\n\r5";
    const ml__csv csv = {.name = "", .text = text, .n_bytes = strlen(text)};

    for (const char *c = text; *c; c++)
        if (*c >= '0')
            CHECK(ml__csv_line(&csv, ml__csv_place(&csv, c)) == (size_t)(*c == '5' ? 6 : *c - '0'));
}

/* ---- files ---- */

TEST(csv, files_are_read_and_closed)
{
    const int before = dup(0);
    ml_csv_options options = {.struct_size = sizeof options, .max_bytes = 8};
    const char *path = test_written("small.csv", "a,b\n1,2\n");
    double row[2];
    ml_dataset *data;

    close(before);
    CHECK_OK(ml_dataset_from_csv(NULL, path, &options, &data));
    CHECK_OK(ml_dataset_row(data, 0, row, 2));
    CHECK(row[0] == 1 && row[1] == 2);
    ml_dataset_free(data);
    options.max_bytes = 7;
    CHECK_FAILS(ml_dataset_from_csv(NULL, path, &options, &data), ML_E_LIMIT, "has 8 bytes, more than max_bytes = 7");
    CHECK_FAILS(ml_dataset_from_csv_memory(NULL, "a,b\n1,2\n", 8, "m", &options, &data), ML_E_LIMIT,
                "'m' has 8 bytes, more than max_bytes = 7");
    CHECK(data == NULL);
    CHECK(dup(0) == before); /* no descriptor is left open */
    close(before);
    unlink(path);
}

TEST(csv, unreadable_files_are_refused_with_the_reason)
{
    const char *pipe_path = test_temporary_path("pipe"), *closed = test_written("closed.csv", "a\n1\n");
    ml_dataset *data;

    CHECK_FAILS(ml_dataset_from_csv(NULL, test_temporary_path("none.csv"), NULL, &data), ML_E_IO,
                "none.csv': no such file or directory");
    CHECK_FAILS(ml_dataset_from_csv(NULL, "/tmp", NULL, &data), ML_E_IO, "cannot read '/tmp': is a directory");
    CHECK_FAILS(ml_dataset_from_csv(NULL, "/dev/zero", NULL, &data), ML_E_IO,
                "cannot read '/dev/zero': not a regular file");
    CHECK(mkfifo(pipe_path, 0600) == 0);
    CHECK_FAILS(ml_dataset_from_csv(NULL, pipe_path, NULL, &data), ML_E_IO, "not a regular file");
    chmod(closed, 0);
    if (geteuid() != 0)
        CHECK_FAILS(ml_dataset_from_csv(NULL, closed, NULL, &data), ML_E_IO, "closed.csv': permission denied");
    CHECK_FAILS(ml_dataset_from_csv(NULL, test_written("empty.csv", ""), NULL, &data), ML_E_DATA,
                "empty.csv, line 1: the file is empty");
    if (access("/proc/self/status", R_OK) == 0) /* has more bytes than it says */
        CHECK_FAILS(ml_dataset_from_csv(NULL, "/proc/self/status", NULL, &data), ML_E_IO,
                    "'/proc/self/status' has more than the 0 bytes that the system tells");
    CHECK(data == NULL);
    CHECK_FAILS(ml_dataset_from_csv(NULL, NULL, NULL, &data), ML_E_ARGUMENT, "path is NULL");
    CHECK_FAILS(ml_dataset_from_csv(NULL, closed, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    unlink(pipe_path);
    unlink(closed);
    unlink(test_temporary_path("empty.csv"));
}

TEST(csv, long_paths_leave_room_for_the_reason)
{
    char path[900];
    ml_dataset *data;

    memset(path, 'p', sizeof path);
    strcpy(path + 880, "end");
    CHECK_FAILS(ml_dataset_from_csv_memory(NULL, "a,b\n1\n", 6, path, NULL, &data), ML_E_DATA,
                "pppend, line 2: 1 columns, the first line has 2");
}

TEST(csv, the_locale_does_not_matter)
{
    const char *text = "a,b\n0.1,1.5e3\n", *const LOCALES[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "C"};
    ml_dataset *data;
    double row[2];

    for (size_t i = 0; i < 3; i++) {
        if (!setlocale(LC_ALL, LOCALES[i]))
            continue;
        CHECK_OK(ml_dataset_from_csv_memory(NULL, text, strlen(text), NULL, NULL, &data));
        CHECK_OK(ml_dataset_row(data, 0, row, 2));
        CHECK(row[0] == 0.1 && row[1] == 1500);
        ml_dataset_free(data);
    }
    setlocale(LC_ALL, "C");
}

/* ---- hostile bytes ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Change, remove, repeat or insert a few bytes; returns the new length. */
static size_t mutate(char *text, size_t n, size_t room, uint64_t *state)
{
    static const char SPECIAL[] = "\"\",;\t\r\n\0\xFF\xC3\xA9?#.-e 19aN";

    for (uint32_t k = next_random(state) % 4 + 1; k > 0; k--) {
        const size_t at = n ? next_random(state) % n : 0;
        const char c = SPECIAL[next_random(state) % (sizeof SPECIAL - 1)];
        const uint32_t kind = next_random(state) % 4;
        if (kind == 0 && n) {
            text[at] = c;
        } else if (kind == 1 && n) {
            memmove(text + at, text + at + 1, n - at - 1);
            n--;
        } else if (kind == 2 && n < room) {
            memmove(text + at + 1, text + at, n - at);
            text[at] = c;
            n++;
        } else if (kind == 3) {
            n = next_random(state) % 8 ? n : at;
        }
    }
    return n;
}

TEST(csv, random_changes_give_a_dataset_or_an_error)
{
    static const char TEXT[] = "id,kind,size,weight,y\n1,\"a\"\"b\",2.5,1,yes\n2,c,?,2,no\r\n3,\"d\ne\",1e3,0.5,yes\n";
    size_t n_good = 0, n_bad = 0;
    uint64_t state = 20;

    for (int i = 0; i < 10000; i++) {
        const ml_csv_options options = {.struct_size = sizeof options,
                                        .target = i % 2 ? "y" : "#-1",
                                        .weight = i % 3 ? "weight" : NULL,
                                        .ignore = i % 5 ? NULL : "id",
                                        .header = (uint32_t)i % 3};
        size_t n = sizeof TEXT - 1;
        char *exact, text[2 * sizeof TEXT];
        ml_dataset *data;
        ml_status st;
        memcpy(text, TEXT, n);
        n = mutate(text, n, sizeof text, &state);
        exact = malloc(n + !n); /* so that reading past the end is seen */
        memcpy(exact, text, n);
        if (i % 7 == 0)
            test_csv_stream(exact, n, &options);
        st = ml_dataset_from_csv_memory(NULL, exact, n, NULL, &options, &data);
        CHECK((st == ML_OK) == (data != NULL));
        CHECK_MSG(st == ML_OK || st == ML_E_DATA || st == ML_E_FORMAT, "%s", ml_last_error());
        CHECK(st == ML_OK || strstr(ml_last_error(), "memory"));
        n_good += st == ML_OK;
        n_bad += st != ML_OK;
        ml_dataset_free(data);
        free(exact);
    }
    CHECK(n_good > 1000 && n_bad > 1000);
}
