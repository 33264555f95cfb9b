/*
 * Lends the files of the plan to uploaders of this host that fetch over ipc (system/lent_file.h): they read the file
 * themselves, and the producer moves none of its bytes.
 *
 * Bounds: LENDER_CLIENTS_MAX connections, at most an eighth of the descriptors that were free at the start;
 * LENDER_REQUESTS_A_STEP requests a step. A client loses its connection when it does not read its answers, or has asked
 * for nothing for LENDER_IDLE_MS.
 */
#ifndef CHUNKLIFT_LENDER_H
#define CHUNKLIFT_LENDER_H

#include "pure/err.h"
#include "system/lent_file.h"

#define LENDER_CLIENTS_MAX 64
#define LENDER_REQUESTS_A_STEP 64
#define LENDER_IDLE_MS 10000

struct lender;

/* The descriptor to lend for this request; -1: refused. It stays the caller's. */
typedef int lender_open(void *arg, const struct lent_request *request);

/* ERR_NOT_FOUND: the endpoint is not on ipc. Other errors of lent_file_listen; ERR_NOMEM. */
int lender_new(struct lender **l, const char *endpoint, lender_open *open, void *arg) MUST_CHECK;
void lender_destroy(struct lender **l);
/* Readable: there is something to do. */
int lender_fd(const struct lender *l);
/* Never blocks. */
void lender_step(struct lender *l, uint64_t now_ms);

#endif
