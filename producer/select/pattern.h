/*
 * A regular expression for names, compiled once, with PCRE2. Names are bytes: each byte that is not UTF-8 counts as
 * one character, U+FFFD. "." and "**" also match a line break.
 *
 * No expression can hang: PATTERN_STEPS bounds the work of one match, and PATTERN_HEAP_KIB its memory.
 */
#ifndef CHUNKLIFT_PATTERN_H
#define CHUNKLIFT_PATTERN_H

#include "pure/buf.h"
#include "pure/err.h"
#include <stdbool.h>

#define PATTERN_STEPS 1000000u  /* of PCRE2's match limit: some milliseconds */
#define PATTERN_HEAP_KIB 16384u /* without JIT; with it, the stack of 32 KiB is tried first */
#define PATTERN_PROBLEM_SIZE 160

struct pattern;
struct pattern_matcher; /* memory that all patterns share */

int pattern_matcher_new(struct pattern_matcher **m) MUST_CHECK;
void pattern_matcher_destroy(struct pattern_matcher **m);

/* ERR_INVALID: problem is the reason. ERR_NOMEM. */
int pattern_new(struct pattern **p, const char *regexp, char problem[PATTERN_PROBLEM_SIZE]) MUST_CHECK;
void pattern_destroy(struct pattern **p);

/* The name as patterns see it: name itself, or a copy in scratch. ERR_NOMEM. */
int pattern_subject(const char *name, struct buf *scratch, struct slice *subject) MUST_CHECK;
/* subject: of pattern_subject. ERR_LIMIT: the match was given up; ERR_NOMEM. */
int pattern_match(const struct pattern *p, struct pattern_matcher *m, struct slice subject, bool *matches) MUST_CHECK;

#endif
