/* The failed files of a run: the first ones are listed, the others are counted. */
#include "unit.h"

#include "producer/show/failures.h"
#include <stdlib.h>

static struct failures failures;
static char *text;

static void print_with(uint64_t total, uint64_t unrecorded) {
    size_t size;
    free(text);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    failures_print(out, &failures, total, unrecorded, "show them");
    fclose(out);
}

static void print(uint64_t total) {
    print_with(total, 0);
}

static int teardown(void **state) {
    (void)state;
    failures_release(&failures);
    free(text);
    text = NULL;
    return 0;
}

static void add(unsigned count) {
    char path[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/f%u", i);
        failures_add(&failures, path, FAIL_SOURCE, "gone");
    }
}

static void test_nothing_is_listed_without_failures(void **state) {
    (void)state;
    print(0);
    assert_string_equal(text, "");
}

static void test_all_of_a_few_are_listed(void **state) {
    (void)state;
    failures_add(&failures, "/a\nb", FAIL_SOURCE, "cannot be read");
    print(1);
    assert_string_equal(text, "1 file failed:\n  /a\\nb: cannot be read\n");
    failures_add(&failures, "/c", FAIL_CHANGED, "changed");
    print(2);
    assert_string_equal(text, "2 files failed:\n  /a\\nb: cannot be read\n  /c: changed\n");
}

static void test_many_are_counted_and_the_command_is_named(void **state) {
    (void)state;
    add(20);
    print(20);
    assert_null(strstr(text, "more"));
    add(5);
    print(30); /* five were not reported one by one */
    assert_int_equal(strncmp(text, "30 files failed:\n  /f0: gone\n", 28), 0);
    assert_non_null(strstr(text, "  /f19: gone\n  and 10 more; this lists all: show them\n"));
}

/* A directory that cannot be read has no record. */
static void test_the_command_does_not_list_directories(void **state) {
    (void)state;
    add(25);
    print_with(25, 1);
    assert_non_null(strstr(text, "  and 5 more; this lists all but the directories: show them\n"));
}

static void test_no_more_than_the_limit_are_kept(void **state) {
    (void)state;
    add(FAILURES_MAX + 3);
    assert_int_equal(failures.count, FAILURES_MAX);
    assert_int_equal(failures.capacity, FAILURES_MAX);
}

#define TEST(f) cmocka_unit_test_teardown(f, teardown)
UNIT_MAIN(TEST(test_nothing_is_listed_without_failures), TEST(test_all_of_a_few_are_listed),
          TEST(test_many_are_counted_and_the_command_is_named), TEST(test_the_command_does_not_list_directories),
          TEST(test_no_more_than_the_limit_are_kept))
