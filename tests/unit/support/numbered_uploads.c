#include "numbered_uploads.h"

struct id128 numbered_id(unsigned n) {
    return (struct id128){{0xab, (uint8_t)(n >> 8), (uint8_t)n, 1}};
}

static void numbered_add_identity(struct record *r, unsigned n) {
    static char names[16][2][32];
    static unsigned next;
    char(*name)[32] = names[next++ % 16];
    snprintf(name[0], sizeof name[0], "/src/%u", n);
    snprintf(name[1], sizeof name[1], "s3://bucket/%u", n);
    r->has |= HAS_SRC | HAS_DEST;
    r->src = slice_of(name[0]);
    r->source = slice_of("");
    r->dest = slice_of(name[1]);
    r->endpoint = slice_of("");
    r->file.size = 2 * NUMBERED_CHUNK;
    r->file.mtime_ns = 1763716800123456789;
    r->file.ctime_ns = 1763716800123456790;
    r->file.ino = 1000 + n;
}

static void numbered_add_result(struct record *r, unsigned n) {
    r->has |= HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS;
    r->crc = 0x1000 + n;
    r->etag = slice_of("etag");
    r->worker = slice_of("host/1");
    r->ms = 12;
}

struct record numbered_record(enum record_ev ev, unsigned n) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .upload = numbered_id(n)};
    if (ev != EV_FAIL && ev != EV_ABORT && ev != EV_FORGET && ev != EV_CHUNK && ev != EV_REDO)
        numbered_add_identity(&r, n);
    if (ev == EV_FINISH || ev == EV_PUT || ev == EV_SAME || ev == EV_CHUNK)
        numbered_add_result(&r, n);
    if (ev == EV_CHUNK || ev == EV_REDO) {
        r.has |= HAS_CHUNK;
        r.length = NUMBERED_CHUNK;
    }
    if (ev == EV_BEGIN || ev == EV_CARRY) {
        r.has |= HAS_GEOMETRY | HAS_HANDLE;
        r.chunk_size = NUMBERED_CHUNK;
        r.chunks = 2;
        r.handle = slice_of("H");
    }
    if (ev == EV_CARRY) {
        r.has |= HAS_SINCE;
        r.since_ns = 1763700000000000000;
        r.kind = slice_of(CARRY_UPLOAD);
    }
    r.class = slice_of("changed");
    r.error = slice_of("mtime moved");
    r.reason = slice_of("by the user");
    return r;
}

struct record numbered_chunk(unsigned n, uint32_t chunk) {
    struct record r = numbered_record(EV_CHUNK, n);
    r.chunk = chunk;
    r.offset = (uint64_t)chunk * NUMBERED_CHUNK;
    r.crc += chunk;
    return r;
}

struct record numbered_carry(const char *kind, unsigned n) {
    struct record r = numbered_record(EV_CARRY, n);
    r.kind = slice_of(kind);
    numbered_add_result(&r, n);
    r.has &= ~(uint32_t)(HAS_GEOMETRY | HAS_HANDLE);
    r.length = NUMBERED_CHUNK;
    if (strcmp(kind, CARRY_CHUNK) == 0)
        r.has |= HAS_CHUNK;
    if (strcmp(kind, CARRY_UPLOAD) == 0)
        r.has |= HAS_GEOMETRY | HAS_HANDLE;
    return r;
}

struct journal *numbered_journal(void) {
    struct journal_options o = seen_options(NULL);
    o.rotate_bytes = 1;
    return journal_open_ok(&o);
}

void journal_add(struct journal *j, struct record r) {
    assert_int_equal(journal_append(j, &r), 0);
}

void journal_add_sealed_file(struct journal *j, struct record r) {
    journal_add(j, r);
    assert_int_equal(journal_commit(j), 0);
}

const char *sealed_name(uint64_t first_seq) {
    static char name[JOURNAL_NAME_SIZE];
    journal_sealed_name(first_seq, name);
    return name;
}

const char *sealed_path(uint64_t first_seq) {
    static char path[JOURNAL_NAME_SIZE + sizeof DIR_NAME];
    snprintf(path, sizeof path, DIR_NAME "/%s", sealed_name(first_seq));
    return path;
}
