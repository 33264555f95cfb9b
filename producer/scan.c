/*
 * From arguments to files: takes one SRC after the other, walks trees, and adds each regular file with its destination
 * and its geometry while the table has room. A file that cannot be planned fails here; the others continue.
 */
#include "producer/planner.h"
#include "pure/deadline.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that cannot be planned. The consumer records it if its names fit a PLAN, unless nothing is to be recorded. */
static int scan_refuse(struct planner *p, const char *path, const char *dest, const char *reason) {
    static const struct source_identity none;
    static const struct geometry nothing;
    struct file *f;
    p->stats.files_seen++;
    if (p->dry_run || strlen(path) > PROTO_NAME_MAX || strlen(dest) > PROTO_NAME_MAX ||
        strlen(reason) > PROTO_TEXT_MAX) {
        p->stats.files_failed++;
        planner_report_error(p, path, FAIL_SOURCE, reason);
        return 0;
    }
    int err = files_add(&p->files, path, dest, &none, &nothing, &f);
    return err ? err : planner_file_refuse(p, f, reason);
}

static void scan_report_error(struct planner *p, const char *path, const char *reason) {
    p->stats.source_errors++;
    planner_report_error(p, path, FAIL_SOURCE, reason);
}

/* Why the file cannot have this destination; NULL when it can. */
static const char *scan_dest_objection(const struct planner *p, struct slice dest, const struct stat *st) {
    struct dest d;
    struct stat there;
    if (dest_parse(dest, &d) != 0)
        return "its name is not valid in a destination; rename it";
    if (p->sources.scheme == DEST_S3) {
        if (!utf8_is_valid(d.key))
            return "its name is not UTF-8, which S3 keys must be; rename it, or upload it to a file:// destination";
        if (d.key.len > S3_KEY_MAX)
            return "its key would be longer than the 1,024 bytes that S3 allows; use a shorter prefix or name";
        return d.key.len == 0 ? "its key would be empty; name a key in DEST" : NULL;
    }
    if (dest.len > PROTO_NAME_MAX)
        return "its destination would be longer than 4,096 bytes; use a shorter prefix or name";
    if (stat(d.key.ptr, &there) == 0) {
        if (there.st_dev == st->st_dev && there.st_ino == st->st_ino)
            return "source and destination are the same file; choose another destination";
        if (S_ISDIR(there.st_mode))
            return "its destination is a directory; remove that or choose another destination";
    }
    return NULL;
}

static int scan_make_dest(const struct planner *p, const char *name, struct buf *dest) {
    if (p->sources.dest_is_name)
        return buf_add_text(dest, p->sources.dest);
    return dest_join(dest, slice_of(p->sources.dest), slice_of(name));
}

/* name: relative to the destination prefix. */
static int scan_add_file(struct planner *p, const char *path, const char *name, const struct stat *st) {
    struct buf dest = BUF_INIT;
    struct geometry wanted;
    struct source_identity id;
    enum inodes inodes;
    struct file *f;
    planner_let_settle(st);
    planner_identify(p, path, st, &id, &inodes);
    int err = scan_make_dest(p, name, &dest);
    if (err)
        goto out;
    const char *objection = strlen(path) > PROTO_NAME_MAX
                                ? "its path is longer than 4,096 bytes; move it to a shorter path"
                                : scan_dest_objection(p, buf_slice(&dest), st);
    if (!objection && geometry_plan(p->limits, id.size, p->chunk_size, &wanted) != 0)
        objection = "it is larger than the destination allows; split it";
    if (objection) {
        err = scan_refuse(p, path, dest.data, objection);
        goto out;
    }
    err = files_add(&p->files, path, dest.data, &id, &wanted, &f);
    if (err)
        goto out;
    f->forced = p->force;
    f->inodes = inodes;
    p->stats.files_seen++;
    p->stats.bytes_total += id.size;
    if (p->ignore_existing)
        inspect_before_plan(p, f);
out:
    buf_release(&dest);
    return err;
}

static int scan_refuse_named(struct planner *p, const char *path, const char *name, const char *reason) {
    struct buf dest = BUF_INIT;
    int err = scan_make_dest(p, name, &dest);
    if (!err)
        err = scan_refuse(p, path, dest.data, reason);
    buf_release(&dest);
    return err;
}

static void scan_exclude_single(struct planner *p, const struct source_item *item) {
    p->stats.files_excluded++;
    if (p->events.entry_skipped)
        p->events.entry_skipped(p->events.arg, item->path, walk_skip_name(WALK_SKIP_EXCLUDED));
}

static int scan_single_included(struct planner *p, const struct source_item *item) {
    struct stat st;
    const char *error;
    char reason[160];
    walk_probe_file(AT_FDCWD, item->path, &st, &error);
    if (error) {
        snprintf(reason, sizeof reason, "cannot be read: %s", error);
        return scan_refuse_named(p, item->path, item->name, reason);
    }
    if (!p->selection || selection_judge_attributes(p->selection, &st))
        return scan_add_file(p, item->path, item->name, &st);
    scan_exclude_single(p, item);
    return 0;
}

/* The selection judges a single file by the last component of its path. */
static int scan_single_file(struct planner *p, const struct source_item *item) {
    bool included = true;
    const char *rule;
    int err = 0;
    if (p->selection)
        err = selection_judge_file(p->selection, strrchr(item->path, '/') + 1, &included, &rule);
    if (err == ERR_LIMIT)
        return scan_refuse_named(p, item->path, item->name,
                                 "a filter takes too long for its name; simplify the filter");
    if (!err && included)
        return scan_single_included(p, item);
    if (!err)
        scan_exclude_single(p, item);
    return err;
}

static int scan_tree_file(struct planner *p, const struct source_item *item, const struct walk_entry *e) {
    struct buf name = BUF_INIT;
    int err = 0;
    if (item->name[0]) {
        err = buf_add_text(&name, item->name);
        if (!err)
            err = buf_add_byte(&name, '/');
    }
    if (!err)
        err = buf_add_text(&name, e->name);
    if (!err)
        err = e->kind == WALK_BAD_FILE ? scan_refuse_named(p, e->path, name.data, e->error)
                                       : scan_add_file(p, e->path, name.data, &e->st);
    buf_release(&name);
    return err;
}

static void scan_end_tree(struct planner *p) {
    const struct walk_counts *w = walk_counts(p->walk);
    p->stats.links_skipped += w->links;
    p->stats.empty_dirs += w->empty_dirs;
    p->stats.other_skipped += w->others;
    p->stats.files_excluded += w->excluded;
    p->stats.dirs_excluded += w->excluded_dirs;
    p->stats.systems_skipped += w->other_systems;
    walk_destroy(&p->walk);
    p->source_at++;
}

static void scan_skip_entry(struct planner *p, const struct walk_entry *e) {
    if (p->events.entry_skipped)
        p->events.entry_skipped(p->events.arg, e->path, walk_skip_name(e->skip));
    if (e->skip == WALK_SKIP_OWN_JOURNAL && !p->own_journal_reported) {
        planner_notice(p, "%s: is the journal of this command; it is not uploaded", e->path);
        p->own_journal_reported = true;
    }
}

static int scan_walk(struct planner *p, const struct source_item *item) {
    struct walk_entry e;
    int err = walk_next(p->walk, &e);
    if (err)
        return err;
    switch (e.kind) {
    case WALK_FILE:
    case WALK_BAD_FILE:
        return scan_tree_file(p, item, &e);
    case WALK_BAD_DIR:
        scan_report_error(p, e.path, e.error);
        break;
    case WALK_END:
        scan_end_tree(p);
        break;
    case WALK_SKIPPED:
        if (e.skip)
            scan_skip_entry(p, &e);
        break;
    }
    return 0;
}

/* ---- lists of names ---- */

/* Two files with one destination would wait for each other. Names of files that ended are not kept: such a file is
 * planned again and found unchanged. */
static bool scan_is_under_way(const struct planner *p, const char *path, uint64_t hash) {
    for (const struct file *f = p->files.first; f; f = f->next)
        if (f->list_hash == hash && strcmp(f->path, path) == 0)
            return true;
    return false;
}

static int scan_listed_file(struct planner *p, const struct source_item *item, const char *name) {
    struct buf path = BUF_INIT;
    struct stat st;
    const char *problem;
    int err = buf_addf(&path, "%s/%s", strcmp(item->path, "/") == 0 ? "" : item->path, name);
    uint64_t hash = err ? 0 : hash_bytes(path.data, path.len);
    if (err || scan_is_under_way(p, path.data, hash))
        goto out;
    name_list_probe(p->list, name, &st, &problem);
    size_t before = p->files.count;
    err = problem ? scan_refuse_named(p, path.data, name, problem) : scan_add_file(p, path.data, name, &st);
    if (!err && p->files.count > before)
        p->files.last->list_hash = hash;
out:
    buf_release(&path);
    return err;
}

static int scan_list(struct planner *p, const struct source_item *item) {
    struct name name;
    name_list_next(p->list, &name);
    switch (name.kind) {
    case NAME_GOOD:
        return scan_listed_file(p, item, name.text);
    case NAME_BAD: /* it has no destination that could be recorded */
        scan_report_error(p, name.text, name.problem);
        return 0;
    case NAME_WAIT:
        p->list_waits = true;
        return 0;
    case NAME_BROKEN:
        scan_report_error(p, "--files-from", name.problem);
        break;
    case NAME_END:
        break;
    }
    name_list_close(&p->list);
    p->source_at++;
    return 0;
}

/* The directory of a tree's copy; NULL: it is at a store. */
static const char *scan_local_destination(const struct planner *p) {
    return p->sources.scheme == DEST_FILE ? p->sources.dest + strlen("file://") : NULL;
}

static int scan_next_source(struct planner *p) {
    const struct source_item *item = &p->sources.items[p->source_at];
    if (item->error)
        scan_report_error(p, item->given, item->error);
    else if (item->directory) {
        int err = walk_new(&p->walk, item->path);
        if (!err)
            walk_set_own_journal(p->walk, p->journal_dir);
        if (!err)
            walk_set_selection(p->walk, p->selection);
        if (!err)
            walk_set_reach(p->walk, p->follow_links, scan_local_destination(p), p->one_file_system);
        return err;
    } else {
        int err = scan_single_file(p, item);
        if (err)
            return err;
    }
    p->source_at++;
    return 0;
}

static bool scan_may_continue(const struct planner *p) {
    return p->stats.walking && !p->list_waits && !p->draining && files_have_room(&p->files) &&
           !planner_failed_enough(p);
}

int scan_step(struct planner *p, unsigned budget, bool *more) {
    int err = 0;
    p->list_waits = false;
    while (!err && budget > 0 && scan_may_continue(p)) {
        budget--;
        if (p->questions.next)
            err = inspect_next(p);
        else if (p->list)
            err = scan_list(p, &p->sources.items[p->source_at]);
        else if (p->walk)
            err = scan_walk(p, &p->sources.items[p->source_at]);
        else if (p->source_at < p->sources.count)
            err = scan_next_source(p);
        else
            p->stats.walking = false;
    }
    *more = scan_may_continue(p);
    return err;
}

/* ---- standard input ---- */

static bool scan_stream_is_read(const struct planner *p, const struct file *f) {
    return p->stream && !p->stream_stopped && !p->draining && (f ? !f->dropping : p->stats.walking);
}

static void scan_release_recorded(const struct file *f) {
    for (uint32_t chunk = 0; stream_next_held(f->stream, &chunk); chunk++)
        if (file_chunk_is_done(f, chunk))
            stream_release(f->stream, chunk);
}

/* Why it cannot be uploaded; NULL: it can. */
static const char *scan_stream_problem(const struct planner *p) {
    static char text[160];
    uint64_t size = stream_position(p->stream), wanted = p->expected_size;
    const char *error = stream_error(p->stream);
    if (error)
        snprintf(text, sizeof text, "cannot be read: %s", error);
    else if (p->expects_size && size > wanted)
        snprintf(text, sizeof text, "is longer than the %" PRIu64 " bytes of --expect-size", wanted);
    else if (p->expects_size && size < wanted && stream_has_ended(p->stream))
        snprintf(text, sizeof text, "ended after %" PRIu64 " of the %" PRIu64 " bytes of --expect-size", size, wanted);
    else if (stream_is_too_long(p->stream))
        snprintf(text, sizeof text, "is longer than chunks of this size allow; name its size with --expect-size");
    else
        return NULL;
    return text;
}

static int scan_stream_fail(struct planner *p, struct file *f, const char *problem, uint64_t now_ms) {
    p->stream_stopped = true;
    p->stats.walking = false;
    return f ? planner_stream_failed(p, f, problem, now_ms)
             : scan_refuse(p, SOURCES_STDIN_PATH, p->sources.dest, problem);
}

/* The size and the chunks of an input that has ended before it is planned. */
static int scan_stream_measure(const struct planner *p, struct geometry *g) {
    uint64_t size = stream_position(p->stream);
    uint32_t chunks = stream_chunks(p->stream);
    int err = chunks <= 1 ? geometry_plan(p->limits, size, p->stream_open.chunk_size, g)
                          : geometry_end(&p->stream_open, chunks - 1, size, g);
    if (!err && g->chunks <= g->grow)
        g->grow = 0; /* none of them has grown */
    return err;
}

/* By now it is known whether one request is enough. */
static int scan_stream_plan(struct planner *p, uint64_t now_ms) {
    struct geometry wanted = p->stream_open;
    struct source_identity id = p->stream_id;
    struct stat st;
    struct file *f;
    bool ended = stream_has_ended(p->stream);
    const char *objection =
        fstat(STDIN_FILENO, &st) == 0 ? scan_dest_objection(p, slice_of(p->sources.dest), &st) : strerror(errno);
    if (objection)
        return scan_stream_fail(p, NULL, objection, now_ms);
    int err = ended ? scan_stream_measure(p, &wanted) : 0;
    id.size = ended ? stream_position(p->stream) : 0;
    if (!err)
        err = files_add(&p->files, SOURCES_STDIN_PATH, p->sources.dest, &id, &wanted, &f);
    if (err)
        return err;
    f->stream = p->stream;
    f->open_ended = !ended;
    f->available = stream_chunks(p->stream);
    p->stats.files_seen++;
    p->stats.walking = false;
    return 0;
}

static int scan_stream_follow(struct planner *p, struct file *f) {
    struct geometry end;
    f->available = stream_chunks(p->stream);
    if (!f->open_ended || f->end.chunks || !stream_has_ended(p->stream))
        return 0;
    int err = geometry_end(&p->stream_open, f->available - 1, stream_position(p->stream), &end);
    if (!err)
        file_set_end(&p->files, f, &end);
    return err;
}

int scan_stream_step(struct planner *p, uint64_t now_ms, uint64_t *deadline_ms) {
    struct file *f = planner_stream_file(p);
    bool more;
    if (!scan_stream_is_read(p, f))
        return 0;
    if (f)
        scan_release_recorded(f);
    int err = stream_read(p->stream, now_ms, &more);
    if (err)
        return err;
    if (more)
        *deadline_ms = now_ms;
    deadline_lower(deadline_ms, stream_due_ms(p->stream));
    p->stats.total_unknown = !p->expects_size && !stream_has_ended(p->stream);
    p->stats.bytes_total = p->expects_size ? p->expected_size : stream_position(p->stream);
    const char *problem = scan_stream_problem(p);
    if (problem)
        return scan_stream_fail(p, f, problem, now_ms);
    if (f)
        return scan_stream_follow(p, f);
    return stream_chunks(p->stream) > 0 || stream_has_ended(p->stream) ? scan_stream_plan(p, now_ms) : 0;
}

int scan_wait_fd(const struct planner *p) {
    if (scan_stream_is_read(p, planner_stream_file(p)))
        return stream_wait_fd(p->stream);
    return p->list && p->list_waits ? name_list_fd(p->list) : -1;
}
