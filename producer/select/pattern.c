#include "producer/select/pattern.h"
#include "pure/text.h"
#include <stdio.h>
#include <stdlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct pattern_matcher {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

struct pattern {
    pcre2_code *code;
};

#define COMPILE_FLAGS                                                                                                  \
    (PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE |                    \
     PCRE2_NEVER_BACKSLASH_C)

int pattern_matcher_new(struct pattern_matcher **out) {
    struct pattern_matcher *m = calloc(1, sizeof *m);
    *out = m;
    if (!m)
        return ERR_NOMEM;
    m->data = pcre2_match_data_create(1, NULL); /* the positions are not needed */
    m->limits = pcre2_match_context_create(NULL);
    if (!m->data || !m->limits) {
        pattern_matcher_destroy(out);
        return ERR_NOMEM;
    }
    pcre2_set_match_limit(m->limits, PATTERN_STEPS);
    pcre2_set_heap_limit(m->limits, PATTERN_HEAP_KIB);
    return 0;
}

void pattern_matcher_destroy(struct pattern_matcher **m) {
    if (!*m)
        return;
    pcre2_match_data_free((*m)->data);
    pcre2_match_context_free((*m)->limits);
    free(*m);
    *m = NULL;
}

int pattern_new(struct pattern **out, const char *regexp, char problem[PATTERN_PROBLEM_SIZE]) {
    struct slice text = slice_of(regexp);
    *out = NULL;
    if (!utf8_is_valid(text)) {
        snprintf(problem, PATTERN_PROBLEM_SIZE, "it is not UTF-8");
        return ERR_INVALID;
    }
    struct pattern *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    int error;
    PCRE2_SIZE offset;
    p->code = pcre2_compile((PCRE2_SPTR)text.ptr, text.len, COMPILE_FLAGS, &error, &offset, NULL);
    if (!p->code) {
        free(p);
        PCRE2_UCHAR reason[120];
        if (error == PCRE2_ERROR_NOMEMORY)
            return ERR_NOMEM;
        pcre2_get_error_message(error, reason, sizeof reason);
        snprintf(problem, PATTERN_PROBLEM_SIZE, "%s", (const char *)reason);
        return ERR_INVALID;
    }
    (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without JIT it is interpreted */
    *out = p;
    return 0;
}

void pattern_destroy(struct pattern **p) {
    if (!*p)
        return;
    pcre2_code_free((*p)->code);
    free(*p);
    *p = NULL;
}

int pattern_subject(const char *name, struct buf *scratch, struct slice *subject) {
    struct slice rest = slice_of(name);
    *subject = rest;
    if (utf8_is_valid(rest))
        return 0;
    buf_clear(scratch);
    int err = 0;
    while (!err && rest.len > 0) {
        size_t valid = utf8_valid_prefix(rest);
        err = buf_add(scratch, rest.ptr, valid);
        if (!err && valid < rest.len)
            err = buf_add_text(scratch, "\xef\xbf\xbd");
        size_t used = valid + (valid < rest.len);
        rest = slice_make(rest.ptr + used, rest.len - used);
    }
    *subject = buf_slice(scratch);
    return err;
}

int pattern_match(const struct pattern *p, struct pattern_matcher *m, struct slice subject, bool *matches) {
    PCRE2_SPTR text = (PCRE2_SPTR)subject.ptr;
    int found = pcre2_match(p->code, text, subject.len, 0, PCRE2_NO_UTF_CHECK, m->data, m->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has more memory */
        found = pcre2_match(p->code, text, subject.len, 0, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data, m->limits);
    *matches = found >= 0;
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH)
        return 0;
    return found == PCRE2_ERROR_NOMEMORY ? ERR_NOMEM : ERR_LIMIT;
}
