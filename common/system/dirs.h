/* Where chunklift keeps things on this machine (XDG Base Directory Specification). */
#ifndef CHUNKLIFT_DIRS_H
#define CHUNKLIFT_DIRS_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* $XDG_STATE_HOME/chunklift/journal, else ~/.local/state/chunklift/journal. */
int default_journal_dir(struct buf *path) MUST_CHECK;

/* $XDG_RUNTIME_DIR/chunklift, else /tmp/chunklift-UID: made with mode 0700 when missing; ERR_DENIED (logged) when
 * somebody else owns it, it is a symlink, or its mode is open to other users. */
int runtime_dir(struct buf *path) MUST_CHECK;

/* "ipc://RUNTIME/NAME-<16 hex digits>": a fresh name with 64 random bits. Sockets there that nobody listens on (their
 * owner was killed) and that are older than a minute are removed. ERR_LIMIT when longer than sun_path (107 bytes)
 * allows. */
int fresh_ipc_endpoint(const char *name, struct buf *endpoint) MUST_CHECK;

/* A socket file that nobody listens on: its owner was killed. */
bool socket_is_deserted(const char *path);

/* mkdir -p with mode 0700 for what it creates. */
int make_dirs(const char *path) MUST_CHECK;

/*
 * DIR/consumer: line 1 endpoint, line 2 pid, then holders, one "pid starttime" a line. Written atomically (temp,
 * rename) by the consumer, removed at its clean end. Reading: ERR_NOT_FOUND when there is none, ERR_INVALID when
 * damaged.
 */
struct consumer_file {
    char endpoint[256];
    pid_t pid;
    struct consumer_holder {
        pid_t pid;
        uint64_t starttime; /* field 22 of /proc/PID/stat, clock ticks since boot */
    } * holders;
    size_t holder_count;
    char boot[33]; /* boot id under which it was written; a line "boot HEX" */
};
int consumer_file_read(const char *dir, struct consumer_file *f) MUST_CHECK;
int consumer_file_write(const char *dir, const struct consumer_file *f) MUST_CHECK;
void consumer_file_release(struct consumer_file *f);

/* starttime of a live process; ERR_NOT_FOUND when there is none. */
int process_starttime(pid_t pid, uint64_t *ticks) MUST_CHECK;

#endif
