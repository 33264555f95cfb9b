#include "producer/cli/journal/journal_summary.h"

#include "journal/record.h"
#include "journal/walk.h"
#include "pure/bitmap.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdlib.h>

struct entry { /* an upload that has not ended */
    struct upload_summary sum;
    uint8_t *done; /* one bit a chunk; NULL before begin */
    struct hash_node by_id;
    struct entry *older, *newer;
};

struct table {
    struct hash_table by_id;
    struct entry *oldest, *newest;
};

struct reading {
    struct table table;
    struct journal_totals *totals;
    int (*each)(void *arg, const struct upload_summary *u);
    void *arg;
    bool dropped; /* the journal's first segments are gone: carry records count */
};

const char *upload_state_name(enum upload_state state) {
    static const char *const names[] = {"unfinished", "finished", "failed", "aborted"};
    return names[state];
}

static struct entry *find(const struct table *t, const struct id128 *id) {
    for (struct hash_node *n = hash_first(&t->by_id, id_hash(id)); n; n = hash_next(n)) {
        struct entry *e = list_entry(n, struct entry, by_id);
        if (id_equal(&e->sum.id, id))
            return e;
    }
    return NULL;
}

static int insert(struct table *t, const struct id128 *id, struct entry **out) {
    struct entry *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->sum.id = *id;
    hash_insert(&t->by_id, &e->by_id, id_hash(id));
    e->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = e;
    t->newest = e;
    *out = e;
    return 0;
}

static void set_text(struct slice *field, struct slice value) {
    free((char *)field->ptr);
    char *copy = slice_dup(value);
    *field = slice_make(copy, copy ? value.len : 0); /* out of memory: shown as empty; the table's own memory is next */
}

static void remove_entry(struct table *t, struct entry *e) {
    hash_remove(&t->by_id, &e->by_id);
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
    struct slice *texts[] = {&e->sum.src, &e->sum.dest, &e->sum.endpoint, &e->sum.etag, &e->sum.class, &e->sum.error};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free((char *)texts[i]->ptr);
    free(e->done);
    free(e);
}

static void take_names(struct entry *e, const struct record *r) {
    if (r->has & HAS_SRC)
        set_text(&e->sum.src, r->src);
    if (r->has & HAS_DEST)
        set_text(&e->sum.dest, r->dest);
}

static void take_identity(struct entry *e, const struct record *r) {
    take_names(e, r);
    set_text(&e->sum.endpoint, r->endpoint);
    e->sum.size = r->file.size;
}

static int take_geometry(struct entry *e, const struct record *r) {
    struct geometry g = {.size = r->file.size, .chunk_size = r->chunk_size, .chunks = r->chunks};
    if (!geometry_is_valid(&g))
        return ERR_INVALID;
    uint8_t *done = calloc(bitmap_size(g.chunks) + 1, 1);
    if (!done)
        return ERR_NOMEM;
    free(e->done);
    e->done = done;
    e->sum.geometry = g;
    e->sum.begun = true;
    e->sum.done_bytes = 0;
    e->sum.chunks_done = 0;
    return 0;
}

static int take_chunk(struct entry *e, uint32_t chunk, bool done) {
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

static void take_result(struct entry *e, const struct record *r) {
    e->sum.has_crc = (r->has & HAS_CRC) != 0;
    e->sum.crc = r->crc;
    if (r->has & HAS_ETAG)
        set_text(&e->sum.etag, r->etag);
    e->sum.size = r->file.size;
    e->sum.done_bytes = r->file.size;
}

/* It ended: counted, handed out, forgotten. */
static int end(struct reading *in, struct entry *e, enum upload_state state) {
    e->sum.state = state;
    if (state == UPLOAD_FINISHED) {
        in->totals->finished++;
        in->totals->finished_bytes += e->sum.size;
    } else {
        in->totals->aborted++;
    }
    int err = in->each(in->arg, &e->sum);
    remove_entry(&in->table, e);
    return err;
}

static int apply_carry(struct reading *in, struct entry *e, const struct record *r) {
    if (slice_equal(r->kind, slice_of("chunk")))
        return take_chunk(e, r->chunk, true);
    take_identity(e, r);
    if (r->has & HAS_SINCE) /* when the record it stands for was made */
        e->sum.last_us = r->since_ns / 1000;
    if ((r->has & HAS_SINCE) && e->sum.first_us > e->sum.last_us)
        e->sum.first_us = e->sum.last_us;
    if (slice_equal(r->kind, slice_of("upload")))
        return r->has & HAS_GEOMETRY && !e->done ? take_geometry(e, r) : 0;
    take_result(e, r);
    return end(in, e, UPLOAD_FINISHED);
}

static int apply_upload(struct reading *in, struct entry *e, const struct record *r) {
    e->sum.last_us = r->ts_us;
    if (!e->sum.first_us)
        e->sum.first_us = r->ts_us;
    switch (r->ev) {
    case EV_OPEN:
        take_identity(e, r);
        e->sum.state = UPLOAD_UNFINISHED;
        return 0;
    case EV_BEGIN:
        take_identity(e, r);
        e->sum.state = UPLOAD_UNFINISHED;
        return take_geometry(e, r);
    case EV_CHUNK:
        e->sum.state = UPLOAD_UNFINISHED;
        return take_chunk(e, r->chunk, true);
    case EV_REDO:
        return take_chunk(e, r->chunk, false);
    case EV_PUT:
        take_identity(e, r);
        e->sum.put = true;
        take_result(e, r);
        return end(in, e, UPLOAD_FINISHED);
    case EV_FINISH:
        take_result(e, r);
        return end(in, e, UPLOAD_FINISHED);
    case EV_FAIL:
        e->sum.state = UPLOAD_FAILED;
        take_names(e, r);
        set_text(&e->sum.class, r->class);
        set_text(&e->sum.error, r->error);
        return 0;
    case EV_ABORT:
        set_text(&e->sum.error, r->reason);
        return end(in, e, UPLOAD_ABORTED);
    case EV_CARRY:
        return apply_carry(in, e, r);
    default:
        return 0;
    }
}

/* Records that may be the first that is seen of an upload. Of others an upload ended before: a late one changes
 * nothing. */
static bool introduces(const struct record *r) {
    return r->ev == EV_OPEN || r->ev == EV_BEGIN || r->ev == EV_PUT || r->ev == EV_FAIL ||
           (r->ev == EV_CARRY && !slice_equal(r->kind, slice_of("chunk")));
}

static int apply(struct reading *in, const struct record *r) {
    struct journal_totals *t = in->totals;
    if (t->seq == 0 && r->seq > 1)
        in->dropped = true;
    t->seq = r->seq;
    t->last_us = r->ts_us;
    t->stopped = r->ev == EV_STOP;
    memcpy(t->head, r->h, sizeof t->head);
    if (r->ev == EV_EPOCH)
        t->epoch = r->epoch;
    if (!(r->has & HAS_UPLOAD) || r->ev == EV_FORGET || r->ev == EV_SAME || (r->ev == EV_CARRY && !in->dropped))
        return 0;
    struct entry *e = find(&in->table, &r->upload);
    if (!e && !introduces(r))
        return 0;
    int err = e ? 0 : insert(&in->table, &r->upload, &e);
    return err ? err : apply_upload(in, e, r);
}

static int read_lines(struct reading *in, struct journal_walk *w, const char *dir) {
    struct buf scratch = BUF_INIT;
    struct slice line;
    struct record r;
    int err, damage = 0;
    while (!(err = journal_walk_next(w, &line))) {
        err = record_parse(line, &r, &scratch);
        if (!err && r.seq <= in->totals->seq) /* the file was replaced by a repaired copy of itself meanwhile */
            continue;
        if (!err)
            err = apply(in, &r);
        if (err == ERR_INVALID || err == ERR_VERSION) {
            if (!damage)
                log_error("%s/%s:%" PRIu64 ": %s; 'chunklift journal verify' tells more", dir, journal_walk_file(w),
                          journal_walk_line_number(w),
                          err == ERR_VERSION ? "written by a newer version" : "not a valid line, left out");
            damage = ERR_DAMAGED;
        } else if (err) {
            break;
        }
    }
    if (err == ERR_LIMIT) {
        log_error("%s/%s:%" PRIu64 ": line too long, reading ends here; 'chunklift journal verify' tells more", dir,
                  journal_walk_file(w), journal_walk_line_number(w) + 1);
        err = ERR_DAMAGED;
    }
    buf_release(&scratch);
    return err == ERR_NOT_FOUND ? damage : err;
}

/* Those that never ended, oldest first. */
static int hand_out_rest(struct reading *in) {
    for (const struct entry *e = in->table.oldest; e; e = e->newer) {
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
    struct journal_walk *w = NULL;
    int err = journal_walk_open(&w, dir);
    if (!err)
        err = read_lines(&in, w, dir);
    if (!err && journal_walk_files(w) == 0) {
        log_error("%s: no journal in this directory", dir);
        err = ERR_NOT_FOUND;
    }
    if (!err || err == ERR_DAMAGED) {
        int rest = hand_out_rest(&in);
        err = rest ? rest : err;
    }
    while (in.table.oldest)
        remove_entry(&in.table, in.table.oldest);
    hash_release(&in.table.by_id);
    journal_walk_close(&w);
    return err;
}
