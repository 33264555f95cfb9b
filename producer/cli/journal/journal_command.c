#include "producer/cli/journal/journal_command.h"

#include "journal/verify.h"
#include "producer/cli/journal/forget_command.h"
#include "producer/cli/journal/journal_copy.h"
#include "producer/cli/journal/journal_show.h"
#include "producer/cli/journal/journal_tail.h"
#include "producer/cli/reader_options.h"
#include "pure/ids.h"
#include "system/exit_status.h"
#include "system/json_line.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include "system/spawn.h"
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL_USAGE "chunklift journal tail [options] [DIR]"
#define SHOW_USAGE "chunklift journal show [options] [UPLOAD|SRC|DEST]… [DIR]"
#define VERIFY_USAGE "chunklift journal verify [options] [DIR]"

static int journal_too_many_arguments(const char *command, const struct reader_options *o) {
    log_error("%s: one directory at most; see 'chunklift journal %s --help'", o->arguments.items[0], command);
    return ERR_USAGE;
}

/* Finds the directory to read: the journal's, or with --consumer a copy, which journal_leave
 * removes. */
static int journal_find(struct reader_options *o, bool last_is_dir) {
    return o->consumer ? journal_copy_fetch(o->consumer, &o->dir) : reader_options_dir(o, last_is_dir);
}

static void journal_leave(struct reader_options *o) {
    if (o->consumer)
        journal_copy_remove(&o->dir);
    reader_options_release(o);
}

/* ERR_AGAIN with a signal: the copy was interrupted. */
static int journal_status_of(int err) {
    return err == ERR_AGAIN && signals_stop_signal() ? exit_status_of_signal(signals_stop_signal())
                                                     : output_status(err);
}

static int journal_command_tail(int argc, char **argv) {
    struct reader_options o = {0};
    uint64_t lines = 10;
    bool follow = false;
    const struct option_spec specs[] = {
        {"follow", 'f', OPTION_FLAG, &follow, NULL, "then print lines as they are appended, until interrupted"},
        {"lines", 'n', OPTION_COUNT, &lines, "N", "print the last N lines first (10)", 0, UINT64_MAX},
        READER_OPTION_ROWS(&o),
    };
    int err = reader_options_parse(&o, "journal tail", TAIL_USAGE, "Prints the journal's last lines, unchanged.", specs,
                                   argc, argv);
    if (!err && !o.consumer)
        err = reader_options_dir(&o, true);
    if (!err && o.arguments.count)
        err = journal_too_many_arguments("tail", &o);
    struct journal_tail_options t = {.dir = o.dir.data, .consumer = o.consumer, .lines = lines, .follow = follow};
    int status = err ? output_status(err) : journal_tail(&t);
    reader_options_release(&o);
    return status;
}

static int journal_command_show(int argc, char **argv) {
    struct reader_options o = {0};
    bool failed = false;
    const struct option_spec specs[] = {
        {"failed", 0, OPTION_FLAG, &failed, NULL, "only the files whose newest result is a failure, with the reason"},
        READER_OPTION_ROWS(&o),
    };
    int err = reader_options_parse(
        &o, "journal show", SHOW_USAGE,
        "Lists the uploads in the journal: those that ended, then those that did not. With arguments only the\n"
        "uploads they name, in detail: an upload id (or its first digits), a source or a directory above it, a\n"
        "destination or a prefix of it.",
        specs, argc, argv);
    if (!err)
        err = journal_find(&o, false);
    struct journal_show_options s = {
        .dir = o.dir.data,
        .wanted = o.arguments.items,
        .wanted_count = o.arguments.count,
        .json = o.json,
        .failed = failed,
    };
    int status = err ? journal_status_of(err) : journal_show(&s);
    journal_leave(&o);
    return status;
}

static void verify_log_damage(const char *dir, const struct verify_report *r) {
    static const char advice[] = "keep a copy of the directory; the lines before this are good";
    if (r->line)
        log_error("%s/%s:%" PRIu64 ": %s; %s", dir, r->file, r->line, r->reason, advice);
    else
        log_error("%s/%s: %s; %s", dir, r->file, r->reason, advice);
}

/* The result as JSON on stdout. error: a fault other than damage, or NULL. */
static int verify_print_json(const char *dir, const struct verify_report *r, bool ok, const char *error) {
    struct json_line l;
    json_line_begin(&l, "verify");
    json_line_text(&l, "result", slice_of(ok ? "ok" : "damaged"));
    json_line_name(&l, "journal", slice_of(dir));
    json_line_number(&l, "seq", r->seq);
    json_line_text(&l, "head", slice_of(r->head));
    if (r->from)
        json_line_number(&l, "from", r->from);
    if (!ok && r->file[0]) {
        json_line_text(&l, "file", slice_of(r->file));
        if (r->line)
            json_line_number(&l, "line", r->line);
        error = r->reason;
    }
    if (error)
        json_line_text(&l, "error", slice_of(error));
    return json_line_end(&l);
}

static void verify_print_text(const struct verify_report *r) {
    printf("ok seq=%" PRIu64 " head=%s", r->seq, r->head);
    if (r->from)
        printf(" from=%" PRIu64, r->from);
    putchar('\n');
}

static int verify_run(const struct reader_options *o, const char *wanted_head) {
    struct verify_report r;
    const char *dir = o->consumer ? o->consumer : o->dir.data, *missing = NULL;
    int err = journal_verify(o->dir.data, wanted_head, &r);
    if (err == ERR_DAMAGED)
        verify_log_damage(dir, &r);
    else if (err == ERR_NOMEM)
        log_error("out of memory");
    else if (err == ERR_CHANGED)
        log_error("%s: its consumer was restarted repeatedly while it was read; run the command again when the "
                  "consumer keeps running",
                  dir);
    if (err && err != ERR_DAMAGED)
        return err;
    if (!err && wanted_head && !r.has_head) {
        missing = "no line has the wanted head; lines were lost at the end, or this is another journal";
        log_error("%s: no line has the head %s; lines were lost at the end, or this is another journal", dir,
                  wanted_head);
        err = ERR_DAMAGED;
    }
    int printed = o->json ? verify_print_json(dir, &r, !err, missing) : 0;
    if (!err && !o->json && !o->quiet)
        verify_print_text(&r);
    return err ? err : printed;
}

static int verify_check_head(const char *head) {
    struct id128 ignored;
    if (!head || id_from_hex(&ignored, slice_of(head)) == 0)
        return 0;
    log_error("--head %s: not a head; it has 32 hex digits, as 'journal verify' prints them", head);
    return ERR_USAGE;
}

static int journal_command_verify(int argc, char **argv) {
    struct reader_options o = {0};
    const char *head = NULL;
    const struct option_spec specs[] = {
        {"head", 0, OPTION_TEXT, &head, "H",
         "fail unless the journal contains this head, saved from an earlier 'verify'"},
        READER_OPTION_ROWS(&o),
    };
    int err = reader_options_parse(&o, "journal verify", VERIFY_USAGE,
                                   "Checks every line of every file of the journal and the chain over them.", specs,
                                   argc, argv);
    if (!err)
        err = verify_check_head(head);
    if (!err && !o.consumer)
        err = reader_options_dir(&o, true);
    if (!err && o.arguments.count)
        err = journal_too_many_arguments("verify", &o);
    if (!err && o.consumer)
        err = journal_copy_fetch(o.consumer, &o.dir);
    if (!err)
        err = verify_run(&o, head);
    journal_leave(&o);
    return journal_status_of(err);
}

/* Commands that write to the journal, or need the whole state, are in the consumer program: becomes
 * it. */
static int journal_hand_over(int argc, char **argv) {
    struct buf path = BUF_INIT;
    const char **words = calloc((size_t)argc + 2, sizeof *words);
    if (words && spawn_sibling_path("chunklift-consumer", &path) == 0) {
        words[0] = path.data;
        memcpy(words + 1, argv, (size_t)argc * sizeof *words);
        execv(path.data, (char **)words);
    }
    log_error("chunklift-consumer: cannot be started: %s", strerror(errno));
    free(words);
    buf_release(&path);
    return EXIT_UNUSABLE;
}

static bool journal_is_remote(int argc, char **argv) {
    bool is = false;
    for (int i = 1; i < argc; i++)
        is |= strncmp(argv[i], "--consumer", 10) == 0;
    return is;
}

static int journal_command_forget(int argc, char **argv) {
    bool here = journal_is_remote(argc, argv) || forget_command_aborts(argc, argv);
    return here ? forget_command(argc, argv) : journal_hand_over(argc, argv);
}

/* Runs the consumer program on the copy, which must be removed afterwards. */
static int export_run_on_copy(struct reader_options *o) {
    struct buf path = BUF_INIT;
    int status = 0, err = spawn_sibling_path("chunklift-consumer", &path);
    const char *words[] = {path.data, "export", "--journal", o->dir.data, NULL};
    pid_t pid = -1;
    fflush(stdout);
    if (!err)
        err = spawn(&(struct spawn_options){.argv = words, .death_signal = SIGKILL}, &pid);
    if (!err)
        (void)TEMP_FAILURE_RETRY(waitpid(pid, &status, 0));
    buf_release(&path);
    return err ? output_status(err) : WIFEXITED(status) ? WEXITSTATUS(status) : exit_status_of_signal(WTERMSIG(status));
}

static int journal_command_export(int argc, char **argv) {
    struct reader_options o = {0};
    const struct option_spec specs[] = {READER_OPTION_ROWS(&o)};
    if (!journal_is_remote(argc, argv))
        return journal_hand_over(argc, argv);
    int err = reader_options_parse(&o, "journal export", "chunklift journal export [options]",
                                   "Prints a manifest: a JSON object for each destination.", specs, argc, argv);
    if (!err && o.arguments.count)
        err = journal_too_many_arguments("export", &o);
    if (!err)
        err = journal_copy_fetch(o.consumer, &o.dir);
    int status = err ? journal_status_of(err) : export_run_on_copy(&o);
    journal_leave(&o);
    return status;
}

static void journal_print_help(void) {
    printf("Usage: chunklift journal tail|show|verify|export|forget|retire [options] [DIR]\n\n"
           "  tail    print the last lines, with -f also lines that are appended\n"
           "  show    list the uploads\n"
           "  verify  check every line and the chain over them\n"
           "  export  print a manifest: a JSON object for each destination\n"
           "  forget  make it forget uploads, so that the next cp sends their files again\n"
           "  retire  list, remove or archive the oldest files\n\n"
           "'chunklift journal COMMAND --help' shows its options.\n");
}

int journal_command(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"tail", journal_command_tail},
                    {"show", journal_command_show},
                    {"verify", journal_command_verify},
                    {"export", journal_command_export},
                    {"forget", journal_command_forget},
                    {"retire", journal_hand_over},
                    {NULL, NULL}};
    output_setup();
    if (argc < 2) {
        log_error("journal: the command is missing; use tail, show, verify, export, forget or retire; see 'chunklift "
                  "journal --help'");
        return EXIT_USAGE;
    }
    for (size_t i = 0; commands[i].name; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        journal_print_help();
        return output_status(0);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("chunklift %s\n", CHUNKLIFT_VERSION);
        return output_status(0);
    }
    log_error("journal %s: unknown; see 'chunklift journal --help'", argv[1]);
    return EXIT_USAGE;
}
