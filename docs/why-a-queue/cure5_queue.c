/*
 * Cure 5: a queue with one serial consumer, which is chunklift's own. A run is one upload with as many chunks as marks:
 * a producer plans it, and each worker is an uploader that says COMPLETE for its chunks and waits for the ACKs. Nothing
 * is uploaded: the consumer does not look at the destination. With --claim the workers ask for each chunk first, as
 * uploaders do.
 *
 * A worker sends its results in one message, as uploaders do, and resends it until it is answered (rule 8).
 */
#include "race.h"

#include "runtime/session.h"
#include "system/clock.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 65536
#define HANDLE "race"
#define GIVE_UP_MS 30000
#define SAY_AGAIN_MS 300

struct client {
    struct session *session;
    struct msg *msg; /* the last one */
};

/* The next message, or false when none came within wait_ms. */
static bool next_message(struct client *c, uint64_t wait_ms) {
    for (uint64_t end = clock_ms() + wait_ms;;) {
        uint64_t now = clock_ms(), deadline = end;
        if (session_step(c->session, now, &deadline))
            fail("the session is broken");
        int err = session_recv(c->session, &c->msg);
        if (err == 0)
            return true;
        if (err != ERR_AGAIN)
            fail("the session: %s", err_text(err));
        if (now >= end)
            return false;
        struct wait_item item = {.endpoint = session_endpoint(c->session), .fd = -1, .want = ENDPOINT_IN};
        if (endpoint_wait(&item, item.endpoint ? 1 : 0, (int)(deadline > now ? deadline - now : 0)))
            fail("wait");
    }
}

static void open_client(struct client *c, const struct options *o, enum role role) {
    struct session_options s = {.role = role, .consumer = o->consumer, .slots = role == ROLE_UPLOADER ? o->window : 0};
    *c = (struct client){0};
    log_setup("race", LOG_ERROR, false);
    if (session_new(&c->session, &s))
        fail("no session");
    for (uint64_t end = clock_ms() + GIVE_UP_MS; !session_is_connected(c->session);)
        if (clock_ms() >= end)
            fail("no consumer");
        else
            (void)next_message(c, 100);
}

static void close_client(struct client *c) {
    session_destroy(&c->session);
}

/* Asks until the answer of that type is there. */
static const struct msg *ask_for(struct client *c, struct msg *question, enum msg_type answer) {
    uint64_t number;
    for (uint64_t end = clock_ms() + GIVE_UP_MS; clock_ms() < end;) {
        if (session_send(c->session, question, &number))
            number = 0;
        while (next_message(c, SAY_AGAIN_MS))
            if (c->msg->type == answer && c->msg->number == number)
                return c->msg;
    }
    fail("no %s", msg_type_name(answer));
}

/* ---- the upload ---- */

static struct id128 plan(struct client *c, const struct options *o) {
    char path[512], dest[600];
    snprintf(path, sizeof path, "%s/source", o->dir);
    snprintf(dest, sizeof dest, "file://%s/dest", o->dir);
    struct plan_file file = {
        .index = 1,
        .source = {.path = slice_of(path), .file = {.size = (uint64_t)o->marks * CHUNK_SIZE, .ino = 1}},
        .target = {.dest = slice_of(dest)},
        .chunk_size = CHUNK_SIZE,
        .chunks = o->marks};
    struct msg m = {.type = MSG_PLAN, .plan = {.files = &file, .file_count = 1}};
    const struct msg *a = ask_for(c, &m, MSG_PLANNED);
    if (a->planned.file_count != 1 || a->planned.files[0].state != PLANNED_NEW)
        fail("the consumer does not plan it");
    return a->planned.files[0].upload;
}

static void begin(struct client *c, const struct id128 *upload) {
    struct claim claim = {.ref = {.kind = JOB_BEGIN, .upload = *upload}};
    struct msg m = {.type = MSG_CLAIM, .claim = {.claims = &claim, .claim_count = 1}};
    const struct msg *a = ask_for(c, &m, MSG_VERDICT);
    if (a->verdict.verdict_count != 1 || a->verdict.verdicts[0].kind != VERDICT_GRANT)
        fail("begin is not granted");
    struct result done = {.ref = claim.ref, .outcome = OUTCOME_DONE, .handle = slice_of(HANDLE)};
    m = (struct msg){.type = MSG_COMPLETE, .complete = {.results = &done, .result_count = 1}};
    a = ask_for(c, &m, MSG_ACK);
    if (a->ack.ack_count != 1 || a->ack.acks[0].kind != ACK_RECORDED)
        fail("begin is not recorded");
}

static void prepare(const struct options *o, struct board *board) {
    struct client producer, uploader;
    open_client(&producer, o, ROLE_PRODUCER);
    open_client(&uploader, o, ROLE_UPLOADER);
    struct id128 upload = plan(&producer, o);
    begin(&uploader, &upload); /* while its producer is connected: a planned file without a producer is forgotten */
    memcpy(board->upload, upload.b, sizeof upload.b);
    close_client(&producer);
    close_client(&uploader);
    endpoint_shutdown_all();
}

/* ---- a worker ---- */

enum { IDLE, CLAIMING, GRANTED, COMPLETING, ACKED };

struct marks { /* a worker's own */
    struct worker *w;
    struct client client;
    struct id128 upload;
    uint8_t *states;
    uint64_t *since_ns, said_ms;
    uint32_t low, next, acked; /* all before low are acknowledged, none from next on is started */
};

static uint32_t mark_count(const struct marks *m) {
    return m->w->end - m->w->first;
}

static void set_all(struct marks *m, uint8_t from, uint8_t to) {
    for (uint32_t i = m->low; i < m->next; i++)
        if (m->states[i] == from)
            m->states[i] = to;
}

static void start_some(struct marks *m) {
    const struct options *o = m->w->o;
    while (m->next < mark_count(m) && m->next - m->acked < o->window) {
        m->w->nth++;
        worker_pause(m->w, o->pause_us);
        m->since_ns[m->next] = worker_now_ns();
        m->states[m->next++] = o->claim ? IDLE : GRANTED;
    }
}

static void send_message(struct marks *m, struct msg *question) {
    int err = session_send(m->client.session, question, NULL);
    if (err && err != ERR_AGAIN)
        fail("send: %s", err_text(err));
    m->w->board->sent[m->w->id] += err == 0;
    m->said_ms = clock_ms();
}

static struct ref ref_of(const struct marks *m, uint32_t i) {
    return (struct ref){.kind = JOB_CHUNK, .upload = m->upload, .chunk = m->w->first + i};
}

static void say_claims(struct marks *m) {
    static struct claim claims[PROTO_LIST_MAX];
    size_t count = 0;
    for (uint32_t i = m->low; i < m->next && count < PROTO_LIST_MAX; i++)
        if (m->states[i] == IDLE) {
            claims[count++] = (struct claim){.ref = ref_of(m, i), .handle = slice_of(HANDLE)};
            m->states[i] = CLAIMING;
        }
    struct msg msg = {.type = MSG_CLAIM, .claim = {.claims = claims, .claim_count = count}};
    if (count)
        send_message(m, &msg);
}

static void say_completes(struct marks *m) {
    static struct result results[PROTO_LIST_MAX];
    size_t count = 0;
    for (uint32_t i = m->low; i < m->next && count < PROTO_LIST_MAX; i++)
        if (m->states[i] == GRANTED) {
            if (count == 0 && m->w->o->claim)
                worker_may_die(m->w, "held");
            results[count++] = (struct result){.ref = ref_of(m, i),
                                               .outcome = OUTCOME_DONE,
                                               .handle = slice_of(HANDLE),
                                               .offset = (uint64_t)(m->w->first + i) * CHUNK_SIZE,
                                               .length = CHUNK_SIZE,
                                               .sent_bytes = CHUNK_SIZE};
            m->states[i] = COMPLETING;
        }
    struct msg msg = {.type = MSG_COMPLETE, .complete = {.results = results, .result_count = count}};
    if (count == 0)
        return;
    send_message(m, &msg);
    worker_may_die(m->w, "sent");
}

static void take_verdicts(struct marks *m, const struct msg_verdict *v) {
    for (size_t i = 0; i < v->verdict_count; i++) {
        uint32_t chunk = v->verdicts[i].ref.chunk - m->w->first;
        if (v->verdicts[i].kind == VERDICT_DENY) {
            worker_retries(m->w); /* asked again in a while */
        } else if (m->states[chunk] == CLAIMING) {
            m->states[chunk] = GRANTED;
        }
    }
}

static void take_acks(struct marks *m, const struct msg_ack *a) {
    for (size_t i = 0; i < a->ack_count; i++) {
        uint32_t chunk = a->acks[i].ref.chunk - m->w->first;
        if (a->acks[i].kind != ACK_RECORDED)
            fail("chunk %u is refused: %s", a->acks[i].ref.chunk, why_text(a->acks[i].why));
        if (m->states[chunk] == ACKED)
            continue;
        m->states[chunk] = ACKED;
        m->acked++;
        worker_acked(m->w, a->acks[i].ref.chunk, m->since_ns[chunk]);
    }
    while (m->low < m->next && m->states[m->low] == ACKED)
        m->low++;
}

static void say_all_again(struct marks *m) {
    set_all(m, CLAIMING, IDLE);
    set_all(m, COMPLETING, GRANTED);
    m->said_ms = clock_ms();
}

static void take_message(struct marks *m) {
    const struct msg *msg = m->client.msg;
    m->w->board->received[m->w->id]++;
    if (msg->type == MSG_VERDICT)
        take_verdicts(m, &msg->verdict);
    else if (msg->type == MSG_ACK)
        take_acks(m, &msg->ack);
    else if (msg->type == MSG_WELCOME) /* another consumer, perhaps: it is told all that has no answer */
        say_all_again(m);
}

static void turn(struct marks *m) {
    start_some(m);
    if (clock_ms() >= m->said_ms + SAY_AGAIN_MS)
        say_all_again(m);
    say_claims(m);
    say_completes(m);
    if (next_message(&m->client, SAY_AGAIN_MS)) {
        take_message(m);
        while (next_message(&m->client, 0)) /* results of one message are answered together */
            take_message(m);
    }
}

static void work(struct worker *w) {
    struct marks m = {.w = w, .said_ms = clock_ms()};
    memcpy(m.upload.b, w->board->upload, sizeof m.upload.b);
    m.states = calloc(mark_count(&m) + 1, 1);
    m.since_ns = calloc(mark_count(&m) + 1, sizeof *m.since_ns);
    if (!m.states || !m.since_ns)
        fail("no memory");
    open_client(&m.client, w->o, ROLE_UPLOADER);
    worker_begins(w);
    while (m.acked < mark_count(&m))
        turn(&m);
    close_client(&m.client);
    endpoint_shutdown_all();
    free(m.states);
    free(m.since_ns);
}

const struct cure cure = {.name = "5 queue", .work = work, .prepare = prepare};
