/* `journal retire` without --remove and --archive: the list of the sealed files and of the uploads that need them. */
#include "capture.h"
#include "numbered_uploads.h"

#include "consumer/offline/retire.h"
#include "pure/units.h"

static const char *list(const struct retire_options *options) {
    static struct capture c;
    struct retire_options o = *options;
    o.dir = DIR_NAME;
    capture_begin(&c, STDOUT_FILENO);
    int err = journal_retire(&o);
    capture_end(&c);
    assert_int_equal(err, 0);
    return c.text;
}

static const char *list_plainly(void) {
    return list(&(struct retire_options){0});
}

static void assert_lists(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void assert_does_not_list(const char *text, const char *part) {
    if (strstr(text, part))
        fail_msg("\"%s\" is in \"%s\"", part, text);
}

static uint64_t size_of(uint64_t first_seq) {
    struct stat st;
    assert_int_equal(stat(sealed_path(first_seq), &st), 0);
    return (uint64_t)st.st_size;
}

static char *id_text(unsigned n) {
    static char text[ID_HEX_SIZE];
    struct id128 id = numbered_id(n);
    id_to_hex(&id, text);
    return text;
}

/* Three sealed files: lines 1 to 4 with an unfinished upload and a finished one, 5 and 6 with a finished one, 7 to 9 with
 * an upload that ended. The active file has line 10. */
static void make_three_files(void) {
    struct journal *j = numbered_journal();
    journal_add(j, numbered_record(EV_BEGIN, 1));
    journal_add(j, numbered_chunk(1, 0));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 2));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 3));
    journal_add(j, numbered_record(EV_BEGIN, 4));
    journal_add_sealed_file(j, numbered_record(EV_ABORT, 4));
    assert_int_equal(journal_seq(j), 10);
    journal_close(&j);
}

static void test_each_file_has_its_lines_its_size_and_its_users(void **state) {
    (void)state;
    make_three_files();
    char wanted[300], size[UNITS_TEXT_SIZE];
    const char *text = list_plainly();
    snprintf(wanted, sizeof wanted,
             "%s  1-4  %s  needed by 1 unfinished upload, 1 finished one\n    %s  /src/1 → s3://bucket/1\n",
             sealed_name(1), size_format(size_of(1), size), id_text(1));
    assert_lists(text, wanted);
    snprintf(wanted, sizeof wanted, "\n%s  5-6  %s  needed by 0 unfinished uploads, 1 finished one\n", sealed_name(5),
             size_format(size_of(5), size));
    assert_lists(text, wanted);
    snprintf(wanted, sizeof wanted, "\n%s  7-9  %s  not needed\n", sealed_name(7), size_format(size_of(7), size));
    assert_lists(text, wanted);
    snprintf(wanted, sizeof wanted, "\n3 of 3 sealed files to retire, %s; 2 of them no unfinished upload needs\n",
             size_format(size_of(1) + size_of(5) + size_of(7), size));
    assert_lists(text, wanted);
    assert_does_not_list(text, "more");
    assert_does_not_list(text, "(kept)");
}

static void test_an_upload_whose_removal_began_needs_no_file(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add(j, numbered_record(EV_PUT, 1));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 2)); /* 1-3 */
    journal_add_sealed_file(j, numbered_record(EV_DELETING, 1));
    journal_close(&j);
    assert_lists(list_plainly(), "needed by 0 unfinished uploads, 1 finished one\n");
}

static void test_the_newest_files_are_kept_on_request(void **state) {
    (void)state;
    make_three_files();
    char wanted[200], size[UNITS_TEXT_SIZE];
    const char *text = list(&(struct retire_options){.keep = 1});
    assert_lists(text, "not needed  (kept)\n");
    snprintf(wanted, sizeof wanted, "2 of 3 sealed files to retire, %s; 1 of them no unfinished upload needs\n",
             size_format(size_of(1) + size_of(5), size));
    assert_lists(text, wanted);
    text = list(&(struct retire_options){.keep = 3});
    assert_lists(text, "0 of 3 sealed files to retire, 0 B; 0 of them");
    text = list(&(struct retire_options){.keep = 4});
    assert_lists(text, "0 of 3 sealed files to retire, 0 B; 0 of them");
}

static void test_json_has_one_object_for_each_file_and_each_upload_that_needs_it(void **state) {
    (void)state;
    make_three_files();
    char wanted[400];
    const char *text = list(&(struct retire_options){.json = true, .keep = 1});
    snprintf(wanted, sizeof wanted,
             "{\"event\":\"file\",\"file\":\"%s\",\"from\":1,\"to\":4,\"size\":%llu,\"dropped\":false,\"chosen\":true,"
             "\"unfinished\":1,\"finished\":1}\n",
             sealed_name(1), (unsigned long long)size_of(1));
    assert_lists(text, wanted);
    snprintf(wanted, sizeof wanted,
             "{\"event\":\"needed\",\"file\":\"%s\",\"upload\":\"%s\",\"src\":\"/src/1\",\"dest\":\"s3://bucket/1\"}\n",
             sealed_name(1), id_text(1));
    assert_lists(text, wanted);
    assert_lists(text, "\"from\":7,\"to\":9,");
    assert_lists(text, "\"chosen\":false,\"unfinished\":0,\"finished\":0}\n");
    assert_does_not_list(text, "sealed files to retire");
}

/* An upload needs each file that has one of its records, once. */
static void test_a_file_is_needed_by_the_uploads_with_chunks_in_it(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add_sealed_file(j, numbered_record(EV_BEGIN, 1)); /* 1-2 */
    journal_add_sealed_file(j, numbered_record(EV_PUT, 9));   /* 3-4 */
    journal_add_sealed_file(j, numbered_chunk(1, 1));         /* 5-6: its last line */
    journal_close(&j);
    const char *text = list(&(struct retire_options){.json = true});
    assert_lists(text, "\"from\":1,\"to\":2,");
    assert_lists(text, "\"unfinished\":1,\"finished\":0}\n{\"event\":\"needed\"");
    assert_lists(text, "\"unfinished\":0,\"finished\":1}\n{\"event\":\"file\"");
    char wanted[200];
    snprintf(wanted, sizeof wanted, "{\"event\":\"needed\",\"file\":\"%s\"", sealed_name(5));
    assert_lists(text, wanted);
}

static void test_uploads_in_the_active_file_alone_need_no_sealed_file(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add_sealed_file(j, numbered_record(EV_PUT, 9));
    journal_close(&j);
    struct journal_options o = seen_options(NULL);
    j = journal_open_ok(&o);
    journal_add(j, numbered_record(EV_PUT, 9));
    journal_add(j, numbered_record(EV_BEGIN, 1));
    journal_add(j, numbered_chunk(1, 0));
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    assert_lists(list_plainly(), "  not needed\n1 of 1 sealed files to retire");
}

static void test_five_uploads_are_named_and_the_others_counted(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    for (unsigned n = 0; n < 7; n++)
        journal_add(j, numbered_record(EV_BEGIN, n));
    journal_add_sealed_file(j, numbered_record(EV_PUT, 99));
    journal_close(&j);
    const char *text = list_plainly();
    unsigned named = 0;
    for (const char *at = text; (at = strstr(at, " → ")); at++)
        named++;
    assert_int_equal(named, 5);
    assert_lists(text, "needed by 7 unfinished uploads, ");
    assert_lists(text, "\n    and 2 more (--verbose names them)\n");
    text = list(&(struct retire_options){.verbose = true});
    for (unsigned n = 0; n < 7; n++)
        assert_lists(text, id_text(n));
    assert_does_not_list(text, "more");
    text = list(&(struct retire_options){.json = true});
    for (unsigned n = 0; n < 7; n++)
        assert_lists(text, id_text(n));
}

static void test_exactly_five_uploads_are_all_named(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    for (unsigned n = 0; n < 4; n++)
        journal_add(j, numbered_record(EV_BEGIN, n));
    journal_add_sealed_file(j, numbered_record(EV_BEGIN, 4));
    journal_close(&j);
    const char *text = list_plainly();
    for (unsigned n = 0; n < 5; n++)
        assert_lists(text, id_text(n));
    assert_does_not_list(text, "more");
}

static void test_a_file_that_a_drop_names_still_has_to_be_removed(void **state) {
    (void)state;
    make_three_files();
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_add(j, numbered_carry(CARRY_UPLOAD, 1));
    journal_add(j, numbered_carry(CARRY_CHUNK, 1));
    journal_add(j, (struct record){.ev = EV_DROP, .dropped_file = slice_of(sealed_name(1)), .from = 1, .to = 4});
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    const char *text = list_plainly();
    assert_lists(text, "  dropped already, still to be removed\n");
    assert_lists(text, "  5-6  ");
    assert_lists(text, "needed by 0 unfinished uploads, 1 finished one");
    assert_lists(text, "; 3 of them no unfinished upload needs\n");
    text = list(&(struct retire_options){.json = true});
    assert_lists(text, "\"dropped\":true,");
    assert_lists(text, "\"dropped\":false,");
}

/* A crash between the two renames of a rotation leaves no active file. */
static void test_the_last_file_ends_with_the_journal_when_no_file_is_active(void **state) {
    (void)state;
    make_three_files();
    assert_int_equal(unlink(DIR_NAME "/" JOURNAL_ACTIVE), 0);
    assert_lists(list_plainly(), "  7-9  ");
}

static void test_a_journal_with_one_sealed_file_and_no_active_one_is_listed(void **state) {
    (void)state;
    struct journal *j = numbered_journal();
    journal_add_sealed_file(j, numbered_record(EV_PUT, 1));
    journal_close(&j);
    assert_int_equal(unlink(DIR_NAME "/" JOURNAL_ACTIVE), 0);
    assert_lists(list_plainly(), "  1-2  ");
}

static void test_a_journal_without_sealed_files_says_so(void **state) {
    (void)state;
    struct journal_options o = seen_options(NULL);
    struct journal *j = journal_open_ok(&o);
    journal_add(j, numbered_record(EV_BEGIN, 1));
    assert_int_equal(journal_commit(j), 0);
    journal_close(&j);
    assert_string_equal(list_plainly(), "no sealed files; there is nothing to retire\n");
    assert_string_equal(list(&(struct retire_options){.json = true}), "");
}

UNIT_MAIN(TEST(test_each_file_has_its_lines_its_size_and_its_users),
          TEST(test_an_upload_whose_removal_began_needs_no_file), TEST(test_the_newest_files_are_kept_on_request),
          TEST(test_json_has_one_object_for_each_file_and_each_upload_that_needs_it),
          TEST(test_a_file_is_needed_by_the_uploads_with_chunks_in_it),
          TEST(test_uploads_in_the_active_file_alone_need_no_sealed_file),
          TEST(test_five_uploads_are_named_and_the_others_counted), TEST(test_exactly_five_uploads_are_all_named),
          TEST(test_a_file_that_a_drop_names_still_has_to_be_removed),
          TEST(test_the_last_file_ends_with_the_journal_when_no_file_is_active),
          TEST(test_a_journal_with_one_sealed_file_and_no_active_one_is_listed),
          TEST(test_a_journal_without_sealed_files_says_so))
