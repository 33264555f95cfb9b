/*
 * DIR/consumer: the endpoint of this consumer, and the processes that may hold leases (rule 6). The
 * next consumer reads it after a crash. When every holder ran on this machine, in this boot, and is
 * dead, there is no grace period.
 *
 * A holder that cannot be checked (another host, another boot, a missing file) is written as
 * process 1, which never dies. The holders of the former file stay in the new one until their
 * leases are over. This consumer may be killed before they send HELLO.
 */
#ifndef CHUNKLIFT_CONSUMER_HOLDERS_H
#define CHUNKLIFT_CONSUMER_HOLDERS_H

#include "consumer/peers.h"
#include "pure/err.h"
#include "system/dirs.h"

struct holders {
    const char *dir;
    struct consumer_file former;
    bool former_unknown; /* there may be holders that `former` does not have */
    bool written;
};

/* Reads the file of the last consumer. clean: it ended cleanly, and there are no holders. */
void holders_init(struct holders *h, const char *dir, bool clean);
void holders_release(struct holders *h);
/* All holders of the last epoch are known, and dead. */
bool holders_are_gone(const struct holders *h);
/* Replaces the file atomically. grace: leases of the last epoch may still live. Errors are those of
 * consumer_file_write, logged; ERR_LIMIT, ERR_NOMEM. */
int holders_write(struct holders *h, const char *endpoint, const struct peers *peers, bool grace) MUST_CHECK;
/* Removes the file if this consumer wrote it. */
void holders_remove(struct holders *h);

#endif
