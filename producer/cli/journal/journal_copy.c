#include "producer/cli/journal/journal_copy.h"

#include "journal/files.h"
#include "journal/record.h"
#include "producer/cli/journal/tail_remote.h"
#include "system/log.h"
#include "system/oserr.h"
#include "system/signals.h"
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The files there begin where a `segment` line stands: the copy is cut at the same places. */
struct mirror {
    const char *dir;
    FILE *file; /* the active one */
    uint64_t first_seq;
    struct buf path, scratch;
};

static int failed(const struct mirror *m) {
    int error = errno;
    log_error("%s: %s", m->dir, strerror(error));
    return err_from_errno(error);
}

static int active_path(struct mirror *m) {
    buf_clear(&m->path);
    return buf_addf(&m->path, "%s/" JOURNAL_ACTIVE, m->dir);
}

static int open_active(struct mirror *m, uint64_t seq) {
    int err = active_path(m);
    if (err)
        return err;
    m->first_seq = seq;
    m->file = fopen(m->path.data, "wxe");
    return m->file ? 0 : failed(m);
}

static int close_active(struct mirror *m) {
    FILE *file = m->file;
    m->file = NULL;
    return !file || fclose(file) == 0 ? 0 : failed(m);
}

static int seal(struct mirror *m) {
    struct buf sealed = BUF_INIT;
    int err = close_active(m);
    if (!err)
        err = active_path(m);
    if (!err)
        err = buf_addf(&sealed, "%s/journal.%020" PRIu64 ".jsonl", m->dir, m->first_seq);
    if (!err && rename(m->path.data, sealed.data) != 0)
        err = failed(m);
    buf_release(&sealed);
    return err;
}

static int add_line(void *arg, struct slice line) {
    struct mirror *m = arg;
    struct record r;
    int err = record_parse(slice_make(line.ptr, line.len - 1), &r, &m->scratch);
    if (err && err != ERR_VERSION)
        return err;
    if (!err && r.ev == EV_SEGMENT && m->file)
        err = seal(m);
    if (!m->file && !err)
        err = open_active(m, r.seq);
    if (!err && m->file && fwrite(line.ptr, 1, line.len, m->file) != line.len)
        err = failed(m);
    return err == ERR_VERSION ? 0 : err;
}

static int make_directory(struct buf *dir) {
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

int journal_mirror(const char *endpoint, struct buf *dir) {
    int err = signals_init(false);
    if (!err)
        err = make_directory(dir);
    if (err)
        return err;
    struct mirror m = {.dir = dir->data};
    err = tail_remote_all(endpoint, add_line, &m);
    int closed = close_active(&m);
    err = err ? err : closed;
    buf_release(&m.path);
    buf_release(&m.scratch);
    if (err)
        journal_mirror_remove(dir);
    return err;
}

void journal_mirror_remove(struct buf *dir) {
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
