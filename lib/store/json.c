/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reader and a writer for the JSON subset of model files (RFC 8259 without signs, fractions, exponents, true,
 * false and null).
 *
 * The text is walked twice by the same code: the first walk checks the grammar and counts nodes and string bytes, the
 * second fills memory of exactly that size. Open containers lie on a small stack of our own, so depth costs no C stack.
 * Keys are compared after unescaping: each object's keys are sorted and neighbours compared.
 */
#include "store/json.h"

#include <string.h>

#include "store/order.h"

typedef struct frame {
    size_t node;
    uint32_t n; /* items or pairs so far */
    bool is_object;
} frame;

typedef struct reader {
    const ml__json_source *source;
    const char *text;
    size_t n_bytes, at;
    size_t depth;
    frame frames[ML__JSON_MAX_DEPTH]; /* open containers, the innermost at depth - 1 */
    size_t n_nodes, n_pool;           /* so far in this walk */
    ml__json_node *nodes;             /* NULL in the counting walk */
    char *pool;                       /* unescaped strings with their NULs; NULL in the counting walk */
} reader;

static const char *const TYPE_NAMES[] = {"an object", "an array", "a text", "a whole number"};

static ml_status refuse_at(const ml__json_source *source, size_t at, ml_status code, const char *what)
{
    return ml__fail(code, "%s, byte %llu: %s", source->name, (unsigned long long)(source->offset + at), what);
}

static ml_status bad(const reader *r, const char *what)
{
    return refuse_at(r->source, r->at, ML_E_FORMAT, what);
}

/* The byte at hand, or -1 at the end. */
static int peek(const reader *r)
{
    return r->at < r->n_bytes ? (unsigned char)r->text[r->at] : -1;
}

static void skip_space(reader *r)
{
    int c;
    while ((c = peek(r)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        r->at++;
}

static ml_status take(reader *r, char wanted, const char *complaint)
{
    skip_space(r);
    if (peek(r) != wanted)
        return bad(r, complaint);
    r->at++;
    return ML_OK;
}

/* *node: cleared memory for it in the second walk, unchanged in the counting one. */
static ml_status add_node(reader *r, ml__json_type type, ml__json_node **node)
{
    if (r->n_nodes == r->source->max_nodes)
        return ml__fail(ML_E_LIMIT, "%s: more than %zu items", r->source->name, r->source->max_nodes);
    if (r->nodes) {
        *node = &r->nodes[r->n_nodes];
        (*node)->type = type;
        (*node)->offset = (uint32_t)r->at;
        (*node)->span = 1;
    }
    r->n_nodes++;
    return ML_OK;
}

/* ---- strings ---- */

static void put(reader *r, const char *bytes, size_t n)
{
    if (r->pool)
        memcpy(r->pool + r->n_pool, bytes, n);
    r->n_pool += n;
}

static void put_code_point(reader *r, uint32_t c)
{
    char utf8[4];
    size_t n = 1;

    if (c < 0x80) {
        utf8[0] = (char)c;
    } else if (c < 0x800) {
        utf8[0] = (char)(0xC0 | c >> 6);
        n = 2;
    } else if (c < 0x10000) {
        utf8[0] = (char)(0xE0 | c >> 12);
        n = 3;
    } else {
        utf8[0] = (char)(0xF0 | c >> 18);
        n = 4;
    }
    for (size_t i = 1; i < n; i++)
        utf8[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
    put(r, utf8, n);
}

/* Four hexadecimal digits. */
static ml_status read_hex(reader *r, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const int c = peek(r);
        uint32_t digit;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A' + 10);
        else
            return bad(r, "\\u is not followed by four hexadecimal digits");
        *out = *out << 4 | digit;
        r->at++;
    }
    return ML_OK;
}

/* After "\u": one code point, which may take a pair of escapes. */
static ml_status read_unicode_escape(reader *r)
{
    uint32_t c, low;
    ml_status st;

    ML__TRY(read_hex(r, &c));
    if (c == 0)
        return bad(r, "NUL in a text");
    if (c >= 0xDC00 && c <= 0xDFFF)
        return bad(r, "second half of a surrogate pair without the first");
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (r->n_bytes - r->at < 2 || memcmp(r->text + r->at, "\\u", 2) != 0)
            return bad(r, "first half of a surrogate pair without the second");
        r->at += 2;
        ML__TRY(read_hex(r, &low));
        if (low < 0xDC00 || low > 0xDFFF)
            return bad(r, "first half of a surrogate pair without the second");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    put_code_point(r, c);
done:
    return st;
}

/* After a backslash. */
static ml_status read_escape(reader *r)
{
    static const char LETTERS[] = "\"\\/bfnrt", MEANINGS[] = "\"\\/\b\f\n\r\t";
    const int c = peek(r);
    const char *found = c > 0 ? strchr(LETTERS, c) : NULL;

    if (c == 'u') {
        r->at++;
        return read_unicode_escape(r);
    }
    if (!found)
        return bad(r, "unknown escape in a text");
    put(r, &MEANINGS[found - LETTERS], 1);
    r->at++;
    return ML_OK;
}

static ml_status read_character(reader *r)
{
    const int c = peek(r);
    size_t n = 1;

    if (c < 0)
        return bad(r, "the text has no end");
    if (c == '\\') {
        r->at++;
        return read_escape(r);
    }
    if (c < 0x20)
        return bad(r, "control byte in a text");
    if (c >= 0x80)
        n = ml__utf8_length(r->text + r->at, r->n_bytes - r->at);
    if (n == 0)
        return bad(r, "invalid UTF-8");
    put(r, r->text + r->at, n);
    r->at += n;
    return ML_OK;
}

static ml_status read_string(reader *r)
{
    ml__json_node *node = NULL;
    const size_t start = r->n_pool;
    ml_status st;

    ML__TRY(add_node(r, ML__JSON_STRING, &node));
    for (r->at++; peek(r) != '"';)
        ML__TRY(read_character(r));
    r->at++;
    if (node) {
        node->n = (uint32_t)(r->n_pool - start);
        node->value.text = r->pool + start;
    }
    put(r, "", 1);
done:
    return st;
}

/* ---- the other values ---- */

static ml_status read_number(reader *r)
{
    ml__json_node *node = NULL;
    uint64_t value = 0;
    const size_t first = r->at;
    ml_status st;

    ML__TRY(add_node(r, ML__JSON_NUMBER, &node));
    for (int c; (c = peek(r)) >= '0' && c <= '9'; r->at++) {
        const unsigned digit = (unsigned)(c - '0');

        if (r->at > first && value == 0)
            return bad(r, "number with a leading zero");
        if (value > (UINT64_MAX - digit) / 10)
            return bad(r, "number above 2^64 - 1");
        value = 10 * value + digit;
    }
    if (node)
        node->value.number = value;
done:
    return st;
}

static ml_status open_container(reader *r, bool is_object)
{
    ml__json_node *node = NULL;
    ml_status st;

    if (r->depth == r->source->max_depth)
        return ml__fail(ML_E_FORMAT, "%s, byte %llu: nested deeper than %zu", r->source->name,
                        (unsigned long long)(r->source->offset + r->at), r->source->max_depth);
    ML__TRY(add_node(r, is_object ? ML__JSON_OBJECT : ML__JSON_ARRAY, &node));
    r->frames[r->depth++] = (frame){.node = r->n_nodes - 1, .is_object = is_object};
    r->at++;
done:
    return st;
}

static void close_container(reader *r)
{
    const frame *f = &r->frames[--r->depth];

    if (r->nodes) {
        r->nodes[f->node].n = f->n;
        r->nodes[f->node].span = (uint32_t)(r->n_nodes - f->node);
    }
    r->at++;
}

/* Is the next byte the end of the innermost container? */
static bool at_end_of_container(reader *r)
{
    if (r->depth == 0)
        return false;
    skip_space(r);
    return peek(r) == (r->frames[r->depth - 1].is_object ? '}' : ']');
}

static ml_status read_key(reader *r)
{
    ml_status st;

    skip_space(r);
    if (peek(r) != '"')
        return bad(r, "expected a key in quotes");
    ML__TRY(read_string(r));
    ML__TRY(take(r, ':', "expected ':' after a key"));
    skip_space(r);
done:
    return st;
}

/* A value; *opened when it is a container whose items follow. */
static ml_status read_value(reader *r, bool *opened)
{
    const int c = peek(r);

    *opened = c == '{' || c == '[';
    if (r->depth > 0)
        r->frames[r->depth - 1].n++;
    if (*opened)
        return open_container(r, c == '{');
    if (c == '"')
        return read_string(r);
    if (c >= '0' && c <= '9')
        return read_number(r);
    return bad(r, "expected an object, an array, a text or an unsigned whole number");
}

/* The whole text, from its first byte to its last. */
static ml_status walk(reader *r)
{
    bool opened;
    ml_status st;

    r->at = r->n_nodes = r->n_pool = 0;
    do {
        if (r->depth > 0 && r->frames[r->depth - 1].is_object)
            ML__TRY(read_key(r));
        ML__TRY(read_value(r, &opened));
        if (opened && !at_end_of_container(r))
            continue;
        while (at_end_of_container(r))
            close_container(r);
        if (r->depth > 0) {
            ML__TRY(take(r, ',', "expected ',' or the end of the object or array"));
            skip_space(r);
        }
    } while (r->depth > 0);
    if (r->at != r->n_bytes)
        return bad(r, "bytes after the end of the value");
done:
    return st;
}

/* ---- duplicate keys ---- */

static int by_key(const void *items, uint32_t a, uint32_t b)
{
    const ml__json_node *nodes = items;
    const int order = strcmp(nodes[a].value.text, nodes[b].value.text);
    return order ? order : a < b ? -1 : a > b;
}

static ml_status check_keys(const reader *r, const ml__json_node *object, uint32_t *keys)
{
    const ml__json_node *key = ml__json_first(object);

    for (uint32_t i = 0; i < object->n; i++) {
        keys[i] = (uint32_t)(key - r->nodes);
        key = ml__json_next(ml__json_next(key));
    }
    ml__sort_indices(keys, object->n, by_key, r->nodes);
    for (uint32_t i = 1; i < object->n; i++)
        if (!strcmp(r->nodes[keys[i - 1]].value.text, r->nodes[keys[i]].value.text))
            return ml__fail(ML_E_FORMAT, "%s, byte %llu: key '%.*s' occurs twice", r->source->name,
                            (unsigned long long)(r->source->offset + r->nodes[keys[i]].offset), 64,
                            r->nodes[keys[i]].value.text);
    return ML_OK;
}

static ml_status check_all_keys(ml__arena *arena, const reader *r)
{
    uint32_t *keys, most = 0;
    ml_status st = ML_OK;

    for (size_t i = 0; i < r->n_nodes; i++)
        if (r->nodes[i].type == ML__JSON_OBJECT && r->nodes[i].n > most)
            most = r->nodes[i].n;
    ML__NEW(arena, keys, most);
    for (size_t i = 0; i < r->n_nodes; i++)
        if (r->nodes[i].type == ML__JSON_OBJECT)
            ML__TRY(check_keys(r, &r->nodes[i], keys));
done:
    return st;
}

ml_status ml__json_read(ml__arena *arena, const ml__json_source *source, const char *text, size_t n_bytes,
                        const ml__json_node **root)
{
    reader r = {.source = source, .text = text, .n_bytes = n_bytes};
    ml_status st;

    *root = NULL;
    if (n_bytes > UINT32_MAX)
        return ml__fail(ML_E_LIMIT, "%s: %zu bytes, more than %u", source->name, n_bytes, (unsigned)UINT32_MAX);
    ML__TRY(walk(&r));
    ML__NEW(arena, r.nodes, r.n_nodes);
    ML__NEW(arena, r.pool, r.n_pool);
    ML__TRY(walk(&r));
    ML__TRY(check_all_keys(arena, &r));
    *root = r.nodes;
done:
    return st;
}

/* ---- reading a document ---- */

ml_status ml__json_refuse(const ml__json_source *source, const ml__json_node *node, ml_status code, const char *what)
{
    return refuse_at(source, node->offset, code, what);
}

ml_status ml__json_expect(const ml__json_source *source, const ml__json_node *node, ml__json_type type)
{
    if (node->type != type)
        return ml__fail(ML_E_FORMAT, "%s, byte %llu: expected %s, not %s", source->name,
                        (unsigned long long)(source->offset + node->offset), TYPE_NAMES[type], TYPE_NAMES[node->type]);
    return ML_OK;
}

static ml_status place_field(const ml__json_source *source, const ml__json_node *key, const ml__json_field *fields,
                             size_t n_fields, const ml__json_node **values)
{
    for (size_t f = 0; f < n_fields; f++) {
        if (strcmp(key->value.text, fields[f].name) != 0)
            continue;
        values[f] = ml__json_next(key);
        return ml__json_expect(source, values[f], fields[f].type);
    }
    return ml__fail(ML_E_FORMAT, "%s, byte %llu: unknown key '%.*s'", source->name,
                    (unsigned long long)(source->offset + key->offset), 64, key->value.text);
}

ml_status ml__json_fields(const ml__json_source *source, const ml__json_node *node, const ml__json_field *fields,
                          size_t n_fields, const ml__json_node **values)
{
    const ml__json_node *key = ml__json_first(node);
    ml_status st;

    ML__TRY(ml__json_expect(source, node, ML__JSON_OBJECT));
    for (size_t f = 0; f < n_fields; f++)
        values[f] = NULL;
    for (uint32_t i = 0; i < node->n; i++) {
        ML__TRY(place_field(source, key, fields, n_fields, values));
        key = ml__json_next(ml__json_next(key));
    }
    for (size_t f = 0; f < n_fields; f++)
        ML__CHECK(values[f] || fields[f].optional, ML_E_FORMAT, "%s, byte %llu: key '%s' is missing", source->name,
                  (unsigned long long)(source->offset + node->offset), fields[f].name);
done:
    return st;
}

/* ---- writing ---- */

static void begin_item(ml__json_writer *w)
{
    if (w->comma)
        ml__text_add_bytes(w->out, ",", 1);
    w->comma = true;
}

void ml__json_open(ml__json_writer *w, char bracket)
{
    begin_item(w);
    ml__text_add_bytes(w->out, &bracket, 1);
    w->comma = false;
}

void ml__json_close(ml__json_writer *w, char bracket)
{
    ml__text_add_bytes(w->out, &bracket, 1);
    w->comma = true;
}

void ml__json_key(ml__json_writer *w, const char *key)
{
    ml__json_text(w, key);
    ml__text_add_bytes(w->out, ":", 1);
    w->comma = false;
}

void ml__json_text(ml__json_writer *w, const char *text)
{
    static const char HEX[] = "0123456789abcdef";
    const char *plain = text; /* start of the run that needs no escape */

    begin_item(w);
    ml__text_add_bytes(w->out, "\"", 1);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        ml__text_add_bytes(w->out, plain, (size_t)(text - plain));
        plain = text + 1;
        if (c >= 0x20)
            ml__text_add_bytes(w->out, (const char[]){'\\', (char)c}, 2);
        else
            ml__text_add_bytes(w->out, (const char[]){'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]}, 6);
    }
    ml__text_add_bytes(w->out, plain, (size_t)(text - plain));
    ml__text_add_bytes(w->out, "\"", 1);
}

void ml__json_number(ml__json_writer *w, uint64_t number)
{
    begin_item(w);
    ml__text_add(w->out, "%llu", (unsigned long long)number);
}
