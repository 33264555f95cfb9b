#include "endpoint_pair.h"
#include "system/clock.h"
#include "unit.h"

void endpoint_pair_open(enum endpoint_kind server_kind, enum endpoint_kind client_kind, const char *address,
                        struct endpoint **server, struct endpoint **client) {
    assert_int_equal(endpoint_open(server, server_kind, address), 0);
    assert_int_equal(endpoint_open(client, client_kind, endpoint_address(*server)), 0);
}

bool endpoint_wait_for(struct endpoint *e, int want) {
    struct wait_item item = {.endpoint = e, .want = want};
    uint64_t end = clock_ms() + PATIENCE_MS;
    while (clock_ms() < end) {
        assert_int_equal(endpoint_wait(&item, 1, 1000), 0);
        if (item.ready & want)
            return true;
    }
    return false;
}

/* Writable may mean: to a connection that closes before the message is sent. */
void endpoint_send_wait(struct endpoint *e, const char *text) {
    uint64_t end = clock_ms() + PATIENCE_MS;
    int err = ERR_AGAIN;
    while (err == ERR_AGAIN && clock_ms() < end) {
        assert_true(endpoint_wait_for(e, ENDPOINT_OUT));
        err = endpoint_send(e, NULL, 0, slice_of(text));
    }
    assert_int_equal(err, 0);
}

void peer_keep(struct kept_peer *p, const struct frame *f) {
    memcpy(p->id, f->peer, sizeof p->id);
    p->len = f->peer_len;
}
