/*
 * openat2(2): opens a path that must not lead out of a directory, in one system call.
 *
 * There is no fallback to a loop of openat(2). The call exists since Linux 5.6, and container
 * runtimes allow it since their filters know it. A loop would be a second implementation of the
 * confinement that no test host uses.
 */
#ifndef CHUNKLIFT_OPENAT2_H
#define CHUNKLIFT_OPENAT2_H

#include <linux/openat2.h>
#include <stdint.h>

/* flags as for open(2), O_CLOEXEC is added; resolve: RESOLVE_* of openat2(2). Repeats the call
 * after EINTR, and a few times after EAGAIN (a rename during the resolution of ".."). The
 * descriptor, or -1 and errno; ENOSYS is logged once. */
int openat2_open(int dir_fd, const char *path, int flags, uint64_t resolve);

#endif
