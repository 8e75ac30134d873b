/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text, for messages that list things, descriptions and JSON. */
#ifndef ML__BASE_TEXT_H
#define ML__BASE_TEXT_H

#include "base/memory.h"

typedef struct ml__text {
    ml_context *context;
    char *data; /* NUL-terminated once anything was added */
    size_t n_bytes, capacity;
    ml_status status; /* the first failure; later calls do nothing */
} ml__text;

void ml__text_init(ml__text *text, ml_context *context);
void ml__text_free(ml__text *text);
void ml__text_add(ml__text *text, const char *format, ...) ML__PRINTF(2, 3); /* formats of ml__fail, not escaped */
void ml__text_add_bytes(ml__text *text, const char *bytes, size_t n_bytes);
/* The "buffer, size, needed" protocol of the public functions. Frees nothing. */
ml_status ml__text_deliver(const ml__text *text, char *buffer, size_t n_bytes, size_t *needed);

/* Length of the valid UTF-8 sequence at text[0, n), 0 when invalid (overlong, surrogate, truncated, > U+10FFFF). */
size_t ml__utf8_length(const char *text, size_t n);
bool ml__utf8_valid(const char *text, size_t n);

#endif
