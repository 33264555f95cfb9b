#include "journal/files.h"
#include "pure/decimal.h"

#include "pure/array.h"
#include "system/log.h"
#include "system/oserr.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SEALED_PREFIX "journal."
#define SEALED_SUFFIX ".jsonl"
#define SEALED_DIGITS 20
#define SEALED_LENGTH (sizeof SEALED_PREFIX - 1 + SEALED_DIGITS + sizeof SEALED_SUFFIX - 1)

/* "journal.<20 digits>.jsonl" with a number of 1 to 2^64-1; 0 for any other name. */
static uint64_t sealed_name_seq(const char *name) {
    if (strlen(name) != SEALED_LENGTH || strncmp(name, SEALED_PREFIX, sizeof SEALED_PREFIX - 1) != 0 ||
        strcmp(name + SEALED_LENGTH - (sizeof SEALED_SUFFIX - 1), SEALED_SUFFIX) != 0)
        return 0;
    uint64_t seq;
    return decimal_parse(slice_make(name + sizeof SEALED_PREFIX - 1, SEALED_DIGITS), UINT64_MAX, &seq) ? 0 : seq;
}

void journal_sealed_name(uint64_t first_seq, char name[JOURNAL_NAME_SIZE]) {
    snprintf(name, JOURNAL_NAME_SIZE, SEALED_PREFIX "%020llu" SEALED_SUFFIX, (unsigned long long)first_seq);
}

bool journal_file_name_is_valid(const char *name) {
    return strcmp(name, JOURNAL_ACTIVE) == 0 || sealed_name_seq(name) != 0;
}

static int journal_files_add(struct journal_files *list, const char *name, uint64_t first_seq, uint64_t size) {
    int err = array_grow(&list->files, &list->cap, list->count, sizeof *list->files);
    if (err)
        return err;
    struct journal_file *f = &list->files[list->count++];
    f->first_seq = first_seq;
    f->size = size;
    snprintf(f->name, sizeof f->name, "%.*s", (int)SEALED_LENGTH, name);
    return 0;
}

static int journal_files_add_entry(DIR *d, const char *dir, const char *name, struct journal_files *list) {
    uint64_t seq = sealed_name_seq(name);
    bool active = strcmp(name, JOURNAL_ACTIVE) == 0;
    if (!seq && !active)
        return 0;
    struct stat st;
    if (fstatat(dirfd(d), name, &st, 0) != 0) {
        if (errno == ENOENT) /* renamed since readdir */
            return 0;
        int error = errno;
        log_error("%s/%s: %s", dir, name, strerror(error));
        return err_from_errno(error);
    }
    list->has_active |= active;
    return journal_files_add(list, name, seq, (uint64_t)st.st_size);
}

/* By first seq; the active file (0) is last. */
static int journal_files_compare(const void *left, const void *right) {
    uint64_t a = ((const struct journal_file *)left)->first_seq - 1;
    uint64_t b = ((const struct journal_file *)right)->first_seq - 1;
    return (a > b) - (a < b);
}

int journal_files_list(const char *dir, struct journal_files *list) {
    *list = (struct journal_files){0};
    DIR *d = opendir(dir);
    if (!d) {
        int error = errno;
        log_error("%s: %s", dir, error == ENOENT ? "no such journal directory" : strerror(error));
        return err_from_errno(error);
    }
    int err = 0;
    struct dirent *entry;
    while (!err && (errno = 0, entry = readdir(d)))
        err = journal_files_add_entry(d, dir, entry->d_name, list);
    if (!err && errno) {
        log_error("%s: %s", dir, strerror(errno));
        err = ERR_IO;
    }
    closedir(d);
    if (err)
        journal_files_release(list);
    else if (list->count)
        qsort(list->files, list->count, sizeof *list->files, journal_files_compare);
    return err;
}

void journal_files_release(struct journal_files *list) {
    free(list->files);
    *list = (struct journal_files){0};
}
