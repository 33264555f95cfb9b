/*
 * An uploader in the process of the test. The test plays the consumer, the producer and the backends, and calls the
 * phases of the uploader's loop itself. The uploader's time is u->now_ms, which only the test moves.
 *
 * Messages go over real sockets. The backends are those of the uploader with other functions: a started transfer moves
 * no byte and runs until the test ends it.
 */
#ifndef CHUNKLIFT_UPLOADER_WORLD_H
#define CHUNKLIFT_UPLOADER_WORLD_H

#include "unit.h"

#include "system/clock.h"
#include "system/log.h"
#include "uploader/uploader.h"
#include "uploader/uploader_internal.h"
#include <stdlib.h>
#include <unistd.h>

#define WORLD_PATIENCE_MS 20000
#define WORLD_LEASE_MS 10000
#define WORLD_CHUNK 65536u
#define WORLD_CHUNKS 3u
#define WORLD_SIZE ((uint64_t)WORLD_CHUNK * WORLD_CHUNKS)
#define WORLD_STORE "http://127.0.0.1:9" /* the endpoint of the S3 destination */
#define WORLD_SENT_MAX 64
#define WORLD_SLOTS 2
#define WORLD_KEYS_MAX 8

extern struct uploader_world {
    struct uploader *u;
    struct settings settings;
    char dir[256], source[300], file_url[300], s3_url[64], dest[340];
    struct endpoint *consumer, *producer;
    uint8_t peer[16]; /* the uploader, for the consumer */
    size_t peer_len;
    struct id128 journal;
    /* calls of the backends */
    unsigned started, cancelled;
    int start_error;     /* the result of the next starts */
    bool wants_checksum; /* of fetched ranges, before the bytes */
    struct task *last;   /* the last started one */
    /* the messages of the last world_flush */
    struct frame frames[WORLD_SENT_MAX];
    struct msg sent[WORLD_SENT_MAX];
    size_t sent_count;
} uploader_world;

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, uploader_world_setup, uploader_world_teardown)
#define WORLD_S3_TEST(name) cmocka_unit_test_setup_teardown(name, uploader_world_setup_s3, uploader_world_teardown)

/* A connected uploader with WORLD_SLOTS slots that serves file_url; _s3: only s3_url, at WORLD_STORE. */
int uploader_world_setup(void **state);
int uploader_world_setup_s3(void **state);
int uploader_world_teardown(void **state);

/* --- messages --- */

/* Delivers a message of the consumer. */
void world_hear(struct msg *m);
void world_hear_beat(uint64_t number, const struct msg_beat *beat);
/* A WELCOME as after a restart of the consumer, with this epoch. */
void world_hear_welcome(uint64_t epoch);
/* Makes bytes of the producer readable at the uploader's offer socket. */
void world_push(struct slice bytes);
/* Delivers an OFFER of the producer. data: its data address, or NULL. */
void world_offer(const struct job *jobs, size_t count, const char *data);
/* Sends all that is due, and a HEARTBEAT as the last message. */
void world_flush(void);
/* The n-th message of this type of the last world_flush, from 0; NULL: there are fewer. */
const struct msg *world_sent(enum msg_type type, size_t n);

/* --- jobs --- */

/* A valid job for the source and the destination of this world. */
struct job world_job(enum job_kind kind, uint8_t upload);
struct job world_chunk_job(uint8_t upload, uint32_t chunk);
/* The objects of a delete; a job of world_job has its destination. The array is valid until the next call. */
void world_set_keys(struct job *j, const struct slice *keys, size_t count);
/* A task in QUEUED (a finish: in PARTS), with a lease of WORLD_LEASE_MS from now on. */
struct task_entry *world_grant(const struct job *j);
/* A task in RUNNING. */
struct task_entry *world_run(const struct job *j);
/* The attempt of a running task ends. */
void world_end(struct task_entry *e, const struct task_result *r);
/* The same with an outcome only. */
void world_end_done(struct task_entry *e);
/* Ends it with a failure that can pass. */
void world_end_transient(struct task_entry *e, const char *error);
struct task_entry *world_find(const struct job *j);

/* The first release that waits to be sent; the test fails without one. */
const struct released *world_released(void);
/* The result that waits to be sent; the test fails unless there is exactly one. */
struct result world_reported(void);

#endif
