/*
 * What the journal does to its directory: the lock, temporary files, renames, syncs. Every call that matters for
 * durability goes through struct journal_io. Whoever has a fresh errno logs here, once.
 *
 * DIR/lock holds two lines: the pid of its holder, for people, and `idle` or `sync`. The second is for the next holder
 * under the same kernel. After a failed fdatasync the page cache shows bytes that are not on the disk and, being clean,
 * never will be; a process killed inside that call cannot even tell anybody. So `sync` is written before a batch and
 * `idle` after its fdatasync succeeded: who finds `sync` does not trust the file he reads and copies it. The mark needs
 * no sync of its own: a restart of the machine empties the page cache, and then what is read is what is there.
 */
#include "consumer/journal/journal_internal.h"

#include "journal/files.h"
#include "system/dirs.h"
#include "system/fault.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_FILE "lock"
#define LOCK_TEXT_LEN 16 /* "%10d\nidle\n" */
#define LOCK_MARK_AT 11
#define LOCK_MARK_LEN 4
#define LOCK_TRIES 5

const struct journal_io journal_real_io = {.write = write, .fdatasync = fdatasync, .fsync = fsync, .rename = rename};

int disk_error(const char *dir, const char *name, const char *operation) {
    int error = errno, err = err_from_errno(error);
    const char *slash = *name ? "/" : "";
    if (err == ERR_FULL)
        log_error("%s: no space left for the journal; nothing was acknowledged; free some space and start again", dir);
    else if (error == EFBIG) {
        log_error(
            "%s%s%s: %s: %s; nothing more is acknowledged; raise the limit of file sizes (ulimit -f), or seal the "
            "journal's file earlier (--rotate)",
            dir, slash, name, operation, strerror(error));
        return ERR_DENIED;                          /* the same write fails again */
    } else if (err == ERR_DENIED && error != EROFS) /* a file system that failed is often made read-only */
        log_error("%s%s%s: %s: %s; the journal's directory must be this user's and writable", dir, slash, name,
                  operation, strerror(error));
    else
        log_error("%s%s%s: %s: %s; nothing more is acknowledged; check the disk and start again", dir, slash, name,
                  operation, strerror(error));
    return err;
}

char *disk_path(const char *dir, const char *name) {
    char *path = NULL;
    return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

void disk_sealed_name(uint64_t first_seq, char name[48]) {
    snprintf(name, 48, "journal.%020llu.jsonl", (unsigned long long)first_seq);
}

/* A directory that was just made must survive a power cut as its files do: its ancestors are synced. Errors are theirs:
 * many may only be searched, not read. */
static void sync_ancestors(int dir_fd) {
    int fd = dir_fd;
    for (int level = 0; level < 64; level++) {
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat here, there;
        bool top = up < 0 || fstat(fd, &here) != 0 || fstat(up, &there) != 0 ||
                   (here.st_ino == there.st_ino && here.st_dev == there.st_dev);
        if (fd != dir_fd)
            close(fd);
        fd = up;
        if (top)
            break;
        (void)fsync(up);
    }
    if (fd >= 0 && fd != dir_fd)
        close(fd);
}

static int log_busy(const struct journal *j) {
    char text[LOCK_TEXT_LEN + 1] = "";
    ssize_t n = pread(j->lock_fd, text, LOCK_TEXT_LEN, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        log_error("%s: is in use by process %ld; wait until it ends, or name another --journal", j->dir, pid);
    else
        log_error("%s: is in use by another process; wait for it, or name another --journal", j->dir);
    return ERR_BUSY;
}

static int take_lock(struct journal *j) {
    j->lock_fd = openat(j->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->lock_fd < 0)
        return disk_error(j->dir, LOCK_FILE, "open");
    owner_inherit(j->lock_fd, j->dir);
    for (int tries = 0; flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno == EWOULDBLOCK && tries++ == LOCK_TRIES)
            return log_busy(j);
        if (errno == EWOULDBLOCK) /* a `cp` that only asks whether somebody serves holds it for an instant */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        else if (errno != EINTR)
            return disk_error(j->dir, LOCK_FILE, "lock");
    }
    char text[LOCK_TEXT_LEN + 1] = "";
    if (pread(j->lock_fd, text, LOCK_TEXT_LEN, 0) < 0)
        return disk_error(j->dir, LOCK_FILE, "read");
    j->left_in_flight = memcmp(text + LOCK_MARK_AT, "sync", LOCK_MARK_LEN) == 0;
    snprintf(text, sizeof text, "%10d\n%s\n", (int)getpid(), j->left_in_flight ? "sync" : "idle");
    if (pwrite(j->lock_fd, text, LOCK_TEXT_LEN, 0) != LOCK_TEXT_LEN)
        return disk_error(j->dir, LOCK_FILE, "write");
    return 0;
}

int disk_open_dir(struct journal *j) {
    struct stat st;
    bool is_new = stat(j->dir, &st) != 0;
    int err = make_dirs(j->dir);
    if (err)
        return err;
    j->dir_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd < 0)
        return disk_error(j->dir, "", "open");
    if (is_new)
        sync_ancestors(j->dir_fd);
    if ((err = take_lock(j)))
        return err;
    FAULT_POINT(lock_taken);
    static const char *const stale[] = {JOURNAL_TEMP, SNAPSHOT_TEMP};
    for (size_t i = 0; i < sizeof stale / sizeof stale[0]; i++)
        if (unlinkat(j->dir_fd, stale[i], 0) != 0 && errno != ENOENT)
            return disk_error(j->dir, stale[i], "remove");
    return 0;
}

void disk_unlock(struct journal *j) {
    if (j->lock_fd >= 0) {
        /* After a failure the mark must outlive us. Should this fail, an old pid stays in a file nobody holds. */
        if (j->ready && !j->failed && ftruncate(j->lock_fd, 0) != 0)
            log_debug("%s/%s: %s", j->dir, LOCK_FILE, strerror(errno));
        FAULT_POINT_IF(j->ready && !j->failed, lock_cleared, "");
        close(j->lock_fd);
    }
    j->lock_fd = -1;
}

int disk_mark_in_flight(struct journal *j, bool in_flight) {
    if (pwrite(j->lock_fd, in_flight ? "sync" : "idle", LOCK_MARK_LEN, LOCK_MARK_AT) == LOCK_MARK_LEN)
        return 0;
    return disk_error(j->dir, LOCK_FILE, "write");
}

int disk_write_all(const struct journal_io *io, int fd, const void *bytes, size_t len) {
    const char *from = bytes;
    while (len > 0) {
        ssize_t n = io->write(fd, from, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO; /* write(2) never says 0 for a regular file; do not turn for ever if it does */
        if (n <= 0)
            return ERR_IO;
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

int disk_create(const char *dir, const char *name, bool exclusive, int *fd) {
    char *path = disk_path(dir, name);
    if (!path)
        return ERR_NOMEM;
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (exclusive ? O_EXCL : O_TRUNC);
    *fd = open(path, flags, 0600);
    int error = errno;
    owner_inherit(*fd, dir);
    free(path);
    errno = error;
    if (*fd >= 0)
        return 0;
    return exclusive && error == EEXIST ? ERR_BUSY : disk_error(dir, name, "create");
}

int disk_rename(const struct journal *j, const char *from, const char *to) {
    char *old = disk_path(j->dir, from), *new = disk_path(j->dir, to);
    int err = 0;
    if (!old || !new)
        err = ERR_NOMEM;
    else if (j->io->rename(old, new) != 0)
        err = disk_error(j->dir, to, "rename");
    free(old);
    free(new);
    return err;
}

int disk_sync_dir(const struct journal *j) {
    return j->io->fsync(j->dir_fd) == 0 ? 0 : disk_error(j->dir, "", "fsync");
}

/* ---- is it still there? ---- */

static int lost(const struct journal *j, const char *what, const char *remedy) {
    log_error("%s: %s; nothing more is acknowledged; %s", j->active_path, what, remedy);
    return ERR_LOST;
}

static int lost_by_errno(const struct journal *j) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE || errno == ELOOP)
        return lost(j, "was removed, or its directory was", "bring it back before the next start");
    return disk_error(j->dir, JOURNAL_ACTIVE, "stat");
}

static int check_size(const struct journal *j, uint64_t have, uint64_t size) {
    char what[160];
    if (have == size)
        return 0;
    snprintf(what, sizeof what, "has %llu bytes instead of %llu: another program %s", (unsigned long long)have,
             (unsigned long long)size, have < size ? "truncated it" : "writes to it");
    return lost(j, what,
                have < size ? "keep a copy of the directory, and do not rotate or truncate this file (logrotate?)"
                            : "a file system without locks can let a second consumer start: end one of the two");
}

int disk_check_active(const struct journal *j, uint64_t size) {
    struct stat open_file, named;
    if (fstat(j->fd, &open_file) != 0 || stat(j->active_path, &named) != 0)
        return lost_by_errno(j);
    if (open_file.st_ino != named.st_ino || open_file.st_dev != named.st_dev)
        return lost(j, "is another file now: it or its directory was replaced",
                    "put the original back before the next start");
    return check_size(j, (uint64_t)open_file.st_size, size);
}
