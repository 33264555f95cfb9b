#include "producer/cli/store/removal_source.h"

#include "system/fileid.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum removal_source removal_source_judge(int error, const struct stat *st) {
    if (error)
        return error == ENOENT || error == ENOTDIR ? REMOVAL_SOURCE_GONE : REMOVAL_SOURCE_THERE;
    return S_ISDIR(st->st_mode) ? REMOVAL_SOURCE_GONE : REMOVAL_SOURCE_THERE;
}

/* ---- the directories above it ---- */

static bool removal_tree_is(const struct producer_tree *tree, int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_dev == tree->dev && (st.st_ino == tree->ino || !fileid_inodes_are_stable(fd));
}

/* A disk that was unmounted leaves an empty directory; another directory may have taken its name. */
static int removal_tree_check(const struct producer_tree *tree) {
    int fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const char *why = fd == -1 ? strerror(errno) : "it is another directory than at the start";
    bool is_there = fd != -1 && removal_tree_is(tree, fd);
    if (!is_there)
        log_error("%s: %s; no object without a source is removed", tree->path, why);
    if (fd != -1)
        close(fd);
    return is_there ? 0 : ERR_LOST;
}

/* Whether a directory on the way to the file says nothing about it. */
static bool removal_parent_is_doubtful(const struct removal_scope *s, const struct producer_tree *tree, const char *dir,
                                       bool *is_last) {
    struct stat st;
    if (lstat(dir, &st) != 0) {
        *is_last = true; /* the file is gone with it */
        return errno != ENOENT && errno != ENOTDIR;
    }
    if (S_ISLNK(st.st_mode) && (!s->follow_links || stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)))
        return true;
    return s->one_file_system && S_ISDIR(st.st_mode) && st.st_dev != tree->dev;
}

static int removal_parents_are_doubtful(const struct removal_scope *s, const struct producer_tree *tree,
                                        const char *path, const char *name, bool *doubtful) {
    struct buf dir = BUF_INIT;
    bool is_last = false;
    int err = buf_add_text(&dir, path);
    *doubtful = false;
    for (size_t i = (size_t)(name - path); !err && path[i] && !*doubtful && !is_last; i++) {
        if (path[i] != '/')
            continue;
        dir.data[i] = '\0';
        *doubtful = removal_parent_is_doubtful(s, tree, dir.data, &is_last);
        dir.data[i] = '/';
    }
    buf_release(&dir);
    return err;
}

/* ---- the selection ---- */

/* ERR_LIMIT: a rule takes too long. */
static int removal_judge_name(struct selection *s, const char *name, bool *included) {
    struct buf dir = BUF_INIT;
    const char *rule;
    int err = buf_add_text(&dir, name);
    *included = true;
    for (size_t i = 0; !err && *included && name[i]; i++) {
        if (name[i] != '/')
            continue;
        dir.data[i] = '\0';
        err = selection_judge_directory(s, dir.data, included, &rule);
        dir.data[i] = '/';
    }
    if (!err && *included)
        err = selection_judge_file(s, name, included, &rule);
    buf_release(&dir);
    return err;
}

/* A file that exists. */
static int removal_judge_selected(const struct removal_scope *s, const char *name, const struct stat *st,
                                  enum removal_source *found) {
    bool included;
    if (!s->selection || !S_ISREG(st->st_mode))
        return 0;
    int err = removal_judge_name(s->selection, name, &included);
    if (err)
        return err == ERR_LIMIT ? 0 : err;
    if (!included || !selection_judge_attributes(s->selection, st))
        *found = REMOVAL_SOURCE_EXCLUDED;
    return 0;
}

int removal_source_look(const struct removal_scope *s, const struct producer_tree *tree, const char *path,
                        const char *name, enum removal_source *found) {
    struct stat st;
    bool doubtful;
    int error = lstat(path, &st) == 0 ? 0 : errno;
    *found = removal_source_judge(error, &st);
    int err = error ? 0 : removal_judge_selected(s, name, &st, found);
    if (err || *found == REMOVAL_SOURCE_THERE)
        return err;
    err = removal_parents_are_doubtful(s, tree, path, name, &doubtful);
    if (!err && doubtful)
        *found = REMOVAL_SOURCE_THERE;
    return err || doubtful ? err : removal_tree_check(tree);
}
