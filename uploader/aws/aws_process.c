/*
 * credential_process: a program that prints credentials as JSON ("Sourcing credentials with an
 * external process", AWS SDKs and Tools reference guide). It runs beside the loop: it is started,
 * then polled until it ends. It has 30 s, its own process group, no stdin, and our stderr. It is
 * run without a shell; the command is split as the AWS CLI does it.
 */
#include "system/clock.h"
#include "uploader/aws/aws_source.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 30000

extern char **environ;

struct process {
    pid_t pid; /* 0: reaped */
    int fd;    /* its stdout; -1 once at the end */
    uint64_t deadline_ms;
    struct buf output;
};

/* --- the command --- */

struct command_splitter {
    const char *at;
    char *out;
    int err;
};

/* Copies one word from s->at to s->out, NUL-terminated. */
static void command_split_word(struct command_splitter *s) {
    char quote = 0;
    for (; *s->at; s->at++) {
        char c = *s->at;
        if (quote ? c == quote : c == '\'' || c == '"') {
            quote = quote ? 0 : c;
        } else if (c == '\\' && quote != '\'') {
            char next = s->at[1];
            if (!next) {
                s->err = ERR_INVALID;
                return;
            }
            if (quote && next != '"' && next != '\\')
                *s->out++ = c;
            *s->out++ = next;
            s->at++;
        } else if (!quote && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
            break;
        } else {
            *s->out++ = c;
        }
    }
    if (quote)
        s->err = ERR_INVALID;
    *s->out++ = 0;
}

int aws_command_split(const char *command, char ***argv) {
    size_t len = strlen(command), count = 0, max = len / 2 + 2;
    char **list = malloc(max * sizeof *list + len + 2);
    if (!list)
        return ERR_NOMEM;
    struct command_splitter s = {.at = command, .out = (char *)(list + max)};
    while (!s.err) {
        s.at += strspn(s.at, " \t\r\n");
        if (!*s.at)
            break;
        list[count++] = s.out;
        command_split_word(&s);
    }
    list[count] = NULL;
    if (s.err || count == 0) {
        free(list);
        return ERR_INVALID;
    }
    *argv = list;
    return 0;
}

/* --- the process --- */

/* stdin from /dev/null, stdout to the pipe, our stderr, no other descriptors; default signal
 * actions and mask. */
static int process_spawn(char **argv, int output, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions))
        return ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (!rc)
        rc = posix_spawn_file_actions_adddup2(&actions, output, 1);
    if (!rc)
        rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    if (!rc)
        rc = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

static int process_start_words(struct process *p, char **argv, char *why, size_t why_size) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) {
        snprintf(why, why_size, "no pipe: %s", strerror(errno));
        return ERR_IO;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    int rc = process_spawn(argv, ends[1], &p->pid);
    close(ends[1]);
    if (rc) {
        close(ends[0]);
        p->pid = 0;
        snprintf(why, why_size, "cannot be started: %s", strerror(rc));
        return rc == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    p->fd = ends[0];
    return 0;
}

/* ERR_INVALID: the command cannot be split. ERR_NOT_FOUND, ERR_IO: it cannot be started. why gets
 * one line. */
static int process_start(struct process **out, const char *command, char *why, size_t why_size) {
    char **argv;
    *out = NULL;
    int err = aws_command_split(command, &argv);
    if (err) {
        snprintf(why, why_size, "%s", err == ERR_INVALID ? "a quote in it is not closed" : err_text(err));
        return err;
    }
    struct process *p = calloc(1, sizeof *p);
    err = p ? 0 : ERR_NOMEM;
    if (p) {
        p->fd = -1;
        p->deadline_ms = clock_ms() + TIMEOUT_MS;
        err = process_start_words(p, argv, why, why_size);
    }
    free(argv);
    if (err) {
        free(p);
        return err;
    }
    *out = p;
    return 0;
}

/* Reads its output. 0: the end; ERR_AGAIN; ERR_LIMIT; ERR_IO; ERR_NOMEM. */
static int process_read_output(struct process *p) {
    while (p->fd != -1) {
        if (p->output.len >= AWS_JSON_MAX)
            return ERR_LIMIT;
        if (buf_reserve(&p->output,
                        AWS_JSON_MAX -
                            p->output.len)) /* once: a buffer that grows would leave secrets in freed memory */
            return ERR_NOMEM;
        ssize_t n = read(p->fd, p->output.data + p->output.len, AWS_JSON_MAX - p->output.len);
        if (n == -1) /* it does not block, so there is no EINTR */
            return errno == EAGAIN ? ERR_AGAIN : ERR_IO;
        if (n == 0) {
            close(p->fd);
            p->fd = -1;
        }
        p->output.len += (size_t)n;
    }
    return 0;
}

/* 0: it exited with status 0. ERR_AGAIN: it runs. */
static int process_reap(struct process *p, char *why, size_t why_size) {
    int status;
    pid_t pid = waitpid(p->pid, &status, WNOHANG);
    if (pid == 0)
        return ERR_AGAIN;
    p->pid = 0;
    if (pid == -1)
        snprintf(why, why_size, "its exit status is lost");
    else if (WIFSIGNALED(status))
        snprintf(why, why_size, "was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        snprintf(why, why_size, "ended with exit status %d", WEXITSTATUS(status));
    else
        return 0;
    return ERR_IO;
}

/* Waits up to wait_ms for its output. ERR_AGAIN: it runs; 0: *r has the keys; else why gets one
 * line without its output. */
static int process_poll(struct process *p, int wait_ms, struct aws_fresh_keys *r, char *why, size_t why_size) {
    *r = (struct aws_fresh_keys){0};
    struct pollfd watch = {.fd = p->fd, .events = POLLIN};
    if (wait_ms > 0 && poll(&watch, 1, wait_ms) == -1 && errno != EINTR)
        return ERR_IO;
    int err = process_read_output(p);
    if (!err)
        err = process_reap(p, why, why_size);
    if (err == ERR_AGAIN && clock_ms() >= p->deadline_ms) {
        snprintf(why, why_size, "did not end within %d s", TIMEOUT_MS / 1000);
        return ERR_UNREACHABLE;
    }
    if (err == ERR_LIMIT)
        snprintf(why, why_size, "prints more than %u bytes", AWS_JSON_MAX);
    if (err == ERR_NOMEM)
        snprintf(why, why_size, "%s", err_text(err));
    return err ? err : aws_process_parse(buf_slice(&p->output), r, why, why_size);
}

/* Kills its process group if it still runs. */
static void process_destroy(struct process **pp) {
    struct process *p = *pp;
    if (!p)
        return;
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) == -1 && errno == EINTR)
            ;
    }
    if (p->fd != -1)
        close(p->fd);
    if (p->output.data)
        explicit_bzero(p->output.data, p->output.cap);
    buf_release(&p->output);
    free(p);
    *pp = NULL;
}

/* --- the source --- */

struct process_source {
    struct aws_source base; /* first */
    char *command;
    struct process *process; /* NULL: none runs */
};

static int process_source_step(struct aws_source *base, int wait_ms, struct aws_fresh_keys *keys, char *why,
                               size_t why_size) {
    struct process_source *s = (struct process_source *)base;
    *keys = (struct aws_fresh_keys){0};
    if (!s->process) {
        int err = process_start(&s->process, s->command, why, why_size);
        if (err)
            return err;
    }
    int err = process_poll(s->process, wait_ms, keys, why, why_size);
    if (err != ERR_AGAIN)
        process_destroy(&s->process);
    return err;
}

static void process_source_destroy(struct aws_source *base) {
    struct process_source *s = (struct process_source *)base;
    process_destroy(&s->process);
    free(s->command);
    free(s);
}

int aws_process_source_new(struct aws_source **out, const char *command) {
    static const struct aws_source_ops ops = {"the credential_process", process_source_step, process_source_destroy};
    struct process_source *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return ERR_NOMEM;
    s->base.ops = &ops;
    if (!(s->command = strdup(command))) {
        free(s);
        return ERR_NOMEM;
    }
    *out = &s->base;
    return 0;
}
