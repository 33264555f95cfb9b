/* `chunklift journal retire`, `forget` and `export`, which the `chunklift` command hands over to this program: what
 * writes to a journal, or needs the whole state to read it, is here. */
#ifndef CHUNKLIFT_CONSUMER_UPKEEP_COMMAND_H
#define CHUNKLIFT_CONSUMER_UPKEEP_COMMAND_H

#include <stdbool.h>

/* True for a name that upkeep_command takes. */
bool upkeep_command_exists(const char *name);
/* argv[0] is the name. Returns the exit status: 0; 1 nothing such in the journal, or it is damaged; 2 usage; 3 it is in
 * use or cannot be written. */
int upkeep_command(int argc, char **argv);

#endif
