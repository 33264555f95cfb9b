/*
 * The `chunklift` command: the choice of the subcommand, and the programs that it becomes. Those are found next to this
 * one. Therefore each command runs in a copy of this program in ./bin, where chunklift-consumer is a shell script that
 * prints its arguments, one per line.
 */
#include "scripted_consumer.h"

#include "producer/cli/chunklift.h"
#include "system/clock.h"
#include <limits.h>
#include <stdlib.h>

static char self[4096];

/* Starts the copy with these words, before the words of a command. */
static pid_t start(int argc, const char **argv) {
    const char *words[16] = {"chunklift_test", "--command"};
    for (int i = 0; i <= argc; i++)
        words[2 + i] = argv[i];
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
            _exit(99);
        execv("bin/chunklift_test", (char **)words);
        _exit(98);
    }
    return pid;
}

/* Returns the exit status. */
static int run(int argc, const char **argv) {
    pid_t pid = start(argc, argv);
    if (!scripted.requests && !scripted.seq)
        return command_finish(pid);
    scripted_bind();
    int status = scripted_until_end(pid);
    scripted_unbind();
    return status;
}

#define RUN(...) run(WORDS(__VA_ARGS__))

static int setup(void **state) {
    char command[5000];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    snprintf(command, sizeof command, "rm -rf bin && mkdir bin && cp '%s' bin/chunklift_test", self);
    assert_int_equal(system(command), 0);
    file_put_text("bin/chunklift-consumer", "#!/bin/sh\necho \"${0##*/}\"\nprintf '%s\\n' \"$@\"\nexit 7\n");
    assert_int_equal(chmod("bin/chunklift-consumer", 0700), 0);
    return scripted_setup(state);
}

static int teardown(void **state) {
    assert_int_equal(system("rm -rf bin"), 0);
    return scripted_teardown(state);
}

/* ---- the choice ---- */

static void test_without_a_command_the_usage_is_an_error(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift"), 2);
    assert_string_equal(command_out, "");
    assert_int_equal(strncmp(command_err, "Usage: chunklift COMMAND", 24), 0);
}

static void test_help_is_on_stdout(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "--help"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift COMMAND", 24), 0);
    assert_int_equal(RUN("chunklift", "-h"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift COMMAND", 24), 0);
    assert_int_equal(RUN("chunklift", "help"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift COMMAND", 24), 0);
    assert_int_equal(RUN("chunklift", "help", "--version"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift COMMAND", 24), 0);
    assert_string_equal(command_err, "");
}

static void test_version(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "--version"), 0);
    assert_string_equal(command_out, "chunklift " CHUNKLIFT_VERSION "\n");
}

static void test_help_of_a_command(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "help", "set"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift set ", 21), 0);
    assert_int_equal(RUN("chunklift", "help", "journal", "verify"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift journal verify ", 32), 0);
    assert_int_equal(RUN("chunklift", "help", "journal", "retire"), 7);
    assert_string_equal(command_out, "chunklift-consumer\nretire\n--help\n"); /* it has that help */
}

static void test_unknown_command(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "frobnicate"), 2);
    assert_non_null(strstr(command_err, "frobnicate: no such command"));
    assert_int_equal(RUN("chunklift", "help", "frobnicate"), 2);
}

static void test_command_gets_its_arguments(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "journal", "verify", test_journal.dir), 0);
    assert_int_equal(strncmp(command_out, "ok seq=1 ", 9), 0);
}

/* ---- other programs ---- */

static void test_consumer_is_another_program(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "consumer", "--journal", "d"), 7);
    assert_string_equal(command_out, "chunklift-consumer\n--journal\nd\n");
}

static void test_missing_program(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "uploader"), 3);
    assert_non_null(strstr(command_err, "chunklift-uploader: cannot be started"));
}

static void test_consumer_program_writes_to_a_journal(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "journal", "retire", "--journal", "d"), 7);
    assert_string_equal(command_out, "chunklift-consumer\nretire\n--journal\nd\n");
    assert_int_equal(RUN("chunklift", "journal", "forget", "s3://bucket/x"), 7);
    assert_string_equal(command_out, "chunklift-consumer\nforget\ns3://bucket/x\n");
    assert_int_equal(RUN("chunklift", "journal", "export", "d"), 7);
    assert_string_equal(command_out, "chunklift-consumer\nexport\nd\n");
    assert_int_equal(unlink("bin/chunklift-consumer"), 0);
    assert_int_equal(RUN("chunklift", "journal", "retire"), 3);
    assert_non_null(strstr(command_err, "chunklift-consumer: cannot be started"));
}

static void add_put(uint8_t id, const char *dest) {
    struct record r = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    r.upload.b[0] = id;
    r.src = slice_of("/data/x");
    r.dest = slice_of(dest);
    r.file.size = 5;
    lines_add(&test_journal, &r);
}

/* Without unfinished uploads nothing is aborted. */
static void test_finished_uploads_are_forgotten_by_the_consumer_program(void **state) {
    char expected[400];
    (void)state;
    add_put(1, "s3://bucket/one");
    add_put(2, "s3://bucket/two");
    add_put(3, "s3://bucket/three");
    snprintf(expected, sizeof expected,
             "chunklift-consumer\nforget\n--journal\n%s\n01000000000000000000000000000000\n"
             "02000000000000000000000000000000\n",
             test_journal.dir);
    assert_int_equal(
        RUN("chunklift", "journal", "forget", "--unfinished", "s3://bucket/one", "s3://bucket/two", test_journal.dir),
        7);
    assert_string_equal(command_out, expected);
    snprintf(expected, sizeof expected,
             "chunklift-consumer\nforget\n--journal\n%s\n--json\n03000000000000000000000000000000\n", test_journal.dir);
    assert_int_equal(
        RUN("chunklift", "journal", "forget", "--unfinished", "--json", "s3://bucket/three", test_journal.dir), 7);
    assert_string_equal(command_out, expected);
    assert_int_equal(unlink("bin/chunklift-consumer"), 0);
    assert_int_equal(RUN("chunklift", "journal", "forget", "--unfinished", "s3://bucket/three", test_journal.dir), 3);
}

/* ---- with uploaders ---- */

/* The program of the uploaders: it refuses with this status, or with 0 it is ready, and ends with its channel. Its
 * arguments go to "uploader". */
static void make_uploader(int status) {
    char text[200];
    snprintf(
        text, sizeof text,
        "#!/bin/sh\necho \"$*\" >uploader\necho x >>starts\n[ %d = 0 ] || exit %d\nprintf r >&0\nexec cat >/dev/null\n",
        status, status);
    file_put_text("bin/chunklift-uploader", text);
    assert_int_equal(chmod("bin/chunklift-uploader", 0700), 0);
    scripted.role = 0;
    scripted.seq = test_journal.seq;
}

static void test_copy_of_nothing_is_done_at_once(void **state) {
    (void)state;
    make_uploader(0);
    assert_int_equal(mkdir("src", 0700), 0);
    int status = RUN("chunklift", "cp", "-r", "src", "out", "--consumer", scripted_address);
    rmdir("src");
    assert_int_equal(status, 0);
    assert_non_null(strstr(command_err, "0 files uploaded (0 B), 0 unchanged, 0 failed"));
}

static void test_copy_ends_with_the_check_of_its_uploaders(void **state) {
    (void)state;
    make_uploader(2);
    file_put_text("a", "a");
    assert_int_equal(RUN("chunklift", "cp", "a", "out", "--consumer", scripted_address), 2);
    make_uploader(3);
    int status = RUN("chunklift", "cp", "a", "out", "--consumer", scripted_address);
    unlink("a");
    assert_int_equal(status, 3);
    assert_int_equal(scripted.hellos, 0);
}

static size_t count_of_starts(void) {
    char text[1000];
    return file_exists("starts") ? strlen(file_read_text("starts", text, sizeof text)) / 2 : 0;
}

/* Uploads the files "src/0" and so on, of this size. The consumer refuses them when so many uploaders were started.
 * Returns the number of uploaders at the end. */
static size_t uploaders_of_a_copy(unsigned count, uint64_t size, size_t until) {
    make_uploader(0);
    assert_int_equal(system("rm -rf src starts && mkdir src"), 0);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof name, "src/%u", i);
        file_put_hole(name, size);
    }
    pid_t pid = start(WORDS("chunklift", "cp", "-r", "--uploaders", "3", "src", "out", "--consumer", scripted_address));
    scripted.lost = INT_MAX;
    scripted_bind();
    for (uint64_t end_ms = clock_ms() + 20000; count_of_starts() < until; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
    scripted.lost = 0;
    int status = scripted_until_end(pid);
    scripted_unbind();
    assert_int_equal(status, 1);
    assert_non_null(strstr(command_err, "src/0: not here\n"));
    size_t starts = count_of_starts();
    assert_int_equal(system("rm -rf src starts"), 0);
    return starts;
}

static void test_several_files_have_all_uploaders(void **state) {
    (void)state;
    assert_int_equal(uploaders_of_a_copy(2, 10, 3), 3);
    assert_int_equal(uploaders_of_a_copy(1, (1 << 20) + 1, 3), 3);
}

/* For a second: then it may stand still, and the others are started too. */
static void test_one_small_file_has_one_uploader(void **state) {
    uint64_t began_ms = clock_ms();
    (void)state;
    size_t count = uploaders_of_a_copy(1, 1 << 20, 1);
    assert_true(count == 1 || clock_ms() - began_ms >= 1000);
}

static void test_help_of_the_copy(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "cp", "--help"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift cp ", 20), 0);
    assert_int_equal(RUN("chunklift", "cp", "a"), 2);
}

static void add_begin(uint8_t id, const char *dest) {
    struct record r = {.ev = EV_BEGIN, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_GEOMETRY | HAS_HANDLE};
    r.upload.b[0] = id;
    r.src = slice_of("/data/x");
    r.dest = slice_of(dest);
    r.endpoint = slice_of("http://store.example");
    r.file.size = 5 << 20;
    r.chunk_size = 5 << 20;
    r.chunks = 1;
    r.handle = slice_of("h");
    lines_add(&test_journal, &r);
}

/* The unfinished upload has ended by itself: it needs no abort. The finished one is forgotten afterwards. */
static void test_unfinished_uploads_are_aborted_before_others_are_forgotten(void **state) {
    (void)state;
    add_begin(1, "s3://bucket/one");
    add_put(2, "s3://bucket/two");
    make_uploader(0);
    assert_int_equal(RUN("chunklift", "journal", "forget", "--unfinished", "s3://bucket/one", "s3://bucket/two",
                         "--consumer", scripted_address),
                     0);
    assert_int_equal(scripted.forgets, 1);
    assert_int_equal(scripted.forget_ids_len, 16);
    assert_int_equal(scripted.forget_ids[0], 2);
    assert_string_equal(command_out, "forgotten: 02000000000000000000000000000000  s3://bucket/two\n");
}

/* Adds the record of the abort, which the consumer sends after the others. */
static void add_abort(uint8_t id) {
    struct record r = {.ev = EV_ABORT, .has = HAS_UPLOAD, .reason = slice_of("forget")};
    scripted.seq = test_journal.seq;
    scripted.beyond = 1;
    scripted.aborting = true;
    r.upload.b[0] = id;
    lines_add(&test_journal, &r);
}

static void test_aborted_uploads_are_printed(void **state) {
    (void)state;
    add_begin(1, "s3://bucket/one");
    make_uploader(0);
    add_abort(1);
    assert_int_equal(
        RUN("chunklift", "journal", "forget", "--unfinished", "s3://bucket/one", "--consumer", scripted_address), 0);
    assert_string_equal(command_out, "aborted: 01000000000000000000000000000000  s3://bucket/one\n");
    assert_int_equal(RUN("chunklift", "journal", "forget", "--unfinished", "--json", "s3://bucket/one", "--consumer",
                         scripted_address),
                     0);
    assert_string_equal(command_out, "{\"event\":\"aborted\",\"upload\":\"01000000000000000000000000000000\","
                                     "\"dest\":\"s3://bucket/one\"}\n");
    assert_int_equal(scripted.forgets, 0);
}

static void test_abort_passes_the_options_of_the_store_on(void **state) {
    char text[1000];
    (void)state;
    add_begin(1, "s3://bucket/one");
    make_uploader(2);
    assert_int_equal(RUN("chunklift", "journal", "forget", "--unfinished", "s3://bucket/one", "--region", "r1",
                         "--profile", "p1", "--consumer", scripted_address),
                     2);
    assert_int_equal(scripted.forgets, 0);
    file_read_text("uploader", text, sizeof text);
    assert_non_null(strstr(text, " --allow s3://bucket/ "));
    assert_non_null(strstr(text, " --endpoint-url http://store.example --region r1 --profile p1 "));
}

/* ---- export with --consumer ---- */

static void test_remote_export_reads_a_copy(void **state) {
    (void)state;
    lines_stops(&test_journal, 3);
    scripted.seq = test_journal.seq;
    file_put_text("bin/chunklift-consumer", "#!/bin/sh\necho \"$1 $2\"\ncat \"$3\"/*\n");
    struct buf all = lines_read(&test_journal, "journal.jsonl");
    assert_int_equal(RUN("chunklift", "journal", "export", "--consumer", scripted_address), 0);
    assert_int_equal(strncmp(command_out, "export --journal\n", 17), 0);
    assert_string_equal(command_out + 17, all.data);
    buf_release(&all);
}

static void test_remote_export_removes_its_copy(void **state) {
    (void)state;
    scripted.seq = test_journal.seq;
    assert_int_equal(mkdir("tmp", 0700), 0);
    assert_int_equal(setenv("TMPDIR", "tmp", 1), 0);
    int status = RUN("chunklift", "journal", "export", "--consumer", scripted_address);
    unsetenv("TMPDIR");
    assert_int_equal(status, 7);
    assert_int_equal(strncmp(command_out, "chunklift-consumer\nexport\n--journal\ntmp/", 40), 0);
    assert_int_equal(rmdir("tmp"), 0); /* it is empty */
}

static void test_remote_export_of_a_program_that_is_killed(void **state) {
    (void)state;
    scripted.seq = test_journal.seq;
    file_put_text("bin/chunklift-consumer", "#!/bin/sh\nkill -TERM $$\n");
    assert_int_equal(RUN("chunklift", "journal", "export", "--consumer", scripted_address), 128 + 15);
}

static void test_remote_export_has_no_arguments(void **state) {
    (void)state;
    assert_int_equal(RUN("chunklift", "journal", "export", "--consumer", scripted_address, "d"), 2);
    assert_non_null(strstr(command_err, "d: one directory at most"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {TEST(test_without_a_command_the_usage_is_an_error),
                                       TEST(test_help_is_on_stdout),
                                       TEST(test_version),
                                       TEST(test_help_of_a_command),
                                       TEST(test_unknown_command),
                                       TEST(test_command_gets_its_arguments),
                                       TEST(test_consumer_is_another_program),
                                       TEST(test_missing_program),
                                       TEST(test_consumer_program_writes_to_a_journal),
                                       TEST(test_finished_uploads_are_forgotten_by_the_consumer_program),
                                       TEST(test_copy_of_nothing_is_done_at_once),
                                       TEST(test_copy_ends_with_the_check_of_its_uploaders),
                                       TEST(test_several_files_have_all_uploaders),
                                       TEST(test_one_small_file_has_one_uploader),
                                       TEST(test_help_of_the_copy),
                                       TEST(test_unfinished_uploads_are_aborted_before_others_are_forgotten),
                                       TEST(test_aborted_uploads_are_printed),
                                       TEST(test_abort_passes_the_options_of_the_store_on),
                                       TEST(test_remote_export_reads_a_copy),
                                       TEST(test_remote_export_removes_its_copy),
                                       TEST(test_remote_export_of_a_program_that_is_killed),
                                       TEST(test_remote_export_has_no_arguments)};
    if (argc >= 3 && strcmp(argv[1], "--command") == 0) {
        int status = chunklift_run(argc - 2, argv + 2);
        fflush(stdout);
        return status;
    }
    return unit_main(argc, argv, tests, sizeof tests / sizeof tests[0]);
}
