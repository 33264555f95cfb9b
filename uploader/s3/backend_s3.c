/*
 * The S3 backend: takes tasks, lets the kinds (kinds.h) work on them, and reports their results.
 *
 * task_done() may start and cancel other tasks. No function here keeps a pointer into the list of
 * operations across it.
 */
#include "pure/dest.h"
#include "pure/text.h"
#include "system/fault.h"
#include "uploader/s3/integrity.h"
#include "uploader/s3/kinds.h"
#include "uploader/s3/request.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define OPS_PER_STEP 256
#define READS_PER_STEP 8 /* pieces of a range */
#define CREDENTIALS_WAIT_MS 10

static struct s3 *backend_s3_of(struct backend *b) {
    return (struct s3 *)b;
}

/* --- the region --- */

struct region_choice {
    struct slice name;
    const char *from;
};

/* The first that is present, in this order; an invalid one is not skipped. */
static struct region_choice region_choose(const struct s3 *s3, const struct target *t, const char *known) {
    const struct region_choice choices[] = {
        {slice_of(known), "the store"},
        {t->region, "the job"},
        {slice_of(s3->region), "--region"},
        {slice_of(s3->aws.region), s3->aws.region_from},
    };
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        struct slice name = s3_region_trim(choices[i].name);
        if (name.len)
            return (struct region_choice){name, choices[i].from};
    }
    return (struct region_choice){slice_of(S3_DEFAULT_REGION), ""};
}

static int region_check(const struct region_choice *choice, char *why, size_t why_size) {
    struct buf shown = BUF_INIT;
    if (s3_region_is_valid(choice->name))
        return 0;
    int err = text_add_printable(&shown, choice->name);
    snprintf(why, why_size,
             "%s names the region '%.100s', which is not the name of a region; it is made of letters, "
             "digits, '-', '_' and '.'",
             choice->from, err ? "" : shown.data);
    buf_release(&shown);
    return ERR_INVALID;
}

static int op_set_region(struct s3_op *op, char *why, size_t why_size) {
    const char *known = s3_capabilities_region(op->s3->capabilities, op->url.endpoint, op->url.bucket);
    struct region_choice choice = region_choose(op->s3, &op->task->job.target, known);
    int err = region_check(&choice, why, why_size);
    if (err)
        return err;
    memcpy(op->region, choice.name.ptr, choice.name.len);
    op->region[choice.name.len] = 0;
    return 0;
}

/* --- the backend --- */

static enum s3_addressing backend_s3_addressing(const struct s3 *s3) {
    return s3_addressing_from_text(s3->aws.addressing_style);
}

static int backend_s3_check(struct backend *b, const struct target *target, char *reason, size_t reason_size) {
    struct s3 *s3 = backend_s3_of(b);
    struct s3_object_url url;
    int err = s3_object_url_init(&url, target, backend_s3_addressing(s3), false, reason, reason_size);
    if (err)
        return err;
    struct region_choice choice = region_choose(s3, target, NULL);
    err = region_check(&choice, reason, reason_size);
    if (!err && s3->aws.problem[0]) {
        snprintf(reason, reason_size, "%s", s3->aws.problem);
        err = ERR_DENIED;
    }
    enum aws_state credentials = err ? AWS_READY : aws_credentials_step(s3->credentials, 0);
    if (credentials == AWS_PENDING)
        return ERR_AGAIN;
    if (credentials == AWS_MISSING) {
        snprintf(reason, reason_size, "%s", aws_credentials_problem(s3->credentials));
        err = ERR_DENIED;
    }
    return err;
}

static void op_start_kind(struct s3_op *op) {
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
    case JOB_STAT:
        s3_stat_start(op);
        break;
    case JOB_HEAD:
        s3_head_start(op);
        break;
    case JOB_READ:
        s3_read_start(op);
        break;
    case JOB_LIST:
        s3_list_start(op);
        break;
    case JOB_DISCARD:
        s3_abort_start(op);
        break;
    case JOB_DELETE:
        s3_delete_start(op);
        break;
    default:
        s3_op_fail_err(op, ERR_INVALID);
    }
}

static int s3_start(struct s3 *s3, struct task *t, bool need_key, s3_op_handler *start) {
    struct s3_op *op = s3_op_new(s3, t);
    char why[sizeof t->result.error];
    if (!op)
        return ERR_NOMEM;
    op->starting = true;
    op->fresh = s3_capabilities_take_failed(s3->capabilities, &t->job.ref);
    memset(&t->result, 0, sizeof t->result);
    int err = s3_object_url_init(&op->url, &t->job.target, backend_s3_addressing(s3), need_key, why, sizeof why);
    if (!err)
        err = op_set_region(op, why, sizeof why);
    if (err)
        s3_op_fail(op, FAIL_REQUEST, false, why);
    else
        start(op);
    op->starting = false;
    return 0;
}

static int backend_s3_start(struct backend *b, struct task *t) {
    return s3_start(backend_s3_of(b), t, t->job.ref.kind != JOB_LIST, op_start_kind);
}

static void backend_s3_cancel(struct backend *b, struct task *t) {
    (void)b;
    struct s3_op *op = t->backend_state;
    if (op)
        s3_op_destroy(op);
}

static void op_update_progress(struct s3_op *op) {
    if (!op->transfer)
        return;
    op->task->awaiting_reply = http_all_sent(op->transfer);
    uint64_t received_bytes = http_received(op->transfer);
    op->task->checked_bytes += received_bytes != op->received_bytes; /* shows that the store is alive */
    op->received_bytes = received_bytes;
    op->task->checked_bytes += http_is_throttled(op->transfer); /* it waits for the token bucket, not for the store */
    if (s3_op_carries_file(op) && !op->probing)
        op->task->moved_bytes = MIN(http_sent(op->transfer), op->task->job.length);
    FAULT_POINT_IF(op->task->moved_bytes > 0 && op->task->moved_bytes < op->task->job.length, bytes_half,
                   job_kind_name(op->task->job.ref.kind));
    FAULT_POINT_IF(!op->probing && op->task->awaiting_reply && http_headers_are_sent(op->transfer), s3_sent,
                   job_kind_name(op->task->job.ref.kind));
}

static bool op_can_read_ahead(const struct s3_op *op) {
    return op->state == S3_OP_READ_AHEAD && source_is_ready(op->task->source);
}

static bool op_can_resume(const struct s3_op *op) {
    return op->state == S3_OP_PROBE_WAIT && !s3_integrity_is_probed(op);
}

/* The first operation that can continue without a reply. */
static struct s3_op *s3_find_ready_op(const struct s3 *s3, enum aws_state credentials) {
    for (struct s3_op *op = s3->ops; op; op = op->next)
        if (op->state == S3_OP_ENDED || op_can_read_ahead(op) || op_can_resume(op) ||
            (op->state == S3_OP_CREDENTIALS && credentials != AWS_PENDING))
            return op;
    return NULL;
}

/* Ranges are read one after the other; the operations that wait for their turn count as alive. */
static void s3_read_ahead(struct s3 *s3, struct s3_op *first) {
    for (struct s3_op *op = s3->ops; op; op = op->next)
        if (op_can_read_ahead(op))
            op->task->checked_bytes++;
    s3_body_read_ahead(first);
}

static bool backend_s3_step(struct backend *b) {
    struct s3 *s3 = backend_s3_of(b);
    bool waiting = false;
    for (struct s3_op *op = s3->ops; op; op = op->next) {
        op_update_progress(op);
        op->task->checked_bytes += op->state == S3_OP_PROBE_WAIT; /* the prober has its own timeout */
        waiting |= op->state == S3_OP_CREDENTIALS;
    }
    enum aws_state credentials = aws_credentials_step(s3->credentials, waiting ? CREDENTIALS_WAIT_MS : 0);
    struct s3_op *op;
    for (unsigned handled = 0, reads = 0; handled < OPS_PER_STEP && (op = s3_find_ready_op(s3, credentials));
         handled++) {
        if (op->state == S3_OP_ENDED)
            s3_op_report(op);
        else if (op->state == S3_OP_CREDENTIALS)
            s3_request_step(op, credentials);
        else if (op->state == S3_OP_PROBE_WAIT)
            s3_integrity_resume(op);
        else if (reads++ < READS_PER_STEP)
            s3_read_ahead(s3, op);
        else
            break;
    }
    for (op = s3->ops; op; op = op->next)
        if (op->state != S3_OP_REQUEST && (op->state != S3_OP_READ_AHEAD || op_can_read_ahead(op)) &&
            (op->state != S3_OP_PROBE_WAIT || op_can_resume(op)))
            return true;
    return false;
}

static void backend_s3_destroy(struct backend *b) {
    struct s3 *s3 = backend_s3_of(b);
    while (s3->ops)
        s3_op_destroy(s3->ops);
    aws_credentials_destroy(&s3->credentials);
    s3_capabilities_destroy(&s3->capabilities);
    if (s3->scheme_probe)
        http_cancel(s3->http, s3->scheme_probe);
    free(s3->scheme_probed);
    aws_settings_release(&s3->aws);
    digest_destroy(&s3->sha256);
    free(s3->region);
    free(s3->read_buffer);
    free(s3);
}

static bool backend_s3_wants_checksum(struct backend *b, const struct task *t) {
    return s3_body_wants_checksum(backend_s3_of(b), t);
}

static const struct backend_ops backend_s3_ops = {.name = "s3",
                                                  .check = backend_s3_check,
                                                  .start = backend_s3_start,
                                                  .cancel = backend_s3_cancel,
                                                  .step = backend_s3_step,
                                                  .wants_checksum = backend_s3_wants_checksum,
                                                  .destroy = backend_s3_destroy};

int backend_s3_new(struct backend **b, struct http *http, const struct s3_options *o) {
    *b = NULL;
    struct s3 *s3 = calloc(1, sizeof *s3);
    if (!s3)
        return ERR_NOMEM;
    *s3 = (struct s3){.base = {&backend_s3_ops},
                      .http = http,
                      .integrity = o->integrity,
                      .response_timeout_ms = o->response_timeout_ms,
                      .no_verify_ssl = o->no_verify_ssl,
                      .sse_c_key = o->sse_c_key,
                      .last = &s3->ops};
    int err = aws_settings_read(&s3->aws, o->profile);
    if (!err)
        err = aws_credentials_new(&s3->credentials, o->profile, o->region, http);
    if (!err)
        err = s3_capabilities_new(&s3->capabilities);
    if (!err && o->region && !(s3->region = strdup(o->region)))
        err = ERR_NOMEM;
    if (err) {
        backend_s3_destroy(&s3->base);
        return err;
    }
    *b = &s3->base;
    return 0;
}

enum integrity backend_s3_integrity(const struct backend *b) {
    return ((const struct s3 *)b)->last_integrity;
}

int backend_s3_ask(struct backend *b, struct task *t, enum s3_question question) {
    bool of_bucket = question == S3_ASK_BUCKET;
    return s3_start(backend_s3_of(b), t, !of_bucket, of_bucket ? s3_ask_bucket_start : s3_ask_remove_start);
}

int backend_s3_bucket_url(struct backend *b, const struct target *t, struct buf *url) {
    const struct s3 *s3 = backend_s3_of(b);
    struct s3_object_url u;
    char region[S3_REGION_MAX + 1], why[256];
    int err = s3_object_url_init(&u, t, backend_s3_addressing(s3), false, why, sizeof why);
    if (err)
        return err;
    struct region_choice choice = region_choose(s3, t, NULL);
    err = region_check(&choice, why, sizeof why);
    if (err)
        return err;
    snprintf(region, sizeof region, "%.*s", (int)choice.name.len, choice.name.ptr);
    return s3_object_url_format(&u, region, false, NULL, 0, url);
}

const char *backend_s3_found_region(const struct backend *b, const struct target *t) {
    const struct s3 *s3 = (const struct s3 *)b;
    struct dest dest;
    if (dest_parse(t->dest, &dest))
        return NULL;
    return s3_capabilities_region(s3->capabilities, t->endpoint, dest.bucket);
}

const struct aws_credentials *backend_s3_credentials(const struct backend *b) {
    return ((const struct s3 *)b)->credentials;
}
