/* chunklift-producer: plans, offers and tracks; the uploaders and the consumer are started by somebody else. */
#include "producer/json_events.h"
#include "producer/producer.h"
#include "producer/producer_options.h"
#include "producer/summary.h"
#include "pure/units.h"
#include "system/clock.h"
#include "system/log.h"
#include "system/signals.h"

struct run {
    struct producer_options o;
    struct producer *producer;
    uint64_t began_ms;
    bool stopping;
};

static void on_started(void *arg, const struct producer_file_view *file) {
    const struct run *r = arg;
    if (r->o.json)
        json_file_event("file_started", file, -1);
}

static void on_progress(void *arg, const struct producer_file_view *file, uint32_t chunk, uint64_t length,
                        struct slice worker) {
    const struct run *r = arg;
    if (r->o.json)
        json_chunk_event(file, chunk, length, worker);
}

static void on_done(void *arg, const struct producer_file_view *file, double seconds) {
    const struct run *r = arg;
    if (r->o.json)
        json_file_event("file_done", file, seconds);
    else
        log_debug("%s: uploaded to %s", file->path, file->dest);
}

static void on_skipped(void *arg, const struct producer_file_view *file) {
    const struct run *r = arg;
    if (r->o.json)
        json_file_event("file_skipped", file, -1);
    else
        log_debug("%s: the journal shows it uploaded", file->path);
}

static void on_failed(void *arg, const char *path, enum fail_class klass, const char *reason) {
    const struct run *r = arg;
    if (r->o.json)
        json_failed_event(path, fail_class_name(klass), reason);
    log_error("%s: %s", path, reason);
}

static void on_notice(void *arg, const char *text) {
    const struct run *r = arg;
    if (r->o.json)
        json_notice_event(text);
    else
        log_info("%s", text);
}

static void finish_what_is_in_flight(struct run *r) {
    const struct producer_counts *n = producer_counts(r->producer);
    uint64_t left = n->lease_bytes > n->bytes_moving ? n->lease_bytes - n->bytes_moving : 0;
    char text[UNITS_TEXT_SIZE];
    if (n->leases > 0)
        log_info("finishing %u transfer%s (%s left); again to stop now", n->leases, n->leases == 1 ? "" : "s",
                 format_size(left, text));
    producer_drain(r->producer);
    r->stopping = true;
}

static int wait_until(struct run *r, uint64_t deadline_ms) {
    struct wait_item items[PRODUCER_WAIT_ITEMS + 1];
    size_t count = producer_wait_items(r->producer, items);
    items[count++] = (struct wait_item){.fd = signals_fd(), .want = ENDPOINT_IN};
    uint64_t now_ms = clock_ms();
    int err = endpoint_wait(items, count, deadline_ms > now_ms ? (int)(deadline_ms - now_ms) : 0);
    if (items[count - 1].ready)
        signals_drain();
    return err;
}

/* Until everything is done or cannot be; returns the exit status. */
static int loop(struct run *r) {
    for (;;) {
        uint64_t now_ms = clock_ms(), deadline_ms = now_ms + 1000;
        if (signals_stop_count() > 1)
            return 128 + signals_stop_signal();
        if (signals_stop_count() > 0 && !r->stopping)
            finish_what_is_in_flight(r);
        int err = producer_step(r->producer, now_ms, &deadline_ms);
        if (err)
            return 3;
        if (producer_is_finished(r->producer))
            return r->stopping ? 128 + signals_stop_signal() : producer_exit_status(r->producer);
        if (wait_until(r, deadline_ms) != 0)
            return 3;
    }
}

static void report_end(const struct run *r, int status) {
    const struct producer_counts *counts = producer_counts(r->producer);
    double seconds = (double)(clock_ms() - r->began_ms) / 1000.0;
    if (r->o.json)
        json_counts_event("summary", counts, seconds, status, r->o.config.journal_dir);
    else if (!r->o.quiet)
        summary_print(stderr, counts, seconds, r->o.config.journal_dir);
}

int main(int argc, char **argv) {
    struct run r = {.began_ms = clock_ms()};
    const struct producer_events events = {&r, on_started, on_progress, on_done, on_skipped, on_failed, on_notice};
    log_setup("chunklift", LOG_INFO, false);
    int status = producer_options_parse(&r.o, argc, argv);
    if (status < 0) {
        log_setup("chunklift", r.o.quiet ? LOG_ERROR : r.o.verbose ? LOG_DEBUG : LOG_INFO, false);
        int err = signals_init(false);
        if (err == 0)
            err = producer_new(&r.producer, &r.o.config, &events);
        status = err == ERR_USAGE ? 2 : 3;
        if (err == 0) {
            status = loop(&r);
            report_end(&r, status);
        }
    }
    producer_destroy(&r.producer);
    endpoint_shutdown_all();
    producer_options_release(&r.o);
    return status;
}
