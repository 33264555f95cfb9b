#include "consumer/fleet/fleet_settings.h"
#include "pure/buf.h"
#include "pure/proto.h"
#include "pure/units.h"
#include "system/file_io.h"
#include "system/oserr.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX 1024

static int fleet_settings_open(const char *dir, const char *name, int flags) {
    struct buf path = BUF_INIT;
    int fd = -1;
    if (buf_addf(&path, "%s/%s", dir, name) == 0)
        fd = open(path.data, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    else
        errno = ENOMEM;
    buf_release(&path);
    return fd;
}

/* Reads "NAME NUMBER\n". *text moves past the newline. */
static bool fleet_settings_take_line(char **text, const char *name, uint64_t max, uint64_t *value) {
    size_t len = strlen(name);
    char *end = strchr(*text, '\n');
    if (!end || strncmp(*text, name, len) != 0 || (*text)[len] != ' ')
        return false;
    *end = '\0';
    bool ok = count_parse(*text + len + 1, 0, max, value) == 0;
    *text = end + 1;
    return ok;
}

/* The optional last line: "timetable TEXT\n". */
static bool fleet_settings_take_timetable(const char *text, struct fleet_settings *s) {
    static const char name[] = "timetable ";
    struct timetable t;
    struct slice wrong;
    size_t skip = sizeof name - 1, len = strlen(text);
    if (len == 0)
        return true;
    if (strncmp(text, name, skip) != 0 || text[len - 1] != '\n' || len - skip > sizeof s->timetable)
        return false;
    memcpy(s->timetable, text + skip, len - skip - 1);
    return timetable_parse(s->timetable, &t, &wrong) == 0;
}

static bool fleet_settings_parse(char *text, struct fleet_settings *s) {
    uint64_t version, uploaders, slots, bwlimit;
    if (!fleet_settings_take_line(&text, "chunklift-set", 1, &version) || version != 1 ||
        !fleet_settings_take_line(&text, "uploaders", PROTO_UPLOADERS_MAX, &uploaders) ||
        !fleet_settings_take_line(&text, "slots", PROTO_SLOTS_MAX, &slots) ||
        !fleet_settings_take_line(&text, "bwlimit", INT64_MAX, &bwlimit))
        return false;
    struct fleet_settings found = {.uploaders = (uint32_t)uploaders, .slots = (uint32_t)slots, .bwlimit = bwlimit};
    if (!fleet_settings_take_timetable(text, &found))
        return false;
    *s = found;
    return true;
}

int fleet_settings_load(const char *dir, struct fleet_settings *s) {
    char text[FILE_MAX];
    *s = (struct fleet_settings){0};
    int fd = fleet_settings_open(dir, "set", O_RDONLY | O_NONBLOCK);
    if (fd == -1)
        return errno == ENOENT ? ERR_NOT_FOUND : err_from_errno(errno);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n == -1)
        return ERR_IO;
    text[n] = '\0';
    return strlen(text) == (size_t)n && fleet_settings_parse(text, s) ? 0 : ERR_INVALID;
}

int fleet_settings_save(const char *dir, const struct fleet_settings *s) {
    char text[FILE_MAX];
    const char *timetable = s->timetable;
    int len = snprintf(
        text, sizeof text, "chunklift-set 1\nuploaders %" PRIu32 "\nslots %" PRIu32 "\nbwlimit %" PRIu64 "\n%s%s%s",
        s->uploaders, s->slots, s->bwlimit, *timetable ? "timetable " : "", timetable, *timetable ? "\n" : "");
    int err = file_replace_write(dir, "set", slice_make(text, (size_t)len), true);
    return err ? err : file_replace_rename(dir, "set", true);
}

void fleet_settings_remove(const char *dir) {
    int fd = fleet_settings_open(dir, ".", O_RDONLY | O_DIRECTORY);
    if (fd == -1)
        return;
    (void)unlinkat(fd, "set", 0);
    close(fd);
}
