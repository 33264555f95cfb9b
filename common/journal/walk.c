/*
 * Order of files. The consumer rotates by two renames: the active file gets its sealed name, then a
 * new file becomes the active one. Between the two there is no active file. So the walk opens the
 * active file first and lists the directory after that. If the list has no new sealed file, the
 * opened file is the next one. Otherwise the walk closes it and reads the sealed files first. A
 * file that was read as the active one and sealed since then is recognised by its inode.
 */
#include "journal/walk.h"

#include "journal/files.h"
#include "journal/line_reader.h"
#include <stdlib.h>
#include <string.h>

struct journal_walk {
    char *dir;
    struct line_reader *reader; /* of the present file; NULL before the first */
    struct journal_file file;   /* its name; first_seq 0 when it was opened as the active one */
    uint64_t files, torn_before;
    uint64_t sealed_seq;         /* sealed files up to this one were read */
    struct journal_files listed; /* from next_listed on: sealed files not read yet */
    size_t next_listed;
};

static int walk_list(struct journal_walk *w) {
    journal_files_release(&w->listed);
    w->next_listed = 0;
    return journal_files_list(w->dir, &w->listed);
}

static int walk_create(struct journal_walk **out, const char *dir) {
    *out = NULL;
    struct journal_walk *w = calloc(1, sizeof *w);
    if (!w || !(w->dir = strdup(dir))) {
        free(w);
        return ERR_NOMEM;
    }
    int err = walk_list(w); /* logs a missing directory */
    if (err)
        journal_walk_close(&w);
    *out = w;
    return err;
}

int journal_walk_open(struct journal_walk **w, const char *dir) {
    return walk_create(w, dir);
}

void journal_walk_close(struct journal_walk **w) {
    if (!*w)
        return;
    line_reader_close(&(*w)->reader);
    journal_files_release(&(*w)->listed);
    free((*w)->dir);
    free(*w);
    *w = NULL;
}

/* The next sealed file of the list that was not read yet, or NULL. */
static const struct journal_file *walk_next_sealed(struct journal_walk *w) {
    while (w->next_listed < w->listed.count) {
        const struct journal_file *f = &w->listed.files[w->next_listed++];
        if (f->first_seq <= w->sealed_seq)
            continue; /* read, or the active file (0) */
        w->sealed_seq = f->first_seq;
        if (w->reader && line_reader_is_file(w->reader, f->name))
            continue; /* the present file, which was read as the active one */
        return f;
    }
    return NULL;
}

static void walk_enter_file(struct journal_walk *w, struct line_reader *reader, const struct journal_file *f) {
    w->torn_before = w->reader ? line_reader_torn(w->reader) : 0;
    line_reader_close(&w->reader);
    w->reader = reader;
    w->file = *f;
    w->files++;
}

static const struct journal_file active_file = {.name = JOURNAL_ACTIVE};

static int walk_open_sealed(struct journal_walk *w, struct line_reader **reader, const struct journal_file **out) {
    const struct journal_file *f;
    int err = ERR_NOT_FOUND;
    while (err == ERR_NOT_FOUND && (f = walk_next_sealed(w))) { /* not found: it was removed since it was listed */
        err = line_reader_open(reader, w->dir, f->name, 0);
        *out = f;
    }
    return err;
}

/* Moves to the file after the present one. ERR_NOT_FOUND: there is none yet. */
static int walk_next_file(struct journal_walk *w) {
    struct line_reader *reader = NULL, *active = NULL;
    const struct journal_file *f = &active_file;
    int err = walk_open_sealed(w, &reader, &f);
    if (err == ERR_NOT_FOUND) {
        err = line_reader_open(&active, w->dir, JOURNAL_ACTIVE, 0);
        if (!err || err == ERR_NOT_FOUND) /* missing: between the two renames, or no journal */
            err = walk_list(w);
        if (!err)
            err = walk_open_sealed(w, &reader, &f);
        if (err == ERR_NOT_FOUND && active && !(w->reader && line_reader_is_same(w->reader, active))) {
            err = 0;
            f = &active_file;
            reader = active;
            active = NULL;
        }
        line_reader_close(&active);
    }
    if (!err)
        walk_enter_file(w, reader, f);
    return err;
}

int journal_walk_next(struct journal_walk *w, struct slice *line) {
    for (;;) {
        int err = w->reader ? line_reader_next(w->reader, line) : ERR_NOT_FOUND;
        if (err != ERR_NOT_FOUND)
            return err;
        if (w->reader && w->file.first_seq == 0) {
            if (!line_reader_is_replaced(w->reader))
                return ERR_NOT_FOUND;
            err = line_reader_next(w->reader, line); /* lines appended before it was sealed */
            if (err != ERR_NOT_FOUND)
                return err;
        }
        if ((err = walk_next_file(w)))
            return err;
    }
}

/* The number of listed files before the present one: all sealed files, or, if it was sealed since
 * it was opened, those before it. */
static size_t walk_count_before(const struct journal_walk *w) {
    size_t i = 0;
    while (i < w->listed.count && w->listed.files[i].first_seq != 0 &&
           !(w->reader && line_reader_is_file(w->reader, w->listed.files[i].name)))
        i++;
    return i;
}

/* Goes back from the end, file by file, until `lines` lines follow. */
static int walk_go_back(struct journal_walk *w, uint64_t lines) {
    struct line_reader *reader = NULL;
    int err = line_reader_open(&reader, w->dir, JOURNAL_ACTIVE, 0);
    if (err && err != ERR_NOT_FOUND)
        return err;
    if (reader) {
        walk_enter_file(w, reader, &active_file);
        err = line_reader_seek_last(reader, &lines);
    } else {
        err = 0;
    }
    if (!err)
        err = walk_list(w); /* after the active file was opened, so every file sealed before that is listed */
    size_t i = walk_count_before(w);
    if (!err && i > 0)
        w->sealed_seq = w->listed.files[i - 1].first_seq;
    while (!err && (lines > 0 || !w->reader) && i-- > 0) {
        const struct journal_file *f = &w->listed.files[i];
        if ((err = line_reader_open(&reader, w->dir, f->name, 0)))
            break;
        walk_enter_file(w, reader, f);
        w->sealed_seq = f->first_seq;
        err = line_reader_seek_last(reader, &lines);
    }
    w->files = w->reader ? 1 : 0;
    w->torn_before = 0;
    return err == ERR_NOT_FOUND ? 0 : err; /* removed since it was listed: begin with the files present */
}

int journal_walk_open_last(struct journal_walk **w, const char *dir, uint64_t lines) {
    int err = walk_create(w, dir);
    if (!err)
        err = walk_go_back(*w, lines);
    if (err)
        journal_walk_close(w);
    return err;
}

const char *journal_walk_file(const struct journal_walk *w) {
    return w->file.name;
}

uint64_t journal_walk_file_seq(const struct journal_walk *w) {
    return w->file.first_seq;
}

uint64_t journal_walk_line_number(const struct journal_walk *w) {
    return w->reader ? line_reader_line_number(w->reader) : 0;
}

uint64_t journal_walk_files(const struct journal_walk *w) {
    return w->files;
}

uint64_t journal_walk_torn(const struct journal_walk *w) {
    return w->reader ? line_reader_torn(w->reader) : 0;
}

uint64_t journal_walk_torn_before(const struct journal_walk *w) {
    return w->torn_before;
}
