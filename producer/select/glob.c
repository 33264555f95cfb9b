#include "producer/select/glob.h"
#include <string.h>

struct glob_reader {
    const char *at;
    struct buf *out;
    unsigned braces;     /* open { of alternatives */
    const char *problem; /* set: the glob is invalid */
};

static int glob_refuse(struct glob_reader *r, const char *problem) {
    r->problem = problem;
    return ERR_INVALID;
}

/* A backslash and the character after it, unchanged: \* and \d mean the same in both syntaxes. */
static int glob_read_escape(struct glob_reader *r) {
    if (!r->at[1])
        return glob_refuse(r, "a '\\' at its end quotes nothing");
    int err = buf_add(r->out, r->at, 2);
    r->at += 2;
    return err;
}

static int glob_read_stars(struct glob_reader *r) {
    size_t stars = strspn(r->at, "*");
    r->at += stars;
    if (stars > 2)
        return glob_refuse(r, "more than two '*' in a row");
    return buf_add_text(r->out, stars == 2 ? ".*" : "[^/]*");
}

/* [a-z], [^a-z], [[:alpha:]]: the same in both syntaxes. */
static int glob_read_class(struct glob_reader *r) {
    const char *begin = r->at;
    unsigned depth = 0;
    do {
        if (*r->at == '\\' && r->at[1])
            r->at++;
        else if (*r->at == '[')
            depth++;
        else if (*r->at == ']')
            depth--;
        else if (!*r->at)
            return glob_refuse(r, "a '[' without its ']'");
        r->at++;
    } while (depth > 0);
    return buf_add(r->out, begin, (size_t)(r->at - begin));
}

/* {{regexp}}: the expression ends with the last of the braces that end it, so that {{a{2}}} is a{2}. */
static int glob_read_regexp(struct glob_reader *r) {
    const char *begin = r->at + 2, *end = strstr(begin, "}}");
    if (!end)
        return glob_refuse(r, "a '{{' without its '}}'");
    while (end[2] == '}')
        end++;
    int err = buf_add_byte(r->out, '(');
    if (!err)
        err = buf_add(r->out, begin, (size_t)(end - begin));
    r->at = end + 2;
    return err ? err : buf_add_byte(r->out, ')');
}

static int glob_read_brace(struct glob_reader *r) {
    char c = *r->at++;
    if (c == '{')
        r->braces++;
    else if (r->braces == 0)
        return glob_refuse(r, "a '}' without its '{'");
    else
        r->braces--;
    return buf_add_byte(r->out, c == '{' ? '(' : ')');
}

static int glob_read_next(struct glob_reader *r) {
    switch (*r->at) {
    case '\\':
        return glob_read_escape(r);
    case '*':
        return glob_read_stars(r);
    case '?':
        r->at++;
        return buf_add_text(r->out, "[^/]");
    case '[':
        return glob_read_class(r);
    case ']':
        return glob_refuse(r, "a ']' without its '['");
    case '{':
        return r->at[1] == '{' ? glob_read_regexp(r) : glob_read_brace(r);
    case '}':
        return glob_read_brace(r);
    case ',':
        r->at++;
        return buf_add_byte(r->out, r->braces > 0 ? '|' : ',');
    default:
        if (strchr(".+()|^$", *r->at)) {
            int err = buf_add_byte(r->out, '\\');
            if (err)
                return err;
        }
        return buf_add_byte(r->out, *r->at++);
    }
}

int glob_to_regexp(const char *glob, bool ignore_case, struct buf *out, const char **problem) {
    struct glob_reader r = {.at = glob, .out = out};
    bool anchored = glob[0] == '/';
    r.at += anchored;
    int err = buf_add_text(out, ignore_case ? "(?i)" : "");
    if (!err)
        err = buf_add_text(out, anchored ? "^" : "(^|/)");
    while (!err && *r.at)
        err = glob_read_next(&r);
    if (!err && r.braces > 0)
        err = glob_refuse(&r, "a '{' without its '}'");
    if (!err)
        err = buf_add_byte(out, '$');
    *problem = r.problem;
    return err;
}

/* ---- directories ---- */

static bool glob_part_crosses(const char *part, size_t len) {
    return memchr(part, '/', len) || memmem(part, len, "**", 2);
}

/* Not split: regular expressions, nested braces, and braces or classes that contain "**" or '/'. As in rclone, a
 * backslash before a brace makes no difference here. */
static bool glob_is_too_hard(const char *glob) {
    if (strstr(glob, "{{") || strstr(glob, "}}"))
        return true;
    for (const char *at = glob; *at; at++) {
        size_t braced = *at == '{' ? strcspn(at + 1, "{}") : 0;
        if (*at == '{' && (at[1 + braced] == '{' || (at[1 + braced] == '}' && glob_part_crosses(at + 1, braced))))
            return true;
        if (*at == '[' && (at == glob || at[-1] != '\\') && glob_part_crosses(at + 1, strcspn(at + 1, "]")))
            return true;
    }
    return false;
}

static int glob_add_one_slash(const char *glob, struct buf *out) {
    int err = buf_add_text(out, ""); /* data is never NULL */
    for (const char *at = glob; !err && *at; at++)
        if (at[0] != '/' || at[1] != '/')
            err = buf_add_byte(out, *at);
    return err;
}

/* Cuts text at its last '/' or "**", the later one, and drops it. false: there is neither. */
static bool glob_cut_last(struct buf *text, bool *in_stars) {
    for (size_t i = text->len; i > 0; i--) {
        *in_stars = i > 1 && text->data[i - 1] == '*' && text->data[i - 2] == '*';
        if (text->data[i - 1] != '/' && !*in_stars)
            continue;
        text->len = *in_stars ? i - 2 : i - 1;
        text->data[text->len] = '\0';
        return true;
    }
    return false;
}

int glob_each_directory(const char *glob, int (*add)(void *arg, const char *directories), void *arg) {
    if (glob_is_too_hard(glob))
        return add(arg, "/**");
    struct buf rest = BUF_INIT, next = BUF_INIT, last = BUF_INIT;
    bool in_stars;
    int err = glob_add_one_slash(glob, &rest);
    while (!err && glob_cut_last(&rest, &in_stars)) {
        buf_clear(&next);
        err = buf_addf(&next, "%s%s/", rest.data, in_stars ? "**" : "");
        if (err || slice_equal(buf_slice(&next), buf_slice(&last)))
            continue;
        if (strcmp(next.data, "/") != 0)
            err = add(arg, next.data);
        buf_clear(&last);
        if (!err)
            err = buf_add_slice(&last, buf_slice(&next));
    }
    if (!err && last.len == 0)
        err = add(arg, "/**");
    buf_release(&rest);
    buf_release(&next);
    buf_release(&last);
    return err;
}
