/*
 * Options in a file, for services that are started without a command line of their own: one `name = value` a line
 * (a flag: `name`), names as on the command line without the dashes. Empty lines and lines that begin with # are
 * left out; a value goes to the end of its line and is taken as it is, without quotes or escapes.
 */
#ifndef CHUNKLIFT_CONFIG_FILE_H
#define CHUNKLIFT_CONFIG_FILE_H

#include "pure/buf.h"
#include "pure/err.h"

#define CONFIG_FILE_MAX ((size_t)64 << 10) /* bytes */

/* What an option of kind OPTION_CONFIG points to. Its owner releases text after the last use of any option. */
struct config_file {
    const char *path; /* NULL: none was given */
    struct buf text;  /* values point into it */
};

/* Reads c->path and calls entry for each line; value is NULL where there is no '='. Stops at an error of entry and
 * returns it. ERR_USAGE (logged): the file cannot be read, is too large or has a NUL byte or a line without a name. */
int config_file_read(struct config_file *c, int (*entry)(void *arg, unsigned line, const char *name, const char *value),
                     void *arg) MUST_CHECK;

#endif
