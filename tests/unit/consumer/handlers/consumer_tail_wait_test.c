/* TAIL: news for a waiting peer, the time of its wait, and the bounds of one reply. */
#include "capture.h"
#include "consumer_world.h"
#include "files.h"
#include <sys/stat.h>

#define S3 "s3://bucket/key"

static const struct id128 none;

static void join_peers(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
    world_advance(200); /* the producer knows of the uploader */
    world_tail('P', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, none);
    world_tail('R', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_ALL, none);
    world.now += 100;
}

/* A TAIL that waits for a second from the end of journal and events. */
static uint64_t waits(char peer, enum tail_filter filter) {
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){
        .seq = journal_seq(world.c->journal) + 1, .event = world.c->events.next, .filter = filter, .wait_ms = 1000};
    uint64_t number = world_deliver(peer, &m);
    assert_int_not_equal(world_last(peer, MSG_RECORDS)->number, number);
    return number;
}

static bool is_answered(char peer, uint64_t number) {
    return world_last(peer, MSG_RECORDS)->number == number;
}

static void append_fail(uint64_t producers) {
    struct record r = {.ev = EV_FAIL,
                       .has = HAS_UPLOAD | HAS_SRC | HAS_DEST,
                       .upload = {{9}},
                       .src = slice_of("/src"),
                       .dest = slice_of(S3),
                       .class = slice_of("source"),
                       .error = slice_of("gone")};
    assert_int_equal(ledger_append(world.c, &r, producers), 0);
}

static void publish(uint64_t producers, const char *detail) {
    struct event e = {.ref = {.kind = JOB_CHUNK, .upload = {{1}}}, .kind = EVENT_DENIED, .detail = slice_of(detail)};
    reply_event(world.c, &e, producers);
}

/* ---- news ---- */

static void test_one_record_is_news(void **state) {
    (void)state;
    join_peers();
    uint64_t reader = waits('R', TAIL_ALL), producer = waits('P', TAIL_MINE);
    append_fail(1);
    world_advance(100);
    assert_true(is_answered('R', reader));
    assert_true(is_answered('P', producer));
    assert_int_equal(world_last('R', MSG_RECORDS)->records.line_count, 1);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.line_count, 1);
}

static void test_one_event_is_news(void **state) {
    (void)state;
    join_peers();
    uint64_t reader = waits('R', TAIL_ALL), producer = waits('P', TAIL_MINE);
    publish(1, "");
    world_advance(100);
    assert_true(is_answered('R', reader));
    assert_true(is_answered('P', producer));
    assert_int_equal(world_last('R', MSG_RECORDS)->records.event_count, 1);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.event_count, 1);
}

static void test_what_concerns_another_producer_is_no_news(void **state) {
    (void)state;
    join_peers();
    uint64_t reader = waits('R', TAIL_ALL), producer = waits('P', TAIL_MINE);
    append_fail(2);
    publish(2, "");
    world_advance(100);
    assert_true(is_answered('R', reader));
    assert_false(is_answered('P', producer));
    world_advance(900);
    assert_true(is_answered('P', producer));
    assert_int_equal(world_last('P', MSG_RECORDS)->records.line_count, 0);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.event_count, 0);
}

static void test_a_pause_of_the_process_moves_the_wait(void **state) {
    (void)state;
    join_peers();
    uint64_t number = waits('R', TAIL_ALL);
    consumer_extend_leases(world.c, 5000);
    world_advance(5999);
    assert_false(is_answered('R', number));
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 1);
    world_advance(1);
    assert_true(is_answered('R', number));
}

static void test_no_wait_is_longer_than_two_seconds(void **state) {
    (void)state;
    join_peers();
    struct msg m = {.type = MSG_TAIL, .tail = {.filter = TAIL_ALL, .wait_ms = 60000}};
    m.tail.seq = journal_seq(world.c->journal) + 1;
    m.tail.event = world.c->events.next;
    uint64_t number = world_deliver('R', &m);
    world_advance(1999);
    assert_false(is_answered('R', number));
    world_advance(1);
    assert_true(is_answered('R', number));
}

/* ---- pages ---- */

static const struct msg_records *events_from(char peer, uint64_t event) {
    enum tail_filter filter = peer == 'P' ? TAIL_MINE : TAIL_ALL;
    return world_tail(peer, journal_seq(world.c->journal) + 1, event, filter, none);
}

static void test_a_reply_has_a_thousand_events(void **state) {
    (void)state;
    join_peers();
    uint64_t event = world.c->events.next;
    for (unsigned i = 0; i < 1025; i++)
        publish(1, "");
    for (const char *peer = "RP"; *peer; peer++) {
        const struct msg_records *m = events_from(*peer, event);
        assert_int_equal(m->event_count, 1024);
        assert_int_equal(m->event_next, event + 1024);
        m = events_from(*peer, event + 1024);
        assert_int_equal(m->event_count, 1);
        assert_int_equal(m->event_next, event + 1025);
        assert_false(m->resync);
    }
}

static void test_events_with_long_texts_come_in_pages(void **state) {
    (void)state;
    join_peers();
    uint64_t event = world.c->events.next;
    char text[1001];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (unsigned i = 0; i < 300; i++)
        publish(1, text);
    const struct msg_records *m = events_from('R', event);
    assert_in_range(m->event_count, 200, 262);
    assert_int_equal(m->event_next, event + m->event_count);
    assert_int_equal(m->events[0].detail.len, 1000);
    consumer_set_short_replies(world.c, true);
    assert_in_range(events_from('R', event)->event_count, 10, 14);
}

static void test_a_reader_without_a_valid_cursor_goes_on_with_what_is_there(void **state) {
    (void)state;
    join_peers();
    publish(1, "");
    const struct msg_records *m = events_from('R', 1); /* of an earlier epoch */
    assert_false(m->resync);
    assert_int_equal(m->event_count, world.c->events.next - world.c->events.first);
    m = events_from('R', world.c->events.next + 1);
    assert_false(m->resync);
    assert_int_equal(m->event_count, 0);
    assert_int_equal(m->event_next, world.c->events.next);
}

static void test_a_reader_gets_the_last_record(void **state) {
    (void)state;
    join_peers();
    uint64_t head = journal_seq(world.c->journal);
    assert_int_equal(world_tail('R', head, world.c->events.next, TAIL_ALL, none)->line_count, 1);
    const struct msg_records *m = world_tail('R', head + 1, world.c->events.next, TAIL_ALL, none);
    assert_int_equal(m->line_count, 0);
    assert_int_equal(m->next, head + 1);
}

static void test_records_that_cannot_be_read_are_skipped_by_a_resync(void **state) {
    (void)state;
    world_kill();
    world.o.rotate_bytes = 2000;
    world_start();
    join_peers();
    while (journal_rotations(world.c->journal) == 0)
        append_fail(1);
    assert_int_equal(ledger_flush(world.c), 0);
    assert_false(world_tail('R', 1, world.c->events.next, TAIL_ALL, none)->resync);
    assert_int_equal(unlink(dir_find(JOURNAL_DIR, "journal.0")), 0);
    const struct msg_records *m = world_tail('R', 1, world.c->events.next, TAIL_ALL, none);
    assert_true(m->resync);
    assert_int_equal(m->line_count, 0);
    assert_int_equal(m->next, 1);
    world_tail('P', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE,
               none); /* it serves the others */
}

/* Six peers of this role ask in one round. Returns how many are answered by it. */
static size_t answered_in_a_round(enum role role, uint64_t seq) {
    static const char peers[] = "abcdef";
    struct buf frames[6];
    size_t count = 0;
    for (size_t i = 0; i < 6; i++)
        world_hello(peers[i], role);
    world.now += 100;
    for (size_t i = 0; i < 6; i++) {
        struct msg m = {.type = MSG_TAIL, .sender = world_incarnation(peers[i]), .number = 500, .tail = {.seq = seq}};
        m.tail.filter = role == ROLE_PRODUCER ? TAIL_MINE : TAIL_ALL;
        frames[i] = (struct buf)BUF_INIT;
        assert_int_equal(msg_encode(&m, &frames[i]), 0);
        struct frame f = {.data = buf_slice(&frames[i]), .peer = {(uint8_t)peers[i]}, .peer_len = 1};
        assert_int_equal(consumer_take(world.c, &f, world.now), 0);
    }
    world_advance(0);
    for (size_t i = 0; i < 6; i++) {
        count += world_last(peers[i], MSG_RECORDS) != NULL;
        buf_release(&frames[i]);
    }
    return count;
}

/* Reading from the disk takes time in which leases are not renewed. */
static void test_a_round_reads_the_disk_for_four_peers(void **state) {
    (void)state;
    assert_int_equal(answered_in_a_round(ROLE_READER, 1), 4);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now);
    world_advance(0);
    for (const char *peer = "abcdef"; *peer; peer++)
        assert_non_null(world_last(*peer, MSG_RECORDS));
    assert_true(consumer_deadline_ms(world.c, world.now) > world.now);
}

static void test_records_in_memory_are_read_for_all_peers(void **state) {
    (void)state;
    assert_int_equal(answered_in_a_round(ROLE_PRODUCER, 1), 6);
}

static void test_a_peer_that_has_all_records_needs_no_disk(void **state) {
    (void)state;
    assert_int_equal(answered_in_a_round(ROLE_READER, journal_seq(world.c->journal) + 1), 6);
}

/* ---- cursors that are gone ---- */

/* A TAIL of 'P' that may wait for a second is answered at once, by a resync. */
static void assert_answered_at_once(uint64_t seq, uint64_t event) {
    struct msg m = {.type = MSG_TAIL, .tail = {.seq = seq, .event = event, .filter = TAIL_MINE, .wait_ms = 1000}};
    world.now += 100;
    world_deliver('P', &m);
    assert_true(world_answer('P', MSG_RECORDS)->records.resync);
}

static void test_a_cursor_that_is_gone_is_answered_at_once(void **state) {
    (void)state;
    publish(1, "");
    append_fail(1);
    assert_int_equal(ledger_flush(world.c), 0);
    join_peers();
    uint64_t seq = journal_seq(world.c->journal) + 1, event = world.c->events.next;
    assert_answered_at_once(seq - 1, event);
    assert_answered_at_once(seq, event - 1);
    assert_answered_at_once(seq, event + 1);
    waits('P', TAIL_MINE);
}

static void test_records_that_are_no_longer_in_memory_are_a_resync(void **state) {
    (void)state;
    join_peers();
    append_fail(1);
    uint64_t seq = journal_seq(world.c->journal) + 1;
    assert_int_equal(ledger_flush(world.c), 0);
    assert_false(world_tail('P', seq, world.c->events.next, TAIL_MINE, none)->resync);
    char *line = calloc(1, RECENT_BYTES_MAX - 1);
    assert_non_null(line);
    recent_add(&world.c->recent, seq + 1, 1, slice_make(line, RECENT_BYTES_MAX - 1)); /* no other one has room */
    free(line);
    const struct msg_records *m = world_tail('P', seq, world.c->events.next, TAIL_MINE, none);
    assert_true(m->resync);
    assert_int_equal(m->line_count, 0);
}

static const char *log_of_reading(void) {
    static struct capture c;
    capture_begin(&c, STDERR_FILENO);
    world_tail('R', 1, world.c->events.next, TAIL_ALL, none);
    return capture_end(&c);
}

/* `journal export` may have removed the file. */
static void test_records_are_missed_in_the_log_when_their_file_is_there(void **state) {
    (void)state;
    char path[300];
    world_kill();
    world.o.rotate_bytes = 2000;
    world_start();
    join_peers();
    while (journal_rotations(world.c->journal) == 0)
        append_fail(1);
    assert_int_equal(ledger_flush(world.c), 0);
    snprintf(path, sizeof path, "%s", dir_find(JOURNAL_DIR, "journal.0"));
    assert_int_equal(unlink(path), 0);
    assert_string_equal(log_of_reading(), "");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_non_null(strstr(log_of_reading(), "records from seq 1 on cannot be read"));
}

/* 14 KiB are 49 events with 128 bytes and a text of 160 each: 49 × 288 = 14,112 bytes. */
static void test_a_short_list_of_events_is_full(void **state) {
    (void)state;
    char text[161];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    join_peers();
    uint64_t event = world.c->events.next;
    for (unsigned i = 0; i < 100; i++)
        publish(1, text);
    consumer_set_short_replies(world.c, true);
    assert_int_equal(events_from('R', event)->event_count, 49);
}

UNIT_MAIN(WORLD_TEST(test_one_record_is_news), WORLD_TEST(test_one_event_is_news),
          WORLD_TEST(test_what_concerns_another_producer_is_no_news),
          WORLD_TEST(test_a_pause_of_the_process_moves_the_wait), WORLD_TEST(test_no_wait_is_longer_than_two_seconds),
          WORLD_TEST(test_a_reply_has_a_thousand_events), WORLD_TEST(test_events_with_long_texts_come_in_pages),
          WORLD_TEST(test_a_reader_without_a_valid_cursor_goes_on_with_what_is_there),
          WORLD_TEST(test_a_reader_gets_the_last_record),
          WORLD_TEST(test_records_that_cannot_be_read_are_skipped_by_a_resync),
          WORLD_TEST(test_a_round_reads_the_disk_for_four_peers),
          WORLD_TEST(test_a_cursor_that_is_gone_is_answered_at_once),
          WORLD_TEST(test_records_that_are_no_longer_in_memory_are_a_resync),
          WORLD_TEST(test_records_are_missed_in_the_log_when_their_file_is_there),
          WORLD_TEST(test_a_short_list_of_events_is_full), WORLD_TEST(test_records_in_memory_are_read_for_all_peers),
          WORLD_TEST(test_a_peer_that_has_all_records_needs_no_disk))
