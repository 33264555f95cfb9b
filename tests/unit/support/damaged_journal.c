#include "damaged_journal.h"

struct written written;
struct moment moments[LINES_MAX];
size_t moment_count;
struct tally tally;

static struct state building;

static void record_add(struct journal *j, struct record *r) {
    assert_int_equal(journal_append(j, r), 0);
    assert_int_equal(state_apply(&building, r), 0);
}

static void batch_commit(struct journal *j) {
    assert_int_equal(journal_commit(j), 0);
    assert_true(moment_count < LINES_MAX);
    struct moment *m = &moments[moment_count++];
    journal_position(j, &m->pos);
    m->body = (struct buf)BUF_INIT;
    assert_int_equal(snapshot_encode(&building, &m->body), 0);
}

static struct record record_about(enum record_ev ev, unsigned n) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .upload = {{0xab, (uint8_t)n, (uint8_t)(n >> 8)}}};
    return r;
}

static struct record record_named(enum record_ev ev, unsigned n) {
    static char src[64], dest[64];
    struct record r = record_about(ev, n);
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

static struct record record_with_result(struct record r) {
    r.has |= HAS_CRC | HAS_ETAG | HAS_WORKER | HAS_MS;
    r.crc = 0x1a2b3c4d;
    r.etag = slice_of("9e107d9d372bb6826bd81d3542a419d6");
    r.worker = slice_of("host/4711");
    r.ms = 12;
    return r;
}

static void chunk_add(struct journal *j, unsigned n, uint32_t chunk) {
    struct record r = record_with_result(record_about(EV_CHUNK, n));
    r.has |= HAS_CHUNK;
    r.chunk = chunk;
    r.offset = (uint64_t)chunk * 65536;
    r.length = chunk < 3 ? 65536 : 65526;
    record_add(j, &r);
}

static void upload_add_begin(struct journal *j, unsigned n) {
    struct record open = record_named(EV_OPEN, n), begin = record_named(EV_BEGIN, n);
    record_add(j, &open);
    begin.has |= HAS_GEOMETRY | HAS_HANDLE;
    begin.chunk_size = 65536;
    begin.chunks = 4;
    begin.handle = slice_of("2~Jd0yYkHkq1pQ7fWb3nT9sXvA5LzRcE8");
    record_add(j, &begin);
}

/* One upload after the other, each with another end; batches of one to five lines. */
static void upload_add(struct journal *j, unsigned n) {
    if (n % 5 == 4) {
        struct record put = record_with_result(record_named(EV_PUT, n));
        record_add(j, &put);
        batch_commit(j);
        return;
    }
    upload_add_begin(j, n);
    batch_commit(j);
    for (uint32_t i = 0; i < 3; i++)
        chunk_add(j, n, i);
    struct record redo = record_about(EV_REDO, n);
    redo.has |= HAS_CHUNK;
    redo.chunk = 1;
    record_add(j, &redo);
    batch_commit(j);
    struct record end = record_about(n % 5 == 2 ? EV_FAIL : EV_ABORT, n);
    if (n % 5 == 0)
        return; /* stays open */
    if (n % 5 == 1) {
        chunk_add(j, n, 1);
        chunk_add(j, n, 3);
        batch_commit(j);
        end = record_with_result(record_named(EV_FINISH, n));
    }
    end.class = slice_of("changed");
    end.error = slice_of("changed while it was uploaded (mtime moved)");
    end.reason = slice_of("superseded");
    record_add(j, &end);
    batch_commit(j);
}

static void written_index(void) {
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

static void written_release(void) {
    for (size_t i = 0; i < moment_count; i++)
        buf_release(&moments[i].body);
    moment_count = 0;
    buf_release(&written.all);
    buf_release(&written.active);
}

void written_create(void) {
    unsigned n = 0;
    written_release();
    dir_remove(DIR_NAME);
    assert_int_equal(state_init(&building), 0);
    for (int life = 0; life < 3; life++) {
        struct journal_options o = seen_options(NULL);
        o.rotate_bytes = life < 2 ? 2500 : 0;
        struct journal *j = journal_open_ok(&o);
        for (unsigned i = 0; i < (life < 2 ? 2 : 4); i++)
            upload_add(j, n++);
        if (life == 2) {
            upload_add_begin(j, n);
            for (uint32_t i = 0; i < 3; i++)
                chunk_add(j, n, i);
            batch_commit(j);
        }
        written.id = *journal_id(j);
        journal_close(&j);
    }
    state_release(&building);
    written.all = journal_bytes(DIR_NAME);
    written.active = file_bytes(ACTIVE);
    written_index();
    assert_true(written.active.len > TAIL_BYTES + 1000);
    assert_true(written.active_first > 10);
    assert_int_equal(written.lines[written.count - 1].batch, written.lines[written.count - 5].batch);
}

/* --- write files, and capture the log of a start --- */

static int log_fd = -1;

void log_listen_begin(void) {
    stderr_begin();
    log_fd = open("stderr.txt", O_RDWR | O_CLOEXEC);
    assert_true(log_fd >= 0);
}

void log_listen_end(void) {
    struct buf said = stderr_end();
    buf_release(&said);
    close(log_fd);
}

const char *log_heard(void) {
    static char text[8192];
    fflush(stderr);
    log_setup("chunklift", LOG_INFO, false);
    ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(log_fd, 0), 0);
    assert_int_equal(lseek(2, 0, SEEK_SET), 0);
    return text;
}

size_t written_lines_before(size_t at) {
    size_t base = written.lines[written.active_first].start, i = written.active_first;
    while (i < written.count && written.lines[i].end - base <= at)
        i++;
    return i;
}

/* --- changes of a byte --- */

char byte_changed(char byte, enum change change) {
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

int written_reset(void **state) {
    tally = (struct tally){0};
    written_release();
    return journal_dir_fresh(state);
}
