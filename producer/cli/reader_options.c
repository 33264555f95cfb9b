#include "producer/cli/reader_options.h"

#include "journal/files.h"
#include "system/dirs.h"
#include "system/exit_status.h"
#include "system/log.h"
#include "system/output.h"
#include "system/signals.h"
#include <dirent.h>

int reader_options_parse(struct reader_options *o, const char *command, const char *usage, const char *about,
                         const struct option_spec *specs, int argc, char **argv) {
    int err = options_parse(command, specs, argc, argv, &o->arguments);
    if (err)
        return err;
    if (options_answer(o->help, o->version, usage, about, specs))
        return ERR_AGAIN;
    log_setup("chunklift", option_log_level(o->quiet, o->verbose), false);
    err = keys_setup(&o->keys, 0);
    if (err || !o->consumer)
        return err;
    if (o->journal) {
        log_error("--journal and --consumer: use one of them");
        return ERR_USAGE;
    }
    return keys_check_option("--consumer", o->consumer, TRUST_CONSUMER);
}

static bool reader_options_has_journal(const char *path) {
    DIR *d = opendir(path);
    bool found = false;
    struct dirent *entry;
    while (d && !found && (entry = readdir(d)))
        found = journal_file_name_is_valid(entry->d_name);
    if (d)
        closedir(d);
    return found;
}

int reader_options_dir(struct reader_options *o, bool last_is_dir) {
    buf_clear(&o->dir);
    if (o->journal)
        return buf_add_text(&o->dir, o->journal);
    const char *last = o->arguments.count ? o->arguments.items[o->arguments.count - 1] : NULL;
    if (!last || (!last_is_dir && !reader_options_has_journal(last)))
        return dirs_default_journal(&o->dir);
    o->arguments.count--;
    return buf_add_text(&o->dir, last);
}

int reader_options_end(struct reader_options *o, int err) {
    if (err == ERR_NOMEM)
        log_error("out of memory");
    reader_options_release(o);
    int status = output_status(err);
    return status == EXIT_DONE && signals_stop_signal() ? exit_status_of_signal(signals_stop_signal()) : status;
}

void reader_options_release(struct reader_options *o) {
    text_list_release(&o->arguments);
    buf_release(&o->dir);
}
