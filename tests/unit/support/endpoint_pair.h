/* Two endpoints of one process, one of them bound, and waits that fail the test after PATIENCE_MS. */
#ifndef CHUNKLIFT_TEST_ENDPOINT_PAIR_H
#define CHUNKLIFT_TEST_ENDPOINT_PAIR_H

#include "runtime/endpoint.h"

#define PATIENCE_MS 20000

/* The server binds address; the client connects to the address that it got. */
void endpoint_pair_open(enum endpoint_kind server_kind, enum endpoint_kind client_kind, const char *address,
                        struct endpoint **server, struct endpoint **client);

/* Waits until e is ready for one of want (ENDPOINT_IN, ENDPOINT_OUT). False after PATIENCE_MS. */
bool endpoint_wait_for(struct endpoint *e, int want);

/* Sends text as soon as there is a connection that takes it. */
void endpoint_send_wait(struct endpoint *e, const char *text);

/* The sender of a message. endpoint_recv clears the frame also without a new message, so a later answer needs a copy. */
struct kept_peer {
    uint8_t id[16];
    size_t len;
};
void peer_keep(struct kept_peer *p, const struct frame *f);

#endif
