/* `chunklift journal tail`: prints the journal's last lines, and with follow those that are
 * appended, from disk or from a consumer. */
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
/* Returns the exit status (exit_status.h). Blocks; with follow until interrupted. */
int journal_tail(const struct journal_tail_options *o) MUST_CHECK;

#endif
