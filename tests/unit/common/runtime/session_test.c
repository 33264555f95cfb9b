/* The client's side of a conversation, against a small consumer in the same thread that each test controls. */
#include "capture.h"
#include "session_fixture.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static void test_hello_and_welcome(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://hello", 3);
    struct session *s = session_client_new("ipc://hello", NULL);
    assert_false(session_is_connected(s));
    assert_int_equal(session_epoch(s), 0);
    struct msg early = {.type = MSG_TAIL, .tail.filter = TAIL_ALL};
    assert_int_equal(session_send(s, &early, NULL), ERR_AGAIN);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(session_seen.welcomes, 1);
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
    fake_consumer_close(&c);
}

static void test_a_hello_names_this_process(void **state) {
    (void)state;
    struct fake_consumer c;
    struct utsname host;
    uint64_t starttime;
    assert_int_equal(uname(&host), 0);
    assert_int_equal(process_starttime(getpid(), &starttime), 0);
    fake_consumer_open(&c, "ipc://process", 1);
    struct session *s = session_client_new("ipc://process", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_string_equal(c.hello_host, host.nodename);
    assert_string_equal(c.hello_boot, boot_id());
    assert_string_equal(c.hello_software, "chunklift " CHUNKLIFT_VERSION);
    assert_int_equal(c.hello_pid, getpid());
    assert_true(c.hello_starttime == starttime);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "fills in journal, sender and a fresh number" */
static void test_questions_are_numbered(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://numbers", 1);
    struct session *s = session_client_new("ipc://numbers", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    uint64_t first = session_ask(s);
    TURN_UNTIL(s, &c, session_seen.records == 1);
    assert_int_equal(session_seen.number, first);
    uint64_t second = session_ask(s);
    assert_true(second > first);
    TURN_UNTIL(s, &c, session_seen.records == 2);
    assert_int_equal(session_seen.number, second);
    assert_int_equal(c.hellos, 1);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "HELLO is sent on connect and again until WELCOME" */
static void test_hello_is_repeated(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://repeat", 1);
    c.greets = false;
    struct session *s = session_client_new("ipc://repeat", NULL);
    TURN_UNTIL(s, &c, c.hellos == 3);
    assert_false(session_is_connected(s));
    c.greets = true;
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    fake_consumer_close(&c);
}

static void test_a_hello_without_an_answer_is_repeated_after_500_ms(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://half-a-second", 1);
    c.greets = false;
    struct session *s = session_client_new("ipc://half-a-second", NULL);
    uint64_t now, deadline, end = clock_ms() + PATIENCE_MS;
    do { /* until it is connected and has sent the first one */
        now = clock_ms();
        deadline = UINT64_MAX;
        assert_int_equal(session_step(s, now, &deadline), 0);
        assert_true(now < end);
    } while (deadline != now + 500);
    deadline = UINT64_MAX;
    assert_int_equal(session_step(s, now + 499, &deadline), 0);
    assert_int_equal(deadline - now, 500);
    deadline = UINT64_MAX;
    assert_int_equal(session_step(s, now + 500, &deadline), 0);
    assert_int_equal(deadline - now, 1000);
    session_destroy(&s);
    fake_consumer_close(&c);
}

static void test_the_directory_is_read_again_at_the_deadline(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://deadline", 1);
    assert_int_equal(mkdir("deadline-dir", 0700), 0);
    struct session *s = session_client_new(NULL, "deadline-dir");
    uint64_t now = clock_ms() + 90000, deadline = UINT64_MAX;
    assert_int_equal(session_step(s, now, &deadline), 0);
    assert_int_equal(deadline - now, 100);
    consumer_file_put("deadline-dir", "ipc://deadline");
    assert_int_equal(session_step(s, now + 99, &deadline), 0);
    assert_null(session_endpoint(s));
    assert_int_equal(session_step(s, now + 100, &deadline), 0);
    assert_non_null(session_endpoint(s));
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "One HELLO is enough for all errors about messages that were sent before it." */
static void test_only_a_later_complaint_is_answered_with_a_hello(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://complaint", 1);
    struct session *s = session_client_new("ipc://complaint", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_consumer_error(&c, PROTOCOL_HELLO_FIRST, c.hello_number);
    session_ask(s);
    TURN_UNTIL(s, &c, session_seen.records == 1);
    assert_int_equal(c.hellos, 1);
    fake_consumer_error(&c, PROTOCOL_HELLO_FIRST, 0); /* about no message in particular */
    TURN_UNTIL(s, &c, c.hellos == 2);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_consumer_error(&c, PROTOCOL_HELLO_FIRST, c.hello_number + 1);
    TURN_UNTIL(s, &c, c.hellos == 3);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "Succeeds without a consumer: it is looked for in session_step" */
static void test_consumer_that_comes_later(void **state) {
    (void)state;
    struct fake_consumer c;
    struct session *s = session_client_new("ipc://later", NULL);
    for (int i = 0; i < 20; i++)
        session_and_consumer_turn(s, NULL);
    fake_consumer_open(&c, "ipc://later", 1);
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* It connects to a consumer that is there, and says nothing before session_step. */
static void test_an_opened_session_connects_in_silence(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://opened", 1);
    assert_int_equal(mkdir("opened-dir", 0700), 0);
    struct session *s = session_client_new(NULL, "opened-dir");
    assert_int_equal(session_open(s), 0); /* without a consumer */
    assert_null(session_endpoint(s));
    consumer_file_put("opened-dir", "ipc://opened");
    assert_int_equal(session_open(s), 0);
    struct wait_item item = {.endpoint = session_endpoint(s), .want = ENDPOINT_OUT};
    assert_non_null(item.endpoint);
    assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    assert_true(item.ready & ENDPOINT_OUT); /* the connection is made */
    fake_consumer_turn(&c);
    assert_int_equal(c.hellos, 0);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(c.hellos, 1);
    session_destroy(&s);
    fake_consumer_close(&c);
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
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://bye", 1);
    struct session *s = session_client_new("ipc://bye", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    session_destroy(&s);
    uint64_t end = clock_ms() + PATIENCE_MS;
    while (c.byes == 0 && clock_ms() < end) {
        struct wait_item item = {.endpoint = c.router, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, 1000), 0);
        fake_consumer_turn(&c);
    }
    assert_int_equal(c.byes, 1);
    fake_consumer_close(&c);
}

/* A consumer that restarted on the same endpoint: HELLO_FIRST is answered inside, the caller sees a new epoch. */
static void test_hello_first_after_a_restart(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://restart", 1);
    struct session *s = session_client_new("ipc://restart", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    c.knows = false;
    c.greets = false;
    c.epoch = 2;
    int hellos = c.hellos;
    for (int i = 0; i < 5; i++)
        session_ask(s);
    TURN_UNTIL(s, &c, !session_is_connected(s));
    TURN_UNTIL(s, &c, c.hellos > hellos);
    assert_int_equal(session_seen.errors, 0); /* handled inside */
    assert_true(id_equal(&c.hello_journal, &c.journal));
    c.greets = true;
    c.knows = true;
    fake_consumer_welcome(&c, c.hello_number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(session_epoch(s), 2);
    assert_int_equal(session_seen.welcomes, 2);
    session_ask(s); /* when this arrives, so has every HELLO before it */
    TURN_UNTIL(s, &c, session_seen.records == 1);
    assert_true(c.hellos - hellos < 5); /* not one for each complaint */
    session_destroy(&s);
    fake_consumer_close(&c);
}

static void test_other_errors_are_handed_up(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://errors", 1);
    struct session *s = session_client_new("ipc://errors", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_consumer_error(&c, PROTOCOL_STOPPING, 0);
    TURN_UNTIL(s, &c, session_seen.errors == 1);
    assert_int_equal(session_seen.code, PROTOCOL_STOPPING);
    struct msg m = {.type = MSG_ERROR, .error.code = PROTOCOL_JOURNAL}; /* comes from another journal by its nature */
    memset(m.journal.b, 0x99, sizeof m.journal.b);
    fake_consumer_say(&c, &m);
    TURN_UNTIL(s, &c, session_seen.errors == 2);
    assert_int_equal(session_seen.code, PROTOCOL_JOURNAL);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "Garbage and answers of another journal are dropped and counted." */
static void test_wrong_journal_and_garbage_are_dropped(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://wrong", 1);
    struct session *s = session_client_new("ipc://wrong", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    struct id128 right = c.journal;
    memset(c.journal.b, 0x99, sizeof c.journal.b);
    fake_consumer_records(&c, 1);
    fake_consumer_welcome(&c, 1000);
    assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_of("garbage")), 0);
    assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_make("\x91\x02", 2)), 0);
    TURN_UNTIL(s, &c, session_dropped(s) == 4);
    assert_int_equal(session_seen.records, 0);
    assert_int_equal(session_seen.welcomes, 1);
    assert_true(id_equal(session_journal(s), &right));
    c.journal = right;
    session_ask(s);
    TURN_UNTIL(s, &c, session_seen.records == 1);
    session_destroy(&s);
    fake_consumer_close(&c);
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
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://logged", 1);
    struct session *s = session_client_new("ipc://logged", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    memset(c.journal.b, 0x99, sizeof c.journal.b);
    capture_begin(&said, STDERR_FILENO);
    for (int i = 0; i < 3; i++) {
        fake_consumer_records(&c, 1);
        assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_of("garbage")), 0);
        assert_int_equal(endpoint_send(c.router, c.peer, c.peer_len, slice_make("\x91\x02", 2)), 0);
    }
    TURN_UNTIL(s, &c, session_dropped(s) == 9);
    capture_end(&said);
    assert_int_equal(times_logged(said.text, "ipc://logged: it serves another journal now"), 1);
    assert_int_equal(times_logged(said.text, "ipc://logged: it speaks another version of the protocol"), 1);
    assert_int_equal(times_logged(said.text, "\n"), 2);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* A WELCOME without a journal says nothing, and messages before the first WELCOME are of no known journal. */
static void test_the_journal_is_that_of_the_first_welcome(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://first-journal", 1);
    c.greets = false;
    struct session *s = session_client_new("ipc://first-journal", NULL);
    TURN_UNTIL(s, &c, c.hellos == 1);
    struct id128 right = c.journal;
    memset(c.journal.b, 0, sizeof c.journal.b);
    fake_consumer_welcome(&c, c.hello_number);
    c.journal = right;
    fake_consumer_records(&c, 1);
    TURN_UNTIL(s, &c, session_dropped(s) == 2);
    assert_false(session_is_connected(s));
    assert_int_equal(session_seen.records + session_seen.welcomes, 0);
    fake_consumer_welcome(&c, c.hello_number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_true(id_equal(session_journal(s), &right));
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* Silence turns session_is_connected false, HELLO probes follow, and only the first WELCOME of several is news. */
static void test_silence_and_back(void **state) {
    (void)state;
    struct fake_consumer c;
    fake_consumer_open(&c, "ipc://silence", 1);
    struct session *s = session_client_new("ipc://silence", NULL);
    TURN_UNTIL(s, &c, session_is_connected(s));
    c.greets = c.echoes = false;
    int hellos = c.hellos;
    TURN_UNTIL(s, &c, !session_is_connected(s));
    assert_true(session_silence_ms(s, clock_ms()) >= 3000);
    TURN_UNTIL(s, &c, c.hellos >= hellos + 2);
    for (uint64_t number = 1; number <= c.hello_number; number++) /* it was stuck, and answers them all */
        fake_consumer_welcome(&c, number);
    TURN_UNTIL(s, &c, session_is_connected(s));
    fake_consumer_records(&c, 0);
    TURN_UNTIL(s, &c, session_seen.records == 1);
    assert_int_equal(session_seen.welcomes, 2);
    session_destroy(&s);
    fake_consumer_close(&c);
}

/* "in the file `consumer` of a journal directory"; the consumer moves to another endpoint. */
static void test_consumer_moves(void **state) {
    (void)state;
    struct fake_consumer c, next;
    assert_int_equal(mkdir("journal", 0700), 0);
    struct session *s = session_client_new(NULL, "journal");
    for (int i = 0; i < 3; i++) /* no file yet */
        session_and_consumer_turn(s, NULL);
    assert_null(session_endpoint(s));
    fake_consumer_open(&c, "ipc://first", 1);
    consumer_file_put("journal", "ipc://first");
    TURN_UNTIL(s, &c, session_is_connected(s));
    struct id128 incarnation = *session_incarnation(s);
    fake_consumer_close(&c); /* killed: its file stays for a while */
    for (int i = 0; i < 5; i++)
        session_and_consumer_turn(s, NULL);
    fake_consumer_open(&next, "ipc://second", 2);
    consumer_file_put("journal", "ipc://second");
    TURN_UNTIL(s, &next, session_epoch(s) == 2);
    assert_true(session_is_connected(s));
    assert_string_equal(endpoint_address(session_endpoint(s)), "ipc://second");
    assert_true(id_equal(&next.sender, &incarnation)); /* the same process */
    session_ask(s);
    TURN_UNTIL(s, &next, session_seen.records == 1);
    session_destroy(&s);
    fake_consumer_close(&next);
}

/* A file left by a killed consumer leads nowhere; its successor's is followed. An unusable one changes nothing. */
static void test_stale_and_unusable_files(void **state) {
    (void)state;
    struct fake_consumer c;
    assert_int_equal(mkdir("stale", 0700), 0);
    consumer_file_put("stale", "ipc://dead");
    struct session *s = session_client_new(NULL, "stale");
    for (int i = 0; i < 20; i++)
        session_and_consumer_turn(s, NULL);
    assert_false(session_is_connected(s));
    consumer_file_put("stale", "tcp://127.0.0.1:99999");
    for (int i = 0; i < 20; i++)
        session_and_consumer_turn(s, NULL);
    fake_consumer_open(&c, "ipc://alive", 5);
    consumer_file_put("stale", "ipc://alive");
    TURN_UNTIL(s, &c, session_is_connected(s));
    assert_int_equal(session_epoch(s), 5);
    session_destroy(&s);
    fake_consumer_close(&c);
}

static void test_unusable_endpoint_is_an_error(void **state) {
    (void)state;
    struct session *s = session_client_new("nonsense", NULL);
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

UNIT_MAIN(TEST(test_hello_and_welcome), TEST(test_a_hello_without_an_answer_is_repeated_after_500_ms),
          TEST(test_the_directory_is_read_again_at_the_deadline),
          TEST(test_only_a_later_complaint_is_answered_with_a_hello), TEST(test_a_hello_names_this_process),
          TEST(test_questions_are_numbered), TEST(test_hello_is_repeated), TEST(test_consumer_that_comes_later),
          TEST(test_a_consumer_that_starts_is_found_soon), TEST(test_an_opened_session_connects_in_silence),
          TEST(test_bye_leaves), TEST(test_hello_first_after_a_restart), TEST(test_other_errors_are_handed_up),
          TEST(test_wrong_journal_and_garbage_are_dropped), TEST(test_wrong_journal_and_version_are_logged_once),
          TEST(test_the_journal_is_that_of_the_first_welcome), TEST(test_silence_and_back), TEST(test_consumer_moves),
          TEST(test_stale_and_unusable_files), TEST(test_unusable_endpoint_is_an_error))
