/* `chunklift journal COMMAND`. */
#ifndef CHUNKLIFT_JOURNAL_COMMAND_H
#define CHUNKLIFT_JOURNAL_COMMAND_H

#include "pure/err.h"

/* argv[0] is "journal". Returns the exit status (exit_status.h). */
int journal_command(int argc, char **argv) MUST_CHECK;

#endif
