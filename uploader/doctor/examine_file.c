/* A file:// destination: its directory or the nearest existing one above it, the disk, and with --write a file. */
#include "uploader/doctor/examine_internal.h"
#include "uploader/doctor/examine_judge.h"

#include "system/dirs.h"
#include "uploader/file/file_spelling.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void directory_judge(struct check *c, const char *dir, const char *place, bool missing, const struct stat *st) {
    if (st->st_mode == 0)
        check_set(c, CHECK_FAIL, "name another DEST", "%s: %s", dir, strerror(errno));
    else if (!S_ISDIR(st->st_mode) && missing)
        check_set(c, CHECK_FAIL, "name another DEST", "%s is not a directory", place);
    else if (!S_ISDIR(st->st_mode))
        check_set(c, CHECK_WARN, "name a directory, unless that is meant",
                  "%s is a file: an upload of one file replaces it", dir);
    else if (faccessat(AT_FDCWD, place, W_OK | X_OK, AT_EACCESS) != 0)
        check_set(c, CHECK_FAIL, "make it writable for this user, or name another DEST", "%s cannot be written: %s",
                  place, strerror(errno));
    else if (missing)
        check_set(c, CHECK_OK, "", "%s does not exist yet, and can be made", dir);
    else
        check_set(c, CHECK_OK, "", "%s is a directory, and this user may write to it", dir);
}

/* --- names --- */

/* The name of the probe ends in a composed e with an acute accent. True: the directory finds the decomposed one. */
static bool directory_normalises(int dir_fd, const char *name) {
    char other[EXAMINE_NAME_SIZE + 1];
    struct stat st;
    size_t len = strlen(name) - 2;
    snprintf(other, sizeof other, "%.*se\xcc\x81", (int)len, name);
    return fstatat(dir_fd, other, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void names_report(struct examination *x, const char *dir, const char *name) {
    struct file_path path = {.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    struct file_spelling spelling = {.known = false};
    struct check c;
    if (path.dir_fd == -1) {
        check_set(&c, CHECK_FAIL, "", "%s: %s", dir, strerror(errno));
        check_report_add(&x->report, "names", &c);
        return;
    }
    file_spelling_probe(&spelling, &path, name);
    bool normalises = directory_normalises(path.dir_fd, name);
    if (spelling.folds || normalises)
        check_set(&c, CHECK_WARN, "names of a source that differ only in that are refused; rename them",
                  "%s takes names that differ in %s for one name", dir,
                  !normalises       ? "upper and lower case"
                  : !spelling.folds ? "the form of accents"
                                    : "upper and lower case or the form of accents");
    else
        check_set(&c, CHECK_OK, "", "are kept as they are");
    check_report_add(&x->report, "names", &c);
    close(path.dir_fd);
}

static void probe_remove(struct examination *x, const char *dir, const char *name) {
    struct buf path = BUF_INIT;
    struct check c;
    if (buf_addf(&path, "%s/%s", dir, name) != 0 || unlink(path.data) != 0)
        check_set(&c, CHECK_FAIL, "remove it", "%s/%s was written and cannot be removed: %s", dir, name,
                  strerror(errno));
    else
        check_set(&c, CHECK_OK, "", "%s/%s was written and removed", dir, name);
    check_report_add(&x->report, "write", &c);
    buf_release(&path);
}

static void directory_write(struct examination *x, const char *dir) {
    char name[EXAMINE_NAME_SIZE];
    struct check c;
    if (examine_probe_name(false, name)) {
        check_set(&c, CHECK_FAIL, "", "random numbers cannot be read");
        check_report_add(&x->report, "write", &c);
    } else if (examine_write_file(x, dir, name)) {
        names_report(x, dir, name);
        probe_remove(x, dir, name);
    }
}

/* --- all --- */

static void directory_report_disk(struct examination *x, const char *dir) {
    struct fs_facts fs;
    struct check c;
    if (fs_facts_read(dir, &fs))
        check_set(&c, CHECK_FAIL, "check the disk", "%s: %s", dir, strerror(errno));
    else
        examine_judge_disk(&c, &fs);
    check_report_add(&x->report, "destination-disk", &c);
}

void examine_file(struct examination *x) {
    struct buf dir = BUF_INIT, place = BUF_INIT;
    struct stat st = {.st_mode = 0};
    struct check c;
    int err = buf_add_slice(&dir, x->dest.key);
    if (!err)
        err = buf_add_slice(&place, x->dest.key);
    if (err) {
        check_set(&c, CHECK_FAIL, "", "%s", err_text(err));
    } else {
        bool missing = dirs_find_existing(&place, &st);
        directory_judge(&c, dir.data, place.data, missing, &st);
    }
    check_report_add(&x->report, "destination", &c);
    if (!err && S_ISDIR(st.st_mode)) {
        directory_report_disk(x, place.data);
        if (c.result == CHECK_OK && x->settings->write)
            directory_write(x, place.data);
    }
    buf_release(&dir);
    buf_release(&place);
}
