/*
 * Exit statuses of all programs. 0 to 3 and 128 + signal are public (docs/OPERATIONS.md). 4 to 7
 * are internal: a consumer that `cp` started reports with them why it ended, because its log can be
 * full or lost with the directory.
 */
#ifndef CHUNKLIFT_EXIT_STATUS_H
#define CHUNKLIFT_EXIT_STATUS_H

#include "pure/err.h"

enum exit_status {
    EXIT_DONE = 0,
    EXIT_SOME_FAILED = 1, /* some files failed; the journal is damaged; no match */
    EXIT_USAGE = 2,       /* wrong usage or configuration, nothing was started */
    EXIT_UNUSABLE = 3,    /* a peer, server, disk or journal cannot be used */

    EXIT_JOURNAL_FULL = 4, /* no space left: can pass */
    EXIT_JOURNAL_DISK = 5, /* the disk failed: can pass */
    EXIT_JOURNAL_LOST = 6, /* another program removed or changed the journal */
    EXIT_JOURNAL_BUSY = 7, /* another consumer holds the journal's lock */
};

/* Interrupted by a signal. */
static inline int exit_status_of_signal(int signal) {
    return 128 + signal;
}

/* Of a command on a journal that ended with err; ERR_AGAIN is a quiet end (the reader of stdout
 * left). */
static inline int exit_status_of(int err) {
    switch (err) {
    case ERR_OK:
    case ERR_AGAIN:
        return EXIT_DONE;
    case ERR_DAMAGED:
        return EXIT_SOME_FAILED;
    case ERR_USAGE:
        return EXIT_USAGE;
    default:
        return EXIT_UNUSABLE;
    }
}

/* Of a program that ran, or could not start, and ended with err. */
static inline int exit_status_of_run(int err) {
    return err == ERR_OK ? EXIT_DONE : err == ERR_USAGE ? EXIT_USAGE : EXIT_UNUSABLE;
}

/* Of a consumer that `cp` started. */
static inline int exit_status_for_cp(int err) {
    switch (err) {
    case ERR_FULL:
        return EXIT_JOURNAL_FULL;
    case ERR_IO:
        return EXIT_JOURNAL_DISK;
    case ERR_LOST:
        return EXIT_JOURNAL_LOST;
    case ERR_BUSY:
        return EXIT_JOURNAL_BUSY;
    default:
        return exit_status_of_run(err);
    }
}

#endif
