/* The record loop over the files of a journal directory. */
#include "journal/records.h"
#include "system/log.h"
#include "unit.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define EPOCH                                                                                                          \
    "{\"seq\":1,\"batch\":1,\"ts\":\"2026-11-21T09:35:49.479344Z\",\"ev\":\"epoch\",\"epoch\":1,\"journal\":"          \
    "\"f1ed1145f6068aea3667aecf7df2b2de\",\"version\":1,\"h\":\"2813824fb0a14580d08964aceeb2093d\"}\n"
#define STOP                                                                                                           \
    "{\"seq\":3,\"batch\":3,\"ts\":\"2026-11-21T09:35:49.480762Z\",\"ev\":\"stop\",\"h\":"                             \
    "\"23536944cf5c262c60f683ef9b0bbddd\"}\n"

/* A line of a newer program: more unknown fields than this one reads. */
static void write_unknown_fields(FILE *f, unsigned count) {
    fputs("{\"seq\":2,\"batch\":2,\"ts\":\"2026-11-21T09:35:49.480762Z\",\"ev\":\"stop\"", f);
    for (unsigned i = 0; i < count; i++)
        fprintf(f, ",\"field_%u\":1", i);
    fputs(",\"h\":\"23536944cf5c262c60f683ef9b0bbddd\"}\n", f);
}

static void test_a_line_with_too_many_unknown_fields_is_skipped(void **state) {
    (void)state;
    assert_int_equal(mkdir("journal", 0700), 0);
    FILE *f = fopen("journal/journal.jsonl", "w");
    assert_non_null(f);
    fputs(EPOCH, f);
    write_unknown_fields(f, 40);
    fputs(STOP, f);
    assert_int_equal(fclose(f), 0);
    struct journal_records r;
    struct record record;
    assert_int_equal(journal_records_open(&r, "journal"), 0);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(journal_records_next(&r, &record), ERR_INVALID);
    assert_int_equal(journal_records_next(&r, &record), 0);
    assert_int_equal(record.seq, 3);
    assert_int_equal(journal_records_next(&r, &record), ERR_NOT_FOUND);
    journal_records_close(&r);
    assert_int_equal(unlink("journal/journal.jsonl"), 0);
    assert_int_equal(rmdir("journal"), 0);
}

UNIT_MAIN(cmocka_unit_test(test_a_line_with_too_many_unknown_fields_is_skipped))
