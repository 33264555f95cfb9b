#include "producer/cli/doctor/doctor_judge.h"

#include "pure/units.h"
#include "system/descriptors.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>

#define DISK_LEAST (1 * MIB) /* the journal can hardly begin */
#define DISK_FEW (256 * MIB) /* a record has about 300 bytes: 900,000 chunks or files */
#define FILES_FEW 100
#define SYNC_SLOW_US 50000 /* a disk with rotating platters needs 10 ms */
#define SLOTS_AUTO_MAX 256

#define OTHER_DIRECTORY "name a directory on a local disk with --journal"

void doctor_judge_directory(struct check *c, const char *dir, const struct stat *st, uid_t user) {
    unsigned mode = st->st_mode & 07777;
    if (!S_ISDIR(st->st_mode))
        check_set(c, CHECK_FAIL, "name another --journal", "%s is not a directory", dir);
    else if (st->st_uid != user && user != 0)
        check_set(c, CHECK_WARN, "use the journal as that user, or name another --journal",
                  "%s belongs to the user with the number %u, mode %04o", dir, (unsigned)st->st_uid, mode);
    else if (mode & 022)
        check_set(c, CHECK_WARN, "'chmod go-w' it", "others may change %s (mode %04o)", dir, mode);
    else
        check_set(c, CHECK_OK, "", "%s is writable, owner %u, mode %04o", dir, (unsigned)st->st_uid, mode);
}

static const struct {
    const char *what, *remedy;
} disk_kinds[] = {
    [FS_MEMORY] = {", which is memory: a restart of the machine loses the journal", OTHER_DIRECTORY},
    [FS_NETWORK] = {", which is a network file system: locks and syncs depend on its server", OTHER_DIRECTORY},
    [FS_FUSE] = {", which a program serves: locks and syncs depend on it", OTHER_DIRECTORY},
    [FS_OVERLAY] = {", which belongs to a container: the journal goes with it",
                    "put the journal on a volume (--journal)"},
};

void doctor_judge_disk(struct check *c, const struct fs_facts *fs) {
    char bytes[UNITS_TEXT_SIZE], files[64] = "";
    const char *name = fs->name ? fs->name : "a file system of another kind";
    size_format(fs->free_bytes, bytes);
    if (fs->free_files != UINT64_MAX)
        snprintf(files, sizeof files, " and %" PRIu64 " files", fs->free_files);
    if (fs->free_bytes < DISK_LEAST || fs->free_files == 0)
        check_set(c, CHECK_FAIL, "free some space, or name another --journal", "%s%s free on %s", bytes, files, name);
    else if (fs->kind != FS_OTHER)
        check_set(c, CHECK_WARN, disk_kinds[fs->kind].remedy, "%s%s free on %s%s", bytes, files, name,
                  disk_kinds[fs->kind].what);
    else if (fs->free_bytes < DISK_FEW || fs->free_files < FILES_FEW)
        check_set(c, CHECK_WARN, "free some space: a million chunks need about 300 MiB", "only %s%s free on %s", bytes,
                  files, name);
    else
        check_set(c, CHECK_OK, "", "%s%s free on %s", bytes, files, name);
}

void doctor_judge_sync(struct check *c, uint64_t us) {
    double ms = (double)us / 1000;
    if (us < SYNC_SLOW_US)
        check_set(c, CHECK_OK, "", "a record is on the disk after %.1f ms", ms);
    else
        check_set(c, CHECK_WARN, "small files wait for it; put the journal on a faster disk",
                  "a record is on the disk only after %.0f ms", ms);
}

void doctor_judge_descriptors(struct check *c, size_t free, uint64_t slots) {
    size_t fixed = MAX(DESCRIPTORS_OF_PRODUCER, DESCRIPTORS_OF_UPLOADER);
    uint64_t wanted = slots ? slots : SLOTS_AUTO_MAX;
    if (free < fixed) {
        check_set(c, CHECK_FAIL, "raise the limit (ulimit -n 4096, LimitNOFILE=)",
                  "a process can open %zu more files, and a producer needs %zu", free, fixed);
        return;
    }
    uint64_t most = 1 + (free - fixed) / DESCRIPTORS_OF_TRANSFER;
    if (most < wanted)
        check_set(c, CHECK_WARN, "raise the limit (ulimit -n 4096, LimitNOFILE=)",
                  "a process can open %zu more files, enough for %" PRIu64 " transfers at a time, not for %" PRIu64,
                  free, most, wanted);
    else
        check_set(c, CHECK_OK, "", "a process can open %zu more files, enough for %" PRIu64 " transfers at a time",
                  free, wanted);
}
