/* The consumer on its socket: the loop, from bind to the last commit. */
#ifndef CHUNKLIFT_CONSUMER_SERVE_H
#define CHUNKLIFT_CONSUMER_SERVE_H

#include "consumer/settings.h"

struct server; /* opaque */

/* Takes the journal's lock, rebuilds the state, binds, and says in DIR/consumer where it is. Errors are logged. */
int server_new(struct server **s, const struct settings *settings) MUST_CHECK;
/* Until it is told to stop or, for cp, until nobody needs it. An error means that the journal was lost: everybody was
 * told, logged. */
int server_run(struct server *s) MUST_CHECK;
void server_destroy(struct server **s);

#endif
