#include "uploader/reports.h"

#include "pure/check.h"
#include "pure/deadline.h"
#include "pure/ref.h"
#include "uploader/tasks/tasks.h"
#include <stdlib.h>
#include <sys/param.h>

#define RESEND_MS 1000
#define RESEND_MAX_MS 5000

void reports_init(struct reports *r) {
    *r = (struct reports){0};
    list_init(&r->due);
    list_init(&r->sent);
}

void report_destroy(struct report **report) {
    if (!*report)
        return;
    property_set_drop(&(*report)->properties);
    free((*report)->memory);
    free(*report);
    *report = NULL;
}

void reports_release(struct reports *r) {
    for (struct hash_node *next, *n = hash_walk(&r->by_ref, NULL); n; n = next) {
        next = hash_walk(&r->by_ref, n);
        struct report *e = list_entry(n, struct report, by_ref);
        report_destroy(&e);
    }
    hash_release(&r->by_ref);
    reports_init(r);
}

/* The report of this job and outcome (0: any); NULL: none. */
static struct report *reports_find(const struct reports *r, const struct ref *ref, int outcome) {
    for (struct hash_node *n = hash_first(&r->by_ref, ref_hash(ref)); n; n = hash_next(n)) {
        struct report *e = list_entry(n, struct report, by_ref);
        if (ref_equal(&e->result.ref, ref) && (!outcome || (int)e->result.outcome == outcome))
            return e;
    }
    return NULL;
}

/* Copies the strings of a result into one block of memory. */
static int result_copy(struct result *out, const struct result *in, void **memory) {
    *out = *in;
    struct slice *all[] = {&out->error,         &out->handle,      &out->etag,        &out->source.name,
                           &out->source.path,   &out->source.boot, &out->target.dest, &out->target.endpoint,
                           &out->target.region, &out->listing};
    return slices_own(all, sizeof all / sizeof *all, memory);
}

int reports_add(struct reports *r, const struct result *result, struct property_set *properties) {
    if (reports_find(r, &result->ref, result->outcome))
        return 0;
    struct report *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    if (result_copy(&e->result, result, &e->memory)) {
        free(e);
        return ERR_NOMEM;
    }
    e->properties = property_set_hold(properties);
    hash_insert(&r->by_ref, &e->by_ref, ref_hash(&result->ref));
    list_add(&r->due, &e->node);
    r->count++;
    return 0;
}

bool reports_has(const struct reports *r, const struct ref *ref) {
    return reports_find(r, ref, 0) != NULL;
}

size_t reports_due(struct reports *r, struct result *out, size_t max) {
    size_t count = 0;
    for (struct list *n = r->due.next; n != &r->due && count < max; n = n->next)
        out[count++] = list_entry(n, struct report, node)->result;
    return count;
}

void reports_sent(struct reports *r, size_t count, uint64_t now_ms) {
    for (; count > 0; count--) {
        CHECK(!list_is_empty(&r->due));
        struct report *e = list_entry(r->due.next, struct report, node);
        uint32_t wait_ms = RESEND_MS << MIN(e->tries, 3);
        e->tries++;
        e->result.sent_bytes = 0; /* counted once, however often it is resent */
        e->due_ms = now_ms + MIN(wait_ms, RESEND_MAX_MS);
        list_remove(&e->node);
        list_add(&r->sent, &e->node);
    }
}

uint64_t reports_tick(struct reports *r, uint64_t now_ms) {
    uint64_t next_ms = UINT64_MAX;
    for (struct list *next, *n = r->sent.next; n != &r->sent; n = next) {
        next = n->next;
        struct report *e = list_entry(n, struct report, node);
        if (e->due_ms <= now_ms) {
            list_remove(n);
            list_add(&r->due, n);
        } else {
            deadline_lower(&next_ms, e->due_ms);
        }
    }
    return next_ms;
}

void reports_send_all_again(struct reports *r) {
    while (!list_is_empty(&r->sent)) {
        struct report *e = list_entry(r->sent.next, struct report, node);
        e->tries = 0;
        list_remove(&e->node);
        list_add(&r->due, &e->node);
    }
}

struct report *reports_take(struct reports *r, const struct ref *ref, enum outcome outcome) {
    struct report *e = reports_find(r, ref, outcome);
    if (!e)
        return NULL;
    hash_remove(&r->by_ref, &e->by_ref);
    list_remove(&e->node);
    r->count--;
    return e;
}
