/* A consumer with keys: roles for each message, incarnations and leases that belong to a key,
 * revoked keys. Each message here comes with the key in w.key, over the connection of its
 * letter. */
#include "consumer_world.h"

static const struct curve_key key_a = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
                              key_b = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
                              key_r = {"rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr"};
static unsigned roles_a, roles_b, roles_r;

static unsigned roles(const struct curve_key *key) {
    if (curve_key_equal(key, &key_a))
        return roles_a;
    if (curve_key_equal(key, &key_b))
        return roles_b;
    return curve_key_equal(key, &key_r) ? roles_r : 0;
}

static int setup(void **state) {
    int rc = world_setup(state);
    world_kill();
    world.o.roles = roles;
    world_start();
    roles_a = TRUST_PRODUCER | TRUST_UPLOADER;
    roles_b = TRUST_PRODUCER | TRUST_UPLOADER;
    roles_r = TRUST_READER;
    world.key = key_a;
    return rc;
}

#define KEYS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

/* Delivers m, which must be refused for its role and change no state. */
static void refused(char peer, struct msg *m) {
    uint64_t seq = journal_seq(world.c->journal);
    size_t leases = consumer_lease_count(world.c), peers = world.c->peers.count;
    world_deliver(peer, m);
    assert_int_equal(world_answer(peer, MSG_ERROR)->error.code, PROTOCOL_ROLE);
    assert_int_equal(journal_seq(world.c->journal), seq);
    assert_int_equal(consumer_lease_count(world.c), leases);
    assert_int_equal(world.c->peers.count, peers);
}

static void hello_refused(char peer, enum role role) {
    struct msg m = {.type = MSG_HELLO, .hello = {.role = role, .host = slice_of("host"), .boot = slice_of("boot")}};
    refused(peer, &m);
}

/* Each message needs a role of its key. */
static void test_a_role_for_each_message(void **state) {
    (void)state;
    world.key = key_r;
    hello_refused('P', ROLE_PRODUCER);
    hello_refused('U', ROLE_UPLOADER);
    world_hello('R', ROLE_READER);
    struct claim claim = {.ref = world_ref(JOB_CHUNK, world_incarnation('x'), 0)};
    struct result result = world_result(claim.ref, "H");
    struct plan_file file = world_file("/a", "file:///b", PART);
    struct msg questions[] = {
        {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}},
        {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}},
        {.type = MSG_COMPLETE, .complete = {.results = &result, .result_count = 1}},
        {.type = MSG_HEARTBEAT},
        {.type = MSG_PARTS, .parts = {.upload = world_incarnation('x'), .handle = slice_of("H")}},
    };
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++)
        refused('R', &questions[i]);
    struct msg tells = {.type = MSG_SET};
    struct msg changes = {.type = MSG_SET, .set = {.flags = SET_SLOTS, .slots = 3}};
    struct msg forgets = {.type = MSG_FORGET, .forget = {.uploads = slice_make("0123456789abcdef", 16)}};
    refused('R', &changes);
    refused('R', &forgets);
    world_deliver('R', &tells);
    assert_int_equal(world_answer('R', MSG_SETTINGS)->settings.slots, 0);
    world_tail('R', 1, 0, TAIL_ALL, (struct id128){{0}});
    roles_a = TRUST_UPLOADER;
    world.key = key_a;
    hello_refused('P', ROLE_PRODUCER);
    hello_refused('Q', ROLE_READER);
    world_hello('U', ROLE_UPLOADER);
    roles_a = TRUST_READER; /* the roles at this moment count, not those at HELLO */
    refused('U', &questions[1]);
}

/* A key that is not trusted gets no reply, not even an error. */
static void test_an_unknown_key_gets_no_reply(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    size_t before = world.count;
    world.key = (struct curve_key){"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
    struct msg hello = {.type = MSG_HELLO, .hello = {.role = ROLE_READER}};
    struct msg bye = {.type = MSG_BYE};
    world_deliver('X', &hello);
    world_deliver('P', &bye);
    world_deliver('P', &hello);
    assert_int_equal(world.count, before);
    assert_int_equal(world.c->peers.count, 1);
}

/* A message that names an incarnation of another key as sender is refused and changes nothing, also
 * a replayed HELLO, COMPLETE or BYE. */
static void test_a_foreign_incarnation_is_refused(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src", "file:///dest", 3);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 0), "H").kind, VERDICT_GRANT);
    world.key = key_b;
    hello_refused('U', ROLE_UPLOADER);
    hello_refused('P', ROLE_PRODUCER);
    struct claim claim = {.ref = world_ref(JOB_CHUNK, id, 1), .handle = slice_of("H")};
    struct result result = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    struct released released = {.ref = world_ref(JOB_CHUNK, id, 0), .why = WHY_DRAIN};
    struct plan_file file = world_file("/a", "file:///b", PART);
    struct msg replayed[] = {
        {.type = MSG_BYE},
        {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}},
        {.type = MSG_COMPLETE, .complete = {.results = &result, .result_count = 1}},
        {.type = MSG_RELEASE, .release = {.jobs = &released, .job_count = 1}},
        {.type = MSG_HEARTBEAT},
        {.type = MSG_STATUS},
    };
    for (size_t i = 0; i < sizeof replayed / sizeof replayed[0]; i++)
        refused('U', &replayed[i]);
    struct msg plan = {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}};
    refused('P', &plan);
    world.key = key_a; /* the owner of the incarnation goes on */
    assert_int_equal(world_done('U', world_ref(JOB_CHUNK, id, 0), "H").kind, ACK_RECORDED);
    assert_int_equal(world_count("chunk"), 1);
    world_bye('U'); /* also after its owner left */
    world.key = key_b;
    hello_refused('U', ROLE_UPLOADER);
    world.key = key_a;
    world_hello('U', ROLE_UPLOADER);
    world.key = key_b; /* a lease belongs to its holder */
    world_hello('V', ROLE_UPLOADER);
    world.key = key_a;
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    world.key = key_b;
    struct verdict v = world_claim('V', world_ref(JOB_CHUNK, id, 1), "H");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_HELD);
}

/* A message that waits for its turn in a round belongs to the key it came with. */
static void test_a_claim_between_bye_and_hello(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    struct id128 id = world_begun('P', 'U', "/src", "file:///dest", 3);
    struct claim claim = {.ref = world_ref(JOB_CHUNK, id, 0), .handle = slice_of("H")};
    struct msg all[] = {
        {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}},
        {.type = MSG_BYE},
        {.type = MSG_HELLO, .hello = {.role = ROLE_UPLOADER, .host = slice_of("h"), .boot = slice_of("b")}},
    };
    struct buf frames[3] = {BUF_INIT, BUF_INIT, BUF_INIT};
    for (int i = 0; i < 3; i++) {
        all[i].sender = world_incarnation('U');
        all[i].number = 100 + (uint64_t)i;
        assert_int_equal(msg_encode(&all[i], &frames[i]), 0);
        struct frame f = FRAME_INIT;
        f.data = buf_slice(&frames[i]);
        f.peer[0] = 'U';
        f.peer_len = 1;
        f.key = i < 2 ? key_a : key_b;
        assert_int_equal(consumer_take(world.c, &f, world.now), 0);
    }
    assert_int_equal(consumer_round(world.c, 0, world.now), 0);
    assert_int_equal(consumer_lease_count(world.c), 0);
    for (int i = 0; i < 3; i++)
        buf_release(&frames[i]);
}

static const struct msg_state *status_of(char peer) {
    struct msg m = {.type = MSG_STATUS};
    world_deliver(peer, &m);
    return &world_answer(peer, MSG_STATE)->state;
}

/* A producer sees only its own uploads in TAIL and STATUS, unless its key is also a reader's. */
static void test_only_its_own(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_begun('P', 'U', "/of-a", "file:///dest/a", 2);
    world.key = key_b;
    world_hello('Q', ROLE_PRODUCER);
    struct plan_file file = world_file("/of-b", "file:///dest/b", PART);
    struct id128 own = world_plan('Q', &file).upload;
    const struct msg_state *s = status_of('Q');
    assert_int_equal(s->upload_count, 1);
    assert_true(id_equal(&s->uploads[0].upload, &own));
    assert_int_equal(s->worker_count, 1);
    struct msg tail = {.type = MSG_TAIL, .tail = {.seq = 1, .filter = TAIL_ALL}};
    refused('Q', &tail);
    tail.tail.filter = TAIL_UPLOAD;
    tail.tail.upload = world.c->state.uploads[0]->id;
    refused('Q', &tail);
    assert_int_equal(
        world_tail('Q', journal_seq(world.c->journal) + 1, world.c->events.next, TAIL_MINE, own)->line_count, 0);
    roles_b |= TRUST_READER;
    assert_int_equal(status_of('Q')->upload_count, 2);
    assert_int_equal(status_of('Q')->worker_count, 3);
    assert_true(world_tail('Q', 1, 0, TAIL_ALL, own)->line_count > 2);
    struct msg wait = {.type = MSG_TAIL, .tail = {.seq = 100, .filter = TAIL_ALL, .wait_ms = 500}};
    world_deliver('Q', &wait);
    roles_b &= ~(unsigned)TRUST_READER; /* while it waits */
    size_t before = world.count;
    world_advance(600);
    assert_int_equal(world.count, before);
}

/* A removed key loses its peers, leases and plans at once. */
static void test_revoked(void **state) {
    (void)state;
    world_hello('P', ROLE_PRODUCER);
    world.key = key_b;
    world_hello('U', ROLE_UPLOADER);
    world.key = key_a;
    struct plan_file file = world_file("/src", "file:///dest", 3 * PART);
    struct id128 id = world_plan('P', &file).upload;
    world.key = key_b;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(consumer_lease_count(world.c), 1);
    roles_b = TRUST_READER; /* its key lost the role uploader */
    assert_int_equal(consumer_recheck_keys(world.c, world.now), 0);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->peers.count, 1);
    hello_refused('U', ROLE_UPLOADER);
    roles_b = 0;
    size_t before = world.count;
    struct result result = world_result(world_ref(JOB_BEGIN, id, 0), "H");
    struct msg complete = {.type = MSG_COMPLETE, .complete = {.results = &result, .result_count = 1}};
    world_deliver('U', &complete);
    assert_int_equal(world.count, before); /* no reply */
    assert_int_equal(world_count("begin"), 0);
    roles_a = 0;
    assert_int_equal(consumer_recheck_keys(world.c, world.now), 0);
    assert_int_equal(world.c->peers.count, 0);
    roles_b = TRUST_UPLOADER;
    world_hello('U', ROLE_UPLOADER);
}

/* An operator is a reader that may also set and forget; a producer may not. */
static void test_an_operator_sets_and_forgets(void **state) {
    (void)state;
    struct msg changes = {.type = MSG_SET, .set = {.flags = SET_SLOTS, .slots = 3}};
    struct msg forgets = {.type = MSG_FORGET, .forget = {.uploads = slice_make("0123456789abcdef", 16)}};
    world_hello('P', ROLE_PRODUCER);
    refused('P', &changes);
    refused('P', &forgets);
    world.key = key_r;
    roles_r = TRUST_OPERATOR;
    world_hello('R', ROLE_READER);
    world_deliver('R', &changes);
    assert_int_equal(world_answer('R', MSG_SETTINGS)->settings.slots, 3);
    world_deliver('R', &forgets);
    assert_int_equal(world_answer('R', MSG_FORGOTTEN)->forgotten.uploads.len, 0);
    world_tail('R', 1, 0, TAIL_ALL, (struct id128){{0}});
    hello_refused('Q', ROLE_PRODUCER);
    hello_refused('V', ROLE_UPLOADER);
}

/* ---- false results ---- */

static void assert_not_taken(char uploader, const struct result *result, enum why why) {
    uint64_t seq = journal_seq(world.c->journal);
    struct ack ack = world_complete(uploader, result);
    assert_int_equal(ack.kind, ACK_REFUSED);
    assert_int_equal(ack.why, why);
    assert_int_equal(journal_seq(world.c->journal), seq);
}

static bool is_id(struct id128 a, struct id128 b) {
    return id_equal(&a, &b);
}

/* 'U' of key a, 'V' of key b, both uploaders; 'P' is a's producer. */
static void two_uploaders(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world.key = key_b;
    world_hello('V', ROLE_UPLOADER);
    world.key = key_a;
}

static void test_a_failure_needs_the_lease(void **state) {
    (void)state;
    two_uploaders();
    struct id128 id = world_begun('P', 'U', "/src", "s3://bucket/key", 3);
    struct result failed = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    failed.outcome = OUTCOME_FAILED;
    failed.class = FAIL_DENIED;
    assert_int_equal(world_claim('U', failed.ref, "H").kind, VERDICT_GRANT);
    world.key = key_b;
    assert_not_taken('V', &failed, WHY_STALE);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world.key = key_a;
    assert_int_equal(world_complete('U', &failed).kind, ACK_RECORDED);
    assert_int_equal(world_count("fail"), 1);
}

static void test_a_redo_needs_the_lease(void **state) {
    (void)state;
    two_uploaders();
    struct id128 id = world_begun('P', 'U', "/src", "s3://bucket/key", 2);
    world_chunk('U', id, 0);
    struct result redo = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    struct result unsent = world_result(world_ref(JOB_CHUNK, id, 1), "H"), gone_at_finish;
    redo.outcome = OUTCOME_REDO;
    unsent.outcome = OUTCOME_GONE;
    gone_at_finish = unsent;
    gone_at_finish.ref = world_ref(JOB_FINISH, id, 0);
    world.key = key_b;
    assert_not_taken('V', &redo, WHY_STALE);
    assert_not_taken('V', &unsent, WHY_STALE);
    assert_not_taken('V', &gone_at_finish, WHY_STALE);
    world.key = key_a;
    world_chunk('U', id, 1);
    assert_not_taken('U', &redo, WHY_STALE); /* a result without a lease */
    assert_int_equal(world_claim('U', gone_at_finish.ref, "H").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &redo).kind, ACK_RECORDED);
    assert_int_equal(world_count("redo"), 1);
    assert_int_equal(world_complete('U', &gone_at_finish).kind, ACK_RECORDED);
    assert_int_equal(world_count("abort"), 1);
}

static struct result put_of(const struct plan_file *file, struct id128 id) {
    struct result r = world_result(world_ref(JOB_PUT, id, 0), "");
    r.source = file->source;
    r.target = file->target;
    return r;
}

static void test_a_put_counts_from_its_holder(void **state) {
    (void)state;
    world_advance(world.o.lease_ms + 1); /* after the restart */
    two_uploaders();
    struct plan_file file = world_file("/src", "s3://bucket/key", 100);
    file.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &file).upload;
    struct result put = put_of(&file, id), stray = put_of(&file, world_incarnation('x'));
    world.key = key_b;
    assert_not_taken('V', &put, WHY_STALE);
    assert_not_taken('V', &stray, WHY_UNKNOWN);
    world.key = key_a;
    assert_int_equal(world_claim('U', put.ref, "").kind, VERDICT_GRANT);
    world.key = key_b;
    assert_not_taken('V', &put, WHY_STALE);
    assert_int_equal(consumer_lease_count(world.c), 1);
    world_advance(world.o.lease_ms + 1); /* the last holder may be late */
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_not_taken('V', &put, WHY_STALE);
    world.key = key_a;
    assert_int_equal(world_complete('U', &put).kind, ACK_RECORDED);
    assert_int_equal(world_count("put"), 1);
}

/* A restart forgets the leases: for one lease time a put counts from any uploader. */
static void test_a_put_after_a_restart(void **state) {
    (void)state;
    two_uploaders();
    struct plan_file first = world_file("/src/1", "s3://bucket/1", 100),
                     second = world_file("/src/2", "s3://bucket/2", 100);
    first.flags = second.flags = PLAN_PUT;
    struct result put = put_of(&first, world_plan('P', &first).upload),
                  late = put_of(&second, world_plan('P', &second).upload);
    assert_int_equal(world_claim('U', put.ref, "").kind, VERDICT_GRANT);
    assert_int_equal(world_claim('U', late.ref, "").kind, VERDICT_GRANT);
    world_kill();
    world_start();
    world_hello('U', ROLE_UPLOADER);
    assert_int_equal(world_complete('U', &put).kind, ACK_RECORDED);
    world_advance(world.o.lease_ms + 1);
    assert_not_taken('U', &late, WHY_UNKNOWN);
    world_hello('P', ROLE_PRODUCER); /* resent later */
    second.upload = late.ref.upload;
    assert_true(is_id(world_plan('P', &second).upload, late.ref.upload));
    assert_int_equal(world_claim('U', late.ref, "").kind, VERDICT_GRANT);
    assert_int_equal(world_complete('U', &late).kind, ACK_RECORDED);
    assert_int_equal(world_count("put"), 2);
}

/* Its lease is over by then, and its result comes late. */
static void test_a_put_that_a_heartbeat_adopted_counts_from_its_holder(void **state) {
    (void)state;
    two_uploaders();
    struct plan_file file = world_file("/src", "file:///dest", 100);
    file.flags = PLAN_PUT;
    struct result put = put_of(&file, world_plan('P', &file).upload);
    assert_int_equal(world_claim('U', put.ref, "").kind, VERDICT_GRANT);
    world_kill();
    world_start();
    two_uploaders();
    world_beat('U', &put.ref, 1, 8);
    assert_int_equal(world_invalid('U'), 0);
    world_advance(world.o.lease_ms + 1);
    assert_int_equal(consumer_lease_count(world.c), 0);
    world.key = key_b;
    assert_not_taken('V', &put, WHY_STALE);
    world.key = key_a;
    assert_int_equal(world_complete('U', &put).kind, ACK_RECORDED);
}

/* Rule 15: a destination with an open upload of another key is refused while its producer is
 * connected. */
static void test_a_foreign_destination_is_refused(void **state) {
    (void)state;
    two_uploaders();
    struct id128 id = world_begun('P', 'U', "/src", "s3://bucket/key", 3);
    struct plan_file own = world_file("/src", "s3://bucket/key", 3 * PART), other = own, newer = own;
    other.source.path = slice_of("/etc/passwd");
    newer.source.file.mtime_ns++;
    world.key = key_b;
    world_hello('Q', ROLE_PRODUCER);
    struct planned_file p = world_plan('Q', &other);
    assert_int_equal(p.state, PLANNED_REFUSED);
    assert_true(p.error.len > 0);
    own.flags = PLAN_FORCE; /* joins the upload of the same file */
    assert_true(is_id(world_plan('Q', &own).upload, id));
    world_bye('Q');
    world.key = key_a; /* producers with one key may supersede each other's uploads */
    world_hello('R', ROLE_PRODUCER);
    assert_true(is_id(world_plan('R', &newer).superseded, id));
    world_bye('R');
    world_bye('P'); /* its owner left */
    world.key = key_b;
    world_hello('Q', ROLE_PRODUCER);
    assert_int_equal(world_plan('Q', &other).state, PLANNED_NEW);
}

/* A restart forgets the owners. They have one lease time to return. */
static void test_a_foreign_destination_after_a_restart(void **state) {
    (void)state;
    two_uploaders();
    struct id128 id = world_begun('P', 'U', "/src", "s3://bucket/key", 3);
    struct plan_file own = world_file("/src", "s3://bucket/key", 3 * PART), other = own;
    other.source.path = slice_of("/etc/passwd");
    world_kill();
    world_start();
    world.key = key_b;
    world_hello('Q', ROLE_PRODUCER);
    struct planned_file p = world_plan('Q', &other);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_is_zero(&p.upload)); /* repeats the request */
    world.key = key_a;
    world_hello('P', ROLE_PRODUCER);
    assert_true(is_id(world_plan('P', &own).upload, id));
    world_advance(world.o.lease_ms + 1);
    world.key = key_b;
    assert_int_equal(world_plan('Q', &other).state, PLANNED_REFUSED);
    world.key = key_a;
    world_bye('P');
    world.key = key_b;
    assert_true(is_id(world_plan('Q', &other).superseded, id));
}

/* Peers without keys (ipc) have all roles. */
static void test_without_keys(void **state) {
    (void)state;
    world.o.roles = NULL;
    world_kill();
    world_start();
    world.key = (struct curve_key){{0}};
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_begun('P', 'U', "/src", "file:///dest", 3);
    assert_int_equal(status_of('P')->upload_count, 1);
    assert_int_equal(status_of('P')->worker_count, 2);
    assert_true(world_tail('P', 1, 0, TAIL_ALL, (struct id128){{0}})->line_count > 2);
    assert_int_equal(consumer_recheck_keys(world.c, world.now), 0);
    assert_int_equal(world.c->peers.count, 2);
}

static void test_the_holder_of_another_job_cannot_put(void **state) {
    (void)state;
    world_advance(world.o.lease_ms + 1); /* after the restart */
    two_uploaders();
    struct plan_file file = world_file("/src", "s3://bucket/key", 100);
    file.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &file).upload;
    struct result put = put_of(&file, id);
    assert_int_equal(world_claim('U', put.ref, "").kind, VERDICT_GRANT);
    world.key = key_b;
    assert_int_equal(world_claim('V', world_ref(JOB_STAT, id, 0), "").kind, VERDICT_GRANT);
    assert_not_taken('V', &put, WHY_STALE);
    world.key = key_a;
    world_advance(world.o.lease_ms + 1); /* it is late */
    assert_int_equal(world_complete('U', &put).kind, ACK_RECORDED);
}

UNIT_MAIN(KEYS_TEST(test_a_role_for_each_message), KEYS_TEST(test_an_unknown_key_gets_no_reply),
          KEYS_TEST(test_a_foreign_incarnation_is_refused), KEYS_TEST(test_a_claim_between_bye_and_hello),
          KEYS_TEST(test_only_its_own), KEYS_TEST(test_revoked), KEYS_TEST(test_an_operator_sets_and_forgets),
          KEYS_TEST(test_a_failure_needs_the_lease), KEYS_TEST(test_a_redo_needs_the_lease),
          KEYS_TEST(test_a_put_counts_from_its_holder), KEYS_TEST(test_a_put_after_a_restart),
          KEYS_TEST(test_a_put_that_a_heartbeat_adopted_counts_from_its_holder),
          KEYS_TEST(test_a_foreign_destination_is_refused), KEYS_TEST(test_a_foreign_destination_after_a_restart),
          KEYS_TEST(test_without_keys), KEYS_TEST(test_the_holder_of_another_job_cannot_put))
