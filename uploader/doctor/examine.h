/*
 * `chunklift-uploader --doctor`: checks the destination for `chunklift doctor`, with the parts that uploads use. It takes no
 * jobs, and knows neither journal nor consumer.
 *
 *   examine.c         the start
 *   examine_s3.c      credentials, endpoint, TLS, clock, bucket
 *   examine_file.c    a directory
 *   examine_write.c   --write: objects or a file that are written and removed
 *   examine_task.c    one attempt at a task of a backend
 *   examine_judge.c   the meaning of the findings
 */
#ifndef CHUNKLIFT_EXAMINE_H
#define CHUNKLIFT_EXAMINE_H

#include "uploader/settings.h"

/* Checks the first --allow and prints a line for each check. Needs signals_init. Blocks. Returns the exit status: 0, or 1
 * when a check failed. */
int examine_destination(struct settings *s);

#endif
