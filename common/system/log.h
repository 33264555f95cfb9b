/*
 * Messages for people on stderr: one line each, "chunklift: THING: the problem; the remedy". Never credentials. Not
 * thread-safe: only the main thread of a program logs.
 */
#ifndef CHUNKLIFT_LOG_H
#define CHUNKLIFT_LOG_H

#include "pure/err.h"
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* program: the prefix ("chunklift"). level: the most detailed printed level. timestamps: for log files. */
void log_setup(const char *program, enum log_level level, bool timestamps);
enum log_level log_level(void);
/* From here on stderr is this file, opened for appending (created with mode 0640), and lines have timestamps. A path of NULL
 * changes nothing. ERR_USAGE: logged, stderr is as before. The path must live as long as the program. */
int log_set_file(const char *path) MUST_CHECK;
/* Opens the file of log_set_file again (after SIGHUP), so that logrotate(8) can move it. An error is logged, and the open
 * file stays in use. */
void log_reopen_file(void);
/* The same, without a signal: when another file has the path by now. While none has it, the open file stays in use. */
void log_follow_file(void);
bool log_has_file(void); /* log_set_file was called with a path */
/* The descriptor for progress and summary: the terminal that was stderr before log_set_file, otherwise stderr. */
int log_display_fd(void);
/* stderr is a file, so lines need timestamps. (A terminal needs none, and systemd's journal adds its own.) */
bool log_goes_to_file(void);
/* on: each line is also an event on stdout: {"event":"log","ts":…,"level":"error","text":…}. */
void log_set_json(bool on);
/* errno of the first such event that could not be written; 0: none. */
int log_json_error(void);
/* Called before each line, to erase a progress display; NULL: none. */
void log_set_before_line(void (*before)(void *arg), void *arg);

/* From now on errors and warnings are not written: the first one goes to out, made short if it must be. For a check that
 * reports the words of the code that it calls. NULL: ends it. */
void log_capture(char *out, size_t size);

/* A line that comes more often than ten times in 5 s is left out, and counted when it comes again later. Debug lines
 * are never left out.
 * A newline is added; control characters and bytes that are not UTF-8 in the text are made printable. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
