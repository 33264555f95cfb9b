#include "uploader/file/file_spelling.h"
#include "system/oserr.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <strings.h>
#include <sys/vfs.h>
#include <unistd.h>

#define XFS_MAGIC 0x58465342

static bool char_is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

static bool char_is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

static char char_with_other_case(char c) {
    return char_is_lower(c) ? (char)(c - 'a' + 'A') : char_is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

/* False: the name has no letter. */
static bool name_change_case(const char *name, char other[FILE_SPELLING_SIZE]) {
    size_t len = strlen(name);
    if (len >= FILE_SPELLING_SIZE)
        return false;
    for (size_t i = 0; i <= len; i++)
        other[i] = char_with_other_case(name[i]);
    return memcmp(name, other, len) != 0;
}

void file_spelling_probe(struct file_spelling *s, const struct file_path *path, const char *name) {
    char other[FILE_SPELLING_SIZE];
    struct stat st;
    if (fstat(path->dir_fd, &st) != 0 || (s->known && s->dev == st.st_dev && s->ino == st.st_ino))
        return;
    s->known = name_change_case(name, other);
    s->folds = s->known && fstatat(path->dir_fd, other, &(struct stat){0}, AT_SYMLINK_NOFOLLOW) == 0;
    s->dev = st.st_dev;
    s->ino = st.st_ino;
}

static bool text_is_ascii(struct slice text) {
    for (const char *c = text.ptr; c != text.ptr + text.len; c++)
        if ((unsigned char)*c >= 0x80)
            return false;
    return true;
}

/* ext4 directories that normalise Unicode also fold case, which the probe detects. */
static bool dir_compares_bytes(int dir_fd) {
    struct statfs fs;
    if (fstatfs(dir_fd, &fs) != 0)
        return false;
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC ||
           fs.f_type == TMPFS_MAGIC;
}

static bool name_equals_ignoring_case(const char *entry, struct slice name) {
    return strlen(entry) == name.len && strncasecmp(entry, name.ptr, name.len) == 0;
}

/* True: an entry has exactly this name. Else `other` gets the entry that is probably meant, or
 * nothing. */
static bool dir_lists_name(DIR *dir, struct slice name, ino_t ino, char other[FILE_SPELLING_SIZE]) {
    other[0] = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t len = strlen(e->d_name);
        if (len == name.len && memcmp(e->d_name, name.ptr, len) == 0)
            return true;
        if (e->d_ino == ino || name_equals_ignoring_case(e->d_name, name))
            memcpy(other, e->d_name, len + 1);
    }
    return false;
}

/* For a name that exists in the directory: enum file_spelling_match. A negative err: the directory cannot be listed. */
static int file_spelling_check_name(void *other, int dir_fd, struct slice name) {
    char text[FILE_SPELLING_SIZE];
    struct stat st;
    if (name.len >= sizeof text)
        return 0;
    memcpy(text, name.ptr, name.len);
    text[name.len] = 0;
    if (fstatat(dir_fd, text, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
    if (!dir) {
        int err = err_from_errno(errno);
        if (fd != -1)
            close(fd);
        return err;
    }
    bool listed = dir_lists_name(dir, name, st.st_ino, other);
    closedir(dir);
    return listed ? SPELLING_SAME : name_equals_ignoring_case(other, name) ? SPELLING_OTHER_CASE : SPELLING_OTHER;
}

/* A directory that cannot be listed shows no other spelling. */
static int file_spelling_visit_name(void *other, int dir_fd, struct slice name) {
    int match = file_spelling_check_name(other, dir_fd, name);
    return match < 0 ? SPELLING_SAME : match;
}

bool file_spelling_differs(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                           const struct file_path *path, char other[FILE_SPELLING_SIZE]) {
    other[0] = 0;
    if (!s->folds && (text_is_ascii(dest) || dir_compares_bytes(path->dir_fd)))
        return false;
    return file_path_visit(a, dest, file_spelling_visit_name, other) > 0;
}

int file_spelling_match(const struct file_spelling *s, const struct file_allow *a, struct slice dest,
                        const struct file_path *path) {
    char other[FILE_SPELLING_SIZE];
    bool compares_bytes = dir_compares_bytes(path->dir_fd);
    if (s->known ? !s->folds && (text_is_ascii(dest) || compares_bytes) : compares_bytes)
        return SPELLING_SAME; /* a search takes long in a large directory */
    return file_path_visit(a, dest, file_spelling_check_name, other);
}

static bool file_spelling_case_is_kept(const struct file_spelling *s) {
    for (size_t i = s->keeps_count; i-- > 0;)
        if (s->keeps[i] == s->dev)
            return true;
    return false;
}

bool file_spelling_is_lost(struct file_spelling *s, const struct file_path *path, char other[FILE_SPELLING_SIZE]) {
    bool lower = false, upper = false;
    other[0] = 0;
    if (!s->folds || file_spelling_case_is_kept(s))
        return false;
    if (file_spelling_check_name(other, path->dir_fd, slice_of(path->name)) > 0)
        return true;
    for (const char *c = path->name; *c; c++) {
        lower = lower || char_is_lower(*c);
        upper = upper || char_is_upper(*c);
    }
    if (lower && upper && s->keeps_count < FILE_SPELLING_DEVICES)
        s->keeps[s->keeps_count++] = s->dev;
    return false;
}
