#include "system/channel.h"
#include "system/log.h"
#include "system/oserr.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the command's end ---- */

int channel_open(int *own_end, int *childs_end) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        int error = errno;
        log_error("the channel to an uploader cannot be made: %s; raise the limit of open files (ulimit -n)",
                  strerror(error));
        return err_from_errno(error);
    }
    *own_end = ends[0];
    *childs_end = ends[1];
    return 0;
}

enum channel_state channel_read(int own_end) {
    char byte;
    ssize_t n = recv(own_end, &byte, 1, MSG_DONTWAIT);
    if (n == 1)
        return CHANNEL_READY;
    return n == -1 && (errno == EAGAIN || errno == EINTR) ? CHANNEL_SILENT : CHANNEL_ENDED;
}

void channel_close(int *own_end) {
    if (*own_end != -1)
        close(*own_end);
    *own_end = -1;
}

/* ---- the child's end ---- */

void channel_report_ready(void) {
    ssize_t n = send(STDIN_FILENO, "r", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n; /* the command ended, or standard input is no channel */
}

bool channel_has_ended(void) {
    char byte;
    ssize_t n = recv(STDIN_FILENO, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
}
