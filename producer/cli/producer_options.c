#include "producer/cli/producer_options.h"
#include "producer/show/report.h"
#include "pure/geometry.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOT_EXPECTED UINT64_MAX

const char *const on_change_names[] = {"fail", "restart", NULL};

static int producer_options_refuse(const struct command_text *text, const char *option, const char *problem) {
    log_error("%s: %s; see 'chunklift %s --help'", option, problem, text->name);
    return ERR_USAGE;
}

static int producer_options_check_keys(const struct producer_options *o) {
    int err = keys_setup(&o->keys, TRUST_UPLOADER);
    if (!err && o->config.jobs_endpoint)
        err = keys_check("--jobs", o->config.jobs_endpoint, 0);
    if (!err && o->config.data_endpoint)
        err = keys_check("--data", o->config.data_endpoint, 0);
    if (!err && o->config.consumer)
        err = keys_check("--consumer", o->config.consumer, TRUST_CONSUMER);
    return err;
}

static int producer_options_check_compare(const struct producer_options *o) {
    const char *problem = NULL;
    if (o->size_only && o->checksum)
        problem = "--size-only, --checksum: each says alone when a file is unchanged; leave one out";
    else if (o->config.force && (o->size_only || o->checksum || o->config.check_dest))
        problem = "--force: sends unchanged files too; leave it out, or --size-only, --checksum and --check-dest";
    else if (o->config.check_dest && (o->config.ignore_existing || o->config.if_none_match))
        problem = "--check-dest: replaces objects that --ignore-existing and --if-none-match leave; leave it out";
    else if (o->dry_run && (o->config.check_dest || o->config.ignore_existing))
        problem = "--dry-run: asks no store; leave out --check-dest and --ignore-existing";
    if (problem)
        log_error("%s", problem);
    return problem ? ERR_USAGE : 0;
}

static int producer_options_check(const struct producer_options *o, const struct command_text *text) {
    if (o->arguments.count < 2)
        return producer_options_refuse(text, text->name,
                                       o->arguments.count == 0 ? "SRC and DEST are missing" : "DEST is missing");
    int err = producer_options_check_compare(o);
    return err ? err : producer_options_check_keys(o);
}

static const char *stdin_problem(const struct producer_options *o) {
    const struct producer_config *c = &o->config;
    struct stat st;
    if (c->source_count > 1)
        return "standard input is the only source of its command; upload the others with another one";
    if (c->recursive)
        return "standard input becomes one object; leave out -r";
    if (c->files_from)
        return "standard input becomes one object; leave out --files-from";
    if (o->dry_run)
        return "standard input can be read only once; leave out --dry-run";
    if (o->size_only || o->checksum || c->check_dest || c->ignore_existing)
        return "standard input is always sent; leave out --size-only, --checksum, --check-dest and --ignore-existing";
    if (o->select.dump_filters || c->selection)
        return "standard input has no files to select; leave out the filters";
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    if (flags == -1 || (flags & O_ACCMODE) == O_WRONLY || fstat(STDIN_FILENO, &st) != 0) /* see output_setup */
        return "standard input is closed; connect it to a pipe or a file";
    if (S_ISDIR(st.st_mode))
        return "standard input is a directory; connect it to a pipe or a file";
    return isatty(STDIN_FILENO) ? "standard input is a terminal; connect it to a pipe or a file" : NULL;
}

static int producer_options_check_stdin(const struct producer_options *o) {
    const struct producer_config *c = &o->config;
    const char *problem = c->from_stdin ? stdin_problem(o) : NULL;
    if (problem)
        log_error("-: %s", problem);
    if (!c->from_stdin && c->expects_size) {
        problem = "it is the size of standard input; use it with SRC -";
        log_error("--expect-size: %s", problem);
    }
    return problem ? ERR_USAGE : 0;
}

/* Appends a word for a shell. */
static int shell_add_word(struct buf *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@,=%";
    if (word[0] && word[strspn(word, plain)] == '\0')
        return buf_add_text(out, word);
    int err = buf_add_byte(out, '\'');
    for (; !err && *word; word++)
        err = *word == '\'' ? buf_add_text(out, "'\\''") : buf_add_byte(out, *word);
    return err ? err : buf_add_byte(out, '\'');
}

/* The command that lists all failed files. */
static int producer_options_name_show_failed(struct producer_options *o) {
    const char *consumer = o->config.consumer, *where = consumer ? consumer : o->journal_argument;
    int err = buf_add_text(&o->show_failed, "chunklift journal show --failed");
    if (!err && where)
        err = buf_add_text(&o->show_failed, consumer ? " --consumer " : " --journal ");
    return err || !where ? err : shell_add_word(&o->show_failed, where);
}

/* From --integrity, --content-md5, and the option of the AWS CLI for the same. */
static int producer_options_settle_integrity(struct producer_options *o) {
    const char *name = o->checksum_algorithm;
    enum integrity given = option_integrity(o->integrity, o->content_md5);
    enum integrity named = !name                         ? given
                           : strcmp(name, "CRC32C") == 0 ? INTEGRITY_CRC32C
                           : strcmp(name, "SHA256") == 0 ? INTEGRITY_SHA256
                                                         : INTEGRITY_UNKNOWN;
    if (name && !named) {
        log_error("--checksum-algorithm %s: not one that chunklift computes; use CRC32C or SHA256", name);
        return ERR_USAGE;
    }
    if (name && given && given != named) {
        log_error("--checksum-algorithm %s: does not go with --integrity %s; use one of them", name,
                  integrity_name(given));
        return ERR_USAGE;
    }
    o->config.integrity = named;
    return 0;
}

/* Fills in the configuration from the parsed options. */
static int producer_options_settle(struct producer_options *o) {
    int err = o->journal_argument ? buf_add_text(&o->journal, o->journal_argument) : dirs_default_journal(&o->journal);
    if (err)
        return err;
    err = producer_options_name_show_failed(o);
    if (!err)
        err = producer_options_settle_integrity(o);
    if (err)
        return err;
    o->config.sources = o->arguments.items;
    o->config.source_count = o->arguments.count - 1;
    o->config.dest = o->arguments.items[o->arguments.count - 1];
    for (size_t i = 0; i < o->config.source_count; i++)
        o->config.from_stdin |= strcmp(o->config.sources[i], "-") == 0;
    o->config.compare = o->checksum ? COMPARE_CONTENT : o->size_only ? COMPARE_SIZE : COMPARE_TIMES;
    o->config.on_change = o->on_change ? ON_CHANGE_RESTART : ON_CHANGE_FAIL;
    o->config.no_guess_type = o->properties.no_guess_type;
    o->config.journal_dir = o->journal.data;
    o->config.resize = o->config.chunk_size != 0;
    o->config.set_bwlimit = o->bwlimit.given;
    o->config.bwlimit = o->bwlimit.rate;
    o->config.timetable = o->bwlimit.timetable;
    o->config.expects_size = o->expect_size != NOT_EXPECTED;
    o->config.expected_size = o->expect_size;
    if (o->config.chunk_size == 0)
        o->config.chunk_size = CHUNK_SIZE_DEFAULT;
    return property_options_settle(&o->properties, &o->config.properties);
}

int producer_options_parse(struct producer_options *o, const struct command_text *text, const struct option_spec *specs,
                           int argc, char **argv) {
    o->stats_ms = PROGRESS_PLAIN_MS;
    o->expect_size = NOT_EXPECTED;
    int err = options_parse(text->name, specs, argc, argv, &o->arguments);
    if (!err && options_answer(o->help, o->version, text->usage, text->about, specs))
        return EXIT_DONE;
    if (!err)
        err = producer_options_check(o, text);
    if (!err)
        err = producer_options_settle(o);
    if (!err)
        err = select_options_settle(&o->select, o->output.json ? stderr : stdout, &o->config);
    if (!err)
        err = producer_options_check_stdin(o);
    return err ? exit_status_of_run(err) : -1;
}

int producer_options_setup_log(const struct producer_options *o) {
    enum log_level level = o->quiet ? LOG_ERROR : o->verbose ? LOG_DEBUG : o->output.json ? LOG_WARN : LOG_INFO;
    log_setup("chunklift", level, false);
    int err = o->report && !o->dry_run ? report_prepare(o->report) : 0;
    return err ? err : log_set_file(o->log_file);
}

struct driver_options producer_options_for_driver(const struct producer_options *o) {
    return (struct driver_options){
        .failures = &o->output.failures,
        .report = o->report,
        .show_failed = o->show_failed.data,
        .json = o->output.json,
        .progress = !o->quiet && !o->no_progress && !o->output.json,
        .summary = true,
        .stats_ms = o->stats_ms,
        .quiet = o->quiet,
        .where = o->config.consumer ? o->config.consumer : o->config.journal_dir,
    };
}

void producer_options_release(struct producer_options *o) {
    text_list_release(&o->arguments);
    property_options_release(&o->properties);
    buf_release(&o->journal);
    buf_release(&o->show_failed);
    failures_release(&o->output.failures);
    select_options_release(&o->select);
}
