/* `chunklift keygen FILE`: a CURVE key pair, FILE and FILE.pub (formats: pure/trust.h). */
#ifndef CHUNKLIFT_KEYGEN_COMMAND_H
#define CHUNKLIFT_KEYGEN_COMMAND_H

/* Returns the exit status. Never overwrites; a file appears whole and synced or not at all. */
int keygen_command(int argc, char **argv);

#endif
