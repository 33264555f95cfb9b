/* The server of FETCH on real sockets; the test plays the uploader: content, order, credit and refusals. */
#include "data_server_fixture.h"
#include "producer/source/stream.h"
#include "pure/digest.h"
#include "system/clock.h"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const struct id128 stranger = {{9}};

static void test_data_is_sent_up_to_the_credit(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = PROTO_PIECE_MAX};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_false(served_next(100));
    q.credit = SERVED_SIZE;
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    served_expect_bytes(DATA_BYTES, 0, 2u * PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    served_expect_bytes(DATA_UNCHANGED, 0, 3u * PROTO_PIECE_MAX, 100);
    assert_int_equal(data_server_transfers(served.data), 0);
}

static void test_a_range_from_a_position(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){
                      .upload = served_upload, .offset = 1000, .length = 5000, .position = 2000, .credit = 5000});
    served_expect_bytes(DATA_UNCHANGED, 1000, 2000, 3000);
}

static void test_the_checksum_is_sent_ahead(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .credit = 10, .ahead = true});
    served_expect(DATA_AHEAD);
    assert_int_equal(served.answer.data.crc, crc32c_add(0, served.bytes, SERVED_SIZE));
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
}

static void test_length_zero_asks_whether_it_is_unchanged(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload};
    served_ask(1, q);
    served_expect(DATA_UNCHANGED);
    assert_int_equal(truncate("d/f", 10), 0);
    served_ask(2, q);
    served_expect(DATA_CHANGED);
    assert_true(slice_equal(served.answer.data.why, slice_of("size changed")));
}

static void test_repeated_requests(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = PROTO_PIECE_MAX};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    served_ask(1, q); /* no data is sent again, but the answer shows that the server is alive */
    served_expect(DATA_WAITING);
    q.cancel = true;
    served_ask(1, q);
    q.cancel = false;
    q.position = PROTO_PIECE_MAX / 2;
    served_ask(1, q); /* the transfer is unknown now and begins at the position of the request */
    served_expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX / 2, PROTO_PIECE_MAX / 2);
}

static void test_changed_while_it_is_fetched(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = PROTO_PIECE_MAX};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_int_equal(rename("d/f", "d/g"), 0);
    served_write_file(); /* another file at its path */
    q.credit = 2u * PROTO_PIECE_MAX;
    served_ask(1, q);
    served_expect(DATA_CHANGED);
    assert_int_equal(served.answer.data.bytes.len, 0);
    unlink("d/g");
}

/* Its directory was replaced by another one, which the descriptor does not show. */
static void test_another_file_at_its_path(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = PROTO_PIECE_MAX};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_int_equal(rename("d", "moved"), 0);
    assert_int_equal(mkdir("d", 0700), 0);
    served_write_file();
    q.credit = SERVED_SIZE;
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    served_expect_bytes(DATA_BYTES, 0, 2u * PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    served_expect(DATA_CHANGED); /* instead of the last bytes */
    assert_int_equal(served.answer.data.bytes.len, 0);
    assert_true(slice_equal(served.answer.data.why, slice_of("replaced by another file")));
    unlink("moved/f");
    rmdir("moved");
}

static void test_gone_files(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = SERVED_SIZE};
    assert_int_equal(unlink("d/f"), 0);
    served_ask(1, q);
    served_expect(DATA_UNREADABLE);
    assert_true(slice_equal(served.answer.data.why, slice_of("No such file or directory")));
}

static void test_only_planned_files_and_their_ranges(void **state) {
    (void)state;
    const struct msg_fetch odd[] = {
        {.upload = stranger, .length = 10, .credit = 10},
        {.upload = served_upload, .length = SERVED_SIZE + 1, .credit = 10},
        {.upload = served_upload, .offset = SERVED_SIZE, .length = 1, .credit = 1},
        {.upload = served_upload, .offset = INT64_MAX, .length = INT64_MAX, .credit = 1},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        served_ask(10 + i, odd[i]);
        served_expect(DATA_UNKNOWN);
    }
    served.file->state = FILE_PLAN;
    served_ask(20, (struct msg_fetch){.upload = served_upload, .length = 10, .credit = 10});
    served_expect(DATA_UNKNOWN);
    assert_int_equal(data_server_transfers(served.data), 0);
}

static void test_strangers_get_nothing(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = 10, .credit = 10};
    served_ask_as(1, &stranger, q); /* of another journal */
    served_ask(0, q);               /* no number */
    q.credit = 11;
    served_ask(2, q); /* more credit than range */
    q.credit = 10, q.position = 11;
    served_ask(3, q);
    char garbage[PROTO_FETCH_MAX];
    uint32_t random = 12345;
    for (int i = 0; i < 2000; i++) {
        size_t len = random % sizeof garbage;
        for (size_t at = 0; at < len; at++)
            garbage[at] = (char)((random = random * 1664525u + 1013904223u) >> 24);
        (void)!endpoint_send(served.peer, NULL, 0, slice_make(garbage, len));
        random = random * 1664525u + 1013904223u;
        if (i % 16 == 0)
            served_step();
    }
    assert_false(served_next(200));
    assert_int_equal(data_server_transfers(served.data), 0);
}

static void test_no_data_before_the_session(void **state) {
    (void)state;
    static const struct id128 none;
    served_ask_as(1, &none, (struct msg_fetch){.upload = served_upload, .length = 10, .credit = 10});
    for (int i = 0; i < 50; i++) {
        assert_int_equal(data_server_step(served.data, &none, &served_self, served.now_ms, &served.deadline_ms), 0);
        usleep(1000);
    }
    assert_int_equal(endpoint_recv(served.peer, &served.frame), ERR_AGAIN);
}

static void test_idle_transfers_are_dropped(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .credit = 10});
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
    assert_int_equal(data_server_transfers(served.data), 1);
    served.now_ms += DATA_TRANSFER_IDLE_MS - 1;
    served_step();
    assert_int_equal(data_server_transfers(served.data), 1);
    served.now_ms += 2000;
    served_step();
    assert_int_equal(data_server_transfers(served.data), 0);
}

static void test_transfers_are_bounded(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = 1};
    for (uint64_t n = 1; n <= DATA_TRANSFERS_MAX + 100; n++) {
        served_ask(n, q);
        if (n % 64 == 0)
            while (served_next(1))
                ;
    }
    while (served_next(50))
        ;
    assert_int_equal(data_server_transfers(served.data), DATA_TRANSFERS_MAX);
}

/* A peer requests everything and reads nothing: its queue is bounded, and others are served. */
static void test_a_peer_that_does_not_read_delays_no_other(void **state) {
    (void)state;
    struct endpoint *deaf;
    assert_int_equal(endpoint_open(&deaf, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(served.data))), 0);
    struct buf out = BUF_INIT;
    for (uint64_t n = 1; n <= 200; n++) {
        struct msg m = {.type = MSG_FETCH,
                        .journal = served_journal,
                        .sender = served_self,
                        .number = n,
                        .fetch = {.upload = served_upload, .length = SERVED_SIZE, .credit = SERVED_SIZE}};
        struct wait_item item = {.endpoint = deaf, .want = ENDPOINT_OUT};
        buf_clear(&out);
        assert_int_equal(msg_encode(&m, &out), 0);
        assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
        assert_int_equal(endpoint_send(deaf, NULL, 0, buf_slice(&out)), 0);
        served_step();
    }
    for (int i = 0; i < 200; i++) {
        served_step();
        usleep(1000);
    }
    assert_true(data_server_transfers(served.data) > 100); /* 150 MiB were requested */
    assert_true(served.deadline_ms > served.now_ms);       /* it does not spin */
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = 5000, .credit = 5000});
    served_expect_bytes(DATA_UNCHANGED, 0, 0, 5000);
    buf_release(&out);
    endpoint_close(&deaf);
}

/* Files of sysfs claim the size of a page and end earlier. */
static void test_a_file_that_is_shorter_than_its_size(void **state) {
    static const char sysfs[] = "/sys/kernel/uevent_seqnum";
    static const struct id128 upload_of_sysfs = {{4}};
    struct stat st;
    (void)state;
    if (stat(sysfs, &st) != 0 || st.st_size < 1024)
        skip();
    uint64_t size = served_add_file(sysfs, &upload_of_sysfs)->id.size;
    served_ask(1, (struct msg_fetch){.upload = upload_of_sysfs, .length = size, .credit = size});
    served_expect(DATA_UNREADABLE);
    char why[200];
    snprintf(why, sizeof why, "%.*s", (int)served.answer.data.why.len, served.answer.data.why.ptr);
    assert_non_null(strstr(why, "4096"));
}

static void test_default_addresses(void **state) {
    (void)state;
    static const struct {
        const char *jobs, *beside;
        int err;
    } cases[] = {
        {"tcp://10.0.0.1:7700", "tcp://10.0.0.1:7702", 0},
        {"tcp://0.0.0.0:7700", "tcp://0.0.0.0:7702", 0},
        {"tcp://[::1]:7700", "tcp://[::1]:7702", 0},
        {"tcp://127.0.0.1:*", "tcp://127.0.0.1:*", 0},
        {"tcp://host:65533", "tcp://host:65535", 0},
        {"tcp://host:65534", NULL, ERR_INVALID},
        {"tcp://host:", NULL, ERR_INVALID},
        {"tcp://host:0", NULL, ERR_INVALID},
        {"tcp://host:77x", NULL, ERR_INVALID},
        {"tcp://host:1", "tcp://host:3", 0},
        {"ipc:///run/jobs", NULL, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out = BUF_INIT;
        assert_int_equal(data_server_default_address(cases[i].jobs, &out), cases[i].err);
        if (cases[i].beside)
            assert_string_equal(out.data, cases[i].beside);
        buf_release(&out);
    }
}

static void test_files_are_served_while_their_upload_runs(void **state) {
    static const enum file_state running[] = {FILE_CHUNKS, FILE_FINISH, FILE_PUT},
                                 others[] = {FILE_PLAN, FILE_CHECK, FILE_VERIFY, FILE_CLEAR, FILE_BEGIN};
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = 10, .credit = 10};
    for (size_t i = 0; i < sizeof running / sizeof *running; i++) {
        served.file->state = running[i];
        served_ask(10 + i, q);
        served_expect_bytes(DATA_UNCHANGED, 0, 0, 10);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        served.file->state = others[i];
        served_ask(20 + i, q);
        served_expect(DATA_UNKNOWN);
    }
}

static void test_last_byte_of_the_file(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .offset = SERVED_SIZE - 1, .length = 1, .credit = 1});
    served_expect_bytes(DATA_UNCHANGED, SERVED_SIZE - 1, 0, 1);
    served_ask(2, (struct msg_fetch){.upload = served_upload, .offset = SERVED_SIZE, .length = 0});
    served_expect(DATA_UNCHANGED);
    served_ask(3, (struct msg_fetch){.upload = served_upload, .offset = SERVED_SIZE + 1, .length = 0});
    served_expect(DATA_UNKNOWN);
}

/* The same number with another range is another transfer. */
static void test_number_that_is_used_again(void **state) {
    static const struct msg_fetch others[] = {{.upload = {{3}}, .offset = 5, .length = 100, .credit = 50},
                                              {.upload = {{3}}, .offset = 0, .length = 101, .credit = 50},
                                              {.upload = {{9}}, .offset = 0, .length = 100, .credit = 50}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        served_ask(1, (struct msg_fetch){.upload = served_upload, .length = 100, .credit = 50});
        served_expect_bytes(DATA_BYTES, 0, 0, 50);
        served_ask(1, others[i]);
        if (i < 2)
            served_expect_bytes(DATA_BYTES, others[i].offset, 0, 50);
        else
            served_expect(DATA_UNKNOWN);
        assert_int_equal(data_server_transfers(served.data), i < 2 ? 1 : 0);
        served_ask(1, (struct msg_fetch){.upload = served_upload, .cancel = true});
        assert_false(served_next(20));
    }
}

static void test_peers_have_numbers_of_their_own(void **state) {
    (void)state;
    struct endpoint *first = served.peer, *second;
    struct msg_fetch q = {.upload = served_upload, .length = 100, .credit = 50};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, 50);
    assert_int_equal(endpoint_open(&second, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(served.data))), 0);
    served.peer = second;
    q.credit = 60;
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, 60);
    assert_int_equal(data_server_transfers(served.data), 2);
    served.peer = first;
    endpoint_close(&second);
}

static void test_transfer_is_dropped_after_exactly_its_idle_time(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .credit = 10});
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
    served.now_ms += DATA_TRANSFER_IDLE_MS;
    served_step();
    assert_int_equal(data_server_transfers(served.data), 0);
}

/* A request keeps the transfer, also without more credit. */
static void test_request_restarts_the_idle_time(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = served_upload, .length = SERVED_SIZE, .credit = 10};
    served_ask(1, q);
    served_expect_bytes(DATA_BYTES, 0, 0, 10);
    served.now_ms += DATA_TRANSFER_IDLE_MS - 1000;
    served_ask(1, q);
    served_expect(DATA_WAITING);
    served.now_ms += DATA_TRANSFER_IDLE_MS - 1000;
    served_step();
    assert_int_equal(data_server_transfers(served.data), 1);
}

/* More than DATA_STEP_BYTES: the rest follows at once. */
static void test_large_request_takes_several_turns(void **state) {
    (void)state;
    uint64_t far = 0;
    for (uint64_t n = 1; n <= 40; n++)
        served_ask(n, (struct msg_fetch){
                          .upload = served_upload, .length = SERVED_SIZE, .credit = SERVED_SIZE, .ahead = true});
    for (int i = 0; i < 200 && far != served.now_ms; i++) {
        served_step();
        far = served.deadline_ms;
        usleep(1000);
    }
    assert_int_equal(far, served.now_ms);
}

static void test_checksum_of_a_small_range_takes_one_turn(void **state) {
    (void)state;
    served_ask(1, (struct msg_fetch){.upload = served_upload, .length = SERVED_SIZE, .ahead = true});
    for (uint64_t end = clock_ms() + PATIENCE_MS; endpoint_recv(served.peer, &served.frame) != 0;) {
        struct wait_item item = {.endpoint = served.peer, .want = ENDPOINT_IN};
        assert_true(clock_ms() < end);
        served_step();
        assert_true(served.deadline_ms > served.now_ms); /* nothing is left to read */
        assert_int_equal(endpoint_wait(&item, 1, 2), 0);
    }
}

static void test_a_stream_is_served_from_memory(void **state) {
    static const struct id128 upload = {{4}};
    struct geometry longest = geometry_open(0, CHUNK_ALIGN, 100, 0);
    struct stream *stream;
    bool more;
    (void)state;
    int fd = open("d/f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(stream_new(&stream, fd, &longest), 0);
    do
        assert_int_equal(stream_read(stream, 0, &more), 0);
    while (more);
    struct file *f = served_add_file("d/f", &upload);
    f->stream = stream;
    f->state = FILE_CHUNKS;
    assert_int_equal(truncate("d/f", 0), 0); /* it is not looked at again */
    struct msg_fetch q = {.upload = upload, .offset = CHUNK_ALIGN, .length = CHUNK_ALIGN, .credit = CHUNK_ALIGN};
    served_ask(1, q);
    served_expect_bytes(DATA_UNCHANGED, CHUNK_ALIGN, 0, CHUNK_ALIGN);
    q.ahead = true;
    served_ask(2, q);
    served_expect(DATA_AHEAD);
    assert_int_equal(served.answer.data.crc, crc32c_add(0, served.bytes + CHUNK_ALIGN, CHUNK_ALIGN));
    served_expect_bytes(DATA_UNCHANGED, CHUNK_ALIGN, 0, CHUNK_ALIGN);
    served_ask(3, (struct msg_fetch){.upload = upload});
    served_expect(DATA_UNCHANGED);
    stream_release(stream, 1);
    served_ask(4, q);
    served_expect(DATA_UNKNOWN);
    served_ask(5, (struct msg_fetch){.upload = upload, .length = UINT32_MAX, .credit = 1});
    served_expect(DATA_UNKNOWN);
    stream_destroy(&stream);
    close(fd);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, served_set_up, served_tear_down)

UNIT_MAIN(TEST(test_data_is_sent_up_to_the_credit), TEST(test_a_range_from_a_position),
          TEST(test_the_checksum_is_sent_ahead), TEST(test_length_zero_asks_whether_it_is_unchanged),
          TEST(test_repeated_requests), TEST(test_changed_while_it_is_fetched), TEST(test_another_file_at_its_path),
          TEST(test_gone_files), TEST(test_only_planned_files_and_their_ranges), TEST(test_strangers_get_nothing),
          TEST(test_no_data_before_the_session), TEST(test_idle_transfers_are_dropped),
          TEST(test_transfers_are_bounded), TEST(test_a_peer_that_does_not_read_delays_no_other),
          cmocka_unit_test(test_default_addresses), TEST(test_a_file_that_is_shorter_than_its_size),
          TEST(test_files_are_served_while_their_upload_runs), TEST(test_last_byte_of_the_file),
          TEST(test_number_that_is_used_again), TEST(test_peers_have_numbers_of_their_own),
          TEST(test_transfer_is_dropped_after_exactly_its_idle_time), TEST(test_request_restarts_the_idle_time),
          TEST(test_a_stream_is_served_from_memory), TEST(test_large_request_takes_several_turns),
          TEST(test_checksum_of_a_small_range_takes_one_turn))
