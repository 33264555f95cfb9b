/* `journal export`: one JSON object for each destination, of the upload that arrived there last. */
#include "capture.h"
#include "numbered_uploads.h"

#include "consumer/offline/export.h"

static struct capture out;

static const char *export_text(void) {
    capture_begin(&out, STDOUT_FILENO);
    int err = journal_export(DIR_NAME);
    capture_end(&out);
    assert_int_equal(err, 0);
    return out.text;
}

static void assert_line(const char *text, const char *line) {
    const char *at = strstr(text, line);
    if (!at || (at != text && at[-1] != '\n'))
        fail_msg("\"%s\" does not begin a line of \"%s\"", line, text);
}

static unsigned count_lines(const char *text) {
    unsigned lines = 0;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

static void journal_add_committed(struct journal *j, struct record r) {
    journal_add(j, r);
    assert_int_equal(journal_commit(j), 0);
}

static struct journal *journal_without_rotation(void) {
    struct journal_options o = seen_options(NULL);
    return journal_open_ok(&o);
}

static void test_a_put_is_printed_with_all_of_its_fields(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record r = numbered_record(EV_PUT, 7);
    r.source = slice_of("nas");
    r.endpoint = slice_of("http://store");
    r.crc = 0x1a2b3c4d;
    journal_add_committed(j, r);
    journal_close(&j);
    const char *text = export_text();
    assert_line(
        text,
        "{\"upload\":\"ab000701000000000000000000000000\",\"dest\":\"s3://bucket/7\",\"endpoint\":\"http://store\","
        "\"src\":\"/src/7\",\"source\":\"nas\",\"size\":131072,\"crc\":\"crc32c:1a2b3c4d\",\"etag\":\"etag\","
        "\"mtime_ns\":\"1763716800123456789\",\"finished\":\"20");
    assert_non_null(strstr(text, "Z\",\"seq\":2}\n"));
    assert_int_equal(count_lines(text), 1);
}

static void test_empty_fields_are_left_out(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record r = numbered_record(EV_PUT, 7);
    r.has &= ~(uint32_t)HAS_ETAG;
    journal_add_committed(j, r);
    journal_close(&j);
    const char *text = export_text();
    assert_null(strstr(text, "\"endpoint\""));
    assert_null(strstr(text, "\"source\""));
    assert_null(strstr(text, "\"etag\""));
    assert_int_equal(count_lines(text), 1);
}

static void test_a_finished_upload_has_the_names_of_its_begin_and_the_result_of_its_finish(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record finish = numbered_record(EV_FINISH, 7);
    journal_add(j, numbered_record(EV_OPEN, 7));
    journal_add(j, numbered_record(EV_BEGIN, 7));
    journal_add(j, numbered_chunk(7, 0));
    finish.crc = 0xabcdef01;
    finish.etag = slice_of("whole-2");
    journal_add_committed(j, finish);
    journal_close(&j);
    const char *text = export_text();
    assert_line(text,
                "{\"upload\":\"ab000701000000000000000000000000\",\"dest\":\"s3://bucket/7\",\"src\":\"/src/7\",");
    assert_non_null(strstr(text, "\"crc\":\"crc32c:abcdef01\",\"etag\":\"whole-2\","));
    assert_non_null(strstr(text, "\"seq\":5}\n"));
}

static void test_only_the_last_arrival_at_a_destination_is_printed(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record again = numbered_record(EV_PUT, 8);
    journal_add(j, numbered_record(EV_PUT, 7));
    again.dest = slice_of("s3://bucket/7");
    journal_add_committed(j, again);
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 1);
    assert_line(text, "{\"upload\":\"ab000801000000000000000000000000\",\"dest\":\"s3://bucket/7\"");
}

/* The second arrival has the id of the first one: only its seq tells them apart. */
static void test_an_upload_that_arrived_twice_is_printed_once(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    journal_add(j, numbered_record(EV_PUT, 7));
    journal_add(j, numbered_record(EV_BEGIN, 7));
    journal_add(j, numbered_record(EV_FINISH, 7));
    journal_add_committed(j, numbered_record(EV_PUT, 7));
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "\"seq\":5}\n"));
}

static void test_unfinished_and_ended_uploads_are_not_printed(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    journal_add(j, numbered_record(EV_BEGIN, 1));
    journal_add(j, numbered_record(EV_BEGIN, 2));
    journal_add(j, numbered_record(EV_ABORT, 2));
    journal_add(j, numbered_record(EV_PUT, 3));
    journal_add_committed(j, numbered_record(EV_FORGET, 3));
    journal_close(&j);
    assert_string_equal(export_text(), "");
}

static void test_an_object_whose_removal_began_is_not_printed(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record again = numbered_record(EV_PUT, 9);
    journal_add(j, numbered_record(EV_PUT, 1));
    journal_add(j, numbered_record(EV_PUT, 2));
    journal_add(j, numbered_record(EV_PUT, 3));
    journal_add(j, numbered_record(EV_DELETING, 1));
    journal_add(j, numbered_record(EV_DELETING, 2));
    journal_add(j, numbered_record(EV_DELETE, 2));
    again.dest = slice_of("s3://bucket/2");
    journal_add_committed(j, again); /* the file came back */
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 2);
    assert_line(text, "{\"upload\":\"ab000301000000000000000000000000\",\"dest\":\"s3://bucket/3\"");
    assert_line(text, "{\"upload\":\"ab000901000000000000000000000000\",\"dest\":\"s3://bucket/2\"");
}

static void test_a_source_found_again_is_printed_once_as_it_arrived(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    struct record same = numbered_record(EV_SAME, 7);
    journal_add(j, numbered_record(EV_PUT, 7));
    same.file.ino += 1;
    journal_add_committed(j, same);
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "\"seq\":2}\n"));
}

static void test_a_carried_upload_keeps_the_time_it_finished(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    journal_add_committed(j, numbered_carry(CARRY_FINISHED, 7));
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "\"finished\":\"2025-11-21T04:40:00.000000Z\","));
}

static void test_an_upload_that_was_carried_before_its_finish_is_printed(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    journal_add(j, numbered_carry(CARRY_UPLOAD, 7));
    journal_add(j, numbered_carry(CARRY_CHUNK, 7));
    journal_add_committed(j, numbered_record(EV_FINISH, 7));
    journal_close(&j);
    const char *text = export_text();
    assert_int_equal(count_lines(text), 1);
    assert_line(text, "{\"upload\":\"ab000701000000000000000000000000\",\"dest\":\"s3://bucket/7\"");
}

static void test_sealed_files_are_read_too(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    for (unsigned n = 1; n <= 4; n++)
        journal_add_sealed_file(j, numbered_record(EV_PUT, n));
    journal_close(&j);
    assert_int_equal(count_lines(export_text()), 4);
}

static void test_a_directory_without_a_journal_is_an_error(void **state) {
    (void)state;
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    stderr_begin();
    int err = journal_export(DIR_NAME);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_NOT_FOUND);
    assert_contains(&said, DIR_NAME ": no journal in this directory");
    buf_release(&said);
}

static void test_a_line_that_is_no_record_is_damage(void **state) {
    (void)state;
    assert_int_equal(mkdir(DIR_NAME, 0700), 0);
    file_put_text(DIR_NAME "/" JOURNAL_ACTIVE, "{\"seq\":1,\"batch\":1}\n");
    stderr_begin();
    int err = journal_export(DIR_NAME);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_DAMAGED);
    assert_contains(&said, DIR_NAME "/" JOURNAL_ACTIVE);
    buf_release(&said);
}

static void test_a_full_disk_behind_stdout_is_an_error(void **state) {
    (void)state;
    struct journal *j = journal_without_rotation();
    journal_add_committed(j, numbered_record(EV_PUT, 7));
    journal_close(&j);
    stderr_begin();
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(saved > 2 && full > 2);
    dup2(full, STDOUT_FILENO);
    int err = journal_export(DIR_NAME);
    dup2(saved, STDOUT_FILENO);
    clearerr(stdout);
    close(saved);
    close(full);
    struct buf said = stderr_end();
    assert_int_equal(err, ERR_IO);
    assert_true(said.len > 0);
    buf_release(&said);
}

UNIT_MAIN(TEST(test_a_put_is_printed_with_all_of_its_fields), TEST(test_empty_fields_are_left_out),
          TEST(test_a_finished_upload_has_the_names_of_its_begin_and_the_result_of_its_finish),
          TEST(test_only_the_last_arrival_at_a_destination_is_printed),
          TEST(test_an_upload_that_arrived_twice_is_printed_once),
          TEST(test_unfinished_and_ended_uploads_are_not_printed),
          TEST(test_an_object_whose_removal_began_is_not_printed),
          TEST(test_a_source_found_again_is_printed_once_as_it_arrived),
          TEST(test_a_carried_upload_keeps_the_time_it_finished),
          TEST(test_an_upload_that_was_carried_before_its_finish_is_printed), TEST(test_sealed_files_are_read_too),
          TEST(test_a_directory_without_a_journal_is_an_error), TEST(test_a_line_that_is_no_record_is_damage),
          TEST(test_a_full_disk_behind_stdout_is_an_error))
