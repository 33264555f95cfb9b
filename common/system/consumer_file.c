/*
 * DIR/consumer: local commands find the consumer of a journal directory by it. It is a hint, not a lock: it may be stale
 * after a crash, so readers compare pid and start time, and it is not synced to disk.
 *
 *     ipc:///run/user/1000/chunklift/consumer-0123456789abcdef
 *     4711
 *     boot 0123456789abcdef0123456789abcdef
 *     4712 8812345
 */
#include "pure/array.h"
#include "system/dirs.h"

#include "pure/ids.h"
#include "pure/units.h"
#include "system/fault.h"
#include "system/file_io.h"
#include "system/fileid.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FILE_MAX_BYTES 262144
#define PID_LIMIT 4194304 /* PID_MAX_LIMIT of Linux */

static int file_read_logged(const char *path, struct buf *text, size_t max) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd == -1) {
        int error = errno;
        if (error != ENOENT && error != ENOTDIR && error != ESRCH)
            log_error("%s: %s", path, strerror(error));
        return err_from_errno(error);
    }
    int err = file_read_all(fd, text, max);
    close(fd);
    return err == ERR_LIMIT ? ERR_INVALID : err;
}

/* The next line of *text with a NUL in place of its newline; NULL at the end or when the newline is missing. */
static char *text_next_line(char **text) {
    char *line = *text;
    char *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *text = end + 1;
    return line;
}

static int pid_parse(const char *text, pid_t *pid) {
    uint64_t value;
    int err = count_parse(text, 1, PID_LIMIT, &value);
    if (!err)
        *pid = (pid_t)value;
    return err;
}

static bool text_is_endpoint(const char *line, size_t size) {
    if (strncmp(line, "ipc://", 6) != 0 && strncmp(line, "tcp://", 6) != 0)
        return false;
    return strlen(line) > 6 && strlen(line) < size;
}

static int consumer_file_add_holder(struct consumer_file *f, const char *pid, const char *ticks) {
    struct consumer_holder h;
    if (pid_parse(pid, &h.pid) || count_parse(ticks, 0, UINT64_MAX, &h.starttime))
        return ERR_INVALID;
    int err = array_grow(&f->holders, &f->holder_cap, f->holder_count, sizeof *f->holders);
    if (!err)
        f->holders[f->holder_count++] = h;
    return err;
}

static int consumer_file_parse_line(struct consumer_file *f, char *line) {
    char *space = strchr(line, ' ');
    if (!space)
        return ERR_INVALID;
    *space = '\0';
    if (strcmp(line, "boot") != 0)
        return consumer_file_add_holder(f, line, space + 1);
    struct id128 boot;
    if (id_from_hex(&boot, slice_of(space + 1)))
        return ERR_INVALID;
    memcpy(f->boot, space + 1, sizeof f->boot);
    return 0;
}

static int consumer_file_parse(struct consumer_file *f, char *text) {
    char *line = text_next_line(&text);
    if (!line || !text_is_endpoint(line, sizeof f->endpoint))
        return ERR_INVALID;
    memcpy(f->endpoint, line, strlen(line) + 1); /* is_endpoint has measured it */
    line = text_next_line(&text);
    if (!line || pid_parse(line, &f->pid))
        return ERR_INVALID;
    while ((line = text_next_line(&text))) {
        int err = consumer_file_parse_line(f, line);
        if (err)
            return err;
    }
    return *text ? ERR_INVALID : 0;
}

int consumer_file_read(const char *dir, struct consumer_file *f) {
    *f = (struct consumer_file){0};
    struct buf path = BUF_INIT, text = BUF_INIT;
    int err = buf_addf(&path, "%s/consumer", dir);
    if (!err)
        err = file_read_logged(path.data, &text, FILE_MAX_BYTES);
    if (!err)
        err = text.len == 0 || memchr(text.data, '\0', text.len) ? ERR_INVALID : consumer_file_parse(f, text.data);
    if (err)
        consumer_file_release(f);
    buf_release(&path);
    buf_release(&text);
    return err;
}

static int consumer_file_format(const struct consumer_file *f, struct buf *text) {
    int err = buf_addf(text, "%s\n%ld\n", f->endpoint, (long)f->pid);
    if (!err && f->boot[0])
        err = buf_addf(text, "boot %s\n", f->boot);
    for (size_t i = 0; !err && i < f->holder_count; i++)
        err = buf_addf(text, "%ld %llu\n", (long)f->holders[i].pid, (unsigned long long)f->holders[i].starttime);
    if (!err && text->len > FILE_MAX_BYTES)
        err = ERR_LIMIT; /* its readers would refuse it */
    return err;
}

int consumer_file_write(const char *dir, const struct consumer_file *f) {
    struct buf text = BUF_INIT;
    int err = consumer_file_format(f, &text);
    if (!err)
        err = file_replace_write(dir, "consumer", buf_slice(&text), false);
    FAULT_POINT_IF(!err, address_written, "");
    if (!err)
        err = file_replace_rename(dir, "consumer", false);
    FAULT_POINT_IF(!err, address_named, "");
    buf_release(&text);
    return err;
}

void consumer_file_release(struct consumer_file *f) {
    free(f->holders);
    *f = (struct consumer_file){0};
}

/* proc_pid_stat(5): field 2 is the name in parentheses and may hold anything, so fields are counted from the last ')'.
 * A zombie counts as gone. */
static int proc_stat_parse(char *text, uint64_t *ticks) {
    char *at = strrchr(text, ')');
    if (!at || at[1] != ' ')
        return ERR_INVALID;
    char *save = NULL;
    char *field = strtok_r(at + 1, " \n", &save);
    if (!field)
        return ERR_INVALID;
    if (*field == 'Z' || *field == 'X')
        return ERR_NOT_FOUND;
    for (int number = 3; field && number < 22; number++)
        field = strtok_r(NULL, " \n", &save);
    return field ? count_parse(field, 0, UINT64_MAX, ticks) : ERR_INVALID;
}

int process_starttime(pid_t pid, uint64_t *ticks) {
    char path[40];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    struct buf text = BUF_INIT;
    int err = file_read_logged(path, &text, 65536);
    if (!err)
        err = text.len ? proc_stat_parse(text.data, ticks) : ERR_NOT_FOUND;
    buf_release(&text);
    return err == ERR_INVALID ? ERR_IO : err;
}

bool consumer_file_may_be_current(const struct consumer_file *f) {
    uint64_t ticks;
    if (strncmp(f->endpoint, "ipc://", 6) != 0)
        return true;
    if (f->boot[0] && strcmp(f->boot, boot_id()) != 0)
        return false;
    return process_starttime(f->pid, &ticks) != ERR_NOT_FOUND;
}

/* ---- DIR/lock ---- */

/* Its first line is the pid of the holder (consumer/journal/journal_dir.c). */
static pid_t lock_read_holder(int fd) {
    char text[16] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 0 && pid <= PID_LIMIT ? (pid_t)pid : 0;
}

bool journal_lock_is_held(const char *dir, pid_t *holder) {
    struct buf path = BUF_INIT;
    int fd = buf_addf(&path, "%s/lock", dir) == 0 ? open(path.data, O_RDONLY | O_CLOEXEC) : -1;
    buf_release(&path);
    if (holder)
        *holder = 0;
    if (fd == -1)
        return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (held && holder)
        *holder = lock_read_holder(fd);
    close(fd);
    return held;
}
