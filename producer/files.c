#include "producer/files.h"
#include "pure/bitmap.h"
#include "pure/check.h"
#include "pure/list.h"
#include <stdlib.h>
#include <sys/param.h>

bool files_have_room(const struct files *fs) {
    return fs->count < FILES_AHEAD && (fs->count == 0 || fs->bitmap_bytes < FILES_BITMAP_BYTES);
}

/* A planned file already counts with the bitmaps that it will need. */
static size_t file_bitmap_cost(const struct file *f) {
    uint32_t chunks = MAX(f->geometry.chunks, f->wanted_geometry.chunks);
    return chunks > 1 ? 2 * bitmap_size(chunks) : 0;
}

int files_add(struct files *fs, const char *path, const char *dest, const struct source_identity *id,
              const struct geometry *wanted, struct file **out) {
    struct file *f = calloc(1, sizeof *f);
    *out = NULL;
    if (!f)
        return ERR_NOMEM;
    f->path = slice_dup(slice_of(path));
    f->dest = f->path ? slice_dup(slice_of(dest)) : NULL;
    if (!f->dest) {
        free(f->path);
        free(f);
        return ERR_NOMEM;
    }
    f->index = ++fs->next_index;
    f->id = *id;
    f->wanted_geometry = *wanted;
    f->put = wanted->chunks <= 1;
    f->available = UINT32_MAX;
    f->state = FILE_PLAN;
    f->prev = fs->last;
    *(fs->last ? &fs->last->next : &fs->first) = f;
    fs->last = f;
    fs->count++;
    fs->bitmap_bytes += file_bitmap_cost(f);
    *out = f;
    return 0;
}

void files_set_identity(struct files *fs, struct file *f, const struct source_identity *id,
                        const struct geometry *wanted) {
    CHECK(!f->done);
    fs->bitmap_bytes -= file_bitmap_cost(f);
    f->id = *id;
    f->wanted_geometry = *wanted;
    f->put = wanted->chunks <= 1;
    fs->bitmap_bytes += file_bitmap_cost(f);
}

static void files_unhash(struct files *fs, struct file *f) {
    if (!f->hashed)
        return;
    hash_remove(&fs->by_upload, &f->by_upload);
    f->hashed = false;
}

void files_set_upload(struct files *fs, struct file *f, const struct id128 *upload) {
    files_unhash(fs, f);
    f->upload = *upload;
    if (id_is_zero(upload))
        return;
    hash_insert(&fs->by_upload, &f->by_upload, id_hash(upload));
    f->hashed = true;
}

struct file *files_find_planned(const struct files *fs, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&fs->by_upload, id_hash(upload)); n; n = hash_next(n)) {
        struct file *f = list_entry(n, struct file, by_upload);
        if (id_equal(&f->upload, upload))
            return f;
    }
    return NULL;
}

struct file *files_find(const struct files *fs, const struct id128 *upload) {
    struct file *f = files_find_planned(fs, upload);
    for (struct file *other = f ? NULL : fs->first; other; other = other->next)
        if (other->state == FILE_CLEAR && id_equal(&other->superseded, upload))
            return other;
    return f;
}

static void file_free(struct file *f) {
    free(f->path);
    free(f->dest);
    free(f->handle);
    free(f->marker);
    free(f->keys);
    free(f->superseded_handle);
    free(f->record_etag);
    free(f->unserved_detail);
    free(f->refusal);
    free(f->done);
    free(f->taken);
    free(f);
}

void files_remove(struct files *fs, struct file *f) {
    files_unhash(fs, f);
    *(f->prev ? &f->prev->next : &fs->first) = f->next;
    *(f->next ? &f->next->prev : &fs->last) = f->prev;
    CHECK(fs->count > 0);
    fs->count--;
    fs->bitmap_bytes -= file_bitmap_cost(f);
    file_free(f);
}

void files_release(struct files *fs) {
    struct file *next;
    for (struct file *f = fs->first; f; f = next) {
        next = f->next;
        file_free(f);
    }
    hash_release(&fs->by_upload);
    memset(fs, 0, sizeof *fs);
}

int file_set_handle(struct file *f, struct slice handle) {
    char *copy = NULL;
    if (handle.len > 0 && !(copy = slice_dup(handle)))
        return ERR_NOMEM;
    free(f->handle);
    f->handle = copy;
    return 0;
}

/* One block: the slices, then the texts. */
int file_set_keys(struct file *f, const char *const *keys, size_t count) {
    size_t bytes = count * sizeof *f->keys;
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++)
        bytes += strlen(keys[i]);
    struct slice *copy = malloc(bytes);
    if (!copy)
        return ERR_NOMEM;
    char *text = (char *)(copy + count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(keys[i]);
        memcpy(text, keys[i], len);
        copy[i] = slice_make(text, len);
        text += len;
    }
    free(f->keys);
    f->keys = copy;
    f->key_count = count;
    return 0;
}

int file_set_record_etag(struct file *f, struct slice etag) {
    char *copy = NULL;
    if (etag.len > 0 && !(copy = slice_dup(etag)))
        return ERR_NOMEM;
    free(f->record_etag);
    f->record_etag = copy;
    return 0;
}

void file_clear_superseded(struct file *f) {
    memset(&f->superseded, 0, sizeof f->superseded);
    free(f->superseded_handle);
    f->superseded_handle = NULL;
    f->superseded_opened = false;
}

int file_set_superseded(struct file *f, const struct id128 *upload, struct slice handle, bool opened) {
    file_clear_superseded(f);
    if (handle.len > 0 && !(f->superseded_handle = slice_dup(handle)))
        return ERR_NOMEM;
    f->superseded = *upload;
    f->superseded_opened = opened;
    return 0;
}

int file_set_geometry(struct files *fs, struct file *f, const struct geometry *geometry, struct slice done) {
    if ((!f->stream && geometry->size != f->id.size) || geometry->chunks == 0 || !geometry_is_valid(geometry))
        return ERR_INVALID;
    size_t size = bitmap_size(geometry->chunks);
    uint8_t *done_bits = calloc(1, size), *taken_bits = done_bits ? calloc(1, size) : NULL;
    if (!taken_bits) {
        free(done_bits);
        return ERR_NOMEM;
    }
    free(f->done);
    free(f->taken);
    fs->bitmap_bytes -= file_bitmap_cost(f);
    f->done = done_bits;
    f->taken = taken_bits;
    f->geometry = *geometry;
    fs->bitmap_bytes += file_bitmap_cost(f);
    f->chunks_done = f->next_chunk = 0;
    f->done_bytes = 0;
    uint64_t recorded = MIN(geometry->chunks, 8 * (uint64_t)done.len);
    for (uint32_t i = 0; i < recorded; i++)
        if (bitmap_get((const uint8_t *)done.ptr, i))
            (void)file_chunk_set_done(f, i);
    return 0;
}

void file_clear_geometry(struct files *fs, struct file *f) {
    fs->bitmap_bytes -= file_bitmap_cost(f);
    free(f->done);
    free(f->taken);
    f->done = f->taken = NULL;
    memset(&f->geometry, 0, sizeof f->geometry);
    fs->bitmap_bytes += file_bitmap_cost(f);
    f->chunks_done = f->next_chunk = 0;
    f->done_bytes = 0;
}

void file_set_end(struct files *fs, struct file *f, const struct geometry *end) {
    CHECK(f->open_ended && end->chunks > 0);
    fs->bitmap_bytes -= file_bitmap_cost(f);
    f->end = *end;
    f->id.size = end->size;
    if (f->done)
        f->geometry = *end; /* the bitmaps keep their size */
    fs->bitmap_bytes += file_bitmap_cost(f);
}

const struct geometry *file_stream_geometry(const struct file *f) {
    return f->end.chunks ? &f->end : &f->wanted_geometry;
}

/* A file has both bitmaps or none. */
static bool file_has_chunk(const struct file *f, uint32_t chunk) {
    return f->done && chunk < f->geometry.chunks;
}

bool file_chunk_is_done(const struct file *f, uint32_t chunk) {
    return file_has_chunk(f, chunk) && bitmap_get(f->done, chunk);
}

bool file_chunk_is_taken(const struct file *f, uint32_t chunk) {
    return file_has_chunk(f, chunk) && bitmap_get(f->taken, chunk);
}

void file_chunk_take(struct file *f, uint32_t chunk) {
    CHECK(file_has_chunk(f, chunk));
    bitmap_set(f->taken, chunk);
}

void file_chunk_give_back(struct file *f, uint32_t chunk) {
    if (!file_has_chunk(f, chunk))
        return;
    bitmap_clear(f->taken, chunk);
    f->next_chunk = MIN(chunk, f->next_chunk);
}

void file_give_back_all(struct file *f) {
    if (f->taken)
        memset(f->taken, 0, bitmap_size(f->geometry.chunks));
    f->next_chunk = 0;
    f->taken_single = false;
}

bool file_chunk_set_done(struct file *f, uint32_t chunk) {
    if (!file_has_chunk(f, chunk) || bitmap_get(f->done, chunk))
        return false;
    bitmap_set(f->done, chunk);
    f->chunks_done++;
    f->done_bytes += geometry_length(&f->geometry, chunk);
    return true;
}

bool file_chunk_set_redo(struct file *f, uint32_t chunk) {
    if (!file_chunk_is_done(f, chunk))
        return false;
    bitmap_clear(f->done, chunk);
    f->chunks_done--;
    f->done_bytes -= geometry_length(&f->geometry, chunk);
    f->next_chunk = MIN(chunk, f->next_chunk);
    return true;
}

bool file_next_chunk(struct file *f, uint32_t *chunk) {
    uint32_t end = MIN(f->geometry.chunks, f->available);
    for (; f->next_chunk < end; f->next_chunk++)
        if (!bitmap_get(f->done, f->next_chunk) && !bitmap_get(f->taken, f->next_chunk)) {
            *chunk = f->next_chunk;
            return true;
        }
    return false;
}

bool file_is_complete(const struct file *f) {
    return f->done && f->chunks_done == f->geometry.chunks;
}
