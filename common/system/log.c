/*
 * Lines on stderr. Each is one write(2), so the lines of several processes on one terminal or log file do not mix.
 * Nothing here allocates memory, so a program without memory can still report it.
 */
#include "system/log.h"
#include "pure/arith.h"

#include "pure/hash.h"
#include "pure/rfc3339.h"
#include "pure/text.h"
#include "system/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 20480 /* a name of 4,096 bytes, every one of them escaped, and a sentence around it */
#define LINE_MAX_BYTES (2 * TEXT_MAX)

static struct {
    char program[32];
    enum log_level level;
    bool timestamps, json;
    int json_error;
    const char *file;   /* NULL: stderr as the program found it */
    dev_t followed_dev; /* the file that log_follow_file last tried to open */
    ino_t followed_ino;
    int display_fd;
    void (*before)(void *arg);
    void *before_arg;
    char *capture; /* NULL: lines are written */
    size_t capture_size;
} state = {.program = "chunklift", .level = LOG_INFO, .display_fd = STDERR_FILENO};

/* The last lines, by hash. A line is written SAME_MAX times in SAME_MS, and counted after that. The next one after that
 * time has the count of the dropped lines. */
#define SAME_LINES 16
#define SAME_MAX 10
#define SAME_MS 5000

static struct same_line {
    uint64_t hash, since_ms;
    unsigned count;
} same_lines[SAME_LINES];

void log_setup(const char *program, enum log_level level, bool timestamps) {
    snprintf(state.program, sizeof state.program, "%s", program);
    state.level = level;
    state.timestamps = timestamps || state.file;
    memset(same_lines, 0, sizeof same_lines);
}

void log_set_json(bool on) {
    state.json = on;
}

/* 0 or errno. */
static int log_open_file(const char *path) {
    struct stat st;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd == -1)
        return errno;
    /* a reader of a pipe that stops would stop the program */
    int error = fstat(fd, &st) != 0 ? errno : S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ? ESPIPE : 0;
    if (!error && (fcntl(fd, F_SETFL, O_APPEND) == -1 || dup2(fd, STDERR_FILENO) == -1))
        error = errno;
    if (fd != STDERR_FILENO)
        close(fd);
    return error;
}

int log_set_file(const char *path) {
    if (!path)
        return 0;
    int display_fd = isatty(STDERR_FILENO) ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : STDERR_FILENO;
    int error = display_fd == -1 ? errno : log_open_file(path);
    if (error) {
        if (display_fd > STDERR_FILENO)
            close(display_fd);
        log_error("--log-file %s: cannot be opened for writing: %s; name another file", path, strerror(error));
        return ERR_USAGE;
    }
    state.file = path;
    state.display_fd = display_fd;
    state.timestamps = true;
    return 0;
}

void log_reopen_file(void) {
    int error = state.file ? log_open_file(state.file) : 0;
    if (error)
        log_error("--log-file %s: cannot be opened again: %s; lines still go to the file that was open", state.file,
                  strerror(error));
}

void log_follow_file(void) {
    struct stat named, open_one;
    if (!state.file || stat(state.file, &named) != 0 || fstat(STDERR_FILENO, &open_one) != 0)
        return;
    bool is_open = named.st_dev == open_one.st_dev && named.st_ino == open_one.st_ino;
    if (is_open || (named.st_dev == state.followed_dev && named.st_ino == state.followed_ino))
        return; /* one that cannot be opened is reported once */
    state.followed_dev = named.st_dev;
    state.followed_ino = named.st_ino;
    log_reopen_file();
}

bool log_has_file(void) {
    return state.file != NULL;
}

int log_display_fd(void) {
    return state.display_fd;
}

bool log_goes_to_file(void) {
    struct stat st;
    return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

int log_json_error(void) {
    return state.json_error;
}

enum log_level log_level(void) {
    return state.level;
}

void log_set_before_line(void (*before)(void *arg), void *arg) {
    state.before = before;
    state.before_arg = arg;
}

void log_capture(char *out, size_t size) {
    state.capture = out;
    state.capture_size = size;
    if (out)
        out[0] = '\0';
}

/* Bytes of the well-formed, printable UTF-8 character at text; 0 when it must be escaped. C1 controls (U+0080 to
 * U+009F) are escaped: some terminals execute them. */
static size_t utf8_printable_length(const char *text, size_t len) {
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    size_t want = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (want > len || !utf8_is_valid(slice_make(text, want)))
        return 0;
    if (first == 0xc2 && (unsigned char)text[1] < 0xa0)
        return 0;
    return want;
}

/* One byte as \n, \t or \xNN; returns its length. A backslash stays: names in a text may be escaped already. */
static size_t byte_escape(unsigned char byte, char out[5]) {
    if (byte == '\n' || byte == '\t')
        return (size_t)snprintf(out, 5, "\\%c", byte == '\n' ? 'n' : 't');
    return (size_t)snprintf(out, 5, "\\x%02x", byte);
}

/* Appends text, made printable, to line. Text that does not fit is cut, with a mark. */
static size_t line_add_printable(char *line, size_t used, size_t size, const char *text, size_t len) {
    static const char mark[] = "…";
    size_t limit = size - sizeof mark - 1; /* room for the mark and the newline */
    for (size_t i = 0; i < len;) {
        char escaped[5];
        const char *piece = text + i;
        size_t taken = utf8_printable_length(piece, len - i);
        size_t piece_len = taken;
        if (taken == 0) {
            piece_len = byte_escape((unsigned char)*piece, escaped);
            piece = escaped;
            taken = 1;
        }
        if (used + piece_len > limit) {
            memcpy(line + used, mark, sizeof mark - 1);
            return used + sizeof mark - 1;
        }
        memcpy(line + used, piece, piece_len);
        used += piece_len;
        i += taken;
    }
    return used;
}

/* 0 or errno. */
static int line_write(int fd, const char *line, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, line, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        line += n;
        len -= (size_t)n;
    }
    return 0;
}

/* text is printable UTF-8. */
static void line_write_json(enum log_level level, const char *text, size_t len) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    static char line[2 * LINE_MAX_BYTES];
    char ts[RFC3339_SIZE];
    rfc3339_format(clock_real_us(), ts);
    size_t used = (size_t)snprintf(line, sizeof line, "{\"event\":\"log\",\"ts\":\"%s\",\"level\":\"%s\",\"text\":\"",
                                   ts, names[level]);
    for (size_t i = 0; i < len && used < sizeof line - 8; i++) {
        if (text[i] == '"' || text[i] == '\\')
            line[used++] = '\\';
        line[used++] = text[i];
    }
    for (const char *end = "\"}\n"; *end; end++)
        line[used++] = *end;
    int error = line_write(STDOUT_FILENO, line, used);
    if (state.json_error == 0)
        state.json_error = error;
}

/* ---- repeated lines ---- */

static struct same_line *same_line_of(uint64_t hash) {
    struct same_line *oldest = same_lines;
    for (size_t i = 0; i < SAME_LINES; i++) {
        if (same_lines[i].count && same_lines[i].hash == hash)
            return &same_lines[i];
        if (same_lines[i].since_ms < oldest->since_ms)
            oldest = &same_lines[i];
    }
    *oldest = (struct same_line){.hash = hash};
    return oldest;
}

/* False: drop the line. *left_out: the number of dropped lines before this one. */
static bool line_may_repeat(const char *text, unsigned *left_out) {
    uint64_t now = clock_ms();
    struct same_line *same = same_line_of(hash_bytes(text, strlen(text)));
    *left_out = 0;
    if (same->count && now < same->since_ms + SAME_MS)
        return ++same->count <= SAME_MAX;
    *left_out = sub_or_zero(same->count, SAME_MAX);
    *same = (struct same_line){.hash = same->hash, .since_ms = now, .count = 1};
    return true;
}

__attribute__((format(printf, 2, 0))) static void log_line(enum log_level level, const char *format, va_list args) {
    if (state.capture && level <= LOG_WARN) {
        if (!state.capture[0])
            vsnprintf(state.capture, state.capture_size, format, args);
        return;
    }
    if (level > state.level)
        return;
    int saved = errno;
    static char text[TEXT_MAX], line[LINE_MAX_BYTES];
    int len = vsnprintf(text, sizeof text, format, args);
    if (len < 0)
        len = 0;
    if ((size_t)len >= sizeof text)
        len = (int)sizeof text - 1;
    unsigned left_out = 0;
    if (level < LOG_DEBUG && !line_may_repeat(text, &left_out)) {
        errno = saved;
        return;
    }
    if (left_out)
        len += snprintf(text + len, sizeof text - (size_t)len, " (%u more like this were left out)", left_out);
    len = (size_t)len >= sizeof text ? (int)sizeof text - 1 : len;
    char when[RFC3339_SIZE] = "";
    if (state.timestamps)
        rfc3339_format(clock_real_us(), when);
    size_t used = (size_t)snprintf(line, sizeof line, "%s%s%s: ", when, state.timestamps ? " " : "", state.program);
    size_t head = used;
    used = line_add_printable(line, used, sizeof line, text, (size_t)len);
    line[used++] = '\n';
    if (state.before)
        state.before(state.before_arg);
    (void)line_write(STDERR_FILENO, line, used); /* an error cannot be reported anywhere else */
    if (state.json)
        line_write_json(level, line + head, used - head - 1);
    errno = saved;
}

#define LOG_AT(level)                                                                                                  \
    va_list args;                                                                                                      \
    va_start(args, format);                                                                                            \
    log_line(level, format, args);                                                                                     \
    va_end(args)

void log_error(const char *format, ...) {
    LOG_AT(LOG_ERROR);
}

void log_warn(const char *format, ...) {
    LOG_AT(LOG_WARN);
}

void log_info(const char *format, ...) {
    LOG_AT(LOG_INFO);
}

void log_debug(const char *format, ...) {
    LOG_AT(LOG_DEBUG);
}
