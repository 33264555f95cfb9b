#include "producer/sources.h"
#include "system/log.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static bool names_a_scheme(const char *text) {
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '+' || text[n] == '.' || text[n] == '-')
        n++;
    return n > 0 && isalpha((unsigned char)text[0]) && strncmp(text + n, "://", 3) == 0;
}

/* True when path is dir or lies beneath it; both absolute and real. */
static bool path_is_beneath(const char *path, const char *dir) {
    size_t n = strlen(dir);
    if (n > 0 && dir[n - 1] == '/')
        n--;
    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

/* --- DEST --- */

static void drop_last_component(struct buf *path) {
    while (path->len > 0 && path->data[--path->len] != '/')
        ;
    if (path->data)
        path->data[path->len] = 0;
}

/* ".." after a directory that exists means its real parent, which a symlink makes differ from the text. */
static int go_to_parent(struct buf *path) {
    char *real = path->len > 0 ? realpath(path->data, NULL) : NULL;
    int err = 0;
    if (real && strcmp(real, "/") != 0) {
        buf_clear(path);
        err = buf_add_text(path, real);
    }
    free(real);
    if (err == 0)
        drop_last_component(path);
    return err;
}

/* Absolute path without empty, "." and ".." components; "" for the root itself. */
static int clean_path(const char *path, struct buf *out) {
    int err = buf_reserve(out, strlen(path) + 1);
    while (err == 0 && *path) {
        size_t n = strcspn(path, "/");
        if (n == 2 && path[0] == '.' && path[1] == '.')
            err = go_to_parent(out);
        else if (n > 0 && !(n == 1 && path[0] == '.')) {
            err = buf_add_byte(out, '/');
            if (err == 0)
                err = buf_add(out, path, n);
        }
        path += n;
        path += *path == '/';
    }
    return err;
}

/* Where path really is: symlinks resolved as far as it exists. */
static int real_location(const char *path, struct buf *out) {
    struct buf head = BUF_INIT;
    int err = buf_add_text(&head, path);
    while (err == 0) {
        char *real = realpath(head.len > 0 ? head.data : "/", NULL);
        if (real) {
            err = buf_add_text(out, strcmp(real, "/") == 0 ? "" : real);
            free(real);
            break;
        }
        if (head.len == 0) {
            err = ERR_IO;
            break;
        }
        drop_last_component(&head);
    }
    if (err == 0)
        err = buf_add_text(out, path + head.len);
    buf_release(&head);
    return err;
}

static bool ends_as_directory(const char *argument) {
    const char *slash = strrchr(argument, '/');
    const char *last = slash ? slash + 1 : argument;
    return *last == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

static bool lies_inside_a_source(const struct sources *s, const char *path, const char *argument) {
    struct buf real = BUF_INIT;
    bool inside = false;
    if (real_location(path, &real) == 0)
        for (size_t i = 0; i < s->count && !inside; i++)
            if (!s->items[i].error && s->items[i].directory &&
                path_is_beneath(real.len > 0 ? real.data : "/", s->items[i].path)) {
                log_error("%s: is inside the source %s; choose a destination outside", argument, s->items[i].given);
                inside = true;
            }
    buf_release(&real);
    return inside;
}

/* wants_name: one file, and the argument does not end like a directory. */
static int settle_file_dest(struct sources *s, struct slice key, const char *argument, bool wants_name) {
    struct buf path = BUF_INIT, url = BUF_INIT;
    struct stat st;
    int err = clean_path(key.ptr, &path);
    if (err)
        goto out;
    bool exists = stat(path.len > 0 ? path.data : "/", &st) == 0;
    s->dest_is_name = wants_name && path.len > 0 && !(exists && S_ISDIR(st.st_mode));
    if (!s->dest_is_name && exists && !S_ISDIR(st.st_mode)) {
        log_error("%s: is not a directory; name one for these sources", argument);
        err = ERR_USAGE;
        goto out;
    }
    if (lies_inside_a_source(s, path.data, argument)) {
        err = ERR_USAGE;
        goto out;
    }
    if ((err = buf_add_text(&url, "file://")) == 0 && (err = buf_add_text(&url, path.len > 0 ? path.data : "/")) == 0 &&
        (s->dest_is_name || path.len == 0 || (err = buf_add_byte(&url, '/')) == 0)) {
        s->dest = slice_dup(buf_slice(&url));
        err = s->dest ? 0 : ERR_NOMEM;
    }
out:
    buf_release(&path);
    buf_release(&url);
    return err;
}

static int settle_s3_dest(struct sources *s, const struct dest *d, const char *url, bool wants_name) {
    struct buf out = BUF_INIT;
    int err = buf_add_text(&out, url);
    s->dest_is_name = wants_name && d->key.len > 0;
    if (err == 0 && d->key.len == 0 && out.data[out.len - 1] != '/')
        err = buf_add_byte(&out, '/'); /* s3://bucket is s3://bucket/ */
    if (err == 0) {
        s->dest = slice_dup(buf_slice(&out));
        err = s->dest ? 0 : ERR_NOMEM;
    }
    buf_release(&out);
    return err;
}

static int settle_allow(struct sources *s) {
    size_t n = strlen(s->dest), least = strlen("file:///");
    while (n > least && s->dest[n - 1] == '/')
        n--;
    s->allow = slice_dup(slice_make(s->dest, n));
    return s->allow ? 0 : ERR_NOMEM;
}

/* A path keeps its "..", which settle_file_dest resolves as the system would. */
static int url_of_argument(const char *argument, struct buf *url) {
    if (names_a_scheme(argument))
        return dest_from_argument(argument, "/", url);
    char *cwd = argument[0] == '/' ? NULL : getcwd(NULL, 0);
    int err = argument[0] == '/' || cwd ? buf_add_text(url, "file://") : ERR_IO;
    if (err == 0 && cwd) {
        err = buf_add_text(url, cwd);
        if (err == 0)
            err = buf_add_byte(url, '/');
    }
    if (err == ERR_IO)
        log_error("the working directory: %s", strerror(errno));
    free(cwd);
    return err ? err : buf_add_text(url, argument);
}

/* A URL with a name and a password before its host is not repeated. */
static const char *shown(const char *argument) {
    return strchr(argument, '@') && strncasecmp(argument, "http", 4) == 0 ? "DEST" : argument;
}

static int settle_dest(struct sources *s, const char *argument) {
    struct buf url = BUF_INIT;
    struct dest d;
    char reason[DEST_PROBLEM_SIZE];
    if (dest_problem(argument, reason, sizeof reason)) {
        log_error("%s: %s", shown(argument), reason);
        return ERR_USAGE;
    }
    int err = url_of_argument(argument, &url);
    if (err == 0)
        err = dest_parse(buf_slice(&url), &d);
    bool single = s->count == 1 && !s->items[0].directory;
    if (err == 0 && d.scheme == DEST_S3) {
        s->scheme = DEST_S3;
        err = settle_s3_dest(s, &d, url.data, single && argument[strlen(argument) - 1] != '/');
    } else if (err == 0) {
        s->scheme = DEST_FILE;
        err = settle_file_dest(s, d.key, argument, single && !ends_as_directory(argument));
    }
    if (err == 0)
        err = settle_allow(s);
    buf_release(&url);
    return err;
}

/* --- SRC --- */

static int set_error(struct source_item *item, const char *text) {
    free(item->path);
    item->path = NULL;
    free(item->error);
    item->error = slice_dup(slice_of(text));
    return item->error ? 0 : ERR_NOMEM;
}

static const char *unusable_kind(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "is a fifo; only files and directories can be uploaded";
    case S_IFSOCK:
        return "is a socket; only files and directories can be uploaded";
    case S_IFBLK:
    case S_IFCHR:
        return "is a device; only files and directories can be uploaded";
    default:
        return "is neither a file nor a directory";
    }
}

static int explain_missing(struct source_item *item, int error) {
    struct stat st;
    if (error == ENOENT && lstat(item->given, &st) == 0 && S_ISLNK(st.st_mode))
        return set_error(item, "is a symbolic link to a file that does not exist");
    struct buf text = BUF_INIT;
    int err = buf_addf(&text, "cannot be used: %s", strerror(error));
    if (err == 0)
        err = set_error(item, text.data);
    buf_release(&text);
    return err;
}

/* The last component as the user wrote it, or of the real path when that is "", "." or "..". */
static int own_name(struct source_item *item) {
    size_t end = strlen(item->given);
    while (end > 0 && item->given[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && item->given[begin - 1] != '/')
        begin--;
    struct slice name = slice_make(item->given + begin, end - begin);
    if (name.len == 0 || slice_equal(name, slice_of(".")) || slice_equal(name, slice_of("..")))
        name = slice_of(strrchr(item->path, '/') + 1);
    item->name = slice_dup(name);
    return item->name ? 0 : ERR_NOMEM;
}

static int look_at(struct source_item *item, const char *given, bool recursive) {
    struct stat st;
    item->given = slice_dup(slice_of(given));
    if (!item->given)
        return ERR_NOMEM;
    item->path = realpath(given, NULL);
    if (!item->path && errno == ENOMEM)
        return ERR_NOMEM;
    if (!item->path || stat(item->path, &st) != 0)
        return explain_missing(item, errno);
    int err = own_name(item);
    if (err)
        return err;
    item->directory = S_ISDIR(st.st_mode);
    if (item->directory && !recursive)
        return set_error(item, "is a directory; use -r to upload what is in it");
    if (!item->directory && !S_ISREG(st.st_mode))
        return set_error(item, unusable_kind(st.st_mode));
    if (!item->directory && given[strlen(given) - 1] == '/')
        return set_error(item, "is not a directory");
    return 0;
}

static int by_name_then_place(const void *a, const void *b) {
    const struct source_item *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Two SRCs of one name would become one object: the first keeps it. */
static int refuse_doubles(struct sources *s) {
    struct source_item **sorted = calloc(s->count, sizeof(struct source_item *));
    struct buf text = BUF_INIT;
    size_t n = 0;
    int err = sorted ? 0 : ERR_NOMEM;
    for (size_t i = 0; err == 0 && i < s->count; i++)
        if (!s->items[i].error)
            sorted[n++] = &s->items[i];
    if (err == 0)
        qsort(sorted, n, sizeof(struct source_item *), by_name_then_place);
    const struct source_item *first = n > 0 ? sorted[0] : NULL;
    for (size_t i = 1; err == 0 && i < n; i++) {
        if (strcmp(sorted[i]->name, first->name) != 0) {
            first = sorted[i];
            continue;
        }
        buf_clear(&text);
        err = buf_addf(&text, "would overwrite what %s becomes at the destination; upload it under another name",
                       first->given);
        if (err == 0)
            err = set_error(sorted[i], text.data);
    }
    buf_release(&text);
    free(sorted);
    return err;
}

static int add_root(struct sources *s, struct slice dir) {
    char *root = slice_dup(dir.len > 0 ? dir : slice_of("/"));
    if (!root)
        return ERR_NOMEM;
    for (size_t i = 0; i < s->root_count; i++)
        if (path_is_beneath(root, s->roots[i])) {
            free(root);
            return 0;
        }
    size_t kept = 0;
    for (size_t i = 0; i < s->root_count; i++)
        if (path_is_beneath(s->roots[i], root))
            free(s->roots[i]);
        else
            s->roots[kept++] = s->roots[i];
    s->roots[kept++] = root; /* there is room for one root a SRC */
    s->root_count = kept;
    return 0;
}

static int gather_roots(struct sources *s) {
    int err = 0;
    s->roots = calloc(s->count, sizeof *s->roots);
    s->root_count = 0;
    if (!s->roots)
        return ERR_NOMEM;
    for (size_t i = 0; err == 0 && i < s->count; i++) {
        const struct source_item *item = &s->items[i];
        if (item->error)
            continue;
        size_t len = item->directory ? strlen(item->path) : (size_t)(strrchr(item->path, '/') - item->path);
        err = add_root(s, slice_make(item->path, len));
    }
    return err;
}

static int refuse_schemes(const char *const *given, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (given[i][0] == 0) {
            log_error("an empty SRC: name a file or a directory");
            return ERR_USAGE;
        }
        if (names_a_scheme(given[i])) {
            log_error("%s: downloads are not supported; SRC is a path (write ./ before a file of such a name)",
                      given[i]);
            return ERR_USAGE;
        }
    }
    return 0;
}

int sources_init(struct sources *s, const char *const *given, size_t count, const char *dest, bool recursive) {
    memset(s, 0, sizeof *s);
    if (count == 0 || !dest || !*dest) {
        log_error("SRC and DEST are needed");
        return ERR_USAGE;
    }
    int err = refuse_schemes(given, count);
    if (err)
        return err;
    s->items = calloc(count, sizeof *s->items);
    if (!s->items)
        return ERR_NOMEM;
    s->count = count;
    for (size_t i = 0; err == 0 && i < count; i++)
        err = look_at(&s->items[i], given[i], recursive);
    if (err == 0)
        err = settle_dest(s, dest);
    if (err == 0 && count > 1)
        err = refuse_doubles(s);
    if (err == 0 && count == 1 && !s->items[0].error && (s->items[0].directory || s->dest_is_name))
        s->items[0].name[0] = 0;
    if (err == 0)
        err = gather_roots(s);
    if (err)
        sources_release(s);
    return err;
}

int sources_init_drops(struct sources *s, const char *dest) {
    struct dest d;
    struct buf allow = BUF_INIT;
    memset(s, 0, sizeof *s);
    if (dest_parse(slice_of(dest), &d)) {
        log_error("%s: not a valid destination", dest);
        return ERR_USAGE;
    }
    s->scheme = d.scheme;
    s->dest_is_name = true;
    s->dest = slice_dup(slice_of(dest));
    int err = d.scheme == DEST_FILE ? buf_add_text(&allow, "file:///")
                                    : buf_addf(&allow, "s3://%.*s/", (int)d.bucket.len, d.bucket.ptr);
    s->allow = err ? NULL : slice_dup(buf_slice(&allow));
    buf_release(&allow);
    if (s->dest && s->allow)
        return 0;
    sources_release(s);
    return ERR_NOMEM;
}

void sources_release(struct sources *s) {
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].given);
        free(s->items[i].path);
        free(s->items[i].name);
        free(s->items[i].error);
    }
    free(s->items);
    for (size_t i = 0; i < s->root_count; i++)
        free(s->roots[i]);
    free(s->roots);
    free(s->dest);
    free(s->allow);
    memset(s, 0, sizeof *s);
}
