/* Any bytes as a trust file and as a key file. An accepted file has its invariants: sorted keys with roles, endpoints only
 * where they may stand, and written as plain lines it reads the same. Seeds: corpus/trust. */
#include "pure/check.h"
#include "pure/trust.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define ALL (TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER | TRUST_CONSUMER | TRUST_OPERATOR)

static void check_key(const struct curve_key *key) {
    struct curve_key again;
    CHECK(strlen(key->text) == CURVE_TEXT_LEN);
    CHECK(curve_key_from_text(&again, slice_of(key->text)) == 0 && curve_key_equal(key, &again));
}

static void check_taken(const struct trust *t) {
    CHECK(t->key_count <= t->line_count && t->line_count <= TRUST_LINES_MAX);
    for (size_t i = 0; i < t->line_count; i++) {
        const struct trust_line *l = &t->lines[i];
        check_key(&l->key);
        CHECK(l->roles && !(l->roles & ~(unsigned)ALL));
        CHECK((trust_roles(t, &l->key) & l->roles) == l->roles);
        CHECK(!l->endpoint ||
              (strncmp(l->endpoint, "tcp://", 6) == 0 && (l->roles & (TRUST_PRODUCER | TRUST_CONSUMER))));
    }
    for (size_t i = 1; i < t->key_count; i++)
        CHECK(strcmp(t->keys[i - 1].key.text, t->keys[i].key.text) < 0);
}

static void write_roles(struct buf *out, unsigned roles) {
    const char *comma = " ";
    for (unsigned role = 1; role <= ALL; role <<= 1)
        if (roles & role) {
            CHECK(buf_addf(out, "%s%s", comma, trust_role_name(role)) == 0);
            comma = ",";
        }
}

static void check_same_again(const struct trust *t) {
    struct buf text = BUF_INIT;
    struct trust again;
    struct text_error e;
    CHECK(buf_add_text(&text, "# again\n") == 0);
    for (size_t i = 0; i < t->line_count; i++) {
        CHECK(buf_add_text(&text, t->lines[i].key.text) == 0);
        write_roles(&text, t->lines[i].roles);
        CHECK(buf_addf(&text, " %s # line\n", t->lines[i].endpoint ? t->lines[i].endpoint : "") == 0);
    }
    if (text.len <= TRUST_TEXT_MAX) {
        CHECK(trust_parse(&again, buf_slice(&text), &e) == 0);
        CHECK(again.line_count == t->line_count && again.key_count == t->key_count);
        for (size_t i = 0; i < t->key_count; i++)
            CHECK(curve_key_equal(&t->keys[i].key, &again.keys[i].key) && t->keys[i].roles == again.keys[i].roles);
        trust_release(&again);
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct trust t;
    struct key_pair pair;
    struct text_error e;
    struct slice text = slice_make(bytes, size);
    if (trust_parse(&t, text, &e)) {
        CHECK(e.problem && t.line_count == 0 && t.key_count == 0 && !t.lines && !t.keys);
    } else {
        check_taken(&t);
        check_same_again(&t);
        trust_release(&t);
    }
    if (key_pair_parse(&pair, text, &e)) {
        CHECK(e.problem && !curve_key_is_set(&pair.secret));
    } else {
        check_key(&pair.public);
        check_key(&pair.secret);
    }
    return 0;
}
