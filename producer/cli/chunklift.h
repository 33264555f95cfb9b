/* The `chunklift` command: selects the subcommand. */
#ifndef CHUNKLIFT_CHUNKLIFT_H
#define CHUNKLIFT_CHUNKLIFT_H

/* argv[1] is the subcommand. Returns the exit status. `producer`, `uploader` and `consumer` replace this process with
 * their programs. */
int chunklift_run(int argc, char **argv);

#endif
