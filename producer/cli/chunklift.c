#include "producer/cli/chunklift.h"

#include "producer/cli/cp.h"
#include "producer/cli/doctor/doctor_command.h"
#include "producer/cli/journal/journal_command.h"
#include "producer/cli/keygen_command.h"
#include "producer/cli/set_command.h"
#include "producer/cli/status_command.h"
#include "producer/cli/store/gc_command.h"
#include "producer/cli/store/verify_command.h"
#include "pure/buf.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/spawn.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "Usage: chunklift COMMAND [options] …\n"
    "\n"
    "Uploads large files and trees to object storage in parallel, from one host or many. Uploads resume inside\n"
    "files after any crash, and a journal records every chunk that arrived.\n"
    "\n"
    "  cp [options] SRC… DEST            upload; starts all processes that it needs on this host\n"
    "  producer [options] SRC… DEST      only the producer: plans files and offers their chunks\n"
    "  uploader [options]                only an uploader: takes chunks and sends them\n"
    "  consumer [options]                only the journal consumer\n"
    "  journal COMMAND [options] [DIR]   tail, show, verify, export, forget, retire: commands on a journal\n"
    "  verify [options] [DEST…]          compare the destination with the journal, without the sources\n"
    "  gc [options] [DEST…]              list or abort unfinished uploads at their destinations\n"
    "  status [options]                  show uploads, uploaders and rates\n"
    "  set [options]                     change uploaders, slots or bandwidth of a running fleet\n"
    "  doctor [options] [DEST]           check credentials, endpoint, bucket, clock, TLS, keys, journal directory\n"
    "  keygen [options] FILE             make a key pair for tcp endpoints: FILE and FILE.pub\n"
    "  help COMMAND                      the same as COMMAND --help\n"
    "\n"
    "DEST: a path, file:///dir/ or s3://bucket/prefix. See 'chunklift COMMAND --help' for the options.\n";

/* Replaces this process with the program chunklift-NAME next to it. */
static int exec_program(int argc, char **argv) {
    struct buf path = BUF_INIT;
    char name[64];
    (void)argc;
    snprintf(name, sizeof name, "chunklift-%s", argv[0]);
    if (spawn_sibling_path(name, &path) == 0) {
        argv[0] = path.data;
        execv(path.data, argv);
    }
    log_error("%s: cannot be started: %s", name, strerror(errno));
    buf_release(&path);
    return EXIT_UNUSABLE;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"cp", cp_command},         {"producer", exec_program},   {"uploader", exec_program}, {"consumer", exec_program},
    {"status", status_command}, {"journal", journal_command}, {"set", set_command},       {"keygen", keygen_command},
    {"doctor", doctor_command}, {"verify", verify_command},   {"gc", gc_command},         {NULL, NULL},
};

static int command_run(int argc, char **argv) {
    for (size_t i = 0; commands[i].name; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    log_error("%s: no such command; see 'chunklift --help'", argv[0]);
    return EXIT_USAGE;
}

static int show_usage(void) {
    fputs(usage, stdout);
    return EXIT_DONE;
}

/* `help journal verify` becomes `journal verify --help`. argv[0] is "help". */
static int help_run(int argc, char **argv) {
    static char option[] = "--help";
    if (argc < 2 || argv[1][0] == '-')
        return show_usage();
    memmove(argv, argv + 1, (size_t)argc * sizeof *argv);
    argv[argc - 1] = option;
    return command_run(argc, argv);
}

int chunklift_run(int argc, char **argv) {
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0)
        return help_run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return show_usage();
    if (strcmp(argv[1], "--version") == 0) {
        puts("chunklift " CHUNKLIFT_VERSION);
        return EXIT_DONE;
    }
    return command_run(argc - 1, argv + 1);
}
