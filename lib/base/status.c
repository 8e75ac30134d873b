/* SPDX-License-Identifier: Apache-2.0 */
/* Status texts, the thread's message, and the formatter behind every message: no printf, so no locale. */
#include "base/status.h"

#include <string.h>

#include "base/number.h"
#include "base/text.h"

static _Thread_local char last_error[ML__MESSAGE_BYTES];

const char *ml_status_text(ml_status status)
{
    static const char *const texts[] = {
        "ML_OK: success",
        "ML_E_ARGUMENT: an argument is not valid",
        "ML_E_PARAMETER: a model parameter is not valid",
        "ML_E_DATA: the data cannot be used for this",
        "ML_E_SHAPE: sizes do not match",
        "ML_E_STATE: the object is not ready for this call",
        "ML_E_UNSUPPORTED: this kind of model does not offer this",
        "ML_E_MEMORY: out of memory",
        "ML_E_NUMERIC: a value became NaN or infinite",
        "ML_E_CANCELLED: cancelled by the monitor",
        "ML_E_IO: reading or writing failed",
        "ML_E_FORMAT: not a valid file of this format",
        "ML_E_VERSION: written by a newer, incompatible version",
        "ML_E_LIMIT: a size exceeds its limit",
        "ML_E_BUSY: the handle is in use by another call",
        "ML_E_EXECUTOR: the host's executor did not run every task exactly once",
    };
    const int32_t n_texts = sizeof texts / sizeof texts[0];

    return status <= 0 && status > -n_texts ? texts[-status] : "not a status code of this library";
}

const char *ml_last_error(void)
{
    return last_error;
}

/* ---- formatting ---- */

typedef struct {
    char *buffer;
    size_t n_bytes, length; /* length counts what did not fit as well */
} sink;

static void put(sink *s, const char *bytes, size_t n)
{
    if (s->length < s->n_bytes) {
        const size_t room = s->n_bytes - s->length;
        memcpy(s->buffer + s->length, bytes, n < room ? n : room);
    }
    s->length += n;
}

static void put_text(sink *s, const char *text, size_t n_at_most)
{
    const char *shown = text ? text : "(null)";
    size_t n = 0;

    while (n < n_at_most && shown[n])
        n++;
    put(s, shown, n);
}

static void put_uint(sink *s, uint64_t value)
{
    char digits[ML__NUMBER_BYTES];
    put(s, digits, ml__print_uint(value, digits));
}

static void put_int(sink *s, int64_t value)
{
    char digits[ML__NUMBER_BYTES];
    put(s, digits, ml__print_int(value, digits));
}

static void put_real(sink *s, double value)
{
    char digits[ML__NUMBER_BYTES];
    put(s, digits, ml__print_real(value, digits));
}

/* How wide an integer argument is: the length modifier in front of the conversion. */
enum { WIDTH_INT, WIDTH_LONG, WIDTH_LONG_LONG, WIDTH_SIZE };

static int read_width(const char **at)
{
    int width = WIDTH_INT;

    if (**at == 'z') {
        (*at)++;
        return WIDTH_SIZE;
    }
    for (; **at == 'l' && width < WIDTH_LONG_LONG; (*at)++)
        width++;
    return width;
}

static int64_t next_int(int width, va_list *arguments)
{
    if (width == WIDTH_INT)
        return va_arg(*arguments, int);
    if (width == WIDTH_LONG)
        return va_arg(*arguments, long);
    return width == WIDTH_SIZE ? va_arg(*arguments, ptrdiff_t) : va_arg(*arguments, long long);
}

static uint64_t next_uint(int width, va_list *arguments)
{
    if (width == WIDTH_INT)
        return va_arg(*arguments, unsigned);
    if (width == WIDTH_LONG)
        return va_arg(*arguments, unsigned long);
    return width == WIDTH_SIZE ? va_arg(*arguments, size_t) : va_arg(*arguments, unsigned long long);
}

/* What stands behind a '%'; returns its last byte, or NULL when it is no conversion of ours. */
static const char *put_conversion(sink *s, const char *at, va_list *arguments)
{
    size_t n_at_most = SIZE_MAX;
    int width;
    char c;

    if (!strncmp(at, ".*", 2)) {
        const int n = va_arg(*arguments, int);
        n_at_most = n < 0 ? SIZE_MAX : (size_t)n;
        at += 2;
    }
    width = read_width(&at);
    switch (*at) {
    case 's':
        put_text(s, va_arg(*arguments, const char *), n_at_most);
        return at;
    case 'c':
        c = (char)va_arg(*arguments, int);
        put(s, &c, 1);
        return at;
    case 'd':
        put_int(s, next_int(width, arguments));
        return at;
    case 'u':
        put_uint(s, next_uint(width, arguments));
        return at;
    case 'g':
        put_real(s, va_arg(*arguments, double));
        return at;
    case '%':
        put(s, "%", 1);
        return at;
    default:
        return NULL;
    }
}

size_t ml__format_list(char *buffer, size_t n_bytes, const char *format, va_list arguments)
{
    sink s = {buffer, n_bytes, 0};
    va_list copy; /* a va_list whose address can be passed on: as a parameter it may have become a pointer */

    va_copy(copy, arguments);
    for (const char *at = format; *at; at++) {
        if (*at != '%') {
            put(&s, at, 1);
            continue;
        }
        const char *last = put_conversion(&s, at + 1, &copy);
        if (!last) { /* what the arguments are is unknown from here on */
            put_text(&s, at, SIZE_MAX);
            break;
        }
        at = last;
    }
    va_end(copy);
    if (n_bytes)
        buffer[s.length < n_bytes ? s.length : n_bytes - 1] = 0;
    return s.length;
}

size_t ml__format(char *buffer, size_t n_bytes, const char *format, ...)
{
    va_list arguments;
    size_t length;

    va_start(arguments, format);
    length = ml__format_list(buffer, n_bytes, format, arguments);
    va_end(arguments);
    return length;
}

/* ---- messages ---- */

/* Copy text behind the `length` bytes that `message` has, a whole character at a time while they fit. */
static size_t append_escaped(char message[ML__MESSAGE_BYTES], size_t length, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    const size_t n = strlen(text);

    for (size_t i = 0, taken; i < n; i += taken) {
        const unsigned char byte = (unsigned char)text[i];
        const char escape[4] = {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
        const size_t valid = byte < 32 || byte == 127 ? 0 : ml__utf8_length(text + i, n - i);
        const size_t written = valid ? valid : sizeof escape;

        taken = valid ? valid : 1;
        if (length + written >= ML__MESSAGE_BYTES)
            break;
        memcpy(message + length, valid ? text + i : escape, written);
        length += written;
    }
    message[length] = 0;
    return length;
}

void ml__message_list(char buffer[ML__MESSAGE_BYTES], const char *format, va_list arguments)
{
    char raw[ML__MESSAGE_BYTES + 4]; /* a character that is cut here does not fit into the message anyway */

    ml__format_list(raw, sizeof raw, format, arguments);
    append_escaped(buffer, 0, raw);
}

ml_status ml__fail(ml_status code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    ml__message_list(last_error, format, arguments);
    va_end(arguments);
    return code;
}

ml_status ml__blame(ml_status code, const char *format, ...)
{
    char old[ML__MESSAGE_BYTES];
    va_list arguments;

    memcpy(old, last_error, sizeof old);
    va_start(arguments, format);
    ml__message_list(last_error, format, arguments);
    va_end(arguments);
    append_escaped(last_error, strlen(last_error), old);
    return code;
}

void ml__set_error(const char *message)
{
    append_escaped(last_error, 0, message);
}
