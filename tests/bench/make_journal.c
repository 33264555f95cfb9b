/*
 * Makes a journal of any size with the code that writes real ones, for the tests of growth:
 *
 *     make_journal DIR [unfinished=N] [finished=N] [chunks=N] [of=N] [puts=N] [rotate=BYTES]
 *
 * First the puts, then the finished uploads, then the unfinished ones, each with `chunks` recorded chunks of 8 MiB (an
 * unfinished one has one chunk to go, or `of` chunks in all). It ends with a clean stop and prints the records, the
 * bytes and the head. Nothing is synced: power cuts do not matter here.
 */
#include "consumer/journal/journal.h"
#include "sample_ids.h"
#include "system/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t unfinished, finished, chunks = 100, of, small, rotate_bytes, number;

static int no_sync(int fd) {
    (void)fd;
    return 0;
}
static const struct journal_io io = {.write = write, .fdatasync = no_sync, .fsync = no_sync, .rename = rename};

static int append(struct journal *j, struct record *r) {
    int err = journal_append(j, r);
    if (err != ERR_LIMIT)
        return err;
    err = journal_commit(j);
    return err ? err : journal_append(j, r);
}

static void identify(struct record *r, uint64_t size, char src[96], char dest[96]) {
    uint64_t n = number++;
    r->has |= HAS_UPLOAD | HAS_SRC | HAS_DEST;
    r->upload = sample_id(n);
    snprintf(src, 96, "/srv/archive/run-%05" PRIu64 "/sample-%07" PRIu64 ".dat", n / 1000, n);
    snprintf(dest, 96, "s3://archive/run-%05" PRIu64 "/sample-%07" PRIu64 ".dat", n / 1000, n);
    r->src = slice_of(src);
    r->dest = slice_of(dest);
    r->endpoint = slice_of("https://s3.eu-central-1.amazonaws.com");
    r->source = slice_of("");
    r->file.size = size;
    r->file.mtime_ns = r->file.ctime_ns = INT64_C(1763716800123456789) + (int64_t)n;
    r->file.ino = 262147 + n;
}

static void result(struct record *r, uint64_t n, char etag[ID_HEX_SIZE]) {
    struct id128 id = sample_id(~n);
    id_to_hex(&id, etag);
    r->has |= HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS;
    r->crc = (uint32_t)n * 2654435761u;
    r->etag = slice_of(etag);
    r->worker = slice_of("lupin/4711");
    r->ms = 61;
}

static int put(struct journal *j) {
    char src[96], dest[96], etag[ID_HEX_SIZE];
    struct record r = {.ev = EV_PUT};
    identify(&r, 4096, src, dest);
    result(&r, number, etag);
    return append(j, &r);
}

static int begin(struct journal *j, uint64_t total, struct id128 *id, char dest[96]) {
    char src[96];
    struct record r = {.ev = EV_OPEN};
    identify(&r, total * SAMPLE_CHUNK, src, dest);
    int err = append(j, &r);
    r.ev = EV_BEGIN;
    r.has |= HAS_GEOMETRY | HAS_HANDLE | HAS_CHECKSUM;
    r.chunk_size = SAMPLE_CHUNK;
    r.chunks = (uint32_t)total;
    r.handle = slice_of(SAMPLE_HANDLE);
    r.checksum = slice_of("crc32c/FULL_OBJECT");
    *id = r.upload;
    return err ? err : append(j, &r);
}

static int upload(struct journal *j, bool ends) {
    char dest[96], etag[ID_HEX_SIZE];
    struct id128 id;
    int err = begin(j, ends ? chunks : of ? of : chunks + 1, &id, dest);
    for (uint64_t i = 0; !err && i < chunks; i++) {
        struct record r = {.ev = EV_CHUNK, .has = HAS_UPLOAD | HAS_CHUNK, .upload = id, .chunk = (uint32_t)i};
        r.offset = i * SAMPLE_CHUNK;
        r.length = SAMPLE_CHUNK;
        result(&r, number * 100000 + i, etag);
        err = append(j, &r);
    }
    if (err || !ends)
        return err;
    struct record r = {.ev = EV_FINISH, .has = HAS_UPLOAD | HAS_DEST, .upload = id, .dest = slice_of(dest)};
    r.file.size = chunks * SAMPLE_CHUNK;
    result(&r, number, etag);
    return append(j, &r);
}

static int fill(struct journal *j) {
    struct record stop = {.ev = EV_STOP};
    int err = 0;
    for (uint64_t i = 0; !err && i < small; i++)
        err = put(j);
    for (uint64_t i = 0; !err && i < finished; i++)
        err = upload(j, true);
    for (uint64_t i = 0; !err && i < unfinished; i++)
        err = upload(j, false);
    if (!err)
        err = journal_commit(j);
    if (!err)
        err = append(j, &stop);
    return err ? err : journal_commit(j);
}

static bool understand(const char *word) {
    static const struct {
        const char *name;
        uint64_t *value;
    } names[] = {
        {"unfinished", &unfinished}, {"finished", &finished}, {"chunks", &chunks}, {"of", &of}, {"puts", &small},
        {"rotate", &rotate_bytes}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t len = strlen(names[i].name);
        if (strncmp(word, names[i].name, len) == 0 && word[len] == '=') {
            *names[i].value = strtoull(word + len + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv) {
    struct journal *j = NULL;
    log_setup("make_journal", LOG_INFO, false);
    for (int i = 2; i < argc; i++)
        if (!understand(argv[i])) {
            fprintf(stderr, "make_journal: %s: not understood\n", argv[i]);
            return 2;
        }
    if (argc < 2)
        return 2;
    struct journal_options o = {.dir = argv[1], .rotate_bytes = rotate_bytes, .io = &io};
    int err = journal_open(&j, &o);
    if (!err)
        err = fill(j);
    if (!err)
        printf("%" PRIu64 " records, %" PRIu64 " sealed files, head %s\n", journal_seq(j), journal_rotations(j),
               journal_head(j));
    journal_close(&j);
    return err ? 1 : 0;
}
