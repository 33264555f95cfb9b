/*
 * The uploader: takes offers, claims leases, moves bytes through a backend, and reports results. It runs in the main
 * thread, with one wait. Nothing here is durable: when it is killed, its leases end and other uploaders do the work
 * again.
 */
#ifndef CHUNKLIFT_UPLOADER_H
#define CHUNKLIFT_UPLOADER_H

#include "pure/err.h"
#include "uploader/settings.h"

struct uploader;

/* Opens the roots and looks for the credentials of every allowed S3 destination. s must outlive it. ERR_USAGE (wrong
 * configuration) or another error: logged, *u is NULL, nothing was started. */
int uploader_new(struct uploader **u, const struct settings *s) MUST_CHECK;
/* Blocks until it was told to stop and has drained, or cannot go on (logged). Returns the exit status. */
int uploader_run(struct uploader *u);
/* Sends BYE. */
void uploader_destroy(struct uploader **u);

#endif
