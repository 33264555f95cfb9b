/* Shared by the tests of the commands on a journal at rest: a journal with everything in it, and its state as text. */
#ifndef CHUNKLIFT_OFFLINE_SUPPORT_H
#define CHUNKLIFT_OFFLINE_SUPPORT_H

#include "consumer_world.h"

#include "consumer/offline/retire.h"
#include "journal/verify.h"

#define ROTATE 2500

/* Each test has a directory of its own. */
#define OFFLINE_TEST(name) cmocka_unit_test_setup_teardown(name, offline_setup, offline_teardown)
int offline_setup(void **state);
int offline_teardown(void **state);

/* What offline_journal_make makes, set before it. */
extern struct offline {
    bool many_chunks;       /* an upload with more chunks than a batch of a carry has lines */
    uint64_t rotate_bytes;  /* ROTATE */
    struct id128 forgotten; /* set by it: a finished upload */
} offline;

/* A journal in JOURNAL_DIR with uploads in all states and several sealed files. clean: with the record of a clean stop. */
void offline_journal_make(bool clean);

/* Opens the journal with its records applied to s, which the caller releases. True: it was stopped cleanly. */
bool offline_replay(const char *dir, struct state *s);

/* The state as sorted lines. PLACES: with the seqs, and the recently ended uploads. The caller releases the results. */
enum { UNFINISHED = 1, FINISHED = 2, PLACES = 4 };
void state_dump(const struct state *s, int what, struct buf *out);
struct buf state_dump_of(const struct state *s, int what);
struct buf state_dump_dir(const char *dir, int what);
void assert_same_text(const struct buf *a, const struct buf *b);

/* Runs a shell command, which must succeed. */
void shell(const char *command);

/* The number of sealed files of a journal. */
size_t sealed_in(const char *dir);

/* The report on a journal, which must be whole. */
struct verify_report verified(const char *dir);

/* journal_retire without its output. */
int retire_quietly(const struct retire_options *o);

#endif
