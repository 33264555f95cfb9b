/*
 * Admission to this process's CURVE servers. libzmq asks over inproc (ZeroMQ RFC 27, "ZAP") about every client that has
 * proved to hold its key, and waits for the answer. No thread answers: the loop calls zap_serve (endpoint_service does).
 * The key becomes the user id of the connection, and libzmq attaches it to every message.
 */
#ifndef CHUNKLIFT_ZAP_H
#define CHUNKLIFT_ZAP_H

#include "pure/err.h"
#include <stdint.h>

#define ZAP_DOMAIN "chunklift" /* with ZMQ_ZAP_ENFORCE_DOMAIN: without a handler libzmq would admit every client */

/* Opens the handler; does nothing when it is open. ERR_IO: logged. */
int zap_open(void *context) MUST_CHECK;
void zap_close(void);
void zap_serve(void);     /* answers the waiting requests; does not block */
uint64_t zap_asked(void); /* number of clients that proved a key so far, trusted or not */
/* A libzmq socket that becomes readable when libzmq asks; NULL when it is not open. */
void *zap_waitable(void);

#endif
