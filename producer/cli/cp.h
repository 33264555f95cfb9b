/* `chunklift cp`: producer, uploaders and, where nobody serves the journal, its consumer, all on this machine. */
#ifndef CHUNKLIFT_CP_H
#define CHUNKLIFT_CP_H

int cp_command(int argc, char **argv); /* argv[0] is "cp"; returns the exit status */

#endif
