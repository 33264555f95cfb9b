/* The log lines and JSON events of an uploader. Each JSON event is about one job. */
#include "uploader/uploader_internal.h"

#include "system/clock.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"

#define LOST_NAMED_MAX 20

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

/* --- JSON --- */

static void event_begin(struct json_line *l, const char *event, const struct ref *ref) {
    json_line_begin(l, event);
    json_line_time(l, "ts", clock_real_us());
    json_line_text(l, "job", slice_of(job_kind_name(ref->kind)));
    json_line_id(l, "upload", &ref->upload);
    if (ref->kind == JOB_CHUNK)
        json_line_number(l, "chunk", ref->chunk);
}

static void event_text(struct json_line *l, const char *key, struct slice text) {
    if (text.len > 0)
        json_line_text(l, key, text);
}

static void event_end(struct json_line *l) {
    if (json_line_end(l) == 0)
        output_event();
}

/* --- events --- */

void event_report(const struct uploader *u, const struct result *r) {
    if (log_level() >= LOG_DEBUG)
        log_debug("%s %u of %.*s: %s%s%.*s", job_kind_name(r->ref.kind), r->ref.chunk, (int)r->target.dest.len,
                  r->target.dest.ptr ? r->target.dest.ptr : "", outcome_name(r->outcome), r->error.len ? ": " : "",
                  (int)r->error.len, r->error.ptr ? r->error.ptr : "");
    if (!u->settings->json)
        return;
    struct json_line line;
    event_begin(&line, outcome_name(r->outcome), &r->ref);
    event_text(&line, "dest", r->target.dest);
    json_line_number(&line, "bytes", r->sent_bytes);
    json_line_number(&line, "ms", r->ms);
    if (r->outcome == OUTCOME_FAILED)
        event_text(&line, "class", slice_of(fail_class_name(r->class)));
    event_text(&line, "error", r->error);
    event_end(&line);
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
    struct json_line line;
    event_begin(&line, "retry", &j->ref);
    json_line_number(&line, "wait_ms", wait_ms);
    event_text(&line, "error", slice_of(e->task.result.error));
    event_end(&line);
}

void event_drop(const struct uploader *u, const struct task_entry *e, enum why why, const char *detail) {
    const struct job *j = &e->task.job;
    if (log_level() >= LOG_DEBUG)
        log_debug("%s %u of %.*s given back: %s%s%s", job_kind_name(j->ref.kind), j->ref.chunk, (int)j->target.dest.len,
                  j->target.dest.ptr, why == WHY_NONE ? "" : why_text(why), why != WHY_NONE && detail ? ": " : "",
                  detail ? detail : "");
    if (!u->settings->json)
        return;
    struct json_line line;
    event_begin(&line, "released", &j->ref);
    if (why != WHY_NONE)
        event_text(&line, "why", slice_of(why_text(why)));
    event_text(&line, "detail", slice_of(detail));
    event_end(&line);
}

void event_trouble(const struct uploader *u, struct slice location) {
    const struct trouble_entry *t = troubles_block(&u->troubles, location, u->now_ms);
    if (!t || u->settings->for_cp) /* cp reports why its files failed */
        return;
    log_warn("%s: this host cannot serve it: %s; trying again in %u s", t->location, t->error ? t->error : "",
             t->out_ms / 1000);
}

/* --- results that are lost --- */

static void log_lost(const struct list *list, size_t *named) {
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
    log_lost(&u->reports.due, &named);
    log_lost(&u->reports.sent, &named);
    if (u->reports.count > named)
        log_error("not acknowledged: %zu more results", u->reports.count - named);
}
