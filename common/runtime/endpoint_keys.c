/*
 * Keys of the sockets (runtime/keys.h). Every tcp socket has them, bound or connected, unless --insecure.
 *
 * A server is asked about each client's key (runtime/zap.h) before anything else passes. libzmq gives a connection a
 * queue only after that, so a refused peer receives no offers. A client knows the server's key beforehand; a server with
 * another key cannot finish the handshake.
 *
 * When a key loses a role (endpoint_reread_keys), a ROUTER closes the connections of that key, and those without a
 * message so far; a PUSH closes all, because its peers send nothing. Peers that are still trusted reconnect within a
 * second.
 */
#include "runtime/endpoint_internal.h"
#include "runtime/keys.h"
#include "system/clock.h"
#include "system/log.h"
#include <zmq.h>

bool key_is_admitted(const struct curve_key *key) {
    return curve_key_is_set(key) && keys_admit(key);
}

/* Closes the connection and opens another one that expects `key`. known false: stays without a connection. */
static void endpoint_expect_key(struct endpoint *e, const struct curve_key *key, bool known) {
    if (!e->untrusted)
        (void)zmq_disconnect(e->socket, e->address);
    e->rests_until_ms = 0; /* libzmq may have taken the signal of the fd */
    e->untrusted = !known;
    e->expected = *key;
    e->connected_ms = clock_ms();
    if (known && (endpoint_set_keys(e) != 0 || zmq_connect(e->socket, e->address) != 0))
        log_warn("%s: cannot connect: %s", e->address, zmq_strerror(errno));
}

/* A consumer may have two keys while its key is replaced. */
static bool endpoint_still_expects_key(const struct endpoint *e) {
    struct curve_key first, other;
    return keys_expected(e->address, e->server, &first) == 0 &&
           (curve_key_equal(&first, &e->expected) ||
            (keys_expected_other(e->address, e->server, &first, &other) == 0 && curve_key_equal(&other, &e->expected)));
}

static void endpoint_reread_key(struct endpoint *e) {
    struct curve_key now;
    bool known = keys_expected(e->address, e->server, &now) == 0;
    if (known && !e->untrusted && endpoint_still_expects_key(e))
        return;
    if (!known && !e->untrusted)
        log_warn("%s: disconnected: the trust file here has no key for it any more; add its line to connect again",
                 e->address);
    endpoint_expect_key(e, &now, known);
}

void endpoint_try_other_key(struct endpoint *e) {
    struct curve_key other;
    if (!e->curve || e->untrusted || keys_expected_other(e->address, e->server, &e->expected, &other) != 0 ||
        curve_key_equal(&other, &e->expected))
        return;
    log_debug("%s: no answer; trying the other key that the trust file has for it", e->address);
    endpoint_expect_key(e, &other, true);
}

int endpoint_reread_keys(void) {
    bool lost;
    int err = keys_reload(&lost);
    for (struct endpoint *e = endpoint_all; !err && e; e = e->next) {
        if (e->curve && !endpoint_kind_binds(e->kind))
            endpoint_reread_key(e);
        else if (e->curve && lost)
            connections_close_unless(e->connections, key_is_admitted);
    }
    return err;
}
