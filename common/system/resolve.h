/* The reason why a peer does not answer, as far as this host can find it. */
#ifndef CHUNKLIFT_RESOLVE_H
#define CHUNKLIFT_RESOLVE_H

#include <stddef.h>

#define RESOLVE_REASON_SIZE 512

/* address: tcp://HOST:PORT or ipc://PATH. When HOST does not resolve, reason has that error; else a copy of
 * otherwise. Returns reason. Blocks on the name service, for seconds perhaps: call it only before giving up. */
const char *resolve_reason(const char *address, const char *otherwise, char *reason, size_t size);

#endif
