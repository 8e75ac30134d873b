/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The safetensors container, strictly.
 *
 *     offset 0          N, length of the header, 8 bytes, little-endian
 *     offset 8          header, N bytes of JSON, padded with spaces
 *     offset 8 + N      data
 *     header            {"__metadata__": {text: text, ...},
 *                        name: {"dtype": "F32", "shape": [3, 4], "data_offsets": [begin, end]}, ...}
 *
 * Checked in this order: size, length, grammar, limits, entries, layout. Sizes are compared by subtraction and division,
 * so that nothing can overflow; nothing is allocated that the bytes at hand do not justify.
 */
#include "store/safetensors.h"

#include <string.h>

#include "store/order.h"

enum {
    LENGTH_BYTES = 8,
    ALIGNMENT = 64,   /* of the data in files we write */
    HEADER_DEPTH = 3, /* object, tensor, shape */
    MAX_METADATA = 1024,
    METADATA_KEY_BYTES = 256,
    METADATA_VALUE_BYTES = 65536,
    /* per tensor: name, object, three keys, "dtype", shape and its dimensions, offsets and two numbers */
    MAX_NODES = 2 + ML__MAX_TENSORS * (2 + 3 + 1 + 1 + ML__TENSOR_RANK + 3) + 2 * MAX_METADATA
};
static const uint64_t MAX_DIMENSION = ((uint64_t)1 << 48) - 1;
static const char METADATA_KEY[] = "__metadata__";

static const struct {
    const char *name;
    uint32_t n_bytes;
    ml_dtype dtype;
} ELEMENT_TYPES[] = {
    {"F64", 8, ML_FLOAT64}, {"F32", 4, ML_FLOAT32}, {"I64", 8, ML_INT64}, {"I32", 4, ML_INT32},
    {"U8", 1, ML_UINT8},    {"U64", 8, 0},          {"U32", 4, 0},        {"I16", 2, 0},
    {"U16", 2, 0},          {"I8", 1, 0},           {"BOOL", 1, 0},
};
enum { N_ELEMENT_TYPES = sizeof ELEMENT_TYPES / sizeof *ELEMENT_TYPES };

/* ---- what it may be instead ---- */

const char *ml__resembles(const unsigned char *bytes, size_t n_bytes)
{
    static const struct {
        const char *start, *what;
    } KNOWN[] = {
        {"\x80\x02", "a Python pickle"},
        {"\x80\x03", "a Python pickle"},
        {"\x80\x04", "a Python pickle"},
        {"\x80\x05", "a Python pickle"},
        {"\x1f\x8b", "gzip data"},
        {"PK\x03\x04", "a ZIP archive, as PyTorch and NumPy write them"},
        {"GGUF", "a GGUF file"},
        {"\x89HDF", "an HDF5 file, as Keras writes them"},
        {"\x93NUMPY", "a NumPy array"},
        {"version https://git-lfs", "a git-lfs pointer: the file itself was not fetched"},
        {"<!DOCTYPE", "an HTML page"},
        {"<!doctype", "an HTML page"},
        {"<html", "an HTML page"},
        {"<HTML", "an HTML page"},
        {"<?xml", "an XML document"},
        {"{", "JSON text"},
    };

    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        const size_t n = strlen(KNOWN[i].start);
        if (n <= n_bytes && memcmp(bytes, KNOWN[i].start, n) == 0)
            return KNOWN[i].what;
    }
    return NULL;
}

/* ---- byte order ---- */

static uint64_t read_u64(const unsigned char bytes[LENGTH_BYTES])
{
    uint64_t value = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/* ---- reading: length ---- */

/* ML_E_FORMAT for a file that is none of ours, with what it looks like. */
static ml_status foreign(const unsigned char *start, size_t n, const char *what, unsigned long long number)
{
    const char *resembles = ml__resembles(start, n);

    if (resembles)
        return ml__fail(ML_E_FORMAT, "not a model file: it looks like %s", resembles);
    return ml__fail(ML_E_FORMAT, what, number);
}

static ml_status read_length(const ml__source *file, uint64_t max_header_bytes, uint64_t *header_bytes)
{
    unsigned char start[32];
    const size_t n = file->n_bytes < sizeof start ? (size_t)file->n_bytes : sizeof start;
    uint64_t N;
    ml_status st;

    ML__TRY(file->read(file, 0, start, n));
    if (file->n_bytes < LENGTH_BYTES + 2)
        return foreign(start, n, "not a model file: it has only %llu bytes", file->n_bytes);
    N = read_u64(start);
    if (N < 2 || N > file->n_bytes - LENGTH_BYTES)
        return foreign(start, n, "not a model file: its header would have %llu bytes", N);
    if (start[LENGTH_BYTES] != '{')
        return foreign(start, n, "byte 8: the header does not begin with '{', but with %llu", start[LENGTH_BYTES]);
    ML__CHECK(N <= max_header_bytes, ML_E_LIMIT, "the header has %llu bytes, more than max_header_bytes = %llu",
              (unsigned long long)N, (unsigned long long)max_header_bytes);
    *header_bytes = N;
done:
    return st;
}

/* ---- reading: entries ---- */

static ml_status check_metadata(const ml__json_source *source, const ml__json_node *metadata)
{
    const ml__json_node *key = ml__json_first(metadata), *value;
    ml_status st;

    ML__TRY(ml__json_expect(source, metadata, ML__JSON_OBJECT));
    if (metadata->n > MAX_METADATA)
        return ml__json_refuse(source, metadata, ML_E_LIMIT, "more than 1024 entries in __metadata__");
    for (uint32_t i = 0; i < metadata->n; i++, key = ml__json_next(value)) {
        value = ml__json_next(key);
        ML__TRY(ml__json_expect(source, value, ML__JSON_STRING));
        if (key->n > METADATA_KEY_BYTES)
            return ml__json_refuse(source, key, ML_E_LIMIT, "key of more than 256 bytes in __metadata__");
        if (value->n > METADATA_VALUE_BYTES)
            return ml__json_refuse(source, value, ML_E_LIMIT, "value of more than 65536 bytes in __metadata__");
    }
done:
    return st;
}

static bool name_is_valid(const char *name, size_t n)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";

    return n >= 1 && n <= ML__TENSOR_NAME_BYTES && strspn(name, ALLOWED) == n && !strstr(name, "..");
}

static ml_status read_element_type(const ml__json_node *node, ml__stored_tensor *t)
{
    for (size_t i = 0; i < N_ELEMENT_TYPES; i++)
        if (!strcmp(ELEMENT_TYPES[i].name, node->value.text)) {
            t->type_name = ELEMENT_TYPES[i].name;
            t->dtype = ELEMENT_TYPES[i].dtype;
            t->element_bytes = ELEMENT_TYPES[i].n_bytes;
            return ML_OK;
        }
    return ml__fail(ML_E_UNSUPPORTED, "tensor '%s': unknown element type '%.*s'", t->name, 16, node->value.text);
}

static ml_status read_shape(const ml__json_source *source, const ml__json_node *node, ml__stored_tensor *t)
{
    const ml__json_node *dimension = ml__json_first(node);
    ml_status st = ML_OK;

    ML__CHECK(node->n <= ML__TENSOR_RANK, ML_E_FORMAT, "tensor '%s': %u dimensions, more than %d", t->name,
              (unsigned)node->n, ML__TENSOR_RANK);
    t->rank = node->n;
    for (uint32_t i = 0; i < t->rank; i++, dimension = ml__json_next(dimension)) {
        ML__TRY(ml__json_expect(source, dimension, ML__JSON_NUMBER));
        t->shape[i] = dimension->value.number;
        ML__CHECK(t->shape[i] <= MAX_DIMENSION, ML_E_FORMAT, "tensor '%s': dimension %u is %llu, more than 2^48 - 1",
                  t->name, (unsigned)i, (unsigned long long)t->shape[i]);
    }
done:
    return st;
}

static ml_status read_offsets(const ml__json_source *source, const ml__json_node *node, ml__stored_tensor *t)
{
    const ml__json_node *begin = ml__json_first(node), *end;
    ml_status st = ML_OK;

    ML__CHECK(node->n == 2, ML_E_FORMAT, "tensor '%s': data_offsets has %u numbers, not 2", t->name, (unsigned)node->n);
    end = ml__json_next(begin);
    ML__TRY(ml__json_expect(source, begin, ML__JSON_NUMBER));
    ML__TRY(ml__json_expect(source, end, ML__JSON_NUMBER));
    t->begin = begin->value.number;
    t->end = end->value.number;
    ML__CHECK(t->begin <= t->end, ML_E_FORMAT, "tensor '%s': data_offsets [%llu, %llu] are reversed", t->name,
              (unsigned long long)t->begin, (unsigned long long)t->end);
done:
    return st;
}

/* The product of the shape and the element size; false when it does not fit 64 bits. A dimension of 0 counts as 1 for
 * that, so that it hides no overflow wherever it stands. */
static bool size_in_bytes(const ml__stored_tensor *t, uint64_t *n_bytes)
{
    uint64_t product = t->element_bytes;
    bool empty = false;

    for (uint32_t i = 0; i < t->rank; i++) {
        const uint64_t dimension = t->shape[i] ? t->shape[i] : 1;

        if (dimension > UINT64_MAX / product)
            return false;
        product *= dimension;
        empty = empty || t->shape[i] == 0;
    }
    *n_bytes = empty ? 0 : product;
    return true;
}

static ml_status read_tensor(const ml__json_source *source, const ml__json_node *key, ml__stored_tensor *t)
{
    static const ml__json_field FIELDS[] = {
        {"dtype", ML__JSON_STRING, false}, {"shape", ML__JSON_ARRAY, false}, {"data_offsets", ML__JSON_ARRAY, false}};
    const ml__json_node *values[3];
    uint64_t n_bytes;
    ml_status st;

    if (!name_is_valid(key->value.text, key->n))
        return ml__json_refuse(source, key, ML_E_FORMAT,
                               "a tensor's name has 1 to 256 of the characters A-Z a-z 0-9 . _ / - and no '..'");
    t->name = key->value.text;
    st = ml__json_fields(source, ml__json_next(key), FIELDS, 3, values);
    if (st != ML_OK)
        return ml__blame(st, "tensor '%s': ", t->name);
    ML__TRY(read_element_type(values[0], t));
    ML__TRY(read_shape(source, values[1], t));
    ML__TRY(read_offsets(source, values[2], t));
    ML__CHECK(size_in_bytes(t, &n_bytes), ML_E_FORMAT, "tensor '%s': its shape overflows", t->name);
    ML__CHECK(n_bytes == t->end - t->begin, ML_E_FORMAT,
              "tensor '%s': its shape needs %llu bytes, data_offsets give %llu", t->name, (unsigned long long)n_bytes,
              (unsigned long long)(t->end - t->begin));
done:
    return st;
}

/* All entries of the header, in its order, into `tensors`. */
static ml_status read_entries(ml__safetensors *out, const ml__json_node *root, ml__stored_tensor *tensors)
{
    const ml__json_node *key = ml__json_first(root);
    ml_status st = ML_OK;

    for (uint32_t i = 0; i < root->n; i++, key = ml__json_next(ml__json_next(key))) {
        if (!strcmp(key->value.text, METADATA_KEY)) {
            out->metadata = ml__json_next(key);
            ML__TRY(check_metadata(&out->header_source, out->metadata));
        } else {
            ML__CHECK(out->n_tensors < ML__MAX_TENSORS, ML_E_LIMIT, "the header has more than %d tensors",
                      ML__MAX_TENSORS);
            ML__TRY(read_tensor(&out->header_source, key, &tensors[out->n_tensors]));
            out->n_tensors++;
        }
    }
done:
    return st;
}

/* ---- order and layout ---- */

static int by_place(const void *items, uint32_t a, uint32_t b)
{
    const ml__stored_tensor *s = (const ml__stored_tensor *)items + a, *t = (const ml__stored_tensor *)items + b;

    if (s->begin != t->begin)
        return s->begin < t->begin ? -1 : 1;
    if (s->end != t->end)
        return s->end < t->end ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int by_name(const void *items, uint32_t a, uint32_t b)
{
    const ml__stored_tensor *s = (const ml__stored_tensor *)items + a, *t = (const ml__stored_tensor *)items + b;
    return strcmp(s->name, t->name);
}

/* Large elements first: each tensor is then aligned to its own. */
static int by_element_size(const void *items, uint32_t a, uint32_t b)
{
    const ml__stored_tensor *s = (const ml__stored_tensor *)items + a, *t = (const ml__stored_tensor *)items + b;

    if (s->element_bytes != t->element_bytes)
        return s->element_bytes > t->element_bytes ? -1 : 1;
    return by_name(items, a, b);
}

/* out->tensors: the given tensors in that order; out->by_name. */
static ml_status sort_tensors(ml__arena *arena, const ml__stored_tensor *tensors, size_t n, ml__index_order order,
                              ml__safetensors *out)
{
    ml_status st = ML_OK;

    out->n_tensors = n;
    ML__NEW(arena, out->tensors, n);
    ML__NEW(arena, out->by_name, n);
    for (size_t i = 0; i < n; i++)
        out->by_name[i] = (uint32_t)i;
    ml__sort_indices(out->by_name, n, order, tensors);
    for (size_t i = 0; i < n; i++)
        out->tensors[i] = tensors[out->by_name[i]];
    for (size_t i = 0; i < n; i++)
        out->by_name[i] = (uint32_t)i;
    ml__sort_indices(out->by_name, n, by_name, out->tensors);
done:
    return st;
}

/* Each tensor begins where the one before it ended, and the last ends with the file. */
static ml_status check_layout(const ml__safetensors *layout, uint64_t n_data)
{
    uint64_t expected = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < layout->n_tensors; i++) {
        const ml__stored_tensor *t = &layout->tensors[i];

        ML__CHECK(t->begin >= expected, ML_E_FORMAT, "tensor '%s': overlaps another: begins at %llu, before %llu",
                  t->name, (unsigned long long)t->begin, (unsigned long long)expected);
        ML__CHECK(t->begin == expected, ML_E_FORMAT, "tensor '%s': a hole before it, from %llu to %llu", t->name,
                  (unsigned long long)expected, (unsigned long long)t->begin);
        ML__CHECK(t->end <= n_data, ML_E_FORMAT, "tensor '%s': ends at %llu, beyond the %llu bytes of data", t->name,
                  (unsigned long long)t->end, (unsigned long long)n_data);
        expected = t->end;
    }
    ML__CHECK(expected == n_data, ML_E_FORMAT, "%llu bytes after the last tensor, from byte %llu of the file",
              (unsigned long long)(n_data - expected), (unsigned long long)(layout->data_offset + expected));
done:
    return st;
}

static ml_status read_header(ml__arena *arena, const ml__source *file, size_t n, const ml__json_source *source,
                             const ml__json_node **root)
{
    char *text;
    ml_status st = ML_OK;

    ML__NEW(arena, text, n);
    ML__TRY(file->read(file, LENGTH_BYTES, text, n));
    while (n > 0 && text[n - 1] == ' ')
        n--;
    ML__TRY(ml__json_read(arena, source, text, n, root));
    ML__TRY(ml__json_expect(source, *root, ML__JSON_OBJECT));
done:
    return st;
}

ml_status ml__safetensors_read(ml__arena *arena, const ml__source *file, uint64_t max_header_bytes,
                               ml__safetensors *out)
{
    const ml__json_node *root;
    ml__stored_tensor *tensors;
    uint64_t header_bytes = 0;
    ml_status st;

    *out = (ml__safetensors){
        .header_source = {.name = "header", .offset = LENGTH_BYTES, .max_depth = HEADER_DEPTH, .max_nodes = MAX_NODES}};
    ML__TRY(read_length(file, max_header_bytes, &header_bytes));
    out->data_offset = LENGTH_BYTES + header_bytes;
    ML__TRY(read_header(arena, file, (size_t)header_bytes, &out->header_source, &root));
    ML__NEW(arena, tensors, root->n);
    ML__TRY(read_entries(out, root, tensors));
    ML__TRY(sort_tensors(arena, tensors, out->n_tensors, by_place, out));
    ML__TRY(check_layout(out, file->n_bytes - out->data_offset));
done:
    return st;
}

size_t ml__safetensors_find(const ml__safetensors *file, const char *name)
{
    size_t low = 0, high = file->n_tensors;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(file->tensors[file->by_name[middle]].name, name);

        if (order == 0)
            return file->by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return file->n_tensors;
}

ml_status ml__safetensors_load(const ml__safetensors *layout, const ml__source *file, const ml__stored_tensor *tensor,
                               void *out)
{
    const size_t n = (size_t)(tensor->end - tensor->begin);
    ml_status st;

    ML__TRY(file->read(file, layout->data_offset + tensor->begin, out, n));
    ml__copy_little_endian(out, out, n, tensor->element_bytes);
done:
    return st;
}

/* ---- writing ---- */

/* The tensor that holds byte `at` of the data: the last that begins there or before and is not empty. */
static const ml__stored_tensor *tensor_at(const ml__safetensors *plan, uint64_t at)
{
    size_t low = 0, high = plan->n_tensors;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (plan->tensors[middle].end <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return &plan->tensors[low];
}

/* Bytes of the file to be. Reads begin and end at whole elements: tensors are aligned, and so are the callers' pieces. */
static ml_status read_plan(const ml__source *source, uint64_t offset, void *out, size_t n)
{
    const ml__safetensors *plan = (const ml__safetensors *)source;
    char *next = out;

    while (n > 0) {
        size_t piece;

        if (offset < plan->data_offset) {
            const uint64_t left = plan->data_offset - offset;
            piece = left < n ? (size_t)left : n;
            memcpy(next, plan->header + offset, piece);
        } else {
            const uint64_t at = offset - plan->data_offset;
            const ml__stored_tensor *t = tensor_at(plan, at);
            const uint64_t left = t->end - at;
            piece = left < n ? (size_t)left : n;
            ml__copy_little_endian(next, (const char *)t->data + (at - t->begin), piece, t->element_bytes);
        }
        next += piece;
        offset += piece;
        n -= piece;
    }
    return ML_OK;
}

static ml_status describe_element_type(ml__stored_tensor *t)
{
    for (size_t i = 0; i < N_ELEMENT_TYPES; i++)
        if (ELEMENT_TYPES[i].dtype == t->dtype) {
            t->type_name = ELEMENT_TYPES[i].name;
            t->element_bytes = ELEMENT_TYPES[i].n_bytes;
            return ML_OK;
        }
    return ml__fail(ML_E_UNSUPPORTED, "tensor '%s': element type %d", t->name, (int)t->dtype);
}

static ml_status place_tensors(ml__safetensors *out)
{
    uint64_t end = 0, n_bytes;
    ml_status st = ML_OK;

    for (size_t i = 0; i < out->n_tensors; i++) {
        ml__stored_tensor *t = &out->tensors[i];

        ML__CHECK(size_in_bytes(t, &n_bytes) && n_bytes <= UINT64_MAX - end, ML_E_LIMIT, "tensor '%s' is too large",
                  t->name);
        t->begin = end;
        t->end = end += n_bytes;
    }
    out->source.n_bytes = end;
done:
    return st;
}

static void print_tensor(ml__json_writer *w, const ml__stored_tensor *t)
{
    ml__json_key(w, t->name);
    ml__json_open(w, '{');
    ml__json_key(w, "dtype");
    ml__json_text(w, t->type_name);
    ml__json_key(w, "shape");
    ml__json_open(w, '[');
    for (uint32_t i = 0; i < t->rank; i++)
        ml__json_number(w, t->shape[i]);
    ml__json_close(w, ']');
    ml__json_key(w, "data_offsets");
    ml__json_open(w, '[');
    ml__json_number(w, t->begin);
    ml__json_number(w, t->end);
    ml__json_close(w, ']');
    ml__json_close(w, '}');
}

static void print_header(ml__text *text, const ml__safetensors *plan, const char *const (*metadata)[2],
                         size_t n_metadata)
{
    ml__json_writer w = {.out = text};

    ml__json_open(&w, '{');
    ml__json_key(&w, METADATA_KEY);
    ml__json_open(&w, '{');
    for (size_t i = 0; i < n_metadata; i++) {
        ml__json_key(&w, metadata[i][0]);
        ml__json_text(&w, metadata[i][1]);
    }
    ml__json_close(&w, '}');
    for (size_t i = 0; i < plan->n_tensors; i++)
        print_tensor(&w, &plan->tensors[i]);
    ml__json_close(&w, '}');
}

/* Length and header as they stand in the file, padded so that the data begins at a multiple of 64. */
static ml_status finish_header(ml__arena *arena, const ml__text *text, ml__safetensors *out)
{
    const size_t unpadded = LENGTH_BYTES + text->n_bytes;
    const size_t padded = (unpadded + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    char *header;
    ml_status st = text->status;

    if (st != ML_OK)
        return st;
    ML__NEW(arena, header, padded);
    for (int i = 0; i < LENGTH_BYTES; i++)
        header[i] = (char)((uint64_t)(padded - LENGTH_BYTES) >> 8 * i & 0xFF);
    memcpy(header + LENGTH_BYTES, text->data, text->n_bytes);
    memset(header + unpadded, ' ', padded - unpadded);
    out->header = header;
    out->data_offset = padded;
done:
    return st;
}

ml_status ml__safetensors_plan(ml__arena *arena, ml__stored_tensor *tensors, size_t n_tensors,
                               const char *const (*metadata)[2], size_t n_metadata, ml__safetensors *out)
{
    ml__text text;
    ml_status st = ML_OK;

    *out = (ml__safetensors){.source = {.read = read_plan}};
    ml__text_init(&text, arena->context);
    for (size_t i = 0; i < n_tensors; i++)
        ML__TRY(describe_element_type(&tensors[i]));
    ML__TRY(sort_tensors(arena, tensors, n_tensors, by_element_size, out));
    ML__TRY(place_tensors(out));
    print_header(&text, out, metadata, n_metadata);
    ML__TRY(finish_header(arena, &text, out));
    out->source.n_bytes += out->data_offset;
done:
    ml__text_free(&text);
    return st;
}
