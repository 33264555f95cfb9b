/*
 * The messages of an uploader. The real uploader runs in a child process. The test plays consumer and producer, and each
 * test decides their answers.
 */
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

static void run_uploader(void) {
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

static void make_source(void) {
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

static int setup(void **state) {
    (void)state;
    char template[] = "uploader-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, dir))
        return -1;
    make_source();
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

static int teardown(void **state) {
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

static void reply(struct msg *m) {
    struct buf out = BUF_INIT;
    m->journal = fake.journal;
    m->sender = fake.id;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(fake.router, fake.peer, fake.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void welcome(uint64_t number) {
    struct msg m = {.type = MSG_WELCOME, .number = number, .welcome = {.epoch = fake.epoch, .lease_ms = fake.lease_ms}};
    reply(&m);
}

/* Answers the messages that every consumer answers. True: the message is for the test. */
static bool answer_usual(void) {
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
static struct msg *next(enum msg_type type, uint64_t deadline_ms) {
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

static struct msg *expect(enum msg_type type) {
    struct msg *m = next(type, clock_ms() + PATIENCE_MS);
    if (!m)
        fail_msg("no %s came", msg_type_name(type));
    return m;
}

static struct job make_job(enum job_kind kind, uint8_t upload) {
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

static void offer(const struct job *jobs, size_t count) {
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

static void verdict(const struct msg *claim, enum verdict_kind kind) {
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

static void ack(const struct msg *complete) {
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

static int stop_and_wait(int signal_number) {
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

static bool exists(void) {
    return access(dest + strlen("file://"), F_OK) == 0;
}

/* --- the tests --- */

static void test_claims_moves_reports_and_drains(void **state) {
    (void)state;
    struct job put = make_job(JOB_PUT, 1);
    offer(&put, 1);
    struct msg *m = expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_PUT);
    assert_false(m->claim.claims[0].held);
    assert_false(exists()); /* rule 2: a lease before the first byte */
    verdict(m, VERDICT_GRANT);
    m = expect(MSG_COMPLETE);
    assert_int_equal(m->complete.result_count, 1);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->outcome, OUTCOME_DONE);
    assert_int_equal(r->size, SIZE);
    assert_int_equal(r->sent_bytes, SIZE);
    assert_true(slice_equal(r->source.path, slice_of(source)));
    assert_true(slice_equal(r->target.dest, slice_of(dest)));
    assert_true(exists());
    uint64_t first_ms = clock_ms();
    m = expect(MSG_COMPLETE); /* rule 8: resent, because no ACK came */
    assert_true(clock_ms() - first_ms > 500);
    ack(m);
    assert_int_equal(stop_and_wait(SIGTERM), 0);
}

static void test_jobs_it_cannot_serve_are_released(void **state) { /* rule 2 */
    (void)state;
    char elsewhere[340];
    snprintf(elsewhere, sizeof elsewhere, "file://%s/elsewhere", dir);
    struct job jobs[2] = {make_job(JOB_PUT, 1), make_job(JOB_PUT, 2)};
    jobs[0].target.dest = slice_of(elsewhere);
    jobs[1].source.path = slice_of("/etc/passwd");
    offer(jobs, 2);
    struct msg *m = expect(MSG_RELEASE);
    assert_int_equal(m->release.job_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(m->release.jobs[i].why, WHY_NOT_HERE);
        assert_true(m->release.jobs[i].detail.len > 0);
    }
}

static void test_invalid_offers_are_dropped(void **state) {
    (void)state;
    struct job bad[4] = {make_job(JOB_CHUNK, 1), make_job(JOB_CHUNK, 2), make_job(JOB_PUT, 3), make_job(JOB_BEGIN, 4)};
    bad[0].handle = bad[1].handle = slice_of("h");
    bad[0].ref.chunk = CHUNKS; /* past the end */
    bad[1].offset = 1;         /* not the offset of this chunk */
    bad[1].length = CHUNK;
    bad[2].length = SIZE + 1;
    bad[3].chunk_size = CHUNK + 1;
    offer(bad, 4);
    struct job good = make_job(JOB_STAT, 5);
    offer(&good, 1);
    struct msg *m = expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_STAT);
}

static void test_a_denied_job_is_forgotten_and_may_be_offered_again(void **state) {
    (void)state;
    struct job head = make_job(JOB_STAT, 1);
    offer(&head, 1);
    verdict(expect(MSG_CLAIM), VERDICT_DENY);
    offer(&head, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = expect(MSG_COMPLETE);
    assert_false(m->complete.results[0].exists);
    ack(m);
}

static void test_an_unanswered_claim_is_repeated_then_forgotten(void **state) {
    (void)state;
    struct job head = make_job(JOB_STAT, 1);
    uint64_t numbers[3];
    offer(&head, 1);
    for (int i = 0; i < 3; i++) {
        struct msg *m = expect(MSG_CLAIM);
        numbers[i] = m->number;
        assert_int_equal(m->claim.claim_count, 1);
        assert_int_equal(m->claim.claims[0].ref.kind, JOB_STAT);
    }
    assert_true(numbers[0] != numbers[1] && numbers[1] != numbers[2]);
    assert_null(next(MSG_CLAIM, clock_ms() + 1500));
    /* a later GRANT is released at once */
    struct verdict v = {.ref = head.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = numbers[2], .verdict = {fake.lease_ms, &v, 1}};
    reply(&grant);
    assert_int_equal(expect(MSG_RELEASE)->release.job_count, 1);
}

static void test_a_grant_after_its_deadline_starts_nothing(void **state) { /* rule 5 */
    (void)state;
    fake.lease_ms = 300;
    struct job put = make_job(JOB_PUT, 1);
    offer(&put, 1);
    struct msg *m = expect(MSG_CLAIM);
    uint64_t asked_ms = clock_ms();
    struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = m->number, .verdict = {fake.lease_ms, &v, 1}};
    while (clock_ms() < asked_ms + 310)
        next(MSG_BYE, asked_ms + 310);
    reply(&grant);
    m = expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_PUT);
    assert_false(exists());
}

static struct msg *hold_a_finish(void) {
    struct job finish = make_job(JOB_FINISH, 7);
    offer(&finish, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    return expect(MSG_PARTS);
}

static void test_leases_are_listed_and_renewed(void **state) {
    (void)state;
    fake.lease_ms = 600;
    hold_a_finish(); /* its PARTS is never answered, so it holds its lease while that is renewed */
    uint64_t until_ms = clock_ms() + 1500;
    while (next(MSG_RELEASE, until_ms))
        fail_msg("a lease was lost though every HEARTBEAT was answered");
    assert_int_equal(fake.leases, 1);
    fake.silent = true; /* now the lease ends */
    struct msg *m = expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_FINISH);
}

static void test_invalid_lease_is_dropped(void **state) {
    (void)state;
    hold_a_finish();
    do
        expect(MSG_HEARTBEAT);
    while (fake.leases != 1);
    struct ref ref = {.kind = JOB_FINISH, .upload = {{7}}};
    struct msg m = {.type = MSG_BEAT, .number = fake.msg.number, .beat = {.invalid = &ref, .invalid_count = 1}};
    reply(&m);
    do
        expect(MSG_HEARTBEAT);
    while (fake.leases != 0);
}

/* Rule 12: the record of another uploader ended it. A BEAT that answers no HEARTBEAT names it. */
static void test_a_lost_lease_is_given_back_at_once(void **state) {
    (void)state;
    hold_a_finish();
    struct ref ref = {.kind = JOB_FINISH, .upload = {{7}}};
    struct msg m = {.type = MSG_BEAT, .number = 0, .beat = {.lost = &ref, .lost_count = 1}};
    reply(&m);
    const struct msg *release = expect(MSG_RELEASE);
    assert_int_equal(release->release.job_count, 1);
    assert_int_equal(release->release.jobs[0].why, WHY_HELD);
}

/* All messages of the consumer are read before a byte moves: here a grant, and later the loss of that lease. */
static void test_messages_of_the_consumer_come_before_the_bytes(void **state) {
    (void)state;
    struct job put = make_job(JOB_PUT, 1);
    offer(&put, 1);
    uint64_t claim_number = expect(MSG_CLAIM)->number;
    uint64_t beat_number = expect(MSG_HEARTBEAT)->number; /* sent after the CLAIM, so its BEAT may name the lease */
    int status;
    kill(child, SIGSTOP);
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    struct verdict v = {.ref = put.ref, .kind = VERDICT_GRANT};
    struct msg grant = {.type = MSG_VERDICT, .number = claim_number, .verdict = {fake.lease_ms, &v, 1}};
    struct msg beat = {.type = MSG_BEAT, .number = beat_number, .beat = {.invalid = &put.ref, .invalid_count = 1}};
    reply(&grant);
    for (uint64_t i = 0; i < 8; i++) {
        struct msg nothing = {.type = MSG_BEAT, .number = beat_number + 1000 + i};
        reply(&nothing);
    }
    reply(&beat);
    next(MSG_BYE, clock_ms() + 300); /* all messages were sent */
    kill(child, SIGCONT);
    assert_null(next(MSG_COMPLETE, clock_ms() + 1500));
    assert_int_equal(fake.leases, 0);
    assert_false(exists());
}

static void test_held_leases_are_claimed_after_a_restart(void **state) { /* rule 6 */
    (void)state;
    hold_a_finish();
    fake.epoch = 2;
    struct msg error = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    reply(&error);
    struct msg *m = expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_true(m->claim.claims[0].held);
    assert_int_equal(m->claim.claims[0].ref.kind, JOB_FINISH);
    verdict(m, VERDICT_GRANT);
    expect(MSG_PARTS); /* it continues where it was */
}

static void test_results_are_resent_after_a_restart(void **state) { /* rule 8 */
    (void)state;
    struct job head = make_job(JOB_STAT, 1);
    offer(&head, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    expect(MSG_COMPLETE);
    fake.epoch = 2;
    struct msg error = {.type = MSG_ERROR, .error = {.code = PROTOCOL_HELLO_FIRST}};
    reply(&error);
    ack(expect(MSG_COMPLETE));
    assert_null(next(MSG_COMPLETE, clock_ms() + 1500));
}

static void test_chunks_and_finish(void **state) {
    (void)state;
    struct job begin = make_job(JOB_BEGIN, 3), chunk = make_job(JOB_CHUNK, 3), finish = make_job(JOB_FINISH, 3);
    char handle[200];
    struct part parts[CHUNKS];
    offer(&begin, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = expect(MSG_COMPLETE);
    assert_int_equal(m->complete.results[0].outcome, OUTCOME_DONE);
    snprintf(handle, sizeof handle, "%.*s", (int)m->complete.results[0].handle.len, m->complete.results[0].handle.ptr);
    ack(m);
    chunk.handle = finish.handle = slice_of(handle);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        chunk.ref.chunk = i;
        chunk.offset = (uint64_t)i * CHUNK;
        chunk.length = CHUNK;
        offer(&chunk, 1);
        verdict(expect(MSG_CLAIM), VERDICT_GRANT);
        m = expect(MSG_COMPLETE);
        struct result *r = &m->complete.results[0];
        assert_int_equal(r->outcome, OUTCOME_DONE);
        assert_int_equal(r->length, CHUNK);
        parts[i] = (struct part){.chunk = i, .crc = r->crc, .length = r->length};
        ack(m);
    }
    assert_false(exists());
    offer(&finish, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    for (uint32_t from = 0; from < CHUNKS; from++) { /* page by page */
        m = expect(MSG_PARTS);
        assert_int_equal(m->parts.from, from);
        struct msg page = {
            .type = MSG_PARTLIST,
            .number = m->number,
            .partlist = {
                .upload = finish.ref.upload, .from = from, .chunks = CHUNKS, .parts = &parts[from], .part_count = 1}};
        reply(&page);
    }
    m = expect(MSG_COMPLETE);
    assert_int_equal(m->complete.results[0].outcome, OUTCOME_DONE);
    assert_int_equal(m->complete.results[0].size, SIZE);
    assert_true(exists());
    ack(m);
}

/* The slots and one job ahead: the time of a chunk is not known yet. */
static void test_a_quick_begin_frees_no_slots_for_chunks(void **state) {
    (void)state;
    struct job begin = make_job(JOB_BEGIN, 3);
    offer(&begin, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    ack(expect(MSG_COMPLETE));
    for (int i = 0; i < 2; i++)
        assert_in_range(expect(MSG_HEARTBEAT)->heartbeat.free, 2, 3);
}

static void test_work_never_waits_for_a_timer(void **state) {
    (void)state;
    uint64_t working_ms = 0;
    for (uint8_t i = 1; i <= 3; i++) {
        struct job head = make_job(JOB_STAT, i);
        offer(&head, 1);
        uint64_t number = expect(MSG_CLAIM)->number;
        expect(MSG_HEARTBEAT); /* the next one comes a second later; until then no timer wakes the uploader */
        uint64_t granted_ms = clock_ms();
        struct verdict v = {.ref = head.ref, .kind = VERDICT_GRANT};
        struct msg grant = {.type = MSG_VERDICT, .number = number, .verdict = {fake.lease_ms, &v, 1}};
        reply(&grant);
        struct msg *m = expect(MSG_COMPLETE);
        working_ms += clock_ms() - granted_ms;
        ack(m);
        expect(MSG_HEARTBEAT); /* the slot is free again */
    }
    assert_in_range(working_ms, 0, 1500);
}

static void test_changed_source_fails_before_a_byte_is_sent(void **state) {
    (void)state;
    struct job put = make_job(JOB_PUT, 1);
    assert_int_equal(truncate(source, SIZE - 1), 0);
    offer(&put, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = expect(MSG_COMPLETE);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
    assert_int_equal(r->sent_bytes, 0);
    assert_true(slice_equal(r->error, slice_of("changed while it was uploaded (size changed)")));
    assert_false(exists());
}

static void test_a_finish_checks_the_source(void **state) {
    (void)state;
    struct msg *m = hold_a_finish();
    assert_int_equal(truncate(source, SIZE - 1), 0);
    struct part parts[CHUNKS];
    for (uint32_t i = 0; i < CHUNKS; i++)
        parts[i] = (struct part){.chunk = i, .length = i + 1 < CHUNKS ? CHUNK : SIZE - (CHUNKS - 1) * (uint64_t)CHUNK};
    struct msg list = {.type = MSG_PARTLIST,
                       .number = m->number,
                       .partlist = {.upload = m->parts.upload, .chunks = CHUNKS, .parts = parts, .part_count = CHUNKS}};
    reply(&list);
    m = expect(MSG_COMPLETE);
    struct result *r = &m->complete.results[0];
    assert_int_equal(r->ref.kind, JOB_FINISH);
    assert_int_equal(r->outcome, OUTCOME_FAILED);
    assert_int_equal(r->class, FAIL_CHANGED);
}

static void test_a_begin_that_lost_is_aborted(void **state) { /* rule 10 */
    (void)state;
    struct job begin = make_job(JOB_BEGIN, 0xab);
    char temp[400];
    snprintf(temp, sizeof temp, "%s/out/.chunklift-ab000000000000000000000000000000.part", dir);
    offer(&begin, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    struct msg *m = expect(MSG_COMPLETE);
    assert_int_equal(access(temp, F_OK), 0);
    struct ack a = {.ref = begin.ref,
                    .outcome = OUTCOME_DONE,
                    .kind = ACK_RECORDED,
                    .seq = 5,
                    .handle = slice_of("another's handle")};
    struct msg answer = {.type = MSG_ACK, .number = m->number, .ack = {&a, 1}};
    reply(&answer);
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    while (access(temp, F_OK) == 0) {
        assert_true(clock_ms() < deadline_ms);
        next(MSG_BYE, clock_ms() + 10);
    }
}

static void test_drain_releases_jobs_that_have_not_started(void **state) {
    (void)state;
    hold_a_finish();
    kill(child, SIGTERM);
    struct msg *m = expect(MSG_RELEASE);
    assert_int_equal(m->release.jobs[0].ref.kind, JOB_FINISH);
    assert_int_equal(m->release.jobs[0].why, WHY_DRAIN);
    expect(MSG_BYE);
    assert_int_equal(stop_and_wait(0), 0);
}

static void test_drain_waits_for_the_ack_a_second_signal_does_not(void **state) {
    (void)state;
    struct job head = make_job(JOB_STAT, 1);
    offer(&head, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    expect(MSG_COMPLETE);
    kill(child, SIGINT);
    expect(MSG_COMPLETE); /* it runs and repeats its results */
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    assert_int_equal(stop_and_wait(SIGINT), 128 + SIGINT);
}

/* --- limits of the fleet (rule 14) --- */

static void reply_beat(const struct msg_beat *beat) {
    struct msg m = {.type = MSG_BEAT, .number = 0, .beat = *beat};
    m.beat.limits = true;
    reply(&m);
}

static const struct msg_heartbeat *heartbeat_with_slots(uint32_t slots) {
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    for (;;) {
        const struct msg *m = next(MSG_HEARTBEAT, deadline_ms);
        if (!m)
            fail_msg("no HEARTBEAT with %u slots came", slots);
        else if (m->heartbeat.slots == slots)
            return &m->heartbeat;
    }
}

static void test_slots_change_while_it_runs(void **state) {
    (void)state;
    heartbeat_with_slots(2);
    reply_beat(&(struct msg_beat){.slots = 7});
    assert_in_range(heartbeat_with_slots(7)->free, 7, 8);
    struct msg plain = {.type = MSG_BEAT}; /* without limits: the last ones stay in force */
    reply(&plain);
    expect(MSG_HEARTBEAT);
    assert_int_equal(expect(MSG_HEARTBEAT)->heartbeat.slots, 7);
    reply_beat(&(struct msg_beat){.slots = 0});
    heartbeat_with_slots(2);
}

/* Rule 14: leases beyond the remaining slots are released at once; running transfers go on. */
static void test_fewer_slots_release_leases_at_once(void **state) {
    (void)state;
    heartbeat_with_slots(2);
    reply_beat(&(struct msg_beat){.slots = 6, .bwlimit = 1024}); /* so slow that no transfer ends during the test */
    heartbeat_with_slots(6);
    struct job jobs[7];
    char names[7][360];
    for (uint8_t i = 0; i < 7; i++) {
        jobs[i] = make_job(JOB_PUT, (uint8_t)(i + 1));
        snprintf(names[i], sizeof names[i], "%s-%d", dest, i);
        jobs[i].target.dest = slice_of(names[i]);
    }
    offer(jobs, 7); /* one more than its slots */
    for (size_t granted = 0; granted < 7;) {
        const struct msg *claim = expect(MSG_CLAIM);
        granted += claim->claim.claim_count;
        verdict(claim, VERDICT_GRANT);
    }
    while (expect(MSG_HEARTBEAT)->heartbeat.lease_count < 7 || fake.msg.heartbeat.active < 6)
        ;
    reply_beat(&(struct msg_beat){.slots = 1, .bwlimit = 1024});
    const struct msg *release = expect(MSG_RELEASE);
    assert_int_equal(release->release.job_count, 1);
    assert_int_equal(release->release.jobs[0].why, WHY_FULL_SLOTS);
    const struct msg_heartbeat *h = heartbeat_with_slots(1);
    assert_int_equal(h->lease_count, 6);
    assert_int_equal(h->bwlimit, 1024);
    while (!expect(MSG_HEARTBEAT)->heartbeat.throttled)
        ;
    reply_beat(&(struct msg_beat){.slots = 1});
    for (size_t done = 0; done < 6;) {
        const struct msg *complete = expect(MSG_COMPLETE);
        done += complete->complete.result_count;
        ack(complete);
    }
}

static void test_a_byte_limit_is_kept(void **state) {
    (void)state;
    expect(MSG_HEARTBEAT);
    reply_beat(&(struct msg_beat){.bwlimit = SIZE}); /* its file takes a second */
    while (expect(MSG_HEARTBEAT)->heartbeat.bwlimit != SIZE)
        ;
    struct job job = make_job(JOB_PUT, 1);
    offer(&job, 1);
    verdict(expect(MSG_CLAIM), VERDICT_GRANT);
    uint64_t began_ms = clock_ms();
    const struct msg *complete = expect(MSG_COMPLETE);
    assert_in_range(clock_ms() - began_ms, 900, 5000);
    assert_int_equal(complete->complete.results[0].outcome, OUTCOME_DONE);
    ack(complete);
}

static void test_offers_of_another_journal_are_dropped(void **state) {
    (void)state;
    struct job head = make_job(JOB_STAT, 1);
    expect(MSG_HEARTBEAT);
    struct id128 own = fake.journal;
    memset(fake.journal.b, 0x11, 16);
    offer(&head, 1);
    fake.journal = own;
    struct job other = make_job(JOB_STAT, 2);
    offer(&other, 1);
    struct msg *m = expect(MSG_CLAIM);
    assert_int_equal(m->claim.claim_count, 1);
    assert_int_equal(m->claim.claims[0].ref.upload.b[0], 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
UNIT_MAIN(TEST(test_claims_moves_reports_and_drains), TEST(test_jobs_it_cannot_serve_are_released),
          TEST(test_invalid_offers_are_dropped), TEST(test_a_denied_job_is_forgotten_and_may_be_offered_again),
          TEST(test_an_unanswered_claim_is_repeated_then_forgotten),
          TEST(test_a_grant_after_its_deadline_starts_nothing), TEST(test_leases_are_listed_and_renewed),
          TEST(test_invalid_lease_is_dropped), TEST(test_a_lost_lease_is_given_back_at_once),
          TEST(test_messages_of_the_consumer_come_before_the_bytes), TEST(test_held_leases_are_claimed_after_a_restart),
          TEST(test_results_are_resent_after_a_restart), TEST(test_chunks_and_finish),
          TEST(test_a_quick_begin_frees_no_slots_for_chunks), TEST(test_work_never_waits_for_a_timer),
          TEST(test_changed_source_fails_before_a_byte_is_sent), TEST(test_a_finish_checks_the_source),
          TEST(test_a_begin_that_lost_is_aborted), TEST(test_drain_releases_jobs_that_have_not_started),
          TEST(test_drain_waits_for_the_ack_a_second_signal_does_not), TEST(test_slots_change_while_it_runs),
          TEST(test_fewer_slots_release_leases_at_once), TEST(test_a_byte_limit_is_kept),
          TEST(test_offers_of_another_journal_are_dropped))
