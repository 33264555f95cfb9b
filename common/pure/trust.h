/*
 * The text of trust files and key files. Nothing here reads a file.
 *
 * A trust file has lines
 *
 *     KEY roles [endpoint] # comment
 *
 * KEY: 40 characters of Z85, at the start of the line. roles: one or more of producer, uploader, reader, operator,
 * consumer, with commas and no blanks. endpoint: tcp://…, for a producer or a consumer: a client of exactly this address
 * expects this key there. A key may have several lines; it has the roles of all of them. A comment begins with white
 * space and '#', because keys have that character too, or at the start of a line, where no key has it (its first five
 * characters would be more than 32 bits).
 *
 * A key file has two lines besides comments and empty ones:
 *
 *     public KEY
 *     secret KEY
 */
#ifndef CHUNKLIFT_TRUST_H
#define CHUNKLIFT_TRUST_H

#include "pure/z85.h"

enum trust_role { TRUST_PRODUCER = 1, TRUST_UPLOADER = 2, TRUST_READER = 4, TRUST_CONSUMER = 8, TRUST_OPERATOR = 16 };

#define TRUST_TEXT_MAX ((size_t)1 << 20)
#define TRUST_LINES_MAX 16384u
#define TRUST_ENDPOINT_MAX 255

struct trust_line {
    struct curve_key key;
    unsigned roles;
    char *endpoint; /* NULL: none */
};
struct trust_key {
    struct curve_key key;
    unsigned roles; /* of all its lines */
};
struct trust {
    struct trust_line *lines;
    struct trust_key *keys; /* sorted, each once */
    size_t line_count, key_count;
};

struct text_error {
    size_t line; /* from 1; 0: the whole text */
    const char *problem;
};

/* ERR_INVALID: *e has the line and the problem. ERR_NOMEM. After an error *t is empty. */
int trust_parse(struct trust *t, struct slice text, struct text_error *e) MUST_CHECK;
void trust_release(struct trust *t);

/* The roles of a key; 0: it has no line. */
unsigned trust_roles(const struct trust *t, const struct curve_key *key);

/* The keys to expect of a server: those of the lines with this role and endpoint; without one, for a producer, those of
 * the lines with its host and another port; without one, those of the lines of the role without an endpoint. One key, or
 * two when a consumer's endpoint has two lines: its key is being replaced, and either is in use. ERR_NOT_FOUND: none.
 * ERR_LIMIT: too many keys fit. */
#define TRUST_SERVER_KEYS_MAX 2
struct trust_server_keys {
    struct curve_key keys[TRUST_SERVER_KEYS_MAX]; /* in the order of the file */
    size_t count;
};
int trust_server(const struct trust *t, enum trust_role role, const char *endpoint,
                 struct trust_server_keys *k) MUST_CHECK;

const char *trust_role_name(enum trust_role role);
/* "uploader" or "producer,reader". 0: malformed, and *problem is set. */
unsigned trust_roles_parse(struct slice text, const char **problem);

struct key_pair {
    struct curve_key public, secret;
};
/* As trust_parse. It does not check that the two keys belong together. */
int key_pair_parse(struct key_pair *k, struct slice text, struct text_error *e) MUST_CHECK;

#endif
