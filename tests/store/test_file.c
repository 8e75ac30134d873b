/* SPDX-License-Identifier: Apache-2.0 */
/* Files are replaced completely or not at all, and read only when they are regular. */
#define _XOPEN_SOURCE 700 /* mkfifo, symlink */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static const char *inside(const char *directory, const char *name)
{
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static ml_status replace(const char *path, const char *content)
{
    const ml__source source = ml__source_memory(content, strlen(content));
    return ml__file_replace(NULL, path, &source);
}

static void check_content(const char *path, const char *content)
{
    const size_t n = strlen(content);
    ml__source source;
    char bytes[64];

    CHECK_OK(ml__source_open(path, 1 << 20, &source));
    CHECK(source.n_bytes == n && n <= sizeof bytes);
    CHECK_OK(source.read(&source, 0, bytes, n));
    CHECK(!memcmp(bytes, content, n));
    CHECK_OK(ml__source_unchanged(&source));
    ml__source_close(&source);
}

static mode_t mode_of(const char *path)
{
    struct stat s;
    CHECK(stat(path, &s) == 0);
    return s.st_mode & 07777;
}

TEST(file, new_and_replaced_files_have_the_content)
{
    char directory[256];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("plain"));
    CHECK_OK(replace(inside(directory, "a"), "first"));
    check_content(inside(directory, "a"), "first");
    CHECK_OK(replace(inside(directory, "a"), "the second"));
    check_content(inside(directory, "a"), "the second");
    CHECK_OK(replace(inside(directory, "a"), ""));
    check_content(inside(directory, "a"), "");
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, content_longer_than_one_chunk_is_whole)
{
    enum { N = 200001 };
    char directory[256], *bytes = malloc(N), *back = malloc(N);
    ml__source source;

    for (size_t i = 0; i < N; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    snprintf(directory, sizeof directory, "%s", test_temporary_directory("long"));
    source = ml__source_memory(bytes, N);
    CHECK_OK(ml__file_replace(NULL, inside(directory, "a"), &source));
    CHECK_OK(ml__source_open(inside(directory, "a"), N, &source));
    CHECK(source.n_bytes == N);
    CHECK_OK(source.read(&source, 0, back, N));
    CHECK_SAME_BYTES(bytes, N, back, N);
    CHECK_OK(source.read(&source, 70000, back, 1000));
    CHECK_SAME_BYTES(bytes + 70000, 1000, back, 1000);
    ml__source_close(&source);
    free(bytes);
    free(back);
}

TEST(file, permission_bits_of_a_replaced_file_are_kept)
{
    static const mode_t MODES[] = {0600, 0640, 0444, 0755};
    const mode_t mask = umask(027);
    char directory[256];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("modes"));
    CHECK_OK(replace(inside(directory, "new"), "x"));
    CHECK(mode_of(inside(directory, "new")) == 0640);
    for (size_t i = 0; i < 4; i++) {
        CHECK(chmod(inside(directory, "new"), MODES[i]) == 0);
        CHECK_OK(replace(inside(directory, "new"), "y"));
        CHECK(mode_of(inside(directory, "new")) == MODES[i]);
    }
    umask(mask);
}

TEST(file, relative_path_without_directory)
{
    char directory[256], old[512];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("relative"));
    CHECK(getcwd(old, sizeof old) != NULL && chdir(directory) == 0);
    const ml_status st = replace("a", "content");
    CHECK(chdir(old) == 0);
    CHECK(st == ML_OK);
    check_content(inside(directory, "a"), "content");
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, links_are_followed_and_dangling_ones_refused)
{
    char directory[256], link[600], target[600];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("links"));
    snprintf(target, sizeof target, "%s/target", directory);
    snprintf(link, sizeof link, "%s/link", directory);
    CHECK_OK(replace(target, "old"));
    CHECK(symlink("target", link) == 0);
    CHECK_OK(replace(link, "new"));
    check_content(target, "new");
    CHECK(unlink(target) == 0);
    CHECK_FAILS(replace(link, "again"), ML_E_IO, "no such file");
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, only_regular_files_are_replaced)
{
    char directory[256];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("irregular"));
    CHECK_FAILS(replace(directory, "x"), ML_E_IO, "is a directory");
    CHECK(mkfifo(inside(directory, "pipe"), 0600) == 0);
    CHECK_FAILS(replace(inside(directory, "pipe"), "x"), ML_E_IO, "not a regular file");
    CHECK_FAILS(replace("/dev/null", "x"), ML_E_IO, "not a regular file");
    CHECK_FAILS(replace(inside(directory, "missing/a"), "x"), ML_E_IO, "no such file or directory");
    CHECK_FAILS(replace(inside(directory, "pipe/a"), "x"), ML_E_IO, "is not a directory");
    CHECK_FAILS(replace(inside(directory, "a/"), "x"), ML_E_IO, "not the name of a file");
    CHECK_FAILS(replace("", "x"), ML_E_IO, "the path is empty");
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, names_that_are_too_long)
{
    char directory[256], name[6000];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("names"));
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = 0;
    CHECK_FAILS(replace(name, "x"), ML_E_IO, "name too long");
    name[255] = 0; /* the longest name a file can have: the temporary file's is its own */
    CHECK_OK(replace(inside(directory, name), "x"));
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, unwritable_directory_leaves_the_old_file)
{
    char directory[256];

    if (geteuid() == 0) {
        printf("    file.unwritable_directory_leaves_the_old_file: skipped, root may write everywhere\n");
        return;
    }
    snprintf(directory, sizeof directory, "%s", test_temporary_directory("readonly"));
    CHECK_OK(replace(inside(directory, "a"), "old"));
    CHECK(chmod(directory, 0500) == 0);
    const ml_status st = replace(inside(directory, "a"), "new");
    CHECK(chmod(directory, 0700) == 0);
    CHECK(st == ML_E_IO);
    check_content(inside(directory, "a"), "old");
    CHECK(test_count_entries(directory) == 1);
}

/* Write under a limit of file size, which stands for a full disk; it must not end the process. */
static ml_status replace_limited(const char *path, const ml__source *source, rlim_t limit)
{
    struct rlimit old, small;
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    ml_status st;

    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    small = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
    CHECK(sigaction(SIGXFSZ, &ignore, &before) == 0);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    st = ml__file_replace(NULL, path, source);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK(sigaction(SIGXFSZ, &before, NULL) == 0);
    return st;
}

TEST(file, full_disk_leaves_the_old_file)
{
    enum { N = 150000 };
    char directory[256], *bytes = calloc(1, N);
    const ml__source source = ml__source_memory(bytes, N);

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("full"));
    CHECK_OK(replace(inside(directory, "a"), "old"));
    for (rlim_t limit = 0; limit < N; limit += 10007) {
        CHECK_FAILS(replace_limited(inside(directory, "a"), &source, limit), ML_E_IO, "file too large");
        check_content(inside(directory, "a"), "old");
        CHECK(test_count_entries(directory) == 1);
    }
    CHECK_OK(replace_limited(inside(directory, "a"), &source, N));
    CHECK(test_count_entries(directory) == 1);
    free(bytes);
}

static ml_status fail_at_second_chunk(const ml__source *source, uint64_t offset, void *out, size_t n)
{
    (void)source;
    memset(out, 0, n);
    return offset ? ML_E_CANCELLED : ML_OK;
}

TEST(file, failing_source_leaves_the_old_file)
{
    const ml__source source = {.n_bytes = 100000, .read = fail_at_second_chunk};
    char directory[256];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("source"));
    CHECK_OK(replace(inside(directory, "a"), "old"));
    CHECK(ml__file_replace(NULL, inside(directory, "a"), &source) == ML_E_CANCELLED);
    check_content(inside(directory, "a"), "old");
    CHECK(test_count_entries(directory) == 1);
}

TEST(file, names_of_killed_saves_are_passed_over)
{
    char directory[256], left[64];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("killed"));
    for (int k = 0; k < 3; k++) {
        snprintf(left, sizeof left, ".invar-%ld-%d.tmp", (long)getpid(), k);
        CHECK_OK(replace(inside(directory, left), "left behind"));
    }
    CHECK_OK(replace(inside(directory, "a"), "content"));
    check_content(inside(directory, "a"), "content");
    check_content(inside(directory, left), "left behind");
    CHECK(test_count_entries(directory) == 4);
}

TEST(file, no_descriptor_is_left_open)
{
    char directory[256];
    ml__source source;
    int first, last;

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("descriptors"));
    first = dup(0);
    close(first);
    CHECK_OK(replace(inside(directory, "a"), "x"));
    CHECK(replace(directory, "x") == ML_E_IO);
    CHECK(ml__source_open(directory, 10, &source) == ML_E_IO);
    CHECK(ml__source_open(inside(directory, "a"), 0, &source) == ML_E_LIMIT);
    CHECK_OK(ml__source_open(inside(directory, "a"), 10, &source));
    CHECK(fcntl(source.file.descriptor, F_GETFD) & FD_CLOEXEC);
    ml__source_close(&source);
    ml__source_close(&source);
    last = dup(0);
    close(last);
    CHECK(first == last);
}

static ml_status try_replace(ml_context *context, void *directory)
{
    const ml__source source = ml__source_memory("new", 3);
    ml_status st;

    CHECK_OK(replace(inside(directory, "a"), "old"));
    st = ml__file_replace(context, inside(directory, "a"), &source);
    check_content(inside(directory, "a"), st == ML_OK ? "new" : "old");
    CHECK(test_count_entries(directory) == 1);
    return st;
}

TEST(file, every_allocation_may_fail)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    char directory[256];

    snprintf(directory, sizeof directory, "%s", test_temporary_directory("memory"));
    CHECK(test_failing_allocations(&allocator, context, "replace", try_replace, directory) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
