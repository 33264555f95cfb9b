#include "producer/cli/store/store_options.h"

#include "producer/cli/journal/journal_copy.h"
#include "pure/array.h"
#include "pure/dest.h"
#include "system/dirs.h"
#include "system/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int store_options_make_urls(struct store_options *o) {
    char problem[DEST_PROBLEM_SIZE], *cwd = NULL;
    int err = 0;
    if (!(o->dests = array_zeroed(o->arguments.count, sizeof *o->dests)))
        return ERR_NOMEM;
    for (size_t i = 0; !err && i < o->arguments.count; i++) {
        const char *argument = o->arguments.items[i];
        if (dest_problem(argument, problem, sizeof problem)) {
            log_error("%s: %s", argument, problem);
            err = ERR_USAGE;
        } else if (!cwd && !(cwd = getcwd(NULL, 0))) {
            log_error("the current directory: %s", strerror(errno));
            err = ERR_IO;
        } else {
            err = dest_from_argument(argument, cwd, &o->dests[i]);
            o->dest_count = i + 1;
        }
        if (!err)
            o->arguments.items[i] = o->dests[i].data;
    }
    free(cwd);
    return err;
}

int store_options_parse(struct store_options *o, const char *command, const char *usage, const char *about,
                        const struct option_spec *specs, int argc, char **argv) {
    int err = options_parse(command, specs, argc, argv, &o->arguments);
    if (!err && options_answer(o->help, o->version, usage, about, specs))
        return ERR_AGAIN;
    if (err)
        return err;
    log_setup("chunklift", option_log_level(o->quiet, o->verbose), false);
    if (o->consumer && o->journal) {
        log_error("--journal and --consumer: use one of them");
        return ERR_USAGE;
    }
    err = property_options_settle(&o->access, &o->properties);
    if (!err)
        err = keys_setup(&o->keys, TRUST_UPLOADER);
    if (!err && o->consumer)
        err = keys_check_option("--consumer", o->consumer, TRUST_CONSUMER);
    return err ? err : store_options_make_urls(o);
}

int store_options_open_journal(struct store_options *o) {
    int err = o->journal ? buf_add_text(&o->home, o->journal) : dirs_default_journal(&o->home);
    if (err)
        return err;
    return o->consumer ? journal_copy_fetch(o->consumer, &o->dir) : buf_add_text(&o->dir, o->home.data);
}

int store_options_refresh_journal(struct store_options *o) {
    if (!o->consumer)
        return 0;
    journal_copy_remove(&o->dir);
    return journal_copy_fetch(o->consumer, &o->dir);
}

struct errand_options store_options_errand(const struct store_options *o) {
    return (struct errand_options){.journal_dir = o->home.data,
                                   .consumer = o->consumer,
                                   .region = o->region,
                                   .profile = o->profile,
                                   .access = {.sse_c_key = o->access.values[PROPERTY_SSE_C_MD5],
                                              .ca_cert = o->ca_cert,
                                              .no_verify_ssl = o->no_verify_ssl,
                                              .properties = o->properties},
                                   .retry_for_ms = o->retry_for_ms,
                                   .keys = o->keys,
                                   .quiet = o->quiet,
                                   .verbose = o->verbose};
}

void store_options_release(struct store_options *o) {
    if (o->consumer)
        journal_copy_remove(&o->dir);
    for (size_t i = 0; i < o->dest_count; i++)
        buf_release(&o->dests[i]);
    free(o->dests);
    text_list_release(&o->arguments);
    property_options_release(&o->access);
    buf_release(&o->dir);
    buf_release(&o->home);
}
