/* `chunklift verify`: the objects at their destinations compared with the journal, without the sources. */
#ifndef CHUNKLIFT_VERIFY_COMMAND_H
#define CHUNKLIFT_VERIFY_COMMAND_H

/* Returns the exit status: 0, no difference; 1, differences, or some objects could not be compared; 2, 3 and 128+signal as
 * for cp. */
int verify_command(int argc, char **argv);

#endif
