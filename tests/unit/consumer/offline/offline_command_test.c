/* The command lines of `journal retire`, `forget` and `export`: arguments, options that exclude each other, exit statuses. */
#include "capture.h"
#include "numbered_uploads.h"

#include "consumer/offline/command.h"
#include "system/exit_status.h"

static struct capture out;
static struct buf said;

static int run_words(const char *const *words, int count) {
    char *argv[12];
    assert_true(count < 12);
    for (int i = 0; i < count; i++)
        argv[i] = strdup(words[i]);
    argv[count] = NULL;
    buf_release(&said);
    stderr_begin();
    capture_begin(&out, STDOUT_FILENO);
    int status = offline_command_run(count, argv);
    capture_end(&out);
    said = stderr_end();
    for (int i = 0; i < count; i++)
        free(argv[i]);
    return status;
}
#define RUN(...)                                                                                                       \
    run_words((const char *const[]){__VA_ARGS__}, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static void assert_printed(const char *part) {
    if (!strstr(out.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, out.text);
}

static void assert_usage_error(int status, const char *part) {
    assert_int_equal(status, EXIT_USAGE);
    assert_contains(&said, part);
    assert_string_equal(out.text, "");
}

/* One sealed file with the finished uploads 1 and 2. */
static int setup(void **state) {
    journal_dir_fresh(state);
    struct journal *j = numbered_journal();
    journal_add(j, numbered_record(EV_PUT, 1));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 2));
    journal_close(&j);
    dir_remove("archive");
    return setenv("XDG_STATE_HOME", "/nonexistent", 1);
}

static int teardown(void **state) {
    buf_release(&said);
    dir_remove("archive");
    return journal_dir_fresh(state);
}

static void test_three_commands_exist(void **state) {
    (void)state;
    assert_true(offline_command_exists("retire"));
    assert_true(offline_command_exists("forget"));
    assert_true(offline_command_exists("export"));
    assert_false(offline_command_exists("show"));
    assert_false(offline_command_exists(""));
}

static void test_help_and_version_are_answered_without_a_journal(void **state) {
    (void)state;
    static const char *const commands[] = {"retire", "forget", "export"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(RUN(commands[i], "--help"), EXIT_DONE);
        assert_printed("chunklift journal ");
        assert_printed(commands[i]);
        assert_printed("--journal DIR");
        assert_int_equal(RUN(commands[i], "--version"), EXIT_DONE);
        assert_printed("chunklift");
        assert_usage_error(RUN(commands[i], "--no-such-option"), "--no-such-option: unknown option");
    }
}

static void test_retire_lists_by_default(void **state) {
    (void)state;
    assert_int_equal(RUN("retire", DIR_NAME), EXIT_DONE);
    assert_printed("1 of 1 sealed files to retire");
    assert_int_equal(RUN("retire", "--list", "--journal", DIR_NAME), EXIT_DONE);
    assert_printed("1 of 1 sealed files to retire");
    assert_int_equal(RUN("retire", "--json", DIR_NAME), EXIT_DONE);
    assert_printed("{\"event\":\"file\"");
    assert_true(file_exists(sealed_path(1)));
}

static void test_retire_removes_only_on_request(void **state) {
    (void)state;
    assert_int_equal(RUN("retire", "--remove", "--keep", "1", DIR_NAME), EXIT_DONE);
    assert_printed("removed 0 files, 0 B; ");
    assert_true(file_exists(sealed_path(1)));
    assert_int_equal(RUN("retire", "--remove", DIR_NAME), EXIT_DONE);
    assert_printed("removed 1 file, ");
    assert_printed("; carried: 0 unfinished uploads with 0 chunks, 2 finished uploads\n");
    assert_false(file_exists(sealed_path(1)));
}

static unsigned lines_with(const char *part) {
    unsigned count = 0;
    struct buf all = journal_bytes(DIR_NAME);
    for (const char *at = all.data; (at = strstr(at, part)); at++)
        count++;
    buf_release(&all);
    return count;
}

/* Adds two files: with an upload that has two chunks, and with one that failed. */
static void add_unfinished(void) {
    struct journal *j = numbered_journal();
    struct record outage = numbered_record(EV_FAIL, 5);
    outage.class = slice_of("outage");
    journal_add(j, numbered_record(EV_BEGIN, 4));
    journal_add(j, numbered_chunk(4, 0));
    journal_add_sealed_file(j, numbered_chunk(4, 1));
    journal_add(j, numbered_record(EV_OPEN, 5));
    journal_add_sealed_file(j, outage);
    journal_close(&j);
}

static void test_retire_counts_the_uploads_and_chunks_that_it_carries(void **state) {
    (void)state;
    add_unfinished();
    assert_int_equal(RUN("retire", "--remove", DIR_NAME), EXIT_DONE);
    assert_printed("; carried: 2 unfinished uploads with 2 chunks, 2 finished uploads\n");
    journal_dir_fresh(state);
    add_unfinished();
    assert_int_equal(RUN("retire", "--remove", "--json", DIR_NAME), EXIT_DONE);
    assert_printed(",\"carried_uploads\":2,\"carried_chunks\":2,\"carried_finished\":0}\n");
}

static void test_only_an_upload_that_failed_is_carried_with_a_failure(void **state) {
    (void)state;
    add_unfinished();
    assert_int_equal(lines_with("\"ev\":\"fail\""), 1);
    assert_int_equal(RUN("retire", "--remove", DIR_NAME), EXIT_DONE);
    assert_int_equal(lines_with("\"ev\":\"fail\""), 1);
    assert_int_equal(lines_with("\"error\":\"failed (carried)\""), 1);
}

static void test_each_removed_file_has_a_drop_and_no_other_one(void **state) {
    (void)state;
    add_unfinished();
    assert_int_equal(RUN("retire", "--remove", "--keep", "1", DIR_NAME), EXIT_DONE);
    unsigned removed = 0, dropped = lines_with("\"ev\":\"drop\"");
    assert_int_equal(sscanf(out.text, "removed %u files", &removed), 1);
    assert_true(removed > 1);
    assert_int_equal(dropped, removed);
}

static void test_retire_archives_into_a_new_directory(void **state) {
    (void)state;
    assert_int_equal(RUN("retire", "--archive", "archive", DIR_NAME), EXIT_DONE);
    assert_printed("archived 1 file, ");
    assert_false(file_exists(sealed_path(1)));
    assert_int_equal(dir_count("archive"), 1);
}

static void test_retire_can_leave_finished_uploads_behind(void **state) {
    (void)state;
    assert_int_equal(RUN("retire", "--remove", "--forget-finished", "--json", DIR_NAME), EXIT_DONE);
    assert_printed("{\"event\":\"retired\",\"files\":1,\"bytes\":");
    assert_printed(",\"carried_uploads\":0,\"carried_chunks\":0,\"carried_finished\":0}\n");
}

static void test_a_dry_run_of_retire_changes_nothing(void **state) {
    (void)state;
    struct buf before = journal_bytes(DIR_NAME);
    assert_int_equal(RUN("retire", "--remove", "--dry-run", DIR_NAME), EXIT_DONE);
    assert_printed("1 of 1 sealed files to retire");
    assert_int_equal(RUN("retire", "--archive", "archive", "--dry-run", DIR_NAME), EXIT_DONE);
    assert_false(file_exists("archive"));
    struct buf after = journal_bytes(DIR_NAME);
    assert_true(slice_equal(buf_slice(&before), buf_slice(&after)));
    buf_release(&before);
    buf_release(&after);
}

static void test_ways_to_retire_exclude_each_other(void **state) {
    (void)state;
    const char *reason = "--list, --remove and --archive: use one of them";
    assert_usage_error(RUN("retire", "--remove", "--archive", "archive", DIR_NAME), reason);
    assert_usage_error(RUN("retire", "--list", "--remove", DIR_NAME), reason);
    assert_usage_error(RUN("retire", "--list", "--archive", "archive", DIR_NAME), reason);
    assert_true(file_exists(sealed_path(1)));
    assert_false(file_exists("archive"));
}

static void test_one_directory_at_most(void **state) {
    (void)state;
    assert_usage_error(RUN("retire", "other", DIR_NAME),
                       "other: one directory at most; see 'chunklift journal retire --help'");
    assert_usage_error(RUN("export", "other", DIR_NAME),
                       "other: one directory at most; see 'chunklift journal export --help'");
    assert_usage_error(RUN("export", "--journal", DIR_NAME, "other"), "other: one directory at most");
}

static void test_export_prints_the_manifest(void **state) {
    (void)state;
    assert_int_equal(RUN("export", DIR_NAME), EXIT_DONE);
    assert_printed("\"dest\":\"s3://bucket/1\"");
    assert_printed("\"dest\":\"s3://bucket/2\"");
    assert_int_equal(RUN("export", "nowhere"), EXIT_UNUSABLE);
}

static void test_without_a_directory_the_default_journal_is_used(void **state) {
    (void)state;
    assert_int_equal(mkdir("state-home", 0700) | mkdir("state-home/chunklift", 0700), 0);
    assert_int_equal(rename(DIR_NAME, "state-home/chunklift/journal"), 0);
    char here[1024], home[1100];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(home, sizeof home, "%s/state-home", here);
    assert_int_equal(setenv("XDG_STATE_HOME", home, 1), 0);
    int exported = RUN("export");
    unsigned printed = strstr(out.text, "s3://bucket/1") != NULL;
    int listed = RUN("retire");
    int forgotten = RUN("forget", "s3://bucket/1", "s3://bucket/2");
    assert_int_equal(rename("state-home/chunklift/journal", DIR_NAME), 0);
    assert_int_equal(rmdir("state-home/chunklift") | rmdir("state-home"), 0);
    assert_int_equal(exported, EXIT_DONE);
    assert_true(printed);
    assert_int_equal(listed, EXIT_DONE);
    assert_int_equal(forgotten, EXIT_DONE);
}

static void test_the_last_word_of_forget_is_a_directory_if_a_journal_is_there(void **state) {
    (void)state;
    assert_int_equal(RUN("forget", "s3://bucket/1", DIR_NAME), EXIT_DONE);
    assert_string_equal(out.text, "forgotten: ab000101000000000000000000000000  s3://bucket/1\n");
    assert_int_equal(RUN("forget", "--json", "--journal", DIR_NAME, "s3://bucket/2"), EXIT_DONE);
    assert_printed("{\"event\":\"forgotten\"");
}

/* A word alone is always the name of an upload. */
static void test_the_only_word_of_forget_is_no_directory(void **state) {
    (void)state;
    assert_int_equal(setenv("XDG_STATE_HOME", "/nonexistent", 1), 0);
    assert_int_equal(RUN("forget", DIR_NAME), EXIT_UNUSABLE);
    assert_contains(&said, "/nonexistent/chunklift/journal");
}

static void test_forget_needs_a_name(void **state) {
    (void)state;
    assert_usage_error(RUN("forget"), "journal forget: UPLOAD or DEST is missing");
    assert_usage_error(RUN("forget", "--journal", DIR_NAME), "journal forget: UPLOAD or DEST is missing");
}

static void test_unfinished_uploads_are_forgotten_only_with_their_parts_kept(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add_sealed_file(j, numbered_record(EV_BEGIN, 3));
    journal_close(&j);
    assert_int_equal(RUN("forget", "s3://bucket/3", DIR_NAME), EXIT_SOME_FAILED);
    assert_int_equal(RUN("forget", "--keep-parts", "s3://bucket/3", DIR_NAME), EXIT_SOME_FAILED);
    assert_usage_error(RUN("forget", "--unfinished", "s3://bucket/3", DIR_NAME),
                       "--unfinished: this program cannot abort them");
    assert_int_equal(RUN("forget", "--unfinished", "--keep-parts", "s3://bucket/3", DIR_NAME), EXIT_DONE);
    assert_printed("forgotten: ab000301");
}

/* Of all removed files together. */
static void test_retire_prints_the_size_of_the_removed_files(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add_sealed_file(j, numbered_record(EV_PUT, 3));
    journal_close(&j);
    struct buf all = journal_bytes(DIR_NAME), active = file_bytes(DIR_NAME "/" JOURNAL_ACTIVE);
    char wanted[100];
    snprintf(wanted, sizeof wanted, ",\"bytes\":%zu,", all.len - active.len);
    assert_int_equal(RUN("retire", "--remove", "--json", DIR_NAME), EXIT_DONE);
    assert_printed(wanted);
    buf_release(&all);
    buf_release(&active);
}

static void test_a_command_that_succeeds_logs_nothing(void **state) {
    (void)state;
    assert_int_equal(RUN("export", DIR_NAME), EXIT_DONE);
    assert_int_equal(said.len, 0);
    assert_int_equal(RUN("retire", DIR_NAME), EXIT_DONE);
    assert_int_equal(said.len, 0);
    assert_int_equal(RUN("forget", "s3://bucket/1", DIR_NAME), EXIT_DONE);
    assert_int_equal(said.len, 0);
    assert_int_equal(RUN("retire", "--remove", DIR_NAME), EXIT_DONE);
    assert_int_equal(said.len, 0);
}

static void test_an_unknown_command_is_a_usage_error(void **state) {
    (void)state;
    assert_int_equal(RUN("show", DIR_NAME), EXIT_USAGE);
}

#define COMMAND_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

UNIT_MAIN(COMMAND_TEST(test_three_commands_exist), COMMAND_TEST(test_help_and_version_are_answered_without_a_journal),
          COMMAND_TEST(test_retire_lists_by_default), COMMAND_TEST(test_retire_removes_only_on_request),
          COMMAND_TEST(test_retire_counts_the_uploads_and_chunks_that_it_carries),
          COMMAND_TEST(test_only_an_upload_that_failed_is_carried_with_a_failure),
          COMMAND_TEST(test_each_removed_file_has_a_drop_and_no_other_one),
          COMMAND_TEST(test_retire_archives_into_a_new_directory),
          COMMAND_TEST(test_retire_can_leave_finished_uploads_behind),
          COMMAND_TEST(test_a_dry_run_of_retire_changes_nothing), COMMAND_TEST(test_ways_to_retire_exclude_each_other),
          COMMAND_TEST(test_one_directory_at_most), COMMAND_TEST(test_export_prints_the_manifest),
          COMMAND_TEST(test_without_a_directory_the_default_journal_is_used),
          COMMAND_TEST(test_the_last_word_of_forget_is_a_directory_if_a_journal_is_there),
          COMMAND_TEST(test_the_only_word_of_forget_is_no_directory), COMMAND_TEST(test_forget_needs_a_name),
          COMMAND_TEST(test_unfinished_uploads_are_forgotten_only_with_their_parts_kept),
          COMMAND_TEST(test_retire_prints_the_size_of_the_removed_files),
          COMMAND_TEST(test_a_command_that_succeeds_logs_nothing),
          COMMAND_TEST(test_an_unknown_command_is_a_usage_error))
