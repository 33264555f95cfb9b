/*
 * First the destination is asked for (STORE, a `list`): in a bucket that is missing, every object seems to be gone. Then an
 * object passes these states:
 *
 *   LOOK ──▶ ready ──▶ DELETE ──▶ records ──▶ RECORD ──▶ (freed)
 *     │                             ▲
 *     └─(it is missing)─────────────┘
 *
 * The names in capitals are questions to the producer. LOOK is a `head`, and the PLAN that records the beginning when
 * the object is the recorded one, or missing. DELETE has many objects. RECORD is a PLAN with the end. An object that
 * is replaced or refused is freed after LOOK.
 *
 * A consumer that is started again in the middle refuses further beginnings and jobs of this producer (rule 19). Then
 * its objects fail, and the next run takes them up.
 *
 * A failed DELETE may still be carried out: a request was sent and not answered. Its objects get no RECORD, so that the
 * consumer lets no upload begin there before a lease time has passed after the end of this producer.
 */
#include "producer/cli/store/removal_run.h"

#include "producer/cli/driver.h"
#include "producer/cli/store/removal_item.h"
#include "producer/show/json_events.h"
#include "pure/dest.h"
#include "pure/listing.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ITEMS_MAX 4096u
#define UNREMOVED_SHOWN 100u /* a consumer that restarts fails all objects that are left */
#define ONE_UPLOADER_OBJECTS 16
#define FAILED_REQUESTS_MAX 16 /* in a row: the account may remove nothing, or the store is down */
#define UNSERVED_WAIT_MS 10000 /* as for cp: the uploaders are all known */

enum removal_step { STEP_STORE, STEP_LOOK, STEP_DELETE, STEP_RECORD };

struct removal_question {
    struct list node; /* of removing.questions */
    enum removal_step step;
    struct removal_item *item; /* of a LOOK and a RECORD */
    struct list items;         /* of a DELETE */
    bool understood;           /* its answer is: an object that it does not name is gone */
};

struct removing {
    const struct removal_options *o;
    struct producer_stats *stats;
    struct removal_list *list;
    uint64_t left; /* candidates that may be asked about */
    struct errand errand;
    struct list questions;
    struct list ready, records; /* items */
    size_t items, ready_count, ready_bytes;
    size_t looking;                 /* outstanding LOOKs */
    unsigned failed_requests;       /* DELETEs in a row */
    bool listed;                    /* there are no more candidates */
    bool stopped;                   /* nothing is removed any more */
    bool asked_store, knows_store;  /* STORE: the bucket is there */
    const char *keys[JOB_KEYS_MAX]; /* of the present question, as finding */
    struct producer_finding finding;
};

/* ---- items ---- */

static void removing_free(struct removing *r, struct removal_item *item) {
    removal_item_free(item);
    r->items--;
}

static void removing_add_ready(struct removing *r, struct removal_item *item) {
    list_add(&r->ready, &item->node);
    r->ready_count++;
    r->ready_bytes += question_key_bytes(strlen(item->dest), false);
}

static void removing_take_ready(struct removing *r, struct removal_item *item) {
    list_remove(&item->node);
    r->ready_count--;
    r->ready_bytes -= question_key_bytes(strlen(item->dest), false);
}

/* The item has its outcome, which is recorded; REMOVAL_NONE: nothing is. */
static void removing_settle(struct removing *r, struct removal_item *item, enum removal outcome) {
    item->outcome = outcome;
    list_remove(&item->node);
    if (outcome)
        list_add(&r->records, &item->node);
    else
        removing_free(r, item);
}

static void removing_fail(struct removing *r, struct removal_item *item, const char *reason, enum removal outcome) {
    if (r->stats->objects_failed++ < UNREMOVED_SHOWN)
        log_error("%s: not removed: %s", item->dest, reason);
    removing_settle(r, item, outcome);
}

static void removing_removed(struct removing *r, const struct removal_item *item) {
    r->stats->objects_deleted++;
    if (r->o->json)
        json_deleted_event(item->src, item->dest, item->object.size);
    else
        log_debug("%s: removed; its source is gone: %s", item->dest, item->src);
}

/* Nothing is removed any more. */
static void removing_stop(struct removing *r) {
    struct list *node;
    r->stopped = true;
    while ((node = list_first(&r->ready))) {
        struct removal_item *item = list_entry(node, struct removal_item, node);
        removing_take_ready(r, item);
        r->stats->objects_failed++;
        removing_settle(r, item, REMOVAL_FAILED);
    }
}

/* ---- questions ---- */

static struct removal_question *removing_add_question(struct removing *r, enum removal_step step,
                                                      struct removal_item *item) {
    struct removal_question *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->step = step;
    q->item = item;
    list_init(&q->items);
    list_init(&q->node);
    list_add(&r->questions, &q->node);
    return q;
}

static int removing_ask_store(struct removing *r, struct producer_question *out) {
    struct removal_question *q = r->asked_store ? NULL : removing_add_question(r, STEP_STORE, NULL);
    if (r->asked_store)
        return ERR_AGAIN;
    if (!q)
        return ERR_NOMEM;
    r->asked_store = true;
    *out = (struct producer_question){.item = q, .kind = JOB_LIST, .dest = r->o->scope->trees[0].dest};
    return 0;
}

static int removing_ask_look(struct removing *r, struct producer_question *out) {
    struct removal_candidate c;
    int err = removal_list_next(r->list, &c);
    if (err)
        return err;
    struct removal_item *item = removal_item_new(&c);
    struct removal_question *q = item ? removing_add_question(r, STEP_LOOK, item) : NULL;
    if (!q) {
        if (item)
            removal_item_free(item);
        return ERR_NOMEM;
    }
    r->items++;
    r->looking++;
    r->left--;
    *out = (struct producer_question){
        .item = q, .dest = item->dest, .size = item->object.size, .geometry = item->object.geometry};
    return 0;
}

static int removing_ask_record(struct removing *r, struct removal_item *item, struct producer_question *out) {
    struct removal_question *q = removing_add_question(r, STEP_RECORD, item);
    if (!q)
        return ERR_NOMEM;
    list_remove(&item->node);
    r->finding = (struct producer_finding){.upload = item->object.upload, .removal = item->outcome};
    *out = (struct producer_question){.item = q, .dest = item->dest, .finding = &r->finding};
    return 0;
}

/* The last look before the request. */
static bool removing_may_still(struct removing *r, const struct removal_item *item) {
    enum removal_source found = REMOVAL_SOURCE_THERE;
    int err = r->stopped ? 0 : removal_source_look(r->o->scope, item->tree, item->src, item->name, &found);
    if (err)
        removing_stop(r);
    return !err && found != REMOVAL_SOURCE_THERE;
}

static void removing_keep_returned(struct removing *r, struct removal_item *item) {
    if (r->stopped) {
        r->stats->objects_failed++;
    } else {
        log_warn("%s: kept: its source is there again: %s", item->dest, item->src);
        r->stats->objects_returned++;
    }
    removing_settle(r, item, REMOVAL_FAILED);
}

/* ERR_AGAIN: no object is left to remove. */
static int removing_ask_delete(struct removing *r, struct producer_question *out) {
    struct removal_question *q = removing_add_question(r, STEP_DELETE, NULL);
    struct list *node;
    size_t count = 0, bytes = 0;
    if (!q)
        return ERR_NOMEM;
    while (count < JOB_KEYS_MAX && (node = list_first(&r->ready))) {
        struct removal_item *item = list_entry(node, struct removal_item, node);
        size_t more = question_key_bytes(strlen(item->dest), count == 0);
        if (count > 0 && bytes + more > QUESTION_KEYS_BYTES)
            break;
        removing_take_ready(r, item);
        if (!removing_may_still(r, item)) {
            removing_keep_returned(r, item);
            continue;
        }
        list_add(&q->items, &item->node);
        r->keys[count++] = item->dest;
        bytes += more;
    }
    if (count == 0) {
        list_remove(&q->node);
        free(q);
        return ERR_AGAIN;
    }
    *out = (struct producer_question){
        .item = q, .kind = JOB_DELETE, .dest = r->keys[0], .keys = r->keys, .key_count = count};
    return 0;
}

/* A full one, or the last one. */
static bool removing_may_delete(const struct removing *r) {
    bool is_full = r->ready_count >= JOB_KEYS_MAX || r->ready_bytes >= QUESTION_KEYS_BYTES;
    bool is_last = r->listed && r->looking == 0;
    return r->ready_count > 0 && (is_full || is_last);
}

static int removing_next(void *arg, struct producer_question *out) {
    struct removing *r = arg;
    if (!r->knows_store)
        return removing_ask_store(r, out);
    for (;;) {
        struct list *node = list_first(&r->records);
        if (node)
            return removing_ask_record(r, list_entry(node, struct removal_item, node), out);
        int err = removing_may_delete(r) ? removing_ask_delete(r, out) : ERR_NOT_FOUND;
        if (err == ERR_AGAIN)
            continue;
        if (err != ERR_NOT_FOUND)
            return err;
        if (r->listed || r->items >= ITEMS_MAX)
            return r->items > 0 ? ERR_AGAIN : ERR_NOT_FOUND;
        err = r->stopped || r->left == 0 ? ERR_NOT_FOUND : removing_ask_look(r, out);
        if (err == ERR_LOST)
            removing_stop(r);
        else if (err != ERR_NOT_FOUND)
            return err;
        else
            r->listed = true;
    }
}

/* ---- answers ---- */

static bool removing_on_head(void *arg, void *of, const struct producer_answer *answer) {
    struct removal_item *item = ((struct removal_question *)of)->item;
    (void)arg;
    item->verdict = removal_object_judge(&item->object, answer, item->untouched, &item->why);
    return item->verdict == REMOVAL_OBJECT_UNREAD;
}

static void removing_on_read(void *arg, void *of, uint32_t chunk, const struct producer_answer *answer) {
    (void)arg;
    removal_item_take_range(((struct removal_question *)of)->item, chunk, answer);
}

static bool removing_on_answered(void *arg, void *of, struct producer_finding *finding) {
    struct removal_item *item = ((struct removal_question *)of)->item;
    (void)arg;
    *finding = (struct producer_finding){.upload = item->object.upload, .removal = REMOVAL_BEGINS};
    return removal_item_conclude(item) != REMOVAL_OBJECT_OTHER;
}

static struct removal_item *removing_find_key(const struct removal_question *q, struct slice key) {
    for (struct list *n = q->items.next; n != &q->items; n = n->next) {
        struct removal_item *item = list_entry(n, struct removal_item, node);
        if (slice_equal(slice_of(item->dest), key))
            return item;
    }
    return NULL;
}

/* An entry for each object that was not removed. */
static void removing_on_list(void *arg, void *of, struct slice listing) {
    struct removal_question *q = of;
    struct listed_upload entry;
    int err;
    (void)arg;
    if (q->step != STEP_DELETE)
        return;
    while ((err = listing_next(&listing, &entry)) == 0) {
        struct removal_item *item = removing_find_key(q, entry.key);
        if (item && !item->reason)
            item->reason = slice_dup(entry.handle);
        if (!item || !item->reason)
            break;
    }
    q->understood = err == ERR_NOT_FOUND;
}

/* An account that may not list multipart uploads can still remove objects. */
static void removing_store_ended(struct removing *r, enum fail_class class, const char *reason) {
    r->knows_store = true;
    if (class != FAIL_NO_BUCKET)
        return;
    log_error("%s: %s; no object is removed", r->o->scope->trees[0].dest, reason);
    removing_stop(r);
}

static void removing_look_ended(struct removing *r, struct removal_item *item, enum fail_class class,
                                const char *reason) {
    r->looking--;
    if (class) {
        removing_fail(r, item, reason, REMOVAL_NONE);
    } else if (item->verdict == REMOVAL_OBJECT_MISSING) {
        removing_settle(r, item, REMOVAL_DONE);
    } else if (item->verdict == REMOVAL_OBJECT_SAME && !r->stopped) {
        removing_add_ready(r, item);
    } else if (item->verdict == REMOVAL_OBJECT_SAME) {
        r->stats->objects_failed++;
        removing_settle(r, item, REMOVAL_FAILED);
    } else {
        log_warn("%s: kept: another program replaced it, or it was changed (%s)", item->dest, item->why);
        r->stats->objects_replaced++;
        removing_settle(r, item, REMOVAL_NONE);
    }
}

static void removing_delete_ended(struct removing *r, struct removal_question *q, enum fail_class class,
                                  const char *reason) {
    struct list *node;
    if (!class && !q->understood) {
        class = FAIL_REQUEST;
        reason = "the uploader's answer is damaged; use programs of one version";
    }
    while ((node = list_first(&q->items))) {
        struct removal_item *item = list_entry(node, struct removal_item, node);
        if (class)
            removing_fail(r, item, reason, REMOVAL_NONE);
        else if (item->reason)
            removing_fail(r, item, item->reason, REMOVAL_FAILED);
        else
            removing_settle(r, item, REMOVAL_DONE);
    }
    r->failed_requests = class ? r->failed_requests + 1 : 0;
    if (r->failed_requests >= FAILED_REQUESTS_MAX && !r->stopped) {
        log_error(
            "%d requests in a row have failed, no more objects are removed; remove the cause, and run the command "
            "again",
            FAILED_REQUESTS_MAX);
        removing_stop(r);
    }
}

static void removing_record_ended(struct removing *r, struct removal_item *item, enum fail_class class,
                                  const char *reason) {
    if (item->outcome == REMOVAL_DONE && !class) {
        removing_removed(r, item);
    } else if (item->outcome == REMOVAL_DONE) {
        log_error("%s: is gone, and that is not recorded: %s; run the command again", item->dest, reason);
        r->stats->objects_failed++;
    }
    removing_free(r, item);
}

static void removing_on_ended(void *arg, void *of, enum fail_class class, const char *reason) {
    struct removing *r = arg;
    struct removal_question *q = of;
    switch (q->step) {
    case STEP_STORE:
        removing_store_ended(r, class, reason);
        break;
    case STEP_LOOK:
        removing_look_ended(r, q->item, class, reason);
        break;
    case STEP_DELETE:
        removing_delete_ended(r, q, class, reason);
        break;
    case STEP_RECORD:
        removing_record_ended(r, q->item, class, reason);
        break;
    }
    list_remove(&q->node);
    free(q);
}

static void removing_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    struct removing *r = arg;
    (void)class;
    log_error("%s: %s", path, reason);
    r->stopped = true;
}

static void removing_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

/* ---- the errand ---- */

static int removing_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct removing *r = arg;
    const struct producer_stats *stats = producer_stats(r->errand.producer);
    if (r->left + r->items > ONE_UPLOADER_OBJECTS)
        supervisor_want_all(r->errand.supervisor);
    supervisor_set_journal(r->errand.supervisor, producer_journal(r->errand.producer));
    return supervisor_step(r->errand.supervisor, stats->connected, now_ms, deadline_ms);
}

static void removing_drain(void *arg) {
    struct removing *r = arg;
    supervisor_drain(r->errand.supervisor);
}

static void removing_hang_up(void *arg) {
    struct removing *r = arg;
    supervisor_reopen_logs(r->errand.supervisor);
}

static void removing_kill(void *arg) {
    struct removing *r = arg;
    supervisor_kill(r->errand.supervisor);
}

static bool removing_is_over(void *arg) {
    const struct removing *r = arg;
    return supervisor_uploaders(r->errand.supervisor) == 0;
}

static int removing_start(struct removing *r) {
    struct errand_options o = r->o->errand;
    o.endpoint_url = r->o->scope->endpoint;
    const struct producer_config config = {.questions = {r, removing_next, r->o->scope->allow},
                                           .dest = r->o->scope->trees[0].dest,
                                           .unserved_wait_ms = UNSERVED_WAIT_MS,
                                           .descriptors_held = r->o->descriptors_held};
    const struct producer_events events = {.arg = r,
                                           .file_failed = removing_on_failed,
                                           .notice = removing_on_notice,
                                           .question_head = removing_on_head,
                                           .question_list = removing_on_list,
                                           .question_read = removing_on_read,
                                           .question_answered = removing_on_answered,
                                           .question_ended = removing_on_ended};
    int err = keys_setup(&o.keys, TRUST_UPLOADER); /* the end of the run has erased them */
    if (!err)
        err = removal_list_rewind(r->list);
    return err ? err : errand_start(&r->errand, &o, &config, &events);
}

static int removing_loop(struct removing *r) {
    const struct driver_options options = {.progress = false};
    struct driver driver;
    driver_init(&driver, r->errand.producer, &options, clock_ms());
    driver.hooks = (struct driver_hooks){.arg = r,
                                         .step = removing_step,
                                         .drain = removing_drain,
                                         .hang_up = removing_hang_up,
                                         .kill = removing_kill,
                                         .is_over = removing_is_over};
    int status = driver_run(&driver);
    return driver_report(&driver, status);
}

static void removing_free_all(struct removing *r, struct list *items) {
    struct list *node;
    while ((node = list_first(items)))
        removing_free(r, list_entry(node, struct removal_item, node));
}

static void removing_end(struct removing *r, int *status) {
    errand_end(&r->errand, status);
    for (struct list *next, *n = r->questions.next; n != &r->questions; n = next) {
        struct removal_question *q = list_entry(n, struct removal_question, node);
        next = n->next;
        removing_free_all(r, &q->items);
        if (q->item)
            removing_free(r, q->item);
        free(q);
    }
    removing_free_all(r, &r->ready);
    removing_free_all(r, &r->records);
}

/* An unmounted disk: its objects seem to be gone. */
static int removing_check_directory(struct removing *r) {
    struct dest d;
    struct stat st;
    const char *dest = r->o->scope->trees[0].dest;
    if (dest_parse(slice_of(dest), &d) || d.scheme != DEST_FILE)
        return 0;
    r->knows_store = true;
    if (stat(d.key.ptr, &st) == 0 && S_ISDIR(st.st_mode))
        return 0;
    log_error("%s: is not a directory; no object is removed", dest);
    return ERR_LOST;
}

static int removing_all(struct removing *r) {
    uint64_t failed = r->stats->objects_failed;
    log_info("%" PRIu64 " object%s without a source", r->left, r->left == 1 ? "" : "s");
    int err = removing_start(r);
    int status = err ? exit_status_of_run(err) : removing_loop(r);
    removing_end(r, &status);
    if (signals_stop_count() > 0)
        return exit_status_of_signal(signals_stop_signal());
    if (r->stats->objects_failed > UNREMOVED_SHOWN)
        log_error("%" PRIu64 " objects were not removed; %u of them are listed", r->stats->objects_failed,
                  UNREMOVED_SHOWN);
    if (status != EXIT_DONE && status != EXIT_SOME_FAILED)
        return status;
    /* the producer counts questions, also the one about the bucket, which may stay without an answer */
    return r->stopped || r->stats->objects_failed > failed ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int removing_status_of(int err) {
    if (err == ERR_NOMEM)
        log_error("out of memory");
    return err == ERR_LIMIT || err == ERR_LOST || err == ERR_DAMAGED ? EXIT_SOME_FAILED : exit_status_of_run(err);
}

int removal_run(const struct removal_options *o, struct producer_stats *stats) {
    struct removing *r = calloc(1, sizeof *r);
    if (!r)
        return removing_status_of(ERR_NOMEM);
    r->o = o;
    r->stats = stats;
    list_init(&r->questions);
    list_init(&r->ready);
    list_init(&r->records);
    int err = removal_list_open(&r->list, o->scope, o->errand.journal_dir);
    if (!err)
        err = removal_list_count(r->list, o->max, &r->left);
    if (!err && r->left > 0)
        err = removing_check_directory(r);
    int status = err == ERR_NOT_FOUND ? EXIT_DONE : removing_status_of(err);
    if (!err && r->left > 0)
        status = removing_all(r);
    removal_list_close(&r->list);
    free(r);
    return status;
}
