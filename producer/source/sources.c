#include "producer/source/sources.h"
#include "system/log.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

static bool text_has_scheme(const char *text) {
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '+' || text[n] == '.' || text[n] == '-')
        n++;
    return isalpha((unsigned char)text[0]) && strncmp(text + n, "://", 3) == 0;
}

static int sources_copy(struct slice text, char **copy) {
    *copy = slice_dup(text);
    return *copy ? 0 : ERR_NOMEM;
}

/* Is path equal to dir or under it? Both are absolute and without symbolic links. */
static bool sources_path_is_under(const char *path, const char *dir) {
    size_t n = strcmp(dir, "/") == 0 ? 0 : strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == 0 || path[n] == '/');
}

/* --- DEST --- */

static void path_drop_last(struct buf *path) {
    while (path->len > 0 && path->data[--path->len] != '/')
        ;
    if (path->data)
        path->data[path->len] = 0;
}

/* ".." after an existing directory is its real parent, which differs from the text after a symbolic link. */
static int path_go_to_parent(struct buf *path) {
    char *real = realpath(path->data, NULL); /* not of "", the root */
    int err = 0;
    if (real && strcmp(real, "/") != 0) {
        buf_clear(path);
        err = buf_add_text(path, real);
    }
    free(real);
    if (!err)
        path_drop_last(path);
    return err;
}

/* Appends the absolute path without empty, "." and ".." components; "" for the root. */
static int path_clean(const char *path, struct buf *out) {
    int err = buf_add_text(out, ""); /* data is never NULL */
    while (!err && *path) {
        size_t n = strcspn(path, "/");
        if (n == 2 && path[0] == '.' && path[1] == '.')
            err = path_go_to_parent(out);
        else if (n > 0 && !(n == 1 && path[0] == '.')) {
            err = buf_add_byte(out, '/');
            if (!err)
                err = buf_add(out, path, n);
        }
        path += n;
        path += *path == '/';
    }
    return err;
}

/* The real path of the part of path that exists, for the caller to free; NULL on error. */
static int path_resolve(const char *path, char **real) {
    struct buf head = BUF_INIT;
    int err = buf_add_text(&head, path);
    *real = NULL;
    while (!err && !(*real = realpath(head.len > 0 ? head.data : "/", NULL))) {
        err = head.len == 0 ? ERR_IO : 0;
        path_drop_last(&head);
    }
    buf_release(&head);
    return err;
}

static bool argument_ends_as_directory(const char *argument) {
    const char *slash = strrchr(argument, '/');
    const char *last = slash ? slash + 1 : argument;
    return *last == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

static struct source_item *sources_end(const struct sources *s) {
    return s->items + s->count;
}

static bool sources_contain(const struct sources *s, const char *path, const char *argument) {
    char *real;
    bool inside = false;
    if (path_resolve(path, &real) == 0)
        for (struct source_item *item = s->items; item && item != sources_end(s) && !inside; item++)
            if (!item->error && item->directory && sources_path_is_under(real, item->path)) {
                log_error("%s: is inside the source %s; choose a destination outside", argument, item->given);
                inside = true;
            }
    free(real);
    return inside;
}

/* wants_name: there is one file, and the argument does not end like a directory. */
static int sources_settle_file(struct sources *s, struct slice key, const char *argument, bool wants_name) {
    struct buf path = BUF_INIT, url = BUF_INIT;
    struct stat st;
    int err = path_clean(key.ptr, &path);
    if (err)
        goto out;
    bool exists = stat(path.data, &st) == 0; /* false for "", the root, which is a prefix */
    s->dest_is_name = wants_name && !(exists && S_ISDIR(st.st_mode));
    if (!s->dest_is_name && exists && !S_ISDIR(st.st_mode)) {
        log_error("%s: is not a directory; name one for these sources", argument);
        err = ERR_USAGE;
        goto out;
    }
    if (sources_contain(s, path.data, argument)) {
        err = ERR_USAGE;
        goto out;
    }
    if ((err = buf_add_text(&url, "file://")) == 0 && (err = buf_add_text(&url, path.len > 0 ? path.data : "/")) == 0 &&
        (s->dest_is_name || path.len == 0 || (err = buf_add_byte(&url, '/')) == 0))
        err = sources_copy(buf_slice(&url), &s->dest);
out:
    buf_release(&path);
    buf_release(&url);
    return err;
}

static int sources_settle_s3(struct sources *s, const struct dest *d, const char *url, bool wants_name) {
    struct buf out = BUF_INIT;
    int err = buf_add_text(&out, url);
    s->dest_is_name = wants_name && d->key.len > 0;
    if (!err && d->key.len == 0 && out.data[out.len - 1] != '/')
        err = buf_add_byte(&out, '/'); /* s3://bucket is s3://bucket/ */
    if (!err)
        err = sources_copy(buf_slice(&out), &s->dest);
    buf_release(&out);
    return err;
}

static int sources_settle_allow(struct sources *s) {
    size_t n = strlen(s->dest), least = strlen("file:///");
    while (n > least && s->dest[n - 1] == '/')
        n--;
    return sources_copy(slice_make(s->dest, n), &s->allow);
}

/* A path keeps its ".."; sources_settle_file resolves them as the system does. */
static int dest_url_of_argument(const char *argument, struct buf *url) {
    if (text_has_scheme(argument))
        return dest_from_argument(argument, "/", url);
    char *cwd = argument[0] == '/' ? NULL : getcwd(NULL, 0);
    int err = argument[0] == '/' || cwd ? buf_add_text(url, "file://") : ERR_IO;
    if (!err && cwd) {
        err = buf_add_text(url, cwd);
        if (!err)
            err = buf_add_byte(url, '/');
    }
    if (err == ERR_IO)
        log_error("the working directory: %s", strerror(errno));
    free(cwd);
    return err ? err : buf_add_text(url, argument);
}

/* The argument for messages. A URL with a user name and a password is not shown. */
static const char *dest_to_show(const char *argument) {
    return strchr(argument, '@') && strncasecmp(argument, "http", 4) == 0 ? "DEST" : argument;
}

static int sources_settle_dest(struct sources *s, const char *argument) {
    struct buf url = BUF_INIT;
    struct dest d;
    char reason[DEST_PROBLEM_SIZE];
    if (dest_problem(argument, reason, sizeof reason)) {
        log_error("%s: %s", dest_to_show(argument), reason);
        return ERR_USAGE;
    }
    int err = dest_url_of_argument(argument, &url);
    if (!err)
        err = dest_parse(buf_slice(&url), &d);
    bool single = s->count == 1 && !s->items[0].directory;
    if (!err && d.scheme == DEST_S3) {
        s->scheme = DEST_S3;
        err = sources_settle_s3(s, &d, url.data, single && argument[strlen(argument) - 1] != '/');
    } else if (!err) {
        s->scheme = DEST_FILE;
        err = sources_settle_file(s, d.key, argument, single && !argument_ends_as_directory(argument));
    }
    if (!err)
        err = sources_settle_allow(s);
    buf_release(&url);
    return err;
}

/* --- SRC --- */

static int source_set_error(struct source_item *item, const char *text) {
    free(item->path);
    item->path = NULL;
    free(item->error);
    return sources_copy(slice_of(text), &item->error);
}

static const char *source_unusable_kind(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return "is a fifo; only files and directories can be uploaded";
    case S_IFSOCK:
        return "is a socket; only files and directories can be uploaded";
    case S_IFBLK:
    case S_IFCHR:
        return "is a device; only files and directories can be uploaded";
    default:
        return "is neither a file nor a directory; only these can be uploaded";
    }
}

static int source_explain_missing(struct source_item *item, int error) {
    struct stat st;
    if (error == ENOENT && lstat(item->given, &st) == 0 && S_ISLNK(st.st_mode))
        return source_set_error(item, "is a symbolic link to a file that does not exist");
    struct buf text = BUF_INIT;
    int err = buf_addf(&text, "cannot be used: %s", strerror(error));
    if (!err)
        err = source_set_error(item, text.data);
    buf_release(&text);
    return err;
}

/* "" for the root. */
static struct slice path_last_component(const char *path) {
    struct slice last = slice_of("");
    while (*(path += strspn(path, "/"))) {
        last = slice_make(path, strcspn(path, "/"));
        path += last.len;
    }
    return last;
}

/* The last component of the argument; of the real path when that is "." or "..". */
static int source_set_name(struct source_item *item) {
    struct slice name = path_last_component(item->given);
    if (slice_equal(name, slice_of(".")) || slice_equal(name, slice_of("..")))
        name = path_last_component(item->path);
    return sources_copy(name, &item->name);
}

static int source_init(struct source_item *item, const char *given, bool recursive) {
    struct stat st;
    int err = sources_copy(slice_of(given), &item->given);
    if (err)
        return err;
    item->path = realpath(given, NULL);
    if (!item->path && errno == ENOMEM)
        return ERR_NOMEM;
    if (!item->path || stat(item->path, &st) != 0)
        return source_explain_missing(item, errno);
    err = source_set_name(item);
    if (err)
        return err;
    item->directory = S_ISDIR(st.st_mode);
    item->dev = st.st_dev;
    item->ino = st.st_ino;
    if (item->directory && !recursive)
        return source_set_error(item, "is a directory; use -r to upload what is in it");
    if (!item->directory && !S_ISREG(st.st_mode))
        return source_set_error(item, source_unusable_kind(st.st_mode));
    return 0;
}

static int sources_compare_names(const void *a, const void *b) {
    const struct source_item *const *x = a, *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    return order ? order : (int)(*x - *y); /* of one array */
}

/* Two SRCs with the same name would become one object: only the first is uploaded. */
static int sources_refuse_duplicates(struct sources *s) {
    struct source_item **sorted = calloc(s->count, sizeof(struct source_item *));
    struct buf text = BUF_INIT;
    size_t n = 0;
    int err = sorted ? 0 : ERR_NOMEM;
    for (struct source_item *item = s->items; !err && item && item != sources_end(s); item++)
        if (!item->error)
            sorted[n++] = item;
    if (!err)
        qsort(sorted, n, sizeof(struct source_item *), sources_compare_names);
    const struct source_item *first = err ? NULL : sorted[0]; /* also NULL when none can be used */
    for (size_t i = 1; !err && i < n; i++) {
        if (strcmp(sorted[i]->name, first->name) != 0) {
            first = sorted[i];
            continue;
        }
        buf_clear(&text);
        err = buf_addf(&text, "would overwrite what %s becomes at the destination; upload it under another name",
                       first->given);
        if (!err)
            err = source_set_error(sorted[i], text.data);
    }
    buf_release(&text);
    free(sorted);
    return err;
}

static int sources_add_root(struct sources *s, struct slice dir) {
    char *root;
    int err = sources_copy(dir, &root);
    if (err)
        return err;
    for (size_t i = 0; i < s->root_count; i++)
        if (sources_path_is_under(root, s->roots[i])) {
            free(root);
            return 0;
        }
    size_t kept = 0;
    for (size_t i = 0; i < s->root_count; i++)
        if (sources_path_is_under(s->roots[i], root))
            free(s->roots[i]);
        else
            s->roots[kept++] = s->roots[i];
    s->roots[kept++] = root; /* the array has room for one root per SRC */
    s->root_count = kept;
    return 0;
}

static int sources_collect_roots(struct sources *s) {
    int err = 0;
    s->roots = calloc(s->count, sizeof *s->roots);
    s->root_count = 0;
    if (!s->roots)
        return ERR_NOMEM;
    for (const struct source_item *item = s->items; !err && item && item != sources_end(s); item++) {
        if (item->error)
            continue;
        size_t len = item->directory ? strlen(item->path) : (size_t)(strrchr(item->path, '/') - item->path);
        err = sources_add_root(s, slice_make(item->path, MAX(len, 1))); /* at least "/" */
    }
    return err;
}

static int sources_check_arguments(const char *const *given, size_t count) {
    for (const char *const *src = given; src != given + count; src++) {
        if (**src == 0) {
            log_error("an empty SRC: name a file or a directory");
            return ERR_USAGE;
        }
        if (text_has_scheme(*src)) {
            log_error("%s: downloads are not supported; SRC is a path (write ./ before a file of such a name)", *src);
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
    int err = sources_check_arguments(given, count);
    if (err)
        return err;
    s->items = calloc(count, sizeof *s->items);
    if (!s->items)
        return ERR_NOMEM;
    s->count = count;
    for (struct source_item *item = s->items; !err && item && item != sources_end(s); item++)
        err = source_init(item, *given++, recursive);
    if (!err)
        err = sources_settle_dest(s, dest);
    if (!err)
        err = sources_refuse_duplicates(s);
    if (!err && count == 1 && !s->items[0].error && (s->items[0].directory || s->dest_is_name))
        s->items[0].name[0] = 0;
    if (!err)
        err = sources_collect_roots(s);
    if (err)
        sources_release(s);
    return err;
}

int sources_init_stdin(struct sources *s, const char *dest) {
    memset(s, 0, sizeof *s);
    s->items = calloc(1, sizeof *s->items);
    if (!s->items)
        return ERR_NOMEM;
    s->count = 1;
    int err = dest && *dest ? 0 : ERR_USAGE;
    if (!err)
        err = sources_settle_dest(s, dest);
    else
        log_error("SRC and DEST are needed");
    if (!err && !s->dest_is_name) {
        log_error("%s: standard input needs the full name of its object; add a name to DEST", dest);
        err = ERR_USAGE;
    }
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
    int err = d.scheme == DEST_FILE ? buf_add_text(&allow, "file:///")
                                    : buf_addf(&allow, "s3://%.*s/", (int)d.bucket.len, d.bucket.ptr);
    if (!err)
        err = sources_copy(slice_of(dest), &s->dest);
    if (!err)
        err = sources_copy(buf_slice(&allow), &s->allow);
    buf_release(&allow);
    if (err)
        sources_release(s);
    return err;
}

void sources_release(struct sources *s) {
    for (struct source_item *item = s->items; item && item != sources_end(s); item++) {
        free(item->given);
        free(item->path);
        free(item->name);
        free(item->error);
    }
    free(s->items);
    for (char **root = s->roots; root && root != s->roots + s->root_count; root++)
        free(*root);
    free(s->roots);
    free(s->dest);
    free(s->allow);
    memset(s, 0, sizeof *s);
}
