#include "uploader_world.h"

#include "runtime/endpoint.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <sys/stat.h>

struct uploader_world uploader_world;
static struct backend_ops file_ops, s3_ops;
static const struct backend_ops *real_file_ops, *real_s3_ops;

/* --- backends --- */

static int world_backend_start(struct backend *b, struct task *t) {
    (void)b;
    uploader_world.started++;
    uploader_world.last = t;
    return uploader_world.start_error;
}

static void world_backend_cancel(struct backend *b, struct task *t) {
    (void)b;
    (void)t;
    uploader_world.cancelled++;
}

static bool world_backend_wants_checksum(struct backend *b, const struct task *t) {
    (void)b;
    (void)t;
    return uploader_world.wants_checksum;
}

static void world_replace_ops(struct backend *b, struct backend_ops *ops, const struct backend_ops **real) {
    *real = b->ops;
    *ops = *b->ops;
    ops->start = world_backend_start;
    ops->cancel = world_backend_cancel;
    ops->wants_checksum = world_backend_wants_checksum;
    b->ops = ops;
}

/* --- life --- */

static void world_create_source(void) {
    char root[300];
    snprintf(root, sizeof root, "%s/src", uploader_world.dir);
    assert_int_equal(mkdir(root, 0700), 0);
    snprintf(uploader_world.source, sizeof uploader_world.source, "%s/src/file", uploader_world.dir);
    int fd = open(uploader_world.source, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd != -1);
    assert_int_equal(ftruncate(fd, (off_t)WORLD_SIZE), 0);
    close(fd);
}

static void world_parse_settings(const char *allow) {
    static char root[300], jobs[300], consumer[300];
    snprintf(root, sizeof root, "%s/src", uploader_world.dir);
    snprintf(jobs, sizeof jobs, "ipc://%s/j", uploader_world.dir);
    snprintf(consumer, sizeof consumer, "ipc://%s/c", uploader_world.dir);
    const char *argv[] = {"uploader", "--consumer", consumer, "--jobs",         jobs,        "--root", root, "--allow",
                          allow,      "--slots",    "2",      "--endpoint-url", WORLD_STORE, NULL};
    int argc = (int)(sizeof argv / sizeof *argv) - 1;
    assert_int_equal(settings_parse(&uploader_world.settings, argc, (char **)argv), 0);
    assert_int_equal(endpoint_open(&uploader_world.consumer, ENDPOINT_ROUTER, consumer), 0);
    assert_int_equal(endpoint_open(&uploader_world.producer, ENDPOINT_PUSH, jobs), 0);
}

static void world_send(struct msg *m) {
    struct buf out = BUF_INIT;
    m->journal = uploader_world.journal;
    memset(m->sender.b, 0xc0, sizeof m->sender.b);
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(
        endpoint_send(uploader_world.consumer, uploader_world.peer, uploader_world.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void world_answer_hello(void) {
    struct frame frame = FRAME_INIT;
    struct msg hello, welcome = {.type = MSG_WELCOME, .welcome = {.epoch = 1, .lease_ms = WORLD_LEASE_MS}};
    while (endpoint_recv(uploader_world.consumer, &frame) == 0) {
        assert_int_equal(msg_decode(frame.data, &hello), 0);
        memcpy(uploader_world.peer, frame.peer, sizeof frame.peer);
        uploader_world.peer_len = frame.peer_len;
        welcome.number = hello.number;
        if (hello.type == MSG_HELLO)
            world_send(&welcome);
        msg_release(&hello);
    }
    frame_release(&frame);
}

static void world_connect(void) {
    struct uploader *u = uploader_world.u;
    uint64_t end_ms = clock_ms() + WORLD_PATIENCE_MS;
    while (!session_is_connected(u->session)) {
        uint64_t deadline_ms = UINT64_MAX;
        assert_true(clock_ms() < end_ms);
        assert_int_equal(session_step(u->session, clock_ms(), &deadline_ms), 0);
        world_answer_hello();
        intake_messages(u);
    }
}

static int world_start(const char *allow) {
    log_setup("test", LOG_ERROR, false);
    world_parse_settings(allow);
    assert_int_equal(uploader_new(&uploader_world.u, &uploader_world.settings), 0);
    struct uploader *u = uploader_world.u;
    if (u->file)
        world_replace_ops(u->file, &file_ops, &real_file_ops);
    if (u->s3)
        world_replace_ops(u->s3, &s3_ops, &real_s3_ops);
    world_connect();
    u->now_ms = clock_ms();
    u->random_state = 1;
    return 0;
}

static void world_prepare(void) {
    char template[] = "world-XXXXXX";
    memset(&uploader_world, 0, sizeof uploader_world);
    memset(uploader_world.journal.b, 0x4a, sizeof uploader_world.journal.b);
    assert_non_null(mkdtemp(template));
    assert_non_null(realpath(template, uploader_world.dir));
    world_create_source();
}

int uploader_world_setup(void **state) {
    (void)state;
    world_prepare();
    snprintf(uploader_world.file_url, sizeof uploader_world.file_url, "file://%s/out/", uploader_world.dir);
    snprintf(uploader_world.dest, sizeof uploader_world.dest, "%sfile", uploader_world.file_url);
    return world_start(uploader_world.file_url);
}

int uploader_world_setup_s3(void **state) {
    (void)state;
    world_prepare();
    setenv("AWS_ACCESS_KEY_ID", "AK", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "SK", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    snprintf(uploader_world.s3_url, sizeof uploader_world.s3_url, "s3://bucket/");
    snprintf(uploader_world.dest, sizeof uploader_world.dest, "s3://bucket/file");
    return world_start(uploader_world.s3_url);
}

static void world_forget_sent(void) {
    for (size_t i = 0; i < uploader_world.sent_count; i++) {
        msg_release(&uploader_world.sent[i]);
        frame_release(&uploader_world.frames[i]);
    }
    uploader_world.sent_count = 0;
}

int uploader_world_teardown(void **state) {
    (void)state;
    struct uploader *u = uploader_world.u;
    world_forget_sent();
    while (u && !list_is_empty(&u->tasks.lists[TASK_RUNNING])) { /* the real functions do not know them */
        struct task_entry *e = list_entry(u->tasks.lists[TASK_RUNNING].next, struct task_entry, node);
        tasks_remove(&u->tasks, &e);
    }
    if (u && u->file)
        u->file->ops = real_file_ops;
    if (u && u->s3)
        u->s3->ops = real_s3_ops;
    uploader_destroy(&uploader_world.u);
    settings_release(&uploader_world.settings);
    endpoint_close(&uploader_world.consumer);
    endpoint_close(&uploader_world.producer);
    endpoint_shutdown_all();
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", uploader_world.dir);
    return system(command);
}

/* --- messages --- */

static void world_wait_in(struct endpoint *e) {
    struct wait_item item = {.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    uint64_t end_ms = clock_ms() + WORLD_PATIENCE_MS;
    do {
        assert_true(clock_ms() < end_ms);
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
    } while (!(item.ready & ENDPOINT_IN));
}

void world_hear(struct msg *m) {
    world_send(m);
    struct endpoint *e = session_endpoint(uploader_world.u->session);
    world_wait_in(e);
    endpoint_wake(e);
    intake_messages(uploader_world.u);
}

void world_hear_beat(uint64_t number, const struct msg_beat *beat) {
    struct msg m = {.type = MSG_BEAT, .number = number, .beat = *beat};
    world_hear(&m);
}

void world_hear_welcome(uint64_t epoch) {
    struct msg m = {.type = MSG_WELCOME, .welcome = {.epoch = epoch, .lease_ms = WORLD_LEASE_MS}};
    world_hear(&m);
}

void world_push(struct slice bytes) {
    uint64_t end_ms = clock_ms() + WORLD_PATIENCE_MS;
    while (endpoint_send(uploader_world.producer, NULL, 0, bytes)) { /* until the uploader has connected */
        struct wait_item item = {.endpoint = uploader_world.producer, .fd = -1, .want = ENDPOINT_OUT};
        assert_true(clock_ms() < end_ms);
        assert_int_equal(endpoint_wait(&item, 1, 100), 0);
    }
    world_wait_in(uploader_world.u->offer_sockets.items[0].endpoint);
}

void world_offer(const struct job *jobs, size_t count, const char *data) {
    struct buf out = BUF_INIT;
    struct msg m = {.type = MSG_OFFER,
                    .journal = uploader_world.journal,
                    .sender = {{1}},
                    .number = 1,
                    .offer = {.jobs = (struct job *)jobs, .job_count = count, .data = slice_of(data)}};
    assert_int_equal(msg_encode(&m, &out), 0);
    world_push(buf_slice(&out));
    buf_release(&out);
    intake_offers(uploader_world.u);
}

void world_flush(void) {
    struct uploader *u = uploader_world.u;
    bool last = false;
    world_forget_sent();
    u->heartbeat_wanted = true;
    u->heartbeat_ms = 0;
    outbox_send(u);
    while (!last) {
        size_t n = uploader_world.sent_count;
        assert_true(n < WORLD_SENT_MAX);
        world_wait_in(uploader_world.consumer);
        uploader_world.frames[n] = (struct frame)FRAME_INIT;
        assert_int_equal(endpoint_recv(uploader_world.consumer, &uploader_world.frames[n]), 0);
        assert_int_equal(msg_decode(uploader_world.frames[n].data, &uploader_world.sent[n]), 0);
        last = uploader_world.sent[n].type == MSG_HEARTBEAT && uploader_world.sent[n].number == u->heartbeat_number;
        uploader_world.sent_count++;
    }
}

const struct msg *world_sent(enum msg_type type, size_t n) {
    for (size_t i = 0; i < uploader_world.sent_count; i++)
        if (uploader_world.sent[i].type == type && n-- == 0)
            return &uploader_world.sent[i];
    return NULL;
}

/* --- jobs --- */

void world_set_keys(struct job *j, const struct slice *keys, size_t count) {
    static struct slice own[WORLD_KEYS_MAX];
    assert_true(count <= WORLD_KEYS_MAX);
    memcpy(own, keys, count * sizeof *keys);
    j->keys = own;
    j->key_count = count;
}

struct job world_job(enum job_kind kind, uint8_t upload) {
    struct stat st;
    struct source_identity id;
    assert_int_equal(stat(uploader_world.source, &st), 0);
    fileid_from_stat(&st, &id);
    struct job j = {.ref = {.kind = kind, .upload = {{upload}}},
                    .source = {.path = slice_of(uploader_world.source), .file = id, .boot = slice_of(boot_id())},
                    .target = {.dest = slice_of(uploader_world.dest)}};
    if (uploader_world.s3_url[0])
        j.target.endpoint = slice_of(WORLD_STORE);
    if (kind == JOB_PUT) {
        j.length = WORLD_SIZE;
    } else if (job_kind_asks(kind)) {
        j.length = kind == JOB_READ ? WORLD_SIZE : 0;
    } else if (kind != JOB_STAT) {
        j.chunk_size = WORLD_CHUNK;
        j.chunks = WORLD_CHUNKS;
    }
    if (kind == JOB_FINISH || kind == JOB_CHUNK || kind == JOB_ABORT || kind == JOB_DISCARD)
        j.handle = slice_of("handle");
    if (kind == JOB_DELETE)
        world_set_keys(&j, &j.target.dest, 1);
    return j;
}

struct job world_chunk_job(uint8_t upload, uint32_t chunk) {
    struct job j = world_job(JOB_CHUNK, upload);
    j.ref.chunk = chunk;
    j.offset = (uint64_t)chunk * WORLD_CHUNK;
    j.length = WORLD_CHUNK;
    return j;
}

struct task_entry *world_grant(const struct job *j) {
    struct uploader *u = uploader_world.u;
    struct task_entry *e = tasks_add(&u->tasks, j, false);
    assert_non_null(e);
    transfers_grant(u, e, u->now_ms, WORLD_LEASE_MS, 0);
    return e;
}

struct task_entry *world_run(const struct job *j) {
    struct task_entry *e = world_grant(j);
    transfers_start(uploader_world.u);
    assert_int_equal(e->state, TASK_RUNNING);
    return e;
}

void world_end(struct task_entry *e, const struct task_result *r) {
    assert_int_equal(e->state, TASK_RUNNING);
    e->task.result = *r;
    e->task.done(&e->task, e->task.done_arg);
    transfers_end(uploader_world.u);
}

void world_end_done(struct task_entry *e) {
    const struct task_result r = {.outcome = OUTCOME_DONE, .etag = "etag"};
    world_end(e, &r);
}

void world_end_transient(struct task_entry *e, const char *error) {
    struct task_result r = {.outcome = OUTCOME_FAILED, .transient = true};
    snprintf(r.error, sizeof r.error, "%s", error);
    world_end(e, &r);
}

struct task_entry *world_find(const struct job *j) {
    return tasks_find(&uploader_world.u->tasks, &j->ref);
}

const struct released *world_released(void) {
    assert_true(uploader_world.u->releases.count > 0);
    return &uploader_world.u->releases.items[0];
}

struct result world_reported(void) {
    struct result results[2];
    assert_int_equal(reports_due(&uploader_world.u->reports, results, 2), 1);
    return results[0];
}
