#include "producer/verify.h"

#include "producer/planner.h"
#include "pure/digest.h"
#include "system/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void verify_init(struct verify *v) {
    *v = (struct verify){.fd = -1};
}

static void verify_close(struct verify *v) {
    if (v->fd >= 0)
        close(v->fd);
    v->fd = -1;
}

void verify_release(struct verify *v) {
    verify_close(v);
    free(v->piece);
    verify_init(v);
}

/* The file being read when it still is to be read, else the first one that is. */
static struct file *verify_file(const struct core *c) {
    struct file *first = NULL;
    for (struct file *f = c->files.first; f; f = f->next) {
        if (f->state != FILE_VERIFY)
            continue;
        if (c->verify.fd >= 0 && f->index == c->verify.index)
            return f;
        first = first ? first : f;
    }
    return first;
}

/* Not the planned file any more, or it cannot be read. f may be gone afterwards. */
static void verify_failed(struct core *c, struct file *f, int error, const char *difference, uint64_t now_ms) {
    verify_close(&c->verify);
    if (difference || error == ENOENT)
        core_changed_before(c, f, difference ? difference : strerror(error), now_ms);
    else
        core_file_failed(c, f, FAIL_SOURCE, "cannot be read: %s", strerror(error));
}

/* False: f has failed. */
static bool verify_open(struct core *c, struct file *f, uint64_t now_ms) {
    struct verify *v = &c->verify;
    const char *difference = NULL;
    verify_close(v);
    if (open_beneath(-1, NULL, f->path, &v->fd) != 0 || fileid_compare(&f->id, v->fd, true, &difference) != 0 ||
        difference) {
        verify_failed(c, f, errno, difference, now_ms);
        return false;
    }
    v->index = f->index;
    v->position = 0;
    v->crc = 0;
    return true;
}

/* All was read. The record stands for the file, or the file is another one. */
static void verify_end(struct core *c, struct file *f, uint64_t now_ms) {
    struct verify *v = &c->verify;
    const char *difference = NULL;
    bool same = v->position == f->id.size && v->crc == f->record_crc;
    if (fileid_compare(&f->id, v->fd, true, &difference) != 0 || difference) {
        verify_failed(c, f, errno, difference, now_ms);
        return;
    }
    verify_close(v);
    f->verified = same;
    if (!same) {
        core_start_over(c, f, now_ms);
        f->forced = true;
        return;
    }
    if (f->record_differs == DIFFERS_INODE)
        core_found_unstable(c, f);
    core_plan_again(c, f, now_ms);
}

/* One piece. */
static void verify_read(struct core *c, struct file *f, uint64_t now_ms) {
    struct verify *v = &c->verify;
    uint64_t left = f->id.size - v->position;
    ssize_t got =
        left ? pread(v->fd, v->piece, left < VERIFY_PIECE ? (size_t)left : VERIFY_PIECE, (off_t)v->position) : 0;
    if (got < 0 && errno == EINTR)
        return;
    if (got < 0) {
        verify_failed(c, f, errno, NULL, now_ms);
        return;
    }
    v->crc = crc32c_add(v->crc, v->piece, (size_t)got);
    v->position += (uint64_t)got;
    if (got == 0 || v->position == f->id.size)
        verify_end(c, f, now_ms);
}

int verify_step(struct core *c, uint64_t now_ms, bool *more) {
    struct verify *v = &c->verify;
    uint64_t end_ms = clock_ms() + VERIFY_STEP_MS;
    struct file *f = c->draining ? NULL : verify_file(c);
    *more = f != NULL;
    if (f && !v->piece && !(v->piece = malloc(VERIFY_PIECE)))
        return ERR_NOMEM;
    if (!f)
        verify_close(v);
    while (f && clock_ms() < end_ms) {
        if ((v->fd >= 0 && v->index == f->index) || verify_open(c, f, now_ms))
            verify_read(c, f, now_ms);
        f = verify_file(c);
        *more = f != NULL;
    }
    return 0;
}
