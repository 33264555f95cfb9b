#include "producer/cli/consumer_log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 4095

off_t consumer_log_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

/* Reads the end of the file into tail, without trailing newlines. */
static void consumer_log_read_tail(const char *path, off_t from, char tail[TAIL_BYTES + 1]) {
    tail[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return;
    off_t start = MAX(consumer_log_size(path) - TAIL_BYTES, from);
    ssize_t n = pread(fd, tail, TAIL_BYTES, start);
    close(fd);
    size_t len = (size_t)MAX(n, 0);
    while (len && tail[len - 1] == '\n')
        len--;
    tail[len] = '\0';
}

/* Without the time and the program. */
static const char *consumer_log_skip_head(const char *line) {
    const char *colon = strstr(line, ": ");
    return colon ? colon + 2 : line;
}

/* With --log-file, uploaders write to the same file. Without a line of a consumer: the last line. */
static const char *consumer_log_find_line(const char *tail) {
    static const char program[] = " chunklift-consumer: ";
    const char *found = NULL, *last = strrchr(tail, '\n');
    for (const char *at = tail; (at = strstr(at, program)); at++)
        found = at;
    return found ? found + sizeof program - 1 : consumer_log_skip_head(last ? last + 1 : tail);
}

void consumer_log_last_line(const char *path, off_t from, char *text, size_t size) {
    char tail[TAIL_BYTES + 1];
    consumer_log_read_tail(path, from, tail);
    const char *line = consumer_log_find_line(tail);
    size_t len = strcspn(line, "\n");
    len = MIN(len, size - 1);
    memcpy(text, line, len);
    text[len] = '\0';
}
