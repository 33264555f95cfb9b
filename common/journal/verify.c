/*
 * Verification without a lock: journal_walk returns every line in order while a consumer may append
 * and rotate. This file adds the order of files and the end of the journal to the checks of
 * line_check.h.
 */
#include "journal/verify.h"

#include "journal/walk.h"
#include "system/clock.h"
#include "system/log.h"
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TORN_PATIENCE_MS 1000
#define TORN_PAUSE_MS 20

struct verifier {
    const char *dir, *wanted_head;
    struct verify_report *report;
    struct line_check check;
    uint64_t files;               /* begun, as journal_walk_files counts them */
    char file[JOURNAL_NAME_SIZE]; /* the present one */
    bool active;                  /* it was opened as the active one */
    uint64_t file_line;           /* its last line */
};

__attribute__((format(printf, 4, 5))) static int verify_damaged(struct verifier *v, const char *file, uint64_t line,
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

static int verify_line(struct verifier *v, const struct journal_walk *w, struct slice line) {
    struct verify_report *report = v->report;
    struct record r;
    uint64_t number = journal_walk_line_number(w);
    struct line_place place = {.file_seq = journal_walk_file_seq(w), .is_first = number == 1};
    bool placed = v->check.placed;
    int err = line_check_next(&v->check, line, place, &r);
    if (err == ERR_DAMAGED || err == ERR_VERSION)
        return verify_damaged(v, v->file, number, "%s", v->check.reason);
    if (err)
        return err;
    if (!placed && r.ev == EV_SEGMENT)
        report->from = r.seq;
    report->seq = r.seq;
    memcpy(report->head, r.h, ID_HEX_LEN);
    if (v->wanted_head && memcmp(v->wanted_head, r.h, ID_HEX_LEN) == 0)
        report->has_head = true;
    return 0;
}

static void pause_ms(long ms) {
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* True when a repaired copy of the active file took its place: a consumer was started after a
 * crash. False when the active file was rotated. */
static bool verify_is_repaired_copy(const struct verifier *v, const struct journal_walk *w, struct slice line) {
    uint64_t seq;
    return v->active && journal_walk_file_seq(w) == 0 && line_seq(line, &seq) && seq <= v->check.seq;
}

/* When a new file begins: the file before it must have a valid end. ERR_CHANGED: verify from the
 * beginning. */
static int verify_file_change(struct verifier *v, const struct journal_walk *w, struct slice line) {
    uint64_t files = journal_walk_files(w);
    if (files == v->files)
        return 0;
    if (verify_is_repaired_copy(v, w, line))
        return ERR_CHANGED;
    uint64_t torn = journal_walk_torn_before(w);
    if (v->files > 0 && torn > 0)
        return verify_damaged(v, v->file, v->file_line + 1, "torn last line of %llu bytes", U64(torn));
    if (files != v->files + 1)
        return verify_damaged(v, journal_walk_file(w), 1, "the file before it is empty");
    v->files = files;
    v->active = journal_walk_file_seq(w) == 0;
    snprintf(v->file, sizeof v->file, "%s", journal_walk_file(w));
    return 0;
}

/* At the present end. 0: a valid end. ERR_AGAIN: a torn line may still become whole. */
static int verify_check_end(struct verifier *v, const struct journal_walk *w, uint64_t *give_up_ms) {
    uint64_t torn = journal_walk_torn(w);
    const char *file = journal_walk_file(w);
    if (journal_walk_files(w) == 0) {
        log_error("%s: no journal in this directory", v->dir);
        return ERR_NOT_FOUND;
    }
    if (torn == 0)
        return journal_walk_line_number(w) == 0 ? verify_damaged(v, file, 1, "the file is empty") : 0;
    uint64_t now = clock_ms();
    if (*give_up_ms == 0) /* a sealed file never changes */
        *give_up_ms = journal_walk_file_seq(w) ? now : now + TORN_PATIENCE_MS;
    if (now < *give_up_ms)
        return ERR_AGAIN;
    return verify_damaged(v, file, journal_walk_line_number(w) + 1, "torn last line of %llu bytes", U64(torn));
}

static int verify_lines(struct verifier *v, struct journal_walk *w) {
    uint64_t give_up_ms = 0;
    for (;;) {
        struct slice line;
        int err = journal_walk_next(w, &line);
        if (err == ERR_LIMIT)
            return verify_damaged(v, journal_walk_file(w), journal_walk_line_number(w) + 1,
                                  "a line longer than %d bytes", RECORD_LINE_MAX);
        if (err == ERR_NOT_FOUND) {
            err = verify_check_end(v, w, &give_up_ms);
            if (err != ERR_AGAIN)
                return err;
            pause_ms(TORN_PAUSE_MS);
            continue;
        }
        if (!err)
            err = verify_file_change(v, w, line);
        if (!err)
            err = verify_line(v, w, line);
        if (err)
            return err;
        v->file_line = journal_walk_line_number(w);
        give_up_ms = 0;
    }
}

/* A name that only resembles a journal file is damage: a misnamed sealed file must not pass for a
 * removed one. */
static int verify_names(struct verifier *v) {
    DIR *d = opendir(v->dir);
    if (!d)
        return ERR_NOT_FOUND; /* removed since journal_walk_open */
    int err = 0;
    struct dirent *entry;
    while (!err && (entry = readdir(d))) {
        const char *name = entry->d_name;
        size_t len = strlen(name);
        if (strncmp(name, "journal", 7) != 0 || strcmp(name + len - 6, ".jsonl") != 0)
            continue;
        if (!journal_file_name_is_valid(name))
            err = verify_damaged(v, name, 0, "not a name of a journal file");
    }
    closedir(d);
    return err;
}

static int verify_once(const char *dir, const char *wanted_head, struct verify_report *report) {
    *report = (struct verify_report){0};
    memset(report->head, '0', ID_HEX_LEN);
    struct verifier v = {.dir = dir, .wanted_head = wanted_head, .report = report};
    struct journal_walk *walk = NULL;
    int err = line_check_init(&v.check);
    if (!err)
        err = journal_walk_open(&walk, dir);
    if (!err)
        err = verify_names(&v);
    if (!err)
        err = verify_lines(&v, walk);
    journal_walk_close(&walk);
    line_check_release(&v.check);
    return err;
}

int journal_verify(const char *dir, const char *wanted_head, struct verify_report *report) {
    int err = ERR_CHANGED;
    for (int attempt = 0; err == ERR_CHANGED && attempt < 10; attempt++)
        err = verify_once(dir, wanted_head, report);
    return err;
}
