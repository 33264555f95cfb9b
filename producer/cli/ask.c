#include "producer/cli/ask.h"

#include "pure/arith.h"
#include "runtime/endpoint.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/resolve.h"
#include "system/signals.h"

#define ASK_AGAIN_MS 700

struct asking {
    struct session *session;
    struct msg *request, *answer;
    enum msg_type wanted;
    bool asked;
    uint64_t first_number, number; /* of the request and its last repetition */
    uint64_t asked_ms;
};

int ask_open(struct session **s, const char *endpoint) {
    struct session_options o = {.role = ROLE_READER, .consumer = endpoint};
    return session_new(s, &o);
}

void ask_close(struct session **s) {
    session_destroy(s);
    endpoint_shutdown_all();
}

static int ask_send(struct asking *a, uint64_t now_ms) {
    if (!session_is_connected(a->session) || (a->asked && now_ms - a->asked_ms < ASK_AGAIN_MS))
        return 0;
    int err = session_send(a->session, a->request, &a->number);
    if (err)
        return err == ERR_AGAIN ? 0 : err;
    if (!a->asked)
        a->first_number = a->number;
    a->asked = true;
    a->asked_ms = now_ms;
    return 0;
}

/* ERR_AGAIN: the answer has not arrived yet. */
static int ask_receive(struct asking *a) {
    for (;;) {
        int err = session_recv(a->session, &a->answer);
        if (err)
            return err;
        const struct msg *m = a->answer;
        if (m->type == MSG_ERROR) {
            log_error("the consumer refuses: %.*s", (int)m->error.text.len, m->error.text.len ? m->error.text.ptr : "");
            return ERR_IO;
        }
        if (m->type == a->wanted && a->asked && m->number >= a->first_number && m->number <= a->number)
            return 0;
    }
}

static int ask_wait(const struct asking *a, uint64_t now_ms, uint64_t deadline_ms) {
    struct wait_item items[2] = {{.fd = signals_fd(), .want = ENDPOINT_IN}};
    size_t count = 1;
    struct endpoint *e = session_endpoint(a->session);
    if (e)
        items[count++] = (struct wait_item){.endpoint = e, .fd = -1, .want = ENDPOINT_IN};
    return endpoint_wait(items, count, (int)sub_or_zero(deadline_ms, now_ms));
}

int ask_consumer(struct session *s, struct msg *request, enum msg_type wanted, uint64_t timeout_ms,
                 struct msg **answer) {
    struct asking a = {.session = s, .request = request, .wanted = wanted};
    uint64_t give_up_ms = clock_ms() + timeout_ms;
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 100;
        int err = session_step(s, now, &deadline);
        if (!err)
            err = ask_receive(&a);
        *answer = a.answer;
        if (err != ERR_AGAIN)
            return err;
        if (signals_stop_count() > 0)
            return ERR_AGAIN;
        if ((err = ask_send(&a, now)))
            return err;
        if (now > give_up_ms)
            return ERR_UNREACHABLE;
        if ((err = ask_wait(&a, now, deadline)))
            return err;
    }
}

void ask_log_unreachable(const char *endpoint) {
    char reason[RESOLVE_REASON_SIZE];
    log_error("%s: %s", endpoint,
              resolve_reason(endpoint,
                             "no consumer answers there; start it ('chunklift consumer'), or correct the address",
                             reason, sizeof reason));
}
