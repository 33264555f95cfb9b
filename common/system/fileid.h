/*
 * Source files: taking their identity (pure/source_identity.h), comparing it, opening them confined to a root.
 * Device numbers only compare under the same boot id: they change over reboots and between hosts of one NFS.
 */
#ifndef CHUNKLIFT_FILEID_H
#define CHUNKLIFT_FILEID_H

#include "pure/err.h"
#include "pure/source_identity.h"
#include <stdint.h>
#include <sys/stat.h>

void fileid_from_stat(const struct stat *st, struct source_identity *id);
/* The sentence with a difference (source_identity_difference), in journal records and messages. */
#define FILEID_CHANGED_FORMAT "changed while it was uploaded (%s)"
/* Do files of the file system of fd keep their inode numbers? True for local file systems that are known to; FUSE and
 * network file systems may give an unchanged file another number once the kernel has forgotten it. */
bool fileid_inodes_are_stable(int fd);
/* The open file against the plan. As source_identity_difference, but an inode number that differs alone counts only where
 * numbers are stable. ERR_IO: fd cannot be looked at, errno. */
int fileid_compare(const struct source_identity *planned, int fd, bool same_boot, const char **difference) MUST_CHECK;

/*
 * Content and size can disagree: files of /proc have size 0, those of /sys one page, and a FUSE file system may say
 * anything. These make the sentence for people about a file that still has the planned identity.
 */
/* Reads past the end. 0: nothing is there. ERR_IO with why: there is more, or it cannot be read. */
int fileid_check_end(int fd, uint64_t size, char *why, size_t why_size) MUST_CHECK;
/* why: the content ends at `end`, before size. */
void fileid_explain_short(uint64_t end, uint64_t size, char *why, size_t why_size);

/* /proc/sys/kernel/random/boot_id without dashes (32 hex digits and a NUL). Read once. */
const char *boot_id(void);

/*
 * Opens path (absolute) read-only beneath root (absolute, without trailing slash except "/"), by openat2(2) with
 * RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS on root's descriptor: no symlink or ".." leads out. root "" or NULL opens the
 * path as it is. Only regular files: ERR_INVALID otherwise. ERR_NOT_FOUND, ERR_DENIED, ERR_IO as the system says. Opens
 * with O_NONBLOCK | O_CLOEXEC | O_NOCTTY (a fifo must not block). errno is kept for the caller.
 */
int open_beneath(int root_fd, const char *root, const char *path, int *fd) MUST_CHECK;

#endif
