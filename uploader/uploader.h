/*
 * The uploader: takes offers, asks for leases, moves bytes through a backend, reports results. One thread, one wait.
 * Nothing durable: killed at any time, its leases end and others do the work again.
 */
#ifndef CHUNKLIFT_UPLOADER_H
#define CHUNKLIFT_UPLOADER_H

#include "pure/err.h"
#include "uploader/settings.h"

struct uploader;

/* Opens roots, looks for credentials of every S3 destination allowed. ERR_USAGE (wrong configuration) or another error,
 * logged; nothing was started. Settings must outlive it. */
int uploader_new(struct uploader **u, const struct settings *s) MUST_CHECK;
/* Until it was told to stop and has drained, or cannot go on (logged). Returns the exit status. */
int uploader_run(struct uploader *u);
void uploader_destroy(struct uploader **u); /* says BYE */

#endif
