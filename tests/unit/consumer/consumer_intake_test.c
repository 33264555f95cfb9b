/* Messages before they reach a handler: bounds of a round, and error replies that are limited in number. */
#include "consumer_world.h"

static size_t replies(char peer) {
    size_t count = 0;
    for (size_t i = 0; i < world.count; i++)
        count += world.sent[i].to[0] == peer;
    return count;
}

static void nonsense(char peer) {
    world_deliver_bytes(peer, slice_make("\xc1", 1));
}

/* ---- errors ---- */

static void test_a_peer_gets_one_error_a_second(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world_hello('S', ROLE_READER);
    world_clear_sent();
    nonsense('R');
    nonsense('S'); /* each peer has its own second */
    world_advance(999);
    nonsense('R');
    assert_int_equal(replies('R'), 1);
    assert_int_equal(replies('S'), 1);
    world_advance(1);
    nonsense('R');
    assert_int_equal(replies('R'), 2);
}

static void test_unknown_peers_share_one_error_a_second(void **state) {
    (void)state;
    nonsense('x');
    nonsense('y');
    assert_int_equal(world.count, 1);
    world_advance(999);
    nonsense('y');
    assert_int_equal(world.count, 1);
    world_advance(1);
    nonsense('y');
    assert_int_equal(replies('y'), 1);
}

/* The search for the sender is linear in the number of peers. */
static void test_sixty_four_undecodable_messages_are_considered_in_a_second(void **state) {
    (void)state;
    world_hello('R', ROLE_READER);
    world.now += 1000;
    nonsense('x');
    world_clear_sent();
    for (int i = 0; i < 62; i++)
        nonsense('x');
    nonsense('R'); /* the 64th */
    assert_int_equal(replies('R'), 1);
    world_hello('S', ROLE_READER);
    world_clear_sent();
    nonsense('S');
    assert_int_equal(replies('S'), 0);
    world.now += 999;
    nonsense('S');
    assert_int_equal(replies('S'), 0);
    world.now += 1;
    nonsense('S');
    assert_int_equal(replies('S'), 1);
}

static void test_messages_of_other_programs_are_answered_once_a_second(void **state) {
    (void)state;
    struct msg m = {.type = MSG_BEAT};
    world_hello('R', ROLE_READER);
    world_clear_sent();
    for (int i = 0; i < 3; i++)
        world_deliver('R', &m);
    assert_int_equal(replies('R'), 1);
    assert_int_equal(world.sent[0].msg.error.code, PROTOCOL_MALFORMED);
    world.now += 1000;
    world_deliver('R', &m);
    assert_int_equal(replies('R'), 2);
}

static void test_a_message_may_name_the_journal(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS, .journal = *journal_id(world.c->journal)};
    world_hello('R', ROLE_READER);
    world_deliver('R', &m);
    world_answer('R', MSG_STATE);
}

/* ---- rounds ---- */

static void take(char peer, struct slice bytes) {
    struct frame f = {.data = bytes, .peer = {(uint8_t)peer}, .peer_len = 1};
    assert_int_equal(consumer_take(world.c, &f, world.now), 0);
}

static void end_round(void) {
    assert_int_equal(consumer_round(world.c, 0, world.now), 0);
    assert_false(consumer_is_full(world.c));
}

static void test_a_round_takes_a_number_of_messages(void **state) {
    (void)state;
    for (int i = 0; i < ROUND_FRAMES; i++) {
        assert_false(consumer_is_full(world.c));
        take('x', slice_make("\xc1", 1));
    }
    assert_true(consumer_is_full(world.c));
    end_round();
}

static void test_a_round_takes_a_number_of_bytes(void **state) {
    (void)state;
    static char bytes[1 << 20];
    memset(bytes, 0xc1, sizeof bytes);
    for (size_t i = 0; i < ROUND_BYTES / sizeof bytes; i++) {
        assert_false(consumer_is_full(world.c));
        take('x', slice_make(bytes, sizeof bytes));
    }
    assert_true(consumer_is_full(world.c));
    end_round();
}

/* Returns the number of these messages that make a round full. */
static unsigned count_until_full(char peer, struct msg *m) {
    struct buf frame = BUF_INIT;
    unsigned count = 0;
    m->sender = world_incarnation(peer);
    m->number = 7;
    assert_int_equal(msg_encode(m, &frame), 0);
    for (; !consumer_is_full(world.c); count++)
        take(peer, buf_slice(&frame));
    end_round();
    world_clear_sent();
    buf_release(&frame);
    return count;
}

/* A list takes more memory than its bytes in the frame. */
static void test_decoded_lists_count_as_bytes_of_the_round(void **state) {
    (void)state;
    static struct claim claims[PROTO_LIST_MAX];
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = claims, .claim_count = PROTO_LIST_MAX}};
    for (size_t i = 0; i < PROTO_LIST_MAX; i++)
        claims[i].ref = world_ref(JOB_CHUNK, world_incarnation('x'), (uint32_t)i);
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    size_t decoded = ROUND_BYTES / sizeof claims;
    assert_in_range(count_until_full('U', &m), decoded / 3, decoded);
    static struct plan_file files[PROTO_PLAN_MAX];
    m = (struct msg){.type = MSG_PLAN, .plan = {.files = files, .file_count = PROTO_PLAN_MAX}};
    for (size_t i = 0; i < PROTO_PLAN_MAX; i++)
        files[i] = world_file("relative", "file:///b", PART);
    decoded = ROUND_BYTES / sizeof files;
    assert_in_range(count_until_full('P', &m), decoded / 3, decoded);
}

static void test_replies_leave_before_they_take_too_much_memory(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS, .sender = world_incarnation('R'), .number = 7};
    struct buf frame = BUF_INIT;
    char path[1100];
    memset(path, 'p', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    world_hello('P', ROLE_PRODUCER);
    world_hello('R', ROLE_READER);
    for (int i = 0; i < 300; i++) {
        char dest[32];
        snprintf(dest, sizeof dest, "file:///dst/%d", i);
        struct plan_file file = world_file(path, dest, PART);
        world_plan('P', &file);
        world_clear_sent();
    }
    assert_int_equal(msg_encode(&m, &frame), 0);
    size_t queued = 0;
    for (int i = 0; i < 40 && world.count == 0; i++) {
        assert_true(queued < OUTBOX_BYTES);
        take('R', buf_slice(&frame));
        queued = world.c->outbox.frames.len;
    }
    assert_true(world.count > 1); /* before the end of the round */
    assert_int_equal(world.c->outbox.count, 0);
    end_round();
    buf_release(&frame);
}

/* ---- sending ---- */

static void test_a_reply_that_cannot_be_sent_stops_no_other(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS};
    world_hello('R', ROLE_READER);
    world_hello('S', ROLE_READER);
    world.send_error = ERR_AGAIN;
    world_deliver('R', &m);
    world_deliver('S', &m);
    assert_non_null(world_last('S', MSG_STATE));
    assert_int_equal(world.c->outbox.count, 0);
}

/* A reply to 'R' that takes this number of bytes. */
static void queue_bytes(size_t wanted) {
    static char lines[1 << 20];
    const struct route to = {.bytes = {'R'}, .len = 1};
    struct msg m = {.type = MSG_RECORDS, .number = 1, .records = {.lines = slice_make(lines, wanted)}};
    struct buf frame = BUF_INIT;
    m.journal = *journal_id(world.c->journal);
    m.sender = world.c->self;
    assert_int_equal(msg_encode(&m, &frame), 0);
    m.records.lines.len -= frame.len - wanted;
    assert_int_equal(reply_queue(world.c, &to, &m), 0);
    buf_release(&frame);
}

static void test_queued_replies_leave_when_they_take_all_their_memory(void **state) {
    (void)state;
    for (int i = 0; i < 7; i++)
        queue_bytes(OUTBOX_BYTES / 8);
    queue_bytes(OUTBOX_BYTES / 8 - 100001);
    assert_int_equal(world.c->outbox.frames.len, OUTBOX_BYTES - 100001);
    assert_int_equal(world.count, 0);
    queue_bytes(100001);
    assert_int_equal(world.count, 9);
}

static void test_a_megabyte_of_memory_is_kept_between_rounds(void **state) {
    (void)state;
    struct buf *frames = &world.c->outbox.frames;
    queue_bytes(1000);
    buf_release(frames);
    world.c->outbox.count = 0;
    assert_int_equal(buf_reserve(frames, ((size_t)1 << 20) - 1), 0);
    assert_int_equal(frames->cap, (size_t)1 << 20);
    world_advance(0);
    assert_int_equal(frames->cap, (size_t)1 << 20);
    assert_int_equal(buf_reserve(frames, (size_t)1 << 20), 0);
    world_advance(0);
    assert_int_equal(frames->cap, 0);
}

UNIT_MAIN(WORLD_TEST(test_a_peer_gets_one_error_a_second), WORLD_TEST(test_unknown_peers_share_one_error_a_second),
          WORLD_TEST(test_sixty_four_undecodable_messages_are_considered_in_a_second),
          WORLD_TEST(test_messages_of_other_programs_are_answered_once_a_second),
          WORLD_TEST(test_a_message_may_name_the_journal), WORLD_TEST(test_a_round_takes_a_number_of_messages),
          WORLD_TEST(test_a_round_takes_a_number_of_bytes), WORLD_TEST(test_decoded_lists_count_as_bytes_of_the_round),
          WORLD_TEST(test_replies_leave_before_they_take_too_much_memory),
          WORLD_TEST(test_a_reply_that_cannot_be_sent_stops_no_other),
          WORLD_TEST(test_queued_replies_leave_when_they_take_all_their_memory),
          WORLD_TEST(test_a_megabyte_of_memory_is_kept_between_rounds))
