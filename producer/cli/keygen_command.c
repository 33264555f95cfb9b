#include "producer/cli/keygen_command.h"

#include "pure/buf.h"
#include "pure/ids.h"
#include "pure/text.h"
#include "runtime/keys.h"
#include "system/exit_status.h"
#include "system/file_io.h"
#include "system/log.h"
#include "system/option_rows.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define USAGE "chunklift keygen [options] FILE"
#define ABOUT                                                                                                          \
    "Makes a key pair for this host: FILE holds both keys and stays here, FILE.pub holds a line for the --trust "      \
    "file\n"                                                                                                           \
    "of every host that is to trust this one: KEY roles [endpoint] # comment."

/* ---- files ---- */

static int file_sync_directory(const char *path) {
    struct buf dir = BUF_INIT;
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    int err = len ? buf_add(&dir, path, len) : buf_add_text(&dir, ".");
    int fd = err ? -1 : open(dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd == -1 ? -1 : fsync(fd);
    if (fd != -1)
        close(fd);
    buf_release(&dir);
    return rc;
}

struct file_kind {
    mode_t mode;
    const struct passwd *owner; /* NULL: the user of this process */
};

/* Writes the file under a temporary name (O_EXCL), so that it is complete and durable before it gets its name. */
static int keygen_write_temporary(const char *temporary, const struct file_kind *kind, struct slice text) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kind->mode);
    if (fd == -1)
        return -1;
    bool ok = fchmod(fd, kind->mode) == 0 && /* independent of the umask */
              (!kind->owner || fchown(fd, kind->owner->pw_uid, kind->owner->pw_gid) == 0) &&
              file_write_all(fd, text.ptr, text.len) == 0 && fsync(fd) == 0;
    int rc = ok ? 0 : -1;
    int error = errno;
    close(fd);
    if (rc != 0)
        unlink(temporary);
    errno = error;
    return rc;
}

static int keygen_log_failed(const char *path) {
    if (errno == EEXIST) {
        log_error("%s: exists, and is not overwritten; choose another name or remove it", path);
        return ERR_USAGE;
    }
    log_error("%s: cannot be written: %s", path, strerror(errno));
    return ERR_IO;
}

/* link(2) does not overwrite an existing file. */
static int keygen_create_file(const char *path, const struct file_kind *kind, struct slice text) {
    struct buf temporary = BUF_INIT;
    uint8_t bits[8];
    char hex[2 * sizeof bits + 1];
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return keygen_log_failed(path);
    hex_encode(bits, sizeof bits, hex);
    int err = buf_addf(&temporary, "%s.%s", path, hex);
    if (err)
        return err;
    if (keygen_write_temporary(temporary.data, kind, text) != 0) {
        err = keygen_log_failed(path);
    } else {
        if (link(temporary.data, path) != 0)
            err = keygen_log_failed(path);
        unlink(temporary.data);
        if (!err && file_sync_directory(path) != 0)
            err = keygen_log_failed(path);
    }
    buf_release(&temporary);
    return err;
}

/* ---- their contents ---- */

static int keygen_add_host(struct buf *text) {
    struct utsname host;
    return text_add_printable(text, slice_of(uname(&host) == 0 ? host.nodename : "unknown"));
}

static int keygen_secret_text(const struct key_pair *k, struct buf *text) {
    int err = buf_add_text(text, "# chunklift key of ");
    if (!err)
        err = keygen_add_host(text);
    return err ? err
               : buf_addf(text, "; secret: a reader of this file can act as this host\npublic %s\nsecret %s\n",
                          k->public.text, k->secret.text);
}

static int keygen_public_text(const struct key_pair *k, const char *roles, struct buf *text) {
    int err = buf_addf(text, "%s%s%s # ", k->public.text, roles ? " " : "", roles ? roles : "");
    if (!err)
        err = keygen_add_host(text);
    return err ? err : buf_add_byte(text, '\n');
}

static bool path_exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static int keygen_make(const char *path, const char *roles, const struct passwd *owner) {
    struct key_pair pair;
    struct buf public_path = BUF_INIT, secret = BUF_INIT, public = BUF_INIT;
    int err = buf_reserve(&secret, 1024); /* large enough: growing would leave a copy of the key in freed memory */
    if (!err)
        err = buf_addf(&public_path, "%s.pub", path);
    if (!err && path_exists(public_path.data)) {
        errno = EEXIST;
        err = keygen_log_failed(public_path.data);
    }
    if (!err)
        err = key_pair_generate(&pair);
    if (!err)
        err = keygen_secret_text(&pair, &secret);
    if (!err)
        err = keygen_public_text(&pair, roles, &public);
    if (!err)
        err = keygen_create_file(path, &(struct file_kind){0600, owner}, buf_slice(&secret));
    if (!err) {
        err = keygen_create_file(public_path.data, &(struct file_kind){0644, NULL}, buf_slice(&public));
        if (err)
            unlink(path); /* created above */
    }
    if (secret.data)
        explicit_bzero(secret.data, secret.cap);
    explicit_bzero(&pair, sizeof pair);
    buf_release(&secret);
    buf_release(&public);
    buf_release(&public_path);
    return err;
}

/* ---- the command ---- */

static int keygen_check(const struct text_list *arguments, const char *roles) {
    const char *problem;
    if (arguments->count != 1 || !arguments->items[0][0]) {
        log_error("keygen: %s; see 'chunklift keygen --help'", arguments->count > 1
                                                                   ? "more than one FILE; name one"
                                                                   : "FILE is missing; name the file for the new key");
        return ERR_USAGE;
    }
    if (roles && !trust_roles_parse(slice_of(roles), &problem)) {
        log_error("--roles %s: %s", roles, problem);
        return ERR_USAGE;
    }
    return 0;
}

/* *owner: NULL without --owner. */
static int keygen_find_owner(const char *name, const struct passwd **owner) {
    *owner = name ? getpwnam(name) : NULL;
    if (!name || *owner)
        return 0;
    log_error("--owner %s: there is no such user; make it first, for example with useradd", name);
    return ERR_USAGE;
}

int keygen_command(int argc, char **argv) {
    const char *roles = NULL, *owner_name = NULL;
    const struct passwd *owner = NULL;
    bool quiet = false, help = false, version = false;
    struct text_list arguments;
    const struct option_spec specs[] = {
        {"roles", 0, OPTION_TEXT, &roles, "ROLES",
         "write them into FILE.pub: producer, uploader, reader, operator, consumer"},
        {"owner", 0, OPTION_TEXT, &owner_name, "USER",
         "give FILE to this user (needs root); a service runs as that user"},
        OPTION_ROW_QUIET(&quiet),
        OPTION_ROW_HELP(&help),
        OPTION_ROW_VERSION(&version),
        OPTION_ROWS_END,
    };
    int err = options_parse("keygen", specs, argc, argv, &arguments);
    if (err)
        return 2;
    if (!options_answer(help, version, USAGE, ABOUT, specs) && !(err = keygen_check(&arguments, roles)) &&
        !(err = keygen_find_owner(owner_name, &owner)) && !(err = keygen_make(arguments.items[0], roles, owner)) &&
        !quiet)
        log_info("%s stays on this host; add %s.pub, %s, to the --trust file of every host that trusts this one",
                 arguments.items[0], arguments.items[0], roles ? "one line" : "with the roles added after the key");
    if (err == ERR_NOMEM)
        log_error("out of memory");
    text_list_release(&arguments);
    return exit_status_of_run(err);
}
