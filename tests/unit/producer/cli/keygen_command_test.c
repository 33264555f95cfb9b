/* `keygen`: both files, their permissions, and that nothing is overwritten. */
#include "capture.h"
#include "files.h"
#include "unit.h"

#include "producer/cli/keygen_command.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/utsname.h>

static struct capture seen;
static char text[4096];

static unsigned syncs_of_files, syncs_of_directories;
static int sync_that_fails; /* counts down; 0: none */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    *(S_ISDIR(st.st_mode) ? &syncs_of_directories : &syncs_of_files) += 1;
    if (sync_that_fails == 0 || --sync_that_fails > 0)
        return __real_fsync(fd);
    errno = EIO;
    return -1;
}

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

static void test_both_files_name_the_host(void **state) {
    struct utsname host;
    char secret[200], public[200];
    (void)state;
    assert_int_equal(uname(&host), 0);
    assert_int_equal(RUN("keygen", "--quiet", "keygen/k"), EXIT_DONE);
    snprintf(secret, sizeof secret, "# chunklift key of %s; secret", host.nodename);
    snprintf(public, sizeof public, " # %s\n", host.nodename);
    assert_int_equal(strncmp(content("keygen/k"), secret, strlen(secret)), 0);
    assert_string_equal(content("keygen/k.pub") + 40, public);
}

/* Not even under another name. */
static void test_no_key_is_written_beside_a_public_file(void **state) {
    char events[4096];
    (void)state;
    assert_int_equal(system("echo old >keygen/k.pub"), 0);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(watch != -1 && inotify_add_watch(watch, "keygen", IN_CREATE) != -1);
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_USAGE);
    assert_int_equal(read(watch, events, sizeof events), -1);
    close(watch);
}

static void test_file_in_the_current_directory(void **state) {
    (void)state;
    assert_int_equal(chdir("keygen"), 0);
    int status = RUN("keygen", "k");
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(status, EXIT_DONE);
    assert_int_equal(count_files(), 2);
    assert_non_null(strstr(seen.text, "k stays on this host; add k.pub, with the roles added after the key, to"));
}

/* The public file belongs to the user of the command. */
static void test_secret_file_belongs_to_its_owner(void **state) {
    struct stat st;
    (void)state;
    const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
    if (!nobody)
        skip();
    assert_int_equal(RUN("keygen", "--owner", "nobody", "keygen/k"), EXIT_DONE);
    assert_int_equal(stat("keygen/k", &st), 0);
    assert_int_equal(st.st_uid, nobody->pw_uid);
    assert_int_equal(stat("keygen/k.pub", &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(mode("keygen/k"), 0600);
}

static void test_files_and_their_names_are_durable(void **state) {
    (void)state;
    syncs_of_files = syncs_of_directories = 0;
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_DONE);
    assert_int_equal(syncs_of_files, 2);
    assert_int_equal(syncs_of_directories, 2);
}

static void test_no_descriptor_stays_open(void **state) {
    (void)state;
    int before = open_descriptors();
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_DONE);
    assert_int_equal(open_descriptors(), before);
}

static void test_file_that_cannot_be_made_durable_is_removed(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        sync_that_fails = 1 + 2 * i; /* of the first file, or of the second one */
        assert_int_equal(RUN("keygen", "keygen/k"), EXIT_UNUSABLE);
        assert_non_null(strstr(seen.text, ": cannot be written: Input/output error"));
        assert_int_equal(count_files(), 0);
    }
}

static void test_name_that_cannot_be_made_durable_is_an_error(void **state) {
    (void)state;
    sync_that_fails = 2; /* of the directory */
    assert_int_equal(RUN("keygen", "keygen/k"), EXIT_UNUSABLE);
    assert_non_null(strstr(seen.text, "keygen/k: cannot be written: Input/output error"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_a_secret_and_a_public_file), TEST(test_roles_are_part_of_the_public_line),
          TEST(test_existing_files_stay), TEST(test_errors_leave_nothing), TEST(test_help_makes_no_key),
          TEST(test_both_files_name_the_host), TEST(test_no_key_is_written_beside_a_public_file),
          TEST(test_file_in_the_current_directory), TEST(test_secret_file_belongs_to_its_owner),
          TEST(test_files_and_their_names_are_durable), TEST(test_file_that_cannot_be_made_durable_is_removed),
          TEST(test_name_that_cannot_be_made_durable_is_an_error), TEST(test_no_descriptor_stays_open))
