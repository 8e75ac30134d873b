/* SPDX-License-Identifier: Apache-2.0 */
/* Reasons of the operating system, and files that are read whole or refused. */
#define _XOPEN_SOURCE 700 /* mkfifo */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

TEST(io, failures_tell_action_path_and_reason)
{
    CHECK_FAILS(ml__io_failure("open", "a.csv", ENOENT), ML_E_IO, "cannot open 'a.csv': no such file or directory");
    CHECK_FAILS(ml__io_failure("write", "b", ENOSPC), ML_E_IO, "cannot write 'b': no space left on device");
    CHECK_FAILS(ml__io_failure("sync", "c", EIO), ML_E_IO, "cannot sync 'c': input/output error");
    CHECK_FAILS(ml__io_failure("read", "d", 9999), ML_E_IO, "cannot read 'd': system error 9999");
    CHECK_FAILS(ml__io_failure("read", "\x1B[31m", EACCES), ML_E_IO, "cannot read '\\x1B[31m': permission denied");
}

TEST(io, long_paths_leave_room_for_the_reason)
{
    char path[6000];
    ml__input input;

    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = 0;
    CHECK_FAILS(ml__io_failure("open", path, ELOOP), ML_E_IO, "ppp': too many symbolic links");
    CHECK_FAILS(ml__input_open(path, 10, &input), ML_E_IO, "ppp': name too long");
}

TEST(io, only_regular_files_are_opened)
{
    const char *pipe_path = test_temporary_path("io_pipe"), *path = test_written("io_a", "0123456789a");
    ml__input input;

    CHECK_FAILS(ml__input_open("/tmp", 10, &input), ML_E_IO, "cannot read '/tmp': is a directory");
    CHECK_FAILS(ml__input_open(test_temporary_path("none"), 10, &input), ML_E_IO, "no such file or directory");
    CHECK_FAILS(ml__input_open("/dev/zero", 10, &input), ML_E_IO, "cannot read '/dev/zero': not a regular file");
    CHECK(mkfifo(pipe_path, 0600) == 0); /* opening must not wait for a writer */
    CHECK_FAILS(ml__input_open(pipe_path, 10, &input), ML_E_IO, "not a regular file");
    CHECK_FAILS(ml__input_open(path, 10, &input), ML_E_LIMIT, "has 11 bytes, more than max_bytes = 10");
    CHECK(input.descriptor == -1);
    unlink(pipe_path);
    unlink(path);
}

TEST(io, inputs_are_read_by_offset_and_closed)
{
    const char *path = test_written("io_b", "0123456789");
    const int first = dup(0);
    char bytes[10];
    ml__input input;

    close(first);
    CHECK_OK(ml__input_open(path, 10, &input));
    CHECK(input.n_bytes == 10 && (fcntl(input.descriptor, F_GETFD) & FD_CLOEXEC));
    CHECK_OK(ml__input_read(&input, 7, bytes, 3));
    CHECK_SAME_BYTES(bytes, 3, "789", 3);
    CHECK_OK(ml__input_read(&input, 10, bytes, 0));
    CHECK_OK(ml__input_read(&input, 0, bytes, 10));
    CHECK_SAME_BYTES(bytes, 10, "0123456789", 10);
    CHECK_FAILS(ml__input_read(&input, 5, bytes, 6), ML_E_IO, "it ended at byte 10");
    CHECK_OK(ml__input_unchanged(&input));
    ml__input_close(&input);
    ml__input_close(&input);
    CHECK(dup(0) == first);
    close(first);
    unlink(path);
}

TEST(io, a_file_that_changes_while_it_is_read_is_refused)
{
    const char *path = test_written("io_c", "0123456789");
    char bytes[10];
    ml__input input;

    CHECK_OK(ml__input_open(path, 100, &input));
    CHECK(truncate(path, 5) == 0);
    CHECK_FAILS(ml__input_read(&input, 0, bytes, 10), ML_E_IO, "it ended at byte 5");
    CHECK_FAILS(ml__input_unchanged(&input), ML_E_IO, "changed from 10 to 5 bytes");
    CHECK(truncate(path, 50) == 0);
    CHECK_OK(ml__input_read(&input, 0, bytes, 10));
    CHECK_FAILS(ml__input_unchanged(&input), ML_E_IO, "changed from 10 to 50 bytes");
    CHECK(unlink(path) == 0); /* another file under the name does not concern us */
    test_written("io_c", "other");
    CHECK_FAILS(ml__input_unchanged(&input), ML_E_IO, "changed from 10 to 50 bytes");
    ml__input_close(&input);
    unlink(path);
}

static ml_status try_read(ml_context *context, void *path)
{
    char *text = NULL;
    size_t n = 0;
    const ml_status st = ml__read_file(context, path, 10, &text, &n);

    if (st == ML_OK)
        CHECK(n == 10 && !strcmp(text, "0123456789"));
    ml__free(text);
    return st;
}

TEST(io, whole_files_end_with_a_nul)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char path[512], *text;
    size_t n;

    snprintf(path, sizeof path, "%s", test_written("io_d", "0123456789"));
    CHECK(test_failing_allocations(&allocator, context, "read", try_read, path) > 0);
    CHECK_FAILS(ml__read_file(context, path, 9, &text, &n), ML_E_LIMIT, "has 10 bytes, more than max_bytes = 9");
    CHECK_OK(ml__read_file(context, test_written("io_e", ""), UINT64_MAX, &text, &n));
    CHECK(n == 0 && text[0] == 0);
    ml__free(text);
    if (access("/proc/self/status", R_OK) == 0)
        CHECK_FAILS(ml__read_file(context, "/proc/self/status", 9, &text, &n), ML_E_IO, "more than the 0 bytes");
    unlink(path);
    unlink(test_temporary_path("io_e"));
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
