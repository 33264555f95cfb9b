#include "consumer/jobs/refusals.h"
#include "pure/array.h"
#include <stdlib.h>
#include <sys/param.h>

void refusals_init(struct refusals *r) {
    *r = (struct refusals){0};
    list_init(&r->by_age);
}

static void refusal_remove(struct refusals *r, struct refusal *refusal) {
    hash_remove(&r->by_upload, &refusal->node);
    list_remove(&refusal->by_age);
    r->count--;
    free(refusal->peers);
    free(refusal->error);
    free(refusal);
}

void refusals_release(struct refusals *r) {
    while (r->count)
        refusal_remove(r, list_entry(r->by_age.next, struct refusal, by_age));
    hash_release(&r->by_upload);
}

struct refusal *refusals_find(const struct refusals *r, const struct id128 *upload) {
    for (struct hash_node *n = hash_first(&r->by_upload, id_hash(upload)); n; n = hash_next(n)) {
        struct refusal *refusal = list_entry(n, struct refusal, node);
        if (id_equal(&refusal->upload, upload))
            return refusal;
    }
    return NULL;
}

bool refusal_is_by(const struct refusal *refusal, const struct id128 *peer) {
    if (refusal->count >= REFUSALS_PEERS_MAX)
        return true;
    for (size_t i = 0; i < refusal->count; i++)
        if (id_equal(&refusal->peers[i], peer))
            return true;
    return false;
}

static struct refusal *refusal_new(struct refusals *r, const struct id128 *upload) {
    struct refusal *refusal = calloc(1, sizeof *refusal);
    if (!refusal)
        return NULL;
    if (r->count == REFUSALS_UPLOADS_MAX)
        refusal_remove(r, list_entry(r->by_age.next, struct refusal, by_age));
    refusal->upload = *upload;
    hash_insert(&r->by_upload, &refusal->node, id_hash(upload));
    list_add(&r->by_age, &refusal->by_age);
    r->count++;
    return refusal;
}

static int refusal_add_peer(struct refusal *refusal, const struct id128 *peer) {
    if (refusal_is_by(refusal, peer))
        return 0;
    int err = array_grow(&refusal->peers, &refusal->cap, refusal->count, sizeof *refusal->peers);
    if (!err)
        refusal->peers[refusal->count++] = *peer;
    return err;
}

struct refusal *refusals_add(struct refusals *r, const struct id128 *upload, const struct id128 *peer,
                             enum fail_class class, struct slice error) {
    struct refusal *refusal = refusals_find(r, upload);
    if (!refusal)
        refusal = refusal_new(r, upload);
    if (!refusal || refusal_add_peer(refusal, peer))
        return NULL;
    if (class == FAIL_NONE)
        return refusal;
    error.len = MIN(error.len, REFUSAL_ERROR_MAX);
    char *copy = slice_dup(error);
    if (copy) {
        free(refusal->error);
        refusal->error = copy;
    }
    refusal->class = class;
    return refusal;
}

void refusals_forget(struct refusals *r, const struct id128 *upload) {
    struct refusal *refusal = refusals_find(r, upload);
    if (refusal)
        refusal_remove(r, refusal);
}
