/*
 * What a person reads on stderr: one line a message, "chunklift: THING: what is wrong; what to do". Never credentials.
 * Not thread-safe; each program has one thread.
 */
#ifndef CHUNKLIFT_LOG_H
#define CHUNKLIFT_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* program: the prefix ("chunklift"); level: the most detailed that is printed; timestamps: for log files. */
void log_setup(const char *program, enum log_level level, bool timestamps);
enum log_level log_level(void);
/* stderr is a file: its lines are read later, and need their time. A terminal or systemd's journal has its own. */
bool log_goes_to_file(void);
/* Each line is an event on stdout too: {"event":"log","ts":…,"level":"error","text":…}. */
void log_set_json(bool on);
/* errno of the first such event that could not be written; 0: none. */
int log_json_error(void);
/* Called before each line so that a progress bar can get out of the way; NULL for none. */
void log_set_before_line(void (*before)(void *arg), void *arg);

/* A line that comes more often than ten times in 5 s is left out, and counted when it comes again later. Debug lines
 * are never left out.
 * A newline is added; control characters and bytes that are not UTF-8 in the text are made printable. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
