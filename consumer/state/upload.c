#include "consumer/state/upload.h"
#include "pure/check.h"
#include <endian.h>
#include <stdlib.h>
#include <sys/param.h>

static struct slice names_add(char **at, struct slice s) {
    char *start = *at;
    if (s.len)
        memcpy(start, s.ptr, s.len);
    *at += s.len;
    return slice_make(start, s.len);
}

struct upload *upload_new(const struct id128 *id, const struct upload_identity *is) {
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->names = malloc(is->src.len + is->source.len + is->dest.len + is->endpoint.len);
    if (!u->names) {
        free(u);
        return NULL;
    }
    char *at = u->names;
    u->id = *id;
    u->identity = *is;
    u->identity.src = names_add(&at, is->src);
    u->identity.source = names_add(&at, is->source);
    u->identity.dest = names_add(&at, is->dest);
    u->identity.endpoint = names_add(&at, is->endpoint);
    list_init(&u->planned);
    list_init(&u->leases);
    return u;
}

void upload_destroy(struct upload **u) {
    if (!*u)
        return;
    struct upload *old = *u;
    CHECK(list_is_empty(&old->leases));
    chunks_release(&old->done);
    chunks_release(&old->redone);
    free(old->failure);
    free(old->handle);
    free(old->names);
    free(old);
    *u = NULL;
}

#define FAILURE_MAX 200

void upload_note_failure(struct upload *u, struct slice class, struct slice error) {
    upload_forget_failure(u);
    u->failed_as = fail_class_from_name(class);
    size_t len = MIN(error.len, FAILURE_MAX);
    while (len > 0 && len < error.len && ((unsigned char)error.ptr[len] & 0xc0) == 0x80)
        len--; /* not inside a character */
    u->failure = slice_dup(slice_make(error.ptr, len));
}

void upload_forget_failure(struct upload *u) {
    free(u->failure);
    u->failure = NULL;
    u->failed_as = FAIL_NONE;
}

void upload_to_record(const struct upload *u, struct record *r) {
    upload_identity_to_record(&u->identity, r);
    r->properties = u->properties;
    if (!id_is_zero(&u->properties))
        r->has |= HAS_PROPERTIES;
}

bool upload_is_stream(const struct upload *u) {
    return u->identity.file.size == 0 && u->chunks > 0;
}

bool upload_is_open_ended(const struct upload *u) {
    return upload_is_stream(u) && u->end == 0;
}

uint64_t upload_size(const struct upload *u) {
    return u->end ? u->end : u->identity.file.size;
}

struct geometry upload_geometry(const struct upload *u) {
    return geometry_open(upload_size(u), u->chunk_size, u->chunks, u->grow);
}

bool upload_is_file(const struct upload *u) {
    return u->identity.dest.len >= 7 && memcmp(u->identity.dest.ptr, "file://", 7) == 0;
}

int upload_begin(struct upload *u, struct slice handle, enum checksum_kind checksum, uint64_t chunk_size,
                 uint32_t chunks) {
    struct geometry g = geometry_open(u->identity.file.size, chunk_size, chunks, u->grow);
    if (u->begun || handle.len == 0 || chunks == 0 || !geometry_is_valid(&g))
        return ERR_INVALID;
    u->handle = slice_dup(handle);
    if (!u->handle)
        return ERR_NOMEM;
    u->checksum = checksum;
    u->chunk_size = chunk_size;
    u->chunks = chunks;
    u->put = false;
    u->begun = true;
    return 0;
}

const struct chunk_info *upload_chunk(const struct upload *u, uint32_t chunk) {
    return chunks_find(&u->done, chunk);
}

const struct chunk_info *upload_next_chunk(const struct upload *u, uint32_t *chunk) {
    return chunks_next(&u->done, chunk);
}

int upload_add_bitmap(const struct upload *u, struct buf *out) {
    if (!u->done.page_count)
        return 0;
    const struct chunk_page *last = &u->done.pages[u->done.page_count - 1];
    size_t bytes = (size_t)last->number * sizeof last->recorded + sizeof last->recorded;
    size_t unused = (size_t)__builtin_clzll(last->recorded) / 8;
    int err = buf_reserve(out, bytes);
    if (err)
        return err;
    char *to = out->data + out->len;
    memset(to, 0, bytes);
    for (uint32_t i = 0; i < u->done.page_count; i++) {
        const struct chunk_page *page = &u->done.pages[i];
        uint64_t recorded = htole64(page->recorded);
        memcpy(to + (size_t)page->number * sizeof recorded, &recorded, sizeof recorded);
    }
    out->len += bytes - unused;
    out->data[out->len] = '\0';
    return 0;
}

static int chunk_set_etag(struct chunk_info *info, struct slice etag) {
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
    struct chunk_info *info;
    int err = chunks_add(&u->done, chunk, &info);
    if (err)
        return err;
    err = chunk_set_etag(info, etag);
    if (err) {
        chunks_remove(&u->done, chunk);
        return err;
    }
    info->crc = crc;
    info->seq = seq;
    u->done_count++;
    u->done_bytes += geometry_length(&g, chunk);
    return 0;
}

void upload_move_chunk(struct upload *u, uint32_t chunk, uint64_t seq) {
    struct chunk_info *info = chunks_find(&u->done, chunk);
    CHECK(info);
    info->seq = seq;
}

void upload_note_integrity(struct upload *u, uint32_t chunk, enum integrity integrity) {
    if (!u->begun || chunk >= u->chunks || upload_has_chunk(u, chunk))
        return;
    u->integrity = u->done_count ? MIN(u->integrity, integrity) : integrity;
}

void upload_note_end(struct upload *u, uint32_t chunk, uint64_t total) {
    struct geometry open = upload_geometry(u), g;
    uint32_t later = chunk + 1;
    if (!u->begun || !upload_is_open_ended(u) || chunk >= u->chunks || upload_next_chunk(u, &later) ||
        geometry_end(&open, chunk, total, &g))
        return;
    u->end = g.size;
    u->chunks = g.chunks;
}

void upload_clear_chunk(struct upload *u, uint32_t chunk) {
    struct chunk_info *info = chunks_find(&u->done, chunk);
    if (!info)
        return;
    struct geometry g = upload_geometry(u);
    if (info->etag_form == ETAG_TEXT)
        free(info->text);
    chunks_remove(&u->done, chunk);
    u->done_count--;
    u->done_bytes -= geometry_length(&g, chunk);
}

int upload_count_redo(struct upload *u, uint32_t chunk) {
    struct chunk_info *info = chunks_find(&u->redone, chunk);
    int err = info ? 0 : chunks_add(&u->redone, chunk, &info);
    if (!err)
        info->seq++;
    return err;
}

unsigned upload_redos(const struct upload *u, uint32_t chunk) {
    const struct chunk_info *info = chunks_find(&u->redone, chunk);
    return info ? (unsigned)info->seq : 0;
}

void upload_forget_redos(struct upload *u) {
    chunks_release(&u->redone);
}

struct slice chunk_etag(const struct chunk_info *info, char room[ID_HEX_SIZE]) {
    if (info->etag_form == ETAG_TEXT)
        return slice_of(info->text);
    if (info->etag_form == ETAG_NONE)
        return slice_of("");
    hex_encode(info->hex, sizeof info->hex, room);
    return slice_make(room, ID_HEX_LEN);
}

struct slice upload_etag(const struct upload *u, uint32_t chunk, char room[ID_HEX_SIZE]) {
    const struct chunk_info *info = upload_chunk(u, chunk);
    CHECK(info);
    return chunk_etag(info, room);
}
