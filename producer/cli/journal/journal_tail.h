/* `chunklift journal tail`: the journal's last lines as they stand, and what is appended, from disk or from afar. */
#ifndef CHUNKLIFT_JOURNAL_TAIL_H
#define CHUNKLIFT_JOURNAL_TAIL_H

#include "pure/err.h"
#include <stdbool.h>
#include <stdint.h>

struct journal_tail_options {
    const char *dir;
    const char *consumer; /* endpoint; NULL: from disk */
    uint64_t lines;
    bool follow; /* until interrupted */
};
/* Exit status: 0; 3 journal or consumer cannot be used; 128+signal when interrupted. */
int journal_tail(const struct journal_tail_options *o) MUST_CHECK;

#endif
