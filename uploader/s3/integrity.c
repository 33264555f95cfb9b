#include "uploader/s3/integrity.h"
#include "pure/text.h"
#include "system/log.h"
#include "uploader/s3/object_headers.h"
#include "uploader/s3/request.h"
#include "uploader/s3/trailer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#define PART_NUMBER_MAX 10000
#define PROBE_CHUNK_MAX (UINT64_C(16) << 20)  /* a larger chunk is not sent twice */
#define TRAILER_CHUNK_MIN (UINT64_C(1) << 20) /* a second read of less costs less than a probe */
#define MEASURED_BYTES (64u << 10)
#define ETAG_MISSES_MAX 3 /* consecutive; then ETags of this endpoint are no longer compared */

/* --integrity of the uploader, else of the job. INTEGRITY_UNKNOWN: auto. */
static enum integrity integrity_wanted(const struct s3 *s3, const struct job *job) {
    enum integrity wanted = s3->integrity ? s3->integrity : job->integrity;
    return wanted == INTEGRITY_TLS ? INTEGRITY_UNKNOWN : wanted;
}

static enum integrity integrity_wanted_by(const struct s3_op *op) {
    return integrity_wanted(op->s3, &op->task->job);
}

bool s3_integrity_uses_crc32c(const struct s3 *s3, const struct job *job) {
    enum integrity wanted = integrity_wanted(s3, job);
    if (wanted)
        return wanted == INTEGRITY_CRC32C;
    return !s3->aws.checksums_when_required;
}

bool s3_integrity_may_use_trailer(const struct s3 *s3, const struct job *job, const struct s3_endpoint *e) {
    return job->ref.kind == JOB_CHUNK && job->length >= TRAILER_CHUNK_MIN && job->checksum == CHECKSUM_CRC32C_FULL &&
           s3_integrity_uses_crc32c(s3, job) && !(e->refused & S3_BODY_CHECKSUM) &&
           e->verifies[INTEGRITY_CRC32C] != S3_NO && e->trailers != S3_NO;
}

/* --- digests --- */

static enum digest_kind method_digest_kind(enum integrity method) {
    return method == INTEGRITY_MD5 ? DIGEST_MD5 : DIGEST_SHA256;
}

static bool method_has_digest(enum integrity method) {
    return method == INTEGRITY_MD5 || method == INTEGRITY_SHA256;
}

int s3_digest_begin(struct s3_op *op) {
    if (!method_has_digest(op->method))
        return 0;
    if (op->digest_kind != method_digest_kind(op->method))
        digest_destroy(&op->digest);
    op->digest_kind = method_digest_kind(op->method);
    int err = op->digest ? 0 : digest_new(&op->digest, op->digest_kind);
    if (err)
        return err;
    return digest_begin(op->digest);
}

int s3_digest_add(struct s3_op *op, const void *bytes, size_t len) {
    return method_has_digest(op->method) && len ? digest_add(op->digest, bytes, len) : 0;
}

int s3_digest_end(struct s3_op *op) {
    return method_has_digest(op->method) ? digest_end(op->digest, op->digest_bytes) : 0;
}

int s3_digest_all(struct s3_op *op, struct slice bytes) {
    int err = s3_digest_begin(op);
    if (err)
        return err;
    err = s3_digest_add(op, bytes.ptr, bytes.len);
    if (err)
        return err;
    return s3_digest_end(op);
}

/* CPU time of this thread; other processes do not count. */
static uint64_t thread_cpu_ns(void) {
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec : 0;
}

static uint64_t digest_measure_ns(enum digest_kind kind, const void *bytes) {
    uint8_t sum[SHA256_SIZE];
    struct digest *d;
    if (digest_new(&d, kind))
        return UINT64_MAX;
    uint64_t start_ns = thread_cpu_ns();
    bool failed = digest_begin(d) || digest_add(d, bytes, MEASURED_BYTES) || digest_end(d, sum);
    uint64_t took_ns = thread_cpu_ns() - start_ns;
    digest_destroy(&d);
    return failed ? UINT64_MAX : took_ns;
}

/* SHA-256 where the CPU has instructions for it, else usually MD5. Measured once, in a fifth of a
 * millisecond: a process may send a single small file. */
static enum integrity digest_faster(struct s3 *s3) {
    void *bytes = s3->faster ? NULL : malloc(MEASURED_BYTES);
    if (bytes) {
        memset(bytes, 1, MEASURED_BYTES); /* also maps its pages, which the first digest would pay for */
        uint64_t sha256_ns = digest_measure_ns(DIGEST_SHA256, bytes), md5_ns = digest_measure_ns(DIGEST_MD5, bytes);
        s3->faster = md5_ns < sha256_ns ? INTEGRITY_MD5 : INTEGRITY_SHA256;
        free(bytes);
    }
    return s3->faster ? s3->faster : INTEGRITY_SHA256;
}

/* --- the choice --- */

/* Is the ETag of this object an MD5? An object that is encrypted with a customer's or a KMS key shows nothing about the
 * others at its endpoint. */
static enum s3_tristate etag_is_md5(const struct s3_op *op, const struct s3_endpoint *e) {
    return s3_object_is_encrypted(op) ? S3_NO : e->md5_etags;
}

static bool method_can_be_sent(const struct s3_op *op, const struct s3_endpoint *e, enum integrity method) {
    if (method == INTEGRITY_MD5)
        return !(e->refused & S3_BODY_MD5);
    if (method == INTEGRITY_SHA256)
        return true;
    if (e->refused & S3_BODY_CHECKSUM)
        return false;
    return op->task->job.ref.kind == JOB_CHUNK ? op->task->job.checksum == CHECKSUM_CRC32C_FULL
                                               : s3_integrity_uses_crc32c(op->s3, &op->task->job);
}

static bool method_may_be_verified(const struct s3_op *op, const struct s3_endpoint *e, enum integrity method) {
    return method_can_be_sent(op, e, method) && e->verifies[method] != S3_NO;
}

static enum integrity method_choose_wanted(const struct s3_op *op, const struct s3_endpoint *e, enum integrity wanted) {
    if (wanted == INTEGRITY_NONE || method_may_be_verified(op, e, wanted))
        return wanted;
    return wanted == INTEGRITY_MD5 && etag_is_md5(op, e) != S3_NO ? INTEGRITY_MD5 : INTEGRITY_UNKNOWN;
}

static enum integrity method_choose(const struct s3_op *op, const struct s3_endpoint *e) {
    if (integrity_wanted_by(op))
        return method_choose_wanted(op, e, integrity_wanted_by(op));
    if (method_may_be_verified(op, e, INTEGRITY_CRC32C))
        return INTEGRITY_CRC32C;
    if (op->url.https)
        return INTEGRITY_TLS;
    /* With an MD5 compared with the ETag, fetched bytes are transferred from the producer only
     * once. */
    enum integrity first = source_is_fetched(op->task->source) ? INTEGRITY_MD5 : digest_faster(op->s3);
    enum integrity second = first == INTEGRITY_MD5 ? INTEGRITY_SHA256 : INTEGRITY_MD5;
    if (method_may_be_verified(op, e, first))
        return first;
    if (method_may_be_verified(op, e, second))
        return second;
    return etag_is_md5(op, e) == S3_YES ? INTEGRITY_MD5 : INTEGRITY_NONE;
}

static bool method_needs_probe(const struct s3_op *op, const struct s3_endpoint *e) {
    bool is_check = op->method == INTEGRITY_CRC32C || method_has_digest(op->method);
    if (op->trailer)
        return e->trailers == S3_UNKNOWN;
    return is_check && !op->streams_md5 && e->verifies[op->method] == S3_UNKNOWN;
}

static void integrity_fail_unverified(struct s3_op *op) {
    char text[400];
    snprintf(text, sizeof text, "--integrity %s: the store at %.*s does not verify it; use --integrity auto",
             integrity_name(integrity_wanted_by(op)), (int)MIN(op->url.endpoint.len, 200), op->url.endpoint.ptr);
    s3_op_fail(op, FAIL_INTEGRITY, false, text);
}

static void probe_send_part(struct s3_op *op, unsigned number);

/* The number of a part that no Complete names. A stream may have the most parts and hardly ever has: the last number
 * serves, and a part that gets it later replaces what the probe left. */
static unsigned probe_part_number(const struct job *j) {
    unsigned after_last = j->chunks ? j->chunks + 1 : PART_NUMBER_MAX;
    bool open = j->source.stream && j->source.file.size == 0 && j->ref.chunk + 1 < PART_NUMBER_MAX;
    return open ? MIN(after_last, PART_NUMBER_MAX) : after_last;
}

/* True: op->method is final. False: the operation ended, waits, or sent a probe. */
static bool integrity_choose_method(struct s3_op *op) {
    struct s3_endpoint *e = s3_op_endpoint(op);
    bool chunk = op->task->job.ref.kind == JOB_CHUNK;
    enum integrity method = method_choose(op, e);
    if (method == INTEGRITY_UNKNOWN) {
        integrity_fail_unverified(op);
        return false;
    }
    op->read_ahead = op->read_ahead && method == op->method;
    op->method = method;
    unsigned after_last = probe_part_number(&op->task->job);
    bool has_spare_part = after_last <= PART_NUMBER_MAX; /* for a probe */
    op->trailer = method == INTEGRITY_CRC32C && !op->trailer_refused && !op->fresh &&
                  s3_integrity_may_use_trailer(op->s3, &op->task->job, e) && (e->trailers == S3_YES || has_spare_part);
    op->announced =
        !op->trailer && (chunk ? op->task->job.checksum == CHECKSUM_CRC32C_FULL : method == INTEGRITY_CRC32C);
    bool whole = !chunk && op->task->job.length <= S3_WHOLE_BODY_MAX; /* its digest is computed in memory */
    op->streams_md5 =
        method == INTEGRITY_MD5 && etag_is_md5(op, e) == S3_YES && !whole && source_is_fetched(op->task->source);
    op->probing = false;
    bool own_part = op->trailer || (chunk && op->task->job.length > PROBE_CHUNK_MAX);
    if (!method_needs_probe(op, e) || (own_part && !has_spare_part))
        return true;
    if (e->prober && e->prober != op) {
        op->state = S3_OP_PROBE_WAIT;
        return false;
    }
    e->prober = op;
    op->probing = true;
    if (own_part)
        probe_send_part(op, after_last);
    return !own_part;
}

void s3_integrity_resume(struct s3_op *op) {
    if (integrity_choose_method(op))
        op->on_method_known(op);
}

void s3_integrity_choose(struct s3_op *op, s3_op_handler *on_method_known) {
    op->on_method_known = on_method_known;
    s3_integrity_resume(op);
}

bool s3_integrity_is_probed(const struct s3_op *op) {
    return s3_op_endpoint(op)->prober != NULL;
}

/* --- headers --- */

static void integrity_add_payload_hash(struct s3_op *op, const uint8_t sum[SHA256_SIZE]) {
    char hex[SHA256_HEX_SIZE];
    hex_encode(sum, SHA256_SIZE, hex);
    s3_request_set_payload_hash(op, hex);
}

static void integrity_add_md5(struct s3_op *op, const uint8_t sum[MD5_SIZE]) {
    struct buf text = BUF_INIT;
    int err = base64_add(&text, slice_make((const char *)sum, MD5_SIZE));
    if (err)
        op->request.err = err;
    else if (op->probing)
        s3_request_header(op, "content-md5: %s", text.data);
    else
        s3_request_optional_header(op, S3_BODY_MD5, "content-md5: %s", text.data);
    buf_release(&text);
}

static void integrity_add_crc32c(struct s3_op *op, uint32_t crc) {
    char base64[CRC_BASE64_SIZE];
    crc32c_to_base64(crc, base64);
    if (op->probing)
        s3_request_header(op, "x-amz-checksum-crc32c: %s", base64);
    else
        s3_request_optional_header(op, S3_BODY_CHECKSUM, "x-amz-checksum-crc32c: %s", base64);
}

/* The digest of a probe is wrong by one bit. */
void s3_integrity_add_headers(struct s3_op *op) {
    uint8_t sum[SHA256_SIZE];
    bool wrong_crc = op->probing && op->method == INTEGRITY_CRC32C;
    memcpy(sum, op->digest_bytes, sizeof sum);
    sum[0] ^= op->probing;
    if (op->announced)
        integrity_add_crc32c(op, op->crc ^ wrong_crc);
    if (op->method == INTEGRITY_SHA256)
        integrity_add_payload_hash(op, sum);
    if (op->method == INTEGRITY_MD5 && !op->streams_md5)
        integrity_add_md5(op, sum);
}

static int digest_all(struct digest *d, struct slice bytes, uint8_t *sum) {
    int err = digest_begin(d);
    if (err)
        return err;
    err = digest_add(d, bytes.ptr, bytes.len);
    if (err)
        return err;
    return digest_end(d, sum);
}

int s3_integrity_hash_body(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    uint8_t sum[SHA256_SIZE];
    int err = s3->sha256 ? 0 : digest_new(&s3->sha256, DIGEST_SHA256);
    if (err)
        return err;
    err = digest_all(s3->sha256, buf_slice(&op->body), sum);
    if (err)
        return err;
    integrity_add_payload_hash(op, sum);
    return 0;
}

int s3_integrity_announce_body(struct s3_op *op) {
    struct slice body = buf_slice(&op->body);
    struct buf text = BUF_INIT;
    struct digest *md5;
    uint8_t sum[MD5_SIZE];
    char crc[CRC_BASE64_SIZE];
    int err = digest_new(&md5, DIGEST_MD5);
    if (err == ERR_DENIED) {
        crc32c_to_base64(crc32c_add(0, body.ptr, body.len), crc);
        s3_request_header(op, "x-amz-checksum-crc32c: %s", crc);
        return 0;
    }
    if (!err)
        err = digest_all(md5, body, sum);
    if (!err)
        err = base64_add(&text, slice_make(sum, sizeof sum));
    if (!err)
        s3_request_header(op, "content-md5: %s", text.data);
    buf_release(&text);
    digest_destroy(&md5);
    return err;
}

/* --- the reply to a probe --- */

static bool probe_is_refused(const struct s3_op *op, const struct s3_error *e) {
    if (op->trailer) /* other errors may concern the value of x-amz-content-sha256 */
        return strcmp(e->code, "BadDigest") == 0 || strcmp(e->code, "XAmzContentChecksumMismatch") == 0;
    return e->bad_checksum || (op->method == INTEGRITY_SHA256 && strcmp(e->code, "SignatureDoesNotMatch") == 0);
}

static bool etag_is_md5_of(const char *etag, const uint8_t sum[MD5_SIZE]) {
    uint8_t theirs[MD5_SIZE];
    return hex_decode(slice_of(etag), theirs, sizeof theirs) == 0 && memcmp(theirs, sum, sizeof theirs) == 0;
}

static void probe_set_result(const struct s3_op *op, struct s3_endpoint *e, enum s3_tristate verifies) {
    *(op->trailer ? &e->trailers : &e->verifies[op->method]) = verifies;
    log_debug("%s %s a wrong %s%s", e->url ? e->url : "the endpoint",
              verifies == S3_YES ? "refuses" : "does not refuse", integrity_name(op->method),
              op->trailer ? " in a trailer" : "");
}

/* True: the error says nothing about the digest. */
static bool probe_shows_nothing(const struct s3_error *e) {
    return e->transient || e->gone || e->class != FAIL_REQUEST;
}

/* True: the operation fails with the error. A store that does not know trailers may answer them in any way; the request
 * without one shows every other fault again. */
static bool probe_fails(const struct s3_op *op, const struct s3_error *e) {
    return op->trailer ? e->expired || e->throttled || e->never_connected || e->gone : probe_shows_nothing(e);
}

void s3_integrity_leave_probe(struct s3_op *op) {
    if (op->probing)
        s3_op_endpoint(op)->prober = NULL;
    op->probing = false;
}

/* False: the reply shows nothing, and the operation ended. */
static bool probe_take_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_endpoint *endpoint = s3_op_endpoint(op);
    char etag[sizeof op->task->result.etag];
    bool refused = e && probe_is_refused(op, e);
    s3_integrity_leave_probe(op);
    if (e && !refused && probe_fails(op, e)) {
        s3_op_fail_with(op, e);
        return false;
    }
    op->trailer_refused |= op->trailer && !refused;
    if (op->trailer && e && !refused && probe_shows_nothing(e))
        return true;
    op->made |= !e;
    probe_set_result(op, endpoint, refused ? S3_YES : S3_NO);
    if (!e && op->method == INTEGRITY_MD5 && etag_is_md5(op, endpoint) == S3_UNKNOWN &&
        s3_etag_copy(http_header(r, "etag"), etag, sizeof etag) == 0)
        endpoint->md5_etags = etag_is_md5_of(etag, op->digest_bytes) ? S3_YES : S3_NO;
    return true;
}

void s3_integrity_end_trailer(struct s3_op *op) {
    op->trailer_refused = true;
    s3_integrity_resume(op);
}

void s3_integrity_take_probe_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (probe_take_reply(op, r, e))
        s3_integrity_resume(op);
}

static void probe_on_part_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!probe_take_reply(op, r, e))
        return;
    op->crc = 0;
    s3_integrity_resume(op);
}

static void probe_send_part(struct s3_op *op, unsigned number) {
    static const char text[] = "chunklift: does this store refuse a wrong digest?";
    struct slice body = slice_make(text, sizeof text - 1);
    s3_request_begin(op, "PUT");
    op->crc = crc32c_add(0, body.ptr, body.len);
    int err = op->trailer ? s3_trailer_add_body(op, body, ~op->crc) : buf_add_slice(&op->body, body);
    if (!err)
        err = s3_digest_all(op, body);
    if (err) {
        s3_op_fail_err(op, err);
        return;
    }
    op->read_ahead = false;
    snprintf(op->number, sizeof op->number, "%u", number);
    s3_request_param(op, "partNumber", slice_of(op->number));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_integrity_add_headers(op);
    if (op->trailer)
        s3_trailer_add_headers(op, body.len);
    s3_request_send(op, probe_on_part_reply);
}

/* --- the proof --- */

/* False: the ETag is that of other bytes, and the operation ended. */
static bool integrity_compare_etag(struct s3_op *op, struct s3_endpoint *e, bool *proved) {
    bool by_header = e->verifies[INTEGRITY_MD5] == S3_YES && !op->streams_md5;
    if (s3_object_is_encrypted(op))
        return true;
    *proved = etag_is_md5_of(op->task->result.etag, op->digest_bytes);
    if (*proved) {
        e->md5_etags = S3_YES;
        e->etag_misses = 0;
        return true;
    }
    if (by_header || e->md5_etags != S3_YES) {
        e->md5_etags = by_header ? e->md5_etags : S3_NO;
        return true;
    }
    if (++e->etag_misses >= ETAG_MISSES_MAX)
        e->md5_etags = S3_NO;
    s3_op_fail(op, FAIL_INTEGRITY, true, "the store's ETag is not the MD5 of the bytes sent");
    return false;
}

static bool integrity_is_proved_by_header(const struct s3_op *op, const struct s3_endpoint *e) {
    unsigned header = op->method == INTEGRITY_CRC32C ? S3_BODY_CHECKSUM : op->method == INTEGRITY_MD5 ? S3_BODY_MD5 : 0;
    bool is_check = op->method == INTEGRITY_CRC32C || method_has_digest(op->method);
    return op->trailer ||
           (is_check && !op->streams_md5 && e->verifies[op->method] == S3_YES && !(op->dropped & header));
}

/* Logs a change for the endpoint. */
static void integrity_log(const struct s3_op *op, struct s3_endpoint *e, enum integrity integrity) {
    const char *url = e->url ? e->url : "the endpoint";
    op->s3->last_integrity = integrity;
    if (e->logged_integrity == integrity)
        return;
    e->logged_integrity = integrity;
    if (integrity == INTEGRITY_NONE && !integrity_wanted_by(op))
        log_warn("%s: nothing shows that bytes arrive as they were sent: the store verifies no digest, and the "
                 "connection is not encrypted; use https, or compare the objects",
                 url);
    else
        log_debug("%s: integrity %s", url, integrity_name(integrity));
}

bool s3_integrity_prove(struct s3_op *op) {
    struct s3_endpoint *e = s3_op_endpoint(op);
    enum integrity integrity = op->url.https ? INTEGRITY_TLS : INTEGRITY_NONE;
    bool by_etag = false;
    if (op->streams_md5) {
        int err = s3_digest_end(op);
        if (err) {
            s3_op_fail_err(op, err);
            return false;
        }
    }
    if (op->method == INTEGRITY_MD5 && !integrity_compare_etag(op, e, &by_etag))
        return false;
    if (op->trailer_refused && e->trailers != S3_NO) { /* the trailer was the cause */
        e->trailers = S3_NO;
        log_debug("%s takes no trailers; checksums are sent in headers", e->url ? e->url : "the endpoint");
    }
    if (integrity_is_proved_by_header(op, e) || by_etag)
        integrity = op->method;
    if (integrity_wanted_by(op) > INTEGRITY_NONE && integrity != integrity_wanted_by(op)) {
        integrity_fail_unverified(op);
        return false;
    }
    op->task->result.integrity = integrity;
    integrity_log(op, e, integrity);
    return true;
}
