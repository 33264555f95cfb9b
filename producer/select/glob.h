/*
 * rclone's patterns for names: globs that become regular expressions. The syntax is that of rclone's documentation,
 * "Patterns for matching path/file names". The result is the expression that rclone shows with `--dump filters`.
 *
 * pcre2_pattern_convert() does not fit: it knows neither braces nor {{regexp}}, and its "**" is a whole component.
 *
 * Differences: braces may nest, as in rclone 1.70. In [ ] a backslash quotes the next character, as documented; rclone
 * 1.60 refuses that.
 */
#ifndef CHUNKLIFT_GLOB_H
#define CHUNKLIFT_GLOB_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

/* Appends the expression of glob to out. ERR_INVALID: *problem is the reason, static storage. ERR_NOMEM. */
int glob_to_regexp(const char *glob, bool ignore_case, struct buf *out, const char **problem) MUST_CHECK;
/*
 * Calls add with a glob for each directory that can contain a file of this glob; each ends in '/', or is "/ **" without
 * the blank: any directory. Stops at an error of add and returns it. ERR_NOMEM.
 */
int glob_each_directory(const char *glob, int (*add)(void *arg, const char *directories), void *arg) MUST_CHECK;

#endif
