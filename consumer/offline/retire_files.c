#include "consumer/journal/disk.h"
#include "consumer/offline/retire.h"

#include "system/dirs.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 18)
#define ARCHIVE_TEMP "tmp-journal-archive"

static int archive_failed(const char *path, const char *operation) {
    int error = errno;
    log_error("%s: %s: %s; the other files stay; correct that and run the command again", path, operation,
              strerror(error));
    return err_from_errno(error);
}

int retire_prepare_archive(const struct retire *r) {
    struct stat ours, theirs;
    int err = dirs_make(r->o->archive);
    if (err)
        return err;
    if (stat(r->o->dir, &ours) != 0 || stat(r->o->archive, &theirs) != 0)
        return archive_failed(r->o->archive, "stat");
    if (ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino)
        return 0;
    log_error("--archive %s: this is the journal's own directory; name another one", r->o->archive);
    return ERR_USAGE;
}

static int archive_sync_dir(const struct retire_io *io, const char *dir) {
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1)
        return archive_failed(dir, "open");
    int err = io->journal.fsync(fd) == 0 ? 0 : archive_failed(dir, "fsync");
    close(fd);
    return err;
}

/* Returns BLOCK bytes, fewer only at the end; -1: errno. */
static ssize_t archive_read_block(int fd, char *block) {
    size_t have = 0;
    ssize_t n;
    while ((n = TEMP_FAILURE_RETRY(read(fd, block + have, BLOCK - have))) > 0)
        have += (size_t)n;
    return n == -1 ? -1 : (ssize_t)have;
}

static int archive_copy(const struct retire_io *io, int from, int to, char *block, const char *path) {
    ssize_t n;
    while ((n = archive_read_block(from, block)) > 0)
        if (disk_write_all(&io->journal, to, block, (size_t)n))
            return archive_failed(path, "write");
    if (n == -1)
        return archive_failed(path, "read");
    return io->journal.fsync(to) == 0 ? 0 : archive_failed(path, "fsync");
}

static int archive_same_content(int a, int b, char *blocks, const char *path, bool *same) {
    ssize_t n, m;
    do {
        n = archive_read_block(a, blocks);
        m = archive_read_block(b, blocks + BLOCK);
        if (n == -1 || m == -1)
            return archive_failed(path, "read");
        *same = n == m && memcmp(blocks, blocks + BLOCK, (size_t)n) == 0;
    } while (*same && n > 0);
    return 0;
}

/* The path exists: as the copy of an interrupted run, or as another file (ERR_BUSY). */
static int archive_compare(int from, const char *path, char *blocks) {
    bool same = false;
    int there = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (there == -1)
        return archive_failed(path, "open");
    int err = archive_same_content(from, there, blocks, path, &same);
    close(there);
    if (err || same)
        return err;
    log_error("%s: exists and has other content; nothing is replaced; move it away or name another --archive", path);
    return ERR_BUSY;
}

static int archive_put_copy(const struct retire *r, int from, const char *temp, const char *path, char *block) {
    const struct retire_io *io = r->o->io;
    int to = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to == -1)
        return archive_failed(temp, "create");
    owner_inherit(to, r->o->archive);
    int err = archive_copy(io, from, to, block, temp);
    close(to);
    if (!err && io->journal.rename(temp, path) != 0)
        err = archive_failed(path, "rename");
    return err;
}

static int archive_file(const struct retire *r, const char *source, const char *name) {
    char *temp = disk_path(r->o->archive, ARCHIVE_TEMP), *path = disk_path(r->o->archive, name);
    char *blocks = malloc(2 * BLOCK);
    struct stat st;
    int err = temp && path && blocks ? 0 : ERR_NOMEM;
    int from = err ? -1 : open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!err && from == -1)
        err = archive_failed(source, "open");
    if (!err && lstat(path, &st) == 0)
        err = archive_compare(from, path, blocks);
    else if (!err)
        err = archive_put_copy(r, from, temp, path, blocks);
    if (!err)
        err = archive_sync_dir(r->o->io, r->o->archive);
    if (from != -1)
        close(from);
    free(blocks);
    free(temp);
    free(path);
    return err;
}

int retire_file(const struct retire *r, const struct journal_file *f) {
    char *path = disk_path(r->o->dir, f->name);
    int err = path ? 0 : ERR_NOMEM;
    if (!err && r->o->archive)
        err = archive_file(r, path, f->name);
    if (!err && r->o->io->unlink(path) != 0)
        err = archive_failed(path, "remove");
    if (!err)
        err = archive_sync_dir(r->o->io, r->o->dir);
    free(path);
    return err;
}
