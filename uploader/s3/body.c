/*
 * chunk and put: the two requests that carry bytes of the file.
 *
 * A chunk is read once where the store takes its checksum in a trailer. Every other store that
 * verifies a checksum expects it before the body. The range is then read twice: first by
 * s3_body_read_ahead() in pieces (a chunk may have 5 GiB), then by the transfer. The checksum is
 * computed again from the bytes that are sent; a difference means that the source changed. Puts up
 * to S3_WHOLE_BODY_MAX are read into memory once instead.
 *
 * A put replaces the object with its last byte. The source is checked before that byte is sent, so
 * a source that changed never becomes a whole object. (A chunk counts only with its record, and is
 * checked before that.)
 */
#include "pure/check.h"
#include "pure/text.h"
#include "uploader/s3/existing.h"
#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/request.h"
#include "uploader/s3/trailer.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define READ_BUFFER_SIZE (1u << 20)

/* --- the source --- */

static int body_check_source(struct s3_op *op) {
    char ignored[200]; /* the reason is asked for again at the end of the operation */
    int err = source_check(op->task->source, ignored, sizeof ignored);
    op->task->result.source_checked = !err;
    return err;
}

static ssize_t body_stream_read(void *arg, void *out, size_t max) {
    struct s3_op *op = arg;
    if (s3_op_lease_ended(op)) { /* rule 5 */
        op->read_error = ERR_BUSY;
        return ERR_BUSY;
    }
    struct source *source = op->task->source;
    ssize_t n = source_read(source, out, max);
    if (n == ERR_AGAIN)
        return n;
    if (n <= 0) {
        op->read_error = n ? (int)n : ERR_CHANGED;
        return n;
    }
    int err = op->streams_md5 ? s3_digest_add(op, out, (size_t)n) : 0;
    if (!err && op->task->job.ref.kind == JOB_PUT && source_position(source) == source_length(source))
        err = body_check_source(op);
    op->read_error = err;
    return err ? err : n;
}

static bool body_stream_ready(void *arg) {
    const struct s3_op *op = arg;
    return source_is_ready(op->task->source) || s3_op_lease_ended(op);
}

static int body_stream_rewind(void *arg) {
    struct s3_op *op = arg;
    int err = source_rewind(op->task->source, 0);
    op->task->result.source_checked = false;
    if (!err && op->streams_md5)
        err = s3_digest_begin(op);
    op->read_error = err;
    return err;
}

static const struct s3_body_stream body_stream = {body_stream_read, body_stream_ready, body_stream_rewind};

/* fallback: the reason when a new check of the source finds no difference. */
static void body_fail_source(struct s3_op *op, int err, const char *fallback) {
    char why[200] = "", text[256];
    int now = source_check(op->task->source, why, sizeof why);
    if (!now || !why[0])
        snprintf(why, sizeof why, "%s", fallback);
    enum fail_class class = source_failure(now ? now : err, why, text, sizeof text);
    s3_op_fail(op, class, false, text);
}

static void body_fail_read(struct s3_op *op, int err) {
    char why[200] = "the source cannot be read";
    op->task->result.source_lost = err == ERR_UNREACHABLE;
    if (err == ERR_CHANGED)
        body_fail_source(op, err, "it became shorter");
    else if (err == ERR_BUSY)
        s3_op_fail(op, FAIL_OUTAGE, true, "the lease ended before all bytes were sent");
    else if (err == ERR_UNREACHABLE && source_check(op->task->source, why, sizeof why))
        s3_op_fail(op, FAIL_OUTAGE, true, why);
    else if (err == ERR_DAMAGED && source_check(op->task->source, why, sizeof why))
        s3_op_fail(op, FAIL_INTEGRITY, true, why);
    else if (err == ERR_NOMEM)
        s3_op_fail(op, FAIL_OUTAGE, true, why);
    else
        body_fail_source(op, err, err_text(err));
}

/* ERR_AGAIN: the rest has not arrived yet; the bytes read so far are kept. */
static int body_read_small(struct s3_op *op) {
    size_t length = (size_t)op->task->job.length;
    int err = buf_reserve(&op->small, length);
    if (!err && op->small.len == 0)
        err = body_stream_rewind(op);
    while (!err && op->small.len < length) {
        ssize_t n = source_read(op->task->source, op->small.data + op->small.len, length - op->small.len);
        if (n <= 0)
            return n ? (int)n : ERR_CHANGED;
        op->small.len += (size_t)n;
    }
    return err;
}

static bool body_is_small(const struct s3_op *op) {
    return op->task->job.length <= S3_WHOLE_BODY_MAX;
}

/* --- the checksum before the body --- */

static void body_send(struct s3_op *op);
static void put_send(struct s3_op *op);

bool s3_body_wants_checksum(struct s3 *s3, const struct task *t) {
    const struct s3_endpoint *e = s3_capabilities_endpoint(s3->capabilities, t->job.target.endpoint);
    if (t->job.ref.kind == JOB_CHUNK)
        return t->job.checksum == CHECKSUM_CRC32C_FULL &&
               !(e->trailers == S3_YES && s3_integrity_may_use_trailer(s3, &t->job, e));
    return t->job.length > S3_WHOLE_BODY_MAX && s3_integrity_uses_crc32c(s3, &t->job) &&
           e->verifies[INTEGRITY_CRC32C] != S3_NO;
}

static void body_read_ahead_or_send(struct s3_op *op) {
    bool digest = !op->streams_md5 && (op->method == INTEGRITY_MD5 || op->method == INTEGRITY_SHA256);
    if (op->read_ahead || (!digest && (!op->announced || source_announced_crc(op->task->source, &op->crc)))) {
        body_send(op);
        return;
    }
    int err = digest ? s3_digest_begin(op) : 0;
    if (!err)
        err = body_stream_rewind(op);
    if (err)
        s3_op_fail_err(op, err);
    else
        op->state = S3_OP_READ_AHEAD;
}

static void body_on_method_known(struct s3_op *op) {
    if (op->task->job.ref.kind == JOB_PUT && body_is_small(op))
        put_send(op);
    else
        body_read_ahead_or_send(op);
}

void s3_body_read_ahead(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    struct source *source = op->task->source;
    if (op->task->job.ref.kind == JOB_PUT && body_is_small(op)) {
        put_send(op);
        return;
    }
    if (!s3->read_buffer && !(s3->read_buffer = malloc(READ_BUFFER_SIZE))) {
        s3_op_fail_err(op, ERR_NOMEM);
        return;
    }
    uint64_t left = op->task->job.length - source_position(source);
    ssize_t n = left ? source_read(source, s3->read_buffer, (size_t)MIN(left, READ_BUFFER_SIZE)) : 0;
    if (n == ERR_AGAIN)
        return;
    int err = n < 0 ? (int)n : n == 0 && left ? ERR_CHANGED : 0;
    if (!err)
        err = s3_digest_add(op, s3->read_buffer, (size_t)n);
    if (err) {
        body_fail_read(op, err);
        return;
    }
    if ((uint64_t)n < left)
        return;
    op->crc = source_crc(source);
    op->read_ahead = true;
    err = s3_digest_end(op);
    if (err)
        s3_op_fail_err(op, err);
    else
        body_send(op);
}

/* --- replies --- */

static bool body_crc_header_differs(const struct http_reply *r, uint32_t crc) {
    uint32_t theirs;
    struct slice value = http_header(r, "x-amz-checksum-crc32c");
    return crc32c_from_base64(value, &theirs) == 0 && theirs != crc;
}

static bool body_crc_is_confirmed(const struct http_reply *r, uint32_t crc) {
    uint32_t theirs;
    return crc32c_from_base64(http_header(r, "x-amz-checksum-crc32c"), &theirs) == 0 && theirs == crc;
}

/* True: the error is about the bytes rather than the store, and the operation ended. */
static bool body_fail_for_source(struct s3_op *op, const struct s3_error *e) {
    if (op->read_error) {
        body_fail_read(op, op->read_error);
        return true;
    }
    struct source *source = op->task->source;
    bool all_read = op->request.stream && source_position(source) == op->task->job.length;
    if (e->bad_checksum && (op->announced || op->read_ahead) && all_read && source_crc(source) != op->crc) {
        body_fail_source(op, ERR_CHANGED, "its bytes were not the same when read again");
        return true;
    }
    return false;
}

/* The store accepted the request. Checks that the bytes sent are the bytes meant. (The core checks
 * that the file is still the planned one.) */
static void body_end_sent(struct s3_op *op, const struct http_reply *r) {
    struct task_result *result = &op->task->result;
    struct source *source = op->task->source;
    if (source_position(source) != op->task->job.length) {
        s3_op_fail(op, FAIL_OUTAGE, true, "the store answered before it had all bytes");
        return;
    }
    result->crc = source_crc(source);
    if ((op->announced || op->read_ahead) && result->crc != op->crc) {
        body_fail_source(op, ERR_CHANGED, "its bytes were not the same when read again");
        return;
    }
    if (op->trailer && !(s3_trailer_is_sent(op) && body_crc_is_confirmed(r, result->crc))) {
        s3_integrity_end_trailer(op); /* it may have stored the frame too */
        return;
    }
    if (body_crc_header_differs(r, result->crc)) {
        s3_op_fail(op, FAIL_INTEGRITY, true, "the store's checksum is not that of the bytes sent");
        return;
    }
    result->size = op->task->job.length;
    if (s3_op_take_etag(op, r) && s3_integrity_prove(op))
        s3_op_end(op, OUTCOME_DONE);
}

/* An earlier attempt made the object. Its bytes are those of the file, which is still the planned one. */
static void put_end_own(struct s3_op *op) {
    struct source *source = op->task->source;
    bool all_read = source_position(source) == op->task->job.length;
    if (!all_read && !op->announced && !op->read_ahead) {
        s3_op_fail(op, FAIL_EXISTS, false, "there is an object at its destination, which --if-none-match keeps");
        return;
    }
    op->task->result.crc = all_read ? source_crc(source) : op->crc;
    op->task->result.size = op->task->job.length;
    s3_op_end(op, OUTCOME_DONE);
}

static void body_on_reply(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    if (e && op->read_error) {
        body_fail_read(op, op->read_error);
    } else if (e && s3_existing_is_refused(op, e)) { /* it says nothing about a wrong digest */
        s3_integrity_leave_probe(op);
        op->size = op->task->job.length;
        s3_existing_look(op, put_end_own);
    } else if (op->probing) {
        s3_integrity_take_probe_reply(op, r, e);
    } else if (!e) {
        body_end_sent(op, r);
    } else if (op->trailer && (e->bad_checksum || s3_error_may_be_due_to_header(e))) {
        s3_integrity_end_trailer(op);
    } else if (!body_fail_for_source(op, e)) {
        s3_op_fail_with(op, e);
    }
}

/* --- chunk --- */

static void chunk_send(struct s3_op *op) {
    s3_request_begin(op, "PUT");
    snprintf(op->number, sizeof op->number, "%u", op->task->job.ref.chunk + 1);
    s3_request_param(op, "partNumber", slice_of(op->number));
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_integrity_add_headers(op);
    if (op->trailer) {
        s3_trailer_add_headers(op, op->task->job.length);
        s3_trailer_set_stream(op, &body_stream);
    } else {
        s3_request_set_stream(op, &body_stream, op->task->job.length);
    }
    s3_request_send(op, body_on_reply);
}

void s3_chunk_start(struct s3_op *op) {
    CHECK(op->task->source);
    op->on_gone = s3_abort_gone;
    s3_integrity_choose(op, body_on_method_known);
}

/* --- put --- */

/* A small body is kept in op->small: its checksums and a repeated request need no second read. */
static int body_load_small(struct s3_op *op) {
    int err = op->loaded ? 0 : body_read_small(op);
    if (!err)
        err = body_check_source(op);
    if (err)
        return err;
    if (!op->loaded)
        op->crc = source_crc(op->task->source);
    op->loaded = true;
    if (!op->read_ahead) {
        err = s3_digest_all(op, buf_slice(&op->small));
        if (err)
            return err;
        op->read_ahead = true;
    }
    return buf_add_slice(&op->body, buf_slice(&op->small));
}

static void put_send(struct s3_op *op) {
    s3_request_begin(op, "PUT");
    if (!body_is_small(op))
        s3_request_set_stream(op, &body_stream, op->task->job.length);
    int err = body_is_small(op) ? body_load_small(op) : 0;
    if (err == ERR_AGAIN) {
        op->state = S3_OP_READ_AHEAD;
        return;
    }
    if (err) {
        body_fail_read(op, err);
        return;
    }
    s3_request_create_object(op);
    s3_existing_add_header(op);
    s3_integrity_add_headers(op);
    s3_request_send(op, body_on_reply);
}

void s3_put_start(struct s3_op *op) {
    CHECK(op->task->source);
    s3_integrity_choose(op, body_on_method_known);
}

static void body_send(struct s3_op *op) {
    if (op->task->job.ref.kind == JOB_CHUNK)
        chunk_send(op);
    else
        put_send(op);
}
