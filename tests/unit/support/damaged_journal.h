/*
 * A journal for tests of damage: uploads in all states, batches of several lines, sealed files and
 * an active one. With the list of its lines as they were written, and the states at each position.
 */
#ifndef CHUNKLIFT_DAMAGED_JOURNAL_H
#define CHUNKLIFT_DAMAGED_JOURNAL_H

#include "journal_support.h"

#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/journal/snapshot_file.h"
#include "consumer/state/snapshot.h"
#include <inttypes.h>

#define ACTIVE DIR_NAME "/" JOURNAL_ACTIVE
#define LINES_MAX 400
#define TAIL_BYTES 4096
#ifdef __SANITIZE_ADDRESS__
#define STEP 7 /* without it, every byte is tested */
#else
#define STEP 1
#endif

/* --- the journal and the list of its lines --- */

struct line {
    size_t start, end; /* in `all`, newline included */
    uint64_t batch;
    uint64_t epoch; /* the last one at or before it */
    char h[ID_HEX_SIZE];
};
static struct written {
    struct line lines[LINES_MAX]; /* line i has seq i + 1 */
    size_t count;
    struct buf all, active; /* the bytes of all files in order; of the active one */
    size_t active_first;    /* index of its first line */
    struct id128 id;
} written;

/* The positions for a snapshot, and the state at each. */
static struct moment {
    struct journal_position pos;
    struct buf body;
} moments[LINES_MAX];
static size_t moment_count;
static struct state building;

static void add(struct journal *j, struct record *r) {
    assert_int_equal(journal_append(j, r), 0);
    assert_int_equal(state_apply(&building, r), 0);
}

static void commit(struct journal *j) {
    assert_int_equal(journal_commit(j), 0);
    assert_true(moment_count < LINES_MAX);
    struct moment *m = &moments[moment_count++];
    journal_position(j, &m->pos);
    m->body = (struct buf)BUF_INIT;
    assert_int_equal(snapshot_encode(&building, &m->body), 0);
}

static struct record about(enum record_ev ev, unsigned n) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .upload = {{0xab, (uint8_t)n, (uint8_t)(n >> 8)}}};
    return r;
}

static struct record named(enum record_ev ev, unsigned n) {
    static char src[64], dest[64];
    struct record r = about(ev, n);
    snprintf(src, sizeof src, "/data/film \"%u\".mkv", n);
    snprintf(dest, sizeof dest, "s3://media/raw/film-%u.mkv", n);
    r.has |= HAS_SRC | HAS_DEST;
    r.src = slice_of(src);
    r.source = slice_of("");
    r.dest = slice_of(dest);
    r.endpoint = slice_of("http://127.0.0.1:8000");
    r.file.size = 4 * 65536 - 10;
    r.file.mtime_ns = (nanotime)1763716800123456789 * 100; /* beyond 64 bits */
    r.file.ctime_ns = 1763716800123456790;
    r.file.ino = 262147 + n;
    return r;
}

static struct record result(struct record r) {
    r.has |= HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS;
    r.crc = 0x1a2b3c4d;
    r.etag = slice_of("9e107d9d372bb6826bd81d3542a419d6");
    r.worker = slice_of("host/4711");
    r.ms = 12;
    return r;
}

static void add_chunk(struct journal *j, unsigned n, uint32_t chunk) {
    struct record r = result(about(EV_CHUNK, n));
    r.has |= HAS_CHUNK;
    r.chunk = chunk;
    r.offset = (uint64_t)chunk * 65536;
    r.length = chunk < 3 ? 65536 : 65526;
    add(j, &r);
}

static void add_begin(struct journal *j, unsigned n) {
    struct record open = named(EV_OPEN, n), begin = named(EV_BEGIN, n);
    add(j, &open);
    begin.has |= HAS_GEOMETRY | HAS_HANDLE;
    begin.chunk_size = 65536;
    begin.chunks = 4;
    begin.handle = slice_of("2~Jd0yYkHkq1pQ7fWb3nT9sXvA5LzRcE8");
    add(j, &begin);
}

/* One upload after the other, each with another end; batches of one to five lines. */
static void write_upload(struct journal *j, unsigned n) {
    if (n % 5 == 4) {
        struct record put = result(named(EV_PUT, n));
        add(j, &put);
        commit(j);
        return;
    }
    add_begin(j, n);
    commit(j);
    for (uint32_t i = 0; i < 3; i++)
        add_chunk(j, n, i);
    struct record redo = about(EV_REDO, n);
    redo.has |= HAS_CHUNK;
    redo.chunk = 1;
    add(j, &redo);
    commit(j);
    struct record end = about(n % 5 == 2 ? EV_FAIL : EV_ABORT, n);
    if (n % 5 == 0)
        return; /* stays open */
    if (n % 5 == 1) {
        add_chunk(j, n, 1);
        add_chunk(j, n, 3);
        commit(j);
        end = result(named(EV_FINISH, n));
    }
    end.class = slice_of("changed");
    end.error = slice_of("changed while it was uploaded (mtime moved)");
    end.reason = slice_of("superseded");
    add(j, &end);
    commit(j);
}

static void note_lines(void) {
    struct buf *all = &written.all;
    written.count = 0;
    for (size_t at = 0; at < all->len; written.count++) {
        char *end = memchr(all->data + at, '\n', all->len - at);
        assert_true(end && written.count < LINES_MAX);
        struct line *l = &written.lines[written.count];
        uint64_t seq;
        *l = (struct line){.start = at, .end = (size_t)(end - all->data) + 1};
        assert_int_equal(sscanf(all->data + at, "{\"seq\":%" SCNu64 ",\"batch\":%" SCNu64, &seq, &l->batch), 2);
        assert_int_equal(seq, written.count + 1);
        memcpy(l->h, end - 2 - ID_HEX_LEN, ID_HEX_LEN);
        *end = '\0';
        l->epoch = (written.count ? l[-1].epoch : 0) + (strstr(all->data + at, "\"ev\":\"epoch\"") != NULL);
        *end = '\n';
        at = l->end;
    }
    size_t before = written.all.len - written.active.len;
    for (written.active_first = 0; written.lines[written.active_first].start < before;)
        written.active_first++;
    assert_int_equal(written.lines[written.active_first].start, before);
}

static void forget(void) {
    for (size_t i = 0; i < moment_count; i++)
        buf_release(&moments[i].body);
    moment_count = 0;
    buf_release(&written.all);
    buf_release(&written.active);
}

/* Three sessions; two sealed files; an active file of more than TAIL_BYTES, with a last batch of
 * five lines. */
MAYBE_UNUSED static void write_journal(void) {
    unsigned n = 0;
    forget();
    remove_dir(DIR_NAME);
    assert_int_equal(state_init(&building), 0);
    for (int life = 0; life < 3; life++) {
        struct journal_options o = options(NULL);
        o.rotate_bytes = life < 2 ? 2500 : 0;
        struct journal *j = open_ok(&o);
        for (unsigned i = 0; i < (life < 2 ? 2 : 4); i++)
            write_upload(j, n++);
        if (life == 2) {
            add_begin(j, n);
            for (uint32_t i = 0; i < 3; i++)
                add_chunk(j, n, i);
            commit(j);
        }
        written.id = *journal_id(j);
        journal_close(&j);
    }
    state_release(&building);
    written.all = journal_bytes(DIR_NAME);
    written.active = file_bytes(ACTIVE);
    note_lines();
    assert_true(written.active.len > TAIL_BYTES + 1000);
    assert_true(written.active_first > 10);
    assert_int_equal(written.lines[written.count - 1].batch, written.lines[written.count - 5].batch);
}

/* --- write files, and capture the log of a start --- */

/* Like put_file, but creates a new file: a file system may flush data that replaces old content,
 * and there are tens of thousands of files. */
MAYBE_UNUSED static void lay_file(const char *path, struct slice bytes) {
    unlink(path);
    put_file(path, bytes);
}

static int said_fd = -1;
MAYBE_UNUSED static void listen_begin(void) {
    stderr_begin();
    said_fd = open("stderr.txt", O_RDWR | O_CLOEXEC);
    assert_true(said_fd >= 0);
}
MAYBE_UNUSED static void listen_end(void) {
    struct buf said = stderr_end();
    buf_release(&said);
    close(said_fd);
}
/* The log since the last call. */
MAYBE_UNUSED static const char *heard(void) {
    static char text[8192];
    fflush(stderr);
    log_setup("chunklift", LOG_INFO, false);
    ssize_t n = pread(said_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(said_fd, 0), 0);
    assert_int_equal(lseek(2, 0, SEEK_SET), 0);
    return text;
}

static struct tally { unsigned positions, kept, refused; } tally;

/* The number of lines, from the journal's first, that end at or before this byte of the active
 * file. */
MAYBE_UNUSED static size_t lines_before(size_t at) {
    size_t base = written.lines[written.active_first].start, i = written.active_first;
    while (i < written.count && written.lines[i].end - base <= at)
        i++;
    return i;
}

/* --- changes of a byte --- */

enum change { BIT_0, BIT_7, TO_NEWLINE, TO_QUOTE, TO_ZERO, CHANGES };
MAYBE_UNUSED static char changed(char byte, enum change change) {
    switch (change) {
    case BIT_0:
        return (char)(byte ^ 1);
    case BIT_7:
        return (char)(byte ^ 0x80);
    case TO_NEWLINE:
        return '\n';
    case TO_QUOTE:
        return '"';
    default:
        return '\0';
    }
}

MAYBE_UNUSED static int forget_all(void **state) {
    tally = (struct tally){0};
    forget();
    return fresh_dir(state);
}
#define DAMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, forget_all, forget_all)

#endif
