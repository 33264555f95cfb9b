/* `chunklift keygen FILE`: creates a CURVE key pair, FILE and FILE.pub (formats: pure/trust.h). */
#ifndef CHUNKLIFT_KEYGEN_COMMAND_H
#define CHUNKLIFT_KEYGEN_COMMAND_H

/* Returns the exit status. It never overwrites a file. A file appears complete and synced, or not at all. */
int keygen_command(int argc, char **argv);

#endif
