/*
 * The loop around a producer, for `cp` and the standalone program: signals, progress, events, the end.
 *
 * The first SIGINT or SIGTERM lets the transfers in flight finish and begins nothing else; the second ends the loop at
 * once. What else runs beside the producer (cp's uploaders) takes part through the hooks.
 */
#ifndef CHUNKLIFT_DRIVER_H
#define CHUNKLIFT_DRIVER_H

#include "producer/cli/producer_options.h"
#include "producer/show/progress.h"

struct driver_hooks { /* each may be NULL */
    void *arg;
    /* Before the producer's step. An error ends the loop: ERR_USAGE exit 2, others 3; it is logged. */
    int (*step)(void *arg, uint64_t now_ms, uint64_t *deadline_ms);
    void (*drain)(void *arg);   /* first stop request */
    void (*kill)(void *arg);    /* second one */
    bool (*is_over)(void *arg); /* after the first one: nothing is left that could finish */
};

struct driver {
    struct producer *producer;
    const struct producer_options *options;
    struct driver_hooks hooks;
    struct progress progress;
    bool show_progress, explained; /* explained: a hook said why the run ends */
    uint64_t began_ms, json_due_ms;
    int stops; /* stop requests that were acted upon */
};

/* Sets the level of the log as the options say. */
void driver_log_setup(const struct producer_options *o);
/* began_ms: clock_ms. Everything d points to must outlive it. */
void driver_init(struct driver *d, struct producer *p, const struct producer_options *o, uint64_t began_ms);
/* Until everything is done, or cannot be, or was interrupted. Returns the exit status. */
int driver_run(struct driver *d) MUST_CHECK;
/* The summary, and why it ended. */
void driver_report(struct driver *d, int status);

#endif
