/* `chunklift status` of a directory: it asks the consumer that may be alive, or reads from disk. */
#include "scripted_consumer.h"

#include "system/dirs.h"
#include "system/fileid.h"
#include <unistd.h>

/* Writes DIR/consumer. */
static void name_consumer(const char *endpoint, pid_t pid, const char *boot) {
    struct consumer_file file = {.pid = pid};
    snprintf(file.endpoint, sizeof file.endpoint, "%s", endpoint);
    snprintf(file.boot, sizeof file.boot, "%s", boot);
    assert_int_equal(consumer_file_write(test_journal.dir, &file), 0);
}

static pid_t pid_that_ended(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void add_failed_upload(void) {
    struct record r = {.ev = EV_FAIL, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST};
    r.upload.b[0] = 1;
    r.src = slice_of("/data/x");
    r.dest = slice_of("s3://bucket/x");
    r.class = slice_of("denied");
    r.error = slice_of("AccessDenied");
    lines_add(&test_journal, &r);
}

static bool was_read_from_disk(void) {
    return strstr(command_out, "no consumer runs; ") != NULL;
}

static void test_directory_without_a_consumer_is_read(void **state) {
    (void)state;
    add_failed_upload();
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_true(was_read_from_disk());
    assert_string_equal(command_err, "");
    assert_non_null(strstr(command_out, "0 uploads finished, 0 unfinished, 1 failed\n"));
    assert_non_null(strstr(command_out, "/data/x → s3://bucket/x\n"));
    assert_non_null(strstr(command_out, "AccessDenied\n"));
    assert_int_equal(SCRIPTED_RUN("status", "--json", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\"class\":\"denied\",\"error\":\"AccessDenied\"}\n{\"event\":\"stored\","));
}

static void test_finished_uploads_are_only_counted(void **state) {
    struct record r = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    (void)state;
    r.src = slice_of("/data/x");
    r.dest = slice_of("s3://bucket/x");
    lines_add(&test_journal, &r);
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_null(strstr(command_out, "/data/x"));
    assert_non_null(strstr(command_out, "1 uploads finished, 0 unfinished, 0 failed\n"));
}

static void test_consumer_that_runs_is_asked(void **state) {
    (void)state;
    name_consumer(scripted_address, getpid(), boot_id());
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_false(was_read_from_disk());
    assert_non_null(strstr(command_out, "consumer  pid 4711"));
    assert_string_equal(command_err, "");
}

static void test_consumer_that_ended_is_not_asked(void **state) {
    (void)state;
    name_consumer(scripted_address, pid_that_ended(), boot_id());
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_true(was_read_from_disk());
}

static void test_consumer_before_the_last_boot_is_not_asked(void **state) {
    (void)state;
    name_consumer(scripted_address, getpid(), "00000000000000000000000000000000");
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_true(was_read_from_disk());
}

static void test_consumer_that_hangs_is_reported(void **state) {
    char expected[64];
    (void)state;
    scripted.silent = true;
    name_consumer(scripted_address, getpid(), boot_id());
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 3);
    snprintf(expected, sizeof expected, "the consumer (pid %ld) does not answer\n", (long)getpid());
    assert_non_null(strstr(command_err, expected));
}

static void test_damaged_file_of_the_consumer_is_reported(void **state) {
    (void)state;
    lines_write(&test_journal, "consumer", slice_of("damaged"));
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_true(was_read_from_disk());
    assert_non_null(strstr(command_err, "consumer: damaged; read from disk instead"));
}

static void test_one_place_is_named(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("status", "a", "b"), 2);
    assert_int_equal(SCRIPTED_RUN("status", "a", "--journal", test_journal.dir), 2);
    assert_int_equal(SCRIPTED_RUN("status", "a", "--consumer", scripted_address), 2);
    assert_non_null(strstr(command_err, "a: too many arguments"));
    assert_int_equal(scripted.hellos, 0);
}

/* A file of an earlier version has no boot: the process with that number may be the consumer. */
static void test_consumer_of_an_unknown_boot_is_asked(void **state) {
    (void)state;
    name_consumer(scripted_address, getpid(), "");
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_false(was_read_from_disk());
}

/* It may run on another host. */
static void test_consumer_of_a_tcp_endpoint_is_always_asked(void **state) {
    (void)state;
    name_consumer("tcp://127.0.0.1:1", pid_that_ended(), boot_id());
    assert_int_equal(SCRIPTED_RUN("status", "--insecure", test_journal.dir), 3);
    assert_false(was_read_from_disk());
    assert_non_null(strstr(command_err, "does not answer"));
}

static void test_endpoint_without_a_consumer(void **state) {
    (void)state;
    scripted.silent = true;
    assert_int_equal(SCRIPTED_RUN("status", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "no consumer answers there"));
}

static void test_damaged_journal_is_shown_as_far_as_it_can_be_read(void **state) {
    (void)state;
    add_failed_upload();
    fputs("{}\n", test_journal.file);
    fflush(test_journal.file);
    assert_int_equal(SCRIPTED_RUN("status", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "0 uploads finished, 0 unfinished, 1 failed\n"));
    assert_non_null(strstr(command_err, "journal.jsonl:3: "));
}

static void test_without_a_directory_it_shows_the_default_journal(void **state) {
    char state_home[100], link[160], target[2100], cwd[2000];
    (void)state;
    add_failed_upload();
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(state_home, sizeof state_home, "/tmp/cl-status-%ld", (long)getpid());
    assert_int_equal(mkdir(state_home, 0700), 0);
    snprintf(link, sizeof link, "%s/chunklift", state_home);
    assert_int_equal(mkdir(link, 0700), 0);
    snprintf(link, sizeof link, "%s/chunklift/journal", state_home);
    snprintf(target, sizeof target, "%s/%s", cwd, test_journal.dir);
    assert_int_equal(symlink(target, link), 0);
    setenv("XDG_STATE_HOME", state_home, 1);
    int status = SCRIPTED_RUN("status");
    unsetenv("XDG_STATE_HOME");
    unlink(link);
    *strrchr(link, '/') = '\0';
    rmdir(link);
    rmdir(state_home);
    assert_int_equal(status, 0);
    assert_non_null(strstr(command_out, "0 uploads finished, 0 unfinished, 1 failed\n"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scripted_setup, scripted_teardown)
UNIT_MAIN(TEST(test_directory_without_a_consumer_is_read), TEST(test_finished_uploads_are_only_counted),
          TEST(test_consumer_that_runs_is_asked), TEST(test_consumer_that_ended_is_not_asked),
          TEST(test_consumer_before_the_last_boot_is_not_asked), TEST(test_consumer_that_hangs_is_reported),
          TEST(test_damaged_file_of_the_consumer_is_reported), TEST(test_one_place_is_named),
          TEST(test_consumer_of_an_unknown_boot_is_asked), TEST(test_consumer_of_a_tcp_endpoint_is_always_asked),
          TEST(test_endpoint_without_a_consumer), TEST(test_damaged_journal_is_shown_as_far_as_it_can_be_read),
          TEST(test_without_a_directory_it_shows_the_default_journal))
