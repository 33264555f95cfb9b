#include "system/options.h"

#include "pure/array.h"
#include "pure/check.h"
#include "pure/timetable.h"
#include "pure/units.h"
#include "system/config_file.h"
#include "system/log.h"
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

const char *const option_auto[] = {"auto", NULL};

static int text_list_add(struct text_list *list, const char *item) {
    int err = array_grow_by_one(&list->items, list->count, sizeof *list->items);
    if (!err)
        list->items[list->count++] = item;
    return err;
}

void text_list_release(struct text_list *list) {
    free(list->items);
    *list = (struct text_list){0};
}

#define OPTIONS_MAX 128 /* of a command */

struct parser {
    const char *command;
    const struct option_spec *specs;
    char **argv;
    int argc, next;          /* next: the argument after the one being read */
    bool given[OPTIONS_MAX]; /* on the command line */
    const char *config;      /* the file being read */
};

static int options_error(const struct parser *p, const char *option, int option_len, const char *problem) {
    const char *program = strncmp(p->command, "chunklift", 9) == 0 ? "" : "chunklift ";
    log_error("%.*s: %s; see '%s%s --help'", option_len, option, problem, program, p->command);
    return ERR_USAGE;
}

static int option_count_error(const struct option_spec *s, const char *option, const char *value) {
    const char *word = s->choices ? s->choices[0] : "", * or = s->choices ? ", and not " : "";
    if (s->max == UINT64_MAX)
        log_error("%s %s: not a whole number from %llu on%s%s", option, value, (unsigned long long)s->min, or, word);
    else
        log_error("%s %s: not a whole number from %llu to %llu%s%s", option, value, (unsigned long long)s->min,
                  (unsigned long long)s->max, or, word);
    return ERR_USAGE;
}

static int option_set_count(const struct option_spec *s, const char *option, const char *value) {
    if (s->choices && strcmp(value, s->choices[0]) == 0) {
        *(uint64_t *)s->target = 0;
        return 0;
    }
    return count_parse(value, s->min, s->max, s->target) ? option_count_error(s, option, value) : 0;
}

static int option_set_size(const struct option_spec *s, const char *option, const char *value) {
    uint64_t bytes;
    if (size_parse(value, &bytes)) {
        log_error("%s %s: not a size; use for example 8MiB", option, value);
        return ERR_USAGE;
    }
    if (s->max && (bytes < s->min || bytes > s->max)) {
        char low[UNITS_TEXT_SIZE], high[UNITS_TEXT_SIZE];
        log_error("%s %s: out of range; use %s to %s", option, value, size_format(s->min, low),
                  size_format(s->max, high));
        return ERR_USAGE;
    }
    *(uint64_t *)s->target = bytes;
    return 0;
}

static int option_set_time(const struct option_spec *s, const char *option, const char *value) {
    uint64_t ms;
    if (time_parse_ms(value, &ms)) {
        log_error("%s %s: not a time; use for example 500ms, 10s, 5m or 1h30m (units ms, s, m or min, h, d)", option,
                  value);
        return ERR_USAGE;
    }
    if (s->max && (ms < s->min || ms > s->max)) {
        log_error("%s %s: out of range; use %gs to %gs", option, value, (double)s->min / 1000, (double)s->max / 1000);
        return ERR_USAGE;
    }
    *(uint64_t *)s->target = ms;
    return 0;
}

static int option_set_rate(const char *option, const char *value, uint64_t *rate) {
    int err = rate_parse(value, rate);
    if (err == 0)
        return 0;
    log_error(err == ERR_LIMIT ? "%s %s: out of range; use 1KiB or more, or none"
                               : "%s %s: not a rate; use bytes a second, for example 10MiB or 100MB, or none",
              option, value);
    return ERR_USAGE;
}

static int option_set_timetable(const char *option, const char *value, struct option_budget *budget) {
    struct timetable t;
    struct slice wrong;
    int err = timetable_parse(value, &t, &wrong);
    if (err == 0) {
        *budget = (struct option_budget){.given = true, .timetable = value};
        return 0;
    }
    log_error(err == ERR_LIMIT ? "%s: %.*s: out of range; use 1KiB or more, or off, and at most 511 bytes in all"
                               : "%s: %.*s: not an entry of a timetable; use [DAY-]HH:MM,RATE, for example 08:00,512k "
                                 "Sat-10:00,off",
              option, (int)wrong.len, wrong.ptr);
    return ERR_USAGE;
}

/* rclone's "10M" and "off" are rates here too. */
static int option_set_budget(const char *option, const char *value, struct option_budget *budget) {
    if (timetable_is_given(value))
        return option_set_timetable(option, value, budget);
    *budget = (struct option_budget){.given = true};
    if (rate_parse(value, &budget->rate) == ERR_INVALID && timetable_parse_rate(slice_of(value), &budget->rate) == 0)
        return 0;
    return option_set_rate(option, value, &budget->rate);
}

static int option_set_choice(const struct option_spec *s, const char *option, const char *value) {
    struct buf all = BUF_INIT;
    int err = 0;
    for (int i = 0; !err && s->choices[i]; i++) {
        if (strcmp(s->choices[i], value) == 0) {
            *(int *)s->target = i;
            goto out;
        }
        const char *joint = i == 0 ? "" : s->choices[i + 1] ? ", " : " or ";
        err = buf_addf(&all, "%s%s", joint, s->choices[i]);
    }
    if (!err) {
        log_error("%s %s: unknown; use %s", option, value, all.len ? all.data : "nothing");
        err = ERR_USAGE;
    }
out:
    buf_release(&all);
    return err;
}

static int option_set_value(const struct option_spec *s, const char *option, const char *value) {
    switch (s->kind) {
    case OPTION_FLAG:
        *(bool *)s->target = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)s->target = value;
        return 0;
    case OPTION_LIST:
        return text_list_add(s->target, value);
    case OPTION_SIZE:
        return option_set_size(s, option, value);
    case OPTION_TIME:
        return option_set_time(s, option, value);
    case OPTION_RATE:
        return option_set_rate(option, value, s->target);
    case OPTION_BUDGET:
        return option_set_budget(option, value, s->target);
    case OPTION_COUNT:
        return option_set_count(s, option, value);
    case OPTION_CHOICE:
        return option_set_choice(s, option, value);
    case OPTION_CONFIG:
        ((struct config_file *)s->target)->path = value;
        return 0;
    }
    return ERR_USAGE;
}

static int option_set_given(struct parser *p, const struct option_spec *s, const char *option, const char *value) {
    p->given[s - p->specs] = true;
    return option_set_value(s, option, value);
}

/* The argument after an option that needs a value and has none after '='. */
static int option_next_value(struct parser *p, const struct option_spec *s, const char *option, const char **value) {
    if (p->next < p->argc) {
        *value = p->argv[p->next++];
        return 0;
    }
    char problem[80];
    snprintf(problem, sizeof problem, "needs a value (%s)", s->value_name ? s->value_name : "VALUE");
    return options_error(p, option, (int)strlen(option), problem);
}

static const struct option_spec *option_find(const struct parser *p, const char *name, size_t len) {
    for (const struct option_spec *s = p->specs; s->name; s++)
        if (strlen(s->name) == len && memcmp(s->name, name, len) == 0)
            return s;
    return NULL;
}

static int option_parse_long(struct parser *p, const char *word) {
    const char *name = word + 2;
    size_t len = strcspn(name, "=");
    const struct option_spec *s = option_find(p, name, len);
    if (!s)
        return options_error(p, word, (int)len + 2, "unknown option");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (s->kind == OPTION_FLAG && value)
        return options_error(p, word, (int)len + 2, "takes no value");
    char option[64];
    snprintf(option, sizeof option, "--%s", s->name);
    if (s->kind != OPTION_FLAG && !value) {
        int err = option_next_value(p, s, option, &value);
        if (err)
            return err;
    }
    return option_set_given(p, s, option, value);
}

/* "-r", "-rv", "-n5", "-n 5", "-fn5" */
static int option_parse_short(struct parser *p, const char *word) {
    for (const char *letter = word + 1; *letter; letter++) {
        const struct option_spec *s = p->specs;
        while (s->name && s->letter != *letter)
            s++;
        if (!s->name && (unsigned char)*letter >= 0x80) /* a letter of several bytes: name the whole word */
            return options_error(p, word, (int)strlen(word), "unknown option");
        char option[3] = {'-', *letter, '\0'};
        if (!s->name)
            return options_error(p, option, 2, "unknown option");
        const char *value = letter + 1;
        if (s->kind != OPTION_FLAG && !*value) {
            int err = option_next_value(p, s, option, &value);
            if (err)
                return err;
        }
        int err = option_set_given(p, s, option, value);
        if (err || s->kind != OPTION_FLAG)
            return err;
    }
    return 0;
}

/* Hidden options, and those that end the program at once, are not allowed in a file. */
static bool option_is_allowed_in_file(const struct option_spec *s) {
    return s->help && s->kind != OPTION_CONFIG && strcmp(s->name, "help") != 0 && strcmp(s->name, "version") != 0;
}

static int option_parse_config_line(void *arg, unsigned line, const char *name, const char *value) {
    struct parser *p = arg;
    const struct option_spec *s = option_find(p, name, strlen(name));
    const char *problem = NULL;
    if (!s || !option_is_allowed_in_file(s))
        problem = "unknown option";
    else if (s->kind == OPTION_FLAG && value)
        problem = "takes no value";
    else if (s->kind != OPTION_FLAG && (!value || !*value))
        problem = "needs a value";
    if (problem) {
        log_error("%s:%u: %s: %s", p->config, line, name, problem);
        return ERR_USAGE;
    }
    if (p->given[s - p->specs])
        return 0;
    char option[512];
    snprintf(option, sizeof option, "%s:%u: %s", p->config, line, name);
    return option_set_value(s, option, value);
}

static int options_parse_config(struct parser *p) {
    for (const struct option_spec *s = p->specs; s->name; s++) {
        struct config_file *c = s->target;
        if (s->kind != OPTION_CONFIG || !c->path)
            continue;
        p->config = c->path;
        return config_file_read(c, option_parse_config_line, p);
    }
    return 0;
}

int options_parse(const char *command, const struct option_spec *specs, int argc, char **argv,
                  struct text_list *arguments) {
    struct parser p = {.command = command, .specs = specs, .argv = argv, .argc = argc, .next = 1};
    *arguments = (struct text_list){0};
    const struct option_spec *end = specs;
    while (end->name)
        end++;
    CHECK(end - specs <= OPTIONS_MAX);
    int err = 0;
    bool ended = false;
    while (!err && p.next < argc) {
        const char *word = argv[p.next++];
        if (ended || word[0] != '-' || word[1] == '\0')
            err = text_list_add(arguments, word);
        else if (strcmp(word, "--") == 0)
            ended = true;
        else if (word[1] == '-')
            err = option_parse_long(&p, word);
        else
            err = option_parse_short(&p, word);
    }
    if (!err)
        err = options_parse_config(&p);
    if (err)
        text_list_release(arguments);
    if (err == ERR_NOMEM)
        log_error("out of memory");
    return err;
}

/* Columns of UTF-8 text: all bytes but continuation bytes. */
static int option_text_columns(const char *text) {
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static int option_columns(const struct option_spec *s) {
    return option_text_columns(s->name) + (s->value_name ? 1 + option_text_columns(s->value_name) : 0);
}

void options_help(FILE *out, const char *usage, const char *about, const struct option_spec *specs) {
    int width = 0;
    for (const struct option_spec *s = specs; s->name; s++)
        if (s->help)
            width = MAX(width, option_columns(s));
    fprintf(out, "Usage: %s\n", usage);
    if (about && *about)
        fprintf(out, "\n%s\n", about);
    fprintf(out, "\nOptions:\n");
    for (const struct option_spec *s = specs; s->name; s++) {
        if (!s->help)
            continue;
        if (s->letter)
            fprintf(out, "  -%c, ", s->letter);
        else
            fprintf(out, "      ");
        fprintf(out, "--%s%s%s%*s  %s\n", s->name, s->value_name ? " " : "", s->value_name ? s->value_name : "",
                width - option_columns(s), "", s->help);
    }
}

bool options_answer(bool help, bool version, const char *usage, const char *about, const struct option_spec *specs) {
    if (help)
        options_help(stdout, usage, about, specs);
    else if (version)
        puts("chunklift " CHUNKLIFT_VERSION);
    return help || version;
}
