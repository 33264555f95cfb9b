/* Shared by the tests of the journal: a directory, system calls that fail on demand, files as
 * bytes. */
#ifndef CHUNKLIFT_JOURNAL_SUPPORT_H
#define CHUNKLIFT_JOURNAL_SUPPORT_H

#include "unit.h"

#include "consumer/journal/journal.h"
#include "journal/verify.h"
#include "system/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_NAME "journal"
#define MAYBE_UNUSED __attribute__((unused))

/* --- system calls: the k-th of one kind fails, and every later one of any kind (the disk stays bad) --- */
enum fault_kind { FAULT_NONE, FAULT_WRITE, FAULT_FDATASYNC, FAULT_FSYNC, FAULT_RENAME };
static struct {
    enum fault_kind kind;
    int after;         /* calls of that kind that succeed */
    int error;         /* errno */
    size_t write_part; /* bytes that a failing write still writes; with short_writes also every other write */
    bool short_writes; /* every write is cut to write_part */
    int interrupts;    /* writes that return EINTR first */
    int count[5];      /* calls seen, by kind */
    bool broken;
} fault;

static bool fault_now(enum fault_kind kind) {
    fault.count[kind]++;
    if (fault.kind == kind && fault.count[kind] > fault.after)
        fault.broken = true;
    if (fault.broken)
        errno = fault.error;
    return fault.broken;
}
static ssize_t fault_write(int fd, const void *bytes, size_t len) {
    if (fault.interrupts > 0) {
        fault.interrupts--;
        errno = EINTR;
        return -1;
    }
    bool was_broken = fault.broken;
    if (fault_now(FAULT_WRITE)) {
        if (was_broken || !fault.write_part)
            return -1;
        return write(fd, bytes, len < fault.write_part ? len : fault.write_part); /* short; the next one fails */
    }
    if (fault.short_writes && len > fault.write_part)
        len = fault.write_part;
    return write(fd, bytes, len);
}
static int fault_fdatasync(int fd) {
    (void)fd; /* the effect of a sync cannot be seen here; the power-cut tests use the real one */
    return fault_now(FAULT_FDATASYNC) ? -1 : 0;
}
static int fault_fsync(int fd) {
    (void)fd;
    return fault_now(FAULT_FSYNC) ? -1 : 0;
}
static int fault_rename(const char *from, const char *to) {
    return fault_now(FAULT_RENAME) ? -1 : rename(from, to);
}
static const struct journal_io fault_io = {fault_write, fault_fdatasync, fault_fsync, fault_rename};

MAYBE_UNUSED static void fault_set(enum fault_kind kind, int after, int error) {
    memset(&fault, 0, sizeof fault);
    fault.kind = kind;
    fault.after = after;
    fault.error = error;
}

/* --- files --- */
MAYBE_UNUSED static struct buf file_bytes(const char *path) {
    struct buf b = BUF_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    char block[65536];
    ssize_t n;
    assert_int_equal(buf_reserve(&b, 1), 0);
    while ((n = read(fd, block, sizeof block)) > 0)
        assert_int_equal(buf_add(&b, block, (size_t)n), 0);
    assert_int_equal(n, 0);
    close(fd);
    return b;
}
MAYBE_UNUSED static void put_file(const char *path, struct slice bytes) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    close(fd);
}
MAYBE_UNUSED static bool exists(const char *path) {
    return access(path, F_OK) == 0;
}
MAYBE_UNUSED static void remove_dir(const char *dir) {
    DIR *d = opendir(dir);
    if (!d)
        return;
    struct dirent *e;
    while ((e = readdir(d)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
}
/* The file of DIR whose name begins with prefix, or NULL. Static storage. */
MAYBE_UNUSED static const char *find_file(const char *dir, const char *prefix) {
    static char path[512];
    DIR *d = opendir(dir);
    assert_non_null(d);
    struct dirent *e;
    int found = 0;
    while ((e = readdir(d)))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && ++found)
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    closedir(d);
    assert_true(found <= 1);
    return found ? path : NULL;
}
/* All files of the journal, one after the other. */
MAYBE_UNUSED static struct buf journal_bytes(const char *dir) {
    struct journal_files list;
    struct buf all = BUF_INIT;
    assert_int_equal(journal_files_list(dir, &list), 0);
    for (size_t i = 0; i < list.count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, list.files[i].name);
        struct buf one = file_bytes(path);
        assert_int_equal(buf_add(&all, one.data, one.len), 0);
        buf_release(&one);
    }
    journal_files_release(&list);
    return all;
}
/* Start of line `seq` (from 1) in bytes, or the end. */
MAYBE_UNUSED static size_t line_start(const struct buf *b, uint64_t seq) {
    size_t at = 0;
    for (; seq > 1 && at < b->len; seq--)
        at = (size_t)((char *)memchr(b->data + at, '\n', b->len - at) - b->data) + 1;
    return at;
}

/* --- stderr --- */
static int saved_stderr = -1;
MAYBE_UNUSED static void stderr_begin(void) {
    fflush(stderr);
    log_setup("chunklift", LOG_INFO, false); /* resets the log's memory, so that a repeated line is written again */
    saved_stderr = dup(2);
    int fd = open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && dup2(fd, 2) == 2);
    close(fd);
}
MAYBE_UNUSED static struct buf stderr_end(void) {
    fflush(stderr);
    dup2(saved_stderr, 2);
    close(saved_stderr);
    saved_stderr = -1;
    return file_bytes("stderr.txt");
}
MAYBE_UNUSED static void assert_contains(const struct buf *text, const char *part) {
    if (!text->data || !strstr(text->data, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text->data ? text->data : "");
}

/* --- a journal and its applied records --- */
struct seen {
    uint64_t first, last, count; /* seqs of the records applied */
    uint64_t epochs, chunks;
    enum record_ev last_ev;
    int64_t last_ts_us;
    int rejected;
    uint64_t refuse_at; /* apply returns ERR_NOMEM at this seq */
};
static int see(void *arg, const struct record *r) {
    struct seen *s = arg;
    if (r->seq == s->refuse_at)
        return ERR_NOMEM;
    if (s->count == 0)
        s->first = r->seq;
    else
        assert_int_equal(r->seq, s->last + 1);
    s->last = r->seq;
    s->last_ev = r->ev;
    s->last_ts_us = r->ts_us;
    s->count++;
    s->epochs += r->ev == EV_EPOCH;
    s->chunks += r->ev == EV_CHUNK;
    if (r->ev == EV_CHUNK)
        assert_int_equal(r->length, 65536 + r->chunk);
    return 0;
}
static void see_rejected(void *arg) {
    struct seen *s = arg;
    int rejected = s->rejected + 1;
    memset(s, 0, sizeof *s);
    s->rejected = rejected;
}

MAYBE_UNUSED static struct journal_options options(struct seen *s) {
    if (s)
        memset(s, 0, sizeof *s);
    return (struct journal_options){
        .dir = DIR_NAME, .io = &fault_io, .apply = s ? see : NULL, .known_rejected = s ? see_rejected : NULL, .arg = s};
}
MAYBE_UNUSED static struct journal *open_ok(const struct journal_options *o) {
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, o), 0);
    assert_non_null(j);
    return j;
}
MAYBE_UNUSED static int append_chunk(struct journal *j, uint32_t chunk, uint64_t *seq) {
    struct record r = {.ev = EV_CHUNK,
                       .has = HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS,
                       .upload = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                       .chunk = chunk,
                       .offset = (uint64_t)chunk * 65536,
                       .length = 65536 + chunk,
                       .crc = 0x1a2b3c4d ^ chunk,
                       .etag = slice_of("9e107d9d372bb6826bd81d3542a419d6"),
                       .worker = slice_of("host/4711"),
                       .ms = 12};
    int err = journal_append(j, &r);
    if (!err && seq)
        *seq = r.seq;
    return err;
}
/* One batch of `count` chunk records. */
MAYBE_UNUSED static void commit_chunks(struct journal *j, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(append_chunk(j, first + i, NULL), 0);
    assert_int_equal(journal_commit(j), 0);
}
MAYBE_UNUSED static void commit_stop(struct journal *j) {
    struct record stop = {.ev = EV_STOP};
    assert_int_equal(journal_append(j, &stop), 0);
    assert_int_equal(journal_commit(j), 0);
}
MAYBE_UNUSED static void assert_verifies(const char *dir, uint64_t seq) {
    struct verify_report report;
    int err = journal_verify(dir, NULL, &report);
    if (err)
        fail_msg("%s:%llu: %s", report.file, (unsigned long long)report.line, report.reason);
    assert_int_equal(report.seq, seq);
}

MAYBE_UNUSED static int fresh_dir(void **state) {
    (void)state;
    if (saved_stderr >= 0) { /* a test failed: print its log */
        struct buf said = stderr_end();
        fwrite(said.data, 1, said.len, stderr);
        buf_release(&said);
    }
    fault_set(FAULT_NONE, 0, 0);
    remove_dir(DIR_NAME);
    return 0;
}
#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh_dir, fresh_dir)

#endif
