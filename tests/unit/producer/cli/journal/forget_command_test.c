/* Which of the two commands runs `journal forget`. */
#include "unit.h"

#include "producer/cli/journal/forget_command.h"

#define ABORTS(...)                                                                                                    \
    forget_command_aborts((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                               \
                          (char **)(const char *[]){__VA_ARGS__, NULL})

static void test_unfinished_uploads_are_aborted(void **state) {
    (void)state;
    assert_true(ABORTS("forget", "--unfinished", "ab"));
    assert_true(ABORTS("forget", "ab", "--unfinished"));
    assert_false(ABORTS("forget", "ab"));
    assert_false(ABORTS("forget", "--unfinished", "--keep-parts", "ab"));
    assert_false(ABORTS("forget", "--keep-parts", "ab"));
    assert_false(ABORTS("forget"));
    assert_false(ABORTS("--unfinished"));
}

static void test_help_describes_the_abort(void **state) {
    (void)state;
    assert_true(ABORTS("forget", "--help"));
    assert_true(ABORTS("forget", "-h"));
    assert_true(ABORTS("forget", "--unfinished", "--keep-parts", "-h"));
}

UNIT_MAIN(cmocka_unit_test(test_unfinished_uploads_are_aborted), cmocka_unit_test(test_help_describes_the_abort))
