#include "data_server_fixture.h"
#include "insecure.h"
#include "pure/digest.h"
#include "system/clock.h"
#include <stdlib.h>
#include <unistd.h>

struct served served;
const struct id128 served_journal = {{1}}, served_self = {{2}}, served_upload = {{3}};

void served_write_file(void) {
    for (size_t i = 0; i < SERVED_SIZE; i++)
        served.bytes[i] = (char)(i * 7 + i / 251);
    file_put("d/f", slice_make(served.bytes, SERVED_SIZE));
}

struct file *served_add_file(const char *path, const struct id128 *upload) {
    struct geometry wanted = {.chunk_size = 1u << 20, .chunks = 1};
    struct source_identity id;
    struct stat st;
    struct file *f;
    char *real = realpath(path, NULL);
    assert_non_null(real);
    assert_int_equal(stat(real, &st), 0);
    fileid_from_stat(&st, &id);
    wanted.size = id.size;
    assert_int_equal(files_add(&served.files, real, "file:///out/f", &id, &wanted, &f), 0);
    files_set_upload(&served.files, f, upload);
    f->state = FILE_PUT;
    free(real);
    return f;
}

int served_set_up(void **state) {
    (void)state;
    memset(&served, 0, sizeof served);
    (void)mkdir("d", 0700);
    served_write_file();
    served.file = served_add_file("d/f", &served_upload);
    served.now_ms = clock_ms();
    assert_int_equal(data_server_new(&served.data, "tcp://127.0.0.1:*", &served.files), 0);
    assert_int_equal(endpoint_open(&served.peer, ENDPOINT_FETCH, endpoint_address(data_server_endpoint(served.data))),
                     0);
    return 0;
}

int served_tear_down(void **state) {
    (void)state;
    msg_release(&served.answer);
    frame_release(&served.frame);
    endpoint_close(&served.peer);
    data_server_destroy(&served.data);
    files_release(&served.files);
    endpoint_shutdown_all();
    unlink("d/f");
    rmdir("d");
    return 0;
}

void served_step(void) {
    served.deadline_ms = served.now_ms + 1000;
    assert_int_equal(data_server_step(served.data, &served_journal, &served_self, served.now_ms, &served.deadline_ms),
                     0);
}

void served_ask_as(uint64_t number, const struct id128 *journal, struct msg_fetch q) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_FETCH, .journal = *journal, .sender = served_self, .number = number, .fetch = q};
    struct wait_item item = {.endpoint = served.peer, .want = ENDPOINT_OUT};
    assert_int_equal(msg_encode(&m, &out), 0);
    assert_int_equal(endpoint_wait(&item, 1, PATIENCE_MS), 0);
    assert_int_equal(endpoint_send(served.peer, NULL, 0, buf_slice(&out)), 0);
    buf_release(&out);
}

void served_ask(uint64_t number, struct msg_fetch q) {
    served_ask_as(number, &served_journal, q);
}

bool served_next(int wait_ms) {
    uint64_t end = clock_ms() + (uint64_t)wait_ms;
    msg_release(&served.answer);
    for (;;) {
        served_step();
        struct wait_item item = {.endpoint = served.peer, .want = ENDPOINT_IN};
        assert_int_equal(endpoint_wait(&item, 1, 2), 0);
        if (endpoint_recv(served.peer, &served.frame) == 0)
            break;
        if (clock_ms() > end)
            return false;
    }
    assert_int_equal(msg_decode(served.frame.data, &served.answer), 0);
    assert_int_equal(served.answer.type, MSG_DATA);
    assert_true(id_equal(&served.answer.journal, &served_journal) && id_equal(&served.answer.sender, &served_self));
    return true;
}

void served_expect(enum data_state state) {
    assert_true(served_next(PATIENCE_MS));
    assert_int_equal(served.answer.data.state, state);
}

void served_expect_bytes(enum data_state state, uint64_t offset, uint64_t from, size_t len) {
    const char *bytes = served.bytes + offset + from;
    served_expect(state);
    assert_int_equal(served.answer.data.position, from);
    assert_int_equal(served.answer.data.bytes.len, len);
    assert_memory_equal(served.answer.data.bytes.ptr, bytes, len);
    assert_int_equal(served.answer.data.crc, crc32c_add(0, bytes, len));
}
