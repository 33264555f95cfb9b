#include "files.h"
#include "unit.h"

#include "pure/digest.h"
#include "system/fileid.h"
#include "uploader/source/source.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned reads; /* calls of pread, which the linker wraps (tests.cmake) */

ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset) {
    reads++;
    return __real_pread(fd, bytes, len, offset);
}

static char dir[256], path[320]; /* dir: the root; path: the file in it */
static struct roots *roots;
static char why[128];

static struct source_ref plan(const char *name) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(name, &st), 0);
    fileid_from_stat(&st, &id);
    return (struct source_ref){.path = slice_of(name), .file = id, .boot = slice_of(boot_id())};
}

static int setup(void **state) {
    (void)state;
    char template[] = "source-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, dir))
        return -1;
    snprintf(path, sizeof path, "%s/file", dir);
    file_put_text(path, "0123456789abcdef");
    const char *paths[] = {dir};
    why[0] = 0;
    return roots_new(&roots, paths, 1);
}
static int teardown(void **state) {
    (void)state;
    roots_destroy(&roots);
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static int open_all(struct source **s, const struct source_ref *ref) {
    return source_open(s, roots, ref, 0, ref->file.size, why, sizeof why);
}

static void test_reads_a_range_and_its_checksum(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    assert_int_equal(source_open(&s, roots, &ref, 4, 8, why, sizeof why), 0);
    assert_int_equal(source_read(s, bytes, 5), 5);
    assert_int_equal(source_read(s, bytes + 5, 20), 3);
    assert_int_equal(source_read(s, bytes, 0), 0);
    assert_int_equal(source_read(s, bytes + 8, 20), 0);
    assert_memory_equal(bytes, "456789ab", 8);
    assert_int_equal(source_crc(s), crc32c_add(0, "456789ab", 8));
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
    assert_null(s);
}

/* One read past the end, for the last range of the file only. */
static void test_only_the_end_of_the_file_is_read_past(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    assert_int_equal(source_open(&s, roots, &ref, 4, 8, why, sizeof why), 0);
    assert_int_equal(source_read(s, bytes, 8), 8);
    reads = 0;
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
    assert_int_equal(reads, 0);
    assert_int_equal(source_open(&s, roots, &ref, 8, 8, why, sizeof why), 0);
    assert_int_equal(source_check(s, why, sizeof why), 0);
    assert_int_equal(reads, 0); /* not read to its end yet */
    assert_int_equal(source_read(s, bytes, 8), 8);
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
    assert_int_equal(reads, 2);
}

static void test_rewinds_only_to_the_start(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    uint32_t crc;
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_precompute_crc(s, &crc), 0);
    assert_int_equal(source_position(s), 0);
    assert_int_equal(source_read(s, bytes, 6), 6);
    assert_int_equal(source_rewind(s, 3), ERR_INVALID);
    assert_int_equal(source_rewind(s, 0), 0);
    assert_int_equal(source_read(s, bytes, sizeof bytes), 16);
    assert_int_equal(source_crc(s), crc);
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
}

static void test_a_changed_byte_between_two_readings_is_found(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    uint32_t crc;
    struct timespec old[2] = {{.tv_nsec = UTIME_OMIT},
                              {ref.file.mtime_ns / 1000000000, ref.file.mtime_ns % 1000000000}};
    ref.file.ctime_ns = 0;
    assert_int_equal(open_all(&s, &ref), ERR_CHANGED); /* ctime is compared */
    ref = plan(path);
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_precompute_crc(s, &crc), 0);
    file_put_text(path, "0123456789abcdeX");
    utimensat(AT_FDCWD, path, old, 0); /* mtime is restored, ctime still differs */
    assert_int_equal(source_read(s, bytes, sizeof bytes), 16);
    assert_int_not_equal(source_crc(s), crc);
    assert_int_equal(source_check(s, why, sizeof why), ERR_CHANGED);
    assert_true(why[0]);
    source_close(&s);
}

static void test_changed_before_the_first_byte(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    file_put_text(path, "0123456789abcdef+");
    assert_int_equal(open_all(&s, &ref), ERR_CHANGED);
    assert_string_equal(why, "size changed");
    assert_null(s);
}

static void test_grown_after_the_last_byte(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_read(s, bytes, sizeof bytes), 16);
    file_put_text(path, "0123456789abcdef+");
    assert_int_equal(source_check(s, why, sizeof why), ERR_CHANGED);
    source_close(&s);
}

static void test_shrunk_while_read(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_read(s, bytes, 4), 4);
    assert_int_equal(truncate(path, 4), 0);
    assert_int_equal(source_read(s, bytes, 4), ERR_CHANGED);
    source_close(&s);
}

/* Pseudo files: stat(2) and read(2) disagree about their size. */
static void check_pseudo_file(const char *name, int read_result, const char *expected) {
    struct roots *own;
    struct source *s;
    const char *paths[] = {name};
    if (access(name, R_OK) != 0)
        skip();
    assert_int_equal(roots_new(&own, paths, 1), 0);
    struct source_ref ref = plan(name);
    char bytes[64];
    assert_int_equal(source_open(&s, own, &ref, 0, ref.file.size, why, sizeof why), 0);
    ssize_t got;
    while ((got = source_read(s, bytes, sizeof bytes)) > 0)
        ;
    assert_int_equal(got, read_result);
    assert_int_equal(source_check(s, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, expected));
    source_close(&s);
    roots_destroy(&own);
}

static void test_content_without_a_size(void **state) {
    (void)state;
    check_pseudo_file("/proc/version", 0, "more content than its size of 0 bytes");
}

static void test_content_shorter_than_its_size(void **state) {
    (void)state;
    check_pseudo_file("/sys/kernel/uevent_seqnum", ERR_IO, "shorter than its size");
}

static void test_replaced_by_another_file(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char other[340];
    assert_int_equal(open_all(&s, &ref), 0);
    snprintf(other, sizeof other, "%s.new", path);
    file_put_text(other, "0123456789abcdef");
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(source_check(s, why, sizeof why), ERR_CHANGED);
    source_close(&s);
}

static void test_removed_while_read(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(source_check(s, why, sizeof why), ERR_CHANGED);
    assert_true(why[0]);
    source_close(&s);
    assert_int_equal(open_all(&s, &ref), ERR_NOT_FOUND);
    assert_string_equal(why, "No such file or directory");
}

static void test_a_root_that_can_only_be_searched(void **state) {
    (void)state;
    struct source *s;
    struct roots *own;
    const char *paths[] = {dir};
    assert_int_equal(chmod(dir, 0311), 0);
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(65534), 0);
    int err = roots_new(&own, paths, 1);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(dir, 0700), 0);
    assert_int_equal(err, 0);
    struct source_ref ref = plan(path);
    assert_int_equal(source_open(&s, own, &ref, 0, ref.file.size, why, sizeof why), 0);
    source_close(&s);
    roots_destroy(&own);
}

static void test_a_symlink_does_not_leave_the_root(void **state) {
    (void)state;
    struct source *s;
    char link[340];
    snprintf(link, sizeof link, "%s/link", dir);
    assert_int_equal(symlink("/etc/hostname", link), 0);
    struct source_ref ref = plan("/etc/hostname");
    ref.path = slice_of(link);
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
    snprintf(link, sizeof link, "%s/up", dir);
    assert_int_equal(symlink("..", link), 0);
    snprintf(link, sizeof link, "%s/up/x", dir);
    file_put_text("x", "x");
    ref = plan("x");
    ref.path = slice_of(link);
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
}

static void test_only_under_a_root(void **state) {
    (void)state;
    struct source *s;
    char other[340];
    snprintf(other, sizeof other, "%s-beside", dir);
    assert_false(roots_contain(roots, slice_of(other)));
    assert_false(roots_contain(roots, slice_of("relative")));
    assert_false(roots_contain(roots, slice_of("")));
    assert_true(roots_contain(roots, slice_of(path)));
    struct source_ref ref = plan("/etc/hostname");
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
    snprintf(other, sizeof other, "%s/../x", dir);
    file_put_text("x", "x");
    ref = plan("x");
    ref.path = slice_of(other);
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
}

static void test_a_root_by_its_link_and_a_root_that_is_a_file(void **state) {
    (void)state;
    struct source *s;
    char link[340], under[360], sibling[340];
    snprintf(link, sizeof link, "%s-link", dir);
    snprintf(under, sizeof under, "%s/file", link);
    snprintf(sibling, sizeof sibling, "%s/sibling", dir);
    unlink(link);
    assert_int_equal(symlink(dir, link), 0);
    file_put_text(sibling, "s");
    const char *paths[] = {link, path};
    struct roots *own;
    assert_int_equal(roots_new(&own, paths, 1), 0);
    struct source_ref ref = plan(under);
    assert_int_equal(source_open(&s, own, &ref, 0, ref.file.size, why, sizeof why), 0);
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
    roots_destroy(&own);
    assert_int_equal(roots_new(&own, paths + 1, 1), 0);
    ref = plan(path);
    assert_int_equal(source_open(&s, own, &ref, 0, ref.file.size, why, sizeof why), 0);
    source_close(&s);
    assert_false(roots_contain(own, slice_of(sibling)));
    roots_destroy(&own);
    unlink(link);
}

static void test_the_range_must_be_within_the_file(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    assert_int_equal(source_open(&s, roots, &ref, 10, 7, why, sizeof why), ERR_INVALID);
    assert_int_equal(source_open(&s, roots, &ref, UINT64_MAX, 2, why, sizeof why), ERR_INVALID);
    assert_int_equal(source_open(&s, roots, &ref, 16, 0, why, sizeof why), 0);
    char byte;
    assert_int_equal(source_read(s, &byte, 1), 0);
    source_close(&s);
}

static void test_not_a_regular_file(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(open_all(&s, &ref), ERR_CHANGED); /* and the open does not block */
    assert_string_equal(why, "not a regular file any more");
}

static void test_a_failure_is_a_sentence_and_a_class(void **state) {
    (void)state;
    char text[100];
    assert_int_equal(source_failure(ERR_CHANGED, "size changed", text, sizeof text), FAIL_CHANGED);
    assert_string_equal(text, "changed while it was uploaded (size changed)");
    assert_int_equal(source_failure(ERR_IO, "no device", text, sizeof text), FAIL_SOURCE);
    assert_string_equal(text, "cannot be read: no device");
    char expected[100];
    snprintf(expected, sizeof expected, "cannot be read: %s", err_text(ERR_DENIED));
    assert_int_equal(source_failure(ERR_DENIED, "", text, sizeof text), FAIL_SOURCE);
    assert_string_equal(text, expected);
}

static void test_a_local_source_is_always_ready(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    uint32_t crc;
    assert_int_equal(open_all(&s, &ref), 0);
    assert_true(source_is_ready(s));
    assert_false(source_is_fetched(s));
    assert_int_equal(source_progress(s), 0);
    assert_int_equal(source_length(s), 16);
    assert_int_equal(source_precompute_crc(s, &crc), 0);
    assert_false(source_announced_crc(s, &crc)); /* no producer announced it */
    source_close(&s);
}

static void test_a_rewind_to_the_present_position_does_nothing(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_read(s, bytes, 6), 6);
    assert_int_equal(source_rewind(s, 6), 0);
    assert_int_equal(source_position(s), 6);
    assert_int_equal(source_crc(s), crc32c_add(0, "012345", 6));
    source_close(&s);
}

/* The bytes differ, and the identity does not show it. */
static void test_bytes_that_differ_between_two_readings_are_found(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char bytes[32];
    uint32_t crc;
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_precompute_crc(s, &crc), 0);
    assert_int_equal(source_read(s, bytes, 6), 6);
    assert_int_equal(source_check(s, why, sizeof why), 0); /* not at the end yet */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {ref.file.mtime_ns / 1000000000, ref.file.mtime_ns % 1000000000}};
    file_put_text(path, "0123456789abcdeX");
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_int_equal(source_read(s, bytes, sizeof bytes), 10);
    assert_int_equal(source_check(s, why, sizeof why), ERR_CHANGED);
    source_close(&s);
}

static void test_a_source_that_shrinks_during_the_first_reading_is_an_error(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    uint32_t crc;
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(truncate(path, 4), 0);
    assert_int_equal(source_precompute_crc(s, &crc), ERR_CHANGED);
    source_close(&s);
}

static void test_a_closed_source_can_be_closed_again(void **state) {
    (void)state;
    struct source *s = NULL;
    source_close(&s);
    assert_null(s);
}

static void test_a_path_with_a_nul_is_under_no_root(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char name[340];
    snprintf(name, sizeof name, "%s", path);
    size_t len = strlen(name);
    ref.path = slice_make(name, len + 2);
    name[len + 1] = 'x';
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
    ref.path = slice_make(name, 0);
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
    const char *all = "/";
    roots_destroy(&roots);
    assert_int_equal(roots_new(&roots, &all, 1), 0);
    assert_int_equal(open_all(&s, &ref), ERR_DENIED);
}

static void test_another_inode_number_counts_only_where_numbers_are_stable(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    ref.boot = slice_of("another boot");
    ref.file.dev++; /* a device number is valid under one boot only */
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(source_check(s, why, sizeof why), 0);
    source_close(&s);
    ref.boot = slice_of(boot_id());
    assert_int_equal(open_all(&s, &ref), ERR_CHANGED);
}

/* No descriptor is left for the second look at the path. */
static int check_without_descriptors(struct source *s) {
    struct rlimit old, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int err = source_check(s, why, sizeof why);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    return err;
}

static void test_without_a_descriptor_the_path_is_compared(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    char other[340];
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(check_without_descriptors(s), 0);
    snprintf(other, sizeof other, "%s.new", path);
    file_put_text(other, "0123456789abcdef");
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(check_without_descriptors(s), ERR_CHANGED);
    assert_true(why[0]);
    source_close(&s);
}

static void test_without_a_descriptor_a_removed_file_is_found(void **state) {
    (void)state;
    struct source *s;
    struct source_ref ref = plan(path);
    assert_int_equal(open_all(&s, &ref), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(check_without_descriptors(s), ERR_CHANGED);
    assert_true(why[0]);
    source_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_reads_a_range_and_its_checksum), TEST(test_only_the_end_of_the_file_is_read_past),
          TEST(test_rewinds_only_to_the_start), TEST(test_a_changed_byte_between_two_readings_is_found),
          TEST(test_changed_before_the_first_byte), TEST(test_grown_after_the_last_byte), TEST(test_shrunk_while_read),
          TEST(test_content_without_a_size), TEST(test_content_shorter_than_its_size),
          TEST(test_replaced_by_another_file), TEST(test_removed_while_read),
          TEST(test_a_root_that_can_only_be_searched), TEST(test_a_symlink_does_not_leave_the_root),
          TEST(test_only_under_a_root), TEST(test_a_root_by_its_link_and_a_root_that_is_a_file),
          TEST(test_the_range_must_be_within_the_file), TEST(test_not_a_regular_file),
          TEST(test_a_failure_is_a_sentence_and_a_class), TEST(test_a_local_source_is_always_ready),
          TEST(test_a_rewind_to_the_present_position_does_nothing),
          TEST(test_bytes_that_differ_between_two_readings_are_found),
          TEST(test_a_source_that_shrinks_during_the_first_reading_is_an_error),
          TEST(test_a_closed_source_can_be_closed_again), TEST(test_a_path_with_a_nul_is_under_no_root),
          TEST(test_another_inode_number_counts_only_where_numbers_are_stable),
          TEST(test_without_a_descriptor_the_path_is_compared), TEST(test_without_a_descriptor_a_removed_file_is_found))
