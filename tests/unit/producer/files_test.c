/* The table of files: its bounds, look-up, and the states of chunks. */
#include "edge.h"
#include "unit.h"

#include "producer/files.h"
#include "pure/bitmap.h"

#define CHUNK CHUNK_ALIGN

static struct files files;
static const struct source_identity none;

static int teardown(void **state) {
    (void)state;
    files_release(&files);
    return 0;
}

static struct id128 id_of(uint8_t n) {
    return (struct id128){.b = {n, 1}};
}

static struct file *add(uint32_t chunks) {
    const struct geometry wanted = {.size = (uint64_t)chunks * CHUNK, .chunk_size = CHUNK, .chunks = chunks};
    const struct source_identity id = {.size = (uint64_t)chunks * CHUNK};
    struct file *f;
    assert_int_equal(files_add(&files, "/src", "file:///dest", &id, &wanted, &f), 0);
    return f;
}

/* Takes over a geometry of so many chunks. Returns its error. */
static int set_chunks(struct file *f, uint32_t chunks, struct slice done) {
    const struct geometry g = {.size = f->id.size, .chunk_size = CHUNK, .chunks = chunks};
    return file_set_geometry(&files, f, &g, done);
}

static struct file *add_begun(uint32_t chunks) {
    struct file *f = add(chunks);
    assert_int_equal(set_chunks(f, chunks, slice_of(NULL)), 0);
    return f;
}

static uint32_t next_of(struct file *f) {
    uint32_t chunk;
    assert_true(file_next_chunk(f, &chunk));
    return chunk;
}

/* --- bounds --- */

static void test_a_file_of_any_size_fits_alone(void **state) {
    (void)state;
    assert_true(files_have_room(&files));
    files.bitmap_bytes = FILES_BITMAP_BYTES;
    assert_true(files_have_room(&files));
    files.bitmap_bytes = 0;
}

static void test_bitmaps_limit_the_table(void **state) {
    (void)state;
    add((uint32_t)(FILES_BITMAP_BYTES / 2 * 8) - 8); /* two bitmaps */
    assert_int_equal(files.bitmap_bytes, FILES_BITMAP_BYTES - 2);
    assert_true(files_have_room(&files));
    add(2);
    assert_int_equal(files.bitmap_bytes, FILES_BITMAP_BYTES);
    assert_false(files_have_room(&files));
    files_remove(&files, files.last);
    assert_true(files_have_room(&files));
}

static void test_number_of_files_is_limited(void **state) {
    (void)state;
    for (unsigned i = 0; i < FILES_AHEAD; i++) {
        assert_true(files_have_room(&files));
        add(1);
    }
    assert_false(files_have_room(&files));
}

static void test_file_of_one_chunk_needs_no_bitmap(void **state) {
    (void)state;
    assert_true(add(1)->put);
    assert_int_equal(files.bitmap_bytes, 0);
    assert_false(add(2)->put);
    assert_int_equal(files.bitmap_bytes, 2);
}

static void test_another_identity_changes_the_bound(void **state) {
    const struct geometry large = {.size = 80 * CHUNK, .chunk_size = CHUNK, .chunks = 80},
                          small = {.size = CHUNK, .chunk_size = CHUNK, .chunks = 1};
    (void)state;
    struct file *f = add(2);
    assert_false(f->put);
    files_set_identity(&files, f, &none, &large);
    assert_int_equal(files.bitmap_bytes, 20);
    assert_false(f->put);
    files_set_identity(&files, f, &none, &small);
    assert_int_equal(files.bitmap_bytes, 0);
    assert_true(f->put);
}

/* The journal's geometry may have more chunks than the requested one. */
static void test_geometry_in_force_changes_the_bound(void **state) {
    const struct geometry wanted = {.size = 80 * CHUNK, .chunk_size = 80 * CHUNK, .chunks = 1};
    const struct source_identity id = {.size = 80 * CHUNK};
    struct file *f;
    (void)state;
    assert_int_equal(files_add(&files, "/src", "file:///dest", &id, &wanted, &f), 0);
    assert_int_equal(set_chunks(f, 80, slice_of(NULL)), 0);
    assert_int_equal(files.bitmap_bytes, 20);
    file_clear_geometry(&files, f);
    assert_int_equal(files.bitmap_bytes, 0);
    assert_null(f->done);
}

static void test_files_are_numbered_from_one(void **state) {
    (void)state;
    assert_int_equal(add(1)->index, 1);
    assert_int_equal(add(1)->index, 2);
    files_remove(&files, files.first);
    assert_int_equal(add(1)->index, 3);
    assert_int_equal(files.count, 2);
}

/* --- look-up --- */

static void test_file_is_found_by_its_upload(void **state) {
    const struct id128 one = id_of(1), two = id_of(2), zero = {{0}};
    (void)state;
    struct file *a = add(1), *b = add(1);
    files_set_upload(&files, a, &one);
    files_set_upload(&files, b, &two);
    assert_ptr_equal(files_find(&files, &one), a);
    assert_ptr_equal(files_find(&files, &two), b);
    files_set_upload(&files, a, &zero);
    assert_null(files_find(&files, &one));
    assert_null(files_find(&files, &zero));
    files_remove(&files, b);
    assert_null(files_find(&files, &two));
}

static void test_file_is_found_by_the_upload_that_it_waits_for(void **state) {
    const struct id128 old = id_of(7), other = id_of(8);
    (void)state;
    struct file *a = add(1), *b = add(1);
    assert_int_equal(file_set_superseded(a, &other, slice_of(""), true), 0);
    assert_int_equal(file_set_superseded(b, &old, slice_of("h"), true), 0);
    assert_null(files_find(&files, &old)); /* not waiting yet */
    a->state = b->state = FILE_CLEAR;
    assert_ptr_equal(files_find(&files, &old), b);
    assert_ptr_equal(files_find(&files, &other), a);
    assert_null(files_find_planned(&files, &old));
    file_clear_superseded(b);
    assert_null(files_find(&files, &old));
}

/* --- handles --- */

static void test_empty_handle_is_none(void **state) {
    const struct id128 old = id_of(7);
    (void)state;
    struct file *f = add(1);
    assert_int_equal(file_set_handle(f, slice_of("h")), 0);
    assert_string_equal(f->handle, "h");
    assert_int_equal(file_set_handle(f, slice_of("")), 0);
    assert_null(f->handle);
    assert_int_equal(file_set_superseded(f, &old, slice_of("h"), true), 0);
    assert_string_equal(f->superseded_handle, "h");
    assert_int_equal(file_set_superseded(f, &old, slice_of(""), true), 0);
    assert_null(f->superseded_handle);
    assert_true(f->superseded_opened && id_equal(&f->superseded, &old));
}

/* --- chunks --- */

static void test_geometry_has_to_fit_the_file(void **state) {
    const struct geometry nothing = {.chunk_size = CHUNK}, other = {.size = CHUNK, .chunk_size = CHUNK, .chunks = 1};
    (void)state;
    struct file *f = add(2);
    assert_int_equal(file_set_geometry(&files, f, &other, slice_of(NULL)), ERR_INVALID);
    assert_int_equal(set_chunks(f, 3, slice_of(NULL)), ERR_INVALID);
    assert_null(f->done);
    assert_false(file_is_complete(f));
    f->id.size = 0;
    assert_int_equal(file_set_geometry(&files, f, &nothing, slice_of(NULL)), ERR_INVALID); /* nothing to begin */
}

static void test_done_chunks_are_taken_over(void **state) {
    static const uint8_t bits[] = {0xff, 0xff};
    (void)state;
    struct file *f = add(10);
    assert_int_equal(set_chunks(f, 10, edge_slice(slice_make(bits, 1))), 0);
    assert_int_equal(f->chunks_done, 8);
    assert_int_equal(f->done_bytes, 8 * CHUNK);
    assert_int_equal(next_of(f), 8);
    assert_int_equal(set_chunks(f, 10, edge_slice(slice_make(bits, 2))), 0); /* bits after the last chunk */
    assert_int_equal(f->chunks_done, 10);
    assert_true(file_is_complete(f));
    struct file *whole = add(8);
    assert_int_equal(set_chunks(whole, 8, edge_slice(slice_make(bits, 1))), 0);
    assert_true(file_is_complete(whole));
}

static void test_chunks_after_the_last_one_do_not_exist(void **state) {
    (void)state;
    struct file *f = add_begun(2);
    assert_false(file_chunk_set_done(f, 2));
    assert_false(file_chunk_is_done(f, 2));
    assert_false(file_chunk_set_redo(f, 2));
    assert_false(file_chunk_is_taken(f, 2));
    file_chunk_give_back(f, 2);
    assert_int_equal(f->chunks_done, 0);
    assert_true(file_chunk_set_done(f, 1));
}

static void test_file_without_a_geometry_has_no_chunk(void **state) {
    uint32_t chunk;
    (void)state;
    struct file *f = add(2);
    assert_false(file_chunk_set_done(f, 0));
    assert_false(file_chunk_set_redo(f, 0));
    assert_false(file_chunk_is_done(f, 0));
    assert_false(file_chunk_is_taken(f, 0));
    assert_false(file_next_chunk(f, &chunk));
    file_chunk_give_back(f, 0);
    file_give_back_all(f);
    assert_false(file_is_complete(f));
}

static void test_record_counts_once(void **state) {
    (void)state;
    struct file *f = add_begun(2);
    assert_true(file_chunk_set_done(f, 1));
    assert_false(file_chunk_set_done(f, 1));
    assert_int_equal(f->chunks_done, 1);
    assert_int_equal(f->done_bytes, CHUNK);
    assert_false(file_chunk_set_redo(f, 0));
    assert_true(file_chunk_set_redo(f, 1));
    assert_false(file_chunk_set_redo(f, 1));
    assert_int_equal(f->chunks_done, 0);
    assert_int_equal(f->done_bytes, 0);
    assert_false(file_is_complete(f));
}

static void test_next_chunk_is_the_first_one_that_is_left(void **state) {
    uint32_t chunk;
    (void)state;
    struct file *f = add_begun(4);
    assert_int_equal(next_of(f), 0);
    file_chunk_take(f, 0);
    assert_true(file_chunk_is_taken(f, 0));
    assert_true(file_chunk_set_done(f, 1));
    assert_int_equal(next_of(f), 2);
    file_chunk_take(f, 2);
    file_chunk_take(f, 3);
    assert_false(file_next_chunk(f, &chunk));
    file_chunk_give_back(f, 2);
    assert_false(file_chunk_is_taken(f, 2));
    assert_int_equal(next_of(f), 2);
    file_chunk_give_back(f, 3); /* a later one */
    assert_int_equal(next_of(f), 2);
    assert_true(file_chunk_set_redo(f, 1));
    assert_int_equal(next_of(f), 1);
    file_give_back_all(f);
    assert_int_equal(next_of(f), 0);
    assert_false(file_chunk_is_taken(f, 3));
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
UNIT_MAIN(TEST(test_a_file_of_any_size_fits_alone), TEST(test_bitmaps_limit_the_table),
          TEST(test_number_of_files_is_limited), TEST(test_file_of_one_chunk_needs_no_bitmap),
          TEST(test_another_identity_changes_the_bound), TEST(test_geometry_in_force_changes_the_bound),
          TEST(test_files_are_numbered_from_one), TEST(test_file_is_found_by_its_upload),
          TEST(test_file_is_found_by_the_upload_that_it_waits_for), TEST(test_empty_handle_is_none),
          TEST(test_geometry_has_to_fit_the_file), TEST(test_done_chunks_are_taken_over),
          TEST(test_chunks_after_the_last_one_do_not_exist), TEST(test_file_without_a_geometry_has_no_chunk),
          TEST(test_record_counts_once), TEST(test_next_chunk_is_the_first_one_that_is_left))
