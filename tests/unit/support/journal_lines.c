#include "journal_lines.h"

struct journal_lines test_journal;

const char *lines_path(const struct journal_lines *j, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", j->dir, name);
    return path;
}

void lines_add(struct journal_lines *j, struct record *r) {
    r->seq = ++j->seq;
    r->batch = j->batch = (j->seq + 2) / 3;
    r->ts_us = 1763700000000000 + (int64_t)j->seq;
    buf_clear(&j->line);
    assert_int_equal(record_encode(r, &j->chain, &j->line), 0);
    assert_int_equal(fwrite(j->line.data, 1, j->line.len, j->file), j->line.len);
    fflush(j->file);
}

void lines_epoch(struct journal_lines *j, uint64_t epoch) {
    struct record r = {.ev = EV_EPOCH, .epoch = epoch, .journal = j->journal, .version = JOURNAL_VERSION};
    lines_add(j, &r);
}

void lines_begin(struct journal_lines *j) { /* a new directory and the epoch line */
    *j = (struct journal_lines){.first_seq = 1};
    strcpy(j->dir, "journalXXXXXX");
    assert_non_null(mkdtemp(j->dir));
    assert_int_equal(chain_init(&j->chain), 0);
    j->journal.b[0] = 1;
    j->file = fopen(lines_path(j, "journal.jsonl"), "w");
    assert_non_null(j->file);
    lines_epoch(j, 1);
}

void lines_stops(struct journal_lines *j, int count) {
    while (count-- > 0) {
        struct record r = {.ev = EV_STOP};
        lines_add(j, &r);
    }
}

const char *lines_sealed_name(uint64_t first_seq) {
    static char name[64];
    snprintf(name, sizeof name, "journal.%020llu.jsonl", (unsigned long long)first_seq);
    return name;
}

void lines_seal(struct journal_lines *j) {
    char from[256];
    fclose(j->file);
    snprintf(from, sizeof from, "%s", lines_path(j, "journal.jsonl"));
    assert_int_equal(rename(from, lines_path(j, lines_sealed_name(j->first_seq))), 0);
}

void lines_renew(struct journal_lines *j) {
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

void lines_rotate(struct journal_lines *j) {
    lines_seal(j);
    lines_renew(j);
}

void lines_end(struct journal_lines *j) {
    char command[128];
    if (j->file)
        fclose(j->file);
    chain_release(&j->chain);
    buf_release(&j->line);
    snprintf(command, sizeof command, "rm -r '%s'", j->dir);
    assert_int_equal(system(command), 0);
}

struct buf lines_read(const struct journal_lines *j, const char *name) {
    return file_bytes(lines_path(j, name));
}

void lines_write(const struct journal_lines *j, const char *name, struct slice bytes) {
    file_put(lines_path(j, name), bytes);
}

int lines_setup(void **state) {
    (void)state;
    lines_begin(&test_journal);
    return 0;
}

int lines_teardown(void **state) {
    (void)state;
    lines_end(&test_journal);
    return 0;
}
