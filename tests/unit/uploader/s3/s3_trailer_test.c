/* Chunks with their CRC32C in a trailer. */
#include "s3_op_fixture.h"

#include "uploader/s3/kinds.h"
#include "uploader/s3/trailer.h"

#define LENGTH 1500000
#define FRAMED "16e360\r\n"
#define ACCEPTED EMPTY("200 OK", "ETag: \"opaque\"\r\n")

static struct s3_endpoint *endpoint_of(struct s3_fixture *f) {
    return s3_capabilities_endpoint(((struct s3 *)f->s3)->capabilities, slice_of(f->server.url));
}

/* The next task: chunk 0 of two, of a verified upload. */
static void prepare_chunk(struct s3_fixture *f, uint64_t length, bool fetched) {
    s3_fixture_prepare(f, JOB_CHUNK);
    f->task.job.length = length;
    f->task.job.chunks = 2;
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->task.source = scripted_source_open(length, fetched);
}

static void begin(struct s3_fixture *f, const char *const *replies, enum s3_tristate trailers) {
    s3_fixture_open(f, replies);
    endpoint_of(f)->trailers = trailers;
    prepare_chunk(f, LENGTH, true);
}

/* The CRC of length bytes 'a', in base64. */
static const char *crc_of(uint64_t length) {
    static char base64[CRC_BASE64_SIZE];
    uint32_t crc = 0;
    for (uint64_t i = 0; i < length; i++)
        crc = crc32c_add(crc, "a", 1);
    crc32c_to_base64(crc, base64);
    return base64;
}

/* The end of the last frame, and the tail. */
static const char *tail_of(uint64_t length) {
    static char tail[80];
    snprintf(tail, sizeof tail, "\r\n0\r\nx-amz-checksum-crc32c:%s\r\n\r\n", crc_of(length));
    return tail;
}

/* A good reply that confirms the CRC of LENGTH bytes. */
static const char *confirmed(struct s3_fixture *f) {
    char headers[100];
    snprintf(headers, sizeof headers, "ETag: \"opaque\"\r\nx-amz-checksum-crc32c: %s\r\n", crc_of(LENGTH));
    return reply_with_body(f, "200 OK", headers, "");
}

/* The body of a request. */
static struct slice body_of(struct s3_fixture *f, unsigned request) {
    const struct buf *all = &f->server.requests[request];
    const char *body = memmem(all->data, all->len, "\r\n\r\n", 4);
    return slice_make(body + 4, all->len - (size_t)(body + 4 - all->data));
}

static void assert_framed(struct slice body, uint64_t length, const char *head) {
    const char *tail = tail_of(length);
    assert_int_equal(body.len, strlen(head) + length + strlen(tail));
    assert_memory_equal(body.ptr, head, strlen(head));
    for (uint64_t i = 0; i < length; i++)
        if (body.ptr[strlen(head) + i] != 'a')
            fail_msg("byte %llu", (unsigned long long)i);
    assert_memory_equal(body.ptr + body.len - strlen(tail), tail, strlen(tail));
}

static void test_the_body_has_a_frame_and_a_trailer(void **state) {
    struct s3_fixture *f = *state;
    char length[64];
    begin(f, (const char *const[]){confirmed(f), NULL}, S3_YES);
    scripted.piece = 400000;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, INTEGRITY_CRC32C);
    assert_int_equal(r->sent_bytes, LENGTH); /* without the frame */
    assert_int_equal(r->size, LENGTH);
    assert_int_equal(f->task.moved_bytes, LENGTH);
    assert_framed(body_of(f, 0), LENGTH, FRAMED);
    assert_true(request_contains(f, 0, "content-encoding: aws-chunked\r\n"));
    assert_true(request_contains(f, 0, "x-amz-decoded-content-length: 1500000\r\n"));
    assert_true(request_contains(f, 0, "x-amz-trailer: x-amz-checksum-crc32c\r\n"));
    assert_true(request_contains(f, 0, "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"));
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_of(f, 0).len);
    assert_true(request_contains(f, 0, length));
    assert_false(request_contains(f, 0, "x-amz-checksum-crc32c: "));
    assert_request_count(f, 1);
}

static void test_the_range_is_read_once(void **state) {
    struct s3_fixture *f = *state;
    begin(f, (const char *const[]){confirmed(f), NULL}, S3_YES);
    scripted.fail_at = LENGTH;
    s3_fixture_run(f);
    assert_int_equal(scripted.rewinds, 0);
}

static void test_bytes_of_an_unfinished_transfer_are_counted(void **state) {
    struct s3_fixture *f = *state;
    begin(f, (const char *const[]){confirmed(f), NULL}, S3_YES);
    scripted.error = ERR_IO;
    scripted.fail_at = 700000;
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_in_range(r->sent_bytes, 1, 700000 + strlen(FRAMED));
}

static void test_pieces_of_any_size_give_the_same_body(void **state) {
    static const size_t sizes[] = {1, 3, 8, 9, 50, 1000000, 2000000};
    struct buf body = BUF_INIT;
    s3_op_fixture_begin(state);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t length = sizes[i] < 100 ? 40 : LENGTH;
        prepare_chunk(made.f, length, false);
        s3_op_fixture_use("http://plain.example");
        s3_op_fixture_verifies(S3_YES, S3_NO, S3_NO);
        made.endpoint->trailers = S3_YES;
        made.f->task.job.length = LENGTH; /* long enough for a trailer */
        s3_chunk_start(made.op);
        made.f->task.job.length = length;
        s3_trailer_set_stream(made.op, made.op->framed);
        const struct s3_body_stream *stream = made.op->request.stream;
        assert_int_equal(stream->rewind(made.op), 0);
        for (unsigned round = 0; round < 2; round++) {
            ssize_t n;
            char *piece = malloc(sizes[i]);
            buf_clear(&body);
            assert_non_null(piece);
            while ((n = stream->read(made.op, piece, sizes[i])) > 0)
                assert_int_equal(buf_add(&body, piece, (size_t)n), 0);
            free(piece);
            assert_int_equal(n, 0);
            assert_framed(buf_slice(&body), length, length == 40 ? "28\r\n" : FRAMED);
            assert_int_equal(stream->rewind(made.op), 0);
        }
        s3_op_destroy(made.op);
    }
    buf_release(&body);
}

/* Reads the body of a chunk of `length` bytes, in pieces. */
static struct slice body_in_frames(uint64_t length, struct buf *body) {
    static char piece[300000];
    ssize_t n;
    prepare_chunk(made.f, length, false);
    s3_op_fixture_use("http://plain.example");
    s3_op_fixture_verifies(S3_YES, S3_NO, S3_NO);
    made.endpoint->trailers = S3_YES;
    s3_chunk_start(made.op);
    assert_int_equal(made.op->request.stream->rewind(made.op), 0);
    buf_clear(body);
    while ((n = made.op->request.stream->read(made.op, piece, sizeof piece)) > 0)
        assert_int_equal(buf_add(body, piece, (size_t)n), 0);
    assert_true(s3_trailer_is_sent(made.op));
    assert_int_equal(body->len, made.op->request.stream_length);
    s3_op_destroy(made.op);
    return buf_slice(body);
}

static void test_a_frame_has_at_most_8_mib(void **state) {
    const size_t frame = 8u << 20, head = strlen("800000\r\n"), end = strlen("\r\n");
    struct buf body = BUF_INIT;
    s3_op_fixture_begin(state);
    struct slice b = body_in_frames(2 * frame, &body);
    assert_memory_equal(b.ptr, "800000\r\naaa", head + 3);
    assert_memory_equal(b.ptr + head + frame, "\r\n800000\r\naaa", end + head + 3);
    assert_memory_equal(b.ptr + 2 * (head + frame) + end, tail_of(2 * frame), strlen(tail_of(1)));
    assert_int_equal(b.len, 2 * (head + frame) + end + strlen(tail_of(1)));
    b = body_in_frames(frame + 5, &body);
    assert_memory_equal(b.ptr + head + frame, "\r\n5\r\naaaaa\r\n0\r\n", strlen("..5..aaaaa..0.."));
    assert_memory_equal(b.ptr + head + frame + strlen("..5..aaaaa"), tail_of(frame + 5), strlen(tail_of(1)));
    buf_release(&body);
}

/* It may have stored the frame as well. */
static void test_a_reply_must_confirm_the_checksum(void **state) {
    struct s3_fixture *f = *state;
    const char *wrong = EMPTY("200 OK", "ETag: \"opaque\"\r\nx-amz-checksum-crc32c: AAAAAA==\r\n");
    s3_fixture_open(f, (const char *const[]){ACCEPTED, ACCEPTED, wrong, ACCEPTED, NULL});
    for (unsigned i = 0; i < 2; i++) {
        endpoint_of(f)->trailers = S3_YES;
        prepare_chunk(f, LENGTH, false);
        const struct task_result *r = s3_fixture_run(f);
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_int_equal(r->integrity, INTEGRITY_CRC32C);
        assert_true(request_contains(f, 2 * i, "aws-chunked"));
        assert_true(request_contains(f, 2 * i + 1, "x-amz-checksum-crc32c: "));
        assert_int_equal(endpoint_of(f)->trailers, S3_NO);
    }
}

/* The header is needed to learn whether the trailer was the cause. */
static void test_a_refused_trailer_is_no_verdict_while_the_header_fails_too(void **state) {
    struct s3_fixture *f = *state;
    const char *denied = reply_with_error(f, "403 Forbidden", "AccessDenied");
    s3_fixture_open(f, (const char *const[]){denied, denied, denied, denied, denied, denied, NULL});
    endpoint_of(f)->trailers = S3_YES;
    prepare_chunk(f, LENGTH, false);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
    assert_int_equal(endpoint_of(f)->trailers, S3_YES);
    endpoint_of(f)->trailers = S3_UNKNOWN;
    prepare_chunk(f, LENGTH, false);
    assert_int_equal(s3_fixture_run(f)->class, FAIL_DENIED);
    assert_int_equal(endpoint_of(f)->trailers, S3_UNKNOWN);
}

static void test_a_repeated_attempt_has_a_header(void **state) {
    struct s3_fixture *f = *state;
    begin(f, (const char *const[]){reply_with_error(f, "500 Internal Server Error", "InternalError"), ACCEPTED, NULL},
          S3_YES);
    assert_true(s3_fixture_run(f)->transient);
    prepare_chunk(f, LENGTH, false);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_DONE);
    assert_true(request_contains(f, 1, "x-amz-checksum-crc32c: "));
    assert_int_equal(endpoint_of(f)->trailers, S3_YES);
}

static void test_a_wrong_trailer_is_probed_with_a_spare_part(void **state) {
    struct s3_fixture *f = *state;
    begin(f,
          (const char *const[]){reply_with_error(f, "400 Bad Request", "BadDigest"), confirmed(f), confirmed(f), NULL},
          S3_UNKNOWN);
    const struct task_result *r = s3_fixture_run(f);
    assert_int_equal(r->integrity, INTEGRITY_CRC32C);
    assert_int_equal(r->sent_bytes, LENGTH); /* without those of the probe */
    assert_true(request_contains(f, 0, "?partNumber=3&uploadId="));
    assert_true(request_contains(f, 0,
                                 "\r\n31\r\nchunklift: does this store refuse a wrong digest?\r\n0\r\n"
                                 "x-amz-checksum-crc32c:"));
    assert_true(request_contains(f, 0, "x-amz-decoded-content-length: 49\r\n"));
    assert_true(request_contains(f, 0, "content-encoding: aws-chunked\r\n"));
    assert_true(request_contains(f, 1, "?partNumber=1&uploadId="));
    assert_framed(body_of(f, 1), LENGTH, FRAMED);
    prepare_chunk(f, LENGTH, false);
    s3_fixture_run(f);
    assert_framed(body_of(f, 2), LENGTH, FRAMED);
    assert_request_count(f, 3); /* probed once */
}

static void test_the_trailer_of_the_probe_is_wrong(void **state) {
    struct s3_fixture *f = *state;
    static const char text[] = "chunklift: does this store refuse a wrong digest?";
    char right[80], base64[CRC_BASE64_SIZE];
    begin(f, (const char *const[]){ACCEPTED, ACCEPTED, NULL}, S3_UNKNOWN);
    s3_fixture_run(f);
    crc32c_to_base64(crc32c_add(0, text, sizeof text - 1), base64);
    snprintf(right, sizeof right, "x-amz-checksum-crc32c:%s", base64);
    assert_false(request_contains(f, 0, right));
}

/* Each answer but one that concerns something else means that. */
static void test_a_store_without_trailers_gets_headers(void **state) {
    struct s3_fixture *f = *state;
    const char *const replies[] = {ACCEPTED, reply_with_error(f, "400 Bad Request", "InvalidDigest"),
                                   reply_with_error(f, "403 Forbidden", "SignatureDoesNotMatch"),
                                   reply_with_error(f, "500 Internal Server Error", "InternalError"),
                                   reply_with_error(f, "501 Not Implemented", "NotImplemented")};
    s3_fixture_open(f, (const char *const[]){replies[0], ACCEPTED, replies[1], ACCEPTED, replies[2], ACCEPTED,
                                             replies[3], ACCEPTED, replies[4], ACCEPTED, NULL});
    for (unsigned i = 0; i < sizeof replies / sizeof *replies; i++) {
        endpoint_of(f)->trailers = S3_UNKNOWN;
        prepare_chunk(f, LENGTH, false);
        const struct task_result *r = s3_fixture_run(f);
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_int_equal(r->integrity, INTEGRITY_CRC32C);
        assert_int_equal(endpoint_of(f)->trailers, S3_NO);
        assert_true(request_contains(f, 2 * i, "aws-chunked"));
        assert_false(request_contains(f, 2 * i + 1, "aws-chunked"));
        assert_true(request_contains(f, 2 * i + 1, "x-amz-checksum-crc32c: "));
    }
}

static void test_a_probe_that_shows_nothing_is_repeated(void **state) {
    struct s3_fixture *f = *state;
    begin(f,
          (const char *const[]){reply_with_error(f, "503 Slow Down", "SlowDown"),
                                reply_with_error(f, "404 Not Found", "NoSuchUpload"), EMPTY("204 No Content", ""),
                                NULL},
          S3_UNKNOWN);
    assert_true(s3_fixture_run(f)->throttled);
    assert_int_equal(endpoint_of(f)->trailers, S3_UNKNOWN);
    prepare_chunk(f, LENGTH, false);
    assert_int_equal(s3_fixture_run(f)->outcome, OUTCOME_GONE);
    assert_int_equal(endpoint_of(f)->trailers, S3_UNKNOWN);
}

static void test_a_store_that_refuses_a_trailer_later_gets_headers(void **state) {
    struct s3_fixture *f = *state;
    const char *const refusals[] = {reply_with_error(f, "501 Not Implemented", "NotImplemented"),
                                    reply_with_error(f, "400 Bad Request", "BadDigest")};
    s3_fixture_open(f, (const char *const[]){refusals[0], ACCEPTED, refusals[1], ACCEPTED, NULL});
    for (unsigned i = 0; i < 2; i++) {
        endpoint_of(f)->trailers = S3_YES;
        prepare_chunk(f, LENGTH, false);
        const struct task_result *r = s3_fixture_run(f);
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_int_equal(r->integrity, INTEGRITY_CRC32C);
        assert_int_equal(endpoint_of(f)->trailers, S3_NO);
        assert_true(request_contains(f, 2 * i + 1, "x-amz-checksum-crc32c: "));
    }
}

static void test_other_failures_leave_trailers_on(void **state) {
    struct s3_fixture *f = *state;
    begin(f, (const char *const[]){reply_with_error(f, "503 Slow Down", "SlowDown"), NULL}, S3_YES);
    assert_true(s3_fixture_run(f)->throttled);
    assert_int_equal(endpoint_of(f)->trailers, S3_YES);
}

/* --- which chunks have one --- */

static bool uses_trailer(void) {
    s3_op_fixture_choose();
    return made.op->trailer;
}

static void begin_choice(void **state) {
    s3_op_fixture_begin(state);
    prepare_chunk(made.f, 1 << 20, false);
    s3_op_fixture_verifies(S3_YES, S3_NO, S3_NO);
    made.endpoint->trailers = S3_YES;
    assert_true(uses_trailer());
    assert_false(made.op->announced);
}

static void test_short_chunks_have_a_header(void **state) {
    begin_choice(state);
    made.f->task.job.length = (1 << 20) - 1;
    assert_false(uses_trailer());
    assert_true(made.op->announced);
}

static void test_uploads_without_a_whole_checksum_have_none(void **state) {
    begin_choice(state);
    made.f->task.job.checksum = CHECKSUM_NONE;
    assert_false(uses_trailer());
}

static void test_puts_have_a_header(void **state) {
    begin_choice(state);
    made.f->task.job.ref.kind = JOB_PUT;
    assert_false(uses_trailer());
    assert_true(made.op->announced);
}

static void test_another_check_that_is_wanted_has_no_trailer(void **state) {
    begin_choice(state);
    made.f->task.job.integrity = INTEGRITY_NONE;
    assert_false(uses_trailer());
    made.f->task.job.integrity = INTEGRITY_CRC32C;
    assert_true(uses_trailer());
}

static void test_a_store_that_takes_wrong_headers_or_refuses_them_gets_none(void **state) {
    begin_choice(state);
    made.endpoint->verifies[INTEGRITY_CRC32C] = S3_UNKNOWN; /* not needed: the trailer was probed */
    assert_true(uses_trailer());
    made.endpoint->verifies[INTEGRITY_CRC32C] = S3_NO;
    assert_false(uses_trailer());
    made.endpoint->verifies[INTEGRITY_CRC32C] = S3_YES;
    made.endpoint->refused = S3_BODY_CHECKSUM;
    assert_false(uses_trailer());
    made.endpoint->refused = S3_BODY_MD5;
    assert_true(uses_trailer());
}

/* Part numbers end at 10,000. */
static void test_without_a_spare_part_there_is_no_probe(void **state) {
    begin_choice(state);
    made.f->task.job.chunks = 10000;
    assert_true(uses_trailer());
    made.endpoint->trailers = S3_UNKNOWN;
    assert_false(uses_trailer());
    made.f->task.job.chunks = 9999;
    s3_integrity_choose(made.op, s3_op_fixture_on_method);
    assert_true(made.op->probing && made.op->trailer);
}

static void test_no_checksum_is_needed_ahead(void **state) {
    begin_choice(state);
    struct task *t = &made.f->task;
    assert_false(s3_body_wants_checksum(s3_op_fixture_s3(), t));
    made.endpoint->trailers = S3_UNKNOWN; /* a header may be needed */
    assert_true(s3_body_wants_checksum(s3_op_fixture_s3(), t));
    made.endpoint->trailers = S3_YES;
    t->job.length = 1000;
    assert_true(s3_body_wants_checksum(s3_op_fixture_s3(), t));
}

UNIT_MAIN(TEST(test_the_body_has_a_frame_and_a_trailer), TEST(test_the_range_is_read_once),
          TEST(test_bytes_of_an_unfinished_transfer_are_counted), TEST(test_pieces_of_any_size_give_the_same_body),
          TEST(test_a_frame_has_at_most_8_mib), TEST(test_a_reply_must_confirm_the_checksum),
          TEST(test_a_refused_trailer_is_no_verdict_while_the_header_fails_too),
          TEST(test_a_repeated_attempt_has_a_header), TEST(test_a_wrong_trailer_is_probed_with_a_spare_part),
          TEST(test_the_trailer_of_the_probe_is_wrong), TEST(test_a_store_without_trailers_gets_headers),
          TEST(test_a_probe_that_shows_nothing_is_repeated),
          TEST(test_a_store_that_refuses_a_trailer_later_gets_headers), TEST(test_other_failures_leave_trailers_on),
          TEST(test_short_chunks_have_a_header), TEST(test_uploads_without_a_whole_checksum_have_none),
          TEST(test_puts_have_a_header), TEST(test_another_check_that_is_wanted_has_no_trailer),
          TEST(test_a_store_that_takes_wrong_headers_or_refuses_them_gets_none),
          TEST(test_without_a_spare_part_there_is_no_probe), TEST(test_no_checksum_is_needed_ahead))
