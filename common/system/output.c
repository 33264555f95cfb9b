#include "system/output.h"

#include "system/exit_status.h"
#include "system/log.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int first_error; /* errno of the first write that failed */
static bool error_logged, has_events;

/* Opened in the wrong direction: reads and writes fail with EBADF, as with a closed one. */
static void output_occupy_descriptors(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) /* NOLINT: for children too */
            _exit(3);                                                          /* no descriptor to report it */
}

void output_setup(void) {
    static bool done;
    if (done)
        return;
    done = true;
    output_occupy_descriptors();
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOFBF, 65536);
}

/* Remembers errno of the first failure. */
static bool output_note_error(bool failed) {
    if (failed && first_error == 0)
        first_error = errno ? errno : EIO;
    return first_error != 0;
}

static int output_error(bool failed) {
    if (!output_note_error(failed))
        return 0;
    if (first_error == EPIPE)
        return ERR_AGAIN;
    if (!error_logged)
        log_error("standard output: %s", strerror(first_error));
    error_logged = true;
    return ERR_IO;
}

int output_check(void) {
    return output_error(ferror(stdout) != 0);
}

int output_flush(void) {
    return output_error(fflush(stdout) != 0 || ferror(stdout) != 0);
}

int output_status(int err) {
    int written = output_flush();
    return written == ERR_IO ? EXIT_UNUSABLE : exit_status_of(err);
}

static void output_log_lost_events(int error) {
    if (!error_logged)
        log_error("standard output: %s; events are lost", strerror(error));
    error_logged = true;
}

void output_event(void) {
    has_events = true;
    errno = 0;
    (void)output_note_error(fflush(stdout) != 0 || ferror(stdout) != 0);
    if (first_error)
        output_log_lost_events(first_error);
}

int output_end(int status) {
    int written = output_flush(), log_error_number = log_json_error();
    if (log_error_number)
        output_log_lost_events(log_error_number);
    bool failed = written == ERR_IO || log_error_number || (has_events && first_error);
    return failed && status < EXIT_USAGE ? EXIT_UNUSABLE : status;
}
