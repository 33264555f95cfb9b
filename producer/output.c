#include "producer/output.h"

#include "system/log.h"
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int first_error; /* errno of the first write that failed */
static bool told;

void output_setup(void) {
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOFBF, 65536);
}

static int judge(bool failed) {
    if (failed && first_error == 0)
        first_error = errno ? errno : EIO;
    if (first_error == 0)
        return 0;
    if (first_error == EPIPE)
        return ERR_AGAIN;
    if (!told)
        log_error("standard output: %s", strerror(first_error));
    told = true;
    return ERR_IO;
}

int output_check(void) {
    return judge(ferror(stdout) != 0);
}

int output_flush(void) {
    return judge(fflush(stdout) != 0 || ferror(stdout) != 0);
}

int output_status(int err) {
    int written = output_flush();
    if (written == ERR_IO)
        return 3;
    switch (err) {
    case 0:
    case ERR_AGAIN:
        return 0;
    case ERR_DAMAGED:
        return 1;
    case ERR_USAGE:
        return 2;
    default:
        return 3;
    }
}
