/* SPDX-License-Identifier: Apache-2.0 */
/* Failing with a message, and the two macros that keep the error path in one place. */
#ifndef ML__BASE_STATUS_H
#define ML__BASE_STATUS_H

#include <invar/status.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define ML__PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define ML__PRINTF(at, first)
#endif

enum { ML__MESSAGE_BYTES = 512 };

/* Set this thread's message and return `code`. Formats: %s %c %d %u %zu %lld %llu %g %%, precision and width for none
 * but "%.*s". Texts are escaped: control bytes and invalid UTF-8 come out as \xNN. Truncated at 511 bytes. */
ml_status ml__fail(ml_status code, const char *format, ...) ML__PRINTF(2, 3);

/* Put text before the message of a failure that is being passed on ("member 'net': "); returns `code`. */
ml_status ml__blame(ml_status code, const char *format, ...) ML__PRINTF(2, 3);

/* Set this thread's message to a text made elsewhere (a worker thread's message). */
void ml__set_error(const char *message);

/* The formatter behind both: writes at most n_bytes including the NUL, returns the length it wanted. */
size_t ml__format(char *buffer, size_t n_bytes, const char *format, ...) ML__PRINTF(3, 4);
size_t ml__format_list(char *buffer, size_t n_bytes, const char *format, va_list arguments);

/* A whole message: formatted, escaped as ml__fail does, cut between characters. */
void ml__message_list(char buffer[ML__MESSAGE_BYTES], const char *format, va_list arguments);

/* Leave through `done:` with the status in `st` when an expression fails or a condition does not hold. */
#define ML__TRY(expression) \
    do {                    \
        st = (expression);  \
        if (st != ML_OK)    \
            goto done;      \
    } while (0)

#define ML__CHECK(condition, ...)       \
    do {                                \
        if (!(condition)) {             \
            st = ml__fail(__VA_ARGS__); \
            goto done;                  \
        }                               \
    } while (0)

#endif
