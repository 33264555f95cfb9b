/* A server of FETCH with one planned file, d/f in the current directory. The test plays the uploader, and sets the time of
 * the server. */
#ifndef CHUNKLIFT_DATA_SERVER_FIXTURE_H
#define CHUNKLIFT_DATA_SERVER_FIXTURE_H

#include "files.h"
#include "producer/data/server.h"
#include "pure/proto.h"
#include "unit.h"

#define PATIENCE_MS 20000
#define SERVED_SIZE (3u * PROTO_PIECE_MAX + 100)

extern struct served {
    struct files files;
    struct file *file;
    struct data_server *data;
    struct endpoint *peer; /* of the uploader */
    struct frame frame;
    struct msg answer;            /* the last DATA */
    uint64_t now_ms, deadline_ms; /* of the last step */
    char bytes[SERVED_SIZE];      /* of the file */
} served;
extern const struct id128 served_journal, served_self, served_upload;

int served_set_up(void **state);
int served_tear_down(void **state);

/* Creates the file. */
void served_write_file(void);
/* Plans a file to be served, of this path, under this upload. */
struct file *served_add_file(const char *path, const struct id128 *upload);

void served_step(void);

void served_ask_as(uint64_t number, const struct id128 *journal, struct msg_fetch q);
void served_ask(uint64_t number, struct msg_fetch q);

/* Receives the next DATA into the answer; false: none arrived within wait_ms of the server's steps. */
bool served_next(int wait_ms);
void served_expect(enum data_state state);
/* Expects len bytes from the position `from` of a transfer from offset. */
void served_expect_bytes(enum data_state state, uint64_t offset, uint64_t from, size_t len);

#endif
