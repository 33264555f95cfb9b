#include "pure/err.h"

const char *err_text(int err) {
    switch ((enum err)err) {
    case ERR_OK:
        return "no error";
    case ERR_NOMEM:
        return "out of memory";
    case ERR_IO:
        return "input/output error";
    case ERR_INVALID:
        return "malformed";
    case ERR_VERSION:
        return "a version that this program does not support";
    case ERR_LIMIT:
        return "exceeds a limit";
    case ERR_AGAIN:
        return "not now";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_DENIED:
        return "not permitted";
    case ERR_BUSY:
        return "in use by another process";
    case ERR_CHANGED:
        return "changed while it was uploaded";
    case ERR_FULL:
        return "no space left";
    case ERR_UNREACHABLE:
        return "no answer";
    case ERR_USAGE:
        return "wrong usage";
    case ERR_DAMAGED:
        return "damaged";
    case ERR_LOST:
        return "removed or changed by another program";
    case ERR_DESCRIPTORS:
        return "too many open files";
    }
    return "unknown error";
}

bool err_is_retryable(int err) {
    switch ((enum err)err) {
    case ERR_NOMEM:
    case ERR_AGAIN:
    case ERR_BUSY:
    case ERR_UNREACHABLE:
        return true;
    default: /* also ERR_IO: a failed write or sync is never repeated */
        return false;
    }
}
