/* `chunklift journal retire`, `forget` and `export`. The `chunklift` command becomes this program
 * for them, because they write to a journal or need its whole state. */
#ifndef CHUNKLIFT_OFFLINE_COMMAND_H
#define CHUNKLIFT_OFFLINE_COMMAND_H

#include <stdbool.h>

/* True for a name that offline_command_run accepts. */
bool offline_command_exists(const char *name);
/* argv[0] is the name. Returns the exit status (exit_status.h): EXIT_SOME_FAILED when the journal
 * has no such upload or is damaged, EXIT_UNUSABLE when it is in use or cannot be written. */
int offline_command_run(int argc, char **argv);

#endif
