/* The container of the state snapshot: whole or absent. */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"
#include "pure/digest.h"

#define PATH DIR_NAME "/" SNAPSHOT_NAME

static struct journal_position place(uint64_t seq) {
    struct journal_position pos = {.journal = {{7, 1, 9}}, .epoch = 3, .seq = seq};
    memcpy(pos.h, "0123456789abcdef0123456789abcdef", sizeof pos.h);
    return pos;
}

static void assert_reads(uint64_t seq, const char *body) {
    struct journal_position pos, wanted = place(seq);
    struct buf b = BUF_INIT;
    assert_int_equal(snapshot_read(DIR_NAME, &pos, &b), 0);
    assert_true(id_equal(&pos.journal, &wanted.journal));
    assert_int_equal(pos.seq, seq);
    assert_int_equal(pos.epoch, 3);
    assert_string_equal(pos.h, wanted.h);
    assert_true(slice_equal(buf_slice(&b), slice_of(body)));
    buf_release(&b);
}

static void assert_unreadable(int a, int b) {
    struct journal_position pos = place(1);
    struct buf body = BUF_INIT;
    assert_int_equal(buf_add_text(&body, "old"), 0);
    int err = snapshot_read(DIR_NAME, &pos, &body);
    assert_true(err == a || err == b);
    assert_int_equal(pos.seq, 0);
    assert_int_equal(body.len, 0);
    buf_release(&body);
}

static int make_dir(void **state) {
    journal_dir_fresh(state);
    return mkdir(DIR_NAME, 0700);
}

static void test_reads_what_was_written(void **state) {
    (void)state;
    assert_unreadable(ERR_NOT_FOUND, ERR_NOT_FOUND);
    struct journal_position pos = place(UINT64_MAX);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("the state\nin two lines")), 0);
    assert_reads(UINT64_MAX, "the state\nin two lines");
    pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("")), 0);
    assert_reads(18, "");
    assert_null(dir_find(DIR_NAME, "tmp-"));
    struct stat st;
    assert_int_equal(stat(PATH, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_any_change_is_noticed(void **state) {
    (void)state;
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("the state")), 0);
    struct buf whole = file_bytes(PATH);
    for (size_t i = 0; i < whole.len; i++) {
        whole.data[i] ^= 1;
        file_put(PATH, buf_slice(&whole));
        assert_unreadable(ERR_DAMAGED, ERR_VERSION);
        whole.data[i] ^= 1;
        file_put(PATH, slice_make(whole.data, i));
        assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    }
    assert_int_equal(buf_add_byte(&whole, '\n'), 0);
    file_put(PATH, buf_slice(&whole));
    assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    buf_release(&whole);
}

static void test_lengths_from_the_disk_are_not_believed(void **state) {
    (void)state;
    static const char *const headers[] = {
        "chunklift-snapshot 2 %s 3 18 %s 99999999999999999999999 %s%s\nbody",
        "chunklift-snapshot 2 %s 3 18 %s 18446744073709551615 %s%s\nbody",
        "chunklift-snapshot 2 %s 3 18 %s 1099511627776 %s%s\nbody",
        "chunklift-snapshot 2 %s 3 18 %s  4 %s%s\nbody",
        "chunklift-snapshot 2 %s 3 -18 %s 4 %s%s\nbody",
    };
    const char *hex = "0123456789abcdef0123456789abcdef";
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char text[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof text, headers[i], hex, hex, hex, hex);
#pragma GCC diagnostic pop
        file_put(PATH, slice_of(text));
        assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    }
    file_put(PATH, slice_of("chunklift-snapshot 3 whatever comes then\n"));
    assert_unreadable(ERR_VERSION, ERR_VERSION);
}

static void test_failure_leaves_the_old_one(void **state) {
    (void)state;
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("old")), 0);
    pos = place(19);
    stderr_begin();
    for (enum fault_kind kind = FAULT_WRITE; kind <= FAULT_RENAME; kind++) {
        if (kind == FAULT_FDATASYNC)
            continue; /* not used */
        fault_set(kind, 0, ENOSPC);
        fault.write_part = 10;
        assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &pos, slice_of("new")), ERR_FULL);
        assert_reads(18, "old");
        assert_null(dir_find(DIR_NAME, "tmp-"));
    }
    struct buf said = stderr_end();
    assert_contains(&said, PATH);
    buf_release(&said);
    fault_set(FAULT_NONE, 0, 0);
    fault.short_writes = true;
    fault.write_part = 3;
    assert_int_equal(snapshot_write_by(&fault_io, DIR_NAME, &pos, slice_of("new")), 0);
    assert_reads(19, "new");
}

static int writes_before_failure;

static ssize_t write_failing_once(int fd, const void *bytes, size_t len) {
    if (writes_before_failure-- != 0)
        return write(fd, bytes, len);
    errno = ENOSPC;
    return -1;
}

/* Although the later writes work: of the header, the body, the digest. */
static void test_one_failed_write_leaves_the_old_one(void **state) {
    (void)state;
    static const struct journal_io io = {write_failing_once, fdatasync, fsync, rename};
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("old")), 0);
    pos = place(19);
    for (int before = 0; before < 3; before++) {
        writes_before_failure = before;
        stderr_begin();
        int err = snapshot_write_by(&io, DIR_NAME, &pos, slice_of("new"));
        struct buf said = stderr_end();
        assert_int_equal(err, ERR_FULL);
        assert_contains(&said, PATH ": write: No space left on device; ");
        buf_release(&said);
        assert_reads(18, "old");
    }
    assert_int_equal(snapshot_write_by(&io, DIR_NAME, &pos, slice_of("new")), 0);
    assert_reads(19, "new");
}

/* With the journal: a snapshot's position survives the file and fits; from a stale one, reading
 * continues. */
static void test_place_fits_the_journal(void **state) {
    (void)state;
    struct seen s;
    struct journal_options o = seen_options(&s);
    struct journal *j = journal_open_ok(&o);
    journal_commit_chunks(j, 0, 4);
    struct journal_position pos;
    journal_position(j, &pos);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("state")), 0);
    journal_commit_chunks(j, 4, 2);
    journal_close(&j);
    struct buf body = BUF_INIT;
    o = seen_options(&s);
    assert_int_equal(snapshot_read(DIR_NAME, &o.known, &body), 0);
    j = journal_open_ok(&o);
    assert_int_equal(s.rejected, 0);
    assert_int_equal(s.first, 6);
    assert_int_equal(s.count, 2);
    journal_close(&j);
    buf_release(&body);
}

/* --- bodies in pieces --- */

#define MIB ((size_t)1 << 20)

/* A body of `pieces` equal pieces; the second pass has `more` pieces more, or ends with the error. */
struct pieces {
    const char *bytes;
    size_t len;
    unsigned pieces, more;
    int second_error;
};
static unsigned passes;

static int pieces_produce(const void *of, snapshot_put *put, void *arg) {
    const struct pieces *p = of;
    bool second = ++passes % 2 == 0;
    int err = 0;
    for (unsigned i = 0; !err && i < p->pieces + (second ? p->more : 0); i++)
        err = put(arg, slice_make(p->bytes, p->len));
    return err ? err : second ? p->second_error : 0;
}

static int pieces_write(const struct pieces *p, const struct journal_io *io) {
    struct journal_position pos = place(19);
    struct snapshot_body body = {.produce = pieces_produce, .of = p};
    passes = 0;
    return snapshot_write_body(io, DIR_NAME, &pos, &body);
}

static void write_old(void) {
    struct journal_position pos = place(18);
    assert_int_equal(snapshot_write(DIR_NAME, &pos, slice_of("old")), 0);
}

static void assert_old_stays(void) {
    assert_reads(18, "old");
    assert_null(dir_find(DIR_NAME, "tmp-"));
}

static void test_a_body_that_changes_between_the_passes_is_not_written(void **state) {
    (void)state;
    write_old();
    assert_int_equal(pieces_write(&(struct pieces){.bytes = "ab", .len = 2, .pieces = 3, .more = 1}, NULL),
                     ERR_INVALID);
    assert_old_stays();
}

static void test_an_error_of_the_producer_is_returned(void **state) {
    (void)state;
    write_old();
    assert_int_equal(
        pieces_write(&(struct pieces){.bytes = "ab", .len = 2, .pieces = 3, .second_error = ERR_NOMEM}, NULL),
        ERR_NOMEM);
    assert_old_stays();
}

/* The largest body reaches the disk, which is full; a larger one does not. */
static void test_the_size_of_a_body_is_limited(void **state) {
    (void)state;
    char *mib = calloc(1, MIB);
    struct pieces p = {.bytes = mib, .len = MIB, .pieces = SNAPSHOT_BODY_MAX / MIB};
    stderr_begin();
    fault_set(FAULT_WRITE, 0, ENOSPC);
    assert_int_equal(pieces_write(&p, &fault_io), ERR_FULL);
    p.pieces++;
    assert_int_equal(pieces_write(&p, &fault_io), ERR_LIMIT);
    struct buf said = stderr_end();
    buf_release(&said);
    assert_null(dir_find(DIR_NAME, "tmp-"));
    free(mib);
}

static void test_a_body_of_several_pieces_is_verified_and_read_in_parts(void **state) {
    (void)state;
    char *bytes = malloc(MIB);
    for (size_t i = 0; i < MIB; i++)
        bytes[i] = (char)(i * 7 >> 3);
    static const size_t lengths[] = {256 << 10, (256 << 10) - 1, (256 << 10) + 1, 777777};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t len = lengths[i];
        struct snapshot_reading r;
        struct journal_position pos;
        char *back = malloc(len);
        assert_int_equal(pieces_write(&(struct pieces){.bytes = bytes, .len = len, .pieces = 1}, NULL), 0);
        assert_int_equal(snapshot_open(DIR_NAME, &pos, &r), 0);
        assert_int_equal(pos.seq, 19);
        assert_int_equal(r.length, len);
        assert_int_equal(snapshot_next(&r, back, 1000), 0);
        assert_int_equal(snapshot_next(&r, back + 1000, len - 1000), 0);
        assert_memory_equal(back, bytes, len);
        assert_int_equal(snapshot_next(&r, back, 0), 0);
        assert_int_equal(snapshot_next(&r, back, 1), ERR_DAMAGED);
        snapshot_close(&r);
        snapshot_close(&r); /* always allowed */
        free(back);
    }
    free(bytes);
}

static void test_a_file_cut_while_it_is_read_is_damage(void **state) {
    (void)state;
    struct snapshot_reading r;
    struct journal_position pos;
    char back[4];
    write_old();
    assert_int_equal(snapshot_open(DIR_NAME, &pos, &r), 0);
    assert_int_equal(truncate(PATH, (off_t)r.offset + 2), 0);
    assert_int_equal(snapshot_next(&r, back, 3), ERR_DAMAGED);
    assert_int_equal(snapshot_next(&r, back, 2), 0);
    assert_memory_equal(back, "ol", 2);
    snapshot_close(&r);
}

/* --- the header --- */

#define HEX_H "0123456789abcdef0123456789abcdef"

/* A snapshot with this text before its right digest, and this body. */
static void put_snapshot(const char *prefix, const char *body) {
    struct digest *sha;
    uint8_t sum[SHA256_SIZE];
    char hex[2 * SHA256_SIZE + 1], text[1000];
    assert_int_equal(digest_new(&sha, DIGEST_SHA256), 0);
    assert_int_equal(digest_begin(sha), 0);
    assert_int_equal(digest_add(sha, prefix, strlen(prefix)), 0);
    assert_int_equal(digest_add(sha, body, strlen(body)), 0);
    assert_int_equal(digest_end(sha, sum), 0);
    digest_destroy(&sha);
    hex_encode(sum, sizeof sum, hex);
    snprintf(text, sizeof text, "%s%s\n%s", prefix, hex, body);
    file_put_text(PATH, text);
}

static void test_a_header_is_read_only_in_its_one_form(void **state) {
    (void)state;
    put_snapshot("chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " 4 ", "body");
    assert_reads(18, "body");
    static const char *const wrong[] = {
        "chunklift-snapshoT 1 07010900000000000000000000000000 3 18 " HEX_H " 4 ",
        "chunklift-snapshot x 07010900000000000000000000000000 3 18 " HEX_H " 4 ",
        "chunklift-snapshot 2  07010900000000000000000000000000 3 18 " HEX_H " 4 ",
        "chunklift-snapshot 2 070109000000000000000000000000 3 18 " HEX_H " 4 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 x 18 " HEX_H " 4 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 x " HEX_H " 4 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 0123456789abcdef 4 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H "00 4 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " 3 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " 5 ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " x ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " 4  ",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " 4 0",
        "chunklift-snapshot 2 07010900000000000000000000000000 3 18 ",
        "chunklift-snapshot",
        "",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_snapshot(wrong[i], "body");
        assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    }
    put_snapshot("chunklift-snapshot 2 07010900000000000000000000000000 3 18 " HEX_H " x ", "");
    assert_unreadable(ERR_DAMAGED, ERR_DAMAGED);
    put_snapshot("chunklift-snapshot 0 ", "body");
    assert_unreadable(ERR_VERSION, ERR_VERSION);
}

static void test_a_snapshot_that_is_no_file_is_an_error(void **state) {
    (void)state;
    write_old();
    assert_int_equal(rename(PATH, DIR_NAME "/elsewhere"), 0);
    assert_int_equal(symlink("elsewhere", PATH), 0);
    stderr_begin();
    struct journal_position pos;
    struct buf body = BUF_INIT;
    int linked = snapshot_read(DIR_NAME, &pos, &body);
    assert_int_equal(unlink(PATH), 0);
    assert_int_equal(mkdir(PATH, 0700), 0);
    int dir = snapshot_read(DIR_NAME, &pos, &body);
    struct buf said = stderr_end();
    assert_int_equal(rmdir(PATH), 0);
    assert_true(linked && linked != ERR_NOT_FOUND);
    assert_true(dir && dir != ERR_NOT_FOUND);
    assert_contains(&said, PATH ": open: ");
    buf_release(&said);
    buf_release(&body);
}

static void test_a_directory_that_does_not_exist_is_an_error_of_a_write(void **state) {
    (void)state;
    struct journal_position pos = place(1);
    assert_int_equal(rmdir(DIR_NAME), 0);
    stderr_begin();
    int err = snapshot_write(DIR_NAME, &pos, slice_of("state"));
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_contains(&said, PATH ": create: ");
    buf_release(&said);
}

#define TEST_IN_DIR(name) cmocka_unit_test_setup_teardown(name, make_dir, journal_dir_fresh)

UNIT_MAIN(TEST_IN_DIR(test_reads_what_was_written), TEST_IN_DIR(test_any_change_is_noticed),
          TEST_IN_DIR(test_lengths_from_the_disk_are_not_believed), TEST_IN_DIR(test_failure_leaves_the_old_one),
          TEST_IN_DIR(test_one_failed_write_leaves_the_old_one), TEST_IN_DIR(test_place_fits_the_journal),
          TEST_IN_DIR(test_a_body_that_changes_between_the_passes_is_not_written),
          TEST_IN_DIR(test_an_error_of_the_producer_is_returned), TEST_IN_DIR(test_the_size_of_a_body_is_limited),
          TEST_IN_DIR(test_a_body_of_several_pieces_is_verified_and_read_in_parts),
          TEST_IN_DIR(test_a_file_cut_while_it_is_read_is_damage),
          TEST_IN_DIR(test_a_header_is_read_only_in_its_one_form),
          TEST_IN_DIR(test_a_snapshot_that_is_no_file_is_an_error),
          TEST_IN_DIR(test_a_directory_that_does_not_exist_is_an_error_of_a_write))
