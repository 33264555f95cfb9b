/*
 * Errors: every function that can fail returns 0 or one of these negative values; results are out-parameters. The function
 * with the fresh errno logs once, with path and operation (system/log.h); its callers return the value.
 */
#ifndef CHUNKLIFT_ERR_H
#define CHUNKLIFT_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    ERR_OK = 0,
    ERR_NOMEM = -1,        /* no memory */
    ERR_IO = -2,           /* a read, write, sync or socket call failed */
    ERR_INVALID = -3,      /* bytes or text are malformed */
    ERR_VERSION = -4,      /* well-formed, but a version that this program does not support */
    ERR_LIMIT = -5,        /* a stated maximum is exceeded */
    ERR_AGAIN = -6,        /* nothing now; try later */
    ERR_NOT_FOUND = -7,    /* it does not exist */
    ERR_DENIED = -8,       /* permission, credentials or confinement forbid it */
    ERR_BUSY = -9,         /* another process holds it */
    ERR_CHANGED = -10,     /* a source file is not the planned one */
    ERR_FULL = -11,        /* no space left */
    ERR_UNREACHABLE = -12, /* a peer or server does not answer */
    ERR_USAGE = -13,       /* wrong arguments or configuration */
    ERR_DAMAGED = -14,     /* a journal or snapshot is damaged */
    ERR_LOST = -15,        /* another program removed or changed a file in use */
    ERR_DESCRIPTORS = -16, /* no descriptor is free */
};

/* A short lower-case phrase, never NULL; static storage. */
const char *err_text(int err);

/* True when a later retry can succeed without a change. */
bool err_is_retryable(int err);

#endif
