/*
 * The journal's directory: lock, temporary files, renames, syncs, and the check that the active
 * file is still in place.
 *
 * DIR/lock has two lines: the pid of the holder, for people, and `idle` or `sync`, for the next
 * holder under the same kernel. After a failed fdatasync the page cache shows bytes that are not on
 * the disk and, being clean, are never written. A process that is killed inside that call cannot
 * report it. So `sync` is written before a batch, and `idle` after its fdatasync succeeded. A
 * holder that finds `sync` does not trust the file that it reads, and copies it. The mark needs no
 * sync: a restart of the machine empties the page cache, and then reads return what is on the disk.
 */
#include "consumer/journal/journal_internal.h"

#include "consumer/journal/snapshot_file.h"
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
#define LOCK_TEXT_SIZE (LOCK_TEXT_LEN + 1)
#define LOCK_MARK_AT 11
#define LOCK_MARK_LEN 4
#define LOCK_TRIES 5

/* A new directory must survive a power failure like its files: its ancestors are synced. Errors are
 * ignored: many ancestors cannot be opened for reading. */
static void disk_sync_ancestors(int dir_fd) {
    int fd = dir_fd;
    for (bool top = false; !top;) {
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat here, there; /* without `up`, its fstat fails */
        top = fstat(fd, &here) != 0 || fstat(up, &there) != 0 ||
              (here.st_ino == there.st_ino && here.st_dev == there.st_dev);
        if (fd != dir_fd)
            close(fd);
        fd = up;
        if (!top)
            (void)fsync(up);
    }
    if (fd != -1)
        close(fd);
}

static int lock_log_busy(const struct journal *j) {
    char text[LOCK_TEXT_SIZE] = "";
    (void)!pread(j->lock_fd, text, LOCK_TEXT_LEN, 0); /* after an error, text is empty */
    long pid = strtol(text, NULL, 10);
    if (pid > 0)
        log_error("%s: is in use by process %ld; wait until it ends, or name another --journal", j->dir, pid);
    else
        log_error("%s: is in use by another process; wait for it, or name another --journal", j->dir);
    return ERR_BUSY;
}

static int lock_take(struct journal *j) {
    j->lock_fd = openat(j->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->lock_fd == -1)
        return disk_error(j->dir, LOCK_FILE, "open");
    owner_inherit(j->lock_fd, j->dir);
    for (int tries = 0; flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno == EWOULDBLOCK && tries++ == LOCK_TRIES)
            return lock_log_busy(j);
        if (errno == EWOULDBLOCK) /* a `cp` that tests for a consumer holds the lock for an instant */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        else if (errno != EINTR)
            return disk_error(j->dir, LOCK_FILE, "lock");
    }
    char text[LOCK_TEXT_SIZE] = "";
    while (pread(j->lock_fd, text, LOCK_TEXT_LEN, 0) == -1)
        if (errno != EINTR)
            return disk_error(j->dir, LOCK_FILE, "read");
    j->left_in_flight = memcmp(text + LOCK_MARK_AT, "sync", LOCK_MARK_LEN) == 0;
    snprintf(text, sizeof text, "%10d\n%s\n", (int)getpid(), j->left_in_flight ? "sync" : "idle");
    if (pwrite(j->lock_fd, text, LOCK_TEXT_LEN, 0) != LOCK_TEXT_LEN)
        return disk_error(j->dir, LOCK_FILE, "write");
    return 0;
}

static int dir_remove_stale(const struct journal *j, const char *name) {
    return unlinkat(j->dir_fd, name, 0) == 0 || errno == ENOENT ? 0 : disk_error(j->dir, name, "remove");
}

int journal_dir_open(struct journal *j) {
    struct stat st;
    bool is_new = stat(j->dir, &st) != 0;
    int err = dirs_make(j->dir);
    if (err)
        return err;
    j->dir_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd == -1)
        return disk_error(j->dir, "", "open");
    if (is_new)
        disk_sync_ancestors(j->dir_fd);
    if ((err = lock_take(j)))
        return err;
    FAULT_POINT(lock_taken);
    err = dir_remove_stale(j, JOURNAL_TEMP);
    return err ? err : dir_remove_stale(j, SNAPSHOT_TEMP);
}

int journal_dir_open_to_read(struct journal *j) {
    j->dir_fd = open(j->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dir_fd != -1)
        return 0;
    log_error("%s: the journal cannot be read: %s; name another directory with --journal", j->dir, strerror(errno));
    return err_from_errno(errno);
}

void journal_dir_unlock(struct journal *j) {
    if (j->lock_fd != -1) {
        /* After a failure the mark must stay. If ftruncate fails, an old pid stays in a file
         * without a lock. */
        if (j->ready && !j->failed)
            (void)!ftruncate(j->lock_fd, 0);
        FAULT_POINT_IF(j->ready && !j->failed, lock_cleared, "");
        close(j->lock_fd);
    }
    j->lock_fd = -1;
}

int journal_dir_mark_in_flight(struct journal *j, bool in_flight) {
    if (pwrite(j->lock_fd, in_flight ? "sync" : "idle", LOCK_MARK_LEN, LOCK_MARK_AT) == LOCK_MARK_LEN)
        return 0;
    return disk_error(j->dir, LOCK_FILE, "write");
}

int journal_dir_rename(const struct journal *j, const char *from, const char *to) {
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

int journal_dir_sync(const struct journal *j) {
    return j->io->fsync(j->dir_fd) == 0 ? 0 : disk_error(j->dir, "", "fsync");
}

/* ---- the active file is in place ---- */

static int active_lost(const struct journal *j, const char *what, const char *remedy) {
    log_error("%s: %s; nothing more is acknowledged; %s", j->active_path, what, remedy);
    return ERR_LOST;
}

static int active_lost_by_errno(const struct journal *j) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE || errno == ELOOP)
        return active_lost(j, "was removed, or its directory was", "bring it back before the next start");
    return disk_error(j->dir, JOURNAL_ACTIVE, "stat");
}

static int active_lost_by_size(const struct journal *j, uint64_t have, uint64_t size, const char *did,
                               const char *remedy) {
    char what[160];
    snprintf(what, sizeof what, "has %llu bytes instead of %llu: another program %s", (unsigned long long)have,
             (unsigned long long)size, did);
    return active_lost(j, what, remedy);
}

static int active_check_size(const struct journal *j, uint64_t have, uint64_t size) {
    if (have < size)
        return active_lost_by_size(
            j, have, size, "truncated it",
            "keep a copy of the directory, and do not rotate or truncate this file (logrotate?)");
    if (have > size)
        return active_lost_by_size(j, have, size, "writes to it",
                                   "a file system without locks can let a second consumer start: end one of the two");
    return 0;
}

int journal_dir_check_active(const struct journal *j, uint64_t size) {
    struct stat open_file, named;
    if (fstat(j->fd, &open_file) != 0 || stat(j->active_path, &named) != 0)
        return active_lost_by_errno(j);
    if (open_file.st_ino != named.st_ino || open_file.st_dev != named.st_dev)
        return active_lost(j, "is another file now: it or its directory was replaced",
                           "put the original back before the next start");
    return active_check_size(j, (uint64_t)open_file.st_size, size);
}
