#include "producer/cli/store/verify_run.h"

#include "producer/cli/driver.h"
#include "producer/cli/store/difference.h"
#include "producer/cli/store/verify_report.h"
#include "pure/array.h"
#include "pure/deadline.h"
#include "pure/digest.h"
#include "pure/geometry.h"
#include "pure/list.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdlib.h>

#define ONE_UPLOADER_OBJECTS 16
#define SAVE_MS 1000

/* An object between its question and its last answer. */
struct verify_item {
    struct list node; /* oldest first */
    struct catalog_object object;
    char *dest, *etag;
    uint32_t *found;             /* crcs of the ranges that were read */
    enum difference difference;  /* the first one */
    bool differs, failed, ended; /* ended: it waits for the end of older ones */
    bool was_read;               /* a range of it */
};

struct verifying {
    const struct verify_options *o;
    struct catalog *catalog;
    struct verify_position *position;
    struct verify_counts *seen;
    struct list items;
    struct errand errand;
    struct verify_progress progress;
    uint64_t save_ms;
    int output_err;
};

/* ---- objects ---- */

static void verify_item_free(struct verify_item *item) {
    free(item->dest);
    free(item->etag);
    free(item->object.crcs);
    free(item->found);
    free(item);
}

/* Takes the crcs of object over. NULL: out of memory. */
static struct verify_item *verify_item_new(const struct catalog_object *object, bool reads) {
    struct verify_item *item = calloc(1, sizeof *item);
    if (!item) {
        free(object->crcs);
        return NULL;
    }
    list_init(&item->node);
    item->object = *object;
    item->dest = slice_dup(object->dest);
    item->etag = slice_dup(object->etag);
    item->object.dest = slice_of(item->dest);
    item->object.etag = slice_of(item->etag);
    struct geometry g;
    if (object->geometry.chunks == 0 && object->size > 0 &&
        geometry_plan(&geometry_limits_file, object->size, CHUNK_SIZE_DEFAULT, &g) == 0)
        item->object.geometry = g;
    if (!reads)
        item->object.geometry.chunks = 0;
    if (reads && !(item->found = array_zeroed(item->object.geometry.chunks, sizeof *item->found)))
        item->etag = (free(item->etag), NULL);
    if (item->dest && item->etag)
        return item;
    verify_item_free(item);
    return NULL;
}

static int verifying_next(void *arg, struct producer_question *q) {
    struct verifying *v = arg;
    struct catalog_object object;
    int err = catalog_next(v->catalog, &object);
    if (err)
        return err;
    struct verify_item *item = verify_item_new(&object, v->o->read);
    if (!item)
        return ERR_NOMEM;
    list_add(&v->items, &item->node);
    *q = (struct producer_question){
        .item = item, .dest = item->dest, .size = object.size, .geometry = item->object.geometry};
    return 0;
}

/* ---- answers ---- */

static void verifying_print(struct verifying *v, struct verify_item *item, const struct verify_difference *d) {
    if (!item->differs) {
        v->seen->differences++;
        item->difference = d->kind;
    }
    item->differs = true;
    verify_progress_erase(&v->progress);
    int err = verify_report(d, v->o->json);
    v->output_err = v->output_err ? v->output_err : err;
}

static bool verifying_on_head(void *arg, void *of, const struct producer_answer *answer) {
    struct verifying *v = arg;
    struct verify_item *item = of;
    const struct verify_difference d = {.kind = difference_of_head(&item->object, answer),
                                        .object = &item->object,
                                        .size = answer->size,
                                        .etag = answer->etag,
                                        .has_crc = answer->has_crc,
                                        .crc = answer->crc};
    if (d.kind)
        verifying_print(v, item, &d);
    return d.kind == DIFFERENCE_NONE;
}

static void verifying_on_read(void *arg, void *of, uint32_t chunk, const struct producer_answer *answer) {
    struct verifying *v = arg;
    struct verify_item *item = of;
    const struct catalog_object *o = &item->object;
    uint64_t length = geometry_length(&o->geometry, chunk);
    struct verify_difference d = {.object = o,
                                  .size = answer->size,
                                  .has_crc = true,
                                  .crc = answer->crc,
                                  .ranged = true,
                                  .chunk = chunk,
                                  .offset = geometry_offset(&o->geometry, chunk),
                                  .length = length};
    item->found[chunk] = answer->crc;
    item->was_read = true;
    if (!answer->exists)
        d.kind = DIFFERENCE_MISSING;
    else if (answer->size != length)
        d.kind = DIFFERENCE_SIZE;
    else if (o->crcs && answer->crc != o->crcs[chunk])
        d.kind = DIFFERENCE_CHECKSUM;
    if (d.kind)
        verifying_print(v, item, &d);
}

/* Without the checksums of its chunks, the object is compared as a whole. */
static void verifying_judge_whole(struct verifying *v, struct verify_item *item) {
    const struct catalog_object *o = &item->object;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < o->geometry.chunks; i++)
        crc = crc32c_combine(crc, item->found[i], geometry_length(&o->geometry, i));
    const struct verify_difference d = {
        .kind = DIFFERENCE_CHECKSUM, .object = o, .size = o->size, .has_crc = true, .crc = crc};
    if (crc != o->crc)
        verifying_print(v, item, &d);
}

static bool verifying_on_answered(void *arg, void *of, struct producer_finding *finding) {
    struct verifying *v = arg;
    struct verify_item *item = of;
    if (v->o->read && !item->differs && item->found)
        verifying_judge_whole(v, item);
    *finding = (struct producer_finding){
        .upload = item->object.upload, .found = difference_found(item->difference), .read = item->was_read};
    return v->o->record;
}

/* Moves the position over the objects that were compared, up to the oldest one that was not. */
static void verifying_move_position(struct verifying *v) {
    struct verify_counts *done = &v->position->done;
    while (!list_is_empty(&v->items)) {
        struct verify_item *item = list_entry(v->items.next, struct verify_item, node);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not follow the links of the list */
        if (!item->ended || item->failed)
            return;
        done->compared++;
        done->differences += item->differs;
        v->position->after = item->object.position;
        list_remove(&item->node);
        verify_item_free(item);
    }
}

static void verifying_on_ended(void *arg, void *of, enum fail_class class, const char *reason) {
    struct verifying *v = arg;
    struct verify_item *item = of;
    if (class)
        log_error("%s: cannot be compared: %s", item->dest, reason);
    v->seen->compared += !class;
    v->seen->failed += class != FAIL_NONE;
    item->failed = class != FAIL_NONE;
    item->ended = true;
    verifying_move_position(v);
}

static void verifying_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)class;
    log_error("%s: %s", path, reason);
}

static void verifying_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

/* ---- the run ---- */

static void verifying_save(struct verifying *v, uint64_t now_ms) {
    if (!v->o->position_dir || now_ms < v->save_ms)
        return;
    v->save_ms = now_ms + SAVE_MS;
    if (verify_position_save(v->o->position_dir, v->position))
        v->save_ms = UINT64_MAX; /* it was logged: once */
}

static int verifying_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct verifying *v = arg;
    const struct producer_stats *stats = producer_stats(v->errand.producer);
    if (v->output_err)
        return v->output_err;
    if (stats->files_seen > ONE_UPLOADER_OBJECTS)
        supervisor_want_all(v->errand.supervisor);
    verifying_save(v, now_ms);
    deadline_lower(deadline_ms, v->o->position_dir ? v->save_ms : UINT64_MAX);
    verify_progress_draw(&v->progress, v->seen, now_ms, deadline_ms);
    return supervisor_step(v->errand.supervisor, stats->connected, now_ms, deadline_ms);
}

static void verifying_drain(void *arg) {
    struct verifying *v = arg;
    supervisor_drain(v->errand.supervisor);
}

static void verifying_kill(void *arg) {
    struct verifying *v = arg;
    supervisor_kill(v->errand.supervisor);
}

static bool verifying_is_over(void *arg) {
    const struct verifying *v = arg;
    return supervisor_uploaders(v->errand.supervisor) == 0;
}

static int verifying_start(struct verifying *v) {
    const struct catalog_store *store = catalog_store(v->catalog, v->position->store);
    struct errand_options o = v->o->errand;
    o.endpoint_url = store->endpoint;
    const struct producer_config config = {.questions = {v, verifying_next}, .dest = store->dest};
    const struct producer_events events = {.arg = v,
                                           .file_failed = verifying_on_failed,
                                           .notice = verifying_on_notice,
                                           .question_head = verifying_on_head,
                                           .question_read = verifying_on_read,
                                           .question_answered = verifying_on_answered,
                                           .question_ended = verifying_on_ended};
    int err = keys_setup(&o.keys, TRUST_UPLOADER); /* the end of the store before has erased them */
    if (!err)
        err = catalog_rewind(v->catalog, v->position->store, v->position->after);
    return err ? err : errand_start(&v->errand, &o, &config, &events);
}

static int verifying_loop(struct verifying *v) {
    const struct driver_options options = {0};
    struct driver driver;
    driver_init(&driver, v->errand.producer, &options, clock_ms());
    verify_progress_begin(&v->progress, clock_ms());
    driver.hooks = (struct driver_hooks){.arg = v,
                                         .step = verifying_step,
                                         .drain = verifying_drain,
                                         .kill = verifying_kill,
                                         .is_over = verifying_is_over};
    int status = driver_run(&driver);
    verify_progress_erase(&v->progress);
    return driver_report(&driver, status);
}

static void verifying_end(struct verifying *v, int *status) {
    errand_end(&v->errand, status);
    while (!list_is_empty(&v->items)) {
        struct verify_item *item = list_entry(v->items.next, struct verify_item, node);
        list_remove(&item->node);
        verify_item_free(item);
    }
}

int verify_store(const struct verify_options *o, struct catalog *catalog, struct verify_position *position,
                 struct verify_counts *seen, uint64_t total) {
    struct verifying v = {.o = o, .catalog = catalog, .position = position, .seen = seen};
    v.progress = (struct verify_progress){.on = o->progress, .total = total, .first = seen->compared + seen->failed};
    list_init(&v.items);
    int err = signals_init(true);
    if (!err)
        err = verifying_start(&v);
    int status = err ? exit_status_of_run(err) : verifying_loop(&v);
    verifying_end(&v, &status);
    if (signals_stop_count() > 0)
        status = exit_status_of_signal(signals_stop_signal());
    return v.output_err && status < EXIT_USAGE ? exit_status_of(v.output_err) : status;
}
