/*
 * This process's CURVE key and whom it trusts: read once from --key and --trust, the latter again on SIGHUP. The
 * formats: pure/trust.h. endpoint.c gives every tcp socket its keys and refuses those that have none (unless
 * --insecure); whoever opens an endpoint needs to do nothing.
 *
 * A key in the trust file has roles. As a client it may be a producer, an uploader, a reader; as a server a producer
 * (its --jobs and --data) or a consumer. A host's own key is an uploader to its own producers without a line, for cp's
 * uploaders have it.
 */
#ifndef CHUNKLIFT_KEYS_H
#define CHUNKLIFT_KEYS_H

#include "pure/trust.h"
#include <stdbool.h>

struct key_options {
    const char *key, *trust; /* files; NULL: not given */
    bool insecure;           /* tcp without keys is allowed */
};

/* For a program's option table (system/options.h). */
#define KEY_OPTION_ROWS(k)                                                                                             \
    {"key", 0, OPTION_TEXT, &(k)->key, "FILE", "key pair of this host, made by 'chunklift keygen'"},                   \
        {"trust", 0, OPTION_TEXT, &(k)->trust, "FILE", "trusted keys, one 'KEY roles [endpoint] # comment' per line"}, \
    {                                                                                                                  \
        "insecure", 0, OPTION_FLAG, &(k)->insecure, NULL, "allow tcp endpoints without keys"                           \
    }

/* Reads and checks both files; the strings are kept. admits: the trust_roles that this process's own servers let in.
 * ERR_USAGE: logged; exit 2. */
int keys_setup(const struct key_options *o, unsigned admits) MUST_CHECK;
/* An uploader of cp's: the one producer it serves has its own key. */
void keys_expect_own_producer(void);
/* The trust file once more. On an error, logged, the old one stays. *lost: some key may do less than before. */
int keys_reload(bool *lost) MUST_CHECK;
/* Forgets and wipes what keys_setup read. */
void keys_release(void);

bool keys_are_set(void);
/* May this address be used, and is it known whose key to expect there? server: the role of who is connected to, 0 to
 * bind. ERR_USAGE: logged, with option (or NULL) in front, and what to add. Nothing to say about ipc. */
int keys_check(const char *option, const char *address, enum trust_role server) MUST_CHECK;
/* The same, nothing is logged; *key is empty where there are no keys. */
int keys_expected(const char *address, enum trust_role server, struct curve_key *key) MUST_CHECK;
/* While a consumer's key is being replaced its address has two. *key: the other one than `not_this`, or the only one.
 * Errors as in keys_expected. */
int keys_expected_other(const char *address, enum trust_role server, const struct curve_key *not_this,
                        struct curve_key *key) MUST_CHECK;

/* The roles of a peer's key now; all without keys, for those that have none. */
unsigned keys_roles(const struct curve_key *key);
/* May this key connect to a server of this process? */
bool keys_admit(const struct curve_key *key);

const struct key_pair *keys_own(void);

/* A fresh pair. ERR_IO, logged. */
int key_pair_generate(struct key_pair *k) MUST_CHECK;

#endif
