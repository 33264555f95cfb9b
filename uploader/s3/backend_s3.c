/*
 * S3 as a backend: takes tasks, lets the kinds (s3_begin.c and so on) work on them, hands results back.
 *
 * An op is in the list from start() until it is told (s3_end) or cancelled. task_done may start and cancel other tasks,
 * so nothing here keeps a pointer into the list across it.
 */
#include "pure/check.h"
#include "pure/text.h"
#include "system/fault.h"
#include "system/log.h"
#include "uploader/s3/s3_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define ENDS_PER_STEP 256
#define AHEAD_PER_STEP 8 /* pieces of S3_SCRATCH */
#define KEYS_WAIT_MS 10

static struct s3 *s3_of(struct backend *b) {
    return (struct s3 *)b;
}

/* --- ops --- */

static void op_link(struct s3 *s3, struct s3_op *op) {
    op->link = s3->last;
    *s3->last = op;
    s3->last = &op->next;
}

static void op_destroy(struct s3_op *op) {
    struct s3 *s3 = op->s3;
    *op->link = op->next;
    if (op->next)
        op->next->link = op->link;
    else
        s3->last = op->link;
    if (op->transfer)
        http_cancel(s3->http, op->transfer);
    for (size_t i = 0; i < S3_HEADERS_MAX; i++)
        buf_release(&op->request.headers[i]);
    for (size_t i = 0; op->etags && i < op->task->part_count; i++)
        free(op->etags[i]);
    free(op->etags);
    buf_release(&op->body);
    buf_release(&op->small);
    buf_release(&op->key_marker);
    s3_xml_uploads_release(&op->uploads);
    digest_destroy(&op->digest);
    s3_memory_probe_over(s3->memory, op);
    op->task->backend_state = NULL;
    free(op);
}

static void tell(struct s3_op *op) {
    struct task *t = op->task;
    op_destroy(op);
    task_done(t);
}

void s3_end(struct s3_op *op, enum outcome outcome) {
    CHECK(op->state != S3_OP_ENDED);
    op->task->result.outcome = outcome;
    op->task->awaiting_reply = false;
    op->state = S3_OP_ENDED;
    if (!op->starting)
        tell(op);
}

static void on_gone_aborted(struct s3_op *op, const struct http_reply *r, const struct s3_error *e) {
    (void)r;
    if (e && e->transient)
        s3_end_error(op, e);
    else
        s3_end(op, OUTCOME_GONE);
}

/* A new upload takes the place of one that the store says it does not know. A store that says so and is wrong would
 * keep the old one open: it is aborted first. */
static void end_gone(struct s3_op *op) {
    s3_request_begin(op, "DELETE");
    s3_request_param(op, "uploadId", op->task->job.handle);
    s3_send(op, on_gone_aborted);
}

void s3_end_error(struct s3_op *op, const struct s3_error *e) {
    struct task_result *r = &op->task->result;
    enum job_kind kind = op->task->job.ref.kind;
    r->transient = e->transient;
    r->throttled = e->throttled;
    r->never_connected = e->never_connected;
    r->timed_out = e->timed_out;
    r->credentials_expired = e->expired;
    r->retry_after_ms = e->retry_after_ms;
    if (e->transient && !e->throttled && !e->expired)
        s3_memory_set_failed(op->s3->memory, &op->task->job.ref);
    r->klass = e->klass;
    r->own = e->own;
    if (e->klass == FAIL_NO_BUCKET)
        snprintf(r->error, sizeof r->error, "%.400s (bucket '%.*s')", e->text, (int)op->place.bucket.len,
                 op->place.bucket.ptr);
    else
        snprintf(r->error, sizeof r->error, "%s", e->text);
    if (e->gone && (kind == JOB_CHUNK || kind == JOB_FINISH))
        end_gone(op);
    else
        s3_end(op, OUTCOME_FAILED);
}

void s3_end_failed(struct s3_op *op, enum fail_class klass, bool transient, const char *text) {
    struct s3_error e;
    s3_error_set(&e, klass, transient, text);
    s3_end_error(op, &e);
}

void s3_end_err(struct s3_op *op, int err) {
    s3_end_failed(op, err == ERR_NOMEM ? FAIL_OUTAGE : FAIL_REQUEST, err == ERR_NOMEM, err_text(err));
}

bool s3_take_etag(struct s3_op *op, const struct http_reply *r) {
    struct task_result *result = &op->task->result;
    if (s3_etag_copy(http_header(r, "etag"), result->etag, sizeof result->etag) == 0)
        return true;
    s3_end_failed(op, FAIL_DEST, false, "the store's ETag is longer than 255 bytes");
    return false;
}

/* --- the backend --- */

struct region_wish {
    struct slice name;
    const char *from;
};

/* The first that is there, in this order; one that is not valid is not passed over. */
static struct region_wish wished_region(const struct s3 *s3, const struct target *t, const char *known) {
    const struct region_wish wishes[] = {
        {slice_of(known), "the store"},
        {t->region, "the job"},
        {slice_of(s3->region), "--region"},
        {slice_of(s3->aws.region), s3->aws.region_from},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        struct slice name = s3_region_trim(wishes[i].name);
        if (name.len)
            return (struct region_wish){name, wishes[i].from};
    }
    return (struct region_wish){slice_of(S3_DEFAULT_REGION), ""};
}

static int check_region(const struct region_wish *wish, char *why, size_t why_size) {
    struct buf shown = BUF_INIT;
    if (s3_region_is_valid(wish->name))
        return 0;
    int err = text_add_printable(&shown, wish->name);
    snprintf(why, why_size,
             "%s names the region '%.100s', which is not the name of a region; it is made of letters, "
             "digits, '-', '_' and '.'",
             wish->from, err ? "" : shown.data);
    buf_release(&shown);
    return ERR_INVALID;
}

static int pick_region(struct s3_op *op, char *why, size_t why_size) {
    const char *known = s3_memory_region(op->s3->memory, op->place.endpoint, op->place.bucket);
    struct region_wish wish = wished_region(op->s3, &op->task->job.target, known);
    int err = check_region(&wish, why, why_size);
    if (err)
        return err;
    memcpy(op->region, wish.name.ptr, wish.name.len);
    op->region[wish.name.len] = 0;
    return 0;
}

static enum s3_addressing addressing(const struct s3 *s3) {
    return s3_addressing_from_text(s3->aws.addressing_style);
}

static int check(struct backend *b, const struct target *target, char *reason, size_t reason_size) {
    struct s3 *s3 = s3_of(b);
    struct s3_place place;
    int err = s3_place_init(&place, target, addressing(s3), false, reason, reason_size);
    if (err)
        return err;
    struct region_wish wish = wished_region(s3, target, NULL);
    err = check_region(&wish, reason, reason_size);
    if (!err && s3->aws.problem[0]) {
        snprintf(reason, reason_size, "%s", s3->aws.problem);
        err = ERR_DENIED;
    }
    enum aws_state keys = err ? AWS_READY : aws_credentials_step(s3->credentials, 0);
    if (keys == AWS_PENDING)
        return ERR_AGAIN;
    if (keys == AWS_MISSING) {
        snprintf(reason, reason_size, "%s", aws_credentials_problem(s3->credentials));
        err = ERR_DENIED;
    }
    return err;
}

static void start_kind(struct s3_op *op) {
    switch (op->task->job.ref.kind) {
    case JOB_BEGIN:
        s3_begin_start(op);
        break;
    case JOB_CHUNK:
        s3_chunk_start(op);
        break;
    case JOB_FINISH:
        s3_finish_start(op);
        break;
    case JOB_ABORT:
        s3_abort_start(op);
        break;
    case JOB_PUT:
        s3_put_start(op);
        break;
    case JOB_HEAD:
        s3_head_start(op);
        break;
    default:
        s3_end_err(op, ERR_INVALID);
    }
}

static int start(struct backend *b, struct task *t) {
    struct s3 *s3 = s3_of(b);
    struct s3_op *op = calloc(1, sizeof *op);
    char why[sizeof t->result.error];
    if (!op)
        return ERR_NOMEM;
    *op = (struct s3_op){.s3 = s3, .task = t, .starting = true};
    op->fresh = s3_memory_take_failed(s3->memory, &t->job.ref);
    memset(&t->result, 0, sizeof t->result);
    t->backend_state = op;
    op_link(s3, op);
    id_to_hex(&t->job.ref.upload, op->owner);
    int err = s3_place_init(&op->place, &t->job.target, addressing(s3), true, why, sizeof why);
    if (!err)
        err = pick_region(op, why, sizeof why);
    if (err)
        s3_end_failed(op, FAIL_REQUEST, false, why);
    else
        start_kind(op);
    op->starting = false;
    return 0;
}

static void cancel(struct backend *b, struct task *t) {
    (void)b;
    struct s3_op *op = t->backend_state;
    if (op)
        op_destroy(op);
}

static void look_at_progress(struct s3_op *op) {
    if (!op->transfer)
        return;
    op->task->awaiting_reply = http_all_sent(op->transfer);
    uint64_t received_bytes = http_received(op->transfer);
    op->task->checked_bytes += received_bytes != op->received_bytes; /* the store lives */
    op->received_bytes = received_bytes;
    op->task->checked_bytes += http_is_throttled(op->transfer); /* it waits because we want it to */
    if (s3_carries_file(op) && !op->probing)
        op->task->moved_bytes = http_sent(op->transfer);
    FAULT_POINT_IF(op->task->moved_bytes > 0 && op->task->moved_bytes < op->task->job.length, bytes_half,
                   job_kind_name(op->task->job.ref.kind));
    FAULT_POINT_IF(!op->probing && op->task->awaiting_reply && http_headers_are_sent(op->transfer), s3_sent,
                   job_kind_name(op->task->job.ref.kind));
}

static bool can_read_ahead(const struct s3_op *op) {
    return op->state == S3_OP_AHEAD && source_is_ready(op->task->source);
}

static bool can_go_on(const struct s3_op *op) {
    return op->state == S3_OP_WAIT && !s3_integrity_is_awaited(op);
}

/* The first op that can go on by itself. */
static struct s3_op *find_ready(const struct s3 *s3, enum aws_state keys) {
    for (struct s3_op *op = s3->ops; op; op = op->next)
        if (op->state == S3_OP_ENDED || can_read_ahead(op) || can_go_on(op) ||
            (op->state == S3_OP_KEYS && keys != AWS_PENDING))
            return op;
    return NULL;
}

/* One is read after the other: while one moves on, those behind it live too. */
static void read_ahead(struct s3 *s3, struct s3_op *first) {
    for (struct s3_op *op = s3->ops; op; op = op->next)
        if (can_read_ahead(op))
            op->task->checked_bytes++;
    s3_ahead_step(first);
}

static bool step(struct backend *b) {
    struct s3 *s3 = s3_of(b);
    bool waiting = false;
    for (struct s3_op *op = s3->ops; op; op = op->next) {
        look_at_progress(op);
        op->task->checked_bytes += op->state == S3_OP_WAIT; /* the op that asks shows whether the store lives */
        waiting |= op->state == S3_OP_KEYS;
    }
    enum aws_state keys = aws_credentials_step(s3->credentials, waiting ? KEYS_WAIT_MS : 0);
    struct s3_op *op;
    for (unsigned ends = 0, ahead = 0; ends < ENDS_PER_STEP && (op = find_ready(s3, keys)); ends++) {
        if (op->state == S3_OP_ENDED)
            tell(op);
        else if (op->state == S3_OP_KEYS)
            s3_call_step(op, keys);
        else if (op->state == S3_OP_WAIT)
            s3_body_begin(op);
        else if (ahead++ < AHEAD_PER_STEP)
            read_ahead(s3, op);
        else
            break;
    }
    for (op = s3->ops; op; op = op->next)
        if (op->state != S3_OP_REQUEST && (op->state != S3_OP_AHEAD || can_read_ahead(op)) &&
            (op->state != S3_OP_WAIT || can_go_on(op)))
            return true;
    return false;
}

static void destroy(struct backend *b) {
    struct s3 *s3 = s3_of(b);
    while (s3->ops)
        op_destroy(s3->ops);
    aws_credentials_destroy(&s3->credentials);
    s3_memory_destroy(&s3->memory);
    if (s3->probe)
        http_cancel(s3->http, s3->probe);
    free(s3->probed);
    aws_settings_release(&s3->aws);
    digest_destroy(&s3->sha256);
    free(s3->region);
    free(s3->scratch);
    free(s3);
}

static bool wants_checksum(struct backend *b, const struct task *t) {
    return s3_wants_checksum(s3_of(b), t);
}

static const struct backend_ops ops = {.name = "s3",
                                       .check = check,
                                       .start = start,
                                       .cancel = cancel,
                                       .step = step,
                                       .wants_checksum = wants_checksum,
                                       .destroy = destroy};

int backend_s3_new(struct backend **b, struct http *http, const struct s3_options *o) {
    *b = NULL;
    struct s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return ERR_NOMEM;
    *s3 = (struct s3){.base = {&ops},
                      .http = http,
                      .integrity = o->integrity,
                      .response_timeout_ms = o->response_timeout_ms,
                      .last = &s3->ops};
    int err = aws_settings_read(&s3->aws, o->profile);
    if (!err)
        err = aws_credentials_new(&s3->credentials, o->profile, http);
    if (!err)
        err = s3_memory_new(&s3->memory);
    if (!err && o->region && !(s3->region = strdup(o->region)))
        err = ERR_NOMEM;
    if (err) {
        destroy(&s3->base);
        return err;
    }
    *b = &s3->base;
    return 0;
}

enum integrity backend_s3_integrity(const struct backend *b) {
    return ((const struct s3 *)b)->last_integrity;
}
