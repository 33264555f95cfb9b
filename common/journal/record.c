/*
 * Writing the journal's lines, and the chain over them. The fields of each event stand in one table (layouts), which
 * the reader uses as well: what is written here is exactly what is read there.
 *
 * Any bytes a peer may hand over can be written. In src and dest they are kept (NAME_b64); everywhere else what is not
 * UTF-8 becomes U+FFFD, so that every line is valid JSON whatever a store put into an error text.
 */
#include "journal/record_layout.h"
#include "pure/check.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include <assert.h>

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member cannot stand in parentheses */
#define FIELD(id, text, kind, member, bit) [id] = {text, sizeof text - 1, kind, offsetof(struct record, member), bit}

const struct record_field_def record_fields[F_COUNT] = {
    FIELD(F_UPLOAD, "upload", FIELD_ID, upload, HAS_UPLOAD),
    FIELD(F_SRC, "src", FIELD_NAME, src, HAS_SRC),
    FIELD(F_SOURCE, "source", FIELD_TEXT, source, 0),
    FIELD(F_SIZE, "size", FIELD_U64, file.size, 0),
    FIELD(F_MTIME_NS, "mtime_ns", FIELD_TIME, file.mtime_ns, 0),
    FIELD(F_CTIME_NS, "ctime_ns", FIELD_TIME, file.ctime_ns, 0),
    FIELD(F_INO, "ino", FIELD_U64, file.ino, 0),
    FIELD(F_DEST, "dest", FIELD_NAME, dest, HAS_DEST),
    FIELD(F_ENDPOINT, "endpoint", FIELD_TEXT, endpoint, 0),
    FIELD(F_CHUNK_SIZE, "chunk_size", FIELD_U64, chunk_size, HAS_GEOMETRY),
    FIELD(F_CHUNKS, "chunks", FIELD_U32, chunks, HAS_GEOMETRY),
    FIELD(F_HANDLE, "handle", FIELD_TEXT, handle, HAS_HANDLE),
    FIELD(F_CHECKSUM, "checksum", FIELD_TEXT, checksum, HAS_CHECKSUM),
    FIELD(F_CHUNK, "chunk", FIELD_U32, chunk, HAS_CHUNK),
    FIELD(F_OFFSET, "offset", FIELD_U64, offset, 0),
    FIELD(F_LENGTH, "length", FIELD_U64, length, 0),
    FIELD(F_CRC, "crc", FIELD_CRC, crc, HAS_CRC),
    FIELD(F_ETAG, "etag", FIELD_TEXT, etag, HAS_ETAG),
    FIELD(F_WORKER, "worker", FIELD_TEXT, worker, HAS_WORKER),
    FIELD(F_MS, "ms", FIELD_U64, ms, HAS_MS),
    FIELD(F_CLASS, "class", FIELD_TEXT, class, 0),
    FIELD(F_ERROR, "error", FIELD_TEXT, error, 0),
    FIELD(F_REASON, "reason", FIELD_TEXT, reason, 0),
    FIELD(F_EPOCH, "epoch", FIELD_U64, epoch, 0),
    FIELD(F_JOURNAL, "journal", FIELD_ID, journal, 0),
    FIELD(F_VERSION, "version", FIELD_U64, version, 0),
    FIELD(F_PREV, "prev", FIELD_TEXT, prev, 0),
    FIELD(F_FILE, "file", FIELD_TEXT, dropped_file, 0),
    FIELD(F_FROM, "from", FIELD_U64, from, 0),
    FIELD(F_TO, "to", FIELD_U64, to, 0),
    FIELD(F_KIND, "kind", FIELD_TEXT, kind, 0),
    FIELD(F_SINCE_NS, "since_ns", FIELD_I64, since_ns, HAS_SINCE),
    FIELD(F_OPENS, "opens", FIELD_U64, opens, HAS_OPENS),
    FIELD(F_VIA, "via", FIELD_TEXT, via, HAS_VIA),
    FIELD(F_INTEGRITY, "integrity", FIELD_TEXT, integrity, HAS_INTEGRITY),
};

#define B FIELD_BIT
#define IDENTITY                                                                                                       \
    (B(F_UPLOAD) | B(F_SRC) | B(F_SOURCE) | B(F_SIZE) | B(F_MTIME_NS) | B(F_CTIME_NS) | B(F_INO) | B(F_DEST))
#define CHUNK_BASE (B(F_UPLOAD) | B(F_CHUNK) | B(F_OFFSET) | B(F_LENGTH) | B(F_CRC))
#define IDENTITY_ORDER F_UPLOAD, F_SRC, F_SOURCE, F_SIZE, F_MTIME_NS, F_CTIME_NS, F_INO, F_DEST, F_ENDPOINT
#define CHUNK_ORDER F_UPLOAD, F_CHUNK, F_OFFSET, F_LENGTH, F_CRC, F_ETAG, F_WORKER, F_MS

static const struct record_layout layouts[EV_COUNT] = {
    [EV_EPOCH] = {"epoch", B(F_EPOCH) | B(F_JOURNAL) | B(F_VERSION), 3, {F_EPOCH, F_JOURNAL, F_VERSION}},
    [EV_STOP] = {"stop", 0, 0, {0}},
    [EV_SEGMENT] = {"segment", B(F_PREV), 1, {F_PREV}},
    [EV_OPEN] = {"open", IDENTITY, 9, {IDENTITY_ORDER}},
    [EV_BEGIN] = {"begin",
                  IDENTITY | B(F_CHUNK_SIZE) | B(F_CHUNKS) | B(F_HANDLE),
                  13,
                  {IDENTITY_ORDER, F_CHUNK_SIZE, F_CHUNKS, F_HANDLE, F_CHECKSUM}},
    [EV_CHUNK] = {"chunk", CHUNK_BASE | B(F_WORKER) | B(F_MS), 10, {CHUNK_ORDER, F_VIA, F_INTEGRITY}},
    [EV_REDO] = {"redo", B(F_UPLOAD) | B(F_CHUNK), 2, {F_UPLOAD, F_CHUNK}},
    [EV_FINISH] = {"finish",
                   B(F_UPLOAD) | B(F_DEST) | B(F_SIZE) | B(F_CRC) | B(F_MS),
                   7,
                   {F_UPLOAD, F_DEST, F_SIZE, F_CRC, F_ETAG, F_MS, F_INTEGRITY}},
    [EV_PUT] = {"put",
                IDENTITY | B(F_CRC) | B(F_WORKER) | B(F_MS),
                15,
                {IDENTITY_ORDER, F_CRC, F_ETAG, F_WORKER, F_MS, F_VIA, F_INTEGRITY}},
    [EV_FAIL] = {"fail", B(F_UPLOAD) | B(F_CLASS) | B(F_ERROR), 5, {F_UPLOAD, F_SRC, F_DEST, F_CLASS, F_ERROR}},
    [EV_ABORT] = {"abort", B(F_UPLOAD) | B(F_REASON), 2, {F_UPLOAD, F_REASON}},
    [EV_CARRY] = {"carry", 0, 0, {0}}, /* see carry_layouts */
    [EV_DROP] = {"drop", B(F_FILE) | B(F_FROM) | B(F_TO), 3, {F_FILE, F_FROM, F_TO}},
    [EV_FORGET] = {"forget", B(F_UPLOAD), 1, {F_UPLOAD}},
    [EV_SAME] = {"same", IDENTITY | B(F_CRC), 10, {IDENTITY_ORDER, F_CRC}},
};

/* Kept state need not know everything: an upload may be only intended (no geometry and handle yet), and who sent a
 * chunk or a file how fast is no longer of use. */
static const struct record_layout carry_layouts[] = {
    {"upload",
     B(F_KIND) | IDENTITY,
     16,
     {F_KIND, IDENTITY_ORDER, F_CHUNK_SIZE, F_CHUNKS, F_HANDLE, F_CHECKSUM, F_SINCE_NS, F_OPENS}},
    {"chunk", B(F_KIND) | CHUNK_BASE, 10, {F_KIND, CHUNK_ORDER, F_INTEGRITY}},
    {"finished",
     B(F_KIND) | IDENTITY | B(F_CRC),
     15,
     {F_KIND, IDENTITY_ORDER, F_CRC, F_ETAG, F_WORKER, F_MS, F_SINCE_NS}},
};
#undef B

const char *record_ev_name(enum record_ev ev) {
    return ev > 0 && ev < EV_COUNT ? layouts[ev].name : "unknown";
}

const struct record_layout *record_layout_of(enum record_ev ev, struct slice kind) {
    if (ev <= 0 || ev >= EV_COUNT)
        return NULL;
    if (ev != EV_CARRY)
        return &layouts[ev];
    for (size_t i = 0; i < sizeof carry_layouts / sizeof carry_layouts[0]; i++)
        if (slice_equal(kind, slice_of(carry_layouts[i].name)))
            return &carry_layouts[i];
    return NULL;
}

/* The member of r that f describes. */
static const void *member(const struct record *r, const struct record_field_def *f) {
    return (const char *)r + f->offset;
}

bool record_is_valid(const struct record *r) {
    const struct record_layout *layout = record_layout_of(r->ev, r->kind);
    if (!layout || r->ts_us < 0 || r->ts_us > RECORD_TS_MAX)
        return false;
    for (unsigned i = 0; i < layout->count; i++) {
        const struct record_field_def *f = &record_fields[layout->order[i]];
        if ((layout->required & FIELD_BIT(layout->order[i])) && (r->has & f->has) != f->has)
            return false;
    }
    uint8_t prev[ID_HEX_LEN / 2];
    if (r->ev == EV_SEGMENT && hex_decode(r->prev, prev, sizeof prev))
        return false;
    return r->ev != EV_EPOCH || r->version == JOURNAL_VERSION;
}

static int add_time(struct buf *out, int64_t ts_us) {
    char text[RFC3339_SIZE];
    rfc3339_format(ts_us, text);
    return buf_add_text(out, text);
}

static int add_name(struct buf *out, const struct record_field_def *f, const char *suffix) {
    int err = buf_add(out, ",\"", 2);
    if (!err)
        err = buf_add(out, f->name, f->name_len);
    if (!err)
        err = buf_add_text(out, suffix);
    return err ? err : buf_add(out, "\":", 2);
}

static int add_quoted(struct buf *out, const char *text, size_t len) {
    int err = buf_add_byte(out, '"');
    if (!err)
        err = buf_add(out, text, len);
    return err ? err : buf_add_byte(out, '"');
}

static int add_i64(struct buf *out, int64_t value) {
    int err = buf_add(out, "\"-", value < 0 ? 2 : 1);
    if (!err)
        err = buf_add_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    return err ? err : buf_add_byte(out, '"');
}

static int add_time_ns(struct buf *out, const nanotime *value) {
    char text[NANOTIME_TEXT_SIZE];
    nanotime_format(*value, text);
    return add_quoted(out, text, strlen(text));
}

static int add_base64(struct buf *out, struct slice bytes) {
    int err = buf_add_byte(out, '"');
    if (!err)
        err = base64_add(out, bytes);
    return err ? err : buf_add_byte(out, '"');
}

/* A NUL is no part of any name; should one come from a peer it must not make the line unreadable. */
static bool is_text(struct slice s) {
    return s.len == 0 || (utf8_is_valid(s) && !memchr(s.ptr, '\0', s.len));
}

static int add_field(struct buf *out, const struct record *r, const struct record_field_def *f) {
    const void *value = member(r, f);
    char text[ID_HEX_SIZE];
    bool raw = f->type == FIELD_NAME && !is_text(*(const struct slice *)value);
    int err = add_name(out, f, raw ? "_b64" : "");
    if (err)
        return err;
    switch ((enum field_type)f->type) {
    case FIELD_U64:
        return buf_add_u64(out, *(const uint64_t *)value);
    case FIELD_U32:
        return buf_add_u64(out, *(const uint32_t *)value);
    case FIELD_TIME:
        return add_time_ns(out, value);
    case FIELD_I64:
        return add_i64(out, *(const int64_t *)value);
    case FIELD_ID:
        id_to_hex(value, text);
        return add_quoted(out, text, ID_HEX_LEN);
    case FIELD_CRC:
        crc32c_to_text(*(const uint32_t *)value, text);
        return add_quoted(out, text, CRC_TEXT_SIZE - 1);
    case FIELD_NAME:
        if (raw)
            return add_base64(out, *(const struct slice *)value);
        return json_add_string(out, *(const struct slice *)value);
    case FIELD_TEXT:
        return json_add_string_lossy(out, *(const struct slice *)value);
    }
    CHECK(!"a field's type is one of the above");
    return ERR_INVALID;
}

/* A field that need not be there is there when its bit says so, and text also has to say something. */
static bool is_present(const struct record *r, const struct record_layout *layout, unsigned id) {
    const struct record_field_def *f = &record_fields[id];
    if (layout->required & FIELD_BIT(id))
        return true;
    if ((r->has & f->has) != f->has)
        return false;
    if (id == F_ENDPOINT) /* file:// has none, and readers find an empty one */
        return true;
    return f->type != FIELD_TEXT || ((const struct slice *)member(r, f))->len > 0;
}

/* Everything up to but without the tail. */
static int add_body(struct buf *out, const struct record *r) {
    const struct record_layout *layout = record_layout_of(r->ev, r->kind);
    int err = buf_add_text(out, "{\"seq\":");
    if (!err)
        err = buf_add_u64(out, r->seq);
    if (!err)
        err = buf_add_text(out, ",\"batch\":");
    if (!err)
        err = buf_add_u64(out, r->batch);
    if (!err)
        err = buf_add_text(out, ",\"ts\":\"");
    if (!err)
        err = add_time(out, r->ts_us);
    if (!err)
        err = buf_add_text(out, "\",\"ev\":\"");
    if (!err)
        err = buf_add_text(out, layouts[r->ev].name);
    if (!err)
        err = buf_add_byte(out, '"');
    for (unsigned i = 0; !err && i < layout->count; i++)
        if (is_present(r, layout, layout->order[i]))
            err = add_field(out, r, &record_fields[layout->order[i]]);
    return err;
}

int chain_init(struct chain *c) {
    c->sha = NULL;
    memset(c->h, '0', ID_HEX_LEN);
    c->h[ID_HEX_LEN] = '\0';
    return digest_new(&c->sha, DIGEST_SHA256);
}

void chain_release(struct chain *c) {
    digest_destroy(&c->sha);
}

/* h of a line with this body after the line whose h the chain holds; the chain stays. */
static int chain_next(struct chain *c, struct slice body, char h[ID_HEX_SIZE]) {
    uint8_t sum[SHA256_SIZE];
    int err = digest_begin(c->sha);
    if (!err)
        err = digest_add(c->sha, c->h, ID_HEX_LEN);
    if (!err)
        err = digest_add(c->sha, body.ptr, body.len);
    if (!err)
        err = digest_end(c->sha, sum);
    if (!err)
        hex_encode(sum, ID_HEX_LEN / 2, h);
    return err;
}

int record_encode(const struct record *r, struct chain *c, struct buf *out) {
    char h[ID_HEX_SIZE];
    size_t start = out->len;
    CHECK(record_is_valid(r));
    int err = add_body(out, r);
    if (!err && out->len - start > RECORD_LINE_MAX - RECORD_TAIL_LEN - 1)
        err = ERR_LIMIT;
    if (!err)
        err = chain_next(c, slice_make(out->data + start, out->len - start), h);
    if (!err)
        err = buf_add_text(out, ",\"h\":\"");
    if (!err)
        err = buf_add(out, h, ID_HEX_LEN);
    if (!err)
        err = buf_add_text(out, "\"}\n");
    if (!err)
        memcpy(c->h, h, sizeof h);
    else if (out->data) {
        out->len = start;
        out->data[start] = '\0';
    }
    return err;
}

bool record_split_tail(struct slice line, const char **h) {
    static const char open[] = ",\"h\":\"", close[] = "\"}";
    static_assert(sizeof open - 1 + ID_HEX_LEN + sizeof close - 1 == RECORD_TAIL_LEN, "the tail as described");
    uint8_t bytes[ID_HEX_LEN / 2];
    if (line.len < RECORD_TAIL_LEN)
        return false;
    const char *tail = line.ptr + line.len - RECORD_TAIL_LEN;
    *h = tail + sizeof open - 1;
    return memcmp(tail, open, sizeof open - 1) == 0 && memcmp(*h + ID_HEX_LEN, close, sizeof close - 1) == 0 &&
           hex_decode(slice_make(*h, ID_HEX_LEN), bytes, sizeof bytes) == 0;
}

int record_verify(struct slice line, struct chain *c) {
    char h[ID_HEX_SIZE];
    const char *found;
    if (!record_split_tail(line, &found))
        return ERR_DAMAGED;
    int err = chain_next(c, slice_make(line.ptr, line.len - RECORD_TAIL_LEN), h);
    if (err)
        return err;
    if (memcmp(h, found, ID_HEX_LEN) != 0)
        return ERR_DAMAGED;
    memcpy(c->h, h, sizeof h);
    return 0;
}
