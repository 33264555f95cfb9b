#ifndef CHUNKLIFT_DOCTOR_COMMAND_H
#define CHUNKLIFT_DOCTOR_COMMAND_H

/* `chunklift doctor`. Returns the exit status: 0, no check failed; 1, one did; 2, wrong usage. */
int doctor_command(int argc, char **argv);

#endif
