/* Journals for tests, made line by line with record_encode. The test decides where a file ends. */
#ifndef CHUNKLIFT_JOURNAL_LINES_H
#define CHUNKLIFT_JOURNAL_LINES_H

#include "unit.h"

#include "journal/record.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal_lines {
    char dir[64];
    struct chain chain;
    struct buf line;
    uint64_t seq, batch, first_seq; /* first_seq: of the active file */
    struct id128 journal;
    FILE *file;
};

static inline const char *lines_path(const struct journal_lines *j, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", j->dir, name);
    return path;
}

/* Encodes and appends r. Sets seq, batch (a new one every 3 lines) and ts. */
static inline void lines_add(struct journal_lines *j, struct record *r) {
    r->seq = ++j->seq;
    r->batch = j->batch = (j->seq + 2) / 3;
    r->ts_us = 1763700000000000 + (int64_t)j->seq;
    buf_clear(&j->line);
    assert_int_equal(record_encode(r, &j->chain, &j->line), 0);
    assert_int_equal(fwrite(j->line.data, 1, j->line.len, j->file), j->line.len);
    fflush(j->file);
}

static inline void lines_epoch(struct journal_lines *j, uint64_t epoch) {
    struct record r = {.ev = EV_EPOCH, .epoch = epoch, .journal = j->journal, .version = JOURNAL_VERSION};
    lines_add(j, &r);
}

static inline void lines_begin(struct journal_lines *j) { /* a new directory and the epoch line */
    *j = (struct journal_lines){.first_seq = 1};
    strcpy(j->dir, "journalXXXXXX");
    assert_non_null(mkdtemp(j->dir));
    assert_int_equal(chain_init(&j->chain), 0);
    j->journal.b[0] = 1;
    j->file = fopen(lines_path(j, "journal.jsonl"), "w");
    assert_non_null(j->file);
    lines_epoch(j, 1);
}

static inline void lines_stops(struct journal_lines *j, int count) {
    while (count-- > 0) {
        struct record r = {.ev = EV_STOP};
        lines_add(j, &r);
    }
}

static inline const char *lines_sealed_name(uint64_t first_seq) {
    static char name[64];
    snprintf(name, sizeof name, "journal.%020llu.jsonl", (unsigned long long)first_seq);
    return name;
}

/* The first half of a rotation: there is no active file then. */
static inline void lines_seal(struct journal_lines *j) {
    char from[256];
    fclose(j->file);
    snprintf(from, sizeof from, "%s", lines_path(j, "journal.jsonl"));
    assert_int_equal(rename(from, lines_path(j, lines_sealed_name(j->first_seq))), 0);
}

static inline void lines_renew(struct journal_lines *j) {
    char from[256];
    snprintf(from, sizeof from, "%s", lines_path(j, "new"));
    j->file = fopen(from, "w");
    assert_non_null(j->file);
    j->first_seq = j->seq + 1;
    char prev[ID_HEX_SIZE];
    memcpy(prev, j->chain.h, sizeof prev);
    struct record r = {.ev = EV_SEGMENT, .prev = slice_of(prev)};
    lines_add(j, &r);
    assert_int_equal(rename(from, lines_path(j, "journal.jsonl")), 0);
}

static inline void lines_rotate(struct journal_lines *j) {
    lines_seal(j);
    lines_renew(j);
}

static inline void lines_end(struct journal_lines *j) {
    char command[128];
    if (j->file)
        fclose(j->file);
    chain_release(&j->chain);
    buf_release(&j->line);
    snprintf(command, sizeof command, "rm -r '%s'", j->dir);
    assert_int_equal(system(command), 0);
}

/* The whole content of a file. */
static inline struct buf lines_read(const struct journal_lines *j, const char *name) {
    struct buf b = BUF_INIT;
    FILE *f = fopen(lines_path(j, name), "r");
    assert_non_null(f);
    int c;
    while ((c = getc(f)) != EOF)
        assert_int_equal(buf_add_byte(&b, (char)c), 0);
    fclose(f);
    return b;
}

static inline void lines_write(const struct journal_lines *j, const char *name, struct slice bytes) {
    FILE *f = fopen(lines_path(j, name), "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.ptr, 1, bytes.len, f), bytes.len);
    fclose(f);
}

#endif
