/*
 * The files of a journal directory: their names and their order. Read-only. The consumer's recovery
 * and the commands that read a journal use it. Only the consumer writes
 * (consumer/journal/journal.h).
 */
#ifndef CHUNKLIFT_JOURNAL_FILES_H
#define CHUNKLIFT_JOURNAL_FILES_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_ACTIVE "journal.jsonl"
#define JOURNAL_NAME_SIZE 48

struct journal_file {
    char name[JOURNAL_NAME_SIZE]; /* journal.jsonl, or journal.<20 digits>.jsonl */
    uint64_t first_seq;           /* from the name; 0 for the active file */
    uint64_t size;
};
/* Sealed files in ascending order, then the active file. The active file may be missing; count is
 * the number of entries. */
struct journal_files {
    struct journal_file *files;
    size_t count, cap;
    bool has_active;
};

/* The name of the sealed file whose first line has this seq. */
void journal_sealed_name(uint64_t first_seq, char name[JOURNAL_NAME_SIZE]);
/* True for journal.jsonl and journal.<20 digits>.jsonl. */
bool journal_file_name_is_valid(const char *name);
/* ERR_NOT_FOUND: dir does not exist. Errors are logged. */
int journal_files_list(const char *dir, struct journal_files *list) MUST_CHECK;
void journal_files_release(struct journal_files *list);
static inline size_t journal_files_sealed(const struct journal_files *list) {
    return list->count - list->has_active;
}

#endif
