/* `chunklift cp`: a producer, uploaders and, when none is running, the journal's consumer, all on this host. */
#ifndef CHUNKLIFT_CP_H
#define CHUNKLIFT_CP_H

int cp_command(int argc, char **argv); /* argv[0] is "cp"; returns the exit status */

#endif
