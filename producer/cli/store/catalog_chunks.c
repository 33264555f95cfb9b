#include "producer/cli/store/catalog_chunks.h"

#include "pure/array.h"
#include "pure/bitmap.h"
#include "pure/list.h"
#include <stdlib.h>

struct open_upload {
    struct hash_node by_upload;
    struct id128 upload;
    char *endpoint, *src, *source;
    nanotime mtime_ns;
    struct geometry geometry; /* chunks 0: it has not begun. Of a stream: with its end, once that was read */
    uint32_t known;
    uint32_t *crcs;
    uint8_t *has; /* a bit for each known chunk */
};

static struct open_upload *open_upload_find(const struct catalog_chunks *c, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&c->by_upload, id_hash(upload)); n; n = hash_next(n)) {
        struct open_upload *u = list_entry(n, struct open_upload, by_upload);
        if (id_equal(&u->upload, upload))
            return u;
    }
    return NULL;
}

static void open_upload_clear(struct open_upload *u) {
    free(u->crcs);
    free(u->has);
    u->crcs = NULL;
    u->has = NULL;
    u->known = 0;
}

static void open_upload_free(struct open_upload *u) {
    free(u->endpoint);
    free(u->src);
    free(u->source);
    open_upload_clear(u);
    free(u);
}

/* NULL: out of memory. */
static struct open_upload *open_upload_new(const struct record *r) {
    struct open_upload *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->upload = r->upload;
    u->mtime_ns = r->file.mtime_ns;
    u->endpoint = slice_dup(r->endpoint);
    u->src = slice_dup(r->src);
    u->source = slice_dup(r->source);
    if (u->endpoint && u->src && u->source)
        return u;
    open_upload_free(u);
    return NULL;
}

void catalog_chunks_clear(struct catalog_chunks *c) {
    for (struct hash_node *next, *n = hash_walk(&c->by_upload, NULL); n; n = next) {
        next = hash_walk(&c->by_upload, n);
        open_upload_free(list_entry(n, struct open_upload, by_upload));
    }
    hash_release(&c->by_upload);
    *c = (struct catalog_chunks){0};
}

static int open_upload_add(struct catalog_chunks *c, const struct record *r) {
    struct open_upload *u = open_upload_find(c, &r->upload);
    if (!u) {
        if (!(u = open_upload_new(r)))
            return ERR_NOMEM;
        hash_insert(&c->by_upload, &u->by_upload, id_hash(&u->upload));
    }
    if (!(r->has & HAS_GEOMETRY) || r->chunks > CHUNKS_MAX)
        return 0;
    if (r->chunks != u->geometry.chunks)
        open_upload_clear(u);
    u->geometry = geometry_open(r->file.size, r->chunk_size, r->chunks, r->has & HAS_GROW ? r->grow : 0);
    return 0;
}

static int open_upload_set_crc(struct open_upload *u, const struct record *r) {
    struct geometry end;
    if (r->chunk >= u->geometry.chunks)
        return 0;
    if (!u->crcs && !(u->crcs = array_zeroed(u->geometry.chunks, sizeof *u->crcs)))
        return ERR_NOMEM;
    if (!u->has && !(u->has = array_zeroed(bitmap_size(u->geometry.chunks), 1)))
        return ERR_NOMEM;
    if ((r->has & HAS_TOTAL) && geometry_end(&u->geometry, r->chunk, r->total, &end) == 0)
        u->geometry = end;
    u->known += !bitmap_get(u->has, r->chunk);
    bitmap_set(u->has, r->chunk);
    u->crcs[r->chunk] = r->crc;
    return 0;
}

void catalog_chunks_forget(struct catalog_chunks *c, const struct id128 *upload) {
    struct open_upload *u = open_upload_find(c, upload);
    if (!u)
        return;
    hash_remove(&c->by_upload, &u->by_upload);
    open_upload_free(u);
}

int catalog_chunks_note(struct catalog_chunks *c, const struct record *r, bool with_crcs) {
    bool carried = r->ev == EV_CARRY;
    struct open_upload *u;
    if (r->ev == EV_OPEN || r->ev == EV_BEGIN || (carried && slice_equal(r->kind, slice_of(CARRY_UPLOAD))))
        return open_upload_add(c, r);
    if (r->ev == EV_PUT || r->ev == EV_ABORT)
        catalog_chunks_forget(c, &r->upload);
    bool is_chunk = r->ev == EV_CHUNK || (carried && slice_equal(r->kind, slice_of(CARRY_CHUNK)));
    if (!with_crcs || !is_chunk || !(u = open_upload_find(c, &r->upload)))
        return 0;
    return open_upload_set_crc(u, r);
}

struct slice catalog_chunks_endpoint(const struct catalog_chunks *c, const struct id128 *upload) {
    const struct open_upload *u = open_upload_find(c, upload);
    return slice_of(u ? u->endpoint : NULL);
}

struct catalog_source catalog_chunks_source(const struct catalog_chunks *c, const struct id128 *upload) {
    const struct open_upload *u = open_upload_find(c, upload);
    if (!u)
        return (struct catalog_source){.src = slice_of(NULL)};
    return (struct catalog_source){slice_of(u->src), slice_of(u->source), u->mtime_ns};
}

uint32_t *catalog_chunks_take(struct catalog_chunks *c, const struct id128 *upload, uint64_t size,
                              struct geometry *geometry) {
    struct open_upload *u = open_upload_find(c, upload);
    if (!u || u->geometry.chunks == 0 || u->known != u->geometry.chunks || u->geometry.size != size ||
        !geometry_is_valid(&u->geometry))
        return NULL;
    uint32_t *crcs = u->crcs;
    u->crcs = NULL;
    *geometry = u->geometry;
    return crcs;
}
