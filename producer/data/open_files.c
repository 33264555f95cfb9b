#include "producer/data/open_files.h"
#include "pure/arith.h"

#include "system/descriptors.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void open_files_init(struct open_files *o) {
    size_t share = descriptors_free() / 4;
    *o = (struct open_files){.count = clamp_u64(share, 1, OPEN_FILES_LIMIT)};
}

static struct open_file *open_files_end(struct open_files *o) {
    return o->items + o->count;
}

static void open_file_close(struct open_file *item) {
    if (!id_is_zero(&item->upload))
        close(item->fd);
    *item = (struct open_file){0};
}

void open_files_release(struct open_files *o) {
    for (struct open_file *item = o->items; item != open_files_end(o); item++)
        open_file_close(item);
}

void open_files_close_idle(struct open_files *o, uint64_t now_ms) {
    for (struct open_file *item = o->items; item != open_files_end(o); item++)
        if (now_ms >= item->used_ms + OPEN_FILE_IDLE_MS)
            open_file_close(item);
}

static int open_file_compare(const struct file *f, int fd, char *why, size_t why_size) {
    const char *difference;
    int err = fileid_compare(&f->id, fd, true, &difference);
    if (!err && !difference)
        return 0;
    snprintf(why, why_size, "%s", err ? strerror(errno) : difference);
    return err ? err : ERR_CHANGED;
}

/* *fd is -1 on error. */
static int open_file_open(const struct file *f, int *fd, char *why, size_t why_size) {
    struct stat st;
    int err = file_open_confined(-1, NULL, f->path, fd, &st);
    if (err) {
        *fd = -1;
        snprintf(why, why_size, "%s", err == ERR_INVALID ? "no longer a regular file" : strerror(errno));
        return err == ERR_INVALID ? ERR_CHANGED : err;
    }
    const char *difference = fileid_difference(&f->id, *fd, &st, true);
    if (!difference)
        return 0;
    snprintf(why, why_size, "%s", difference);
    close(*fd);
    *fd = -1;
    return ERR_CHANGED;
}

/* The entry of the upload, or the one to use for it. */
static struct open_file *open_files_find(struct open_files *o, const struct id128 *upload) {
    struct open_file *oldest = o->items;
    for (struct open_file *item = o->items; item != open_files_end(o); item++) {
        if (id_equal(&item->upload, upload))
            return item;
        if (item->used_ms < oldest->used_ms)
            oldest = item;
    }
    return oldest;
}

int open_files_get(struct open_files *o, const struct file *f, uint64_t now_ms, int *fd, char *why, size_t why_size) {
    struct open_file *item = open_files_find(o, &f->upload);
    int err = 0;
    if (!id_equal(&item->upload, &f->upload)) {
        open_file_close(item);
        err = open_file_open(f, &item->fd, why, why_size);
        if (err == ERR_DESCRIPTORS) { /* the others are reopened on demand */
            open_files_release(o);
            err = open_file_open(f, &item->fd, why, why_size);
        }
        if (!err)
            item->upload = f->upload;
    } else {
        err = open_file_compare(f, item->fd, why, why_size);
    }
    item->used_ms = err ? 0 : now_ms;
    *fd = err ? -1 : item->fd;
    return err;
}

int open_files_check(const struct file *f, int fd, char *why, size_t why_size) {
    char more[160];
    int again, longer = fileid_check_end(fd, f->id.size, more, sizeof more),
               err = open_file_compare(f, fd, why, why_size);
    if (err)
        return err;
    err = open_file_open(f, &again, why, why_size);
    if (err == ERR_NOT_FOUND) /* the reason is in why */
        return ERR_CHANGED;
    if (err)
        return err;
    close(again);
    if (longer)
        snprintf(why, why_size, "%s", more);
    return longer;
}
