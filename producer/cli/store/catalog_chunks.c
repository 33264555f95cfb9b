#include "producer/cli/store/catalog_chunks.h"

#include "pure/array.h"
#include "pure/bitmap.h"
#include "pure/geometry.h"
#include "pure/list.h"
#include <stdlib.h>

struct open_upload {
    struct hash_node by_upload;
    struct id128 upload;
    char *endpoint;
    uint64_t chunk_size;
    uint32_t chunks; /* 0: it has not begun */
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
    open_upload_clear(u);
    free(u);
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
        if (!(u = calloc(1, sizeof *u)) || !(u->endpoint = slice_dup(r->endpoint))) {
            free(u);
            return ERR_NOMEM;
        }
        u->upload = r->upload;
        hash_insert(&c->by_upload, &u->by_upload, id_hash(&u->upload));
    }
    if (!(r->has & HAS_GEOMETRY) || r->chunks > CHUNKS_MAX)
        return 0;
    if (r->chunks != u->chunks)
        open_upload_clear(u);
    u->chunk_size = r->chunk_size;
    u->chunks = r->chunks;
    return 0;
}

static int open_upload_set_crc(struct open_upload *u, const struct record *r) {
    if (r->chunk >= u->chunks)
        return 0;
    if (!u->crcs && !(u->crcs = array_zeroed(u->chunks, sizeof *u->crcs)))
        return ERR_NOMEM;
    if (!u->has && !(u->has = array_zeroed(bitmap_size(u->chunks), 1)))
        return ERR_NOMEM;
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

uint32_t *catalog_chunks_take(struct catalog_chunks *c, const struct id128 *upload, uint64_t size, uint64_t *chunk_size,
                              uint32_t *chunks) {
    struct open_upload *u = open_upload_find(c, upload);
    if (!u || u->chunks == 0 || u->known != u->chunks)
        return NULL;
    const struct geometry g = {.size = size, .chunk_size = u->chunk_size, .chunks = u->chunks};
    if (!geometry_is_valid(&g))
        return NULL;
    uint32_t *crcs = u->crcs;
    u->crcs = NULL;
    *chunk_size = u->chunk_size;
    *chunks = u->chunks;
    return crcs;
}
