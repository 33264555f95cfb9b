/* The state rebuilt from records, its snapshot, and its tables. */
#include "capture.h"
#include "consumer_world.h"

#include "consumer/state/finished.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- helpers ---- */

static int apply_to(void *arg, const struct record *r) {
    struct state *s = arg;
    return state_apply(s, r);
}

/* The state from the journal on the disk, read by another journal_open after the consumer ended. */
static void replay(struct state *s) {
    struct journal *j;
    struct journal_options o = {.dir = JOURNAL_DIR, .io = &world_io, .apply = apply_to, .arg = s};
    assert_int_equal(state_init(s), 0);
    assert_int_equal(journal_open(&j, &o), 0);
    journal_close(&j);
}

static struct buf bytes_of(const struct state *s) {
    struct buf b = BUF_INIT;
    assert_int_equal(snapshot_encode(s, &b), 0);
    return b;
}

static void assert_same_state(const struct state *a, const struct state *b) {
    struct buf x = bytes_of(a), y = bytes_of(b);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_release(&x);
    buf_release(&y);
}

/* Uploads in every state. */
static void live_a_little(const char *where) {
    char path[32], dest[40];
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    for (uint32_t i = 0; i < 12; i++) {
        snprintf(path, sizeof path, "%s/%u", where, i);
        snprintf(dest, sizeof dest, "s3://bucket/%u", i / 2);
        struct plan_file file = world_file(path, dest, 3 * PART);
        struct planned_file p = world_plan('P', &file);
        if (!id_is_zero(&p.superseded)) {
            world_claim('U', world_ref(JOB_ABORT, p.superseded, 0), "H");
            world_done('U', world_ref(JOB_ABORT, p.superseded, 0), "H");
        }
        struct id128 id = p.upload;
        world_claim('U', world_ref(JOB_BEGIN, id, 0), "");
        if (i % 5 == 4)
            continue;
        world_done('U', world_ref(JOB_BEGIN, id, 0), "H");
        for (uint32_t chunk = 0; chunk < i % 4; chunk++) {
            struct result r = world_result(world_ref(JOB_CHUNK, id, chunk), "H");
            r.etag = slice_of(chunk == 0 ? "" : chunk == 1 ? "odd-etag" : "0123456789abcdef0123456789abcdef");
            world_complete('U', &r);
        }
        struct result redo = world_result(world_ref(JOB_CHUNK, id, 1), "H");
        redo.outcome = OUTCOME_REDO;
        if (i == 6)
            world_complete('U', &redo);
        if (i % 4 == 3)
            world_finish('U', id);
    }
    struct plan_file put = world_file("/src/put", "file:///dst/put", 100);
    put.flags = PLAN_PUT;
    struct id128 id = world_plan('P', &put).upload;
    world_claim('U', world_ref(JOB_PUT, id, 0), "");
    struct result r = world_result(world_ref(JOB_PUT, id, 0), "");
    r.source = put.source;
    r.target = put.target;
    world_complete('U', &r);
}

/* ---- replay ---- */

static void test_replay_gives_the_same_state(void **state) {
    (void)state;
    struct state fresh;
    live_a_little("/src");
    struct buf live = bytes_of(&world.c->state);
    assert_true(world.c->state.count >= 3 && world.c->state.finished.count >= 3);
    world_kill();
    replay(&fresh);
    struct buf replayed = bytes_of(&fresh);
    assert_int_equal(live.len, replayed.len);
    assert_memory_equal(live.data, replayed.data, live.len);
    buf_release(&live);
    buf_release(&replayed);
    state_release(&fresh);
}

/* A snapshot and the records after it give the same state as all records; the consumer does the
 * same. */
static void test_snapshot_and_rest_give_the_same_state(void **state) {
    (void)state;
    struct state fresh;
    live_a_little("/src");
    ledger_save_snapshot(world.c);
    world_bye('P');
    world_bye('U');
    live_a_little("/elsewhere"); /* supersedes the unfinished one */
    world_kill();
    replay(&fresh);
    world_start();
    assert_same_state(&world.c->state, &fresh);
    state_release(&fresh);
}

/* Waits until the child has ended, and the next one that was due. */
static void await_snapshot(void) {
    for (int i = 0; i < 2000 && (world.c->snapshot_writer.child || world.c->snapshot_writer.due); i++) {
        usleep(5000);
        assert_int_equal(consumer_round(world.c, world.now, world.now), 0);
    }
    assert_int_equal(world.c->snapshot_writer.child, 0);
}

static void test_rotation_leaves_a_snapshot(void **state) {
    (void)state;
    struct journal_position pos;
    struct buf body = BUF_INIT;
    world_kill();
    world.o.rotate_bytes = 3000;
    world_start();
    live_a_little("/src");
    assert_true(journal_rotations(world.c->journal) > 1);
    await_snapshot();
    assert_int_equal(snapshot_read(JOURNAL_DIR, &pos, &body), 0);
    assert_true(pos.seq > 1);
    struct state loaded, fresh;
    assert_int_equal(state_init(&loaded), 0);
    assert_int_equal(snapshot_decode(buf_slice(&body), &loaded), 0);
    state_release(&loaded);
    buf_release(&body);
    world_kill();
    replay(&fresh);
    world_start();
    assert_same_state(&world.c->state, &fresh);
    state_release(&fresh);
}

/* The lock is released with its holder, whatever the child does: the child dies with its parent
 * and has no descriptor. */
static void test_a_snapshot_being_written_stands_in_nobodys_way(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        live_a_little("/src");
        ledger_begin_snapshot(world.c);
        ledger_begin_snapshot(world.c);
        assert_true(world.c->snapshot_writer.child > 0 && world.c->snapshot_writer.due);
        world_kill();
        world_start();
    }
}

/* The consumer continues during a snapshot. Another one that was requested follows, with the new
 * records. */
static void test_a_snapshot_that_was_due_follows(void **state) {
    (void)state;
    struct journal_position pos;
    struct buf body = BUF_INIT;
    pid_t first = fork(); /* acts as a slow child */
    if (first == 0)
        for (;;)
            pause();
    assert_true(first > 0);
    world.c->snapshot_writer.child = first;
    live_a_little("/src");
    ledger_begin_snapshot(world.c);
    assert_int_equal(world.c->snapshot_writer.child, first);
    assert_int_equal(kill(first, SIGKILL), 0);
    await_snapshot();
    assert_int_equal(snapshot_read(JOURNAL_DIR, &pos, &body), 0);
    assert_int_equal(pos.seq, journal_seq(world.c->journal));
    buf_release(&body);
}

/* A snapshot of another journal, or a missing one, only costs time. */
static void test_a_snapshot_that_does_not_fit_is_ignored(void **state) {
    (void)state;
    struct state fresh;
    struct journal_position pos;
    live_a_little("/src");
    journal_position(world.c->journal, &pos);
    pos.h[0] = pos.h[0] == '0' ? '1' : '0';
    struct buf body = bytes_of(&world.c->state);
    assert_int_equal(snapshot_write(JOURNAL_DIR, &pos, buf_slice(&body)), 0);
    buf_release(&body);
    world_kill();
    replay(&fresh);
    world_start();
    assert_same_state(&world.c->state, &fresh);
    state_release(&fresh);
}

/* ---- damage ---- */

static void test_every_damaged_byte_is_noticed(void **state) {
    (void)state;
    struct state s;
    live_a_little("/src");
    struct buf b = bytes_of(&world.c->state);
    assert_int_equal(state_init(&s), 0);
    for (size_t i = 0; i < b.len; i++) {
        b.data[i] ^= 0x20;
        assert_int_equal(snapshot_decode(buf_slice(&b), &s), ERR_DAMAGED);
        assert_int_equal(s.count + s.finished.count + s.recently_ended.count, 0);
        b.data[i] ^= 0x20;
    }
    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(snapshot_decode(slice_make(b.data, len), &s), ERR_DAMAGED);
    assert_int_equal(snapshot_decode(buf_slice(&b), &s), 0);
    buf_release(&b);
    state_release(&s);
}

/* The same with a corrected checksum: no length or number in it may cause a fault. */
static void test_no_length_in_a_snapshot_is_trusted(void **state) {
    (void)state;
    struct state s;
    live_a_little("/src");
    struct buf b = bytes_of(&world.c->state);
    assert_int_equal(state_init(&s), 0);
    for (size_t i = 4; i < b.len - 4; i++) {
        char saved = b.data[i];
        for (unsigned value = 0; value < 256; value += 51) {
            b.data[i] = (char)value;
            uint32_t crc = crc32c_add(0, b.data, b.len - 4);
            for (int k = 0; k < 4; k++)
                b.data[b.len - 4 + (size_t)k] = (char)(crc >> (8 * k));
            int rc = snapshot_decode(buf_slice(&b), &s);
            assert_true(rc == 0 || rc == ERR_DAMAGED);
            assert_int_equal(state_clear(&s), 0);
        }
        b.data[i] = saved;
    }
    buf_release(&b);
    state_release(&s);
}

static void test_nothing_may_be_left_over(void **state) {
    (void)state;
    struct state s;
    live_a_little("/src");
    struct buf b = bytes_of(&world.c->state);
    assert_int_equal(state_init(&s), 0);
    assert_int_equal(buf_add_byte(&b, 0), 0);
    uint32_t crc = crc32c_add(0, b.data, b.len - 4);
    for (int k = 0; k < 4; k++)
        b.data[b.len - 4 + (size_t)k] = (char)(crc >> (8 * k));
    assert_int_equal(snapshot_decode(buf_slice(&b), &s), ERR_DAMAGED);
    buf_release(&b);
    state_release(&s);
}

/* ---- records that do not fit ---- */

static void test_records_out_of_place_change_nothing(void **state) {
    (void)state;
    struct state s;
    struct record r = {.has = HAS_UPLOAD, .upload = {{1}}, .seq = 1};
    assert_int_equal(state_init(&s), 0);
    for (enum record_ev ev = EV_EPOCH; ev < EV_COUNT; ev++) {
        if (ev == EV_OPEN || ev == EV_BEGIN || ev == EV_PUT || ev == EV_FINISH || ev == EV_ABORT)
            continue;
        r.ev = ev;
        assert_int_equal(state_apply(&s, &r), 0);
        assert_int_equal(s.count + s.finished.count + s.recently_ended.count, 0);
    }
    r = (struct record){.ev = EV_BEGIN, .upload = {{2}}, .src = slice_of("/a"), .dest = slice_of("s3://b/c")};
    r.file.size = 10 * PART;
    r.chunk_size = PART;
    r.chunks = 11; /* impossible */
    r.handle = slice_of("H");
    r.has = HAS_UPLOAD | HAS_GEOMETRY | HAS_HANDLE;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_false(s.uploads[0]->begun);
    r.chunks = 10;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_true(s.uploads[0]->begun);
    r.ev = EV_CHUNK;
    r.chunk = 10;
    assert_int_equal(state_apply(&s, &r), 0);
    r.ev = EV_REDO;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_int_equal(s.uploads[0]->done_count, 0);
    state_release(&s);
}

static void test_carried_state_counts_once(void **state) {
    (void)state;
    struct state s;
    struct record r = {.ev = EV_CARRY, .upload = {{2}}, .src = slice_of("/a"), .dest = slice_of("s3://b/c")};
    assert_int_equal(state_init(&s), 0);
    r.kind = slice_of("finished");
    r.seq = 5;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_int_equal(state_apply(&s, &r), 0);
    assert_int_equal(s.finished.count, 1);
    assert_int_equal(s.finished.total, 1);
    r.kind = slice_of("upload");
    r.upload.b[0] = 3;
    r.dest = slice_of("s3://b/d");
    assert_int_equal(state_apply(&s, &r), 0);
    assert_true(s.uploads[0]->opened && !s.uploads[0]->begun);
    r.file.size = 2 * PART;
    r.ev = EV_FORGET;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_int_equal(s.count, 0);
    r.upload.b[0] = 2;
    assert_int_equal(state_apply(&s, &r), 0);
    assert_int_equal(s.finished.count, 0);
    state_release(&s);
}

/* ---- tables ---- */

static struct id128 id_of(uint64_t n) {
    struct id128 id = {{0}};
    uint64_t h = n * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(id.b, &h, sizeof h);
    memcpy(id.b + 8, &n, sizeof n);
    return id;
}

static void test_finished_holds_the_last_of_each_destination(void **state) {
    (void)state;
    struct finished f;
    assert_int_equal(finished_init(&f), 0);
    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < 50000; i++) {
            struct finished_entry e = {.dest = hash_number(i), .key = i + round, .upload = id_of(i), .seq = i + round};
            assert_int_equal(finished_put(&f, &e), 0);
        }
    assert_int_equal(f.count, 50000);
    assert_int_equal(f.total, 100000);
    for (uint64_t i = 0; i < 50000; i++) {
        assert_int_equal(finished_find(&f, hash_number(i))->seq, i + 1);
        assert_null(finished_find(&f, hash_number(i + 100000)));
    }
    finished_release(&f);
}

static void test_ended_forgets_the_oldest(void **state) {
    (void)state;
    struct recently_ended e;
    assert_int_equal(recently_ended_init(&e), 0);
    for (uint64_t i = 0; i < RECENTLY_ENDED_MAX + 10; i++) {
        struct id128 id = id_of(i);
        recently_ended_add(&e, &id, ENDED_FINISHED, i);
    }
    struct id128 old = id_of(9), first = id_of(10), last = id_of(RECENTLY_ENDED_MAX + 9);
    assert_null(recently_ended_find(&e, &old));
    assert_int_equal(recently_ended_find(&e, &first)->seq, 10);
    assert_int_equal(recently_ended_find(&e, &last)->seq, RECENTLY_ENDED_MAX + 9);
    recently_ended_clear(&e);
    assert_null(recently_ended_find(&e, &last));
    recently_ended_release(&e);
}

static void test_fields_of_a_fingerprint_do_not_run_together(void **state) {
    (void)state;
    struct digest *sha;
    struct id128 a, b;
    assert_int_equal(digest_new(&sha, DIGEST_SHA256), 0);
    assert_int_equal(fingerprint_dest(sha, slice_of("ab"), slice_of("c"), &a), 0);
    assert_int_equal(fingerprint_dest(sha, slice_of("a"), slice_of("bc"), &b), 0);
    assert_false(id_equal(&a, &b));
    assert_int_equal(fingerprint_dest(sha, slice_of("ab"), slice_of("c"), &b), 0);
    assert_true(id_equal(&a, &b));
    digest_destroy(&sha);
}

/* The process that writes a snapshot has the stderr of the consumer. */
static void test_a_snapshot_that_cannot_be_written_is_logged(void **state) {
    (void)state;
    static struct capture c;
    live_a_little("/src");
    assert_int_equal(mkdir(JOURNAL_DIR "/" SNAPSHOT_NAME, 0700), 0);
    log_setup("test", LOG_DEBUG, false);
    capture_begin(&c, STDERR_FILENO);
    ledger_begin_snapshot(world.c);
    int status, child = world.c->snapshot_writer.child;
    assert_int_equal(waitpid(child, &status, 0), child);
    const char *said = capture_end(&c);
    log_setup("test", LOG_WARN, false);
    assert_int_equal(rmdir(JOURNAL_DIR "/" SNAPSHOT_NAME), 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(said, JOURNAL_DIR "/" SNAPSHOT_NAME ": rename: "));
    assert_null(strstr(said, "priority"));
    assert_null(strstr(said, "fork"));
}

/* For waitpid and kill, a pid of 0 would mean the whole group. */
static void test_other_children_of_the_process_are_left_alone(void **state) {
    (void)state;
    struct snapshot_writer none = {0};
    siginfo_t info;
    int status;
    pid_t other = fork();
    if (other == 0)
        _exit(3);
    assert_int_equal(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT), 0);
    assert_false(snapshot_writer_poll(&none));
    snapshot_writer_stop(&none);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

UNIT_MAIN(WORLD_TEST(test_replay_gives_the_same_state), WORLD_TEST(test_snapshot_and_rest_give_the_same_state),
          WORLD_TEST(test_rotation_leaves_a_snapshot), WORLD_TEST(test_a_snapshot_being_written_stands_in_nobodys_way),
          WORLD_TEST(test_a_snapshot_that_was_due_follows), WORLD_TEST(test_a_snapshot_that_does_not_fit_is_ignored),
          WORLD_TEST(test_every_damaged_byte_is_noticed), WORLD_TEST(test_no_length_in_a_snapshot_is_trusted),
          WORLD_TEST(test_nothing_may_be_left_over), cmocka_unit_test(test_records_out_of_place_change_nothing),
          cmocka_unit_test(test_carried_state_counts_once),
          cmocka_unit_test(test_finished_holds_the_last_of_each_destination),
          cmocka_unit_test(test_ended_forgets_the_oldest),
          cmocka_unit_test(test_fields_of_a_fingerprint_do_not_run_together),
          WORLD_TEST(test_a_snapshot_that_cannot_be_written_is_logged),
          cmocka_unit_test(test_other_children_of_the_process_are_left_alone))
