/*
 * credential_process: a program that prints credentials as JSON ("Sourcing credentials with an external process", AWS
 * SDKs and Tools reference guide). It runs beside the loop: started, then looked at until it ends. It gets 30 s and its
 * own process group, nothing on stdin, our stderr; it is run without a shell, its words split as the AWS CLI does.
 */
#ifndef CHUNKLIFT_AWS_PROCESS_H
#define CHUNKLIFT_AWS_PROCESS_H

#include "uploader/aws/aws_source.h"

struct aws_process; /* opaque: a running one */

/* ERR_INVALID: the command line cannot be split; ERR_NOT_FOUND, ERR_IO: it cannot be started (why says). */
int aws_process_start(struct aws_process **p, const char *command, char *why, size_t why_size) MUST_CHECK;
/* ERR_AGAIN while it runs, after having waited up to wait_ms; 0 with the result; else it failed and why says how
 * (never what it printed). */
int aws_process_poll(struct aws_process *p, int wait_ms, struct aws_fresh_keys *r, char *why,
                     size_t why_size) MUST_CHECK;
void aws_process_destroy(struct aws_process **p); /* kills its group if it still runs */

/* Splits like a POSIX shell would, without expanding anything: quotes and backslashes. NULL-terminated; one block of
 * memory to free(). ERR_INVALID: a quote is not closed, or there is no word. */
int split_command(const char *command, char ***words) MUST_CHECK;

#endif
