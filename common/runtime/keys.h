/*
 * This process's CURVE key and its trust file: both are read once from --key and --trust, the trust file again on
 * SIGHUP. The formats are described in pure/trust.h. endpoint_open gives every tcp socket its keys, and refuses a socket
 * without keys unless --insecure is given.
 *
 * A key in the trust file has roles. As a client it is a producer, an uploader, a reader or an operator; as a server it
 * is a producer (its --jobs and --data) or a consumer. A host's own key needs no line to be an uploader of its own
 * producers, because the uploaders of `cp` use it.
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

/* Reads and checks both files. The strings of o are kept, not copied. admits: the trust_roles that this process's own
 * servers admit. ERR_USAGE: logged; exit 2. */
int keys_setup(const struct key_options *o, unsigned admits) MUST_CHECK;
/* For an uploader of `cp`: the producer it serves has the same key as this host. */
void keys_expect_own_producer(void);
/* Reads the trust file again. An error is logged, and the earlier file stays in force. *lost: some key lost a role. */
int keys_reload(bool *lost) MUST_CHECK;
/* Wipes all keys. */
void keys_release(void);

bool keys_are_set(void);
/* Checks that the address may be used, and that the trust file has the key to expect there. server: the role of the
 * peer to connect to, 0 to bind. ipc needs no key. ERR_USAGE: logged with the missing entry, and with option (or NULL)
 * before the address. */
int keys_check(const char *option, const char *address, enum trust_role server) MUST_CHECK;
/* The same for the value of an option. Also refuses an address that is neither ipc:// nor tcp://. */
int keys_check_option(const char *option, const char *address, enum trust_role server) MUST_CHECK;
/* As keys_check, without a log line. *key: the expected key, empty without keys. ERR_DENIED, ERR_LIMIT (several keys),
 * ERR_NOT_FOUND. */
int keys_expected(const char *address, enum trust_role server, struct curve_key *key) MUST_CHECK;
/* While a consumer's key is replaced, its address has two keys. *key: the one that is not `not_this`, or the only one.
 * Errors as of keys_expected. */
int keys_expected_other(const char *address, enum trust_role server, const struct curve_key *not_this,
                        struct curve_key *key) MUST_CHECK;

/* The present roles of a peer's key. An empty key (ipc, --insecure) has all roles. */
unsigned keys_roles(const struct curve_key *key);
/* May this key connect to a server of this process? */
bool keys_admit(const struct curve_key *key);

const struct key_pair *keys_own(void);
/* The trust file's content; empty without keys. */
const struct trust *keys_trust(void);

/* A new pair. ERR_IO: logged. */
int key_pair_generate(struct key_pair *k) MUST_CHECK;

#endif
