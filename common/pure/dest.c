/*
 * Destinations as text. The rules for bucket names are those of S3-compatible stores, not only of Amazon: 3 to 255 of
 * A-Z a-z 0-9 . _ - with a letter or digit first. (Old buckets of Amazon and Ceph have capitals, underscores and long
 * names.) The store makes the final decision.
 */
#include "pure/dest.h"
#include "pure/ascii.h"

#define FILE_PREFIX "file://"
#define S3_PREFIX "s3://"
#define FILE_PREFIX_LEN (sizeof FILE_PREFIX - 1)
#define S3_PREFIX_LEN (sizeof S3_PREFIX - 1)

static bool char_is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

static bool slice_starts_with(struct slice text, const char *prefix, size_t len) {
    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

static struct slice slice_without(struct slice text, size_t len) {
    return slice_make(text.ptr + len, text.len - len);
}

/* RFC 3986 scheme followed by "://": its length with those; 0 for none. */
static size_t url_scheme_length(struct slice url) {
    size_t at = 0;
    while (at < url.len && (ascii_is_alnum(url.ptr[at]) || (at && char_is_one_of(url.ptr[at], "+-."))))
        at++;
    bool letter_first = at > 0 && !(url.ptr[0] >= '0' && url.ptr[0] <= '9');
    return letter_first && slice_starts_with(slice_without(url, at), "://", 3) ? at + 3 : 0;
}

bool dest_bucket_is_valid(struct slice bucket) {
    if (bucket.len < S3_BUCKET_MIN || bucket.len > S3_BUCKET_MAX || !ascii_is_alnum(bucket.ptr[0]))
        return false;
    for (size_t i = 0; i < bucket.len; i++)
        if (!ascii_is_alnum(bucket.ptr[i]) && !char_is_one_of(bucket.ptr[i], "._-"))
            return false;
    return true;
}

int dest_parse(struct slice url, struct dest *d) {
    if (slice_starts_with(url, FILE_PREFIX, FILE_PREFIX_LEN)) {
        struct slice path = slice_without(url, FILE_PREFIX_LEN);
        if (path.len == 0 || path.ptr[0] != '/' || memchr(path.ptr, '\0', path.len))
            return ERR_INVALID;
        *d = (struct dest){.scheme = DEST_FILE, .key = path};
        return 0;
    }
    if (slice_starts_with(url, S3_PREFIX, S3_PREFIX_LEN)) {
        struct slice rest = slice_without(url, S3_PREFIX_LEN);
        const char *slash = memchr(rest.ptr, '/', rest.len);
        struct slice bucket = slash ? slice_make(rest.ptr, (size_t)(slash - rest.ptr)) : rest;
        if (!dest_bucket_is_valid(bucket))
            return ERR_INVALID;
        *d = (struct dest){
            .scheme = DEST_S3, .bucket = bucket, .key = slice_without(rest, bucket.len + (slash ? 1 : 0))};
        return 0;
    }
    return url_scheme_length(url) ? ERR_USAGE : ERR_INVALID;
}

/* The next component of path from *at on, without slashes; false at the end. */
static bool path_next_component(struct slice path, size_t *at, struct slice *component) {
    while (*at < path.len && path.ptr[*at] == '/')
        (*at)++;
    size_t start = *at;
    while (*at < path.len && path.ptr[*at] != '/')
        (*at)++;
    *component = slice_make(path.ptr + start, *at - start);
    return component->len > 0;
}

/* Appends the components of path to url. The first `root` bytes of url are the scheme. "." is dropped, ".." removes
 * one component. */
static int url_add_path(struct buf *url, size_t root, struct slice path) {
    struct slice component;
    int err = 0;
    for (size_t at = 0; !err && path_next_component(path, &at, &component);) {
        if (slice_equal(component, slice_of(".")))
            continue;
        if (slice_equal(component, slice_of(".."))) {
            while (url->len > root && url->data[--url->len] != '/')
                continue;
            url->data[url->len] = '\0';
            continue;
        }
        err = buf_add_byte(url, '/');
        if (!err)
            err = buf_add_slice(url, component);
    }
    return err;
}

/* "dir/", "dir/." and "dir/.." name directories; their URL ends with a slash. */
static bool path_names_directory(struct slice path) {
    size_t last = path.len;
    while (last > 0 && path.ptr[last - 1] != '/')
        last--;
    struct slice name = slice_without(path, last);
    return name.len == 0 || slice_equal(name, slice_of(".")) || slice_equal(name, slice_of(".."));
}

static int url_add_file(struct slice path, struct slice cwd, struct buf *url) {
    if (path.ptr[0] != '/' && (cwd.len == 0 || cwd.ptr[0] != '/'))
        return ERR_INVALID;
    int err = buf_add_text(url, FILE_PREFIX);
    if (!err && path.ptr[0] != '/')
        err = url_add_path(url, FILE_PREFIX_LEN, cwd);
    if (!err)
        err = url_add_path(url, FILE_PREFIX_LEN, path);
    if (!err && (path_names_directory(path) || url->len == FILE_PREFIX_LEN))
        err = buf_add_byte(url, '/');
    return err;
}

/* Replaces url with made; after an error url is unchanged. */
static int buf_replace(struct buf *made, struct buf *url, int err) {
    if (err) {
        buf_release(made);
        return err;
    }
    buf_release(url);
    *url = *made;
    return 0;
}

int dest_from_argument(const char *argument, const char *cwd, struct buf *url) {
    struct buf made = BUF_INIT;
    struct slice text = slice_of(argument);
    struct dest d;
    if (text.len == 0)
        return ERR_USAGE;
    if (url_scheme_length(text) == 0 && dest_names_a_scheme(argument))
        return ERR_USAGE;
    if (url_scheme_length(text) == 0)
        return buf_replace(&made, url, url_add_file(text, slice_of(cwd), &made));
    int err = dest_parse(text, &d);
    if (!err)
        err = buf_add_slice(&made, text);
    if (!err && d.scheme == DEST_S3 && text.len == S3_PREFIX_LEN + d.bucket.len)
        err = buf_add_byte(&made, '/');
    return buf_replace(&made, url, err);
}

int dest_join(struct buf *url, struct slice prefix, struct slice name) {
    struct buf made = BUF_INIT;
    size_t root = url_scheme_length(prefix);
    while (prefix.len > root && prefix.ptr[prefix.len - 1] == '/')
        prefix.len--;
    while (name.len > 0 && name.ptr[0] == '/')
        name = slice_without(name, 1);
    int err = buf_add_slice(&made, prefix);
    if (!err)
        err = buf_add_byte(&made, '/');
    if (!err)
        err = buf_add_slice(&made, name);
    return buf_replace(&made, url, err);
}

static bool path_has_parent(struct slice path) {
    struct slice component;
    for (size_t at = 0; path_next_component(path, &at, &component);)
        if (slice_equal(component, slice_of("..")))
            return true;
    return false;
}

bool dest_is_under(struct slice url, struct slice allowed) {
    struct dest u, a;
    if (dest_parse(url, &u) || dest_parse(allowed, &a) || u.scheme != a.scheme || !slice_equal(u.bucket, a.bucket))
        return false;
    if (u.scheme == DEST_FILE && path_has_parent(u.key)) /* ".." leads out of the allowed directory */
        return false;
    while (a.key.len > 0 && a.key.ptr[a.key.len - 1] == '/')
        a.key.len--;
    if (a.key.len == 0)
        return true;
    return slice_starts_with(u.key, a.key.ptr, a.key.len) && (u.key.len == a.key.len || u.key.ptr[a.key.len] == '/');
}
