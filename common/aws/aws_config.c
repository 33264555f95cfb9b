#include "aws/aws_config.h"
#include "system/file_io.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_ROOM (64u << 10) /* files are seldom larger */

/* The state of one pass over the lines of a file. */
struct config_reader {
    struct slice rest;
    enum aws_file kind;
    const char *wanted;
    struct aws_profile *profile;
    bool in_section;    /* a section header was read */
    bool in_wanted;     /* the section is the wanted one */
    bool has_key;       /* lines indented deeper than `indent` continue the value of a key */
    size_t indent;      /* of the last key or section */
    struct slice block; /* name of that key if its own line has no value; empty otherwise */
    char **continued;   /* the value that continuation lines are appended to; NULL: they are ignored */
    unsigned line, bad_line, long_lines;
};

static const struct {
    const char *name;
    enum aws_key key;
} known_keys[] = {
    {"aws_access_key_id", AWS_ACCESS_KEY},
    {"aws_secret_access_key", AWS_SECRET_KEY},
    {"aws_session_token", AWS_SESSION_TOKEN},
    {"aws_security_token", AWS_SECURITY_TOKEN},
    {"region", AWS_PROFILE_REGION},
    {"credential_process", AWS_CREDENTIAL_PROCESS},
    {"role_arn", AWS_ROLE_ARN},
    {"role_session_name", AWS_ROLE_SESSION_NAME},
    {"source_profile", AWS_SOURCE_PROFILE},
    {"credential_source", AWS_CREDENTIAL_SOURCE},
    {"external_id", AWS_EXTERNAL_ID},
    {"duration_seconds", AWS_DURATION_SECONDS},
    {"mfa_serial", AWS_MFA_SERIAL},
    {"sts_regional_endpoints", AWS_STS_REGIONAL_ENDPOINTS},
    {"web_identity_token_file", AWS_WEB_IDENTITY},
    {"sso_session", AWS_SSO_SESSION},
    {"sso_start_url", AWS_SSO_START_URL},
    {"sso_region", AWS_SSO_REGION},
    {"sso_account_id", AWS_SSO_ACCOUNT_ID},
    {"sso_role_name", AWS_SSO_ROLE_NAME},
    {"login_session", AWS_LOGIN_SESSION},
    {"ca_bundle", AWS_CA_FILE},
    {"request_checksum_calculation", AWS_CHECKSUM_CALCULATION},
    {"endpoint_url", AWS_ENDPOINT_URL},
    {"ignore_configured_endpoint_urls", AWS_IGNORE_ENDPOINT_URLS},
    {"services", AWS_SERVICES},
};

static const struct {
    const char *block, *name;
    enum aws_key key;
} known_block_keys[] = {
    {"s3", "addressing_style", AWS_ADDRESSING_STYLE},        {"s3", "endpoint_url", AWS_S3_ENDPOINT_URL},
    {"sts", "endpoint_url", AWS_STS_ENDPOINT_URL},           {"sso", "endpoint_url", AWS_SSO_ENDPOINT_URL},
    {"sso_oidc", "endpoint_url", AWS_SSO_OIDC_ENDPOINT_URL},
};

static bool char_is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice slice_trim(struct slice s) {
    while (s.len && char_is_space(*s.ptr))
        s = slice_make(s.ptr + 1, s.len - 1);
    while (s.len && char_is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool name_equals(struct slice name, const char *known) {
    return name.len == strlen(known) && strncasecmp(name.ptr, known, name.len) == 0;
}

static bool slice_has_space(struct slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (char_is_space(s.ptr[i]))
            return true;
    return false;
}

/* The NAME of "WORD NAME" or "WORD 'NAME'"; empty when section is not of this form. */
static struct slice section_name(struct slice section, const char *word) {
    const struct slice none = {NULL, 0};
    size_t len = strlen(word);
    if (section.len <= len || memcmp(section.ptr, word, len) != 0 || !char_is_space(section.ptr[len]))
        return none;
    struct slice name = slice_trim(slice_make(section.ptr + len, section.len - len));
    if (name.len >= 2 && (*name.ptr == '"' || *name.ptr == '\'') && name.ptr[name.len - 1] == *name.ptr)
        return slice_make(name.ptr + 1, name.len - 2);
    return slice_has_space(name) ? none : name;
}

static bool section_is_wanted(const struct config_reader *r, struct slice section) {
    struct slice wanted = slice_of(r->wanted);
    if (r->kind == AWS_FILE_CREDENTIALS)
        return slice_equal(section, wanted);
    if (r->kind == AWS_FILE_SERVICES)
        return slice_equal(section_name(section, "services"), wanted);
    if (r->kind == AWS_FILE_SSO_SESSIONS)
        return slice_equal(section_name(section, "sso-session"), wanted);
    if (slice_equal(section, slice_of("default")))
        return slice_equal(section, wanted);
    return slice_equal(section_name(section, "profile"), wanted);
}

static int profile_set_value(struct config_reader *r, enum aws_key key, struct slice text) {
    char **value = &r->profile->value[key];
    if (*value || text.len == 0)
        return 0; /* the first value counts */
    if (!(*value = slice_dup(text)))
        return ERR_NOMEM;
    r->continued = key == AWS_CREDENTIAL_PROCESS ? value : NULL;
    return 0;
}

/* Appends a continuation line: a command may have several lines. */
static int value_append_line(char **value, struct slice more) {
    char *joined;
    if (asprintf(&joined, "%s %.*s", *value, (int)more.len, more.ptr) == -1)
        return ERR_NOMEM;
    free(*value);
    *value = joined;
    return 0;
}

static int config_take_continuation(struct config_reader *r, struct slice text) {
    const char *equals = memchr(text.ptr, '=', text.len);
    if (!r->in_wanted)
        return 0;
    if (r->continued)
        return strlen(*r->continued) + text.len < AWS_LINE_MAX ? value_append_line(r->continued, text) : ERR_LIMIT;
    if (r->block.len == 0 || !equals)
        return 0;
    size_t len = (size_t)(equals - text.ptr);
    struct slice name = slice_trim(slice_make(text.ptr, len)), value = slice_make(equals + 1, text.len - len - 1);
    for (size_t i = 0; i < sizeof known_block_keys / sizeof *known_block_keys; i++)
        if (name_equals(r->block, known_block_keys[i].block) && name_equals(name, known_block_keys[i].name))
            return profile_set_value(r, known_block_keys[i].key, slice_trim(value));
    return 0;
}

static bool config_take_section(struct config_reader *r, struct slice text) {
    const char *close = memrchr(text.ptr, ']', text.len);
    if (*text.ptr != '[' || !close || close == text.ptr + 1)
        return false;
    struct slice name = slice_trim(slice_make(text.ptr + 1, (size_t)(close - text.ptr) - 1));
    r->in_section = true;
    r->in_wanted = section_is_wanted(r, name);
    r->profile->found |= r->in_wanted;
    return true;
}

static int config_take_key(struct config_reader *r, struct slice text) {
    size_t len = 0;
    while (len < text.len && text.ptr[len] != '=' && text.ptr[len] != ':')
        len++;
    if (len == 0 || len == text.len || !r->in_section) {
        r->bad_line = r->bad_line ? r->bad_line : r->line;
        return 0;
    }
    struct slice name = slice_trim(slice_make(text.ptr, len));
    struct slice value = slice_trim(slice_make(text.ptr + len + 1, text.len - len - 1));
    r->has_key = true;
    if (value.len == 0)
        r->block = name;
    for (size_t i = 0; r->in_wanted && i < sizeof known_keys / sizeof *known_keys; i++)
        if (name_equals(name, known_keys[i].name))
            return profile_set_value(r, known_keys[i].key, value);
    return 0;
}

static int config_take_line(struct config_reader *r, struct slice line) {
    struct slice text = slice_trim(line);
    if (text.len == 0 || *text.ptr == '#' || *text.ptr == ';')
        return 0;
    size_t indent = (size_t)(text.ptr - line.ptr);
    if (r->has_key && indent > r->indent)
        return config_take_continuation(r, text);
    r->indent = indent;
    r->has_key = false;
    r->continued = NULL;
    r->block = (struct slice){NULL, 0};
    return config_take_section(r, text) ? 0 : config_take_key(r, text);
}

/* Ignores lines that are too long or contain a NUL. */
static int config_take_lines(struct config_reader *r) {
    int err = 0;
    while (!err && r->rest.len) {
        const char *eol = memchr(r->rest.ptr, '\n', r->rest.len);
        size_t len = eol ? (size_t)(eol - r->rest.ptr) : r->rest.len, used = len + (eol ? 1 : 0);
        struct slice line = slice_make(r->rest.ptr, len);
        r->rest = slice_make(r->rest.ptr + used, r->rest.len - used);
        r->line++;
        if (len >= AWS_LINE_MAX || memchr(line.ptr, 0, len))
            r->long_lines++;
        else
            err = config_take_line(r, line);
    }
    return err;
}

int aws_profile_parse(struct aws_profile *p, struct slice text, enum aws_file kind, const char *profile,
                      const char *name) {
    *p = (struct aws_profile){.found = false};
    if (text.len > AWS_FILE_MAX)
        return ERR_LIMIT;
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        text = slice_make(text.ptr + 3, text.len - 3);
    struct config_reader r = {.rest = text, .kind = kind, .wanted = profile, .profile = p};
    int err = config_take_lines(&r);
    if (err) {
        aws_profile_release(p);
        return err;
    }
    static bool logged[AWS_FILE_SERVICES];
    if (kind >= AWS_FILE_SERVICES || logged[kind]) /* logged once: the file is read repeatedly */
        return 0;
    logged[kind] = r.bad_line || r.long_lines;
    if (r.bad_line)
        log_warn("%s: line %u is neither a section nor KEY = VALUE; ignored", name, r.bad_line);
    if (r.long_lines)
        log_warn("%s: a line is longer than %u bytes or contains a NUL; ignored", name, AWS_LINE_MAX);
    return 0;
}

int aws_profile_read(struct aws_profile *p, const char *path, enum aws_file kind, const char *profile) {
    *p = (struct aws_profile){.found = false};
    struct buf text = BUF_INIT;
    int err = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a fifo must not block */
    if (fd == -1) {
        if (errno == ENOENT || errno == ENOTDIR)
            return ERR_NOT_FOUND;
        static bool logged[AWS_FILE_SSO_SESSIONS + 1];
        err = errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_IO;
        if (!logged[kind])
            log_warn("%s: cannot be opened: %s", path, strerror(errno));
        logged[kind] = true;
        return err;
    }
    err = buf_reserve(&text, FILE_ROOM); /* a growing buffer would leave copies of secrets in freed memory */
    if (!err)
        err = file_read_all(fd, &text, AWS_FILE_MAX);
    if (err && err != ERR_LIMIT && err != ERR_NOMEM)
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
    bool credentials = kind == AWS_FILE_CREDENTIALS;
    const char *named = getenv(credentials ? "AWS_SHARED_CREDENTIALS_FILE" : "AWS_CONFIG_FILE");
    const char *home = getenv("HOME"), *leaf = credentials ? "credentials" : "config";
    if (named && *named && !(named[0] == '~' && named[1] == '/'))
        return buf_add_text(path, named);
    if (!home || !*home)
        home = "/";
    if (named && *named)
        return buf_addf(path, "%s%s", home, named + 1);
    return buf_addf(path, "%s/.aws/%s", home, leaf);
}

int aws_file_read(struct aws_profile *p, enum aws_file kind, const char *profile) {
    struct buf path = BUF_INIT;
    *p = (struct aws_profile){.found = false};
    int err = aws_file_path(kind, &path);
    if (!err)
        err = aws_profile_read(p, path.data, kind, profile);
    buf_release(&path);
    return err == ERR_NOMEM ? err : 0;
}

const char *aws_profiles_value(const struct aws_profile *config, const struct aws_profile *credentials,
                               enum aws_key key) {
    return credentials->value[key] ? credentials->value[key] : config->value[key];
}
