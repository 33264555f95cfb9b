#include "uploader/s3/request.h"
#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "uploader/s3/object_headers.h"
#include "uploader/s3/scheme.h"
#include <stdarg.h>
#include <stdio.h>
#include <sys/param.h>

#define REPLY_MAX (1u << 20)

/* --- building --- */

void s3_request_begin(struct s3_op *op, const char *method) {
    struct s3_request *q = &op->request;
    q->method = method;
    q->bucket_only = false;
    q->stream = NULL;
    q->take = NULL;
    q->param_count = q->header_count = 0;
    q->optional = q->optional_headers = 0;
    q->use = strcmp(method, "DELETE") == 0 ? PROPERTY_ACCESS : PROPERTY_KEY;
    op->dropped = 0;
    q->err = 0;
    buf_clear(&op->body);
    s3_request_header(op, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
}

void s3_request_param(struct s3_op *op, const char *name, struct slice value) {
    CHECK(op->request.param_count < S3_PARAMS_MAX);
    op->request.params[op->request.param_count++] = (struct s3_param){name, value};
}

static void request_keep_err(struct s3_request *q, int err) {
    if (!q->err)
        q->err = err;
}

__attribute__((format(printf, 2, 0))) static void request_append_header(struct s3_op *op, const char *format,
                                                                        va_list args) {
    struct s3_request *q = &op->request;
    char line[256];
    CHECK(q->header_count < S3_HEADERS_MAX);
    int len = vsnprintf(line, sizeof line, format, args);
    struct buf *header = &q->headers[q->header_count++];
    buf_clear(header);
    request_keep_err(q, (size_t)len >= sizeof line ? ERR_LIMIT : buf_add(header, line, (size_t)len));
}

void s3_request_header(struct s3_op *op, const char *format, ...) {
    va_list args;
    va_start(args, format);
    request_append_header(op, format, args);
    va_end(args);
}

void s3_request_optional_header(struct s3_op *op, enum s3_optional which, const char *format, ...) {
    va_list args;
    if (s3_op_endpoint(op)->refused & which)
        return;
    op->request.optional |= which;
    op->request.optional_headers |= 1u << op->request.header_count;
    va_start(args, format);
    request_append_header(op, format, args);
    va_end(args);
}

void s3_request_create_object(struct s3_op *op) {
    op->request.use = PROPERTY_OBJECT;
}

void s3_request_set_payload_hash(struct s3_op *op, const char *hash) {
    struct s3_request *q = &op->request;
    buf_clear(&q->headers[0]);
    request_keep_err(q, buf_addf(&q->headers[0], "x-amz-content-sha256: %s", hash));
}

void s3_request_set_stream(struct s3_op *op, const struct s3_body_stream *stream, uint64_t length) {
    op->request.stream = stream;
    op->request.stream_length = length;
}

/* --- replies --- */

static void request_resend(struct s3_op *op);

/* True: the request is in flight again, for another region. */
static bool request_follow_region(struct s3_op *op, const struct s3_error *e) {
    if (!e->region[0] || op->region_followed || strcmp(e->region, op->region) == 0)
        return false;
    op->region_followed = true;
    memcpy(op->region, e->region, sizeof op->region);
    s3_capabilities_set_region(op->s3->capabilities, op->url.endpoint, op->url.bucket, op->region);
    request_resend(op);
    return true;
}

/* True: the request is in flight again, without its optional headers. */
static bool request_drop_optional(struct s3_op *op, const struct s3_error *e) {
    if (!op->request.optional || op->read_error || !s3_error_may_be_due_to_header(e))
        return false;
    op->dropped = op->request.optional;
    op->request.optional = 0;
    request_resend(op);
    return true;
}

/* Expired credentials that can be renewed (from a file or a program) are a transient failure.
 * Refused credentials may have been replaced in their file since. HEAD has no error code: Amazon
 * answers 400 to an expired token. */
static void request_check_credentials(struct s3_op *op, struct s3_error *e) {
    struct aws_credentials *credentials = op->s3->credentials;
    bool no_code = (e->status == 400 || e->status == 403) && strcmp(op->request.method, "HEAD") == 0;
    if (e->expired && !aws_credentials_expired(credentials, op->credentials_generation)) {
        const char *from = aws_credentials_renewal_source(credentials);
        size_t len = strlen(e->text);
        e->expired = false;
        e->transient = from != NULL;
        if (from)
            snprintf(e->text + len, sizeof e->text - len, "; new keys are read from %s as soon as they are there",
                     from);
        else
            snprintf(e->text + len, sizeof e->text - len, "; set new keys and run the same command again");
    } else if ((e->keys_refused || no_code) && aws_credentials_replaced(credentials, op->credentials_generation)) {
        e->expired = e->transient = true;
    }
}

/* How many of these sent bytes are bytes of the file. A stream may have a frame around them (trailer.c). */
static uint64_t request_file_bytes(const struct s3_op *op, uint64_t sent) {
    uint64_t stream = op->request.stream_length, length = op->task->job.length;
    return op->request.stream ? sent / stream * length + MIN(sent % stream, length) : sent;
}

static void request_done(void *arg, const struct http_reply *r) {
    struct s3_op *op = arg;
    struct s3_error e;
    op->transfer = NULL;
    FAULT_ONLY(struct http_reply lost = *r;
               if (!r->error && !op->probing && FAULT_FAILS(s3_replied, job_kind_name(op->task->job.ref.kind))) {
                   lost.error = ERR_IO;
                   r = &lost;
               })
    if (s3_op_carries_file(op) && !op->probing)
        op->task->result.sent_bytes += request_file_bytes(op, r->sent_bytes);
    op->task->awaiting_reply = false;
    bool failed = s3_error_from_reply(r, clock_real_us() / 1000000, &e);
    s3_scheme_take_reply(op, r, failed ? &e : NULL);
    if (!failed) {
        if (op->dropped)
            s3_endpoint_add_refused(s3_op_endpoint(op), op->dropped);
        op->on_reply(op, r, NULL);
        return;
    }
    if (request_follow_region(op, &e))
        return;
    request_check_credentials(op, &e);
    if (!e.expired && request_drop_optional(op, &e))
        return;
    op->on_reply(op, r, &e);
}

/* --- sending --- */

/* The key of SSE-C must not pass a proxy that could read it. Over https a proxy only connects. Over http the store has a
 * loopback address, and the request goes there directly. */
static bool request_avoids_proxies(const struct s3_op *op) {
    return op->s3->sse_c_key && op->task->properties->sse_c_md5.len && !op->url.https;
}

static int request_start_transfer(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    struct s3_request *q = &op->request;
    const struct s3_body_stream *stream = q->stream;
    const char *headers[S3_HEADERS_MAX + S3_OBJECT_LINES_MAX + 1];
    struct buf url = BUF_INIT;
    int err = s3_object_url_format(&op->url, op->region, !q->bucket_only, q->params, q->param_count, &url);
    if (err)
        goto out;
    size_t count = 0;
    for (size_t i = 0; i < q->header_count; i++)
        if (q->optional || !(q->optional_headers & (1u << i)))
            headers[count++] = q->headers[i].data;
    const char *line = q->object_lines.data;
    for (size_t i = 0; i < q->object_line_count; i++, line += strlen(line) + 1)
        headers[count++] = line;
    headers[count] = NULL;
    struct aws_keys keys = aws_credentials_keys(s3->credentials);
    op->credentials_generation = aws_credentials_generation(s3->credentials);
    struct http_credentials credentials = {keys.access_key, keys.secret_key, keys.session_token, op->region};
    struct http_request r = {
        .method = q->method,
        .url = url.data,
        .headers = headers,
        .credentials = &credentials,
        .body_length = stream ? q->stream_length : op->body.len,
        .read = stream ? stream->read : NULL,
        .ready = stream ? stream->ready : NULL,
        .rewind = stream ? stream->rewind : NULL,
        .text = stream ? (struct slice){NULL, 0} : buf_slice(&op->body),
        .response_timeout_ms = s3->response_timeout_ms,
        .take = q->take,
        .reply_max = REPLY_MAX,
        .fresh_connection = op->fresh,
        .direct = request_avoids_proxies(op),
        .no_verify_ssl = s3->no_verify_ssl,
        .once = strcmp(q->method, "POST") == 0, /* Create, Complete, DeleteObjects */
        .paced = s3_op_carries_file(op),
        /* Later, the key may have a new object. */
        .deadline_ms = op->task->job.ref.kind == JOB_DELETE ? &op->task->lease_deadline_ms : NULL,
        .done = request_done,
        .arg = op,
    };
    op->state = S3_OP_REQUEST;
    FAULT_POINT_IF(!op->probing, s3_asking, job_kind_name(op->task->job.ref.kind));
    err = http_start(s3->http, &r, &op->transfer);
out:
    buf_release(&url);
    return err;
}

void s3_request_step(struct s3_op *op, enum aws_state credentials) {
    if (op->state != S3_OP_CREDENTIALS || credentials == AWS_PENDING)
        return;
    if (credentials == AWS_MISSING) {
        struct s3_error e;
        bool renewable = aws_credentials_renewal_source(op->s3->credentials) != NULL;
        s3_error_set(&e, FAIL_DENIED, renewable, aws_credentials_problem(op->s3->credentials));
        e.own = OWN_SURE;
        s3_op_fail_with(op, &e);
        return;
    }
    char why[S3_URL_MAX];
    if (s3_scheme_is_wrong(op, why, sizeof why)) {
        s3_op_fail(op, FAIL_UNREACHABLE, false, why);
        return;
    }
    int err = request_start_transfer(op);
    if (err)
        s3_op_fail_err(op, err);
}

/* The body is sent from its start. */
static void request_resend(struct s3_op *op) {
    int err = op->request.err;
    if (!err && op->request.stream)
        err = op->request.stream->rewind(op);
    if (err) {
        s3_op_fail_err(op, err);
        return;
    }
    op->state = S3_OP_CREDENTIALS;
    s3_request_step(op, aws_credentials_step(op->s3->credentials, 0));
}

void s3_request_send(struct s3_op *op, s3_reply_handler *on_reply) {
    struct s3_request *q = &op->request;
    request_keep_err(q, s3_object_headers_write(op, q->bucket_only ? PROPERTY_ACCESS : q->use));
    op->on_reply = on_reply;
    request_resend(op);
}
