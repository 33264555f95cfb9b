/*
 * DIR/consumer: where this consumer is, and which processes may hold leases (rule 6). The consumer after us reads it:
 * when every holder was of this machine, in this boot, and is dead, it need not wait for any of them.
 *
 * A holder that cannot be looked at (another host, another boot, a file that is gone) is written down as process 1,
 * which never dies. What the former file said stays in ours until the leases of then are over: we may be killed before
 * those holders have said HELLO to us.
 */
#ifndef CHUNKLIFT_CONSUMER_HOLDERS_H
#define CHUNKLIFT_CONSUMER_HOLDERS_H

#include "consumer/peers.h"
#include "pure/err.h"
#include "system/dirs.h"

struct holders {
    const char *dir;
    struct consumer_file former;
    bool former_unknown; /* there may be others than those in `former` */
    bool written;
};

/* Reads what the last consumer left. clean: it ended in good order, nobody holds anything. */
void holders_init(struct holders *h, const char *dir, bool clean);
void holders_release(struct holders *h);
bool holders_are_gone(const struct holders *h);
/* Replaces the file. grace: leases of the last epoch may still live. */
int holders_write(struct holders *h, const char *endpoint, const struct peers *peers, bool grace) MUST_CHECK;
/* Removes the file, if it is ours. */
void holders_remove(struct holders *h);

#endif
