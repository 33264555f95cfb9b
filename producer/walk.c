/*
 * A stack of frames, one for each directory between the root and the place being read. A frame has its names either
 * sorted in the arena (a stack too: the deepest frame's names lie on top) or still in an open directory stream.
 *
 * Invariants: the deepest frame's fd is open; the path buffer holds the deepest frame's path between calls; a frame
 * whose fd was closed is only used again when the directory reopened under its path is the same one (dev, ino).
 */
#include "producer/walk.h"
#include "pure/array.h"
#include "pure/buf.h"
#include "pure/check.h"
#include "pure/proto.h"
#include "system/descriptors.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct frame {
    int fd;      /* -1: closed for the moment */
    DIR *stream; /* not NULL: too large to sort, read as it comes; owns fd */
    dev_t dev;
    ino_t ino;
    size_t path_len;
    size_t names_begin;           /* in the arena */
    size_t order_begin, order_at; /* in order[] */
    size_t order_end;
    uint64_t entries; /* met so far; a stream that ends with 0 was empty */
};

struct walk {
    const char *own;        /* walk_leave_out */
    struct buf path, shown; /* shown: the path of the entry handed out */
    size_t root_len;
    struct frame *frames;
    size_t depth, frames_cap;
    struct buf arena;
    uint32_t *order; /* offsets into the arena */
    size_t order_len, order_cap;
    size_t fds_open, fds_max;
    bool started;
    char error[160];
    struct walk_counts counts;
};

#define OPEN_DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int walk_new(struct walk **out, const char *root) {
    struct walk *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return ERR_NOMEM;
    if (buf_add_text(&w->path, root) != 0) {
        walk_destroy(&w);
        return ERR_NOMEM;
    }
    while (w->path.len > 0 && w->path.data[w->path.len - 1] == '/') /* "/" becomes "" */
        w->path.data[--w->path.len] = 0;
    w->root_len = w->path.len;
    size_t share = descriptors_free() / 4;
    w->fds_max = share < 2 ? 2 : share < WALK_FDS ? share : WALK_FDS;
    *out = w;
    return 0;
}

static void close_frame(struct walk *w, struct frame *f) {
    if (f->stream)
        closedir(f->stream);
    else if (f->fd >= 0)
        close(f->fd);
    if (f->fd >= 0)
        w->fds_open--;
    f->fd = -1;
    f->stream = NULL;
}

void walk_destroy(struct walk **pw) {
    struct walk *w = *pw;
    if (!w)
        return;
    while (w->depth > 0)
        close_frame(w, &w->frames[--w->depth]);
    free(w->frames);
    free(w->order);
    buf_release(&w->arena);
    buf_release(&w->path);
    buf_release(&w->shown);
    free(w);
    *pw = NULL;
}

void walk_leave_out(struct walk *w, const char *path) {
    w->own = path;
}

const struct walk_counts *walk_counts(const struct walk *w) {
    return &w->counts;
}

static void bad_entry(struct walk *w, struct walk_entry *e, enum walk_kind kind, const char *what, int error) {
    e->kind = kind;
    e->path = w->shown.len > 0 ? w->shown.data : "/";
    snprintf(w->error, sizeof w->error, "%s: %s", what, strerror(error));
    e->error = w->error;
}

/* --- directories --- */

static int compare_names(const void *a, const void *b, void *arena) {
    const char *names = arena;
    return strcmp(names + *(const uint32_t *)a, names + *(const uint32_t *)b);
}

static bool is_dot(const char *name) {
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static int remember_name(struct walk *w, const char *name) {
    if (array_grow(&w->order, &w->order_cap, w->order_len, sizeof *w->order))
        return ERR_NOMEM;
    uint32_t offset = (uint32_t)w->arena.len;
    int err = buf_add(&w->arena, name, strlen(name) + 1);
    if (err == 0)
        w->order[w->order_len++] = offset;
    return err;
}

static void forget_names(struct walk *w, const struct frame *f) {
    w->order_len = f->order_begin;
    w->arena.len = f->names_begin;
}

/* Reads all names of stream into the arena and sorts them. ERR_LIMIT: too many, ERR_IO: errno. */
static int read_sorted(struct walk *w, struct frame *f, DIR *stream) {
    for (;;) {
        errno = 0;
        const struct dirent *d = readdir(stream);
        if (!d)
            break;
        if (is_dot(d->d_name))
            continue;
        if (w->arena.len + strlen(d->d_name) + 1 > WALK_SORT_BYTES)
            return ERR_LIMIT;
        if (remember_name(w, d->d_name) != 0)
            return ERR_NOMEM;
    }
    if (errno != 0)
        return ERR_IO;
    f->order_end = w->order_len;
    f->entries = f->order_end - f->order_begin;
    if (f->entries > 1)
        qsort_r(w->order + f->order_begin, f->entries, sizeof *w->order, compare_names, w->arena.data);
    return 0;
}

/* The directory's stream needs a descriptor of its own: closing it closes that one. */
static int list_frame(struct walk *w, struct frame *f) {
    int own = openat(f->fd, ".", OPEN_DIR_FLAGS);
    DIR *stream = own >= 0 ? fdopendir(own) : NULL;
    if (!stream) {
        int saved = errno;
        if (own >= 0)
            close(own);
        errno = saved;
        return ERR_IO;
    }
    int err = read_sorted(w, f, stream);
    if (err == ERR_LIMIT) {
        forget_names(w, f);
        f->order_end = f->order_at;
        f->entries = 0;
        rewinddir(stream);
        close(f->fd);
        f->fd = dirfd(stream);
        f->stream = stream;
        return 0;
    }
    int saved = errno;
    closedir(stream);
    if (err)
        forget_names(w, f);
    errno = saved;
    return err;
}

/* Keeps at most WALK_FDS descriptors: the farthest sorted frame's goes first; streams must stay. */
static void spare_descriptors(struct walk *w) {
    for (size_t i = 0; w->fds_open >= w->fds_max && i + 1 < w->depth; i++)
        if (w->frames[i].fd >= 0 && !w->frames[i].stream)
            close_frame(w, &w->frames[i]);
}

/* Enters the directory `name` of dir_fd, whose path is already in w->path. ERR_IO: errno, nothing changed. */
static int push_frame(struct walk *w, int dir_fd, const char *name) {
    struct stat st;
    if (array_grow(&w->frames, &w->frames_cap, w->depth, sizeof *w->frames))
        return ERR_NOMEM;
    int fd = openat(dir_fd, name, OPEN_DIR_FLAGS);
    if (fd < 0)
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
                        .order_end = w->order_len};
    w->fds_open++;
    int err = list_frame(w, f);
    if (err) {
        int saved = errno;
        close_frame(w, f);
        errno = saved;
        return err;
    }
    w->depth++;
    spare_descriptors(w);
    return 0;
}

/* Opens the deepest frame's directory again, component by component from the root. */
static int reopen_frame(struct walk *w) {
    struct frame *f = &w->frames[w->depth - 1];
    struct stat st;
    char saved_byte = w->path.data[w->root_len];
    w->path.data[w->root_len] = 0;
    int fd = open(w->root_len > 0 ? w->path.data : "/", OPEN_DIR_FLAGS);
    w->path.data[w->root_len] = saved_byte;
    size_t at = w->root_len;
    while (fd >= 0 && at < f->path_len) {
        char *component = w->path.data + at + 1;
        char *end = strchrnul(component, '/');
        char was = *end;
        *end = 0;
        int next = openat(fd, component, OPEN_DIR_FLAGS);
        int saved = errno;
        *end = was;
        close(fd);
        errno = saved;
        fd = next;
        at = (size_t)(end - w->path.data);
    }
    if (fd < 0)
        return ERR_IO;
    if (fstat(fd, &st) != 0 || st.st_dev != f->dev || st.st_ino != f->ino) {
        close(fd);
        errno = ESTALE;
        return ERR_IO;
    }
    f->fd = fd;
    w->fds_open++;
    return 0;
}

static void cut_path(struct walk *w, size_t len) {
    w->path.len = len;
    if (w->path.data)
        w->path.data[len] = 0;
}

static void pop_frame(struct walk *w) {
    struct frame *f = &w->frames[w->depth - 1];
    if (f->entries == 0)
        w->counts.empty_dirs++;
    forget_names(w, f);
    close_frame(w, f);
    w->depth--;
    if (w->depth > 0)
        cut_path(w, w->frames[w->depth - 1].path_len);
}

/* --- entries --- */

/* The next name of the deepest frame; NULL at its end, with errno when it could not be read. */
static const char *next_name(struct walk *w, struct frame *f) {
    errno = 0;
    if (!f->stream)
        return f->order_at < f->order_end ? w->arena.data + w->order[f->order_at++] : NULL;
    const struct dirent *d;
    while ((d = readdir(f->stream)) != NULL && is_dot(d->d_name))
        errno = 0;
    f->entries += d != NULL;
    return d ? d->d_name : NULL;
}

void walk_probe_file(int dir_fd, const char *name, struct stat *st, const char **error) {
    *error = NULL;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, st) != 0)
        *error = strerror(errno);
    else if (!S_ISREG(st->st_mode))
        *error = "no longer a regular file";
    if (fd >= 0)
        close(fd);
}

static void skip_entry(struct walk_entry *e, const char *what) {
    e->kind = WALK_SKIPPED;
    e->left_out = what;
}

/* Looked up each time: it may be made while the tree is walked. */
static bool is_own(const struct walk *w, const struct stat *st) {
    struct stat own;
    return w->own && stat(w->own, &own) == 0 && own.st_dev == st->st_dev && own.st_ino == st->st_ino;
}

static const char *special_kind(mode_t mode) {
    return S_ISFIFO(mode) ? "fifo" : S_ISSOCK(mode) ? "socket" : "device";
}

static int enter_directory(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    size_t before = w->path.len;
    if (w->shown.len > PROTO_NAME_MAX) {
        bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", ENAMETOOLONG);
        return 0;
    }
    /* name lies in the arena, which entering moves */
    struct buf copy = BUF_INIT;
    int err = buf_add_text(&copy, name);
    if (err == 0)
        err = buf_add_byte(&w->path, '/');
    if (err == 0)
        err = buf_add_text(&w->path, copy.data);
    if (err == 0)
        err = push_frame(w, f->fd, copy.data);
    int saved = errno;
    buf_release(&copy);
    e->kind = WALK_SKIPPED;
    if (err == 0)
        return 0;
    cut_path(w, before);
    if (err == ERR_NOMEM)
        return err;
    bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", saved);
    return 0;
}

static int judge_entry(struct walk *w, struct frame *f, const char *name, struct walk_entry *e) {
    const char *error;
    if (fstatat(f->fd, name, &e->st, AT_SYMLINK_NOFOLLOW) != 0) {
        bad_entry(w, e, WALK_BAD_FILE, "cannot be read", errno);
        return 0;
    }
    if (S_ISDIR(e->st.st_mode) && is_own(w, &e->st))
        skip_entry(e, WALK_OWN);
    else if (S_ISDIR(e->st.st_mode))
        return enter_directory(w, f, name, e);
    else if (S_ISLNK(e->st.st_mode)) {
        w->counts.links++;
        skip_entry(e, "symbolic link");
    } else if (!S_ISREG(e->st.st_mode)) {
        w->counts.others++;
        skip_entry(e, special_kind(e->st.st_mode));
    } else {
        e->kind = WALK_FILE;
        walk_probe_file(f->fd, name, &e->st, &error);
        if (error) {
            e->kind = WALK_BAD_FILE;
            snprintf(w->error, sizeof w->error, "cannot be read: %s", error);
            e->error = w->error;
        }
    }
    return 0;
}

static int start(struct walk *w, struct walk_entry *e) {
    w->started = true;
    buf_clear(&w->shown);
    if (buf_add(&w->shown, w->path.data, w->path.len) != 0)
        return ERR_NOMEM;
    int err = push_frame(w, AT_FDCWD, w->path.len > 0 ? w->path.data : "/");
    e->kind = WALK_SKIPPED;
    if (err == ERR_IO) {
        bad_entry(w, e, WALK_BAD_DIR, "cannot be listed", errno);
        err = 0;
    }
    return err;
}

/* Leaves the deepest directory: at its end, or because it can be read no further (error). */
static int leave(struct walk *w, int error, struct walk_entry *e) {
    struct frame *f = &w->frames[w->depth - 1];
    buf_clear(&w->shown);
    if (buf_add(&w->shown, w->path.data, w->path.len) != 0)
        return ERR_NOMEM;
    e->kind = WALK_SKIPPED;
    e->path = w->shown.len > 0 ? w->shown.data : "/";
    if (error != 0) {
        f->entries++; /* not an empty one */
        bad_entry(w, e, WALK_BAD_DIR, "cannot be listed to its end", error);
    } else if (f->entries == 0)
        skip_entry(e, "empty directory");
    pop_frame(w);
    return 0;
}

int walk_next(struct walk *w, struct walk_entry *e) {
    memset(e, 0, sizeof *e);
    if (!w->started)
        return start(w, e);
    if (w->depth == 0) {
        e->kind = WALK_END;
        return 0;
    }
    struct frame *f = &w->frames[w->depth - 1];
    CHECK(w->path.len == f->path_len);
    if (f->fd < 0 && reopen_frame(w) != 0)
        return leave(w, errno, e);
    const char *name = next_name(w, f);
    if (!name)
        return leave(w, errno, e);
    buf_clear(&w->shown);
    if (buf_add(&w->shown, w->path.data, w->path.len) != 0 || buf_add_byte(&w->shown, '/') != 0 ||
        buf_add_text(&w->shown, name) != 0)
        return ERR_NOMEM;
    e->path = w->shown.data;
    e->name = w->shown.data + w->root_len + 1;
    return judge_entry(w, f, name, e);
}
