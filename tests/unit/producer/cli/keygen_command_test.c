/* `keygen`: both files, their permissions, and that nothing is overwritten. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "producer/cli/keygen_command.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct capture seen;
static char text[4096];

static int setup(void **state) {
    (void)state;
    log_setup("test", LOG_INFO, false);
    return system("rm -rf keygen && mkdir keygen");
}

static int teardown(void **state) {
    (void)state;
    return system("rm -rf keygen");
}

#define RUN(...) run((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__, NULL})

/* Its messages are in seen. */
static int run(int argc, const char **argv) {
    capture_begin(&seen, STDERR_FILENO);
    int status = keygen_command(argc, (char **)argv);
    capture_end(&seen);
    return status;
}

static const char *content(const char *path) {
    return file_read_text(path, text, sizeof text);
}

static unsigned mode(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static unsigned count_files(void) {
    unsigned count = 0;
    DIR *d = opendir("keygen");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

static void test_a_secret_and_a_public_file(void **state) {
    char key[41];
    (void)state;
    mode_t mask = umask(0);
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_DONE);
    umask(mask);
    assert_int_equal(count_files(), 2); /* no temporary one */
    assert_int_equal(mode("keygen/k"), 0600);
    assert_int_equal(mode("keygen/k.pub"), 0644);
    const char *line = strstr(content("keygen/k"), "\npublic ");
    assert_non_null(line);
    memcpy(key, line + strlen("\npublic "), 40);
    key[40] = '\0';
    assert_non_null(strstr(text, "\nsecret "));
    assert_int_equal(strncmp(content("keygen/k.pub"), key, 40), 0);
    assert_int_equal(strncmp(text + 40, " # ", 3), 0);
    assert_null(strstr(text, "secret"));
    assert_non_null(strstr(seen.text, "keygen/k.pub"));
}

static void test_roles_are_part_of_the_public_line(void **state) {
    (void)state;
    umask(077);
    assert_int_equal(RUN("keygen", "--quiet", "--roles", "producer,reader", "keygen/k"), EXIT_DONE);
    umask(022);
    assert_int_equal(strncmp(content("keygen/k.pub") + 40, " producer,reader # ", 19), 0);
    assert_int_equal(mode("keygen/k.pub"), 0644); /* with any umask */
    assert_string_equal(seen.text, "");
    assert_int_equal(RUN("keygen", "--roles", "king", "keygen/l"), EXIT_USAGE);
    assert_int_equal(count_files(), 2);
}

static void test_existing_files_stay(void **state) {
    (void)state;
    assert_int_equal(system("echo old >keygen/k && echo old >keygen/l.pub"), 0);
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_USAGE);
    assert_non_null(strstr(seen.text, "keygen/k: exists"));
    assert_int_equal(RUN("keygen", "keygen/l"), EXIT_USAGE);
    assert_non_null(strstr(seen.text, "keygen/l.pub: exists"));
    assert_int_equal(count_files(), 2);
    assert_string_equal(content("keygen/k"), "old\n");
    assert_string_equal(content("keygen/l.pub"), "old\n");
}

static void test_errors_leave_nothing(void **state) {
    (void)state;
    assert_int_equal(RUN("keygen"), EXIT_USAGE);
    assert_non_null(strstr(seen.text, "FILE is missing"));
    assert_int_equal(RUN("keygen", ""), EXIT_USAGE);
    assert_int_equal(RUN("keygen", "keygen/a", "keygen/b"), EXIT_USAGE);
    assert_non_null(strstr(seen.text, "more than one FILE"));
    assert_int_equal(RUN("keygen", "--owner", "no such user", "keygen/a"), EXIT_USAGE);
    assert_int_equal(RUN("keygen", "keygen/missing/a"), EXIT_UNUSABLE);
    assert_int_equal(RUN("keygen", "--unknown", "keygen/a"), EXIT_USAGE);
    assert_int_equal(count_files(), 0);
}

static void test_help_makes_no_key(void **state) {
    static struct capture out;
    (void)state;
    capture_begin(&out, STDOUT_FILENO);
    assert_int_equal(keygen_command(3, (char **)(const char *[]){"keygen", "--help", "keygen/a", NULL}), EXIT_DONE);
    assert_non_null(strstr(capture_end(&out), "--roles"));
    assert_int_equal(count_files(), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_a_secret_and_a_public_file), TEST(test_roles_are_part_of_the_public_line),
          TEST(test_existing_files_stay), TEST(test_errors_leave_nothing), TEST(test_help_makes_no_key))
