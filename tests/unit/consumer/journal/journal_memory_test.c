/* Without memory for a path, each function of the journal ends with ERR_NOMEM, and no line is lost. The linker wraps asprintf
 * (tests.cmake). */
#include "journal_support.h"

#include "consumer/journal/snapshot_file.h"
#include <stdarg.h>

static int calls_left = -1; /* before the one that fails; -1: none fails */
static bool fired;

int __wrap_asprintf(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
int __wrap_asprintf(char **text, const char *format, ...) {
    va_list args;
    if (calls_left >= 0 && calls_left-- == 0) {
        fired = true;
        *text = NULL;
        return -1;
    }
    va_start(args, format);
    int n = vasprintf(text, format, args);
    va_end(args);
    return n;
}

/* A start and a rotation. */
static int start_and_rotate(void) {
    struct journal_options o = seen_options(NULL);
    struct journal *j = NULL;
    o.rotate_bytes = 1000;
    int err = journal_open(&j, &o);
    for (uint32_t i = 0; !err && i < 8; i++) {
        err = journal_append_chunk(j, i, NULL);
        err = err ? err : journal_commit(j);
    }
    journal_close(&j);
    return err;
}

static int snapshot_both_ways(void) {
    struct journal_position pos = {.journal = {{1}}, .epoch = 1, .seq = 7};
    struct buf body = BUF_INIT;
    memset(pos.h, '0', ID_HEX_LEN);
    int err = snapshot_write(DIR_NAME, &pos, slice_of("state"));
    if (!err)
        err = snapshot_read(DIR_NAME, &pos, &body);
    assert_true(err || slice_equal(buf_slice(&body), slice_of("state")));
    buf_release(&body);
    return err;
}

static unsigned each_path_fails_once(int (*run)(void)) {
    for (unsigned at = 0;; at++) {
        dir_remove(DIR_NAME);
        assert_int_equal(mkdir(DIR_NAME, 0700), 0);
        fired = false;
        calls_left = (int)at;
        int descriptors = open_descriptors();
        stderr_begin();
        int err = run();
        struct buf said = stderr_end();
        calls_left = -1;
        assert_int_equal(err, fired ? ERR_NOMEM : 0);
        assert_int_equal(said.len, 0);
        assert_int_equal(open_descriptors(), descriptors);
        buf_release(&said);
        if (!fired)
            return at;
    }
}

static void test_a_journal_without_memory_for_a_path_ends(void **state) {
    (void)state;
    assert_true(each_path_fails_once(start_and_rotate) > 8);
}

static void test_a_snapshot_without_memory_for_a_path_is_not_written_or_read(void **state) {
    (void)state;
    assert_true(each_path_fails_once(snapshot_both_ways) >= 3);
}

UNIT_MAIN(TEST(test_a_journal_without_memory_for_a_path_ends),
          TEST(test_a_snapshot_without_memory_for_a_path_is_not_written_or_read))
