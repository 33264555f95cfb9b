#include "consumer/upload.h"
#include "pure/check.h"
#include <assert.h>
#include <stdlib.h>

static_assert(sizeof(struct chunk_info) == 32, "one of these is kept for every recorded chunk");

static struct slice keep(char **at, struct slice s) {
    char *start = *at;
    if (s.len)
        memcpy(start, s.ptr, s.len);
    start[s.len] = '\0';
    *at += s.len + 1;
    return slice_make(start, s.len);
}

struct upload *upload_new(const struct id128 *id, const struct upload_identity *is) {
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->names = malloc(is->src.len + is->source.len + is->dest.len + is->endpoint.len + 4);
    if (!u->names) {
        free(u);
        return NULL;
    }
    char *at = u->names;
    u->id = *id;
    u->is = *is;
    u->is.src = keep(&at, is->src);
    u->is.source = keep(&at, is->source);
    u->is.dest = keep(&at, is->dest);
    u->is.endpoint = keep(&at, is->endpoint);
    list_init(&u->leases);
    return u;
}

static void drop_etag(struct chunk_info *info) {
    if (info->etag_form == ETAG_TEXT)
        free(info->text);
    info->etag_form = ETAG_NONE;
}

void upload_destroy(struct upload **u) {
    if (!*u)
        return;
    struct upload *old = *u;
    CHECK(list_is_empty(&old->leases));
    for (uint32_t i = 0; old->info && i < old->chunks; i++)
        drop_etag(&old->info[i]);
    free(old->redone);
    free(old->info);
    free(old->done);
    free(old->handle);
    free(old->names);
    free(old);
    *u = NULL;
}

struct geometry upload_geometry(const struct upload *u) {
    return (struct geometry){.size = u->is.size, .chunk_size = u->chunk_size, .chunks = u->chunks};
}

bool upload_is_file(const struct upload *u) {
    return u->is.dest.len >= 7 && memcmp(u->is.dest.ptr, "file://", 7) == 0;
}

int upload_begin(struct upload *u, struct slice handle, enum checksum_kind checksum, uint64_t chunk_size,
                 uint32_t chunks) {
    struct geometry g = {.size = u->is.size, .chunk_size = chunk_size, .chunks = chunks};
    if (u->begun || handle.len == 0 || chunks == 0 || !geometry_is_valid(&g))
        return ERR_INVALID;
    char *copy = slice_dup(handle);
    uint8_t *done = calloc(((size_t)chunks + 7) / 8, 1);
    struct chunk_info *info = calloc(chunks, sizeof *info);
    if (!copy || !done || !info) {
        free(copy);
        free(done);
        free(info);
        return ERR_NOMEM;
    }
    u->handle = copy;
    u->done = done;
    u->info = info;
    u->checksum = checksum;
    u->chunk_size = chunk_size;
    u->chunks = chunks;
    u->put = false;
    u->begun = true;
    return 0;
}

bool upload_has_chunk(const struct upload *u, uint32_t chunk) {
    return u->begun && chunk < u->chunks && (u->done[chunk / 8] >> (chunk % 8) & 1);
}

static int keep_etag(struct chunk_info *info, struct slice etag) {
    info->etag_form = ETAG_NONE;
    if (etag.len == 0)
        return 0;
    if (etag.len == 2 * sizeof info->hex && hex_decode(etag, info->hex, sizeof info->hex) == 0) {
        info->etag_form = ETAG_HEX;
        return 0;
    }
    info->text = slice_dup(etag);
    if (!info->text)
        return ERR_NOMEM;
    info->etag_form = ETAG_TEXT;
    return 0;
}

int upload_set_chunk(struct upload *u, uint32_t chunk, uint32_t crc, struct slice etag, uint64_t seq) {
    if (!u->begun || chunk >= u->chunks)
        return ERR_INVALID;
    if (upload_has_chunk(u, chunk))
        return 0;
    struct geometry g = upload_geometry(u);
    struct chunk_info *info = &u->info[chunk];
    int rc = keep_etag(info, etag);
    if (rc)
        return rc;
    info->crc = crc;
    info->seq = seq;
    u->done[chunk / 8] |= (uint8_t)(1u << (chunk % 8));
    u->done_count++;
    u->done_bytes += geometry_length(&g, chunk);
    return 0;
}

void upload_clear_chunk(struct upload *u, uint32_t chunk) {
    if (!upload_has_chunk(u, chunk))
        return;
    struct geometry g = upload_geometry(u);
    drop_etag(&u->info[chunk]);
    u->done[chunk / 8] &= (uint8_t) ~(1u << (chunk % 8));
    u->done_count--;
    u->done_bytes -= geometry_length(&g, chunk);
}

int upload_count_redo(struct upload *u, uint32_t chunk) {
    if (!u->redone && !(u->redone = calloc(u->chunks, 1)))
        return ERR_NOMEM;
    if (u->redone[chunk] < UINT8_MAX)
        u->redone[chunk]++;
    return 0;
}

unsigned upload_redos(const struct upload *u, uint32_t chunk) {
    return u->redone ? u->redone[chunk] : 0;
}

void upload_forget_redos(struct upload *u) {
    free(u->redone);
    u->redone = NULL;
}

struct slice upload_etag(const struct upload *u, uint32_t chunk, char room[ID_HEX_SIZE]) {
    CHECK(upload_has_chunk(u, chunk));
    const struct chunk_info *info = &u->info[chunk];
    if (info->etag_form == ETAG_TEXT)
        return slice_of(info->text);
    if (info->etag_form == ETAG_NONE)
        return slice_of("");
    hex_encode(info->hex, sizeof info->hex, room);
    return slice_make(room, ID_HEX_LEN);
}
