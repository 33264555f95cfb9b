/* errno as an error of enum err, right after the system call. */
#ifndef CHUNKLIFT_OSERR_H
#define CHUNKLIFT_OSERR_H

#include "pure/err.h"
#include <errno.h>
#include <string.h>

static inline int err_from_errno(int error) {
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOMEM:
        return ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    case EMFILE:
    case ENFILE:
        return ERR_DESCRIPTORS;
    case ENAMETOOLONG:
        return ERR_LIMIT;
    default:
        return ERR_IO;
    }
}

/* For people, after openat2(2) with RESOLVE_BENEATH, which reports EXDEV. */
static inline const char *confined_error_text(int error) {
    return error == EXDEV ? "a symlink or '..' leads out of the allowed directory" : strerror(error);
}

#endif
