/* The check of sender and role, the room for peers, and peers that are silent or do not read. */
#include "consumer_world.h"

static void join_peers(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('Q', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
}

static enum protocol_error error_of(char peer) {
    return world_answer(peer, MSG_ERROR)->error.code;
}

static void test_unknown_peers_must_send_hello_first(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS};
    world_deliver('R', &m);
    assert_int_equal(error_of('R'), PROTOCOL_HELLO_FIRST);
    world_hello('R', ROLE_READER);
    world_deliver('R', &m);
    world_answer('R', MSG_STATE);
    struct buf frame = BUF_INIT; /* the same incarnation from another connection */
    m.sender = world_incarnation('R');
    m.number = ++world.number;
    assert_int_equal(msg_encode(&m, &frame), 0);
    world_deliver_bytes('X', buf_slice(&frame));
    assert_int_equal(error_of('X'), PROTOCOL_HELLO_FIRST);
    struct msg hello = {.type = MSG_HELLO, .sender = world_incarnation('R'), .number = ++world.number};
    hello.hello.role = ROLE_READER;
    buf_clear(&frame);
    assert_int_equal(msg_encode(&hello, &frame), 0);
    world_deliver_bytes('X', buf_slice(&frame)); /* the peer moves to the new connection */
    world_answer('X', MSG_WELCOME);
    assert_int_equal(consumer_peers(world.c)->count, 1);
    world_deliver('R', &m);
    assert_int_equal(error_of('R'), PROTOCOL_HELLO_FIRST);
    buf_release(&frame);
}

static void test_roles_are_kept(void **state) {
    (void)state;
    join_peers();
    const struct {
        char peer;
        enum msg_type type;
    } table[] = {{'P', MSG_CLAIM}, {'P', MSG_COMPLETE}, {'P', MSG_HEARTBEAT}, {'P', MSG_RELEASE}, {'R', MSG_CLAIM},
                 {'R', MSG_PLAN},  {'U', MSG_PLAN},     {'R', MSG_COMPLETE},  {'R', MSG_RELEASE}, {'R', MSG_HEARTBEAT}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct msg m = {.type = table[i].type};
        world_deliver(table[i].peer, &m);
        assert_int_equal(error_of(table[i].peer), PROTOCOL_ROLE);
    }
    struct msg m = {.type = MSG_TAIL};
    m.tail.filter = TAIL_MINE;
    world_deliver('R', &m);
    assert_int_equal(error_of('R'), PROTOCOL_ROLE);
}

static void test_another_journal_and_nonsense(void **state) {
    (void)state;
    join_peers();
    struct msg m = {.type = MSG_STATUS, .journal = {{1, 2, 3}}};
    world_deliver('R', &m);
    assert_int_equal(error_of('R'), PROTOCOL_JOURNAL);
    size_t before = world.count;
    world_deliver_bytes('R', slice_of("nonsense"));
    assert_int_equal(world_last('R', MSG_ERROR)->error.code, PROTOCOL_MALFORMED);
    world_deliver_bytes('R', slice_of("nonsense"));
    assert_int_equal(world.count, before + 1); /* once a second */
    world.now += 1000;
    world_deliver_bytes('R', slice_of("nonsense"));
    assert_int_equal(world.count, before + 2);
    world.now += 1000;
    struct msg wrong = {.type = MSG_BEAT};
    world_deliver('R', &wrong);
    assert_int_equal(error_of('R'), PROTOCOL_MALFORMED);
}

static void test_the_error_names_both_protocol_versions(void **state) {
    (void)state;
    struct msg m = {.type = MSG_STATUS, .sender = world_incarnation('R'), .number = 1};
    struct buf frame = BUF_INIT;
    assert_int_equal(msg_encode(&m, &frame), 0);
    assert_int_equal(frame.data[1], PROTO_VERSION); /* after the array's head */
    frame.data[1] = PROTO_VERSION + 1;
    world_deliver_bytes('R', buf_slice(&frame));
    const struct msg_error *e = &world_last('R', MSG_ERROR)->error;
    assert_int_equal(e->code, PROTOCOL_VERSION);
    assert_non_null(memmem(e->text.ptr, e->text.len, "version 1", 9));
    buf_release(&frame);
}

static void test_there_are_places_for_64_producers(void **state) {
    (void)state;
    for (int i = 0; i < PRODUCERS_MAX; i++)
        world_hello((char)(1 + i), ROLE_PRODUCER);
    struct msg m = {.type = MSG_HELLO};
    m.hello.role = ROLE_PRODUCER;
    world_deliver('~', &m);
    assert_int_equal(error_of('~'), PROTOCOL_TOO_MANY);
    world_bye(5);
    world_hello('~', ROLE_PRODUCER);
}

/* A peer that holds no lease and was silent for 3 s makes room for a new one. */
static void test_silent_peers_make_room(void **state) {
    (void)state;
    for (int i = 0; i < PRODUCERS_MAX; i++)
        world_hello((char)(1 + i), ROLE_PRODUCER);
    struct msg m = {.type = MSG_HELLO};
    m.hello.role = ROLE_PRODUCER;
    world_advance(2999);
    world_deliver('~', &m);
    assert_int_equal(error_of('~'), PROTOCOL_TOO_MANY);
    for (int i = 0; i < PRODUCERS_MAX; i++)
        if (i != 7)
            world_hello((char)(1 + i), ROLE_PRODUCER); /* they were heard again */
    world_advance(1);
    world_hello('~', ROLE_PRODUCER);
    assert_int_equal(consumer_peers(world.c)->count, PRODUCERS_MAX);
    struct msg status = {.type = MSG_STATUS};
    world_deliver(8, &status);
    assert_int_equal(error_of(8), PROTOCOL_HELLO_FIRST);
    world_deliver(9, &status);
    assert_non_null(world_last(9, MSG_STATE));
}

/* A flood of undecodable messages is not answered message by message. */
static void test_complaints_are_bounded(void **state) {
    (void)state;
    join_peers();
    world_clear_sent();
    for (int i = 0; i < 1000; i++)
        world_deliver_bytes('?', slice_make("\xc1", 1));
    assert_int_equal(world.count, 1);
    world_advance(1000);
    world_deliver_bytes('?', slice_make("\xc1", 1));
    assert_int_equal(world.count, 2);
}

/* While many bytes are unsent, every reply is below 32 KiB: lines, events, uploads and peers. */
static void test_replies_are_short_when_asked(void **state) {
    (void)state;
    char long_name[1001];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    for (int i = 0; i < 120; i++) {
        struct msg m = {.type = MSG_HELLO};
        m.hello =
            (struct msg_hello){.role = i < 60 ? ROLE_PRODUCER : ROLE_READER, .host = slice_of(long_name), .pid = 1};
        world_deliver((char)(1 + i), &m);
    }
    struct msg tail = {.type = MSG_TAIL, .tail = {.seq = 1, .event = 1, .filter = TAIL_ALL}};
    struct msg status = {.type = MSG_STATUS};
    world_clear_sent();
    world_deliver(99, &status);
    assert_true(world.sent[world.count - 1].frame.len > 20 << 10);
    for (int brief = 1; brief >= 0; brief--) {
        consumer_set_short_replies(world.c, brief);
        world_clear_sent();
        world_deliver(99, &status);
        world_deliver(100, &tail);
        assert_int_equal(world.count, 2);
        assert_true((world.sent[0].frame.len < 20 << 10) == (brief == 1));
        assert_true(world.sent[1].frame.len < 20 << 10);
    }
}

static bool is_backpressured(void *arg, const void *route, size_t len) {
    (void)arg;
    return len == 1 && *(const char *)route == 'Q';
}

/* No reply is made for a peer under back-pressure, and no other peer waits for it. */
static void test_no_replies_under_back_pressure(void **state) {
    (void)state;
    join_peers();
    world.c->o.is_backpressured = is_backpressured;
    struct msg tail = {.type = MSG_TAIL, .tail = {.seq = 1, .filter = TAIL_ALL}}, status = {.type = MSG_STATUS};
    world_clear_sent();
    world_deliver('Q', &tail);
    world_deliver('Q', &status);
    world_deliver('P', &status);
    assert_int_equal(world.count, 1);
    assert_true(consumer_deadline_ms(world.c, world.now) > world.now);
    world.c->o.is_backpressured = NULL;
    world_deliver('Q', &tail);
    world_answer('Q', MSG_RECORDS);
}

static void test_silent_peers_are_forgotten(void **state) {
    (void)state;
    join_peers();
    assert_false(consumer_is_deserted(world.c, 5000, world.now + 4999));
    assert_true(consumer_is_deserted(world.c, 5000, world.now + 5000));
    world_advance(30000);
    assert_int_equal(consumer_peers(world.c)->count, 4);
    world_advance(31000);
    assert_int_equal(consumer_peers(world.c)->count, 0);
}

/* A consumer of cp ends after the last BYE. Readers do not count. */
static void test_deserted_after_the_last_bye(void **state) {
    (void)state;
    assert_false(consumer_is_deserted(world.c, 5000, world.now));
    join_peers();
    world_bye('P');
    world_bye('Q');
    assert_false(consumer_is_deserted(world.c, 5000, world.now));
    world_bye('U');
    assert_true(consumer_is_deserted(world.c, 5000, world.now));
    world_hello('P', ROLE_PRODUCER);
    assert_false(consumer_is_deserted(world.c, 5000, world.now));
}

UNIT_MAIN(WORLD_TEST(test_unknown_peers_must_send_hello_first), WORLD_TEST(test_roles_are_kept),
          WORLD_TEST(test_another_journal_and_nonsense), WORLD_TEST(test_the_error_names_both_protocol_versions),
          WORLD_TEST(test_there_are_places_for_64_producers), WORLD_TEST(test_silent_peers_make_room),
          WORLD_TEST(test_complaints_are_bounded), WORLD_TEST(test_replies_are_short_when_asked),
          WORLD_TEST(test_no_replies_under_back_pressure), WORLD_TEST(test_silent_peers_are_forgotten),
          WORLD_TEST(test_deserted_after_the_last_bye))
