#include "producer/verify.h"

#include "pure/digest.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

void verify_init(struct verify *v) {
    *v = (struct verify){.fd = -1};
}

void verify_stop(struct verify *v) {
    if (v->fd != -1)
        close(v->fd);
    v->fd = -1;
}

void verify_release(struct verify *v) {
    verify_stop(v);
    free(v->piece);
    verify_init(v);
}

int verify_prepare(struct verify *v) {
    if (!v->piece)
        v->piece = malloc(VERIFY_PIECE);
    return v->piece ? 0 : ERR_NOMEM;
}

bool verify_is_reading(const struct verify *v, const struct file *f) {
    return v->fd != -1 && v->index == f->index;
}

/* difference NULL: an error of the system. A file that is gone is a changed one. */
static enum verify_result verify_fail(struct verify *v, const char *difference, int error, const char **why) {
    verify_stop(v);
    *why = difference ? difference : strerror(error);
    return difference || error == ENOENT ? VERIFY_CHANGED : VERIFY_UNREADABLE;
}

static enum verify_result verify_open(struct verify *v, const struct file *f, const char **why) {
    const char *difference = NULL;
    struct stat st;
    verify_stop(v);
    if (file_open_confined(-1, NULL, f->path, &v->fd, &st) != 0 ||
        (difference = fileid_difference(&f->id, v->fd, &st, true)))
        return verify_fail(v, difference, errno, why);
    v->index = f->index;
    v->position = 0;
    v->crc = 0;
    return VERIFY_MORE;
}

/* The identity is compared once more: the file may have changed while it was read. */
static enum verify_result verify_finish(struct verify *v, const struct file *f, const char **why) {
    const char *difference = NULL;
    if (fileid_compare(&f->id, v->fd, true, &difference) != 0 || difference)
        return verify_fail(v, difference, errno, why);
    verify_stop(v);
    return v->position == f->id.size && v->crc == f->record_crc ? VERIFY_SAME : VERIFY_OTHER;
}

enum verify_result verify_read(struct verify *v, const struct file *f, const char **why) {
    if (!verify_is_reading(v, f)) {
        enum verify_result opened = verify_open(v, f, why);
        if (opened != VERIFY_MORE)
            return opened;
    }
    uint64_t left = f->id.size - v->position;
    size_t wanted = (size_t)MIN(left, VERIFY_PIECE);
    ssize_t got = TEMP_FAILURE_RETRY(pread(v->fd, v->piece, wanted, (off_t)v->position));
    if (got == -1)
        return verify_fail(v, NULL, errno, why);
    v->crc = crc32c_add(v->crc, v->piece, (size_t)got);
    v->position += (uint64_t)got;
    return got == 0 || v->position == f->id.size ? verify_finish(v, f, why) : VERIFY_MORE;
}
