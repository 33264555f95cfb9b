/* `chunklift journal forget --consumer EP`: uploads of a journal that lies elsewhere, while its consumer runs. */
#ifndef CHUNKLIFT_FORGET_COMMAND_H
#define CHUNKLIFT_FORGET_COMMAND_H

/* Returns the exit status; errors are logged. */
int forget_command(int argc, char **argv);

#endif
