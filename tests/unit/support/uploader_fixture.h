/*
 * The messages of an uploader. The real uploader runs in a child process. The test plays consumer and producer,
 * and each test decides their answers.
 */
#ifndef CHUNKLIFT_UPLOADER_FIXTURE_H
#define CHUNKLIFT_UPLOADER_FIXTURE_H

#include "unit.h"

#include "pure/proto.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include "system/fileid.h"
#include "system/log.h"
#include "system/signals.h"
#include "uploader/uploader.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define CHUNK 65536u
#define CHUNKS 3u
#define SIZE (CHUNK * CHUNKS)

/* The uploader's process, its directory and its endpoints. */
extern struct uploader_fixture {
    char dir[256], source[300], allow[300], dest[340];
    char ep_consumer[64], ep_jobs[64];
    pid_t child;
    const char *bucket; /* the only allowed destination; NULL: the directory "out". Set before the set-up. */
} uploader_fixture;

/* The consumer and producer that the test plays. */
extern struct fake {
    struct endpoint *router, *push;
    struct frame frame;
    struct msg msg; /* the last one received */
    struct id128 journal, id;
    uint64_t epoch;
    uint32_t lease_ms;
    bool silent;     /* HEARTBEATs are not answered */
    uint32_t unheld; /* HEARTBEATs without a lease since the last with one */
    uint32_t leases; /* in the last HEARTBEAT */
    uint8_t peer[16];
    size_t peer_len;
} fake;

#define TEST(name) cmocka_unit_test_setup_teardown(name, uploader_fixture_setup, uploader_fixture_teardown)

/* Starts the uploader, and opens the endpoints. The teardown kills it. */
int uploader_fixture_setup(void **state);
int uploader_fixture_teardown(void **state);

/* Sends a signal. Returns the exit status; its last messages are answered. */
int uploader_fixture_stop(int signal_number);

/* True: the destination exists. */
bool dest_exists(void);

/* --- messages --- */

/* Sends m to the peer of the last message. */
void fake_reply(struct msg *m);

/* The next message of this type; others are answered or skipped. NULL: none came before the deadline. */
struct msg *fake_next(enum msg_type type, uint64_t deadline_ms);

/* The next message of this type. The test fails when none comes in PATIENCE_MS. */
struct msg *fake_expect(enum msg_type type);

struct job fake_job(enum job_kind kind, uint8_t upload);
void fake_offer(const struct job *jobs, size_t count);

/* Answers all claims with this verdict; records all results. At most 16. */
void fake_verdict(const struct msg *claim, enum verdict_kind kind);
void fake_ack(const struct msg *complete);

/* Offers and grants a finish job. Returns the uploader's request for the parts. */
struct msg *fake_grant_finish(void);

#endif
