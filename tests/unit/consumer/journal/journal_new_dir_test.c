/* A new journal directory survives a power failure: the directories above it are synced, once. */
#include "journal_support.h"

static unsigned synced_dirs;

int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    struct stat st;
    synced_dirs += fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
    return 0;
}

/* Opens and closes the journal; returns the number of directories that were synced. No descriptor stays open. */
static unsigned reopen(void) {
    struct journal_options o = seen_options(NULL);
    int descriptors = open_descriptors();
    synced_dirs = 0;
    struct journal *j = journal_open_ok(&o);
    unsigned count = synced_dirs;
    journal_close(&j);
    assert_int_equal(open_descriptors(), descriptors);
    return count;
}

/* The number of directories above the journal, with the root. */
static unsigned count_ancestors(void) {
    char here[4096];
    unsigned count = 1;
    assert_non_null(getcwd(here, sizeof here));
    for (const char *at = here; here[1] && (at = strchr(at, '/')); at++)
        count++;
    return count;
}

static void test_directories_above_a_new_journal_are_synced(void **state) {
    (void)state;
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    unsigned in_existing_dir = reopen();
    dir_remove(DIR_NAME);
    assert_int_equal(reopen(), in_existing_dir + count_ancestors());
    assert_int_equal(reopen(), in_existing_dir);
}

UNIT_MAIN(cmocka_unit_test_setup(test_directories_above_a_new_journal_are_synced, journal_dir_fresh))
