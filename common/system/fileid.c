#include "system/fileid.h"

#include "pure/buf.h"
#include "system/log.h"
#include "system/openat2.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ZFS_MAGIC 0x2fc12fc1u /* not in linux/magic.h */
#define BCACHEFS_MAGIC 0xca451a4eu

void fileid_from_stat(const struct stat *st, struct source_identity *id) {
    *id = (struct source_identity){
        .size = (uint64_t)st->st_size,
        .mtime_ns = nanotime_of(st->st_mtim),
        .ctime_ns = nanotime_of(st->st_ctim),
        .ino = st->st_ino,
        .dev = st->st_dev,
        .mode = st->st_mode,
    };
}

bool fileid_inodes_are_stable(int fd) {
    static const uint32_t stable[] = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
                                      F2FS_SUPER_MAGIC, ZFS_MAGIC,       BCACHEFS_MAGIC};
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < sizeof stable / sizeof *stable; i++)
        if ((uint32_t)fs.f_type == stable[i])
            return true;
    return false;
}

const char *fileid_difference(const struct source_identity *planned, int fd, const struct stat *st, bool same_boot) {
    struct source_identity now, without_inode = *planned;
    fileid_from_stat(st, &now);
    const char *difference = source_identity_difference(planned, &now, same_boot);
    without_inode.ino = 0;
    if (difference && !source_identity_difference(&without_inode, &now, same_boot) && !fileid_inodes_are_stable(fd))
        return NULL;
    return difference;
}

int fileid_compare(const struct source_identity *planned, int fd, bool same_boot, const char **difference) {
    struct stat st;
    *difference = NULL;
    if (fstat(fd, &st) != 0)
        return ERR_IO;
    *difference = fileid_difference(planned, fd, &st, same_boot);
    return 0;
}

int fileid_check_end(int fd, uint64_t size, char *why, size_t why_size) {
    char byte;
    ssize_t got;
    do
        got = pread(fd, &byte, 1, (off_t)size);
    while (got == -1 && errno == EINTR);
    if (got == 0)
        return 0;
    if (got == -1)
        snprintf(why, why_size, "%s", strerror(errno));
    else
        snprintf(why, why_size,
                 "it has more content than its size of %" PRIu64 " bytes; copy it to a regular file first", size);
    return ERR_IO;
}

void fileid_explain_short(uint64_t end, uint64_t size, char *why, size_t why_size) {
    snprintf(why, why_size,
             "its content is shorter than its size (%" PRIu64 " of %" PRIu64 " bytes); copy it to a regular file first",
             end, size);
}

/* "01234567-89ab-…\n" without its dashes. All zeros when the kernel has none: then the device numbers of different hosts
 * are compared, which can only make a file look changed. */
static void boot_id_read(char out[33]) {
    memset(out, '0', 32);
    out[32] = '\0';
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof text);
    if (fd != -1)
        close(fd);
    size_t used = 0;
    char hex[32];
    for (ssize_t i = 0; i < n && used < sizeof hex; i++)
        if (strchr("0123456789abcdef", text[i]) && text[i])
            hex[used++] = text[i];
    if (used == sizeof hex)
        memcpy(out, hex, sizeof hex);
    else
        log_warn("/proc/sys/kernel/random/boot_id: cannot be read");
}

const char *boot_id(void) {
    static char id[33];
    if (!id[0])
        boot_id_read(id);
    return id;
}

/* The part of path under root ("" for root itself); NULL: path is not under root. */
static const char *path_under_root(const char *root, const char *path) {
    size_t len = strlen(root);
    while (len > 0 && root[len - 1] == '/')
        len--;
    if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        return NULL;
    return path + len + strspn(path + len, "/");
}

#define SOURCE_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY)

static int source_open_error(int error) {
    switch (error) {
    case EXDEV: /* leads out of the root */
    case ELOOP:
        return ERR_DENIED;
    case ENXIO: /* a socket, or a device without a driver */
    case ENODEV:
        return ERR_INVALID;
    default:
        return err_from_errno(error);
    }
}

static int fd_require_regular(int fd, struct stat *st) {
    if (fstat(fd, st) != 0)
        return err_from_errno(errno);
    if (S_ISREG(st->st_mode))
        return 0;
    errno = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
    return ERR_INVALID;
}

int file_open_confined(int root_fd, const char *root, const char *path, int *fd, struct stat *st) {
    *fd = -1;
    int opened;
    if (path[0] != '/') {
        errno = EINVAL;
        return ERR_INVALID;
    }
    if (!root || !root[0]) {
        opened = openat2_open(AT_FDCWD, path, SOURCE_FLAGS, RESOLVE_NO_MAGICLINKS);
    } else {
        const char *rest = path_under_root(root, path);
        if (!rest) {
            errno = EXDEV;
            return ERR_DENIED;
        }
        /* A root that is a file itself was named by the user: it is opened as named. */
        opened = *rest ? openat2_open(root_fd, rest, SOURCE_FLAGS, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
                       : openat2_open(AT_FDCWD, path, SOURCE_FLAGS, RESOLVE_NO_MAGICLINKS);
    }
    if (opened == -1)
        return source_open_error(errno);
    int err = fd_require_regular(opened, st);
    if (err) {
        int error = errno;
        close(opened);
        errno = error;
        return err;
    }
    *fd = opened;
    return 0;
}
