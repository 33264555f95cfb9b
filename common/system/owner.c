#include "system/owner.h"

#include "system/log.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void owner_inherit(int fd, const char *dir) {
    struct stat parent, file;
    int saved = errno;
    if (geteuid() != 0 || fd == -1 || stat(dir, &parent) != 0 || parent.st_uid == 0 || fstat(fd, &file) != 0 ||
        file.st_uid != 0 || (!S_ISDIR(file.st_mode) && file.st_nlink != 1))
        goto out;
    if (fchown(fd, parent.st_uid, parent.st_gid) != 0)
        log_warn("%s: a new file still belongs to root: %s; give it to the directory's owner with chown", dir,
                 strerror(errno));
out:
    errno = saved;
}

void owner_inherit_at(int fd, const char *path) {
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (len >= sizeof dir)
        return;
    memcpy(dir, path, len);
    dir[len] = '\0';
    owner_inherit(fd, len ? dir : ".");
}
