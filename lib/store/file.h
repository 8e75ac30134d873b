/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes wherever they are, read by offset; replacing a file in one step. */
#ifndef ML__STORE_FILE_H
#define ML__STORE_FILE_H

#include "base/io.h"

/* A run of bytes that does not change. `read` is only called inside [0, n_bytes). */
typedef struct ml__source ml__source;
struct ml__source {
    uint64_t n_bytes;
    ml_status (*read)(const ml__source *source, uint64_t offset, void *out, size_t n);
    const void *bytes; /* in memory */
    ml__input file;    /* opened by ml__source_open() */
};

ml__source ml__source_memory(const void *bytes, size_t n_bytes);

/* A regular file, with the checks of ml__input_open(). */
ml_status ml__source_open(const char *path, uint64_t max_bytes, ml__source *out);
/* A file's size and time of writing are still what they were when it was opened, see ml__input_unchanged(). */
ml_status ml__source_unchanged(const ml__source *source);
void ml__source_close(ml__source *source);

/*
 * Make `path` a file with the content of `source`, completely or not at all: a temporary file in the same directory is
 * written, synced and renamed over it, then the directory is synced. A replaced file's permission bits are kept; a
 * symbolic link is followed; what is not a regular file is never replaced. The temporary file is called
 * ".invar-<process>-<number>.tmp", and is removed on failure.
 */
ml_status ml__file_replace(ml_context *context, const char *path, const ml__source *source);

#endif
