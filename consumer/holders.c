#include "consumer/holders.h"
#include "system/fileid.h"
#include "system/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define UNKNOWN_PID 1

void holders_init(struct holders *h, const char *dir, bool clean) {
    *h = (struct holders){.dir = dir};
    if (clean)
        return;
    int err = consumer_file_read(dir, &h->former);
    h->former_unknown = err || strcmp(h->former.boot, boot_id()) != 0;
}

void holders_release(struct holders *h) {
    consumer_file_release(&h->former);
}

static bool holder_is_alive(const struct consumer_holder *holder) {
    uint64_t ticks;
    int err = process_starttime(holder->pid, &ticks);
    if (err == ERR_NOT_FOUND)
        return false;
    return err || ticks == holder->starttime;
}

static bool holder_is_unknown(const struct consumer_holder *holder) {
    return holder->pid == UNKNOWN_PID;
}

bool holders_are_gone(const struct holders *h) {
    if (h->former_unknown)
        return false;
    for (size_t i = 0; i < h->former.holder_count; i++)
        if (holder_is_unknown(&h->former.holders[i]) || holder_is_alive(&h->former.holders[i]))
            return false;
    return true;
}

/* Uploaders of this machine, living holders of the last epoch, and process 1 for those that cannot
 * be checked. */
static size_t holders_collect(const struct holders *h, const struct peers *peers, bool grace,
                              struct consumer_holder *out) {
    bool unknown = grace && h->former_unknown;
    size_t count = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *p = peers->all[i];
        if (p->role != ROLE_UPLOADER)
            continue;
        if (p->process_visible)
            out[count++] = (struct consumer_holder){.pid = p->pid, .starttime = p->starttime};
        else
            unknown = true;
    }
    for (size_t i = 0; grace && i < h->former.holder_count; i++) {
        const struct consumer_holder *former = &h->former.holders[i];
        unknown |= holder_is_unknown(former);
        if (!holder_is_unknown(former) && holder_is_alive(former))
            out[count++] = *former;
    }
    if (unknown)
        out[count++] = (struct consumer_holder){.pid = UNKNOWN_PID};
    return count;
}

int holders_write(struct holders *h, const char *endpoint, const struct peers *peers, bool grace) {
    struct consumer_file f = {.pid = getpid()};
    if ((size_t)snprintf(f.endpoint, sizeof f.endpoint, "%s", endpoint) >= sizeof f.endpoint)
        return ERR_LIMIT;
    snprintf(f.boot, sizeof f.boot, "%s", boot_id());
    f.holders = calloc(peers->count + h->former.holder_count + 1, sizeof *f.holders); /* and process 1 */
    if (!f.holders)
        return ERR_NOMEM;
    f.holder_count = holders_collect(h, peers, grace, f.holders);
    int err = consumer_file_write(h->dir, &f);
    h->written = h->written || !err;
    consumer_file_release(&f);
    return err;
}

void holders_remove(struct holders *h) {
    struct buf path = BUF_INIT;
    if (h->written && buf_addf(&path, "%s/consumer", h->dir) == 0 && unlink(path.data) != 0)
        log_debug("%s: cannot be removed: %m", path.data);
    buf_release(&path);
    h->written = false;
}
