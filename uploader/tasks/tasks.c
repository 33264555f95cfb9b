#include "uploader/tasks/tasks.h"
#include "pure/array.h"

#include "pure/check.h"
#include <stdlib.h>
#include <string.h>

int slices_own(struct slice **slices, size_t count, void **memory) {
    size_t size = 0;
    for (size_t i = count; i-- > 0;)
        size += slices[i]->len + 1;
    char *at = malloc(size);
    if (!at)
        return ERR_NOMEM;
    *memory = at;
    for (size_t i = 0; i < count; i++) {
        if (slices[i]->len > 0)
            memcpy(at, slices[i]->ptr, slices[i]->len);
        at[slices[i]->len] = 0;
        slices[i]->ptr = at;
        at += slices[i]->len + 1;
    }
    return 0;
}

/* Copies the keys of a delete into one new block: the slices, then their texts. */
static int job_copy_keys(struct job *out, const struct job *in, void **memory) {
    size_t size = in->key_count * sizeof *in->keys;
    for (size_t i = 0; i < in->key_count; i++)
        size += in->keys[i].len;
    struct slice *keys = malloc(size);
    if (!keys)
        return ERR_NOMEM;
    char *at = (char *)(keys + in->key_count);
    for (size_t i = 0; i < in->key_count; i++) {
        memcpy(at, in->keys[i].ptr, in->keys[i].len);
        keys[i] = slice_make(at, in->keys[i].len);
        at += in->keys[i].len;
    }
    out->keys = *memory = keys;
    return 0;
}

/* Copies job into e with everything that it points to. ERR_NOMEM: e owns what was copied. */
static int task_copy_job(struct task_entry *e, const struct job *job) {
    struct job *out = &e->task.job;
    *out = *job;
    struct slice *all[] = {&out->source.name, &out->source.path,     &out->source.boot,
                           &out->target.dest, &out->target.endpoint, &out->target.region,
                           &out->handle,      &out->content_type,    &out->marker};
    int err = slices_own(all, sizeof all / sizeof *all, &e->job_memory);
    if (!err && job->key_count > 0)
        err = job_copy_keys(out, job, &e->key_memory);
    return err;
}

void tasks_init(struct tasks *t) {
    *t = (struct tasks){0};
    for (int i = 0; i < TASK_STATES; i++)
        list_init(&t->lists[i]);
}

static void task_destroy(struct task_entry *e) {
    source_close(&e->task.source);
    free(e->task.parts);
    free(e->task.result.redo);
    buf_release(&e->task.result.listing);
    task_keys_release(&e->task);
    while (e->etag_pages > 0)
        free(e->etags[--e->etag_pages]);
    free(e->etags);
    property_set_drop(&e->property_set);
    free(e->job_memory);
    free(e->key_memory);
    free(e->data);
    free(e);
}

struct task_entry *tasks_add(struct tasks *t, const struct job *job, bool own_abort) {
    struct task_entry *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    if (task_copy_job(e, job)) {
        task_destroy(e);
        return NULL;
    }
    e->task.properties = &properties_none;
    e->own_abort = own_abort;
    e->state = own_abort ? TASK_QUEUED : TASK_WANTED;
    limiter_entry_init(&e->slot);
    list_init(&e->node);
    list_add(&t->lists[e->state], &e->node);
    t->counts[e->state]++;
    if (!own_abort)
        hash_insert(&t->by_ref, &e->by_ref, ref_hash(&job->ref));
    return e;
}

void task_set_properties(struct task_entry *e, struct property_set *set) {
    property_set_drop(&e->property_set);
    e->property_set = property_set_hold(set);
    e->task.properties = set ? &set->properties : &properties_none;
}

struct task_entry *tasks_find(const struct tasks *t, const struct ref *ref) {
    for (struct hash_node *n = hash_first(&t->by_ref, ref_hash(ref)); n; n = hash_next(n)) {
        struct task_entry *e = list_entry(n, struct task_entry, by_ref);
        if (ref_equal(&e->task.job.ref, ref))
            return e;
    }
    return NULL;
}

void tasks_move(struct tasks *t, struct task_entry *e, enum task_state state) {
    list_remove(&e->node);
    t->counts[e->state]--;
    e->state = state;
    list_add(&t->lists[state], &e->node);
    t->counts[state]++;
}

void tasks_remove(struct tasks *t, struct task_entry **e) {
    CHECK(!(*e)->slot.waiting);
    list_remove(&(*e)->node);
    t->counts[(*e)->state]--;
    if (!(*e)->own_abort)
        hash_remove(&t->by_ref, &(*e)->by_ref);
    task_destroy(*e);
    *e = NULL;
}

void tasks_release(struct tasks *t) {
    for (int i = 0; i < TASK_STATES; i++)
        while (!list_is_empty(&t->lists[i])) {
            struct task_entry *e = list_entry(t->lists[i].next, struct task_entry, node);
            list_remove(&e->node);
            task_destroy(e);
        }
    hash_release(&t->by_ref);
    tasks_init(t);
}

uint32_t tasks_count(const struct tasks *t) {
    uint32_t count = 0;
    for (int i = 0; i < TASK_STATES; i++)
        count += t->counts[i];
    return count;
}

struct task_entry *tasks_next_held(const struct tasks *t, const struct task_entry *e) {
    int state = e ? (int)e->state : TASK_PARTS;
    const struct list *n = e ? e->node.next : t->lists[state].next;
    while (n == &t->lists[state]) {
        if (++state == TASK_STATES)
            return NULL;
        n = t->lists[state].next;
    }
    return list_entry((struct list *)n, struct task_entry, node);
}

void task_done(struct task *t) {
    t->done(t, t->done_arg);
}

static bool task_wants_page(const struct task_entry *e, const struct msg_partlist *page) {
    if (page->from != e->parts_received || page->chunks != e->task.job.chunks ||
        page->part_count > page->chunks - e->parts_received)
        return false;
    for (size_t i = 0; i < page->part_count; i++)
        if (page->parts[i].chunk != e->parts_received + i)
            return false;
    return true;
}

int task_add_parts(struct task_entry *e, const struct msg_partlist *page) {
    if (!task_wants_page(e, page))
        return ERR_INVALID;
    if (page->part_count == 0)
        return 0;
    struct part *parts = realloc(e->task.parts, (e->parts_received + page->part_count) * sizeof *parts);
    if (!parts)
        return ERR_NOMEM;
    e->task.parts = parts;
    int err = array_grow_by_one(&e->etags, e->etag_pages, sizeof *e->etags);
    if (err)
        return err;
    size_t size = 1;
    for (size_t i = page->part_count; i-- > 0;)
        size += page->parts[i].etag.len;
    char *at = malloc(size);
    if (!at)
        return ERR_NOMEM;
    e->etags[e->etag_pages++] = at;
    for (size_t i = 0; i < page->part_count; i++) {
        struct part *p = &parts[e->parts_received + i];
        *p = page->parts[i];
        if (p->etag.len > 0)
            memcpy(at, p->etag.ptr, p->etag.len);
        p->etag.ptr = at;
        at += p->etag.len;
    }
    e->parts_received += (uint32_t)page->part_count;
    e->task.part_count = e->parts_received;
    return 0;
}
