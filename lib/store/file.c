/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources of bytes, and replacing a file: temporary file, sync, rename, sync of the directory (Pillai et al. 2014, "All
 * file systems are not created equal"). After a crash the path holds the old content or the new, never a mixture. A
 * failed sync is final: a second one may report success for data that was dropped.
 */
#define _FILE_OFFSET_BITS 64
#define _XOPEN_SOURCE 700 /* realpath */

#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Size of one write: large enough that the calls cost nothing, and a multiple of every element size. */
enum { CHUNK = 65536 };
/* Names tried for the temporary file before giving up: others are taken by saves that are running or were killed. */
enum { MAX_ATTEMPTS = 1000 };

/* ---- reading ---- */

static ml_status read_memory(const ml__source *source, uint64_t offset, void *out, size_t n)
{
    if (n > 0)
        memcpy(out, (const char *)source->bytes + offset, n);
    return ML_OK;
}

ml__source ml__source_memory(const void *bytes, size_t n_bytes)
{
    return (ml__source){.n_bytes = n_bytes, .read = read_memory, .bytes = bytes};
}

static ml_status read_file(const ml__source *source, uint64_t offset, void *out, size_t n)
{
    return ml__input_read(&source->file, offset, out, n);
}

ml_status ml__source_open(const char *path, uint64_t max_bytes, ml__source *out)
{
    ml_status st;

    *out = (ml__source){.read = read_file};
    ML__TRY(ml__input_open(path, max_bytes, &out->file));
    out->n_bytes = out->file.n_bytes;
done:
    return st;
}

ml_status ml__source_unchanged(const ml__source *source)
{
    return source->read == read_file ? ml__input_unchanged(&source->file) : ML_OK;
}

void ml__source_close(ml__source *source)
{
    if (source->read == read_file)
        ml__input_close(&source->file);
}

/* ---- writing ---- */

typedef struct replacement {
    char target[PATH_MAX];    /* links resolved */
    char temporary[PATH_MAX]; /* in the same directory */
    size_t n_directory;       /* bytes of both up to and including the last '/' */
    int descriptor;           /* of the temporary file; -1 when it is closed */
    bool exists;              /* the temporary file */
    bool replaces;
    mode_t mode; /* of the file that is replaced */
} replacement;

/* Follow links, refuse what is not a regular file, note the permissions. */
static ml_status find_target(replacement *r, const char *path)
{
    const size_t n = strlen(path);
    const char *slash;
    struct stat s;
    bool found;
    ml_status st = ML_OK;

    ML__CHECK(n > 0, ML_E_IO, "cannot write '': the path is empty");
    if (n >= sizeof r->target)
        return ml__io_failure("write", path, ENAMETOOLONG);
    memcpy(r->target, path, n + 1);
    found = lstat(path, &s) == 0;
    if (!found && errno != ENOENT)
        return ml__io_failure("write", path, errno);
    if (found && S_ISLNK(s.st_mode) && (!realpath(path, r->target) || lstat(r->target, &s) != 0))
        return ml__io_failure("follow the link", path, errno);
    ML__CHECK(!found || !S_ISDIR(s.st_mode), ML_E_IO, "cannot write '%.*s': is a directory", ML__SHOWN_PATH, path);
    ML__CHECK(!found || S_ISREG(s.st_mode), ML_E_IO, "cannot write '%.*s': not a regular file", ML__SHOWN_PATH, path);
    ML__CHECK(path[n - 1] != '/', ML_E_IO, "cannot write '%.*s': not the name of a file", ML__SHOWN_PATH, path);
    r->replaces = found;
    r->mode = found ? s.st_mode & 07777 : 0;
    slash = strrchr(r->target, '/');
    r->n_directory = slash ? (size_t)(slash - r->target) + 1 : 0;
done:
    return st;
}

static ml_status create_temporary(replacement *r, const char *path)
{
    char *const name = r->temporary + r->n_directory;
    const size_t room = sizeof r->temporary - r->n_directory;

    memcpy(r->temporary, r->target, r->n_directory);
    for (unsigned attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        if (ml__format(name, room, ".invar-%lld-%u.tmp", (long long)getpid(), attempt) >= room)
            return ml__io_failure("write", path, ENAMETOOLONG);
        r->descriptor = open(r->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (r->descriptor >= 0) {
            r->exists = true;
            return ML_OK;
        }
        if (errno != EEXIST)
            return ml__io_failure("create a temporary file beside", path, errno);
    }
    return ml__fail(ML_E_IO, "cannot write '%.*s': %d temporary files beside it, such as '%s'", ML__SHOWN_PATH, path,
                    MAX_ATTEMPTS, name);
}

static ml_status write_all(int descriptor, const char *path, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(descriptor, bytes, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return ml__io_failure("write", path, errno);
        bytes += written;
        n -= (size_t)written;
    }
    return ML_OK;
}

static ml_status write_source(ml_context *context, const replacement *r, const char *path, const ml__source *source)
{
    char *chunk = ml__alloc(context, CHUNK);
    ml_status st = chunk ? ML_OK : ML_E_MEMORY;

    for (uint64_t offset = 0; st == ML_OK && offset < source->n_bytes; offset += CHUNK) {
        const uint64_t left = source->n_bytes - offset;
        const size_t n = left < CHUNK ? (size_t)left : CHUNK;

        ML__TRY(source->read(source, offset, chunk, n));
        ML__TRY(write_all(r->descriptor, path, chunk, n));
    }
done:
    ml__free(chunk);
    return st;
}

/* The data must be on the disk before the name points to it. */
static ml_status finish_temporary(replacement *r, const char *path)
{
    const int descriptor = r->descriptor;

    if (r->replaces && fchmod(descriptor, r->mode) != 0)
        return ml__io_failure("keep the permissions of", path, errno);
    if (fsync(descriptor) != 0)
        return ml__io_failure("sync", path, errno);
    r->descriptor = -1;
    if (close(descriptor) != 0 && errno != EINTR)
        return ml__io_failure("write", path, errno);
    return ML_OK;
}

/* Make the rename last. A directory that may be written but not opened, or that cannot be synced, is left to the
 * system. */
static ml_status sync_directory(replacement *r, const char *path)
{
    int descriptor, error = 0;

    r->temporary[r->n_directory] = 0;
    descriptor = open(r->n_directory ? r->temporary : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return ML_OK;
    if (fsync(descriptor) != 0 && errno != EINVAL)
        error = errno;
    close(descriptor);
    return error ? ml__io_failure("sync the directory of", path, error) : ML_OK;
}

ml_status ml__file_replace(ml_context *context, const char *path, const ml__source *source)
{
    replacement *r = ml__alloc_array(context, 1, sizeof *r);
    ml_status st = r ? ML_OK : ML_E_MEMORY;

    if (!r)
        return st;
    r->descriptor = -1;
    ML__TRY(find_target(r, path));
    ML__TRY(create_temporary(r, path));
    ML__TRY(write_source(context, r, path, source));
    ML__TRY(finish_temporary(r, path));
    if (rename(r->temporary, r->target) != 0) {
        st = ml__io_failure("replace", path, errno);
        goto done;
    }
    r->exists = false;
    ML__TRY(sync_directory(r, path));
done:
    if (r->descriptor >= 0)
        close(r->descriptor);
    if (r->exists)
        unlink(r->temporary);
    ml__free(r);
    return st;
}
