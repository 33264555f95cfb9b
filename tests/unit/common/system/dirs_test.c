#include "files.h"
#include "unit.h"

#include "capture.h"
#include "pure/ids.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char here[4096];
static struct capture said;

static int setup(void **state) {
    (void)state;
    char template[] = "dirsXXXXXX";
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    return !mkdtemp(template) || chdir(template) || !getcwd(here, sizeof here);
}

static int teardown(void **state) {
    (void)state;
    return chdir("..");
}

static void test_journal_dir_follows_xdg(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    setenv("HOME", "/home/u", 1);
    assert_int_equal(dirs_default_journal(&path), 0);
    assert_string_equal(path.data, "/home/u/.local/state/chunklift/journal");
    setenv("XDG_STATE_HOME", "/state", 1);
    assert_int_equal(dirs_default_journal(&path), 0);
    assert_string_equal(path.data, "/state/chunklift/journal");
    setenv("XDG_STATE_HOME", "relative", 1); /* "should be considered invalid and ignored" */
    assert_int_equal(dirs_default_journal(&path), 0);
    assert_string_equal(path.data, "/home/u/.local/state/chunklift/journal");
    buf_release(&path);
}

static void test_runtime_dir_is_made_private(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    struct stat st;
    setenv("XDG_RUNTIME_DIR", here, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dirs_runtime(&path), 0);
        assert_int_equal(stat("chunklift", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
    }
    assert_int_equal(strncmp(path.data, here, strlen(here)), 0);
    buf_release(&path);
}

static int runtime_dir_quiet(void) {
    struct buf path = BUF_INIT;
    capture_begin(&said, 2);
    int err = dirs_runtime(&path);
    capture_end(&said);
    buf_release(&path);
    return err;
}

static void test_runtime_dir_that_is_no_open_directory_is_refused(void **state) {
    (void)state;
    setenv("XDG_RUNTIME_DIR", here, 1);
    file_put_text("chunklift", "");
    assert_int_equal(runtime_dir_quiet(), ERR_DENIED);
    assert_non_null(strstr(said.text, "is not a directory"));
    assert_int_equal(unlink("chunklift") | mkdir("chunklift", 0500), 0);
    assert_int_equal(runtime_dir_quiet(), ERR_DENIED);
    assert_non_null(strstr(said.text, "is closed to its owner"));
}

/* "Under sudo the variable may still name the directory of another user"; a file is none at all. */
static void test_runtime_dir_of_the_environment_must_be_an_own_directory(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    char wrong[4200], expected[64];
    snprintf(expected, sizeof expected, "/tmp/chunklift-%lu", (unsigned long)geteuid());
    snprintf(wrong, sizeof wrong, "%s/file", here);
    file_put_text("file", "");
    setenv("XDG_RUNTIME_DIR", wrong, 1);
    assert_int_equal(dirs_runtime(&path), 0);
    assert_string_equal(path.data, expected);
    if (geteuid() == 0) {
        snprintf(wrong, sizeof wrong, "%s/other", here);
        assert_int_equal(mkdir("other", 0755) | chown("other", 4711, 4711), 0);
        setenv("XDG_RUNTIME_DIR", wrong, 1);
        assert_int_equal(dirs_runtime(&path), 0);
        assert_string_equal(path.data, expected);
    }
    buf_release(&path);
}

static void test_runtime_dir_that_cannot_be_made(void **state) {
    (void)state;
    char name[201], path[8192];
    memset(name, 'd', 200);
    name[200] = '\0';
    for (int depth = 0; strlen(getcwd(path, sizeof path)) < 4090 - 201; depth++)
        assert_int_equal(mkdir(name, 0700) | chdir(name), 0);
    name[4090 - strlen(path) - 1] = '\0';
    assert_int_equal(mkdir(name, 0700) | chdir(name), 0);
    assert_non_null(getcwd(path, sizeof path));
    setenv("XDG_RUNTIME_DIR", path, 1); /* no room for "/chunklift" */
    assert_int_equal(runtime_dir_quiet(), ERR_LIMIT);
    assert_non_null(strstr(said.text, "cannot be made"));
    assert_int_equal(chdir(here), 0);
}

static void test_runtime_dir_of_others_is_refused(void **state) {
    (void)state;
    setenv("XDG_RUNTIME_DIR", here, 1);
    assert_int_equal(mkdir("chunklift", 0755), 0);
    assert_int_equal(runtime_dir_quiet(), ERR_DENIED);
    assert_non_null(strstr(said.text, "is open to other users"));
    assert_int_equal(rename("chunklift", "elsewhere"), 0);
    assert_int_equal(chmod("elsewhere", 0700), 0);
    assert_int_equal(symlink("elsewhere", "chunklift"), 0);
    assert_int_equal(runtime_dir_quiet(), ERR_DENIED);
    assert_non_null(strstr(said.text, "symbolic link"));
    if (geteuid() == 0) {
        assert_int_equal(unlink("chunklift"), 0);
        assert_int_equal(mkdir("chunklift", 0700) | chown("chunklift", 4711, 4711), 0);
        assert_int_equal(runtime_dir_quiet(), ERR_DENIED);
        assert_non_null(strstr(said.text, "another user"));
    }
}

static void test_runtime_dir_without_xdg(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    char expected[64];
    snprintf(expected, sizeof expected, "/tmp/chunklift-%lu", (unsigned long)geteuid());
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    assert_int_equal(dirs_runtime(&path), 0);
    assert_string_equal(path.data, expected);
    buf_release(&path);
}

static void test_ipc_endpoints_are_fresh(void **state) {
    (void)state;
    struct buf a = BUF_INIT, b = BUF_INIT;
    char template[] = "/tmp/clXXXXXX";
    assert_non_null(mkdtemp(template));
    setenv("XDG_RUNTIME_DIR", template, 1);
    assert_int_equal(dirs_new_ipc_endpoint("jobs", &a), 0);
    assert_int_equal(dirs_new_ipc_endpoint("jobs", &b), 0);
    assert_string_not_equal(a.data, b.data);
    char start[64];
    snprintf(start, sizeof start, "ipc://%s/chunklift/jobs-", template);
    assert_int_equal(strncmp(a.data, start, strlen(start)), 0);
    assert_int_equal(strlen(a.data), strlen(start) + 16);
    assert_int_equal(strspn(a.data + strlen(start), "0123456789abcdef"), 16);
    buf_release(&a);
    buf_release(&b);
    snprintf(start, sizeof start, "%s/chunklift", template);
    assert_int_equal(rmdir(start) | rmdir(template), 0);
}

static void test_ipc_endpoint_that_is_too_long(void **state) {
    (void)state;
    struct buf endpoint = BUF_INIT;
    char name[101];
    memset(name, 'd', 100);
    name[100] = '\0';
    assert_int_equal(mkdir(name, 0700) | chdir(name), 0);
    char path[8192];
    assert_non_null(getcwd(path, sizeof path));
    setenv("XDG_RUNTIME_DIR", path, 1);
    capture_begin(&said, 2);
    assert_int_equal(dirs_new_ipc_endpoint("consumer", &endpoint), ERR_LIMIT);
    assert_non_null(strstr(capture_end(&said), "107 bytes"));
    buf_release(&endpoint);
    assert_int_equal(chdir(".."), 0);
}

static void test_ipc_endpoint_of_the_longest_path(void **state) {
    (void)state;
    struct buf endpoint = BUF_INIT;
    char dir[] = "/tmp/clXXXXXX", made[64], name[128];
    assert_non_null(mkdtemp(dir));
    setenv("XDG_RUNTIME_DIR", dir, 1);
    size_t room = 107 - strlen(dir) - strlen("/chunklift/") - strlen("-0123456789abcdef");
    memset(name, 'n', sizeof name);
    name[room] = '\0';
    assert_int_equal(dirs_new_ipc_endpoint(name, &endpoint), 0);
    assert_int_equal(endpoint.len, strlen("ipc://") + 107);
    name[room] = 'n';
    name[room + 1] = '\0';
    capture_begin(&said, 2);
    int err = dirs_new_ipc_endpoint(name, &endpoint);
    capture_end(&said);
    assert_int_equal(err, ERR_LIMIT);
    snprintf(made, sizeof made, "%s/chunklift", dir);
    assert_int_equal(rmdir(made) | rmdir(dir), 0);
    buf_release(&endpoint);
}

static void test_directories_that_cannot_be_made(void **state) {
    (void)state;
    capture_begin(&said, 2);
    int err = dirs_make("/proc/none/below");
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "/proc/none: cannot be made"));
    assert_null(strstr(said.text, "below"));
}

static void test_home_of_the_user_without_an_environment(void **state) {
    (void)state;
    struct buf path = BUF_INIT;
    char expected[4200];
    const struct passwd *entry = getpwuid(geteuid());
    if (!entry || entry->pw_dir[0] != '/')
        skip();
    snprintf(expected, sizeof expected, "%s/.local/state/chunklift/journal", entry->pw_dir);
    unsetenv("HOME");
    assert_int_equal(dirs_default_journal(&path), 0);
    assert_string_equal(path.data, expected);
    setenv("HOME", "relative", 1);
    assert_int_equal(dirs_default_journal(&path), 0);
    assert_string_equal(path.data, expected);
    buf_release(&path);
}

static void test_make_dirs(void **state) {
    (void)state;
    struct stat st;
    assert_int_equal(dirs_make("a/b//c/"), 0);
    assert_int_equal(stat("a/b/c", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(dirs_make("a/b"), 0);
    assert_int_equal(dirs_make("/"), 0);
    FILE *f = fopen("a/file", "w");
    fclose(f);
    capture_begin(&said, 2);
    assert_int_equal(dirs_make("a/file/x"), ERR_INVALID);
    capture_end(&said);
    assert_non_null(strstr(said.text, "a/file: is not a directory"));
}

static void test_consumer_file_round_trip(void **state) {
    (void)state;
    struct consumer_holder holders[] = {{100, 1}, {4194304, UINT64_MAX}};
    struct consumer_file f = {.pid = 4711, .holders = holders, .holder_count = 2}, g;
    strcpy(f.endpoint, "ipc:///run/user/1000/chunklift/consumer-0123456789abcdef");
    strcpy(f.boot, boot_id());
    for (int i = 0; i < 2; i++) /* also over an older one */
        assert_int_equal(consumer_file_write(".", &f), 0);
    assert_int_equal(consumer_file_read(".", &g), 0);
    assert_string_equal(g.endpoint, f.endpoint);
    assert_string_equal(g.boot, f.boot);
    assert_int_equal(g.pid, 4711);
    assert_int_equal(g.holder_count, 2);
    for (int i = 0; i < 2; i++)
        assert_true(g.holders[i].pid == holders[i].pid && g.holders[i].starttime == holders[i].starttime);
    consumer_file_release(&g);
    assert_null(g.holders);
    struct stat st;
    assert_int_equal(stat("consumer", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(access("consumer.new", F_OK), -1);
}

static int read_text(const char *text, size_t len) {
    file_put("consumer", slice_make(text, len));
    struct consumer_file f;
    int err = consumer_file_read(".", &f);
    if (err)
        assert_int_equal(f.endpoint[0], '\0');
    consumer_file_release(&f);
    return err;
}

static void test_consumer_file_first_two_lines_are_enough(void **state) {
    (void)state;
    static const char text[] = "tcp://host:7701\n17\n";
    assert_int_equal(read_text(text, sizeof text - 1), 0);
}

static void test_consumer_file_with_the_longest_endpoint(void **state) {
    (void)state;
    struct consumer_file f;
    char text[sizeof f.endpoint + 8];
    memset(text, 'x', sizeof text);
    memcpy(text, "tcp://", 6);
    strcpy(text + sizeof f.endpoint - 1, "\n17\n");
    assert_int_equal(read_text(text, strlen(text)), 0);
    strcpy(text + sizeof f.endpoint - 1, "x\n17\n");
    assert_int_equal(read_text(text, strlen(text)), ERR_INVALID);
    assert_int_equal(read_text("tcp://x\n4194304\n", 16), 0);
    assert_int_equal(read_text("tcp://\n17\n", 10), ERR_INVALID);
}

/* "its readers would refuse it": the longest file that is written can be read. */
static void test_consumer_file_has_at_most_256_kib(void **state) {
    (void)state;
    enum { HOLDERS = 65500 };
    struct consumer_file f = {.pid = 7, .holder_count = HOLDERS}, g;
    f.holders = calloc(HOLDERS, sizeof *f.holders);
    for (size_t i = 0; i < HOLDERS; i++)
        f.holders[i] = (struct consumer_holder){1, 1}; /* four bytes each */
    memset(f.endpoint, 'x', 262144 - HOLDERS * 4 - 3);
    memcpy(f.endpoint, "ipc://", 6);
    assert_int_equal(consumer_file_write(".", &f), 0);
    assert_int_equal(consumer_file_read(".", &g), 0);
    assert_int_equal(g.holder_count, HOLDERS);
    consumer_file_release(&g);
    strcat(f.endpoint, "x");
    assert_int_equal(consumer_file_write(".", &f), ERR_LIMIT);
    free(f.holders);
}

static void test_consumer_file_without_a_boot_has_none(void **state) {
    (void)state;
    struct consumer_file f = {.pid = 7, .endpoint = "ipc://x"}, g;
    char text[100];
    assert_int_equal(consumer_file_write(".", &f), 0);
    assert_string_equal(file_read_text("consumer", text, sizeof text), "ipc://x\n7\n");
    assert_int_equal(consumer_file_read(".", &g), 0);
    assert_string_equal(g.boot, "");
    consumer_file_release(&g);
}

static void test_consumer_file_that_is_damaged(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "ipc://x",
        "ipc://x\n",
        "ipc://x\n17",
        "ipc://x\n0\n",
        "ipc://x\n-1\n",
        "ipc://x\n4194305\n",
        "ipc://x\n17 \n",
        "ipc://\n17\n",
        "http://x\n17\n",
        "ipc://x\n17\nboot xyz\n",
        "ipc://x\n17\nboot 0123456789abcdef\n",
        "ipc://x\n17\n18\n",
        "ipc://x\n17\n18 x\n",
        "ipc://x\n17\n18 18446744073709551616\n",
        "ipc://x\n17\n18 1",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(read_text(texts[i], strlen(texts[i])), ERR_INVALID);
    static const char nul[] = "ipc://x\n17\n\0\n";
    assert_int_equal(read_text(nul, sizeof nul - 1), ERR_INVALID);
    char endpoint[400];
    memset(endpoint, 'x', sizeof endpoint);
    memcpy(endpoint, "ipc://", 6);
    strcpy(endpoint + 300, "\n17\n");
    assert_int_equal(read_text(endpoint, strlen(endpoint)), ERR_INVALID);
    size_t huge = 1 << 20;
    char *text = malloc(huge);
    assert_non_null(text);
    memset(text, 'x', huge);
    assert_int_equal(read_text(text, huge), ERR_INVALID);
    free(text);
}

static void make_socket(const char *path, bool listening, int *fd) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_true(strlen(path) < sizeof a.sun_path);
    strcpy(a.sun_path, path);
    *fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&a, sizeof a), 0);
    if (listening)
        assert_int_equal(listen(*fd, 1), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
}

static void test_sockets_of_killed_processes_are_swept(void **state) {
    (void)state;
    char dir[] = "/tmp/cl-sweep-XXXXXX", path[4][64];
    int fd[4];
    struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    struct buf endpoint = BUF_INIT;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
    assert_int_equal(dirs_new_ipc_endpoint("x", &endpoint), 0); /* makes the directory */
    for (int i = 0; i < 4; i++) {
        snprintf(path[i], sizeof path[i], "%s/chunklift/%d", dir, i);
        if (i < 3)
            make_socket(path[i], i == 0, &fd[i]);
    }
    assert_int_equal(utimensat(AT_FDCWD, path[2], now, 0), 0);
    struct timespec minute_old[2] = {{.tv_sec = time(NULL) - 60}, {.tv_sec = time(NULL) - 60}};
    assert_int_equal(utimensat(AT_FDCWD, path[1], minute_old, 0), 0);
    fd[3] = open(path[3], O_CREAT | O_WRONLY, 0600);
    assert_int_equal(futimens(fd[3], (struct timespec[]){{.tv_sec = 1000}, {.tv_sec = 1000}}), 0);
    assert_int_equal(dirs_new_ipc_endpoint("x", &endpoint), 0);
    assert_int_equal(access(path[0], F_OK), 0);  /* it has a listener */
    assert_int_equal(access(path[1], F_OK), -1); /* it has none */
    assert_int_equal(access(path[2], F_OK), 0);  /* too young */
    assert_int_equal(access(path[3], F_OK), 0);  /* no socket */
    for (int i = 0; i < 4; i++) {
        close(fd[i]);
        (void)!unlink(path[i]);
    }
    buf_release(&endpoint);
}

static void test_a_socket_is_stale_when_it_has_no_listener(void **state) {
    (void)state;
    char dir[] = "/tmp/cl-stale-XXXXXX", longest[109];
    int fd, listening;
    assert_non_null(mkdtemp(dir));
    memset(longest, 's', sizeof longest);
    memcpy(longest, dir, strlen(dir));
    longest[strlen(dir)] = '/';
    longest[107] = '\0';
    make_socket(longest, false, &fd);
    assert_true(socket_is_stale(longest));
    assert_int_equal(listen(fd, 1), 0);
    assert_false(socket_is_stale(longest));
    close(fd);
    assert_true(socket_is_stale(longest));
    assert_int_equal(unlink(longest), 0);
    assert_false(socket_is_stale(longest));
    longest[107] = 's';
    longest[108] = '\0';
    assert_false(socket_is_stale(longest)); /* no socket has such a path */
    make_socket("socket", true, &listening);
    assert_false(socket_is_stale("socket"));
    close(listening);
    assert_int_equal(rmdir(dir), 0);
}

static void test_no_consumer_file(void **state) {
    (void)state;
    struct consumer_file f;
    assert_int_equal(consumer_file_read(".", &f), ERR_NOT_FOUND);
    file_put_text("file", "");
    capture_begin(&said, 2);
    int missing = consumer_file_read("none", &f), below = consumer_file_read("file", &f);
    assert_string_equal(capture_end(&said), "");
    assert_int_equal(missing, ERR_NOT_FOUND);
    assert_int_equal(below, ERR_NOT_FOUND);
    assert_int_equal(symlink("consumer", "consumer"), 0);
    capture_begin(&said, 2);
    int loop = consumer_file_read(".", &f);
    assert_string_equal(capture_end(&said), "chunklift: ./consumer: Too many levels of symbolic links\n");
    assert_int_equal(loop, ERR_IO);
}

static void test_consumer_file_in_a_missing_directory(void **state) {
    (void)state;
    struct consumer_file f = {.pid = 1};
    strcpy(f.endpoint, "ipc://x");
    capture_begin(&said, 2);
    int err = consumer_file_write("none", &f);
    capture_end(&said);
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_non_null(strstr(said.text, "none/consumer: cannot be written"));
}

static void test_starttime_of_processes(void **state) {
    (void)state;
    uint64_t mine = 0, again = 1, ticks;
    assert_int_equal(process_starttime(getpid(), &mine), 0);
    assert_int_equal(process_starttime(getpid(), &again), 0);
    assert_true(mine == again && mine > 0);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_starttime(child, &ticks), ERR_NOT_FOUND); /* a zombie is dead */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(process_starttime(child, &ticks), ERR_NOT_FOUND);
    assert_int_equal(process_starttime(0, &ticks), ERR_NOT_FOUND);
    assert_int_equal(process_starttime(-1, &ticks), ERR_NOT_FOUND);
}

/* proc_pid_stat(5): the name of a process may hold anything. */
static void test_starttime_of_a_process_with_a_strange_name(void **state) {
    (void)state;
    char text[1000];
    uint64_t ticks, expected;
    assert_int_equal(prctl(PR_SET_NAME, "a) Z 1 (b"), 0);
    FILE *f = fopen("/proc/self/stat", "r");
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    const char *at = strrchr(text, ')');
    for (int field = 2; field < 22; field++)
        at = strchr(at + 1, ' ');
    expected = strtoull(at, NULL, 10);
    assert_int_equal(process_starttime(getpid(), &ticks), 0);
    assert_true(ticks == expected);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
static void assert_existing(const char *path, bool missing, const char *part) {
    struct buf text = BUF_INIT;
    struct stat st;
    assert_int_equal(buf_add_text(&text, path), 0);
    assert_int_equal(dirs_find_existing(&text, &st), missing);
    assert_string_equal(text.data, part);
    buf_release(&text);
}

static void test_the_nearest_existing_part_of_a_path(void **state) {
    (void)state;
    assert_int_equal(mkdir("here", 0700), 0);
    assert_existing("here", false, "here");
    assert_existing("here/", false, "here/");
    assert_existing("here/a/b", true, "here");
    assert_existing("here/a/", true, "here");
    assert_existing("a/b", true, ".");
    assert_existing("a", true, ".");
    assert_existing("/no-such-directory/b", true, "/");
    file_put_text("file", "");
    assert_existing("file/a", false, "file/a"); /* ENOTDIR: it can neither exist nor be made */
}

static void test_the_lock_of_a_journal_names_its_holder(void **state) {
    (void)state;
    pid_t holder = 7;
    assert_false(journal_lock_is_held("j", &holder));
    assert_int_equal(holder, 0);
    assert_int_equal(mkdir("j", 0700), 0);
    file_put_text("j/lock", "      4711\nidle\n");
    assert_false(journal_lock_is_held("j", &holder));
    int fd = open("j/lock", O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_true(journal_lock_is_held("j", NULL));
    assert_true(journal_lock_is_held("j", &holder));
    assert_int_equal(holder, 4711);
    file_put_text("j/lock", "-1\n");
    assert_true(journal_lock_is_held("j", &holder));
    assert_int_equal(holder, 0);
    close(fd);
}

UNIT_MAIN(TEST(test_the_nearest_existing_part_of_a_path), TEST(test_the_lock_of_a_journal_names_its_holder),
          cmocka_unit_test(test_sockets_of_killed_processes_are_swept), TEST(test_journal_dir_follows_xdg),
          TEST(test_runtime_dir_is_made_private), TEST(test_runtime_dir_of_others_is_refused),
          TEST(test_runtime_dir_without_xdg), TEST(test_ipc_endpoints_are_fresh),
          TEST(test_ipc_endpoint_that_is_too_long), TEST(test_make_dirs), TEST(test_consumer_file_round_trip),
          TEST(test_consumer_file_first_two_lines_are_enough), TEST(test_consumer_file_that_is_damaged),
          TEST(test_no_consumer_file), TEST(test_consumer_file_in_a_missing_directory),
          TEST(test_starttime_of_processes), TEST(test_starttime_of_a_process_with_a_strange_name),
          TEST(test_runtime_dir_that_is_no_open_directory_is_refused),
          TEST(test_runtime_dir_of_the_environment_must_be_an_own_directory),
          TEST(test_runtime_dir_that_cannot_be_made), TEST(test_ipc_endpoint_of_the_longest_path),
          TEST(test_directories_that_cannot_be_made), TEST(test_home_of_the_user_without_an_environment),
          TEST(test_consumer_file_with_the_longest_endpoint), TEST(test_consumer_file_has_at_most_256_kib),
          TEST(test_consumer_file_without_a_boot_has_none), TEST(test_a_socket_is_stale_when_it_has_no_listener))
