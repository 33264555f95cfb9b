/* The keys of a delete: those that have ended, and the listing of those that failed. It is kept over the attempts at a job. */
#include "uploader/backend.h"

#include "pure/array.h"
#include "pure/listing.h"
#include "pure/text.h"
#include <stdlib.h>
#include <sys/param.h>

#define REASON_MAX 200 /* bytes: docs/PROTOCOL.md, `listing` of a result */
#define ENTRY_BYTES 12 /* of an entry without its texts */

int task_keys_begin(struct task *t) {
    if (!t->keys_ended)
        t->keys_ended = array_zeroed(t->job.key_count, sizeof *t->keys_ended);
    return t->keys_ended ? 0 : ERR_NOMEM;
}

bool task_key_has_ended(const struct task *t, size_t i) {
    return t->keys_ended[i];
}

void task_key_gone(struct task *t, size_t i) {
    t->keys_ended[i] = true;
}

/* A key that failed and has no entry would count as removed. So the reasons share the bytes that the names of all keys
 * leave. */
static size_t key_reason_max(const struct job *j) {
    size_t names = 0;
    for (size_t i = 0; i < j->key_count; i++)
        names += ENTRY_BYTES + j->keys[i].len;
    if (j->key_count == 0 || names >= LISTING_MAX)
        return 0;
    return MIN(REASON_MAX, (LISTING_MAX - names) / j->key_count);
}

int task_key_failed(struct task *t, size_t i, const char *why) {
    struct slice reason = slice_of(why);
    reason.len = utf8_valid_prefix(slice_make(why, MIN(reason.len, key_reason_max(&t->job))));
    const struct listed_upload entry = {.key = t->job.keys[i], .handle = reason};
    int err = listing_add(&t->keys_failed, &entry);
    if (!err)
        t->keys_ended[i] = true;
    return err;
}

void task_keys_report(struct task *t) {
    buf_release(&t->result.listing);
    t->result.listing = t->keys_failed;
    t->keys_failed = (struct buf)BUF_INIT;
}

void task_keys_release(struct task *t) {
    free(t->keys_ended);
    t->keys_ended = NULL;
    buf_release(&t->keys_failed);
}
