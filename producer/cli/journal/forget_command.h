/* `chunklift journal forget` when it aborts unfinished uploads, or when the journal is on another
 * host (--consumer). */
#ifndef CHUNKLIFT_FORGET_COMMAND_H
#define CHUNKLIFT_FORGET_COMMAND_H

#include <stdbool.h>

/* True when the arguments ask for an abort, or for help. Then forget_command runs them, on a local
 * journal too. */
bool forget_command_aborts(int argc, char **argv);
/* Returns the exit status; errors are logged. */
int forget_command(int argc, char **argv);

#endif
