/* The client's side of a conversation, against a small consumer in the same thread that each test controls. */
#include "capture.h"
#include "runtime/session.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "unit.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct fake { /* a consumer */
    struct endpoint *router;
    struct frame frame;
    struct id128 journal, id;
    uint64_t epoch;
    bool greets; /* answers HELLO */
    bool knows;  /* got HELLO; before it everything is answered HELLO_FIRST */
    bool echoes; /* answers TAIL with RECORDS */
    int hellos, tails, byes;
    uint64_t hello_number, tail_number;
    struct id128 sender, hello_journal;
    uint8_t peer[16];
    size_t peer_len;
    char hello_host[256], hello_jobs[64], hello_allow[64], hello_boot[64], hello_software[64];
    uint64_t hello_slots, hello_pid, hello_starttime;
};

static void fake_open(struct fake *c, const char *address, uint64_t epoch) {
    memset(c, 0, sizeof *c);
    memset(c->journal.b, 0x4a, sizeof c->journal.b);
    memset(c->id.b, 0xc0, sizeof c->id.b);
    c->epoch = epoch;
    c->greets = c->echoes = true;
    assert_int_equal(endpoint_open(&c->router, ENDPOINT_ROUTER, address), 0);
}

static void fake_close(struct fake *c) {
    endpoint_close(&c->router);
    frame_release(&c->frame);
}

static void fake_say(struct fake *c, struct msg *m) {
    struct buf out = BUF_INIT;
    m->sender = c->id;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(c->router, c->peer, c->peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void fake_welcome(struct fake *c, uint64_t number) {
    struct msg m = {.type = MSG_WELCOME, .journal = c->journal, .number = number};
    m.welcome.epoch = c->epoch;
    m.welcome.lease_ms = 10000;
    m.welcome.seq = 41;
    m.welcome.event = 7;
    fake_say(c, &m);
}

static void fake_error(struct fake *c, enum protocol_error code, uint64_t number) {
    struct msg m = {.type = MSG_ERROR, .journal = c->journal, .number = number, .error.code = code};
    fake_say(c, &m);
}

static void fake_records(struct fake *c, uint64_t number) {
    struct msg m = {.type = MSG_RECORDS, .journal = c->journal, .number = number, .records.epoch = c->epoch};
    fake_say(c, &m);
}

static void keep_text(char *out, size_t size, struct slice text) {
    snprintf(out, size, "%.*s", (int)text.len, text.len ? text.ptr : "");
}

static void fake_hello(struct fake *c, const struct msg *m) {
    c->hellos++;
    c->hello_number = m->number;
    c->hello_journal = m->journal;
    c->hello_slots = m->hello.slots;
    c->hello_pid = m->hello.pid;
    c->hello_starttime = m->hello.starttime;
    keep_text(c->hello_boot, sizeof c->hello_boot, m->hello.boot);
    keep_text(c->hello_software, sizeof c->hello_software, m->hello.software);
    keep_text(c->hello_host, sizeof c->hello_host, m->hello.host);
    keep_text(c->hello_jobs, sizeof c->hello_jobs, m->hello.jobs);
    keep_text(c->hello_allow, sizeof c->hello_allow, m->hello.allow_count ? m->hello.allow[0] : slice_of(""));
    if (c->greets) {
        c->knows = true;
        fake_welcome(c, m->number);
    }
}

static void fake_turn(struct fake *c) {
    struct msg m;
    while (endpoint_recv(c->router, &c->frame) == 0) {
        memcpy(c->peer, c->frame.peer, sizeof c->peer);
        c->peer_len = c->frame.peer_len;
        assert_int_equal(msg_decode(c->frame.data, &m), 0);
        c->sender = m.sender;
        if (m.type == MSG_HELLO) {
            fake_hello(c, &m);
        } else if (!c->knows) {
            fake_error(c, PROTOCOL_HELLO_FIRST, m.number);
        } else if (m.type == MSG_TAIL) {
            c->tails++;
            c->tail_number = m.number;
            if (c->echoes)
                fake_records(c, m.number);
        } else if (m.type == MSG_BYE) {
            c->byes++;
        }
        msg_release(&m);
    }
}

/* The messages that the session returned since the last look of the test. */
static struct {
    int welcomes, records, errors;
    uint64_t number;
    enum protocol_error code;
} seen;

static void client_turn(struct session *s) {
    uint64_t now = clock_ms(), deadline = now + PATIENCE_MS;
    assert_int_equal(session_step(s, now, &deadline), 0);
    struct msg *m;
    while (session_recv(s, &m) == 0) {
        seen.number = m->number;
        seen.welcomes += m->type == MSG_WELCOME;
        seen.records += m->type == MSG_RECORDS;
        seen.errors += m->type == MSG_ERROR;
        if (m->type == MSG_ERROR)
            seen.code = m->error.code;
    }
}

/* Sleeps until something arrives or the session wants to be called; then one turn of both. */
static void turn(struct session *s, struct fake *c) {
    uint64_t now = clock_ms(), deadline = now + 1000;
    assert_int_equal(session_step(s, now, &deadline), 0);
    struct wait_item items[2];
    size_t count = 0;
    if (session_endpoint(s))
        items[count++] = (struct wait_item){.endpoint = session_endpoint(s), .want = ENDPOINT_IN};
    if (c)
        items[count++] = (struct wait_item){.endpoint = c->router, .want = ENDPOINT_IN};
    assert_int_equal(endpoint_wait(items, count, deadline > now ? (int)(deadline - now) : 0), 0);
    client_turn(s);
    if (c)
        fake_turn(c);
}

#define TURN_UNTIL(s, c, condition)                                                                                    \
    do {                                                                                                               \
        uint64_t end_ = clock_ms() + PATIENCE_MS;                                                                      \
        while (!(condition) && clock_ms() < end_)                                                                      \
            turn(s, c);                                                                                                \
        assert_true(condition);                                                                                        \
    } while (0)

static struct session *client(const char *consumer, const char *dir) {
    static const char *const allow[] = {"s3://bucket/prefix", "file:///data"};
    struct session_options o = {.role = ROLE_UPLOADER,
                                .consumer = consumer,
                                .journal_dir = dir,
                                .slots = 8,
                                .jobs = "ipc:///jobs",
                                .allow = allow,
                                .allow_count = 2};
    struct session *s;
    memset(&seen, 0, sizeof seen);
    assert_int_equal(session_new(&s, &o), 0);
    return s;
}

static uint64_t ask(struct session *s) {
    struct msg m = {.type = MSG_TAIL, .tail = {.filter = TAIL_ALL, .wait_ms = 1000}};
    uint64_t number = 0;
    assert_int_equal(session_send(s, &m, &number), 0);
    return number;
}

static void write_consumer_file(const char *dir, const char *endpoint) {
    struct consumer_file f = {.pid = getpid()};
    snprintf(f.endpoint, sizeof f.endpoint, "%s", endpoint);
    assert_int_equal(consumer_file_write(dir, &f), 0);
}

/* ---- tests ---- */

static void test_hello_and_welcome(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://hello", 3);
    struct session *s = client("ipc://hello", NULL);
    assert_false(session_is_connected(s));
    assert_int_equal(session_epoch(s), 0);
    struct msg early = {.type = MSG_TAIL, .tail.filter = TAIL_ALL};
    assert_int_equal(session_send(s, &early, NULL), ERR_AGAIN);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(seen.welcomes, 1);
    assert_int_equal(session_epoch(s), 3);
    assert_int_equal(session_lease_ms(s), 10000);
    assert_int_equal(session_start_seq(s), 42);
    assert_int_equal(session_start_event(s), 7);
    assert_true(id_equal(session_journal(s), &c.journal));
    assert_true(id_equal(session_incarnation(s), &c.sender));
    assert_false(id_is_zero(&c.sender));
    assert_true(id_is_zero(&c.hello_journal)); /* not known yet */
    assert_int_equal(c.hello_slots, 8);
    assert_string_equal(c.hello_jobs, "ipc:///jobs");
    assert_string_equal(c.hello_allow, "s3://bucket/prefix");
    assert_true(c.hello_host[0] != 0);
    session_destroy(&s);
    assert_null(s);
    fake_close(&c);
}

static void test_a_hello_names_this_process(void **state) {
    (void)state;
    struct fake c;
    struct utsname host;
    uint64_t starttime;
    assert_int_equal(uname(&host), 0);
    assert_int_equal(process_starttime(getpid(), &starttime), 0);
    fake_open(&c, "ipc://process", 1);
    struct session *s = client("ipc://process", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_string_equal(c.hello_host, host.nodename);
    assert_string_equal(c.hello_boot, boot_id());
    assert_string_equal(c.hello_software, "chunklift " CHUNKLIFT_VERSION);
    assert_int_equal(c.hello_pid, getpid());
    assert_true(c.hello_starttime == starttime);
    session_destroy(&s);
    fake_close(&c);
}

/* "fills in journal, sender and a fresh number" */
static void test_questions_are_numbered(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://numbers", 1);
    struct session *s = client("ipc://numbers", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    uint64_t first = ask(s);
    TURN_UNTIL(s, &c, seen.records == 1);
    assert_int_equal(seen.number, first);
    uint64_t second = ask(s);
    assert_true(second > first);
    TURN_UNTIL(s, &c, seen.records == 2);
    assert_int_equal(seen.number, second);
    assert_int_equal(c.hellos, 1);
    session_destroy(&s);
    fake_close(&c);
}

/* "HELLO is sent on connect and again until WELCOME" */
static void test_hello_is_repeated(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://repeat", 1);
    c.greets = false;
    struct session *s = client("ipc://repeat", NULL);
    TURN_UNTIL(s, &c, c.hellos == 3);
    assert_false(session_is_connected(s));
    c.greets = true;
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    fake_close(&c);
}

/* "Succeeds without a consumer: it is looked for in session_step" */
static void test_consumer_that_comes_later(void **state) {
    (void)state;
    struct fake c;
    struct session *s = client("ipc://later", NULL);
    for (int i = 0; i < 20; i++)
        turn(s, NULL);
    fake_open(&c, "ipc://later", 1);
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    fake_close(&c);
}

/* DIR/consumer is looked for within an eighth of the time that has passed, and at least every 100 ms. */
static void test_a_consumer_that_starts_is_found_soon(void **state) {
    (void)state;
    struct session_options o = {.role = ROLE_PRODUCER, .journal_dir = "."};
    struct session *s;
    assert_int_equal(session_new(&s, &o), 0);
    uint64_t began_ms = clock_ms();
    static const uint64_t waits_ms[][2] = {{0, 1}, {80, 11}, {400, 51}, {800, 100}, {90000, 100}};
    for (size_t i = 0; i < sizeof waits_ms / sizeof *waits_ms; i++) {
        uint64_t now = began_ms + waits_ms[i][0], deadline = UINT64_MAX;
        assert_int_equal(session_step(s, now, &deadline), 0);
        assert_in_range(deadline, now + waits_ms[i][1], now + waits_ms[i][1] + 1);
    }
    session_destroy(&s);
}

static void test_bye_leaves(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://bye", 1);
    struct session *s = client("ipc://bye", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    uint64_t end = clock_ms() + PATIENCE_MS;
    while (c.byes == 0 && clock_ms() < end) {
        struct wait_item item = {.endpoint = c.router, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, 1000), 0);
        fake_turn(&c);
    }
    assert_int_equal(c.byes, 1);
    fake_close(&c);
}

/* A consumer that restarted on the same endpoint: HELLO_FIRST is answered inside, the caller sees a new epoch. */
static void test_hello_first_after_a_restart(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://restart", 1);
    struct session *s = client("ipc://restart", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    c.knows = false;
    c.greets = false;
    c.epoch = 2;
    int hellos = c.hellos;
    for (int i = 0; i < 5; i++)
        ask(s);
    TURN_UNTIL(s, &c, !session_is_connected(s));
    TURN_UNTIL(s, &c, c.hellos > hellos);
    assert_int_equal(seen.errors, 0); /* handled inside */
    assert_true(id_equal(&c.hello_journal, &c.journal));
    c.greets = true;
    c.knows = true;
    fake_welcome(&c, c.hello_number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(session_epoch(s), 2);
    assert_int_equal(seen.welcomes, 2);
    ask(s); /* when this arrives, so has every HELLO before it */
    TURN_UNTIL(s, &c, seen.records == 1);
    assert_true(c.hellos - hellos < 5); /* not one for each complaint */
    session_destroy(&s);
    fake_close(&c);
}

static void test_other_errors_are_handed_up(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://errors", 1);
    struct session *s = client("ipc://errors", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_error(&c, PROTOCOL_STOPPING, 0);
    TURN_UNTIL(s, &c, seen.errors == 1);
    assert_int_equal(seen.code, PROTOCOL_STOPPING);
    struct msg m = {.type = MSG_ERROR, .error.code = PROTOCOL_JOURNAL}; /* comes from another journal by its nature */
    memset(m.journal.b, 0x99, sizeof m.journal.b);
    fake_say(&c, &m);
    TURN_UNTIL(s, &c, seen.errors == 2);
    assert_int_equal(seen.code, PROTOCOL_JOURNAL);
    session_destroy(&s);
    fake_close(&c);
}

/* "Garbage and answers of another journal are dropped and counted." */
static void test_wrong_journal_and_garbage_are_dropped(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://wrong", 1);
    struct session *s = client("ipc://wrong", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    struct id128 right = c.journal;
    memset(c.journal.b, 0x99, sizeof c.journal.b);
    fake_records(&c, 1);
    fake_welcome(&c, 1000);
    assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_of("garbage")), 0);
    assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_make("\x91\x02", 2)), 0);
    TURN_UNTIL(s, &c, session_dropped(s) == 4);
    assert_int_equal(seen.records, 0);
    assert_int_equal(seen.welcomes, 1);
    assert_true(id_equal(session_journal(s), &right));
    c.journal = right;
    ask(s);
    TURN_UNTIL(s, &c, seen.records == 1);
    session_destroy(&s);
    fake_close(&c);
}

static size_t times_logged(const char *log, const char *text) {
    size_t count = 0;
    for (; (log = strstr(log, text)); log++)
        count++;
    return count;
}

static void test_wrong_journal_and_version_are_logged_once(void **state) {
    (void)state;
    static struct capture said;
    struct fake c;
    fake_open(&c, "ipc://logged", 1);
    struct session *s = client("ipc://logged", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    memset(c.journal.b, 0x99, sizeof c.journal.b);
    capture_begin(&said, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        fake_records(&c, 1);
        assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_of("garbage")), 0);
        assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_make("\x91\x02", 2)), 0);
    }
    TURN_UNTIL(s, &c, session_dropped(s) == 9);
    capture_end(&said);
    assert_int_equal(times_logged(said.text, "ipc://logged: it serves another journal now"), 1);
    assert_int_equal(times_logged(said.text, "ipc://logged: it speaks another version of the protocol"), 1);
    assert_int_equal(times_logged(said.text, "\n"), 2);
    session_destroy(&s);
    fake_close(&c);
}

/* A WELCOME without a journal says nothing, and messages before the first WELCOME are of no known journal. */
static void test_the_journal_is_that_of_the_first_welcome(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://first-journal", 1);
    c.greets = false;
    struct session *s = client("ipc://first-journal", NULL);
    TURN_UNTIL(s, &c, c.hellos == 1);
    struct id128 right = c.journal;
    memset(c.journal.b, 0, sizeof c.journal.b);
    fake_welcome(&c, c.hello_number);
    c.journal = right;
    fake_records(&c, 1);
    TURN_UNTIL(s, &c, session_dropped(s) == 2);
    assert_false(session_is_connected(s));
    assert_int_equal(seen.records + seen.welcomes, 0);
    fake_welcome(&c, c.hello_number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_true(id_equal(session_journal(s), &right));
    session_destroy(&s);
    fake_close(&c);
}

/* Silence turns session_is_connected false, HELLO probes follow, and only the first WELCOME of several is news. */
static void test_silence_and_back(void **state) {
    (void)state;
    struct fake c;
    fake_open(&c, "ipc://silence", 1);
    struct session *s = client("ipc://silence", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    c.greets = c.echoes = false;
    int hellos = c.hellos;
    TURN_UNTIL(s, &c, !session_is_connected(s));
    assert_true(session_silence_ms(s, clock_ms()) >= 3000);
    TURN_UNTIL(s, &c, c.hellos >= hellos + 2);
    for (uint64_t number = 1; number <= c.hello_number; number++) /* it was stuck, and answers them all */
        fake_welcome(&c, number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_records(&c, 0);
    TURN_UNTIL(s, &c, seen.records == 1);
    assert_int_equal(seen.welcomes, 2);
    session_destroy(&s);
    fake_close(&c);
}

/* "in the file `consumer` of a journal directory"; the consumer moves to another endpoint. */
static void test_consumer_moves(void **state) {
    (void)state;
    struct fake c, next;
    assert_int_equal(mkdir("journal", 0700), 0);
    struct session *s = client(NULL, "journal");
    for (int i = 0; i < 3; i++) /* no file yet */
        turn(s, NULL);
    assert_null(session_endpoint(s));
    fake_open(&c, "ipc://first", 1);
    write_consumer_file("journal", "ipc://first");
    TURN_UNTIL(s, &c, session_is_connected(s));
    struct id128 incarnation = *session_incarnation(s);
    fake_close(&c); /* killed: its file stays for a while */
    for (int i = 0; i < 5; i++)
        turn(s, NULL);
    fake_open(&next, "ipc://second", 2);
    write_consumer_file("journal", "ipc://second");
    TURN_UNTIL(s, &next, session_epoch(s) == 2);
    assert_true(session_is_connected(s));
    assert_string_equal(endpoint_address(session_endpoint(s)), "ipc://second");
    assert_true(id_equal(&next.sender, &incarnation)); /* the same process */
    ask(s);
    TURN_UNTIL(s, &next, seen.records == 1);
    session_destroy(&s);
    fake_close(&next);
}

/* A file left by a killed consumer leads nowhere; its successor's is followed. An unusable one changes nothing. */
static void test_stale_and_unusable_files(void **state) {
    (void)state;
    struct fake c;
    assert_int_equal(mkdir("stale", 0700), 0);
    write_consumer_file("stale", "ipc://dead");
    struct session *s = client(NULL, "stale");
    for (int i = 0; i < 20; i++)
        turn(s, NULL);
    assert_false(session_is_connected(s));
    write_consumer_file("stale", "tcp://127.0.0.1:99999");
    for (int i = 0; i < 20; i++)
        turn(s, NULL);
    fake_open(&c, "ipc://alive", 5);
    write_consumer_file("stale", "ipc://alive");
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(session_epoch(s), 5);
    session_destroy(&s);
    fake_close(&c);
}

static void test_unusable_endpoint_is_an_error(void **state) {
    (void)state;
    struct session *s = client("nonsense", NULL);
    uint64_t deadline = UINT64_MAX;
    assert_int_equal(session_step(s, clock_ms(), &deadline), ERR_USAGE);
    session_destroy(&s);
    session_destroy(&s); /* twice is safe */
}

static int end_context(void **state) {
    (void)state;
    endpoint_shutdown_all();
    return 0;
}

#define TEST(test) cmocka_unit_test_teardown(test, end_context)

UNIT_MAIN(TEST(test_hello_and_welcome), TEST(test_a_hello_names_this_process), TEST(test_questions_are_numbered),
          TEST(test_hello_is_repeated), TEST(test_consumer_that_comes_later),
          TEST(test_a_consumer_that_starts_is_found_soon), TEST(test_bye_leaves),
          TEST(test_hello_first_after_a_restart), TEST(test_other_errors_are_handed_up),
          TEST(test_wrong_journal_and_garbage_are_dropped), TEST(test_wrong_journal_and_version_are_logged_once),
          TEST(test_the_journal_is_that_of_the_first_welcome), TEST(test_silence_and_back), TEST(test_consumer_moves),
          TEST(test_stale_and_unusable_files), TEST(test_unusable_endpoint_is_an_error))
