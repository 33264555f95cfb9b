#include "runtime/zap.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/log.h"
#include <sys/param.h>
#include <zmq.h>

#define REQUESTS_MAX 256 /* answered by one zap_serve; the number of connections is limited */
#define LOG_AGAIN_MS 60000

static void *zap_socket;
static uint64_t logged_ms, asked_count;
static unsigned unlogged;

int zap_open(void *context) {
    int none = 0;
    if (zap_socket)
        return 0;
    zap_socket = zmq_socket(context, ZMQ_REP);
    if (zap_socket && zmq_setsockopt(zap_socket, ZMQ_LINGER, &none, sizeof none) == 0 &&
        zmq_bind(zap_socket, "inproc://zeromq.zap.01") == 0)
        return 0;
    log_error("the keys of peers cannot be checked: %s", zmq_strerror(zmq_errno()));
    zap_close();
    return ERR_IO;
}

void zap_close(void) {
    if (zap_socket)
        zmq_close(zap_socket);
    zap_socket = NULL;
}

uint64_t zap_asked(void) {
    return asked_count;
}

void *zap_waitable(void) {
    return zap_socket;
}

/* version, request id, domain, address, routing id, mechanism, credentials (the client's public key) */
enum { VERSION, REQUEST, DOMAIN, ADDRESS, ROUTING, MECHANISM, CREDENTIALS, PARTS };
struct part {
    char bytes[256];
    size_t len;
};

/* Receives one request. False: there is none. */
static bool zap_recv_request(struct part parts[PARTS], size_t *count) {
    int more = 1;
    size_t size = sizeof more;
    *count = 0;
    while (more) {
        struct part *p = &parts[MIN(*count, PARTS - 1)];
        int n = zmq_recv(zap_socket, p->bytes, sizeof p->bytes - 1, ZMQ_DONTWAIT);
        if (n == -1)
            return false;
        p->len = MIN((size_t)n, sizeof p->bytes - 1);
        p->bytes[p->len] = '\0';
        ++*count;
        if (zmq_getsockopt(zap_socket, ZMQ_RCVMORE, &more, &size) != 0)
            return false;
    }
    return true;
}

static bool part_is(const struct part *p, const char *text) {
    return strcmp(p->bytes, text) == 0;
}

static void zap_log_refused(const struct curve_key *key, const char *from) {
    uint64_t now_ms = clock_ms();
    unlogged++;
    if (logged_ms && now_ms < logged_ms + LOG_AGAIN_MS)
        return;
    logged_ms = now_ms;
    log_warn("%s: refused, its key is not trusted here: %s%s", from, key->text,
             unlogged > 1 ? " (others were refused before)" : "");
    unlogged = 0;
}

static void zap_send_reply(const struct part *request, bool yes, const struct curve_key *key) {
    const char *code = yes ? "200" : "400", *text = yes ? "OK" : "not trusted";
    if (zmq_send(zap_socket, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
        zmq_send(zap_socket, request->bytes, request->len, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
        zmq_send(zap_socket, code, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
        zmq_send(zap_socket, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
        zmq_send(zap_socket, key->text, yes ? CURVE_TEXT_LEN : 0, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
        zmq_send(zap_socket, "", 0, ZMQ_DONTWAIT) == -1)
        log_debug("the answer about a peer's key was not sent: %s",
                  zmq_strerror(zmq_errno())); /* its connection is gone */
}

void zap_serve(void) {
    struct part parts[PARTS];
    size_t count;
    for (int i = 0; zap_socket && i < REQUESTS_MAX && zap_recv_request(parts, &count); i++) {
        struct curve_key key = {{0}};
        asked_count++;
        bool formed = count == PARTS && part_is(&parts[VERSION], "1.0") && part_is(&parts[DOMAIN], ZAP_DOMAIN) &&
                      part_is(&parts[MECHANISM], "CURVE") && parts[CREDENTIALS].len == CURVE_BYTES;
        if (formed)
            curve_key_from_bytes(&key, (const uint8_t *)parts[CREDENTIALS].bytes);
        bool yes = formed && keys_admit(&key);
        if (formed && !yes)
            zap_log_refused(&key, parts[ADDRESS].bytes);
        zap_send_reply(&parts[REQUEST], yes, &key);
    }
}
