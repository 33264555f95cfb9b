/*
 * What shows that the store has the bytes that were read (rule 16): which check a chunk or put is sent with, whether
 * the store really refuses wrong bytes, and what the answer proved.
 *
 * In this order: CRC32C where the store verifies it; nothing more over TLS; a signed SHA-256 of the payload or
 * Content-MD5, whichever this CPU computes faster; an ETag that is the MD5 of the bytes; nothing, which is said.
 *
 * No store is taken at its word. The first op that needs a check the endpoint was not seen to use sends a request with
 * a wrong digest; the others wait for its answer. A put or a chunk of up to 16 MiB sends its own bytes, so a store that
 * ignores the digest has the object or part that was to be sent. A larger chunk sends a few bytes as a part behind the
 * last one, which no Complete names. Neither creates or replaces anything else.
 */
#include "pure/text.h"
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define PART_NUMBER_MAX 10000
#define PROBE_CHUNK_MAX (UINT64_C(16) << 20) /* a larger chunk is not sent twice for a probe */
#define MEASURED_BYTES (256u << 10)
#define ETAG_MISSES_MAX 3 /* in a row; then this endpoint's ETags are something else */

static struct s3_endpoint *endpoint_of(const struct s3_op *op) {
    return s3_memory_endpoint(op->s3->memory, op->place.endpoint);
}

enum integrity s3_integrity_wish(const struct s3 *s3, const struct job *job) {
    enum integrity wish = s3->integrity ? s3->integrity : job->integrity;
    return wish == INTEGRITY_TLS ? INTEGRITY_UNKNOWN : wish;
}

static enum integrity wish_of(const struct s3_op *op) {
    return s3_integrity_wish(op->s3, &op->task->job);
}

static bool is_tls(const struct s3_op *op) {
    return op->place.endpoint.len >= 8 && strncasecmp(op->place.endpoint.ptr, "https://", 8) == 0;
}

/* --- digests --- */

static enum digest_kind digest_kind_of(enum integrity method) {
    return method == INTEGRITY_MD5 ? DIGEST_MD5 : DIGEST_SHA256;
}

static bool has_digest(enum integrity method) {
    return method == INTEGRITY_MD5 || method == INTEGRITY_SHA256;
}

int s3_digest_begin(struct s3_op *op) {
    if (!has_digest(op->method))
        return 0;
    if (op->digest && op->digest_kind != digest_kind_of(op->method))
        digest_destroy(&op->digest);
    op->digest_kind = digest_kind_of(op->method);
    int err = op->digest ? 0 : digest_new(&op->digest, op->digest_kind);
    return err ? err : digest_begin(op->digest);
}

int s3_digest_add(struct s3_op *op, const void *bytes, size_t len) {
    return has_digest(op->method) && len ? digest_add(op->digest, bytes, len) : 0;
}

int s3_digest_end(struct s3_op *op) {
    return has_digest(op->method) ? digest_end(op->digest, op->sum) : 0;
}

static uint64_t cpu_ns(void) { /* of this thread: the machine may be busy */
    struct timespec t;
    return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec : 0;
}

static uint64_t measure_ns(enum digest_kind kind, const void *bytes) {
    uint8_t sum[SHA256_SIZE];
    struct digest *d;
    if (digest_new(&d, kind))
        return UINT64_MAX;
    uint64_t begun_ns = cpu_ns();
    bool failed = digest_begin(d) || digest_add(d, bytes, MEASURED_BYTES) || digest_end(d, sum);
    uint64_t took_ns = cpu_ns() - begun_ns;
    digest_destroy(&d);
    return failed ? UINT64_MAX : took_ns;
}

/* SHA-256 where the CPU has instructions for it, else usually MD5. Measured once, in less than a millisecond. */
static enum integrity faster_digest(struct s3 *s3) {
    void *bytes = s3->faster ? NULL : calloc(1, MEASURED_BYTES);
    if (bytes) {
        uint64_t sha256_ns = measure_ns(DIGEST_SHA256, bytes), md5_ns = measure_ns(DIGEST_MD5, bytes);
        s3->faster = md5_ns < sha256_ns ? INTEGRITY_MD5 : INTEGRITY_SHA256;
        free(bytes);
    }
    return s3->faster ? s3->faster : INTEGRITY_SHA256;
}

/* --- choosing --- */

static bool can_send(const struct s3_op *op, const struct s3_endpoint *e, enum integrity method) {
    if (method == INTEGRITY_MD5)
        return !(e->refused & S3_BODY_MD5);
    if (method == INTEGRITY_SHA256)
        return true;
    if (e->refused & S3_BODY_CHECKSUM)
        return false;
    return op->task->job.ref.kind == JOB_CHUNK ? op->task->job.checksum == CHECKSUM_CRC32C_FULL
                                               : s3_sends_checksums(op->s3, &op->task->job);
}

static bool may_verify(const struct s3_op *op, const struct s3_endpoint *e, enum integrity method) {
    return can_send(op, e, method) && e->verifies[method] != S3_NO;
}

static enum integrity pick_wished(const struct s3_op *op, const struct s3_endpoint *e, enum integrity wish) {
    if (wish == INTEGRITY_NONE || may_verify(op, e, wish))
        return wish;
    return wish == INTEGRITY_MD5 && e->md5_etags != S3_NO ? INTEGRITY_MD5 : INTEGRITY_UNKNOWN;
}

static enum integrity pick(const struct s3_op *op, const struct s3_endpoint *e) {
    if (wish_of(op))
        return pick_wished(op, e, wish_of(op));
    if (may_verify(op, e, INTEGRITY_CRC32C))
        return INTEGRITY_CRC32C;
    if (is_tls(op))
        return INTEGRITY_TLS;
    /* Bytes that are fetched come only once when their MD5 is compared with the ETag. */
    enum integrity first = source_is_fetched(op->task->source) ? INTEGRITY_MD5 : faster_digest(op->s3);
    enum integrity second = first == INTEGRITY_MD5 ? INTEGRITY_SHA256 : INTEGRITY_MD5;
    if (may_verify(op, e, first))
        return first;
    if (may_verify(op, e, second))
        return second;
    return e->md5_etags == S3_YES ? INTEGRITY_MD5 : INTEGRITY_NONE;
}

static bool needs_probe(const struct s3_op *op, const struct s3_endpoint *e) {
    bool is_check = op->method == INTEGRITY_CRC32C || has_digest(op->method);
    return is_check && !op->streams && e->verifies[op->method] == S3_UNKNOWN;
}

static void end_unverified(struct s3_op *op) {
    char text[400];
    snprintf(text, sizeof text, "--integrity %s: the store at %.*s does not verify it; use --integrity auto",
             integrity_name(wish_of(op)), (int)(op->place.endpoint.len < 200 ? op->place.endpoint.len : 200),
             op->place.endpoint.ptr);
    s3_end_failed(op, FAIL_INTEGRITY, false, text);
}

static void probe_part(struct s3_op *op, unsigned number);

bool s3_integrity_choose(struct s3_op *op) {
    struct s3_endpoint *e = endpoint_of(op);
    bool chunk = op->task->job.ref.kind == JOB_CHUNK;
    enum integrity method = pick(op, e);
    if (method == INTEGRITY_UNKNOWN) {
        end_unverified(op);
        return false;
    }
    op->hashed = op->hashed && method == op->method;
    op->method = method;
    op->announced = chunk ? op->task->job.checksum == CHECKSUM_CRC32C_FULL : method == INTEGRITY_CRC32C;
    bool whole = !chunk && op->task->job.length <= S3_WHOLE_BODY_MAX; /* digested before it is sent, once */
    op->streams = method == INTEGRITY_MD5 && e->md5_etags == S3_YES && !whole && source_is_fetched(op->task->source);
    op->probing = false;
    bool behind = chunk && op->task->job.length > PROBE_CHUNK_MAX; /* a part of its own, behind the last one */
    unsigned number = op->task->job.chunks ? op->task->job.chunks + 1 : PART_NUMBER_MAX;
    if (!needs_probe(op, e) || (behind && number > PART_NUMBER_MAX))
        return true;
    if (e->prober && e->prober != op) {
        op->state = S3_OP_WAIT;
        return false;
    }
    e->prober = op;
    op->probing = true;
    if (behind)
        probe_part(op, number);
    return !behind;
}

bool s3_integrity_is_awaited(const struct s3_op *op) {
    return endpoint_of(op)->prober != NULL;
}

/* --- headers --- */

static void sign(struct s3_op *op, const uint8_t sum[SHA256_SIZE]) {
    char hex[2 * SHA256_SIZE + 1];
    hex_encode(sum, SHA256_SIZE, hex);
    s3_request_sign(op, hex);
}

static void add_md5(struct s3_op *op, const uint8_t sum[MD5_SIZE]) {
    struct buf text = BUF_INIT;
    int err = base64_add(&text, slice_make((const char *)sum, MD5_SIZE));
    if (err)
        op->request.err = err;
    else if (op->probing)
        s3_request_header(op, "content-md5: %s", text.data);
    else
        s3_request_optional(op, S3_BODY_MD5, "content-md5: %s", text.data);
    buf_release(&text);
}

static void add_crc32c(struct s3_op *op, uint32_t crc) {
    char base64[CRC_BASE64_SIZE];
    crc32c_to_base64(crc, base64);
    if (op->probing)
        s3_request_header(op, "x-amz-checksum-crc32c: %s", base64);
    else
        s3_request_optional(op, S3_BODY_CHECKSUM, "x-amz-checksum-crc32c: %s", base64);
}

/* A probe's digest is wrong by one bit. */
void s3_integrity_add_headers(struct s3_op *op) {
    uint8_t sum[SHA256_SIZE];
    bool wrong_crc = op->probing && op->method == INTEGRITY_CRC32C;
    memcpy(sum, op->sum, sizeof sum);
    sum[0] ^= op->probing;
    if (op->announced)
        add_crc32c(op, op->crc ^ wrong_crc);
    if (op->method == INTEGRITY_SHA256)
        sign(op, sum);
    if (op->method == INTEGRITY_MD5 && !op->streams)
        add_md5(op, sum);
}

int s3_integrity_sign_body(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    uint8_t sum[SHA256_SIZE];
    int err = s3->sha256 ? 0 : digest_new(&s3->sha256, DIGEST_SHA256);
    if (!err)
        err = digest_begin(s3->sha256);
    if (!err)
        err = digest_add(s3->sha256, op->body.data, op->body.len);
    if (!err)
        err = digest_end(s3->sha256, sum);
    if (!err)
        sign(op, sum);
    return err;
}

/* --- the answer to a probe --- */

static bool is_refused_digest(const struct s3_op *op, const struct s3_error *e) {
    return e->bad_checksum || (op->method == INTEGRITY_SHA256 && strcmp(e->code, "SignatureDoesNotMatch") == 0);
}

static bool is_md5_of(const char *etag, const uint8_t sum[MD5_SIZE]) {
    uint8_t theirs[MD5_SIZE];
    return hex_decode(slice_of(etag), theirs, sizeof theirs) == 0 && memcmp(theirs, sum, sizeof theirs) == 0;
}

static void learn(const struct s3_op *op, struct s3_endpoint *e, enum s3_knowledge verifies) {
    e->verifies[op->method] = verifies;
    log_debug("%s %s a wrong %s", e->url ? e->url : "the endpoint", verifies == S3_YES ? "refuses" : "does not refuse",
              integrity_name(op->method));
}

bool s3_integrity_probed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    struct s3_endpoint *endpoint = endpoint_of(op);
    char etag[sizeof op->task->result.etag];
    bool refused = e && is_refused_digest(op, e);
    endpoint->prober = NULL;
    op->probing = false;
    if (e && !refused && (e->transient || e->gone || e->klass != FAIL_REQUEST)) {
        s3_end_error(op, e); /* tells nothing */
        return false;
    }
    learn(op, endpoint, refused ? S3_YES : S3_NO);
    if (!e && op->method == INTEGRITY_MD5 && endpoint->md5_etags == S3_UNKNOWN &&
        s3_etag_copy(http_header(r, "etag"), etag, sizeof etag) == 0)
        endpoint->md5_etags = is_md5_of(etag, op->sum) ? S3_YES : S3_NO;
    return true;
}

static void on_part_probed(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (!s3_integrity_probed(op, r, e))
        return;
    op->crc = 0;
    s3_body_begin(op);
}

static void probe_part(struct s3_op *op, unsigned number) {
    static const char text[] = "chunklift: does this store refuse a wrong digest?";
    struct slice body = slice_make(text, sizeof text - 1);
    s3_request_begin(op, "PUT");
    int err = buf_add_slice(&op->body, body);
    if (!err)
        err = s3_digest_begin(op);
    if (!err)
        err = s3_digest_add(op, body.ptr, body.len);
    if (!err)
        err = s3_digest_end(op);
    if (err) {
        s3_end_err(op, err);
        return;
    }
    op->crc = crc32c_add(0, body.ptr, body.len);
    op->hashed = false;
    snprintf(op->number, sizeof op->number, "%u", number);
    s3_request_param(op, "partNumber", slice_of(op->number));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_integrity_add_headers(op);
    s3_send(op, on_part_probed);
}

/* --- what the answer to the bytes proved --- */

/* False: the op ended, for the ETag shows other bytes. */
static bool compare_etag(struct s3_op *op, struct s3_endpoint *e, bool *proved) {
    bool by_header = e->verifies[INTEGRITY_MD5] == S3_YES && !op->streams;
    *proved = is_md5_of(op->task->result.etag, op->sum);
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
    s3_end_failed(op, FAIL_INTEGRITY, true, "the store's ETag is not the MD5 of the bytes sent");
    return false;
}

static bool is_proved_by_header(const struct s3_op *op, const struct s3_endpoint *e) {
    unsigned header = op->method == INTEGRITY_CRC32C ? S3_BODY_CHECKSUM : op->method == INTEGRITY_MD5 ? S3_BODY_MD5 : 0;
    bool is_check = op->method == INTEGRITY_CRC32C || has_digest(op->method);
    return is_check && !op->streams && e->verifies[op->method] == S3_YES && !(op->dropped & header);
}

static void say(const struct s3_op *op, struct s3_endpoint *e, enum integrity integrity) {
    const char *url = e->url ? e->url : "the endpoint";
    op->s3->last_integrity = integrity;
    if (e->said == integrity)
        return;
    e->said = integrity;
    if (integrity == INTEGRITY_NONE && !wish_of(op))
        log_warn("%s: nothing shows that bytes arrive as they were sent: the store verifies no digest, and the "
                 "connection is not encrypted; use https, or compare the objects",
                 url);
    else
        log_debug("%s: integrity %s", url, integrity_name(integrity));
}

bool s3_integrity_proved(struct s3_op *op) {
    struct s3_endpoint *e = endpoint_of(op);
    enum integrity integrity = is_tls(op) ? INTEGRITY_TLS : INTEGRITY_NONE;
    bool by_etag = false;
    if (op->streams) {
        int err = s3_digest_end(op);
        if (err) {
            s3_end_err(op, err);
            return false;
        }
    }
    if (op->method == INTEGRITY_MD5 && !compare_etag(op, e, &by_etag))
        return false;
    if (is_proved_by_header(op, e) || by_etag)
        integrity = op->method;
    if (wish_of(op) > INTEGRITY_NONE && integrity != wish_of(op)) {
        end_unverified(op);
        return false;
    }
    op->task->result.integrity = integrity;
    say(op, e, integrity);
    return true;
}
