/*
 * A stack of frames, one for each directory between the root and the current position. The names of a frame are either
 * sorted in the arena (also a stack: the names of the deepest frame are on top) or still in an open directory stream.
 *
 * Invariants: the path buffer begins with the path of the deepest frame between calls. A frame with a closed fd is used
 * again only when its path still leads to the same directory (dev, ino).
 */
#include "producer/source/walk.h"
#include "pure/arith.h"
#include "pure/array.h"
#include "pure/buf.h"
#include "pure/proto.h"
#include "system/descriptors.h"
#include "system/fileid.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct frame {
    int fd;      /* -1: closed, reopened on demand */
    DIR *stream; /* not NULL: too large to sort, read in its own order; owns fd */
    dev_t dev;
    ino_t ino;
    size_t path_len;
    size_t names_begin;           /* in the arena */
    size_t order_begin, order_at; /* in order[] */
    size_t order_end;
    bool empty;
    bool local; /* attributes are current without an open, and access rights are those of the mode */
    uid_t user; /* of this process, when it was opened */
};

struct walk {
    const char *own;             /* the journal directory; NULL: none */
    const char *destination;     /* a directory that is not entered by way of links; NULL: none */
    struct selection *selection; /* NULL: all entries */
    struct buf path, entry_path; /* entry_path: of the current entry */
    size_t root_len;
    struct frame *frames;
    size_t depth, frames_cap;
    struct buf arena;
    uint32_t *order; /* offsets into the arena */
    size_t order_len, order_cap;
    size_t fds_open, fds_max;
    bool started;
    bool one_file_system;
    int follow_flag; /* O_NOFOLLOW, or 0: links are followed */
    bool at_link;    /* the current entry is a link that is followed */
    char error[160];
    struct walk_counts counts;
};

#define OPEN_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

/* Without the slashes at its end: 0 for "/". */
static size_t walk_root_length(const char *root) {
    size_t len = 0;
    for (size_t i = 0; root[i]; i++)
        if (root[i] != '/')
            len = i + 1;
    return len;
}

int walk_new(struct walk **out, const char *root) {
    struct walk *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return ERR_NOMEM;
    w->root_len = walk_root_length(root);
    if (buf_add(&w->path, root, w->root_len) != 0) {
        walk_destroy(&w);
        return ERR_NOMEM;
    }
    size_t share = descriptors_free() / 4;
    w->fds_max = clamp_u64(share, 2, WALK_FDS);
    w->follow_flag = O_NOFOLLOW;
    *out = w;
    return 0;
}

static void frame_close(struct walk *w, struct frame *f) {
    if (f->fd == -1)
        return;
    if (f->stream)
        closedir(f->stream);
    else
        close(f->fd);
    w->fds_open--;
    f->fd = -1;
    f->stream = NULL;
}

void walk_destroy(struct walk **pw) {
    struct walk *w = *pw;
    if (!w)
        return;
    while (w->depth > 0)
        frame_close(w, &w->frames[--w->depth]);
    free(w->frames);
    free(w->order);
    buf_release(&w->arena);
    buf_release(&w->path);
    buf_release(&w->entry_path);
    free(w);
    *pw = NULL;
}

void walk_set_own_journal(struct walk *w, const char *path) {
    w->own = path;
}

void walk_set_reach(struct walk *w, bool follow_links, const char *destination, bool one_file_system) {
    w->follow_flag = follow_links ? 0 : O_NOFOLLOW;
    w->destination = destination;
    w->one_file_system = one_file_system;
}

void walk_set_selection(struct walk *w, struct selection *selection) {
    w->selection = selection;
}

const char *walk_skip_name(enum walk_skip skip) {
    static const char *const names[] = {
        [WALK_SKIP_NONE] = "",
        [WALK_SKIP_LINK] = "symbolic link",
        [WALK_SKIP_FIFO] = "fifo",
        [WALK_SKIP_SOCKET] = "socket",
        [WALK_SKIP_DEVICE] = "device",
        [WALK_SKIP_EMPTY_DIR] = "empty directory",
        [WALK_SKIP_OWN_JOURNAL] = "own journal",
        [WALK_SKIP_EXCLUDED] = "excluded",
        [WALK_SKIP_EXCLUDED_DIR] = "excluded directory",
        [WALK_SKIP_OTHER_SYSTEM] = "other file system",
    };
    return names[skip];
}

const struct walk_counts *walk_counts(const struct walk *w) {
    return &w->counts;
}

static void walk_bad_entry(struct walk *w, struct walk_entry *e, enum walk_kind kind, const char *problem, int error) {
    e->kind = kind;
    e->path = w->entry_path.len > 0 ? w->entry_path.data : "/";
    snprintf(w->error, sizeof w->error, "%s: %s", problem, strerror(error));
    e->error = w->error;
}

/* --- directories --- */

static int walk_compare_names(const void *a, const void *b, void *arena) {
    const char *names = arena;
    return strcmp(names + *(const uint32_t *)a, names + *(const uint32_t *)b);
}

static bool name_is_dot(const char *name) {
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static int walk_add_name(struct walk *w, const char *name) {
    if (array_grow(&w->order, &w->order_cap, w->order_len, sizeof *w->order))
        return ERR_NOMEM;
    uint32_t offset = (uint32_t)w->arena.len;
    int err = buf_add(&w->arena, name, strlen(name) + 1);
    if (!err)
        w->order[w->order_len++] = offset;
    return err;
}

static void walk_drop_names(struct walk *w, const struct frame *f) {
    w->order_len = f->order_begin;
    w->arena.len = f->names_begin;
}

/* No names are kept while a large directory at the root is read as a stream. */
static void walk_free_names(struct walk *w) {
    if (w->order_len > 0)
        return;
    buf_release(&w->arena);
    free(w->order);
    w->order = NULL;
    w->order_cap = 0;
}

/* Reads all names of stream into the arena and sorts them. ERR_LIMIT: too many, ERR_IO: errno. */
static int walk_read_sorted(struct walk *w, struct frame *f, DIR *stream) {
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(stream);
        if (!d)
            break;
        if (name_is_dot(d->d_name))
            continue;
        if (w->arena.len + strlen(d->d_name) + 1 > WALK_SORT_BYTES)
            return ERR_LIMIT;
        if (walk_add_name(w, d->d_name) != 0)
            return ERR_NOMEM;
    }
    if (errno != 0)
        return ERR_IO;
    f->order_end = w->order_len;
    size_t count = f->order_end - f->order_begin;
    f->empty = count == 0;
    if (!f->empty)
        qsort_r(w->order + f->order_begin, count, sizeof *w->order, walk_compare_names, w->arena.data);
    return 0;
}

/* From here on the names come from the stream. */
static void frame_use_stream(struct walk *w, struct frame *f, DIR *stream) {
    walk_drop_names(w, f);
    walk_free_names(w);
    f->order_end = f->order_at;
    rewinddir(stream);
    close(f->fd);
    f->fd = dirfd(stream);
    f->stream = stream;
}

/* The stream gets a descriptor of its own, because closedir closes it. size: the directory's st_size. */
static int frame_list(struct walk *w, struct frame *f, off_t size) {
    int own = openat(f->fd, ".", OPEN_DIR_FLAGS | O_NOFOLLOW);
    DIR *stream = own != -1 ? fdopendir(own) : NULL;
    if (!stream) {
        int saved = errno;
        if (own != -1)
            close(own);
        errno = saved;
        return ERR_IO;
    }
    int err = size > WALK_UNSORTED_SIZE ? ERR_LIMIT : walk_read_sorted(w, f, stream);
    if (err == ERR_LIMIT) {
        frame_use_stream(w, f, stream);
        return 0;
    }
    int saved = errno;
    closedir(stream);
    if (err)
        walk_drop_names(w, f);
    errno = saved;
    return err;
}

/* Keeps at most fds_max descriptors: the sorted frames near the root are closed first; streams stay open. */
static void walk_spare_descriptors(struct walk *w) {
    for (size_t i = 0; w->fds_open >= w->fds_max && i + 1 < w->depth; i++)
        if (w->frames[i].fd != -1 && !w->frames[i].stream)
            frame_close(w, &w->frames[i]);
}

/* Enters the directory `name` of dir_fd; w->path has its path. ERR_IO: see errno; the stack is unchanged. */
static int walk_push(struct walk *w, int dir_fd, const char *name) {
    struct stat st;
    if (array_grow(&w->frames, &w->frames_cap, w->depth, sizeof *w->frames))
        return ERR_NOMEM;
    int fd = openat(dir_fd, name, OPEN_DIR_FLAGS | w->follow_flag);
    if (fd == -1)
        return ERR_IO;
    if (fstat(fd, &st) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return ERR_IO;
    }
    struct frame *f = &w->frames[w->depth];
    *f = (struct frame){.fd = fd,
                        .dev = st.st_dev,
                        .ino = st.st_ino,
                        .path_len = w->path.len,
                        .names_begin = w->arena.len,
                        .order_begin = w->order_len,
                        .order_at = w->order_len,
                        .order_end = w->order_len,
                        .user = geteuid()};
    f->local = fileid_inodes_are_stable(fd);
    w->fds_open++;
    int err = frame_list(w, f, st.st_size);
    if (err) {
        int saved = errno;
        frame_close(w, f);
        errno = saved;
        return err;
    }
    w->depth++;
    walk_spare_descriptors(w);
    return 0;
}

static bool stat_is(const struct stat *st, dev_t dev, ino_t ino) {
    return st->st_dev == dev && st->st_ino == ino;
}

/* Reopens the directory of the deepest frame, component by component from the root. */
static int walk_reopen(struct walk *w) {
    struct frame *f = &w->frames[w->depth - 1];
    struct stat st;
    char saved_byte = w->path.data[w->root_len];
    w->path.data[w->root_len] = 0;
    int fd = open(w->root_len > 0 ? w->path.data : "/", OPEN_DIR_FLAGS | O_NOFOLLOW);
    w->path.data[w->root_len] = saved_byte;
    size_t at = w->root_len;
    while (fd != -1 && at < f->path_len) {
        char *component = w->path.data + at + 1;
        char *end = strchrnul(component, '/');
        char was = *end;
        *end = 0;
        int next = openat(fd, component, OPEN_DIR_FLAGS | w->follow_flag);
        int saved = errno;
        *end = was;
        close(fd);
        errno = saved;
        fd = next;
        at = (size_t)(end - w->path.data);
    }
    if (fd == -1)
        return ERR_IO;
    if (fstat(fd, &st) != 0 || !stat_is(&st, f->dev, f->ino)) {
        close(fd);
        errno = ESTALE;
        return ERR_IO;
    }
    f->fd = fd;
    w->fds_open++;
    return 0;
}

static void walk_pop(struct walk *w) {
    struct frame *f = &w->frames[w->depth - 1];
    w->counts.empty_dirs += f->empty;
    walk_drop_names(w, f);
    frame_close(w, f);
    w->depth--;
}

/* --- entries --- */

/* The next name of the frame. NULL: the end, or an error (errno is not 0). */
static const char *frame_next_name(struct walk *w, struct frame *f) {
    errno = 0;
    if (!f->stream)
        return f->order_at < f->order_end ? w->arena.data + w->order[f->order_at++] : NULL;
    const struct dirent *d;
    while ((d = readdir(f->stream)) != NULL && name_is_dot(d->d_name))
        errno = 0;
    return d ? d->d_name : NULL;
}

static void walk_probe(int dir_fd, const char *name, int follow_flag, struct stat *st, const char **error) {
    *error = NULL;
    int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | follow_flag);
    if (fd == -1 || fstat(fd, st) != 0)
        *error = strerror(errno);
    else if (!S_ISREG(st->st_mode))
        *error = "no longer a regular file";
    if (fd != -1)
        close(fd);
}

void walk_probe_file(int dir_fd, const char *name, struct stat *st, const char **error) {
    walk_probe(dir_fd, name, O_NOFOLLOW, st, error);
}

static void walk_skip_entry(struct walk_entry *e, enum walk_skip skip) {
    e->kind = WALK_SKIPPED;
    e->skip = skip;
}

/* Looked up each time: the journal may be created during the walk. */
static bool walk_is_own_journal(const struct walk *w, const struct stat *st) {
    struct stat own;
    return w->own && stat(w->own, &own) == 0 && stat_is(&own, st->st_dev, st->st_ino);
}

static enum walk_skip walk_special_kind(mode_t mode) {
    return S_ISFIFO(mode) ? WALK_SKIP_FIFO : S_ISSOCK(mode) ? WALK_SKIP_SOCKET : WALK_SKIP_DEVICE;
}

static int walk_enter_dir(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    if (w->entry_path.len > PROTO_NAME_MAX) {
        walk_bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", ENAMETOOLONG);
        return 0;
    }
    /* name is in the arena, which walk_push moves */
    struct buf copy = BUF_INIT;
    int err = buf_add_text(&copy, name);
    if (!err)
        err = buf_add_byte(&w->path, '/');
    if (!err)
        err = buf_add_text(&w->path, copy.data);
    if (!err)
        err = walk_push(w, f->fd, copy.data);
    int saved = errno;
    buf_release(&copy);
    e->kind = WALK_SKIPPED;
    if (!err)
        return 0;
    if (err == ERR_NOMEM)
        return err;
    walk_bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", saved);
    return 0;
}

/* A rule that takes too long decides nothing: the entry is an error, and is neither uploaded nor left out silently. */
static int walk_ask_selection(struct walk *w, struct walk_entry *e, bool is_dir, bool *included) {
    const char *rule;
    *included = true;
    if (!w->selection)
        return 0;
    int err = is_dir ? selection_judge_directory(w->selection, e->name, included, &rule)
                     : selection_judge_file(w->selection, e->name, included, &rule);
    if (err != ERR_LIMIT)
        return err;
    *included = false;
    e->kind = is_dir ? WALK_BAD_DIR : WALK_BAD_FILE;
    snprintf(w->error, sizeof w->error, "the filter %.60s takes too long for this name; simplify it", rule);
    e->error = w->error;
    return 0;
}

/* True: the directory that the entry leads to is somewhere under dest. Goes up to the root of the file system. */
static bool walk_leads_under(const struct frame *f, const char *name, const struct stat *dest) {
    struct stat st, below = {.st_ino = 0};
    bool under = false;
    int fd = openat(f->fd, name, OPEN_DIR_FLAGS | O_PATH);
    while (fd != -1 && !under && fstat(fd, &st) == 0 && !stat_is(&st, below.st_dev, below.st_ino)) {
        int up = openat(fd, "..", OPEN_DIR_FLAGS | O_PATH);
        under = stat_is(&st, dest->st_dev, dest->st_ino);
        below = st;
        close(fd);
        fd = up;
    }
    if (fd != -1)
        close(fd);
    return under;
}

/* Why this directory must not be entered by way of links; NULL: it can be. */
static const char *walk_link_objection(const struct walk *w, const struct frame *f, const char *name,
                                       const struct stat *st) {
    struct stat dest;
    for (size_t i = 0; i < w->depth; i++)
        if (stat_is(st, w->frames[i].dev, w->frames[i].ino))
            return "is a loop: a symbolic link or a mount leads back to a directory above it; exclude it with "
                   "--exclude";
    if (!w->destination || stat(w->destination, &dest) != 0)
        return NULL;
    if (stat_is(st, dest.st_dev, dest.st_ino))
        return "is the destination of this command, by way of symbolic links; exclude it with --exclude";
    if (w->at_link && walk_leads_under(f, name, &dest))
        return "is a symbolic link into the destination of this command; exclude it with --exclude";
    return NULL;
}

static int walk_judge_dir(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    bool included;
    if (walk_is_own_journal(w, &e->st)) {
        walk_skip_entry(e, WALK_SKIP_OWN_JOURNAL);
        return 0;
    }
    int err = walk_ask_selection(w, e, true, &included);
    if (err || e->kind == WALK_BAD_DIR)
        return err;
    if (!included) {
        w->counts.excluded_dirs++;
        walk_skip_entry(e, WALK_SKIP_EXCLUDED_DIR);
        return 0;
    }
    if (w->one_file_system && e->st.st_dev != w->frames[0].dev) {
        w->counts.other_systems++;
        walk_skip_entry(e, WALK_SKIP_OTHER_SYSTEM);
        return 0;
    }
    e->error = w->follow_flag ? NULL : walk_link_objection(w, f, name, &e->st);
    if (e->error)
        e->kind = WALK_BAD_DIR;
    return e->error ? 0 : walk_enter_dir(w, f, name, e);
}

/* Half the cost of opening it; nothing for the owner of a file that its owner may read. */
static bool frame_may_read(const struct frame *f, const char *name, const struct stat *st) {
    if (!f->local)
        return false;
    return (st->st_uid == f->user && (st->st_mode & S_IRUSR)) ||
           faccessat(f->fd, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW) == 0;
}

static void walk_judge_file(struct walk *w, const struct frame *f, const char *name, struct walk_entry *e) {
    const char *error;
    e->kind = WALK_FILE;
    if (!w->at_link && frame_may_read(f, name, &e->st))
        return;
    walk_probe(f->fd, name, w->at_link ? 0 : O_NOFOLLOW, &e->st, &error);
    if (error) {
        e->kind = WALK_BAD_FILE;
        snprintf(w->error, sizeof w->error, "cannot be read: %s", error);
        e->error = w->error;
    }
}

static void walk_exclude(struct walk *w, struct walk_entry *e) {
    w->counts.excluded++;
    walk_skip_entry(e, WALK_SKIP_EXCLUDED);
}

/* Names are judged before anything else is known of the entry; bounds of size and age are for regular files. */
static int walk_judge_other(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    bool included;
    int err = walk_ask_selection(w, e, false, &included);
    if (err || e->kind == WALK_BAD_FILE)
        return err;
    if (!included)
        walk_exclude(w, e);
    else if (S_ISLNK(e->st.st_mode)) {
        w->counts.links++;
        walk_skip_entry(e, WALK_SKIP_LINK);
    } else if (!S_ISREG(e->st.st_mode)) {
        w->counts.others++;
        walk_skip_entry(e, walk_special_kind(e->st.st_mode));
    } else if (w->selection && !selection_judge_attributes(w->selection, &e->st))
        walk_exclude(w, e);
    else
        walk_judge_file(w, f, name, e);
    return 0;
}

/* A link to nothing counts as a file, so that a rule can exclude it by its name. */
static int walk_judge_broken_link(struct walk *w, struct walk_entry *e, int error) {
    bool included;
    int err = walk_ask_selection(w, e, false, &included);
    if (err || e->kind == WALK_BAD_FILE)
        return err;
    if (!included)
        walk_exclude(w, e);
    else
        walk_bad_entry(w, e, WALK_BAD_FILE, "is a symbolic link that leads nowhere", error);
    return 0;
}

static int walk_judge(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    if (fstatat(f->fd, name, &e->st, AT_SYMLINK_NOFOLLOW) != 0) {
        walk_bad_entry(w, e, WALK_BAD_FILE, "cannot be read", errno);
        return 0;
    }
    w->at_link = S_ISLNK(e->st.st_mode) && !w->follow_flag;
    if (w->at_link && fstatat(f->fd, name, &e->st, 0) != 0)
        return walk_judge_broken_link(w, e, errno);
    return S_ISDIR(e->st.st_mode) ? walk_judge_dir(w, f, name, e) : walk_judge_other(w, f, name, e);
}

static int walk_start(struct walk *w, struct walk_entry *e) {
    w->started = true;
    buf_clear(&w->entry_path);
    if (buf_add(&w->entry_path, w->path.data, w->path.len) != 0)
        return ERR_NOMEM;
    int err = walk_push(w, AT_FDCWD, w->path.len > 0 ? w->path.data : "/");
    e->kind = WALK_SKIPPED;
    if (err == ERR_IO) {
        walk_bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", errno);
        err = 0;
    }
    return err;
}

/* Leaves the deepest directory: at its end (error 0), or because it cannot be read further. */
static int walk_leave(struct walk *w, int error, struct walk_entry *e) {
    struct frame *f = &w->frames[w->depth - 1];
    buf_clear(&w->entry_path);
    if (buf_add(&w->entry_path, w->path.data, w->path.len) != 0)
        return ERR_NOMEM;
    e->kind = WALK_SKIPPED;
    e->path = w->entry_path.len > 0 ? w->entry_path.data : "/";
    if (error != 0) {
        f->empty = false; /* perhaps */
        walk_bad_entry(w, e, WALK_BAD_DIR, "cannot be listed to its end", error);
    } else if (f->empty)
        walk_skip_entry(e, WALK_SKIP_EMPTY_DIR);
    walk_pop(w);
    return 0;
}

int walk_next(struct walk *w, struct walk_entry *e) {
    memset(e, 0, sizeof *e);
    if (!w->started)
        return walk_start(w, e);
    if (w->depth == 0) {
        e->kind = WALK_END;
        return 0;
    }
    struct frame *f = &w->frames[w->depth - 1];
    w->path.len = f->path_len;
    w->path.data[w->path.len] = 0;
    if (f->fd == -1 && walk_reopen(w) != 0)
        return walk_leave(w, errno, e);
    const char *name = frame_next_name(w, f);
    if (!name)
        return walk_leave(w, errno, e);
    buf_clear(&w->entry_path);
    if (buf_add(&w->entry_path, w->path.data, w->path.len) != 0 || buf_add_byte(&w->entry_path, '/') != 0 ||
        buf_add_text(&w->entry_path, name) != 0)
        return ERR_NOMEM;
    e->path = w->entry_path.data;
    e->name = w->entry_path.data + w->root_len + 1;
    return walk_judge(w, f, name, e);
}
