/* Signals as flags that a loop reads: a pipe becomes readable, and counters are set. */
#ifndef CHUNKLIFT_SIGNALS_H
#define CHUNKLIFT_SIGNALS_H

#include "pure/err.h"
#include <stdbool.h>

#define SIGNALS_HUNG_MS 2000

/* Installs handlers for SIGINT, SIGTERM and SIGHUP (stop requests; one that was ignored at start stays ignored), and for
 * SIGCHLD when children is true. Ignores SIGPIPE and SIGXFSZ. ERR_IO: logged. */
int signals_init(bool children) MUST_CHECK;
/* The same, but SIGHUP sets signals_hung_up and is no stop request, also under nohup(1). One that was held since the start
 * of the program (spawn.h) counts. */
int signals_init_with_hangup(bool children) MUST_CHECK;
bool signals_hung_up(void); /* since the last call */
/* Starts a thread that receives the stop signals and SIGHUP, so that a second stop request ends the process also while
 * the main thread hangs in a system call: it exits with 128 + the signal when signals_stop_count is not called for
 * SIGNALS_HUNG_MS. Call it after signals_init, before other threads start. */
int signals_end_when_hung(void) MUST_CHECK;
int signals_fd(void);            /* readable after a signal; for a poll set */
void signals_drain(void);        /* empties the pipe; call when the fd was readable */
int signals_stop_count(void);    /* stop requests so far: 1 drain, 2 stop now */
int signals_stop_signal(void);   /* number of the first one; 0: none */
bool signals_child_exited(void); /* since the last call */

#endif
