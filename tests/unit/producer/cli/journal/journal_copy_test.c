/* The directory of a journal's copy. The consumer's endpoint is not permitted, so nothing is fetched. */
#include "unit.h"

#include "producer/cli/journal/journal_copy.h"
#include "system/log.h"
#include <stdlib.h>

#define UNKEYED "tcp://host:1"

static void fetch_in(const char *tmpdir) {
    struct buf dir = BUF_INIT;
    log_setup("test", LOG_ERROR, false);
    if (tmpdir)
        setenv("TMPDIR", tmpdir, 1);
    else
        unsetenv("TMPDIR");
    assert_int_not_equal(journal_copy_fetch(UNKEYED, &dir), 0);
    assert_int_equal(dir.len, 0); /* removed */
    buf_release(&dir);
}

static void test_failed_copy_leaves_no_directory(void **state) {
    (void)state;
    fetch_in(".");
    assert_int_equal(system("test -z \"$(ls -d chunklift-journal-* 2>/dev/null)\""), 0);
    fetch_in("no such directory");
    fetch_in(NULL);
    fetch_in("");
}

UNIT_MAIN(cmocka_unit_test(test_failed_copy_leaves_no_directory))
