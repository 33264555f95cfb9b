/*
 * The chain over all files of a journal directory, checked without a lock: journal_walk hands out every line in order
 * while a consumer may be appending and rotating.
 */
#include "journal/files.h"

#include "journal/walk.h"
#include "system/clock.h"
#include "system/log.h"
#include <dirent.h>
#include <stdio.h>
#include <time.h>

#define TORN_PATIENCE_MS 1000
#define TORN_PAUSE_MS 20

struct verifier {
    const char *dir, *wanted_head;
    struct verify_report *report;
    struct chain chain;
    struct buf scratch;
    struct id128 journal; /* of the first epoch record met */
    uint64_t seq, batch;  /* of the last valid line */
    uint64_t files;       /* begun, as the walk counts them */
    char file[48];        /* the one being checked */
    bool active;          /* it was opened as the active one */
    uint64_t file_line;   /* the last line met there */
};

__attribute__((format(printf, 4, 5))) static int damaged(struct verifier *v, const char *file, uint64_t line,
                                                         const char *format, ...) {
    struct verify_report *r = v->report;
    snprintf(r->file, sizeof r->file, "%.*s", (int)sizeof r->file - 1, file);
    r->line = line;
    va_list args;
    va_start(args, format);
    vsnprintf(r->reason, sizeof r->reason, format, args);
    va_end(args);
    return ERR_DAMAGED;
}

#define U64(x) ((unsigned long long)(x))

/* Where a file's first line puts the chain: a segment line names the h before it. */
static int check_segment(struct verifier *v, const char *file, const struct record *r) {
    if (r->prev.len != ID_HEX_LEN)
        return damaged(v, file, 1, "prev is not a chain value");
    if (v->files > 1) {
        if (r->seq != v->seq + 1)
            return damaged(v, file, 1, "seq %llu after %llu: a file between them is missing", U64(r->seq), U64(v->seq));
        if (memcmp(r->prev.ptr, v->chain.h, ID_HEX_LEN) != 0)
            return damaged(v, file, 1, "it does not follow the file before: prev is not that file's last h");
        return 0;
    }
    if (r->seq == 1)
        return damaged(v, file, 1, "a segment line cannot be the first of a journal");
    v->report->from = r->seq; /* earlier segments were dropped */
    v->seq = r->seq - 1;
    v->batch = r->batch;
    memcpy(v->chain.h, r->prev.ptr, ID_HEX_LEN);
    return 0;
}

static int check_first_line(struct verifier *v, const char *file, uint64_t first_seq, const struct record *r) {
    if (first_seq && first_seq != r->seq)
        return damaged(v, file, 1, "its first seq is %llu, its name says %llu", U64(r->seq), U64(first_seq));
    if (r->ev == EV_SEGMENT)
        return check_segment(v, file, r);
    if (v->files > 1)
        return damaged(v, file, 1, "the first line is no segment line");
    if (r->seq != 1)
        return damaged(v, file, 1, "the journal starts at seq %llu without a segment line", U64(r->seq));
    return 0;
}

static int check_numbers(struct verifier *v, const char *file, uint64_t line, const struct record *r) {
    if (r->seq != v->seq + 1)
        return damaged(v, file, line, "seq %llu after %llu", U64(r->seq), U64(v->seq));
    if (r->batch < v->batch || r->batch - v->batch > 1)
        return damaged(v, file, line, "batch %llu after %llu", U64(r->batch), U64(v->batch));
    if (r->ev != EV_EPOCH)
        return 0;
    if (id_is_zero(&v->journal))
        v->journal = r->journal;
    else if (!id_equal(&v->journal, &r->journal))
        return damaged(v, file, line, "a line of another journal");
    return 0;
}

static int check_line(struct verifier *v, const char *file, uint64_t first_seq, uint64_t number, struct slice line) {
    struct record r;
    int err = record_parse(line, &r, &v->scratch);
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_VERSION)
        return damaged(v, file, number, "an event this version of chunklift does not know");
    if (err)
        return damaged(v, file, number, "not a journal line");
    if (number == 1)
        err = check_first_line(v, file, first_seq, &r);
    else if (r.ev == EV_SEGMENT)
        err = damaged(v, file, number, "a segment line in the middle of a file");
    if (!err)
        err = check_numbers(v, file, number, &r);
    if (err)
        return err;
    err = record_verify(line, &v->chain);
    if (err == ERR_DAMAGED)
        return damaged(v, file, number, "h does not fit: this line was changed, or one before it");
    if (err)
        return err;
    v->seq = r.seq;
    v->batch = r.batch;
    v->report->seq = v->seq;
    memcpy(v->report->head, v->chain.h, sizeof v->report->head);
    if (v->wanted_head && memcmp(v->wanted_head, v->chain.h, ID_HEX_LEN) == 0)
        v->report->has_head = true;
    return 0;
}

static void pause_ms(long ms) {
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* True when the active file was not followed by another but replaced by a repaired copy of itself: a consumer was
 * started after a crash. */
static bool is_repaired_copy(const struct verifier *v, const struct journal_walk *w, struct slice line) {
    struct record r;
    struct buf scratch = BUF_INIT;
    bool before = record_parse(line, &r, &scratch) == 0 && r.seq <= v->seq;
    buf_release(&scratch);
    return before && v->active && journal_walk_file_seq(w) == 0;
}

/* A new file begins: what was before it must have ended well. ERR_CHANGED: begin again. */
static int check_file_change(struct verifier *v, const struct journal_walk *w, struct slice line) {
    uint64_t files = journal_walk_files(w);
    if (files == v->files)
        return 0;
    if (is_repaired_copy(v, w, line))
        return ERR_CHANGED;
    uint64_t torn = journal_walk_torn_before(w);
    if (v->files > 0 && torn > 0)
        return damaged(v, v->file, v->file_line + 1, "torn last line of %llu bytes", U64(torn));
    if (files != v->files + 1)
        return damaged(v, journal_walk_file(w), 1, "the file before it is empty");
    v->files = files;
    v->active = journal_walk_file_seq(w) == 0;
    snprintf(v->file, sizeof v->file, "%s", journal_walk_file(w));
    return 0;
}

/* The end of what there is: 0 when it is a good end, ERR_AGAIN when a torn line may still become whole. */
static int check_end(struct verifier *v, const struct journal_walk *w, uint64_t *give_up_ms) {
    uint64_t torn = journal_walk_torn(w);
    const char *file = journal_walk_file(w);
    if (journal_walk_files(w) == 0) {
        log_error("%s: no journal in this directory", v->dir);
        return ERR_NOT_FOUND;
    }
    if (torn == 0)
        return journal_walk_line_number(w) == 0 ? damaged(v, file, 1, "the file is empty") : 0;
    uint64_t now = clock_ms();
    if (*give_up_ms == 0) /* nobody writes to a sealed file */
        *give_up_ms = journal_walk_file_seq(w) ? now : now + TORN_PATIENCE_MS;
    if (now < *give_up_ms)
        return ERR_AGAIN;
    return damaged(v, file, journal_walk_line_number(w) + 1, "torn last line of %llu bytes", U64(torn));
}

static int check_lines(struct verifier *v, struct journal_walk *w) {
    uint64_t give_up_ms = 0;
    for (;;) {
        struct slice line;
        int err = journal_walk_next(w, &line);
        if (err == ERR_LIMIT)
            return damaged(v, journal_walk_file(w), journal_walk_line_number(w) + 1, "a line longer than %d bytes",
                           RECORD_LINE_MAX);
        if (err == ERR_NOT_FOUND) {
            err = check_end(v, w, &give_up_ms);
            if (err != ERR_AGAIN)
                return err;
            pause_ms(TORN_PAUSE_MS);
            continue;
        }
        if (!err)
            err = check_file_change(v, w, line);
        if (!err)
            err = check_line(v, v->file, journal_walk_file_seq(w), journal_walk_line_number(w), line);
        if (err)
            return err;
        v->file_line = journal_walk_line_number(w);
        give_up_ms = 0;
    }
}

/* Names that look like files of the journal and are none: a misnamed segment must not pass for a dropped one. */
static int check_names(struct verifier *v) {
    DIR *d = opendir(v->dir);
    if (!d)
        return ERR_NOT_FOUND; /* it was there a moment ago */
    int err = 0;
    struct dirent *entry;
    while (!err && (entry = readdir(d))) {
        const char *name = entry->d_name;
        size_t len = strlen(name);
        if (strncmp(name, "journal", 7) != 0 || len < 13 || strcmp(name + len - 6, ".jsonl") != 0)
            continue;
        if (!journal_file_name_is_valid(name))
            err = damaged(v, name, 0, "not a name of a journal file");
    }
    closedir(d);
    return err;
}

static int verify_once(const char *dir, const char *wanted_head, struct verify_report *report) {
    *report = (struct verify_report){0};
    memset(report->head, '0', ID_HEX_LEN);
    struct verifier v = {.dir = dir, .wanted_head = wanted_head, .report = report};
    struct journal_walk *walk = NULL;
    int err = chain_init(&v.chain);
    if (!err)
        err = journal_walk_open(&walk, dir);
    if (!err)
        err = check_names(&v);
    if (!err)
        err = check_lines(&v, walk);
    journal_walk_close(&walk);
    chain_release(&v.chain);
    buf_release(&v.scratch);
    return err;
}

int journal_verify(const char *dir, const char *wanted_head, struct verify_report *report) {
    int err = ERR_CHANGED;
    for (int attempt = 0; err == ERR_CHANGED && attempt < 10; attempt++)
        err = verify_once(dir, wanted_head, report);
    return err;
}
