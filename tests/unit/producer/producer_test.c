/* The producer on real sockets: the test plays the consumer (ROUTER) and an uploader (PULL). */
#include "files.h"
#include "insecure.h"
#include "journal/record.h"
#include "producer/producer.h"
#include "pure/geometry.h"
#include "pure/proto.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include "unit.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 10000

static struct {
    struct producer *producer;
    struct endpoint *router, *pull;
    struct frame frame, offer;
    struct msg question;
    struct id128 journal, self;
    uint64_t epoch, seq;
    struct chain chain;
    unsigned welcomes, plans;
    unsigned failed, done, notices;
    char reason[1024];
    /* a TAIL without an answer */
    bool tail_waits;
    uint64_t tail_number;
    struct msg_tail tail;
    uint8_t peer[16];
    uint8_t peer_len;
} t;

static void on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)path, (void)class;
    t.failed++;
    snprintf(t.reason, sizeof t.reason, "%s", reason);
}
static void on_done(void *arg, const struct producer_file_view *file, double seconds) {
    (void)arg, (void)file, (void)seconds;
    t.done++;
}
static void on_notice(void *arg, const char *text) {
    (void)arg, (void)text;
    t.notices++;
}

/* Every consumer has another port, which the file in the journal directory names. */
static void open_consumer(void) {
    struct consumer_file file = {.pid = getpid()};
    t.epoch++;
    t.tail_waits = false;
    assert_int_equal(endpoint_open(&t.router, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    snprintf(file.endpoint, sizeof file.endpoint, "%s", endpoint_address(t.router));
    snprintf(file.boot, sizeof file.boot, "%s", boot_id());
    assert_int_equal(consumer_file_write(".", &file), 0);
}

static int set_up(void **state) {
    char dir[] = "producer-XXXXXX";
    (void)state;
    memset(&t, 0, sizeof t);
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(id_random(&t.journal), 0);
    assert_int_equal(id_random(&t.self), 0);
    assert_int_equal(chain_init(&t.chain), 0);
    open_consumer();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    producer_destroy(&t.producer);
    endpoint_close(&t.router);
    endpoint_close(&t.pull);
    frame_release(&t.frame);
    frame_release(&t.offer);
    chain_release(&t.chain);
    if (chdir("..") != 0)
        return 1;
    return system("rm -rf producer-??????") != 0;
}

static void start_producer(const char *const *sources, size_t count, const char *dest) {
    const struct producer_events events = {.file_failed = on_failed, .file_done = on_done, .notice = on_notice};
    struct producer_config config = {.sources = sources,
                                     .source_count = count,
                                     .dest = dest,
                                     .recursive = true,
                                     .chunk_size = CHUNK_ALIGN,
                                     .journal_dir = ".",
                                     .jobs_endpoint = "tcp://127.0.0.1:*"};
    assert_int_equal(producer_new(&t.producer, &config, &events), 0);
}

/* --- the consumer --- */

static void reply(struct msg *m, uint64_t number) {
    struct buf out = BUF_INIT;
    m->journal = t.journal;
    m->sender = t.self;
    m->number = number;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(t.router, t.peer, t.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

static void send_records(struct event *events, size_t event_count, struct record *records, size_t count) {
    struct buf lines = BUF_INIT;
    uint64_t next = t.tail.seq;
    for (size_t i = 0; i < count; i++) {
        records[i].seq = next = ++t.seq;
        records[i].batch = 1;
        assert_int_equal(record_encode(&records[i], &t.chain, &lines), 0);
        next++;
    }
    struct msg m = {.type = MSG_RECORDS};
    m.records = (struct msg_records){.epoch = t.epoch,
                                     .lines = buf_slice(&lines),
                                     .line_count = (uint32_t)count,
                                     .next = next,
                                     .events = events,
                                     .event_count = event_count,
                                     .event_next = t.tail.event + event_count,
                                     .fleet = {.uploaders = 1, .slots = 8, .free = 8, .share = 8}};
    assert_true(t.tail_waits);
    t.tail_waits = false;
    reply(&m, t.tail_number);
    buf_release(&lines);
}

/* state: of every file in PLANNED. */
static void answer_plan(const struct msg *q, enum planned_state state, struct slice done) {
    struct planned_file files[PROTO_PLAN_MAX] = {0};
    for (size_t i = 0; i < q->plan.file_count; i++) {
        const struct plan_file *p = &q->plan.files[i];
        files[i] = (struct planned_file){.index = p->index,
                                         .upload = {.b = {1, (uint8_t)p->index, (uint8_t)(p->index >> 8)}},
                                         .state = state,
                                         .handle = slice_of(state == PLANNED_OPEN ? "h" : ""),
                                         .chunk_size = p->chunk_size,
                                         .chunks = p->chunks,
                                         .done = done};
    }
    struct msg m = {.type = MSG_PLANNED};
    m.planned = (struct msg_planned){.files = files, .file_count = q->plan.file_count};
    reply(&m, q->number);
}

static enum planned_state plan_state;
static struct slice plan_done;

static void serve(void) {
    struct msg q;
    while (endpoint_recv(t.router, &t.frame) == 0) {
        assert_int_equal(msg_decode(t.frame.data, &q), 0);
        memcpy(t.peer, t.frame.peer, sizeof t.peer);
        t.peer_len = t.frame.peer_len;
        if (q.type == MSG_HELLO) {
            struct msg m = {.type = MSG_WELCOME};
            m.welcome = (struct msg_welcome){.epoch = t.epoch, .lease_ms = 1000, .seq = t.seq, .event = 1};
            t.welcomes++;
            reply(&m, q.number);
        } else if (q.type == MSG_PLAN) {
            t.plans++;
            answer_plan(&q, plan_state, plan_done);
        } else if (q.type == MSG_TAIL) {
            assert_int_equal(q.tail.filter, TAIL_MINE);
            assert_false(t.tail_waits); /* exactly one outstanding */
            t.tail = q.tail;
            t.tail_number = q.number;
            t.tail_waits = true;
            if (q.tail.wait_ms == 0)
                send_records(NULL, 0, NULL, 0);
        }
        msg_release(&q);
    }
}

static void turn(void) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 2];
    uint64_t now = clock_ms(), deadline = now + 50;
    if (t.router)
        serve();
    assert_int_equal(producer_step(t.producer, now, &deadline), 0);
    size_t count = producer_wait_items(t.producer, items);
    if (t.router)
        items[count++] = (struct wait_item){.endpoint = t.router, .fd = -1, .want = ENDPOINT_IN};
    if (t.pull)
        items[count++] = (struct wait_item){.endpoint = t.pull, .fd = -1, .want = ENDPOINT_IN};
    now = clock_ms();
    assert_int_equal(endpoint_wait(items, count, deadline > now ? (int)(deadline - now) : 0), 0);
}

#define UNTIL(condition)                                                                                               \
    for (uint64_t end = clock_ms() + PATIENCE_MS; !(condition);) {                                                     \
        assert_true(clock_ms() < end);                                                                                 \
        turn();                                                                                                        \
    }

/* The next OFFER, decoded; the caller releases it. */
static bool next_offer(struct msg *m) {
    if (endpoint_recv(t.pull, &t.offer) != 0)
        return false;
    assert_true(t.offer.data.len <= PROTO_OFFER_MAX);
    assert_int_equal(msg_decode(t.offer.data, m), 0);
    assert_int_equal(m->type, MSG_OFFER);
    assert_true(id_equal(&m->journal, &t.journal));
    return true;
}

static void test_one_file_over_sockets(void **state) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    (void)state;
    file_put_hole("a", 10);
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    UNTIL(t.plans > 0 && t.tail_waits);
    assert_int_equal(endpoint_open(&t.pull, ENDPOINT_PULL, producer_jobs_endpoint(t.producer)), 0);
    UNTIL(next_offer(&offer));
    assert_int_equal(offer.offer.job_count, 1);
    assert_int_equal(offer.offer.jobs[0].ref.kind, JOB_PUT);
    struct id128 id = offer.offer.jobs[0].ref.upload;
    msg_release(&offer);
    UNTIL(t.tail_waits);
    struct event granted = {.ref = {.kind = JOB_PUT, .upload = id}, .kind = EVENT_GRANTED};
    send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(t.producer)->leases == 1);
    UNTIL(t.tail_waits);
    struct record put = {.ev = EV_PUT,
                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                         .upload = id,
                         .src = slice_of("/a"),
                         .dest = slice_of("file:///out"),
                         .file.size = 10,
                         .worker = slice_of("h/1")};
    send_records(NULL, 0, &put, 1);
    UNTIL(producer_is_finished(t.producer));
    assert_int_equal(producer_exit_status(t.producer), 0);
    assert_int_equal(t.done, 1);
    assert_int_equal(producer_stats(t.producer)->bytes_done, 10);
}

/* The consumer restarts with another epoch: all unfinished files are planned again. */
static void test_a_restarted_consumer_is_asked_again(void **state) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    (void)state;
    file_put_hole("a", 2 * CHUNK_ALIGN);
    plan_state = PLANNED_OPEN;
    plan_done = slice_make("\0", 1);
    start_producer(sources, 1, "out");
    assert_int_equal(endpoint_open(&t.pull, ENDPOINT_PULL, producer_jobs_endpoint(t.producer)), 0);
    UNTIL(next_offer(&offer));
    msg_release(&offer);
    endpoint_close(&t.router);
    plan_done = slice_make("\1", 1);
    open_consumer();
    UNTIL(t.welcomes > 1 && t.plans > 1);
    UNTIL(producer_stats(t.producer)->bytes_done == CHUNK_ALIGN);
    uint32_t chunk = 0; /* an earlier offer may arrive first */
    while (chunk != 1) {
        UNTIL(next_offer(&offer));
        chunk = offer.offer.jobs[0].ref.chunk;
        assert_int_equal(offer.offer.job_count, chunk == 1 ? 1 : 2);
        msg_release(&offer);
    }
}

static void test_no_uploader_no_offers_no_spinning(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    UNTIL(t.plans > 0 && t.tail_waits);
    unsigned turns = 0;
    for (uint64_t end = clock_ms() + 300; clock_ms() < end; turns++)
        turn();
    assert_true(turns < 60); /* each waits up to 50 ms */
    assert_int_equal(producer_stats(t.producer)->outstanding, 0);
}

static void test_drain_ends_without_leases(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    UNTIL(t.plans > 0 && t.tail_waits);
    producer_drain(t.producer);
    UNTIL(t.tail_waits);
    assert_false(producer_is_finished(t.producer));
    send_records(NULL, 0, NULL, 0);
    UNTIL(producer_is_finished(t.producer));
}

static void test_many_small_files_are_offered_in_bundles(void **state) {
    static const char *const sources[] = {"src"};
    struct msg offer;
    char name[32];
    size_t jobs = 0, messages = 0;
    (void)state;
    assert_int_equal(mkdir("src", 0700), 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "src/%d", i);
        file_put_hole(name, 1);
    }
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    assert_int_equal(endpoint_open(&t.pull, ENDPOINT_PULL, producer_jobs_endpoint(t.producer)), 0);
    while (!producer_is_finished(t.producer)) {
        struct event events[64];
        struct record records[64] = {0};
        UNTIL(next_offer(&offer));
        messages++;
        size_t n = offer.offer.job_count;
        jobs += n;
        assert_true(n <= 64);
        for (size_t i = 0; i < n; i++) {
            events[i] = (struct event){.ref = offer.offer.jobs[i].ref, .kind = EVENT_GRANTED};
            records[i] = (struct record){.ev = EV_PUT,
                                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                                         .upload = offer.offer.jobs[i].ref.upload,
                                         .src = slice_of("/a"),
                                         .dest = slice_of("file:///out"),
                                         .file.size = 1,
                                         .worker = slice_of("h/1")};
        }
        msg_release(&offer);
        UNTIL(t.tail_waits);
        unsigned done = t.done;
        send_records(events, n, records, n);
        UNTIL(t.done == done + n);
    }
    assert_int_equal(jobs, 300);
    assert_true(messages < 150);
    assert_int_equal(t.done, 300);
}

/* Descriptor 0 is a descriptor like any other: it must survive the release of a planner that never opened a file. */
static void test_a_refused_configuration_closes_no_descriptor(void **state) {
    const char *sources[] = {"."};
    const struct producer_config config = {
        .sources = sources, .source_count = 1, .dest = "s3://bucket/", .region = "not a region", .journal_dir = "."};
    struct producer *p;
    (void)state;
    int fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? open("/dev/null", O_RDONLY) : STDIN_FILENO;
    assert_int_equal(fd, STDIN_FILENO);
    assert_int_equal(producer_new(&p, &config, NULL), ERR_USAGE);
    assert_null(p);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

/* --- the end of a drain --- */

/* One file "a"; its put is leased to an uploader. */
static struct id128 start_with_a_lease(void) {
    static const char *const sources[] = {"a"};
    struct msg offer;
    file_put_hole("a", 10);
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    assert_int_equal(endpoint_open(&t.pull, ENDPOINT_PULL, producer_jobs_endpoint(t.producer)), 0);
    UNTIL(next_offer(&offer));
    struct id128 id = offer.offer.jobs[0].ref.upload;
    msg_release(&offer);
    UNTIL(t.tail_waits);
    struct event granted = {.ref = {.kind = JOB_PUT, .upload = id}, .kind = EVENT_GRANTED};
    send_records(&granted, 1, NULL, 0);
    UNTIL(producer_stats(t.producer)->leases == 1);
    UNTIL(t.tail_waits);
    return id;
}

/* A turn at a later time; no socket is waited for. */
static void turn_later(uint64_t later_ms) {
    uint64_t now = clock_ms() + later_ms, deadline = now;
    assert_int_equal(producer_step(t.producer, now, &deadline), 0);
}

/* The consumer leaves; the session notices it after 3 s of silence. */
static void lose_consumer(void) {
    endpoint_close(&t.router);
    UNTIL(!producer_stats(t.producer)->connected);
}

static void test_drain_waits_for_the_record_of_a_lease(void **state) {
    (void)state;
    struct id128 id = start_with_a_lease();
    producer_drain(t.producer);
    t.tail_waits = false; /* replaced by the TAIL that announces the drain, which is answered at once */
    UNTIL(t.tail_waits && t.tail.stops && t.tail.wait_ms > 0);
    assert_false(producer_is_finished(t.producer));
    struct record put = {.ev = EV_PUT,
                         .has = HAS_UPLOAD | HAS_SRC | HAS_DEST | HAS_CRC | HAS_WORKER | HAS_MS,
                         .upload = id,
                         .src = slice_of("/a"),
                         .dest = slice_of("file:///out"),
                         .file.size = 10,
                         .worker = slice_of("h/1")};
    send_records(NULL, 0, &put, 1);
    UNTIL(producer_is_finished(t.producer));
    assert_int_equal(t.done, 1);
}

static void test_drain_waits_30_s_for_an_absent_consumer_with_leases(void **state) {
    (void)state;
    start_with_a_lease();
    lose_consumer();
    turn_later(40000); /* the time before the drain does not count */
    producer_drain(t.producer);
    turn_later(50000);
    assert_false(producer_is_finished(t.producer));
    turn_later(65000);
    assert_false(producer_is_finished(t.producer));
    turn_later(95000);
    assert_true(producer_is_finished(t.producer));
}

static void test_drain_without_leases_does_not_wait_for_an_absent_consumer(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    plan_state = PLANNED_NEW;
    start_producer(sources, 1, "out");
    UNTIL(t.plans > 0 && t.tail_waits);
    producer_drain(t.producer);
    assert_false(producer_is_finished(t.producer));
    lose_consumer();
    assert_true(producer_is_finished(t.producer));
}

static void test_drain_before_the_first_answer_ends_at_once(void **state) {
    static const char *const sources[] = {"a"};
    (void)state;
    file_put_hole("a", 10);
    start_producer(sources, 1, "out");
    endpoint_close(&t.router);
    do
        turn();
    while (producer_stats(t.producer)->files_active == 0);
    assert_false(producer_is_finished(t.producer));
    producer_drain(t.producer);
    assert_true(producer_is_finished(t.producer));
}

#define PRODUCER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(PRODUCER_TEST(test_one_file_over_sockets), PRODUCER_TEST(test_a_restarted_consumer_is_asked_again),
          PRODUCER_TEST(test_no_uploader_no_offers_no_spinning), PRODUCER_TEST(test_drain_ends_without_leases),
          PRODUCER_TEST(test_many_small_files_are_offered_in_bundles),
          cmocka_unit_test(test_a_refused_configuration_closes_no_descriptor),
          PRODUCER_TEST(test_drain_waits_for_the_record_of_a_lease),
          PRODUCER_TEST(test_drain_waits_30_s_for_an_absent_consumer_with_leases),
          PRODUCER_TEST(test_drain_without_leases_does_not_wait_for_an_absent_consumer),
          PRODUCER_TEST(test_drain_before_the_first_answer_ends_at_once))
