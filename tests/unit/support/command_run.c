#include "command_run.h"

#include "producer/cli/journal/journal_command.h"
#include "producer/cli/set_command.h"
#include "producer/cli/status_command.h"
#include <unistd.h>

char command_out[1 << 20], command_err[65536];

pid_t command_start(int argc, const char **argv) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
        _exit(99);
    if (strcmp(argv[0], "status") == 0)
        _exit(status_command(argc, (char **)argv));
    if (strcmp(argv[0], "set") == 0)
        _exit(set_command(argc, (char **)argv));
    _exit(journal_command(argc, (char **)argv));
}

void command_read_output(void) {
    file_read_text("stdout", command_out, sizeof command_out);
    file_read_text("stderr", command_err, sizeof command_err);
}

int command_finish(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    command_read_output();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
