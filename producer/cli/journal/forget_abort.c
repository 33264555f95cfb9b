#include "producer/cli/journal/forget_abort.h"

#include "producer/cli/driver.h"
#include "producer/cli/supervise.h"
#include "pure/text.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/signals.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8

struct aborting {
    const struct forget_abort_options *o;
    struct producer *producer;
    struct supervisor *supervisor;
};

static void aborting_on_done(void *arg, const struct producer_file_view *file, double seconds) {
    const struct aborting *a = arg;
    char id[ID_HEX_SIZE];
    struct buf text = BUF_INIT;
    struct json_line l;
    (void)seconds;
    id_to_hex(&file->upload, id);
    if (a->o->json) {
        json_line_begin(&l, "aborted");
        json_line_id(&l, "upload", &file->upload);
        json_line_name(&l, "dest", slice_of(file->dest));
        (void)!json_line_end(&l);
    } else if (!text_add_printable(&text, slice_of(file->dest))) {
        printf("aborted: %s  %s\n", id, text.data);
    }
    fflush(stdout);
    buf_release(&text);
}

static void aborting_on_failed(void *arg, const char *path, enum fail_class class, const char *reason) {
    (void)arg, (void)class;
    log_error("%s: its upload cannot be aborted: %s", path, reason);
}

static void aborting_on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

static int aborting_start(struct aborting *a) {
    const struct forget_abort_options *o = a->o;
    const struct producer_config config = {.drops = o->drops,
                                           .drop_count = o->count,
                                           .endpoint_url = o->endpoint_url,
                                           .region = o->region,
                                           .journal_dir = o->journal_dir,
                                           .consumer = o->consumer,
                                           .retry_for_ms = o->retry_for_ms};
    const struct producer_events events = {
        .arg = a, .file_done = aborting_on_done, .file_failed = aborting_on_failed, .notice = aborting_on_notice};
    int err = producer_new(&a->producer, &config, &events);
    if (err)
        return err;
    const struct supervise_options s = {.journal_dir = o->journal_dir,
                                        .consumer = o->consumer,
                                        .uploaders = 1,
                                        .slots = SLOTS,
                                        .retry_for_ms = o->retry_for_ms,
                                        .endpoint_url = o->endpoint_url,
                                        .region = o->region,
                                        .profile = o->profile,
                                        .keys = o->keys,
                                        .verbose = o->verbose,
                                        .quiet = o->quiet,
                                        .jobs = producer_jobs_endpoint(a->producer),
                                        .allow = producer_allow(a->producer)};
    return supervisor_new(&a->supervisor, &s);
}

static int aborting_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct aborting *a = arg;
    return supervisor_step(a->supervisor, producer_stats(a->producer)->connected, now_ms, deadline_ms);
}

static int aborting_run(struct aborting *a) {
    const struct driver_options options = {.stops_at_once = true};
    struct driver driver;
    driver_init(&driver, a->producer, &options, clock_ms());
    driver.hooks = (struct driver_hooks){.arg = a, .step = aborting_step};
    int status = driver_run(&driver);
    return driver_report(&driver, status);
}

int forget_abort(const struct forget_abort_options *o) {
    struct aborting a = {.o = o};
    int err = signals_init(true);
    if (!err)
        err = aborting_start(&a);
    int status = err ? exit_status_of_run(err) : aborting_run(&a);
    if (a.supervisor)
        supervisor_finish(a.supervisor);
    producer_destroy(&a.producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    if (a.supervisor && supervisor_stop(a.supervisor) != 0 && status < EXIT_USAGE)
        status = EXIT_UNUSABLE;
    supervisor_destroy(&a.supervisor);
    return status;
}
