#include "producer/cli/journal/journal_copy.h"

#include "journal/files.h"
#include "journal/record.h"
#include "producer/cli/journal/tail_remote.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/signals.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The consumer's files begin at `segment` lines. The copy is rotated at the same lines. */
struct journal_copy {
    const char *dir;
    FILE *file; /* the active one */
    uint64_t first_seq;
    struct buf path, scratch;
};

static int copy_failed(const struct journal_copy *c) {
    int error = errno;
    log_error("%s: %s", c->dir, strerror(error));
    return err_from_errno(error);
}

static int copy_active_path(struct journal_copy *c) {
    buf_clear(&c->path);
    return buf_addf(&c->path, "%s/" JOURNAL_ACTIVE, c->dir);
}

static int copy_open_active(struct journal_copy *c, uint64_t seq) {
    int err = copy_active_path(c);
    if (err)
        return err;
    c->first_seq = seq;
    c->file = fopen(c->path.data, "wxe");
    return c->file ? 0 : copy_failed(c);
}

static int copy_close_active(struct journal_copy *c) {
    FILE *file = c->file;
    c->file = NULL;
    return !file || fclose(file) == 0 ? 0 : copy_failed(c);
}

static int copy_rotate(struct journal_copy *c) {
    char name[JOURNAL_NAME_SIZE];
    struct buf sealed = BUF_INIT;
    journal_sealed_name(c->first_seq, name);
    int err = copy_close_active(c);
    if (!err)
        err = copy_active_path(c);
    if (!err)
        err = buf_addf(&sealed, "%s/%s", c->dir, name);
    if (!err && rename(c->path.data, sealed.data) != 0)
        err = copy_failed(c);
    buf_release(&sealed);
    return err;
}

/* A record of a later version is copied too: the command that reads the copy reports it. */
static int copy_add_line(void *arg, struct slice line) {
    struct journal_copy *c = arg;
    struct record r;
    int err = record_parse(slice_make(line.ptr, line.len - 1), &r, &c->scratch);
    if (err && err != ERR_VERSION)
        return err;
    bool begins_file = !err && r.ev == EV_SEGMENT && c->file;
    err = begins_file ? copy_rotate(c) : 0;
    if (!err && !c->file)
        err = copy_open_active(c, r.seq);
    if (!err && fwrite(line.ptr, 1, line.len, c->file) != line.len)
        err = copy_failed(c);
    return err;
}

static int copy_make_directory(struct buf *dir) {
    const char *tmp = getenv("TMPDIR");
    int err = buf_addf(dir, "%s/chunklift-journal-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!err && !mkdtemp(dir->data)) {
        int error = errno;
        log_error("%s: %s", dir->data, strerror(error));
        buf_clear(dir);
        err = err_from_errno(error);
    }
    return err;
}

int journal_copy_fetch(const char *endpoint, struct buf *dir) {
    int err = signals_init(false);
    if (!err)
        err = copy_make_directory(dir);
    if (err)
        return err;
    struct journal_copy c = {.dir = dir->data};
    err = tail_remote_all(endpoint, copy_add_line, &c);
    int closed = copy_close_active(&c);
    err = err ? err : closed;
    buf_release(&c.path);
    buf_release(&c.scratch);
    if (err)
        journal_copy_remove(dir);
    return err;
}

void journal_copy_remove(struct buf *dir) {
    DIR *d = dir->len ? opendir(dir->data) : NULL;
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (journal_file_name_is_valid(e->d_name))
            (void)unlinkat(dirfd(d), e->d_name, 0);
    if (d) {
        closedir(d);
        (void)rmdir(dir->data);
    }
    buf_clear(dir);
}
