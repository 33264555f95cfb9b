/* Directories and local sockets of chunklift (XDG Base Directory Specification), and the file DIR/consumer. */
#ifndef CHUNKLIFT_DIRS_H
#define CHUNKLIFT_DIRS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* $XDG_STATE_HOME/chunklift/journal, else ~/.local/state/chunklift/journal. ERR_NOT_FOUND, logged: neither XDG_STATE_HOME
 * nor a home directory is known. */
int dirs_default_journal(struct buf *path) MUST_CHECK;

/* $XDG_RUNTIME_DIR/chunklift, else /tmp/chunklift-UID; created with mode 0700 when missing. ERR_DENIED, logged: another
 * user owns it, it is a symlink, or its mode is open to other users. */
int dirs_runtime(struct buf *path) MUST_CHECK;

/* "ipc://RUNTIME/NAME-<16 hex digits>": a new name with 64 random bits. Also removes stale sockets there that are older
 * than a minute. ERR_LIMIT: longer than sun_path (107 bytes) allows. */
int dirs_new_ipc_endpoint(const char *name, struct buf *endpoint) MUST_CHECK;

/* A socket file without a listener: its process was killed. */
bool socket_is_stale(const char *path);

/* Cuts *path, which is not empty, to its nearest existing part. True: a part was missing. *st is that of the part; when it
 * cannot be examined, st_mode is 0 and errno is set. */
bool dirs_find_existing(struct buf *path, struct stat *st);

/* mkdir -p; new directories have mode 0700. */
int dirs_make(const char *path) MUST_CHECK;

/*
 * DIR/consumer: line 1 the endpoint, line 2 the pid, then a "boot HEX" line and one line "pid starttime" for each lease
 * holder of this host. The consumer replaces it atomically and removes it at a clean end. Reading: ERR_NOT_FOUND,
 * ERR_INVALID (damaged).
 */
struct consumer_file {
    char endpoint[256];
    pid_t pid;
    struct consumer_holder {
        pid_t pid;
        uint64_t starttime; /* field 22 of /proc/PID/stat, clock ticks since boot */
    } * holders;
    size_t holder_count, holder_cap;
    char boot[33]; /* boot id of the writer; empty: not known */
};
int consumer_file_read(const char *dir, struct consumer_file *f) MUST_CHECK;
int consumer_file_write(const char *dir, const struct consumer_file *f) MUST_CHECK;
void consumer_file_release(struct consumer_file *f);
/* Can the process that wrote the file be alive? A file from before the last boot names no current process. A tcp
 * consumer may be on another host, so it always can. */
bool consumer_file_may_be_current(const struct consumer_file *f);

/* True: a process, mostly a consumer, holds the lock of the journal directory. *holder: its pid as DIR/lock names it; 0:
 * not known; holder may be NULL. */
bool journal_lock_is_held(const char *dir, pid_t *holder);

/* The start time of a process. ERR_NOT_FOUND: no such process, or a zombie. */
int process_starttime(pid_t pid, uint64_t *ticks) MUST_CHECK;

#endif
