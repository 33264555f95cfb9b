/* chunk and put of sources whose bytes come in pieces, fail, or change between two readings. */
#include "s3_fixture.h"
#include "scripted_source.h"

#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"

#define SMALL 1000
#define LARGE 3000000
#define PIECE 400000

static const char *const accepts[] = {EMPTY("200 OK", "ETag: \"e\"\r\n"), EMPTY("200 OK", "ETag: \"e\"\r\n"), NULL};

static struct s3_fixture *begin(void **state, enum job_kind kind, uint64_t length, bool fetched) {
    struct s3_fixture *f = *state;
    s3_fixture_open(f, accepts);
    s3_fixture_prepare(f, kind);
    f->task.job.length = length;
    f->task.source = scripted_source_open(length, fetched);
    return f;
}

static uint32_t crc_of(uint64_t length, char byte) {
    uint32_t crc = 0;
    for (uint64_t i = 0; i < length; i++)
        crc = crc32c_add(crc, &byte, 1);
    return crc;
}

static void assert_sent(struct s3_fixture *f, uint64_t length) {
    const struct task_result *r = &f->task.result;
    char line[80], base64[CRC_BASE64_SIZE];
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->crc, crc_of(length, 'a'));
    assert_int_equal(r->size, length);
    assert_int_equal(r->sent_bytes, length);
    assert_int_equal(r->source_checked, f->task.job.ref.kind == JOB_PUT);
    crc32c_to_base64(r->crc, base64);
    snprintf(line, sizeof line, "x-amz-checksum-crc32c: %s\r\n", base64);
    assert_true(request_contains(f, 0, line));
    const struct buf *request = &f->server.requests[0];
    const char *body = memmem(request->data, request->len, "\r\n\r\n", 4);
    assert_int_equal(crc32c_add(0, body + 4, request->len - (size_t)(body + 4 - request->data)), r->crc);
}

/* --- bytes in pieces --- */

static void test_a_range_is_read_ahead_as_its_bytes_come(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, true);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    scripted.piece = PIECE;
    s3_fixture_run(f);
    assert_sent(f, LARGE);
    assert_int_equal(scripted.rewinds, 1); /* read twice */
    assert_true(f->task.checked_bytes > 0);
}

static void test_a_large_put_is_read_ahead_as_its_bytes_come(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, LARGE, true);
    scripted.piece = PIECE;
    s3_fixture_run(f);
    assert_sent(f, LARGE);
}

static void test_a_small_put_keeps_the_bytes_that_came(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, SMALL, true);
    scripted.piece = 300;
    s3_fixture_run(f);
    assert_sent(f, SMALL);
    assert_int_equal(scripted.rewinds, 0); /* read once */
}

static void test_a_put_of_64_kib_is_read_once(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, S3_WHOLE_BODY_MAX, true);
    s3_fixture_run(f);
    assert_sent(f, S3_WHOLE_BODY_MAX);
    assert_int_equal(scripted.rewinds, 0);
}

static void test_a_larger_put_is_read_twice(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, S3_WHOLE_BODY_MAX + 1, true);
    s3_fixture_run(f);
    assert_sent(f, S3_WHOLE_BODY_MAX + 1);
    assert_int_equal(scripted.rewinds, 1);
}

/* The producer computed it: the range is transferred once. */
static void test_an_announced_checksum_saves_the_reading_ahead(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, true);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    scripted.base.has_expected = true;
    scripted.base.expected = crc_of(LARGE, 'a');
    s3_fixture_run(f);
    assert_sent(f, LARGE);
    assert_int_equal(scripted.rewinds, 0);
}

static void test_bytes_that_are_not_the_announced_ones_are_a_change(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, true);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    scripted.base.has_expected = true;
    scripted.base.expected = crc_of(SMALL, 'b');
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
}

static void test_a_step_reads_eight_pieces_ahead(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, 20 << 20, false);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_true(f->s3->ops->step(f->s3)); /* there is more to do */
    assert_int_equal(scripted.base.position, 8 << 20);
    f->s3->ops->cancel(f->s3, &f->task);
}

/* --- a source that changes --- */

static void change_bytes(struct s3_fixture *f) {
    (void)f;
    scripted.byte = 'b';
}

static void test_other_bytes_at_the_second_reading_are_a_change(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, false);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->after_first_step = change_bytes;
    scripted.piece = 0;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_false(r->transient);
    assert_non_null(strstr(r->error, "its bytes were not the same when read again"));
}

static void refuse_checksum(struct s3_fixture *f, bool changes, enum fail_class class) {
    const char *const replies[] = {reply_with_error(f, "400 Bad Request", "BadDigest"), NULL};
    f->server.replies = replies;
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    if (changes)
        f->after_first_step = change_bytes;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, class);
    assert_int_equal(r->transient, !changes);
}

/* The store found the change first. */
static void test_a_refused_checksum_of_changed_bytes_is_a_change(void **state) {
    refuse_checksum(begin(state, JOB_CHUNK, SMALL, false), true, FAIL_CHANGED);
}

static void test_a_refused_checksum_of_the_same_bytes_is_the_transfer(void **state) {
    refuse_checksum(begin(state, JOB_CHUNK, SMALL, false), false, FAIL_INTEGRITY);
}

/* The last byte would replace the object, so it is never sent. */
static void test_the_last_byte_of_a_put_waits_for_a_check(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, LARGE, false);
    scripted.check_error = ERR_CHANGED;
    scripted.why = "its size is 5";
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_non_null(strstr(r->error, "its size is 5"));
    assert_request_count(f, 0);
    assert_true(r->sent_bytes < LARGE);
}

static void test_a_chunk_is_not_checked_at_its_last_byte(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, false);
    scripted.check_error = ERR_CHANGED;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE); /* its caller checks it */
}

static void test_a_small_put_is_checked_before_it_is_sent(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, SMALL, false);
    scripted.check_error = ERR_CHANGED;
    assert_int_equal(s3_fixture_run(f)->class, FAIL_CHANGED);
    assert_request_count(f, 0);
}

/* --- a source that fails --- */

static const struct task_result *run_failing(struct s3_fixture *f, int error, uint64_t at) {
    scripted.error = scripted.check_error = error;
    scripted.fail_at = at;
    scripted.why = "the producer said so";
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    return r;
}

static void assert_producer_lost(const struct task_result *r) {
    assert_int_equal(r->class, FAIL_OUTAGE);
    assert_true(r->transient);
    assert_true(r->source_lost);
    assert_string_equal(r->error, "the producer said so");
}

static void test_a_producer_that_is_lost_is_an_outage(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, true);
    assert_producer_lost(run_failing(f, ERR_UNREACHABLE, PIECE)); /* while sending */
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->task.source = scripted_source_open(LARGE, true);
    f->done = false;
    assert_producer_lost(run_failing(f, ERR_UNREACHABLE, PIECE)); /* while reading ahead */
}

static void test_a_producer_that_is_lost_during_a_small_put(void **state) {
    assert_producer_lost(run_failing(begin(state, JOB_PUT, SMALL, true), ERR_UNREACHABLE, 10));
}

static void test_damaged_bytes_can_be_sent_again(void **state) {
    const struct task_result *r = run_failing(begin(state, JOB_CHUNK, LARGE, true), ERR_DAMAGED, PIECE);
    assert_int_equal(r->class, FAIL_INTEGRITY);
    assert_true(r->transient);
    assert_false(r->source_lost);
    assert_string_equal(r->error, "the producer said so");
}

static void test_a_lack_of_memory_passes(void **state) {
    const struct task_result *r = run_failing(begin(state, JOB_CHUNK, LARGE, false), ERR_NOMEM, PIECE);
    assert_int_equal(r->class, FAIL_OUTAGE);
    assert_true(r->transient);
    assert_false(r->source_lost);
}

static void test_a_source_that_cannot_be_read_is_final(void **state) {
    const struct task_result *r = run_failing(begin(state, JOB_CHUNK, LARGE, false), ERR_IO, PIECE);
    assert_int_equal(r->class, FAIL_SOURCE);
    assert_false(r->transient);
    assert_non_null(strstr(r->error, "the producer said so"));
}

static void test_an_error_without_a_reason_is_described(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, false);
    scripted.error = ERR_IO;
    const struct task_result *r = s3_fixture_run(f);
    char expected[200];
    snprintf(expected, sizeof expected, "cannot be read: %s", err_text(ERR_IO));
    assert_string_equal(r->error, expected);
}

static void test_a_source_that_became_shorter_is_a_change(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, false);
    scripted.error = ERR_CHANGED;
    scripted.fail_at = PIECE;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_non_null(strstr(r->error, "it became shorter"));
}

/* A source ends before its length. */
static void end_early(struct s3_fixture *f, uint64_t at) {
    scripted.base.length = at;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_request_count(f, 0);
}

static void test_a_chunk_that_ends_early_is_a_change(void **state) {
    end_early(begin(state, JOB_CHUNK, LARGE, false), PIECE);
}

static void test_a_chunk_that_ends_early_while_read_ahead_is_a_change(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, false);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    end_early(f, PIECE);
}

static void test_a_small_put_that_ends_early_is_a_change(void **state) {
    end_early(begin(state, JOB_PUT, SMALL, false), 10);
}

/* --- the lease (rule 5) --- */

static struct task *leased; /* its lease ends after the first bytes */

static ssize_t read_until_the_lease_ends(struct source *s, void *out, size_t max) {
    max = max > 50000 ? 50000 : max;
    memset(out, 'a', max);
    s->crc = crc32c_add(s->crc, out, max);
    if (s->position >= PIECE)
        leased->lease_deadline_ms = clock_ms();
    return (ssize_t)max;
}

static void test_no_byte_is_sent_after_the_lease(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, false);
    scripted.ops.read = read_until_the_lease_ends;
    leased = &f->task;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->class, FAIL_OUTAGE);
    assert_true(r->transient);
    assert_string_equal(r->error, "the lease ended before all bytes were sent");
    assert_true(r->sent_bytes < LARGE);
    assert_request_count(f, 0);
}

/* A transfer that waits for bytes of the producer ends with its lease. */
static void dry_and_late(struct s3_fixture *f) {
    f->task.lease_deadline_ms = clock_ms();
}

static bool never_ready(const struct source *s) {
    (void)s;
    return false;
}

static void test_a_source_that_stays_dry_ends_with_the_lease(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, LARGE, true);
    scripted.dry = true;
    scripted.ops.ready = never_ready;
    f->after_first_step = dry_and_late;
    const struct task_result *r = s3_fixture_run(f);
    assert_string_equal(r->error, "the lease ended before all bytes were sent");
}

/* --- replies --- */

static void test_a_checksum_of_the_store_must_be_that_of_the_bytes(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, false);
    char reply[200], base64[CRC_BASE64_SIZE];
    const char *const replies[] = {reply, NULL};
    crc32c_to_base64(crc_of(SMALL, 'a'), base64);
    snprintf(reply, sizeof reply, EMPTY("200 OK", "ETag: e\r\nx-amz-checksum-crc32c: %s\r\n"), base64);
    f->server.replies = replies;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
}

static void test_a_checksum_that_cannot_be_read_is_ignored(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, false);
    static const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\nx-amz-checksum-crc32c: many\r\n"), NULL};
    f->server.replies = replies;
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
}

static void test_an_etag_that_is_too_long_is_a_failure(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, false);
    char reply[400], etag[257];
    const char *const replies[] = {reply, NULL};
    memset(etag, 'e', 256);
    etag[256] = 0;
    snprintf(reply, sizeof reply, EMPTY("200 OK", "ETag: %s\r\n"), etag);
    f->server.replies = replies;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_string_equal(r->error, "the store's ETag is longer than 255 bytes");
}

/* --- wants_checksum --- */

static bool wants(struct s3_fixture *f, enum job_kind kind, uint64_t length, enum checksum_kind checksum) {
    f->task.job.ref.kind = kind;
    f->task.job.length = length;
    f->task.job.checksum = checksum;
    return f->s3->ops->wants_checksum(f->s3, &f->task);
}

static void test_chunks_of_verified_uploads_want_a_checksum(void **state) {
    struct s3_fixture *f = begin(state, JOB_CHUNK, SMALL, false);
    assert_true(wants(f, JOB_CHUNK, 1, CHECKSUM_CRC32C_FULL));
    assert_false(wants(f, JOB_CHUNK, LARGE, CHECKSUM_NONE));
}

static void test_large_puts_want_a_checksum_where_it_may_be_verified(void **state) {
    struct s3_fixture *f = begin(state, JOB_PUT, SMALL, false);
    struct s3 *s3 = (struct s3 *)f->s3;
    struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, f->task.job.target.endpoint);
    assert_true(wants(f, JOB_PUT, S3_WHOLE_BODY_MAX + 1, CHECKSUM_NONE));
    assert_false(wants(f, JOB_PUT, S3_WHOLE_BODY_MAX, CHECKSUM_NONE));
    e->verifies[INTEGRITY_CRC32C] = S3_UNKNOWN;
    assert_true(wants(f, JOB_PUT, LARGE, CHECKSUM_NONE));
    e->verifies[INTEGRITY_CRC32C] = S3_NO;
    assert_false(wants(f, JOB_PUT, LARGE, CHECKSUM_NONE));
    e->verifies[INTEGRITY_CRC32C] = S3_YES;
    s3->integrity = INTEGRITY_SHA256;
    assert_false(wants(f, JOB_PUT, LARGE, CHECKSUM_NONE));
}

/* --- digests --- */

static const struct task_result *run_with(struct s3_fixture *f, enum integrity wanted) {
    struct s3 *s3 = (struct s3 *)f->s3;
    struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, f->task.job.target.endpoint);
    e->verifies[INTEGRITY_MD5] = e->verifies[INTEGRITY_SHA256] = S3_YES;
    s3->integrity = wanted;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, wanted);
    return r;
}

static void test_a_put_has_the_digest_of_all_its_pieces(void **state) {
    static const uint64_t lengths[] = {SMALL, LARGE};
    struct s3_fixture *f = begin(state, JOB_PUT, SMALL, true);
    static const char *const sums[] = {"content-md5: yr5F3MmuW2a6hmAMymuLqA==\r\n", /* of 1,000 'a' */
                                       "content-md5: md3Jo6RupiyVZSvfk3ofuA==\r\n"};
    for (size_t i = 0; i < 2; i++) {
        f->task.job.length = lengths[i];
        f->task.source = scripted_source_open(lengths[i], true);
        scripted.piece = PIECE / 2 - 1;
        f->done = false;
        run_with(f, INTEGRITY_MD5);
        assert_true(request_contains(f, (unsigned)i, sums[i]));
        assert_int_equal(scripted.rewinds, i);
    }
}

UNIT_MAIN(TEST(test_a_range_is_read_ahead_as_its_bytes_come), TEST(test_a_large_put_is_read_ahead_as_its_bytes_come),
          TEST(test_a_small_put_keeps_the_bytes_that_came), TEST(test_a_put_of_64_kib_is_read_once),
          TEST(test_a_larger_put_is_read_twice), TEST(test_an_announced_checksum_saves_the_reading_ahead),
          TEST(test_bytes_that_are_not_the_announced_ones_are_a_change),
          TEST(test_other_bytes_at_the_second_reading_are_a_change),
          TEST(test_a_refused_checksum_of_changed_bytes_is_a_change),
          TEST(test_a_refused_checksum_of_the_same_bytes_is_the_transfer),
          TEST(test_the_last_byte_of_a_put_waits_for_a_check), TEST(test_a_chunk_is_not_checked_at_its_last_byte),
          TEST(test_a_small_put_is_checked_before_it_is_sent), TEST(test_a_producer_that_is_lost_is_an_outage),
          TEST(test_a_producer_that_is_lost_during_a_small_put), TEST(test_damaged_bytes_can_be_sent_again),
          TEST(test_a_lack_of_memory_passes), TEST(test_a_source_that_cannot_be_read_is_final),
          TEST(test_an_error_without_a_reason_is_described), TEST(test_a_source_that_became_shorter_is_a_change),
          TEST(test_a_chunk_that_ends_early_is_a_change),
          TEST(test_a_chunk_that_ends_early_while_read_ahead_is_a_change),
          TEST(test_a_small_put_that_ends_early_is_a_change), TEST(test_no_byte_is_sent_after_the_lease),
          TEST(test_a_source_that_stays_dry_ends_with_the_lease),
          TEST(test_a_checksum_of_the_store_must_be_that_of_the_bytes),
          TEST(test_a_checksum_that_cannot_be_read_is_ignored), TEST(test_an_etag_that_is_too_long_is_a_failure),
          TEST(test_chunks_of_verified_uploads_want_a_checksum),
          TEST(test_large_puts_want_a_checksum_where_it_may_be_verified),
          TEST(test_a_put_has_the_digest_of_all_its_pieces), TEST(test_a_step_reads_eight_pieces_ahead))
