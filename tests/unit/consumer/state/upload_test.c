/* One unfinished upload: its chunks, its failure, its bitmap. */
#include "unit.h"

#include "consumer/state/upload.h"
#include <stdlib.h>

#define SIZE_OF_CHUNK UINT64_C(65536)

static struct upload *u;

static struct upload *upload_make(const char *dest, uint64_t size) {
    struct id128 id = {{1}};
    struct upload_identity is = {.src = slice_of("/src"), .dest = slice_of(dest), .file = {.size = size}};
    struct upload *made = upload_new(&id, &is);
    assert_non_null(made);
    return made;
}

static int setup(void **state) {
    (void)state;
    u = upload_make("s3://bucket/key", 199 * SIZE_OF_CHUNK + 10);
    return upload_begin(u, slice_of("H"), CHECKSUM_NONE, SIZE_OF_CHUNK, 200);
}

static int teardown(void **state) {
    (void)state;
    upload_destroy(&u);
    assert_null(u);
    return 0;
}

static void chunk_set(uint32_t chunk, const char *etag) {
    assert_int_equal(upload_set_chunk(u, chunk, chunk + 7, slice_of(etag), 100 + chunk), 0);
}

/* ---- begin ---- */

static int begin_with(const char *handle, uint64_t chunk_size, uint32_t chunks, uint64_t size) {
    struct upload *other = upload_make("s3://bucket/key", size);
    int err = upload_begin(other, slice_of(handle), CHECKSUM_NONE, chunk_size, chunks);
    assert_int_equal(other->begun, err == 0);
    assert_int_equal(other->chunks, err == 0 ? chunks : 0);
    upload_destroy(&other);
    return err;
}

static void test_begin_needs_a_handle_and_a_geometry_that_fits(void **state) {
    (void)state;
    assert_int_equal(begin_with("H", SIZE_OF_CHUNK, 2, 2 * SIZE_OF_CHUNK), 0);
    assert_int_equal(begin_with("", SIZE_OF_CHUNK, 2, 2 * SIZE_OF_CHUNK), ERR_INVALID);
    assert_int_equal(begin_with("H", SIZE_OF_CHUNK, 3, 2 * SIZE_OF_CHUNK), ERR_INVALID);
    assert_int_equal(begin_with("H", SIZE_OF_CHUNK + 1, 2, 2 * SIZE_OF_CHUNK), ERR_INVALID);
    assert_int_equal(begin_with("H", SIZE_OF_CHUNK, 0, 0), ERR_INVALID);
}

static void test_begin_happens_once(void **state) {
    (void)state;
    assert_int_equal(upload_begin(u, slice_of("other"), CHECKSUM_NONE, SIZE_OF_CHUNK, 200), ERR_INVALID);
    assert_string_equal(u->handle, "H");
}

static void test_only_file_destinations_are_files(void **state) {
    (void)state;
    static const struct {
        const char *dest;
        bool file;
    } cases[] = {{"file:///x", true}, {"file://", true}, {"file:/", false}, {"s3://bucket/key", false}, {"", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct upload *other = upload_make(cases[i].dest, 1);
        assert_int_equal(upload_is_file(other), cases[i].file);
        upload_destroy(&other);
    }
}

/* ---- chunks ---- */

static void test_count_and_bytes_follow_the_records(void **state) {
    (void)state;
    chunk_set(0, "a");
    chunk_set(199, "b"); /* the last one is short */
    assert_int_equal(u->done_count, 2);
    assert_int_equal(u->done_bytes, SIZE_OF_CHUNK + 10);
    upload_clear_chunk(u, 0);
    assert_int_equal(u->done_count, 1);
    assert_int_equal(u->done_bytes, 10);
    upload_clear_chunk(u, 0);
    assert_int_equal(u->done_count, 1);
    assert_false(upload_has_chunk(u, 0));
}

static void test_a_recorded_chunk_keeps_its_record(void **state) {
    (void)state;
    chunk_set(3, "a");
    assert_int_equal(upload_set_chunk(u, 3, 99, slice_of("b"), 999), 0);
    assert_int_equal(upload_chunk(u, 3)->seq, 103);
    assert_int_equal(upload_chunk(u, 3)->crc, 10);
    assert_int_equal(u->done_count, 1);
    upload_move_chunk(u, 3, 500);
    assert_int_equal(upload_chunk(u, 3)->seq, 500);
}

static void test_chunks_beyond_the_end_or_before_the_begin_are_refused(void **state) {
    (void)state;
    assert_int_equal(upload_set_chunk(u, 200, 1, slice_of("a"), 1), ERR_INVALID);
    assert_int_equal(u->done_count, 0);
    struct upload *planned = upload_make("s3://bucket/key", SIZE_OF_CHUNK);
    planned->chunk_size = SIZE_OF_CHUNK;
    planned->chunks = 1;
    assert_int_equal(upload_set_chunk(planned, 0, 1, slice_of("a"), 1), ERR_INVALID);
    upload_destroy(&planned);
}

static void test_an_etag_is_returned_as_it_was_recorded(void **state) {
    (void)state;
    static const char *const etags[] = {"",
                                        "0123456789abcdef0123456789abcdef",
                                        "0123456789ABCDEF0123456789ABCDEF",
                                        "0123456789abcdef0123456789abcdeg",
                                        "0123456789abcdef0123456789abcde",
                                        "0123456789abcdef0123456789abcdef-2"};
    for (uint32_t i = 0; i < sizeof etags / sizeof etags[0]; i++) {
        char room[ID_HEX_SIZE];
        chunk_set(i, etags[i]);
        assert_true(slice_equal(upload_etag(u, i, room), slice_of(etags[i])));
    }
    assert_int_equal(upload_chunk(u, 1)->etag_form, ETAG_HEX);
    assert_int_equal(upload_chunk(u, 5)->etag_form, ETAG_TEXT);
    for (uint32_t i = 0; i < sizeof etags / sizeof etags[0]; i++)
        upload_clear_chunk(u, i);
    assert_int_equal(u->done_bytes, 0);
}

static void test_the_integrity_is_that_of_the_weakest_chunk(void **state) {
    (void)state;
    upload_note_integrity(u, 0, INTEGRITY_MD5);
    chunk_set(0, "a");
    assert_int_equal(u->integrity, INTEGRITY_MD5);
    upload_note_integrity(u, 1, INTEGRITY_SHA256);
    chunk_set(1, "a");
    assert_int_equal(u->integrity, INTEGRITY_MD5);
    upload_note_integrity(u, 0, INTEGRITY_NONE); /* it has a record, which stays */
    upload_note_integrity(u, 200, INTEGRITY_NONE);
    assert_int_equal(u->integrity, INTEGRITY_MD5);
    upload_note_integrity(u, 2, INTEGRITY_TLS);
    chunk_set(2, "a");
    assert_int_equal(u->integrity, INTEGRITY_TLS);
    upload_note_integrity(u, 199, INTEGRITY_NONE);
    assert_int_equal(u->integrity, INTEGRITY_NONE);
}

static void test_the_first_chunk_after_none_gives_the_integrity(void **state) {
    (void)state;
    upload_note_integrity(u, 0, INTEGRITY_NONE);
    chunk_set(0, "a");
    upload_clear_chunk(u, 0);
    upload_note_integrity(u, 1, INTEGRITY_SHA256);
    assert_int_equal(u->integrity, INTEGRITY_SHA256);
}

static void test_redos_of_a_chunk_are_counted_until_they_are_forgotten(void **state) {
    (void)state;
    assert_int_equal(upload_redos(u, 5), 0);
    assert_int_equal(upload_count_redo(u, 5), 0);
    assert_int_equal(upload_count_redo(u, 5), 0);
    assert_int_equal(upload_count_redo(u, 6), 0);
    assert_int_equal(upload_redos(u, 5), 2);
    assert_int_equal(upload_redos(u, 6), 1);
    upload_forget_redos(u);
    assert_int_equal(upload_redos(u, 5), 0);
}

/* ---- bitmap ---- */

static void assert_bitmap(size_t len) {
    struct buf out = BUF_INIT;
    assert_int_equal(buf_add_text(&out, "kept"), 0);
    assert_int_equal(upload_add_bitmap(u, &out), 0);
    assert_memory_equal(out.data, "kept", 4);
    assert_int_equal(out.len - 4, len);
    assert_int_equal(out.data[out.len], '\0');
    for (uint32_t chunk = 0; chunk < 8 * len; chunk++)
        assert_int_equal((unsigned char)out.data[4 + chunk / 8] >> (chunk % 8) & 1, upload_has_chunk(u, chunk));
    buf_release(&out);
}

static void test_the_bitmap_ends_with_the_last_recorded_chunk(void **state) {
    (void)state;
    assert_bitmap(0);
    chunk_set(0, "");
    assert_bitmap(1);
    chunk_set(7, "");
    assert_bitmap(1);
    chunk_set(8, "");
    assert_bitmap(2);
    chunk_set(63, "");
    assert_bitmap(8);
    chunk_set(199, ""); /* no record in the page before it */
    assert_bitmap(25);
    chunk_set(128, "");
    assert_bitmap(25);
    upload_clear_chunk(u, 199);
    assert_bitmap(17);
}

/* ---- failure ---- */

static void note(const char *class, const char *error) {
    upload_note_failure(u, slice_of(class), slice_of(error));
}

static void test_each_class_of_failure_is_known_by_its_name(void **state) {
    (void)state;
    for (enum fail_class c = FAIL_CHANGED; c <= FAIL_CLASS_LAST; c++) {
        note(fail_class_name(c), "reason");
        assert_int_equal(u->failed_as, c);
        assert_string_equal(u->failure, "reason");
    }
    note("another", "reason");
    assert_int_equal(u->failed_as, FAIL_NONE);
    upload_forget_failure(u);
    assert_null(u->failure);
}

static void test_a_long_error_is_cut_between_characters(void **state) {
    (void)state;
    char text[300];
    memset(text, 'x', sizeof text);
    text[200] = '\0';
    note("full", text);
    assert_string_equal(u->failure, text);
    text[200] = '\x80'; /* not of the error */
    upload_note_failure(u, slice_of("full"), slice_make(text, 200));
    assert_int_equal(strlen(u->failure), 200);
    text[200] = 'x';
    text[250] = '\0';
    note("full", text);
    assert_int_equal(strlen(u->failure), 200);
    memcpy(text + 198, "\xe2\x82\xac", 3); /* its last byte would be cut off */
    note("full", text);
    assert_int_equal(strlen(u->failure), 198);
    memcpy(text + 197, "\xe2\x82\xac", 3);
    text[200] = 'x';
    note("full", text);
    assert_int_equal(strlen(u->failure), 200);
}

static void test_an_error_without_the_start_of_a_character_is_cut_to_nothing(void **state) {
    (void)state;
    char text[300];
    memset(text, '\x80', sizeof text);
    upload_note_failure(u, slice_of("full"), slice_make(text, sizeof text));
    assert_string_equal(u->failure, "");
}

#define UPLOAD_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- standard input ---- */

static struct upload *stream_make(void) {
    struct upload *stream = upload_make("s3://bucket/key", 0);
    stream->grow = 2;
    assert_int_equal(upload_begin(stream, slice_of("H"), CHECKSUM_NONE, SIZE_OF_CHUNK, 100), 0);
    return stream;
}

static void test_the_last_chunk_of_a_stream_gives_its_size(void **state) {
    (void)state;
    struct upload *stream = stream_make();
    assert_true(upload_is_open_ended(stream));
    assert_int_equal(upload_size(stream), 0);
    assert_int_equal(upload_set_chunk(stream, 0, 1, slice_of("a"), 1), 0);
    upload_note_end(stream, 2, 2 * SIZE_OF_CHUNK + 7);
    assert_int_equal(upload_set_chunk(stream, 2, 1, slice_of("c"), 2), 0);
    assert_false(upload_is_open_ended(stream));
    assert_int_equal(stream->chunks, 3);
    assert_int_equal(upload_size(stream), 2 * SIZE_OF_CHUNK + 7);
    assert_int_equal(stream->done_bytes, SIZE_OF_CHUNK + 7);
    assert_int_equal(upload_set_chunk(stream, 3, 1, slice_of("d"), 3), ERR_INVALID);
    upload_note_end(stream, 1, SIZE_OF_CHUNK + 1); /* the first end stays */
    assert_int_equal(stream->chunks, 3);
    upload_destroy(&stream);
}

static void test_an_end_that_does_not_fit_is_ignored(void **state) {
    (void)state;
    struct upload *stream = stream_make();
    assert_int_equal(upload_set_chunk(stream, 4, 1, slice_of("a"), 1), 0);
    upload_note_end(stream, 3, 4 * SIZE_OF_CHUNK + 1); /* a later chunk is recorded */
    upload_note_end(stream, 5, 1);
    upload_note_end(stream, 100, UINT64_MAX);
    assert_true(upload_is_open_ended(stream));
    upload_note_end(u, 199, 199 * SIZE_OF_CHUNK + 5); /* a file has its size */
    assert_int_equal(upload_size(u), 199 * SIZE_OF_CHUNK + 10);
    upload_destroy(&stream);
}

UNIT_MAIN(cmocka_unit_test(test_begin_needs_a_handle_and_a_geometry_that_fits), UPLOAD_TEST(test_begin_happens_once),
          cmocka_unit_test(test_the_last_chunk_of_a_stream_gives_its_size),
          UPLOAD_TEST(test_an_end_that_does_not_fit_is_ignored),
          cmocka_unit_test(test_only_file_destinations_are_files), UPLOAD_TEST(test_count_and_bytes_follow_the_records),
          UPLOAD_TEST(test_a_recorded_chunk_keeps_its_record),
          UPLOAD_TEST(test_chunks_beyond_the_end_or_before_the_begin_are_refused),
          UPLOAD_TEST(test_an_etag_is_returned_as_it_was_recorded),
          UPLOAD_TEST(test_the_integrity_is_that_of_the_weakest_chunk),
          UPLOAD_TEST(test_the_first_chunk_after_none_gives_the_integrity),
          UPLOAD_TEST(test_redos_of_a_chunk_are_counted_until_they_are_forgotten),
          UPLOAD_TEST(test_the_bitmap_ends_with_the_last_recorded_chunk),
          UPLOAD_TEST(test_each_class_of_failure_is_known_by_its_name),
          UPLOAD_TEST(test_a_long_error_is_cut_between_characters),
          UPLOAD_TEST(test_an_error_without_the_start_of_a_character_is_cut_to_nothing))
