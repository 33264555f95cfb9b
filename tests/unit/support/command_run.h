/* `chunklift journal`, `status` and `set` in a child process, as a script sees them: exit status and output. */
#ifndef CHUNKLIFT_TEST_COMMAND_RUN_H
#define CHUNKLIFT_TEST_COMMAND_RUN_H

#include "files.h"
#include "unit.h"

#include <sys/wait.h>

#define WORDS(...)                                                                                                     \
    sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]) {                                         \
        __VA_ARGS__, NULL                                                                                              \
    }

/* The output of the command: command_read_output fills both. */
extern char command_out[1 << 20], command_err[65536];

/* Starts the command with these words. Its output goes to the files "stdout" and "stderr". A ZeroMQ context does not
 * survive the fork. */
pid_t command_start(int argc, const char **argv);

/* Reads both files as far as they are written. */
void command_read_output(void);

/* Waits for the end, and reads the output. Returns the exit status; -1: a signal ended the command. */
int command_finish(pid_t pid);

#endif
