/*
 * A consumer without a socket, for tests: a real journal in the test's directory, peers that send encoded messages, a
 * clock that only the test moves, and a list of all messages that the consumer sent.
 */
#ifndef CHUNKLIFT_CONSUMER_WORLD_H
#define CHUNKLIFT_CONSUMER_WORLD_H

#include "unit.h"

#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/journal/snapshot_file.h"
#include "consumer/ledger.h"
#include "consumer/reply.h"
#include "consumer/state/snapshot.h"
#include "system/fileid.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define JOURNAL_DIR "journal"
#define PART ((uint64_t)8 << 20)
#define SENT_MAX 4096

struct world_sent {
    char to[ROUTE_MAX + 1];
    struct buf frame;
    struct msg msg;
};
/* The world of the running test. */
extern struct world {
    struct consumer *c;
    struct consumer_options o;
    uint64_t now;
    struct world_sent sent[SENT_MAX];
    size_t count;
    uint64_t number;
    uint32_t abilities;   /* of the next HELLO */
    struct curve_key key; /* of the sender; empty: without keys */
    int send_error;       /* the result of sending */
    uint64_t fsyncs;      /* fdatasyncs so far */
    uint64_t last_fsyncs; /* when the last frame was sent */
    bool disk_broken;
} world;

/* The disk: it counts fdatasyncs, which have no other effect, and fails while disk_broken. */
extern const struct journal_io world_io;

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

/* ---- life ---- */

/* An empty journal and a started consumer. */
int world_setup(void **state);
int world_teardown(void **state);

/* Starts the consumer on the journal in the directory. */
void world_start(void);

/* kill -9: no message is sent and no record is written. */
void world_kill(void);

/* Time passes. At its end the socket was read until empty. */
void world_advance(uint64_t ms);

/* ---- messages ---- */

/* Sends a frame of the consumer: decodes it into the list. Fails the test before the commit of its records. */
int world_send(void *arg, const void *route, size_t len, struct slice frame);
void world_clear_sent(void);

/* A peer is a letter, which is its incarnation and its routing id. */
struct id128 world_incarnation(char peer);

/* Delivers m and runs a round. Returns the number of the request. */
uint64_t world_deliver(char peer, struct msg *m);
void world_deliver_bytes(char peer, struct slice bytes);

/* The last message of this type to this peer; NULL: there is none. */
const struct msg *world_last(char peer, enum msg_type type);

/* The reply to the last request, which must be of this type. */
const struct msg *world_answer(char peer, enum msg_type type);

void world_hello(char peer, enum role role);
void world_bye(char peer);

/* The producer 'P' and the uploaders 'U' and 'V'. */
void world_join(void);

/* ---- jobs ----
 * Each of these functions sends one request, checks its reply, and returns the reply's only item. */

struct plan_file world_file(const char *path, const char *dest, uint64_t size);
struct planned_file world_plan(char peer, const struct plan_file *file);

struct ref world_ref(enum job_kind kind, struct id128 upload, uint32_t chunk);
struct verdict world_claim(char peer, struct ref ref, const char *handle);
struct verdict world_claim_held(char peer, struct ref ref, const char *handle, bool held);

/* A result with outcome done; world_done sends such a one. */
struct result world_result(struct ref ref, const char *handle);
struct ack world_complete(char peer, const struct result *result);
struct ack world_done(char peer, struct ref ref, const char *handle);

/* A HEARTBEAT with at most 16 leases; the number of leases that its reply calls invalid. */
void world_beat(char peer, const struct ref *refs, size_t count, uint32_t free_places);
size_t world_invalid(char peer);
void world_release(char peer, struct ref ref, enum why why);

/* Planned by this producer, begun by this uploader with handle "H". */
struct id128 world_begun(char producer, char uploader, const char *path, const char *dest, uint32_t chunks);

/* Claims and completes one chunk, or the end of the upload. */
void world_chunk(char uploader, struct id128 id, uint32_t chunk);
void world_finish(char uploader, struct id128 id);

/* ---- the journal ---- */

/* The reply to TAIL, after the pause between two replies. */
const struct msg_records *world_tail(char peer, uint64_t seq, uint64_t event, enum tail_filter filter,
                                     struct id128 upload);

/* The number of times that the text is in the journal. */
unsigned world_occurrences(const char *match);

/* The number of journal lines with this ev. */
unsigned world_count(const char *ev);

#endif
