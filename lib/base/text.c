/* SPDX-License-Identifier: Apache-2.0 */
/* Growing texts and UTF-8. */
#include "base/text.h"

#include <string.h>

enum { CAPACITY_SMALLEST = 256 };

void ml__text_init(ml__text *text, ml_context *context)
{
    *text = (ml__text){.context = context};
}

void ml__text_free(ml__text *text)
{
    ml__free(text->data);
    ml__text_init(text, text->context);
}

/* Room for n_more bytes and the NUL. */
static bool make_room(ml__text *text, size_t n_more)
{
    size_t needed, capacity = text->capacity ? text->capacity : CAPACITY_SMALLEST;
    char *data;

    if (text->status != ML_OK)
        return false;
    if (n_more < text->capacity - text->n_bytes)
        return true;
    if (!ml__size_add(text->n_bytes, n_more, &needed) || needed > SIZE_MAX / 2 - 1) {
        text->status = ml__fail(ML_E_MEMORY, "out of memory: a text of %zu and %zu more bytes", text->n_bytes, n_more);
        return false;
    }
    while (capacity <= needed)
        capacity *= 2;
    data = ml__alloc(text->context, capacity);
    if (!data) {
        text->status = ML_E_MEMORY;
        return false;
    }
    if (text->data)
        memcpy(data, text->data, text->n_bytes);
    data[text->n_bytes] = 0;
    ml__free(text->data);
    text->data = data;
    text->capacity = capacity;
    return true;
}

void ml__text_add_bytes(ml__text *text, const char *bytes, size_t n_bytes)
{
    if (!make_room(text, n_bytes))
        return;
    if (n_bytes)
        memcpy(text->data + text->n_bytes, bytes, n_bytes);
    text->n_bytes += n_bytes;
    text->data[text->n_bytes] = 0;
}

void ml__text_add(ml__text *text, const char *format, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = ml__format_list(NULL, 0, format, arguments);
    if (make_room(text, length)) {
        ml__format_list(text->data + text->n_bytes, length + 1, format, arguments);
        text->n_bytes += length;
    }
    va_end(arguments);
}

ml_status ml__text_deliver(const ml__text *text, char *buffer, size_t n_bytes, size_t *needed)
{
    const size_t n = text->n_bytes + 1;

    if (text->status != ML_OK)
        return text->status;
    if (needed)
        *needed = n;
    if (!buffer && !n_bytes)
        return ML_OK;
    if (!buffer)
        return ml__fail(ML_E_ARGUMENT, "buffer is NULL, but has %zu bytes", n_bytes);
    if (n_bytes < n)
        return ml__fail(ML_E_SHAPE, "the buffer has %zu bytes, %zu are needed", n_bytes, n);
    if (text->data)
        memcpy(buffer, text->data, n);
    else
        buffer[0] = 0;
    return ML_OK;
}

/* ---- UTF-8 (Unicode 15, table 3-7) ---- */

static bool is_between(unsigned char byte, unsigned char low, unsigned char high)
{
    return byte >= low && byte <= high;
}

size_t ml__utf8_length(const char *text, size_t n)
{
    const unsigned char *b = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    size_t length;

    if (!n)
        return 0;
    if (b[0] < 0x80)
        return 1;
    if (!is_between(b[0], 0xC2, 0xF4)) /* continuation, overlong, above U+10FFFF */
        return 0;
    length = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    if (b[0] == 0xE0)
        low = 0xA0; /* overlong below */
    if (b[0] == 0xED)
        high = 0x9F; /* surrogates above */
    if (b[0] == 0xF0)
        low = 0x90; /* overlong below */
    if (b[0] == 0xF4)
        high = 0x8F; /* above U+10FFFF */
    if (n < length || !is_between(b[1], low, high))
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_between(b[i], 0x80, 0xBF))
            return 0;
    return length;
}

bool ml__utf8_valid(const char *text, size_t n)
{
    for (size_t i = 0, length; i < n; i += length) {
        length = ml__utf8_length(text + i, n - i);
        if (!length)
            return false;
    }
    return true;
}
