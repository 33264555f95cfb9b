/* The log file of a consumer that `cp` started: its last line, to show to the user. No decision depends on it. */
#ifndef CHUNKLIFT_CONSUMER_LOG_H
#define CHUNKLIFT_CONSUMER_LOG_H

#include <stddef.h>
#include <sys/types.h>

/* 0 when there is no such file. */
off_t consumer_log_size(const char *path);
/* The last line after the offset `from`, without the time stamp and program name before its first ": ". Empty when
 * there is none. */
void consumer_log_last_line(const char *path, off_t from, char *text, size_t size);

#endif
