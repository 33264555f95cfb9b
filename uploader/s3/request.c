/*
 * One request of an op: put together, signed by libcurl for the bucket's region, sent when there are credentials.
 * A reply that names another region is answered by signing once more for that one, and one that refuses a request with
 * optional headers by sending it once without; nothing else is repeated here.
 */
#include "pure/check.h"
#include "system/clock.h"
#include "system/fault.h"
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdarg.h>
#include <stdio.h>

void s3_request_begin(struct s3_op *op, const char *method) {
    struct s3_request *q = &op->request;
    q->method = method;
    q->bucket_only = q->source_body = false;
    q->param_count = q->header_count = 0;
    q->optional = q->optional_headers = 0;
    op->dropped = 0;
    q->err = 0;
    buf_clear(&op->body);
    s3_request_header(op, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
}

void s3_request_param(struct s3_op *op, const char *name, struct slice value) {
    CHECK(op->request.param_count < S3_PARAMS_MAX);
    op->request.params[op->request.param_count++] = (struct s3_param){name, value};
}

__attribute__((format(printf, 2, 0))) static void add_header(struct s3_op *op, const char *format, va_list args) {
    struct s3_request *q = &op->request;
    char line[256];
    CHECK(q->header_count < S3_HEADERS_MAX);
    int len = vsnprintf(line, sizeof line, format, args);
    struct buf *header = &q->headers[q->header_count++];
    buf_clear(header);
    int err = len < 0 || (size_t)len >= sizeof line ? ERR_LIMIT : buf_add(header, line, (size_t)len);
    if (!q->err)
        q->err = err;
}

void s3_request_header(struct s3_op *op, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_header(op, format, args);
    va_end(args);
}

void s3_request_optional(struct s3_op *op, enum s3_optional which, const char *format, ...) {
    va_list args;
    if (s3_memory_endpoint(op->s3->memory, op->place.endpoint)->refused & which)
        return;
    op->request.optional |= which;
    op->request.optional_headers |= 1u << op->request.header_count;
    va_start(args, format);
    add_header(op, format, args);
    va_end(args);
}

void s3_request_sign(struct s3_op *op, const char *sha256_hex) {
    struct s3_request *q = &op->request;
    buf_clear(&q->headers[0]);
    int err = buf_addf(&q->headers[0], "x-amz-content-sha256: %s", sha256_hex);
    if (!q->err)
        q->err = err;
}

bool s3_sends_checksums(const struct s3 *s3, const struct job *job) {
    enum integrity wish = s3_integrity_wish(s3, job);
    if (wish)
        return wish == INTEGRITY_CRC32C;
    return !s3->aws.checksums_when_required;
}

bool s3_carries_file(const struct s3_op *op) {
    return op->task->job.ref.kind == JOB_CHUNK || op->task->job.ref.kind == JOB_PUT;
}

bool s3_lease_ended(const struct s3_op *op) {
    return clock_ms() >= op->task->lease_deadline_ms;
}

/* True when the same request is under way again, for another region. */
static bool follow_region(struct s3_op *op, const struct s3_error *e) {
    if (!e->region[0] || op->moved || strcmp(e->region, op->region) == 0)
        return false;
    op->moved = true;
    memcpy(op->region, e->region, sizeof op->region);
    s3_memory_set_region(op->s3->memory, op->place.endpoint, op->place.bucket, op->region);
    s3_send_again(op);
    return true;
}

/* True when the request is under way again, without its optional headers. */
static bool drop_optional(struct s3_op *op, const struct s3_error *e) {
    if (!op->request.optional || op->read_error || !s3_error_may_be_a_header(e))
        return false;
    op->dropped = op->request.optional;
    op->request.optional = 0;
    s3_send_again(op);
    return true;
}

/* RFC 9110 10.1.1: a request that got 417 is repeated without Expect; so are all later ones to this endpoint. True when
 * it is under way again. */
static bool repeat_without_expect(struct s3_op *op, const struct s3_error *e) {
    struct s3_endpoint *known = s3_memory_endpoint(op->s3->memory, op->place.endpoint);
    if (e->status != 417 || op->without_expect)
        return false;
    if (!known->refuses_expect)
        log_debug("%.*s: 417 to Expect: 100-continue; requests go without it", (int)op->place.endpoint.len,
                  op->place.endpoint.ptr);
    known->refuses_expect = op->without_expect = true;
    s3_send_again(op);
    return true;
}

static void add_advice(struct s3_error *e, const char *a, const char *b, const char *c) {
    size_t len = strlen(e->text);
    snprintf(e->text + len, sizeof e->text - len, "%s%s%s", a, b, c);
}

/*
 * Keys that have expired are an outage like any other where others can come: of a file that is written again a little
 * later, of a program. Keys that were refused may have been replaced in the file. HEAD has no error code: Amazon
 * answers 400 to an expired token.
 */
static void look_for_other_keys(struct s3_op *op, struct s3_error *e) {
    struct aws_credentials *keys = op->s3->credentials;
    bool wordless = (e->status == 400 || e->status == 403) && strcmp(op->request.method, "HEAD") == 0;
    if (e->expired && !aws_credentials_expired(keys, op->generation)) {
        const char *from = aws_credentials_renewed_from(keys);
        e->expired = false;
        e->transient = from != NULL;
        if (from)
            add_advice(e, "; new keys are read from ", from, " as soon as they are there");
        else
            add_advice(e, "; set new keys and run the same command again", "", "");
    } else if ((e->keys_refused || wordless) && aws_credentials_replaced(keys, op->generation)) {
        e->expired = e->transient = true;
    }
}

static void on_done(void *arg, const struct http_reply *r) {
    struct s3_op *op = arg;
    struct s3_error e;
    op->transfer = NULL;
    FAULT_ONLY(struct http_reply lost = *r;
               if (!r->error && !op->probing && FAULT_FAILS(s3_replied, job_kind_name(op->task->job.ref.kind))) {
                   lost.error = ERR_IO;
                   r = &lost;
               })
    if (s3_carries_file(op) && !op->probing)
        op->task->result.sent_bytes += r->sent_bytes;
    op->task->awaiting_reply = false;
    bool failed = s3_error_of(r, clock_real_us() / 1000000, &e);
    s3_scheme_look(op, r, failed ? &e : NULL);
    if (!failed) {
        if (op->dropped)
            s3_memory_refuses(s3_memory_endpoint(op->s3->memory, op->place.endpoint), op->dropped);
        op->on_reply(op, r, NULL);
        return;
    }
    if (follow_region(op, &e) || repeat_without_expect(op, &e))
        return;
    look_for_other_keys(op, &e);
    if (!e.expired && drop_optional(op, &e))
        return;
    op->on_reply(op, r, &e);
}

static int send_now(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    struct s3_request *q = &op->request;
    const char *headers[S3_HEADERS_MAX + 1] = {NULL};
    struct buf url = BUF_INIT;
    int err = s3_place_url(&op->place, op->region, !q->bucket_only, q->params, q->param_count, &url);
    if (err)
        goto out;
    size_t count = 0;
    for (size_t i = 0; i < q->header_count; i++)
        if (q->optional || !(q->optional_headers & (1u << i)))
            headers[count++] = q->headers[i].data;
    struct aws_keys keys = aws_credentials_keys(s3->credentials);
    op->generation = aws_credentials_generation(s3->credentials);
    op->without_expect = op->without_expect || s3_memory_endpoint(s3->memory, op->place.endpoint)->refuses_expect;
    struct http_credentials credentials = {keys.access_key, keys.secret_key, keys.session_token, op->region};
    struct http_request r = {
        .method = q->method,
        .url = url.data,
        .headers = headers,
        .credentials = &credentials,
        .body_length = q->source_body ? op->task->job.length : op->body.len,
        .read = q->source_body ? s3_body_read : NULL,
        .ready = q->source_body ? s3_body_ready : NULL,
        .rewind = q->source_body ? s3_body_rewind : NULL,
        .text = q->source_body ? (struct slice){NULL, 0} : buf_slice(&op->body),
        .response_timeout_ms = s3->response_timeout_ms,
        .reply_max = S3_REPLY_MAX,
        .fresh_connection = op->fresh,
        .without_expect = op->without_expect,
        .once = strcmp(q->method, "POST") == 0, /* Create and Complete */
        .paced = s3_carries_file(op),
        .done = on_done,
        .arg = op,
    };
    op->state = S3_OP_REQUEST;
    FAULT_POINT_IF(!op->probing, s3_asking, job_kind_name(op->task->job.ref.kind));
    err = http_start(s3->http, &r, &op->transfer);
out:
    buf_release(&url);
    return err;
}

void s3_call_step(struct s3_op *op, enum aws_state keys) {
    if (op->state != S3_OP_KEYS || keys == AWS_PENDING)
        return;
    if (keys == AWS_MISSING) {
        struct s3_error e;
        bool renewable = aws_credentials_renewed_from(op->s3->credentials) != NULL;
        s3_error_set(&e, FAIL_DENIED, renewable, aws_credentials_problem(op->s3->credentials));
        e.own = OWN_SURE;
        s3_end_error(op, &e);
        return;
    }
    char why[S3_URL_MAX];
    if (s3_scheme_is_wrong(op, why, sizeof why)) {
        s3_end_failed(op, FAIL_UNREACHABLE, false, why);
        return;
    }
    int err = send_now(op);
    if (err)
        s3_end_err(op, err);
}

void s3_send_again(struct s3_op *op) {
    int err = op->request.err;
    if (!err && op->request.source_body)
        err = s3_body_rewind(op);
    if (err) {
        s3_end_err(op, err);
        return;
    }
    op->state = S3_OP_KEYS;
    s3_call_step(op, aws_credentials_step(op->s3->credentials, 0));
}

void s3_send(struct s3_op *op, s3_handler *on_reply) {
    op->on_reply = on_reply;
    s3_send_again(op);
}
