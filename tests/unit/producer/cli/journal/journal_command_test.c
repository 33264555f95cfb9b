/* `journal verify`, `show` and `tail` as a script sees them: exit status, stdout, one line on stderr. */
#include "journal_lines.h"

#include "capture.h"
#include "producer/cli/journal/journal_command.h"
#include "producer/cli/status_command.h"
#include <signal.h>
#include <sys/wait.h>

static struct journal_lines j;
static char out[1 << 20], said[65536];

static void read_back(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
}

static pid_t start(int argc, const char **argv) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
        _exit(99);
    int status =
        strcmp(argv[0], "status") == 0 ? status_command(argc, (char **)argv) : journal_command(argc, (char **)argv);
    _exit(status);
}

static int finish(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    read_back("stdout", out, sizeof out);
    read_back("stderr", said, sizeof said);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define WORDS(...)                                                                                                     \
    sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]) {                                         \
        __VA_ARGS__, NULL                                                                                              \
    }
#define RUN(...) finish(start(WORDS(__VA_ARGS__)))

static int setup(void **state) {
    (void)state;
    lines_begin(&j);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    lines_end(&j);
    return 0;
}

static void test_verify(void **state) {
    (void)state;
    char expected[200];
    lines_stops(&j, 3);
    snprintf(expected, sizeof expected, "ok seq=4 head=%s\n", j.chain.h);
    assert_int_equal(RUN("journal", "verify", j.dir), 0);
    assert_string_equal(out, expected);
    assert_string_equal(said, "");
    assert_int_equal(RUN("journal", "verify", "--journal", j.dir, "--head", j.chain.h), 0);
    assert_int_equal(RUN("journal", "verify", j.dir, "--head", "00112233445566778899aabbccddeeff"), 1);
    assert_string_equal(out, "");
    lines_rotate(&j);
    unlink(lines_path(&j, lines_sealed_name(1)));
    snprintf(expected, sizeof expected, "ok seq=5 head=%s from=5\n", j.chain.h);
    assert_int_equal(RUN("journal", "verify", j.dir), 0);
    assert_string_equal(out, expected);
}

static void test_verify_damage(void **state) {
    (void)state;
    char expected[200];
    fputs("{}\n", j.file);
    lines_stops(&j, 3);
    assert_int_equal(RUN("journal", "verify", j.dir), 1);
    snprintf(expected, sizeof expected, "chunklift: %s/journal.jsonl:2: not a journal line; ", j.dir);
    assert_int_equal(strncmp(said, expected, strlen(expected)), 0);
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

static void test_verify_for_programs(void **state) {
    (void)state;
    char expected[400];
    lines_stops(&j, 3);
    snprintf(expected, sizeof expected,
             "{\"event\":\"verify\",\"result\":\"ok\",\"journal\":\"%s\",\"seq\":4,\"head\":\"%s\"}\n", j.dir,
             j.chain.h);
    assert_int_equal(RUN("journal", "verify", "--json", j.dir), 0);
    assert_string_equal(out, expected);
    assert_string_equal(said, "");
    assert_int_equal(RUN("journal", "verify", "--quiet", j.dir), 0);
    assert_string_equal(out, "");
    assert_string_equal(said, "");
    assert_int_equal(RUN("journal", "verify", "--json", j.dir, "--head", "00112233445566778899aabbccddeeff"), 1);
    assert_non_null(strstr(out, "\"result\":\"damaged\""));
    assert_non_null(strstr(out, "\"error\":\"no line has the wanted head"));
    fputs("{}\n", j.file);
    fflush(j.file);
    assert_int_equal(RUN("journal", "verify", "--json", j.dir), 1);
    snprintf(expected, sizeof expected,
             "\"seq\":4,\"head\":\"%s\",\"file\":\"journal.jsonl\",\"line\":5,\"error\":\"not a journal line\"}\n",
             j.chain.h);
    assert_non_null(strstr(out, expected));
    assert_int_equal(RUN("journal", "verify", "--quiet", j.dir), 1);
    assert_string_equal(out, "");
    assert_non_null(strstr(said, "journal.jsonl:5: not a journal line; "));
}

static void test_what_cannot_be_used(void **state) {
    (void)state;
    assert_int_equal(RUN("journal", "verify", "none"), 3);
    assert_string_equal(said, "chunklift: none: no such journal directory\n");
    assert_int_equal(RUN("journal", "show", "--journal", "none"), 3);
    assert_int_equal(RUN("journal", "tail", "none"), 3);
    assert_int_equal(RUN("status", "--journal", "none"), 3);
}

static void test_usage(void **state) {
    (void)state;
    assert_int_equal(RUN("journal"), 2);
    assert_int_equal(RUN("journal", "frobnicate"), 2);
    assert_int_equal(RUN("journal", "verify", "--head", "abc", j.dir), 2);
    assert_int_equal(RUN("journal", "verify", j.dir, j.dir), 2);
    assert_int_equal(RUN("journal", "verify", "--consumer", "ipc://x", "--journal", j.dir), 2);
    assert_int_equal(RUN("journal", "tail", "--consumer", "tcp://host:7701"), 2);
    assert_non_null(strstr(said, "--insecure"));
    assert_int_equal(RUN("journal", "tail", "--consumer", "host:7701"), 2);
    assert_int_equal(RUN("journal", "tail", "-n", "many"), 2);
    assert_int_equal(RUN("journal", "--help"), 0);
    assert_int_equal(RUN("journal", "tail", "--help"), 0);
    assert_non_null(strstr(out, "--follow"));
    assert_int_equal(RUN("journal", "verify", "--version"), 0);
}

static void test_tail(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        lines_stops(&j, 5);
        lines_rotate(&j);
    }
    struct buf all = BUF_INIT;
    for (uint64_t first = 1; first <= 13; first += 6) {
        struct buf one = lines_read(&j, lines_sealed_name(first));
        assert_int_equal(buf_add_slice(&all, buf_slice(&one)), 0);
        buf_release(&one);
    }
    struct buf last = lines_read(&j, "journal.jsonl");
    assert_int_equal(buf_add_slice(&all, buf_slice(&last)), 0);
    buf_release(&last);
    assert_int_equal(RUN("journal", "tail", "-n", "1000", j.dir), 0);
    assert_string_equal(out, all.data);
    assert_int_equal(RUN("journal", "tail", j.dir), 0);
    int lines = 0;
    for (const char *c = out; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 10);
    assert_string_equal(out, all.data + all.len - strlen(out));
    assert_int_equal(RUN("journal", "tail", "-n0", j.dir), 0);
    assert_string_equal(out, "");
    buf_release(&all);
}

/* Waits until stdout of the command has `text`, at most 10 s. */
static void await_output(const char *text) {
    for (int i = 0; i < 1000; i++) {
        read_back("stdout", out, sizeof out);
        if (strstr(out, text))
            return;
        usleep(10000);
    }
    fail_msg("no %s in the output", text);
}

static void test_tail_follows_until_interrupted(void **state) {
    (void)state;
    unlink("stdout");
    lines_write(&j, "../stdout", slice_of(""));
    pid_t pid = start(WORDS("journal", "tail", "-fn1", j.dir));
    await_output("{\"seq\":1,");
    lines_stops(&j, 1);
    await_output("{\"seq\":2,");
    lines_stops(&j, 1);
    lines_rotate(&j);
    lines_stops(&j, 1);
    await_output("{\"seq\":5,");
    kill(pid, SIGINT);
    assert_int_equal(finish(pid), 130);
    struct buf all = lines_read(&j, lines_sealed_name(1)), last = lines_read(&j, "journal.jsonl");
    assert_int_equal(buf_add_slice(&all, buf_slice(&last)), 0);
    assert_string_equal(out, all.data); /* each line once, none missing */
    buf_release(&all);
    buf_release(&last);
}

static void test_reader_that_goes_away_ends_it_quietly(void **state) {
    (void)state;
    for (int follow = 0; follow < 2; follow++) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        lines_stops(&j, 2000);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(fds[1], 1);
            close(fds[0]);
            close(fds[1]);
            if (!freopen("stderr", "w", stderr))
                _exit(99);
            const char *argv[] = {"journal", "tail", follow ? "-fn0" : "-n9999", j.dir, NULL};
            _exit(journal_command(4, (char **)argv));
        }
        close(fds[1]);
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        read_back("stderr", said, sizeof said);
        assert_string_equal(said, "");
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
    lines_add(&j, &begin);
    struct record put = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    put.upload.b[0] = 0xcd;
    put.src = slice_of("/data/\xff");
    put.dest = slice_of("file:///backup/c");
    put.file.size = 5;
    lines_add(&j, &put);
}

static void test_show(void **state) {
    (void)state;
    add_uploads();
    assert_int_equal(RUN("journal", "show", j.dir), 0);
    assert_non_null(strstr(out, "/data/a\\nb → s3://bucket/x/a\n"));
    assert_non_null(strstr(out, "/data/\\xff → file:///backup/c\n"));
    assert_non_null(strstr(out, "2 uploads: 1 finished (5 B), 1 unfinished"));
    assert_int_equal(RUN("journal", "show", "--json", "--journal", j.dir), 0);
    assert_non_null(strstr(out, "\"src\":\"/data/a\\nb\"") ? out : strstr(out, "\"src\":\"/data/a\\u000ab\""));
    assert_non_null(strstr(out, "\"src_b64\":\"L2RhdGEv/w==\""));
    static const char *const found[][2] = {
        {"abababab", NULL},          {"ab0000", "ab000000"},  {"/data", "cd000000"}, {"/data/a\nb", "ab000000"},
        {"s3://bucket", "ab000000"}, {"/backup/", "cd00000"}, {"/dat", NULL},        {"s3://bucket/x/a", "ab000000"},
    };
    for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
        assert_int_equal(RUN("journal", "show", found[i][0], j.dir), found[i][1] ? 0 : 1);
        if (found[i][1])
            assert_non_null(strstr(out, found[i][1]));
    }
}

static void test_status_from_disk(void **state) {
    (void)state;
    add_uploads();
    assert_int_equal(RUN("status", "--journal", j.dir), 0);
    assert_non_null(strstr(out, "unfinished    0%  0 B of 128 KiB  /data/a\\nb → s3://bucket/x/a\n"));
    assert_non_null(strstr(out, "no consumer runs; 1 uploads finished, 1 unfinished, 0 failed"));
    lines_write(&j, "consumer", slice_of("ipc:///nowhere\n1\nboot 00000000000000000000000000000000\n"));
    assert_int_equal(RUN("status", "--json", "--journal", j.dir), 0); /* written before the last boot */
    assert_non_null(strstr(out, "{\"event\":\"stored\""));
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
    lines_add(&j, &put);
    put.src = slice_of("/data/without");
    put.dest = slice_of("s3://bucket/without");
    put.upload.b[0] = 2;
    put.has &= ~(uint32_t)HAS_ETAG;
    put.etag = slice_of("");
    lines_add(&j, &put);
    assert_int_equal(RUN("journal", "show", "/data/with", j.dir), 0);
    assert_non_null(strstr(out, "\netag        \"e1\"\n"));
    assert_int_equal(RUN("journal", "show", "/data/without", j.dir), 0);
    assert_null(strstr(out, "etag"));
    assert_int_equal(RUN("journal", "show", "--json", "/data/with", j.dir), 0);
    assert_non_null(strstr(out, "\"etag\":\"\\\"e1\\\"\""));
    assert_int_equal(RUN("journal", "show", "--json", "/data/without", j.dir), 0);
    assert_null(strstr(out, "etag"));
}

static void test_show_prints_the_endpoint(void **state) {
    (void)state;
    struct record put = {.ev = EV_PUT, .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS};
    put.src = slice_of("/data/with");
    put.dest = slice_of("s3://bucket/with");
    put.endpoint = slice_of("https://store.example");
    put.upload.b[0] = 1;
    lines_add(&j, &put);
    put.src = slice_of("/data/without");
    put.dest = slice_of("s3://bucket/without");
    put.endpoint = slice_of("");
    put.upload.b[0] = 2;
    lines_add(&j, &put);
    assert_int_equal(RUN("journal", "show", "/data/with", j.dir), 0);
    assert_non_null(strstr(out, "\nendpoint    https://store.example\n"));
    assert_int_equal(RUN("journal", "show", "/data/without", j.dir), 0);
    assert_null(strstr(out, "endpoint"));
    assert_int_equal(RUN("journal", "show", "--json", "/data/with", j.dir), 0);
    assert_non_null(strstr(out, "\"endpoint\":\"https://store.example\""));
    assert_int_equal(RUN("journal", "show", "--json", "/data/without", j.dir), 0);
    assert_null(strstr(out, "endpoint"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_verify), TEST(test_verify_damage), TEST(test_verify_for_programs), TEST(test_what_cannot_be_used),
          TEST(test_usage), TEST(test_tail), TEST(test_tail_follows_until_interrupted),
          TEST(test_reader_that_goes_away_ends_it_quietly), TEST(test_show), TEST(test_status_from_disk),
          TEST(test_show_prints_the_etag), TEST(test_show_prints_the_endpoint))
