/* Files that the data server lends over ipc, and those that it refuses. */
#include "data_server_fixture.h"
#include "system/fileid.h"
#include "system/lent_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[] = "/tmp/lends-XXXXXX", endpoint[64];
static int borrower;
static const struct id128 stranger = {{9}};

static int set_up(void **state) {
    served_set_up(state);
    endpoint_close(&served.peer);
    data_server_destroy(&served.data);
    memcpy(strrchr(directory, '-') + 1, "XXXXXX", 6);
    assert_non_null(mkdtemp(directory));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/data", directory);
    assert_int_equal(data_server_new(&served.data, endpoint, &served.files), 0);
    assert_int_equal(lent_file_connect(endpoint, &borrower), 0);
    return 0;
}

static int tear_down(void **state) {
    close(borrower);
    int err = served_tear_down(state);
    return err ? err : rmdir(directory); /* both sockets are gone */
}

/* -1: refused. */
static int borrow(const struct id128 *journal, const struct id128 *upload) {
    struct lent_request request = {*journal, *upload};
    int file = -1, err = ERR_AGAIN;
    assert_int_equal(lent_file_ask(borrower, &request), 0);
    for (int i = 0; err == ERR_AGAIN && i < 10; i++) {
        served_step();
        err = lent_file_take(borrower, &file);
    }
    assert_int_equal(err, 0);
    return file;
}

static void test_a_planned_file_is_lent(void **state) {
    static char got[SERVED_SIZE];
    (void)state;
    assert_int_not_equal(data_server_lender_fd(served.data), -1);
    int file = borrow(&served_journal, &served_upload);
    assert_int_equal(pread(file, got, sizeof got, 0), SERVED_SIZE);
    assert_memory_equal(got, served.bytes, SERVED_SIZE);
    assert_int_equal(write(file, "x", 1), -1); /* for reading only */
    close(file);
}

static void test_other_files_and_journals_are_refused(void **state) {
    (void)state;
    assert_int_equal(borrow(&stranger, &served_upload), -1);
    assert_int_equal(borrow(&served_journal, &stranger), -1);
    served.file->state = FILE_PLAN;
    assert_int_equal(borrow(&served_journal, &served_upload), -1);
}

static void test_a_changed_file_is_refused(void **state) {
    (void)state;
    assert_int_equal(truncate("d/f", 10), 0);
    assert_int_equal(borrow(&served_journal, &served_upload), -1);
}

/* Reads of other file systems can block the uploader. */
static void test_only_files_of_local_file_systems_are_lent(void **state) {
    struct stat st;
    (void)state;
    assert_int_equal(stat("/proc/version", &st), 0);
    char *path = served.file->path;
    struct source_identity id = served.file->id;
    served.file->path = (char[]){"/proc/version"};
    fileid_from_stat(&st, &served.file->id);
    assert_int_equal(borrow(&served_journal, &served_upload), -1);
    served.file->path = path;
    served.file->id = id;
}

static void test_tcp_lends_nothing(void **state) {
    (void)state;
    data_server_destroy(&served.data);
    assert_int_equal(data_server_new(&served.data, "tcp://127.0.0.1:*", &served.files), 0);
    assert_int_equal(data_server_lender_fd(served.data), -1);
}

#define LENDS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
UNIT_MAIN(LENDS_TEST(test_a_planned_file_is_lent), LENDS_TEST(test_other_files_and_journals_are_refused),
          LENDS_TEST(test_a_changed_file_is_refused), LENDS_TEST(test_only_files_of_local_file_systems_are_lent),
          LENDS_TEST(test_tcp_lends_nothing))
