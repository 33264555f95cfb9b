/* The `chunklift` command: names its subcommands and hands over. */
#include "producer/cli/cp.h"
#include "producer/cli/journal/journal_command.h"
#include "producer/cli/keygen_command.h"
#include "producer/cli/set_command.h"
#include "producer/cli/status_command.h"
#include "pure/buf.h"
#include "system/log.h"
#include "system/output.h"
#include "system/spawn.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: chunklift COMMAND [options] …\n"
                            "\n"
                            "Moves large files and trees into object storage, in parallel, from one machine or many,\n"
                            "resumes inside files after any crash, and keeps a journal of what arrived.\n"
                            "\n"
                            "  cp [options] SRC… DEST      upload; starts everything it needs on this machine\n"
                            "  producer [options] SRC… DEST    only the producer: plans files and offers their chunks\n"
                            "  uploader [options]          only an uploader: takes chunks and sends them\n"
                            "  consumer [options]          only the journal consumer\n"
                            "  journal COMMAND [options] [DIR]    read it, check it, make it shorter: tail, show, "
                            "verify, export, forget, retire\n"
                            "  status [options]            uploads, uploaders and rates now\n"
                            "  set [options]               change uploaders, slots or bandwidth of what runs\n"
                            "  keygen [options] FILE       a key pair, for tcp endpoints: FILE and FILE.pub\n"
                            "\n"
                            "DEST: a path, file:///dir/ or s3://bucket/prefix. 'chunklift COMMAND --help' says more.\n";

/* Becomes the sibling program chunklift-NAME. */
static int become(int argc, char **argv) {
    struct buf path = BUF_INIT;
    char name[64];
    (void)argc;
    snprintf(name, sizeof name, "chunklift-%s", argv[0]);
    if (sibling_program(name, &path) == 0) {
        argv[0] = path.data;
        execv(path.data, argv);
    }
    log_error("%s: cannot be started: %s", name, strerror(errno));
    buf_release(&path);
    return 3;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"cp", cp_command},         {"producer", become},         {"uploader", become}, {"consumer", become},
    {"status", status_command}, {"journal", journal_command}, {"set", set_command}, {"keygen", keygen_command},
};

static int run(int argc, char **argv) {
    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("chunklift " CHUNKLIFT_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    log_error("%s: no such command; see 'chunklift --help'", argv[1]);
    return 2;
}

int main(int argc, char **argv) {
    output_setup();
    log_setup("chunklift", LOG_INFO, false);
    return output_end(run(argc, argv));
}
