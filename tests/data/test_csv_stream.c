/* SPDX-License-Identifier: Apache-2.0 */
/* CSV files that stay where they are: the same datasets and the same complaints, wherever the borders of blocks fall. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csv_stream.h"
#include "data/csv_import.h"
#include "data/dataset.h"

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- the same ---- */

static bool same_values(const void *a, const void *b, size_t n, ml_dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        const double x = dtype == ML_FLOAT32 ? (double)((const float *)a)[i] : ((const double *)a)[i];
        const double y = dtype == ML_FLOAT32 ? (double)((const float *)b)[i] : ((const double *)b)[i];
        if (isnan(x) ? !isnan(y) : x != y || signbit(x) != signbit(y))
            return false;
    }
    return true;
}

static void check_rows(const ml_dataset *got, const ml_dataset *want, size_t first, size_t n, ml_dtype dtype)
{
    const size_t d = ml_dataset_n_features(want);
    double *a = malloc((n * d + 1) * sizeof *a), *b = malloc((n * d + 1) * sizeof *b);
    bool same;

    CHECK_OK(ml__dataset_read(got, first, n, dtype, a));
    CHECK_OK(ml__dataset_read(want, first, n, dtype, b));
    same = same_values(a, b, n * d, dtype);
    free(a);
    free(b);
    CHECK_MSG(same, "rows %zu to %zu differ", first, first + n);
}

static void check_features(const ml_dataset *got, const ml_dataset *want)
{
    CHECK(ml_dataset_n_features(got) == ml_dataset_n_features(want));
    for (size_t j = 0; j < ml_dataset_n_features(want); j++) {
        CHECK(!strcmp(ml_dataset_feature_name(got, j), ml_dataset_feature_name(want, j)));
        CHECK(ml_dataset_n_categories(got, j) == ml_dataset_n_categories(want, j));
        for (size_t k = 0; k < ml_dataset_n_categories(want, j); k++)
            CHECK(!strcmp(ml_dataset_category_name(got, j, k), ml_dataset_category_name(want, j, k)));
    }
}

static void check_outputs(const ml_dataset *got, const ml_dataset *want)
{
    const size_t n = ml_dataset_n_rows(want);
    double *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);

    CHECK(ml_dataset_n_outputs(got) == ml_dataset_n_outputs(want));
    for (size_t o = 0; o < ml_dataset_n_outputs(want); o++) {
        CHECK(!strcmp(ml_dataset_output_name(got, o), ml_dataset_output_name(want, o)));
        CHECK(ml_dataset_n_classes(got, o) == ml_dataset_n_classes(want, o));
        for (size_t k = 0; k < ml_dataset_n_classes(want, o); k++)
            CHECK(!strcmp(ml_dataset_class_name(got, o, k), ml_dataset_class_name(want, o, k)));
        CHECK_OK(ml_dataset_output(got, o, a, n));
        CHECK_OK(ml_dataset_output(want, o, b, n));
        CHECK(same_values(a, b, n, ML_FLOAT64));
    }
    CHECK(ml__dataset_has_weights(got) == ml__dataset_has_weights(want));
    CHECK_OK(ml_dataset_weights(got, a, n));
    CHECK_OK(ml_dataset_weights(want, b, n));
    CHECK(same_values(a, b, n, ML_FLOAT64));
    free(a);
    free(b);
}

void test_same_datasets(const ml_dataset *got, const ml_dataset *want)
{
    const size_t n = ml_dataset_n_rows(want);
    size_t row[2] = {0}, feature[2] = {0};
    bool found[2];
    uint64_t state = 7;

    CHECK(ml_dataset_n_rows(got) == n && ml__dataset_is_streamed(got) && !ml__dataset_is_streamed(want));
    check_features(got, want);
    check_outputs(got, want);
    check_rows(got, want, 0, n, ML_FLOAT64);
    check_rows(got, want, 0, n, ML_FLOAT32);
    for (int i = 0; i < 3; i++) {
        const size_t first = next_random(&state) % n;
        check_rows(got, want, first, next_random(&state) % (n - first) + 1, i ? ML_FLOAT64 : ML_FLOAT32);
    }
    CHECK_OK(ml__dataset_find_missing(got, &found[0], &row[0], &feature[0]));
    CHECK_OK(ml__dataset_find_missing(want, &found[1], &row[1], &feature[1]));
    CHECK(found[0] == found[1] && row[0] == row[1] && feature[0] == feature[1]);
}

typedef struct outcome {
    ml_status status;
    char message[1024], log[4096];
    ml_dataset *data;
} outcome;

static void keep_log(void *user, int32_t level, const char *message)
{
    outcome *o = user;
    const size_t n = strlen(o->log);

    (void)level;
    snprintf(o->log + n, sizeof o->log - n, "%s\n", message);
}

/* n_at_once 0: in memory. */
static void load(const char *path, const ml_csv_options *options, size_t n_at_once, outcome *o)
{
    const ml_context_options with_log = {
        .struct_size = sizeof with_log, .log = keep_log, .log_user = o, .n_threads = 2};
    ml_context *context;

    memset(o, 0, sizeof *o);
    CHECK_OK(ml_context_create(&with_log, &context));
    o->status = n_at_once ? ml__csv_open(context, path, options, n_at_once, &o->data)
                          : ml_dataset_from_csv(context, path, options, &o->data);
    CHECK((o->status == ML_OK) == (o->data != NULL));
    if (o->status != ML_OK)
        snprintf(o->message, sizeof o->message, "%s", ml_last_error());
    ml_context_free(context);
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    CHECK(file && fwrite(bytes, 1, n, file) == n);
    CHECK(fclose(file) == 0);
}

void test_csv_stream(const char *text, size_t n, const ml_csv_options *options)
{
    static const size_t SIZES[] = {1 << 18, 1 << 12, 1, 2, 5, 19, 64, 500};
    const size_t n_sizes = n > 100000 ? 2 : sizeof SIZES / sizeof *SIZES;
    ml_csv_options o = options ? *options : (ml_csv_options){0};
    const char *path = test_temporary_path("stream.csv");
    outcome want, got;

    o.struct_size = sizeof o;
    write_bytes(path, text, n);
    load(path, &o, 0, &want);
    for (size_t s = 0; s < n_sizes; s++) {
        load(path, &o, SIZES[s], &got);
        CHECK_MSG(got.status == want.status && !strcmp(got.message, want.message),
                  "%zu bytes at once: '%s', expected '%s'", SIZES[s], got.message, want.message);
        CHECK_MSG(!strcmp(got.log, want.log), "'%s', expected '%s'", got.log, want.log);
        if (want.status == ML_OK)
            test_same_datasets(got.data, want.data);
        ml_dataset_free(got.data);
    }
    ml_dataset_free(want.data);
    unlink(path);
}

/* ---- random files ---- */

static const char *const WORDS[] = {"red",
                                    "Green",
                                    "blue",
                                    "a b",
                                    "\"quo\"\"ted\"",
                                    "\"comma, and; more\"",
                                    "\"line\nend\"",
                                    "\"cr\r\nlf\"",
                                    "\" blank \"",
                                    "\xC3\xA9t\xC3\xA9",
                                    "\"\"",
                                    "x",
                                    "x1",
                                    "10",
                                    "\"\r\""};
static const char *const GAPS[] = {"", "?", "NA", "null", "-99"};

typedef enum content { NUMBERS, WHOLES, TEXTS, MIXED, N_CONTENTS } content;

static size_t put_cell(char *out, content what, uint32_t gaps, uint64_t *state)
{
    const char *blank = next_random(state) % 8 ? "" : " ";

    if (next_random(state) % 100 < gaps)
        return (size_t)sprintf(out, "%s%s", blank, GAPS[next_random(state) % 5]);
    if (what == MIXED)
        what = next_random(state) % 50 ? NUMBERS : TEXTS;
    if (what == NUMBERS)
        return (size_t)sprintf(out, "%s%.*g%s", blank, (int)(next_random(state) % 17 + 1),
                               ((double)next_random(state) - 1e9) / 3e7, blank);
    if (what == WHOLES)
        return (size_t)sprintf(out, "%s%u", blank, next_random(state) % 15);
    return (size_t)sprintf(out, "%s%s%s", blank, WORDS[next_random(state) % (sizeof WORDS / sizeof *WORDS)], blank);
}

/* The last column is a weight. */
static size_t put_table(char *out, size_t n_rows, size_t n_columns, bool has_header, uint64_t *state)
{
    static const char *const ENDS[] = {"\n", "\r\n", "\r", "\n \n"};
    const char *end = ENDS[next_random(state) % 4];
    const uint32_t gaps = next_random(state) % 3 * 10;
    content contents[16];
    char *at = out;

    for (size_t c = 0; c < n_columns; c++)
        contents[c] = (content)(next_random(state) % N_CONTENTS);
    if (next_random(state) % 4 == 0)
        at += sprintf(at, "\xEF\xBB\xBF");
    for (size_t c = 0; has_header && c < n_columns; c++)
        at += sprintf(at, c % 3 ? "name%zu%s" : "\"name%zu\"%s", c, c + 1 < n_columns ? "," : end);
    for (size_t i = 0; i < n_rows; i++)
        for (size_t c = 0; c < n_columns; c++) {
            at += c + 1 < n_columns ? put_cell(at, contents[c], gaps, state) : (size_t)sprintf(at, "%zu.5", i % 9);
            at = stpcpy(at, c + 1 < n_columns ? "," : i + 1 < n_rows || next_random(state) % 2 ? end : "");
        }
    return (size_t)(at - out);
}

TEST(csv_stream, random_files_are_the_same_as_in_memory)
{
    static const char *const TARGETS[] = {NULL, "#0", "#1,#0", "#-2"}, *const IGNORED[] = {NULL, "#2", "#3"};
    char *text = malloc(1 << 20);
    uint64_t state = 3;

    for (int i = 0; i < 300; i++) {
        const bool has_header = next_random(&state) % 2;
        const size_t n_columns = next_random(&state) % 8 + 6, n_rows = next_random(&state) % (i % 10 ? 20 : 900) + 1;
        const ml_csv_options options = {.target = TARGETS[next_random(&state) % 4],
                                        .ignore = IGNORED[next_random(&state) % 3],
                                        .weight = next_random(&state) % 2 ? "#-1" : NULL,
                                        .missing = next_random(&state) % 2 ? "-99" : NULL,
                                        .header = has_header ? ML_HEADER_YES : ML_HEADER_NO,
                                        .task = next_random(&state) % 3,
                                        .max_categories = next_random(&state) % 4 ? 0 : 10};
        test_csv_stream(text, put_table(text, n_rows, n_columns, has_header, &state), &options);
    }
    free(text);
}

TEST(csv_stream, files_with_a_schema_are_the_same_as_in_memory)
{
    char *text = malloc(1 << 20);
    uint64_t state = 11;

    for (int i = 0; i < 100; i++) {
        ml_csv_options options = {.struct_size = sizeof options, .target = "#1", .header = ML_HEADER_NO};
        const uint64_t before = state;
        ml_dataset *schema;
        size_t n = put_table(text, 60, 7, false, &state);
        if (ml_dataset_from_csv_memory(NULL, text, n, NULL, &options, &schema) != ML_OK)
            continue;
        options.schema = schema;
        state = i % 2 ? before : state;
        test_csv_stream(text, put_table(text, 20, 7, false, &state), &options);
        ml_dataset_free(schema);
    }
    free(text);
}

/* ---- borders ---- */

/* Also in the middle of a line end, of quotes, of a character, and at the end of the file. */
TEST(csv_stream, borders_may_fall_anywhere)
{
    static const char TEXT[] =
        "\xEF\xBB\xBF\"a\"\"\",b \r\n\r\n 1 ,\"x\"\"\"\"\r\n\" \r\n  \r2,\xF0\x9F\x98\x80\n\"3\" , y\t";
    char path[512];
    outcome want, got;

    snprintf(path, sizeof path, "%s", test_temporary_path("border.csv"));
    for (size_t n = sizeof TEXT - 1; n > 0; n--) {
        write_bytes(path, TEXT, n);
        load(path, NULL, 0, &want);
        for (size_t n_at_once = 1; n_at_once < n + 2; n_at_once++) {
            load(path, NULL, n_at_once, &got);
            CHECK_MSG(got.status == want.status && !strcmp(got.message, want.message),
                      "%zu of %zu bytes: '%s', not '%s'", n_at_once, n, got.message, want.message);
            if (want.status == ML_OK)
                test_same_datasets(got.data, want.data);
            ml_dataset_free(got.data);
        }
        ml_dataset_free(want.data);
    }
    unlink(path);
}

TEST(csv_stream, long_cells_are_refused_as_in_memory)
{
    static const char *const ENDS[] = {"",         "\"",   "\"  ",        "\"\n",      "\",1\n",
                                       "\"  ;x\n", "\"\"", "\"\" \"  ,1", "x\n1,\"2\n"};
    const size_t limit = (size_t)1 << 20;
    char *text = malloc(2 * limit);

    for (size_t e = 0; e < sizeof ENDS / sizeof *ENDS; e++)
        for (size_t more = 0; more < 3; more++) {
            memset(text, 'q', 2 * limit);
            memcpy(text, "a,b\n1,\"", 7);
            strcpy(text + 7 + limit + more * 1000 * 300 - (more == 0), ENDS[e]);
            test_csv_stream(text, strlen(text), NULL);
            text[6] = ' ';
            test_csv_stream(text, strlen(text), NULL);
        }
    free(text);
}

/* Opening and reading all rows, one by one; returns the most memory taken. */
static size_t peak_of_reading(const char *path, const ml_csv_options *options, size_t n_rows)
{
    const ml_context_options single = {.struct_size = sizeof single, .n_threads = 1};
    ml_context *context;
    ml_dataset *data;
    double row[2];
    size_t peak;

    CHECK_OK(ml_context_create(&single, &context));
    CHECK_OK(ml_dataset_open_csv(context, path, options, &data));
    CHECK(ml_dataset_n_rows(data) == n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, ml_dataset_n_features(data)));
        CHECK(row[0] == (double)i);
    }
    ml_dataset_free(data);
    peak = (size_t)ml_context_memory_peak(context);
    ml_context_free(context);
    return peak;
}

/* A block ends where it has become long, and blank lines belong to none. */
TEST(csv_stream, memory_does_not_follow_from_the_first_record)
{
    enum { N_ROWS = 40, MIB = 1 << 20 };
    const ml_csv_options options = {.struct_size = sizeof options, .ignore = "b"};
    const size_t n_long = 500000;
    char *text = malloc((size_t)N_ROWS * (n_long + 16)), *at, path[512];

    snprintf(path, sizeof path, "%s", test_temporary_path("long.csv"));
    at = text + sprintf(text, "a,b\n");
    for (int i = 0; i < N_ROWS; i++) { /* 20 MB */
        at += sprintf(at, "%d,", i);
        memset(at, 'x', n_long);
        at[n_long] = '\n';
        at += n_long + 1;
    }
    write_bytes(path, text, (size_t)(at - text));
    CHECK(peak_of_reading(path, &options, N_ROWS) < 6 * MIB);

    at = text + sprintf(text, "a,b\n0,1\n1,1\n");
    memset(at, '\n', 16 * MIB);
    at += 16 * MIB;
    at += sprintf(at, "2,1\n \n3,1\n4,1");
    memset(at, '\n', 2 * MIB);
    write_bytes(path, text, (size_t)(at - text) + 2 * MIB);
    CHECK(peak_of_reading(path, NULL, 5) < MIB);
    unlink(path);
    free(text);
}

/* Records in blocks of every length, and of every number up to the most that are together. */
TEST(csv_stream, every_record_is_found_in_its_block)
{
    enum { N_ROWS = 3000 };
    char *text = malloc(64 * (size_t)N_ROWS), *at = text + sprintf(text, "a,b\n");
    uint64_t state = 13;

    for (int i = 0; i < N_ROWS; i++)
        at += sprintf(at, "%d,%0*d\n%s", i, (int)(next_random(&state) % (i % 100 < 50 ? 3 : 40)) + 1, i % 10,
                      next_random(&state) % 16 ? "" : "\n \r\n");
    test_csv_stream(text, (size_t)(at - text), NULL);
    free(text);
}

TEST(csv_stream, wide_files_are_the_same_as_in_memory)
{
    const size_t n_columns = 70000;
    char *text = malloc(4 * n_columns + 1), *at = text;

    for (size_t i = 0; i < 2 * n_columns; i++)
        at += sprintf(at, "%zu%s", i % 7, (i + 1) % n_columns ? "," : "\n");
    test_csv_stream(text, (size_t)(at - text), NULL);
    test_csv_stream(text, (size_t)(at - text) - 3, NULL); /* one cell is lacking */
    free(text);
}

TEST(csv_stream, too_many_columns_are_refused_as_in_memory)
{
    const size_t n = ML_MAX_FEATURES;
    char *text = malloc(n + 6);

    memset(text, ',', n + 6);
    memcpy(text + n, "\nabc,", 5);
    test_csv_stream(text, n + 5, NULL);
    free(text);
}

TEST(csv_stream, as_many_categories_as_allowed)
{
    const size_t n = 20000;
    char *text = malloc(16 * n), *at = text + sprintf(text, "k,v\n");
    ml_csv_options options = {.max_categories = (uint32_t)n};

    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "k%zu,%zu\n", i * 7919 % n, i);
    test_csv_stream(text, (size_t)(at - text), &options);
    options.max_categories--;
    test_csv_stream(text, (size_t)(at - text), &options);
    options.target = "k";
    test_csv_stream(text, (size_t)(at - text), &options);
    free(text);
}

/* ---- sets of texts ---- */

TEST(csv_stream, words_are_found_by_their_texts_alone)
{
    enum { N = 3000, LENGTH = 12 };
    static char texts[N][LENGTH + 1];
    ml__arena arena;
    ml__words words = {.arena = &arena};
    uint64_t state = 1;
    size_t n = 0, index;

    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i < N; i++) {
        char text[LENGTH + 1] = {0};
        size_t known = 0, length = next_random(&state) % (LENGTH + 1);
        for (size_t k = 0; k < length; k++)
            text[k] = i % 2 ? "ab"[next_random(&state) % 2] : (char)(next_random(&state) % 255 + 1);
        while (known < n && strcmp(texts[known], text))
            known++;
        CHECK(ml__words_find(&words, text, length) == known);
        CHECK_OK(ml__words_add(&words, text, length, &index));
        CHECK(index == known && words.n == n + (known == n));
        if (known == n)
            strcpy(texts[n++], text);
    }
    for (size_t i = 0; i < n; i++)
        CHECK(ml__words_find(&words, texts[i], strlen(texts[i])) == i);
    ml__arena_free(&arena);
}

/* Each is the beginning of the next: the deepest tree there can be. */
TEST(csv_stream, words_may_begin_with_each_other)
{
    enum { N = 2000 };
    char text[N + 1];
    ml__arena arena;
    ml__words words = {.arena = &arena};
    size_t index;

    memset(text, 'w', sizeof text);
    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i <= N; i++) {
        CHECK_OK(ml__words_add(&words, text, i, &index));
        CHECK(index == i);
    }
    for (size_t i = 0; i <= N; i++)
        CHECK(ml__words_find(&words, text, i) == i);
    CHECK(ml__words_find(&words, "v", 1) == words.n);
    ml__arena_free(&arena);
}

/* ---- shipped tables, threads ---- */

TEST(csv_stream, shipped_tables_are_the_same_as_in_memory)
{
    static const char *const NAMES[] = {"iris.csv",   "wine.csv",   "breast_cancer.csv",
                                        "digits.csv", "boston.csv", "diabetes.csv"};

    for (size_t t = 0; t < sizeof NAMES / sizeof *NAMES; t++) {
        const ml_csv_options options = {.struct_size = sizeof options, .target = "#-1"};
        ml_dataset *got, *want, *parts[4];
        CHECK_OK(ml_dataset_open_csv(NULL, test_data_path(NAMES[t]), &options, &got));
        CHECK_OK(ml_dataset_from_csv(NULL, test_data_path(NAMES[t]), &options, &want));
        test_same_datasets(got, want);
        CHECK_OK(ml_dataset_split(got, 0.5, 1, 0, &parts[0], &parts[1]));
        CHECK_OK(ml_dataset_split(want, 0.5, 1, 0, &parts[2], &parts[3]));
        ml_dataset_free(got); /* the views keep the file open */
        ml_dataset_free(want);
        check_rows(parts[0], parts[2], 0, ml_dataset_n_rows(parts[2]), ML_FLOAT64);
        check_rows(parts[1], parts[3], 0, ml_dataset_n_rows(parts[3]), ML_FLOAT32);
        for (size_t i = 0; i < 4; i++)
            ml_dataset_free(parts[i]);
    }
}

TEST(csv_stream, fits_are_the_same_as_from_memory)
{
    static const char *const KINDS[] = {"random_forest", "logistic_regression", "standard_scaler", "gmm_classifier"};
    const ml_csv_options options = {.struct_size = sizeof options, .target = "target"};
    ml_dataset *streamed, *all;

    CHECK_OK(ml__csv_open(NULL, test_data_path("wine.csv"), &options, 3000, &streamed));
    CHECK_OK(ml_dataset_from_csv(NULL, test_data_path("wine.csv"), &options, &all));
    for (size_t k = 0; k < sizeof KINDS / sizeof *KINDS; k++) {
        size_t n[2];
        void *bytes[2];
        for (int i = 0; i < 2; i++) {
            ml_model *model;
            CHECK_OK(ml_model_create(NULL, KINDS[k], &model));
            CHECK_OK(ml_model_fit(model, i ? all : streamed, NULL));
            bytes[i] = test_saved(model, &n[i]);
            ml_model_free(model);
        }
        CHECK_SAME_BYTES(bytes[0], n[0], bytes[1], n[1]);
        free(bytes[0]);
        free(bytes[1]);
    }
    ml_dataset_free(streamed);
    ml_dataset_free(all);
}

typedef struct share {
    const ml_dataset *data;
    const double *want;
    uint64_t seed;
    bool same;
} share;

static void *read_often(void *argument)
{
    share *s = argument;
    double row[64];

    s->same = true;
    for (int i = 0; i < 200; i++) {
        const size_t at = next_random(&s->seed) % ml_dataset_n_rows(s->data);
        s->same &= ml_dataset_row(s->data, at, row, 64) == ML_OK && !memcmp(row, s->want + 64 * at, sizeof row);
    }
    return NULL;
}

TEST(csv_stream, several_threads_may_read_at_once)
{
    const ml_csv_options options = {.struct_size = sizeof options, .target = "target"};
    ml_dataset *data, *want;
    pthread_t threads[4];
    share shares[4];
    double *rows;

    CHECK_OK(ml__csv_open(NULL, test_data_path("digits.csv"), &options, 5000, &data));
    CHECK_OK(ml_dataset_from_csv(NULL, test_data_path("digits.csv"), &options, &want));
    CHECK(ml_dataset_n_features(want) == 64);
    rows = malloc(ml_dataset_n_rows(want) * 64 * sizeof *rows);
    CHECK_OK(ml__dataset_read(want, 0, ml_dataset_n_rows(want), ML_FLOAT64, rows));
    for (size_t t = 0; t < 4; t++) {
        shares[t] = (share){data, rows, t, false};
        CHECK(pthread_create(&threads[t], NULL, read_often, &shares[t]) == 0);
    }
    for (size_t t = 0; t < 4; t++)
        pthread_join(threads[t], NULL);
    for (size_t t = 0; t < 4; t++)
        CHECK(shares[t].same);
    free(rows);
    ml_dataset_free(data);
    ml_dataset_free(want);
}

/* ---- files that change ---- */

static ml_dataset *opened(const char *path, const char *text)
{
    ml_dataset *data;

    write_bytes(path, text, strlen(text));
    CHECK_OK(ml__csv_open(NULL, path, NULL, 1, &data)); /* a block for each row */
    return data;
}

TEST(csv_stream, a_file_that_changes_is_noticed_or_read_as_it_is)
{
    static const char BEFORE[] = "k,v,w\na,1,2\nb,2,3\nc,,4\n";
    static const struct {
        const char *after, *message;
    } CHANGES[] = {
        {"k,v,w\na,1,2\nb,2,3\nc,,\n", "ended at byte 22"},
        {"k,v,w\na,1,2\nb,2,3\n", "ended at byte 18"},
        {"k,v,w\na,1,2\nb,2,3\nd,,4\n", "line 4, column 1 ('k'): the file has changed since it was opened"},
        {"k,v,w\na,1,2\nb,2,3\nc,x,4\n", "line 4, column 2 ('v'): the file has changed since it was opened"},
        {"k,v,w\na,1,2\nb,2,3\nc,x4\n", "the file has changed since it was opened: "},
        {"k,v,w\na,1,2\nb,2,3\nc,,?\n", "line 4, column 3 ('w'): the file has changed since it was opened"},
        {"k,v,w\na,1,2\nb,2,3\n\n\n\n\n\n", "line 4: 0 lines, expected 1"},
        {"k,v,w\na,1,2\nb,2,3\n1\n2\n3", "line 4: 1 columns, the first line has 3"},
        {"k,v,w\na,1,2\nb,2,3\nc,,\"\n", "line 4, column 3: the quote that opens here is never closed"},
        {"k,v,w\na,1,2\nb,2,3\nc,,\xC3\n", "line 4, column 3: invalid UTF-8"},
        {"k,v,w\na,1,2\nb,2,3\nc,5,4", NULL},
    };
    char path[512];
    double row[3];

    snprintf(path, sizeof path, "%s", test_temporary_path("change.csv"));
    for (size_t i = 0; i < sizeof CHANGES / sizeof *CHANGES; i++) {
        ml_dataset *data = opened(path, BEFORE);
        write_bytes(path, CHANGES[i].after, strlen(CHANGES[i].after));
        CHECK_OK(ml_dataset_row(data, 1, row, 3));
        CHECK(row[0] == 1 && row[1] == 2 && row[2] == 3);
        if (CHANGES[i].message)
            CHECK_FAILS(ml_dataset_row(data, 2, row, 3), ML_E_IO, CHANGES[i].message);
        else
            CHECK_OK(ml_dataset_row(data, 2, row, 3));
        ml_dataset_free(data);
    }
    unlink(path);
}

/* Lines behind the last are no block's, and other values are as good as those before. */
TEST(csv_stream, a_file_that_grows_or_is_rewritten_is_noticed_by_fits)
{
    static const char BEFORE[] = "v,w\n1,2\n2,3\n3,4\n";
    static const char *const AFTER[] = {"v,w\n1,2\n2,3\n3,4\n4,5\n", "v,w\n5,2\n2,3\n3,4\n"};
    char path[512];
    double z[6];

    snprintf(path, sizeof path, "%s", test_temporary_path("change.csv"));
    for (size_t i = 0; i < 2; i++) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
        ml_dataset *data = opened(path, BEFORE);
        ml_model *model;

        CHECK_OK(ml_model_create(NULL, "standard_scaler", &model));
        CHECK_OK(ml_model_fit(model, data, NULL));
        write_bytes(path, AFTER[i], strlen(AFTER[i]));
        CHECK(utimensat(AT_FDCWD, path, times, 0) == 0); /* whatever the file system's clock can tell apart */
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_IO,
                    i ? "change.csv' has been written to since it was opened"
                      : "change.csv' has changed from 16 to 20 bytes since it was opened");
        CHECK_FAILS(ml_model_transform(model, data, z, 6), ML_E_IO, "since it was opened");
        ml_model_free(model);
        ml_dataset_free(data);
    }
    unlink(path);
}

TEST(csv_stream, bytes_that_change_at_random_do_no_harm)
{
    static const char SPECIAL[] = "\"\",;\t\r\n\0\xFF\xC3\xA9?#.-e 19aN";
    char path[512], *text = malloc(1 << 16);
    uint64_t state = 5;
    size_t n_bad = 0;

    snprintf(path, sizeof path, "%s", test_temporary_path("noise.csv"));
    for (int i = 0; i < 300; i++) {
        const size_t n = put_table(text, 30, 5, true, &state);
        double values[32 * 5];
        ml_dataset *data;
        write_bytes(path, text, n);
        CHECK_OK(ml__csv_open(NULL, path, NULL, next_random(&state) % 300 + 1, &data));
        for (int k = 0; k < 4; k++)
            text[next_random(&state) % n] = SPECIAL[next_random(&state) % (sizeof SPECIAL - 1)];
        write_bytes(path, text, i % 8 ? n : n - next_random(&state) % n);
        for (size_t row = 0; row < 30; row += 5) {
            const ml_status st = ml__dataset_read(data, row, 5, ML_FLOAT64, values);
            CHECK_MSG(st == ML_OK || st == ML_E_IO, "%s", ml_last_error());
            n_bad += st != ML_OK;
        }
        ml_dataset_free(data);
    }
    CHECK(n_bad > 100);
    free(text);
    unlink(path);
}

/* ---- failing ---- */

TEST(csv_stream, files_that_cannot_be_read_are_refused_as_in_memory)
{
    const char *const PATHS[] = {"/nowhere/none.csv", "/tmp", "/dev/zero", "/proc/self/status", NULL};
    ml_dataset *data;

    for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++) {
        const ml_status want = ml_dataset_from_csv(NULL, PATHS[i], NULL, &data);
        char message[512];
        snprintf(message, sizeof message, "%s", ml_last_error());
        CHECK_FAILS(ml_dataset_open_csv(NULL, PATHS[i], NULL, &data), want, message);
        CHECK(data == NULL);
    }
    CHECK_FAILS(ml_dataset_open_csv(NULL, "/tmp", NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    test_csv_stream("a\n1\n", 4, &(ml_csv_options){.max_bytes = 3});
    test_csv_stream("a\n1\n", 4, &(ml_csv_options){.delimiter = '.'});
}

typedef struct attempt {
    const char *path;
    ml_csv_options options;
} attempt;

static ml_status try_stream(ml_context *context, void *argument)
{
    const attempt *a = argument;
    double values[4 * 8];
    ml_dataset *data;
    ml_status st = ml__csv_open(context, a->path, &a->options, 4, &data);

    CHECK((st == ML_OK) == (data != NULL));
    if (st == ML_OK)
        st = ml__dataset_read(data, 0, 3, ML_FLOAT32, values);
    ml_dataset_free(data);
    return st;
}

TEST(csv_stream, every_failing_allocation_is_survived)
{
    static const char TEXT[] = "k,v,w,y,z\na,1,1,no,5\nb,2,1,yes,6.5\n\"c\"\"\",3,2,no,7\n";
    const int before = dup(0);
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    attempt a = {.options = {.struct_size = sizeof a.options, .target = "y,z", .weight = "w", .missing = "-"}};
    char path[512];
    ml_dataset *schema;

    close(before);
    snprintf(path, sizeof path, "%s", test_temporary_path("failing.csv"));
    write_bytes(path, TEXT, strlen(TEXT));
    a.path = path;
    CHECK(test_failing_allocations(&allocator, context, "csv", try_stream, &a) > 0);
    CHECK_OK(ml_dataset_from_csv(NULL, path, &a.options, &schema));
    a.options.schema = schema;
    CHECK(test_failing_allocations(&allocator, context, "csv", try_stream, &a) > 0);
    ml_dataset_free(schema);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    CHECK(dup(0) == before); /* no descriptor is left open */
    close(before);
    unlink(path);
}
