#include "producer/source/name_list.h"
#include "pure/proto.h"
#include "system/log.h"
#include "system/openat2.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLANKS " \t\r\v\f"
#define NAME_SHOWN 60 /* bytes of a name that is too long, in messages */

struct name_list {
    int fd, directory;
    bool is_stdin, nul, follow_links;
    bool ended;    /* all was read */
    bool skipping; /* the rest of a name that is too long */
    size_t idle;   /* bytes since the last name */
    size_t begin, end;
    char data[2 * PROTO_NAME_MAX + 1]; /* a NUL fits after the last byte */
    char text[PROTO_NAME_MAX + 1];
    char problem[160];
};

static int name_list_refuse(const char *path, const char *problem) {
    log_error("--files-from %s: %s", path, problem);
    return ERR_USAGE;
}

static int name_list_open_both(struct name_list *l, const char *path, const char *directory) {
    struct stat st;
    l->fd = l->is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (l->fd == -1 || fstat(l->fd, &st) != 0)
        return name_list_refuse(path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return name_list_refuse(path, "is a directory; name a file with a list");
    l->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (l->directory == -1) {
        log_error("%s: %s", directory, strerror(errno));
        return ERR_USAGE;
    }
    return 0;
}

int name_list_open(struct name_list **out, const char *path, bool nul, const char *directory, bool follow_links) {
    struct name_list *l = calloc(1, sizeof *l);
    *out = l;
    if (!l)
        return ERR_NOMEM;
    l->fd = l->directory = -1;
    l->is_stdin = strcmp(path, "-") == 0;
    l->nul = nul;
    l->follow_links = follow_links;
    int err = name_list_open_both(l, path, directory);
    if (err)
        name_list_close(out);
    return err;
}

void name_list_close(struct name_list **out) {
    struct name_list *l = *out;
    if (!l)
        return;
    if (l->fd != -1 && !l->is_stdin)
        close(l->fd);
    if (l->directory != -1)
        close(l->directory);
    free(l);
    *out = NULL;
}

int name_list_fd(const struct name_list *l) {
    return l->fd;
}

/* ---- reading ---- */

static void name_break(struct name *name, const char *problem) {
    *name = (struct name){.kind = NAME_BROKEN, .problem = problem};
}

/* Reads more bytes. false: *name says why there are none. */
static bool name_list_fill(struct name_list *l, struct name *name) {
    struct pollfd ready = {.fd = l->fd, .events = POLLIN};
    memmove(l->data, l->data + l->begin, l->end - l->begin);
    l->end -= l->begin;
    l->begin = 0;
    *name = (struct name){.kind = NAME_WAIT};
    if (poll(&ready, 1, 0) <= 0)
        return false;
    ssize_t got = read(l->fd, l->data + l->end, sizeof l->data - 1 - l->end);
    if (got == -1 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got == -1)
        name_break(name, strerror(errno));
    l->ended = got == 0;
    l->end += got > 0 ? (size_t)got : 0;
    return got != -1;
}

/* Takes the bytes up to the next separator. *taken is false when the separator has not come yet. */
static struct slice name_list_take(struct name_list *l, bool *taken) {
    char *begin = l->data + l->begin;
    char *separator = memchr(begin, l->nul ? '\0' : '\n', l->end - l->begin);
    *taken = separator || (l->ended && l->end > l->begin);
    if (!*taken)
        return slice_make(begin, 0);
    char *end = separator ? separator : l->data + l->end;
    l->begin += (size_t)(end - begin) + (separator != NULL);
    l->idle += (size_t)(end - begin) + 1;
    return slice_make(begin, (size_t)(end - begin));
}

/* The line without white space at its ends; empty for a comment. */
static struct slice line_trim(struct slice line) {
    while (line.len > 0 && strchr(BLANKS, *line.ptr) && *line.ptr)
        line = slice_make(line.ptr + 1, line.len - 1);
    while (line.len > 0 && strchr(BLANKS, line.ptr[line.len - 1]) && line.ptr[line.len - 1])
        line.len--;
    return line.len > 0 && (*line.ptr == '#' || *line.ptr == ';') ? slice_make(line.ptr, 0) : line;
}

static bool component_is(struct slice component, const char *text) {
    return slice_equal(component, slice_of(text));
}

/* Copies the name without empty and "." components. Returns why it is refused, or NULL. */
static const char *name_clean(struct name_list *l, struct slice given) {
    size_t len = 0;
    if (given.ptr[0] == '/')
        return "is an absolute name; names in --files-from are relative to SRC";
    if (memchr(given.ptr, '\0', given.len))
        return "has a NUL byte; if the names end with NUL, use --null";
    for (size_t at = 0; at < given.len;) {
        const char *slash = memchr(given.ptr + at, '/', given.len - at);
        struct slice component = slice_make(given.ptr + at, slash ? (size_t)(slash - given.ptr) - at : given.len - at);
        at += component.len + 1;
        if (component_is(component, ".."))
            return "has '..' in it; write the name without it";
        if (component.len == 0 || component_is(component, "."))
            continue;
        if (len > 0)
            l->text[len++] = '/';
        memcpy(l->text + len, component.ptr, component.len);
        len += component.len;
    }
    l->text[len] = '\0';
    return len > 0 ? NULL : "is SRC itself; list the files in it";
}

static void name_list_judge(struct name_list *l, struct slice given, struct name *name) {
    bool too_long = given.len > PROTO_NAME_MAX;
    const char *problem = too_long ? "is a name of more than 4,096 bytes" : name_clean(l, given);
    if (problem) {
        size_t shown = too_long ? NAME_SHOWN : given.len;
        memcpy(l->text, given.ptr, shown);
        l->text[shown] = '\0';
    }
    l->idle = 0;
    *name = (struct name){.kind = problem ? NAME_BAD : NAME_GOOD, .text = l->text, .problem = problem};
}

/* A name that does not fit: its begin is reported, and its rest is skipped. true: *name is set. */
static bool name_list_cut(struct name_list *l, struct name *name) {
    struct slice given = slice_make(l->data + l->begin, l->end - l->begin);
    if (given.len <= PROTO_NAME_MAX && !l->skipping)
        return false;
    struct slice trimmed = line_trim(given);
    bool blank = !l->nul && !l->skipping && trimmed.ptr == given.ptr + given.len; /* not a comment either */
    bool bad = !l->skipping && (l->nul || trimmed.len > 0);
    if (bad)
        name_list_judge(l, given, name);
    l->idle += given.len;
    l->skipping |= !blank; /* a name can follow blanks */
    l->begin = l->end;
    return bad;
}

void name_list_next(struct name_list *l, struct name *name) {
    for (;;) {
        bool taken;
        struct slice given = name_list_take(l, &taken);
        if (l->idle > NAME_LIST_IDLE_MAX) {
            name_break(name, "no name within 1 MiB; it is not a list of names");
            return;
        }
        if (taken && l->skipping) {
            l->skipping = false;
            continue;
        }
        if (taken && !l->nul)
            given = line_trim(given);
        if (taken && given.len > 0) {
            name_list_judge(l, given, name);
            return;
        }
        if (taken)
            continue;
        if (l->ended) {
            *name = (struct name){.kind = NAME_END};
            return;
        }
        if (name_list_cut(l, name) || !name_list_fill(l, name))
            return;
    }
}

/* ---- files ---- */

void name_list_probe(struct name_list *l, const char *name, struct stat *st, const char **problem) {
    uint64_t resolve = l->follow_links ? RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    int fd = openat2_open(l->directory, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, resolve);
    *problem = NULL;
    if (fd == -1 && errno == ELOOP && !l->follow_links)
        *problem = "is a symbolic link or leads through one; to follow it, use -L";
    else if (fd == -1 || fstat(fd, st) != 0) {
        snprintf(l->problem, sizeof l->problem, "cannot be read: %s", strerror(errno));
        *problem = l->problem;
    } else if (S_ISDIR(st->st_mode))
        *problem = "is a directory; list the files in it";
    else if (!S_ISREG(st->st_mode))
        *problem = "is not a regular file";
    if (fd != -1)
        close(fd);
}
