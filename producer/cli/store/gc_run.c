/*
 * An errand takes at most BATCH uploads, all of one store, because an uploader has one endpoint and, on S3, one bucket.
 * An upload that the journal knows is dropped, and an `abort` record ends it. One that it does not know has a `discard`
 * question. An errand has uploads of one of these sorts.
 */
#include "producer/cli/store/gc_run.h"

#include "pure/array.h"
#include "pure/dest.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdlib.h>
#include <string.h>

#define BATCH 1024

struct gc_batch {
    const struct gc_run *run;
    struct gc_upload *items[BATCH];
    size_t count, asked;
    int output_err;
};

/* ---- results ---- */

static void gc_batch_aborted(struct gc_batch *b, const struct gc_upload *u) {
    int err = gc_report(u, GC_ABORTED, clock_real_us(), b->run->json, b->run->counts);
    b->output_err = b->output_err ? b->output_err : err;
}

static void gc_batch_failed(struct gc_batch *b, const char *dest, const char *reason) {
    log_error("%s: its upload cannot be aborted: %s", dest, reason);
    b->run->counts->failed++;
}

static void gc_batch_on_done(void *arg, const struct producer_file_view *file, double seconds) {
    struct gc_batch *b = arg;
    const struct gc_upload *u = gc_list_find(b->run->list, &file->upload);
    (void)seconds;
    if (u)
        gc_batch_aborted(b, u);
}

static void gc_batch_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)class;
    gc_batch_failed(arg, path, reason);
}

static int gc_batch_next(void *arg, struct producer_question *q) {
    struct gc_batch *b = arg;
    if (b->asked == b->count)
        return ERR_NOT_FOUND;
    struct gc_upload *u = b->items[b->asked++];
    *q = (struct producer_question){.item = u, .kind = JOB_DISCARD, .dest = u->dest, .handle = u->handle};
    return 0;
}

static void gc_batch_on_ended(void *arg, void *item, enum fail_class class, const char *reason) {
    const struct gc_upload *u = item;
    if (class)
        gc_batch_failed(arg, u->dest, reason);
    else
        gc_batch_aborted(arg, u);
}

static void gc_batch_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

/* ---- batches ---- */

static const char *gc_endpoint_of(const struct gc_run *r, const struct gc_upload *u) {
    return r->endpoint_url && u->endpoint[0] ? r->endpoint_url : u->endpoint;
}

static bool gc_fits_batch(const struct gc_batch *b, const struct gc_upload *u) {
    const struct gc_upload *first = b->items[0];
    struct dest x, y;
    if (b->count == 0)
        return true;
    return id_is_zero(&first->upload) == id_is_zero(&u->upload) && dest_parse(slice_of(first->dest), &x) == 0 &&
           dest_parse(slice_of(u->dest), &y) == 0 && x.scheme == y.scheme && slice_equal(x.bucket, y.bucket) &&
           strcmp(gc_endpoint_of(b->run, first), gc_endpoint_of(b->run, u)) == 0;
}

static void gc_batch_fill(struct gc_batch *b) {
    for (size_t i = 0; i < b->run->list->count && b->count < BATCH; i++) {
        struct gc_upload *u = b->run->list->items[i];
        if (!u->wanted || !gc_fits_batch(b, u))
            continue;
        u->wanted = false;
        b->items[b->count++] = u;
    }
}

static int gc_batch_drop(struct gc_batch *b, const struct errand_options *errand) {
    struct producer_drop *drops = array_zeroed(b->count, sizeof *drops);
    if (!drops) {
        log_error("out of memory");
        return EXIT_UNUSABLE;
    }
    for (size_t i = 0; i < b->count; i++) /* messages name it by its destination */
        drops[i] = (struct producer_drop){b->items[i]->upload, b->items[i]->dest, b->items[i]->dest};
    const struct producer_config config = {.drops = drops, .drop_count = b->count};
    const struct producer_events events = {
        .arg = b, .file_done = gc_batch_on_done, .file_failed = gc_batch_on_failed, .notice = gc_batch_on_notice};
    int status = errand_run(errand, &config, &events);
    free(drops);
    return status;
}

static int gc_batch_discard(struct gc_batch *b, const struct errand_options *errand) {
    const struct producer_config config = {.questions = {b, gc_batch_next}, .dest = b->items[0]->dest};
    const struct producer_events events = {
        .arg = b, .file_failed = gc_batch_on_failed, .notice = gc_batch_on_notice, .question_ended = gc_batch_on_ended};
    return errand_run(errand, &config, &events);
}

static int gc_batch_run(struct gc_batch *b) {
    struct errand_options errand = b->run->errand;
    errand.endpoint_url = gc_endpoint_of(b->run, b->items[0]);
    int err = keys_setup(&errand.keys, TRUST_UPLOADER); /* the end of the errand before has erased them */
    if (err)
        return exit_status_of(err);
    int status = id_is_zero(&b->items[0]->upload) ? gc_batch_discard(b, &errand) : gc_batch_drop(b, &errand);
    if (b->output_err && status < EXIT_USAGE)
        status = exit_status_of(b->output_err);
    return status;
}

int gc_run(const struct gc_run *r) {
    int worst = EXIT_DONE;
    for (;;) {
        struct gc_batch *b = calloc(1, sizeof *b);
        if (!b) {
            log_error("out of memory");
            return EXIT_UNUSABLE;
        }
        b->run = r;
        gc_batch_fill(b);
        int status = b->count ? gc_batch_run(b) : EXIT_DONE;
        bool over = b->count == 0 || status >= EXIT_USAGE || b->output_err;
        free(b);
        worst = worst > status ? worst : status;
        if (signals_stop_count() > 0)
            return exit_status_of_signal(signals_stop_signal());
        if (over)
            return worst;
    }
}
