#include "producer/cli/journal/forget_abort.h"

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

static void on_done(void *arg, const struct producer_file_view *file, double seconds) {
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

static void on_failed(void *arg, const char *path, enum fail_class klass, const char *reason) {
    (void)arg, (void)klass;
    log_error("%s: its upload cannot be aborted: %s", path, reason);
}

static void on_notice(void *arg, const char *text) {
    (void)arg;
    log_info("%s", text);
}

static int start(struct aborting *a) {
    const struct forget_abort_options *o = a->o;
    const struct producer_config config = {.drops = o->drops,
                                           .drop_count = o->count,
                                           .endpoint_url = o->endpoint_url,
                                           .region = o->region,
                                           .journal_dir = o->journal_dir,
                                           .consumer = o->consumer,
                                           .retry_for_ms = o->retry_for_ms};
    const struct producer_events events = {
        .arg = a, .file_done = on_done, .file_failed = on_failed, .notice = on_notice};
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

static int wait_for_something(struct aborting *a, uint64_t deadline_ms) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 1];
    size_t count = producer_wait_items(a->producer, items);
    items[count++] = (struct wait_item){.fd = signals_fd(), .want = ENDPOINT_IN};
    uint64_t now = clock_ms();
    int err = endpoint_wait(items, count, deadline_ms <= now ? 0 : (int)(deadline_ms - now));
    if (items[count - 1].ready)
        signals_drain();
    return err;
}

static int run(struct aborting *a) {
    for (;;) {
        uint64_t now = clock_ms(), deadline = now + 1000;
        if (signals_stop_count() > 0)
            return exit_status_of_signal(signals_stop_signal());
        int err = supervisor_step(a->supervisor, producer_stats(a->producer)->connected, now, &deadline);
        if (!err)
            err = producer_step(a->producer, now, &deadline);
        if (err)
            return exit_status_of_run(err);
        if (producer_is_finished(a->producer))
            return producer_exit_status(a->producer);
        if (wait_for_something(a, deadline))
            return EXIT_UNUSABLE;
    }
}

int forget_abort(const struct forget_abort_options *o) {
    struct aborting a = {.o = o};
    int err = signals_init(true);
    if (!err)
        err = start(&a);
    int status = err ? exit_status_of_run(err) : run(&a);
    if (!err && producer_trouble(a.producer))
        log_error("%s", producer_trouble(a.producer));
    if (a.supervisor)
        supervisor_drain(a.supervisor);
    producer_destroy(&a.producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    if (a.supervisor && supervisor_stop(a.supervisor) != 0 && status < EXIT_USAGE)
        status = EXIT_UNUSABLE;
    supervisor_destroy(&a.supervisor);
    return status;
}
