/*
 * Little-endian numbers, texts with a 32-bit length in front, no padding:
 *
 *     "CLs2"
 *     u64 finished records ever   u64 entries   each: dest, key, upload (16 bytes each), u64 seq, u16 inode,
 *                                                     u32 ctime (fingerprints), u32 crc
 *     u64 ended                   each, oldest first: upload, u64 seq, u8 how
 *     u64 uploads                 each, by id: see save_upload
 *     u32 crc32c of everything before it
 *
 * A snapshot is never trusted: every length is checked against the bytes that are there, every number against what it
 * means, and nothing may be left over.
 */
#include "consumer/state/snapshot.h"
#include <stdlib.h>

#define MAGIC "CLs2"
#define MAGIC_LEN 4
#define CRC_LEN 4
#define PIECE ((size_t)256 << 10)
#define ENTRY_MAX ((size_t)128 << 10) /* a line of the journal has 64 KiB at most */
#define WINDOW (2 * ENTRY_MAX)
#define FLAG_BEGUN 1u
#define FLAG_REOPENED 2u
#define FLAG_SPOILED 4u
#define FLAG_HAS_FAILED 8u
#define FLAGS (FLAG_BEGUN | FLAG_REOPENED | FLAG_SPOILED | FLAG_HAS_FAILED)
#define INTEGRITY_SHIFT 4 /* above the flags */

/* ---- writing ---- */

struct writer {
    struct buf buf; /* not handed over yet */
    uint32_t crc;   /* of what was */
    snapshot_put *put;
    void *arg;
};

/* Hands over what was gathered, when it is more than `bytes`. */
static int spill(struct writer *w, size_t bytes) {
    if (w->buf.len <= bytes)
        return 0;
    w->crc = crc32c_add(w->crc, w->buf.data, w->buf.len);
    int rc = w->put(w->arg, buf_slice(&w->buf));
    buf_clear(&w->buf);
    return rc;
}

static int add_number(struct writer *out, uint64_t value, unsigned bytes) {
    char raw[8];
    for (unsigned i = 0; i < bytes; i++)
        raw[i] = (char)(value >> (8 * i));
    return buf_add(&out->buf, raw, bytes);
}

static int add_time(struct writer *out, nanotime t) {
    int rc = add_number(out, (uint64_t)t, 8);
    return rc ? rc : add_number(out, (uint64_t)(t >> 64), 8);
}

static int add_text(struct writer *out, struct slice s) {
    int rc = add_number(out, s.len, 4);
    return rc ? rc : buf_add_slice(&out->buf, s);
}

static int add_id(struct writer *out, const struct id128 *id) {
    return buf_add(&out->buf, id->b, sizeof id->b);
}

static int save_finished(const struct finished *f, struct writer *out) {
    int rc = add_number(out, f->total, 8);
    if (!rc)
        rc = add_number(out, f->count, 8);
    for (size_t i = 0; !rc && i < f->count; i++) {
        const struct finished_entry *e = &f->entries[i];
        rc = add_id(out, &e->dest);
        if (!rc)
            rc = add_id(out, &e->key);
        if (!rc)
            rc = add_id(out, &e->upload);
        if (!rc)
            rc = add_number(out, e->seq, 8);
        if (!rc)
            rc = add_number(out, e->inode, 2);
        if (!rc)
            rc = add_number(out, e->ctime, 4);
        if (!rc)
            rc = add_number(out, e->crc, 4);
        if (!rc)
            rc = spill(out, PIECE);
    }
    return rc;
}

static int save_ended(const struct recently_ended *ended, struct writer *out) {
    int rc = add_number(out, ended->count, 8);
    for (size_t i = 0; !rc && i < ended->count; i++) {
        const struct ended_upload *e = recently_ended_at(ended, i);
        rc = add_id(out, &e->upload);
        if (!rc)
            rc = add_number(out, e->seq, 8);
        if (!rc)
            rc = add_number(out, e->how, 1);
        if (!rc)
            rc = spill(out, PIECE);
    }
    return rc;
}

static int save_chunks(const struct upload *u, struct writer *out) {
    int rc = add_number(out, u->done_count, 4);
    const struct chunk_info *info;
    for (uint32_t i = 0; !rc && (info = upload_next_chunk(u, &i)); i++) {
        char room[ID_HEX_SIZE];
        rc = add_number(out, i, 4);
        if (!rc)
            rc = add_number(out, info->crc, 4);
        if (!rc)
            rc = add_number(out, info->seq, 8);
        if (!rc)
            rc = add_text(out, chunk_etag(info, room));
        if (!rc)
            rc = spill(out, PIECE);
    }
    return rc;
}

static int save_begun(const struct upload *u, struct writer *out) {
    int rc = add_number(out, u->begin_seq, 8);
    if (!rc)
        rc = add_text(out, upload_handle(u));
    if (!rc)
        rc = add_number(out, u->checksum, 1);
    if (!rc)
        rc = add_number(out, u->chunk_size, 8);
    if (!rc)
        rc = add_number(out, u->chunks, 4);
    return rc ? rc : save_chunks(u, out);
}

static int save_upload(const struct upload *u, struct writer *out) {
    const struct slice texts[] = {u->identity.src, u->identity.source, u->identity.dest, u->identity.endpoint};
    unsigned flags = (u->begun ? FLAG_BEGUN : 0) | (u->reopened ? FLAG_REOPENED : 0) | (u->spoiled ? FLAG_SPOILED : 0) |
                     (u->has_failed ? FLAG_HAS_FAILED : 0);
    int rc = add_id(out, &u->id);
    for (size_t i = 0; !rc && i < sizeof texts / sizeof *texts; i++)
        rc = add_text(out, texts[i]);
    if (!rc)
        rc = add_number(out, u->identity.file.size, 8);
    if (!rc)
        rc = add_time(out, u->identity.file.mtime_ns);
    if (!rc)
        rc = add_time(out, u->identity.file.ctime_ns);
    if (!rc)
        rc = add_number(out, u->identity.file.ino, 8);
    if (!rc)
        rc = add_number(out, (uint64_t)u->open_us, 8);
    if (!rc)
        rc = add_number(out, flags | (unsigned)u->integrity << INTEGRITY_SHIFT, 1);
    return rc || !u->begun ? rc : save_begun(u, out);
}

static int compare_ids(const void *a, const void *b) {
    const struct upload *const *x = a, *const *y = b;
    return memcmp((*x)->id.b, (*y)->id.b, sizeof(*x)->id.b);
}

static int save_uploads(const struct state *s, struct writer *out) {
    struct upload **sorted = calloc(s->count + 1, sizeof *sorted);
    if (!sorted)
        return ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->uploads[i]->opened)
            sorted[count++] = s->uploads[i];
    qsort(sorted, count, sizeof *sorted, compare_ids);
    int rc = add_number(out, count, 8);
    for (size_t i = 0; !rc && i < count; i++)
        if (!(rc = save_upload(sorted[i], out)))
            rc = spill(out, PIECE);
    free(sorted);
    return rc;
}

static int save_state(const struct state *s, struct writer *out) {
    int rc = buf_add(&out->buf, MAGIC, MAGIC_LEN);
    if (!rc)
        rc = save_finished(&s->finished, out);
    if (!rc)
        rc = save_ended(&s->recently_ended, out);
    if (!rc)
        rc = save_uploads(s, out);
    if (!rc)
        rc = spill(out, 0);
    if (!rc)
        rc = add_number(out, out->crc, 4);
    return rc ? rc : spill(out, 0);
}

int snapshot_produce(const void *state, snapshot_put *put, void *arg) {
    struct writer w = {.put = put, .arg = arg};
    int rc = save_state(state, &w);
    buf_release(&w.buf);
    return rc;
}

static int put_in_memory(void *arg, struct slice piece) {
    return buf_add_slice(arg, piece);
}

int snapshot_encode(const struct state *s, struct buf *out) {
    return snapshot_produce(s, put_in_memory, out);
}

/* ---- reading ---- */

/*
 * A window of the body. What was not there reads as zero and marks the reader bad. What take() returned is valid until
 * the next refill(): it is called before each entry, and an entry is never longer than ENTRY_MAX, for it came from a
 * line of the journal.
 */
struct reader {
    snapshot_fill *fill;
    void *arg;
    uint64_t rest; /* of the body, without its checksum; not in the window yet */
    uint32_t crc;
    char *window;
    struct slice left;
    bool bad;
    int err; /* of fill */
};

static void refill(struct reader *r) {
    if (r->bad || r->left.len >= ENTRY_MAX || r->rest == 0)
        return;
    memmove(r->window, r->left.ptr, r->left.len);
    size_t room = WINDOW - r->left.len, len = r->rest < room ? (size_t)r->rest : room;
    r->err = r->fill(r->arg, r->window + r->left.len, len);
    if (r->err) {
        r->bad = true;
        return;
    }
    r->crc = crc32c_add(r->crc, r->window + r->left.len, len);
    r->left = slice_make(r->window, r->left.len + len);
    r->rest -= len;
}

static const char *take(struct reader *r, size_t len) {
    if (r->bad || r->left.len < len) {
        r->bad = true;
        return NULL;
    }
    const char *at = r->left.ptr;
    r->left.ptr += len;
    r->left.len -= len;
    return at;
}

static uint64_t take_number(struct reader *r, unsigned bytes) {
    const unsigned char *at = (const unsigned char *)take(r, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; at && i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

static nanotime take_time(struct reader *r) {
    uint64_t low = take_number(r, 8);
    nanotime t = (nanotime)(int64_t)take_number(r, 8) * ((nanotime)1 << 64) + low;
    r->bad = r->bad || !nanotime_is_valid(t);
    return r->bad ? 0 : t;
}

static struct slice take_text(struct reader *r) {
    size_t len = take_number(r, 4);
    const char *at = take(r, len);
    return slice_make(at, at ? len : 0);
}

static struct id128 take_id(struct reader *r) {
    struct id128 id = {{0}};
    const char *at = take(r, sizeof id.b);
    if (at)
        memcpy(id.b, at, sizeof id.b);
    return id;
}

static int load_finished(struct reader *r, struct state *s) {
    uint64_t total = take_number(r, 8), count = take_number(r, 8);
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        struct finished_entry e;
        refill(r);
        e.dest = take_id(r);
        e.key = take_id(r);
        e.upload = take_id(r);
        uint64_t seq = take_number(r, 8);
        r->bad = r->bad || seq > FINISHED_SEQ_MAX;
        e.seq = seq & FINISHED_SEQ_MAX;
        e.inode = take_number(r, 2) & UINT16_MAX;
        e.ctime = (uint32_t)take_number(r, 4);
        e.crc = (uint32_t)take_number(r, 4);
        int rc = r->bad ? 0 : finished_put(&s->finished, &e);
        if (rc)
            return rc;
    }
    if (s->finished.count != count || total < count)
        r->bad = true;
    s->finished.total = total;
    return 0;
}

static void load_ended(struct reader *r, struct state *s) {
    uint64_t count = take_number(r, 8);
    if (count > RECENTLY_ENDED_MAX)
        r->bad = true;
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        refill(r);
        struct id128 upload = take_id(r);
        uint64_t seq = take_number(r, 8), how = take_number(r, 1);
        if (how < ENDED_FINISHED || how > ENDED_ABORTED)
            r->bad = true;
        if (!r->bad)
            recently_ended_add(&s->recently_ended, &upload, (enum ended_how)how, seq);
    }
}

static int load_chunks(struct reader *r, struct upload *u) {
    uint32_t count = (uint32_t)take_number(r, 4);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        refill(r);
        uint32_t chunk = (uint32_t)take_number(r, 4), crc = (uint32_t)take_number(r, 4);
        uint64_t seq = take_number(r, 8);
        struct slice etag = take_text(r);
        int rc = r->bad ? 0 : upload_set_chunk(u, chunk, crc, etag, seq);
        if (rc == ERR_NOMEM)
            return rc;
        if (rc)
            r->bad = true;
    }
    if (u->done_count != count)
        r->bad = true;
    return 0;
}

static int load_begun(struct reader *r, struct upload *u) {
    refill(r);
    u->begin_seq = take_number(r, 8);
    struct slice handle = take_text(r);
    uint64_t checksum = take_number(r, 1), chunk_size = take_number(r, 8);
    uint32_t chunks = (uint32_t)take_number(r, 4);
    if (checksum > CHECKSUM_CRC32C_FULL || memchr(handle.len ? handle.ptr : "", '\0', handle.len))
        r->bad = true;
    int rc = r->bad ? ERR_INVALID : upload_begin(u, handle, (enum checksum_kind)checksum, chunk_size, chunks);
    if (rc == ERR_INVALID)
        r->bad = true;
    return r->bad ? 0 : rc ? rc : load_chunks(r, u);
}

static int load_upload(struct reader *r, struct state *s) {
    struct upload *u;
    refill(r);
    struct id128 id = take_id(r);
    struct upload_identity is = {.src = take_text(r)};
    is.source = take_text(r);
    is.dest = take_text(r);
    is.endpoint = take_text(r);
    is.file.size = take_number(r, 8);
    is.file.mtime_ns = take_time(r);
    is.file.ctime_ns = take_time(r);
    is.file.ino = take_number(r, 8);
    int64_t open_us = (int64_t)take_number(r, 8);
    uint64_t flags = take_number(r, 1), integrity = flags >> INTEGRITY_SHIFT;
    flags &= (1u << INTEGRITY_SHIFT) - 1;
    if (r->bad || flags > FLAGS || integrity > INTEGRITY_SHA256 || state_find(s, &id)) {
        r->bad = true;
        return 0;
    }
    int rc = state_add(s, &id, &is, &u);
    if (rc)
        return rc;
    u->opened = true;
    u->open_us = open_us;
    u->reopened = flags & FLAG_REOPENED;
    u->spoiled = flags & FLAG_SPOILED;
    u->integrity = (enum integrity)integrity;
    u->has_failed = flags & FLAG_HAS_FAILED;
    return flags & FLAG_BEGUN ? load_begun(r, u) : 0;
}

static int load(struct reader *r, struct state *s) {
    refill(r);
    const char *magic = take(r, MAGIC_LEN);
    if (!magic || memcmp(magic, MAGIC, MAGIC_LEN) != 0)
        return ERR_DAMAGED;
    int rc = load_finished(r, s);
    if (rc)
        return rc;
    load_ended(r, s);
    refill(r);
    uint64_t count = take_number(r, 8);
    for (uint64_t i = 0; i < count && !r->bad && !rc; i++)
        rc = load_upload(r, s);
    if (r->left.len || r->rest)
        r->bad = true;
    return rc ? rc : r->err ? r->err : r->bad ? ERR_DAMAGED : 0;
}

static int check_crc(const struct reader *r) {
    char raw[CRC_LEN];
    int rc = r->fill(r->arg, raw, sizeof raw);
    struct reader tail = {.left = slice_make(raw, sizeof raw)};
    return rc ? rc : (uint32_t)take_number(&tail, CRC_LEN) == r->crc ? 0 : ERR_DAMAGED;
}

int snapshot_decode_from(snapshot_fill *fill, void *arg, uint64_t length, struct state *s) {
    if (length < MAGIC_LEN + CRC_LEN)
        return ERR_DAMAGED;
    struct reader r = {.fill = fill, .arg = arg, .rest = length - CRC_LEN, .window = malloc(WINDOW)};
    r.left = slice_make(r.window, 0);
    int rc = r.window ? load(&r, s) : ERR_NOMEM;
    if (!rc)
        rc = check_crc(&r);
    free(r.window);
    if (rc) {
        int cleared = state_clear(s);
        return cleared ? cleared : rc;
    }
    return 0;
}

static int fill_from_slice(void *arg, char *to, size_t len) {
    struct slice *rest = arg;
    if (len > rest->len)
        return ERR_DAMAGED;
    memcpy(to, rest->ptr, len);
    *rest = slice_make(rest->ptr + len, rest->len - len);
    return 0;
}

int snapshot_decode(struct slice body, struct state *s) {
    struct slice rest = body;
    return snapshot_decode_from(fill_from_slice, &rest, body.len, s);
}
