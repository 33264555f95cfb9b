/* `chunklift set`: shows or changes the limits of a running `cp` or fleet. */
#ifndef CHUNKLIFT_SET_COMMAND_H
#define CHUNKLIFT_SET_COMMAND_H

/* argv[0] is "set"; returns the exit status. */
int set_command(int argc, char **argv);

#endif
