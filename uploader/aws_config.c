/*
 * libinih does the reading. It keeps 49 bytes of a section's name, so the names are taken from the lines as they pass
 * (next_line) and its own is only used to tell whether the two agree.
 */
#include "uploader/aws_config.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_MAX 512

struct ini_source {
    struct slice rest;
    enum aws_file kind;
    const char *wanted;
    struct aws_profile *profile;
    char section[SECTION_MAX];
    bool in_wanted; /* the section under way is the wanted one */
    bool long_line;
    int err;
};

static const struct {
    const char *name;
    enum aws_key key;
} known_keys[] = {
    {"aws_access_key_id", AWS_ACCESS_KEY},
    {"aws_secret_access_key", AWS_SECRET_KEY},
    {"aws_session_token", AWS_SESSION_TOKEN},
    {"aws_security_token", AWS_SESSION_TOKEN},
    {"region", AWS_PROFILE_REGION},
    {"credential_process", AWS_CREDENTIAL_PROCESS},
    {"role_arn", AWS_ROLE_ARN},
    {"web_identity_token_file", AWS_WEB_IDENTITY},
    {"sso_session", AWS_SSO_SESSION},
    {"sso_start_url", AWS_SSO_START_URL},
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice trim(struct slice s) {
    while (s.len && is_space(*s.ptr))
        s = slice_make(s.ptr + 1, s.len - 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static struct slice unquote(struct slice s) {
    if (s.len >= 2 && (*s.ptr == '"' || *s.ptr == '\'') && s.ptr[s.len - 1] == *s.ptr)
        return slice_make(s.ptr + 1, s.len - 2);
    return s;
}

/* Which profile a section is about; in ~/.aws/config all but [default] carry the word "profile". */
static struct slice profile_of(struct slice section, enum aws_file kind) {
    static const char word[] = "profile";
    size_t len = sizeof word - 1;
    section = trim(section);
    if (kind == AWS_FILE_CREDENTIALS)
        return section;
    if (section.len > len && memcmp(section.ptr, word, len) == 0 && is_space(section.ptr[len]))
        return unquote(trim(slice_make(section.ptr + len, section.len - len)));
    return slice_equal(section, slice_of("default")) ? section : (struct slice){NULL, 0};
}

static void enter_section(struct ini_source *s, struct slice line) {
    const char *close = memchr(line.ptr, ']', line.len);
    struct slice name = slice_make(line.ptr + 1, close ? (size_t)(close - line.ptr) - 1 : 0);
    s->in_wanted = close && name.len && slice_equal(profile_of(name, s->kind), slice_of(s->wanted));
    if (s->in_wanted)
        s->profile->found = true;
}

/* fgets for libinih. A line that is too long or holds a NUL is left out as a whole. */
static char *next_line(char *out, int size, void *arg) {
    struct ini_source *s = arg;
    while (s->rest.len) {
        const char *eol = memchr(s->rest.ptr, '\n', s->rest.len);
        size_t len = eol ? (size_t)(eol - s->rest.ptr) + 1 : s->rest.len;
        struct slice line = slice_make(s->rest.ptr, len);
        s->rest = slice_make(s->rest.ptr + len, s->rest.len - len);
        if (len + 1 > (size_t)size || memchr(line.ptr, 0, len)) {
            s->long_line = true;
            continue;
        }
        if (*line.ptr == '[')
            enter_section(s, line);
        memcpy(out, line.ptr, len);
        out[len] = 0;
        return out;
    }
    return NULL;
}

static int keep(struct ini_source *s, enum aws_key key, const char *value) {
    char **place = &s->profile->value[key];
    if (*place || !*value)
        return 1; /* the first one counts: what follows under the same name is a continuation */
    if (!(*place = strdup(value)))
        s->err = ERR_NOMEM;
    return *place != NULL;
}

/* "addressing_style = path", a line beneath `s3 =`. */
static int keep_s3_line(struct ini_source *s, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals || !slice_equal(trim(slice_make(value, (size_t)(equals - value))), slice_of("addressing_style")))
        return 1;
    char *style = slice_dup(trim(slice_of(equals + 1)));
    if (!style) {
        s->err = ERR_NOMEM;
        return 0;
    }
    int kept = keep(s, AWS_ADDRESSING_STYLE, style);
    free(style);
    return kept;
}

static int take_pair(void *arg, const char *section, const char *name, const char *value) {
    struct ini_source *s = arg;
    (void)section;
    if (!s->in_wanted || !name || !value)
        return 1;
    if (strcmp(name, "s3") == 0)
        return keep_s3_line(s, value);
    for (size_t i = 0; i < sizeof known_keys / sizeof *known_keys; i++)
        if (strcmp(name, known_keys[i].name) == 0)
            return keep(s, known_keys[i].key, value);
    return 1;
}

int aws_profile_parse(struct aws_profile *p, struct slice text, enum aws_file kind, const char *profile,
                      const char *name) {
    *p = (struct aws_profile){.found = false};
    if (text.len > AWS_FILE_MAX)
        return ERR_LIMIT;
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        text = slice_make(text.ptr + 3, text.len - 3);
    struct ini_source s = {.rest = text, .kind = kind, .wanted = profile, .profile = p};
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = AWS_LINE_MAX;
    ini_allow_inline_comments = false;
    ini_allow_multiline = true;
    int line = ini_parse_stream(next_line, &s, take_pair, &s);
    if (line == -2 && !s.err)
        s.err = ERR_NOMEM;
    if (s.err) {
        aws_profile_release(p);
        return s.err;
    }
    if (line > 0)
        log_warn("%s: line %d is neither a section nor KEY = VALUE; left out", name, line);
    if (s.long_line)
        log_warn("%s: a line is longer than %u bytes or holds a NUL; left out", name, AWS_LINE_MAX);
    return 0;
}

static int read_whole(int fd, struct buf *text) {
    for (;;) {
        if (text->len > AWS_FILE_MAX)
            return ERR_LIMIT;
        if (buf_reserve(text, 65536))
            return ERR_NOMEM;
        ssize_t n = read(fd, text->data + text->len, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return 0;
        text->len += (size_t)n;
    }
}

int aws_profile_read(struct aws_profile *p, const char *path, enum aws_file kind, const char *profile) {
    *p = (struct aws_profile){.found = false};
    struct buf text = BUF_INIT;
    int err = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a fifo must not block */
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return ERR_NOT_FOUND;
        err = errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_IO;
        log_warn("%s: cannot be opened: %s", path, strerror(errno));
        return err;
    }
    err = read_whole(fd, &text);
    if (err == ERR_IO)
        log_warn("%s: cannot be read: %s", path, strerror(errno));
    if (!err)
        err = aws_profile_parse(p, buf_slice(&text), kind, profile, path);
    close(fd);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_release(&text);
    return err;
}

void aws_profile_release(struct aws_profile *p) {
    for (int i = 0; i < AWS_KEYS; i++) {
        if (p->value[i])
            explicit_bzero(p->value[i], strlen(p->value[i]));
        free(p->value[i]);
        p->value[i] = NULL;
    }
}

int aws_file_path(enum aws_file kind, struct buf *path) {
    const char *named = getenv(kind == AWS_FILE_CONFIG ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE");
    const char *home = getenv("HOME"), *leaf = kind == AWS_FILE_CONFIG ? "config" : "credentials";
    if (named && *named && !(named[0] == '~' && named[1] == '/'))
        return buf_add_text(path, named);
    if (!home || !*home)
        home = "/";
    if (named && *named)
        return buf_addf(path, "%s%s", home, named + 1);
    return buf_addf(path, "%s/.aws/%s", home, leaf);
}
