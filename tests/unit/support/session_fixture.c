#include "session_fixture.h"
#include "system/dirs.h"
#include <unistd.h>

void fake_consumer_open(struct fake_consumer *c, const char *address, uint64_t epoch) {
    memset(c, 0, sizeof *c);
    memset(c->journal.b, 0x4a, sizeof c->journal.b);
    memset(c->id.b, 0xc0, sizeof c->id.b);
    c->epoch = epoch;
    c->greets = c->echoes = true;
    assert_int_equal(endpoint_open(&c->router, ENDPOINT_ROUTER, address), 0);
}

void fake_consumer_close(struct fake_consumer *c) {
    endpoint_close(&c->router);
    frame_release(&c->frame);
}

void fake_consumer_say(struct fake_consumer *c, struct msg *m) {
    struct buf out = BUF_INIT;
    m->sender = c->id;
    assert_int_equal(msg_encode(m, &out), 0);
    assert_int_equal(endpoint_send(c->router, c->peer, c->peer_len, buf_slice(&out)), 0);
    buf_release(&out);
}

void fake_consumer_welcome(struct fake_consumer *c, uint64_t number) {
    struct msg m = {.type = MSG_WELCOME, .journal = c->journal, .number = number};
    m.welcome.epoch = c->epoch;
    m.welcome.lease_ms = 10000;
    m.welcome.seq = 41;
    m.welcome.event = 7;
    fake_consumer_say(c, &m);
}

void fake_consumer_error(struct fake_consumer *c, enum protocol_error code, uint64_t number) {
    struct msg m = {.type = MSG_ERROR, .journal = c->journal, .number = number, .error.code = code};
    fake_consumer_say(c, &m);
}

void fake_consumer_records(struct fake_consumer *c, uint64_t number) {
    struct msg m = {.type = MSG_RECORDS, .journal = c->journal, .number = number, .records.epoch = c->epoch};
    fake_consumer_say(c, &m);
}

static void keep_text(char *out, size_t size, struct slice text) {
    snprintf(out, size, "%.*s", (int)text.len, text.len ? text.ptr : "");
}

static void fake_consumer_hello(struct fake_consumer *c, const struct msg *m) {
    c->hellos++;
    c->hello_number = m->number;
    c->hello_journal = m->journal;
    c->hello_slots = m->hello.slots;
    c->hello_pid = m->hello.pid;
    c->hello_starttime = m->hello.starttime;
    keep_text(c->hello_boot, sizeof c->hello_boot, m->hello.boot);
    keep_text(c->hello_software, sizeof c->hello_software, m->hello.software);
    keep_text(c->hello_host, sizeof c->hello_host, m->hello.host);
    keep_text(c->hello_jobs, sizeof c->hello_jobs, m->hello.jobs);
    keep_text(c->hello_allow, sizeof c->hello_allow, m->hello.allow_count ? m->hello.allow[0] : slice_of(""));
    if (c->greets) {
        c->knows = true;
        fake_consumer_welcome(c, m->number);
    }
}

void fake_consumer_turn(struct fake_consumer *c) {
    struct msg m;
    while (endpoint_recv(c->router, &c->frame) == 0) {
        memcpy(c->peer, c->frame.peer, sizeof c->peer);
        c->peer_len = c->frame.peer_len;
        assert_int_equal(msg_decode(c->frame.data, &m), 0);
        c->sender = m.sender;
        if (m.type == MSG_HELLO) {
            fake_consumer_hello(c, &m);
        } else if (!c->knows) {
            fake_consumer_error(c, PROTOCOL_HELLO_FIRST, m.number);
        } else if (m.type == MSG_TAIL) {
            c->tails++;
            c->tail_number = m.number;
            if (c->echoes)
                fake_consumer_records(c, m.number);
        } else if (m.type == MSG_BYE) {
            c->byes++;
        }
        msg_release(&m);
    }
}

struct session_seen session_seen;

static void session_client_turn(struct session *s) {
    uint64_t now = clock_ms(), deadline = now + PATIENCE_MS;
    assert_int_equal(session_step(s, now, &deadline), 0);
    struct msg *m;
    while (session_recv(s, &m) == 0) {
        session_seen.number = m->number;
        session_seen.welcomes += m->type == MSG_WELCOME;
        session_seen.records += m->type == MSG_RECORDS;
        session_seen.errors += m->type == MSG_ERROR;
        if (m->type == MSG_ERROR)
            session_seen.code = m->error.code;
    }
}

void session_and_consumer_turn(struct session *s, struct fake_consumer *c) {
    uint64_t now = clock_ms(), deadline = now + 1000;
    assert_int_equal(session_step(s, now, &deadline), 0);
    struct wait_item items[2];
    size_t count = 0;
    if (session_endpoint(s))
        items[count++] = (struct wait_item){.endpoint = session_endpoint(s), .want = ENDPOINT_IN};
    if (c)
        items[count++] = (struct wait_item){.endpoint = c->router, .want = ENDPOINT_IN};
    assert_int_equal(endpoint_wait(items, count, deadline > now ? (int)(deadline - now) : 0), 0);
    session_client_turn(s);
    if (c)
        fake_consumer_turn(c);
}

struct session *session_client_new(const char *consumer, const char *dir) {
    static const char *const allow[] = {"s3://bucket/prefix", "file:///data"};
    struct session_options o = {.role = ROLE_UPLOADER,
                                .consumer = consumer,
                                .journal_dir = dir,
                                .slots = 8,
                                .jobs = "ipc:///jobs",
                                .allow = allow,
                                .allow_count = 2};
    struct session *s;
    memset(&session_seen, 0, sizeof session_seen);
    assert_int_equal(session_new(&s, &o), 0);
    return s;
}

uint64_t session_ask(struct session *s) {
    struct msg m = {.type = MSG_TAIL, .tail = {.filter = TAIL_ALL, .wait_ms = 1000}};
    uint64_t number = 0;
    assert_int_equal(session_send(s, &m, &number), 0);
    return number;
}

void consumer_file_put(const char *dir, const char *endpoint) {
    struct consumer_file f = {.pid = getpid()};
    snprintf(f.endpoint, sizeof f.endpoint, "%s", endpoint);
    assert_int_equal(consumer_file_write(dir, &f), 0);
}
