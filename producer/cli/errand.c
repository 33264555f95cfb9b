#include "producer/cli/errand.h"

#include "producer/cli/driver.h"
#include "system/clock.h"
#include "system/exit_status.h"
#include "system/signals.h"

int errand_start(struct errand *e, const struct errand_options *o, const struct producer_config *given,
                 const struct producer_events *events) {
    struct producer_config config = *given;
    config.endpoint_url = o->endpoint_url;
    config.region = o->region;
    config.profile = o->profile;
    config.journal_dir = o->journal_dir;
    config.consumer = o->consumer;
    config.retry_for_ms = o->retry_for_ms;
    const bool on_s3 = o->endpoint_url && o->endpoint_url[0];
    const struct errand_access access = on_s3 ? o->access : (struct errand_access){.sse_c_key = NULL};
    config.properties = access.properties;
    int err = producer_new(&e->producer, &config, events);
    if (err)
        return err;
    const struct supervise_options s = {.journal_dir = o->journal_dir,
                                        .consumer = o->consumer,
                                        .uploaders = o->uploaders,
                                        .slots = o->slots,
                                        .lease_ms = o->lease_ms,
                                        .retry_for_ms = o->retry_for_ms,
                                        .response_timeout_ms = o->response_timeout_ms,
                                        .drain_for_ms = o->drain_for_ms,
                                        .endpoint_url = o->endpoint_url,
                                        .region = o->region,
                                        .profile = o->profile,
                                        .sse_c_key = access.sse_c_key,
                                        .ca_cert = access.ca_cert,
                                        .no_verify_ssl = access.no_verify_ssl,
                                        .keys = o->keys,
                                        .log_file = o->log_file,
                                        .verbose = o->verbose,
                                        .quiet = o->quiet,
                                        .jobs = producer_jobs_endpoint(e->producer),
                                        .allow = producer_allow(e->producer)};
    return supervisor_new(&e->supervisor, &s);
}

static int errand_step(void *arg, uint64_t now_ms, uint64_t *deadline_ms) {
    struct errand *e = arg;
    return supervisor_step(e->supervisor, producer_stats(e->producer)->connected, now_ms, deadline_ms);
}

static int errand_loop(struct errand *e) {
    const struct driver_options options = {.stops_at_once = true};
    struct driver driver;
    driver_init(&driver, e->producer, &options, clock_ms());
    driver.hooks = (struct driver_hooks){.arg = e, .step = errand_step};
    int status = driver_run(&driver);
    return driver_report(&driver, status);
}

void errand_end(struct errand *e, int *status) {
    if (e->supervisor)
        supervisor_finish(e->supervisor);
    producer_destroy(&e->producer);
    endpoint_shutdown_all(); /* its BYE leaves */
    if (e->supervisor && supervisor_stop(e->supervisor) != 0 && *status < EXIT_USAGE)
        *status = EXIT_UNUSABLE;
    supervisor_destroy(&e->supervisor);
}

int errand_run(const struct errand_options *o, const struct producer_config *config,
               const struct producer_events *events) {
    struct errand e = {0};
    int err = signals_init(true);
    if (!err)
        err = errand_start(&e, o, config, events);
    int status = err ? exit_status_of_run(err) : errand_loop(&e);
    errand_end(&e, &status);
    return status;
}
