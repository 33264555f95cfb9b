/* The table of finished uploads: one entry for each destination. */
#include "unit.h"

#include "consumer/state/finished.h"
#include "pure/proto.h"
#include <stdbool.h>
#include <stdlib.h>

static struct finished table;

static int setup(void **state) {
    (void)state;
    return finished_init(&table);
}

static int teardown(void **state) {
    (void)state;
    finished_release(&table);
    return 0;
}

/* Fingerprints that differ in `n` only belong in the same cell, and have the same bits in it. */
static uint64_t dest_of(unsigned n) {
    return UINT64_C(0x0102030400000000) + n;
}

static struct id128 id_of(unsigned n) {
    return (struct id128){{(uint8_t)n, (uint8_t)(n >> 8), 1}};
}

static struct finished_entry entry_of(unsigned n, uint64_t seq) {
    struct finished_entry e = {
        .dest = dest_of(n), .key = n + 1, .upload = id_of(n + 2), .seq = seq, .ctime = n, .crc = 100 + n};
    e.inode = 7;
    return e;
}

static void put(unsigned n, uint64_t seq) {
    struct finished_entry e = entry_of(n, seq);
    assert_int_equal(finished_put(&table, &e), 0);
}

static const struct finished_entry *find(unsigned n) {
    return finished_find(&table, dest_of(n));
}

static void test_entries_of_one_cell_are_found(void **state) {
    (void)state;
    for (unsigned n = 0; n < 500; n++)
        put(n, n + 1);
    for (unsigned n = 0; n < 500; n++)
        assert_int_equal(find(n)->seq, n + 1);
    assert_null(find(500));
}

/* Their cells are the first ones, after the last one. */
static void test_entries_at_the_end_of_the_table_are_found(void **state) {
    (void)state;
    for (unsigned n = 0; n < 20; n++) {
        struct finished_entry e = {.dest = UINT64_MAX - n, .seq = n + 1};
        assert_int_equal(finished_put(&table, &e), 0);
    }
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(finished_find(&table, UINT64_MAX - n)->seq, n + 1);
    assert_null(finished_find(&table, UINT64_MAX - 20));
    assert_int_equal(table.count, 20);
}

/* A cell has only some bits of the fingerprint. */
static void test_entries_with_the_same_bits_in_their_cells_are_told_apart(void **state) {
    (void)state;
    struct finished_entry e = {.dest = UINT64_C(0x80), .seq = 1};
    assert_int_equal(finished_put(&table, &e), 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t other = UINT64_C(0x80) ^ UINT64_C(1) << bit;
        assert_null(finished_find(&table, other));
    }
    assert_int_equal(finished_find(&table, 0x80)->seq, 1);
}

static void test_the_table_always_has_free_cells(void **state) {
    (void)state;
    for (unsigned n = 0; n < 5000; n++) {
        put(n, 1);
        assert_true(table.count <= table.cells / 5 * 4);
        assert_true(table.count <= table.cap);
    }
    assert_true(table.cells <= 2 * table.count);
}

/* The positions in the table have 32 bits. */
static void test_the_number_of_entries_is_limited(void **state) {
    (void)state;
    put(1, 5);
    size_t count = table.count;
    struct finished_entry known = entry_of(1, 6), another = entry_of(2, 7);
    table.count = UINT32_MAX - 1;
    assert_int_equal(finished_put(&table, &another), ERR_LIMIT);
    assert_int_equal(table.count, UINT32_MAX - 1);
    assert_int_equal(finished_put(&table, &known), 0); /* takes no place */
    table.count = count;
    assert_int_equal(find(1)->seq, 6);
    assert_null(find(2));
}

static void test_forget_removes_all_entries_of_an_upload(void **state) {
    (void)state;
    struct id128 upload = id_of(99);
    for (unsigned n = 0; n < 10; n++) {
        struct finished_entry e = entry_of(n, n + 1);
        if (n % 2)
            e.upload = upload;
        assert_int_equal(finished_put(&table, &e), 0);
    }
    assert_int_equal(finished_forget(&table, &upload), 0);
    assert_int_equal(table.count, 5);
    assert_int_equal(table.total, 10); /* the number of arrivals, not of entries */
    for (unsigned n = 0; n < 10; n++)
        assert_true((find(n) == NULL) == (n % 2 == 1));
    assert_int_equal(finished_forget(&table, &upload), 0);
    assert_int_equal(table.count, 5);
}

static void test_drop_removes_entries_up_to_its_seq(void **state) {
    (void)state;
    for (unsigned n = 0; n < 10; n++)
        put(n, n + 1);
    put(9, 10);
    assert_int_equal(finished_drop(&table, 4), 0);
    assert_int_equal(table.count, 6);
    assert_int_equal(table.total, 6);
    assert_null(find(3));
    assert_int_equal(find(4)->seq, 5);
}

static void test_a_mark_is_that_of_its_upload(void **state) {
    (void)state;
    struct id128 upload = id_of(3), other = id_of(4);
    put(1, FINISHED_SEQ_MAX);
    put(2, 6);
    finished_mark(&table, dest_of(1), &other);
    finished_mark(&table, dest_of(50), &upload);
    assert_false(find(1)->deleting);
    finished_mark(&table, dest_of(1), &upload);
    assert_true(find(1)->deleting);
    assert_int_equal(find(1)->seq, FINISHED_SEQ_MAX);
    assert_int_equal(find(1)->inode, 7);
    assert_false(find(2)->deleting);
    finished_move(&table, dest_of(1), &upload, 9);
    struct finished_entry same = entry_of(1, 9);
    same.ctime = 1234;
    finished_update(&table, &same);
    assert_true(find(1)->deleting);
    assert_int_equal(find(1)->ctime, 1234);
    put(1, 10);
    assert_false(find(1)->deleting);
}

static void test_remove_takes_one_entry_of_the_named_upload(void **state) {
    (void)state;
    struct id128 other = id_of(4), upload = id_of(3);
    finished_remove(&table, dest_of(1), &upload); /* the table is empty */
    put(1, 5);
    put(2, 6);
    put(3, 7);
    finished_remove(&table, dest_of(1), &other);
    finished_remove(&table, dest_of(50), &upload);
    assert_int_equal(table.count, 3);
    finished_remove(&table, dest_of(1), &upload);
    assert_int_equal(table.count, 2);
    assert_int_equal(table.total, 3); /* the number of arrivals, not of entries */
    assert_null(find(1));
    assert_int_equal(find(2)->seq, 6);
    assert_int_equal(find(3)->seq, 7);
    put(1, 8);
    assert_int_equal(find(1)->seq, 8);
}

/* An entry is found if it is there, and has one cell. Their seq is n + 1. */
static void assert_entries(const bool *there, unsigned count, uint64_t (*dest)(unsigned)) {
    size_t entries = 0, used = 0;
    for (unsigned n = 0; n < count; n++) {
        const struct finished_entry *e = finished_find(&table, dest(n));
        assert_int_equal(e != NULL, there[n]);
        assert_true(!e || (e->seq == n + 1 && e >= table.entries && e < table.entries + table.count));
        entries += there[n];
    }
    for (size_t i = 0; i < table.cells; i++)
        used += table.table[i] != 0;
    assert_int_equal(table.count, entries);
    assert_int_equal(used, entries);
}

static uint64_t spread_dest(unsigned n) {
    return (uint64_t)(n + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Their homes are the last cells of the table: there is no room for 40 of them before its end. */
static uint64_t last_dest(unsigned n) {
    return UINT64_MAX - (uint64_t)n * (UINT64_C(1) << 56);
}

static void remove_all(unsigned count, unsigned step, uint64_t (*dest)(unsigned)) {
    bool *there = calloc(count, sizeof *there);
    assert_non_null(there);
    for (unsigned n = 0; n < count; n++) {
        struct finished_entry e = {.dest = dest(n), .upload = id_of(n), .seq = n + 1};
        assert_int_equal(finished_put(&table, &e), 0);
        there[n] = true;
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned n = i * step % count;
        struct id128 upload = id_of(n);
        finished_remove(&table, dest(n), &upload);
        there[n] = false;
        assert_entries(there, count, dest);
    }
    free(there);
}

static void test_after_each_removal_all_others_are_found(void **state) {
    (void)state;
    remove_all(50, 1, dest_of); /* all of one cell */
    remove_all(50, 49, dest_of);
    remove_all(50, 7, dest_of);
    remove_all(40, 1, last_dest);
    remove_all(40, 13, last_dest);
    remove_all(500, 1, spread_dest);
    remove_all(500, 499, spread_dest);
    remove_all(500, 77, spread_dest);
}

static void test_move_changes_the_seq_of_the_same_upload_only(void **state) {
    (void)state;
    put(1, 5);
    struct id128 upload = id_of(3), other = id_of(4);
    finished_move(&table, dest_of(1), &other, 77);
    assert_int_equal(find(1)->seq, 5);
    finished_move(&table, dest_of(50), &upload, 77);
    finished_move(&table, dest_of(1), &upload, FINISHED_SEQ_MAX);
    assert_int_equal(find(1)->seq, FINISHED_SEQ_MAX);
    assert_int_equal(table.count, 1);
}

static void test_update_takes_inode_and_ctime_of_the_same_content(void **state) {
    (void)state;
    put(1, 5);
    struct finished_entry same = entry_of(1, 9);
    same.inode = 8;
    same.ctime = 1234;
    struct finished_entry other = same;
    other.upload = id_of(70);
    finished_update(&table, &other);
    other = same;
    other.key = 70;
    finished_update(&table, &other);
    other = same;
    other.crc++;
    finished_update(&table, &other);
    other = same;
    other.dest = dest_of(70);
    finished_update(&table, &other);
    assert_int_equal(find(1)->inode, 7);
    assert_int_equal(find(1)->ctime, 1);
    finished_update(&table, &same);
    assert_int_equal(find(1)->inode, 8);
    assert_int_equal(find(1)->ctime, 1234);
    assert_int_equal(find(1)->seq, 5);
    assert_int_equal(table.total, 1);
}

static void test_a_changed_inode_or_ctime_is_noticed(void **state) {
    (void)state;
    struct source_identity file = {.ino = 12345, .ctime_ns = 1763716800123456790};
    struct finished_entry e = {.seq = 1};
    finished_identify(&e, &file);
    assert_int_equal(finished_differs(&e, &file), 0);
    struct source_identity now = file;
    now.ino++;
    assert_int_equal(finished_differs(&e, &now), DIFFERS_INODE);
    now = file;
    now.ctime_ns++;
    assert_int_equal(finished_differs(&e, &now), DIFFERS_CTIME);
    now.ctime_ns = file.ctime_ns + ((nanotime)1 << 64);
    assert_int_equal(finished_differs(&e, &now), DIFFERS_CTIME);
    now.ino++;
    assert_int_equal(finished_differs(&e, &now), DIFFERS_INODE | DIFFERS_CTIME);
}

static void test_an_unknown_inode_is_not_compared(void **state) {
    (void)state;
    struct source_identity known = {.ino = 12345}, unknown = {.ino = 0};
    struct finished_entry e = {.seq = 1};
    finished_identify(&e, &known);
    assert_int_equal(finished_differs(&e, &unknown), 0);
    finished_identify(&e, &unknown);
    assert_int_equal(e.inode, 0);
    assert_int_equal(finished_differs(&e, &known), 0);
}

/* A fingerprint of 0 would mean that the number is not known. */
static void test_no_known_inode_has_the_fingerprint_of_the_unknown_one(void **state) {
    (void)state;
    for (uint64_t ino = 1; ino < 300000; ino++) {
        struct source_identity file = {.ino = ino};
        struct finished_entry e = {.seq = 1};
        finished_identify(&e, &file);
        assert_int_not_equal(e.inode, 0);
    }
}

static void test_reserved_room_is_used(void **state) {
    (void)state;
    assert_int_equal(finished_reserve(&table, 0), 0);
    assert_int_equal(table.cells, 64);
    assert_int_equal(finished_reserve(&table, 76), 0);
    assert_int_equal(table.cap, 76);
    assert_int_equal(table.cells, 96); /* four fifths full */
    const struct finished_entry *entries = table.entries;
    const uint32_t *cells = table.table;
    for (unsigned n = 0; n < 76; n++)
        put(n, n + 1);
    assert_ptr_equal(table.entries, entries);
    assert_ptr_equal(table.table, cells);
    assert_int_equal(finished_reserve(&table, 10), 0);
    assert_int_equal(table.cap, 76);
    assert_int_equal(finished_reserve(&table, 77), 0);
    assert_int_equal(table.cells, 144);
    for (unsigned n = 0; n < 76; n++)
        assert_int_equal(find(n)->seq, n + 1);
    assert_int_equal(finished_reserve(&table, UINT32_MAX), ERR_LIMIT);
}

#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void test_a_key_has_the_size_of_its_file(void **state) {
    (void)state;
    const struct id128 one = {{1, 2, 3, 4, 5, 6, 7, 8}}, other = {{8, 7, 6, 5, 4, 3, 2, 1}};
    assert_int_equal(finished_size(12345), 12345);
    assert_int_not_equal(finished_size(UINT64_C(1) << 32), finished_size(UINT64_C(2) << 32));
    assert_true(finished_key(&one, 7) != finished_key(&one, 8) && finished_key(&one, 7) != finished_key(&other, 7));
    assert_int_equal((uint32_t)finished_key(&one, 7), finished_size(7));
}

UNIT_MAIN(cmocka_unit_test(test_a_key_has_the_size_of_its_file), TABLE_TEST(test_entries_of_one_cell_are_found),
          TABLE_TEST(test_entries_at_the_end_of_the_table_are_found),
          TABLE_TEST(test_entries_with_the_same_bits_in_their_cells_are_told_apart),
          TABLE_TEST(test_the_table_always_has_free_cells), TABLE_TEST(test_the_number_of_entries_is_limited),
          TABLE_TEST(test_reserved_room_is_used), TABLE_TEST(test_forget_removes_all_entries_of_an_upload),
          TABLE_TEST(test_drop_removes_entries_up_to_its_seq), TABLE_TEST(test_a_mark_is_that_of_its_upload),
          TABLE_TEST(test_remove_takes_one_entry_of_the_named_upload),
          TABLE_TEST(test_after_each_removal_all_others_are_found),
          TABLE_TEST(test_move_changes_the_seq_of_the_same_upload_only),
          TABLE_TEST(test_update_takes_inode_and_ctime_of_the_same_content),
          cmocka_unit_test(test_a_changed_inode_or_ctime_is_noticed),
          cmocka_unit_test(test_an_unknown_inode_is_not_compared),
          cmocka_unit_test(test_no_known_inode_has_the_fingerprint_of_the_unknown_one))
