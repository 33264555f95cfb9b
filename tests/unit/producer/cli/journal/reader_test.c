/* `status` and `journal tail --consumer` with a scripted consumer (scripted_consumer.h). */
#include "scripted_consumer.h"

#include "system/clock.h"
#include <signal.h>

static void assert_printed_from(uint64_t seq) {
    struct buf all = lines_read(&test_journal, "journal.jsonl");
    char start_text[32];
    snprintf(start_text, sizeof start_text, "{\"seq\":%llu,", (unsigned long long)seq);
    const char *from = strstr(all.data, start_text);
    assert_non_null(from);
    assert_string_equal(command_out, from);
    buf_release(&all);
}

static void test_tail_prints_the_last_lines(void **state) {
    (void)state;
    lines_stops(&test_journal, 49);
    scripted.seq = test_journal.seq;
    scripted.batch_max = 7;
    pid_t pid = SCRIPTED_START("journal", "tail", "-n", "30", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 0);
    assert_printed_from(21);
    assert_string_equal(command_err, "");
    assert_int_equal(scripted.tails, 5);
    assert_int_equal(scripted.byes, 1);
}

static void test_tail_of_a_short_journal(void **state) {
    (void)state;
    lines_stops(&test_journal, 3);
    scripted.seq = test_journal.seq;
    pid_t pid = SCRIPTED_START("journal", "tail", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 0);
    assert_printed_from(1);
}

static void test_tail_follows(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    pid_t pid = SCRIPTED_START("journal", "tail", "-f", "-n2", "--consumer", scripted_address);
    scripted_bind();
    scripted_until_output("{\"seq\":10,");
    scripted_serve(5);
    assert_true(scripted.last_wait_ms > 0);
    lines_stops(&test_journal, 2);
    scripted.seq = test_journal.seq;
    scripted_until_output("{\"seq\":12,"); /* by its next request: the scripted consumer dropped the one that waited */
    kill(pid, SIGINT);
    assert_int_equal(scripted_until_end(pid), 130);
    assert_printed_from(9);
}

static void test_tail_where_old_records_are_gone(void **state) {
    (void)state;
    lines_stops(&test_journal, 19);
    scripted.seq = test_journal.seq;
    scripted.first = 15;
    pid_t pid = SCRIPTED_START("journal", "tail", "-n", "10", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 0);
    assert_printed_from(15);
    assert_non_null(strstr(command_err, "records 11 to 14 are no longer kept there"));
}

static void test_tail_is_refused(void **state) {
    (void)state;
    scripted.refuse = true;
    pid_t pid = SCRIPTED_START("journal", "tail", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 3);
    assert_non_null(strstr(command_err, "too many peers"));
}

static void test_status_is_refused(void **state) {
    (void)state;
    scripted.refuse = true;
    pid_t pid = SCRIPTED_START("status", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 3);
    assert_non_null(strstr(command_err, "too many peers"));
}

static void test_status_shows_all_pages(void **state) {
    (void)state;
    scripted.uploads = 5;
    pid_t pid = SCRIPTED_START("status", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 0);
    assert_int_equal(scripted.statuses, 3);
    assert_non_null(
        strstr(command_out, "consumer  pid 4711, epoch 3, 57 uploads finished\njournal   /state/journal\n"));
    assert_non_null(strstr(command_out, "uploader  host/12: 3 of 8 slots busy, 1 MiB/s"));
    assert_non_null(strstr(command_out, "producer  host/13, silent for 7 s\n"));
    assert_null(strstr(command_out, "host/14"));
    int shown = 0;
    for (const char *at = command_out;
         (at = strstr(at, "  45%  450 MiB of 1000 MiB, 16 MiB moving in 2 transfers  /data/a\\nb → "
                          "s3://bucket/a\n"));
         at++)
        shown++;
    assert_int_equal(shown, 5);
    assert_string_equal(command_err, "");
}

static void test_status_json_of_a_directory(void **state) {
    (void)state;
    scripted.uploads = 1;
    char file[300];
    snprintf(file, sizeof file, "%s\n%ld\n", scripted_address, (long)getpid());
    lines_write(&test_journal, "consumer", slice_of(file));
    pid_t pid = SCRIPTED_START("status", "--json", "--journal", test_journal.dir);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 0);
    assert_int_equal(strncmp(command_out, "{\"event\":\"consumer\",\"pid\":4711,", 30), 0);
    assert_non_null(strstr(command_out, "\n{\"event\":\"uploader\",\"worker\":\"host/12\",\"slots\":8,"));
    assert_non_null(strstr(command_out, "\n{\"event\":\"upload\",\"upload\":\"01000000000000000000000000000000\","));
}

static void test_status_of_a_consumer_that_hangs(void **state) {
    (void)state;
    scripted.silent = true;
    uint64_t begun = clock_ms();
    pid_t pid = SCRIPTED_START("status", "--consumer", scripted_address);
    scripted_bind();
    assert_int_equal(scripted_until_end(pid), 3);
    assert_true(clock_ms() - begun < 10000);
    assert_non_null(strstr(command_err, "no consumer answers there"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scripted_setup, scripted_teardown)
UNIT_MAIN(TEST(test_tail_prints_the_last_lines), TEST(test_tail_of_a_short_journal), TEST(test_tail_follows),
          TEST(test_tail_where_old_records_are_gone), TEST(test_tail_is_refused), TEST(test_status_is_refused),
          TEST(test_status_shows_all_pages), TEST(test_status_json_of_a_directory),
          TEST(test_status_of_a_consumer_that_hangs))
