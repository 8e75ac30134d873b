/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of model files: objects, arrays, strings and unsigned whole numbers, and nothing else. The reader is strict,
 * iterative, and refuses duplicate keys; the writer puts the commas.
 *
 * A document is a flat array of nodes in text order. A container is followed by its items, an object's as key, value,
 * key, value; `span` skips a node with all that is inside it.
 */
#ifndef ML__STORE_JSON_H
#define ML__STORE_JSON_H

#include "base/memory.h"
#include "base/text.h"

enum { ML__JSON_MAX_DEPTH = 64 };

typedef enum { ML__JSON_OBJECT, ML__JSON_ARRAY, ML__JSON_STRING, ML__JSON_NUMBER } ml__json_type;

typedef struct ml__json_node {
    uint32_t type;   /* ml__json_type */
    uint32_t offset; /* of its first byte in the text */
    uint32_t n;      /* items of an array, pairs of an object, bytes of a string */
    uint32_t span;   /* nodes it takes, itself included */
    union {
        const char *text; /* unescaped, NUL-terminated, without NUL inside */
        uint64_t number;
    } value;
} ml__json_node;

/* What is being read: for limits and messages. */
typedef struct ml__json_source {
    const char *name; /* "header" */
    uint64_t offset;  /* of the text in the file: messages count bytes from the file's start */
    size_t max_depth; /* containers inside each other; at most ML__JSON_MAX_DEPTH */
    size_t max_nodes; /* ML_E_LIMIT when there are more */
} ml__json_source;

/* The text must be one value without white space around it. *root and all it refers to live in `arena`, which takes at
 * most 13 bytes for each byte of text. ML_E_FORMAT names the byte; ML_E_LIMIT; ML_E_MEMORY. */
ml_status ml__json_read(ml__arena *arena, const ml__json_source *source, const char *text, size_t n_bytes,
                        const ml__json_node **root);

static inline const ml__json_node *ml__json_first(const ml__json_node *container)
{
    return container + 1;
}

static inline const ml__json_node *ml__json_next(const ml__json_node *node)
{
    return node + node->span;
}

/* "<name>, byte <where node begins>: expected <type>" unless it is of that type. */
ml_status ml__json_expect(const ml__json_source *source, const ml__json_node *node, ml__json_type type);
/* A failure about a node: "<name>, byte <n>: <what>". */
ml_status ml__json_refuse(const ml__json_source *source, const ml__json_node *node, ml_status code, const char *what);

/* The closed set of keys of an object. */
typedef struct ml__json_field {
    const char *name;
    ml__json_type type;
    bool optional;
} ml__json_field;

/* Check that `node` is an object with these keys only, of these types, none missing but optional ones; values[i] is the
 * value of fields[i], NULL when absent. */
ml_status ml__json_fields(const ml__json_source *source, const ml__json_node *node, const ml__json_field *fields,
                          size_t n_fields, const ml__json_node **values);

/* ---- writing ---- */

typedef struct ml__json_writer {
    ml__text *out;
    bool comma; /* before the next item */
} ml__json_writer;

void ml__json_open(ml__json_writer *w, char bracket);  /* '{' or '[' */
void ml__json_close(ml__json_writer *w, char bracket); /* '}' or ']' */
void ml__json_key(ml__json_writer *w, const char *key);
void ml__json_text(ml__json_writer *w, const char *text);
void ml__json_number(ml__json_writer *w, uint64_t number);

#endif
