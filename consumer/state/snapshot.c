/*
 * The body: little-endian numbers, texts after a 32-bit length, no padding.
 *
 *     "CLs5"
 *     u64 finished records ever
 *     u64 entries, then for each: u64 dest, u64 key (fingerprints), upload, u64 seq (and the mark: MARK_DELETING),
 *                                 u16 inode, u32 ctime (fingerprints), u32 crc
 *     u64 recently ended, then for each, oldest first: upload, u64 seq, u8 how
 *     u64 uploads, then for each, by id: see encode_upload
 *     u32 crc32c of everything before it
 *
 * A snapshot is not trusted: every length is checked against the bytes that are present, every
 * number against its range, and no bytes may remain.
 */
#include "consumer/state/snapshot.h"
#include "pure/array.h"
#include <endian.h>
#include <stdlib.h>
#include <sys/param.h>

#define MAGIC "CLs5"
#define MAGIC_LEN 4
#define CRC_LEN 4
#define PIECE ((size_t)256 << 10)
#define FINISHED_BYTES 50 /* of one finished upload */
#define MARK_DELETING (UINT64_C(1) << 63)
#define ENTRY_MAX ((size_t)128 << 10) /* a line of the journal has at most 64 KiB */
#define WINDOW (2 * ENTRY_MAX)
#define FLAG_BEGUN 1u
#define FLAG_REOPENED 2u
#define FLAG_SPOILED 4u
#define FLAG_HAS_FAILED 8u
#define INTEGRITY_SHIFT 4 /* above the four flags */

/* ---- encoder ---- */

struct snapshot_encoder {
    struct buf buf; /* not passed to put() yet */
    uint32_t crc;   /* of the bytes passed to put() */
    snapshot_put *put;
    void *arg;
};

/* Passes the buffer to put() when it has more than `bytes`. */
static int writer_flush(struct snapshot_encoder *w, size_t bytes) {
    if (w->buf.len <= bytes)
        return 0;
    w->crc = crc32c_add(w->crc, w->buf.data, w->buf.len);
    int err = w->put(w->arg, buf_slice(&w->buf));
    buf_clear(&w->buf);
    return err;
}

static int writer_add_number(struct snapshot_encoder *out, uint64_t value, unsigned bytes) {
    uint64_t raw = htole64(value);
    return buf_add(&out->buf, &raw, bytes);
}

static int writer_add_time(struct snapshot_encoder *out, nanotime t) {
    int err = writer_add_number(out, (uint64_t)t, 8);
    return err ? err : writer_add_number(out, (uint64_t)(t >> 64), 8);
}

static int writer_add_text(struct snapshot_encoder *out, struct slice s) {
    int err = writer_add_number(out, s.len, 4);
    return err ? err : buf_add_slice(&out->buf, s);
}

static int writer_add_id(struct snapshot_encoder *out, const struct id128 *id) {
    return buf_add(&out->buf, id->b, sizeof id->b);
}

static int encode_finished(const struct finished *f, struct snapshot_encoder *out) {
    int err = writer_add_number(out, f->total, 8);
    if (!err)
        err = writer_add_number(out, f->count, 8);
    for (size_t i = 0; !err && i < f->count; i++) {
        const struct finished_entry *e = &f->entries[i];
        err = writer_add_number(out, e->dest, 8);
        if (!err)
            err = writer_add_number(out, e->key, 8);
        if (!err)
            err = writer_add_id(out, &e->upload);
        if (!err)
            err = writer_add_number(out, e->seq | (e->deleting ? MARK_DELETING : 0), 8);
        if (!err)
            err = writer_add_number(out, e->inode, 2);
        if (!err)
            err = writer_add_number(out, e->ctime, 4);
        if (!err)
            err = writer_add_number(out, e->crc, 4);
        if (!err)
            err = writer_flush(out, PIECE);
    }
    return err;
}

static int encode_recently_ended(const struct recently_ended *ended, struct snapshot_encoder *out) {
    int err = writer_add_number(out, ended->count, 8);
    for (size_t i = 0; !err && i < ended->count; i++) {
        const struct ended_upload *e = recently_ended_at(ended, i);
        err = writer_add_id(out, &e->upload);
        if (!err)
            err = writer_add_number(out, e->seq, 8);
        if (!err)
            err = writer_add_number(out, e->how, 1);
        if (!err)
            err = writer_flush(out, PIECE);
    }
    return err;
}

static int encode_chunks(const struct upload *u, struct snapshot_encoder *out) {
    int err = writer_add_number(out, u->done_count, 4);
    const struct chunk_info *info;
    for (uint32_t i = 0; !err && (info = upload_next_chunk(u, &i)); i++) {
        char room[ID_HEX_SIZE];
        err = writer_add_number(out, i, 4);
        if (!err)
            err = writer_add_number(out, info->crc, 4);
        if (!err)
            err = writer_add_number(out, info->seq, 8);
        if (!err)
            err = writer_add_text(out, chunk_etag(info, room));
        if (!err)
            err = writer_flush(out, PIECE);
    }
    return err;
}

static int encode_begun(const struct upload *u, struct snapshot_encoder *out) {
    int err = writer_add_number(out, u->begin_seq, 8);
    if (!err)
        err = writer_add_text(out, upload_handle(u));
    if (!err)
        err = writer_add_number(out, u->checksum, 1);
    if (!err)
        err = writer_add_number(out, u->chunk_size, 8);
    if (!err)
        err = writer_add_number(out, u->chunks, 4);
    if (!err)
        err = writer_add_number(out, u->grow, 4);
    if (!err)
        err = writer_add_number(out, u->end, 8);
    return err ? err : encode_chunks(u, out);
}

static int encode_upload(const struct upload *u, struct snapshot_encoder *out) {
    const struct slice texts[] = {u->identity.src, u->identity.source, u->identity.dest, u->identity.endpoint};
    unsigned flags = (u->begun ? FLAG_BEGUN : 0) | (u->reopened ? FLAG_REOPENED : 0) | (u->spoiled ? FLAG_SPOILED : 0) |
                     (u->has_failed ? FLAG_HAS_FAILED : 0);
    int err = writer_add_id(out, &u->id);
    if (!err)
        err = writer_add_id(out, &u->properties);
    for (size_t i = 0; !err && i < sizeof texts / sizeof *texts; i++)
        err = writer_add_text(out, texts[i]);
    if (!err)
        err = writer_add_number(out, u->identity.file.size, 8);
    if (!err)
        err = writer_add_time(out, u->identity.file.mtime_ns);
    if (!err)
        err = writer_add_time(out, u->identity.file.ctime_ns);
    if (!err)
        err = writer_add_number(out, u->identity.file.ino, 8);
    if (!err)
        err = writer_add_number(out, (uint64_t)u->open_us, 8);
    if (!err)
        err = writer_add_number(out, flags | (unsigned)u->integrity << INTEGRITY_SHIFT, 1);
    return err || !u->begun ? err : encode_begun(u, out);
}

static int upload_compare_ids(const void *a, const void *b) {
    const struct upload *const *x = a, *const *y = b;
    return memcmp((*x)->id.b, (*y)->id.b, sizeof(*x)->id.b);
}

static int encode_uploads(const struct state *s, struct snapshot_encoder *out) {
    struct upload **sorted = array_zeroed(s->count, sizeof *sorted);
    if (!sorted)
        return ERR_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->uploads[i]->opened)
            sorted[count++] = s->uploads[i];
    qsort(sorted, count, sizeof *sorted, upload_compare_ids);
    int err = writer_add_number(out, count, 8);
    for (size_t i = 0; !err && i < count; i++)
        if (!(err = encode_upload(sorted[i], out)))
            err = writer_flush(out, PIECE);
    free(sorted);
    return err;
}

static int encode_state(const struct state *s, struct snapshot_encoder *out) {
    int err = buf_add(&out->buf, MAGIC, MAGIC_LEN);
    if (!err)
        err = encode_finished(&s->finished, out);
    if (!err)
        err = encode_recently_ended(&s->recently_ended, out);
    if (!err)
        err = encode_uploads(s, out);
    if (!err)
        err = writer_flush(out, 0);
    if (!err)
        err = writer_add_number(out, out->crc, 4);
    return err ? err : writer_flush(out, 0);
}

int snapshot_produce(const void *state, snapshot_put *put, void *arg) {
    struct snapshot_encoder w = {.put = put, .arg = arg};
    int err = encode_state(state, &w);
    buf_release(&w.buf);
    return err;
}

static int snapshot_put_in_memory(void *arg, struct slice piece) {
    return buf_add_slice(arg, piece);
}

int snapshot_encode(const struct state *s, struct buf *out) {
    return snapshot_produce(s, snapshot_put_in_memory, out);
}

/* ---- decoder ---- */

/*
 * A window of the body. A value beyond its end reads as zero and sets bad. The result of
 * reader_take() is valid until the next reader_refill(), which is called before each entry. An
 * entry comes from a line of the journal, so it is never longer than ENTRY_MAX.
 */
struct snapshot_decoder {
    snapshot_fill *fill;
    void *arg;
    uint64_t rest; /* bytes of the body, without its checksum, that are not in the window yet */
    uint32_t crc;
    char *window;
    struct slice left;
    bool bad;
    int err; /* of fill */
};

static void reader_refill(struct snapshot_decoder *r) {
    if (r->bad || r->left.len >= ENTRY_MAX || r->rest == 0)
        return;
    memmove(r->window, r->left.ptr, r->left.len);
    size_t room = WINDOW - r->left.len, len = (size_t)MIN(r->rest, room);
    r->err = r->fill(r->arg, r->window + r->left.len, len);
    if (r->err) {
        r->bad = true;
        return;
    }
    r->crc = crc32c_add(r->crc, r->window + r->left.len, len);
    r->left = slice_make(r->window, r->left.len + len);
    r->rest -= len;
}

static const char *reader_take(struct snapshot_decoder *r, size_t len) {
    if (r->bad || r->left.len < len) {
        r->bad = true;
        return NULL;
    }
    const char *at = r->left.ptr;
    r->left.ptr += len;
    r->left.len -= len;
    return at;
}

static uint64_t reader_take_number(struct snapshot_decoder *r, unsigned bytes) {
    const char *at = reader_take(r, bytes);
    uint64_t raw = 0;
    if (at)
        memcpy(&raw, at, bytes);
    return le64toh(raw);
}

static nanotime reader_take_time(struct snapshot_decoder *r) {
    uint64_t low = reader_take_number(r, 8);
    nanotime t = (nanotime)(int64_t)reader_take_number(r, 8) * ((nanotime)1 << 64) + low;
    r->bad = r->bad || !nanotime_is_valid(t);
    return r->bad ? 0 : t;
}

static struct slice reader_take_text(struct snapshot_decoder *r) {
    size_t len = reader_take_number(r, 4);
    const char *at = reader_take(r, len);
    return slice_make(at, at ? len : 0);
}

static struct id128 reader_take_id(struct snapshot_decoder *r) {
    struct id128 id = {{0}};
    const char *at = reader_take(r, sizeof id.b);
    if (at)
        memcpy(id.b, at, sizeof id.b);
    return id;
}

static int decode_finished(struct snapshot_decoder *r, struct state *s) {
    uint64_t total = reader_take_number(r, 8), count = reader_take_number(r, 8);
    r->bad = r->bad || count > (r->left.len + r->rest) / FINISHED_BYTES;
    int err = r->bad ? 0 : finished_reserve(&s->finished, (size_t)count);
    if (err)
        return err;
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        struct finished_entry e;
        reader_refill(r);
        e.dest = reader_take_number(r, 8);
        e.key = reader_take_number(r, 8);
        e.upload = reader_take_id(r);
        uint64_t seq = reader_take_number(r, 8);
        e.deleting = (seq & MARK_DELETING) != 0;
        seq &= ~MARK_DELETING;
        r->bad = r->bad || seq > FINISHED_SEQ_MAX;
        e.seq = seq & FINISHED_SEQ_MAX;
        e.inode = reader_take_number(r, 2) & UINT16_MAX;
        e.ctime = (uint32_t)reader_take_number(r, 4);
        e.crc = (uint32_t)reader_take_number(r, 4);
        err = r->bad ? 0 : finished_put(&s->finished, &e);
        if (err)
            return err;
    }
    if (s->finished.count != count || total < count)
        r->bad = true;
    s->finished.total = total;
    return 0;
}

static void decode_recently_ended(struct snapshot_decoder *r, struct state *s) {
    uint64_t count = reader_take_number(r, 8);
    if (count > RECENTLY_ENDED_MAX)
        r->bad = true;
    for (uint64_t i = 0; i < count && !r->bad; i++) {
        reader_refill(r);
        struct id128 upload = reader_take_id(r);
        uint64_t seq = reader_take_number(r, 8), how = reader_take_number(r, 1);
        if (how < ENDED_FINISHED || how > ENDED_ABORTED)
            r->bad = true;
        if (!r->bad)
            recently_ended_add(&s->recently_ended, &upload, (enum ended_how)how, seq);
    }
}

static int decode_chunks(struct snapshot_decoder *r, struct upload *u) {
    uint32_t count = (uint32_t)reader_take_number(r, 4);
    for (uint32_t i = 0; i < count && !r->bad; i++) {
        reader_refill(r);
        uint32_t chunk = (uint32_t)reader_take_number(r, 4), crc = (uint32_t)reader_take_number(r, 4);
        uint64_t seq = reader_take_number(r, 8);
        struct slice etag = reader_take_text(r);
        int err = r->bad ? 0 : upload_set_chunk(u, chunk, crc, etag, seq);
        if (err == ERR_NOMEM)
            return err;
        if (err)
            r->bad = true;
    }
    if (u->done_count != count)
        r->bad = true;
    return 0;
}

/* The end of a stream is known: its last chunk is or was recorded. The chunks are those up to there. */
static void reader_set_end(struct snapshot_decoder *r, struct upload *u, uint64_t end) {
    struct geometry g = {.size = end, .chunk_size = u->chunk_size, .chunks = u->chunks, .grow = u->grow};
    if (!upload_is_stream(u) || !geometry_is_valid(&g))
        r->bad = true;
    else
        u->end = end;
}

static int decode_begun(struct snapshot_decoder *r, struct upload *u) {
    reader_refill(r);
    u->begin_seq = reader_take_number(r, 8);
    struct slice handle = reader_take_text(r);
    uint64_t checksum = reader_take_number(r, 1), chunk_size = reader_take_number(r, 8);
    uint32_t chunks = (uint32_t)reader_take_number(r, 4);
    u->grow = (uint32_t)reader_take_number(r, 4);
    uint64_t end = reader_take_number(r, 8);
    if (checksum > CHECKSUM_CRC32C_FULL || u->grow > CHUNKS_MAX ||
        memchr(handle.len ? handle.ptr : "", '\0', handle.len))
        r->bad = true;
    int err = r->bad ? ERR_INVALID : upload_begin(u, handle, (enum checksum_kind)checksum, chunk_size, chunks);
    if (err == ERR_INVALID)
        r->bad = true;
    if (!r->bad && !err && end)
        reader_set_end(r, u, end);
    return r->bad ? 0 : err ? err : decode_chunks(r, u);
}

static int decode_upload(struct snapshot_decoder *r, struct state *s) {
    struct upload *u;
    reader_refill(r);
    struct id128 id = reader_take_id(r), properties = reader_take_id(r);
    struct upload_identity is = {.src = reader_take_text(r)};
    is.source = reader_take_text(r);
    is.dest = reader_take_text(r);
    is.endpoint = reader_take_text(r);
    is.file.size = reader_take_number(r, 8);
    is.file.mtime_ns = reader_take_time(r);
    is.file.ctime_ns = reader_take_time(r);
    is.file.ino = reader_take_number(r, 8);
    int64_t open_us = (int64_t)reader_take_number(r, 8);
    uint64_t flags = reader_take_number(r, 1), integrity = flags >> INTEGRITY_SHIFT;
    if (r->bad || integrity > INTEGRITY_SHA256 || state_find(s, &id)) {
        r->bad = true;
        return 0;
    }
    int err = state_add(s, &id, &is, &u);
    if (err)
        return err;
    u->properties = properties;
    u->opened = true;
    u->open_us = open_us;
    u->reopened = flags & FLAG_REOPENED;
    u->spoiled = flags & FLAG_SPOILED;
    u->integrity = (enum integrity)integrity;
    u->has_failed = flags & FLAG_HAS_FAILED;
    return flags & FLAG_BEGUN ? decode_begun(r, u) : 0;
}

static int decode_state(struct snapshot_decoder *r, struct state *s) {
    reader_refill(r);
    const char *magic = reader_take(r, MAGIC_LEN);
    if (!magic || memcmp(magic, MAGIC, MAGIC_LEN) != 0)
        return r->err ? r->err : ERR_DAMAGED;
    int err = decode_finished(r, s);
    if (err)
        return err;
    decode_recently_ended(r, s);
    reader_refill(r);
    uint64_t count = reader_take_number(r, 8);
    for (uint64_t i = 0; i < count && !r->bad && !err; i++)
        err = decode_upload(r, s);
    if (r->left.len || r->rest)
        r->bad = true;
    return err ? err : r->err ? r->err : r->bad ? ERR_DAMAGED : 0;
}

static int reader_check_crc(const struct snapshot_decoder *r) {
    char raw[CRC_LEN];
    int err = r->fill(r->arg, raw, sizeof raw);
    struct snapshot_decoder tail = {.left = slice_make(raw, sizeof raw)};
    return err ? err : (uint32_t)reader_take_number(&tail, CRC_LEN) == r->crc ? 0 : ERR_DAMAGED;
}

int snapshot_decode_from(snapshot_fill *fill, void *arg, uint64_t length, struct state *s) {
    if (length < MAGIC_LEN + CRC_LEN)
        return ERR_DAMAGED;
    struct snapshot_decoder r = {.fill = fill, .arg = arg, .rest = length - CRC_LEN, .window = malloc(WINDOW)};
    r.left = slice_make(r.window, 0);
    int err = r.window ? decode_state(&r, s) : ERR_NOMEM;
    if (!err)
        err = reader_check_crc(&r);
    free(r.window);
    if (err) {
        int cleared = state_clear(s);
        return cleared ? cleared : err;
    }
    return 0;
}

static int snapshot_fill_from_slice(void *arg, char *to, size_t len) {
    struct slice *rest = arg;
    if (len > rest->len)
        return ERR_DAMAGED;
    memcpy(to, rest->ptr, len);
    *rest = slice_make(rest->ptr + len, rest->len - len);
    return 0;
}

int snapshot_decode(struct slice body, struct state *s) {
    struct slice rest = body;
    return snapshot_decode_from(snapshot_fill_from_slice, &rest, body.len, s);
}
