/*
 * chunk and put: the two requests that carry file bytes.
 *
 * A store that verifies wants the checksum ahead of the body: then the range is read twice, first here in pieces from
 * step() (a chunk may have 5 GiB), then by the transfer; the checksum is made again from the bytes that leave, and a
 * difference means that the source changed. Puts up to S3_WHOLE_BODY_MAX are read once into memory instead.
 *
 * A put replaces what is at the destination with its last byte, so the source is looked at before that leaves: what is
 * found changed is never whole at the store. (A chunk counts only with its record, and is looked at before that.)
 */
#include "pure/check.h"
#include "pure/text.h"
#include "uploader/s3/s3_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* --- the source --- */

static int look_again(struct s3_op *op) {
    char ignored[200]; /* whoever ends the op asks again, for the reason */
    return source_check(op->task->source, ignored, sizeof ignored);
}

ssize_t s3_body_read(void *arg, void *out, size_t max) {
    struct s3_op *op = arg;
    if (s3_lease_ended(op)) { /* rule 5 */
        op->read_error = ERR_BUSY;
        return ERR_BUSY;
    }
    struct source *source = op->task->source;
    ssize_t n = source_read(source, out, max);
    if (n == ERR_AGAIN)
        return n;
    if (n > 0 && op->streams && s3_digest_add(op, out, (size_t)n))
        n = ERR_NOMEM;
    if (n <= 0)
        op->read_error = n < 0 ? (int)n : ERR_CHANGED;
    else if (op->task->job.ref.kind == JOB_PUT && source_position(source) == source_length(source) &&
             (op->read_error = look_again(op)) != 0)
        return op->read_error;
    return n;
}

bool s3_body_ready(void *arg) {
    const struct s3_op *op = arg;
    return source_is_ready(op->task->source) || s3_lease_ended(op);
}

int s3_body_rewind(void *arg) {
    struct s3_op *op = arg;
    int err = source_rewind(op->task->source, 0);
    if (!err && op->streams)
        err = s3_digest_begin(op);
    op->read_error = err;
    return err;
}

/* otherwise: when a new look finds nothing wrong any more. */
static void end_source_failed(struct s3_op *op, int err, const char *otherwise) {
    char why[200] = "", text[256];
    int now = source_check(op->task->source, why, sizeof why);
    if (!now || !why[0])
        snprintf(why, sizeof why, "%s", otherwise);
    enum fail_class klass = source_failure(now ? now : err, why, text, sizeof text);
    s3_end_failed(op, klass, false, text);
}

static void end_read_error(struct s3_op *op, int err) {
    char why[200] = "the source cannot be read";
    op->task->result.source_lost = err == ERR_UNREACHABLE;
    if (err == ERR_CHANGED)
        end_source_failed(op, err, "it became shorter");
    else if (err == ERR_BUSY)
        s3_end_failed(op, FAIL_OUTAGE, true, "the lease ended before all bytes were sent");
    else if (err == ERR_UNREACHABLE && source_check(op->task->source, why, sizeof why))
        s3_end_failed(op, FAIL_OUTAGE, true, why);
    else if (err == ERR_DAMAGED && source_check(op->task->source, why, sizeof why))
        s3_end_failed(op, FAIL_INTEGRITY, true, why);
    else if (err == ERR_NOMEM)
        s3_end_failed(op, FAIL_OUTAGE, true, why);
    else
        end_source_failed(op, err, err_text(err));
}

/* ERR_AGAIN: the rest is still to come; what there is stays. */
static int read_whole(struct s3_op *op) {
    size_t length = (size_t)op->task->job.length;
    int err = buf_reserve(&op->small, length + 1);
    if (!err && op->small.len == 0)
        err = s3_body_rewind(op);
    while (!err && op->small.len < length) {
        ssize_t n = source_read(op->task->source, op->small.data + op->small.len, length - op->small.len);
        if (n <= 0)
            return n < 0 ? (int)n : ERR_CHANGED;
        op->small.len += (size_t)n;
    }
    return err;
}

static bool is_small(const struct s3_op *op) {
    return op->task->job.length <= S3_WHOLE_BODY_MAX;
}

/* --- checksums ahead --- */

static void chunk_send(struct s3_op *op);
static void put_send(struct s3_op *op);

static void send_body(struct s3_op *op) {
    if (op->task->job.ref.kind == JOB_CHUNK)
        chunk_send(op);
    else
        put_send(op);
}

bool s3_wants_checksum(struct s3 *s3, const struct task *t) {
    if (t->job.ref.kind == JOB_CHUNK)
        return t->job.checksum == CHECKSUM_CRC32C_FULL;
    const struct s3_endpoint *e = s3_memory_endpoint(s3->memory, t->job.target.endpoint);
    return t->job.length > S3_WHOLE_BODY_MAX && s3_sends_checksums(s3, &t->job) &&
           e->verifies[INTEGRITY_CRC32C] != S3_NO;
}

static void read_ahead_or_send(struct s3_op *op) {
    bool digest = !op->streams && (op->method == INTEGRITY_MD5 || op->method == INTEGRITY_SHA256);
    if (op->hashed || (!digest && (!op->announced || source_announced_crc(op->task->source, &op->crc)))) {
        send_body(op);
        return;
    }
    int err = digest ? s3_digest_begin(op) : 0;
    if (!err)
        err = s3_body_rewind(op);
    if (err)
        s3_end_err(op, err);
    else
        op->state = S3_OP_AHEAD;
}

void s3_body_begin(struct s3_op *op) {
    if (!s3_integrity_choose(op))
        return;
    if (op->task->job.ref.kind == JOB_PUT && is_small(op))
        put_send(op);
    else
        read_ahead_or_send(op);
}

void s3_ahead_step(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    struct source *source = op->task->source;
    if (op->task->job.ref.kind == JOB_PUT && is_small(op)) {
        put_send(op);
        return;
    }
    if (!s3->scratch && !(s3->scratch = malloc(S3_SCRATCH))) {
        s3_end_err(op, ERR_NOMEM);
        return;
    }
    uint64_t left = op->task->job.length - source_position(source);
    ssize_t n = left ? source_read(source, s3->scratch, left < S3_SCRATCH ? (size_t)left : S3_SCRATCH) : 0;
    if (n == ERR_AGAIN)
        return;
    int err = n < 0 ? (int)n : n == 0 && left ? ERR_CHANGED : 0;
    if (!err)
        err = s3_digest_add(op, s3->scratch, (size_t)n);
    if (err) {
        end_read_error(op, err);
        return;
    }
    if ((uint64_t)n < left)
        return;
    op->crc = source_crc(source);
    op->hashed = true;
    if ((err = s3_digest_end(op)))
        s3_end_err(op, err);
    else
        send_body(op);
}

/* --- replies --- */

static bool crc_header_differs(const struct http_reply *r, uint32_t crc, bool *present) {
    uint32_t theirs;
    struct slice value = http_header(r, "x-amz-checksum-crc32c");
    *present = value.len > 0 && crc32c_from_base64(value, &theirs) == 0;
    return *present && theirs != crc;
}

/* True when the error is dealt with here: it is about the bytes rather than about the store. */
static bool end_for_source(struct s3_op *op, const struct s3_error *e) {
    if (op->read_error) {
        end_read_error(op, op->read_error);
        return true;
    }
    struct source *source = op->task->source;
    bool all_read = op->request.source_body && source_position(source) == op->task->job.length;
    if (e->bad_checksum && (op->announced || op->hashed) && all_read && source_crc(source) != op->crc) {
        end_source_failed(op, ERR_CHANGED, "its bytes were not the same when read again");
        return true;
    }
    return false;
}

/* All is well as far as the store says: are these the bytes that were meant? (Whether the file is still the planned
 * one is looked at by who holds the task.) */
static void end_sent(struct s3_op *op, const struct http_reply *r) {
    struct task_result *result = &op->task->result;
    struct source *source = op->task->source;
    bool present;
    if (source_position(source) != op->task->job.length) {
        s3_end_failed(op, FAIL_OUTAGE, true, "the store answered before it had all bytes");
        return;
    }
    result->crc = source_crc(source);
    if ((op->announced || op->hashed) && result->crc != op->crc) {
        end_source_failed(op, ERR_CHANGED, "its bytes were not the same when read again");
        return;
    }
    if (crc_header_differs(r, result->crc, &present)) {
        s3_end_failed(op, FAIL_INTEGRITY, true, "the store's checksum is not that of the bytes sent");
        return;
    }
    result->size = op->task->job.length;
    if (s3_take_etag(op, r) && s3_integrity_proved(op))
        s3_end(op, OUTCOME_DONE);
}

/* --- chunk --- */

/* Of a chunk, and of a put. */
static void on_bytes_sent(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e && op->read_error) {
        end_read_error(op, op->read_error);
    } else if (op->probing) {
        if (s3_integrity_probed(op, r, e))
            s3_body_begin(op);
    } else if (!e) {
        end_sent(op, r);
    } else if (!end_for_source(op, e)) {
        s3_end_error(op, e);
    }
}

static void chunk_send(struct s3_op *op) {
    s3_request_begin(op, "PUT");
    snprintf(op->number, sizeof op->number, "%u", op->task->job.ref.chunk + 1);
    s3_request_param(op, "partNumber", slice_of(op->number));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_integrity_add_headers(op);
    op->request.source_body = true;
    s3_send(op, on_bytes_sent);
}

void s3_chunk_start(struct s3_op *op) {
    CHECK(op->task->source);
    s3_body_begin(op);
}

/* --- put --- */

/* A small body is kept in op->small: neither its checksums nor another request need a second reading. */
static int load_small(struct s3_op *op) {
    int err = op->loaded ? 0 : read_whole(op);
    if (!err)
        err = look_again(op);
    if (err)
        return err;
    if (!op->loaded)
        op->crc = source_crc(op->task->source);
    op->loaded = true;
    if (!op->hashed) {
        err = s3_digest_begin(op);
        if (!err)
            err = s3_digest_add(op, op->small.data, op->small.len);
        if (!err)
            err = s3_digest_end(op);
        op->hashed = !err;
    }
    return err ? err : buf_add_slice(&op->body, buf_slice(&op->small));
}

static void put_send(struct s3_op *op) {
    s3_request_begin(op, "PUT");
    op->request.source_body = !is_small(op);
    int err = is_small(op) ? load_small(op) : 0;
    if (err == ERR_AGAIN) {
        op->state = S3_OP_AHEAD;
        return;
    }
    if (err) {
        end_read_error(op, err);
        return;
    }
    s3_request_header(op, "content-type: application/octet-stream");
    s3_request_header(op, S3_OWNER_HEADER ": %s", op->owner);
    s3_integrity_add_headers(op);
    s3_send(op, on_bytes_sent);
}

void s3_put_start(struct s3_op *op) {
    CHECK(op->task->source);
    s3_body_begin(op);
}
