/*
 * A fetched source and its producer. The test plays the producer: it receives each FETCH and decides the answer. The
 * time is now_ms, which only the test moves.
 */
#ifndef CHUNKLIFT_FETCH_FIXTURE_H
#define CHUNKLIFT_FETCH_FIXTURE_H

#include "unit.h"

#include "pure/digest.h"
#include "pure/proto.h"
#include "system/clock.h"
#include "uploader/source/fetch.h"
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define LEASE_MS 10000
#define PIECE PROTO_PIECE_MAX
#define LENGTH ((uint64_t)10 * PIECE + 100)
#define OFFSET 4096

extern struct endpoint *producer;
extern struct fetches *fetches;
extern struct source *source;
extern struct msg question; /* the last FETCH */
extern uint64_t now_ms;
extern const struct id128 journal, self, upload, other;
extern char bytes[10 * PIECE + 100], got[10 * PIECE + 100]; /* of the file; read from the source */

#define FETCH_TEST(name) cmocka_unit_test_setup_teardown(name, fetch_fixture_setup, fetch_fixture_teardown)
int fetch_fixture_setup(void **state);
int fetch_fixture_teardown(void **state);

extern struct source_ref planned;
/* Opens a range of the file `planned` of the producer at address. */
int open_at(struct source **s, const char *address, uint64_t offset, uint64_t length, bool ahead) MUST_CHECK;
/* Opens `source`. */
void open_range(uint64_t length, bool ahead);
/* Receives the next FETCH into `question`. False: none came for wait_ms. */
bool asked(int wait_ms);
void expect_question(uint64_t position, uint64_t credit);
void send_bytes(struct slice text); /* to the sender of `question` */
void send_data(uint64_t number, struct msg_data d, const struct id128 *of);
/* Answers `question`. */
void send_answer(struct msg_data d);
/* An answer with bytes of the file. */
struct msg_data piece(enum data_state state, uint64_t from, size_t len);
/* Handles messages until the source is ready, at most for wait_ms. */
bool ready(int wait_ms);
/* Handles the messages that are on the way. */
void settle(void);

#endif
