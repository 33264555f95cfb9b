/*
 * RECORDS: events and records of the producer's jobs. Events come first (a grant precedes the record that it led to),
 * then the journal's lines, then the fleet. All of it is idempotent: an event or record can arrive twice, early, late,
 * or for a file that has left, and then changes nothing.
 */
#include "journal/record.h"
#include "producer/planner.h"
#include "pure/arith.h"
#include "system/fault.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#define REFUSED_MIN_MS 50u
#define REFUSED_MAX_MS 5000u
#define LATER_MAX_MS 1000u
#define REFUSED_DOUBLINGS 7u /* of REFUSED_MIN_MS: beyond both maxima */

/* --- events --- */

static uint64_t track_growing_ms(uint32_t times, uint64_t max_ms) {
    uint64_t ms = REFUSED_MIN_MS << MIN(times, REFUSED_DOUBLINGS);
    return MIN(ms, max_ms);
}

static void track_refused_for_good(struct planner *p, struct file *f, enum why why, uint64_t now_ms) {
    char reason[PROTO_TEXT_MAX];
    snprintf(reason, sizeof reason, "the consumer keeps refusing its jobs: %s; run the command again", why_text(why));
    planner_file_given_up(p, f, FAIL_REQUEST, reason, now_ms);
}

/* The consumer does not know the plan: ask again, with growing pauses. */
static void track_refused(struct planner *p, struct file *f, enum why why, uint64_t now_ms) {
    if (f->dropping && !f->drop)
        planner_drop_ended(p, f, NULL, now_ms);
    else if (++f->refusals > REFUSALS_MAX)
        track_refused_for_good(p, f, why, now_ms);
    else
        planner_file_replan(p, f, now_ms + track_growing_ms(f->refusals, REFUSED_MAX_MS));
}

/* "REASON (WORKER)". Without memory the previous detail stays. */
static void track_set_unserved_detail(struct file *f, const struct event *e) {
    struct buf text = BUF_INIT;
    struct slice detail = e->detail.len > 0 ? e->detail : slice_of(why_text(e->why));
    if (text_add_printable(&text, detail) == 0 &&
        (e->worker.len == 0 || (buf_add_text(&text, " (") == 0 && text_add_printable(&text, e->worker) == 0 &&
                                buf_add_text(&text, ")") == 0))) {
        free(f->unserved_detail);
        f->unserved_detail = slice_dup(buf_slice(&text));
    }
    buf_release(&text);
}

/* Rule 2: an uploader cannot serve the file. false: f was freed. A failure at one uploader does not count: another one
 * may serve the file, and the consumer knows when none is left. */
static bool track_note_unserved(struct planner *p, struct file *f, const struct event *e, uint64_t now_ms) {
    if (f->dropping)
        return true;
    const char *difference = e->why == WHY_NO_SOURCE ? planner_source_difference(f) : NULL;
    if (difference) {
        planner_file_differs(p, f, difference, now_ms);
        return false;
    }
    if (f->unserved_since_ms == 0)
        f->unserved_since_ms = now_ms;
    if (e->class)
        f->unserved_class = e->class;
    f->unserved_count += !e->class;
    track_set_unserved_detail(f, e);
    p->unserved_due_ms = now_ms;
    return true;
}

/* The job is granted each time before an uploader finds that it cannot serve it: pauses grow with the time so far. */
static uint64_t track_unserved_pause_ms(const struct file *f, uint64_t now_ms) {
    uint64_t ms = REFUSED_MIN_MS + (now_ms - f->unserved_since_ms) / 4;
    return MIN(ms, REFUSED_MAX_MS);
}

static void track_released(struct planner *p, struct offer *offer, const struct event *e, uint64_t now_ms) {
    uint64_t wait_ms = 0;
    switch (e->why) {
    case WHY_NOT_HERE:
    case WHY_NO_SOURCE:
        if (!track_note_unserved(p, offer->file, e, now_ms))
            return;
        wait_ms =
            e->class ? track_growing_ms(offer->refused, LATER_MAX_MS) : track_unserved_pause_ms(offer->file, now_ms);
        break;
    case WHY_BACKOFF:
        wait_ms = e->after_ms;
        break;
    case WHY_FULL_SLOTS: /* the window was too wide: the file offers the job again when there is room */
        jobs_give_back(p, offer);
        return;
    default:
        break;
    }
    offers_wait(&p->offers, offer, now_ms + wait_ms, now_ms);
}

static void track_denied(struct planner *p, struct offer *offer, const struct event *e, uint64_t now_ms) {
    if (offer->state == OFFER_LEASED && !offer->until)
        return; /* for an older copy of the offer: the lease is valid */
    switch (e->why) {
    case WHY_UNKNOWN:
    case WHY_STALE:
    case WHY_ENDED:
        if (job_kind_asks(offer->ref.kind))
            break;
        track_refused(p, offer->file, e->why, now_ms);
        return;
    default:
        break;
    }
    uint64_t wait_ms = e->after_ms ? e->after_ms : track_growing_ms(offer->refused, LATER_MAX_MS);
    offers_wait(&p->offers, offer, now_ms + wait_ms, now_ms);
}

static const char *track_object_difference(const struct file *f, const struct event *e) {
    if (!e->exists)
        return "is missing";
    if (e->size != f->id.size)
        return "has another size";
    bool known = e->etag.len > 0 && f->record_etag;
    return known && !slice_equal(e->etag, slice_of(f->record_etag)) ? "was replaced, its ETag is another one" : NULL;
}

void track_object(struct planner *p, struct file *f, const char *difference, uint64_t now_ms) {
    if (!difference)
        planner_file_skipped(p, f);
    else if (f->aborts++ >= RESTARTS_MAX)
        planner_file_failed(p, f, FAIL_INTEGRITY,
                            "its object, uploaded according to the journal, disappears repeatedly at the destination; "
                            "look for a cleanup rule there");
    else {
        if (p->check_dest)
            planner_notice(p, "%s: %s; it is sent again", f->dest, difference);
        planner_file_restart(p, f, now_ms);
        f->missing = true;
    }
}

/* Rule 12: the first lease of the job stays valid. */
static void track_hedged(struct planner *p, const struct file *f, const struct event *e) {
    struct producer_file_view view;
    if (e->kind != EVENT_GRANTED)
        return;
    planner_view_file(f, &view);
    if (p->events.lease_hedged)
        p->events.lease_hedged(p->events.arg, &view, e->ref.chunk, e->worker);
}

static int track_event(struct planner *p, const struct event *e, uint64_t now_ms) {
    struct file *f = files_find(&p->files, &e->ref.upload);
    struct offer *offer;
    if (!f || !jobs_is_current(f, &e->ref))
        return 0;
    if (e->second) {
        track_hedged(p, f, e);
        return 0;
    }
    int err = jobs_take(p, f, &e->ref, &offer);
    if (err)
        return err == ERR_LIMIT ? 0 : err;
    switch (e->kind) {
    case EVENT_GRANTED:
        offers_granted(&p->offers, offer, now_ms);
        break;
    case EVENT_RELEASED:
        track_released(p, offer, e, now_ms);
        break;
    case EVENT_EXPIRED: /* its uploader may be stuck: jobs_copies sends the offer to others too */
        offer->refused++;
        offers_wait(&p->offers, offer, now_ms, now_ms);
        break;
    case EVENT_DENIED:
        track_denied(p, offer, e, now_ms);
        break;
    case EVENT_CHECKED:
        if (e->ref.kind == JOB_STAT)
            track_object(p, f, track_object_difference(f, e), now_ms);
        else if (job_kind_asks(e->ref.kind))
            return inspect_take_answer(p, f, e, offer, now_ms);
        break;
    }
    return 0;
}

/* --- records --- */

static void track_drop_job(struct planner *p, const struct file *f, enum job_kind kind, uint32_t chunk) {
    struct ref ref = {.kind = kind, .upload = f->upload, .chunk = chunk};
    struct offer *offer = offers_find(&p->offers, &ref);
    if (offer)
        jobs_give_back(p, offer);
}

/* An uploader can serve it after all. */
static void file_note_progress(struct file *f) {
    f->unserved_since_ms = 0;
    f->unserved_count = 0;
    f->unserved_class = FAIL_NONE;
    f->unserved_reported = false;
    f->refusals = 0;
}

static int track_begin(struct planner *p, struct file *f, const struct record *r, uint64_t now_ms) {
    struct geometry geometry = {.size = f->id.size, .chunk_size = r->chunk_size, .chunks = r->chunks};
    if (f->stream)
        geometry = *file_stream_geometry(f);
    if (f->state != FILE_BEGIN)
        return 0; /* known already, or part of the next PLANNED */
    offers_forget_file(&p->offers, f);
    file_give_back_all(f);
    int err = r->handle.len > 0 ? file_set_handle(f, r->handle) : ERR_INVALID;
    if (!err)
        err = file_set_geometry(&p->files, f, &geometry, slice_of(NULL));
    if (err == ERR_INVALID) {
        track_refused(p, f, WHY_STALE, now_ms);
        return 0;
    }
    f->checksum = r->has & HAS_CHECKSUM ? CHECKSUM_CRC32C_FULL : CHECKSUM_NONE;
    f->state = FILE_CHUNKS;
    file_note_progress(f);
    return err;
}

static void track_chunk(struct planner *p, struct file *f, const struct record *r) {
    struct producer_file_view view;
    if (!file_chunk_set_done(f, r->chunk))
        return;
    uint64_t length = geometry_length(&f->geometry, r->chunk);
    p->stats.bytes_done += length;
    p->stats.bytes_sent_now += length;
    file_note_progress(f);
    track_drop_job(p, f, JOB_CHUNK, r->chunk);
    FAULT_POINT(chunk_seen);
    planner_view_file(f, &view);
    if (p->events.file_progress)
        p->events.file_progress(p->events.arg, &view, r->chunk, length, r->worker);
    if (f->state == FILE_CHUNKS && file_is_complete(f)) {
        f->state = FILE_FINISH; /* its uploader compares the source once more */
        FAULT_POINT(chunks_complete);
    }
}

static int track_redo(struct planner *p, struct file *f, const struct record *r, uint64_t now_ms) {
    if (!file_chunk_set_redo(f, r->chunk))
        return 0;
    uint64_t length = geometry_length(&f->geometry, r->chunk);
    p->stats.bytes_done -= length;
    if (!f->resumed && p->stats.bytes_sent_now >= length) /* its record was made in this run */
        p->stats.bytes_sent_now -= length;
    if (f->state == FILE_FINISH) {
        track_drop_job(p, f, JOB_FINISH, 0);
        f->state = FILE_CHUNKS;
    }
    if (f->stream && !stream_bytes(f->stream, geometry_offset(&f->geometry, r->chunk), 1))
        return planner_stream_failed(p, f, "the destination lost a part of it, which cannot be read again", now_ms);
    return 0;
}

/* A difference that the producer sees itself goes before the uploader's sentence: a file that is gone, for example, can
 * also not be read. */
static void track_fail(struct planner *p, struct file *f, const struct record *r, uint64_t now_ms) {
    enum fail_class class = fail_class_from_name(r->class);
    bool of_source = class == FAIL_CHANGED || class == FAIL_SOURCE;
    const char *difference = of_source ? planner_source_difference(f) : NULL;
    char reason[PROTO_TEXT_MAX];
    snprintf(reason, sizeof reason, "%.*s", (int)r->error.len, r->error.len ? r->error.ptr : "");
    if (difference) {
        planner_file_differs(p, f, difference, now_ms);
    } else if (class == FAIL_CHANGED) {
        planner_file_changed(p, f, reason, now_ms);
    } else if (fail_class_spoils(class)) {
        planner_file_spoiled(p, f, class, reason, now_ms);
    } else {
        planner_file_given_up(p, f, class ? class : FAIL_REQUEST, reason, now_ms);
    }
}

/* Records of the upload that is being dropped. Its last chunks may still be recorded, or fail for the same reason. */
static void track_dropping(struct planner *p, struct file *f, const struct record *r, uint64_t now_ms) {
    enum fail_class class = r->ev == EV_FAIL ? fail_class_from_name(r->class) : FAIL_NONE;
    char why[PROTO_TEXT_MAX];
    snprintf(why, sizeof why, "%.*s", (int)r->error.len, r->error.len ? r->error.ptr : "");
    if (r->ev == EV_ABORT || r->ev == EV_FINISH)
        planner_drop_ended(p, f, NULL, now_ms);
    else if (r->ev != EV_FAIL || class == FAIL_CHANGED || class == FAIL_SOURCE)
        return;
    else if (f->drop)
        planner_file_failed(p, f, class, "%s", why);
    else
        planner_drop_ended(p, f, why, now_ms);
}

/* The upload that this file waited for has ended: its own can begin. */
static void track_superseded_ended(struct planner *p, struct file *f) {
    offers_forget_file(&p->offers, f);
    f->taken_single = false;
    file_clear_superseded(f);
    f->state = f->put ? FILE_PUT : FILE_BEGIN;
    file_note_progress(f);
}

static void track_abort(struct planner *p, struct file *f, const struct record *r, uint64_t now_ms) {
    if (slice_equal(r->reason, slice_of(RECORD_SUPERSEDED)))
        planner_file_failed(p, f, FAIL_SUPERSEDED, "another source took its destination; re-run to upload it again");
    else if (f->aborts++ >= RESTARTS_MAX)
        planner_file_failed(p, f, FAIL_OUTAGE, "the destination dropped its upload %u times (%.*s)", f->aborts,
                            (int)r->reason.len, r->reason.len ? r->reason.ptr : "");
    else if (f->stream && stream_has_released(f->stream))
        planner_file_failed(p, f, FAIL_DEST, "the destination dropped its upload (%.*s); run the command again",
                            (int)r->reason.len, r->reason.len ? r->reason.ptr : "");
    else
        planner_file_restart(p, f, now_ms);
}

static int track_record(struct planner *p, const struct record *r, uint64_t now_ms) {
    struct file *f = r->has & HAS_UPLOAD ? files_find(&p->files, &r->upload) : NULL;
    if (!f)
        return 0;
    if (r->ev != EV_FAIL)
        p->progress_ms = now_ms;
    if (f->dropping || f->drop) {
        track_dropping(p, f, r, now_ms);
        return 0;
    }
    if (!id_equal(&f->upload, &r->upload)) { /* the upload to abort first */
        if (r->ev == EV_ABORT || r->ev == EV_FINISH || r->ev == EV_PUT)
            track_superseded_ended(p, f);
        else if (r->ev == EV_FAIL)
            track_fail(p, f, r, now_ms);
        return 0;
    }
    if (f->checking) { /* a finished upload: all that matters is that its object cannot be looked up */
        if (r->ev == EV_FAIL)
            track_fail(p, f, r, now_ms);
        return 0;
    }
    switch (r->ev) {
    case EV_BEGIN:
        return track_begin(p, f, r, now_ms);
    case EV_CHUNK:
        track_chunk(p, f, r);
        break;
    case EV_REDO:
        return track_redo(p, f, r, now_ms);
    case EV_PUT:
        FAULT_POINT_AS(end_seen, "put");
        p->stats.bytes_sent_now += f->id.size;
        planner_file_done(p, f, now_ms);
        break;
    case EV_FINISH:
        FAULT_POINT_AS(end_seen, "finish");
        planner_file_done(p, f, now_ms);
        break;
    case EV_FAIL:
        track_fail(p, f, r, now_ms);
        break;
    case EV_ABORT:
        track_abort(p, f, r, now_ms);
        break;
    default:
        break;
    }
    return 0;
}

static int track_lines(struct planner *p, struct slice lines, uint64_t now_ms) {
    while (lines.len > 0) {
        const char *end = memchr(lines.ptr, '\n', lines.len);
        size_t len = end ? (size_t)(end - lines.ptr) : lines.len;
        struct record r;
        int err = record_parse(slice_make(lines.ptr, len), &r, &p->scratch);
        if (!err)
            err = track_record(p, &r, now_ms);
        if (err && err != ERR_VERSION) /* an event of a later version is ignored */
            return err;
        lines.ptr += end ? len + 1 : len;
        lines.len -= end ? len + 1 : len;
    }
    return 0;
}

/* --- the message --- */

static void track_fleet(struct planner *p, const struct msg_records *m, uint64_t now_ms) {
    if (m->fleet.uploaders < p->fleet.uploaders)
        offers_reoffer_soon(&p->offers, now_ms);
    if (m->fleet.uploaders > p->stats.uploaders && p->stats.uploaders > 0 && m->fleet.free > 0)
        offers_reoffer_now(&p->offers, now_ms);
    p->stats.uploaders = m->fleet.free > 0 ? m->fleet.uploaders /* a new uploader counts once its slots do */
                                           : MIN(m->fleet.uploaders, p->stats.uploaders);
    p->fleet = m->fleet;
    if (p->base.epoch != m->epoch) { /* the consumer restarted, and its counters with it */
        p->base.epoch = m->epoch;
        p->base.bytes = m->fleet.resent_bytes;
        p->base.hedged_bytes = m->fleet.hedged_bytes;
        p->base.retries = m->fleet.retries;
    }
    p->stats.bytes_resent += sub_or_zero(m->fleet.resent_bytes, p->base.bytes);
    p->stats.bytes_hedged += sub_or_zero(m->fleet.hedged_bytes, p->base.hedged_bytes);
    p->stats.retries += sub_or_zero(m->fleet.retries, p->base.retries);
    p->base.bytes = m->fleet.resent_bytes;
    p->base.hedged_bytes = m->fleet.hedged_bytes;
    p->base.retries = m->fleet.retries;
    p->stats.bytes_moving = m->fleet.moving_bytes;
    p->stats.slots = m->fleet.slots;
    p->stats.free = m->fleet.free;
    p->stats.local_uploaders = m->fleet.local_uploaders;
    p->stats.outage_ms = m->fleet.outage_ms;
    p->stats.outage_uploaders = m->fleet.outage_uploaders;
    snprintf(p->stats.outage, sizeof p->stats.outage, "%.*s", (int)MIN(m->fleet.outage.len, 255),
             m->fleet.outage.len ? m->fleet.outage.ptr : "");
    p->fleet.outage = slice_of(""); /* the message is freed afterwards */
}

int track_records(struct planner *p, uint64_t now_ms, const struct msg_records *m) {
    int err = 0;
    track_fleet(p, m, now_ms);
    hedge_note_slow(p, m->slow, m->slow_count);
    for (size_t i = 0; !err && i < m->event_count; i++)
        err = track_event(p, &m->events[i], now_ms);
    if (!err)
        err = track_lines(p, m->lines, now_ms);
    if (!err && m->resync)
        planner_replan_all(p, now_ms);
    return err;
}
