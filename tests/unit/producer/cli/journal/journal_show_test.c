/* `journal show`: the uploads that an argument names, and the lines of each state. */
#include "capture.h"
#include "journal_lines.h"

#include "producer/cli/journal/journal_show.h"
#include "pure/digest.h"

#define CHUNK 65536

static struct capture seen;

/* Shows the journal, or with names the uploads that they name. Returns the exit status; seen has stdout. */
static int show(bool json, const char *const *names, size_t count) {
    const struct journal_show_options o = {
        .dir = test_journal.dir, .wanted = names, .wanted_count = count, .json = json};
    capture_begin(&seen, STDOUT_FILENO);
    int status = journal_show(&o);
    capture_end(&seen);
    return status;
}

static int show_one(bool json, const char *name) {
    const char *names[] = {name, "/"}; /* the second one is not given */
    return show(json, names, 1);
}

static bool seen_has(const char *text) {
    return strstr(seen.text, text) != NULL;
}

static struct record about(enum record_ev ev, uint8_t id) {
    struct record r = {.ev = ev, .has = HAS_UPLOAD, .worker = slice_of("h/1")};
    r.upload.b[0] = id;
    return r;
}

static struct record of_file(enum record_ev ev, uint8_t id, const char *src, uint64_t size) {
    struct record r = about(ev, id);
    r.has |= HAS_SRC | HAS_DEST;
    r.src = slice_of(src);
    r.dest = slice_of("s3://bucket/key");
    r.file.size = size;
    return r;
}

static void add_open(uint8_t id, const char *src) {
    struct record r = of_file(EV_OPEN, id, src, 2 * CHUNK);
    lines_add(&test_journal, &r);
}

static void add_begin(uint8_t id, const char *src, uint64_t size) {
    struct record r = of_file(EV_BEGIN, id, src, size);
    r.has |= HAS_GEOMETRY | HAS_HANDLE;
    r.chunk_size = CHUNK;
    r.chunks = (uint32_t)((size + CHUNK - 1) / CHUNK);
    r.handle = slice_of("h");
    lines_add(&test_journal, &r);
}

static void add_chunk(uint8_t id, uint32_t number) {
    struct record r = about(EV_CHUNK, id);
    r.has |= HAS_CHUNK | HAS_CRC | HAS_WORKER | HAS_MS;
    r.chunk = number;
    r.offset = (uint64_t)number * CHUNK;
    r.length = CHUNK;
    lines_add(&test_journal, &r);
}

static void add_redo(uint8_t id, uint32_t number) {
    struct record r = about(EV_REDO, id);
    r.has |= HAS_CHUNK;
    r.chunk = number;
    lines_add(&test_journal, &r);
}

static void add_finish(uint8_t id, uint64_t size) {
    struct record r = about(EV_FINISH, id);
    r.has |= HAS_DEST | HAS_CRC | HAS_MS;
    r.dest = slice_of("s3://bucket/key");
    r.file.size = size;
    r.crc = 0x01020304;
    lines_add(&test_journal, &r);
}

static void add_fail(uint8_t id) {
    struct record r = about(EV_FAIL, id);
    r.class = slice_of("denied");
    r.error = slice_of("AccessDenied");
    lines_add(&test_journal, &r);
}

static void add_put(uint8_t id, const char *src) {
    struct record r = of_file(EV_PUT, id, src, 5);
    r.has |= HAS_CRC | HAS_WORKER | HAS_MS;
    lines_add(&test_journal, &r);
}

/* ---- arguments ---- */

static void test_six_digits_are_an_id(void **state) {
    (void)state;
    add_put(0xab, "/data/x");
    assert_int_equal(show_one(false, "ab000"), 1);
    assert_int_equal(show_one(false, "ab0000"), 0);
    assert_int_equal(show_one(false, "ab000000000000000000000000000000"), 0);
    assert_int_equal(show_one(false, "ab0000000000000000000000000000000"), 1); /* 33 digits */
    assert_int_equal(show_one(false, "ab000z"), 1);
    assert_int_equal(show_one(false, "b00000"), 1);
}

static void test_directory_names_the_files_in_it(void **state) {
    (void)state;
    add_put(1, "/data/x");
    add_put(2, "/database");
    assert_int_equal(show_one(false, "/data"), 0);
    assert_true(seen_has("01000000"));
    assert_false(seen_has("02000000"));
    assert_int_equal(show_one(false, "/data//"), 0);
    assert_true(seen_has("01000000"));
    assert_int_equal(show_one(false, "/data/x/y"), 1);
    assert_int_equal(show_one(false, "/"), 0);
    assert_true(seen_has("01000000") && seen_has("02000000"));
}

static void test_path_is_from_the_current_directory(void **state) {
    char path[4096], cwd[4000];
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(path, sizeof path, "%s/gone/x", cwd);
    add_put(1, path);
    snprintf(path, sizeof path, "%s/other/x", cwd);
    add_put(2, path);
    assert_int_equal(show_one(false, "gone"), 0);
    assert_true(seen_has("01000000"));
    assert_false(seen_has("02000000"));
}

static void test_symlink_names_its_target(void **state) {
    char path[4096], cwd[4000];
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(path, sizeof path, "%s/target/x", cwd);
    add_put(1, path);
    assert_int_equal(mkdir("target", 0700), 0);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(show_one(false, "link"), 0);
    unlink("link");
    rmdir("target");
}

static void test_url_names_no_path(void **state) {
    (void)state;
    add_put(1, "/data/x");
    assert_int_equal(show_one(false, "s3://other"), 1);
    assert_int_equal(show_one(false, "s3://bucket"), 0);
    assert_int_equal(show_one(false, "s3://bucket/key"), 0);
    assert_int_equal(show_one(false, "s3://bucket/ke"), 1);
    assert_int_equal(show_one(false, "ftp://host/x"), 1); /* no destination of ours */
}

static void test_every_argument_names_uploads(void **state) {
    static const char *const names[] = {"/none", "/data/x"};
    (void)state;
    add_put(1, "/data/x");
    add_put(2, "/data/y");
    assert_int_equal(show(false, names, 2), 0);
    assert_true(seen_has("01000000"));
    assert_false(seen_has("02000000"));
}

/* ---- one line each ---- */

static void test_list_shows_state_and_progress(void **state) {
    (void)state;
    add_open(1, "/open");
    add_begin(2, "/begun", 4 * CHUNK);
    add_chunk(2, 0);
    add_put(3, "/put");
    add_begin(4, "/one", 1);
    add_finish(4, 1);
    add_begin(5, "/two", 2 * CHUNK);
    add_finish(5, 2 * CHUNK);
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("unfinished  2025-11-21T04:40:00Z   128 KiB  not begun      01000000"));
    assert_true(seen_has("unfinished  2025-11-21T04:40:00Z   256 KiB  1 of 4 chunks, 25%  02000000"));
    assert_true(seen_has("finished    2025-11-21T04:40:00Z       5 B  one request    03000000"));
    assert_true(seen_has("  1 chunk        04000000"));
    assert_true(seen_has("  2 chunks       05000000"));
    assert_true(seen_has("000000  /put → s3://bucket/key\n"));
}

static void test_list_shows_the_reason_of_a_failure(void **state) {
    struct record abort = about(EV_ABORT, 2);
    (void)state;
    add_open(1, "/one");
    add_fail(1);
    add_open(2, "/two");
    abort.reason = slice_of("superseded");
    lines_add(&test_journal, &abort);
    add_begin(3, "/three", 1);
    add_fail(3);
    add_finish(3, 1);
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("/one → s3://bucket/key: AccessDenied\n"));
    assert_true(seen_has("/two → s3://bucket/key: superseded\n"));
    assert_true(seen_has("/three → s3://bucket/key\n"));
}

static void test_totals_count_every_state(void **state) {
    struct record abort = about(EV_ABORT, 4);
    (void)state;
    add_put(1, "/one");
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("\n1 upload: 1 finished (5 B), 0 unfinished; 2 records\n"));
    add_open(2, "/two");
    add_open(3, "/three");
    add_fail(3);
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("\n3 uploads: 1 finished (5 B), 1 unfinished, 1 failed; 5 records\n"));
    add_open(4, "/four");
    lines_add(&test_journal, &abort);
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("\n4 uploads: 1 finished (5 B), 1 unfinished, 1 failed, 1 aborted; 7 records\n"));
}

static void test_totals_only_of_the_whole_list(void **state) {
    (void)state;
    add_put(1, "/data/x");
    assert_int_equal(show_one(false, "/data"), 0);
    assert_false(seen_has("1 finished"));
    assert_int_equal(show(true, NULL, 0), 0);
    assert_false(seen_has("1 finished"));
}

static void test_journal_without_uploads_is_no_error(void **state) {
    (void)state;
    assert_int_equal(show(false, NULL, 0), 0);
    assert_string_equal(seen.text, "0 uploads: 0 finished (0 B), 0 unfinished; 1 records\n");
}

/* ---- in detail ---- */

static void test_detail_of_an_unfinished_upload(void **state) {
    (void)state;
    add_begin(1, "/one", 4 * CHUNK);
    add_chunk(1, 0);
    add_chunk(1, 1);
    add_redo(1, 1);
    assert_int_equal(show_one(false, "/one"), 0);
    assert_string_equal(seen.text, "upload      01000000000000000000000000000000\n"
                                   "state       unfinished\n"
                                   "source      /one\n"
                                   "destination s3://bucket/key\n"
                                   "size        256 KiB (262144 bytes)\n"
                                   "chunks      1 of 4 chunks, 25% (64 KiB each), 1 sent again\n"
                                   "first       2025-11-21T04:40:00Z\n"
                                   "last        2025-11-21T04:40:00Z\n"
                                   "\n");
}

static void test_detail_of_a_failed_upload_has_its_reason(void **state) {
    (void)state;
    add_open(1, "/one");
    add_fail(1);
    assert_int_equal(show_one(false, "/one"), 0);
    assert_true(seen_has("state       failed\nreason      AccessDenied\nsource "));
    assert_true(seen_has("\nchunks      not begun\n"));
}

static void test_detail_of_a_finished_upload(void **state) {
    char crc[CRC_TEXT_SIZE], row[64];
    (void)state;
    add_begin(1, "/one", 2 * CHUNK);
    add_fail(1);
    add_finish(1, 2 * CHUNK);
    crc32c_to_text(0x01020304, crc);
    snprintf(row, sizeof row, "\nchecksum    %s\n", crc);
    assert_int_equal(show_one(false, "/one"), 0);
    assert_true(seen_has("\nchunks      2 chunks (64 KiB each)\n"));
    assert_true(seen_has(row));
    assert_false(seen_has("reason"));
}

/* ---- removed objects ---- */

static void add_removal(enum record_ev ev, uint8_t id, const char *endpoint) {
    struct record r = about(ev, id);
    r.has |= HAS_DEST;
    r.dest = slice_of("s3://bucket/key");
    r.endpoint = slice_of(endpoint);
    lines_add(&test_journal, &r);
}

static void test_a_removed_object_has_a_line_of_its_own(void **state) {
    (void)state;
    add_put(1, "/one");
    add_removal(EV_DELETING, 1, "");
    assert_int_equal(show(false, NULL, 0), 0);
    assert_false(seen_has("delet"));
    add_removal(EV_DELETE, 1, "");
    assert_int_equal(show(false, NULL, 0), 0);
    assert_true(seen_has("finished    2025-11-21T04:40:00Z       5 B  one request    01000000"));
    assert_true(seen_has("\ndeleted     2025-11-21T04:40:00Z         -  -              "
                         "01000000000000000000000000000000  s3://bucket/key\n"));
    assert_true(seen_has("\n1 upload: 1 finished (5 B), 0 unfinished, 1 deleted later; 4 records\n"));
}

static void test_detail_of_a_removed_object(void **state) {
    (void)state;
    add_put(1, "/one");
    add_removal(EV_DELETE, 1, "http://store");
    assert_int_equal(show_one(false, "s3://bucket/key"), 0);
    assert_true(seen_has("\n\nupload      01000000000000000000000000000000\n"
                         "state       deleted\n"
                         "reason      its source was gone (--delete)\n"
                         "destination s3://bucket/key\n"
                         "endpoint    http://store\n"
                         "last        2025-11-21T04:40:00Z\n"
                         "\n"));
    assert_int_equal(show_one(true, "010000"), 0);
    assert_true(
        seen_has("\n{\"event\":\"upload\",\"upload\":\"01000000000000000000000000000000\",\"state\":\"deleted\","
                 "\"dest\":\"s3://bucket/key\",\"endpoint\":\"http://store\",\"last_ts\":\"2025-11-21T04:40:00."));
    add_removal(EV_DELETE, 1, "");
    assert_int_equal(show_one(false, "010000"), 0);
    assert_true(seen_has("destination s3://bucket/key\nlast "));
}

/* ---- for programs ---- */

static void test_json_of_an_unfinished_upload(void **state) {
    (void)state;
    add_begin(1, "/one", 2 * CHUNK);
    add_chunk(1, 0);
    assert_int_equal(show_one(true, "/one"), 0);
    assert_true(seen_has("\"state\":\"unfinished\""));
    assert_true(seen_has("\"size\":131072,\"done_bytes\":65536,\"chunk_size\":65536,\"chunks\":2,\"chunks_done\":1,"));
    assert_false(seen_has("\"crc\""));
    assert_false(seen_has("\"class\""));
    assert_false(seen_has("\"error\""));
}

static void test_json_of_an_upload_that_is_not_begun(void **state) {
    (void)state;
    add_open(1, "/one");
    add_fail(1);
    assert_int_equal(show_one(true, "/one"), 0);
    assert_false(seen_has("chunk"));
    assert_true(seen_has("\"class\":\"denied\",\"error\":\"AccessDenied\""));
}

static void test_json_of_a_finished_upload_has_no_error(void **state) {
    (void)state;
    add_begin(1, "/one", CHUNK);
    add_fail(1);
    add_finish(1, CHUNK);
    assert_int_equal(show_one(true, "/one"), 0);
    assert_true(seen_has("\"crc\":\""));
    assert_false(seen_has("\"class\""));
    assert_false(seen_has("\"error\""));
}

/* After a failure the upload continued: the reason is history, its class does not apply. */
static void test_json_of_an_upload_that_continued(void **state) {
    (void)state;
    add_begin(1, "/one", 2 * CHUNK);
    add_fail(1);
    add_chunk(1, 0);
    assert_int_equal(show_one(true, "/one"), 0);
    assert_true(seen_has("\"state\":\"unfinished\""));
    assert_false(seen_has("\"class\""));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, lines_setup, lines_teardown)
UNIT_MAIN(TEST(test_six_digits_are_an_id), TEST(test_directory_names_the_files_in_it),
          TEST(test_path_is_from_the_current_directory), TEST(test_symlink_names_its_target),
          TEST(test_url_names_no_path), TEST(test_every_argument_names_uploads),
          TEST(test_list_shows_state_and_progress), TEST(test_list_shows_the_reason_of_a_failure),
          TEST(test_totals_count_every_state), TEST(test_totals_only_of_the_whole_list),
          TEST(test_journal_without_uploads_is_no_error), TEST(test_detail_of_an_unfinished_upload),
          TEST(test_detail_of_a_failed_upload_has_its_reason), TEST(test_detail_of_a_finished_upload),
          TEST(test_json_of_an_unfinished_upload), TEST(test_json_of_an_upload_that_is_not_begun),
          TEST(test_json_of_a_finished_upload_has_no_error), TEST(test_json_of_an_upload_that_continued),
          TEST(test_a_removed_object_has_a_line_of_its_own), TEST(test_detail_of_a_removed_object))
