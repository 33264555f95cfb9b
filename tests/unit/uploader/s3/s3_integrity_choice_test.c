/* The choice of a check, from the properties of an endpoint (rule 16). Operations are made by hand; none sends a request
 * except the probes of large chunks. The linker wraps clock_gettime (tests.cmake). */
#include "s3_op_fixture.h"

#include <time.h>

#define LARGE_CHUNK ((uint64_t)16 << 20) /* up to this length a chunk is its own probe */

static struct {
    uint64_t cpu_ns[4]; /* results of the clock of the thread, in turn; all 0: the real ones */
    unsigned cpu_calls;
} world;

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t) {
    if (id != CLOCK_THREAD_CPUTIME_ID)
        return __real_clock_gettime(id, t);
    uint64_t ns = world.cpu_ns[world.cpu_calls++ % 4];
    t->tv_sec = (time_t)(ns / 1000000000);
    t->tv_nsec = (long)(ns % 1000000000);
    return 0;
}

static int setup(void **state) {
    memset(&world, 0, sizeof world);
    return s3_fixture_setup(state);
}

#define CHOICE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, s3_fixture_teardown)

/* --- the choice --- */

static void test_crc32c_is_first_where_it_may_be_verified(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
    assert_true(made.op->announced);
    assert_false(made.op->probing);
    s3_op_fixture_verifies(S3_UNKNOWN, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
    assert_true(made.op->probing); /* it is not known yet */
    assert_ptr_equal(made.endpoint->prober, made.op);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    assert_false(made.op->announced);
}

static void test_crc32c_that_is_refused_is_not_sent(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_NO);
    made.endpoint->refused = S3_BODY_MD5;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
    made.endpoint->refused = S3_BODY_CHECKSUM;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    made.endpoint->refused = S3_BODY_CHECKSUM | S3_BODY_MD5;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_NONE);
}

static void test_a_chunk_has_the_checksum_of_its_upload(void **state) {
    s3_op_fixture_begin(state);
    made.f->task.job.ref.kind = JOB_CHUNK;
    s3_op_fixture_verifies(S3_YES, S3_NO, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    assert_false(made.op->announced);
    made.f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
    assert_true(made.op->announced);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_YES); /* announced also where it is no proof: Complete needs it */
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    assert_true(made.op->announced);
}

static void test_checksums_only_when_required_are_not_chosen(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_NO, S3_YES);
    s3_op_fixture_s3()->aws.checksums_when_required = true;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    s3_op_fixture_s3()->integrity = INTEGRITY_CRC32C; /* asked for */
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
}

static void test_tls_is_enough_without_crc32c(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_use("https://tls.example");
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_TLS);
    assert_false(made.op->probing);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
}

static void test_the_faster_digest_is_tried_first(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    s3_op_fixture_s3()->faster = INTEGRITY_MD5;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    s3_op_fixture_s3()->faster = INTEGRITY_SHA256;
    s3_op_fixture_verifies(S3_NO, S3_UNKNOWN, S3_NO);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_true(made.op->probing);
}

/* The MD5 can be computed while the bytes are sent: they are transferred from the producer once. */
static void test_md5_is_first_for_fetched_bytes(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    made.f->task.source = scripted_source_open(10, true);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
}

static void test_an_etag_is_the_last_proof(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_NONE);
    made.endpoint->md5_etags = S3_NO;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_NONE);
    made.endpoint->md5_etags = S3_YES;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_false(made.op->probing);
}

static void set_cpu(uint64_t sha256_ns, uint64_t md5_ns) {
    const uint64_t start_ns = 3999999999;
    s3_op_fixture_s3()->faster = INTEGRITY_UNKNOWN;
    world.cpu_calls = 0;
    world.cpu_ns[0] = world.cpu_ns[2] = start_ns;
    world.cpu_ns[1] = start_ns + sha256_ns;
    world.cpu_ns[3] = start_ns + md5_ns;
}

static void test_the_faster_digest_is_measured_once(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    set_cpu(500, 499);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_int_equal(world.cpu_calls, 4);
    world.cpu_ns[3] += 1000000000;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_int_equal(world.cpu_calls, 4);
    set_cpu(500, 500);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    set_cpu(2000000000, 1500000000);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    set_cpu(1, 1000000000);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
}

/* --- a check that is asked for --- */

static void test_the_option_decides_before_the_job(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    made.f->task.job.integrity = INTEGRITY_MD5;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    s3_op_fixture_s3()->integrity = INTEGRITY_NONE;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_NONE);
    s3_op_fixture_s3()->integrity = INTEGRITY_TLS; /* is a result, not a choice: the same as auto */
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_CRC32C);
}

static void test_a_check_that_is_asked_for_is_probed(void **state) {
    static const enum integrity checks[] = {INTEGRITY_CRC32C, INTEGRITY_MD5, INTEGRITY_SHA256};
    s3_op_fixture_begin(state);
    s3_op_fixture_use("https://tls.example");
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        s3_op_fixture_s3()->integrity = checks[i];
        s3_op_fixture_verifies(S3_UNKNOWN, S3_UNKNOWN, S3_UNKNOWN);
        assert_int_equal(s3_op_fixture_choose(), checks[i]);
        assert_true(made.op->probing);
    }
}

static void fails_unverified(enum integrity wanted, const char *name) {
    char expected[200];
    if (!made.op)
        s3_op_fixture_use("http://plain.example");
    s3_op_fixture_s3()->integrity = wanted;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_UNKNOWN);
    snprintf(expected, sizeof expected,
             "--integrity %s: the store at http://plain.example does not verify it; use --integrity auto", name);
    assert_string_equal(made.f->task.result.error, expected);
    assert_int_equal(made.f->task.result.class, FAIL_INTEGRITY);
    assert_false(made.f->task.result.transient);
    made.op = NULL;
}

static void test_a_check_that_the_store_lacks_is_a_failure(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    made.endpoint->md5_etags = S3_NO;
    fails_unverified(INTEGRITY_CRC32C, "crc32c");
    fails_unverified(INTEGRITY_MD5, "md5");
    fails_unverified(INTEGRITY_SHA256, "sha256");
}

static void test_md5_is_also_proved_by_etags(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_s3()->integrity = INTEGRITY_MD5;
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_NO);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5); /* the first ETag shows whether they are */
    made.endpoint->md5_etags = S3_YES;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_false(made.op->probing);
    s3_op_fixture_s3()->integrity = INTEGRITY_SHA256;
    fails_unverified(INTEGRITY_SHA256, "sha256");
}

/* --- MD5 while sending --- */

static void test_an_md5_is_streamed_where_its_etag_is_compared(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_NO);
    made.f->task.source = scripted_source_open(10, true);
    made.f->task.job.length = S3_WHOLE_BODY_MAX + 1;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_false(made.op->streams_md5); /* sent in a header */
    made.endpoint->md5_etags = S3_YES;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_true(made.op->streams_md5);
    made.f->task.job.length = S3_WHOLE_BODY_MAX; /* in memory */
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_false(made.op->streams_md5);
    made.f->task.job.ref.kind = JOB_CHUNK; /* never in memory */
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_true(made.op->streams_md5);
    made.f->task.source = scripted_source_open(10, false);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_false(made.op->streams_md5);
    made.f->task.source = scripted_source_open(10, true);
    s3_op_fixture_s3()->integrity = INTEGRITY_SHA256;
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_YES);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_SHA256);
    assert_false(made.op->streams_md5);
}

static void test_a_streamed_md5_is_not_probed(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_NO, S3_UNKNOWN, S3_NO);
    made.f->task.source = scripted_source_open(10, true);
    made.endpoint->md5_etags = S3_YES;
    made.f->task.job.length = S3_WHOLE_BODY_MAX + 1;
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_true(made.op->streams_md5);
    assert_false(made.op->probing);
    made.f->task.source = scripted_source_open(10, false);
    assert_int_equal(s3_op_fixture_choose(), INTEGRITY_MD5);
    assert_true(made.op->probing);
}

/* A range that was read ahead for another check is read again. */
static void test_a_range_is_read_ahead_for_one_check(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_YES, S3_YES, S3_YES);
    made.op->read_ahead = true;
    made.op->method = INTEGRITY_CRC32C;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_true(made.op->read_ahead);
    s3_op_fixture_verifies(S3_NO, S3_YES, S3_YES);
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_false(made.op->read_ahead);
}

/* --- probes --- */

static void test_others_wait_for_the_probe(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_verifies(S3_UNKNOWN, S3_NO, S3_NO);
    struct s3_op other = {.number = "1"};
    made.endpoint->prober = &other;
    made.known = 0;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_int_equal(made.known, 0);
    assert_int_equal(made.op->state, S3_OP_PROBE_WAIT);
    assert_true(s3_integrity_is_probed(made.op));
    s3_capabilities_end_probe(s3_op_fixture_s3()->capabilities, &other);
    assert_false(s3_integrity_is_probed(made.op));
    made.endpoint->verifies[INTEGRITY_CRC32C] = S3_YES;
    s3_integrity_resume(made.op);
    assert_int_equal(made.known, 1);
    assert_int_equal(made.op->method, INTEGRITY_CRC32C);
    assert_false(made.op->probing);
}

static void choose_for_chunk(uint64_t length, uint32_t chunks) {
    made.f->task.job.ref.kind = JOB_CHUNK;
    made.f->task.job.length = length;
    made.f->task.job.chunks = chunks;
    s3_op_fixture_verifies(S3_NO, S3_NO, S3_UNKNOWN);
    made.endpoint->prober = NULL;
    made.known = 0;
    made.op->method = INTEGRITY_UNKNOWN;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_int_equal(made.op->method, INTEGRITY_SHA256);
}

static void test_a_chunk_of_16_mib_is_its_own_probe(void **state) {
    s3_op_fixture_begin(state);
    choose_for_chunk(LARGE_CHUNK, 2);
    assert_int_equal(made.known, 1);
    assert_true(made.op->probing);
}

static void test_a_larger_chunk_is_probed_with_a_part_after_the_last(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_use(made.f->server.url);
    choose_for_chunk(LARGE_CHUNK + 1, 2);
    assert_int_equal(made.known, 0);
    assert_true(made.op->probing);
    assert_string_equal(made.op->number, "3");
}

/* A store takes part numbers up to 10,000. */
static void test_there_is_no_probe_after_the_last_part_number(void **state) {
    s3_op_fixture_begin(state);
    choose_for_chunk(LARGE_CHUNK + 1, 10000);
    assert_int_equal(made.known, 1);
    assert_false(made.op->probing);
    assert_null(made.endpoint->prober);
    choose_for_chunk(LARGE_CHUNK, 10000); /* is its own */
    assert_true(made.op->probing);
    s3_op_destroy(made.op);
    s3_op_fixture_use(made.f->server.url);
    choose_for_chunk(LARGE_CHUNK + 1, 9999);
    assert_string_equal(made.op->number, "10000");
    s3_op_destroy(made.op);
    s3_op_fixture_use(made.f->server.url);
    choose_for_chunk(LARGE_CHUNK + 1, 0); /* the number of chunks is not known */
    assert_string_equal(made.op->number, "10000");
}

/* A stream may have the most chunks, and hardly ever has. */
static void test_a_stream_is_probed_with_the_last_part_number(void **state) {
    s3_op_fixture_begin(state);
    s3_op_fixture_use(made.f->server.url);
    made.f->task.job.source.stream = true;
    made.f->task.job.source.file.size = 0;
    choose_for_chunk(LARGE_CHUNK + 1, 10000);
    assert_string_equal(made.op->number, "10000");
    s3_op_destroy(made.op);
    s3_op_fixture_use(made.f->server.url);
    made.f->task.job.ref.chunk = 9999; /* its own number */
    choose_for_chunk(LARGE_CHUNK + 1, 10000);
    assert_false(made.op->probing);
}

UNIT_MAIN(CHOICE_TEST(test_crc32c_is_first_where_it_may_be_verified),
          CHOICE_TEST(test_crc32c_that_is_refused_is_not_sent),
          CHOICE_TEST(test_a_chunk_has_the_checksum_of_its_upload),
          CHOICE_TEST(test_checksums_only_when_required_are_not_chosen), CHOICE_TEST(test_tls_is_enough_without_crc32c),
          CHOICE_TEST(test_the_faster_digest_is_tried_first), CHOICE_TEST(test_md5_is_first_for_fetched_bytes),
          CHOICE_TEST(test_an_etag_is_the_last_proof), CHOICE_TEST(test_the_faster_digest_is_measured_once),
          CHOICE_TEST(test_the_option_decides_before_the_job), CHOICE_TEST(test_a_check_that_is_asked_for_is_probed),
          CHOICE_TEST(test_a_check_that_the_store_lacks_is_a_failure), CHOICE_TEST(test_md5_is_also_proved_by_etags),
          CHOICE_TEST(test_an_md5_is_streamed_where_its_etag_is_compared),
          CHOICE_TEST(test_a_streamed_md5_is_not_probed), CHOICE_TEST(test_a_range_is_read_ahead_for_one_check),
          CHOICE_TEST(test_others_wait_for_the_probe), CHOICE_TEST(test_a_chunk_of_16_mib_is_its_own_probe),
          CHOICE_TEST(test_a_larger_chunk_is_probed_with_a_part_after_the_last),
          CHOICE_TEST(test_there_is_no_probe_after_the_last_part_number),
          CHOICE_TEST(test_a_stream_is_probed_with_the_last_part_number))
