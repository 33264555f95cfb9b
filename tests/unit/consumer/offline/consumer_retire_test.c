/* `journal retire`: the carried records, and what it refuses. */
#include "offline_support.h"

static void test_the_state_is_the_same(void **state) {
    (void)state;
    offline_journal_make(true);
    struct buf before = state_dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    size_t sealed = sealed_in(JOURNAL_DIR);
    assert_true(sealed >= 4);
    struct retire_options o = {.dir = JOURNAL_DIR, .keep = 1, .remove = true};
    assert_int_equal(retire_quietly(&o), 0);
    assert_int_equal(sealed_in(JOURNAL_DIR), 1);
    assert_true(verified(JOURNAL_DIR).from > 1);
    shell("cp -a " JOURNAL_DIR " with-snapshot && rm " JOURNAL_DIR "/snapshot");
    struct buf after = state_dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    assert_same_text(&before, &after);
    /* the snapshot agrees with the journal */
    struct buf places = state_dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED | PLACES);
    struct state s;
    struct journal_position pos;
    struct buf body = BUF_INIT;
    assert_int_equal(snapshot_read("with-snapshot", &pos, &body), 0);
    assert_int_equal(state_init(&s), 0);
    assert_int_equal(snapshot_decode(buf_slice(&body), &s), 0);
    struct buf cached = state_dump_of(&s, UNFINISHED | FINISHED | PLACES);
    assert_same_text(&places, &cached);
    assert_int_equal(s.finished.total, s.finished.count);
    state_release(&s);
    buf_release(&body);
    buf_release(&cached);
    buf_release(&places);
    buf_release(&after);
    buf_release(&before);
}

/* Repeated: the state stays the same, and a file without use needs no carry. */
static void test_retired_journals_can_be_retired(void **state) {
    (void)state;
    offline_journal_make(true);
    struct buf before = state_dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
    for (int i = 0; i < 3; i++) {
        struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
        assert_int_equal(retire_quietly(&o), 0);
        world.o.rotate_bytes = 1; /* the carried lines are in a sealed file now */
        world_start();
        bool clean;
        assert_int_equal(consumer_stop(world.c, &clean), 0);
        world_kill();
        struct buf after = state_dump_dir(JOURNAL_DIR, UNFINISHED | FINISHED);
        assert_same_text(&before, &after);
        verified(JOURNAL_DIR);
        buf_release(&after);
    }
    buf_release(&before);
}

/* Rule 6: uploaders that worked when the consumer died may still work. */
static void test_stop_is_written_only_after_a_clean_end(void **state) {
    (void)state;
    offline_journal_make(false);
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
    struct state s;
    assert_int_equal(retire_quietly(&o), 0);
    assert_false(offline_replay(JOURNAL_DIR, &s));
    state_release(&s);
    shell("rm -r " JOURNAL_DIR);
    offline_journal_make(true);
    assert_int_equal(retire_quietly(&o), 0);
    assert_true(offline_replay(JOURNAL_DIR, &s));
    state_release(&s);
}

static void test_finished_ones_can_be_left_behind(void **state) {
    (void)state;
    offline_journal_make(true);
    struct buf unfinished = state_dump_dir(JOURNAL_DIR, UNFINISHED);
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true, .forget_finished = true};
    assert_int_equal(retire_quietly(&o), 0);
    struct state s;
    struct buf with_snapshot = BUF_INIT;
    world_start();
    state_dump(&world.c->state, UNFINISHED | FINISHED | PLACES, &with_snapshot);
    world_kill();
    offline_replay(JOURNAL_DIR, &s);
    struct buf after = state_dump_of(&s, UNFINISHED), all = state_dump_of(&s, UNFINISHED | FINISHED | PLACES);
    assert_same_text(&unfinished, &after);
    assert_same_text(&with_snapshot, &all);
    assert_true(s.finished.count < 12);
    state_release(&s);
    buf_release(&all);
    buf_release(&with_snapshot);
    buf_release(&after);
    buf_release(&unfinished);
}

static const struct finished_entry *entry_at(struct state *s, const char *dest) {
    struct id128 place;
    assert_int_equal(fingerprint_dest(s->sha, slice_of(""), slice_of(dest), &place), 0);
    return finished_find(&s->finished, finished_short(&place));
}

static void remove_object(const char *dest, bool done) {
    struct plan_file file = world_file(dest, dest, 0);
    file.upload = entry_at(&world.c->state, dest)->upload;
    file.removal = REMOVAL_BEGINS;
    assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
    file.removal = REMOVAL_DONE;
    if (done)
        assert_int_equal(world_plan('P', &file).state, PLANNED_DONE);
}

/* The object may be there or gone. It is unknown afterwards. */
static void test_an_upload_whose_removal_began_is_not_carried(void **state) {
    (void)state;
    struct state s;
    bool clean;
    offline_journal_make(true);
    world_start();
    world_hello('P', ROLE_PRODUCER);
    remove_object("s3://bucket/4", false);
    remove_object("s3://bucket/5", true);
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    size_t before = world.c->state.finished.count;
    assert_true(entry_at(&world.c->state, "s3://bucket/4")->deleting);
    assert_null(entry_at(&world.c->state, "s3://bucket/5"));
    world_kill();
    struct buf unfinished = state_dump_dir(JOURNAL_DIR, UNFINISHED);
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
    assert_int_equal(retire_quietly(&o), 0);
    verified(JOURNAL_DIR);
    shell("! grep -l '\"kind\":\"finished\".*s3://bucket/[45]\"' " JOURNAL_DIR "/*.jsonl");
    shell("cp -a " JOURNAL_DIR " with-snapshot && rm " JOURNAL_DIR "/snapshot");
    offline_replay(JOURNAL_DIR, &s);
    assert_int_equal(s.finished.count, before - 1);
    assert_null(entry_at(&s, "s3://bucket/4"));
    assert_non_null(entry_at(&s, "s3://bucket/7"));
    struct buf after = state_dump_of(&s, UNFINISHED), all = state_dump_of(&s, UNFINISHED | FINISHED);
    struct buf cached = state_dump_dir("with-snapshot", UNFINISHED | FINISHED);
    assert_same_text(&unfinished, &after);
    assert_same_text(&all, &cached);
    state_release(&s);
    buf_release(&cached);
    buf_release(&all);
    buf_release(&after);
    buf_release(&unfinished);
}

static void test_a_consumer_must_not_run(void **state) {
    (void)state;
    offline_journal_make(true);
    world_start();
    struct retire_options o = {.dir = JOURNAL_DIR, .remove = true};
    size_t sealed = sealed_in(JOURNAL_DIR);
    assert_int_equal(retire_quietly(&o), ERR_BUSY);
    assert_int_equal(sealed_in(JOURNAL_DIR), sealed);
    o.remove = false; /* listing is possible */
    assert_int_equal(retire_quietly(&o), 0);
    world_kill();
    o.archive = JOURNAL_DIR;
    assert_int_equal(retire_quietly(&o), ERR_USAGE);
    o.dir = "nowhere";
    assert_int_equal(retire_quietly(&o), ERR_NOT_FOUND);
    assert_int_not_equal(access("nowhere", F_OK), 0);
}

static void test_an_archive_replaces_nothing(void **state) {
    (void)state;
    offline_journal_make(true);
    struct retire_options o = {.dir = JOURNAL_DIR, .archive = "archive"};
    size_t sealed = sealed_in(JOURNAL_DIR);
    shell("mkdir archive && echo mine > archive/journal.00000000000000000001.jsonl");
    assert_int_equal(retire_quietly(&o), ERR_BUSY);
    assert_int_equal(sealed_in(JOURNAL_DIR), sealed);
    shell("grep -q mine archive/journal.00000000000000000001.jsonl && rm archive/*");
    assert_int_equal(retire_quietly(&o), 0);
    assert_int_equal(sealed_in(JOURNAL_DIR), 0);
    assert_int_equal(sealed_in("archive"), sealed);
    /* put back, all of it is one journal again */
    shell("cp archive/journal.* " JOURNAL_DIR);
    assert_int_equal(verified(JOURNAL_DIR).from, 0);
}

UNIT_MAIN(OFFLINE_TEST(test_the_state_is_the_same), OFFLINE_TEST(test_retired_journals_can_be_retired),
          OFFLINE_TEST(test_stop_is_written_only_after_a_clean_end),
          OFFLINE_TEST(test_finished_ones_can_be_left_behind),
          OFFLINE_TEST(test_an_upload_whose_removal_began_is_not_carried), OFFLINE_TEST(test_a_consumer_must_not_run),
          OFFLINE_TEST(test_an_archive_replaces_nothing))
