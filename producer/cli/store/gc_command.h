/* `chunklift gc`: lists and aborts unfinished uploads at their destinations. */
#ifndef CHUNKLIFT_GC_COMMAND_H
#define CHUNKLIFT_GC_COMMAND_H

/* Returns the exit status: 0, listed, or all aborted; 1, some could not be aborted, or the journal is damaged; 2, 3 and
 * 128+signal as for cp. */
int gc_command(int argc, char **argv);

#endif
