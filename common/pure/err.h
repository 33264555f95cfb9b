/*
 * Errors: every function that can fail returns 0 or one of these negative values; results travel through
 * out-parameters. Who has a fresh errno logs once, with path and operation (system/log.h); callers hand the value up.
 */
#ifndef CHUNKLIFT_ERR_H
#define CHUNKLIFT_ERR_H

#include <stdbool.h>

#define MUST_CHECK __attribute__((warn_unused_result))

enum err {
    ERR_OK = 0,
    ERR_NOMEM = -1,        /* memory could not be had */
    ERR_IO = -2,           /* the system refused a read, write, sync or socket call */
    ERR_INVALID = -3,      /* bytes or text do not have the form they must have */
    ERR_VERSION = -4,      /* well-formed, but a version that this program does not support */
    ERR_LIMIT = -5,        /* a stated maximum would be passed */
    ERR_AGAIN = -6,        /* nothing now; try later */
    ERR_NOT_FOUND = -7,    /* the named thing does not exist */
    ERR_DENIED = -8,       /* permission, credentials or confinement forbid it */
    ERR_BUSY = -9,         /* somebody else holds it */
    ERR_CHANGED = -10,     /* a source file is not what was planned */
    ERR_FULL = -11,        /* no space left */
    ERR_UNREACHABLE = -12, /* a peer or server does not answer */
    ERR_USAGE = -13,       /* the user's words are off */
    ERR_DAMAGED = -14,     /* a journal or snapshot is damaged */
    ERR_LOST = -15,        /* a file in use was taken away or changed by another program */
    ERR_DESCRIPTORS = -16, /* no descriptor is free */
};

/* A short lower-case phrase, never NULL; static storage. */
const char *err_text(int err);

/* True when doing the same thing again later can succeed without anybody changing anything. */
bool err_is_retryable(int err);

#endif
