/* The records of an unfinished upload: its endpoint and the checksums of its chunks. */
#include "unit.h"

#include "producer/cli/store/catalog_chunks.h"
#include "pure/geometry.h"
#include <stdlib.h>

#define CHUNK ((uint64_t)5 << 20)

static const struct id128 upload = {{7}};
static struct catalog_chunks chunks;

static int tear_down(void **state) {
    (void)state;
    catalog_chunks_clear(&chunks);
    return 0;
}

static void note_begin(uint32_t count) {
    const struct record r = {.ev = EV_BEGIN,
                             .has = HAS_GEOMETRY,
                             .upload = upload,
                             .endpoint = slice_of("http://store"),
                             .chunk_size = CHUNK,
                             .chunks = count};
    assert_int_equal(catalog_chunks_note(&chunks, &r, true), 0);
}

static void note_chunk(uint32_t chunk, uint32_t crc) {
    const struct record r = {.ev = EV_CHUNK, .has = HAS_CHUNK, .upload = upload, .chunk = chunk, .crc = crc};
    assert_int_equal(catalog_chunks_note(&chunks, &r, true), 0);
}

static uint32_t *take(uint32_t expected) {
    struct geometry g;
    uint32_t *crcs = catalog_chunks_take(&chunks, &upload, CHUNK * expected, &g);
    if (crcs) {
        assert_int_equal(g.chunk_size, CHUNK);
        assert_int_equal(g.chunks, expected);
    }
    return crcs;
}

/* The last chunk of standard input tells how many there are. */
static void test_the_chunks_of_a_stream_are_known_from_the_last_one(void **state) {
    (void)state;
    struct geometry g;
    const struct record last = {
        .ev = EV_CHUNK, .has = HAS_CHUNK | HAS_TOTAL, .upload = upload, .chunk = 1, .crc = 8, .total = CHUNK + 1};
    note_begin(100);
    note_chunk(0, 7);
    assert_int_equal(catalog_chunks_note(&chunks, &last, true), 0);
    uint32_t *crcs = catalog_chunks_take(&chunks, &upload, CHUNK + 1, &g);
    assert_non_null(crcs);
    assert_int_equal(g.chunks, 2);
    assert_int_equal(crcs[1], 8);
    free(crcs);
}

static void test_the_checksums_of_all_chunks_are_taken(void **state) {
    (void)state;
    note_begin(3);
    assert_true(slice_equal(catalog_chunks_endpoint(&chunks, &upload), slice_of("http://store")));
    note_chunk(2, 12);
    note_chunk(0, 10);
    note_chunk(0, 10); /* again */
    assert_null(take(3));
    note_chunk(3, 13); /* there is none */
    note_chunk(1, 11);
    uint32_t *crcs = take(3);
    assert_non_null(crcs);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(crcs[i], 10 + i);
    free(crcs);
}

/* A damaged journal, or one that another program wrote. */
static void test_another_number_of_chunks_forgets_the_checksums(void **state) {
    (void)state;
    note_begin(1);
    note_chunk(0, 1);
    note_begin(CHUNKS_MAX);
    assert_null(take(1));
    note_chunk(CHUNKS_MAX - 1, 2);
    note_begin(2);
    note_chunk(1, 4);
    assert_null(take(2));
    note_chunk(0, 3);
    uint32_t *crcs = take(2);
    assert_non_null(crcs);
    assert_int_equal(crcs[0], 3);
    assert_int_equal(crcs[1], 4);
    free(crcs);
}

static void test_an_upload_that_ended_is_forgotten(void **state) {
    (void)state;
    note_begin(1);
    note_chunk(0, 1);
    const struct record abort = {.ev = EV_ABORT, .upload = upload};
    assert_int_equal(catalog_chunks_note(&chunks, &abort, true), 0);
    assert_null(take(1));
    assert_int_equal(catalog_chunks_endpoint(&chunks, &upload).len, 0);
}

#define CHUNKS_TEST(name) cmocka_unit_test_teardown(name, tear_down)
UNIT_MAIN(CHUNKS_TEST(test_the_checksums_of_all_chunks_are_taken),
          CHUNKS_TEST(test_another_number_of_chunks_forgets_the_checksums),
          CHUNKS_TEST(test_an_upload_that_ended_is_forgotten),
          CHUNKS_TEST(test_the_chunks_of_a_stream_are_known_from_the_last_one))
