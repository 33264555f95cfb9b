/*
 * The loop around a producer, for every command that runs one: signals, progress display, events, the end.
 *
 * After the first SIGINT or SIGTERM the transfers in flight finish and no other begins; the second one ends the loop at
 * once. The other processes of a command (uploaders, consumer) take part through the hooks.
 */
#ifndef CHUNKLIFT_DRIVER_H
#define CHUNKLIFT_DRIVER_H

#include "producer/producer.h"
#include "producer/show/dry_run_output.h"
#include "producer/show/failures.h"
#include "producer/show/progress.h"

struct driver_hooks { /* each may be NULL */
    void *arg;
    /* Called before the producer's step. An error ends the loop: ERR_USAGE with exit status 2, others with 3. The hook
     * has logged it. */
    int (*step)(void *arg, uint64_t now_ms, uint64_t *deadline_ms);
    void (*drain)(void *arg);   /* first stop request */
    void (*hang_up)(void *arg); /* SIGHUP, when it is no stop request */
    void (*kill)(void *arg);    /* second stop request */
    bool (*is_over)(void *arg); /* after the first one: nothing is left that could finish */
};

struct driver_options {
    bool json;                            /* progress events on stdout */
    bool progress;                        /* progress display on stderr */
    bool summary;                         /* driver_report prints one, */
    bool quiet;                           /* but not on stderr */
    uint64_t stats_ms;                    /* time between two lines of progress without a terminal; 0: none */
    bool stops_at_once;                   /* the first stop request ends the loop */
    const struct failures *failures;      /* listed at the end; NULL: not listed */
    const char *report;                   /* NULL: none is written */
    const char *show_failed;              /* the command that lists all of them */
    const struct dry_run_totals *dry_run; /* printed instead of the summary; NULL: it is no dry run */
    const char *where;                    /* the journal's directory, or the consumer's endpoint: for the summary */
    bool deletes;                         /* the summary has a line about removed objects */
};

struct driver {
    struct producer *producer;
    struct driver_options options;
    struct driver_hooks hooks;
    struct progress progress;
    bool explained; /* a hook logged why the run ends */
    uint64_t began_ms, json_due_ms;
    int64_t began_us; /* the same as a time of day */
    int stops;        /* stop requests that were handled */
    bool gave_up;     /* max_errors is reached */
    /* set by driver_end: what the summary needs of the producer */
    bool ended;
    struct producer_stats stats;
    char *dest;
    struct id128 journal;
    uint64_t journal_seq;
    double seconds; /* of the run, without what came after its end */
};

/* began_ms: clock_ms. d must not move afterwards, and the producer must outlive it. */
void driver_init(struct driver *d, struct producer *p, const struct driver_options *o, uint64_t began_ms);
/* Runs until all is done, or cannot be done, or was interrupted. Returns the exit status. */
int driver_run(struct driver *d) MUST_CHECK;
/* Ends the display, logs the trouble at the end, and keeps what the summary needs: the producer may be destroyed before
 * driver_report, which has to follow. */
void driver_end(struct driver *d, int status);
/* driver_end, if it was not called; logs why the run ended, and prints the summary. */
int driver_report(struct driver *d, int status) MUST_CHECK;

#endif
