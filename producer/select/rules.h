/* A list of rules, each an expression that includes or excludes. The first one that matches a name decides. */
#ifndef CHUNKLIFT_RULES_H
#define CHUNKLIFT_RULES_H

#include "producer/select/pattern.h"
#include "pure/hash.h"
#include <stdio.h>

#define RULES_MAX 65536u /* of a list */

struct rule;
struct rules { /* zeroed: empty */
    struct rule **items;
    size_t count, cap;
    struct hash_table known; /* a rule that is already in the list is not added again */
};

void rules_clear(struct rules *rules);
/* regexp is copied. ERR_INVALID: problem is the reason. ERR_LIMIT: there are RULES_MAX. ERR_NOMEM. */
int rules_add(struct rules *rules, bool include, const char *regexp, char problem[PATTERN_PROBLEM_SIZE]) MUST_CHECK;
/* *include: true also when no rule matches. ERR_LIMIT: *given_up is the expression that took too long.
 * ERR_NOMEM. */
int rules_judge(const struct rules *rules, struct pattern_matcher *m, struct slice subject, bool *include,
                const char **given_up) MUST_CHECK;
/* One line for each rule: "+ EXPRESSION" or "- EXPRESSION". */
void rules_print(const struct rules *rules, FILE *out);

#endif
