/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every system call of reading and replacing a file fails once: the test program has functions of the same names as the
 * C library's, which pass on to the kernel unless a fault is due.
 */
#if defined(__linux__) && !defined(__SANITIZE_THREAD__)
#define _GNU_SOURCE
#undef _FILE_OFFSET_BITS /* both names of the calls are defined here */
#include "store/file.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

enum { NEVER, FAIL, INTERRUPT, CUT_SHORT };
static int fault;           /* what happens */
static size_t n_calls, due; /* at call number `due`, counted from 1 */

/* Does this call fail? A call that moves no bytes cannot be cut short, and only waiting calls are interrupted. */
static bool strikes(bool moves_bytes)
{
    if (fault == NEVER || (fault != FAIL && !moves_bytes))
        return false;
    return ++n_calls == due && (errno = fault == FAIL ? EIO : EINTR);
}

ssize_t write(int descriptor, const void *bytes, size_t n)
{
    if (strikes(true)) {
        if (fault != CUT_SHORT || n < 2)
            return -1;
        n /= 2;
    }
    return syscall(SYS_write, descriptor, bytes, n);
}

static ssize_t read_at(int descriptor, void *bytes, size_t n, off_t offset)
{
    if (strikes(true)) {
        if (fault != CUT_SHORT || n < 2)
            return -1;
        n /= 2;
    }
    return syscall(SYS_pread64, descriptor, bytes, n, offset);
}

ssize_t pread(int descriptor, void *bytes, size_t n, off_t offset)
{
    return read_at(descriptor, bytes, n, offset);
}

ssize_t pread64(int descriptor, void *bytes, size_t n, off64_t offset)
{
    return read_at(descriptor, bytes, n, (off_t)offset);
}

int fsync(int descriptor)
{
    return strikes(false) ? -1 : (int)syscall(SYS_fsync, descriptor);
}

int fchmod(int descriptor, mode_t mode)
{
    return strikes(false) ? -1 : (int)syscall(SYS_fchmod, descriptor, mode);
}

int rename(const char *from, const char *to)
{
    return strikes(false) ? -1 : (int)syscall(SYS_renameat2, -100, from, -100, to, 0);
}

int close(int descriptor)
{
    const bool failed = strikes(false); /* the descriptor is gone all the same */
    const int result = (int)syscall(SYS_close, descriptor);

    return failed ? (errno = EIO, -1) : result;
}

enum { N_OLD = 1000, N_NEW = 150000 };

static ml_status replace_with_fault(const char *path, const ml__source *source, int kind, size_t at)
{
    ml_status st;

    n_calls = 0;
    due = at;
    fault = kind;
    st = ml__file_replace(NULL, path, source);
    fault = NEVER;
    return st;
}

/* The file is all 'o', the old one, or all 'n', the new one. */
static char content_of(const char *path)
{
    static char bytes[N_NEW];
    ml__source source;
    size_t n;

    CHECK_OK(ml__source_open(path, N_NEW, &source));
    n = (size_t)source.n_bytes;
    CHECK_OK(source.read(&source, 0, bytes, n));
    ml__source_close(&source);
    CHECK(n == (bytes[0] == 'o' ? N_OLD : N_NEW));
    for (size_t i = 1; i < n; i++)
        CHECK(bytes[i] == bytes[0]);
    return bytes[0];
}

static void prepare(char directory[256], char path[300], const char *name, char *old, char *new)
{
    const ml__source source = ml__source_memory(old, N_OLD);

    memset(old, 'o', N_OLD);
    memset(new, 'n', N_NEW);
    snprintf(directory, 256, "%s", test_temporary_directory(name));
    snprintf(path, 300, "%s/file", directory);
    CHECK_OK(ml__file_replace(NULL, path, &source));
}

TEST(file_faults, every_failing_call_leaves_the_old_file_or_the_new_one)
{
    static char old[N_OLD], new[N_NEW];
    const ml__source old_source = ml__source_memory(old, N_OLD), source = ml__source_memory(new, N_NEW);
    char directory[256], path[300];
    size_t n_old = 0, n_new = 0, at = 1;

    prepare(directory, path, "faults", old, new);
    for (ml_status st = ML_E_IO; st != ML_OK || at == n_calls + 1; at++) {
        st = replace_with_fault(path, &source, FAIL, at);
        if (n_calls < at) { /* the fault came no more */
            CHECK_OK(st);
            break;
        }
        CHECK(test_count_entries(directory) == 1);
        if (content_of(path) == 'o') {
            CHECK_FAILS(st, ML_E_IO, "input/output error");
            n_old++;
        } else { /* only what follows the rename may fail with the new file in place */
            n_new++;
        }
        CHECK_OK(ml__file_replace(NULL, path, &old_source));
    }
    CHECK(n_old == 7); /* 3 writes, permissions, sync, close, rename */
    CHECK(n_new == 2); /* sync of the directory and its close */
}

TEST(file_faults, interrupted_and_short_writes_are_continued)
{
    static char old[N_OLD], new[N_NEW];
    const ml__source old_source = ml__source_memory(old, N_OLD), source = ml__source_memory(new, N_NEW);
    char directory[256], path[300];

    prepare(directory, path, "short", old, new);
    for (int kind = INTERRUPT; kind <= CUT_SHORT; kind++)
        for (size_t at = 1; at <= 4; at++) {
            CHECK_OK(replace_with_fault(path, &source, kind, at));
            CHECK(content_of(path) == 'n' && test_count_entries(directory) == 1);
            CHECK_OK(ml__file_replace(NULL, path, &old_source));
        }
}

TEST(file_faults, reading)
{
    static char old[N_OLD], new[N_NEW];
    char directory[256], path[300], bytes[N_OLD];
    ml__source source;

    prepare(directory, path, "reading_faults", old, new);
    CHECK_OK(ml__source_open(path, N_OLD, &source));
    due = 1;
    n_calls = 0;
    fault = FAIL;
    const ml_status st = source.read(&source, 0, bytes, N_OLD);
    fault = NEVER;
    CHECK_FAILS(st, ML_E_IO, "input/output error");
    for (int kind = INTERRUPT; kind <= CUT_SHORT; kind++) {
        memset(bytes, 0, N_OLD);
        n_calls = 0;
        fault = kind;
        CHECK_OK(source.read(&source, 0, bytes, N_OLD));
        fault = NEVER;
        CHECK_SAME_BYTES(bytes, N_OLD, old, N_OLD);
    }
    ml__source_close(&source);
}
#endif
