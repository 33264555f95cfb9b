#include "capture.h"
#include "files.h"
#include "producer/source/sources.h"
#include "unit.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[TEMP_DIR_SIZE];
static bool memory_is_out; /* for realpath */

char *__real_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved);
char *__wrap_realpath(const char *path, char *resolved) {
    if (!memory_is_out)
        return __real_realpath(path, resolved);
    errno = ENOMEM;
    return NULL;
}

static int set_up(void **state) {
    (void)state;
    memory_is_out = false;
    temp_dir_enter(root);
    mkdir("dir", 0700);
    mkdir("dir/sub", 0700);
    mkdir("other", 0700);
    file_put_text("a", "");
    file_put_text("dir/x", "");
    file_put_text("other/x", "");
    file_put_text("line\nbreak", "");
    return symlink("a", "link") || symlink("nowhere", "broken") || mkfifo("fifo", 0600);
}

static int tear_down(void **state) {
    (void)state;
    return temp_dir_leave(root);
}

static struct sources s;

static int parse(bool recursive, const char *dest, size_t count, const char *const *given) {
    return sources_init(&s, given, count, dest, recursive);
}
#define PARSE(recursive, dest, ...)                                                                                    \
    parse(recursive, dest, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void expect_dest(const char *tail) {
    char wanted[4096];
    snprintf(wanted, sizeof wanted, "file://%s%s", root, tail);
    assert_string_equal(s.dest, wanted);
}

static void test_one_file_and_a_plain_dest_is_its_name(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, "new", "a"), 0);
    assert_true(s.dest_is_name);
    expect_dest("/new");
    sources_release(&s);
    assert_int_equal(PARSE(false, "s3://bucket/new", "a"), 0);
    assert_true(s.dest_is_name);
    assert_string_equal(s.dest, "s3://bucket/new");
    assert_string_equal(s.allow, "s3://bucket/new");
    sources_release(&s);
}

static void test_a_slash_or_a_directory_makes_dest_a_prefix(void **state) {
    static const char *const prefixes[] = {"new/",        "other",        "new/.",         ".",
                                           "s3://bucket", "s3://bucket/", "s3://bucket/p/"};
    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        assert_int_equal(PARSE(false, prefixes[i], "a"), 0);
        assert_false(s.dest_is_name);
        assert_string_equal(s.items[0].name, "a");
        sources_release(&s);
    }
    assert_int_equal(PARSE(false, "s3://bucket", "a"), 0);
    assert_string_equal(s.dest, "s3://bucket/");
    assert_string_equal(s.allow, "s3://bucket");
    sources_release(&s);
    assert_int_equal(PARSE(false, "s3://bucket/", "a"), 0);
    assert_string_equal(s.dest, "s3://bucket/");
    sources_release(&s);
}

static void test_a_single_directory_goes_directly_under_the_prefix(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "new", "dir"), 0);
    assert_false(s.dest_is_name);
    assert_string_equal(s.items[0].name, "");
    sources_release(&s);
    assert_int_equal(PARSE(true, "new", "dir/", "other", "a"), 0);
    assert_string_equal(s.items[0].name, "dir");
    assert_string_equal(s.items[1].name, "other");
    assert_string_equal(s.items[2].name, "a");
    sources_release(&s);
    assert_int_equal(PARSE(true, "s3://bucket/p", "dir/sub/..", "."), 0);
    assert_string_equal(s.items[0].name, "dir");
    assert_string_equal(s.items[1].name, strrchr(root, '/') + 1);
    sources_release(&s);
}

static void test_unusable_sources_fail_alone(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, "other/", "a", "broken", "fifo", "none", "dir", "/dev/null", "a/", "link"), 0);
    assert_null(s.items[0].error);
    assert_string_equal(s.items[1].error, "is a symbolic link to a file that does not exist");
    assert_non_null(strstr(s.items[2].error, "fifo"));
    assert_non_null(strstr(s.items[3].error, "No such file"));
    assert_non_null(strstr(s.items[4].error, "use -r"));
    assert_non_null(strstr(s.items[5].error, "device"));
    assert_non_null(strstr(s.items[6].error, "Not a directory"));
    assert_null(s.items[7].error); /* followed when named */
    assert_string_equal(s.items[7].name, "link");
    assert_string_equal(strrchr(s.items[7].path, '/'), "/a");
    sources_release(&s);
}

static void test_two_sources_of_one_name_do_not_overwrite(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "new/", "dir/x", "other/x", "line\nbreak"), 0);
    assert_null(s.items[0].error);
    assert_non_null(strstr(s.items[1].error, "would overwrite what dir/x"));
    assert_null(s.items[2].error);
    sources_release(&s);
}

static void test_usage_errors(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, "new", "s3://bucket/key"), ERR_USAGE);
    assert_int_equal(PARSE(false, "new", "file:///etc/passwd"), ERR_USAGE);
    assert_int_equal(PARSE(false, "ftp://host/x", "a"), ERR_USAGE);
    assert_int_equal(PARSE(false, "file://relative", "a"), ERR_USAGE);
    assert_int_equal(PARSE(false, "s3:///key", "a"), ERR_USAGE);
    assert_int_equal(PARSE(false, "new", ""), ERR_USAGE);
    assert_int_equal(PARSE(true, "a", "dir"), ERR_USAGE); /* a file cannot be a prefix */
    assert_int_equal(PARSE(false, "a/", "dir/x"), ERR_USAGE);
    assert_int_equal(s.count, 0);
}

static void test_dest_inside_a_source_is_refused(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "dir", "dir"), ERR_USAGE);
    assert_int_equal(PARSE(true, "dir/new/deeper", "dir"), ERR_USAGE);
    assert_int_equal(PARSE(true, "other/../dir/new", "a", "dir"), ERR_USAGE);
    assert_int_equal(symlink("dir", "alias"), 0);
    assert_int_equal(PARSE(true, "alias/new", "dir"), ERR_USAGE);
    assert_int_equal(PARSE(true, "dir2", "dir"), 0); /* whole components */
    sources_release(&s);
}

static void test_dest_paths_are_cleaned(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, ".//other/./../new", "a"), 0);
    expect_dest("/new");
    sources_release(&s);
    assert_int_equal(symlink("dir/sub", "alias"), 0);
    assert_int_equal(PARSE(false, "alias/../new", "a"), 0); /* the parent of the link's target */
    expect_dest("/dir/new");
    sources_release(&s);
    assert_int_equal(PARSE(false, "s3://bucket/a//../b", "a"), 0); /* keys are any bytes */
    assert_string_equal(s.dest, "s3://bucket/a//../b");
    sources_release(&s);
}

static void test_roots_are_few(void **state) {
    char dir[4096];
    (void)state;
    assert_int_equal(PARSE(true, "s3://bucket/", "dir/x", "dir", "dir/sub"), 0);
    snprintf(dir, sizeof dir, "%s/dir", root);
    assert_int_equal(s.root_count, 1);
    assert_string_equal(s.roots[0], dir);
    sources_release(&s);
    assert_int_equal(PARSE(true, "s3://bucket/", "dir", "a"), 0);
    assert_int_equal(s.root_count, 1);
    assert_string_equal(s.roots[0], root);
    sources_release(&s);
}

static void test_password_of_a_url_is_not_logged(void **state) {
    static struct capture logged;
    (void)state;
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(PARSE(false, "https://user:secret@host/x", "a"), ERR_USAGE);
    capture_end(&logged);
    assert_null(strstr(logged.text, "secret"));
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(PARSE(false, "ftp://host/x", "a"), ERR_USAGE);
    capture_end(&logged);
    assert_non_null(strstr(logged.text, "ftp://host/x: "));
}

/* A scheme begins with a letter and has letters, digits, '+', '.' and '-'. */
static void test_only_a_scheme_makes_a_source_a_url(void **state) {
    static const char *const paths[] = {"1s3://x", "://x", "a b://x", "s3:/x"};
    (void)state;
    assert_int_equal(PARSE(false, "new", "svn+ssh.2-x://host"), ERR_USAGE);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(PARSE(false, "new", paths[i]), 0);
        assert_non_null(strstr(s.items[0].error, "No such file"));
        sources_release(&s);
    }
}

static void test_sources_and_destination_are_needed(void **state) {
    static const char *const given[] = {"a"};
    (void)state;
    assert_int_equal(parse(false, "new", 0, given), ERR_USAGE);
    assert_int_equal(parse(false, "", 1, given), ERR_USAGE);
    assert_int_equal(parse(false, NULL, 1, given), ERR_USAGE);
}

static void test_dropped_uploads_allow_their_bucket(void **state) {
    (void)state;
    assert_int_equal(sources_init_drops(&s, "s3://bucket/dir/key"), 0);
    assert_string_equal(s.allow, "s3://bucket/");
    assert_int_equal(s.scheme, DEST_S3);
    sources_release(&s);
    assert_int_equal(sources_init_drops(&s, "file:///dir/name"), 0);
    assert_string_equal(s.allow, "file:///");
    assert_int_equal(s.scheme, DEST_FILE);
    sources_release(&s);
    assert_int_equal(sources_init_drops(&s, "nothing"), ERR_USAGE);
}

static void test_dest_at_the_root_of_the_file_system(void **state) {
    static const char *const names[][2] = {{"/nowhere/x", "file:///nowhere/x"},
                                           {"/../nowhere/x", "file:///nowhere/x"},
                                           {"/nowhere/deep/../../x", "file:///x"},
                                           {"/nowhere/.../..x/.y", "file:///nowhere/.../..x/.y"}};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(PARSE(false, names[i][0], "a"), 0);
        assert_true(s.dest_is_name);
        assert_string_equal(s.dest, names[i][1]);
        assert_string_equal(s.allow, names[i][1]);
        sources_release(&s);
    }
    assert_int_equal(PARSE(false, "/", "a"), 0);
    assert_false(s.dest_is_name);
    assert_string_equal(s.dest, "file:///");
    assert_string_equal(s.allow, "file:///");
    sources_release(&s);
}

static void test_parent_directory_is_a_prefix(void **state) {
    (void)state;
    assert_int_equal(chdir("dir"), 0);
    int err = PARSE(false, "..", "x");
    assert_int_equal(chdir(root), 0);
    assert_int_equal(err, 0);
    assert_false(s.dest_is_name);
    expect_dest("/");
    sources_release(&s);
}

/* It contains every destination in the file system. */
static void test_root_of_the_file_system_as_a_source(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "new", "/"), ERR_USAGE);
    assert_int_equal(PARSE(true, "/", "/"), ERR_USAGE);
    assert_int_equal(PARSE(true, "/nowhere/x", "/"), ERR_USAGE);
    assert_int_equal(PARSE(true, "s3://bucket/", "/"), 0);
    assert_string_equal(s.items[0].path, "/");
    assert_string_equal(s.roots[0], "/");
    sources_release(&s);
}

static void test_later_sources_of_one_name_name_the_first(void **state) {
    (void)state;
    assert_int_equal(mkdir("third", 0700), 0);
    file_put_text("third/x", "");
    assert_int_equal(PARSE(true, "new/", "none/x", "dir/x", "a", "other/x", "third/x"), 0);
    assert_non_null(strstr(s.items[0].error, "No such file"));
    assert_null(s.items[1].error);
    assert_null(s.items[2].error);
    assert_non_null(strstr(s.items[3].error, "would overwrite what dir/x becomes"));
    assert_non_null(strstr(s.items[4].error, "would overwrite what dir/x becomes"));
    sources_release(&s);
}

static void test_link_that_leads_to_itself(void **state) {
    (void)state;
    assert_int_equal(symlink("loop", "loop"), 0);
    assert_int_equal(PARSE(false, "new/", "loop"), 0);
    assert_string_equal(s.items[0].error, "cannot be used: Too many levels of symbolic links");
    sources_release(&s);
}

static void test_url_without_a_password_is_shown(void **state) {
    static struct capture logged;
    (void)state;
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(PARSE(false, "http://host/x", "a"), ERR_USAGE);
    capture_end(&logged);
    assert_non_null(strstr(logged.text, "http://host/x: "));
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(PARSE(false, "ftp://user@host/x", "a"), ERR_USAGE);
    capture_end(&logged);
    assert_non_null(strstr(logged.text, "ftp://user@host/x: "));
}

/* Slashes do not count, and a link is not followed for its name. */
static void test_name_is_the_last_component_of_the_argument(void **state) {
    (void)state;
    assert_int_equal(symlink("dir", "alias"), 0);
    assert_int_equal(PARSE(true, "new/", "alias//", ".//other/", "dir/sub"), 0);
    assert_string_equal(s.items[0].name, "alias");
    assert_string_equal(s.items[1].name, "other");
    assert_string_equal(s.items[2].name, "sub");
    sources_release(&s);
}

static void test_several_sources_make_dest_a_prefix(void **state) {
    (void)state;
    assert_int_equal(PARSE(true, "new", "a", "dir"), 0);
    assert_false(s.dest_is_name);
    expect_dest("/new/");
    sources_release(&s);
}

static void test_existing_file_can_be_the_name(void **state) {
    (void)state;
    assert_int_equal(PARSE(false, "other/x", "a"), 0);
    assert_true(s.dest_is_name);
    expect_dest("/other/x");
    sources_release(&s);
}

static void test_working_directory_that_is_gone(void **state) {
    static struct capture logged;
    char source[TEMP_DIR_SIZE + 2];
    (void)state;
    snprintf(source, sizeof source, "%s/a", root);
    capture_begin(&logged, STDERR_FILENO);
    int before = PARSE(false, "new", source);
    assert_string_equal(capture_end(&logged), "");
    assert_int_equal(before, 0);
    sources_release(&s);
    capture_begin(&logged, STDERR_FILENO);
    assert_int_equal(mkdir("gone", 0700) | chdir("gone") | rmdir("../gone"), 0);
    int err = PARSE(false, "new", source);
    assert_int_equal(chdir(root), 0);
    assert_non_null(strstr(capture_end(&logged), "the working directory: No such file or directory"));
    assert_int_equal(err, ERR_IO);
}

static void test_source_without_memory_for_its_path_ends_all(void **state) {
    (void)state;
    memory_is_out = true;
    assert_int_equal(PARSE(false, "new", "a"), ERR_NOMEM);
    memory_is_out = false;
    assert_int_equal(s.count, 0);
}

UNIT_MAIN(cmocka_unit_test_setup_teardown(test_password_of_a_url_is_not_logged, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_only_a_scheme_makes_a_source_a_url, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_sources_and_destination_are_needed, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_dropped_uploads_allow_their_bucket, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_one_file_and_a_plain_dest_is_its_name, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_slash_or_a_directory_makes_dest_a_prefix, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_a_single_directory_goes_directly_under_the_prefix, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_unusable_sources_fail_alone, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_two_sources_of_one_name_do_not_overwrite, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_usage_errors, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_dest_inside_a_source_is_refused, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_dest_paths_are_cleaned, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_roots_are_few, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_dest_at_the_root_of_the_file_system, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_parent_directory_is_a_prefix, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_root_of_the_file_system_as_a_source, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_later_sources_of_one_name_name_the_first, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_link_that_leads_to_itself, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_url_without_a_password_is_shown, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_name_is_the_last_component_of_the_argument, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_several_sources_make_dest_a_prefix, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_existing_file_can_be_the_name, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_working_directory_that_is_gone, set_up, tear_down),
          cmocka_unit_test_setup_teardown(test_source_without_memory_for_its_path_ends_all, set_up, tear_down))
