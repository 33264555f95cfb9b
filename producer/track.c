/*
 * RECORDS: what happened to our jobs. Events first (a grant comes before the record it led to), then the journal's
 * lines, then the fleet. Everything is idempotent: a record or event may come twice, early, late, or for a file that is
 * gone, and changes nothing then.
 */
#include "journal/record.h"
#include "producer/planner.h"
#include "system/fault.h"
#include <stdio.h>
#include <stdlib.h>

#define REFUSED_MIN_MS 50u
#define REFUSED_MAX_MS 5000u
#define LATER_MAX_MS 1000u

/* --- events --- */

static uint64_t growing_ms(uint32_t times, uint64_t max_ms) {
    uint64_t ms = REFUSED_MIN_MS;
    for (uint32_t i = 0; i < times && ms < max_ms; i++)
        ms *= 2;
    return ms < max_ms ? ms : max_ms;
}

/* The plan is not what the consumer knows: ask again, in growing steps. */
static void refused(struct core *c, struct file *f, enum why why, uint64_t now_ms) {
    if (f->dropping && !f->drop)
        core_drop_ended(c, f, NULL, now_ms);
    else if (++f->refusals > REFUSALS_MAX)
        core_file_failed(c, f, FAIL_REQUEST, "the consumer keeps refusing its jobs: %s", why_text(why));
    else
        core_plan_again(c, f, now_ms + growing_ms(f->refusals, REFUSED_MAX_MS));
}

/* Rule 2. false: the file left. */
static bool note_nobody(struct core *c, struct file *f, const struct event *e, uint64_t now_ms) {
    if (f->dropping)
        return true;
    const char *difference = e->why == WHY_NO_SOURCE ? core_source_difference(f) : NULL;
    if (difference) {
        core_source_changed(c, f, difference, now_ms);
        return false;
    }
    if (f->nobody_since_ms == 0)
        f->nobody_since_ms = now_ms;
    if (e->klass)
        f->nobody_klass = e->klass;
    f->nobody_count +=
        !e->klass; /* what failed there may be done by another one: the consumer knows when none is left */
    struct buf text = BUF_INIT;
    struct slice detail = e->detail.len > 0 ? e->detail : slice_of(why_text(e->why));
    if (text_add_printable(&text, detail) == 0 &&
        (e->worker.len == 0 || (buf_add_text(&text, " (") == 0 && text_add_printable(&text, e->worker) == 0 &&
                                buf_add_text(&text, ")") == 0))) {
        free(f->nobody_detail);
        f->nobody_detail = slice_dup(buf_slice(&text));
    }
    buf_release(&text);
    c->nobody_due_ms = now_ms;
    return true;
}

/* The job is granted each time before it is found impossible: pauses grow with the time that has gone by. */
static uint64_t nobody_pause_ms(const struct file *f, uint64_t now_ms) {
    uint64_t ms = REFUSED_MIN_MS + (now_ms - f->nobody_since_ms) / 4;
    return ms < REFUSED_MAX_MS ? ms : REFUSED_MAX_MS;
}

static void on_released(struct core *c, struct offer *offer, const struct event *e, uint64_t now_ms) {
    uint64_t wait_ms = 0;
    switch (e->why) {
    case WHY_NOT_HERE:
    case WHY_NO_SOURCE:
        if (!note_nobody(c, offer->file, e, now_ms))
            return;
        wait_ms = e->klass ? growing_ms(offer->refused, LATER_MAX_MS) : nobody_pause_ms(offer->file, now_ms);
        break;
    case WHY_BACKOFF:
        wait_ms = e->after_ms;
        break;
    case WHY_FULL_SLOTS: /* the window was too wide: the job goes back to its file, and comes next when there is room */
        jobs_give_back(c, offer);
        return;
    default:
        break;
    }
    offers_wait(&c->offers, offer, now_ms + wait_ms, now_ms);
}

static void on_denied(struct core *c, struct offer *offer, const struct event *e, uint64_t now_ms) {
    if (offer->state == OFFER_LEASED && !offer->until)
        return; /* an older copy of the offer: the lease stands */
    switch (e->why) {
    case WHY_UNKNOWN:
    case WHY_STALE:
    case WHY_ENDED:
        refused(c, offer->file, e->why, now_ms);
        return;
    default:
        break;
    }
    uint64_t wait_ms = e->after_ms ? e->after_ms : growing_ms(offer->refused, LATER_MAX_MS);
    offers_wait(&c->offers, offer, now_ms + wait_ms, now_ms);
}

static void on_checked(struct core *c, struct file *f, const struct event *e, uint64_t now_ms) {
    if (e->exists && e->size == f->id.size)
        core_file_skipped(c, f);
    else if (f->aborts++ >= RESTARTS_MAX)
        core_file_failed(c, f, FAIL_INTEGRITY,
                         "parts that the journal shows as uploaded disappear again and again at the destination; look "
                         "for a cleanup rule there");
    else {
        core_start_over(c, f, now_ms);
        f->missing = true;
    }
}

/* Rule 12. */
static void on_second(struct core *c, const struct file *f, const struct event *e) {
    struct producer_file_view view;
    if (e->kind != EVENT_GRANTED)
        return;
    core_view(f, &view);
    if (c->events.second_lease)
        c->events.second_lease(c->events.arg, &view, e->ref.chunk, e->worker);
}

static int on_event(struct core *c, const struct event *e, uint64_t now_ms) {
    struct file *f = files_find(&c->files, &e->ref.upload);
    struct offer *offer;
    if (!f || !jobs_is_current(f, &e->ref))
        return 0;
    if (e->second) { /* the lease that is known of stands */
        on_second(c, f, e);
        return 0;
    }
    int err = jobs_take(c, f, &e->ref, &offer);
    if (err)
        return err == ERR_LIMIT ? 0 : err;
    switch (e->kind) {
    case EVENT_GRANTED:
        offers_granted(&c->offers, offer, now_ms);
        break;
    case EVENT_RELEASED:
        on_released(c, offer, e, now_ms);
        break;
    case EVENT_EXPIRED: /* the one it was taken from may be stuck: not to that one alone */
        offer->refused++;
        offers_wait(&c->offers, offer, now_ms, now_ms);
        break;
    case EVENT_DENIED:
        on_denied(c, offer, e, now_ms);
        break;
    case EVENT_CHECKED:
        if (e->ref.kind == JOB_HEAD)
            on_checked(c, f, e, now_ms);
        break;
    }
    return 0;
}

/* --- records --- */

static void drop_job(struct core *c, const struct file *f, enum job_kind kind, uint32_t chunk) {
    struct ref ref = {.kind = kind, .upload = f->upload, .chunk = chunk};
    struct offer *offer = offers_find(&c->offers, &ref);
    if (offer)
        jobs_give_back(c, offer);
}

/* Somebody can do it after all. */
static void note_progress(struct file *f) {
    f->nobody_since_ms = 0;
    f->nobody_count = 0;
    f->nobody_klass = FAIL_NONE;
    f->nobody_said = false;
    f->refusals = 0;
}

static int on_begin(struct core *c, struct file *f, const struct record *r, uint64_t now_ms) {
    struct geometry shape = {.size = f->id.size, .chunk_size = r->chunk_size, .chunks = r->chunks};
    if (f->state != FILE_BEGIN)
        return 0; /* known already, or PLANNED will tell */
    offers_forget_file(&c->offers, f);
    file_give_back_all(f);
    int err = r->has & HAS_HANDLE && r->handle.len > 0 ? file_set_handle(f, r->handle) : ERR_INVALID;
    if (err == 0)
        err = file_set_shape(&c->files, f, &shape, slice_of(NULL));
    if (err == ERR_INVALID) {
        refused(c, f, WHY_STALE, now_ms);
        return 0;
    }
    f->checksum = r->has & HAS_CHECKSUM ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE;
    f->state = FILE_CHUNKS;
    note_progress(f);
    return err;
}

static void on_chunk(struct core *c, struct file *f, const struct record *r) {
    struct producer_file_view view;
    if (!file_chunk_set_done(f, r->chunk))
        return;
    uint64_t length = geometry_length(&f->shape, r->chunk);
    c->counts.bytes_done += length;
    c->counts.bytes_sent_now += length;
    note_progress(f);
    drop_job(c, f, JOB_CHUNK, r->chunk);
    FAULT_POINT(chunk_seen);
    core_view(f, &view);
    if (c->events.file_progress)
        c->events.file_progress(c->events.arg, &view, r->chunk, length, r->worker);
    if (f->state == FILE_CHUNKS && file_is_complete(f)) {
        f->state = FILE_FINISH; /* whoever does that looks at the source again */
        FAULT_POINT(chunks_complete);
    }
}

static void on_redo(struct core *c, struct file *f, const struct record *r) {
    if (!file_chunk_set_redo(f, r->chunk))
        return;
    uint64_t length = geometry_length(&f->shape, r->chunk);
    c->counts.bytes_done -= length;
    if (!f->resumed && c->counts.bytes_sent_now >= length) /* its record is of this run */
        c->counts.bytes_sent_now -= length;
    if (f->state == FILE_FINISH) {
        drop_job(c, f, JOB_FINISH, 0);
        f->state = FILE_CHUNKS;
    }
}

/* What changed, of an uploader's sentence "changed while it was uploaded (mtime moved)". */
static struct slice reason_of(struct slice error) {
    static const char start[] = "changed while it was uploaded (";
    size_t len = sizeof start - 1;
    if (error.len <= len || memcmp(error.ptr, start, len) != 0 || error.ptr[error.len - 1] != ')')
        return error;
    return slice_make(error.ptr + len, error.len - len - 1);
}

static void on_fail(struct core *c, struct file *f, const struct record *r, uint64_t now_ms) {
    enum fail_class klass = fail_class_of(r->klass);
    bool of_source = klass == FAIL_CHANGED || klass == FAIL_SOURCE;
    const char *difference = of_source ? core_source_difference(f) : NULL;
    char reason[PROTO_TEXT_MAX];
    snprintf(reason, sizeof reason, "%.*s", (int)r->error.len, r->error.len ? r->error.ptr : "");
    if (klass == FAIL_CHANGED || difference) { /* a file that is gone cannot be read either */
        char what[128];
        struct slice why = reason_of(r->error);
        snprintf(what, sizeof what, "%.*s", (int)why.len, why.len ? why.ptr : "");
        core_source_changed(c, f, difference ? difference : what, now_ms);
    } else if (fail_class_spoils(klass)) {
        core_file_spoiled(c, f, klass, reason, now_ms);
    } else {
        core_file_failed(c, f, klass ? klass : FAIL_REQUEST, "%s", reason);
    }
}

/* Records of the upload that is being dropped. Its last chunks may still come in, or fail for the same reason. */
static void on_dropping(struct core *c, struct file *f, const struct record *r, uint64_t now_ms) {
    enum fail_class klass = r->ev == EV_FAIL ? fail_class_of(r->klass) : FAIL_NONE;
    char why[PROTO_TEXT_MAX];
    snprintf(why, sizeof why, "%.*s", (int)r->error.len, r->error.len ? r->error.ptr : "");
    if (r->ev == EV_ABORT || r->ev == EV_FINISH)
        core_drop_ended(c, f, NULL, now_ms);
    else if (r->ev != EV_FAIL || klass == FAIL_CHANGED || klass == FAIL_SOURCE)
        return;
    else if (f->drop)
        core_file_failed(c, f, klass, "%s", why);
    else
        core_drop_ended(c, f, why, now_ms);
}

/* The upload this file waited for is gone: its own can begin. */
static void superseded_ended(struct core *c, struct file *f) {
    offers_forget_file(&c->offers, f);
    f->taken_single = false;
    memset(&f->superseded, 0, sizeof f->superseded);
    free(f->superseded_handle);
    f->superseded_handle = NULL;
    f->superseded_opened = false;
    f->state = f->put ? FILE_PUT : FILE_BEGIN;
    note_progress(f);
}

static void on_abort(struct core *c, struct file *f, const struct record *r, uint64_t now_ms) {
    if (slice_equal(r->reason, slice_of("superseded")))
        core_file_failed(c, f, FAIL_SUPERSEDED, "another source took its destination; re-run to upload it again");
    else if (f->aborts++ >= RESTARTS_MAX)
        core_file_failed(c, f, FAIL_OUTAGE, "the destination dropped its upload %u times (%.*s)", f->aborts,
                         (int)r->reason.len, r->reason.len ? r->reason.ptr : "");
    else
        core_start_over(c, f, now_ms);
}

static int on_record(struct core *c, const struct record *r, uint64_t now_ms) {
    struct file *f = r->has & HAS_UPLOAD ? files_find(&c->files, &r->upload) : NULL;
    if (!f)
        return 0;
    if (r->ev != EV_FAIL)
        c->progress_ms = now_ms;
    if (f->dropping || f->drop) {
        on_dropping(c, f, r, now_ms);
        return 0;
    }
    if (!id_equal(&f->upload, &r->upload)) { /* the upload in the way */
        if (r->ev == EV_ABORT || r->ev == EV_FINISH || r->ev == EV_PUT)
            superseded_ended(c, f);
        else if (r->ev == EV_FAIL) /* it cannot be got out of the way */
            on_fail(c, f, r, now_ms);
        return 0;
    }
    if (f->checking) { /* an old upload's record; only its object matters, and that it cannot be looked at */
        if (r->ev == EV_FAIL)
            on_fail(c, f, r, now_ms);
        return 0;
    }
    switch (r->ev) {
    case EV_BEGIN:
        return on_begin(c, f, r, now_ms);
    case EV_CHUNK:
        on_chunk(c, f, r);
        break;
    case EV_REDO:
        on_redo(c, f, r);
        break;
    case EV_PUT:
        FAULT_POINT_AS(end_seen, "put");
        c->counts.bytes_sent_now += f->id.size;
        core_file_done(c, f, now_ms);
        break;
    case EV_FINISH:
        FAULT_POINT_AS(end_seen, "finish");
        core_file_done(c, f, now_ms);
        break;
    case EV_FAIL:
        on_fail(c, f, r, now_ms);
        break;
    case EV_ABORT:
        on_abort(c, f, r, now_ms);
        break;
    default:
        break;
    }
    return 0;
}

static int read_lines(struct core *c, struct slice lines, uint64_t now_ms) {
    while (lines.len > 0) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t len = end ? (size_t)(end - lines.ptr) : lines.len;
        struct record r;
        int err = record_parse(slice_make(lines.ptr, len), &r, &c->scratch);
        if (err == 0)
            err = on_record(c, &r, now_ms);
        if (err && err != ERR_VERSION) /* an event of a later version says nothing to us */
            return err;
        lines.ptr += end ? len + 1 : len;
        lines.len -= end ? len + 1 : len;
    }
    return 0;
}

/* --- all together --- */

static void note_fleet(struct core *c, const struct msg_records *m, uint64_t now_ms) {
    if (m->fleet.uploaders < c->fleet.uploaders)
        offers_hurry(&c->offers, now_ms);
    if (m->fleet.uploaders > c->counts.uploaders && c->counts.uploaders > 0 && m->fleet.free > 0)
        offers_hasten(&c->offers, now_ms);
    if (m->fleet.uploaders <= c->counts.uploaders || m->fleet.free > 0)
        c->counts.uploaders = m->fleet.uploaders; /* one that came counts once its places do */
    c->fleet = m->fleet;
    if (c->base.epoch != m->epoch) { /* counters of a consumer that started anew */
        c->base.epoch = m->epoch;
        c->base.bytes = m->fleet.again_bytes;
        c->base.retries = m->fleet.retries;
    }
    if (m->fleet.again_bytes > c->base.bytes)
        c->counts.bytes_again += m->fleet.again_bytes - c->base.bytes;
    if (m->fleet.retries > c->base.retries)
        c->counts.retries += m->fleet.retries - c->base.retries;
    c->base.bytes = m->fleet.again_bytes;
    c->base.retries = m->fleet.retries;
    c->counts.bytes_moving = m->fleet.moving_bytes;
    c->counts.slots = m->fleet.slots;
    c->counts.free = m->fleet.free;
    c->counts.local_uploaders = m->fleet.local_uploaders;
    c->counts.outage_ms = m->fleet.outage_ms;
    c->counts.outage_uploaders = m->fleet.outage_uploaders;
    snprintf(c->counts.outage, sizeof c->counts.outage, "%.*s",
             (int)(m->fleet.outage.len < 255 ? m->fleet.outage.len : 255),
             m->fleet.outage.len ? m->fleet.outage.ptr : "");
    c->fleet.outage = slice_of(""); /* the message is gone when this returns */
}

int track_records(struct core *c, uint64_t now_ms, const struct msg_records *m) {
    int err = 0;
    note_fleet(c, m, now_ms);
    second_note(c, m->slow, m->slow_count);
    for (size_t i = 0; err == 0 && i < m->event_count; i++)
        err = on_event(c, &m->events[i], now_ms);
    if (err == 0)
        err = read_lines(c, m->lines, now_ms);
    if (err == 0 && m->resync)
        core_plan_all_again(c, now_ms);
    return err;
}
