/* Starts the programs of chunklift: with closed descriptors, in their own process group or session, and optionally with a
 * signal when the parent dies. */
#ifndef CHUNKLIFT_SPAWN_H
#define CHUNKLIFT_SPAWN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct spawn_options {
    const char *const *argv; /* NULL-terminated; argv[0] is the program's path */
    bool new_session;        /* setsid, stdio to /dev/null, stderr to log_path */
    int input_fd;            /* becomes standard input; 0: as it is, or /dev/null with new_session */
    const char *log_path;    /* opened O_APPEND, 0600; NULL: stderr inherited */
    int death_signal;        /* PR_SET_PDEATHSIG; 0 for none. Own process group whenever set. */
    bool hold_hangup;        /* SIGHUP waits until the program calls signals_init_with_hangup */
};
/* Blocks until the program runs or has failed to start. Descriptors above 2 are closed in the child. Errors are logged;
 * ERR_NOT_FOUND: there is no such program. */
int spawn(const struct spawn_options *o, pid_t *pid) MUST_CHECK;

/* The path of another program of chunklift: in the directory of the running one, else in ../libexec/chunklift.
 * ERR_NOT_FOUND: logged. */
int spawn_sibling_path(const char *name, struct buf *path) MUST_CHECK;

#endif
