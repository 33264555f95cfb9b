#include "journal/named_uploads.h"
#include "pure/array.h"

#include "pure/dest.h"
#include "system/log.h"
#include <stdlib.h>
#include <unistd.h>

static int named_upload_parse(const char *name, const char *cwd, struct buf *url) {
    char reason[DEST_PROBLEM_SIZE];
    if (dest_problem(name, reason, sizeof reason)) {
        log_error("%s: %s", name, reason);
        return ERR_USAGE;
    }
    return dest_from_argument(name, cwd, url);
}

int named_uploads_parse(struct named_uploads *u) {
    u->dests = array_zeroed(u->count, sizeof *u->dests);
    u->met = array_zeroed(u->count, sizeof *u->met);
    char *cwd = getcwd(NULL, 0);
    int err = u->dests && u->met ? 0 : ERR_NOMEM;
    for (size_t i = 0; !err && i < u->count; i++)
        err = named_upload_parse(u->names[i], cwd ? cwd : "/", &u->dests[i]);
    free(cwd);
    return err;
}

static bool named_upload_is(const struct named_uploads *u, size_t i, const struct id128 *upload, struct slice dest) {
    struct id128 id;
    bool same = id_from_hex(&id, slice_of(u->names[i])) == 0 && id_equal(&id, upload);
    return same || slice_equal(dest, buf_slice(&u->dests[i]));
}

bool named_uploads_match(const struct named_uploads *u, const struct id128 *upload, struct slice dest) {
    for (size_t i = 0; i < u->count; i++)
        if (named_upload_is(u, i, upload, dest))
            return true;
    return false;
}

void named_uploads_meet(struct named_uploads *u, const struct id128 *upload, struct slice dest) {
    for (size_t i = 0; i < u->count; i++)
        u->met[i] = u->met[i] || named_upload_is(u, i, upload, dest);
}

int named_uploads_check(const struct named_uploads *u) {
    for (size_t i = 0; i < u->count; i++)
        if (!u->met[i]) {
            log_error("%s: the journal knows no such upload; nothing was forgotten", u->names[i]);
            return ERR_DAMAGED;
        }
    return 0;
}

void named_uploads_release(struct named_uploads *u) {
    for (size_t i = 0; u->dests && i < u->count; i++)
        buf_release(&u->dests[i]);
    free(u->dests);
    free(u->met);
}
