/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a whole table file. It is opened once; its size comes from that descriptor, and a file that is longer or
 * shorter by the time it is read is refused. Pipes and devices, which have no size, are refused before the first read.
 */
#define _FILE_OFFSET_BITS 64

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "data/csv.h"

/* Linux transfers at most 2^31 - 4096 bytes in one call. */
static const size_t MAX_TRANSFER = (size_t)1 << 30;

static int open_file(const char *path)
{
    int descriptor;

    do /* not waiting for the other end of a pipe */
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static ml_status check_size(int descriptor, const char *path, uint64_t max_bytes, size_t *n_bytes)
{
    struct stat about;
    ml_status st = ML_OK;

    if (fstat(descriptor, &about) != 0)
        return ml__io_failure("read", path, errno);
    if (S_ISDIR(about.st_mode))
        return ml__io_failure("read", path, EISDIR);
    ML__CHECK(S_ISREG(about.st_mode), ML_E_IO, "cannot read '%s': not a regular file", path);
    ML__CHECK((uint64_t)about.st_size <= max_bytes && (uint64_t)about.st_size < SIZE_MAX, ML_E_LIMIT,
              "'%s' has %llu bytes, at most %llu are allowed", path, (unsigned long long)about.st_size,
              (unsigned long long)max_bytes);
    *n_bytes = (size_t)about.st_size;
done:
    return st;
}

/* Up to n bytes; fewer only at the end of the file. */
static ml_status read_bytes(int descriptor, const char *path, char *out, size_t n, size_t *n_read)
{
    *n_read = 0;
    while (*n_read < n) {
        const size_t wanted = n - *n_read < MAX_TRANSFER ? n - *n_read : MAX_TRANSFER;
        const ssize_t got = read(descriptor, out + *n_read, wanted);

        if (got == 0)
            break;
        if (got > 0)
            *n_read += (size_t)got;
        else if (errno != EINTR)
            return ml__io_failure("read", path, errno);
    }
    return ML_OK;
}

ml_status ml__csv_read(ml_context *context, const char *path, uint64_t max_bytes, char **text, size_t *n_bytes)
{
    const int descriptor = open_file(path);
    char *bytes = NULL;
    size_t n_read;
    ml_status st;

    if (descriptor < 0)
        return ml__io_failure("open", path, errno);
    ML__TRY(check_size(descriptor, path, max_bytes, n_bytes));
    bytes = ml__alloc(context, *n_bytes + 1);
    ML__TRY(bytes ? ML_OK : ML_E_MEMORY);
    ML__TRY(read_bytes(descriptor, path, bytes, *n_bytes + 1, &n_read));
    ML__CHECK(n_read == *n_bytes, ML_E_IO, "'%s' changed while it was read: it had %zu bytes", path, *n_bytes);
    bytes[n_read] = 0;
    *text = bytes;
done:
    close(descriptor);
    if (st != ML_OK)
        ml__free(bytes);
    return st;
}
