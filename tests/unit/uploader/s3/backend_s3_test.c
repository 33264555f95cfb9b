#include "http_server.h"

#include "pure/digest.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "uploader/backend.h"
#include "uploader/http/http.h"
#include "uploader/s3/op.h"
#include <fcntl.h>
#include <sys/stat.h>

#define OWNER "000102030405060708090a0b0c0d0e0f"
#define OTHER "ff0102030405060708090a0b0c0d0e0f"
#define EMPTY(status, headers) "HTTP/1.1 " status "\r\n" headers "Content-Length: 0\r\n\r\n"
#define CREATED "<InitiateMultipartUploadResult><UploadId>U+/1</UploadId></InitiateMultipartUploadResult>"

#define BODY_REPLIES_MAX 16

struct fixture {
    struct http_server server;
    struct http *http;
    struct backend *s3;
    struct roots *roots;
    struct task task;
    struct source_ref ref;
    struct part parts[3];
    char path[512], *texts[BODY_REPLIES_MAX];
    size_t text_count;
    bool done;
    void (*between)(struct fixture *f); /* after the first step */
};

static void on_done(struct task *t, void *arg) {
    struct fixture *f = arg;
    assert_ptr_equal(t, &f->task);
    assert_false(f->done);
    f->done = true;
}

void task_done(struct task *t) {
    t->done(t, t->done_arg);
}

static const char *with_body(struct fixture *f, const char *status, const char *headers, const char *body) {
    char *text;
    assert_true(f->text_count < BODY_REPLIES_MAX);
    assert_true(asprintf(&text, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body) >
                0);
    f->texts[f->text_count++] = text;
    return text;
}

static const char *error_reply(struct fixture *f, const char *status, const char *code) {
    char body[256];
    snprintf(body, sizeof body, "<Error><Code>%s</Code><Message>because</Message></Error>", code);
    return with_body(f, status, "", body);
}

/* What a probe would show, so that the scripts of tests about something else need no replies to it. */
static void teach(struct fixture *f) {
    struct s3_endpoint *e = s3_capabilities_endpoint(((struct s3 *)f->s3)->capabilities, slice_of(f->server.url));
    e->verifies[INTEGRITY_CRC32C] = S3_YES;
    e->verifies[INTEGRITY_SHA256] = e->verifies[INTEGRITY_MD5] = S3_NO;
}

static void open_backend(struct fixture *f, const char *const *replies) {
    const char *const roots[] = {"/"};
    struct s3_options o = {.response_timeout_ms = 5000};
    server_start(&f->server, replies);
    assert_int_equal(http_new(&f->http, &(struct http_options){.idle_max = 4}), 0);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &o), 0);
    assert_int_equal(roots_new(&f->roots, roots, 1), 0);
    teach(f);
}

static int setup(void **state) {
    static struct fixture fixture;
    struct fixture *f = &fixture;
    memset(f, 0, sizeof *f);
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    unsetenv("AWS_REGION");
    unsetenv("AWS_REQUEST_CHECKSUM_CALCULATION");
    unsetenv("AWS_DEFAULT_REGION");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    source_close(&f->task.source);
    free(f->task.result.redo);
    f->s3->ops->destroy(f->s3);
    http_destroy(&f->http);
    roots_destroy(&f->roots);
    server_stop(&f->server);
    for (size_t i = 0; i < f->text_count; i++)
        free(f->texts[i]);
    return 0;
}

static void prepare(struct fixture *f, enum job_kind kind) {
    free(f->task.result.redo);
    f->task =
        (struct task){.job = {.ref = {.kind = kind},
                              .target = {.dest = slice_of("s3://bucket/a key"), .endpoint = slice_of(f->server.url)},
                              .source = f->ref,
                              .handle = kind == JOB_BEGIN ? slice_of("") : slice_of("U+/1")},
                      .lease_deadline_ms = UINT64_MAX,
                      .done = on_done,
                      .done_arg = f};
    assert_int_equal(id_from_hex(&f->task.job.ref.upload, slice_of(OWNER)), 0);
    f->done = false;
}

/* A file of len bytes 'a' and the task's source on all of it. */
static void prepare_file(struct fixture *f, enum job_kind kind, size_t len) {
    char directory[256], why[200];
    struct stat st;
    struct source_identity id;
    assert_non_null(getcwd(directory, sizeof directory));
    snprintf(f->path, sizeof f->path, "%s/source", directory);
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < len; i++)
        putc('a', file);
    fclose(file);
    assert_int_equal(stat(f->path, &st), 0);
    fileid_from_stat(&st, &id);
    f->ref = (struct source_ref){.path = slice_of(f->path), .file = id, .boot = slice_of(boot_id())};
    prepare(f, kind);
    f->task.job.length = len;
    assert_int_equal(source_open(&f->task.source, f->roots, &f->ref, 0, len, why, sizeof why), 0);
}

static void prepare_finish(struct fixture *f) {
    prepare(f, JOB_FINISH);
    for (uint32_t i = 0; i < 3; i++)
        f->parts[i] = (struct part){i, crc32c_add(0, &"abc"[i], 1), 1, slice_of(i == 0 ? "e<0" : i == 1 ? "e1" : "e2")};
    f->task.parts = f->parts;
    f->task.part_count = 3;
}

static const struct task_result *run(struct fixture *f) {
    uint64_t deadline_ms = clock_ms() + 20000;
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    assert_false(f->done); /* never from within start */
    while (!f->done) {
        bool again = f->s3->ops->step(f->s3);
        if (f->between) {
            f->between(f);
            f->between = NULL;
        }
        http_perform(f->http);
        assert_true(clock_ms() < deadline_ms);
        if (!f->done)
            http_wait(f->http, NULL, 0, again ? 0 : 20);
    }
    return &f->task.result;
}

static bool saw(struct fixture *f, unsigned request, const char *text) {
    return server_saw(&f->server, request, text);
}

static void requests_are(struct fixture *f, unsigned count) {
    assert_int_equal(f->server.request_count, count);
}

/* --- begin --- */

static void test_begin_store_that_verifies(void **state) {
    struct fixture *f = *state;
    const char *headers = "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: FULL_OBJECT\r\n";
    const char *const replies[] = {with_body(f, "200 OK", headers, CREATED), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->handle, "U+/1");
    assert_int_equal(r->checksum, CHECKSUM_CRC32C_FULL);
    assert_true(saw(f, 0, "POST /bucket/a%20key?uploads= HTTP/1.1\r\n"));
    assert_true(saw(f, 0, "x-amz-meta-chunklift-upload: " OWNER "\r\n"));
    assert_true(saw(f, 0, "x-amz-checksum-algorithm: CRC32C\r\n"));
    assert_true(saw(f, 0, "x-amz-checksum-type: FULL_OBJECT\r\n"));
    assert_true(saw(f, 0, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    assert_true(saw(f, 0, "/us-east-1/s3/aws4_request"));
    assert_false(saw(f, 0, "SK"));
}

static void test_begin_store_that_ignores_checksums_is_remembered(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", CREATED), with_body(f, "200 OK", "", CREATED), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->checksum, CHECKSUM_NONE);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 0, "x-amz-checksum-algorithm"));
    assert_false(saw(f, 1, "x-amz-checksum-algorithm"));
}

static void test_begin_store_that_refuses_checksums(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "501 Not Implemented", "NotImplemented"),
                                   with_body(f, "200 OK", "", CREATED), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(saw(f, 1, "x-amz-checksum"));
}

static void test_begin_store_of_another_checksum_kind(void **state) {
    struct fixture *f = *state;
    const char *headers = "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: COMPOSITE\r\n";
    const char *const replies[] = {with_body(f, "200 OK", headers, CREATED), EMPTY("204 No Content", ""),
                                   with_body(f, "200 OK", "", CREATED), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->checksum, CHECKSUM_NONE);
    assert_true(saw(f, 1, "DELETE /bucket/a%20key?uploadId=U%2B%2F1 "));
    assert_false(saw(f, 2, "x-amz-checksum"));
}

static void test_region_of_the_bucket_is_found_and_remembered(void **state) {
    struct fixture *f = *state;
    const char *moved = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-9</Region></Error>";
    const char *const replies[] = {with_body(f, "400 Bad Request", "", moved), with_body(f, "200 OK", "", CREATED),
                                   with_body(f, "200 OK", "", CREATED), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 1, "/eu-west-9/s3/aws4_request"));
    assert_true(saw(f, 2, "/eu-west-9/s3/aws4_request"));
}

static void test_region_is_followed_once(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("301 Moved", "x-amz-bucket-region: r1\r\n"),
                                   EMPTY("301 Moved", "x-amz-bucket-region: r2\r\n"), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_false(r->transient);
    requests_are(f, 2);
}

static const char uploads_page[] =
    "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    "<Upload><Key>a%20key</Key><UploadId>old</UploadId><Initiated>2026-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key%20longer</Key><UploadId>longer</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key</Key><UploadId>used</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "<Upload><Key>a%20key</Key><UploadId>empty</UploadId><Initiated>2099-01-01T00:00:00Z</Initiated></Upload>"
    "</ListMultipartUploadsResult>";
static const char one_part[] = "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>x</ETag><Size>1</Size></Part>"
                               "</ListPartsResult>";

static void test_begin_adopts_an_empty_upload_of_this_key(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", uploads_page), with_body(f, "200 OK", "", one_part),
                                   with_body(f, "200 OK", "", "<ListPartsResult/>"), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->handle, "empty");
    assert_true(saw(f, 0, "GET /bucket?encoding-type=url&max-uploads=1000&prefix=a%20key&uploads= HTTP/1.1\r\n"));
    assert_true(saw(f, 1, "GET /bucket/a%20key?max-parts=1&uploadId=used "));
    assert_true(saw(f, 2, "uploadId=empty "));
    requests_are(f, 3);
}

static void test_begin_creates_when_nothing_can_be_adopted(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "403 Forbidden", "AccessDenied"), with_body(f, "200 OK", "", CREATED),
                                   NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    f->task.since_us = clock_real_us();
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 1, "?uploads="));
}

/* --- chunk --- */

static void test_chunk(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: \"e\"\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 3000000);
    f->task.job.ref.chunk = 6;
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "e");
    assert_int_equal(r->sent_bytes, 3000000);
    assert_int_equal(r->crc, source_crc(f->task.source));
    char base64[CRC_BASE64_SIZE], line[80];
    crc32c_to_base64(r->crc, base64);
    snprintf(line, sizeof line, "x-amz-checksum-crc32c: %s\r\n", base64);
    assert_true(saw(f, 0, line));
    assert_true(saw(f, 0, "PUT /bucket/a%20key?partNumber=7&uploadId=U%2B%2F1 HTTP/1.1\r\n"));
    assert_true(saw(f, 0, "Content-Length: 3000000\r\n"));
}

static void test_chunk_throttled(void **state) {
    struct fixture *f = *state;
    const char *body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>";
    const char *const replies[] = {with_body(f, "503 Slow Down", "Retry-After: 2\r\n", body), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient && r->throttled);
    assert_int_equal(r->retry_after_ms, 2000);
    assert_string_equal(r->error, "503 SlowDown: Please reduce your request rate");
}

static void test_chunk_store_got_other_bytes(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\nx-amz-checksum-crc32c: AAAAAA==\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
}

static void test_chunk_of_an_upload_that_is_gone(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "404 Not Found", "NoSuchUpload"),
                                   error_reply(f, "404 Not Found", "NoSuchUpload"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(run(f)->outcome, OUTCOME_GONE);
    assert_true(saw(f, 1, "DELETE /bucket/a%20key?uploadId=U%2B%2F1"));
    requests_are(f, 2);
}

/* What the store denies to know and knows all the same must not stay there. */
static void test_gone_is_said_when_the_upload_is_away(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "404 Not Found", "NoSuchUpload"), EMPTY("503 Slow Down", ""),
                                   error_reply(f, "404 Not Found", "NoSuchUpload"), EMPTY("204 No Content", ""), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    source_close(&f->task.source);
    prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(run(f)->outcome, OUTCOME_GONE);
    requests_are(f, 4);
}

static void test_chunk_lease_that_ended_sends_nothing(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    f->task.lease_deadline_ms = clock_ms();
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    assert_int_equal(r->sent_bytes, 0);
    requests_are(f, 0);
}

static void overwrite_source(struct fixture *f) {
    int fd = open(f->path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "b", 1, 5), 1);
    close(fd);
}

static void test_chunk_source_that_changes_after_its_checksum(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 100);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    f->between = overwrite_source;
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_false(r->transient);
}

static void truncate_source(struct fixture *f) {
    assert_int_equal(truncate(f->path, 10), 0);
}

static void test_chunk_source_that_shrinks(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 100);
    f->between = truncate_source;
    assert_int_equal(run(f)->class, FAIL_CHANGED);
}

/* The object would be replaced with the last byte: it never leaves. */
static void test_put_of_a_source_that_changes_is_never_whole(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: e\r\n"), EMPTY("200 OK", "ETag: e\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, 200000);
    f->between = overwrite_source;
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_true(r->sent_bytes < 200000);
    requests_are(f, 0);
    source_close(&f->task.source);
    prepare_file(f, JOB_PUT, 100);
    overwrite_source(f);
    assert_int_equal(run(f)->class, FAIL_CHANGED);
    requests_are(f, 0);
}

static void test_attempt_after_a_broken_one_gets_a_new_connection(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "503 Slow", "SlowDown"), error_reply(f, "500 Oops", "InternalError"),
                                   EMPTY("200 OK", "ETag: e\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 10);
    assert_true(run(f)->throttled);
    source_close(&f->task.source);
    prepare_file(f, JOB_CHUNK, 10);
    assert_true(run(f)->transient);
    assert_int_equal(f->server.connection_count, 1);
    source_close(&f->task.source);
    prepare_file(f, JOB_CHUNK, 10);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_int_equal(f->server.connection_count, 2);
}

static void test_chunk_reply_that_does_not_come(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {REPLY_SILENCE, NULL};
    open_backend(f, replies);
    f->s3->ops->destroy(f->s3);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &(struct s3_options){.response_timeout_ms = 150}), 0);
    prepare_file(f, JOB_CHUNK, 10);
    const struct task_result *r = run(f);
    assert_true(r->transient && r->timed_out && !r->never_connected);
}

/* --- integrity (rule 16) --- */

#define TAKEN EMPTY("200 OK", "ETag: \"opaque\"\r\n")

/* Nothing is known of the endpoint. */
static void open_unknown(struct fixture *f, const char *const *replies, enum integrity wish) {
    open_backend(f, replies);
    struct s3 *s3 = (struct s3 *)f->s3;
    struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, slice_of(f->server.url));
    memset(e->verifies, 0, sizeof e->verifies);
    s3->integrity = wish;
    s3->faster = INTEGRITY_SHA256;
}

static void prepare_first_chunk(struct fixture *f) {
    source_close(&f->task.source);
    prepare_file(f, JOB_CHUNK, 10);
    f->task.job.chunks = 2;
}

static void test_a_digest_is_relied_on_once_a_wrong_one_was_refused(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "XAmzContentSHA256Mismatch"), TAKEN, TAKEN, NULL};
    open_unknown(f, replies, INTEGRITY_UNKNOWN);
    prepare_first_chunk(f);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, INTEGRITY_SHA256);
    assert_int_equal(r->sent_bytes, 10);               /* the probe's do not count */
    assert_true(saw(f, 0, "?partNumber=1&uploadId=")); /* its own bytes: a store that takes them has the right part */
    assert_false(saw(f, 0, "x-amz-content-sha256: bf2cb58a"));
    assert_true(saw(f, 1, "?partNumber=1&uploadId="));
    /* of "aaaaaaaaaa" */
    assert_true(
        saw(f, 1, "x-amz-content-sha256: bf2cb58a68f684d95a3b78ef8f661c9a4e5b09e82cc8f9cc88cce90528caeb27\r\n"));
    prepare_first_chunk(f);
    assert_int_equal(run(f)->integrity, INTEGRITY_SHA256);
    requests_are(f, 3); /* it was asked once */
}

static void test_a_store_that_takes_every_wrong_digest_proves_nothing(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {TAKEN, TAKEN, TAKEN, NULL};
    open_unknown(f, replies, INTEGRITY_UNKNOWN);
    prepare_first_chunk(f);
    assert_int_equal(run(f)->integrity, INTEGRITY_NONE);
    assert_true(saw(f, 1, "content-md5: "));
    assert_true(saw(f, 2, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    assert_false(saw(f, 2, "content-md5"));
}

static void test_a_put_asks_with_the_file_itself(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {TAKEN, error_reply(f, "400 Bad Request", "BadDigest"), TAKEN, NULL};
    open_unknown(f, replies, INTEGRITY_UNKNOWN);
    prepare_file(f, JOB_PUT, 3);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->integrity, INTEGRITY_SHA256);
    assert_true(saw(f, 0, "x-amz-checksum-crc32c: ")); /* taken though it is wrong: not relied on */
    for (unsigned i = 0; i < 3; i++)
        assert_true(saw(f, i, "\r\n\r\naaa"));
    assert_false(saw(f, 2, "x-amz-checksum-crc32c"));
}

static void test_an_answer_that_tells_nothing_is_asked_again(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "503 Slow Down", "SlowDown"),
                                   error_reply(f, "403 Forbidden", "AccessDenied"),
                                   error_reply(f, "400 Bad Request", "BadDigest"), TAKEN, NULL};
    open_unknown(f, replies, INTEGRITY_MD5);
    prepare_first_chunk(f);
    assert_true(run(f)->throttled);
    prepare_first_chunk(f);
    assert_int_equal(run(f)->class, FAIL_DENIED);
    prepare_first_chunk(f);
    assert_int_equal(run(f)->integrity, INTEGRITY_MD5);
    requests_are(f, 4);
}

static void test_a_wished_check_that_is_not_used_fails(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {TAKEN, NULL};
    open_unknown(f, replies, INTEGRITY_SHA256);
    prepare_first_chunk(f);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_INTEGRITY);
    assert_false(r->transient);
    requests_are(f, 1);
}

/* --- put --- */

static void put_with_refused_checksum(struct fixture *f, size_t len) {
    const char *const replies[] = {error_reply(f, "400 Bad Request", "InvalidArgument"),
                                   EMPTY("200 OK", "ETag: \"e\"\r\n"), EMPTY("200 OK", "ETag: \"e\"\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, len);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 0, "x-amz-checksum-crc32c: "));
    assert_false(saw(f, 1, "x-amz-checksum"));
    assert_int_equal(f->task.result.crc, source_crc(f->task.source));
    assert_int_equal(f->task.result.size, len);
    source_close(&f->task.source);
    prepare_file(f, JOB_PUT, len);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(saw(f, 2, "x-amz-checksum")); /* remembered */
    assert_true(saw(f, 2, "x-amz-meta-chunklift-upload: " OWNER "\r\n"));
}

static void test_put_small(void **state) {
    put_with_refused_checksum(*state, 7);
}

static void test_put_large(void **state) {
    put_with_refused_checksum(*state, 1500000);
}

static void test_put_empty(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("200 OK", "ETag: \"d41d\"\r\nx-amz-checksum-crc32c: AAAAAA==\r\n"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, 0);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "d41d");
    assert_true(saw(f, 0, "Content-Length: 0\r\n"));
}

static void test_put_denied(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "403 Forbidden", "InvalidAccessKeyId"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, 5);
    const struct task_result *r = run(f);
    assert_int_equal(r->class, FAIL_DENIED);
    assert_false(r->transient);
    assert_string_equal(r->error, "403 InvalidAccessKeyId: because");
}

static void test_expired_credentials_of_the_environment_are_final(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "ExpiredToken"), NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, 5);
    const struct task_result *r = run(f);
    assert_int_equal(r->class, FAIL_DENIED);
    assert_false(r->transient || r->credentials_expired);
}

static void test_key_that_is_not_utf8(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_PUT, 5);
    f->task.job.target.dest = slice_of("s3://bucket/\xff");
    const struct task_result *r = run(f);
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_non_null(strstr(r->error, "not UTF-8"));
    requests_are(f, 0);
}

/* --- finish --- */

static const char completed[] = "<CompleteMultipartUploadResult><ETag>\"w-3\"</ETag></CompleteMultipartUploadResult>";

static void test_finish(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", completed), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "w-3");
    assert_int_equal(r->crc, crc32c_add(0, "abc", 3));
    assert_int_equal(r->size, 3);
    assert_true(saw(f, 0, "POST /bucket/a%20key?uploadId=U%2B%2F1 "));
    assert_true(saw(f, 0, "<Part><PartNumber>1</PartNumber><ETag>\"e&lt;0\"</ETag><ChecksumCRC32C>"));
    char base64[CRC_BASE64_SIZE], line[80];
    crc32c_to_base64(r->crc, base64);
    snprintf(line, sizeof line, "x-amz-checksum-crc32c: %s\r\n", base64);
    assert_true(saw(f, 0, line));
    assert_true(saw(f, 0, "x-amz-checksum-type: FULL_OBJECT\r\n"));
}

/* Rule 10: what an earlier holder of begin left goes, in the end; an upload with parts stays. */
static void test_finish_of_an_upload_begun_twice_leaves_nothing(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", completed),
                                   with_body(f, "200 OK", "", uploads_page),
                                   with_body(f, "200 OK", "", one_part),
                                   with_body(f, "200 OK", "", "<ListPartsResult/>"),
                                   error_reply(f, "403 Forbidden", "AccessDenied"),
                                   NULL};
    open_backend(f, replies);
    prepare_finish(f);
    f->task.since_us = clock_real_us();
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_string_equal(r->etag, "w-3");
    assert_true(saw(f, 2, "GET /bucket/a%20key?max-parts=1&uploadId=used "));
    assert_true(saw(f, 4, "DELETE /bucket/a%20key?uploadId=empty "));
    requests_are(f, 5);
}

static void test_finish_without_checksums_of_the_store(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", completed), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(saw(f, 0, "ChecksumCRC32C"));
    assert_false(saw(f, 0, "x-amz-checksum"));
}

static void finish_with_head(struct fixture *f, const char *first, const char *head, enum outcome outcome) {
    const char *const replies[] = {first, head, with_body(f, "200 OK", "", one_part), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, outcome);
    assert_true(saw(f, 1, "HEAD /bucket/a%20key HTTP/1.1\r\n"));
}

#define OBJECT(owner, size, more)                                                                                      \
    "HTTP/1.1 200 OK\r\nETag: \"h-3\"\r\nx-amz-meta-chunklift-upload: " owner "\r\n" more "Content-Length: " size      \
    "\r\n\r\n"
#define BARE_OBJECT(more) "HTTP/1.1 200 OK\r\nETag: \"h-3\"\r\n" more "Content-Length: 3\r\n\r\n"

static void test_finish_error_under_200_resolved_by_head(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "200 OK", "InternalError"), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
    assert_string_equal(f->task.result.etag, "h-3");
}

static void test_finish_lost_reply_resolved_by_head(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, REPLY_CUT, OBJECT(OWNER, "3", ""), OUTCOME_DONE);
}

static void test_finish_no_such_upload_but_the_object_is_ours(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "404 Not Found", "NoSuchUpload"), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
}

static void test_finish_object_of_somebody_else(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "404 Not Found", "NoSuchUpload"), OBJECT(OTHER, "3", ""), OUTCOME_GONE);
}

static void test_finish_size_alone_is_no_proof(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "404 Not Found", "NoSuchUpload"), BARE_OBJECT(""), OUTCOME_GONE);
}

static void test_finish_ours_by_name_but_not_by_size(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "404 Not Found", "NoSuchUpload"), OBJECT(OWNER, "4", ""), OUTCOME_GONE);
}

static void test_finish_store_without_metadata_by_checksum(void **state) {
    struct fixture *f = *state;
    char base64[CRC_BASE64_SIZE], reply[256];
    crc32c_to_base64(crc32c_add(0, "abc", 3), base64);
    snprintf(reply, sizeof reply, BARE_OBJECT("x-amz-checksum-crc32c: %s\r\n"), base64);
    finish_with_head(f, error_reply(f, "404 Not Found", "NoSuchUpload"), reply, OUTCOME_DONE);
}

static void test_finish_doubt_and_the_upload_is_still_there(void **state) {
    struct fixture *f = *state;
    finish_with_head(f, error_reply(f, "500 Oops", "InternalError"), EMPTY("404 Not Found", ""), OUTCOME_FAILED);
    assert_true(f->task.result.transient);
    assert_string_equal(f->task.result.error, "500 InternalError: because");
    requests_are(f, 3);
}

/* Ceph answers 500 for an upload that is gone. */
static void test_finish_doubt_and_the_upload_is_gone(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "500 Oops", "InternalError"),     EMPTY("404 Not Found", ""),
                                   error_reply(f, "404 Not Found", "NoSuchKey"),    EMPTY("404 Not Found", ""),
                                   error_reply(f, "404 Not Found", "NoSuchUpload"), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, OUTCOME_GONE);
    requests_are(f, 5);
}

static void test_finish_empty_etag_is_looked_up(void **state) {
    struct fixture *f = *state;
    const char *empty = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>";
    finish_with_head(f, with_body(f, "200 OK", "", empty), OBJECT(OWNER, "3", ""), OUTCOME_DONE);
    assert_string_equal(f->task.result.etag, "h-3");
}

static void test_finish_object_of_another_size_is_no_success(void **state) {
    struct fixture *f = *state;
    const char *empty = "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>";
    finish_with_head(f, with_body(f, "200 OK", "", empty), OBJECT(OWNER, "2", ""), OUTCOME_FAILED);
    assert_int_equal(f->task.result.class, FAIL_INTEGRITY);
}

static void test_finish_throttled_is_no_doubt(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "503 Slow", "SlowDown"), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    assert_true(run(f)->throttled);
    requests_are(f, 1);
}

static void test_finish_invalid_part_listed_and_redone(void **state) {
    struct fixture *f = *state;
    const char *first = "<ListPartsResult><IsTruncated>true</IsTruncated>"
                        "<Part><PartNumber>1</PartNumber><ETag>e&lt;0</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *second = "<ListPartsResult><IsTruncated>false</IsTruncated>"
                         "<Part><PartNumber>3</PartNumber><ETag>other</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *const replies[] = {error_reply(f, "400 Bad Request", "InvalidPart"), with_body(f, "200 OK", "", first),
                                   with_body(f, "200 OK", "", second), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, 2);
    assert_int_equal(r->redo[0], 1);
    assert_int_equal(r->redo[1], 2);
    assert_true(saw(f, 2, "max-parts=1000&part-number-marker=1&uploadId="));
}

static void test_finish_invalid_part_taken_by_its_checksum(void **state) {
    struct fixture *f = *state;
    struct buf page = BUF_INIT;
    assert_int_equal(buf_add_text(&page, "<ListPartsResult>"), 0);
    for (unsigned i = 0; i < 3; i++) {
        char base64[CRC_BASE64_SIZE];
        crc32c_to_base64(crc32c_add(0, &"abc"[i], 1), base64);
        assert_int_equal(buf_addf(&page,
                                  "<Part><PartNumber>%u</PartNumber><ETag>n%u</ETag><Size>1</Size>"
                                  "<ChecksumCRC32C>%s</ChecksumCRC32C></Part>",
                                  i + 1, i, base64),
                         0);
    }
    assert_int_equal(buf_add_text(&page, "</ListPartsResult>"), 0);
    const char *const replies[] = {error_reply(f, "400 Bad Request", "InvalidPart"),
                                   with_body(f, "200 OK", "", page.data), with_body(f, "200 OK", "", completed), NULL};
    buf_release(&page);
    open_backend(f, replies);
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 2, "<ETag>\"n0\"</ETag>"));
    assert_true(saw(f, 2, "<ETag>\"n2\"</ETag>"));
}

static const char plain_list[] = "<ListPartsResult>"
                                 "<Part><PartNumber>1</PartNumber><ETag>s0</ETag><Size>1</Size></Part>"
                                 "<Part><PartNumber>2</PartNumber><ETag>0123456789abcdef</ETag><Size>1</Size></Part>"
                                 "<Part><PartNumber>3</PartNumber><ETag>s2</ETag><Size>%u</Size></Part>"
                                 "</ListPartsResult>";

/* A proxy drops or changes the ETag header of parts; the list has the store's own. */
static void test_finish_parts_without_etag_are_listed_first(void **state) {
    struct fixture *f = *state;
    char list[512];
    snprintf(list, sizeof list, plain_list, 1);
    const char *const replies[] = {with_body(f, "200 OK", "", list), with_body(f, "200 OK", "", completed), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    f->parts[0].etag = f->parts[2].etag = slice_of("");
    f->parts[1].etag = slice_of("0123456789abcdef-gzip");
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 1, "<ETag>\"s0\"</ETag>"));
    assert_true(saw(f, 1, "<ETag>\"0123456789abcdef\"</ETag>"));
    assert_true(saw(f, 1, "<ETag>\"s2\"</ETag>"));
}

static void test_finish_part_without_etag_of_another_size_is_redone(void **state) {
    struct fixture *f = *state;
    char list[512];
    snprintf(list, sizeof list, plain_list, 2);
    const char *const replies[] = {with_body(f, "200 OK", "", list), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    f->parts[0].etag = f->parts[2].etag = slice_of("");
    f->parts[1].etag = slice_of("0123456789abcdef0"); /* not the listed one with something added */
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_REDO);
    assert_int_equal(r->redo_count, 2);
    assert_int_equal(r->redo[0], 1);
    assert_int_equal(r->redo[1], 2);
    assert_non_null(strstr(r->error, "the store answered a part without an ETag (2 of 3 parts"));
}

/* Optional headers: a store that refuses them gets the request once without, and is remembered. */
static void test_finish_head_without_checksum_mode(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {
        error_reply(f, "500 Oops", "InternalError"), EMPTY("400 Bad Request", ""), OBJECT(OWNER, "3", ""),
        error_reply(f, "500 Oops", "InternalError"), OBJECT(OWNER, "3", ""),       NULL};
    open_backend(f, replies);
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 1, "x-amz-checksum-mode: ENABLED\r\n"));
    assert_false(saw(f, 2, "x-amz-checksum-mode"));
    prepare_finish(f);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(saw(f, 4, "x-amz-checksum-mode"));
}

static void test_chunk_without_the_refused_checksum(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "InvalidArgument"), EMPTY("200 OK", "ETag: e\r\n"),
                                   NULL};
    open_backend(f, replies);
    prepare_file(f, JOB_CHUNK, 100000);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_true(saw(f, 0, "x-amz-checksum-crc32c"));
    assert_false(saw(f, 1, "x-amz-checksum-crc32c"));
}

/* A refusal that the headers have nothing to do with stands, and nothing is remembered. */
static void test_refusal_of_something_else_is_not_blamed_on_headers(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "403 Forbidden", "AccessDenied"),
                                   error_reply(f, "403 Forbidden", "AccessDenied"), with_body(f, "200 OK", "", CREATED),
                                   NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->class, FAIL_DENIED);
    assert_false(saw(f, 1, "x-amz-checksum"));
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 2, "x-amz-checksum-algorithm"));
}

static void finish_that_falls_back(struct fixture *f, const char *const *replies, unsigned last) {
    open_backend(f, replies);
    prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_true(saw(f, 0, "<ChecksumCRC32C>"));
    assert_true(saw(f, last, "POST "));
    assert_false(saw(f, last, "ChecksumCRC32C"));
    assert_false(saw(f, last, "x-amz-checksum"));
    prepare(f, JOB_BEGIN); /* remembered: the next upload does not ask for it */
    assert_int_equal(run(f)->checksum, CHECKSUM_NONE);
    assert_false(saw(f, last + 1, "x-amz-checksum"));
}

static void test_finish_falls_back_to_plain_once(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "InvalidRequest"),
                                   with_body(f, "200 OK", "", completed), with_body(f, "200 OK", "", CREATED), NULL};
    finish_that_falls_back(f, replies, 1);
}

/* "The checksum is wrong" may be true: only with all parts as recorded is it tried without. */
static void test_finish_of_a_checksum_called_wrong_looks_at_the_parts(void **state) {
    struct fixture *f = *state;
    const char *list = "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>e&lt;0</ETag><Size>1</Size></Part>"
                       "<Part><PartNumber>2</PartNumber><ETag>e1</ETag><Size>1</Size></Part>"
                       "<Part><PartNumber>3</PartNumber><ETag>e2</ETag><Size>1</Size></Part></ListPartsResult>";
    const char *const replies[] = {error_reply(f, "400 Bad Request", "BadDigest"), with_body(f, "200 OK", "", list),
                                   with_body(f, "200 OK", "", completed), with_body(f, "200 OK", "", CREATED), NULL};
    finish_that_falls_back(f, replies, 2);
}

static void test_finish_of_a_wrong_checksum_redoes_the_wrong_parts(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "BadDigest"), with_body(f, "200 OK", "", one_part),
                                   NULL};
    open_backend(f, replies);
    prepare_finish(f);
    f->task.job.checksum = CHECKSUM_CRC32C_FULL;
    assert_int_equal(run(f)->outcome, OUTCOME_REDO);
    assert_int_equal(f->task.result.redo_count, 3);
}

static void test_checksums_only_when_required(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {with_body(f, "200 OK", "", CREATED), EMPTY("200 OK", "ETag: e\r\n"), NULL};
    setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED", 1);
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    prepare_file(f, JOB_PUT, 70000);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(saw(f, 0, "x-amz-checksum"));
    assert_false(saw(f, 1, "x-amz-checksum"));
}

static void test_finish_too_small_parts(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "400 Bad Request", "EntityTooSmall"), NULL};
    open_backend(f, replies);
    prepare_finish(f);
    const struct task_result *r = run(f);
    assert_int_equal(r->class, FAIL_REQUEST);
    assert_false(r->transient);
}

/* --- abort, head, cancel --- */

static void test_abort_until_nothing_is_left(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {EMPTY("204 No Content", ""), with_body(f, "200 OK", "", one_part),
                                   EMPTY("204 No Content", ""), error_reply(f, "404 Not Found", "NoSuchUpload"), NULL};
    open_backend(f, replies);
    prepare(f, JOB_ABORT);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    requests_are(f, 4);
    assert_true(saw(f, 2, "DELETE /bucket/a%20key?uploadId=U%2B%2F1 "));
}

static void test_abort_of_nothing(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {error_reply(f, "404 Not Found", "NoSuchUpload"), NULL};
    open_backend(f, replies);
    prepare(f, JOB_ABORT);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    prepare(f, JOB_ABORT);
    f->task.job.handle = slice_of("");
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    requests_are(f, 1);
}

/* Its begin was granted and nobody knows the reply: what is there without parts goes, what has parts stays. */
static void test_abort_without_a_handle_looks(void **state) {
    struct fixture *f = *state;
    const char *list =
        "<ListMultipartUploadsResult>"
        "<Upload><Key>a key</Key><UploadId>U1</UploadId><Initiated>2100-01-01T00:00:00Z</Initiated></Upload>"
        "<Upload><Key>a key</Key><UploadId>U2</UploadId><Initiated>2100-01-01T00:00:00Z</Initiated></Upload>"
        "</ListMultipartUploadsResult>";
    const char *const replies[] = {
        EMPTY("503 Slow Down", ""),
        with_body(f, "200 OK", "", list),
        with_body(f, "200 OK", "", "<ListPartsResult></ListPartsResult>"),
        EMPTY("204 No Content", ""),
        with_body(f, "200 OK", "", one_part),
        error_reply(f, "403 Forbidden", "AccessDenied"),
        NULL,
    };
    open_backend(f, replies);
    for (int i = 0; i < 3; i++) {
        prepare(f, JOB_ABORT);
        f->task.job.handle = slice_of("");
        f->task.since_us = 1;
        const struct task_result *r = run(f);
        assert_int_equal(r->outcome, i == 0 ? OUTCOME_FAILED : OUTCOME_DONE); /* a busy store is asked again */
        assert_int_equal(r->transient, i == 0);
    }
    assert_true(saw(f, 3, "DELETE /bucket/a%20key?uploadId=U1 "));
    requests_are(f, 6); /* the last: it may not look, and stands in nobody's way */
}

static void test_begin_whose_stray_stays_is_not_done(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {
        with_body(f, "200 OK", "x-amz-checksum-algorithm: CRC32C\r\nx-amz-checksum-type: COMPOSITE\r\n", CREATED),
        EMPTY("503 Slow Down", ""), NULL};
    open_backend(f, replies);
    prepare(f, JOB_BEGIN);
    const struct task_result *r = run(f);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_true(r->transient);
    requests_are(f, 2);
}

static void test_head(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 123456789012\r\n\r\n",
                                   EMPTY("404 Not Found", ""), EMPTY("403 Forbidden", ""), NULL};
    open_backend(f, replies);
    prepare(f, JOB_STAT);
    assert_true(run(f)->exists);
    assert_int_equal(f->task.result.size, 123456789012);
    prepare(f, JOB_STAT);
    assert_int_equal(run(f)->outcome, OUTCOME_DONE);
    assert_false(f->task.result.exists);
    prepare(f, JOB_STAT);
    assert_int_equal(run(f)->class, FAIL_DENIED);
}

static void test_cancel(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {REPLY_SILENCE, NULL};
    open_backend(f, replies);
    prepare(f, JOB_STAT);
    assert_int_equal(f->s3->ops->start(f->s3, &f->task), 0);
    while (f->server.request_count == 0) {
        http_perform(f->http);
        http_wait(f->http, NULL, 0, 10);
    }
    f->s3->ops->step(f->s3);
    assert_true(f->task.awaiting_reply);
    f->s3->ops->cancel(f->s3, &f->task);
    f->s3->ops->step(f->s3);
    http_perform(f->http);
    assert_false(f->done);
    assert_null(f->task.backend_state);
}

static void test_never_connected(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {NULL};
    open_backend(f, replies);
    prepare(f, JOB_STAT);
    f->task.job.target.endpoint = slice_of("http://127.0.0.1:1");
    const struct task_result *r = run(f);
    assert_true(r->transient && r->never_connected);
    assert_int_equal(r->class, FAIL_UNREACHABLE);
}

static void test_check(void **state) {
    struct fixture *f = *state;
    const char *const replies[] = {NULL};
    char reason[512] = "";
    open_backend(f, replies);
    struct target t = {.dest = slice_of("s3://bucket/key"), .endpoint = slice_of(f->server.url)};
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), 0);
    t = (struct target){.dest = slice_of("s3://bucket")}; /* what --allow and cp give at the start */
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), 0);
    t.dest = slice_of("file:///x");
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), ERR_INVALID);
    unsetenv("AWS_ACCESS_KEY_ID");
    f->s3->ops->destroy(f->s3);
    assert_int_equal(backend_s3_new(&f->s3, f->http, &(struct s3_options){0}), 0);
    t.dest = slice_of("s3://bucket/key");
    assert_int_equal(f->s3->ops->check(f->s3, &t, reason, sizeof reason), ERR_DENIED);
    assert_non_null(strstr(reason, "no credentials: looked in AWS_ACCESS_KEY_ID"));
    prepare(f, JOB_STAT);
    assert_int_equal(run(f)->class, FAIL_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(TEST(test_begin_store_that_verifies), TEST(test_begin_store_that_ignores_checksums_is_remembered),
          TEST(test_begin_store_that_refuses_checksums), TEST(test_begin_store_of_another_checksum_kind),
          TEST(test_region_of_the_bucket_is_found_and_remembered), TEST(test_region_is_followed_once),
          TEST(test_begin_adopts_an_empty_upload_of_this_key), TEST(test_begin_creates_when_nothing_can_be_adopted),
          TEST(test_chunk), TEST(test_chunk_throttled), TEST(test_chunk_store_got_other_bytes),
          TEST(test_chunk_of_an_upload_that_is_gone), TEST(test_gone_is_said_when_the_upload_is_away),
          TEST(test_abort_without_a_handle_looks), TEST(test_begin_whose_stray_stays_is_not_done),
          TEST(test_chunk_lease_that_ended_sends_nothing), TEST(test_chunk_source_that_changes_after_its_checksum),
          TEST(test_chunk_source_that_shrinks), TEST(test_put_of_a_source_that_changes_is_never_whole),
          TEST(test_attempt_after_a_broken_one_gets_a_new_connection), TEST(test_chunk_reply_that_does_not_come),
          TEST(test_a_digest_is_relied_on_once_a_wrong_one_was_refused),
          TEST(test_a_store_that_takes_every_wrong_digest_proves_nothing), TEST(test_a_put_asks_with_the_file_itself),
          TEST(test_an_answer_that_tells_nothing_is_asked_again), TEST(test_a_wished_check_that_is_not_used_fails),
          TEST(test_put_small), TEST(test_put_large), TEST(test_put_empty), TEST(test_put_denied),
          TEST(test_expired_credentials_of_the_environment_are_final), TEST(test_key_that_is_not_utf8),
          TEST(test_finish), TEST(test_finish_of_an_upload_begun_twice_leaves_nothing),
          TEST(test_finish_without_checksums_of_the_store), TEST(test_finish_error_under_200_resolved_by_head),
          TEST(test_finish_lost_reply_resolved_by_head), TEST(test_finish_no_such_upload_but_the_object_is_ours),
          TEST(test_finish_object_of_somebody_else), TEST(test_finish_size_alone_is_no_proof),
          TEST(test_finish_ours_by_name_but_not_by_size), TEST(test_finish_store_without_metadata_by_checksum),
          TEST(test_finish_doubt_and_the_upload_is_still_there), TEST(test_finish_doubt_and_the_upload_is_gone),
          TEST(test_finish_empty_etag_is_looked_up), TEST(test_finish_object_of_another_size_is_no_success),
          TEST(test_finish_throttled_is_no_doubt), TEST(test_finish_invalid_part_listed_and_redone),
          TEST(test_finish_invalid_part_taken_by_its_checksum), TEST(test_finish_parts_without_etag_are_listed_first),
          TEST(test_finish_part_without_etag_of_another_size_is_redone), TEST(test_finish_too_small_parts),
          TEST(test_finish_head_without_checksum_mode), TEST(test_chunk_without_the_refused_checksum),
          TEST(test_refusal_of_something_else_is_not_blamed_on_headers), TEST(test_finish_falls_back_to_plain_once),
          TEST(test_finish_of_a_checksum_called_wrong_looks_at_the_parts),
          TEST(test_finish_of_a_wrong_checksum_redoes_the_wrong_parts), TEST(test_checksums_only_when_required),
          TEST(test_abort_until_nothing_is_left), TEST(test_abort_of_nothing), TEST(test_head), TEST(test_cancel),
          TEST(test_never_connected), TEST(test_check))
