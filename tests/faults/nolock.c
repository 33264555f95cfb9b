/* Preloaded: a file system without locks, as NFS mounted with `nolock` is between two hosts. Each lock is granted. */
#include <sys/file.h>

int flock(int fd, int operation) {
    (void)fd;
    (void)operation;
    return 0;
}
