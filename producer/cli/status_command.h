/* `chunklift status`: the current state, from the running consumer, or from the journal on disk when none is running. */
#ifndef CHUNKLIFT_STATUS_COMMAND_H
#define CHUNKLIFT_STATUS_COMMAND_H

#include "pure/err.h"

/* argv[0] is "status". Returns the exit status: 0, 2 for wrong usage, 3 when neither consumer nor journal can be used. */
int status_command(int argc, char **argv) MUST_CHECK;

#endif
