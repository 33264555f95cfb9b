#include "consumer/offline/carry_forward.h"

#include "journal/records.h"
#include <stdlib.h>

/* ---- unfinished ---- */

uint64_t carry_forward_first_seq(const struct upload *u) {
    return u->begun && !u->reopened ? u->begin_seq : u->open_seq; /* a `begin` has all fields of one `open` */
}

/* After an interrupted retire, the upload can be carried and some of its chunks not. */
bool carry_forward_needs(const struct upload *u, uint64_t seq) {
    if (!u->opened || carry_forward_first_seq(u) <= seq)
        return u->opened;
    const struct chunk_info *info;
    for (uint32_t i = 0; (info = upload_next_chunk(u, &i)); i++)
        if (info->seq <= seq)
            return true;
    return false;
}

void carry_forward_upload(const struct upload *u, struct record *r) {
    *r = (struct record){.ev = EV_CARRY, .has = HAS_SINCE, .kind = slice_of(CARRY_UPLOAD), .upload = u->id};
    upload_to_record(u, r);
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
    if (u->grow) {
        r->has |= HAS_GROW;
        r->grow = u->grow;
    }
    r->handle = upload_handle(u);
    if (u->checksum == CHECKSUM_CRC32C_FULL) {
        r->has |= HAS_CHECKSUM;
        r->checksum = slice_of(CHECKSUM_TEXT);
    }
}

void carry_forward_chunk(const struct upload *u, uint32_t chunk, struct record *r, char room[ID_HEX_SIZE]) {
    struct geometry g = upload_geometry(u);
    *r = (struct record){.ev = EV_CARRY, .kind = slice_of(CARRY_CHUNK), .upload = u->id, .chunk = chunk};
    r->has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_ETAG;
    r->offset = geometry_offset(&g, chunk);
    r->length = geometry_length(&g, chunk);
    if (u->end && chunk + 1 == u->chunks) {
        r->has |= HAS_TOTAL;
        r->total = u->end;
    }
    const struct chunk_info *info = upload_chunk(u, chunk);
    r->crc = info->crc;
    r->etag = chunk_etag(info, room);
    if (u->integrity) {
        r->has |= HAS_INTEGRITY;
        r->integrity = slice_of(integrity_name(u->integrity));
    }
}

/* ---- finished ---- */

/* The line with the identity of an upload, kept until its `finish`. */
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
    bool deleting; /* report also uploads that are being removed */
    int (*each)(void *arg, struct record *r, uint64_t first_seq);
    void *arg;
};

static struct held *held_find(const struct search *s, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&s->held, id_hash(upload)); n; n = hash_next(n)) {
        struct held *h = list_entry(n, struct held, node);
        if (id_equal(&h->upload, upload))
            return h;
    }
    return NULL;
}

static void held_remove(struct search *s, struct held *h) {
    hash_remove(&s->held, &h->node);
    buf_release(&h->line);
    free(h);
}

/* *e: the entry of r's destination if it belongs to r's upload and is to be reported; else, and after an error, NULL. */
static int search_find_finished(const struct search *s, const struct record *r, const struct finished_entry **e) {
    struct id128 place;
    int err = fingerprint_dest(s->state->sha, r->endpoint, r->dest, &place);
    *e = err ? NULL : finished_find(&s->state->finished, finished_short(&place));
    if (*e && (!id_equal(&(*e)->upload, &r->upload) || ((*e)->deleting && !s->deleting)))
        *e = NULL;
    return err;
}

static int search_report(const struct search *s, const struct record *identity, const struct record *result,
                         uint64_t first_seq) {
    struct record r = *identity;
    r.seq = result->seq;
    r.ev = EV_CARRY;
    r.kind = slice_of(CARRY_FINISHED);
    r.has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_ETAG | HAS_SINCE;
    r.since_ns = result->has & HAS_SINCE ? result->since_ns : result->ts_us * 1000;
    r.crc = result->crc;
    if (result->ev == EV_FINISH) /* the size of a stream is not in its identity */
        r.file.size = result->file.size;
    r.etag = result->has & HAS_ETAG ? result->etag : slice_of("");
    return s->each(s->arg, &r, first_seq);
}

/* open, begin, carry of an upload: a finish may follow. */
static int held_add(struct search *s, const struct record *r, struct slice line) {
    const struct finished_entry *e;
    struct held *h = held_find(s, &r->upload);
    if (h) { /* `begin` has all fields of `open` */
        buf_clear(&h->line);
        return buf_add_slice(&h->line, line);
    }
    if (r->seq > s->up_to)
        return 0;
    int err = search_find_finished(s, r, &e);
    if (!e)
        return err;
    h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NOMEM;
    h->upload = r->upload;
    h->seq = r->seq;
    hash_insert(&s->held, &h->node, id_hash(&h->upload));
    return buf_add_slice(&h->line, line);
}

static int search_take_finish(struct search *s, const struct record *r) {
    struct held *h = held_find(s, &r->upload);
    const struct finished_entry *e = NULL;
    struct buf scratch = BUF_INIT;
    struct record identity;
    if (!h)
        return 0;
    int err = record_parse(buf_slice(&h->line), &identity, &scratch);
    if (!err)
        err = search_find_finished(s, &identity, &e);
    if (e && e->seq == r->seq)
        err = search_report(s, &identity, r, h->seq);
    buf_release(&scratch);
    held_remove(s, h);
    return err;
}

static int search_take_whole(const struct search *s, const struct record *r) {
    const struct finished_entry *e;
    if (r->seq > s->up_to)
        return 0;
    int err = search_find_finished(s, r, &e);
    if (!e || e->seq != r->seq)
        return err;
    return search_report(s, r, r, r->seq);
}

/* A `same` that the state still has is repeated after the finish that it belongs to. */
static int search_take_same(const struct search *s, const struct record *r) {
    const struct finished_entry *e;
    int err = search_find_finished(s, r, &e);
    if (!e || (e->seq > s->up_to && e->seq <= s->last_seq) || finished_differs(e, &r->file) ||
        !e->inode != !r->file.ino)
        return err;
    struct record again = *r;
    return s->each(s->arg, &again, r->seq);
}

static int search_record(struct search *s, const struct record *r, struct slice line) {
    struct held *h;
    switch (r->ev) {
    case EV_OPEN:
    case EV_BEGIN:
        return held_add(s, r, line);
    case EV_FINISH:
        return search_take_finish(s, r);
    case EV_PUT:
        if ((h = held_find(s, &r->upload))) /* the `open` of a put to a file */
            held_remove(s, h);
        return search_take_whole(s, r);
    case EV_SAME:
        return search_take_same(s, r);
    case EV_CARRY:
        if (slice_equal(r->kind, slice_of(CARRY_UPLOAD)))
            return held_add(s, r, line);
        return slice_equal(r->kind, slice_of(CARRY_FINISHED)) ? search_take_whole(s, r) : 0;
    default:
        return 0;
    }
}

static int search_records(struct search *s, struct journal_records *records) {
    struct record r;
    int err = 0;
    while (!err && records->seq < s->last_seq && !(err = journal_records_next(records, &r)))
        err = search_record(s, &r, records->line);
    return err == ERR_NOT_FOUND ? 0 : err;
}

int carry_forward_finished(const char *dir, struct state *state, uint64_t up_to, uint64_t last_seq, bool deleting,
                           int (*each)(void *arg, struct record *r, uint64_t first_seq), void *arg) {
    struct search s = {
        .state = state, .up_to = up_to, .last_seq = last_seq, .deleting = deleting, .each = each, .arg = arg};
    struct journal_records records;
    int err = journal_records_open(&records, dir);
    if (!err)
        err = search_records(&s, &records);
    journal_records_close(&records);
    for (struct hash_node *next, *n = hash_walk(&s.held, NULL); n; n = next) {
        next = hash_walk(&s.held, n);
        held_remove(&s, list_entry(n, struct held, node));
    }
    hash_release(&s.held);
    return err;
}
