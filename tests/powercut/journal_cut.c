/*
 * A journal with a power failure at one chosen call.
 *
 *   journal_cut write DIR K SIDE
 *
 * opens the journal in DIR, commits batches over several files, writes snapshots; the power of DIR's file system fails
 * at the K-th call that matters for durability, SIDE (before or after) it. Prints `acked CHUNKS SEQ`, SEQ being the
 * last one committed, and `calls N`: how many there were.
 *
 *   journal_cut read DIR
 *
 * opens it on a good disk and prints `found CHUNKS SEQ` when chunks 0 to CHUNKS-1 are there once each, in order.
 *
 * K 0: never. Exit status 0; 1 when the result differs from the written lines.
 */
#include "consumer/journal/journal.h"
#include "consumer/journal/snapshot_file.h"
#include "system/log.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EXT4_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2
#define BATCH 4
#define BATCHES 8
#define ROTATE_BYTES 2500 /* every third batch */

static struct {
    int fd; /* on the file system that fails */
    unsigned long at, calls;
    bool after, failed;
} power;

static void power_fails(void) {
    uint32_t flags = NO_LOG_FLUSH;
    if (ioctl(power.fd, EXT4_SHUTDOWN, &flags) != 0) {
        perror("shutdown");
        exit(3);
    }
    power.failed = true;
}

static void before_call(void) {
    power.calls++;
    if (power.calls == power.at && !power.after)
        power_fails();
}

static void after_call(void) {
    if (power.calls == power.at && power.after)
        power_fails();
}

static ssize_t cut_write(int fd, const void *bytes, size_t len) {
    before_call();
    ssize_t n = write(fd, bytes, len);
    after_call();
    return n;
}

static int cut_fdatasync(int fd) {
    before_call();
    int rc = fdatasync(fd);
    after_call();
    return rc;
}

static int cut_fsync(int fd) {
    before_call();
    int rc = fsync(fd);
    after_call();
    return rc;
}

static int cut_rename(const char *from, const char *to) {
    before_call();
    int rc = rename(from, to);
    after_call();
    return rc;
}

static const struct journal_io cut_io = {cut_write, cut_fdatasync, cut_fsync, cut_rename};

struct found {
    uint32_t chunks;
    bool wrong;
};

static int see(void *arg, const struct record *r) {
    struct found *f = arg;
    if (r->ev == EV_CHUNK && r->chunk != f->chunks++)
        f->wrong = true;
    return 0;
}

static int append_chunk(struct journal *j, uint32_t chunk) {
    struct record r = {.ev = EV_CHUNK,
                       .has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS,
                       .upload = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                       .chunk = chunk,
                       .offset = (uint64_t)chunk * 65536,
                       .length = 65536,
                       .crc = chunk,
                       .worker = slice_of("host/4711"),
                       .ms = 1};
    return journal_append(j, &r);
}

/* Batches until the disk is gone; after every rotation a snapshot, which may fail. */
static uint32_t write_batches(struct journal *j, const char *dir, uint32_t next) {
    uint64_t rotations = journal_rotations(j);
    for (int batch = 0; batch < BATCHES; batch++) {
        int err = 0;
        for (uint32_t i = 0; !err && i < BATCH; i++)
            err = append_chunk(j, next + i);
        if (err || journal_commit(j))
            break;
        next += BATCH;
        if (journal_rotations(j) == rotations)
            continue;
        rotations = journal_rotations(j);
        struct journal_position pos;
        journal_position(j, &pos);
        (void)!snapshot_write_by(&cut_io, dir, &pos, slice_of("as good as any"));
    }
    return next;
}

static int write_journal(const char *dir) {
    struct found found = {0};
    struct journal *j = NULL;
    struct journal_options o = {.dir = dir, .rotate_bytes = ROTATE_BYTES, .io = &cut_io, .apply = see, .arg = &found};
    uint32_t acked = 0;
    uint64_t seq = 0;
    if (journal_open(&j, &o) == 0) {
        acked = write_batches(j, dir, found.chunks);
        seq = journal_seq(j);
    }
    journal_close(&j);
    printf("acked %u %llu\ncalls %lu\n", acked, (unsigned long long)seq, power.calls);
    return found.wrong;
}

static int read_journal(const char *dir) {
    struct found found = {0};
    struct journal *j = NULL;
    struct journal_options o = {.dir = dir, .apply = see, .arg = &found};
    struct journal_position known;
    struct buf body = BUF_INIT;
    int err = snapshot_read(dir, &known, &body); /* whole, or as good as none */
    bool wrong = !err && !slice_equal(buf_slice(&body), slice_of("as good as any"));
    buf_release(&body);
    if (journal_open(&j, &o) != 0)
        return 1;
    printf("found %u %llu\n", found.chunks, (unsigned long long)journal_seq(j));
    journal_close(&j);
    return found.wrong || wrong;
}

int main(int argc, char **argv) {
    log_setup("journal_cut", LOG_WARN, false);
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_journal(argv[2]);
    if (argc != 5 || strcmp(argv[1], "write") != 0)
        return 2;
    char *end;
    power.at = strtoul(argv[3], &end, 10);
    power.after = strcmp(argv[4], "after") == 0;
    char *parent = strdup(argv[2]), *slash = parent ? strrchr(parent, '/') : NULL;
    if (!slash || *end)
        return 2;
    *slash = '\0';
    power.fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    return power.fd < 0 ? 3 : write_journal(argv[2]);
}
