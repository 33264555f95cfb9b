#include "runtime/zap.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/log.h"
#include <zmq.h>

#define AT_A_TIME 256 /* asked by connections, of which there is a limit */
#define SAY_AGAIN_MS 60000

static void *asked; /* the socket */
static uint64_t said_ms, asked_count;
static unsigned unsaid;

int zap_open(void *context) {
    int none = 0;
    if (asked)
        return 0;
    asked = zmq_socket(context, ZMQ_REP);
    if (asked && zmq_setsockopt(asked, ZMQ_LINGER, &none, sizeof none) == 0 &&
        zmq_bind(asked, "inproc://zeromq.zap.01") == 0)
        return 0;
    log_error("the keys of peers cannot be checked: %s", zmq_strerror(zmq_errno()));
    zap_close();
    return ERR_IO;
}

void zap_close(void) {
    if (asked)
        zmq_close(asked);
    asked = NULL;
}

uint64_t zap_asked(void) {
    return asked_count;
}

void *zap_waitable(void) {
    return asked;
}

/* version, request id, domain, address, routing id, mechanism, credentials (the client's public key) */
enum { VERSION, REQUEST, DOMAIN, ADDRESS, ROUTING, MECHANISM, CREDENTIALS, PARTS };
struct part {
    char bytes[256];
    size_t len;
};

/* False when nobody asks. What does not look like a question about a key has count 0. */
static bool hear(struct part parts[PARTS], size_t *count) {
    int more = 1;
    size_t size = sizeof more;
    *count = 0;
    while (more) {
        struct part *p = &parts[*count < PARTS ? *count : PARTS - 1];
        int n = zmq_recv(asked, p->bytes, sizeof p->bytes - 1, ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        p->len = (size_t)n < sizeof p->bytes ? (size_t)n : sizeof p->bytes - 1;
        p->bytes[p->len] = '\0';
        ++*count;
        if (zmq_getsockopt(asked, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool is(const struct part *p, const char *text) {
    return strcmp(p->bytes, text) == 0;
}

static void say_refused(const struct curve_key *key, const char *from) {
    uint64_t now_ms = clock_ms();
    unsaid++;
    if (said_ms && now_ms < said_ms + SAY_AGAIN_MS)
        return;
    said_ms = now_ms;
    log_warn("%s: refused, its key is not trusted here: %s%s", from, key->text,
             unsaid > 1 ? " (others were refused before)" : "");
    unsaid = 0;
}

static void answer(const struct part *request, bool yes, const struct curve_key *key) {
    const char *code = yes ? "200" : "400", *text = yes ? "OK" : "not trusted";
    if (zmq_send(asked, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(asked, request->bytes, request->len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(asked, code, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(asked, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(asked, key->text, yes ? CURVE_TEXT_LEN : 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(asked, "", 0, ZMQ_DONTWAIT) < 0)
        log_debug("the answer about a peer's key was not sent: %s",
                  zmq_strerror(zmq_errno())); /* its connection is gone */
}

void zap_serve(void) {
    struct part parts[PARTS];
    size_t count;
    for (int i = 0; asked && i < AT_A_TIME && hear(parts, &count); i++) {
        struct curve_key key = {{0}};
        asked_count++;
        bool formed = count == PARTS && is(&parts[VERSION], "1.0") && is(&parts[DOMAIN], ZAP_DOMAIN) &&
                      is(&parts[MECHANISM], "CURVE") && parts[CREDENTIALS].len == CURVE_BYTES;
        if (formed)
            curve_key_from_bytes(&key, (const uint8_t *)parts[CREDENTIALS].bytes);
        bool yes = formed && keys_admit(&key);
        if (formed && !yes)
            say_refused(&key, parts[ADDRESS].bytes);
        answer(&parts[REQUEST], yes, &key);
    }
}
