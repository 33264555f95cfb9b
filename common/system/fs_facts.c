#include "system/fs_facts.h"

#include "system/oserr.h"
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Not in linux/magic.h of every release: statfs(2), and the sources of Linux. */
static const struct fs_name {
    uint32_t magic;
    enum fs_kind kind;
    const char *name;
} fs_names[] = {
    {EXT4_SUPER_MAGIC, FS_OTHER, "ext4"},   {XFS_SUPER_MAGIC, FS_OTHER, "xfs"},
    {BTRFS_SUPER_MAGIC, FS_OTHER, "btrfs"}, {F2FS_SUPER_MAGIC, FS_OTHER, "f2fs"},
    {0x2fc12fc1u, FS_OTHER, "zfs"},         {0xca451a4eu, FS_OTHER, "bcachefs"},
    {TMPFS_MAGIC, FS_MEMORY, "tmpfs"},      {RAMFS_MAGIC, FS_MEMORY, "ramfs"},
    {NFS_SUPER_MAGIC, FS_NETWORK, "nfs"},   {SMB_SUPER_MAGIC, FS_NETWORK, "smb"},
    {CIFS_SUPER_MAGIC, FS_NETWORK, "cifs"}, {SMB2_SUPER_MAGIC, FS_NETWORK, "smb2"},
    {CEPH_SUPER_MAGIC, FS_NETWORK, "ceph"}, {0x0bd00bd0u, FS_NETWORK, "lustre"},
    {0x47504653u, FS_NETWORK, "gpfs"},      {0x19830326u, FS_NETWORK, "fhgfs"},
    {V9FS_MAGIC, FS_NETWORK, "9p"},         {AFS_SUPER_MAGIC, FS_NETWORK, "afs"},
    {FUSE_SUPER_MAGIC, FS_FUSE, "fuse"},    {OVERLAYFS_SUPER_MAGIC, FS_OVERLAY, "overlay"},
};

int fs_facts_read(const char *path, struct fs_facts *f) {
    struct statvfs fs;
    struct statfs type;
    bool root = geteuid() == 0;
    *f = (struct fs_facts){.kind = FS_OTHER};
    if (statvfs(path, &fs) != 0 || statfs(path, &type) != 0)
        return err_from_errno(errno);
    for (size_t i = 0; i < sizeof fs_names / sizeof *fs_names; i++)
        if (fs_names[i].magic == (uint32_t)type.f_type) {
            f->kind = fs_names[i].kind;
            f->name = fs_names[i].name;
        }
    f->free_bytes = (uint64_t)(root ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
    f->free_files = fs.f_files == 0 ? UINT64_MAX : (uint64_t)(root ? fs.f_ffree : fs.f_favail);
    return 0;
}
