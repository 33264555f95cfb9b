#include "files.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct buf file_bytes(const char *path) {
    struct buf b = BUF_INIT;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    char block[65536];
    ssize_t n;
    assert_int_equal(buf_reserve(&b, 1), 0);
    while ((n = read(fd, block, sizeof block)) > 0)
        assert_int_equal(buf_add(&b, block, (size_t)n), 0);
    assert_int_equal(n, 0);
    close(fd);
    return b;
}

static int file_create(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

void file_put(const char *path, struct slice bytes) {
    int fd = file_create(path);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    close(fd);
}

void file_put_text(const char *path, const char *text) {
    file_put(path, slice_of(text));
}

void file_put_new(const char *path, struct slice bytes) {
    unlink(path);
    file_put(path, bytes);
}

void file_put_hole(const char *path, uint64_t size) {
    int fd = file_create(path);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

const char *file_read_text(const char *path, char *text, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = '\0';
    fclose(f);
    return text;
}

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

static bool name_is_dots(const char *name) {
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

const char *dir_find(const char *dir, const char *prefix) {
    static char path[512];
    DIR *d = opendir(dir);
    assert_non_null(d);
    struct dirent *e;
    int found = 0;
    while ((e = readdir(d)))
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0 && ++found)
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    closedir(d);
    assert_true(found <= 1);
    return found ? path : NULL;
}

int dir_count(const char *dir) {
    DIR *d = opendir(dir);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        count += !name_is_dots(e->d_name);
    if (d)
        closedir(d);
    return count;
}

int open_descriptors(void) {
    return dir_count("/proc/self/fd");
}

void dir_remove(const char *dir) {
    DIR *d = opendir(dir);
    if (!d)
        return;
    struct dirent *e;
    while ((e = readdir(d)))
        if (!name_is_dots(e->d_name))
            assert_int_equal(unlinkat(dirfd(d), e->d_name, 0), 0);
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
}

unsigned descriptors_count(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

void temp_dir_enter(char root[TEMP_DIR_SIZE]) {
    char name[] = "temp-XXXXXX";
    assert_non_null(mkdtemp(name));
    char *real = realpath(name, NULL);
    assert_non_null(real);
    snprintf(root, TEMP_DIR_SIZE, "%s", real);
    free(real);
    assert_int_equal(chdir(root), 0);
}

int temp_dir_leave(const char *root) {
    char command[2 * TEMP_DIR_SIZE + 40];
    if (chdir("..") != 0)
        return 1;
    snprintf(command, sizeof command, "chmod -R u+rwx '%s' && rm -rf '%s'", root, root);
    return system(command) != 0;
}
