/*
 * A journal for tests of damage: uploads in all states, batches of several lines, sealed files and an active
 * one. With the list of its lines as they were written, and the states at each position.
 */
#ifndef CHUNKLIFT_DAMAGED_JOURNAL_H
#define CHUNKLIFT_DAMAGED_JOURNAL_H

#include "journal_support.h"

#include "consumer/consumer.h"
#include "consumer/consumer_internal.h"
#include "consumer/journal/snapshot_file.h"
#include "consumer/state/snapshot.h"
#include <inttypes.h>

#define LINES_MAX 400
#define TAIL_BYTES 4096
#ifdef __SANITIZE_ADDRESS__
#define STEP 7 /* without it, every byte is tested */
#else
#define STEP 1
#endif

#define DAMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, written_reset, written_reset)

/* --- the journal and the list of its lines --- */

struct line {
    size_t start, end; /* in `all`, newline included */
    uint64_t batch;
    uint64_t epoch; /* the last one at or before it */
    char h[ID_HEX_SIZE];
};
extern struct written {
    struct line lines[LINES_MAX]; /* line i has seq i + 1 */
    size_t count;
    struct buf all, active; /* the bytes of all files in order; of the active one */
    size_t active_first;    /* index of its first line */
    struct id128 id;
} written;

/* The positions for a snapshot, and the state at each. */
extern struct moment {
    struct journal_position pos;
    struct buf body;
} moments[LINES_MAX];
extern size_t moment_count;

/* Positions that a test damaged, and the results. */
extern struct tally { unsigned positions, kept, refused; } tally;

/* Set-up and teardown: nothing is written yet. */
int written_reset(void **state);

/* Writes the journal, and fills `written` and `moments`. Three sessions; two sealed files; an active file of
 * more than TAIL_BYTES, with a last batch of five lines. */
void written_create(void);

/* The number of lines, from the journal's first, that end at or before this byte of the active file. */
size_t written_lines_before(size_t at);

/* --- the log of a start --- */

void log_listen_begin(void);
void log_listen_end(void);

/* The log since the last call, in static storage. */
const char *log_heard(void);

/* --- changes of a byte --- */

enum change { BIT_0, BIT_7, TO_NEWLINE, TO_QUOTE, TO_ZERO, CHANGES };
char byte_changed(char byte, enum change change);

#endif
