/* select_tree [options] DIR: prints the names of the files of DIR that a producer with these options takes, one a line.
 * For tests that compare the selection with that of other programs. */
#include "producer/cli/producer_options.h"
#include "producer/source/walk.h"
#include "system/exit_status.h"
#include "system/log.h"
#include <stdlib.h>

static int tree_print(const struct producer_options *o) {
    struct walk *w;
    struct walk_entry e;
    char *root = realpath(o->config.sources[0], NULL);
    if (!root || walk_new(&w, root))
        return EXIT_UNUSABLE;
    walk_set_selection(w, o->config.selection);
    walk_set_reach(w, o->config.follow_links, NULL, o->config.one_file_system);
    int status = EXIT_DONE;
    while (walk_next(w, &e) == 0 && e.kind != WALK_END) {
        if (e.kind == WALK_FILE)
            puts(e.name);
        if (e.kind == WALK_BAD_FILE || e.kind == WALK_BAD_DIR) {
            log_error("%s: %s", e.path, e.error);
            status = EXIT_SOME_FAILED;
        }
    }
    walk_destroy(&w);
    free(root);
    return status;
}

int main(int argc, char **argv) {
    static const struct command_text text = {"select_tree", "select_tree [options] DIR -", ""};
    struct producer_options o = {.quiet = false};
    const struct option_spec specs[] = {PRODUCER_OPTION_ROWS(&o)};
    log_setup("chunklift", LOG_INFO, false);
    int status = producer_options_parse(&o, &text, specs, argc, argv);
    if (status < 0)
        status = tree_print(&o);
    producer_options_release(&o);
    return status;
}
