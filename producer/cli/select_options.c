#include "producer/cli/select_options.h"
#include "system/log.h"
#include <string.h>

static int select_options_check(const struct select_options *o, const struct producer_config *config) {
    const char *list = config->files_from, *problem = NULL;
    if (selection_count_stdin(&o->filters) + (list && strcmp(list, "-") == 0) > 1)
        problem = "-: standard input can be read only once; name files for the other lists";
    else if (list && selection_is_wanted(&o->filters))
        problem = "--files-from: names all files itself; leave out the filters, or the list";
    else if (list && config->one_file_system)
        problem = "--files-from: names all files itself; leave out --one-file-system";
    else if (!list && config->null_names)
        problem = "--null: is about the names of --files-from; name a list";
    if (problem)
        log_error("%s", problem);
    return problem ? ERR_USAGE : 0;
}

int select_options_settle(struct select_options *o, FILE *out, struct producer_config *config) {
    int err = select_options_check(o, config);
    if (err)
        return err;
    if (!selection_is_wanted(&o->filters) && !o->dump_filters)
        return 0;
    err = selection_new(&o->selection, &o->filters);
    if (err)
        return err;
    config->selection = o->selection;
    if (o->dump_filters) {
        selection_print(o->selection, out);
        fflush(out);
    }
    return 0;
}

void select_options_release(struct select_options *o) {
    selection_destroy(&o->selection);
    selection_options_release(&o->filters);
}
