#include "consumer/fleet/fleet_settings.h"
#include "pure/buf.h"
#include "pure/proto.h"
#include "pure/units.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 256

static int open_in(const char *dir, const char *name, int flags) {
    struct buf path = BUF_INIT;
    int fd = -1;
    if (buf_addf(&path, "%s/%s", dir, name) == 0)
        fd = open(path.data, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    else
        errno = ENOMEM;
    buf_release(&path);
    return fd;
}

/* "NAME NUMBER" and a newline; *text moves past it. */
static bool take_line(char **text, const char *name, uint64_t max, uint64_t *value) {
    size_t len = strlen(name);
    char *end = strchr(*text, '\n');
    if (!end || strncmp(*text, name, len) != 0 || (*text)[len] != ' ')
        return false;
    *end = '\0';
    bool ok = parse_count(*text + len + 1, 0, max, value) == 0;
    *text = end + 1;
    return ok;
}

static bool parse(char *text, struct dials *d) {
    uint64_t version, uploaders, slots, bwlimit;
    if (!take_line(&text, "chunklift-set", 1, &version) || version != 1 ||
        !take_line(&text, "uploaders", PROTO_UPLOADERS_MAX, &uploaders) ||
        !take_line(&text, "slots", PROTO_SLOTS_MAX, &slots) || !take_line(&text, "bwlimit", INT64_MAX, &bwlimit) ||
        *text)
        return false;
    *d = (struct dials){.uploaders = (uint32_t)uploaders, .slots = (uint32_t)slots, .bwlimit = bwlimit};
    return true;
}

int dials_load(const char *dir, struct dials *d) {
    char text[FILE_MAX];
    *d = (struct dials){0};
    int fd = open_in(dir, "set", O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : err_from_errno(errno);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n < 0)
        return ERR_IO;
    text[n] = '\0';
    return strlen(text) == (size_t)n && parse(text, d) ? 0 : ERR_INVALID;
}

static int write_temp(const char *dir, const char *text, size_t len) {
    int fd = open_in(dir, "set.new", O_WRONLY | O_CREAT | O_TRUNC); /* one writer: who holds the directory's lock */
    if (fd < 0)
        return errno;
    owner_inherit(fd, dir);
    int error = 0;
    ssize_t n = write(fd, text, len);
    if (n != (ssize_t)len)
        error = n < 0 ? errno : ENOSPC;
    if (!error && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    return error;
}

/* Renames, or removes the temporary file after an error; syncs the directory. */
static int publish(const char *dir, int error) {
    int fd = open_in(dir, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return error ? error : errno;
    if (!error && renameat(fd, "set.new", fd, "set") != 0)
        error = errno;
    if (error)
        (void)unlinkat(fd, "set.new", 0);
    else if (fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

int dials_save(const char *dir, const struct dials *d) {
    char text[FILE_MAX];
    int len =
        snprintf(text, sizeof text, "chunklift-set 1\nuploaders %" PRIu32 "\nslots %" PRIu32 "\nbwlimit %" PRIu64 "\n",
                 d->uploaders, d->slots, d->bwlimit);
    int error = publish(dir, write_temp(dir, text, (size_t)len));
    if (!error)
        return 0;
    log_error("%s/set: cannot be written: %s", dir, strerror(error));
    return err_from_errno(error);
}

void dials_forget(const char *dir) {
    int fd = open_in(dir, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return;
    (void)unlinkat(fd, "set", 0);
    close(fd);
}
