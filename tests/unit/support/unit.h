/* Every unit test file ends with UNIT_MAIN(cmocka_unit_test(test_a), …). --list prints the names of the
 * tests, --run NAME runs one. Each test runs in an empty working directory. */
#ifndef CHUNKLIFT_UNIT_H
#define CHUNKLIFT_UNIT_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <string.h>

/* The main function of a test program. Returns its exit status. */
int unit_main(int argc, char **argv, const struct CMUnitTest *tests, size_t count);

#define UNIT_MAIN(...)                                                                                                 \
    int main(int argc, char **argv) {                                                                                  \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                                               \
        return unit_main(argc, argv, tests, sizeof tests / sizeof tests[0]);                                           \
    }

#endif
