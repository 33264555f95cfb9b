/* The effect of each record on the state. */
#include "numbered_uploads.h"

#include "consumer/state/state.h"

static struct state s;
static uint64_t seq;

static int setup(void **state) {
    (void)state;
    seq = 0;
    return state_init(&s);
}

static int teardown(void **state) {
    (void)state;
    state_release(&s);
    return 0;
}

/* Applies r with the next seq, which is also its time in seconds. */
static void apply(struct record r) {
    r.seq = ++seq;
    r.ts_us = (int64_t)seq * 1000000;
    assert_int_equal(state_apply(&s, &r), 0);
}

static struct upload *find(unsigned n) {
    struct id128 id = numbered_id(n);
    return state_find(&s, &id);
}

static const struct ended_upload *ended(unsigned n) {
    struct id128 id = numbered_id(n);
    return recently_ended_find(&s.recently_ended, &id);
}

static const struct finished_entry *finished_at(const char *dest) {
    struct id128 place;
    assert_int_equal(fingerprint_dest(s.sha, slice_of(""), slice_of(dest), &place), 0);
    return finished_find(&s.finished, finished_short(&place));
}

static struct record with_opens(struct record r, uint64_t opens) {
    r.has |= HAS_OPENS;
    r.opens = opens;
    return r;
}

/* ---- open and begin ---- */

static void test_an_upload_is_opened_at_its_open_and_begun_at_its_begin(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1));
    assert_true(find(1)->opened && !find(1)->begun && !find(1)->reopened);
    assert_int_equal(find(1)->open_seq, 1);
    assert_int_equal(find(1)->open_us, 1000000);
    apply(numbered_record(EV_BEGIN, 1));
    assert_true(find(1)->begun && !find(1)->reopened);
    assert_int_equal(find(1)->begin_seq, 2);
    assert_int_equal(find(1)->open_us, 2000000); /* only one can have been created, by this begin */
    assert_string_equal(find(1)->handle, "H");
    assert_int_equal(find(1)->checksum, CHECKSUM_NONE);
    assert_int_equal(s.count, 1);
}

/* Rule 10: with two grants, more than one upload may exist at the destination since the first one. */
static void test_a_second_open_means_that_several_may_have_been_created(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1));
    apply(numbered_record(EV_OPEN, 1));
    assert_true(find(1)->reopened);
    assert_int_equal(find(1)->open_seq, 1);
    apply(numbered_record(EV_BEGIN, 1));
    assert_true(find(1)->begun && find(1)->reopened);
    assert_int_equal(find(1)->open_us, 1000000);
}

static void test_an_open_after_the_begin_changes_nothing(void **state) {
    (void)state;
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_record(EV_OPEN, 1));
    assert_false(find(1)->reopened);
    assert_int_equal(find(1)->open_us, 1000000);
}

static void test_a_second_begin_changes_nothing(void **state) {
    (void)state;
    struct record again = numbered_record(EV_BEGIN, 1);
    apply(numbered_record(EV_BEGIN, 1));
    again.handle = slice_of("other");
    apply(again);
    assert_string_equal(find(1)->handle, "H");
    assert_int_equal(find(1)->begin_seq, 1);
    assert_int_equal(find(1)->open_us, 1000000);
}

static void test_only_the_known_checksum_of_a_begin_counts(void **state) {
    (void)state;
    struct record r = numbered_record(EV_BEGIN, 1);
    r.has |= HAS_CHECKSUM;
    r.checksum = slice_of(CHECKSUM_TEXT);
    apply(r);
    assert_int_equal(find(1)->checksum, CHECKSUM_CRC32C_FULL);
    r = numbered_record(EV_BEGIN, 2);
    r.has |= HAS_CHECKSUM;
    r.checksum = slice_of("md5/FULL_OBJECT");
    apply(r);
    assert_int_equal(find(2)->checksum, CHECKSUM_NONE);
    r = numbered_record(EV_BEGIN, 3);
    r.checksum = slice_of(CHECKSUM_TEXT); /* not present without its bit */
    apply(r);
    assert_int_equal(find(3)->checksum, CHECKSUM_NONE);
}

/* ---- the end ---- */

static void test_a_finish_is_recorded_for_the_destination(void **state) {
    (void)state;
    struct record finish = numbered_record(EV_FINISH, 1);
    finish.crc = 0x99;
    apply(numbered_record(EV_BEGIN, 1));
    apply(finish);
    assert_null(find(1));
    assert_int_equal(ended(1)->how, ENDED_FINISHED);
    assert_int_equal(ended(1)->seq, 2);
    assert_int_equal(finished_at("s3://bucket/1")->crc, 0x99);
    assert_int_equal(finished_at("s3://bucket/1")->seq, 2);
}

static void test_a_finish_without_its_begin_ends_the_upload_only(void **state) {
    (void)state;
    apply(numbered_record(EV_FINISH, 1));
    assert_int_equal(ended(1)->how, ENDED_FINISHED);
    assert_int_equal(s.finished.count, 0);
}

static void test_a_put_ends_the_upload_that_was_opened_for_it(void **state) {
    (void)state;
    apply(numbered_record(EV_OPEN, 1));
    apply(numbered_record(EV_PUT, 1));
    assert_null(find(1));
    assert_int_equal(ended(1)->seq, 2);
    assert_int_equal(finished_at("s3://bucket/1")->seq, 2);
}

static void test_an_abort_says_whether_another_source_took_the_destination(void **state) {
    (void)state;
    struct record superseded = numbered_record(EV_ABORT, 2);
    superseded.reason = slice_of(RECORD_SUPERSEDED);
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_record(EV_BEGIN, 2));
    apply(numbered_record(EV_ABORT, 1));
    apply(superseded);
    assert_int_equal(ended(1)->how, ENDED_ABORTED);
    assert_int_equal(ended(2)->how, ENDED_SUPERSEDED);
    assert_int_equal(s.count, 0);
}

static void test_a_forgotten_upload_leaves_no_trace(void **state) {
    (void)state;
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_record(EV_PUT, 2));
    apply(numbered_record(EV_PUT, 3));
    apply(numbered_record(EV_FORGET, 1));
    apply(numbered_record(EV_FORGET, 2));
    assert_null(find(1));
    assert_null(ended(1));
    assert_null(finished_at("s3://bucket/2"));
    assert_non_null(finished_at("s3://bucket/3"));
}

static void test_a_same_gives_the_finished_upload_the_new_inode(void **state) {
    (void)state;
    struct record same = numbered_record(EV_SAME, 1), put = numbered_record(EV_PUT, 1);
    same.file.ino = 5;
    apply(put);
    apply(same);
    assert_int_equal(finished_differs(finished_at("s3://bucket/1"), &same.file), 0);
    assert_int_not_equal(finished_differs(finished_at("s3://bucket/1"), &put.file), 0);
    assert_int_equal(finished_at("s3://bucket/1")->seq, 1);
}

/* ---- removals ---- */

static struct record removal(enum record_ev ev, unsigned upload, unsigned dest) {
    struct record r = numbered_record(ev, dest);
    r.upload = numbered_id(upload);
    return r;
}

static void test_a_deleting_marks_the_upload_and_a_delete_removes_it(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_record(EV_PUT, 2));
    assert_false(finished_at("s3://bucket/1")->deleting);
    apply(removal(EV_DELETING, 1, 1));
    assert_true(finished_at("s3://bucket/1")->deleting);
    assert_false(finished_at("s3://bucket/2")->deleting);
    assert_int_equal(finished_at("s3://bucket/1")->seq, 1);
    apply(removal(EV_DELETE, 1, 1));
    assert_null(finished_at("s3://bucket/1"));
    assert_non_null(finished_at("s3://bucket/2"));
    assert_int_equal(s.finished.total, 2); /* as many have arrived */
    assert_int_equal(ended(1)->how, ENDED_FINISHED);
}

static void test_a_removal_of_another_upload_or_place_changes_nothing(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_record(EV_PUT, 2));
    apply(removal(EV_DELETING, 2, 1));
    apply(removal(EV_DELETE, 2, 1));
    apply(removal(EV_DELETING, 1, 3));
    apply(removal(EV_DELETE, 1, 3));
    struct record elsewhere = removal(EV_DELETE, 1, 1);
    elsewhere.endpoint = slice_of("http://other");
    apply(elsewhere);
    assert_int_equal(s.finished.count, 2);
    assert_false(finished_at("s3://bucket/1")->deleting || finished_at("s3://bucket/2")->deleting);
}

static void test_a_later_upload_has_no_mark(void **state) {
    (void)state;
    struct record next = numbered_record(EV_PUT, 1);
    next.upload = numbered_id(9);
    apply(numbered_record(EV_PUT, 1));
    apply(removal(EV_DELETING, 1, 1));
    apply(next);
    assert_false(finished_at("s3://bucket/1")->deleting);
    apply(removal(EV_DELETE, 1, 1)); /* late: it is not the last one there */
    assert_non_null(finished_at("s3://bucket/1"));
}

static void test_a_mark_stays_when_its_upload_is_compared_or_carried(void **state) {
    (void)state;
    struct record same = numbered_record(EV_SAME, 1);
    apply(numbered_record(EV_PUT, 1));
    apply(removal(EV_DELETING, 1, 1));
    same.file.ino = 5;
    apply(same);
    apply(numbered_record(EV_VERIFIED, 1));
    apply(numbered_carry(CARRY_FINISHED, 1));
    assert_true(finished_at("s3://bucket/1")->deleting);
    assert_int_equal(finished_at("s3://bucket/1")->seq, seq);
}

/* ---- chunks ---- */

static void test_a_redo_removes_the_record_of_a_chunk(void **state) {
    (void)state;
    struct record redo = numbered_record(EV_REDO, 1);
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_chunk(1, 0));
    apply(numbered_chunk(1, 1));
    redo.chunk = 1;
    apply(redo);
    assert_true(upload_has_chunk(find(1), 0) && !upload_has_chunk(find(1), 1));
    apply(numbered_chunk(1, 1));
    assert_int_equal(upload_chunk(find(1), 1)->seq, 5);
}

static void test_an_integrity_counts_only_where_a_chunk_has_one(void **state) {
    (void)state;
    struct record chunk = numbered_chunk(1, 0);
    apply(numbered_record(EV_BEGIN, 1));
    chunk.has |= HAS_INTEGRITY;
    chunk.integrity = slice_of(integrity_name(INTEGRITY_MD5));
    apply(chunk);
    assert_int_equal(find(1)->integrity, INTEGRITY_MD5);
    chunk = numbered_chunk(1, 1);
    chunk.integrity = slice_of(integrity_name(INTEGRITY_SHA256));
    apply(chunk);
    assert_int_equal(find(1)->integrity, INTEGRITY_UNKNOWN);
}

/* ---- fail ---- */

static void fail_as(unsigned n, enum fail_class class) {
    struct record r = numbered_record(EV_FAIL, n);
    r.class = slice_of(fail_class_name(class));
    apply(r);
}

static void test_a_failure_spoils_an_upload_by_its_class(void **state) {
    (void)state;
    for (unsigned n = 1; n <= FAIL_CLASS_LAST; n++) {
        apply(numbered_record(EV_OPEN, n));
        fail_as(n, (enum fail_class)n);
        assert_true(find(n)->has_failed);
        assert_int_equal(find(n)->spoiled, fail_class_spoils((enum fail_class)n));
        assert_int_equal(find(n)->failed_as, n);
    }
    assert_true(find(FAIL_CHANGED)->spoiled && !find(FAIL_OUTAGE)->spoiled);
    fail_as(FAIL_CHANGED, FAIL_OUTAGE);
    assert_true(find(FAIL_CHANGED)->spoiled); /* it stays so */
}

static void add_planned(unsigned n) {
    struct record r = numbered_record(EV_OPEN, n);
    struct upload_identity is;
    struct upload *u;
    upload_identity_from_record(&r, &is);
    assert_int_equal(state_add(&s, &r.upload, &is, &u), 0);
}

/* It left nothing at the destination. */
static void test_an_upload_that_was_not_opened_is_spoiled_by_a_changed_source_only(void **state) {
    (void)state;
    for (unsigned n = 1; n <= FAIL_CLASS_LAST; n++) {
        add_planned(n);
        fail_as(n, (enum fail_class)n);
        assert_int_equal(find(n)->spoiled, n == FAIL_CHANGED);
    }
}

/* ---- carry and drop ---- */

static void test_a_carry_rebuilds_an_upload_whose_records_are_gone(void **state) {
    (void)state;
    apply(numbered_carry(CARRY_UPLOAD, 1));
    assert_true(find(1)->opened && find(1)->begun && !find(1)->reopened);
    assert_int_equal(find(1)->begin_seq, 1);
    assert_int_equal(find(1)->open_us, 1763700000000000);
    apply(numbered_carry(CARRY_CHUNK, 1));
    assert_true(upload_has_chunk(find(1), 0));
}

static void test_a_carry_without_a_handle_is_an_open(void **state) {
    (void)state;
    struct record r = numbered_carry(CARRY_UPLOAD, 1);
    r.has &= ~(uint32_t)(HAS_GEOMETRY | HAS_HANDLE);
    apply(r);
    assert_true(find(1)->opened && !find(1)->begun && !find(1)->reopened);
    assert_int_equal(find(1)->open_us, 1763700000000000);
    apply(r); /* carried again: it has the new seq, and it is not a second open */
    assert_int_equal(find(1)->open_seq, 2);
    assert_false(find(1)->reopened);
    apply(numbered_carry(CARRY_UPLOAD, 1));
    assert_true(find(1)->begun);
    assert_int_equal(find(1)->begin_seq, 3);
}

static void test_a_carry_needs_handle_and_geometry_to_begin(void **state) {
    (void)state;
    struct record r = numbered_carry(CARRY_UPLOAD, 1);
    r.has &= ~(uint32_t)HAS_GEOMETRY;
    apply(r);
    assert_false(find(1)->begun);
    r = numbered_carry(CARRY_UPLOAD, 2);
    r.has &= ~(uint32_t)HAS_HANDLE;
    apply(r);
    assert_false(find(2)->begun);
}

static void test_a_carry_of_a_known_upload_moves_its_records(void **state) {
    (void)state;
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_chunk(1, 0));
    apply(numbered_carry(CARRY_UPLOAD, 1));
    apply(numbered_carry(CARRY_CHUNK, 1));
    assert_int_equal(find(1)->begin_seq, 3);
    assert_int_equal(find(1)->open_seq, 3);
    assert_int_equal(find(1)->open_us, 1000000);
    assert_int_equal(upload_chunk(find(1), 0)->seq, 4);
    assert_int_equal(find(1)->done_count, 1);
    assert_false(find(1)->reopened);
}

static void test_a_carry_tells_that_there_were_several_opens(void **state) {
    (void)state;
    apply(with_opens(numbered_carry(CARRY_UPLOAD, 1), 2));
    assert_true(find(1)->reopened);
    apply(with_opens(numbered_carry(CARRY_UPLOAD, 2), 1));
    assert_false(find(2)->reopened);
    apply(numbered_record(EV_BEGIN, 3));
    apply(with_opens(numbered_carry(CARRY_UPLOAD, 3), 1));
    assert_false(find(3)->reopened);
    apply(with_opens(numbered_carry(CARRY_UPLOAD, 3), 2));
    assert_true(find(3)->reopened);
    assert_int_equal(find(3)->open_us, 1763700000000000);
}

static void test_the_number_of_opens_counts_only_with_its_bit(void **state) {
    (void)state;
    struct record r = numbered_carry(CARRY_UPLOAD, 1);
    r.opens = 2;
    apply(r);
    apply(r);
    assert_false(find(1)->reopened);
}

static void test_a_carried_chunk_of_an_unknown_upload_changes_nothing(void **state) {
    (void)state;
    apply(numbered_carry(CARRY_CHUNK, 1));
    assert_int_equal(s.count, 0);
}

static void test_a_carried_finish_moves_the_entry_of_the_same_upload(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_carry(CARRY_FINISHED, 1));
    assert_int_equal(finished_at("s3://bucket/1")->seq, 2);
    assert_int_equal(s.finished.total, 1);
    assert_int_equal(ended(1)->seq, 1); /* it ended long ago */
}

static void test_a_carried_finish_replaces_the_entry_of_another_upload(void **state) {
    (void)state;
    struct record other = numbered_carry(CARRY_FINISHED, 2);
    apply(numbered_record(EV_PUT, 1));
    other.dest = slice_of("s3://bucket/1");
    apply(other);
    assert_true(id_equal(&finished_at("s3://bucket/1")->upload, &other.upload));
    assert_int_equal(s.finished.total, 2);
    assert_null(ended(2));
}

static void test_a_carried_finish_ends_the_upload(void **state) {
    (void)state;
    apply(numbered_carry(CARRY_UPLOAD, 1));
    apply(numbered_carry(CARRY_FINISHED, 1));
    assert_null(find(1));
    assert_int_equal(ended(1)->how, ENDED_FINISHED);
}

static void test_a_carry_of_an_unknown_kind_changes_nothing(void **state) {
    (void)state;
    apply(numbered_carry("later", 1));
    assert_int_equal(s.count + s.finished.count, 0);
}

static void test_a_drop_removes_finished_and_ended_uploads_of_its_lines(void **state) {
    (void)state;
    apply(numbered_record(EV_PUT, 1));
    apply(numbered_record(EV_PUT, 2));
    apply(numbered_record(EV_PUT, 3));
    apply((struct record){.ev = EV_DROP, .dropped_file = slice_of("file"), .from = 1, .to = 2});
    assert_null(finished_at("s3://bucket/2"));
    assert_non_null(finished_at("s3://bucket/3"));
    assert_null(ended(2));
    assert_non_null(ended(3));
    assert_int_equal(s.finished.total, 1);
}

/* ---- lookup and superseding ---- */

static void test_an_upload_is_found_by_id_key_and_destination_until_it_is_removed(void **state) {
    (void)state;
    for (unsigned n = 1; n <= 5; n++)
        add_planned(n);
    for (unsigned n = 1; n <= 5; n += 2) {
        struct id128 key = find(n)->key, dest = find(n)->dest_key;
        assert_ptr_equal(state_find_key(&s, &key), find(n));
        assert_ptr_equal(state_find_dest(&s, &dest), find(n));
        state_remove(&s, find(n));
        assert_null(find(n));
        assert_null(state_find_key(&s, &key));
        assert_null(state_find_dest(&s, &dest));
    }
    assert_int_equal(s.count, 2);
    for (size_t i = 0; i < s.count; i++)
        assert_int_equal(s.uploads[i]->position, i);
}

static void test_a_superseded_upload_is_found_by_its_id_only(void **state) {
    (void)state;
    add_planned(1);
    struct id128 key = find(1)->key, dest = find(1)->dest_key;
    find(1)->superseded_by = numbered_id(2);
    assert_null(state_find_key(&s, &key));
    assert_null(state_find_dest(&s, &dest));
    assert_non_null(find(1));
}

static void test_the_end_of_one_upload_ends_the_wait_of_the_other(void **state) {
    (void)state;
    add_planned(1);
    add_planned(2);
    add_planned(3);
    find(1)->superseded_by = numbered_id(2);
    find(2)->supersedes = numbered_id(1);
    find(3)->supersedes = numbered_id(2); /* a pair that does not agree is left alone */
    state_remove(&s, find(1));
    assert_true(id_is_zero(&find(2)->supersedes));
    assert_false(id_is_zero(&find(3)->supersedes));
    add_planned(1);
    find(1)->superseded_by = numbered_id(2);
    find(2)->supersedes = numbered_id(1);
    find(3)->superseded_by = numbered_id(1);
    state_remove(&s, find(2));
    assert_false(upload_is_superseded(find(1)));
    assert_true(upload_is_superseded(find(3)));
}

struct left {
    unsigned count;
    struct id128 upload;
    bool by_record;
    uint64_t producers;
};

static void note_leaving(void *arg, struct upload *u, struct ended_upload *entry) {
    struct left *left = arg;
    left->count++;
    left->upload = u->id;
    left->by_record = entry != NULL;
    left->producers = entry ? entry->producers : 0;
}

static void test_the_caller_hears_of_each_upload_that_leaves(void **state) {
    (void)state;
    struct left left = {0};
    s.leaving = note_leaving;
    s.arg = &left;
    add_planned(1);
    add_planned(2);
    find(2)->producers = 5;
    find(2)->made_by = 4;
    find(2)->failed = 8;
    state_remove(&s, find(1));
    assert_int_equal(left.count, 1);
    assert_false(left.by_record);
    apply(numbered_record(EV_PUT, 2));
    struct id128 second = numbered_id(2);
    assert_int_equal(left.count, 2);
    assert_true(left.by_record && id_equal(&left.upload, &second));
    assert_int_equal(left.producers, 5);
    assert_int_equal(ended(2)->made_by, 4);
    assert_int_equal(ended(2)->failed, 8);
    apply(numbered_record(EV_PUT, 3)); /* it was not here */
    assert_int_equal(left.count, 2);
}

static void test_a_cleared_state_is_empty_and_usable(void **state) {
    (void)state;
    apply(numbered_record(EV_BEGIN, 1));
    apply(numbered_record(EV_BEGIN, 2));
    apply(numbered_record(EV_PUT, 3));
    assert_int_equal(state_clear(&s), 0);
    assert_int_equal(s.count + s.finished.count + s.finished.total + s.recently_ended.count, 0);
    assert_null(find(1));
    assert_null(finished_at("s3://bucket/3"));
    apply(numbered_record(EV_BEGIN, 1));
    assert_true(find(1)->begun);
}

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(
    STATE_TEST(test_an_upload_is_opened_at_its_open_and_begun_at_its_begin),
    STATE_TEST(test_a_second_open_means_that_several_may_have_been_created),
    STATE_TEST(test_an_open_after_the_begin_changes_nothing), STATE_TEST(test_a_second_begin_changes_nothing),
    STATE_TEST(test_only_the_known_checksum_of_a_begin_counts),
    STATE_TEST(test_a_finish_is_recorded_for_the_destination),
    STATE_TEST(test_a_finish_without_its_begin_ends_the_upload_only),
    STATE_TEST(test_a_put_ends_the_upload_that_was_opened_for_it),
    STATE_TEST(test_an_abort_says_whether_another_source_took_the_destination),
    STATE_TEST(test_a_forgotten_upload_leaves_no_trace),
    STATE_TEST(test_a_same_gives_the_finished_upload_the_new_inode),
    STATE_TEST(test_a_deleting_marks_the_upload_and_a_delete_removes_it),
    STATE_TEST(test_a_removal_of_another_upload_or_place_changes_nothing), STATE_TEST(test_a_later_upload_has_no_mark),
    STATE_TEST(test_a_mark_stays_when_its_upload_is_compared_or_carried),
    STATE_TEST(test_a_redo_removes_the_record_of_a_chunk),
    STATE_TEST(test_an_integrity_counts_only_where_a_chunk_has_one),
    STATE_TEST(test_a_failure_spoils_an_upload_by_its_class),
    STATE_TEST(test_an_upload_that_was_not_opened_is_spoiled_by_a_changed_source_only),
    STATE_TEST(test_a_carry_rebuilds_an_upload_whose_records_are_gone),
    STATE_TEST(test_a_carry_without_a_handle_is_an_open), STATE_TEST(test_a_carry_needs_handle_and_geometry_to_begin),
    STATE_TEST(test_a_carry_of_a_known_upload_moves_its_records),
    STATE_TEST(test_a_carry_tells_that_there_were_several_opens),
    STATE_TEST(test_the_number_of_opens_counts_only_with_its_bit),
    STATE_TEST(test_a_carried_chunk_of_an_unknown_upload_changes_nothing),
    STATE_TEST(test_a_carried_finish_moves_the_entry_of_the_same_upload),
    STATE_TEST(test_a_carried_finish_replaces_the_entry_of_another_upload),
    STATE_TEST(test_a_carried_finish_ends_the_upload), STATE_TEST(test_a_carry_of_an_unknown_kind_changes_nothing),
    STATE_TEST(test_a_drop_removes_finished_and_ended_uploads_of_its_lines),
    STATE_TEST(test_an_upload_is_found_by_id_key_and_destination_until_it_is_removed),
    STATE_TEST(test_a_superseded_upload_is_found_by_its_id_only),
    STATE_TEST(test_the_end_of_one_upload_ends_the_wait_of_the_other),
    STATE_TEST(test_the_caller_hears_of_each_upload_that_leaves), STATE_TEST(test_a_cleared_state_is_empty_and_usable))
