/* The server of FETCH on real sockets; the test plays the uploader: content, order, credit and refusals. */
#include "files.h"
#include "insecure.h"
#include "producer/data/server.h"
#include "pure/digest.h"
#include "pure/proto.h"
#include "system/clock.h"
#include "unit.h"
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define SIZE (3u * PROTO_PIECE_MAX + 100)

static struct files files;
static struct file *file;
static struct data_server *data;
static struct endpoint *peer;
static struct frame frame;
static struct msg answer;
static uint64_t now_ms, deadline_ms;
static const struct id128 journal = {{1}}, self = {{2}}, upload = {{3}}, stranger = {{9}};
static char bytes[SIZE], path[4096];

static void write_file(void) {
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    file_put("d/f", slice_make(bytes, SIZE));
}

static int set_up(void **state) {
    (void)state;
    struct stat st;
    struct source_identity id;
    struct geometry wish = {.size = SIZE, .chunk_size = 1u << 20, .chunks = 1};
    (void)mkdir("d", 0700);
    write_file();
    assert_non_null(realpath("d/f", path));
    assert_int_equal(stat(path, &st), 0);
    fileid_from_stat(&st, &id);
    memset(&files, 0, sizeof files);
    assert_int_equal(files_add(&files, path, "file:///out/f", &id, &wish, &file), 0);
    files_set_upload(&files, file, &upload);
    file->state = FILE_PUT;
    now_ms = clock_ms();
    assert_int_equal(data_server_new(&data, "tcp://127.0.0.1:*", &files), 0);
    assert_int_equal(endpoint_open(&peer, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(data))), 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    msg_release(&answer);
    frame_release(&frame);
    endpoint_close(&peer);
    data_server_destroy(&data);
    files_release(&files);
    endpoint_shutdown_all();
    unlink("d/f");
    rmdir("d");
    return 0;
}

static void step(void) {
    deadline_ms = now_ms + 1000;
    assert_int_equal(data_server_step(data, &journal, &self, now_ms, &deadline_ms), 0);
}

static void ask_as(uint64_t number, const struct id128 *of, struct msg_fetch q) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_FETCH, .journal = *of, .sender = self, .number = number, .fetch = q};
    struct wait_item item = {.endpoint = peer, .want = ENDPOINT_OUT};
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    assert_int_equal(endpoint_send(peer, NULL, 0, buf_slice(&out)), 0);
    buf_release(&out);
}

static void ask(uint64_t number, struct msg_fetch q) {
    ask_as(number, &journal, q);
}

/* Receives the next DATA into `answer`; false: none arrived within wait_ms of the server's turns. */
static bool next(int wait_ms) {
    uint64_t end = clock_ms() + (uint64_t)wait_ms;
    msg_release(&answer);
    for (;;) {
        step();
        struct wait_item item = {.endpoint = peer, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, 2), 0);
        if (endpoint_recv(peer, &frame) == 0)
            break;
        if (clock_ms() > end)
            return false;
    }
    assert_int_equal(msg_decode(frame.data, &answer), 0);
    assert_int_equal(answer.type, MSG_DATA);
    assert_true(id_equal(&answer.journal, &journal) && id_equal(&answer.sender, &self));
    return true;
}

static void expect(enum data_state state) {
    assert_true(next(PATIENCE_MS));
    assert_int_equal(answer.data.state, state);
}

/* Expects len bytes from the position `from`. */
static void expect_bytes(enum data_state state, uint64_t offset, uint64_t from, size_t len) {
    expect(state);
    assert_int_equal(answer.data.position, from);
    assert_int_equal(answer.data.bytes.len, len);
    assert_memory_equal(answer.data.bytes.ptr, bytes + offset + from, len);
    assert_int_equal(answer.data.crc, crc32c_add(0, bytes + offset + from, len));
}

static void test_data_is_sent_up_to_the_credit(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = PROTO_PIECE_MAX};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_false(next(100));
    q.credit = SIZE;
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    expect_bytes(DATA_BYTES, 0, 2u * PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    expect_bytes(DATA_UNCHANGED, 0, 3u * PROTO_PIECE_MAX, 100);
    assert_int_equal(data_server_transfers(data), 0);
}

static void test_a_range_from_a_position(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .offset = 1000, .length = 5000, .position = 2000, .credit = 5000});
    expect_bytes(DATA_UNCHANGED, 1000, 2000, 3000);
}

static void test_the_checksum_is_sent_ahead(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .length = SIZE, .credit = 10, .ahead = true});
    expect(DATA_AHEAD);
    assert_int_equal(answer.data.crc, crc32c_add(0, bytes, SIZE));
    expect_bytes(DATA_BYTES, 0, 0, 10);
}

static void test_length_zero_asks_whether_it_is_unchanged(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload};
    ask(1, q);
    expect(DATA_UNCHANGED);
    assert_int_equal(truncate("d/f", 10), 0);
    ask(2, q);
    expect(DATA_CHANGED);
    assert_true(slice_equal(answer.data.why, slice_of("size changed")));
}

static void test_repeated_requests(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = PROTO_PIECE_MAX};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    ask(1, q); /* no data is sent again, but the answer shows that the server is alive */
    expect(DATA_WAITING);
    q.cancel = true;
    ask(1, q);
    q.cancel = false;
    q.position = PROTO_PIECE_MAX / 2;
    ask(1, q); /* the transfer is unknown now and begins at the position of the request */
    expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX / 2, PROTO_PIECE_MAX / 2);
}

static void test_changed_while_it_is_fetched(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = PROTO_PIECE_MAX};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_int_equal(rename("d/f", "d/g"), 0);
    write_file(); /* another file at its path */
    q.credit = 2u * PROTO_PIECE_MAX;
    ask(1, q);
    expect(DATA_CHANGED);
    assert_int_equal(answer.data.bytes.len, 0);
    unlink("d/g");
}

/* Its directory was replaced by another one, which the descriptor does not show. */
static void test_another_file_at_its_path(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = PROTO_PIECE_MAX};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, PROTO_PIECE_MAX);
    assert_int_equal(rename("d", "moved"), 0);
    assert_int_equal(mkdir("d", 0700), 0);
    write_file();
    q.credit = SIZE;
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    expect_bytes(DATA_BYTES, 0, 2u * PROTO_PIECE_MAX, PROTO_PIECE_MAX);
    expect(DATA_CHANGED); /* instead of the last bytes */
    assert_int_equal(answer.data.bytes.len, 0);
    assert_true(slice_equal(answer.data.why, slice_of("replaced by another file")));
    unlink("moved/f");
    rmdir("moved");
}

static void test_gone_files(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = SIZE};
    assert_int_equal(unlink("d/f"), 0);
    ask(1, q);
    expect(DATA_UNREADABLE);
    assert_true(slice_equal(answer.data.why, slice_of("No such file or directory")));
}

static void test_only_planned_files_and_their_ranges(void **state) {
    (void)state;
    const struct msg_fetch odd[] = {
        {.upload = stranger, .length = 10, .credit = 10},
        {.upload = upload, .length = SIZE + 1, .credit = 10},
        {.upload = upload, .offset = SIZE, .length = 1, .credit = 1},
        {.upload = upload, .offset = INT64_MAX, .length = INT64_MAX, .credit = 1},
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        ask(10 + i, odd[i]);
        expect(DATA_UNKNOWN);
    }
    file->state = FILE_PLAN;
    ask(20, (struct msg_fetch){.upload = upload, .length = 10, .credit = 10});
    expect(DATA_UNKNOWN);
    assert_int_equal(data_server_transfers(data), 0);
}

static void test_strangers_get_nothing(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = 10, .credit = 10};
    ask_as(1, &stranger, q); /* of another journal */
    ask(0, q);               /* no number */
    q.credit = 11;
    ask(2, q); /* more credit than range */
    q.credit = 10, q.position = 11;
    ask(3, q);
    char garbage[PROTO_FETCH_MAX];
    uint32_t random = 12345;
    for (int i = 0; i < 2000; i++) {
        size_t len = random % sizeof garbage;
        for (size_t at = 0; at < len; at++)
            garbage[at] = (char)((random = random * 1664525u + 1013904223u) >> 24);
        (void)!endpoint_send(peer, NULL, 0, slice_make(garbage, len));
        random = random * 1664525u + 1013904223u;
        if (i % 16 == 0)
            step();
    }
    assert_false(next(200));
    assert_int_equal(data_server_transfers(data), 0);
}

static void test_no_data_before_the_session(void **state) {
    (void)state;
    static const struct id128 none;
    ask_as(1, &none, (struct msg_fetch){.upload = upload, .length = 10, .credit = 10});
    for (int i = 0; i < 50; i++) {
        assert_int_equal(data_server_step(data, &none, &self, now_ms, &deadline_ms), 0);
        usleep(1000);
    }
    assert_int_equal(endpoint_recv(peer, &frame), ERR_AGAIN);
}

static void test_idle_transfers_are_dropped(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .length = SIZE, .credit = 10});
    expect_bytes(DATA_BYTES, 0, 0, 10);
    assert_int_equal(data_server_transfers(data), 1);
    now_ms += DATA_TRANSFER_IDLE_MS - 1;
    step();
    assert_int_equal(data_server_transfers(data), 1);
    now_ms += 2000;
    step();
    assert_int_equal(data_server_transfers(data), 0);
}

static void test_transfers_are_bounded(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = 1};
    for (uint64_t n = 1; n <= DATA_TRANSFERS_MAX + 100; n++) {
        ask(n, q);
        if (n % 64 == 0)
            while (next(1))
                ;
    }
    while (next(50))
        ;
    assert_int_equal(data_server_transfers(data), DATA_TRANSFERS_MAX);
}

/* A peer requests everything and reads nothing: its queue is bounded, and others are served. */
static void test_a_peer_that_does_not_read_delays_no_other(void **state) {
    (void)state;
    struct endpoint *deaf;
    assert_int_equal(endpoint_open(&deaf, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(data))), 0);
    struct buf out = BUF_INIT;
    for (uint64_t n = 1; n <= 200; n++) {
        struct msg m = {.type = MSG_FETCH,
                        .journal = journal,
                        .sender = self,
                        .number = n,
                        .fetch = {.upload = upload, .length = SIZE, .credit = SIZE}};
        struct wait_item item = {.endpoint = deaf, .want = ENDPOINT_OUT};
        buf_clear(&out);
        assert_int_equal(msg_encode(&m, &out), 0);
        assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
        assert_int_equal(endpoint_send(deaf, NULL, 0, buf_slice(&out)), 0);
        step();
    }
    for (int i = 0; i < 200; i++) {
        step();
        usleep(1000);
    }
    assert_true(data_server_transfers(data) > 100); /* 150 MiB were requested */
    assert_true(deadline_ms > now_ms);              /* it does not spin */
    ask(1, (struct msg_fetch){.upload = upload, .length = 5000, .credit = 5000});
    expect_bytes(DATA_UNCHANGED, 0, 0, 5000);
    buf_release(&out);
    endpoint_close(&deaf);
}

/* Files of sysfs claim the size of a page and end earlier. */
static void test_a_file_that_is_shorter_than_its_size(void **state) {
    static const char sysfs[] = "/sys/kernel/uevent_seqnum";
    static const struct id128 upload_of_sysfs = {{4}};
    struct geometry wanted = {.chunk_size = 1u << 20, .chunks = 1};
    struct source_identity id;
    struct file *short_file;
    struct stat st;
    (void)state;
    if (stat(sysfs, &st) != 0 || st.st_size < 1024)
        skip();
    fileid_from_stat(&st, &id);
    wanted.size = id.size;
    assert_int_equal(files_add(&files, sysfs, "file:///out/s", &id, &wanted, &short_file), 0);
    files_set_upload(&files, short_file, &upload_of_sysfs);
    short_file->state = FILE_PUT;
    ask(1, (struct msg_fetch){.upload = upload_of_sysfs, .length = id.size, .credit = id.size});
    expect(DATA_UNREADABLE);
    char why[200];
    snprintf(why, sizeof why, "%.*s", (int)answer.data.why.len, answer.data.why.ptr);
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
    static const enum file_state served[] = {FILE_CHUNKS, FILE_FINISH, FILE_PUT},
                                 others[] = {FILE_PLAN, FILE_CHECK, FILE_VERIFY, FILE_CLEAR, FILE_BEGIN};
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = 10, .credit = 10};
    for (size_t i = 0; i < sizeof served / sizeof *served; i++) {
        file->state = served[i];
        ask(10 + i, q);
        expect_bytes(DATA_UNCHANGED, 0, 0, 10);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        file->state = others[i];
        ask(20 + i, q);
        expect(DATA_UNKNOWN);
    }
}

static void test_last_byte_of_the_file(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .offset = SIZE - 1, .length = 1, .credit = 1});
    expect_bytes(DATA_UNCHANGED, SIZE - 1, 0, 1);
    ask(2, (struct msg_fetch){.upload = upload, .offset = SIZE, .length = 0});
    expect(DATA_UNCHANGED);
    ask(3, (struct msg_fetch){.upload = upload, .offset = SIZE + 1, .length = 0});
    expect(DATA_UNKNOWN);
}

/* The same number with another range is another transfer. */
static void test_number_that_is_used_again(void **state) {
    static const struct msg_fetch others[] = {{.upload = {{3}}, .offset = 5, .length = 100, .credit = 50},
                                              {.upload = {{3}}, .offset = 0, .length = 101, .credit = 50},
                                              {.upload = {{9}}, .offset = 0, .length = 100, .credit = 50}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        ask(1, (struct msg_fetch){.upload = upload, .length = 100, .credit = 50});
        expect_bytes(DATA_BYTES, 0, 0, 50);
        ask(1, others[i]);
        if (i < 2)
            expect_bytes(DATA_BYTES, others[i].offset, 0, 50);
        else
            expect(DATA_UNKNOWN);
        assert_int_equal(data_server_transfers(data), i < 2 ? 1 : 0);
        ask(1, (struct msg_fetch){.upload = upload, .cancel = true});
        assert_false(next(20));
    }
}

static void test_peers_have_numbers_of_their_own(void **state) {
    (void)state;
    struct endpoint *first = peer, *second;
    struct msg_fetch q = {.upload = upload, .length = 100, .credit = 50};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, 50);
    assert_int_equal(endpoint_open(&second, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(data))), 0);
    peer = second;
    q.credit = 60;
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, 60);
    assert_int_equal(data_server_transfers(data), 2);
    peer = first;
    endpoint_close(&second);
}

static void test_transfer_is_dropped_after_exactly_its_idle_time(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .length = SIZE, .credit = 10});
    expect_bytes(DATA_BYTES, 0, 0, 10);
    now_ms += DATA_TRANSFER_IDLE_MS;
    step();
    assert_int_equal(data_server_transfers(data), 0);
}

/* A request keeps the transfer, also without more credit. */
static void test_request_restarts_the_idle_time(void **state) {
    (void)state;
    struct msg_fetch q = {.upload = upload, .length = SIZE, .credit = 10};
    ask(1, q);
    expect_bytes(DATA_BYTES, 0, 0, 10);
    now_ms += DATA_TRANSFER_IDLE_MS - 1000;
    ask(1, q);
    expect(DATA_WAITING);
    now_ms += DATA_TRANSFER_IDLE_MS - 1000;
    step();
    assert_int_equal(data_server_transfers(data), 1);
}

/* More than DATA_STEP_BYTES: the rest follows at once. */
static void test_large_request_takes_several_turns(void **state) {
    (void)state;
    uint64_t far = 0;
    for (uint64_t n = 1; n <= 40; n++)
        ask(n, (struct msg_fetch){.upload = upload, .length = SIZE, .credit = SIZE, .ahead = true});
    for (int i = 0; i < 200 && far != now_ms; i++) {
        step();
        far = deadline_ms;
        usleep(1000);
    }
    assert_int_equal(far, now_ms);
}

static void test_checksum_of_a_small_range_takes_one_turn(void **state) {
    (void)state;
    ask(1, (struct msg_fetch){.upload = upload, .length = SIZE, .ahead = true});
    for (uint64_t end = clock_ms() + PATIENCE_MS; endpoint_recv(peer, &frame) != 0;) {
        struct wait_item item = {.endpoint = peer, .want = ENDPOINT_IN};
        assert_true(clock_ms() < end);
        step();
        assert_true(deadline_ms > now_ms); /* nothing is left to read */
        assert_int_equal(endpoint_wait(&item, 1, 2), 0);
    }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

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
          TEST(test_large_request_takes_several_turns), TEST(test_checksum_of_a_small_range_takes_one_turn))
