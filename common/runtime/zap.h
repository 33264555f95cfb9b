/*
 * Who may connect to this process's CURVE servers: libzmq asks over inproc (ZeroMQ RFC 27, "ZAP") about every client
 * that has proved to hold its key, and waits for the answer. There is no thread: whoever turns the loop calls
 * zap_serve, as endpoint.c does. The key becomes the connection's user id, which comes with every message.
 */
#ifndef CHUNKLIFT_ZAP_H
#define CHUNKLIFT_ZAP_H

#include "pure/err.h"
#include <stdint.h>

#define ZAP_DOMAIN "chunklift" /* with ZMQ_ZAP_ENFORCE_DOMAIN: libzmq lets everybody in that has no handler */

/* Does nothing when it is open. ERR_IO, logged. */
int zap_open(void *context) MUST_CHECK;
void zap_close(void);
void zap_serve(void);
uint64_t zap_asked(void); /* how many clients proved a key so far, trusted or not */
/* A libzmq socket that becomes readable when somebody is asked about; NULL when it is not open. */
void *zap_waitable(void);

#endif
