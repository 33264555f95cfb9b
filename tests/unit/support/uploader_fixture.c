#include "uploader_fixture.h"

#include <sys/prctl.h>

struct uploader_fixture uploader_fixture;
struct fake fake;

/* --- the uploader's process --- */

static void uploader_main(void) {
    char root[300];
    snprintf(root, sizeof root, "%s/src", uploader_fixture.dir);
    char words[][300] = {
        "chunklift-uploader", "--consumer", "", "--jobs", "", "--root", "", "--allow", "", "--slots", "2", "--quiet"};
    snprintf(words[2], 300, "%s", uploader_fixture.ep_consumer);
    snprintf(words[4], 300, "%s", uploader_fixture.ep_jobs);
    snprintf(words[6], 300, "%s", root);
    snprintf(words[8], 300, "%s", uploader_fixture.allow);
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

static void source_create(void) {
    char path[300];
    snprintf(path, sizeof path, "%s/src", uploader_fixture.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(uploader_fixture.source, sizeof uploader_fixture.source, "%s/src/file", uploader_fixture.dir);
    int fd = open(uploader_fixture.source, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < SIZE; i += 8)
        assert_int_equal(write(fd, "chunked!", 8), 8);
    close(fd);
}

int uploader_fixture_setup(void **state) {
    (void)state;
    char template[] = "uploader-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, uploader_fixture.dir))
        return -1;
    source_create();
    if (uploader_fixture.bucket)
        snprintf(uploader_fixture.allow, sizeof uploader_fixture.allow, "s3://%s/", uploader_fixture.bucket);
    else
        snprintf(uploader_fixture.allow, sizeof uploader_fixture.allow, "file://%s/out/", uploader_fixture.dir);
    snprintf(uploader_fixture.dest, sizeof uploader_fixture.dest, "%sfile", uploader_fixture.allow);
    snprintf(uploader_fixture.ep_consumer, sizeof uploader_fixture.ep_consumer, "ipc://%s/c", template);
    snprintf(uploader_fixture.ep_jobs, sizeof uploader_fixture.ep_jobs, "ipc://%s/j", template);
    uploader_fixture.child = fork();
    if (uploader_fixture.child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        uploader_main();
    }
    memset(&fake, 0, sizeof fake);
    memset(fake.journal.b, 0x4a, 16);
    memset(fake.id.b, 0xc0, 16);
    fake.epoch = 1;
    fake.lease_ms = 10000;
    return endpoint_open(&fake.router, ENDPOINT_ROUTER, uploader_fixture.ep_consumer) ||
           endpoint_open(&fake.push, ENDPOINT_PUSH, uploader_fixture.ep_jobs);
}

int uploader_fixture_teardown(void **state) {
    (void)state;
    if (uploader_fixture.child > 0) {
        kill(uploader_fixture.child, SIGKILL);
        waitpid(uploader_fixture.child, NULL, 0);
    }
    msg_release(&fake.msg);
    frame_release(&fake.frame);
    endpoint_close(&fake.router);
    endpoint_close(&fake.push);
    endpoint_shutdown_all();
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", uploader_fixture.dir);
    return system(command);
}

/* --- messages --- */

void fake_reply(struct msg *m) {
    struct buf out = BUF_INIT;
    m->journal = fake.journal;
    m->sender = fake.id;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(fake.router, fake.peer, fake.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void fake_welcome(uint64_t number) {
    struct msg m = {.type = MSG_WELCOME, .number = number, .welcome = {.epoch = fake.epoch, .lease_ms = fake.lease_ms}};
    fake_reply(&m);
}

/* Answers the messages that every consumer answers. True: the message is for the test. */
static bool fake_answer_usual(void) {
    if (fake.msg.type == MSG_HELLO) {
        fake_welcome(fake.msg.number);
        return false;
    }
    if (fake.msg.type != MSG_HEARTBEAT)
        return true;
    fake.leases = (uint32_t)fake.msg.heartbeat.lease_count;
    fake.unheld = fake.leases ? 0 : fake.unheld + 1;
    struct msg m = {.type = MSG_BEAT, .number = fake.msg.number};
    if (!fake.silent)
        fake_reply(&m);
    return true;
}

struct msg *fake_next(enum msg_type type, uint64_t deadline_ms) {
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
            if (fake_answer_usual() && fake.msg.type == type)
                return &fake.msg;
        }
    }
}

struct msg *fake_expect(enum msg_type type) {
    struct msg *m = fake_next(type, clock_ms() + PATIENCE_MS);
    if (!m)
        fail_msg("no %s came", msg_type_name(type));
    return m;
}

struct job fake_job(enum job_kind kind, uint8_t upload) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(uploader_fixture.source, &st), 0);
    fileid_from_stat(&st, &id);
    struct job j = {.ref = {.kind = kind, .upload = {{upload}}},
                    .source = {.path = slice_of(uploader_fixture.source), .file = id, .boot = slice_of(boot_id())},
                    .target = {.dest = slice_of(uploader_fixture.dest)}};
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

void fake_offer(const struct job *jobs, size_t count) {
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
        fake_next(MSG_BYE, clock_ms() + 1); /* keeps the conversation going */
    }
    buf_release(&out);
}

void fake_verdict(const struct msg *claim, enum verdict_kind kind) {
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
    fake_reply(&m);
}

void fake_ack(const struct msg *complete) {
    struct ack acks[16];
    size_t count = complete->complete.result_count;
    assert_in_range(count, 1, 16);
    for (size_t i = 0; i < count; i++)
        acks[i] = (struct ack){.ref = complete->complete.results[i].ref,
                               .outcome = complete->complete.results[i].outcome,
                               .kind = ACK_RECORDED,
                               .seq = 5};
    struct msg m = {.type = MSG_ACK, .number = complete->number, .ack = {acks, count}};
    fake_reply(&m);
}

int uploader_fixture_stop(int signal_number) {
    int status;
    kill(uploader_fixture.child, signal_number);
    uint64_t deadline_ms = clock_ms() + PATIENCE_MS;
    while (waitpid(uploader_fixture.child, &status, WNOHANG) == 0) {
        assert_true(clock_ms() < deadline_ms);
        fake_next(MSG_BYE, clock_ms() + 20);
    }
    uploader_fixture.child = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

bool dest_exists(void) {
    return access(uploader_fixture.dest + strlen("file://"), F_OK) == 0;
}

struct msg *fake_grant_finish(void) {
    struct job finish = fake_job(JOB_FINISH, 7);
    fake_offer(&finish, 1);
    fake_verdict(fake_expect(MSG_CLAIM), VERDICT_GRANT);
    return fake_expect(MSG_PARTS);
}
