#include "journal/records.h"

#include "journal/walk.h"
#include "system/log.h"
#include <inttypes.h>

int journal_records_open(struct journal_records *r, const char *dir) {
    *r = (struct journal_records){.dir = dir};
    return journal_walk_open(&r->walk, dir);
}

void journal_records_close(struct journal_records *r) {
    journal_walk_close(&r->walk);
    buf_release(&r->scratch);
}

int journal_records_next(struct journal_records *r, struct record *record) {
    for (;;) {
        int err = journal_walk_next(r->walk, &r->line);
        if (!err) {
            err = record_parse(r->line, record, &r->scratch);
            if (err ==
                ERR_LIMIT) /* too many unknown fields; the walk can continue, other than after its own ERR_LIMIT */
                err = ERR_INVALID;
        }
        if (err)
            return err;
        if (record->seq > r->seq) {
            r->seq = record->seq;
            return 0;
        }
    }
}

int journal_records_log_damage(const struct journal_records *r, int err) {
    uint64_t line = journal_walk_line_number(r->walk) + (err == ERR_LIMIT);
    log_error("%s/%s:%" PRIu64 ": %s; run 'chunklift journal verify'", r->dir, journal_walk_file(r->walk), line,
              err == ERR_VERSION ? "written by a newer chunklift"
              : err == ERR_LIMIT ? "line too long, reading ends here"
                                 : "not a valid line");
    return ERR_DAMAGED;
}

bool journal_records_log_missing(const struct journal_records *r) {
    if (journal_walk_files(r->walk) > 0)
        return false;
    log_error("%s: no journal in this directory", r->dir);
    return true;
}
