/* SPDX-License-Identifier: Apache-2.0 */
#define _FILE_OFFSET_BITS 64

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux transfers at most 2^31 - 4096 bytes in one call. */
static const size_t MAX_TRANSFER = (size_t)1 << 30;

/* strerror_r() has two incompatible forms and speaks the host's language, so the common reasons are told here. */
ml_status ml__io_failure(const char *action, const char *path, int error)
{
    static const struct {
        int error;
        const char *text;
    } REASONS[] = {
        {ENOENT, "no such file or directory"},
        {ENOTDIR, "a part of the path is not a directory"},
        {EISDIR, "is a directory"},
        {EACCES, "permission denied"},
        {EPERM, "not permitted"},
        {EROFS, "read-only file system"},
        {ENOSPC, "no space left on device"},
        {EDQUOT, "disk quota exceeded"},
        {EFBIG, "file too large"},
        {EIO, "input/output error"},
        {EMFILE, "too many open files"},
        {ENFILE, "too many open files in the system"},
        {ENAMETOOLONG, "name too long"},
        {ELOOP, "too many symbolic links"},
        {EXDEV, "another file system"},
    };

    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (REASONS[i].error == error)
            return ml__fail(ML_E_IO, "cannot %s '%.*s': %s", action, ML__SHOWN_PATH, path, REASONS[i].text);
    return ml__fail(ML_E_IO, "cannot %s '%.*s': system error %d", action, ML__SHOWN_PATH, path, error);
}

static int open_file(const char *path)
{
    int descriptor;

    do /* without O_NONBLOCK the opening of a pipe would wait for a writer */
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

ml_status ml__input_open(const char *path, uint64_t max_bytes, ml__input *out)
{
    struct stat about;
    ml_status st = ML_OK;

    *out = (ml__input){.path = path, .descriptor = open_file(path)};
    if (out->descriptor < 0)
        return ml__io_failure("open", path, errno);
    if (fstat(out->descriptor, &about) != 0) {
        st = ml__io_failure("examine", path, errno);
        goto done;
    }
    if (S_ISDIR(about.st_mode)) {
        st = ml__io_failure("read", path, EISDIR);
        goto done;
    }
    ML__CHECK(S_ISREG(about.st_mode), ML_E_IO, "cannot read '%.*s': not a regular file", ML__SHOWN_PATH, path);
    out->n_bytes = (uint64_t)about.st_size;
    out->written_seconds = about.st_mtim.tv_sec;
    out->written_nanoseconds = about.st_mtim.tv_nsec;
    ML__CHECK(out->n_bytes <= max_bytes, ML_E_LIMIT, "'%.*s' has %llu bytes, more than max_bytes = %llu",
              ML__SHOWN_PATH, path, (unsigned long long)out->n_bytes, (unsigned long long)max_bytes);
done:
    if (st != ML_OK)
        ml__input_close(out);
    return st;
}

ml_status ml__input_read(const ml__input *input, uint64_t offset, void *out, size_t n)
{
    for (char *next = out; n > 0;) {
        const size_t wanted = n < MAX_TRANSFER ? n : MAX_TRANSFER;
        const ssize_t got = pread(input->descriptor, next, wanted, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ml__io_failure("read", input->path, errno);
        if (got == 0)
            return ml__fail(ML_E_IO, "cannot read '%.*s': it ended at byte %llu while it was being read",
                            ML__SHOWN_PATH, input->path, (unsigned long long)offset);
        next += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return ML_OK;
}

/* Files of the kernel's have size 0 and content all the same, so the byte behind the end is tried as well. */
ml_status ml__input_unchanged(const ml__input *input)
{
    struct stat about;
    ssize_t got;
    char byte;
    ml_status st = ML_OK;

    if (fstat(input->descriptor, &about) != 0)
        return ml__io_failure("examine", input->path, errno);
    ML__CHECK((uint64_t)about.st_size == input->n_bytes, ML_E_IO,
              "'%.*s' has changed from %llu to %llu bytes since it was opened", ML__SHOWN_PATH, input->path,
              (unsigned long long)input->n_bytes, (unsigned long long)about.st_size);
    do
        got = pread(input->descriptor, &byte, 1, (off_t)input->n_bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return ml__io_failure("read", input->path, errno);
    ML__CHECK(got == 0, ML_E_IO, "'%.*s' has more than the %llu bytes that the system tells", ML__SHOWN_PATH,
              input->path, (unsigned long long)input->n_bytes);
    ML__CHECK(about.st_mtim.tv_sec == input->written_seconds && about.st_mtim.tv_nsec == input->written_nanoseconds,
              ML_E_IO, "'%.*s' has been written to since it was opened", ML__SHOWN_PATH, input->path);
done:
    return st;
}

void ml__input_close(ml__input *input)
{
    if (input->descriptor >= 0)
        close(input->descriptor);
    input->descriptor = -1;
}

ml_status ml__read_file(ml_context *context, const char *path, uint64_t max_bytes, char **text, size_t *n_bytes)
{
    char *bytes = NULL;
    ml__input input;
    ml_status st;

    ML__TRY(ml__input_open(path, max_bytes < SIZE_MAX - 1 ? max_bytes : SIZE_MAX - 1, &input));
    bytes = ml__alloc(context, (size_t)input.n_bytes + 1);
    st = bytes ? ml__input_read(&input, 0, bytes, (size_t)input.n_bytes) : ML_E_MEMORY;
    if (st == ML_OK)
        st = ml__input_unchanged(&input);
    if (st == ML_OK) {
        bytes[input.n_bytes] = 0;
        *text = bytes;
        *n_bytes = (size_t)input.n_bytes;
        bytes = NULL;
    }
    ml__input_close(&input);
done:
    ml__free(bytes);
    return st;
}

/* ---- byte order ---- */

static bool host_is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char low;

    memcpy(&low, &one, 1);
    return low == 1;
}

void ml__copy_little_endian(void *to, const void *from, size_t n_bytes, size_t element_bytes)
{
    unsigned char *b = to;

    if (n_bytes > 0 && to != from)
        memcpy(to, from, n_bytes);
    if (host_is_little_endian() || element_bytes == 1)
        return;
    for (unsigned char *element = b; element < b + n_bytes; element += element_bytes)
        for (size_t low = 0, high = element_bytes - 1; low < high; low++, high--) {
            const unsigned char kept = element[low];
            element[low] = element[high];
            element[high] = kept;
        }
}
