/* Why nothing answers at an address, as far as it can be seen from here. */
#ifndef CHUNKLIFT_RESOLVE_H
#define CHUNKLIFT_RESOLVE_H

#include <stddef.h>

#define RESOLVE_REASON_SIZE 512

/* address: tcp://HOST:PORT or ipc://PATH. When HOST cannot be resolved, reason says so; else it is a copy of otherwise.
 * Returns reason. Asks the name service, which can take seconds: for the moment before giving up. */
const char *resolve_reason(const char *address, const char *otherwise, char *reason, size_t size);

#endif
