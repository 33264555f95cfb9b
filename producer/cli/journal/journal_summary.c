#include "producer/cli/journal/journal_summary.h"

#include "journal/records.h"
#include "pure/array.h"
#include "pure/bitmap.h"
#include "pure/hash.h"
#include "pure/job.h"
#include "pure/list.h"
#include <stdlib.h>
#include <sys/param.h>

struct entry { /* an upload that has not ended */
    struct upload_summary sum;
    uint8_t *done; /* a bitmap of its chunks; NULL before begin */
    struct hash_node by_id;
    struct list in_order;
};

struct reading {
    struct hash_table by_id;
    struct list in_order; /* the same entries, oldest first */
    struct journal_totals *totals;
    int (*each)(void *arg, const struct upload_summary *u);
    void *arg;
    bool dropped; /* the journal's first files were removed: carry records count */
};

const char *upload_state_name(enum upload_state state) {
    static const char *const names[] = {"unfinished", "finished", "failed", "aborted", "deleted"};
    return names[state];
}

static struct entry *entry_find(const struct reading *in, const struct id128 *id) {
    for (struct hash_node *n = hash_first(&in->by_id, id_hash(id)); n; n = hash_next(n)) {
        struct entry *e = list_entry(n, struct entry, by_id);
        if (id_equal(&e->sum.id, id))
            return e;
    }
    return NULL;
}

static int entry_add(struct reading *in, const struct id128 *id, struct entry **out) {
    struct entry *e = *out = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->sum.id = *id;
    hash_insert(&in->by_id, &e->by_id, id_hash(id));
    list_add(&in->in_order, &e->in_order);
    return 0;
}

static void entry_set_text(struct slice *field, struct slice value) {
    free((char *)field->ptr);
    char *copy = slice_dup(value);
    *field = slice_make(copy, copy ? value.len : 0); /* without memory: empty; the next entry then fails */
}

static void entry_remove(struct reading *in, struct entry *e) {
    hash_remove(&in->by_id, &e->by_id);
    list_remove(&e->in_order);
    struct upload_summary *u = &e->sum;
    const struct slice *texts[] = {&u->src,   &u->dest,  &u->endpoint, &u->handle, &u->etag,
                                   &u->class, &u->error, &u->failure,  NULL};
    for (const struct slice **text = texts; *text; text++)
        free((char *)(*text)->ptr);
    free(e->done);
    free(e);
}

static void entry_set_names(struct entry *e, const struct record *r) {
    if (r->has & HAS_SRC)
        entry_set_text(&e->sum.src, r->src);
    if (r->has & HAS_DEST)
        entry_set_text(&e->sum.dest, r->dest);
}

static void entry_set_identity(struct entry *e, const struct record *r) {
    entry_set_names(e, r);
    entry_set_text(&e->sum.endpoint, r->endpoint);
    e->sum.size = r->file.size;
}

static int entry_set_geometry(struct entry *e, const struct record *r) {
    struct geometry g = geometry_open(r->file.size, r->chunk_size, r->chunks, r->has & HAS_GROW ? r->grow : 0);
    if (!geometry_is_valid(&g))
        return ERR_INVALID;
    uint8_t *done = array_zeroed(bitmap_size(g.chunks), 1);
    if (!done)
        return ERR_NOMEM;
    free(e->done);
    e->done = done;
    entry_set_text(&e->sum.handle, r->handle);
    e->sum.geometry = g;
    e->sum.begun = true;
    e->sum.open_ended = r->file.size == 0;
    e->sum.done_bytes = 0;
    e->sum.chunks_done = 0;
    return 0;
}

static int entry_set_chunk(struct entry *e, uint32_t chunk, bool done) {
    if (!e->done || chunk >= e->sum.geometry.chunks)
        return ERR_INVALID;
    if (bitmap_get(e->done, chunk) == done)
        return 0;
    uint64_t length = geometry_length(&e->sum.geometry, chunk);
    if (done) {
        bitmap_set(e->done, chunk);
        e->sum.chunks_done++;
        e->sum.done_bytes += length;
    } else {
        bitmap_clear(e->done, chunk);
        e->sum.chunks_done--;
        e->sum.done_bytes -= length;
        e->sum.redone++;
    }
    return 0;
}

/* The last chunk of a stream tells its size. */
static void entry_set_end(struct entry *e, const struct record *r) {
    struct geometry g;
    if (!(r->has & HAS_TOTAL) || !e->sum.open_ended || geometry_end(&e->sum.geometry, r->chunk, r->total, &g))
        return;
    e->sum.geometry = g;
    e->sum.size = r->total;
    e->sum.open_ended = false;
}

static void entry_set_result(struct entry *e, const struct record *r) {
    e->sum.has_crc = (r->has & HAS_CRC) != 0;
    e->sum.crc = r->crc;
    if (r->has & HAS_ETAG)
        entry_set_text(&e->sum.etag, r->etag);
    e->sum.size = r->file.size;
    e->sum.done_bytes = r->file.size;
}

/* The upload ended: counts it, reports it, and removes it. */
static int entry_end(struct reading *in, struct entry *e, enum upload_state state) {
    e->sum.state = state;
    if (state == UPLOAD_FINISHED) {
        in->totals->finished++;
        in->totals->finished_bytes += e->sum.size;
    } else {
        in->totals->aborted++;
    }
    int err = in->each(in->arg, &e->sum);
    entry_remove(in, e);
    return err;
}

static int summary_apply_carry(struct reading *in, struct entry *e, const struct record *r) {
    if (slice_equal(r->kind, slice_of(CARRY_CHUNK))) {
        entry_set_end(e, r);
        return entry_set_chunk(e, r->chunk, true);
    }
    entry_set_identity(e, r);
    e->sum.opened = true;
    if (r->has & HAS_SINCE) { /* the time of the original record */
        e->sum.last_us = r->since_ns / 1000;
        e->sum.first_us = MIN(e->sum.first_us, e->sum.last_us);
    }
    if (slice_equal(r->kind, slice_of(CARRY_UPLOAD)))
        return r->has & HAS_GEOMETRY && !e->done ? entry_set_geometry(e, r) : 0;
    entry_set_result(e, r);
    return entry_end(in, e, UPLOAD_FINISHED);
}

/* After these classes the producer itself ends the upload. After others an abort means that the user gave the file up, or
 * that another source took its destination. */
static bool entry_failed_for_good(const struct entry *e) {
    static const enum fail_class classes[] = {FAIL_CHANGED, FAIL_REQUEST, FAIL_INTEGRITY, FAIL_SUPERSEDED};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (slice_equal(e->sum.class, slice_of(fail_class_name(classes[i]))))
            return true;
    return false;
}

static void entry_set_failure(struct entry *e, const struct record *r) {
    e->sum.state = UPLOAD_FAILED;
    e->sum.failed_us = r->ts_us;
    entry_set_names(e, r);
    entry_set_text(&e->sum.class, r->class);
    entry_set_text(&e->sum.error, r->error);
    entry_set_text(&e->sum.failure, r->error);
}

/* A record after a failure: the upload continued. */
static void entry_note_progress(struct entry *e, const struct record *r) {
    bool ended = r->ev == EV_FAIL || (r->ev == EV_ABORT && entry_failed_for_good(e));
    if (!ended && r->ev != EV_CARRY)
        e->sum.failed_us = 0;
}

static int summary_apply_upload(struct reading *in, struct entry *e, const struct record *r) {
    entry_note_progress(e, r);
    e->sum.forgotten = false;
    e->sum.last_us = r->ts_us;
    if (!e->sum.first_us)
        e->sum.first_us = r->ts_us;
    switch (r->ev) {
    case EV_OPEN:
        entry_set_identity(e, r);
        e->sum.opened = true;
        e->sum.state = UPLOAD_UNFINISHED;
        return 0;
    case EV_BEGIN:
        entry_set_identity(e, r);
        e->sum.opened = true;
        e->sum.state = UPLOAD_UNFINISHED;
        return entry_set_geometry(e, r);
    case EV_CHUNK:
        e->sum.state = UPLOAD_UNFINISHED;
        entry_set_end(e, r);
        return entry_set_chunk(e, r->chunk, true);
    case EV_REDO:
        return entry_set_chunk(e, r->chunk, false);
    case EV_PUT:
        entry_set_identity(e, r);
        e->sum.put = true;
        entry_set_result(e, r);
        return entry_end(in, e, UPLOAD_FINISHED);
    case EV_FINISH:
        entry_set_result(e, r);
        return entry_end(in, e, UPLOAD_FINISHED);
    case EV_FAIL:
        entry_set_failure(e, r);
        return 0;
    case EV_ABORT:
        entry_set_text(&e->sum.error, r->reason);
        return entry_end(in, e, UPLOAD_ABORTED);
    case EV_CARRY:
        return summary_apply_carry(in, e, r);
    default:
        return 0;
    }
}

/* Records that can be the first one of an upload. Other records of an unknown upload came after its
 * end, and are ignored. */
static bool record_introduces_upload(const struct record *r) {
    return r->ev == EV_OPEN || r->ev == EV_BEGIN || r->ev == EV_PUT || r->ev == EV_FAIL ||
           (r->ev == EV_CARRY && !slice_equal(r->kind, slice_of(CARRY_CHUNK)));
}

static void summary_forget(const struct reading *in, const struct id128 *id) {
    struct entry *e = entry_find(in, id);
    if (!e)
        return;
    e->sum.failed_us = 0;
    e->sum.forgotten = true;
}

/* The upload was reported when it finished. */
static int summary_report_deleted(const struct reading *in, const struct record *r) {
    const struct upload_summary u = {.id = r->upload,
                                     .state = UPLOAD_DELETED,
                                     .dest = r->dest,
                                     .endpoint = r->endpoint,
                                     .first_us = r->ts_us,
                                     .last_us = r->ts_us};
    in->totals->deleted++;
    return in->each(in->arg, &u);
}

/* Records that say nothing about the progress of an upload. */
static bool record_is_passed_over(const struct reading *in, const struct record *r) {
    return !(r->has & HAS_UPLOAD) || r->ev == EV_FORGET || r->ev == EV_SAME || r->ev == EV_VERIFIED ||
           r->ev == EV_DELETING || (r->ev == EV_CARRY && !in->dropped);
}

static int summary_apply(struct reading *in, const struct record *r) {
    struct journal_totals *t = in->totals;
    if (t->seq == 0 && r->seq > 1)
        in->dropped = true;
    t->seq = r->seq;
    t->last_us = r->ts_us;
    t->stopped = r->ev == EV_STOP;
    memcpy(t->head, r->h, sizeof t->head);
    if (r->ev == EV_EPOCH)
        t->epoch = r->epoch;
    if (r->ev == EV_FORGET)
        summary_forget(in, &r->upload);
    if (r->ev == EV_DELETE)
        return summary_report_deleted(in, r);
    if (record_is_passed_over(in, r))
        return 0;
    struct entry *e = entry_find(in, &r->upload);
    if (!e && !record_introduces_upload(r))
        return 0;
    int err = e ? 0 : entry_add(in, &r->upload, &e);
    return err ? err : summary_apply_upload(in, e, r);
}

/* The first line that cannot be used is logged; the others are applied. */
static int summary_read_records(struct reading *in, struct journal_records *records) {
    struct record r;
    int err, damage = 0;
    do {
        err = journal_records_next(records, &r);
        if (!err)
            err = summary_apply(in, &r);
        if (err == ERR_INVALID || err == ERR_VERSION || err == ERR_LIMIT) {
            if (!damage || err == ERR_LIMIT)
                damage = journal_records_log_damage(records, err);
            err = err == ERR_LIMIT ? ERR_NOT_FOUND : 0;
        }
    } while (!err);
    return err == ERR_NOT_FOUND ? damage : err;
}

/* Reports the uploads that did not end, oldest first. */
static int summary_report_rest(struct reading *in) {
    for (const struct list *l = in->in_order.next; l != &in->in_order; l = l->next) {
        const struct entry *e = list_entry(l, struct entry, in_order);
        if (e->sum.state == UPLOAD_FAILED)
            in->totals->failed++;
        else
            in->totals->unfinished++;
        int err = in->each(in->arg, &e->sum);
        if (err)
            return err;
    }
    return 0;
}

int journal_summary_read(const char *dir, int (*each)(void *arg, const struct upload_summary *u), void *arg,
                         struct journal_totals *totals) {
    *totals = (struct journal_totals){0};
    struct reading in = {.totals = totals, .each = each, .arg = arg};
    struct journal_records records;
    list_init(&in.in_order);
    int err = journal_records_open(&records, dir);
    if (!err)
        err = summary_read_records(&in, &records);
    if (!err && journal_records_log_missing(&records))
        err = ERR_NOT_FOUND;
    if (!err || err == ERR_DAMAGED) {
        int rest = summary_report_rest(&in);
        err = rest ? rest : err;
    }
    while (!list_is_empty(&in.in_order))
        entry_remove(&in, list_entry(list_first(&in.in_order), struct entry, in_order));
    hash_release(&in.by_id);
    journal_records_close(&records);
    return err;
}
