/*
 * From arguments to files: takes one SRC after the other, walks trees, gives each regular file its name at the
 * destination and its geometry, and adds it to the table while there is room. What cannot be planned fails here, alone.
 */
#include "producer/planner.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* A file that cannot be planned. The journal hears of it where its names fit a PLAN. */
static int refuse(struct core *c, const char *path, const char *dest, const char *reason) {
    static const struct source_identity none;
    static const struct geometry nothing;
    struct file *f;
    c->counts.files_seen++;
    if (strlen(path) > PROTO_NAME_MAX || strlen(dest) > PROTO_NAME_MAX || strlen(reason) > PROTO_TEXT_MAX) {
        c->counts.files_failed++;
        core_report_error(c, path, FAIL_SOURCE, reason);
        return 0;
    }
    int err = files_add(&c->files, path, dest, &none, &nothing, &f);
    return err ? err : core_refuse(c, f, reason);
}

static void source_error(struct core *c, const char *path, const char *reason) {
    c->counts.source_errors++;
    core_report_error(c, path, FAIL_SOURCE, reason);
}

/* NULL when the file can have this destination. */
static const char *dest_objection(const struct core *c, struct slice dest, const struct stat *st) {
    struct dest d;
    struct stat there;
    if (dest_parse(dest, &d) != 0)
        return "its name makes no valid destination";
    if (c->sources.scheme == DEST_S3) {
        if (!utf8_is_valid(d.key))
            return "its name is not UTF-8, which S3 keys must be; rename it, or upload it to a file:// destination";
        if (d.key.len > S3_KEY_MAX)
            return "its key would be longer than 1,024 bytes, more than S3 takes; use a shorter prefix or name";
        return d.key.len == 0 ? "its key would be empty" : NULL;
    }
    if (dest.len > PROTO_NAME_MAX)
        return "its destination would be longer than 4,096 bytes";
    if (stat(d.key.ptr, &there) == 0) {
        if (there.st_dev == st->st_dev && there.st_ino == st->st_ino)
            return "source and destination are the same file";
        if (S_ISDIR(there.st_mode))
            return "its destination is a directory";
    }
    return NULL;
}

static int make_dest(const struct core *c, const char *name, struct buf *dest) {
    if (c->sources.dest_is_name)
        return buf_add_text(dest, c->sources.dest);
    return dest_join(dest, slice_of(c->sources.dest), slice_of(name));
}

/* name: under the prefix. */
static int plan_file(struct core *c, const char *path, const char *name, const struct stat *st) {
    struct buf dest = BUF_INIT;
    struct geometry wish;
    struct source_identity id;
    enum inodes inodes;
    struct file *f;
    core_let_settle(st);
    core_identify(c, path, st, &id, &inodes);
    int err = make_dest(c, name, &dest);
    if (err)
        goto out;
    const char *objection =
        strlen(path) > PROTO_NAME_MAX ? "its path is longer than 4,096 bytes" : dest_objection(c, buf_slice(&dest), st);
    if (!objection && geometry_plan(c->limits, id.size, c->chunk_size, &wish) != 0)
        objection = "it is larger than the destination takes";
    if (objection) {
        err = refuse(c, path, dest.data, objection);
        goto out;
    }
    err = files_add(&c->files, path, dest.data, &id, &wish, &f);
    if (err)
        goto out;
    f->forced = c->force;
    f->inodes = inodes;
    c->counts.files_seen++;
    c->counts.bytes_total += id.size;
out:
    buf_release(&dest);
    return err;
}

static int refuse_named(struct core *c, const char *path, const char *name, const char *reason) {
    struct buf dest = BUF_INIT;
    int err = make_dest(c, name, &dest);
    if (!err)
        err = refuse(c, path, dest.data, reason);
    buf_release(&dest);
    return err;
}

static int take_single_file(struct core *c, const struct source_item *item) {
    struct stat st;
    const char *error;
    char reason[160];
    walk_probe_file(AT_FDCWD, item->path, &st, &error);
    if (!error)
        return plan_file(c, item->path, item->name, &st);
    snprintf(reason, sizeof reason, "cannot be read: %s", error);
    return refuse_named(c, item->path, item->name, reason);
}

static int take_tree_file(struct core *c, const struct source_item *item, const struct walk_entry *e) {
    struct buf name = BUF_INIT;
    int err = 0;
    if (item->name[0]) {
        err = buf_add_text(&name, item->name);
        if (err == 0)
            err = buf_add_byte(&name, '/');
    }
    if (err == 0)
        err = buf_add_text(&name, e->name);
    if (err == 0)
        err = e->kind == WALK_BAD_FILE ? refuse_named(c, e->path, name.data, e->error)
                                       : plan_file(c, e->path, name.data, &e->st);
    buf_release(&name);
    return err;
}

static void leave_tree(struct core *c) {
    const struct walk_counts *w = walk_counts(c->walk);
    c->counts.links_skipped += w->links;
    c->counts.empty_dirs += w->empty_dirs;
    c->counts.other_skipped += w->others;
    walk_destroy(&c->walk);
    c->source_at++;
}

static void leave_out(struct core *c, const struct walk_entry *e) {
    if (c->events.entry_skipped)
        c->events.entry_skipped(c->events.arg, e->path, e->left_out);
    if (strcmp(e->left_out, WALK_OWN) == 0 && !c->own_journal_said) {
        core_notice(c, "%s: is the journal of this command; it is left out", e->path);
        c->own_journal_said = true;
    }
}

static int walk_on(struct core *c, const struct source_item *item) {
    struct walk_entry e;
    int err = walk_next(c->walk, &e);
    if (err)
        return err;
    switch (e.kind) {
    case WALK_FILE:
    case WALK_BAD_FILE:
        return take_tree_file(c, item, &e);
    case WALK_BAD_DIR:
        source_error(c, e.path, e.error);
        break;
    case WALK_END:
        leave_tree(c);
        break;
    case WALK_SKIPPED:
        if (e.left_out)
            leave_out(c, &e);
        break;
    }
    return 0;
}

static int next_source(struct core *c) {
    const struct source_item *item = &c->sources.items[c->source_at];
    if (item->error)
        source_error(c, item->given, item->error);
    else if (item->directory) {
        int err = walk_new(&c->walk, item->path);
        if (!err)
            walk_leave_out(c->walk, c->journal_dir);
        return err;
    } else {
        int err = take_single_file(c, item);
        if (err)
            return err;
    }
    c->source_at++;
    return 0;
}

int intake_step(struct core *c, unsigned budget, bool *more) {
    int err = 0;
    while (err == 0 && c->counts.walking && budget > 0 && !c->draining && files_have_room(&c->files)) {
        budget--;
        if (c->walk)
            err = walk_on(c, &c->sources.items[c->source_at]);
        else if (c->source_at < c->sources.count)
            err = next_source(c);
        else
            c->counts.walking = false;
    }
    *more = c->counts.walking && !c->draining && files_have_room(&c->files);
    return err;
}
