/* Whole files and flat directories, for tests. Each function fails the test on an error of the file system. */
#ifndef CHUNKLIFT_TEST_FILES_H
#define CHUNKLIFT_TEST_FILES_H

#include "pure/buf.h"
#include "pure/text.h"
#include <stdbool.h>

/* The content of a file. The caller releases it. data is never NULL. */
struct buf file_bytes(const char *path);

/* Creates the file or replaces its content. */
void file_put(const char *path, struct slice bytes);
void file_put_text(const char *path, const char *text);

/* Like file_put, but the file is a new one: a file system may flush data that replaces old content. */
void file_put_new(const char *path, struct slice bytes);

/* Creates the file, or replaces its content, with this size and no data. */
void file_put_hole(const char *path, uint64_t size);

/* Reads the beginning of the file, at most size - 1 bytes, with a NUL. Returns text. */
const char *file_read_text(const char *path, char *text, size_t size);

bool file_exists(const char *path);

/* The path of the file of the directory with this prefix in its name, in static storage. NULL: there is none.
 * Two are an error. */
const char *dir_find(const char *dir, const char *prefix);

/* The number of files in a directory; 0: it does not exist. */
int dir_count(const char *dir);

/* The number of open descriptors of this process. A test compares two of them to find a descriptor that stays open. */
int open_descriptors(void);

/* Removes a directory and its files. Without effect if there is no such directory. */
void dir_remove(const char *dir);

/* The number of open descriptors below 256. */
unsigned descriptors_count(void);

/* Makes a directory in the current one and enters it. root gets its absolute path. The second function leaves
 * it and removes it with its content; its result is 0, or that of a failed teardown. */
#define TEMP_DIR_SIZE 2048
void temp_dir_enter(char root[TEMP_DIR_SIZE]);
int temp_dir_leave(const char *root);

#endif
