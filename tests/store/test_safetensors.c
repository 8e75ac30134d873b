/* SPDX-License-Identifier: Apache-2.0 */
/* The container: one crafted file for every rule, and files we write read back. */
#include "base/random.h"
#include "store/safetensors.h"
#include "test.h"

/* A file of a header text and n_data bytes of data, malloc'ed to its exact size. */
typedef struct crafted {
    unsigned char *bytes;
    size_t n;
} crafted;

static crafted craft_length(uint64_t length, const char *header, size_t n_data)
{
    const size_t n_header = strlen(header);
    crafted c = {.n = 8 + n_header + n_data};

    c.bytes = malloc(c.n);
    for (int i = 0; i < 8; i++)
        c.bytes[i] = (unsigned char)(length >> 8 * i);
    memcpy(c.bytes + 8, header, n_header);
    for (size_t i = 0; i < n_data; i++)
        c.bytes[8 + n_header + i] = (unsigned char)i;
    return c;
}

static crafted craft(const char *header, size_t n_data)
{
    return craft_length(strlen(header), header, n_data);
}

static ml_status read_crafted(crafted c, uint64_t max_header_bytes)
{
    const ml__source source = ml__source_memory(c.bytes, c.n);
    ml__safetensors layout;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, NULL);
    st = ml__safetensors_read(&arena, &source, max_header_bytes, &layout);
    ml__arena_free(&arena);
    free(c.bytes);
    return st;
}

static ml_status read_header(const char *header, size_t n_data)
{
    return read_crafted(craft(header, n_data), ML__HEADER_DEFAULT_BYTES);
}

TEST(safetensors, smallest_files)
{
    CHECK_OK(read_header("{}", 0));
    CHECK_OK(read_header("{}        ", 0));
    CHECK_OK(read_header("{\"__metadata__\":{}}", 0));
    CHECK_OK(read_header("{\"__metadata__\":{\"a\":\"b\"}}", 0));
    CHECK_OK(read_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24));
    CHECK_OK(read_header("{\"a\":{\"shape\":[],\"data_offsets\":[0,8],\"dtype\":\"F64\"}}", 8));
    CHECK_OK(read_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[0,0]}}", 0));
    CHECK_OK(read_header("{ \"a\" : { \"dtype\" : \"U8\",\n\"shape\":[1], \"data_offsets\":[0,1]}}", 1));
}

TEST(safetensors, size_and_length)
{
    static const unsigned char BYTES[8] = {2};

    for (size_t n = 0; n < 8; n++) {
        crafted c = {.bytes = malloc(n + 1), .n = n};
        memcpy(c.bytes, BYTES, n);
        CHECK_FAILS(read_crafted(c, 1000), ML_E_FORMAT, "not a model file: it has only");
    }
    CHECK_FAILS(read_crafted(craft_length(2, "{", 0), 1000), ML_E_FORMAT, "it has only 9 bytes");
    CHECK_FAILS(read_crafted(craft_length(0, "{}", 0), 1000), ML_E_FORMAT, "its header would have 0 bytes");
    CHECK_FAILS(read_crafted(craft_length(1, "{}", 0), 1000), ML_E_FORMAT, "its header would have 1 bytes");
    CHECK_FAILS(read_crafted(craft_length(3, "{}", 0), 1000), ML_E_FORMAT, "its header would have 3 bytes");
    CHECK_FAILS(read_crafted(craft_length((uint64_t)1 << 63, "{}", 0), 1000), ML_E_FORMAT,
                "its header would have 9223372036854775808 bytes");
    CHECK_FAILS(read_crafted(craft_length(UINT64_MAX, "{}", 0), 1000), ML_E_FORMAT,
                "its header would have 18446744073709551615 bytes");
    CHECK_FAILS(read_crafted(craft_length(UINT64_MAX - 7, "{}", 0), 1000), ML_E_FORMAT, "its header would have");
    CHECK_FAILS(read_crafted(craft("{}        ", 0), 9), ML_E_LIMIT,
                "the header has 10 bytes, more than max_header_bytes = 9");
    CHECK_OK(read_crafted(craft("{}        ", 0), 10));
}

TEST(safetensors, huge_length_allocates_nothing)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    const size_t n_allocations = allocator.n_allocations;
    crafted c = craft_length((uint64_t)90000000, "{}", 0);
    const ml__source source = ml__source_memory(c.bytes, c.n);
    ml__safetensors layout;
    ml__arena arena;

    ml__arena_init(&arena, context);
    CHECK_FAILS(ml__safetensors_read(&arena, &source, ML__HEADER_MAX_BYTES, &layout), ML_E_FORMAT, "header would have");
    CHECK(allocator.n_allocations == n_allocations);
    ml__arena_free(&arena);
    free(c.bytes);
    ml_context_free(context);
}

TEST(safetensors, other_formats_are_recognised)
{
    static const struct {
        const char *start, *message;
    } FILES[] = {
        {"\x80\x04\x95xxxxxxxxxxxxx", "a Python pickle"},
        {"\x80\x02}q\x01(X\x0f", "a Python pickle"},
        {"\x1f\x8b\x08xxxxxxxxxxxxx", "gzip data"},
        {"PK\x03\x04xxxxxxxxxxxxxx", "a ZIP archive"},
        {"GGUF\x03xxxxxxxxxxxxxxxx", "a GGUF file"},
        {"\x89HDF\r\n\x1a\nxxxxxxxx", "an HDF5 file"},
        {"\x93NUMPY\x01xxxxxxxxxxx", "a NumPy array"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"},
        {"<!DOCTYPE html><html>xxxx", "an HTML page"},
        {"<html><body></body></html>", "an HTML page"},
        {"{\"learner\":{\"version\":1}}", "JSON text"},
    };

    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        crafted c = {.n = strlen(FILES[i].start)};
        c.bytes = malloc(c.n);
        memcpy(c.bytes, FILES[i].start, c.n);
        CHECK_FAILS(read_crafted(c, 1000), ML_E_FORMAT, FILES[i].message);
    }
    CHECK(ml__resembles((const unsigned char *)"GGU", 3) == NULL);
}

TEST(safetensors, header_begins_at_byte_8_and_ends_with_spaces_only)
{
    CHECK_FAILS(read_header(" {}", 0), ML_E_FORMAT, "byte 8: the header does not begin with '{', but with 32");
    CHECK_FAILS(read_header("[]", 0), ML_E_FORMAT, "does not begin with '{'");
    CHECK_FAILS(read_header("\xEF\xBB\xBF{}", 0), ML_E_FORMAT, "does not begin with '{'");
    CHECK_FAILS(read_header("{}\n", 0), ML_E_FORMAT, "header, byte 10: bytes after the end");
    CHECK_FAILS(read_header("{}\t ", 0), ML_E_FORMAT, "bytes after the end");
    CHECK_FAILS(read_header("{} {}", 0), ML_E_FORMAT, "bytes after the end");
    CHECK_FAILS(read_header("{     ", 0), ML_E_FORMAT, "expected a key in quotes");
    CHECK_FAILS(read_header("{\"a\":", 0), ML_E_FORMAT, "header, byte 13: expected");
}

#define T(members) "{\"a\":{" members "}}"

TEST(safetensors, grammar_of_the_header)
{
    static const struct {
        const char *header;
        ml_status code;
        const char *message;
    } FILES[] = {
        {"{\"a\":1}", ML_E_FORMAT, "tensor 'a': header, byte 13: expected an object, not a whole number"},
        {"{\"a\":[]}", ML_E_FORMAT, "expected an object, not an array"},
        {T(""), ML_E_FORMAT, "tensor 'a': header, byte 13: key 'dtype' is missing"},
        {T("\"dtype\":\"U8\",\"shape\":[1]"), ML_E_FORMAT, "key 'data_offsets' is missing"},
        {T("\"dtype\":\"U8\",\"data_offsets\":[0,1]"), ML_E_FORMAT, "key 'shape' is missing"},
        {T("\"shape\":[1],\"data_offsets\":[0,1]"), ML_E_FORMAT, "key 'dtype' is missing"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1"), ML_E_FORMAT, "unknown key 'x'"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"shape\":[1]"), ML_E_FORMAT,
         "key 'shape' occurs twice"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"\\u0073hape\":[1]"), ML_E_FORMAT,
         "key 'shape' occurs twice"},
        {T("\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]"), ML_E_FORMAT, "expected a text, not a whole number"},
        {T("\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]"), ML_E_FORMAT, "expected an array"},
        {T("\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]"), ML_E_FORMAT, "expected a whole number"},
        {T("\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]"), ML_E_FORMAT, "expected an object, an array"},
        {T("\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]"), ML_E_FORMAT, "expected ',' or the end"},
        {T("\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,1]"), ML_E_FORMAT, "above 2^64"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]"), ML_E_FORMAT, "data_offsets has 1 numbers, not 2"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]"), ML_E_FORMAT, "data_offsets has 3 numbers"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\"0\",1]"), ML_E_FORMAT, "expected a whole number"},
        {T("\"dtype\":\"U8\",\"shape\":[[1]],\"data_offsets\":[0,1]"), ML_E_FORMAT, "nested deeper than 3"},
        {T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}"), ML_E_FORMAT, "expected an array, not an object"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
         ML_E_FORMAT, "key 'a' occurs twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
         ML_E_FORMAT, "key 'a' occurs twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", ML_E_FORMAT, "key '__metadata__' occurs twice"},
        {"{\"__metadata__\":{\"k\":\"1\",\"\\u006b\":\"2\"}}", ML_E_FORMAT, "key 'k' occurs twice"},
        {"{\"__metadata__\":[]}", ML_E_FORMAT, "expected an object, not an array"},
        {"{\"__metadata__\":{\"k\":1}}", ML_E_FORMAT, "expected a text, not a whole number"},
        {"{\"__metadata__\":{\"k\":{}}}", ML_E_FORMAT, "expected a text, not an object"},
        {"{\"__metadata__\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", ML_E_FORMAT,
         "expected a text, not an array"},
        {"{\"a\xFF\":1}", ML_E_FORMAT, "invalid UTF-8"},
        {"{\"a\\u0000b\":1}", ML_E_FORMAT, "NUL in a text"},
    };

    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        CHECK_FAILS(read_header(FILES[i].header, 1), FILES[i].code, FILES[i].message);
}

TEST(safetensors, names_of_tensors)
{
    static const char *const BAD[] = {"",       "..",  "../a",     "a/../b", "a..b",      "a b",     "a\\u0009",
                                      "a\\\\b", "a:b", "\xC3\xA9", "a*",     "\\\"a\\\"", "C:\\\\x", "a\\u007f"};
    static const char *const GOOD[] = {"a", "a.b", "members.0.trees.threshold", "A-Z_0/9", ".", "/a"};
    char header[512], name[260];

    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", BAD[i]);
        CHECK_FAILS(read_header(header, 1), ML_E_FORMAT, "header, byte 9: a tensor's name has 1 to 256");
    }
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", GOOD[i]);
        CHECK_OK(read_header(header, 1));
    }
    memset(name, 'x', sizeof name);
    for (size_t n = 256; n <= 257; n++) {
        name[n] = 0;
        snprintf(header, sizeof header, "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        CHECK(read_header(header, 1) == (n == 256 ? ML_OK : ML_E_FORMAT));
        name[n] = 'x';
    }
}

TEST(safetensors, element_types)
{
    static const struct {
        const char *name;
        int n_bytes;
    } TYPES[] = {{"U8", 1},  {"I8", 1},  {"BOOL", 1}, {"I16", 2}, {"U16", 2}, {"I32", 4},
                 {"U32", 4}, {"F32", 4}, {"I64", 8},  {"U64", 8}, {"F64", 8}};
    static const char *const UNKNOWN[] = {"F16", "BF16", "F8_E4M3", "f32", "F32 ", "", "F128", "C64"};
    char header[256];

    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%d]}}",
                 TYPES[i].name, 3 * TYPES[i].n_bytes);
        CHECK_OK(read_header(header, 3 * (size_t)TYPES[i].n_bytes));
    }
    for (size_t i = 0; i < sizeof UNKNOWN / sizeof *UNKNOWN; i++) {
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,6]}}", UNKNOWN[i]);
        CHECK_FAILS(read_header(header, 6), ML_E_UNSUPPORTED, "tensor 'a': unknown element type '");
    }
}

TEST(safetensors, shapes)
{
    static const struct {
        const char *shape;
        size_t n_bytes;      /* of F32 elements */
        const char *message; /* NULL: accepted */
    } SHAPES[] = {
        {"1,1,1,1,1,1,1,1", 4, NULL},
        {"1,1,1,1,1,1,1,1,1", 4, "9 dimensions, more than 8"},
        {"2", 4, "its shape needs 8 bytes, data_offsets give 4"},
        {"1", 5, "its shape needs 4 bytes, data_offsets give 5"},
        {"", 0, "its shape needs 4 bytes, data_offsets give 0"},
        {"0", 4, "its shape needs 0 bytes, data_offsets give 4"},
        {"281474976710656", 4, "dimension 0 is 281474976710656, more than 2^48 - 1"},
        {"0,281474976710656", 0, "dimension 1 is 281474976710656"},
        {"281474976710656,0", 0, "dimension 0 is 281474976710656"},
        {"2,18446744073709551614", 0, "dimension 1 is 18446744073709551614"},
        {"9223372036854775807,2", 0, "dimension 0 is 9223372036854775807"},
        {"4194305,4194305,211106198978564", 4, "its shape overflows"},
        {"281474976710655,281474976710655", 0, "its shape overflows"},
        {"281474976710655,281474976710655,0", 0, "its shape overflows"},
        {"0,281474976710655,281474976710655", 0, "its shape overflows"},
        {"65536,65536,65536,65536", 0, "its shape overflows"},
        {"65536,65536,65536,16384", 0, "its shape overflows"},
        {"65536,65536,65536,4096", 0, "its shape needs 4611686018427387904 bytes, data_offsets give 0"},
        {"0,281474976710655", 0, NULL},
        {"281474976710655,0", 0, NULL},
    };
    char header[256];

    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,%zu]}}",
                 SHAPES[i].shape, SHAPES[i].n_bytes);
        if (SHAPES[i].message)
            CHECK_FAILS(read_header(header, SHAPES[i].n_bytes), ML_E_FORMAT, SHAPES[i].message);
        else
            CHECK_OK(read_header(header, SHAPES[i].n_bytes));
    }
}

/* Two tensors of the given places, and n bytes of data. */
static ml_status read_two(size_t a0, size_t a1, size_t b0, size_t b1, size_t n)
{
    char header[256];

    snprintf(header, sizeof header,
             "{\"b\":{\"dtype\":\"U8\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]},"
             "\"a\":{\"dtype\":\"U8\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}}",
             b1 - b0, b0, b1, a1 - a0, a0, a1);
    return read_header(header, n);
}

TEST(safetensors, layout)
{
    CHECK_OK(read_two(0, 4, 4, 10, 10));
    CHECK_OK(read_two(4, 10, 0, 4, 10));
    CHECK_OK(read_two(0, 0, 0, 4, 4));
    CHECK_OK(read_two(4, 4, 0, 4, 4));
    CHECK_FAILS(read_two(0, 4, 3, 10, 10), ML_E_FORMAT, "tensor 'b': overlaps another: begins at 3, before 4");
    CHECK_FAILS(read_two(0, 4, 0, 4, 4), ML_E_FORMAT, "overlaps another: begins at 0, before 4");
    CHECK_FAILS(read_two(0, 10, 4, 4, 10), ML_E_FORMAT, "tensor 'b': overlaps another");
    CHECK_FAILS(read_two(0, 4, 5, 10, 10), ML_E_FORMAT, "tensor 'b': a hole before it, from 4 to 5");
    CHECK_FAILS(read_two(1, 4, 4, 10, 10), ML_E_FORMAT, "tensor 'a': a hole before it, from 0 to 1");
    CHECK_FAILS(read_two(0, 4, 4, 10, 9), ML_E_FORMAT, "tensor 'b': ends at 10, beyond the 9 bytes of data");
    CHECK_FAILS(read_two(0, 4, 4, 10, 11), ML_E_FORMAT, "1 bytes after the last tensor, from byte ");
    CHECK_FAILS(read_two(0, 4, 4, 10, 0), ML_E_FORMAT, "tensor 'a': ends at 4, beyond the 0 bytes of data");
    CHECK_FAILS(read_header("{}", 5), ML_E_FORMAT, "5 bytes after the last tensor, from byte 10 of the file");
    CHECK_FAILS(read_header(T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]"), 1), ML_E_FORMAT,
                "tensor 'a': data_offsets [1, 0] are reversed");
    CHECK_FAILS(read_header(T("\"dtype\":\"U8\",\"shape\":[1],"
                              "\"data_offsets\":[18446744073709551614,18446744073709551615]"),
                            1),
                ML_E_FORMAT, "tensor 'a': a hole before it");
    CHECK_FAILS(read_header(T("\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[18446744073709551615,0]"), 1),
                ML_E_FORMAT, "are reversed");
}

TEST(safetensors, limits_of_metadata_and_tensors)
{
    const size_t room = (size_t)8 << 20;
    char *header = malloc(room);
    size_t n;

    CHECK(header != NULL);
    for (size_t entries = 1024; entries <= 1025; entries++) {
        n = (size_t)sprintf(header, "{\"__metadata__\":{\"k\":\"v\"");
        for (size_t i = 1; i < entries; i++)
            n += (size_t)sprintf(header + n, ",\"k%zu\":\"v\"", i);
        sprintf(header + n, "}}");
        if (entries == 1024)
            CHECK_OK(read_header(header, 0));
        else
            CHECK_FAILS(read_header(header, 0), ML_E_LIMIT, "more than 1024 entries in __metadata__");
    }
    sprintf(header, "{\"__metadata__\":{\"%0257d\":\"v\"}}", 1);
    CHECK_FAILS(read_header(header, 0), ML_E_LIMIT, "key of more than 256 bytes");
    sprintf(header, "{\"__metadata__\":{\"k\":\"%065537d\"}}", 1);
    CHECK_FAILS(read_header(header, 0), ML_E_LIMIT, "value of more than 65536 bytes");
    for (size_t tensors = 65536; tensors <= 65537; tensors++) {
        n = (size_t)sprintf(header, "{\"__metadata__\":{}");
        for (size_t i = 0; i < tensors; i++)
            n += (size_t)sprintf(header + n, ",\"t%zu\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}", i,
                                 i, i + 1);
        sprintf(header + n, "}");
        if (tensors == 65536)
            CHECK_OK(read_header(header, tensors));
        else
            CHECK_FAILS(read_header(header, tensors), ML_E_LIMIT, "more than 65536 tensors");
    }
    n = (size_t)sprintf(header, T("\"dtype\":\"U8\",\"shape\":[0"));
    n -= 2;
    while (n < room - 100)
        n += (size_t)sprintf(header + n, ",0");
    sprintf(header + n, "],\"data_offsets\":[0,0]}}");
    CHECK_FAILS(read_crafted(craft(header, 0), ML__HEADER_MAX_BYTES), ML_E_LIMIT, "header: more than ");
    free(header);
}

/* ---- writing ---- */

static const char *const METADATA[][2] = {{"format", "test"}, {"text", "quote \" and \xC3\xA9"}};

static void write_all(ml__arena *arena, ml__stored_tensor *tensors, size_t n, ml__safetensors *plan, crafted *out)
{
    CHECK_OK(ml__safetensors_plan(arena, tensors, n, METADATA, 2, plan));
    out->n = (size_t)plan->source.n_bytes;
    out->bytes = malloc(out->n);
    CHECK_OK(plan->source.read(&plan->source, 0, out->bytes, out->n));
}

TEST(safetensors, written_files_read_back)
{
    static const double F[6] = {1, 2, 3, 4, 5, -0.0};
    static const float G[3] = {1.5f, -2, 3};
    static const int64_t I[2] = {INT64_MIN, 7};
    static const int32_t J[1] = {-1};
    static const uint8_t B[5] = {1, 2, 3, 4, 255};
    ml__stored_tensor tensors[] = {
        {.name = "bytes", .dtype = ML_UINT8, .rank = 1, .shape = {5}, .data = B},
        {.name = "j", .dtype = ML_INT32, .rank = 0, .data = J},
        {.name = "z", .dtype = ML_FLOAT64, .rank = 2, .shape = {2, 3}, .data = F},
        {.name = "empty", .dtype = ML_FLOAT32, .rank = 2, .shape = {0, 3}, .data = ""},
        {.name = "a", .dtype = ML_INT64, .rank = 1, .shape = {2}, .data = I},
        {.name = "g", .dtype = ML_FLOAT32, .rank = 1, .shape = {3}, .data = G},
    };
    static const char *const ORDER[] = {"a", "z", "empty", "g", "j", "bytes"};
    ml__safetensors plan, back;
    ml__arena arena;
    crafted file, again;
    double z[6];

    ml__arena_init(&arena, NULL);
    write_all(&arena, tensors, 6, &plan, &file);
    const ml__source source = ml__source_memory(file.bytes, file.n);
    CHECK_OK(ml__safetensors_read(&arena, &source, 10000, &back));
    CHECK(back.n_tensors == 6 && back.data_offset % 64 == 0);
    for (size_t i = 0; i < 6; i++) {
        CHECK(!strcmp(back.tensors[i].name, ORDER[i]));
        CHECK(back.tensors[i].begin % back.tensors[i].element_bytes == 0);
        CHECK(ml__safetensors_find(&back, ORDER[i]) == i);
    }
    CHECK(ml__safetensors_find(&back, "nothing") == 6);
    CHECK_OK(ml__safetensors_load(&back, &source, &back.tensors[1], z));
    CHECK_SAME_BYTES(z, sizeof z, F, sizeof F);
    CHECK(back.metadata->n == 2 && !strcmp(ml__json_next(ml__json_first(back.metadata))->value.text, "test"));

    ml__stored_tensor swapped[6]; /* the order in which tensors are given does not matter */
    for (size_t i = 0; i < 6; i++)
        swapped[i] = tensors[5 - i];
    write_all(&arena, swapped, 6, &plan, &again);
    CHECK_SAME_BYTES(file.bytes, file.n, again.bytes, again.n);
    for (size_t at = 0; at < file.n; at += 8) { /* piece by piece as when a file is written */
        const size_t n = file.n - at < 8 ? file.n - at : 8;
        unsigned char piece[8];
        CHECK_OK(plan.source.read(&plan.source, at, piece, n));
        CHECK_SAME_BYTES(piece, n, file.bytes + at, n);
    }
    ml__arena_free(&arena);
    free(file.bytes);
    free(again.bytes);
}

TEST(safetensors, element_type_that_cannot_be_written)
{
    ml__stored_tensor tensor = {.name = "a", .dtype = 99, .rank = 0, .data = ""};
    ml__safetensors plan;
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK_FAILS(ml__safetensors_plan(&arena, &tensor, 1, METADATA, 2, &plan), ML_E_UNSUPPORTED,
                "tensor 'a': element type 99");
    ml__arena_free(&arena);
}

TEST(safetensors, every_truncation_and_header_bit)
{
    static const float G[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ml__stored_tensor tensors[] = {{.name = "g", .dtype = ML_FLOAT32, .rank = 2, .shape = {2, 2}, .data = G},
                                   {.name = "h", .dtype = ML_FLOAT32, .rank = 1, .shape = {4}, .data = G + 4}};
    ml__safetensors plan;
    ml__arena arena;
    crafted file;

    ml__arena_init(&arena, NULL);
    write_all(&arena, tensors, 2, &plan, &file);
    for (size_t n = 0; n < file.n; n++) {
        crafted cut = {.bytes = malloc(n + 1), .n = n};
        memcpy(cut.bytes, file.bytes, n);
        CHECK(read_crafted(cut, 10000) == ML_E_FORMAT);
    }
    for (size_t bit = 0; bit < 8 * plan.data_offset; bit++) {
        crafted flipped = {.bytes = malloc(file.n), .n = file.n};
        memcpy(flipped.bytes, file.bytes, file.n);
        flipped.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        read_crafted(flipped, 10000); /* whatever it says: no crash */
    }
    ml__arena_free(&arena);
    free(file.bytes);
}

TEST(safetensors, random_damage_of_headers)
{
    static const char HEADER[] =
        "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],"
        "\"data_offsets\":[0,24]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[24,25]}}";
    ml__rng rng = ml__rng_make(3, 0);
    size_t n_accepted = 0;

    for (size_t round = 0; round < 30000; round++) {
        crafted c = craft(HEADER, 25);

        for (uint64_t flips = 1 + ml__rng_below(&rng, 4); flips > 0; flips--)
            c.bytes[8 + ml__rng_below(&rng, sizeof HEADER - 1)] =
                (unsigned char)"{}[]\",:0123456789 \\uFU.\x80"[ml__rng_below(&rng, 24)];
        n_accepted += read_crafted(c, 10000) == ML_OK;
    }
    CHECK(n_accepted > 0 && n_accepted < 30000);
}

static ml_status try_plan_and_read(ml_context *context, void *data)
{
    ml__stored_tensor tensor = {.name = "g", .dtype = ML_FLOAT32, .rank = 1, .shape = {4}, .data = data};
    ml__safetensors plan, back;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, context);
    st = ml__safetensors_plan(&arena, &tensor, 1, METADATA, 2, &plan);
    if (st == ML_OK)
        st = ml__safetensors_read(&arena, &plan.source, 10000, &back);
    ml__arena_free(&arena);
    return st;
}

TEST(safetensors, every_allocation_may_fail)
{
    float g[4] = {1, 2, 3, 4};
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);

    CHECK(test_failing_allocations(&allocator, context, "safetensors", try_plan_and_read, g) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
