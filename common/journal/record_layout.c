/* Which fields a line of each event has, and in which order. */
#include "journal/record_layout.h"

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a member cannot be in parentheses */
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
    FIELD(F_PROPERTIES, "properties", FIELD_ID, properties, HAS_PROPERTIES),
    FIELD(F_GROW, "grow", FIELD_U32, grow, HAS_GROW),
    FIELD(F_TOTAL, "total", FIELD_U64, total, HAS_TOTAL),
    FIELD(F_FOUND, "found", FIELD_TEXT, found, 0),
    FIELD(F_HOW, "how", FIELD_TEXT, how, 0),
};

#define B FIELD_BIT
#define IDENTITY                                                                                                       \
    (B(F_UPLOAD) | B(F_SRC) | B(F_SOURCE) | B(F_SIZE) | B(F_MTIME_NS) | B(F_CTIME_NS) | B(F_INO) | B(F_DEST))
#define CHUNK_BASE (B(F_UPLOAD) | B(F_CHUNK) | B(F_OFFSET) | B(F_LENGTH) | B(F_CRC))
#define IDENTITY_ORDER F_UPLOAD, F_SRC, F_SOURCE, F_SIZE, F_MTIME_NS, F_CTIME_NS, F_INO, F_DEST, F_ENDPOINT
#define CHUNK_ORDER F_UPLOAD, F_CHUNK, F_OFFSET, F_LENGTH, F_CRC, F_ETAG, F_WORKER, F_MS

static const struct record_layout record_layouts[EV_COUNT] = {
    [EV_EPOCH] = {"epoch", B(F_EPOCH) | B(F_JOURNAL) | B(F_VERSION), 3, {F_EPOCH, F_JOURNAL, F_VERSION}},
    [EV_STOP] = {"stop", 0, 0, {0}},
    [EV_SEGMENT] = {"segment", B(F_PREV), 1, {F_PREV}},
    [EV_OPEN] = {"open", IDENTITY, 10, {IDENTITY_ORDER, F_PROPERTIES}},
    [EV_BEGIN] = {"begin",
                  IDENTITY | B(F_CHUNK_SIZE) | B(F_CHUNKS) | B(F_HANDLE),
                  15,
                  {IDENTITY_ORDER, F_PROPERTIES, F_CHUNK_SIZE, F_CHUNKS, F_GROW, F_HANDLE, F_CHECKSUM}},
    [EV_CHUNK] = {"chunk", CHUNK_BASE | B(F_WORKER) | B(F_MS), 11, {CHUNK_ORDER, F_VIA, F_INTEGRITY, F_TOTAL}},
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
    [EV_VERIFIED] = {"verified",
                     B(F_UPLOAD) | B(F_DEST) | B(F_FOUND) | B(F_HOW),
                     4,
                     {F_UPLOAD, F_DEST, F_FOUND, F_HOW}},
    [EV_DELETING] = {"deleting", B(F_UPLOAD) | B(F_DEST), 3, {F_UPLOAD, F_DEST, F_ENDPOINT}},
    [EV_DELETE] = {"delete", B(F_UPLOAD) | B(F_DEST), 3, {F_UPLOAD, F_DEST, F_ENDPOINT}},
};

/* A carried upload can be without geometry and handle: it was opened and not begun. Worker and time
 * of a carried chunk or file are optional. */
static const struct record_layout carry_layouts[] = {
    {CARRY_UPLOAD,
     B(F_KIND) | IDENTITY,
     18,
     {F_KIND, IDENTITY_ORDER, F_PROPERTIES, F_CHUNK_SIZE, F_CHUNKS, F_GROW, F_HANDLE, F_CHECKSUM, F_SINCE_NS, F_OPENS}},
    {CARRY_CHUNK, B(F_KIND) | CHUNK_BASE, 11, {F_KIND, CHUNK_ORDER, F_INTEGRITY, F_TOTAL}},
    {CARRY_FINISHED,
     B(F_KIND) | IDENTITY | B(F_CRC),
     15,
     {F_KIND, IDENTITY_ORDER, F_CRC, F_ETAG, F_WORKER, F_MS, F_SINCE_NS}},
};
#undef B

const char *record_ev_name(enum record_ev ev) {
    return ev > 0 && ev < EV_COUNT ? record_layouts[ev].name : "unknown";
}

const struct record_layout *record_layout_of(enum record_ev ev, struct slice kind) {
    if (ev <= 0 || ev >= EV_COUNT)
        return NULL;
    if (ev != EV_CARRY)
        return &record_layouts[ev];
    for (size_t i = 0; i < sizeof carry_layouts / sizeof carry_layouts[0]; i++)
        if (slice_equal(kind, slice_of(carry_layouts[i].name)))
            return &carry_layouts[i];
    return NULL;
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
    return r->ev != EV_EPOCH || (r->version > 0 && r->version <= JOURNAL_VERSION);
}
