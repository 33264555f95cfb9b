#include "journal_support.h"

struct fault fault;

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

const struct journal_io fault_io = {fault_write, fault_fdatasync, fault_fsync, fault_rename};

void fault_set(enum fault_kind kind, int after, int error) {
    memset(&fault, 0, sizeof fault);
    fault.kind = kind;
    fault.after = after;
    fault.error = error;
}

struct buf journal_bytes(const char *dir) {
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

size_t line_start(const struct buf *b, uint64_t seq) {
    size_t at = 0;
    for (; seq > 1 && at < b->len; seq--)
        at = (size_t)((char *)memchr(b->data + at, '\n', b->len - at) - b->data) + 1;
    return at;
}

/* --- stderr --- */
static int saved_stderr = -1;

void stderr_begin(void) {
    fflush(stderr);
    log_setup("chunklift", LOG_INFO, false); /* resets the log's memory, so that a repeated line is written again */
    saved_stderr = dup(2);
    int fd = open("stderr.txt", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && dup2(fd, 2) == 2);
    close(fd);
}

struct buf stderr_end(void) {
    fflush(stderr);
    dup2(saved_stderr, 2);
    close(saved_stderr);
    saved_stderr = -1;
    return file_bytes("stderr.txt");
}

void assert_contains(const struct buf *text, const char *part) {
    if (!text->data || !strstr(text->data, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text->data ? text->data : "");
}

int seen_apply(void *arg, const struct record *r) {
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

static void seen_rejected(void *arg) {
    struct seen *s = arg;
    int rejected = s->rejected + 1;
    memset(s, 0, sizeof *s);
    s->rejected = rejected;
}

struct journal_options seen_options(struct seen *s) {
    if (s)
        memset(s, 0, sizeof *s);
    return (struct journal_options){.dir = DIR_NAME,
                                    .io = &fault_io,
                                    .apply = s ? seen_apply : NULL,
                                    .known_rejected = s ? seen_rejected : NULL,
                                    .arg = s};
}

struct journal *journal_open_ok(const struct journal_options *o) {
    struct journal *j = NULL;
    assert_int_equal(journal_open(&j, o), 0);
    assert_non_null(j);
    return j;
}

int journal_append_chunk(struct journal *j, uint32_t chunk, uint64_t *seq) {
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

void journal_commit_chunks(struct journal *j, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(journal_append_chunk(j, first + i, NULL), 0);
    assert_int_equal(journal_commit(j), 0);
}

void journal_commit_stop(struct journal *j) {
    struct record stop = {.ev = EV_STOP};
    assert_int_equal(journal_append(j, &stop), 0);
    assert_int_equal(journal_commit(j), 0);
}

void assert_verifies(const char *dir, uint64_t seq) {
    struct verify_report report;
    int err = journal_verify(dir, NULL, &report);
    if (err)
        fail_msg("%s:%llu: %s", report.file, (unsigned long long)report.line, report.reason);
    assert_int_equal(report.seq, seq);
}

int journal_dir_fresh(void **state) {
    (void)state;
    if (saved_stderr >= 0) { /* a test failed: print its log */
        struct buf said = stderr_end();
        fwrite(said.data, 1, said.len, stderr);
        buf_release(&said);
    }
    fault_set(FAULT_NONE, 0, 0);
    dir_remove(DIR_NAME);
    return 0;
}

struct buf journal_three_batches(void) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 3);
    journal_commit_chunks(j, 3, 3);
    journal_close(&j);
    return journal_bytes(DIR_NAME);
}

void journal_put(struct slice bytes) {
    dir_remove(DIR_NAME);
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    file_put(ACTIVE, bytes);
}

void journal_refuses(const char *path, uint64_t line, int wanted) {
    struct buf before = file_bytes(path);
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = NULL;
    stderr_begin();
    int err = journal_open(&j, &o);
    struct buf said = stderr_end();
    if (err != wanted)
        fail_msg("line %llu: %d instead of %d; said: %s", (unsigned long long)line, err, wanted, said.data);
    assert_null(j);
    if (line) {
        char place[600];
        snprintf(place, sizeof place, "%s:%llu: ", path, (unsigned long long)line);
        assert_contains(&said, place);
    }
    struct buf after = file_bytes(path);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    assert_null(dir_find(DIR_NAME, "torn-"));
    buf_release(&before);
    buf_release(&after);
    buf_release(&said);
}
