#include "system/config_file.h"

#include "system/file_io.h"
#include "system/log.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int config_file_refuse(const struct config_file *c, const char *problem) {
    log_error("%s: %s", c->path, problem);
    return ERR_USAGE;
}

static int config_file_read_text(struct config_file *c, int fd) {
    int err = file_read_all(fd, &c->text, CONFIG_FILE_MAX);
    if (err == ERR_LIMIT)
        return config_file_refuse(c, "too large for a file of options");
    if (err)
        return err == ERR_NOMEM ? err : config_file_refuse(c, strerror(errno));
    if (memchr(c->text.data ? c->text.data : "", '\0', c->text.len))
        return config_file_refuse(c, "has a NUL byte; it is not a text file");
    return buf_add_byte(&c->text, '\0');
}

static char *text_skip_space(char *text) {
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

static void text_cut_trailing_space(char *text) {
    char *end = text;
    for (char *at = text; *at; at++)
        if (!isspace((unsigned char)*at))
            end = at + 1;
    *end = '\0';
}

static int config_file_read_line(const struct config_file *c, unsigned number, char *line,
                                 int (*entry)(void *arg, unsigned line, const char *name, const char *value),
                                 void *arg) {
    char *name = text_skip_space(line), *value = NULL;
    text_cut_trailing_space(name);
    if (*name == '\0' || *name == '#')
        return 0;
    char *equals = strchr(name, '=');
    if (equals) {
        *equals = '\0';
        value = text_skip_space(equals + 1);
        text_cut_trailing_space(name);
    }
    if (*name == '\0') {
        log_error("%s:%u: no name before '='", c->path, number);
        return ERR_USAGE;
    }
    return entry(arg, number, name, value);
}

int config_file_read(struct config_file *c, int (*entry)(void *arg, unsigned line, const char *name, const char *value),
                     void *arg) {
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return config_file_refuse(c, strerror(errno));
    int err = config_file_read_text(c, fd);
    close(fd);
    unsigned number = 0;
    for (char *next, *line = c->text.data; !err && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        err = config_file_read_line(c, ++number, line, entry, arg);
    }
    return err;
}
