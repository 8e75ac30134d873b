/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <stddef.h>

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
            return ml__fail(ML_E_IO, "cannot %s '%s': %s", action, path, REASONS[i].text);
    return ml__fail(ML_E_IO, "cannot %s '%s': system error %d", action, path, error);
}
