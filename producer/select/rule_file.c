#include "producer/select/rule_file.h"
#include "pure/buf.h"
#include "system/file_io.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define BLANKS " \t\r\v\f"

static int rule_file_refuse(const char *option, const char *path, const char *problem) {
    log_error("%s %s: %s", option, path, problem);
    return ERR_USAGE;
}

static int rule_file_load(const char *option, const char *path, struct buf *text) {
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int err = fd == -1 ? ERR_IO : file_read_all(fd, text, RULE_FILE_MAX);
    int error = errno;
    if (fd != -1 && !is_stdin)
        close(fd);
    if (err == ERR_NOMEM)
        return err;
    if (err == ERR_LIMIT)
        return rule_file_refuse(option, path, "larger than 4 MiB; for a list of names use --files-from");
    if (err)
        return rule_file_refuse(option, path, strerror(error));
    if (memchr(text->data ? text->data : "", '\0', text->len))
        return rule_file_refuse(option, path, "has a NUL byte; name a text file");
    return buf_add_text(text, "\n"); /* data is not NULL, and the last line ends */
}

int rule_file_read(const char *option, const char *path, int (*add)(void *arg, unsigned line, const char *text),
                   void *arg) {
    struct buf text = BUF_INIT;
    unsigned number = 0;
    int err = rule_file_load(option, path, &text);
    for (char *line = text.data, *end; !err && line && (end = strchr(line, '\n')); line = end + 1) {
        number++;
        char *last = end;
        line += strspn(line, BLANKS);
        while (last > line && strchr(BLANKS, last[-1]))
            last--;
        *last = '\0';
        if (*line && *line != '#' && *line != ';')
            err = add(arg, number, line);
    }
    buf_release(&text);
    return err;
}
