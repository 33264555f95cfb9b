/* Files of rules (--exclude-from and its siblings): a rule on each line. */
#ifndef CHUNKLIFT_RULE_FILE_H
#define CHUNKLIFT_RULE_FILE_H

#include "pure/err.h"
#include <stddef.h>

#define RULE_FILE_MAX ((size_t)4 << 20) /* bytes */

/*
 * Reads path ("-": standard input) and calls add for each line. White space at both ends of a line is removed; empty
 * lines and lines that begin with '#' or ';' are ignored, as in rclone. Blocks until the file ends. Stops at an error
 * of add and returns it. ERR_USAGE (logged with option): the file cannot be read, is too large or is no text.
 * ERR_NOMEM.
 */
int rule_file_read(const char *option, const char *path, int (*add)(void *arg, unsigned line, const char *text),
                   void *arg) MUST_CHECK;

#endif
