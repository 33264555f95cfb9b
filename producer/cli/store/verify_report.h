/* The output of `chunklift verify`: one line, or one JSON object, for each difference on stdout; progress and summary on
 * stderr. */
#ifndef CHUNKLIFT_VERIFY_REPORT_H
#define CHUNKLIFT_VERIFY_REPORT_H

#include "producer/cli/store/difference.h"
#include "producer/cli/store/verify_position.h"

struct verify_difference {
    enum difference kind;
    const struct catalog_object *object; /* as recorded */
    /* as found */
    uint64_t size;
    struct slice etag;
    bool has_crc;
    uint32_t crc;
    /* a range that was read back; size and crc are those of the range */
    bool ranged;
    uint32_t chunk;
    uint64_t offset, length;
};

/* ERR_AGAIN, ERR_IO: as output_check. */
int verify_report(const struct verify_difference *d, bool json) MUST_CHECK;

struct verify_progress {
    bool on, terminal, shown;
    uint64_t total, began_ms, due_ms;
    uint64_t first; /* compared before this run */
};
void verify_progress_begin(struct verify_progress *p, uint64_t now_ms);
/* Draws when it is due, and lowers *deadline_ms to the next time. */
void verify_progress_draw(struct verify_progress *p, const struct verify_counts *at, uint64_t now_ms,
                          uint64_t *deadline_ms);
void verify_progress_erase(struct verify_progress *p);

/* seconds: of this run. end: the last line, why the run ended early; NULL: it did not. */
void verify_summary(const struct verify_counts *at, double seconds, const char *end);

#endif
