/*
 * The messages of an uploader. The real uploader runs in a child process. The test plays consumer and producer, and each
 * test decides their answers.
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
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define CHUNK 65536u
#define CHUNKS 3u
#define SIZE (CHUNK * CHUNKS)

static char dir[256], source[300], allow[300], dest[340];
static char ep_consumer[64], ep_jobs[64];
static pid_t child;
static const char *bucket; /* the only allowed destination; NULL: the directory "out" */

struct fake {
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
};
static struct fake fake;

/* --- the uploader's process --- */

static inline void run_uploader(void) {
    char root[300];
    snprintf(root, sizeof root, "%s/src", dir);
    char words[][300] = {
        "chunklift-uploader", "--consumer", "", "--jobs", "", "--root", "", "--allow", "", "--slots", "2", "--quiet"};
    snprintf(words[2], 300, "%s", ep_consumer);
    snprintf(words[4], 300, "%s", ep_jobs);
    snprintf(words[6], 300, "%s", root);
    snprintf(words[8], 300, "%s", allow);
    char *argv[13] = {0};
    for (size_t i = 0; i < 12; i++)
        argv[i] = words[i];
    struct settings settings;
    struct uploader *u;
    log_setup("chunklift", LOG_ERROR, false);
    if (settings_parse(&settings, 12, argv) || signals_init(false) || uploader_new(&u, &settings))
        _exit(99);
    int status = uploader_run(u);
    uploader_destroy(&u);
    endpoint_shutdown_all();
    settings_release(&settings);
    exit(status); /* so that a leak is found */
}

static inline void make_source(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/src", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(source, sizeof source, "%s/src/file", dir);
    int fd = open(source, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < SIZE; i += 8)
        assert_int_equal(write(fd, "chunked!", 8), 8);
    close(fd);
}

static inline int setup(void **state) {
    (void)state;
    char template[] = "uploader-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, dir))
        return -1;
    make_source();
    if (bucket)
        snprintf(allow, sizeof allow, "s3://%s/", bucket);
    else
        snprintf(allow, sizeof allow, "file://%s/out/", dir);
    snprintf(dest, sizeof dest, "%sfile", allow);
    snprintf(ep_consumer, sizeof ep_consumer, "ipc://%s/c", template);
    snprintf(ep_jobs, sizeof ep_jobs, "ipc://%s/j", template);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_uploader();
    }
    memset(&fake, 0, sizeof fake);
    memset(fake.journal.b, 0x4a, 16);
    memset(fake.id.b, 0xc0, 16);
    fake.epoch = 1;
    fake.lease_ms = 10000;
    return endpoint_open(&fake.router, ENDPOINT_ROUTER, ep_consumer) ||
           endpoint_open(&fake.push, ENDPOINT_PUSH, ep_jobs);
}

static inline int teardown(void **state) {
    (void)state;
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    msg_release(&fake.msg);
    frame_release(&fake.frame);
    endpoint_close(&fake.router);
    endpoint_close(&fake.push);
    endpoint_shutdown_all();
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* --- messages --- */

static inline void reply(struct msg *m) {
    struct buf out = BUF_INIT;
    m->journal = fake.journal;
    m->sender = fake.id;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(fake.router, fake.peer, fake.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static inline void welcome(uint64_t number) {
    struct msg m = {.type = MSG_WELCOME, .number = number, .welcome = {.epoch = fake.epoch, .lease_ms = fake.lease_ms}};
    reply(&m);
}

/* Answers the messages that every consumer answers. True: the message is for the test. */
static inline bool answer_usual(void) {
    if (fake.msg.type == MSG_HELLO) {
        welcome(fake.msg.number);
        return false;
    }
    if (fake.msg.type != MSG_HEARTBEAT)
        return true;
    fake.leases = (uint32_t)fake.msg.heartbeat.lease_count;
    fake.unheld = fake.leases ? 0 : fake.unheld + 1;
    struct msg m = {.type = MSG_BEAT, .number = fake.msg.number};
    if (!fake.silent)
        reply(&m);
    return true;
}

/* The next message of this type; others are answered or skipped. NULL: none came before the deadline. */
static inline struct msg *next(enum msg_type type, uint64_t deadline_ms) {
    for (;;) {
        struct wait_item item = {.endpoint = fake.router, .want = ENDPOINT_IN};
        uint64_t now_ms = clock_ms();
        if (now_ms >= deadline_ms)
            return NULL;
        assert_int_equal(endpoint_wait(&item, 1, (int)(deadline_ms - now_ms)), 0);
        while (endpoint_recv(fake.router, &fake.frame) == 0) {
            msg_release(&fake.msg);
            memset(&fake.msg, 0, sizeof fake.msg);
            assert_int_equal(msg_decode(fake.frame.data, &fake.msg), 0);
            memcpy(fake.peer, fake.frame.peer, sizeof fake.peer);
            fake.peer_len = fake.frame.peer_len;
            if (answer_usual() && fake.msg.type == type)
                return &fake.msg;
        }
    }
}

static inline struct msg *expect(enum msg_type type) {
    struct msg *m = next(type, clock_ms() + PATIENCE_MS);
    if (!m)
        fail_msg("no %s came", msg_type_name(type));
    return m;
}

static inline struct job make_job(enum job_kind kind, uint8_t upload) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(source, &st), 0);
    fileid_from_stat(&st, &id);
    struct job j = {.ref = {.kind = kind, .upload = {{upload}}},
                    .source = {.path = slice_of(source), .file = id, .boot = slice_of(boot_id())},
                    .target = {.dest = slice_of(dest)}};
    if (kind == JOB_PUT) {
        j.length = SIZE;
    } else if (kind != JOB_STAT) {
        j.chunk_size = CHUNK;
        j.chunks = CHUNKS;
    }
    if (kind == JOB_FINISH)
        j.handle = slice_of("some handle");
    return j;
}

static inline void offer(const struct job *jobs, size_t count) {
    struct msg m = {.type = MSG_OFFER, .journal = fake.journal, .sender = fake.id, .number = 1};
    m.offer.jobs = (struct job *)jobs;
    m.offer.job_count = count;
    struct buf out = BUF_INIT;
    assert_int_equal(msg_encode(&m, &out), 0);
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    while (endpoint_send(fake.push, NULL, 0, buf_slice(&out))) {
        struct wait_item items[] = {{.endpoint = fake.push, .want = ENDPOINT_OUT},
                                    {.endpoint = fake.router, .want = 1}};
        assert_true(clock_ms() < deadline_ms);
        assert_int_equal(endpoint_wait(items, 2, 100), 0);
        next(MSG_BYE, clock_ms() + 1); /* keeps the conversation going */
    }
    buf_release(&out);
}

static inline void verdict(const struct msg *claim, enum verdict_kind kind) {
    struct verdict verdicts[16];
    size_t count = claim->claim.claim_count;
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++)
        verdicts[i] = (struct verdict){.ref = claim->claim.claims[i].ref,
                                       .kind = kind,
                                       .why = kind == VERDICT_DENY ? WHY_HELD : WHY_NONE,
                                       .seq = kind == VERDICT_DONE ? 9 : 0};
    struct msg m = {.type = MSG_VERDICT,
                    .number = claim->number,
                    .verdict = {.lease_ms = fake.lease_ms, .verdicts = verdicts, .verdict_count = count}};
    reply(&m);
}

static inline void ack(const struct msg *complete) {
    struct ack acks[16];
    size_t count = complete->complete.result_count;
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++)
        acks[i] = (struct ack){.ref = complete->complete.results[i].ref,
                               .outcome = complete->complete.results[i].outcome,
                               .kind = ACK_RECORDED,
                               .seq = 5};
    struct msg m = {.type = MSG_ACK, .number = complete->number, .ack = {acks, count}};
    reply(&m);
}

static inline int stop_and_wait(int signal_number) {
    int status;
    kill(child, signal_number);
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    while (waitpid(child, &status, WNOHANG) == 0) {
        assert_true(clock_ms() < deadline_ms);
        next(MSG_BYE, clock_ms() + 20);
    }
    child = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline bool exists(void) {
    return access(dest + strlen("file://"), F_OK) == 0;
}

static inline struct msg *hold_a_finish(void) {
    struct job finish = make_job(JOB_FINISH, 7);
    offer(&finish, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    return expect(MSG_PARTS);
}

#endif
