/* `status` and `journal tail --consumer` with a scripted consumer (scripted_consumer.h). */
#include "scripted_consumer.h"

#include "producer/cli/journal/journal_command.h"
#include "system/clock.h"
#include <signal.h>
#include <stdlib.h>

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

static void test_tail_of_no_lines(void **state) {
    (void)state;
    lines_stops(&test_journal, 3);
    scripted.seq = test_journal.seq;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n0", "--consumer", scripted_address), 0);
    assert_string_equal(command_out, "");
    assert_int_equal(scripted.tails, 0);
}

static void test_tail_ends_at_the_head_at_its_start(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq - 4;
    scripted.beyond = 4;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 0);
    assert_int_equal(strncmp(command_out, "{\"seq\":5,", 9), 0);
    assert_non_null(strstr(command_out, "{\"seq\":6,"));
    assert_null(strstr(command_out, "{\"seq\":7,"));
}

static void test_tail_refuses_lines_that_are_no_records(void **state) {
    static const char *const lines[] = {
        "{}\n",
        "garbage\n",
        "\n",
        "{\"seq\":1", /* without a newline */
        "{\"seq\":9,\"batch\":3,\"ts\":\"2025-11-21T04:40:00.000001Z\",\"ev\":\"later\",\"x\":\"\x1b[2J\","
        "\"h\":\"00112233445566778899aabbccddeeff\"}\n",
        "{\"seq\":9,\"batch\":3,\"ts\":\"2025-11-21T04:40:00.000001Z\",\"ev\":\"later\",\"x\":\"\x7f\","
        "\"h\":\"00112233445566778899aabbccddeeff\"}\n",
        "{\"seq\":9,\"batch\":3,\"ts\":\"2025-11-21T04:40:00.000001Z\",\"ev\":\"later\",\"x\":\"\xff\","
        "\"h\":\"00112233445566778899aabbccddeeff\"}\n"};
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        scripted.line = lines[i];
        assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 3);
        assert_non_null(strstr(command_err, "it sends lines that are no records"));
        assert_string_equal(command_out, "");
    }
}

static void test_tail_refuses_records_before_the_wanted_one(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    struct buf all = lines_read(&test_journal, "journal.jsonl");
    *(strchr(all.data, '\n') + 1) = '\0';
    scripted.line = all.data; /* number 1 */
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 3);
    assert_string_equal(command_out, "");
    buf_release(&all);
}

static void test_tail_prints_records_of_a_later_version(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.line = "{\"seq\":10,\"batch\":4,\"ts\":\"2025-11-21T04:40:00.000001Z\",\"ev\":\"later\",\"x\":\"é e\","
                    "\"h\":\"00112233445566778899aabbccddeeff\"}\n";
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n1", "--consumer", scripted_address), 0);
    assert_string_equal(command_out, scripted.line);
}

static void test_tail_of_records_that_the_consumer_skips(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.resync = true;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "the records wanted are not there; ask for fewer with -n"));
}

static void test_tail_of_a_consumer_that_fails(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.tail_error = PROTOCOL_STOPPING;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "the consumer refuses: the journal failed"));
    scripted.tail_error = PROTOCOL_ROLE;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-f", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "the consumer refuses: the journal failed"));
}

/* The consumer restarted, and does not know the reader any more. */
static void test_tail_continues_after_a_restart(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.tail_error = PROTOCOL_HELLO_FIRST;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 0);
    assert_int_equal(scripted.hellos, 2);
    assert_printed_from(9);
}

static void test_tail_follows_a_consumer_that_stops(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.tail_error = PROTOCOL_STOPPING;
    pid_t pid = SCRIPTED_START("journal", "tail", "-fn1", "--consumer", scripted_address);
    scripted_bind();
    for (uint64_t deadline = clock_ms() + 10000; scripted.tails == 0; scripted_serve(5))
        assert_true(clock_ms() < deadline);
    kill(pid, SIGTERM);
    assert_int_equal(scripted_until_end(pid), 128 + SIGTERM);
    assert_string_equal(command_err, "");
}

static void test_tail_repeats_a_request_that_was_lost(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.lost = 1;
    uint64_t began_ms = clock_ms();
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 0);
    assert_printed_from(9);
    assert_true(clock_ms() - began_ms >= 2000); /* a reply may take a second */
}

static void test_tail_ignores_a_reply_to_no_request(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.stray = true;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 0);
    assert_printed_from(9);
}

static void test_tail_prints_records_after_a_gap_of_the_events(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.resync_with_records = true;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "-n2", "--consumer", scripted_address), 0);
    assert_printed_from(9);
    assert_string_equal(command_err, "");
}

static void until_tails(int count) {
    for (uint64_t end_ms = clock_ms() + 10000; scripted.tails < count; scripted_serve(5))
        assert_true(clock_ms() < end_ms);
}

static void test_tail_follows_a_journal_without_news(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.answers_empty = true;
    pid_t pid = SCRIPTED_START("journal", "tail", "-fn1", "--consumer", scripted_address);
    scripted_bind();
    until_tails(4);
    kill(pid, SIGINT);
    assert_int_equal(scripted_until_end(pid), 130);
    assert_printed_from(10);
    assert_string_equal(command_err, "");
}

static void test_tail_ends_when_its_reader_leaves(void **state) {
    int fds[2];
    (void)state;
    scripted.seq = test_journal.seq;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        if (!freopen("stderr", "w", stderr))
            _exit(99);
        const char *argv[] = {"journal", "tail", "-fn0", "--consumer", scripted_address, NULL};
        _exit(journal_command(5, (char **)argv));
    }
    close(fds[1]);
    scripted_bind();
    until_tails(1);
    close(fds[0]);
    assert_int_equal(scripted_until_end(pid), 0);
    assert_string_equal(command_err, "");
}

static void test_consumer_has_no_directory(void **state) {
    (void)state;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "--consumer", scripted_address, test_journal.dir), 2);
    assert_non_null(strstr(command_err, ": one directory at most; "));
    assert_int_equal(SCRIPTED_RUN("journal", "verify", "--consumer", scripted_address, test_journal.dir), 2);
    assert_int_equal(scripted.hellos, 0);
}

static void test_tail_of_a_consumer_that_never_answers(void **state) {
    (void)state;
    scripted.silent = true;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "no consumer answers there"));
}

static void test_tail_of_a_consumer_that_falls_silent(void **state) {
    (void)state;
    lines_stops(&test_journal, 9);
    scripted.seq = test_journal.seq;
    scripted.falls_silent = true;
    assert_int_equal(SCRIPTED_RUN("journal", "tail", "--consumer", scripted_address), 3);
    assert_non_null(strstr(command_err, "the consumer does not answer any more"));
}

/* ---- the other commands read a copy ---- */

/* Fails unless the command removed its copy. */
static void assert_no_copy(void) {
    assert_int_equal(rmdir("tmp"), 0);
    unsetenv("TMPDIR");
}

static void copies_in_tmp(void) {
    assert_int_equal(mkdir("tmp", 0700), 0);
    setenv("TMPDIR", "tmp", 1);
}

static void test_verify_of_a_remote_journal(void **state) {
    char expected[200];
    (void)state;
    for (int i = 0; i < 3; i++) {
        lines_stops(&test_journal, 5);
        lines_rotate(&test_journal);
    }
    scripted.seq = test_journal.seq;
    scripted.batch_max = 4;
    copies_in_tmp();
    assert_int_equal(SCRIPTED_RUN("journal", "verify", "--consumer", scripted_address), 0);
    assert_no_copy();
    snprintf(expected, sizeof expected, "ok seq=%llu head=%s\n", (unsigned long long)test_journal.seq,
             test_journal.chain.h);
    assert_string_equal(command_out, expected);
}

static void test_verify_of_a_remote_journal_without_its_first_files(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    lines_rotate(&test_journal);
    lines_stops(&test_journal, 5);
    scripted.seq = test_journal.seq;
    scripted.first = 7;
    assert_int_equal(SCRIPTED_RUN("journal", "verify", "--consumer", scripted_address), 0);
    assert_non_null(strstr(command_out, " from=7\n"));
    assert_string_equal(command_err, "");
}

static void test_damage_of_a_remote_journal_names_the_consumer(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    scripted.seq = test_journal.seq;
    assert_int_equal(
        SCRIPTED_RUN("journal", "verify", "--consumer", scripted_address, "--head", "00112233445566778899aabbccddeeff"),
        1);
    assert_non_null(strstr(command_err, scripted_address));
    assert_non_null(strstr(command_err, "no line has the head"));
}

static void test_show_of_a_remote_journal(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    scripted.seq = test_journal.seq;
    copies_in_tmp();
    assert_int_equal(SCRIPTED_RUN("journal", "show", "--consumer", scripted_address), 0);
    assert_no_copy();
    assert_non_null(strstr(command_out, "0 uploads: "));
}

/* Puts the event of a later version in place of the last one in test_journal. */
static void make_last_event_unknown(void) {
    fflush(test_journal.file);
    struct buf lines = lines_read(&test_journal, "journal.jsonl");
    char *last = NULL;
    for (char *at = lines.data; (at = strstr(at, "\"stop\"")); at++)
        last = at;
    assert_non_null(last);
    memcpy(last, "\"soon\"", strlen("\"soon\""));
    lines_write(&test_journal, "journal.jsonl", buf_slice(&lines));
    buf_release(&lines);
}

static void test_copy_has_the_records_of_a_later_version(void **state) {
    (void)state;
    lines_stops(&test_journal, 5);
    make_last_event_unknown();
    scripted.seq = test_journal.seq;
    int of_the_journal = command_finish(command_start(WORDS("journal", "show", "--journal", test_journal.dir)));
    assert_non_null(strstr(command_err, "written by a newer chunklift"));
    copies_in_tmp();
    assert_int_equal(SCRIPTED_RUN("journal", "show", "--consumer", scripted_address), of_the_journal);
    assert_no_copy();
    assert_non_null(strstr(command_err, "written by a newer chunklift"));
}

static void test_interrupted_copy(void **state) {
    (void)state;
    scripted.seq = 5;
    scripted.lost = 1000;
    copies_in_tmp();
    pid_t pid = SCRIPTED_START("journal", "show", "--consumer", scripted_address);
    scripted_bind();
    for (uint64_t deadline = clock_ms() + 10000; scripted.requests == 0; scripted_serve(5))
        assert_true(clock_ms() < deadline);
    kill(pid, SIGINT);
    assert_int_equal(scripted_until_end(pid), 130);
    assert_no_copy();
    assert_string_equal(command_out, "");
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
    assert_null(strstr(strstr(command_out, "consumer  pid") + 1, "consumer  pid")); /* only on the first page */
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
          TEST(test_tail_where_old_records_are_gone), TEST(test_tail_is_refused), TEST(test_tail_of_no_lines),
          TEST(test_tail_ends_at_the_head_at_its_start), TEST(test_tail_refuses_lines_that_are_no_records),
          TEST(test_tail_refuses_records_before_the_wanted_one), TEST(test_tail_prints_records_of_a_later_version),
          TEST(test_tail_of_records_that_the_consumer_skips), TEST(test_tail_of_a_consumer_that_fails),
          TEST(test_tail_continues_after_a_restart), TEST(test_tail_follows_a_consumer_that_stops),
          TEST(test_tail_repeats_a_request_that_was_lost), TEST(test_tail_of_a_consumer_that_never_answers),
          TEST(test_tail_of_a_consumer_that_falls_silent), TEST(test_verify_of_a_remote_journal),
          TEST(test_verify_of_a_remote_journal_without_its_first_files),
          TEST(test_damage_of_a_remote_journal_names_the_consumer), TEST(test_show_of_a_remote_journal),
          TEST(test_copy_has_the_records_of_a_later_version), TEST(test_interrupted_copy), TEST(test_status_is_refused),
          TEST(test_status_shows_all_pages), TEST(test_status_json_of_a_directory),
          TEST(test_status_of_a_consumer_that_hangs), TEST(test_tail_ignores_a_reply_to_no_request),
          TEST(test_tail_prints_records_after_a_gap_of_the_events), TEST(test_tail_follows_a_journal_without_news),
          TEST(test_tail_ends_when_its_reader_leaves), TEST(test_consumer_has_no_directory))
