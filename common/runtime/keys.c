#include "runtime/keys.h"
#include "system/file_io.h"
#include "system/log.h"
#include "system/oserr.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

static struct {
    struct key_options o;
    struct key_pair own;
    struct trust trust;
    unsigned admits;
    bool own_producer;
} keys;

/* ---- files ---- */

/* A reader of the key file can pose as this host; a writer of the trust file decides about its trust. */
static const char *key_file_mode_error(const struct stat *st, mode_t forbidden) {
    if (!S_ISREG(st->st_mode))
        return "is not a file";
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return "belongs to another user";
    if ((st->st_mode & forbidden) == 0)
        return NULL;
    return forbidden == 077 ? "others may read or change it; 'chmod 600' it, and make a new key if they did"
                            : "others may change it; 'chmod go-w' it";
}

static int key_file_read(const char *option, const char *path, mode_t forbidden, struct buf *text) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd == -1 || fstat(fd, &st) != 0) {
        log_error("--%s %s: %s", option, path, strerror(errno));
        if (fd != -1)
            close(fd);
        return ERR_USAGE;
    }
    const char *problem = key_file_mode_error(&st, forbidden);
    int err = problem ? ERR_USAGE : file_read_all(fd, text, TRUST_TEXT_MAX);
    if (err == ERR_LIMIT)
        err = 0; /* the parser reports it */
    if (err)
        log_error("--%s %s: %s", option, path, problem ? problem : err_text(err));
    close(fd);
    return err ? ERR_USAGE : 0;
}

static void buf_wipe(struct buf *text) {
    if (text->data)
        explicit_bzero(text->data, text->cap);
    buf_release(text);
}

static int key_file_log_error(const char *path, const struct text_error *e, int err) {
    if (err == ERR_NOMEM)
        log_error("out of memory");
    else if (e->line)
        log_error("%s:%zu: %s", path, e->line, e->problem);
    else
        log_error("%s: %s", path, e->problem);
    return ERR_USAGE;
}

static int keys_read_pair(const char *path, struct key_pair *k) {
    struct buf text = BUF_INIT;
    struct text_error e;
    char public[CURVE_TEXT_LEN + 1];
    int err = key_file_read("key", path, 077, &text);
    if (err)
        goto out;
    err = key_pair_parse(k, buf_slice(&text), &e);
    if (err) {
        err = key_file_log_error(path, &e, err);
    } else if (zmq_curve_public(public, k->secret.text) != 0 || strcmp(public, k->public.text) != 0) {
        log_error("%s: its public key does not belong to its secret key; make a new file with 'chunklift keygen'",
                  path);
        explicit_bzero(k, sizeof *k);
        err = ERR_USAGE;
    }
out:
    buf_wipe(&text);
    return err;
}

static int keys_read_trust(const char *path, struct trust *t) {
    struct buf text = BUF_INIT;
    struct text_error e;
    int err = key_file_read("trust", path, 022, &text);
    if (!err) {
        err = trust_parse(t, buf_slice(&text), &e);
        if (err)
            err = key_file_log_error(path, &e, err);
    }
    buf_release(&text);
    return err;
}

/* ---- setup ---- */

int keys_setup(const struct key_options *o, unsigned admits) {
    keys_release();
    keys.o = *o;
    keys.admits = admits;
    if (!o->key && !o->trust)
        return 0;
    if (!o->key || !o->trust) {
        log_error("--%s: needs --%s FILE beside it", o->key ? "key" : "trust", o->key ? "trust" : "key");
        return ERR_USAGE;
    }
    int err = keys_read_pair(o->key, &keys.own);
    if (!err)
        err = keys_read_trust(o->trust, &keys.trust);
    if (err)
        keys_release();
    return err;
}

void keys_expect_own_producer(void) {
    keys.own_producer = true;
}

static bool trust_lost_roles(const struct trust *before, const struct trust *now) {
    for (size_t i = 0; i < before->key_count; i++)
        if (before->keys[i].roles & ~trust_roles(now, &before->keys[i].key))
            return true;
    return false;
}

int keys_reload(bool *lost) {
    struct trust now;
    *lost = false;
    if (!keys_are_set())
        return 0;
    int err = keys_read_trust(keys.o.trust, &now);
    if (err) {
        log_warn("%s: not taken over, the keys read before stay in force; correct the file and send SIGHUP again",
                 keys.o.trust);
        return err;
    }
    *lost = trust_lost_roles(&keys.trust, &now);
    trust_release(&keys.trust);
    keys.trust = now;
    log_info("%s: read again, %zu key%s", keys.o.trust, now.key_count, now.key_count == 1 ? "" : "s");
    return 0;
}

void keys_release(void) {
    bool insecure = keys.o.insecure;
    trust_release(&keys.trust);
    explicit_bzero(&keys, sizeof keys);
    keys.o.insecure = insecure;
}

bool keys_are_set(void) {
    return curve_key_is_set(&keys.own.secret);
}

const struct key_pair *keys_own(void) {
    return &keys.own;
}

const struct trust *keys_trust(void) {
    return &keys.trust;
}

/* ---- queries ---- */

static bool address_is_tcp(const char *address) {
    return strncmp(address, "tcp://", 6) == 0;
}

int keys_expected_other(const char *address, enum trust_role server, const struct curve_key *not_this,
                        struct curve_key *key) {
    struct trust_server_keys all;
    *key = (struct curve_key){{0}};
    if (!address_is_tcp(address))
        return 0;
    if (!keys_are_set())
        return keys.o.insecure ? 0 : ERR_DENIED;
    if (server == TRUST_PRODUCER && keys.own_producer) {
        *key = keys.own.public;
        return 0;
    }
    if (!server)
        return 0;
    int err = trust_server(&keys.trust, server, address, &all);
    if (!err)
        *key = all.count > 1 && curve_key_equal(&all.keys[0], not_this) ? all.keys[1] : all.keys[0];
    return err;
}

int keys_expected(const char *address, enum trust_role server, struct curve_key *key) {
    const struct curve_key none = {{0}};
    return keys_expected_other(address, server, &none, key);
}

int keys_check(const char *option, const char *address, enum trust_role server) {
    struct curve_key key;
    const char *gap = option ? " " : "", *role = trust_role_name(server);
    option = option ? option : "";
    switch (keys_expected(address, server, &key)) {
    case 0:
        return 0;
    case ERR_DENIED:
        log_error("%s%s%s: a tcp endpoint needs --key and --trust ('chunklift keygen' makes a key); --insecure does "
                  "without",
                  option, gap, address);
        return ERR_USAGE;
    case ERR_LIMIT:
        log_error("%s%s%s: %s has several keys for it; keep one line 'KEY %s %s' (or two, of a consumer whose key is "
                  "being replaced)",
                  option, gap, address, keys.o.trust, role, address);
        return ERR_USAGE;
    default:
        log_error("%s%s%s: %s has no line with the key of this address; add a line 'KEY %s %s'", option, gap, address,
                  keys.o.trust, role, address);
        return ERR_USAGE;
    }
}

int keys_check_option(const char *option, const char *address, enum trust_role server) {
    if (strncmp(address, "tcp://", 6) != 0 && strncmp(address, "ipc://", 6) != 0) {
        log_error("%s %s: not an endpoint; use ipc://PATH or tcp://HOST:PORT", option, address);
        return ERR_USAGE;
    }
    return keys_check(option, address, server);
}

unsigned keys_roles(const struct curve_key *key) {
    static const unsigned all = TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER | TRUST_OPERATOR | TRUST_CONSUMER;
    if (!curve_key_is_set(key))
        return all; /* ipc, or --insecure: a tcp socket with keys admits no client without a key */
    return trust_roles(&keys.trust, key);
}

bool keys_admit(const struct curve_key *key) {
    if (!keys_are_set())
        return false;
    if ((keys.admits & TRUST_UPLOADER) && !(keys.admits & ~TRUST_UPLOADER) && curve_key_equal(key, &keys.own.public))
        return true;
    return (trust_roles(&keys.trust, key) & keys.admits) != 0;
}

int key_pair_generate(struct key_pair *k) {
    if (zmq_curve_keypair(k->public.text, k->secret.text) == 0)
        return 0;
    log_error("a key cannot be made: %s", zmq_strerror(errno));
    return ERR_IO;
}
