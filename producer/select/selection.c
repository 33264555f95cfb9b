#include "producer/select/selection.h"
#include "producer/select/bounds.h"
#include "producer/select/glob.h"
#include "producer/select/rule_file.h"
#include "producer/select/rules.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct selection {
    bool ignore_case;
    struct bounds bounds;
    struct rules files, directories;
    struct pattern_matcher *matcher;
    struct buf name, scratch; /* of the name being judged */
};

/* Where a rule was given, for messages. */
struct rule_place {
    struct selection *s;
    const char *option, *file;
    bool include;
    bool signed_rules; /* of --filter and --filter-from: "+ GLOB", "- GLOB" or "!" */
};

/* ---- rules ---- */

/* line 0: on the command line. */
static int place_refuse(const struct rule_place *place, unsigned line, const char *text, const char *problem) {
    if (line)
        log_error("%s %s:%u: %s: %s", place->option, place->file, line, text, problem);
    else
        log_error("%s '%s': %s", place->option, text, problem);
    return ERR_USAGE;
}

/* Adds the rule of a glob to a list. ERR_INVALID, ERR_LIMIT: see problem. */
static int selection_add_glob(const struct selection *s, struct rules *rules, bool include, const char *glob,
                              char problem[PATTERN_PROBLEM_SIZE]) {
    struct buf regexp = BUF_INIT;
    const char *invalid = NULL;
    int err = glob_to_regexp(glob, s->ignore_case, &regexp, &invalid);
    if (invalid)
        snprintf(problem, PATTERN_PROBLEM_SIZE, "%s", invalid);
    if (!err)
        err = rules_add(rules, include, regexp.data, problem);
    if (err == ERR_LIMIT)
        snprintf(problem, PATTERN_PROBLEM_SIZE, "more than %u rules; for a list of names use --files-from", RULES_MAX);
    buf_release(&regexp);
    return err;
}

struct derived {
    struct selection *s;
    bool include;
    char *problem;
};

/* A glob that is cut within a construct can be invalid: then any directory may have matching files. */
static int derived_add(void *arg, const char *directories) {
    const struct derived *d = arg;
    int err = selection_add_glob(d->s, &d->s->directories, d->include, directories, d->problem);
    return err == ERR_INVALID ? selection_add_glob(d->s, &d->s->directories, d->include, "/**", d->problem) : err;
}

/* A glob that ends in '/' is a rule of directories, and to exclude one excludes all that is in it. A glob with "**" is
 * a rule of both kinds. All others are rules of files; if they include, the directories of such files are included. */
static int selection_add(struct selection *s, bool include, const char *given, char problem[PATTERN_PROBLEM_SIZE]) {
    struct buf glob = BUF_INIT;
    size_t len = strlen(given);
    bool is_directory = len > 0 && given[len - 1] == '/';
    int err = buf_addf(&glob, "%s%s", given, is_directory && !include ? "**" : "");
    bool is_both = !err && strstr(glob.data, "**");
    if (!err && (!is_directory || is_both))
        err = selection_add_glob(s, &s->files, include, glob.data, problem);
    if (!err && (!is_directory || is_both) && (include || strcmp(glob.data, "*") == 0))
        err = glob_each_directory(glob.data, derived_add, &(struct derived){s, include, problem});
    if (!err && (is_directory || is_both))
        err = selection_add_glob(s, &s->directories, include, glob.data, problem);
    buf_release(&glob);
    return err;
}

static int place_add_rule(void *arg, unsigned line, const char *text) {
    struct rule_place *place = arg;
    char problem[PATTERN_PROBLEM_SIZE] = "";
    bool include = place->include;
    const char *glob = text;
    if (place->signed_rules && strcmp(text, "!") == 0) {
        rules_clear(&place->s->files);
        rules_clear(&place->s->directories);
        return 0;
    }
    if (place->signed_rules) {
        if ((*text != '+' && *text != '-') || text[1] != ' ')
            return place_refuse(place, line, text, "not a rule; write '+ PATTERN', '- PATTERN' or '!'");
        include = *text == '+';
        glob = text + 2;
    }
    int err = selection_add(place->s, include, glob, problem);
    return err && problem[0] ? place_refuse(place, line, glob, problem) : err;
}

static int place_add_all(struct rule_place *place, const char *option, const struct text_list *rules,
                         const char *from_option, const struct text_list *files) {
    int err = 0;
    place->option = option;
    for (size_t i = 0; !err && i < rules->count; i++)
        err = place_add_rule(place, 0, rules->items[i]);
    place->option = from_option;
    for (size_t i = 0; !err && i < files->count; i++) {
        place->file = files->items[i];
        err = rule_file_read(from_option, place->file, place_add_rule, place);
    }
    return err;
}

/* The order of the kinds is rclone's; within a kind, that of the command line. */
static int selection_add_rules(struct selection *s, const struct selection_options *o) {
    bool includes = o->include.count > 0 || o->include_from.count > 0;
    bool excludes = o->exclude.count > 0 || o->exclude_from.count > 0;
    struct rule_place place = {.s = s, .include = true};
    char problem[PATTERN_PROBLEM_SIZE];
    int err = place_add_all(&place, "--include", &o->include, "--include-from", &o->include_from);
    place.include = false;
    if (!err)
        err = place_add_all(&place, "--exclude", &o->exclude, "--exclude-from", &o->exclude_from);
    if (!err && includes && excludes)
        log_warn("--include and --exclude: all rules that include come first; for another order use --filter");
    place.signed_rules = true;
    if (!err)
        err = place_add_all(&place, "--filter", &o->filter, "--filter-from", &o->filter_from);
    return !err && includes ? selection_add(s, false, "/**", problem) : err;
}

/* ---- options ---- */

bool selection_is_wanted(const struct selection_options *o) {
    return o->include.count || o->include_from.count || o->exclude.count || o->exclude_from.count || o->filter.count ||
           o->filter_from.count || o->min_size || o->max_size || o->min_age || o->max_age;
}

unsigned selection_count_stdin(const struct selection_options *o) {
    const struct text_list *const lists[] = {&o->include_from, &o->exclude_from, &o->filter_from};
    unsigned count = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (size_t at = 0; at < lists[i]->count; at++)
            count += strcmp(lists[i]->items[at], "-") == 0;
    return count;
}

void selection_options_release(struct selection_options *o) {
    text_list_release(&o->include);
    text_list_release(&o->include_from);
    text_list_release(&o->exclude);
    text_list_release(&o->exclude_from);
    text_list_release(&o->filter);
    text_list_release(&o->filter_from);
}

int selection_new(struct selection **out, const struct selection_options *o) {
    struct timespec now;
    struct selection *s = calloc(1, sizeof *s);
    *out = s;
    if (!s)
        return ERR_NOMEM;
    s->ignore_case = o->ignore_case;
    clock_gettime(CLOCK_REALTIME, &now);
    int err = bounds_parse(&s->bounds, o->min_size, o->max_size, o->min_age, o->max_age, &now);
    if (!err)
        err = pattern_matcher_new(&s->matcher);
    if (!err)
        err = selection_add_rules(s, o);
    if (err)
        selection_destroy(out);
    return err;
}

void selection_destroy(struct selection **out) {
    struct selection *s = *out;
    if (!s)
        return;
    rules_clear(&s->files);
    rules_clear(&s->directories);
    pattern_matcher_destroy(&s->matcher);
    buf_release(&s->name);
    buf_release(&s->scratch);
    free(s);
    *out = NULL;
}

void selection_print(const struct selection *s, FILE *out) {
    fputs("--- start filters ---\n", out);
    bounds_print(&s->bounds, out);
    fputs("--- File filter rules ---\n", out);
    rules_print(&s->files, out);
    fputs("--- Directory filter rules ---\n", out);
    rules_print(&s->directories, out);
    fputs("--- end filters ---\n", out);
}

/* ---- verdicts ---- */

static int selection_judge(struct selection *s, const struct rules *rules, const char *name, bool *include,
                           const char **given_up) {
    struct slice subject;
    int err = pattern_subject(name, &s->scratch, &subject);
    return err ? err : rules_judge(rules, s->matcher, subject, include, given_up);
}

int selection_judge_file(struct selection *s, const char *name, bool *include, const char **given_up) {
    return selection_judge(s, &s->files, name, include, given_up);
}

int selection_judge_directory(struct selection *s, const char *name, bool *include, const char **given_up) {
    buf_clear(&s->name);
    int err = buf_addf(&s->name, "%s/", name);
    return err ? err : selection_judge(s, &s->directories, s->name.data, include, given_up);
}

bool selection_judge_attributes(const struct selection *s, const struct stat *st) {
    return bounds_include(&s->bounds, st);
}
