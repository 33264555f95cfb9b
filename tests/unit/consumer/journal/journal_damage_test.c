/*
 * A start on a journal that is damaged at every byte (damaged_journal.h). The oracle is the list of
 * lines as they were written. A start applies a prefix of them. It cuts only lines of the last
 * batch, and keeps them in a side file. A journal that it refuses is unchanged.
 */
#include "damaged_journal.h"

/* --- one start, checked --- */

struct taken {
    size_t count; /* the number of lines, from the first */
    bool wrong;
};
static int take(void *arg, const struct record *r) {
    struct taken *t = arg;
    const struct line *l = &written.lines[t->count];
    t->wrong |= t->count >= written.count || r->seq != t->count + 1 || memcmp(r->h, l->h, ID_HEX_LEN) != 0;
    t->count++;
    return 0;
}

static void say_tally(const char *what) {
    print_message("%s: %u positions damaged, %u kept the valid prefix, %u refused\n", what, tally.positions, tally.kept,
                  tally.refused);
    tally = (struct tally){0};
}

/* The active file has its first `good` lines unchanged, and the new epoch after them (with a
 * segment line before it when no line was left). */
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
    const char *side = dir_find(DIR_NAME, "torn-");
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
    const char *said = log_heard();
    snprintf(path, sizeof path, DIR_NAME "/%s", name);
    snprintf(place, sizeof place, "%s:%" PRIu64 ": ", path, line);
    const char *at = strstr(said, place);
    if (!at || strlen(at + strlen(place)) < 10)
        fail_msg("no \"%sREASON\" in: %s", place, said);
    struct buf now = file_bytes(path);
    assert_true(slice_equal(buf_slice(&now), buf_slice(damaged)));
    assert_null(dir_find(DIR_NAME, "torn-"));
    buf_release(&now);
}

/* The active file is `damaged`; the first `good` lines of the journal are whole. must_open: only
 * lines of the last batch are lost. */
static void judge(const struct buf *damaged, size_t good, bool must_open) {
    struct taken t = {0};
    struct journal_options o = {.dir = DIR_NAME, .io = &fault_io, .apply = take, .arg = &t};
    struct journal *j = NULL;
    file_put_new(ACTIVE, buf_slice(damaged));
    int err = journal_open(&j, &o);
    assert_false(t.wrong);
    tally.positions++;
    if (err == 0) {
        if (!must_open)
            fail_msg("%zu lines kept although a later batch is behind the damage", t.count);
        assert_int_equal(t.count, good);
        check_kept(good, damaged);
        journal_close(&j);
        (void)log_heard();
        tally.kept++;
        return;
    }
    if (must_open)
        fail_msg("refused, with %zu whole lines and damage in the last batch alone: %s", good, log_heard());
    assert_int_equal(err, ERR_DAMAGED);
    check_refused(JOURNAL_ACTIVE, good - written.active_first + 1, damaged);
    tally.refused++;
}

static bool is_in_last_batch(size_t line) {
    return written.lines[line].batch == written.lines[written.count - 1].batch;
}

/* --- the active file --- */

static void test_truncated_at_every_byte_of_the_tail(void **state) {
    (void)state;
    written_create();
    log_listen_begin();
    for (size_t len = 0; len < written.active.len; len += len + TAIL_BYTES < written.active.len ? 9 : 1) {
        struct buf cut = {written.active.data, len, len};
        judge(&cut, written_lines_before(len), true); /* the lines after the cut are missing */
    }
    log_listen_end();
    say_tally("truncated");
}

static const char *const change_names[] = {"bit 0 flipped", "bit 7 flipped", "made a newline", "made a quote",
                                           "made zero"};

/* tail: only the last TAIL_BYTES. */
static void every_byte(enum change change, bool tail) {
    written_create();
    size_t from = tail ? written.active.len - TAIL_BYTES : 0;
    struct buf damaged = BUF_INIT;
    assert_int_equal(buf_add(&damaged, written.active.data, written.active.len), 0);
    log_listen_begin();
    for (size_t at = from; at < damaged.len; at += STEP) {
        char was = damaged.data[at];
        damaged.data[at] = byte_changed(was, change);
        size_t good = written_lines_before(at);
        if (damaged.data[at] != was)
            judge(&damaged, good, is_in_last_batch(good));
        damaged.data[at] = was;
    }
    log_listen_end();
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
    file_put_new(path, bytes);
}

/* ERR_DAMAGED, and no file changes. line 0: the message may name any line of any file. */
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
        assert_non_null(strstr(log_heard(), ".jsonl:"));
    }
    assert_null(dir_find(DIR_NAME, "torn-"));
    now = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&now)));
    buf_release(&before);
    buf_release(&now);
}

static void test_every_byte_of_the_sealed_files(void **state) {
    (void)state;
    written_create();
    find_sealed();
    log_listen_begin();
    for (int i = 0; i < sealed_count; i++) {
        struct buf whole = sealed_bytes(i);
        uint64_t line = 1;
        for (size_t at = 0; at < whole.len; at++) {
            char was = whole.data[at];
            for (enum change change = BIT_0; change < CHANGES && at % STEP == 0; change += 2) {
                whole.data[at] = byte_changed(was, change);
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
    log_listen_end();
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
    written_create();
    find_sealed();
    struct buf other_active = file_bytes(ACTIVE);
    int count = sealed_count;
    for (int i = 0; i < count; i++)
        other[i] = sealed_bytes(i);
    written_create(); /* written again: another id, so another chain */
    find_sealed();
    assert_int_equal(sealed_count, count);
    log_listen_begin();
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
            continue; /* a journal may begin later: that is logged, see journal_recover_test */
        move(sealed[i], "elsewhere");
        refuses_start(i + 1 < count ? sealed[i + 1] : JOURNAL_ACTIVE, 1);
        move("elsewhere", sealed[i]);
    }
    file_put_new(ACTIVE, buf_slice(&other_active));
    refuses_start(JOURNAL_ACTIVE, 1);
    struct buf mixed = BUF_INIT; /* its own lines, then the lines of the other journal from the same position */
    for (size_t i = written.active_first + 1; i < written.count; i++) {
        size_t end = written.lines[i].start - written.lines[written.active_first].start;
        buf_clear(&mixed);
        assert_int_equal(buf_add(&mixed, written.active.data, end), 0);
        assert_int_equal(buf_add(&mixed, other_active.data + end, other_active.len - end), 0);
        judge(&mixed, i, is_in_last_batch(i));
    }
    file_put_new(ACTIVE, slice_of("")); /* the same as missing: a crash during a rotation */
    struct buf empty = BUF_INIT;
    judge(&empty, written.active_first, true);
    log_listen_end();
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
    file_put_new(ACTIVE, buf_slice(&b));
    buf_release(&b);
}

static void test_verify_finds_every_line_removed_doubled_moved_or_edited(void **state) {
    (void)state;
    written_create();
    size_t first = written.active_first, n = written.count - first, order[LINES_MAX + 1];
    for (size_t at = 0; at < n; at++) {
        for (size_t i = 0, k = 0; i < n; i++)
            if (i != at)
                order[k++] = first + i;
        put_lines(order, n - 1, NULL);
        if (at + 1 < n) {
            verify_finds("removed", at);
        } else { /* no line follows: only a head that was saved elsewhere detects it */
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
        file_put_new(ACTIVE, buf_slice(&edited));
        verify_finds("edited", written_lines_before(at));
    }
    buf_release(&edited);
    print_message("verify: %u edits found\n", tally.refused);
    tally = (struct tally){0};
}

UNIT_MAIN(DAMAGE_TEST(test_truncated_at_every_byte_of_the_tail), DAMAGE_TEST(test_every_byte_with_bit_0_flipped),
          DAMAGE_TEST(test_every_byte_with_bit_7_flipped), DAMAGE_TEST(test_every_byte_made_a_newline),
          DAMAGE_TEST(test_every_byte_made_a_quote), DAMAGE_TEST(test_every_byte_made_zero),
          DAMAGE_TEST(test_every_byte_of_the_sealed_files), DAMAGE_TEST(test_files_missing_swapped_and_foreign),
          DAMAGE_TEST(test_verify_finds_every_line_removed_doubled_moved_or_edited))
