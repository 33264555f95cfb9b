#include "consumer/state/finished.h"
#include <stdlib.h>

#include "pure/proto.h"

#define TABLE_MIN 64

int finished_init(struct finished *f) {
    *f = (struct finished){0};
    f->table = calloc(TABLE_MIN, sizeof *f->table);
    if (!f->table)
        return ERR_NOMEM;
    f->cells = TABLE_MIN;
    return 0;
}

void finished_release(struct finished *f) {
    free(f->entries);
    free(f->table);
    *f = (struct finished){0};
}

/* The table cell of dest, or the free one where it belongs. */
static uint32_t *finished_cell(const struct finished *f, const struct id128 *dest) {
    size_t i = id_hash(dest) & (f->cells - 1);
    while (f->table[i] && !id_equal(&f->entries[f->table[i] - 1].dest, dest))
        i = (i + 1) & (f->cells - 1);
    return &f->table[i];
}

static int finished_rebuild(struct finished *f, size_t cells) {
    uint32_t *table = calloc(cells, sizeof *table);
    if (!table)
        return ERR_NOMEM;
    free(f->table);
    f->table = table;
    f->cells = cells;
    for (size_t i = 0; i < f->count; i++)
        *finished_cell(f, &f->entries[i].dest) = (uint32_t)i + 1;
    return 0;
}

static int finished_make_room(struct finished *f) {
    if (f->count >= UINT32_MAX - 1)
        return ERR_LIMIT;
    if (f->count == f->cap) {
        size_t cap = f->cap ? f->cap + f->cap / 2 : 64;
        struct finished_entry *entries = reallocarray(f->entries, cap, sizeof *entries);
        if (!entries)
            return ERR_NOMEM;
        f->entries = entries;
        f->cap = cap;
    }
    if (f->count >= f->cells / 4 * 3)
        return finished_rebuild(f, f->cells * 2);
    return 0;
}

int finished_put(struct finished *f, const struct finished_entry *e) {
    uint32_t *at = finished_cell(f, &e->dest);
    if (!*at) {
        int err = finished_make_room(f);
        if (err)
            return err;
        at = finished_cell(f, &e->dest);
        f->count++;
        *at = (uint32_t)f->count;
    }
    f->entries[*at - 1] = *e;
    f->total++;
    return 0;
}

const struct finished_entry *finished_find(const struct finished *f, const struct id128 *dest) {
    uint32_t at = *finished_cell(f, dest);
    return at ? &f->entries[at - 1] : NULL;
}

/* A change of any bit of value changes about half of the result's bits (the finalizer of
 * splitmix64). */
static uint64_t hash_mix(uint64_t value) {
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void finished_identify(struct finished_entry *e, const struct source_identity *file) {
    uint64_t inode = hash_mix(file->ino) & UINT16_MAX;
    e->inode = file->ino == 0 ? 0 : inode ? inode : 1;
    e->ctime = (uint32_t)hash_mix((uint64_t)file->ctime_ns ^ hash_mix((uint64_t)(file->ctime_ns >> 64)));
}

uint32_t finished_differs(const struct finished_entry *e, const struct source_identity *file) {
    struct finished_entry now;
    finished_identify(&now, file);
    bool inode = e->inode && now.inode && e->inode != now.inode;
    return (inode ? DIFFERS_INODE : 0u) | (e->ctime != now.ctime ? DIFFERS_CTIME : 0u);
}

void finished_update(struct finished *f, const struct finished_entry *same) {
    uint32_t at = *finished_cell(f, &same->dest);
    struct finished_entry *e = at ? &f->entries[at - 1] : NULL;
    if (!e || !id_equal(&e->upload, &same->upload) || !id_equal(&e->key, &same->key) || e->crc != same->crc)
        return;
    e->inode = same->inode;
    e->ctime = same->ctime;
}

void finished_move(struct finished *f, const struct id128 *dest, const struct id128 *upload, uint64_t seq) {
    uint32_t at = *finished_cell(f, dest);
    if (at && id_equal(&f->entries[at - 1].upload, upload))
        f->entries[at - 1].seq = seq;
}

static int finished_remove_if(struct finished *f, bool (*matches)(const struct finished_entry *e, const void *arg),
                              const void *arg) {
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++)
        if (!matches(&f->entries[i], arg))
            f->entries[kept++] = f->entries[i];
    if (kept == f->count)
        return 0;
    f->count = kept;
    return finished_rebuild(f, f->cells);
}

static bool entry_is_of_upload(const struct finished_entry *e, const void *upload) {
    return id_equal(&e->upload, upload);
}

int finished_forget(struct finished *f, const struct id128 *upload) {
    return finished_remove_if(f, entry_is_of_upload, upload);
}

static bool entry_is_up_to_seq(const struct finished_entry *e, const void *seq) {
    return e->seq <= *(const uint64_t *)seq;
}

int finished_drop(struct finished *f, uint64_t seq) {
    int err = finished_remove_if(f, entry_is_up_to_seq, &seq);
    f->total = f->count;
    return err;
}
