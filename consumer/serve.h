/* Runs the consumer on its ROUTER socket, from bind to the last commit. */
#ifndef CHUNKLIFT_CONSUMER_SERVE_H
#define CHUNKLIFT_CONSUMER_SERVE_H

#include "consumer/settings.h"

struct server; /* opaque */

/* Takes the journal's lock, rebuilds the state, binds, and writes DIR/consumer. Errors are
 * logged. */
int server_new(struct server **s, const struct settings *settings) MUST_CHECK;
/* Runs until a stop signal; for cp also until no peer needs it. An error means that the journal was
 * lost: the peers were told, and it is logged. */
int server_run(struct server *s) MUST_CHECK;
void server_destroy(struct server **s);

#endif
