/* PLAN with `removal` (rule 19): recorded objects without a source, and files for their destinations, which wait. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define SRC "/src/a"

static struct id128 finished_at(const char *path, const char *dest) {
    struct id128 id = world_begun('P', 'U', path, dest, 1);
    world_chunk('U', id, 0);
    world_finish('U', id);
    return id;
}

/* 'P', 'Q', the uploaders, and a finished upload of SRC at S3. */
static struct id128 finish(void) {
    world_join();
    world_hello('Q', ROLE_PRODUCER);
    return finished_at(SRC, S3);
}

static struct planned_file removal_at(char producer, struct id128 id, const char *dest, enum removal what, bool ask) {
    struct plan_file file = world_file(dest, dest, 0);
    file.upload = id;
    file.removal = what;
    file.ask = ask;
    return world_plan(producer, &file);
}

static struct planned_file removal(char producer, struct id128 id, enum removal what) {
    return removal_at(producer, id, S3, what, false);
}

static void assert_answered(struct planned_file p, struct id128 id) {
    assert_int_equal(p.state, PLANNED_DONE);
    assert_true(id_equal(&p.upload, &id));
}

/* The producer is to ask again. */
static void assert_waits(struct planned_file p) {
    assert_int_equal(p.state, PLANNED_NEW);
    assert_true(id_is_zero(&p.upload));
    assert_int_equal(p.chunk_size, 0);
}

static void assert_refused(struct planned_file p, const char *why) {
    assert_int_equal(p.state, PLANNED_REFUSED);
    assert_non_null(memmem(p.error.ptr, p.error.len, why, strlen(why)));
}

static void assert_counts(unsigned deleting, unsigned deletes) {
    assert_int_equal(world_count("deleting"), deleting);
    assert_int_equal(world_count("delete"), deletes);
}

static struct planned_file plan(char producer, const char *path, enum compare compare, uint32_t flags) {
    struct plan_file file = world_file(path, S3, PART);
    file.compare = compare;
    file.flags = flags;
    return world_plan(producer, &file);
}

static void assert_new(struct planned_file p, struct id128 other_than) {
    assert_int_equal(p.state, PLANNED_NEW);
    assert_false(id_is_zero(&p.upload) || id_equal(&p.upload, &other_than));
}

/* ---- records ---- */

static void test_the_begin_and_the_end_of_a_removal_are_recorded_once(void **state) {
    (void)state;
    struct id128 id = finish();
    uint64_t fsyncs = world.fsyncs;
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_counts(1, 0);
    assert_true(world.last_fsyncs > fsyncs); /* the record was durable when the answer left */
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_counts(1, 0);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_refused(removal('P', id, REMOVAL_BEGINS), "is not the last upload at its destination");
    assert_new(plan('P', SRC, COMPARE_TIMES, 0), id);
}

static void test_the_records_name_upload_and_destination(void **state) {
    (void)state;
    char want[200], hex[ID_HEX_SIZE];
    world_join();
    struct id128 id = finished_at(SRC, "file:///dst/a");
    id_to_hex(&id, hex);
    assert_answered(removal_at('P', id, "file:///dst/a", REMOVAL_BEGINS, false), id);
    assert_answered(removal_at('P', id, "file:///dst/a", REMOVAL_DONE, false), id);
    for (int i = 0; i < 2; i++) {
        snprintf(want, sizeof want,
                 "\"ev\":\"%s\",\"upload\":\"%s\",\"dest\":\"file:///dst/a\",\"endpoint\":\"\",\"h\":",
                 i ? "delete" : "deleting", hex);
        assert_int_equal(world_occurrences(want), 1);
    }
}

static void test_only_the_last_upload_at_its_destination_is_removed(void **state) {
    (void)state;
    struct id128 old = finish(), none = {{0}};
    struct plan_file elsewhere = world_file(S3, S3, 0);
    struct id128 last = finished_at("/src/b", S3);
    assert_refused(removal('P', old, REMOVAL_BEGINS), "is not the last upload at its destination");
    assert_refused(removal_at('P', last, "s3://bucket/other", REMOVAL_BEGINS, false), "is not the last upload");
    elsewhere.upload = last;
    elsewhere.removal = REMOVAL_BEGINS;
    elsewhere.target.endpoint = slice_of("http://other");
    assert_refused(world_plan('P', &elsewhere), "is not the last upload");
    for (enum removal r = REMOVAL_BEGINS; r <= REMOVAL_FAILED; r++)
        assert_refused(removal('P', none, r), "names no upload");
    assert_counts(0, 0);
    assert_answered(removal('P', last, REMOVAL_BEGINS), last);
}

static void test_the_end_of_a_removal_needs_its_begin(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_refused(removal('P', id, REMOVAL_DONE), "was not announced");
    assert_answered(removal('P', id, REMOVAL_FAILED), id);
    assert_counts(0, 0);
    assert_int_equal(plan('P', SRC, COMPARE_TIMES, 0).state, PLANNED_DONE);
}

static void test_a_question_changes_nothing(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal_at('P', id, S3, REMOVAL_BEGINS, true), id);
    assert_counts(0, 0);
    assert_int_equal(plan('Q', SRC, COMPARE_TIMES, 0).state, PLANNED_DONE);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_refused(removal_at('Q', id, S3, REMOVAL_BEGINS, true), "another command removes it");
    assert_answered(removal_at('P', id, S3, REMOVAL_DONE, true), id);
    assert_answered(removal_at('P', id, S3, REMOVAL_FAILED, true), id);
    assert_counts(1, 0);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
}

/* ---- files for the destination ---- */

static void test_an_object_that_is_being_uploaded_is_kept(void **state) {
    (void)state;
    struct id128 id = finish();
    struct id128 planned = plan('Q', "/src/b", COMPARE_TIMES, 0).upload;
    assert_refused(removal('P', id, REMOVAL_BEGINS), "is being uploaded");
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, planned, 0), "").kind, VERDICT_GRANT);
    world_bye('Q');
    assert_refused(removal('P', id, REMOVAL_BEGINS), "is being uploaded"); /* U holds the begin */
    assert_counts(0, 0);
}

/* The file of an unfinished upload is gone too, or its command was killed. */
static void test_an_upload_that_was_left_is_no_obstacle(void **state) {
    (void)state;
    struct id128 id = finish();
    struct id128 left = plan('Q', "/src/b", COMPARE_TIMES, 0).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, left, 0), "").kind, VERDICT_GRANT);
    world_bye('Q');
    world_bye('U');
    world_hello('U', ROLE_UPLOADER);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_hello('Q', ROLE_PRODUCER);
    struct planned_file again = plan('Q', "/src/b", COMPARE_TIMES, 0);
    assert_true(id_equal(&again.upload, &left)); /* its jobs wait */
    struct verdict v = world_claim('U', world_ref(JOB_BEGIN, left, 0), "");
    assert_int_equal(v.kind, VERDICT_DENY);
    assert_int_equal(v.why, WHY_LATER);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, left, 0), "").kind, VERDICT_GRANT);
}

/* Its object may have been made before the removal, and be removed. */
static void test_a_finish_that_is_reported_after_its_lease_does_not_count(void **state) {
    (void)state;
    struct id128 id = finish();
    struct id128 left = world_begun('Q', 'U', "/src/b", S3, 1);
    struct ref last = world_ref(JOB_FINISH, left, 0);
    world_chunk('U', left, 0);
    assert_int_equal(world_claim('U', last, "H").kind, VERDICT_GRANT);
    world_bye('Q');
    world_advance(2 * world.o.lease_ms);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_int_equal(world_done('U', last, "H").why, WHY_STALE);
    assert_int_equal(world_count("finish"), 1);
}

static void test_a_file_waits_for_the_removal_at_its_destination(void **state) {
    (void)state;
    struct id128 id = finish();
    struct plan_file other = world_file(SRC, "s3://bucket/other", PART), question = world_file(SRC, S3, PART);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    size_t uploads = world.c->state.count;
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    assert_waits(plan('P', SRC, COMPARE_TIMES, 0)); /* its own, too */
    assert_waits(plan('Q', "/src/b", COMPARE_SIZE, 0));
    assert_waits(plan('Q', SRC, COMPARE_CONTENT, PLAN_FORCE));
    assert_waits(plan('Q', SRC, COMPARE_TIMES, PLAN_MISSING));
    world_advance(5 * world.o.lease_ms); /* no time ends it */
    assert_waits(plan('Q', SRC, COMPARE_TIMES, PLAN_PUT));
    assert_int_equal(world.c->state.count, uploads);
    assert_int_equal(world_plan('Q', &other).chunk_size, PART);
    question.ask = true; /* a dry run does not wait */
    struct planned_file p = world_plan('Q', &question);
    assert_int_equal(p.state, PLANNED_NEW);
    assert_int_equal(p.chunk_size, PART);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_new(plan('Q', SRC, COMPARE_TIMES, 0), id);
}

/* An interrupted removal: the object may be gone. */
static void test_a_marked_upload_never_counts_as_done(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_answered(removal('P', id, REMOVAL_FAILED), id);
    assert_counts(1, 0);
    struct plan_file file = world_file("/src/b", S3, PART);
    file.upload = id;
    file.compare = COMPARE_SIZE;
    assert_new(world_plan('Q', &file), id);
    world_bye('Q');
    file.source.path = slice_of(SRC);
    file.compare = COMPARE_CONTENT;
    assert_new(world_plan('P', &file), id);
    file.compare = COMPARE_TIMES;
    file.check = true;
    assert_new(world_plan('P', &file), id);
    assert_int_equal(world_count("same"), 0);
}

static void test_the_next_upload_has_no_mark(void **state) {
    (void)state;
    struct id128 old = finish();
    assert_answered(removal('P', old, REMOVAL_BEGINS), old);
    assert_answered(removal('P', old, REMOVAL_FAILED), old);
    struct id128 next = finished_at(SRC, S3);
    assert_false(id_equal(&old, &next));
    assert_int_equal(plan('P', SRC, COMPARE_TIMES, 0).state, PLANNED_DONE);
    assert_answered(removal('P', old, REMOVAL_DONE), old); /* late: nothing to record */
    assert_counts(1, 0);
    assert_answered(removal('Q', next, REMOVAL_BEGINS), next);
    assert_answered(removal('P', old, REMOVAL_DONE), old);
    assert_waits(plan('P', SRC, COMPARE_TIMES, 0));
    assert_counts(2, 0);
}

static void test_late_messages_of_a_removed_upload_find_its_record(void **state) {
    (void)state;
    struct id128 id = finish();
    uint64_t seq = finished_find(&world.c->state.finished, world.c->state.finished.entries[0].dest)->seq;
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    struct verdict v = world_claim('V', world_ref(JOB_FINISH, id, 0), "H");
    assert_int_equal(v.kind, VERDICT_DONE);
    assert_int_equal(v.seq, seq);
    assert_int_equal(world_done('U', world_ref(JOB_FINISH, id, 0), "H").seq, seq);
    assert_int_equal(world_count("finish"), 1);
    struct plan_file file = world_file(SRC, S3, PART);
    file.upload = id; /* its producer asks after it */
    assert_new(world_plan('P', &file), id);
}

/* ---- other commands ---- */

static void test_one_command_removes_an_object_at_a_time(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_refused(removal('Q', id, REMOVAL_BEGINS), "another command removes it");
    assert_answered(removal('Q', id, REMOVAL_DONE), id); /* the first one records it */
    assert_answered(removal('Q', id, REMOVAL_FAILED), id);
    assert_counts(1, 0);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    assert_answered(removal('P', id, REMOVAL_FAILED), id);
    assert_answered(removal('Q', id, REMOVAL_BEGINS), id);
    assert_counts(1, 0);
    assert_refused(removal('P', id, REMOVAL_BEGINS), "another command removes it");
}

static void test_the_removals_of_a_producer_that_left_last_one_lease_time_more(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_bye('P');
    world_hello('R', ROLE_PRODUCER);
    assert_waits(removal('Q', id, REMOVAL_BEGINS));
    assert_waits(removal('Q', id, REMOVAL_DONE));
    assert_waits(plan('R', SRC, COMPARE_TIMES, 0));
    world_advance(world.o.lease_ms - 1);
    assert_waits(removal('Q', id, REMOVAL_BEGINS));
    assert_waits(plan('R', SRC, COMPARE_TIMES, 0));
    assert_counts(1, 0);
    world_advance(1);
    assert_answered(removal('Q', id, REMOVAL_BEGINS), id);
    assert_waits(plan('R', SRC, COMPARE_TIMES, 0));
    assert_answered(removal('Q', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_new(plan('R', SRC, COMPARE_TIMES, 0), id);
}

static void test_a_pause_of_the_consumer_shortens_no_removal(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_bye('P');
    consumer_extend_leases(world.c, 5000);
    world_advance(world.o.lease_ms + 4999);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    world_advance(1);
    assert_new(plan('Q', SRC, COMPARE_TIMES, 0), id);
}

static void test_an_upload_that_is_being_removed_is_not_forgotten(void **state) {
    (void)state;
    struct id128 id = finish();
    struct msg m = {.type = MSG_FORGET, .forget = {.uploads = slice_make((const char *)id.b, sizeof id.b)}};
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_deliver('Q', &m);
    const struct msg_forgotten *f = &world_answer('Q', MSG_FORGOTTEN)->forgotten;
    assert_non_null(memmem(f->error.ptr, f->error.len, "is being removed", 16));
    assert_int_equal(world_count("forget"), 0);
    assert_answered(removal('P', id, REMOVAL_FAILED), id);
    world_deliver('Q', &m);
    assert_int_equal(world_answer('Q', MSG_FORGOTTEN)->forgotten.uploads.len, sizeof id);
    assert_refused(removal('P', id, REMOVAL_BEGINS), "is not the last upload");
}

/* The put of an upload that is not known here may have arrived before the object was removed. */
static void test_a_stray_put_does_not_end_a_removal(void **state) {
    (void)state;
    struct id128 id = finish();
    struct plan_file same = world_file(SRC, S3, PART), other = world_file("/src/b", S3, 100);
    struct result puts[2];
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    for (int i = 0; i < 2; i++) {
        const struct plan_file *file = i ? &other : &same;
        puts[i] = world_result(world_ref(JOB_PUT, (struct id128){{0x42, (uint8_t)i}}, 0), "");
        puts[i].source = file->source;
        puts[i].target = file->target;
        assert_int_equal(world_complete('U', &puts[i]).why, WHY_STALE);
    }
    assert_int_equal(world_count("put"), 0);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_int_equal(world_complete('U', &puts[1]).kind, ACK_RECORDED);
    assert_int_equal(world_count("put"), 1);
}

/* ---- memory ---- */

static void test_beyond_the_bound_a_removal_is_refused(void **state) {
    (void)state;
    struct id128 id = finish();
    unsigned index = world.c->peers.producers[0]->producer;
    for (uint64_t dest = 1; dest <= REMOVALS_MAX; dest++)
        assert_int_equal(removals_add(&world.c->removals, dest, index, 0), 0);
    assert_refused(removal('P', id, REMOVAL_BEGINS), "too many objects are being removed");
    assert_counts(0, 0);
    assert_int_equal(plan('Q', SRC, COMPARE_TIMES, 0).state, PLANNED_DONE);
    removals_end(&world.c->removals, 7, index);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
}

/* ---- restarts ---- */

static void restart(void) {
    world_kill();
    world.now += 3000;
    world_start();
    world_join();
    world_hello('Q', ROLE_PRODUCER);
}

/* An uploader of the last epoch may still remove the object. */
static void test_after_a_restart_marked_uploads_count_as_being_removed_for_a_lease_time(void **state) {
    (void)state;
    struct id128 id = finish(), other = finished_at("/src/b", "s3://bucket/b");
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    restart();
    struct plan_file b = world_file("/src/b", "s3://bucket/b", PART);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    assert_waits(removal('Q', id, REMOVAL_BEGINS));
    assert_waits(removal('P', id, REMOVAL_DONE));
    assert_waits(removal_at('Q', other, "s3://bucket/b", REMOVAL_BEGINS, false)); /* a put of that time may arrive */
    assert_int_equal(world_plan('Q', &b).state, PLANNED_DONE);
    world_advance(world.o.lease_ms - 1);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    assert_waits(removal('P', id, REMOVAL_DONE));
    assert_counts(1, 0);
    world_advance(1);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_new(plan('Q', SRC, COMPARE_TIMES, 0), id);
    assert_answered(removal_at('Q', other, "s3://bucket/b", REMOVAL_BEGINS, false), other);
}

static void test_an_upload_that_began_after_a_removal_goes_on_after_a_restart(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_answered(removal('P', id, REMOVAL_FAILED), id);
    struct id128 next = world_begun('P', 'U', SRC, S3, 1);
    restart();
    struct planned_file p = plan('P', SRC, COMPARE_TIMES, 0);
    assert_int_equal(p.state, PLANNED_OPEN);
    assert_true(id_equal(&p.upload, &next));
}

static bool stops_cleanly(void) {
    bool clean;
    assert_int_equal(consumer_stop(world.c, &clean), 0);
    return clean;
}

static void test_a_stop_during_a_removal_is_not_clean(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    assert_false(stops_cleanly());
    restart();
    assert_waits(removal('Q', id, REMOVAL_BEGINS));
    consumer_skip_grace(world.c); /* all former holders are dead; a store may still have a request of them */
    assert_answered(removal('Q', id, REMOVAL_BEGINS), id);
    assert_waits(removal('Q', id, REMOVAL_DONE));
    world_advance(world.o.lease_ms);
    assert_answered(removal('Q', id, REMOVAL_DONE), id);
    assert_counts(1, 1);
    assert_true(stops_cleanly());
}

/* Its producer left with objects of a request without an answer. */
static void test_a_stop_soon_after_a_removal_is_not_clean(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_bye('P');
    assert_false(stops_cleanly());
    restart();
    consumer_skip_grace(world.c);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    world_advance(world.o.lease_ms);
    assert_new(plan('Q', SRC, COMPARE_TIMES, 0), id);
}

static void test_a_repeated_begin_does_not_meet_later_plans(void **state) {
    (void)state;
    struct id128 id = finish();
    struct id128 left = plan('Q', "/src/b", COMPARE_TIMES, 0).upload;
    assert_int_equal(world_claim('U', world_ref(JOB_BEGIN, left, 0), "").kind, VERDICT_GRANT);
    world_bye('Q');
    world_bye('U');
    world_hello('U', ROLE_UPLOADER);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    world_hello('Q', ROLE_PRODUCER);
    (void)plan('Q', "/src/b", COMPARE_TIMES, 0);
    assert_answered(removal('P', id, REMOVAL_BEGINS), id); /* the first answer was late */
}

static void test_a_snapshot_keeps_the_mark(void **state) {
    (void)state;
    struct id128 id = finish();
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    ledger_save_snapshot(world.c);
    restart();
    assert_true(world.c->state.finished.entries[0].deleting);
    assert_waits(plan('Q', SRC, COMPARE_TIMES, 0));
    world_advance(world.o.lease_ms);
    assert_answered(removal('P', id, REMOVAL_DONE), id);
    ledger_save_snapshot(world.c);
    restart();
    assert_int_equal(world.c->state.finished.count, 0);
}

/* It offered delete jobs before, and an uploader may still have these offers. */
static void test_a_producer_that_outlived_a_consumer_begins_no_removal(void **state) {
    (void)state;
    struct id128 id = finish(), other = finished_at("/src/b", "s3://bucket/b");
    assert_answered(removal('P', id, REMOVAL_BEGINS), id);
    struct id128 journal = *journal_id(world.c->journal);
    world_kill();
    world_start();
    consumer_skip_grace(world.c);
    world_hello('Q', ROLE_PRODUCER);
    struct msg m = {.type = MSG_HELLO, .journal = journal, .hello = {.role = ROLE_PRODUCER, .host = slice_of("host")}};
    world_deliver('P', &m);
    world_answer('P', MSG_WELCOME);
    assert_refused(removal('P', id, REMOVAL_BEGINS), "run the command again");
    assert_refused(removal_at('P', other, "s3://bucket/b", REMOVAL_BEGINS, false), "run the command again");
    assert_waits(removal('P', id, REMOVAL_DONE));
    world_advance(world.o.lease_ms);
    assert_answered(removal('P', id, REMOVAL_DONE), id); /* the answer to its job came before */
    assert_counts(1, 1);
    world_deliver('Q', &m); /* repeated after its WELCOME */
    assert_answered(removal_at('Q', other, "s3://bucket/b", REMOVAL_BEGINS, false), other);
}

UNIT_MAIN(WORLD_TEST(test_the_begin_and_the_end_of_a_removal_are_recorded_once),
          WORLD_TEST(test_the_records_name_upload_and_destination),
          WORLD_TEST(test_only_the_last_upload_at_its_destination_is_removed),
          WORLD_TEST(test_the_end_of_a_removal_needs_its_begin), WORLD_TEST(test_a_question_changes_nothing),
          WORLD_TEST(test_an_object_that_is_being_uploaded_is_kept),
          WORLD_TEST(test_an_upload_that_was_left_is_no_obstacle),
          WORLD_TEST(test_a_finish_that_is_reported_after_its_lease_does_not_count),
          WORLD_TEST(test_a_file_waits_for_the_removal_at_its_destination),
          WORLD_TEST(test_a_marked_upload_never_counts_as_done), WORLD_TEST(test_the_next_upload_has_no_mark),
          WORLD_TEST(test_late_messages_of_a_removed_upload_find_its_record),
          WORLD_TEST(test_one_command_removes_an_object_at_a_time),
          WORLD_TEST(test_the_removals_of_a_producer_that_left_last_one_lease_time_more),
          WORLD_TEST(test_a_pause_of_the_consumer_shortens_no_removal),
          WORLD_TEST(test_an_upload_that_is_being_removed_is_not_forgotten),
          WORLD_TEST(test_a_stray_put_does_not_end_a_removal), WORLD_TEST(test_beyond_the_bound_a_removal_is_refused),
          WORLD_TEST(test_after_a_restart_marked_uploads_count_as_being_removed_for_a_lease_time),
          WORLD_TEST(test_an_upload_that_began_after_a_removal_goes_on_after_a_restart),
          WORLD_TEST(test_a_stop_during_a_removal_is_not_clean),
          WORLD_TEST(test_a_stop_soon_after_a_removal_is_not_clean),
          WORLD_TEST(test_a_repeated_begin_does_not_meet_later_plans), WORLD_TEST(test_a_snapshot_keeps_the_mark),
          WORLD_TEST(test_a_producer_that_outlived_a_consumer_begins_no_removal))
