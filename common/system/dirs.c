#include "system/dirs.h"

#include "pure/ids.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/owner.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The specification: "All paths set in these environment variables must be absolute"; others are ignored. */
static const char *env_absolute_path(const char *name) {
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

static const char *env_home_dir(void) {
    const char *home = env_absolute_path("HOME");
    if (home)
        return home;
    const struct passwd *entry = getpwuid(geteuid());
    return entry && entry->pw_dir && entry->pw_dir[0] == '/' ? entry->pw_dir : NULL;
}

int dirs_default_journal(struct buf *path) {
    buf_clear(path);
    const char *state = env_absolute_path("XDG_STATE_HOME");
    if (state)
        return buf_addf(path, "%s/chunklift/journal", state);
    const char *home = env_home_dir();
    if (!home) {
        log_error("journal: neither XDG_STATE_HOME nor HOME is set; name a directory with --journal DIR");
        return ERR_NOT_FOUND;
    }
    return buf_addf(path, "%s/.local/state/chunklift/journal", home);
}

/* Under sudo the variable may still name the directory of another user. */
static bool dir_is_own(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid();
}

static int dir_check_private(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) {
        int error = errno;
        log_error("%s: %s", path, strerror(error));
        return err_from_errno(error);
    }
    const char *problem = S_ISLNK(st.st_mode)           ? "is a symbolic link"
                          : !S_ISDIR(st.st_mode)        ? "is not a directory"
                          : st.st_uid != geteuid()      ? "belongs to another user"
                          : (st.st_mode & 077) != 0     ? "is open to other users"
                          : (st.st_mode & 0700) != 0700 ? "is closed to its owner"
                                                        : NULL;
    if (!problem)
        return 0;
    log_error("%s: %s; remove it, or set XDG_RUNTIME_DIR to a directory of your own with mode 0700", path, problem);
    return ERR_DENIED;
}

int dirs_runtime(struct buf *path) {
    buf_clear(path);
    const char *base = env_absolute_path("XDG_RUNTIME_DIR");
    int err = base && dir_is_own(base) ? buf_addf(path, "%s/chunklift", base)
                                       : buf_addf(path, "/tmp/chunklift-%lu", (unsigned long)geteuid());
    if (err)
        return err;
    if (mkdir(path->data, 0700) != 0 && errno != EEXIST) {
        int error = errno;
        log_error("%s: cannot be made: %s", path->data, strerror(error));
        return err_from_errno(error);
    }
    return dir_check_private(path->data);
}

#define SWEEP_MAX 256  /* names read in one sweep */
#define SWEEP_AGE_S 60 /* the process of a younger socket may not listen yet */

bool socket_is_stale(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* The socket files of a killed process stay, and their names are never used again. */
static void sockets_remove_stale(const char *dir) {
    DIR *d = opendir(dir);
    struct buf path = BUF_INIT;
    struct stat st;
    const struct dirent *e;
    for (int seen = 0; d && seen < SWEEP_MAX && (e = readdir(d)); seen++) {
        buf_clear(&path);
        if (e->d_type != DT_SOCK || buf_addf(&path, "%s/%s", dir, e->d_name) != 0 || stat(path.data, &st) != 0 ||
            st.st_mtime + SWEEP_AGE_S > time(NULL))
            continue;
        if (socket_is_stale(path.data))
            unlink(path.data);
    }
    if (d)
        closedir(d);
    buf_release(&path);
}

int dirs_new_ipc_endpoint(const char *name, struct buf *endpoint) {
    struct buf dir = BUF_INIT;
    int err = dirs_runtime(&dir);
    if (err)
        goto out;
    sockets_remove_stale(dir.data);
    uint8_t bits[8];
    char hex[2 * sizeof bits + 1];
    if (getrandom(bits, sizeof bits, 0) != (ssize_t)sizeof bits) {
        log_error("random numbers cannot be read: %s", strerror(errno));
        err = ERR_IO;
        goto out;
    }
    hex_encode(bits, sizeof bits, hex);
    buf_clear(endpoint);
    if ((err = buf_addf(endpoint, "ipc://%s/%s-%s", dir.data, name, hex)))
        goto out;
    struct sockaddr_un address;
    if (endpoint->len - strlen("ipc://") >= sizeof address.sun_path) {
        log_error("%s: too long for a local socket (%zu bytes at most); set XDG_RUNTIME_DIR to a shorter path",
                  endpoint->data, sizeof address.sun_path - 1);
        err = ERR_LIMIT;
    }
out:
    buf_release(&dir);
    return err;
}

bool dirs_find_existing(struct buf *path, struct stat *st) {
    bool cut = false;
    while (stat(path->data, st) != 0) {
        *st = (struct stat){.st_mode = 0};
        if (errno != ENOENT || strcmp(path->data, ".") == 0)
            break;
        char *slash = strrchr(path->data, '/');
        if (!slash) {
            path->data[0] = '.';
            slash = path->data + 1;
        } else if (slash == path->data) {
            slash++;
        }
        *slash = '\0';
        cut = true;
    }
    return cut;
}

/* A directory that root makes in another user's directory belongs to that user. */
static int dir_give_to_owner(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    owner_inherit_at(fd, path);
    if (fd != -1)
        close(fd);
    return 0;
}

static int dir_create(const char *path) {
    if (mkdir(path, 0700) == 0)
        return dir_give_to_owner(path);
    int error = errno;
    struct stat st;
    if (stat(path, &st) == 0) { /* it exists, after any error of mkdir (EEXIST, EROFS, EACCES) */
        if (S_ISDIR(st.st_mode))
            return 0;
        log_error("%s: is not a directory; name another one", path);
        return ERR_INVALID;
    }
    log_error("%s: cannot be made: %s", path, strerror(error));
    return err_from_errno(error);
}

int dirs_make(const char *path) {
    char *copy = strdup(path);
    if (!copy)
        return ERR_NOMEM;
    int err = 0;
    for (char *slash = copy; !err && *slash;) {
        slash += strspn(slash, "/");
        slash += strcspn(slash, "/");
        char kept = *slash;
        *slash = '\0';
        err = dir_create(copy);
        *slash = kept;
    }
    free(copy);
    return err;
}
