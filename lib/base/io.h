/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, read with care, and failures of the operating system. A file is opened once and never again by name; its size
 * is that of the descriptor, and a file that has another size by the time it is read is refused. Pipes and devices,
 * which have no size, are refused before the first read.
 */
#ifndef ML__BASE_IO_H
#define ML__BASE_IO_H

#include "base/memory.h"

/* Bytes of a path in a message ("%.*s"), which must leave room for the reason. */
enum { ML__SHOWN_PATH = 300 };

/* ML_E_IO: "cannot <action> '<path>': <reason>". `error` is an errno. */
ml_status ml__io_failure(const char *action, const char *path, int error);

typedef struct ml__input {
    const char *path; /* for messages; the caller's */
    int descriptor;   /* -1: closed */
    uint64_t n_bytes;
    int64_t written_seconds, written_nanoseconds; /* when it was written to last */
} ml__input;

/* Open a regular file of at most max_bytes. ML_E_IO, ML_E_LIMIT; on failure there is nothing to close. */
ml_status ml__input_open(const char *path, uint64_t max_bytes, ml__input *out);
/* n bytes at `offset`; ML_E_IO when the file ends before them. */
ml_status ml__input_read(const ml__input *input, uint64_t offset, void *out, size_t n);
/* ML_E_IO when the file's size, or the time when it was written to, is no longer what it was when it was opened. */
ml_status ml__input_unchanged(const ml__input *input);
void ml__input_close(ml__input *input); /* once or more often */

/* All bytes of a regular file of at most max_bytes, and a NUL behind them, in a block of ml__alloc. */
ml_status ml__read_file(ml_context *context, const char *path, uint64_t max_bytes, char **text, size_t *n_bytes);

/* Whole elements between the host's order and little-endian; `to` and `from` may be the same. */
void ml__copy_little_endian(void *to, const void *from, size_t n_bytes, size_t element_bytes);

#endif
