/* The records that must be repeated before the first files of a journal are removed. */
#include "numbered_uploads.h"

#include "consumer/offline/carry_forward.h"

static struct state s;

static int setup(void **state) {
    journal_dir_fresh(state);
    return state_init(&s);
}

static int teardown(void **state) {
    state_release(&s);
    return journal_dir_fresh(state);
}

static void apply(struct record r, uint64_t seq) {
    r.seq = seq;
    r.ts_us = (int64_t)seq * 1000000;
    assert_int_equal(state_apply(&s, &r), 0);
}

static const struct upload *find(unsigned n) {
    struct id128 id = numbered_id(n);
    const struct upload *u = state_find(&s, &id);
    assert_non_null(u);
    return u;
}

/* ---- unfinished uploads ---- */

static void test_an_upload_is_needed_from_its_begin_on(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1), 5);
    assert_int_equal(carry_forward_first_seq(find(1)), 5);
    apply(numbered_record(EV_BEGIN, 1), 8);
    assert_int_equal(carry_forward_first_seq(find(1)), 8);
    assert_false(carry_forward_needs(find(1), 7));
    assert_true(carry_forward_needs(find(1), 8));
}

static void test_an_upload_with_several_opens_is_needed_from_the_first_one_on(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1), 5);
    apply(numbered_record(EV_OPEN, 1), 6);
    apply(numbered_record(EV_BEGIN, 1), 8);
    assert_int_equal(carry_forward_first_seq(find(1)), 5);
    assert_true(carry_forward_needs(find(1), 5));
    assert_false(carry_forward_needs(find(1), 4));
}

/* After an interrupted retire: the upload was carried, and some of its chunks were not. */
static void test_an_upload_is_needed_while_one_of_its_chunks_is(void **state) {
    (void)state;
    apply(numbered_record(EV_BEGIN, 1), 2);
    apply(numbered_chunk(1, 0), 3);
    apply(numbered_chunk(1, 1), 4);
    apply(numbered_carry(CARRY_UPLOAD, 1), 10);
    apply(numbered_carry(CARRY_CHUNK, 1), 11);
    assert_true(carry_forward_needs(find(1), 4));
    assert_false(carry_forward_needs(find(1), 3));
}

static void test_a_planned_upload_is_not_needed(void **state) {
    (void)state;
    struct record r = numbered_record(EV_OPEN, 1);
    struct upload_identity is;
    struct upload *u;
    upload_identity_from_record(&r, &is);
    assert_int_equal(state_add(&s, &r.upload, &is, &u), 0);
    assert_false(carry_forward_needs(u, UINT64_MAX));
}

static void test_the_carry_of_an_opened_upload_has_its_identity_and_time(void **state) {
    (void)state;
    struct record r;
    apply(numbered_record(EV_OPEN, 1), 5);
    carry_forward_upload(find(1), &r);
    assert_int_equal(r.ev, EV_CARRY);
    assert_true(slice_equal(r.kind, slice_of(CARRY_UPLOAD)));
    assert_int_equal(r.has, HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_SINCE);
    assert_int_equal(r.since_ns, 5000000000);
    assert_true(slice_equal(r.src, slice_of("/src/1")) && slice_equal(r.dest, slice_of("s3://bucket/1")));
    apply(numbered_record(EV_OPEN, 1), 6);
    carry_forward_upload(find(1), &r);
    assert_true(r.has & HAS_OPENS);
    assert_int_equal(r.opens, 2);
    assert_int_equal(r.since_ns, 5000000000);
}

static void test_the_carry_of_a_begun_upload_has_its_geometry_and_handle(void **state) {
    (void)state;
    struct record r, begin = numbered_record(EV_BEGIN, 2);
    apply(numbered_record(EV_BEGIN, 1), 5);
    carry_forward_upload(find(1), &r);
    assert_int_equal(r.has, HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_SINCE | HAS_GEOMETRY | HAS_HANDLE);
    assert_int_equal(r.chunk_size, NUMBERED_CHUNK);
    assert_int_equal(r.chunks, 2);
    assert_true(slice_equal(r.handle, slice_of("H")));
    begin.has |= HAS_CHECKSUM;
    begin.checksum = slice_of(CHECKSUM_TEXT);
    apply(begin, 6);
    carry_forward_upload(find(2), &r);
    assert_true(r.has & HAS_CHECKSUM);
    assert_true(slice_equal(r.checksum, slice_of(CHECKSUM_TEXT)));
}

static void test_the_carry_of_a_chunk_has_its_place_and_result(void **state) {
    (void)state;
    char room[ID_HEX_SIZE];
    struct record r, chunk = numbered_chunk(1, 1);
    apply(numbered_record(EV_BEGIN, 1), 5);
    apply(chunk, 6);
    carry_forward_chunk(find(1), 1, &r, room);
    assert_true(r.ev == EV_CARRY && slice_equal(r.kind, slice_of(CARRY_CHUNK)));
    assert_int_equal(r.has, HAS_UPLOAD | HAS_CHUNK | HAS_CRC | HAS_ETAG);
    assert_int_equal(r.offset, NUMBERED_CHUNK);
    assert_int_equal(r.length, NUMBERED_CHUNK);
    assert_int_equal(r.crc, chunk.crc);
    assert_true(slice_equal(r.etag, slice_of("etag")));
}

static void test_the_carry_of_a_chunk_has_the_integrity_of_its_upload(void **state) {
    (void)state;
    char room[ID_HEX_SIZE];
    struct record r, chunk = numbered_chunk(1, 0);
    chunk.has |= HAS_INTEGRITY;
    chunk.integrity = slice_of(integrity_name(INTEGRITY_MD5));
    apply(numbered_record(EV_BEGIN, 1), 5);
    apply(chunk, 6);
    carry_forward_chunk(find(1), 0, &r, room);
    assert_true(r.has & HAS_INTEGRITY);
    assert_true(slice_equal(r.integrity, slice_of(integrity_name(INTEGRITY_MD5))));
}

/* ---- finished uploads ---- */

#define REPORTS_MAX 16

static struct {
    size_t count;
    struct {
        enum record_ev ev;
        uint64_t seq, first_seq;
        struct id128 upload;
        int64_t since_ns;
        bool is_finished_carry, has_etag;
    } items[REPORTS_MAX];
    size_t fail_at;
} reports;

static int note_report(void *arg, struct record *r, uint64_t first_seq) {
    (void)arg;
    if (reports.fail_at && reports.count + 1 == reports.fail_at)
        return ERR_FULL;
    assert_true(reports.count < REPORTS_MAX);
    reports.items[reports.count].ev = r->ev;
    reports.items[reports.count].seq = r->seq;
    reports.items[reports.count].first_seq = first_seq;
    reports.items[reports.count].upload = r->upload;
    reports.items[reports.count].since_ns = r->since_ns;
    reports.items[reports.count].is_finished_carry =
        r->ev == EV_CARRY && slice_equal(r->kind, slice_of(CARRY_FINISHED));
    reports.items[reports.count++].has_etag = r->etag.len > 0;
    return 0;
}

/* Appends and applies. */
static void add(struct journal *j, struct record r) {
    assert_int_equal(journal_append(j, &r), 0);
    assert_int_equal(state_apply(&s, &r), 0);
}

static struct journal *journal_begun(void) {
    struct journal_options o = seen_options(NULL);
    return journal_open_ok(&o);
}

/* Commits and closes. Returns the last seq. */
static uint64_t journal_end(struct journal *j) {
    assert_int_equal(journal_commit(j), 0);
    uint64_t last = journal_seq(j);
    journal_close(&j);
    return last;
}

static bool search_deleting;

static int search(uint64_t up_to, uint64_t last_seq) {
    reports.count = 0;
    return carry_forward_finished(DIR_NAME, &s, up_to, last_seq, search_deleting, note_report, NULL);
}

static void assert_report(size_t i, enum record_ev ev, unsigned n, uint64_t seq, uint64_t first_seq) {
    struct id128 id = numbered_id(n);
    assert_true(i < reports.count);
    assert_int_equal(reports.items[i].ev, ev);
    assert_true(id_equal(&reports.items[i].upload, &id));
    assert_int_equal(reports.items[i].seq, seq);
    assert_int_equal(reports.items[i].first_seq, first_seq);
}

static void test_uploads_whose_first_record_is_removed_are_reported(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_record(EV_OPEN, 1));   /* 2 */
    add(j, numbered_record(EV_BEGIN, 1));  /* 3 */
    add(j, numbered_record(EV_PUT, 2));    /* 4 */
    add(j, numbered_record(EV_BEGIN, 3));  /* 5 */
    add(j, numbered_record(EV_FINISH, 1)); /* 6 */
    add(j, numbered_record(EV_FINISH, 3)); /* 7 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(4, last), 0);
    assert_int_equal(reports.count, 2);
    assert_report(0, EV_CARRY, 2, 4, 4);
    assert_report(1, EV_CARRY, 1, 6, 2);
    assert_true(reports.items[0].is_finished_carry && reports.items[1].is_finished_carry);
    assert_true(reports.items[1].has_etag);
    assert_int_equal(search(3, last), 0);
    assert_int_equal(reports.count, 1);
    assert_int_equal(search(5, last), 0);
    assert_int_equal(reports.count, 3);
    assert_report(2, EV_CARRY, 3, 7, 5);
    assert_int_equal(search(1, last), 0);
    assert_int_equal(reports.count, 0);
}

static void test_an_upload_whose_removal_began_is_reported_on_request(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record same = numbered_record(EV_SAME, 1);
    same.file.ino += 7;
    add(j, numbered_record(EV_PUT, 1));      /* 2 */
    add(j, same);                            /* 3 */
    add(j, numbered_record(EV_BEGIN, 2));    /* 4 */
    add(j, numbered_record(EV_FINISH, 2));   /* 5 */
    add(j, numbered_record(EV_PUT, 3));      /* 6 */
    add(j, numbered_record(EV_PUT, 4));      /* 7 */
    add(j, numbered_record(EV_DELETING, 1)); /* 8 */
    add(j, numbered_record(EV_DELETING, 2)); /* 9 */
    add(j, numbered_record(EV_DELETING, 3)); /* 10 */
    add(j, numbered_record(EV_DELETE, 3));   /* 11 */
    uint64_t last = journal_end(j);
    search_deleting = false;
    assert_int_equal(search(UINT64_MAX, last), 0);
    assert_int_equal(reports.count, 1);
    assert_report(0, EV_CARRY, 4, 7, 7);
    search_deleting = true;
    assert_int_equal(search(UINT64_MAX, last), 0);
    search_deleting = false;
    assert_int_equal(reports.count, 4); /* 3 is gone */
    assert_report(0, EV_CARRY, 1, 2, 2);
    assert_report(1, EV_SAME, 1, 3, 3);
    assert_report(2, EV_CARRY, 2, 5, 4);
    assert_report(3, EV_CARRY, 4, 7, 7);
}

static void test_a_destination_that_has_a_later_upload_is_not_reported(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record later = numbered_record(EV_PUT, 3);
    later.dest = slice_of("s3://bucket/1");
    add(j, numbered_record(EV_PUT, 1));    /* 2 */
    add(j, numbered_record(EV_BEGIN, 2));  /* 3 */
    add(j, numbered_record(EV_FINISH, 2)); /* 4 */
    add(j, later);                         /* 5 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(4, last), 0);
    assert_int_equal(reports.count, 1);
    assert_report(0, EV_CARRY, 2, 4, 3);
}

static void test_the_open_of_a_put_is_not_taken_for_an_upload_that_finishes(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_record(EV_OPEN, 1)); /* 2 */
    add(j, numbered_record(EV_PUT, 1));  /* 3 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(3, last), 0);
    assert_int_equal(reports.count, 1);
    assert_report(0, EV_CARRY, 1, 3, 3);
}

/* Only the first records are in the removed files: the `put` itself stays. */
static void test_a_put_that_stays_is_not_reported_because_of_its_open(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_record(EV_OPEN, 1)); /* 2 */
    add(j, numbered_record(EV_PUT, 1));  /* 3 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 0);
}

static void test_records_that_were_carried_before_are_carried_again(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_carry(CARRY_UPLOAD, 1));   /* 2 */
    add(j, numbered_carry(CARRY_CHUNK, 1));    /* 3 */
    add(j, numbered_carry(CARRY_FINISHED, 2)); /* 4 */
    add(j, numbered_record(EV_FINISH, 1));     /* 5 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(5, last), 0);
    assert_int_equal(reports.count, 2);
    assert_report(0, EV_CARRY, 2, 4, 4);
    assert_int_equal(reports.items[0].since_ns, 1763700000000000000);
    assert_report(1, EV_CARRY, 1, 5, 2);
}

static void test_a_same_that_counts_is_repeated_after_its_upload(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record same = numbered_record(EV_SAME, 1);
    add(j, numbered_record(EV_PUT, 1)); /* 2 */
    same.file.ctime_ns++;
    add(j, same); /* 3: replaced by the next one */
    same.file.ino += 7;
    add(j, same); /* 4 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 2);
    assert_report(0, EV_CARRY, 1, 2, 2);
    assert_report(1, EV_SAME, 1, 4, 4);
}

static void test_a_same_of_an_upload_that_stays_is_not_repeated(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record same = numbered_record(EV_SAME, 1);
    same.file.ino += 7;
    add(j, numbered_record(EV_PUT, 2)); /* 2 */
    add(j, numbered_record(EV_PUT, 1)); /* 3 */
    add(j, same);                       /* 4 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 1);
    assert_int_equal(search(3, last), 0);
    assert_int_equal(reports.count, 3);
}

/* retire appends carries while it reads: an entry with a new seq after last_seq was just carried. */
static void test_a_same_is_repeated_when_its_upload_was_just_carried(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record same = numbered_record(EV_SAME, 1), carry = numbered_carry(CARRY_FINISHED, 1);
    same.file.ino += 7;
    add(j, numbered_record(EV_PUT, 1)); /* 2 */
    add(j, same);                       /* 3 */
    uint64_t last = journal_end(j);
    carry.seq = last + 1;
    assert_int_equal(state_apply(&s, &carry), 0);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 1);
    assert_report(0, EV_SAME, 1, 3, 3);
}

static void test_a_same_without_an_inode_does_not_stand_for_one_with_an_inode(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record unknown = numbered_record(EV_SAME, 1), known = numbered_record(EV_SAME, 1);
    unknown.file.ino = 0;
    add(j, numbered_record(EV_PUT, 1)); /* 2 */
    add(j, unknown);                    /* 3 */
    add(j, known);                      /* 4 */
    uint64_t last = journal_end(j);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 2);
    assert_report(1, EV_SAME, 1, 4, 4);
}

static void test_lines_after_the_last_seq_are_not_read(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_record(EV_PUT, 1)); /* 2 */
    add(j, numbered_record(EV_PUT, 2)); /* 3 */
    add(j, numbered_record(EV_PUT, 3)); /* 4 */
    journal_end(j);
    assert_int_equal(search(UINT64_MAX, 3), 0);
    assert_int_equal(reports.count, 2);
}

static void test_an_error_of_the_caller_ends_the_search(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    add(j, numbered_record(EV_BEGIN, 9));
    for (unsigned n = 1; n <= 3; n++)
        add(j, numbered_record(EV_PUT, n));
    add(j, numbered_record(EV_FINISH, 9));
    uint64_t last = journal_end(j);
    for (size_t at = 1; at <= 4; at++) {
        reports.fail_at = at;
        assert_int_equal(search(last, last), ERR_FULL);
        assert_int_equal(reports.count, at - 1);
    }
    reports.fail_at = 0;
}

/* After an interrupted retire, that carry can be the last line. */
static void test_a_same_is_not_repeated_after_an_earlier_carry(void **state) {
    (void)state;
    struct journal *j = journal_begun();
    struct record same = numbered_record(EV_SAME, 1);
    same.file.ino += 7;
    add(j, numbered_record(EV_PUT, 1));        /* 2 */
    add(j, same);                              /* 3 */
    add(j, numbered_carry(CARRY_FINISHED, 1)); /* 4 */
    uint64_t last = journal_end(j);
    assert_int_equal(last, 4);
    assert_int_equal(search(2, last), 0);
    assert_int_equal(reports.count, 0);
}

#define CARRY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(CARRY_TEST(test_an_upload_is_needed_from_its_begin_on),
          CARRY_TEST(test_an_upload_with_several_opens_is_needed_from_the_first_one_on),
          CARRY_TEST(test_an_upload_is_needed_while_one_of_its_chunks_is),
          CARRY_TEST(test_a_planned_upload_is_not_needed),
          CARRY_TEST(test_the_carry_of_an_opened_upload_has_its_identity_and_time),
          CARRY_TEST(test_the_carry_of_a_begun_upload_has_its_geometry_and_handle),
          CARRY_TEST(test_the_carry_of_a_chunk_has_its_place_and_result),
          CARRY_TEST(test_the_carry_of_a_chunk_has_the_integrity_of_its_upload),
          CARRY_TEST(test_uploads_whose_first_record_is_removed_are_reported),
          CARRY_TEST(test_an_upload_whose_removal_began_is_reported_on_request),
          CARRY_TEST(test_a_destination_that_has_a_later_upload_is_not_reported),
          CARRY_TEST(test_the_open_of_a_put_is_not_taken_for_an_upload_that_finishes),
          CARRY_TEST(test_a_put_that_stays_is_not_reported_because_of_its_open),
          CARRY_TEST(test_records_that_were_carried_before_are_carried_again),
          CARRY_TEST(test_a_same_that_counts_is_repeated_after_its_upload),
          CARRY_TEST(test_a_same_of_an_upload_that_stays_is_not_repeated),
          CARRY_TEST(test_a_same_is_repeated_when_its_upload_was_just_carried),
          CARRY_TEST(test_a_same_without_an_inode_does_not_stand_for_one_with_an_inode),
          CARRY_TEST(test_lines_after_the_last_seq_are_not_read),
          CARRY_TEST(test_an_error_of_the_caller_ends_the_search),
          CARRY_TEST(test_a_same_is_not_repeated_after_an_earlier_carry))
