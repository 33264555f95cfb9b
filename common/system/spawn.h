/* Starting our own programs: closed descriptors, own process group or session, death with the parent. */
#ifndef CHUNKLIFT_SPAWN_H
#define CHUNKLIFT_SPAWN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <sys/types.h>

struct spawn_options {
    const char *const *argv; /* NULL-terminated; argv[0] is the program's path */
    bool new_session;        /* setsid, stdio to /dev/null, stderr to log_path */
    const char *log_path;    /* opened O_APPEND, 0600; NULL: stderr inherited */
    int death_signal;        /* PR_SET_PDEATHSIG; 0 for none. Own process group whenever set. */
};
/* All descriptors above 2 are closed in the child. ERR_NOT_FOUND when the program does not exist. Errors are logged. */
int spawn(const struct spawn_options *o, pid_t *pid) MUST_CHECK;

/* Path of a sibling program: in the directory of the running executable, else in PATH's libexec place. */
int sibling_program(const char *name, struct buf *path) MUST_CHECK;

#endif
