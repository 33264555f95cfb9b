#include "consumer_world.h"

struct world world;

/* ---- the disk ---- */

static ssize_t world_write(int fd, const void *bytes, size_t len) {
    errno = EIO;
    return world.disk_broken ? -1 : write(fd, bytes, len);
}

static int world_fdatasync(int fd) {
    (void)fd;
    world.fsyncs++;
    return world.disk_broken ? -1 : 0;
}

static int world_fsync(int fd) {
    (void)fd;
    return 0;
}

const struct journal_io world_io = {world_write, world_fdatasync, world_fsync, rename};

/* ---- life ---- */

int world_send(void *arg, const void *route, size_t len, struct slice frame) {
    (void)arg;
    assert_true(world.count < SENT_MAX);
    assert_int_equal(journal_gathered(world.c->journal).len, 0); /* rule 8: no message leaves before the commit */
    struct world_sent *s = &world.sent[world.count++];
    memcpy(s->to, route, len);
    s->to[len] = '\0';
    s->frame = (struct buf)BUF_INIT;
    assert_int_equal(buf_add_slice(&s->frame, frame), 0);
    assert_int_equal(msg_decode(buf_slice(&s->frame), &s->msg), 0);
    world.last_fsyncs = world.fsyncs;
    return world.send_error;
}

void world_clear_sent(void) {
    for (size_t i = 0; i < world.count; i++) {
        msg_release(&world.sent[i].msg);
        buf_release(&world.sent[i].frame);
    }
    world.count = 0;
}

void world_start(void) {
    world.o.dir = JOURNAL_DIR;
    world.o.io = &world_io;
    world.o.send = world_send;
    if (!world.o.lease_ms)
        world.o.lease_ms = 10000;
    assert_int_equal(consumer_new(&world.c, &world.o, world.now), 0);
}

void world_kill(void) {
    world_clear_sent();
    consumer_destroy(&world.c);
}

int world_setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    world.now = 1000000;
    world.number = 1;
    world.abilities = ABILITIES_ALL;
    log_setup("test", LOG_WARN, false);
    assert_int_equal(system("rm -rf " JOURNAL_DIR), 0);
    world_start();
    return 0;
}

int world_teardown(void **state) {
    (void)state;
    world_kill();
    return 0;
}

/* ---- messages ---- */

struct id128 world_incarnation(char peer) {
    struct id128 id = {{0}};
    memset(id.b, peer, sizeof id.b);
    return id;
}

void world_deliver_bytes(char peer, struct slice bytes) {
    char *copy = slice_dup(bytes);
    assert_non_null(copy);
    struct frame f = FRAME_INIT;
    f.data = slice_make(copy, bytes.len);
    f.peer[0] = (uint8_t)peer;
    f.peer_len = 1;
    f.key = world.key;
    assert_int_equal(consumer_take(world.c, &f, world.now), 0);
    /* PLAN and CLAIM wait for the round and need the bytes until then */
    assert_int_equal(consumer_round(world.c, 0, world.now), 0);
    free(copy);
}

uint64_t world_deliver(char peer, struct msg *m) {
    struct buf frame = BUF_INIT;
    m->sender = world_incarnation(peer);
    m->number = ++world.number;
    assert_int_equal(msg_encode(m, &frame), 0);
    world_deliver_bytes(peer, buf_slice(&frame));
    buf_release(&frame);
    return m->number;
}

const struct msg *world_last(char peer, enum msg_type type) {
    for (size_t i = world.count; i-- > 0;)
        if (world.sent[i].to[0] == peer && world.sent[i].msg.type == type)
            return &world.sent[i].msg;
    return NULL;
}

const struct msg *world_answer(char peer, enum msg_type type) {
    const struct msg *m = world_last(peer, type);
    assert_non_null(m);
    assert_int_equal(m->number, world.number);
    return m;
}

void world_advance(uint64_t ms) {
    world.now += ms;
    assert_int_equal(consumer_round(world.c, world.now, world.now), 0);
}

void world_hello(char peer, enum role role) {
    struct msg m = {.type = MSG_HELLO};
    m.hello = (struct msg_hello){.role = role,
                                 .host = slice_of("host"),
                                 .boot = slice_of(boot_id()),
                                 .pid = (uint64_t)peer,
                                 .starttime = 1,
                                 .slots = 8,
                                 .jobs = role == ROLE_PRODUCER ? slice_of("ipc:///jobs") : slice_of(""),
                                 .abilities = world.abilities};
    world_deliver(peer, &m);
    world_answer(peer, MSG_WELCOME);
}

void world_join(void) {
    world_hello('P', ROLE_PRODUCER);
    world_hello('U', ROLE_UPLOADER);
    world_hello('V', ROLE_UPLOADER);
}

void world_bye(char peer) {
    struct msg m = {.type = MSG_BYE};
    world_deliver(peer, &m);
}

/* ---- planning ---- */

struct plan_file world_file(const char *path, const char *dest, uint64_t size) {
    return (struct plan_file){
        .index = 7,
        .source = {.name = slice_of(""),
                   .path = slice_of(path),
                   .file = {.size = size, .mtime_ns = 1111, .ctime_ns = 2222, .ino = 3333},
                   .boot = slice_of(boot_id())},
        .target = {.dest = slice_of(dest), .endpoint = slice_of("")},
        .chunk_size = PART,
        .chunks = (uint32_t)((size + PART - 1) / PART),
    };
}

struct planned_file world_plan(char peer, const struct plan_file *file) {
    struct plan_file copy = *file;
    struct msg m = {.type = MSG_PLAN};
    m.plan = (struct msg_plan){.files = &copy, .file_count = 1};
    world_deliver(peer, &m);
    const struct msg_planned *answer = &world_answer(peer, MSG_PLANNED)->planned;
    assert_int_equal(answer->file_count, 1);
    assert_int_equal(answer->files[0].index, file->index);
    return answer->files[0];
}

/* ---- claiming and completing ---- */

struct ref world_ref(enum job_kind kind, struct id128 upload, uint32_t chunk) {
    return (struct ref){.kind = kind, .upload = upload, .chunk = chunk};
}

struct verdict world_claim_held(char peer, struct ref ref, const char *handle, bool held) {
    struct claim claim = {.ref = ref, .handle = slice_of(handle), .held = held};
    struct msg m = {.type = MSG_CLAIM};
    m.claim = (struct msg_claim){.claims = &claim, .claim_count = 1};
    world_deliver(peer, &m);
    const struct msg_verdict *answer = &world_answer(peer, MSG_VERDICT)->verdict;
    assert_int_equal(answer->verdict_count, 1);
    return answer->verdicts[0];
}

struct verdict world_claim(char peer, struct ref ref, const char *handle) {
    return world_claim_held(peer, ref, handle, false);
}

struct result world_result(struct ref ref, const char *handle) {
    struct result r = {.ref = ref, .outcome = OUTCOME_DONE, .handle = slice_of(handle), .crc = 0x1a2b3c4d, .ms = 5};
    if (ref.kind == JOB_CHUNK) {
        r.offset = ref.chunk * PART;
        r.length = PART;
        r.sent_bytes = PART;
        r.etag = slice_of("0123456789abcdef0123456789abcdef");
    }
    return r;
}

struct ack world_complete(char peer, const struct result *result) {
    struct result copy = *result;
    struct msg m = {.type = MSG_COMPLETE};
    m.complete = (struct msg_complete){.results = &copy, .result_count = 1};
    world_deliver(peer, &m);
    const struct msg_ack *answer = &world_answer(peer, MSG_ACK)->ack;
    assert_int_equal(answer->ack_count, 1);
    assert_int_equal(answer->acks[0].outcome, result->outcome);
    return answer->acks[0];
}

struct ack world_done(char peer, struct ref ref, const char *handle) {
    struct result r = world_result(ref, handle);
    return world_complete(peer, &r);
}

void world_beat(char peer, const struct ref *refs, size_t count, uint32_t free_places) {
    struct lease_mark marks[16] = {0};
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        marks[i] = (struct lease_mark){.ref = refs[i], .bytes = 1000};
    struct msg m = {.type = MSG_HEARTBEAT};
    m.heartbeat =
        (struct msg_heartbeat){.slots = 8, .free = free_places, .leases = marks, .lease_count = count, .retries = 3};
    world_deliver(peer, &m);
}

size_t world_invalid(char peer) {
    return world_answer(peer, MSG_BEAT)->beat.invalid_count;
}

void world_release(char peer, struct ref ref, enum why why) {
    struct released job = {.ref = ref, .why = why, .after_ms = 77, .detail = slice_of("because")};
    struct msg m = {.type = MSG_RELEASE};
    m.release = (struct msg_release){.jobs = &job, .job_count = 1};
    world_deliver(peer, &m);
}

struct id128 world_begun(char producer, char uploader, const char *path, const char *dest, uint32_t chunks) {
    struct plan_file file = world_file(path, dest, chunks * PART);
    struct id128 id = world_plan(producer, &file).upload;
    assert_int_equal(world_claim(uploader, world_ref(JOB_BEGIN, id, 0), "").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_BEGIN, id, 0), "H").kind, ACK_RECORDED);
    return id;
}

void world_chunk(char uploader, struct id128 id, uint32_t chunk) {
    assert_int_equal(world_claim(uploader, world_ref(JOB_CHUNK, id, chunk), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_CHUNK, id, chunk), "H").kind, ACK_RECORDED);
}

void world_finish(char uploader, struct id128 id) {
    assert_int_equal(world_claim(uploader, world_ref(JOB_FINISH, id, 0), "H").kind, VERDICT_GRANT);
    assert_int_equal(world_done(uploader, world_ref(JOB_FINISH, id, 0), "H").kind, ACK_RECORDED);
}

/* ---- following ---- */

const struct msg_records *world_tail(char peer, uint64_t seq, uint64_t event, enum tail_filter filter,
                                     struct id128 upload) {
    struct msg m = {.type = MSG_TAIL};
    m.tail = (struct msg_tail){.seq = seq, .event = event, .filter = filter, .upload = upload};
    world.now += 100; /* longer than the pause between two replies */
    world_deliver(peer, &m);
    return &world_answer(peer, MSG_RECORDS)->records;
}

unsigned world_occurrences(const char *match) {
    struct buf all = BUF_INIT;
    uint64_t seq = 1, next;
    unsigned count = 0;
    while (seq <= journal_seq(world.c->journal)) {
        assert_int_equal(journal_read(world.c->journal, seq, 1 << 20, &all, &next), 0);
        seq = next;
    }
    for (const char *at = all.data; at && (at = strstr(at, match)); at++)
        count++;
    buf_release(&all);
    return count;
}

unsigned world_count(const char *ev) {
    char match[32];
    snprintf(match, sizeof match, "\"ev\":\"%s\"", ev);
    return world_occurrences(match);
}
