#include "producer/data/open_files.h"

#include "system/descriptors.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void data_files_init(struct data_files *d) {
    size_t share = descriptors_free() / 4;
    *d = (struct data_files){.count = share < 1 ? 1 : share < DATA_FILES_MAX ? share : DATA_FILES_MAX};
}

static void item_close(struct data_file *item) {
    if (!id_is_zero(&item->upload))
        close(item->fd);
    *item = (struct data_file){0};
}

void data_files_release(struct data_files *d) {
    for (size_t i = 0; i < d->count; i++)
        item_close(&d->items[i]);
}

void data_files_tick(struct data_files *d, uint64_t now_ms) {
    for (size_t i = 0; i < d->count; i++)
        if (now_ms >= d->items[i].used_ms + DATA_FILE_IDLE_MS)
            item_close(&d->items[i]);
}

static int compare(const struct file *f, int fd, char *why, size_t why_size) {
    const char *difference;
    int err = fileid_compare(&f->id, fd, true, &difference);
    if (!err && !difference)
        return 0;
    snprintf(why, why_size, "%s", err ? strerror(errno) : difference);
    return err ? err : ERR_CHANGED;
}

/* *fd is -1 on error. */
static int open_and_compare(const struct file *f, int *fd, char *why, size_t why_size) {
    int err = open_beneath(-1, NULL, f->path, fd);
    if (err) {
        *fd = -1;
        snprintf(why, why_size, "%s", err == ERR_INVALID ? "not a regular file any more" : strerror(errno));
        return err == ERR_INVALID ? ERR_CHANGED : err;
    }
    err = compare(f, *fd, why, why_size);
    if (err) {
        close(*fd);
        *fd = -1;
    }
    return err;
}

/* Its own place, or the one to be used for it. */
static struct data_file *place_of(struct data_files *d, const struct id128 *upload) {
    struct data_file *oldest = &d->items[0];
    for (size_t i = 0; i < d->count; i++) {
        if (id_equal(&d->items[i].upload, upload))
            return &d->items[i];
        if (d->items[i].used_ms < oldest->used_ms)
            oldest = &d->items[i];
    }
    return oldest;
}

int data_files_get(struct data_files *d, const struct file *f, uint64_t now_ms, int *fd, char *why, size_t why_size) {
    struct data_file *item = place_of(d, &f->upload);
    int err = 0;
    if (!id_equal(&item->upload, &f->upload)) {
        item_close(item);
        err = open_and_compare(f, &item->fd, why, why_size);
        if (err == ERR_DESCRIPTORS) { /* the others are opened again when they are asked for */
            data_files_release(d);
            err = open_and_compare(f, &item->fd, why, why_size);
        }
        if (!err)
            item->upload = f->upload;
    } else {
        err = compare(f, item->fd, why, why_size);
    }
    item->used_ms = err ? 0 : now_ms;
    *fd = err ? -1 : item->fd;
    return err;
}

int data_file_check(const struct file *f, int fd, char *why, size_t why_size) {
    char more[160];
    int again, longer = fileid_check_end(fd, f->id.size, more, sizeof more), err = compare(f, fd, why, why_size);
    if (err)
        return err;
    err = open_and_compare(f, &again, why, why_size);
    if (err == ERR_NOT_FOUND) /* why says so */
        return ERR_CHANGED;
    if (err)
        return err;
    close(again);
    if (longer)
        snprintf(why, why_size, "%s", more);
    return longer;
}
