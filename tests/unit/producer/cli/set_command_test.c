/* `chunklift set` with a scripted consumer. */
#include "scripted_consumer.h"

#include "pure/units.h"
#include "system/clock.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void test_without_a_change_it_shows_the_limits(void **state) {
    (void)state;
    scripted.settings = (struct msg_settings){.uploaders = 3, .fleet_slots = 24};
    assert_int_equal(SCRIPTED_RUN("set", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.last_set.flags, 0);
    assert_string_equal(command_out, "uploaders  as each cp was started (3 run in the fleet)\n"
                                     "slots      as each uploader was started (24 in the fleet)\n"
                                     "bwlimit    none\n");
    assert_string_equal(command_err, "");
}

static void test_limits_in_force_are_printed(void **state) {
    (void)state;
    scripted.settings =
        (struct msg_settings){.local_uploaders = 1, .slots = 2, .bwlimit = 10 << 20, .uploaders = 3, .fleet_slots = 24};
    assert_int_equal(SCRIPTED_RUN("set", "--consumer", scripted_address), 0);
    assert_string_equal(command_out, "uploaders  1 (3 run in the fleet)\n"
                                     "slots      2 (24 in the fleet)\n"
                                     "bwlimit    10 MiB/s\n");
}

static void test_limits_in_force_for_programs(void **state) {
    (void)state;
    scripted.settings =
        (struct msg_settings){.local_uploaders = 1, .slots = 2, .bwlimit = 1024, .uploaders = 3, .fleet_slots = 24};
    assert_int_equal(SCRIPTED_RUN("set", "--json", "--consumer", scripted_address), 0);
    assert_string_equal(command_out, "{\"event\":\"settings\",\"uploaders\":1,\"slots\":2,\"bwlimit\":1024,"
                                     "\"fleet_uploaders\":3,\"fleet_slots\":24}\n");
}

static void test_a_timetable_is_shown_with_its_next_change(void **state) {
    (void)state;
    scripted.settings = (struct msg_settings){
        .bwlimit = 1024, .bwlimit_plan = {.timetable = slice_of("08:00,1k 18:00,off"), .next_in_s = 3725}};
    assert_int_equal(SCRIPTED_RUN("set", "--bwlimit", "08:00,1k 18:00,off", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.last_set.flags, SET_BWLIMIT);
    assert_int_equal(scripted.last_set.timetable.len, strlen("08:00,1k 18:00,off"));
    assert_non_null(strstr(command_out, "bwlimit    1 KiB/s, none in 1:02:05 (timetable 08:00,1k 18:00,off)\n"));
    assert_int_equal(SCRIPTED_RUN("set", "--json", "--consumer", scripted_address), 0);
    assert_non_null(strstr(command_out,
                           "\"bwlimit\":1024,\"bwlimit_timetable\":\"08:00,1k 18:00,off\",\"bwlimit_next\":0,"
                           "\"bwlimit_next_in_s\":3725,"));
}

static void test_only_given_values_are_changed(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("set", "--uploaders", "5", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.last_set.flags, SET_UPLOADERS);
    assert_int_equal(scripted.last_set.local_uploaders, 5);
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "0", "--bwlimit", "1MiB", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.last_set.flags, SET_SLOTS | SET_BWLIMIT);
    assert_int_equal(scripted.last_set.slots, 0);
    assert_int_equal(scripted.last_set.bwlimit, 1 << 20);
    assert_int_equal(SCRIPTED_RUN("set", "--bwlimit", "none", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.last_set.flags, SET_BWLIMIT);
    assert_int_equal(scripted.last_set.bwlimit, 0);
}

static void test_change_that_the_consumer_cannot_store_fails(void **state) {
    (void)state;
    scripted.settings.error = slice_of("No space left on device");
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "4", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "not changed: "));
    assert_non_null(strstr(command_err, ": No space left on device; "));
}

static void test_request_without_a_reply_is_repeated(void **state) {
    (void)state;
    scripted.lost = 1;
    uint64_t began_ms = clock_ms();
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "4", "--consumer", scripted_address), 0);
    assert_true(scripted.sets > 0);
    assert_true(clock_ms() - began_ms >= 700);
}

static void test_reply_to_no_request_is_ignored(void **state) {
    (void)state;
    scripted.stray = true;
    assert_int_equal(SCRIPTED_RUN("set", "--consumer", scripted_address), 0);
    assert_non_null(strstr(command_out, "slots      as each uploader was started"));
}

static void test_interrupted_request(void **state) {
    (void)state;
    scripted.lost = INT_MAX;
    pid_t pid = SCRIPTED_START("set", "--slots", "4", "--consumer", scripted_address);
    scripted_bind();
    for (uint64_t end_ms = clock_ms() + 10000; scripted.requests == 0; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
    kill(pid, SIGINT);
    assert_int_equal(scripted_until_end(pid), 128 + SIGINT);
    assert_string_equal(command_out, "");
    assert_string_equal(command_err, "");
}

static void test_late_reply_to_a_repeated_request_counts(void **state) {
    (void)state;
    scripted.late = true;
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "4", "--consumer", scripted_address), 0);
    assert_true(scripted.requests > 1);
}

static void test_consumer_of_the_journal_is_asked(void **state) {
    char file[300];
    (void)state;
    snprintf(file, sizeof file, "%s\n%ld\n", scripted_address, (long)getpid());
    lines_write(&test_journal, "consumer", slice_of(file));
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "4", "--journal", test_journal.dir), 0);
    assert_int_equal(scripted.last_set.slots, 4);
    assert_string_equal(command_err, "");
}

static void test_journal_without_a_consumer_cannot_be_set(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("set", "--journal", test_journal.dir), 3);
    assert_non_null(strstr(command_err, "no consumer serves this journal now"));
    lines_write(&test_journal, "consumer", slice_of("damaged"));
    assert_int_equal(SCRIPTED_RUN("set", "--journal", test_journal.dir), 3);
    assert_non_null(strstr(command_err, "no consumer serves this journal now"));
}

static void test_consumer_that_does_not_answer(void **state) {
    char file[300];
    (void)state;
    scripted.silent = true;
    assert_int_equal(SCRIPTED_RUN("set", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "no consumer answers there"));
    snprintf(file, sizeof file, "%s\n%ld\n", scripted_address, (long)getpid());
    lines_write(&test_journal, "consumer", slice_of(file));
    assert_int_equal(SCRIPTED_RUN("set", "--journal", test_journal.dir), 3);
    assert_non_null(strstr(command_err, "no consumer serves this journal now"));
}

static void test_consumer_that_refuses(void **state) {
    (void)state;
    scripted.refuse = true;
    assert_int_equal(SCRIPTED_RUN("set", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "too many peers"));
    assert_null(strstr(command_err, "no consumer"));
}

/* Without a home directory the default journal is not known. */
static void test_consumer_needs_no_journal(void **state) {
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    (void)state;
    setenv("HOME", "", 1);
    int set = SCRIPTED_RUN("set", "--consumer", scripted_address);
    int status = SCRIPTED_RUN("status", "--consumer", scripted_address);
    if (home)
        setenv("HOME", home, 1);
    free(home);
    assert_int_equal(set, 0);
    assert_int_equal(status, 0);
}

static void test_wrong_usage(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("set", "4", "--consumer", scripted_address), 2);
    assert_non_null(strstr(command_err, "4: unexpected argument"));
    assert_int_equal(SCRIPTED_RUN("set", "4", "--journal", test_journal.dir), 2);
    assert_int_equal(SCRIPTED_RUN("set", "--slots", "1025", "--consumer", scripted_address), 2);
    assert_int_equal(SCRIPTED_RUN("set", "--uploaders", "65", "--consumer", scripted_address), 2);
    assert_int_equal(scripted.hellos, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scripted_setup, scripted_teardown)
UNIT_MAIN(TEST(test_without_a_change_it_shows_the_limits), TEST(test_limits_in_force_are_printed),
          TEST(test_limits_in_force_for_programs), TEST(test_a_timetable_is_shown_with_its_next_change),
          TEST(test_only_given_values_are_changed), TEST(test_change_that_the_consumer_cannot_store_fails),
          TEST(test_request_without_a_reply_is_repeated), TEST(test_late_reply_to_a_repeated_request_counts),
          TEST(test_consumer_of_the_journal_is_asked), TEST(test_journal_without_a_consumer_cannot_be_set),
          TEST(test_consumer_that_does_not_answer), TEST(test_consumer_that_refuses), TEST(test_wrong_usage),
          TEST(test_reply_to_no_request_is_ignored), TEST(test_interrupted_request),
          TEST(test_consumer_needs_no_journal))
