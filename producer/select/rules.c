#include "producer/select/rules.h"
#include "pure/array.h"
#include <stdlib.h>

struct rule {
    struct hash_node node; /* in known */
    bool include;
    char *regexp;
    struct pattern *pattern;
};

static void rule_destroy(struct rule *rule) {
    free(rule->regexp);
    pattern_destroy(&rule->pattern);
    free(rule);
}

void rules_clear(struct rules *rules) {
    for (size_t i = 0; i < rules->count; i++)
        rule_destroy(rules->items[i]);
    free(rules->items);
    hash_release(&rules->known);
    *rules = (struct rules){0};
}

static uint64_t rule_hash(bool include, const char *regexp) {
    return hash_bytes(regexp, strlen(regexp)) + include;
}

static bool rules_contain(const struct rules *rules, bool include, const char *regexp) {
    struct hash_node *node = hash_first(&rules->known, rule_hash(include, regexp));
    for (; node; node = hash_next(node)) {
        const struct rule *rule = (const struct rule *)node; /* its first member */
        if (rule->include == include && strcmp(rule->regexp, regexp) == 0)
            return true;
    }
    return false;
}

int rules_add(struct rules *rules, bool include, const char *regexp, char problem[PATTERN_PROBLEM_SIZE]) {
    if (rules_contain(rules, include, regexp))
        return 0;
    if (rules->count >= RULES_MAX)
        return ERR_LIMIT;
    if (array_grow(&rules->items, &rules->cap, rules->count, sizeof(struct rule *)))
        return ERR_NOMEM;
    struct rule *rule = calloc(1, sizeof *rule);
    if (!rule)
        return ERR_NOMEM;
    rule->include = include;
    rule->regexp = slice_dup(slice_of(regexp));
    int err = rule->regexp ? pattern_new(&rule->pattern, regexp, problem) : ERR_NOMEM;
    if (err) {
        rule_destroy(rule);
        return err;
    }
    rules->items[rules->count++] = rule;
    hash_insert(&rules->known, &rule->node, rule_hash(include, regexp));
    return 0;
}

int rules_judge(const struct rules *rules, struct pattern_matcher *m, struct slice subject, bool *include,
                const char **given_up) {
    *include = true;
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = rules->items[i];
        bool matches;
        int err = pattern_match(rule->pattern, m, subject, &matches);
        if (err == ERR_LIMIT)
            *given_up = rule->regexp;
        if (err)
            return err;
        if (matches) {
            *include = rule->include;
            return 0;
        }
    }
    return 0;
}

void rules_print(const struct rules *rules, FILE *out) {
    for (size_t i = 0; i < rules->count; i++)
        fprintf(out, "%c %s\n", rules->items[i]->include ? '+' : '-', rules->items[i]->regexp);
}
