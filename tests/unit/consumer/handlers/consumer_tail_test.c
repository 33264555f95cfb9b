/* TAIL and RECORDS, and STATUS. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define OTHER "s3://bucket/other"

static const struct id128 none;

static void join_peers(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('Q', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
}

static uint64_t head(void) {
    return journal_seq(world.c->journal);
}

/* ---- filters ---- */

static void test_a_producer_follows_its_own(void **state) {
    (void)state;
    join_peers();
    uint64_t seq = head() + 1, event = world.c->events.next;
    struct id128 mine = world_begun('P', 'U', "/src/a", S3, 2);
    world_begun('Q', 'U', "/src/b", OTHER, 2);
    world_chunk('U', mine, 0);
    const struct msg_records *m = world_tail('P', seq, event, TAIL_MINE, none);
    assert_int_equal(m->line_count, 3);  /* open, begin, chunk */
    assert_int_equal(m->event_count, 2); /* begin and chunk granted */
    assert_int_equal(m->next, head() + 1);
    assert_int_equal(m->event_next, world.c->events.next);
    assert_false(m->resync);
    assert_int_equal(m->head_seq, head());
    assert_true(slice_equal(m->head, slice_of(journal_head(world.c->journal))));
    assert_null(memmem(m->lines.ptr, m->lines.len, "/src/b", 6));
    assert_int_equal(world_tail('Q', seq, event, TAIL_MINE, none)->line_count, 2);
}

static void test_a_reader_follows_all_or_one(void **state) {
    (void)state;
    join_peers();
    struct id128 one = world_begun('P', 'U', "/src/a", S3, 2), two = world_begun('Q', 'U', "/src/b", OTHER, 2);
    world_chunk('U', two, 0);
    const struct msg_records *m = world_tail('R', 1, world.c->events.next, TAIL_ALL, none);
    assert_int_equal(m->line_count, head());
    assert_int_equal(m->next, head() + 1);
    m = world_tail('R', 1, world.c->events.next, TAIL_UPLOAD, one);
    assert_int_equal(m->line_count, 2);
    assert_int_equal(m->next, head() + 1);
    m = world_tail('R', 0, world.c->events.first, TAIL_UPLOAD, two);
    assert_int_equal(m->line_count, 3);
    assert_int_equal(m->event_count, 2);
}

static void test_lines_come_in_pages(void **state) {
    (void)state;
    join_peers();
    uint64_t seq = head() + 1, event = world.c->events.next, all = 1;
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 10);
    for (uint32_t i = 0; i < 10; i++)
        world_chunk('U', id, i);
    unsigned lines = 0, pages = 0;
    while (seq <= head()) {
        struct msg m = {.type = MSG_TAIL};
        m.tail = (struct msg_tail){.seq = seq, .event = event, .filter = TAIL_MINE, .max_records = 5};
        world.now += 100;
        world_deliver('P', &m);
        const struct msg_records *r = &world_answer('P', MSG_RECORDS)->records;
        assert_true(r->line_count <= 5 && r->next > seq);
        lines += r->line_count;
        seq = r->next;
        pages++;
    }
    assert_int_equal(lines, 12);
    assert_int_equal(pages, 3);
    for (lines = 0; all <= head(); lines++) {
        struct msg m = {.type = MSG_TAIL};
        m.tail = (struct msg_tail){.seq = all, .event = event, .filter = TAIL_ALL, .max_records = 1};
        world.now += 100;
        world_deliver('R', &m);
        const struct msg_records *r = &world_answer('R', MSG_RECORDS)->records;
        assert_int_equal(r->line_count, 1);
        assert_int_equal(r->next, all + 1);
        all = r->next;
    }
    assert_int_equal(lines, head());
}

/* ---- cursors that are gone ---- */

static void test_a_cursor_from_before_hello_is_too_old(void **state) {
    (void)state;
    world_hello('U', ROLE_UPLOADER);
    world_hello('P', ROLE_PRODUCER);
    world_begun('P', 'U', "/src/a", S3, 2);
    world_bye('P');
    for (int i = 0; i < PRODUCERS_MAX; i++) { /* until the index of P belongs to another producer */
        world_hello('Q', ROLE_PRODUCER);
        /* 2: still in memory, but of another producer */
        const struct msg_records *m = world_tail('Q', 2, world.c->events.next, TAIL_MINE, none);
        assert_true(m->resync);
        assert_int_equal(m->line_count, 0);
        assert_int_equal(m->next, head() + 1);
        m = world_tail('Q', head() + 1, 0, TAIL_MINE, none);
        assert_true(m->resync);
        assert_int_equal(m->event_count, 0);
        world_bye('Q');
    }
}

static void test_an_event_cursor_of_another_epoch_is_gone(void **state) {
    (void)state;
    join_peers();
    uint64_t event = world.c->events.next;
    world_kill();
    world_start();
    join_peers();
    assert_true(world_tail('P', head() + 1, event, TAIL_MINE, none)->resync);
    assert_true(world_tail('P', head() + 1, world.c->events.next + 5, TAIL_MINE, none)->resync);
    assert_false(world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->resync);
}

static void test_events_too_old_are_gone(void **state) {
    (void)state;
    join_peers();
    struct event e = {.ref = {.kind = JOB_CHUNK, .upload = {{1}}},
                      .kind = EVENT_DENIED,
                      .worker = slice_of("w"),
                      .detail = slice_of("d")};
    uint64_t event = world.c->events.next;
    for (unsigned i = 0; i < EVENTS_MAX; i++)
        reply_event(world.c, &e, 1);
    uint64_t at = event, count = 0;
    while (at < world.c->events.next) {
        const struct msg_records *m = world_tail('P', head() + 1, at, TAIL_MINE, none);
        assert_false(m->resync);
        assert_true(m->event_next > at);
        count += m->event_count;
        at = m->event_next;
        world_clear_sent();
    }
    assert_int_equal(count, EVENTS_MAX);
    reply_event(world.c, &e, 1);
    assert_true(world_tail('P', head() + 1, event, TAIL_MINE, none)->resync);
}

static void test_lines_that_every_producer_has_read_are_forgotten(void **state) {
    (void)state;
    join_peers();
    uint64_t seq = head() + 1, event = world.c->events.next;
    world_begun('P', 'U', "/src/a", S3, 2);
    world_begun('Q', 'U', "/src/b", OTHER, 2);
    uint64_t end = head() + 1;
    world_tail('P', end, event, TAIL_MINE, none);
    assert_true(world.c->recent.complete_from <= seq);
    world_tail('R', end, event, TAIL_ALL, none); /* reads the disk */
    assert_true(world.c->recent.complete_from <= seq);
    assert_int_equal(world_tail('Q', seq, event, TAIL_MINE, none)->line_count, 2);
    world_tail('Q', end, event, TAIL_MINE, none);
    assert_int_equal(world.c->recent.complete_from, end);
    assert_true(world_tail('Q', end - 1, event, TAIL_MINE, none)->resync);
}

static void test_lines_too_old_are_gone(void **state) {
    (void)state;
    struct recent r;
    struct buf out = BUF_INIT;
    char line[3000];
    uint32_t lines;
    uint64_t next;
    memset(line, 'x', sizeof line);
    assert_int_equal(recent_init(&r, 1), 0);
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        memcpy(line, &seq, sizeof seq);
        recent_add(&r, seq, seq % 2 ? 1 : 2, slice_make(line, 200 + seq * 7 % 2000));
    }
    assert_true(r.complete_from > 1 && r.complete_from < 20000);
    uint64_t from = r.complete_from, seen = 0;
    while (from <= 20000) { /* the remaining lines are complete and in order */
        buf_clear(&out);
        assert_int_equal(recent_read(&r, 1, true, from, 20000, 10, 5000, &out, &lines, &next), 0);
        assert_true(next > from);
        size_t at = 0;
        for (uint64_t seq = from | 1; seq < next && seq <= 20000; seq += 2) {
            uint64_t found;
            assert_true(at + sizeof found <= out.len);
            memcpy(&found, out.data + at, sizeof found);
            assert_int_equal(found, seq);
            at += 200 + seq * 7 % 2000;
            seen++;
        }
        assert_int_equal(at, out.len);
        from = next;
    }
    assert_int_equal(seen, (20000 - (r.complete_from | 1)) / 2 + (20000 % 2 == 0));
    recent_release(&r);
    buf_release(&out);
}

/* ---- waiting ---- */

/* Rule 13: without news a waiting peer is answered when its time is over. */
static void test_waiting(void **state) {
    (void)state;
    join_peers();
    world_advance(200); /* a new uploader is news, too */
    struct msg m = {.type = MSG_TAIL};
    world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none);
    m.tail = (struct msg_tail){.seq = head() + 1, .event = world.c->events.next, .filter = TAIL_MINE, .wait_ms = 500};
    uint64_t number = world_deliver('P', &m);
    assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
    world_advance(499);
    assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 1);
    world_advance(1);
    assert_int_equal(world_last('P', MSG_RECORDS)->number, number);
    number = world_deliver('P', &m);
    world_begun('P', 'U', "/src/a", S3, 2); /* news */
    assert_int_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.line_count, 2);
}

/* How long a waiting peer waits for news. */
static uint64_t time_until_news(char peer, enum tail_filter filter, struct ref chunk) {
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){.seq = head() + 1, .event = world.c->events.next, .filter = filter, .wait_ms = 500};
    uint64_t number = world_deliver(peer, &m), began_ms = world.now;
    world_done('U', chunk, "H");
    while (world_last(peer, MSG_RECORDS)->number != number)
        world_advance(1);
    return world.now - began_ms;
}

static void assert_pace(char peer, enum tail_filter filter, uint64_t gap_ms) {
    struct id128 id = world_begun('P', 'U', peer == 'P' ? "/src/a" : "/src/b", peer == 'P' ? S3 : OTHER, 12);
    world_advance(2000);
    world_tail(peer, head() + 1, world.c->events.next, filter, none);
    world_advance(2000); /* the whole burst is there */
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(time_until_news(peer, filter, world_ref(JOB_CHUNK, id, i)), 0);
    for (uint32_t i = 8; i < 12; i++)
        assert_int_equal(time_until_news(peer, filter, world_ref(JOB_CHUNK, id, i)), gap_ms);
}

/* Rule 13: after a burst of eight answers, news reaches a producer every 20 ms and a reader every 50 ms. */
static void test_news_come_in_a_burst_and_then_at_a_pace(void **state) {
    (void)state;
    join_peers();
    assert_pace('P', TAIL_MINE, 20);
    assert_pace('R', TAIL_ALL, 50);
}

/* A peer that never waits does not delay its own news for longer than a burst. */
static void test_answers_without_news_delay_no_more_than_a_burst(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 12);
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){.seq = head() + 1, .event = world.c->events.next, .filter = TAIL_MINE};
    for (int i = 0; i < 100; i++)
        world_deliver('P', &m);
    assert_in_range(time_until_news('P', TAIL_MINE, world_ref(JOB_CHUNK, id, 0)), 1, 20);
}

static void test_a_new_request_replaces_the_old_one(void **state) {
    (void)state;
    join_peers();
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){.seq = head() + 1, .event = world.c->events.next, .filter = TAIL_MINE, .wait_ms = 500};
    uint64_t first = world_deliver('P', &m), second = world_deliver('P', &m);
    size_t before = world.count;
    world_advance(500);
    world_advance(500);
    assert_int_equal(world.count, before + 1);
    assert_int_equal(world_last('P', MSG_RECORDS)->number, second);
    assert_int_not_equal(first, second);
}

/* ---- fleet ---- */

/* A waiting producer, before the uploader reported its slots. */
static uint64_t wait_for_the_fleet(void) {
    struct msg m = {.type = MSG_TAIL};
    world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none);
    m.tail = (struct msg_tail){.seq = head() + 1, .event = world.c->events.next, .filter = TAIL_MINE, .wait_ms = 500};
    return world_deliver('P', &m);
}

static void test_the_slots_of_the_first_uploader_are_known_at_once(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    uint64_t number = wait_for_the_fleet();
    assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
    world_beat('U', NULL, 0, 5);
    assert_int_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.fleet.free, 5);
    world_advance(200);
    number = wait_for_the_fleet();
    world_beat('U', NULL, 0, 6); /* only the first HEARTBEAT is news */
    assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
}

/* Offers made at once would reach the older one. */
static void test_the_slots_of_a_later_uploader_are_known_when_it_is_connected(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_beat('U', NULL, 0, 0);
    world_advance(500);
    uint64_t number = wait_for_the_fleet();
    world_hello('V', ROLE_UPLOADER);
    world_beat('V', NULL, 0, 5);
    world_advance(149);
    assert_int_not_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(consumer_deadline_ms(world.c, world.now), world.now + 1);
    world_advance(1);
    assert_true(consumer_deadline_ms(world.c, world.now) <= world.now);
    world_advance(0);
    assert_int_equal(world_last('P', MSG_RECORDS)->number, number);
    assert_int_equal(world_last('P', MSG_RECORDS)->records.fleet.free, 5);
}

static void test_the_fleet_is_shared(void **state) {
    (void)state;
    join_peers();
    world_hello('V', ROLE_UPLOADER);
    world_begun('P', 'U', "/src/a", S3, 2);
    world_beat('U', NULL, 0, 5);
    world_beat('V', NULL, 0, 4);
    struct fleet f = world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet;
    assert_int_equal(f.uploaders, 2);
    assert_int_equal(f.slots, 16);
    assert_int_equal(f.free, 9);
    assert_int_equal(f.share, 9);
    assert_int_equal(f.retries, 6);
    struct id128 id = world_begun('Q', 'U', "/src/b", OTHER, 2);
    world_beat('U', NULL, 0, 5);
    assert_int_equal(world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet.share, 4);
    world_beat('U', NULL, 0, 1);
    world_beat('V', NULL, 0, 0);
    assert_int_equal(world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet.share, 1);
    world_beat('U', NULL, 0, 0);
    assert_int_equal(world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet.share, 0);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    world_claim('U', chunk, "H");
    world_beat('U', &chunk, 1, 0);
    assert_int_equal(world_tail('Q', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet.moving_bytes, 1000);
    assert_int_equal(world_tail('P', head() + 1, world.c->events.next, TAIL_MINE, none)->fleet.moving_bytes, 0);
}

static void test_releases_are_events_at_once(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref never_claimed = world_ref(JOB_CHUNK, id, 1);
    uint64_t event = world.c->events.next;
    world_release('U', never_claimed, WHY_NOT_HERE);
    const struct msg_records *m = world_tail('P', head() + 1, event, TAIL_MINE, none);
    assert_int_equal(m->event_count, 1);
    assert_int_equal(m->events[0].kind, EVENT_RELEASED);
    assert_int_equal(m->events[0].why, WHY_NOT_HERE);
    assert_int_equal(m->events[0].after_ms, 77);
    assert_true(slice_equal(m->events[0].detail, slice_of("because")));
    assert_non_null(memchr(m->events[0].worker.ptr, '/', m->events[0].worker.len));
    assert_int_equal(m->fleet.unable, 1);
    assert_int_equal(world_tail('Q', head() + 1, event, TAIL_MINE, none)->event_count, 0);
}

static void test_status(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 1);
    world_chunk('U', id, 0);
    world_claim('U', chunk, "H");
    world_beat('U', &chunk, 1, 3);
    struct msg m = {.type = MSG_STATUS};
    world_deliver('R', &m);
    const struct msg_state *s = &world_answer('R', MSG_STATE)->state;
    assert_int_equal(s->upload_count, 1);
    assert_int_equal(s->uploads[0].chunks_done, 1);
    assert_int_equal(s->uploads[0].done_bytes, PART);
    assert_int_equal(s->uploads[0].moving_bytes, 1000);
    assert_int_equal(s->uploads[0].leases, 1);
    assert_int_equal(s->worker_count, 4);
    assert_int_equal(s->next, 0);
    assert_true(slice_equal(s->journal_dir, slice_of(JOURNAL_DIR)));
}

/* Pages of uploads are long: the oldest events go before the ring is full. */
static void test_events_keep_a_bounded_amount_of_text(void **state) {
    (void)state;
    struct events ring;
    static char page[LISTING_MAX];
    memset(page, 'p', sizeof page);
    struct event e = {.kind = EVENT_CHECKED, .listing = slice_make(page, sizeof page)};
    assert_int_equal(events_init(&ring, 1), 0);
    size_t fit = EVENTS_TEXT_MAX / sizeof page;
    for (size_t i = 0; i < fit + 5; i++)
        events_add(&ring, &e, 1);
    assert_int_equal(ring.next - ring.first, fit);
    assert_true(slice_equal(events_at(&ring, ring.first)->e.listing, e.listing));
    e.listing = slice_of("");
    for (size_t i = 0; i < EVENTS_MAX; i++)
        events_add(&ring, &e, 1);
    assert_int_equal(ring.next - ring.first, EVENTS_MAX);
    assert_int_equal(ring.text_bytes, 0);
    events_release(&ring);
}

static bool upload_is_in_use(void) {
    struct msg m = {.type = MSG_STATUS};
    world_deliver('R', &m);
    const struct msg_state *s = &world_answer('R', MSG_STATE)->state;
    assert_int_equal(s->upload_count, 1);
    return s->uploads[0].in_use;
}

static void test_status_says_which_uploads_are_in_use(void **state) {
    (void)state;
    join_peers();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    assert_true(upload_is_in_use());
    world_claim('U', world_ref(JOB_CHUNK, id, 1), "H");
    world_bye('P');
    assert_true(upload_is_in_use()); /* a lease */
    world_release('U', world_ref(JOB_CHUNK, id, 1), WHY_DRAIN);
    assert_false(upload_is_in_use());
    world_kill();
    world_start();
    world_hello('R', ROLE_READER);
    assert_true(upload_is_in_use()); /* its producer may return */
    world_advance(world.o.lease_ms + 1);
    assert_false(upload_is_in_use());
}

/* STATE has the failure of an upload until it is planned again, and the outage of an uploader.
 * RECORDS has the outage, too. */
static void test_failures_and_outages_are_reported(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct plan_file file = world_file("/src", "s3://bucket/key", 3 * PART);
    struct id128 id = world_plan('P', &file).upload;
    struct result failed = world_result(world_ref(JOB_BEGIN, id, 0), "");
    failed.outcome = OUTCOME_FAILED;
    failed.class = FAIL_DENIED;
    failed.error = slice_of("403 AccessDenied");
    world_claim('U', failed.ref, "");
    assert_int_equal(world_complete('U', &failed).kind, ACK_RECORDED);
    struct msg beat = {.type = MSG_HEARTBEAT};
    beat.heartbeat = (struct msg_heartbeat){.slots = 8, .outage = slice_of("https://s3: refused"), .outage_ms = 2500};
    world_deliver('U', &beat);
    struct msg status = {.type = MSG_STATUS};
    world_deliver('P', &status);
    const struct msg_state *s = &world_answer('P', MSG_STATE)->state;
    assert_int_equal(s->uploads[0].class, FAIL_DENIED);
    assert_true(slice_equal(s->uploads[0].error, slice_of("403 AccessDenied")));
    const struct worker_status *u = &s->workers[s->workers[0].role == ROLE_UPLOADER ? 0 : 1];
    assert_true(slice_equal(u->outage, slice_of("https://s3: refused")));
    assert_int_equal(u->outage_ms, 2500);
    const struct fleet *fleet = &world_tail('P', 1, 0, TAIL_MINE, id)->fleet;
    assert_int_equal(fleet->outage_ms, 2500);
    assert_int_equal(fleet->outage_uploaders, 1);
    assert_true(slice_equal(fleet->outage, slice_of("https://s3: refused")));
    world_plan('P', &file);
    beat.heartbeat = (struct msg_heartbeat){.slots = 8};
    world_deliver('U', &beat);
    world_deliver('P', &status);
    s = &world_answer('P', MSG_STATE)->state;
    assert_int_equal(s->uploads[0].class, FAIL_NONE);
    assert_int_equal(s->uploads[0].error.len, 0);
    assert_int_equal(s->workers[0].outage_ms + s->workers[1].outage_ms, 0);
}

UNIT_MAIN(cmocka_unit_test(test_events_keep_a_bounded_amount_of_text),
          WORLD_TEST(test_status_says_which_uploads_are_in_use), WORLD_TEST(test_failures_and_outages_are_reported),
          WORLD_TEST(test_a_producer_follows_its_own), WORLD_TEST(test_a_reader_follows_all_or_one),
          WORLD_TEST(test_lines_come_in_pages), WORLD_TEST(test_a_cursor_from_before_hello_is_too_old),
          WORLD_TEST(test_an_event_cursor_of_another_epoch_is_gone), WORLD_TEST(test_events_too_old_are_gone),
          cmocka_unit_test(test_lines_too_old_are_gone),
          WORLD_TEST(test_lines_that_every_producer_has_read_are_forgotten), WORLD_TEST(test_waiting),
          WORLD_TEST(test_news_come_in_a_burst_and_then_at_a_pace),
          WORLD_TEST(test_answers_without_news_delay_no_more_than_a_burst),
          WORLD_TEST(test_the_slots_of_the_first_uploader_are_known_at_once),
          WORLD_TEST(test_the_slots_of_a_later_uploader_are_known_when_it_is_connected),
          WORLD_TEST(test_a_new_request_replaces_the_old_one), WORLD_TEST(test_the_fleet_is_shared),
          WORLD_TEST(test_releases_are_events_at_once), WORLD_TEST(test_status))
