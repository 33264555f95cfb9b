/* Snapshots for the journal of damaged_journal.h: of any moment, damaged at every byte, of
 * another journal. Each start is compared with one without a snapshot. */
#include "damaged_journal.h"

static int send_nothing(void *arg, const void *route, size_t len, struct slice frame) {
    (void)arg, (void)route, (void)len, (void)frame;
    return 0;
}

/* The state after a start on the present files. The active file is restored afterwards. */
static struct buf start_state(const struct buf *active) {
    struct consumer *c = NULL;
    struct consumer_options o = {.dir = DIR_NAME, .io = &fault_io, .send = send_nothing, .lease_ms = LEASE_MS_DEFAULT};
    struct buf body = BUF_INIT;
    file_put_new(ACTIVE, buf_slice(active));
    assert_int_equal(consumer_new(&c, &o, 1000), 0);
    assert_int_equal(snapshot_encode(&c->state, &body), 0);
    consumer_destroy(&c);
    file_put_new(ACTIVE, buf_slice(active));
    return body;
}

#define SNAPSHOT DIR_NAME "/" SNAPSHOT_NAME

static struct buf state_without(const struct buf *active) {
    unlink(SNAPSHOT);
    return start_state(active);
}

static void same_state(const struct buf *want, const struct buf *active) {
    struct buf have = start_state(active);
    tally.positions++;
    assert_true(slice_equal(buf_slice(want), buf_slice(&have)));
    buf_release(&have);
}

static void put_snapshot(const struct moment *m) {
    assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &m->pos, buf_slice(&m->body)), 0);
}

static void test_a_snapshot_of_any_moment_changes_nothing(void **state) {
    (void)state;
    written_create();
    log_listen_begin();
    struct buf want = state_without(&written.active);
    assert_true(slice_equal(buf_slice(&want), buf_slice(&moments[moment_count - 1].body)));
    for (size_t i = 0; i < moment_count; i++) {
        put_snapshot(&moments[i]);
        same_state(&want, &written.active);
    }
    print_message("snapshots: %u of earlier moments gone on from\n", tally.positions);
    log_listen_end();
    tally = (struct tally){0};
    buf_release(&want);
}

static void test_a_snapshot_that_does_not_fit_is_ignored(void **state) {
    (void)state;
    struct moment other, wrong;
    written_create();
    other = moments[moment_count / 2];
    moments[moment_count / 2].body = (struct buf)BUF_INIT;
    written_create();
    log_listen_begin();
    struct buf want = state_without(&written.active);
    put_snapshot(&other); /* another journal's, with the same numbers */
    same_state(&want, &written.active);
    for (size_t i = 0; i < moment_count; i++) {
        wrong = moments[i]; /* the state of another moment with a head that never existed */
        wrong.body = moments[(i + 1) % moment_count].body;
        wrong.pos.h[i % ID_HEX_LEN] ^= 1;
        put_snapshot(&wrong);
        same_state(&want, &written.active);
        wrong.pos = moments[i].pos;
        wrong.pos.seq = written.count + 1 + i; /* of lines that do not exist */
        put_snapshot(&wrong);
        same_state(&want, &written.active);
        wrong.pos.seq = moments[i].pos.seq + 1; /* the head of the line before */
        put_snapshot(&wrong);
        same_state(&want, &written.active);
    }
    wrong.pos = moments[moment_count - 1].pos; /* a whole file without a state */
    wrong.body = other.body;
    wrong.body.len--;
    put_snapshot(&wrong);
    same_state(&want, &written.active);
    print_message("snapshots: %u that do not fit ignored\n", tally.positions);
    log_listen_end();
    tally = (struct tally){0};
    buf_release(&want);
    buf_release(&other.body);
}

/* The journal lost its end after the snapshot's line: the journal counts. */
static void test_a_snapshot_ahead_of_the_journal_is_ignored(void **state) {
    (void)state;
    written_create();
    log_listen_begin();
    size_t base = written.lines[written.active_first].start;
    for (size_t i = written.active_first; i < written.count; i++) {
        struct buf cut = {written.active.data, written.lines[i].start - base, 0};
        struct buf want = state_without(&cut);
        put_snapshot(&moments[moment_count - 1]);
        same_state(&want, &cut);
        buf_release(&want);
    }
    print_message("snapshots: %u ahead of a journal that lost its end ignored\n", tally.positions);
    log_listen_end();
    tally = (struct tally){0};
}

static void test_a_snapshot_damaged_at_every_byte_is_ignored(void **state) {
    (void)state;
    written_create();
    log_listen_begin();
    struct buf want = state_without(&written.active);
    struct moment *m = &moments[moment_count / 2], lie = *m;
    put_snapshot(m);
    struct buf whole = file_bytes(SNAPSHOT);
    for (size_t at = 0; at < whole.len; at += STEP)
        for (enum change change = BIT_0; change < CHANGES; change++) {
            char was = whole.data[at];
            whole.data[at] = byte_changed(was, change);
            if (whole.data[at] != was) {
                file_put_new(SNAPSHOT, buf_slice(&whole));
                same_state(&want, &written.active);
            }
            whole.data[at] = was;
        }
    for (size_t len = 0; len < whole.len; len += STEP) {
        file_put_new(SNAPSHOT, slice_make(whole.data, len));
        same_state(&want, &written.active);
    }
    assert_int_equal(buf_add(&whole, "\0", 1), 0);
    file_put_new(SNAPSHOT, buf_slice(&whole));
    same_state(&want, &written.active);
    /* The test detects a wrong one: a whole snapshot with the right position and another state
     * is used. */
    lie.body = moments[0].body;
    put_snapshot(&lie);
    struct buf wrong = start_state(&written.active);
    assert_false(slice_equal(buf_slice(&want), buf_slice(&wrong)));
    print_message("snapshots: %u damaged ones ignored\n", tally.positions);
    log_listen_end();
    tally = (struct tally){0};
    buf_release(&wrong);
    buf_release(&whole);
    buf_release(&want);
}

UNIT_MAIN(DAMAGE_TEST(test_a_snapshot_of_any_moment_changes_nothing),
          DAMAGE_TEST(test_a_snapshot_that_does_not_fit_is_ignored),
          DAMAGE_TEST(test_a_snapshot_ahead_of_the_journal_is_ignored),
          DAMAGE_TEST(test_a_snapshot_damaged_at_every_byte_is_ignored))
