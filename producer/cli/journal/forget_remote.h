/* `chunklift journal forget`, where it aborts unfinished uploads or the journal is elsewhere (--consumer). */
#ifndef CHUNKLIFT_FORGET_COMMAND_H
#define CHUNKLIFT_FORGET_COMMAND_H

#include <stdbool.h>

/* These words ask for an abort (or for help): forget_command is the one for them, on a local journal too. */
bool forget_command_aborts(int argc, char **argv);
/* Returns the exit status; errors are logged. */
int forget_command(int argc, char **argv);

#endif
