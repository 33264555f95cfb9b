#include "consumer/offline/carry.h"

#include "journal/walk.h"
#include <stdlib.h>

/* ---- unfinished ---- */

uint64_t carried_first_seq(const struct upload *u) {
    return u->begun && !u->reopened ? u->begin_seq : u->open_seq; /* `begin` says all that one `open` said */
}

/* A carry that was interrupted may have said the upload again and not all of its chunks. */
bool carried_needs(const struct upload *u, uint64_t seq) {
    if (!u->opened || carried_first_seq(u) <= seq)
        return u->opened;
    const struct chunk_info *info;
    for (uint32_t i = 0; (info = upload_next_chunk(u, &i)); i++)
        if (info->seq <= seq)
            return true;
    return false;
}

void carried_upload(const struct upload *u, struct record *r) {
    *r = (struct record){.ev = EV_CARRY, .has = HAS_SINCE, .kind = slice_of("upload"), .upload = u->id};
    upload_identity_to_record(&u->identity, r);
    r->since_ns = u->open_us * 1000;
    if (u->reopened) {
        r->has |= HAS_OPENS;
        r->opens = 2;
    }
    if (!u->begun)
        return;
    r->has |= HAS_GEOMETRY | HAS_HANDLE;
    r->chunk_size = u->chunk_size;
    r->chunks = u->chunks;
    r->handle = upload_handle(u);
    if (u->checksum == CHECKSUM_CRC32C_FULL) {
        r->has |= HAS_CHECKSUM;
        r->checksum = slice_of(CHECKSUM_TEXT);
    }
}

void carried_chunk(const struct upload *u, uint32_t chunk, struct record *r, char room[ID_HEX_SIZE]) {
    struct geometry g = upload_geometry(u);
    *r = (struct record){.ev = EV_CARRY, .kind = slice_of("chunk"), .upload = u->id, .chunk = chunk};
    r->has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_ETAG;
    r->offset = geometry_offset(&g, chunk);
    r->length = geometry_length(&g, chunk);
    const struct chunk_info *info = upload_chunk(u, chunk);
    r->crc = info->crc;
    r->etag = chunk_etag(info, room);
    if (u->integrity) {
        r->has |= HAS_INTEGRITY;
        r->integrity = slice_of(integrity_name(u->integrity));
    }
}

/* ---- finished ---- */

/* The line that tells who an upload is, kept until its `finish`. */
struct held {
    struct hash_node node;
    struct id128 upload;
    uint64_t seq; /* of the first such line */
    struct buf line;
};

struct search {
    struct state *state;
    struct hash_table held;
    uint64_t up_to, last_seq;
    int (*each)(void *arg, struct record *r, uint64_t first_seq);
    void *arg;
};

static struct held *find_held(const struct search *s, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&s->held, id_hash(upload)); n; n = hash_next(n)) {
        struct held *h = list_entry(n, struct held, node);
        if (id_equal(&h->upload, upload))
            return h;
    }
    return NULL;
}

static void let_go(struct search *s, struct held *h) {
    hash_remove(&s->held, &h->node);
    buf_release(&h->line);
    free(h);
}

/* What the state has as finished at r's destination, if it is r's own upload. */
static int find_finished(const struct search *s, const struct record *r, const struct finished_entry **e) {
    struct id128 place;
    int err = fingerprint_dest(s->state->sha, r->endpoint, r->dest, &place);
    *e = err ? NULL : finished_find(&s->state->finished, &place);
    if (*e && !id_equal(&(*e)->upload, &r->upload))
        *e = NULL;
    return err;
}

static int say_again(const struct search *s, const struct record *who, const struct record *result,
                     uint64_t first_seq) {
    struct record r = *who;
    r.seq = result->seq;
    r.ev = EV_CARRY;
    r.kind = slice_of("finished");
    r.has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_ETAG | HAS_SINCE;
    r.since_ns = result->has & HAS_SINCE ? result->since_ns : result->ts_us * 1000;
    r.crc = result->crc;
    r.etag = result->has & HAS_ETAG ? result->etag : slice_of("");
    return s->each(s->arg, &r, first_seq);
}

/* open, begin, carry of an upload: it may have finished later. */
static int hold(struct search *s, const struct record *r, struct slice line) {
    const struct finished_entry *e;
    struct held *h = find_held(s, &r->upload);
    if (h) { /* `begin` says what `open` said */
        buf_clear(&h->line);
        return buf_add_slice(&h->line, line);
    }
    int err = r->seq > s->up_to ? 0 : find_finished(s, r, &e);
    if (err || r->seq > s->up_to || !e)
        return err;
    h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NOMEM;
    h->upload = r->upload;
    h->seq = r->seq;
    hash_insert(&s->held, &h->node, id_hash(&h->upload));
    return buf_add_slice(&h->line, line);
}

static int take_finish(struct search *s, const struct record *r) {
    struct held *h = find_held(s, &r->upload);
    const struct finished_entry *e;
    struct buf scratch = BUF_INIT;
    struct record who;
    if (!h)
        return 0;
    int err = record_parse(buf_slice(&h->line), &who, &scratch);
    if (!err)
        err = find_finished(s, &who, &e);
    if (!err && e && e->seq == r->seq)
        err = say_again(s, &who, r, h->seq);
    buf_release(&scratch);
    let_go(s, h);
    return err;
}

static int take_whole(const struct search *s, const struct record *r) {
    const struct finished_entry *e;
    if (r->seq > s->up_to)
        return 0;
    int err = find_finished(s, r, &e);
    if (err || !e || e->seq != r->seq)
        return err;
    return say_again(s, r, r, r->seq);
}

/* The source that the state has now: said again after what finished, as often as the same was found. */
static int take_same(const struct search *s, const struct record *r) {
    const struct finished_entry *e;
    int err = find_finished(s, r, &e);
    if (err || !e || (e->seq > s->up_to && e->seq <= s->last_seq) || finished_differs(e, &r->file) ||
        !e->inode != !r->file.ino)
        return err;
    struct record again = *r;
    return s->each(s->arg, &again, r->seq);
}

static int take(struct search *s, const struct record *r, struct slice line) {
    struct held *h;
    switch (r->ev) {
    case EV_OPEN:
    case EV_BEGIN:
        return hold(s, r, line);
    case EV_FINISH:
        return take_finish(s, r);
    case EV_PUT:
        if ((h = find_held(s, &r->upload))) /* the intent of a put to a file */
            let_go(s, h);
        return take_whole(s, r);
    case EV_SAME:
        return take_same(s, r);
    case EV_CARRY:
        if (slice_equal(r->kind, slice_of("upload")))
            return hold(s, r, line);
        return slice_equal(r->kind, slice_of("finished")) ? take_whole(s, r) : 0;
    default:
        return 0;
    }
}

static int search_lines(struct search *s, struct journal_walk *w) {
    struct buf scratch = BUF_INIT;
    struct slice line;
    struct record r;
    uint64_t seq = 0;
    int err = 0;
    while (!err && seq < s->last_seq && !(err = journal_walk_next(w, &line))) {
        err = record_parse(line, &r, &scratch);
        if (!err && r.seq <= seq)
            continue;
        seq = err ? seq : r.seq;
        if (!err && seq <= s->last_seq)
            err = take(s, &r, line);
    }
    buf_release(&scratch);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int carried_finished(const char *dir, struct state *state, uint64_t up_to, uint64_t last_seq,
                     int (*each)(void *arg, struct record *r, uint64_t first_seq), void *arg) {
    struct search s = {.state = state, .up_to = up_to, .last_seq = last_seq, .each = each, .arg = arg};
    struct journal_walk *w = NULL;
    int err = journal_walk_open(&w, dir);
    if (!err)
        err = search_lines(&s, w);
    journal_walk_close(&w);
    for (struct hash_node *next, *n = hash_walk(&s.held, NULL); n; n = next) {
        next = hash_walk(&s.held, n);
        let_go(&s, list_entry(n, struct held, node));
    }
    hash_release(&s.held);
    return err;
}
