#include "pure/trust.h"
#include "pure/array.h"
#include <stdlib.h>

static const struct {
    const char *name;
    enum trust_role role;
} roles[] = {{"producer", TRUST_PRODUCER},
             {"uploader", TRUST_UPLOADER},
             {"reader", TRUST_READER},
             {"operator", TRUST_OPERATOR},
             {"consumer", TRUST_CONSUMER}};
#define ROLE_COUNT (sizeof roles / sizeof roles[0])

const char *trust_role_name(enum trust_role role) {
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

/* ---- lines and words ---- */

static bool char_is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

struct cursor {
    const char *at, *end;
};

/* False at the end of the text. */
static bool cursor_next_line(struct cursor *text, struct cursor *line) {
    if (text->at == text->end)
        return false;
    const char *newline = memchr(text->at, '\n', (size_t)(text->end - text->at));
    line->at = text->at;
    line->end = newline ? newline : text->end;
    text->at = newline ? newline + 1 : text->end;
    return true;
}

/* The next word; its length is 0 at the end of the line or at a comment. */
static struct slice cursor_next_word(struct cursor *line) {
    while (line->at < line->end && char_is_blank(*line->at))
        line->at++;
    if (line->at < line->end && *line->at == '#')
        line->at = line->end;
    const char *word = line->at;
    while (line->at < line->end && !char_is_blank(*line->at))
        line->at++;
    return slice_make(word, (size_t)(line->at - word));
}

static bool cursor_has_control(const struct cursor *line) {
    for (const char *c = line->at; c < line->end; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t' && *c != '\r') || *c == 0x7f)
            return true;
    return false;
}

static bool word_is(struct slice word, const char *text) {
    return slice_equal(word, slice_of(text));
}

/* ---- trust ---- */

unsigned trust_roles_parse(struct slice text, const char **problem) {
    unsigned all = 0;
    while (true) {
        const char *comma = text.len ? memchr(text.ptr, ',', text.len) : NULL;
        struct slice one = slice_make(text.ptr, comma ? (size_t)(comma - text.ptr) : text.len);
        unsigned role = 0;
        for (size_t i = 0; i < ROLE_COUNT; i++)
            if (word_is(one, roles[i].name))
                role = roles[i].role;
        if (!role) {
            *problem = "not a role; write producer, uploader, reader, operator or consumer, several with commas and "
                       "without blanks";
            return 0;
        }
        all |= role;
        if (!comma)
            return all;
        text = slice_make(comma + 1, text.len - one.len - 1);
    }
}

static int text_error_set(struct text_error *e, const char *problem) {
    e->problem = problem;
    return ERR_INVALID;
}

static int trust_parse_endpoint(struct trust_line *l, struct slice word, struct text_error *e) {
    if (word.len == 0)
        return 0;
    if (word.len <= 6 || memcmp(word.ptr, "tcp://", 6) != 0)
        return text_error_set(e, "not an endpoint; write tcp://HOST:PORT, and '#' before a comment");
    if (word.len > TRUST_ENDPOINT_MAX)
        return text_error_set(e, "the endpoint is too long");
    if (!(l->roles & (TRUST_PRODUCER | TRUST_CONSUMER)))
        return text_error_set(e, "only the roles producer and consumer take an endpoint; remove it");
    l->endpoint = slice_dup(word);
    return l->endpoint ? 0 : ERR_NOMEM;
}

/* 1: nothing but a comment. */
static int trust_parse_line(struct trust_line *l, struct cursor line, struct text_error *e) {
    if (cursor_has_control(&line))
        return text_error_set(e, "contains a control character; the file may be damaged");
    struct slice word = cursor_next_word(&line);
    if (word.len == 0)
        return 1;
    if (curve_key_from_text(&l->key, word))
        return text_error_set(e,
                              "does not begin with a key (40 characters, as in the .pub file of 'chunklift keygen')");
    word = cursor_next_word(&line);
    if (word.len == 0)
        return text_error_set(e, "no roles; write producer, uploader, reader, operator or consumer after the key");
    l->roles = trust_roles_parse(word, &e->problem);
    if (!l->roles)
        return ERR_INVALID;
    int err = trust_parse_endpoint(l, cursor_next_word(&line), e);
    if (err)
        return err;
    return cursor_next_word(&line).len == 0 ? 0 : text_error_set(e, "too many words; put '#' before a comment");
}

static int trust_add_line(struct trust *t, size_t *cap, const struct trust_line *l) {
    int err = array_grow(&t->lines, cap, t->line_count, sizeof *t->lines);
    if (err)
        return err;
    t->lines[t->line_count++] = *l;
    return 0;
}

static int key_compare(const void *a, const void *b) {
    return memcmp(a, b, CURVE_TEXT_LEN); /* a key is the first member */
}

static int trust_collect_keys(struct trust *t) {
    t->keys = array_zeroed(t->line_count, sizeof *t->keys);
    if (!t->keys)
        return ERR_NOMEM;
    for (size_t i = 0; i < t->line_count; i++)
        t->keys[i] = (struct trust_key){.key = t->lines[i].key, .roles = t->lines[i].roles};
    qsort(t->keys, t->line_count, sizeof *t->keys, key_compare);
    for (size_t i = 0; i < t->line_count; i++) {
        if (t->key_count && curve_key_equal(&t->keys[t->key_count - 1].key, &t->keys[i].key))
            t->keys[t->key_count - 1].roles |= t->keys[i].roles;
        else
            t->keys[t->key_count++] = t->keys[i];
    }
    return 0;
}

static int parse_lines(struct trust *t, struct slice text, struct text_error *e) {
    struct cursor all = {text.ptr, text.ptr + text.len}, line;
    size_t cap = 0;
    while (cursor_next_line(&all, &line)) {
        struct trust_line l = {.roles = 0};
        e->line++;
        int err = t->line_count < TRUST_LINES_MAX ? trust_parse_line(&l, line, e) : text_error_set(e, "too many lines");
        if (err == 0)
            err = trust_add_line(t, &cap, &l);
        if (err)
            free(l.endpoint);
        if (err < 0)
            return err;
    }
    return 0;
}

int trust_parse(struct trust *t, struct slice text, struct text_error *e) {
    *t = (struct trust){0};
    *e = (struct text_error){0};
    if (text.len == 0)
        return text_error_set(e, "the file is empty");
    if (text.len > TRUST_TEXT_MAX)
        return text_error_set(e, "the file is too large");
    int err = parse_lines(t, text, e);
    if (!err)
        err = trust_collect_keys(t);
    if (err)
        trust_release(t);
    return err;
}

void trust_release(struct trust *t) {
    for (size_t i = 0; i < t->line_count; i++)
        free(t->lines[i].endpoint);
    free(t->lines);
    free(t->keys);
    *t = (struct trust){0};
}

unsigned trust_roles(const struct trust *t, const struct curve_key *key) {
    if (t->key_count == 0)
        return 0;
    const struct trust_key *found = bsearch(key, t->keys, t->key_count, sizeof *t->keys, key_compare);
    return found ? found->roles : 0;
}

/* The lines to use. */
enum fit { FIT_ADDRESS, FIT_HOST, FIT_WITHOUT };

static bool line_fits_address(const struct trust_line *l, enum fit fit, const char *endpoint) {
    if (fit == FIT_WITHOUT || !l->endpoint)
        return fit == FIT_WITHOUT && !l->endpoint;
    if (fit == FIT_ADDRESS)
        return strcmp(l->endpoint, endpoint) == 0;
    const char *port = strrchr(endpoint, ':');
    size_t len = port ? (size_t)(port - endpoint) + 1 : 0;
    return len && strncmp(l->endpoint, endpoint, len) == 0 && !strchr(l->endpoint + len, ':');
}

static bool server_keys_have(const struct trust_server_keys *k, const struct curve_key *key) {
    for (size_t i = 0; i < k->count; i++)
        if (curve_key_equal(&k->keys[i], key))
            return true;
    return false;
}

/* The different keys that fit. count is TRUST_SERVER_KEYS_MAX + 1 when there are too many. */
static size_t server_keys_fit(const struct trust *t, enum trust_role role, enum fit fit, const char *endpoint,
                              struct trust_server_keys *k) {
    *k = (struct trust_server_keys){.count = 0};
    for (size_t i = 0; i < t->line_count && k->count <= TRUST_SERVER_KEYS_MAX; i++) {
        const struct trust_line *l = &t->lines[i];
        if (!(l->roles & role) || !line_fits_address(l, fit, endpoint) || server_keys_have(k, &l->key))
            continue;
        if (k->count < TRUST_SERVER_KEYS_MAX)
            k->keys[k->count] = l->key;
        k->count++;
    }
    return k->count;
}

int trust_server(const struct trust *t, enum trust_role role, const char *endpoint, struct trust_server_keys *k) {
    size_t most = role == TRUST_CONSUMER ? TRUST_SERVER_KEYS_MAX : 1;
    if (server_keys_fit(t, role, FIT_ADDRESS, endpoint, k) == 0)
        most = 1;                                /* a line without an endpoint is for no particular server */
    if (k->count == 0 && role == TRUST_PRODUCER) /* its --jobs and --data have different ports */
        server_keys_fit(t, role, FIT_HOST, endpoint, k);
    if (k->count == 0)
        server_keys_fit(t, role, FIT_WITHOUT, endpoint, k);
    return k->count == 0 ? ERR_NOT_FOUND : k->count > most ? ERR_LIMIT : 0;
}

/* ---- key files ---- */

static int key_pair_parse_line(struct key_pair *k, struct cursor line, struct text_error *e) {
    if (cursor_has_control(&line))
        return text_error_set(e, "contains a control character; the file may be damaged");
    struct slice word = cursor_next_word(&line);
    if (word.len == 0)
        return 0;
    struct curve_key *half = word_is(word, "public") ? &k->public : word_is(word, "secret") ? &k->secret : NULL;
    if (!half)
        return text_error_set(e, "neither 'public' nor 'secret'; is it a file of 'chunklift keygen'?");
    if (curve_key_is_set(half))
        return text_error_set(e, "there is one already");
    if (curve_key_from_text(half, cursor_next_word(&line)))
        return text_error_set(e, "not a key (40 characters)");
    return cursor_next_word(&line).len == 0 ? 0 : text_error_set(e, "too many words");
}

int key_pair_parse(struct key_pair *k, struct slice text, struct text_error *e) {
    struct cursor all = {text.ptr, text.ptr + text.len}, line;
    *k = (struct key_pair){{{0}}, {{0}}};
    *e = (struct text_error){0};
    int err = text.len <= TRUST_TEXT_MAX ? 0 : text_error_set(e, "the file is too large");
    while (!err && cursor_next_line(&all, &line)) {
        e->line++;
        err = key_pair_parse_line(k, line, e);
    }
    if (!err && (!curve_key_is_set(&k->public) || !curve_key_is_set(&k->secret))) {
        e->line = 0;
        err = text_error_set(e, !curve_key_is_set(&k->public) ? "no line 'public KEY'" : "no line 'secret KEY'");
    }
    if (err)
        explicit_bzero(k, sizeof *k);
    return err;
}
