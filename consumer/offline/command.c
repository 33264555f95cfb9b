#include "consumer/offline/command.h"

#include "consumer/offline/export.h"
#include "consumer/offline/forget.h"
#include "consumer/offline/retire.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/option_rows.h"
#include <string.h>
#include <unistd.h>

#define RETIRE_USAGE "chunklift journal retire [--remove | --archive DIR] [options] [DIR]"
#define RETIRE_ABOUT                                                                                                   \
    "Lists the sealed files of the journal and what still needs them. With --remove or --archive the journal gets\n"   \
    "shorter at its beginning: records that are needed are written again at its end, then the files are removed. "     \
    "No\nconsumer may run at the same time."
#define FORGET_USAGE "chunklift journal forget [options] UPLOAD|DEST… [DIR]"
#define FORGET_ABOUT                                                                                                   \
    "Makes the journal forget uploads, so that the next cp sends their files again. Named by id or by destination.\n"  \
    "Objects at the destination stay there. No consumer may run at the same time."
#define EXPORT_USAGE "chunklift journal export [options] [DIR]"
#define EXPORT_ABOUT                                                                                                   \
    "Prints a manifest: for every destination what arrived there last, one JSON object a line, in the order in "       \
    "which\n"                                                                                                          \
    "it arrived: dest, endpoint, src, source, size, crc, etag, mtime_ns, finished, upload, seq. Reads beside a "       \
    "running\n"                                                                                                        \
    "consumer."

struct common {
    const char *journal;
    bool json, quiet, verbose, help, version;
    struct text_list arguments;
    struct buf dir;
};

#define COMMON_ROWS(o)                                                                                                 \
    OPTION_ROW_JOURNAL(&(o)->journal), OPTION_ROW_JSON(&(o)->json), OPTION_ROW_QUIET(&(o)->quiet),                     \
        OPTION_ROW_VERBOSE(&(o)->verbose), OPTION_ROW_HELP(&(o)->help), OPTION_ROW_VERSION(&(o)->version),             \
        OPTION_ROWS_END

/* ERR_AGAIN: --help or --version was answered. */
static int command_parse(struct common *o, const char *command, const char *usage, const char *about,
                         const struct option_spec *specs, int argc, char **argv) {
    int err = options_parse(command, specs, argc, argv, &o->arguments);
    if (err)
        return err;
    log_setup("chunklift", option_log_level(o->quiet, o->verbose), false);
    return options_answer(o->help, o->version, usage, about, specs) ? ERR_AGAIN : 0;
}

/* True when path has a lock file, which a consumer creates. */
static bool is_journal_dir(const char *path) {
    struct buf lock = BUF_INIT;
    bool is = buf_addf(&lock, "%s/lock", path) == 0 && access(lock.data, F_OK) == 0;
    buf_release(&lock);
    return is;
}

/* From --journal, else from the last argument, else the default. others: there are other arguments,
 * so the last one must look like a journal directory. */
static int command_find_dir(struct common *o, bool others) {
    struct text_list *words = &o->arguments;
    if (o->journal)
        return buf_add_text(&o->dir, o->journal);
    if (words->count > others && (!others || is_journal_dir(words->items[words->count - 1])))
        return buf_add_text(&o->dir, words->items[--words->count]);
    return dirs_default_journal(&o->dir);
}

static int command_too_many(const char *command, const struct common *o) {
    log_error("%s: one directory at most; see 'chunklift journal %s --help'", o->arguments.items[0], command);
    return ERR_USAGE;
}

static void command_release(struct common *o) {
    text_list_release(&o->arguments);
    buf_release(&o->dir);
}

static int command_retire(int argc, char **argv) {
    struct common o = {0};
    struct retire_options r = {0};
    bool list = false, dry_run = false;
    const struct option_spec specs[] = {
        {"list", 0, OPTION_FLAG, &list, NULL, "only list (the default)"},
        {"dry-run", 0, OPTION_FLAG, &dry_run, NULL, "print what would be done, and change nothing"},
        {"remove", 0, OPTION_FLAG, &r.remove, NULL, "delete the files"},
        {"archive", 0, OPTION_TEXT, &r.archive, "DIR", "move the files there"},
        {"keep", 0, OPTION_COUNT, &r.keep, "N", "leave the newest N sealed files (0)", 0, UINT64_MAX},
        {"forget-finished", 0, OPTION_FLAG, &r.forget_finished, NULL,
         "do not write finished uploads again: a later cp sends those files again"},
        COMMON_ROWS(&o),
    };
    int err = command_parse(&o, "journal retire", RETIRE_USAGE, RETIRE_ABOUT, specs, argc, argv);
    if (!err)
        err = command_find_dir(&o, false);
    if (!err && o.arguments.count)
        err = command_too_many("retire", &o);
    if (!err && ((r.remove && r.archive) || (list && (r.remove || r.archive)))) {
        log_error("--list, --remove and --archive: use one of them");
        err = ERR_USAGE;
    }
    if (dry_run || list) {
        r.remove = false;
        r.archive = NULL;
    }
    r.dir = o.dir.data;
    r.json = o.json;
    r.verbose = o.verbose;
    if (!err)
        err = journal_retire(&r);
    command_release(&o);
    return err;
}

static int command_forget(int argc, char **argv) {
    struct common o = {0};
    struct forget_options f = {0};
    bool keep_parts = false;
    const struct option_spec specs[] = {
        {"unfinished", 0, OPTION_FLAG, &f.unfinished, NULL, "unfinished uploads too; with --keep-parts"},
        {"keep-parts", 0, OPTION_FLAG, &keep_parts, NULL, "what they left at the destination stays there"},
        COMMON_ROWS(&o),
    };
    int err = command_parse(&o, "journal forget", FORGET_USAGE, FORGET_ABOUT, specs, argc, argv);
    if (!err)
        err = command_find_dir(&o, true);
    if (!err && o.arguments.count == 0) {
        log_error("journal forget: UPLOAD or DEST is missing; name an upload's id or a destination; see 'chunklift "
                  "journal forget --help'");
        err = ERR_USAGE;
    }
    if (!err && f.unfinished && !keep_parts) {
        log_error("--unfinished: this program cannot abort them; use 'chunklift journal forget --unfinished'");
        err = ERR_USAGE;
    }
    f.dir = o.dir.data;
    f.wanted = o.arguments.items;
    f.wanted_count = o.arguments.count;
    f.json = o.json;
    if (!err)
        err = journal_forget(&f);
    command_release(&o);
    return err;
}

static int command_export(int argc, char **argv) {
    struct common o = {0};
    const char *elsewhere; /* `chunklift journal export` does that, with a copy */
    const struct option_spec specs[] = {
        OPTION_ROW_CONSUMER(&elsewhere),
        COMMON_ROWS(&o),
    };
    int err = command_parse(&o, "journal export", EXPORT_USAGE, EXPORT_ABOUT, specs, argc, argv);
    if (!err)
        err = command_find_dir(&o, false);
    if (!err && o.arguments.count)
        err = command_too_many("export", &o);
    if (!err)
        err = journal_export(o.dir.data);
    command_release(&o);
    return err;
}

static const struct offline_command {
    const char *name;
    int (*run)(int argc, char **argv);
} offline_commands[] = {
    {"retire", command_retire}, {"forget", command_forget}, {"export", command_export}, {NULL, NULL}};

bool offline_command_exists(const char *name) {
    for (const struct offline_command *c = offline_commands; c->name; c++)
        if (strcmp(name, c->name) == 0)
            return true;
    return false;
}

int offline_command_run(int argc, char **argv) {
    int err = ERR_USAGE;
    log_setup("chunklift", LOG_INFO, false);
    for (const struct offline_command *c = offline_commands; c->name; c++)
        if (strcmp(argv[0], c->name) == 0)
            err = c->run(argc, argv);
    return exit_status_of(err);
}
