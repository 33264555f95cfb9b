#include "producer/cli/store/catalog.h"

#include "journal/records.h"
#include "producer/cli/store/catalog_chunks.h"
#include "producer/cli/store/manifest.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "pure/digest.h"
#include "pure/hash.h"
#include "pure/list.h"
#include "system/log.h"
#include <stdlib.h>
#include <sys/param.h>

/* The newest record of one destination: a URL in a store. The same URL at another endpoint is another object. The URL
 * itself is known by a hash of 64 bits, its crc32c and its length. */
struct catalog_entry {
    struct hash_node by_dest, by_upload;
    struct id128 upload;
    uint32_t dest_crc, dest_len;
    int64_t us; /* time of the record; of a carried one, that of the original */
    uint64_t seq;
    uint32_t store;
    bool wanted, forgotten;
    bool deleting, deleted; /* its removal has begun; has ended */
};

struct catalog {
    const struct catalog_options *o;
    struct hash_table by_dest, by_upload;
    struct catalog_store *stores;
    size_t store_count, store_cap;
    uint64_t void_to; /* records up to this seq do not count: their file was dropped */

    /* the pass */
    struct journal_records records;
    struct manifest *manifest;
    bool reading, damaged;
    struct catalog_chunks chunks;
    struct buf src, source; /* of the present object */
    size_t store;
    uint64_t after;
};

/* ---- reading ---- */

static void catalog_end_pass(struct catalog *c) {
    if (c->reading && !c->o->manifest)
        journal_records_close(&c->records);
    manifest_close(&c->manifest);
    catalog_chunks_clear(&c->chunks);
    c->reading = false;
}

static int catalog_begin_pass(struct catalog *c) {
    catalog_end_pass(c);
    int err =
        c->o->manifest ? manifest_open(&c->manifest, c->o->manifest) : journal_records_open(&c->records, c->o->dir);
    c->reading = !err;
    return err;
}

/* ERR_NOT_FOUND: the end. Lines of the journal that cannot be read are left out. */
static int catalog_read(struct catalog *c, struct record *r) {
    if (c->o->manifest)
        return manifest_next(c->manifest, r);
    for (;;) {
        int err = journal_records_next(&c->records, r);
        if (err != ERR_INVALID && err != ERR_VERSION && err != ERR_LIMIT)
            return err;
        if (!c->damaged)
            (void)!journal_records_log_damage(&c->records, err);
        c->damaged = true;
        if (err == ERR_LIMIT)
            return ERR_NOT_FOUND;
    }
}

/* ---- stores ---- */

static bool store_is_of(const struct catalog_store *s, const struct dest *d, struct slice endpoint) {
    struct dest own;
    return dest_parse(slice_of(s->dest), &own) == 0 && own.scheme == d->scheme && slice_equal(own.bucket, d->bucket) &&
           slice_equal(slice_of(s->endpoint), endpoint);
}

static int catalog_find_store(struct catalog *c, struct slice dest, struct slice endpoint, uint32_t *found) {
    struct dest d;
    if (dest_parse(dest, &d))
        return ERR_INVALID;
    if (d.scheme == DEST_S3 && c->o->endpoint)
        endpoint = slice_of(c->o->endpoint);
    for (size_t i = 0; i < c->store_count; i++)
        if (store_is_of(&c->stores[i], &d, endpoint)) {
            *found = (uint32_t)i;
            return 0;
        }
    if (array_grow(&c->stores, &c->store_cap, c->store_count, sizeof *c->stores))
        return ERR_NOMEM;
    struct catalog_store *s = &c->stores[c->store_count];
    *s = (struct catalog_store){.endpoint = slice_dup(endpoint), .dest = slice_dup(dest)};
    if (!s->endpoint || !s->dest) {
        free(s->endpoint);
        free(s->dest);
        return ERR_NOMEM;
    }
    *found = (uint32_t)c->store_count++;
    return 0;
}

/* ---- the index ---- */

static bool catalog_wants(const struct catalog *c, struct slice dest) {
    const struct text_list *dests = c->o->dests;
    for (size_t i = 0; i < dests->count; i++)
        if (dest_is_under(dest, slice_of(dests->items[i])))
            return true;
    return dests->count == 0;
}

static struct catalog_entry *catalog_find_dest(const struct catalog *c, uint32_t store, struct slice dest) {
    uint32_t crc = crc32c_add(0, dest.ptr, dest.len);
    for (struct hash_node *n = hash_first(&c->by_dest, hash_bytes(dest.ptr, dest.len)); n; n = hash_next(n)) {
        struct catalog_entry *e = list_entry(n, struct catalog_entry, by_dest);
        if (e->store == store && e->dest_crc == crc && e->dest_len == dest.len)
            return e;
    }
    return NULL;
}

static struct catalog_entry *catalog_find_upload(const struct catalog *c, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&c->by_upload, id_hash(upload)); n; n = hash_next(n)) {
        struct catalog_entry *e = list_entry(n, struct catalog_entry, by_upload);
        if (id_equal(&e->upload, upload))
            return e;
    }
    return NULL;
}

/* A record that is carried on changes nothing about a removal. */
static void catalog_set_entry(struct catalog *c, struct catalog_entry *e, const struct record *r, int64_t us) {
    bool again = e->seq && id_equal(&e->upload, &r->upload);
    e->deleting = again && e->deleting;
    e->deleted = again && e->deleted;
    if (e->seq)
        hash_remove(&c->by_upload, &e->by_upload);
    e->upload = r->upload;
    e->us = us;
    e->seq = r->seq;
    e->forgotten = false;
    hash_insert(&c->by_upload, &e->by_upload, id_hash(&r->upload));
}

/* An object is there since r. */
static int catalog_add(struct catalog *c, const struct record *r, struct slice endpoint, int64_t us) {
    uint32_t store;
    int err = catalog_find_store(c, r->dest, endpoint, &store);
    if (err)
        return err == ERR_INVALID ? 0 : err; /* no destination of this version */
    struct catalog_entry *e = catalog_find_dest(c, store, r->dest);
    if (!e) {
        if (!(e = calloc(1, sizeof *e)))
            return ERR_NOMEM;
        e->dest_crc = crc32c_add(0, r->dest.ptr, r->dest.len);
        e->dest_len = (uint32_t)r->dest.len;
        e->store = store;
        e->wanted = catalog_wants(c, r->dest);
        hash_insert(&c->by_dest, &e->by_dest, hash_bytes(r->dest.ptr, r->dest.len));
    } else if (us < e->us) {
        return 0; /* a carried record, of an object that was replaced since */
    }
    catalog_set_entry(c, e, r, us);
    return 0;
}

static void catalog_note_removal(const struct catalog *c, const struct record *r) {
    struct catalog_entry *e = catalog_find_upload(c, &r->upload);
    if (!e)
        return;
    e->deleting = true;
    e->deleted |= r->ev == EV_DELETE;
}

static int catalog_note(struct catalog *c, const struct record *r) {
    struct catalog_entry *e;
    bool carried = r->ev == EV_CARRY && slice_equal(r->kind, slice_of(CARRY_FINISHED));
    int err = catalog_chunks_note(&c->chunks, r, false);
    if (err)
        return err;
    switch (r->ev) {
    case EV_FINISH:
        err = catalog_add(c, r, catalog_chunks_endpoint(&c->chunks, &r->upload), r->ts_us);
        catalog_chunks_forget(&c->chunks, &r->upload);
        break;
    case EV_PUT:
        err = catalog_add(c, r, r->endpoint, r->ts_us);
        break;
    case EV_CARRY:
        err = carried ? catalog_add(c, r, r->endpoint, r->since_ns ? r->since_ns / 1000 : r->ts_us) : 0;
        break;
    case EV_FORGET:
        if ((e = catalog_find_upload(c, &r->upload)))
            e->forgotten = true;
        break;
    case EV_DELETING:
    case EV_DELETE:
        catalog_note_removal(c, r);
        break;
    case EV_DROP:
        c->void_to = MAX(c->void_to, r->to);
        break;
    default:
        break;
    }
    return err;
}

static bool catalog_entry_counts(const struct catalog *c, const struct catalog_entry *e) {
    if (!e->wanted || e->forgotten || e->deleted || (e->deleting && !c->o->interrupted))
        return false;
    return c->o->manifest || e->seq > c->void_to;
}

static void catalog_count(struct catalog *c) {
    for (struct hash_node *n = hash_walk(&c->by_dest, NULL); n; n = hash_walk(&c->by_dest, n)) {
        const struct catalog_entry *e = list_entry(n, struct catalog_entry, by_dest);
        c->stores[e->store].objects += catalog_entry_counts(c, e);
    }
}

int catalog_open(struct catalog **out, const struct catalog_options *o, bool *damaged) {
    struct catalog *c = calloc(1, sizeof *c);
    struct record r;
    *out = c;
    if (!c)
        return ERR_NOMEM;
    c->o = o;
    int err = catalog_begin_pass(c);
    while (!err) {
        err = catalog_read(c, &r);
        if (!err)
            err = catalog_note(c, &r);
    }
    if (err == ERR_NOT_FOUND && c->reading && (o->manifest || !journal_records_log_missing(&c->records)))
        err = 0;
    if (!err)
        catalog_count(c);
    *damaged = c->damaged;
    catalog_end_pass(c);
    if (err)
        catalog_close(out);
    return err;
}

void catalog_close(struct catalog **cc) {
    struct catalog *c = *cc;
    if (!c)
        return;
    catalog_end_pass(c);
    for (struct hash_node *next, *n = hash_walk(&c->by_dest, NULL); n; n = next) {
        next = hash_walk(&c->by_dest, n);
        free(list_entry(n, struct catalog_entry, by_dest));
    }
    hash_release(&c->by_dest);
    hash_release(&c->by_upload);
    for (struct catalog_store *s = c->stores; s && s < c->stores + c->store_count; s++) {
        free(s->endpoint);
        free(s->dest);
    }
    free(c->stores);
    buf_release(&c->src);
    buf_release(&c->source);
    free(c);
    *cc = NULL;
}

size_t catalog_store_count(const struct catalog *c) {
    return c->store_count;
}

const struct catalog_store *catalog_store(const struct catalog *c, size_t i) {
    return &c->stores[i];
}

/* ---- the second pass ---- */

int catalog_rewind(struct catalog *c, size_t store, uint64_t after) {
    c->store = store;
    c->after = after;
    return catalog_begin_pass(c);
}

/* A `finish` does not tell its store, so the entry is found by its upload. */
static const struct catalog_entry *catalog_find_record(const struct catalog *c, const struct record *r) {
    for (struct hash_node *n = hash_first(&c->by_upload, id_hash(&r->upload)); n; n = hash_next(n)) {
        const struct catalog_entry *e = list_entry(n, struct catalog_entry, by_upload);
        if (e->seq == r->seq && id_equal(&e->upload, &r->upload))
            return e;
    }
    return NULL;
}

/* The entry of the record, if it is the next object; else NULL. */
static const struct catalog_entry *catalog_match(const struct catalog *c, const struct record *r) {
    if (r->ev != EV_FINISH && r->ev != EV_PUT && r->ev != EV_CARRY)
        return NULL;
    if (r->seq <= c->after || (r->ev == EV_CARRY && !slice_equal(r->kind, slice_of(CARRY_FINISHED))))
        return NULL;
    const struct catalog_entry *e = catalog_find_record(c, r);
    return e && e->store == c->store && catalog_entry_counts(c, e) ? e : NULL;
}

/* That of a `finish` is in an earlier record. */
static int catalog_add_source(struct catalog *c, const struct record *r, struct catalog_object *object) {
    struct catalog_source file = {r->src, r->source, r->file.mtime_ns};
    if (r->ev == EV_FINISH)
        file = catalog_chunks_source(&c->chunks, &r->upload);
    buf_clear(&c->src);
    buf_clear(&c->source);
    int err = buf_add_slice(&c->src, file.src);
    if (!err)
        err = buf_add_slice(&c->source, file.source);
    object->mtime_ns = file.mtime_ns;
    object->src = buf_slice(&c->src);
    object->source = buf_slice(&c->source);
    return err;
}

int catalog_next(struct catalog *c, struct catalog_object *object) {
    struct record r;
    for (;;) {
        int err = catalog_read(c, &r);
        if (!err && (c->o->chunks || c->o->sources))
            err = catalog_chunks_note(&c->chunks, &r, c->o->chunks);
        if (err)
            return err;
        const struct catalog_entry *found = catalog_match(c, &r);
        if (found)
            *object = (struct catalog_object){.upload = r.upload,
                                              .dest = r.dest,
                                              .etag = r.has & HAS_ETAG ? r.etag : slice_of(NULL),
                                              .size = r.file.size,
                                              .crc = r.crc,
                                              .position = r.seq,
                                              .since_us = found->us};
        if (found && c->o->sources)
            err = catalog_add_source(c, &r, object);
        if (found && r.ev == EV_FINISH && c->o->chunks)
            object->crcs = catalog_chunks_take(&c->chunks, &r.upload, r.file.size, &object->geometry);
        if (r.ev == EV_FINISH)
            catalog_chunks_forget(&c->chunks, &r.upload);
        if (err || found)
            return err;
    }
}
