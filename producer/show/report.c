#include "producer/show/report.h"
#include "producer/show/json_events.h"
#include "system/file_io.h"
#include "system/json_line.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct report_place {
    struct buf dir;
    const char *name;
};

static int report_locate(const char *path, struct report_place *p) {
    const char *slash = strrchr(path, '/');
    p->dir = (struct buf)BUF_INIT;
    p->name = slash ? slash + 1 : path;
    if (!slash)
        return buf_add_text(&p->dir, ".");
    return slash == path ? buf_add_text(&p->dir, "/") : buf_add(&p->dir, path, (size_t)(slash - path));
}

static int report_refuse(const char *path, const char *why) {
    log_error("--report %s: cannot be written: %s; name another file", path, why);
    return ERR_USAGE;
}

int report_prepare(const char *path) {
    struct report_place p;
    struct stat st;
    int err = report_locate(path, &p);
    if (!err && (!p.name[0] || (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))))
        err = report_refuse(path, "it is no regular file");
    if (!err && access(p.dir.data, W_OK | X_OK) != 0)
        err = report_refuse(path, strerror(errno));
    if (!err && unlink(path) != 0 && errno != ENOENT)
        err = report_refuse(path, strerror(errno));
    buf_release(&p.dir);
    return err;
}

void report_remove(const char *path) {
    if (unlink(path) != 0 && errno != ENOENT)
        log_error("--report %s: it is not true and cannot be removed: %s; remove it", path, strerror(errno));
}

static void report_note(struct json_line *l, int err) {
    l->err = l->err ? l->err : err;
}

static void report_add_failed(struct json_line *l, const struct failures *failures) {
    report_note(l, buf_add_text(&l->text, ",\"failed\":["));
    for (size_t i = 0; i < failures->count && !l->err; i++) {
        struct json_line one;
        json_line_begin(&one, NULL);
        json_line_name(&one, "path", slice_of(failures->items[i].path));
        json_line_text(&one, "class", slice_of(fail_class_name(failures->items[i].class)));
        json_line_text(&one, "error", slice_of(failures->items[i].reason));
        report_note(l, one.err);
        report_note(l, buf_addf(&l->text, "%s\n%s}", i ? "," : "", one.text.data ? one.text.data : ""));
        buf_release(&one.text);
    }
    report_note(l, buf_add_text(&l->text, "]"));
}

static void report_add_run(struct json_line *l, const struct report *r) {
    json_line_text(l, "version", slice_of(CHUNKLIFT_VERSION));
    json_line_text(l, "result", slice_of(r->result));
    json_line_time(l, "started", r->started_us);
    json_line_time(l, "ended", r->ended_us);
    if (!id_is_zero(r->journal_id))
        json_line_id(l, "journal_id", r->journal_id);
    json_line_number(l, "journal_seq", r->journal_seq);
}

int report_write(const char *path, const struct report *r, const struct producer_stats *stats,
                 const struct failures *failures) {
    struct json_line l;
    struct report_place p;
    json_line_begin(&l, "report");
    report_add_run(&l, r);
    json_add_stats(&l, stats, r->seconds, r->status, r->dest, r->journal);
    report_add_failed(&l, failures);
    report_note(&l, buf_add_text(&l.text, "}\n"));
    int err = report_locate(path, &p);
    err = err ? err : l.err;
    if (!err)
        err = file_replace_write(p.dir.data, p.name, buf_slice(&l.text), true);
    if (!err)
        err = file_replace_rename(p.dir.data, p.name, true);
    if (err == ERR_NOMEM)
        log_error("--report %s: out of memory", path);
    buf_release(&l.text);
    buf_release(&p.dir);
    return err;
}
