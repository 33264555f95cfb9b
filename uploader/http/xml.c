#include "uploader/http/xml.h"
#include "pure/text.h"
#include <expat.h>
#include <string.h>
#include <sys/param.h>

#define DEPTH_MAX 12
#define PATH_MAX_BYTES 256
#define TEXT_MAX 8192 /* bytes in one element; an escaped key has at most 3072 */
#define DOCUMENT_MAX (1 << 20)

struct xml_reader {
    const char *root; /* the expected root element */
    xml_element_handler *on_element;
    void *arg;
    XML_Parser parser;
    char path[PATH_MAX_BYTES];
    size_t path_len;
    unsigned depth;
    struct buf text;
    int err;
};

static void xml_stop(struct xml_reader *r, int err) {
    if (!r->err)
        r->err = err;
    XML_StopParser(r->parser, XML_FALSE);
}

static const char *xml_local_name(const char *name) {
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static void XMLCALL xml_on_start(void *arg, const XML_Char *name, const XML_Char **attributes) {
    (void)attributes;
    struct xml_reader *r = arg;
    name = xml_local_name(name);
    size_t len = strlen(name), slash = r->depth ? 1 : 0;
    if (r->depth >= DEPTH_MAX || r->path_len + slash + len >= sizeof r->path) {
        xml_stop(r, ERR_LIMIT);
        return;
    }
    if (r->depth == 0 && strcmp(name, r->root) != 0) {
        xml_stop(r, ERR_NOT_FOUND);
        return;
    }
    if (slash)
        r->path[r->path_len++] = '/';
    memcpy(r->path + r->path_len, name, len + 1);
    r->path_len += len;
    r->depth++;
    buf_clear(&r->text);
}

static void XMLCALL xml_on_text(void *arg, const XML_Char *text, int len) {
    struct xml_reader *r = arg;
    if (r->err)
        return;
    if (r->text.len + (size_t)len > TEXT_MAX) {
        xml_stop(r, ERR_LIMIT);
        return;
    }
    int err = buf_add(&r->text, text, (size_t)len);
    if (err)
        xml_stop(r, err);
}

static void XMLCALL xml_on_end(void *arg, const XML_Char *name) {
    (void)name;
    struct xml_reader *r = arg;
    if (r->err)
        return;
    int err = r->on_element(r->arg, r->path, buf_slice(&r->text));
    if (err) {
        xml_stop(r, err);
        return;
    }
    buf_clear(&r->text);
    char *slash = strrchr(r->path, '/');
    r->path_len = slash ? (size_t)(slash - r->path) : 0;
    r->path[r->path_len] = 0;
    r->depth--;
}

static void XMLCALL xml_on_doctype(void *arg, const XML_Char *name, const XML_Char *system, const XML_Char *public,
                                   int internal) {
    (void)name, (void)system, (void)public, (void)internal;
    xml_stop(arg, ERR_INVALID);
}

/* A busy store sends white space first, sometimes before the XML declaration. */
static struct slice xml_skip_leading_space(struct slice s) {
    while (s.len && (*s.ptr == ' ' || *s.ptr == '\n' || *s.ptr == '\r' || *s.ptr == '\t'))
        s = slice_make(s.ptr + 1, s.len - 1);
    return s;
}

int xml_parse(struct slice body, const char *root, xml_element_handler *on_element, void *arg) {
    struct xml_reader r = {.root = root, .on_element = on_element, .arg = arg};
    body = xml_skip_leading_space(body);
    if (body.len == 0)
        return ERR_INVALID;
    if (body.len > DOCUMENT_MAX)
        return ERR_LIMIT;
    if (!(r.parser = XML_ParserCreate(NULL)))
        return ERR_NOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, xml_on_start, xml_on_end);
    XML_SetCharacterDataHandler(r.parser, xml_on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, xml_on_doctype);
    if (XML_Parse(r.parser, body.ptr, (int)body.len, 1) != XML_STATUS_OK && !r.err)
        r.err = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY ? ERR_NOMEM : ERR_INVALID;
    XML_ParserFree(r.parser);
    buf_release(&r.text);
    return r.err;
}

/* --- values --- */

int xml_text_copy(struct slice text, char *out, size_t size) {
    if (text.len >= size)
        return ERR_LIMIT;
    if (text.len && memchr(text.ptr, 0, text.len))
        return ERR_INVALID;
    if (text.len)
        memcpy(out, text.ptr, text.len);
    out[text.len] = 0;
    return 0;
}

void xml_text_copy_cut(struct slice text, char *out, size_t size) {
    size_t len = MIN(text.len, size - 1);
    while (len && len < text.len && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--; /* not within a UTF-8 character */
    if (len)
        memcpy(out, text.ptr, len);
    out[len] = 0;
}

static bool text_begins_with(struct slice text, const char *prefix) {
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.ptr, prefix, len) == 0;
}

/* The character at the start of text: White_Space of Unicode, or one without width. text is UTF-8. */
static bool xml_char_is_blank(struct slice text) {
    static const char *const blanks[] = {" ", "\xc2\xa0", "\xe1\x9a\x80", "\xe3\x80\x80", "\xef\xbb\xbf"};
    unsigned char last = text.len >= 3 ? (unsigned char)text.ptr[2] : 0;
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++)
        if (text_begins_with(text, blanks[i]))
            return true;
    if (text_begins_with(text, "\xe2\x80")) /* U+2000 to 200F, 2028 to 202F */
        return last <= 0x8f || (last >= 0xa8 && last <= 0xaf);
    return text_begins_with(text, "\xe2\x81") && last >= 0x9f && last <= 0xaf; /* U+205F to 206F */
}

/* C0, DEL, C1, U+FFFE and U+FFFF. */
static bool xml_char_is_control(struct slice text) {
    unsigned char c = (unsigned char)*text.ptr, next = text.len > 1 ? (unsigned char)text.ptr[1] : 0;
    return c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0) || text_begins_with(text, "\xef\xbf\xbe") ||
           text_begins_with(text, "\xef\xbf\xbf");
}

bool xml_text_is_plain(struct slice text) {
    bool after_blank = true; /* the start counts as one */
    if (!utf8_is_valid(text))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = slice_make(text.ptr + i, text.len - i);
        if (((unsigned char)*rest.ptr & 0xC0) == 0x80)
            continue; /* within a character */
        bool blank = xml_char_is_blank(rest);
        if (xml_char_is_control(rest) || (blank && after_blank))
            return false;
        after_blank = blank;
    }
    return !after_blank;
}

int xml_escape_add(struct buf *out, struct slice text) {
    int err = 0;
    for (size_t i = 0; !err && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '&')
            err = buf_add_text(out, "&amp;");
        else if (c == '<')
            err = buf_add_text(out, "&lt;");
        else if (c == '>')
            err = buf_add_text(out, "&gt;");
        else if (c < 0x20 && c != '\t')
            err = ERR_INVALID;
        else
            err = buf_add_byte(out, (char)c);
    }
    return err;
}
