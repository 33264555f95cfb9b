/* Standard input in chunks: when they can be sent, what is kept, how the end is found. */
#include "files.h"
#include "producer/source/stream.h"
#include "unit.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

static char root[TEMP_DIR_SIZE];
static struct stream *stream;
static int ends[2]; /* of the pipe */
static uint64_t now_ms;

static void stream_open(uint64_t chunk_size, uint32_t chunks, uint32_t grow) {
    struct geometry open = geometry_open(0, chunk_size, chunks, grow);
    assert_true(geometry_is_valid(&open));
    assert_int_equal(stream_new(&stream, ends[0], &open), 0);
}

static int set_up(void **state) {
    (void)state;
    temp_dir_enter(root);
    now_ms = 1000;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    stream_destroy(&stream);
    for (int i = 0; i < 2; i++)
        if (ends[i] != -1)
            close(ends[i]);
    return temp_dir_leave(root);
}

static void read_now(void) {
    bool more;
    do
        assert_int_equal(stream_read(stream, now_ms, &more), 0);
    while (more);
}

/* Byte n of the input is n mod 251, so that each chunk has other bytes. */
static void give(size_t count) {
    static size_t position;
    if (stream_position(stream) == 0)
        position = 0;
    for (size_t left = count; left > 0;) {
        unsigned char piece[4096];
        size_t n = left < sizeof piece ? left : sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = (unsigned char)((position + i) % 251);
        assert_int_equal(write(ends[1], piece, n), n);
        position += n;
        left -= n;
        read_now();
    }
}

static void end_input(void) {
    close(ends[1]);
    ends[1] = -1;
    read_now();
    now_ms += STREAM_SETTLE_MS;
    read_now();
}

static void assert_bytes(uint64_t offset, uint64_t length) {
    const char *bytes = stream_bytes(stream, offset, length);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] != (offset + i) % 251)
            fail_msg("byte %llu differs", (unsigned long long)(offset + i));
}

static void test_a_chunk_can_be_sent_once_another_byte_follows(void **state) {
    (void)state;
    stream_open(CHUNK_ALIGN, 100, 0);
    read_now();
    assert_int_equal(stream_chunks(stream), 0);
    give(CHUNK_ALIGN);
    assert_int_equal(stream_chunks(stream), 0); /* it may be the last one */
    give(1);
    assert_int_equal(stream_chunks(stream), 1);
    assert_int_equal(stream_position(stream), CHUNK_ALIGN + 1);
    assert_bytes(0, CHUNK_ALIGN);
    end_input();
    assert_true(stream_has_ended(stream));
    assert_int_equal(stream_chunks(stream), 2);
    assert_bytes(CHUNK_ALIGN, 1);
    assert_null(stream_bytes(stream, CHUNK_ALIGN - 1, 2)); /* of two chunks */
    assert_null(stream_bytes(stream, CHUNK_ALIGN, 2));     /* beyond the end */
}

static void test_the_end_of_a_pipe_is_believed_later(void **state) {
    (void)state;
    stream_open(CHUNK_ALIGN, 100, 0);
    give(5);
    close(ends[1]);
    ends[1] = -1;
    read_now();
    assert_false(stream_has_ended(stream));
    assert_int_equal(stream_chunks(stream), 0);
    assert_int_equal(stream_due_ms(stream), now_ms + STREAM_SETTLE_MS);
    assert_int_equal(stream_wait_fd(stream), -1);
    now_ms += STREAM_SETTLE_MS - 1;
    read_now();
    assert_false(stream_has_ended(stream));
    now_ms++;
    read_now();
    assert_true(stream_has_ended(stream));
    assert_int_equal(stream_chunks(stream), 1);
    assert_int_equal(stream_due_ms(stream), UINT64_MAX);
}

static void test_the_end_of_a_file_is_believed_at_once(void **state) {
    (void)state;
    file_put("input", slice_of("12345"));
    int fd = open("input", O_RDONLY | O_CLOEXEC);
    assert_int_not_equal(fd, -1);
    struct geometry open = geometry_open(0, CHUNK_ALIGN, 10, 0);
    assert_int_equal(stream_new(&stream, fd, &open), 0);
    read_now();
    assert_true(stream_has_ended(stream));
    assert_memory_equal(stream_bytes(stream, 0, 5), "12345", 5);
    close(fd);
}

static void test_an_empty_input_has_no_chunk(void **state) {
    (void)state;
    stream_open(CHUNK_ALIGN, 100, 0);
    end_input();
    assert_true(stream_has_ended(stream));
    assert_int_equal(stream_chunks(stream), 0);
    assert_int_equal(stream_position(stream), 0);
}

/* Memory of 24 MiB: three chunks of 8 MiB. The byte that follows them was read to know that. */
static void test_the_input_waits_when_the_memory_is_full(void **state) {
    (void)state;
    stream_open(8 * MIB, 100, 0);
    give(24 * MIB);
    assert_int_equal(stream_chunks(stream), 2);
    give(1);
    assert_int_equal(stream_chunks(stream), 3);
    assert_int_equal(stream_wait_fd(stream), -1);
    assert_int_equal(write(ends[1], "x", 1), 1);
    read_now();
    assert_int_equal(stream_position(stream), 24 * MIB + 1);
    stream_release(stream, 1);
    assert_null(stream_bytes(stream, 8 * MIB, 1));
    assert_bytes(16 * MIB, 8 * MIB);
    read_now();
    assert_int_equal(stream_position(stream), 24 * MIB + 2);
    assert_int_equal(stream_wait_fd(stream), ends[0]);
    assert_bytes(24 * MIB, 1); /* the byte that was read ahead */
    assert_true(stream_has_released(stream));
}

static void test_two_large_chunks_are_always_kept(void **state) {
    (void)state;
    stream_open(STREAM_BYTES, 100, 0);
    give(2 * STREAM_BYTES + 1);
    assert_int_equal(stream_chunks(stream), 2);
    assert_int_equal(stream_wait_fd(stream), -1);
    assert_bytes(STREAM_BYTES, STREAM_BYTES);
}

static void test_small_chunks_are_counted(void **state) {
    (void)state;
    stream_open(CHUNK_ALIGN, 1000, 0);
    give(STREAM_CHUNKS_MAX * CHUNK_ALIGN + 1);
    assert_int_equal(stream_chunks(stream), STREAM_CHUNKS_MAX);
    assert_int_equal(stream_wait_fd(stream), -1);
}

static void test_chunks_grow(void **state) {
    (void)state;
    uint64_t size = (1 + 1 + 2 + 4) * CHUNK_ALIGN;
    stream_open(CHUNK_ALIGN, 10, 2);
    give(size);
    end_input();
    assert_int_equal(stream_chunks(stream), 4);
    assert_bytes(2 * CHUNK_ALIGN, 2 * CHUNK_ALIGN);
    for (uint32_t i = 0; i < 3; i++)
        stream_release(stream, i);
    assert_bytes(4 * CHUNK_ALIGN, 4 * CHUNK_ALIGN);
}

static void test_held_chunks_are_found_in_order(void **state) {
    (void)state;
    uint32_t chunk = 0;
    stream_open(CHUNK_ALIGN, 100, 0);
    assert_false(stream_next_held(stream, &chunk));
    give(4 * CHUNK_ALIGN);
    stream_release(stream, 0);
    stream_release(stream, 2);
    stream_release(stream, 7); /* not there */
    give(1);                   /* in the memory of a released one */
    static const uint32_t held[] = {1, 3, 4};
    for (size_t i = 0; i < 3; i++, chunk++) {
        assert_true(stream_next_held(stream, &chunk));
        assert_int_equal(chunk, held[i]);
    }
    assert_false(stream_next_held(stream, &chunk));
}

static void test_an_input_longer_than_its_chunks_is_found(void **state) {
    (void)state;
    stream_open(CHUNK_ALIGN, 2, 0);
    give(2 * CHUNK_ALIGN);
    assert_false(stream_is_too_long(stream));
    give(1);
    assert_true(stream_is_too_long(stream));
}

static void test_a_read_error_is_kept(void **state) {
    (void)state;
    struct geometry open_geometry = geometry_open(0, CHUNK_ALIGN, 10, 0);
    int fd = open(".", O_RDONLY | O_CLOEXEC); /* a directory cannot be read */
    assert_int_equal(stream_new(&stream, fd, &open_geometry), 0);
    read_now();
    assert_string_equal(stream_error(stream), "Is a directory");
    assert_false(stream_has_ended(stream));
    assert_int_equal(stream_wait_fd(stream), -1);
    close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
UNIT_MAIN(TEST(test_a_chunk_can_be_sent_once_another_byte_follows), TEST(test_the_end_of_a_pipe_is_believed_later),
          TEST(test_the_end_of_a_file_is_believed_at_once), TEST(test_an_empty_input_has_no_chunk),
          TEST(test_the_input_waits_when_the_memory_is_full), TEST(test_two_large_chunks_are_always_kept),
          TEST(test_small_chunks_are_counted), TEST(test_chunks_grow), TEST(test_held_chunks_are_found_in_order),
          TEST(test_an_input_longer_than_its_chunks_is_found), TEST(test_a_read_error_is_kept))
