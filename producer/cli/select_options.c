#include "producer/cli/select_options.h"
#include "system/log.h"

int select_options_settle(struct select_options *o, FILE *out, struct producer_config *config) {
    if (selection_count_stdin(&o->filters) > 1) {
        log_error("-: standard input can be read only once; name files for the other lists");
        return ERR_USAGE;
    }
    if (!selection_is_wanted(&o->filters) && !o->dump_filters)
        return 0;
    int err = selection_new(&o->selection, &o->filters);
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
