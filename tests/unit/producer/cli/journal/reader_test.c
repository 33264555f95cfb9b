/* `status` and `journal tail --consumer` with a scripted consumer: a ROUTER in this process
 * replies to the command in a child process. */
#include "command_run.h"
#include "journal_lines.h"

#include "producer/cli/journal/journal_command.h"
#include "producer/cli/status_command.h"
#include "pure/proto.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static char address[256];
static struct endpoint *router;
static const struct id128 consumer_id = {{7}};

/* The data of the scripted consumer, and the messages it got. */
static struct {
    uint64_t seq;       /* the head that it reports */
    uint64_t first;     /* earlier records were removed */
    bool silent;        /* does not reply */
    bool refuse;        /* replies to HELLO with an error */
    uint64_t batch_max; /* records in one reply */
    int hellos, tails, statuses, byes;
    uint64_t last_tail_seq;
    uint32_t last_wait_ms;
    uint64_t uploads; /* to show, two per page */
} script;

/* Before bind_router: a ZeroMQ context does not survive a fork. */
#define START(...) command_start(WORDS(__VA_ARGS__))

static void reply(const struct frame *to, const struct msg *question, struct msg *answer) {
    struct buf b = BUF_INIT;
    answer->journal = consumer_id;
    answer->sender = consumer_id;
    answer->number = question->number;
    assert_int_equal(msg_encode(answer, &b), 0);
    int err = endpoint_send(router, to->peer, to->peer_len, buf_slice(&b));
    assert_true(err == 0 || err == ERR_NOT_FOUND);
    buf_release(&b);
}

static void answer_tail(const struct frame *f, const struct msg *m) {
    struct buf all = lines_read(&test_journal, "journal.jsonl"), part = BUF_INIT;
    uint64_t from = m->tail.seq < script.first ? script.first : m->tail.seq, next = from;
    uint64_t seq = 0;
    for (char *line = all.data; seq < script.seq; line = strchr(line, '\n') + 1) {
        if (++seq < from || m->tail.seq < script.first || next - from >= script.batch_max)
            continue;
        assert_int_equal(buf_add(&part, line, (size_t)(strchr(line, '\n') - line) + 1), 0);
        next = seq + 1;
    }
    script.tails++;
    script.last_tail_seq = m->tail.seq;
    script.last_wait_ms = m->tail.wait_ms;
    struct msg a = {.type = MSG_RECORDS};
    a.records.epoch = 1;
    a.records.lines = buf_slice(&part);
    a.records.line_count = (uint32_t)(next - from);
    a.records.next = next;
    a.records.head_seq = script.seq;
    a.records.head = slice_of(test_journal.chain.h);
    if (part.len || m->tail.wait_ms == 0 || m->tail.seq < script.first) /* otherwise it waits */
        reply(f, m, &a);
    buf_release(&part);
    buf_release(&all);
}

static void answer_status(const struct frame *f, const struct msg *m) {
    struct upload_status uploads[2] = {0};
    struct worker_status workers[] = {
        {.role = ROLE_UPLOADER, .worker = slice_of("host/12"), .slots = 8, .active = 3, .rate = 1 << 20, .retries = 2},
        {.role = ROLE_PRODUCER, .worker = slice_of("host/13"), .silent_ms = 7000},
        {.role = ROLE_READER, .worker = slice_of("host/14")},
    };
    struct msg a = {.type = MSG_STATE};
    script.statuses++;
    for (uint64_t i = m->status.from; i < script.uploads && a.state.upload_count < 2; i++) {
        struct upload_status *u = &uploads[a.state.upload_count++];
        u->upload.b[0] = (uint8_t)(i + 1);
        u->path = slice_of("/data/a\nb");
        u->dest = slice_of("s3://bucket/a");
        u->size = 1000 << 20;
        u->done_bytes = 450 << 20;
        u->chunks = 125;
        u->leases = 2;
        u->moving_bytes = 16 << 20;
    }
    a.state.epoch = 3;
    a.state.pid = 4711;
    a.state.head_seq = 99;
    a.state.head = slice_of(test_journal.chain.h);
    a.state.journal_dir = slice_of("/state/journal");
    a.state.uploads = uploads;
    a.state.workers = workers;
    a.state.worker_count = 3;
    a.state.finished = 57;
    uint64_t shown = m->status.from + a.state.upload_count;
    a.state.next = shown < script.uploads ? shown : 0;
    reply(f, m, &a);
}

static void answer(const struct frame *f, const struct msg *m) {
    struct msg a = {.type = MSG_WELCOME};
    if (m->type == MSG_BYE)
        script.byes++;
    if (script.silent)
        return;
    switch (m->type) {
    case MSG_HELLO:
        assert_int_equal(m->hello.role, ROLE_READER);
        script.hellos++;
        if (script.refuse) {
            a.type = MSG_ERROR;
            a.error.code = PROTOCOL_TOO_MANY;
            a.error.text = slice_of("too many peers");
        } else {
            a.welcome.epoch = 1;
            a.welcome.lease_ms = 10000;
            a.welcome.seq = script.seq;
            a.welcome.head = slice_of(test_journal.chain.h);
            a.welcome.pid = 4711;
        }
        reply(f, m, &a);
        return;
    case MSG_TAIL:
        answer_tail(f, m);
        return;
    case MSG_STATUS:
        answer_status(f, m);
        return;
    default:
        return;
    }
}

/* Serves the messages that arrived; waits up to ms for more. */
static void serve(int ms) {
    struct wait_item item = {.endpoint = router, .fd = -1, .want = ENDPOINT_IN};
    struct frame f = FRAME_INIT;
    struct msg m;
    assert_int_equal(endpoint_wait(&item, 1, ms), 0);
    while (endpoint_recv(router, &f) == 0) {
        assert_int_equal(msg_decode(f.data, &m), 0);
        answer(&f, &m);
        msg_release(&m);
    }
    frame_release(&f);
}

/* Serves until the command ends, at most 30 s. Returns its exit status. */
static int serve_until_end(pid_t pid) {
    int status = -1;
    uint64_t deadline = clock_ms() + 30000;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        assert_true(clock_ms() < deadline);
        serve(5);
    }
    serve(50); /* its BYE */
    command_read_output();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void serve_until_output(const char *text) {
    uint64_t deadline = clock_ms() + 10000;
    do {
        assert_true(clock_ms() < deadline);
        serve(5);
        file_read_text("stdout", command_out, sizeof command_out);
    } while (!strstr(command_out, text));
}

static void bind_router(void) {
    assert_int_equal(endpoint_open(&router, ENDPOINT_ROUTER, address), 0);
}

static int setup(void **state) {
    (void)state;
    memset(&script, 0, sizeof script);
    script.first = 1;
    script.batch_max = 1000;
    lines_begin(&test_journal);
    snprintf(address, sizeof address, "ipc:///tmp/cl-%ld-%s", (long)getpid(), test_journal.dir + strlen("journal"));
    lines_write(&test_journal, "../stdout", slice_of(""));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    endpoint_close(&router);
    endpoint_shutdown_all(); /* before the next fork */
    unlink(address + strlen("ipc://"));
    lines_end(&test_journal);
    return 0;
}

static void assert_printed_from(uint64_t seq) {
    struct buf all = lines_read(&test_journal, "journal.jsonl");
    char start_text[32];
    snprintf(start_text, sizeof start_text, "{\"seq\":%llu,", (unsigned long long)seq);
    const char *from = strstr(all.data, start_text);
    assert_non_null(from);
    assert_string_equal(command_out, from);
    buf_release(&all);
}

static void test_tail_prints_the_last_lines(void **state) {
    (void)state;
    lines_stops(&test_journal, 49);
    script.seq = test_journal.seq;
    script.batch_max = 7;
    pid_t pid = START("journal", "tail", "-n", "30", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 0);
    assert_printed_from(21);
    assert_string_equal(command_err, "");
    assert_int_equal(script.tails, 5);
    assert_int_equal(script.byes, 1);
}

static void test_tail_of_a_short_journal(void **state) {
    (void)state;
    lines_stops(&test_journal, 3);
    script.seq = test_journal.seq;
    pid_t pid = START("journal", "tail", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 0);
    assert_printed_from(1);
}

static void test_tail_follows(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    script.seq = test_journal.seq;
    pid_t pid = START("journal", "tail", "-f", "-n2", "--consumer", address);
    bind_router();
    serve_until_output("{\"seq\":10,");
    serve(5);
    assert_true(script.last_wait_ms > 0);
    lines_stops(&test_journal, 2);
    script.seq = test_journal.seq;
    serve_until_output("{\"seq\":12,"); /* by its next request: the scripted consumer dropped the one that waited */
    kill(pid, SIGINT);
    assert_int_equal(serve_until_end(pid), 130);
    assert_printed_from(9);
}

static void test_tail_where_old_records_are_gone(void **state) {
    (void)state;
    lines_stops(&test_journal, 19);
    script.seq = test_journal.seq;
    script.first = 15;
    pid_t pid = START("journal", "tail", "-n", "10", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 0);
    assert_printed_from(15);
    assert_non_null(strstr(command_err, "records 11 to 14 are no longer kept there"));
}

static void test_tail_is_refused(void **state) {
    (void)state;
    script.refuse = true;
    pid_t pid = START("journal", "tail", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 3);
    assert_non_null(strstr(command_err, "too many peers"));
}

static void test_status_is_refused(void **state) {
    (void)state;
    script.refuse = true;
    pid_t pid = START("status", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 3);
    assert_non_null(strstr(command_err, "too many peers"));
}

static void test_status_shows_all_pages(void **state) {
    (void)state;
    script.uploads = 5;
    pid_t pid = START("status", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 0);
    assert_int_equal(script.statuses, 3);
    assert_non_null(
        strstr(command_out, "consumer  pid 4711, epoch 3, 57 uploads finished\njournal   /state/journal\n"));
    assert_non_null(strstr(command_out, "uploader  host/12: 3 of 8 slots busy, 1 MiB/s"));
    assert_non_null(strstr(command_out, "producer  host/13, silent for 7 s\n"));
    assert_null(strstr(command_out, "host/14"));
    int shown = 0;
    for (const char *at = command_out;
         (at = strstr(at, "  45%  450 MiB of 1000 MiB, 16 MiB moving in 2 transfers  /data/a\\nb → "
                          "s3://bucket/a\n"));
         at++)
        shown++;
    assert_int_equal(shown, 5);
    assert_string_equal(command_err, "");
}

static void test_status_json_of_a_directory(void **state) {
    (void)state;
    script.uploads = 1;
    char file[300];
    snprintf(file, sizeof file, "%s\n%ld\n", address, (long)getpid());
    lines_write(&test_journal, "consumer", slice_of(file));
    pid_t pid = START("status", "--json", "--journal", test_journal.dir);
    bind_router();
    assert_int_equal(serve_until_end(pid), 0);
    assert_int_equal(strncmp(command_out, "{\"event\":\"consumer\",\"pid\":4711,", 30), 0);
    assert_non_null(strstr(command_out, "\n{\"event\":\"uploader\",\"worker\":\"host/12\",\"slots\":8,"));
    assert_non_null(strstr(command_out, "\n{\"event\":\"upload\",\"upload\":\"01000000000000000000000000000000\","));
}

static void test_status_of_a_consumer_that_hangs(void **state) {
    (void)state;
    script.silent = true;
    uint64_t begun = clock_ms();
    pid_t pid = START("status", "--consumer", address);
    bind_router();
    assert_int_equal(serve_until_end(pid), 3);
    assert_true(clock_ms() - begun < 10000);
    assert_non_null(strstr(command_err, "no consumer answers there"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
UNIT_MAIN(TEST(test_tail_prints_the_last_lines), TEST(test_tail_of_a_short_journal), TEST(test_tail_follows),
          TEST(test_tail_where_old_records_are_gone), TEST(test_tail_is_refused), TEST(test_status_is_refused),
          TEST(test_status_shows_all_pages), TEST(test_status_json_of_a_directory),
          TEST(test_status_of_a_consumer_that_hangs))
