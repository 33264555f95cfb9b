#include "record_samples.h"

static void sample_identity(struct record *r) {
    r->has |= HAS_UPLOAD | HAS_SRC | HAS_DEST;
    r->src = slice_of("/data/\"quoted\"\n\xc3\xa4.bin");
    r->source = slice_of("host-a");
    r->file.size = UINT64_C(1) << 40;
    r->file.mtime_ns = INT64_C(1795250400123456789);
    r->file.ctime_ns = INT64_MIN;
    r->file.ino = UINT64_MAX;
    r->dest = slice_of("s3://bucket/a b");
    r->endpoint = slice_of("https://s3.example:9000");
}

static void sample_properties(struct record *r) {
    r->has |= HAS_PROPERTIES;
    for (unsigned i = 0; i < sizeof r->properties.b; i++)
        r->properties.b[i] = (uint8_t)(0xf0 - i);
}

static void sample_geometry(struct record *r) {
    r->has |= HAS_GEOMETRY | HAS_GROW | HAS_HANDLE | HAS_CHECKSUM;
    r->chunk_size = 8 << 20;
    r->chunks = 131072;
    r->grow = 65536;
    r->handle = slice_of("2~Kx/=+");
    r->checksum = slice_of("crc32c/FULL_OBJECT");
}

static void sample_result(struct record *r) {
    r->has |= HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS;
    r->crc = 0x1a2b3c4d;
    r->etag = slice_of("0123456789abcdef0123456789abcdef-9");
    r->worker = slice_of("host/123");
    r->ms = 87;
}

static void sample_chunk(struct record *r) {
    r->has |= HAS_UPLOAD | HAS_CHUNK | HAS_TOTAL;
    r->chunk = 511;
    r->offset = UINT64_C(511) << 23;
    r->length = 8 << 20;
    r->total = UINT64_C(512) << 23;
    sample_result(r);
}

static void sample_carry(struct record *r, unsigned kind) {
    static const char *const kinds[] = {"upload", "chunk", "finished"};
    r->ev = EV_CARRY;
    r->kind = slice_of(kinds[kind]);
    if (kind == 1) {
        sample_chunk(r);
        return;
    }
    sample_identity(r);
    r->has |= HAS_SINCE;
    r->since_ns = INT64_C(1795250400123456000);
    if (kind == 0) {
        sample_properties(r);
        sample_geometry(r);
    } else
        sample_result(r);
}

void sample_record(unsigned number, struct record *r) {
    memset(r, 0, sizeof *r);
    r->seq = 1000 + number;
    r->batch = 77;
    r->ts_us = INT64_C(1795250400123456);
    r->ev = (enum record_ev)(number + 1);
    for (unsigned i = 0; i < sizeof r->upload.b; i++)
        r->upload.b[i] = (uint8_t)(i * 17 + number);
    if (number + 1 >= EV_COUNT)
        sample_carry(r, number + 2 - EV_COUNT);
    else if (r->ev == EV_CARRY)
        sample_carry(r, 0);
    r->class = slice_of("AccessDenied");
    r->error = slice_of("the store said: no\n");
    r->reason = slice_of("superseded");
    r->epoch = 3;
    r->journal = r->upload;
    r->version = JOURNAL_VERSION;
    r->prev = slice_of(SAMPLE_HEAD);
    r->dropped_file = slice_of("journal.00000000000000000001.jsonl");
    r->from = 1;
    r->to = 999;
    r->found = slice_of("checksum");
    r->how = slice_of("read");
    switch (r->ev) {
    case EV_BEGIN:
        sample_properties(r);
        sample_geometry(r);
        sample_identity(r);
        break;
    case EV_PUT:
        sample_result(r);
        sample_identity(r);
        r->has |= HAS_VIA;
        r->via = slice_of("fetch");
        break;
    case EV_OPEN:
        sample_properties(r);
        sample_identity(r);
        break;
    case EV_SAME:
        sample_identity(r);
        r->has |= HAS_CRC;
        r->crc = 0x1a2b3c4d;
        break;
    case EV_CHUNK:
        sample_chunk(r);
        break;
    case EV_REDO:
        r->has |= HAS_UPLOAD | HAS_CHUNK;
        r->chunk = 5;
        break;
    case EV_FINISH:
        sample_identity(r);
        sample_result(r);
        break;
    case EV_FAIL:
        r->has |= HAS_UPLOAD | HAS_SRC | HAS_DEST;
        r->src = slice_of("/data/x");
        r->dest = slice_of("s3://bucket/x");
        break;
    case EV_VERIFIED:
        r->has |= HAS_UPLOAD | HAS_DEST;
        r->dest = slice_of("s3://bucket/x");
        break;
    case EV_DELETING:
    case EV_DELETE:
        r->has |= HAS_UPLOAD | HAS_DEST;
        r->dest = slice_of("s3://bucket/a b");
        r->endpoint = slice_of("https://s3.example:9000");
        break;
    case EV_ABORT:
    case EV_FORGET:
        r->has |= HAS_UPLOAD;
        break;
    default:
        break;
    }
}
