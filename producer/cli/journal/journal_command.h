/* `chunklift journal tail|show|verify`. */
#ifndef CHUNKLIFT_JOURNAL_COMMAND_H
#define CHUNKLIFT_JOURNAL_COMMAND_H

#include "pure/err.h"

/* argv[0] is "journal". Returns the exit status: 0 ok, 1 damaged, 2 usage, 3 the journal or consumer cannot be used. */
int journal_command(int argc, char **argv) MUST_CHECK;

#endif
