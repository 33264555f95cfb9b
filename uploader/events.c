#include "uploader/uploader_internal.h"

#include "pure/rfc3339.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/output.h"
#include <stdio.h>

static const char *outcome_name(enum outcome outcome) {
    switch (outcome) {
    case OUTCOME_DONE:
        return "done";
    case OUTCOME_FAILED:
        return "failed";
    case OUTCOME_REDO:
        return "redo";
    case OUTCOME_GONE:
        return "gone";
    }
    return "unknown";
}

/* {"event":NAME,"ts":…,"job":KIND,"upload":…,"chunk":N — the caller goes on. */
static int json_open(struct buf *line, const char *event, const struct ref *ref) {
    char ts[RFC3339_SIZE], hex[ID_HEX_SIZE];
    rfc3339_format(clock_real_us(), ts);
    id_to_hex(&ref->upload, hex);
    int err = buf_addf(line, "{\"event\":\"%s\",\"ts\":\"%s\",\"job\":\"%s\",\"upload\":\"%s\"", event, ts,
                       job_kind_name(ref->kind), hex);
    if (!err && ref->kind == JOB_CHUNK)
        err = buf_addf(line, ",\"chunk\":%u", ref->chunk);
    return err;
}

static int json_text(struct buf *line, const char *name, struct slice text) {
    if (text.len == 0)
        return 0;
    int err = buf_addf(line, ",\"%s\":", name);
    return err ? err : json_add_string_lossy(line, text);
}

static void json_end(struct buf *line, int err) {
    if (!err && !buf_add_text(line, "}\n")) {
        (void)!fwrite(line->data, 1, line->len, stdout);
        output_event();
    }
    buf_release(line);
}

void event_report(const struct uploader *u, const struct result *r) {
    if (log_level() >= LOG_DEBUG)
        log_debug("%s %u of %.*s: %s%s%.*s", job_kind_name(r->ref.kind), r->ref.chunk, (int)r->target.dest.len,
                  r->target.dest.ptr ? r->target.dest.ptr : "", outcome_name(r->outcome), r->error.len ? ": " : "",
                  (int)r->error.len, r->error.ptr ? r->error.ptr : "");
    if (!u->settings->json)
        return;
    struct buf line = BUF_INIT;
    int err = json_open(&line, outcome_name(r->outcome), &r->ref);
    if (!err)
        err = json_text(&line, "dest", r->target.dest);
    if (!err)
        err = buf_addf(&line, ",\"bytes\":%llu,\"ms\":%u", (unsigned long long)r->sent_bytes, r->ms);
    if (!err && r->outcome == OUTCOME_FAILED)
        err = json_text(&line, "class", slice_of(fail_class_name(r->class)));
    if (!err)
        err = json_text(&line, "error", r->error);
    json_end(&line, err);
}

void event_ack(const struct ack *a) {
    char hex[ID_HEX_SIZE];
    if (log_level() < LOG_DEBUG)
        return;
    id_to_hex(&a->ref.upload, hex);
    if (a->kind == ACK_REFUSED)
        log_debug("%s %u of upload %s refused: %s", job_kind_name(a->ref.kind), a->ref.chunk, hex, why_text(a->why));
    else
        log_debug("%s %u of upload %s acknowledged: seq %llu", job_kind_name(a->ref.kind), a->ref.chunk, hex,
                  (unsigned long long)a->seq);
}

void event_retry(const struct uploader *u, const struct task_entry *e, uint32_t wait_ms) {
    const struct job *j = &e->task.job;
    log_debug("%s %u of %.*s: attempt %u failed: %s; again in %u ms", job_kind_name(j->ref.kind), j->ref.chunk,
              (int)j->target.dest.len, j->target.dest.ptr, e->attempts, e->task.result.error, wait_ms);
    if (!u->settings->json)
        return;
    struct buf line = BUF_INIT;
    int err = json_open(&line, "retry", &j->ref);
    if (!err)
        err = buf_addf(&line, ",\"wait_ms\":%u", wait_ms);
    if (!err)
        err = json_text(&line, "error", slice_of(e->task.result.error));
    json_end(&line, err);
}

void event_drop(const struct uploader *u, const struct task_entry *e, enum why why, const char *detail) {
    const struct job *j = &e->task.job;
    if (log_level() >= LOG_DEBUG)
        log_debug("%s %u of %.*s given back: %s%s%s", job_kind_name(j->ref.kind), j->ref.chunk, (int)j->target.dest.len,
                  j->target.dest.ptr, why == WHY_NONE ? "" : why_text(why), why != WHY_NONE && detail ? ": " : "",
                  detail ? detail : "");
    if (!u->settings->json)
        return;
    struct buf line = BUF_INIT;
    int err = json_open(&line, "released", &j->ref);
    if (!err && why != WHY_NONE)
        err = json_text(&line, "why", slice_of(why_text(why)));
    if (!err && detail)
        err = json_text(&line, "detail", slice_of(detail));
    json_end(&line, err);
}

void event_trouble(const struct uploader *u, struct slice place) {
    const struct trouble_entry *t = troubles_block(&u->troubles, place, u->now_ms);
    if (!t || u->settings->for_cp) /* cp says what its files failed for */
        return;
    log_warn("%s: this host cannot serve it: %s; trying again in %u s", t->place, t->error ? t->error : "",
             t->out_ms / 1000);
}

#define LOST_NAMED_MAX 20

static void name_lost(const struct list *list, size_t *named) {
    for (const struct list *n = list->next; n != list && *named < LOST_NAMED_MAX; n = n->next, ++*named) {
        const struct result *r = &list_entry(n, struct report, node)->result;
        char hex[ID_HEX_SIZE];
        id_to_hex(&r->ref.upload, hex);
        log_error("not acknowledged: %s %u of upload %s (%s)", job_kind_name(r->ref.kind), r->ref.chunk, hex,
                  outcome_name(r->outcome));
    }
}

void event_lost(const struct uploader *u) {
    size_t named = 0;
    name_lost(&u->reports.due, &named);
    name_lost(&u->reports.sent, &named);
    if (u->reports.count > named)
        log_error("not acknowledged: %zu more results", u->reports.count - named);
}
