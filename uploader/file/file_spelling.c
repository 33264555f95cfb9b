#include "uploader/file/file_spelling.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XFS_MAGIC 0x58465342

static bool is_small(char c) {
    return c >= 'a' && c <= 'z';
}

static bool is_capital(char c) {
    return c >= 'A' && c <= 'Z';
}

static bool folds_case(const struct file_place *place, const char *temp) {
    char capitals[FILE_SPELLING_SIZE];
    struct stat st;
    size_t len = strlen(temp);
    if (len >= sizeof capitals)
        return false;
    for (size_t i = 0; i <= len; i++)
        capitals[i] = is_small(temp[i]) ? (char)(temp[i] - 'a' + 'A') : temp[i];
    return fstatat(place->dir_fd, capitals, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void file_spelling_probe(struct file_spelling *s, const struct file_place *place, const char *temp) {
    struct stat st;
    if (fstat(place->dir_fd, &st) != 0 || (s->known && s->dev == st.st_dev && s->ino == st.st_ino))
        return;
    s->folds = folds_case(place, temp);
    s->known = true;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
}

static bool is_ascii(struct slice text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
    return true;
}

/* A directory of ext4 that normalises folds case, too. */
static bool takes_bytes(int dir_fd) {
    struct statfs fs;
    if (fstatfs(dir_fd, &fs) != 0)
        return false;
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC ||
           fs.f_type == TMPFS_MAGIC;
}

static bool is_same_but_case(const char *entry, struct slice name) {
    return strlen(entry) == name.len && strncasecmp(entry, name.ptr, name.len) == 0;
}

/* Is there an entry of exactly this name? Otherwise `other` gets the one that may be meant, or nothing. */
static bool is_listed(DIR *dir, struct slice name, ino_t ino, char other[FILE_SPELLING_SIZE]) {
    other[0] = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t len = strlen(e->d_name);
        if (len == name.len && memcmp(e->d_name, name.ptr, len) == 0)
            return true;
        if (e->d_ino == ino || is_same_but_case(e->d_name, name))
            memcpy(other, e->d_name, len + 1);
    }
    return false;
}

/* 1 when the directory leads to something by this name and lists no such name. */
static int look_at(void *other, int dir_fd, struct slice name) {
    char text[FILE_SPELLING_SIZE];
    struct stat st;
    if (name.len >= sizeof text || (name.len <= 2 && memcmp(name.ptr, "..", name.len) == 0))
        return 0;
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    if (fstatat(dir_fd, text, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    bool listed = is_listed(dir, name, st.st_ino, other);
    closedir(dir);
    return !listed;
}

bool file_spelling_differs(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                           const struct file_place *place, char other[FILE_SPELLING_SIZE]) {
    other[0] = 0;
    if (!s->folds && (is_ascii(dest) || takes_bytes(place->dir_fd)))
        return false;
    return file_place_visit(a, dest, look_at, other) > 0;
}

static bool keeps_spelling(const struct file_spelling *s) {
    for (size_t i = 0; i < s->keeps_count; i++)
        if (s->keeps[i] == s->dev)
            return true;
    return false;
}

bool file_spelling_is_lost(struct file_spelling *s, const struct file_place *place, char other[FILE_SPELLING_SIZE]) {
    bool small = false, capital = false;
    other[0] = 0;
    if (!s->folds || keeps_spelling(s))
        return false;
    if (look_at(other, place->dir_fd, slice_of(place->name)) > 0)
        return true;
    for (const char *c = place->name; *c; c++) {
        small = small || is_small(*c);
        capital = capital || is_capital(*c);
    }
    if (small && capital && s->keeps_count < FILE_SPELLING_DEVICES)
        s->keeps[s->keeps_count++] = s->dev;
    return false;
}
