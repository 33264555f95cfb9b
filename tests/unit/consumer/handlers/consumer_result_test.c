/* COMPLETE: the fields of the records, results that do not fit, and the end of the job's leases. */
#include "consumer_world.h"

#define S3 "s3://bucket/key"
#define FILE_DEST "file:///dst/a"

static void assert_refused(struct ack a, enum why why) {
    assert_int_equal(a.kind, ACK_REFUSED);
    assert_int_equal(a.why, why);
}

static void assert_recorded(struct ack a) {
    assert_int_equal(a.kind, ACK_RECORDED);
}

static uint64_t head(void) {
    return journal_seq(world.c->journal);
}

static const struct event *last_event(void) {
    return &events_at(&world.c->events, world.c->events.next - 1)->e;
}

/* ---- fields ---- */

static void test_a_chunk_has_its_proof_and_its_way(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_occurrences("\"via\""), 0);
    assert_int_equal(world_occurrences("\"integrity\""), 0);
    assert_int_equal(world_occurrences("\"etag\":\"0123456789abcdef0123456789abcdef\""), 1);
    r = world_result(world_ref(JOB_CHUNK, id, 1), "H");
    r.fetched = true;
    r.integrity = INTEGRITY_MD5;
    r.etag = slice_of("");
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_occurrences("\"via\":\"fetch\""), 1);
    assert_int_equal(world_occurrences("\"integrity\":\"md5\""), 1);
    assert_int_equal(world_occurrences("\"etag\""), 1);
    assert_int_equal(world_occurrences("\"crc\":\"crc32c:1a2b3c4d\""), 2);
    assert_int_equal(world_occurrences("\"ms\":5"), 2);
}

static void test_a_finish_has_the_weakest_proof_of_its_chunks(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct result r = world_result(world_ref(JOB_CHUNK, id, i), "H");
        r.integrity = i ? INTEGRITY_TLS : INTEGRITY_SHA256;
        assert_recorded(world_complete('U', &r));
    }
    struct result finish = world_result(world_ref(JOB_FINISH, id, 0), "H");
    finish.fetched = true;
    finish.integrity = INTEGRITY_CRC32C;
    assert_recorded(world_complete('U', &finish));
    assert_int_equal(world_occurrences("\"integrity\":\"tls\""), 2);
    assert_int_equal(world_occurrences("\"integrity\":\"crc32c\""), 0);
    assert_int_equal(world_occurrences("\"via\""), 0);
}

static void test_a_begin_has_the_checksum_of_the_store(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct result r = world_result(world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0), "H");
    r.checksum = CHECKSUM_CRC32C_FULL;
    struct ack a = world_complete('U', &r);
    assert_recorded(a);
    assert_true(slice_equal(a.handle, slice_of("H")));
    assert_int_equal(world_occurrences("crc32c/FULL_OBJECT"), 1);
    assert_int_equal(world_plan('P', &file).checksum, CHECKSUM_CRC32C_FULL);
    world_begun('P', 'U', "/src/b", "s3://bucket/b", 2);
    assert_int_equal(world_occurrences("crc32c/FULL_OBJECT"), 1);
}

/* ---- results that do not fit ---- */

static void test_a_handle_is_text(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct result r = world_result(world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0), "");
    assert_refused(world_complete('U', &r), WHY_STALE);
    r.handle = slice_make("\xff", 1);
    assert_refused(world_complete('U', &r), WHY_STALE);
    r.handle = slice_of("a");
    assert_recorded(world_complete('U', &r));
}

static void test_a_put_is_never_begun(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    file.flags = PLAN_PUT;
    struct result r = world_result(world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0), "H");
    assert_refused(world_complete('U', &r), WHY_STALE);
}

static void test_a_finished_object_has_the_size_of_the_file(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    struct result r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    assert_refused(world_complete('U', &r), WHY_STALE); /* a chunk is missing */
    world_chunk('U', id, 0);
    r.size = PART - 1;
    assert_refused(world_complete('U', &r), WHY_STALE);
    r.size = PART;
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_count("finish"), 1);
}

static void test_an_abort_without_a_handle_is_that_of_an_intent(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref abort = world_ref(JOB_ABORT, world_plan('P', &file).upload, 0);
    assert_refused(world_done('U', abort, ""), WHY_STALE); /* there is no intent */
    struct ref begin = world_ref(JOB_BEGIN, abort.upload, 0);
    world_claim('U', begin, "");
    assert_refused(world_done('U', abort, "H"), WHY_STALE);
    assert_recorded(world_done('U', begin, "H"));
    assert_refused(world_done('U', abort, ""), WHY_STALE); /* it has a handle now */
    assert_recorded(world_done('U', abort, "H"));
}

static struct result doubtful_begin(struct id128 id) {
    struct result r = world_result(world_ref(JOB_BEGIN, id, 0), "H");
    r.doubt = true;
    return r;
}

/* The reply to an attempt was lost: there may be two multipart uploads. */
static void test_a_doubtful_begin_has_a_second_intent(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART), local = world_file("/src/b", FILE_DEST, 2 * PART),
                     twice = world_file("/src/c", "s3://bucket/c", 2 * PART);
    struct id128 id = world_plan('P', &file).upload;
    struct result r = doubtful_begin(id);
    world_claim('U', r.ref, "");
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_count("open"), 2);
    assert_true(state_find(&world.c->state, &id)->reopened);
    r = doubtful_begin(world_plan('P', &local).upload); /* a temporary file has one name */
    world_claim('U', r.ref, "");
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_count("open"), 3);
    r = doubtful_begin(world_plan('P', &twice).upload);
    world_claim('U', r.ref, "");
    world_advance(world.o.lease_ms);
    world_claim('V', r.ref, "");
    assert_int_equal(world_count("open"), 5);
    assert_recorded(world_complete('V', &r)); /* it has two already */
    assert_int_equal(world_count("open"), 5);
    r = doubtful_begin(world_begun('P', 'U', "/src/d", "s3://bucket/d", 2));
    assert_recorded(world_complete('V', &r)); /* the first handle counts */
    assert_int_equal(world_count("open"), 6);
}

static void test_a_begin_without_doubt_has_one_intent(void **state) {
    (void)state;
    world_join();
    world_begun('P', 'U', "/src/a", S3, 2);
    assert_int_equal(world_count("open"), 1);
}

/* ---- leases ---- */

static void test_a_refused_result_gives_its_job_back(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    assert_int_equal(world_claim('U', r.ref, "H").kind, VERDICT_GRANT);
    r.length--;
    assert_refused(world_complete('U', &r), WHY_STALE);
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(last_event()->kind, EVENT_RELEASED);
    assert_int_equal(last_event()->why, WHY_STALE);
    assert_false(last_event()->second);
    uint64_t event = world.c->events.next;
    assert_refused(world_complete('V', &r), WHY_STALE); /* it has no lease */
    assert_int_equal(world.c->events.next, event);
}

static void test_a_recorded_result_ends_the_lease_without_an_event(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct ref chunk = world_ref(JOB_CHUNK, id, 0);
    assert_int_equal(world_claim('U', chunk, "H").kind, VERDICT_GRANT);
    uint64_t event = world.c->events.next;
    assert_recorded(world_done('U', chunk, "H"));
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->events.next, event);
}

/* Another holder of any other job has nothing to stop: it learns it when it asks. */
static void test_a_begin_of_another_peer_ends_the_lease(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 2 * PART);
    struct ref begin = world_ref(JOB_BEGIN, world_plan('P', &file).upload, 0);
    assert_int_equal(world_claim('U', begin, "").kind, VERDICT_GRANT);
    world_beat('U', &begin, 1, 8); /* 1,000 bytes */
    assert_recorded(world_done('V', begin, "H"));
    assert_int_equal(consumer_lease_count(world.c), 0);
    assert_int_equal(world.c->stats[0].resent_bytes, 1000);
    world_beat('U', &begin, 1, 8);
    assert_int_equal(world_invalid('U'), 1);
}

static void test_a_result_without_a_lease_leaves_other_jobs_alone(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    assert_int_equal(world_claim('U', world_ref(JOB_CHUNK, id, 1), "H").kind, VERDICT_GRANT);
    assert_recorded(world_done('V', world_ref(JOB_CHUNK, id, 0), "H"));
    assert_int_equal(consumer_lease_count(world.c), 1);
}

static void test_bytes_beyond_the_chunk_were_sent_again(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.sent_bytes = PART - 10; /* the rest was there */
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world.c->stats[0].resent_bytes, 0);
    r = world_result(world_ref(JOB_CHUNK, id, 1), "H");
    r.sent_bytes = PART + 1;
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world.c->stats[0].resent_bytes, 1);
}

static struct result stray_put(const struct plan_file *file) {
    struct result r = world_result(world_ref(JOB_PUT, world_incarnation('x'), 0), "");
    r.source = file->source;
    r.target = file->target;
    return r;
}

/* The last holder of the planned one may be at work, also without a lease. */
static void test_a_stray_put_does_not_replace_one_with_an_intent(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", FILE_DEST, 100);
    file.flags = PLAN_PUT;
    struct ref put = world_ref(JOB_PUT, world_plan('P', &file).upload, 0);
    assert_int_equal(world_claim('U', put, "").kind, VERDICT_GRANT);
    world_release('U', put, WHY_BACKOFF);
    struct result r = stray_put(&file);
    assert_refused(world_complete('V', &r), WHY_STALE);
    assert_int_equal(world_count("put"), 0);
}

static void test_a_stray_put_of_a_changed_file_is_recorded(void **state) {
    (void)state;
    world_join();
    struct plan_file file = world_file("/src/a", S3, 100);
    struct result r = stray_put(&file);
    assert_recorded(world_complete('U', &r));
    r.ref.upload = world_incarnation('y');
    assert_recorded(world_complete('U', &r)); /* the same file */
    assert_int_equal(world_count("put"), 1);
    r.source.file.ctime_ns++;
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_count("put"), 2);
    r.ref.upload = world_incarnation('z');
    r.source.file.size++;
    assert_recorded(world_complete('U', &r));
    assert_int_equal(world_count("put"), 3);
}

/* ---- failures ---- */

static void test_a_failure_without_a_class_is_one_of_the_destination(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_FAILED;
    r.own = OWN_SURE;
    uint64_t event = world.c->events.next;
    assert_recorded(world_complete('U', &r)); /* without a lease: its producer gets an event */
    assert_int_equal(world.c->events.next, event + 1);
    assert_int_equal(last_event()->class, FAIL_DEST);
    assert_int_equal(last_event()->why, WHY_NOT_HERE);
    assert_int_equal(world_claim('V', r.ref, "H").kind, VERDICT_GRANT);
    event = world.c->events.next;
    assert_recorded(world_complete('U', &r)); /* another uploader is at work */
    assert_int_equal(world.c->events.next, event);
}

static void test_a_failed_stat_of_an_unknown_upload_is_refused(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    struct result r = world_result(world_ref(JOB_STAT, world_incarnation('x'), 0), "");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    assert_refused(world_complete('U', &r), WHY_UNKNOWN);
    world_chunk('U', id, 0);
    world_finish('U', id);
    r.ref.upload = id;
    assert_recorded(world_complete('U', &r));
    r.ref.kind = JOB_CHUNK; /* no other job of an ended upload fails */
    assert_refused(world_complete('U', &r), WHY_ENDED);
    assert_int_equal(world_count("fail"), 1);
}

static void test_the_error_of_a_failure_is_cut(void **state) {
    (void)state;
    char text[1001], part[ERROR_TEXT_MAX + 1];
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    memset(text, 'e', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memset(part, 'e', ERROR_TEXT_MAX);
    part[ERROR_TEXT_MAX] = '\0';
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_FAILED;
    r.class = FAIL_DENIED;
    r.error = slice_of(text);
    assert_recorded(world_complete('U', &r));
    char line[sizeof part + 20];
    snprintf(line, sizeof line, "\"error\":\"%s\"", part);
    assert_int_equal(world_occurrences(line), 1);
}

static void test_only_a_chunk_is_redone(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 1);
    world_chunk('U', id, 0);
    struct result r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    r.outcome = OUTCOME_REDO;
    assert_refused(world_complete('U', &r), WHY_STALE);
    r.ref = world_ref(JOB_CHUNK, world_incarnation('x'), 0);
    assert_refused(world_complete('U', &r), WHY_UNKNOWN);
    assert_int_equal(world_count("redo"), 0);
}

/* The holder of a second lease may come after the upload was finished elsewhere. */
static void test_a_recorded_chunk_is_not_gone(void **state) {
    (void)state;
    world_join();
    struct id128 id = world_begun('P', 'U', "/src/a", S3, 2);
    world_chunk('U', id, 0);
    uint64_t seq = head();
    struct result r = world_result(world_ref(JOB_CHUNK, id, 0), "H");
    r.outcome = OUTCOME_GONE;
    struct ack a = world_complete('V', &r);
    assert_recorded(a);
    assert_int_equal(a.seq, seq);
    r.handle = slice_of("X");
    assert_refused(world_complete('V', &r), WHY_STALE);
    r.ref.upload = world_incarnation('x');
    assert_refused(world_complete('V', &r), WHY_UNKNOWN);
    assert_int_equal(world_count("abort"), 0);
    r = world_result(world_ref(JOB_FINISH, id, 0), "H");
    r.outcome = OUTCOME_GONE;
    assert_recorded(world_complete('V', &r));
    assert_int_equal(world_occurrences("\"reason\":\"gone"), 1);
}

UNIT_MAIN(WORLD_TEST(test_a_chunk_has_its_proof_and_its_way),
          WORLD_TEST(test_a_finish_has_the_weakest_proof_of_its_chunks),
          WORLD_TEST(test_a_begin_has_the_checksum_of_the_store), WORLD_TEST(test_a_handle_is_text),
          WORLD_TEST(test_a_put_is_never_begun), WORLD_TEST(test_a_finished_object_has_the_size_of_the_file),
          WORLD_TEST(test_an_abort_without_a_handle_is_that_of_an_intent),
          WORLD_TEST(test_a_doubtful_begin_has_a_second_intent), WORLD_TEST(test_a_begin_without_doubt_has_one_intent),
          WORLD_TEST(test_a_refused_result_gives_its_job_back),
          WORLD_TEST(test_a_recorded_result_ends_the_lease_without_an_event),
          WORLD_TEST(test_a_begin_of_another_peer_ends_the_lease),
          WORLD_TEST(test_a_result_without_a_lease_leaves_other_jobs_alone),
          WORLD_TEST(test_bytes_beyond_the_chunk_were_sent_again),
          WORLD_TEST(test_a_stray_put_does_not_replace_one_with_an_intent),
          WORLD_TEST(test_a_stray_put_of_a_changed_file_is_recorded),
          WORLD_TEST(test_a_failure_without_a_class_is_one_of_the_destination),
          WORLD_TEST(test_a_failed_stat_of_an_unknown_upload_is_refused),
          WORLD_TEST(test_the_error_of_a_failure_is_cut), WORLD_TEST(test_only_a_chunk_is_redone),
          WORLD_TEST(test_a_recorded_chunk_is_not_gone))
