/*
 * Options in a file, for services that are started without arguments: one `name = value` per line (a flag: `name`), with
 * the names of the command line without dashes. Empty lines and lines that begin with # are ignored. A value ends with
 * its line; it has no quotes or escapes.
 */
#ifndef CHUNKLIFT_CONFIG_FILE_H
#define CHUNKLIFT_CONFIG_FILE_H

#include "pure/buf.h"
#include "pure/err.h"

#define CONFIG_FILE_MAX ((size_t)64 << 10) /* bytes */

/* The target of an option of kind OPTION_CONFIG. Its owner releases text after the last use of any option. */
struct config_file {
    const char *path; /* NULL: not given */
    struct buf text;  /* values point into it */
};

/* Reads c->path and calls entry for each line; value is NULL where there is no '='. Stops at an error of entry and
 * returns it. ERR_USAGE (logged): the file cannot be read, is too large or has a NUL byte or a line without a name. */
int config_file_read(struct config_file *c, int (*entry)(void *arg, unsigned line, const char *name, const char *value),
                     void *arg) MUST_CHECK;

#endif
