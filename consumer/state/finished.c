#include "consumer/state/finished.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pure/proto.h"

#define CELLS_MIN 64
#define HUGE_MIN ((size_t)4 << 20)

static void finished_set_table(struct finished *f, uint32_t *table, size_t cells) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(cells - 1);
    f->table = table;
    f->cells = cells;
    f->position_mask = bits < 32 ? (UINT32_C(1) << bits) - 1 : UINT32_MAX;
}

int finished_init(struct finished *f) {
    *f = (struct finished){0};
    uint32_t *table = calloc(CELLS_MIN, sizeof *table);
    if (!table)
        return ERR_NOMEM;
    finished_set_table(f, table, CELLS_MIN);
    return 0;
}

void finished_release(struct finished *f) {
    free(f->entries);
    free(f->table);
    *f = (struct finished){0};
}

void finished_release_table(struct finished *f) {
    free(f->table);
    f->table = NULL;
}

/* Random reads of a large array cost mostly address translation, so it is put on huge pages where they are available. */
static void *array_on_huge_pages(void *array, size_t bytes) {
    size_t into_page = (uintptr_t)array % (size_t)sysconf(_SC_PAGESIZE);
    if (array && bytes >= HUGE_MIN) /* the whole mapping: mremap moves it */
        (void)madvise((char *)array - into_page, into_page + bytes, MADV_HUGEPAGE);
    return array;
}

/* Spreads the fingerprints evenly over any number of cells. */
static size_t finished_home(const struct finished *f, uint64_t dest) {
    return (size_t)((unsigned __int128)dest * f->cells >> 64);
}

/* A free cell is 0. Others have a position + 1 in the low bits. The bits above are those of the
 * fingerprint, so that few other entries are read. */
static uint32_t finished_cell_value(const struct finished *f, uint64_t dest, size_t position) {
    return ((uint32_t)dest & ~f->position_mask) | (uint32_t)(position + 1);
}

static struct finished_entry *finished_at(const struct finished *f, uint32_t cell) {
    return cell ? &f->entries[(cell & f->position_mask) - 1] : NULL;
}

/* The table cell of dest, or the free one where it belongs. */
static uint32_t *finished_cell(const struct finished *f, uint64_t dest) {
    size_t i = finished_home(f, dest);
    for (uint32_t cell; (cell = f->table[i]); i = i + 1 < f->cells ? i + 1 : 0)
        if (((cell ^ (uint32_t)dest) & ~f->position_mask) == 0 && finished_at(f, cell)->dest == dest)
            break;
    return &f->table[i];
}

static int finished_rebuild(struct finished *f, size_t cells) {
    uint32_t *table = array_on_huge_pages(calloc(cells, sizeof *table), cells * sizeof *table);
    if (!table)
        return ERR_NOMEM;
    free(f->table);
    finished_set_table(f, table, cells);
    for (size_t i = 0; i < f->count; i++)
        *finished_cell(f, f->entries[i].dest) = finished_cell_value(f, f->entries[i].dest, i);
    return 0;
}

static int finished_set_cap(struct finished *f, size_t cap) {
    struct finished_entry *entries = reallocarray(f->entries, cap, sizeof *entries);
    if (!entries)
        return ERR_NOMEM;
    f->entries = array_on_huge_pages(entries, cap * sizeof *entries);
    f->cap = cap;
    return 0;
}

int finished_reserve(struct finished *f, size_t count) {
    size_t cells = f->cells;
    if (count >= UINT32_MAX)
        return ERR_LIMIT;
    while (count > cells / 5 * 4)
        cells += cells / 2;
    if (count > f->cap) {
        int err = finished_set_cap(f, count);
        if (err)
            return err;
    }
    return cells > f->cells ? finished_rebuild(f, cells) : 0;
}

static int finished_make_room(struct finished *f) {
    if (f->count == f->cap) {
        int err = finished_set_cap(f, f->cap > 0 ? f->cap + f->cap / 2 : 64);
        if (err)
            return err;
    }
    return finished_reserve(f, f->count + 1);
}

int finished_put(struct finished *f, const struct finished_entry *e) {
    uint32_t *at = finished_cell(f, e->dest);
    if (!*at) {
        size_t cells = f->cells;
        int err = finished_make_room(f);
        if (err)
            return err;
        if (f->cells != cells)
            at = finished_cell(f, e->dest);
        *at = finished_cell_value(f, e->dest, f->count++);
    }
    *finished_at(f, *at) = *e;
    f->total++;
    return 0;
}

const struct finished_entry *finished_find(const struct finished *f, uint64_t dest) {
    return finished_at(f, *finished_cell(f, dest));
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
    struct finished_entry *e = finished_at(f, *finished_cell(f, same->dest));
    if (!e || !id_equal(&e->upload, &same->upload) || e->key != same->key || e->crc != same->crc)
        return;
    e->inode = same->inode;
    e->ctime = same->ctime;
}

void finished_move(struct finished *f, uint64_t dest, const struct id128 *upload, uint64_t seq) {
    struct finished_entry *e = finished_at(f, *finished_cell(f, dest));
    if (e && id_equal(&e->upload, upload))
        e->seq = seq;
}

void finished_mark(struct finished *f, uint64_t dest, const struct id128 *upload) {
    struct finished_entry *e = finished_at(f, *finished_cell(f, dest));
    if (e && id_equal(&e->upload, upload))
        e->deleting = true;
}

bool finished_has_mark(const struct finished *f) {
    for (size_t i = 0; i < f->count; i++)
        if (f->entries[i].deleting)
            return true;
    return false;
}

/* Frees the cell. A search goes from the home of an entry to the first free cell. So a cell behind the gap moves into it,
 * unless its home is behind the gap too. */
static void finished_free_cell(struct finished *f, size_t gap) {
    for (size_t i = gap;;) {
        i = i + 1 < f->cells ? i + 1 : 0;
        uint32_t cell = f->table[i];
        if (!cell)
            break;
        size_t home = finished_home(f, finished_at(f, cell)->dest);
        if (i - home < i - gap) /* unsigned: also across the end of the table */
            continue;
        f->table[gap] = cell;
        gap = i;
    }
    f->table[gap] = 0;
}

void finished_remove(struct finished *f, uint64_t dest, const struct id128 *upload) {
    uint32_t *cell = finished_cell(f, dest);
    struct finished_entry *e = finished_at(f, *cell);
    if (!e || !id_equal(&e->upload, upload))
        return;
    const struct finished_entry *last = &f->entries[f->count - 1];
    finished_free_cell(f, (size_t)(cell - f->table));
    if (e != last) {
        *finished_cell(f, last->dest) = finished_cell_value(f, last->dest, (size_t)(e - f->entries));
        *e = *last;
    }
    f->count--;
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
