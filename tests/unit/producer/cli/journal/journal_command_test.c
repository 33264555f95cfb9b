/* `journal verify`, `show` and `tail` as a script sees them: exit status, stdout, one line on stderr. */
#include "journal_lines.h"

#include "capture.h"
#include "command_run.h"
#include "producer/cli/journal/journal_command.h"
#include "producer/cli/status_command.h"
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#define RUN(...) command_finish(command_start(WORDS(__VA_ARGS__)))

static void test_verify(void **state) {
    (void)state;
    char expected[200];
    lines_stops(&test_journal, 3);
    snprintf(expected, sizeof expected, "ok seq=4 head=%s\n", test_journal.chain.h);
    assert_int_equal(RUN("journal", "verify", test_journal.dir), 0);
    assert_string_equal(command_out, expected);
    assert_string_equal(command_err, "");
    assert_int_equal(RUN("journal", "verify", "--journal", test_journal.dir, "--head", test_journal.chain.h), 0);
    assert_int_equal(RUN("journal", "verify", test_journal.dir, "--head", "00112233445566778899aabbccddeeff"), 1);
    assert_string_equal(command_out, "");
    lines_rotate(&test_journal);
    unlink(lines_path(&test_journal, lines_sealed_name(1)));
    snprintf(expected, sizeof expected, "ok seq=5 head=%s from=5\n", test_journal.chain.h);
    assert_int_equal(RUN("journal", "verify", test_journal.dir), 0);
    assert_string_equal(command_out, expected);
}

static void test_verify_damage(void **state) {
    (void)state;
    char expected[200];
    fputs("{}\n", test_journal.file);
    lines_stops(&test_journal, 3);
    assert_int_equal(RUN("journal", "verify", test_journal.dir), 1);
    snprintf(expected, sizeof expected, "chunklift: %s/journal.jsonl:2: not a journal line; ", test_journal.dir);
    assert_int_equal(strncmp(command_err, expected, strlen(expected)), 0);
    assert_ptr_equal(strchr(command_err, '\n'), command_err + strlen(command_err) - 1); /* one line */
}

static void test_verify_for_programs(void **state) {
    (void)state;
    char expected[400];
    lines_stops(&test_journal, 3);
    snprintf(expected, sizeof expected,
             "{\"event\":\"verify\",\"result\":\"ok\",\"journal\":\"%s\",\"seq\":4,\"head\":\"%s\"}\n",
             test_journal.dir, test_journal.chain.h);
    assert_int_equal(RUN("journal", "verify", "--json", test_journal.dir), 0);
    assert_string_equal(command_out, expected);
    assert_string_equal(command_err, "");
    assert_int_equal(RUN("journal", "verify", "--quiet", test_journal.dir), 0);
    assert_string_equal(command_out, "");
    assert_string_equal(command_err, "");
    assert_int_equal(RUN("journal", "verify", "--json", test_journal.dir, "--head", "00112233445566778899aabbccddeeff"),
                     1);
    assert_non_null(strstr(command_out, "\"result\":\"damaged\""));
    assert_non_null(strstr(command_out, "\"error\":\"no line has the wanted head"));
    fputs("{}\n", test_journal.file);
    fflush(test_journal.file);
    assert_int_equal(RUN("journal", "verify", "--json", test_journal.dir), 1);
    snprintf(expected, sizeof expected,
             "\"seq\":4,\"head\":\"%s\",\"file\":\"journal.jsonl\",\"line\":5,\"error\":\"not a journal line\"}\n",
             test_journal.chain.h);
    assert_non_null(strstr(command_out, expected));
    assert_int_equal(RUN("journal", "verify", "--quiet", test_journal.dir), 1);
    assert_string_equal(command_out, "");
    assert_non_null(strstr(command_err, "journal.jsonl:5: not a journal line; "));
}

static void test_what_cannot_be_used(void **state) {
    (void)state;
    assert_int_equal(RUN("journal", "verify", "none"), 3);
    assert_string_equal(command_err, "chunklift: none: no such journal directory\n");
    assert_int_equal(RUN("journal", "show", "--journal", "none"), 3);
    assert_int_equal(RUN("journal", "tail", "none"), 3);
    assert_int_equal(RUN("status", "--journal", "none"), 3);
}

static void test_usage(void **state) {
    (void)state;
    assert_int_equal(RUN("journal"), 2);
    assert_int_equal(RUN("journal", "frobnicate"), 2);
    assert_int_equal(RUN("journal", "verify", "--head", "abc", test_journal.dir), 2);
    assert_int_equal(RUN("journal", "verify", test_journal.dir, test_journal.dir), 2);
    assert_int_equal(RUN("journal", "verify", "--consumer", "ipc://x", "--journal", test_journal.dir), 2);
    assert_int_equal(RUN("journal", "tail", "--consumer", "tcp://host:7701"), 2);
    assert_non_null(strstr(command_err, "--insecure"));
    assert_int_equal(RUN("journal", "tail", "--consumer", "host:7701"), 2);
    assert_int_equal(RUN("journal", "tail", "-n", "many"), 2);
    assert_int_equal(RUN("journal", "--help"), 0);
    assert_int_equal(RUN("journal", "tail", "--help"), 0);
    assert_non_null(strstr(command_out, "--follow"));
    assert_int_equal(RUN("journal", "verify", "--version"), 0);
    assert_int_equal(RUN("journal", "-h"), 0);
    assert_int_equal(strncmp(command_out, "Usage: chunklift journal ", 25), 0);
    assert_int_equal(RUN("journal", "--version"), 0);
    assert_string_equal(command_out, "chunklift " CHUNKLIFT_VERSION "\n");
}

static void test_tail(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        lines_stops(&test_journal, 5);
        lines_rotate(&test_journal);
    }
    struct buf all = BUF_INIT;
    for (uint64_t first = 1; first <= 13; first += 6) {
        struct buf one = lines_read(&test_journal, lines_sealed_name(first));
        assert_int_equal(buf_add_slice(&all, buf_slice(&one)), 0);
        buf_release(&one);
    }
    struct buf last = lines_read(&test_journal, "journal.jsonl");
    assert_int_equal(buf_add_slice(&all, buf_slice(&last)), 0);
    buf_release(&last);
    assert_int_equal(RUN("journal", "tail", "-n", "1000", test_journal.dir), 0);
    assert_string_equal(command_out, all.data);
    assert_string_equal(command_err, "");
    assert_int_equal(RUN("journal", "tail", test_journal.dir), 0);
    int lines = 0;
    for (const char *c = command_out; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 10);
    assert_string_equal(command_out, all.data + all.len - strlen(command_out));
    assert_int_equal(RUN("journal", "tail", "-n0", test_journal.dir), 0);
    assert_string_equal(command_out, "");
    buf_release(&all);
}

static void test_tail_ends_at_a_line_that_is_too_long(void **state) {
    (void)state;
    for (int i = 0; i < RECORD_LINE_MAX; i++)
        putc('x', test_journal.file);
    fputs("\n", test_journal.file);
    lines_stops(&test_journal, 1);
    assert_int_equal(RUN("journal", "tail", test_journal.dir), 3);
    assert_non_null(strstr(command_err, "journal.jsonl: a line that is too long; run 'chunklift journal verify'\n"));
    assert_null(strstr(command_out, "\"seq\":2,"));
}

static void test_tail_of_a_directory_without_a_journal(void **state) {
    (void)state;
    assert_int_equal(mkdir("empty", 0700), 0);
    int status = RUN("journal", "tail", "empty");
    rmdir("empty");
    assert_int_equal(status, 3);
    assert_string_equal(command_err, "chunklift: empty: no journal in this directory\n");
}

/* Waits until stdout of the command has `text`, at most 10 s. */
static void await_output(const char *text) {
    for (int i = 0; i < 1000; i++) {
        file_read_text("stdout", command_out, sizeof command_out);
        if (strstr(command_out, text))
            return;
        usleep(10000);
    }
    fail_msg("no %s in the output", text);
}

/* The watches of inotify that the process has. */
static unsigned watches(pid_t pid) {
    char dir[64], path[400], text[4096];
    unsigned count = 0;
    snprintf(dir, sizeof dir, "/proc/%ld/fdinfo", (long)pid);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            count += strstr(file_read_text(path, text, sizeof text), "inotify wd:") != NULL;
    }
    closedir(d);
    return count;
}

static void test_tail_follows_until_interrupted(void **state) {
    (void)state;
    unlink("stdout");
    lines_write(&test_journal, "../stdout", slice_of(""));
    pid_t pid = command_start(WORDS("journal", "tail", "-fn1", test_journal.dir));
    await_output("{\"seq\":1,");
    assert_int_equal(watches(pid), 1);
    lines_stops(&test_journal, 1);
    await_output("{\"seq\":2,");
    lines_stops(&test_journal, 1);
    lines_rotate(&test_journal);
    lines_stops(&test_journal, 1);
    await_output("{\"seq\":5,");
    kill(pid, SIGINT);
    assert_int_equal(command_finish(pid), 130);
    struct buf all = lines_read(&test_journal, lines_sealed_name(1)), last = lines_read(&test_journal, "journal.jsonl");
    assert_int_equal(buf_add_slice(&all, buf_slice(&last)), 0);
    assert_string_equal(command_out, all.data); /* each line once, none missing */
    buf_release(&all);
    buf_release(&last);
}

/* A repaired copy has the lines that were printed. */
static void test_tail_prints_the_lines_of_a_replaced_file_once(void **state) {
    char path[256];
    (void)state;
    lines_stops(&test_journal, 2);
    lines_write(&test_journal, "../stdout", slice_of(""));
    pid_t pid = command_start(WORDS("journal", "tail", "-f", test_journal.dir));
    await_output("{\"seq\":3,");
    struct buf all = lines_read(&test_journal, "journal.jsonl");
    lines_write(&test_journal, "copy", buf_slice(&all));
    buf_release(&all);
    snprintf(path, sizeof path, "%s", lines_path(&test_journal, "copy"));
    fclose(test_journal.file);
    assert_int_equal(rename(path, lines_path(&test_journal, "journal.jsonl")), 0);
    test_journal.file = fopen(lines_path(&test_journal, "journal.jsonl"), "a");
    assert_non_null(test_journal.file);
    lines_stops(&test_journal, 1);
    await_output("{\"seq\":4,");
    kill(pid, SIGINT);
    assert_int_equal(command_finish(pid), 130);
    all = lines_read(&test_journal, "journal.jsonl");
    assert_string_equal(command_out, all.data);
    buf_release(&all);
}

static void test_reader_that_goes_away_ends_it_quietly(void **state) {
    (void)state;
    for (int follow = 0; follow < 2; follow++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        lines_stops(&test_journal, 2000);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(fds[1], 1);
            close(fds[0]);
            close(fds[1]);
            if (!freopen("stderr", "w", stderr))
                _exit(99);
            const char *argv[] = {"journal", "tail", follow ? "-fn0" : "-n9999", test_journal.dir, NULL};
            _exit(journal_command(4, (char **)argv));
        }
        close(fds[1]);
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        file_read_text("stderr", command_err, sizeof command_err);
        assert_string_equal(command_err, "");
    }
}

static void add_uploads(void) {
    struct record begin = {.ev = EV_BEGIN, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_GEOMETRY | HAS_HANDLE};
    begin.upload.b[0] = 0xab;
    begin.src = slice_of("/data/a\nb");
    begin.dest = slice_of("s3://bucket/x/a");
    begin.file.size = 131072;
    begin.chunk_size = 65536;
    begin.chunks = 2;
    lines_add(&test_journal, &begin);
    struct record put = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    put.upload.b[0] = 0xcd;
    put.src = slice_of("/data/\xff");
    put.dest = slice_of("file:///backup/c");
    put.file.size = 5;
    lines_add(&test_journal, &put);
}

static void test_show(void **state) {
    (void)state;
    add_uploads();
    assert_int_equal(RUN("journal", "show", test_journal.dir), 0);
    assert_string_equal(command_err, "");
    assert_non_null(strstr(command_out, "/data/a\\nb → s3://bucket/x/a\n"));
    assert_non_null(strstr(command_out, "/data/\\xff → file:///backup/c\n"));
    assert_non_null(strstr(command_out, "2 uploads: 1 finished (5 B), 1 unfinished"));
    assert_int_equal(RUN("journal", "show", "--json", "--journal", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\"src\":\"/data/a\\nb\"")
                        ? command_out
                        : strstr(command_out, "\"src\":\"/data/a\\u000ab\""));
    assert_non_null(strstr(command_out, "\"src_b64\":\"L2RhdGEv/w==\""));
    static const char *const found[][2] = {
        {"abababab", NULL},          {"ab0000", "ab000000"},  {"/data", "cd000000"}, {"/data/a\nb", "ab000000"},
        {"s3://bucket", "ab000000"}, {"/backup/", "cd00000"}, {"/dat", NULL},        {"s3://bucket/x/a", "ab000000"},
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        assert_int_equal(RUN("journal", "show", found[i][0], test_journal.dir), found[i][1] ? 0 : 1);
        if (found[i][1])
            assert_non_null(strstr(command_out, found[i][1]));
    }
}

static void test_status_from_disk(void **state) {
    (void)state;
    add_uploads();
    assert_int_equal(RUN("status", "--journal", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "unfinished    0%  0 B of 128 KiB  /data/a\\nb → s3://bucket/x/a\n"));
    assert_non_null(strstr(command_out, "no consumer runs; 1 uploads finished, 1 unfinished, 0 failed"));
    lines_write(&test_journal, "consumer", slice_of("ipc:///nowhere\n1\nboot 00000000000000000000000000000000\n"));
    assert_int_equal(RUN("status", "--json", "--journal", test_journal.dir), 0); /* written before the last boot */
    assert_non_null(strstr(command_out, "{\"event\":\"stored\""));
    assert_int_equal(RUN("status", "a", "b"), 2);
}

/* An upload without an etag has no such row. */
static void test_show_prints_the_etag(void **state) {
    (void)state;
    struct record put = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    put.src = slice_of("/data/with");
    put.dest = slice_of("s3://bucket/with");
    put.upload.b[0] = 1;
    put.has |= HAS_ETAG;
    put.etag = slice_of("\"e1\"");
    lines_add(&test_journal, &put);
    put.src = slice_of("/data/without");
    put.dest = slice_of("s3://bucket/without");
    put.upload.b[0] = 2;
    put.has &= ~(uint32_t)HAS_ETAG;
    put.etag = slice_of("");
    lines_add(&test_journal, &put);
    assert_int_equal(RUN("journal", "show", "/data/with", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\netag        \"e1\"\n"));
    assert_int_equal(RUN("journal", "show", "/data/without", test_journal.dir), 0);
    assert_null(strstr(command_out, "etag"));
    assert_int_equal(RUN("journal", "show", "--json", "/data/with", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\"etag\":\"\\\"e1\\\"\""));
    assert_int_equal(RUN("journal", "show", "--json", "/data/without", test_journal.dir), 0);
    assert_null(strstr(command_out, "etag"));
}

static void test_show_prints_the_endpoint(void **state) {
    (void)state;
    struct record put = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    put.src = slice_of("/data/with");
    put.dest = slice_of("s3://bucket/with");
    put.endpoint = slice_of("https://store.example");
    put.upload.b[0] = 1;
    lines_add(&test_journal, &put);
    put.src = slice_of("/data/without");
    put.dest = slice_of("s3://bucket/without");
    put.endpoint = slice_of("");
    put.upload.b[0] = 2;
    lines_add(&test_journal, &put);
    assert_int_equal(RUN("journal", "show", "/data/with", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\nendpoint    https://store.example\n"));
    assert_int_equal(RUN("journal", "show", "/data/without", test_journal.dir), 0);
    assert_null(strstr(command_out, "endpoint"));
    assert_int_equal(RUN("journal", "show", "--json", "/data/with", test_journal.dir), 0);
    assert_non_null(strstr(command_out, "\"endpoint\":\"https://store.example\""));
    assert_int_equal(RUN("journal", "show", "--json", "/data/without", test_journal.dir), 0);
    assert_null(strstr(command_out, "endpoint"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_verify), TEST(test_verify_damage), TEST(test_verify_for_programs), TEST(test_what_cannot_be_used),
          TEST(test_usage), TEST(test_tail), TEST(test_tail_follows_until_interrupted),
          TEST(test_reader_that_goes_away_ends_it_quietly), TEST(test_show), TEST(test_status_from_disk),
          TEST(test_show_prints_the_etag), TEST(test_show_prints_the_endpoint),
          TEST(test_tail_ends_at_a_line_that_is_too_long), TEST(test_tail_of_a_directory_without_a_journal),
          TEST(test_tail_prints_the_lines_of_a_replaced_file_once))
