/*
 * A journal with everything in it (uploads in all states, batches of several lines, sealed files and an active one),
 * damaged at every byte, and what a start makes of it. The oracle is the list of lines as they were written: what a
 * start takes in is a prefix of them, what it cuts is of the last batch alone and kept, and whatever it refuses it
 * leaves as it is. Snapshots are held against a start without one.
 */
#include "journal_support.h"

#include "consumer/core.h"
#include <inttypes.h>

#define ACTIVE DIR_NAME "/" JOURNAL_ACTIVE
#define LINES_MAX 400
#define TAIL_BYTES 4096
#ifdef __SANITIZE_ADDRESS__
#define STEP 7 /* every byte is tried without it */
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
    struct buf all, active; /* bytes of all files one after the other, of the active one */
    size_t active_first;    /* index of its first line */
    struct id128 id;
} written;

/* Where a snapshot could have been taken, and the state there. */
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
    r.size = 4 * 65536 - 10;
    r.mtime_ns = 1763716800123456789;
    r.ctime_ns = 1763716800123456790;
    r.ino = 262147 + n;
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

/* One upload after the other, each ending in its own way; batches of one to five lines. */
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
    end.klass = slice_of("changed");
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

/* Three lives; two sealed files; the active one of more than TAIL_BYTES, its last batch of five lines. */
static void write_journal(void) {
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

/* --- one start, judged --- */

/* As put_file, but as a new file: a file system may write out what replaces the content of an old one, and here are
 * tens of thousands. */
static void lay_file(const char *path, struct slice bytes) {
    unlink(path);
    put_file(path, bytes);
}

static int said_fd = -1;
static void listen_begin(void) {
    stderr_begin();
    said_fd = open("stderr.txt", O_RDWR | O_CLOEXEC);
    assert_true(said_fd >= 0);
}
static void listen_end(void) {
    struct buf said = stderr_end();
    buf_release(&said);
    close(said_fd);
}
/* What was said since the last call. */
static const char *heard(void) {
    static char text[8192];
    fflush(stderr);
    ssize_t n = pread(said_fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(said_fd, 0), 0);
    assert_int_equal(lseek(2, 0, SEEK_SET), 0);
    return text;
}

struct taken {
    size_t count; /* lines, from the first */
    bool wrong;
};
static int take(void *arg, const struct record *r) {
    struct taken *t = arg;
    const struct line *l = &written.lines[t->count];
    t->wrong |= t->count >= written.count || r->seq != t->count + 1 || memcmp(r->h, l->h, ID_HEX_LEN) != 0;
    t->count++;
    return 0;
}

static struct tally { unsigned positions, kept, refused; } tally;

static void say_tally(const char *what) {
    print_message("%s: %u positions damaged, %u kept the valid prefix, %u refused\n", what, tally.positions, tally.kept,
                  tally.refused);
    tally = (struct tally){0};
}

/* The active file holds the first `good` lines of its own as they were, and behind them the new epoch (with a segment
 * line before it when nothing was left of the file). */
static void check_kept(size_t good, const struct buf *damaged) {
    struct buf now = file_bytes(ACTIVE);
    size_t lines = good - written.active_first, end = 0, fresh = 0;
    if (lines > 0)
        end = written.lines[good - 1].end - written.lines[written.active_first].start;
    assert_true(now.len > end);
    assert_memory_equal(now.data, written.active.data, end);
    for (size_t i = end; i < now.len; i++)
        fresh += now.data[i] == '\n';
    assert_int_equal(fresh, lines > 0 ? 1 : 2);
    char epoch[128], id[ID_HEX_SIZE];
    id_to_hex(&written.id, id);
    snprintf(epoch, sizeof epoch, "\"ev\":\"epoch\",\"epoch\":%" PRIu64 ",\"journal\":\"%s\"",
             written.lines[good - 1].epoch + 1, id);
    assert_non_null(strstr(now.data + end, epoch));
    const char *side = find_file(DIR_NAME, "torn-");
    assert_true((side != NULL) == (damaged->len > end));
    if (side) {
        struct buf kept = file_bytes(side);
        assert_int_equal(kept.len, damaged->len - end);
        assert_memory_equal(kept.data, damaged->data + end, kept.len);
        buf_release(&kept);
        assert_int_equal(unlink(side), 0);
    }
    buf_release(&now);
}

static void check_refused(const char *name, uint64_t line, const struct buf *damaged) {
    char path[512], place[600];
    const char *said = heard();
    snprintf(path, sizeof path, DIR_NAME "/%s", name);
    snprintf(place, sizeof place, "%s:%" PRIu64 ": ", path, line);
    const char *at = strstr(said, place);
    if (!at || strlen(at + strlen(place)) < 10)
        fail_msg("no \"%sREASON\" in: %s", place, said);
    struct buf now = file_bytes(path);
    assert_true(slice_equal(buf_slice(&now), buf_slice(damaged)));
    assert_null(find_file(DIR_NAME, "torn-"));
    buf_release(&now);
}

/* The active file is `damaged`, its first `good` lines (of all) are whole; must_open: what is lost is of the last
 * batch. */
static void judge(const struct buf *damaged, size_t good, bool must_open) {
    struct taken t = {0};
    struct journal_options o = {.dir = DIR_NAME, .io = &fault_io, .apply = take, .arg = &t};
    struct journal *j = NULL;
    lay_file(ACTIVE, buf_slice(damaged));
    int err = journal_open(&j, &o);
    assert_false(t.wrong);
    tally.positions++;
    if (err == 0) {
        if (!must_open)
            fail_msg("%zu lines kept although a later batch is behind the damage", t.count);
        assert_int_equal(t.count, good);
        check_kept(good, damaged);
        journal_close(&j);
        (void)heard();
        tally.kept++;
        return;
    }
    if (must_open)
        fail_msg("refused, with %zu whole lines and damage in the last batch alone: %s", good, heard());
    assert_int_equal(err, ERR_DAMAGED);
    check_refused(JOURNAL_ACTIVE, good - written.active_first + 1, damaged);
    tally.refused++;
}

/* Lines that end at or before this byte of the active file, counted from the journal's first. */
static size_t lines_before(size_t at) {
    size_t base = written.lines[written.active_first].start, i = written.active_first;
    while (i < written.count && written.lines[i].end - base <= at)
        i++;
    return i;
}

static bool is_in_last_batch(size_t line) {
    return written.lines[line].batch == written.lines[written.count - 1].batch;
}

/* --- the active file --- */

static void test_truncated_at_every_byte_of_the_tail(void **state) {
    (void)state;
    write_journal();
    listen_begin();
    for (size_t len = 0; len < written.active.len; len += len + TAIL_BYTES < written.active.len ? 9 : 1) {
        struct buf cut = {written.active.data, len, len};
        judge(&cut, lines_before(len), true); /* what is behind the cut is not there to speak */
    }
    listen_end();
    say_tally("truncated");
}

enum change { BIT_0, BIT_7, TO_NEWLINE, TO_QUOTE, TO_ZERO, CHANGES };
static const char *const change_names[] = {"bit 0 flipped", "bit 7 flipped", "made a newline", "made a quote",
                                           "made zero"};

static char changed(char byte, enum change change) {
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

/* tail: of the last TAIL_BYTES only. */
static void every_byte(enum change change, bool tail) {
    write_journal();
    size_t from = tail ? written.active.len - TAIL_BYTES : 0;
    struct buf damaged = BUF_INIT;
    assert_int_equal(buf_add(&damaged, written.active.data, written.active.len), 0);
    listen_begin();
    for (size_t at = from; at < damaged.len; at += STEP) {
        char was = damaged.data[at];
        damaged.data[at] = changed(was, change);
        size_t good = lines_before(at);
        if (damaged.data[at] != was)
            judge(&damaged, good, is_in_last_batch(good));
        damaged.data[at] = was;
    }
    listen_end();
    buf_release(&damaged);
    say_tally(change_names[change]);
}

static void test_every_byte_with_bit_0_flipped(void **state) {
    (void)state;
    every_byte(BIT_0, false);
}
static void test_every_byte_with_bit_7_flipped(void **state) {
    (void)state;
    every_byte(BIT_7, true);
}
static void test_every_byte_made_a_newline(void **state) {
    (void)state;
    every_byte(TO_NEWLINE, true);
}
static void test_every_byte_made_a_quote(void **state) {
    (void)state;
    every_byte(TO_QUOTE, true);
}
static void test_every_byte_made_zero(void **state) {
    (void)state;
    every_byte(TO_ZERO, true);
}

/* --- sealed files, and files as a whole --- */

#define SEALED_MAX 8
static char sealed[SEALED_MAX][48];
static int sealed_count;

static void find_sealed(void) {
    struct journal_files list;
    assert_int_equal(journal_files_list(DIR_NAME, &list), 0);
    assert_true(list.count > 2 && list.count <= SEALED_MAX);
    sealed_count = (int)list.count - 1;
    for (int i = 0; i < sealed_count; i++)
        snprintf(sealed[i], sizeof sealed[i], "%s", list.files[i].name);
    journal_files_release(&list);
}

static struct buf sealed_bytes(int i) {
    char path[512];
    snprintf(path, sizeof path, DIR_NAME "/%s", sealed[i]);
    return file_bytes(path);
}

static void put_sealed(int i, struct slice bytes) {
    char path[512];
    snprintf(path, sizeof path, DIR_NAME "/%s", sealed[i]);
    lay_file(path, bytes);
}

/* ERR_DAMAGED; all that lies there stays as it is. line 0: whatever line of whatever file is named. */
static void refuses_start(const char *name, uint64_t line) {
    struct taken t = {0};
    struct journal_options o = {.dir = DIR_NAME, .io = &fault_io, .apply = take, .arg = &t};
    struct journal *j = NULL;
    struct buf before = journal_bytes(DIR_NAME), now;
    int err = journal_open(&j, &o);
    tally.positions++;
    tally.refused++;
    assert_int_equal(err, ERR_DAMAGED);
    if (name) {
        char path[512];
        snprintf(path, sizeof path, DIR_NAME "/%s", name);
        now = file_bytes(path);
        check_refused(name, line, &now);
        buf_release(&now);
    } else {
        assert_non_null(strstr(heard(), ".jsonl:"));
    }
    assert_null(find_file(DIR_NAME, "torn-"));
    now = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&now)));
    buf_release(&before);
    buf_release(&now);
}

static void test_every_byte_of_the_sealed_files(void **state) {
    (void)state;
    write_journal();
    find_sealed();
    listen_begin();
    for (int i = 0; i < sealed_count; i++) {
        struct buf whole = sealed_bytes(i);
        uint64_t line = 1;
        for (size_t at = 0; at < whole.len; at++) {
            char was = whole.data[at];
            for (enum change change = BIT_0; change < CHANGES && at % STEP == 0; change += 2) {
                whole.data[at] = changed(was, change);
                if (whole.data[at] == was)
                    continue;
                put_sealed(i, buf_slice(&whole));
                refuses_start(sealed[i], line);
            }
            whole.data[at] = was;
            line += was == '\n';
        }
        for (size_t len = 0; len < whole.len; len += 7) {
            put_sealed(i, slice_make(whole.data, len));
            refuses_start(NULL, 0);
        }
        put_sealed(i, buf_slice(&whole));
        buf_release(&whole);
    }
    listen_end();
    say_tally("sealed files");
}

static void move(const char *from, const char *to) {
    char a[512], b[512];
    snprintf(a, sizeof a, DIR_NAME "/%s", from);
    snprintf(b, sizeof b, DIR_NAME "/%s", to);
    assert_int_equal(rename(a, b), 0);
}

static void swap(const char *a, const char *b) {
    move(a, "aside");
    move(b, a);
    move("aside", b);
}

static void test_files_missing_swapped_and_foreign(void **state) {
    (void)state;
    struct buf other[SEALED_MAX], own[SEALED_MAX];
    write_journal();
    find_sealed();
    struct buf other_active = file_bytes(ACTIVE);
    int count = sealed_count;
    for (int i = 0; i < count; i++)
        other[i] = sealed_bytes(i);
    write_journal(); /* the same again: another id, so another chain */
    find_sealed();
    assert_int_equal(sealed_count, count);
    listen_begin();
    for (int i = 0; i < count; i++) {
        own[i] = sealed_bytes(i);
        put_sealed(i, buf_slice(&other[i]));
        refuses_start(NULL, 0);
        put_sealed(i, buf_slice(&own[i]));
        swap(sealed[i], sealed[(i + 1) % count]);
        refuses_start(NULL, 0);
        swap(sealed[i], sealed[(i + 1) % count]);
        swap(sealed[i], JOURNAL_ACTIVE);
        refuses_start(NULL, 0);
        swap(sealed[i], JOURNAL_ACTIVE);
        if (i == 0)
            continue; /* one may begin later: that is said, see journal_recover_test */
        move(sealed[i], "elsewhere");
        refuses_start(i + 1 < count ? sealed[i + 1] : JOURNAL_ACTIVE, 1);
        move("elsewhere", sealed[i]);
    }
    lay_file(ACTIVE, buf_slice(&other_active));
    refuses_start(JOURNAL_ACTIVE, 1);
    struct buf mixed = BUF_INIT; /* its own lines, then those of the other one from the same places on */
    for (size_t i = written.active_first + 1; i < written.count; i++) {
        size_t end = written.lines[i].start - written.lines[written.active_first].start;
        buf_clear(&mixed);
        assert_int_equal(buf_add(&mixed, written.active.data, end), 0);
        assert_int_equal(buf_add(&mixed, other_active.data + end, other_active.len - end), 0);
        judge(&mixed, i, is_in_last_batch(i));
    }
    lay_file(ACTIVE, slice_of("")); /* as good as missing: a crash in the middle of a rotation */
    struct buf empty = BUF_INIT;
    judge(&empty, written.active_first, true);
    listen_end();
    say_tally("whole files");
    buf_release(&mixed);
    buf_release(&other_active);
    for (int i = 0; i < count; i++) {
        buf_release(&other[i]);
        buf_release(&own[i]);
    }
}

/* --- verify --- */

static void verify_finds(const char *what, size_t line) {
    struct verify_report r;
    int err = journal_verify(DIR_NAME, NULL, &r);
    tally.positions++;
    tally.refused++;
    if (err != ERR_DAMAGED || !r.file[0] || r.line == 0 || !r.reason[0])
        fail_msg("line %zu %s: not found (%d)", line, what, err);
}

static void put_lines(const size_t *order, size_t count, const struct buf *edited) {
    struct buf b = BUF_INIT;
    size_t base = written.lines[written.active_first].start;
    for (size_t i = 0; i < count; i++) {
        const struct line *l = &written.lines[order[i]];
        const char *from = edited && order[i] == edited->len ? edited->data : written.active.data + (l->start - base);
        assert_int_equal(buf_add(&b, from, l->end - l->start), 0);
    }
    lay_file(ACTIVE, buf_slice(&b));
    buf_release(&b);
}

static void test_verify_finds_every_line_removed_doubled_moved_or_edited(void **state) {
    (void)state;
    write_journal();
    size_t first = written.active_first, n = written.count - first, order[LINES_MAX + 1];
    for (size_t at = 0; at < n; at++) {
        for (size_t i = 0, k = 0; i < n; i++)
            if (i != at)
                order[k++] = first + i;
        put_lines(order, n - 1, NULL);
        if (at + 1 < n) {
            verify_finds("removed", at);
        } else { /* nothing follows it: only a head kept elsewhere tells */
            struct verify_report r;
            assert_int_equal(journal_verify(DIR_NAME, written.lines[written.count - 1].h, &r), 0);
            assert_false(r.has_head);
        }
        for (size_t i = 0, k = 0; i < n; i++) {
            order[k++] = first + i;
            if (i == at)
                order[k++] = first + i;
        }
        put_lines(order, n + 1, NULL);
        verify_finds("doubled", at);
        for (size_t with = at + 1; with < n; with++) {
            for (size_t i = 0; i < n; i++)
                order[i] = first + (i == at ? with : i == with ? at : i);
            put_lines(order, n, NULL);
            verify_finds("exchanged", at);
        }
    }
    struct buf edited = BUF_INIT;
    for (size_t at = 0; at < written.active.len; at++) {
        buf_clear(&edited);
        assert_int_equal(buf_add(&edited, written.active.data, written.active.len), 0);
        edited.data[at] = (char)(edited.data[at] ^ 2);
        lay_file(ACTIVE, buf_slice(&edited));
        verify_finds("edited", lines_before(at));
    }
    buf_release(&edited);
    print_message("verify: %u edits found\n", tally.refused);
    tally = (struct tally){0};
}

/* --- snapshots --- */

static int send_nothing(void *arg, const void *route, size_t len, struct slice frame) {
    (void)arg, (void)route, (void)len, (void)frame;
    return 0;
}

/* The state after a start with what lies there; the active file is put back as it was. */
static struct buf start_state(const struct buf *active) {
    struct consumer *c = NULL;
    struct consumer_options o = {.dir = DIR_NAME, .io = &fault_io, .send = send_nothing, .lease_ms = LEASE_MS_DEFAULT};
    struct buf body = BUF_INIT;
    lay_file(ACTIVE, buf_slice(active));
    assert_int_equal(consumer_new(&c, &o, 1000), 0);
    assert_int_equal(snapshot_encode(&c->state, &body), 0);
    consumer_destroy(&c);
    lay_file(ACTIVE, buf_slice(active));
    return body;
}

#define SNAPSHOT DIR_NAME "/" SNAPSHOT_NAME

static struct buf state_without(const struct buf *active) {
    unlink(SNAPSHOT);
    return start_state(active);
}

static void same_state(const struct buf *want, const struct buf *active) {
    struct buf have = start_state(active);
    tally.positions++;
    assert_true(slice_equal(buf_slice(want), buf_slice(&have)));
    buf_release(&have);
}

static void put_snapshot(const struct moment *m) {
    assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &m->pos, buf_slice(&m->body)), 0);
}

static void test_a_snapshot_of_any_moment_changes_nothing(void **state) {
    (void)state;
    write_journal();
    listen_begin();
    struct buf want = state_without(&written.active);
    assert_true(slice_equal(buf_slice(&want), buf_slice(&moments[moment_count - 1].body)));
    for (size_t i = 0; i < moment_count; i++) {
        put_snapshot(&moments[i]);
        same_state(&want, &written.active);
    }
    print_message("snapshots: %u of earlier moments gone on from\n", tally.positions);
    listen_end();
    tally = (struct tally){0};
    buf_release(&want);
}

static void test_a_snapshot_that_does_not_fit_is_ignored(void **state) {
    (void)state;
    struct moment other, wrong;
    write_journal();
    other = moments[moment_count / 2];
    moments[moment_count / 2].body = (struct buf)BUF_INIT;
    write_journal();
    listen_begin();
    struct buf want = state_without(&written.active);
    put_snapshot(&other); /* another journal's, with the same numbers */
    same_state(&want, &written.active);
    for (size_t i = 0; i < moment_count; i++) {
        wrong = moments[i]; /* the state of another moment under a head that never was */
        wrong.body = moments[(i + 1) % moment_count].body;
        wrong.pos.h[i % ID_HEX_LEN] ^= 1;
        put_snapshot(&wrong);
        same_state(&want, &written.active);
        wrong.pos = moments[i].pos;
        wrong.pos.seq = written.count + 1 + i; /* of lines that are not there */
        put_snapshot(&wrong);
        same_state(&want, &written.active);
        wrong.pos.seq = moments[i].pos.seq + 1; /* the head of the line before */
        put_snapshot(&wrong);
        same_state(&want, &written.active);
    }
    wrong.pos = moments[moment_count - 1].pos; /* whole, but no state */
    wrong.body = other.body;
    wrong.body.len--;
    put_snapshot(&wrong);
    same_state(&want, &written.active);
    print_message("snapshots: %u that do not fit ignored\n", tally.positions);
    listen_end();
    tally = (struct tally){0};
    buf_release(&want);
    buf_release(&other.body);
}

/* The journal lost its end behind the snapshot's line: what counts is the journal. */
static void test_a_snapshot_ahead_of_the_journal_is_ignored(void **state) {
    (void)state;
    write_journal();
    listen_begin();
    size_t base = written.lines[written.active_first].start;
    for (size_t i = written.active_first; i < written.count; i++) {
        struct buf cut = {written.active.data, written.lines[i].start - base, 0};
        struct buf want = state_without(&cut);
        put_snapshot(&moments[moment_count - 1]);
        same_state(&want, &cut);
        buf_release(&want);
    }
    print_message("snapshots: %u ahead of a journal that lost its end ignored\n", tally.positions);
    listen_end();
    tally = (struct tally){0};
}

static void test_a_snapshot_damaged_at_every_byte_is_ignored(void **state) {
    (void)state;
    write_journal();
    listen_begin();
    struct buf want = state_without(&written.active);
    struct moment *m = &moments[moment_count / 2], lie = *m;
    put_snapshot(m);
    struct buf whole = file_bytes(SNAPSHOT);
    for (size_t at = 0; at < whole.len; at += STEP)
        for (enum change change = BIT_0; change < CHANGES; change++) {
            char was = whole.data[at];
            whole.data[at] = changed(was, change);
            if (whole.data[at] != was) {
                lay_file(SNAPSHOT, buf_slice(&whole));
                same_state(&want, &written.active);
            }
            whole.data[at] = was;
        }
    for (size_t len = 0; len < whole.len; len += STEP) {
        lay_file(SNAPSHOT, slice_make(whole.data, len));
        same_state(&want, &written.active);
    }
    assert_int_equal(buf_add(&whole, "\0", 1), 0);
    lay_file(SNAPSHOT, buf_slice(&whole));
    same_state(&want, &written.active);
    /* The test can see a wrong one: a whole snapshot with the right place and another state is believed. */
    lie.body = moments[0].body;
    put_snapshot(&lie);
    struct buf wrong = start_state(&written.active);
    assert_false(slice_equal(buf_slice(&want), buf_slice(&wrong)));
    print_message("snapshots: %u damaged ones ignored\n", tally.positions);
    listen_end();
    tally = (struct tally){0};
    buf_release(&wrong);
    buf_release(&whole);
    buf_release(&want);
}

static int forget_all(void **state) {
    tally = (struct tally){0};
    forget();
    return fresh_dir(state);
}
#define DAMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, forget_all, forget_all)

UNIT_MAIN(DAMAGE_TEST(test_truncated_at_every_byte_of_the_tail), DAMAGE_TEST(test_every_byte_with_bit_0_flipped),
          DAMAGE_TEST(test_every_byte_with_bit_7_flipped), DAMAGE_TEST(test_every_byte_made_a_newline),
          DAMAGE_TEST(test_every_byte_made_a_quote), DAMAGE_TEST(test_every_byte_made_zero),
          DAMAGE_TEST(test_every_byte_of_the_sealed_files), DAMAGE_TEST(test_files_missing_swapped_and_foreign),
          DAMAGE_TEST(test_verify_finds_every_line_removed_doubled_moved_or_edited),
          DAMAGE_TEST(test_a_snapshot_of_any_moment_changes_nothing),
          DAMAGE_TEST(test_a_snapshot_that_does_not_fit_is_ignored),
          DAMAGE_TEST(test_a_snapshot_ahead_of_the_journal_is_ignored),
          DAMAGE_TEST(test_a_snapshot_damaged_at_every_byte_is_ignored))
