/* Signals as facts read in a loop: a self-pipe made readable, and counters. */
#ifndef CHUNKLIFT_SIGNALS_H
#define CHUNKLIFT_SIGNALS_H

#include "pure/err.h"
#include <stdbool.h>

#define SIGNALS_HUNG_MS 2000

/* Installs handlers for SIGINT, SIGTERM, SIGHUP (all stop requests; one that was ignored at start stays ignored), and
 * SIGCHLD when children is true; ignores SIGPIPE. */
int signals_init(bool children) MUST_CHECK;
/* From now on SIGHUP is news (signals_hung_up), no stop request; also under nohup(1). After signals_init. */
int signals_hangup_is_news(void) MUST_CHECK;
bool signals_hung_up(void); /* since the last call */
/* From now on a thread of its own takes the stop signals and SIGHUP, so that a second stop request ends the process also
 * while the main thread hangs in a system call: with 128 + the signal, when signals_stop_count was not asked for
 * SIGNALS_HUNG_MS after it. After signals_init and signals_hangup_is_news, before other threads. */
int signals_end_when_hung(void) MUST_CHECK;
int signals_fd(void);            /* readable when something arrived; for a poll set */
void signals_drain(void);        /* empties the pipe; call when the fd was readable */
int signals_stop_count(void);    /* stop requests so far: 1 drain, 2 stop now */
int signals_stop_signal(void);   /* the first one's number, 0 when none */
bool signals_child_exited(void); /* since the last call */

#endif
