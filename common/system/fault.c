#include "system/fault.h"

#include "pure/check.h"
#include "system/clock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KINDS_MAX 16

static const struct {
    const char *name, *kinds; /* kinds: words with one space between */
} points[FAULT_COUNT] = {
#define FAULT(program, name, kinds, sentence) {#name, kinds},
#include "system/fault_points.def"
#undef FAULT
};

enum action { ACTION_DIE, ACTION_ALL, ACTION_STOP, ACTION_ERROR, ACTION_LATE };

static unsigned long passes[FAULT_COUNT][KINDS_MAX];
static enum action due_action;
static int due_delay_ms;

/* The index of kind among the kinds of the point; -1: it has no such kind, and the pass is ignored. */
static int fault_kind_index(enum fault point, const char *kind) {
    size_t len = strlen(kind);
    int index = 0;
    for (const char *at = points[point].kinds;; index++) {
        size_t word = strcspn(at, " ");
        if (word == len && memcmp(at, kind, len) == 0)
            return index;
        if (!at[word])
            return -1;
        at += word + 1;
    }
}

static bool fault_read_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd == -1)
        return false;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static enum action fault_action_of(const char *word) {
    if (strcmp(word, "all") == 0)
        return ACTION_ALL;
    if (strcmp(word, "stop") == 0)
        return ACTION_STOP;
    if (strcmp(word, "error") == 0)
        return ACTION_ERROR;
    if (strcmp(word, "late") == 0)
        return ACTION_LATE;
    CHECK(strcmp(word, "die") == 0);
    return ACTION_DIE;
}

bool fault_is_due(enum fault point, const char *kind) {
    const char *dir = getenv("CHUNKLIFT_FAULT_DIR");
    if (!dir)
        return false;
    int error = errno, index = fault_kind_index(point, kind);
    if (index < 0)
        return false;
    CHECK(index < KINDS_MAX);
    unsigned long pass = ++passes[point][index];
    char path[PATH_MAX], fired[PATH_MAX + 8], text[64], word[16] = "";
    unsigned long wanted = 0;
    int n = snprintf(path, sizeof path, "%s/%s%s%s", dir, points[point].name, *kind ? "." : "", kind);
    CHECK(n > 0 && (size_t)n < sizeof path);
    snprintf(fired, sizeof fired, "%s.fired", path);
    due_delay_ms = 0;
    bool due = fault_read_file(path, text, sizeof text) &&
               sscanf(text, "%lu %15s %d", &wanted, word, &due_delay_ms) >= 2 && pass >= wanted;
    if (due)
        due_action = fault_action_of(word);
    due = due && rename(path, fired) == 0;
    errno = error;
    return due;
}

static bool process_has_fault_dir(const char *pid) {
    static char text[65536];
    char path[64], ours[PATH_MAX + 32];
    snprintf(path, sizeof path, "/proc/%.20s/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    snprintf(ours, sizeof ours, "CHUNKLIFT_FAULT_DIR=%s", getenv("CHUNKLIFT_FAULT_DIR"));
    return n > 0 && memmem(text, (size_t)n, ours, strlen(ours) + 1); /* with its NUL */
}

/* Kills all processes with the same directory, before they can detect the death of one. */
static void fault_kill_others(void) {
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        long pid = strtol(e->d_name, NULL, 10);
        if (pid > 1 && pid != getpid() && process_has_fault_dir(e->d_name))
            (void)kill((pid_t)pid, SIGKILL);
    }
    if (proc)
        closedir(proc);
}

bool fault_act(void) {
    for (uint64_t end_ms = clock_ms() + (uint64_t)due_delay_ms; clock_ms() < end_ms;) /* signals do not shorten it */
        (void)poll(NULL, 0, (int)(end_ms - clock_ms()));
    switch (due_action) {
    case ACTION_ALL:
        fault_kill_others();
        /* fall through */
    case ACTION_DIE:
        (void)kill(getpid(), SIGKILL);
        for (;;)
            (void)pause();
    case ACTION_STOP:
        (void)kill(getpid(), SIGSTOP);
        return false;
    case ACTION_ERROR:
        errno = EIO;
        return true;
    case ACTION_LATE:
        return false;
    }
    return false;
}

static const char *noted;

void fault_note(const char *kind) {
    noted = kind;
}

const char *fault_noted(void) {
    const char *kind = noted;
    noted = NULL;
    return kind;
}

uint64_t fault_setting(const char *name, uint64_t usual) {
    const char *dir = getenv("CHUNKLIFT_FAULT_DIR");
    char path[PATH_MAX], text[32];
    if (!dir || snprintf(path, sizeof path, "%s/set.%s", dir, name) >= (int)sizeof path ||
        !fault_read_file(path, text, sizeof text))
        return usual;
    return strtoull(text, NULL, 10);
}
