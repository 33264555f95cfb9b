#include "producer_fixture.h"

#include "files.h"
#include "insecure.h"
#include "pure/geometry.h"
#include "system/clock.h"
#include "system/dirs.h"
#include "system/fileid.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture fixture;

static void on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)path, (void)class;
    fixture.failed++;
    snprintf(fixture.reason, sizeof fixture.reason, "%s", reason);
}
static void on_done(void *arg, const struct producer_file_view *file, double seconds) {
    (void)arg, (void)file, (void)seconds;
    fixture.done++;
}
static void on_notice(void *arg, const char *text) {
    (void)arg;
    fixture.notices++;
    snprintf(fixture.notice, sizeof fixture.notice, "%s", text);
}

/* Every consumer has another port, which the file in the journal directory names. */
void fixture_open_consumer(void) {
    struct consumer_file file = {.pid = getpid()};
    fixture.epoch++;
    fixture.tail_waits = false;
    assert_int_equal(endpoint_open(&fixture.router, ENDPOINT_ROUTER, "tcp://127.0.0.1:*"), 0);
    snprintf(file.endpoint, sizeof file.endpoint, "%s", endpoint_address(fixture.router));
    snprintf(file.boot, sizeof file.boot, "%s", boot_id());
    assert_int_equal(consumer_file_write(".", &file), 0);
}

int fixture_set_up(void **state) {
    char dir[] = "producer-XXXXXX";
    (void)state;
    memset(&fixture, 0, sizeof fixture);
    fixture.uploaders = 1;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(id_random(&fixture.journal), 0);
    assert_int_equal(id_random(&fixture.self), 0);
    assert_int_equal(chain_init(&fixture.chain), 0);
    fixture_open_consumer();
    return 0;
}

int fixture_tear_down(void **state) {
    (void)state;
    producer_destroy(&fixture.producer);
    endpoint_close(&fixture.router);
    endpoint_close(&fixture.pull);
    frame_release(&fixture.frame);
    frame_release(&fixture.offer);
    chain_release(&fixture.chain);
    if (chdir("..") != 0)
        return 1;
    return system("rm -rf producer-??????") != 0;
}

void fixture_start(const char *const *sources, size_t count, const char *dest) {
    const struct producer_events events = {.file_failed = on_failed, .file_done = on_done, .notice = on_notice};
    struct producer_config config = {.sources = sources,
                                     .source_count = count,
                                     .dest = dest,
                                     .recursive = true,
                                     .chunk_size = strncmp(dest, "s3://", 5) == 0 ? 0 : CHUNK_ALIGN,
                                     .journal_dir = ".",
                                     .set_bwlimit = fixture.set_bwlimit,
                                     .bwlimit = 1234,
                                     .jobs_endpoint = "tcp://127.0.0.1:*",
                                     .data_endpoint =
                                         "tcp://127.0.0.1:*"}; /* the default is a port that may be in use */
    assert_int_equal(producer_new(&fixture.producer, &config, &events), 0);
}

/* --- the consumer --- */

static void reply(struct msg *m, uint64_t number) {
    struct buf out = BUF_INIT;
    m->journal = fixture.journal;
    m->sender = fixture.self;
    m->number = number;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(fixture.router, fixture.peer, fixture.peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

void fixture_send_records(struct event *events, size_t event_count, struct record *records, size_t count) {
    struct buf lines = BUF_INIT;
    uint64_t next = fixture.tail.seq;
    for (size_t i = 0; i < count; i++) {
        records[i].seq = next = ++fixture.seq;
        records[i].batch = 1;
        assert_int_equal(record_encode(&records[i], &fixture.chain, &lines), 0);
        next++;
    }
    struct msg m = {.type = MSG_RECORDS};
    m.records = (struct msg_records){.epoch = fixture.epoch,
                                     .lines = fixture.bad_lines ? slice_of(fixture.bad_lines) : buf_slice(&lines),
                                     .line_count = (uint32_t)count,
                                     .next = next,
                                     .events = events,
                                     .event_count = event_count,
                                     .event_next = fixture.tail.event + event_count,
                                     .slow = &fixture.slow,
                                     .slow_count = fixture.slow_count,
                                     .fleet = {.uploaders = fixture.uploaders, .slots = 8, .free = 8, .share = 8}};
    assert_true(fixture.tail_waits);
    fixture.tail_waits = false;
    reply(&m, fixture.tail_number);
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

static void answer_set(const struct msg *q) {
    struct msg m = {.type = MSG_SETTINGS};
    fixture.set.asked++;
    fixture.set.last = q->set;
    if (fixture.set.answer == SET_FAILED)
        m.settings.error = slice_of("No space left on device");
    if (fixture.set.answer == SET_REFUSED)
        m = (struct msg){.type = MSG_ERROR, .error = {.code = PROTOCOL_ROLE, .text = slice_of("no operator")}};
    if (fixture.set.answer != SET_LOST)
        reply(&m, q->number + (fixture.set.answer == SET_OF_ANOTHER));
}

void fixture_send_error(enum protocol_error code, const char *text) {
    struct msg m = {.type = MSG_ERROR, .error = {.code = code, .text = slice_of(text)}};
    reply(&m, 0);
}

static void serve(void) {
    struct msg q;
    while (endpoint_recv(fixture.router, &fixture.frame) == 0) {
        assert_int_equal(msg_decode(fixture.frame.data, &q), 0);
        memcpy(fixture.peer, fixture.frame.peer, sizeof fixture.peer);
        fixture.peer_len = fixture.frame.peer_len;
        if (q.type == MSG_HELLO) {
            struct msg m = {.type = MSG_WELCOME};
            m.welcome = (struct msg_welcome){.epoch = fixture.epoch, .lease_ms = 1000, .seq = fixture.seq, .event = 1};
            fixture.welcomes++;
            reply(&m, q.number);
        } else if (q.type == MSG_PLAN) {
            fixture.plans++;
            answer_plan(&q, fixture.plan_state, fixture.plan_done);
        } else if (q.type == MSG_SET) {
            answer_set(&q);
        } else if (q.type == MSG_TAIL) {
            assert_int_equal(q.tail.filter, TAIL_MINE);
            assert_false(fixture.tail_waits); /* exactly one outstanding */
            fixture.tails++;
            fixture.tail = q.tail;
            fixture.tail_number = q.number;
            fixture.tail_waits = true;
            if (q.tail.wait_ms == 0)
                fixture_send_records(fixture.event, fixture.event ? 1 : 0, NULL, 0);
        }
        msg_release(&q);
    }
}

int fixture_turn_err(void) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 2];
    uint64_t now = clock_ms(), deadline = now + 50;
    if (fixture.router)
        serve();
    int err = producer_step(fixture.producer, now, &deadline);
    size_t count = producer_wait_items(fixture.producer, items);
    if (fixture.router)
        items[count++] = (struct wait_item){.endpoint = fixture.router, .fd = -1, .want = ENDPOINT_IN};
    if (fixture.pull)
        items[count++] = (struct wait_item){.endpoint = fixture.pull, .fd = -1, .want = ENDPOINT_IN};
    now = clock_ms();
    assert_int_equal(endpoint_wait(items, count, deadline > now ? (int)(deadline - now) : 0), 0);
    return err;
}

void fixture_turn(void) {
    assert_int_equal(fixture_turn_err(), 0);
}

bool fixture_next_offer(struct msg *m) {
    if (endpoint_recv(fixture.pull, &fixture.offer) != 0)
        return false;
    assert_true(fixture.offer.data.len <= PROTO_OFFER_MAX);
    assert_int_equal(msg_decode(fixture.offer.data, m), 0);
    assert_int_equal(m->type, MSG_OFFER);
    assert_true(id_equal(&m->journal, &fixture.journal));
    return true;
}

static const char *const one_source[] = {"a"};

void fixture_start_one_file(void) {
    file_put_hole("a", 10);
    fixture.plan_state = PLANNED_NEW;
    fixture_start(one_source, 1, "out");
}

void fixture_lose_consumer(void) {
    endpoint_close(&fixture.router);
    UNTIL(!producer_stats(fixture.producer)->connected);
}
