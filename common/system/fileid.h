/*
 * Source files: reading their identity (pure/source_identity.h), comparing it, opening them confined to a root. Device
 * numbers are compared only under the same boot id: they change over reboots and between hosts of one NFS.
 */
#ifndef CHUNKLIFT_FILEID_H
#define CHUNKLIFT_FILEID_H

#include "pure/err.h"
#include "pure/source_identity.h"
#include <stdint.h>
#include <sys/stat.h>

void fileid_from_stat(const struct stat *st, struct source_identity *id);
/* The message with a difference (source_identity_difference), in journal records and logs. */
#define FILEID_CHANGED_FORMAT "changed while it was uploaded (%s)"
/* True when the file system of fd is known to keep inode numbers (local file systems). FUSE and network file systems may
 * give an unchanged file another number after the kernel dropped it from its cache. */
bool fileid_inodes_are_stable(int fd);
/* Compares the attributes of an open file with the plan, as source_identity_difference, but ignores a difference of the
 * inode number alone where numbers are not stable. NULL: equal. */
const char *fileid_difference(const struct source_identity *planned, int fd, const struct stat *st, bool same_boot);
/* The same with its attributes of now. *difference NULL: equal. ERR_IO: fstat failed; errno is kept. */
int fileid_compare(const struct source_identity *planned, int fd, bool same_boot, const char **difference) MUST_CHECK;

/*
 * Content and size can disagree: files of /proc have size 0, those of /sys one page, and a FUSE file system may report
 * any size. These two explain it for a file that still has the planned identity.
 */
/* Reads at the end. 0: the file ends there. ERR_IO: it has more, or cannot be read; see why. */
int fileid_check_end(int fd, uint64_t size, char *why, size_t why_size) MUST_CHECK;
/* why: the content ends at `end`, before size. */
void fileid_explain_short(uint64_t end, uint64_t size, char *why, size_t why_size);

/* /proc/sys/kernel/random/boot_id without dashes (32 hex digits and a NUL). Read once. */
const char *boot_id(void);

/*
 * Opens path (absolute) read-only under root (absolute, without trailing slash except "/"), by openat2(2) with
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS on root's descriptor: no symlink or ".." leads out. root "" or NULL: opens the
 * path without a root. Opens with O_NONBLOCK | O_CLOEXEC | O_NOCTTY, so a fifo does not block. *st: its attributes.
 * ERR_INVALID: not a regular file. ERR_NOT_FOUND, ERR_DENIED, ERR_IO as of the system call. errno is kept.
 */
int file_open_confined(int root_fd, const char *root, const char *path, int *fd, struct stat *st) MUST_CHECK;

#endif
