/* `chunklift status`: what is going on now, asked of the running consumer; from disk when nobody runs. */
#ifndef CHUNKLIFT_STATUS_COMMAND_H
#define CHUNKLIFT_STATUS_COMMAND_H

#include "pure/err.h"

/* argv[0] is "status". Returns the exit status: 0, 2 usage, 3 neither consumer nor journal can be used. */
int status_command(int argc, char **argv) MUST_CHECK;

#endif
